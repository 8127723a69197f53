package mtls_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
)

const (
	proxyPeer = "10.1.2.3:4711"
	stranger  = "192.0.2.7:4711"
)

// Each format as its proxy writes it, and a little beside that.
// req: R9440-01 R9440-02 R9440-07 R9440-09 XFCC-01 XFCC-02 NGX-01 TRF-01
func TestFormats(t *testing.T) {
	ca := issue(t, newKey(t), nil)
	own, other := issue(t, newKey(t), &ca), issue(t, newKey(t), &ca)
	for !containsEach(b64(own.Leaf.Raw), "+/=") { // which some formats escape
		own = issue(t, newKey(t), &ca)
	}
	der := own.Leaf.Raw
	text := armour(der)
	standard, escaped := b64(der), escape(text)
	cert := `Cert="` + escaped + `"`
	foreign := `Hash=` + hash(other.Leaf.Raw) + `;Cert="` + escape(armour(other.Leaf.Raw)) + `"`
	unarmoured := strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "", "\n", "").Replace(text)
	long := strings.Repeat("A", mtls.MaxHeaderBytes+1)
	trailing := append(append([]byte{}, der...), 0)
	big := make([]byte, mtls.MaxCertificateBytes+1)
	escapedAll := escape(unarmoured)
	pad := func(length int) string { // fills an element up
		return cert + `;Subject="` + strings.Repeat("A", length-len(cert+`;Subject=""`)) + `"`
	}
	for _, tc := range []struct {
		name   string
		format mtls.Format
		hops   int
		values []string
		ok     bool
	}{
		{name: "as RFC 9440 has it", format: mtls.RFC9440, values: []string{":" + standard + ":"}, ok: true},
		{name: "no value", format: mtls.RFC9440},
		{name: "an empty value", format: mtls.RFC9440, values: []string{""}},
		{name: "no colons", format: mtls.RFC9440, values: []string{standard}},
		{name: "no colon behind it", format: mtls.RFC9440, values: []string{":" + standard}},
		{name: "no colon before it", format: mtls.RFC9440, values: []string{standard + ":"}},
		{name: "one colon", format: mtls.RFC9440, values: []string{":"}},
		{name: "nothing between colons", format: mtls.RFC9440, values: []string{"::"}},
		{name: "spaces around it", format: mtls.RFC9440, values: []string{" :" + standard + ": "}},
		{name: "a space within", format: mtls.RFC9440, values: []string{":" + standard[:8] + " " + standard[8:] + ":"}},
		{name: "a line break within", format: mtls.RFC9440, values: []string{":" + standard[:8] + "\n" + standard[8:] + ":"}},
		{name: "a carriage return within", format: mtls.RFC9440, values: []string{":" + standard[:8] + "\r" + standard[8:] + ":"}},
		{name: "base64url", format: mtls.RFC9440, values: []string{":" + base64.URLEncoding.EncodeToString(der) + "-_==:"}},
		{name: "too much padding", format: mtls.RFC9440, values: []string{":" + standard + "=:"}},
		{name: "PEM", format: mtls.RFC9440, values: []string{":" + b64([]byte(text)) + ":"}},
		{name: "escaped PEM", format: mtls.RFC9440, values: []string{escaped}},
		{name: "a parameter", format: mtls.RFC9440, values: []string{":" + standard + ":;a=1"}},
		{name: "a list", format: mtls.RFC9440, values: []string{":" + standard + ":, :" + standard + ":"}},
		{name: "two lines", format: mtls.RFC9440, values: []string{":" + standard + ":", ":" + standard + ":"}},
		{name: "the first line is empty", format: mtls.RFC9440, values: []string{"", ":" + standard + ":"}},
		{name: "the second line is empty", format: mtls.RFC9440, values: []string{":" + standard + ":", ""}},
		{name: "a byte behind the certificate", format: mtls.RFC9440, values: []string{":" + b64(trailing) + ":"}},
		{name: "two certificates", format: mtls.RFC9440, values: []string{":" + b64(append(append([]byte{}, der...), other.Leaf.Raw...)) + ":"}},
		{name: "no certificate", format: mtls.RFC9440, values: []string{":" + b64([]byte("junk")) + ":"}},
		{name: "too long a certificate", format: mtls.RFC9440, values: []string{":" + b64(big) + ":"}},
		{name: "too long a header", format: mtls.RFC9440, values: []string{long}},

		{name: "XFCC: Cert", format: mtls.XFCC, values: []string{cert}, ok: true},
		{name: "XFCC: Cert without quotes", format: mtls.XFCC, values: []string{"Cert=" + escaped}, ok: true},
		{name: "XFCC: Hash alone", format: mtls.XFCC, values: []string{"Hash=" + hash(der)}, ok: true},
		{name: "XFCC: Hash in capitals", format: mtls.XFCC, values: []string{"Hash=" + strings.ToUpper(hash(der))}, ok: true},
		{name: "XFCC: all that Envoy writes", format: mtls.XFCC, values: []string{"By=spiffe://a/b;Hash=" + hash(der) + ";" + cert + `;Chain="` + escaped + escape(armour(ca.Leaf.Raw)) + `";Subject="CN=\"a\\,b;c\",O=d=e";URI=spiffe://x;URI=spiffe://y;DNS=a.example;DNS=b.example`}, ok: true},
		{name: "XFCC: a proxy with several names", format: mtls.XFCC, values: []string{"By=spiffe://a/b;By=spiffe://a/c;Hash=" + hash(der)}, ok: true},
		{name: "XFCC: keys in other case", format: mtls.XFCC, values: []string{"hash=" + hash(der) + `;CERT="` + escaped + `"`}, ok: true},
		{name: "XFCC: empty subject", format: mtls.XFCC, values: []string{cert + `;Subject="";URI=`}, ok: true},
		{name: "XFCC: an empty value at the front", format: mtls.XFCC, values: []string{"URI=;" + cert}, ok: true},
		{name: "XFCC: a tilde in a value", format: mtls.XFCC, values: []string{cert + ";URI=https://a.example/~b"}, ok: true},
		{name: "XFCC: a character that is escaped for nothing", format: mtls.XFCC, values: []string{`Hash="\` + hash(der) + `"`}, ok: true},
		{name: "XFCC: the first letter, and the last", format: mtls.XFCC, values: []string{cert + ";a=b;z=c"}, ok: true},
		{name: "XFCC: a letter and a digit", format: mtls.XFCC, values: []string{cert + ";a1=b"}},
		{name: "XFCC: an underscore", format: mtls.XFCC, values: []string{cert + ";a_a=b"}},
		{name: "XFCC: the character before a", format: mtls.XFCC, values: []string{cert + ";`=b"}},
		{name: "XFCC: the character behind z", format: mtls.XFCC, values: []string{cert + ";{=b"}},
		{name: "XFCC: as long a header as may be", format: mtls.XFCC, values: []string{pad(65_536)}, ok: true},
		{name: "XFCC: a byte too long a header", format: mtls.XFCC, values: []string{pad(65_537)}},
		{name: "XFCC: Cert is no PEM", format: mtls.XFCC, values: []string{"Cert=AAAA"}},
		{name: "XFCC: not as many quotes", format: mtls.XFCC, values: []string{cert + `;Subject="CN=a`}},
		{name: "XFCC: a backslash at the end", format: mtls.XFCC, values: []string{cert + `;Subject="CN=a\`}},
		{name: "XFCC: an escaped quote at the end", format: mtls.XFCC, values: []string{cert + `;Subject="CN=a\"`}},
		{name: "XFCC: something behind a quote", format: mtls.XFCC, values: []string{cert + `;Subject="CN=a"b`}},
		{name: "XFCC: a quote within", format: mtls.XFCC, values: []string{cert + `;URI=a"b"`}},
		{name: "XFCC: a quote within, and a pair behind it", format: mtls.XFCC, values: []string{cert + `;URI=a"DNS=b`}},
		{name: "XFCC: two Certs", format: mtls.XFCC, values: []string{cert + ";" + cert}},
		{name: "XFCC: two Hashes in different case", format: mtls.XFCC, values: []string{"Hash=" + hash(der) + ";hash=" + hash(der)}},
		{name: "XFCC: Hash of another one", format: mtls.XFCC, values: []string{"Hash=" + hash(other.Leaf.Raw) + ";" + cert}},
		{name: "XFCC: half a Hash", format: mtls.XFCC, values: []string{"Hash=" + hash(der)[:32]}},
		{name: "XFCC: Hash and more", format: mtls.XFCC, values: []string{"Hash=" + hash(der) + "00"}},
		{name: "XFCC: Hash is no hexadecimal", format: mtls.XFCC, values: []string{"Hash=" + strings.Repeat("g", 64)}},
		{name: "XFCC: neither", format: mtls.XFCC, values: []string{"By=a;Subject=\"CN=client-1\""}},
		{name: "XFCC: Chain alone", format: mtls.XFCC, values: []string{`Chain="` + escaped + `"`}},
		{name: "XFCC: empty values", format: mtls.XFCC, values: []string{`Hash=;Cert=""`}},
		{name: "XFCC: no key", format: mtls.XFCC, values: []string{cert + ";=a"}},
		{name: "XFCC: no value", format: mtls.XFCC, values: []string{cert + ";URI"}},
		{name: "XFCC: a semicolon at the end", format: mtls.XFCC, values: []string{cert + ";"}},
		{name: "XFCC: a comma at the end", format: mtls.XFCC, values: []string{cert + ","}},
		{name: "XFCC: a comma at the front", format: mtls.XFCC, values: []string{"," + cert}},
		{name: "XFCC: a space before a key", format: mtls.XFCC, values: []string{"By=a; " + cert}},
		{name: "W2-179 XFCC: two elements", format: mtls.XFCC, values: []string{cert + "," + foreign}},
		{name: "W2-179 XFCC: two elements, the last is the one", format: mtls.XFCC, values: []string{foreign + "," + cert}},
		{name: "XFCC: too long a header", format: mtls.XFCC, values: []string{cert + `;Subject="` + long + `"`}},
		{name: "XFCC: an equals sign without quotes", format: mtls.XFCC, values: []string{cert + ";URI=a=DNS=b"}},
		{name: "XFCC: two lines", format: mtls.XFCC, values: []string{cert, foreign}},
		{name: "W2-180 XFCC: the last of two, the first is the client's own", format: mtls.XFCC, hops: 1, values: []string{foreign + "," + cert}, ok: true},
		{name: "XFCC: not the last of two", format: mtls.XFCC, hops: 1, values: []string{cert + "," + foreign}},
		{name: "XFCC: the one before the last", format: mtls.XFCC, hops: 2, values: []string{foreign + "," + cert + "," + foreign}, ok: true},
		{name: "XFCC: as many elements as hops", format: mtls.XFCC, hops: 2, values: []string{cert + "," + foreign}, ok: true},
		{name: "XFCC: as many elements as may be", format: mtls.XFCC, hops: 1, values: []string{strings.Repeat("By=a,", 7) + cert}, ok: true},
		{name: "XFCC: as many pairs as may be", format: mtls.XFCC, values: []string{strings.Repeat("URI=a;", 255) + cert}, ok: true},
		{name: "XFCC: fewer elements than hops", format: mtls.XFCC, hops: 2, values: []string{cert}},
		{name: "XFCC: too many elements", format: mtls.XFCC, hops: 1, values: []string{strings.Repeat("By=a,", 8) + cert}},
		{name: "XFCC: too many pairs", format: mtls.XFCC, values: []string{strings.Repeat("URI=a;", 256) + cert}},
		{name: "XFCC: a client's quote before Envoy's element", format: mtls.XFCC, hops: 1, values: []string{`By=",Hash=` + hash(other.Leaf.Raw) + `;Subject="CN=a;` + cert}},
		{name: "XFCC: an element that has no Cert does not borrow one", format: mtls.XFCC, hops: 1, values: []string{cert + ",By=a"}},

		{name: "nginx", format: mtls.EscapedPEM, values: []string{escaped}, ok: true},
		{name: "nginx, without the last line end", format: mtls.EscapedPEM, values: []string{escape(strings.TrimSuffix(text, "\n"))}, ok: true},
		{name: "nginx: $ssl_client_cert", format: mtls.EscapedPEM, values: []string{strings.ReplaceAll(text, "\n", "\n\t")}},
		{name: "nginx: spaces for line ends", format: mtls.EscapedPEM, values: []string{strings.ReplaceAll(text, "\n", " ")}},
		{name: "W2-181 nginx: two blocks", format: mtls.EscapedPEM, values: []string{escape(text + text)}},
		{name: "nginx: half a block first", format: mtls.EscapedPEM, values: []string{escape("-----BEGIN CERTIFICATE-----\nAAAA\n" + text)}},
		{name: "nginx: a text before it", format: mtls.EscapedPEM, values: []string{escape("a\n" + text)}},
		{name: "nginx: a text behind it", format: mtls.EscapedPEM, values: []string{escape(text + "a")}},
		{name: "nginx: an end behind it", format: mtls.EscapedPEM, values: []string{escape(text + "a\n-----END CERTIFICATE-----\n")}},
		{name: "nginx: spaces behind it", format: mtls.EscapedPEM, values: []string{escape(strings.TrimSuffix(text, "\n") + "  \n")}},
		{name: "nginx: no base64 in the block", format: mtls.EscapedPEM, values: []string{escape("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")}},
		{name: "nginx: another type", format: mtls.EscapedPEM, values: []string{escape(string(pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: der})))}},
		{name: "W2-181 nginx: a key", format: mtls.EscapedPEM, values: []string{escape(text + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}},
		{name: "W2-181 nginx: + stands for itself", format: mtls.EscapedPEM, values: []string{strings.ReplaceAll(escaped, "%2B", "+")}, ok: true},
		{name: "W2-181 nginx: + does not stand for a space", format: mtls.EscapedPEM, values: []string{strings.ReplaceAll(escaped, "%20", "+")}},
		{name: "nginx: headers in the block", format: mtls.EscapedPEM, values: []string{escape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"a": "b"}, Bytes: der})))}},
		{name: "nginx: half an escape", format: mtls.EscapedPEM, values: []string{escaped + "%0"}},
		{name: "nginx: escaped twice", format: mtls.EscapedPEM, values: []string{escape(escaped)}},
		{name: "nginx: a byte behind the certificate", format: mtls.EscapedPEM, values: []string{escape(armour(trailing))}},
		{name: "nginx: too long a certificate", format: mtls.EscapedPEM, values: []string{escape(armour(big))}},
		{name: "nginx: two lines", format: mtls.EscapedPEM, values: []string{escaped, escaped}},

		{name: "Traefik", format: mtls.Traefik, values: []string{unarmoured}, ok: true},
		{name: "Traefik: the whole chain", format: mtls.Traefik, values: []string{unarmoured + "," + b64(ca.Leaf.Raw)}, ok: true},
		{name: "Traefik: an old version", format: mtls.Traefik, values: []string{escape(unarmoured + "," + b64(ca.Leaf.Raw))}, ok: true},
		{name: "Traefik: the second one does not count", format: mtls.Traefik, values: []string{b64(ca.Leaf.Raw) + "," + unarmoured}},
		{name: "Traefik: a chain of junk", format: mtls.Traefik, values: []string{unarmoured + ",AAAA"}},
		{name: "Traefik: a comma at the end", format: mtls.Traefik, values: []string{unarmoured + ","}},
		{name: "Traefik: an old version, each for itself", format: mtls.Traefik, values: []string{escape(unarmoured) + "," + escape(b64(ca.Leaf.Raw))}, ok: true},
		{name: "Traefik: escaped in part", format: mtls.Traefik, values: []string{escapedAll + "="}},
		{name: "Traefik: all but the plus signs are escaped", format: mtls.Traefik, values: []string{strings.ReplaceAll(escapedAll, "%2B", "+")}},
		{name: "Traefik: all but the slashes are escaped", format: mtls.Traefik, values: []string{strings.ReplaceAll(escapedAll, "%2F", "/")}},
		{name: "Traefik: all but the equals signs are escaped", format: mtls.Traefik, values: []string{strings.ReplaceAll(escapedAll, "%3D", "=")}},
		{name: "Traefik: as many as may be", format: mtls.Traefik, values: []string{unarmoured + strings.Repeat(","+b64(ca.Leaf.Raw), 7)}, ok: true},
		{name: "Traefik: an old version, as many as may be", format: mtls.Traefik, values: []string{escape(unarmoured + strings.Repeat(","+b64(ca.Leaf.Raw), 7))}, ok: true},
		{name: "Traefik: an old version, too many", format: mtls.Traefik, values: []string{escape(unarmoured + strings.Repeat(","+unarmoured, 8))}},
		{name: "Traefik: half an escape", format: mtls.Traefik, values: []string{"%4"}},
		{name: "Traefik: a line break that was escaped", format: mtls.Traefik, values: []string{escape(unarmoured[:8] + "\n" + unarmoured[8:])}},
		{name: "Traefik: too many", format: mtls.Traefik, values: []string{unarmoured + strings.Repeat(","+unarmoured, 8)}},
		{name: "Traefik: with its armour", format: mtls.Traefik, values: []string{escaped}},

		{name: "HAProxy", format: mtls.Base64DER, values: []string{standard}, ok: true},
		{name: "HAProxy: two", format: mtls.Base64DER, values: []string{standard + "," + standard}},
		{name: "HAProxy: empty", format: mtls.Base64DER, values: []string{""}},
		{name: "HAProxy: colons", format: mtls.Base64DER, values: []string{":" + standard + ":"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			certificates := newCertificates(t, forwardedBy("X-Client-Cert", tc.format, tc.hops))
			reply, err := judge(t, certificates, callFrom(proxyPeer, tc.values...), boundTo(x5t(own)))
			require.Equal(t, bearergate.Reply{"Cache-Control": "no-store"}, reply)
			_, strange := judge(t, certificates, callFrom(stranger, tc.values...), boundTo(x5t(own)))
			requireUnproven(t, strange)
			if tc.ok {
				require.NoError(t, err)
				_, err = judge(t, certificates, callFrom(proxyPeer, tc.values...), boundTo(x5t(other)))
			}
			requireUnproven(t, err)
			if !tc.ok {
				requireNobody(t, certificates, callFrom(proxyPeer, tc.values...))
			}
			for _, value := range tc.values { // nothing of it is told
				for ; len(value) > 24; value = value[24:] {
					require.NotContains(t, err.Error(), value[:24])
				}
			}
		})
	}
}

