package idp

import (
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/jwtverify"
)

// Authorization servers that one runs oneself, or has run, for the APIs of an organization.

// Keycloak is for access tokens of a realm of Keycloak: issuer is https://<host>/realms/<realm>,
// and audience the client ID, or another name, that an audience mapper in a client scope
// adds to the tokens for this API. "account", which every user's token has, is a mistake.
//
// It refuses whatever the claim typ does not call Bearer, or DPoP where the token is bound
// so: ID, refresh, offline and logout tokens. The client comes from azp, roles from
// realm_access.roles and from resource_access.<audience>.roles.
//
// Danger: a realm role and a client role of one name are the same role here.
func Keycloak(issuer, audience string) jwtverify.Config {
	p := of("idp.Keycloak", issuer, audience)
	p.needs("issuer", issuer, "https://<host>/realms/<realm>")
	p.needs("audience", audience, "what an audience mapper adds to the tokens for this API")
	if audience == "account" {
		p.wrong.Addf("audience is %q, which the token of every user of the realm has: add an audience mapper with a name of this API to a client scope, and give that name", audience)
	}
	p.ClientClaims = []string{"azp", "client_id"}
	return p.with(func(c *claims) error {
		if len(c.Audience) == 1 && c.Audience[0] == "account" {
			return c.refuse(bearergate.ReasonAudience, "aud is account alone, which the token of every user of the realm has", accept.Quoted(audience), c.found("aud"))
		}
		switch typ := c.members.text("typ"); {
		case typ == "DPoP" && c.Confirmation["jkt"] == nil:
			return c.refuse(bearergate.ReasonType, "typ says DPoP, and the token is bound to no key (cnf.jkt)", "cnf.jkt", "none")
		case typ != "Bearer" && typ != "DPoP":
			return c.refuse(bearergate.ReasonType, "typ names no access token", `typ "Bearer", or "DPoP"`, c.found("typ"))
		}
		c.addRoles(c.members.in("realm_access").list("roles")...)
		c.addRoles(c.members.in("resource_access").in(audience).list("roles")...)
		if c.SessionID == "" {
			c.SessionID = c.members.text("session_state")
		}
		return nil
	})
}

// Okta is for access tokens of a custom authorization server of Okta. domain is that of the
// organization, "example.okta.com" or a custom one, server the ID of the authorization
// server, "default" for example, and audience the one in its settings.
//
// Tokens of the org server, the one without an ID, are for Okta alone, and no server is a
// mistake. ID tokens are refused: their jti does not begin with "AT.", and they have no cid.
// Scopes come from scp, the client from cid.
func Okta(domain, server, audience string) jwtverify.Config {
	p := of("idp.Okta", "", audience)
	host := p.host("domain", domain)
	if strings.Contains(host, "-admin.okta") {
		p.wrong.Addf("domain is %q, the one of the admin console: leave out -admin", domain)
	}
	if server == "" {
		p.wrong.Addf("server is empty: tokens of Okta's org server can only be verified by Okta itself; give the ID of a custom authorization server, default for example")
	} else {
		p.part("server", server, "the ID of the authorization server")
	}
	p.Issuer = "https://" + host + "/oauth2/" + server
	p.needs("audience", audience, "the audience in the settings of the authorization server")
	p.ScopeClaims, p.ClientClaims = []string{"scp"}, []string{"cid"}
	return p.with(func(c *claims) error {
		if !strings.HasPrefix(c.ID, "AT.") {
			return c.refuse(bearergate.ReasonType, "jti does not begin as that of an access token", `jti "AT.…"`, c.found("jti"))
		}
		return c.marked("cid")
	})
}

// Auth0 is for access tokens of Auth0. domain is that of the tenant, "example.eu.auth0.com" or
// a custom one; the slash that iss has at its end is added. api is the identifier of the API.
//
// It refuses ID tokens, which have neither azp nor client_id. A token of five parts is one
// for which the client named no API. The tenant is org_id. Permissions, which the tokens of
// an API with RBAC have, become scopes beside scope: what the user may do counts, whatever
// the client asked for, and whatever the user consented to. An API to which third-party
// applications get tokens has to look at scope alone: set Scopes from it in a Map.
func Auth0(domain, api string) jwtverify.Config {
	p := of("idp.Auth0", "", api)
	p.Issuer = "https://" + p.host("domain", domain) + "/"
	p.needs("api", api, "the identifier of the API")
	if isAuth0Own(api, p.Issuer) {
		p.wrong.Addf("api is %q, which is an API of Auth0's own: give the identifier of yours", api)
	}
	p.ClientClaims = []string{"client_id", "azp"}
	return p.with(func(c *claims) error {
		if c.members.text("client_id") == "" && c.members.text("azp") == "" {
			return c.refuse(bearergate.ReasonType, "neither client_id nor azp is there, of which every access token has one", "client_id or azp", "none")
		}
		c.Tenant = c.members.text("org_id")
		c.addScopes(c.members.list("permissions"))
		return nil
	})
}

