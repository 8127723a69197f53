package introspect_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/ttlcache"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// store is a Store in memory with faults.
type store struct {
	mu         sync.Mutex // guards the rest
	values     map[string][]byte
	ttls       map[string]time.Duration
	gets, sets int
	err        error
	hang       bool
	panics     bool
}

func newStore() *store { return &store{values: map[string][]byte{}, ttls: map[string]time.Duration{}} }

func (s *store) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	s.gets++
	value, err, hang, panics := s.values[key], s.err, s.hang, s.panics
	s.mu.Unlock()
	if panics {
		panic(opaque)
	}
	if hang {
		time.Sleep(time.Minute) // deaf to its context
	}
	return value, err
}

func (s *store) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	s.sets++
	err, hang, panics := s.err, s.hang, s.panics
	if err == nil && !hang && !panics {
		s.values[key], s.ttls[key] = value, ttl
	}
	s.mu.Unlock()
	if panics {
		panic(opaque)
	}
	if hang {
		time.Sleep(time.Minute)
	}
	return err
}

func (s *store) one(t *testing.T) (key string, value []byte) {
	t.Helper()
	require.Len(t, s.values, 1)
	for key, value = range s.values {
	}
	return key, value
}

func sharing(s *server, st introspect.Store) introspect.Config {
	return with(config(s), func(c *introspect.Config) {
		c.Store.Answers, c.Store.Key = st, bearergate.NewSecret(string(bytes.Repeat([]byte{7}, 32)))
	})
}

func TestStoreSharesAnswers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st, first, second := newStore(), newServer(), newServer()
		delete(second.answers, opaque)
		tok := requireAccepted(t, newClient(t, sharing(first, st)), opaque)
		synctest.Wait()
		key, value := st.one(t)
		require.Equal(t, introspect.DefaultPositiveTTL, st.ttls[key])
		for _, readable := range []string{opaque, "user-1", audience, "active", clientID} {
			require.NotContains(t, key, readable)
			require.NotContains(t, string(value), readable)
		}

		var results []introspect.LookEvent
		client := newClient(t, with(sharing(second, st), func(c *introspect.Config) {
			c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { results = append(results, e) }
			c.Hooks.Waited = func(context.Context, introspect.WaitEvent) {
				require.NotZero(t, second.requests(), "for the Store alone")
			}
		}))
		time.Sleep(10 * time.Second)
		require.Equal(t, tok, requireAccepted(t, client, opaque))
		require.Zero(t, second.requests())
		require.Equal(t, introspect.ResultStored, results[0].Result)
		require.Equal(t, len(opaque), results[0].Bytes)
		// Its time counts from the answer, not from when it was found.
		time.Sleep(20 * time.Second)
		requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
		synctest.Wait()
		// And the refusal is shared too, in the place of the old answer.
		third := newServer()
		requireRefused(t, newClient(t, sharing(third, st)), opaque, invalid, bearergate.ReasonInactive)
		require.Zero(t, third.requests())
		// For as long as it has left, wherever it is.
		time.Sleep(3 * time.Second)
		fourth := newServer()
		client = newClient(t, sharing(fourth, st))
		requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
		require.Zero(t, fourth.requests())
		time.Sleep(introspect.DefaultNegativeTTL - 3*time.Second)
		requireAccepted(t, client, opaque)
		require.Equal(t, 1, fourth.requests())
		synctest.Wait()
	})
}

// An answer that is as long as may be is shared too.
func TestStoreSharesTheLongestAnswer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		c := with(sharing(s, st), func(c *introspect.Config) { c.Calls.MaxResponseBytes = 2000 })
		s.fail(func() (*http.Response, error) {
			return reply(200, "application/json", fmt.Sprintf("%-2000s", encode(answer(nil)))), nil
		})
		for range 2 {
			requireAccepted(t, newClient(t, c), opaque)
			synctest.Wait()
			require.Equal(t, 1, s.requests())
		}
	})
}

