package jose_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/stretchr/testify/require"
)

const as = "https://as.example.com"

// strictIssuer reads iss as the verifier does after the signature.
func strictIssuer(claims []byte) (issuer string, err error) {
	err = strictjson.Object(claims, func(name, value []byte) (err error) {
		if string(name) == "iss" && !strictjson.IsNull(value) {
			issuer, err = strictjson.String(value)
		}
		return err
	})
	return issuer, err
}

// bothWays finds the iss in a token and in a payload, which must be the same.
func bothWays(t *testing.T, claims string) (string, error) {
	t.Helper()
	var buf []byte
	in, err := jose.UnverifiedIssuer(&buf, plainHeaderPart+"."+b64([]byte(claims))+".AAAA", 1<<20)
	of, errOf := jose.JWS{Payload: []byte(claims)}.UnverifiedIssuer()
	require.Equal(t, err, errOf)
	require.Equal(t, in, of)
	if err != nil {
		require.Nil(t, in)
		require.NotEqual(t, errors.Is(err, jose.ErrNoIssuer), errors.Is(err, jose.ErrMalformed), "exactly one")
	}
	return string(in), err
}

var plainHeaderPart = b64([]byte(plainHeader))

func nestedIn(brackets string, depth int, inside string) string {
	return strings.Repeat(brackets[:len(brackets)-1], depth) + inside + strings.Repeat(brackets[len(brackets)-1:], depth)
}

