package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
	"weak"

	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/stretchr/testify/require"
)

type member struct{ name, value string }

// read gathers the members of an object.
func read(data []byte) ([]member, error) {
	var members []member
	err := strictjson.Object(data, func(name, value []byte) error {
		members = append(members, member{string(name), string(value)})
		return nil
	})
	return members, err
}

// req: R7515-09, R7515-13, R8725-06
func TestObject(t *testing.T) {
	for in, want := range map[string][]member{
		`{}`:                             nil,
		" \t\r\n{ \t\r\n} \t\r\n":        nil,
		`{"a":1}`:                        {{"a", "1"}},
		`{"a":1,"b":"x","c":[1, 2]}`:     {{"a", "1"}, {"b", `"x"`}, {"c", "[1, 2]"}},
		"\n{\t\"a\" :\r 1 , \"b\": {} }": {{"a", "1"}, {"b", "{}"}},
		`{"":null}`:                      {{"", "null"}},
		`{"a":"\"\\\/\b\f\n\r\t\u00e9"}`: {{"a", `"\"\\\/\b\f\n\r\t\u00e9"`}},
		`{"a":1,"A":2}`:                  {{"a", "1"}, {"A", "2"}}, // two names
		`{"s":1,"ſ":2}`:                  {{"s", "1"}, {"ſ", "2"}},
		`{"\u0061":1}`:                   {{"a", "1"}},
		`{"a\"b":1,"\ud83d\ude00":2}`:    {{`a"b`, "1"}, {"😀", "2"}},
		`{"é":1,"e\u0301":2}`:            {{"é", "1"}, {"e\u0301", "2"}}, // no normalisation
		`{"a\u0000":1,"a":2}`:            {{"a\x00", "1"}, {"a", "2"}},
		`{"n":-0,"f":1.50,"e":1E+2}`:     {{"n", "-0"}, {"f", "1.50"}, {"e", "1E+2"}},
		`{"a":{"x":1},"b":{"x":1}}`:      {{"a", `{"x":1}`}, {"b", `{"x":1}`}},
		`{"a":[{"x":1},{"x":1}]}`:        {{"a", `[{"x":1},{"x":1}]`}},
		`{"a":true,"b":false,"c":null}`:  {{"a", "true"}, {"b", "false"}, {"c", "null"}},
		`{"a":"\uFFFE\uffff"}`:           {{"a", `"\uFFFE\uffff"`}}, // noncharacters are characters
		"{\"a\":\"\x7f\"}":               {{"a", "\"\x7f\""}},
		`{"a":12345678901234567890123}`:  {{"a", "12345678901234567890123"}},
	} {
		got, err := read([]byte(in))
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
}

// req: R7515-01, R7515-09, R7515-13, R7519-01, R8725-06
// attacks: JSN-015, JSN-019, JSN-024, JSN-026, JSN-027, JSN-028, JSN-032, JSN-033
func TestObjectRefuses(t *testing.T) {
	deep := func(open, shut string, n int) string {
		return `{"a":` + strings.Repeat(open, n) + `1` + strings.Repeat(shut, n) + `}`
	}
	for name, in := range map[string]string{
		"nothing":                    "",
		"white space":                " \n",
		"null":                       "null",
		"true":                       "true",
		"number":                     "1",
		"string":                     `"{}"`,
		"array":                      `[{"a":1}]`,
		"array after space":          ` []`,
		"NUL before":                 "\x00{}",
		"BOM":                        "\ufeff{}",
		"UTF-16 with BOM":            "\xff\xfe{\x00}\x00",
		"UTF-16":                     "{\x00}\x00",
		"vertical tab":               "\v{}",
		"form feed":                  "\f{}",
		"NBSP":                       "\u00a0{}",
		"line separator":             "\u2028{}",
		"form feed inside":           "{\f}",
		"NBSP inside":                "{\"a\":\u00a01}",
		"duplicate":                  `{"a":1,"a":2}`,
		"duplicate, same value":      `{"a":1,"a":1}`,
		"duplicate, apart":           `{"a":1,"b":2,"c":3,"a":4}`,
		"duplicate, escaped":         `{"a":1,"\u0061":2}`,
		"duplicate, escaped first":   `{"\u0061":1,"a":2}`,
		"duplicate, two escapes":     `{"\u00e9":1,"\u00E9":2}`,
		"duplicate, slash":           `{"a/b":1,"a\/b":2}`,
		"duplicate, surrogates":      `{"😀":1,"\ud83d\ude00":2}`,
		"duplicate, empty":           `{"":1,"":2}`,
		"duplicate below":            `{"a":{"b":1,"b":2}}`,
		"duplicate in an array":      `{"a":[1,{"b":1,"c":[],"b":2}]}`,
		"duplicate far below":        `{"a":{"b":{"c":[[{"d":1,"\u0064":2}]]}}}`,
		"duplicate among many":       many(200, `"name7":0`),
		"duplicate at the end":       many(2000, `"name1999":0`),
		"lone surrogate":             `{"a":"\ud800"}`,
		"lone low surrogate":         `{"a":"\udc00"}`,
		"surrogates swapped":         `{"a":"\udc00\ud800"}`,
		"surrogate and a letter":     `{"a":"\ud800a"}`,
		"surrogate and an escape":    `{"a":"\ud800\n"}`,
		"lone surrogate in a name":   `{"\ud800":1}`,
		"lone surrogate below":       `{"a":[{"b":"\uDEAD"}]}`,
		"surrogate as UTF-8":         "{\"a\":\"\xed\xa0\x80\"}",
		"invalid UTF-8":              "{\"a\":\"\xff\"}",
		"invalid UTF-8 in a name":    "{\"\xff\":1}",
		"invalid UTF-8 below":        "{\"a\":{\"b\":[\"\x80\"]}}",
		"invalid UTF-8 outside":      "{\"a\":1\xff}",
		"overlong UTF-8":             "{\"a\":\"\xc0\xaf\"}",
		"above U+10FFFF":             "{\"a\":\"\xf4\x90\x80\x80\"}",
		"cut UTF-8":                  "{\"a\":\"\xe2\x82\"}",
		"trailing NUL":               "{}\x00",
		"trailing brace":             `{}}`,
		"trailing object":            `{}{}`,
		"trailing object, spaced":    `{} {}`,
		"trailing comma outside":     `{},`,
		"trailing letter":            `{"a":1}x`,
		"trailing null":              `{} null`,
		"trailing invalid UTF-8":     "{}\xff",
		"trailing NBSP":              "{}\u00a0",
		"trailing comment":           `{} // x`,
		"comment":                    `{"a":1/* x */}`,
		"line comment":               "{\"a\":1 // x\n}",
		"hash comment":               "{\"a\":1 # x\n}",
		"NaN":                        `{"a":NaN}`,
		"Infinity":                   `{"a":Infinity}`,
		"-Infinity":                  `{"a":-Infinity}`,
		"leading zero":               `{"a":01}`,
		"negative leading zero":      `{"a":-01}`,
		"plus":                       `{"a":+1}`,
		"minus alone":                `{"a":-}`,
		"point first":                `{"a":.5}`,
		"point last":                 `{"a":1.}`,
		"exponent without digits":    `{"a":1e}`,
		"exponent with a sign alone": `{"a":1e+}`,
		"hexadecimal":                `{"a":0x10}`,
		"two points":                 `{"a":1.2.3}`,
		"wide digit":                 `{"a":１}`,
		"trailing comma":             `{"a":1,}`,
		"leading comma":              `{,"a":1}`,
		"two commas":                 `{"a":1,,"b":2}`,
		"comma in an array":          `{"a":[1,]}`,
		"no comma":                   `{"a":1 "b":2}`,
		"no colon":                   `{"a" 1}`,
		"two colons":                 `{"a"::1}`,
		"no value":                   `{"a":}`,
		"no value, no colon":         `{"a"}`,
		"name not quoted":            `{a:1}`,
		"name in single quotes":      `{'a':1}`,
		"number as a name":           `{1:1}`,
		"null as a name":             `{null:1}`,
		"value in single quotes":     `{"a":'x'}`,
		"True":                       `{"a":True}`,
		"undefined":                  `{"a":undefined}`,
		"nul":                        `{"a":nul}`,
		"nullx":                      `{"a":nullx}`,
		"tab in a string":            "{\"a\":\"\t\"}",
		"line feed in a string":      "{\"a\":\"\n\"}",
		"NUL in a string":            "{\"a\":\"\x00\"}",
		"control in a name":          "{\"a\x1f\":1}",
		"bad escape":                 `{"a":"\x41"}`,
		"bad escape of a quote":      `{"a":"\'"}`,
		"short escape":               `{"a":"\u00"}`,
		"bad hex":                    `{"a":"\u00g0"}`,
		"string not closed":          `{"a":"x}`,
		"array not closed":           `{"a":[1}`,
		"object not closed":          `{"a":1`,
		"object closed by bracket":   `{"a":1]`,
		"only a brace":               `{`,
		"only a name":                `{"a"`,
		"arrays 100000 deep":         deep("[", "]", 100_000),
		"objects 100000 deep":        deep(`{"a":`, "}", 100_000),
		"arrays opened 100000 times": `{"a":` + strings.Repeat("[", 100_000),
		"braces opened":              strings.Repeat("{", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(in)
			_, err := read(data)
			require.Error(t, err)
			require.Equal(t, in, string(data), "the input was changed")

			v := map[string]any{"old": 1}
			require.Error(t, strictjson.Unmarshal(data, &v))
			require.Nil(t, v)
			s := struct {
				A any `json:"a"`
			}{"old"}
			require.Error(t, strictjson.Unmarshal(data, &s))
			require.Zero(t, s)
		})
	}
	_, err := read([]byte(deep("[", "]", 1000)))
	require.NoError(t, err)
}

