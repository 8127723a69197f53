// Package confusion is one table of requests that two programs may take for two requests: the
// one that decides, and the service behind it. It is run wherever this module decides for
// somebody else: in a gateway, for proxies that ask, for a mesh.
//
// Serve [Routes] with the decision, put a [Service] behind it, and send every row of
// [Requests] with [Send]. The Service looks at what reaches it in every way in which some
// program is known to look, and says if any of them is a request that was not opened.
package confusion

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// The hosts of the table.
const (
	Host     = "api.example"
	Internal = "internal.example" // whose routes all need what no row has
)

// Scopes are what the token of a row grants, in the way of kit.With.
const Scopes = "read"

// Identity are the identity headers of the gate, by which a Service knows who calls.
func Identity() map[string]func(*bearergate.Token) string {
	return map[string]func(*bearergate.Token) string{
		"X-Auth-Issuer":  (*bearergate.Token).Issuer,
		"X-Auth-Subject": (*bearergate.Token).Subject,
		"X-Auth-Client":  (*bearergate.Token).ClientID,
		"X-Auth-Scopes":  func(t *bearergate.Token) string { return t.Scopes().String() },
	}
}

// Routes are the routes of the table, of a gate with [Identity] that verifies what kit.With
// makes. h serves them: a Service, what passes requests on to one, or nothing.
func Routes(gate *middleware.Gate, h http.Handler) *middleware.Router {
	rt := gate.NewRouter()
	rt.Public("/public/", h)
	rt.Public("GET /files/{name}", h)
	rt.Handle("GET /orders/{id}", scope.All("read"), h)
	rt.Handle("DELETE /orders/{id}", scope.All("admin"), h)
	rt.Handle("/admin/", scope.All("admin"), h)
	rt.Handle(Internal+"/", scope.All("admin"), h)
	return rt
}

// Request is a row of the table.
type Request struct {
	Name   string
	Method string // default GET
	Target string // as it stands in the request line
	Host   string // default Host
	Lines  []string
	// Anonymous: without the token of the row.
	Anonymous bool
	// Opens: it reaches the Service, as the request that was sent. Otherwise it is refused
	// with a status of 4xx, or sent elsewhere with one of 3xx, and never reaches it.
	Opens bool
	// Either: it may be refused, and it may be opened.
	Either bool
	// Recoded: it may be opened by a proxy that writes the path anew, and asks about what it
	// wrote: then the service sees no encoded slash.
	Recoded bool
}

// forged writes the same header in the spellings that some service takes for it.
func forged(name, value string) (lines []string) {
	for _, separator := range []string{"-", "_", "."} {
		lines = append(lines, strings.ReplaceAll(name, "-", separator)+": "+value)
	}
	if i := strings.LastIndex(name, "-"); i >= 0 {
		lines = append(lines, name[:i]+"_"+name[i+1:]+": "+value) // a mixture
	}
	return append(lines, strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+": "+value)
}

