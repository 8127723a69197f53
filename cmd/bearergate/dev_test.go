package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// running is a dev that runs.
type running struct {
	in   *io.PipeWriter
	out  *bufio.Reader
	errs *bytes.Buffer // to be read when it has ended
	stop func() int
}

// runDev starts dev with these flags.
func runDev(t *testing.T, flags ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	r := &running{in: typed, out: bufio.NewReader(shown), errs: new(bytes.Buffer)}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, newEnv(in, out, r.errs, time.Now), append([]string{"dev"}, flags...))
		_ = out.Close()
	}()
	ended := -1
	r.stop = func() int {
		if ended < 0 {
			cancel()
			_ = typed.Close()
			ended = <-code
		}
		return ended
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// next reads one document.
func (r *running) next(t *testing.T) (d devReport) {
	t.Helper()
	line, err := r.out.ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(line, &d))
	return d
}

// granted is a token of its token endpoint.
func (r *running) granted(t *testing.T, first devReport) string {
	t.Helper()
	resp, err := http.PostForm(first.TokenEndpoint, url.Values{"grant_type": {"client_credentials"}, "client_id": {"local"}, "client_secret": {"local"}, "scope": {"orders:read"}})
	require.NoError(t, err)
	defer resp.Body.Close()
	var granted devReport
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&granted))
	return granted.AccessToken
}

// An API that is configured as dev says accepts its tokens, and explain and keys agree.
func TestDevEndToEnd(t *testing.T) {
	d := runDev(t, "-json", "-audience", audience, "-scope", "orders:read orders:write", "-subject", "alice", "-client", "shop", "-ttl", "5m",
		"-claims-file", tempFile(t, `{"tenant":"acme"}`))
	first := d.next(t)
	require.Equal(t, []string{audience}, first.Audience)
	require.InDelta(t, 300, time.Until(first.ExpiresAt).Seconds(), 60)

	verifier, err := jwtverify.New(jwtverify.Config{Issuer: first.Issuer, Audiences: []string{audience}})
	require.NoError(t, err)
	gate, err := middleware.New(verifier, middleware.Config{})
	require.NoError(t, err)
	api := httptest.NewServer(gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer api.Close()
	status := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, status(first.AccessToken))
	token, err := verifier.Verify(t.Context(), first.AccessToken)
	require.NoError(t, err)
	require.Equal(t, "alice", token.Subject())
	require.Equal(t, "shop", token.ClientID())
	tenant, err := json.Marshal("acme")
	require.NoError(t, err)
	var claims map[string]json.RawMessage
	require.NoError(t, token.Claims(&claims))
	require.JSONEq(t, string(tenant), string(claims["tenant"]))

	_, err = d.in.Write([]byte(strings.Repeat("x", 10000) + "\n\n"))
	require.NoError(t, err)
	second, third := d.next(t), d.next(t)
	require.Empty(t, second.Issuer)
	require.NotEqual(t, first.AccessToken, second.AccessToken)
	require.NotEqual(t, third.AccessToken, second.AccessToken)
	require.Equal(t, 200, status(second.AccessToken))
	require.NoError(t, d.in.Close()) // it goes on without standard input

	require.Equal(t, 200, status(d.granted(t, first)))

	explained := invoke(t, second.AccessToken, "explain", "-issuer", first.Issuer, "-audience", audience, "-scope", "orders:write")
	require.Zero(t, explained.code, explained.out+explained.err)
	require.Len(t, keysOf(t, exitOK, "-issuer", first.Issuer).Keys, 1)
	require.Zero(t, invoke(t, second.AccessToken, "decode").code)

	require.Zero(t, d.stop(), "an interrupt is how it ends")
	require.Contains(t, d.errs.String(), "FOR LOCAL WORK ONLY")
	_, err = http.Get(first.Issuer + "/jwks")
	require.Error(t, err, "it is gone")
	require.Equal(t, exitOutage, invoke(t, second.AccessToken, "explain", "-issuer", first.Issuer, "-audience", audience).code)
}