// many returns an object of n distinct members, then more.
func many(n int, more ...string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"name%d":%d`, i, i)
	}
	for _, m := range more {
		b.WriteString("," + m)
	}
	b.WriteByte('}')
	return b.String()
}

// attacks: JSN-037
func TestObjectManyMembers(t *testing.T) {
	members, err := read([]byte(many(10_000)))
	require.NoError(t, err)
	require.Len(t, members, 10_000)
	require.Equal(t, member{"name9999", "9999"}, members[9999])
}

// Every byte that is cut off or put in is noticed, or harmless white space.
func TestObjectMutations(t *testing.T) {
	const valid = `{"alg":"RS256","n":[1,{"x":null}],"s":"\u0061é"}`
	want, err := read([]byte(valid))
	require.NoError(t, err)
	for i := range len(valid) {
		_, err := read([]byte(valid[:i]))
		require.Error(t, err, "cut at %d", i)
	}
	for i := range len(valid) + 1 {
		for b := range 256 {
			in := []byte(valid[:i] + string([]byte{byte(b)}) + valid[i:])
			got, err := read(in)
			if !json.Valid(in) || !utf8.Valid(in) {
				require.Error(t, err, "%q", in)
			} else if err == nil && slices.Equal(got, want) {
				require.Contains(t, " \t\r\n", string([]byte{byte(b)}), "%q", in)
			}
		}
	}
}

// The text of an error holds nothing of the data.
func TestObjectErrorHoldsNoData(t *testing.T) {
	for _, in := range []string{
		`s3cr3t`, `{"s3cr3t"}`, `{"s3cr3t":1,"s3cr3t":2}`, `{"a":"s3cr3t}`, `{"a":1} s3cr3t`, `{"s3cr3t":s3cr3t}`, "{\"s3cr3t\xff\":1}", `{"a":{"s3cr3t":{"b":1,"b":2}}}`,
	} {
		_, err := read([]byte(in))
		require.Error(t, err, in)
		require.NotContains(t, err.Error(), "s3cr3t")
		err = strictjson.Unmarshal([]byte(in), new(any))
		require.Error(t, err, in)
		require.NotContains(t, err.Error(), "s3cr3t")
	}
	for _, f := range []func([]byte) error{
		func(b []byte) error { _, err := strictjson.String(b); return err },
		func(b []byte) error { _, err := strictjson.Strings(b); return err },
		func(b []byte) error { _, err := strictjson.NumericDate(b); return err },
		func(b []byte) error { return strictjson.Array(b, func([]byte) error { return nil }) },
	} {
		for _, in := range []string{`s3cr3t`, `"s3cr3t`, `[s3cr3t]`, `["s3cr3t]`} {
			err := f([]byte(in))
			require.Error(t, err, in)
			require.NotContains(t, err.Error(), "s3cr3t")
		}
	}
}

// inside reports at which offset of data part stands, by address: -1 if it is
// a copy.
func inside(data, part []byte) int {
	if len(part) == 0 || len(data) == 0 {
		return -1
	}
	at := reflect.ValueOf(part).Pointer() - reflect.ValueOf(data).Pointer()
	if at >= uintptr(len(data)) {
		return -1
	}
	return int(at)
}

func TestObjectValuesAreSubSlices(t *testing.T) {
	data := []byte(` {"a" : "x", "b": [1, 2] ,"\u0063":{"d":null},"e":-1.5e3 } `)
	err := strictjson.Object(data, func(name, value []byte) error {
		at := inside(data, value)
		require.GreaterOrEqual(t, at, 0, "%s is a copy", name)
		require.Equal(t, value, data[at:at+len(value)])
		require.Equal(t, len(value), cap(value), "append to %s would write into the data", name)
		require.Equal(t, string(bytes.TrimSpace(value)), string(value))
		require.Equal(t, len(name), cap(slices.Clip(name)))
		if string(value)[0] == '[' {
			return strictjson.Array(value, func(element []byte) error {
				require.GreaterOrEqual(t, inside(data, element), 0)
				require.Equal(t, len(element), cap(element))
				return nil
			})
		}
		return nil
	})
	require.NoError(t, err)
}

func TestObjectAppendToNameIsHarmless(t *testing.T) {
	data := []byte(`{"a":1,"b":2}`)
	var names []string
	require.NoError(t, strictjson.Object(data, func(name, _ []byte) error {
		_ = append(name, "XXXXXX"...)
		names = append(names, string(name))
		return nil
	}))
	require.Equal(t, `{"a":1,"b":2}`, string(data))
	require.Equal(t, []string{"a", "b"}, names)
}

func TestObjectVisitError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	err := strictjson.Object([]byte(`{"a":1,"b":2,"c":3}`), func(name, _ []byte) error {
		if calls++; string(name) == "b" {
			return stop
		}
		return nil
	})
	require.Equal(t, stop, err) // as it is, not wrapped
	require.Equal(t, 2, calls)

	for _, stop := range []error{io.EOF, io.ErrUnexpectedEOF, errors.ErrUnsupported} { // errors with a meaning to decoders
		require.Equal(t, stop, strictjson.Object([]byte(`{"a":1}`), func(_, _ []byte) error { return stop }))
		require.Equal(t, stop, strictjson.Array([]byte(`[1]`), func([]byte) error { return stop }))
	}
}

