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

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// That a query has a parameter access_token is told by its name alone, whatever else the
// request carries, and nobody reads it.
func TestATokenInTheQueryIsTold(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
	for _, tt := range []struct {
		name  string
		query string
		told  bool
	}{
		{name: "no query"},
		{name: "alone", query: "access_token=" + secret, told: true},
		{name: "among others", query: "page=2&access_token=" + secret + "&x=y", told: true},
		{name: "last", query: "page=2&access_token=" + secret, told: true},
		{name: "twice", query: "access_token=" + secret + "&access_token=" + secret, told: true},
		{name: "empty", query: "access_token=", told: true},
		{name: "without a value", query: "access_token", told: true},
		{name: "behind a semicolon", query: "page=2;access_token=" + secret, told: true},
		{name: "behind a parameter that nobody can decode", query: "%zz=%&access_token=" + secret, told: true},
		{name: "percent-encoded", query: "%61ccess%5Ftoken=" + secret, told: true},
		{name: "wholly percent-encoded", query: "%61%63%63%65%73%73%5f%74%6f%6b%65%6e=" + secret, told: true},
		{name: "the last letter percent-encoded, and nothing behind it", query: "access_toke%6e", told: true},
		{name: "behind an empty parameter", query: "&access_token=" + secret, told: true},
		{name: "behind a tilde", query: "page=2~access_token=" + secret},
		{name: "a letter of the name, and no hexadecimal digit behind it", query: "%azccess_token=x"},
		{name: "letters and a sign that are no hexadecimal digits", query: "acce%6js_token=x&acce%6Js_token=x&%m1ccess_token=x&%M1ccess_token=x&access_%'4oken=x&ac%6:ess_token=x"},
		{name: "another case", query: "Access_Token=" + secret},
		{name: "a longer name", query: "access_token2=" + secret},
		{name: "a shorter name", query: "access_toke=" + secret},
		{name: "a name that ends so", query: "my_access_token=" + secret},
		{name: "as a value", query: "kind=access_token"},
		{name: "in a value", query: "next=%26access_token%3D" + secret},
		{name: "bad escapes", query: "%6Gccess_token=x&access_toke%6=x&access_token%=x&%"},
		{name: "an escape that is cut off", query: "access_toke%6"},
		{name: "encoded twice", query: "%2561ccess_token=" + secret},
		{name: "separators alone", query: "&&;&"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks()})
			for _, header := range []string{"", with("read"), with("other"), "Bearer " + "bad token"} {
				for access, wrap := range map[string]func(http.Handler) http.Handler{
					"required": gate.Require(scope.All("read")), "optional": gate.Optional(scope.All("read")),
				} {
					r := httptest.NewRequest("GET", "/?"+tt.query, nil)
					r.URL.RawQuery = tt.query
					if header != "" {
						r.Header.Set("Authorization", header)
					}
					w := httptest.NewRecorder()
					wrap(says("document")).ServeHTTP(w, r)
					e := events.only(t)
					require.Equal(t, tt.told, e.QueryToken, "%s, %q", access, header)
					require.NotContains(t, fmt.Sprintf("%+v %+v %v", e, e.Err, w.Header()), secret)
					require.NotContains(t, fmt.Sprintf("%#v", e), secret)
					if header == "" && access == "required" {
						require.Equal(t, 401, w.Code, "it opens nothing")
						require.Empty(t, e.Source)
					}
				}
			}
		})
	}
	// A request that was put together by hand has no URL.
	events := &log{}
	_, _, err := newGate(t, granting(), middleware.Config{Hooks: events.hooks()}).Check(&http.Request{Method: "GET"}, scope.Requirement{})
	require.Error(t, err)
	require.False(t, events.only(t).QueryToken)
}

// A proxy that asks is told of the query that the client has sent.
func TestATokenInTheQueryOfADecision(t *testing.T) {
	events := &log{}
	rt := newGate(t, granting(), middleware.Config{Hooks: events.hooks()}).NewRouter()
	rt.Handle("GET /docs/{id}", scope.All("read"), says("document"))
	r := httptest.NewRequest("GET", "/docs/7?access_token=x", nil)
	r.Header.Set("Authorization", with("read"))
	require.NoError(t, rt.Decide(r).Err)
	require.True(t, events.only(t).QueryToken)
}

// What is looked for in every query costs no memory.
func TestLookingIntoAQueryAllocatesNothing(t *testing.T) {
	seen := false
	gate := newGate(t, granting(), middleware.Config{Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { seen = seen || e.QueryToken }}})
	measure := func(query string) float64 {
		r := bearer("GET", with("read")[len("Bearer "):])
		r.URL.RawQuery = query
		return testing.AllocsPerRun(100, func() { _, _, _ = gate.Check(r, scope.Requirement{}) })
	}
	bare := measure("")
	require.False(t, seen)
	for _, query := range []string{"page=2&per_page=100&sort=%2Dcreated", "a=b&access_token=x", strings.Repeat("%61=b&", 1000)} {
		require.Equal(t, bare, measure(query), "%.40s", query)
	}
	require.True(t, seen)
}

// It finds what url.ParseQuery finds, and what that leaves out.
func FuzzATokenInTheQuery(f *testing.F) {
	for _, s := range []string{"access_token=x", "a=b&access_token", "%61ccess_token=1", "a;access_token=1", "%", "access+token", "access_token%00=1"} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, query string) {
		events := &log{}
		gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks()})
		_, _, _ = gate.Check(&http.Request{Method: "GET", URL: &url.URL{Path: "/", RawQuery: query}}, scope.Requirement{})
		told := events.only(t).QueryToken
		values, _ := url.ParseQuery(query)
		if values.Has("access_token") {
			require.True(t, told)
		}
		if told && !strings.Contains(query, ";") {
			// Each part by itself: ParseQuery leaves out the whole of one whose value is broken.
			found := false
			for part := range strings.SplitSeq(query, "&") {
				name, _, _ := strings.Cut(part, "=")
				name, err := url.QueryUnescape(name)
				found = found || err == nil && name == "access_token"
			}
			require.True(t, found)
		}
	})
}
