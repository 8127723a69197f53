package attack_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
)

// notDates are JSON values that are no NumericDate.
func notDates() []string {
	return []string{
		`null`, strconv.Quote(at(3600)), `true`, `false`, `[]`, `{}`, `""`, `-1`, `-0`, `-0.0`, `1e400`, `1e300`, `1E+15`, `9e18`, `-1e3`,
		`253402300800`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `99999999999999999999999`,
		`"1e10"`, `"2038-01-19T03:14:07Z"`, `[` + at(3600) + `]`, `{"exp":` + at(3600) + `}`, `" "`, `"abc"`, `1e999999999999999999999`, `-1e-400`, at(0) + `000`,
		`253402300799.5e1`, `1800003600000`, `1.8e12`,
	}
}

// timRows attack the times: RFC 7519 §4.1.4 to §4.1.6.
func timRows() []row {
	exp := func(v string) jwt { return valid().clm("exp", v) }
	nbf := func(v string) jwt { return valid().clm("nbf", v) }
	iat := func(v string) jwt { return valid().clm("iat", v) }
	frac := func(seconds int64, decimals string) string { return at(seconds) + "." + decimals }
	var rows []row
	for i, v := range notDates() {
		required, optional := bad(malformed), bad(malformed)
		if v == `null` { // servers send it for what there is not; what is required is then missing
			required, optional = bad(missingClaim), ok
		}
		rows = append(rows, r(fmt.Sprintf("TIM-001.%02d", i+1), "exp "+v, exp(v), required))
		rows = append(rows,
			r(fmt.Sprintf("TIM-031.%02d", i+1), "nbf "+v, nbf(v), optional),
			r(fmt.Sprintf("TIM-039.%02d", i+1), "iat "+v, iat(v), required))
	}
	minute := leeway(time.Minute)
	return append(rows,
		// req: R7519-05, R9068-06, R6750-13
		r("TIM-010", "no exp", valid().noClm("exp"), bad(missingClaim)),
		r("TIM-011", "exp 0", exp(`0`), bad(expired)),
		r("TIM-011b", "exp 0e5", exp(`0e5`), bad(expired)),
		r("TIM-012", "exp 1", exp(`1`), bad(expired)),
		r("TIM-012b", "exp a day ago", exp(at(-86400)), bad(expired)),
		r("TIM-013", "exp with a fraction", exp(frac(60, "5")), ok),
		r("TIM-013b", "exp as 1.8000036e9", exp(`1.8000036e9`), ok),
		r("TIM-013c", "exp as 18000036E+2", exp(`18000036E+2`), ok),
		r("TIM-013d", "exp as 180000360000e-2", exp(`180000360000e-2`), ok),
		r("TIM-013e", "exp as 0.18000036e10", exp(`0.18000036e10`), ok),
		r("TIM-013f", "exp as 1.7e9: expired", exp(`1.7e9`), bad(expired)),
		r("TIM-013g", "exp as 180000.3600: expired", exp(`180000.3600`), bad(expired)),
		r("TIM-013h", "exp as 18000036000e-10: expired", exp(`18000036000e-10`), bad(expired)),
		r("TIM-013i", "exp as 1e-400: expired", exp(`1e-400`), bad(expired)),
		r("TIM-014", "exp the last second of 9999", exp(`253402300799`), ok),
		r("TIM-014b", "exp in 2038", exp(`2147483648`), ok),
		r("TIM-014c", "exp in 2106", exp(`4294967296`), ok),
		r("TIM-017", "exp now+1", exp(at(1)), ok),
		r("TIM-018", "exp now, without leeway", exp(at(0)), bad(expired), noLeeway),
		r("TIM-018b", "exp now+1, without leeway", exp(at(1)), ok, noLeeway),
		r("TIM-018c", "exp a nanosecond from now, without leeway", exp(frac(0, "000000001")), ok, noLeeway, shortLived),
		r("TIM-018d", "exp less than a nanosecond from now, without leeway", exp(frac(0, "0000000009")), bad(expired), noLeeway),
		r("TIM-018e", "exp a nanosecond ago, without leeway", exp(frac(-1, "999999999")), bad(expired), noLeeway),
		r("TIM-019", "exp now-5 with 5 s leeway, the default", exp(at(-5)), bad(expired)),
		r("TIM-019b", "exp now-4 with 5 s leeway", exp(at(-4)), ok),
		r("TIM-019c", "exp now-4.999999999 with 5 s leeway", exp(frac(-5, "000000001")), ok, shortLived),
		r("TIM-019d", "exp now-6 with 5 s leeway", exp(at(-6)), bad(expired)),
		r("TIM-026", "exp now-30 with 60 s leeway", exp(at(-30)), ok, minute),
		r("TIM-026b", "exp now-59 with 60 s leeway", exp(at(-59)), ok, minute),
		r("TIM-027", "exp now-61 with 60 s leeway", exp(at(-61)), bad(expired), minute),
		r("TIM-027b", "exp now-60 with 60 s leeway", exp(at(-60)), bad(expired), minute),
		r("TIM-028", "leeway of 5 min", exp(at(-299)), ok, leeway(5*time.Minute)),
		r("TIM-028b", "leeway of 5 min, past", exp(at(-300)), bad(expired), leeway(5*time.Minute)),
		r("TIM-029", "leeway of 1 h", nil, startup, leeway(time.Hour)),
		r("TIM-029b", "leeway of 5 min and 1 ns", nil, startup, leeway(5*time.Minute+1)),
		r("TIM-029c", "leeway below zero", nil, startup, leeway(-time.Second)),
		r("TIM-029d", "leeway and NoLeeway", nil, startup, leeway(time.Second), noLeeway),
		// req: R7519-06
		r("TIM-030", "nbf now", nbf(at(0)), ok),
		r("TIM-030b", "nbf now+5 with 5 s leeway", nbf(at(5)), ok),
		r("TIM-030c", "nbf now+6 with 5 s leeway", nbf(at(6)), bad(notYetValid)),
		r("TIM-030d", "nbf a nanosecond after now+5", nbf(frac(5, "000000001")), bad(notYetValid)),
		r("TIM-030e", "nbf now+1 without leeway", nbf(at(1)), bad(notYetValid), noLeeway),
		r("TIM-030f", "nbf now without leeway", nbf(at(0)), ok, noLeeway),
		r("TIM-030g", "nbf now+60 with 60 s leeway", nbf(at(60)), ok, minute),
		r("TIM-030h", "nbf now+61 with 60 s leeway", nbf(at(61)), bad(notYetValid), minute),
		r("TIM-033", "nbf in 9999", nbf(`253402300799`), bad(notYetValid)),
		r("TIM-036", "nbf 0", nbf(`0`), ok),
		r("TIM-036b", "nbf 1e0", nbf(`1e0`), ok),
		r("TIM-036c", "nbf after exp", nbf(at(4)).clm("exp", at(2)), ok),
		// req: R7519-07
		r("TIM-038", "iat in an hour", iat(at(3600)).clm("exp", at(7200)), bad(notYetValid)),
		r("TIM-038b", "iat now+5 with 5 s leeway", iat(at(5)), ok),
		r("TIM-038c", "iat now+6 with 5 s leeway", iat(at(6)), bad(notYetValid)),
		r("TIM-038d", "iat now+1 without leeway", iat(at(1)), bad(notYetValid), noLeeway),
		r("TIM-038e", "iat now+61 with 60 s leeway", iat(at(61)), bad(notYetValid), minute),
		r("TIM-038f", "iat 0", iat(`0`), ok),
		r("TIM-040", "no iat", valid().noClm("iat"), bad(missingClaim)),
		r("TIM-041", "iat with a fraction", iat(frac(-1, "25")), ok),
		r("TIM-042", "exp before iat, both within the leeway", iat(at(3)).clm("exp", at(-3)), ok),
		r("TIM-043", "a life of ten years, MaxTokenAge one hour", exp(at(315_360_000)), bad(policy), maxAge(time.Hour)),
		r("TIM-043b", "a life of MaxTokenAge", iat(at(-600)).clm("exp", at(3000)), ok, maxAge(time.Hour)),
		r("TIM-043c", "a life of MaxTokenAge and a second", iat(at(-600)).clm("exp", at(3001)), bad(policy), maxAge(time.Hour)),
		r("TIM-043d", "a life of ten years, no MaxTokenAge", exp(at(315_360_000)), ok),
		r("TIM-043e", "iat 0, MaxTokenAge one hour", iat(`0`), bad(policy), maxAge(time.Hour)),
		r("TIM-043f", "MaxTokenAge below zero", nil, startup, maxAge(-1)),
		r("TIM-043g", "MaxTokenAge, profile AccessToken, no iat", valid().noClm("iat"), bad(missingClaim), maxAge(time.Hour), accessToken),
		// No time, and StepUp then refuses: it protects nobody to refuse the token.
		r("TIM-044", "auth_time a string", valid().clm("auth_time", `"x"`), ok),
		r("TIM-044b", "auth_time below zero", valid().clm("auth_time", `-1`), ok),
		r("TIM-045", "expired and not yet valid", exp(at(-100)).clm("nbf", at(100)), bad(expired)),
		r("TIM-046", "exp as text in another claim", valid().noClm("exp").clm("expires_in", `3600`).clm("expires_at", at(3600)), bad(missingClaim)),
	)
}

