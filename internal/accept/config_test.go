package accept_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/kit"
)

// requireMistake asserts that one mistake is named, with all of what it says, or none.
func requireMistake(t *testing.T, says string, wrong *mistake.List) {
	t.Helper()
	if says == "" {
		require.NoError(t, wrong.Err())
		return
	}
	require.ErrorContains(t, wrong.Err(), says)
	require.Equal(t, 1, strings.Count(wrong.Err().Error(), "x: "), "%v", wrong.Err())
}

func TestAlgorithms(t *testing.T) {
	for _, tt := range []struct {
		name        string
		named, want []string
		says        string
	}{
		{name: "none named", want: []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"}},
		{name: "none in a list", named: []string{}, want: []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"}},
		{name: "one", named: []string{"ES256"}, want: []string{"ES256"}},
		{name: "two", named: []string{"ES256", "RS256"}, want: []string{"ES256", "RS256"}},
		{name: "one that is none", named: []string{"HS256"}, says: `Algorithms: "HS256" is not accepted: use asymmetric signatures, of `},
	} {
		wrong := mistake.In("x")
		all := accept.Algorithms(&wrong, "Algorithms", tt.named)
		if tt.says == "" {
			require.ElementsMatch(t, tt.want, all, tt.name)
		}
		requireMistake(t, tt.says, &wrong)
	}
}

func TestMarks(t *testing.T) {
	wrong := mistake.In("x")
	named := []string{"nonce", "at_hash"}
	marks := accept.Marks(&wrong, named)
	requireMistake(t, "", &wrong)
	named[0] = "code"
	require.Equal(t, []string{"nonce", "at_hash"}, marks)
	accept.Marks(&wrong, []string{"nonce", "events"})
	requireMistake(t, `AllowMarks: "events" cannot be allowed: choose from at_hash, c_hash, s_hash, nonce, code`, &wrong)
}

func TestLeeway(t *testing.T) {
	const byDefault, most = 10 * time.Second, 5 * time.Minute
	for _, tt := range []struct {
		name   string
		leeway time.Duration
		none   bool
		want   time.Duration
		says   string
	}{
		{name: "nothing is said", want: byDefault},
		{name: "none", none: true},
		{name: "some", leeway: time.Second, want: time.Second},
		{name: "the most", leeway: most, want: most},
		{name: "more", leeway: most + 1, says: "Leeway is 5m0.000000001s, and more than 5m0s"},
		{name: "a number", leeway: 1, says: "Leeway is 1ns (a number without a unit counts nanoseconds"},
		{name: "negative", leeway: -1, says: "Leeway is -1ns, which is negative"},
		{name: "none, and some", leeway: time.Second, none: true, says: "Leeway and NoLeeway are both set"},
		{name: "none, and a number", leeway: 1, none: true, says: "Leeway and NoLeeway are both set"},
		{name: "none, and negative", leeway: -1, none: true, says: "Leeway and NoLeeway are both set"},
	} {
		wrong := mistake.In("x")
		got := accept.Leeway(&wrong, tt.leeway, tt.none, byDefault, most)
		requireMistake(t, tt.says, &wrong)
		if tt.says == "" {
			require.Equal(t, tt.want, got, tt.name)
		}
	}
}

// owned is a source that says whose its keys are.
type owned struct {
	jwks.Source
	issuer func() string
}

func (o owned) Issuer() string { return o.issuer() }

func TestSource(t *testing.T) {
	set := kit.NewSigner(t, "ES256", "k").Set(t)
	owner := func(issuer string) jwks.Source { return owned{set, func() string { return issuer }} }
	hooks := jwks.Hooks{Fetched: func(context.Context, jwks.FetchEvent) {}}
	for _, tt := range []struct {
		name     string
		field    string // Keys
		named    jwks.Source
		discover jwks.Config
		none     bool // there is no source
		says     string
	}{
		{name: "nothing", none: true},
		{name: "discovered", discover: jwks.Config{Issuer: kit.Issuer}},
		{name: "a URL alone", discover: jwks.Config{URL: "https://as.example.com/jwks"}},
		{name: "hooks for what is discovered", discover: jwks.Config{Issuer: kit.Issuer, Hooks: hooks}},
		{name: "an issuer that is no URL", discover: jwks.Config{Issuer: "as"}, none: true, says: "Issuer cannot be used to discover keys"},
		{name: "a URL that is none", discover: jwks.Config{Issuer: kit.Issuer, URL: "as"}, none: true, says: "KeysURL cannot be used"},
		{name: "metadata whose URL is none", discover: jwks.Config{Issuer: kit.Issuer, MetadataURL: "as"}, none: true, says: "MetadataURL cannot be used"},
		{name: "named", named: set},
		{name: "a nil one", named: (*jwks.Set)(nil), none: true, says: "Keys is a nil *jwks.Set"},
		{name: "named, and hooks", named: set, discover: jwks.Config{Hooks: hooks}, says: "Keys and KeyHooks are both set: the hooks are for the cache that is made without Keys;"},
		{name: "named in another field, and hooks", field: "AnswerKeys", named: set, discover: jwks.Config{Hooks: hooks}, says: "AnswerKeys and AnswerKeyHooks are both set"},
		{name: "of this issuer", named: owner(kit.Issuer)},
		{name: "of nobody", named: owner("")},
		{name: "of another issuer", named: owner("https://other.example.com"), says: `Keys belong to the issuer "https://other.example.com", not to Issuer`},
		{name: "of nobody knows whom", named: owned{set, func() string { panic("x") }}, says: "Keys cannot be used: its method Issuer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.field == "" {
				tt.field = "Keys"
			}
			wrong := mistake.In("x")
			source := accept.Source(&wrong, tt.field, tt.named, kit.Issuer, tt.discover)
			requireMistake(t, tt.says, &wrong)
			require.Equal(t, tt.none, source == nil)
			if tt.named != nil && !tt.none {
				require.IsType(t, tt.named, source)
			}
		})
	}
}
