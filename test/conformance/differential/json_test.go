// Package differential_test compares what the library reads with what other
// implementations read. We may be stricter than they are; where we accept, they
// must see the same.
package differential_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/strictjson"
)

// objects are seeds: each shows one thing on which readers of JSON disagree.
var objects = []string{
	`{}`, ` {"a":1} `, `{"iss":"https://as.example.com/","aud":["a","b"],"exp":1300819380}`,
	`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`, `{"a":[{"b":1,"b":2}]}`, `{"":1,"":2}`,
	`{"aud":"x","AUD":"y"}`, `{"ſub":"x"}`, `{"sub":"x","ſub":"y"}`, `{"K":1,"\u212a":2}`,
	`{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"a":"\ude00"}`, `{"a":"\ud83d\ud83d"}`, `{"\ud800":1,"\ud801":2}`, `{"a":"\\ud800"}`, `{"a":"\ufffd"}`,
	"{\"a\":\"\xff\"}", "{\"\xff\":1,\"\xfe\":2}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\x00\"}", "{\"a\":\"\x7f\u2028\"}", "\ufeff{}", "{\"a\":1}\x00",
	`null`, `[]`, `"a"`, `1`, ``, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{'a':1}`, `{"a":1}{}`, `{"a":1}x`, `{"a":/**/1}`, `{"a":NaN}`,
	`{"a":null,"b":true,"c":false,"d":[],"e":{},"f":"","g":[ ],"h":{ },"i":" "}`,
	`{"n":0}`, `{"n":-0}`, `{"n":01}`, `{"n":1.}`, `{"n":.1}`, `{"n":+1}`, `{"n":1e400}`, `{"n":1e-400}`, `{"n":253402300799}`, `{"n":253402300799.9}`, `{"n":253402300800}`,
	`{"n":2534023007990e-1}`, `{"n":0.000000001e9}`, `{"n":17e8}`, `{"n":9007199254740993}`, `{"n":0e999999999999}`, `{"n":1E+2}`, `{"n":1.0000000005}`,
	`{"a":["x",1]}`, `{"a":["x","\u0078",""]}`, `{"a":[[[[[[]]]]]]}`, `{"num":"1","int":1,"list":["a"],"in":{"sub":"x"},"any":{"x":[1,2.5,null]},"ok":true}`,
}

type member struct {
	name  string
	value []byte
}

// FuzzObject: an object is read if and only if encoding/json reads it, and
// every name is there once, and every text is Unicode; with the same meaning.
func FuzzObject(f *testing.F) {
	for _, o := range objects {
		f.Add([]byte(o))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) > 1000 {
			return // both have limits of their own
		}
		var members []member
		err := strictjson.Object(data, func(name, value []byte) error {
			members = append(members, member{string(name), value})
			return nil
		})
		theirs, sound := reading(data)
		require.Equal(t, sound, err == nil, "ours: %v", err)
		if err != nil {
			var v map[string]any
			require.Error(t, strictjson.Unmarshal(data, &v))
			require.Nil(t, v)
			return
		}
		require.Len(t, members, len(theirs))
		for _, m := range members {
			their, has := theirs[m.name]
			require.True(t, has, m.name)
			require.Equal(t, string(their), string(m.value))
			sameValue(t, m.value)
		}
	})
}

// reading is what encoding/json makes of an object, and whether that is all
// there is to say of it.
func reading(data []byte) (map[string]json.RawMessage, bool) {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, false
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil || !utf8.Valid(data) || loneSurrogate(data) || duplicate(data) {
		return nil, false
	}
	return m, true
}

// loneSurrogate looks for \uD800 to \uDFFF that is no pair; in valid JSON a
// backslash is always part of a string.
func loneSurrogate(data []byte) bool {
	escape := func(i int) (rune, bool) {
		if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
			return 0, false
		}
		n, ok := new(big.Int).SetString(string(data[i+2:i+6]), 16)
		return rune(n.Int64()), ok
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		c, ok := escape(i)
		switch {
		case !ok:
			i++ // and the character that it escapes
		case c >= 0xd800 && c < 0xdc00:
			if low, ok := escape(i + 6); !ok || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		case c >= 0xdc00 && c <= 0xdfff:
			return true
		default:
			i += 5
		}
	}
	return false
}

// duplicate looks for an object, at any depth, that has a name twice.
func duplicate(data []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	type level struct {
		names  map[string]bool // nil in an array
		atName bool
	}
	var stack []level
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.names != nil && top.atName {
				name := token.(string)
				if top.names[name] {
					return true
				}
				top.names[name], top.atName = true, false
				continue
			}
			top.atName = true
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}, atName: true})
		case json.Delim('['):
			stack = append(stack, level{})
		}
	}
}

// sameValue compares every function of strictjson that reads a value.
func sameValue(t *testing.T, value []byte) {
	t.Helper()
	var a any
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&a))

	require.Equal(t, a == nil, strictjson.IsNull(value))
	text, isText := a.(string)
	list, isList := a.([]any)
	object, isObject := a.(map[string]any)
	require.Equal(t, a == nil || isText && text == "" || isList && len(list) == 0 || isObject && len(object) == 0, strictjson.IsEmpty(value), "%s", value)

	s, err := strictjson.String(value)
	require.Equal(t, isText, err == nil)
	require.Equal(t, text, s)

	var elements []json.RawMessage
	if isList {
		require.NoError(t, json.Unmarshal(value, &elements))
	}
	i := 0
	err = strictjson.Array(value, func(element []byte) error {
		require.Equal(t, string(elements[i]), string(element))
		i++
		return nil
	})
	require.Equal(t, isList, err == nil)
	require.Equal(t, len(elements), i)

	texts, err := strictjson.Strings(value)
	var want []string
	allText := isList
	for _, e := range list {
		s, ok := e.(string)
		allText = allText && ok
		want = append(want, s)
	}
	require.Equal(t, allText, err == nil)
	if allText {
		require.Equal(t, strings.Join(want, "\x00"), strings.Join(texts, "\x00"))
		require.Len(t, texts, len(want))
	}
	sameDate(t, value, a)
}

// sameDate compares a NumericDate with exact arithmetic.
func sameDate(t *testing.T, value []byte, a any) {
	t.Helper()
	at, err := strictjson.NumericDate(value)
	number, isNumber := a.(json.Number)
	if !isNumber {
		require.Error(t, err)
		return
	}
	if _, exponent, _ := strings.Cut(strings.ToLower(string(number)), "e"); len(exponent) > 4 {
		return // too much of a number for big.Rat
	}
	exact, ok := new(big.Rat).SetString(string(number))
	require.True(t, ok)
	// 253402300799.9 is still in that second, and -0 is refused as any minus is.
	inRange := !strings.HasPrefix(string(number), "-") && exact.Cmp(big.NewRat(253402300800, 1)) < 0
	require.Equal(t, inRange, err == nil, "%s", value)
	if err != nil {
		require.Equal(t, time.Time{}, at)
		return
	}
	nanos := new(big.Rat).Mul(exact, big.NewRat(1e9, 1))
	floor := new(big.Int).Quo(nanos.Num(), nanos.Denom())
	got := new(big.Int).Add(new(big.Int).Mul(big.NewInt(at.Unix()), big.NewInt(1e9)), big.NewInt(int64(at.Nanosecond())))
	require.Equal(t, floor.String(), got.String(), "%s", value)
}

type target struct {
	Sub  string      `json:"sub"`
	Num  json.Number `json:"num"`
	Int  int64       `json:"int"`
	OK   bool        `json:"ok"`
	List []string    `json:"list"`
	In   struct {
		Sub string `json:"sub"`
	} `json:"in"`
	Any any            `json:"any"`
	Map map[string]any `json:"map"`
	Raw json.RawMessage
}

// FuzzUnmarshal: each field is what encoding/json reads from the member of
// exactly that name. What encoding/json alone would put there, from a name in
// another case, is not there.
func FuzzUnmarshal(f *testing.F) {
	for _, o := range objects {
		f.Add([]byte(o))
	}
	f.Add([]byte(`{"SUB":"x","Num":1,"oK":true,"iN":{"sub":"x"},"in":{"Sub":"y"},"lIST":["a"],"raw":1}`))
	f.Add([]byte(`{"map":{"a":{"b":[1,"x",null,true,-0.0,1e3]}},"Raw":{"a": 1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) > 1000 {
			return
		}
		got := target{Sub: "left over"}
		if err := strictjson.Unmarshal(data, &got); err != nil {
			require.Equal(t, target{}, got)
			return
		}
		theirs, sound := reading(data)
		require.True(t, sound)
		want := target{}
		read := func(m map[string]json.RawMessage, name string, v any) {
			if raw, has := m[name]; has {
				require.NoError(t, json.Unmarshal(raw, v), name)
			}
		}
		if _, has := theirs["sub"]; !has {
			want.Sub = "left over" // as with encoding/json, what is not there is not touched
		}
		read(theirs, "sub", &want.Sub)
		read(theirs, "num", &want.Num)
		read(theirs, "int", &want.Int)
		read(theirs, "ok", &want.OK)
		read(theirs, "list", &want.List)
		read(theirs, "any", &want.Any)
		read(theirs, "map", &want.Map)
		read(theirs, "Raw", &want.Raw)
		var in map[string]json.RawMessage
		read(theirs, "in", &in)
		read(in, "sub", &want.In.Sub)
		if null := json.RawMessage("null"); bytes.Equal(theirs["sub"], null) {
			want.Sub = "" // encoding/json leaves a string alone where it reads null
		}
		if len(want.List) == 0 && len(got.List) == 0 {
			want.List, got.List = nil, nil
		}
		require.Equal(t, want, got)
	})
}

// The first error of visit is the one that comes back, whatever follows.
func TestObjectStops(t *testing.T) {
	stop := errors.New("stop")
	require.Equal(t, stop, strictjson.Object([]byte(`{"a":1,"a":2}`), func(_, _ []byte) error { return stop }))
}
