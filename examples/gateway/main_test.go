package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

func TestDemonstration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	const alice = `alice, scopes "orders:read", a token: false`
	const nobody = `nobody, scopes "", a token: false`
	want := []string{
		"REQUEST|PATH|STATUS|THE BACKEND SAW",
		"a token|GET /orders/7|200|" + alice,
		"no token|GET /orders/7|401|nothing",
		"too few scopes|POST /orders/7|403|nothing",
		"a false subject|GET /orders/7|200|" + alice,
		"a false subject, no token|GET /news|200|" + nobody,
		"a false subject, public|GET /health|200|" + nobody,
		"a token, public|GET /health|200|" + nobody,
		"headers to drop|GET /orders/7|200|" + alice,
		"another method|GET /orders/7|200|" + alice,
		"another route|GET /orders/7%2Finternal%2Fexport|400|nothing",
		"past the gateway|GET /orders/7|403|nothing",
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, len(want))
	for i, line := range lines {
		var cells []string
		for cell := range strings.SplitSeq(line, "  ") {
			if cell = strings.TrimSpace(cell); cell != "" {
				cells = append(cells, cell)
			}
		}
		require.Equal(t, want[i], strings.Join(cells, "|"))
	}
}

// What reaches the backend, header by header.
func TestWhatTheBackendSees(t *testing.T) {
	var got http.Header
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer behind.Close()
	at, err := url.Parse(behind.URL)
	require.NoError(t, err)
	as, err := authtest.Start(authtest.WithAudience(audience))
	require.NoError(t, err)
	defer as.Close()
	stranger := authtest.New(t, authtest.WithAudience(audience))
	gateway, err := newGateway(as.Issuer(), at, nil)
	require.NoError(t, err)

	ask := func(method, path, token string, header http.Header) int {
		got = nil
		r := httptest.NewRequest(method, path, nil)
		maps.Copy(r.Header, header)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		gateway.ServeHTTP(w, r)
		return w.Code
	}
	// A backend that decodes the path must not find another one than was decided on.
	reads := as.Token(authtest.Claims{Scopes: scope.Of("orders:read")})
	for _, path := range []string{"/orders/%2e%2e", "/orders/..%2fadmin", "/orders/%2e%2e%2fadmin%2fusers", "/orders/7%2F%2Fx", "/orders/7%2Finternal%2Fexport", "/orders/7%2finternal", `/orders/..%5cadmin`} {
		require.Equal(t, 400, ask("GET", path, reads, nil), path)
		require.Nil(t, got, path)
	}
	for _, name := range []string{"X_HTTP_Method_Override", "X-HTTP_Method_Override", "X.HTTP.Method.Override", "X_Original_URL", "X_Forwarded_For"} {
		require.Equal(t, 200, ask("GET", "/orders/7", reads, http.Header{name: {"DELETE"}}))
		for kept := range got {
			require.False(t, strings.EqualFold(kept, name), kept)
		}
	}
	require.Equal(t, 200, ask("GET", "/orders/7", reads, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"h2c"}, "X-Http-Method-Override": {"DELETE"}, "X-Original-Url": {"/admin"}}))
	for _, name := range []string{"Upgrade", "X-HTTP-Method-Override", "X-Original-URL"} {
		require.Empty(t, got.Values(name), name)
	}

	token := as.Token(authtest.Claims{Subject: "al\u00ef\r\nX-Auth-Scopes: admin", ClientID: "app, other", Scopes: scope.Of("orders:read", "orders:write")})
	require.Equal(t, 200, ask("POST", "/orders/7", token, http.Header{"Cookie": {"a=b"}, "X-Auth-Role": {"kept"}, "X_auth_client": {"root"}}))
	require.Equal(t, []string{as.Issuer()}, got.Values("X-Auth-Issuer"))
	require.Equal(t, []string{"al%C3%AF%0D%0AX-Auth-Scopes: admin"}, got.Values("X-Auth-Subject"))
	require.Equal(t, []string{"app%2C other"}, got.Values("X-Auth-Client"))
	require.Equal(t, []string{"orders:read orders:write"}, got.Values("X-Auth-Scopes"))
	require.Equal(t, "kept", got.Get("X-Auth-Role"))
	require.Equal(t, "a=b", got.Get("Cookie"))
	require.NotContains(t, got, "Authorization")
	require.NotContains(t, got, "X_auth_client")

	require.Equal(t, 401, ask("GET", "/news", stranger.Token(authtest.Claims{Subject: "x"}), nil))
	require.Nil(t, got, "a refused request does not reach the backend")
	require.Equal(t, 307, ask("GET", "/orders/7/../../admin", token, nil), "to the path that it means")
	require.Nil(t, got)
	require.Equal(t, 404, ask("GET", "/admin", token, nil))
	require.Nil(t, got)
}

func TestAMistakeIsReported(t *testing.T) {
	_, err := newGateway("", &url.URL{}, nil)
	require.ErrorContains(t, err, "Issuer")
}

// Who is not the gateway gets nothing, whatever it says of itself.
func TestOnlyTheGatewayIsBelieved(t *testing.T) {
	services, err := newAuthority()
	require.NoError(t, err)
	strangers, err := newAuthority()
	require.NoError(t, err)
	issued := func(by *authority, name string) tls.Certificate {
		certificate, err := by.issue(name)
		require.NoError(t, err)
		return certificate
	}
	var reached int
	behind := httptest.NewUnstartedServer(onlyFrom(gatewayName, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })))
	behind.TLS = backendTLS(services.pool(), issued(services, backendName))
	behind.Config.ErrorLog = log.New(io.Discard, "", 0)
	behind.StartTLS()
	defer behind.Close()
	for _, tt := range []struct {
		name   string
		shown  *tls.Certificate
		status int // 0: no connection
	}{
		{name: "the gateway", shown: new(issued(services, gatewayName)), status: 200},
		{name: "another service", shown: new(issued(services, "other.internal.example")), status: 403},
		{name: "a service for all names", shown: new(issued(services, "*.internal.example")), status: 403},
		{name: "the name within another one", shown: new(issued(services, gatewayName+".evil.example")), status: 403},
		{name: "the name, by another authority", shown: new(issued(strangers, gatewayName))},
		{name: "no certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reached = 0
			transport := gatewayTransport(services.pool(), tls.Certificate{}, backendName)
			defer transport.CloseIdleConnections()
			transport.TLSClientConfig.Certificates = nil
			if tt.shown != nil {
				transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.shown, nil }
			}
			status, _, err := send(t.Context(), &http.Client{Transport: transport}, "GET", behind.URL, http.Header{"X-Auth-Subject": {"root"}})
			require.Equal(t, tt.status, status)
			require.Equal(t, tt.status == 0, err != nil)
			require.Equal(t, tt.status == 200, reached == 1)
		})
	}
	// Without TLS, and with a certificate that nobody has verified.
	leaf, err := x509.ParseCertificate(issued(services, gatewayName).Certificate[0])
	require.NoError(t, err)
	for name, state := range map[string]*tls.ConnectionState{"plain": nil, "not verified": {PeerCertificates: []*x509.Certificate{leaf}}} {
		r := httptest.NewRequest("GET", "/", nil)
		r.TLS = state
		w := httptest.NewRecorder()
		onlyFrom(gatewayName, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error(name) })).ServeHTTP(w, r)
		require.Equal(t, 403, w.Code)
	}
}