// containsEach reports whether all of these characters are in a text.
func containsEach(text, each string) bool {
	return !strings.ContainsFunc(each, func(c rune) bool { return !strings.ContainsRune(text, c) })
}

// What an operator is told where no certificate has come.
func TestWhyNoCertificate(t *testing.T) {
	own := issue(t, newKey(t), nil)
	value := ":" + b64(own.Leaf.Raw) + ":"
	for _, tc := range []struct {
		name   string
		values []string
		says   string
	}{
		{name: "none", says: "has passed on no certificate"},
		{name: "an empty value", values: []string{""}, says: "has passed on no certificate"},
		{name: "two", values: []string{value, value}, says: "more than once"},
		{name: "two, the first is empty", values: []string{"", value}, says: "more than once"},
		{name: "too long", values: []string{strings.Repeat("A", 65_537)}, says: "too long"},
		{name: "malformed", values: []string{value[1:]}, says: "malformed"},
	} {
		_, err := newCertificates(t, forwardedBy("Client-Cert", mtls.RFC9440, 0)).Confirm(t.Context(), callFrom(proxyPeer, tc.values...), boundTo(x5t(own)))
		requireUnproven(t, err)
		require.ErrorContains(t, err, tc.says, tc.name)
	}
}

// New lets no other format in; had it done so, nothing would be read.
func TestUnknownFormat(t *testing.T) {
	sum, wrong := mtls.Parse("pem", b64(issue(t, newKey(t), nil).Leaf.Raw))
	require.NotEmpty(t, wrong)
	require.Zero(t, sum)
}

