package issuers_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
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

// A partner's tokens open what was agreed, for as long as that was agreed.
func ExampleLimit() {
	partner, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://partner.example.test"))
	defer partner.Close()
	v, err := jwtverify.New(jwtverify.Config{
		Issuer: partner.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: partner.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	verify := func(l issuers.Limits, claims authtest.Claims) {
		limited, err := issuers.Limit(v, l)
		if err != nil {
			fmt.Println(err)
			return
		}
		token, err := limited.Verify(context.Background(), partner.Token(claims))
		if err != nil {
			fmt.Println("refused:", bearergate.AsError(err).Detail)
			return
		}
		fmt.Println("accepted, with", token.Scopes())
	}
	agreed := issuers.Limits{Scopes: []string{"orders:read"}, Clients: []string{"portal"}, Until: time.Now().AddDate(1, 0, 0)}
	verify(agreed, authtest.Claims{ClientID: "portal", Scopes: scope.Of("orders:read", "orders:delete")}) // they may grant what they like
	verify(agreed, authtest.Claims{ClientID: "crawler", Scopes: scope.Of("orders:read")})

	agreed.Until = time.Now().AddDate(0, 0, -1)
	verify(agreed, authtest.Claims{ClientID: "portal", Scopes: scope.Of("orders:read")})
	// Output:
	// accepted, with orders:read
	// refused: the client is not among Limits.Clients
	// refused: Limits.Until has passed
}

// What can do harm is asked about on every call, and everything else is not.
func ExampleRequireLiveIf() {
	as, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://as.example.test"))
	defer as.Close()
	local, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Stands in for an introspect.Client with DisableCache: everything was revoked.
	live := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
	})
	harmless := scope.Of("orders:read")
	v, err := issuers.RequireLiveIf(local, live, func(t *bearergate.Token) bool {
		return slices.ContainsFunc(t.Scopes().Names(), func(name string) bool { return !harmless.Has(name) })
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, scopes := range []string{"orders:read", "orders:read orders:delete"} {
		_, err := v.Verify(context.Background(), as.Token(authtest.Claims{Scopes: scope.Of(strings.Fields(scopes)...)}))
		fmt.Println(scopes, "->", cmp.Or(bearergate.ReasonOf(err), "accepted"))
	}
	// Output:
	// orders:read -> accepted
	// orders:read orders:delete -> inactive
}

// Tenants have a host each, which a template cannot hold.
func ExampleConfig_tenantsInTheHost() {
	customers := map[string]bool{"blue.login.example.com": true, "green.login.example.com": true}
	router, err := issuers.NewRouter(issuers.Config{
		Resolve: func(_ context.Context, issuer string) (bearergate.Verifier, error) {
			return jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{"https://api.example.com"}})
		},
		AllowIssuer: func(issuer string) bool {
			u, err := url.Parse(issuer)
			return err == nil && customers[u.Host] && u.Path == "/" // never a suffix alone
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, iss := range []string{"https://evil-login.example.com/", "https://evil.test/.login.example.com", "https://blue.login.example.com/realms/evil"} {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`))
		claims := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + iss + `"}`))
		_, err := router.Verify(context.Background(), header+"."+claims+".AAAA")
		fmt.Println(iss, "->", bearergate.ReasonOf(err))
	}
	// Output:
	// https://evil-login.example.com/ -> issuer
	// https://evil.test/.login.example.com -> issuer
	// https://blue.login.example.com/realms/evil -> issuer
}