// Decoders are pooled: no call sees anything of another one.
func TestObjectPoolDoesNotMix(t *testing.T) {
	bad := []string{``, `{`, `{"a":1,"a":2}`, `{"secret":"x"`, `{"a":[[[[{"secret":`, "{\"a\":\"\xff\"}", `{"a":1}{"secret":1}`, `{"a":{"b":{"a":1,"b`}
	good := func(i int) (string, []member) {
		a, b := strconv.Itoa(i), strings.Repeat("x", i%50)
		return `{"a":` + a + `,"secret":"` + b + `","\u006e":{"a":1,"secret":2}}`, []member{{"a", a}, {"secret", `"` + b + `"`}, {"n", `{"a":1,"secret":2}`}}
	}
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for i := range 500 {
				_, err := read([]byte(bad[i%len(bad)]))
				require.Error(t, err)
				in, want := good(i)
				got, err := read([]byte(in))
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.Error(t, strictjson.Object([]byte(in), func(_, _ []byte) error { return io.EOF }))
				got, err = read([]byte(in))
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		})
	}
}

func TestObjectNested(t *testing.T) {
	data := []byte(`{"a":{"x":1,"y":{"z":[{"q":1},{"q":2}]}},"b":{"x":2},"c":3}`)
	var got []string
	var walk func(prefix string, value []byte) error
	walk = func(prefix string, value []byte) error {
		switch value[0] {
		case '{':
			return strictjson.Object(value, func(name, value []byte) error { return walk(prefix+"/"+string(name), value) })
		case '[':
			i := 0
			return strictjson.Array(value, func(element []byte) error { i++; return walk(fmt.Sprintf("%s/%d", prefix, i), element) })
		}
		// Something unrelated, in the middle of it all, that fails.
		if _, err := read([]byte(`{"a":{"x":`)); err == nil {
			t.Error("accepted")
		}
		got = append(got, prefix+"="+string(value))
		return nil
	}
	require.NoError(t, walk("", data))
	require.Equal(t, []string{"/a/x=1", "/a/y/z/1/q=1", "/a/y/z/2/q=2", "/b/x=2", "/c=3"}, got)
}