// Operations of a Store that hang keep nobody waiting who comes later: a call asks the server
// at once, and a Purge, which has places of its own, says in time that it cannot reach it.
func TestStoreThatIsFull(t *testing.T) {
	const places = 64
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		st.hang = true
		var failed atomic.Int32
		client := newClient(t, with(sharing(s, st), func(c *introspect.Config) {
			c.Calls.Max = 2 * places
			c.Hooks.StoreFailed = func(_ context.Context, e introspect.StoreEvent) {
				if e.Operation == "get" {
					failed.Add(1)
				}
			}
		}))
		many(t, client, places, func(i int) string {
			token := fmt.Sprint("t", i)
			s.set(func(s *server) { s.answers[token] = answer(nil) })
			return token
		})
		before := failed.Load()
		start := time.Now()
		requireAccepted(t, client, opaque)
		require.Zero(t, time.Since(start))
		require.Equal(t, before+1, failed.Load())

		var wg sync.WaitGroup
		for i := range places {
			wg.Go(func() { client.Purge(fmt.Sprint("t", i)) })
		}
		wg.Wait()
		start = time.Now()
		kit.RequireError(t, client.PurgeContext(t.Context(), opaque), unavailable, bearergate.ReasonStoreUnavailable)
		require.Equal(t, introspect.DefaultStoreTimeout, time.Since(start))
		time.Sleep(time.Hour)
	})
}

// The hash is chosen here, and not in a bubble, where no hash takes any time.
var _ = ttlcache.NewNamer([32]byte{})

// Without a Store, or a PurgeLog, nobody can tell by what name a token is known.
func TestNamesOfOneProcess(t *testing.T) {
	c := config(newServer())
	one, other := newClient(t, c), newClient(t, c)
	require.NotEqual(t, one.NameOf(opaque), other.NameOf(opaque))
}

// The names are the same in every process, whatever its processor and, during
// an update of the fleet, its version.
func TestStoreNames(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st := newStore()
		requireAccepted(t, newClient(t, sharing(newServer(), st)), opaque)
		synctest.Wait()
		got, _ := st.one(t)
		seed, err := hkdf.Key(sha256.New, bytes.Repeat([]byte{7}, 32), nil, "bearergate/introspect/1 name", 32)
		require.NoError(t, err)
		mac := hmac.New(sha256.New, seed)
		for _, part := range []string{endpoint, issuer, "plain", clientID, "BasicAuth", clientID, secret} {
			_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			_, _ = mac.Write([]byte(part))
		}
		want := sha256.Sum256(append(mac.Sum(nil), opaque...))
		require.Equal(t, base64.RawURLEncoding.EncodeToString(want[:]), got)
	})
}

// What another process found is judged by our own configuration.
func TestStoredAnswersAreJudged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		s.answers[opaque] = answer(map[string]any{"cnf": map[string]any{"x5t#S256": "x"}, "exp": time.Now().Add(20 * time.Second).Unix()})
		requireAccepted(t, newClient(t, with(sharing(s, st), func(c *introspect.Config) { c.Confirmations = []string{"x5t#S256"} })), opaque)
		synctest.Wait()
		other := newServer()
		requireRefused(t, newClient(t, sharing(other, st)), opaque, invalid, bearergate.ReasonBinding)
		requireRefused(t, newClient(t, with(sharing(other, st), func(c *introspect.Config) { c.Audiences = []string{"x"} })), opaque, invalid, bearergate.ReasonAudience)
		require.Zero(t, other.requests())
		// exp is in the ciphertext, and counts.
		late := newClient(t, with(sharing(other, st), func(c *introspect.Config) {
			c.Confirmations, c.Now = []string{"x5t#S256"}, func() time.Time { return time.Now().Add(21 * time.Second) }
		}))
		_, _ = late.Verify(t.Context(), opaque)
		require.Equal(t, 1, other.requests())
		synctest.Wait()
	})
}

