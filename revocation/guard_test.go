package revocation_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

const audience = "https://api.example.com"

// world is a server, a list, and verifiers that ask it.
type world struct {
	as    *authtest.Server
	list  *revocation.List
	local *jwtverify.Verifier
}

func newWorld(t *testing.T) world {
	t.Helper()
	as := authtest.New(t, authtest.WithAudience(audience), authtest.WithClient("api", "secret"))
	w := world{as: as, list: newList(t, func(c *revocation.Config) { c.MaxTokenLife = 2 * time.Hour })}
	var err error
	w.local, err = jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{audience}, HTTPClient: as.Client(), Check: w.list.Check})
	require.NoError(t, err)
	return w
}

func (w world) opaque(t *testing.T, change func(*introspect.Config)) *introspect.Client {
	t.Helper()
	c := introspect.Config{Issuer: w.as.Issuer(), Auth: introspect.BasicAuth("api", "secret"), Audiences: []string{audience}, HTTPClient: w.as.Client()}
	change(&c)
	client, err := introspect.New(c)
	require.NoError(t, err)
	return client
}

// A token that was accepted before is refused by the next request, wherever it is
// remembered.
//
// W2-196.
func TestRememberedTokens(t *testing.T) {
	w := newWorld(t)
	jwt := w.as.Token(authtest.Claims{Subject: "alice"})
	opaque := w.as.Opaque(authtest.Claims{Subject: "alice"})
	unchecked, err := jwtverify.New(jwtverify.Config{Issuer: w.as.Issuer(), Audiences: []string{audience}, HTTPClient: w.as.Client()})
	require.NoError(t, err)
	live := w.opaque(t, func(c *introspect.Config) { c.DisableCache, c.Check = true, w.list.Check })
	both, err := issuers.RequireLive(unchecked, live)
	require.NoError(t, err)
	router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{w.as.Issuer(): unchecked}, Opaque: w.opaque(t, func(*introspect.Config) {})})
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		v     bearergate.Verifier
		token string
	}{
		"jwtverify, Check":        {w.local, jwt},
		"introspect, Check":       {w.opaque(t, func(c *introspect.Config) { c.Check = w.list.Check }), opaque},
		"RequireLive, Check":      {both, jwt},
		"a Router, Guard, JWT":    {w.list.Guard(router), jwt},
		"a Router, Guard, opaque": {w.list.Guard(router), opaque},
		"a Guard in a Router":     {w.list.Guard(w.list.Guard(unchecked)), jwt},
		"Checks, with another":    {checked(t, w), jwt},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				_, err := tc.v.Verify(t.Context(), tc.token)
				require.NoError(t, err)
			}
			alice := revocation.Entry{Issuer: w.as.Issuer(), Subject: "alice"}
			require.NoError(t, w.list.Add(t.Context(), alice))
			for range 2 {
				verified, err := tc.v.Verify(t.Context(), tc.token)
				kit.RequireRefused(t, verified, err, bearergate.ErrInvalidToken, bearergate.ReasonRevoked)
			}
			e := bearergate.Explain(t.Context(), tc.v, tc.token)
			kit.RequireError(t, e.Err, bearergate.ErrInvalidToken, bearergate.ReasonRevoked)
			require.NotEmpty(t, e.Advice)
			require.NoError(t, w.list.Lift(t.Context(), alice))
			_, err := tc.v.Verify(t.Context(), tc.token)
			require.NoError(t, err)
			require.NoError(t, bearergate.Explain(t.Context(), tc.v, tc.token).Err)
		})
	}
}

func checked(t *testing.T, w world) bearergate.Verifier {
	t.Helper()
	v, err := jwtverify.New(jwtverify.Config{Issuer: w.as.Issuer(), Audiences: []string{audience}, HTTPClient: w.as.Client(),
		Check: bearergate.Checks(func(context.Context, *bearergate.Token) error { return nil }, w.list.Check)})
	require.NoError(t, err)
	return v
}

