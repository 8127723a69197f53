package workloads_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/workloads"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	spireIssuer     = "https://spire.example.org"
	partnerIssuer   = "https://spire.partner.test"
	spiffeAudience  = "spiffe://example.org/ns/shop/sa/stock"
	spiffeOrders    = "spiffe://example.org/ns/shop/sa/orders"
	spiffeOfPartner = "spiffe://partner.test/ns/billing/sa/invoices"
)

// trustDomain signs JWT-SVIDs, and serves its bundle: keys for JWT-SVIDs, and the CA for
// X509-SVIDs.
type trustDomain struct {
	jwt, x509 *authtest.Server
	bundle    *httptest.Server

	mu   sync.Mutex // guards down
	down bool
}

func startTrustDomain(t *testing.T, issuer string) *trustDomain {
	d := &trustDomain{jwt: authtest.New(t, authtest.WithIssuer(issuer)), x509: authtest.New(t, authtest.WithIssuer(issuer))}
	d.bundle, _ = startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"spiffe_sequence": 7, "spiffe_refresh_hint": 300,
			"keys": append(published(d.jwt, "jwt-svid"), published(d.x509, "x509-svid")...)})
	}))
	return d
}

// published are the keys of a server, for another use.
func published(as *authtest.Server, use string) (keys []map[string]any) {
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(as.JWKS(), &set); err != nil {
		panic(err)
	}
	for _, key := range set.Keys {
		key["use"] = use
		delete(key, "alg") // bundles of SPIRE have none
		keys = append(keys, key)
	}
	return keys
}

func (d *trustDomain) verifier(t *testing.T, name, issuer string, paths ...string) bearergate.Verifier {
	v, err := workloads.TrustDomain{Name: name, Issuer: issuer, BundleURL: d.bundle.URL, HTTPClient: d.bundle.Client()}.Verifier(spiffeAudience, paths...)
	require.NoError(t, err)
	return v
}

// svid is a JWT-SVID with a change.
func svid(as *authtest.Server, header map[string]any, change func(claims map[string]any)) string {
	claims := as.Claims(authtest.Claims{Subject: spiffeOrders, Audience: []string{spiffeAudience}, ExpiresAt: time.Now().Add(5 * time.Minute)})
	delete(claims, "client_id")
	delete(claims, "jti")
	if change != nil {
		change(claims)
	}
	if header == nil {
		header = map[string]any{"typ": "JWT"}
	}
	return as.Sign(header, claims)
}

func TestSPIFFE(t *testing.T) {
	domain, partner := startTrustDomain(t, spireIssuer), startTrustDomain(t, partnerIssuer)
	v, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{
		spireIssuer:   domain.verifier(t, "example.org", spireIssuer, "/ns/shop/sa/orders", "/ns/shop/sa/reports"),
		partnerIssuer: partner.verifier(t, "partner.test", partnerIssuer, "/ns/billing/sa/invoices"),
	}})
	require.NoError(t, err)
	is := func(id string) func(map[string]any) {
		return func(claims map[string]any) { claims["sub"] = id }
	}
	says := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	const policy = bearergate.ReasonPolicy
	for _, tt := range []struct {
		name   string
		by     *authtest.Server // nil: the key of the domain
		header map[string]any
		change func(claims map[string]any)
		reason bearergate.Reason // "": accepted
	}{
		{name: "of a workload on the list"},
		{name: "of another one on the list", change: is("spiffe://example.org/ns/shop/sa/reports")},
		{name: "typ JOSE", header: map[string]any{"typ": "JOSE"}},
		{name: "without typ", header: map[string]any{"typ": nil}},
		{name: "for other services as well", change: says("aud", []string{"spiffe://example.org/ns/shop/sa/prices", spiffeAudience})},
		{name: "of the federated domain", by: partner.jwt, change: is(spiffeOfPartner)},

		{name: "of the federated domain, about one of ours", by: partner.jwt, reason: policy},
		{name: "of the federated domain, with our iss", by: partner.jwt, change: says("iss", spireIssuer), reason: bearergate.ReasonUnknownKey},
		{name: "ours, about one of the federated domain", change: is(spiffeOfPartner), reason: policy},
		{name: "of a domain that nobody federated", change: says("iss", "https://spire.mallory.test"), reason: bearergate.ReasonIssuer},
		{name: "without iss", change: func(claims map[string]any) { delete(claims, "iss") }, reason: bearergate.ReasonMissingClaim},
		{name: "under the CA for certificates", by: domain.x509, reason: bearergate.ReasonUnknownKey},
		{name: "of another workload", change: is("spiffe://example.org/ns/shop/sa/carts"), reason: policy},
		{name: "of a domain that begins so", change: is("spiffe://example.org.mallory.test/ns/shop/sa/orders"), reason: policy},
		{name: "of a domain below", change: is("spiffe://x.example.org/ns/shop/sa/orders"), reason: policy},
		{name: "of a domain with a port", change: is("spiffe://example.org:443/ns/shop/sa/orders"), reason: policy},
		{name: "of a domain with a user", change: is("spiffe://example.org@mallory.test/ns/shop/sa/orders"), reason: policy},
		{name: "of the domain itself", change: is("spiffe://example.org"), reason: policy},
		{name: "a path that begins so", change: is(spiffeOrders + "-admin"), reason: policy},
		{name: "a path below", change: is(spiffeOrders + "/x"), reason: policy},
		{name: "a path above", change: is("spiffe://example.org/ns/shop/sa"), reason: policy},
		{name: "a slash at the end", change: is(spiffeOrders + "/"), reason: policy},
		{name: "an empty segment", change: is("spiffe://example.org/ns//shop/sa/orders"), reason: policy},
		{name: "a dot segment", change: is("spiffe://example.org/ns/shop/sa/x/../orders"), reason: policy},
		{name: "an encoded letter", change: is("spiffe://example.org/ns/shop/sa/order%73"), reason: policy},
		{name: "another case in the path", change: is("spiffe://example.org/ns/shop/sa/Orders"), reason: policy},
		{name: "another case in the scheme", change: is("SPIFFE://example.org/ns/shop/sa/orders"), reason: policy},
		{name: "a query", change: is(spiffeOrders + "?x"), reason: policy},
		{name: "the path alone", change: is("/ns/shop/sa/orders"), reason: policy},
		{name: "no ID", change: is("orders"), reason: policy},
		{name: "for another service", change: says("aud", []string{"spiffe://example.org/ns/shop/sa/prices"}), reason: bearergate.ReasonAudience},
		{name: "without aud", change: func(claims map[string]any) { delete(claims, "aud") }, reason: bearergate.ReasonMissingClaim},
		{name: "expired", change: says("exp", time.Now().Add(-time.Minute).Unix()), reason: bearergate.ReasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			by := domain.jwt
			if tt.by != nil {
				by = tt.by
			}
			raw := svid(by, tt.header, tt.change)
			token, err := v.Verify(t.Context(), raw)
			if tt.reason == "" {
				require.NoError(t, err)
				require.Contains(t, token.Subject(), "/sa/")
				return
			}
			kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, tt.reason)
			kit.RequireNothingOf(t, err.Error(), raw)
		})
	}
}