// The examples of the RFCs themselves.
// req: R8705-03 R9440-01
func TestExamplesOfTheRFCs(t *testing.T) {
	// RFC 8705, Appendix A.
	const bound, bare = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG" +
		"SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID" +
		"SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=", "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	// RFC 9440, Appendix A; the thumbprint is that of openssl.
	const passedOn, its = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAx" +
		"MTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p" +
		"5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMC" +
		"BsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMje" +
		"SkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:", "v68ffgcPn6jdYpBfFY2nP4ShE2Yk-6_Mk5PI9yh6aes"

	der, err := base64.StdEncoding.DecodeString(bound)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	direct := newCertificates(t, mtls.Config{Direct: true})
	call := bearergate.Call{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}}
	_, err = judge(t, direct, call, boundTo(bare))
	require.NoError(t, err)
	_, err = judge(t, direct, call, boundTo(its))
	requireUnproven(t, err)

	forwarded := newCertificates(t, forwardedBy("Client-Cert", mtls.RFC9440, 0))
	_, err = judge(t, forwarded, callFrom(proxyPeer, passedOn), boundTo(its))
	require.NoError(t, err)
	_, err = judge(t, forwarded, callFrom(proxyPeer, ":"+bound+":"), boundTo(bare))
	require.NoError(t, err)
	_, err = judge(t, forwarded, callFrom(proxyPeer, passedOn), boundTo(bare))
	requireUnproven(t, err)
}

