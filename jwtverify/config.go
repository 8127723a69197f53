package jwtverify

import (
	"maps"
	"slices"

	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/mistake"
)

// origin is whose tokens are verified, and where the keys come from.
func origin(c *Config) accept.Origin {
	return accept.Origin{Issuer: c.Issuer, KeysURL: c.KeysURL, MetadataURL: c.MetadataURL, Keys: c.Keys, KeyHooks: c.KeyHooks,
		HTTPClient: c.HTTPClient, InsecureAllowHTTP: c.InsecureAllowHTTP}
}

func checkNames(c *Config, wrong *mistake.List) {
	if len(c.Audiences) == 0 {
		wrong.Addf("Audiences is empty: name the audience that your authorization server puts into aud for this API")
	}
	wrong.Literals("Audiences", c.Audiences)
	wrong.Literals("Confirmations", c.Confirmations)
	for _, alias := range c.IssuerAliases {
		switch err := fetch.CheckPasted(alias); {
		case alias == "":
			wrong.Addf("IssuerAliases contains an empty string: remove it")
		case alias == c.Issuer:
			wrong.Addf("IssuerAliases: %q is Issuer itself: remove it", alias)
		case err != nil:
			wrong.Addf("IssuerAliases:%s %w", fetch.Shown(alias), err)
		}
	}
	if c.Preset.OfIDTokens() && c.Profile == RFC9068 {
		wrong.Addf("Profile is RFC9068, which accepts access tokens alone, and the Preset is one for ID tokens: leave out the one or the other")
	}
	if c.Preset.KeysNameAudience() && (c.Profile == RFC9068 || slices.Contains(c.RequiredClaims, "aud")) {
		wrong.Addf("Profile is RFC9068, or RequiredClaims has aud, and the Preset is one for tokens without aud: leave out the one or the other; to demand an aud, name it in Audiences")
	}
	if c.Preset.KeysNameIssuer() && (c.Profile == RFC9068 || slices.Contains(c.RequiredClaims, "iss")) {
		wrong.Addf("Profile is RFC9068, or RequiredClaims has iss, and the Preset is one for tokens without iss: leave out the one or the other; to demand an iss, give the preset the issuer")
	}
	for _, name := range c.IgnoreClaims {
		if name != "act" && name != "may_act" {
			wrong.Addf("IgnoreClaims: %q cannot be ignored: only act and may_act can", name)
		}
	}
}

// audienceFrom returns the claims of AllowAudienceFrom in a fixed order, and the values of
// each.
func audienceFrom(c *Config, wrong *mistake.List) (names []string, values [][]string) {
	names = slices.Sorted(maps.Keys(c.AllowAudienceFrom))
	if len(names) > accept.MaxStandIns {
		wrong.Addf("AllowAudienceFrom has %d claims: leave out all but %d", len(names), accept.MaxStandIns)
		return nil, nil
	}
	if len(names) > 0 && c.Profile == RFC9068 {
		wrong.Addf("AllowAudienceFrom is set together with the Profile RFC9068, which demands aud: leave out the one or the other")
	}
	if len(names) > 0 && slices.Contains(c.RequiredClaims, "aud") {
		wrong.Addf("AllowAudienceFrom is set together with aud in RequiredClaims, which it would make void: leave out the one or the other")
	}
	for _, name := range names {
		switch {
		case name == "" || name == "aud" || name == "iss":
			wrong.Addf("AllowAudienceFrom: %q cannot stand in for aud: name another claim", name)
		case len(c.AllowAudienceFrom[name]) == 0 || slices.Contains(c.AllowAudienceFrom[name], ""):
			wrong.Addf("AllowAudienceFrom: %s has no value, or an empty one: name what the claim says in tokens for this API", name)
		}
		for _, value := range c.AllowAudienceFrom[name] {
			if err := mistake.Literal(value); err != nil {
				wrong.Addf("AllowAudienceFrom: %s: %q %w", name, value, err)
			}
		}
		values = append(values, slices.Clone(c.AllowAudienceFrom[name]))
	}
	return names, values
}

// otherTypes are those of tokens that are never access tokens (RFC 9449, OpenID Connect
// Back-Channel Logout, RFC 8417, RFC 9701).
var otherTypes = []string{"dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt"}

func allowedTypes(c *Config, wrong *mistake.List) (types []string) {
	if len(c.AllowTypes) > 0 && c.Profile == RFC9068 {
		wrong.Addf("AllowTypes is set together with the Profile RFC9068, which accepts at+jwt alone: leave out the one or the other")
	}
	for _, t := range c.AllowTypes {
		switch plain := accept.PlainType(t); {
		case plain == "":
			wrong.Addf("AllowTypes contains an empty string: remove it; a token without typ is accepted anyway")
		case slices.Contains(otherTypes, plain):
			wrong.Addf("AllowTypes: %q is the type of another kind of token: remove it", t)
		default:
			types = append(types, plain)
		}
	}
	return types
}

func clientClaims(c *Config, wrong *mistake.List) []string {
	if len(c.ClientClaims) == 0 {
		return accept.DefaultClients()
	}
	if slices.Contains(c.ClientClaims, "") || len(c.ClientClaims) > accept.MaxClients {
		wrong.Addf("ClientClaims contains an empty string, or more than %d names: leave those out", accept.MaxClients)
	}
	return slices.Clone(c.ClientClaims)
}

// requiredClaims are those of the profile, of MaxTokenAge and of RequiredClaims.
func requiredClaims(c *Config, wrong *mistake.List) (required []string) {
	switch c.Profile {
	case AccessToken:
		required = []string{"iss", "aud", "exp"}
	case RFC9068:
		required = []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}
	default:
		wrong.Addf("Profile %d is unknown: use AccessToken or RFC9068", c.Profile)
	}
	switch {
	case c.MaxTokenAge < 0:
		wrong.Addf("MaxTokenAge %v is negative: leave it out to accept any age", c.MaxTokenAge)
	case mistake.BareNumber(c.MaxTokenAge) != "":
		wrong.Addf("MaxTokenAge is %v%s: set the longest life of a token, or leave it out to accept any", c.MaxTokenAge, mistake.BareNumber(c.MaxTokenAge))
	case c.MaxTokenAge > 0 && !slices.Contains(required, "iat"):
		required = append(required, "iat")
	}
	for _, name := range c.RequiredClaims {
		if name == "" {
			wrong.Addf("RequiredClaims contains an empty string: remove it")
		} else if !slices.Contains(required, name) {
			required = append(required, name)
		}
	}
	if len(required) > accept.MaxRequired {
		wrong.Addf("RequiredClaims names too many: with those of Profile and MaxTokenAge they are %d claims, and %d are the most; leave some out, or look at them in Check", len(required), accept.MaxRequired)
	}
	return required
}

func scopeClaims(c *Config, wrong *mistake.List) []string {
	if len(c.ScopeClaims) == 0 {
		return []string{"scope", "scp"}
	}
	if slices.Contains(c.ScopeClaims, "") {
		wrong.Addf("ScopeClaims contains an empty string: remove it")
	}
	if len(c.ScopeClaims) > accept.MaxScopeClaims {
		wrong.Addf("ScopeClaims has %d names: leave out all but %d", len(c.ScopeClaims), accept.MaxScopeClaims)
	}
	return slices.Clone(c.ScopeClaims)
}
