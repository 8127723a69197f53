package workloads

import (
	"net/http"

	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// TrustDomain is one of SPIFFE, whose workloads call with JWT-SVIDs.
type TrustDomain struct {
	Name string // "example.org"
	// Issuer is the iss of its SVIDs: jwt_issuer of its SPIRE servers. "": they have none,
	// which SPIFFE does not ask for. The bundle alone then says whose they are, and SVIDs
	// with an iss are refused.
	Issuer string
	// BundleURL is where its bundle is: its bundle endpoint (SPIFFE Trust Domain and Bundle
	// §5), for example "https://spire.example.org:8443/".
	BundleURL string
	// HTTPClient fetches the bundle. With the profile https_web, its CAs are those of the
	// web: nil is the default. With https_spiffe, it verifies the X509-SVID of the endpoint:
	// a transport with tlsconfig.TLSClientConfig of go-spiffe.
	HTTPClient *http.Client
}

// Verifier returns a verifier for the workloads of the trust domain that may call, by the
// paths of their SPIFFE IDs: "/ns/shop/sa/orders". There is no pattern, and nothing is
// cleaned or decoded: an ID is compared byte for byte. audience is the SPIFFE ID or the name
// of this service, which callers ask the Workload API for.
//
// For a federated trust domain, make a second Verifier, and put both into an
// issuers.Router: each then verifies by the bundle of its own domain alone. The Router
// chooses by iss, so both need an Issuer.
func (d TrustDomain) Verifier(audience string, paths ...string) (*jwtverify.Verifier, error) {
	config := idp.SPIFFE(d.Name, d.Issuer, audience, paths...)
	keys, err := jwks.New(jwks.Config{
		Issuer:     config.Issuer, // the trust domain, where there is no iss
		URL:        d.BundleURL,
		HTTPClient: d.HTTPClient,
		AllowUses:  []string{"jwt-svid"}, // x509-svid are the domain's CAs for certificates
	})
	if err != nil {
		return nil, err
	}
	config.Keys = keys
	return jwtverify.New(config)
}
