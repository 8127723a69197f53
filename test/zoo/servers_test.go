package zoo_test

import (
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

func servers() []*provider {
	return []*provider{keycloak(), keycloakDPoP(), okta(), auth0(), ping(), salesforce(), authentik(), dex()}
}

// What Keycloak writes.
const (
	keycloakUser = `{"exp":1772366700,"iat":1772366400,"auth_time":1772366390,"jti":"onrtac:user-1","iss":"https://sso.example.test/realms/shop","aud":["orders-api","account"],
		"sub":"4d5e6f70-1111-4111-8111-111111111111","typ":"Bearer","azp":"shop-web","sid":"kc-session-1","acr":"1","allowed-origins":["https://shop.example.test"],
		"realm_access":{"roles":["offline_access","uma_authorization","staff"]},"resource_access":{"orders-api":{"roles":["approver"]},"account":{"roles":["manage-account","view-profile"]}},
		"scope":"openid profile orders.read","email_verified":true,"name":"Ada Example","preferred_username":"ada"}`
	keycloakAccount = `{"exp":1772366700,"iat":1772366400,"jti":"trrtcc:app-1","iss":"https://sso.example.test/realms/shop","aud":"orders-api","sub":"4d5e6f70-2222-4222-8222-222222222222",
		"typ":"Bearer","azp":"reports","acr":"1","resource_access":{"orders-api":{"roles":["reader"]}},"scope":"profile orders.read","clientHost":"192.0.2.8","client_id":"reports",
		"preferred_username":"service-account-reports","clientAddress":"192.0.2.8"}`
	keycloakID = `{"exp":1772366700,"iat":1772366400,"auth_time":1772366390,"jti":"id-1","iss":"https://sso.example.test/realms/shop","aud":"shop-web","sub":"4d5e6f70-1111-4111-8111-111111111111",
		"typ":"ID","azp":"shop-web","sid":"kc-session-1","at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q","acr":"1","email_verified":true,"name":"Ada Example","preferred_username":"ada"}`
	realm = "https://sso.example.test/realms/shop"
)

func ofKeycloak(c m) bool {
	typ := text(c, "typ")
	return typ == "Bearer" || typ == "DPoP" && text(c, "cnf", "jkt") != ""
}

func keycloak() *provider {
	ids := m{"aud": "orders-api"} // of the client that has the name of the API
	read := []string{"openid", "profile", "orders.read"}
	roles := []string{"offline_access", "uma_authorization", "staff", "approver"}
	return &provider{
		name: "Keycloak", function: "Keycloak",
		preset:   idp.Keycloak(realm, "orders-api"),
		plain:    jwtverify.Config{Issuer: realm, Audiences: []string{"orders-api"}},
		metadata: realm + "/.well-known/openid-configuration", absent: "https://sso.example.test/.well-known/oauth-authorization-server/realms/shop", keys: realm + "/protocol/openid-connect/certs",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "kc-sig", "use": "sig", "alg": "RS256"}, {"kid": "kc-enc", "use": "enc", "alg": "RSA-OAEP"}}},
		essential: ofKeycloak,
		rows: []row{
			{kind: "of a user", claims: keycloakUser, scopes: read, roles: roles, client: "shop-web", session: "kc-session-1"},
			{kind: "of a user, typ at+jwt", claims: keycloakUser, header: m{"typ": "at+jwt"}, scopes: read, roles: roles, client: "shop-web", session: "kc-session-1"},
			{kind: "of a user, with the nonce of the login", claims: keycloakUser, with: m{"nonce": "n-0S6_WzA2Mj", "sid": absent, "session_state": "kc-session-1"}, scopes: read, roles: roles, client: "shop-web", session: "kc-session-1"},
			{kind: "of a user without roles, with members that are null", claims: keycloakUser, with: m{"realm_access": nil, "resource_access": m{}, "sid": nil}, scopes: read, client: "shop-web"},
			{kind: "of a service account", claims: keycloakAccount, scopes: []string{"profile", "orders.read"}, roles: []string{"reader"}, client: "reports"},
			{kind: "of a user, by token exchange", claims: keycloakUser, with: m{"act": m{"sub": "4d5e6f70-2222-4222-8222-222222222222"}}, scopes: read, roles: roles, client: "shop-web", session: "kc-session-1"},
			{kind: "ID token", claims: keycloakID, want: kind},
			{kind: "ID token of a client that has the name of the API", claims: keycloakID, with: ids, want: kind},
			{kind: "ID token of a client that has the name of the API, without marks", made: true, claims: keycloakID, with: both(ids, m{"at_hash": absent, "typ": absent}), want: kind},
			{kind: "refresh token", claims: keycloakUser, with: m{"typ": "Refresh", "aud": realm}, header: m{"alg": "HS512"}, want: bearergate.ReasonAlgorithm},
			{kind: "refresh token, under the key of the realm", made: true, claims: keycloakUser, with: m{"typ": "Refresh"}, want: kind},
			{kind: "offline token, under the key of the realm", made: true, claims: keycloakUser, with: m{"typ": "Offline"}, want: kind},
			{kind: "logout token", claims: keycloakID, with: m{"typ": "Logout", "aud": "orders-api", "at_hash": absent}, want: kind},
			{kind: "of an unknown kind (typ)", made: true, claims: keycloakUser, with: m{"typ": "RegistrationAccessToken"}, want: kind},
			{kind: "without typ", made: true, claims: keycloakUser, with: m{"typ": absent}, want: kind},
			{kind: "typ DPoP, bound to nothing", made: true, claims: keycloakUser, with: m{"typ": "DPoP"}, want: kind},
			{kind: "of a user, for account alone", claims: keycloakUser, with: m{"aud": "account"}, want: audience},
			{kind: "lightweight, without aud and sub", claims: keycloakUser, with: m{"aud": absent, "sub": absent, "realm_access": absent, "resource_access": absent}, want: missing},
			{kind: "of another realm", claims: keycloakUser, with: m{"iss": "https://sso.example.test/realms/master"}, want: issuer},
			{kind: "under the key for encryption", made: true, claims: keycloakUser, key: "kc-enc", want: bearergate.ReasonUnknownKey},
		},
	}
}

