package frameworks

import (
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
	return e
}

func echoOrder(c echo.Context) error {
	token, _ := bearergate.FromContext(c.Request().Context())
	return c.String(http.StatusOK, "for "+token.Subject())
}
