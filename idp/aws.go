package idp

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/jwtverify"
)

// CognitoConfig says which access tokens of an Amazon Cognito user pool open an API.
type CognitoConfig struct {
	// Region is the AWS region of the pool: "eu-west-1". Required.
	Region string
	// Pool is the ID of the user pool: "eu-west-1_AbCdEfGhI". Required.
	Pool string
	// Resource is the identifier of the resource server that stands for this API in the
	// pool. Its scopes are <Resource>/<name>, and tokens with resource binding (RFC 8707)
	// have it as aud. Required.
	Resource string
	// Clients are the IDs of the app clients that may call. Required.
	Clients []string
}

// Cognito is for access tokens of an Amazon Cognito user pool, which have no aud unless the
// client asked for a resource.
//
// It refuses ID tokens (token_use); tokens of app clients that are not named; and tokens
// without aud that have no scope of the resource, as those of the pool's own sign-in API do,
// whose only scope is aws.cognito.signin.user.admin. An aud that is there must be Resource.
//
// Scopes are as Cognito writes them, <Resource>/<name>. Roles come from cognito:groups, and
// the session from origin_jti.
func Cognito(c CognitoConfig) jwtverify.Config {
	p := of("idp.Cognito", "", c.Resource)
	region, pool := p.part("Region", c.Region, "the AWS region of the user pool"), p.part("Pool", c.Pool, "the ID of the user pool")
	if of, _, has := strings.Cut(pool, "_"); has && of != region {
		p.wrong.Addf("Pool is %q, and of another region than Region, which is %q", pool, region)
	}
	host := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	p.Issuer = "https://cognito-idp." + region + "." + host + "/" + pool
	p.KeysURL = p.Issuer + "/.well-known/jwks.json"
	p.Algorithms = []string{"RS256"}
	p.IssuerAliases = []string{"https://issuer-cognito-idp." + region + "." + host + "/" + pool}
	p.needs("Resource", c.Resource, "the identifier of the resource server that stands for this API")
	resource, clients := c.Resource, p.list("Clients", "the app clients that may call", c.Clients)
	p.ClientClaims, p.AllowAudienceFrom = []string{"client_id"}, map[string][]string{"client_id": slices.Clone(clients)}
	return p.with(func(c *claims) error {
		if err := first(c.isKind("token_use", "access"), c.byClient("client_id", clients...)); err != nil {
			return err
		}
		ours := func(scope string) bool {
			name, under := strings.CutPrefix(scope, resource+"/")
			return under && name != "" && !strings.Contains(name, "/") // of another resource, whose identifier begins so
		}
		if len(c.Audience) == 0 && !slices.ContainsFunc(strings.Split(c.members.text("scope"), " "), ours) {
			return c.refuse(bearergate.ReasonAudience, "there is no aud, and no scope of the resource", "a scope that begins with "+accept.Quoted(resource+"/"), c.found("scope"))
		}
		c.addRoles(c.members.list("cognito:groups")...)
		if c.SessionID == "" {
			c.SessionID = c.members.text("origin_jti")
		}
		return nil
	})
}