// keycloakDPoP is the realm for an API whose clients prove that they hold a key.
func keycloakDPoP() *provider {
	p := keycloak()
	p.name, p.bound = "Keycloak, with DPoP", "jkt"
	jkt := m{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
	p.rows = []row{
		{kind: "of a user, bound by DPoP", claims: keycloakUser, with: m{"typ": "DPoP", "cnf": jkt}, scopes: []string{"openid", "profile", "orders.read"}, roles: []string{"offline_access", "uma_authorization", "staff", "approver"}, client: "shop-web", session: "kc-session-1"},
		{kind: "of a user, bound, typ Bearer", claims: keycloakUser, with: m{"cnf": jkt}, scopes: []string{"openid", "profile", "orders.read"}, roles: []string{"offline_access", "uma_authorization", "staff", "approver"}, client: "shop-web", session: "kc-session-1"},
		{kind: "ID token, bound", made: true, claims: keycloakID, with: m{"aud": "orders-api", "cnf": jkt}, want: kind},
		{kind: "refresh token, bound", made: true, claims: keycloakUser, with: m{"typ": "Refresh", "cnf": jkt}, want: kind},
		{kind: "typ DPoP, bound to nothing", made: true, claims: keycloakUser, with: m{"typ": "DPoP"}, want: kind},
		{kind: "typ DPoP, bound by a certificate", made: true, claims: keycloakUser, with: m{"typ": "DPoP", "cnf": m{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}, want: bearergate.ReasonBinding},
	}
	return p
}

func okta() *provider {
	const (
		user = `{"ver":1,"jti":"AT.aJ1kQ0","iss":"https://login.example.test/oauth2/default","aud":"api://default","iat":1772366400,"exp":1772370000,"cid":"0oa1web","uid":"00u1ada",
			"scp":["openid","orders.read"],"auth_time":1772366390,"sub":"ada@example.test"}`
		id = `{"sub":"00u1ada","name":"Ada Example","email":"ada@example.test","ver":1,"iss":"https://login.example.test/oauth2/default","aud":"0oa1web","iat":1772366400,"exp":1772370000,
			"jti":"ID.bK2lR1","amr":["pwd"],"idp":"00o1","preferred_username":"ada@example.test","auth_time":1772366390,"at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q"}`
		of = "https://login.example.test/oauth2/default"
	)
	return &provider{
		name: "Okta", function: "Okta",
		preset:   idp.Okta("login.example.test", "default", "api://default"),
		plain:    jwtverify.Config{Issuer: of, Audiences: []string{"api://default"}},
		metadata: "https://login.example.test/.well-known/oauth-authorization-server/oauth2/default", keys: of + "/v1/keys",
		published: published{alg: "RS256", jwks: []m{{"kid": "okta1", "alg": "RS256", "use": "sig"}}},
		essential: func(c m) bool { return strings.HasPrefix(text(c, "jti"), "AT.") && filled(c, "cid") },
		rows: []row{
			{kind: "of a user", claims: user, scopes: []string{"openid", "orders.read"}, client: "0oa1web"},
			{kind: "of a service", claims: user, with: m{"sub": "0oa2app", "cid": "0oa2app", "uid": absent, "auth_time": absent, "scp": []string{"orders.read"}}, scopes: []string{"orders.read"}, client: "0oa2app"},
			{kind: "ID token", claims: id, want: kind},
			{kind: "ID token without marks", claims: id, with: m{"at_hash": absent}, want: audience},
			{kind: "ID token without marks, where the client's ID is the audience", claims: id, with: m{"at_hash": absent, "aud": "api://default"}, want: kind},
			{kind: "ID token without marks, with cid", made: true, claims: id, with: m{"at_hash": absent, "aud": "api://default", "cid": "0oa1web"}, want: kind},
			{kind: "without cid", made: true, claims: user, with: m{"cid": absent}, want: kind},
			{kind: "of the org server", claims: user, with: m{"iss": "https://login.example.test", "aud": "https://login.example.test"}, header: m{"typ": "application/okta-internal-at+jwt"}, want: kind},
			{kind: "of the org server, without its typ", made: true, claims: user, with: m{"iss": "https://login.example.test", "aud": "https://login.example.test"}, want: issuer},
			{kind: "of another authorization server", claims: user, with: m{"iss": "https://login.example.test/oauth2/ausPartner"}, want: issuer},
			{kind: "for another API", claims: user, with: m{"aud": "api://payments"}, want: audience},
		},
	}
}

func auth0() *provider {
	const (
		user = `{"iss":"https://login.example.test/","sub":"auth0|5f7c","aud":["https://orders.example.test","https://login.example.test/userinfo"],"iat":1772366400,"exp":1772452800,
			"azp":"my_client_id","scope":"openid profile orders.read"}`
		app = `{"iss":"https://login.example.test/","sub":"m2mClient@clients","aud":"https://orders.example.test","iat":1772366400,"exp":1772452800,"azp":"m2mClient","gty":"client-credentials","scope":"orders.read"}`
		id  = `{"nickname":"ada","name":"Ada Example","email":"ada@example.test","iss":"https://login.example.test/","aud":"my_client_id","iat":1772366400,"exp":1772402400,"sub":"auth0|5f7c","sid":"a0-session"}`
	)
	return &provider{
		name: "Auth0", function: "Auth0",
		preset:   idp.Auth0("login.example.test", "https://orders.example.test"),
		plain:    jwtverify.Config{Issuer: "https://login.example.test/", Audiences: []string{"https://orders.example.test"}},
		metadata: "https://login.example.test/.well-known/openid-configuration", absent: "https://login.example.test/.well-known/oauth-authorization-server", keys: "https://login.example.test/.well-known/jwks.json",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "a0", "alg": "RS256", "use": "sig", "x5t": "a0"}}},
		essential: func(c m) bool { return text(c, "azp") != "" || text(c, "client_id") != "" },
		rows: []row{
			{kind: "of a user", claims: user, scopes: []string{"openid", "profile", "orders.read"}, client: "my_client_id"},
			{kind: "of a user of an organization, with permissions (RBAC)", claims: user, with: m{"org_id": "org_9k", "permissions": []string{"orders.approve"}}, scopes: []string{"openid", "profile", "orders.read", "orders.approve"}, tenant: "org_9k", client: "my_client_id"},
			{kind: "of a user, dialect of RFC 9068", claims: user, with: m{"azp": absent, "client_id": "my_client_id", "jti": "a0-1"}, header: m{"typ": "at+jwt"}, scopes: []string{"openid", "profile", "orders.read"}, client: "my_client_id"},
			{kind: "of an application", claims: app, scopes: []string{"orders.read"}, client: "m2mClient"},
			{kind: "ID token", claims: id, want: audience},
			{kind: "ID token, with nonce", claims: id, with: m{"nonce": "n-0S6_WzA2Mj"}, want: kind},
			{kind: "ID token, where the client's ID is the identifier of the API", claims: id, with: m{"aud": "https://orders.example.test"}, want: kind},
			{kind: "for which no API was named (five parts)", claims: user, parts: 2, want: bearergate.ReasonMalformed},
			{kind: "of an API with HS256", claims: user, header: m{"alg": "HS256"}, want: bearergate.ReasonAlgorithm},
			{kind: "for the Management API", claims: app, with: m{"aud": "https://login.example.test/api/v2/"}, want: audience},
			{kind: "for userinfo alone", claims: user, with: m{"aud": "https://login.example.test/userinfo"}, want: audience},
			{kind: "of another tenant", claims: user, with: m{"iss": "https://other.example.test/"}, want: issuer},
		},
	}
}

