package middleware

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Backend stands in front of a handler that passes requests on to another server, such as
// httputil.ReverseProxy, so that the other server sees the request that was decided on and
// no other one. It goes between the gate and that handler:
//
//	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(service); r.SetXForwarded() }}
//	router.Handle("GET /orders/{id}", scope.All("orders:read"), middleware.Backend(forward))
//
// It refuses with 400 what [Router.Decide] refuses, and a path with an empty or a dot segment,
// wherever the request comes from: a path of which two programs may make two things, and a
// method with lower-case letters. The handler gets a copy of any other request, without
//
//   - headers by which some servers take another method or path than that of the request line:
//     X-HTTP-Method-Override, X-Original-URL, X-Forwarded-Prefix and the like. Names are
//     compared as those of [Config.Identity] are, so that X_HTTP_Method_Override goes too;
//   - other spellings of Forwarded, X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto,
//     such as X_Forwarded_For: the handler has to replace these themselves. A ReverseProxy with
//     Rewrite removes what the client sent under them; one with Director, or of
//     httputil.NewSingleHostReverseProxy, lets the client choose X-Forwarded-Host;
//   - Connection and what it lists, Upgrade, and the other fields for this connection alone
//     (RFC 9110 §7.6.1): nobody decides on what is sent through a tunnel. A WebSocket cannot
//     be opened through it;
//   - trailers.
//
// It does not look into the body: a service that takes the method from a form field (_method)
// must be told not to. A service that is laxer than the routes, and takes /ADMIN/x for /admin/x,
// needs routes that open nothing by a pattern such as "/".
//
// A nil handler is answered with 500. Backend is no gate: it asks for no token.
func Backend(next http.Handler) http.Handler {
	var gate *Gate // without a configuration, for its fixed words
	if isNilValue(next) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gate.refuse(w, r, &decision{err: errNoBackend})
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != strings.ToUpper(r.Method) || r.Method == http.MethodConnect || !strings.HasPrefix(r.URL.Path, "/") || !isClean(r.URL) || unclear(r.URL) {
			contentType, body := gate.render(r, answerUnclear, nil)
			strip(w.Header())
			finish(w, r, answerUnclear.status, contentType, body)
			return
		}
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
		for option := range strings.SplitSeq(strings.Join(r.Header["Connection"], ","), ",") {
			r.Header.Del(strings.TrimSpace(option))
		}
		for name := range r.Header {
			if isMisleading(name) {
				delete(r.Header, name)
			}
		}
		r.Trailer = nil // net/http fills in what comes after the body, whatever its name
		next.ServeHTTP(w, r)
	})
}

var errNoBackend = misconfigured(errors.New("Backend: the handler is nil"))

// overrides are headers by which some server takes a request for another one.
var overrides = []string{
	"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method", "X-Forwarded-Method", "X-Envoy-Original-Method",
	"X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Rewrite-URI", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Envoy-Original-Path",
	"X-Original-Host", "X-Envoy-Original-Host", "X-Forwarded-Server", "X-Host", "X-HTTP-Host-Override", "X-Script-Name",
}

// ofOneConnection are fields that end at the first recipient.
var ofOneConnection = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings"}

// ofProxies are fields that the handler replaces, under these names alone.
var ofProxies = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// isMisleading reports a header that a service behind must not get from a client.
func isMisleading(header string) bool {
	return isOverride(header) || slices.ContainsFunc(ofOneConnection, func(name string) bool { return alike(header, name) })
}

// isOverride reports a header by which a service may take the request for another one,
// whoever sees to those of the connection.
func isOverride(header string) bool {
	spells := func(name string) bool { return alike(header, name) }
	return slices.ContainsFunc(overrides, spells) || slices.ContainsFunc(ofProxies, spells) && !slices.Contains(ofProxies, header)
}
