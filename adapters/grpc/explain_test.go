package grpcgate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/scope"
)

// What Unary refuses, Explain refuses for the same Reason, and says at which step and
// what to do.
func TestExplain(t *testing.T) {
	v := bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		if raw != "good" {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired, Detail: "exp has passed"}
		}
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Subject: "s3cret", Scopes: scope.Of("read")}), nil
	})
	gate, err := grpcgate.New(v, grpcgate.Config{
		Methods:    map[string]scope.Requirement{"/a.S/Read": scope.All("read"), "/a.S/Write": scope.All("write"), "/a.S/StepUp": scope.All("read"), "/a.S/Context": scope.All("read"), "/a.S/Acting": scope.All("read"), "/a.S/Policy": scope.All("read"), "/a.S/PolicyAfter": scope.All("write"), "/a.S/Agreed": scope.All("read")},
		Delegation: map[string]bearergate.Delegation{"/a.S/Acting": {Actors: map[string][]bearergate.Actor{"https://as.example.com": {{Subject: "orders"}}}}},
		Policies: map[string][]func(context.Context, string, *bearergate.Token) error{
			"/a.S/Policy":      {func(context.Context, string, *bearergate.Token) error { return errors.New("no") }},
			"/a.S/PolicyAfter": {func(context.Context, string, *bearergate.Token) error { panic("asked") }},
			"/a.S/Agreed":      {func(_ context.Context, _ string, t *bearergate.Token) error { _ = t.Subject(); return nil }},
		},
		StepUp:        map[string]bearergate.StepUp{"/a.S/StepUp": {ACR: []string{"mfa"}}, "/a.S/Context": {AuthContext: "c1"}},
		Authenticated: []string{"/a.S/Any"},
		Public:        []string{"/a.S/Open"},
	})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		method, token string
		reason        bearergate.Reason
		failed        string
		advice        string
	}{
		"accepted":  {method: "/a.S/Read", token: "Bearer good"},
		"any token": {method: "/a.S/Any", token: "Bearer good"},
		"public":    {method: "/a.S/Open"},
		"unlisted":  {method: "/a.S/Other", token: "Bearer good", reason: bearergate.ReasonConfig, failed: "method"},
		"no token":  {method: "/a.S/Read", reason: bearergate.ReasonNoToken, failed: "credential", advice: "No token arrived"},
		"malformed": {method: "/a.S/Read", token: "Bearer a b", reason: bearergate.ReasonBadRequest, failed: "credential", advice: "Have the client send exactly one"},
		"DPoP":      {method: "/a.S/Read", token: "DPoP good", reason: bearergate.ReasonBinding, failed: "credential", advice: "The client uses DPoP"},
		"expired":   {method: "/a.S/Read", token: "Bearer old", reason: bearergate.ReasonExpired, failed: "verifier"},
		"scope":     {method: "/a.S/Write", token: "Bearer good", reason: bearergate.ReasonScope, failed: "scope", advice: "Have the client ask for these scopes"},
		"step-up":   {method: "/a.S/StepUp", token: "Bearer good", reason: bearergate.ReasonAuthentication, failed: "authentication", advice: "The access token does not say how or when the user authenticated"},
		"context":   {method: "/a.S/Context", token: "Bearer good", reason: bearergate.ReasonAuthentication, failed: "authentication", advice: "The user has to satisfy the authentication context"},
		"policy":    {method: "/a.S/Policy", token: "Bearer good", reason: bearergate.ReasonPolicy, failed: "policy", advice: "A function of Config.Policies refuses"},
		"agreed":    {method: "/a.S/Agreed", token: "Bearer good"},
		"not asked": {method: "/a.S/PolicyAfter", token: "Bearer good", reason: bearergate.ReasonScope, failed: "scope", advice: "Have the client ask for these scopes"},
		"actor":     {method: "/a.S/Acting", token: "Bearer good", reason: bearergate.ReasonActor, failed: "delegation", advice: "The token is valid, and who acts for its subject"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tt.token != "" {
				ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", tt.token))
			}
			_, err := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: tt.method}, func(context.Context, any) (any, error) { return nil, nil })
			e := gate.Explain(ctx, tt.method)
			require.Equal(t, err == nil, e.Err == nil, "%v", e)
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			s, _ := e.Failed()
			require.Equal(t, tt.failed, s.Name)
			if tt.advice != "" {
				require.Contains(t, e.Advice[0], tt.advice)
			}
			require.NotContains(t, e.String(), "s3cret")
		})
	}
	for _, gate := range []*grpcgate.Gate{nil, new(grpcgate.Gate)} {
		require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(gate.Explain(t.Context(), "/a.S/Read").Err))
	}
}
