package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// What a route demands beyond scopes, a key has only where its Record says so.
func TestWhatAKeyDoesNotSatisfy(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	m.record.Roles, m.record.Tenant = []string{"clerk"}, "eu"
	tenant := func(name string) middleware.RouteOption {
		return middleware.Tenant(func(*http.Request) string { return name })
	}
	for _, tc := range []struct {
		name   string
		opt    middleware.RouteOption
		kind   error // nil: it is satisfied
		reason bearergate.Reason
	}{
		{name: "a second factor", opt: middleware.StepUp([]string{"urn:mfa"}, 0), kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication}, // APK-033
		{name: "a fresh login", opt: middleware.StepUp(nil, time.Hour), kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication},
		{name: "an authentication context", opt: middleware.AuthContext("c1"), kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication},
		{name: "a bound token", opt: middleware.Bound(), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},                         // APK-034
		{name: "an audience", opt: middleware.Audience("https://api.example.com"), kind: bearergate.ErrForbidden, reason: bearergate.ReasonAudience}, // APK-035
		{name: "a role of another", opt: middleware.Roles("admin"), kind: bearergate.ErrForbidden, reason: bearergate.ReasonRole},
		{name: "a scope as a role", opt: middleware.Roles("orders:read"), kind: bearergate.ErrForbidden, reason: bearergate.ReasonRole},
		{name: "another tenant", opt: tenant("us"), kind: bearergate.ErrForbidden, reason: bearergate.ReasonTenant}, // APK-036
		{name: "a role of its own", opt: middleware.Roles("clerk")},
		{name: "its own tenant", opt: tenant("eu")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proofs, err := dpop.New(dpop.Config{BaseURLs: []string{"https://api.example.com"}})
			require.NoError(t, err)
			k := newKeys(t, config(m.record))
			gate, err := middleware.New(k, middleware.Config{Extract: k.Extract, Bindings: []bearergate.Binding{proofs}})
			require.NoError(t, err)
			_, _, err = gate.Check(request(header, m.key), read, tc.opt)
			if tc.kind == nil {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, tc.kind, tc.reason)
		})
	}
}

// A gate that demands bound tokens takes no keys, on optional routes neither.
//
// req: APK-041
func TestAGateThatDemandsBoundTokens(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{"https://api.example.com"}})
	require.NoError(t, err)
	c := config(m.record)
	c.Tokens = confirms{c.Tokens}
	k := newKeys(t, c)
	var event middleware.DecisionEvent
	gate, err := middleware.New(k, middleware.Config{Extract: k.Extract, Bindings: []bearergate.Binding{proofs}, RequireBinding: true,
		Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { event = e }}})
	require.NoError(t, err)
	for _, h := range []http.Handler{gate.Require(read)(kit.Says("served")), gate.Optional(read)(kit.Says("served"))} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(header, m.key))
		require.Equal(t, http.StatusUnauthorized, w.Code)
		kit.RequireError(t, event.Err, bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	}
}

// RequireLive is for access tokens. Around Keys it opens nothing to a key, and Keys cannot
// stand where somebody has to be asked each time, for a key is remembered.
func TestRequireLiveAndKeys(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	asked := 0
	live, err := introspect.New(introspect.Config{Issuer: "https://as.example.com", Audiences: []string{"https://api.example.com"}, AskName: "test", DisableCache: true,
		Ask: func(context.Context, string) ([]byte, error) {
			asked++
			return []byte(`{"active":true,"sub":"acme","scope":"orders:read"}`), nil
		}})
	require.NoError(t, err)
	local, err := jwtverify.New(jwtverify.Config{Issuer: "https://as.example.com", Audiences: []string{"https://api.example.com"}})
	require.NoError(t, err)
	for _, tokens := range []bearergate.Verifier{local, live, kit.Granting()} {
		c := config(m.record)
		c.Tokens = tokens
		_, err = issuers.RequireLive(local, newKeys(t, c))
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}

	k := newKeys(t, config(m.record))
	around, err := issuers.RequireLive(k, live)
	require.NoError(t, err)
	gate, err := middleware.New(around, middleware.Config{Extract: k.Extract})
	require.NoError(t, err)
	_, _, err = gate.Check(request(header, m.key), read)
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
	require.Zero(t, asked, "the authorization server is not shown the key")

	// In Tokens it is where it belongs.
	inside, err := issuers.RequireLive(kit.Granting(), live)
	require.NoError(t, err)
	c := config(m.record)
	c.Tokens = inside
	_, _, err = gateOf(t, newKeys(t, c), middleware.Hooks{}).Check(request(header, m.key), read)
	require.NoError(t, err)
	require.Zero(t, asked)
}

