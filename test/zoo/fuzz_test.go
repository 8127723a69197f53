package zoo_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
)

// FuzzPresets: whatever claims a provider signs, a token that its preset accepts says what it
// must to a reader who knows nothing of the preset: iss and aud as configured, an exp that has
// not come, and what tells the tokens for an API apart. No field that the user sets changes
// that.
func FuzzPresets(f *testing.F) {
	all := providers()
	type pair struct{ strict, loose verifier }
	of := []pair{}
	for i, p := range all {
		of = append(of, pair{p.made(f, p.web(nil), nil), p.made(f, p.web(nil), nil, lax)})
		for _, r := range slices.Concat(p.rows, p.everywhere(f)) {
			claims, err := json.Marshal(r.claimsOf(f))
			require.NoError(f, err)
			f.Add(uint8(i), claims)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, claims []byte) {
		p, v := all[int(which)%len(all)], of[int(which)%len(all)]
		raw := p.signed(t, &row{}, claims)
		got, err := v.strict.Verify(context.Background(), raw)
		require.Equal(t, err == nil, got != nil)
		if err == nil {
			p.requireEssential(t, claims, 5)
		} else {
			require.ErrorIs(t, err, bearergate.ErrInvalidToken)
		}
		_, looseErr := v.loose.Verify(context.Background(), raw)
		if looseErr == nil {
			p.requireEssential(t, claims, int64(jwtverify.MaxLeeway.Seconds()))
		} else {
			require.ErrorIs(t, looseErr, bearergate.ErrInvalidToken)
		}
	})
}

// requireEssential asserts what a token says that was accepted.
func (p *provider) requireEssential(t *testing.T, payload []byte, leeway int64) {
	t.Helper()
	claims, names := read(t, payload), p.namesOf(t)
	require.Contains(t, names.issuers, text(claims, "iss"))
	exp, ok := claims["exp"].(json.Number)
	require.True(t, ok, "exp")
	at, err := exp.Float64()
	require.NoError(t, err)
	require.Greater(t, at+float64(leeway), float64(kit.Now.Unix()))
	_, occurs := claims["aud"]
	switch {
	case occurs:
		require.True(t, anyIn(texts(claims, "aud"), names.audiences), "aud")
	case !p.noAudience:
		require.True(t, slices.ContainsFunc(names.standIns, func(n standIn) bool { return anyIn(texts(claims, n.claim), n.values) }), "nothing stands in for aud")
	}
	require.True(t, p.essential(claims), "what is essential")
}

// names are what a provider's tokens may say of issuer and audience.
type names struct {
	issuers, audiences []string
	standIns           []standIn
}

// standIn is a claim that stands in for aud, and what it may say.
type standIn struct {
	claim  string
	values []string
}

func (p *provider) namesOf(t *testing.T) names {
	t.Helper()
	if p.router != nil { // those of the rows
		return names{issuers: []string{msLogin + tenant + "/v2.0", msLogin + tenant2 + "/v2.0"}, audiences: []string{theAPI}}
	}
	n := names{issuers: append([]string{p.preset.Issuer}, p.preset.IssuerAliases...), audiences: p.preset.Audiences}
	for claim, values := range p.preset.AllowAudienceFrom {
		n.standIns = append(n.standIns, standIn{claim, values})
	}
	return n
}

func anyIn(found, accepted []string) bool {
	return slices.ContainsFunc(found, func(one string) bool { return slices.Contains(accepted, one) })
}
