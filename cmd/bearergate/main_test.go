package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

const (
	audience  = "https://orders.example.com"
	beCommand = "BEARERGATE_TEST_AS_COMMAND" // of the environment: this process is the command
)

// TestMain makes the test binary the command where a test needs a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv(beCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// result is what a run of the command has left.
type result struct {
	code     int
	out, err string
}

// command runs the command with this standard input.
func invoke(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return invokeAt(t, time.Now, stdin, args...)
}

func invokeAt(t testing.TB, now func() time.Time, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code := run(ctx, newEnv(strings.NewReader(stdin), &out, &errs, now), args)
	return result{code, out.String(), errs.String()}
}

// start starts an authorization server on loopback.
func startServer(t testing.TB, opts ...authtest.Option) *authtest.Server {
	t.Helper()
	as, err := authtest.Start(append([]authtest.Option{authtest.WithAudience(audience)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(as.Close)
	return as
}

// file writes a file that the command is to read.
func tempFile(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

// token makes a token with this text as its header and this one as its claims.
func rawToken(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + "." + encode(bytes.Repeat([]byte{7}, 64))
}

// requirePlain fails for what a terminal obeys, or what turns the direction of text.
func requirePlain(t testing.TB, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text))
	for _, r := range text {
		require.True(t, r == '\n' || r == '\t' || unicode.IsPrint(r), "%U in %q", r, text)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		r := invoke(t, "", args...)
		require.Zero(t, r.code)
		require.Empty(t, r.err)
		for _, c := range commands() {
			require.Contains(t, r.out, c.name)
		}
	}
	for _, c := range commands() {
		r := invoke(t, "", c.name, "-help")
		require.Zero(t, r.code, c.name)
		require.Empty(t, r.err, c.name)
		require.Contains(t, r.out, "usage: bearergate "+c.name)
		require.Contains(t, r.out, "-json", "every subcommand has JSON")
		requirePlain(t, r.out)
	}
}

// What is typed wrongly is told, and never repeated where it may be a token.
func TestUsage(t *testing.T) {
	secret := rawToken(`{"alg":"ES256"}`, `{"iss":"x"}`)
	for _, args := range [][]string{
		{},
		{secret},
		{"explain", secret},
		{"explain", "-" + secret},
		{"explain", "-timeout", secret},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-token-file", secret},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-at", secret},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-profile", secret},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-client-id", "me"},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-introspect"},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-introspect", "-client-auth", secret},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-jwks-file", tempFile(t, "{}")},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-ca", tempFile(t, "no certificate")},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-proxy", secret},
		{"explain", "-issuer", "https://as.example.com", "-audience", "a", "-timeout", "-1s"},
		{"explain", "-issuer", "https://as.example.com"},
		{"explain", "-audience", "a"},
		{"explain", "-idp", secret},
		{"explain", "-idp-arg", "a=b", "-issuer", "https://as.example.com"},
		{"explain", "-idp", "keycloak", "-idp-arg", secret},
		{"explain", "-idp", "keycloak", "-idp-arg", "issuer=https://as.example.com", "-idp-arg", "audience=a", "-idp-arg", "audience=b"},
		{"explain", "-idp", "keycloak", "-idp-arg", "audience=a"}, // the library misses the issuer
		{"keys"},
		{"keys", "-idp", "entra-tenants"},
		{"keys", "-issuer", "not a URL"},
		{"keys", "-issuer", "https://as.example.com", "-compare", tempFile(t, "{}")},
		{"keys", "-issuer", "https://as.example.com", "-jwks-file", "x", "-keys-url", "https://as.example.com/jwks"},
		{"decode", secret},
		{"decode", "-token-file", filepath.Join(t.TempDir(), "missing")},
		{"dev", "-addr", "0.0.0.0:0"},
		{"dev", "-addr", "localhost:0"},
		{"dev", "-addr", "10.0.0.1:0"},
		{"dev", "-addr", secret},
		{"dev", "-ttl", "25h"},
		{"dev", "-alg", "none"},
		{"dev", "-scope", `a"b`},
		{"dev", "-claims-file", tempFile(t, `{"a":1,"a":2}`)},
	} {
		r := invoke(t, secret, args...)
		require.Equal(t, exitUsage, r.code, "%q: %s%s", args, r.out, r.err)
		require.Empty(t, r.out)
		require.Contains(t, r.err, "bearergate: ")
		require.NotContains(t, r.err, "bearergate: bearergate: ")
		require.NotContains(t, r.err, secret[:40])
		require.NotContains(t, r.err, secret[len(secret)-40:])
	}
}

