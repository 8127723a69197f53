package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

func TestNewNamesEveryMistake(t *testing.T) {
	var nilFunc bearergate.VerifierFunc
	var nilPointer *structVerifier
	for name, v := range map[string]bearergate.Verifier{"nil": nil, "nil func": nilFunc, "nil pointer": nilPointer} {
		gate, err := middleware.New(v, middleware.Config{Realm: "a\"b"})
		require.Nil(t, gate, name)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "verifier")
		require.ErrorContains(t, err, "Config.Realm")
	}
	// req: R6750-06
	for _, realm := range []string{"a\\b", "a\nb", "a\r\nX: y", "ä", "a\x00", "\x7f", "\t"} {
		gate, err := middleware.New(accepts(reader), middleware.Config{Realm: realm})
		require.Nil(t, gate)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	for _, realm := range []string{"", "api", "The orders of <us>, 'all' !#[]~"} {
		newGate(t, accepts(reader), middleware.Config{Realm: realm})
	}
}

func TestNewNamesContradictions(t *testing.T) {
	_, err := middleware.New(accepts(reader), middleware.Config{DropAuthorization: true,
		Extract: func(*http.Request) (bearergate.Credentials, error) { return bearergate.Credentials{}, nil }})
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.ErrorContains(t, err, "Config.DropAuthorization with Extract")
}

func TestExtractHeaders(t *testing.T) {
	extract := func(*http.Request) (bearergate.Credentials, error) { return bearergate.Credentials{}, nil }
	for _, names := range [][]string{nil, {"Cookie"}, {"authorization", "x-api-key"}} {
		newGate(t, accepts(reader), middleware.Config{Extract: extract, ExtractHeaders: names})
	}
	newGate(t, accepts(reader), middleware.Config{Extract: extract, ExtractHeaders: []string{"Cookie"}, DropAuthorization: true})
	for _, tc := range []struct {
		name   string
		config middleware.Config
		says   string
	}{
		{name: "without Extract", config: middleware.Config{ExtractHeaders: []string{"Authorization"}}, says: "without Extract"},
		{name: "an underscore", config: middleware.Config{Extract: extract, ExtractHeaders: []string{"X_Api_Key"}}, says: `the name "X_Api_Key"`},
		{name: "an empty name", config: middleware.Config{Extract: extract, ExtractHeaders: []string{""}}, says: `the name ""`},
		{name: "a dash at the end", config: middleware.Config{Extract: extract, ExtractHeaders: []string{"X-Api-"}}, says: `the name "X-Api-"`},
		{name: "twice", config: middleware.Config{Extract: extract, ExtractHeaders: []string{"X-Api-Key", "x-api-key"}}, says: "X-Api-Key is given twice"},
		{name: "Host", config: middleware.Config{Extract: extract, ExtractHeaders: []string{"host"}}, says: "Host: it has a meaning"},
		{name: "in Identity too", config: middleware.Config{Extract: extract, ExtractHeaders: []string{"X-User"}, Identity: map[string]func(*bearergate.Token) string{"x-user": (*bearergate.Token).Subject}}, says: "X-User is in Identity too"},
	} {
		gate, err := middleware.New(accepts(reader), tc.config)
		require.Nil(t, gate, tc.name)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, tc.says)
	}
	names := []string{"Cookie"}
	gate := newGate(t, accepts(reader), middleware.Config{Extract: extract, ExtractHeaders: names})
	names[0] = "Changed"
	w := httptest.NewRecorder()
	gate.Optional(scope.Requirement{})(kit.Says("served")).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, []string{"Cookie"}, w.Header().Values("Vary"), "New copies")
}

// http is for this machine, whatever it is called here.
func TestResourceOnLoopback(t *testing.T) {
	for host, loopback := range kit.Hosts() {
		_, err := middleware.New(accepts(reader), middleware.Config{Resource: "http://" + host + "/api"})
		require.Equal(t, loopback, err == nil, "%s: %v", host, err)
	}
}

func TestRequirePutsTheTokenIntoTheContext(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	var ran int
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "PROPFIND"} {
		r := bearer(method, good)
		before := r.Clone(r.Context())
		w := httptest.NewRecorder()
		gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, inner *http.Request) {
			ran++
			token, ok := bearergate.FromContext(inner.Context())
			assert.True(t, ok)
			assert.Equal(t, "u1", token.Subject())
			assert.NotSame(t, r, inner)
			w.WriteHeader(http.StatusNoContent)
		})).ServeHTTP(w, r)
		require.Equal(t, http.StatusNoContent, w.Code)
		require.Empty(t, w.Header())
		_, ok := bearergate.FromContext(r.Context())
		require.False(t, ok, "the caller's request was changed")
		require.Equal(t, before.Header, r.Header)
	}
	require.Equal(t, 5, ran)
}