// Whoever can write the Store can have us ask the server, and nothing else.
func TestStoreIsNotTrusted(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers["good"] = answer(map[string]any{"exp": absent})
		s.answers["shortlived"] = answer(map[string]any{"sub": "other"})
		st := newStore()
		client := newClient(t, sharing(s, st))
		requireAccepted(t, client, "good")
		synctest.Wait()
		goodKey, goodValue := st.one(t)
		requireAccepted(t, client, opaque)
		synctest.Wait()
		old := maps.Clone(st.values)
		key := ""
		for k := range old {
			if k != goodKey {
				key = k
			}
		}
		// The server has changed its mind since: every answer from the Store shows.
		ask := func(name string, foreign bool, change func(st *store)) {
			t.Helper()
			st := newStore()
			maps.Copy(st.values, old)
			change(st)
			s := newServer()
			delete(s.answers, opaque)
			told := 0
			requireRefused(t, newClient(t, with(sharing(s, st), func(c *introspect.Config) {
				c.Hooks.StoreFailed = func(_ context.Context, e introspect.StoreEvent) { require.Equal(t, "get", e.Operation); told++ }
			})), opaque, invalid, bearergate.ReasonInactive)
			require.Equal(t, 1, s.requests(), name)
			require.Equal(t, map[bool]int{true: 1}[foreign], told, name)
		}
		sealed := func(body string, record ...byte) func(*store) { // by somebody who has the key
			return func(st *store) {
				name, err := base64.RawURLEncoding.DecodeString(key)
				require.NoError(t, err)
				own, err := hkdf.Key(sha256.New, bytes.Repeat([]byte{7}, 32), nil, "bearergate/introspect/1 value "+string(name), 32)
				require.NoError(t, err)
				block, err := aes.NewCipher(own)
				require.NoError(t, err)
				aead, err := cipher.NewGCMWithRandomNonce(block)
				require.NoError(t, err)
				if body != "" {
					record = append(binary.BigEndian.AppendUint64(record, uint64(time.Now().UnixMilli())), body...)
				}
				st.values[key] = aead.Seal(nil, nil, record, nil)
			}
		}
		flip := func(i int) func(*store) {
			return func(st *store) {
				v := bytes.Clone(st.values[key])
				v[(i+len(v))%len(v)] ^= 1
				st.values[key] = v
			}
		}
		ask("swapped", true, func(st *store) { st.values[key] = goodValue })
		ask("nonce", true, flip(0))
		ask("body", true, flip(20))
		ask("tag", true, flip(-1))
		ask("cut", true, func(st *store) { st.values[key] = st.values[key][:20] })
		ask("empty", false, func(st *store) { st.values[key] = nil })
		ask("plain", true, func(st *store) { st.values[key] = []byte(encode(answer(nil))) })
		ask("huge", false, func(st *store) { st.values[key] = make([]byte, 1<<20) })
		ask("of another version", true, sealed(encode(answer(nil)), 2, 0, 0))
		ask("of another form", true, sealed(encode(answer(nil)), 1, 0, 1))
		ask("of another kind", false, sealed(encode(answer(nil)), 1, 2, 0))
		ask("too short", true, sealed("", 1, 0, 0, 0))
		ask("no answer to us", false, sealed(`{"active":"no"}`, 1, 0, 0))
		time.Sleep(30 * time.Second)
		ask("put back after its time", false, func(*store) {})
		synctest.Wait()
	})
}

// An answer from a clock that is ahead of ours could live longer than it may.
func TestStoredInTheFuture(t *testing.T) {
	st := newStore()
	bubble.Test(t, func(t *testing.T) {
		time.Sleep(time.Minute)
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": absent, "iat": absent})
		requireAccepted(t, newClient(t, sharing(s, st)), opaque)
		synctest.Wait()
	})
	for _, tt := range []struct {
		ahead time.Duration
		calls int
	}{{6 * time.Second, 1}, {5 * time.Second, 1}, {time.Millisecond, 1}, {0, 0}} {
		bubble.Test(t, func(t *testing.T) { // begins a minute earlier
			time.Sleep(time.Minute - tt.ahead)
			s := newServer()
			client := newClient(t, sharing(s, &store{values: maps.Clone(st.values), ttls: map[string]time.Duration{}}))
			requireAccepted(t, client, opaque)
			require.Equal(t, tt.calls, s.requests())
			synctest.Wait()
		})
	}
}

// The clock of the Config judges what the Store has, and a panic in it hurts nobody else.
func TestStoreAndBrokenClock(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st := newStore()
		requireAccepted(t, newClient(t, sharing(newServer(), st)), opaque)
		synctest.Wait()
		for _, broken := range []func(){func() { panic(1) }, runtime.Goexit} {
			s := newServer()
			client := newClient(t, with(sharing(s, st), func(c *introspect.Config) {
				c.Now = func() time.Time { broken(); return time.Now() }
			}))
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Equal(t, 1, s.requests())
		}
	})
}

