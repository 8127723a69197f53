package main

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

var update = flag.Bool("update", false, "write the transcripts of docs/command.md anew")

const document = "../../docs/command.md"

// transcripts are the blocks of the document that have a name.
var transcripts = regexp.MustCompile("(?ms)^```console ([a-z]+)\n(.*?)^```$")

// The transcripts in the document are what the command prints.
func TestDocument(t *testing.T) {
	want := transcribe(t)
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	seen := map[string]bool{}
	now := transcripts.ReplaceAllStringFunc(string(text), func(block string) string {
		name := transcripts.FindStringSubmatch(block)[1]
		require.Contains(t, want, name)
		require.False(t, seen[name], name)
		seen[name] = true
		return "```console " + name + "\n" + want[name] + "```"
	})
	require.Len(t, seen, len(want), "a transcript that the document does not have")
	if *update {
		require.NoError(t, os.WriteFile(document, []byte(now), 0o600))
		return
	}
	require.Equal(t, now, string(text), "go test ./cmd/bearergate -run TestDocument -update")
	for _, c := range commands() {
		require.Contains(t, now, "`"+c.name+"`")
	}
}

// transcribe runs what the document shows. What differs from run to run, addresses, IDs of
// keys, times, is replaced by what is fit for reading.
func transcribe(t *testing.T) map[string]string {
	t.Helper()
	as := startServer(t, authtest.WithCacheControl("max-age=300"))
	dead := startServer(t)
	forged := dead.Issuer()
	dead.Close()
	set := strings.Replace(string(as.JWKS()), `{"keys":[`, `{"keys":[{"kty":"RSA","use":"enc","kid":"rsa-enc","n":"`+strings.Repeat("v", 342)+`","e":"AQAB"},`, 1)
	as.Fail(authtest.Fault{Path: "/jwks", Body: []byte(set)})
	read := as.Token(authtest.Claims{Scopes: scope.Of("orders:read")})
	ofDead := dead.Token(authtest.Claims{})

	replaced := []struct {
		pattern *regexp.Regexp
		with    string
	}{
		{regexp.MustCompile(regexp.QuoteMeta(as.Issuer())), "https://as.example.com"},
		{regexp.MustCompile(regexp.QuoteMeta(forged)), "https://down.example.com"},
		{regexp.MustCompile(`dial tcp [0-9.:]+:`), "dial tcp 192.0.2.7:443:"},
		{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://127.0.0.1:40123"},
		{regexp.MustCompile(`eyJ[\w.-]+`), "eyJhbGciOiJFUzI1NiIsImtpZCI6ImVz…"},
		{regexp.MustCompile(`(?m)^[A-Z2-7]{26}$`), "BOMP6ZJBOZ7MSIEG43ZSME7R5C"},
		{regexp.MustCompile(`es256-1-[A-Z2-7]{26}`), "2026-03"},
		{regexp.MustCompile(`es256-2-[A-Z2-7]{26}`), "2026-04"},
		{regexp.MustCompile(`found \d{3} bytes`), "found 448 bytes"},
		{regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "2026-03-01T12:05:00Z"},
		{regexp.MustCompile(`, \d+ ms`), ", 12 ms"},
		{regexp.MustCompile(`after \d+m\d+s:`), "after 4m51s:"},
		{regexp.MustCompile(`"\\"[0-9a-f]{32}\\""`), `"\"40a13619192c97f7\""`},
		{regexp.MustCompile(`thumbprint  [\w-]{43}`), "thumbprint  CXwZ031gY9M6A8h55EmKqvclYT4F_meKY-l-wccPAN8"},
	}
	plainly := func(text string) string {
		for _, r := range replaced {
			text = r.pattern.ReplaceAllString(text, r.with)
		}
		return text
	}
	all := map[string]string{}
	shell := func(name, stdin, file string, code int, now func() time.Time, args ...string) {
		r := invokeAt(t, now, stdin, args...)
		require.Equal(t, code, r.code, r.out+r.err)
		require.Empty(t, r.err)
		typed := make([]string, len(args))
		for i, arg := range args {
			if typed[i] = arg; strings.HasPrefix(arg, "/") {
				typed[i] = "before.json"
			}
		}
		exit := ""
		if code != 0 {
			exit = "$ echo $?\n" + string(rune('0'+code)) + "\n"
		}
		all[name] = plainly("$ bearergate " + strings.Join(typed, " ") + file + "\n" + r.out + exit)
	}
	shell("explain", read, " <token.txt", exitFound, time.Now, "explain", "-issuer", as.Issuer(), "-audience", "https://billing.example.com")
	shell("accepted", read, " <token.txt", exitOK, time.Now, "explain", "-issuer", as.Issuer(), "-audience", audience, "-scope", "orders:read")
	shell("outage", ofDead, " <token.txt", exitOutage, time.Now, "explain", "-issuer", forged, "-audience", audience)
	shell("keys", "", "", exitOK, time.Now, "keys", "-issuer", as.Issuer())
	shell("decode", rawToken(goodHeader, `{"iss":"https://as.example.com","aud":"https://orders.example.com","sub":"alice","scope":"orders:read","sub":"bob","iat":1772366340,"exp":1772366700}`),
		" <token.txt", exitFound, atNoon, "decode")

	before := tempFile(t, invoke(t, "", "keys", "-json", "-issuer", as.Issuer()).out)
	as.Fail(authtest.Fault{})
	as.Rotate()
	as.Withdraw()
	shell("compare", "", "", exitOK, time.Now, "keys", "-issuer", as.Issuer(), "-compare", before)
	_, changes, found := strings.Cut(all["compare"], "\n\ncompared")
	require.True(t, found, all["compare"])
	command, _, _ := strings.Cut(all["compare"], "\n")
	all["compare"] = command + " | tail -3\ncompared" + changes

	maps.Copy(all, transcribeProbe(t))
	for name, args := range map[string][]string{
		"dev":         {"-audience", audience, "-scope", "orders:read"},
		"devopaque":   {"-opaque", "-audience", audience, "-scope", "orders:read"},
		"devkeycloak": {"-scope", "orders:read", "-idp", "keycloak", "-idp-arg", "issuer=https://sso.example.com/realms/shop", "-idp-arg", "audience=orders-api"},
	} {
		d := runDev(t, args...)
		var b strings.Builder
		for !strings.Contains(b.String(), "Ctrl-C ends this") {
			line, err := d.out.ReadString('\n')
			require.NoError(t, err)
			b.WriteString(line)
		}
		d.stop()
		all[name] = plainly("$ bearergate dev " + strings.Join(args, " ") + "\n" + d.errs.String() + b.String())
	}
	return all
}