// isAuth0Own reports the identifier of an API of Auth0's own, under the tenant's domain or a
// custom one.
func isAuth0Own(api, issuer string) bool {
	host, path, _ := strings.Cut(strings.TrimPrefix(api, "https://"), "/")
	switch strings.TrimSuffix(path, "/") {
	case "userinfo", "api/v2", "me", "my-org", "mfa":
		return "https://"+host+"/" == issuer || strings.HasSuffix(host, ".auth0.com")
	}
	return false
}

// PingOne is for access tokens of an environment of PingOne, by its ID; for one outside
// North America, give the issuer, https://auth.pingone.eu/<environment>/as for example. With a
// custom domain, give the ID, and set Issuer of the Config.
// audience is that of the custom resource that stands for this API.
//
// It refuses ID tokens, which have no client_id, and tokens of another environment. The API
// of PingOne's own is a mistake as audience. act and may_act are ignored: attribute mappings
// fill them with text.
func PingOne(environment, audience string) jwtverify.Config {
	p := of("idp.PingOne", environment, audience)
	if !strings.HasPrefix(environment, "https://") {
		environment = p.part("environment", environment, "the ID of the environment, or its issuer")
		p.Issuer = "https://auth.pingone.com/" + environment + "/as"
	} else if parts := strings.Split(environment, "/"); len(parts) != 5 || parts[4] != "as" {
		p.wrong.Addf("environment is %q: give the ID of the environment, or its issuer, https://auth.pingone.<region>/<ID>/as", environment)
	} else {
		environment = p.part("environment", parts[3], "the ID of the environment, or its issuer")
	}
	p.needs("audience", audience, "the audience of the custom resource that stands for this API")
	if strings.HasPrefix(audience, "https://api.pingone.") {
		p.wrong.Addf("audience is %q, the API of PingOne's own: give that of a custom resource", audience)
	}
	p.IgnoreClaims, p.ClientClaims = []string{"act", "may_act"}, []string{"client_id"}
	return p.with(func(c *claims) error {
		if c.members.has("env") {
			if err := c.equals(bearergate.ReasonIssuer, "env", environment); err != nil {
				return err
			}
		}
		return c.marked("client_id")
	})
}

// Salesforce is for JWT-based access tokens of an org of Salesforce. domain is its My Domain,
// "example.my.salesforce.com", and apps are the consumer keys (client_id) of the connected
// apps whose tokens open this API.
//
// Salesforce names itself as the audience: it does not know of this API. So a token is as
// good for Salesforce as for this API, which should be run by the owner of the org, and the
// apps on the list should be for it alone. Without apps, every connected app of the org
// would get in, and an empty list is a mistake. ID tokens are refused: their sub is a URL
// and not uid:<user>. Scopes come from scp.
func Salesforce(domain string, apps ...string) jwtverify.Config {
	p := of("idp.Salesforce", "")
	p.Issuer = "https://" + p.host("domain", domain)
	p.Config.Audiences = []string{p.Issuer}
	p.Algorithms, p.ScopeClaims, p.ClientClaims = []string{"RS256"}, []string{"scp"}, []string{"client_id"}
	accepted := p.list("apps", "the consumer keys of the connected apps whose tokens open this API", apps)
	return p.with(func(c *claims) error {
		if !strings.HasPrefix(c.Subject, "uid:") {
			return c.refuse(bearergate.ReasonType, "sub is not that of an access token", `sub "uid:…"`, c.found("sub"))
		}
		return first(c.marked("scp"), c.byClient("client_id", accepted...))
	})
}

