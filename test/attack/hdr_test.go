package attack_test

import (
	"errors"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// hdrRows attack the request: RFC 6750 §2 and §3.1.
func hdrRows() []row {
	const form = "Content-Type: application/x-www-form-urlencoded"
	auth := func(values ...string) request {
		var out []string
		for _, v := range values {
			out = append(out, "Authorization: "+v)
		}
		return lines(out...)
	}
	bearer := auth("Bearer {t}")
	return []row{
		// req: R6750-01
		r("HDR-001", "the scheme as it is registered", bearer, ok),
		r("HDR-002", "the scheme in lower case", auth("bearer {t}"), ok),
		r("HDR-003", "the scheme in upper case", auth("BEARER {t}"), ok),
		r("HDR-004", "the scheme in mixed case", auth("bEaReR {t}"), ok),
		r("HDR-005", "two spaces (RFC 6750 §2.1: 1*SP)", auth("Bearer  {t}"), ok),
		r("HDR-006", "white space before and after the field value (RFC 9110 §5.5: not part of it)", auth("  Bearer {t} \t "), ok),
		r("HDR-007", "no Authorization header", lines(), noToken),
		r("HDR-008", "an empty Authorization header", auth(""), noToken),
		r("HDR-009", "the scheme and nothing", auth("Bearer "), badRequest),
		r("HDR-010", "the scheme without a space", auth("Bearer"), badRequest),
		r("HDR-011", "a tab instead of the space", auth("Bearer\t{t}"), badRequest),
		r("HDR-012", "no space before the token", auth("Bearer{t}"), noToken),
		r("HDR-013", "the scheme twice", auth("Bearer Bearer {t}"), badRequest),
		r("HDR-014", "Basic credentials", auth("Basic dXNlcjpwYXNz"), noToken),
		r("HDR-015", "the token as Basic credentials", auth("Basic {t}"), noToken),
		r("HDR-016", "another scheme: Token", auth("Token {t}"), noToken),
		r("HDR-016b", "another scheme: JWT", auth("JWT {t}"), noToken),
		r("HDR-016c", "another scheme: MAC", auth("MAC {t}"), noToken),
		// Not a stranger, who could enter an optional route: a credential that nobody can check.
		r("HDR-016d", "another scheme: DPoP", auth("DPoP {t}"), noToken, overHTTP(unsupported)),
		r("HDR-016e", "another scheme: BearerX", auth("BearerX {t}"), noToken),
		r("HDR-016f", "another scheme: Negotiate", auth("Negotiate {t}"), noToken),
		// req: R6750-04
		r("HDR-017", "two headers, identical", auth("Bearer {t}", "Bearer {t}"), badRequest),
		r("HDR-018", "two headers, good then bad", auth("Bearer {t}", "Bearer x"), badRequest),
		r("HDR-019", "two headers, bad then good", auth("Bearer x", "Bearer {t}"), badRequest),
		r("HDR-020", "two headers, Basic then Bearer", auth("Basic dXNlcjpwYXNz", "Bearer {t}"), badRequest),
		r("HDR-021", "two headers, the first empty", auth("", "Bearer {t}"), badRequest),
		r("HDR-022", "two headers, the names in other cases", lines("Authorization: Bearer {t}", "AUTHORIZATION: Bearer {t}"), badRequest),
		r("HDR-023", "double quotes in the token", auth(`Bearer an"invalid"token`), badRequest),
		r("HDR-024", "two tokens with a comma", auth("Bearer {t}, Bearer {t}"), badRequest),
		r("HDR-024b", "two tokens with a comma and no space", auth("Bearer {t},{t}"), badRequest),
		r("HDR-025", "a token that is no JWT", auth("Bearer test-token=="), bad(malformed)),
		r("HDR-026", "64 KiB of token", auth("Bearer "+strings.Repeat("a", 64<<10)), bad(tooLarge)),
		r("HDR-026b", "16 KiB and one byte", exactly(16<<10).then(func(h, p, s string) string { return h + "." + p + "." + s + "A" }), bad(tooLarge)),
		r("HDR-026c", "a valid token of more than 16 KiB", exactly(16<<10+4), bad(tooLarge)),
		r("HDR-026d", "a valid token of more than MaxTokenBytes", exactly(2049), bad(tooLarge), conf(func(c *jwtverify.Config) { c.MaxTokenBytes = 2048 })),
		r("HDR-026e", "a valid token of MaxTokenBytes", exactly(2048), ok, conf(func(c *jwtverify.Config) { c.MaxTokenBytes = 2048 })),
		r("HDR-027", "2 MiB of token: more than net/http reads", auth("Bearer "+strings.Repeat("a", 2<<20)), wire(431)),
		// req: R6750-03, R9700-08
		r("HDR-028", "the token in the query", lines().ask("access_token={t}"), noToken),
		r("HDR-028b", "the token in the query beside a header: not read", bearer.ask("access_token=x"), ok),
		r("HDR-028c", "the token in the query beside bad credentials", auth("Bearer x").ask("access_token={t}"), bad(malformed)),
		r("HDR-028d", "the token in the query under other names", lines().ask("token={t}&bearer_token={t}&jwt={t}&authorization=Bearer+{t}"), noToken),
		// req: R6750-02: there is no body transport
		r("HDR-029", "the token in a form", lines(form).by("POST").with("access_token={t}"), noToken),
		r("HDR-030", "the token in a form of a PUT", lines(form).by("PUT").with("access_token={t}"), noToken),
		r("HDR-031", "the token in a form beside a header: the body is the handler's", lines("Authorization: Bearer {t}", form).by("POST").with("access_token=x"), ok),
		r("HDR-032", "the token in a form beside bad credentials", lines("Authorization: Bearer x", form).by("POST").with("access_token={t}"), bad(malformed)),
		r("HDR-033", "the token in the body of a GET", lines(form).with("access_token={t}"), noToken),
		r("HDR-033b", "the token in multipart/form-data", lines("Content-Type: multipart/form-data; boundary=b").by("POST").
			with("--b\r\nContent-Disposition: form-data; name=\"access_token\"\r\n\r\n{t}\r\n--b--\r\n"), noToken),
		r("HDR-033c", "the token in JSON", lines("Content-Type: application/json").by("POST").with(`{"access_token":"{t}"}`), noToken),
		r("HDR-034", "the token in a cookie", lines("Cookie: access_token={t}; Authorization=Bearer {t}; token={t}"), noToken),
		r("HDR-035", "Proxy-Authorization", lines("Proxy-Authorization: Bearer {t}"), noToken),
		r("HDR-036", "headers of proxies and of other products", lines("X-Authorization: Bearer {t}", "X-Access-Token: {t}", "X-Forwarded-Access-Token: {t}",
			"X-Original-Authorization: Bearer {t}", "X-Forwarded-Authorization: Bearer {t}", "Authorization-Token: {t}", "X-Api-Key: {t}"), noToken),
		r("HDR-037", "a WebSocket subprotocol", lines("Sec-WebSocket-Protocol: bearer, {t}"), noToken),
		r("HDR-038", "Authorization in a trailer", lines("Transfer-Encoding: chunked", "Trailer: Authorization").by("POST").with("0\r\nAuthorization: Bearer {t}\r\n\r\n"), noToken),
		r("HDR-039", "a header folded over two lines (RFC 9112 §5.2: a server makes it a space)", lines("Authorization: Bearer\r\n {t}"), ok),
		r("HDR-039b", "a token folded over two lines", auth("Bearer abc\r\n def"), badRequest),
		r("HDR-040", "white space before the colon", lines("Authorization : Bearer {t}"), wire(400)),
		r("HDR-041", "an underscore instead of a hyphen, other spellings", lines("Authorisation: Bearer {t}", "HTTP_AUTHORIZATION: Bearer {t}", "Http-Authorization: Bearer {t}"), noToken),
		r("HDR-042", "NUL in the token", auth("Bearer abc\x00def"), wire(400)),
		r("HDR-043", "a control character in the token", auth("Bearer abc\x01def"), wire(400)),
		r("HDR-044", "bytes above ASCII in the token", auth("Bearer abc\xff\xfe"), badRequest),
		r("HDR-045", "a colon after the scheme", auth("Bearer: {t}"), badRequest),
		r("HDR-045b", "an equals sign after the scheme", auth("Bearer={t}"), badRequest),
		r("HDR-046", "auth-params instead of a token", auth(`Bearer token="{t}"`), badRequest),
		r("HDR-046b", "an auth-param after the token", auth(`Bearer {t} realm="x"`), badRequest),
		r("HDR-047", "equals signs before the end", auth("Bearer a=b"), badRequest),
		r("HDR-047b", "nothing but equals signs", auth("Bearer =="), badRequest),
		r("HDR-048", "percent-encoding", auth("Bearer%20{t}"), noToken),
		r("HDR-048b", "a percent-encoded token", auth("Bearer %65%79"), badRequest),
		r("HDR-049", "the scheme in letters that fold to it", auth("Ｂearer {t}"), noToken),
		r("HDR-050", "the scheme in quotes", auth(`"Bearer" {t}`), noToken),
		r("HDR-051", "a no-break space after the scheme", auth("Bearer\u00a0{t}"), badRequest),
		r("HDR-052", "the words that broken clients send", auth("Bearer null"), bad(malformed)),
		r("HDR-052b", "undefined", auth("Bearer undefined"), bad(malformed)),
		r("HDR-052c", "[object Object]", auth("Bearer [object Object]"), badRequest),
		r("HDR-053", "the characters of b64token, all of them", auth("Bearer azAZ09-._~+/=="), bad(malformed)),
		r("HDR-054", "a semicolon after the token", auth("Bearer {t};"), badRequest),
		r("HDR-055", "HEAD without a token", lines().by("HEAD"), noToken),
		r("HDR-055b", "HEAD with a bad token", auth("Bearer x").by("HEAD"), bad(malformed)),
		r("HDR-055c", "HEAD with a good token", bearer.by("HEAD"), ok),
		r("HDR-056", "OPTIONS without a token: a preflight is answered outside the gate", lines("Origin: https://x", "Access-Control-Request-Method: GET").by("OPTIONS"), noToken),
		r("HDR-057", "a method nobody knows", lines().by("FOO"), noToken),
		r("HDR-057b", "a method nobody knows, with a token", bearer.by("FOO"), ok),
		r("HDR-058", "X-HTTP-Method-Override", lines("X-HTTP-Method-Override: OPTIONS", "X-Original-URL: /public", "X-Forwarded-User: admin").by("POST"), noToken),
		r("HDR-059", "Expect: 100-continue without a token", lines("Expect: 100-continue", "Content-Length: 5").by("POST"), noToken),
		r("HDR-060", "Connection names Authorization: the gate is no proxy", lines("Authorization: Bearer {t}", "Connection: Authorization"), ok),
		r("HDR-061", "the token in the fragment of the target", lines().ask("a#access_token={t}"), noToken),
		r("HDR-062", "userinfo in the target", lines().ask("Bearer:{t}@rs.example.com"), noToken),
		r("HDR-063", "100 Authorization headers", auth(append(make([]string, 99), "Bearer {t}")...), badRequest),
		r("HDR-064", "the token with a space at its end", valid().then(func(h, p, s string) string { return h + "." + p + "." + s + " " }), bad(malformed), overHTTP(ok)),
	}
}

// resRows are about the answer, whatever the token: RFC 6750 §3.
func resRows() []row {
	verifier := func(f bearergate.VerifierFunc) func(*row) { return by(f) }
	fails := func(err error) func(*row) {
		return verifier(func(ctx ctx, _ string) (*bearergate.Token, error) { return nil, err })
	}
	anything := bearergate.NewToken(bearergate.Claims{Issuer: issuer, Scopes: scope.Of("read")})
	return []row{
		// req: R6750-05, R6750-07, R6750-08, R6750-09, R9068-07 (what every row asserts, here once by name)
		r("RES-001", "a refusal has a challenge", valid().clm("exp", at(-100)), bad(expired)),
		r("RES-002", "no token: a challenge without error code", lines(), noToken),
		r("RES-003", "malformed credentials", lines("Authorization: Bearer"), badRequest),
		r("RES-004", "a scope is missing: the challenge names it", valid().clm("scope", `"write"`), noScope),
		r("RES-005", "several scopes are missing: the challenge names them all", valid(), noScope, needs(scope.All("admin", "read", "write"))),
		r("RES-006", "Cache-Control: no-store on a refusal", valid().clm("iss", `"x"`), bad(iss)),
		r("RES-007", "nothing of a token is reflected", valid().hdr("kid", `"<script>alert(1)</script>\r\nSet-Cookie: a=b"`), bad(unknownKey)),
		r("RES-007b", "nothing of a claim is reflected", valid().clm("iss", `"\",error=\"\r\nX: y"`), bad(iss)),
		r("RES-008", "the verifier panics", nil, broken, verifier(func(ctx, string) (*bearergate.Token, error) { panic("attack") })),
		r("RES-008b", "the verifier panics with an error of ours", nil, broken, verifier(func(ctx, string) (*bearergate.Token, error) { panic(bearergate.ErrInvalidToken) })),
		r("RES-009", "the verifier returns nothing", nil, broken, fails(nil)),
		r("RES-010", "the verifier returns a token beside an error", nil, bad(policy), verifier(func(ctx, string) (*bearergate.Token, error) { return anything, bearergate.ErrInvalidToken })),
		r("RES-011", "the verifier returns an error of its own", nil, broken, fails(errForeign)),
		r("RES-012", "the verifier returns two sentinels", nil, broken, fails(errTwo)),
		r("RES-013", "the verifier returns the zero Token", nil, broken, verifier(func(ctx, string) (*bearergate.Token, error) { return new(bearergate.Token), nil })),
		r("RES-014", "the verifier returns a nil *Error", nil, broken, fails((*bearergate.Error)(nil))),
		r("RES-015", "the verifier returns an Error without Kind", nil, broken, fails(&bearergate.Error{Reason: bearergate.ReasonExpired}), reason(bearergate.ReasonExpired)),
		r("RES-016", "an outage: 503 without a challenge", nil, down, fails(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable})),
		r("RES-017", "an outage for an hour: Retry-After is at most a minute", nil, down, fails(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, RetryAfter: 1 << 52})),
		r("RES-018", "scopes that cannot stand in a header", nil, noScope, needs(scope.Requirement{}),
			fails(&bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope, Scopes: []string{"a\"b", "\r\nX: y", "ä", ""}})),
		r("RES-019", "revoked", nil, bad(bearergate.ReasonRevoked), needs(scope.All("read")), fails(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked})),
		r("RES-020", "the verifier says that there is no token", nil, noToken, fails(bearergate.ErrMissingToken)),
		r("RES-021", "a requirement built wrongly closes the route", valid(), verdict{status: 500, reason: bearergate.ReasonConfig}, needs(scope.All()), by(bearergate.VerifierFunc(func(ctx, string) (*bearergate.Token, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig}
		}))),
		r("RES-022", "a route that requires nothing still requires a token", lines(), noToken, needs(scope.Requirement{})),
		r("RES-023", "a route that requires nothing still refuses a bad token", valid().clm("exp", at(-100)), bad(expired), needs(scope.Requirement{})),
		r("RES-024", "any of several scopes", valid(), ok, needs(scope.Any("write", "read"))),
		r("RES-025", "none of several scopes", valid(), noScope, needs(scope.Any("write", "admin"))),
	}
}

var (
	errForeign = errors.New("attack: an error that belongs to nobody")
	errTwo     = errors.Join(bearergate.ErrInvalidToken, bearergate.ErrUnavailable)
)

// reason replaces the Reason that the row asks for.
func reason(r bearergate.Reason) func(*row) { return func(row *row) { row.want.reason = r } }