func TestObjectVisitPanics(t *testing.T) {
	for i := range 50 {
		require.PanicsWithValue(t, "visit", func() {
			_ = strictjson.Object([]byte(`{"old":{"a":1},"secret":2}`), func(_, _ []byte) error {
				if i%2 == 0 { // nested, too
					return strictjson.Object([]byte(`{"x":1}`), func(_, _ []byte) error { panic("visit") })
				}
				panic("visit")
			})
		})
		got, err := read([]byte(`{"a":1,"secret":3}`))
		require.NoError(t, err)
		require.Equal(t, []member{{"a", "1"}, {"secret", "3"}}, got)
	}
}

func TestObjectAllocations(t *testing.T) {
	if raceEnabled() {
		t.Skip("under the race detector a sync.Pool drops at random")
	}
	for want, in := range []string{
		`{"iss":"https://as.example","sub":"alice","aud":["api","other"],"exp":2000000000,"realm_access":{"roles":["a","\u0062"]}}`,
		`{"iss":"https://as.example","\u0061":1,"\u0062":2}`, // a name with an escape has to be written anew
	} {
		data, visit := []byte(in), func(_, _ []byte) error { return nil }
		require.EqualValues(t, want, testing.AllocsPerRun(500, func() {
			if err := strictjson.Object(data, visit); err != nil {
				panic(err)
			}
		}), in)
	}
}

// A pooled decoder does not keep the data of its last call alive: it may be a token.
func TestObjectLetsGoOfData(t *testing.T) {
	call := func(in string, visit func(_, _ []byte) error) weak.Pointer[byte] {
		data := []byte(in)
		func() {
			defer func() { _ = recover() }()
			_ = strictjson.Object(data, visit)
		}()
		return weak.Make(&data[0])
	}
	filler := strings.Repeat("x", 1<<16)
	for name, tc := range map[string]struct {
		in    string
		visit func(_, _ []byte) error
	}{
		"accepted": {`{"a":"` + filler + `"}`, func(_, _ []byte) error { return nil }},
		"refused":  {`{"a":"` + filler + `"`, func(_, _ []byte) error { return nil }},
		"stopped":  {`{"a":"` + filler + `"}`, func(_, _ []byte) error { return io.EOF }},
		"panicked": {`{"a":"` + filler + `"}`, func(_, _ []byte) error { panic("visit") }},
	} {
		held := call(tc.in, tc.visit)
		runtime.GC() // the first one does not empty the pool
		require.Nil(t, held.Value(), name)
	}
}