// Authentik is for access tokens of authentik. issuer is that of the provider, with the slash
// at its end, https://<host>/application/o/<slug>/, and clientID the ID of the client, which
// is the one audience that authentik knows. The provider needs a signing key: without one,
// tokens are signed with the client's secret, and refused.
//
// An access token is an ID token there, with azp, uid and the nonce of the login besides.
// Tokens without azp or uid are refused, and so are those of another client, and those with
// at_hash.
//
// Danger: uid, and that azp is there, are all that tells the two apart.
func Authentik(issuer, clientID string) jwtverify.Config {
	p := of("idp.Authentik", issuer, clientID)
	p.needs("issuer", issuer, "https://<host>/application/o/<slug>/")
	p.needs("clientID", clientID, "the client ID of the provider")
	p.AllowMarks, p.ClientClaims = []string{"nonce"}, []string{"azp"}
	return p.with(func(c *claims) error {
		if c.members.has("at_hash") { // even where the user allows the mark
			return c.refuse(bearergate.ReasonType, "at_hash is there, which access tokens do not have", "no at_hash", "at_hash")
		}
		return first(c.marked("azp", "uid"), c.byClient("azp", clientID))
	})
}

// Dex accepts ID tokens of Dex as well as access tokens, since nothing tells the two apart:
// Dex makes an access token as it makes an ID token, with at_hash, and perhaps with the nonce
// of the login. issuer is that of the server, and clientID the one that has to be in aud.
//
// It refuses tokens for other clients, and those that another client asked for (azp), a
// trusted peer too. An ID token of the client opens this API: so send it nowhere else, and
// keep it as secret as an access token.
func Dex(issuer, clientID string) jwtverify.Config {
	p := of("idp.Dex", issuer, clientID)
	p.needs("issuer", issuer, "the issuer in Dex's configuration")
	p.needs("clientID", clientID, "the ID of the client that stands for this API")
	p.AllowMarks, p.ClientClaims = []string{"at_hash", "nonce"}, []string{"azp"}
	return p.with(func(c *claims) error { return c.askedForBy(clientID) })
}

// askedForBy refuses a token that another client asked for: azp, where it is there, or where
// aud names several.
func (c *claims) askedForBy(clientID string) error {
	if c.members.text("azp") == clientID || !c.members.has("azp") && len(c.Audience) == 1 {
		return nil
	}
	return c.refuse(bearergate.ReasonPolicy, "another client asked for the token", "azp "+accept.Quoted(clientID), c.found("azp"))
}

// IDTokens makes ID tokens credentials, which they are not meant to be: they tell a client who
// logged in. Use it where a server has nothing better, and where client and API are one.
//
// Danger: whoever gets hold of an ID token gets in, and clients are careless with those: they
// log them, put them into URLs (id_token_hint), and send them to others. They have no scope,
// and many servers do not end them when the user logs out. The nonce in them is not compared:
// that is for the client that asked for the token.
//
// issuer is that of the server, and clientID the client's ID, which has to be in aud, and in
// azp if there is one or aud names several (OpenID Connect Core §3.1.3.7). sub and iat are
// required. Access tokens, refresh tokens and logout tokens are refused wherever they say
// what they are: by a scope, or by the client, for example.
func IDTokens(issuer, clientID string) jwtverify.Config {
	p := of("idp.IDTokens", issuer, clientID)
	p.needs("issuer", issuer, "the issuer of the ID tokens")
	p.needs("clientID", clientID, "the ID of the client for which they are issued")
	p.IDTokens = true
	p.RequiredClaims, p.ClientClaims = []string{"sub", "iat"}, []string{"azp"}
	return p.with(func(c *claims) error {
		for _, name := range []string{"scope", "scp", "appidacr", "azpacr", "idtyp"} {
			if c.members.has(name) {
				return c.refuse(bearergate.ReasonType, name+" is there, which access tokens have and ID tokens lack", "an ID token", name)
			}
		}
		if strings.HasPrefix(c.ID, "AT.") {
			return c.refuse(bearergate.ReasonType, "jti is that of an access token", "an ID token", c.found("jti"))
		}
		for _, name := range []string{"client_id", "cid", "appid"} {
			if c.members.has(name) && c.members.text(name) != clientID {
				return c.refuse(bearergate.ReasonPolicy, "another client asked for the token", name+" "+accept.Quoted(clientID), c.found(name))
			}
		}
		if c.IssuedAt.IsZero() {
			return c.refuse(bearergate.ReasonMissingClaim, "iat is missing", "iat", "none")
		}
		return first(c.marked("sub"), c.askedForBy(clientID))
	})
}
