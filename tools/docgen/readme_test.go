package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a reader is told to write compiles, and the first program and its tests
// run. Every block of Go in these documents has a mark behind ```go, which GitHub
// ignores:
//
//	NAME.go   a whole file of the reader's first program; DIR/NAME.go of another one,
//	          and behind that the directory of the module whose dependencies it needs
//	after     a whole file, a package of its own
//	part      the inside of a function
//	after DIR, part DIR  the same, in the module of that directory
//	of FILE   lines of that file, as they stand there: what compiles and is tested is the file
//	before    a whole file of other libraries, which no module here requires: it is not compiled
//
// documented lists how many of each a document has, so that no block is lost or
// left out unnoticed.
var documented = map[string]map[string]int{
	"README.md":                       {"main.go": 1, "part": 1},
	"docs/routes.md":                  {"part": 4},
	"docs/opaque.md":                  {"opaque/main.go": 1, "opaque/main_test.go": 1},
	"docs/issuers.md":                 {"part": 4},
	"docs/scopes.md":                  {"part": 6},
	"docs/policies.md":                {"part": 1},
	"docs/theft.md":                   {"part": 1, "part adapters/grpc": 1},
	"docs/delegation.md":              {"part": 4},
	"docs/audit.md":                   {"part adapters/slog": 2, "part adapters/grpc": 1},
	"docs/testing.md":                 {"main_test.go": 1, "routes_test.go": 1, "part": 1},
	"docs/choosing.md":                {"part": 3, "after adapters/prometheus": 1},
	"docs/sender-constrained.md":      {"part": 8, "part adapters/grpc": 1, "part adapters/redis": 1, "after": 1},
	"docs/grpc.md":                    {"grpc/main.go adapters/grpc": 1, "grpc/main_test.go adapters/grpc": 1, "after adapters/grpc": 1, "part adapters/grpc": 1, "part adapters/connect": 1},
	"docs/observability.md":           {"part examples/observability": 3, "part adapters/otel": 1, "part": 1},
	"docs/proxies.md":                 {"part": 2, "part adapters/extauthz": 1},
	"docs/revocation.md":              {"part": 4, "part adapters/redis": 1},
	"docs/troubleshooting.md":         {"part": 1},
	"docs/providers.md":               {"part": 28, "after": 1},
	"docs/coming-from.md":             {"after": 4, "part": 1, "before": 4},
	"docs/migration-from-api-keys.md": {"part": 5},
	"docs/workloads.md": {"part": 1, "of examples/workloads/kubernetes.go": 2, "of examples/workloads/github.go": 1, "of examples/workloads/spiffe.go": 1,
		"of examples/workloads/queue.go": 1, "of examples/workloads/websocket.go": 2},
}

// generators are texts from which a listed document is made, block by block.
var generators = map[string]string{"test/trouble/testdata/head.md": "docs/troubleshooting.md"}

type block struct {
	doc, mark, code string
	at              string // a line directive, so that the compiler names the line of the document
}

var (
	goFence   = regexp.MustCompile("(?m)^[ \t>]*(```|~~~)+ *go(lang)?\\b")
	goBlock   = regexp.MustCompile("(?ms)^ *```go\\b([^\n]*)\n(.*?)^ *```$")
	textBlock = regexp.MustCompile("(?ms)^```(?:markdown|text) ([^\n]+)\n(.*?)^```$")
)

// blocks returns the blocks of Go of all documents.
func blocks(t *testing.T) []block {
	t.Helper()
	var all []block
	for _, doc := range slices.Sorted(maps.Keys(documented)) {
		text := readDoc(t, doc)
		found, marks := goBlock.FindAllStringSubmatchIndex(text, -1), map[string]int{}
		require.Len(t, found, len(goFence.FindAllString(text, -1)), "%s: a block of Go that is not read", doc)
		for _, m := range found {
			b := block{doc: doc, mark: strings.TrimSpace(text[m[2]:m[3]]), code: text[m[4]:m[5]],
				at: fmt.Sprintf("//line %s:%d\n", absolute(t, doc), strings.Count(text[:m[4]], "\n")+1)}
			marks[b.mark]++
			all = append(all, b)
		}
		require.Equal(t, documented[doc], marks, "%s: the marks of its blocks of Go", doc)
	}
	require.NotEmpty(t, all)
	return all
}