func TestUnverifiedIssuer(t *testing.T) {
	const twice = `"iss":"https://evil.example.com","iss":"` + as + `"`
	for _, tt := range []struct {
		name, claims string
		want         string // the iss
		err          error
		strict       bool // the strict reader refuses what is let through here
	}{
		{name: "alone", claims: `{"iss":"` + as + `"}`, want: as},
		{name: "first", claims: `{"iss":"` + as + `","aud":["a","b"],"exp":1e9,"ok":true,"no":null,"o":{}}`, want: as},
		{name: "last", claims: `{"aud":["a",{"iss":"x"}],"exp":-1.5E+9,"ok":false,"no":null,"o":{"iss":"y"},"iss":"` + as + `"}`, want: as},
		{name: "words, nested", claims: `{"a":[true,false,null,{"b":null,"c":true}],"iss":"` + as + `"}`, want: as},
		{name: "white space everywhere", claims: " \t\r\n{ \n\"a\" : [ 1 , 2 ] ,\t\"iss\"\r:\n\"" + as + "\" } \n", want: as},
		{name: "no URL", claims: `{"iss":"joe"}`, want: "joe"},
		{name: "brackets and quotes in strings", claims: `{"a":"}],{\"iss\":\"x\",","b":["]","\\"],"iss":"` + as + `","c":"\\\\\""}`, want: as},
		{name: "an iss in the text of a string", claims: `{"a":"\",\"iss\":\"https://evil.example.com","iss":"` + as + `"}`, want: as},
		{name: "a backslash at the end of a string", claims: `{"a":"\\","iss":"` + as + `"}`, want: as},
		{name: "an escaped name", claims: `{"\u0069s\u0073":"` + as + `"}`, want: as},
		{name: "an escaped name in other digits", claims: `{"i\u0073\u0073":"` + as + `"}`, want: as},
		{name: "an escaped value", claims: `{"iss":"https:\/\/as.example\u002ecom"}`, want: as},
		{name: "letters that are no ASCII", claims: `{"iss":"https://ås.example.com"}`, want: "https://ås.example.com"},
		{name: "other escapes in names", claims: `{"\n":1,"\u00e9":2,"\"iss\"":"x","iss":"` + as + `"}`, want: as},
		{name: "a name that begins so", claims: `{"issuer":"x","is":"y","\u0069\u0073\u0073\u0073":"z","iss":"` + as + `"}`, want: as},
		{name: "names in other spellings", claims: `{"Iss":"x","ISS":"y","iſs":"z","iss":"` + as + `"}`, want: as},
		{name: "a name of an escape and the digits", claims: `{"\n0069ss":"x","xu0069ss":"y","iss":"` + as + `"}`, want: as},
		{name: "a name that looks so", claims: `{"\u01690s":"x","\u0169ss":"y","\uff49ss":"z","iss":"` + as + `"}`, want: as},
		{name: "as deep as may be", claims: `{"a":` + nestedIn("[]", 511, "") + `,"iss":"` + as + `"}`, want: as},
		{name: "as deep as may be, in objects", claims: `{"a":` + nestedIn(`{"a":}`, 511, "1") + `,"iss":"` + as + `"}`, want: as},
		{name: "wide", claims: `{"a":[` + strings.Repeat(`{"a":[]},`, 5000) + `0],"iss":"` + as + `"}`, want: as},
		{name: "long", claims: `{"a":"` + strings.Repeat(`x\"`, 20000) + `","iss":"` + as + `"}`, want: as},

		{name: "no member", claims: `{}`, err: jose.ErrNoIssuer},
		{name: "no iss", claims: `{"sub":"x"}`, err: jose.ErrNoIssuer},
		{name: "Iss alone", claims: `{"Iss":"` + as + `"}`, err: jose.ErrNoIssuer},
		{name: "ISS alone", claims: `{"ISS":"` + as + `"}`, err: jose.ErrNoIssuer},
		{name: "nested alone", claims: `{"a":{"iss":"` + as + `"}}`, err: jose.ErrNoIssuer},
		{name: "nested in an array", claims: `{"a":[{"iss":"` + as + `"}]}`, err: jose.ErrNoIssuer},
		{name: "empty", claims: `{"iss":""}`, err: jose.ErrNoIssuer},
		{name: "null", claims: `{"iss":null}`, err: jose.ErrNoIssuer},

		{name: "null and a space", claims: `{"iss":null }`, err: jose.ErrNoIssuer},
		{name: "null and white space", claims: "{\"iss\":null\t\r\n,\"a\":1}", err: jose.ErrNoIssuer},
		{name: "twice", claims: `{` + twice + `}`, err: jose.ErrMalformed},
		{name: "twice the same", claims: `{"iss":"` + as + `","iss":"` + as + `"}`, err: jose.ErrMalformed},
		{name: "twice, far apart", claims: `{"iss":"` + as + `","a":[1,{"b":2}],"iss":"x"}`, err: jose.ErrMalformed},
		{name: "twice, once escaped", claims: `{"iss":"` + as + `","\u0069ss":"x"}`, err: jose.ErrMalformed},
		{name: "twice, once null", claims: `{"iss":null,"iss":"` + as + `"}`, err: jose.ErrMalformed},
		{name: "twice, null after", claims: `{"iss":"` + as + `","iss":null}`, err: jose.ErrMalformed},
		{name: "a number", claims: `{"iss":5}`, err: jose.ErrMalformed},
		{name: "true", claims: `{"iss":true}`, err: jose.ErrMalformed},
		{name: "nearly null", claims: `{"iss":nul}`, err: jose.ErrMalformed},
		{name: "an array", claims: `{"iss":["` + as + `"]}`, err: jose.ErrMalformed},
		{name: "an object", claims: `{"iss":{"iss":"` + as + `"}}`, err: jose.ErrMalformed},
		{name: "no value", claims: `{"iss":}`, err: jose.ErrMalformed},
		{name: "no value, a comma", claims: `{"iss":,"a":1}`, err: jose.ErrMalformed},
		{name: "quotes within", claims: `{"iss":55""}`, err: jose.ErrMalformed},
		{name: "two strings", claims: `{"iss":"a""b"}`, err: jose.ErrMalformed},
		{name: "bad UTF-8 in iss", claims: "{\"iss\":\"\xff\"}", err: jose.ErrMalformed},
		{name: "half a surrogate in iss", claims: `{"iss":"\ud800"}`, err: jose.ErrMalformed},
		{name: "a control character in iss", claims: "{\"iss\":\"a\nb\"}", err: jose.ErrMalformed},
		{name: "the last control character in iss", claims: "{\"iss\":\"a\x1fb\"}", err: jose.ErrMalformed},
		{name: "null and a tilde", claims: `{"iss":null~}`, err: jose.ErrMalformed},
		{name: "null and more", claims: `{"iss":null null}`, err: jose.ErrMalformed},
		{name: "a name without its first quote", claims: `{xiss":"` + as + `"}`, err: jose.ErrMalformed},
		{name: "no name", claims: `{:1,"iss":"` + as + `"}`, err: jose.ErrMalformed},
		{name: "a comma and no more", claims: `{"iss":"` + as + `",`, err: jose.ErrMalformed},
		{name: "a number and no more", claims: `{"iss":"` + as + `","a":1`, err: jose.ErrMalformed},
		{name: "a backslash and no more", claims: `{"iss":"` + as + `","a":"\`, err: jose.ErrMalformed},
		{name: "a quote and no more", claims: `{"iss":"`, err: jose.ErrMalformed},
		{name: "a string and no more", claims: `{"iss":"` + as + `","a":"x"`, err: jose.ErrMalformed},
		{name: "a bad escape in iss", claims: `{"iss":"\x41"}`, err: jose.ErrMalformed},
		{name: "nothing", claims: ``, err: jose.ErrMalformed},
		{name: "white space", claims: ` `, err: jose.ErrMalformed},
		{name: "null for claims", claims: `null`, err: jose.ErrMalformed},
		{name: "an array of claims", claims: `[{"iss":"` + as + `"}]`, err: jose.ErrMalformed},
		{name: "a string of claims", claims: `"{\"iss\":\"x\"}"`, err: jose.ErrMalformed},
		{name: "a BOM", claims: "\ufeff{\"iss\":\"" + as + `"}`, err: jose.ErrMalformed},
		{name: "data after", claims: `{"iss":"` + as + `"}{}`, err: jose.ErrMalformed},
		{name: "a NUL after", claims: `{"iss":"` + as + "\"}\x00", err: jose.ErrMalformed},
		{name: "a comma after", claims: `{"iss":"` + as + `",}`, err: jose.ErrMalformed},
		{name: "a comma before", claims: `{,"iss":"` + as + `"}`, err: jose.ErrMalformed},
		{name: "no colon", claims: `{"iss" "` + as + `"}`, err: jose.ErrMalformed},
		{name: "a name without quotes", claims: `{iss:"` + as + `"}`, err: jose.ErrMalformed},
		{name: "single quotes", claims: `{'iss':'` + as + `'}`, err: jose.ErrMalformed},
		{name: "a comment", claims: `{/**/"iss":"` + as + `"}`, err: jose.ErrMalformed},
		{name: "not closed", claims: `{"iss":"` + as + `"`, err: jose.ErrMalformed},
		{name: "a string not closed", claims: `{"iss":"` + as, err: jose.ErrMalformed},
		{name: "a string not closed, nested", claims: `{"iss":"` + as + `","a":["`, err: jose.ErrMalformed},
		{name: "an array not closed", claims: `{"iss":"` + as + `","a":[1`, err: jose.ErrMalformed},
		{name: "a name and no more", claims: `{"iss"`, err: jose.ErrMalformed},
		{name: "a colon and no more", claims: `{"iss":`, err: jose.ErrMalformed},
		{name: "too deep", claims: `{"a":` + nestedIn("[]", 512, "") + `,"iss":"` + as + `"}`, err: jose.ErrMalformed},
		{name: "too deep, after iss", claims: `{"iss":"` + as + `","a":` + nestedIn(`{"a":}`, 512, "1") + `}`, err: jose.ErrMalformed},

		{name: "bad UTF-8 elsewhere", claims: "{\"iss\":\"" + as + "\",\"a\":\"\xff\"}", want: as, strict: true},
		{name: "another name twice", claims: `{"iss":"` + as + `","a":{"b":1,"b":2}}`, want: as, strict: true},
		{name: "no number", claims: `{"iss":"` + as + `","a":0x1}`, want: as, strict: true},
		{name: "brackets that do not match", claims: `{"iss":"` + as + `","a":[}}`, want: as, strict: true},
		{name: "a bad escape in a name", claims: `{"iss":"` + as + `","\u00zz":1}`, want: as, strict: true},
		{name: "a byte that is no number", claims: "{\"iss\":\"" + as + "\",\"a\":\xff}", want: as, strict: true},
		{name: "a control character", claims: "{\"iss\":\"" + as + "\",\"a\":\"\n\"}", want: as, strict: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer, err := bothWays(t, tt.claims)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, issuer)
			read, err := strictIssuer([]byte(tt.claims))
			if tt.strict {
				require.Error(t, err)
			} else if tt.want != "" {
				require.NoError(t, err)
				require.Equal(t, tt.want, read)
			}
		})
	}
}

