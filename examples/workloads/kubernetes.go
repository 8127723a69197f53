package workloads

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Cluster is what a pod knows of the Kubernetes cluster that it runs in.
type Cluster struct {
	Issuer    string // iss of its tokens: --service-account-issuer of the API server
	APIServer string // its origin: "https://kubernetes.default.svc"
	CAFile    string // its CA: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
	// TokenFile is the pod's own token for the API server:
	// /var/run/secrets/kubernetes.io/serviceaccount/token. It fetches keys and asks for
	// reviews, and is not the one that this service calls others with.
	TokenFile string
}

// Accounts are the service accounts that may call, as namespace/name, and the scopes that
// each has here: a service account has none of its own.
type Accounts map[string]scope.Set

// Verifier returns a verifier for the tokens of these accounts that were issued for
// audience: that of projected volumes of the callers, a name of this service alone. It asks
// nobody about a token, and so accepts that of a deleted pod until it expires.
func (c Cluster) Verifier(audience string, accounts Accounts) (*jwtverify.Verifier, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	keys, err := jwks.New(jwks.Config{
		Issuer:     c.Issuer,
		URL:        c.APIServer + "/openid/v1/jwks", // not discovered: metadata name an address that pods may not reach
		HTTPClient: client,
	})
	if err != nil {
		return nil, err
	}
	var subjects []string
	for account := range accounts {
		if namespace, name, _ := strings.Cut(account, "/"); namespace == "" || name == "" || strings.ContainsAny(name, "/:") || strings.Contains(namespace, ":") {
			return nil, fmt.Errorf("workloads: Accounts: %q is not of the form namespace/name", account)
		}
		subjects = append(subjects, subject(account))
	}
	config := idp.Kubernetes(c.Issuer, audience, idp.Where{"sub": subjects})
	config.Keys = keys
	config.Map = accounts.grant
	return jwtverify.New(config)
}

// Live returns a verifier that also asks the API server about each token that local, the
// Verifier, has accepted (TokenReview), and so refuses that of a deleted pod or account. Use
// it with middleware.Via on the routes that are worth a call. The pod's own service account
// needs the ClusterRole system:auth-delegator.
func (c Cluster) Live(local bearergate.Verifier, audience string, accounts Accounts) (bearergate.Verifier, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	live, err := introspect.New(introspect.Config{
		Issuer:    c.Issuer,
		Audiences: []string{audience},
		Ask: func(ctx context.Context, token string) ([]byte, error) {
			return review(ctx, client, c.APIServer, audience, token)
		},
		AskName:      "TokenReview at " + c.APIServer + " for " + audience,
		Map:          accounts.grant,
		DisableCache: true, // RequireLive wants to hear it each time
	})
	if err != nil {
		return nil, err
	}
	return issuers.RequireLive(local, live)
}

// Stock is a service that others in the cluster call: anybody on its list may read, whose
// pod may have been deleted a moment ago, and what changes something asks the API server.
func Stock(local, live bearergate.Verifier, config middleware.Config) (http.Handler, error) {
	gate, err := middleware.New(local, config)
	if err != nil {
		return nil, err
	}
	router := gate.NewRouter()
	router.HandleFunc("GET /stock/{item}", scope.All("stock:read"), stock)
	router.HandleFunc("DELETE /stock/{item}", scope.All("stock:write"), stock, middleware.Via(live))
	return router.Handler()
}

func stock(w http.ResponseWriter, r *http.Request) {
	token, _ := bearergate.FromContext(r.Context())
	_, _ = io.WriteString(w, "for "+token.Subject())
}

func subject(account string) string {
	namespace, name, _ := strings.Cut(account, "/")
	return "system:serviceaccount:" + namespace + ":" + name
}

// grant is a Map: it gives an account its scopes.
func (a Accounts) grant(claims *bearergate.Claims) error {
	claims.Scopes = scope.Of() // whoever is not on the list has none
	for account, scopes := range a {
		if claims.Subject == subject(account) {
			claims.Scopes = scopes
		}
	}
	return nil
}

