package apikey_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// asked is a Lookup that counts, and that a test can replace.
type asked struct {
	calls atomic.Int64
	f     atomic.Pointer[func(context.Context, string) (apikey.Record, bool, error)]
}

func (a *asked) set(f func(context.Context, string) (apikey.Record, bool, error)) { a.f.Store(&f) }

func (a *asked) lookup(ctx context.Context, id string) (apikey.Record, bool, error) {
	a.calls.Add(1)
	return (*a.f.Load())(ctx, id)
}

func looking(records ...apikey.Record) (apikey.Config, *asked) {
	s, a := store{}, &asked{}
	for _, r := range records {
		s[r.ID] = r
	}
	a.set(s.lookup)
	c := config()
	c.Records, c.Lookup = nil, a.lookup
	return c, a
}

func TestLookup(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := generate(t, "acme", "orders:read")
		c, a := looking(m.record)
		k := newKeys(t, c)
		use := func() error { _, err := as(t, k, m.key); return err }
		require.NoError(t, use())
		require.NoError(t, use())
		require.EqualValues(t, 1, a.calls.Load(), "remembered")
		time.Sleep(apikey.DefaultKeyTTL - 1)
		require.NoError(t, use())
		require.EqualValues(t, 1, a.calls.Load())
		a.set(store{}.lookup) // the key is taken out
		time.Sleep(time.Nanosecond)
		kit.RequireError(t, use(), bearergate.ErrInvalidToken, bearergate.ReasonInactive)
		require.EqualValues(t, 2, a.calls.Load())
		kit.RequireError(t, use(), bearergate.ErrInvalidToken, bearergate.ReasonInactive)
		require.EqualValues(t, 2, a.calls.Load(), "that there is none is remembered too")
		a.set(store{m.record.ID: m.record}.lookup)
		time.Sleep(apikey.UnknownTTL)
		require.NoError(t, use())
		require.EqualValues(t, 3, a.calls.Load())

		// Whoever knows an ID cannot make calls by it.
		for range 10 {
			requireRefused(t, k, remade(t, m.record.ID, generate(t, "x").key), bearergate.ErrInvalidToken, bearergate.ReasonInactive)
		}
		// Neither can a typing error.
		_, err := as(t, k, m.key[:len(m.key)-1]+"b")
		require.Error(t, err)
		require.EqualValues(t, 3, a.calls.Load())
	})
}

// What the store says of a key counts when it is looked up again, also in the report.
func TestARecordThatChanges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := generate(t, "acme", "orders:read")
		c, a := looking(m.record)
		k := newKeys(t, c)
		_, err := as(t, k, m.key)
		require.NoError(t, err)
		changed := m.record
		changed.Owner, changed.Tenant, changed.Scopes = "acme-ltd", "eu", []string{"orders:list"}
		changed.NotAfter = start.Add(time.Hour)
		a.set(store{m.record.ID: changed}.lookup)
		time.Sleep(apikey.DefaultKeyTTL)
		token, err := as(t, k, m.key)
		require.NoError(t, err)
		require.Equal(t, "acme-ltd", token.ClientID())
		require.Equal(t, "orders:list", token.Scopes().String())
		require.Equal(t, []apikey.Use{{ID: m.record.ID, Owner: "acme-ltd", Tenant: "eu", Until: changed.NotAfter, Accepted: 2, LastAccepted: start}}, k.Report().Keys)
	})
}

