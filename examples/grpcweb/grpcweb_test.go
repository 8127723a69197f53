package grpcweb_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/grpcweb"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// service counts what reaches it and answers with the subject of the token.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
	mu   sync.Mutex // guards what follows
	runs int
	seen []string // keys of the metadata of the last call
}

func (s *service) UnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	s.ran(ctx)
	token, _ := bearergate.FromContext(ctx)
	return &grpc_testing.SimpleResponse{Username: token.Subject()}, nil
}

func (s *service) StreamingOutputCall(_ *grpc_testing.StreamingOutputCallRequest, stream grpc_testing.TestService_StreamingOutputCallServer) error {
	s.ran(stream.Context())
	token, _ := bearergate.FromContext(stream.Context())
	return stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: []byte(token.Subject())}})
}

func (s *service) ran(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.seen = slices.Sorted(maps.Keys(md))
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

// last are the keys of the metadata of the last call.
func (s *service) last() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// events remembers the Reason of every decision.
type events struct {
	mu  sync.Mutex // guards all
	all []bearergate.Reason
}

func (e *events) hooks() grpcgate.Hooks {
	return grpcgate.Hooks{Decided: func(_ context.Context, event grpcgate.DecisionEvent) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, event.Reason)
	}}
}

func (e *events) take() []bearergate.Reason {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// api starts a server of gRPC whose tokens v verifies.
func api(t *testing.T, v bearergate.Verifier, c grpcgate.Config) (*grpc.Server, *grpc.ClientConn, *service) {
	t.Helper()
	c.Methods = map[string]scope.Requirement{
		grpc_testing.TestService_UnaryCall_FullMethodName:           scope.All("read"),
		grpc_testing.TestService_StreamingOutputCall_FullMethodName: scope.All("read"),
	}
	gate, err := grpcgate.New(v, c)
	require.NoError(t, err)
	server := grpc.NewServer(gate.ServerOptions()...)
	s := new(service)
	grpc_testing.RegisterTestServiceServer(server, s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-ended)
	})
	return server, conn, s
}

// register is what protoc-gen-grpc-gateway writes for two methods.
func register(t *testing.T, mux *runtime.ServeMux, conn *grpc.ClientConn) {
	t.Helper()
	client := grpc_testing.NewTestServiceClient(conn)
	require.NoError(t, mux.HandlePath("POST", "/v1/unary", func(w http.ResponseWriter, req *http.Request, _ map[string]string) {
		ctx, cancel := context.WithCancel(req.Context())
		defer cancel()
		in, out := runtime.MarshalerForRequest(mux, req)
		annotated, err := runtime.AnnotateContext(ctx, mux, req, grpc_testing.TestService_UnaryCall_FullMethodName, runtime.WithHTTPPathPattern("/v1/unary"))
		if err != nil {
			runtime.HTTPError(ctx, mux, out, w, req, err)
			return
		}
		var message grpc_testing.SimpleRequest
		if err := in.NewDecoder(req.Body).Decode(&message); err != nil && !errors.Is(err, io.EOF) {
			runtime.HTTPError(annotated, mux, out, w, req, status.Errorf(codes.InvalidArgument, "%v", err))
			return
		}
		var md runtime.ServerMetadata
		resp, err := client.UnaryCall(annotated, &message, grpc.Header(&md.HeaderMD), grpc.Trailer(&md.TrailerMD))
		annotated = runtime.NewServerMetadataContext(annotated, md)
		if err != nil {
			runtime.HTTPError(annotated, mux, out, w, req, err)
			return
		}
		runtime.ForwardResponseMessage(annotated, mux, out, w, req, resp, mux.GetForwardResponseOptions()...)
	}))
	require.NoError(t, mux.HandlePath("POST", "/v1/stream", func(w http.ResponseWriter, req *http.Request, _ map[string]string) {
		ctx, cancel := context.WithCancel(req.Context())
		defer cancel()
		_, out := runtime.MarshalerForRequest(mux, req)
		annotated, err := runtime.AnnotateContext(ctx, mux, req, grpc_testing.TestService_StreamingOutputCall_FullMethodName, runtime.WithHTTPPathPattern("/v1/stream"))
		if err != nil {
			runtime.HTTPError(ctx, mux, out, w, req, err)
			return
		}
		var md runtime.ServerMetadata
		stream, err := client.StreamingOutputCall(annotated, &grpc_testing.StreamingOutputCallRequest{})
		if err == nil {
			md.HeaderMD, err = stream.Header()
		}
		annotated = runtime.NewServerMetadataContext(annotated, md)
		if err != nil {
			runtime.HTTPError(annotated, mux, out, w, req, err)
			return
		}
		runtime.ForwardResponseStream(annotated, mux, out, w, req, func() (proto.Message, error) { return stream.Recv() }, mux.GetForwardResponseOptions()...)
	}))
}

