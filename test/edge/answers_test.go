package edge_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// api is a service behind a proxy whose authorizer verifies the tokens of a real issuer.
type api struct {
	as      *authtest.Server
	at      string // of the proxy
	ask     *httptest.Server
	service *confusion.Service
	down    atomic.Pointer[error] // what every verification then says
}

const apiAudience = "https://api.example"

func serve(t *testing.T, p program) *api {
	t.Helper()
	return serveNonces(t, p, false)
}

// serveNonces is serve, with nonces that proofs must have, or are offered.
func serveNonces(t *testing.T, p program, offer bool) *api {
	t.Helper()
	a := &api{service: &confusion.Service{}}
	var err error
	a.as, err = authtest.Start(authtest.WithAudience(apiAudience))
	require.NoError(t, err)
	t.Cleanup(a.as.Close)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: a.as.Issuer(), Audiences: []string{apiAudience}, Confirmations: []string{"jkt"},
		Check: func(context.Context, *bearergate.Token) error {
			if down := a.down.Load(); down != nil {
				return *down
			}
			return nil
		}})
	require.NoError(t, err)
	replay, err := dpop.NewMemory(100)
	require.NoError(t, err)
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("n", 32))}, Offer: offer})
	require.NoError(t, err)
	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{apiAudience}, Replay: replay, Nonces: nonces})
	require.NoError(t, err)
	gate := gateOf(t, verifier, func(c *middleware.Config) { c.Bindings, c.AdvertiseScopes = []bearergate.Binding{proofs}, true })

	rt := gate.NewRouter()
	nothing := http.NotFoundHandler()
	rt.Handle("GET /orders/{id}", scope.All("orders:read"), nothing)
	rt.Handle("POST /orders/{id}", scope.All("orders:write"), nothing)
	rt.Handle("/orders/{id}/secret", scope.All("orders:read"), nothing, middleware.Allow(func(*http.Request, *bearergate.Token) error { return errors.New("no") }))
	rt.Handle("/orders/{id}/pay", scope.All("orders:read"), nothing, middleware.StepUp([]string{"mfa"}, time.Minute))
	rt.Optional("/news", scope.Requirement{}, nothing)
	rt.Public("/health", nothing)
	rt.Public("OPTIONS /orders/{id}", nothing)
	a.ask = authorizer(t, p.name, rt, gate)
	behind := httptest.NewServer(a.service)
	t.Cleanup(behind.Close)
	a.at = front(t, p, a.ask.URL, behind.URL)
	return a
}

func (a *api) send(t *testing.T, method, target string, lines ...string) (*http.Response, string) {
	t.Helper()
	return confusion.Send(t, a.at, confusion.Request{Method: method, Target: target, Lines: lines, Anonymous: true})
}

func (a *api) token(scopes ...string) string {
	return "Authorization: Bearer " + a.as.Token(authtest.Claims{Subject: "alice", ClientID: "app", Scopes: scope.Of(scopes...)})
}

