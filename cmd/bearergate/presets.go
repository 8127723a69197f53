package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

// where begins the arguments that are conditions on claims ([idp.Where]).
const where = "where."

// preset is a function of package idp under the name that -idp has for it. What its
// arguments have to be, the function itself checks.
type preset struct {
	args  []string // their names; those that may occur several times end in "..."
	where bool     // it takes conditions as well
	make  func(given) jwtverify.Config
	// many is set for those that serve several issuers and so return a Verifier, made of
	// what the other flags say.
	many func(given, jwtverify.Config) (bearergate.Verifier, error)
}

// given are the values of -idp-arg by their names.
type given map[string][]string

// one is the value of an argument that occurs once; "" if it is not there.
func (g given) one(name string) string {
	if len(g[name]) == 0 {
		return ""
	}
	return g[name][0]
}

// number is 0 for an argument that is not there, and what no function accepts for one that
// is no number.
func (g given) number(name string) int {
	if g.one(name) == "" {
		return 0
	}
	n, err := strconv.Atoi(g.one(name))
	if err != nil {
		return -1
	}
	return n
}

// conditions are the arguments that begin with [where].
func (g given) conditions() idp.Where {
	w := idp.Where{}
	for name, values := range g {
		if claim, ok := strings.CutPrefix(name, where); ok {
			w[claim] = values
		}
	}
	return w
}

// presets are all functions of package idp that make a verifier; a test compares.
func presets() map[string]preset {
	two := func(f func(a, b string) jwtverify.Config, a, b string) preset {
		return preset{args: []string{a, b}, make: func(g given) jwtverify.Config { return f(g.one(a), g.one(b)) }}
	}
	one := func(f func(a string) jwtverify.Config, a string) preset {
		return preset{args: []string{a}, make: func(g given) jwtverify.Config { return f(g.one(a)) }}
	}
	several := func(f func(a string, more ...string) jwtverify.Config, a, more string) preset {
		return preset{args: []string{a, more + "..."}, make: func(g given) jwtverify.Config { return f(g.one(a), g[more]...) }}
	}
	jobs := func(f func(audience string, w idp.Where) jwtverify.Config) preset {
		return preset{args: []string{"audience"}, where: true, make: func(g given) jwtverify.Config { return f(g.one("audience"), g.conditions()) }}
	}
	platform := func(f func(issuer, audience string, w idp.Where) jwtverify.Config) preset {
		return preset{args: []string{"issuer", "audience"}, where: true, make: func(g given) jwtverify.Config {
			return f(g.one("issuer"), g.one("audience"), g.conditions())
		}}
	}
	return map[string]preset{
		"adfs":                    two(idp.ADFS, "host", "audience"),
		"auth0":                   two(idp.Auth0, "domain", "api"),
		"authentik":               two(idp.Authentik, "issuer", "client-id"),
		"cloudflare-access":       two(idp.CloudflareAccess, "team", "audience"),
		"dex":                     two(idp.Dex, "issuer", "client-id"),
		"external-id":             two(idp.ExternalID, "tenant", "api"),
		"google-users":            two(idp.GoogleUsers, "client-id", "hosted-domain"),
		"id-tokens":               two(idp.IDTokens, "issuer", "client-id"),
		"keycloak":                two(idp.Keycloak, "issuer", "audience"),
		"pingone":                 two(idp.PingOne, "environment", "audience"),
		"firebase":                one(idp.Firebase, "project"),
		"iap":                     one(idp.IAP, "backend"),
		"stytch":                  one(idp.Stytch, "project"),
		"supabase":                one(idp.Supabase, "project"),
		"workos":                  one(idp.WorkOS, "client-id"),
		"descope":                 several(idp.Descope, "project", "audience"),
		"google-service-accounts": several(idp.GoogleServiceAccounts, "audience", "email"),
		"salesforce":              several(idp.Salesforce, "domain", "app"),
		"buildkite":               jobs(idp.Buildkite),
		"github-actions":          jobs(idp.GitHubActions),
		"hcp-terraform":           jobs(idp.HCPTerraform),
		"gitlab-ci":               platform(idp.GitLabCI),
		"kubernetes":              platform(idp.Kubernetes),
		"workload":                platform(idp.Workload),
		"okta": {args: []string{"domain", "server", "audience"}, make: func(g given) jwtverify.Config {
			return idp.Okta(g.one("domain"), g.one("server"), g.one("audience"))
		}},
		"spiffe": {args: []string{"trust-domain", "issuer", "audience", "id..."}, make: func(g given) jwtverify.Config {
			return idp.SPIFFE(g.one("trust-domain"), g.one("issuer"), g.one("audience"), g["id"]...)
		}},
		"b2c": {args: []string{"name", "tenant", "api", "policy..."}, make: func(g given) jwtverify.Config {
			return idp.B2C(idp.B2CConfig{Name: g.one("name"), Tenant: g.one("tenant"), API: g.one("api"), Policies: g["policy"]})
		}},
		"clerk": {args: []string{"frontend-api", "origin...", "audience...", "allow-missing-origin"}, make: func(g given) jwtverify.Config {
			return idp.Clerk(idp.ClerkConfig{FrontendAPI: g.one("frontend-api"), Origins: g["origin"], Audiences: g["audience"],
				AllowMissingOrigin: g.one("allow-missing-origin") == "true"})
		}},
		"cognito": {args: []string{"region", "pool", "resource", "client..."}, make: func(g given) jwtverify.Config {
			return idp.Cognito(idp.CognitoConfig{Region: g.one("region"), Pool: g.one("pool"), Resource: g.one("resource"), Clients: g["client"]})
		}},
		"entra": {args: []string{"tenant", "api", "app-id-uri...", "version"}, make: func(g given) jwtverify.Config {
			return idp.Entra(idp.EntraConfig{Tenant: g.one("tenant"), API: g.one("api"), AppIDURIs: g["app-id-uri"], Version: g.number("version")})
		}},
		"entra-tenants": {args: []string{"tenant...", "api"}, many: func(g given, c jwtverify.Config) (bearergate.Verifier, error) {
			return idp.EntraTenants(idp.EntraTenantsConfig{Tenants: g["tenant"], API: g.one("api"), Verifier: c})
		}},
	}
}

