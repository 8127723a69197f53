package grpcgate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// binding confirms what its function says, and counts how often it is asked.
type binding struct {
	scheme  bearergate.Scheme
	members []string
	reply   bearergate.Reply
	confirm func(context.Context, bearergate.Call, *bearergate.Token) error // nil: yes
	asked   atomic.Int32
}

func (b *binding) Scheme() bearergate.Scheme    { return b.scheme }
func (b *binding) Members() []string            { return b.members }
func (b *binding) Challenge() map[string]string { return nil }

func (b *binding) Confirm(ctx context.Context, c bearergate.Call, t *bearergate.Token) (bearergate.Reply, error) {
	b.asked.Add(1)
	if b.confirm == nil {
		return b.reply, nil
	}
	return b.reply, b.confirm(ctx, c, t)
}

func dpop() *binding { return &binding{scheme: bearergate.SchemeDPoP, members: []string{"jkt"}} }
func mtls() *binding {
	return &binding{scheme: bearergate.SchemeBearer, members: []string{"x5t#S256"}}
}

func (b *binding) that(confirm func(context.Context, bearergate.Call, *bearergate.Token) error) *binding {
	b.confirm = confirm
	return b
}

func (b *binding) says(err error) *binding {
	return b.that(func(context.Context, bearergate.Call, *bearergate.Token) error { return err })
}

func boundBy(members ...string) *bearergate.Token {
	return reader(func(c *bearergate.Claims) {
		c.Confirmation = map[string][]byte{}
		for _, m := range members {
			c.Confirmation[m] = []byte(`"abc"`)
		}
	})
}

