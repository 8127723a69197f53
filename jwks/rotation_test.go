package jwks_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestUnknownKey(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		hasNot(t, c, "x") // the first fetch began after the call, so its answer counts
		require.Equal(t, 1, s.count(""))
		hasNot(t, c, "x")
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerUnknownKey, r.lastFetch(t).Trigger)
		require.Empty(t, r.suppressed)

		// Another fetch is made for what that one was not asked for, and for nothing else.
		hasNot(t, c, "x")
		require.Equal(t, 2, s.count(""))
		hasNot(t, c, "y")
		require.Equal(t, 3, s.count(""))
		require.Len(t, r.suppressed, 1)
		for _, kid := range []string{"x", "y", "z", "w"} {
			hasNot(t, c, kid)
			require.Equal(t, 3, s.count(""))
			e := r.suppressed[len(r.suppressed)-1]
			require.Equal(t, kid, e.KeyID)
			require.Equal(t, jwks.DefaultMissInterval, e.NextFetch)
		}

		// An algorithm that nothing fits counts likewise.
		keys, err := c.Keys(t.Context(), "", "RS256")
		require.NoError(t, err)
		require.Nil(t, keys)
		require.Equal(t, 3, s.count(""))
		time.Sleep(jwks.DefaultMissInterval)
		_, err = c.Keys(t.Context(), "", "RS256")
		require.NoError(t, err)
		require.Equal(t, 4, s.count(""))

		// After a failed attempt nobody can say that there is no such key.
		s.fail("", down)
		time.Sleep(jwks.DefaultMissInterval)
		for range 10 {
			e := unavailable(t, c, "z")
			require.LessOrEqual(t, e.RetryAfter, jwks.DefaultMissInterval)
		}
		has(t, c, "k1")
		require.Equal(t, 5, s.count(""), "a failed attempt is one too")
		require.Equal(t, jwks.StateFresh, c.Status().State)

		// Only an answer of the server changes that.
		s.heal()
		time.Sleep(2 * time.Second)
		unavailable(t, c, "z") // asked for, and still within the interval
		require.Equal(t, 5, s.count(""))
		time.Sleep(8 * time.Second)
		hasNot(t, c, "z")
		require.Equal(t, 6, s.count(""))
	})
}

// One client with an invented ID, however often it comes, does not keep a rotation waiting.
func TestRotationAfterAnInventedKey(t *testing.T) {
	for _, tt := range []struct {
		name    string
		invent  func(t *testing.T, c *jwks.Cache) // asks for what does not exist
		fetches int                               // of those
	}{
		{name: "one ID", fetches: 1, invent: func(t *testing.T, c *jwks.Cache) { hasNot(t, c, "invented") }},
		{name: "one ID, again and again", fetches: 1, invent: func(t *testing.T, c *jwks.Cache) {
			for range 100 {
				hasNot(t, c, "invented")
			}
		}},
		{name: "one ID, by many at once", fetches: 1, invent: func(_ *testing.T, c *jwks.Cache) {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { _, _ = c.Keys(context.Background(), "invented", "ES256") })
			}
			wg.Wait()
		}},
		{name: "some IDs, at once, which share a fetch, and then again", fetches: 1, invent: func(_ *testing.T, c *jwks.Cache) {
			for range 2 {
				var wg sync.WaitGroup
				for i := range 16 {
					wg.Go(func() { _, _ = c.Keys(context.Background(), fmt.Sprint("invented", i), "ES256") })
				}
				wg.Wait()
			}
		}},
		{name: "a bad signature", fetches: 1, invent: func(t *testing.T, c *jwks.Cache) {
			for range 100 {
				_, err := c.KeysAfterMiss(t.Context(), jwks.Miss{KeyID: "k1", Algorithm: "ES256", Tried: true})
				require.NoError(t, err)
			}
		}},
		{name: "an algorithm", fetches: 1, invent: func(t *testing.T, c *jwks.Cache) {
			_, err := c.Keys(t.Context(), "", "RS256")
			require.NoError(t, err)
		}},
		{name: "another algorithm than that of the key of the ID", fetches: 1, invent: func(t *testing.T, c *jwks.Cache) {
			for range 100 {
				_, err := c.Keys(t.Context(), "k1", "RS256")
				require.NoError(t, err)
			}
		}},
		{name: "a certificate", fetches: 1, invent: func(t *testing.T, c *jwks.Cache) {
			for range 100 {
				_, err := c.KeysAfterMiss(t.Context(), jwks.Miss{Algorithm: "ES256", X5T: "invented"})
				require.NoError(t, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.delay = time.Millisecond // for some to share it
				c, _ := newCache(t, s)
				has(t, c, "k1")
				s.forget()
				tt.invent(t, c)
				require.Equal(t, tt.fetches, s.count(""))
				time.Sleep(time.Second)
				s.rotate(t, "k2")
				has(t, c, "k2")
				require.Equal(t, tt.fetches+1, s.count(""))
				hasNot(t, c, "k1")
				require.Equal(t, tt.fetches+1, s.count(""), "two are all there are")
			})
		})
	}
}

