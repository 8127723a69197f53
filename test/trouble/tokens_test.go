package trouble_test

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
)

// asIssued sends the token as the server issued it.
func asIssued(y *try) {
	y.alter = func(token string) string { return token }
	y.authorization = func(token string) []string { return []string{"Bearer " + token} }
}

// header is what the client sends, with TOKEN where the token is.
func header(values ...string) func(*try) {
	return func(y *try) {
		y.authorization = func(token string) []string {
			var all []string
			for _, value := range values {
				all = append(all, strings.ReplaceAll(value, "TOKEN", token))
			}
			return all
		}
	}
}

// altered changes the token on its way.
func altered(change func(token string) string) func(*try) {
	return func(y *try) { y.alter = change }
}

// claim sets a claim; nil takes it away.
func claim(name string, value any) func(*try) {
	return func(y *try) {
		y.claims[name] = value
		if value == nil {
			delete(y.claims, name)
		}
	}
}

// plain has the server write typ JWT, as most do: then the claims have to show what
// kind of token it is.
func plain(y *try) { y.header["typ"] = "JWT" }

// both makes two mutations one.
func both(first, second func(*try)) func(*try) {
	return func(y *try) {
		first(y)
		second(y)
	}
}

// replaced sends what is no token of the server's.
func replaced(token string) func(*try) {
	return func(y *try) { y.token = func() string { return token } }
}

// accessToken has the client send its access token.
func accessToken(y *try) {
	delete(y.header, "typ")
	for _, mark := range []string{"at_hash", "nonce", "typ", "token_use"} {
		delete(y.claims, mark)
	}
	y.token = nil
}

