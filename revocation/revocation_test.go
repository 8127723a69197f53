package revocation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

const issuer = "https://as.example.com"

// claims are those of a token that was issued now and lives for half an hour.
func claims() bearergate.Claims {
	now := time.Now().Truncate(time.Second)
	return bearergate.Claims{
		Issuer: issuer, ID: "t1", Subject: "alice", SessionID: "s1", ClientID: "shop", Tenant: "acme", Key: [32]byte{1},
		IssuedAt: now, AsOf: now, ExpiresAt: now.Add(30 * time.Minute),
	}
}

// token is one with claims changed.
func token(change func(*bearergate.Claims)) *bearergate.Token {
	c := claims()
	if change != nil {
		change(&c)
	}
	return bearergate.NewToken(c)
}

// issued is one of that time.
func issued(at time.Time) *bearergate.Token {
	return token(func(c *bearergate.Claims) { c.IssuedAt, c.AsOf, c.ExpiresAt = at, at, at.Add(30*time.Minute) })
}

func newList(t testing.TB, change func(*revocation.Config)) *revocation.List {
	t.Helper()
	c := revocation.Config{MaxTokenLife: time.Hour}
	if change != nil {
		change(&c)
	}
	l, err := revocation.New(c)
	require.NoError(t, err)
	return l
}

func requireRevoked(t testing.TB, err error) {
	t.Helper()
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonRevoked)
}

// A token is refused by an Entry that says the same in all that it says, and by no other.
//
// req: R9700-04
// W2-190.
func TestMatching(t *testing.T) {
	all := revocation.Entry{Issuer: issuer, TokenID: "t1", Subject: "alice", Session: "s1", Client: "shop", Tenant: "acme", Key: [32]byte{1}}
	only := func(keep func(e, all *revocation.Entry)) revocation.Entry {
		e := revocation.Entry{Issuer: issuer}
		keep(&e, &all)
		return e
	}
	for name, e := range map[string]revocation.Entry{
		"issuer":                        {Issuer: issuer},
		"token":                         only(func(e, all *revocation.Entry) { e.TokenID = all.TokenID }),
		"subject":                       only(func(e, all *revocation.Entry) { e.Subject = all.Subject }),
		"session":                       only(func(e, all *revocation.Entry) { e.Session = all.Session }),
		"client":                        only(func(e, all *revocation.Entry) { e.Client = all.Client }),
		"tenant":                        only(func(e, all *revocation.Entry) { e.Tenant = all.Tenant }),
		"key":                           only(func(e, all *revocation.Entry) { e.Key = all.Key }),
		"subject and client":            only(func(e, all *revocation.Entry) { e.Subject, e.Client = all.Subject, all.Client }),
		"session, subject and the rest": all,
	} {
		t.Run(name, func(t *testing.T) {
			l := newList(t, nil)
			require.NoError(t, l.Check(t.Context(), token(nil)))
			require.NoError(t, l.Add(t.Context(), e))
			requireRevoked(t, l.Check(t.Context(), token(nil)))
			for member, change := range map[string]struct {
				is     bool // the Entry says something of it
				change func(*bearergate.Claims, string)
			}{
				"issuer":  {true, func(c *bearergate.Claims, to string) { c.Issuer = to }},
				"token":   {e.TokenID != "", func(c *bearergate.Claims, to string) { c.ID = to }},
				"subject": {e.Subject != "", func(c *bearergate.Claims, to string) { c.Subject = to }},
				"session": {e.Session != "", func(c *bearergate.Claims, to string) { c.SessionID = to }},
				"client":  {e.Client != "", func(c *bearergate.Claims, to string) { c.ClientID = to }},
				"tenant":  {e.Tenant != "", func(c *bearergate.Claims, to string) { c.Tenant = to }},
				"key":     {e.Key != [32]byte{}, func(c *bearergate.Claims, to string) { c.Key = [32]byte{byte(len(to))} }},
			} {
				for _, to := range []string{"", "other", issuer + "/", "alice ", "ALICE", strings.Repeat("s", 300)} {
					err := l.Check(t.Context(), token(func(c *bearergate.Claims) { change.change(c, to) }))
					if change.is {
						require.NoError(t, err, "%s %q", member, to)
					} else {
						requireRevoked(t, err)
					}
				}
			}
			require.NoError(t, l.Lift(t.Context(), e))
			require.NoError(t, l.Check(t.Context(), token(nil)))
		})
	}
}

