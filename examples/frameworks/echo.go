package frameworks

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Echo is the recipe for echo: its WrapMiddleware hands on the request of the
// gate, and stops where the gate refuses. The token is in the context of the request.
func Echo(gate *middleware.Gate) http.Handler {
	e := echo.New()
	e.GET("/orders/:id", echoOrder, echo.WrapMiddleware(gate.Require(scope.All("orders:read"))))
	e.DELETE("/orders/:id", echoOrder, echo.WrapMiddleware(gate.Require(scope.All("orders:admin"))))
	e.GET("/documents/:id", echoOrder, EchoRequire(gate, document))
	return e
}

type echoKey struct{}

// EchoRequire is [middleware.Gate.Require] for echo, for requirements with a
// scope.Template: the gate sees the request only, so that has to know its echo.Context.
func EchoRequire(gate *middleware.Gate, need scope.Requirement, opts ...middleware.RouteOption) echo.MiddlewareFunc {
	require := echo.WrapMiddleware(gate.Require(need, opts...))
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		guarded := require(next)
		return func(c echo.Context) error {
			r := c.Request()
			c.SetRequest(r.WithContext(context.WithValue(r.Context(), echoKey{}, c)))
			return guarded(c)
		}
	}
}

// EchoPathValue is for the PathValue of a middleware.Config. It knows the variables of
// routes with [EchoRequire].
func EchoPathValue(r *http.Request, name string) string {
	c, ok := r.Context().Value(echoKey{}).(echo.Context)
	if !ok {
		return ""
	}
	return c.Param(name)
}

func echoOrder(c echo.Context) error {
	token, _ := bearergate.FromContext(c.Request().Context())
	return c.String(http.StatusOK, "for "+token.Subject())
}