func maxAge(d time.Duration) func(*row) {
	return conf(func(c *jwtverify.Config) { c.MaxTokenAge = d })
}

func accessToken(r *row) { conf(func(c *jwtverify.Config) { c.Profile = jwtverify.AccessToken })(r) }

// audRows attack the audience: RFC 7519 §4.1.3, RFC 8725 §3.9.
func audRows() []row {
	is := func(v string) jwt { return valid().clm("aud", v) }
	ours := strconv.Quote(audience)
	var rows []row
	// req: R7519-04, R8725-09, R9068-04, R6750-12, R9700-02
	for i, other := range []string{
		"https://other.example.com/", "https://rs.example.com", "https://rs.example.com/x", "https://rs.example.com//", "https://RS.example.com/", "HTTPS://rs.example.com/",
		"http://rs.example.com/", "https://rs.example.com:443/", "https://rs.example.com/,x", "https://rs.example.com/ https://x/", "https://rs.example.com/\x00", " https://rs.example.com/",
		"https://rs.example.com/ ", "rs.example.com", "https://rs.example.com./", "https://rs.example.com.evil.test/", "https://evil.test/https://rs.example.com/", "https://rs.example.com/?", "https://rs.example.com/#",
		"https://rs.example.com/*", "*", "https://*.example.com/", "https://rs.example.com%2F", "https://%72s.example.com/", "https://rs。example.com/", "https://rs.ехample.com/", "https://user@rs.example.com/",
		"client-1", "https://rs.example.com/./", "https://rs.example.com/../", "\t", "https://rs.example.com/\n", "https://rs.example.com/\u200b", "https:\\\\rs.example.com\\", "https", issuer,
	} {
		rows = append(rows, r(fmt.Sprintf("AUD-016.%02d", i+1), "aud "+strconv.Quote(other), is(jsonString(other)), bad(aud)))
	}
	return append(rows,
		r("AUD-001", "aud an array with ours", is("["+ours+"]"), ok),
		r("AUD-002", "aud an array with ours second", is(`["https://other.example.com/",`+ours+`]`), ok),
		r("AUD-002b", "aud an array with ours twice", is("["+ours+","+ours+"]"), ok),
		r("AUD-002c", "aud of 1 000 entries, ours the last", is("["+strings.Repeat(`"https://x/",`, 700)+ours+"]"), ok),
		r("AUD-003", "aud an empty array", is(`[]`), bad(missingClaim)),
		r("AUD-003b", "aud an empty array with a space", is(`[ ]`), bad(missingClaim)),
		r("AUD-004", "aud empty", is(`""`), bad(missingClaim)),
		r("AUD-005", "no aud", valid().noClm("aud"), bad(missingClaim)),
		r("AUD-006", "aud null", is(`null`), bad(missingClaim)),
		r("AUD-007", "aud a number", is(`5`), bad(malformed)),
		r("AUD-008", "aud true", is(`true`), bad(malformed)),
		r("AUD-009", "aud an object", is(`{`+ours+`:1}`), bad(malformed)),
		r("AUD-009b", "aud an empty object", is(`{}`), bad(malformed)),
		r("AUD-010", "aud an array of an array", is("[["+ours+"]]"), bad(malformed)),
		r("AUD-011", "aud with a number beside ours", is("["+ours+",5]"), bad(malformed)),
		r("AUD-012", "aud with null beside ours", is("["+ours+",null]"), bad(malformed)),
		r("AUD-012b", "aud with null before ours", is("[null,"+ours+"]"), bad(malformed)),
		r("AUD-012c", "aud with an object beside ours", is("["+ours+",{}]"), bad(malformed)),
		r("AUD-013", "aud an array of others", is(`["https://a/","https://b/"]`), bad(aud)),
		r("AUD-013b", "aud an array with an empty string", is(`[""]`), bad(aud)),
		r("AUD-014", "aud ours as a JSON text in a string", is(strconv.Quote("["+ours+"]")), bad(aud)),
		r("AUD-015", "ours in azp and in resource only", valid().clm("aud", `"x"`).clm("azp", ours).clm("resource", ours), bad(aud)),
		r("AUD-025", "ours with an escape", is(`"https:\/\/rs.ex\u0061mple.com/"`), ok),
		r("AUD-026", "aud true in an array", is(`[true]`), bad(malformed)),
		r("AUD-028", "no audience configured", nil, startup, conf(func(c *jwtverify.Config) { c.Audiences = nil })),
		r("AUD-028b", "an empty list configured", nil, startup, conf(func(c *jwtverify.Config) { c.Audiences = []string{} })),
		r("AUD-028c", "an empty audience configured", nil, startup, conf(func(c *jwtverify.Config) { c.Audiences = []string{""} })),
		r("AUD-028d", "an empty audience configured beside ours", nil, startup, conf(func(c *jwtverify.Config) { c.Audiences = []string{audience, ""} })),
		r("AUD-029", "a wrong audience and an expired token", valid().clm("aud", `"x"`).clm("exp", at(-100)), bad(aud)),
	)
}