// A certificate is bounded, also where the header is not too long for it, and a header is
// long enough for the longest certificate, whatever is in it.
// req: R9440-09
func TestCertificateTooLong(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader) // its signatures are all as long
	require.NoError(t, err)
	filled := func(size int) []byte {
		filling := make([]byte, size)
		_, err := rand.Read(filling) // base64 of zeros has nothing that is escaped
		require.NoError(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
			ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3}, Value: filling}}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		return der
	}
	around := len(filled(16_000)) - 16_000
	for size, ok := range map[int]bool{16_384: true, 16_385: false} {
		der := filled(size - around)
		require.Len(t, der, size)
		leaf, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		token := boundTo(x5t(tls.Certificate{Leaf: leaf}))
		for format, value := range map[mtls.Format]string{mtls.RFC9440: ":" + b64(der) + ":", mtls.EscapedPEM: escape(armour(der)), mtls.Base64DER: b64(der),
			mtls.XFCC: `Cert="` + escape(armour(der)) + `";Chain="` + escape(armour(der)) + `"`, mtls.Traefik: escape(b64(der)) + "," + b64(issue(t, newKey(t), nil).Leaf.Raw)} {
			require.Less(t, len(value), mtls.MaxHeaderBytes)
			_, err = judge(t, newCertificates(t, forwardedBy("Client-Cert", format, 0)), callFrom(proxyPeer, value), token)
			require.Equal(t, ok, err == nil, "%s, %d bytes: %v", format, len(der), err)
		}
	}
}

