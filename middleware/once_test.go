package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// ends is when it expires: long after this.
var ends = time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)

// invitation is a token that can be told from others.
var invitation = bearergate.Claims{Issuer: "https://as.example.com/", Subject: "u1", ID: "id-1", ExpiresAt: ends, Scopes: scope.Of("read")}

type useFunc func(ctx context.Context, key string, until time.Time) (bool, error)

func (f useFunc) Use(ctx context.Context, key string, until time.Time) (bool, error) {
	return f(ctx, key, until)
}

// useMap is a store that panics where it is nil.
type useMap map[string]bool

func (m useMap) Use(_ context.Context, key string, _ time.Time) (fresh bool, err error) {
	fresh, m[key] = !m[key], true
	return fresh, nil
}

// used is a store in memory.
type used struct {
	mu   sync.Mutex // guards keys
	keys map[string]time.Time
}

func (u *used) Use(_ context.Context, key string, until time.Time) (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.keys[key]; ok {
		return false, nil
	}
	if u.keys == nil {
		u.keys = map[string]time.Time{}
	}
	u.keys[key] = until
	return true, nil
}

func TestOnce(t *testing.T) {
	changed := func(change func(*bearergate.Claims)) bearergate.Claims {
		c := invitation
		change(&c)
		return c
	}
	for name, tc := range map[string]struct {
		claims bearergate.Claims
		before []bearergate.Claims // what entered first
		reason bearergate.Reason
	}{
		"the first time":  {claims: invitation},
		"the second time": {claims: invitation, before: []bearergate.Claims{invitation}, reason: bearergate.ReasonReplay},
		"the same jti with other claims": {claims: changed(func(c *bearergate.Claims) { c.Subject, c.ExpiresAt = "u2", ends.Add(time.Hour) }), before: []bearergate.Claims{invitation},
			reason: bearergate.ReasonReplay},
		"another jti":                         {claims: changed(func(c *bearergate.Claims) { c.ID = "id-2" }), before: []bearergate.Claims{invitation}},
		"another issuer":                      {claims: changed(func(c *bearergate.Claims) { c.Issuer = "https://other.example/" }), before: []bearergate.Claims{invitation}},
		"a jti that begins as an issuer ends": {claims: changed(func(c *bearergate.Claims) { c.Issuer, c.ID = "https://as.example.com/i", "d-1" }), before: []bearergate.Claims{invitation}},
		"without jti":                         {claims: changed(func(c *bearergate.Claims) { c.ID = "" }), reason: bearergate.ReasonMissingClaim},
		"longer expired than any leeway":      {claims: changed(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(-5*time.Minute - time.Second) }), reason: bearergate.ReasonMissingClaim},
		"without exp":                         {claims: changed(func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} }), reason: bearergate.ReasonMissingClaim},
	} {
		t.Run(name, func(t *testing.T) {
			store := &used{}
			opt := middleware.Once(store)
			for _, c := range tc.before {
				_, _, err := newGate(t, accepts(c), middleware.Config{}).Check(bearer("GET", good), scope.All("read"), opt)
				require.NoError(t, err)
			}
			events := &log{}
			gate := newGate(t, accepts(tc.claims), middleware.Config{Hooks: events.hooks()})
			w := httptest.NewRecorder()
			if tc.reason == "" {
				gate.Require(scope.All("read"), opt)(whoami(t)).ServeHTTP(w, bearer("GET", good))
				require.Equal(t, "u1", w.Body.String())
				require.NoError(t, events.only(t).Err)
				return
			}
			gate.Require(scope.All("read"), opt)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, 401, w.Code)
			require.Equal(t, `Bearer realm="api", error="invalid_token", error_description="`+bodyInvalid+`"`, w.Header().Get("WWW-Authenticate"))
			e := events.only(t)
			requireError(t, e.Err, bearergate.ErrInvalidToken, tc.reason)
			require.NotNil(t, e.Token)
			refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, tc.reason, opt)
		})
	}
}

// The key is the same everywhere and for all time, and is remembered for longer than
// any verifier accepts the token.
func TestOnceKeyAndTime(t *testing.T) {
	store := &used{}
	_, _, err := newGate(t, accepts(invitation), middleware.Config{}).Check(bearer("GET", good), scope.All("read"), middleware.Once(store))
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{"xDXXVTJVf4wRmSggZojnNAMN1F_2VSeqxgVvcR7iTTw": ends.Add(5*time.Minute + time.Second)}, store.keys)
	require.Equal(t, 5*time.Minute, max(jwtverify.MaxLeeway, introspect.MaxLeeway), "no verifier may be told to wait longer than Once remembers")
}

// Only what would enter uses a token up.
func TestOnceIsAskedLast(t *testing.T) {
	store := &used{}
	opt := middleware.Once(store)
	panics := middleware.Config{Identity: map[string]func(*bearergate.Token) string{"X-User": func(*bearergate.Token) string { panic("x") }}}
	gate := newGate(t, accepts(invitation), middleware.Config{})
	no := middleware.Allow(func(*http.Request, *bearergate.Token) error { return errors.New("no") })
	refused(t, gate, bearer("GET", "bad"), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonMalformed, opt)
	refused(t, gate, bearer("GET", good), scope.All("write"), bearergate.ErrInsufficientScope, bearergate.ReasonScope, opt)
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrForbidden, bearergate.ReasonRole, opt, middleware.Roles("x"))
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrForbidden, bearergate.ReasonPolicy, opt, no)
	w := httptest.NewRecorder()
	newGate(t, accepts(invitation), panics).Require(scope.All("read"), opt)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 500, w.Code)
	w = httptest.NewRecorder()
	gate.Optional(scope.All("read"), opt)(whoami(t)).ServeHTTP(w, httptest.NewRequest("GET", "/orders", nil))
	require.Equal(t, "nobody", w.Body.String())
	require.Empty(t, store.keys)

	// A replay in a roll-out passes, and nothing says who it is.
	for _, who := range []string{"u1 u1", "nobody "} {
		w = httptest.NewRecorder()
		trial := newGate(t, accepts(invitation), middleware.Config{InsecureReportOnly: true, Identity: map[string]func(*bearergate.Token) string{"X-User": (*bearergate.Token).Subject}})
		trial.Require(scope.All("read"), opt)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			whoami(t).ServeHTTP(w, r)
			_, _ = w.Write([]byte(" " + r.Header.Get("X-User")))
		})).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, who, w.Body.String())
	}
}