// Of what shares a fetch, 16 names are remembered, each once however often it comes. For
// one more, the second fetch of the interval is made.
func TestHowMuchIsRememberedOfAFetch(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ids     int
		times   int // that each of them comes
		fetches int
	}{
		{name: "as many as are remembered", ids: 16, times: 1, fetches: 1},
		{name: "the same, each of them often", ids: 16, times: 20, fetches: 1},
		{name: "one more", ids: 17, times: 1, fetches: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.delay = time.Millisecond // for all to share it
				c, _ := newCache(t, s)
				has(t, c, "k1")
				s.forget()
				var wg sync.WaitGroup
				for i := range tt.ids * tt.times {
					wg.Go(func() { _, _ = c.Keys(context.Background(), fmt.Sprint("invented", i/tt.times), "ES256") })
				}
				wg.Wait()
				for i := range tt.ids {
					hasNot(t, c, fmt.Sprint("invented", i))
				}
				require.Equal(t, tt.fetches, s.count(""))
			})
		})
	}
}

// A fetch that fails has answered nobody: who has shared it with another has one made of
// his own.
func TestSharedFetchThatFails(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.fail("", down)
		s.delay = time.Millisecond
		var wg sync.WaitGroup
		for _, kid := range []string{"invented", "k2"} {
			wg.Go(func() { unavailable(t, c, kid) })
			synctest.Wait() // the fetch is for the first
		}
		wg.Wait()
		require.Equal(t, 2, s.count(""))
		s.heal()
		s.rotate(t, "k2")
		time.Sleep(time.Second)
		has(t, c, "k2")
		require.Equal(t, 3, s.count(""))
	})
}

// Who leaves before a fetch has ended that is none for unknown keys is told so, and not that
// there is no such key; and the fetch has not answered him.
func TestLeavingAFetchUnderWay(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		hasNot(t, c, "invented")
		s.delay = time.Second
		go func() { _ = c.Refresh(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		keys, err := c.Keys(ctx, "k2", "ES256")
		require.Nil(t, keys)
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		time.Sleep(2 * time.Second)
		s.rotate(t, "k2")
		has(t, c, "k2")
	})
}

// Keys without ID serve a token whose ID no key has, more of them than are tried for one
// token too, and with a server that is down as without: the caller chooses among them.
func TestManyKeysWithoutIDInAnOutage(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		var published [][]byte
		for range 5 {
			published = append(published, newJWK(t, "", "ES256"))
		}
		s.fail(setURL, always(200, "application/json", string(set(published...))))
		c, r := newCache(t, s)
		require.NoError(t, c.Refresh(t.Context()))
		s.fail(setURL, down)
		time.Sleep(12 * time.Minute)
		keys, err := c.Keys(t.Context(), "x", "ES256")
		require.NoError(t, err)
		require.Len(t, keys, 5)
		require.Len(t, r.stale, 1)
	})
}

// Whoever invents IDs without end uses up both fetches of an interval. A rotation is then
// hidden for as long as the interval and a fetch last, and no longer; the server is asked
// twice in it; and what the flood does not name goes on as ever.
func TestHowLongAFloodHidesARotation(t *testing.T) {
	for _, tt := range []struct {
		name  string
		token func(t *testing.T, c *jwks.Cache, n int) // the n-th of the flood
	}{
		{name: "IDs", token: func(t *testing.T, c *jwks.Cache, n int) {
			_, _ = c.Keys(t.Context(), fmt.Sprint("invented", n), "ES256")
		}},
		{name: "other algorithms than those of the keys", token: func(t *testing.T, c *jwks.Cache, n int) {
			_, _ = c.Keys(t.Context(), fmt.Sprint("k", n%3), []string{"RS256", "PS256", "EdDSA", "ES384"}[n%4])
		}},
		{name: "certificates", token: func(t *testing.T, c *jwks.Cache, n int) {
			_, _ = c.KeysAfterMiss(t.Context(), jwks.Miss{Algorithm: "ES256", X5T: fmt.Sprint("invented", n)})
		}},
		{name: "bad signatures", token: func(t *testing.T, c *jwks.Cache, n int) {
			_, _ = c.KeysAfterMiss(t.Context(), jwks.Miss{KeyID: fmt.Sprint("k", n%3), Algorithm: "ES256", Tried: true})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k0", "k1", "k2")
				c, _ := newCache(t, s)
				has(t, c, "k0")
				s.forget()
				s.delay = time.Second // a slow server
				n, start := 0, time.Now()
				step := func() {
					for range 5 {
						tt.token(t, c, n)
						n++
					}
					time.Sleep(100 * time.Millisecond)
				}
				for time.Since(start) < 13*time.Second {
					step()
				}
				s.rotate(t, "k0", "k1", "k2", "new")
				rotated := time.Now()
				for {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					keys, err := c.Keys(ctx, "new", "ES256")
					cancel()
					require.NoError(t, err)
					if len(keys) == 1 {
						break
					}
					step()
				}
				require.LessOrEqual(t, time.Since(rotated), jwks.DefaultMissInterval+s.delay)
				intervals := int(time.Since(start)/jwks.DefaultMissInterval) + 1
				require.LessOrEqual(t, s.count(""), 2*intervals)
				has(t, c, "k1")
			})
		})
	}
}

