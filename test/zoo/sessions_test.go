package zoo_test

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

func sessions() []*provider {
	return slices.Concat(clerk(), []*provider{workos(), supabase(), firebase(), stytch()}, descope())
}

func clerk() []*provider {
	const (
		user = `{"azp":"https://shop.example.test","exp":1772366460,"fva":[3,-1],"iat":1772366400,"iss":"https://clerk.example.test","nbf":1772366390,"sid":"sess_1","sts":"active","sub":"user_ada","v":2,
			"o":{"id":"org_1","slg":"example","rol":"admin","per":"manage","fpm":"1"}}`
		oauth = `{"iss":"https://clerk.example.test","sub":"user_ada","client_id":"oauth_app_1","scope":"profile email","jti":"oat_1","iat":1772366400,"nbf":1772366390,"exp":1772452800}`
		m2m   = `{"iss":"https://clerk.example.test","sub":"mch_1","aud":["mch_2"],"jti":"mt_1","iat":1772366400,"nbf":1772366390,"exp":1772366460,"scopes":"mch_2"}`
		of    = "https://clerk.example.test"
	)
	own := m{"aud": "https://orders.example.test"}
	keys := published{alg: "RS256", header: m{"typ": "JWT", "cat": "cl_B7d4PD111AAA"}, jwks: []m{{"kid": "ins_1", "use": "sig", "alg": "RS256"}}}
	return []*provider{
		{
			name: "Clerk", function: "Clerk",
			preset:   idp.Clerk(idp.ClerkConfig{FrontendAPI: of, Origins: []string{"https://shop.example.test", "https://admin.example.test"}}),
			plain:    jwtverify.Config{Issuer: of, Audiences: []string{"https://shop.example.test"}, AllowAudienceFrom: map[string][]string{"azp": {"https://shop.example.test", "https://admin.example.test"}}},
			metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/.well-known/jwks.json",
			published: keys,
			essential: func(c m) bool {
				return text(c, "sts") == "active" && filled(c, "sub") && slices.Contains([]string{"https://shop.example.test", "https://admin.example.test"}, text(c, "azp"))
			},
			rows: []row{
				{kind: "of a user in an organization", claims: user, roles: []string{"admin"}, tenant: "org_1", client: "https://shop.example.test", session: "sess_1"},
				{kind: "of a user without an organization, from the second origin", claims: user, with: m{"o": nil, "azp": "https://admin.example.test"}, client: "https://admin.example.test", session: "sess_1"},
				{kind: "of a user whom an administrator impersonates", claims: user, with: m{"act": m{"iss": "https://dashboard.example.test", "sid": "sess_2", "sub": "user_admin"}}, roles: []string{"admin"}, tenant: "org_1", client: "https://shop.example.test", session: "sess_1"},
				{kind: "of a session that is pending", claims: user, with: m{"sts": "pending"}, want: kind},
				{kind: "of version 1, without the state of its session (sts)", claims: user, with: m{"v": absent, "o": absent, "sts": absent, "org_id": "org_1", "org_role": "org:admin"}, want: kind},
				{kind: "without sub", made: true, claims: user, with: m{"sub": absent}, want: kind},
				{kind: "from another origin", claims: user, with: m{"azp": "https://evil.example.test"}, want: missing},
				{kind: "of a native application, without azp", claims: user, with: m{"azp": absent}, want: missing},
				{kind: "of an OAuth application", claims: oauth, header: m{"typ": "at+jwt"}, want: missing},
				{kind: "of an OAuth application, with the azp of the page", made: true, claims: oauth, with: m{"azp": "https://shop.example.test"}, header: m{"typ": "at+jwt"}, want: kind},
				{kind: "of a machine (M2M)", claims: m2m, want: audience},
				{kind: "with an aud, of a template for another service", claims: user, with: m{"aud": "convex"}, want: audience},
				{kind: "with the aud null", made: true, claims: user, with: m{"aud": nil}, want: missing},
				{kind: "of another instance", claims: user, with: m{"iss": "https://clerk.other.test"}, want: issuer},
			},
		},
		{
			name: "Clerk, with an audience, for pages and native applications", function: "Clerk",
			preset:   idp.Clerk(idp.ClerkConfig{FrontendAPI: of, Origins: []string{"https://shop.example.test"}, Audiences: []string{"https://orders.example.test"}, AllowMissingOrigin: true}),
			plain:    jwtverify.Config{Issuer: of, Audiences: []string{"https://orders.example.test"}},
			metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/.well-known/jwks.json",
			published: keys,
			essential: func(c m) bool {
				return text(c, "sts") == "active" && filled(c, "sub") && (c["azp"] == nil || text(c, "azp") == "https://shop.example.test")
			},
			rows: []row{
				{kind: "of a user", claims: user, with: own, roles: []string{"admin"}, tenant: "org_1", client: "https://shop.example.test", session: "sess_1"},
				{kind: "of a native application, without azp", claims: user, with: both(own, m{"azp": absent}), roles: []string{"admin"}, tenant: "org_1", session: "sess_1"},
				{kind: "from another origin", claims: user, with: both(own, m{"azp": "https://evil.example.test"}), want: policy},
				{kind: "from an origin that is empty", made: true, claims: user, with: both(own, m{"azp": ""}), want: policy},
				{kind: "of a session that is pending", claims: user, with: both(own, m{"sts": "pending"}), want: kind},
				{kind: "of a machine (M2M)", made: true, claims: m2m, with: own, want: kind},
				{kind: "of an OAuth application", made: true, claims: oauth, with: own, header: m{"typ": "at+jwt"}, want: kind},
				{kind: "without aud", claims: user, want: missing},
			},
		},
	}
}