// An API that asks as dev says accepts its opaque tokens, and with another secret none.
func TestDevOpaque(t *testing.T) {
	d := runDev(t, "-json", "-opaque", "-audience", audience, "-scope", "orders:read", "-subject", "alice", "-claims-file", tempFile(t, `{"tenant":"acme"}`))
	first := d.next(t)
	require.NotContains(t, first.AccessToken, ".")
	require.Equal(t, []string{"orders-api", "local"}, []string{first.ClientID, first.ClientSecret})
	require.Equal(t, first.Issuer+"/introspect", first.IntrospectionEndpoint)
	ask := func(secret, token string) (*bearergate.Token, error) {
		client, err := introspect.New(introspect.Config{Issuer: first.Issuer, Auth: introspect.BasicAuth(first.ClientID, secret), Audiences: first.Audience})
		require.NoError(t, err)
		return client.Verify(t.Context(), token)
	}
	for what, token := range map[string]string{"printed": first.AccessToken, "of the token endpoint": d.granted(t, first)} {
		got, err := ask(first.ClientSecret, token)
		require.NoError(t, err, what)
		require.Equal(t, scope.Of("orders:read"), got.Scopes(), what)
		var said struct {
			Tenant string `json:"tenant"`
		}
		require.NoError(t, got.Claims(&said), what)
		require.Equal(t, "acme", said.Tenant, what)
	}
	_, err := ask("wrong", first.AccessToken)
	require.ErrorIs(t, err, bearergate.ErrMisconfigured)
	require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))

	_, err = d.in.Write([]byte("\n"))
	require.NoError(t, err)
	second := d.next(t)
	require.Empty(t, second.ClientSecret)
	_, err = ask(first.ClientSecret, second.AccessToken)
	require.NoError(t, err)

	explained := invoke(t, second.AccessToken, "explain", "-introspect", "-issuer", first.Issuer, "-audience", audience, "-scope", "orders:read",
		"-client-id", first.ClientID, "-client-secret-file", tempFile(t, first.ClientSecret))
	require.Zero(t, explained.code, explained.out+explained.err)
}