// SPIRE writes no iss unless it is told to.
func TestSPIFFEWithoutIssuer(t *testing.T) {
	domain, partner := startTrustDomain(t, spireIssuer), startTrustDomain(t, partnerIssuer)
	v := domain.verifier(t, "example.org", "", "/ns/shop/sa/orders")
	for _, tt := range []struct {
		name   string
		by     *authtest.Server // nil: the key of the domain
		says   map[string]any   // beside no iss
		reason bearergate.Reason
	}{
		{name: "of a workload on the list"},
		{name: "with an iss", says: map[string]any{"iss": spireIssuer}, reason: bearergate.ReasonIssuer},
		{name: "of another domain", by: partner.jwt, reason: bearergate.ReasonUnknownKey},
		{name: "about one of another domain", says: map[string]any{"sub": spiffeOfPartner}, reason: bearergate.ReasonPolicy},
		{name: "under the CA for certificates", by: domain.x509, reason: bearergate.ReasonUnknownKey},
		{name: "for another service", says: map[string]any{"aud": "spiffe://example.org/ns/shop/sa/prices"}, reason: bearergate.ReasonAudience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			by := domain.jwt
			if tt.by != nil {
				by = tt.by
			}
			raw := svid(by, nil, func(claims map[string]any) {
				delete(claims, "iss")
				maps.Copy(claims, tt.says)
			})
			token, err := v.Verify(t.Context(), raw)
			if tt.reason != "" {
				kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, tt.reason)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "spiffe://example.org", token.Issuer(), "for audit and revocation")
		})
	}
}

// The bundle changes, and is away for a while.
func TestSPIFFEBundle(t *testing.T) {
	domain := startTrustDomain(t, spireIssuer)
	v := domain.verifier(t, "example.org", spireIssuer, "/ns/shop/sa/orders")
	down := func(is bool) {
		domain.mu.Lock()
		defer domain.mu.Unlock()
		domain.down = is
	}
	before := svid(domain.jwt, nil, nil)
	down(true)
	token, err := v.Verify(t.Context(), before)
	kit.RequireRefused(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	down(false)
	require.Eventually(t, func() bool { _, err := v.Verify(t.Context(), before); return err == nil }, 30*time.Second, 50*time.Millisecond)

	domain.jwt.Rotate()
	after := svid(domain.jwt, nil, nil)
	_, err = v.Verify(t.Context(), after)
	require.NoError(t, err, "the first token of a new key fetches the bundle")
	down(true)
	for _, raw := range []string{before, after} {
		_, err = v.Verify(t.Context(), raw)
		require.NoError(t, err, "the last bundle is used while there is no other")
	}
}