// What the authorizer says is what the client gets, row by row of the table of answers, and
// no refused request reaches the service.
func TestAnswersBehindAProxy(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			a := serve(t, p)
			outage := error(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, RetryAfter: 7 * time.Second})
			broken := error(&bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig})
			stranger := authtest.New(t, authtest.WithAudience(apiAudience))
			read := a.token("orders:read")
			for _, tt := range []struct {
				name, method, target string
				lines                []string
				down                 *error

				status     int
				challenges []string // what the first of each scheme holds; nil: there is none
				retry      bool
				allow      bool
			}{
				{name: "no token", target: "/orders/7", status: 401, challenges: []string{`Bearer realm="api", scope="orders:read", resource_metadata="https://api.example/.well-known/oauth-protected-resource"`, `DPoP realm="api", algs=`}},
				{name: "HEAD without a token", method: "HEAD", target: "/orders/7", status: 401, challenges: []string{`Bearer realm="api"`, `DPoP realm="api"`}},
				{name: "another issuer", target: "/orders/7", lines: []string{"Authorization: Bearer " + stranger.Token(authtest.Claims{Scopes: scope.Of("orders:read")})}, status: 401, challenges: []string{`error="invalid_token"`, `DPoP realm`}},
				{name: "an expired token", target: "/orders/7", lines: []string{"Authorization: Bearer " + a.as.Token(authtest.Claims{Scopes: scope.Of("orders:read"), IssuedAt: time.Now().Add(-2 * time.Hour), ExpiresAt: time.Now().Add(-time.Hour)})}, status: 401, challenges: []string{`error_description="The access token has expired."`, `DPoP realm`}},
				{name: "a bad token on an optional route", target: "/news", lines: []string{"Authorization: Bearer x"}, status: 401, challenges: []string{`error="invalid_token"`, `DPoP realm`}},
				{name: "malformed", target: "/orders/7", lines: []string{"Authorization: Bearer a b"}, status: 400, challenges: []string{`error="invalid_request"`, `DPoP realm`}},
				{name: "too few scopes", method: "POST", target: "/orders/7", lines: []string{read, "Content-Length: 0"}, status: 403, challenges: []string{`error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:write"`, `DPoP realm`}},
				{name: "a policy says no", target: "/orders/7/secret", lines: []string{read}, status: 403},
				{name: "a weak authentication", target: "/orders/7/pay", lines: []string{read}, status: 401, challenges: []string{`error="insufficient_user_authentication", error_description="A stronger or more recent authentication of the user is required.", acr_values="mfa", max_age="60"`, `DPoP realm`}},
				{name: "an outage", target: "/orders/7", lines: []string{read}, down: &outage, status: 503, retry: true},
				{name: "a mistake", target: "/orders/7", lines: []string{read}, down: &broken, status: 500},
				{name: "no route", target: "/nothing", lines: []string{read}, status: 404},
				{name: "no method", method: "DELETE", target: "/orders/7", lines: []string{read}, status: 405, allow: true},
				{name: "a preflight of a route without one", method: "OPTIONS", target: "/orders/7/secret", lines: []string{"Origin: https://app.example", "Access-Control-Request-Method: GET"}, status: 401, challenges: []string{`Bearer realm`, `DPoP realm`}},
				{name: "a path in two ways", target: "/orders/7%2fsecret", lines: []string{read}, status: 400},
				{name: "the endpoint itself", target: "/forward-auth", lines: []string{read, "X-Forwarded-Uri: /health", "X-Original-URI: /health"}, status: 404},
			} {
				t.Run(tt.name, func(t *testing.T) {
					a.down.Store(tt.down)
					defer a.down.Store(nil)
					before := a.service.Count()
					res, body := a.send(t, tt.method, tt.target, tt.lines...)
					require.Equal(t, before, a.service.Count(), "the service was reached")
					require.Equal(t, tt.status, res.StatusCode, body)
					require.Empty(t, res.Header.Values("X-Service"))
					require.Equal(t, "no-store", strings.Join(res.Header.Values("Cache-Control"), "|"))
					require.Equal(t, tt.retry, res.Header.Get("Retry-After") != "", res.Header)
					require.Equal(t, tt.allow, res.Header.Get("Allow") != "", res.Header)
					challenges := res.Header.Values("WWW-Authenticate")
					require.Len(t, challenges, len(tt.challenges), challenges)
					for i, want := range tt.challenges {
						require.Contains(t, challenges[i], want)
					}
					require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
					if tt.method != "HEAD" {
						require.Contains(t, body, `"status":`)
					}
					for name := range res.Header { // these are between the proxy and the authorizer
						require.False(t, strings.HasPrefix(name, "X-Auth"), name)
					}
				})
			}
		})
	}
}

