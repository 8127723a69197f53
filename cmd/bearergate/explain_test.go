package main

import (
	"encoding/json"
	"encoding/pem"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

func TestExplain(t *testing.T) {
	as := startServer(t, authtest.WithClient("orders-api", "secret"))
	read := authtest.Claims{Scopes: scope.Of("orders:read")}
	key, err := authtest.NewDPoPKey("ES256")
	require.NoError(t, err)
	bound := read
	bound.Confirmation = key.Confirmation()
	secret := tempFile(t, "secret")
	jwksFile := tempFile(t, string(as.JWKS()))
	dead := httptest.NewServer(nil)
	dead.Close()
	keycloak := as.Claims(read)
	keycloak["typ"], keycloak["azp"] = "Bearer", "shop"

	issuer, api := []string{"-issuer", as.Issuer()}, []string{"-audience", audience}
	ask := []string{"-introspect", "-client-id", "orders-api", "-client-secret-file", secret}
	for name, tc := range map[string]struct {
		token   string
		flags   [][]string
		verdict string
		reason  string
		failed  string // the step
		code    int
	}{
		"accepted":           {token: as.Token(read), flags: [][]string{issuer, api}, verdict: "accepted"},
		"with its scope":     {token: as.Token(read), flags: [][]string{issuer, api, {"-scope", "orders:read"}}, verdict: "accepted"},
		"without its scope":  {token: as.Token(read), flags: [][]string{issuer, api, {"-scope", "orders:read orders:write"}}, verdict: "refused", reason: "scope", failed: "scope", code: exitFound},
		"another audience":   {token: as.Token(read), flags: [][]string{issuer, {"-audience", "other"}}, verdict: "refused", reason: "audience", failed: "audience", code: exitFound},
		"another issuer":     {token: as.Token(read), flags: [][]string{{"-issuer", "https://as.example.com"}, api}, verdict: "refused", reason: "issuer", failed: "origin", code: exitFound},
		"opaque":             {token: as.Opaque(read), flags: [][]string{issuer, api}, verdict: "refused", reason: "malformed", failed: "form", code: exitFound},
		"algorithm":          {token: as.Token(read), flags: [][]string{issuer, api, {"-alg", "RS256", "-alg", "PS256"}}, verdict: "refused", reason: "algorithm", failed: "algorithm", code: exitFound},
		"profile":            {token: as.Sign(map[string]any{"typ": "JWT"}, as.Claims(read)), flags: [][]string{issuer, api, {"-profile", "rfc9068"}}, verdict: "refused", reason: "type", failed: "type", code: exitFound},
		"expired":            {token: as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Minute)}), flags: [][]string{issuer, api}, verdict: "refused", reason: "expired", failed: "times", code: exitFound},
		"expired, in leeway": {token: as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Minute)}), flags: [][]string{issuer, api, {"-leeway", "2m"}}, verdict: "accepted"},
		"before it expired":  {token: as.Token(authtest.Claims{IssuedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now().Add(-time.Minute)}), flags: [][]string{issuer, api, {"-at", time.Now().Add(-30 * time.Minute).Format(time.RFC3339)}}, verdict: "accepted"},
		"bound":              {token: as.Token(bound), flags: [][]string{issuer, api}, verdict: "refused", reason: "binding", failed: "binding", code: exitFound},
		"bound, and checked": {token: as.Token(bound), flags: [][]string{issuer, api, {"-confirmation", "jkt"}}, verdict: "accepted"},
		"bound, with scope":  {token: as.Token(bound), flags: [][]string{issuer, api, {"-confirmation", "jkt", "-scope", "orders:read"}}, verdict: "accepted"},
		"outage":             {token: as.Token(read), flags: [][]string{issuer, api, {"-keys-url", dead.URL}}, verdict: "unknown", reason: "keys_unavailable", failed: "key", code: exitOutage},
		"offline":            {token: as.Token(read), flags: [][]string{issuer, api, {"-jwks-file", jwksFile}}, verdict: "accepted"},
		"odd places":         {token: as.Token(read), flags: [][]string{issuer, api, {"-metadata-url", as.URL("/.well-known/openid-configuration")}}, verdict: "accepted"},
		"keys elsewhere":     {token: as.Token(read), flags: [][]string{issuer, api, {"-keys-url", as.URL("/jwks")}}, verdict: "accepted"},
		"preset":             {token: as.Sign(map[string]any{"typ": "JWT"}, keycloak), flags: [][]string{{"-idp", "keycloak", "-idp-arg", "issuer=" + as.Issuer(), "-idp-arg", "audience=" + audience}}, verdict: "accepted"},
		"preset refuses":     {token: as.Token(read), flags: [][]string{{"-idp", "keycloak", "-idp-arg", "issuer=" + as.Issuer(), "-idp-arg", "audience=" + audience}}, verdict: "refused", reason: "type", failed: "preset", code: exitFound},
		"condition of a job": {token: as.Token(authtest.Claims{Subject: "repo:a"}), flags: [][]string{{"-idp", "workload", "-idp-arg", "issuer=" + as.Issuer(), "-idp-arg", "audience=" + audience, "-idp-arg", "where.sub=repo:b", "-idp-arg", "where.sub=repo:a"}}, verdict: "accepted"},
		"preset, offline":    {token: as.Token(read), flags: [][]string{{"-idp", "workos", "-idp-arg", "client-id=client_01", "-jwks-file", jwksFile}}, verdict: "refused", reason: "issuer", failed: "origin", code: exitFound},
		"introspection":      {token: as.Opaque(read), flags: [][]string{issuer, api, ask}, verdict: "accepted"},
		"its own endpoint":   {token: as.Opaque(read), flags: [][]string{issuer, api, ask, {"-introspect-url", as.URL("/introspect"), "-client-auth", "post"}}, verdict: "accepted"},
		"inactive":           {token: "unknown", flags: [][]string{issuer, api, ask}, verdict: "refused", reason: "inactive", failed: "active", code: exitFound},
		"credentials":        {token: as.Opaque(read), flags: [][]string{issuer, api, {"-introspect", "-client-id", "orders-api", "-client-secret-file", jwksFile}}, verdict: "unknown", reason: "config", failed: "answer", code: exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"explain"}
			for _, f := range tc.flags {
				args = append(args, f...)
			}
			r := invoke(t, tc.token+"\n", append(args, "-json")...)
			require.Equal(t, tc.code, r.code, r.out+r.err)
			require.Empty(t, r.err)
			var got explanation
			require.NoError(t, json.Unmarshal([]byte(r.out), &got))
			require.Equal(t, tc.verdict, got.Verdict, r.out)
			require.Equal(t, tc.reason, got.Reason, r.out)
			failed := ""
			for _, s := range got.Steps {
				if s.State == "failed" {
					failed = s.Name
				}
			}
			require.Equal(t, tc.failed, failed, r.out)

			r = invoke(t, "", append(args, "-token-file", tempFile(t, "Authorization: Bearer "+tc.token))...)
			require.Equal(t, tc.code, r.code, r.out+r.err)
			require.True(t, strings.HasPrefix(r.out, tc.verdict), r.out)
		})
	}
}