func TestKeysAfterMiss(t *testing.T) {
	for _, kid := range []string{"", "k1"} {
		t.Run("kid "+kid, func(t *testing.T) {
			within(t, func(t *testing.T) {
				miss := jwks.Miss{KeyID: kid, Algorithm: "ES256", Tried: true}
				s := newServer(t, kid)
				c, r := newCache(t, s)
				first, err := c.Keys(t.Context(), kid, "ES256")
				require.NoError(t, err)
				require.Len(t, first, 1)
				s.rotate(t, kid)
				second, err := c.KeysAfterMiss(t.Context(), miss)
				require.NoError(t, err)
				require.Len(t, second, 1)
				require.NotEqual(t, first[0].Thumbprint(), second[0].Thumbprint())
				require.Equal(t, 2, s.count(""))
				require.Equal(t, jwks.TriggerUnknownKey, r.lastFetch(t).Trigger)
				name := func(k jwks.Key) []string {
					if kid != "" {
						return []string{kid}
					}
					thumbprint := k.Thumbprint()
					return []string{base64.RawURLEncoding.EncodeToString(thumbprint[:])}
				}
				require.Equal(t, name(second[0]), r.lastFetch(t).Added)
				require.Equal(t, name(first[0]), r.lastFetch(t).Removed)

				// The limiter is the one of unknown key IDs.
				for range 100 {
					keys, err := c.KeysAfterMiss(t.Context(), miss)
					require.NoError(t, err)
					require.Equal(t, second[0].Thumbprint(), keys[0].Thumbprint())
				}
				require.Equal(t, 2, s.count(""))
				require.Len(t, r.suppressed, 100)
				_, _ = c.Keys(t.Context(), "x", "RS256")
				_, _ = c.Keys(t.Context(), "y", "RS256")
				require.Equal(t, 3, s.count(""))

				// What is down is nobody's business who may have forged a signature: the
				// first waits for the attempt, the others for nothing.
				s.fail("", hang)
				time.Sleep(jwks.DefaultMissInterval)
				for i := range 10 {
					before := time.Now()
					keys, err := c.KeysAfterMiss(t.Context(), miss)
					require.NoError(t, err)
					require.Equal(t, second[0].Thumbprint(), keys[0].Thumbprint())
					require.Equal(t, i == 0, time.Since(before) > 0)
				}
				require.Equal(t, 4, s.count(""))
				keys, err := c.Keys(t.Context(), kid, "ES256")
				require.NoError(t, err)
				require.Len(t, keys, 1)

				// Nobody waits for the next attempt either, and what it brings is there for
				// those who come later.
				s.heal()
				s.delay = time.Millisecond // else it may be there at once
				s.rotate(t, kid)
				time.Sleep(jwks.DefaultMissInterval)
				keys, err = c.KeysAfterMiss(t.Context(), miss)
				require.NoError(t, err)
				require.Equal(t, second[0].Thumbprint(), keys[0].Thumbprint())
				time.Sleep(2 * s.delay)
				require.Equal(t, 5, s.count(""))
				keys, err = c.KeysAfterMiss(t.Context(), miss)
				require.NoError(t, err)
				require.NotEqual(t, second[0].Thumbprint(), keys[0].Thumbprint())
				require.Equal(t, 5, s.count(""))
			})
		})
	}
}

// Whoever leaves while it waits for a new key gets what is held; only who was canceled is
// told so.
func TestKeysAfterMissLeaves(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		reason bearergate.Reason
	}{
		{name: "a deadline", ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 20*time.Millisecond)
		}},
		{name: "a cancellation", reason: bearergate.ReasonCanceled, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, _ := newCache(t, s)
				has(t, c, "k1")
				s.fail("", hang)
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				before := time.Now()
				keys, err := c.KeysAfterMiss(ctx, jwks.Miss{KeyID: "k1", Algorithm: "ES256", Tried: true})
				require.Equal(t, 20*time.Millisecond, time.Since(before))
				require.Equal(t, tt.reason, bearergate.ReasonOf(err))
				require.Equal(t, tt.reason == "", len(keys) == 1)
				time.Sleep(10 * time.Second)
			})
		})
	}
}