// An outage blames nobody, and is not remembered.
//
// req: APK-037
func TestALookupThatFails(t *testing.T) {
	m := generate(t, "acme")
	type result = func(context.Context, string) (apikey.Record, bool, error)
	fails := func(err error) result {
		return func(context.Context, string) (apikey.Record, bool, error) { return m.record, true, err }
	}
	other := generate(t, "other").record
	for _, tc := range []struct {
		name   string
		f      result
		kind   error
		reason bearergate.Reason
		late   bool   // it answers when its time is up, or later
		text   string // of the error
	}{
		{name: "an error", f: fails(errors.New("connection refused")), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, text: "has failed: apikey: Lookup: connection refused"},
		{name: "no rows, as an error", f: fails(sql.ErrNoRows), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "it blames the key", f: fails(bearergate.ErrInvalidToken), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, text: "has failed: apikey: Lookup: invalid token"},
		{name: "a deadline of its own", f: fails(context.DeadlineExceeded), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "a context of its own", f: fails(context.Canceled), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "its own overload", f: fails(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Detail: "the pool is full"}), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded, text: "overloaded: the pool is full"},
		{name: "its own overload, without a word", f: fails(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded, text: "overloaded: Lookup, or the store that it asks, has failed"},
		{name: "it hangs", f: func(ctx context.Context, _ string) (apikey.Record, bool, error) {
			<-ctx.Done()
			return apikey.Record{}, false, ctx.Err()
		}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, late: true},
		{name: "it gives up in words of its own", f: func(ctx context.Context, _ string) (apikey.Record, bool, error) {
			<-ctx.Done()
			return apikey.Record{}, false, errors.New("i/o timeout")
		}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, late: true},
		{name: "it gives up as a store that is unavailable", f: func(ctx context.Context, _ string) (apikey.Record, bool, error) {
			<-ctx.Done()
			return apikey.Record{}, false, bearergate.ErrUnavailable
		}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, late: true},
		{name: "it does not look at its context", f: func(context.Context, string) (apikey.Record, bool, error) {
			time.Sleep(2 * apikey.DefaultLookupTimeout)
			return m.record, true, nil
		}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, late: true},
		{name: "it panics", f: func(context.Context, string) (apikey.Record, bool, error) { panic(m.key) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, text: "internal: Lookup is broken: apikey: Lookup panicked"},
		{name: "it ends its goroutine", f: func(context.Context, string) (apikey.Record, bool, error) {
			runtime.Goexit()
			return apikey.Record{}, false, nil
		}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "another key", f: func(context.Context, string) (apikey.Record, bool, error) { return other, true, nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, text: "config: Lookup returned a record that New would refuse: "},
		{name: "no record", f: func(context.Context, string) (apikey.Record, bool, error) { return apikey.Record{}, true, nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "a record without hash", f: func(context.Context, string) (apikey.Record, bool, error) {
			return apikey.Record{ID: m.record.ID, Owner: "acme"}, true, nil
		}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				now := start
				c, a := looking(m.record)
				good := *a.f.Load()
				c.Now = func() time.Time { return now }
				a.set(tc.f)
				k := newKeys(t, c)
				began := time.Now()
				requireRefused(t, k, m.key, tc.kind, tc.reason)
				require.LessOrEqual(t, time.Since(began), apikey.DefaultLookupTimeout+100*time.Millisecond)
				said := bearergate.AsError(errorOf(as(t, k, m.key)))
				if errors.Is(said, bearergate.ErrUnavailable) {
					// Whichever comes first, the end of its time or what it says then.
					require.NotEmpty(t, said.Detail, "%v", said)
					require.Equal(t, tc.late, said.Detail == "Lookup has not answered in time", "%v", said)
				}
				require.ErrorContains(t, said, tc.text)
				explained := k.Explain(t.Context(), "ApiKey "+m.key)
				kit.RequireExplained(t, explained, said, m.key)
				require.Len(t, explained.Advice, 1)
				require.Contains(t, explained.Advice[0], map[bool]string{true: "the store that it asks, has not answered", false: "Lookup panicked, or returned a record"}[errors.Is(said, bearergate.ErrUnavailable)])

				now = end // from here on, no answer could open anything
				want := tc.reason
				if errors.Is(tc.kind, bearergate.ErrUnavailable) {
					want = bearergate.ReasonExpired
				}
				_, err := as(t, k, m.key)
				require.Equal(t, want, bearergate.ReasonOf(err))
				explained = k.Explain(t.Context(), "ApiKey "+m.key)
				kit.RequireExplained(t, explained, err, m.key)
				require.Len(t, explained.Advice, 1)
				require.Equal(t, want == bearergate.ReasonExpired, strings.Contains(explained.Advice[0], "API keys have ended"))

				now = start
				a.set(good)
				_, err = as(t, k, m.key)
				require.NoError(t, err, "as soon as it answers again")
				time.Sleep(time.Minute) // until the calls of before have ended
			})
		})
	}
}

// The context of a call ends with it: what Lookup has begun need not go on.
func TestTheContextOfALookupEnds(t *testing.T) {
	m := generate(t, "acme")
	c, a := looking(m.record)
	var during error
	var of context.Context
	good := *a.f.Load()
	a.set(func(ctx context.Context, id string) (apikey.Record, bool, error) {
		during, of = ctx.Err(), ctx
		return good(ctx, id)
	})
	_, err := as(t, newKeys(t, c), m.key)
	require.NoError(t, err)
	require.NoError(t, during)
	require.Error(t, of.Err())
}

