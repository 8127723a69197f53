package grpcgate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate/authtest"
	proof "github.com/bearergate/bearergate/binding/dpop"
)

// sender is how a client's key becomes credentials.PerRPCCredentials: each call gets a
// proof of its own.
type sender struct {
	key                   *authtest.DPoPKey
	baseURL, token, nonce string
}

func (s sender) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	call, _ := credentials.RequestInfoFromContext(ctx) // the URI that is passed has no method
	return s.key.Metadata(s.baseURL, call.Method, s.token, s.nonce)
}

func (sender) RequireTransportSecurity() bool { return false } // the tests are in memory

// call makes a call, and returns the nonce that the server gave, too.
func (s sender) call(ctx context.Context, conn *grpc.ClientConn) (nonce string, err error) {
	var header, trailer metadata.MD
	_, err = grpc_testing.NewTestServiceClient(conn).UnaryCall(ctx, &grpc_testing.SimpleRequest{},
		grpc.PerRPCCredentials(s), grpc.Header(&header), grpc.Trailer(&trailer))
	return strings.Join(append(header.Get("dpop-nonce"), trailer.Get("dpop-nonce")...), " "), err
}

// What authtest.DPoPKey.Metadata makes opens a gate that checks it, and only the call that
// it is for.
func TestCredentialsOfAuthtest(t *testing.T) {
	conn, served, issue := proven(t, proof.Config{})
	key, err := authtest.NewDPoPKey("ES256")
	require.NoError(t, err)
	other, err := authtest.NewDPoPKey("ES256")
	require.NoError(t, err)
	token := issue(map[string]any{"jkt": key.Thumbprint()})
	for _, row := range []struct {
		name string
		sent sender
		want string // the reason of the status
	}{
		{name: "good", sent: sender{key: key, baseURL: "https://api.example.com", token: token}},
		{name: "good, with a slash", sent: sender{key: key, baseURL: "https://api.example.com/", token: token}},
		{name: "another server", sent: sender{key: key, baseURL: "https://other.example.com", token: token}, want: "INVALID_DPOP_PROOF"},
		{name: "another key", sent: sender{key: other, baseURL: "https://api.example.com", token: token}, want: "INVALID_TOKEN"},
		{name: "a token without a key", sent: sender{key: key, baseURL: "https://api.example.com", token: issue(nil)}, want: "INVALID_TOKEN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := served.count()
			for range 2 { // a proof counts once: the second call has another
				_, err := row.sent.call(t.Context(), conn)
				if row.want != "" {
					requireStatus(t, err, codes.Unauthenticated, row.want)
					continue
				}
				require.NoError(t, err)
			}
			if row.want != "" {
				require.Equal(t, before, served.count(), "the handler ran")
			}
		})
	}
}

// A client that sends the nonce it was given is let in.
func TestCredentialsOfAuthtestWithNonce(t *testing.T) {
	nonces, err := proof.NewNonces(proof.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("n", 32))}})
	require.NoError(t, err)
	conn, _, issue := proven(t, proof.Config{Nonces: nonces})
	key, err := authtest.NewDPoPKey("Ed25519")
	require.NoError(t, err)
	client := sender{key: key, baseURL: "https://api.example.com", token: issue(map[string]any{"jkt": key.Thumbprint()})}
	client.nonce, err = client.call(t.Context(), conn)
	requireStatus(t, err, codes.Unauthenticated, "USE_DPOP_NONCE")
	_, err = client.call(t.Context(), conn)
	require.NoError(t, err)
}

// Credentials that cannot be made fail the call, which is not sent.
func TestCredentialsOfAuthtestWithoutKey(t *testing.T) {
	conn, served, issue := proven(t, proof.Config{})
	_, err := sender{baseURL: "https://api.example.com", token: issue(nil)}.call(t.Context(), conn)
	require.ErrorContains(t, err, "NewDPoPKey")
	require.Zero(t, served.count())
}
