package sightings_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/scope"
)

// A token that is sent from four networks within five minutes.
func Example() {
	watch, err := sightings.New(sightings.Config{Hooks: sightings.Hooks{
		Suspected: func(_ context.Context, e sightings.Event) {
			fmt.Printf("a token of %s and %s was sent from %d networks\n", e.Token.Subject(), e.Token.ClientID(), e.Networks)
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	address, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{}) // no proxy stands in front
	if err != nil {
		fmt.Println(err)
		return
	}
	// A service uses jwtverify.New or introspect.New here.
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Subject: "alice", ClientID: "shop", ID: "8f0d"}), nil
	})
	gate, err := middleware.New(verifier, middleware.Config{ClientAddress: address, Hooks: watch.Hooks()})
	if err != nil {
		fmt.Println(err)
		return
	}
	profile := gate.Require(scope.Requirement{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, from := range []string{"192.0.2.7:1024", "192.0.2.99:1024", "198.51.100.7:1024", "203.0.113.7:1024", "198.18.0.7:1024"} {
		r := httptest.NewRequest(http.MethodGet, "/me", nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", "Bearer token-of-alice")
		profile.ServeHTTP(httptest.NewRecorder(), r)
	}
	fmt.Printf("%+v\n", watch.Status())
	// Output:
	// a token of alice and shop was sent from 4 networks
	// {Tokens:1 Seen:5 Suspected:1 Forgotten:0 WithoutID:0 WithoutAddress:0}
}