// issRows attack the issuer: RFC 8725 §3.8, RFC 8414 §3.3.
func issRows() []row {
	is := func(v string) jwt { return valid().clm("iss", v) }
	var rows []row
	// req: R7519-03, R9068-03, R8414-05
	for i, other := range []string{
		"https://as.example.com", "https://AS.example.com/", "HTTPS://as.example.com/", "https://as.example.com//", "https://as.example.com/ ", " https://as.example.com/", "https://as.example.com/\x00", "https://as.example.com:443/",
		"http://as.example.com/", "https://as.example.com.evil.test/", "https://evil.test/https://as.example.com/", "https://as.example.com/tenant", "https://as.example.com/?x", "https://as.example.com/#x",
		"https://user@as.example.com/", "https://as.example.com@evil.test/", "https://as.example.com./", "https://as.example.com/./", "https://as.example.com/x/..", "https://%61s.example.com/", "https://as.example.com%2f",
		"as.example.com", "https://as.exаmple.com/", "https://as。example.com/", "https://as.example.com/\n", "https://as.example.com/\u200b", "\ufeffhttps://as.example.com/", "https://evil.test/", "https://as.example.com\\", "https:/as.example.com/", "*", "null",
	} {
		rows = append(rows, r(fmt.Sprintf("ISS-003.%02d", i+1), "iss "+strconv.Quote(other), is(jsonString(other)), bad(iss)))
	}
	umlaut := conf(func(c *jwtverify.Config) { c.Issuer = "https://as.example.com/ö" })
	issuerIs := func(s string) func(*row) { return conf(func(c *jwtverify.Config) { c.Issuer, c.Keys = s, nil }) }
	return append(rows,
		r("ISS-001", "no iss", valid().noClm("iss"), bad(missingClaim)),
		r("ISS-002", "iss null", is(`null`), bad(missingClaim)),
		r("ISS-011", "iss an array", is(`["`+issuer+`"]`), bad(malformed)),
		r("ISS-012", "iss true", is(`true`), bad(malformed)),
		r("ISS-013", "iss an empty array", is(`[]`), bad(malformed)),
		r("ISS-014", "iss empty", is(`""`), bad(missingClaim)),
		r("ISS-015", "iss a number", is(`5`), bad(malformed)),
		r("ISS-016", "iss an object", is(`{"a":1}`), bad(malformed)),
		r("ISS-017", "iss in NFC, as configured", is(`"https://as.example.com/ö"`), ok, umlaut),
		r("ISS-017b", "iss in NFD", is("\"https://as.example.com/o\u0308\""), bad(iss), umlaut),
		r("ISS-017c", "iss percent-encoded", is(`"https://as.example.com/%C3%B6"`), bad(iss), umlaut),
		r("ISS-017d", "iss with an escape", is(`"https://as.example.com/\u00f6"`), ok, umlaut),
		r("ISS-018", "a wrong issuer and a wrong audience", is(`"x"`).clm("aud", `"x"`), bad(iss)),
		r("ISS-018b", "a wrong issuer and a claim missing", is(`"x"`).noClm("sub"), bad(iss)),
		// req: R8725-07: the keys are those of the one issuer
		r("ISS-019", "signed by a key of another issuer, under its kid", from(evilRSA().as("b1", "RS256")), bad(unknownKey)),
		r("ISS-019b", "signed by a key of another issuer, under a kid of ours", from(evilRSA()), bad(signature)),
		r("ISS-019c", "a good token of another issuer", from(evilRSA().as("b1", "RS256")).clm("iss", `"https://b.example.com/"`), bad(iss)), // before any key is looked for
		r("ISS-020", "iss of another issuer, signed by ours", is(`"https://b.example.com/"`), bad(iss)),
		r("ISS-021", "no issuer configured", nil, startup, issuerIs("")),
		r("ISS-021b", "an http issuer configured", nil, startup, issuerIs("http://as.example.com/")),
		// Nothing is fetched from it: it is a name, as AD FS has one. Keys over http are another matter.
		r("ISS-021h", "an http issuer configured, with keys from elsewhere", is(`"http://as.example.com/"`), ok, conf(func(c *jwtverify.Config) { c.Issuer = "http://as.example.com/" })),
		r("ISS-021k", "an http issuer configured, with an http URL for its keys", nil, startup, conf(func(c *jwtverify.Config) {
			c.Issuer, c.Keys, c.KeysURL = "http://as.example.com/", nil, "http://as.example.com/keys"
		})),
		r("ISS-021i", "an http issuer on loopback", is(`"http://127.0.0.1:8080/"`), ok, conf(func(c *jwtverify.Config) { c.Issuer = "http://127.0.0.1:8080/" })),
		r("ISS-021j", "an http issuer whose name begins like localhost", nil, startup, issuerIs("http://localhost.evil.test/")),
		r("ISS-021c", "an issuer with a query configured", nil, startup, issuerIs("https://as.example.com/?x")),
		r("ISS-021d", "an issuer with a fragment configured", nil, startup, issuerIs("https://as.example.com/#x")),
		r("ISS-021e", "an issuer that is no URL configured", nil, startup, issuerIs("as.example.com")),
		r("ISS-021f", "an issuer with userinfo configured", nil, startup, issuerIs("https://a:b@as.example.com/")),
		r("ISS-021g", "the keys of another issuer configured", nil, startup, conf(func(c *jwtverify.Config) { c.Issuer = "https://b.example.com/"; c.Keys = otherIssuer{c.Keys} })),
		// req: R8414-01, R8414-04
		r("ISS-022", "metadata of another issuer", nil, down, metadata(metadataOf("https://b.example.com/", issuer+"jwks"))),
		r("ISS-022b", "metadata whose issuer lacks the slash", nil, down, metadata(metadataOf(strings.TrimSuffix(issuer, "/"), issuer+"jwks"))),
		r("ISS-022c", "metadata without issuer", nil, down, metadata(`{"jwks_uri":"`+issuer+`jwks"}`)),
		r("ISS-022d", "metadata whose issuer is an array", nil, down, metadata(`{"issuer":["`+issuer+`"],"jwks_uri":"`+issuer+`jwks"}`)),
		r("ISS-022e", "metadata with issuer twice", nil, down, metadata(`{"issuer":"x","issuer":"`+issuer+`","jwks_uri":"`+issuer+`jwks"}`)),
		r("ISS-022f", "metadata with Issuer instead of issuer", nil, down, metadata(`{"Issuer":"`+issuer+`","jwks_uri":"`+issuer+`jwks"}`)),
		r("ISS-023", "jwks_uri with http", nil, down, metadata(metadataOf(issuer, "http://as.example.com/jwks"))),
		r("ISS-023b", "jwks_uri that is no URL", nil, down, metadata(metadataOf(issuer, "jwks"))),
		r("ISS-023c", "jwks_uri with file", nil, down, metadata(metadataOf(issuer, "file:///etc/passwd"))),
		r("ISS-023d", "no jwks_uri", nil, down, metadata(`{"issuer":"`+issuer+`"}`)),
		r("ISS-023e", "jwks_uri with userinfo", nil, down, metadata(metadataOf(issuer, "https://a:b@as.example.com/jwks"))),
		r("ISS-023f", "metadata that is HTML", nil, down, metadata(`<html>`)),
		r("ISS-023g", "metadata that is null", nil, down, metadata(`null`)),
		r("ISS-024", "an outage is no verdict: a bad token gets 503 too", valid().signedBy(evilRSA()), down, metadata(`{}`)),
		r("ISS-024b", "what needs no key is refused during an outage", valid().noHdr("alg"), bad(malformed), overHTTP(bad(malformed)), fetched),
	)
}

