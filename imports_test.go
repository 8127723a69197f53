package bearergate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/bearergate/bearergate"

// arrows says what the packages of a directory may import of this repository,
// each entry with all that is below it; "." is the root package alone. Nothing
// imports upwards. The longest matching directory counts. A directory that
// matches none has no place in the house.
var arrows = map[string][]string{
	".":          {"scope", "internal/digest", "internal/guard", "internal/mistake", "internal/peers", "internal/quote", "internal/strictjson"},
	"scope":      {},
	"jwks":       {".", "internal"},
	"jwtverify":  {".", "scope", "jwks", "internal"},
	"introspect": {".", "scope", "jwks", "internal"},
	"issuers":    {".", "scope", "internal"},
	"apikey":     {".", "scope", "internal"},
	"idp":        {".", "scope", "jwtverify", "issuers", "jwks", "internal"},
	"middleware": {".", "scope"},
	"binding":    {".", "internal"},
	"revocation": {".", "jwks", "internal"},
	"policy":     {".", "scope", "internal"},
	// What feeds a list knows it by its exported names alone.
	"revocation/admin":       {".", "scope", "revocation", "internal"},
	"revocation/backchannel": {".", "jwks", "revocation", "internal"},
	"revocation/signals":     {".", "jwks", "revocation", "internal"},
	// What stands beside the gate knows it by its exported names alone.
	"middleware/usage":     {".", "scope", "middleware"},
	"middleware/labels":    {"."},
	"middleware/policydoc": {".", "scope", "middleware"}, // middleware/catalogue too
	"middleware/catalogue": {".", "scope", "middleware", "internal"},
	"middleware/sightings": {".", "middleware", "internal"},
	"authtest":             {".", "scope", "internal"},
	"internal":             {"internal"},
	// The internal packages above the root: that neither the root nor jwks import the first,
	// nor revocation the second, the compiler sees to. It would be a cycle.
	"internal/accept": {".", "scope", "jwks", "internal"},
	"internal/inbox":  {".", "revocation", "internal"}, // what the feeds of a List have in common
	"adapters":        slices.Concat(exported, []string{"adapters"}),
	"cmd":             exported, // a program: what users have is enough for it
	"examples":        slices.Concat(exported, []string{"adapters", "examples"}),
	"examples/soak":   slices.Concat(exported, []string{"adapters", "test/servers"}), // proof in the form of a program: it starts what the tests start
	"test":            everywhere,                                                    // proof may look at everything
	"tools":           everywhere,
	".ci":             everywhere,
}

// exported are the packages that users import.
var exported = []string{".", "scope", "jwks", "jwtverify", "introspect", "issuers", "apikey", "idp", "middleware", "binding", "revocation", "policy", "authtest"}

var everywhere = slices.Concat(exported, []string{"internal", "adapters", "examples", "test", "tools", ".ci"})

// foreign says which directory of the root module may import what from other
// modules, test files included: what is not listed is not used.
var foreign = []struct {
	path string   // this package of the other module, or with a "/" at the end all below
	from []string // nil: anywhere but in root, scope and middleware
	test bool     // in _test.go files and below test/ only
}{
	{path: "github.com/go-json-experiment/json", from: []string{"internal/strictjson"}},
	{path: "github.com/go-json-experiment/json/jsontext", from: []string{"internal/strictjson"}},
	{path: "github.com/lestrrat-go/jwx/v2/jwk", from: []string{"internal/jose"}},
	{path: "github.com/hashicorp/golang-lru/v2/simplelru", from: []string{"internal/ttlcache"}}, // expirable starts a goroutine that never ends
	{path: "golang.org/x/sync/singleflight"},
	{path: "golang.org/x/crypto/blake2b", from: []string{"internal/ttlcache"}},
	{path: "github.com/stretchr/testify/", test: true},
}

// directDependencies are all that go.mod may require directly.
var directDependencies = []string{
	"github.com/lestrrat-go/jwx/v2",
	"github.com/hashicorp/golang-lru/v2",
	"golang.org/x/sync",
	"github.com/go-json-experiment/json",
	"github.com/stretchr/testify",
	"golang.org/x/crypto",
}

// jwkForbidden are names of jwx's jwk package that even internal/jose does not
// use: they fetch without bounds, or fail a whole set for one key.
var jwkForbidden = []string{"Cache", "NewCache", "CachedSet", "NewCachedSet", "Fetch", "NewFetcher", "Fetcher", "FetchFunc", "Parse", "ParseReader", "ParseString", "ReadFile", "NewSet", "AutoRefresh"}

// peers is where other libraries are measured beside this one.
var peers = []string{"test/bench"}

