package frameworks

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Gin is the recipe for gin; what to copy is [GinRequire].
func Gin(gate *middleware.Gate) http.Handler {
	engine := gin.New()
	engine.GET("/orders/:id", GinRequire(gate, scope.All("orders:read")), ginOrder)
	engine.Group("/", GinRequire(gate, scope.All("orders:admin"))).DELETE("/orders/:id", ginOrder)
	engine.GET("/documents/:id", GinRequire(gate, document), ginOrder)
	return engine
}

type ginKey struct{}

// GinRequire is [middleware.Gate.Require] for gin.
//
// gin.WrapH is no substitute: gin runs the handlers of a chain one after the
// other, so what it wraps can neither keep the next one from running nor give it
// a request with the token. Here the rest of the chain runs inside the gate, and
// not at all unless the gate calls it; middleware.CancelOnExpiry then works too.
func GinRequire(gate *middleware.Gate, need scope.Requirement, opts ...middleware.RouteOption) gin.HandlerFunc {
	require := gate.Require(need, opts...)
	return func(c *gin.Context) {
		passed := false
		require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { // the writer is c.Writer
			passed = true
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request.WithContext(context.WithValue(c.Request.Context(), ginKey{}, c)))
		if !passed {
			c.Abort()
		}
	}
}

// GinPathValue is for the PathValue of a middleware.Config. It knows the variables of
// routes with [GinRequire].
func GinPathValue(r *http.Request, name string) string {
	c, ok := r.Context().Value(ginKey{}).(*gin.Context)
	if !ok {
		return ""
	}
	return c.Param(name)
}

// ginOrder asks the context of the request: a gin.Context is a context too, but
// looks there only if Engine.ContextWithFallback is set.
func ginOrder(c *gin.Context) {
	token, _ := bearergate.FromContext(c.Request.Context())
	c.String(http.StatusOK, "for "+token.Subject())
}