// A certificate that the system does not trust is an outage, and -ca mends it.
func TestAuthorities(t *testing.T) {
	var as *authtest.Server
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/jwks" {
			_, _ = w.Write(as.JWKS())
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": "https://" + r.Host, "jwks_uri": "https://" + r.Host + "/jwks"})
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(front.Close)
	as = startServer(t, authtest.WithIssuer(front.URL))
	args := []string{"explain", "-issuer", front.URL, "-audience", audience}
	r := invoke(t, as.Token(authtest.Claims{}), args...)
	require.Equal(t, exitOutage, r.code, r.out+r.err)
	ca := tempFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})))
	r = invoke(t, as.Token(authtest.Claims{}), append(args, "-ca", ca)...)
	require.Zero(t, r.code, r.out+r.err)

	r = invoke(t, "", "keys", "-issuer", front.URL, "-ca", ca, "-json")
	require.Zero(t, r.code, r.out+r.err)
	var report keysReport
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	require.Equal(t, "TLS 1.3", report.Documents[0].TLS)
	require.Equal(t, front.Certificate().NotAfter.UTC(), report.Documents[0].Certificate.NotAfter)
}

// -idp knows every function of package idp that makes a verifier.
func TestPresetsAreAll(t *testing.T) {
	files, err := filepath.Glob("../../idp/*.go")
	require.NoError(t, err)
	functions := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || f.Name.Name == "EntraGroups" {
				continue
			}
			functions++
			found := false
			for name := range presets() {
				found = found || strings.EqualFold(strings.ReplaceAll(name, "-", ""), f.Name.Name)
			}
			require.True(t, found, "no -idp for idp.%s", f.Name.Name)
		}
	}
	require.Len(t, presets(), functions)
	for name, p := range presets() { // an argument that no preset knows is told, with those that it does
		r := invoke(t, "x", "explain", "-idp", name, "-idp-arg", "no-such=x")
		require.Equal(t, exitUsage, r.code, name)
		require.Contains(t, r.err, p.synopsis(name))
		r = invoke(t, "x", "explain", "-idp", name) // what is missing, the function says
		require.Equal(t, exitUsage, r.code, "%s: %s", name, r.err)
	}
	_, err = os.Stat("../../docs/providers.md") // which the help names
	require.NoError(t, err)
}
