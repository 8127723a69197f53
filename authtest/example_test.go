package authtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// A test would call authtest.New(t), which needs no Close.
func Example() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()

	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer:     as.Issuer(),
		Audiences:  []string{authtest.DefaultAudience},
		HTTPClient: as.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	verify := func(token string) {
		verified, err := verifier.Verify(context.Background(), token)
		if err != nil {
			fmt.Println("refused:", bearergate.ReasonOf(err))
			return
		}
		fmt.Println("accepted:", verified.Subject(), verified.Scopes())
	}

	verify(as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")}))
	verify(as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Minute)}))
	verify(as.Token(authtest.Claims{Audience: []string{"https://other.example.test"}}))

	// A negative test is a valid token and one change.
	claims := as.Claims(authtest.Claims{})
	delete(claims, "exp")
	verify(as.Sign(nil, claims))
	verify(as.Sign(map[string]any{"typ": "logout+jwt"}, as.Claims(authtest.Claims{})))

	as.Rotate()
	verify(as.Token(authtest.Claims{Subject: "bob"}))
	// Output:
	// accepted: alice orders:read
	// refused: expired
	// refused: audience
	// refused: missing_claim
	// refused: type
	// accepted: bob
}

// A rotation, and then the withdrawal of a leaked key.
func ExampleServer_Rotate() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	old := as.Token(authtest.Claims{})
	check := func() {
		verifier, err := jwtverify.New(jwtverify.Config{ // a new one, without the keys of before
			Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, errOld := verifier.Verify(context.Background(), old)
		_, errNew := verifier.Verify(context.Background(), as.Token(authtest.Claims{}))
		fmt.Printf("%q %q\n", bearergate.ReasonOf(errOld), bearergate.ReasonOf(errNew))
	}
	as.Rotate()
	check()
	as.Withdraw()
	check()
	// Output:
	// "" ""
	// "unknown_key" ""
}

// An outage must not read as a bad token.
func ExampleServer_Fail() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	as.Fail(authtest.Fault{Path: "/jwks", Status: 503})
	_, err = verifier.Verify(context.Background(), as.Token(authtest.Claims{}))
	fmt.Println(errors.Is(err, bearergate.ErrUnavailable), bearergate.ReasonOf(err), as.Requests("/jwks"))
	// Output: true keys_unavailable 1
}

// A token that is bound to the key of a client, from the token endpoint, which demands a
// nonce. The transport sends the proofs, and the request once more with the nonce.
func ExampleDPoPTransport() {
	as, err := authtest.Start(authtest.WithDPoPNonce("n-1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	key, err := authtest.NewDPoPKey("ES256")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: &authtest.DPoPTransport{Key: key, Base: as.Client().Transport}}
	resp, err := client.PostForm(as.URL("/token"), url.Values{"grant_type": {"client_credentials"}, "client_id": {"shop"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.Type, "after", as.Requests("/token"), "requests")

	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"jkt"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := verifier.Verify(context.Background(), answer.Token)
	if err != nil {
		fmt.Println(err)
		return
	}
	jkt, _ := token.Confirmation().Value("jkt")
	fmt.Println("bound to the key:", jkt == key.Thumbprint())
	// Output:
	// DPoP after 2 requests
	// bound to the key: true
}

// A negative test is a valid proof and one change. Here a server is asked that judges
// proofs, too: the token endpoint.
func ExampleDPoPKey_Sign() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	key, err := authtest.NewDPoPKey("Ed25519")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, change := range []struct {
		name           string
		header, claims map[string]any
	}{
		{name: "none"},
		{name: "typ", header: map[string]any{"typ": "JWT"}},
		{name: "no jti", claims: map[string]any{"jti": nil}},
		{name: "htm", claims: map[string]any{"htm": "GET"}},
	} {
		claims := key.Claims(http.MethodPost, as.URL("/token"), "")
		maps.Copy(claims, change.claims)
		form := strings.NewReader("grant_type=client_credentials&client_id=shop")
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, as.URL("/token"), form)
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("DPoP", key.Sign(change.header, claims))
		resp, err := as.Client().Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(change.name, resp.StatusCode)
	}
	// Output:
	// none 200
	// typ 400
	// no jti 400
	// htm 400
}

func newVerifier(t *testing.T, as *authtest.Server) *jwtverify.Verifier {
	t.Helper()
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), Profile: jwtverify.RFC9068})
	require.NoError(t, err)
	return v
}

