package grpcgate_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	proof "github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/proofs"
)

// proven runs a server whose calls need DPoP tokens of an authorization server.
func proven(t *testing.T, c proof.Config) (conn *grpc.ClientConn, s *service, issue func(cnf map[string]any) string) {
	t.Helper()
	as := authtest.New(t)
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"jkt"}})
	require.NoError(t, err)
	c.BaseURLs = []string{"https://api.example.com"}
	p, err := proof.New(c)
	require.NoError(t, err)
	s = new(service)
	conn = serve(t, newGate(t, v, grpcgate.Config{Bindings: []bearergate.Binding{p}}), s)
	return conn, s, func(cnf map[string]any) string {
		claims := authtest.Claims{Subject: "alice", Scopes: scope.Of("read")}
		if cnf != nil {
			claims.Confirmation = map[string][]byte{}
		}
		for name, value := range cnf {
			text, err := json.Marshal(value)
			require.NoError(t, err)
			claims.Confirmation[name] = text
		}
		return as.Token(claims)
	}
}

// sending is a context with what a client sends.
func sending(t *testing.T, sent proofs.Sent) context.Context {
	ctx := with(t, sent.Scheme+" "+sent.Token)
	for _, p := range sent.Proofs {
		ctx = metadata.AppendToOutgoingContext(ctx, "dpop", p)
	}
	return ctx
}

// Every row over gRPC, for a call and for a stream: htm is POST, htu is the base URL and
// the full method.
//
// req: R9449-08, R9449-09, R9449-15, R9449-18, R9449-20
func TestProofs(t *testing.T) {
	conn, served, issue := proven(t, proof.Config{})
	code := map[bearergate.Reason]string{bearergate.ReasonBinding: "INVALID_TOKEN", bearergate.ReasonProof: "INVALID_DPOP_PROOF"}
	for method, call := range map[string]func(context.Context, *grpc.ClientConn) error{unaryCall: call, duplex: stream} {
		scene := proofs.NewScene(t, "POST", "https://api.example.com"+method)
		for _, row := range proofs.Rows() {
			t.Run(method+" "+row.Name, func(t *testing.T) {
				s := scene
				s.T = t
				s.Token = issue(row.Cnf(s))
				for range 2 {
					before := served.count()
					sent := row.Make(s)
					err := call(sending(t, sent), conn)
					if row.Want == "" {
						require.NoError(t, err)
						continue
					}
					info := requireStatus(t, err, codes.Unauthenticated, code[row.Want])
					require.Equal(t, before, served.count(), "the handler ran")
					for _, p := range sent.Proofs {
						for part := range strings.SplitSeq(p, ".") {
							if len(part) >= 12 {
								require.NotContains(t, err.Error()+info.String(), part[:12])
							}
						}
					}
				}
			})
		}
	}
}

// A proof opens one call, and none of another method or over HTTP.
func TestProofOfOneCall(t *testing.T) {
	conn, served, issue := proven(t, proof.Config{})
	s := proofs.NewScene(t, "POST", "https://api.example.com"+unaryCall)
	valid := proofs.Row{}
	s.Token = issue(valid.Cnf(s))
	sent := valid.Make(s)
	require.NoError(t, call(sending(t, sent), conn))
	requireStatus(t, call(sending(t, sent), conn), codes.Unauthenticated, "INVALID_DPOP_PROOF")
	requireStatus(t, stream(sending(t, valid.Make(s)), conn), codes.Unauthenticated, "INVALID_DPOP_PROOF")
	s.Method = "GET"
	requireStatus(t, call(sending(t, valid.Make(s)), conn), codes.Unauthenticated, "INVALID_DPOP_PROOF")
	require.Equal(t, 1, served.count())
}

// A client that is told to use a nonce finds it in the trailers, and a new one in the
// headers.
//
// W2-161
// req: R9449-21
func TestNonceOverGRPC(t *testing.T) {
	for _, offer := range []bool{false, true} {
		nonces, err := proof.NewNonces(proof.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("n", 32))}, Offer: offer})
		require.NoError(t, err)
		conn, _, issue := proven(t, proof.Config{Nonces: nonces})
		s := proofs.NewScene(t, "POST", "https://api.example.com"+unaryCall)
		s.Token = issue(proofs.Row{}.Cnf(s))
		var header, trailer metadata.MD
		ask := func(row proofs.Row) error {
			_, err := grpc_testing.NewTestServiceClient(conn).UnaryCall(sending(t, row.Make(s)), &grpc_testing.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
			return err
		}
		err = ask(proofs.Row{})
		if offer {
			require.NoError(t, err)
			require.Len(t, header.Get("dpop-nonce"), 1)
			continue
		}
		requireStatus(t, err, codes.Unauthenticated, "USE_DPOP_NONCE")
		nonce := trailer.Get("dpop-nonce")
		require.Len(t, nonce, 1)
		require.NoError(t, ask(proofs.Row{Claims: map[string]any{"nonce": nonce[0]}}))
		require.Empty(t, header.Get("dpop-nonce"), "the one it has is new")
	}
}
