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
		credentials, err := bearergate.ParseCredentials(metadata["authorization"])
		if err != nil {
			return nil, err
		}
		token, _, err := bearergate.Authenticate(ctx, verifier, bearergate.Call{Credentials: credentials})
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

func ExampleToken_Authorize() {
	token := bearergate.NewToken(bearergate.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
	fmt.Println(token.Authorize(scope.Any("orders:read", "orders:admin")))

	err := token.Authorize(scope.All("orders:read", "orders:write"))
	fmt.Println(errors.Is(err, bearergate.ErrInsufficientScope), bearergate.AsError(err).Scopes)

	err = token.Authorize(scope.All()) // a mistake closes the route
	fmt.Println(errors.Is(err, bearergate.ErrInsufficientScope))
	// Output:
	// <nil>
	// true [orders:read orders:write]
	// true
}

// A verifier that panics, or returns a nil token without an error, refuses.
func ExampleVerify() {
	broken := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, nil // forgot to decide
	})
	token, err := bearergate.Verify(context.Background(), broken, "a-token")
	fmt.Println(token == nil, errors.Is(err, bearergate.ErrMisconfigured), bearergate.ReasonOf(err))
	// Output: true true internal
}

// Whose fault it is decides what to answer; the Reason is for operators.
func ExampleReasonOf() {
	for _, err := range []error{
		&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired},
		&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, RetryAfter: 5 * time.Second},
		errors.New("of nobody here"),
	} {
		switch {
		case errors.Is(err, bearergate.ErrInvalidToken):
			fmt.Println("the client's:", bearergate.ReasonOf(err))
		case errors.Is(err, bearergate.ErrUnavailable):
			fmt.Println("nobody's:", bearergate.ReasonOf(err), bearergate.AsError(err).RetryAfter)
		default:
			fmt.Printf("ours: %q\n", bearergate.ReasonOf(err))
		}
	}
	// Output:
	// the client's: expired
	// nobody's: keys_unavailable 5s
	// ours: ""
}

func ExampleFromContext() {
	token := bearergate.NewToken(bearergate.Claims{Subject: "alice"})
	ctx := bearergate.NewContext(context.Background(), token)

	if token, ok := bearergate.FromContext(ctx); ok {
		fmt.Println("hello,", token.Subject())
	}
	_, ok := bearergate.FromContext(context.Background())
	fmt.Println(ok)
	// Output:
	// hello, alice
	// false
}
