package jwtverify_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// told are the events of a verifier.
type told struct {
	mu     sync.Mutex // guards events
	events []jwtverify.VerifyEvent
}

func (s *told) hooks() jwtverify.Hooks {
	return jwtverify.Hooks{Verified: func(_ context.Context, e jwtverify.VerifyEvent) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}}
}

// only returns the one event since it was last called.
func (s *told) only(t testing.TB) jwtverify.VerifyEvent {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.events, 1)
	e := s.events[0]
	s.events = nil
	return e
}

// How long a token is and lives is told where its signature was checked, and it was accepted.
func TestSizeAndLifetimeOfATokenAreTold(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name   string
		claims map[string]any
		check  error
		life   time.Duration
		none   bool
	}{
		{name: "an hour", claims: map[string]any{"iat": now.Unix() - 60, "exp": now.Unix() + 3540}, life: time.Hour},
		{name: "without iat", claims: map[string]any{"iat": kit.Absent}},
		{name: "refused", claims: map[string]any{"aud": "x"}, none: true},
		{name: "refused by Check", claims: map[string]any{"iat": now.Unix()}, check: bearergate.ErrInvalidToken, none: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := &told{}
			c := config(s.Set(t))
			c.Hooks = seen.hooks()
			c.Check = func(context.Context, *bearergate.Token) error { return tt.check }
			v := newVerifier(t, c)
			raw := s.Sign(t, tt.claims)
			for i := range 3 {
				_, err := v.Verify(t.Context(), raw)
				require.Equal(t, tt.none, err != nil)
				e := seen.only(t)
				if i > 0 || tt.none { // a remembered one does not count again
					require.Zero(t, e.Bytes)
					require.Zero(t, e.Lifetime)
					continue
				}
				require.Equal(t, len(raw), e.Bytes)
				require.Equal(t, tt.life, e.Lifetime)
			}
		})
	}
}

// A token that was accepted and is refused because its key is not published any more is told
// of once, with the key. Nothing else looks like it.
func TestAKeyThatIsRemovedWhileItsTokensLive(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		old, fresh, again := newSigner(t, "ES256", "old"), newSigner(t, "ES256", "new"), newSigner(t, "ES256", "old")
		nameless := newSigner(t, "ES256", "")
		issuerKeys := &issuerOf{t: t, set: []published{{signer: old}}}
		seen := &told{}
		newOne := func() *jwtverify.Verifier {
			cache, err := jwks.New(jwks.Config{URL: setURL, TTL: time.Minute, MaxTTL: time.Minute, HTTPClient: &http.Client{Transport: issuerKeys}})
			require.NoError(t, err)
			c := config(cache)
			c.Now = nil
			c.Hooks = seen.hooks()
			return newVerifier(t, c)
		}
		live := func(s signer, change map[string]any) string {
			claims := map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
			maps.Copy(claims, change)
			return s.Sign(t, claims)
		}
		ask := func(v *jwtverify.Verifier, raw string, reason bearergate.Reason) jwtverify.VerifyEvent {
			t.Helper()
			_, err := v.Verify(t.Context(), raw)
			require.Equal(t, reason, bearergate.ReasonOf(err), "%v", err)
			return seen.only(t)
		}
		expire := func() { time.Sleep(70 * time.Second) } // past the TTL, and within CacheTTL

		v := newOne()
		raw, other, short := live(old, nil), live(old, map[string]any{"jti": "2"}), live(old, map[string]any{"exp": time.Now().Add(30 * time.Second).Unix()})
		forged := raw[:len(raw)-4] + strings.Repeat("A", 4)
		for _, good := range []string{raw, other, short} {
			require.Empty(t, ask(v, good, "").RemovedKey)
		}
		require.Empty(t, ask(v, forged, bearergate.ReasonSignature).RemovedKey, "never accepted")

		issuerKeys.set = []published{{signer: fresh}}
		expire()
		issuerKeys.down = true
		require.Empty(t, ask(v, raw, "").RemovedKey, "an outage: the old keys serve")
		issuerKeys.down = false
		time.Sleep(time.Minute)
		require.NoError(t, v.Keys().(*jwks.Cache).Refresh(t.Context()))
		require.Equal(t, "old", ask(v, raw, bearergate.ReasonUnknownKey).RemovedKey)
		require.Empty(t, ask(v, raw, bearergate.ReasonUnknownKey).RemovedKey, "once")
		require.Equal(t, "old", ask(v, other, bearergate.ReasonUnknownKey).RemovedKey)
		require.Empty(t, ask(v, short, bearergate.ReasonUnknownKey).RemovedKey, "it has expired by now")
		require.Empty(t, ask(v, live(old, map[string]any{"jti": "3"}), bearergate.ReasonUnknownKey).RemovedKey, "never accepted")
		require.Empty(t, ask(v, forged, bearergate.ReasonUnknownKey).RemovedKey)

		// A key that comes back: the token is as good as before, and was told of.
		issuerKeys.set = []published{{signer: old}}
		expire()
		require.Empty(t, ask(v, raw, "").RemovedKey)

		// Another key under its ID.
		v = newOne()
		raw = live(old, nil)
		ask(v, raw, "")
		issuerKeys.set = []published{{signer: again}}
		expire()
		require.Equal(t, "old", ask(v, raw, bearergate.ReasonSignature).RemovedKey)

		// A key without ID is named by its thumbprint.
		issuerKeys.set = []published{{signer: nameless}}
		v = newOne()
		raw = live(nameless, nil)
		ask(v, raw, "")
		issuerKeys.set = []published{{signer: fresh}}
		expire()
		require.Len(t, ask(v, raw, bearergate.ReasonSignature).RemovedKey, 43)

		// Nobody knows: the keys cannot be had.
		issuerKeys.set = []published{{signer: old}}
		v = newOne()
		raw = live(old, nil)
		ask(v, raw, "")
		issuerKeys.set, issuerKeys.down = []published{{signer: fresh}}, true
		time.Sleep(4 * time.Minute)
		require.Empty(t, ask(v, raw, "").RemovedKey)
	})
}

