package attack_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bearergate/bearergate/jwtverify"
)

// jsnRows attack the reading of JSON: RFC 8259, RFC 7515 §4 and §10.12, RFC 7519 §4.
func jsnRows() []row {
	v := valid()
	vh, vp := v.texts()
	const head = `{"alg":"RS256","typ":"at+jwt","kid":"r1"}`
	lacks := func(name string) jwt { return valid().noClm(name) }
	rows := []row{
		// req: R7515-01
		r("JSN-001", "alg none, then RS256", v.header(`{"alg":"none","typ":"at+jwt","kid":"r1","alg":"RS256"}`), bad(malformed)),
		r("JSN-002", "alg RS256, then none", v.addHdr(`"alg"`, `"none"`), bad(malformed)),
		r("JSN-002b", "alg twice, the same", v.addHdr(`"alg"`, `"RS256"`), bad(malformed)),
		r("JSN-002c", "alg twice, once with an escape", v.addHdr(`"\u0061lg"`, `"none"`), bad(malformed)),
		r("JSN-003", "kid twice", v.addHdr(`"kid"`, `"p1"`), bad(malformed)),
		r("JSN-004", "typ twice", v.addHdr(`"typ"`, `"JWT"`), bad(malformed)),
		r("JSN-004b", "an unknown header parameter twice", v.addHdr(`"x"`, `1`).addHdr(`"x"`, `1`), bad(malformed)),
		// req: R7519-01
		r("JSN-005", "sub twice", v.addClm(`"sub"`, `"admin"`), bad(malformed)),
		r("JSN-006", "exp twice", v.addClm(`"exp"`, at(9999)), bad(malformed)),
		r("JSN-007", "iss twice", v.clm("iss", `"x"`).addClm(`"iss"`, strconv.Quote(issuer)), bad(malformed)),
		r("JSN-008", "aud twice, wrong then right", v.clm("aud", `"x"`).addClm(`"aud"`, strconv.Quote(audience)), bad(malformed)),
		r("JSN-008b", "aud twice, right then wrong", v.addClm(`"aud"`, `"x"`), bad(malformed)),
		r("JSN-009", "scope twice", v.clm("scope", `"x"`).addClm(`"scope"`, `"read"`), bad(malformed)),
		r("JSN-009b", "scope twice, once with an escape", v.clm("scope", `"x"`).addClm(`"\u0073cope"`, `"read"`), bad(malformed)),
		r("JSN-010", "an unknown claim twice", v.clm("x", `1`).addClm(`"x"`, `2`), bad(malformed)),
		r("JSN-010b", "a name twice in a nested object", v.clm("x", `{"a":{"b":1,"b":2}}`), bad(malformed)),
		r("JSN-010c", "a name twice in an object in an array", v.clm("x", `[[{"a":1,"a":1}]]`), bad(malformed)),
		r("JSN-010d", "jkt twice in cnf", v.clm("cnf", `{"jkt":"a","jkt":"b"}`), bad(malformed), conf(func(c *jwtverify.Config) { c.Confirmations = []string{"jkt"} })),
		r("JSN-011", "names that differ in case are different", v.addClm(`"SUB"`, `"admin"`).addClm(`"Exp"`, `1`).addClm(`"AUD"`, `"x"`).addClm(`"SCOPE"`, `"admin"`), ok),
		r("JSN-012", "EXP instead of exp", lacks("exp").clm("EXP", at(3600)), bad(missingClaim)),
		r("JSN-012b", "Exp instead of exp", lacks("exp").clm("Exp", at(3600)), bad(missingClaim)),
		r("JSN-012c", "AUD instead of aud", lacks("aud").clm("AUD", strconv.Quote(audience)), bad(missingClaim)),
		r("JSN-012d", "ISS instead of iss", lacks("iss").clm("ISS", strconv.Quote(issuer)), bad(missingClaim)),
		r("JSN-012e", "Scope instead of scope", lacks("scope").clm("Scope", `"read"`), noScope),
		r("JSN-012f", "Client_ID instead of client_id", lacks("client_id").clm("Client_ID", `"c"`), bad(missingClaim)),
		r("JSN-012g", "clientid instead of client_id", lacks("client_id").clm("clientid", `"c"`).clm("clientId", `"c"`), bad(missingClaim)),
		r("JSN-013", "ſub instead of sub", lacks("sub").clm("ſub", `"u"`), bad(missingClaim)),
		r("JSN-013b", "iſs instead of iss", lacks("iss").clm("iſs", strconv.Quote(issuer)), bad(missingClaim)),
		r("JSN-013c", "Kid with the Kelvin sign, five keys that fit", v.noHdr("kid").hdr("\u212aid", `"r1"`), bad(unknownKey), keys(fitting(5)...)),
		r("JSN-013d", "a name with NUL", lacks("exp").addClm(`"exp\u0000"`, at(3600)), bad(missingClaim)),
		r("JSN-013e", "a name with a space", lacks("exp").addClm(`"exp "`, at(3600)), bad(missingClaim)),
		// req: R7519-10, R8725-03, R8725-06
		r("JSN-014", "a claims object within a claims object", v.payload(`{"claims":`+vp+`}`), bad(missingClaim)),
		r("JSN-015", "claims in an array", v.payload("["+vp+"]"), bad(malformed)),
		r("JSN-016", "claims a string", v.payload(`"x"`), bad(malformed)),
		r("JSN-017", "claims a number", v.payload(`1`), bad(malformed)),
		r("JSN-018", "claims null", v.payload(`null`), bad(malformed)),
		r("JSN-018b", "claims true", v.payload(`true`), bad(malformed)),
		r("JSN-019", "claims of white space", v.payload(" \n"), bad(malformed)),
		r("JSN-020", "claims {}", v.payload(`{}`), bad(missingClaim)),
		r("JSN-021", "claims cut short", v.payload(vp[:len(vp)-1]), bad(malformed)),
		r("JSN-022", "two objects", v.payload(vp+vp), bad(malformed)),
		r("JSN-022b", "two objects on two lines", v.payload("{}\n"+vp), bad(malformed)),
		r("JSN-022c", "an object and a comma", v.payload(vp+","), bad(malformed)),
		r("JSN-023", "text after the object", v.payload(vp+"x"), bad(malformed)),
		r("JSN-024", "NUL after the object", v.payload(vp+"\x00"), bad(malformed)),
		r("JSN-024b", "NUL before the object", v.payload("\x00"+vp), bad(malformed)),
		r("JSN-024c", "NUL in a string", v.clm("x", "\"a\x00b\""), bad(malformed)),
		r("JSN-025", "a byte order mark", v.payload("\ufeff"+vp), bad(malformed)),
		r("JSN-026", "comments", v.payload("/* x */"+vp), bad(malformed)),
		r("JSN-026b", "a comment at the end", v.payload(vp+"// x"), bad(malformed)),
		r("JSN-026c", "a comment inside", v.clm("x", `/**/1`), bad(malformed)),
		r("JSN-027", "a trailing comma", v.payload(vp[:len(vp)-1]+",}"), bad(malformed)),
		r("JSN-027b", "a leading comma", v.payload("{,"+vp[1:]), bad(malformed)),
		r("JSN-028", "NaN", v.clm("x", `NaN`), bad(malformed)),
		r("JSN-028b", "exp NaN", v.clm("exp", `NaN`), bad(malformed)),
		r("JSN-029", "Infinity", v.clm("x", `-Infinity`), bad(malformed)),
		r("JSN-029b", "exp Infinity", v.clm("exp", `Infinity`), bad(malformed)),
		r("JSN-030", "single quotes", v.payload(strings.ReplaceAll(vp, `"`, `'`)), bad(malformed)),
		r("JSN-031", "names without quotes", v.payload(`{iss:1}`), bad(malformed)),
		r("JSN-032", "0xff in sub", v.clm("sub", "\"a\xffb\""), bad(malformed)),
		r("JSN-032b", "0xff in an unknown claim", v.clm("x", "\"a\xffb\""), bad(malformed)),
		r("JSN-032c", "0xff in a name", v.addClm("\"a\xffb\"", `1`), bad(malformed)),
		r("JSN-033", "overlong UTF-8", v.clm("x", "\"\xc0\xaf\""), bad(malformed)),
		r("JSN-033b", "UTF-16 with a byte order mark", v.payload(utf16(vp, "\xff\xfe")), bad(malformed)),
		r("JSN-033c", "UTF-16 without one", v.payload(utf16(vp, "")), bad(malformed)),
		r("JSN-033d", "a surrogate in UTF-8", v.clm("x", "\"\xed\xa0\x80\""), bad(malformed)),
		r("JSN-033e", "a lone surrogate as an escape", v.clm("x", `"\ud800"`), bad(malformed)),
		r("JSN-033f", "surrogates in the wrong order", v.clm("x", `"\udc00\ud800"`), bad(malformed)),
		r("JSN-033g", "a lone surrogate in a name", v.addClm(`"\ud800"`, `1`), bad(malformed)),
		r("JSN-033h", "a code point above U+10FFFF", v.clm("x", "\"\xf4\x90\x80\x80\""), bad(malformed)),
		r("JSN-034", "100 000 nested arrays", v.clm("x", strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), bad(malformed), overHTTP(bad(malformed)),
			conf(func(c *jwtverify.Config) { c.MaxTokenBytes = 1 << 20 })),
		r("JSN-034b", "100 000 arrays that nobody closes", v.payload(`{"x":`+strings.Repeat("[", 100_000)), bad(malformed), conf(func(c *jwtverify.Config) { c.MaxTokenBytes = 1 << 20 })),
		r("JSN-034c", "100 000 nested objects", v.payload(strings.Repeat(`{"a":`, 100_000)+"1"+strings.Repeat("}", 100_000)), bad(malformed), conf(func(c *jwtverify.Config) { c.MaxTokenBytes = 1 << 20 })),
		r("JSN-034d", "3 000 nested arrays in the header", v.hdr("x", strings.Repeat("[", 3000)+strings.Repeat("]", 3000)), bad(malformed)),
		r("JSN-034e", "31 nested arrays in the header", v.hdr("x", strings.Repeat("[", 31)+strings.Repeat("]", 31)), ok),
		r("JSN-034f", "a header of more than 8 KiB", v.hdr("x", `"`+strings.Repeat("x", 8192)+`"`), bad(malformed)),
		r("JSN-035", "a number of 5 000 digits", v.clm("x", strings.Repeat("9", 5000)), ok),
		r("JSN-035b", "exp of 5 000 digits", v.clm("exp", strings.Repeat("9", 5000)), bad(malformed)),
		r("JSN-035c", "exp with 5 000 decimals", v.clm("exp", at(60)+"."+strings.Repeat("9", 5000)), ok),
		r("JSN-036", "a number outside float64", v.clm("x", `[1e400,-1e-400,123456789012345678901234567890]`), ok),
		r("JSN-037", "10 000 claims: longer than a token may be", v.many(10_000), bad(tooLarge)),
		r("JSN-037b", "10 000 claims under a limit of 1 MiB", v.many(10_000), ok, conf(func(c *jwtverify.Config) { c.MaxTokenBytes = 1 << 20 })),
		r("JSN-038", "__proto__ and constructor", v.clm("__proto__", `{"scope":"admin","exp":9}`).clm("constructor", `{"prototype":{}}`), ok),
		r("JSN-039", "an empty name", v.addClm(`""`, `1`), ok),
		// req: R7515-09, R7515-13
		r("JSN-040", "header null", v.header(`null`), bad(malformed)),
		r("JSN-040b", "header an array", v.header("["+head+"]"), bad(malformed)),
		r("JSN-040c", "header a string", v.header(`"RS256"`), bad(malformed)),
		r("JSN-040d", "header {}", v.header(`{}`), bad(malformed)),
		r("JSN-040e", "header true", v.header(`true`), bad(malformed)),
		r("JSN-040f", "header of white space", v.header("  "), bad(malformed)),
		r("JSN-041", "text after the header", v.header(head+"x"), bad(malformed)),
		r("JSN-041b", "two headers", v.header(head+head), bad(malformed)),
		r("JSN-041c", "NUL after the header", v.header(head+"\x00"), bad(malformed)),
		r("JSN-041d", "a header cut short", v.header(vh[:len(vh)-1]), bad(malformed)),
		r("JSN-042", "invalid UTF-8 in the header", v.hdr("x", "\"\xff\""), bad(malformed)),
		r("JSN-042b", "invalid UTF-8 in kid", v.hdr("kid", "\"r1\xff\""), bad(malformed)),
		r("JSN-042c", "a lone surrogate in kid", v.hdr("kid", `"r1\ud800"`), bad(malformed)),
		r("JSN-043", "a header with a byte order mark", v.header("\ufeff"+head), bad(malformed)),
		r("JSN-044", "a header in UTF-16", v.header(utf16(head, "\xfe\xff")), bad(malformed)),
		r("JSN-045", "a header with a comment", v.header("{/**/"+vh[1:]), bad(malformed)),
	}
	v = from(e1()) // signs faster
	vh, _ = v.texts()
	for i, text := range refusedJSON {
		rows = append(rows,
			r(fmt.Sprintf("JSN-046.h%02d", i+1), "not JSON, in the header: "+text, v.header(inside(vh, text)), bad(malformed)),
			r(fmt.Sprintf("JSN-046.c%02d", i+1), "not JSON, in the claims: "+text, v.clm("x", text), bad(malformed)))
	}
	for i, text := range refusedObjects {
		rows = append(rows,
			r(fmt.Sprintf("JSN-046.o%02d", i+1), "no JSON object, as header: "+strconv.Quote(text), v.header(text), bad(malformed)),
			r(fmt.Sprintf("JSN-046.p%02d", i+1), "no JSON object, as claims: "+strconv.Quote(text), v.payload(text), bad(malformed)))
	}
	for i, text := range acceptedJSON {
		rows = append(rows, r(fmt.Sprintf("JSN-047.%02d", i+1), "JSON: "+text, from(e1()).clm("x", text).hdr("x", text), ok))
	}
	return rows
}