// What refuses says by what, and whose Entry it is, and nothing of the token.
func TestRefusal(t *testing.T) {
	var events []revocation.RefusedEvent
	l := newList(t, func(c *revocation.Config) {
		c.Hooks.Refused = func(_ context.Context, e revocation.RefusedEvent) { events = append(events, e) }
	})
	require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "alice", Client: "shop", Source: "admin"}))
	err := l.Check(t.Context(), token(nil))
	requireRevoked(t, err)
	require.Equal(t, "revocation: an entry of admin by subject+client revokes it", bearergate.AsError(err).Detail)
	require.Equal(t, []revocation.RefusedEvent{{Issuer: issuer, Source: "admin", By: "subject+client"}}, events)
	require.NotContains(t, err.Error(), "alice")

	unnamed := newList(t, nil)
	require.NoError(t, unnamed.Add(t.Context(), revocation.Entry{Issuer: issuer, Session: "s1"}))
	err = unnamed.Check(t.Context(), token(nil))
	requireRevoked(t, err)
	require.Equal(t, "revocation: an entry by session revokes it", bearergate.AsError(err).Detail)
}

// Hooks are told by what an Entry revokes, in words that fit for metrics.
func TestBy(t *testing.T) {
	for by, e := range map[string]revocation.Entry{
		"issuer":         {},
		"token_id":       {TokenID: "t1"},
		"subject":        {Subject: "alice"},
		"session":        {Session: "s1"},
		"client":         {Client: "shop"},
		"tenant":         {Tenant: "acme"},
		"key":            {Key: [32]byte{1}},
		"subject+client": {Subject: "alice", Client: "shop"},
		"token_id+subject+session+client+tenant+key": {TokenID: "t1", Subject: "alice", Session: "s1", Client: "shop", Tenant: "acme", Key: [32]byte{1}},
	} {
		var events []string
		l := newList(t, func(c *revocation.Config) {
			c.Hooks.Changed = func(_ context.Context, e revocation.ChangeEvent) { events = append(events, "changed "+e.By) }
			c.Hooks.Refused = func(_ context.Context, e revocation.RefusedEvent) { events = append(events, "refused "+e.By) }
		})
		e.Issuer = issuer
		require.NoError(t, l.Add(t.Context(), e))
		requireRevoked(t, l.Check(t.Context(), token(nil)))
		require.Equal(t, []string{"changed " + by, "refused " + by}, events)
	}
}

// A cut-off refuses what was issued up to its moment; what names a token, a session or a
// key refuses whatever the token says of its time.
//
// W2-191, W2-192.
func TestCutOffs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, tc := range map[string]struct {
			entry  revocation.Entry
			last   time.Duration // of iat, from now, that is refused; the next second is not
			always bool
		}{
			"a user, at a time":    {entry: revocation.Entry{Subject: "alice", Before: now.Add(-time.Minute)}, last: -time.Minute},
			"a user, now":          {entry: revocation.Entry{Subject: "alice"}, last: revocation.ClockSkew},
			"a client, at a time":  {entry: revocation.Entry{Client: "shop", Before: now}, last: 0},
			"a tenant, now":        {entry: revocation.Entry{Tenant: "acme"}, last: revocation.ClockSkew},
			"an issuer, at a time": {entry: revocation.Entry{Before: now.Add(-time.Hour)}, last: -time.Hour},
			"an issuer, now":       {entry: revocation.Entry{}, last: revocation.ClockSkew},
			// Further ago than nanoseconds can say; it must not become some other time.
			"a user, before clocks": {entry: revocation.Entry{Subject: "alice", Before: time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), Until: now.Add(time.Hour)}, last: time.Unix(0, 0).Sub(now)},
			"a token":               {entry: revocation.Entry{TokenID: "t1", Before: now.Add(-time.Hour)}, always: true},
			"a session":             {entry: revocation.Entry{Session: "s1", Subject: "alice", Before: now.Add(-time.Hour)}, always: true},
			"a key":                 {entry: revocation.Entry{Key: [32]byte{1}, Before: now.Add(-time.Hour)}, always: true},
		} {
			l := newList(t, func(c *revocation.Config) { c.MaxTokenLife = 24 * time.Hour })
			tc.entry.Issuer = issuer
			require.NoError(t, l.Add(t.Context(), tc.entry), name)
			for _, at := range []time.Duration{-2 * time.Hour, -time.Hour, -time.Minute - time.Second, -time.Minute, -time.Second, 0, time.Second, 5 * time.Second} {
				for _, at := range []time.Duration{at, tc.last, tc.last + time.Second} {
					err := l.Check(t.Context(), issued(now.Add(at)))
					if tc.always || at <= tc.last {
						requireRevoked(t, err)
					} else {
						require.NoError(t, err, "%s: %v", name, at)
					}
				}
			}
			err := l.Check(t.Context(), token(func(c *bearergate.Claims) { c.AsOf, c.IssuedAt = time.Time{}, time.Time{} }))
			requireRevoked(t, err)
		}
	})
}

