package catalogue_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware/catalogue"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// valid is a catalogue without a mistake; rows of tests change one thing in it.
const valid = `{
  "version": 1,
  "scopes": [
    {"name": "orders:read", "description": "See orders", "owner": "Orders team"},
    {"name": "orders:write", "description": "Change orders", "owner": "Orders team", "who_may_ask": "The shop", "deprecated": false},
    {"name": "document:read:{id}", "description": "Read one document", "owner": "Archive team"},
    {"name": "orders", "description": "See and change orders", "owner": "Orders team", "deprecated": true, "replaced_by": ["orders:read", "orders:write"]}
  ]
}`

func parse(t *testing.T, file string) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Parse([]byte(file))
	require.NoError(t, err)
	return c
}

// list is a file with n scopes that differ in their names.
func list(n int) string {
	scopes := make([]string, n)
	for i := range scopes {
		scopes[i] = fmt.Sprintf(`{"name":"a:%d","description":"d","owner":"o"}`, i)
	}
	return `{"version":1,"scopes":[` + strings.Join(scopes, ",") + `]}`
}

func TestParse(t *testing.T) {
	c := parse(t, valid)
	want := []catalogue.Scope{
		{Name: "orders:read", Description: "See orders", Owner: "Orders team"},
		{Name: "orders:write", Description: "Change orders", Owner: "Orders team", WhoMayAsk: "The shop"},
		{Name: "document:read:{id}", Description: "Read one document", Owner: "Archive team"},
		{Name: "orders", Description: "See and change orders", Owner: "Orders team", Deprecated: true, ReplacedBy: []string{"orders:read", "orders:write"}},
	}
	require.Equal(t, want, c.Scopes())
	require.Equal(t, []string{"orders:read", "orders:write"}, c.Advertised(), "neither a pattern nor what is deprecated")

	orders, ok := c.Lookup("orders")
	require.True(t, ok)
	require.Equal(t, want[3], orders)
	_, ok = c.Lookup("Orders")
	require.False(t, ok)

	// What is handed out is a copy.
	orders.ReplacedBy[0], c.Scopes()[0].Name, c.Scopes()[3].ReplacedBy[1] = "x", "x", "x"
	require.Equal(t, want, c.Scopes())

	written, err := json.Marshal(c)
	require.NoError(t, err)
	require.Equal(t, want, parse(t, string(written)).Scopes())
	require.Empty(t, parse(t, `{"scopes":[],"version":1}`).Scopes())
	require.Len(t, parse(t, list(catalogue.MaxScopes)).Scopes(), catalogue.MaxScopes)
	long := strings.Repeat("d", catalogue.MaxText)
	require.Len(t, parse(t, strings.Replace(valid, "See orders", long, 1)).Scopes()[0].Description, catalogue.MaxText)
}