// A certificate that no key has is looked for like an ID that no key has.
func TestUnknownCertificate(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		publish := func(certificates ...string) {
			var all [][]byte
			for _, name := range certificates {
				all = append(all, []byte(strings.Replace(string(newJWK(t, "", "ES256")), `"kty"`, `"x5t":"`+name+`","kty"`, 1)))
			}
			s.fail(setURL, always(200, "application/json", string(set(all...))))
		}
		named := func(name string, keys []jwks.Key) bool {
			return slices.ContainsFunc(keys, func(k jwks.Key) bool { same, _ := k.NamedBy("", name); return same })
		}
		publish("AAAA", "BBBB")
		c, _ := newCache(t, s)
		ask := func(name string) ([]jwks.Key, error) {
			return c.KeysAfterMiss(t.Context(), jwks.Miss{Algorithm: "ES256", X5T: name})
		}
		keys, err := c.Keys(t.Context(), "", "ES256")
		require.NoError(t, err)
		require.True(t, named("AAAA", keys) && named("BBBB", keys) && !named("CCCC", keys))

		publish("BBBB", "CCCC")
		keys, err = ask("CCCC")
		require.NoError(t, err)
		require.True(t, named("CCCC", keys))
		require.Equal(t, 2, s.count(""))
		keys, err = ask("DDDD") // what the fetch was not asked for
		require.NoError(t, err)
		require.False(t, named("DDDD", keys))
		require.Equal(t, 3, s.count(""))
		for range 10 {
			keys, err = ask("EEEE")
			require.NoError(t, err, "the last answer is young enough")
			require.False(t, named("EEEE", keys))
		}
		require.Equal(t, 3, s.count(""))

		s.fail(setURL, down)
		time.Sleep(jwks.DefaultMissInterval)
		for range 10 {
			_, err = ask("EEEE")
			requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		}
		require.Equal(t, 4, s.count(""))
		keys, err = ask("CCCC")
		require.NoError(t, err)
		require.True(t, named("CCCC", keys), "it is there, so that nothing is asked")
	})
}

