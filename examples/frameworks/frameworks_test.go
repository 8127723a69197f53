package frameworks_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/frameworks"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func init() { gin.SetMode(gin.TestMode) } // keeps it from printing its routes

// recipes are those that serve GET and DELETE /orders/{id}.
var recipes = map[string]func(*middleware.Gate) (http.Handler, error){
	"net/http: Router":   frameworks.Router,
	"net/http: ServeMux": sure(frameworks.ServeMux),
	"chi":                sure(frameworks.Chi),
	"gorilla/mux":        sure(frameworks.Gorilla),
	"echo":               sure(frameworks.Echo),
	"gin":                sure(frameworks.Gin),
}

func sure(recipe func(*middleware.Gate) http.Handler) func(*middleware.Gate) (http.Handler, error) {
	return func(gate *middleware.Gate) (http.Handler, error) { return recipe(gate), nil }
}

// startAS starts an authorization server on TCP, where the recipes look for it.
func startAS(t *testing.T) *authtest.Server {
	return authtest.New(t, authtest.WithAddr("127.0.0.1:0"), authtest.WithAudience(frameworks.Audience))
}

// startAPI starts a recipe whose tokens as issues.
func startAPI(t *testing.T, as *authtest.Server, config middleware.Config, recipe func(*middleware.Gate) (http.Handler, error)) *httptest.Server {
	gate, err := frameworks.Gate(as.Issuer(), config)
	require.NoError(t, err)
	handler, err := recipe(gate)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true // for gRPC
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func TestRecipes(t *testing.T) {
	as, down := startAS(t), startAS(t)
	down.Fail(authtest.Fault{Status: http.StatusServiceUnavailable})
	reader := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
	admin := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:admin")})
	unchecked := down.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
	forged := reader[:len(reader)-4] + "AAAA"

	for name, recipe := range recipes {
		t.Run(name, func(t *testing.T) {
			up, cut := startAPI(t, as, middleware.Config{}, recipe), startAPI(t, down, middleware.Config{}, recipe)
			for _, tt := range []struct {
				name          string
				api           *httptest.Server
				method        string
				authorization []string
				status        int
				challenge     string
			}{
				{"a token", up, "GET", []string{"Bearer " + reader}, 200, ""},
				{"a token for more", up, "DELETE", []string{"Bearer " + admin}, 200, ""},
				{"no token", up, "GET", nil, 401, `Bearer realm="api"`},
				{"two tokens", up, "GET", []string{"Bearer " + reader, "Bearer " + reader}, 400,
					`Bearer realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."`},
				{"a forged token", up, "GET", []string{"Bearer " + forged}, 401,
					`Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`},
				{"too few scopes", up, "DELETE", []string{"Bearer " + reader}, 403,
					`Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:admin"`},
				{"an outage", cut, "GET", []string{"Bearer " + unchecked}, 503, ""},
			} {
				t.Run(tt.name, func(t *testing.T) {
					r, err := http.NewRequestWithContext(t.Context(), tt.method, tt.api.URL+"/orders/7", nil)
					require.NoError(t, err)
					r.Header["Authorization"] = tt.authorization
					res, err := tt.api.Client().Do(r)
					require.NoError(t, err)
					body, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					require.NoError(t, res.Body.Close())

					require.Equal(t, tt.status, res.StatusCode)
					require.Equal(t, tt.challenge, res.Header.Get("WWW-Authenticate"))
					requireRetryAfter(t, tt.status == 503, res.Header)
					if tt.status == 200 {
						require.Equal(t, "for alice", string(body))
						return
					}
					require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
					require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
					var problem struct{ Status int }
					require.NoError(t, json.Unmarshal(body, &problem), "more than the refusal was written: %s", body)
					require.Equal(t, tt.status, problem.Status)
				})
			}
		})
	}
}

// A document is opened by the scope with its ID, which the gate takes from the path.
func TestTemplates(t *testing.T) {
	as := startAS(t)
	seven := "Bearer " + as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("documents:7")})
	pathValues := map[string]func(*http.Request, string) string{
		"gorilla/mux": frameworks.GorillaPathValue,
		"echo":        frameworks.EchoPathValue,
		"gin":         frameworks.GinPathValue,
	}
	for name, recipe := range recipes {
		t.Run(name, func(t *testing.T) {
			var reason atomic.Value
			config := middleware.Config{Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { reason.Store(e.Reason) }}}
			status := func(api *httptest.Server, path, authorization string) int {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL+path, nil)
				require.NoError(t, err)
				r.Header.Set("Authorization", authorization)
				res, err := api.Client().Do(r)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				return res.StatusCode
			}
			if pathValues[name] != nil {
				api := startAPI(t, as, config, recipe)
				require.Equal(t, 500, status(api, "/documents/7", seven), "nothing tells the gate what id is")
				require.Equal(t, bearergate.ReasonConfig, reason.Load())
				require.Equal(t, 403, status(api, "/orders/7", seven), "other routes do not mind")
			}
			config.PathValue = pathValues[name]
			api := startAPI(t, as, config, recipe)
			for _, tt := range []struct {
				path, authorization string
				status              int
				reason              bearergate.Reason
			}{
				{"/documents/7", seven, 200, ""},
				{"/documents/8", seven, 403, bearergate.ReasonScope},
				{"/documents/7%20", seven, 403, bearergate.ReasonScope},
				{"/documents/7?id=7", seven, 200, ""},
				{"/documents/8?id=7", seven, 403, bearergate.ReasonScope},
				{"/documents/7", "", 401, bearergate.ReasonNoToken},
			} {
				require.Equal(t, tt.status, status(api, tt.path, tt.authorization), tt.path)
				require.Equal(t, tt.reason, reason.Load(), tt.path)
			}
		})
	}
}

// The rest of gin's chain runs inside the gate, or not at all.
func TestGinChain(t *testing.T) {
	as := startAS(t)
	var ran atomic.Int32
	api := startAPI(t, as, middleware.Config{}, func(gate *middleware.Gate) (http.Handler, error) {
		engine := gin.New()
		engine.Use(frameworks.GinRequire(gate, scope.All("orders:read"), middleware.CancelOnExpiry()))
		engine.Use(func(*gin.Context) { ran.Add(1) })
		engine.GET("/orders", func(c *gin.Context) {
			ran.Add(1)
			if c.Request.Context().Err() != nil {
				c.Status(http.StatusTeapot) // the gate has returned, and ended the context
				return
			}
			c.Status(http.StatusNoContent)
		})
		return engine, nil
	})
	get := func(authorization string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL+"/orders", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", authorization)
		res, err := api.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	require.Equal(t, 401, get(""))
	require.Equal(t, 401, get("Bearer x.y.z"))
	require.Equal(t, 403, get("Bearer "+as.Token(authtest.Claims{})))
	require.Zero(t, ran.Load())
	require.Equal(t, 204, get("Bearer "+as.Token(authtest.Claims{Scopes: scope.Of("orders:read")})))
	require.EqualValues(t, 2, ran.Load())
}

// requireRetryAfter asserts that there is a Retry-After of 1 to 60 seconds, or none.
func requireRetryAfter(t *testing.T, wanted bool, header http.Header) {
	t.Helper()
	if wanted {
		require.Regexp(t, `^([1-9]|[1-5][0-9]|60)$`, header.Get("Retry-After"))
	} else {
		require.Empty(t, header.Values("Retry-After"))
	}
}
