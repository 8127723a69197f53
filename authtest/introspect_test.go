package authtest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// ask sends a form to the introspection endpoint, by Basic if user is not "".
func ask(t *testing.T, as *authtest.Server, user, password string, form url.Values) (*http.Response, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, as.URL("/introspect"), strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := as.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var members map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&members))
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	return resp, members
}

// answer is what the endpoint says of a token.
func answer(t *testing.T, as *authtest.Server, token string) map[string]any {
	t.Helper()
	resp, members := ask(t, as, "api", "secret", url.Values{"token": {token}})
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return members
}

var inactive = map[string]any{"active": false}

func newIntrospector(t *testing.T, as *authtest.Server, auth introspect.Auth) *introspect.Client {
	t.Helper()
	client, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: auth,
		Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), DisableCache: true})
	require.NoError(t, err)
	return client
}

func TestOpaque(t *testing.T) {
	as := authtest.New(t)
	exp := time.Now().Add(time.Minute).Truncate(time.Second)
	token := as.Opaque(authtest.Claims{Subject: "alice", ClientID: "app", Scopes: scope.Of("a", "b"), ID: "id-1", ExpiresAt: exp, Raw: []byte(`{"tenant":7}`)})
	require.NotEqual(t, token, as.Opaque(authtest.Claims{}))
	require.NotContains(t, token, ".")
	require.NotEqual(t, byte('e'), token[0], "it begins like a JWT")
	members := answer(t, as, token)
	require.NotZero(t, members["iat"])
	delete(members, "iat")
	require.Equal(t, map[string]any{"active": true, "token_type": "Bearer", "iss": as.Issuer(), "aud": authtest.DefaultAudience, "sub": "alice",
		"client_id": "app", "scope": "a b", "jti": "id-1", "exp": float64(exp.Unix()), "tenant": 7.}, members)

	got, err := newIntrospector(t, as, introspect.BasicAuth("api", "secret")).Verify(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, "alice", got.Subject())
	require.Equal(t, "a b", got.Scopes().String())
	require.Equal(t, exp.UTC(), got.ExpiresAt())
	require.Equal(t, 2, as.Requests("/introspect"))

	members = answer(t, as, as.Opaque(authtest.Claims{Raw: []byte(`{"token_type":"DPoP","active":false}`)}))
	require.Equal(t, "DPoP", members["token_type"])
	require.Equal(t, true, members["active"])
}

// Every JWT that the server signed is answered for, and nobody else's.
func TestIntrospectionOfJWTs(t *testing.T) {
	as, other := authtest.New(t, authtest.WithAlgorithms("ES256", "EdDSA")), authtest.New(t)
	token := as.Token(authtest.Claims{Subject: "alice", ID: "id-1"})
	members := answer(t, as, token)
	require.Equal(t, true, members["active"])
	require.Equal(t, "alice", members["sub"])
	require.Equal(t, "Bearer", members["token_type"])
	require.Equal(t, "id-1", members["jti"])
	require.Equal(t, true, answer(t, as, as.Sign(map[string]any{"alg": "EdDSA", "kid": "another"}, map[string]any{}))["active"])

	for what, bad := range map[string]string{
		"of another server":   other.Token(authtest.Claims{Issuer: as.Issuer()}),
		"opaque, of another":  other.Opaque(authtest.Claims{}),
		"changed":             token[:len(token)-4] + "AAAA",
		"cut":                 token[:len(token)-4],
		"claims of another":   strings.Split(token, ".")[0] + "." + strings.Split(as.Token(authtest.Claims{}), ".")[1] + "." + strings.Split(token, ".")[2],
		"unknown":             "x",
		"expired":             as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Second)}),
		"expired, opaque":     as.Opaque(authtest.Claims{ExpiresAt: time.Now().Add(-time.Second)}),
		"not yet":             as.Token(authtest.Claims{NotBefore: time.Now().Add(time.Hour)}),
		"not yet, opaque":     as.Opaque(authtest.Claims{NotBefore: time.Now().Add(time.Hour)}),
		"not yet, in Raw":     as.Opaque(authtest.Claims{Raw: []byte(`{"nbf":99999999999.5}`)}),
		"expired, a fraction": as.Opaque(authtest.Claims{Raw: []byte(`{"exp":1.5}`)}),
	} {
		require.Equal(t, inactive, answer(t, as, bad), what)
	}

	as.Rotate()
	require.Equal(t, true, answer(t, as, token)["active"])
	as.Withdraw()
	require.Equal(t, inactive, answer(t, as, token))
}

