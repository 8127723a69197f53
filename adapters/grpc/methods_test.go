package grpcgate_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionalpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
)

func TestNamesOfMethods(t *testing.T) {
	require.Equal(t, healthpb.Health_Check_FullMethodName, grpcgate.HealthCheck)
	require.Equal(t, healthpb.Health_List_FullMethodName, grpcgate.HealthList)
	require.Equal(t, healthpb.Health_Watch_FullMethodName, grpcgate.HealthWatch)
	require.Equal(t, reflectionpb.ServerReflection_ServerReflectionInfo_FullMethodName, grpcgate.ReflectionV1)
	require.Equal(t, reflectionalpha.ServerReflection_ServerReflectionInfo_FullMethodName, grpcgate.ReflectionV1Alpha)
}

// What each method takes, by whatever name a client calls it.
func TestMethods(t *testing.T) {
	var seen events
	gate, err := grpcgate.New(answers(reader(nil), nil), grpcgate.Config{
		Methods: map[string]scope.Requirement{
			"/a.Read/One":  scope.All("read"),
			"/a.Admin/*":   scope.All("admin"),
			"/a.Admin/Low": scope.All("read"),
		},
		Authenticated: []string{"/a.Any/*", "/a.Admin/Me"},
		Public:        []string{"/a.Admin/Ping"},
		Hooks:         seen.hooks(),
	})
	require.NoError(t, err)
	const (
		open = iota // with the token
		public
		forbidden
		unlisted
	)
	for method, test := range map[string]struct {
		want  int
		label string
	}{
		"/a.Read/One":      {open, "/a.Read/One"},
		"/a.Read/Two":      {unlisted, "_OTHER"},
		"/a.Admin/Drop":    {forbidden, "/a.Admin/*"},
		"/a.Admin/":        {forbidden, "/a.Admin/*"},
		"/a.Admin/Low":     {open, "/a.Admin/Low"},
		"/a.Admin/Me":      {open, "/a.Admin/Me"},
		"/a.Admin/Ping":    {public, ""},
		"/a.Admin/ping":    {forbidden, "/a.Admin/*"},
		"/a.Any/Thing":     {open, "/a.Any/*"},
		"/a.Any/*":         {open, "/a.Any/*"},
		"/a.Anything/Else": {unlisted, "_OTHER"},
		"/a.any/Thing":     {unlisted, "_OTHER"},
		"/x/a.Read/One":    {unlisted, "_OTHER"},
		"//a.Admin/Ping":   {unlisted, "_OTHER"},
		"/a.Admin/Ping/":   {unlisted, "_OTHER"},
		"/a.Admin/x/Ping":  {unlisted, "_OTHER"},
		"a.Admin/Ping":     {unlisted, "_OTHER"}, // as a client may write it in :path
		"a.Read/One":       {unlisted, "_OTHER"},
		"a.Any/Thing":      {unlisted, "_OTHER"},
		"":                 {unlisted, "_OTHER"},
		"/":                {unlisted, "_OTHER"},
		"*":                {unlisted, "_OTHER"},
		"no slash":         {unlisted, "_OTHER"},
	} {
		t.Run(method, func(t *testing.T) {
			for _, ctx := range []context.Context{t.Context(), incoming(t.Context(), "x")} {
				ran := 0
				_, unary := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(ctx context.Context, _ any) (any, error) {
					ran++
					return subject(ctx), nil
				})
				stream := gate.Stream(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error {
					ran++
					return nil
				})
				decided := seen.take()
				for i, err := range []error{unary, stream} {
					if test.want == public {
						require.NoError(t, err)
						require.Empty(t, decided)
						continue
					}
					require.Len(t, decided, 2)
					require.Equal(t, test.label, decided[i].Method)
					switch {
					case test.want == unlisted:
						requireStatus(t, err, codes.Unimplemented, "METHOD_NOT_LISTED")
						require.Equal(t, "This method is not available.", status.Convert(err).Message())
						requireError(t, decided[i].Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
					case ctx == t.Context():
						requireStatus(t, err, codes.Unauthenticated, "MISSING_TOKEN")
					case test.want == forbidden:
						requireStatus(t, err, codes.PermissionDenied, "INSUFFICIENT_SCOPE")
						require.Equal(t, []string{"admin"}, decided[i].Required.Scopes())
					default:
						require.NoError(t, err)
					}
				}
				if test.want == public || test.want == open && ctx != t.Context() {
					require.Equal(t, 2, ran)
				} else {
					require.Zero(t, ran, "the handler ran")
				}
			}
		})
	}
}

