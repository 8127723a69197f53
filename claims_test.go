package bearergate_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

func claimsOf(raw string) *bearergate.Token {
	return bearergate.NewToken(bearergate.Claims{Raw: []byte(raw)})
}

type base struct {
	Tenant string `json:"tenant"`
	Sub    string `json:"sub"`
}

// req: R7519-01
// attacks: JSN-012, JSN-013
func TestClaimsMatchNamesExactly(t *testing.T) {
	type target struct {
		Sub   string `json:"sub"`
		Admin bool   `json:"admin"`
	}
	for raw, want := range map[string]target{
		`{"sub":"a","admin":true}`:           {"a", true},
		`{"Sub":"a","ADMIN":true}`:           {},
		`{"ſub":"a"}`:                        {}, // U+017F folds to s
		`{"sub":"a","Sub":"b","SUB":"c"}`:    {Sub: "a"},
		`{"Sub":"b","sub":"a"}`:              {Sub: "a"},
		`{"\u0073ub":"a"}`:                   {Sub: "a"},
		`{"sub\u0000":"a"}`:                  {},
		`{"sub ":"a"}`:                       {},
		`{}`:                                 {},
		`{"admin_":true,"unknown":[1,{},2]}`: {},
	} {
		var v target
		require.NoError(t, claimsOf(raw).Claims(&v), raw)
		require.Equal(t, want, v, raw)
	}
	// A field without a tag is named as it is in Go: "email" does not fill Email.
	var untagged struct{ Email string }
	require.NoError(t, claimsOf(`{"email":"a@example.com"}`).Claims(&untagged))
	require.Empty(t, untagged.Email)
	require.NoError(t, claimsOf(`{"Email":"a@example.com"}`).Claims(&untagged))
	require.NotEmpty(t, untagged.Email)
}

func TestClaimsErrorLeavesZero(t *testing.T) {
	type target struct {
		Sub  string            `json:"sub"`
		N    int               `json:"n"`
		List []string          `json:"list"`
		Map  map[string]string `json:"map"`
		Next *target           `json:"next"`
	}
	full := func() target {
		return target{"old", 1, []string{"old"}, map[string]string{"old": "old"}, &target{Sub: "old"}}
	}
	for name, raw := range map[string]string{
		"duplicate":           `{"sub":"a","sub":"b"}`,
		"duplicate, escaped":  `{"sub":"a","\u0073ub":"b"}`,
		"duplicate below":     `{"sub":"a","x":[{"y":1,"y":1}]}`,
		"type":                `{"sub":"a","n":"1"}`,
		"type last":           `{"sub":"a","n":1,"list":[1]}`,
		"fraction for an int": `{"sub":"a","n":1.5}`,
		"overflow":            `{"sub":"a","n":9223372036854775808}`,
		"bad UTF-8":           "{\"sub\":\"a\xff\"}",
		"lone surrogate":      `{"sub":"\ud800"}`,
		"trailing data":       `{"sub":"a"}{}`,
		"trailing NUL":        "{\"sub\":\"a\"}\x00",
		"BOM":                 "\ufeff{\"sub\":\"a\"}",
		"cut off":             `{"sub":"a","n":1`,
		"null":                `null`,
		"array":               `[{"sub":"a"}]`,
		"string":              `"a"`,
		"empty":               ``,
		"white space":         ` `,
	} {
		t.Run(name, func(t *testing.T) {
			v := full()
			require.Error(t, claimsOf(raw).Claims(&v))
			require.Zero(t, v)

			var a any = "old"
			if err := claimsOf(raw).Claims(&a); err != nil {
				require.Nil(t, a)
			}
			m := map[string]any{"old": 1}
			if err := claimsOf(raw).Claims(&m); err != nil {
				require.Nil(t, m)
			}
		})
	}
	t.Run("no claims object", func(t *testing.T) {
		v := full()
		require.Error(t, bearergate.NewToken(bearergate.Claims{Subject: "a"}).Claims(&v))
		require.Zero(t, v)
	})
	t.Run("an UnmarshalJSON that refuses", func(t *testing.T) {
		v := struct {
			Sub string  `json:"sub"`
			N   refuses `json:"n"`
		}{"old", refuses{1}}
		err := claimsOf(`{"sub":"a","n":1}`).Claims(&v)
		require.ErrorIs(t, err, errRefused) // the caller's own error stays reachable
		require.Zero(t, v)
	})
}

var errRefused = errors.New("refused")

type refuses struct{ n int }

func (r *refuses) UnmarshalJSON([]byte) error { r.n = 2; return errRefused }

