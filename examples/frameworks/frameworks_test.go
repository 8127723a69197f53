// Package frameworks shows the gate with routers that are not net/http's own.
// Each recipe is what to copy; the test around it runs it against real tokens.
package frameworks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
)

// order is an ordinary handler.
func order(w http.ResponseWriter, r *http.Request) {
	token, _ := bearergate.FromContext(r.Context())
	_, _ = io.WriteString(w, "for "+token.Subject())
}

func withChi(gate *middleware.Gate) http.Handler {
	r := chi.NewRouter()
	// chi's own Timeout writes to the same ResponseWriter: put it inside the gate.
	r.With(gate.Require(scope.All("orders:read"))).Get("/orders/{id}", order)
	r.Group(func(r chi.Router) {
		r.Use(gate.Require(scope.All("orders:admin")))
		r.Delete("/orders/{id}", order)
	})
	return r
}

func withGorilla(gate *middleware.Gate) http.Handler {
	r := mux.NewRouter()
	read, admin := gate.Require(scope.All("orders:read")), gate.Require(scope.All("orders:admin"))
	r.Handle("/orders/{id}", read(http.HandlerFunc(order))).Methods("GET")
	r.Handle("/orders/{id}", admin(http.HandlerFunc(order))).Methods("DELETE")
	return r
}

func withEcho(gate *middleware.Gate) http.Handler {
	e := echo.New()
	handler := func(c echo.Context) error {
		token, _ := bearergate.FromContext(c.Request().Context())
		return c.String(http.StatusOK, "for "+token.Subject())
	}
	e.GET("/orders/:id", handler, echo.WrapMiddleware(gate.Require(scope.All("orders:read"))))
	e.DELETE("/orders/:id", handler, echo.WrapMiddleware(gate.Require(scope.All("orders:admin"))))
	return e
}

func TestRecipes(t *testing.T) {
	as := authtest.New(t)
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	gate, err := middleware.New(v, middleware.Config{})
	require.NoError(t, err)
	reader := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})

	for name, api := range map[string]http.Handler{"chi": withChi(gate), "gorilla/mux": withGorilla(gate), "echo": withEcho(gate)} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(api)
			defer server.Close()
			for _, tt := range []struct {
				method, token string
				status        int
				challenge     string
			}{
				{"GET", reader, 200, ""},
				{"GET", "", 401, `Bearer realm="api"`},
				{"GET", reader[:len(reader)-4] + "AAAA", 401, `Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`},
				{"DELETE", reader, 403, `Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:admin"`},
			} {
				r, err := http.NewRequest(tt.method, server.URL+"/orders/7", nil)
				require.NoError(t, err)
				if tt.token != "" {
					r.Header.Set("Authorization", "Bearer "+tt.token)
				}
				res, err := server.Client().Do(r)
				require.NoError(t, err)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.Equal(t, tt.status, res.StatusCode)
				require.Equal(t, tt.challenge, res.Header.Get("WWW-Authenticate"))
				if tt.status == 200 {
					require.Equal(t, "for alice", string(body))
				}
			}
		})
	}
}