// violations names every rule that a file of directory dir (slash-separated,
// relative to the root) breaks by importing what it does.
func violations(dir, file string, nested bool, imports []string) []string {
	var found []string
	report := func(format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: ", path.Join(dir, file))+fmt.Sprintf(format, args...))
	}
	allowed, known := arrows["."], dir == "."
	for d := dir; d != "."; d = path.Dir(d) {
		if a, ok := arrows[d]; ok {
			allowed, known = a, true
			break
		}
	}
	if !known {
		report("a directory that is not in the house: give it its arrows")
		return found
	}
	isTest := strings.HasSuffix(file, "_test.go")
	for _, imported := range imports {
		if rest, own := strings.CutPrefix(imported, modulePath); own && (rest == "" || rest[0] == '/') {
			target := strings.TrimPrefix(rest, "/")
			// Tests may stand on packages above theirs: what they link, no user does.
			if !isTest && target != dir && !below(target, allowed) {
				report("imports %s: against the arrows of the house", imported)
			}
			continue
		}
		first, _, _ := strings.Cut(imported, "/")
		switch {
		case imported == "C" || imported == "unsafe":
			report("imports %s", imported)
			continue
		case !strings.Contains(first, "."): // the standard library
			continue
		}
		i := slices.IndexFunc(foreign, func(f struct {
			path string
			from []string
			test bool
		}) bool {
			return imported == f.path || strings.HasSuffix(f.path, "/") && strings.HasPrefix(imported, f.path)
		})
		module := func(path string) bool { return strings.HasPrefix(imported, path) }
		switch {
		case nested && below(dir, peers): // compares with what others make of these
		case nested && (module("github.com/go-json-experiment/") || module("github.com/lestrrat-go/") || module("github.com/hashicorp/golang-lru/")):
			report("imports %s, which belongs to one package of the root module", imported)
		case nested: // a module of its own has dependencies of its own
		case i < 0:
			report("imports %s, which no package may", imported)
		case foreign[i].test && !isTest && !below(dir, []string{"test"}):
			report("imports %s outside a test", imported)
		case foreign[i].from != nil && !slices.Contains(foreign[i].from, dir):
			report("imports %s, which only %v may", imported, foreign[i].from)
		case foreign[i].from == nil && !foreign[i].test && slices.Contains([]string{".", "scope", "middleware"}, dir):
			report("imports %s, and stands too low for that", imported)
		}
	}
	return found
}

// below reports whether target is one of the places or below it.
func below(target string, places []string) bool {
	return slices.ContainsFunc(places, func(p string) bool {
		if p == "." {
			return target == ""
		}
		return target == p || strings.HasPrefix(target, p+"/")
	})
}

// The house of the design, and its list of dependencies.
func TestImportRules(t *testing.T) {
	files := 0
	seen := map[string]bool{}
	nestedModules := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		dir := path.Dir(name)
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "testdata", "vendor", "node_modules":
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != "." {
				nestedModules[name] = true
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		seen[dir] = true
		var imports []string
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, imported)
			if spec.Name != nil && spec.Name.Name == "." {
				t.Errorf("%s: imports %s as \".\", which hides what it uses", name, imported)
			}
			if imported == "github.com/lestrrat-go/jwx/v2/jwk" && !below(dir, peers) {
				for _, used := range usesOf(parsed, spec, "jwk") {
					if slices.Contains(jwkForbidden, used) {
						t.Errorf("%s: uses jwk.%s, which is not used here", name, used)
					}
				}
			}
		}
		nested := false
		for d := dir; d != "."; d = path.Dir(d) {
			nested = nested || nestedModules[d]
		}
		for _, v := range violations(dir, path.Base(name), nested, imports) {
			t.Error(v)
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, files, 5, "found hardly any file: is the test run in the root of the repository?")
	for _, dir := range []string{".", "scope", "internal/strictjson"} {
		require.True(t, seen[dir], "no file of %s was read", dir)
	}
}

// usesOf returns the names that a file uses of one of its imports.
func usesOf(file *ast.File, spec *ast.ImportSpec, name string) []string {
	if spec.Name != nil {
		name = spec.Name.Name
	}
	var used []string
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
				used = append(used, sel.Sel.Name)
			}
		}
		return true
	})
	return used
}

