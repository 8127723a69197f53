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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

	resp, err := http.PostForm(first.TokenEndpoint, url.Values{"grant_type": {"client_credentials"}, "client_id": {"local"}, "client_secret": {"local"}, "scope": {"orders:read"}})
	require.NoError(t, err)
	var granted devReport
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&granted))
	_ = resp.Body.Close()
	require.Equal(t, 200, status(granted.AccessToken))

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

// The line for curl asks for just these scopes, whatever is in them.
func TestDevScopesForShells(t *testing.T) {
	var out bytes.Buffer
	const scopes = "a'b$(x) c&d=e 50%+`f`"
	require.NoError(t, welcome(newEnv(nil, &out, &out, time.Now), devReport{}, scopes))
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