// Whoever has such claims is told why they are refused.
func TestUnverifiedIssuerSaysThatClaimsAreTooDeep(t *testing.T) {
	_, err := bothWays(t, `{"a":`+nestedIn("[]", 512, "")+`,"iss":"`+as+`"}`)
	require.ErrorContains(t, err, "more than 512 objects and arrays")
}

func TestUnverifiedIssuerTakesOnlyTheFormOfAToken(t *testing.T) {
	payload := b64([]byte(`{"iss":"` + as + `"}`))
	token := plainHeaderPart + "." + payload + ".AAAA"
	for _, tt := range []struct {
		name, token string
		max         int // of bytes; 0: enough
		err         error
	}{
		{name: "good", token: token},
		{name: "no signature", token: plainHeaderPart + "." + payload + "."},
		{name: "any header and signature", token: "!." + payload + ".!"},
		{name: "just short enough", token: token, max: len(token)},
		{name: "too long", token: token, max: len(token) - 1, err: jose.ErrTooLarge},
		{name: "nothing", err: jose.ErrMalformed},
		{name: "one part", token: payload, err: jose.ErrMalformed},
		{name: "two parts", token: plainHeaderPart + "." + payload, err: jose.ErrMalformed},
		{name: "four parts", token: token + ".", err: jose.ErrMalformed},
		{name: "five parts", token: token + "..", err: jose.ErrMalformed},
		{name: "an empty payload", token: plainHeaderPart + "..", err: jose.ErrMalformed},
		{name: "padding", token: plainHeaderPart + "." + payload + "=.AAAA", err: jose.ErrMalformed},
		{name: "a line break within", token: plainHeaderPart + "." + payload[:4] + "\r\n" + payload[4:] + ".AAAA", err: jose.ErrMalformed},
		{name: "a line break after", token: plainHeaderPart + "." + payload + "\n.AAAA", err: jose.ErrMalformed},
		{name: "a line break after whole groups of four", token: plainHeaderPart + "." + b64([]byte(`{"iss":"me"}`)) + "\n.AAAA", err: jose.ErrMalformed},
		{name: "a foreign character after whole groups of four", token: plainHeaderPart + "." + b64([]byte(`{"iss":"me"}`)) + "=.AAAA", err: jose.ErrMalformed},
		{name: "a space", token: plainHeaderPart + ". " + payload + ".AAAA", err: jose.ErrMalformed},
		{name: "the other alphabet", token: plainHeaderPart + ".+/" + payload + ".AAAA", err: jose.ErrMalformed},
		{name: "bits left over", token: plainHeaderPart + "." + b64([]byte(`{"iss":"joe"}`))[:17] + "1.AAAA", err: jose.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.max == 0 {
				tt.max = 1 << 20
			}
			var buf []byte
			issuer, err := jose.UnverifiedIssuer(&buf, tt.token, tt.max)
			require.ErrorIs(t, err, tt.err)
			if tt.err == nil {
				require.Equal(t, as, string(issuer))
			} else {
				require.Nil(t, issuer)
				require.NotContains(t, err.Error(), as)
			}
		})
	}
}