func TestNoCatalogue(t *testing.T) {
	for _, c := range []*catalogue.Catalogue{nil, {}} {
		require.Empty(t, c.Scopes())
		require.Empty(t, c.Advertised())
		_, ok := c.Lookup("")
		require.False(t, ok)
		require.Empty(t, c.Check(nil, catalogue.Rules{}))
		written, err := json.Marshal(c)
		require.NoError(t, err)
		if c != nil {
			require.JSONEq(t, `{"version":1,"scopes":[]}`, string(written))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new string // in the valid file
		file     string // instead
		says     string
	}{
		{name: "nothing", file: " ", says: "catalogue: the file is not one JSON object whose members are there once each"},
		{name: "an array", file: `[]`, says: "catalogue: the file is not one JSON object whose members are there once each"},
		{name: "two objects", file: valid + "{}", says: "catalogue: the file is not one JSON object whose members are there once each"},
		{name: "a byte order mark", file: "\ufeff" + valid, says: "catalogue: the file is not one JSON object whose members are there once each"},
		{name: "bad UTF-8", old: "See orders", new: "\xff", says: "catalogue: the file is not one JSON object whose members are there once each"},
		{name: "too long", file: valid + strings.Repeat(" ", catalogue.MaxBytes), says: fmt.Sprintf("catalogue: the file has %d bytes: 1048576 are the most", len(valid)+catalogue.MaxBytes)},
		{name: "version twice", old: `"version": 1`, new: `"version": 1, "version": 1`, says: "catalogue: the file is not one JSON object whose members are there once each"},
		{name: "no version", old: `"version": 1,`, says: "catalogue: the member version is missing, or not 1"},
		{name: "version 2", old: `"version": 1`, new: `"version": 2`, says: "catalogue: the member version is missing, or not 1"},
		{name: "version as a string", old: `"version": 1`, new: `"version": "1"`, says: "catalogue: the member version is missing, or not 1"},
		{name: "no scopes", file: `{"version":1}`, says: "catalogue: the member scopes is missing: make it an array of objects"},
		{name: "scopes is an object", file: `{"version":1,"scopes":{}}`, says: "catalogue: the member scopes is no array of objects"},
		{name: "scopes is null", file: `{"version":1,"scopes":null}`, says: "catalogue: the member scopes is no array of objects"},
		{name: "too many scopes", file: list(catalogue.MaxScopes + 1), says: "catalogue: there are more than 5000 scopes"},
		{name: "an unknown member", old: `"version": 1`, new: `"version": 1, "Scopes": []`, says: `catalogue: the member "Scopes" is unknown: take it out`},
		{name: "a scope is a string", old: `{"name": "orders:read", "description": "See orders", "owner": "Orders team"}`, new: `"x:y"`,
			says: "catalogue: scope 1: it is no object, or a member is there twice\ncatalogue: scope 4, \"orders\": replaced_by: \"orders:read\" is not in the catalogue"},
		{name: "a member twice", old: `"See orders"`, new: `"See orders", "owner": "Somebody"`, says: `catalogue: scope 1, "orders:read": it is no object, or a member is there twice`},
		{name: "a member unknown", old: `"See orders"`, new: `"See orders", "Owner": "Somebody"`, says: `catalogue: scope 1, "orders:read": the member "Owner" is unknown: take it out`},
		{name: "no name", old: `"name": "document:read:{id}", `, says: "catalogue: scope 3: the member name is missing"},
		{name: "a name that is no string", old: `"document:read:{id}"`, new: "7", says: "catalogue: scope 3: the name: use a scope token of RFC 6749 §3.3, printable ASCII without space, double quote and backslash"},
		{name: "an empty name", old: `"document:read:{id}"`, new: `""`, says: "catalogue: scope 3: the name: use a scope token of RFC 6749 §3.3, printable ASCII without space, double quote and backslash"},
		{name: "a name with a space", old: `"document:read:{id}"`, new: `"a b"`,
			says: `catalogue: scope 3, "a b": the name: use a scope token of RFC 6749 §3.3, printable ASCII without space, double quote and backslash`},
		{name: "a long name", old: `document:read:{id}`, new: strings.Repeat("x", catalogue.MaxName+1), says: `…: the name: it has more than 256 bytes`},
		{name: "a template without a separator", old: `document:read:{id}`, new: `document{id}`,
			says: `catalogue: scope 3, "document{id}": the name: scope: Template("document{id}"): placeholder {id} touches its neighbour: put a separator between them, such as ':'`},
		{name: "a brace that is not closed", old: `document:read:{id}`, new: `document:{id`, says: `'{' at 9 is not closed: write {name}`},
		{name: "a scope twice", old: `"document:read:{id}"`, new: `"orders:read"`, says: `catalogue: scope 3, "orders:read": it is there already, as scope 1`},
		{name: "no description", old: `"description": "See orders", `, says: `catalogue: scope 1, "orders:read": the member description is missing`},
		{name: "no owner", old: `, "owner": "Archive team"`, says: `catalogue: scope 3, "document:read:{id}": the member owner is missing`},
		{name: "an empty owner", old: `Archive team`, new: ` `, says: `catalogue: scope 3, "document:read:{id}": the member owner is empty`},
		{name: "null for an owner", old: `"Archive team"`, new: `null`, says: `catalogue: scope 3, "document:read:{id}": the member owner is no string`},
		{name: "a long description", old: `See orders`, new: strings.Repeat("x", catalogue.MaxText+1), says: `catalogue: scope 1, "orders:read": the member description has more than 1000 bytes`},
		{name: "a control character", old: `The shop`, new: `\u001b[2J`, says: `catalogue: scope 2, "orders:write": the member who_may_ask has a character that is not printable`},
		{name: "a text that runs from right to left", old: `The shop`, new: "\u202eshop", says: `catalogue: scope 2, "orders:write": the member who_may_ask has a character that is not printable`},
		{name: "deprecated is a string", old: `"deprecated": true`, new: `"deprecated": "true"`,
			says: "catalogue: scope 4, \"orders\": the member deprecated is neither true nor false\ncatalogue: scope 4, \"orders\": replaced_by is there without deprecated"},
		{name: "replaced and not deprecated", old: `"deprecated": true, `, says: `catalogue: scope 4, "orders": replaced_by is there without deprecated`},
		{name: "replaced by nothing", old: `["orders:read", "orders:write"]`, new: `[]`, says: `catalogue: scope 4, "orders": the member replaced_by is no array of strings with at least one in it`},
		{name: "replaced by a string", old: `["orders:read", "orders:write"]`, new: `"orders:read"`, says: `catalogue: scope 4, "orders": the member replaced_by is no array of strings with at least one in it`},
		{name: "replaced by numbers", old: `["orders:read", "orders:write"]`, new: `[1]`, says: `catalogue: scope 4, "orders": the member replaced_by is no array of strings with at least one in it`},
		{name: "replaced by itself", old: `["orders:read", `, new: `["orders", `, says: `catalogue: scope 4, "orders": replaced_by: "orders" is deprecated itself`},
		{name: "replaced by the unknown", old: `["orders:read", `, new: `["x%d:y", `, says: `catalogue: scope 4, "orders": replaced_by: "x%d:y" is not in the catalogue`},
		{name: "replaced by one twice", old: `["orders:read", `, new: `["orders:write", `, says: `catalogue: scope 4, "orders": replaced_by: "orders:write" is there twice`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := tt.file
			if file == "" {
				require.Equal(t, 1, strings.Count(valid, tt.old), "the row changes one thing")
				file = strings.Replace(valid, tt.old, tt.new, 1)
			}
			c, err := catalogue.Parse([]byte(file))
			require.Nil(t, c)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			if strings.HasPrefix(tt.says, "catalogue") {
				require.EqualError(t, bearergate.AsError(err).Cause, tt.says)
			} else {
				require.ErrorContains(t, err, tt.says)
			}
		})
	}
}