func TestTheZeroRequirementStillRequiresAToken(t *testing.T) {
	gate := newGate(t, accepts(bearergate.Claims{}), middleware.Config{})
	token, _, err := gate.Check(bearer("GET", good), scope.Requirement{})
	require.NoError(t, err)
	require.Zero(t, token.Scopes().Len())
	refused(t, gate, httptest.NewRequest("GET", "/", nil), scope.Requirement{}, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	refused(t, gate, bearer("GET", "bad"), scope.Requirement{}, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
}

func TestAnInnerGateHidesTheTokenOfTheOuter(t *testing.T) {
	outer := newGate(t, accepts(reader), middleware.Config{})
	inner := newGate(t, accepts(bearergate.Claims{Subject: "u2"}), middleware.Config{})
	var got string
	h := outer.Require(scope.All("read"))(inner.Require(scope.Requirement{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token, _ := bearergate.FromContext(r.Context())
		got = token.Subject()
	})))
	h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
	require.Equal(t, "u2", got)
}

// What Require cannot report closes the route, for every request and with an event.
func TestABrokenRouteIsClosed(t *testing.T) {
	events := &log{}
	gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()})
	var nilFunc bearergate.VerifierFunc
	var nilPointer *structVerifier
	var nilHandler http.HandlerFunc
	var nilHandlerMap handlers
	stepUp := middleware.StepUp([]string{"mfa"}, 0)
	via := middleware.Via(accepts(reader))
	for name, tc := range map[string]struct {
		gate *middleware.Gate
		need scope.Requirement
		opts []middleware.RouteOption
		next http.Handler
	}{
		"no scopes in All":       {need: scope.All()},
		"bad scope":              {need: scope.Any("read", "a b")},
		"Via nil":                {opts: []middleware.RouteOption{middleware.Via(nil)}},
		"Via nil func":           {opts: []middleware.RouteOption{middleware.Via(nilFunc)}},
		"Via nil pointer":        {opts: []middleware.RouteOption{middleware.Via(nilPointer)}},
		"Via twice":              {opts: []middleware.RouteOption{via, via}},
		"Bound without Bindings": {opts: []middleware.RouteOption{middleware.Bound()}},
		"Allow of nothing":       {opts: []middleware.RouteOption{middleware.Allow()}},
		"Allow nil":              {opts: []middleware.RouteOption{middleware.Allow(nil)}},
		"nil option":             {opts: []middleware.RouteOption{nil}},
		"embedded nil option":    {opts: []middleware.RouteOption{struct{ middleware.RouteOption }{}}},
		"StepUp of nothing":      {opts: []middleware.RouteOption{middleware.StepUp(nil, 0)}},
		"StepUp twice":           {opts: []middleware.RouteOption{stepUp, stepUp}},
		"negative maxAge":        {opts: []middleware.RouteOption{middleware.StepUp(nil, -time.Second)}},
		"maxAge without a unit":  {opts: []middleware.RouteOption{middleware.StepUp(nil, 300)}},
		"empty acr":              {opts: []middleware.RouteOption{middleware.StepUp([]string{""}, 0)}},
		"acr with a space":       {opts: []middleware.RouteOption{middleware.StepUp([]string{"a b"}, 0)}},
		"acr with a quote":       {opts: []middleware.RouteOption{middleware.StepUp([]string{"ok", "a\"b"}, 0)}},
		"acr with a line feed":   {opts: []middleware.RouteOption{middleware.StepUp([]string{"a\nb"}, 0)}},
		"AuthContext twice":      {opts: []middleware.RouteOption{middleware.AuthContext("c1"), middleware.AuthContext("c2")}},
		"empty AuthContext":      {opts: []middleware.RouteOption{middleware.AuthContext("")}},
		"AuthContexts in one":    {opts: []middleware.RouteOption{middleware.AuthContext("c1 c2")}},
		"AuthContext, quoted":    {opts: []middleware.RouteOption{middleware.AuthContext(`"c1"`)}},
		"acr beyond ASCII":       {opts: []middleware.RouteOption{middleware.StepUp([]string{"ä"}, 0)}},
		"zero gate":              {gate: &middleware.Gate{}},
		"zero gate with Via":     {gate: &middleware.Gate{}, opts: []middleware.RouteOption{via}},
		"nil handler":            {next: (http.Handler)(nil)},
		"nil handler func":       {next: nilHandler},
		"nil handler map":        {next: nilHandlerMap},
		"nil handler, bad scope": {next: nilHandler, need: scope.All("")},
	} {
		t.Run(name, func(t *testing.T) {
			g := gate
			if tc.gate != nil {
				g = tc.gate
			}
			next := tc.next
			isHandler := strings.HasPrefix(name, "nil handler")
			if !isHandler {
				next = forbidden(t)
			}
			h := g.Require(tc.need, tc.opts...)(next)
			for _, r := range []*http.Request{bearer("GET", good), bearer("GET", "bad"), httptest.NewRequest("POST", "/", nil)} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Equal(t, http.StatusInternalServerError, w.Code)
				require.Empty(t, w.Header().Values("WWW-Authenticate"))
				if tc.gate == nil {
					e := events.only(t)
					requireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
					require.Equal(t, bearergate.ReasonConfig, e.Reason)
				}
				if !isHandler {
					refused(t, g, r, tc.need, bearergate.ErrMisconfigured, bearergate.ReasonConfig, tc.opts...)
					if tc.gate == nil {
						events.only(t)
					}
				}
			}
		})
	}
}

