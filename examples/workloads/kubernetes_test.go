package workloads_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/workloads"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	clusterIssuer = "https://kubernetes.default.svc.cluster.local"
	stockAudience = "https://stock.shop.svc"
)

// cluster is an API server with its token issuer: TLS under a CA of its own, and nothing
// for callers without a token of the pod that it knows.
type cluster struct {
	as      *authtest.Server
	server  *httptest.Server
	ca      string
	podFile string // where the pod of the service has its token for the API server

	mu       sync.Mutex // guards the rest
	pod      string     // the token that is valid
	deleted  bool       // the pod of the caller
	reviewer bool       // the service may review tokens
	blind    bool       // reviews look at no audience
	down     bool       // the API server answers 503
	sent     []string   // Authorization of each request
}

func startCluster(t *testing.T) *cluster {
	c := &cluster{as: authtest.New(t, authtest.WithIssuer(clusterIssuer)), reviewer: true}
	keys := &httputil.ReverseProxy{Transport: c.as.Client().Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			at, _ := url.Parse(c.as.URL("/jwks"))
			r.Out.URL, r.Out.Host = at, at.Host
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Content-Type", "application/jwk-set+json")
			return nil
		}}
	mux := http.NewServeMux()
	mux.Handle("GET /openid/v1/jwks", keys)
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", c.review)
	c.server, c.ca = startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.sent = append(c.sent, r.Header.Get("Authorization"))
		known, down := r.Header.Get("Authorization") == "Bearer "+c.pod, c.down
		c.mu.Unlock()
		switch {
		case down:
			w.WriteHeader(http.StatusServiceUnavailable)
		case !known:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	c.podFile = filepath.Join(t.TempDir(), "token")
	c.rotatePod(t)
	return c
}

// rotatePod gives the pod of the service another token, and forgets the one before.
func (c *cluster) rotatePod(t testing.TB) {
	token := c.token(func(claims map[string]any) {
		claims["aud"], claims["sub"] = []string{"https://kubernetes.default.svc"}, "system:serviceaccount:shop:stock"
	})
	c.set(func() { c.pod = token })
	write(t, c.podFile, token+"\n")
}

func (c *cluster) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cluster) pods() workloads.Cluster {
	return workloads.Cluster{Issuer: clusterIssuer, APIServer: c.server.URL, CAFile: c.ca, TokenFile: c.podFile}
}

// token is one of the pod of shop/orders, for the stock service, with a change.
func (c *cluster) token(change func(claims map[string]any)) string {
	claims := c.as.Claims(authtest.Claims{Subject: "system:serviceaccount:shop:orders", Audience: []string{stockAudience}})
	delete(claims, "client_id")
	claims["nbf"] = claims["iat"]
	claims["kubernetes.io"] = map[string]any{
		"namespace":      "shop",
		"serviceaccount": map[string]any{"name": "orders", "uid": "8b1f2e1c-0000-4000-8000-000000000001"},
		"pod":            map[string]any{"name": "orders-6d4cf56db6-x2x7z", "uid": "8b1f2e1c-0000-4000-8000-000000000002"},
		"node":           map[string]any{"name": "node-1", "uid": "8b1f2e1c-0000-4000-8000-000000000003"},
	}
	if change != nil {
		change(claims)
	}
	return c.as.Sign(map[string]any{"typ": nil}, claims)
}

