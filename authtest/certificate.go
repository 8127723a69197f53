package authtest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// NewClientCertificate makes a self-signed certificate of a client and its key, to
// which a token can be bound (RFC 8705 §3). Leaf is set. It is valid from an hour ago
// for a day from now.
//
//	certificate, err := authtest.NewClientCertificate()
//	token := as.Token(authtest.Claims{Confirmation: authtest.CertificateConfirmation(certificate.Leaf)})
//
// A server takes it with tls.RequireAnyClientCert, or with Leaf in ClientCAs. As an
// http.Client sends it:
//
//	&http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
func NewClientCertificate() (tls.Certificate, error) {
	key, err := generate(DefaultAlgorithm)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("authtest: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: DefaultClientID},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("authtest: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("authtest: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// CertificateConfirmation returns what binds a token to a certificate, the member
// x5t#S256 of cnf (RFC 8705 §3.1), for Claims.Confirmation. It panics on nil.
func CertificateConfirmation(c *x509.Certificate) map[string][]byte {
	return map[string][]byte{"x5t#S256": []byte(`"` + base64url(sha256.Sum256(c.Raw)) + `"`)}
}
