package scope_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// isScopeToken is scope-token of RFC 6749 §3.3: 1*( %x21 / %x23-5B / %x5D-7E ).
func isScopeToken(s string) bool {
	for _, b := range []byte(s) {
		if b != 0x21 && (b < 0x23 || b > 0x5b) && (b < 0x5d || b > 0x7e) {
			return false
		}
	}
	return s != ""
}

// attacks: SCP-001, SCP-010, SCP-016
func TestParse(t *testing.T) {
	for in, want := range map[string][]string{
		"read":                       {"read"},
		"read write":                 {"read", "write"},
		"write read write read read": {"write", "read"},
		"Read read":                  {"Read", "read"},
		"*":                          {"*"},
		"https://a.example/x:y?z=1#": {"https://a.example/x:y?z=1#"},
		"a,b":                        {"a,b"}, // one name: a comma does not separate
		"! # [ ] ~":                  {"!", "#", "[", "]", "~"},
	} {
		s, err := scope.Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, s.Names(), in)
		require.Equal(t, len(want), s.Len())
		require.Equal(t, strings.Join(want, " "), s.String())
	}
	for name, in := range map[string]string{
		"empty":           "",
		"a space":         " ",
		"spaces":          "   ",
		"leading space":   " read",
		"trailing space":  "read ",
		"doubled space":   "read  write",
		"tab":             "read\twrite",
		"line feed":       "read\nwrite",
		"carriage return": "read\rwrite",
		"CRLF at the end": "read\r\n",
		"NBSP":            "\u00a0read",
		"wide space":      "read\u3000write",
		"zero width":      "re\u200bad",
		"BOM":             "\ufeffread",
		"NUL":             "read\x00",
		"double quote":    `"read"`,
		"backslash":       `re\ad`,
		"DEL":             "read\x7f",
		"not ASCII":       "lesén",
		"bad UTF-8":       "read\xff",
		"last of many":    "a b c d e f g h i j k l \"",
	} {
		s, err := scope.Parse(in)
		require.Error(t, err, name)
		require.Equal(t, scope.Set{}, s, name)
	}
}

// attacks: SCP-010
func TestEveryByte(t *testing.T) {
	for i := range 256 {
		b := string([]byte{byte(i)})
		for _, name := range []string{b, "a" + b, b + "a", "a" + b + "z"} {
			s, err := scope.Parse(name)
			switch {
			case name == "a z": // the separator
				require.NoError(t, err)
				require.Equal(t, []string{"a", "z"}, s.Names())
			case isScopeToken(name):
				require.NoError(t, err, "%q", name)
				require.Equal(t, []string{name}, s.Names())
			default:
				require.Error(t, err, "%q", name)
				require.Equal(t, scope.Set{}, s)
			}
			require.Equal(t, isScopeToken(name), scope.Of(name).Has(name), "%q", name)
			require.Equal(t, isScopeToken(name), scope.All(name).Err() == nil, "%q", name)
			require.Equal(t, isScopeToken(name), scope.Any(name).Err() == nil, "%q", name)
			require.Equal(t, isScopeToken(name), scope.All(name).SatisfiedBy(scope.Of(name)), "%q", name)
		}
	}
}

func TestIsZero(t *testing.T) {
	require.True(t, scope.Set{}.IsZero())
	failed, err := scope.Parse("")
	require.Error(t, err)
	require.True(t, failed.IsZero())
	for name, s := range map[string]scope.Set{"none": scope.Of(), "no valid name": scope.Of("", "a b"), "one": scope.Of("a"), "twice": scope.Of("a", "a")} {
		require.False(t, s.IsZero(), name)
	}
	require.Nil(t, scope.Of().Names())
	require.Zero(t, scope.Of().Len())
	require.Empty(t, scope.Of().String())
	require.Equal(t, scope.All("a").SatisfiedBy(scope.Set{}), scope.All("a").SatisfiedBy(scope.Of()))
}

func TestOf(t *testing.T) {
	require.Zero(t, scope.Of().Len())
	require.Equal(t, scope.Of(), scope.Of("", "a b", `"`))
	require.Equal(t, []string{"b", "a"}, scope.Of("b", "", "a", "b", "x y", "a").Names())

	names := []string{"a", "", "b", "a"}
	s := scope.Of(names...)
	require.Equal(t, []string{"a", "", "b", "a"}, names, "the caller's slice is its own")
	names[0] = "changed"
	require.Equal(t, []string{"a", "b"}, s.Names())
}

func TestZeroSet(t *testing.T) {
	var s scope.Set
	require.Zero(t, s.Len())
	require.Empty(t, s.Names())
	require.Empty(t, s.String())
	require.False(t, s.Has(""))
	require.False(t, s.Has("read"))
}