// compile runs the go command in a module, dir, with files that are not there.
// It touches no network.
func compile(t *testing.T, dir string, files map[string]string, args ...string) {
	t.Helper()
	temp, replace := t.TempDir(), map[string]string{}
	for name, code := range files {
		file := filepath.Join(temp, fmt.Sprintf("%d.go", len(replace)))
		require.NoError(t, os.WriteFile(file, []byte(code), 0o600))
		replace[filepath.Join(dir, filepath.FromSlash(name))] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(temp, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	command := exec.CommandContext(t.Context(), "go", slices.Insert(args, 1, "-overlay", file)...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return abs
}

// A document that has Go and is in no list is noticed.
func TestDocumentsAreListed(t *testing.T) {
	base, found := absolute(t, ""), 0
	err := filepath.WalkDir(base, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "node_modules" || entry.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(base, file)
		if err != nil || filepath.Ext(file) != ".md" {
			return err
		}
		name := filepath.ToSlash(rel)
		text := readDoc(t, name)
		if !goFence.MatchString(text) {
			return nil
		}
		found++
		if made, ok := generators[name]; ok {
			for _, m := range goBlock.FindAllString(text, -1) {
				require.Contains(t, readDoc(t, made), m, "%s: a block of Go that is not in %s", name, made)
			}
			return nil
		}
		require.Contains(t, documented, name, "a document with Go that nobody compiles: list it")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, len(documented)+len(generators), found)
}

func TestCodeInDocumentsIsFormatted(t *testing.T) {
	for _, b := range blocks(t) {
		code := b.code
		if strings.HasPrefix(b.mark, "of ") { // the file is formatted
			continue
		}
		if strings.HasPrefix(code, "   ") { // in a list
			code = regexp.MustCompile("(?m)^   ").ReplaceAllString(code, "")
		}
		formatted, err := format.Source([]byte(code))
		require.NoError(t, err, "%s:\n%s", b.doc, code)
		require.Equal(t, string(formatted), code, b.doc)
	}
}

func TestCodeInDocumentsCompiles(t *testing.T) {
	modules := map[string]map[string]string{} // directory: file: code
	for i, b := range blocks(t) {
		mark, dir, _ := strings.Cut(b.mark, " ")
		code := b.at + b.code
		switch mark {
		case "part":
			code = part(t, code)
		case "after":
		case "of":
			require.Contains(t, readDoc(t, dir), b.code, "%s: what is shown of %s", b.doc, dir)
			continue
		default: // the first program has a test of its own
			continue
		}
		if modules[dir] == nil {
			modules[dir] = map[string]string{}
		}
		modules[dir][fmt.Sprintf("documented%d/code.go", i)] = code
	}
	for dir, files := range modules {
		t.Run("module "+dir, func(t *testing.T) {
			abs := absolute(t, dir)
			if dir != "" {
				requireDownloaded(t, abs)
			}
			args := []string{"build"}
			for name := range files {
				args = append(args, "./"+strings.TrimSuffix(name, "/code.go"))
			}
			compile(t, abs, files, args...)
		})
	}
}

// requireDownloaded skips a test that needs modules which this one does not: it
// must not download them. Whoever tests the other module has them.
func requireDownloaded(t *testing.T, dir string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	list.Dir, list.Env = dir, append(os.Environ(), "GOPROXY=off")
	if out, err := list.CombinedOutput(); err != nil {
		if os.Getenv("BEARERGATE_DOCUMENTS") == "required" {
			t.Fatalf("not compiled: go -C %s mod download gets what it needs\n%s", dir, out)
		}
		t.Skipf("not compiled: go -C %s mod download gets what it needs\n%s", dir, out)
	}
}

// moments are times in the output, which are others every day.
var moments = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// The first program and its tests, as a reader pastes and runs them.
func TestFirstProgram(t *testing.T) {
	files := map[string]string{}
	for _, b := range blocks(t) {
		if strings.HasSuffix(b.mark, ".go") && !strings.ContainsAny(b.mark, " /") {
			files["firstprogram/"+b.mark] = b.at + b.code
		}
	}
	require.Len(t, files, 3)
	shown := map[string]string{}
	for _, m := range textBlock.FindAllStringSubmatch(readDoc(t, "docs/testing.md"), -1) {
		shown[m[1]] = m[2]
	}

	dir := t.TempDir()
	program := filepath.Join(dir, "first.test.exe") // Windows runs no other name
	compile(t, absolute(t, ""), files, "test", "-c", "-vet=off", "-o", program, "./firstprogram")
	run := func(args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), program, append(args, "-test.v")...)
		command.Dir = dir
		out, err := command.CombinedOutput()
		return string(out), err
	}

	const golden = "testdata/routes.md"
	file := filepath.Join(dir, filepath.FromSlash(golden))
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))
	out, err := run("-update")
	require.NoError(t, err, out)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, shown[golden], string(written))

	out, err = run()
	require.NoError(t, err, out)
	for _, name := range []string{"TestOrders/a_good_token", "TestOrders/expired", "TestRoutes"} {
		require.Contains(t, out, "--- PASS: "+name+" ")
	}
	var refusals []string
	for line := range strings.Lines(out) {
		if _, refusal, ok := strings.Cut(line, " refused "); ok {
			refusals = append(refusals, "refused "+moments.ReplaceAllString(refusal, "2026-01-31T12:00:00Z"))
		}
	}
	require.NotEmpty(t, refusals)
	require.Equal(t, shown["refusals"], strings.ReplaceAll(strings.Join(refusals, ""), "\r\n", "\n"))
	require.NotContains(t, out, "eyJ", "a token")

	// A golden file that is out of date is noticed.
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(written), "orders:read", "orders:write", 1)), 0o600))
	out, err = run()
	require.Error(t, err)
	require.Contains(t, out, "--- FAIL: TestRoutes ")
	require.Contains(t, out, "-update")
	require.NotContains(t, out, "--- FAIL: TestOrders ")
}