// What is accepted reaches the service once, as it was sent, and the service knows who calls.
func TestAcceptedBehindAProxy(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			a := serve(t, p)
			alice := map[string]string{"X-Auth-Issuer": a.as.Issuer(), "X-Auth-Subject": "alice", "X-Auth-Client": "app", "X-Auth-Scopes": "orders:read orders:write"}
			nobody := map[string]string{"X-Auth-Issuer": "", "X-Auth-Subject": "", "X-Auth-Client": "", "X-Auth-Scopes": ""}
			both := a.token("orders:read", "orders:write")
			long := strings.Repeat("s", 5000)
			for _, tt := range []struct {
				name, method, target string
				lines                []string
				identity             map[string]string
			}{
				{name: "GET", target: "/orders/7?a=1", lines: []string{both}, identity: alice},
				{name: "POST with a body", method: "POST", target: "/orders/7", lines: []string{both, "Content-Length: 3", "", "abc"}, identity: alice},
				{name: "nobody on an optional route", target: "/news", identity: nobody},
				{name: "somebody on an optional route", target: "/news", lines: []string{both}, identity: alice},
				{name: "a subject that looks like a placeholder", target: "/news", lines: []string{"Authorization: Bearer " + a.as.Token(authtest.Claims{Subject: "{http.request.host}$host", ClientID: "app, {env.HOME}", Scopes: scope.Of("orders:read")})},
					identity: map[string]string{"X-Auth-Subject": "{http.request.host}$host", "X-Auth-Client": "app%2C {env.HOME}"}},
				{name: "a path that looks like a placeholder", target: "/orders/$host?{env.HOME}$host", lines: []string{both}, identity: alice},
				{name: "a long header of the answer", target: "/news", lines: []string{"Authorization: Bearer " + a.as.Token(authtest.Claims{Subject: long, Scopes: scope.Of("orders:read")})}, identity: map[string]string{"X-Auth-Subject": long}},
				{name: "public", target: "/health", lines: []string{both}, identity: nobody},
				{name: "a preflight that is public", method: "OPTIONS", target: "/orders/7", lines: []string{"Origin: https://app.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}, identity: nobody},
			} {
				t.Run(tt.name, func(t *testing.T) {
					before := a.service.Count()
					res, body := a.send(t, tt.method, tt.target, tt.lines...)
					require.Equal(t, 200, res.StatusCode, body)
					require.Equal(t, "reached", body)
					require.Equal(t, before+1, a.service.Count())
					got := a.service.Last()
					require.Equal(t, tt.target, got.RequestURI)
					for name, value := range tt.identity {
						require.Equal(t, value, strings.Join(got.Header.Values(name), "|"), name)
					}
					require.Empty(t, got.Header.Get("Authorization"))
					if tt.method == "OPTIONS" {
						require.Equal(t, "GET", got.Header.Get("Access-Control-Request-Method"))
					}
					if tt.method == "POST" {
						require.EqualValues(t, 3, got.ContentLength)
					}
					require.Empty(t, res.Header.Values("X-Auth-Subject"))
				})
			}
			// What nginx asks itself, no client can.
			for _, target := range []string{"/_bearergate", "/_bearergat%65", "/@refused", "/x/../_bearergate"} {
				before := a.service.Count()
				res, _ := a.send(t, "GET", target, both)
				require.Contains(t, []int{400, 404}, res.StatusCode, target)
				require.Equal(t, before, a.service.Count())
			}
			// The metadata document needs no token, and the service does not have it.
			before := a.service.Count()
			res, body := a.send(t, "GET", "/.well-known/oauth-protected-resource")
			require.Equal(t, 200, res.StatusCode)
			require.Contains(t, body, `"resource": "https://api.example"`)
			require.Equal(t, before, a.service.Count())
		})
	}
}