// That the authorization server still says active, after a cut-off, does not make a token new
// that says when it was issued. Of one that does not, its answer is all that is known.
func TestCutOffOfOpaqueTokens(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newList(t, nil)
		now := time.Now()
		opaque := func(iat, asOf time.Time) *bearergate.Token {
			return token(func(c *bearergate.Claims) { c.IssuedAt, c.AsOf, c.ExpiresAt = iat, asOf, now.Add(30*time.Minute) })
		}
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "alice", Before: now}))
		requireRevoked(t, l.Check(t.Context(), opaque(now.Add(-time.Minute), now.Add(time.Second))))
		requireRevoked(t, l.Check(t.Context(), opaque(now.Add(time.Second), now)))
		requireRevoked(t, l.Check(t.Context(), opaque(time.Time{}, now)))
		require.NoError(t, l.Check(t.Context(), opaque(time.Time{}, now.Add(time.Second))))
		require.NoError(t, l.Check(t.Context(), opaque(now.Add(time.Second), now.Add(2*time.Second))))
		require.NoError(t, l.Check(t.Context(), opaque(now.Add(time.Second), time.Time{})))
	})
}

// An Entry is remembered until the last token that it is about has ended, with all leeway,
// and then forgotten.
//
// W2-197.
func TestUntil(t *testing.T) {
	for name, tc := range map[string]struct {
		entry         revocation.Entry
		before, until time.Duration // from now; 0: not set
		want          time.Duration
	}{
		"a token":                    {entry: revocation.Entry{TokenID: "t1"}, want: time.Hour},
		"a token, until later":       {entry: revocation.Entry{TokenID: "t1"}, until: 2 * time.Hour, want: 2 * time.Hour},
		"a token, until too early":   {entry: revocation.Entry{TokenID: "t1"}, until: time.Minute, want: time.Hour},
		"a session of an hour ago":   {entry: revocation.Entry{Session: "s1"}, before: -time.Hour, want: time.Hour},
		"a user":                     {entry: revocation.Entry{Subject: "alice"}, want: time.Hour + revocation.ClockSkew},
		"a user, half an hour ago":   {entry: revocation.Entry{Subject: "alice"}, before: -30 * time.Minute, want: 30 * time.Minute},
		"a key":                      {entry: revocation.Entry{Key: [32]byte{1}}, want: revocation.KeyLife},
		"a key, until a little more": {entry: revocation.Entry{Key: [32]byte{1}}, until: revocation.KeyLife + time.Hour, want: revocation.KeyLife + time.Hour},
	} {
		bubble.Test(t, func(t *testing.T) {
			l, now := newList(t, nil), time.Now()
			e := tc.entry
			e.Issuer = issuer
			if tc.before != 0 {
				e.Before = now.Add(tc.before)
			}
			if tc.until != 0 {
				e.Until = now.Add(tc.until)
			}
			require.NoError(t, l.Add(t.Context(), e), name)
			until := slices.Collect(l.All())[0].Until
			require.Equal(t, tc.want, until.Sub(now), name)
			old := issued(now.Add(-30 * time.Minute))
			look := func(at time.Time) error {
				time.Sleep(time.Until(at))
				// A change takes out what has ended.
				require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: "https://other.example.com", TokenID: name, Until: now.Add(2 * revocation.KeyLife)}))
				return l.Check(t.Context(), old)
			}
			requireRevoked(t, look(until.Add(time.Second)))
			requireRevoked(t, look(until.Add(2*revocation.MaxLeeway-time.Nanosecond)))
			require.Equal(t, 2, l.Status().Entries, name)
			require.NoError(t, look(until.Add(2*revocation.MaxLeeway)), name)
			require.Equal(t, 1, l.Status().Entries, name)
		})
	}
}