// Which verifier decides for a method, and which authentication it demands.
func TestViaAndStepUp(t *testing.T) {
	asked := ""
	from := func(name string, change func(*bearergate.Claims)) bearergate.Verifier {
		return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			asked = name
			return reader(change), nil
		})
	}
	strong := func(c *bearergate.Claims) { c.ACR, c.AuthTime = "mfa", time.Now().Add(-time.Minute) }
	mfa := bearergate.StepUp{ACR: []string{"mfa", "hwk"}, MaxAge: time.Hour}
	var seen events
	gate, err := grpcgate.New(from("default", nil), grpcgate.Config{
		Methods: map[string]scope.Requirement{
			"/a.Admin/*":     scope.All("read"),
			"/a.Admin/Named": scope.All("read"),
			"/a.Admin/Both":  scope.All("write"),
			"/a.Weak/Scope":  scope.All("write"),
		},
		Authenticated: []string{"/a.Any/*", "/a.Any/Live"},
		Via: map[string]bearergate.Verifier{
			"/a.Admin/*":  from("strong", strong),
			"/a.Any/Live": from("live", nil),
		},
		StepUp: map[string]bearergate.StepUp{
			"/a.Admin/*": mfa, "/a.Admin/Both": mfa, "/a.Any/Live": {MaxAge: time.Minute},
		},
		Hooks: seen.hooks(),
	})
	require.NoError(t, err)
	for method, test := range map[string]struct {
		asked    string
		kind     error
		metadata map[string]string
	}{
		"/a.Admin/Drop":  {asked: "strong"},
		"/a.Admin/Named": {asked: "default"}, // named by itself: what is said of the service does not count
		"/a.Admin/Both": {asked: "default", kind: bearergate.ErrInsufficientAuthentication,
			metadata: map[string]string{"acr_values": "mfa hwk", "max_age": "3600", "scope": "write"}},
		"/a.Weak/Scope": {asked: "default", kind: bearergate.ErrInsufficientScope, metadata: map[string]string{"scope": "write"}},
		"/a.Any/Thing":  {asked: "default"},
		"/a.Any/Live":   {asked: "live", kind: bearergate.ErrInsufficientAuthentication, metadata: map[string]string{"max_age": "60"}},
	} {
		t.Run(method, func(t *testing.T) {
			ctx := incoming(t.Context(), "x")
			_, unary := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, nothing)
			require.Equal(t, test.asked, asked)
			stream := gate.Stream(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error { return nil })
			decided := seen.take()
			require.Len(t, decided, 2)
			for i, err := range []error{unary, stream} {
				require.Equal(t, "alice", decided[i].Token.Subject(), "for audit")
				if test.kind == nil {
					require.NoError(t, err)
					continue
				}
				code, wire := codes.PermissionDenied, "INSUFFICIENT_SCOPE"
				if test.kind == bearergate.ErrInsufficientAuthentication {
					code, wire = codes.Unauthenticated, "INSUFFICIENT_USER_AUTHENTICATION"
				}
				require.Equal(t, test.metadata, requireStatus(t, err, code, wire).GetMetadata())
				require.ErrorIs(t, decided[i].Err, test.kind)
			}
		})
	}
}

