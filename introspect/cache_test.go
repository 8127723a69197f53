package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// req: INT-037, R7662-15
func TestRevokedWithinTTL(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, config(s))
		requireAccepted(t, client, opaque)
		s.set(func(s *server) { delete(s.answers, opaque) })
		requireAccepted(t, client, opaque) // for so long
		time.Sleep(introspect.DefaultPositiveTTL * 9 / 10)
		time.Sleep(introspect.DefaultPositiveTTL / 10)
		requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
		require.Equal(t, 2, s.requests())
	})
}

func TestLifetimes(t *testing.T) {
	type testCase struct {
		name     string
		exp      time.Duration // 0: none
		change   func(*introspect.Config)
		min, max time.Duration // between these, the server is asked again
	}
	for _, tt := range []testCase{
		{name: "default", exp: time.Hour, change: func(*introspect.Config) {}, min: 27 * time.Second, max: 30 * time.Second},
		// req: R7662-14
		{
			name:   "exp is near",
			exp:    20 * time.Second,
			change: func(*introspect.Config) {},
			min:    18 * time.Second,
			max:    20 * time.Second,
		},
		{name: "no exp", change: func(*introspect.Config) {}, min: 9 * time.Second, max: 10 * time.Second},
		{
			name:   "configured",
			exp:    time.Hour,
			change: func(c *introspect.Config) { c.PositiveTTL = time.Minute },
			min:    54 * time.Second,
			max:    60 * time.Second,
		},
		{
			name:   "configured, no exp",
			change: func(c *introspect.Config) { c.PositiveTTL = 5 * time.Second },
			min:    4500 * time.Millisecond,
			max:    5 * time.Second,
		},
		// req: R7662-18
		{
			name:   "half of the life",
			exp:    40 * time.Second,
			change: func(c *introspect.Config) { c.Cache.HalfLife = true },
			min:    18 * time.Second,
			max:    20 * time.Second,
		},
		{
			name:   "half of a long life",
			exp:    time.Hour,
			change: func(c *introspect.Config) { c.Cache.HalfLife = true },
			min:    27 * time.Second,
			max:    30 * time.Second,
		},
		{name: "half of nothing", change: func(c *introspect.Config) { c.Cache.HalfLife = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				// asked reports whether the server is asked again after d.
				asked := func(d time.Duration) bool {
					time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // exp has no fraction
					s := newServer()
					s.answers[opaque] = answer(map[string]any{"exp": absent})
					if tt.exp != 0 {
						s.answers[opaque] = answer(map[string]any{"exp": time.Now().Add(tt.exp).Unix()})
					}
					client := newClient(t, with(config(s), tt.change))
					requireAccepted(t, client, opaque)
					time.Sleep(d)
					_, _ = client.Verify(t.Context(), opaque)
					return s.requests() == 2
				}
				require.True(t, asked(tt.max))
				if tt.max == 0 {
					return
				}
				seen := map[bool]bool{}
				for range 50 {
					require.False(t, asked(tt.min-time.Millisecond))
					seen[asked((tt.min+tt.max)/2)] = true
				}
				require.Len(t, seen, 2, "no jitter")
			})
		})
	}
}

func TestNegativeCache(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers["for-others"] = answer(map[string]any{"aud": "https://other.example.com/"})
		client := newClient(t, config(s))
		for range 3 {
			requireRefused(t, client, "unknown", invalid, bearergate.ReasonInactive)
			requireRefused(t, client, "for-others", invalid, bearergate.ReasonAudience)
		}
		require.Equal(t, 2, s.requests())
		s.set(func(s *server) { s.answers["unknown"] = answer(nil) })
		time.Sleep(introspect.DefaultNegativeTTL)
		requireAccepted(t, client, "unknown")
		requireAccepted(t, client, "unknown")
		require.Equal(t, 3, s.requests())

		// Invented tokens do not push out real ones.
		small := newClient(t, with(config(s), func(c *introspect.Config) { c.Cache.Entries = 16 }))
		requireAccepted(t, small, opaque)
		for i := range 1000 {
			requireRefused(t, small, fmt.Sprint("invented-", i), invalid, bearergate.ReasonInactive)
		}
		requireAccepted(t, small, opaque)
		require.Equal(t, 2, s.byToken[opaque]+s.byToken["unknown"]-1)
	})
}

