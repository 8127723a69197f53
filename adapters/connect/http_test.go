package connectgate_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	connectgate "github.com/bearergate/bearergate/adapters/connect"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// A procedure without side effects may be called by GET, with the message in the query, and
// asks for the same token; no other may, and no token is taken from there.
func TestGET(t *testing.T) {
	as, v := issuer(t)
	token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read")})
	s := new(service)
	server := serve(t, newGate(t, v, middleware.Config{}), s)
	c := wires[0].client(t, server, list, connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	got, err := ask(t, c, list, "Bearer "+token)
	require.NoError(t, err)
	require.Equal(t, "alice", got)
	_, err = ask(t, c, list)
	refused, _ := requireRefused(t, err, connect.CodeUnauthenticated, "MISSING_TOKEN")
	require.Equal(t, `Bearer realm="api"`, refused.Meta().Get("WWW-Authenticate"))
	require.Equal(t, 1, s.count())

	message := base64.RawURLEncoding.EncodeToString([]byte("\n\x017"))
	for _, row := range []struct {
		name, method, target, authorization string
		status                              int
		runs                                int
	}{
		{name: "by hand", method: "GET", target: list + "?connect=v1&encoding=proto&base64=1&message=" + message, authorization: "Bearer " + token, status: 200, runs: 1},
		{name: "a token in the query", method: "GET", target: list + "?connect=v1&encoding=proto&base64=1&message=" + message + "&access_token=" + token, status: 401},
		{name: "an Authorization in the query", method: "GET", target: list + "?connect=v1&encoding=proto&message=&Authorization=Bearer+" + token, status: 401},
		{name: "without saying that it is Connect", method: "GET", target: list, status: 401},
		{name: "a procedure with side effects, no token", method: "GET", target: get + "?connect=v1&encoding=proto&message=", status: 401},
		{name: "a procedure with side effects", method: "GET", target: get + "?connect=v1&encoding=proto&base64=1&message=" + message, authorization: "Bearer " + token, status: 405},
		{name: "HEAD, no token", method: "HEAD", target: list + "?connect=v1&encoding=proto&message=", status: 401},
		{name: "a method of its own, no token", method: "get", target: list, status: 401},
		{name: "PUT, no token", method: "PUT", target: get, status: 401},
		{name: "an encoded letter, no token", method: "GET", target: "/orders.v1.Orders/%4cist?connect=v1&encoding=proto&message=", status: 401},
		{name: "an encoded slash", method: "GET", target: "/orders.v1.Orders%2fList?connect=v1&encoding=proto&message=", authorization: "Bearer " + token, status: 501},
		{name: "a dot segment", method: "GET", target: "/orders.v1.Orders/Health/../List?connect=v1&encoding=proto&message=", status: 501},
		{name: "a public procedure in front", method: "GET", target: "/orders.v1.Orders/Health/..%2fList?connect=v1&encoding=proto&message=", status: 501},
		{name: "a semicolon", method: "POST", target: health + ";/../Get", status: 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := s.count()
			r, err := http.NewRequestWithContext(t.Context(), row.method, server.URL, nil)
			require.NoError(t, err)
			path, query, _ := strings.Cut(row.target, "?")
			r.URL.Opaque, r.URL.RawQuery = path, query // as it is
			if row.authorization != "" {
				r.Header.Set("Authorization", row.authorization)
			}
			res, err := server.Client().Transport.RoundTrip(r) // no redirect is followed
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, row.status, res.StatusCode, "%s", body)
			require.Equal(t, before+row.runs, s.count())
			if row.status == 401 {
				require.NotEmpty(t, res.Header.Get("WWW-Authenticate"))
				require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			}
			require.NotContains(t, string(body), token)
		})
	}
}

// What belongs to none of the protocols is answered by the middleware.
func TestOtherRequests(t *testing.T) {
	gate, err := connectgate.New(answers(nil, bearergate.ErrInvalidToken), connectgate.Config{Gate: middleware.Config{
		Render: func(_ *http.Request, refused middleware.Refusal) (string, []byte) {
			return "text/plain", []byte("sorry: " + refused.Name)
		}}})
	require.NoError(t, err)
	gate.Authenticated(get)
	server := serve(t, gate, new(service))
	for _, row := range []struct {
		kind, body, accept string
		status             int
	}{
		{kind: "text/plain", body: "sorry: MISSING_TOKEN", status: 401},
		{kind: "", body: "sorry: MISSING_TOKEN", status: 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+get, strings.NewReader("x"))
		require.NoError(t, err)
		r.Header.Set("Content-Type", row.kind)
		res, err := server.Client().Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, row.status, res.StatusCode)
		require.Equal(t, row.body, string(body))
		require.Equal(t, "text/plain", res.Header.Get("Content-Type"))
		require.Equal(t, []string{`Bearer realm="api"`}, res.Header.Values("WWW-Authenticate"))
	}
	// A call of Connect does not get what Render makes.
	_, err = ask(t, wires[0].client(t, server, get), get)
	requireRefused(t, err, connect.CodeUnauthenticated, "MISSING_TOKEN")
}