// A Store that is out of order costs at most its timeout.
func TestStoreFails(t *testing.T) {
	for name, fault := range map[string]func(*store){
		"error":  func(st *store) { st.err = errors.New(opaque) },
		"hangs":  func(st *store) { st.hang = true },
		"panics": func(st *store) { st.panics = true },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				st, s := newStore(), newServer()
				fault(st)
				var mu sync.Mutex
				operations := map[string]int{}
				client := newClient(t, with(sharing(s, st), func(c *introspect.Config) {
					c.Hooks.StoreFailed = func(_ context.Context, e introspect.StoreEvent) {
						mu.Lock()
						defer mu.Unlock()
						operations[e.Operation]++
						require.NotContains(t, e.Err.Error(), opaque)
					}
				}))
				start := time.Now()
				requireAccepted(t, client, opaque)
				require.LessOrEqual(t, time.Since(start), introspect.DefaultStoreTimeout)
				time.Sleep(time.Second)
				mu.Lock()
				require.Equal(t, map[string]int{"get": 1, "set": 1}, operations)
				mu.Unlock()
				require.Equal(t, 1, s.requests())
				start = time.Now()
				client.Purge(opaque)
				require.LessOrEqual(t, time.Since(start), introspect.DefaultStoreTimeout)
				// The Store is back, with what it had: not believed after the purge.
				time.Sleep(2 * time.Minute)
			})
		})
	}
	// A Store that hangs gathers no goroutines without end, and no delay either.
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		st.hang = true
		client := newClient(t, sharing(s, st))
		many(t, newClient(t, config(newServer())), 1, func(int) string { return opaque })
		for i := range 500 {
			_, _ = client.Verify(t.Context(), opaque+string(rune('a'+i%26))+string(rune('a'+i/26)))
		}
		st.mu.Lock()
		require.LessOrEqual(t, st.gets+st.sets, 128)
		st.mu.Unlock()
		time.Sleep(time.Hour)
	})
}

func TestPurgeReachesTheStore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for name, purge := range map[string]func(*introspect.Client){
			"one": func(c *introspect.Client) { c.Purge(opaque) }, "all": func(c *introspect.Client) { c.PurgeAll() },
		} {
			st, s, other := newStore(), newServer(), newServer()
			client := newClient(t, sharing(s, st))
			requireAccepted(t, client, opaque)
			synctest.Wait()
			delete(s.answers, opaque)
			delete(other.answers, opaque)
			old := maps.Clone(st.values)
			purge(client)
			if name == "one" { // another process finds nothing there
				key, _ := st.one(t)
				require.Equal(t, introspect.DefaultPositiveTTL+5*time.Second, st.ttls[key], "for as long as what it forgets may have been there, by any clock")
				failed := 0
				requireRefused(t, newClient(t, with(sharing(other, st), func(c *introspect.Config) {
					c.Hooks.StoreFailed = func(context.Context, introspect.StoreEvent) { failed++ }
				})), opaque, invalid, bearergate.ReasonInactive)
				synctest.Wait()
				require.Zero(t, failed, "the mark of a purge is no failure")
			}
			st.values = old // the purge of the Store was lost
			requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
			require.Equal(t, 2, s.requests(), name)
			synctest.Wait()
		}
	})
}

// A stored answer of a plain kind never stands in for a signed one.
func TestStoreKeepsFormsApart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		requireAccepted(t, newClient(t, sharing(s, st)), opaque)
		synctest.Wait()
		_, plain := st.one(t)
		key := newSigner(t, "ES256", "k")
		strict := with(sharing(s, st), func(c *introspect.Config) { c.Signed.Answers, c.Signed.Keys = introspect.SignedRequired, key.keys(t) })
		requireRefused(t, newClient(t, strict), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, 2, s.requests())
		_ = plain

		// Signed answers are shared like others, and purged.
		other := newServer()
		other.fail(func() (*http.Response, error) { return reply(200, signedType, key.sign(t, nil, nil)), nil })
		strict.HTTPClient = &http.Client{Transport: other}
		client := newClient(t, strict)
		for range 2 {
			requireAccepted(t, newClient(t, strict), opaque)
			synctest.Wait()
		}
		require.Equal(t, 1, other.requests())
		client.Purge(opaque)
		requireAccepted(t, newClient(t, strict), opaque)
		require.Equal(t, 2, other.requests())
		synctest.Wait()
	})
}

// lateSet is a Store whose first Set takes its time.
type lateSet struct {
	*store
	once sync.Once
	late time.Duration
}

