package bearergate_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// In a gRPC interceptor a token's way is four calls. The metadata stands in
// for metadata.FromIncomingContext, the function for a verifier of package
// jwtverify or introspect.
func Example_interceptor() {
	verifier := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		if token != "opaque-token-of-alice" {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		}
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example", Subject: "alice", Scopes: scope.Of("orders:read")}), nil
	})

	authenticate := func(ctx context.Context, metadata map[string][]string) (context.Context, error) {
		raw, err := bearergate.BearerToken(metadata["authorization"])
		if err != nil {
			return nil, err
		}
		token, err := bearergate.Verify(ctx, verifier, raw)
		if err != nil {
			return nil, err
		}
		if err := token.Authorize(scope.All("orders:read")); err != nil {
			return nil, err
		}
		return bearergate.NewContext(ctx, token), nil
	}

	for _, header := range [][]string{{"Bearer opaque-token-of-alice"}, {"Bearer guessed"}, {"Bearer a", "Bearer b"}, nil} {
		ctx, err := authenticate(context.Background(), map[string][]string{"authorization": header})
		if err != nil {
			fmt.Println("refused:", bearergate.ReasonOf(err))
			continue
		}
		token, _ := bearergate.FromContext(ctx)
		fmt.Println("welcome,", token.Subject())
	}
	// Output:
	// welcome, alice
	// refused: inactive
	// refused: bad_request
	// refused: no_token
}

func ExampleBearerToken() {
	token, err := bearergate.BearerToken([]string{"bearer dG9rZW4="})
	fmt.Println(token, err)
	_, err = bearergate.BearerToken([]string{"Bearer one", "Bearer two"})
	fmt.Println(errors.Is(err, bearergate.ErrInvalidRequest))
	// Output:
	// dG9rZW4= <nil>
	// true
}

func ExampleAsError() {
	token := bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("orders:read")})
	err := token.Authorize(scope.All("orders:read", "orders:write"))
	if e := bearergate.AsError(err); e.Kind == bearergate.ErrInsufficientScope {
		fmt.Println(e.Reason, e.Scopes)
	}
	// Output: scope [orders:read orders:write]
}

func ExampleToken_Claims() {
	token := bearergate.NewToken(bearergate.Claims{
		Issuer: "https://as.example",
		Raw:    []byte(`{"iss":"https://as.example","tenant":"blue","realm_access":{"roles":["admin"]}}`),
	})
	var claims struct {
		Tenant string `json:"tenant"`
		Realm  struct {
			Roles []string `json:"roles"`
		} `json:"realm_access"`
	}
	if err := token.Claims(&claims); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.Tenant, claims.Realm.Roles)
	// Output: blue [admin]
}

func ExampleToken_String() {
	token := bearergate.NewToken(bearergate.Claims{
		Issuer: "https://as.example", Subject: "alice@example.com", ExpiresAt: time.Unix(2_000_000_000, 0),
	})
	fmt.Println(token) // nothing personal
	// Output: bearergate.Token{issuer: "https://as.example", expires: 2033-05-18T03:33:20Z}
}
