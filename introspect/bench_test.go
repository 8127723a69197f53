package introspect_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/bearergate/bearergate/introspect"
	"github.com/stretchr/testify/require"
)

// instant answers at once, so that what is measured is ours.
type instant string

func (body instant) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	return reply(200, "application/json", string(body)), nil
}

func benchClient(tb testing.TB, change func(*introspect.Config)) *introspect.Client {
	return newClient(tb, with(config(newServer()), func(c *introspect.Config) {
		c.HTTPClient = &http.Client{Transport: instant(encode(answer(nil)))}
		change(c)
	}))
}

func BenchmarkVerify(b *testing.B) {
	b.Run("hit", func(b *testing.B) {
		client := benchClient(b, func(*introspect.Config) {})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Verify(b.Context(), opaque); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("miss", func(b *testing.B) {
		client := benchClient(b, func(c *introspect.Config) { c.DisableCache = true })
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Verify(b.Context(), opaque); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, tokens := range []int{1, 1024} {
		b.Run(fmt.Sprintf("contention-32/%d", tokens), func(b *testing.B) {
			client := benchClient(b, func(*introspect.Config) {})
			names := make([]string, tokens)
			for i := range names {
				names[i] = fmt.Sprint(opaque, i)
			}
			var worker atomic.Int64
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				i := int(worker.Add(31))
				for pb.Next() {
					i++
					if _, err := client.Verify(b.Context(), names[i%tokens]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	client := benchClient(t, func(c *introspect.Config) { c.Accept = func(string) bool { return true } })
	ctx := t.Context()
	requireAccepted(t, client, opaque)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := client.Verify(ctx, opaque); err != nil {
			t.Error(err)
		}
	}))
}