func TestArray(t *testing.T) {
	elements := func(in string) (got []string, err error) {
		err = strictjson.Array([]byte(in), func(element []byte) error { got = append(got, string(element)); return nil })
		return got, err
	}
	for in, want := range map[string][]string{
		`[]`:                         nil,
		`[ ]`:                        nil,
		`[1]`:                        {"1"},
		`[ "a" , [1, 2],{"b":null}]`: {`"a"`, `[1, 2]`, `{"b":null}`},
	} {
		got, err := elements(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{``, `null`, `"[]"`, `{}`, `1`, `[`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[01]`, "[\"\xff\"]", `[{"a":1,"a":2}]`} {
		_, err := elements(in)
		require.Error(t, err, in)
	}
}

func TestString(t *testing.T) {
	for in, want := range map[string]string{
		`""`: "", `"a"`: "a", `" a "`: " a ", `"\u0061\n\"\\\/"`: "a\n\"\\/", `"é😀"`: "é😀", `"\ud83d\ude00"`: "😀", `"\u0000"`: "\x00", "\"\x7f\"": "\x7f", `"null"`: "null",
	} {
		got, err := strictjson.String([]byte(in))
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{
		``, `"`, `a`, `null`, `1`, `true`, `[]`, `{}`, `["a"]`, `"a`, `a"`, `'a'`, `"a"b"`, `"a" `, ` "a"`, `"a""b"`, `"\"`, `"\x"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xff\"", "\"\xc0\xaf\"", "\"\n\"", "\"\x00\"", "\"\t\"",
	} {
		got, err := strictjson.String([]byte(in))
		require.Error(t, err, in)
		require.Empty(t, got)
	}
}

func TestStrings(t *testing.T) {
	for in, want := range map[string][]string{
		`[]`: {}, `["a"]`: {"a"}, `["a","b","a"]`: {"a", "b", "a"}, `[""]`: {""}, `[ "\u0061" ]`: {"a"},
		" [ \"a\" ,\n\t\"b\"\r]": {"a", "b"}, `["a","\u0062"]`: {"a", "b"}, `["]","["]`: {"]", "["}, `["é"]`: {"é"},
	} {
		got, err := strictjson.Strings([]byte(in))
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
		require.NotNil(t, got)
	}
	for _, in := range []string{``, `null`, `"a"`, `1`, `{}`, `[1]`, `["a",5]`, `["a",null]`, `[["a"]]`, `[{"a":"b"}]`, `[true]`, `["a",`, `["a"`,
		`["a",]`, `[,"a"]`, `["a""b"]`, `["a" "b"]`, `["a";"b"]`, `["a"]]`, `["a"],`, `,"a"]`, `["a`, `["`, `["a","`, "[\"\n\"]", "[\"\x00\"]", "[\"\xff\"]"} { // attacks: SCP-015
		got, err := strictjson.Strings([]byte(in))
		require.Error(t, err, in)
		require.Nil(t, got)
	}
}

func TestIsNullIsEmpty(t *testing.T) {
	for in, want := range map[string]struct{ null, empty bool }{
		``: {false, true}, `null`: {true, true}, `""`: {false, true}, `[]`: {false, true}, `{}`: {false, true}, "[ \n]": {false, true}, "{\t}": {false, true},
		`"null"`: {}, `" "`: {}, `"a"`: {}, `[""]`: {}, `[null]`: {}, `[[]]`: {}, `{"":null}`: {}, `0`: {}, `false`: {}, `true`: {}, `-1`: {}, `"\u0000"`: {},
		`"`: {}, `[`: {}, `{`: {}, // not values at all, and no panic
	} {
		require.Equal(t, want.null, strictjson.IsNull([]byte(in)), in)
		require.Equal(t, want.empty, strictjson.IsEmpty([]byte(in)), in)
	}
}

// req: R7519-05
// attacks: TIM-001, TIM-002, TIM-004, TIM-005, TIM-007, TIM-008, TIM-011, TIM-015, TIM-016, TIM-020, TIM-022, TIM-031, TIM-032, TIM-034, TIM-036, TIM-037
func TestNumericDate(t *testing.T) {
	for in, want := range map[string]time.Time{
		"0":                      time.Unix(0, 0),
		"0.0":                    time.Unix(0, 0),
		"0e0":                    time.Unix(0, 0),
		"0e5":                    time.Unix(0, 0),
		"0e999999999999999999":   time.Unix(0, 0),
		"0e-999999999999999999":  time.Unix(0, 0),
		"0.000e99999":            time.Unix(0, 0),
		"1":                      time.Unix(1, 0),
		"1700000000":             time.Unix(1700000000, 0),
		"1700000000.0":           time.Unix(1700000000, 0),
		"1700000000.5":           time.Unix(1700000000, 5e8),
		"1700000000.123456789":   time.Unix(1700000000, 123456789),
		"1700000000.1234567899":  time.Unix(1700000000, 123456789), // cut, not rounded
		"1700000000.9999999999":  time.Unix(1700000000, 999999999),
		"0.000000001":            time.Unix(0, 1),
		"0.0000000009":           time.Unix(0, 0),
		"1.7e9":                  time.Unix(1700000000, 0),
		"1.7E9":                  time.Unix(1700000000, 0),
		"1.7e+9":                 time.Unix(1700000000, 0),
		"17e8":                   time.Unix(1700000000, 0),
		"17e+0008":               time.Unix(1700000000, 0),
		"1.70000000012e9":        time.Unix(1700000000, 12e7),
		"17000000005e-1":         time.Unix(1700000000, 5e8),
		"1700000000000000000e-9": time.Unix(1700000000, 0),
		"5e-9":                   time.Unix(0, 5),
		"5e-10":                  time.Unix(0, 0),
		"12345e-12":              time.Unix(0, 12),
		"0.00000000017e19":       time.Unix(1700000000, 0),
		"253402300799":           time.Unix(253402300799, 0),
		"253402300799.9":         time.Unix(253402300799, 9e8), // still the last second
		"2.53402300799e11":       time.Unix(253402300799, 0),
		"9007199254740993e-7":    time.Unix(900719925, 474099300),
		"0." + strings.Repeat("0", 50_000) + "17e50010": time.Unix(1700000000, 0),
		"17" + strings.Repeat("0", 50_000) + "e-49992":  time.Unix(1700000000, 0),
	} {
		require.True(t, json.Valid([]byte(in)))
		got, err := strictjson.NumericDate([]byte(in))
		require.NoError(t, err, in)
		require.Equal(t, want.UTC(), got, in)
	}
	for _, in := range []string{
		"", "null", "true", "false", `""`, `"1700000000"`, `"abc"`, "[]", "[1700000000]", "{}",
		"-1", "-0", "-0.0", "-1e3", "-1700000000", "-5e-10", "-0e0",
		"253402300800", "2534023007990", "1e12", "253402300799e1", "2.534023008e11", "9e18", "9223372036854775807", "9223372036854775808",
		"18446744073709551616", "18446744075409551616", // 2^64, 2^64 + 17e8
		"1e300", "1e308", "1e309", "1e400", "1e2147483648", "1e4294967296", "1e4294967305", "1e9223372036854775808", "1e18446744073709551625", "1e999999999999999999999999",
		"1.7e99999999999", "1" + strings.Repeat("0", 20_000),
		"NaN", "Infinity", "+1", ".5", "1e", "1e+", "1e-", "1ee1", "1e1e1", "1e1.0", "1x", "1_000", "1,5", "0x10", "１",
	} {
		got, err := strictjson.NumericDate([]byte(in))
		require.Error(t, err, in)
		require.True(t, got.IsZero(), in)
	}
}

// slowDate is NumericDate in exact arithmetic.
func slowDate(number string) (sec, nsec int64, ok bool) {
	// big.Rat would compute 10^exponent: beyond these the answer is known.
	mantissa, exponent, found := strings.Cut(strings.ToLower(number), "e")
	if found {
		e, err := strconv.ParseInt(exponent, 10, 64)
		zeros := !strings.ContainsAny(mantissa, "123456789")
		switch {
		case number[0] == '-':
			return 0, 0, false
		case zeros:
			return 0, 0, true
		case err != nil && exponent[0] == '-', err == nil && e < -100_000:
			return 0, 0, true // shorter mantissas than that in these tests
		case err != nil, e > 100_000:
			return 0, 0, false
		}
	}
	r, valid := new(big.Rat).SetString(number)
	if !valid || number[0] == '-' {
		return 0, 0, false
	}
	nanos := new(big.Int).Mul(r.Num(), big.NewInt(1e9))
	nanos.Quo(nanos, r.Denom())
	s, n := new(big.Int).QuoRem(nanos, big.NewInt(1e9), new(big.Int))
	if s.Cmp(big.NewInt(253402300799)) > 0 {
		return 0, 0, false
	}
	return s.Int64(), n.Int64(), true
}

func checkDate(t *testing.T, number string) {
	t.Helper()
	got, err := strictjson.NumericDate([]byte(number))
	sec, nsec, ok := slowDate(number)
	if ok != (err == nil) {
		t.Fatalf("%s: %v", number, err)
	}
	if ok && (got.Unix() != sec || int64(got.Nanosecond()) != nsec || got.Location() != time.UTC) {
		t.Fatalf("%s: %v, not %d s %d ns", number, got, sec, nsec)
	}
	if !ok && !got.IsZero() {
		t.Fatalf("%s: a time beside the error", number)
	}
}

func TestNumericDateAgainstRat(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "00123456789"[r.IntN(11)]
		}
		return string(b)
	}
	for range 20_000 {
		whole := strings.TrimLeft(digits(r.IntN(16)), "0")
		if whole == "" {
			whole = "0"
		}
		number := whole
		if r.IntN(2) == 0 {
			number += "." + digits(1+r.IntN(14))
		}
		if r.IntN(2) == 0 {
			number += string("eE"[r.IntN(2)]) + []string{"", "+", "-"}[r.IntN(3)] + digits(r.IntN(3)) + strconv.Itoa(r.IntN(22))
		}
		if !json.Valid([]byte(number)) {
			t.Fatal(number)
		}
		checkDate(t, number)
	}
}