// sent is one request, with every value of every field.
func send(t *testing.T, server *httptest.Server, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader("{}"))
	require.NoError(t, err)
	maps.Copy(r.Header, header)
	r.Header.Set("Content-Type", "application/json")
	res, err := server.Client().Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res, string(body)
}

// issuer is an authorization server and a verifier of its tokens.
func issuer(t *testing.T) (*authtest.Server, bearergate.Verifier) {
	t.Helper()
	as := authtest.New(t)
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	return as, v
}

func TestGateway(t *testing.T) {
	as, v := issuer(t)
	down, unreachable := issuer(t)
	down.Fail(authtest.Fault{Status: http.StatusServiceUnavailable})
	token := func(change func(*authtest.Claims)) string {
		c := authtest.Claims{Subject: "alice", Scopes: scope.Of("read")}
		if change != nil {
			change(&c)
		}
		return "Bearer " + as.Token(c)
	}
	good, other := token(nil), token(func(c *authtest.Claims) { c.Subject = "mallory" })
	const request = `Bearer realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."`
	stepUp := grpcgate.Config{StepUp: map[string]bearergate.StepUp{grpc_testing.TestService_UnaryCall_FullMethodName: {ACR: []string{"mfa"}, MaxAge: time.Minute}}}

	for _, row := range []struct {
		name      string
		verifier  bearergate.Verifier // default: that of the issuer
		config    grpcgate.Config
		header    http.Header
		status    int
		challenge string
		retry     bool
		reason    bearergate.Reason
	}{
		{name: "a token", header: http.Header{"Authorization": {good}}, status: 200},
		{name: "no token", status: 401, challenge: `Bearer realm="api"`, reason: bearergate.ReasonNoToken},
		{name: "malformed", header: http.Header{"Authorization": {"Bearer"}}, status: 400, challenge: request, reason: bearergate.ReasonBadRequest},
		{name: "two tokens", header: http.Header{"Authorization": {good, other}}, status: 400, challenge: request, reason: bearergate.ReasonBadRequest},
		{name: "expired", header: http.Header{"Authorization": {token(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Minute) })}}, status: 401,
			challenge: `Bearer realm="api", error="invalid_token", error_description="The access token has expired."`, reason: bearergate.ReasonExpired},
		{name: "for somebody else", header: http.Header{"Authorization": {token(func(c *authtest.Claims) { c.Audience = []string{"https://other.example"} })}}, status: 401,
			challenge: `Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`, reason: bearergate.ReasonAudience},
		{name: "too few scopes", header: http.Header{"Authorization": {token(func(c *authtest.Claims) { c.Scopes = scope.Of("other") })}}, status: 403,
			challenge: `Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="read"`, reason: bearergate.ReasonScope},
		{name: "step-up", config: stepUp, header: http.Header{"Authorization": {good}}, status: 401,
			challenge: `Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger or more recent authentication of the user is required.", acr_values="mfa", max_age="60"`,
			reason:    bearergate.ReasonAuthentication},
		{name: "an outage", verifier: unreachable, header: http.Header{"Authorization": {"Bearer " + down.Token(authtest.Claims{})}}, status: 503, retry: true,
			reason: bearergate.ReasonKeysUnavailable},
		{name: "misconfigured", verifier: bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, bearergate.ErrMisconfigured }),
			header: http.Header{"Authorization": {good}}, status: 500, reason: bearergate.ReasonInternal},
		// Nothing but Authorization is a credential, and nothing else can be set.
		{name: "another spelling alone", header: http.Header{"Grpc-Metadata-Authorization": {good}}, status: 401, challenge: `Bearer realm="api"`, reason: bearergate.ReasonNoToken},
		{name: "another spelling beside it", header: http.Header{"Authorization": {good}, "Grpc-Metadata-Authorization": {other}}, status: 200},
		{name: "in the name that the gateway gives it", header: http.Header{"Grpcgateway-Authorization": {good}}, status: 401, challenge: `Bearer realm="api"`, reason: bearergate.ReasonNoToken},
		{name: "bytes that metadata cannot hold", header: http.Header{"Authorization": {good + "\xff"}}, status: 401, challenge: `Bearer realm="api"`, reason: bearergate.ReasonNoToken},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.verifier == nil {
				row.verifier = v
			}
			var seen events
			row.config.Hooks = seen.hooks()
			_, conn, s := api(t, row.verifier, row.config)
			mux := grpcweb.Gateway()
			register(t, mux, conn)
			server := httptest.NewServer(mux)
			defer server.Close()

			res, body := send(t, server, "/v1/unary", row.header)
			require.Equal(t, row.status, res.StatusCode, body)
			require.Equal(t, []bearergate.Reason{row.reason}, seen.take())
			if row.challenge == "" {
				require.Empty(t, res.Header.Values("WWW-Authenticate"))
			} else {
				require.Equal(t, []string{row.challenge}, res.Header.Values("WWW-Authenticate"))
			}
			if row.retry {
				require.Regexp(t, `^([1-9]|[1-5][0-9]|60)$`, res.Header.Get("Retry-After"))
			} else {
				require.Empty(t, res.Header.Values("Retry-After"))
			}
			if row.status == 200 {
				require.Contains(t, body, `"username":"alice"`)
				require.Equal(t, 1, s.count())
				for _, key := range s.last() {
					require.NotContains(t, key, "grpcgateway-")
				}
			} else {
				require.Zero(t, s.count())
				require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
			}

			if row.config.StepUp != nil {
				return
			}
			// A stream has the status, and no header: grpc-gateway asks nobody about it.
			res, body = send(t, server, "/v1/stream", row.header)
			require.Equal(t, row.status, res.StatusCode, body)
			require.Equal(t, []bearergate.Reason{row.reason}, seen.take())
		})
	}
}