// The rules catch what they are for.
func TestImportRulesBite(t *testing.T) {
	const own = modulePath
	for _, tc := range []struct {
		dir, file, imported string
		nested, ok          bool
	}{
		{".", "token.go", own + "/scope", false, true},
		{".", "token.go", own + "/internal/strictjson", false, true},
		{".", "hook.go", own + "/internal/guard", false, true},
		{".", "token.go", own + "/internal/jose", false, false},
		{".", "token.go", own + "/jwtverify", false, false},
		{".", "token.go", "golang.org/x/sync/singleflight", false, false},
		{".", "token_test.go", own + "/authtest", false, true},
		{"scope", "scope.go", "strings", false, true},
		{"scope", "scope.go", own, false, false},
		{"scope", "scope.go", own + "/internal/strictjson", false, false},
		{"jwks", "jwks.go", own, false, true},
		{"jwks", "jwks.go", own + "/internal/jose", false, true},
		{"jwks", "jwks.go", own + "/scope", false, false},
		{"jwks", "jwks.go", own + "/jwtverify", false, false},
		{"jwks", "jwks.go", "golang.org/x/sync/singleflight", false, true},
		{"jwks", "jwks.go", "golang.org/x/sync/errgroup", false, false},
		{"jwtverify", "jwtverify.go", own + "/jwks", false, true},
		{"jwtverify", "jwtverify.go", own + "/middleware", false, false},
		{"jwtverify", "jwtverify.go", own + "/introspect", false, false},
		{"introspect", "introspect.go", own + "/jwtverify", false, false},
		{"introspect", "introspect.go", own + "/middleware", false, false},
		{"introspect", "introspect.go", own + "/internal/fetch", false, true},
		{"middleware", "middleware.go", own, false, true},
		{"middleware", "middleware.go", own + "/jwtverify", false, false},
		{"middleware", "middleware.go", own + "/introspect", false, false},
		{"middleware", "middleware.go", own + "/jwks", false, false},
		{"middleware", "middleware.go", own + "/internal/strictjson", false, false},
		{"middleware", "middleware_test.go", own + "/jwtverify", false, true},
		{"authtest", "authtest.go", own + "/internal/jose", false, true},
		{"authtest", "authtest.go", own + "/jwtverify", false, false},
		{"authtest", "authtest.go", own + "/jwks", false, false},
		{"authtest", "authtest.go", "github.com/stretchr/testify/require", false, false},
		{"authtest", "authtest_test.go", "github.com/stretchr/testify/require", false, true},
		{"internal/jose", "jose.go", own + "/internal/strictjson", false, true},
		{"internal/jose", "jose.go", own, false, false},
		{"internal/accept", "accept.go", own, false, true},
		{"internal/accept", "keys.go", own + "/jwks", false, true},
		{"internal/accept", "accept.go", own + "/jwtverify", false, false},
		{"internal/jose", "jose.go", own + "/scope", false, false},
		{"internal/fetch", "fetch.go", own + "/jwks", false, false},
		{"internal/jose", "key.go", "github.com/lestrrat-go/jwx/v2/jwk", false, true},
		{"internal/jose", "key.go", "github.com/lestrrat-go/jwx/v2/jws", false, false},
		{"internal/jose", "key_test.go", "github.com/lestrrat-go/jwx/v2/jwt", false, false},
		{"internal/jose", "key.go", "github.com/lestrrat-go/jwx/v2", false, false},
		{"jwks", "jwks.go", "github.com/lestrrat-go/jwx/v2/jwk", false, false},
		{"jwks", "jwks_test.go", "github.com/lestrrat-go/jwx/v2/jwk", false, false},
		{"internal/strictjson", "strictjson.go", "github.com/go-json-experiment/json/jsontext", false, true},
		{"internal/jose", "jose.go", "github.com/go-json-experiment/json", false, false},
		{".", "token.go", "github.com/go-json-experiment/json", false, false},
		{"internal/ttlcache", "ttlcache.go", "github.com/hashicorp/golang-lru/v2/simplelru", false, true},
		{"internal/ttlcache", "ttlcache.go", "github.com/hashicorp/golang-lru/v2/expirable", false, false},
		{"internal/ttlcache", "ttlcache.go", "github.com/hashicorp/golang-lru/v2", false, false},
		{"jwtverify", "cache.go", "github.com/hashicorp/golang-lru/v2/simplelru", false, false},
		{"jwtverify", "jwtverify.go", "github.com/golang-jwt/jwt/v5", false, false},
		{"jwtverify", "jwtverify.go", "unsafe", false, false},
		{"adapters/prometheus", "p.go", own + "/jwtverify", true, true},
		{"adapters/prometheus", "p.go", own + "/internal/fetch", true, false},
		{"adapters/prometheus", "p.go", "github.com/prometheus/client_golang/prometheus", true, true},
		{"adapters/redis", "r.go", "github.com/lestrrat-go/jwx/v2/jwt", true, false},
		{"examples/quickstart", "main.go", own + "/authtest", false, true},
		{"examples/quickstart", "main.go", "github.com/prometheus/client_golang/prometheus", false, false},
		{"examples/quickstart", "main.go", own + "/internal/jose", false, false},
		{"issuers", "issuers.go", own + "/internal/jose", false, true},
		{"issuers", "issuers.go", own + "/jwtverify", false, false},
		{"issuers", "issuers.go", own + "/jwks", false, false},
		{"jwtverify", "jwtverify.go", own + "/issuers", false, false},
		{"middleware", "middleware.go", own + "/middleware/usage", false, false},
		{"binding/mtls", "mtls.go", own, false, true},
		{"binding/mtls", "mtls.go", own + "/internal/mistake", false, true},
		{"binding/mtls", "mtls.go", own + "/middleware", false, false},
		{"binding/mtls", "mtls.go", own + "/scope", false, false},
		{"middleware", "middleware.go", own + "/binding/mtls", false, false},
		{"revocation", "revocation.go", own + "/revocation/backchannel", false, false},
		{"revocation/backchannel", "backchannel.go", own + "/revocation", false, true},
		{"revocation/backchannel", "backchannel.go", own + "/jwtverify", false, false},
		{"revocation/signals", "signals.go", own + "/internal/inbox", false, true},
		{"internal/inbox", "inbox.go", own + "/revocation", false, true},
		{"internal/inbox", "inbox.go", own + "/jwks", false, false},
		{"middleware/usage", "usage.go", own + "/middleware", false, true},
		{"revocation/admin", "admin.go", own + "/revocation", false, true},
		{"revocation/admin", "admin.go", own + "/middleware", false, false},
		{"revocation", "revocation.go", own + "/revocation/admin", false, false},
		{"middleware/usage", "usage.go", own + "/internal/strictjson", false, false},
		{"middleware/policydoc", "policydoc.go", own + "/jwtverify", false, false},
		{"middleware/labels", "labels.go", own, false, true},
		{"middleware/labels", "labels.go", own + "/middleware", false, false},
		{"jwtverify", "jwtverify.go", own + "/test/kit", false, false},
		{"jwtverify", "jwtverify_test.go", own + "/test/kit", false, true},
		{"test/kit", "kit.go", own + "/internal/jose", false, true},
		{"test/kit", "kit.go", "github.com/stretchr/testify/require", false, true},
		{"utils", "utils.go", "fmt", false, false},
		{"jwtverify/sub", "sub.go", own + "/middleware", false, false},
		{".", "x.go", "github.com/bearergate/bearergate-other", false, false},
	} {
		got := violations(tc.dir, tc.file, tc.nested, []string{tc.imported})
		require.Equal(t, tc.ok, len(got) == 0, "%s/%s imports %s: %v", tc.dir, tc.file, tc.imported, got)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nimport k \"github.com/lestrrat-go/jwx/v2/jwk\"\nvar _ = k.Fetch", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"Fetch"}, usesOf(file, file.Imports[0], "jwk"))
}

