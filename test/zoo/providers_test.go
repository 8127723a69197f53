package zoo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/kit"
)

// providers are all of them, in the order of the document.
func providers() []*provider {
	return slices.Concat(microsoft(), amazon(), google(), workloads(), servers(), sessions(), proxies(), idTokens())
}

// What rows say of a token that is refused.
const (
	ok       bearergate.Reason = ""
	issuer                     = bearergate.ReasonIssuer
	audience                   = bearergate.ReasonAudience
	kind                       = bearergate.ReasonType
	policy                     = bearergate.ReasonPolicy
	missing                    = bearergate.ReasonMissingClaim
)

var absent = kit.Absent

// one is a JWK with this kid, as most providers write them.
func one(kid string) []m { return []m{{"kid": kid, "use": "sig"}} }

// text is the string at a path of the claims; "" if there is none.
func text(claims m, path ...string) string {
	for _, name := range path[:len(path)-1] {
		claims, _ = claims[name].(m)
	}
	s, _ := claims[path[len(path)-1]].(string)
	return s
}

// texts are the strings at a path, of an array or one.
func texts(claims m, path ...string) (all []string) {
	for _, name := range path[:len(path)-1] {
		claims, _ = claims[name].(m)
	}
	switch v := claims[path[len(path)-1]].(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

// filled reports a member that is a string and not empty.
func filled(claims m, names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return text(claims, name) == "" })
}

// words are the scopes of a claim.
func words(claims m, name string) []string { return strings.Fields(text(claims, name)) }

// means reports whether one of the ways to read a path of names with dots between them, some
// of which have dots in them, leads to one of the accepted texts, or to an array with it.
func means(claims m, path string, accepted ...string) bool {
	value := claims[path]
	all, isArray := value.([]any)
	if !isArray {
		all = []any{value}
	}
	for _, one := range all {
		if one != nil && slices.Contains(accepted, fmt.Sprint(one)) {
			return true
		}
	}
	for i := range path {
		if inner, ok := claims[path[:i]].(m); ok && path[i] == '.' && means(inner, path[i+1:], accepted...) {
			return true
		}
	}
	return false
}

// read is a set of claims as encoding/json has them, apart from how the rows write them.
func read(t testing.TB, claims []byte) m {
	t.Helper()
	out := m{}
	decoder := json.NewDecoder(bytes.NewReader(claims))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&out))
	return out
}