// req: FAPI2-03 R8705-11 R9449-18 R9449-20
func TestBindings(t *testing.T) {
	const cert, jkt = "x5t#S256", "jkt"
	invalid, binds := bearergate.ErrInvalidToken, bearergate.ReasonBinding
	for name, test := range map[string]struct {
		token    *bearergate.Token
		scheme   string // default Bearer
		bindings []*binding
		require  bool
		kind     error
		reason   bearergate.Reason
		wire     string // default INVALID_TOKEN
		asked    int32  // each of the bindings
		unproven bool   // refused before the token counted as its sender's: no Token for the hook
	}{
		"not bound":                         {token: reader(nil), bindings: []*binding{dpop(), mtls()}},
		"not bound, no Bindings":            {token: reader(nil)},
		"not bound, but has to be":          {token: reader(nil), bindings: []*binding{mtls()}, require: true, kind: invalid, reason: binds},
		"not bound, under DPoP":             {token: reader(nil), scheme: "DPoP", bindings: []*binding{dpop()}, kind: invalid, reason: binds, unproven: true},
		"not bound, under DPoP, no Binding": {token: reader(nil), scheme: "DPoP", kind: invalid, reason: binds, unproven: true},
		"no Bindings":                       {token: boundBy(cert), kind: invalid, reason: binds, unproven: true},
		"no Bindings, under DPoP":           {token: boundBy(jkt), scheme: "DPoP", kind: invalid, reason: binds, unproven: true},
		"another Binding":                   {token: boundBy(cert), bindings: []*binding{dpop()}, kind: invalid, reason: binds, unproven: true},
		"a member that nobody confirms":     {token: boundBy(cert, "kid"), bindings: []*binding{mtls()}, kind: invalid, reason: binds, unproven: true},
		"jkt under Bearer":                  {token: boundBy(jkt), bindings: []*binding{dpop()}, kind: invalid, reason: binds, unproven: true},
		"confirmed":                         {token: boundBy(cert), bindings: []*binding{mtls()}, asked: 1},
		"confirmed, and has to be":          {token: boundBy(cert), bindings: []*binding{mtls()}, require: true, asked: 1},
		"confirmed by DPoP":                 {token: boundBy(jkt), scheme: "dpop", bindings: []*binding{dpop()}, asked: 1},
		"confirmed by both":                 {token: boundBy(jkt, cert), scheme: "DPoP", bindings: []*binding{dpop(), mtls()}, asked: 1},
		"confirmed, but without the scope": {token: boundBy(cert).With(func(c *bearergate.Claims) { c.Scopes = scope.Of("write") }), bindings: []*binding{mtls()},
			kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope, wire: "INSUFFICIENT_SCOPE", asked: 1},
		"refused": {token: boundBy(cert), bindings: []*binding{mtls().says(errors.New("another key"))},
			kind: invalid, reason: binds, asked: 1, unproven: true},
		"a wrong proof": {token: boundBy(jkt), scheme: "DPoP", bindings: []*binding{dpop().says(&bearergate.Error{Kind: invalid, Reason: bearergate.ReasonProof})},
			kind: invalid, reason: bearergate.ReasonProof, wire: "INVALID_DPOP_PROOF", asked: 1, unproven: true},
		"a replay": {token: boundBy(jkt), scheme: "DPoP", bindings: []*binding{dpop().says(&bearergate.Error{Kind: invalid, Reason: bearergate.ReasonReplay})},
			kind: invalid, reason: bearergate.ReasonReplay, wire: "INVALID_DPOP_PROOF", asked: 1, unproven: true},
		"a proof without nonce": {token: boundBy(jkt), scheme: "DPoP", bindings: []*binding{dpop().says(&bearergate.Error{Kind: invalid, Reason: bearergate.ReasonNonce})},
			kind: invalid, reason: bearergate.ReasonNonce, wire: "USE_DPOP_NONCE", asked: 1, unproven: true},
		"refused in our terms": {token: boundBy(cert), bindings: []*binding{mtls().says(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded})},
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded, wire: "TEMPORARILY_UNAVAILABLE", asked: 1, unproven: true},
		"two sentinels": {token: boundBy(cert), bindings: []*binding{mtls().says(fmt.Errorf("%w %w", bearergate.ErrUnavailable, bearergate.ErrMissingToken))},
			kind: invalid, reason: binds, asked: 1, unproven: true},
		"timed out": {token: boundBy(cert), bindings: []*binding{mtls().says(context.DeadlineExceeded)},
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, wire: "TEMPORARILY_UNAVAILABLE", asked: 1, unproven: true},
		"panicked": {token: boundBy(cert), bindings: []*binding{mtls().that(func(context.Context, bearergate.Call, *bearergate.Token) error { panic("boom") })},
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, wire: "MISCONFIGURED", asked: 1, unproven: true},
		"panics when looked at": {token: boundBy(cert), bindings: []*binding{mtls().says(explosive{})},
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, wire: "MISCONFIGURED", asked: 1, unproven: true},
	} {
		t.Run(name, func(t *testing.T) {
			var seen events
			s := new(service)
			c := grpcgate.Config{RequireBinding: test.require, Hooks: seen.hooks()}
			for _, b := range test.bindings {
				c.Bindings = append(c.Bindings, b)
			}
			conn := serve(t, newGate(t, answers(test.token, nil), c), s)
			if test.scheme == "" {
				test.scheme = "Bearer"
			}
			if test.wire == "" {
				test.wire = "INVALID_TOKEN"
			}
			for i, call := range []func(context.Context, *grpc.ClientConn) error{call, stream} {
				err := call(with(t, test.scheme+" x"), conn)
				for _, b := range test.bindings {
					require.Equal(t, test.asked*int32(i+1), b.asked.Load())
				}
				decided := seen.take()
				require.Len(t, decided, 1)
				require.Equal(t, test.unproven, decided[0].Token == nil)
				if !test.unproven {
					require.Equal(t, "alice", decided[0].Token.Subject(), "for audit")
					require.Equal(t, test.asked > 0, decided[0].Token.Proven())
				}
				if test.kind == nil {
					require.NoError(t, err)
					require.Equal(t, i+1, s.count())
					continue
				}
				requireError(t, decided[0].Err, test.kind, test.reason)
				requireStatus(t, err, status.Code(err), test.wire)
				require.Zero(t, s.count(), "the handler ran")
			}
		})
	}
}

