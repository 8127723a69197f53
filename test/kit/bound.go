package kit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
)

// RequireProofs asserts that raw, a token of v that is bound by this member of cnf alone,
// opens with the proof of its sender and with nothing less, in whichever order the calls
// come: what v remembers of it changes nothing. It makes ProofCalls calls.
func RequireProofs(t *testing.T, v bearergate.Verifier, raw, member string) {
	t.Helper()
	key, certificate := proofs{bearergate.SchemeDPoP, "jkt"}, proofs{bearergate.SchemeBearer, "x5t#S256"}
	own, other := key, certificate
	if member == other.member {
		own, other = other, own
	}
	require.Equal(t, member, own.member)
	both := []bearergate.Binding{own, other}
	calls := []struct {
		name     string
		scheme   bearergate.Scheme
		bindings []bearergate.Binding
		proof    string
		reason   bearergate.Reason
	}{
		{name: "without a proof", scheme: own.scheme, bindings: both, reason: bearergate.ReasonProof},
		{name: "with its proof", scheme: own.scheme, bindings: both[:1], proof: "good"},
		{name: "without it, afterwards", scheme: own.scheme, bindings: both, reason: bearergate.ReasonProof},
		{name: "with a wrong one", scheme: own.scheme, bindings: both, proof: "other", reason: bearergate.ReasonProof},
		{name: "under the other scheme", scheme: other.scheme, bindings: both, proof: "good", reason: bearergate.ReasonBinding},
		{name: "at a gate without bindings", scheme: bearergate.SchemeBearer, proof: "good", reason: bearergate.ReasonBinding},
		{name: "with its proof, afterwards", scheme: own.scheme, bindings: both, proof: "good"},
	}
	require.Len(t, calls, ProofCalls)
	for _, c := range calls {
		call := bearergate.Call{Credentials: bearergate.Credentials{Scheme: c.scheme, Raw: bearergate.NewSecret(raw)},
			Header: func(string) []string { return []string{c.proof} }}
		token, _, err := bearergate.Authenticate(t.Context(), v, call, c.bindings...)
		if c.reason != "" {
			require.Error(t, err, c.name)
			RequireRefused(t, token, err, bearergate.ErrInvalidToken, c.reason)
			continue
		}
		require.NoError(t, err, c.name)
		require.True(t, token.Proven(), c.name)
	}
}

// ProofCalls is how many calls [RequireProofs] makes.
const ProofCalls = 7

// proofs is a Binding whose proof is a word.
type proofs struct {
	scheme bearergate.Scheme
	member string
}

func (p proofs) Scheme() bearergate.Scheme  { return p.scheme }
func (p proofs) Members() []string          { return []string{p.member} }
func (proofs) Challenge() map[string]string { return nil }

func (proofs) Confirm(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
	if c.Values("Proof")[0] != "good" {
		return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonProof}
	}
	return nil, nil
}