// A certificate that crypto/x509 cannot parse is refused, although its DER is sound: here
// the curve of the key is X9.62's prime239v3, which Go does not have.
func TestCertificateThatGoCannotParse(t *testing.T) {
	der := bytes.Replace(issue(t, newKey(t), nil).Leaf.Raw, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 6}, 1)
	_, err := x509.ParseCertificate(der)
	require.ErrorContains(t, err, "curve")
	sum := sha256.Sum256(der)
	token := boundTo(base64.RawURLEncoding.EncodeToString(sum[:]))
	confirm := func(format mtls.Format, value string) error {
		_, err := judge(t, newCertificates(t, forwardedBy("Client-Cert", format, 0)), callFrom(proxyPeer, value), token)
		return err
	}
	for format, value := range map[mtls.Format]string{mtls.RFC9440: ":" + b64(der) + ":", mtls.EscapedPEM: escape(armour(der)), mtls.Base64DER: b64(der),
		mtls.XFCC: `Cert="` + escape(armour(der)) + `"`, mtls.Traefik: b64(der)} {
		requireUnproven(t, confirm(format, value))
	}
	require.NoError(t, confirm(mtls.XFCC, "Hash="+hash(der)))
}

// W2-182: who is trusted is decided by the address alone.
func TestPeers(t *testing.T) {
	own, proxy := issue(t, newKey(t), nil), issue(t, newKey(t), nil)
	value := ":" + b64(own.Leaf.Raw) + ":"
	for _, tc := range []struct {
		name, peer string
		bound      tls.Certificate // the token's; the connection is the proxy's
		ok         bool            // Direct is set too
		okAlone    bool            // Direct is not set
	}{
		{name: "IPv4", peer: "10.1.2.3:1", bound: own, ok: true, okAlone: true},
		{name: "IPv4 in IPv6", peer: "[::ffff:10.1.2.3]:1", bound: own, ok: true, okAlone: true},
		{name: "IPv6", peer: "[2001:db8:1::7]:1", bound: own, ok: true, okAlone: true},
		{name: "IPv6 with a zone", peer: "[2001:db8:1::7%eth0]:1", bound: own},
		{name: "IPv6 with a zone, its own certificate", peer: "[2001:db8:1::7%eth0]:1", bound: proxy},
		{name: "link-local without a zone, its own certificate", peer: "[fe80::1]:1", bound: proxy, ok: true},
		{name: "IPv4 that is link-local, its own certificate", peer: "169.254.1.1:1", bound: proxy, ok: true},
		{name: "link-local with a zone", peer: "[fe80::1%eth0]:1", bound: own},
		{name: "link-local with a zone, its own certificate", peer: "[fe80::1%eth0]:1", bound: proxy},
		{name: "the next network", peer: "10.2.0.1:1", bound: own},
		{name: "IPv4 in IPv6, the next network", peer: "[::ffff:10.2.0.1]:1", bound: own},
		{name: "IPv6, the next network", peer: "[2001:db8:2::7]:1", bound: own},
		{name: "IPv6 that looks alike", peer: "[::10.1.2.3]:1", bound: own},
		{name: "nobody", bound: own},
		{name: "the proxy's own certificate", peer: "10.1.2.3:1", bound: proxy},
		{name: "the proxy's own certificate, IPv4 in IPv6", peer: "[::ffff:10.1.2.3]:1", bound: proxy},
		{name: "a stranger's own certificate", peer: stranger, bound: proxy, ok: true},
		{name: "nobody's own certificate", bound: proxy},
	} {
		for _, direct := range []bool{true, false} {
			c := forwardedBy("Client-Cert", mtls.RFC9440, 0)
			c.Direct = direct
			call := callFrom(tc.peer, value)
			call.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{proxy.Leaf}}
			_, err := judge(t, newCertificates(t, c), call, boundTo(x5t(tc.bound)))
			if ok := direct && tc.ok || !direct && tc.okAlone; ok {
				require.NoError(t, err, tc.name)
			} else {
				require.Error(t, err, "%s, direct %v", tc.name, direct)
				requireUnproven(t, err)
			}
		}
	}
}