func TestClaimsTarget(t *testing.T) {
	tok := claimsOf(`{"sub":"a"}`)
	var nilPointer *base
	m := map[string]any{"old": true}
	for name, v := range map[string]any{
		"nil": nil, "nil pointer": nilPointer, "struct": base{}, "map": m, "nil map": map[string]any(nil),
		"func": func() {}, "int": 1, "slice": []byte("x"),
	} {
		require.NotPanics(t, func() { require.Error(t, tok.Claims(v), name) }, name)
	}
	require.Equal(t, map[string]any{"old": true}, m)
	for name, v := range map[string]any{"chan": new(chan int), "func": new(func()), "int": new(int), "slice": new([]string), "string": new(string)} {
		require.Error(t, tok.Claims(v), name)
		require.True(t, reflect.ValueOf(v).Elem().IsZero(), name)
	}

	var p *base
	require.NoError(t, tok.Claims(&p))
	require.Equal(t, &base{Sub: "a"}, p)
	require.NoError(t, tok.Claims(&m))
	// As encoding/json does, members are added to a map that is there already:
	// decode each token into a new value.
	require.Equal(t, map[string]any{"old": true, "sub": "a"}, m)
}

// What users meet who come from encoding/json.
func TestClaimsNumbers(t *testing.T) {
	const big = `{"n":9007199254740993,"max":9223372036854775807,"neg":-9007199254740993,"umax":18446744073709551615,"f":1.50,"e":1e2,"huge":123456789012345678901234567890}`
	tok := claimsOf(big)

	t.Run("integers above 2^53", func(t *testing.T) {
		var v struct {
			N    int64  `json:"n"`
			Max  int64  `json:"max"`
			Neg  int64  `json:"neg"`
			UMax uint64 `json:"umax"`
		}
		require.NoError(t, tok.Claims(&v))
		require.Equal(t, int64(9007199254740993), v.N)
		require.Equal(t, int64(9223372036854775807), v.Max)
		require.Equal(t, int64(-9007199254740993), v.Neg)
		require.Equal(t, uint64(18446744073709551615), v.UMax)
	})
	t.Run("json.Number", func(t *testing.T) {
		var v struct {
			N    json.Number  `json:"n"`
			F    json.Number  `json:"f"`
			E    *json.Number `json:"e"`
			Huge json.Number  `json:"huge"`
		}
		require.NoError(t, tok.Claims(&v))
		require.Equal(t, json.Number("9007199254740993"), v.N)
		require.Equal(t, json.Number("1.50"), v.F)
		require.Equal(t, json.Number("1e2"), *v.E)
		require.Equal(t, json.Number("123456789012345678901234567890"), v.Huge)
		var m map[string]json.Number
		require.NoError(t, tok.Claims(&m))
		require.Equal(t, json.Number("18446744073709551615"), m["umax"])
	})
	t.Run("any is float64", func(t *testing.T) {
		var m map[string]any
		require.NoError(t, tok.Claims(&m))
		require.Equal(t, float64(9007199254740992), m["n"]) // one less than it says
		require.IsType(t, float64(0), m["max"])
		var a any
		require.NoError(t, tok.Claims(&a))
		require.Equal(t, any(m), a)
	})
	t.Run("json.Number of other values, as encoding/json has it", func(t *testing.T) {
		for _, value := range []string{`"1"`, `"-1.5e3"`, `null`, `"abc"`, `"01"`, `"1 "`, `" 1"`, `"0x1"`, `"NaN"`, `"1,2"`, `""`, `true`, `[]`, `{}`, `"\u0031"`} {
			raw := `{"n":` + value + `}`
			var ours, theirs struct{ N json.Number }
			err := claimsOf(strings.Replace(raw, "n", "N", 1)).Claims(&ours)
			wantErr := json.Unmarshal([]byte(strings.Replace(raw, "n", "N", 1)), &theirs)
			require.Equal(t, wantErr == nil, err == nil, "%s: %v, encoding/json %v", value, err, wantErr)
			if err == nil {
				require.Equal(t, theirs, ours, value)
			}
		}
	})
	t.Run("out of range", func(t *testing.T) {
		var v struct {
			N int8 `json:"n"`
		}
		require.Error(t, claimsOf(`{"n":128}`).Claims(&v))
		var u struct {
			N uint `json:"n"`
		}
		require.Error(t, claimsOf(`{"n":-1}`).Claims(&u))
		var f struct {
			N float64 `json:"n"`
		}
		require.Error(t, claimsOf(`{"n":1e400}`).Claims(&f))
		require.Error(t, claimsOf(`{"n":1e400}`).Claims(new(any)))
	})
}