// handlers is a handler that may be nil, and count is one that cannot.
type (
	handlers map[string]http.Handler
	count    int
)

func (h handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) { h[r.Method].ServeHTTP(w, r) }

func (c count) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(c)) }

func TestAHandlerNeedNotBeAPointer(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	for _, next := range []http.Handler{count(204), handlers{"GET": count(204)}} {
		w := httptest.NewRecorder()
		gate.Require(scope.All("read"))(next).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 204, w.Code)
	}
}

func TestNilGateAndNilRequest(t *testing.T) {
	var gate *middleware.Gate
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	refused(t, gate, nil, scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 500, w.Code)

	events := &log{}
	refused(t, newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()}), nil, scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	events.only(t)
}

func TestVia(t *testing.T) {
	gate := newGate(t, refuses(bearergate.ErrInvalidToken, bearergate.ReasonAudience), middleware.Config{})
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonAudience)
	token, _, err := gate.Check(bearer("GET", good), scope.All("read"), middleware.Via(accepts(reader)))
	require.NoError(t, err)
	require.Equal(t, "u1", token.Subject())

	// And the other way round: a token for the gate does not open a route with a verifier of its own.
	gate = newGate(t, accepts(reader), middleware.Config{})
	live := middleware.Via(refuses(bearergate.ErrInvalidToken, bearergate.ReasonRevoked))
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonRevoked, live)
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"), live)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 401, w.Code)

	// Options of one route do not leak into the next.
	_, _, err = gate.Check(bearer("GET", good), scope.All("read"))
	require.NoError(t, err)
}

// req: R9470-02 R9470-03 R6750-08
func TestOrderOfTheChecks(t *testing.T) {
	bound := map[string][]byte{"jkt": []byte(`"x"`)}
	stepUp := middleware.StepUp([]string{"mfa"}, 0)
	need := scope.All("write")
	for name, tc := range map[string]struct {
		v      bearergate.Verifier
		kind   error
		reason bearergate.Reason
	}{
		"an invalid token reads invalid_token, whatever the route requires (SCP-022)": {
			refuses(bearergate.ErrInvalidToken, bearergate.ReasonExpired), bearergate.ErrInvalidToken, bearergate.ReasonExpired},
		"an outage reads as one": {
			refuses(bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable},
		"a bound token that nobody confirmed is invalid before it is weak": {
			accepts(bearergate.Claims{Confirmation: bound}), bearergate.ErrInvalidToken, bearergate.ReasonBinding},
		"authentication goes before scope": {
			accepts(bearergate.Claims{}), bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication},
		"scope is last": {
			accepts(bearergate.Claims{ACR: "mfa"}), bearergate.ErrInsufficientScope, bearergate.ReasonScope},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, tc.v, middleware.Config{})
			refused(t, gate, bearer("GET", good), need, tc.kind, tc.reason, stepUp)
			w := httptest.NewRecorder()
			gate.Require(need, stepUp)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			if c := w.Header().Get("WWW-Authenticate"); tc.kind == bearergate.ErrInvalidToken {
				require.NotContains(t, c, "acr_values")
				require.NotContains(t, c, "scope")
			}
		})
	}
	// Without a token nobody learns what the route requires.
	w := httptest.NewRecorder()
	newGate(t, accepts(reader), middleware.Config{}).Require(need, stepUp)(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, `Bearer realm="api"`, w.Header().Get("WWW-Authenticate"))
}