// Where no key that is held can be the token's, one is looked for as an unknown ID is.
func TestKeysAfterMissOfAnIssuer(t *testing.T) {
	const ours, theirs = "https://one.example.com/", "https://two.example.com/"
	type published struct{ id, issuer, x5t string }
	five := func(id, issuer string) []published {
		return slices.Repeat([]published{{id: id, issuer: issuer}}, 5)
	}
	for _, tt := range []struct {
		name  string
		held  []published
		kid   string
		x5t   string
		of    string // whose token it is
		tried bool
		known bool // nothing is fetched
		waits bool // for a server that is known to be down
	}{
		{name: "a key of everybody's", held: []published{{id: "k1"}}, kid: "k1", of: ours, known: true},
		{name: "a key of ours", held: []published{{id: "k1", issuer: ours}}, kid: "k1", of: ours, known: true},
		{name: "a key of another's", held: []published{{id: "k1", issuer: theirs}}, kid: "k1", of: ours, waits: true},
		{name: "a key of another's, and nobody says whose is wanted", held: []published{{id: "k1", issuer: theirs}}, kid: "k1", known: true},
		{name: "keys of both", held: []published{{id: "k1", issuer: theirs}, {id: "k1", issuer: ours}}, kid: "k1", of: ours, known: true},
		{name: "five keys of one ID, of which four are tried", held: five("k1", ours), kid: "k1", of: ours, known: true},
		{name: "no kid, and a key of another's", held: []published{{id: "k1", issuer: theirs}}, of: ours, waits: true},
		{name: "no kid, and keys of both", held: []published{{id: "k1", issuer: theirs}, {id: "k2", issuer: ours}}, of: ours, known: true},
		{name: "no kid, and five keys of ours, of which none is tried", held: five("k1", ours), of: ours, known: true},
		{name: "a certificate of a key of ours", held: []published{{issuer: ours, x5t: "AAAA"}, {issuer: theirs, x5t: "BBBB"}}, x5t: "AAAA", of: ours, known: true},
		{name: "a certificate of a key of another's", held: []published{{issuer: ours, x5t: "AAAA"}, {issuer: theirs, x5t: "BBBB"}}, x5t: "BBBB", of: ours, waits: true},
		{name: "a certificate of a key of another's, and nobody says whose is wanted", held: []published{{issuer: theirs, x5t: "BBBB"}}, x5t: "BBBB", known: true},
		{name: "an unknown kid, and a key without ID", held: []published{{issuer: ours}}, kid: "x", of: ours, known: true},
		{name: "an unknown kid, and a key without ID of another's", held: []published{{issuer: theirs}}, kid: "x", of: ours, waits: true},
		{name: "an unknown kid, and four keys without ID", held: five("", ours)[:4], kid: "x", of: ours, known: true},
		{name: "an unknown kid, and five keys without ID", held: five("", ours), kid: "x", of: ours, waits: true},
		{name: "an unknown kid, and five keys without ID of which one is ours", held: append(five("", theirs)[:4], published{issuer: ours}), kid: "x", of: ours, known: true},
		{name: "an unknown kid, and a key without ID that was tried", held: []published{{issuer: ours}}, kid: "x", of: ours, tried: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t)
				var all [][]byte
				for _, p := range tt.held {
					jwk := string(newJWK(t, p.id, "ES256"))
					if p.issuer != "" {
						jwk = strings.Replace(jwk, `"kty"`, `"issuer":"`+p.issuer+`","kty"`, 1)
					}
					if p.x5t != "" {
						jwk = strings.Replace(jwk, `"kty"`, `"x5t":"`+p.x5t+`","kty"`, 1)
					}
					all = append(all, []byte(jwk))
				}
				s.fail(setURL, always(200, "application/json", string(set(all...))))
				c, _ := newCache(t, s)
				require.NoError(t, c.Refresh(t.Context()))
				miss := jwks.Miss{KeyID: tt.kid, Algorithm: "ES256", X5T: tt.x5t, Issuer: tt.of, Tried: tt.tried}
				fetches := 1
				ask := func() (time.Duration, error) {
					start := time.Now()
					keys, err := c.KeysAfterMiss(t.Context(), miss)
					require.Equal(t, err == nil, len(keys) == len(tt.held))
					return time.Since(start), err
				}
				_, err := ask()
				require.NoError(t, err, "the server has said that these are all")
				if !tt.known {
					fetches++
				}
				require.Equal(t, fetches, s.count(""))

				s.fail(setURL, hang)
				for range 2 { // with one attempt each
					time.Sleep(2 * jwks.DefaultMissInterval)
					first := s.count("") == fetches
					waited, err := ask()
					if tt.known {
						require.NoError(t, err)
						require.Zero(t, waited)
						continue
					}
					requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
					require.Positive(t, bearergate.AsError(err).RetryAfter)
					require.Equal(t, first || tt.waits, waited > 0)
					time.Sleep(jwks.DefaultFetchTimeout)
				}
				if !tt.known {
					fetches += 2
				}
				require.Equal(t, fetches, s.count(""))
			})
		})
	}
}

// What a fetch has said of an ID, it has said for every issuer: those of many tenants, who
// share a Cache, do not use up both fetches with one ID.
func TestOneFetchForAnIDOfManyIssuers(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		jwk := strings.Replace(string(newJWK(t, "k1", "ES256")), `"kty"`, `"issuer":"https://as.example.com/","kty"`, 1)
		s.fail(setURL, always(200, "application/json", string(set([]byte(jwk)))))
		c, _ := newCache(t, s)
		require.NoError(t, c.Refresh(t.Context()))
		for i := range 10 {
			_, err := c.KeysAfterMiss(t.Context(), jwks.Miss{KeyID: "k1", Algorithm: "ES256", Issuer: fmt.Sprint("https://tenant-", i, ".example.com/")})
			require.NoError(t, err)
		}
		require.Equal(t, 2, s.count(""))
		hasNot(t, c, "another")
		require.Equal(t, 3, s.count(""))
	})
}

// Without keys to go on with, a miss waits as Keys does, and gets the same error. So does one
// without a context.
func TestKeysAfterMissWithoutKeys(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		miss := jwks.Miss{KeyID: "k1", Algorithm: "ES256", Issuer: issuer}
		for _, ctx := range []context.Context{t.Context(), nil} {
			s.fail("", hang)
			before := time.Now()
			keys, err := c.KeysAfterMiss(ctx, miss)
			require.Nil(t, keys)
			requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			require.Equal(t, jwks.DefaultFetchTimeout, time.Since(before))
			time.Sleep(time.Minute)
		}
		s.heal()
		keys, err := c.KeysAfterMiss(nil, miss) //nolint:staticcheck // a nil context is what this is about
		require.NoError(t, err)
		require.Len(t, keys, 1)
	})
}

