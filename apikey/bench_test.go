package apikey_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/middleware"
)

// What a key costs, from the header to the token.
func BenchmarkKey(b *testing.B) {
	m, unknown := generate(b, "acme", "orders:read"), generate(b, "x")
	legacy, err := apikey.Import(bearergate.NewSecret(pepper), old)
	require.NoError(b, err)
	legacy.Owner = "old"
	c := config(m.record, legacy)
	c.AllowLegacy = bearergate.NewSecret(pepper)
	fixed := newKeys(b, c)
	c.Records, c.Lookup = nil, store{m.record.ID: m.record}.lookup
	looked := newKeys(b, c)
	for _, bc := range []struct {
		name string
		keys *apikey.Keys
		key  string
		good bool
	}{
		{name: "known", keys: fixed, key: m.key, good: true},
		{name: "known, looked up", keys: looked, key: m.key, good: true},
		{name: "of the older system", keys: fixed, key: old, good: true},
		{name: "unknown", keys: fixed, key: unknown.key}, // these two must not differ
		{name: "a wrong secret", keys: fixed, key: remade(b, m.record.ID, unknown.key)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			r := request(header, bc.key)
			b.ReportAllocs()
			for b.Loop() {
				credentials, err := bc.keys.Extract(r)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := bc.keys.Verify(b.Context(), credentials.Raw.Reveal()); (err == nil) != bc.good {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("known, through a gate", func(b *testing.B) {
		gate, r := gateOf(b, fixed, middleware.Hooks{}), request(header, m.key)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := gate.Check(r, read); err != nil {
				b.Fatal(err)
			}
		}
	})
}
