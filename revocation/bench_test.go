package revocation_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// filled is a List with n entries of the kinds that services have: tokens, sessions, users
// and clients.
func filled(tb testing.TB, n int) *revocation.List {
	tb.Helper()
	l := newList(tb, func(c *revocation.Config) { c.MaxEntries, c.PerSource = 1<<20, 1<<20 })
	var entries []revocation.Entry
	for i := range n {
		e := revocation.Entry{Issuer: issuer, Source: "backchannel"}
		switch id := fmt.Sprintf("6f1c9a2e-0d3b-4e57-9c1a-%012d", i); i % 10 {
		case 0:
			e.Client = id
		case 1, 2:
			e.Subject = id
		case 3, 4, 5, 6:
			e.Session = id
		default:
			e.TokenID = id
		}
		if entries = append(entries, e); len(entries) == 1000 || i == n-1 {
			require.NoError(tb, l.Add(tb.Context(), entries...))
			entries = entries[:0]
		}
	}
	return l
}

// What a token costs that is not revoked, with a List of that many entries.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{0, 10, 10_000, 200_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := filled(b, n)
			var tokens []*bearergate.Token
			for i := range 1024 {
				tokens = append(tokens, token(func(c *bearergate.Claims) {
					c.ID, c.Subject, c.SessionID = fmt.Sprintf("6f1c9a2e-0d3b-4e57-9c1b-%012d", i), fmt.Sprintf("user-%d", i), fmt.Sprintf("session-%d", i)
				}))
			}
			ctx, i := b.Context(), 0
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Check(ctx, tokens[i&1023]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// What an Entry takes.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := filled(b, 200_000)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/200_000, "B/entry")
		runtime.KeepAlive(l)
	}
}

// A token that is good costs no allocation.
func TestCheckAllocatesNothing(t *testing.T) {
	l := filled(t, 100)
	of := token(nil)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if err := l.Check(t.Context(), of); err != nil {
			t.Error(err)
		}
	}))
}

// Whatever is added, lifted and forgotten, everything in a List fits together.
func TestSound(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := start(t, log, func(c *revocation.Config) { c.MaxEntries, c.MaxTokenLife = 250, time.Second })
		q := fleet(t, log, 1)[0]
		for i := range 2000 {
			e := revocation.Entry{Issuer: issuer, Subject: fmt.Sprint(i * i % 300), Client: []string{"", "a", "b"}[i%3], Source: []string{"x", "y"}[i%2]}
			_ = p.Add(t.Context(), e)
			if i%7 == 0 {
				_ = p.Lift(t.Context(), e)
			}
			if i%50 == 0 {
				time.Sleep(29 * time.Second)
				require.Empty(t, p.Sound())
				require.Empty(t, q.Sound())
			}
			if i%333 == 0 {
				log.Lose(20)
			}
		}
		time.Sleep(time.Minute)
		require.Equal(t, p.Status().Entries, q.Status().Entries)
		time.Sleep(10 * time.Minute)
		require.Zero(t, p.Status().Entries+p.Status().Lifted+q.Status().Entries)
		require.Empty(t, p.Sound())
	})
}
