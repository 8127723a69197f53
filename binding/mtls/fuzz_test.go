package mtls_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/binding/mtls"
)

// fuzzFormat asserts that what is accepted is exactly one certificate, and the same
// one when it is written again.
func fuzzFormat(f *testing.F, format mtls.Format, write func(der []byte) string) {
	der := issue(f, newKey(f), nil).Leaf.Raw
	for _, seed := range []string{write(der), write(der)[1:], "", ":::", "%", "=", write(der) + "," + write(der), b64(der), escape(armour(der))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		read, wrong := mtls.DER(format, value)
		require.Equal(t, wrong == "", read != nil)
		if wrong != "" {
			return
		}
		require.LessOrEqual(t, len(read), mtls.MaxCertificateBytes)
		parsed, err := x509.ParseCertificate(read)
		require.NoError(t, err)
		require.True(t, bytes.Equal(parsed.Raw, read))
		again, wrong := mtls.DER(format, write(read))
		require.Empty(t, wrong)
		require.Equal(t, sha256.Sum256(read), sha256.Sum256(again))
	})
}

func FuzzRFC9440(f *testing.F) {
	fuzzFormat(f, mtls.RFC9440, func(der []byte) string { return ":" + b64(der) + ":" })
}

func FuzzEscapedPEM(f *testing.F) {
	fuzzFormat(f, mtls.EscapedPEM, func(der []byte) string { return escape(armour(der)) })
}

func FuzzTraefik(f *testing.F) { fuzzFormat(f, mtls.Traefik, b64) }

func FuzzBase64DER(f *testing.F) { fuzzFormat(f, mtls.Base64DER, b64) }

// A second reading of XFCC, by its grammar.
var (
	xfccPair    = regexp.MustCompile(`(?s)([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^,;"=]*))`)
	xfccElement = regexp.MustCompile(xfccPair.String() + `(?:;` + xfccPair.String() + `)*`)
	xfccHeader  = regexp.MustCompile(`^` + xfccElement.String() + `(?:,` + xfccElement.String() + `)*$`)
	xfccEscape  = regexp.MustCompile(`(?s)\\(.)`)
)

// readXFCC returns the thumbprint in the element that counts.
func readXFCC(t *testing.T, value string, hops int) (sum [32]byte) {
	t.Helper()
	require.Regexp(t, xfccHeader, value)
	elements := xfccElement.FindAllString(value, -1)
	if hops == 0 {
		require.Len(t, elements, 1)
	}
	require.GreaterOrEqual(t, len(elements), hops)
	found := false
	for _, pair := range xfccPair.FindAllStringSubmatch(elements[len(elements)-max(hops, 1)], -1) {
		text := xfccEscape.ReplaceAllString(pair[2], "$1") + pair[3]
		var of []byte
		switch name := strings.ToLower(pair[1]); {
		case name == "hash" && text != "":
			var err error
			of, err = hex.DecodeString(text)
			require.NoError(t, err)
		case name == "cert" && text != "":
			decoded, err := url.PathUnescape(text)
			require.NoError(t, err)
			block, rest := pem.Decode([]byte(decoded))
			require.NotNil(t, block)
			require.Empty(t, rest)
			digest := sha256.Sum256(block.Bytes)
			of = digest[:]
		default:
			continue
		}
		require.Len(t, of, len(sum))
		if found {
			require.Equal(t, sum[:], of, "Hash and Cert disagree")
		}
		found, sum = true, [32]byte(of)
	}
	require.True(t, found)
	return sum
}

// What is accepted is one thumbprint: that of a second reading, the same when it is
// written again, and the same whatever stands before the element that counts.
func FuzzXFCC(f *testing.F) {
	der := issue(f, newKey(f), nil).Leaf.Raw
	cert := `Cert="` + escape(armour(der)) + `"`
	for _, seed := range []string{cert, "Hash=" + hash(der), "Hash=" + hash(der) + ";" + cert, "By=a,Hash=" + hash(der), `Hash=` + hash(der) + `;Subject="a\"b,c;"`, `By=",`, "", `"`, "Cert="} {
		f.Add(seed, 0)
		f.Add(seed, 1)
	}
	f.Fuzz(func(t *testing.T, value string, hops int) {
		hops = int(uint(hops) % (mtls.MaxHops + 1))
		sum, wrong := mtls.ParseXFCC(value, hops)
		if wrong != "" {
			require.Zero(t, sum)
			return
		}
		require.Equal(t, readXFCC(t, value, hops), sum)
		const digits = "0123456789abcdef"
		var again strings.Builder
		again.WriteString("By=a,Hash=")
		for _, b := range sum {
			again.WriteByte(digits[b>>4])
			again.WriteByte(digits[b&15])
		}
		same, wrong := mtls.ParseXFCC(again.String(), 1)
		require.Empty(t, wrong)
		require.Equal(t, sum, same)
		if hops == 0 {
			same, wrong = mtls.ParseXFCC("By=a,"+value, 1)
			require.Empty(t, wrong)
			require.Equal(t, sum, same)
		}
	})
}
