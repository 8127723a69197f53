package jose_test

import (
	"crypto/fips140"
	"crypto/sha1" // thumbprints of RFC 7515 §4.1.7
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

// thumbprints returns those of some bytes, as a header and a JWK hold them.
func thumbprints(der []byte) jose.Certificate {
	long := sha256.Sum256(der)
	c := jose.Certificate{SHA256: b64(long[:])}
	fips140.WithoutEnforcement(func() {
		short := sha1.Sum(der)
		c.SHA1 = b64(short[:])
	})
	return c
}

// Which thumbprints of a header count. None of them is ever fetched or trusted.
func TestHeaderCertificate(t *testing.T) {
	a := thumbprints([]byte("a"))
	for _, tt := range []struct {
		name   string
		header string
		want   jose.Certificate
	}{
		{name: "x5t", header: `"x5t":"` + a.SHA1 + `"`, want: jose.Certificate{SHA1: a.SHA1}},
		{name: "x5t#S256", header: `"x5t#S256":"` + a.SHA256 + `"`, want: jose.Certificate{SHA256: a.SHA256}},
		{name: "both", header: `"x5t":"` + a.SHA1 + `","x5t#S256":"` + a.SHA256 + `"`, want: a},
		{name: "escaped", header: `"x5\u0074":"` + a.SHA1 + `"`, want: jose.Certificate{SHA1: a.SHA1}},
		{name: "made of hexadecimal text", header: `"x5t":"` + b64([]byte("0123456789abcdef0123456789abcdef01234567")) + `"`,
			want: jose.Certificate{SHA1: b64([]byte("0123456789abcdef0123456789abcdef01234567"))}},
		{name: "a kid before it", header: `"kid":"k","x5t":"` + a.SHA1 + `"`},
		{name: "a kid after it", header: `"x5t#S256":"` + a.SHA256 + `","kid":"k"`},
		{name: "null", header: `"x5t":null`},
		{name: "a number", header: `"x5t":17`},
		{name: "an array", header: `"x5t":["` + a.SHA1 + `"]`},
		{name: "empty", header: `"x5t":""`},
		{name: "not base64url", header: `"x5t":"++++"`},
		{name: "padded", header: `"x5t":"AA=="`},
		{name: "a line break", header: `"x5t":"AAAA\n"`},
		{name: "trailing bits", header: `"x5t":"AB"`},
		{name: "endless", header: `"x5t":"` + b64(make([]byte, 200)) + `"`},
		{name: "one that is malformed beside one that is not", header: `"x5t":17,"x5t#S256":"` + a.SHA256 + `"`, want: jose.Certificate{SHA256: a.SHA256}},
		{name: "another case", header: `"X5T":"` + a.SHA1 + `"`},
		{name: "a certificate and where one is", header: `"x5c":["AAAA"],"x5u":"https://attacker.example/"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, err := jose.Parse(withHeader(t, `{"alg":"EdDSA",`+tt.header+`}`), 1<<20)
			require.NoError(t, err)
			require.Equal(t, tt.want, j.Header.Certificate)
			require.Equal(t, tt.want == jose.Certificate{}, j.Header.Certificate.IsZero())
		})
	}
}

func TestNamedBy(t *testing.T) {
	der, other := []byte("a certificate, as far as this is concerned"), thumbprints([]byte("another"))
	mine := thumbprints(der)
	x5c := []string{base64.StdEncoding.EncodeToString(der), "AAAA"}
	for _, tt := range []struct {
		name        string
		jwk         members
		token       jose.Certificate
		same, known bool
		sha1        bool // SHA-1 has to be made of the certificate
	}{
		{name: "nothing", jwk: members{}, token: mine},
		{name: "x5t", jwk: members{"x5t": mine.SHA1}, token: jose.Certificate{SHA1: mine.SHA1}, same: true, known: true},
		{name: "x5t of another", jwk: members{"x5t": other.SHA1}, token: jose.Certificate{SHA1: mine.SHA1}, known: true},
		{name: "x5t#S256", jwk: members{"x5t#S256": mine.SHA256}, token: jose.Certificate{SHA256: mine.SHA256}, same: true, known: true},
		{name: "x5t#S256 of another", jwk: members{"x5t#S256": other.SHA256}, token: jose.Certificate{SHA256: mine.SHA256}, known: true},
		{name: "another kind", jwk: members{"x5t#S256": mine.SHA256}, token: jose.Certificate{SHA1: mine.SHA1}},
		{name: "one kind of two", jwk: members{"x5t": mine.SHA1}, token: mine, same: true, known: true},
		{name: "x5t as some text", jwk: members{"x5t": "AAAA"}, token: jose.Certificate{SHA1: "AAAA"}, same: true, known: true},
		{name: "x5c, asked by SHA-256", jwk: members{"x5c": x5c}, token: jose.Certificate{SHA256: mine.SHA256}, same: true, known: true},
		{name: "x5c, asked by SHA-1", jwk: members{"x5c": x5c}, token: jose.Certificate{SHA1: mine.SHA1}, same: true, known: true, sha1: true},
		{name: "x5c of another", jwk: members{"x5c": x5c}, token: jose.Certificate{SHA256: other.SHA256}, known: true},
		{name: "x5c, the second of it", jwk: members{"x5c": []string{"AAAA", x5c[0]}}, token: jose.Certificate{SHA256: mine.SHA256}, known: true},
		{name: "x5t of another beside x5c", jwk: members{"x5c": x5c, "x5t#S256": other.SHA256}, token: jose.Certificate{SHA256: mine.SHA256}, same: true, known: true},
		{name: "x5t a number", jwk: members{"x5t": 17}, token: mine},
		{name: "x5t null", jwk: members{"x5t": nil}, token: mine},
		{name: "x5c empty", jwk: members{"x5c": []string{}}, token: mine},
		{name: "x5c no base64", jwk: members{"x5c": []string{"!!"}}, token: mine},
		{name: "x5c of nothing", jwk: members{"x5c": []string{""}}, token: mine},
		{name: "x5c of numbers", jwk: members{"x5c": []int{1}}, token: mine},
		{name: "x5c a string", jwk: members{"x5c": x5c[0]}, token: mine},
		{name: "a token that names none", jwk: members{"x5t": mine.SHA1, "x5c": x5c}, token: jose.Certificate{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.sha1 && fips140.Enforced() {
				tt.same, tt.known = false, false // there is no SHA-1: x5t is compared as text only
			}
			jwk := ecJWK(t)
			for name, value := range tt.jwk {
				jwk = jwk.with(name, value)
			}
			same, known := admitted(t, jwk.json(t)).NamedBy(tt.token)
			require.Equal(t, tt.same, same)
			require.Equal(t, tt.known, known)
		})
	}
	same, known := jose.Key{}.NamedBy(mine)
	require.False(t, same || known)
}

func TestServesIssuer(t *testing.T) {
	const one, two = "11111111-aaaa-4bbb-8ccc-dddddddddddd", "22222222-aaaa-4bbb-8ccc-dddddddddddd"
	const login = "https://login.example.test/"
	for _, tt := range []struct {
		name, of, issuer string
		serves           bool
	}{
		{name: "the same", of: login + one + "/v2.0", issuer: login + one + "/v2.0", serves: true},
		{name: "another tenant", of: login + two + "/v2.0", issuer: login + one + "/v2.0"},
		{name: "a slash more", of: login + one, issuer: login + one + "/"},
		{name: "another case", of: login + "A", issuer: login + "a"},
		{name: "any tenant", of: login + "{tenantid}/v2.0", issuer: login + one + "/v2.0", serves: true},
		{name: "any tenant, a name", of: login + "{tenantid}/v2.0", issuer: login + "contoso.example_1-x/v2.0", serves: true},
		{name: "any tenant at the end", of: login + "{tenantid}", issuer: login + one, serves: true},
		{name: "no tenant", of: login + "{tenantid}/v2.0", issuer: login + "/v2.0"},
		{name: "two segments", of: login + "{tenantid}/v2.0", issuer: login + "a/b/v2.0"},
		{name: "an escape", of: login + "{tenantid}/v2.0", issuer: login + "a%2Fb/v2.0"},
		{name: "a query", of: login + "{tenantid}/v2.0", issuer: login + "a?b/v2.0"},
		{name: "a user", of: "https://{tenantid}.example.test/", issuer: "https://x@y.example.test/"},
		{name: "dots", of: login + "{tenantid}/v2.0", issuer: login + "../v2.0"},
		{name: "a dot", of: login + "{tenantid}/v2.0", issuer: login + "./v2.0"},
		{name: "letters beyond ASCII", of: login + "{tenantid}/v2.0", issuer: login + "é/v2.0"},
		{name: "another host", of: login + "{tenantid}/v2.0", issuer: "https://evil.example/" + one + "/v2.0"},
		{name: "another end", of: login + "{tenantid}/v2.0", issuer: login + one + "/v2.1"},
		{name: "more behind it", of: login + "{tenantid}/v2.0", issuer: login + one + "/v2.0/x"},
		{name: "less", of: login + "{tenantid}/v2.0", issuer: login[:3]},
		{name: "nothing", of: login + "{tenantid}/v2.0", issuer: ""},
		{name: "another placeholder", of: login + "{tenant}/v2.0", issuer: login + one + "/v2.0"},
		{name: "the tenant twice", of: "https://{tenantid}.example.test/{tenantid}/v2.0", issuer: "https://" + one + ".example.test/" + one + "/v2.0", serves: true},
		{name: "two tenants", of: "https://{tenantid}.example.test/{tenantid}/v2.0", issuer: "https://" + one + ".example.test/" + two + "/v2.0"},
		{name: "nothing but the tenant", of: "{tenantid}", issuer: "x", serves: true},

		{name: "Entra v1 of any tenant", of: "https://login.microsoftonline.com/{tenantid}/v2.0", issuer: "https://sts.windows.net/" + one + "/", serves: true},
		{name: "Entra v1 of the tenant", of: "https://login.microsoftonline.com/" + one + "/v2.0", issuer: "https://sts.windows.net/" + one + "/", serves: true},
		{name: "Entra v1 of another tenant", of: "https://login.microsoftonline.com/" + two + "/v2.0", issuer: "https://sts.windows.net/" + one + "/"},
		{name: "Entra v1 in China", of: "https://login.partner.microsoftonline.cn/" + one + "/v2.0", issuer: "https://sts.chinacloudapi.cn/" + one + "/", serves: true},
		{name: "Entra v1 of another cloud", of: "https://login.partner.microsoftonline.cn/{tenantid}/v2.0", issuer: "https://sts.windows.net/" + one + "/"},
		{name: "Entra v1 of no tenant", of: "https://login.microsoftonline.com/{tenantid}/v2.0", issuer: "https://sts.windows.net//"},
		{name: "Entra v1 of two segments", of: "https://login.microsoftonline.com/{tenantid}/v2.0", issuer: "https://sts.windows.net/a/b/"},
		{name: "Entra v1 without the slash", of: "https://login.microsoftonline.com/{tenantid}/v2.0", issuer: "https://sts.windows.net/" + one},
		{name: "Entra v1 of something else", of: "https://login.microsoftonline.com/" + one, issuer: "https://sts.windows.net/" + one + "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.serves, admitted(t, ecJWK(t).with("issuer", tt.of).json(t)).ServesIssuer(tt.issuer))
		})
	}
	for _, issuer := range []string{"", login, "x"} {
		require.True(t, admitted(t, ecJWK(t).json(t)).ServesIssuer(issuer), "a key that does not say")
		require.True(t, admitted(t, ecJWK(t).with("issuer", nil).json(t)).ServesIssuer(issuer))
	}
	for _, odd := range []any{"", 17, true, []string{login}, members{}} { // whom it serves, nobody can say
		refused(t, ecJWK(t).with("issuer", odd).json(t))
	}
}
