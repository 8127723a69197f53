package idp_test

import (
	"context"
	"fmt"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

// An ID token of Keycloak has the issuer, a good signature and, here, even the audience.
func Example() {
	as, err := authtest.Start() // stands in for Keycloak
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	config := idp.Keycloak(as.Issuer(), authtest.DefaultAudience)
	config.HTTPClient = as.Client() // for this example alone
	verifier, err := jwtverify.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, typ := range []string{"Bearer", "ID"} {
		claims := as.Claims(authtest.Claims{Subject: "alice"})
		claims["typ"] = typ
		claims["realm_access"] = map[string]any{"roles": []string{"buyer"}}
		token, err := verifier.Verify(context.Background(), as.Sign(map[string]any{"typ": "JWT"}, claims))
		if err != nil {
			fmt.Println(typ, "refused")
			continue
		}
		fmt.Println(typ, token.Subject(), token.Roles())
	}
	// Output:
	// Bearer alice [buyer]
	// ID refused
}

// Jobs of one repository, on one branch: by the ID of the repository, which nobody else can
// get, as they can its name.
func ExampleGitHubActions() {
	verifier, err := jwtverify.New(idp.GitHubActions("https://deploy.example.com", idp.Where{
		"repository_id": {"123456789"},
		"ref":           {"refs/heads/main"},
	}))
	fmt.Println(verifier != nil, err)
	// The branch alone would be that of every repository there is.
	_, err = jwtverify.New(idp.GitHubActions("https://deploy.example.com", idp.Where{"ref": {"refs/heads/main"}}))
	fmt.Println(err != nil)
	// Output:
	// true <nil>
	// true
}

// A test of an API whose tokens come from Entra ID. The configuration is that of production
// but for the keys; the claims are those that Entra writes.
func ExampleEntra() {
	as, err := authtest.Start(authtest.WithAlgorithms("RS256")) // stands in for Entra
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	const tenant = "3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e"
	config := idp.Entra(idp.EntraConfig{Tenant: tenant, API: "c0ffee00-1111-4222-8333-444455556666"})
	config.KeysURL, config.MetadataURL = as.URL("/jwks"), "" // for this example alone
	verifier, err := jwtverify.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	claims := as.Claims(authtest.Claims{Issuer: config.Issuer, Audience: config.Audiences, Subject: "alice"})
	claims["tid"], claims["ver"] = tenant, "2.0"
	fmt.Println(verify(verifier, as.Sign(map[string]any{"typ": "JWT"}, claims))) // as an ID token is
	claims["azp"], claims["azpacr"], claims["scp"] = "5ba00000-2222-4333-8444-555566667777", "1", "orders.read"
	fmt.Println(verify(verifier, as.Sign(map[string]any{"typ": "JWT"}, claims)))
	// Output:
	// refused: type
	// alice may orders.read
}

// verify says what becomes of a token.
func verify(verifier *jwtverify.Verifier, raw string) string {
	token, err := verifier.Verify(context.Background(), raw)
	if err != nil {
		return "refused: " + string(bearergate.ReasonOf(err))
	}
	return token.Subject() + " may " + token.Scopes().String()
}

// An API of several customers, each with a tenant of its own.
func ExampleEntraTenants() {
	customers := map[string]bool{"11111111-2222-3333-4444-555555555555": true}
	router, err := idp.EntraTenants(idp.EntraTenantsConfig{
		API:    "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
		Lookup: func(_ context.Context, tenant string) (bool, error) { return customers[tenant], nil },
	})
	fmt.Println(router != nil, err)
	// Output: true <nil>
}
