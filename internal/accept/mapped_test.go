package accept_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// full has a value in every field, so that no change of one goes unseen.
func full(t *testing.T) bearergate.Claims {
	t.Helper()
	c := bearergate.Claims{Issuer: "i", Subject: "s", ClientID: "c", ID: "j", Audience: []string{"a", "b"}, Scopes: scope.Of("read"),
		Roles: []string{"clerk"}, Tenant: "t", ExpiresAt: time.Unix(4, 0), IssuedAt: time.Unix(2, 0), NotBefore: time.Unix(1, 0), AuthTime: time.Unix(3, 0), ACR: "1",
		Actors: []bearergate.Actor{{Subject: "x"}}, Confirmation: map[string][]byte{"jkt": []byte(`"k"`)}, Stale: true, Missing: []string{"a.path"}, Raw: []byte(`{"iss":"i"}`)}
	fields := reflect.ValueOf(&c).Elem()
	for i := range fields.NumField() {
		if field := fields.Field(i); field.IsZero() { // one that is newer than this test
			require.True(t, fill(field), "give %s a value here", fields.Type().Field(i).Name)
		}
	}
	return c
}

func fill(field reflect.Value) bool {
	switch field.Interface().(type) {
	case string:
		field.SetString("x")
	case time.Time:
		field.Set(reflect.ValueOf(time.Unix(9, 0)))
	case bool:
		field.SetBool(true)
	default:
		if field.Kind() != reflect.Array {
			return false
		}
		field.Index(0).SetUint(1)
	}
	return true
}

// A Map changes what is its to change.
func TestMapped(t *testing.T) {
	claims := full(t)
	want := full(t)
	want.Scopes, want.Roles, want.Tenant, want.ClientID, want.ACR = scope.Of("write"), []string{"boss"}, "t2", "c2", "2"
	var kept *bearergate.Claims
	require.NoError(t, accept.Mapped(&claims, func(c *bearergate.Claims) error {
		require.Equal(t, full(t), *c, "it sees all that was read")
		c.Scopes, c.Roles[0], c.Tenant, c.ClientID, c.ACR = scope.Of("write"), "boss", "t2", "c2", "2"
		c.ExpiresAt = c.ExpiresAt.UTC() // the same moment
		kept = c
		return nil
	}))
	require.Equal(t, want, claims)
	kept.Roles[0], kept.Confirmation["jkt"][1], kept.Raw[2], kept.Audience[0] = "later", 'z', 'z', "later"
	require.Equal(t, want, claims, "what it kept is not ours")
	session := reflect.ValueOf(&claims).Elem().FieldByName("SessionID")
	if session.IsValid() {
		require.NoError(t, accept.Mapped(&claims, func(c *bearergate.Claims) error {
			reflect.ValueOf(c).Elem().FieldByName("SessionID").SetString("sid-2")
			return nil
		}))
		require.Equal(t, "sid-2", session.String())
	}
}