// Where the last Entry of a kind has ended, those of other kinds go on.
func TestTheLastOfAKindEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newList(t, nil)
		later := time.Now().Add(24 * time.Hour)
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "bob"}, revocation.Entry{Issuer: issuer, TokenID: "t1", Until: later}, revocation.Entry{Issuer: issuer, Session: "s2", Until: later}))
		time.Sleep(2 * time.Hour)
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Client: "other"}), "which takes out what has ended")
		require.Equal(t, 3, l.Status().Entries)
		requireRevoked(t, l.Check(t.Context(), token(nil)))
		requireRevoked(t, l.Check(t.Context(), token(func(c *bearergate.Claims) { c.ID, c.SessionID = "t2", "s2" })))
		require.Empty(t, l.Sound())
	})
}

// Where one Entry has ended, another that says as much of its token goes on.
func TestOneOfAKindEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newList(t, nil)
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t0"}, revocation.Entry{Issuer: issuer, TokenID: "t1", Until: time.Now().Add(24 * time.Hour)}))
		time.Sleep(2 * time.Hour)
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Client: "other"}), "which takes out what has ended")
		require.Equal(t, 2, l.Status().Entries)
		requireRevoked(t, l.Check(t.Context(), token(nil)))
		require.Empty(t, l.Sound())
	})
}

// A token whose iat is ahead by all of a verifier's leeway is refused as long as that accepts
// it.
func TestUntilOfATokenFromAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newList(t, nil)
		iat := time.Now().Add(revocation.MaxLeeway)
		of := token(func(c *bearergate.Claims) { c.IssuedAt, c.AsOf, c.ExpiresAt = iat, iat, iat.Add(time.Hour) })
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t1"}))
		time.Sleep(time.Until(of.ExpiresAt().Add(revocation.MaxLeeway - time.Second)))
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t2"}), "which takes out what has ended")
		requireRevoked(t, l.Check(t.Context(), of))
	})
}

// A token that outlives what is remembered of it is refused: it would come back to life.
// W2-197.
func TestMaxTokenLife(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		change func(*bearergate.Claims)
		want   bool
	}{
		"an hour":              {func(c *bearergate.Claims) { c.ExpiresAt = c.IssuedAt.Add(time.Hour) }, true},
		"an hour and a second": {func(c *bearergate.Claims) { c.ExpiresAt = c.IssuedAt.Add(time.Hour + time.Second) }, false},
		"no exp":               {func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} }, false},
		"no iat":               {func(c *bearergate.Claims) { c.IssuedAt, c.AsOf = time.Time{}, time.Time{} }, false},
		"exp before iat":       {func(c *bearergate.Claims) { c.ExpiresAt = c.IssuedAt.Add(-time.Second) }, true},
		"an answer, no iat":    {func(c *bearergate.Claims) { c.IssuedAt, c.AsOf = time.Time{}, now; c.ExpiresAt = now.Add(time.Hour) }, true},
		"an answer, no iat, and too long": {func(c *bearergate.Claims) {
			c.IssuedAt, c.AsOf = time.Time{}, now
			c.ExpiresAt = now.Add(2 * time.Hour)
		}, false},
		"an answer of now, an old iat": {func(c *bearergate.Claims) {
			c.IssuedAt, c.AsOf = now.Add(-2*time.Hour), now
			c.ExpiresAt = now.Add(time.Minute)
		}, false},
		"an answer of now, a late iat": {func(c *bearergate.Claims) {
			c.IssuedAt, c.AsOf = now.Add(10*time.Minute), now
			c.ExpiresAt = now.Add(65 * time.Minute)
		}, false},
		"a verifier that knows iat alone": {func(c *bearergate.Claims) { c.AsOf = time.Time{} }, true},
		"an answer of now, iat in a moment": {func(c *bearergate.Claims) {
			c.IssuedAt, c.AsOf = now.Add(time.Second), now
			c.ExpiresAt = now.Add(time.Hour)
		}, true},
	} {
		err := newList(t, nil).Check(t.Context(), token(tc.change))
		if tc.want {
			require.NoError(t, err, name)
		} else {
			kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
		}
	}
}