func TestClaimsTags(t *testing.T) {
	type Inner struct {
		Roles []string `json:"roles"`
	}
	type outer struct {
		base          // promoted, although unexported
		*Inner        // allocated
		Sub    string `json:"sub"` // hides base.Sub
		Empty  string `json:"empty,omitempty"`
		Zero   int    `json:"zero,omitzero"`
		Minus  string `json:"-"`
		Realm  struct {
			Roles []string `json:"roles"`
		} `json:"realm_access"`
		URN     string          `json:"https://example.com/claim"`
		Raw     json.RawMessage `json:"raw"`
		When    time.Time       `json:"when"`
		IP      netip.Addr      `json:"ip"`
		Bytes   []byte          `json:"bytes"`
		Any     any             `json:"any"`
		Pointer *string         `json:"pointer"`
	}
	var v outer
	require.NoError(t, claimsOf(`{"tenant":"t","sub":"s","roles":["a"],"empty":"e","zero":0,"-":"no","Minus":"no",
		"realm_access":{"roles":["b","c"],"other":1},"https://example.com/claim":"u","raw":{"b": [1, 2]},
		"when":"2026-01-02T03:04:05.5+01:00","ip":"192.0.2.1","bytes":"aGk=","any":[true,null],"pointer":null}`).Claims(&v))
	require.Equal(t, "t", v.Tenant)
	require.Equal(t, "s", v.Sub)
	require.Empty(t, v.base.Sub)
	require.Equal(t, []string{"a"}, v.Roles)
	require.Equal(t, "e", v.Empty)
	require.Empty(t, v.Minus)
	require.Equal(t, []string{"b", "c"}, v.Realm.Roles)
	require.Equal(t, "u", v.URN)
	require.Equal(t, `{"b": [1, 2]}`, string(v.Raw))
	require.True(t, v.When.Equal(time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC)))
	require.Equal(t, netip.MustParseAddr("192.0.2.1"), v.IP)
	require.Equal(t, "hi", string(v.Bytes))
	require.Equal(t, []any{true, nil}, v.Any)
	require.Nil(t, v.Pointer)

	t.Run("a date claim is a number, not a time.Time", func(t *testing.T) {
		var v struct {
			Exp time.Time `json:"exp"`
		}
		require.Error(t, claimsOf(`{"exp":2000000000}`).Claims(&v))
		require.Zero(t, v)
	})
	t.Run("null sets zero, where encoding/json leaves what was there", func(t *testing.T) {
		v := base{Tenant: "old", Sub: "old"}
		require.NoError(t, claimsOf(`{"tenant":null}`).Claims(&v))
		require.Equal(t, base{Sub: "old"}, v)
	})
}

// The error may be logged, so the values of claims are not in it.
func TestClaimsErrorHoldsNoValue(t *testing.T) {
	const secret = "31415926535"
	for name, tc := range map[string]struct {
		raw string
		v   any
	}{
		"int": {`{"n":"` + secret + `"}`, &struct {
			N int `json:"n"`
		}{}},
		"int, string": {`{"n":"` + secret + `x"}`, &struct {
			N int `json:"n,string"`
		}{}},
		"overflow": {`{"n":` + secret + `}`, &struct {
			N int8 `json:"n"`
		}{}},
		"float overflow": {`{"n":` + secret + `e999}`, &struct {
			N float64 `json:"n"`
		}{}},
		"fraction": {`{"n":` + secret + `.5}`, &struct {
			N int `json:"n"`
		}{}},
		"string": {`{"n":` + secret + `}`, &struct {
			N string `json:"n"`
		}{}},
		"time": {`{"n":"` + secret + `"}`, &struct {
			N time.Time `json:"n"`
		}{}},
		"bytes": {`{"n":"` + secret + `!"}`, &struct {
			N []byte `json:"n"`
		}{}},
		"json.Number": {`{"n":"` + secret + `x"}`, &struct {
			N json.Number `json:"n"`
		}{}},
		"map key":       {`{"` + secret + `x":1}`, &map[int]int{}},
		"duplicate":     {`{"` + secret + `":1,"` + secret + `":2}`, &map[string]int{}},
		"syntax":        {`{"n":` + secret + `x}`, &map[string]any{}},
		"bad UTF-8":     {"{\"n\":\"" + secret + "\xff\"}", &map[string]any{}},
		"trailing data": {`{"n":1} ` + secret, &map[string]any{}},
		"not an object": {`"` + secret + `"`, &map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			err := claimsOf(tc.raw).Claims(tc.v)
			require.Error(t, err)
			if name != "map key" { // a name says where
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
	var v struct {
		Org struct {
			Level int8 `json:"level"`
		} `json:"org"`
	}
	err := claimsOf(`{"org":{"level":"x"}}`).Claims(&v)
	require.ErrorContains(t, err, "/org/level") // where to look
	require.ErrorContains(t, err, "int8")
}