// Which credentials count where a method is for DPoP.
// req: R9449-28 R9449-41
func TestCredentialsOfACall(t *testing.T) {
	for _, test := range []struct {
		name     string
		token    *bearergate.Token // default: bound by jkt
		metadata []string
		require  bool // Config.RequireBinding
		code     codes.Code
		wire     string
		asked    int32
	}{
		{name: "with its proof", metadata: []string{"authorization", "DPoP x", "dpop", "proof"}, asked: 1},
		{name: "W2-148 nothing", code: codes.Unauthenticated, wire: "MISSING_TOKEN"},
		{name: "a proof alone", metadata: []string{"dpop", "proof"}, code: codes.Unauthenticated, wire: "MISSING_TOKEN"},
		{name: "in proxy-authorization", metadata: []string{"proxy-authorization", "DPoP x", "dpop", "proof"}, code: codes.Unauthenticated, wire: "MISSING_TOKEN"},
		{name: "another one in proxy-authorization", metadata: []string{"authorization", "DPoP x", "proxy-authorization", "Bearer y", "dpop", "proof"}, asked: 1},
		{name: "W2-147 Bearer and DPoP", metadata: []string{"authorization", "Bearer x", "authorization", "DPoP x", "dpop", "proof"}, code: codes.InvalidArgument, wire: "INVALID_REQUEST"},
		{name: "DPoP twice", metadata: []string{"authorization", "DPoP x", "authorization", "DPoP x", "dpop", "proof"}, code: codes.InvalidArgument, wire: "INVALID_REQUEST"},
		{name: "W2-140 as a Bearer token", metadata: []string{"authorization", "Bearer x", "dpop", "proof"}, code: codes.Unauthenticated, wire: "INVALID_TOKEN"},
		{name: "W2-143 an unbound Bearer token with a stray proof", token: reader(nil), metadata: []string{"authorization", "Bearer x", "dpop", "proof"}},
		{name: "W2-143 the same, where a bound one is demanded", token: reader(nil), require: true, metadata: []string{"authorization", "Bearer x", "dpop", "proof"}, code: codes.Unauthenticated, wire: "INVALID_TOKEN"},
		{name: "W2-154 a member that nobody confirms", token: boundBy("jkt", "x"), metadata: []string{"authorization", "DPoP x", "dpop", "proof"}, code: codes.Unauthenticated, wire: "INVALID_TOKEN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.token == nil {
				test.token = boundBy("jkt")
			}
			b, s := dpop(), new(service)
			conn := serve(t, newGate(t, answers(test.token, nil), grpcgate.Config{Bindings: []bearergate.Binding{b}, RequireBinding: test.require}), s)
			for i, call := range []func(context.Context, *grpc.ClientConn) error{call, stream} {
				err := call(metadata.AppendToOutgoingContext(t.Context(), test.metadata...), conn)
				require.Equal(t, test.asked*int32(i+1), b.asked.Load())
				if test.wire == "" {
					require.NoError(t, err)
					require.Equal(t, i+1, s.count())
					continue
				}
				requireStatus(t, err, test.code, test.wire)
				require.Zero(t, s.count(), "the handler ran")
			}
		})
	}
}

// A real JWT that is bound, and a handler that cannot forget it.
func TestABoundTokenOfARealVerifier(t *testing.T) {
	as := authtest.New(t)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		Confirmations: []string{"jkt"}})
	require.NoError(t, err)
	b := dpop().that(func(_ context.Context, c bearergate.Call, t *bearergate.Token) error {
		if jkt, _ := t.Confirmation().Value("jkt"); len(c.Values("DPoP")) != 1 || c.Values("DPoP")[0] != jkt {
			return errors.New("no proof")
		}
		return nil
	})
	s := new(service)
	conn := serve(t, newGate(t, verifier, grpcgate.Config{Bindings: []bearergate.Binding{b}}), s)
	token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read"), Confirmation: map[string][]byte{"jkt": []byte(`"key"`)}})
	for _, call := range []func(context.Context, *grpc.ClientConn) error{call, stream} {
		before := s.count()
		requireStatus(t, call(bearer(t, token), conn), codes.Unauthenticated, "INVALID_TOKEN")
		requireStatus(t, call(with(t, "DPoP "+token), conn), codes.Unauthenticated, "INVALID_TOKEN")
		requireStatus(t, call(metadata.AppendToOutgoingContext(with(t, "DPoP "+token), "dpop", "other"), conn), codes.Unauthenticated, "INVALID_TOKEN")
		requireStatus(t, call(metadata.AppendToOutgoingContext(with(t, "DPoP "+token), "dpop", "key", "dpop", "key"), conn), codes.Unauthenticated, "INVALID_TOKEN")
		require.Equal(t, before, s.count())
		require.NoError(t, call(metadata.AppendToOutgoingContext(with(t, "DPoP "+token), "dpop", "key"), conn))
		require.Equal(t, before+1, s.count())
	}
}