func TestRevoke(t *testing.T) {
	as := authtest.New(t)
	for what, mint := range map[string]func(authtest.Claims) string{"opaque": as.Opaque, "JWT": as.Token} {
		token, another := mint(authtest.Claims{}), mint(authtest.Claims{})
		require.Equal(t, true, answer(t, as, token)["active"], what)
		as.Revoke(token)
		as.Revoke(token)
		require.Equal(t, inactive, answer(t, as, token), what)
		require.Equal(t, true, answer(t, as, another)["active"], what)
	}
	as.Revoke("nobody's")
	require.Equal(t, inactive, answer(t, as, "nobody's"))
}

func TestIntrospectionExpires(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		tokens := []string{as.Opaque(authtest.Claims{}), as.Token(authtest.Claims{})}
		later(authtest.DefaultLifetime - time.Second)
		for _, token := range tokens {
			require.Equal(t, true, answer(t, as, token)["active"])
		}
		later(time.Second)
		for _, token := range tokens {
			require.Equal(t, inactive, answer(t, as, token))
		}
	})
}

func TestClientAuthentication(t *testing.T) {
	as := authtest.New(t, authtest.WithClient("api", "s:é"), authtest.WithClient("https://b/", "two"))
	token := as.Opaque(authtest.Claims{})
	for what, c := range map[string]struct {
		user, password string
		form           url.Values
		status         int
	}{
		"basic":                         {"api", url.QueryEscape("s:é"), nil, 200},
		"basic, not form-encoded":       {"api", "s:é", nil, 200},
		"basic, the other":              {url.QueryEscape("https://b/"), "two", nil, 200},
		"basic, wrong secret":           {"api", "two", nil, 401},
		"basic, no secret":              {"api", "", nil, 401},
		"basic, unknown":                {"nobody", "two", nil, 401},
		"post":                          {"", "", url.Values{"client_id": {"api"}, "client_secret": {"s:é"}}, 200},
		"post, wrong secret":            {"", "", url.Values{"client_id": {"api"}, "client_secret": {"two"}}, 401},
		"post, no secret":               {"", "", url.Values{"client_id": {"api"}}, 401},
		"post, unknown":                 {"", "", url.Values{"client_id": {"nobody"}, "client_secret": {"two"}}, 401},
		"nobody":                        {"", "", nil, 401},
		"wrong by basic, right by post": {"api", "x", url.Values{"client_id": {"api"}, "client_secret": {"s:é"}}, 401},
	} {
		form := url.Values{"token": {token}}
		maps.Copy(form, c.form)
		resp, members := ask(t, as, c.user, c.password, form)
		require.Equal(t, c.status, resp.StatusCode, what)
		if c.status == 200 {
			require.Equal(t, true, members["active"], what)
			continue
		}
		require.Equal(t, map[string]any{"error": "invalid_client"}, members, what)
		require.Equal(t, `Basic realm="authtest"`, resp.Header.Get("WWW-Authenticate"), what)
	}

	for _, auth := range []introspect.Auth{introspect.BasicAuth("api", "s:é"), introspect.PostAuth("https://b/", "two")} {
		_, err := newIntrospector(t, as, auth).Verify(t.Context(), token)
		require.NoError(t, err)
	}
	_, err := newIntrospector(t, as, introspect.BasicAuth("api", "wrong")).Verify(t.Context(), token)
	require.ErrorIs(t, err, bearergate.ErrMisconfigured)

	// The token endpoint knows the same clients.
	for secret, status := range map[string]int{"two": 200, "wrong": 401} {
		resp, err := as.Client().PostForm(as.URL("/token"), url.Values{"grant_type": {"client_credentials"}, "client_id": {"https://b/"}, "client_secret": {secret}})
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode)
	}
}

