package mtls_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
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

// What is accepted is one thumbprint, the same when it is written again, and the
// same whatever stands before the element that counts.
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