func workos() *provider {
	const (
		user = `{"iss":"https://api.workos.com/user_management/client_01HZOO","sub":"user_01ADA","sid":"session_01S","jti":"01JTI","org_id":"org_01EX","role":"admin","roles":["admin","member"],
			"permissions":["orders:read"],"exp":1772366700,"iat":1772366400}`
		of = "https://api.workos.com/user_management/client_01HZOO"
	)
	read := func(r row) row {
		r.roles, r.tenant, r.session = []string{"admin", "member"}, "org_01EX", "session_01S"
		return r
	}
	return &provider{
		name: "WorkOS AuthKit", function: "WorkOS",
		preset: idp.WorkOS("client_01HZOO"),
		plain: jwtverify.Config{Issuer: of, IssuerAliases: []string{"https://api.workos.com", "https://api.workos.com/"}, KeysURL: "https://api.workos.com/sso/jwks/client_01HZOO",
			Audiences: []string{"client_01HZOO"}, AllowAudienceFrom: map[string][]string{"role": {"admin", "member"}}},
		keys:      "https://api.workos.com/sso/jwks/client_01HZOO",
		published: published{alg: "RS256", jwks: []m{{"kid": "sso_oidc_key_pair_1", "alg": "RS256", "use": "sig"}}}, noAudience: true,
		essential: func(c m) bool {
			return filled(c, "sid", "sub") && (c["client_id"] == nil || text(c, "client_id") == "client_01HZOO")
		},
		rows: []row{
			read(row{kind: "of a user", claims: user}),
			read(row{kind: "of a user, the documented iss", claims: user, with: m{"iss": "https://api.workos.com"}}),
			read(row{kind: "of a user, the documented iss with a slash", claims: user, with: m{"iss": "https://api.workos.com/"}}),
			read(row{kind: "of a user, with aud and client_id of the client", claims: user, with: m{"aud": "client_01HZOO", "client_id": "client_01HZOO"}, client: "client_01HZOO"}),
			read(row{kind: "of a user whom an administrator impersonates", claims: user, with: m{"act": m{"sub": "admin@example.test"}}}),
			{kind: "without a session", made: true, claims: user, with: m{"sid": absent}, want: kind},
			{kind: "of an application (M2M), without a session", made: true, claims: user, with: m{"sid": absent, "sub": "client_01M2M", "client_id": "client_01M2M"}, want: policy},
			{kind: "with the client_id of another client", made: true, claims: user, with: m{"client_id": "client_01OTHER"}, want: policy},
			{kind: "with the aud of another client", claims: user, with: m{"aud": "client_01OTHER"}, want: audience},
			{kind: "with the aud null", made: true, claims: user, with: m{"aud": nil}, want: missing},
			{kind: "with the iss of another client", claims: user, with: m{"iss": "https://api.workos.com/user_management/client_01OTHER"}, want: issuer},
			{kind: "of another client, under its own key", claims: user, with: m{"iss": "https://api.workos.com"}, header: m{"kid": "sso_oidc_key_pair_2"}, forged: true, want: bearergate.ReasonUnknownKey},
		},
	}
}

