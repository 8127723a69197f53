// Package idp has ready-made configurations for the access tokens of well-known identity
// providers.
//
//	v, err := jwtverify.New(idp.Keycloak("https://sso.example.com/realms/shop", "orders-api"))
//	token, err := v.Verify(ctx, raw) // a *bearergate.Token
//
// Each function returns a [jwtverify.Config], plain data: the issuer, the audiences, where
// the keys are, the marks that the provider's access tokens have. Beside that stands a rule
// of its own, in the field Preset. It refuses what the provider signs with the same keys and
// for the same audience, and what opens no API: ID tokens, refresh tokens, tokens of another
// tenant, of another client, of a stranger's repository. HTTPClient, Hooks, Leeway, Check,
// Map, Confirmations and the cache are yours to set in the Config; what you set adds to the
// rule and never replaces it. What is not named on an allowlist is refused.
//
// The rule is asked once for a token. It costs nothing for a token that is remembered.
//
// Roles go to [bearergate.Token.Roles], and never into scopes, unless the doc of a function says
// so. A tenant or an organization goes to [bearergate.Token.Tenant].
//
// Some providers write iss in two forms: those beside Issuer are IssuerAliases. The Router of
// package issuers compares with Issuer alone: to put such a Verifier behind it, set Issuer to
// the form that your tokens have, and IssuerAliases to nil.
//
// A mistake in what a function is given comes out of [jwtverify.New], with all others. The
// functions touch no network and are safe for concurrent use.
//
// What each provider sends, the settings that it needs, and providers that need no function
// of this package are in docs/providers.md.
package idp

import (
	"regexp"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwtverify"
)

// preset is a configuration while it is made.
type preset struct {
	jwtverify.Config
	accept.Demands
	wrong mistake.List
}

// of begins a preset for tokens of one issuer and these audiences.
func of(name, issuer string, audiences ...string) *preset {
	return &preset{Config: jwtverify.Config{Issuer: issuer, Audiences: audiences}, Demands: accept.Demands{Name: name}, wrong: mistake.In(name)}
}

// with ends it with a rule.
func (p *preset) with(rule func(*claims) error) jwtverify.Config {
	name := p.Name
	p.Rule = func(c *bearergate.Claims) error {
		read, err := readClaims(name, c)
		if err != nil {
			return err
		}
		return rule(read)
	}
	p.Err = p.wrong.Err()
	p.Mistake, p.Demands.Audiences = p.Err, slices.Clone(p.Config.Audiences)
	p.Preset = accept.NewPreset(&p.Demands)
	return p.Config
}

// needs reports a field that is empty.
func (p *preset) needs(field, value, what string) {
	switch {
	case value == "":
		p.wrong.Addf("%s is empty: give %s", field, what)
	case strings.TrimSpace(value) != value:
		p.wrong.Addf("%s has white space around it: remove it", field)
	}
}

// list checks an allowlist and returns a copy.
func (p *preset) list(field, what string, values []string) []string {
	if len(values) == 0 {
		p.wrong.Addf("%s is empty, and would accept no token: name %s", field, what)
	}
	for _, v := range values {
		switch {
		case strings.TrimSpace(v) == "":
			p.wrong.Addf("%s contains an empty string: remove it", field)
		case strings.Contains(v, "*"):
			p.wrong.Addf("%s: %q has a *, which stands for nothing but itself: name each value", field, v)
		}
	}
	return slices.Clone(values)
}

var (
	hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)
	segment  = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
	guidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// host returns the host of a provider, which people also write as a URL.
func (p *preset) host(field, value string) string {
	name := strings.TrimSuffix(strings.TrimPrefix(value, "https://"), "/")
	switch {
	case value == "":
		p.needs(field, value, "the host name of your provider, as in its issuer")
	case !hostName.MatchString(name):
		p.wrong.Addf("%s is %q: give the host name alone, in lower case, without a path", field, value)
	}
	return name
}

// part checks a value that becomes one segment of a URL or one label of a host.
func (p *preset) part(field, value, what string) string {
	switch {
	case value == "":
		p.needs(field, value, what)
	case !segment.MatchString(value):
		p.wrong.Addf("%s is %q: give %s alone, without a URL around it", field, value, what)
	}
	return value
}

// guid checks an ID of Microsoft's.
func (p *preset) guid(field, value, what string) string {
	id := strings.ToLower(value)
	switch {
	case value == "":
		p.needs(field, value, what)
	case !guidForm.MatchString(id):
		p.wrong.Addf("%s is %q: give %s, a GUID as in 00000000-0000-0000-0000-000000000000", field, value, what)
	}
	return id
}