func FuzzNumericDate(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1700000000", "1.7e9", "253402300799", "253402300800", "1e400", "5e-10", "0.1e+11", "null", `"1"`, "1e", "01", "9e18"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := strictjson.NumericDate([]byte(in)) // never panics, whatever the bytes
		if err != nil && !got.IsZero() {
			t.Fatalf("%q: a time beside the error", in)
		}
		if len(in) > 2000 || !json.Valid([]byte(in)) || strings.TrimSpace(in) != in {
			return // only values of an Object are passed in
		}
		if in[0] != '-' && (in[0] < '0' || in[0] > '9') {
			if err == nil {
				t.Fatalf("%q is a date", in)
			}
			return
		}
		checkDate(t, in)
	})
}

// FuzzObject: what is accepted, encoding/json reads the same way, and none of
// its leniencies had to be used.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, ` {"a":{"b":[1,"x",null]}} `, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":1,"A":2}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}",
		"\ufeff{}", `{}x`, "{}\x00", `[]`, `null`, `{"a":01}`, `{"a":NaN}`, `{"a":[[[[]]]]}`, `{"a":1,}`, `{"s":1,"ſ":2}`, `{"\u00e9":"\ud83d\ude00"}`, `{"a":1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		seen := map[string]string{}
		var names []string
		err := strictjson.Object(data, func(name, value []byte) error {
			if _, again := seen[string(name)]; again {
				t.Fatalf("%q: %q twice", data, name) // even before an error: nobody may see the second
			}
			at := inside(data, value)
			if at < 0 || !bytes.Equal(data[at:at+len(value)], value) || cap(value) != len(value) {
				t.Fatalf("%q: the value of %q is no exact sub-slice", data, name)
			}
			seen[string(name)] = string(value)
			names = append(names, string(name))
			return nil
		})
		if !bytes.Equal(before, data) {
			t.Fatalf("%q was changed to %q", before, data)
		}
		var all any
		strictErr := strictjson.Unmarshal(data, &all)
		if err != nil {
			if strictErr == nil {
				t.Fatalf("%q: Object refuses, %v, and Unmarshal does not", data, err)
			}
			if all != nil {
				t.Fatalf("%q: Unmarshal left %v", data, all)
			}
			return
		}
		if !json.Valid(data) || !utf8.Valid(data) {
			t.Fatalf("%q is not JSON", data)
		}
		var std map[string]json.RawMessage
		if err := json.Unmarshal(data, &std); err != nil {
			t.Fatalf("%q: encoding/json refuses: %v", data, err)
		}
		if len(std) != len(seen) {
			t.Fatalf("%q: %d members, encoding/json has %d", data, len(seen), len(std))
		}
		for _, name := range names {
			if !utf8.ValidString(name) || string(std[name]) != seen[name] {
				t.Fatalf("%q: %q is %s, to encoding/json %s", data, name, seen[name], std[name])
			}
			value := []byte(seen[name])
			if s, err := strictjson.String(value); err == nil {
				var stdString string
				if json.Unmarshal(value, &stdString) != nil || stdString != s {
					t.Fatalf("%q: %q, to encoding/json %q", value, s, stdString)
				}
			}
			if list, err := strictjson.Strings(value); err == nil {
				var stdList []string
				if json.Unmarshal(value, &stdList) != nil || !slices.Equal(stdList, list) {
					t.Fatalf("%q: %q, to encoding/json %q", value, list, stdList)
				}
			}
			if value[0] == '{' {
				if err := strictjson.Object(value, func(_, _ []byte) error { return nil }); err != nil {
					t.Fatalf("%q: refused by itself: %v", value, err)
				}
			}
			if value[0] == '[' {
				n := 0
				if err := strictjson.Array(value, func([]byte) error { n++; return nil }); err != nil {
					t.Fatalf("%q: refused by itself: %v", value, err)
				}
				var stdArray []json.RawMessage
				if json.Unmarshal(value, &stdArray) != nil || len(stdArray) != n {
					t.Fatalf("%q: %d elements, to encoding/json %d", value, n, len(stdArray))
				}
			}
			_ = strictjson.IsEmpty(value)
			if strictjson.IsNull(value) != (seen[name] == "null") {
				t.Fatalf("%q: IsNull", value)
			}
			if len(value) < 1000 && '0' <= value[0] && value[0] <= '9' {
				sec, _, ok := slowDate(seen[name])
				if at, err := strictjson.NumericDate(value); (err == nil) != ok || ok && at.Unix() != sec {
					t.Fatalf("%q: %v, %v", value, at, err)
				}
			}
		}
	})
}

func TestMarshal(t *testing.T) {
	out, err := strictjson.Marshal(map[string]any{"b": 1, "a": []string{"x"}, "c": nil})
	require.NoError(t, err)
	require.Equal(t, `{"a":["x"],"b":1,"c":null}`, string(out))
	_, err = strictjson.Marshal("\xff")
	require.Error(t, err)
}

func TestUnmarshal(t *testing.T) {
	type target struct {
		A int            `json:"a"`
		B map[string]any `json:"b"`
	}
	var v target
	require.NoError(t, strictjson.Unmarshal([]byte(` {"a":1,"b":{"x":[1,{"y":null}]},"A":2} `), &v))
	require.Equal(t, target{1, map[string]any{"x": []any{1.0, map[string]any{"y": nil}}}}, v)

	// Every nil or wrong target is an error, and no panic.
	for name, bad := range map[string]any{"nil": nil, "value": v, "nil pointer": (*target)(nil), "map": map[string]any{}, "func": func() {}} {
		require.Error(t, strictjson.Unmarshal([]byte(`{"a":1}`), bad), name)
		require.Error(t, strictjson.Unmarshal([]byte(`[`), bad), name)
	}
	require.NoError(t, strictjson.Unmarshal([]byte(`{}`), &v)) // absent members stay
	require.Equal(t, 1, v.A)
	require.Error(t, strictjson.Unmarshal([]byte(`null`), &v)) // a null is no object
	require.Zero(t, v)
}

// A struct that the decoder cannot use is the caller's mistake, said plainly.
func TestUnmarshalBadStruct(t *testing.T) {
	field := func(name string) reflect.StructField {
		return reflect.StructField{Name: name, Type: reflect.TypeFor[int](), Tag: `json:"a"`}
	}
	v := reflect.New(reflect.StructOf([]reflect.StructField{field("A"), field("B")}))
	v.Elem().Field(0).SetInt(1)
	err := strictjson.Unmarshal([]byte(`{"a":3}`), v.Interface())
	require.ErrorContains(t, err, "conflict")
	require.True(t, v.Elem().IsZero())

	// A number is no duration: of what? encoding/json takes nanoseconds.
	var d struct {
		TTL time.Duration `json:"ttl"`
	}
	require.ErrorContains(t, strictjson.Unmarshal([]byte(`{"ttl":3}`), &d), "Duration")
	require.Zero(t, d)
}

// The data that Unmarshal decodes is not changed, and not kept by its result.
func TestUnmarshalCopies(t *testing.T) {
	data := []byte(`{"s":"text","raw":{"x":1},"any":["y"]}`)
	var v struct {
		S   string          `json:"s"`
		Raw json.RawMessage `json:"raw"`
		Any any             `json:"any"`
	}
	require.NoError(t, strictjson.Unmarshal(data, &v))
	for i := range data {
		data[i] = 'X'
	}
	require.Equal(t, "text", v.S)
	require.Equal(t, `{"x":1}`, string(v.Raw))
	require.Equal(t, []any{"y"}, v.Any)
}

// Shallow and ShallowArray are as strict as Object and Array but for duplicates below, and
// what is below is judged by whoever reads it.
func TestShallow(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		ok         bool
	}{
		{name: "nothing twice", data: `{"a":1,"b":[{"c":1}]}`, ok: true},
		{name: "twice below", data: `{"a":{"b":1,"b":2}}`, ok: true},
		{name: "twice below, in an array", data: `{"a":[{"b":1,"b":2}],"b":1}`, ok: true},
		{name: "twice", data: `{"a":1,"a":1}`},
		{name: "twice, escaped", data: `{"a":1,"\u0061":1}`},
		{name: "twice, the first one longer", data: `{"a":{"b":1},"a":2}`},
		{name: "another case", data: `{"a":1,"A":1}`, ok: true},
		{name: "trailing data", data: `{"a":1}{}`},
		{name: "an array", data: `[]`},
		{name: "bad UTF-8 below", data: "{\"a\":[\"\xff\"]}"},
		{name: "a lone surrogate below", data: `{"a":["\ud800"]}`},
		{name: "a comma too many", data: `{"a":[1,]}`},
		{name: "a byte order mark", data: "\ufeff{}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := strictjson.Shallow([]byte(tt.data), func(_, value []byte) error {
				if value[0] == '[' {
					return strictjson.ShallowArray(value, func([]byte) error { return nil })
				}
				return nil
			})
			require.Equal(t, tt.ok, err == nil, "%v", err)
			// The decoders are shared: the next reader is as strict as ever.
			require.Error(t, strictjson.Object([]byte(`{"a":{"b":1,"b":1}}`), func(_, _ []byte) error { return nil }))
			require.Error(t, strictjson.Array([]byte(`[{"b":1,"b":1}]`), func([]byte) error { return nil }))
		})
	}
	require.Error(t, strictjson.ShallowArray([]byte(`{}`), func([]byte) error { return nil }))
}