// What cannot be written was not done.
func TestStandardOutputIsGone(t *testing.T) {
	for _, args := range [][]string{{"decode"}, {"decode", "-json"}, {"version"}, {"help"}} {
		var errs bytes.Buffer
		e := newEnv(strings.NewReader(rawToken(`{}`, `{}`)), gone{}, &errs, time.Now)
		require.Equal(t, exitUsage, run(t.Context(), e, args))
		require.Contains(t, errs.String(), "no space left")
	}
}

type gone struct{}

func (gone) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "x", Err: errNoSpace{}}
}

type errNoSpace struct{}

func (errNoSpace) Error() string { return "no space left" }

func TestVersion(t *testing.T) {
	r := invoke(t, "", "version")
	require.Zero(t, r.code)
	require.True(t, strings.HasPrefix(r.out, "bearergate "), r.out)
	var v versionInfo
	r = invoke(t, "", "version", "-json")
	require.NoError(t, json.Unmarshal([]byte(r.out), &v))
	require.NotEmpty(t, v.Version)
	require.True(t, strings.HasPrefix(v.Go, "go"), v.Go)
}

// Text that a terminal obeys is not written, whichever way it comes; JSON stays the same.
func TestPlain(t *testing.T) {
	for _, tc := range []struct{ in, out string }{
		{"a\tb\nü…", "a\tb\nü…"},
		{"\x1b[2J", `\u001b[2J`},
		{"\x9b", `\ufffd`},
		{"\u009b", `\u009b`},
		{"\u202eabc\u2066", `\u202eabc\u2066`},
		{"\u00ad\u200b\ufeff\x7f\r", `\u00ad\u200b\ufeff\u007f\u000d`},
		{"\U000e0041", `\udb40\udc41`},
	} {
		var b bytes.Buffer
		n, err := (&plain{w: &b}).Write([]byte(tc.in))
		require.NoError(t, err)
		require.Equal(t, len(tc.in), n)
		require.Equal(t, tc.out, b.String())
	}
	want := map[string]string{"a": "\u202e\x7f\U000e0041\\\u009b"}
	var b bytes.Buffer
	e := newEnv(nil, &b, &b, time.Now)
	require.NoError(t, e.json(want))
	requirePlain(t, b.String())
	var got map[string]string
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	require.Equal(t, want, got)
}

func TestQuoted(t *testing.T) {
	require.Equal(t, `"\x1b[2J\u202e"`, quoted("\x1b[2J\u202e"))
	require.Equal(t, `"`+strings.Repeat(`\x1b`, maxQuoted)+`"…`, quoted(strings.Repeat("\x1b", maxQuoted+1)))
}

