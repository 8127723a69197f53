package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/policydoc"
	"github.com/bearergate/bearergate/scope"
)

func hello(w http.ResponseWriter, r *http.Request) {
	if token, ok := bearergate.FromContext(r.Context()); ok {
		fmt.Fprintf(w, "hello %s\n", token.Subject())
		return
	}
	fmt.Fprintln(w, "hello stranger")
}

// fetch prints the status and the body of a success.
func fetch(h http.Handler, method, path, token string) {
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Print(method, " ", path, ": ", w.Code)
	if w.Code == http.StatusOK {
		fmt.Print(" ", strings.TrimSpace(w.Body.String()))
	}
	fmt.Println()
}

// A proxy asks whether it may pass a request on.
func ExampleRouter_Decide() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gate.NewRouter()
	behind := http.NotFoundHandler() // the service behind the proxy: it is not run here
	router.Public("GET /health", behind)
	router.Handle("GET /orders/{id}", scope.All("orders:read"), behind)
	router.Handle("GET /users/{id}", scope.All("admin"), behind)

	for _, path := range []string{"/health", "/orders/7", "/users/7", "/users//7", "/debug"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer token-of-alice")
		d := router.Decide(r)
		if d.Err != nil {
			fmt.Println(path, "refused:", bearergate.ReasonOf(d.Err))
			continue
		}
		fmt.Println(path, "enters", d.Pattern)
	}
	// Output:
	// /health enters GET /health
	// /orders/7 enters GET /orders/{id}
	// /users/7 refused: scope
	// /users//7 refused: policy
	// /debug refused: policy
}

// Every route says what it takes to enter; what nothing was said about does not exist.
func ExampleGate_NewRouter() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gate.NewRouter()
	router.Public("GET /health", http.HandlerFunc(hello))
	router.Authenticated("GET /me", http.HandlerFunc(hello))
	router.Handle("GET /orders", scope.All("orders:read"), http.HandlerFunc(hello))
	router.Handle("GET /documents/{id}", scope.Template("document:read:{id}"), http.HandlerFunc(hello))

	admin := router.Group("/admin", scope.All("admin"), middleware.StepUp([]string{"urn:example:mfa"}, time.Hour))
	admin.Handle("DELETE /users/{id}", scope.Any("users:delete", "users:admin"), http.HandlerFunc(hello))

	handler, err := router.Handler()
	if err != nil {
		fmt.Println(err) // every mistake at once
		return
	}
	fetch(handler, "GET", "/health", "")
	fetch(handler, "GET", "/me", "token-of-bob")
	fetch(handler, "GET", "/orders", "token-of-alice")
	fetch(handler, "GET", "/orders", "token-of-bob")
	fetch(handler, "GET", "/documents/7", "token-of-bob")
	fetch(handler, "GET", "/documents/8", "token-of-bob")
	fetch(handler, "DELETE", "/admin/users/7", "token-of-alice")
	fetch(handler, "POST", "/orders", "token-of-alice")
	fetch(handler, "GET", "/forgotten", "token-of-alice")
	fmt.Print(policydoc.Markdown(router.Routes()))
	// Output:
	// GET /health: 200 hello stranger
	// GET /me: 200 hello bob
	// GET /orders: 200 hello alice
	// GET /orders: 403
	// GET /documents/7: 200 hello bob
	// GET /documents/8: 403
	// DELETE /admin/users/7: 401
	// POST /orders: 405
	// GET /forgotten: 404
	// | Method | Path | Access | Scopes | Beyond scopes |
	// |---|---|---|---|---|
	// | DELETE | `/admin/users/{id}` | token | `admin and (users:delete or users:admin)` | acr `urn:example:mfa`, authenticated within 1h0m0s |
	// | GET | `/documents/{id}` | token | `document:read:{id}` |  |
	// | GET | `/health` | public |  |  |
	// | GET | `/me` | token | any token |  |
	// | GET | `/orders` | token | `orders:read` |  |
}

// One handler for strangers and for users. Who sends a token has to send a good one.
func ExampleGate_Optional() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	news := gate.Optional(scope.Requirement{})(http.HandlerFunc(hello))
	fetch(news, "GET", "/news", "")
	fetch(news, "GET", "/news", "token-of-alice")
	fetch(news, "GET", "/news", "stolen-long-ago")
	// Output:
	// GET /news: 200 hello stranger
	// GET /news: 200 hello alice
	// GET /news: 401
}