// client returns a client for the API server: it trusts the cluster's CA and nobody else,
// uses no proxy, and shows the pod's own token. The CA is read once: when a cluster changes
// its CA, its pods have to be started again.
func (c Cluster) client() (*http.Client, error) {
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	ca := x509.NewCertPool()
	if !ca.AppendCertsFromPEM(pem) {
		return nil, errors.New("workloads: no certificate in " + c.CAFile)
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: TokenFile{
		Path:   c.TokenFile,
		Origin: c.APIServer,
		Base: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConns:        4,
			IdleConnTimeout:     30 * time.Second,
		},
	}}, nil
}

// maxTokenFile is how long a token in a file may be: as long as verifiers take.
const maxTokenFile = 16 << 10

// TokenFile is an http.RoundTripper that sends the token in a file with each request. The
// kubelet replaces that file when 80 % of the token's life are over, so it is read for each
// request: that costs a few microseconds, and nothing has to find out whether it changed.
type TokenFile struct {
	Path string
	// Origin is where the token may be sent: "https://stock.shop.svc". A request for any
	// other origin is not made, so that no redirect takes the token elsewhere.
	Origin string
	// Base sends the requests. It has to verify who answers under Origin.
	Base http.RoundTripper
}

// RoundTrip sends the request with the token.
func (t TokenFile) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.token(r.URL)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a RoundTripper has to
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return t.Base.RoundTrip(r)
}

func (t TokenFile) token(to *url.URL) (string, error) {
	origin, err := url.Parse(t.Origin)
	if err != nil || origin.Scheme != "https" || origin.Host == "" {
		return "", errors.New("workloads: Origin is no https origin")
	}
	if to.Scheme != origin.Scheme || !strings.EqualFold(to.Host, origin.Host) {
		return "", errors.New("workloads: the token in a file is for " + t.Origin + " alone")
	}
	f, err := os.Open(t.Path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	if _, err := bearergate.BearerToken([]string{"Bearer " + token}); err != nil || len(content) > maxTokenFile {
		return "", errors.New("workloads: there is no token in " + t.Path) // and nothing of what is there
	}
	return token, nil
}

// review asks the API server about a token, as introspect.Config.Ask does: a TokenReview
// (authentication.k8s.io/v1) becomes the answer of an introspection endpoint.
func review(ctx context.Context, client *http.Client, apiServer, audience, token string) ([]byte, error) {
	type spec struct {
		Token     string   `json:"token"`
		Audiences []string `json:"audiences"`
	}
	question, err := json.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
	}{"authentication.k8s.io/v1", "TokenReview", spec{token, []string{audience}}})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, apiServer+"/apis/authentication.k8s.io/v1/tokenreviews", bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		return nil, err // an outage, as introspect sees it
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK, http.StatusCreated:
	case http.StatusUnauthorized, http.StatusForbidden: // our own token, or our role
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Detail: "the API server does not let this service account review tokens: bind it to system:auth-delegator"}
	default:
		return nil, fmt.Errorf("%w: the API server answered a TokenReview with %d", bearergate.ErrUnavailable, response.StatusCode)
	}
	var said struct {
		Status struct {
			Authenticated bool     `json:"authenticated"`
			Audiences     []string `json:"audiences"`
			User          struct {
				Username string `json:"username"`
			} `json:"user"`
		} `json:"status"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&said); err != nil {
		return nil, fmt.Errorf("%w: the API server did not answer a TokenReview with one", bearergate.ErrUnavailable) // the body may hold the token
	}
	if !said.Status.Authenticated {
		return []byte(`{"active":false}`), nil
	}
	// Audiences is empty where the API server did not look at the one that was asked for:
	// the token is then one for the API server itself. Without aud, introspect refuses it.
	return json.Marshal(map[string]any{"active": true, "sub": said.Status.User.Username, "aud": said.Status.Audiences})
}
