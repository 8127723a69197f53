package frameworks

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Gorilla is the recipe for gorilla/mux. A Subrouter takes a gate with Use, for
// all of its routes.
func Gorilla(gate *middleware.Gate) http.Handler {
	read, admin := gate.Require(scope.All("orders:read")), gate.Require(scope.All("orders:admin"))
	r := mux.NewRouter()
	r.Handle("/orders/{id}", read(http.HandlerFunc(order))).Methods(http.MethodGet)
	r.Handle("/orders/{id}", admin(http.HandlerFunc(order))).Methods(http.MethodDelete)
	r.Handle("/documents/{id}", gate.Require(document)(http.HandlerFunc(order))).Methods(http.MethodGet)
	return r
}

// GorillaPathValue is for the PathValue of a middleware.Config: gorilla/mux does not set
// that of the request.
func GorillaPathValue(r *http.Request, name string) string { return mux.Vars(r)[name] }
