package idp

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/jwtverify"
)

// Services that sign users in for an application, and give it tokens of their sessions: such
// a token is short-lived, often has no aud and no scope, and opens the API of that one
// application.

// ClerkConfig says which session tokens of Clerk open an API.
type ClerkConfig struct {
	// FrontendAPI is the Frontend API URL of the Clerk instance, which is the iss of its
	// tokens: "https://clerk.example.com". Required.
	FrontendAPI string
	// Origins are the origins of the web applications whose users may call, as in
	// "https://app.example.com": the claim azp. Required, unless AllowMissingOrigin is set.
	Origins []string
	// Audiences are the names of this API in aud, if the session token was customized to
	// have one; a token must then have it. Default: none, and a token with an aud is refused.
	Audiences []string
	// AllowMissingOrigin accepts tokens without azp, which those of native applications
	// are. It is for Audiences only: without either, nothing says for which application a
	// token is. An azp that is there must be among Origins all the same.
	AllowMissingOrigin bool
}

// Clerk is for session tokens of Clerk. It refuses those of a session that is not active
// (sts: a user who has not done all that signing in demands is pending), those that another
// origin asked for, and tokens of other kinds, of machines (M2M) and OAuth applications,
// which have no sts.
//
// The tenant is the organization that is active, o.id, and its role, o.rol, is a role. Session
// tokens of version 1 have no sts and are refused. A session in which somebody impersonates
// its user gets in, and [bearergate.Token.Actor] tells.
func Clerk(c ClerkConfig) jwtverify.Config {
	p := of("idp.Clerk", "", slices.Clone(c.Audiences)...)
	p.Issuer = "https://" + p.host("FrontendAPI", c.FrontendAPI)
	origins := slices.Clone(c.Origins)
	if len(c.Origins) > 0 || !c.AllowMissingOrigin {
		origins = p.list("Origins", "the origins of the applications whose users may call", c.Origins)
	}
	for _, origin := range origins {
		if !strings.Contains(origin, "://") || strings.HasSuffix(origin, "/") {
			p.wrong.Addf("Origins: %q is no origin: write scheme and host, without a path, as in https://app.example.com", origin)
		}
	}
	if c.AllowMissingOrigin && len(c.Audiences) == 0 {
		p.wrong.Addf("AllowMissingOrigin is set and Audiences is empty: nothing would say for which application a token is; customize the session token to have an aud, and name that")
	}
	if len(c.Audiences) == 0 {
		p.Config.Audiences, p.AllowAudienceFrom = slices.Clone(origins), map[string][]string{"azp": slices.Clone(origins)}
	}
	p.ClientClaims = []string{"azp"}
	return p.with(func(t *claims) error {
		missing := c.AllowMissingOrigin && !t.members.has("azp")
		if !missing && !slices.Contains(origins, t.members.text("azp")) {
			return t.refuse(bearergate.ReasonPolicy, "the application that asked for the token is not on the list", "azp "+accept.Quoted(origins...), t.found("azp"))
		}
		organization := t.members.in("o")
		t.Tenant = organization.text("id")
		t.addRoles(organization.text("rol"))
		return first(t.isKind("sts", "active"), t.marked("sub"))
	})
}

// WorkOS is for access tokens of AuthKit, by the client ID of its environment. They have no
// aud: each client has a key set of its own, and only that says whose a token is. An aud that
// is there must be the client ID, and so must a client_id. Tokens without a session (sid) are
// refused. For a custom authentication domain, set Issuer of the Config.
//
// The tenant is org_id; role and roles are roles. Permissions are left to you:
// jwtverify.ScopesFrom("permissions") makes them scopes. A session in which somebody
// impersonates its user gets in, and [bearergate.Token.Actor] tells.
func WorkOS(clientID string) jwtverify.Config {
	p := of("idp.WorkOS", "https://api.workos.com/user_management/"+clientID, clientID)
	p.part("clientID", clientID, "the client ID of the environment, client_…")
	p.IssuerAliases = []string{"https://api.workos.com", "https://api.workos.com/"}
	p.KeysURL = "https://api.workos.com/sso/jwks/" + clientID
	p.KeysNameAudience = true
	return p.with(func(c *claims) error {
		if c.members.has("client_id") {
			if err := c.byClient("client_id", clientID); err != nil {
				return err
			}
		}
		c.Tenant = c.members.text("org_id")
		c.addRoles(c.members.text("role"))
		return c.marked("sid", "sub")
	})
}

// Supabase is for the access tokens of a project's users, by its reference: the first label
// of <project>.supabase.co. Its keys must be asymmetric: with the legacy secret, HS256, tokens
// are refused, and so are the legacy keys anon and service_role. Tokens without a role or a
// session are refused, and ID tokens of its OAuth server, whose aud is a client.
//
// role becomes a role, and aal, "aal1" or "aal2", the ACR. Anonymous users have the role
// authenticated too: the claim is_anonymous tells them. Access tokens of third-party OAuth
// applications (client_id) are refused: scopes do not limit what those may do.
func Supabase(project string) jwtverify.Config {
	p := of("idp.Supabase", "https://"+project+".supabase.co/auth/v1", "authenticated")
	p.part("project", project, "the reference of the project")
	p.KeysURL = p.Issuer + "/.well-known/jwks.json"
	p.ClientClaims = []string{"client_id"}
	return p.with(func(c *claims) error {
		if err := c.marked("role", "session_id", "sub"); err != nil {
			return err
		}
		if c.members.has("client_id") {
			return c.refuse(bearergate.ReasonPolicy, "the token is one of an OAuth application, and none of the project's own", "no client_id", c.found("client_id"))
		}
		role := c.members.text("role")
		if role == "anon" || role == "service_role" {
			return c.refuse(bearergate.ReasonType, "the token is a key of the project, and none of a user", "role of a user", c.found("role"))
		}
		c.addRoles(role)
		c.SessionID = c.members.text("session_id")
		if c.ACR == "" {
			c.ACR = c.members.text("aal")
		}
		return nil
	})
}

