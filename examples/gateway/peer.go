package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"time"
)

// gatewayName is the name in the client certificate of the gateway.
const gatewayName = "gateway.internal.example"

// onlyFrom serves next to whom a client certificate gives exactly this name, and refuses
// everybody else. What the gateway says in headers is then believed from the gateway alone:
// another service in the same network, which has a certificate of its own, is nobody.
//
// The server has to verify certificates, by the authority for services and no other one: see
// [backendTLS].
func onlyFrom(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// VerifiedChains, and not PeerCertificates: those say what was shown. DNSNames, and not
		// VerifyHostname: *.internal.example is not the gateway.
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || !slices.Contains(r.TLS.VerifiedChains[0][0].DNSNames, name) {
			http.Error(w, "this service is for the gateway", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// backendTLS is what the service behind serves with: without a certificate of the authority,
// nobody gets as far as a request.
func backendTLS(authority *x509.CertPool, own tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority}
}

// gatewayTransport is what the gateway asks the service with.
func gatewayTransport(authority *x509.CertPool, own tls.Certificate, service string) *http.Transport {
	return &http.Transport{
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: authority, Certificates: []tls.Certificate{own}, ServerName: service},
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       time.Minute,
	}
}

// authority issues the certificates of this demonstration. In a fleet, this is cert-manager,
// a mesh, SPIFFE or the like.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "services"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, err
}

// pool is what others know the authority by.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue issues a certificate for a service of this name.
func (a *authority) issue(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, errCreate := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err := errors.Join(err, errCreate); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
