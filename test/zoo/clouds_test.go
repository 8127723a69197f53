package zoo_test

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

func amazon() []*provider {
	const (
		user = `{"sub":"b2c3d4e5-1111-4111-8111-111111111111","cognito:groups":["approvers"],"iss":"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zoo123456","version":2,
			"client_id":"4r5t6y7u8i9o0p1a2s3d4f5g6h","origin_jti":"origin-1","event_id":"event-1","token_use":"access","scope":"openid https://orders.example.test/read","auth_time":1772366399,
			"exp":1772370000,"iat":1772366400,"jti":"jti-user","username":"ada"}`
		app = `{"sub":"1m2n3b4v5c6x7z8l9k0j1h2g3f","token_use":"access","scope":"https://orders.example.test/read","auth_time":1772366400,
			"iss":"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zoo123456","exp":1772370000,"iat":1772366400,"version":2,"jti":"jti-app","client_id":"1m2n3b4v5c6x7z8l9k0j1h2g3f"}`
		id = `{"at_hash":"Zm9vYmFyYmF6cXV4MTIzNA","sub":"b2c3d4e5-1111-4111-8111-111111111111","cognito:groups":["approvers"],"email_verified":true,
			"iss":"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zoo123456","cognito:username":"ada","origin_jti":"origin-1","aud":"4r5t6y7u8i9o0p1a2s3d4f5g6h","event_id":"event-1",
			"token_use":"id","auth_time":1772366399,"exp":1772370000,"iat":1772366400,"jti":"jti-id","email":"ada@example.test"}`
		of, resource = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zoo123456", "https://orders.example.test"
		web, daemon  = "4r5t6y7u8i9o0p1a2s3d4f5g6h", "1m2n3b4v5c6x7z8l9k0j1h2g3f"
	)
	clients := []string{web, daemon}
	return []*provider{{
		name: "Amazon Cognito", function: "Cognito",
		preset:    idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_Zoo123456", Resource: resource, Clients: clients}),
		plain:     jwtverify.Config{Issuer: of, IssuerAliases: []string{"https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zoo123456"}, Audiences: []string{resource}, KeysURL: of + "/.well-known/jwks.json", AllowAudienceFrom: map[string][]string{"client_id": clients}},
		keys:      of + "/.well-known/jwks.json",
		published: published{alg: "RS256", jwks: []m{{"kid": "access", "alg": "RS256", "use": "sig"}, {"kid": "id", "alg": "RS256", "use": "sig"}}},
		essential: func(c m) bool {
			inScope := slices.ContainsFunc(words(c, "scope"), func(s string) bool {
				return strings.HasPrefix(s, resource+"/") && s != resource+"/" && strings.Count(s, "/") == 3
			})
			return text(c, "token_use") == "access" && slices.Contains(clients, text(c, "client_id")) && (c["aud"] != nil || inScope)
		},
		rows: []row{
			{kind: "of a user", claims: user, scopes: []string{"openid", resource + "/read"}, roles: []string{"approvers"}, client: web, session: "origin-1"},
			{kind: "of a client", claims: app, scopes: []string{resource + "/read"}, client: daemon},
			{kind: "of a user, bound to the resource", claims: user, with: m{"aud": resource}, scopes: []string{"openid", resource + "/read"}, roles: []string{"approvers"}, client: web, session: "origin-1"},
			{kind: "of a user, bound to the resource, without a scope of it", claims: user, with: m{"aud": resource, "scope": "openid"}, scopes: []string{"openid"}, roles: []string{"approvers"}, client: web, session: "origin-1"},
			{kind: "of a user, the newer form of iss", claims: user, with: m{"iss": "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Zoo123456"}, scopes: []string{"openid", resource + "/read"}, roles: []string{"approvers"}, client: web, session: "origin-1"},
			{kind: "ID token", claims: id, key: "id", want: kind},
			{kind: "ID token, with nonce", claims: id, with: m{"nonce": "n-0S6_WzA2Mj"}, key: "id", want: kind},
			{kind: "ID token without at_hash, with a scope and a client", made: true, claims: id, with: m{"at_hash": absent, "aud": resource, "client_id": web, "scope": resource + "/read"}, key: "id", want: kind},
			{kind: "of no kind (token_use)", made: true, claims: user, with: m{"token_use": absent}, want: kind},
			{kind: "of the sign-in API, which any script of the page can get", claims: user, with: m{"scope": "aws.cognito.signin.user.admin"}, want: audience},
			{kind: "for userinfo alone", claims: user, with: m{"scope": "openid profile"}, want: audience},
			{kind: "for another resource server of the pool", claims: user, with: m{"scope": "https://payments.example.test/read"}, want: audience},
			{kind: "for a resource server with a longer name", claims: user, with: m{"scope": "https://orders.example.test.other/read"}, want: audience},
			{kind: "for a resource server whose identifier begins with this one", claims: user, with: m{"scope": resource + "/admin/read"}, want: audience},
			{kind: "with a scope without a name", made: true, claims: user, with: m{"scope": resource + "/"}, want: audience},
			{kind: "of a client that is not on the list", claims: user, with: m{"client_id": "9z8y7x6w5v4u3t2s1r0q9p8o7n"}, want: missing},
			{kind: "of a client that is not on the list, bound to the resource", claims: user, with: m{"client_id": "9z8y7x6w5v4u3t2s1r0q9p8o7n", "aud": resource}, want: policy},
			{kind: "bound to another resource", claims: user, with: m{"aud": "https://payments.example.test"}, want: audience},
			{kind: "of another pool", claims: user, with: m{"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"}, want: issuer},
		},
	}}
}

