package zoo_test

import (
	"slices"

	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

func proxies() []*provider {
	const (
		user = `{"aud":["32eafc7626e737a9178fa07a5e0e4fb0a1e2c3d4e5f60718293a4b5c6d7e8f90"],"email":"ada@example.test","exp":1772370000,"iat":1772366400,"nbf":1772366400,
			"iss":"https://example.cloudflareaccess.com","type":"app","identity_nonce":"6ei69kawdKzMIAPF","sub":"7335d417-61da-459d-899c-0a01c76a2f94","country":"NL"}`
		service = `{"type":"app","aud":["32eafc7626e737a9178fa07a5e0e4fb0a1e2c3d4e5f60718293a4b5c6d7e8f90"],"exp":1772370000,"iat":1772366400,"iss":"https://example.cloudflareaccess.com",
			"common_name":"e367826f93b8d71185e03fe518aff3b4.access","sub":""}`
		of, tag = "https://example.cloudflareaccess.com", "32eafc7626e737a9178fa07a5e0e4fb0a1e2c3d4e5f60718293a4b5c6d7e8f90"
	)
	return []*provider{{
		name: "Cloudflare Access", function: "CloudflareAccess",
		preset: idp.CloudflareAccess("example", tag),
		plain:  jwtverify.Config{Issuer: of, Audiences: []string{tag}, KeysURL: of + "/cdn-cgi/access/certs"},
		keys:   of + "/cdn-cgi/access/certs", published: published{alg: "RS256", jwks: []m{{"kid": "cf1", "alg": "RS256", "use": "sig"}, {"kid": "cf2", "alg": "RS256", "use": "sig"}}},
		essential: func(c m) bool {
			return text(c, "type") == "app" && (text(c, "sub") != "" || text(c, "common_name") != "")
		},
		rows: []row{
			{kind: "of a user", claims: user},
			{kind: "of a user, with members that are null", claims: user, with: m{"identity_nonce": nil, "country": nil, "common_name": nil}},
			{kind: "of a service token, sub empty", claims: service, client: "e367826f93b8d71185e03fe518aff3b4.access"},
			{kind: "of the team's login (type org)", claims: user, with: m{"type": "org"}, want: kind},
			{kind: "of no kind (type)", made: true, claims: user, with: m{"type": absent}, want: kind},
			{kind: "that names nobody", made: true, claims: service, with: m{"common_name": absent}, want: policy},
			{kind: "for another application", claims: user, with: m{"aud": []string{"ffffffff26e737a9178fa07a5e0e4fb0a1e2c3d4e5f60718293a4b5c6d7e8f90"}}, want: audience},
			{kind: "of another team", claims: user, with: m{"iss": "https://evil.cloudflareaccess.com"}, want: issuer},
		},
	}}
}

// idTokens are of an issuer that has nothing better, for a client that is the API as well.
func idTokens() []*provider {
	const (
		id     = `{"iss":"https://id.example.test","sub":"u-ada","aud":"shop","exp":1772370000,"iat":1772366400,"nonce":"n-0S6_WzA2Mj","at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q","c_hash":"LDktKdoQak3Pk0cnXxCltA","nonce_supported":true,"email":"ada@example.test"}`
		access = `{"iss":"https://id.example.test","sub":"u-ada","aud":"shop","exp":1772370000,"iat":1772366400,"jti":"at-1","client_id":"shop","scope":"openid"}`
		of     = "https://id.example.test"
	)
	return []*provider{{
		name: "ID tokens as credentials", function: "IDTokens",
		preset:   idp.IDTokens(of, "shop"),
		plain:    jwtverify.Config{Issuer: of, Audiences: []string{"shop"}, AllowMarks: []string{"at_hash", "c_hash", "s_hash", "nonce"}},
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/keys",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: one("id1")},
		essential: func(c m) bool {
			return filled(c, "sub") && c["iat"] != nil && !slices.ContainsFunc([]string{"scope", "scp", "azpacr", "appidacr", "idtyp"}, func(name string) bool { return c[name] != nil }) &&
				(text(c, "azp") == "shop" || c["azp"] == nil && len(texts(c, "aud")) == 1)
		},
		rows: []row{
			{kind: "ID token", claims: id},
			{kind: "ID token without marks", claims: id, with: m{"nonce": absent, "at_hash": absent, "c_hash": absent}},
			{kind: "ID token for two, asked for by the client", claims: id, with: m{"aud": []string{"shop", "peer"}, "azp": "shop"}, client: "shop"},
			{kind: "access token", claims: access, want: kind},
			{kind: "access token, the scope in scp", claims: access, with: m{"scope": absent, "scp": []string{"openid"}}, want: kind},
			{kind: "access token, typ at+jwt", claims: access, header: m{"typ": "at+jwt"}, want: kind},
			{kind: "access token without a scope, by its kind (token_use)", claims: access, with: m{"scope": absent, "token_use": "access"}, want: kind},
			{kind: "access token without a scope, by how its client signed in (azpacr)", claims: access, with: m{"scope": absent, "azpacr": "1"}, want: kind},
			{kind: "access token without a scope, by its idtyp", claims: access, with: m{"scope": absent, "idtyp": "app"}, want: kind},
			{kind: "access token without a scope, by its jti", claims: access, with: m{"scope": absent, "jti": "AT.aJ1kQ0"}, want: kind},
			{kind: "access token without a scope, by how its client signed in (appidacr)", claims: access, with: m{"scope": absent, "appidacr": "1"}, want: kind},
			{kind: "access token without a scope, of another client (cid)", claims: access, with: m{"scope": absent, "client_id": absent, "cid": "website"}, want: policy},
			{kind: "access token without a scope, of another client (appid)", claims: access, with: m{"scope": absent, "client_id": absent, "appid": "website"}, want: policy},
			{kind: "access token without a scope, of another client", claims: access, with: m{"scope": absent, "client_id": "website"}, want: policy},
			{kind: "refresh token", claims: id, with: m{"typ": "Refresh"}, want: kind},
			{kind: "logout token", claims: id, with: m{"events": m{"http://schemas.openid.net/event/backchannel-logout": m{}}, "nonce": absent}, want: kind},
			{kind: "that another client asked for", claims: id, with: m{"azp": "website"}, want: policy},
			{kind: "for two clients, without azp", made: true, claims: id, with: m{"aud": []string{"shop", "website"}}, want: policy},
			{kind: "for another client", claims: id, with: m{"aud": "website"}, want: audience},
			{kind: "without sub", made: true, claims: id, with: m{"sub": absent}, want: missing},
			{kind: "without iat", made: true, claims: id, with: m{"iat": absent}, want: missing},
		},
	}}
}
