package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/confusion"
)

// gateway is the handler of a gateway in front of a service.
func gateway(t testing.TB, service string, wrap func(http.Handler) http.Handler) http.Handler {
	t.Helper()
	at, err := url.Parse(service)
	require.NoError(t, err)
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(at)
		r.Out.Host = r.In.Host
	}}
	gate := newGate(t, granting(), middleware.Config{DropAuthorization: true, Identity: confusion.Identity()})
	// ServeMux takes hosts as they were sent; a gateway has one route table for each host, or none.
	h := built(t, confusion.Routes(gate, wrap(forward)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
		if r.Host = strings.TrimSuffix(host, "."); r.Host != confusion.Host && r.Host != confusion.Internal {
			http.Error(w, "", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// No request reaches the service behind a gateway as another one than was decided on.
func TestConfusedPathsBehindAGateway(t *testing.T) {
	var service confusion.Service
	behind := httptest.NewServer(&service)
	defer behind.Close()
	front := httptest.NewServer(gateway(t, behind.URL, middleware.Backend))
	defer front.Close()
	confusion.Run(t, front.Listener.Addr().String(), &service)
}

// The table finds what Backend is for: without it, the service is reached wrongly.
func TestTheTableFindsAGatewayThatIsNotSafe(t *testing.T) {
	var service confusion.Service
	behind := httptest.NewServer(&service)
	defer behind.Close()
	front := httptest.NewServer(gateway(t, behind.URL, func(h http.Handler) http.Handler { return h }))
	defer front.Close()
	found := map[string]bool{}
	for _, row := range confusion.Requests() {
		_, _ = confusion.Send(t, front.Listener.Addr().String(), row)
		if len(service.Wrongs()) > 0 {
			found[row.Name] = true
		}
	}
	for _, name := range []string{"an encoded slash inside of an ID", "encoded dots", "an encoded backslash", "encoded twice", "dots and a semicolon",
		"X-HTTP-Method-Override says DELETE", "X-Original-URL says admin", "X-Forwarded-Prefix says admin", "a WebSocket"} {
		require.True(t, found[name], "%s was not found: %v", name, found)
	}
}

func TestBackend(t *testing.T) {
	var got *http.Request
	h := middleware.Backend(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	for _, tt := range []struct {
		name, method, target string
		sent, kept           http.Header
		status               int
	}{
		{name: "nothing to take out", target: "/orders/7?x=%2f..", sent: http.Header{"Accept": {"a", "b"}, "X_other": {"c"}}, kept: http.Header{"Accept": {"a", "b"}, "X_other": {"c"}}, status: 200},
		{name: "overrides, in every spelling", target: "/", status: 200, sent: http.Header{
			"X-Http-Method-Override": {"DELETE"}, "X_http_method_override": {"DELETE"}, "X_HTTP_METHOD_OVERRIDE": {"DELETE"}, "X.Http.Method.Override": {"DELETE"},
			"X-Http-Method": {"DELETE"}, "X_method_override": {"DELETE"}, "X-Original-Url": {"/a"}, "X-Rewrite_url": {"/a"}, "X-Forwarded-Prefix": {"/a"}, "X-Script-Name": {"/a"}, "X-Original-Host": {"h"}}},
		{name: "what a proxy replaces", target: "/", status: 200, sent: http.Header{"X-Forwarded-For": {"a"}, "X_forwarded_for": {"b"}, "X-Forwarded_host": {"c"}, "Forwarded": {"d"}, "FORWARDED": {"e"}},
			kept: http.Header{"X-Forwarded-For": {"a"}, "Forwarded": {"d"}}},
		{name: "one connection", target: "/", status: 200, sent: http.Header{"Connection": {"close, x-a", "X-B,Upgrade"}, "X-A": {"a"}, "X-B": {"b"}, "X-C": {"c"}, "Upgrade": {"websocket"}, "Http2-Settings": {"x"}, "Te": {"trailers"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"x"}},
			kept: http.Header{"X-C": {"c"}}},
		{name: "an empty Connection", target: "/", status: 200, sent: http.Header{"Connection": {"", " , "}}},
		{name: "an encoded slash", target: "/orders/7%2Finternal%2Fexport", status: 400},
		{name: "an encoded dot segment", target: "/orders/%2e%2e", status: 400},
		{name: "a dot segment", target: "/orders/../x", status: 400},
		{name: "an empty segment", target: "/orders//x", status: 400},
		{name: "two slashes", target: "//", status: 400},
		{name: "a semicolon", target: "/orders;x", status: 400},
		{name: "an encoded question mark", target: "/orders%3fx", status: 400},
		{name: "all of the server", method: "OPTIONS", target: "*", status: 400},
		{name: "a method in small letters", method: "get", target: "/orders", status: 400},
		{name: "a tunnel", method: "CONNECT", target: "/orders", status: 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got = nil
			r := httptest.NewRequest("GET", "/", nil)
			r.RequestURI = tt.target
			if tt.method != "" {
				r.Method = tt.method
			}
			var err error
			if r.URL, err = url.ParseRequestURI(tt.target); tt.target == "*" {
				r.URL, err = &url.URL{Path: "*"}, nil
			}
			require.NoError(t, err)
			r.Header = tt.sent.Clone()
			r.Trailer = http.Header{"X-Auth-Subject": nil}
			w := httptest.NewRecorder()
			w.Header().Set("ETag", "of what was not sent")
			h.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, tt.sent, r.Header, "that of the caller is as it was")
			if tt.status != 200 {
				require.Nil(t, got)
				require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				require.Empty(t, w.Header().Get("ETag"))
				require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
				require.NotContains(t, w.Body.String(), "orders")
				return
			}
			require.NotNil(t, got)
			require.Nil(t, got.Trailer)
			require.NotNil(t, r.Trailer)
			require.Equal(t, tt.target, got.URL.RequestURI())
			require.Len(t, got.Header, len(tt.kept), got.Header)
			for name, values := range tt.kept {
				require.Equal(t, values, got.Header[name])
			}
		})
	}
	for _, nothing := range []http.Handler{nil, http.HandlerFunc(nil), (*httputil.ReverseProxy)(nil)} {
		w := httptest.NewRecorder()
		middleware.Backend(nothing).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		require.Equal(t, 500, w.Code)
	}
}