// What stands in the buffer is known: whoever has it can clear it.
func TestUnverifiedIssuerAndItsBuffer(t *testing.T) {
	token := func(claims string) string { return plainHeaderPart + "." + b64([]byte(claims)) + ".AAAA" }
	var buf []byte
	for _, claims := range []string{`{"iss":"` + as + `"}`, `{"sub":"` + strings.Repeat("x", 10000) + `"}`, `{"iss":"` + as + `"}`, `{"iss"`} {
		_, _ = jose.UnverifiedIssuer(&buf, token(claims), 1<<20)
		require.Equal(t, b64([]byte(claims))+claims, string(buf))
		clear(buf)
		require.Empty(t, strings.Trim(string(buf[:cap(buf)]), "\x00"))
	}
	_, err := jose.UnverifiedIssuer(&buf, plainHeaderPart+"."+b64([]byte(as))+"=.AAAA", 1<<20)
	require.Error(t, err)
	clear(buf)
	require.Empty(t, strings.Trim(string(buf[:cap(buf)]), "\x00"), "half a payload was decoded")

	for name, claims := range map[string]string{
		"usual": `{"iss":"` + as + `","aud":["a"],"exp":1e9,"a":{"b":[1,2]}}`,
		"names": `{` + strings.Repeat(`"\u0069s":1,"\n":2,`, 100) + `"iss":"` + as + `"}`,
		"deep":  `{"iss":"` + as + `","a":` + nestedIn("[]", 5000, "") + `}`,
	} {
		token := token(claims)
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = jose.UnverifiedIssuer(&buf, token, 1<<20) }), name)
	}
}

// Two readers that disagree on iss could be sent two different ways.
func FuzzUnverifiedIssuer(f *testing.F) {
	for _, claims := range []string{
		`{"iss":"joe"}`, `{"iss":"joe","iss":"eve"}`, `{"\u0069ss":"joe"}`, `{"a":{"iss":"eve"},"iss":"joe"}`, `{"a":"\\\"","iss":"j\u006fe"}`,
		`{"iss":null}`, `{"iss":[]}`, `{"Iss":"eve"}`, "\ufeff{}", `{"iss":"joe"}x`, `{"a":[}],"iss":"joe"}`, ` { "iss" : "joe" , "a" : 1e9 } `,
		`{"iss":"`, `{"iss":null }`,
		`{"a":` + nestedIn("[]", 511, "") + `,"iss":"joe"}`, `{"a":` + nestedIn("[]", 512, "") + `,"iss":"joe"}`, "{\"iss\":\"\xff\"}", `{"iss":55""}`,
	} {
		f.Add([]byte(claims))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		found, err := bothWays(t, string(claims))
		read, strictErr := strictIssuer(claims)
		switch {
		case strictErr != nil: // and so the verifier refuses it, whoever is asked
		case deeperThan(claims, 512):
			require.ErrorIs(t, err, jose.ErrMalformed)
		case read == "":
			require.ErrorIs(t, err, jose.ErrNoIssuer)
		default:
			require.NoError(t, err)
			require.Equal(t, read, found)
		}
	})
}

// deeperThan counts the nesting of valid JSON, strings apart.
func deeperThan(claims []byte, most int) bool {
	depth, inString, escaped := 0, false, false
	for _, c := range claims {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