// Every other change, in whatever way, is a fault of the configuration that names the
// field, and changes nothing.
func TestMappedMayNotChangeTheRest(t *testing.T) {
	changes := map[string][]func(*bearergate.Claims){
		"Issuer":       {func(c *bearergate.Claims) { c.Issuer = "" }, func(c *bearergate.Claims) { c.Issuer = "i2" }},
		"Subject":      {func(c *bearergate.Claims) { c.Subject = "admin" }},
		"ID":           {func(c *bearergate.Claims) { c.ID = "" }},
		"Audience":     {func(c *bearergate.Claims) { c.Audience = nil }, func(c *bearergate.Claims) { c.Audience[1] = "z" }, func(c *bearergate.Claims) { c.Audience = append(c.Audience, "z") }},
		"ExpiresAt":    {func(c *bearergate.Claims) { c.ExpiresAt = c.ExpiresAt.Add(1) }, func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} }},
		"IssuedAt":     {func(c *bearergate.Claims) { c.IssuedAt = time.Now() }},
		"NotBefore":    {func(c *bearergate.Claims) { c.NotBefore = time.Time{} }},
		"AuthTime":     {func(c *bearergate.Claims) { c.AuthTime = time.Now() }},
		"Actors":       {func(c *bearergate.Claims) { c.Actors = nil }, func(c *bearergate.Claims) { c.Actors[0].Subject = "z" }},
		"Confirmation": {func(c *bearergate.Claims) { c.Confirmation = nil }, func(c *bearergate.Claims) { delete(c.Confirmation, "jkt") }, func(c *bearergate.Claims) { c.Confirmation["jkt"][1] = 'z' }, func(c *bearergate.Claims) { c.Confirmation["x"] = []byte(`1`) }},
		"Stale":        {func(c *bearergate.Claims) { c.Stale = false }},
		"Raw":          {func(c *bearergate.Claims) { c.Raw = nil }, func(c *bearergate.Claims) { c.Raw[2] = 'z' }},
	}
	may := []string{"Scopes", "Roles", "Tenant", "ClientID", "SessionID", "ACR", "Missing"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[bearergate.Claims]()) {
		if slices.Contains(may, field.Name) {
			continue
		}
		tried := append(changes[field.Name], func(c *bearergate.Claims) { reflect.ValueOf(c).Elem().FieldByIndex(field.Index).SetZero() })
		for _, change := range tried {
			claims := full(t)
			err := accept.Mapped(&claims, func(c *bearergate.Claims) error { c.Tenant, c.Missing[0] = "t2", "x"; change(c); return nil })
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
			require.Contains(t, bearergate.AsError(err).Detail, "Map has changed "+field.Name+",")
			require.Equal(t, full(t), claims)
		}
	}
	for name := range changes {
		_, exists := reflect.TypeFor[bearergate.Claims]().FieldByName(name)
		require.True(t, exists, name)
	}
	bare := bearergate.Claims{}
	for _, change := range []func(*bearergate.Claims){
		func(c *bearergate.Claims) { c.Confirmation = map[string][]byte{} }, // bound to nothing is not unbound
		func(c *bearergate.Claims) { c.Audience = []string{} },
	} {
		require.ErrorIs(t, accept.Mapped(&bare, func(c *bearergate.Claims) error { change(c); return nil }), bearergate.ErrMisconfigured)
		require.Equal(t, bearergate.Claims{}, bare)
	}
}

// What a Map says of its search is bounded, for it may be told in events, and kept where it
// refuses the token too: whoever explains that needs it most.
func TestMappedMissing(t *testing.T) {
	var many, most []string
	for i := range 20 {
		many = append(many, "p"+strconv.Itoa(i))
		if i < 16 {
			most = append(most, "p"+strconv.Itoa(i))
		}
	}
	for _, tt := range []struct {
		name        string
		given, kept []string
	}{
		{name: "nothing"},
		{name: "a path", given: []string{"a.b"}, kept: []string{"a.b"}},
		{name: "twice", given: []string{"a", "b", "a"}, kept: []string{"a", "b"}},
		{name: "no name", given: []string{"", "a"}, kept: []string{"a"}},
		{name: "too many", given: many, kept: most},
		{name: "a long one", given: []string{strings.Repeat("x", 1<<20)}, kept: []string{strings.Repeat("x", 256) + "…"}},
		{name: "as long as may be", given: []string{strings.Repeat("x", 256)}, kept: []string{strings.Repeat("x", 256)}},
		{name: "one that forges a line", given: []string{"a\noutcome=accepted"}, kept: []string{`"a\noutcome=accepted"`}},
	} {
		for _, refused := range []error{nil, bearergate.ErrInvalidToken} {
			t.Run(tt.name, func(t *testing.T) {
				claims := bearergate.Claims{Missing: []string{"from before"}}
				err := accept.Mapped(&claims, func(c *bearergate.Claims) error { c.Missing = tt.given; return refused })
				require.ErrorIs(t, err, refused)
				require.Equal(t, tt.kept, claims.Missing)
				require.Nil(t, bearergate.NewToken(claims).With(func(c *bearergate.Claims) { require.Nil(t, c.Missing) }).Scopes().Names())
			})
		}
	}
}