// usePreset finds a preset and what -idp-arg says for it.
func usePreset(name string, args []string) (preset, given, error) {
	p, ok := presets()[name]
	if !ok {
		return preset{}, nil, usage("-idp is none of: %s", strings.Join(slices.Sorted(maps.Keys(presets())), ", "))
	}
	g := given{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		switch many := slices.Contains(p.args, key+"..."); {
		case !ok:
			return preset{}, nil, usage("-idp-arg is written name=value; -idp %s", p.synopsis(name))
		case p.where && strings.HasPrefix(key, where) && key != where, many: // as often as it is given
		case !slices.Contains(p.args, key):
			return preset{}, nil, usage("-idp-arg has a name that is not known here: -idp %s", p.synopsis(name))
		case len(g[key]) > 0:
			return preset{}, nil, usage("-idp-arg %s is given twice", key)
		}
		g[key] = append(g[key], value)
	}
	return p, g, nil
}

// synopsis is the preset with its arguments, as they are typed.
func (p preset) synopsis(name string) string {
	var b strings.Builder
	b.WriteString(name)
	for _, arg := range p.args {
		key, many := strings.CutSuffix(arg, "...")
		b.WriteString(" -idp-arg " + key + "=…")
		if many {
			b.WriteString(" (several)")
		}
	}
	if p.where {
		b.WriteString(" -idp-arg " + where + "<claim>=… (several)")
	}
	return b.String()
}

// listPresets writes them all, for the help of a subcommand.
func listPresets(w io.Writer) {
	fmt.Fprint(w, "\nidentity providers, each with its arguments (docs/providers.md):\n\n")
	all := presets()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(w, "  -idp %s\n", all[name].synopsis(name))
	}
}
