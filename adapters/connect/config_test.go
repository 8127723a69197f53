package connectgate_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	connectgate "github.com/bearergate/bearergate/adapters/connect"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := connectgate.New(nil, connectgate.Config{Domain: "a b", Gate: middleware.Config{Realm: `a"b`}})
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, mistake := range []string{"connectgate: ", `Config.Domain: "a b"`, "the verifier is nil", "Config.Realm: byte 0x22"} {
		require.ErrorContains(t, err, mistake)
	}
}

func TestHandlerNamesEveryMistake(t *testing.T) {
	gate, err := connectgate.New(answers(nil, nil), connectgate.Config{})
	require.NoError(t, err)
	for _, name := range []string{"", "/", "/a.B", "/a.B/", "a.B/M", "//M", "/a.B/C/D", "/a.B/{M}", "/a.B/M{$}", "/a B/M", "/a.B/M ", "/{a}/M", "/a.B/*M", "/*/M", "/a.B/ä", "POST /a.B/M"} {
		gate.Authenticated(name)
	}
	gate.Public("/a.C/*")
	gate.Handle("/a.B/Zero", scope.Requirement{})
	gate.Handle("/a.B/Template", scope.Template("read:{id}"))
	gate.Handle("/a.B/Twice", scope.All("x"))
	gate.Public("/a.B/Twice")
	gate.Authenticated("/a.B/Option", nil)
	_, err = gate.Handler(nil)
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, mistake := range []string{
		"the service is nil", `"": use the full name`, `"/": use the full name`, `"/a.B": use the full name`, `"/a.B/": use the full name`, `"a.B/M": use the full name`,
		`"//M": use the full name`, `"/a.B/C/D": use the full name`, `"/a.B/{M}": use the full name`, `"/a.B/M{$}": use the full name`, `"/a B/M": use the full name`,
		`"/a.B/M ": use the full name`, `"/{a}/M": use the full name`, `"/a.B/*M": use the full name`, `"/*/M": use the full name`, `"/a.B/ä": use the full name`,
		`"POST /a.B/M": use the full name`, `"/a.C/*": a service cannot be public as a whole`,
		`"/a.B/Zero": the requirement is zero`, `"/a.B/Template": the requirement has the placeholder {id}`, "/a.B/Twice", "/a.B/Option",
	} {
		require.ErrorContains(t, err, mistake)
	}

	gate, err = connectgate.New(answers(nil, nil), connectgate.Config{})
	require.NoError(t, err)
	_, err = gate.Handler(http.NotFoundHandler())
	require.NoError(t, err)
	_, err = gate.Handler(http.NotFoundHandler())
	require.ErrorContains(t, err, "Handler was called before")
}

func TestNilAndZeroGate(t *testing.T) {
	for _, gate := range []*connectgate.Gate{nil, {}} {
		gate.Handle(get, scope.All("read"))
		gate.Authenticated(list)
		gate.Public(health)
		require.Empty(t, gate.Routes())
		_, err := gate.Handler(http.NotFoundHandler())
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		_, _, err = gate.Metadata(middleware.Metadata{})
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		requireRefused(t, gate.Refuse(t.Context(), bearergate.ErrInvalidToken), connect.CodeUnauthenticated, "INVALID_TOKEN")

		s := new(service)
		server := httptest.NewServer(s.mux(connect.WithInterceptors(gate.Interceptor())))
		for _, procedure := range []string{get, watch, health} {
			_, err := ask(t, connect.NewClient[message, message](server.Client(), server.URL+procedure), procedure, "Bearer x")
			requireRefused(t, err, connect.CodeInternal, "MISCONFIGURED")
		}
		require.Zero(t, s.count())
		server.Close()
	}
}

// A service as a whole, and a procedure of it that is named by itself.
func TestServices(t *testing.T) {
	gate, err := connectgate.New(answers(reader(nil), nil), connectgate.Config{Domain: "orders.example.com"})
	require.NoError(t, err)
	gate.Handle("/orders.v1.Orders/*", scope.All("read"))
	gate.Handle(pay, scope.All("pay"))
	server := serve(t, gate, new(service))
	for procedure, reason := range map[string]string{get: "", hidden: "", watch: "", pay: "INSUFFICIENT_SCOPE"} {
		got, err := ask(t, wires[0].client(t, server, procedure), procedure, "Bearer x")
		if reason == "" {
			require.NoError(t, err)
			require.Equal(t, "alice", got)
			continue
		}
		_, info := requireRefused(t, err, connect.CodePermissionDenied, reason)
		require.Equal(t, "orders.example.com", info.GetDomain())
	}
	_, err = ask(t, wires[0].client(t, server, "/orders.v1.Other/Get"), get, "Bearer x")
	requireRefused(t, err, connect.CodeUnimplemented, "METHOD_NOT_LISTED")
	routes := gate.Routes()
	require.Len(t, routes, 2)
	require.Equal(t, pay, routes[0].Pattern)
	require.Equal(t, "/orders.v1.Orders/{procedure}", routes[1].Pattern)
}

func TestMetadata(t *testing.T) {
	gate, err := connectgate.New(answers(nil, bearergate.ErrInvalidToken), connectgate.Config{Gate: middleware.Config{Resource: "https://api.example.com"}})
	require.NoError(t, err)
	gate.Authenticated(get)
	pattern, _, err := gate.Metadata(middleware.Metadata{})
	require.NoError(t, err)
	require.Equal(t, "GET /.well-known/oauth-protected-resource", pattern)
	_, err = ask(t, wires[0].client(t, serve(t, gate, new(service)), get), get)
	refused, _ := requireRefused(t, err, connect.CodeUnauthenticated, "MISSING_TOKEN")
	require.Equal(t, `Bearer realm="api", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`, refused.Meta().Get("WWW-Authenticate"))
}