// Whether verifier and bindings fit together is found out by New, where it can be.
func TestNewComparesConfirmations(t *testing.T) {
	tells := func(members ...string) bearergate.Verifier {
		return telling{answers(nil, nil), func() []string { return members }}
	}
	silent := answers(nil, nil)
	for name, test := range map[string]struct {
		verifier, via bearergate.Verifier
		bindings      []bearergate.Binding
		mistakes      []string
	}{
		"the same":      {verifier: tells("jkt", "x5t#S256"), bindings: []bearergate.Binding{mtls(), dpop()}},
		"none":          {verifier: tells()},
		"does not tell": {verifier: silent, bindings: []bearergate.Binding{dpop()}},
		"says nothing":  {verifier: telling{silent, func() []string { return nil }}, bindings: []bearergate.Binding{dpop()}},
		"says none": {verifier: telling{silent, func() []string { return []string{} }}, bindings: []bearergate.Binding{dpop()},
			mistakes: []string{`the verifier refuses tokens with the members ["jkt"] of cnf`}},
		"panics": {verifier: telling{silent, func() []string { panic("boom") }}, bindings: []bearergate.Binding{dpop()}},
		"useless": {verifier: tells("jkt"), bindings: []bearergate.Binding{mtls(), dpop()},
			mistakes: []string{`the verifier refuses tokens with the members ["x5t#S256"] of cnf`}},
		"of use for Via": {verifier: tells("jkt"), via: tells("x5t#S256"), bindings: []bearergate.Binding{mtls(), dpop()}},
		"perhaps of use": {verifier: tells(), via: silent, bindings: []bearergate.Binding{mtls(), dpop()}},
		"unconfirmed":    {verifier: tells("jkt"), mistakes: []string{`have the members ["jkt"] of cnf, which nobody confirms`}},
		"both": {verifier: tells("jkt"), via: tells("jkt", "kid"), bindings: []bearergate.Binding{mtls()},
			mistakes: []string{`the members ["x5t#S256"]`, "Confirmations have the members [\"jkt\" \"kid\"]"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := grpcgate.Config{Authenticated: []string{unaryCall}, Bindings: test.bindings}
			if test.via != nil {
				c.Via = map[string]bearergate.Verifier{unaryCall: test.via}
			}
			_, err := grpcgate.New(test.verifier, c)
			if test.mistakes == nil {
				require.NoError(t, err)
			}
			for _, mistake := range test.mistakes {
				requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
				require.ErrorContains(t, err, mistake)
			}
		})
	}
}

type telling struct {
	bearergate.Verifier
	confirmations func() []string
}

func (v telling) Confirmations() []string { return v.confirmations() }

