package frameworks

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Chi is the recipe for chi: a gate is a middleware as it is.
func Chi(gate *middleware.Gate) http.Handler {
	r := chi.NewRouter()
	// chi's own Timeout writes to the same ResponseWriter: put it inside the gate.
	r.With(gate.Require(scope.All("orders:read"))).Get("/orders/{id}", order)
	r.With(gate.Require(document)).Get("/documents/{id}", order)
	r.Group(func(r chi.Router) {
		r.Use(gate.Require(scope.All("orders:admin")))
		r.Delete("/orders/{id}", order)
	})
	return r
}