// People paste what they have.
func TestPasted(t *testing.T) {
	const raw = "eyJh.eyJp.c2ln"
	for _, text := range []string{
		raw, raw + "\n", " " + raw + "\r\n", `"` + raw + `"`, "'" + raw + "'",
		"Bearer " + raw, "bearer  " + raw + "\n", "DPoP " + raw,
		"Authorization: Bearer " + raw, "authorization:bearer " + raw + "\n", "> Authorization: Bearer " + raw,
		"-H 'Authorization: Bearer " + raw + "'", `--header "Authorization: Bearer ` + raw + `"`,
		"curl -s https://api.example.com/orders -H 'Authorization: Bearer " + raw + "' -H 'Accept: */*'\n",
		"curl -H 'Proxy-Authorization: Basic dXNlcjpwYXNz' -HAuthorization:' Bearer " + raw + "'", "Authorization: " + raw, "curl -H 'authorization: " + raw + "' https://api.example.com/",
		"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + raw + "\r\nAccept: */*\r\n",
	} {
		got, err := pasted(text)
		require.NoError(t, err, text)
		require.Equal(t, raw, got.Reveal(), text)
	}
	for _, text := range []string{"", " \n", "Authorization: ", "a b", "Basic abc def", "Authorization: Basic dXNlcjpwYXNz", "-H 'Authorization: Digest username=\"x\"'", "Proxy-Authorization: Basic abc", raw + " " + raw} {
		_, err := pasted(text)
		require.Error(t, err, text)
		require.Equal(t, exitUsage, exitCode(t.Context(), err))
		require.NotContains(t, err.Error(), "eyJ")
	}
	r := invoke(t, strings.Repeat("a", maxToken+1), "decode")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "more than")
}

// What is short may be a token as well, and one in 64 of them begins with a hyphen.
func TestFlagsAreNotRepeated(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"decode", "-Xx7secretsecret"}, "a flag is unknown"},
		{[]string{"decode", "--=secretsecret"}, "a flag is unknown"},
		{[]string{"decode", "-secretsecretsecretsecretsecretsecret"}, "a flag is unknown"},
		{[]string{"explain", "-timeout", "secretsecret"}, "the value of -timeout cannot be used: parse error"},
		{[]string{"explain", "-introspect=secretsecret"}, "the value of -introspect cannot be used: parse error"},
		{[]string{"explain", "-timeout", "secretsecret\" for flag -x: y"}, "the value of -timeout cannot be used: parse error"},
		{[]string{"probe", "-certificate-warn", "secretsecret"}, "the value of -certificate-warn cannot be used: parse error"},
		{[]string{"explain", "-audience", ""}, "the value of -audience cannot be used: it is empty"},
		{[]string{"explain", "-audience"}, "-audience needs a value"},
		{[]string{"explain", "-audiense", "a"}, "there is no flag -audiense"},
	} {
		r := invoke(t, "", tc.args...)
		require.Equal(t, exitUsage, r.code, tc.args)
		require.Contains(t, r.err, tc.want)
		require.NotContains(t, r.err, "secretsecret")
	}
}

// A flag that would do nothing is a mistake: whoever gives it believes otherwise.
func TestIdleFlags(t *testing.T) {
	file := tempFile(t, `{"keys":[]}`)
	explain := []string{"explain", "-issuer", "https://as.example.com", "-audience", "a"}
	asking := append(slices.Clip(explain), "-introspect-url", "https://as.example.com/i", "-client-id", "a", "-client-secret-file", file)
	offline := append(slices.Clip(explain), "-jwks-file", file)
	inFile := []string{"keys", "-jwks-file", file}
	probe := []string{"probe", "-issuer", "https://as.example.com"}
	for _, tc := range []struct{ args, idle []string }{
		{explain, []string{"-client-auth", "post"}},
		{asking, []string{"-profile", "rfc9068"}},
		{append(slices.Clip(asking), "-client-auth", "none"), []string{"-client-secret-file", file}},
		{offline, []string{"-ca", file}},
		{offline, []string{"-proxy", "http://proxy.example.com"}},
		{offline, []string{"-insecure-allow-http"}},
		{inFile, []string{"-idp", "keycloak"}},
		{inFile, []string{"-idp-arg", "a=b"}},
		{inFile, []string{"-ca", file}},
		{inFile, []string{"-proxy", "http://proxy.example.com"}},
		{inFile, []string{"-insecure-allow-http"}},
		{probe, []string{"-token-endpoint", "https://as.example.com/token"}},
		{probe, []string{"-client-auth", "post"}},
		{probe, []string{"-scope", "a"}},
		{probe, []string{"-resource", "https://api.example.com"}},
		{probe, []string{"-ask-audience", "a"}},
		{probe, []string{"-revocation-endpoint", "https://as.example.com/revoke"}},
		{probe, []string{"-revoked-within", "1m"}},
		{probe, []string{"-poll", "1s"}},
	} {
		r := invoke(t, "", append(slices.Clip(tc.args), tc.idle...)...)
		require.Equal(t, exitUsage, r.code, "%q %q: %s", tc.args, tc.idle, r.out)
		require.Contains(t, r.err, tc.idle[0]+" has no effect here: ")
	}
}

// Standard input has one end.
func TestStandardInputIsOneThing(t *testing.T) {
	r := invoke(t, "correct-horse", "explain", "-issuer", "https://as.example.com", "-audience", "a", "-introspect-url", "https://as.example.com/i", "-client-id", "a", "-client-secret-file", "-")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "token: standard input is the -client-secret-file already")
}

// An interrupt ends the wait for a server, and is told apart from an outage.
func TestInterruptedRequest(t *testing.T) {
	for _, args := range [][]string{{"explain", "-audience", audience}, {"keys"}, {"probe"}} {
		ctx, cancel := context.WithCancel(t.Context())
		hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}))
		var out, errs bytes.Buffer
		raw := rawToken(`{"alg":"ES256","kid":"a"}`, `{"iss":"`+hangs.URL+`","aud":"`+audience+`","exp":9999999999}`)
		e := newEnv(strings.NewReader(raw), &out, &errs, time.Now)
		require.Equal(t, exitInterrupted, run(ctx, e, append(args, "-issuer", hangs.URL)), "%q: %s%s", args, &out, &errs)
		require.Empty(t, out.String(), "what was broken off found nothing")
		hangs.CloseClientConnections() // a fetch outlives who waits for it
		hangs.Close()
	}
}

// An interrupt ends the wait for standard input.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never, _, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = never.Close() })
	var out, errs bytes.Buffer
	require.Equal(t, exitInterrupted, run(ctx, newEnv(never, &out, &errs, time.Now), []string{"decode"}))
	require.Empty(t, out.String())
}

// No output of any subcommand but dev holds the token, its signature or a secret.
func TestSecrecy(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	as := startServer(t, authtest.WithClient("orders-api", secret))
	claims := authtest.Claims{Scopes: scope.Of("orders:read")}
	good, opaque := as.Token(claims), as.Opaque(claims)
	forged := good[:len(good)-20] + "AAAAAAAAAAAAAAAAAAAA"
	secretFile := tempFile(t, secret+"\n")
	dead := httptest.NewServer(nil)
	dead.Close()
	local := []string{"explain", "-issuer", as.Issuer(), "-audience", audience}
	ask := []string{"explain", "-issuer", as.Issuer(), "-audience", audience, "-introspect", "-client-id", "orders-api", "-client-secret-file"}
	for name, tc := range map[string]struct {
		args []string
		code int
	}{
		"explain":            {local, exitOK},
		"another audience":   {[]string{"explain", "-issuer", as.Issuer(), "-audience", "other"}, exitFound},
		"another issuer":     {[]string{"explain", "-issuer", as.Issuer() + "/x", "-audience", audience}, exitFound},
		"outage":             {append(local[:5:5], "-keys-url", dead.URL), exitOutage},
		"introspection":      {append(ask[:8:8], "-client-secret-file", secretFile), exitOK},
		"introspection post": {append(ask[:8:8], "-client-auth", "post", "-client-secret-file", secretFile), exitOK},
		"wrong secret":       {append(ask[:8:8], "-client-secret-file", tempFile(t, secret+"x")), exitUsage},
		"no endpoint":        {append(ask[:8:8], "-introspect-url", dead.URL, "-client-secret-file", secretFile), exitOutage},
		"decode":             {[]string{"decode"}, exitOK},
		"keys":               {[]string{"keys", "-issuer", as.Issuer()}, exitOK},
	} {
		for _, form := range [][]string{nil, {"-json"}} {
			for kind, raw := range map[string]string{"good": good, "forged": forged, "opaque": opaque, "in a header": "Authorization: Bearer " + good} {
				r := invoke(t, raw, append(slices.Clip(tc.args), form...)...)
				if kind == "good" || kind == "in a header" {
					require.Equal(t, tc.code, r.code, "%s: %s%s", name, r.out, r.err)
				}
				all := r.out + r.err
				requirePlain(t, all)
				for _, hidden := range []string{good, forged, opaque, secret, good[strings.LastIndex(good, ".")+1:], forged[strings.LastIndex(forged, ".")+1:],
					strings.Split(good, ".")[1], base64.StdEncoding.EncodeToString([]byte("orders-api:" + secret))} {
					require.NotContains(t, all, hidden, "%s, %s", name, kind)
				}
			}
		}
	}
}