// A proof is for the request of the client, and counts once; the nonce finds its way.
func TestDPoPBehindAProxy(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			a := serve(t, p)
			key, err := authtest.NewDPoPKey("ES256")
			require.NoError(t, err)
			token := a.as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read"), Confirmation: key.Confirmation()})
			proof := func(method, target, nonce string) string {
				claims := key.Claims(method, apiAudience+target, token)
				if nonce != "" {
					claims["nonce"] = nonce
				}
				return key.Sign(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": key.JWK()}, claims)
			}
			authorization := "Authorization: DPoP " + token
			res, _ := a.send(t, "GET", "/orders/7", authorization, "DPoP: "+proof("GET", "/orders/7", ""))
			require.Equal(t, 401, res.StatusCode)
			require.Contains(t, res.Header.Values("WWW-Authenticate")[0], `error="use_dpop_nonce"`)
			nonce := res.Header.Get("DPoP-Nonce")
			require.NotEmpty(t, nonce)

			good := proof("GET", "/orders/7", nonce)
			res, body := a.send(t, "GET", "/orders/7", authorization, "DPoP: "+good)
			require.Equal(t, 200, res.StatusCode, body)
			require.Equal(t, "alice", a.service.Last().Header.Get("X-Auth-Subject"))
			for name, sent := range map[string]string{"used before": good, "for the question": proof("GET", "/forward-auth", nonce), "for another path": proof("GET", "/orders/8", nonce), "for another method": proof("POST", "/orders/7", nonce)} {
				before := a.service.Count()
				res, _ := a.send(t, "GET", "/orders/7", authorization, "DPoP: "+sent)
				require.Equal(t, 401, res.StatusCode, name)
				require.Contains(t, res.Header.Values("WWW-Authenticate")[0], `error="invalid_dpop_proof"`, name)
				require.Equal(t, before, a.service.Count(), name)
			}
			res, _ = a.send(t, "GET", "/orders/7", "Authorization: Bearer "+token)
			require.Equal(t, 401, res.StatusCode, "a bound token under Bearer")
		})
	}
}

// The nonce for the next proof comes with what the service answers, which nobody may keep for
// somebody else then (RFC 9449 §8.2).
func TestANonceWithWhatIsAccepted(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			a := serveNonces(t, p, true)
			key, err := authtest.NewDPoPKey("ES256")
			require.NoError(t, err)
			token := a.as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read"), Confirmation: key.Confirmation()})
			send := func(nonce string) *http.Response {
				claims := key.Claims("GET", apiAudience+"/orders/7", token)
				if nonce != "" {
					claims["nonce"] = nonce
				}
				before := a.service.Count()
				res, body := a.send(t, "GET", "/orders/7", "Authorization: DPoP "+token, "DPoP: "+key.Sign(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": key.JWK()}, claims))
				require.Equal(t, 200, res.StatusCode, body)
				require.Equal(t, before+1, a.service.Count())
				return res
			}
			res := send("")
			require.Len(t, res.Header.Values("DPoP-Nonce"), 1)
			require.Equal(t, []string{"no-store"}, res.Header.Values("Cache-Control"))
			require.Equal(t, "alice", a.service.Last().Header.Get("X-Auth-Subject"))
			res = send(res.Header.Get("DPoP-Nonce"))
			require.Empty(t, res.Header.Values("DPoP-Nonce"), "it is still good")
			require.Empty(t, res.Header.Values("Cache-Control"))
		})
	}
}

// While the authorizer does not answer, nobody enters, and nobody is blamed.
func TestOutageOfTheAuthorizer(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			a := serve(t, p)
			read := a.token("orders:read")
			res, _ := a.send(t, "GET", "/orders/7", read)
			require.Equal(t, 200, res.StatusCode)
			before := a.service.Count()
			a.ask.CloseClientConnections()
			a.ask.Close()
			for _, target := range []string{"/orders/7", "/health", "/news", "/nothing"} {
				res, body := a.send(t, "GET", target, read)
				require.Equal(t, 503, res.StatusCode, body)
				require.NotEmpty(t, res.Header.Get("Retry-After"))
				require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
				require.Empty(t, res.Header.Values("WWW-Authenticate"))
			}
			require.Equal(t, before, a.service.Count(), "the service was reached")
		})
	}
}

