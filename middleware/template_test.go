package middleware_test

import (
	"context"
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
	r.SetPathValue("id", "7")
	_, _, err := gate.Check(r, scope.Template("doc:{id}"))
	require.NoError(t, err)
}

// An error shows a template as it was written, and everything else as the check that refused
// does.
func TestWhatARefusalExpects(t *testing.T) {
	long := make([]string, 1000)
	for i := range long {
		long[i] = fmt.Sprintf("scope-%03d", i)
	}
	template := scope.AllOf(scope.All("read"), scope.Template("doc:{id}"))
	for _, tt := range []struct {
		name     string
		need     scope.Requirement
		scopes   string
		kind     error
		reason   bearergate.Reason
		expected string // how it begins
		most     int    // of its bytes
	}{
		{name: "a template", need: template, scopes: "read", kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope, expected: template.String(), most: len(template.String())},
		{name: "a role, beside a template", need: template, scopes: "read+doc:7", kind: bearergate.ErrForbidden, reason: bearergate.ReasonRole, expected: `"boss"`, most: len(`"boss"`)},
		{name: "no template, and longer than what is shown", need: scope.All(long...), scopes: "read", kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope, expected: "scope-000", most: 1100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := &log{}
			rt := newGate(t, granting(), middleware.Config{Hooks: events.hooks()}).NewRouter()
			rt.Handle("GET /docs/{id}", tt.need, forbidden(t), middleware.Roles("boss"))
			require.Equal(t, 403, ask(built(t, rt), "GET", "/docs/7", tt.scopes).Code)
			err := events.only(t).Err
			requireError(t, err, tt.kind, tt.reason)
			expected := bearergate.AsError(err).Expected
			require.True(t, strings.HasPrefix(expected, tt.expected), expected)
			require.LessOrEqual(t, len(expected), tt.most)
		})
	}
}

// What a placeholder stands for may be empty, which no scope satisfies, or be unknown to
// whatever routed the request, which no client can help.
func TestPlaceholdersWithoutAValue(t *testing.T) {
	set := func(values ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(values); i += 2 {
				r.SetPathValue(values[i], values[i+1])
			}
		}
	}
	for _, tt := range []struct {
		name    string
		pattern string              // that a router tells in the request, having chosen by it
		values  func(*http.Request) // that it sets there
		need    scope.Requirement
		status  int
		says    string
	}{
		{name: "no router", need: scope.Template("doc:{id}"), status: 500, says: "no pattern of http.ServeMux chose the handler"},
		{name: "a router that tells nothing", values: set("x", "7"), need: scope.Template("doc:{id}"), status: 500, says: "Config.PathValue"},
		{name: "a router that tells the value alone", values: set("id", "7"), need: scope.Template("doc:{id}"), status: 200},
		{name: "chi", pattern: "/docs/{id}", values: set("id", "7"), need: scope.Template("doc:{id}"), status: 200},
		{name: "chi, and nothing there", pattern: "/docs/{id:.*}", values: set("id", ""), need: scope.Template("doc:{id}"), status: 403},
		{name: "chi, two in one segment", pattern: "/docs/{kind}-{id}", values: set("id", "", "kind", ""), need: scope.Template("doc:{id}"), status: 403},
		{name: "another name", pattern: "GET /docs/{doc}", values: set("doc", "7"), need: scope.Template("doc:{id}"), status: 500, says: `the pattern "GET /docs/{doc}"`},
		{name: "a name that is no wildcard", pattern: "GET .id.example/id/id:id}", need: scope.Template("doc:{id}"), status: 500, says: "{id}"},
		{name: "a name that begins like it", pattern: "/docs/{idx}/{id2...}", values: set("idx", "7"), need: scope.Template("doc:{id}"), status: 500, says: "{id}"},
		{name: "a tree that another router divides", pattern: "/docs/", need: scope.Template("doc:{id}"), status: 500, says: `"/docs/"`},
		{name: "one of two", pattern: "/t/{tenant}/", values: set("tenant", "a"), need: scope.Template("doc:{tenant}:{id}"), status: 500, says: "{id}"},
		{name: "beside what suffices", need: scope.AnyOf(scope.All("admin"), scope.Template("doc:{id}")), status: 500, says: "{id}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks()})
			request := func(authorization string) *http.Request {
				r := httptest.NewRequest("GET", "/docs/7", nil)
				r.Pattern = tt.pattern
				if tt.values != nil {
					tt.values(r)
				}
				r.Header.Set("Authorization", authorization)
				return r
			}
			r := request(with("doc:7+doc:a:7+admin"))
			for _, wrap := range []func(http.Handler) http.Handler{gate.Require(tt.need), gate.Optional(tt.need)} {
				w := httptest.NewRecorder()
				wrap(says("document")).ServeHTTP(w, r)
				require.Equal(t, tt.status, w.Code)
				e := events.only(t)
				switch tt.status {
				case 200:
					require.NoError(t, e.Err)
				case 403:
					requireError(t, e.Err, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
				default:
					requireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
					require.ErrorContains(t, e.Err, tt.says)
					require.ErrorContains(t, e.Err, "Config.PathValue")
					require.NotContains(t, w.Body.String(), "PathValue")
				}
			}
			_, _, err := gate.Check(r, tt.need)
			require.Equal(t, events.only(t).Reason, bearergate.ReasonOf(err))
			require.Equal(t, bearergate.ReasonOf(err), bearergate.ReasonOf(gate.Explain(r, tt.need).Err))
			if tt.status == 500 {
				for _, wrap := range []func(http.Handler) http.Handler{gate.Require(tt.need), gate.Optional(tt.need)} {
					w := httptest.NewRecorder()
					wrap(says("document")).ServeHTTP(w, request("")) // as every mistake closes the route
					require.Equal(t, 500, w.Code)
					events.only(t)
				}
			}
		})
	}

	// ServeMux itself.
	gate := newGate(t, granting(), middleware.Config{})
	mux := http.NewServeMux()
	mux.Handle("GET /docs/{id...}", gate.Require(scope.Template("doc:{id}"))(says("document")))
	mux.Handle("GET /papers/{id}", gate.Require(scope.Template("doc:{ID}"))(says("document")))
	require.Equal(t, 200, ask(mux, "GET", "/docs/7", "doc:7").Code)
	require.Equal(t, 403, ask(mux, "GET", "/docs/", "doc:7").Code, "empty")
	require.Equal(t, 500, ask(mux, "GET", "/papers/7", "doc:7").Code, "another name")
	require.Equal(t, 500, ask(gate.Require(scope.Template("doc:{id}"))(mux), "GET", "/docs/7", "doc:7").Code, "in front of the router")
	rt := gate.NewRouter()
	rt.Handle("GET /docs/{id...}", scope.Template("doc:{id}"), says("document"))
	require.Equal(t, 403, ask(built(t, rt), "GET", "/docs/", "doc:7").Code)
}