// Each proxy has its own header, and that of another one is not looked at.
func TestTwoProxies(t *testing.T) {
	own, other := issue(t, newKey(t), nil), issue(t, newKey(t), nil)
	certificates := newCertificates(t, mtls.Config{Forwarded: []mtls.Forwarded{
		{Header: "Client-Cert", Format: mtls.RFC9440, Trusted: proxyNet},
		{Header: "X-Client-Cert", Format: mtls.EscapedPEM, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
	}})
	call := func(peer string) bearergate.Call {
		c := callFrom(peer)
		c.Header = func(name string) []string {
			return map[string][]string{"Client-Cert": {":" + b64(own.Leaf.Raw) + ":"}, "X-Client-Cert": {escape(armour(other.Leaf.Raw))}}[name]
		}
		return c
	}
	for peer, has := range map[string]tls.Certificate{proxyPeer: own, stranger: other} {
		_, err := judge(t, certificates, call(peer), boundTo(x5t(has)))
		require.NoError(t, err)
		for _, not := range []tls.Certificate{own, other} {
			if not.Leaf != has.Leaf {
				_, err = judge(t, certificates, call(peer), boundTo(x5t(not)))
				requireUnproven(t, err)
			}
		}
	}
	// W2-177: the proxy's header is absent, and another one has the certificate.
	spoofed := call(proxyPeer)
	spoofed.Header = func(name string) []string {
		return map[string][]string{"X-Client-Cert": {escape(armour(own.Leaf.Raw))}, "Client-Cert-Chain": {":" + b64(own.Leaf.Raw) + ":"}}[name]
	}
	_, err := judge(t, certificates, spoofed, boundTo(x5t(own)))
	requireUnproven(t, err)
	none := callFrom(proxyPeer)
	none.Header = nil
	_, err = judge(t, certificates, none, boundTo(x5t(own)))
	requireUnproven(t, err)
}