// Guard has the methods of the verifier by which others know it, and no verdict of its own
// where that refuses.
func TestGuardIsWhatItGuards(t *testing.T) {
	w := newWorld(t)
	g := w.list.Guard(w.local)
	_, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{w.as.Issuer(): g}})
	require.NoError(t, err)
	_, err = issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{"https://other.example.com": g}})
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.Equal(t, w.local.Confirmations(), g.(interface{ Confirmations() []string }).Confirmations())
	_, err = issuers.RequireLive(w.local, w.list.Guard(w.opaque(t, func(*introspect.Config) {})))
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	_, err = issuers.RequireLive(w.local, w.list.Guard(w.opaque(t, func(c *introspect.Config) { c.DisableCache = true })))
	require.NoError(t, err)

	custom := w.list.Guard(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
	}))
	require.Empty(t, custom.(interface{ Issuer() string }).Issuer())
	require.Nil(t, custom.(interface{ Confirmations() []string }).Confirmations())
	verified, err := custom.Verify(t.Context(), "x")
	kit.RequireRefused(t, verified, err, bearergate.ErrInvalidToken, bearergate.ReasonInactive)
	verified, err = w.list.Guard(nil).Verify(t.Context(), "x")
	kit.RequireRefused(t, verified, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}

// A long request ends when its token is revoked.
//
// W2-205.
func TestRecheckEndsARequest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		list := newList(t, nil)
		of := token(func(c *bearergate.Claims) { c.Scopes = scope.Of("read") })
		v := list.Guard(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return of, nil }))
		gate, err := middleware.New(v, middleware.Config{})
		require.NoError(t, err)
		var ended error
		h := gate.Require(scope.All("read"), middleware.Recheck(5*time.Second))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended = context.Cause(r.Context())
		}))
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := httptest.NewRequest(http.MethodGet, "/events", nil)
			r.Header.Set("Authorization", "Bearer token")
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		time.Sleep(12 * time.Second)
		require.NoError(t, ended)
		require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: issuer, Session: "s1"}))
		start := time.Now()
		<-done
		require.LessOrEqual(t, time.Since(start), 5*time.Second)
		kit.RequireError(t, ended, bearergate.ErrInvalidToken, bearergate.ReasonRevoked)
		synctest.Wait()
	})
}

// A stolen key: a cut-off of the issuer does not stop a thief who writes the time that he
// likes, an Entry with the key does, also where a token of it is remembered; and the keys
// are fetched again, so that what the issuer no longer publishes is not known any more.
func TestStolenKey(t *testing.T) {
	w := newWorld(t)
	var refetched []revocation.RefetchEvent
	told := make(chan struct{})
	w.list = newList(t, func(c *revocation.Config) {
		c.MaxTokenLife = 2 * time.Hour
		c.Hooks.Refetched = func(_ context.Context, e revocation.RefetchEvent) {
			refetched = append(refetched, e)
			close(told)
		}
	})
	v, err := jwtverify.New(jwtverify.Config{Issuer: w.as.Issuer(), Audiences: []string{audience}, HTTPClient: w.as.Client(), Check: w.list.Check})
	require.NoError(t, err)
	w.list.Watch(v.Keys(), nil, (*jwks.Cache)(nil), kit.NewSigner(t, "ES256", "k").Set(t))
	later := func() string { // the thief writes a time that no cut-off reaches
		return w.as.Token(authtest.Claims{Subject: "admin", IssuedAt: time.Now().Add(4 * time.Second), ExpiresAt: time.Now().Add(time.Hour)})
	}
	stolen, err := v.Verify(t.Context(), later())
	require.NoError(t, err)
	require.NoError(t, w.list.Add(t.Context(), revocation.Entry{Issuer: w.as.Issuer(), Before: time.Now()}))
	remembered := later()
	_, err = v.Verify(t.Context(), remembered)
	require.NoError(t, err, "the cut-off does not stop him")

	w.as.Rotate()
	require.NoError(t, w.list.Add(t.Context(), revocation.Entry{Issuer: w.as.Issuer(), Key: stolen.Key()}))
	_, err = v.Verify(t.Context(), remembered)
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonRevoked)
	<-told
	require.Equal(t, []revocation.RefetchEvent{{Issuer: w.as.Issuer()}}, refetched)
	fresh, err := v.Verify(t.Context(), later()) // under the new key
	require.NoError(t, err)
	require.NotEqual(t, stolen.Key(), fresh.Key())
}