// A token that was used is not a proof that was used: a client that is told so
// would send another proof with the same token, for ever.
func TestAUsedTokenIsNoUsedProof(t *testing.T) {
	bound := invitation
	bound.Confirmation = map[string][]byte{"jkt": []byte(`"key"`)}
	replayed := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay}
	for name, tc := range map[string]struct {
		confirm confirm
		opts    []middleware.RouteOption
		code    string
	}{
		"a used token":          {confirm: fails(nil), opts: []middleware.RouteOption{middleware.Once(useFunc(func(context.Context, string, time.Time) (bool, error) { return false, nil }))}, code: "invalid_token"},
		"a store that says so":  {confirm: fails(nil), opts: []middleware.RouteOption{middleware.Once(useFunc(func(context.Context, string, time.Time) (bool, error) { return false, replayed }))}, code: "invalid_token"},
		"a policy that says so": {confirm: fails(nil), opts: []middleware.RouteOption{middleware.Allow(func(*http.Request, *bearergate.Token) error { return replayed })}, code: "invalid_token"},
		"a used proof":          {confirm: fails(replayed), code: "invalid_dpop_proof"},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(bound), middleware.Config{Bindings: bindings(dpop(tc.confirm)), Hooks: events.hooks()})
			w := httptest.NewRecorder()
			r := bearer("GET", good)
			r.Header.Set("Authorization", "DPoP "+good)
			gate.Require(scope.All("read"), tc.opts...)(forbidden(t)).ServeHTTP(w, r)
			require.Equal(t, 401, w.Code)
			challenges := w.Header().Values("WWW-Authenticate")
			require.Len(t, challenges, 2)
			require.Contains(t, challenges[0], `DPoP realm="api", algs="ES256 EdDSA", error="`+tc.code+`"`)
			requireError(t, events.only(t).Err, bearergate.ErrInvalidToken, bearergate.ReasonReplay)
		})
	}
}

// Of many at once, one enters; and routes that share a store share the count.
func TestOnceLetsOneIn(t *testing.T) {
	rt := newGate(t, accepts(invitation), middleware.Config{}).NewRouter()
	group := rt.Group("/x", scope.All("read"), middleware.Once(&used{}))
	group.Authenticated("POST /a", says("entered"))
	group.Authenticated("POST /b", says("entered"))
	h := built(t, rt)
	var mu sync.Mutex
	count := map[int]int{}
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			r := bearer("POST", good)
			r.URL.Path = []string{"/x/a", "/x/b"}[i%2]
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			count[w.Code]++
		})
	}
	wait.Wait()
	require.Equal(t, map[int]int{200: 1, 401: 19}, count)
}

func TestOnceOfAStoreThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		opt := middleware.Once(useFunc(func(ctx context.Context, _ string, _ time.Time) (bool, error) {
			<-ctx.Done()
			return true, ctx.Err()
		}))
		gate := newGate(t, accepts(invitation), middleware.Config{})
		start := time.Now()
		w := httptest.NewRecorder()
		gate.Require(scope.All("read"), opt)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 503, w.Code)
		require.Equal(t, 2*time.Second, time.Since(start))
		refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable, opt)
	})
}

// Stores that do not come back as they should: nobody enters, and nobody waits for
// long.
func TestOnceOfABrokenStore(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  useFunc
		took time.Duration
	}{
		{"ignores its context", func(context.Context, string, time.Time) (bool, error) { time.Sleep(time.Hour); return true, nil }, middleware.PolicyTimeout + 100*time.Millisecond},
		{"ends its goroutine", func(context.Context, string, time.Time) (bool, error) { runtime.Goexit(); return true, nil }, 0},
		{"says its own words", func(ctx context.Context, _ string, _ time.Time) (bool, error) {
			<-ctx.Done()
			return false, errors.New("rpc: deadline")
		}, middleware.PolicyTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				gate := newGate(t, accepts(invitation), middleware.Config{})
				start := time.Now()
				refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable, middleware.Once(tt.use))
				require.Equal(t, tt.took, time.Since(start))
				time.Sleep(2 * time.Hour) // what was left behind ends
			})
		})
	}
}

func TestAWrongOnceClosesTheRoute(t *testing.T) {
	for name, opts := range map[string][]middleware.RouteOption{
		"nil":            {middleware.Once(nil)},
		"typed nil":      {middleware.Once((*used)(nil))},
		"a nil function": {middleware.Once(useFunc(nil))},
		"a nil map":      {middleware.Once(useMap(nil))},
		"twice":          {middleware.Once(&used{}), middleware.Once(&used{})},
	} {
		err := refused(t, newGate(t, accepts(invitation), middleware.Config{}), bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig, opts...)
		require.ErrorContains(t, err, "Once", name)
	}
}
