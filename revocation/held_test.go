package revocation_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// Entries with one hash are told apart by what they say.
func TestCollisions(t *testing.T) {
	long := strings.Repeat("x", 300)
	entries := []revocation.Entry{
		{Issuer: issuer},
		{Issuer: issuer + "/"},
		{Issuer: issuer, Subject: "a"},
		{Issuer: issuer, Client: "a"},
		{Issuer: issuer, Subject: "b"},
		{Issuer: issuer, Subject: "a", Client: "b"},
		{Issuer: issuer, Subject: "ab", Client: "c"},
		{Issuer: issuer, Subject: "a", Client: "bc"},
		{Issuer: issuer, Subject: long},
		{Issuer: issuer, Subject: long[:128]},
		{Issuer: issuer, Subject: long[:127]},
		{Issuer: issuer, Key: [32]byte{1}},
		{Issuer: issuer, Key: [32]byte{31: 1}},
		{Issuer: issuer, TokenID: "a", Subject: "a", Session: "a", Client: "a", Tenant: "a", Key: [32]byte{1}},
	}
	c := revocation.NewColliding(entries...)
	for i, e := range entries {
		require.Equal(t, i, c.Find(e))
	}
	for _, e := range []revocation.Entry{
		{Issuer: "other"}, {Issuer: issuer, Tenant: "a"}, {Issuer: issuer, Subject: "c"}, {Issuer: issuer, Subject: "ab"},
		{Issuer: issuer, Subject: long[:299]}, {Issuer: issuer, Subject: long + "x"}, {Issuer: issuer, Key: [32]byte{2}},
		{Issuer: issuer, TokenID: "a", Subject: "a", Session: "a", Client: "a", Tenant: "b", Key: [32]byte{1}},
	} {
		require.Equal(t, -1, c.Find(e))
	}
	for _, i := range []int{3, 0, len(entries) - 1, 5} { // in the middle, the last of the chain, the first
		c.Drop(i)
		require.Equal(t, -1, c.Find(entries[i]))
	}
	for _, i := range []int{1, 2, 4, 6, 7, 8, 9, 10, 11, 12} {
		require.Equal(t, i, c.Find(entries[i]))
	}
}

// A clock that is set, forth or back, ends nothing early.
func TestClockIsSet(t *testing.T) {
	added := clock.At(time.Now())
	until := added.Wall.Add(time.Hour)
	at := func(wall, mono time.Duration) clock.Instant {
		return clock.Instant{Wall: added.Wall.Add(wall), Mono: added.Mono.Add(mono)}
	}
	require.False(t, revocation.HasEnded(until, at(2*time.Hour, time.Minute), added), "set forth")
	require.False(t, revocation.HasEnded(until, at(-time.Hour, 2*time.Hour), added), "set back")
	require.False(t, revocation.HasEnded(until, at(time.Hour-1, time.Hour), added))
	require.False(t, revocation.HasEnded(until, at(time.Hour, time.Hour-1), added))
	require.True(t, revocation.HasEnded(until, at(time.Hour, time.Hour), added))
	require.False(t, revocation.HasEnded(until, at(time.Hour, 45*time.Minute), added, at(30*time.Minute, 0)), "set forth, and added again")
}

// Nothing in the log is read as what nobody would write.
//
// W2-203.
func TestMalformedRecords(t *testing.T) {
	good := revocation.Encoded(revocation.Entry{Issuer: "i", Subject: "alice", Key: [32]byte{1}, Before: time.Unix(1, 0), Until: time.Unix(2, 0), Source: "a"}, false)
	_, ok := revocation.Reencoded(good)
	require.True(t, ok)
	_, ok = revocation.Reencoded(revocation.Encoded(revocation.Entry{Issuer: "i", Subject: "alice", Before: time.Unix(1, 0), Until: time.Unix(2, 0), Source: strings.Repeat("a", 64)}, false))
	require.True(t, ok, "what looks like a key is none")
	values := len(good) - (1 + 1 + 1 + 1 + 5 + 32 + 1 + 1) // where the mask stands
	require.Equal(t, byte(2|32), good[values])
	change := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	set := func(at int, to byte) []byte {
		return change(func(b []byte) []byte { b[at] = to; return b })
	}
	for name, bad := range map[string][]byte{
		"no operation":        set(0, 0),
		"another operation":   set(0, 3),
		"a mask with more":    set(values, 2|32|1),
		"a mask with less":    set(values, 32),
		"a bit that is none":  set(values, 2|32|64),
		"a long text":         set(values+1, 100),
		"no issuer":           change(func(b []byte) []byte { b[values+1] = 0; return append(b[:values+2], b[values+3:]...) }),
		"an empty subject":    change(func(b []byte) []byte { b[values+3] = 0; return append(b[:values+4], b[values+9:]...) }),
		"a zero key":          set(values+9, 0),
		"a source in capital": set(len(good)-1, 'A'),
		"a length that could be shorter": change(func(b []byte) []byte {
			return append(append(append([]byte(nil), b[:values+1]...), 0x81, 0), b[values+2:]...)
		}),
		"a time that could be shorter": change(func(b []byte) []byte { return append([]byte{b[0], 0x82, 0}, b[2:]...) }),
		"more":                         append(append([]byte(nil), good...), 0),
		"only a key":                   append([]byte{1, 0, 0, 0, 32, 1, 'i'}, make([]byte, 10)...),
	} {
		_, ok := revocation.Reencoded(bad)
		require.False(t, ok, name)
	}
	for n := range good {
		_, ok := revocation.Reencoded(good[:n])
		require.False(t, ok, n)
	}
}

