package jwtverify_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// Allocations are exact, so they are tested; times are not: see test/bench.
func TestAllocationsBeyondTheSignature(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector changes what allocates")
	}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		s := newSigner(t, alg, "k")
		raw, key, ctx := s.Sign(t, nil), s.Public(t), t.Context()
		jws, err := jose.Parse(raw, len(raw))
		require.NoError(t, err)
		check := testing.AllocsPerRun(100, func() {
			if key.Verify(alg, jws.Signed, jws.Signature) != nil {
				t.Error("refused")
			}
		})
		verify := func(v bearergate.Verifier, raw string) float64 {
			return testing.AllocsPerRun(100, func() {
				if _, err := v.Verify(ctx, raw); err != nil {
					t.Error(err)
				}
			})
		}
		c := config(s.Set(t))
		long := s.Sign(t, map[string]any{"groups": strings.Repeat("a long list of groups ", 300)})
		require.LessOrEqual(t, verify(newVerifier(t, c), raw), 0.0, alg)
		require.LessOrEqual(t, verify(newVerifier(t, c), long), 2.0, alg)
		c.DisableCache = true
		v := newVerifier(t, c)
		require.LessOrEqual(t, verify(v, raw)-check, 11.0, alg)

		// A header that is known stays so, whatever strangers send and Explain is asked.
		strange := s.SignWith(t, map[string]any{"alg": alg, "typ": "JWT", "kid": "k"}, nil)
		forged := strange[:strings.LastIndexByte(strange, '.')] + raw[strings.LastIndexByte(raw, '.'):]
		for name, other := range map[string]func(){
			"a forged token": func() {
				if _, err := v.Verify(ctx, forged); bearergate.ReasonOf(err) != bearergate.ReasonSignature {
					t.Error(err)
				}
			},
			"Explain": func() {
				if err := v.Explain(ctx, strange).Err; err != nil {
					t.Error(err)
				}
			},
		} {
			alone := testing.AllocsPerRun(100, other)
			require.Equal(t, verify(v, raw)+alone, testing.AllocsPerRun(100, func() {
				other()
				if _, err := v.Verify(ctx, raw); err != nil {
					t.Error(err)
				}
			}), "%s: %s", alg, name)
		}
	}
}

// The buffer that tokens share keeps nothing of them, whatever became of them,
// and does not keep the size of the longest one.
func TestPooledBufferIsEmpty(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.DisableCache = true
	c.MaxTokenBytes = 200 << 10
	v := newVerifier(t, c)
	raw := s.Sign(t, nil)
	used := 0
	for range 100 {
		for _, token := range []string{raw, raw[:len(raw)-1], raw + ".", raw[:len(raw)-4] + "AAAA", s.Sign(t, map[string]any{"aud": "x"}),
			s.Sign(t, map[string]any{"long": strings.Repeat("x", 100<<10)})} {
			_, _ = v.Verify(t.Context(), token)
			buf := jwtverify.Pooled()
			require.Equal(t, len(buf), bytes.Count(buf, []byte{0}))
			require.LessOrEqual(t, len(buf), 2*jwtverify.DefaultMaxTokenBytes)
			used += len(buf)
		}
		if used > 0 { // the pool may forget: more often still with the race detector
			return
		}
	}
	t.Error("the buffer is never used again")
}

// What a token says must not point into the buffer of the next one.
func TestTokensShareNoBuffer(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.DisableCache = true
	c.Confirmations = []string{"jkt"}
	v := newVerifier(t, c)
	read := func(tok *bearergate.Token) []any {
		var all map[string]any
		require.NoError(t, tok.Claims(&all))
		jkt, _ := tok.Confirmation().Value("jkt")
		return []any{all, tok.Issuer(), tok.Subject(), tok.ClientID(), tok.ID(), tok.Audience(), tok.Scopes().Names(), tok.ACR(), tok.Actor(), jkt}
	}
	var tokens []*bearergate.Token
	var before [][]any
	for i := range 20 {
		letter := string(rune('a' + i))
		raw := s.Sign(t, map[string]any{"sub": strings.Repeat(letter, 20), "client_id": letter, "jti": letter, "scope": "read:" + letter,
			"acr": letter, "act": map[string]any{"sub": letter}, "cnf": map[string]any{"jkt": strings.Repeat(letter, 43)}, "own": letter})
		tok, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat(letter, 20), tok.Subject())
		tokens, before = append(tokens, tok), append(before, read(tok))
	}
	for i, tok := range tokens {
		require.Equal(t, before[i], read(tok))
	}
}
