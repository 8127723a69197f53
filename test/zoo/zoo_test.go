// Package zoo_test keeps tokens of well-known identity providers: those that open an API,
// and those that the same issuer signs with the same keys and that must not. The claims are
// as the providers' documentation and sources have them, the values invented, the keys made
// here. No provider is asked.
//
// A provider is a function of package idp with what it was given, the URLs that it may
// fetch from, and a plain configuration: what one writes by hand until the good tokens get
// in. A row is one token. docs/providers.md shows what became of each.
package zoo_test

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

const root = "../.."

// m is a JSON object.
type m = map[string]any

// provider is one function of package idp with what it was given, and tokens of its issuer.
type provider struct {
	name     string // in the document
	function string // of package idp
	preset   jwtverify.Config
	// router is for the function that returns one: base is the user's part of it.
	router func(base jwtverify.Config) (*issuers.Router, error)
	// plain is what one writes by hand until the good tokens get in; plainRouter, where that
	// takes one.
	plain       jwtverify.Config
	plainRouter func(base jwtverify.Config) (*issuers.Router, error)
	plainSays   string // in the document, where plain is not what stands there

	// What the provider has, and nothing else may be fetched.
	metadata string
	absent   string // is asked for, and answered with 404
	keys     string
	published

	bound string // a member of cnf that the user confirms

	// essential reads the claims of a token that was accepted, in another way than the
	// preset: whether they say what no accepted token may lack.
	essential func(m) bool
	// noAudience says that tokens need no aud, and nothing that stands in for it.
	noAudience bool

	rows []row
	// again says that the document has the same rows already.
	again bool
}

// row is one token of a provider.
type row struct {
	kind   string // of token, in the document
	made   bool   // up: no provider is known to sign it. It shows a condition of the rule
	claims string // JSON
	with   m      // claims that are changed
	header m      // members of the header that are changed
	key    string // the kid of the key that signs. Default: the first of the provider
	forged bool   // another key signs, under that kid
	parts  int    // more parts than a JWS has

	want bearergate.Reason // "": accepted

	// What an accepted token is read as.
	scopes, roles           []string
	tenant, client, session string
	id                      string // Default: jti
}

func (r *row) good() bool { return r.want == "" }

func (p *provider) good() row {
	return p.rows[slices.IndexFunc(p.rows, func(r row) bool { return r.good() })]
}

// verifier is what both a Verifier and a Router are.
type verifier interface {
	bearergate.Verifier
	Explain(ctx context.Context, token string) bearergate.Explanation
}

// users is what the user sets in each configuration of these tests.
func (p *provider) users(c *jwtverify.Config, w http.RoundTripper, event *jwtverify.VerifyEvent) {
	c.HTTPClient = &http.Client{Transport: w}
	c.Now = func() time.Time { return kit.Now }
	if p.bound != "" {
		c.Confirmations = append(slices.Clone(c.Confirmations), p.bound)
	}
	if event != nil {
		c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { *event = e }
	}
}

// lax is the most that a user can allow.
func lax(c *jwtverify.Config) {
	c.AllowTypes = append(slices.Clone(c.AllowTypes), "JOSE", "anything")
	c.AllowMarks = append(slices.Clone(c.AllowMarks), "at_hash", "c_hash", "s_hash", "nonce", "code")
	c.IgnoreClaims = []string{"act", "may_act"}
	c.Leeway = jwtverify.MaxLeeway
	c.Confirmations = []string{"jkt", "x5t#S256"}
	c.Map = func(c *bearergate.Claims) error {
		c.Scopes, c.Roles, c.Tenant, c.ClientID = scope.Of("orders.read", "admin"), []string{"admin"}, "anybody", "anybody"
		return nil
	}
	c.Check = func(context.Context, *bearergate.Token) error { return nil }
}

// made is a verifier with the preset, as returned but for what the user sets.
func (p *provider) made(t testing.TB, w http.RoundTripper, event *jwtverify.VerifyEvent, further ...func(*jwtverify.Config)) verifier {
	t.Helper()
	return p.build(t, p.preset, p.router, w, event, further...)
}

// byHand is a verifier with the plain configuration.
func (p *provider) byHand(t testing.TB, w http.RoundTripper) verifier {
	t.Helper()
	return p.build(t, p.plain, p.plainRouter, w, nil)
}

func (p *provider) build(t testing.TB, c jwtverify.Config, router func(jwtverify.Config) (*issuers.Router, error), w http.RoundTripper, event *jwtverify.VerifyEvent, further ...func(*jwtverify.Config)) verifier {
	t.Helper()
	p.users(&c, w, event)
	for _, f := range further {
		f(&c)
	}
	if router != nil {
		r, err := router(c)
		require.NoError(t, err)
		return r
	}
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}

// claimsOf are the claims of a row.
func (r *row) claimsOf(t testing.TB) m {
	t.Helper()
	return changed(read(t, []byte(r.claims)), r.with)
}

// both are the changes of a and then those of b.
func both(a, b m) m {
	out := m{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

// changed is an object with changes, of which some take a member away.
func changed(of, by m) m {
	out := both(of, by)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == kit.Absent })
	return out
}

// verdict is what became of a token.
type verdict struct {
	row

	plain bearergate.Reason // what the plain configuration says; "": accepted
}