func supabase() *provider {
	const (
		user = `{"aal":"aal1","amr":[{"method":"password","timestamp":1772366390}],"app_metadata":{"provider":"email"},"aud":"authenticated","email":"ada@example.test","exp":1772370000,"iat":1772366400,
			"is_anonymous":false,"iss":"https://zooproject.supabase.co/auth/v1","phone":"","role":"authenticated","session_id":"sb-session-1","sub":"6c6c6c6c-1111-4111-8111-111111111111","user_metadata":{}}`
		id = `{"iss":"https://zooproject.supabase.co/auth/v1","sub":"6c6c6c6c-1111-4111-8111-111111111111","aud":"oauth-client-1","client_id":"oauth-client-1","exp":1772370000,"iat":1772366400,
			"auth_time":1772366390,"email":"ada@example.test"}`
		anon = `{"iss":"supabase","ref":"zooproject","role":"anon","iat":1672366400,"exp":1992366400}`
		of   = "https://zooproject.supabase.co/auth/v1"
	)
	return &provider{
		name: "Supabase", function: "Supabase",
		preset:    idp.Supabase("zooproject"),
		plain:     jwtverify.Config{Issuer: of, Audiences: []string{"authenticated"}, KeysURL: of + "/.well-known/jwks.json"},
		keys:      of + "/.well-known/jwks.json",
		published: published{alg: "ES256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "sb1", "alg": "ES256", "use": "sig", "key_ops": []string{"verify"}, "ext": true}}},
		essential: func(c m) bool {
			return filled(c, "role", "session_id", "sub") && c["client_id"] == nil && !slices.Contains([]string{"anon", "service_role"}, text(c, "role"))
		},
		rows: []row{
			{kind: "of a user", claims: user, roles: []string{"authenticated"}, session: "sb-session-1"},
			{kind: "of an anonymous user, who gets in", claims: user, with: m{"is_anonymous": true, "email": nil}, roles: []string{"authenticated"}, session: "sb-session-1"},
			{kind: "of an OAuth application", claims: user, with: m{"client_id": "oauth-client-1", "scope": "openid email"}, want: policy},
			{kind: "ID token of the OAuth server", claims: id, want: audience},
			{kind: "ID token of the OAuth server, with nonce", claims: id, with: m{"nonce": "n-0S6_WzA2Mj"}, want: kind},
			{kind: "without a session", made: true, claims: user, with: m{"session_id": absent}, want: kind},
			{kind: "without a role", made: true, claims: user, with: m{"role": ""}, want: kind},
			{kind: "without sub", made: true, claims: user, with: m{"sub": absent}, want: kind},
			{kind: "with the role anon", made: true, claims: user, with: m{"role": "anon"}, want: kind},
			{kind: "with the role service_role", made: true, claims: user, with: m{"role": "service_role"}, want: kind},
			{kind: "the legacy key anon", claims: anon, header: m{"alg": "HS256", "kid": absent}, want: bearergate.ReasonAlgorithm},
			{kind: "of a user, under the legacy secret", claims: user, header: m{"alg": "HS256"}, want: bearergate.ReasonAlgorithm},
			{kind: "of another project", claims: user, with: m{"iss": "https://other.supabase.co/auth/v1"}, want: issuer},
		},
	}
}

func firebase() *provider {
	const (
		user = `{"name":"Ada Example","iss":"https://securetoken.google.com/shop-1234","aud":"shop-1234","auth_time":1772366390,"user_id":"fbAda","sub":"fbAda","iat":1772366400,"exp":1772370000,
			"email":"ada@example.test","email_verified":true,"firebase":{"identities":{"email":["ada@example.test"]},"sign_in_provider":"password"}}`
		custom = `{"iss":"admin@shop-1234.iam.gserviceaccount.com","sub":"admin@shop-1234.iam.gserviceaccount.com","aud":"https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit",
			"iat":1772366400,"exp":1772370000,"uid":"fbAda"}`
		check = `{"sub":"1:1234:web:abcd","aud":["projects/1234","projects/shop-1234"],"provider":"recaptcha_v3","iss":"https://firebaseappcheck.googleapis.com/1234","exp":1772370000,"iat":1772366400,"jti":"fac"}`
		keys  = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
	)
	return &provider{
		name: "Firebase", function: "Firebase",
		preset: idp.Firebase("shop-1234"),
		plain:  jwtverify.Config{Issuer: "https://securetoken.google.com/shop-1234", Audiences: []string{"shop-1234"}, KeysURL: keys},
		keys:   keys, published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "fb1", "alg": "RS256", "use": "sig"}}},
		essential: func(c m) bool {
			return filled(c, "sub") && c["auth_time"] != nil && c["iat"] != nil
		},
		rows: []row{
			{kind: "of a user", claims: user},
			{kind: "of a user of a tenant", claims: user, with: m{"firebase": m{"sign_in_provider": "password", "tenant": "partner-1"}}, tenant: "partner-1"},
			{kind: "of an anonymous user, who gets in", claims: user, with: m{"provider_id": "anonymous", "email": absent, "firebase": m{"sign_in_provider": "anonymous"}}},
			{kind: "session cookie", claims: user, with: m{"iss": "https://session.firebase.google.com/shop-1234"}, want: issuer},
			{kind: "custom token of a service account", claims: custom, forged: true, want: issuer},
			{kind: "of App Check", claims: check, want: issuer},
			{kind: "of nobody (sub is empty)", made: true, claims: user, with: m{"sub": ""}, want: missing},
			{kind: "without auth_time", made: true, claims: user, with: m{"auth_time": absent}, want: missing},
			{kind: "auth_time that is no time", made: true, claims: user, with: m{"auth_time": "yesterday"}, want: policy},
			{kind: "auth_time after iat", made: true, claims: user, with: m{"auth_time": 1772366401}, want: policy},
			{kind: "of another project", claims: user, with: m{"iss": "https://securetoken.google.com/other-5678", "aud": "other-5678"}, want: issuer},
			{kind: "for another project", claims: user, with: m{"aud": "other-5678"}, want: audience},
		},
	}
}