// Who may act for the subject, by method, for a call and for a stream.
func TestDelegation(t *testing.T) {
	const issuer = "https://as.example.com"
	byOrders := map[string][]bearergate.Actor{issuer: {{Subject: "orders"}}}
	for _, tt := range []struct {
		name   string
		method string
		change func(*bearergate.Claims)
		kind   error // nil: accepted
		reason bearergate.Reason
	}{
		{name: "the actor", method: "/a.B/Acting", change: actedForBy("orders")},
		{name: "another actor", method: "/a.B/Acting", change: actedForBy("mallory"), kind: bearergate.ErrForbidden, reason: bearergate.ReasonActor},
		{name: "no actor", method: "/a.B/Acting", kind: bearergate.ErrForbidden, reason: bearergate.ReasonActor},
		{name: "a chain that is too long", method: "/a.B/Acting", change: actedForBy("orders", "gateway"), kind: bearergate.ErrForbidden, reason: bearergate.ReasonActor},
		{name: "a chain that may be so long", method: "/a.C/Any", change: actedForBy("orders", "gateway")},
		{name: "no actor, where that is allowed", method: "/a.C/Any"},
		{name: "an actor, where nobody says who may", method: "/a.C/Named", change: actedForBy("mallory")},
		{name: "the scopes first", method: "/a.B/Scope", change: actedForBy("mallory"), kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen events
			token := reader(func(c *bearergate.Claims) {
				if c.Issuer = issuer; tt.change != nil {
					tt.change(c)
				}
			})
			given := map[string]bearergate.Delegation{
				"/a.B/Acting": {Actors: byOrders}, "/a.B/Scope": {Actors: byOrders}, "/a.C/*": {Actors: byOrders, MaxChain: 2, AllowDirect: true}}
			gate, err := grpcgate.New(answers(token, nil), grpcgate.Config{
				Methods:       map[string]scope.Requirement{"/a.B/Acting": scope.All("read"), "/a.B/Scope": scope.All("write")},
				Authenticated: []string{"/a.C/*", "/a.C/Named"},
				Delegation:    given,
				Hooks:         seen.hooks(),
			})
			require.NoError(t, err)
			clear(given) // what the caller does afterwards changes nothing
			ctx := incoming(t.Context(), "x")
			_, unary := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: tt.method}, nothing)
			stream := gate.Stream(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: tt.method}, func(any, grpc.ServerStream) error { return nil })
			decided := seen.take()
			require.Len(t, decided, 2)
			for i, err := range []error{unary, stream} {
				require.Equal(t, token.Actor(), decided[i].Token.Actor(), "for audit")
				if tt.kind == nil {
					require.NoError(t, err)
					continue
				}
				wire := "FORBIDDEN"
				if tt.reason == bearergate.ReasonScope {
					wire = "INSUFFICIENT_SCOPE"
				}
				requireStatus(t, err, codes.PermissionDenied, wire)
				requireError(t, decided[i].Err, tt.kind, tt.reason)
			}
		})
	}
}

// actedForBy has these act for the subject, the current one first.
func actedForBy(subjects ...string) func(*bearergate.Claims) {
	return func(c *bearergate.Claims) {
		for _, subject := range subjects {
			c.Actors = append(c.Actors, bearergate.Actor{Subject: subject})
		}
	}
}

// The order of a decision: token, binding, step-up, scopes.
func TestOrderOfADecision(t *testing.T) {
	weak := boundBy("x5t#S256").With(func(c *bearergate.Claims) { c.Scopes = scope.Of("other") })
	b := mtls().says(errors.New("another key"))
	decide := func(v bearergate.Verifier) error {
		gate := newGate(t, v, grpcgate.Config{Bindings: []bearergate.Binding{b}, StepUp: map[string]bearergate.StepUp{unaryCall: {ACR: []string{"mfa"}}}})
		return unary(incoming(t.Context(), "x"), gate, nothing)
	}
	requireStatus(t, decide(answers(nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired})), codes.Unauthenticated, "TOKEN_EXPIRED")
	require.Zero(t, b.asked.Load(), "the token first")
	requireStatus(t, decide(answers(weak, nil)), codes.Unauthenticated, "INVALID_TOKEN")
	b.confirm = nil
	requireStatus(t, decide(answers(weak, nil)), codes.Unauthenticated, "INSUFFICIENT_USER_AUTHENTICATION")
	requireStatus(t, decide(answers(weak.With(func(c *bearergate.Claims) { c.ACR = "mfa" }), nil)), codes.PermissionDenied, "INSUFFICIENT_SCOPE")
}

// A stream is decided on anew by the verifier and the step-up of its method.
func TestReverifyOfAMethodWithViaAndStepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var calls int
		via := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			calls++
			return reader(func(c *bearergate.Claims) { c.AuthTime = start }), nil
		})
		gate := newGate(t, answers(nil, bearergate.ErrMisconfigured), grpcgate.Config{
			Reverify: 10 * time.Second,
			Via:      map[string]bearergate.Verifier{duplex: via},
			StepUp:   map[string]bearergate.StepUp{duplex: {MaxAge: 25 * time.Second}},
		})
		err := follow(t, gate, new(fakeStream), func(s grpc.ServerStream) error { return s.RecvMsg(nil) })
		requireStatus(t, err, codes.Unauthenticated, "INSUFFICIENT_USER_AUTHENTICATION")
		require.Equal(t, 4, calls)
		require.LessOrEqual(t, time.Since(start), 35*time.Second)
	})
}

