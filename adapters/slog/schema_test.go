package sloggate_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	sloggate "github.com/bearergate/bearergate/adapters/slog"
)

const schemaFile = "../../docs/audit.v1.schema.json"

// schema is docs/audit.v1.schema.json, which every record of every test follows.
var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return compiler.Compile(schemaFile)
})

// jsonTo is how the tests of this package write JSON: a record that does not follow the schema
// fails the test, whatever else that looks at.
func jsonTo(t testing.TB, w io.Writer, o *slog.HandlerOptions) slog.Handler {
	t.Helper()
	_, err := schema()
	require.NoError(t, err)
	return slog.NewJSONHandler(io.MultiWriter(w, checked{t}), o)
}

type checked struct{ t testing.TB }

// Write is called once for each record.
func (c checked) Write(line []byte) (int, error) {
	s, err := schema()
	if err == nil {
		var record any
		if record, err = jsonschema.UnmarshalJSON(strings.NewReader(string(line))); err == nil {
			err = s.Validate(record)
		}
	}
	if err != nil {
		c.t.Errorf("docs/audit.v1.schema.json does not describe\n%s%v", line, err)
	}
	return len(line), nil
}

// No test writes JSON past the schema.
func TestEveryRecordIsValidated(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if file != "schema_test.go" && file != "bench_test.go" {
			require.NotContains(t, string(text), "slog.NewJSONHandler("+"", "%s: use jsonTo", file)
		}
	}
}

// events are the constants of the type Event.
func events(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && len(spec.Values) == 1 && len(spec.Names) == 1 && strings.HasPrefix(spec.Names[0].Name, "Event") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			found = append(found, value)
		}
		return true
	})
	return found
}

// Each event has its part of the schema, and docs/audit.md says what it is about.
func TestEachEventHasItsSchema(t *testing.T) {
	var document struct {
		Properties struct {
			Schema struct{ Const string }
		}
		AllOf []struct {
			If struct {
				Properties struct {
					Msg struct{ Const string }
				}
			}
			Then struct {
				Ref string `json:"$ref"`
			}
		}
		Defs map[string]any `json:"$defs"`
	}
	text, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &document))
	require.Equal(t, sloggate.Schema, document.Properties.Schema.Const)
	described := map[string]bool{}
	for _, branch := range document.AllOf {
		described[branch.If.Properties.Msg.Const] = true
		require.Contains(t, document.Defs, strings.TrimPrefix(branch.Then.Ref, "#/$defs/"))
	}
	all := events(t)
	require.Contains(t, all, string(sloggate.EventDecision))
	for _, event := range all {
		require.True(t, described[event], "%q lacks its schema: add it to allOf and to $defs of docs/audit.v1.schema.json", event)
		delete(described, event)
	}
	require.Empty(t, described, "events that are gone")
}

// The schema catches what it is for.
func TestTheSchemaBites(t *testing.T) {
	const good = `{"time":"2026-01-02T03:04:05.6Z","level":"INFO","msg":"access decision","schema":"bearergate.audit.v1","outcome":"accepted","duration":7,` +
		`"subject":"alice","actors":[{"subject":"robot"}],"proven":{"jkt":"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"}}`
	s, err := schema()
	require.NoError(t, err)
	valid := func(text string) error {
		record, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err, text)
		return s.Validate(record)
	}
	require.NoError(t, valid(good))
	for _, tc := range []struct{ name, old, new string }{
		{name: "a member that nobody knows", old: `"outcome"`, new: `"token":"x","outcome"`},
		{name: "a member of another event", old: `"outcome"`, new: `"cached":true,"outcome"`},
		{name: "a member of an actor", old: `"robot"`, new: `"robot","x":"y"`},
		{name: "another version", old: "audit.v1", new: "audit.v2"},
		{name: "no version", old: `"schema":"bearergate.audit.v1",`, new: ""},
		{name: "an outcome that nobody knows", old: "accepted", new: "perhaps"},
		{name: "a refusal without a reason", old: "accepted", new: "refused"},
		{name: "an acceptance with a reason", old: `"outcome"`, new: `"reason":"scope","outcome"`},
		{name: "a thumbprint that is none", old: "kkkk", new: "kk.k"},
		{name: "an empty text", old: "alice", new: ""},
		{name: "a duration that is a text", old: "7", new: `"7"`},
		{name: "a time that is none", old: "2026-01-02T", new: "yesterday "},
		{name: "an event that nobody knows", old: "access decision", new: "access"},
	} {
		changed := strings.Replace(good, tc.old, tc.new, 1)
		require.NotEqual(t, good, changed, tc.name)
		require.Error(t, valid(changed), tc.name)
	}
}