// Stale keys are told of once for a token, though it asks twice.
func TestStaleServedOncePerToken(t *testing.T) {
	for _, tt := range []struct {
		name string
		miss jwks.Miss
	}{
		{name: "a bad signature", miss: jwks.Miss{KeyID: "k1", Algorithm: "ES256", Tried: true}},
		{name: "an unknown certificate", miss: jwks.Miss{Algorithm: "ES256", X5T: "AAAA"}},
		{name: "an unknown kid, tried", miss: jwks.Miss{KeyID: "x", Algorithm: "ES256", Tried: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s)
				has(t, c, "k1")
				s.fail("", down)
				for c.Status().State != jwks.StateStale {
					time.Sleep(time.Minute)
					_, _ = c.Keys(t.Context(), "k1", "ES256")
					synctest.Wait()
				}
				before := len(r.stale)
				_, err := c.Keys(t.Context(), "k1", "ES256")
				require.NoError(t, err)
				_, _ = c.KeysAfterMiss(t.Context(), tt.miss)
				require.Len(t, r.stale, before+1)
			})
		})
	}
}

// What a fetch has brought that began after the token came is not fetched again for it.
func TestKeysAfterMissSince(t *testing.T) {
	within(t, func(t *testing.T) {
		for _, tried := range []bool{true, false} {
			s := newServer(t, "")
			c, _ := newCache(t, s)
			miss := jwks.Miss{Algorithm: "ES256", X5T: "AAAA", Tried: tried, Since: c.Moment()}
			_, err := c.Keys(t.Context(), "", "ES256")
			require.NoError(t, err)
			for _, step := range []struct {
				since   jwks.Moment
				fetches int
			}{{miss.Since, 1}, {c.Moment(), 2}, {jwks.Moment{}, 2}} { // the last: asked for within the interval
				miss.Since = step.since
				keys, err := c.KeysAfterMiss(t.Context(), miss)
				require.NoError(t, err)
				require.Len(t, keys, 1)
				require.Equal(t, step.fetches, s.count(""))
			}
		}
	})
}

// What is remembered of an ID that somebody invented is bounded, also where it is handed
// to the Cache itself: two that begin alike share a fetch.
func TestLongKeyIDs(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		hasNot(t, c, strings.Repeat("k", 256)+"a")
		hasNot(t, c, strings.Repeat("k", 256)+"b")
		require.Equal(t, 2, s.count(""))
		hasNot(t, c, strings.Repeat("k", 255)+"b")
		require.Equal(t, 3, s.count(""))
	})
}

// A key without ID stands in for any ID that no key has.
func TestKeyWithoutID(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "", "named")
		c, _ := newCache(t, s)
		fixed, err := jwks.Static(set(s.keys[""], s.keys["named"]))
		require.NoError(t, err)
		for _, source := range []jwks.Source{c, fixed} {
			for _, tt := range []struct {
				kid, alg string
				ids      []string
			}{
				{kid: "named", alg: "ES256", ids: []string{"named"}},
				{kid: "any", alg: "ES256", ids: []string{""}},
				{kid: "other", alg: "ES256", ids: []string{""}},
				{kid: "named", alg: "RS256"},
				{kid: "", alg: "ES256", ids: []string{"", "named"}},
			} {
				keys, err := source.Keys(t.Context(), tt.kid, tt.alg)
				require.NoError(t, err)
				var ids []string
				for _, k := range keys {
					ids = append(ids, k.ID())
				}
				require.ElementsMatch(t, tt.ids, ids, "%+v", tt)
			}
		}
		require.Equal(t, 2, s.count(""), "of the five, only the one of another algorithm was unknown")
		keys, err := c.Keys(t.Context(), "any", "RS256")
		require.NoError(t, err)
		require.Empty(t, keys)
		require.Equal(t, 3, s.count(""), "this one is")
	})
}

// The key came with a fetch that was under way: there is no need of another.
func TestNewKeyInAFetchUnderWay(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.rotate(t, "k2")
		s.delay = 2 * time.Second
		go func() { _ = c.Refresh(context.Background()) }()
		synctest.Wait()
		has(t, c, "k2")
		require.Equal(t, 2, s.count(""))
	})
}

// Who may not have a fetch made for an unknown key waits for the one that is under way.
func TestNewKeyInAFetchUnderWayAfterAFlood(t *testing.T) {
	for _, tt := range []struct {
		name string
		ask  func(*jwks.Cache) ([]jwks.Key, error)
	}{
		{name: "an unknown ID", ask: func(c *jwks.Cache) ([]jwks.Key, error) { return c.Keys(context.Background(), "k2", "ES256") }},
		{name: "a bad signature", ask: func(c *jwks.Cache) ([]jwks.Key, error) {
			return c.KeysAfterMiss(context.Background(), jwks.Miss{Algorithm: "ES256", Tried: true})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s, func(c *jwks.Config) { c.MissInterval = 10 * time.Minute })
				has(t, c, "k1")
				hasNot(t, c, "invented")
				hasNot(t, c, "invented too")
				s.rotate(t, "k2")
				s.delay = time.Second
				time.Sleep(c.Status().TTL / 100 * 80)
				has(t, c, "k1") // in the background, it has the set fetched
				synctest.Wait()
				before := time.Now()
				keys, err := tt.ask(c)
				require.NoError(t, err)
				require.Equal(t, time.Second, time.Since(before))
				require.Len(t, keys, 1)
				require.Equal(t, "k2", keys[0].ID())
				require.Equal(t, 4, s.count(""))
				require.Empty(t, r.suppressed)
			})
		})
	}
}