func TestAPanicOfTheHandlerIsNotRecovered(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	h := gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mine") }))
	require.PanicsWithValue(t, "mine", func() { h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good)) })
}

// The body belongs to the handler, and a token in it or in the query is none.
func TestTheBodyIsNotTouched(t *testing.T) {
	// req: R6750-02 R6750-03
	gate := newGate(t, accepts(reader), middleware.Config{})
	body := &touchy{t: t}
	r := httptest.NewRequest("POST", "/orders?access_token="+good, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	refused(t, gate, r, scope.All("read"), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	require.Nil(t, r.Form)

	// req: R6750-04: beside a token in the header, the others are not looked at either.
	r.Header.Set("Authorization", "Bearer "+good)
	_, _, err := gate.Check(r, scope.All("read"))
	require.NoError(t, err)
	require.Nil(t, r.Form)

	var read string
	r = httptest.NewRequest("POST", "/", strings.NewReader("access_token="+good))
	r.Header.Set("Authorization", "Bearer "+good)
	gate.Require(scope.All("read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		read = string(b)
	})).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "access_token="+good, read)
}

type touchy struct{ t testing.TB }

func (b *touchy) Read([]byte) (int, error) { b.t.Error("the body was read"); return 0, io.EOF }
func (b *touchy) Close() error             { b.t.Error("the body was closed"); return nil }

func TestScopes(t *testing.T) {
	for name, tc := range map[string]struct {
		granted scope.Set
		need    scope.Requirement
		ok      bool
	}{
		"SCP-001 read write":       {scope.Of("read", "write"), scope.All("read"), true},
		"SCP-007 read":             {scope.Of("read"), scope.All("read"), true},
		"SCP-010 tab":              {scope.Of("read\twrite"), scope.All("read"), false},
		"SCP-010 line feed":        {scope.Of("write\nread"), scope.All("read"), false},
		"SCP-010 comma":            {scope.Of("read,write"), scope.All("read"), false},
		"SCP-016 NBSP":             {scope.Of("\u00a0read"), scope.All("read"), false},
		"SCP-017 star":             {scope.Of("*"), scope.All("read"), false},
		"SCP-018 SCP-019 write":    {scope.Of("write"), scope.All("read"), false},
		"nothing granted":          {scope.Set{}, scope.All("read"), false},
		"another case":             {scope.Of("READ"), scope.All("read"), false},
		"prefix":                   {scope.Of("rea", "read:all"), scope.All("read"), false},
		"one of two":               {scope.Of("read"), scope.All("read", "write"), false},
		"any of two":               {scope.Of("write"), scope.Any("read", "write"), true},
		"nested":                   {scope.Of("admin"), scope.AnyOf(scope.All("admin"), scope.All("read", "write")), true},
		"nested, half of the rest": {scope.Of("write"), scope.AnyOf(scope.All("admin"), scope.All("read", "write")), false},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(bearergate.Claims{Subject: "u1", Scopes: tc.granted}), middleware.Config{Hooks: events.hooks()})
			if tc.ok {
				token, _, err := gate.Check(bearer("GET", good), tc.need)
				require.NoError(t, err)
				require.Equal(t, tc.granted, token.Scopes())
				require.Equal(t, bearergate.Reason(""), events.only(t).Reason)
				return
			}
			err := refused(t, gate, bearer("GET", good), tc.need, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
			require.Equal(t, tc.need.Scopes(), bearergate.AsError(err).Scopes)
			require.Equal(t, "u1", events.only(t).Token.Subject())
		})
	}
}

// A bubble ends only when every goroutine in it has ended.
func TestConcurrentUseLeavesNoGoroutine(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		events := &log{}
		gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()})
		h := gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				token, want := good, 204
				if i%2 == 0 {
					token, want = "bad", 401
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, bearer("GET", token))
				assert.Equal(t, want, w.Code)
				_, _, _ = gate.Check(bearer("GET", token), scope.All("read"), middleware.StepUp([]string{"a"}, 0))
			})
		}
		wg.Wait()
		require.Len(t, events.events, 100)
	})
}

// Headers that an outer handler set for its own answer are not sent with a
// refusal.
func TestRefusalsDropOuterHeaders(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	w := httptest.NewRecorder()
	for _, name := range []string{"Content-Encoding", "ETag", "Last-Modified", "Expires", "CDN-Cache-Control", "Surrogate-Control"} {
		w.Header().Set(name, "x")
	}
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 401, w.Code)
	w.Header().Del("Date")
	require.Len(t, w.Header(), 3, "%v", w.Header()) // WWW-Authenticate, Cache-Control, Content-Type
}