// Sources are words of a few characters.
func TestSources(t *testing.T) {
	for c := range 256 {
		err := newList(t, nil).Add(t.Context(), revocation.Entry{Issuer: issuer, Source: string([]byte{byte(c)})})
		require.Equal(t, strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", rune(c)) && c < 128, err == nil, "%q", c)
	}
	require.NoError(t, newList(t, nil).Add(t.Context(), revocation.Entry{Issuer: issuer, Source: strings.Repeat("x", 64), Subject: strings.Repeat("x", revocation.MaxValueBytes)}))
}

// Before of an Entry for which it does not count is kept for whoever looks at it.
func TestBeforeIsKept(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		at := time.Now().Add(-time.Hour)
		l := newList(t, nil)
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Session: "s", Before: at}, revocation.Entry{Issuer: issuer, TokenID: "t"}))
		for _, e := range slices.Collect(l.All()) {
			if e.Session != "" {
				require.True(t, e.Before.Equal(at))
			} else {
				require.True(t, e.Before.Equal(time.Now()))
			}
		}
		for e := range l.All() {
			require.NotEmpty(t, e.Issuer)
			break
		}
	})
}

// The times of an Entry are those of the wall clock alone, which other machines have too.
func TestTimesOfAnEntry(t *testing.T) { // in no bubble, where clocks have no monotonic reading
	var told []revocation.Entry
	l := newList(t, func(c *revocation.Config) {
		c.Hooks.Changed = func(_ context.Context, e revocation.ChangeEvent) { told = append(told, e.Entry) }
	})
	now := time.Now()
	require.NotEqual(t, now, now.Round(0))
	require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Before: now, Until: now.Add(2 * time.Hour)}))
	require.Equal(t, []revocation.Entry{{Issuer: issuer, Before: now.Round(0), Until: now.Add(2 * time.Hour).Round(0)}}, told)
}

// All goes through everything, some at a time, while it changes.
func TestAll(t *testing.T) {
	l := newList(t, func(c *revocation.Config) { c.PerSource = revocation.DefaultMaxEntries })
	for i := range 1000 {
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: strconv.Itoa(i)}))
	}
	require.NoError(t, l.Lift(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "500"}))
	seen := map[string]bool{}
	for e := range l.All() {
		require.False(t, seen[e.TokenID])
		seen[e.TokenID] = true
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: e.TokenID, Until: time.Now().Add(24 * time.Hour)}))
	}
	require.Len(t, seen, 999)
	require.NotContains(t, seen, "500")
}

// Whoever goes through all holds up requests for 256 entries at a time: what is lifted or ends
// meanwhile is left out from the next ones on.
func TestAllLooksAtAFewAtATime(t *testing.T) {
	for name, meanwhile := range map[string]func(*revocation.List, []revocation.Entry) error{
		"lifted": func(l *revocation.List, all []revocation.Entry) error {
			for _, e := range all {
				if err := l.Lift(t.Context(), e); err != nil {
					return err
				}
			}
			return nil
		},
		"ended": func(l *revocation.List, all []revocation.Entry) error {
			time.Sleep(2 * time.Hour)
			return l.Add(t.Context(), all...) // which takes out what has ended
		},
	} {
		bubble.Test(t, func(t *testing.T) {
			entries := func(name string) (all []revocation.Entry) {
				for i := range 600 {
					all = append(all, revocation.Entry{Issuer: issuer, TokenID: name + strconv.Itoa(i)})
				}
				return all
			}
			l := newList(t, nil)
			old := entries("old")
			require.NoError(t, l.Add(t.Context(), old...))
			changed := old
			if name == "ended" {
				changed = entries("new")
			}
			n := 0
			for range l.All() {
				if n++; n == 1 {
					require.NoError(t, meanwhile(l, changed))
				}
			}
			require.Equal(t, 256, n, name)
		})
	}
}