// Times are judged at every hit, by Config.Now.
func TestTimesOnEveryHit(t *testing.T) {
	s := newServer()
	now := time.Unix(1000, 0)
	s.answers[opaque] = answer(map[string]any{"iat": 990, "nbf": 1003, "exp": 1100})
	client := newClient(t, with(config(s), func(c *introspect.Config) { c.Now = func() time.Time { return now } }))
	for _, step := range []struct {
		at     int64
		reason bearergate.Reason
	}{{1000, ""}, {997, bearergate.ReasonNotYetValid}, {998, ""}, {1104, ""}, {1105, bearergate.ReasonExpired}, {980, bearergate.ReasonNotYetValid}, {1000, ""}} {
		now = time.Unix(step.at, 0)
		if step.reason == "" {
			requireAccepted(t, client, opaque)
		} else {
			requireRefused(t, client, opaque, invalid, step.reason)
		}
	}
	require.Equal(t, 1, s.requests())

	// Refused now, for its nbf, and not then: not remembered as a refusal.
	s.answers["early"] = answer(map[string]any{"iat": 990, "nbf": 1010, "exp": 1100})
	requireRefused(t, client, "early", invalid, bearergate.ReasonNotYetValid)
	now = time.Unix(1005, 0)
	requireAccepted(t, client, "early")
	require.Equal(t, 2, s.requests())
}

// req: R7662-10, and the idea of CCH-002: what is remembered belongs to one
// client, one endpoint, one form of answer and one whole token.
func TestTwoClientsShareNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		shared := newStore()
		base := func(s *server) introspect.Config {
			return with(config(s), func(c *introspect.Config) {
				c.Store.Answers, c.Store.Key = shared, bearergate.NewSecret(string(make([]byte, 32)))
			})
		}
		first := newServer()
		requireAccepted(t, newClient(t, base(first)), opaque)
		synctest.Wait()
		for name, change := range map[string]func(*introspect.Config){
			"another endpoint": func(c *introspect.Config) { c.Endpoint += "/2" },
			"another issuer":   func(c *introspect.Config) { c.Issuer += "2" },
			"another client":   func(c *introspect.Config) { c.Auth = introspect.BasicAuth("other", secret) },
			"another secret":   func(c *introspect.Config) { c.Auth = introspect.BasicAuth(clientID, "x") },
			"another method":   func(c *introspect.Config) { c.Auth = introspect.PostAuth(clientID, secret) },
			"parts moved": func(c *introspect.Config) {
				c.ClientID, c.Auth = clientID, introspect.BasicAuth(clientID+secret[:1], secret[1:])
			},
			"another key":  func(c *introspect.Config) { c.Store.Key = bearergate.NewSecret(string(append(make([]byte, 31), 1))) },
			"another form": func(c *introspect.Config) { c.Signed.Answers = introspect.SignedIfOffered },
		} {
			s := newServer()
			delete(s.answers, opaque)
			requireRefused(t, newClient(t, with(base(s), change)), opaque, invalid, bearergate.ReasonInactive)
			require.Equal(t, 1, s.requests(), name)
		}
		same := newServer()
		requireAccepted(t, newClient(t, base(same)), opaque) // the control
		require.Zero(t, same.requests())
		synctest.Wait()
	})
}

func TestPurge(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers["other"] = answer(nil)
		var events []introspect.PurgeEvent
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.Purged = func(_ context.Context, e introspect.PurgeEvent) { events = append(events, e) }
		}))
		requireAccepted(t, client, opaque)
		requireAccepted(t, client, "other")
		client.Purge(opaque)
		requireAccepted(t, client, "other")
		require.Equal(t, 2, s.requests())
		s.set(func(s *server) { s.answers = map[string]map[string]any{} })
		requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
		client.PurgeAll()
		requireRefused(t, client, "other", invalid, bearergate.ReasonInactive)
		require.Equal(t, []introspect.PurgeEvent{{Issuer: issuer}, {Issuer: issuer, All: true}}, events)

		s.set(func(s *server) { s.answers["other"] = answer(nil) })
		requireRefused(t, client, "other", invalid, bearergate.ReasonInactive)
		client.Purge("other") // a refusal is forgotten too
		requireAccepted(t, client, "other")
	})
	for name, purge := range map[string]func(*introspect.Client){
		"one": func(c *introspect.Client) { c.Purge(opaque) }, "all": func(c *introspect.Client) { c.PurgeAll() },
	} {
		t.Run(name+", during a call", func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.delay = time.Second
				s.respond = func(*http.Request, url.Values) (*http.Response, error) {
					return reply(200, "application/json", encode(answer(nil))), nil
				}
				client := newClient(t, config(s))
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = client.Verify(t.Context(), opaque) })
				time.Sleep(time.Second / 2)
				purge(client)
				s.fail(nil)
				s.set(func(s *server) { delete(s.answers, opaque); s.delay = 0 })
				// Neither joined nor remembered: the answer is from before the purge.
				requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
				require.Equal(t, 2, s.requests())
				wg.Wait()
				requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
			})
		})
	}
}

