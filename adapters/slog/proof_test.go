package sloggate_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/proofs"
)

// binding confirms every token.
type binding struct{ members []string }

func (binding) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (b binding) Members() []string          { return b.members }
func (binding) Challenge() map[string]string { return nil }
func (binding) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, nil
}

// bound is a token with these members of cnf.
func bound(t testing.TB, members map[string]any) *bearergate.Token {
	t.Helper()
	c := bearergate.Claims{Subject: "alice", Confirmation: map[string][]byte{}}
	for name, value := range members {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		c.Confirmation[name] = text
	}
	return bearergate.NewToken(c)
}

// prove is what a token becomes by a proof.
func prove(t testing.TB, token *bearergate.Token) *bearergate.Token {
	t.Helper()
	v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return token, nil })
	call := bearergate.Call{Credentials: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret("x")}, Method: "GET", Target: "/"}
	proven, _, err := bearergate.Authenticate(t.Context(), v, call, binding{token.Confirmation().Members()})
	require.NoError(t, err)
	require.True(t, proven.Proven())
	return proven
}

// An audit says which key the sender of a token has proved to hold, and of a token without
// proof what it is bound to, as something else.
func TestThumbprints(t *testing.T) {
	key, cert := strings.Repeat("k", 42)+"A", strings.Repeat("c", 42)+"8"
	for _, tc := range []struct {
		name string
		cnf  map[string]any
		want any // nil: nothing is said
	}{
		{name: "unbound"},
		{name: "a key", cnf: map[string]any{"jkt": key}, want: map[string]any{"jkt": key}},
		{name: "a certificate", cnf: map[string]any{"x5t#S256": cert}, want: map[string]any{"x5t#S256": cert}},
		{name: "both", cnf: map[string]any{"jkt": key, "x5t#S256": cert}, want: map[string]any{"jkt": key, "x5t#S256": cert}},
		{name: "another member", cnf: map[string]any{"kid": key}},
		{name: "one of a user's, and a key", cnf: map[string]any{"kid": "a", "jkt": key}, want: map[string]any{"jkt": key}},
		{name: "too short", cnf: map[string]any{"jkt": key[1:]}},
		{name: "too long", cnf: map[string]any{"jkt": key + "A"}},
		{name: "padded", cnf: map[string]any{"jkt": key + "="}},
		{name: "with a line break", cnf: map[string]any{"jkt": key[:42] + "\n"}},
		{name: "and a line break", cnf: map[string]any{"jkt": key + "\n"}},
		{name: "of the standard alphabet", cnf: map[string]any{"jkt": "+" + key[1:]}},
		{name: "with a bit too many", cnf: map[string]any{"jkt": key[:42] + "B"}},
		{name: "a number", cnf: map[string]any{"jkt": 7}},
		{name: "an object", cnf: map[string]any{"jwk": map[string]any{"kty": "EC"}}},
	} {
		group := func(r map[string]any, name string) {
			t.Helper()
			other := map[string]string{"proven": "bound", "bound": "proven"}[name]
			require.NotContains(t, r, other, tc.name)
			require.Equal(t, tc.want, r[name], tc.name)
		}
		token, proven := bearergate.NewToken(claims), bearergate.NewToken(claims)
		if tc.cnf != nil {
			token = bound(t, tc.cnf)
			proven = prove(t, token)
		}

		a, o := newAudit(t, sloggate.Config{})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: proven})
		group(o.record(t, sloggate.EventDecision), "proven")

		// Nobody judged a proof where a verifier tells, and for a token that was refused.
		a.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Token: token})
		group(o.record(t, sloggate.EventVerification), "bound")
		a.IntrospectHooks().Looked(t.Context(), introspect.LookEvent{Token: token})
		group(o.record(t, sloggate.EventIntrospection), "bound")
		a, o = newAudit(t, sloggate.Config{})
		refusal := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: refusal.WithRefused(proven)})
		r := o.record(t, sloggate.EventDecision)
		require.NotContains(t, r, "proven", tc.name)
		require.NotContains(t, r, "bound", tc.name)
		group(r["refused"].(map[string]any), "bound")
	}
}

// No flood of strangers hides a proof that is wrong.
func TestStrangersHideNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, o := newAudit(t, sloggate.Config{MaxPerSecond: 10})
		for range 1000 {
			a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrInvalidToken})
			a.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Err: bearergate.ErrInvalidToken})
		}
		a.ProofHooks().Judged(t.Context(), dpop.ProofEvent{Err: bearergate.ErrInvalidToken})
		require.NotContains(t, o.record(t, sloggate.EventProof), "suppressed")
	})
}

// Proofs go through everything, past functions of the user's that repeat them wherever they
// can. Not sixteen bytes of them, of a token, a jti or a nonce are written, and a thumbprint
// only where the sender holds the key.
func TestSecrecyOfProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text, tint output
		levels := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
		a, err := sloggate.New(sloggate.Config{Handler: slog.NewMultiHandler(slog.NewTextHandler(&text, levels), jsonTo(t, &tint, levels)), MaxPerSecond: 1 << 20})
		require.NoError(t, err)
		all, secrets := proofs.Watch(t, a, func(_ string, serve func(context.Context)) { serve(t.Context()) })
		for _, o := range []*output{&text, &tint} {
			for _, part := range []string{string(sloggate.EventProof), string(sloggate.EventDecision), string(sloggate.EventPanic), "ES256", "iat", "renewed", "store_unavailable", "dpop: "} {
				require.Contains(t, o.String(), part, "or nothing was looked at")
			}
			require.Empty(t, leaks(o.String(), secrets))
		}
		decisions := tint.records(t, sloggate.EventDecision)
		require.Len(t, decisions, len(all))
		for i, one := range all {
			if one.Event.Err == nil {
				require.Equal(t, map[string]any{"jkt": one.Thumbprint}, decisions[i]["proven"], one.Name)
				continue
			}
			require.NotContains(t, decisions[i], "proven", one.Name)
			require.NotContains(t, decisions[i], "bound", one.Name)
			require.NotContains(t, decisions[i], "subject", one.Name)
			// Whose it was, as docs/observability.md promises for replays; not who has sent it.
			refused, _ := decisions[i]["refused"].(map[string]any)
			require.NotEmpty(t, refused["issuer"], one.Name)
			require.Equal(t, map[string]any{"jkt": one.Thumbprint}, refused["bound"], one.Name)
			require.NotContains(t, refused, "proven", one.Name)
		}
	})
}
