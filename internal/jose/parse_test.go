package jose_test

import (
	"encoding/base64"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

const maxToken = 16 << 10

const plainHeader = `{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}`

// validToken is signed by edKey; every refused case below is this and one change.
func validToken(t testing.TB) string {
	t.Helper()
	token, err := jose.Sign("EdDSA", edKey(), []byte(plainHeader), []byte(`{"sub":"alice"}`))
	require.NoError(t, err)
	return token
}

func parts(token string) []string { return strings.Split(token, ".") }

// replaced returns token with another part i (0 header, 1 payload, 2 signature).
func replaced(token string, i int, part string) string {
	p := parts(token)
	p[i] = part
	return strings.Join(p, ".")
}

func withHeader(t testing.TB, header string) string {
	return replaced(validToken(t), 0, b64([]byte(header)))
}

// requireParseError: the error is of that kind only, and nothing stands beside it.
func requireParseError(t testing.TB, want error, token string, maxBytes int) {
	t.Helper()
	j, err := jose.Parse(token, maxBytes)
	require.ErrorIs(t, err, want)
	for _, other := range []error{jose.ErrTooLarge, jose.ErrMalformed, jose.ErrSignature} {
		if other != want {
			require.NotErrorIs(t, err, other)
		}
	}
	require.Equal(t, jose.JWS{}, j, "a value beside an error")
}

func requireMalformed(t testing.TB, token string) {
	t.Helper()
	requireParseError(t, jose.ErrMalformed, token, 1<<20)
}

// requireReencodes: what was accepted has no other spelling.
func requireReencodes(t testing.TB, token string, j jose.JWS) {
	t.Helper()
	require.Equal(t, token, string(j.Signed)+"."+b64(j.Signature))
	require.Equal(t, parts(token)[1], b64(j.Payload))
	require.Equal(t, parts(token)[0], b64(unb64(t, parts(token)[0])))
}

func TestParseValid(t *testing.T) {
	token := validToken(t)
	j, err := jose.Parse(token, maxToken)
	require.NoError(t, err)
	require.Equal(t, jose.Header{Algorithm: "EdDSA", KeyID: "k1", Type: "at+jwt", HasType: true}, j.Header)
	require.Equal(t, `{"sub":"alice"}`, string(j.Payload))
	requireReencodes(t, token, j)
	require.NoError(t, keyFor(t, "EdDSA").Verify("EdDSA", j.Signed, j.Signature))
}

// req: R8725-10
func TestParseLengthComesFirst(t *testing.T) {
	token := validToken(t)
	_, err := jose.Parse(token, len(token))
	require.NoError(t, err)
	requireParseError(t, jose.ErrTooLarge, token, len(token)-1)
	requireParseError(t, jose.ErrTooLarge, token, 0)
	requireParseError(t, jose.ErrTooLarge, token, -1)
	requireParseError(t, jose.ErrTooLarge, "no token = at all...", 5)
	requireParseError(t, jose.ErrMalformed, "", 0)
}

// req: R7515-07, R7515-13, R8725-13, R9068-02
func TestParseShape(t *testing.T) {
	token := validToken(t)
	h, p, s := parts(token)[0], parts(token)[1], parts(token)[2]
	for name, bad := range map[string]string{
		"empty":                  "",
		"no dot":                 h + p + s,
		"one dot":                h + "." + p,
		"one dot, signature":     h + p + "." + s,
		"three dots":             token + "." + s,
		"three dots, empty last": token + ".",
		"leading dot":            "." + token,
		"doubled dot":            h + ".." + p + "." + s,
		"four dots, like a JWE":  h + "." + p + "." + s + "." + p + "." + s,
		"only dots, one":         ".",
		"only dots, two":         "..",
		"only dots, three":       "...",
		"only dots, four":        "....",
		"empty header":           "." + p + "." + s,
		"empty payload":          h + ".." + s, // detached content (RFC 7515 appendix F)
		"only a header":          h + "..",
		"only a payload":         "." + p + ".",
		"only a signature":       ".." + s,
		"in quotes":              `"` + token + `"`,
		"Bearer":                 "Bearer " + token,
		"space before":           " " + token,
		"newline after":          token + "\n",
		"two tokens":             token + "," + token,
		"flattened JSON":         `{"payload":"` + p + `","protected":"` + h + `","signature":"` + s + `"}`,
		"general JSON":           `{"payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"` + s + `"}]}`,
		"JSON polyglot":          `{"  ` + h + `.` + p + `.":"","protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`,
		"claims without a JWS":   `{"sub":"alice"}`,
		"encoded twice":          b64([]byte(token)),
		"header encoded twice":   replaced(token, 0, b64([]byte(h))),
		"the payload as header":  replaced(token, 0, b64([]byte(`"`+h+`"`))),
		"full-width dots":        strings.ReplaceAll(token, ".", "．"),
		"percent-encoded dots":   strings.ReplaceAll(token, ".", "%2E"),
	} {
		t.Run(name, func(t *testing.T) { requireMalformed(t, bad) })
	}
	t.Run("an empty signature is for Verify to refuse", func(t *testing.T) {
		j, err := jose.Parse(h+"."+p+".", maxToken)
		require.NoError(t, err)
		require.Empty(t, j.Signature)
		requireReencodes(t, h+"."+p+".", j)
		for _, alg := range append(jose.Algorithms(), "none", "") {
			require.ErrorIs(t, keyFor(t, "EdDSA").Verify(alg, j.Signed, j.Signature), jose.ErrSignature)
		}
	})
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Every byte value, inserted into and put over every third position of each part.
//
// req: R7515-08
func TestParseEveryByteEverywhere(t *testing.T) {
	token := validToken(t)
	for b := range 256 {
		c := string([]byte{byte(b)})
		for at := 0; at <= len(token); at += 3 {
			mutants := []string{token[:at] + c + token[at:]}
			if at < len(token) && token[at] != '.' {
				mutants = append(mutants, token[:at]+c+token[at+1:])
			}
			for _, mutant := range mutants {
				if !strings.Contains(alphabet, c) {
					requireMalformed(t, mutant)
				} else if j, err := jose.Parse(mutant, maxToken); err != nil {
					require.ErrorIs(t, err, jose.ErrMalformed)
					require.Equal(t, jose.JWS{}, j)
				} else {
					requireReencodes(t, mutant, j)
				}
			}
		}
	}
}

// req: R7515-08
func TestParseSloppyBase64(t *testing.T) {
	token := validToken(t)
	for i, name := range []string{"header", "payload", "signature"} {
		part := parts(token)[i]
		for what, sloppy := range map[string]string{
			"=":                   part + "=",
			"==":                  part + "==",
			"padded to a quad":    part + strings.Repeat("=", (4-len(part)%4)%4+4),
			"= first":             "=" + part,
			"LF in":               part[:8] + "\n" + part[8:],
			"CR in":               part[:8] + "\r" + part[8:],
			"CRLF in":             part[:8] + "\r\n" + part[8:],
			"LF first":            "\n" + part,
			"LF last":             part + "\n",
			"space in":            part[:8] + " " + part[8:],
			"tab in":              part[:8] + "\t" + part[8:],
			"NUL in":              part[:8] + "\x00" + part[8:],
			"+":                   part[:8] + "+" + part[9:],
			"/":                   part[:8] + "/" + part[9:],
			"percent":             part[:8] + "%41" + part[9:],
			"four times n plus 1": strings.Repeat("A", len(part)/4*4+1),
			"one character":       "A",
			"outside ASCII":       part[:8] + "Ａ" + part[9:],
			"invalid UTF-8":       part[:8] + "\xff" + part[9:],
		} {
			t.Run(name+" "+what, func(t *testing.T) { requireMalformed(t, replaced(token, i, sloppy)) })
		}
	}
}

// A last character that carries bits beyond the last byte spells the same bytes
// differently: one signature, many tokens.
//
// req: R7515-08
func TestParseTrailingBits(t *testing.T) {
	content := []string{plainHeader, `{"sub":"alice"}`, "a signature, of any length"}
	for i, name := range []string{"header", "payload", "signature"} {
		for pad := range 3 {
			p := parts(validToken(t))
			p[i] = b64([]byte(content[i] + strings.Repeat(" ", pad)))
			token := strings.Join(p, ".")
			j, err := jose.Parse(token, maxToken)
			require.NoError(t, err)
			requireReencodes(t, token, j)

			spare := map[int]int{0: 0, 2: 4, 3: 2}[len(p[i])%4]
			last := strings.IndexByte(alphabet, p[i][len(p[i])-1])
			for bits := 1; bits < 1<<spare; bits++ {
				alias := p[i][:len(p[i])-1] + string(alphabet[last|bits])
				require.Equal(t, unb64(t, p[i]), unb64(t, alias), "%s: not an alias", name)
				requireMalformed(t, replaced(token, i, alias))
			}
		}
	}
}

// req: R7515-01, R7515-02, R7515-03, R7515-04, R7515-05, R7515-06, R7515-09, R7515-10, R7515-13, R8725-05, R8725-06
func TestParseHeader(t *testing.T) {
	eddsa := jose.Header{Algorithm: "EdDSA"}
	typed := func(typ string) jose.Header { return jose.Header{Algorithm: "EdDSA", Type: typ, HasType: true} }
	with := func(member string) string { return `{"alg":"EdDSA",` + member + `}` }

	accepted := map[string]struct {
		header string
		want   jose.Header
	}{
		"alg alone":                 {`{"alg":"EdDSA"}`, eddsa},
		"white space":               {" \t\r\n{ \"alg\" :\n\"EdDSA\" }\r\n ", eddsa},
		"escaped name and value":    {`{"\u0061lg":"\u0045dDSA"}`, eddsa},
		"unknown alg":               {`{"alg":"eddsa"}`, jose.Header{Algorithm: "eddsa"}}, // no key serves it
		"alg none":                  {`{"alg":"none"}`, jose.Header{Algorithm: "none"}},   // no key serves it
		"alg padded":                {`{"alg":"EdDSA "}`, jose.Header{Algorithm: "EdDSA "}},
		"unknown members":           {with(`"x":{"a":[1,null,true,"é"]},"y":1e999`), eddsa},
		"ALG besides":               {with(`"ALG":"none","Alg":1,"aLg":null`), eddsa},
		"KID, TYP, CRIT besides":    {with(`"KID":1,"TYP":1,"CRIT":[],"B64":false,"ZIP":"DEF"`), eddsa},
		"long s":                    {with(`"criſ":1`), eddsa},
		"empty name":                {with(`"":1`), eddsa},
		"kid":                       {with(`"kid":"k"`), jose.Header{Algorithm: "EdDSA", KeyID: "k"}},
		"kid of 256 bytes":          {with(`"kid":"` + strings.Repeat("k", 256) + `"`), jose.Header{Algorithm: "EdDSA", KeyID: strings.Repeat("k", 256)}},
		"kid of 128 é":              {with(`"kid":"` + strings.Repeat("é", 128) + `"`), jose.Header{Algorithm: "EdDSA", KeyID: strings.Repeat("é", 128)}},
		"kid of 256 escaped":        {with(`"kid":"` + strings.Repeat(`\u006b`, 256) + `"`), jose.Header{Algorithm: "EdDSA", KeyID: strings.Repeat("k", 256)}},
		"kid with an escape":        {with(`"kid":"r\u0031"`), jose.Header{Algorithm: "EdDSA", KeyID: "r1"}},
		"kid with every escape":     {with(`"kid":"\"\\\/\b\f\n\r\t\u0000"`), jose.Header{Algorithm: "EdDSA", KeyID: "\"\\/\b\f\n\r\t\x00"}},
		"kid with a surrogate pair": {with(`"kid":"\ud83d\ude00"`), jose.Header{Algorithm: "EdDSA", KeyID: "😀"}},
		"kid with a path":           {with(`"kid":"../../dev/null"`), jose.Header{Algorithm: "EdDSA", KeyID: "../../dev/null"}},
		"kid full-width":            {with(`"kid":"r１"`), jose.Header{Algorithm: "EdDSA", KeyID: "r１"}},
		"escaped member kid":        {with(`"\u006bid":"k"`), jose.Header{Algorithm: "EdDSA", KeyID: "k"}},
		"typ":                       {with(`"typ":"at+jwt"`), typed("at+jwt")},
		"typ empty":                 {with(`"typ":""`), typed("")},
		"zip NONE":                  {with(`"zip":"NONE"`), eddsa},
		"zip null":                  {with(`"zip":null`), eddsa},
		"zip empty":                 {with(`"zip":""`), eddsa},
		"zip false":                 {with(`"zip":false`), eddsa},
		"zip def":                   {with(`"zip":"def"`), eddsa}, // names are compared with case (RFC 7516 §4.1.3)
		"zip an array":              {with(`"zip":["DEF"]`), eddsa},
		"cty other":                 {with(`"cty":"json"`), eddsa},
		"cty empty":                 {with(`"cty":""`), eddsa},
		// A token never brings its own key, and what it says of one is not read.
		"jwk":                {with(`"jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), eddsa},
		"jwk malformed":      {with(`"jwk":{"kty":"RSA"}`), eddsa},
		"jwk not an object":  {with(`"jwk":"x"`), eddsa},
		"jku":                {with(`"jku":"https://attacker.example/jwks"`), eddsa},
		"jku number":         {with(`"jku":1`), eddsa},
		"x5u":                {with(`"x5u":"https://attacker.example/x5u"`), eddsa},
		"x5u null":           {with(`"x5u":null`), eddsa},
		"x5c":                {with(`"x5c":["MIIB"]`), eddsa},
		"x5c no base64":      {with(`"x5c":["*"]`), eddsa},
		"x5c number":         {with(`"x5c":1`), eddsa},
		"x5c nested":         {with(`"x5c":[[["MIIB"]]]`), eddsa},
		"x5t, x5t#S256":      {with(`"x5t":"a","x5t#S256":1`), eddsa},
		"deep, but bounded":  {with(`"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31)), eddsa},
		"long, but bounded":  {with(`"x":"` + strings.Repeat("x", 8<<10-len(with(`"x":""`))) + `"`), eddsa},
		"alg, kid, typ last": {`{"x":1,"typ":"JWT","kid":"k","alg":"EdDSA"}`, jose.Header{Algorithm: "EdDSA", KeyID: "k", Type: "JWT", HasType: true}},
	}
	for name, c := range accepted {
		t.Run("accepted/"+name, func(t *testing.T) {
			token := withHeader(t, c.header)
			j, err := jose.Parse(token, 1<<20)
			require.NoError(t, err)
			require.Equal(t, c.want, j.Header)
			requireReencodes(t, token, j)
		})
	}

	utf16le := func(s string) string {
		var out []byte
		for _, u := range utf16.Encode([]rune(s)) {
			out = append(out, byte(u), byte(u>>8))
		}
		return string(out)
	}
	utf16be := func(s string) string {
		var out []byte
		for _, u := range utf16.Encode([]rune(s)) {
			out = append(out, byte(u>>8), byte(u))
		}
		return string(out)
	}
	const good = `{"alg":"EdDSA"}`
	for name, header := range map[string]string{
		"alg twice, none first":        `{"alg":"none","alg":"EdDSA"}`,
		"alg twice, none last":         `{"alg":"EdDSA","alg":"none"}`,
		"alg twice, the same":          `{"alg":"EdDSA","alg":"EdDSA"}`,
		"alg twice, escaped":           `{"alg":"EdDSA","\u0061lg":"none"}`,
		"alg twice, escaped first":     `{"\u0061\u006c\u0067":"none","alg":"EdDSA"}`,
		"kid twice":                    with(`"kid":"a","kid":"b"`),
		"typ twice":                    with(`"typ":"at+jwt","typ":"JWT"`),
		"unknown twice":                with(`"x":1,"x":1`),
		"twice at depth":               with(`"x":{"y":{"z":1,"\u007a":1}}`),
		"twice in an array":            with(`"x":[{"z":1,"z":1}]`),
		"no alg":                       `{"kid":"k"}`,
		"empty object":                 `{}`,
		"ALG for alg":                  `{"ALG":"EdDSA"}`,
		"Alg for alg":                  `{"Alg":"EdDSA"}`,
		"alg with a space":             `{"alg ":"EdDSA"}`,
		"alg number":                   `{"alg":1}`,
		"alg null":                     `{"alg":null}`,
		"alg true":                     `{"alg":true}`,
		"alg empty":                    `{"alg":""}`,
		"alg array":                    `{"alg":["EdDSA"]}`,
		"alg object":                   `{"alg":{"EdDSA":1}}`,
		"kid number":                   with(`"kid":1`),
		"kid array":                    with(`"kid":["k"]`),
		"kid object":                   with(`"kid":{"k":1}`),
		"kid null":                     with(`"kid":null`),
		"kid false":                    with(`"kid":false`),
		"kid empty":                    with(`"kid":""`),
		"kid of 257 bytes":             with(`"kid":"` + strings.Repeat("k", 257) + `"`),
		"kid of 129 é":                 with(`"kid":"` + strings.Repeat("é", 129) + `"`),
		"kid of 257 escaped":           with(`"kid":"` + strings.Repeat(`\u006b`, 257) + `"`),
		"kid of 500 000 bytes":         with(`"kid":"` + strings.Repeat("k", 500_000) + `"`),
		"kid with a lone surrogate":    with(`"kid":"\ud800"`),
		"kid with a low surrogate":     with(`"kid":"\udc00k"`),
		"kid with surrogates reversed": with(`"kid":"\ude00\ud83d"`),
		"kid with invalid UTF-8":       with("\"kid\":\"\xff\""),
		"kid with overlong UTF-8":      with("\"kid\":\"\xc0\xaf\""),
		"kid with a UTF-8 surrogate":   with("\"kid\":\"\xed\xa0\x80\""),
		"kid with a raw newline":       with("\"kid\":\"a\nb\""),
		"kid with a raw NUL":           with("\"kid\":\"a\x00b\""),
		"kid with a bad escape":        with(`"kid":"\x41"`),
		"kid with a short escape":      with(`"kid":"\u004"`),
		"typ number":                   with(`"typ":1`),
		"typ null":                     with(`"typ":null`),
		"typ array":                    with(`"typ":["at+jwt"]`),
		"typ object":                   with(`"typ":{}`),
		"cty JWT":                      with(`"cty":"JWT"`),
		"cty jwt":                      with(`"cty":"jwt"`),
		"cty jWt":                      with(`"cty":"jWt"`),
		"cty application/jwt":          with(`"cty":"application/jwt"`),
		"cty APPLICATION/JWT":          with(`"cty":"APPLICATION/JWT"`),
		"cty escaped":                  with(`"\u0063ty":"J\u0057T"`),
		"cty number":                   with(`"cty":1`),
		"cty null":                     with(`"cty":null`),
		"cty array":                    with(`"cty":["JWT"]`),
		"a header over 8 KiB":          with(`"x":"` + strings.Repeat("x", 8<<10+1-len(with(`"x":""`))) + `"`),
		"33 arrays":                    with(`"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32)),
		"33 objects":                   with(`"x":` + strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32)),
		"crit empty":                   with(`"crit":[]`),
		"crit unknown":                 with(`"crit":["x"],"x":1`),
		"crit of an absent one":        with(`"crit":["x"]`),
		"crit of a base name":          with(`"crit":["alg"]`),
		"crit twice in it":             with(`"crit":["x","x"],"x":1`),
		"crit b64":                     with(`"crit":["b64"],"b64":false`),
		"crit b64 true":                with(`"crit":["b64"],"b64":true`),
		"crit string":                  with(`"crit":"x"`),
		"crit null":                    with(`"crit":null`),
		"crit number":                  with(`"crit":1`),
		"crit object":                  with(`"crit":{}`),
		"crit false":                   with(`"crit":false`),
		"crit of a number":             with(`"crit":[1]`),
		"crit escaped":                 with(`"\u0063rit":["x"],"x":1`),
		"crit before alg":              `{"crit":["x"],"x":1,"alg":"EdDSA"}`,
		"b64 false":                    with(`"b64":false`),
		"b64 true":                     with(`"b64":true`),
		"b64 null":                     with(`"b64":null`),
		"zip":                          with(`"zip":"DEF"`),
		"zip escaped":                  with(`"\u007aip":"\u0044EF"`),
		"enc":                          with(`"enc":"A128GCM"`),
		"enc null":                     with(`"enc":null`),

		"no bytes":                 "",
		"spaces only":              "  ",
		"null":                     `null`,
		"array":                    `[]`,
		"array around":             `[` + good + `]`,
		"string":                   `"` + "EdDSA" + `"`,
		"number":                   `1`,
		"true":                     `true`,
		"BOM":                      "\ufeff" + good,
		"BOM, UTF-16":              "\xff\xfe" + utf16le(good),
		"UTF-16LE":                 utf16le(good),
		"UTF-16BE":                 utf16be(good),
		"UTF-16BE with BOM":        "\xfe\xff" + utf16be(good),
		"form feed before":         "\f" + good,
		"no-break space before":    "\u00a0" + good,
		"trailing letter":          good + `x`,
		"trailing NUL":             good + "\x00",
		"trailing comma after":     good + `,`,
		"trailing brace":           good + `}`,
		"trailing BOM":             good + "\ufeff",
		"two objects":              good + good,
		"two objects, two lines":   good + "\n" + good,
		"trailing comma":           `{"alg":"EdDSA",}`,
		"leading comma":            `{,"alg":"EdDSA"}`,
		"no colon":                 `{"alg" "EdDSA"}`,
		"single quotes":            `{'alg':'EdDSA'}`,
		"bare name":                `{alg:"EdDSA"}`,
		"unterminated":             `{"alg":"EdDSA"`,
		"unterminated string":      `{"alg":"EdDSA`,
		"comment":                  `{"alg":"EdDSA"/**/}`,
		"line comment":             "{\"alg\":\"EdDSA\"//\n}",
		"NaN":                      with(`"x":NaN`),
		"Infinity":                 with(`"x":-Infinity`),
		"hexadecimal":              with(`"x":0x1`),
		"leading zero":             with(`"x":01`),
		"plus sign":                with(`"x":+1`),
		"point last":               with(`"x":1.`),
		"True":                     with(`"x":True`),
		"name not a string":        with(`1:1`),
		"name with invalid UTF-8":  with("\"\xff\":1"),
		"value with invalid UTF-8": with("\"x\":\"\xff\""),
		"name a lone surrogate":    with(`"\ud800":1`),
		"100 000 deep":             with(`"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)),
		"100 000 open":             strings.Repeat(`{"x":`, 100_000),
	} {
		t.Run("refused/"+name, func(t *testing.T) { requireMalformed(t, withHeader(t, header)) })
	}
}

// Input of the kind that made other parsers allocate a slice per dot costs
// nothing, and an ordinary token less than twice its length and a constant.
func TestParseAllocatesWithinBounds(t *testing.T) {
	token := validToken(t)
	long := replaced(token, 1, b64([]byte(strings.Repeat("x", 1<<18))))
	for name, c := range map[string]struct {
		token string
		limit uint64
	}{
		"100 000 dots":           {strings.Repeat(".", 100_000), 64},
		"100 000 dots after":     {token + strings.Repeat(".", 100_000), 64},
		"too long":               {strings.Repeat("a", 1<<20+1), 64},
		"bad character at last":  {long + "!", 2*uint64(len(long)) + 4096},
		"a long token":           {long, 2*uint64(len(long)) + 4096},
		"an alias at the end":    {long[:len(long)-1] + "B", 2*uint64(len(long)) + 4096},
		"one long header string": {replaced(token, 0, strings.Repeat("A", 100_000)), 2*100_000 + 4096},
	} {
		t.Run(name, func(t *testing.T) {
			const runs = 100
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				_, _ = jose.Parse(c.token, 1<<20)
			}
			runtime.ReadMemStats(&after)
			require.LessOrEqual(t, (after.TotalAlloc-before.TotalAlloc)/runs, c.limit)
		})
	}
}

// A buffer that is used again is used again, whatever was in it, and holds all
// that there is to clear.
func TestParseInto(t *testing.T) {
	token := validToken(t)
	want, err := jose.Parse(token, maxToken)
	require.NoError(t, err)
	need := len(token) + base64.RawURLEncoding.DecodedLen(len(token))
	for _, room := range []int{need, need + 1, 4 * need} {
		first := []byte(strings.Repeat(`{"`, room))[:room:room]
		buf := first
		for range 2 {
			j, err := jose.ParseInto(&buf, token, maxToken)
			require.NoError(t, err)
			require.Equal(t, want, j)
			require.Same(t, &first[0], &buf[0])
			require.Same(t, &first[0], &j.Signed[0])
		}
		_, err = jose.ParseInto(&buf, token+"!", maxToken)
		require.ErrorIs(t, err, jose.ErrMalformed)
	}
	for _, room := range []int{0, 1, need - 1} {
		first := make([]byte, room)
		buf := first
		j, err := jose.ParseInto(&buf, token, maxToken)
		require.NoError(t, err)
		require.Equal(t, want, j)
		require.GreaterOrEqual(t, cap(buf), need)
		require.Same(t, &buf[0], &j.Signed[0])
		require.Equal(t, make([]byte, room), first, "what was too small is left alone")
	}
}

// The fields of a JWS share one buffer, and must not show it.
func TestParseFieldsAreApart(t *testing.T) {
	token := validToken(t)
	original := strings.Clone(token)
	read := func(change func(*jose.JWS)) jose.JWS {
		j, err := jose.Parse(token, maxToken)
		require.NoError(t, err)
		change(&j)
		return j
	}
	clean := read(func(*jose.JWS) {})
	scribble := func(b []byte) {
		b = append(b, "overwritten beyond the end, if there is room"...)
		for i := range b {
			b[i] = '#'
		}
	}
	wipe := func(b []byte) {
		for i := range b {
			b[i] = '#'
		}
		scribble(b)
	}
	for name, c := range map[string]struct {
		change func(*jose.JWS)
		left   []string
	}{
		"Signed":    {func(j *jose.JWS) { wipe(j.Signed) }, []string{"Payload", "Signature"}},
		"Payload":   {func(j *jose.JWS) { wipe(j.Payload) }, []string{"Signed", "Signature"}},
		"Signature": {func(j *jose.JWS) { wipe(j.Signature) }, []string{"Signed", "Payload"}},
	} {
		t.Run(name, func(t *testing.T) {
			j := read(c.change)
			fields := map[string][2][]byte{
				"Signed": {clean.Signed, j.Signed}, "Payload": {clean.Payload, j.Payload}, "Signature": {clean.Signature, j.Signature},
			}
			require.NotEqual(t, fields[name][0], fields[name][1])
			for _, other := range c.left {
				require.Equal(t, fields[other][0], fields[other][1])
			}
			require.Equal(t, clean.Header, j.Header)
			require.Equal(t, original, token)
		})
	}
}

// The decoders that were not taken: each accepts an alias of a valid token.
func TestLenientDecodersWouldAcceptAliases(t *testing.T) {
	for _, alias := range []string{"e3\n0", "e3\r\n0", "e31"} {
		b, err := base64.RawURLEncoding.DecodeString(alias)
		require.NoError(t, err)
		require.Equal(t, "{}", string(b))
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString("e3\n0")
	require.NoError(t, err, "Strict is about trailing bits only: it skips newlines as well")
}

// Line breaks are refused wherever they stand, in parts of every length that a part can have.
func TestLineBreaksAreRefused(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	for n := range 12 {
		spaces := strings.Repeat(" ", n)
		parts := []string{encode([]byte(`{"alg":"ES256"}` + spaces)), encode([]byte(`{"iss":"i"}` + spaces)), encode(make([]byte, n+1))}
		_, err := jose.Parse(strings.Join(parts, "."), 1000)
		require.NoError(t, err)
		for i, part := range parts {
			for at := range len(part) + 1 {
				for _, breaks := range []string{"\n", "\r", "\r\n", "\n\n\n", "\n\n\n\n", "\r\n\r\n\r"} {
					broken := slices.Clone(parts)
					broken[i] = part[:at] + breaks + part[at:]
					token := strings.Join(broken, ".")
					_, err := jose.Parse(token, 1000)
					require.ErrorIs(t, err, jose.ErrMalformed, "%q", token)
					if i == 1 {
						_, err = jose.UnverifiedIssuer(new([]byte), token, 1000)
						require.ErrorIs(t, err, jose.ErrMalformed, "%q", token)
					}
				}
			}
		}
	}
}

// What is not three parts of the alphabet is told apart, for whoever has to find out what
// it is instead.
func TestParseSaysWhatItIsInstead(t *testing.T) {
	token := validToken(t)
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	const (
		opaque  = "jose: not exactly three parts: an opaque token, or none at all"
		jwe     = "jose: five parts, as an encrypted token (JWE) has them, which is not accepted"
		foreign = "jose: a character outside the base64url alphabet"
	)
	for _, tt := range []struct{ name, token, want string }{
		{"nothing", "", opaque},
		{"one part", "2YotnFZFEjr1zCsicMWpAA", opaque},
		{"two parts", header + "." + payload, opaque},
		{"four parts", token + ".", "jose: not exactly three parts"},
		{"five parts", "e30.AAAA.AAAA.AAAA.AAAA", jwe},
		{"six parts", "e30.AAAA.AAAA.AAAA.AAAA.AAAA", "jose: not exactly three parts"},
		{"a space", token + " ", foreign},
		{"a line break", token + "\n", foreign},
		{"a carriage return", token + "\r", foreign},
		{"a line break, in one part", "AAAA\n", foreign},
		{"padding", header + "=." + rest, foreign},
		{"the other alphabet", header + "." + payload + ".+/+/", foreign},
		{"no UTF-8", header + ".\xff\xff." + signature, foreign},
		{"more than ASCII", header + ".é." + signature, foreign},
		{"a header of one character", "A." + rest, "jose: the header is not canonical base64url"},
		{"a payload with bits left over", header + ".e31." + signature, "jose: the payload is not canonical base64url"},
		{"a signature of one character", header + "." + payload + ".A", "jose: the signature is not canonical base64url"},
		{"no payload", header + ".." + signature, "jose: the payload is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := jose.Parse(tt.token, maxToken)
			require.ErrorIs(t, err, jose.ErrMalformed)
			require.EqualError(t, err, tt.want)
		})
	}
}