// Live: what is accepted was active when Verify was called, or later.
func TestLive(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Second
		revoked := false
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			return reply(200, "application/json", encode(answer(nil))), nil
		}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.DisableCache = true }))
		require.True(t, client.Live())
		require.False(t, newClient(t, config(s)).Live())
		require.True(t, interface{ Live() bool }(client).Live())

		var wg sync.WaitGroup
		wg.Go(func() { requireAccepted(t, client, opaque) })
		time.Sleep(time.Second / 2) // the answer of that call is of the time before
		require.False(t, revoked)
		s.set(func(s *server) {
			s.respond = func(*http.Request, url.Values) (*http.Response, error) {
				return reply(200, "application/json", `{"active":false}`), nil
			}
		})
		for range 100 {
			wg.Go(func() { requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive) })
		}
		wg.Wait()
		require.Equal(t, 2, s.requests()) // and still shared
		for range 3 {
			requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
		}
		require.Equal(t, 5, s.requests())
	})
}

// A decision from the cache is the decision without one, whatever the
// configuration, the answers and the clock.
func TestCachedEqualsUncached(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		pick := func(values ...any) any { return values[rng.IntN(len(values))] }
		accepted, refusals := 0, map[bearergate.Reason]int{}
		for range 400 {
			s := newServer()
			now := time.Now()
			offset := func() any {
				if rng.IntN(3) == 0 {
					return absent
				}
				return now.Unix() + rng.Int64N(80) - 10
			}
			base := with(config(s), func(c *introspect.Config) {
				c.Leeway = time.Duration(rng.IntN(3)) * 5 * time.Second
				c.NoLeeway = c.Leeway == 0 && rng.IntN(2) == 0
				c.AllowMissingAudience, c.InsecureAnyAudience, c.AllowScopeArray = rng.IntN(2) == 0, rng.IntN(4) == 0, rng.IntN(2) == 0
				if c.InsecureAnyAudience {
					c.Audiences, c.AllowMissingAudience = nil, false
				}
				if rng.IntN(2) == 0 {
					c.Confirmations = []string{"x5t#S256"}
				}
				if rng.IntN(6) == 0 {
					c.MaxTokenAge = time.Minute
				}
				if rng.IntN(4) == 0 {
					c.Map = func(c *bearergate.Claims) error {
						if c.Subject == "" {
							return errors.New("nobody")
						}
						c.Tenant = c.Subject
						return nil
					}
				}
				skew := time.Duration(rng.IntN(5)) * time.Second
				c.Now = func() time.Time { return time.Now().Add(-skew) }
			})
			cached := newClient(t, with(base, func(c *introspect.Config) {
				c.PositiveTTL, c.NegativeTTL = time.Duration(rng.IntN(200))*time.Second, time.Duration(rng.IntN(100))*time.Second
				c.Cache.HalfLife = rng.IntN(3) == 0
				if rng.IntN(2) == 0 {
					c.MaxStale = time.Minute
				}
				if rng.IntN(4) == 0 {
					c.Store.Answers, c.Store.Key = newStore(), bearergate.NewSecret(string(make([]byte, 32)))
				}
			}))
			live := newClient(t, with(base, func(c *introspect.Config) { c.DisableCache = true }))
			for i := range 4 {
				s.answers[fmt.Sprint("t", i)] = answer(map[string]any{
					"active": pick(true, true, true, true, true, true, false), "iss": pick(issuer, issuer, issuer, absent, "x"),
					"aud": pick(audience, audience, []string{"x", audience}, absent, "x", []string{}), "scope": pick("a b", "", absent, []string{"a"}),
					"cnf": pick(absent, absent, absent, map[string]any{"x5t#S256": "y"}, map[string]any{"jkt": "y"}), "token_type": pick("Bearer", "bearer", absent, "DPoP", "access_token", "refresh_token", "Bearer", "Bearer", absent),
					"exp": offset(), "nbf": pick(absent, offset()), "iat": pick(absent, offset()), "sub": pick("u", nil, absent),
				})
			}
			for range 30 {
				token := fmt.Sprint("t", rng.IntN(5))
				got, gotErr := cached.Verify(t.Context(), token)
				want, wantErr := live.Verify(t.Context(), token)
				require.Equal(t, bearergate.ReasonOf(wantErr), bearergate.ReasonOf(gotErr), "%v %v", wantErr, gotErr)
				for _, sentinel := range kit.Sentinels() {
					require.Equal(t, errors.Is(wantErr, sentinel), errors.Is(gotErr, sentinel))
				}
				require.Equal(t, want == nil, got == nil)
				if want != nil {
					accepted++
					require.False(t, got.AsOf().After(want.AsOf()), "a remembered answer is as old as it is")
					same := func(c *bearergate.Claims) { c.AsOf = time.Time{} }
					require.Equal(t, want.With(same), got.With(same))
				} else {
					refusals[bearergate.ReasonOf(wantErr)]++
				}
				time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
			}
		}
		require.Greater(t, accepted, 500)
		for _, reason := range []bearergate.Reason{bearergate.ReasonInactive, bearergate.ReasonAudience, bearergate.ReasonIssuer, bearergate.ReasonBinding, bearergate.ReasonType, bearergate.ReasonPolicy,
			bearergate.ReasonExpired, bearergate.ReasonNotYetValid, bearergate.ReasonMissingClaim, bearergate.ReasonIntrospectionUnavailable} {
			require.Greater(t, refusals[reason], 20, reason)
		}
	})
}