func ping() *provider {
	const (
		user = `{"client_id":"0c1d2e3f-web","iss":"https://auth.pingone.com/11112222-3333-4444-8555-666677778888/as","jti":"p1-user","iat":1772366400,"exp":1772370000,"aud":["https://orders.example.test"],
			"scope":"openid orders.read","sub":"7a7a7a7a-1111-4111-8111-111111111111","sid":"p1-session","auth_time":1772366390,"env":"11112222-3333-4444-8555-666677778888",
			"org":"99998888-7777-4666-8555-444433332222","p1.rid":"rid-1"}`
		id = `{"iss":"https://auth.pingone.com/11112222-3333-4444-8555-666677778888/as","sub":"7a7a7a7a-1111-4111-8111-111111111111","aud":"0c1d2e3f-web","iat":1772366400,"exp":1772370000,"acr":"Single_Factor",
			"amr":["pwd"],"auth_time":1772366390,"at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q","sid":"p1-session","preferred_username":"ada","env":"11112222-3333-4444-8555-666677778888"}`
		environment = "11112222-3333-4444-8555-666677778888"
		of          = "https://auth.pingone.com/" + environment + "/as"
	)
	return &provider{
		name: "PingOne", function: "PingOne",
		preset:   idp.PingOne(environment, "https://orders.example.test"),
		plain:    jwtverify.Config{Issuer: of, Audiences: []string{"https://orders.example.test"}, IgnoreClaims: []string{"act", "may_act"}},
		metadata: of + "/.well-known/openid-configuration", absent: "https://auth.pingone.com/.well-known/oauth-authorization-server/" + environment + "/as", keys: of + "/jwks",
		published: published{alg: "RS256", jwks: one("default")},
		essential: func(c m) bool { return filled(c, "client_id") && (c["env"] == nil || text(c, "env") == environment) },
		rows: []row{
			{kind: "of a user", claims: user, scopes: []string{"openid", "orders.read"}, client: "0c1d2e3f-web", session: "p1-session"},
			{kind: "of a user, act and may_act as text", claims: user, with: m{"act": "reports", "may_act": "reports"}, scopes: []string{"openid", "orders.read"}, client: "0c1d2e3f-web", session: "p1-session"},
			{kind: "of an application, without env", claims: user, with: m{"sub": absent, "sid": absent, "auth_time": absent, "client_id": "0c1d2e3f-app", "scope": "orders.read", "env": absent}, scopes: []string{"orders.read"}, client: "0c1d2e3f-app"},
			{kind: "ID token", claims: id, want: kind},
			{kind: "ID token without marks", claims: id, with: m{"at_hash": absent}, want: audience},
			{kind: "ID token without marks, where the client's ID is the audience", claims: id, with: m{"at_hash": absent, "aud": "https://orders.example.test"}, want: kind},
			{kind: "of a worker, for the API of PingOne", claims: user, with: m{"aud": []string{"https://api.pingone.com"}, "sub": absent}, want: audience},
			{kind: "env of another environment", made: true, claims: user, with: m{"env": "22223333-3333-4444-8555-666677778888"}, want: issuer},
			{kind: "of another environment", claims: user, with: m{"iss": "https://auth.pingone.com/22223333-3333-4444-8555-666677778888/as"}, want: issuer},
			{kind: "for another resource", claims: user, with: m{"aud": []string{"https://payments.example.test"}}, want: audience},
		},
	}
}