func stytch() *provider {
	const (
		user = `{"aud":["project-live-0001"],"exp":1772366700,"https://stytch.com/session":{"id":"session-live-1","started_at":"2026-03-01T11:00:00Z","last_accessed_at":"2026-03-01T12:00:00Z",
			"expires_at":"2026-03-01T13:00:00Z","attributes":{"user_agent":"","ip_address":""},"authentication_factors":[{"type":"password"}],"roles":["stytch_user"]},
			"iat":1772366400,"iss":"stytch.com/project-live-0001","nbf":1772366400,"sub":"user-live-ada"}`
		m2m = `{"sub":"m2m-client-live-1","iss":"stytch.com/project-live-0001","aud":["project-live-0001"],"iat":1772366400,"nbf":1772366400,"exp":1772370000,"scope":"orders.read"}`
		of  = "stytch.com/project-live-0001"
	)
	return &provider{
		name: "Stytch", function: "Stytch",
		preset:    idp.Stytch("project-live-0001"),
		plain:     jwtverify.Config{Issuer: of, Audiences: []string{"project-live-0001"}, KeysURL: "https://api.stytch.com/v1/sessions/jwks/project-live-0001"},
		keys:      "https://api.stytch.com/v1/sessions/jwks/project-live-0001",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "jwk-live-1", "alg": "RS256", "use": "sig", "key_ops": []string{"verify"}}}},
		essential: func(c m) bool {
			session, _ := c["https://stytch.com/session"].(m)
			return len(session) > 0 && filled(c, "sub")
		},
		rows: []row{
			{kind: "of a user", claims: user, roles: []string{"stytch_user"}, session: "session-live-1"},
			{kind: "of a member of an organization", claims: user, with: m{"https://stytch.com/organization": m{"organization_id": "organization-live-1", "slug": "example"}}, roles: []string{"stytch_user"}, tenant: "organization-live-1", session: "session-live-1"},
			{kind: "of a machine (M2M)", claims: m2m, want: kind},
			{kind: "without sub", made: true, claims: user, with: m{"sub": absent}, want: kind},
			{kind: "with a session that is empty", made: true, claims: user, with: m{"https://stytch.com/session": m{}}, want: kind},
			{kind: "with a session that is null", made: true, claims: user, with: m{"https://stytch.com/session": nil}, want: kind},
			{kind: "with a session that is text", made: true, claims: user, with: m{"https://stytch.com/session": "session-live-1"}, want: kind},
			{kind: "of the test project", claims: user, with: m{"iss": "stytch.com/project-test-0001", "aud": []string{"project-test-0001"}}, want: issuer},
			{kind: "for another project", claims: user, with: m{"aud": []string{"project-live-9999"}}, want: audience},
		},
	}
}