// A key that is used early is told of when a signature is good, and not for who only names
// the key.
func TestAnEarlyKeyIsToldOfForAGenuineTokenAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		old, fresh := newSigner(t, "ES256", "old"), newSigner(t, "ES256", "new")
		issuerKeys := &issuerOf{t: t, set: []published{{signer: old}}}
		var early []string
		cache, err := jwks.New(jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: issuerKeys}, Hooks: jwks.Hooks{
			UsedEarly: func(_ context.Context, e jwks.EarlyEvent) { early = append(early, e.KeyID) }}})
		require.NoError(t, err)
		c := config(cache)
		v := newVerifier(t, c)
		verify := func(raw string, reason bearergate.Reason) {
			t.Helper()
			_, err := v.Verify(t.Context(), raw)
			require.Equal(t, reason, bearergate.ReasonOf(err), "%v", err)
		}
		verify(old.Sign(t, nil), "")
		issuerKeys.set = append(issuerKeys.set, published{signer: fresh})
		good := fresh.Sign(t, nil)
		verify(good[:len(good)-4]+strings.Repeat("A", 4), bearergate.ReasonSignature)
		verify(fresh.Sign(t, map[string]any{"iss": "https://nobody.example.com"}), bearergate.ReasonIssuer)
		require.Equal(t, 2, issuerKeys.fetches, "the key is there")
		require.Empty(t, early)
		for range 3 {
			verify(good, "")
			verify(fresh.Sign(t, map[string]any{"jti": "another"}), "")
			verify(old.Sign(t, nil), "")
		}
		require.Equal(t, []string{"new"}, early)
	})
}

// A key is gone where that has been found out, and a token lives by the clock of the
// verifier.
func TestAKeyThatIsNotRemoved(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, map[string]any{"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Unix() + 3600})
	for _, tt := range []struct {
		name   string
		clock  time.Duration // how far it goes meanwhile
		then   []error       // of the source, when it is asked again; nil: there is no such key
		reason bearergate.Reason
		want   string
	}{
		{name: "removed", then: []error{nil, nil}, reason: bearergate.ReasonUnknownKey, want: "k"},
		{name: "an outage as it is asked once more", then: []error{nil, bearergate.ErrUnavailable}, reason: bearergate.ReasonKeysUnavailable},
		{name: "an outage", then: []error{bearergate.ErrUnavailable}, reason: bearergate.ReasonKeysUnavailable},
		{name: "expired by the clock of the verifier", clock: 2 * time.Hour, then: []error{nil, nil}, reason: bearergate.ReasonUnknownKey},
		{name: "not yet valid by the clock of the verifier", clock: -time.Hour, then: []error{nil, nil}, reason: bearergate.ReasonUnknownKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			moment, asked := now, 0
			seen := &told{}
			c := config(sourceFunc(func(ctx context.Context, kid, alg string) ([]jwks.Key, error) {
				asked++
				if asked == 1 {
					return s.Set(t).Keys(ctx, kid, alg)
				}
				return nil, tt.then[asked-2]
			}))
			c.Now = func() time.Time { return moment }
			c.Hooks = seen.hooks()
			v := newVerifier(t, c)
			_, err := v.Verify(t.Context(), raw)
			require.NoError(t, err)
			seen.only(t)
			moment = moment.Add(tt.clock)
			_, err = v.Verify(t.Context(), raw)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err), "%v", err)
			require.Equal(t, tt.want, seen.only(t).RemovedKey)
		})
	}
}