// holderOf is a Binding that gives every sender of a scheme the same answer.
type holderOf struct {
	scheme bearergate.Scheme
	member string
	answer error
}

func (h holderOf) Scheme() bearergate.Scheme    { return h.scheme }
func (h holderOf) Members() []string            { return []string{h.member} }
func (h holderOf) Challenge() map[string]string { return nil }

func (h holderOf) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, h.answer
}

// clmRows attack the other claims: RFC 9068 §2.2, RFC 7800, RFC 8693.
func clmRows() []row {
	is := valid().clm
	var rows []row
	// req: R9068-09, R8725-08
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		rows = append(rows, r("CLM-100."+strings.ReplaceAll(name, "_", ""), "no "+name, valid().noClm(name), bad(missingClaim)))
	}
	for i, name := range []string{"sub", "client_id", "jti"} {
		for j, v := range []string{`5`, `true`, `["user-1"]`, `{"a":1}`, `[]`, `{}`, `0`, `1.5`} {
			rows = append(rows, r(fmt.Sprintf("CLM-00%d.%d", 4+i, j+1), name+" "+v, is(name, v), bad(malformed)))
		}
		rows = append(rows, r(fmt.Sprintf("CLM-00%d.e", 4+i), name+" empty", is(name, `""`), bad(missingClaim)))
	}
	// Keycloak, Ping and others name members of cnf that nobody here checks.
	promised := conf(func(c *jwtverify.Config) { c.Confirmations = []string{"x5t#S256", "jkt"} })
	bound := func(answer error) func(*row) {
		return gate(func(c *middleware.Config) {
			c.Bindings = []bearergate.Binding{holderOf{bearergate.SchemeBearer, "x5t#S256", answer}, holderOf{bearergate.SchemeDPoP, "jkt", answer}}
		})
	}
	confirms, refuses := bound(nil), bound(errForeign)
	for i, v := range []string{`"x"`, `[]`, `null`, `5`, `true`, `{}`, `{ }`, `""`, `["x"]`, `{"jkt":""}`, `{"jkt":null}`, `{"jkt":5}`, `{"x5t#S256":["a"]}`, `{"kid":1}`, `{"jwk":{}}`, `{"jkt":"a","x":null}`} {
		rows = append(rows, r(fmt.Sprintf("CLM-011.%02d", i+1), "cnf "+v, is("cnf", v), bad(malformed), promised, confirms))
	}
	for i, v := range []string{`{"jkt":"x"}`, `{"x5t#S256":"x"}`, `{"jwk":{"kty":"EC"}}`, `{"kid":"x"}`, `{"jku":"https://x/"}`, `{"unknown":1}`} {
		rows = append(rows, r(fmt.Sprintf("CLM-012.%d", i+1), "cnf "+v+" and no Confirmations", is("cnf", v), bad(binding), confirms))
	}
	for i, v := range []string{`5`, `true`, `["x"]`, `{}`, `null`} {
		// No acr, and StepUp then refuses: it protects nobody to refuse the token.
		rows = append(rows, r(fmt.Sprintf("CLM-013.%d", i+1), "acr "+v, is("acr", v), ok))
	}
	for i, v := range []string{`"x"`, `[]`, `null`, `5`, `{"sub":5}`, `{"iss":null}`, `{"client_id":[]}`, `{"act":null}`, `{"act":"x"}`, `{"sub":"a","act":{"sub":5}}`} {
		want := bad(malformed)
		if v == `null` { // nobody acts
			want = ok
		}
		rows = append(rows, r(fmt.Sprintf("CLM-014.%02d", i+1), "act "+v, is("act", v), want))
	}
	chain := func(n int) string {
		return strings.Repeat(`{"sub":"a","act":`, n-1) + `{"sub":"z"}` + strings.Repeat("}", n-1)
	}
	required := func(names ...string) func(*row) { return conf(func(c *jwtverify.Config) { c.RequiredClaims = names }) }
	return append(rows,
		r("CLM-002", "sub null", is("sub", `null`), bad(missingClaim)),
		r("CLM-003", "sub of white space", is("sub", `" "`), ok),
		r("CLM-008", "client_id null", is("client_id", `null`), bad(missingClaim)),
		r("CLM-008b", "cid, azp and appid instead of client_id", valid().noClm("client_id").clm("cid", `"c"`).clm("azp", `"c"`).clm("appid", `"c"`), bad(missingClaim)),
		r("CLM-010", "jti null", is("jti", `null`), bad(missingClaim)),
		// req: R8725-12: a bound token is not a bearer token
		r("CLM-012.a", "cnf that Config promises to check, and a Binding accepts", is("cnf", `{"x5t#S256":"x"}`), ok, promised, confirms),
		r("CLM-012.b", "cnf that Config promises to check, and the Binding refuses", is("cnf", `{"x5t#S256":"x"}`), ok, promised, refuses, overHTTP(bad(binding))),
		r("CLM-012.c", "cnf that Config promises to check, and there is no Binding", is("cnf", `{"x5t#S256":"x"}`), ok, promised, overHTTP(bad(binding))),
		r("CLM-012.h", "a token bound by DPoP as Bearer, whatever the Binding says", is("cnf", `{"jkt":"x"}`), ok, promised, confirms, overHTTP(bad(binding))),
		r("CLM-012.d", "cnf with one member that is promised and one that is not", is("cnf", `{"jkt":"x","jwk":{"kty":"EC"}}`), bad(binding), promised, confirms),
		r("CLM-012.e", "cnf with two members that are promised, as Bearer", is("cnf", `{"jkt":"x","x5t#S256":"y"}`), ok, promised, confirms, overHTTP(bad(binding))),
		r("CLM-012.f", "cnf with a member in another case", is("cnf", `{"JKT":"x"}`), bad(binding), promised, confirms),
		r("CLM-012.g", "CNF instead of cnf: an unknown claim", is("CNF", `{"jkt":"x"}`), ok),
		r("CLM-014b", "an act chain of 16", is("act", chain(16)), ok),
		r("CLM-014c", "an act chain of 17", is("act", chain(17)), bad(malformed)),
		r("CLM-014d", "an empty act", is("act", `{}`), ok),
		r("CLM-014e", "an act chain of 1,000", is("act", strings.Repeat(`{"act":`, 999)+`{}`+strings.Repeat("}", 999)), bad(malformed)),
		r("CLM-014f", "an act chain of 17, its name written with escapes", is("act", strings.ReplaceAll(chain(17), `"act"`, `"\u0061ct"`)), bad(malformed)),
		r("CLM-014g", "act as an array of actors", is("act", `[{"sub":"a"},{"sub":"b"}]`), bad(malformed)),
		r("CLM-014h", "an actor with two subs", is("act", `{"sub":"a","sub":"b"}`), bad(malformed)),
		r("CLM-014i", "an earlier actor with two subs", is("act", `{"sub":"a","act":{"sub":"b","sub":"c"}}`), bad(malformed)),
		r("CLM-014j", "an actor with a second sub by an escape", is("act", `{"sub":"a","\u0073ub":"b"}`), bad(malformed)),
		r("CLM-014k", "two chains in one act", is("act", `{"sub":"a","act":{"sub":"b"},"act":{"sub":"c"}}`), bad(malformed)),
		r("CLM-014l", "two acts", valid().clm("act", `{"sub":"a"},"act":{"sub":"b"}`), bad(malformed)),
		r("CLM-014m", "a sub that is an object", is("act", `{"sub":{"sub":"a"}}`), bad(malformed)),
		r("CLM-014n", "an array within the chain", is("act", `{"sub":"a","act":[{"sub":"b"}]}`), bad(malformed)),
		r("CLM-014o", "ACT instead of act: an unknown claim", is("ACT", `"x"`), ok),
		r("CLM-015", "sub of 10 000 bytes", is("sub", strconv.Quote(strings.Repeat("a", 10_000))), ok),
		r("CLM-015b", "sub with CR LF", is("sub", `"a\r\nSet-Cookie: x=y"`), ok),
		r("CLM-015c", "sub of 1 MiB", is("sub", strconv.Quote(strings.Repeat("a", 1<<20))), bad(tooLarge), overHTTP(wire(431))),
		r("CLM-016", "a claim of RequiredClaims", is("tenant", `"t"`), ok, required("tenant")),
		r("CLM-016b", "a claim of RequiredClaims missing", valid(), bad(missingClaim), required("tenant")),
		r("CLM-016c", "a claim of RequiredClaims null", is("tenant", `null`), bad(missingClaim), required("tenant")),
		r("CLM-016d", "a claim of RequiredClaims empty", is("tenant", `[ ]`), bad(missingClaim), required("tenant")),
		r("CLM-016e", "a claim of RequiredClaims false", is("tenant", `false`), ok, required("tenant")),
		r("CLM-016f", "a claim of RequiredClaims 0", is("tenant", `0`), ok, required("tenant")),
		r("CLM-016g", "RequiredClaims names nothing", nil, startup, required("")),
		r("CLM-016h", "the 57th of RequiredClaims missing", valid().many(56), bad(missingClaim), required(numbered(57)...)),
		r("CLM-016i", "all 57 of RequiredClaims", valid().many(57), ok, required(numbered(57)...)),
		r("CLM-016j", "58 of RequiredClaims: more than can be", nil, startup, required(numbered(58)...)),
		r("CLM-017", "Check refuses", valid(), bad(policy), checks(errForeign)),
		r("CLM-017b", "Check says revoked", valid(), bad(bearergate.ReasonRevoked), checks(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked})),
		r("CLM-017c", "Check cannot tell: an outage is not the client's fault", valid(), verdict{status: 503, reason: bearergate.ReasonStoreUnavailable}, checks(bearergate.ErrUnavailable)),
		r("CLM-017d", "Check times out", valid(), verdict{status: 503, reason: bearergate.ReasonStoreUnavailable}, checks(context.DeadlineExceeded)),
		r("CLM-017e", "Check says insufficient scope", valid(), noScope, checks(bearergate.ErrInsufficientScope), early),
		r("CLM-017f", "Check panics", valid(), broken, conf(func(c *jwtverify.Config) {
			c.Check = func(ctx, *bearergate.Token) error { panic("attack") }
		})),
		r("CLM-017g", "Check returns two sentinels", valid(), bad(policy), checks(errTwo)),
		r("CLM-018", "an unknown profile", nil, startup, conf(func(c *jwtverify.Config) { c.Profile = 7 })),
		r("CLM-019", "no claim of ours is a custom one in another case", is("Client_Id", `5`).clm("JTI", `5`).clm("Sub", `5`).clm("Nbf", `"x"`).clm("Iat", `"x"`), ok),
	)
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	return names
}

