package accept_test

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// The kinds that are refused where ID tokens are what is verified.
func TestKindOfIDTokens(t *testing.T) {
	ids := rules
	ids.IDTokens = true
	for text, other := range map[string]bool{
		`{}`: false, `{"typ":"ID"}`: false, `{"token_use":"id"}`: false, `{"type":"id_token"}`: false, `{"typ":"Serialized-ID"}`: false,
		`{"nonce":"x","at_hash":"y","c_hash":"z","s_hash":"w"}`: false, `{"typ":"JWT"}`: false,
		`{"typ":"Bearer"}`: true, `{"typ":"at+jwt"}`: true, `{"token_use":"access"}`: true, `{"tokenType":"access-token"}`: true, `{"typ":"DPoP"}`: true,
		`{"typ":"Refresh"}`: true, `{"token_use":"refresh"}`: true, `{"typ":"Logout"}`: true, `{"type":"offline_access"}`: true,
		`{"code":"x"}`: false, `{"state":"y"}`: false,
		`{"events":{}}`: true, `{"token_introspection":{}}`: true, `{"code":"x","state":"y"}`: true, `{"nonce":"x","events":{}}`: true,
	} {
		claims := good()
		var more map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &more))
		maps.Copy(claims, more)
		reading := read(t, fields, claims)
		want := bearergate.Reason("")
		if other {
			want = bearergate.ReasonType
		}
		require.Equal(t, want, bearergate.ReasonOf(ids.Judge(&reading, false)), text)
	}
}

// Where the keys say whose the token is, aud may be left out, and nothing else.
func TestKeysNameAudience(t *testing.T) {
	named := rules
	named.KeysNameAudience = true
	for _, tt := range []struct {
		name string
		aud  any
		want bearergate.Reason
	}{
		{name: "no aud", aud: absent{}},
		{name: "ours", aud: good()["aud"]},
		{name: "another's", aud: "https://other.example.com", want: bearergate.ReasonAudience},
		{name: "null", want: bearergate.ReasonMissingClaim},
		{name: "an empty list", aud: []string{}, want: bearergate.ReasonMissingClaim},
		{name: "an empty string", aud: "", want: bearergate.ReasonMissingClaim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := good()
			with("aud", tt.aud)(claims)
			reading := read(t, fields, claims)
			require.Equal(t, tt.want, bearergate.ReasonOf(named.Judge(&reading, false)))
			if tt.aud == (absent{}) {
				require.Equal(t, bearergate.ReasonMissingClaim, bearergate.ReasonOf(rules.Judge(&reading, false)), "without the preset")
			}
		})
	}
}

func TestPreset(t *testing.T) {
	var none accept.Preset
	require.True(t, none.IsZero())
	r := rules
	none.Into(&r)
	require.Equal(t, rules, r)
	reading := read(t, fields, good())
	require.NoError(t, none.Judge(&reading))
	require.NotEqual(t, accept.StepPreset, reading.At)

	require.False(t, none.KeysNameAudience() || none.OfIDTokens())
	require.NoError(t, none.Mistake())
	silent := accept.NewPreset(&accept.Demands{Name: "x", Audiences: rules.Audiences})
	silent.Into(&r)
	require.False(t, r.KeysNameAudience || silent.KeysNameAudience() || silent.OfIDTokens())
	require.NoError(t, silent.Judge(&reading))
	require.NotEqual(t, accept.StepPreset, reading.At)

	refusal := accept.Invalid(bearergate.ReasonPolicy, "x")
	p := accept.NewPreset(&accept.Demands{Name: "x", IDTokens: true, KeysNameAudience: true, Audiences: rules.Audiences, Rule: func(c *bearergate.Claims) error {
		c.Tenant = "t"
		return refusal
	}})
	p.Into(&r)
	require.True(t, r.IDTokens && r.KeysNameAudience && p.OfIDTokens() && p.KeysNameAudience() && !p.IsZero())
	require.NoError(t, p.Mistake())
	other := rules
	other.Audiences = []string{"another"}
	p.Into(&other)
	require.False(t, other.KeysNameAudience, "who names audiences of their own demands one")
	other.Issuer = ""
	p.Into(&other)
	require.False(t, other.KeysNameIssuer)
	require.False(t, r.KeysNameIssuer || p.KeysNameIssuer() || none.KeysNameIssuer())
	require.Equal(t, refusal, p.Judge(&reading))
	require.Equal(t, accept.StepPreset, reading.At)
	require.Equal(t, "t", reading.Claims.Tenant)

	keysOf := accept.NewPreset(&accept.Demands{Name: "x", KeysOf: rules.Issuer})
	keysOf.Into(&r)
	require.True(t, r.KeysNameIssuer && keysOf.KeysNameIssuer())
	other.Issuer = "https://other.example.test"
	keysOf.Into(&other)
	require.False(t, other.KeysNameIssuer, "whose keys other ones are, a token has to say")

	wrong := accept.NewPreset(&accept.Demands{Name: "x", Mistake: errors.New("y"), Rule: func(*bearergate.Claims) error { return nil }})
	require.Error(t, wrong.Mistake())
	kit.RequireError(t, wrong.Judge(&reading), bearergate.ErrMisconfigured, bearergate.ReasonConfig) // it accepts nothing
}