// What the log is not known to have stands before what it has, in whatever order it comes.
func TestTheUnmetComeFirst(t *testing.T) {
	entry := func(id string) revocation.Entry { return revocation.Entry{Issuer: issuer, TokenID: id} }
	alone := newList(t, nil)
	for _, id := range []string{"a", "b"} {
		require.NoError(t, alone.Add(t.Context(), entry(id)))
		require.Empty(t, alone.Sound())
	}
	log := new(kit.Log)
	l := newList(t, func(c *revocation.Config) { c.Log = log })
	require.NoError(t, l.Warm(t.Context()))
	require.NoError(t, l.Add(t.Context(), entry("a"), entry("b")))
	require.Empty(t, l.Sound())
	log.Fault(failing("Append"))
	require.Error(t, l.Add(t.Context(), entry("c"), entry("d")))
	require.Empty(t, l.Sound())
	require.Error(t, l.Lift(t.Context(), entry("b")))
	require.Empty(t, l.Sound())
}

// What has ended is taken out a little at a time, so that no request waits for much of it:
// 32 by a change, or twice as many as it brings, and 10,000 by a turn of Run.
func TestSweeping(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		entries := func(name string, n int) (all []revocation.Entry) {
			for i := range n {
				all = append(all, revocation.Entry{Issuer: issuer, TokenID: name + strconv.Itoa(i), Until: time.Now().Add(time.Hour)})
			}
			return all
		}
		l := newList(t, func(c *revocation.Config) { c.PerSource = revocation.DefaultMaxEntries })
		for _, name := range []string{"a", "b", "c"} {
			require.NoError(t, l.Add(t.Context(), entries(name, 7000)...))
		}
		time.Sleep(2 * time.Hour)
		require.NoError(t, l.Add(t.Context(), entries("one", 1)...))
		require.Equal(t, 21_000-32+1, l.Status().Entries)
		require.NoError(t, l.Add(t.Context(), entries("some", 16)...))
		require.Equal(t, 21_000-64+17, l.Status().Entries)
		require.NoError(t, l.Add(t.Context(), entries("many", 17)...))
		require.Equal(t, 21_000-98+34, l.Status().Entries)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		for _, left := range []int{20_936, 10_936, 936, 34, 34} {
			synctest.Wait()
			require.Equal(t, left, l.Status().Entries)
			time.Sleep(5 * time.Second)
		}
		cancel()
		require.NoError(t, <-ended)
	})
}

// Explain of a Guard has a step of its own, and says what to do.
func TestExplain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		of, log := token(nil), new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		v := l.Guard(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return of, nil }))
		explained := func(reason bearergate.Reason, advice string) {
			t.Helper()
			e := bearergate.Explain(t.Context(), v, "token")
			require.Equal(t, reason, bearergate.ReasonOf(e.Err))
			failed, ok := e.Failed()
			require.Equal(t, reason != "", ok)
			if ok {
				require.Equal(t, "revocation", failed.Name)
				require.Len(t, e.Advice, 1)
				require.Contains(t, e.Advice[0], advice)
				require.Nil(t, e.Token)
			} else {
				require.Same(t, of, e.Token)
				require.Len(t, e.Steps, 2)
				require.Empty(t, e.Advice)
				require.Equal(t, v, e.By)
			}
		}
		explained(bearergate.ReasonStoreUnavailable, "Log")
		require.NoError(t, l.Warm(t.Context()))
		explained("", "")
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t1"}))
		explained(bearergate.ReasonRevoked, "Lift")
		of = token(func(c *bearergate.Claims) { c.ID, c.ExpiresAt = "t2", time.Time{} })
		explained(bearergate.ReasonPolicy, "MaxTokenLife")
		v = l.Guard(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		}))
		inactive := bearergate.Explain(t.Context(), v, "token")
		require.Equal(t, bearergate.ReasonInactive, bearergate.ReasonOf(inactive.Err))
		require.Len(t, inactive.Steps, 1, "the list is not asked")
		require.Empty(t, inactive.Advice)

		open := newList(t, func(c *revocation.Config) { c.Log, c.InsecureFailOpen = new(kit.Log), true })
		of = token(nil)
		e := bearergate.Explain(t.Context(), open.Guard(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return of, nil })), "token")
		require.NoError(t, e.Err)
		require.True(t, e.Token.Stale())
	})
}

