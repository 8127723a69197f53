package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/xeipuuv/gojsonschema"
	"golang.org/x/mod/modfile"
)

const cyclonedx = "github.com/CycloneDX/cyclonedx-go"

// A bill of materials is of CycloneDX, by its schema, and says what is linked. That
// of a module that this one requires stands for one of ours, which has a checksum
// only where it is released: the dry run makes those.
func TestBill(t *testing.T) {
	version := requiredVersion(t, cyclonedx)
	mod := aModule{dir: ".", file: &modfile.File{Module: &modfile.Module{}}}
	mod.file.Module.Mod.Path = cyclonedx

	first, err := bill(t.Context(), ".", nil, mod, version, "1.26.8", cyclonedx)
	require.NoError(t, err)
	second, err := bill(t.Context(), ".", nil, mod, version, "1.26.8", cyclonedx)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))

	var got struct {
		Metadata     struct{ Component component }
		Components   []component
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	require.NoError(t, json.Unmarshal(first, &got))
	require.Equal(t, "application", got.Metadata.Component.Type)
	require.Equal(t, "pkg:golang/"+cyclonedx+"@"+version, got.Metadata.Component.Purl)
	require.Equal(t, "Apache-2.0", got.Metadata.Component.Licenses[0].Expression)
	require.Len(t, got.Metadata.Component.Hashes[0].Content, 64)
	require.Len(t, got.Components, 1)
	require.Equal(t, "pkg:golang/std@1.26.8", got.Components[0].Purl)
	require.Equal(t, []string{"pkg:golang/std@1.26.8"}, got.Dependencies[0].DependsOn)

	// A library has what it requires, and its user's Go.
	first, err = bill(t.Context(), ".", nil, mod, version, "", cyclonedx)
	require.NoError(t, err)
	require.Contains(t, string(first), `"type": "library"`)
	require.NotContains(t, string(first), "golang/std")

	_, err = bill(t.Context(), ".", nil, mod, "v9.9.9", "", cyclonedx)
	require.ErrorContains(t, err, "is not what was linked")

	// The schemas come with that module, and are not asked for at their addresses.
	text := func(name string) gojsonschema.JSONLoader {
		data, err := os.ReadFile(filepath.Join(directory(t, cyclonedx), "schema", name))
		require.NoError(t, err)
		return gojsonschema.NewBytesLoader(data)
	}
	schemas := gojsonschema.NewSchemaLoader()
	require.NoError(t, schemas.AddSchema("http://cyclonedx.org/schema/jsf-0.82.schema.json", text("jsf-0.82.schemax.json")))
	require.NoError(t, schemas.AddSchema("http://cyclonedx.org/schema/spdx.schema.json", text("spdx.schema.json")))
	schema, err := schemas.Compile(text("bom-1.6.schema.json"))
	require.NoError(t, err)
	valid := func(document []byte) bool {
		t.Helper()
		result, err := schema.Validate(gojsonschema.NewBytesLoader(document))
		require.NoError(t, err)
		if !result.Valid() {
			t.Log(result.Errors())
		}
		return result.Valid()
	}
	require.True(t, valid(first))
	require.False(t, valid(bytes.Replace(first, []byte(`"library"`), []byte(`"book"`), 1)), "the schema is one")
}

type component struct {
	Type, Name, Purl string
	Licenses         []struct{ Expression string }
	Hashes           []struct{ Alg, Content string }
}

func requiredVersion(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	file, err := modfile.Parse("go.mod", data, nil)
	require.NoError(t, err)
	for _, r := range file.Require {
		if r.Mod.Path == path {
			return r.Mod.Version
		}
	}
	t.Fatalf("go.mod does not require %s", path)
	return ""
}

func directory(t *testing.T, path string) string {
	t.Helper()
	out, err := output(t.Context(), ".", nil, "go", "list", "-m", "-f", "{{.Dir}}", path)
	require.NoError(t, err)
	return strings.TrimSpace(out)
}
