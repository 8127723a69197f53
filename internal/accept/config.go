package accept

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwks"
)

// DefaultAlgorithms returns the algorithms that are accepted where a
// configuration names none.
func DefaultAlgorithms() []string { return []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} }

// Algorithms returns a copy of what a configuration names, or the default.
func Algorithms(wrong *mistake.List, field string, named []string) []string {
	if len(named) == 0 {
		named = DefaultAlgorithms()
	}
	all, unknown := jose.Named(named)
	for _, alg := range unknown {
		wrong.Addf("%s: %q is not accepted: use asymmetric signatures, of %s, or leave it out for the default", field, alg, strings.Join(jose.Algorithms(), ", "))
	}
	return all
}

// Source returns the key source that a configuration names, which must be
// that of the issuer if it says so, or a cache as in discover. Where discover has
// no issuer, somebody else has said so already.
func Source(wrong *mistake.List, field string, named jwks.Source, issuer string, discover jwks.Config) jwks.Source {
	switch {
	case named == nil && discover.Issuer == "" && discover.URL == "":
		return nil
	case named == nil:
		cache, err := jwks.New(discover)
		if err != nil {
			switch {
			case discover.URL != "":
				wrong.Addf("KeysURL cannot be used: %v", bearergate.AsError(err).Cause)
				return nil
			case discover.MetadataURL != "":
				wrong.Addf("MetadataURL cannot be used: %v", bearergate.AsError(err).Cause)
				return nil
			}
			wrong.Addf("Issuer cannot be used to discover keys: %v; or set %s", bearergate.AsError(err).Cause, field)
			return nil
		}
		return cache
	case guard.IsNil(named):
		wrong.Addf("%s is a nil %T: leave the field out to discover the keys from Issuer", field, named)
		return nil
	}
	if !reflect.ValueOf(discover.Hooks).IsZero() {
		wrong.Addf("%s and %s are both set: the hooks are for the cache that is made without %[1]s; give them to your own", field, strings.TrimSuffix(field, "Keys")+"KeyHooks")
	}
	owner, err := ownerOf(named)
	switch {
	case err != nil:
		wrong.Addf("%s cannot be used: its method Issuer %w: give a jwks.Cache, for example, or leave the field out", field, err)
	case owner != "" && owner != issuer:
		wrong.Addf("%s belong to the issuer %q, not to Issuer %q: %s", field, owner, issuer,
			cmp.Or(fetch.IssuerHint(issuer, owner), "keys must be the issuer's own, so make them for that Issuer"))
	}
	return named
}

// ownerOf returns the issuer that the keys belong to, "" if they do not say.
func ownerOf(s jwks.Source) (issuer string, err error) {
	err = guard.Call(func() error {
		if s, ok := s.(interface{ Issuer() string }); ok {
			issuer = s.Issuer()
		}
		return nil
	}, nil)
	return issuer, err
}

// Marks returns a copy of the marks that a configuration allows.
func Marks(wrong *mistake.List, named []string) []string {
	for _, mark := range named {
		if !slices.Contains(allowableMarks, mark) {
			wrong.Addf("AllowMarks: %q cannot be allowed: choose from %s", mark, strings.Join(allowableMarks, ", "))
		}
	}
	return slices.Clone(named)
}

// Leeway returns how far clocks may differ: what a configuration says, or the
// default. none is its field NoLeeway.
func Leeway(wrong *mistake.List, leeway time.Duration, none bool, byDefault, most time.Duration) time.Duration {
	switch {
	case none && leeway != 0:
		wrong.Addf("Leeway and NoLeeway are both set: choose one")
	case leeway < 0:
		wrong.Addf("Leeway is %v, which is negative: leave it out for the default of %v, or set NoLeeway for none", leeway, byDefault)
	case mistake.BareNumber(leeway) != "":
		wrong.Addf("Leeway is %v%s: leave it out for the default of %v, or set NoLeeway for none", leeway, mistake.BareNumber(leeway), byDefault)
	case leeway > most:
		wrong.Addf("Leeway is %v, and more than %v: choose less, and set the clocks of the servers instead", leeway, most)
	case leeway == 0 && !none:
		return byDefault
	}
	return leeway
}
