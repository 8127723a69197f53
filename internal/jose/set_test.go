package jose_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

const maxKeys = 100

func setOf(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// One key that cannot be used costs nobody the others.
//
// req: R7517-01, R7517-03
func TestParseSetMixed(t *testing.T) {
	rsa, ec, ed := rsaJWK(t), ecJWK(t), edJWK(t)
	set := setOf(
		`{"kty":"oct","k":"AAAA","kid":"secret"}`,
		string(rsa.with("kid", "r1").json(t)),
		string(rsa.with("kid", "enc").with("use", "enc").json(t)),
		string(ec.with("kid", "r1").json(t)), // the same kid, another kty
		`{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA","kid":"pq"}`,
		string(ec.with("kid", "off").with("y", ec["x"]).json(t)),
		string(ed.with("kid", 7).json(t)),
		string(ed.with("kid", strings.Repeat("k", 257)).json(t)),
		string(rsa.with("kid", "private").with("d", "AAAA").json(t)),
		string(rsa.with("kid", "small").with("n", b64(modulus(1024).Bytes())).json(t)),
		string(ed.with("kid", "large").with("z", strings.Repeat("z", 65<<10)).json(t)),
		`null`, `[]`, `"kid"`, `1`, `true`, `{}`, `[{"kty":"OKP"}]`,
		string(ed.json(t)),
		string(ed.with("kid", strings.Repeat("k", 256)).with("use", "enc").json(t)),
	)
	keys, skipped, err := jose.ParseSet(set, maxKeys)
	require.NoError(t, err)
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID())
	}
	require.Equal(t, []string{"r1", "r1", ""}, ids)
	require.Equal(t, keyFor(t, "RS256").Thumbprint(), keys[0].Thumbprint())
	require.Equal(t, keyFor(t, "ES256").Thumbprint(), keys[1].Thumbprint())
	require.Equal(t, keyFor(t, "EdDSA").Thumbprint(), keys[2].Thumbprint())
	require.Equal(t, []string{"ES256"}, keys[1].Algorithms())

	type place struct {
		index int
		id    string
	}
	var places []place
	for _, s := range skipped {
		require.Error(t, s.Err)
		places = append(places, place{s.Index, s.ID})
	}
	require.Equal(t, []place{
		{0, "secret"}, {2, "enc"}, {4, "pq"}, {5, "off"}, {6, ""}, {7, ""}, {8, "private"}, {9, "small"}, {10, "large"},
		{11, ""}, {12, ""}, {13, ""}, {14, ""}, {15, ""}, {16, ""}, {17, ""},
		{19, strings.Repeat("k", 256)},
	}, places)
}

func TestParseSetKeepsOrderAndDuplicates(t *testing.T) {
	a, b := string(edJWK(t).with("kid", "k").json(t)), string(ecJWK(t).with("kid", "k").json(t))
	keys, skipped, err := jose.ParseSet(setOf(a, b, a), maxKeys)
	require.NoError(t, err)
	require.Empty(t, skipped)
	require.Len(t, keys, 3)
	require.Equal(t, keys[0].Thumbprint(), keys[2].Thumbprint())
	require.NotEqual(t, keys[0].Thumbprint(), keys[1].Thumbprint())
}