// A life that is too short for a random part has none.
func TestAnAnswerThatIsAboutToEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": time.Now().Add(time.Second).Unix()})
		time.Sleep(time.Second - 50*time.Nanosecond)
		requireAccepted(t, newClient(t, config(s)), opaque)
	})
}

// A token is kept nowhere, so neither is an answer that quotes it.
func TestAnswerThatQuotesTheToken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for name, value := range map[string]any{"jti": "a/b+c", "ext": map[string]any{"token": "a/b+c"}} {
			s, st := newServer(), newStore()
			s.answers["a/b+c"] = answer(map[string]any{name: value})
			client := newClient(t, with(sharing(s, st), func(c *introspect.Config) { c.MaxStale = time.Minute }))
			for range 3 {
				requireAccepted(t, client, "a/b+c")
			}
			synctest.Wait()
			require.Equal(t, 3, s.requests())
			require.Empty(t, st.values)
			s.fail(func() (*http.Response, error) {
				return reply(200, "application/json", `{"active":true,"jti":"a\/b+c","aud":"`+audience+`"}`), nil
			})
			for range 3 {
				requireAccepted(t, client, "a/b+c")
			}
			require.Equal(t, 6, s.requests())
			s.fail(down)
			requireRefused(t, client, "a/b+c", unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
	})
}