// A stream ends soon after its token was revoked.
//
// W2-205.
func TestReverifyHearsOfARevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
		require.NoError(t, err)
		now := time.Now()
		of := reader(func(c *bearergate.Claims) {
			c.Issuer, c.SessionID = "https://as.example.com", "s1"
			c.IssuedAt, c.AsOf, c.ExpiresAt = now, now, now.Add(time.Hour)
		})
		gate := newGate(t, list.Guard(answers(of, nil)), grpcgate.Config{Reverify: 10 * time.Second})
		var revoked time.Time
		time.AfterFunc(25*time.Second, func() {
			revoked = time.Now()
			require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: "https://as.example.com", Session: "s1"}))
		})
		err = follow(t, gate, new(fakeStream), func(s grpc.ServerStream) error { return s.RecvMsg(nil) })
		requireStatus(t, err, codes.Unauthenticated, "TOKEN_INACTIVE")
		require.Positive(t, time.Since(revoked))
		require.LessOrEqual(t, time.Since(revoked), 11*time.Second)
	})
}

// A method that is registered and not listed is closed; so is what a handler for
// unknown services would take.
func TestUnlistedOverTheNetwork(t *testing.T) {
	s := new(service)
	unknown := 0
	gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{Methods: map[string]scope.Requirement{"/proxied.Service/*": scope.All("read")}})
	conn := serve(t, gate, s, grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		unknown++
		return status.Error(codes.AlreadyExists, "the handler ran")
	}))
	requireStatus(t, call(bearer(t, "x"), conn), codes.Unimplemented, "METHOD_NOT_LISTED")
	requireStatus(t, stream(bearer(t, "x"), conn), codes.Unimplemented, "METHOD_NOT_LISTED")
	invoke := func(ctx context.Context, method string) error {
		return conn.Invoke(ctx, method, &grpc_testing.Empty{}, &grpc_testing.Empty{})
	}
	requireStatus(t, invoke(bearer(t, "x"), "/made.Up/Method"), codes.Unimplemented, "METHOD_NOT_LISTED")
	requireStatus(t, invoke(with(t), "/proxied.Service/Method"), codes.Unauthenticated, "MISSING_TOKEN")
	require.Zero(t, s.count())
	require.Zero(t, unknown)
	require.Equal(t, codes.AlreadyExists, status.Code(invoke(bearer(t, "x"), "/proxied.Service/Method")))
}

func TestCheckServices(t *testing.T) {
	server := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, new(service))
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	services := server.GetServiceInfo()

	complete := func() grpcgate.Config {
		return grpcgate.Config{
			Methods:       map[string]scope.Requirement{"/grpc.testing.TestService/*": scope.All("read"), unaryCall: scope.All("write")},
			Authenticated: []string{grpcgate.HealthList},
			Public:        []string{grpcgate.HealthCheck, grpcgate.HealthWatch, grpcgate.ReflectionV1, grpcgate.ReflectionV1Alpha},
		}
	}
	require.NoError(t, newGate(t, answers(nil, nil), complete()).CheckServices(services))

	c := complete()
	delete(c.Methods, "/grpc.testing.TestService/*")
	c.Public = append(c.Public[2:], "/grpc.health.v1.Health/Chek")
	c.Authenticated = append(c.Authenticated, "/grpc.testing.TestServices/*")
	err := newGate(t, answers(nil, nil), c).CheckServices(services)
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, want := range []string{
		"/grpc.testing.TestService/EmptyCall is served and not listed",
		"/grpc.testing.TestService/FullDuplexCall is served and not listed",
		"/grpc.health.v1.Health/Check is served and not listed",
		"/grpc.health.v1.Health/Watch is served and not listed",
		"/grpc.health.v1.Health/Chek is listed in Config and not served",
		"/grpc.testing.TestServices/* is listed in Config and not served",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Regexp(t, "(?s)/Cacheable.*/EmptyCall.*/FullDuplex.*/HalfDuplex.*/StreamingInput.*/StreamingOutput.*/Unimplemented", err.Error(), "in order")
	require.NotContains(t, err.Error(), "/UnaryCall")
	require.NotContains(t, err.Error(), "reflection")

	// A service all of whose methods are named has a use for its "/*" still.
	c = grpcgate.Config{Authenticated: []string{grpcgate.HealthCheck, grpcgate.HealthList, grpcgate.HealthWatch, "/grpc.health.v1.Health/*"}}
	gate, err := grpcgate.New(answers(nil, nil), c)
	require.NoError(t, err)
	only := map[string]grpc.ServiceInfo{"grpc.health.v1.Health": services["grpc.health.v1.Health"]}
	require.NoError(t, gate.CheckServices(only))
	require.Error(t, gate.CheckServices(nil))
}