// Nor is it told as one for which nothing was asked, where that fetch brings nothing new.
func TestBadSignatureInAFetchUnderWayAfterAFlood(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s, func(c *jwks.Config) { c.MissInterval = 10 * time.Minute })
		has(t, c, "k1")
		hasNot(t, c, "invented")
		hasNot(t, c, "invented too")
		s.delay = time.Second
		time.Sleep(c.Status().TTL / 100 * 80)
		has(t, c, "k1") // in the background, it has the set fetched
		synctest.Wait()
		before := time.Now()
		keys, err := c.KeysAfterMiss(t.Context(), jwks.Miss{KeyID: "k1", Algorithm: "ES256", Tried: true})
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, time.Second, time.Since(before))
		require.Equal(t, 4, s.count(""))
		require.Empty(t, r.suppressed)
	})
}

// A fetch that began before the token arrived may not have seen its key.
func TestUnknownKeyDuringAFetch(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		old := always(200, "application/json", string(set(s.keys["k1"])))
		s.fail("", func(r *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return old(r)
		})
		var refreshed error
		go func() { refreshed = c.Refresh(context.Background()) }()
		synctest.Wait()
		time.Sleep(time.Second)
		s.rotate(t, "k2")
		s.heal()
		has(t, c, "k2")
		synctest.Wait()
		require.NoError(t, refreshed)
		require.Equal(t, 3, s.count(""))
	})
}

// A key that has replaced another under its ID may have come with the fetch under way, too.
func TestReplacedKeyInAFetchUnderWay(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.rotate(t, "k1")
		s.delay = 2 * time.Second
		go func() { _ = c.Refresh(context.Background()) }()
		synctest.Wait()
		keys, err := c.KeysAfterMiss(t.Context(), jwks.Miss{KeyID: "k1", Algorithm: "ES256", Tried: true})
		require.NoError(t, err)
		want, err := jwks.ParseKey(s.keys["k1"])
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, want.Thumbprint(), keys[0].Thumbprint())
		require.Equal(t, 2, s.count(""))
	})
}

// A bad signature is given no keys that have expired, and none where nothing was held yet but
// those that the fetch under way brings.
func TestReplacedKeyWithoutUsableKeys(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		miss := jwks.Miss{Algorithm: "ES256", Tried: true}
		s.delay = time.Second
		go func() { _ = c.Refresh(context.Background()) }()
		synctest.Wait()
		keys, err := c.KeysAfterMiss(t.Context(), miss)
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, 1, s.count(""))

		s.fail("", down)
		time.Sleep(3 * time.Hour)
		require.Equal(t, jwks.StateExpired, c.Status().State)
		for range 2 {
			keys, err = c.KeysAfterMiss(t.Context(), miss)
			require.NoError(t, err)
			require.Nil(t, keys)
		}
	})
}

// Nor may it have seen the one that has replaced another under its ID.
func TestReplacedKeyDuringAFetch(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		old := always(200, "application/json", string(set(s.keys["k1"])))
		s.fail("", func(r *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return old(r)
		})
		go func() { _ = c.Refresh(context.Background()) }()
		synctest.Wait()
		s.rotate(t, "k1")
		s.heal()
		keys, err := c.KeysAfterMiss(t.Context(), jwks.Miss{KeyID: "k1", Algorithm: "ES256", Tried: true})
		require.NoError(t, err)
		want, err := jwks.ParseKey(s.keys["k1"])
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, want.Thumbprint(), keys[0].Thumbprint())
		require.Equal(t, 3, s.count(""))
	})
}

func TestRefresh(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		require.NoError(t, c.Refresh(t.Context()))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerRefresh, r.lastFetch(t).Trigger)
		require.Empty(t, r.lastFetch(t).Added)

		s.fail("", down)
		err := c.Refresh(t.Context())
		e := requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Positive(t, e.RetryAfter)
		requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, 3, s.count(""), "the backoff is for every trigger")
		has(t, c, "k1")
		s.heal()
		time.Sleep(time.Second)
		require.NoError(t, c.Refresh(t.Context()))

		// One that is under way is shared, but it began before the later calls.
		s.delay = 2 * time.Second
		s.forget()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := c.Refresh(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 2, s.count(""))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		requireError(t, c.Refresh(ctx), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		time.Sleep(5 * time.Second)
	})
}

