package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// A template is filled from the path, by Handle, Require and Check alike.
func TestTemplates(t *testing.T) {
	events := &log{}
	gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks()})
	need := scope.AllOf(scope.All("read"), scope.AnyOf(scope.All("admin"), scope.Template("doc:{tenant}:{id}")))
	rt := gate.NewRouter()
	rt.Handle("GET /t/{tenant}/docs/{id}", need, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.PathValue("tenant"), "|", r.PathValue("id"))
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /t/{tenant}/docs/{id}", gate.Require(need)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.PathValue("tenant"), "|", r.PathValue("id"))
	})))
	for name, h := range map[string]http.Handler{"router": built(t, rt), "raw mux": mux} {
		for _, tc := range []struct {
			path, scopes string
			status       int
			body, asked  string
		}{
			{"/t/a/docs/1", "read+doc:a:1", 200, "a|1", ""},
			{"/t/a/docs/1", "read+admin", 200, "a|1", ""},
			{"/t/a/docs/1", "doc:a:1", 403, "", "read admin doc:a:1"},
			{"/t/a/docs/2", "read+doc:a:1", 403, "", "read admin doc:a:2"},
			{"/t/b/docs/1", "read+doc:a:1", 403, "", "read admin doc:b:1"},
			{"/t/%61/docs/%31", "read+doc:a:1", 200, "a|1", ""},                        // the same document
			{"/t/a/docs/%2e%2e%2f1", "read+doc:a:../1+doc:a:1", 403, "", "read admin"}, // decoded, and refused
			{"/t/a%3A1/docs/x", "read+doc:a:1:x", 403, "", "read admin"},
			{"/t/a/docs/1%20read", "read+doc:a:1", 403, "", "read admin"},
			{"/t/a/docs/1%0d%0aX:%20y", "read+doc:a:1", 403, "", "read admin"},
			{"/t/a/docs/%22", "read+doc:a:1", 403, "", "read admin"},
			{"/t/a/docs/{id}", "read+doc:{tenant}:{id}", 403, "", "read admin"},
			{"/t/a/docs/*", "read+doc:a:*", 403, "", "read admin"},
			{"/t/a/docs/" + strings.Repeat("x", 257), "read+doc:a:" + strings.Repeat("x", 257), 403, "", "read admin"},
		} {
			w := ask(h, "GET", tc.path, tc.scopes)
			require.Equal(t, tc.status, w.Code, "%s: %v", name, tc)
			e := events.only(t)
			if tc.status == 200 {
				require.Equal(t, tc.body, w.Body.String())
				require.NoError(t, e.Err)
				require.Contains(t, e.Required.Scopes(), "doc:a:1")
				continue
			}
			require.Equal(t, tc.asked, parseChallenge(t, w.Header().Get("WWW-Authenticate"))["scope"], "%s: %v", name, tc)
			require.Equal(t, tc.asked, strings.Join(e.Required.Scopes(), " "))
		}
	}
	// One request leaves nothing for the next.
	require.Equal(t, []string{"id"}, scope.Template("doc:{id}").Placeholders())

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", with("doc:7"))
	refused(t, gate, r, scope.Template("doc:{id}"), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	r.SetPathValue("id", "7")
	_, _, err := gate.Check(r, scope.Template("doc:{id}"))
	require.NoError(t, err)
	r.SetPathValue("id", "")
	refused(t, gate, r, scope.Template("doc:{id}"), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
}

// Whatever the path holds, a token for one document opens that document.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"7", "%37", "7/", "7%2f", "..%2f7", "7%20x", "7:8", "*", "{id}", "%00", "\xff", "7?x", ""} {
		f.Add(s, s)
	}
	gate, err := middleware.New(granting(), middleware.Config{})
	require.NoError(f, err)
	rt := gate.NewRouter()
	var tenant, id string
	rt.Handle("GET /{tenant}/documents/{id...}", scope.Template("doc:{tenant}:{id}"), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		tenant, id = r.PathValue("tenant"), r.PathValue("id")
	}))
	h := built(f, rt)
	f.Fuzz(func(t *testing.T, a, b string) {
		target := "/" + a + "/documents/" + b
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u, RequestURI: target, Header: http.Header{"Authorization": {with("doc:acme:7+doc:x:y+acme:7+doc:acme+doc")}}}
		tenant, id = "", ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := tenant + "|" + id; got != "|" && got != "acme|7" && got != "x|y" {
			t.Fatalf("%s opened %q", target, got)
		}
		if w.Code == 403 {
			parseChallenge(t, w.Header().Get("WWW-Authenticate"))
		}
	})
}