func TestParseSetShape(t *testing.T) {
	good := string(edJWK(t).with("kid", "k").json(t))
	for name, set := range map[string]string{
		"keys alone":        `{"keys":[` + good + `]}`,
		"white space":       "\r\n\t {\"keys\" : [ " + good + " ] } \n",
		"escaped name":      `{"\u006beys":[` + good + `]}`,
		"other members":     `{"a":1,"keys":[` + good + `],"z":{"keys":null}}`,
		"folded names":      `{"Keys":null,"KEYS":[],"keys":[` + good + `]}`,
		"null before":       `{"keys":[null,` + good + `]}`,
		"nested, 1000 deep": `{"z":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `,"keys":[` + good + `]}`,
	} {
		t.Run("accepted/"+name, func(t *testing.T) {
			keys, _, err := jose.ParseSet([]byte(set), maxKeys)
			require.NoError(t, err)
			require.Len(t, keys, 1)
			require.Equal(t, "k", keys[0].ID())
		})
	}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, set := range map[string]string{
		"nothing":              ``,
		"white space":          ` `,
		"null":                 `null`,
		"number":               `1`,
		"string":               `"keys"`,
		"array":                `[` + good + `]`,
		"array of sets":        `[{"keys":[` + good + `]}]`,
		"bare JWK":             good,
		"no members":           `{}`,
		"keys missing":         `{"key":[` + good + `]}`,
		"Keys":                 `{"Keys":[` + good + `]}`,
		"keys one deeper":      `{"set":{"keys":[` + good + `]}}`,
		"keys null":            `{"keys":null}`,
		"keys object":          `{"keys":{}}`,
		"keys a JWK":           `{"keys":` + good + `}`,
		"keys string":          `{"keys":"[]"}`,
		"keys number":          `{"keys":1}`,
		"keys false":           `{"keys":false}`,
		"keys twice, ours 2nd": `{"keys":[],"keys":[` + good + `]}`,
		"keys twice, ours 1st": `{"keys":[` + good + `],"keys":[]}`,
		"keys twice, escaped":  `{"keys":[` + good + `],"\u006beys":[]}`,
		"BOM":                  "\ufeff" + `{"keys":[` + good + `]}`,
		"UTF-16":               "\xff\xfe{\x00}\x00",
		"trailing data":        `{"keys":[` + good + `]}x`,
		"trailing NUL":         `{"keys":[` + good + `]}` + "\x00",
		"two sets":             `{"keys":[` + good + `]}{"keys":[]}`,
		"unterminated":         `{"keys":[` + good + `]`,
		"array unterminated":   `{"keys":[` + good,
		"trailing comma":       `{"keys":[` + good + `,]}`,
		"no comma":             `{"keys":[` + good + ` ` + good + `]}`,
		"invalid UTF-8":        "{\"z\":\"\xff\",\"keys\":[" + good + `]}`,
		"HTML":                 `<html><body>502 Bad Gateway</body></html>`,
		"keys 100 000 deep":    `{"keys":` + deep + `}`,
		"other 100 000 deep":   `{"keys":[` + good + `],"z":` + deep + `}`,
		"key 100 000 deep":     `{"keys":[` + good + `,{"z":` + deep + `}]}`,
		"100 000 open":         strings.Repeat(`{"keys":[`, 100_000),
		"other member twice":   `{"z":1,"keys":[` + good + `],"z":1}`,
		"a key with bad UTF-8": `{"keys":[` + good + ",{\"kty\":\"\xff\"}]}",
	} {
		t.Run("refused/"+name, func(t *testing.T) {
			keys, skipped, err := jose.ParseSet([]byte(set), maxKeys)
			require.Error(t, err)
			require.Nil(t, keys)
			require.Nil(t, skipped)
		})
	}
}

// Which of two members of one name is meant, nobody can say. That is a reason not to use
// the key, and none to do without the others.
func TestParseSetWithAMemberTwice(t *testing.T) {
	good, other := string(edJWK(t).with("kid", "k").json(t)), string(ecJWK(t).with("kid", "other").json(t))
	twice := func(jwk, member string) string { return strings.TrimSuffix(jwk, "}") + "," + member + "}" }
	for _, tt := range []struct {
		name, jwk string
		id        string // what it is reported by
	}{
		{name: "kid", jwk: twice(other, `"kid":"k"`)},
		{name: "kid, the same", jwk: twice(other, `"kid":"other"`)},
		{name: "kid, escaped", jwk: twice(other, `"\u006bid":"k"`)},
		{name: "use", jwk: twice(other, `"use":"enc","use":"sig"`)},
		{name: "a private member", jwk: twice(other, `"d":null,"d":"AAAA"`)},
		{name: "a coordinate", jwk: twice(other, `"x":"AAAA"`)},
		{name: "an unknown one", jwk: twice(other, `"z":1,"z":1`)},
		{name: "at depth", jwk: twice(other, `"z":[{"a":{"b":1,"b":2}}]`)},
		{name: "kty alone", jwk: `{"kty":"OKP","kty":"RSA"}`},
		{name: "no object, at depth", jwk: `[{"a":1,"a":1}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for at, set := range [][]byte{setOf(tt.jwk, good), setOf(good, tt.jwk)} {
				keys, skipped, err := jose.ParseSet(set, maxKeys)
				require.NoError(t, err)
				require.Len(t, keys, 1)
				require.Equal(t, "k", keys[0].ID())
				require.Len(t, skipped, 1)
				require.Equal(t, at, skipped[0].Index)
				require.Error(t, skipped[0].Err)

				strict := jose.StrictSet(set)
				require.JSONEq(t, string(setOf(good)), string(strict), "without it, the set is strict")
				again, skipped, err := jose.ParseSet(strict, maxKeys)
				require.NoError(t, err)
				require.Empty(t, skipped)
				require.Equal(t, keys, again)
			}
			keys, skipped, err := jose.ParseSet(setOf(tt.jwk), maxKeys)
			require.Error(t, err, "nothing is left")
			require.Nil(t, keys)
			require.Len(t, skipped, 1)
		})
	}
	set := setOf(good, `{"kty":"oct"}`)
	require.Equal(t, set, jose.StrictSet(set), "a set that is strict stays as it is")
}

func TestParseSetWithOtherUses(t *testing.T) {
	of := func(kid, use string) string { return string(edJWK(t).with("kid", kid).with("use", use).json(t)) }
	set := setOf(of("sig", "sig"), of("svid", "jwt-svid"), of("x509", "x509-svid"), of("enc", "enc"), of("case", "JWT-SVID"),
		string(edJWK(t).with("kid", "ops").with("use", "jwt-svid").with("key_ops", []string{"sign"}).json(t)))
	for _, tt := range []struct {
		name string
		uses []string
		ids  []string
	}{
		{name: "none", ids: []string{"sig"}},
		{name: "one", uses: []string{"jwt-svid"}, ids: []string{"sig", "svid"}},
		{name: "two", uses: []string{"jwt-svid", "x509-svid"}, ids: []string{"sig", "svid", "x509"}},
		{name: "another", uses: []string{"other"}, ids: []string{"sig"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, _, err := jose.ParseSet(set, maxKeys, tt.uses...)
			require.NoError(t, err)
			var ids []string
			for _, k := range keys {
				ids = append(ids, k.ID())
			}
			require.Equal(t, tt.ids, ids)
		})
	}
}

func TestParseSetWithoutUsableKey(t *testing.T) {
	keys, skipped, err := jose.ParseSet(setOf(), maxKeys)
	require.Error(t, err)
	require.Nil(t, keys)
	require.Empty(t, skipped)

	keys, skipped, err = jose.ParseSet(setOf(`{"kty":"oct","k":"AAAA","kid":"a"}`, `null`), maxKeys)
	require.Error(t, err)
	require.Nil(t, keys)
	require.Len(t, skipped, 2, "why none is usable is worth telling")
	require.Equal(t, "a", skipped[0].ID)
}

func TestParseSetCounts(t *testing.T) {
	many := func(n int, jwk string) []byte { return setOf(strings.Split(strings.Repeat(jwk+"\n", n), "\n")[:n]...) }
	good := string(edJWK(t).json(t))
	for _, c := range []struct {
		n, limit int
		ok       bool
	}{{1, 1, true}, {2, 1, false}, {100, 100, true}, {101, 100, false}, {1, 0, false}, {1, -1, false}} {
		t.Run(fmt.Sprint(c.n, " of ", c.limit), func(t *testing.T) {
			keys, skipped, err := jose.ParseSet(many(c.n, good), c.limit)
			if c.ok {
				require.NoError(t, err)
				require.Len(t, keys, c.n)
				return
			}
			require.Error(t, err)
			require.Nil(t, keys)
			require.Nil(t, skipped)
		})
	}
	// Unusable keys count too: looking at them is the cost.
	keys, skipped, err := jose.ParseSet(setOf(append(strings.Split(strings.Repeat("{}\n", 100), "\n")[:100], good)...), maxKeys)
	require.Error(t, err)
	require.Nil(t, keys)
	require.Nil(t, skipped)
	keys, skipped, err = jose.ParseSet(setOf(append(strings.Split(strings.Repeat("{}\n", 99), "\n")[:99], good)...), maxKeys)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Len(t, skipped, 99)
	_, _, err = jose.ParseSet(many(200_000, "{}"), maxKeys)
	require.Error(t, err)
}