// Clients that know nothing but the URL of the API find its authorization server.
func ExampleRouter_Metadata() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{Resource: "https://api.example.com/v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gate.NewRouter()
	router.Metadata(middleware.Metadata{AuthorizationServers: []string{"https://as.example.com"}})
	router.Handle("GET /v1/orders", scope.All("orders:read"), http.HandlerFunc(hello))
	handler, err := router.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/v1/orders", nil))
	fmt.Println(w.Header().Get("WWW-Authenticate"))
	w = httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource/v1", nil))
	fmt.Print(w.Body)
	// Output:
	// Bearer realm="api", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/v1"
	// {
	//   "authorization_servers": [
	//     "https://as.example.com"
	//   ],
	//   "bearer_methods_supported": [
	//     "header"
	//   ],
	//   "resource": "https://api.example.com/v1",
	//   "scopes_supported": [
	//     "orders:read"
	//   ]
	// }
}

// A page for browsers; everybody else gets application/problem+json.
func ExampleConfig_render() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{
		Render: func(r *http.Request, refusal middleware.Refusal) (string, []byte) {
			if !strings.Contains(r.Header.Get("Accept"), "text/html") {
				return "", nil
			}
			return "text/html; charset=utf-8", []byte("<p>" + refusal.Detail + "</p>\n")
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	gate.Require(scope.All("orders:read"))(http.HandlerFunc(hello)).ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output: 401 <p>A bearer token is required.</p>
}

// What a route sends before its token expires; a client then comes back with a new one.
func ExampleCancelOnExpiry() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	events := gate.Require(scope.All("orders:read"), middleware.CancelOnExpiry())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 2 {
			select {
			case <-r.Context().Done(): // the client left, or its token expired
				return
			case <-time.After(time.Millisecond):
				fmt.Fprint(w, "data: tick\n\n")
			}
		}
	}))
	fetch(events, "GET", "/events", "token-of-alice")
	// Output:
	// GET /events: 200 data: tick
	//
	// data: tick
}

// Routers of other packages take what Require returns, since it is an ordinary
// func(http.Handler) http.Handler:
//
//	chi:      r.With(gate.Require(scope.All("orders:read"))).Get("/orders", orders)
//	chi:      r.Route("/admin", func(r chi.Router) { r.Use(gate.Require(scope.All("admin"))); … })
//	gorilla:  r.Handle("/orders", gate.Require(scope.All("orders:read"))(orders)).Methods("GET")
//	gorilla:  sub := r.PathPrefix("/admin").Subrouter(); sub.Use(gate.Require(scope.All("admin")))
//	echo:     e.GET("/orders", orders, echo.WrapMiddleware(gate.Require(scope.All("orders:read"))))
//
// Whether a middleware of theirs runs for a request that no route matches, and
// for which methods, is theirs to say. A scope.Template is filled where
// r.PathValue knows the wildcard: chi sets it; for the others, call SetPathValue
// in a middleware in front of the gate.
//
// Here a router of a few lines stands for them.
func ExampleGate_Require_otherRouters() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var router otherRouter
	router.Use(gate.Require(scope.Template("document:read:{id}")), func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.SetPathValue("id", strings.TrimPrefix(r.URL.Path, "/documents/"))
			next.ServeHTTP(w, r)
		})
	})
	handler := router.Wrap(http.HandlerFunc(hello))
	fetch(handler, "GET", "/documents/7", "token-of-bob")
	fetch(handler, "GET", "/documents/8", "token-of-bob")
	// Output:
	// GET /documents/7: 200 hello bob
	// GET /documents/8: 403
}

// otherRouter collects middlewares, the innermost first.
type otherRouter struct {
	middlewares []func(http.Handler) http.Handler
}

func (o *otherRouter) Use(m ...func(http.Handler) http.Handler) {
	o.middlewares = append(o.middlewares, m...)
}

func (o *otherRouter) Wrap(h http.Handler) http.Handler {
	for _, m := range o.middlewares {
		h = m(h)
	}
	return h
}
