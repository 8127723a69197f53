package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body io.Reader, header ...string) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(body), ContentLength: -1}, nil
	}
}

func anyType(string) bool { return true }

func get(t *testing.T, rt roundTrip, r Request) (Response, error) {
	t.Helper()
	if r.URL == "" {
		r.URL = "https://as.example.com/doc"
	}
	if r.Type == nil {
		r.Type = anyType
	}
	return NewClient(&http.Client{Transport: rt}).Get(t.Context(), r)
}

func requireOutcome(t *testing.T, want Outcome, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, want, e.Outcome, "%v", err)
	require.NotContains(t, err.Error(), "secret")
	require.Less(t, len(err.Error()), 1000)
	return e
}

func TestDefaults(t *testing.T) {
	require.Equal(t, 512*1024, DefaultMaxBytes)
	require.Equal(t, 5*time.Minute, MaxRetryAfter)
	require.Equal(t, 2048, MaxURLBytes)
	transport := NewClient(nil).http.Transport.(*http.Transport)
	require.True(t, transport.DisableKeepAlives)
	require.Nil(t, transport.Proxy)
	require.NotZero(t, transport.TLSHandshakeTimeout)
	require.NotZero(t, transport.ResponseHeaderTimeout)
	require.EqualValues(t, 64<<10, transport.MaxResponseHeaderBytes)
}

func TestBodyLimit(t *testing.T) {
	for _, tc := range []struct {
		limit, size int64
		ok          bool
	}{{0, DefaultMaxBytes, true}, {0, DefaultMaxBytes + 1, false}, {10, 10, true}, {10, 11, false}, {10, 0, true}} {
		body := &counter{left: tc.size}
		resp, err := get(t, answer(200, body), Request{MaxBytes: tc.limit})
		if tc.ok {
			require.NoError(t, err)
			require.Len(t, resp.Body, int(tc.size))
		} else {
			requireOutcome(t, TooLarge, err)
			require.Nil(t, resp.Body)
		}
	}
	endless := &counter{left: 1 << 60}
	_, err := get(t, answer(200, endless), Request{})
	requireOutcome(t, TooLarge, err)
	require.Less(t, endless.read, int64(DefaultMaxBytes+64<<10))
}

// counter is a body of spaces.
type counter struct{ left, read int64 }

func (c *counter) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), c.left)
	for i := range n {
		b[i] = ' '
	}
	c.left, c.read = c.left-n, c.read+n
	return int(n), nil
}

func TestStatus(t *testing.T) {
	for _, status := range []int{199, 201, 204, 206, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 429, 500, 503, 599} {
		_, err := get(t, answer(status, strings.NewReader("secret"), "Retry-After", "7"), Request{})
		want := Status
		if status >= 300 && status < 400 && status != 304 {
			want = Redirect // without a Location
		}
		e := requireOutcome(t, want, err)
		if status != 301 && status != 302 && status != 307 && status != 308 {
			require.Equal(t, status, e.Status)
			require.Equal(t, 7*time.Second, e.RetryAfter)
		}
	}
	resp, err := get(t, answer(304, http.NoBody, "Cache-Control", "max-age=60"), Request{ETag: `"v1"`})
	require.NoError(t, err)
	require.True(t, resp.NotModified)
	require.Equal(t, `"v1"`, resp.ETag)
	require.Equal(t, time.Minute, resp.MaxAge)
}

func TestETag(t *testing.T) {
	for tag, want := range map[string]string{
		`"v1"`: `"v1"`, `W/"v1"`: `W/"v1"`, `v1`: "", `"a b"`: "", "\"a\x7f\"": "", `"é"`: "", "": "",
		`"` + strings.Repeat("x", 254) + `"`: `"` + strings.Repeat("x", 254) + `"`, `"` + strings.Repeat("x", 255) + `"`: "",
	} {
		resp, err := get(t, answer(200, http.NoBody, "ETag", tag), Request{})
		require.NoError(t, err)
		require.Equal(t, want, resp.ETag)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 3 ": 3 * time.Second, "301": MaxRetryAfter, "9223372036854775808": MaxRetryAfter,
		"-1": 0, "1.5": 0, "1e3": 0, "soon": 0, "+5": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Fri, 02 Jan 2099 03:04:00 GMT": MaxRetryAfter,
	} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
}

