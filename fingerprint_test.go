package bearergate_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Every field of Claims that a Token keeps changes the fingerprint, those that are added
// later included: reflect lists them.
func TestFingerprint(t *testing.T) {
	base := func() bearergate.Claims {
		return bearergate.Claims{Issuer: "https://as.example.com", Subject: "alice", Audience: []string{"a", "b"}, Roles: []string{"r"}, Scopes: scope.Of("read"),
			ExpiresAt: time.Unix(2000000000, 0), Actors: []bearergate.Actor{{Subject: "s", Issuer: "i", ClientID: "c"}},
			Confirmation: map[string][]byte{"jkt": []byte(`"x"`)}, Raw: []byte(`{"sub":"alice"}`)}
	}
	want := bearergate.NewToken(base()).Fingerprint()
	require.Equal(t, want, bearergate.NewToken(base()).Fingerprint(), "of what it says, and not of where it stands")
	seen := map[[32]byte]string{want: "as it was"}
	add := func(name string, token *bearergate.Token) {
		sum := token.Fingerprint()
		require.Equal(t, sum, token.Fingerprint(), name)
		require.NotContains(t, seen, sum, "%s is as %s", name, seen[sum])
		seen[sum] = name
	}

	other := map[reflect.Type]any{
		reflect.TypeFor[string](): "other", reflect.TypeFor[[]string](): []string{"other"}, reflect.TypeFor[scope.Set](): scope.Of("other"),
		reflect.TypeFor[time.Time](): time.Unix(1900000000, 1), reflect.TypeFor[[]bearergate.Actor](): []bearergate.Actor{{Subject: "other"}},
		reflect.TypeFor[map[string][]byte](): map[string][]byte{"jkt": []byte(`"other"`)}, reflect.TypeFor[bool](): true,
		reflect.TypeFor[[32]byte](): [32]byte{1}, reflect.TypeFor[[]byte](): []byte(`{"sub":"alice" }`),
	}
	fields := reflect.TypeFor[bearergate.Claims]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		if name == "Missing" { // NewToken does not keep it
			continue
		}
		c := base()
		field := reflect.ValueOf(&c).Elem().Field(i)
		require.Contains(t, other, field.Type(), name)
		field.Set(reflect.ValueOf(other[field.Type()]))
		add(name, bearergate.NewToken(c))
	}

	edited := func(name string, change func(*bearergate.Claims)) {
		c := base()
		change(&c)
		add(name, bearergate.NewToken(c))
	}
	edited("one audience instead of two", func(c *bearergate.Claims) { c.Audience = []string{"ab"} })
	edited("no audience", func(c *bearergate.Claims) { c.Audience = nil })
	edited("an audience is a role", func(c *bearergate.Claims) { c.Audience, c.Roles = []string{"a"}, []string{"b", "r"} })
	edited("a subject is a client", func(c *bearergate.Claims) { c.Subject, c.ClientID = "", "alice" })
	edited("no scope claim", func(c *bearergate.Claims) { c.Scopes = scope.Set{} })
	edited("an empty scope claim", func(c *bearergate.Claims) { c.Scopes = scope.Of() })
	edited("an empty cnf", func(c *bearergate.Claims) { c.Confirmation = map[string][]byte{} })
	edited("no cnf", func(c *bearergate.Claims) { c.Confirmation = nil })
	edited("no actor", func(c *bearergate.Claims) { c.Actors = nil })
	edited("an empty act chain", func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{} })
	edited("an empty audience", func(c *bearergate.Claims) { c.Audience = []string{} }) // null and [] are two things to an engine
	edited("no roles", func(c *bearergate.Claims) { c.Roles = nil })
	edited("empty roles", func(c *bearergate.Claims) { c.Roles = []string{} })
	edited("32 bits of seconds later", func(c *bearergate.Claims) { c.ExpiresAt = time.Unix(2000000000+1<<32, 0) })
	edited("two actors", func(c *bearergate.Claims) { c.Actors = append(c.Actors, bearergate.Actor{}) })
	edited("no claims object", func(c *bearergate.Claims) { c.Raw = nil })
	edited("an empty claims object", func(c *bearergate.Claims) { c.Raw = []byte{} })
	edited("long claims", func(c *bearergate.Claims) { c.Raw = []byte(strings.Repeat(" ", 5000)) })
	add("nothing", &bearergate.Token{})
	add("no claims", bearergate.NewToken(bearergate.Claims{}))
	require.Equal(t, (*bearergate.Token)(nil).Fingerprint(), new(bearergate.Token).Fingerprint())

	bound := bearergate.NewToken(base())
	proven, _, err := bearergate.Authenticate(t.Context(), bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return bound, nil }),
		bearergate.Call{Credentials: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret("x")}}, confirms{})
	require.NoError(t, err)
	add("proven", proven)
	add("refused", new(bearergate.Error).WithRefused(bound).Refused)
}

// confirms is a Binding that believes everybody.
type confirms struct{}

func (confirms) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (confirms) Members() []string            { return []string{"jkt"} }
func (confirms) Challenge() map[string]string { return nil }
func (confirms) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, nil
}

func BenchmarkFingerprint(b *testing.B) {
	token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Subject: "alice", Audience: []string{"a"}, Scopes: scope.Of("read", "write"),
		Raw: []byte(strings.Repeat(" ", 1024))})
	b.ReportAllocs()
	for b.Loop() {
		token.Fingerprint()
	}
}