// The descriptors of a real service, walked: every method is closed until it is listed.
func TestEveryMethodIsClosed(t *testing.T) {
	gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{Authenticated: []string{"/other.Service/Method"}, Methods: map[string]scope.Requirement{}})
	conn := serve(t, gate, new(service))
	methods := grpc_testing.File_grpc_testing_test_proto.Services().ByName("TestService").Methods()
	require.Positive(t, methods.Len())
	for i := range methods.Len() {
		m := methods.Get(i)
		name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
		in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
		if !m.IsStreamingClient() && !m.IsStreamingServer() {
			requireStatus(t, conn.Invoke(bearer(t, "x"), name, in, out), codes.Unimplemented, "METHOD_NOT_LISTED")
			continue
		}
		opened, err := conn.NewStream(bearer(t, "x"), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, name)
		require.NoError(t, err)
		requireStatus(t, opened.RecvMsg(out), codes.Unimplemented, "METHOD_NOT_LISTED")
	}
}

// What grpcurl does, over TCP: find a method by reflection, and call it with
// messages that are put together at run time.
func TestDynamicCalls(t *testing.T) {
	as := authtest.New(t)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	gate := newGate(t, verifier, grpcgate.Config{
		Methods: map[string]scope.Requirement{"/grpc.testing.TestService/*": scope.All("read"), grpcgate.ReflectionV1: scope.All("developer")},
		Public:  []string{grpcgate.HealthCheck, grpcgate.HealthWatch},
	})
	server := grpc.NewServer(gate.ServerOptions()...)
	grpc_testing.RegisterTestServiceServer(server, new(service))
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	require.ErrorContains(t, gate.CheckServices(server.GetServiceInfo()), grpcgate.ReflectionV1Alpha)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
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

	healthy := healthpb.NewHealthClient(conn)
	_, err = healthy.Check(with(t), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	watch, err := healthy.Watch(with(t), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	_, err = healthy.List(with(t), &healthpb.HealthListRequest{})
	requireStatus(t, err, codes.Unimplemented, "METHOD_NOT_LISTED")

	ask := func(ctx context.Context) (*reflectionpb.ServerReflectionResponse, error) {
		r, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		require.NoError(t, err)
		_ = r.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{
			FileContainingSymbol: "grpc.testing.TestService"}})
		response, err := r.Recv()
		_ = r.CloseSend()
		return response, err
	}
	read := "Bearer " + as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read")})
	_, err = ask(with(t))
	requireStatus(t, err, codes.Unauthenticated, "MISSING_TOKEN")
	_, err = ask(with(t, read))
	requireStatus(t, err, codes.PermissionDenied, "INSUFFICIENT_SCOPE")
	response, err := ask(with(t, "Bearer "+as.Token(authtest.Claims{Scopes: scope.Of("developer")})))
	require.NoError(t, err)
	alpha, err := reflectionalpha.NewServerReflectionClient(conn).ServerReflectionInfo(with(t, read))
	require.NoError(t, err)
	_, err = alpha.Recv()
	requireStatus(t, err, codes.Unimplemented, "METHOD_NOT_LISTED")

	set := new(descriptorpb.FileDescriptorSet)
	for _, raw := range response.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		require.NoError(t, proto.Unmarshal(raw, file))
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	require.NoError(t, err)
	found, err := files.FindDescriptorByName("grpc.testing.TestService")
	require.NoError(t, err)
	m := found.(protoreflect.ServiceDescriptor).Methods().ByName("UnaryCall")
	require.NotNil(t, m)
	invoke := func(ctx context.Context) (*dynamicpb.Message, error) {
		out := dynamicpb.NewMessage(m.Output())
		return out, conn.Invoke(ctx, unaryCall, dynamicpb.NewMessage(m.Input()), out)
	}
	_, err = invoke(with(t))
	requireStatus(t, err, codes.Unauthenticated, "MISSING_TOKEN")
	_, err = invoke(with(t, read, read))
	requireStatus(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	_, err = invoke(bearer(t, as.Token(authtest.Claims{Scopes: scope.Of("write")})))
	requireStatus(t, err, codes.PermissionDenied, "INSUFFICIENT_SCOPE")
	out, err := invoke(with(t, read))
	require.NoError(t, err)
	require.Equal(t, "alice", out.Get(m.Output().Fields().ByName("username")).String())
}

// An authentication context of Microsoft Entra: a client with cp1 gets the claims
// challenge, any other the ordinary answer. The tokens are JWTs and introspection answers.
func TestAuthContext(t *testing.T) {
	// {"access_token":{"acrs":{"essential":true,"value":"c1"}}}
	const asks = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19"
	ordinary, challenged := map[string]string{"acr_values": "c1"}, map[string]string{"claims": asks}
	as := authtest.New(t, authtest.WithClient("api", "secret"))
	audiences := []string{authtest.DefaultAudience}
	local, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: audiences, HTTPClient: as.Client()})
	require.NoError(t, err)
	remote, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Audiences: audiences, HTTPClient: as.Client(), Auth: introspect.BasicAuth("api", "secret")})
	require.NoError(t, err)
	for _, test := range []struct {
		name     string
		claims   string
		demand   bearergate.StepUp // c1 besides
		wire     string            // "": the call goes on
		metadata map[string]string
	}{
		{name: "holds it", claims: `{"acrs":["c2","c1"]}`},
		{name: "absent", claims: `{}`, wire: "INSUFFICIENT_USER_AUTHENTICATION", metadata: ordinary},
		{name: "absent, cp1", claims: `{"xms_cc":["cp1"]}`, wire: "INSUFFICIENT_CLAIMS", metadata: challenged},
		{name: "another", claims: `{"acrs":["c2"]}`, wire: "INSUFFICIENT_USER_AUTHENTICATION", metadata: ordinary},
		{name: "another, cp1", claims: `{"acrs":["c2"],"xms_cc":["cp1"]}`, wire: "INSUFFICIENT_CLAIMS", metadata: challenged},
		{name: "null, cp1", claims: `{"acrs":null,"xms_cc":["cp1"]}`, wire: "INSUFFICIENT_CLAIMS", metadata: challenged},
		{name: "a string", claims: `{"acrs":"c1"}`, wire: "INSUFFICIENT_USER_AUTHENTICATION", metadata: ordinary},
		{name: "a string, cp1", claims: `{"acrs":"c1","xms_cc":["cp1"]}`, wire: "INSUFFICIENT_CLAIMS", metadata: challenged},
		{name: "and more, cp1", claims: `{"xms_cc":["cp1"]}`, demand: bearergate.StepUp{ACR: []string{"mfa"}, MaxAge: time.Minute},
			wire: "INSUFFICIENT_CLAIMS", metadata: map[string]string{"claims": asks, "acr_values": "mfa", "max_age": "60"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.demand.AuthContext = "c1"
			claims := authtest.Claims{Scopes: scope.Of("read"), Raw: []byte(test.claims)}
			for _, by := range []struct {
				verifier bearergate.Verifier
				token    string
			}{{local, as.Token(claims)}, {remote, as.Opaque(claims)}} {
				var seen events
				gate := newGate(t, by.verifier, grpcgate.Config{StepUp: map[string]bearergate.StepUp{unaryCall: test.demand, duplex: test.demand}, Hooks: seen.hooks()})
				ctx := incoming(t.Context(), by.token)
				_, unary := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, nothing)
				stream := gate.Stream(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: duplex}, func(any, grpc.ServerStream) error { return nil })
				decided := seen.take()
				require.Len(t, decided, 2)
				for i, err := range []error{unary, stream} {
					if test.wire == "" {
						require.NoError(t, err)
						continue
					}
					require.Equal(t, test.metadata, requireStatus(t, err, codes.Unauthenticated, test.wire).GetMetadata())
					requireError(t, decided[i].Err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
				}
			}
		})
	}
}

// A stream ends when its token is out of the context.
func TestReverifyOfAnAuthContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			calls++
			return reader(func(c *bearergate.Claims) {
				if c.Raw = []byte(`{"acrs":["c1"],"xms_cc":["cp1"]}`); calls > 2 {
					c.Raw = []byte(`{"acrs":[],"xms_cc":["cp1"]}`)
				}
			}), nil
		})
		gate := newGate(t, v, grpcgate.Config{Reverify: 10 * time.Second, StepUp: map[string]bearergate.StepUp{duplex: {AuthContext: "c1"}}})
		err := follow(t, gate, new(fakeStream), func(s grpc.ServerStream) error { return s.RecvMsg(nil) })
		requireStatus(t, err, codes.Unauthenticated, "INSUFFICIENT_CLAIMS")
		require.Equal(t, 3, calls)
	})
}