// What the recipe is for: as grpc-gateway comes, a refusal has no challenge, and with the
// matcher of its earlier releases there is a second Authorization.
func TestGatewayAsItComes(t *testing.T) {
	as, v := issuer(t)
	good := "Bearer " + as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read")})
	other := "Bearer " + as.Token(authtest.Claims{Subject: "mallory", Scopes: scope.Of("read")})
	_, conn, s := api(t, v, grpcgate.Config{})
	plain, legacy := runtime.NewServeMux(), runtime.NewServeMux(runtime.WithLegacyHeaderMatching())
	register(t, plain, conn)
	register(t, legacy, conn)
	asItComes, earlier := httptest.NewServer(plain), httptest.NewServer(legacy)
	defer asItComes.Close()
	defer earlier.Close()

	res, _ := send(t, asItComes, "/v1/unary", nil)
	require.Equal(t, 401, res.StatusCode)
	require.Equal(t, "A bearer token is required.", res.Header.Get("WWW-Authenticate"), "no challenge")

	res, _ = send(t, earlier, "/v1/unary", http.Header{"Authorization": {good}, "Grpc-Metadata-Authorization": {other}})
	require.Equal(t, 400, res.StatusCode, "two credentials are refused, whichever comes first")
	require.Zero(t, s.count())
	res, body := send(t, earlier, "/v1/unary", http.Header{"Grpc-Metadata-Authorization": {good}})
	require.Equal(t, 200, res.StatusCode, body)
}

