package jwtverify

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwks"
)

// checkIssuer reports whether Issuer is one from which keys could be discovered.
func checkIssuer(c *Config, wrong *mistake.List) bool {
	switch {
	case c.Issuer == "":
		wrong.Addf("Issuer is empty: set it to the issuer identifier of your authorization server, exactly as in its tokens' iss")
		return false
	case fetch.CheckPasted(c.Issuer) != nil:
		wrong.Addf("Issuer%s %w", fetch.Shown(c.Issuer), fetch.CheckPasted(c.Issuer))
		return false
	case c.Keys != nil || c.KeysURL != "" || c.MetadataURL != "":
		return false // nothing is fetched from it
	case !c.InsecureAllowHTTP && plainHTTP(c.Issuer):
		wrong.Addf("Issuer %q is http: use https, or a loopback host for development, or name the https URL of its key set by KeysURL, or set InsecureAllowHTTP and accept that tokens can be forged", c.Issuer)
		return false
	}
	return true
}

func checkNames(c *Config, wrong *mistake.List) {
	if len(c.Audiences) == 0 {
		wrong.Addf("Audiences is empty: name the audience that your authorization server puts into aud for this API")
	}
	if slices.Contains(c.Audiences, "") {
		wrong.Addf("Audiences contains an empty string: remove it")
	}
	if slices.Contains(c.Confirmations, "") {
		wrong.Addf("Confirmations contains an empty string: remove it")
	}
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
		values = append(values, slices.Clone(c.AllowAudienceFrom[name]))
	}
	return names, values
}

// plainType is a typ as it is compared.
func plainType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// otherTypes are those of tokens that are never access tokens (RFC 9449, OpenID Connect
// Back-Channel Logout, RFC 8417, RFC 9701).
var otherTypes = []string{"dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt"}

func allowedTypes(c *Config, wrong *mistake.List) (types []string) {
	if len(c.AllowTypes) > 0 && c.Profile == RFC9068 {
		wrong.Addf("AllowTypes is set together with the Profile RFC9068, which accepts at+jwt alone: leave out the one or the other")
	}
	for _, t := range c.AllowTypes {
		switch plain := plainType(t); {
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

// keySource returns Config.Keys, or a cache that discovers them from the issuer.
func keySource(c *Config, issuerOK bool, wrong *mistake.List) jwks.Source {
	discover := jwks.Config{HTTPClient: c.HTTPClient, Hooks: c.KeyHooks, InsecureAllowHTTP: c.InsecureAllowHTTP}
	switch set := given(map[string]bool{"Keys": c.Keys != nil, "KeysURL": c.KeysURL != "", "MetadataURL": c.MetadataURL != ""}); {
	case len(set) > 1:
		wrong.Addf("%s are both set: leave out all but one", strings.Join(set, " and "))
		discover.Issuer = ""
	case c.KeysURL != "":
		discover.Issuer, discover.URL = c.Issuer, c.KeysURL
	case c.MetadataURL != "":
		discover.Issuer, discover.MetadataURL = c.Issuer, c.MetadataURL
	case issuerOK:
		discover.Issuer = c.Issuer
	}
	if c.Keys != nil && c.HTTPClient != nil {
		wrong.Addf("Keys and HTTPClient are both set: HTTPClient is for the cache that is made without Keys; give it to your own")
	}
	return accept.Source(wrong, "Keys", c.Keys, c.Issuer, discover)
}

// given are the names of what is set, in order.
func given(fields map[string]bool) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] {
			names = append(names, name)
		}
	}
	return names
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

// plainHTTP reports an http URL whose host is not this machine.
func plainHTTP(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "http" {
		return false
	}
	return !fetch.Loopback(issuer)
}
