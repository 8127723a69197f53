package interop_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// The faults that an endpoint gets, longer than the timeouts below.
var outages = []fault{{Status: 503}, {Status: 500}, {Delay: 10_000}, {Drip: true}}

// The key set is out of order for longer than its TTL, again and again, and no
// valid token is refused.
func TestJWKSOutageUnderLoad(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	var stale atomic.Int64
	keys, err := jwks.New(jwks.Config{Issuer: s.HTTP, TTL: time.Second / 2, MinTTL: time.Second / 10, FetchTimeout: time.Second / 2,
		Hooks: jwks.Hooks{StaleServed: func(context.Context, jwks.StaleEvent) { stale.Add(1) }}})
	require.NoError(t, err)
	api := serve(t, verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences, Keys: keys}))
	tokens := purse{server: s}
	load := drive(t, func(ctx context.Context, worker, n int) (verdict, error) {
		token, err := tokens.next(ctx, worker, n)
		if err != nil {
			return verdict{}, err
		}
		got, _, err := api.ask(ctx, "/read", token)
		if err != nil {
			return got, err
		}
		return got, must(got, accepted)
	})
	load.more(t, 100)
	for _, f := range outages {
		s.fail(t, jwksPath, f)
		goal := stale.Load() + 100
		load.until(t, "stale keys, with "+f.String(), func(map[verdict]int, int) bool { return stale.Load() >= goal })
		require.Error(t, keys.Status().LastError)
		s.mend(t, jwksPath)
		load.until(t, "recovery", func(map[verdict]int, int) bool { return keys.Status().LastError == nil })
	}
	load.stop(t)
}

// A service starts while the key set is out of order.
func TestColdStartInAnOutage(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	token := s.token(t, grant{kind: "es256"})
	for _, f := range outages {
		t.Run(f.String(), func(t *testing.T) {
			s.fail(t, jwksPath, f)
			keys, err := jwks.New(jwks.Config{Issuer: s.HTTP, FetchTimeout: time.Second / 2})
			require.NoError(t, err)
			api := serve(t, verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences, Keys: keys}))
			for range 3 {
				api.requireVerdict(t, unavailable(bearergate.ReasonKeysUnavailable), token)
			}
			s.mend(t, jwksPath)
			api.eventually(t, accepted, token, unavailable(bearergate.ReasonKeysUnavailable))
		})
	}
}

// New keys sign while the set that has them cannot be fetched: what is not
// known to be a forgery is not refused as one.
func TestRotationInAnOutage(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	keys, err := jwks.New(jwks.Config{Issuer: s.HTTP, MissInterval: time.Second / 2})
	require.NoError(t, err)
	api := serve(t, verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences, Keys: keys}))
	old := s.token(t, grant{kind: "es256"})
	api.requireVerdict(t, accepted, old)

	s.fail(t, jwksPath, fault{Status: 503})
	s.rotate(t, "publish", "activate")
	token := s.token(t, grant{kind: "es256"})
	for range 3 {
		api.requireVerdict(t, unavailable(bearergate.ReasonKeysUnavailable), token)
		api.requireVerdict(t, accepted, old)
	}
	s.mend(t, jwksPath)
	api.eventually(t, accepted, token, unavailable(bearergate.ReasonKeysUnavailable))
}

// One failed call is made good by the retry, and nobody notices.
func TestIntrospectionFailsOnce(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	api := serve(t, introspector(t, introspect.Config{Issuer: s.HTTP, Auth: basic(), Timeout: patience}))
	s.fail(t, introspectionPath, fault{Status: 503, Times: 1})
	api.requireVerdict(t, accepted, s.token(t, grant{kind: "opaque"}))
	require.Equal(t, 2, s.requests(t, introspectionPath))
}

// During an outage of the introspection endpoint, tokens whose answer is
// remembered are accepted; of others it is not known whether they are valid,
// and that is no fault of the client's. Afterwards all is well by itself.
func TestIntrospectionOutageUnderLoad(t *testing.T) {
	t.Parallel()
	for _, f := range outages {
		if f.Status == 500 {
			continue // may be about one token: no outage, and the breaker stays closed
		}
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			s := ownServer(t)
			var opened atomic.Int64
			api := serve(t, introspector(t, introspect.Config{Issuer: s.HTTP, Auth: basic(), Timeout: 2 * time.Second, PositiveTTL: time.Minute,
				Hooks: introspect.Hooks{BreakerChanged: func(_ context.Context, e introspect.BreakerEvent) {
					if e.To == introspect.BreakerOpen {
						opened.Add(1)
					}
				}}}))
			known := s.token(t, grant{kind: "opaque"})
			api.requireVerdict(t, accepted, known)

			var out atomic.Bool // an outage, or what is left of it
			var fresh atomic.Int64
			load := drive(t, func(ctx context.Context, worker, n int) (verdict, error) {
				if n%2 == 0 {
					got, _, err := api.ask(ctx, "/read", known)
					if err != nil {
						return got, err
					}
					return got, must(got, accepted)
				}
				token, err := s.mint(ctx, grant{kind: "opaque"})
				if err != nil {
					return verdict{}, err
				}
				allowed := []verdict{accepted}
				before := out.Load()
				got, _, err := api.ask(ctx, "/read", token)
				if err != nil {
					return got, err
				}
				if before || out.Load() {
					allowed = append(allowed, unavailable(bearergate.ReasonIntrospectionUnavailable))
				}
				if got == accepted {
					fresh.Add(1)
				}
				return got, must(got, allowed...)
			})
			load.more(t, 100)

			out.Store(true)
			s.fail(t, introspectionPath, f)
			load.until(t, "an open breaker", func(map[verdict]int, int) bool { return opened.Load() > 0 })
			calls, begin := s.requests(t, introspectionPath), time.Now()
			load.more(t, 100)
			calls = s.requests(t, introspectionPath) - calls
			// What was under way when it opened, and probes.
			probes := 1 + int(time.Since(begin)/(introspect.BreakerMinOpen/2))
			require.LessOrEqual(t, calls, workers+probes)

			s.mend(t, introspectionPath)
			goal := fresh.Load() + 20
			load.until(t, "recovery", func(map[verdict]int, int) bool { return fresh.Load() >= goal })
			out.Store(false)
			load.more(t, 100)
			require.NotZero(t, load.stop(t)[unavailable(bearergate.ReasonIntrospectionUnavailable)])
		})
	}
}
