package frameworks

import (
	"net/http"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Router is the recipe for a service of its own: every route says what it takes,
// and a mistake in any of them is an error at start.
func Router(gate *middleware.Gate) (http.Handler, error) {
	router := gate.NewRouter()
	router.Handle("GET /orders/{id}", scope.All("orders:read"), http.HandlerFunc(order))
	router.Handle("DELETE /orders/{id}", scope.All("orders:admin"), http.HandlerFunc(order))
	router.Handle("GET /documents/{id}", document, http.HandlerFunc(order))
	return router.Handler()
}

// ServeMux is the recipe for an http.ServeMux that exists already.
func ServeMux(gate *middleware.Gate) http.Handler {
	read, admin := gate.Require(scope.All("orders:read")), gate.Require(scope.All("orders:admin"))
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", read(http.HandlerFunc(order)))
	mux.Handle("DELETE /orders/{id}", admin(http.HandlerFunc(order)))
	mux.Handle("GET /documents/{id}", gate.Require(document)(http.HandlerFunc(order)))
	return mux
}
