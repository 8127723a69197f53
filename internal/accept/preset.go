package accept

import (
	"errors"
	"slices"

	"github.com/bearergate/bearergate"
)

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
	// token needs no aud: it counts where the member aud does not occur at all, and only as
	// long as the Audiences of the Config are these.
	KeysNameAudience bool
	Audiences        []string
	// KeysOf says that the keys are those of this issuer alone, so that a token needs no
	// iss: it counts where the member iss does not occur, and only as long as the Issuer of
	// the Config is this one. "": a token needs an iss.
	KeysOf string
	// Mistake is what is wrong with what the preset was given: it accepts nothing, whatever
	// becomes of the Config around it.
	Mistake error
}

// NewPreset makes a Preset, which shares d: it must not be changed any more.
func NewPreset(d *Demands) Preset { return Preset{d} }

// Mistake is what is wrong with what the preset was given; nil: nothing.
func (p Preset) Mistake() error {
	if p.d == nil {
		return nil
	}
	return p.d.Mistake
}

// KeysNameAudience reports whether a token needs no aud.
func (p Preset) KeysNameAudience() bool { return p.d != nil && p.d.KeysNameAudience }

// KeysNameIssuer reports whether a token needs no iss.
func (p Preset) KeysNameIssuer() bool { return p.d != nil && p.d.KeysOf != "" }

// IsZero reports whether the Preset demands nothing.
func (p Preset) IsZero() bool { return p.d == nil }

// OfIDTokens reports whether ID tokens are what is verified.
func (p Preset) OfIDTokens() bool { return p.d != nil && p.d.IDTokens }

// Into puts what a Preset says of the rules into them.
func (p Preset) Into(r *Rules) {
	if p.d != nil {
		r.IDTokens = p.d.IDTokens
		r.KeysNameAudience = p.d.KeysNameAudience && slices.Equal(r.Audiences, p.d.Audiences)
		r.KeysNameIssuer = p.d.KeysOf != "" && r.Issuer == p.d.KeysOf
	}
}

// Judge asks the rule of the Preset about claims that have been judged, and leaves in
// of.At that it was asked.
func (p Preset) Judge(of *Reading) error {
	if p.d == nil || p.d.Rule == nil {
		return nil
	}
	of.At = StepPreset
	if p.d.Mistake != nil { // New has reported it
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: errors.New(p.d.Name + ": was given something wrong")}
	}
	return p.d.Rule(&of.Claims)
}
