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
		{"no such host", dial(&net.DNSError{Err: secret, Name: secret, IsNotFound: true}), Connect, "no such host"},
		{"a name server that fails", dial(&net.DNSError{Err: secret, Name: secret}), Connect, "the name server does not answer"},
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), Connect, "the connection was refused"},
		{"reset", dial(os.NewSyscallError("read", syscall.ECONNRESET)), Connect, "the connection was reset"},
		{"no way", dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), Connect, "there is no way to the host"},
		{"another network error", dial(errors.New(secret)), Connect, ""},
		{"broken off", &url.Error{Err: io.EOF}, Connect, "the connection ended before the answer did"},
		{"broken off within", &url.Error{Err: io.ErrUnexpectedEOF}, Connect, "the connection ended before the answer did"},
		{"another host", &url.Error{Err: x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{secret}}, Host: secret}}, TLS, "the certificate is for another host"},
		{"an unknown authority", &url.Error{Err: x509.UnknownAuthorityError{}}, TLS, "the certificate is signed by an unknown authority"},
		{"expired", &url.Error{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: secret}}, TLS, "the certificate has expired, or is not valid yet"},
		{"for something else", &url.Error{Err: x509.CertificateInvalidError{Reason: x509.IncompatibleUsage, Detail: secret}}, TLS, "the certificate is not valid for this use"},
		{"an alert", &url.Error{Err: tls.AlertError(40)}, TLS, "the other side ended the handshake"},
		{"no TLS", &url.Error{Err: tls.RecordHeaderError{Msg: secret}}, TLS, "the answer is not TLS"},
		{"http", &url.Error{Err: http.ErrSchemeMismatch}, TLS, "the answer is not TLS"},
		{"an error of somebody's", &url.Error{Err: errors.New(secret)}, Connect, "*errors.errorString"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := failed(context.Background(), "https://x/?apikey="+secret, tt.err)
			require.Equal(t, tt.outcome, e.Outcome)
			require.Equal(t, tt.detail, e.Detail())
			require.NotContains(t, e.Detail(), secret)
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
	require.Equal(t, "the certificate is signed by an unknown authority", e.Detail())
	server.Close()
	_, err = NewClient(&http.Client{}).Get(t.Context(), Request{URL: server.URL + "/?apikey=s3cret"})
	require.ErrorAs(t, err, &e)
	require.Equal(t, "the connection was refused", e.Detail())
	require.NotContains(t, fmt.Sprint(err), "s3cret")
	_, err = ReadFile(t.TempDir()+"/none", 1)
	require.ErrorAs(t, err, &e)
	require.Equal(t, "there is no such file", e.Detail())
}

// Where a redirect led that is not followed, without a word of the other side's.
func TestDetailOfARedirect(t *testing.T) {
	for _, tt := range []struct{ location, detail string }{
		{"/introspect/", "to the same URL but for the slash at its end: configure that one"},
		{"/introspect/?token=s3cret", "to the same URL but for the slash at its end: configure that one"},
		{"/login/s3cret", "to another path"},
		{"/introspect?token=s3cret", "to another path"},
		{"https://s3cret.example/introspect", "to another host"},
		{"https://HOST/introspect", "to https: configure what is right"},
		{"http://HOST:1/introspect", "to another port or scheme"},
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
		"text/html; charset=utf-8": "not accepted here: text/html",
		"TEXT/HTML":                "not accepted here: text/html",
		"s3cret/s3cret":            "not accepted here: another than JSON",
		"text/s3cret":              "not accepted here: another than JSON",
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
	require.Equal(t, "a proxy answered 502 Bad Gateway", e.Detail())
	require.Equal(t, http.MethodConnect, method)
}
