package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const unknownAuthority = "the certificate is signed by an unknown authority: trust its CA by RootCAs in the transport of HTTPClient, " +
	"and see that this machine or image has CA certificates at all"

// Our own words for what others say: a cause that an audit log may hold.
func TestDetail(t *testing.T) {
	const secret = "s3cret"
	dial := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://x/?apikey=" + secret, Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	for _, tt := range []struct {
		name    string
		err     error
		outcome Outcome
		detail  string
	}{
		{"no such host", dial(&net.DNSError{Err: secret, Name: secret, IsNotFound: true}), Connect, "no such host: check the name in the URL, and the name server of this machine"},
		{"a name server that fails", dial(&net.DNSError{Err: secret, Name: secret}), Connect, "the name server does not answer: check the DNS settings of this machine"},
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), Connect, "the connection was refused: check the host and the port, and that the server runs"},
		{"reset", dial(os.NewSyscallError("read", syscall.ECONNRESET)), Connect, "the connection was reset: look for a firewall or a proxy in between"},
		{"no way", dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), Connect, "there is no way to the host: check the routes of this machine; a proxy has to be set in HTTPClient"},
		{"another network error", dial(errors.New(secret)), Connect, ""},
		{"broken off", &url.Error{Err: io.EOF}, Connect, "the connection ended before the answer did: see the log of the server, or of the proxy in front of it"},
		{"broken off within", &url.Error{Err: io.ErrUnexpectedEOF}, Connect, "the connection ended before the answer did: see the log of the server, or of the proxy in front of it"},
		{"another host", &url.Error{Err: x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{secret}}, Host: secret}}, TLS, "the certificate is for another host: use a host that it names, or have it issued for this one"},
		{"an unknown authority", &url.Error{Err: x509.UnknownAuthorityError{}}, TLS, unknownAuthority},
		{"expired", &url.Error{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: secret}}, TLS, "the certificate has expired, or is not valid yet: renew it, or set the clock of this machine"},
		{"for something else", &url.Error{Err: x509.CertificateInvalidError{Reason: x509.IncompatibleUsage, Detail: secret}}, TLS, "the certificate is not valid for this use: have it issued for a server, by a CA that may do so"},
		{"an alert", &url.Error{Err: tls.AlertError(40)}, TLS, "the other side ended the handshake: see whether it wants a client certificate (HTTPClient), and which versions of TLS it takes"},
		{"late", &url.Error{Err: context.DeadlineExceeded}, Timeout, "no complete answer in time: check that the host can be reached from here; a proxy has to be set in HTTPClient"},
		{"a proxy that wants a password", &url.Error{Err: errors.New("Proxy Authentication Required")}, Connect, "a proxy answered 407 Proxy Authentication Required: give its user and password in the transport of HTTPClient"},
		{"a proxy that forbids the host", &url.Error{Err: errors.New("Forbidden")}, Connect, "a proxy answered 403 Forbidden: have it allow the host"},
		{"no TLS", &url.Error{Err: tls.RecordHeaderError{Msg: secret}}, TLS, "the answer is not TLS: check the port, and whether the server speaks http there"},
		{"http", &url.Error{Err: http.ErrSchemeMismatch}, TLS, "the answer is not TLS: check the port, and whether the server speaks http there"},
		{"an error of somebody's", &url.Error{Err: errors.New(secret)}, Connect, "*errors.errorString"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := failed(context.Background(), "https://x/?apikey="+secret, tt.err)
			require.Equal(t, tt.outcome, e.Outcome)
			require.Equal(t, tt.detail, e.Detail())
			require.NotContains(t, e.Detail(), secret)
			require.Contains(t, e.Error(), tt.detail, "whoever reads the error alone is told as well")
		})
	}
}

// A real certificate that nobody vouches for, and a real port where nobody listens.
func TestDetailOfRealFaults(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the handshake
	server.StartTLS()
	_, err := NewClient(&http.Client{}).Get(t.Context(), Request{URL: server.URL + "/?apikey=s3cret"})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, unknownAuthority, e.Detail())
	server.Close()
	_, err = NewClient(&http.Client{}).Get(t.Context(), Request{URL: server.URL + "/?apikey=s3cret"})
	require.ErrorAs(t, err, &e)
	require.Equal(t, "the connection was refused: check the host and the port, and that the server runs", e.Detail())
	require.NotContains(t, fmt.Sprint(err), "s3cret")
	_, err = ReadFile(t.TempDir()+"/none", 1)
	require.ErrorAs(t, err, &e)
	require.Equal(t, "there is no such file: check the path", e.Detail())
}

