package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func TestRoutes(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{Bindings: bindings(dpop(proven))}).NewRouter()
	require.Empty(t, rt.Routes())
	acr := []string{"a", "b"}
	rt.Group("h.example/x", scope.All("g")).Handle("POST /{id}", scope.All("read"), says(""), middleware.StepUp(acr, time.Minute), middleware.AuthContext("c1"), middleware.Via(granting()), middleware.CancelOnExpiry(),
		middleware.Recheck(time.Hour), middleware.Bound(), middleware.Allow(policy, policy), middleware.Allow(policy))
	rt.Public("/x/", says(""))
	rt.Public("\tGET", nil) // a mistake, which Handler reports
	rt.Public("PUT \t~h/", says(""))
	tried := scope.All("tried")
	rt.Authenticated("h~/z", says(""), middleware.Trial(tried, nil))
	routes := rt.Routes()
	require.Len(t, routes, 5)
	require.Equal(t, middleware.Route{Pattern: "\tGET", Host: "GET", Access: middleware.AccessPublic}, routes[0])
	require.Equal(t, middleware.Route{Pattern: "PUT \t~h/", Method: "PUT", Host: "~h", Path: "/", Access: middleware.AccessPublic}, routes[1])
	require.Equal(t, "/x/", routes[2].Pattern)
	require.Equal(t, middleware.AccessPublic, routes[2].Access)
	r := routes[3]
	require.Equal(t, []string{"POST h.example/x/{id}", "POST", "h.example", "/x/{id}"}, []string{r.Pattern, r.Method, r.Host, r.Path})
	require.Equal(t, []string{"g", "read"}, r.Required.Scopes())
	require.Equal(t, middleware.Route{Pattern: r.Pattern, Method: "POST", Host: "h.example", Path: "/x/{id}", Access: middleware.AccessToken, Required: r.Required,
		ACRValues: acr, MaxAge: time.Minute, AuthContext: "c1", Bound: true, Policies: 3, Via: true, CancelOnExpiry: true, Recheck: time.Hour}, r)
	r.ACRValues[0] = "changed"
	require.Equal(t, acr, rt.Routes()[3].ACRValues)
	require.Equal(t, middleware.Route{Pattern: "h~/z", Host: "h~", Path: "/z", Access: middleware.AccessToken, Trial: tried}, routes[4])

	// What the gate requires of every route shows in each that takes a token.
	rt = newGate(t, granting(), middleware.Config{Bindings: bindings(dpop(proven)), RequireBinding: true}).NewRouter()
	rt.Authenticated("/a", says(""))
	rt.Public("/b", says(""))
	require.True(t, rt.Routes()[0].Bound)
	require.False(t, rt.Routes()[1].Bound)
}

func policy(*http.Request, *bearergate.Token) error { return nil }

// The forms for functions do what those for handlers do.
func TestHandleFuncs(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	f := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	read := scope.All("read")
	rt.HandleFunc("/handle", read, f, middleware.CancelOnExpiry())
	rt.AuthenticatedFunc("/authenticated", f, middleware.CancelOnExpiry())
	rt.OptionalFunc("/optional", read, f, middleware.CancelOnExpiry())
	rt.PublicFunc("/public", f)
	group := rt.Group("/group", read)
	group.HandleFunc("/handle", scope.All("write"), f, middleware.CancelOnExpiry())
	group.AuthenticatedFunc("/authenticated", f, middleware.CancelOnExpiry())
	got := map[string]string{}
	for _, r := range rt.Routes() {
		got[r.Path] = string(r.Access) + " " + r.Required.String()
		require.Equal(t, r.Access != middleware.AccessPublic, r.CancelOnExpiry, r.Path)
	}
	require.Equal(t, map[string]string{"/handle": "token " + read.String(), "/authenticated": "token " + scope.Requirement{}.String(), "/optional": "optional " + read.String(),
		"/public": "public " + scope.Requirement{}.String(), "/group/handle": "token " + scope.AllOf(read, scope.All("write")).String(), "/group/authenticated": "token " + read.String()}, got)
	h := built(t, rt)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/public", nil))
	require.Equal(t, 204, w.Code)

	rt = newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.HandleFunc("/r", read, nil)
	rt.Group("/g", read).HandleFunc("/r", read, nil)
	_, err := rt.Handler()
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.ErrorContains(t, err, "handler is nil")
	require.Equal(t, 2, strings.Count(err.Error(), "routes_test.go:"), "where the user registered them: %v", err)
}
