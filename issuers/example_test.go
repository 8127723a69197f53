package issuers_test

import (
	"context"
	"fmt"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
)

func ExampleNewRouter() {
	ours, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://as.example.test"))
	defer ours.Close()
	partner, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://partner.example.test"))
	defer partner.Close()
	stranger, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://stranger.example.test"))
	defer stranger.Close()

	members := map[string]bearergate.Verifier{}
	for _, as := range []*authtest.Server{ours, partner} {
		v, err := jwtverify.New(jwtverify.Config{
			Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		members[as.Issuer()] = v
	}
	// Stands in for an introspect.Client.
	opaque := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		if token != "2YotnFZFEjr1zCsicMWpAA" {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		}
		return bearergate.NewToken(bearergate.Claims{Issuer: ours.Issuer(), Subject: "bob"}), nil
	})
	router, err := issuers.NewRouter(issuers.Config{Issuers: members, Opaque: opaque})
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, raw := range []string{
		ours.Token(authtest.Claims{Subject: "alice"}),
		partner.Token(authtest.Claims{Subject: "carol"}),
		partner.Token(authtest.Claims{Issuer: ours.Issuer()}), // says that it is ours
		stranger.Token(authtest.Claims{}),                     // is sent to nobody
		"2YotnFZFEjr1zCsicMWpAA",
	} {
		token, err := router.Verify(context.Background(), raw)
		if err != nil {
			fmt.Println("refused:", bearergate.ReasonOf(err))
			continue
		}
		fmt.Println("accepted:", token.Subject(), "of", token.Issuer())
	}
	// Output:
	// accepted: alice of https://as.example.test
	// accepted: carol of https://partner.example.test
	// refused: unknown_key
	// refused: issuer
	// accepted: bob of https://as.example.test
}