// inside returns the object with one more member, x.
func inside(object, value string) string { return object[:len(object)-1] + `,"x":` + value + "}" }

func utf16(text, mark string) string {
	var b strings.Builder
	b.WriteString(mark)
	for _, c := range text {
		if mark == "\xfe\xff" {
			b.WriteByte(0)
		}
		b.WriteByte(byte(c))
		if mark != "\xfe\xff" {
			b.WriteByte(0)
		}
	}
	return b.String()
}

// refusedJSON are texts that are no JSON value, after RFC 8259: what parsers
// that are kind take for one.
var refusedJSON = []string{
	// arrays
	`[1 true]`, `["": 1]`, `[1,]`, `[,1]`, `[1,,2]`, `["x",,]`, `[`, `["x"`, `[1,1`, `[3[4]]`, `["x"]]`, `[inner]`, `[*]`, `[-]`, `[   , ""]`, "[\"a\"\n,4\n,1", "[\x0b]",
	// numbers
	`+1`, `01`, `-01`, `.5`, `-.5`, `1.`, `1.e1`, `0.e1`, `1e`, `1e+`, `1E-`, `0e`, `0.1.2`, `1 000`, `0x1`, `0x`, `1eE2`, `1+2`, `1e1.5`, `--1`, `-`, `- 1`, `++1234`, `1_000`, `１`, `1a`, `-Infinity`, `Infinity`, `+Inf`, `-NaN`, `NaN`, `0b1`, `0o7`, `-foo`, `1f`, `2.e-3`,
	// strings
	`'x'`, `"x`, `"\x00"`, `"\a"`, `"\u00A"`, `"\uZZZZ"`, `"\U0041"`, `"\`, `"\"`, "\"\t\"", "\"\n\"", "\"\x1f\"", `"\u"`, `"\ud800\u"`, `"\ud800\"`, `"\😀"`, "\"\xe5\"", `"\{[x]}"`, "`x`", `x`, `\u0041`,
	// literals
	`True`, `nul`, `tru`, `fals`, `NULL`, `undefined`, `nothing`, `true false`, `null1`,
	// objects
	`{"a":1,}`, `{"a":1,,"b":2}`, `{,"a":1}`, `{"a" 1}`, `{"a"}`, `{"a":}`, `{:1}`, `{1:1}`, `{a:1}`, `{'a':1}`, `{"a":1 "b":2}`, `{"a":1;"b":2}`, `{"a"::1}`, `{"a":"b"}#`, `{"a":"b"}/**/`, `{"a":`, `{"a":1`, `{[:"x"}`, `{"x":true,"y"`, `{null:null}`, `{"a":1}}`, `{9999E9999:1}`,
	// white space that JSON does not know
	"\u00a01", "\u20281", "\v1", "\f1", "\ufeff1",
	"",
}