// The answer is of the protocol that the request is of, whatever else it claims to be.
func TestMixedProtocols(t *testing.T) {
	server := serve(t, newGate(t, answers(nil, bearergate.ErrInvalidToken), middleware.Config{}), new(service))
	for _, row := range []struct {
		name, method, kind, version string
		status                      int
		answer                      string // its Content-Type
		grpc                        string // Grpc-Status, in the header
	}{
		{name: "gRPC by GET", method: "GET", kind: "application/grpc", status: 401, answer: "application/json"},
		{name: "gRPC with a parameter", method: "POST", kind: "Application/GRPC; charset=x", status: 200, answer: "Application/GRPC; charset=x", grpc: "16"},
		{name: "gRPC with a codec", method: "POST", kind: "application/grpc+json", status: 200, answer: "application/grpc+json", grpc: "16"},
		{name: "gRPC-Web", method: "POST", kind: "application/grpc-web+proto", status: 200, answer: "application/grpc-web+proto", grpc: "16"},
		{name: "gRPC-Web as text", method: "POST", kind: "application/grpc-web-text", status: 401, answer: "application/json"},
		{name: "nearly gRPC", method: "POST", kind: "application/grpcx", status: 401, answer: "application/json"},
		{name: "another version of Connect", method: "POST", kind: "application/proto", version: "2", status: 401, answer: "application/problem+json"},
		{name: "a stream of Connect", method: "POST", kind: "application/connect+proto", status: 200, answer: "application/connect+proto"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), row.method, server.URL+get, nil)
			require.NoError(t, err)
			r.Header.Set("Content-Type", row.kind)
			if row.version != "" {
				r.Header.Set("Connect-Protocol-Version", row.version)
			}
			res, err := server.Client().Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, row.status, res.StatusCode, "%s", body)
			require.Equal(t, row.answer, res.Header.Get("Content-Type"))
			require.Equal(t, row.grpc, res.Header.Get("Grpc-Status"))
			if row.kind == "application/connect+proto" {
				require.Contains(t, string(body), `"unauthenticated"`)
				return
			}
			require.Equal(t, `Bearer realm="api"`, res.Header.Get("WWW-Authenticate"))
		})
	}
}