// The other programs and their tests, likewise.
func TestOtherPrograms(t *testing.T) {
	for name, test := range map[string]struct {
		dir  string   // of the module
		pass []string // tests that run
	}{
		"opaque": {pass: []string{"TestOrders/good", "TestOrders/another_scope", "TestOrders/revoked", "TestOrders/nobody_issued_it"}},
		"grpc":   {dir: "adapters/grpc", pass: []string{"TestHealth/good", "TestHealth/another_scope", "TestHealth/for_another_API", "TestHealth/no_token"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for _, b := range blocks(t) {
				file, dir, _ := strings.Cut(b.mark, " ")
				if strings.HasPrefix(file, name+"/") {
					require.Equal(t, test.dir, dir)
					files["documented"+file] = b.at + b.code
				}
			}
			require.Len(t, files, 2)
			module := absolute(t, test.dir)
			if test.dir != "" {
				requireDownloaded(t, module)
			}
			program := filepath.Join(t.TempDir(), name+".test.exe") // Windows runs no other name
			compile(t, module, files, "test", "-c", "-vet=off", "-o", program, "./documented"+name)
			out, err := exec.CommandContext(t.Context(), program, "-test.v").CombinedOutput()
			require.NoError(t, err, "%s", out)
			for _, pass := range test.pass {
				require.Contains(t, string(out), "--- PASS: "+pass+" ")
			}
			require.NotContains(t, string(out), "eyJ", "a token")
		})
	}
}

var (
	// devCommand is the line of the README that starts an issuer for the first program.
	devCommand = regexp.MustCompile(`(?m)^go run \./cmd/bearergate (dev .*)$`)
	// audienceOf is what the first program calls its API.
	audienceOf = regexp.MustCompile(`Audiences: +\[\]string\{("[^"]+")\}`)
)

