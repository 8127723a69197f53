package dpop_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

func TestJoinHooks(t *testing.T) {
	kit.EachHook(t, dpop.JoinHooks)
}

// What Judged is told of each outcome. The rows have all words of the event.
func TestEvents(t *testing.T) {
	demanded, offered := dpop.NonceConfig{Secrets: secrets("a")}, dpop.NonceConfig{Secrets: secrets("a"), Offer: true}
	nonces := func(n dpop.NonceConfig) func(testing.TB, *dpop.Config) {
		return func(t testing.TB, c *dpop.Config) { c.Nonces = newNonces(t, n) }
	}
	answers := func(use store) func(testing.TB, *dpop.Config) {
		return func(_ testing.TB, c *dpop.Config) { c.Replay = use }
	}
	wrong := func(fault dpop.Fault) dpop.ProofEvent {
		return dpop.ProofEvent{Reason: bearergate.ReasonProof, Fault: fault, Algorithm: "ES256"}
	}
	headless := func(fault dpop.Fault) dpop.ProofEvent {
		return dpop.ProofEvent{Reason: bearergate.ReasonProof, Fault: fault}
	}
	seen := map[string]bool{}
	for _, tc := range []struct {
		name   string
		config func(testing.TB, *dpop.Config)
		// before is what the client does first; it returns the claims that it then changes.
		before func(s proofs.Scene, p *dpop.Proofs) map[string]any
		header map[string]any
		claims map[string]any
		send   func(s proofs.Scene, proof string) []string // nil: the proof
		call   func(*bearergate.Call)
		cnf    string // jkt; "": that of the client
		want   dpop.ProofEvent
		says   string // which part of the proof, or which setting, the error names
	}{
		{name: "good", want: dpop.ProofEvent{Algorithm: "ES256", Store: dpop.StoreFresh}},

		{name: "none", send: func(proofs.Scene, string) []string { return nil }, want: headless(dpop.FaultMissing), says: "no DPoP header"},
		{name: "two", send: func(_ proofs.Scene, proof string) []string { return []string{proof, proof} }, want: headless(dpop.FaultForm), says: "more than one"},
		{name: "no compact JWS", send: func(proofs.Scene, string) []string { return []string{"x"} }, want: headless(dpop.FaultForm), says: "parts"},
		{name: "too long", claims: map[string]any{"x": string(make([]byte, dpop.DefaultMaxProofBytes))}, want: headless(dpop.FaultForm), says: "MaxProofBytes"},
		{name: "of another type", header: map[string]any{"typ": "JWT"}, want: headless(dpop.FaultHeader), says: "typ"},
		{name: "of another algorithm", config: func(_ testing.TB, c *dpop.Config) { c.Algorithms = []string{"PS256"} }, want: headless(dpop.FaultHeader), says: "Algorithms"},
		{name: "without jti", claims: map[string]any{"jti": kit.Absent}, want: wrong(dpop.FaultForm), says: "jti, htm, htu, ath and iat"},
		{name: "without htm", claims: map[string]any{"htm": kit.Absent}, want: wrong(dpop.FaultForm), says: "jti, htm, htu, ath and iat"},
		{name: "without htu", claims: map[string]any{"htu": kit.Absent}, want: wrong(dpop.FaultForm), says: "jti, htm, htu, ath and iat"},
		{name: "without ath", claims: map[string]any{"ath": kit.Absent}, want: wrong(dpop.FaultForm), says: "jti, htm, htu, ath and iat"},
		{name: "two claims of the wrong type", claims: map[string]any{"iat": "now", "jti": 1}, want: wrong(dpop.FaultForm), says: "wrong type: iat"},
		{name: "iat is a text", claims: map[string]any{"iat": "now"}, want: wrong(dpop.FaultForm), says: "wrong type: iat"},
		{name: "an array", send: func(s proofs.Scene, _ string) []string {
			return []string{s.Key.SignText(s.T, headerText(s.T, s), "[]")}
		}, want: wrong(dpop.FaultForm), says: "JSON object"},
		{name: "as many objects as may be", claims: map[string]any{"x": slices.Repeat([]struct{}{{}}, 30)}, want: dpop.ProofEvent{Algorithm: "ES256", Store: dpop.StoreFresh}},
		{name: "one more", claims: map[string]any{"x": slices.Repeat([]struct{}{{}}, 31)}, want: wrong(dpop.FaultForm), says: "objects and arrays"},
		{name: "as many arrays as may be", claims: map[string]any{"x": slices.Repeat([][]int{{}}, 30)}, want: dpop.ProofEvent{Algorithm: "ES256", Store: dpop.StoreFresh}},
		{name: "one more array", claims: map[string]any{"x": slices.Repeat([][]int{{}}, 31)}, want: wrong(dpop.FaultForm), says: "objects and arrays"},
		{name: "strings beyond number", claims: map[string]any{"x": make([]string, 100)}, want: wrong(dpop.FaultForm), says: "too many"},
		{name: "a long jti", claims: map[string]any{"jti": strings.Repeat("x", dpop.DefaultMaxIDBytes+1)}, want: wrong(dpop.FaultForm), says: "MaxIDBytes"},
		{name: "another method", claims: map[string]any{"htm": "PUT"}, want: wrong(dpop.FaultMethod), says: "htm"},
		{name: "another address", claims: map[string]any{"htu": api + "/a/c"}, want: wrong(dpop.FaultAddress), says: "BaseURLs"},
		{name: "no address", claims: map[string]any{"htu": "/a/b"}, want: wrong(dpop.FaultAddress), says: "htu is not an https"},
		{name: "Target refuses", config: func(_ testing.TB, c *dpop.Config) {
			c.BaseURLs, c.Target = nil, func(bearergate.Call) (string, error) { return "", errors.New("x") }
		}, want: wrong(dpop.FaultAddress)},
		{name: "another token", claims: map[string]any{"ath": kit.TokenHash("x")}, want: wrong(dpop.FaultTokenHash), says: "ath"},
		{name: "too old", claims: map[string]any{"iat": 1000}, want: wrong(dpop.FaultTime), says: "MaxAge"},
		{name: "of the future", claims: map[string]any{"iat": 4e9}, want: wrong(dpop.FaultTime), says: "Ahead"},
		{name: "exp has passed", claims: map[string]any{"exp": 1000}, want: wrong(dpop.FaultTime), says: "exp"},
		{name: "forged", send: func(s proofs.Scene, proof string) []string {
			other := sign(s, nil)
			return []string{proof[:len(proof)-86] + other[len(other)-86:]}
		}, want: wrong(dpop.FaultSignature), says: "signature"},

		{name: "of another key", cnf: kit.TokenHash("x"), want: dpop.ProofEvent{Reason: bearergate.ReasonBinding, Algorithm: "ES256"}, says: "another key"},
		{name: "bound to no key", cnf: "x", want: dpop.ProofEvent{Reason: bearergate.ReasonBinding}, says: "jkt"},
		{name: "a call without a method", call: func(c *bearergate.Call) { c.Method = "" }, want: dpop.ProofEvent{Reason: bearergate.ReasonConfig, Algorithm: "ES256"}, says: "no Method"},
		{name: "Target returns no address", config: func(_ testing.TB, c *dpop.Config) {
			c.BaseURLs, c.Target = nil, func(bearergate.Call) (string, error) { return "", nil }
		}, want: dpop.ProofEvent{Reason: bearergate.ReasonConfig, Algorithm: "ES256"}},

		{name: "no nonce", config: nonces(demanded), want: dpop.ProofEvent{Reason: bearergate.ReasonNonce, Algorithm: "ES256", Nonce: dpop.NonceDemanded}, says: "no nonce"},
		{name: "a nonce of nobody", config: nonces(offered), claims: map[string]any{"nonce": "x"}, want: dpop.ProofEvent{Reason: bearergate.ReasonNonce, Algorithm: "ES256", Nonce: dpop.NonceDemanded}, says: "not one of ours"},
		{name: "a nonce is offered", config: nonces(offered), want: dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceOffered, Store: dpop.StoreFresh}},
		{name: "a nonce of ours", config: nonces(demanded), before: func(s proofs.Scene, p *dpop.Proofs) map[string]any {
			return map[string]any{"nonce": ask(s, p)}
		}, want: dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceAccepted, Store: dpop.StoreFresh}},
		{name: "an old nonce of ours", config: nonces(demanded), before: func(s proofs.Scene, p *dpop.Proofs) map[string]any {
			nonce := ask(s, p)
			time.Sleep(dpop.DefaultNonceLife - time.Second)
			return map[string]any{"nonce": nonce}
		}, want: dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceRenewed, Store: dpop.StoreFresh}},
		{name: "a good nonce, and used before", config: nonces(demanded), before: func(s proofs.Scene, p *dpop.Proofs) map[string]any {
			claims := map[string]any{"nonce": ask(s, p), "jti": "again"}
			_, err := confirm(s, p, call(sign(s, claims)))
			require.NoError(s.T, err)
			return claims
		}, want: dpop.ProofEvent{Reason: bearergate.ReasonReplay, Algorithm: "ES256", Nonce: dpop.NonceAccepted, Store: dpop.StoreUsed}},

		{name: "slow", config: answers(func(context.Context) (bool, error) { time.Sleep(30 * time.Millisecond); return true, nil }),
			want: dpop.ProofEvent{Algorithm: "ES256", Store: dpop.StoreFresh, StoreDuration: 30 * time.Millisecond, Duration: 30 * time.Millisecond}},
		{name: "full", config: answers(func(context.Context) (bool, error) {
			return false, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}
		}), want: dpop.ProofEvent{Reason: bearergate.ReasonOverloaded, Algorithm: "ES256", Store: dpop.StoreFull}},
		{name: "a store that fails", config: answers(func(context.Context) (bool, error) { return false, errors.New("x") }),
			want: dpop.ProofEvent{Reason: bearergate.ReasonStoreUnavailable, Algorithm: "ES256", Store: dpop.StoreFailed}},
		{name: "a store that hangs", config: answers(func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, ctx.Err() }),
			want: dpop.ProofEvent{Reason: bearergate.ReasonStoreUnavailable, Algorithm: "ES256", Store: dpop.StoreFailed, StoreDuration: dpop.DefaultStoreTimeout, Duration: dpop.DefaultStoreTimeout}},
		{name: "a store that panics", config: answers(func(context.Context) (bool, error) { panic("x") }),
			want: dpop.ProofEvent{Reason: bearergate.ReasonInternal, Algorithm: "ES256", Store: dpop.StoreFailed}},
	} {
		bubble.Test(t, func(t *testing.T) {
			s := newScene(t)
			var told []dpop.ProofEvent
			p := newProofs(t, func(c *dpop.Config) {
				c.Hooks.Judged = func(_ context.Context, e dpop.ProofEvent) { told = append(told, e) }
				if tc.config != nil {
					tc.config(t, c)
				}
			})
			claims := tc.claims
			if tc.before != nil {
				claims = tc.before(s, p)
				s.Now = time.Now()
			}
			whole := s.Claims()
			maps.Copy(whole, claims)
			proof := s.Key.Sign(t, tc.header, whole)
			sent := []string{proof}
			if tc.send != nil {
				sent = tc.send(s, proof)
			}
			c := call(sent...)
			if tc.call != nil {
				tc.call(&c)
			}
			jkt := tc.cnf
			if jkt == "" {
				jkt = s.Key.Thumbprint
			}
			told = nil
			_, reply, err := bearergate.Authenticate(t.Context(), bound(t, map[string]any{"jkt": jkt}), c, p)
			requireReason(t, err, tc.want.Reason)
			require.Len(t, told, 1, tc.name)
			e := told[0]
			require.Equal(t, e.Reason, bearergate.ReasonOf(e.Err), tc.name)
			require.Equal(t, tc.want.Reason == "", e.Err == nil, tc.name)
			if tc.says != "" {
				require.ErrorContains(t, e.Err, tc.says, tc.name)
				require.NotContains(t, e.Err.Error(), "jose:", tc.name)
			}

			// Nothing of the request is in it.
			texts := []string{proof, token, s.Key.Thumbprint, jkt, fmt.Sprint(whole["jti"]), reply["DPoP-Nonce"], fmt.Sprint(whole["nonce"])}
			texts = slices.DeleteFunc(texts, func(s string) bool { return len(s) < 5 || s == "<nil>" })
			requirePrintsNothing(t, e, texts...)
			for err := e.Err; err != nil; err = errors.Unwrap(err) {
				requirePrintsNothing(t, err, texts...)
			}

			e.Err = nil
			require.Equal(t, tc.want, e, tc.name)
			for _, word := range []string{string(e.Fault), string(e.Nonce), string(e.Store)} {
				seen[word] = true
			}
		})
	}
	for _, fault := range []dpop.Fault{dpop.FaultMissing, dpop.FaultForm, dpop.FaultHeader, dpop.FaultMethod, dpop.FaultAddress, dpop.FaultTokenHash, dpop.FaultTime, dpop.FaultSignature} {
		require.True(t, seen[string(fault)], "no row has %s", fault)
	}
	for _, nonce := range []dpop.NonceOutcome{dpop.NonceAccepted, dpop.NonceRenewed, dpop.NonceOffered, dpop.NonceDemanded} {
		require.True(t, seen[string(nonce)], "no row has %s", nonce)
	}
	for _, answer := range []dpop.StoreOutcome{dpop.StoreFresh, dpop.StoreUsed, dpop.StoreFull, dpop.StoreFailed} { // and TestCallersOfStores
		require.True(t, seen[string(answer)], "no row has %s", answer)
	}
}

// What no Binding is asked about is no proof, and nothing is told of it.
func TestNothingIsTold(t *testing.T) {
	s := newScene(t)
	p := newProofs(t, func(c *dpop.Config) {
		c.Hooks.Judged = func(context.Context, dpop.ProofEvent) { require.Fail(t, "told") }
	})
	bearer := call(sign(s, nil))
	bearer.Scheme = bearergate.SchemeBearer
	for name, tc := range map[string]struct {
		call bearergate.Call
		cnf  map[string]any
		want bearergate.Reason
	}{
		"an unbound token":               {call: bearer},
		"a bound one as a bearer token":  {call: bearer, cnf: map[string]any{"jkt": s.Key.Thumbprint}, want: bearergate.ReasonBinding},
		"an unbound one with the scheme": {call: call(sign(s, nil)), want: bearergate.ReasonBinding},
	} {
		_, _, err := bearergate.Authenticate(t.Context(), bound(t, tc.cnf), tc.call, p)
		require.Equal(t, tc.want, bearergate.ReasonOf(err), name)
		requireReason(t, err, tc.want)
	}
}