// What cannot be is refused, all of it at once, and nothing of it counts.
func TestAddRefuses(t *testing.T) {
	good := revocation.Entry{Issuer: issuer, Subject: "bob"}
	for name, tc := range map[string]struct {
		change func(*revocation.Entry)
		want   string
	}{
		"no issuer":             {func(e *revocation.Entry) { e.Issuer = "" }, "Issuer is empty"},
		"a cut-off of tomorrow": {func(e *revocation.Entry) { e.Before = time.Now().Add(24 * time.Hour) }, "Before is more than 5m0s in the future"},
		"a session of tomorrow": {func(e *revocation.Entry) { e.Session, e.Before = "s", time.Now().Add(24*time.Hour) }, "Before is more than 5m0s in the future"},
		"for ever":              {func(e *revocation.Entry) { e.Until = time.Now().Add(revocation.MaxUntil + time.Hour) }, "Until is more than"},
		"a long value":          {func(e *revocation.Entry) { e.Subject = strings.Repeat("x", revocation.MaxValueBytes+1) }, "Subject has 1025 bytes"},
		"long values": {func(e *revocation.Entry) {
			long := strings.Repeat("x", revocation.MaxValueBytes)
			e.Subject, e.Client, e.Tenant = long, long, long
		}, "the values have 3094 bytes"},
		"long values, by one": {func(e *revocation.Entry) {
			long := strings.Repeat("x", revocation.MaxValueBytes)
			e.Subject, e.Client, e.Tenant = long, long, long[:3073-2*len(long)-len(issuer)]
		}, "the values have 3073 bytes"},
		"a long source":        {func(e *revocation.Entry) { e.Source = strings.Repeat("x", 65) }, "Source has 65 bytes"},
		"an odd source":        {func(e *revocation.Entry) { e.Source = "a b" }, "Source has a character"},
		"a source in capitals": {func(e *revocation.Entry) { e.Source = "Admin" }, "Source has a character"},
	} {
		l := newList(t, nil)
		e := good
		tc.change(&e)
		err := l.Add(t.Context(), good, e)
		kit.RequireError(t, err, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
		require.ErrorContains(t, err, "entry 1: "+tc.want, name)
		require.Zero(t, l.Status().Entries, name)
	}
	err := newList(t, nil).Add(t.Context(), revocation.Entry{}, revocation.Entry{Source: "!"})
	for _, want := range []string{"entry 0: Issuer", "entry 1: Issuer", "entry 1: Source"} {
		require.ErrorContains(t, err, want)
	}
	many := slices.Repeat([]revocation.Entry{good}, 10_001)
	kit.RequireError(t, newList(t, nil).Add(t.Context(), many...), bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
	require.NoError(t, newList(t, nil).Add(t.Context(), many[1:]...))
	require.ErrorContains(t, newList(t, nil).Add(t.Context(), revocation.Entry{}), "revocation: Issuer is empty")
	require.NoError(t, newList(t, nil).Add(t.Context()))
	long := strings.Repeat("x", revocation.MaxValueBytes)
	require.NoError(t, newList(t, nil).Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: long, Client: long, Tenant: long[:3072-2*len(long)-len(issuer)]}))
	require.NoError(t, newList(t, nil).Add(t.Context(), revocation.Entry{Issuer: issuer, Before: time.Now().Add(4 * time.Second)}), "a clock that is a little ahead")
}

// Two entries with the same values are one, which refuses what either does.
func TestEntriesAreMerged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newList(t, nil)
		now := time.Now()
		cut := func(at, until time.Duration) revocation.Entry {
			return revocation.Entry{Issuer: issuer, Subject: "alice", Before: now.Add(at), Until: now.Add(until), Source: "a"}
		}
		require.NoError(t, l.Add(t.Context(), cut(-time.Minute, 3*time.Hour), cut(-time.Hour, 5*time.Hour)))
		other := cut(-2*time.Hour, time.Hour)
		other.Source = "b"
		require.NoError(t, l.Add(t.Context(), other))
		want := cut(-time.Minute, 5*time.Hour)
		got := slices.Collect(l.All())
		require.Len(t, got, 1)
		require.True(t, got[0].Before.Equal(want.Before) && got[0].Until.Equal(want.Until), "%+v", got[0])
		require.Equal(t, "a", got[0].Source)
		requireRevoked(t, l.Check(t.Context(), issued(now.Add(-time.Minute))))
		require.NoError(t, l.Check(t.Context(), issued(now)))
	})
}