// review answers as the API server does: by signature, times and audience, and by whether
// the pod is still there.
func (c *cluster) review(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		APIVersion, Kind string
		Spec             struct {
			Token     string
			Audiences []string
		}
	}
	if json.NewDecoder(r.Body).Decode(&asked) != nil || asked.APIVersion != "authentication.k8s.io/v1" || asked.Kind != "TokenReview" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	deleted, reviewer, blind := c.deleted, c.reviewer, c.blind
	c.mu.Unlock()
	if !reviewer {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	status := map[string]any{"error": "[invalid bearer token, Token has been invalidated]"}
	v, err := jwtverify.New(jwtverify.Config{Issuer: clusterIssuer, Audiences: asked.Spec.Audiences, HTTPClient: c.as.Client()})
	if err == nil {
		if token, err := v.Verify(r.Context(), asked.Spec.Token); err == nil && !deleted {
			status = map[string]any{"authenticated": true, "user": map[string]any{"username": token.Subject(), "groups": []string{"system:serviceaccounts"}}}
			if !blind {
				status["audiences"] = asked.Spec.Audiences
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": asked.APIVersion, "kind": asked.Kind, "spec": asked.Spec, "status": status})
}

// stock is the service, and its caller.
type stock struct {
	decisions
	caller     *http.Client
	callerFile string
	url        string
}

func startStock(t *testing.T, c *cluster) *stock {
	accounts := workloads.Accounts{"shop/orders": scope.Of("stock:read", "stock:write"), "shop/reports": scope.Of("stock:read")}
	local, err := c.pods().Verifier(stockAudience, accounts)
	require.NoError(t, err)
	live, err := c.pods().Live(local, stockAudience, accounts)
	require.NoError(t, err)
	s := &stock{callerFile: filepath.Join(t.TempDir(), "token")}
	handler, err := workloads.Stock(local, live, s.config())
	require.NoError(t, err)
	server, _ := startTLS(t, handler)
	s.url = server.URL
	s.caller = &http.Client{Transport: workloads.TokenFile{Path: s.callerFile, Origin: server.URL, Base: server.Client().Transport}}
	return s
}

// call has the caller, whose file holds token, call the service.
func (s *stock) call(t *testing.T, method, token string) *http.Response {
	t.Helper()
	write(t, s.callerFile, token)
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+"/stock/7", nil)
	require.NoError(t, err)
	response, err := s.caller.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	if response.StatusCode == http.StatusOK {
		require.True(t, strings.HasPrefix(string(body), "for system:serviceaccount:shop:"), "%s", body)
	}
	return response
}

func TestKubernetes(t *testing.T) {
	c := startCluster(t)
	s := startStock(t, c)
	stranger := authtest.New(t, authtest.WithIssuer(clusterIssuer))
	says := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	for _, tt := range []struct {
		name   string
		method string // "": GET
		change func(claims map[string]any)
		token  string // instead
		status int
		kind   error
		reason bearergate.Reason
	}{
		{name: "of the account", status: 200},
		{name: "of the account, which may write", method: "DELETE", status: 200},
		{name: "of another account on the list", change: says("sub", "system:serviceaccount:shop:reports"), status: 200},
		{name: "of another account on the list, which may not write", method: "DELETE", change: says("sub", "system:serviceaccount:shop:reports"),
			status: 403, kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "of an account of that name in another namespace", change: says("sub", "system:serviceaccount:test:orders"),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "of an account whose name begins so", change: says("sub", "system:serviceaccount:shop:orders2"),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "of a node", change: says("sub", "system:node:node-1"),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "for the API server", change: says("aud", []string{"https://kubernetes.default.svc"}),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonAudience},
		{name: "for another service", change: says("aud", []string{"https://prices.shop.svc"}),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonAudience},
		{name: "of the legacy kind, from a Secret", change: func(claims map[string]any) {
			claims["iss"] = "kubernetes/serviceaccount"
			for _, name := range []string{"aud", "exp", "iat", "nbf", "jti", "kubernetes.io"} {
				delete(claims, name)
			}
		}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonIssuer},
		{name: "without aud", change: func(claims map[string]any) { delete(claims, "aud") },
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMissingClaim},
		{name: "without exp", change: func(claims map[string]any) { delete(claims, "exp") },
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMissingClaim},
		{name: "expired", change: says("exp", time.Now().Add(-time.Minute).Unix()),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonExpired},
		{name: "of another cluster of that name", token: stranger.Token(authtest.Claims{Subject: "system:serviceaccount:shop:orders", Audience: []string{stockAudience}}),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{name: "of another cluster", change: says("iss", "https://oidc.eks.eu-west-1.amazonaws.com/id/OTHER"),
			status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonIssuer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := tt.token
			if token == "" {
				token = c.token(tt.change)
			}
			method := "GET"
			if tt.method != "" {
				method = tt.method
			}
			require.Equal(t, tt.status, s.call(t, method, token).StatusCode)
			s.require(t, kit.Verdict{Kind: tt.kind, Reason: tt.reason}, token)
		})
	}
}

// What the API server knows and a signature does not.
func TestKubernetesReview(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(*cluster)
		write  int // the status where each token is reviewed
		kind   error
		reason bearergate.Reason
	}{
		{name: "all is well", set: func(*cluster) {}, write: 200},
		{name: "the pod was deleted", set: func(c *cluster) { c.deleted = true },
			write: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonInactive},
		{name: "an API server that looks at no audience", set: func(c *cluster) { c.blind = true },
			write: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMissingClaim},
		{name: "the API server is down", set: func(c *cluster) { c.down = true },
			write: 503, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "the service may not review", set: func(c *cluster) { c.reviewer = false },
			write: 500, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startCluster(t)
			s := startStock(t, c)
			token := c.token(nil)
			require.Equal(t, 200, s.call(t, "GET", token).StatusCode)
			require.Equal(t, 200, s.call(t, "DELETE", token).StatusCode)
			c.set(func() { tt.set(c) })
			response := s.call(t, "DELETE", token)
			require.Equal(t, tt.write, response.StatusCode)
			s.require(t, kit.Verdict{Kind: tt.kind, Reason: tt.reason}, token)
			require.Equal(t, tt.write == 503, response.Header.Get("Retry-After") != "")
			require.Equal(t, 200, s.call(t, "GET", token).StatusCode, "a signature knows of none of that")
		})
	}
}