// Why there is no key for a token, and as of when that is known.
func TestAbsence(t *testing.T) {
	within(t, func(t *testing.T) {
		published := [][]byte{[]byte(`{"kty":"PQC","kid":"new"}`), []byte(`{"kty":"PQC","kid":"a"}`)}
		for _, keys := range []struct {
			alg string
			ids []string
		}{
			{alg: "ES256", ids: []string{"a", "b", "c", "d", "e"}},
			{alg: "ES384", ids: slices.Repeat([]string{"same"}, 5)},
			{alg: "ES512", ids: slices.Repeat([]string{""}, 5)},
			{alg: "EdDSA", ids: slices.Repeat([]string{""}, 4)},
		} {
			for _, id := range keys.ids {
				published = append(published, newJWK(t, id, keys.alg))
			}
		}
		s := newServer(t)
		s.fail(setURL, always(200, "application/json", string(set(published...))))
		c, _ := newCache(t, s)
		require.Empty(t, new(jwks.Cache).Absence("x", "ES256"), "a Cache that was not made")
		require.Empty(t, (*jwks.Set)(nil).Absence("x", "ES256"))
		require.Empty(t, new(jwks.Set).Absence("x", "ES256"))
		require.Empty(t, c.Absence("a", "ES256"), "nothing is held yet, so nothing is known")

		has(t, c, "a")
		data, err := c.Export()
		require.NoError(t, err)
		imported, _ := newCache(t, s)
		require.NoError(t, imported.Import(data))
		fixed, err := jwks.Static(set(published...))
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		for _, tt := range []struct{ kid, alg, why string }{
			{kid: "a", alg: "ES256"},
			{kid: "x", alg: "ES256", why: "the issuer publishes no key of that ID"},
			{kid: "new", alg: "ES256", why: "the issuer publishes a key of that ID, which is not admitted: kty is not RSA, EC or OKP"},
			{kid: "a", alg: "RS256", why: "the key of that ID is not for this algorithm"},
			{kid: "", alg: "ES256", why: "the token names no key, and more than four fit"},
			{kid: "", alg: "RS256", why: "the token names no key, and none fits"},
			{kid: "same", alg: "ES384"},
			{kid: "x", alg: "ES512", why: "the issuer publishes no key of that ID, and more than four without one"},
			{kid: "x", alg: "EdDSA"},
			{kid: "", alg: "EdDSA"},
		} {
			require.Equal(t, tt.why, fixed.Absence(tt.kid, tt.alg))
			require.Equal(t, tt.why, imported.Absence(tt.kid, tt.alg), "no server has been asked")
			if tt.why != "" {
				tt.why += ", as of 3s ago"
			}
			require.Equal(t, tt.why, c.Absence(tt.kid, tt.alg))
		}
		require.Equal(t, 1, s.count(""), "nothing was fetched for it")
	})
}

// The figures of SECURITY.md: a thousand forged tokens a second, whenever the rotation comes.
func TestAThousandForgedTokensASecond(t *testing.T) {
	worst := time.Duration(0)
	for offset := time.Duration(0); offset < 11*time.Second; offset += 500 * time.Millisecond {
		within(t, func(t *testing.T) {
			s := newServer(t, "k0")
			c, _ := newCache(t, s)
			has(t, c, "k0")
			s.forget()
			s.delay = 100 * time.Millisecond
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					for range 10 { // invented IDs, and bad signatures under the ID that is published
						go func() { _, _ = c.Keys(ctx, fmt.Sprint("invented", rand.Uint64()), "ES256") }()
						go func() {
							_, _ = c.KeysAfterMiss(ctx, jwks.Miss{KeyID: "k0", Algorithm: "ES256", Tried: true})
						}()
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
			time.Sleep(10*time.Second + offset)
			s.rotate(t, "k0", "new")
			rotated := time.Now()
			for {
				keys, err := c.Keys(t.Context(), "new", "ES256")
				require.NoError(t, err, "an outage is none of the flood's to cause")
				if len(keys) == 1 {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			worst = max(worst, time.Since(rotated))
			intervals := int((10*time.Second+offset+time.Since(rotated))/jwks.DefaultMissInterval) + 1
			require.LessOrEqual(t, s.count(""), 2*intervals)
			stop()
			wg.Wait()
			time.Sleep(time.Minute)
		})
	}
	t.Logf("a rotation is hidden for %v at most", worst)
	require.LessOrEqual(t, worst, jwks.DefaultMissInterval+100*time.Millisecond)
}