func TestIntrospectionRequests(t *testing.T) {
	as := authtest.New(t)
	token := as.Opaque(authtest.Claims{})
	for what, form := range map[string]url.Values{"no token": {}, "an empty one": {"token": {""}}, "two": {"token": {token, token}}} {
		resp, members := ask(t, as, "api", "secret", form)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, what)
		require.Equal(t, map[string]any{"error": "invalid_request"}, members, what)
	}
	// Neither credentials nor token in the query, where servers log them
	// (RFC 6749 §2.3.1, RFC 7662 §4), and not by GET.
	for query, status := range map[string]int{"client_id=a&client_secret=b": 401, "token=" + token: 400} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, as.URL("/introspect?"+query), nil)
		require.NoError(t, err)
		if status == 400 {
			req.SetBasicAuth("api", "secret")
		}
		resp, err := as.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, query)
	}
	resp, _ := get(t, as, as.URL("/introspect?token="+token))
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)

	// Without WithClient, anybody with a name may ask.
	resp, _ = ask(t, as, "", "", url.Values{"token": {token}, "client_id": {"anybody"}})
	require.Equal(t, http.StatusOK, resp.StatusCode)
	resp, _ = ask(t, as, "", "", url.Values{"token": {token}})
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

// A fault of the path strikes it, and is an outage to who asks.
func TestIntrospectionFault(t *testing.T) {
	as := authtest.New(t)
	client := newIntrospector(t, as, introspect.PostAuth("api", "secret"))
	token := as.Opaque(authtest.Claims{})
	as.Fail(authtest.Fault{Path: "/introspect", Body: []byte("<html>")})
	_, err := client.Verify(t.Context(), token)
	require.ErrorIs(t, err, bearergate.ErrUnavailable)
	require.Equal(t, bearergate.ReasonIntrospectionUnavailable, bearergate.ReasonOf(err))
	as.Fail(authtest.Fault{Path: "/introspect"})
	_, err = client.Verify(t.Context(), as.Opaque(authtest.Claims{})) // the other one is left alone for a second
	require.NoError(t, err)
	require.Equal(t, 2, as.Requests("/introspect"))
}

// Who runs on TCP is discovered and asked in the same way.
func TestIntrospectionOnTCP(t *testing.T) {
	as, err := authtest.Start(authtest.WithClient("api", "secret"))
	require.NoError(t, err)
	defer as.Close()
	client := newIntrospector(t, as, introspect.BasicAuth("api", "secret"))
	got, err := client.Verify(t.Context(), as.Opaque(authtest.Claims{Subject: "alice"}))
	require.NoError(t, err)
	require.Equal(t, "alice", got.Subject())
}

func TestOpaqueMisusePanics(t *testing.T) {
	as, err := authtest.Start(authtest.WithInMemory())
	require.NoError(t, err)
	defer as.Close()
	require.Panics(t, func() { as.Opaque(authtest.Claims{Raw: []byte(`[]`)}) })
}

// A token that is bound by DPoP is answered as such, opaque or a JWT, and is accepted by
// whoever looks for the proof.
func TestTokenTypeOfBoundTokens(t *testing.T) {
	as := authtest.New(t)
	client, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("api", "secret"),
		Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"jkt", "x5t#S256"}})
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		cnf  map[string][]byte
		want string
	}{
		{name: "unbound", want: "Bearer"},
		{name: "by DPoP", cnf: map[string][]byte{"jkt": []byte(`"x"`)}, want: "DPoP"},
		{name: "to a certificate", cnf: map[string][]byte{"x5t#S256": []byte(`"x"`)}, want: "Bearer"},
		{name: "by both", cnf: map[string][]byte{"jkt": []byte(`"x"`), "x5t#S256": []byte(`"x"`)}, want: "DPoP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := authtest.Claims{Subject: "alice", Confirmation: tt.cnf}
			for _, token := range []string{as.Opaque(claims), as.Token(claims)} {
				require.Equal(t, tt.want, answer(t, as, token)["token_type"])
				got, err := client.Verify(t.Context(), token)
				require.NoError(t, err)
				require.Equal(t, tt.cnf != nil, got.Bound())
			}
		})
	}
}