// Lift is the one way back, and only for what is there.
func TestLift(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var changes []string
		l := newList(t, func(c *revocation.Config) {
			c.Hooks.Changed = func(_ context.Context, e revocation.ChangeEvent) {
				require.True(t, e.Own)
				changes = append(changes, map[bool]string{true: "lifted ", false: "added "}[e.Lifted]+e.By+" "+e.Entry.Subject+" "+e.Entry.Source)
			}
		})
		alice, client := revocation.Entry{Issuer: issuer, Subject: "alice", Source: "admin"}, revocation.Entry{Issuer: issuer, Client: "shop"}
		kit.RequireError(t, l.Lift(t.Context(), alice), bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
		require.NoError(t, l.Add(t.Context(), alice, client))
		require.NoError(t, l.Lift(t.Context(), revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Now().Add(time.Hour), Source: "?"}), "the values count alone")
		requireRevoked(t, l.Check(t.Context(), token(nil))) // by the client
		require.NoError(t, l.Lift(t.Context(), client))
		require.NoError(t, l.Check(t.Context(), token(nil)))
		kit.RequireError(t, l.Lift(t.Context(), alice), bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
		s := l.Status()
		require.Equal(t, [2]int{0, 2}, [2]int{s.Entries, s.Lifted})
		require.Empty(t, slices.Collect(l.All()))
		require.NoError(t, l.Add(t.Context(), alice), "and again, in the same moment")
		requireRevoked(t, l.Check(t.Context(), token(nil)))
		require.Equal(t, []string{"added subject alice admin", "added client  ", "lifted subject alice admin", "lifted client  ", "added subject alice admin"}, changes)
		require.Equal(t, 1, l.Status().Lifted)
		time.Sleep(2 * time.Hour)
		require.NoError(t, l.Add(t.Context(), client))
		require.Zero(t, l.Status().Lifted, "what was lifted ends too")
	})
}

// A full List refuses its feeder, with nothing half done, and forgets nothing.
func TestFull(t *testing.T) {
	l := newList(t, func(c *revocation.Config) { c.MaxEntries, c.PerSource = 4, 3 })
	entry := func(source, subject string) revocation.Entry {
		return revocation.Entry{Issuer: issuer, Subject: subject, Source: source}
	}
	require.NoError(t, l.Add(t.Context(), entry("mad", "1"), entry("mad", "2"), entry("mad", "3")))
	err := l.Add(t.Context(), entry("good", "4"), entry("mad", "5"))
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	require.ErrorContains(t, err, "PerSource: mad")
	require.Equal(t, 3, l.Status().Entries)
	require.NoError(t, l.Add(t.Context(), entry("good", "4"), entry("mad", "1"), entry("good", "2"), entry("good", "4")), "what is there takes no room")
	err = l.Add(t.Context(), entry("good", "5"))
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	require.ErrorContains(t, err, "MaxEntries")
	require.Equal(t, map[string]int{"mad": 3, "good": 1}, l.Status().Sources)
	require.Zero(t, l.Status().Unlogged, "there is no log")
	require.NoError(t, l.Lift(t.Context(), entry("", "1")), "what was lifted keeps its place")
	kit.RequireError(t, l.Add(t.Context(), entry("good", "5")), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	require.NoError(t, l.Check(t.Context(), token(nil)), "a list that is full of its own knows all that there is")
	again := newList(t, func(c *revocation.Config) { c.MaxEntries, c.PerSource = 4, 3 })
	require.NoError(t, again.Add(t.Context(), slices.Repeat([]revocation.Entry{entry("mad", "1")}, 5)...), "one Entry, however often it is told")
}

// A source has a third of the List, unless that is set.
func TestPerSource(t *testing.T) {
	l := newList(t, func(c *revocation.Config) { c.MaxEntries = 8 })
	for i, want := range []bool{true, true, false} {
		err := l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: fmt.Sprint(i)})
		require.Equal(t, want, err == nil, "%d: %v", i, err)
	}
	few := newList(t, func(c *revocation.Config) { c.MaxEntries = 5 })
	require.NoError(t, few.Add(t.Context(), revocation.Entry{Issuer: issuer}))
	err := few.Add(t.Context(), alice())
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	require.ErrorContains(t, err, "PerSource: the one without a name")
	one := newList(t, func(c *revocation.Config) { c.MaxEntries = 1 })
	require.NoError(t, one.Add(t.Context(), revocation.Entry{Issuer: issuer}))
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		c    revocation.Config
		want []string
	}{
		"nothing":         {revocation.Config{}, []string{"MaxTokenLife is not set"}},
		"a bare number":   {revocation.Config{MaxTokenLife: 3600}, []string{"MaxTokenLife"}},
		"everything":      {revocation.Config{MaxTokenLife: -1, MaxEntries: -1, PerSource: -1, MaxLag: time.Second, InsecureFailOpen: true}, []string{"MaxTokenLife", "MaxEntries", "PerSource", "MaxLag", "InsecureFailOpen"}},
		"more per source": {revocation.Config{MaxTokenLife: time.Hour, MaxEntries: 10, PerSource: 11}, []string{"PerSource"}},
		"more than one":   {revocation.Config{MaxTokenLife: time.Hour, MaxEntries: 1, PerSource: 2}, []string{"PerSource"}},
		"a nil log":       {revocation.Config{MaxTokenLife: time.Hour, Log: (*kit.Log)(nil)}, []string{"Log is a nil pointer"}},
	} {
		_, err := revocation.New(tc.c)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		for _, want := range tc.want {
			require.ErrorContains(t, err, "revocation: "+want, name)
		}
	}
	_, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, MaxEntries: -1, PerSource: 1})
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.NotContains(t, err.Error(), "PerSource is", "which is right, for the least that MaxEntries may be")
}