// variables is where a router that knows nothing of PathValue keeps what it found.
type variables struct{}

func TestPathValueOfAnotherRouter(t *testing.T) {
	events := &log{}
	gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks(), PathValue: func(r *http.Request, name string) string {
		vars, _ := r.Context().Value(variables{}).(map[string]string)
		if vars[name] == "panic" {
			panic("s3cret")
		}
		return vars[name]
	}})
	need := scope.AnyOf(scope.All("admin"), scope.Template("doc:{tenant}:{id}"))
	for _, tt := range []struct {
		name   string
		vars   map[string]string
		scopes string
		kind   error
		reason bearergate.Reason
	}{
		{name: "its values", vars: map[string]string{"tenant": "a", "id": "7"}, scopes: "doc:a:7"},
		{name: "another document", vars: map[string]string{"tenant": "a", "id": "8"}, scopes: "doc:a:7", kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "empty", vars: map[string]string{"tenant": "a", "id": ""}, scopes: "doc:a:7", kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "empty, beside what suffices", vars: map[string]string{"tenant": "a"}, scopes: "admin"},
		{name: "decoded, and refused", vars: map[string]string{"tenant": "a", "id": "../7"}, scopes: "doc:a:7+doc:a:../7", kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "a panic, and then a value", vars: map[string]string{"tenant": "panic", "id": "7"}, scopes: "admin", kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "a value, and then a panic", vars: map[string]string{"tenant": "a", "id": "panic"}, scopes: "admin", kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), variables{}, tt.vars))
		r.SetPathValue("id", "7") // not asked any more
		r.SetPathValue("tenant", "a")
		r.Header.Set("Authorization", with(tt.scopes))
		_, _, err := gate.Check(r, need)
		if tt.kind == nil {
			require.NoError(t, err, tt.name)
		} else {
			requireError(t, err, tt.kind, tt.reason)
			require.NotContains(t, err.Error(), "s3cret")
		}
		e := events.only(t)
		require.Equal(t, tt.reason, e.Reason, tt.name)
		require.Equal(t, tt.reason == bearergate.ReasonInternal, e.Required.Placeholders() != nil, "%s: %v", tt.name, e.Required)
	}

	// The routes of a Router are chosen by its own ServeMux.
	rt := gate.NewRouter()
	rt.Handle("GET /t/{tenant}/docs/{id}", need, says("document"))
	require.Equal(t, 200, ask(built(t, rt), "GET", "/t/a/docs/7", "doc:a:7").Code)
	require.Equal(t, 403, ask(built(t, rt), "GET", "/t/a/docs/8", "doc:a:7").Code)
}

// A requirement on trial refuses nobody, and tells what is wrong with it.
func TestATrialWhosePlaceholdersNobodyKnows(t *testing.T) {
	events := &log{}
	gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks()})
	h := gate.Require(scope.All("read"), middleware.Trial(scope.Template("doc:{id}"), nil))(says("document"))
	require.Equal(t, 200, ask(h, "GET", "/docs/7", "read+doc:7").Code)
	e := events.only(t)
	require.NoError(t, e.Err)
	requireError(t, e.Trial.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
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
