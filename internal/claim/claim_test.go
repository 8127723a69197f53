package claim_test

import (
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/claim"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/stretchr/testify/require"
)

// value returns the JSON text as strictjson.Object hands it out.
func value(t *testing.T, text string) (out []byte) {
	t.Helper()
	require.NoError(t, strictjson.Object([]byte(`{"v":`+text+`}`), func(_, v []byte) error { out = v; return nil }))
	return out
}

func TestStringOrStrings(t *testing.T) {
	for text, want := range map[string][]string{`"a b"`: {"a b"}, `""`: {""}, `[]`: {}, `["a","b"]`: {"a", "b"}, `null`: nil, `1`: nil, `["a",1]`: nil, `{"a":1}`: nil} {
		got, err := claim.StringOrStrings(value(t, text))
		require.Equal(t, want, got, text)
		require.Equal(t, want == nil, err != nil, text)
	}
}

func TestScopes(t *testing.T) {
	for text, want := range map[string][]string{`"a b"`: {"a", "b"}, `" a"`: {"", "a"}, `"a\tb"`: {"a\tb"}, `["a b"]`: {"a b"}, `null`: nil, `true`: nil, `[null]`: nil} {
		got, err := claim.Scopes(value(t, text))
		require.Equal(t, want, got, text)
		require.Equal(t, want == nil, err != nil, text)
	}
}

func TestConfirmation(t *testing.T) {
	got, err := claim.Confirmation(value(t, `{"x5t#S256":"x","jwk":{"kty":"EC"}}`))
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"x5t#S256": []byte(`"x"`), "jwk": []byte(`{"kty":"EC"}`)}, got)
	for _, text := range []string{`{}`, `null`, `"x"`, `[]`, `{"jkt":""}`, `{"jkt":1}`, `{"jkt":null}`, `{"kid":[]}`, `{"x5t#S256":{}}`, `{"other":null}`, `{"other":{}}`, `{"jkt":"x","other":""}`} {
		got, err := claim.Confirmation(value(t, text))
		require.Error(t, err, text)
		require.Nil(t, got)
	}
}

func TestActors(t *testing.T) {
	got, err := claim.Actors(value(t, `{"sub":"a","act":{"iss":"i","client_id":"c","act":{}}}`))
	require.NoError(t, err)
	require.Equal(t, []claim.Actor{{Subject: "a"}, {Issuer: "i", ClientID: "c"}, {}}, got)
	chain := func(n int) string { return strings.Repeat(`{"act":`, n-1) + `{}` + strings.Repeat(`}`, n-1) }
	got, err = claim.Actors(value(t, chain(16)))
	require.NoError(t, err)
	require.Len(t, got, 16)
	for _, text := range []string{chain(17), `null`, `"a"`, `[]`, `{"sub":1}`, `{"act":null}`, `{"act":{"iss":[]}}`} {
		got, err := claim.Actors(value(t, text))
		require.Error(t, err, text)
		require.Nil(t, got)
	}
}

func TestKind(t *testing.T) {
	for text, other := range map[string]bool{
		`{}`: false, `{"typ":"Bearer","nonce":"x"}`: false, `{"token_use":"access"}`: false, `{"typ":"other"}`: false,
		`{"nonce":"x"}`: true, `{"nonce":null}`: true, `{"at_hash":null}`: true, `{"c_hash":1}`: true, `{"s_hash":1}`: true, `{"events":{}}`: true,
		`{"token_introspection":{}}`: true, `{"typ":"ID"}`: true, `{"typ":"refresh"}`: true, `{"typ":"OFFLINE"}`: true, `{"typ":"Logout"}`: true,
		`{"token_use":"id"}`: true, `{"token_use":""}`: true, `{"token_use":"Access"}`: true,
	} {
		var k claim.Kind
		require.NoError(t, strictjson.Object([]byte(text), func(name, value []byte) error { return k.Read(string(name), value) }))
		require.Equal(t, other, k.Other("access"), text)
	}
	var k claim.Kind
	require.Error(t, k.Read("typ", []byte("1")))
	require.Error(t, k.Read("token_use", []byte("null")))
}