func google() []*provider {
	const (
		account = `{"aud":"https://orders.example.test","azp":"112233445566778899001","email":"reports@shop-1234.iam.gserviceaccount.com","email_verified":true,"exp":1772370000,"iat":1772366400,
			"iss":"https://accounts.google.com","sub":"112233445566778899001"}`
		person = `{"iss":"https://accounts.google.com","azp":"1234-web.apps.googleusercontent.com","aud":"1234-web.apps.googleusercontent.com","sub":"100200300400500600700","hd":"example.test",
			"email":"ada@example.test","email_verified":true,"at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q","nonce":"n-0S6_WzA2Mj","name":"Ada Example","iat":1772366400,"exp":1772370000}`
		iap = `{"aud":"/projects/123456/global/backendServices/987654","azp":"/projects/123456/global/backendServices/987654","email":"ada@example.test","exp":1772367000,"hd":"example.test",
			"iat":1772366400,"identity_source":"GOOGLE","iss":"https://cloud.google.com/iap","sub":"accounts.google.com:100200300400500600700"}`
		certs, web, backend = "https://www.googleapis.com/oauth2/v3/certs", "1234-web.apps.googleusercontent.com", "/projects/123456/global/backendServices/987654"
	)
	keys := published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "6d1f", "alg": "RS256", "use": "sig"}, {"kid": "b2a0", "alg": "RS256", "use": "sig"}}}
	people := func(name, domain string, essential func(m) bool, rows ...row) *provider {
		return &provider{
			name: name, function: "GoogleUsers", preset: idp.GoogleUsers(web, domain),
			plain: jwtverify.Config{Issuer: "https://accounts.google.com", IssuerAliases: []string{"accounts.google.com"}, Audiences: []string{web}, KeysURL: certs, AllowMarks: []string{"at_hash", "nonce"}},
			keys:  certs, published: keys, essential: essential, rows: append([]row{
				{kind: "of a user of the domain", claims: person, tenant: "example.test", client: web},
				{kind: "of a user of the domain, the other form of iss", claims: person, with: m{"iss": "accounts.google.com", "at_hash": absent, "nonce": absent}, tenant: "example.test", client: web},
				{kind: "for another client", claims: person, with: m{"aud": "5678-other.apps.googleusercontent.com", "azp": "5678-other.apps.googleusercontent.com"}, want: audience},
				{kind: "that another client asked for", claims: person, with: m{"azp": "5678-other.apps.googleusercontent.com"}, want: policy},
				{kind: "of a service account, for the client's ID as audience", claims: account, with: m{"aud": web, "hd": domainOf(domain)}, want: policy},
				{kind: "of a service account, without azp", made: true, claims: account, with: m{"aud": web, "azp": absent, "hd": domainOf(domain)}, want: policy},
				{kind: "without sub", made: true, claims: person, with: m{"sub": absent}, want: kind},
				{kind: "of Identity-Aware Proxy", claims: iap, want: issuer},
			}, rows...),
		}
	}
	azp := func(c m) bool {
		return (c["azp"] == nil || text(c, "azp") == web) && filled(c, "sub") && !strings.HasSuffix(text(c, "email"), "gserviceaccount.com")
	}
	return []*provider{
		{
			name: "Google, service accounts", function: "GoogleServiceAccounts",
			preset: idp.GoogleServiceAccounts("https://orders.example.test", "reports@shop-1234.iam.gserviceaccount.com", "gateway@shop-1234.iam.gserviceaccount.com"),
			plain:  jwtverify.Config{Issuer: "https://accounts.google.com", IssuerAliases: []string{"accounts.google.com"}, Audiences: []string{"https://orders.example.test"}, KeysURL: certs},
			keys:   certs, published: keys,
			essential: func(c m) bool {
				return slices.Contains([]string{"reports@shop-1234.iam.gserviceaccount.com", "gateway@shop-1234.iam.gserviceaccount.com"}, text(c, "email")) && c["email_verified"] == true
			},
			rows: []row{
				{kind: "of an account on the list", claims: account, client: "112233445566778899001"},
				{kind: "of API Gateway", claims: account, with: m{"email": "gateway@shop-1234.iam.gserviceaccount.com", "sub": "99", "azp": "99"}, client: "99"},
				{kind: "of an account on the list, the other form of iss", claims: account, with: m{"iss": "accounts.google.com"}, client: "112233445566778899001"},
				{kind: "of a stranger's service account", claims: account, with: m{"email": "reports@evil-9999.iam.gserviceaccount.com", "sub": "666", "azp": "666"}, want: policy},
				{kind: "of an account without email", claims: account, with: m{"email": absent, "email_verified": absent}, want: policy},
				{kind: "email that nobody verified", made: true, claims: account, with: m{"email_verified": false}, want: policy},
				{kind: "email_verified as text", made: true, claims: account, with: m{"email_verified": "true"}, want: policy},
				{kind: "ID token of a user", made: true, claims: person, with: m{"aud": "https://orders.example.test"}, want: kind},
				{kind: "ID token of a user, without marks", made: true, claims: person, with: m{"aud": "https://orders.example.test", "at_hash": absent, "nonce": absent}, want: policy},
				{kind: "for another API", claims: account, with: m{"aud": "https://payments.example.test"}, want: audience},
				{kind: "of Identity-Aware Proxy", claims: iap, want: issuer},
			},
		},
		people("Google, users of a domain", "example.test", func(c m) bool { return azp(c) && text(c, "hd") == "example.test" },
			row{kind: "of a user of another domain", claims: person, with: m{"hd": "other.test"}, want: policy},
			row{kind: "of a user without a domain, with an email of it", claims: person, with: m{"hd": absent}, want: policy}),
		people("Google, all users", "", azp,
			row{kind: "of a user without a domain", claims: person, with: m{"hd": absent, "email": "ada@mail.test"}, client: web}),
		{
			name: "Google Identity-Aware Proxy", function: "IAP",
			preset: idp.IAP(backend),
			plain:  jwtverify.Config{Issuer: "https://cloud.google.com/iap", Audiences: []string{backend}, KeysURL: "https://www.gstatic.com/iap/verify/public_key-jwk"},
			keys:   "https://www.gstatic.com/iap/verify/public_key-jwk", published: published{alg: "ES256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "iap1", "alg": "ES256", "use": "sig"}}},
			essential: func(c m) bool { return filled(c, "sub") },
			rows: []row{
				{kind: "of a user of the domain", claims: iap, tenant: "example.test", client: backend},
				{kind: "of a service account, without a domain", claims: iap, with: m{"hd": absent, "azp": absent, "google": m{"access_levels": []string{"trusted"}}}},
				{kind: "for another backend service", claims: iap, with: m{"aud": "/projects/123456/global/backendServices/111111"}, want: audience},
				{kind: "for an application of App Engine", claims: iap, with: m{"aud": "/projects/123456/apps/shop-1234"}, want: audience},
				{kind: "without sub", made: true, claims: iap, with: m{"sub": absent}, want: kind},
				{kind: "ID token of Google", claims: person, want: issuer},
				{kind: "under RS256", made: true, claims: iap, header: m{"alg": "RS256"}, want: bearergate.ReasonAlgorithm},
			},
		},
	}
}

// domainOf is the claim hd of a token for that domain.
func domainOf(domain string) any {
	if domain == "" {
		return absent
	}
	return domain
}