// Told is a path that none of the first 100 tokens had, and once more after 1,000; nothing
// else, ever.
func TestUnmapped(t *testing.T) {
	always := func(paths ...string) func(int) []string { return func(int) []string { return paths } }
	type told struct {
		path   string
		tokens int
	}
	for _, tt := range []struct {
		name    string
		missing func(token int) []string // counted from 1
		told    []told
	}{
		{name: "nothing is missing", missing: always()},
		{name: "a path", missing: always("a"), told: []told{{"a", 100}, {"a", 1000}}},
		{name: "two", missing: always("a", "b"), told: []told{{"a", 100}, {"b", 100}, {"a", 1000}, {"b", 1000}}},
		{name: "the first token has it", missing: func(n int) []string { return []string{"a", "b"}[min(n-1, 1):] }, told: []told{{"b", 100}, {"b", 1000}}},
		{name: "the first token has all", missing: func(n int) []string { return []string{"a"}[:min(n-1, 1)] }},
		{name: "the hundredth token has it", missing: func(n int) []string {
			if n == 100 {
				return nil
			}
			return []string{"a"}
		}},
		{name: "the hundred and first token has it", missing: func(n int) []string {
			if n == 101 {
				return nil
			}
			return []string{"a"}
		}, told: []told{{"a", 100}}},
		{name: "another path in every token", missing: func(n int) []string { return []string{strconv.Itoa(n)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u accept.Unmapped
			var got []told
			for n := range 20_000 {
				never, tokens := u.Note(tt.missing(n + 1))
				require.Equal(t, len(never) == 0, tokens == 0)
				for _, path := range never {
					require.Equal(t, n+1, tokens)
					got = append(got, told{path, tokens})
				}
			}
			require.Equal(t, tt.told, got)
		})
	}
	never, tokens := (*accept.Unmapped)(nil).Note([]string{"a"})
	require.Zero(t, len(never)+tokens, "nobody listens")

	// By many at once, it is told as often.
	var u accept.Unmapped
	var count atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				never, _ := u.Note([]string{"a"})
				count.Add(int64(len(never)))
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 2, count.Load())
	require.Zero(t, testing.AllocsPerRun(100, func() { u.Note([]string{"a"}) }), "then it costs nothing")
}

// An error of a Map is judged as that of every function of the user's.
func TestMappedErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func() error
		kind   error
		reason bearergate.Reason
	}{
		{name: "an error of its own", do: func() error { return errors.New("no department") }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "a refusal", do: func() error {
			return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonTenant}
		}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonTenant},
		{name: "forbidden", do: func() error { return bearergate.ErrForbidden }, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		{name: "a question it may not ask", do: func() error { return &net.DNSError{} }, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "a context of its own", do: func() error { return context.Canceled }, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "a panic", do: func() error { panic("s3cret") }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := full(t)
			err := accept.Mapped(&claims, func(c *bearergate.Claims) error {
				c.Scopes, c.Confirmation = scope.Of("admin"), nil
				return tt.do()
			})
			kit.RequireError(t, err, tt.kind, tt.reason)
			require.NotContains(t, err.Error(), "s3cret")
			require.Equal(t, full(t), claims)
		})
	}
}

// Claims that quote their token: a Map's error keeps what is of a closed set.
func TestMappedWithholdsWords(t *testing.T) {
	said := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Second, Detail: "j", Expected: "j", Found: "j", Scopes: []string{"j"}, Cause: errors.New("j")}
	for _, tt := range []struct {
		name       string
		unquotable bool
		withheld   bool
	}{
		{name: "quoted", unquotable: true, withheld: true},
		{name: "not quoted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := full(t)
			claims.Unquotable = tt.unquotable
			err := accept.Mapped(&claims, func(*bearergate.Claims) error { return said })
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
			if !tt.withheld {
				require.Equal(t, error(said), err)
				return
			}
			e := bearergate.AsError(err)
			require.Equal(t, time.Second, e.RetryAfter)
			require.Contains(t, e.Cause.Error(), "what Map says is not told")
			e.Cause = nil
			require.Equal(t, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Second}, e)
		})
	}
}