// The tokens of -idp are those that the function of package idp accepts, as it would in
// production but for the keys.
func TestDevOfProviders(t *testing.T) {
	const guid, guid2 = "3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e", "c0ffee00-1111-4222-8333-444455556666"
	for name, test := range map[string]struct {
		flags  []string
		config jwtverify.Config
		client string
		scopes scope.Set
	}{
		"entra": {
			flags:  []string{"-idp", "entra", "-idp-arg", "tenant=" + guid, "-idp-arg", "api=" + guid2},
			config: idp.Entra(idp.EntraConfig{Tenant: guid, API: guid2}), client: "shop", scopes: scope.Of("orders:read"),
		},
		"entra, version 1": {
			flags:  []string{"-idp", "entra", "-idp-arg", "tenant=" + guid, "-idp-arg", "api=" + guid2, "-idp-arg", "version=1"},
			config: idp.Entra(idp.EntraConfig{Tenant: guid, API: guid2, Version: 1}), client: "shop", scopes: scope.Of("orders:read"),
		},
		"entra, an application": {
			flags: []string{"-scope", "", "-claims-file", tempFile(t, `{"roles":["Orders.Read.All"]}`),
				"-idp", "entra", "-idp-arg", "tenant=" + guid, "-idp-arg", "api=" + guid2},
			config: idp.Entra(idp.EntraConfig{Tenant: guid, API: guid2}), client: "shop",
		},
		"keycloak": {
			flags:  []string{"-idp", "keycloak", "-idp-arg", "issuer=https://sso.example.com/realms/shop", "-idp-arg", "audience=orders-api"},
			config: idp.Keycloak("https://sso.example.com/realms/shop", "orders-api"), client: "shop", scopes: scope.Of("orders:read"),
		},
		"okta": {
			flags:  []string{"-idp", "okta", "-idp-arg", "domain=example.okta.com", "-idp-arg", "server=default", "-idp-arg", "audience=api://default"},
			config: idp.Okta("example.okta.com", "default", "api://default"), client: "shop", scopes: scope.Of("orders:read"),
		},
		"auth0": {
			flags:  []string{"-idp", "auth0", "-idp-arg", "domain=example.eu.auth0.com", "-idp-arg", "api=" + audience},
			config: idp.Auth0("example.eu.auth0.com", audience), client: "shop", scopes: scope.Of("orders:read"),
		},
		"cognito": {
			flags:  []string{"-idp", "cognito", "-idp-arg", "region=eu-west-1", "-idp-arg", "pool=eu-west-1_AbCdEfGhI", "-idp-arg", "resource=" + audience, "-idp-arg", "client=app"},
			config: idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_AbCdEfGhI", Resource: audience, Clients: []string{"app"}}), client: "app",
			scopes: scope.Of(audience + "/orders:read"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := runDev(t, append([]string{"-json", "-scope", "orders:read", "-subject", "alice", "-client", "shop"}, test.flags...)...)
			first := d.next(t)
			require.Equal(t, test.config.Issuer, first.Issuer)
			require.Equal(t, test.config.Audiences, first.Audience)
			config := test.config
			config.KeysURL, config.MetadataURL = first.KeysURL, ""
			v, err := jwtverify.New(config)
			require.NoError(t, err)
			printed, err := v.Verify(t.Context(), first.AccessToken)
			require.NoError(t, err)
			require.Equal(t, test.client, printed.ClientID())
			require.Equal(t, test.scopes, printed.Scopes())
			_, err = v.Verify(t.Context(), d.granted(t, first))
			require.NoError(t, err, "the token endpoint gives such tokens too")

			explained := invoke(t, first.AccessToken, append([]string{"explain", "-keys-url", first.KeysURL}, test.flags[slices.Index(test.flags, "-idp"):]...)...)
			require.Zero(t, explained.code, explained.out+explained.err)
			d.stop()
			require.NotContains(t, d.errs.String(), "refuses")
		})
	}
}

// A token that the function of package idp refuses is printed, to be tried, and dev says why
// it is refused.
func TestDevOfProviderRefused(t *testing.T) {
	keycloak := []string{"-json", "-idp", "keycloak", "-idp-arg", "issuer=https://sso.example.com/realms/shop", "-idp-arg", "audience=orders-api"}
	d := runDev(t, append(keycloak, "-claims-file", tempFile(t, `{"typ":"ID"}`))...)
	first := d.next(t)
	d.stop()
	require.Contains(t, d.errs.String(), `-idp keycloak refuses the tokens that follow: invalid token: type: `)
	require.Contains(t, invoke(t, first.AccessToken, "decode").out, `"typ": "ID"`)
}

// Flags that contradict each other, or have no effect, are mistakes.
func TestDevMistakes(t *testing.T) {
	keycloak := []string{"-idp", "keycloak", "-idp-arg", "issuer=https://sso.example.com/realms/shop", "-idp-arg", "audience=orders-api"}
	for name, test := range map[string]struct {
		flags []string
		says  string
	}{
		"opaque tokens of a provider": {flags: append([]string{"-opaque"}, keycloak...), says: "-opaque and -idp"},
		"nothing is signed":           {flags: []string{"-opaque", "-alg", "RS256"}, says: "-alg has no effect here"},
		"an argument of nothing":      {flags: []string{"-idp-arg", "audience=a"}, says: "-idp-arg has no effect here"},
		"two audiences":               {flags: append([]string{"-audience", "a"}, keycloak...), says: "-audience has no effect here"},
		"an argument is missing":      {flags: keycloak[:4], says: "idp.Keycloak: audience is empty"},
		"many issuers":                {flags: []string{"-idp", "entra-tenants"}, says: "for many issuers"},
		"nobody knows it":             {flags: []string{"-idp", "acme"}, says: "-idp is none of"},
	} {
		t.Run(name, func(t *testing.T) {
			r := invoke(t, "", append([]string{"dev"}, test.flags...)...)
			require.Equal(t, exitUsage, r.code)
			require.Empty(t, r.out)
			require.Contains(t, r.err, test.says)
		})
	}
}