// Firebase is for the ID tokens of Firebase Authentication and Identity Platform, which are
// what clients send to APIs there, by the ID of the project. Session cookies have another
// issuer and are refused; so are tokens without sub, or that say that their user signed in
// after they were issued (auth_time). The tenant is firebase.tenant. Anonymous users get in:
// firebase.sign_in_provider tells them.
func Firebase(project string) jwtverify.Config {
	p := of("idp.Firebase", "https://securetoken.google.com/"+project, project)
	p.part("project", project, "the ID of the Firebase project")
	p.KeysURL = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
	p.Algorithms, p.RequiredClaims = []string{"RS256"}, []string{"sub", "iat", "auth_time"}
	return p.with(func(c *claims) error {
		if c.AuthTime.IsZero() || c.AuthTime.After(c.IssuedAt) { // iat is in the past: that is checked
			return c.refuse(bearergate.ReasonPolicy, "auth_time is later than iat, or no time", "auth_time at or before iat", "")
		}
		c.Tenant = c.members.in("firebase").text("tenant")
		return c.marked("sub")
	})
}

// Stytch is for session JWTs of Stytch, by the ID of the project, project-live-… or
// project-test-…. Tokens of machines (M2M) have the same iss and aud and are refused: they
// have no session. The session is that of https://stytch.com/session, whose roles are roles,
// and the tenant the organization of B2B projects. For a B2B project, set KeysURL of the
// Config to https://api.stytch.com/v1/b2b/sessions/jwks/<project>; with a custom domain, set
// Issuer.
func Stytch(project string) jwtverify.Config {
	p := of("idp.Stytch", "stytch.com/"+project, project)
	p.part("project", project, "the ID of the project, project-live-… or project-test-…")
	host := "api.stytch.com"
	if strings.HasPrefix(project, "project-test-") {
		host = "test.stytch.com"
	}
	p.KeysURL = "https://" + host + "/v1/sessions/jwks/" + project
	return p.with(func(c *claims) error {
		const session, organization = "https://stytch.com/session", "https://stytch.com/organization"
		if len(c.members.in(session)) == 0 {
			return c.refuse(bearergate.ReasonType, "the token has no session, as the tokens of machines have none", session, c.found(session))
		}
		c.SessionID = c.members.in(session).text("id")
		c.addRoles(c.members.in(session).list("roles")...)
		c.Tenant = c.members.in(organization).text("organization_id")
		return c.marked("sub")
	})
}

// Descope is for session tokens of Descope, by the ID of the project. It refuses refresh
// tokens, which the same key signs (drn DSR), and everything that drn does not call a session
// (DS). audiences are the names of this API in aud, if the project's tokens have one: a token
// must then have it. Without audiences, a token needs no aud, since the keys are the
// project's own; one that is there must be the project.
//
// The tenant is dct, the one that is active; roles are roles. Permissions are left to you:
// jwtverify.ScopesFrom("permissions") makes them scopes. Sessions of access keys, which
// machines have, are sessions too.
func Descope(project string, audiences ...string) jwtverify.Config {
	host := "api.descope.com"
	if len(project) >= 32 { // the ID of a project in another region names that
		host = "api." + project[1:5] + ".descope.com"
	}
	p := of("idp.Descope", "https://"+host+"/"+project, slices.Clone(audiences)...)
	p.part("project", project, "the ID of the project, P…")
	p.IssuerAliases = []string{project}
	p.KeysURL = "https://" + host + "/" + project + "/.well-known/jwks.json"
	if len(audiences) == 0 {
		p.Config.Audiences, p.KeysNameAudience = []string{project}, true
	}
	return p.with(func(c *claims) error {
		c.Tenant = c.members.text("dct")
		return first(c.isKind("drn", "DS"), c.marked("sub"))
	})
}

// CloudflareAccess is for the signed header that Cloudflare Access adds to the requests that
// it lets through, Cf-Access-Jwt-Assertion. Have the gate read it from there, by Extract:
// anybody can write Authorization. team is the name of the team, "example" of
// example.cloudflareaccess.com, and audience the AUD tag of the one application, 64
// hexadecimal digits.
//
// It refuses tokens of the team's login (type org), and those that name nobody: a user has
// sub, a service token common_name, which is the client; a client certificate has its common
// name there as well, so let nobody choose those.
func CloudflareAccess(team, audience string) jwtverify.Config {
	p := of("idp.CloudflareAccess", "", audience)
	label := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(team, "https://"), "/"), ".cloudflareaccess.com")
	p.part("team", label, "the name of the team, the first label of <team>.cloudflareaccess.com")
	p.needs("audience", audience, "the AUD tag of the application")
	p.Issuer = "https://" + label + ".cloudflareaccess.com"
	p.KeysURL = p.Issuer + "/cdn-cgi/access/certs"
	p.Algorithms, p.ClientClaims = []string{"RS256"}, []string{"common_name"}
	return p.with(func(c *claims) error {
		if err := c.isKind("type", "app"); err != nil {
			return err
		}
		if c.Subject == "" && c.members.text("common_name") == "" {
			return c.refuse(bearergate.ReasonPolicy, "the token names neither a user nor a service", "sub or common_name", "none")
		}
		return nil
	})
}
