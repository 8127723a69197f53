package jwtverify_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

func TestTokenBytes(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	for limit, reason := range map[int]bearergate.Reason{len(raw): "", len(raw) - 1: bearergate.ReasonTooLarge} {
		c := config(s.Set(t))
		c.MaxTokenBytes = limit
		token, err := newVerifier(t, c).Verify(t.Context(), raw)
		if reason == "" {
			require.NoError(t, err)
			continue
		}
		requireError(t, token, err, bearergate.ErrInvalidToken, reason)
	}
	v := newVerifier(t, config(s.Set(t)))
	token, err := v.Verify(t.Context(), strings.Repeat("a", jwtverify.DefaultMaxTokenBytes+1))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonTooLarge)
	token, err = v.Verify(t.Context(), strings.Repeat("a", jwtverify.DefaultMaxTokenBytes))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
}

func TestWhatATokenSays(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.Confirmations = []string{"jkt"}
	token, err := newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{
		"aud": []string{"other", audience}, "nbf": now.Add(-time.Minute).Unix(), "auth_time": 0, "acr": "gold",
		"act":    map[string]any{"sub": "agent", "iss": "i", "client_id": "c", "act": map[string]any{"sub": "earlier"}},
		"cnf":    map[string]any{"jkt": "thumb"},
		"tenant": map[string]any{"id": int64(9007199254740993)},
	}))
	require.NoError(t, err)
	require.Equal(t, issuer, token.Issuer())
	require.Equal(t, "user-1", token.Subject())
	require.Equal(t, "client-1", token.ClientID())
	require.Equal(t, "id-1", token.ID())
	require.Equal(t, []string{"other", audience}, token.Audience())
	require.Equal(t, []string{"read", "write"}, token.Scopes().Names())
	require.Equal(t, now.Add(time.Hour), token.ExpiresAt())
	require.Equal(t, now, token.IssuedAt())
	require.Equal(t, now.Add(-time.Minute), token.NotBefore())
	authTime, ok := token.AuthTime()
	require.True(t, ok)
	require.Equal(t, time.Unix(0, 0).UTC(), authTime)
	require.Equal(t, "gold", token.ACR())
	require.Equal(t, []bearergate.Actor{{Subject: "agent", Issuer: "i", ClientID: "c"}, {Subject: "earlier"}}, token.Actor())
	jkt, ok := token.Confirmation().Value("jkt")
	require.True(t, ok)
	require.Equal(t, "thumb", jkt)
	require.False(t, token.IsClient())
	require.False(t, token.Stale())
	var custom struct {
		Tenant struct {
			ID int64 `json:"id"`
		} `json:"tenant"`
	}
	require.NoError(t, token.Claims(&custom))
	require.Equal(t, int64(9007199254740993), custom.Tenant.ID)
}

// Issuer and audience are compared exactly.
func TestIssuerAndAudience(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	v := newVerifier(t, config(s.Set(t)))
	for name, tt := range map[string]struct {
		claims map[string]any
		reason bearergate.Reason
	}{
		"another issuer":        {map[string]any{"iss": "https://evil.example.com/"}, bearergate.ReasonIssuer},
		"iss in another case":   {map[string]any{"iss": "https://AS.example.com/"}, bearergate.ReasonIssuer},
		"iss without the slash": {map[string]any{"iss": issuer[:len(issuer)-1]}, bearergate.ReasonIssuer},
		"no iss":                {map[string]any{"iss": absent}, bearergate.ReasonMissingClaim},
		"another audience":      {map[string]any{"aud": "https://other.example.com/"}, bearergate.ReasonAudience},
		"ours within another":   {map[string]any{"aud": audience + "x"}, bearergate.ReasonAudience},
		"ours in another case":  {map[string]any{"aud": []string{"HTTPS://rs.example.com/"}}, bearergate.ReasonAudience},
		"no aud":                {map[string]any{"aud": absent}, bearergate.ReasonMissingClaim},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := v.Verify(t.Context(), s.Sign(t, tt.claims))
			requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
		})
	}
}

// A required claim is present, of its type, and not empty.
func TestRequiredClaims(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.RequiredClaims = []string{"tenant"}
	v := newVerifier(t, c)
	for name, value := range map[string]any{"string": "x", "number": 0, "false": false, "array": []int{0}, "object": map[string]any{"": nil}, "space": " "} {
		_, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"tenant": value}))
		require.NoError(t, err, name)
	}
	for name, value := range map[string]any{"absent": absent, "null": nil, "empty string": "", "empty array": []int{}, "empty object": map[string]any{}} {
		token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"tenant": value, "Tenant": "x"}))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMissingClaim)
		_ = name
	}
}

