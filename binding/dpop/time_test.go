package dpop_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/test/bubble"
)

// iat at the edges, in the middle of a second too: clients write whole ones.
//
// req: R9449-11, R9449-39, FAPI2-01
func TestIssuedAt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const wrong = bearergate.ReasonProof
		for _, into := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond} {
			for _, tc := range []struct {
				name   string
				change func(*dpop.Config)
				iat    int64 // seconds from now
				want   bearergate.Reason
			}{
				{name: "now"},
				{name: "W2-100 60 s old", iat: -60},
				{name: "W2-101 61 s old", iat: -61, want: wrong},
				{name: "10 s ahead", iat: 10},
				{name: "11 s ahead", iat: 11, want: wrong},
				{name: "61 s ahead", iat: 61, want: wrong},
				{name: "MaxAge", change: func(c *dpop.Config) { c.MaxAge = 10 * time.Minute }, iat: -600},
				{name: "past MaxAge", change: func(c *dpop.Config) { c.MaxAge = 10 * time.Minute }, iat: -601, want: wrong},
				{name: "a MaxAge under Ahead's default", change: func(c *dpop.Config) { c.MaxAge = 5 * time.Second }, iat: 6, want: wrong},
				{name: "Ahead", change: func(c *dpop.Config) { c.Ahead = 59 * time.Second }, iat: 59},
				{name: "past Ahead", change: func(c *dpop.Config) { c.Ahead = 59 * time.Second }, iat: 60, want: wrong},
			} {
				s := newScene(t)
				p := newProofs(t, func(c *dpop.Config) {
					c.Now = func() time.Time { return s.Now.Truncate(time.Second).Add(into) }
					if tc.change != nil {
						tc.change(c)
					}
				})
				_, err := confirm(s, p, call(sign(s, map[string]any{"iat": s.Now.Unix() + tc.iat})))
				require.Equal(t, tc.want, bearergate.ReasonOf(err), "%s, %v into the second", tc.name, into)
			}
		}
	})
}

// exp and nbf, which a client need not write, have five seconds of leeway.
func TestExpiresAndNotBefore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			name   string
			claims map[string]int64 // seconds from now
			want   bearergate.Reason
		}{
			{name: "exp 4 s ago", claims: map[string]int64{"exp": -4}},
			{name: "exp 5 s ago", claims: map[string]int64{"exp": -5}, want: bearergate.ReasonProof},
			{name: "nbf in 5 s", claims: map[string]int64{"nbf": 5}},
			{name: "nbf in 6 s", claims: map[string]int64{"nbf": 6}, want: bearergate.ReasonProof},
		} {
			s := newScene(t)
			change := map[string]any{}
			for claim, at := range tc.claims {
				change[claim] = s.Now.Unix() + at
			}
			_, err := confirm(s, newProofs(t), call(sign(s, change)))
			require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
		}
	})
}

// As long as a proof is accepted, it is remembered: at any moment of its life, in any
// second of its window, it opens once.
//
// req: R9449-23
func TestRememberedAsLongAsAccepted(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: secrets("a"), Life: 30 * time.Second})
		require.NoError(t, err)
		for _, tc := range []struct {
			name   string
			change func(*dpop.Config)
			iat    time.Duration
		}{
			{name: "made now"},
			{name: "made in the future", iat: 10 * time.Second},
			{name: "made long ago", iat: -55 * time.Second},
			{name: "with a nonce", change: func(c *dpop.Config) { c.Nonces = nonces }, iat: -time.Hour},
		} {
			s := newScene(t)
			s.Now = time.Now()
			p := newProofs(t, func(c *dpop.Config) {
				if tc.change != nil {
					tc.change(c)
				}
			})
			reply, _ := confirm(s, p, call(sign(s, nil)))
			proof := sign(s, map[string]any{"iat": s.Now.Add(tc.iat).Unix(), "nonce": reply["DPoP-Nonce"]})
			_, err := confirm(s, p, call(proof))
			require.NoError(t, err, tc.name)
			replays := 0
			for range 100 * 4 {
				time.Sleep(250 * time.Millisecond)
				switch _, err := confirm(s, p, call(proof)); bearergate.ReasonOf(err) {
				case bearergate.ReasonReplay:
					replays++
				case bearergate.ReasonProof, bearergate.ReasonNonce:
				default:
					t.Fatalf("%s: after %v: %v", tc.name, time.Since(s.Now), err)
				}
			}
			require.Positive(t, replays, tc.name)
		}
	})
}

// A fleet that goes from offered nonces to demanded ones lets each proof in once, whichever
// process has it first, though these judge iat and those do not.
func TestFromOfferedToDemanded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store, err := dpop.NewMemory(100)
		require.NoError(t, err)
		shared := func(c *dpop.Config) { c.Replay = store }
		offered := withNonces(t, dpop.NonceConfig{Secrets: secrets("a"), Offer: true}, shared)
		demanded := withNonces(t, dpop.NonceConfig{Secrets: secrets("a")}, shared)
		s := newScene(t)
		proof := sign(s, map[string]any{"nonce": ask(s, offered)})
		_, err = confirm(s, offered, call(proof))
		require.NoError(t, err)
		replays := 0
		for range 400 {
			time.Sleep(time.Second)
			_, err := confirm(s, demanded, call(proof))
			require.Error(t, err)
			if bearergate.ReasonOf(err) == bearergate.ReasonReplay {
				replays++
			}
		}
		require.Equal(t, 299, replays, "seconds until the nonce ends")
	})
}

// How long a store is asked to remember: until the proof is not accepted any more, and no
// longer than that and the seconds by which clocks differ.
//
// req: FLT-02
func TestRetention(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond)
		required, err := dpop.NewNonces(dpop.NonceConfig{Secrets: secrets("a")})
		require.NoError(t, err)
		offered, err := dpop.NewNonces(dpop.NonceConfig{Secrets: secrets("a"), Offer: true})
		require.NoError(t, err)
		brief, err := dpop.NewNonces(dpop.NonceConfig{Secrets: secrets("a"), Offer: true, Life: 101 * time.Second})
		require.NoError(t, err)
		for _, tc := range []struct {
			name   string
			nonces *dpop.Nonces
			iat    time.Duration // from the second of now
			until  time.Duration // from there, too
		}{
			{name: "now", until: 62 * time.Second},
			{name: "old", iat: -60 * time.Second, until: 2 * time.Second},
			{name: "ahead", iat: 10 * time.Second, until: 72 * time.Second},
			{name: "a nonce of 100 s ago", nonces: required, iat: 20 * time.Hour, until: -100*time.Second + 300*time.Millisecond + 5*time.Minute + time.Second},
			{name: "offered, and with one of 100 s ago", nonces: offered, until: -100*time.Second + 300*time.Millisecond + 5*time.Minute + time.Second},
			{name: "offered, and with one that ends before", nonces: brief, until: 62 * time.Second},
		} {
			s := newScene(t)
			store := newRecorder(t)
			p := newProofs(t, func(c *dpop.Config) { c.Replay, c.Nonces = store, tc.nonces })
			var nonce any
			if tc.nonces != nil {
				reply, _ := confirm(s, p, call(sign(s, nil)))
				nonce = reply["DPoP-Nonce"]
				time.Sleep(100 * time.Second)
			}
			second := time.Now().Truncate(time.Second)
			_, err := confirm(s, p, call(sign(s, map[string]any{"iat": second.Add(tc.iat).Unix(), "nonce": nonce})))
			require.NoError(t, err, tc.name)
			require.Equal(t, tc.until, store.until[len(store.until)-1].Sub(second), tc.name)
		}
	})
}
