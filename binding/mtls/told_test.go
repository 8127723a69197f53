package mtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/test/kit"
)

// The certificate that a proxy tells apart from the header counts with Told alone, and no other
// counts with it.
//
// req: R8705-06
func TestTold(t *testing.T) {
	certificateOf := func() *x509.Certificate {
		c, err := authtest.NewClientCertificate()
		require.NoError(t, err)
		parsed, err := x509.ParseCertificate(c.Certificate[0])
		require.NoError(t, err)
		return parsed
	}
	own, other := certificateOf(), certificateOf()
	token := bearergate.NewToken(bearergate.Claims{Subject: "u1", Confirmation: authtest.CertificateConfirmation(own)})
	told, err := mtls.New(mtls.Config{Told: true})
	require.NoError(t, err)
	direct, err := mtls.New(mtls.Config{Direct: true})
	require.NoError(t, err)
	connection := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{own}}
	for _, tt := range []struct {
		name  string
		by    *mtls.Certificates
		call  bearergate.Call
		opens bool
	}{
		{name: "told", by: told, call: bearergate.Call{Certificate: own}, opens: true},
		{name: "told, of anybody", by: told, call: bearergate.Call{Certificate: own, Peer: netip.MustParseAddrPort("192.0.2.1:4")}, opens: true},
		{name: "another one", by: told, call: bearergate.Call{Certificate: other}},
		{name: "none", by: told, call: bearergate.Call{}},
		{name: "that of the connection", by: told, call: bearergate.Call{TLS: connection}},
		{name: "another one, and that of the connection", by: told, call: bearergate.Call{Certificate: other, TLS: connection}},
		{name: "told to Direct", by: direct, call: bearergate.Call{Certificate: own}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.call.Header = http.Header{}.Values
			_, err := tt.by.Confirm(t.Context(), tt.call, token)
			if tt.opens {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonBinding)
			for _, of := range []string{sha256URL(nil), base64.RawURLEncoding.EncodeToString(make([]byte, 32))} { // of one that was not read
				_, err = tt.by.Confirm(t.Context(), tt.call, boundTo(of))
				kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonBinding)
			}
		})
	}
	require.False(t, told.Direct())
	require.True(t, direct.Direct())
	require.False(t, (*mtls.Certificates)(nil).Direct())
	_, err = mtls.New(mtls.Config{Direct: true, Told: true})
	require.ErrorContains(t, err, "Direct and Told are both set")
}