// However the answer writes the token, and wherever.
func TestAnswerThatHidesTheToken(t *testing.T) {
	const raw = "ab/cdEFGH+1234567890"
	for name, tt := range map[string]struct {
		member string
		calls  int
	}{
		"control":         {`"token":"ab/cdEFGH"`, 1},
		"escapes":         {`"link":"https:\/\/as\/\u0061%2F\u00e4\n\\"`, 1},
		"another letter":  {`"self":"https:\/\/as\/%ab\/cdEFGH+1234567890"`, 1}, // %ab is «, in Latin 1
		"plain":           {`"token":"ab/cdEFGH+1234567890"`, 2},
		"name":            {`"ab/cdEFGH+1234567890":1`, 2},
		"slash":           {`"token":"ab\/cdEFGH+1234567890"`, 2},
		"unicode":         {`"token":"ab\u002fcdEFGH\u002B1234567890"`, 2},
		"letter":          {`"token":"\u0061b/cdEFGH+1234567890"`, 2},
		"after backslash": {`"token":"\\ab\/cdEFGH+1234567890"`, 2},
		"after percent":   {`"text":"99% ab\/cdEFGH+1234567890"`, 2},
		"bearer":          {`"header":"Bearer ab/cdEFGH+1234567890"`, 2},
		"link":            {`"self":"https://as/t?token=ab/cdEFGH+1234567890"`, 2},
		"escaped link":    {`"self":"https:\/\/as\/t?token=ab%2FcdEFGH%2b1234567890"`, 2},
		"escaped thrice":  {`"self":"https://as/t?token=ab%25252FcdEFGH+1234567890"`, 2},
		"four times":      {`"self":"https://as/t?token=ab%2525252FcdEFGH+1234567890"`, 1}, // the work is bounded
		"JSON in JSON":    {`"raw":"{\"token\":\"ab\\/cdEFGH+1234567890\"}"`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, st := newServer(), newStore()
				s.fail(func() (*http.Response, error) {
					return reply(200, "application/json", `{"active":true,"aud":"`+audience+`",`+tt.member+`}`), nil
				})
				client := newClient(t, sharing(s, st))
				requireAccepted(t, client, raw)
				synctest.Wait()
				require.Equal(t, tt.calls == 1, len(st.values) == 1)
				requireAccepted(t, client, raw)
				require.Equal(t, tt.calls, s.requests())
			})
		})
	}
}

// What is remembered is counted with what it takes: in a small cache, there is room for what is
// short alone. A sixteenth of the cache is the most for one answer.
func TestWhatTakesRoom(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, tt := range []struct {
		name      string
		answer    map[string]any
		audiences []string          // nil: that of the answer
		reason    bearergate.Reason // "": accepted
		maxStale  time.Duration
		bytes     int64
		requests  int // of two
	}{
		{name: "inactive", answer: map[string]any{"active": false}, reason: bearergate.ReasonInactive, bytes: 16 << 10, requests: 1},
		{name: "a token, no room", answer: answer(nil), bytes: 16 << 10, requests: 2},
		{name: "a token, room", answer: answer(nil), bytes: 16 << 11, requests: 1},
		{name: "a token, and the same as a stale one, no room", answer: answer(nil), maxStale: time.Minute, bytes: 16 << 11, requests: 2},
		{name: "a token, and the same as a stale one, room", answer: answer(nil), maxStale: time.Minute, bytes: 16 << 12, requests: 1},
		{name: "whose a refused token is, no room", answer: answer(map[string]any{"aud": "x"}), reason: bearergate.ReasonAudience, bytes: 16 << 10, requests: 2},
		{name: "whose a refused token is, room", answer: answer(map[string]any{"aud": "x"}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 1},
		{name: "many values of aud", answer: answer(map[string]any{"aud": strings.Split(strings.Repeat(long[:128]+" ", 8)+"x", " ")}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "many Audiences", answer: answer(nil), audiences: strings.Split(strings.Repeat(long[:128]+" ", 8)+"x", " "), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "a long sub", answer: answer(map[string]any{"aud": "x", "sub": long}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "a long client_id", answer: answer(map[string]any{"aud": "x", "client_id": long}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "a long jti", answer: answer(map[string]any{"aud": "x", "jti": long}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "a long sid", answer: answer(map[string]any{"aud": "x", "sid": long}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "an actor with a long sub", answer: answer(map[string]any{"aud": "x", "act": map[string]any{"sub": long}}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "an actor with a long iss", answer: answer(map[string]any{"aud": "x", "act": map[string]any{"sub": "x", "iss": long}}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
		{name: "an actor with a long client_id", answer: answer(map[string]any{"aud": "x", "act": map[string]any{"sub": "x", "client_id": long}}), reason: bearergate.ReasonAudience, bytes: 16 << 11, requests: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = tt.answer
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Cache.Bytes, c.MaxStale = tt.bytes, tt.maxStale
				if tt.audiences != nil {
					c.Audiences = tt.audiences
				}
			}))
			for range 2 {
				_, err := client.Verify(t.Context(), opaque)
				require.Equal(t, tt.reason, bearergate.ReasonOf(err))
			}
			require.Equal(t, tt.requests, s.requests())
		})
	}
}