// Has compares byte for byte: no folding, no prefixes, no wildcards.
// attacks: SCP-017
func TestHas(t *testing.T) {
	many := make([]string, 0, 20)
	for i := range 18 {
		many = append(many, fmt.Sprintf("filler%d", i))
	}
	for _, s := range []scope.Set{scope.Of("read", "*", "orders:*", "a.b"), scope.Of(append(many, "read", "*", "orders:*", "a.b")...)} {
		require.True(t, s.Has("read"))
		require.True(t, s.Has("*"))
		for _, not := range []string{"", "Read", "READ", "rea", "readx", "read ", " read", "read write", "orders:read", "orders", "a", "aXb", "write", "\u017fread"} {
			require.False(t, s.Has(not), not)
		}
	}
}

// Has finds what a map would, few names and many.
func TestSetAgainstMap(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		names := make([]string, r.IntN(24))
		ref := map[string]bool{}
		var order []string
		for i := range names {
			names[i] = string([]byte{"abcdefghijklmn"[r.IntN(14)], "xy"[r.IntN(2)]})[:1+r.IntN(2)]
			if !ref[names[i]] {
				ref[names[i]] = true
				order = append(order, names[i])
			}
		}
		s := scope.Of(names...)
		require.Equal(t, len(ref), s.Len())
		require.Equal(t, order, s.Names())
		if len(names) > 0 {
			parsed, err := scope.Parse(strings.Join(names, " "))
			require.NoError(t, err)
			require.Equal(t, order, parsed.Names())
			require.Equal(t, s, parsed)
		}
		for c := 'a'; c <= 'p'; c++ {
			for _, name := range []string{string(c), string(c) + "x", string(c) + "y", string(c) + "xx", strings.ToUpper(string(c))} {
				require.Equal(t, ref[name], s.Has(name), "%q in %v", name, names)
			}
		}
		require.Equal(t, slices.Sorted(maps.Keys(ref)), slices.Sorted(slices.Values(s.Names())))
	}
}

// Among very many names each is found, and repeating them all changes nothing.
// It would take minutes if the work grew with the square of their number.
func TestSetWithManyNames(t *testing.T) {
	names := make([]string, 1<<17)
	for i := range names {
		names[i] = fmt.Sprintf("s%x", i)
	}
	s := scope.Of(names...)
	require.Equal(t, len(names), s.Len())
	require.Equal(t, names, scope.Of(slices.Concat(names, names)...).Names())
	for i := range names {
		if !s.Has(names[i]) {
			t.Fatalf("%s is in it", names[i])
		}
		for _, other := range []string{"S", "x", "y", "z"} {
			if s.Has(other + names[i]) {
				t.Fatalf("%s%s is not in it", other, names[i])
			}
		}
	}
}

// A name that is repeated leaves nothing behind.
func TestSetOfRepeatedNames(t *testing.T) {
	require.Equal(t, scope.Of("a"), scope.Of("a", "a"))
	for n := 1; n < 20; n++ {
		once := sized(n)
		var often []string
		for _, name := range once {
			often = append(often, slices.Repeat([]string{name}, 1+n*n%7*3)...)
		}
		require.Equal(t, scope.Of(once...), scope.Of(often...), n)
	}
}

func TestSetGivesCopies(t *testing.T) {
	for _, n := range []int{2, 8, 9, 20} {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("scope%02d", i)
		}
		s := scope.Of(names...)
		got := s.Names()
		got[0] = "changed"
		_ = append(s.Names()[:0], "changed")
		require.Equal(t, names, s.Names())
		require.True(t, s.Has("scope00"))
		require.False(t, s.Has("changed"))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", " ", "read", "read write", "a a", " a", "a ", "a  b", "a\tb", `a"`, `\`, "é", "a b c d e f g h i j", "\x7f", "!"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := scope.Parse(in)
		names := strings.Split(in, " ")
		valid := !slices.ContainsFunc(names, func(name string) bool { return !isScopeToken(name) })
		if valid != (err == nil) {
			t.Fatalf("%q: %v", in, err)
		}
		if err != nil {
			if s.Len() != 0 || s.Names() != nil || s.String() != "" {
				t.Fatalf("%q: a set beside the error: %q", in, s)
			}
			return
		}
		again, err := scope.Parse(s.String())
		if err != nil || !slices.Equal(again.Names(), s.Names()) || again.String() != s.String() {
			t.Fatalf("%q: %q does not come back: %q, %v", in, s, again, err)
		}
		distinct := map[string]bool{}
		for _, name := range names {
			distinct[name] = true
			if !s.Has(name) {
				t.Fatalf("%q: %q is not in it", in, name)
			}
		}
		if len(distinct) != s.Len() {
			t.Fatalf("%q: %d names, not %d", in, s.Len(), len(distinct))
		}
		if len(distinct) == len(names) && s.String() != in {
			t.Fatalf("%q comes back as %q", in, s)
		}
		if !scope.All(names...).SatisfiedBy(s) || !scope.Any(names...).SatisfiedBy(s) {
			t.Fatalf("%q does not satisfy itself", in)
		}
	})
}