// shown are the rows of a provider, and what its plain configuration says of them.
func (p *provider) shown(t *testing.T) (out []verdict) {
	t.Helper()
	plain := p.byHand(t, p.web(nil))
	for _, r := range p.rows {
		_, err := plain.Verify(t.Context(), p.token(t, &r))
		if err != nil {
			require.ErrorIs(t, err, bearergate.ErrInvalidToken, "%s: %s", p.name, r.kind)
		}
		out = append(out, verdict{r, bearergate.ReasonOf(err)})
	}
	return out
}

func TestZoo(t *testing.T) {
	t.Parallel()
	for _, p := range providers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			var event jwtverify.VerifyEvent
			web := p.web(t)
			v := p.made(t, web, &event)
			loose := p.made(t, p.web(t), nil, lax)
			for _, r := range slices.Concat(p.rows, p.everywhere(t)) {
				t.Run(r.kind, func(t *testing.T) {
					raw := p.token(t, &r)
					if !r.good() {
						requireRefused(t, v, raw, r.want)
						requireRefusedEvenIfLax(t, loose, raw)
						return
					}
					for _, again := range []bool{false, true} {
						got, err := v.Verify(t.Context(), raw)
						require.NoError(t, err)
						require.Equal(t, again, event.Cached)
						requireRead(t, &r, got)
					}
					kit.RequireExplained(t, v.Explain(t.Context(), raw), nil, raw)
					payload, err := json.Marshal(r.claimsOf(t))
					require.NoError(t, err)
					require.True(t, p.essential(read(t, payload)), "the other reader misses what is essential")
				})
			}
			for _, url := range []string{p.metadata, p.keys, p.absent} {
				require.True(t, url == "" || web.asked(url), "nobody asked for %s", url)
			}
		})
	}
}

func requireRefused(t *testing.T, v verifier, raw string, want bearergate.Reason) {
	t.Helper()
	for range 2 {
		got, err := v.Verify(t.Context(), raw)
		kit.RequireRefused(t, got, err, bearergate.ErrInvalidToken, want)
	}
	_, err := v.Verify(t.Context(), raw)
	kit.RequireExplained(t, v.Explain(t.Context(), raw), err, raw)
}

// What the user sets adds to the rule of a preset. It replaces nothing of it.
func requireRefusedEvenIfLax(t *testing.T, loose verifier, raw string) {
	t.Helper()
	got, err := loose.Verify(t.Context(), raw)
	require.Nil(t, got)
	require.ErrorIs(t, err, bearergate.ErrInvalidToken)
	kit.RequireExplained(t, loose.Explain(t.Context(), raw), err, raw)
}

// requireRead asserts what an accepted token is read as.
func requireRead(t *testing.T, r *row, got *bearergate.Token) {
	t.Helper()
	claims, id := r.claimsOf(t), r.id
	if id == "" {
		id, _ = claims["jti"].(string)
	}
	sub, _ := claims["sub"].(string)
	require.Equal(t, sub, got.Subject())
	require.ElementsMatch(t, r.scopes, got.Scopes().Names(), "scopes")
	require.ElementsMatch(t, r.roles, got.Roles(), "roles")
	require.Equal(t, r.tenant, got.Tenant(), "tenant")
	require.Equal(t, r.client, got.ClientID(), "client")
	require.Equal(t, r.session, got.SessionID(), "session")
	require.Equal(t, id, got.ID(), "ID")
}

// A plain configuration lets in every token that the preset does: else it would not be what
// anybody writes. That it lets in wrong ones too is what the document shows.
func TestPlainConfigurationsLetTheGoodOnesIn(t *testing.T) {
	t.Parallel()
	for _, p := range providers() {
		for _, v := range p.shown(t) {
			require.True(t, !v.good() || v.plain == "", "%s: %s: %s", p.name, v.kind, v.plain)
		}
		plain := p.byHand(t, p.web(nil))
		for _, r := range p.everywhere(t) {
			_, err := plain.Verify(t.Context(), p.token(t, &r))
			require.ErrorIs(t, err, bearergate.ErrInvalidToken, "%s: %s", p.name, r.kind)
		}
	}
}

// Every function of package idp that makes a configuration has tokens here, good ones and
// wrong ones; and each name of a row says which row is meant.
func TestEveryPresetHasTokens(t *testing.T) {
	t.Parallel()
	good, refused, seen := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, p := range providers() {
		for _, r := range p.rows {
			require.False(t, seen[p.name+": "+r.kind], "%s: %s: twice", p.name, r.kind)
			seen[p.name+": "+r.kind] = true
			if r.good() {
				good[p.function]++
			} else {
				refused[p.function]++
			}
		}
	}
	functions := functionsOf(t, root+"/idp")
	require.Greater(t, len(functions), 25, "found hardly any function: is the test run in its directory?")
	for _, name := range functions {
		require.GreaterOrEqual(t, good[name], 1, "idp.%s: tokens that are accepted", name)
		require.GreaterOrEqual(t, refused[name], 3, "idp.%s: tokens that are refused", name)
		delete(good, name)
	}
	require.Empty(t, good, "rows of no function")
}

// functionsOf are the exported functions of a directory that return a Config or a Router.
func functionsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := fs.Glob(os.DirFS(dir), "*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), dir+"/"+file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Recv == nil && f.Name.IsExported() && f.Type.Results != nil && slices.ContainsFunc(f.Type.Results.List, makesVerifiers) {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

func makesVerifiers(result *ast.Field) bool {
	of := result.Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	selected, ok := of.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := selected.X.(*ast.Ident)
	return ok && slices.Contains([]string{"jwtverify.Config", "issuers.Router"}, from.Name+"."+selected.Sel.Name)
}
