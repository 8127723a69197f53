package main

import (
	"bufio"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func TestAuthorizer(t *testing.T) {
	as, err := authtest.Start(authtest.WithAudience(audience))
	require.NoError(t, err)
	defer as.Close()
	h, err := newAuthorizer(as.Issuer(), middleware.Caddy, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	require.NoError(t, err)
	read := "Bearer " + as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
	for _, tt := range []struct {
		name, method, uri, authorization string
		status                           int
		subject                          string
	}{
		{name: "a token", uri: "/orders/7", authorization: read, status: 200, subject: "alice"},
		{name: "no token", uri: "/orders/7", status: 401},
		{name: "too few scopes", method: "POST", uri: "/orders/7", authorization: read, status: 403},
		{name: "nobody", uri: "/news", status: 200},
		{name: "a preflight", method: "OPTIONS", uri: "/orders/7", status: 200},
		{name: "another preflight", method: "OPTIONS", uri: "/news", status: 405},
		{name: "another path", uri: "/ORDERS/7", authorization: read, status: 404},
		{name: "a path in two ways", uri: "/orders/7%2fx", authorization: read, status: 400},
	} {
		r := httptest.NewRequest("GET", "/forward-auth", nil) // from 192.0.2.1
		if tt.method == "" {
			tt.method = "GET"
		}
		r.Header = http.Header{"X-Forwarded-Method": {tt.method}, "X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Uri": {tt.uri}}
		if tt.authorization != "" {
			r.Header.Set("Authorization", tt.authorization)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, tt.status, w.Code, tt.name)
		require.Equal(t, tt.subject, w.Header().Get("X-Auth-Subject"), tt.name)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource", nil))
	require.Equal(t, 200, w.Code)

	_, err = newAuthorizer("", middleware.Caddy, nil)
	require.ErrorContains(t, err, "Issuer")
	_, err = newAuthorizer(as.Issuer(), middleware.Caddy, nil)
	require.ErrorContains(t, err, "Trusted")
}

// The configuration files name every header that the authorizer says, and where it is.
func TestTheFilesFitTheProgram(t *testing.T) {
	for file, also := range map[string]string{"nginx.conf": "auth_request ", "Caddyfile": "handle_response", "traefik-dynamic.yaml": "forwardAuth:"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, part := range []string{"X-Auth-Issuer", "X-Auth-Subject", "X-Auth-Client", "X-Auth-Scopes", "/forward-auth", "127.0.0.1:9000", "127.0.0.1:9090", "/.well-known/oauth-protected-resource", also} {
			require.Contains(t, string(text), part, file)
		}
	}
}

func TestRun(t *testing.T) {
	logged := &strings.Builder{}
	log.SetOutput(logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	ctx, stop := context.WithCancel(t.Context())
	reader, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-listen", "127.0.0.1:0", "-proxy", "caddy", "-service", "127.0.0.1:0"}, out)
	}()
	lines := bufio.NewScanner(reader)
	require.True(t, lines.Scan())
	require.True(t, lines.Scan())
	token := lines.Text()
	require.True(t, lines.Scan())
	_, service, found := strings.Cut(lines.Text(), "the service behind the proxy is at ")
	require.True(t, found)
	require.True(t, lines.Scan())
	_, at, found := strings.Cut(lines.Text(), "deciding for caddy at ")
	require.True(t, found)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	require.NoError(t, err)
	r.Header = http.Header{"X-Forwarded-Method": {"GET"}, "X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Uri": {"/orders/7"}, "Authorization": {"Bearer " + token}}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "alice", res.Header.Get("X-Auth-Subject"))
	r.Header = http.Header{"X-Original-Method": {"GET"}, "X-Original-Host": {"api.example.com"}, "X-Original-Uri": {"/orders/7"}} // of nginx
	res, err = http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 500, res.StatusCode)
	r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, service+"/orders/7", nil)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Subject", "alice")
	res, err = http.DefaultClient.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "GET \"/orders/7\", subject \"alice\", client \"\", scopes \"\", a token: false\n", string(body))
	stop()
	require.NoError(t, <-ended)
	require.Contains(t, logged.String(), "reason=config", "the question was one of another proxy")
	require.NotContains(t, logged.String(), "eyJ")
	for _, args := range [][]string{{"-trusted", "x"}, {"-proxy", "apache"}, {"-listen", "x"}, {"-listen", "127.0.0.1:0", "-service", "x"}, {"-nonsense"}} {
		require.Error(t, run(t.Context(), args, io.Discard))
	}
}
