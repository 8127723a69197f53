// Package frameworks shows the gate with net/http, chi, gin, echo, gorilla/mux and
// connect-go. Each file is a recipe to copy, with [Gate] for the first lines; the
// test sends the same requests to all of them, with real tokens over real HTTP.
//
// All but connect-go, whose procedures have a gate of their own, protect three routes: orders are read with the scope orders:read and
// deleted with orders:admin, and a document is read with a scope of its own, such as
// documents:7. For that, the gate reads a variable of the path. net/http and chi tell it
// by themselves; for the others, [Gate] takes a middleware.Config with a PathValue:
// [GorillaPathValue], [EchoPathValue], [GinPathValue]. In each of these routers a route without a gate is
// open; only the Router of package middleware has no such routes, unless they are
// called Public.
//
// To protect a service that cannot be changed, put a gateway in front of it: see
// examples/gateway.
package frameworks

import (
	"io"
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Audience is the name of the API in the aud of its tokens.
const Audience = "https://orders.example.com"

// Gate returns the gate that all recipes use. Make one at start, and share it.
func Gate(issuer string, config middleware.Config) (*middleware.Gate, error) {
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{Audience}})
	if err != nil {
		return nil, err
	}
	return middleware.New(verifier, config)
}

// document is what it takes to read one: the scope that has its ID.
var document = scope.Template("documents:{id}")

// order is an ordinary handler.
func order(w http.ResponseWriter, r *http.Request) {
	token, _ := bearergate.FromContext(r.Context())
	_, _ = io.WriteString(w, "for "+token.Subject())
}
