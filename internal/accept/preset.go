package accept

import "github.com/bearergate/bearergate"

// Preset is what a ready-made configuration demands beyond the fields of a Config. It
// stands in a field of its own, so that nothing that a user sets beside it can replace it.
// Only package idp makes one: from outside, its fields cannot be named. The zero Preset
// demands nothing.
type Preset struct{ d *Demands }

// Demands are the contents of a [Preset].
type Demands struct {
	Name string // "idp.Keycloak"
	// Rule looks at claims that have been judged, once for a token and before the cache. It
	// is a pure function of the claims. It may fill in what the issuer says under names of
	// its own, and returns an error of [bearergate.Error] for a token that it refuses. It
	// must not keep the claims.
	Rule func(*bearergate.Claims) error
	// IDTokens says that ID tokens are what is verified, and nothing else is.
	IDTokens bool
	// KeysNameAudience says that the keys are published for this API alone, so that a
	// token needs no aud: it counts where the member aud does not occur at all.
	KeysNameAudience bool
}

// NewPreset makes a Preset, which shares d: it must not be changed any more.
func NewPreset(d *Demands) Preset { return Preset{d} }

// IsZero reports whether the Preset demands nothing.
func (p Preset) IsZero() bool { return p.d == nil }

// OfIDTokens reports whether ID tokens are what is verified.
func (p Preset) OfIDTokens() bool { return p.d != nil && p.d.IDTokens }

// Into puts what a Preset says of the rules into them.
func (p Preset) Into(r *Rules) {
	if p.d != nil {
		r.IDTokens, r.KeysNameAudience = p.d.IDTokens, p.d.KeysNameAudience
	}
}

// Judge asks the rule of the Preset about claims that have been judged, and leaves in
// of.At that it was asked.
func (p Preset) Judge(of *Reading) error {
	if p.d == nil || p.d.Rule == nil {
		return nil
	}
	of.At = StepPreset
	return p.d.Rule(&of.Claims)
}
