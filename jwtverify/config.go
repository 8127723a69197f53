package jwtverify

import (
	"net/url"
	"slices"

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
	case !c.InsecureAllowHTTP && plainHTTP(c.Issuer):
		wrong.Addf("Issuer %q is http: use https, or a loopback host for development, or set InsecureAllowHTTP and accept that tokens can be forged", c.Issuer)
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
}

// keySource returns Config.Keys, or a cache that discovers them from the issuer.
func keySource(c *Config, issuerOK bool, wrong *mistake.List) jwks.Source {
	discover := jwks.Config{HTTPClient: c.HTTPClient, Hooks: c.KeyHooks, InsecureAllowHTTP: c.InsecureAllowHTTP}
	if issuerOK {
		discover.Issuer = c.Issuer
	}
	if c.Keys != nil && c.HTTPClient != nil {
		wrong.Addf("Keys and HTTPClient are both set: HTTPClient is for the cache that is made without Keys; give it to your own")
	}
	return accept.Source(wrong, "Keys", c.Keys, c.Issuer, discover)
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