// W2-161: what a binding sees of a call, and what the client sees of its reply.
func TestCallAndReply(t *testing.T) {
	var shown bearergate.Call
	var refuse error
	b := dpop().that(func(ctx context.Context, c bearergate.Call, token *bearergate.Token) error {
		method, _ := grpc.Method(ctx)
		require.Equal(t, c.Target, method, "the context of the call")
		require.Equal(t, "alice", token.Subject())
		shown = c
		return refuse
	})
	b.reply = bearergate.Reply{"DPoP-Nonce": "n1", "bad name": "x", "Broken": "a\nb", "Grpc-Status": "0", "x-bin": "x", "": "x"}
	gate := newGate(t, answers(boundBy("jkt"), nil), grpcgate.Config{Bindings: []bearergate.Binding{b}})
	failing := &service{echo: func(grpc_testing.TestService_FullDuplexCallServer) error { return status.Error(codes.NotFound, "") }}
	client := grpc_testing.NewTestServiceClient(serve(t, gate, failing))
	ctx := metadata.AppendToOutgoingContext(with(t, "DPoP x"), "DPoP", "p1", "dpop", "p2")
	nonce := []string{"n1"}

	var header, trailer metadata.MD
	_, err := client.UnaryCall(ctx, &grpc_testing.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
	require.NoError(t, err)
	require.Equal(t, nonce, header["dpop-nonce"])
	require.Empty(t, trailer)
	for _, name := range []string{"bad name", "broken", "grpc-status", "x-bin"} {
		require.Empty(t, header[name], name)
	}
	require.Equal(t, "POST", shown.Method)
	require.Equal(t, unaryCall, shown.Target)
	require.Equal(t, "memory", shown.Host)
	require.Equal(t, bearergate.SchemeDPoP, shown.Scheme)
	require.Equal(t, "x", shown.Raw.Reveal())
	require.Equal(t, []string{"p1", "p2"}, shown.Values("DPoP"))
	require.Equal(t, []string{"p1", "p2"}, shown.Values("dpop"))
	require.Empty(t, shown.Values("none"))
	require.Nil(t, shown.TLS)
	require.False(t, shown.Peer.IsValid(), "a connection in memory has no address")

	opened, err := client.FullDuplexCall(ctx)
	require.NoError(t, err)
	header, err = opened.Header()
	require.NoError(t, err)
	require.Equal(t, nonce, header["dpop-nonce"], "also where the handler fails")
	_, err = opened.Recv()
	require.Equal(t, codes.NotFound, status.Code(err))
	require.Equal(t, duplex, shown.Target)

	refuse = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonNonce}
	_, err = client.UnaryCall(ctx, &grpc_testing.SimpleRequest{}, grpc.Trailer(&trailer))
	requireStatus(t, err, codes.Unauthenticated, "USE_DPOP_NONCE")
	require.Equal(t, nonce, trailer["dpop-nonce"])
	opened, err = client.FullDuplexCall(ctx)
	require.NoError(t, err)
	_, err = opened.Recv()
	requireStatus(t, err, codes.Unauthenticated, "USE_DPOP_NONCE")
	require.Equal(t, nonce, opened.Trailer()["dpop-nonce"])

	// A reply comes with a refusal for another reason too.
	refuse = nil
	gate = newGate(t, answers(boundBy("jkt"), nil), grpcgate.Config{Bindings: []bearergate.Binding{b},
		Methods: map[string]scope.Requirement{unaryCall: scope.All("admin")}})
	client = grpc_testing.NewTestServiceClient(serve(t, gate, new(service)))
	_, err = client.UnaryCall(ctx, &grpc_testing.SimpleRequest{}, grpc.Trailer(&trailer))
	requireStatus(t, err, codes.PermissionDenied, "INSUFFICIENT_SCOPE")
	require.Equal(t, nonce, trailer["dpop-nonce"])

	// Without gRPC there is nobody to send it to, and nothing breaks.
	b.confirm = nil
	_, err = gate.Unary(metadata.NewIncomingContext(t.Context(), metadata.MD{"Authorization": {"DPoP x"}}), nil,
		&grpc.UnaryServerInfo{FullMethod: unaryCall}, nothing)
	requireStatus(t, err, codes.PermissionDenied, "INSUFFICIENT_SCOPE")
}

// Over TCP and TLS: the certificate of the client and its address. The gate is there
// twice, as where a library brings its own: the proof is asked for once.
func TestTLSAndTwoGates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"orders.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)

	other := mtls()
	b := mtls().that(func(ctx context.Context, c bearergate.Call, _ *bearergate.Token) error {
		p, _ := peer.FromContext(ctx)
		if c.TLS == nil || len(c.TLS.PeerCertificates) != 1 || string(c.TLS.PeerCertificates[0].Raw) != string(der) || c.Peer.String() != p.Addr.String() {
			return errors.New("another certificate")
		}
		return nil
	})
	var seen events
	v := answers(boundBy("x5t#S256"), nil)
	outer := newGate(t, v, grpcgate.Config{Bindings: []bearergate.Binding{b}, Hooks: seen.hooks()})
	same := newGate(t, v, grpcgate.Config{Bindings: []bearergate.Binding{b}, RequireBinding: true, Hooks: seen.hooks()})
	another := newGate(t, v, grpcgate.Config{Bindings: []bearergate.Binding{other}, Hooks: seen.hooks()})
	var options []grpc.ServerOption
	for _, gate := range []*grpcgate.Gate{outer, outer, same, another} {
		options = append(options, gate.ServerOptions()...)
	}
	server := grpc.NewServer(append(options, grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert})))...)
	s := new(service)
	grpc_testing.RegisterTestServiceServer(server, s)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "orders.example", Certificates: []tls.Certificate{certificate}})))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-ended)
	})
	for i, call := range []func(context.Context, *grpc.ClientConn) error{call, stream} {
		require.NoError(t, call(bearer(t, "x"), conn))
		require.EqualValues(t, i+1, b.asked.Load(), "once for a call")
		require.EqualValues(t, i+1, other.asked.Load(), "another binding has not seen the proof")
		for _, event := range seen.take() {
			require.NoError(t, event.Err)
			require.True(t, event.Token.Proven())
		}
	}
	require.Equal(t, 2, s.count())
}