func TestContentType(t *testing.T) {
	for header, want := range map[string]string{
		"application/json": "application/json", "Application/JSON; Charset=UTF-8": "application/json", "": "",
		"text/html": "text/html", "application/json; x=\"": "application/json", ";": ";", "/": "/",
	} {
		var got string
		_, err := get(t, answer(200, http.NoBody, "Content-Type", header), Request{Type: func(s string) bool { got = s; return false }})
		requireOutcome(t, ContentType, err)
		require.Equal(t, want, got, header)
	}
	_, err := get(t, answer(200, http.NoBody, "Content-Encoding", "gzip"), Request{})
	requireOutcome(t, ContentType, err)
	_, err = get(t, answer(200, http.NoBody, "Content-Encoding", "identity"), Request{})
	require.NoError(t, err)
}

func TestRedirectRule(t *testing.T) {
	request := func(method, to string) *http.Request {
		u, err := url.Parse(to)
		require.NoError(t, err)
		return &http.Request{Method: method, URL: u}
	}
	from := "https://as.example.com/a"
	require.NoError(t, checkRedirect(request("GET", "https://as.example.com:443/b"), []*http.Request{request("GET", from)}))
	for _, tc := range []struct{ first, method, to string }{
		{"POST", "POST", "https://as.example.com/b"},
		{"POST", "GET", "https://as.example.com/b"}, // what net/http makes of a 302
		{"GET", "GET", "https://as.example.com:444/b"},
		{"GET", "GET", "http://as.example.com/b"},
		{"GET", "GET", "http://as.example.com:443/b"},
		{"GET", "GET", "https://as.example.com.evil.example/b"},
		{"GET", "GET", "https://u@as.example.com/b"},
	} {
		require.Error(t, checkRedirect(request(tc.method, tc.to), []*http.Request{request(tc.first, from)}), tc)
	}
	require.Error(t, checkRedirect(request("GET", from), []*http.Request{request("GET", from), request("GET", from)}), "a second one")
}

// Errors of unknown types may quote what the peer or a token endpoint said.
func TestErrorsAreBounded(t *testing.T) {
	long := strings.Repeat("secret", 1<<16)
	for name, tc := range map[string]struct {
		err  error
		want Outcome
		is   error
	}{
		"unknown":      {errors.New(long), Connect, nil},
		"wrapped":      {fmt.Errorf("oauth2: cannot fetch token: %w", errors.New(long)), Connect, nil},
		"refused":      {&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrPermission}, Connect, os.ErrPermission},
		"name":         {&net.DNSError{Err: "no such host", Name: "as.example.com"}, Connect, nil},
		"timeout":      {&net.DNSError{Err: "timeout", IsTimeout: true}, Timeout, nil},
		"end":          {io.EOF, Connect, io.EOF},
		"certificate":  {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, TLS, nil},
		"authority":    {x509.UnknownAuthorityError{}, TLS, nil},
		"host":         {x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{strings.Repeat("x", 1<<16)}}, Host: "h"}, TLS, nil},
		"expired":      {x509.CertificateInvalidError{Reason: x509.Expired}, TLS, nil},
		"alert":        {tls.AlertError(42), TLS, nil},
		"remote alert": {&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, TLS, nil},
		"no TLS":       {tls.RecordHeaderError{Msg: "secret"}, TLS, nil},
		"http server":  {http.ErrSchemeMismatch, TLS, http.ErrSchemeMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := get(t, func(*http.Request) (*http.Response, error) { return nil, tc.err }, Request{})
			requireOutcome(t, tc.want, err)
			if tc.is != nil {
				require.ErrorIs(t, err, tc.is)
			}
		})
	}
	_, err := get(t, answer(200, io.MultiReader(strings.NewReader("{"), broken{})), Request{})
	requireOutcome(t, Truncated, err)
	_, err = get(t, nil, Request{URL: "https://as.example.com/" + strings.Repeat("x", 1<<16) + "\n"})
	requireOutcome(t, Malformed, err)
	require.Equal(t, `a\x1b[31m...`, bounded("a\x1b[31mb", 6))
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("flate: secret") }

