package mtls_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

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
	direct := newCertificates(t, mtls.Config{Direct: true})
	require.ErrorContains(t, certificates.SelfTest(t.Context(), nil, "http://127.0.0.1/"), "nothing to ask")
	require.ErrorContains(t, direct.SelfTest(t.Context(), http.DefaultClient, "http://127.0.0.1:1/"), "nothing to ask")
	require.ErrorContains(t, (*mtls.Certificates)(nil).SelfTest(t.Context(), http.DefaultClient, "http://127.0.0.1:1/"), "nothing to ask")
	require.ErrorContains(t, certificates.SelfTest(t.Context(), http.DefaultClient, "://"), "the URL cannot be read")
	var failed *url.Error
	require.ErrorAs(t, certificates.SelfTest(t.Context(), http.DefaultClient, "http://127.0.0.1:1/"), &failed)
}

// What the handler answers to whoever asks.
func TestSelfTestHandler(t *testing.T) {
	certificates := newCertificates(t, forwardedBy("Client-Cert", mtls.RFC9440, 0))
	for _, tc := range []struct {
		name, peer, probe, header string
		status                    int
		says                      string
	}{
		{name: "not from a proxy", peer: "@", probe: "mark", status: 200, says: "not through a trusted proxy"},
		{name: "from a stranger", peer: stranger, probe: "mark", status: 200, says: "not through a trusted proxy"},
		{name: "let through", peer: proxyPeer, probe: "mark", header: "mark", status: 200, says: "the forged header was let through"},
		{name: "replaced", peer: proxyPeer, probe: "mark", header: "other", status: 200, says: "the forged header was removed or replaced"},
		{name: "no probe", peer: proxyPeer, header: "mark", status: 400},
		{name: "the longest probe", peer: proxyPeer, probe: strings.Repeat("a", 64), status: 200, says: "the forged header was removed or replaced"},
		{name: "a longer one", peer: proxyPeer, probe: strings.Repeat("a", 65), status: 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.RemoteAddr = tc.peer
			r.Header.Set("Bearergate-Mtls-Probe", tc.probe)
			r.Header.Set("Client-Cert", tc.header)
			w := httptest.NewRecorder()
			certificates.SelfTestHandler().ServeHTTP(w, r)
			require.Equal(t, tc.status, w.Code)
			require.Equal(t, tc.says, w.Body.String())
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		})
	}
}

// An answer counts whole, and with its status.
func TestSelfTestAnswers(t *testing.T) {
	const replaced = "the forged header was removed or replaced"
	for _, tc := range []struct {
		name   string
		answer *answer
		says   string // "": passes
	}{
		{name: "the right one", answer: &answer{status: 200, body: strings.NewReader(replaced)}},
		{name: "the right words, with another status", answer: &answer{status: 500, body: strings.NewReader(replaced)}, says: "the answer is 500"},
		{name: "more words", answer: &answer{status: 200, body: strings.NewReader(replaced + ".")}, says: "the answer is 200"},
		{name: "it breaks off", answer: &answer{status: 200, body: io.MultiReader(strings.NewReader(replaced), iotest.ErrReader(errors.New("broken off")))}, says: "broken off"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			certificates := newCertificates(t, forwardedBy("Client-Cert", mtls.RFC9440, 0))
			err := certificates.SelfTest(t.Context(), &http.Client{Transport: tc.answer}, "http://api.example/")
			require.True(t, tc.answer.closed)
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.says)
		})
	}
}

// answer is what every request is answered with.
type answer struct {
	status int
	body   io.Reader
	closed bool
}

func (a *answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Body: a}, nil
}

func (a *answer) Read(p []byte) (int, error) { return a.body.Read(p) }

func (a *answer) Close() error {
	a.closed = true
	return nil
}
