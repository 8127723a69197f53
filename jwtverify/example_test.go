package jwtverify_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

func Example() {
	as, err := authtest.Start() // stands in for the authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()

	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer:     as.Issuer(),
		Audiences:  []string{"https://api.example.test"},
		HTTPClient: as.Client(), // a service leaves it out
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, claims := range []authtest.Claims{
		{Subject: "alice", Scopes: scope.Of("orders:read")},
		{Subject: "bob"},
		{Audience: []string{"https://other.example.test"}},
		{ExpiresAt: time.Now().Add(-time.Hour)},
	} {
		token, err := verifier.Verify(context.Background(), as.Token(claims))
		switch {
		case errors.Is(err, bearergate.ErrInvalidToken):
			fmt.Println("401:", bearergate.ReasonOf(err))
		case err != nil:
			fmt.Println("not the client's fault:", bearergate.ReasonOf(err))
		case token.Authorize(scope.All("orders:read")) != nil:
			fmt.Println("403:", token.Subject())
		default:
			fmt.Println("hello,", token.Subject())
		}
	}
	// Output:
	// hello, alice
	// 403: bob
	// 401: audience
	// 401: expired
}

// A service that would rather not start than start without keys.
func ExampleVerifier_Warm() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	as.Fail(authtest.Fault{Status: 503})

	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
	})
	fmt.Println(err) // New touches no network
	err = verifier.Warm(context.Background())
	fmt.Println(errors.Is(err, bearergate.ErrUnavailable))
	// Output:
	// <nil>
	// true
}

// All mistakes at once.
func ExampleNew() {
	_, err := jwtverify.New(jwtverify.Config{
		Issuer:     "http://as.example.com",
		Algorithms: []string{"HS256"},
		Leeway:     time.Hour,
	})
	fmt.Println(errors.Is(err, bearergate.ErrMisconfigured), bearergate.ReasonOf(err))
	// Output: true config
}

// A denylist. Check is asked on every call, for remembered tokens too, and its
// outage must not read as a bad token.
func ExampleConfig_check() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	revoked, down := map[string]bool{}, false
	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		RequiredClaims: []string{"jti"},
		Check: func(_ context.Context, token *bearergate.Token) error {
			if down {
				return fmt.Errorf("%w: the denylist does not answer", bearergate.ErrUnavailable)
			}
			if revoked[token.ID()] {
				return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}
			}
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	raw := as.Token(authtest.Claims{ID: "id-1"})
	verify := func() {
		_, err := verifier.Verify(context.Background(), raw)
		fmt.Printf("%q %t\n", bearergate.ReasonOf(err), errors.Is(err, bearergate.ErrInvalidToken))
	}
	verify()
	revoked["id-1"] = true
	verify()
	down = true
	_, err = verifier.Verify(context.Background(), raw)
	fmt.Println(errors.Is(err, bearergate.ErrUnavailable))
	// Output:
	// "" false
	// "revoked" true
	// true
}

// With RFC 9068 no other kind of token can be mistaken for an access token.
func ExampleProfile() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	// An ID token without any mark of one, whose audience is the API.
	lookalike := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(authtest.Claims{}))
	for _, profile := range []jwtverify.Profile{jwtverify.AccessToken, jwtverify.RFC9068} {
		verifier, err := jwtverify.New(jwtverify.Config{
			Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Profile: profile,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = verifier.Verify(context.Background(), lookalike)
		fmt.Printf("%q\n", bearergate.ReasonOf(err))
	}
	// Output:
	// ""
	// "type"
}