// The bounds of a Config belong to what it may be.
func TestBounds(t *testing.T) {
	hour := func(change func(*revocation.Config)) revocation.Config {
		c := revocation.Config{MaxTokenLife: time.Hour, Log: new(kit.Log)}
		change(&c)
		return c
	}
	for name, tc := range map[string]struct{ least, less, most, more revocation.Config }{
		"MaxTokenLife": {
			least: hour(func(c *revocation.Config) { c.MaxTokenLife = time.Second }), less: hour(func(c *revocation.Config) { c.MaxTokenLife = time.Second - 1 }),
			most: hour(func(c *revocation.Config) { c.MaxTokenLife = revocation.KeyLife }), more: hour(func(c *revocation.Config) { c.MaxTokenLife = revocation.KeyLife + 1 }),
		},
		"MaxEntries": {
			least: hour(func(c *revocation.Config) { c.MaxEntries = 1 }), less: hour(func(c *revocation.Config) { c.MaxEntries = -1 }),
			most: hour(func(c *revocation.Config) { c.MaxEntries = 10_000_000 }), more: hour(func(c *revocation.Config) { c.MaxEntries = 10_000_001 }),
		},
		"PerSource": {
			least: hour(func(c *revocation.Config) { c.PerSource = 1 }), less: hour(func(c *revocation.Config) { c.PerSource = -1 }),
			most: hour(func(c *revocation.Config) { c.MaxEntries, c.PerSource = 7, 7 }), more: hour(func(c *revocation.Config) { c.MaxEntries, c.PerSource = 7, 8 }),
		},
		"MaxLag": {
			least: hour(func(c *revocation.Config) { c.MaxLag = 10 * time.Second }), less: hour(func(c *revocation.Config) { c.MaxLag = 10*time.Second - 1 }),
			most: hour(func(c *revocation.Config) { c.MaxLag = time.Hour }), more: hour(func(c *revocation.Config) { c.MaxLag = time.Hour + 1 }),
		},
	} {
		for _, good := range []revocation.Config{tc.least, tc.most} {
			_, err := revocation.New(good)
			require.NoError(t, err, name)
		}
		for _, bad := range []revocation.Config{tc.less, tc.more} {
			_, err := revocation.New(bad)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, "revocation: "+name)
		}
	}
}

func TestHooks(t *testing.T) { kit.EachHook(t, revocation.JoinHooks) }

func TestDefaults(t *testing.T) {
	require.Equal(t, 200_000, revocation.DefaultMaxEntries)
	require.Equal(t, 30*time.Second, revocation.DefaultMaxLag)
	require.Equal(t, 5*time.Second, revocation.ClockSkew)
	require.Equal(t, 5*time.Minute, revocation.MaxLeeway)
	require.Equal(t, 365*24*time.Hour, revocation.KeyLife)
	require.Equal(t, 10*revocation.KeyLife, revocation.MaxUntil)
	require.Equal(t, 1024, revocation.MaxValueBytes)
}