func errorOf(_ *bearergate.Token, err error) error { return err }

// Who has left already causes no call, and is told so also after the end of all keys.
func TestWhoHasLeft(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := generate(t, "acme")
		c, a := looking(m.record)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, at := range []time.Time{start, end} {
			c.Now = func() time.Time { return at }
			k := newKeys(t, c)
			token, err := bearergate.Verify(ctx, k, "ApiKey "+m.key)
			kit.RequireRefused(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
			kit.RequireError(t, k.Explain(ctx, "ApiKey "+m.key).Err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		}
		synctest.Wait()
		require.Zero(t, a.calls.Load())
	})
}

// Explain asks anew and changes nothing.
func TestExplainRemembersNothing(t *testing.T) {
	m := generate(t, "acme")
	c, a := looking()
	k := newKeys(t, c)
	requireRefused(t, k, m.key, bearergate.ErrInvalidToken, bearergate.ReasonInactive)
	a.set(store{m.record.ID: m.record}.lookup)
	require.NoError(t, k.Explain(t.Context(), "ApiKey "+m.key).Err)
	require.NoError(t, k.Explain(t.Context(), "ApiKey "+m.key).Err)
	require.EqualValues(t, 3, a.calls.Load())
	requireRefused(t, k, m.key, bearergate.ErrInvalidToken, bearergate.ReasonInactive)
	require.EqualValues(t, 3, a.calls.Load())
}

// One call for an ID, however many wait, and who leaves takes nobody along.
func TestLookupsAreShared(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m := generate(t, "acme")
		c, a := looking(m.record)
		good, answer := *a.f.Load(), make(chan struct{})
		a.set(func(ctx context.Context, id string) (apikey.Record, bool, error) {
			<-answer
			return good(ctx, id)
		})
		k := newKeys(t, c)
		credentials, err := k.Extract(request(header, m.key))
		require.NoError(t, err)
		leaves, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			token, err := bearergate.Verify(leaves, k, credentials.Raw.Reveal())
			kit.RequireRefused(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		})
		short, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		wg.Go(func() {
			token, err := bearergate.Verify(short, k, credentials.Raw.Reveal())
			kit.RequireRefused(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		})
		for range 8 {
			wg.Go(func() {
				_, err := bearergate.Verify(t.Context(), k, credentials.Raw.Reveal())
				require.NoError(t, err)
			})
		}
		synctest.Wait()
		cancel()
		time.Sleep(time.Second)
		close(answer)
		wg.Wait()
		require.EqualValues(t, 1, a.calls.Load())
	})
}

// A flood of invented IDs fills the places of strangers, and not those of keys in use.
//
// req: APK-038
func TestAFloodOfInventedKeys(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		m, attacked := generate(t, "acme"), generate(t, "attacked")
		c, a := looking(m.record, attacked.record)
		good, release := *a.f.Load(), make(chan struct{})
		k := newKeys(t, c)
		_, err := as(t, k, m.key)
		require.NoError(t, err)
		requireRefused(t, k, remade(t, attacked.record.ID, m.key), bearergate.ErrInvalidToken, bearergate.ReasonInactive)
		time.Sleep(apikey.DefaultKeyTTL) // it has to be looked up again
		a.set(func(ctx context.Context, id string) (apikey.Record, bool, error) {
			if id != m.record.ID {
				<-release // deaf: it does not look at its context
			}
			return good(ctx, id)
		})
		var wg sync.WaitGroup
		for range apikey.MaxLookups {
			key := generate(t, "x").key
			wg.Go(func() {
				_, err := as(t, k, key)
				kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
			})
		}
		synctest.Wait()
		requireRefused(t, k, generate(t, "x").key, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		// Who knows an ID alone gets none of the other places for it.
		requireRefused(t, k, attacked.key, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		_, err = as(t, k, m.key)
		require.NoError(t, err)
		wg.Wait() // after LookupTimeout
		requireRefused(t, k, generate(t, "x").key, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		close(release)
		synctest.Wait()
		requireRefused(t, k, generate(t, "x").key, bearergate.ErrInvalidToken, bearergate.ReasonInactive)
	})
}