// Our own deadline must not be taken for the caller's.
func TestTimeout(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		client := NewClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		_, err := client.Get(ctx, Request{URL: "https://as.example.com/", Type: anyType})
		requireOutcome(t, Timeout, err)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	})
}

// The limit counts what comes out of the decompression, and the default client
// leaves no connection behind.
func TestDefaultClient(t *testing.T) {
	var idle int
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("Cookie"))
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(w, "{}")
	}))
	ts.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateIdle {
			idle++
		}
	}
	ts.Start()
	defer ts.Close()
	c := NewClient(nil)
	for range 2 {
		resp, err := c.Get(t.Context(), Request{URL: ts.URL, Type: anyType})
		require.NoError(t, err)
		require.Equal(t, "{}", string(resp.Body))
	}
	ts.Close()
	require.Zero(t, idle)
	_, err := c.Get(t.Context(), Request{URL: ts.URL, Type: anyType})
	requireOutcome(t, Connect, err)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
}

// req: R6750-11
func TestCheckURL(t *testing.T) {
	for raw, want := range map[string][3]bool{ // https only, with http, as an issuer with http
		"https://as.example.com":         {true, true, true},
		"https://as.example.com/a?b":     {true, true, false},
		"https://as.example.com?":        {true, true, false},
		"https://[2001:db8::1]:8443/":    {true, true, true},
		"http://as.example.com":          {false, true, true},
		"":                               {},
		"as.example.com":                 {},
		"//as.example.com":               {},
		"https://":                       {},
		"https:///a":                     {},
		"https://:1":                     {},
		"https:as":                       {},
		"https://a@h":                    {},
		"https://@h":                     {},
		"https://h#":                     {},
		"https://h/#a":                   {},
		"https://h/\x00":                 {},
		"https://h/a b":                  {},
		"https://h/%zz":                  {},
		"ftp://h":                        {},
		"javascript:alert(1)":            {},
		"https://h/" + long:              {},
		"https://h:port":                 {},
		"https://as.example.com\\@evil/": {},
	} {
		require.Equal(t, want[0], CheckURL(raw, false) == nil, raw)
		require.Equal(t, want[1], CheckURL(raw, true) == nil, raw)
		require.Equal(t, want[2], CheckIssuer(raw, true) == nil, raw)
	}
}

var long = strings.Repeat("x", MaxURLBytes)

func TestLoopback(t *testing.T) {
	for raw, want := range map[string]bool{
		"http://localhost": true, "http://LOCALHOST:80/x": true, "http://127.0.0.1": true, "http://127.1.2.3:9": true, "http://[::1]": true,
		"http://[::ffff:127.0.0.1]": true, "http://localhost.example.com": false, "http://127.0.0.1.example.com": false, "http://0.0.0.0": false,
		"http://127.1": false, "http://2130706433": false, "http://10.0.0.1": false, "http://[::]": false, "": false, "http://": false, "%": false,
	} {
		require.Equal(t, want, Loopback(raw), raw)
	}
}

func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	_, err := ReadFile(name, 4)
	requireOutcome(t, File, err)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(name, []byte("1234"), 0o600))
	body, err := ReadFile(name, 4)
	require.NoError(t, err)
	require.Equal(t, "1234", string(body))
	_, err = ReadFile(name, 3)
	requireOutcome(t, TooLarge, err)
	_, err = ReadFile(filepath.Dir(name), 3)
	requireOutcome(t, File, err)
}

func TestErrorTextHasNoQuery(t *testing.T) {
	err := Fail(Connect, "https://as.example.com/keys?apikey=s3cret", "x")
	require.NotContains(t, err.Error(), "s3cret")
	require.Contains(t, err.Error(), "https://as.example.com/keys: connect: x")
}
