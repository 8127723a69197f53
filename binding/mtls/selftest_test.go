package mtls_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/binding/mtls"
)

// The self-test finds a proxy that lets a forged header through.
// req: R9440-05 R9700-06
func TestSelfTest(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, tc := range []struct {
		name    string
		trusted []netip.Prefix
		rewrite func(http.Header)
		path    string
		says    string // "": passes
	}{
		{name: "it replaces the header", trusted: loopback, rewrite: func(h http.Header) { h.Set("Client-Cert", ":AAAA:") }},
		{name: "it removes the header", trusted: loopback, rewrite: func(h http.Header) { h.Del("Client-Cert") }},
		{name: "it lets the header through", trusted: loopback, rewrite: func(http.Header) {}, says: "anybody has any certificate"},
		{name: "it adds a value", trusted: loopback, rewrite: func(h http.Header) { h.Add("Client-Cert", ":AAAA:") }, says: "anybody has any certificate"},
		{name: "it appends", trusted: loopback, rewrite: func(h http.Header) { h.Set("Client-Cert", h.Get("Client-Cert")+",By=a") }, says: "anybody has any certificate"},
		{name: "it is not trusted", trusted: elsewhere, rewrite: func(http.Header) {}, says: "proxy of Trusted"},
		{name: "another path", trusted: loopback, path: "/elsewhere", rewrite: func(h http.Header) { h.Del("Client-Cert") }, says: "is 404"},
		{name: "it drops the probe", trusted: loopback, rewrite: func(h http.Header) { clear(h) }, says: "is 400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			certificates := newCertificates(t, mtls.Config{Forwarded: []mtls.Forwarded{{Header: "Client-Cert", Format: mtls.RFC9440, Trusted: tc.trusted}}})
			mux := http.NewServeMux()
			mux.Handle("GET /selftest", certificates.SelfTestHandler())
			service := httptest.NewServer(mux)
			defer service.Close()
			target, err := url.Parse(service.URL)
			require.NoError(t, err)
			proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				tc.rewrite(r.Out.Header)
			}})
			defer proxy.Close()
			path := tc.path
			if path == "" {
				path = "/selftest"
			}
			err = certificates.SelfTest(t.Context(), proxy.Client(), proxy.URL+path)
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func TestSelfTestCannotAsk(t *testing.T) {
	certificates := newCertificates(t, forwardedBy("Client-Cert", mtls.RFC9440, 0))
	require.Error(t, certificates.SelfTest(t.Context(), nil, "http://127.0.0.1/"))
	require.Error(t, certificates.SelfTest(t.Context(), http.DefaultClient, "://"))
	require.Error(t, certificates.SelfTest(t.Context(), http.DefaultClient, "http://127.0.0.1:1/"))
	require.Error(t, newCertificates(t, mtls.Config{Direct: true}).SelfTest(t.Context(), http.DefaultClient, "http://127.0.0.1:1/"))
	require.Error(t, (*mtls.Certificates)(nil).SelfTest(t.Context(), http.DefaultClient, "http://127.0.0.1:1/"))

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Bearergate-Mtls-Probe", "mark")
	r.RemoteAddr = "@"
	w := httptest.NewRecorder()
	certificates.SelfTestHandler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.NotContains(t, string(body), "mark")
	require.Contains(t, string(body), "not through a trusted proxy")
}