// scpRows attack the scopes: RFC 6749 §3.3, RFC 8693 §4.2, RFC 9068 §2.2.3.
func scpRows() []row {
	is := func(v string) jwt { return valid().clm("scope", v) }
	scp := func(v string) jwt { return valid().noClm("scope").clm("scp", v) }
	claims := func(names ...string) func(*row) { return conf(func(c *jwtverify.Config) { c.ScopeClaims = names }) }
	var rows []row
	for i, v := range []string{ // one value that is not split, or not our scope
		`"write"`, `""`, `" "`, `"READ"`, `"Read"`, `"read:all"`, `"readonly"`, `"*"`, `"read*"`, `".*"`, `"read,write"`, `"write,read"`, `"read;"`, `"read\twrite"`, `"write\tread"`, `"write\nread"`, `"write\r\nread"`,
		`"write\u00a0read"`, `"\u00a0read"`, `"read\u00a0"`, `"\u2003read"`, `"read\u0000"`, `"\u0000read"`, `"rea\u200bd"`, `"\"read\""`, `"\\read"`, `"[\"read\"]"`, `"read+write"`, `"%72ead"`, `"ｒead"`, `"admin root superuser"`, `"+read"`, `"-read"`, `"!read"`, `"api/read"`, `"https://rs.example.com/read"`,
	} {
		rows = append(rows, r(fmt.Sprintf("SCP-010.%02d", i+1), "scope "+v, is(v), noScope))
	}
	for i, v := range []string{`5`, `true`, `null`, `{}`, `{"read":true}`, `["read",5]`, `[5,"read"]`, `["read",null]`, `[["read"]]`, `["read",{}]`, `[true]`} {
		want := bad(malformed)
		if v == `null` { // no scope claim
			want = noScope
		}
		rows = append(rows,
			r(fmt.Sprintf("SCP-015.%02d", i+1), "scope "+v, is(v), want),
			r(fmt.Sprintf("SCP-015.%02db", i+1), "scp "+v, scp(v), want))
	}
	return append(rows,
		// req: R9068-10, R9700-02
		r("SCP-001", "read and write", is(`"read write"`), ok),
		r("SCP-002", "write and read", is(`"write read"`), ok),
		r("SCP-003", "read twice", is(`"read read"`), ok),
		r("SCP-004", "spaces around and between", is(`"  write   read  "`), ok),
		r("SCP-005", "no scope", valid().noClm("scope"), noScope),
		r("SCP-006", "read with an escape", is(`"rea\u0064"`), ok),
		r("SCP-006b", "1 000 scopes, ours the last", is(strconv.Quote(strings.Repeat("x:1 ", 1000)+"read")), ok),
		r("SCP-006c", "a piece outside the charset beside ours", is(`"ä read \"q\""`), ok),
		r("SCP-007", "an array", is(`["read"]`), ok),
		r("SCP-007b", "an array of one text with a space: not split", is(`["read write"]`), noScope),
		r("SCP-007c", "an empty array", is(`[]`), noScope),
		r("SCP-007d", "an array with an empty text", is(`["","read"]`), ok),
		r("SCP-008", "scp, an array", scp(`["read"]`), ok),
		r("SCP-008b", "scp, a string", scp(`"write read"`), ok),
		r("SCP-008c", "scp without ours", scp(`["write"]`), noScope),
		r("SCP-016", "a no-break space before read", is("\"\u00a0read\""), noScope),
		r("SCP-018", "scope write and scp read: the first claim counts", is(`"write"`).clm("scp", `["read"]`), noScope),
		r("SCP-018b", "scope read and scp write", is(`"read"`).clm("scp", `["write"]`), ok),
		r("SCP-018c", "scope empty and scp read", is(`""`).clm("scp", `["read"]`), noScope),
		r("SCP-018d", "scp before scope in the text", valid().noClm("scope").clm("scp", `"read"`).clm("scope", `"write"`), noScope),
		r("SCP-018e", "scope good and scp of the wrong type: it is not looked at", is(`"read"`).clm("scp", `5`), ok),
		r("SCP-019", "permissions, roles, groups, authorities, entitlements", is(`"write"`).clm("permissions", `["read"]`).clm("roles", `["read"]`).clm("groups", `["read"]`).clm("authorities", `["read"]`).clm("entitlements", `["read"]`), noScope),
		r("SCP-020", "SCOPE, Scope and scopes", valid().noClm("scope").clm("SCOPE", `"read"`).clm("Scope", `"read"`).clm("scopes", `["read"]`), noScope),
		r("SCP-021", "ScopeClaims: permissions", is(`"write"`).clm("permissions", `["read"]`), ok, claims("permissions")),
		r("SCP-021b", "ScopeClaims: permissions, then scope", is(`"read"`), ok, claims("permissions", "scope")),
		r("SCP-021c", "ScopeClaims: permissions, and scope does not count", is(`"read"`), noScope, claims("permissions")),
		r("SCP-021d", "ScopeClaims names nothing", nil, startup, claims("")),
		r("SCP-022", "expired and without the scope", is(`"write"`).clm("exp", at(-100)), bad(expired)),
		r("SCP-022b", "a bad signature and without the scope", is(`"write"`).signedBy(evilRSA()), bad(signature)),
		r("SCP-022c", "a wrong audience and without the scope", is(`"write"`).clm("aud", `"x"`), bad(aud)),
		r("SCP-023", "the scope in the header", valid().noClm("scope").hdr("scope", `"read"`), noScope),
	)
}

// otherIssuer is a source of keys that belong to our issuer.
type otherIssuer struct{ jwks.Source }

func (otherIssuer) Issuer() string { return issuer }
