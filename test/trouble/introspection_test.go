package trouble_test

import (
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
)

func introspection() area {
	return area{
		title: "Introspection",
		about: "The server is asked about the token, and says no, or nothing that can be used.",
		base:  byIntrospection,
		rows: []row{
			{
				title: "The token is not active", status: http.StatusUnauthorized, reason: bearergate.ReasonInactive,
				wrong:  replaced("2YotnFZFEjr1zCsicMWpAA"),
				mended: "The client sends a token that was just issued.", mend: byIntrospection,
			},
			{
				title: "The token is a JWT of another issuer", status: http.StatusUnauthorized, reason: bearergate.ReasonInactive,
				wrong: func(y *try) {
					another("https://as.staging.example.test")(y)
					y.token = nil
				},
				mended: "The client gets it from the server that is asked.", mend: fromOurs,
				twin: "The token is not active",
			},
			{
				title: "Our own client secret is wrong", status: http.StatusInternalServerError, reason: bearergate.ReasonConfig,
				server: []authtest.Option{authtest.WithClient("orders-api", "another-"+secret)},
				wrong:  func(*try) {},
				mended: "The secret is that of the registration.", mend: func(y *try) {
					y.opaque.Auth = introspect.BasicAuth("orders-api", "another-"+secret)
				},
			},
			{
				title: "The answer has no scope", status: http.StatusForbidden, reason: bearergate.ReasonScope,
				wrong:  claim("scope", nil),
				mended: "The client asks for the scope.", mend: claim("scope", "orders:read"),
			},
			{
				title: "The answer has the scopes in another member", status: http.StatusForbidden, reason: bearergate.ReasonScope,
				wrong:  both(claim("scope", nil), claim("scp", []string{"orders:read"})),
				mended: "The server writes scope.", mend: claim("scope", "orders:read"),
				twin: "The answer has no scope",
			},
			{
				title: "A member of the answer is of the wrong type (jti is a number)", caseID: "D2", status: http.StatusServiceUnavailable, reason: bearergate.ReasonIntrospectionUnavailable,
				wrong:  func(y *try) { y.answers(map[string]any{"jti": 1}) },
				mended: "The server writes a string.", mend: func(y *try) { y.answers(map[string]any{"jti": "1"}) },
			},
			{
				title: "The answer has scopes as an array", status: http.StatusServiceUnavailable, reason: bearergate.ReasonIntrospectionUnavailable,
				wrong:  claim("scope", []string{"orders:read"}),
				mended: "AllowScopeArray is set.", mend: func(y *try) { y.opaque.AllowScopeArray = true },
			},
			{
				title: "The answer is for another API", status: http.StatusUnauthorized, reason: bearergate.ReasonAudience,
				wrong:  claim("aud", "https://stock.example.test"),
				mended: "The client asks for this API.", mend: forUs,
			},
			{
				title: "The answer has no audience", status: http.StatusUnauthorized, reason: bearergate.ReasonMissingClaim,
				wrong:  func(y *try) { y.answers(map[string]any{"aud": nil}) },
				mended: "The server puts this API into aud.", mend: func(y *try) { y.answers(nil) },
			},
			{
				title: "The server says that the token is no Bearer token", status: http.StatusUnauthorized, reason: bearergate.ReasonBinding,
				wrong:  claim("token_type", "DPoP"),
				mended: "The client sends an access token of the kind Bearer.", mend: claim("token_type", "Bearer"),
			},
			{
				title: "The endpoint is not where Endpoint says", status: http.StatusServiceUnavailable, reason: bearergate.ReasonIntrospectionUnavailable,
				wrong:  func(y *try) { y.opaque.Endpoint = issuer + "/oauth2/introspect" },
				mended: "Endpoint is left out, and discovered.", mend: func(y *try) { y.opaque.Endpoint = "" },
			},
			{
				title: "The metadata have no introspection endpoint", status: http.StatusServiceUnavailable, reason: bearergate.ReasonIntrospectionUnavailable,
				server: []authtest.Option{authtest.WithMetadata(map[string]any{"introspection_endpoint": nil})},
				wrong:  func(*try) {},
				mended: "Endpoint is set.", mend: func(y *try) { y.opaque.Endpoint = y.as.URL("/introspect") },
			},
			{
				title: "The server is down", status: http.StatusServiceUnavailable, reason: bearergate.ReasonIntrospectionUnavailable,
				wrong:  func(y *try) { y.as.Fail(authtest.Fault{Path: "/introspect", Status: http.StatusInternalServerError}) },
				mended: "It is up again.", mend: func(y *try) { y.as.Fail(authtest.Fault{}) },
			},
		},
	}
}
