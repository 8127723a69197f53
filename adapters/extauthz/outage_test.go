package extauthzgate_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// An issuer that does not answer, or answers nonsense, is never the client's fault: clients
// throw sessions away on 401. A public route does not notice.
func TestOutagesOfTheIssuer(t *testing.T) {
	claims := authtest.Claims{Subject: "u1", ClientID: "c1", Scopes: scope.Of("read")}
	kinds := []struct {
		name, path string
		reason     bearergate.Reason
		verifier   func(*testing.T, *authtest.Server) bearergate.Verifier
		token      func(*authtest.Server) string
	}{
		{name: "keys", path: "/jwks", reason: bearergate.ReasonKeysUnavailable,
			verifier: func(t *testing.T, as *authtest.Server) bearergate.Verifier {
				v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
				require.NoError(t, err)
				return v
			},
			token: func(as *authtest.Server) string { return as.Token(claims) }},
		{name: "introspection", path: "/introspect", reason: bearergate.ReasonIntrospectionUnavailable,
			verifier: func(t *testing.T, as *authtest.Server) bearergate.Verifier {
				v, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Auth: introspect.BasicAuth("api", "secret")})
				require.NoError(t, err)
				return v
			},
			token: func(as *authtest.Server) string { return as.Opaque(claims) }},
	}
	for _, kind := range kinds {
		for _, tt := range []struct {
			name    string
			fault   authtest.Fault
			timeout time.Duration // of the question; 0: none
		}{
			{name: "down", fault: authtest.Fault{Status: http.StatusBadGateway}},
			{name: "no connection", fault: authtest.Fault{Drop: true}},
			{name: "a page of a proxy", fault: authtest.Fault{ContentType: "text/html", Body: []byte("<html>")}},
			{name: "silent for longer than Envoy waits", fault: authtest.Fault{Hang: true}, timeout: 50 * time.Millisecond},
		} {
			t.Run(kind.name+"/"+tt.name, func(t *testing.T) {
				as := authtest.New(t)
				s := serverOf(t, confusion.Routes(gateOf(t, kind.verifier(t, as)), http.NotFoundHandler()))
				req := question(request("GET", "/orders/7", "Authorization: Bearer "+kind.token(as)), true)
				tt.fault.Path = kind.path
				as.Fail(tt.fault)
				ctx := t.Context()
				if tt.timeout > 0 {
					within, cancel := context.WithTimeout(ctx, tt.timeout)
					defer cancel()
					ctx = within
				}
				res := ask(ctx, t, s, req)
				requireDenied(t, res, http.StatusServiceUnavailable, kind.reason)
				header := headerOf(res.GetDeniedResponse().GetHeaders())
				require.NotEmpty(t, header.Get("Retry-After"))
				require.Empty(t, header.Get("WWW-Authenticate"))
				require.NotNil(t, ask(t.Context(), t, s, question(request("GET", "/public/x"), true)).GetOkResponse())
			})
		}
	}
}

// A question that no message of gRPC holds is an error of gRPC, which Envoy denies.
func TestAQuestionThatIsTooLargeForGRPC(t *testing.T) {
	client := dial(t, serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler())))
	req := question(request("GET", "/public/x"), true)
	require.NotNil(t, check(t, client, req).GetOkResponse())
	req.GetAttributes().GetRequest().GetHttp().RawBody = make([]byte, 5<<20)
	res, err := client.Check(t.Context(), req)
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.Nil(t, res)
}

// Many questions at once get their own answers.
func TestQuestionsAtOnce(t *testing.T) {
	client := dial(t, serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler())))
	want := map[string]int32{"read": 200, "write": 403, "": 401}
	var all sync.WaitGroup
	for range 30 {
		for scopes, status := range want {
			all.Go(func() {
				var lines []string
				if scopes != "" {
					lines = []string{"Authorization: " + kit.With(scopes), "X_Auth_Subject: root"}
				}
				res, err := client.Check(t.Context(), question(request("GET", "/orders/7", lines...), scopes == "read"))
				if !assert.NoError(t, err) {
					return
				}
				assert.EqualValues(t, status, res.GetDynamicMetadata().GetFields()["status"].GetNumberValue())
				if status == 200 {
					assert.Equal(t, "u1", headerOf(res.GetOkResponse().GetHeaders()).Get("X-Auth-Subject"))
				} else {
					assert.EqualValues(t, status, res.GetDeniedResponse().GetStatus().GetCode())
				}
			})
		}
	}
	all.Wait()
}