func tokens() area {
	const access = "The client sends the access token."
	return area{
		title: "Tokens that are not what they seem",
		about: "What arrives is no token, not a whole one, or one of another kind.",
		rows: []row{
			{
				title: "The client says that it sends a token, and none arrives", status: http.StatusUnauthorized, reason: bearergate.ReasonNoToken,
				wrong:  func(y *try) { y.authorization = func(string) []string { return nil } },
				mended: "The header arrives.", mend: asIssued,
			},
			{
				title: "The client sends a user and a password (Basic)", status: http.StatusUnauthorized, reason: bearergate.ReasonNoToken,
				wrong:  header("Basic c2hvcDpwYXNzd29yZA=="),
				mended: "The client sends Bearer and its token.", mend: asIssued,
			},
			{
				title: "The client uses DPoP, and the gate has no Binding for it", status: http.StatusUnauthorized, reason: bearergate.ReasonBinding,
				wrong:  header("DPoP TOKEN"),
				mended: "The client sends its token under Bearer.", mend: asIssued,
			},
			{
				title: "Two Authorization headers arrive", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong:  header("Bearer TOKEN", "Bearer TOKEN"),
				mended: "The client sends one.", mend: asIssued,
			},
			{
				title: "The word Bearer is there twice", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong:  header("Bearer Bearer TOKEN"),
				mended: "The client writes Bearer once.", mend: asIssued,
			},
			{
				title: "The token is in quotation marks", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong:  altered(func(token string) string { return `"` + token + `"` }),
				mended: "The client sends it without them.", mend: asIssued,
			},
			{
				title: "The token ends with a line break", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong:  altered(func(token string) string { return token + "\n" }),
				mended: "The client trims what it reads from its file.", mend: asIssued,
				twin: "The word Bearer is there twice",
			},
			{
				title: "The token is percent-encoded", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong:  altered(func(token string) string { return strings.ReplaceAll(token, ".", "%2E") }),
				mended: "The client sends it as it was issued.", mend: asIssued,
			},
			{
				title: "There is a scheme and no token behind it", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong:  header("Bearer "),
				mended: "The variable with the token is set.", mend: asIssued,
			},
			{
				title: "At hand: the text begins with the word Bearer", reason: bearergate.ReasonMalformed,
				wrong:  altered(func(token string) string { return "Bearer " + token }),
				mended: "Explain is given the token alone.", mend: asIssued,
			},
			{
				title: "At hand: the text is in quotation marks", reason: bearergate.ReasonMalformed,
				wrong:  altered(func(token string) string { return `"` + token + `"` }),
				mended: "Explain is given the token without them.", mend: asIssued,
				twin: "At hand: the text begins with the word Bearer",
			},
			{
				title: "At hand: there is a line break within the text", reason: bearergate.ReasonMalformed,
				wrong:  altered(func(token string) string { return token[:60] + "\n" + token[60:] }),
				mended: "Explain is given the token in one piece.", mend: asIssued,
				twin: "At hand: the text begins with the word Bearer",
			},
			{
				title: "At hand: the text is percent-encoded", reason: bearergate.ReasonMalformed,
				wrong:  altered(func(token string) string { return strings.ReplaceAll(token, ".", "%2E") }),
				mended: "Explain is given the token as it was issued.", mend: asIssued,
				twin: "At hand: the text begins with the word Bearer",
			},
			{
				title: "At hand: the text is the whole response of the token endpoint", reason: bearergate.ReasonMalformed,
				wrong:  altered(func(token string) string { return `{"access_token":"` + token + `","token_type":"Bearer"}` }),
				mended: "Explain is given the value of access_token.", mend: asIssued,
				twin: "At hand: the text begins with the word Bearer",
			},
			{
				title: "The token is opaque, and a JWT is expected", status: http.StatusUnauthorized, reason: bearergate.ReasonMalformed,
				wrong:  replaced("2YotnFZFEjr1zCsicMWpAA.tGzv3JOkF0XG5Qx2TlKWIA"),
				mended: "The client names this API when it asks, and gets a JWT.", mend: accessToken,
			},
			{
				title: "Auth0 issues an encrypted token in five parts", caseID: "D5", status: http.StatusUnauthorized, reason: bearergate.ReasonMalformed,
				wrong: replaced(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM","iss":"https://tenant.auth0.com/"}`)) +
					"..48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4.XFBoMYUZodetZdvTiFvSkQ"),
				mended: "The client sends the parameter audience, and gets a signed token for this API.", mend: accessToken,
			},
			{
				title: "The token is signed with HS256", status: http.StatusUnauthorized, reason: bearergate.ReasonAlgorithm,
				wrong:  func(y *try) { y.unsigned(map[string]any{"alg": "HS256", "typ": "JWT"}, strings.Repeat("A", 43)) },
				mended: "The server signs with ES256.", mend: accessToken,
			},
			{
				title: "The token says alg none", status: http.StatusUnauthorized, reason: bearergate.ReasonAlgorithm,
				wrong:  func(y *try) { y.unsigned(map[string]any{"alg": "none", "typ": "JWT"}, "") },
				mended: "The server signs.", mend: accessToken,
			},
			{
				title: "The server signs with ES512, which is not among the default Algorithms", status: http.StatusUnauthorized, reason: bearergate.ReasonAlgorithm,
				server: []authtest.Option{authtest.WithAlgorithms("ES512")},
				wrong:  func(*try) {},
				mended: "Algorithms names ES512.", mend: func(y *try) { y.jwt.Algorithms = []string{"ES512"} },
			},
			{
				title: "The client sends its DPoP proof for the token", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong:  func(y *try) { y.header["typ"] = "dpop+jwt" },
				mended: access, mend: accessToken,
			},
			{
				title: "The token is a logout token", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong:  func(y *try) { y.header["typ"] = "logout+jwt" },
				mended: access, mend: accessToken,
			},
			{
				title: "The client sends its ID token (it has an at_hash)", caseID: "D6", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong:  both(plain, claim("at_hash", "77QmUPtjPfzWtF2AnpK9RQ")),
				mended: access, mend: accessToken,
			},
			{
				title: "The client sends its ID token (it has a nonce)", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong:  both(plain, claim("nonce", "n-0S6_WzA2Mj")),
				mended: access, mend: accessToken,
			},
			{
				title: "The client sends Cognito's ID token", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong:  both(plain, claim("token_use", "id")),
				mended: access, mend: accessToken,
			},
			{
				title: "The client sends Keycloak's refresh token", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong:  both(plain, claim("typ", "Refresh")),
				mended: access, mend: accessToken,
			},
			{
				title: "The client sends a refresh token (token_use)", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong:  both(plain, claim("token_use", "refresh")),
				mended: access, mend: accessToken,
			},
			{
				title: "The Profile is RFC9068, and the server writes typ JWT", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong: func(y *try) {
					plain(y)
					y.jwt.Profile = jwtverify.RFC9068
				},
				mended: "The server writes at+jwt.", mend: accessToken,
			},
			{
				title: "The Profile is RFC9068, and the server writes no client_id", status: http.StatusUnauthorized, reason: bearergate.ReasonMissingClaim,
				wrong: func(y *try) {
					delete(y.claims, "client_id")
					y.jwt.Profile = jwtverify.RFC9068
				},
				mended: "The Profile is AccessToken.", mend: func(y *try) { y.jwt.Profile = jwtverify.AccessToken },
			},
			{
				title: "A claim of RequiredClaims is missing", status: http.StatusUnauthorized, reason: bearergate.ReasonMissingClaim,
				wrong:  func(y *try) { y.jwt.RequiredClaims = []string{"tenant_id"} },
				mended: "The server writes it.", mend: claim("tenant_id", "acme"),
			},
			{
				title: "A claim is of the wrong type (exp is a string)", status: http.StatusUnauthorized, reason: bearergate.ReasonMalformed,
				wrong:  claim("exp", "2000-01-01T01:00:00Z"),
				mended: "The server writes seconds.", mend: claim("exp", 946688400),
			},
			{
				title: "The token is too long", status: http.StatusUnauthorized, reason: bearergate.ReasonTooLarge,
				wrong: func(y *try) {
					var groups []string
					for range 500 {
						groups = append(groups, "CN=orders-readers,OU=groups,DC=example,DC=test")
					}
					y.claims["groups"] = groups
				},
				mended: "The server leaves the groups out.", mend: claim("groups", nil),
			},
			{
				title: "The signature is cut off", status: http.StatusUnauthorized, reason: bearergate.ReasonSignature,
				wrong:  altered(func(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }),
				mended: "The client sends the whole token.", mend: asIssued,
			},
			{
				title: "The token was copied without its last part", status: http.StatusUnauthorized, reason: bearergate.ReasonMalformed,
				wrong:  altered(func(token string) string { return token[:strings.LastIndexByte(token, '.')] }),
				mended: "The client sends the whole token.", mend: asIssued,
				twin: "The token is opaque, and a JWT is expected",
			},
			{
				title: "The end of the token is cut off", status: http.StatusUnauthorized, reason: bearergate.ReasonSignature,
				wrong:  altered(func(token string) string { return token[:len(token)-22] }),
				mended: "The client sends the whole token.", mend: asIssued,
			},
			{
				title: "The token is encoded in plain base64", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong: altered(func(token string) string {
					parts := strings.Split(token, ".")
					parts[1] += "=="
					return strings.Join(parts, ".")
				}),
				mended: "Nothing on the way encodes it anew.", mend: asIssued,
			},
		},
	}
}
