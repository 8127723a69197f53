package differential_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
)

// FuzzClientCert: a Client-Cert field (RFC 9440) is the certificate that a reader of
// structured fields (RFC 8941) finds in it, or it is refused; and a plain one is accepted.
func FuzzClientCert(f *testing.F) {
	der := newCertificate(f)
	text := base64.StdEncoding.EncodeToString(der)
	for _, value := range []string{
		":" + text + ":", " :" + text + ": ", "\t:" + text + ":", ":" + text + ":;a=1", ":" + text + ":,:" + text + ":", ":" + text, text + ":", text, "::", ":", "",
		":" + strings.TrimRight(text, "=") + ":", ":" + text + "=:", ":" + text[:40] + "\n" + text[40:] + ":", ":" + text[:40] + " " + text[40:] + ":", ":A" + text + ":", `"` + text + `"`, "?1", "1.5", "(:" + text + ":)",
		":" + base64.StdEncoding.EncodeToString(append(slices.Clip(der), 0)) + ":",
	} {
		f.Add(value)
	}
	proxy := netip.MustParsePrefix("10.1.0.0/16")
	certificates, err := mtls.New(mtls.Config{Forwarded: []mtls.Forwarded{{Header: "Client-Cert", Format: mtls.RFC9440, Trusted: []netip.Prefix{proxy}}}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, value string) {
		confirm := func(der []byte) error {
			sum := sha256.Sum256(der)
			token := bearergate.NewToken(bearergate.Claims{Subject: "alice", Confirmation: map[string][]byte{"x5t#S256": []byte(`"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`)}})
			_, err := certificates.Confirm(context.Background(), bearergate.Call{
				Peer:   netip.AddrPortFrom(proxy.Addr().Next(), 4711),
				Header: func(string) []string { return []string{value} },
			}, token)
			return err
		}
		item, err := httpsfv.UnmarshalItem([]string{value})
		read, isBytes := item.Value.([]byte)
		if err != nil || !isBytes {
			// What a careless reader would make of it.
			guess, _ := base64.RawStdEncoding.DecodeString(strings.Map(func(c rune) rune {
				if c < 0x80 && strings.ContainsRune("+/", c) || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
					return c
				}
				return -1
			}, value))
			require.Equal(t, bearergate.ReasonBinding, bearergate.ReasonOf(confirm(guess)))
			return
		}
		confirmed := confirm(read)
		cert, err := x509.ParseCertificate(read)
		plain := value == ":"+base64.StdEncoding.EncodeToString(read)+":"
		if err == nil && string(cert.Raw) == string(read) && len(read) <= mtls.MaxCertificateBytes && plain {
			require.NoError(t, confirmed)
			return
		}
		require.Equal(t, bearergate.ReasonBinding, bearergate.ReasonOf(confirmed))
	})
}

func newCertificate(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return der
}
