package middleware_test

import (
	"testing"
	"time"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

func TestRoutes(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	require.Empty(t, rt.Routes())
	acr := []string{"a", "b"}
	rt.Group("h.example/x", scope.All("g")).Handle("POST /{id}", scope.All("read"), says(""), middleware.StepUp(acr, time.Minute), middleware.Via(granting()), middleware.CancelOnExpiry())
	rt.Public("/x/", says(""))
	rt.Public("\tGET", nil) // a mistake, which Handler reports
	rt.Public("PUT \t~h/", says(""))
	routes := rt.Routes()
	require.Len(t, routes, 4)
	require.Equal(t, middleware.Route{Pattern: "\tGET", Host: "GET", Access: middleware.AccessPublic}, routes[0])
	require.Equal(t, middleware.Route{Pattern: "PUT \t~h/", Method: "PUT", Host: "~h", Path: "/", Access: middleware.AccessPublic}, routes[1])
	require.Equal(t, "/x/", routes[2].Pattern)
	require.Equal(t, middleware.AccessPublic, routes[2].Access)
	r := routes[3]
	require.Equal(t, []string{"POST h.example/x/{id}", "POST", "h.example", "/x/{id}"}, []string{r.Pattern, r.Method, r.Host, r.Path})
	require.Equal(t, []string{"g", "read"}, r.Required.Scopes())
	require.Equal(t, middleware.Route{Pattern: r.Pattern, Method: "POST", Host: "h.example", Path: "/x/{id}", Access: middleware.AccessToken, Required: r.Required,
		ACRValues: acr, MaxAge: time.Minute, Via: true, CancelOnExpiry: true}, r)
	r.ACRValues[0] = "changed"
	require.Equal(t, acr, rt.Routes()[3].ACRValues)
}