// A long request ends when its key does: at its date, and when its record is taken out.
//
// req: APK-042
func TestALongRequestByAKey(t *testing.T) {
	const every = time.Minute
	for _, tc := range []struct {
		name   string
		change func(*apikey.Record) // nil: it is taken out
		ends   time.Duration        // at the latest
		reason bearergate.Reason
	}{
		{name: "taken out", ends: every + apikey.DefaultKeyTTL, reason: bearergate.ReasonInactive},
		{name: "given to another owner", change: func(r *apikey.Record) { r.Owner = "another" }, ends: every + apikey.DefaultKeyTTL, reason: bearergate.ReasonBinding},
		{name: "without its scope", change: func(r *apikey.Record) { r.Scopes = nil }, ends: every + apikey.DefaultKeyTTL, reason: bearergate.ReasonScope},
		{name: "at its end", change: func(r *apikey.Record) { r.NotAfter = time.Now().Add(5 * time.Minute) }, ends: 5*time.Minute + every, reason: bearergate.ReasonExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				m := generate(t, "acme", "orders:read")
				c, a := looking(m.record)
				c.Now, c.End = time.Now, time.Now().AddDate(1, 0, 0)
				gate := gateOf(t, newKeys(t, c), middleware.Hooks{})
				var lived time.Duration
				var cause error
				h := gate.Require(read, middleware.Recheck(every))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					began := time.Now()
					if records := (store{}); tc.change == nil {
						a.set(records.lookup)
					} else {
						tc.change(&m.record)
						records[m.record.ID] = m.record
						a.set(records.lookup)
					}
					<-r.Context().Done()
					lived, cause = time.Since(began), context.Cause(r.Context())
				}))
				h.ServeHTTP(httptest.NewRecorder(), request(header, m.key))
				require.LessOrEqual(t, lived, tc.ends+time.Second)
				require.Equal(t, tc.reason, bearergate.ReasonOf(cause))
			})
		})
	}
}