// Keys of other issuers are left alone, and so are all when an Entry is lifted. A server
// that is down is asked a few times, less and less often, and never by two at once.
func TestRefetch(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t, authtest.WithAudience(audience))
		var events []error
		var times []time.Duration
		start := time.Now()
		hooks := revocation.Hooks{Refetched: func(_ context.Context, e revocation.RefetchEvent) {
			events, times = append(events, e.Err), append(times, time.Since(start))
		}}
		list := newList(t, func(c *revocation.Config) { c.Hooks = hooks })
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{audience}, HTTPClient: as.Client(), Check: list.Check})
		require.NoError(t, err)
		list.Watch(v.Keys())
		key := func(n byte) revocation.Entry { return revocation.Entry{Issuer: as.Issuer(), Key: [32]byte{n}} }
		other := key(1)
		other.Issuer = "https://other.example.com"
		require.NoError(t, list.Add(t.Context(), other))
		require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: as.Issuer(), Subject: "alice"}))
		synctest.Wait()
		require.Empty(t, events)

		as.Fail(authtest.Fault{Status: http.StatusBadGateway})
		require.NoError(t, list.Add(t.Context(), key(1)))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, events, 5)
		require.ErrorIs(t, events[0], bearergate.ErrUnavailable)
		for i, want := range []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second, 30 * time.Second} {
			require.InDelta(t, want, times[i], float64(2*time.Second), i)
		}

		as.Fail(authtest.Fault{Delay: time.Second})
		fetches := as.Requests("/jwks")
		require.NoError(t, list.Add(t.Context(), key(20), key(21)), "at once")
		synctest.Wait()
		for n := range byte(5) {
			require.NoError(t, list.Add(t.Context(), key(10+n)))
			synctest.Wait() // the fetch has begun
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 2, as.Requests("/jwks")-fetches, "once, and once more for those that came meanwhile")
		require.Len(t, events, 7)
		require.NoError(t, events[6])
		require.NoError(t, list.Lift(t.Context(), key(10)))
		time.Sleep(time.Minute)
		require.Len(t, events, 7)

		quiet := newList(t, nil)
		quiet.Watch(v.Keys())
		fetches = as.Requests("/jwks")
		require.NoError(t, quiet.Add(t.Context(), key(1)))
		time.Sleep(time.Minute)
		require.Equal(t, 1, as.Requests("/jwks")-fetches)
	})
}

// hanging is a source of keys whose server does not answer.
type hanging struct{ jwks.Source }

func (hanging) Issuer() string { return issuer }
func (hanging) Refresh(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A server that does not answer is waited for as long as is said.
func TestRefetchHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var times []time.Duration
		start := time.Now()
		list := newList(t, func(c *revocation.Config) {
			c.Hooks.Refetched = func(_ context.Context, e revocation.RefetchEvent) {
				require.ErrorIs(t, e.Err, context.DeadlineExceeded)
				times = append(times, time.Since(start)/time.Second)
			}
		})
		list.Watch(hanging{})
		require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: issuer, Key: [32]byte{1}}))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []time.Duration{10, 22, 36, 54, 80}, times, "10 s each, and 2, 4, 8 and 16 s between them")
	})
}

// pointed is a source of keys of the user's own, which may be a nil pointer.
type pointed struct {
	jwks.Source
	issuer string
}

func (p *pointed) Issuer() string              { return p.issuer }
func (*pointed) Refresh(context.Context) error { return nil }

// A source that is a nil pointer is left alone.
func TestWatchNothing(t *testing.T) {
	list := newList(t, nil)
	list.Watch((*pointed)(nil))
	require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: issuer, Key: [32]byte{1}}))
}

// broken is a source of keys of the user's own, with a fault.
type broken struct{ jwks.Source }

func (broken) Issuer() string                { return issuer }
func (broken) Refresh(context.Context) error { panic("broken") }

// A panic while keys are fetched ends nothing but the fetch.
func TestRefetchPanics(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var events []error
		list := newList(t, func(c *revocation.Config) {
			c.Hooks.Refetched = func(_ context.Context, e revocation.RefetchEvent) { events = append(events, e.Err) }
		})
		list.Watch(broken{})
		require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: issuer, Key: [32]byte{1}}))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, events, 5)
		require.ErrorContains(t, events[0], "panicked")
	})
}