func TestDirectDependencies(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	direct := directRequirements(string(data))
	require.NotEmpty(t, direct)
	require.Subset(t, directDependencies, direct)
	require.Contains(t, string(data), "\ngo 1.26\n")
	require.NotContains(t, string(data), "replace ") // it would not reach those who import the module
	require.NotContains(t, string(data), "exclude ")
}

func directRequirements(goMod string) []string {
	var direct []string
	inBlock := false
	for line := range strings.Lines(goMod) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			inBlock = true
			continue
		case line == ")":
			inBlock = false
			continue
		case strings.HasPrefix(line, "require "):
			line = strings.TrimPrefix(line, "require ")
		case !inBlock:
			continue
		}
		if fields := strings.Fields(line); len(fields) >= 2 && !strings.HasSuffix(line, "// indirect") && !strings.HasPrefix(line, "//") {
			direct = append(direct, fields[0])
		}
	}
	return direct
}

func TestDirectRequirements(t *testing.T) {
	require.Equal(t, []string{"a.example/x", "b.example/y", "c.example/z"}, directRequirements(
		"module m\n\ngo 1.26\n\nrequire a.example/x v1.0.0\n\nrequire (\n\tb.example/y v1.0.0\n\ti.example/i v1.0.0 // indirect\n\tc.example/z v1.0.0 // why\n)\n"))
}

// constantsOfType returns the values of the string constants of one type in a file.
func constantsOfType(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	var values []string
	for _, decl := range parsed.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			value := spec.(*ast.ValueSpec)
			if id, ok := value.Type.(*ast.Ident); !ok || id.Name != typeName {
				continue
			}
			for _, v := range value.Values {
				s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				require.NoError(t, err)
				values = append(values, s)
			}
		}
	}
	require.NotEmpty(t, values)
	return values
}
