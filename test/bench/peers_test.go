package bench

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is compared must do the same: every subject takes the valid token, and
// refuses what all of them were configured to check.
func TestAllCheckTheSame(t *testing.T) {
	for _, alg := range algorithms {
		w, other := newWorld(t, alg), newWorld(t, alg)
		subjects := append(w.peers(t), subject{byCold, verifying(w.verifier(t, true))}, subject{byWarm, verifying(w.verifier(t, false))})
		for _, s := range subjects {
			t.Run(alg+"/"+s.name, func(t *testing.T) {
				for range 2 {
					require.NoError(t, s.verify(t.Context(), w.token))
				}
				for name, token := range map[string]string{
					"issuer":    w.sign(t, nil, map[string]any{"iss": "https://evil.example.com/"}),
					"audience":  w.sign(t, nil, map[string]any{"aud": "https://other.example.com/"}),
					"expired":   w.sign(t, nil, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
					"signature": other.token,
					"none":      `eyJhbGciOiJub25lIn0.` + strings.Split(w.token, ".")[1] + ".",
				} {
					require.Error(t, s.verify(t.Context(), token), name)
				}
			})
		}
	}
}

// probe is a token that must not open a resource server's route.
type probe struct{ name, token string }

func (w *world) probes(tb testing.TB) []probe {
	claims := func(change map[string]any) string { return w.sign(tb, nil, change) }
	in := time.Now().Add(time.Hour).Unix()
	part := strings.Split(w.token, ".")
	whole, err := json.Marshal(map[string]string{"protected": part[0], "payload": part[1], "signature": part[2]})
	require.NoError(tb, err)
	twice := fmt.Sprintf(`{"iss":%q,"aud":%q,"iat":%d,"exp":1,"exp":%d}`, issuer, audience, time.Now().Unix(), in)
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, w.alg, keyID)
	// The last character of a signature of 256 or 64 bytes carries 4 or 2 bits that mean nothing.
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, w.token[len(w.token)-1])
	return []probe{
		{"without exp", claims(map[string]any{"exp": nil})},
		{"nbf in an hour", claims(map[string]any{"nbf": in})},
		{"iat in an hour", claims(map[string]any{"iat": in, "exp": in + 3600})},
		{"a claim given twice (exp)", w.signRaw(tb, []byte(header), []byte(twice))},
		{"an ID token (nonce, at_hash)", w.sign(tb, map[string]any{"typ": "JWT"}, map[string]any{"nonce": "n-0S6_WzA2Mj", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ"})},
		{"typ of another kind (logout+jwt)", w.sign(tb, map[string]any{"typ": "logout+jwt"}, nil)},
		{"bound to its sender (cnf), proof not asked for", claims(map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})},
		{"critical extension that nobody knows", w.sign(tb, map[string]any{"crit": []string{"exp-policy"}, "exp-policy": true}, nil)},
		{"kid that nobody published", w.sign(tb, map[string]any{"kid": "nobody"}, nil)},
		{"a second spelling (spare bits of base64)", w.token[:len(w.token)-1] + alphabet[last+1:last+2]},
		{"a line break inside", w.token[:len(w.token)-9] + "\n" + w.token[len(w.token)-9:]},
		{"JSON serialization", string(whole)},
	}
}

// beyond is the table of the missing checks of each library: what each accepts of
// the wrong tokens, a row for each of them.
func beyond(tb testing.TB) string {
	w := newWorld(tb, "ES256")
	subjects := append([]subject{{"bearergate", verifying(w.verifier(tb, false))}}, w.peers(tb)...)
	var b strings.Builder
	fmt.Fprint(&b, "| token |")
	for _, s := range subjects {
		fmt.Fprintf(&b, " %s |", s.name)
	}
	fmt.Fprintf(&b, "\n|---|%s", strings.Repeat("---|", len(subjects)))
	for _, p := range w.probes(tb) {
		fmt.Fprintf(&b, "\n| %s |", p.name)
		for _, s := range subjects {
			verdict := "refused"
			if s.verify(tb.Context(), p.token) == nil {
				verdict = "**accepted**"
			}
			if s.name == "bearergate" {
				require.Equal(tb, "refused", verdict, p.name)
			}
			fmt.Fprintf(&b, " %s |", verdict)
		}
	}
	return b.String()
}

// Our own column is asserted; the others are held to docs/comparison.md by
// TestBeyondIsInTheComparison.
func TestWhatIsAcceptedBeyond(t *testing.T) {
	t.Logf("wrong tokens under a good signature (ES256):\n%s", beyond(t))
}