func TestScopeClaims(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name   string
		names  []string
		claims map[string]any
		want   []string // nil: malformed
	}{
		{"string", nil, map[string]any{"scope": "a b"}, []string{"a", "b"}},
		{"odd spaces", nil, map[string]any{"scope": "  a   b "}, []string{"a", "b"}},
		{"empty", nil, map[string]any{"scope": ""}, []string{}},
		{"absent", nil, map[string]any{"scope": absent}, []string{}},
		{"tab is no separator", nil, map[string]any{"scope": "a\tb c"}, []string{"c"}},
		{"array", nil, map[string]any{"scope": []string{"a", "b"}}, []string{"a", "b"}},
		{"array with an odd name", nil, map[string]any{"scope": []string{"a b", "c"}}, []string{"c"}},
		{"scp", nil, map[string]any{"scope": absent, "scp": []string{"a"}}, []string{"a"}},
		{"the first present wins", nil, map[string]any{"scope": "a", "scp": "b"}, []string{"a"}},
		{"even when empty", nil, map[string]any{"scope": "", "scp": "b"}, []string{}},
		{"configured order", []string{"scp", "scope"}, map[string]any{"scope": "a", "scp": "b"}, []string{"b"}},
		{"not configured", []string{"permissions"}, map[string]any{"scope": "a", "permissions": "b"}, []string{"b"}},
		{"null is absent", nil, map[string]any{"scope": nil, "scp": "b"}, []string{"b"}},
		{"number", nil, map[string]any{"scope": 5}, nil},
		{"object", nil, map[string]any{"scope": map[string]any{}}, nil},
		{"mixed array", nil, map[string]any{"scope": []any{"a", 5}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(s.Set(t))
			c.ScopeClaims = tt.names
			token, err := newVerifier(t, c).Verify(t.Context(), s.Sign(t, tt.claims))
			if tt.want == nil {
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
				return
			}
			require.NoError(t, err)
			require.ElementsMatch(t, tt.want, token.Scopes().Names())
		})
	}
}

func TestConfirmations(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	none := newVerifier(t, c)
	c.Confirmations = []string{"x5t#S256", "jkt"}
	both := newVerifier(t, c)
	for _, tt := range []struct {
		name         string
		cnf          any
		none, listed bearergate.Reason
	}{
		{"unbound", absent, "", ""},
		{"certificate", map[string]any{"x5t#S256": "a"}, bearergate.ReasonBinding, ""},
		{"both", map[string]any{"x5t#S256": "a", "jkt": "b"}, bearergate.ReasonBinding, ""},
		{"one of them unknown", map[string]any{"x5t#S256": "a", "jwk": map[string]any{"kty": "EC"}}, bearergate.ReasonBinding, bearergate.ReasonBinding},
		{"folded name", map[string]any{"X5T#S256": "a"}, bearergate.ReasonBinding, bearergate.ReasonBinding},
		{"empty object", map[string]any{}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"empty member", map[string]any{"jkt": ""}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"null member", map[string]any{"jkt": nil}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"member of a wrong type", map[string]any{"x5t#S256": []string{"a"}}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"null", nil, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"string", "jkt", bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"array", []string{"jkt"}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := s.Sign(t, map[string]any{"cnf": tt.cnf})
			for v, reason := range map[*jwtverify.Verifier]bearergate.Reason{none: tt.none, both: tt.listed} {
				token, err := v.Verify(t.Context(), raw)
				if reason == "" {
					require.NoError(t, err)
					continue
				}
				requireError(t, token, err, bearergate.ErrInvalidToken, reason)
			}
		})
	}
}

func TestActorChain(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	v := newVerifier(t, config(s.Set(t)))
	chain := func(n int) any {
		var act any
		for range n {
			next := map[string]any{"sub": "a"}
			if act != nil {
				next["act"] = act
			}
			act = next
		}
		return act
	}
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"act": chain(16)}))
	require.NoError(t, err)
	require.Len(t, token.Actor(), 16)
	for name, act := range map[string]any{"too long": chain(17), "string": "a", "sub": map[string]any{"sub": 1}, "inner": map[string]any{"act": "x"}} {
		token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"act": act}))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
		_ = name
	}
}

func FuzzClaims(f *testing.F) {
	s := newSigner(f, "EdDSA", "k")
	v := newVerifier(f, config(s.Set(f)))
	header := []byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"k"}`)
	for _, seed := range []string{
		`{"iss":"https://as.example.com/","aud":"https://rs.example.com/","exp":1772370000}`,
		`{"iss":"https://as.example.com/","aud":["https://rs.example.com/"],"exp":1772370000.5,"scope":"a b","cnf":{"jkt":"x"}}`,
		`{"iss":"https://as.example.com/","aud":["https://rs.example.com/"],"exp":1.772370000e9,"sub":null,"act":{"sub":"a"}}`,
		`{"iss":"https://as.example.com/","iss":"x"}`, `{}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		raw, err := jose.Sign("EdDSA", s.Key, header, claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := v.Verify(context.Background(), raw)
		if err != nil {
			if token != nil || bearergate.ReasonOf(err) == "" {
				t.Fatalf("%v beside %v", token, err)
			}
			return
		}
		// What is accepted says the same to encoding/json, which folds and forgives.
		var std struct {
			Iss string      `json:"iss"`
			Aud any         `json:"aud"`
			Exp json.Number `json:"exp"`
		}
		if err := json.Unmarshal(claims, &std); err != nil {
			t.Fatalf("encoding/json refuses what was accepted: %v", err)
		}
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(claims, &exact); err != nil || token.Issuer() != issuer || !token.HasAudience(audience) ||
			exact["exp"] == nil || !token.ExpiresAt().After(now.Add(-jwtverify.DefaultLeeway)) {
			t.Fatalf("accepted: %s", claims)
		}
	})
}