// A proxy that asks sends the key on, and is told what a client would be.
func TestAProxyThatAsksAboutAKey(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	k := newKeys(t, config(m.record))
	gate, err := middleware.New(k, middleware.Config{Extract: k.Extract, Identity: map[string]func(*bearergate.Token) string{
		"X-Auth-Client": (*bearergate.Token).ClientID, "X-Auth-Issuer": (*bearergate.Token).Issuer,
	}})
	require.NoError(t, err)
	router := gate.NewRouter()
	router.Handle("GET /orders", read, http.NotFoundHandler())
	router.Handle("POST /orders", scope.All("orders:write"), http.NotFoundHandler())
	router.Optional("GET /news", scope.Requirement{}, http.NotFoundHandler())
	h, err := router.ForwardAuth(middleware.ForwardAuthConfig{Proxy: middleware.Caddy, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	require.NoError(t, err)
	for _, tc := range []struct {
		name, method, uri string
		lines             []string
		status            int
		client            string
	}{
		{name: "a key", lines: []string{header, m.key}, status: 200, client: "acme"},
		{name: "a token", lines: []string{"Authorization", "Bearer " + token("orders:read")}, status: 200, client: "c1"},
		{name: "a key without the scope", method: "POST", lines: []string{header, m.key}, status: 403},
		{name: "both", lines: []string{header, m.key, "Authorization", "Bearer " + token("orders:read")}, status: 400},
		{name: "the key twice", lines: []string{header, m.key, header, m.key}, status: 400},
		{name: "a key under Bearer", lines: []string{"Authorization", "Bearer " + m.key}, status: 401},
		{name: "an unknown key on an optional route", uri: "/news", lines: []string{header, generate(t, "x").key}, status: 401},
		{name: "nobody on an optional route", uri: "/news", status: 200},
		{name: "a key in another spelling of the header", lines: []string{"X_Api_Key", m.key}, status: 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(append([]string{"X-Forwarded-Method", orElse(tc.method, "GET"), "X-Forwarded-Host", "api.example.com", "X-Forwarded-Uri", orElse(tc.uri, "/orders"), "X-Auth-Client", "root"}, tc.lines...)...)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, tc.status, w.Code)
			require.Equal(t, tc.client, w.Header().Get("X-Auth-Client"))
			require.Equal(t, tc.client == "acme", w.Header().Get("X-Auth-Issuer") == issuer)
			kit.RequireNothingOf(t, fmt.Sprint(w.Header(), w.Body), m.key)
		})
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// What is no key of ours, in a header that carries one. Go joins nothing and trims the
// space around a value; everything else is as the client wrote it.
func TestWhatIsNoKeyInTheHeader(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	for _, tc := range []struct {
		name, value string
		kind        error
		reason      bearergate.Reason
	}{
		{name: "no UTF-8", value: m.key + "\xff", kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest}, // APK-029
		{name: "a zero byte", value: m.key + "\x00", kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a tab before it", value: "\t" + m.key, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a DEL", value: m.key + "\x7f", kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a soft hyphen", value: m.key + "\u00ad", kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "quotes around it", value: `"` + m.key + `"`, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMalformed},
		{name: "percent-encoded", value: strings.Replace(m.key, "_", "%5f", 1), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMalformed},
		{name: "Bearer before it", value: "Bearer " + m.key, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a megabyte", value: strings.Repeat("a", 1<<20), kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest}, // APK-030
		{name: "a megabyte that looks like a JWT", value: "eyJ" + strings.Repeat(".", 1<<20), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonType},
		{name: "a megabyte with the prefix and dots", value: "orders_" + strings.Repeat(".", 1<<20), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKeys(t, config(m.record))
			r := request()
			r.Header[header] = []string{tc.value}
			_, _, err := gateOf(t, k, middleware.Hooks{}).Check(r, read)
			kit.RequireError(t, err, tc.kind, tc.reason)
			kit.RequireNothingOf(t, err.Error(), m.key)
			require.Less(t, len(err.Error()), 1000)
		})
	}
}

// A response to a key that came in a header of its own must not be given to the next one who
// asks: caches know of Authorization alone (RFC 9111 §3.5).
//
// req: R9111-01, APK-040
func TestAResponseToAKeyIsPrivate(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	for _, tc := range []struct {
		name                 string
		scheme               bool
		lines                []string
		handler              string // what it sets itself
		status               int
		cacheControl, varies string // on an optional route
	}{
		{name: "a key", lines: []string{header, m.key}, status: 200, cacheControl: "private", varies: "Authorization, X-Api-Key"},
		{name: "a key, and a handler that knows better", lines: []string{header, m.key}, handler: "no-store", status: 200, cacheControl: "no-store", varies: "Authorization, X-Api-Key"},
		{name: "a token", lines: []string{"Authorization", "Bearer " + token("orders:read")}, status: 200, varies: "Authorization, X-Api-Key"},
		{name: "nobody", status: 200, varies: "Authorization, X-Api-Key"},
		{name: "a wrong key", lines: []string{header, "x"}, status: 401, cacheControl: "no-store", varies: "Authorization, X-Api-Key"},
		{name: "a key in Authorization", scheme: true, lines: []string{"Authorization", "ApiKey " + m.key}, status: 200, varies: "Authorization"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(m.record)
			if tc.scheme {
				c.Header = ""
			}
			h := gateOf(t, newKeys(t, c), middleware.Hooks{}).Optional(read)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tc.handler != "" {
					w.Header().Set("Cache-Control", tc.handler)
				}
			}))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(tc.lines...))
			require.Equal(t, tc.status, w.Code)
			require.Equal(t, tc.cacheControl, w.Header().Get("Cache-Control"))
			require.Equal(t, tc.varies, strings.Join(w.Header().Values("Vary"), ", "))
		})
	}
}

// A gateway passes on neither a key nor a token.
func TestAGatewayDropsTheKey(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	for _, drop := range []bool{false, true} {
		k := newKeys(t, config(m.record))
		gate, err := middleware.New(k, middleware.Config{Extract: k.Extract, ExtractHeaders: k.Headers(), DropAuthorization: drop})
		require.NoError(t, err)
		var seen http.Header
		sees := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
		router := gate.NewRouter()
		router.Handle("GET /orders", read, sees)
		router.Public("GET /public", sees)
		h := kit.Built(t, router)
		for _, path := range []string{"/orders", "/public"} {
			for _, lines := range [][]string{{header, m.key, "X-Other", "x"}, {"Authorization", "Bearer " + token("orders:read"), "X-Other", "x"}} {
				seen = nil
				r := request(append(lines, "X_Api_Key", "smuggled")...)
				r.URL.Path = path
				h.ServeHTTP(httptest.NewRecorder(), r)
				require.Equal(t, "x", seen.Get("X-Other"))
				require.Equal(t, !drop, seen.Get(header)+seen.Get("Authorization") != "")
				require.Equal(t, !drop, len(seen["X_api_key"]) > 0, "%v", seen)
				require.Equal(t, lines[1], r.Header.Get(lines[0]), "the request of the caller is not changed")
			}
		}

		told := middleware.Told{Method: "GET", Host: "api.example.com", URI: "/orders", Header: request(header, m.key, "X_api.key", "x").Header}
		advisor, err := router.Advisor()
		require.NoError(t, err)
		advice := advisor.Advise(t.Context(), told)
		require.Equal(t, http.StatusOK, advice.Status)
		for _, name := range []string{"authorization", "x-api-key", "x_api_key", "x_api.key"} {
			require.Equal(t, drop, slices.Contains(advice.Remove, name), name)
		}
	}
}
