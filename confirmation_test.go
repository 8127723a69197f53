package bearergate_test

import (
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

func TestConfirmation(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cnf   map[string][]byte
		bound bool
		value string
		ok    bool
	}{
		{"absent", nil, false, "", false},
		{"empty", map[string][]byte{}, true, "", false}, // cnf: {} is there, and binds to what nobody can show
		{"another member", map[string][]byte{"kid": []byte(`"x"`)}, true, "", false},
		{"a string", map[string][]byte{"jkt": []byte(`"abc"`)}, true, "abc", true},
		{"escapes", map[string][]byte{"jkt": []byte(`"\u0061\n"`)}, true, "a\n", true},
		{"empty string", map[string][]byte{"jkt": []byte(`""`)}, true, "", true},
		{"object", map[string][]byte{"jkt": []byte(`{"a":"b"}`)}, true, "", false},
		{"number", map[string][]byte{"jkt": []byte(`1`)}, true, "", false},
		{"null", map[string][]byte{"jkt": []byte(`null`)}, true, "", false},
		{"nothing", map[string][]byte{"jkt": nil}, true, "", false},
		// What a custom verifier may pass to NewToken by mistake is no value.
		{"not JSON", map[string][]byte{"jkt": []byte(`abc`)}, true, "", false},
		{"not closed", map[string][]byte{"jkt": []byte(`"abc`)}, true, "", false},
		{"a quote", map[string][]byte{"jkt": []byte(`"`)}, true, "", false},
		{"more after it", map[string][]byte{"jkt": []byte(`"abc" `)}, true, "", false},
		{"two strings", map[string][]byte{"jkt": []byte(`"a""b"`)}, true, "", false},
		{"line end", map[string][]byte{"jkt": []byte("\"a\nb\"")}, true, "", false},
		{"bad UTF-8", map[string][]byte{"jkt": []byte("\"a\xff\"")}, true, "", false},
		{"lone surrogate", map[string][]byte{"jkt": []byte(`"\ud800"`)}, true, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cnf := bearergate.NewToken(bearergate.Claims{Confirmation: tc.cnf}).Confirmation()
			require.Equal(t, tc.bound, cnf.Bound())
			require.Len(t, cnf.Members(), len(tc.cnf))
			value, ok := cnf.Value("jkt")
			require.Equal(t, tc.ok, ok)
			if tc.ok {
				require.Equal(t, tc.value, value)
			} else {
				require.Empty(t, value)
			}
			_, ok = cnf.Value("JKT")
			require.False(t, ok)
		})
	}
}