// Browsers: gRPC-Web and Connect, over HTTP/1.1 and HTTP/2.
func TestBrowsers(t *testing.T) {
	as, v := issuer(t)
	down, unreachable := issuer(t)
	down.Fail(authtest.Fault{Status: http.StatusServiceUnavailable})
	good := "Bearer " + as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read")})
	narrow := "Bearer " + as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("other")})
	for _, row := range []struct {
		name          string
		verifier      bearergate.Verifier
		authorization []string
		code          connect.Code // 0: it succeeds
		challenge     string
		retry         bool
	}{
		{name: "a token", authorization: []string{good}},
		{name: "no token", code: connect.CodeUnauthenticated, challenge: `Bearer realm="api"`},
		{name: "two tokens", authorization: []string{good, good}, code: connect.CodeInvalidArgument,
			challenge: `Bearer realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."`},
		{name: "forged", authorization: []string{good[:len(good)-8] + "AAAAAAAA"}, code: connect.CodeUnauthenticated,
			challenge: `Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`},
		{name: "too few scopes", authorization: []string{narrow}, code: connect.CodePermissionDenied,
			challenge: `Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="read"`},
		{name: "an outage", verifier: unreachable, authorization: []string{"Bearer " + down.Token(authtest.Claims{})}, code: connect.CodeUnavailable, retry: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.verifier == nil {
				row.verifier = v
			}
			grpcServer, _, s := api(t, row.verifier, grpcgate.Config{})
			handler, err := grpcweb.Browsers(grpcServer)
			require.NoError(t, err)
			server := httptest.NewUnstartedServer(handler)
			server.EnableHTTP2 = true
			server.StartTLS()
			defer server.Close()
			http1 := server.Client().Transport.(*http.Transport).Clone()
			http1.Protocols = new(http.Protocols)
			http1.Protocols.SetHTTP1(true)
			http1.TLSClientConfig.NextProtos = []string{"http/1.1"}
			defer http1.CloseIdleConnections()
			for name, transport := range map[string]http.RoundTripper{"HTTP/2": server.Client().Transport, "HTTP/1.1": http1} {
				for protocol, options := range map[string][]connect.ClientOption{"gRPC-Web": {connect.WithGRPCWeb()}, "Connect": nil} {
					what := protocol + " over " + name
					seen := &watched{transport: transport}
					unary := connect.NewClient[grpc_testing.SimpleRequest, grpc_testing.SimpleResponse](&http.Client{Transport: seen},
						server.URL+grpc_testing.TestService_UnaryCall_FullMethodName, options...)
					request := connect.NewRequest(&grpc_testing.SimpleRequest{})
					request.Header()["Authorization"] = row.authorization
					response, err := unary.CallUnary(t.Context(), request)
					var stream *connect.ServerStreamForClient[grpc_testing.StreamingOutputCallResponse]
					streaming := connect.NewClient[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse](&http.Client{Transport: transport},
						server.URL+grpc_testing.TestService_StreamingOutputCall_FullMethodName, options...)
					open := connect.NewRequest(&grpc_testing.StreamingOutputCallRequest{})
					open.Header()["Authorization"] = row.authorization
					stream, streamErr := streaming.CallServerStream(t.Context(), open)
					require.NoError(t, streamErr)
					received := 0
					for stream.Receive() {
						received++
					}
					streamErr = stream.Err()
					require.NoError(t, stream.Close())
					if row.code == 0 {
						require.NoError(t, err, what)
						require.Equal(t, "alice", response.Msg.GetUsername())
						require.NoError(t, streamErr, what)
						require.Equal(t, 1, received)
						continue
					}
					require.Zero(t, received)
					require.Zero(t, s.count())
					for kind, err := range map[string]error{"unary": err, "stream": streamErr} {
						var refused *connect.Error
						require.ErrorAs(t, err, &refused, what)
						require.Equal(t, row.code, refused.Code(), "%s %s: %v", what, kind, err)
						require.Len(t, refused.Details(), map[bool]int{false: 1, true: 2}[row.retry])
						require.Equal(t, row.challenge, refused.Meta().Get("WWW-Authenticate"), "%s %s", what, kind)
						require.Equal(t, row.retry, refused.Meta().Get("Retry-After") != "", "%s %s", what, kind)
					}
					require.Equal(t, row.challenge, seen.header.Get("WWW-Authenticate"), "scripts see it in the header: %s: %v", what, seen.header)
				}
			}
		})
	}
}

// watched keeps the header of the last answer.
type watched struct {
	transport http.RoundTripper
	header    http.Header
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.transport.RoundTrip(r)
	if err == nil {
		w.header = res.Header
	}
	return res, err
}