// An authorizer that takes a question and says nothing is one that does not answer: the proxy
// does not wait for ever.
func TestASilentAuthorizer(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			release := make(chan struct{})
			gate := gateOf(t, kit.Granting())
			pattern, metadata, err := gate.Metadata(middleware.Metadata{AuthorizationServers: []string{"https://as.example.test"}})
			require.NoError(t, err)
			mux := http.NewServeMux()
			mux.Handle(pattern, metadata)
			mux.HandleFunc("/forward-auth", func(http.ResponseWriter, *http.Request) { <-release })
			silent := httptest.NewServer(mux)
			defer silent.Close()
			defer close(release)
			service := confusion.Service{}
			behind := httptest.NewServer(&service)
			defer behind.Close()
			quick := p
			quick.change = func(dir, config string) string {
				require.Equal(t, 1, strings.Count(config, " 10s"), "the time that a question may take")
				return p.change(dir, strings.Replace(config, " 10s", " 1s", 1))
			}
			at := front(t, quick, silent.URL, behind.URL)
			res, body := confusion.Send(t, at, confusion.Request{Target: "/public/x"})
			require.Equal(t, 503, res.StatusCode, body)
			require.NotEmpty(t, res.Header.Get("Retry-After"))
			require.Zero(t, service.Count())
		})
	}
}

// What the service answers, it answers itself: its refusals are not those of the authorizer.
func TestTheServiceAnswersForItself(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			gate := gateOf(t, kit.Granting())
			behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				status, err := strconv.Atoi(r.URL.Query().Get("status"))
				if err != nil {
					status = http.StatusTeapot
				}
				w.Header().Set("WWW-Authenticate", "Service")
				http.Error(w, "of the service", status)
			}))
			defer behind.Close()
			at := front(t, p, authorizer(t, p.name, confusion.Routes(gate, http.NotFoundHandler()), gate).URL, behind.URL)
			for _, status := range []int{400, 401, 403, 404, 500, 502, 503} {
				res, body := confusion.Send(t, at, confusion.Request{Target: "/public/x?status=" + strconv.Itoa(status)})
				require.Equal(t, status, res.StatusCode)
				require.Equal(t, "of the service\n", body)
				require.Equal(t, []string{"Service"}, res.Header.Values("WWW-Authenticate"))
			}
		})
	}
}

// limited is nginx with the limits of docs/proxies.md, after a change to them.
func limited(t *testing.T, change func(string) string) program {
	t.Helper()
	document, err := os.ReadFile("../../docs/proxies.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(document), "```text nginx\n")
	require.True(t, found)
	block, _, _ := strings.Cut(after, "```")
	inHTTP, inServer, found := strings.Cut(change(block), "# In server.")
	require.True(t, found)
	require.Contains(t, inHTTP, "rate=10r/s;")
	inHTTP = strings.Replace(inHTTP, "rate=10r/s;", "rate=1r/m;", 1) // so that the burst is all there is

	p := programs[0]
	p.change = func(dir, config string) string {
		config = strings.Replace(config, "\tserver {\n", inHTTP+"\tserver {\n#"+inServer, 1)
		return programs[0].change(dir, config)
	}
	return p
}

// The limits of docs/proxies.md: who sends no token is turned away before anybody is asked,
// and who sends one is served meanwhile.
func TestLimitsAtTheEdge(t *testing.T) {
	p := limited(t, func(block string) string { return block })
	a := serve(t, p)
	turnedAway := 0
	for range 40 {
		before := a.service.Count()
		res, _ := a.send(t, "GET", "/health")
		if res.StatusCode == 429 {
			turnedAway++
			require.Equal(t, before, a.service.Count(), "the service was reached")
			continue
		}
		require.Equal(t, 200, res.StatusCode)
		require.Zero(t, turnedAway, "served again within a minute")
	}
	require.GreaterOrEqual(t, turnedAway, 40-21) // the burst and one
	require.Less(t, turnedAway, 40)
	for range 40 {
		res, _ := a.send(t, "GET", "/orders/7", a.token("orders:read"))
		require.Equal(t, 200, res.StatusCode)
	}
	a.ask.CloseClientConnections()
	a.ask.Close()
	res, _ := a.send(t, "GET", "/health")
	require.Equal(t, 429, res.StatusCode, "the authorizer was asked, and is down")
}