func descope() []*provider {
	const (
		user = `{"amr":["pwd"],"drn":"DS","dct":"T2tenant","exp":1772366700,"iat":1772366400,"iss":"https://api.descope.com/P2project","rexp":"2026-03-29T12:00:00Z","sub":"U2ada",
			"roles":["admin"],"permissions":["orders.read"],"tenants":{"T2tenant":{"roles":["admin"]}}}`
		refresh = `{"amr":["pwd"],"drn":"DSR","dct":"T2tenant","exp":1774785600,"iat":1772366400,"iss":"https://api.descope.com/P2project","rexp":"2026-03-29T12:00:00Z","sub":"U2ada"}`
		of      = "https://api.descope.com/P2project"
	)
	keys := published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "SK2", "alg": "RS256", "use": "sig"}}}
	session := func(c m) bool { return text(c, "drn") == "DS" && filled(c, "sub") }
	const (
		german = "Peuc12aA4bB5cC6dD7eE8fF9gG0hH1iI2"
		there  = "https://api.euc1.descope.com/" + german
	)
	own := m{"aud": []string{"orders-api"}}
	return []*provider{
		{
			name: "Descope", function: "Descope",
			preset: idp.Descope("P2project"),
			plain: jwtverify.Config{Issuer: of, IssuerAliases: []string{"P2project"}, Audiences: []string{"P2project"}, KeysURL: of + "/.well-known/jwks.json",
				AllowAudienceFrom: map[string][]string{"dct": {"T2tenant"}}},
			keys: of + "/.well-known/jwks.json", published: keys, essential: session, noAudience: true,
			rows: []row{
				{kind: "of a user", claims: user, roles: []string{"admin"}, tenant: "T2tenant"},
				{kind: "of a user, iss as the ID of the project", claims: user, with: m{"iss": "P2project"}, roles: []string{"admin"}, tenant: "T2tenant"},
				{kind: "of a user, with the aud of the project", claims: user, with: m{"aud": "P2project"}, roles: []string{"admin"}, tenant: "T2tenant"},
				{kind: "refresh token", claims: refresh, want: kind},
				{kind: "of no kind (drn)", made: true, claims: user, with: m{"drn": absent}, want: kind},
				{kind: "without sub", made: true, claims: user, with: m{"sub": absent}, want: kind},
				{kind: "with an aud of its own, for another service", claims: user, with: m{"aud": "payments-api"}, want: audience},
				{kind: "of another project", claims: user, with: m{"iss": "https://api.descope.com/P2other"}, want: issuer},
				{kind: "of another project, under its own key", claims: user, header: m{"kid": "SK2other"}, forged: true, want: bearergate.ReasonUnknownKey},
			},
		},
		{
			name: "Descope, another region", function: "Descope",
			preset: idp.Descope(german),
			plain: jwtverify.Config{Issuer: there, Audiences: []string{german}, KeysURL: there + "/.well-known/jwks.json",
				AllowAudienceFrom: map[string][]string{"dct": {"T2tenant"}}},
			keys: there + "/.well-known/jwks.json", published: keys, essential: session, noAudience: true,
			rows: []row{
				{kind: "of a user", claims: strings.ReplaceAll(user, of, there), roles: []string{"admin"}, tenant: "T2tenant"},
				{kind: "refresh token", claims: strings.ReplaceAll(refresh, of, there), want: kind},
				{kind: "of a project of the first region", claims: user, want: issuer},
			},
		},
		{
			name: "Descope, with an audience", function: "Descope",
			preset: idp.Descope("P2project", "orders-api"),
			plain:  jwtverify.Config{Issuer: of, IssuerAliases: []string{"P2project"}, Audiences: []string{"orders-api"}, KeysURL: of + "/.well-known/jwks.json"},
			keys:   of + "/.well-known/jwks.json", published: keys, essential: session,
			rows: []row{
				{kind: "of a user", claims: user, with: own, roles: []string{"admin"}, tenant: "T2tenant"},
				{kind: "refresh token", claims: refresh, with: own, want: kind},
				{kind: "without aud", claims: user, want: missing},
				{kind: "for the project alone", claims: user, with: m{"aud": "P2project"}, want: audience},
			},
		},
	}
}