func salesforce() *provider {
	const (
		user = `{"scp":"api refresh_token","aud":["https://example.my.salesforce.test"],"sub":"uid:005xx000001X8Uz","nbf":1772366400,"mty":"oauth","sfi":"sfi-1","roles":[],
			"iss":"https://example.my.salesforce.test","hsc":false,"exp":1772368200,"iat":1772366400,"client_id":"3MVG9orders"}`
		id = `{"at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q","sub":"https://login.salesforce.test/id/00Dxx0000001gPL/005xx000001X8Uz","aud":"3MVG9orders","iss":"https://example.my.salesforce.test","exp":1772366520,"iat":1772366400}`
		of = "https://example.my.salesforce.test"
	)
	return &provider{
		name: "Salesforce", function: "Salesforce",
		preset:   idp.Salesforce("example.my.salesforce.test", "3MVG9orders"),
		plain:    jwtverify.Config{Issuer: of, Audiences: []string{of}},
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/id/keys",
		published: published{alg: "RS256", header: m{"typ": "JWT", "tnk": "core/prod/00Dxx0000001gPL", "ver": "1.0", "tty": "sfdc-core-token"}, jwks: []m{{"kid": "CORE_ATJWT.00Dxx", "alg": "RS256", "use": "sig"}, {"kid": "244", "alg": "RS256", "use": "sig"}}},
		essential: func(c m) bool {
			return strings.HasPrefix(text(c, "sub"), "uid:") && filled(c, "scp") && text(c, "client_id") == "3MVG9orders"
		},
		rows: []row{
			{kind: "of a user", claims: user, scopes: []string{"api", "refresh_token"}, client: "3MVG9orders"},
			{kind: "of a user, with members that are null", claims: user, with: m{"roles": nil, "sfi": nil}, scopes: []string{"api", "refresh_token"}, client: "3MVG9orders"},
			{kind: "of another connected app", claims: user, with: m{"client_id": "3MVG9loader"}, want: policy},
			{kind: "of no connected app", made: true, claims: user, with: m{"client_id": absent}, want: policy},
			{kind: "ID token", claims: id, key: "244", want: kind},
			{kind: "ID token without at_hash", claims: id, with: m{"at_hash": absent}, key: "244", want: audience},
			{kind: "ID token without at_hash, aud of the org", made: true, claims: id, with: m{"at_hash": absent, "aud": of, "client_id": "3MVG9orders"}, key: "244", want: kind},
			{kind: "with the sub of an ID token", made: true, claims: user, with: m{"sub": "https://login.salesforce.test/id/00Dxx0000001gPL/005xx000001X8Uz"}, want: kind},
			{kind: "without scp", made: true, claims: user, with: m{"scp": absent}, want: kind},
			{kind: "of another org", claims: user, with: m{"iss": "https://evil.my.salesforce.test", "aud": []string{"https://evil.my.salesforce.test"}}, want: issuer},
		},
	}
}

