package main

import (
	"bytes"
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
	gateway, err := newGateway(as.Issuer(), at)
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
	for _, path := range []string{"/orders/%2e%2e", "/orders/..%2fadmin", "/orders/%2e%2e%2fadmin%2fusers", "/orders/7%2F%2Fx", `/orders/..%5cadmin`} {
		require.Equal(t, 400, ask("GET", path, reads, nil), path)
		require.Nil(t, got, path)
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
	_, err := newGateway("", &url.URL{})
	require.ErrorContains(t, err, "Issuer")
}
