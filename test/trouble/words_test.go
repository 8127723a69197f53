package trouble_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the directory of the module.
const root = "../.."

// words are the string literals of the packages that give advice, whole or between the
// verbs of fmt.
var words = sync.OnceValues(func() ([]string, error) {
	verb := regexp.MustCompile(`%(\[\d\])?[sqvwd]`)
	var all []string
	for _, dir := range []string{".", "apikey", "binding/dpop", "binding/mtls", "internal/accept", "internal/fetch", "introspect", "issuers", "middleware"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						all = append(all, verb.Split(text, -1)...)
					}
				}
				return true
			})
		}
	}
	if len(all) == 0 {
		return nil, fs.ErrNotExist
	}
	return all, nil
})

// requireFixed asserts that an advice is made of literals of the library, and of names
// of the configuration: that nothing in it was written by whoever made the token.
func requireFixed(t *testing.T, advice string, y *try) {
	t.Helper()
	all, err := words()
	require.NoError(t, err)
	named := []string{y.jwt.Issuer}
	named = append(named, y.jwt.Audiences...)
	named = append(named, y.opaque.Audiences...)
	require.True(t, madeOf(advice, all, named), "there is more in it than fixed words: %s", advice)
}

// madeOf reports whether a text is a sequence of literals and quoted names. Short
// literals count for punctuation only, or they would spell everything.
func madeOf(text string, literals, names []string) bool {
	pieces := map[string]bool{}
	for _, l := range literals {
		if len(l) > 2 || strings.Trim(l, " .,:;()") == "" {
			pieces[l] = true
		}
	}
	for _, name := range names {
		pieces[strconv.Quote(name)] = true
	}
	delete(pieces, "")
	reached := make([]bool, len(text)+1)
	reached[0] = true
	for at := range text {
		for piece := range pieces {
			if reached[at] && strings.HasPrefix(text[at:], piece) {
				reached[at+len(piece)] = true
			}
		}
	}
	return reached[len(text)]
}

func TestMadeOf(t *testing.T) {
	literals := []string{"Issuer says ", ", and ", "more", "x", "."}
	require.True(t, madeOf(`Issuer says "a", and more.`, literals, []string{"a"}))
	require.False(t, madeOf(`Issuer says "b", and more.`, literals, []string{"a"}))
	require.False(t, madeOf(`Issuer says x`, literals, nil), "one letter is no word")
	require.False(t, madeOf(`Issuer says`, literals, nil))
}