// The token of the service is read anew, and its keys outlive what goes wrong with it.
func TestKubernetesTokenFile(t *testing.T) {
	c := startCluster(t)
	s := startStock(t, c)
	require.Equal(t, 200, s.call(t, "DELETE", c.token(nil)).StatusCode)
	c.rotatePod(t)
	require.Equal(t, 200, s.call(t, "DELETE", c.token(nil)).StatusCode)
	c.as.Rotate()
	require.Equal(t, 200, s.call(t, "GET", c.token(nil)).StatusCode, "the new keys are fetched with the new token")

	write(t, c.podFile, "")
	require.Equal(t, 200, s.call(t, "GET", c.token(nil)).StatusCode, "the keys are there")
	token := c.token(nil)
	require.Equal(t, 503, s.call(t, "DELETE", token).StatusCode)
	s.require(t, kit.Verdict{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable}, token)

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sent := range c.sent {
		require.NotContains(t, sent, token, "the token of a caller authenticates nobody but the caller")
		require.True(t, strings.HasPrefix(sent, "Bearer ey"), "no request is sent without a token")
	}
}

// A token is sent nowhere but where it belongs.
func TestTokenFileStaysAtItsOrigin(t *testing.T) {
	var mu sync.Mutex // guards got
	var got []string
	note := func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Authorization"))
	}
	elsewhere, _ := startTLS(t, http.HandlerFunc(note))
	server, _ := startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return
		}
		note(w, r)
	}))
	const token = "eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl"
	file := write(t, filepath.Join(t.TempDir(), "token"), token+"\n")
	client := func(path, origin string) *http.Client {
		return &http.Client{Transport: workloads.TokenFile{Path: path, Origin: origin, Base: server.Client().Transport}}
	}
	plain := "http" + strings.TrimPrefix(server.URL, "https")
	for _, tt := range []struct {
		name      string
		client    *http.Client
		url, says string // says: the error; "": none
	}{
		{name: "its origin", client: client(file, server.URL), url: server.URL},
		{name: "elsewhere", client: client(file, server.URL), url: elsewhere.URL, says: "alone"},
		{name: "a redirect", client: client(file, server.URL), url: server.URL + "/away", says: "alone"},
		{name: "without TLS", client: client(file, server.URL), url: plain, says: "alone"},
		{name: "an origin without TLS", client: client(file, plain), url: plain, says: "no https origin"},
		{name: "no origin", client: client(file, ""), url: server.URL, says: "no https origin"},
		{name: "no file", client: client(file+"x", server.URL), url: server.URL, says: "no such file"},
		{name: "an empty file", client: client(write(t, filepath.Join(t.TempDir(), "token"), "\n"), server.URL), url: server.URL, says: "no token"},
		{name: "two tokens", client: client(write(t, filepath.Join(t.TempDir(), "token"), token+"\n"+token), server.URL), url: server.URL, says: "no token"},
		{name: "a file without end", client: client(write(t, filepath.Join(t.TempDir(), "token"), strings.Repeat("a", 16<<10+1)), server.URL), url: server.URL, says: "no token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mu.Lock()
			got = nil
			mu.Unlock()
			r, err := http.NewRequestWithContext(t.Context(), "POST", tt.url, strings.NewReader("body"))
			require.NoError(t, err)
			response, err := tt.client.Do(r)
			if err == nil {
				require.NoError(t, response.Body.Close())
			}
			mu.Lock()
			defer mu.Unlock()
			if tt.says == "" {
				require.NoError(t, err)
				require.Equal(t, []string{"Bearer " + token}, got)
				return
			}
			require.ErrorContains(t, err, tt.says)
			kit.RequireNothingOf(t, err.Error(), token)
			require.Empty(t, got)
		})
	}
}

func TestKubernetesMistakes(t *testing.T) {
	c := startCluster(t)
	good := workloads.Accounts{"shop/orders": scope.Of("stock:read")}
	for _, tt := range []struct {
		name     string
		change   func(*workloads.Cluster)
		audience string
		accounts workloads.Accounts
	}{
		{name: "nobody may call", accounts: workloads.Accounts{}},
		{name: "a name without namespace", accounts: workloads.Accounts{"orders": scope.Of("stock:read")}},
		{name: "a namespace without name", accounts: workloads.Accounts{"shop/": scope.Of("stock:read")}},
		{name: "as it stands in sub", accounts: workloads.Accounts{"system:serviceaccount:shop:orders": scope.Of("stock:read")}},
		{name: "a name with a colon", accounts: workloads.Accounts{"shop/orders:x": scope.Of("stock:read")}},
		{name: "the audience of the API server", audience: "https://kubernetes.default.svc", accounts: good},
		{name: "no CA", change: func(c *workloads.Cluster) { c.CAFile += "x" }, accounts: good},
		{name: "a CA that is none", change: func(c *workloads.Cluster) { c.CAFile = c.TokenFile }, accounts: good},
		{name: "an API server without TLS", change: func(c *workloads.Cluster) { c.APIServer = "http://kubernetes.default.svc" }, accounts: good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pods, audience := c.pods(), stockAudience
			if tt.change != nil {
				tt.change(&pods)
			}
			if tt.audience != "" {
				audience = tt.audience
			}
			v, err := pods.Verifier(audience, tt.accounts)
			require.Error(t, err)
			require.Nil(t, v)
		})
	}
	v, err := c.pods().Verifier(stockAudience, good)
	require.NoError(t, err)
	require.NotNil(t, v)
}