// Tokens of other providers need -claims-file; what they then have is what it says.
func TestDevOfOtherProvider(t *testing.T) {
	d := runDev(t, "-json", "-idp", "cloudflare-access", "-idp-arg", "team=example", "-idp-arg", "audience=4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2",
		"-claims-file", tempFile(t, `{"type":"app","identity_nonce":"n"}`))
	first := d.next(t)
	config := idp.CloudflareAccess("example", "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2")
	config.KeysURL, config.MetadataURL = first.KeysURL, ""
	v, err := jwtverify.New(config)
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), first.AccessToken)
	require.NoError(t, err)
}

// The line for curl asks for just these scopes, whatever is in them.
func TestDevScopesForShells(t *testing.T) {
	var out bytes.Buffer
	const scopes = "a'b$(x) c&d=e 50%+`f`"
	require.NoError(t, welcome(newEnv(nil, &out, &out, time.Now), devReport{scopes: scopes}))
	_, rest, found := strings.Cut(out.String(), " -d 'scope=")
	require.True(t, found)
	form, _, found := strings.Cut(rest, "'")
	require.True(t, found)
	got, err := url.ParseQuery("scope=" + form)
	require.NoError(t, err)
	require.Equal(t, url.Values{"scope": {scopes}}, got)
}

// A page of the Web gets no token, though its name may resolve to loopback.
func TestDevIsNotForPages(t *testing.T) {
	d := runDev(t, "-json")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.next(t).TokenEndpoint, strings.NewReader("grant_type=client_credentials&client_id=a&client_secret=b"))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Host = "page.example.test"
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
	require.NotContains(t, string(body), "eyJ")
}

// Nobody trusts the keys of an earlier run.
func TestDevKeysAreNew(t *testing.T) {
	first := runDev(t, "-json")
	was := first.next(t)
	first.stop()
	again := runDev(t, "-json", "-addr", strings.TrimPrefix(was.Issuer, "http://"))
	is := again.next(t)
	require.Equal(t, was.Issuer, is.Issuer)
	require.Zero(t, invoke(t, is.AccessToken, "explain", "-issuer", is.Issuer, "-audience", is.Audience[0]).code)
	r := invoke(t, was.AccessToken, "explain", "-issuer", is.Issuer, "-audience", is.Audience[0], "-json")
	require.Equal(t, exitFound, r.code)
	require.Contains(t, r.out, `"unknown_key"`)
}

// What is printed for people has the five lines, and a token that works.
func TestDevForPeople(t *testing.T) {
	d := runDev(t, "-audience", audience, "-scope", "orders:read")
	var b strings.Builder
	for !strings.Contains(b.String(), "Ctrl-C ends this") {
		line, err := d.out.ReadString('\n')
		require.NoError(t, err, b.String())
		b.WriteString(line)
	}
	text := b.String()
	issuer, _, _ := strings.Cut(strings.TrimPrefix(text, "issuer: "), "\n")
	require.Contains(t, text, `jwtverify.Config{Issuer: "`+issuer+`", Audiences: []string{"`+audience+`"}}`)
	require.Contains(t, text, `gate.Require(scope.All("orders:read"))(orders)`)
	var token string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "eyJ") {
			token = line
		}
	}
	require.Zero(t, invoke(t, token, "explain", "-issuer", issuer, "-audience", audience, "-scope", "orders:read").code)
}
