package trouble_test

import (
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
)

// audiences are those of the API.
func audiences(names ...string) func(*try) {
	return func(y *try) { y.jwt.Audiences, y.opaque.Audiences = names, names }
}

// forUs has the client ask for this API.
func forUs(y *try) { y.claims["aud"] = api }

// fromOurs has the client get its token from the server of this API.
func fromOurs(y *try) { y.of(y.as) }

// another server issues the token.
func another(name string) func(*try) {
	return func(y *try) {
		y.of(authtest.New(y.t, authtest.WithIssuer(name)))
	}
}

// server has another issuer identifier.
func server(name string) []authtest.Option { return []authtest.Option{authtest.WithIssuer(name)} }

func elsewhere() area {
	const asks = "The client asks for this API."
	return area{
		title: "Tokens for somebody else",
		about: "The token is genuine, and for another API, from another server, or bound to a key.",
		rows: []row{
			{
				title: "The token is for another API", caseID: "D1", status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  claim("aud", "https://billing.example.test"),
				mended: asks, mend: forUs,
			},
			{
				title: "The audience differs by a slash", status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  claim("aud", api+"/"),
				mended: "Audiences names the API as the server does.", mend: audiences(api + "/"),
			},
			{
				title: "Entra writes the audience without api://", status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  both(claim("aud", "6e74172b-be56-4843-9ff4-e66a39bb12e3"), audiences("api://6e74172b-be56-4843-9ff4-e66a39bb12e3")),
				mended: "Audiences names the API as the server does.", mend: audiences("6e74172b-be56-4843-9ff4-e66a39bb12e3"),
			},
			{
				title: "The audience is the client itself", status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  claim("aud", shop),
				mended: asks, mend: forUs,
			},
			{
				title: `Keycloak writes the audience "account"`, status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  claim("aud", "account"),
				mended: "An audience mapper adds this API.", mend: claim("aud", []string{"account", api}),
			},
			{
				title: "Auth0 writes the audience /userinfo", status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  claim("aud", []string{issuer + "/userinfo"}),
				mended: asks, mend: forUs,
			},
			{
				title: "The audience is the authorization server", status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  claim("aud", issuer),
				mended: asks, mend: forUs,
			},
			{
				title: "The token has no audience", status: http.StatusUnauthorized, reason: bearergate.ReasonMissingClaim,
				wrong:  claim("aud", nil),
				mended: "The server adds this API.", mend: forUs,
			},
			{
				title: "The token is for Microsoft Graph", caseID: "D5", status: http.StatusUnauthorized, reason: bearergate.ReasonSignature,
				server: server("https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
				wrong: func(y *try) {
					// What is signed is another header: nonce stands hashed in it.
					y.claims["aud"] = "00000003-0000-0000-c000-000000000000"
					y.header["nonce"] = "AQABAAAAAAD"
					y.alter = func(token string) string { return token[:len(token)-8] + "AAAAAAAA" }
				},
				mended: "The client asks for a scope of this API.", mend: func(y *try) {
					delete(y.header, "nonce")
					forUs(y)
					asIssued(y)
				},
			},
			{
				title: "The token is of version 1 of Entra, and Issuer of version 2", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				server: server("https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
				wrong:  claim("iss", "https://sts.windows.net/9122040d-6c67-4c5b-b112-36a304b66dad/"),
				mended: "requestedAccessTokenVersion is 2.", mend: claim("iss", "https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
			},
			{
				title: "The token is of another tenant of Entra", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				server: server("https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
				wrong:  claim("iss", "https://login.microsoftonline.com/f8cdef31-a31e-4b4a-93e4-5f571e91255a/v2.0"),
				mended: "The client gets it from the right tenant.", mend: claim("iss", "https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
			},
			{
				title: "The token is of another user flow of Azure AD B2C", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				server: server("https://contoso.b2clogin.com/tfp/9122040d-6c67-4c5b-b112-36a304b66dad/b2c_1_signin/v2.0/"),
				wrong:  claim("iss", "https://contoso.b2clogin.com/tfp/9122040d-6c67-4c5b-b112-36a304b66dad/b2c_1_edit/v2.0/"),
				mended: "The client uses the one that Issuer names.", mend: claim("iss", "https://contoso.b2clogin.com/tfp/9122040d-6c67-4c5b-b112-36a304b66dad/b2c_1_signin/v2.0/"),
			},
			{
				title: "The token is of Okta's org server", caseID: "D5", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				server: server("https://dev-42.okta.com/oauth2/default"),
				wrong: func(y *try) {
					another("https://dev-42.okta.com")(y)
					y.header["typ"] = "application/okta-internal-at+jwt"
					y.claims["aud"] = "https://dev-42.okta.com"
				},
				mended: "The client gets it from the custom authorization server.", mend: func(y *try) {
					fromOurs(y)
					forUs(y)
					delete(y.header, "typ")
				},
			},
			{
				title: "The issuer differs by a slash", caseID: "D7", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				wrong: func(y *try) {
					y.keysAt(jwks.Config{})
					y.claims["iss"] = issuer + "/"
				},
				mended: "Issuer has the slash.", mend: func(y *try) { y.jwt.Issuer += "/" },
			},
			{
				title: "The token is of another realm of the same server", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				server: server("https://keycloak.example.test/realms/main"),
				wrong:  another("https://keycloak.example.test/realms/master"),
				mended: "The client gets it from the realm of this API.", mend: fromOurs,
			},
			{
				title: "Keycloak in a container takes the host by which the client reached it", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				server: server("https://keycloak.internal.test/realms/main"),
				wrong:  claim("iss", "https://login.example.test/realms/main"),
				mended: "The server has one public name, and Issuer is that one.", mend: func(y *try) {
					y.as = authtest.New(y.t, server("https://login.example.test/realms/main")...)
					y.jwt.Issuer, y.jwt.HTTPClient, y.from = y.as.Issuer(), y.as.Client(), y.as
				},
			},
			{
				title: "A token of staging is sent to production", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				wrong:  another("https://as.staging.example.test"),
				mended: "The client gets it from the server of production.", mend: fromOurs,
			},
			{
				title: "The token is bound to a key of the client (DPoP)", status: http.StatusUnauthorized, reason: bearergate.ReasonBinding,
				wrong:  claim("cnf", map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
				mended: "The client asks for a token without DPoP.", mend: claim("cnf", nil),
			},
			{
				title: "The token is bound to a certificate of the client", status: http.StatusUnauthorized, reason: bearergate.ReasonBinding,
				wrong:  claim("cnf", map[string]string{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
				mended: "The gate compares the certificate.", mend: func(y *try) {
					y.jwt.Confirmations = []string{"x5t#S256"}
					y.gate.Bindings = []bearergate.Binding{certificate{}}
				},
			},
		},
	}
}
