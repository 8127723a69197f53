package interop_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net/http"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/stretchr/testify/require"
)

const certificateMember = "x5t#S256"

// sameCertificate is the Binding of RFC 8705 §3 as an API makes it.
type sameCertificate struct{}

func (sameCertificate) Scheme() bearergate.Scheme    { return bearergate.SchemeBearer }
func (sameCertificate) Members() []string            { return []string{certificateMember} }
func (sameCertificate) Challenge() map[string]string { return nil }

func (sameCertificate) Confirm(_ context.Context, c bearergate.Call, token *bearergate.Token) (bearergate.Reply, error) {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return nil, errors.New("there is no client certificate")
	}
	sum := sha256.Sum256(c.TLS.PeerCertificates[0].Raw)
	want, ok := token.Confirmation().Value(certificateMember)
	if !ok || want != b64(sum[:]) {
		return nil, errors.New("the client certificate is another one")
	}
	return nil, nil
}

// credulous is a Binding that believes every sender of a DPoP token.
type credulous struct{}

func (credulous) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (credulous) Members() []string            { return []string{"jkt"} }
func (credulous) Challenge() map[string]string { return nil }

func (credulous) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, nil
}

// silent is v without what it says of itself: New would refuse bindings that do
// not fit it.
func silent(v bearergate.Verifier) bearergate.Verifier { return bearergate.VerifierFunc(v.Verify) }

// serveTLS starts an API that sees client certificates. What it returns is the
// API as used by a client with certain ones.
func serveTLS(t *testing.T, v bearergate.Verifier, bindings ...bearergate.Binding) func(...tls.Certificate) *api {
	t.Helper()
	a := serveWith(t, v, middleware.Config{Bindings: bindings}, &tls.Config{ClientAuth: tls.RequestClientCert})
	return func(certificates ...tls.Certificate) *api {
		transport := a.http.Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = certificates
		t.Cleanup(transport.CloseIdleConnections)
		return &api{url: a.url, http: &http.Client{Transport: transport}, reasons: a.reasons}
	}
}

// A token bound to a client certificate (RFC 8705) works for its holder only.
func TestCertificateBoundToken(t *testing.T) {
	for _, kind := range []string{"es256", "opaque"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			token := shared.token(t, grant{app: appBound, kind: kind, over: authority.client(authority.trusted)})
			verifierWith := func(confirmations ...string) bearergate.Verifier {
				if kind == "opaque" {
					return introspector(t, introspect.Config{Issuer: shared.HTTPS, Auth: basic(), HTTPClient: authority.client(), Confirmations: confirmations})
				}
				return verifier(t, jwtverify.Config{Issuer: shared.HTTPS, Audiences: []string{audience(kind)}, HTTPClient: authority.client(),
					Profile: jwtverify.RFC9068, Confirmations: confirmations})
			}
			// Nobody has promised to check, or nobody does.
			as := serveTLS(t, silent(verifierWith()), sameCertificate{})
			as(authority.trusted).requireVerdict(t, refused(bearergate.ReasonBinding), token)
			as = serveTLS(t, silent(verifierWith("jkt")), sameCertificate{})
			as(authority.trusted).requireVerdict(t, refused(bearergate.ReasonBinding), token)
			as = serveTLS(t, silent(verifierWith(certificateMember)))
			as(authority.trusted).requireVerdict(t, refused(bearergate.ReasonBinding), token)

			as = serveTLS(t, verifierWith(certificateMember), sameCertificate{})
			for range 2 { // the second from the cache
				as(authority.trusted).requireVerdict(t, accepted, token)
				as(authority.other).requireVerdict(t, refused(bearergate.ReasonBinding), token)
				as().requireVerdict(t, refused(bearergate.ReasonBinding), token)
			}
			// One that is not bound needs no certificate.
			as().requireVerdict(t, accepted, shared.token(t, grant{kind: kind, over: authority.client()}))
		})
	}
}

// A token bound to a DPoP key (RFC 9449) is not to be presented as Bearer.
func TestDPoPBoundToken(t *testing.T) {
	t.Parallel()
	jwt := shared.token(t, grant{app: appDPoP, kind: "es256", proof: newProver()})
	opaque := shared.token(t, grant{app: appDPoP, kind: "opaque", proof: newProver()})
	for _, confirmations := range [][]string{nil, {certificateMember}, {"jkt"}} {
		v := verifier(t, jwtverify.Config{Issuer: shared.HTTP, Audiences: []string{audience("es256")}, Confirmations: confirmations})
		serve(t, silent(v)).requireVerdict(t, refused(bearergate.ReasonBinding), jwt)
		c := introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), Confirmations: confirmations})
		serve(t, silent(c)).requireVerdict(t, refused(bearergate.ReasonBinding), opaque)
		// Whatever is thought of its cnf: it was sent as a Bearer token.
		serveWith(t, silent(c), middleware.Config{Bindings: []bearergate.Binding{credulous{}}}, nil).requireVerdict(t, refused(bearergate.ReasonBinding), opaque)
	}
	// Its answer is accepted where the proof is looked for (RFC 9449 section 6.2).
	c := introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), Confirmations: []string{"jkt"}})
	token, err := c.Verify(t.Context(), opaque)
	require.NoError(t, err)
	require.True(t, token.Bound())
	require.False(t, token.Proven())
}

// A set-up against a real server is found right, and a wrong secret is named.
func TestWarm(t *testing.T) {
	t.Parallel()
	require.NoError(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic()}).Warm(t.Context()))
	err := introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: introspect.BasicAuth("nobody", "wrong")}).Warm(t.Context())
	require.ErrorIs(t, err, bearergate.ErrMisconfigured)
	require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))
}