func TestDefaultTokenSatisfiesRFC9068(t *testing.T) {
	for _, issuer := range []string{authtest.DefaultIssuer, "https://as.example.test/tenant/", "https://as.example.test:8443/a/b"} {
		as := authtest.New(t, authtest.WithIssuer(issuer))
		token, err := newVerifier(t, as).Verify(t.Context(), as.Token(authtest.Claims{}))
		require.NoError(t, err, issuer)
		require.Equal(t, issuer, token.Issuer())
		require.Equal(t, 1, as.Requests("/jwks"))
	}
}

func TestVerifiedTokenSaysWhatWasAsked(t *testing.T) {
	as := authtest.New(t)
	want := authtest.Claims{
		Issuer: as.Issuer(), Subject: "alice", ClientID: "app", ID: "id-1", Audience: []string{authtest.DefaultAudience, "b"},
		Scopes: scope.Of("a", "b"), Roles: []string{"clerk"}, ExpiresAt: time.Now().Add(time.Minute).Truncate(time.Second).UTC(),
		IssuedAt: time.Now().Truncate(time.Second).UTC(), NotBefore: time.Now().Truncate(time.Second).UTC(),
		AuthTime: time.Now().Add(-time.Hour).Truncate(time.Second).UTC(), ACR: "mfa",
		Actors: []bearergate.Actor{{Subject: "s", Issuer: "i"}, {ClientID: "c"}},
	}
	got, err := newVerifier(t, as).Verify(t.Context(), as.Token(want))
	require.NoError(t, err)
	at, _ := got.AuthTime()
	require.Equal(t, want, authtest.Claims{
		Issuer: got.Issuer(), Subject: got.Subject(), ClientID: got.ClientID(), ID: got.ID(), Audience: got.Audience(),
		Scopes: got.Scopes(), Roles: got.Roles(), ExpiresAt: got.ExpiresAt(), IssuedAt: got.IssuedAt(), NotBefore: got.NotBefore(),
		AuthTime: at, ACR: got.ACR(), Actors: got.Actor(),
	})
}

// A server and a verifier in one bubble: hours of their life take no time.
func TestTimeTravel(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		verifier := newVerifier(t, as)
		reason := func(token string) bearergate.Reason {
			_, err := verifier.Verify(t.Context(), token)
			return bearergate.ReasonOf(err)
		}

		token := as.Token(authtest.Claims{})
		require.Empty(t, reason(token))
		later(authtest.DefaultLifetime + jwtverify.DefaultLeeway - time.Second)
		require.Empty(t, reason(token))
		later(time.Second)
		require.Equal(t, bearergate.ReasonExpired, reason(token))

		// A rotation is followed at the first token of the new key, and a
		// withdrawn key is refused once the keys are fetched again.
		old := as.Token(authtest.Claims{ExpiresAt: time.Now().Add(24 * time.Hour)})
		require.Empty(t, reason(old))
		later(time.Minute)
		as.Rotate()
		require.Empty(t, reason(as.Token(authtest.Claims{})))
		as.Withdraw()
		later(time.Hour)
		require.Equal(t, bearergate.ReasonUnknownKey, reason(old))

		// A delay costs fake time only, also where somebody's patience ends.
		as.Fail(authtest.Fault{Path: "/jwks", Delay: time.Hour})
		start := time.Now()
		_, err := newVerifier(t, as).Verify(t.Context(), as.Token(authtest.Claims{}))
		require.ErrorIs(t, err, bearergate.ErrUnavailable)
		require.Greater(t, time.Since(start), time.Second)
		require.Less(t, time.Since(start), time.Minute)
	})
}