// What the README says about a first good token: the issuer that its command starts gives
// one that opens the route of the first program, which then has that issuer.
func TestFirstGoodToken(t *testing.T) {
	readme, program := readDoc(t, "README.md"), ""
	for _, b := range blocks(t) {
		if b.mark == "main.go" {
			program = b.code
		}
	}
	_, step, found := strings.Cut(readme, "**Send it a good token.**")
	require.True(t, found)
	step, _, _ = strings.Cut(step, "**Test it.**")
	command, audience := devCommand.FindStringSubmatch(step), audienceOf.FindStringSubmatch(program)
	require.NotNil(t, command)
	require.NotNil(t, audience)
	require.Contains(t, step, "# 200, hello user-1\n")
	args := strings.Fields(command[1])
	at := slices.Index(args, "-addr") + 1
	require.Positive(t, at)
	require.Contains(t, step, "`http://"+args[at]+"`", "the issuer that the reader is told to write")
	args[at] = "127.0.0.1:0" // that port may be taken here

	dir := t.TempDir()
	dev, first := filepath.Join(dir, "dev.exe"), filepath.Join(dir, "first.test.exe") // Windows runs no other names
	compile(t, absolute(t, ""), nil, "build", "-o", dev, "./cmd/bearergate")
	compile(t, absolute(t, ""), map[string]string{"firstgoodtoken/main.go": program, "firstgoodtoken/main_test.go": `package main

import (
	"net/http/httptest"
	"os"
	"testing"

	"github.com/bearergate/bearergate/jwtverify"
)

func TestGoodToken(t *testing.T) {
	router, err := newRouter(jwtverify.Config{Issuer: os.Getenv("ISSUER"), Audiences: []string{` + audience[1] + `}})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := router.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r, w := httptest.NewRequest("GET", "/orders", nil), httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	handler.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != "hello user-1\n" {
		t.Fatal(w.Code, w.Body)
	}
}
`}, "test", "-c", "-vet=off", "-o", first, "./firstgoodtoken")

	issuer := exec.CommandContext(t.Context(), dev, append(args, "-json")...)
	stdout, err := issuer.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, issuer.Start())
	t.Cleanup(func() {
		_ = issuer.Process.Kill()
		_ = issuer.Wait()
	})
	var made struct {
		Issuer      string `json:"issuer"`
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(stdout).Decode(&made))
	run := exec.CommandContext(t.Context(), first)
	run.Env = append(os.Environ(), "ISSUER="+made.Issuer, "TOKEN="+made.AccessToken)
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// part makes a file of a part: with the packages it uses, the names it takes
// for granted, and a use of each that it declares.
func part(t *testing.T, code string) string {
	t.Helper()
	known := `
var (
	ctx                                       context.Context
	secret, password                          string
	audit, metrics, telemetry                 interface{ GateHooks() middleware.Hooks }
	address                                   *bearergate.ClientAddress
	lost                                      interface{ Add(int64) int64 }
	md                                        interface{ Get(name string) []string }
	v, payments, partner, opaque, verifier, live bearergate.Verifier
	gate                                      *middleware.Gate
	newRouter                                 func(jwtverify.Config) (*middleware.Router, error)
	proofs, certificates                      bearergate.Binding
	as                                        *authtest.Server
	r                                         *http.Request
	handler                                   http.Handler
	log                                       revocation.Log
	list                                      *revocation.List
	health, me, listOrders, document, refund, orders http.Handler
	router                                    *middleware.Router
	file                                      []byte
	scopes                                    *catalogue.Catalogue
	watch                                     *sightings.Watch
	store                                     interface { Key(context.Context, string) (apikey.Record, bool, error) }
	mux                                       *http.ServeMux
	transport                                 *http.Transport
	service                                   *url.URL
	traceOf                                   func(context.Context) (traceID, spanID string)
	jwtConfig                                 jwtverify.Config
	introspectConfig                          introspect.Config
	dpopConfig                                dpop.Config
	revocationConfig                          revocation.Config
	logoutConfig                              backchannel.Config
	signalsConfig                             signals.Config
	gateConfig                                middleware.Config
)
`
	head := "package part\n\n"
	for name, path := range map[string]string{"context": "context", "http": "net/http", "httputil": "net/http/httputil", "url": "net/url", "time": "time", "strings": "strings", "rand": "crypto/rand", "os": "os", "slog": "log/slog", "netip": "net/netip", "tls": "crypto/tls", "bearergate": modulePath,
		"scope": modulePath + "/scope", "jwks": modulePath + "/jwks", "jwtverify": modulePath + "/jwtverify",
		"introspect": modulePath + "/introspect", "issuers": modulePath + "/issuers", "apikey": modulePath + "/apikey", "idp": modulePath + "/idp", "dpop": modulePath + "/binding/dpop", "mtls": modulePath + "/binding/mtls", "policy": modulePath + "/policy", "revocation": modulePath + "/revocation", "admin": modulePath + "/revocation/admin", "backchannel": modulePath + "/revocation/backchannel", "signals": modulePath + "/revocation/signals", "middleware": modulePath + "/middleware", "catalogue": modulePath + "/middleware/catalogue", "policydoc": modulePath + "/middleware/policydoc", "sightings": modulePath + "/middleware/sightings", "usage": modulePath + "/middleware/usage", "fmt": "fmt",
		"authtest": modulePath + "/authtest", "grpcgate": modulePath + "/adapters/grpc", "connectgate": modulePath + "/adapters/connect", "extauthzgate": modulePath + "/adapters/extauthz", "authv3": "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3", "grpc": "google.golang.org/grpc", "sloggate": modulePath + "/adapters/slog", "redisgate": modulePath + "/adapters/redis", "redis": "github.com/redis/go-redis/v9", "promgate": modulePath + "/adapters/prometheus", "prometheus": "github.com/prometheus/client_golang/prometheus",
		"promhttp": "github.com/prometheus/client_golang/prometheus/promhttp", "trace": "go.opentelemetry.io/otel/trace"} {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(known + code) {
			head += fmt.Sprintf("import %s %q\n", name, path)
		}
	}
	head += known + "\nfunc _() {\n" // and then the directive, at the start of a line
	file, err := parser.ParseFile(token.NewFileSet(), "part.go", head+code+"}\n", 0)
	require.NoError(t, err, code)
	var uses strings.Builder
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		for _, statement := range f.Body.List {
			if assign, ok := statement.(*ast.AssignStmt); ok && assign.Tok == token.DEFINE {
				for _, left := range assign.Lhs {
					if name := left.(*ast.Ident).Name; name != "_" {
						fmt.Fprintf(&uses, "\t_ = %s\n", name)
					}
				}
			}
		}
	}
	return head + code + uses.String() + "}\n"
}
