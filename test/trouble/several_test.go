package trouble_test

import (
	"maps"
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// behindRouter puts a router in front of the verifier of JWTs.
func behindRouter(y *try) {
	y.verifier = func() (bearergate.Verifier, error) {
		v, err := jwtverify.New(y.jwt)
		require.NoError(y.t, err)
		c := y.router
		c.Issuers = map[string]bearergate.Verifier{y.jwt.Issuer: v}
		maps.Copy(c.Issuers, y.router.Issuers)
		return issuers.NewRouter(c)
	}
}

func several() area {
	return area{
		title: "Several issuers",
		about: "An issuers.Router chooses the verifier, and finds none, or asks a second one.",
		base:  behindRouter,
		rows: []row{
			{
				title: "The router does not know the issuer", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				wrong:  another("https://partner.example.test"),
				mended: "The issuer has a verifier.", mend: func(y *try) {
					partner := y.from
					v, err := jwtverify.New(jwtverify.Config{Issuer: partner.Issuer(), Audiences: []string{api}, HTTPClient: partner.Client()})
					require.NoError(y.t, err)
					y.router.Issuers = map[string]bearergate.Verifier{partner.Issuer(): v}
				},
			},
			{
				title: "An opaque token arrives, and there is no verifier for such", status: http.StatusUnauthorized, reason: bearergate.ReasonMalformed,
				wrong: func(y *try) {
					byIntrospection(y)
					behindRouter(y)
				},
				mended: "Opaque is an introspect.Client.", mend: func(y *try) {
					v, err := introspect.New(y.opaque)
					require.NoError(y.t, err)
					y.router.Opaque = v
				},
			},
			{
				title: "A key of Issuers differs from the token by a slash", caseID: "D7", status: http.StatusUnauthorized, reason: bearergate.ReasonIssuer,
				wrong: func(y *try) {
					y.keysAt(jwks.Config{})
					y.claims["iss"] = issuer + "/"
				},
				mended: "The key and the verifier have the slash.", mend: func(y *try) { y.jwt.Issuer += "/" },
			},
			{
				title: "The token has no issuer", status: http.StatusUnauthorized, reason: bearergate.ReasonMissingClaim,
				wrong:  claim("iss", nil),
				mended: "The server writes it.", mend: claim("iss", issuer),
			},
		},
	}
}