// Whoever wrote the file mends it once.
func TestParseNamesEveryMistake(t *testing.T) {
	_, err := catalogue.Parse([]byte(`{"version":1,"note":"","scopes":[{"name":"a b","owner":"","x":1},{"name":"c:d","description":"d","owner":"o","deprecated":true,"replaced_by":["e:f"]}]}`))
	require.EqualError(t, bearergate.AsError(err).Cause, `catalogue: the member "note" is unknown: take it out
catalogue: scope 1, "a b": the member owner is empty
catalogue: scope 1, "a b": the member "x" is unknown: take it out
catalogue: scope 1, "a b": the member description is missing
catalogue: scope 1, "a b": the name: use a scope token of RFC 6749 §3.3, printable ASCII without space, double quote and backslash
catalogue: scope 2, "c:d": replaced_by: "e:f" is not in the catalogue`)

	// Up to a bound: a file of another kind has thousands.
	_, err = catalogue.Parse([]byte(strings.ReplaceAll(list(300), `"owner":"o"`, `"team":"o"`)))
	require.Len(t, strings.Split(err.Error(), "\n"), 101)
	require.ErrorContains(t, err, "catalogue: and 500 mistakes more")
}

// What is read is what is written again, and no error comes with a catalogue.
func FuzzParse(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(list(3)))
	f.Add([]byte(`{"version":1,"scopes":[{"name":"a{b}c","description":"\ud83d\ude00","owner":"\u0000"},{}]}`))
	f.Add([]byte(`{"version":1,"scopes":[{"name":"%s:{x}","description":"%d","owner":"%","deprecated":true,"replaced_by":["%s:{x}","%v"]}]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := catalogue.Parse(file)
		if err != nil {
			require.Nil(t, c)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.NotContains(t, err.Error(), "%!", "a verb without its value")
			return
		}
		written, err := json.Marshal(c)
		require.NoError(t, err)
		again, err := catalogue.Parse(written)
		if len(written) > catalogue.MaxBytes { // escapes may lengthen it
			return
		}
		require.NoError(t, err)
		require.Equal(t, c.Scopes(), again.Scopes())
		for _, s := range c.Scopes() {
			found, ok := c.Lookup(s.Name)
			require.True(t, ok)
			require.Equal(t, s, found)
			require.NotEmpty(t, s.Description)
			require.NotEmpty(t, s.Owner)
		}
		for _, finding := range c.Check(nil, catalogue.Rules{}) {
			require.NotContains(t, finding.String(), "\n")
		}
	})
}