// Two gates in memory, with a proof that is good once.
func TestTwoGatesAskOnce(t *testing.T) {
	used := map[string]bool{}
	b := dpop()
	b.confirm = func(_ context.Context, c bearergate.Call, _ *bearergate.Token) error {
		proof := c.Values("dpop")[0]
		if used[proof] {
			return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay}
		}
		used[proof] = true
		return nil
	}
	gate := newGate(t, answers(boundBy("jkt"), nil), grpcgate.Config{Bindings: []bearergate.Binding{b}})
	conn := serve(t, gate, new(service), gate.ServerOptions()...)
	for i, call := range []func(context.Context, *grpc.ClientConn) error{call, stream} {
		ctx := metadata.AppendToOutgoingContext(with(t, "DPoP x"), "dpop", fmt.Sprint(i))
		require.NoError(t, call(ctx, conn))
		require.EqualValues(t, 2*i+1, b.asked.Load())
		requireStatus(t, call(ctx, conn), codes.Unauthenticated, "INVALID_DPOP_PROOF")
		require.EqualValues(t, 2*i+2, b.asked.Load())
	}
}

// The proof that opened a stream stays good, and only for the same token.
func TestReverifyNeverAsksForAProof(t *testing.T) {
	change := func(f func(*bearergate.Claims)) func() (*bearergate.Token, error) {
		return func() (*bearergate.Token, error) { return boundBy("jkt").With(f), nil }
	}
	good := change(func(*bearergate.Claims) {})
	for name, test := range map[string]struct {
		later func() (*bearergate.Token, error)
		kind  error // nil: it stays
	}{
		"unchanged":     {later: good},
		"more scopes":   {later: change(func(c *bearergate.Claims) { c.Scopes = scope.Of("read", "write") })},
		"fewer scopes":  {change(func(c *bearergate.Claims) { c.Scopes = scope.Of("write") }), bearergate.ErrInsufficientScope},
		"another key":   {change(func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`"other"`) }), bearergate.ErrInvalidToken},
		"another cnf":   {change(func(c *bearergate.Claims) { c.Confirmation["x5t#S256"] = []byte(`"a"`) }), bearergate.ErrInvalidToken},
		"no cnf":        {change(func(c *bearergate.Claims) { c.Confirmation = nil }), bearergate.ErrInvalidToken},
		"an empty cnf":  {change(func(c *bearergate.Claims) { c.Confirmation = map[string][]byte{} }), bearergate.ErrInvalidToken},
		"another iss":   {change(func(c *bearergate.Claims) { c.Issuer = "https://other.example" }), bearergate.ErrInvalidToken},
		"another sub":   {change(func(c *bearergate.Claims) { c.Subject = "mallory" }), bearergate.ErrInvalidToken},
		"another party": {change(func(c *bearergate.Claims) { c.ClientID = "app" }), bearergate.ErrInvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen events
				b := dpop()
				v := &verdicts{list: []func() (*bearergate.Token, error){good, test.later}}
				gate := newGate(t, v, grpcgate.Config{Reverify: 10 * time.Second, Bindings: []bearergate.Binding{b}, RequireBinding: true, Hooks: seen.hooks()})
				ctx, cancel := context.WithTimeout(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "DPoP x")), time.Minute)
				defer cancel()
				err := gate.Stream(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: duplex}, func(_ any, s grpc.ServerStream) error {
					return s.RecvMsg(nil)
				})
				decided := seen.take()
				require.EqualValues(t, 1, b.asked.Load(), "a proof is good once")
				if test.kind == nil {
					require.Equal(t, codes.DeadlineExceeded, status.Code(err), "the test's own end")
					require.Len(t, decided, 1)
					require.GreaterOrEqual(t, v.calls.Load(), int32(6))
					return
				}
				require.EqualValues(t, 2, v.calls.Load())
				require.Len(t, decided, 2)
				require.ErrorIs(t, decided[1].Err, test.kind)
				if test.kind == bearergate.ErrInvalidToken {
					requireError(t, decided[1].Err, test.kind, bearergate.ReasonBinding)
				}
				require.True(t, decided[1].Midstream)
			})
		})
	}
}