func (s *lateSet) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	first := false
	s.once.Do(func() { first = true })
	if first {
		time.Sleep(s.late) // deaf to its context
	}
	return s.store.Set(ctx, key, value, ttl)
}

// A Purge that the Store has not taken says so where nobody else tells the other processes.
func TestPurgeWhileTheStoreFails(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		var events purgeEvents
		c := with(telling(s, nil), func(c *introspect.Config) { c.Store.Answers = st })
		var failed []introspect.StoreEvent
		c.Hooks.StoreFailed = func(_ context.Context, e introspect.StoreEvent) { failed = append(failed, e) }
		first, second := newClient(t, with(c, events.hooks)), newClient(t, c)
		requireAccepted(t, first, opaque)
		synctest.Wait()
		st.mu.Lock()
		st.err = errors.New("down")
		st.mu.Unlock()
		err := first.PurgeContext(t.Context(), opaque)
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		purged, _ := events.take()
		require.Equal(t, []introspect.PurgeEvent{{Issuer: issuer, Err: err}}, purged)
		require.Len(t, failed, 1)
		require.Equal(t, "set", failed[0].Operation)
		st.mu.Lock()
		st.err = nil
		st.mu.Unlock()
		requireAccepted(t, second, opaque) // out of the Store: that is what the error is about
		require.Equal(t, 1, s.requests())
		require.NoError(t, first.PurgeContext(t.Context(), opaque), "again, until there is no error")

		// With PurgeLog the others hear of it, and ignore what is older in the Store.
		log := new(kit.Log)
		third := newClient(t, with(telling(s, log), func(c *introspect.Config) { c.Store.Answers = st }))
		st.mu.Lock()
		st.err = errors.New("down")
		st.mu.Unlock()
		require.NoError(t, third.PurgeContext(t.Context(), opaque))
	})
}

// An answer that is on its way to the Store does not outlive a purge there.
func TestPurgeDuringSet(t *testing.T) {
	for _, late := range []time.Duration{introspect.DefaultStoreTimeout / 2, time.Second} {
		bubble.Test(t, func(t *testing.T) {
			s, st := newServer(), &lateSet{store: newStore(), late: late}
			client, other := newClient(t, sharing(s, st)), newClient(t, sharing(s, st))
			requireAccepted(t, client, opaque)
			synctest.Wait()
			require.Empty(t, st.values)
			s.set(func(s *server) { delete(s.answers, opaque) })
			purged := make(chan struct{})
			go func() { client.Purge(opaque); close(purged) }()
			time.Sleep(2 * time.Second)
			<-purged
			requireRefused(t, other, opaque, invalid, bearergate.ReasonInactive)
			synctest.Wait()
		})
	}
}

// An answer to a call that began before a purge is not offered to the Store at all.
func TestPurgeDuringACall(t *testing.T) {
	for _, tt := range []struct {
		name  string
		purge func(*introspect.Client)
		sets  int // of the purge itself
	}{
		{name: "one token", purge: func(c *introspect.Client) { c.Purge(opaque) }, sets: 1},
		{name: "all", purge: (*introspect.Client).PurgeAll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, st := newServer(), newStore()
				s.delay = time.Second
				client := newClient(t, sharing(s, st))
				go func() { _, _ = client.Verify(t.Context(), opaque) }()
				synctest.Wait()
				tt.purge(client)
				time.Sleep(2 * time.Second)
				require.Equal(t, []int{1, tt.sets}, []int{s.requests(), st.sets})
			})
		})
	}
}

// A Store that hangs takes its own time, and none of the call's.
func TestStoreHangsAndTimeoutIsShort(t *testing.T) {
	for _, timeout := range []time.Duration{90 * time.Millisecond, introspect.DefaultTimeout} {
		bubble.Test(t, func(t *testing.T) {
			s, st := newServer(), newStore()
			st.hang, s.delay = true, timeout/2
			client := newClient(t, with(sharing(s, st), func(c *introspect.Config) { c.Timeout = timeout }))
			for i := range 6 {
				token := opaque + string(rune('a'+i))
				s.set(func(s *server) { s.answers[token] = answer(nil) })
				start := time.Now()
				requireAccepted(t, client, token)
				require.Equal(t, min(introspect.DefaultStoreTimeout, timeout/3)+timeout/2, time.Since(start))
			}
			time.Sleep(2 * time.Minute)
		})
	}
}