// What an outer handler has in its header does not get into a refusal.
func TestHeadersOfOthers(t *testing.T) {
	gate := newGate(t, answers(nil, bearergate.ErrInvalidToken), middleware.Config{})
	handler, err := gate.Handler(new(service).mux(connect.WithInterceptors(gate.Interceptor())))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
	dropped := []string{"Content-Encoding", "ETag", "Last-Modified", "Expires", "CDN-Cache-Control", "Surrogate-Control"}
	for _, name := range dropped {
		w.Header().Set(name, "x")
	}
	w.Header().Set("Access-Control-Allow-Origin", "https://app.example")
	r := httptest.NewRequest(http.MethodPost, get, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	handler.ServeHTTP(w, r)
	require.Equal(t, 401, w.Code)
	require.Equal(t, []string{`Bearer realm="api"`}, w.Header().Values("WWW-Authenticate"))
	for _, name := range dropped {
		require.Empty(t, w.Header().Values(name), name)
	}
	require.Equal(t, []string{"no-store"}, w.Header().Values("Cache-Control"))
	require.Equal(t, "https://app.example", w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var body struct{ Code string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	require.Equal(t, "unauthenticated", body.Code)
}

// A bound token enters with its proof, in every protocol, and a nonce is demanded and told.
func TestDPoP(t *testing.T) {
	const base = "https://api.example.com"
	as := authtest.New(t)
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"jkt"}})
	require.NoError(t, err)
	key, err := authtest.NewDPoPKey("ES256")
	require.NoError(t, err)
	token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read"), Confirmation: key.Confirmation()})
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{make([]byte, 32)}})
	require.NoError(t, err)
	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{base}, Nonces: nonces})
	require.NoError(t, err)
	server := serve(t, newGate(t, v, middleware.Config{Bindings: []bearergate.Binding{proofs}}), new(service))
	proof := func(procedure, nonce string) string {
		claims := key.Claims(http.MethodPost, base+procedure, token)
		if nonce != "" {
			claims["nonce"] = nonce
		}
		return key.Sign(nil, claims)
	}
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			c := w.client(t, server, get)
			call := func(scheme string, proofs ...string) (string, error) {
				request := connect.NewRequest(wrapperspb.String("7"))
				request.Header().Set("Authorization", scheme+" "+token)
				request.Header()["Dpop"] = proofs
				response, err := c.CallUnary(t.Context(), request)
				if err != nil {
					return "", err
				}
				return response.Msg.GetValue(), nil
			}
			_, err := call("DPoP", proof(get, ""))
			refused, _ := requireRefused(t, err, connect.CodeUnauthenticated, "USE_DPOP_NONCE")
			nonce := refused.Meta().Get("DPoP-Nonce")
			require.NotEmpty(t, nonce)
			challenges := refused.Meta().Values("WWW-Authenticate")
			require.Len(t, challenges, 2)
			require.Contains(t, challenges[0], `DPoP realm="api", algs="`)
			require.Contains(t, challenges[0], `error="use_dpop_nonce"`)
			require.Equal(t, `Bearer realm="api"`, challenges[1])

			good := proof(get, nonce)
			got, err := call("DPoP", good)
			require.NoError(t, err)
			require.Equal(t, "alice", got)
			_, err = call("DPoP", good)
			requireRefused(t, err, connect.CodeUnauthenticated, "INVALID_DPOP_PROOF") // used before
			_, err = call("DPoP", proof(pay, nonce))
			requireRefused(t, err, connect.CodeUnauthenticated, "INVALID_DPOP_PROOF") // of another procedure
			_, err = call("Bearer", proof(get, nonce))
			requireRefused(t, err, connect.CodeUnauthenticated, "INVALID_TOKEN")
			_, err = call("DPoP")
			requireRefused(t, err, connect.CodeUnauthenticated, "INVALID_DPOP_PROOF")
		})
	}
}

// A client of gRPC for Go sees a refusal as gRPC means it: Trailers-Only, on which it retries.
func TestClientOfGRPC(t *testing.T) {
	as, v := issuer(t)
	server := serve(t, newGate(t, v, middleware.Config{}), new(service))
	transport := server.Client().Transport.(*http.Transport)
	conn, err := grpc.NewClient(strings.TrimPrefix(server.URL, "https://"), grpc.WithTransportCredentials(credentials.NewTLS(transport.TLSClientConfig.Clone())))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	for _, procedure := range []string{get, watch} { // gRPC calls a stream of one answer like a method that is no stream
		var header, trailer metadata.MD
		err = conn.Invoke(t.Context(), procedure, wrapperspb.String("7"), new(message), grpc.Header(&header), grpc.Trailer(&trailer))
		st := status.Convert(err)
		require.Equal(t, codes.Unauthenticated, st.Code(), "%v", err)
		require.Equal(t, "MISSING_TOKEN", st.Details()[0].(*errdetails.ErrorInfo).GetReason())
		require.Equal(t, []string{`Bearer realm="api"`}, trailer.Get("www-authenticate"))
		require.Empty(t, header.Get("www-authenticate"), "it is not Trailers-Only")

		got := new(message)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read")}))
		require.NoError(t, conn.Invoke(ctx, procedure, wrapperspb.String("7"), got))
		require.Equal(t, "alice", got.GetValue())
	}
}

// renewing is a Binding that tells a nonce with every proof that it confirms.
type renewing struct{}

func (renewing) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (renewing) Members() []string            { return []string{"jkt"} }
func (renewing) Challenge() map[string]string { return nil }
func (renewing) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return bearergate.Reply{"DPoP-Nonce": "next"}, nil
}

// What a binding replies comes with the answer of the service.
func TestReply(t *testing.T) {
	token := reader(func(c *bearergate.Claims) { c.Confirmation = map[string][]byte{"jkt": []byte(`"key"`)} })
	server := serve(t, newGate(t, answers(token, nil), middleware.Config{Bindings: []bearergate.Binding{renewing{}}}), new(service))
	for _, w := range wires {
		request := connect.NewRequest(wrapperspb.String("7"))
		request.Header().Set("Authorization", "DPoP x")
		response, err := w.client(t, server, get).CallUnary(t.Context(), request)
		require.NoError(t, err)
		require.Equal(t, []string{"next"}, response.Header().Values("DPoP-Nonce"), w.name)
	}
}