func authentik() *provider {
	const (
		user = `{"iss":"https://auth.example.test/application/o/orders/","sub":"hashed-user-1","aud":"orders-client","exp":1772366700,"iat":1772366400,"auth_time":1772366390,
			"acr":"goauthentik.io/providers/oauth2/default","amr":["pwd"],"sid":"ak-session","email":"ada@example.test","email_verified":true,"name":"Ada Example","groups":["approvers"],
			"azp":"orders-client","uid":"uid-of-token-1","scope":"openid profile orders.read"}`
		of = "https://auth.example.test/application/o/orders/"
	)
	id := m{"azp": absent, "uid": absent, "scope": absent, "nonce": "n-0S6_WzA2Mj"}
	scopes := []string{"openid", "profile", "orders.read"}
	return &provider{
		name: "authentik", function: "Authentik",
		preset:   idp.Authentik(of, "orders-client"),
		plain:    jwtverify.Config{Issuer: of, Audiences: []string{"orders-client"}, AllowMarks: []string{"nonce"}},
		metadata: of + ".well-known/openid-configuration", absent: "https://auth.example.test/.well-known/oauth-authorization-server/application/o/orders", keys: of + "jwks/",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "ak1", "alg": "RS256", "use": "sig"}}},
		essential: func(c m) bool { return text(c, "azp") == "orders-client" && filled(c, "uid") && c["at_hash"] == nil },
		rows: []row{
			{kind: "of a user, without nonce", claims: user, scopes: scopes, client: "orders-client", session: "ak-session"},
			{kind: "of a user, with the nonce of the login", claims: user, with: m{"nonce": "n-0S6_WzA2Mj"}, scopes: scopes, client: "orders-client", session: "ak-session"},
			{kind: "of a client", claims: user, with: m{"sid": absent, "auth_time": absent, "nonce": nil, "sub": "hashed-service-1"}, scopes: scopes, client: "orders-client"},
			{kind: "ID token", claims: user, with: both(id, m{"at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q"}), want: kind},
			{kind: "ID token without at_hash", claims: user, with: id, want: kind},
			{kind: "ID token without at_hash, with azp", made: true, claims: user, with: both(id, m{"azp": "orders-client"}), want: kind},
			{kind: "with at_hash beside azp and uid", made: true, claims: user, with: m{"at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q"}, want: kind},
			{kind: "that another client asked for", made: true, claims: user, with: m{"azp": "website"}, want: policy},
			{kind: "for another client", claims: user, with: m{"aud": "website", "azp": "website"}, want: audience},
			{kind: "of another provider of the server", claims: user, with: m{"iss": "https://auth.example.test/application/o/website/"}, want: issuer},
			{kind: "of a provider without a signing key", claims: user, header: m{"alg": "HS256", "kid": absent}, want: bearergate.ReasonAlgorithm},
		},
	}
}