// Requests are the rows.
func Requests() []Request {
	rows := []Request{
		{Name: "a public path", Target: "/public/x", Opens: true},
		{Name: "a public path, nobody", Target: "/public/x", Anonymous: true, Opens: true},
		{Name: "a slash at the end", Target: "/public/x/", Opens: true},
		{Name: "the tree itself", Target: "/public/", Opens: true},
		{Name: "a space", Target: "/public/a%20b", Opens: true},
		{Name: "letters of UTF-8", Target: "/public/%C3%BC", Opens: true},
		{Name: "dots that are no segment", Target: "/public/..x/.y/z..", Opens: true},
		{Name: "characters of a path", Target: "/public/a-b_c~d!$&'()*+,=:@e", Opens: true},
		{Name: "a path in the query", Target: "/public/x?next=/../admin/x", Opens: true},
		{Name: "an encoded path in the query", Target: "/public/x?next=%2e%2e%2fadmin%2fx%00", Opens: true},
		{Name: "an empty query", Target: "/public/x?", Opens: true},
		{Name: "an order", Target: "/orders/7", Opens: true},
		{Name: "an order, a digit encoded", Target: "/orders/%37", Opens: true},
		{Name: "an order, nobody", Target: "/orders/7", Anonymous: true},
		{Name: "HEAD", Method: "HEAD", Target: "/orders/7", Opens: true},
		{Name: "a file", Target: "/files/a.b", Opens: true},

		{Name: "admin", Target: "/admin/x"},
		{Name: "admin, nobody", Target: "/admin/x", Anonymous: true},
		{Name: "admin, a letter encoded", Target: "/%61dmin/x"},
		{Name: "admin in capitals", Target: "/ADMIN/x"},
		{Name: "admin without the slash", Target: "/admin"},
		{Name: "delete", Method: "DELETE", Target: "/orders/7"},
		{Name: "delete in small letters", Method: "delete", Target: "/orders/7"},
		{Name: "get in small letters", Method: "get", Target: "/orders/7"},
		{Name: "a route that is none", Target: "/internal/export"},

		{Name: "dot segments", Target: "/public/../admin/x"},
		{Name: "a single dot", Target: "/public/./x"},
		{Name: "encoded dots", Target: "/public/%2e%2e/admin/x"},
		{Name: "encoded dots in capitals", Target: "/public/%2E%2E/admin/x"},
		{Name: "one encoded dot of two", Target: "/public/.%2e/admin/x"},
		{Name: "dots and an encoded slash", Target: "/public/..%2fadmin/x"},
		{Name: "all of it encoded", Target: "/public/%2e%2e%2fadmin%2fx"},
		{Name: "an encoded backslash", Target: "/public/..%5cadmin%5cx"},
		{Name: "a backslash", Target: `/public/..\admin\x`},
		{Name: "encoded twice", Target: "/public/%252e%252e/admin/x"},
		{Name: "encoded twice, the slash too", Target: "/public/%252e%252e%252fadmin/x"},
		{Name: "encoded three times", Target: "/public/%25252e%25252e/admin/x"},
		{Name: "dots and a semicolon", Target: "/public/..;/admin/x"},
		{Name: "dots and a parameter", Target: "/public/..;x=1/admin/x"},
		{Name: "dots and an encoded semicolon", Target: "/public/..%3b/admin/x"},
		{Name: "a semicolon that hides the rest", Target: "/public/x;/../admin/x"},
		{Name: "a parameter of admin", Target: "/admin;x=1/x"},
		{Name: "a file that is a path", Target: "/files/..%2fadmin%2fx"},
		{Name: "an encoded slash inside of an ID", Target: "/orders/7%2Finternal%2Fexport"},
		{Name: "an encoded slash and dots inside of an ID", Target: "/orders/7%2f..%2f..%2fadmin%2fx"},
		{Name: "an ID that is dots", Target: "/orders/%2e%2e"},
		{Name: "an ID that is dots, raw", Target: "/orders/.."},
		{Name: "an encoded slash, and a bar", Target: "/public%2fx|", Recoded: true}, // net/url gives up on the path as it was sent
		{Name: "an encoded slash in a tree, and a brace", Target: "/public/x%2Fy{", Recoded: true},
		{Name: "an encoded slash inside of an ID, and a quotation mark", Target: "/orders/7%2finternal\""},
		{Name: "an encoded slash and encoded dots, and a bar", Target: "/public/x%2f%2e%2e%2f%2e%2e%2fadmin/|"},
		{Name: "an encoded slash at the start", Target: "/%2fadmin/x"},
		{Name: "an encoded backslash at the start", Target: "/%5cadmin/x"},
		{Name: "an encoded slash for the slash", Target: "/admin%2fx"},
		{Name: "two slashes at the start", Target: "//admin/x"},
		{Name: "three slashes at the start", Target: "///admin/x"},
		{Name: "a host in the path", Target: "//" + Internal + "/x"},
		{Name: "two slashes within", Target: "/public//x"},
		{Name: "two slashes and dots", Target: "/public//../../admin/x"},
		{Name: "a dot at the start", Target: "/./admin/x"},
		{Name: "only dots", Target: "/.."},
		{Name: "NUL", Target: "/public/x%00"},
		{Name: "NUL that ends the path", Target: "/admin/x%00/../../public/x"},
		{Name: "a line break", Target: "/public/%0d%0aX-Auth-Subject:%20root"},
		{Name: "a line feed", Target: "/public/%0a"},
		{Name: "DEL", Target: "/public/%7f"},
		{Name: "overlong dots", Target: "/public/%c0%ae%c0%ae/admin/x"},
		{Name: "overlong slashes", Target: "/public/..%c0%afadmin/x"},
		{Name: "no UTF-8", Target: "/public/%ff"},
		{Name: "no escape", Target: "/public/%zz"},
		{Name: "half an escape", Target: "/public/%2"},
		{Name: "an escape of IIS", Target: "/public/%u002e%u002e/admin/x"},
		{Name: "an encoded question mark", Target: "/admin%3f/../public/x"},
		{Name: "an encoded question mark that ends the path", Target: "/public/..%3fx"},
		{Name: "an order with an encoded question mark", Target: "/orders/7%3fx"},
		{Name: "a fragment", Target: "/public/x#/../admin/x"},
		{Name: "a fragment at once", Target: "/admin/x#/../../public/x"},
		{Name: "an encoded number sign", Target: "/public/x%23y"},
		{Name: "two paths with a comma", Target: "/public/x,/admin/x", Either: true}, // one path, unless it was told in a header
		{Name: "a tabulator", Target: "/public/\tx"},
		{Name: "a space in the target", Target: "/public/x /admin/x"},
		{Name: "raw UTF-8", Target: "/public/\u00fc/../admin"},

		{Name: "an absolute target", Target: "http://" + Host + "/public/x", Opens: true},
		{Name: "an absolute target, admin", Target: "http://" + Host + "/admin/x"},
		{Name: "an absolute target of another host", Target: "http://" + Internal + "/public/x"},
		{Name: "an absolute target, and the other host", Target: "http://" + Host + "/public/x", Host: Internal, Opens: true}, // the target counts (RFC 9112 §3.2.2)
		{Name: "an absolute target with a user", Target: "http://" + Host + "@" + Internal + "/public/x"},
		{Name: "an absolute target with dots", Target: "http://" + Host + "/public/../admin/x"},
		{Name: "another scheme", Target: "file:///admin/x"},
		{Name: "no slash", Target: "admin/x"},
		{Name: "all of the server", Method: "OPTIONS", Target: "*"},
		{Name: "CONNECT", Method: "CONNECT", Target: Internal + ":443"},
		{Name: "CONNECT to a path", Method: "CONNECT", Target: "/public/../admin/x"},

		{Name: "another host", Target: "/public/x", Host: Internal},
		{Name: "another host in capitals", Target: "/public/x", Host: strings.ToUpper(Internal)},
		{Name: "another host with a dot", Target: "/public/x", Host: Internal + "."},
		{Name: "another host with a port", Target: "/public/x", Host: Internal + ":80"},
		{Name: "another host with a dot and a port", Target: "/public/x", Host: Internal + ".:80"},
		{Name: "a user in the host", Target: "/public/x", Host: Host + "@" + Internal},
		{Name: "a path in the host", Target: "/public/x", Host: Internal + "/x"},
		{Name: "two hosts with a comma", Target: "/public/x", Host: Host + "," + Internal},
		{Name: "two Host fields", Target: "/public/x", Lines: []string{"Host: " + Internal}},

		{Name: "a tunnel", Target: "/public/x", Lines: []string{"Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"}, Opens: true},
		{Name: "a WebSocket", Target: "/public/x", Lines: []string{"Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, Opens: true},
		{Name: "a trailer", Method: "POST", Target: "/public/x", Lines: []string{"Transfer-Encoding: chunked", "Trailer: X-Auth-Subject, X-Original-URL", "", "3", "abc", "0", "X-Auth-Subject: root", "X-Original-URL: /admin/x"}, Opens: true},
		{Name: "a trailer that is not announced", Method: "POST", Target: "/public/x", Lines: []string{"Transfer-Encoding: chunked", "", "3", "abc", "0", "X-Auth-Subject: root"}, Opens: true},
		{Name: "Connection lists the identity", Target: "/orders/7", Lines: []string{"Connection: close, X-Auth-Subject, X-Auth-Scopes, X-Auth-Client"}, Opens: true},
		{Name: "Connection lists the identity, after Host", Target: "/orders/7", Lines: []string{"Connection: X-Auth-Subject", "Connection: close"}, Opens: true},
		{Name: "Connection of a WebSocket lists the identity", Target: "/orders/7", Lines: []string{"Connection: upgrade, X-Auth-Subject, X_Auth_Scopes", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, Opens: true},
		{Name: "Connection lists the path", Target: "/admin/x", Lines: []string{"Connection: close, X-Forwarded-Uri, X-Original-Uri", "X-Forwarded-Uri: /public/x", "X-Original-URI: /public/x"}},
		{Name: "Connection lists the token", Target: "/orders/7", Lines: []string{"Connection: close, Authorization"}, Opens: true}, // which is for the first recipient
	}
	for _, name := range []string{"X-Original-URI", "X-Original-URL", "X-Rewrite-URL", "X-Rewrite-URI", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Envoy-Original-Path", "X-Script-Name"} {
		rows = append(rows,
			Request{Name: name + " says public", Target: "/admin/x", Lines: forged(name, "/public/x")},
			Request{Name: name + " says public, nobody", Target: "/admin/x", Lines: forged(name, "/public/x"), Anonymous: true},
			Request{Name: name + " says public, twice", Target: "/admin/x", Lines: []string{name + ": /public/x", name + ": /public/x"}},
			Request{Name: name + " says admin", Target: "/public/x", Lines: forged(name, "/admin/x"), Opens: true})
	}
	for _, name := range []string{"X-Original-Method", "X-Forwarded-Method", "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-Envoy-Original-Method"} {
		rows = append(rows,
			Request{Name: name + " says GET", Method: "DELETE", Target: "/orders/7", Lines: forged(name, "GET")},
			Request{Name: name + " says DELETE", Target: "/orders/7", Lines: forged(name, "DELETE"), Opens: true})
	}
	for _, name := range []string{"X-Original-Host", "X-Forwarded-Host", "X-Envoy-Original-Host", "X-Forwarded-Server", "X-Host", "X-HTTP-Host-Override", "Forwarded"} {
		said := func(host string) []string {
			if name == "Forwarded" {
				return []string{"Forwarded: host=" + host}
			}
			return forged(name, host)
		}
		rows = append(rows,
			Request{Name: name + " says the API", Target: "/public/x", Host: Internal, Lines: said(Host)},
			Request{Name: name + " says internal", Target: "/public/x", Lines: said(Internal), Opens: true})
	}
	for _, name := range []string{"X-Auth-Subject", "X-Auth-Scopes"} {
		rows = append(rows,
			Request{Name: name + " is forged", Target: "/orders/7", Lines: forged(name, "root"), Opens: true},
			Request{Name: name + " is forged by nobody", Target: "/public/x", Lines: forged(name, "root"), Anonymous: true, Opens: true},
			Request{Name: name + " is forged twice", Target: "/orders/7", Lines: []string{name + ": root", name + ": root"}, Opens: true},
			Request{Name: name + " is forged to get in", Target: "/admin/x", Lines: forged(name, "root admin"), Anonymous: true})
	}
	return rows
}

// Send sends a row to an address, byte for byte, and returns the answer with its body read.
func Send(t testing.TB, address string, row Request) (*http.Response, string) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	method, host := row.Method, row.Host
	if method == "" {
		method = http.MethodGet
	}
	if host == "" {
		host = Host
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, row.Target, host)
	for _, line := range row.Lines {
		b.WriteString(line + "\r\n")
	}
	if !row.Anonymous {
		b.WriteString("Authorization: " + kit.With(Scopes) + "\r\n")
	}
	if !slices.ContainsFunc(row.Lines, func(line string) bool { return strings.HasPrefix(line, "Connection:") }) {
		b.WriteString("Connection: close\r\n")
	}
	_, err = io.WriteString(conn, b.String()+"\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.ToUpper(method)})
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	if method == http.MethodConnect {
		return res, "" // what follows could be a tunnel
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	require.NoError(t, err)
	return res, string(body)
}

// Run sends every row to an address, behind which the decision stands, and behind that s.
func Run(t *testing.T, address string, s *Service) {
	t.Helper()
	for _, row := range Requests() {
		t.Run(row.Name, func(t *testing.T) {
			before := s.Count()
			res, body := Send(t, address, row)
			require.Empty(t, s.Wrongs(), "%s %s: the service was reached wrongly, answer %d", row.Method, row.Target, res.StatusCode)
			if row.Either && s.Count() == before+1 {
				require.Equal(t, row.Target, s.Last().RequestURI)
				return
			}
			if row.Recoded && s.Count() == before+1 {
				require.NotContains(t, strings.ToLower(s.Last().RequestURI), "%2f")
				return
			}
			if !row.Opens {
				require.Equal(t, before, s.Count(), "the service was reached")
				if row.Target != "*" { // which net/http answers by itself, with 200
					require.True(t, 300 <= res.StatusCode && res.StatusCode < 500, "answer %d: %s", res.StatusCode, body)
				}
				return
			}
			require.Equal(t, http.StatusOK, res.StatusCode, body)
			require.Equal(t, before+1, s.Count(), "the service is reached once")
			got := s.Last()
			if !strings.Contains(row.Target, "://") {
				require.Equal(t, strings.TrimSuffix(row.Target, "?"), strings.TrimSuffix(got.RequestURI, "?"), "byte for byte")
			}
			subject := "u1"
			if row.Anonymous || strings.Contains(row.Target, "/public/") || strings.Contains(row.Target, "/files/") {
				subject = "" // a public route looks for no token
			}
			require.Equal(t, subject, got.Header.Get("X-Auth-Subject"))
			require.Empty(t, got.Header.Get("Authorization"), "the token ends before the service")
			require.Empty(t, got.Header.Get("Upgrade"))
		})
	}
}

// Service is what stands behind the decision. It is safe for concurrent use.
type Service struct {
	// Trailers may reach it: it keeps them apart from the header, as RFC 9110 §6.5.1 wants it.
	// Set it before it serves.
	Trailers bool

	mu     sync.Mutex // guards what follows
	count  int
	last   *http.Request
	wrongs []string
}

// Count is how many requests have reached it.
func (s *Service) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Last is the last one, without its body.
func (s *Service) Last() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Wrongs are the requests that must not have reached it, each with the way of looking at it
// in which it is one that was not opened. They are told once.
func (s *Service) Wrongs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrongs := s.wrongs
	s.wrongs = nil
	return wrongs
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // which brings the trailers
	s.mu.Lock()
	s.count++
	s.last = r.Clone(context.Background())
	if s.Trailers {
		r.Trailer = nil
	}
	s.wrongs = append(s.wrongs, wrong(r)...)
	s.mu.Unlock()
	w.Header().Set("X-Service", "reached")
	_, _ = io.WriteString(w, "reached")
}

// wrong names the ways to look at a request in which it is not for the token of the table.
func wrong(r *http.Request) (wrongs []string) {
	say := func(format string, args ...any) {
		wrongs = append(wrongs, r.Method+" "+r.RequestURI+": "+fmt.Sprintf(format, args...))
	}
	targets, methods, hosts := []string{r.RequestURI}, []string{r.Method}, []string{r.Host}
	for name := range r.Trailer {
		say("the trailer %s", name)
	}
	for name, values := range r.Header {
		switch spelled := plain(name); {
		case strings.Contains(spelled, "method") && !strings.HasPrefix(spelled, "access-control"):
			methods = append(methods, values...)
		case slices.Contains([]string{"x-original-uri", "x-original-url", "x-rewrite-url", "x-rewrite-uri", "x-forwarded-uri", "x-forwarded-path", "x-forwarded-prefix", "x-envoy-original-path", "x-script-name"}, spelled):
			targets = append(targets, values...)
		case slices.Contains([]string{"x-original-host", "x-forwarded-host", "x-envoy-original-host", "x-forwarded-server", "x-host", "x-http-host-override", "forwarded"}, spelled):
			hosts = append(hosts, values...)
		case spelled == "x-auth-subject" && !slices.Equal(values, []string{"u1"}) && !slices.Equal(values, []string{""}),
			spelled == "x-auth-scopes" && !slices.Equal(values, []string{"read"}) && !slices.Equal(values, []string{""}):
			say("%s is %q", name, values)
		case spelled == "upgrade":
			say("%s is %q", name, values)
		case strings.HasPrefix(spelled, "x-auth") && !slices.Contains([]string{"X-Auth-Issuer", "X-Auth-Subject", "X-Auth-Client", "X-Auth-Scopes"}, name):
			say("the header %s", name)
		}
	}
	for _, target := range targets {
		for _, p := range readings(target) {
			if first, _, _ := strings.Cut(strings.TrimLeft(p, "/"), "/"); strings.EqualFold(first, "admin") || strings.EqualFold(first, "internal") || strings.EqualFold(first, Internal) {
				say("the path %q of %q", p, target)
			}
			if strings.Contains(p, "/internal/") {
				say("the path %q of %q", p, target)
			}
		}
	}
	for _, m := range methods {
		if strings.EqualFold(m, http.MethodDelete) {
			say("the method %q", m)
		}
	}
	for _, h := range hosts {
		if strings.Contains(strings.ToLower(h), Internal) {
			say("the host %q", h)
		}
	}
	return wrongs
}

// plain is a header's name as CGI and what came after it knows it.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(name))
}

// readings are the paths that some program makes of a target: it decodes, once or again, cuts
// or cleans, in any order.
func readings(target string) []string {
	p, _, _ := strings.Cut(target, "?")
	if _, rest, absolute := strings.Cut(p, "://"); absolute {
		p = rest[max(0, strings.IndexByte(rest, '/')):]
	}
	all := []string{p}
	for i := 0; i < len(all) && len(all) < 500; i++ {
		for _, step := range []func(string) string{
			func(s string) string {
				if u, err := url.PathUnescape(s); err == nil {
					return u
				}
				return s
			},
			func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
			func(s string) string { return before(s, "?") },
			func(s string) string { return before(s, "#") },
			func(s string) string { return before(s, "\x00") },
			func(s string) string { return before(s, ";") },
			func(s string) string { // parameters of each segment
				segments := strings.Split(s, "/")
				for i := range segments {
					segments[i] = before(segments[i], ";")
				}
				return strings.Join(segments, "/")
			},
			path.Clean,
		} {
			if next := step(all[i]); !slices.Contains(all, next) {
				all = append(all, next)
			}
		}
	}
	return all
}

func before(s, separator string) string {
	s, _, _ = strings.Cut(s, separator)
	return s
}