// Where a redirect led that is not followed, without a word of the other side's.
func TestDetailOfARedirect(t *testing.T) {
	for _, tt := range []struct{ location, detail string }{
		{"/introspect/", "to the same URL but for the slash at its end: configure that one"},
		{"/introspect/?token=s3cret", "to the same URL but for the slash at its end: configure that one"},
		{"/login/s3cret", "to another path: configure where it leads, if that is right"},
		{"/introspect?token=s3cret", "to another path: configure where it leads, if that is right"},
		{"https://s3cret.example/introspect", "to another host (curl -v shows it): configure the URL there if that is right, or take away the login or proxy that redirects"},
		{"https://HOST/introspect", "to https: configure that scheme, if it is right"},
		{"http://HOST:1/introspect", "to another port or scheme (curl -v shows it): configure that one, if it is right"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.Host)
			w.Header().Set("Location", strings.Replace(tt.location, "HOST", host, 1))
			w.WriteHeader(http.StatusMovedPermanently)
		}))
		_, err := NewClient(&http.Client{}).Post(t.Context(), PostRequest{URL: server.URL + "/introspect", Form: url.Values{"token": {"s3cret"}}, Type: func(string) bool { return true }})
		server.Close()
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, Redirect, e.Outcome)
		require.Contains(t, e.Detail(), tt.detail, tt.location)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

// A content type names what came, if it is one that servers send by mistake.
func TestDetailOfAContentType(t *testing.T) {
	for sent, detail := range map[string]string{
		"text/html; charset=utf-8": "not accepted here: text/html, a page for people: check the URL, and that no login stands in front of it",
		"TEXT/HTML":                "not accepted here: text/html, a page for people: check the URL, and that no login stands in front of it",
		"s3cret/s3cret":            "not accepted here: another than JSON: check the URL, and what Content-Type the server sends",
		"text/s3cret":              "not accepted here: another than JSON: check the URL, and what Content-Type the server sends",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", sent) }))
		_, err := NewClient(&http.Client{}).Get(t.Context(), Request{URL: server.URL, Type: func(string) bool { return false }})
		server.Close()
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, ContentType, e.Outcome)
		require.Contains(t, e.Detail(), detail)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

// A proxy in front of the authorization server, a real one, that will not connect.
func TestDetailOfAProxy(t *testing.T) {
	method := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method = r.Method
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	client := NewClient(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(at)}})
	_, err = client.Get(t.Context(), Request{URL: "https://as.example.test/"})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Connect, e.Outcome)
	require.Equal(t, "a proxy answered 502 Bad Gateway: see its log, and whether it reaches the host", e.Detail())
	require.Equal(t, http.MethodConnect, method)
}

// A status says what to look at, where a document was to be had for the asking.
func TestDetailOfAStatus(t *testing.T) {
	for status, detail := range map[int]string{
		401: "status 401: the server wants credentials: check the URL, or have the transport of HTTPClient send them",
		403: "status 403: the server wants credentials: check the URL, or have the transport of HTTPClient send them",
		404: "status 404: nothing is there: check the URL",
		407: "status 407: a proxy wants credentials: give them in the transport of HTTPClient",
		418: "status 418: check the URL",
		429: "status 429: it is asked too often: see who else asks from this address",
		500: "status 500: the server, or a proxy in front of it, is out of order: see their logs",
		502: "status 502: the server, or a proxy in front of it, is out of order: see their logs",
	} {
		_, err := get(t, answer(status, strings.NewReader("s3cret")), Request{URL: "https://as.example.com/x?apikey=s3cret"})
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, detail, e.Detail())
		require.Equal(t, "fetch: https://as.example.com/x: status: "+detail, err.Error())
		require.Equal(t, status, e.Status)
	}
}

// That of a GET too: the transport may have sent a key with it, for the other side to
// repeat in the name of the host.
func TestDetailOfARedirectOfAGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://user:s3cret@s3cret.example.com/s3cret?s3cret", http.StatusFound)
	}))
	defer server.Close()
	_, err := NewClient(&http.Client{}).Get(t.Context(), Request{URL: server.URL + "/metadata", Type: func(string) bool { return true }})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Redirect, e.Outcome)
	require.Contains(t, e.Detail(), `this one led to another host (curl -v shows it): configure the URL there if that is right, or take away the login or proxy that redirects`)
	require.NotContains(t, err.Error(), "s3cret")
}

func TestWith(t *testing.T) {
	for _, tt := range []struct {
		name        string
		err         *Error
		after, rest string
	}{
		{"a detail", Fail(Status, "u?apikey=s3cret", "status 404"), "status 404; more", "u"},
		{"a cause", &Error{Outcome: Connect, URL: "u", cause: io.EOF}, "the connection ended before the answer did: see the log of the server, or of the proxy in front of it; more", "u: EOF"},
		{"neither", &Error{Outcome: Connect, URL: "u", cause: errors.New("x")}, "more", "u: x"},
	} {
		before := *tt.err
		require.Equal(t, tt.rest, tt.err.Rest(), tt.name)
		e := tt.err.With("; more")
		require.Equal(t, tt.after, e.Detail(), tt.name)
		require.Equal(t, before, *tt.err, tt.name)
		require.Equal(t, before.cause, e.Unwrap(), tt.name)
	}
}