func dex() *provider {
	const (
		user = `{"iss":"https://dex.example.test","sub":"CgNhZGESBWxvY2Fs","aud":"orders","exp":1772452800,"iat":1772366400,"nonce":"n-0S6_WzA2Mj","at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q",
			"email":"ada@example.test","email_verified":true,"name":"ada","groups":["approvers"]}`
		of = "https://dex.example.test"
	)
	return &provider{
		name: "Dex", function: "Dex",
		preset:   idp.Dex(of, "orders"),
		plain:    jwtverify.Config{Issuer: of, Audiences: []string{"orders"}, AllowMarks: []string{"at_hash", "nonce"}},
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/keys",
		published: published{alg: "RS256", jwks: []m{{"kid": "dex1", "alg": "RS256", "use": "sig"}}},
		essential: func(c m) bool {
			return text(c, "azp") == "orders" || c["azp"] == nil && len(texts(c, "aud")) == 1
		},
		rows: []row{
			{kind: "access token, or ID token: nothing tells", claims: user},
			{kind: "for the client and a peer that it trusts", claims: user, with: m{"aud": []string{"orders", "peer"}, "azp": "orders"}, client: "orders"},
			{kind: "without nonce", claims: user, with: m{"nonce": absent}},
			{kind: "that a peer asked for", claims: user, with: m{"aud": []string{"orders", "website"}, "azp": "website"}, want: policy},
			{kind: "that a peer asked for, for this client alone", claims: user, with: m{"azp": "website"}, want: policy},
			{kind: "for two clients, without azp", made: true, claims: user, with: m{"aud": []string{"orders", "website"}}, want: policy},
			{kind: "for another client", claims: user, with: m{"aud": "website"}, want: audience},
			{kind: "of another Dex", claims: user, with: m{"iss": "https://dex.other.test"}, want: issuer},
			{kind: "logout token", claims: user, with: m{"nonce": absent, "at_hash": absent, "events": m{"http://schemas.openid.net/event/backchannel-logout": m{}}}, want: kind},
		},
	}
}