// refusedObjects are texts that are no JSON object with the members that a
// token needs, whatever they are.
var refusedObjects = []string{
	"", " ", "{", "}", "[]", "[", "]", `""`, `"`, "0", "-", "null", "nul", "<html>", "<null>", "{}}", "{[]}", "[{}]", "{]", "{{}}", "\x00", "\xff", "é", "{\"\":", "a", "{}#", "{},", "\u2060{}", "\f{}",
	"//{}", "--- {}", "callback({})", ")]}',\n{}", "{}{}", "{} null",
}

// acceptedJSON are values that every parser must take.
var acceptedJSON = []string{
	`[]`, `[ ]`, `[[]   ]`, `[""]`, `[null, 1, "1", {}]`, "[1\n]", ` [1]`, `[1,null,null,null,2]`, `[2] `, `[false]`,
	`0`, `-0`, `0e1`, `0e+1`, `1E22`, `1E-2`, `1E+2`, `123e45`, `123.456e78`, `-123`, `-1`, `-0.000000000000000000000000000000000000000000000000000000000000000000000000000001`, `123.456789`, `20e1`, `1e-2`, `4 `,
	`""`, `" "`, `"\u0060\u012a\u12AB"`, `"\ud801\udc37"`, `"\ud83d\ude39\ud83d\udc8d"`, `"\"\\\/\b\f\n\r\t"`, `"\\u0000"`, `"\""`, `"a/*b*/c/*d//e"`, `"\\a"`, `"\\n"`, `"\u0012"`, `"\uFFFF"`, `"￿"`, `"𛿿"`,
	`"\u0123"`, "\"\u2028\u2029\"", `"\u0000"`, `"\u002c"`, `"π"`, `"asd "`, `"\uDBFF\uDFFE"`, `"\u200B"`, `"\u2064"`, `"\uFDD0"`, `"€𝄞"`, "\"a\x7fa\"", `"\u005C"`, `"\u0022"`,
	`{}`, `{"":0}`, `{"a":[]}`, "{\n\"a\": \"b\"\n}", `{"asd":"sdf", "dfg":"fgh"}`, `{"foo\u0000bar": 42}`, `{ "min": -1.0e+28, "max": 1.0e+28 }`, `{"title":"\u041f"}`, `{"a":"b","A":"b"}`,
	`true`, `false`, `null`, " \t\n\r 1", `[1e400,-1e400,1e-400]`,
}
