package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const (
	proxyAddress    = "10.1.2.3:40000"
	strangerAddress = "192.0.2.1:40000"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}

// forwarding is the handler that a proxy of this kind asks.
func forwarding(t testing.TB, rt *middleware.Router, p middleware.Proxy) http.Handler {
	t.Helper()
	h, err := rt.ForwardAuth(middleware.ForwardAuthConfig{Proxy: p, Trusted: proxies})
	require.NoError(t, err)
	return h
}

// question is what Caddy asks about a request; header is what its client has sent.
func question(method, host, uri string, header http.Header) *http.Request {
	r := httptest.NewRequest("GET", "/forward-auth", nil)
	r.RemoteAddr = proxyAddress
	maps.Copy(r.Header, header)
	r.Header["X-Forwarded-Method"], r.Header["X-Forwarded-Host"], r.Header["X-Forwarded-Uri"] = []string{method}, []string{host}, []string{uri}
	return r
}

func asked(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func authorized(scopes string) http.Header { return http.Header{"Authorization": {with(scopes)}} }

var identityOfUser = map[string]func(*bearergate.Token) string{
	"X-Auth-Subject": (*bearergate.Token).Subject,
	"X-Auth-Client":  (*bearergate.Token).ClientID,
	"X-Auth-Tenant":  (*bearergate.Token).Tenant,
}

// ForwardAuth says what Decide says, and writes what Handler writes.
func TestForwardAuthAgreesWithHandler(t *testing.T) {
	config := middleware.Config{Identity: identityOfUser, Realm: "orders"}
	h := built(t, decideRouter(newGate(t, granting(), config), says("")))
	forward := forwarding(t, decideRouter(newGate(t, granting(), config), forbidden(t)), middleware.Caddy)
	nginx := forwarding(t, decideRouter(newGate(t, granting(), config), forbidden(t)), middleware.Nginx)
	for name, tc := range decideCases {
		t.Run(name, func(t *testing.T) {
			r := tc.request()
			served := httptest.NewRecorder()
			h.ServeHTTP(served, r)
			want := served.Code
			switch {
			case want == 307 && r.URL.Path == "/tree":
				want = 404 // another path, to which nobody is sent
			case want == 307:
				want = 400
			}
			uri := tc.target
			if r.URL.IsAbs() {
				uri = r.URL.RequestURI() // as every proxy tells it
			}
			w := asked(forward, question(r.Method, r.Host, uri, r.Header))
			require.Equal(t, want, w.Code, w.Body)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			if tc.access != "" && want != 200 {
				require.Equal(t, served.Body.String(), w.Body.String())
				require.Equal(t, served.Header().Values("WWW-Authenticate"), w.Header().Values("WWW-Authenticate"))
				require.Equal(t, served.Header().Get("Retry-After") == "", w.Header().Get("Retry-After") == "")
			}
			_, allows := w.Header()["Allow"]
			require.Equal(t, want == 405 && r.Method != "CONNECT", allows, w.Header())
			if want == 200 {
				require.Empty(t, w.Body.String())
				wantSubject, wantClient := "", ""
				if tc.subject != "" {
					wantSubject, wantClient = "u1", "c1"
				}
				require.Equal(t, http.Header{"X-Auth-Subject": {wantSubject}, "X-Auth-Client": {wantClient}, "X-Auth-Tenant": {""}, "Cache-Control": {"no-store"}}, w.Header())
			} else {
				require.NotContains(t, w.Header(), "X-Auth-Subject")
				require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			}

			// For nginx: the same in other words.
			q := question(r.Method, r.Host, uri, r.Header)
			for from, to := range map[string]string{"X-Forwarded-Method": "X-Original-Method", "X-Forwarded-Host": "X-Original-Host", "X-Forwarded-Uri": "X-Original-Uri"} {
				q.Header[to] = q.Header[from]
				delete(q.Header, from)
			}
			wn := asked(nginx, q)
			if want == 200 {
				require.Equal(t, 200, wn.Code)
				require.Equal(t, w.Header(), wn.Header())
				return
			}
			require.Equal(t, 403, wn.Code)
			require.Equal(t, fmt.Sprint(want), wn.Header().Get("X-Auth-Status"))
			require.Equal(t, w.Header().Get("WWW-Authenticate"), wn.Header().Get("X-Auth-Challenge-1"))
			require.Equal(t, w.Header().Get("Allow"), wn.Header().Get("Allow"))
			require.Equal(t, w.Header().Get("Retry-After") == "", wn.Header().Get("Retry-After") == "")
			require.Equal(t, "no-store", wn.Header().Get("Cache-Control"))
		})
	}
}

// What a client forges, and what a proxy gets wrong, opens nothing.
func TestForwardAuthTakesTheRequestFromOneSetOfFields(t *testing.T) {
	var events log
	rt := decideRouter(newGate(t, granting(), middleware.Config{Hooks: events.hooks(), Identity: identityOfUser}), forbidden(t))
	h := forwarding(t, rt, middleware.Caddy)
	without := func(name string) func(*http.Request) { return func(r *http.Request) { delete(r.Header, name) } }
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	for name, tt := range map[string]struct {
		change func(*http.Request)
		status int
		reason bearergate.Reason
		detail string
	}{
		"nothing changed":                {change: func(*http.Request) {}, status: 403, reason: bearergate.ReasonScope},
		"the fields of nginx":            {change: set("X-Original-Uri", "/health"), status: 403, reason: bearergate.ReasonScope},
		"another name that is in use":    {change: set("X-Original-Url", "/health"), status: 403, reason: bearergate.ReasonScope},
		"a rewritten URL":                {change: set("X-Rewrite-Url", "/health"), status: 403, reason: bearergate.ReasonScope},
		"an overridden method":           {change: set("X-Http-Method-Override", "OPTIONS"), status: 403, reason: bearergate.ReasonScope},
		"underscores":                    {change: set("X_Forwarded_Uri", "/health"), status: 403, reason: bearergate.ReasonScope},
		"underscores, as Go writes them": {change: set("X_forwarded_uri", "/health"), status: 403, reason: bearergate.ReasonScope},
		"a mixture":                      {change: set("X-Forwarded_uri", "/health"), status: 403, reason: bearergate.ReasonScope},
		"a prefix":                       {change: set("X-Forwarded-Prefix", "/health"), status: 403, reason: bearergate.ReasonScope},
		"no URI":                         {change: without("X-Forwarded-Uri"), status: 500, reason: bearergate.ReasonConfig},
		"no URI but one with underscores": {change: func(r *http.Request) {
			delete(r.Header, "X-Forwarded-Uri")
			r.Header["X_Forwarded_Uri"] = []string{"/health"}
		}, status: 500, reason: bearergate.ReasonConfig},
		"no method":      {change: without("X-Forwarded-Method"), status: 500, reason: bearergate.ReasonConfig},
		"no host":        {change: without("X-Forwarded-Host"), status: 500, reason: bearergate.ReasonConfig},
		"nothing at all": {change: func(r *http.Request) { clear(r.Header) }, status: 500, reason: bearergate.ReasonConfig},
		"no URI, and two hosts": {change: func(r *http.Request) {
			delete(r.Header, "X-Forwarded-Uri")
			r.Header["X-Forwarded-Host"] = []string{"a", "b"}
		}, status: 500, reason: bearergate.ReasonConfig},
		"an empty field":                         {change: set("X-Forwarded-Uri", ""), status: 400, reason: bearergate.ReasonBadRequest, detail: "is empty"},
		"no values":                              {change: set("X-Forwarded-Uri"), status: 500, reason: bearergate.ReasonConfig},
		"two URIs":                               {change: set("X-Forwarded-Uri", "/health", "/orders"), status: 400, reason: bearergate.ReasonBadRequest, detail: "more than once"},
		"one URI twice":                          {change: set("X-Forwarded-Uri", "/health", "/health"), status: 400, reason: bearergate.ReasonBadRequest, detail: "more than once"},
		"two methods":                            {change: set("X-Forwarded-Method", "GET", "GET"), status: 400, reason: bearergate.ReasonBadRequest, detail: "more than once"},
		"two hosts":                              {change: set("X-Forwarded-Host", "h.example", "other.example"), status: 400, reason: bearergate.ReasonBadRequest, detail: "more than once"},
		"two URIs with a comma":                  {change: set("X-Forwarded-Uri", "/health, /orders"), status: 400, reason: bearergate.ReasonBadRequest, detail: "character"},
		"two URIs with a comma, no space":        {change: set("X-Forwarded-Uri", "/health,/orders"), status: 400, reason: bearergate.ReasonBadRequest, detail: "two values"},
		"two URIs, the first with a query":       {change: set("X-Forwarded-Uri", "/health?x,/orders"), status: 400, reason: bearergate.ReasonBadRequest, detail: "two values"},
		"two methods with a comma":               {change: set("X-Forwarded-Method", "GET,POST"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no method"},
		"two hosts with a comma":                 {change: set("X-Forwarded-Host", "h.example,other.example"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"an absolute URI":                        {change: set("X-Forwarded-Uri", "http://h.example/health"), status: 400, reason: bearergate.ReasonBadRequest, detail: "absolute"},
		"a URI without a slash":                  {change: set("X-Forwarded-Uri", "health"), status: 400, reason: bearergate.ReasonBadRequest, detail: "slash"},
		"all of the server":                      {change: set("X-Forwarded-Uri", "*"), status: 400, reason: bearergate.ReasonBadRequest, detail: "slash"},
		"a fragment":                             {change: set("X-Forwarded-Uri", "/health#/../orders"), status: 400, reason: bearergate.ReasonBadRequest, detail: "fragment"},
		"a backslash":                            {change: set("X-Forwarded-Uri", `/health\..\orders`), status: 400, reason: bearergate.ReasonBadRequest, detail: "character"},
		"a tabulator":                            {change: set("X-Forwarded-Uri", "/health\t"), status: 400, reason: bearergate.ReasonBadRequest, detail: "character"},
		"a character that is deleted":            {change: set("X-Forwarded-Uri", "/health\x7f"), status: 400, reason: bearergate.ReasonBadRequest, detail: "character"},
		"no ASCII":                               {change: set("X-Forwarded-Uri", "/health/\u00fc"), status: 400, reason: bearergate.ReasonBadRequest, detail: "character"},
		"a percent sign alone":                   {change: set("X-Forwarded-Uri", "/health%zz"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no path"},
		"the longest path with query":            {change: set("X-Forwarded-Uri", "/health?"+strings.Repeat("x", middleware.MaxOriginalURIBytes-len("/health?"))), status: 200},
		"an exclamation mark":                    {change: set("X-Forwarded-Uri", "/health?!~"), status: 200},
		"a host in front":                        {change: set("X-Forwarded-Uri", "//h.example/health"), status: 400},
		"too long":                               {change: set("X-Forwarded-Uri", "/health?"+strings.Repeat("x", middleware.MaxOriginalURIBytes)), status: 400, reason: bearergate.ReasonBadRequest, detail: "too long"},
		"a method in small letters":              {change: set("X-Forwarded-Method", "get"), status: 400},
		"the longest method":                     {change: set("X-Forwarded-Method", strings.Repeat("X", 64)), status: 403, reason: bearergate.ReasonScope},
		"a method of two words":                  {change: set("X-Forwarded-Method", "GET /health"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no method"},
		"a long method":                          {change: set("X-Forwarded-Method", strings.Repeat("X", 65)), status: 400, reason: bearergate.ReasonBadRequest, detail: "too long"},
		"a user in the host":                     {change: set("X-Forwarded-Host", "u@h.example"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a path in the host":                     {change: set("X-Forwarded-Host", "h.example/health"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a query in the host":                    {change: set("X-Forwarded-Host", "h.example?x"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a space in the host":                    {change: set("X-Forwarded-Host", "h.example x"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"an encoded host":                        {change: set("X-Forwarded-Host", "h%2eexample"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a port that is none":                    {change: set("X-Forwarded-Host", "h.example:x"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a port that is too large":               {change: set("X-Forwarded-Host", "h.example:99999"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a tilde in the host":                    {change: set("X-Forwarded-Host", "h~.example"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a port that is one too large":           {change: set("X-Forwarded-Host", "h.example:65536"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"the largest port":                       {change: set("X-Forwarded-Host", "other.example:65535"), status: 200},
		"a port alone":                           {change: set("X-Forwarded-Host", ":80"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a colon alone":                          {change: set("X-Forwarded-Host", "h.example:"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a dot in front of the host":             {change: set("X-Forwarded-Host", ".h.example"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a bracket behind the host":              {change: set("X-Forwarded-Host", "h.example]"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"brackets in the host":                   {change: set("X-Forwarded-Host", "h[::1]example:80"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"IPv4 in brackets":                       {change: set("X-Forwarded-Host", "[192.0.2.1]:80"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"two ports":                              {change: set("X-Forwarded-Host", "h.example:80:80"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"an address in brackets that is none":    {change: set("X-Forwarded-Host", "[h.example]"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"half a bracket":                         {change: set("X-Forwarded-Host", "[::1"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a zone":                                 {change: set("X-Forwarded-Host", "[fe80::1%25eth0]"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"an empty label":                         {change: set("X-Forwarded-Host", "h..example"), status: 400, reason: bearergate.ReasonBadRequest, detail: "no host"},
		"a long host":                            {change: set("X-Forwarded-Host", strings.Repeat("h", 262)), status: 400, reason: bearergate.ReasonBadRequest, detail: "too long"},
		"the longest host with a port":           {change: set("X-Forwarded-Host", strings.Repeat("h", 255)+":65535"), status: 200},
		"an IPv6 host":                           {change: set("X-Forwarded-Host", "[::1]:8080"), status: 200},
		"an IPv6 host without a port":            {change: set("X-Forwarded-Host", "[::1]"), status: 200},
		"another host":                           {change: set("X-Forwarded-Host", "other.example:8080"), status: 200},
		"the same host in another spelling":      {change: set("X-Forwarded-Host", "H.Example.:8080"), status: 403, reason: bearergate.ReasonScope},
		"a query is no part of the decision":     {change: set("X-Forwarded-Uri", "/orders?/../health#"[:18]), status: 403, reason: bearergate.ReasonScope},
		"the path of the question":               {change: func(r *http.Request) { r.URL.Path, r.RequestURI = "/health", "/health" }, status: 403, reason: bearergate.ReasonScope},
		"the host of the question":               {change: func(r *http.Request) { r.Host = "other.example" }, status: 403, reason: bearergate.ReasonScope},
		"the method of the question":             {change: func(r *http.Request) { r.Method = "OPTIONS" }, status: 403, reason: bearergate.ReasonScope},
		"a dot segment":                          {change: set("X-Forwarded-Uri", "/health/../orders"), status: 400},
		"an encoded dot segment":                 {change: set("X-Forwarded-Uri", "/health/%2e%2e/orders"), status: 400},
		"an encoded slash":                       {change: set("X-Forwarded-Uri", "/tree/..%2forders"), status: 400},
		"an encoded question mark":               {change: set("X-Forwarded-Uri", "/tree/x%3fy"), status: 400},
		"an encoded number sign":                 {change: set("X-Forwarded-Uri", "/tree/x%23y"), status: 400},
		"an encoded tabulator":                   {change: set("X-Forwarded-Uri", "/tree/%09"), status: 400},
		"a semicolon":                            {change: set("X-Forwarded-Uri", "/health;/orders"), status: 400},
		"encoded twice":                          {change: set("X-Forwarded-Uri", "/tree/%252e%252e/orders"), status: 400},
		"an empty segment":                       {change: set("X-Forwarded-Uri", "/tree//x"), status: 400},
		"an encoded letter is the letter":        {change: set("X-Forwarded-Uri", "/%6frders"), status: 403, reason: bearergate.ReasonScope},
		"two credentials":                        {change: func(r *http.Request) { r.Header.Add("Authorization", with("read")) }, status: 400, reason: bearergate.ReasonBadRequest},
		"the identity that the client has given": {change: set("X-Auth-Subject", "root"), status: 403, reason: bearergate.ReasonScope},
	} {
		t.Run(name, func(t *testing.T) {
			r := question("GET", "h.example", "/orders", authorized("read")) // which lacks admin there
			tt.change(r)
			w := asked(h, r)
			require.Equal(t, tt.status, w.Code, w.Body)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			if tt.reason == "" {
				if tt.status != 200 {
					require.Empty(t, events.events, "no route was asked")
				}
				events.events = nil
				return
			}
			e := events.only(t)
			require.Equal(t, tt.reason, e.Reason)
			require.Contains(t, bearergate.AsError(e.Err).Detail, tt.detail)
			if tt.status == 400 && tt.detail != "" {
				require.Empty(t, w.Header().Values("WWW-Authenticate"), "no credential is to blame")
				require.Contains(t, w.Body.String(), "The method, the host or the path of the request can be read in more than one way.")
			}
			switch tt.status {
			case 400:
				requireError(t, e.Err, bearergate.ErrInvalidRequest, tt.reason)
			case 500:
				requireError(t, e.Err, bearergate.ErrMisconfigured, tt.reason)
			}
			for _, sent := range []string{"health", "example"} {
				require.NotContains(t, w.Body.String(), sent)
			}
		})
	}
}

// Who is no trusted proxy is told nothing, and no route is asked.
func TestForwardAuthAnswersTrustedPeersAlone(t *testing.T) {
	for _, p := range []middleware.Proxy{middleware.Caddy, middleware.Nginx} {
		var events log
		rt := decideRouter(newGate(t, granting(), middleware.Config{Hooks: events.hooks(), Identity: identityOfUser}), forbidden(t))
		h, err := rt.ForwardAuth(middleware.ForwardAuthConfig{Proxy: p, Trusted: proxies,
			Headers: middleware.OriginalHeaders{Method: "X-Forwarded-Method", Host: "X-Forwarded-Host", URI: "X-Forwarded-Uri"}})
		require.NoError(t, err)
		for _, peer := range []string{strangerAddress, "", "@", "10.1.2.3", "[::ffff:192.0.2.1]:1", "[fd00::1%eth0]:1"} {
			for _, uri := range []string{"/health", "/orders", "/nothing", "//", "\x00", ""} {
				r := question("GET", "a.example", uri, authorized("read"))
				r.RemoteAddr = peer
				r.Pattern = "/forward-auth"
				r.Header.Set("X-Forwarded-For", "10.1.2.3")
				w := asked(h, r)
				require.Equal(t, 403, w.Code)
				require.Equal(t, http.Header{"Cache-Control": {"no-store"}}, w.Header())
				require.Empty(t, w.Body.String())
				e := events.only(t)
				requireError(t, e.Err, bearergate.ErrForbidden, bearergate.ReasonPolicy)
				require.Contains(t, bearergate.AsError(e.Err).Detail, "Trusted")
				require.Nil(t, e.Token)
				require.Empty(t, e.Pattern)
				require.Zero(t, e.Duration, "nothing was decided")
			}
		}
		r := question("GET", "a.example", "/orders", authorized("read"))
		r.RemoteAddr = "[::ffff:10.1.2.3]:1" // a listener for both families
		require.Equal(t, 200, asked(h, r).Code)
	}
}

// A proof is for the request of the client, and counts once, however often the proxy asks.
func TestForwardAuthAsksBindingsAboutTheOriginalRequest(t *testing.T) {
	var calls []bearergate.Call
	used := false
	gate := newGate(t, accepts(boundBy("jkt")), middleware.Config{Bindings: bindings(dpop(func(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
		calls = append(calls, c)
		answer := bearergate.Reply{"DPoP-Nonce": "n1"}
		if used {
			return answer, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay}
		}
		used = true
		return answer, nil
	}))})
	rt := gate.NewRouter()
	rt.Authenticated("POST /orders", forbidden(t))
	h := forwarding(t, rt, middleware.Nginx)
	ask := func() *httptest.ResponseRecorder {
		r := question("POST", "api.example:8443", "/orders?x=1", http.Header{"Authorization": {"DPoP " + good}, "Dpop": {"proof"}})
		for _, name := range []string{"Method", "Host", "Uri"} {
			r.Header["X-Original-"+name] = r.Header["X-Forwarded-"+name]
			delete(r.Header, "X-Forwarded-"+name)
		}
		return asked(h, r)
	}
	w := ask()
	require.Equal(t, 200, w.Code)
	require.Equal(t, "n1", w.Header().Get("DPoP-Nonce"))
	require.Len(t, calls, 1)
	c := calls[0]
	require.Equal(t, []string{"POST", "/orders?x=1", "api.example:8443"}, []string{c.Method, c.Target, c.Host})
	require.Nil(t, c.TLS)
	require.Equal(t, proxyAddress, c.Peer.String())
	require.Equal(t, []string{"proof"}, c.Values("DPoP"))
	require.Empty(t, c.Values("X-Original-Uri"))

	w = ask()
	require.Equal(t, 403, w.Code)
	require.Equal(t, "401", w.Header().Get("X-Auth-Status"))
	require.Equal(t, "n1", w.Header().Get("DPoP-Nonce"))
	require.Contains(t, w.Header().Get("X-Auth-Challenge-1"), `DPoP realm="api"`)
	require.Contains(t, w.Header().Get("X-Auth-Challenge-1"), `error="invalid_dpop_proof"`)
	require.Equal(t, `Bearer realm="api"`, w.Header().Get("X-Auth-Challenge-2"))
}

// The certificate of the proxy's connection proves nothing about its client.
func TestForwardAuthNeverShowsTheConnection(t *testing.T) {
	var calls []bearergate.Call
	gate := newGate(t, accepts(holder), middleware.Config{Bindings: bindings(certificate(func(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
		calls = append(calls, c)
		return nil, errors.New("no")
	}))})
	rt := gate.NewRouter()
	rt.Authenticated("/orders", forbidden(t))
	r := httptest.NewRequest("GET", "https://authorizer.example/", nil) // which has TLS
	require.NotNil(t, r.TLS)
	q := question("GET", "a.example", "/orders", http.Header{"Authorization": {"Bearer " + good}})
	q.TLS = r.TLS
	require.Equal(t, 401, asked(forwarding(t, rt, middleware.Caddy), q).Code)
	require.Len(t, calls, 1)
	require.Nil(t, calls[0].TLS)
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, io.EOF }
func (u unread) Close() error             { return nil }

func TestForwardAuthReadsNoBody(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Authenticated("/orders", forbidden(t), middleware.Allow(func(r *http.Request, _ *bearergate.Token) error {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Empty(t, body, "the body of the question is not that of the request")
		require.Zero(t, r.ContentLength)
		return nil
	}))
	h := forwarding(t, rt, middleware.Caddy)
	for _, uri := range []string{"/orders", "/nothing", "", "/../x"} {
		r := question("POST", "a.example", uri, authorized("read"))
		r.Body, r.ContentLength = unread{t}, 7
		require.NotEqual(t, 500, asked(h, r).Code)
	}
}

// What the last gate in front of the handler says counts, and so does what it would tell it.
func TestForwardAuthOfTwoGates(t *testing.T) {
	inner := newGate(t, granting(), middleware.Config{Realm: "inner", Identity: map[string]func(*bearergate.Token) string{"X-Who": func(*bearergate.Token) string { return "inner" }}})
	forward := map[bool]http.Handler{} // by whether the outer gate only reports
	for _, reports := range []bool{true, false} {
		outer := newGate(t, granting(), middleware.Config{Realm: "outer", InsecureReportOnly: reports,
			Identity: map[string]func(*bearergate.Token) string{"X-Who": func(*bearergate.Token) string { return "outer" }, "X-Outer": (*bearergate.Token).Subject}})
		rt := outer.NewRouter()
		rt.Handle("/both", scope.All("read"), inner.Require(scope.All("admin"))(forbidden(t)))
		rt.Public("/inner", inner.Require(scope.All("admin"))(forbidden(t)))
		forward[reports] = forwarding(t, rt, middleware.Caddy)
	}
	for _, tt := range []struct {
		reports            bool
		uri, scopes, realm string
		status             int
		identity           []string
	}{
		{uri: "/both", scopes: "read+admin", status: 200, identity: []string{"inner", "u1"}},
		{uri: "/both", scopes: "read", status: 403, realm: "inner"},
		{uri: "/both", scopes: "admin", status: 403, realm: "outer"},
		{uri: "/inner", scopes: "admin", status: 200, identity: []string{"inner", ""}},
		{uri: "/inner", scopes: "read", status: 403, realm: "inner"},
		// What the outer one lets pass and reports, the inner one refuses all the same.
		{reports: true, uri: "/both", scopes: "admin", status: 200, identity: []string{"inner", "u1"}},
		{reports: true, uri: "/both", scopes: "other", status: 403, realm: "inner"},
	} {
		w := asked(forward[tt.reports], question("GET", "a.example", tt.uri, authorized(tt.scopes)))
		require.Equal(t, tt.status, w.Code, "%+v", tt)
		if tt.status == 200 {
			require.Equal(t, tt.identity[0], w.Header().Get("X-Who"))
			require.Equal(t, tt.identity[1], w.Header().Get("X-Outer"))
			continue
		}
		require.Contains(t, w.Header().Get("WWW-Authenticate"), `realm="`+tt.realm+`"`)
		require.Empty(t, w.Header().Values("X-Who"))
	}
}

// An OPTIONS without a token is decided like everything else.
func TestForwardAuthOfAPreflight(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("GET /orders", scope.All("read"), forbidden(t))
	rt.Handle("/items", scope.All("read"), forbidden(t))
	rt.Handle("/open", scope.All("read"), forbidden(t))
	rt.Public("OPTIONS /open", forbidden(t))
	h := forwarding(t, rt, middleware.Caddy)
	preflight := http.Header{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"GET"}}
	for uri, want := range map[string]int{"/orders": 405, "/items": 401, "/open": 200} {
		require.Equal(t, want, asked(h, question("OPTIONS", "a.example", uri, preflight)).Code, uri)
	}
}

// The address that events tell is the client's, if the proxy says it.
func TestForwardAuthTellsTheAddressOfTheClient(t *testing.T) {
	address, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: proxies})
	require.NoError(t, err)
	var events log
	rt := decideRouter(newGate(t, granting(), middleware.Config{Hooks: events.hooks(), ClientAddress: address}), forbidden(t))
	h := forwarding(t, rt, middleware.Caddy)
	for _, uri := range []string{"/orders", ""} {
		_ = asked(h, question("GET", "a.example", uri, http.Header{"X-Forwarded-For": {"203.0.113.7"}}))
		require.Equal(t, netip.MustParseAddr("203.0.113.7"), events.only(t).Address)
	}
}

func TestForwardAuthReportOnly(t *testing.T) {
	var events log
	rt := decideRouter(newGate(t, granting(), middleware.Config{InsecureReportOnly: true, Hooks: events.hooks(), Identity: identityOfUser}), forbidden(t))
	h := forwarding(t, rt, middleware.Caddy)
	w := asked(h, question("GET", "a.example", "/orders", authorized("write")))
	require.Equal(t, 200, w.Code)
	require.Equal(t, "u1", w.Header().Get("X-Auth-Subject"))
	require.True(t, events.only(t).ReportOnly)
	require.Equal(t, 404, asked(h, question("GET", "a.example", "/nothing", nil)).Code, "there is no route to report on")
}

// A refusal is rendered as those of Handler are.
func TestForwardAuthRenders(t *testing.T) {
	var seen []middleware.Refusal
	rt := decideRouter(newGate(t, granting(), middleware.Config{Render: func(_ *http.Request, refusal middleware.Refusal) (string, []byte) {
		seen = append(seen, refusal)
		return "text/plain", fmt.Appendf(nil, "no: %d", refusal.Status)
	}}), forbidden(t))
	h := forwarding(t, rt, middleware.Caddy)
	for uri, status := range map[string]int{"/orders": 401, "/nothing": 404, "//": 400, "": 400} {
		seen = nil
		w := httptest.NewRecorder()
		w.Header().Set("Content-Encoding", "gzip") // what a handler in front had in mind
		h.ServeHTTP(w, question("GET", "a.example", uri, nil))
		require.Equal(t, status, w.Code)
		require.Empty(t, w.Header().Values("Content-Encoding"))
		require.Equal(t, "text/plain", w.Header().Get("Content-Type"))
		require.Equal(t, fmt.Sprint("no: ", status), w.Body.String())
		require.Len(t, seen, 1)
		require.Empty(t, seen[0].Err.Detail)
		require.NotEmpty(t, seen[0].Err.Reason)
	}
}

// brokenWriter notes that its connection was given up.
type brokenWriter struct {
	*httptest.ResponseRecorder
	broken bool
}

func (b *brokenWriter) SetWriteDeadline(time.Time) error { b.broken = true; return nil }

func TestForwardAuthOfAProxyThatWentAway(t *testing.T) {
	for _, p := range []middleware.Proxy{middleware.Caddy, middleware.Nginx} {
		ctx, cancel := context.WithCancel(t.Context())
		rt := newGate(t, bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
			cancel()
			return nil, ctx.Err()
		}), middleware.Config{}).NewRouter()
		rt.Authenticated("/orders", forbidden(t))
		h, err := rt.ForwardAuth(middleware.ForwardAuthConfig{Proxy: p, Trusted: proxies,
			Headers: middleware.OriginalHeaders{Method: "X-Forwarded-Method", Host: "X-Forwarded-Host", URI: "X-Forwarded-Uri"}})
		require.NoError(t, err)
		w := &brokenWriter{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, question("GET", "a.example", "/orders", authorized("read")).WithContext(ctx))
		require.True(t, w.broken)
		require.Empty(t, w.Body.String())

		// On a connection that nobody can break, somebody may still be there.
		ctx, cancel = context.WithCancel(context.WithValue(t.Context(), http.ServerContextKey, &http.Server{}))
		defer cancel()
		r := asked(h, question("GET", "a.example", "/orders", authorized("read")).WithContext(ctx))
		if p == middleware.Nginx {
			require.Equal(t, 403, r.Code)
			require.Equal(t, "503", r.Header().Get("X-Auth-Status"))
			continue
		}
		require.Equal(t, 503, r.Code)
	}
}

func TestForwardAuthBounds(t *testing.T) { require.Equal(t, 16384, middleware.MaxOriginalURIBytes) }

// broken is a Binding that cannot say whether it reads the certificate of the connection.
type broken struct{ *binding }

func (broken) Direct() bool { panic("boom") }

func TestForwardAuthReadsFieldsOfAnySpelling(t *testing.T) {
	rt := decideRouter(newGate(t, granting(), middleware.Config{}), forbidden(t))
	h, err := rt.ForwardAuth(middleware.ForwardAuthConfig{Proxy: middleware.OtherProxy, Trusted: proxies,
		Headers: middleware.OriginalHeaders{Method: "x-forwarded-METHOD", Host: "x-forwarded-host", URI: "X-Forwarded-URI"}})
	require.NoError(t, err)
	require.Equal(t, 200, asked(h, question("GET", "a.example", "/health", nil)).Code)
}

func TestForwardAuthNamesEveryMistake(t *testing.T) {
	direct, err := mtls.New(mtls.Config{Direct: true})
	require.NoError(t, err)
	forwarded := []mtls.Forwarded{{Header: "X-Client-Cert", Format: mtls.EscapedPEM, Trusted: proxies}}
	behind, err := mtls.New(mtls.Config{Forwarded: forwarded})
	require.NoError(t, err)
	both, err := mtls.New(mtls.Config{Direct: true, Forwarded: forwarded})
	require.NoError(t, err)
	require.True(t, direct.Direct())
	require.False(t, (*mtls.Certificates)(nil).Direct())
	good := middleware.ForwardAuthConfig{Proxy: middleware.Caddy, Trusted: proxies}
	for name, tt := range map[string]struct {
		gate   middleware.Config
		change func(*middleware.ForwardAuthConfig)
		routes func(*middleware.Router)
		want   []string // none: it is right
	}{
		"nothing wrong":           {},
		"a forwarded certificate": {gate: middleware.Config{Bindings: bindings(behind)}},
		"names of one's own": {change: func(c *middleware.ForwardAuthConfig) {
			c.Proxy, c.Headers = middleware.OtherProxy, middleware.OriginalHeaders{Method: "x-m", Host: "x-h", URI: "X-U"}
		}},
		"nothing set":       {change: func(c *middleware.ForwardAuthConfig) { *c = middleware.ForwardAuthConfig{} }, want: []string{"Proxy is \"\"", "Trusted is empty"}},
		"everybody":         {change: func(c *middleware.ForwardAuthConfig) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }, want: []string{"which is everybody"}},
		"half of everybody": {change: func(c *middleware.ForwardAuthConfig) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1")} }, want: []string{"wider than any private network"}},
		"an unknown proxy":  {change: func(c *middleware.ForwardAuthConfig) { c.Proxy = "apache" }, want: []string{`Proxy is "apache"`}},
		"an unknown proxy, and a name that is none": {change: func(c *middleware.ForwardAuthConfig) {
			c.Proxy, c.Headers = "apache", middleware.OriginalHeaders{Method: "X A", Host: "X-B", URI: "X-C"}
		}, want: []string{`Proxy is "apache"`, "Headers.Method is \"X A\""}},
		"no names":          {change: func(c *middleware.ForwardAuthConfig) { c.Proxy = middleware.OtherProxy }, want: []string{"Headers.Method is empty", "Headers.Host is empty", "Headers.URI is empty"}},
		"a name is missing": {change: func(c *middleware.ForwardAuthConfig) { c.Headers.URI = "X-Original-Uri" }, want: []string{"Headers.Method is empty", "Headers.Host is empty"}},
		"a name twice": {change: func(c *middleware.ForwardAuthConfig) {
			c.Headers = middleware.OriginalHeaders{Method: "X-A", Host: "X-B", URI: "x-a"}
		}, want: []string{"Headers.URI is X-A, as another one is"}},
		"no name": {change: func(c *middleware.ForwardAuthConfig) {
			c.Headers = middleware.OriginalHeaders{Method: "X A", Host: "X_B", URI: "Authorization"}
		}, want: []string{"Headers.Method is \"X A\"", "Headers.Host is \"X_b\"", "Headers.URI is Authorization"}},
		"dashes at the ends": {change: func(c *middleware.ForwardAuthConfig) {
			c.Headers = middleware.OriginalHeaders{Method: "X-A-", Host: "-X-B", URI: "X-C"}
		}, want: []string{"Headers.Method is \"X-A-\"", "Headers.Host is \"-X-B\""}},
		"the host of the question": {change: func(c *middleware.ForwardAuthConfig) {
			c.Headers = middleware.OriginalHeaders{Method: "X-A", Host: "Host", URI: "X-Forwarded-For"}
		}, want: []string{"Headers.Host is Host", "Headers.URI is X-Forwarded-For"}},
		"Direct":                  {gate: middleware.Config{Bindings: bindings(direct)}, want: []string{"binding 1 reads the client certificate of the connection"}},
		"Direct beside Forwarded": {gate: middleware.Config{Bindings: bindings(both)}, want: []string{"binding 1 reads the client certificate of the connection"}},
		"Direct, which panics":    {gate: middleware.Config{Bindings: bindings(broken{certificate(proven)})}, want: []string{"binding 1 reads"}},
		"Direct, second":          {gate: middleware.Config{Bindings: bindings(dpop(proven), direct)}, want: []string{"binding 2 reads"}},
		"identity with a meaning": {gate: middleware.Config{Identity: map[string]func(*bearergate.Token) string{"x-auth-status": (*bearergate.Token).Subject, "X-Forwarded-URI": (*bearergate.Token).Subject, "Set-Cookie": (*bearergate.Token).Subject}}, want: []string{"X-Auth-Status", "X-Forwarded-Uri", "Set-Cookie"}},
		"a token to drop":         {gate: middleware.Config{DropAuthorization: true}, want: []string{"DropAuthorization is set"}},
		"a route that is watched": {routes: func(rt *middleware.Router) { rt.Authenticated("/w", says(""), middleware.Recheck(time.Minute)) }, want: []string{`the route "/w" has Recheck`}},
		"a route that ends":       {routes: func(rt *middleware.Router) { rt.Authenticated("/e", says(""), middleware.CancelOnExpiry()) }, want: []string{`the route "/e" has Recheck or CancelOnExpiry`}},
		"a mistake of Handler":    {routes: func(rt *middleware.Router) { rt.Authenticated("GET /x", nil) }, change: func(c *middleware.ForwardAuthConfig) { c.Trusted = nil }, want: []string{"the handler is nil", "Trusted is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			rt := newGate(t, granting(), tt.gate).NewRouter()
			rt.Public("/health", says(""))
			if tt.routes != nil {
				tt.routes(rt)
			}
			c := good
			if tt.change != nil {
				tt.change(&c)
			}
			h, err := rt.ForwardAuth(c)
			if tt.want == nil {
				require.NoError(t, err)
				require.NotNil(t, h)
				return
			}
			require.Nil(t, h)
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.want {
				require.ErrorContains(t, err, text)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(tt.want), "these and no others: %v", err)
		})
	}
	for _, rt := range []*middleware.Router{nil, new(middleware.Gate).NewRouter(), (*middleware.Gate)(nil).NewRouter()} {
		h, err := rt.ForwardAuth(good)
		require.Nil(t, h)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

// What is registered afterwards has every question answered with 500.
func TestForwardAuthOfALateRoute(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Public("/health", says(""))
	h := forwarding(t, rt, middleware.Caddy)
	require.Equal(t, 200, asked(h, question("GET", "a.example", "/health", nil)).Code)
	rt.Public("/late", says(""))
	require.Equal(t, 500, asked(h, question("GET", "a.example", "/health", nil)).Code)
}

// TestForwardAuthCopiesTrusted: the slice may be changed afterwards.
func TestForwardAuthCopiesTrusted(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}
	rt := decideRouter(newGate(t, granting(), middleware.Config{}), forbidden(t))
	h, err := rt.ForwardAuth(middleware.ForwardAuthConfig{Proxy: middleware.Caddy, Trusted: trusted})
	require.NoError(t, err)
	trusted[0] = netip.MustParsePrefix("192.0.2.0/24")
	r := question("GET", "a.example", "/health", nil)
	require.Equal(t, 200, asked(h, r).Code)
	r.RemoteAddr = strangerAddress
	require.Equal(t, 403, asked(h, r).Code)
}

// FuzzForwardAuth: what is let pass is what a server that is sent these very bytes decides
// about, and every way to read its path is the same.
func FuzzForwardAuth(f *testing.F) {
	for _, uri := range []string{"/public/x", "/admin/x", "/public/../admin/x", "/public/%2e%2e/admin", "/public/..%2fadmin", "//admin", "/admin%2fx", "/%61dmin/x",
		"/public/%252e%252e/admin", "/public;/admin", "/public/x?/../admin", "http://a.example/admin", "*", "/public/x#/admin", "/public/x,/admin/x", "/public\\..\\admin", "/public/%c0%ae", "/public%2fx|", ""} {
		f.Add("GET", "a.example", uri)
	}
	f.Add("get", "A.example.:80", "/public/x")
	f.Add("DELETE", "[::1]:8080", "/public/x")
	f.Add("GET", "a.example,b.example", "/public/x")
	f.Add("GET,POST", "u@a.example", "/public/x")
	gate := newGate(f, granting(), middleware.Config{})
	routes := func() *middleware.Router {
		rt := gate.NewRouter()
		rt.Public("/public/", says("public"))
		rt.Public("GET /{any}", says("any"))
		rt.Handle("/admin/", scope.All("admin"), says("admin"))
		rt.Handle("a.example/host/", scope.All("host"), says("host"))
		return rt
	}
	forward, handler := forwarding(f, routes(), middleware.Caddy), built(f, routes())
	f.Fuzz(func(t *testing.T, method, host, uri string) {
		w := asked(forward, question(method, host, uri, nil))
		if w.Code != 200 {
			require.Contains(t, []int{400, 401, 404, 405}, w.Code)
			return
		}
		raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, uri, host)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(raw))))
		require.NoError(t, err, "a server cannot read what was let pass: %q", raw)
		require.Equal(t, uri, r.RequestURI)
		served := httptest.NewRecorder()
		handler.ServeHTTP(served, r)
		require.Equal(t, 200, served.Code, "%q", raw)
		require.False(t, strings.HasPrefix(strings.ToLower(r.Host), "a.example") && strings.HasPrefix(r.URL.Path, "/host/"))

		once, err := url.PathUnescape(r.URL.EscapedPath())
		require.NoError(t, err)
		twice, err := url.PathUnescape(once)
		require.NoError(t, err)
		require.Equal(t, once, twice, "decoding again changes nothing")
		clean := path.Clean(once)
		if strings.HasSuffix(once, "/") && clean != "/" {
			clean += "/"
		}
		require.Equal(t, once, clean, "cleaning changes nothing")
		require.NotContains(t, once, `\`)
		require.False(t, strings.ContainsAny(once, ";?#\x00\r\n"))
		require.False(t, strings.HasPrefix(once, "/admin/"))
		sent, _, _ := strings.Cut(uri, "?") // without net/url, which routes were found by
		require.Equal(t, strings.Count(sent, "/"), strings.Count(once, "/"), "no slash is made by decoding")
	})
}
