package jwtverify

import (
	"fmt"
	"net/url"
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

// checkIssuer reports whether Issuer is one from which keys could be discovered.
func checkIssuer(c *Config, wrong *mistake.List) bool {
	switch {
	case c.Issuer == "":
		wrong.Addf("Issuer is empty: set it to the issuer identifier of your authorization server, exactly as in its tokens' iss")
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

func algorithms(c *Config, wrong *mistake.List) []string {
	if len(c.Algorithms) == 0 {
		c.Algorithms = DefaultAlgorithms()
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(jose.Algorithms(), alg) {
			wrong.Addf("Algorithms: %q is not accepted: use asymmetric signatures, of %s", alg, strings.Join(jose.Algorithms(), ", "))
		}
	}
	// RFC 9864: two names of one algorithm.
	if slices.Contains(c.Algorithms, "EdDSA") || slices.Contains(c.Algorithms, "Ed25519") {
		return slices.Concat(c.Algorithms, []string{"EdDSA", "Ed25519"})
	}
	return slices.Clone(c.Algorithms)
}

// keySource returns Config.Keys, or a cache that discovers them from the issuer.
func keySource(c *Config, issuerOK bool, wrong *mistake.List) jwks.Source {
	switch {
	case c.Keys == nil && !issuerOK:
		return nil // said already
	case c.Keys == nil:
		cache, err := jwks.New(jwks.Config{Issuer: c.Issuer, HTTPClient: c.HTTPClient, Hooks: c.KeyHooks, InsecureAllowHTTP: c.InsecureAllowHTTP})
		if err != nil {
			wrong.Addf("Issuer cannot be used to discover keys: %v", bearergate.AsError(err).Cause)
			return nil
		}
		return cache
	case guard.IsNil(c.Keys):
		wrong.Addf("Keys is a nil %T: leave the field out to discover the keys from Issuer", c.Keys)
		return nil
	}
	owner, err := ownerOf(c.Keys)
	if err != nil {
		wrong.Addf("Keys cannot be used: %v", err)
	} else if owner != "" && owner != c.Issuer {
		wrong.Addf("Keys belong to the issuer %q, not to Issuer %q: keys must be the issuer's own", owner, c.Issuer)
	}
	return c.Keys
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
	if len(required) > maxRequiredClaims {
		wrong.Addf("RequiredClaims names more than %d claims", maxRequiredClaims)
	}
	return required
}

func scopeClaims(c *Config, wrong *mistake.List) []string {
	if len(c.ScopeClaims) == 0 {
		return []string{"scope", "scp"}
	}
	if slices.Contains(c.ScopeClaims, "") || len(c.ScopeClaims) > maxScopeClaims {
		wrong.Addf("ScopeClaims must be at most %d names, none of them empty", maxScopeClaims)
	}
	return slices.Clone(c.ScopeClaims)
}

func leeway(c *Config, wrong *mistake.List) time.Duration {
	switch {
	case c.Leeway < 0:
		wrong.Addf("Leeway %v is negative: use NoLeeway for none", c.Leeway)
	case c.Leeway > MaxLeeway:
		wrong.Addf("Leeway %v is above %v: set the clocks instead", c.Leeway, MaxLeeway)
	case c.NoLeeway && c.Leeway != 0:
		wrong.Addf("Leeway and NoLeeway are both set: choose one")
	case c.Leeway == 0 && !c.NoLeeway:
		return DefaultLeeway
	}
	return c.Leeway
}

func maxTokenBytes(c *Config, wrong *mistake.List) int {
	switch {
	case c.MaxTokenBytes < 0 || c.MaxTokenBytes > MaxTokenBytesLimit:
		wrong.Addf("MaxTokenBytes %d is not between 1 and %d", c.MaxTokenBytes, MaxTokenBytesLimit)
	case c.MaxTokenBytes == 0:
		return DefaultMaxTokenBytes
	}
	return c.MaxTokenBytes
}

// plainHTTP reports an http URL whose host is not this machine.
func plainHTTP(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "http" {
		return false
	}
	return !fetch.Loopback(issuer)
}

// ownerOf returns the issuer that the keys belong to, "" if they do not say.
func ownerOf(s jwks.Source) (issuer string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the method Issuer of %T panics with a %T", s, p)
		}
	}()
	if s, ok := s.(interface{ Issuer() string }); ok {
		issuer = s.Issuer()
	}
	return issuer, nil
}
