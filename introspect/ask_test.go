package introspect_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

type askFunc = func(context.Context, string) ([]byte, error)

// asking is a configuration without an endpoint.
func asking(ask askFunc) introspect.Config {
	return introspect.Config{Issuer: issuer, Ask: ask, AskName: "directory as orders-api", Audiences: []string{audience}}
}

func says(body string) askFunc {
	return func(context.Context, string) ([]byte, error) { return []byte(body), nil }
}

// What Ask returns is judged as what an endpoint answers, remembered, and told: INT-060.
func TestAsk(t *testing.T) {
	good := encode(answer(map[string]any{"iat": absent}))
	fails := func(err error) askFunc {
		return func(context.Context, string) ([]byte, error) { return []byte(good), err }
	}
	for _, tt := range []struct {
		name     string
		ask      askFunc
		kind     error // nil: accepted
		reason   bearergate.Reason
		outcome  introspect.Outcome
		says     string
		remember bool
	}{
		{name: "active", ask: says(good), outcome: introspect.OutcomeActive, remember: true},
		{name: "inactive", ask: says(`{"active":false}`), kind: invalid, reason: bearergate.ReasonInactive, outcome: introspect.OutcomeInactive, remember: true},
		{name: "for another API", ask: says(encode(answer(map[string]any{"aud": "x"}))), kind: invalid, reason: bearergate.ReasonAudience, outcome: introspect.OutcomeActive, remember: true},
		{name: "a refresh token", ask: says(encode(answer(map[string]any{"token_type": "refresh_token"}))), kind: invalid, reason: bearergate.ReasonType, outcome: introspect.OutcomeActive, remember: true},
		{name: "nothing", ask: says(""), outcome: introspect.OutcomeMalformed},
		{name: "null", ask: says("null"), outcome: introspect.OutcomeMalformed},
		{name: "twice", ask: says(`{"active":true,"active":true}`), outcome: introspect.OutcomeMalformed},
		{name: "active as a word", ask: says(`{"active":"true"}`), outcome: introspect.OutcomeMalformed},
		{name: "as long as may be", ask: says(good + strings.Repeat(" ", 64<<10-len(good))), outcome: introspect.OutcomeActive, remember: true},
		{name: "too long", ask: says(good + strings.Repeat(" ", 64<<10-len(good)+1)), outcome: introspect.OutcomeTooLarge, says: "longer than Calls.MaxResponseBytes"},
		{name: "an error that ends in a backslash", ask: fails(errors.New(`no directory \`)), outcome: introspect.OutcomeAsk, says: `no directory \`},
		{name: "an error that ends in a percent sign", ask: fails(errors.New("the disk is full to 99%")), outcome: introspect.OutcomeAsk, says: "full to 99%"},
		{name: "an error beside what is too long", ask: func(context.Context, string) ([]byte, error) {
			return make([]byte, 64<<10+1), &bearergate.Error{Kind: invalid, Reason: bearergate.ReasonRevoked}
		}, kind: invalid, reason: bearergate.ReasonRevoked, outcome: introspect.OutcomeAsk},
		{name: "a refusal when the time is over", ask: func(ctx context.Context, _ string) ([]byte, error) {
			<-ctx.Done()
			return nil, &bearergate.Error{Kind: invalid, Reason: bearergate.ReasonRevoked}
		}, kind: invalid, reason: bearergate.ReasonRevoked, outcome: introspect.OutcomeAsk},
		{name: "an error beside an answer", ask: fails(errors.New("no directory")), outcome: introspect.OutcomeAsk, says: "introspect: Ask: no directory"},
		{name: "an error of the network", ask: fails(&net.DNSError{Err: "no such host"}), outcome: introspect.OutcomeAsk, says: "no such host"},
		{name: "a context of its own", ask: fails(context.Canceled), outcome: introspect.OutcomeAsk},
		{name: "a deadline of its own", ask: fails(context.DeadlineExceeded), outcome: introspect.OutcomeAsk},
		{name: "an outage with a reason", ask: fails(&bearergate.Error{Kind: unavailable, Reason: bearergate.ReasonOverloaded}), kind: unavailable, reason: bearergate.ReasonOverloaded, outcome: introspect.OutcomeAsk},
		{name: "a refusal", ask: fails(&bearergate.Error{Kind: invalid, Reason: bearergate.ReasonRevoked}), kind: invalid, reason: bearergate.ReasonRevoked, outcome: introspect.OutcomeAsk},
		{name: "a mistake", ask: fails(bearergate.ErrMisconfigured), kind: misconfigured, reason: bearergate.ReasonInternal, outcome: introspect.OutcomeAsk},
		{name: "a panic", ask: func(context.Context, string) ([]byte, error) { panic(secret) }, kind: misconfigured, reason: bearergate.ReasonInternal, outcome: introspect.OutcomeAsk, says: "Ask panicked with a string"},
		{name: "the end of its goroutine", ask: func(context.Context, string) ([]byte, error) { runtime.Goexit(); return nil, nil }, outcome: introspect.OutcomePanic},
		{name: "an error with the token", ask: func(_ context.Context, token string) ([]byte, error) { return nil, fmt.Errorf("GET /%s: 404", token) }, outcome: introspect.OutcomeAsk, says: "whose text holds the token"},
		{name: "an error with the token as in a URL", ask: func(_ context.Context, token string) ([]byte, error) {
			return nil, fmt.Errorf("GET /%%%x%s: 404", token[0], token[1:])
		}, outcome: introspect.OutcomeAsk, says: "whose text holds the token"},
		{name: "an error that ends in the token as in a URL", ask: func(_ context.Context, token string) ([]byte, error) {
			end := len(token) - 1
			return nil, fmt.Errorf("GET /%s%%%x", token[:end], token[end])
		}, outcome: introspect.OutcomeAsk, says: "whose text holds the token"},
		{name: "an error that ends in the token as in JSON", ask: func(_ context.Context, token string) ([]byte, error) {
			end := len(token) - 1
			return nil, fmt.Errorf(`GET /%s\%s`, token[:end], token[end:])
		}, outcome: introspect.OutcomeAsk, says: "whose text holds the token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				if tt.kind == nil && tt.outcome != introspect.OutcomeActive {
					tt.kind, tt.reason = unavailable, bearergate.ReasonIntrospectionUnavailable
				}
				asked := 0
				var called []introspect.CallEvent
				var looked []introspect.LookEvent
				c := asking(func(ctx context.Context, token string) ([]byte, error) {
					asked++
					require.Equal(t, opaque, token)
					return tt.ask(ctx, token)
				})
				c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { called = append(called, e) }
				c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { looked = append(looked, e) }
				client := newClient(t, c)
				for range 2 {
					if tt.kind == nil {
						require.Equal(t, "user-1", requireAccepted(t, client, opaque).Subject())
						continue
					}
					err := requireRefused(t, client, opaque, tt.kind, tt.reason)
					require.Contains(t, err.Error(), tt.says)
					for _, hidden := range []string{secret, opaque[:len(opaque)-1], opaque[1:]} {
						require.NotContains(t, err.Error(), hidden)
					}
					require.NotErrorIs(t, err, context.Canceled, "that is nobody's who waits")
					require.NotErrorIs(t, err, context.DeadlineExceeded)
					require.Equal(t, errors.Is(err, unavailable), bearergate.AsError(err).RetryAfter > 0)
				}
				again := errors.Is(tt.kind, invalid) && !tt.remember // a fault leaves the token alone for a second
				require.Equal(t, map[bool]int{false: 1, true: 2}[again], asked)
				require.Len(t, called, asked)
				require.Equal(t, []any{tt.outcome, 0, 1}, []any{called[0].Outcome, called[0].Status, called[0].Attempt})
				require.Equal(t, tt.reason, bearergate.ReasonOf(looked[0].Err))
				require.Equal(t, tt.reason, bearergate.ReasonOf(client.Explain(t.Context(), opaque).Err))
			})
		})
	}
}

// Ask has the time, the places and the breaker of a call.
func TestAskIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var asked, hang atomic.Int32
		value := struct{ name string }{"of the request"}
		var seen, own context.Context
		c := asking(func(ctx context.Context, token string) ([]byte, error) {
			asked.Add(1)
			if seen = ctx; len(token) == len(rand.Text()) {
				own = ctx
			}
			if ctx.Value(value) != nil {
				panic("it is shared, and sees nothing of one request")
			}
			switch hang.Load() {
			case 1:
				<-ctx.Done()
				return nil, ctx.Err()
			case 2:
				time.Sleep(time.Minute) // deaf to its context
			}
			return []byte(encode(answer(nil))), nil
		})
		c.Calls.Max, c.DisableCache = 1, true
		var states []introspect.BreakerState
		c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) { states = append(states, e.To) }
		client := newClient(t, c)
		ctx := context.WithValue(t.Context(), value, 1)
		_, err := client.Verify(ctx, opaque)
		require.NoError(t, err)
		require.ErrorIs(t, seen.Err(), context.Canceled, "its context ends with the call")
		require.NoError(t, client.Explain(ctx, opaque).Err)
		synctest.Wait()
		require.ErrorIs(t, seen.Err(), context.Canceled)

		for hanging, took := range map[int32]time.Duration{1: introspect.DefaultTimeout, 2: introspect.DefaultTimeout + 100*time.Millisecond} {
			hang.Store(hanging)
			start := time.Now()
			err = requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Contains(t, err.Error(), "timeout")
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, took, time.Since(start))
			if hanging == 2 { // it still has the one place
				requireRefused(t, client, "another", unavailable, bearergate.ReasonOverloaded)
			}
			time.Sleep(2 * time.Minute)
		}
		hang.Store(0)
		requireAccepted(t, client, opaque)

		hang.Store(1)
		for i := range introspect.BreakerFailures {
			requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		time.Sleep(introspect.DefaultTimeout + time.Millisecond) // for a token of our own
		before := asked.Load()
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, before, asked.Load(), "the breaker is open")
		hang.Store(0)
		time.Sleep(introspect.BreakerMinOpen)
		requireAccepted(t, client, opaque)
		require.ErrorIs(t, own.Err(), context.Canceled)
		require.Equal(t, []introspect.BreakerState{introspect.BreakerOpen, introspect.BreakerHalfOpen, introspect.BreakerClosed}, states)
	})
}

// exchange is an error of net/http.
func exchange(err error) error {
	return &url.Error{Op: "Get", URL: "https://directory.example.com/", Err: err}
}

// What Ask says of one token, be it nonsense, does not open the breaker; that it says
// nothing does.
func TestWhatOpensTheBreakerOfAsk(t *testing.T) {
	fails := func(err error) askFunc {
		return func(context.Context, string) ([]byte, error) { return nil, err }
	}
	for _, tt := range []struct {
		name  string
		ask   askFunc
		opens bool
	}{
		{name: "no answer", ask: fails(&net.DNSError{IsNotFound: true}), opens: true},
		{name: "an outage", ask: fails(unavailable), opens: true},
		{name: "an outage around another error", ask: fails(fmt.Errorf("%w: rpc error: code = Unavailable", unavailable)), opens: true},
		{name: "an outage in its own words", ask: fails(&bearergate.Error{Kind: unavailable, Reason: bearergate.ReasonIntrospectionUnavailable}), opens: true},
		{name: "a deadline of its own", ask: fails(context.DeadlineExceeded), opens: true},
		{name: "an exchange without a connection", ask: fails(exchange(&net.OpError{Op: "dial", Err: errDown})), opens: true},
		{name: "an exchange without a host", ask: fails(exchange(&net.DNSError{Err: "no such host"})), opens: true},
		{name: "an exchange that took too long", ask: fails(exchange(os.ErrDeadlineExceeded)), opens: true},
		{name: "an exchange that was broken off", ask: fails(exchange(io.EOF)), opens: true},
		{name: "an exchange that was broken off within the answer", ask: fails(exchange(io.ErrUnexpectedEOF)), opens: true},
		{name: "an exchange with a stranger", ask: fails(exchange(&tls.CertificateVerificationError{Err: errDown})), opens: true},
		{name: "an exchange with something else", ask: fails(exchange(tls.RecordHeaderError{Msg: "not TLS"})), opens: true},
		{name: "an exchange that never began", ask: fails(exchange(errors.New("http2: request header list larger than peer's advertised limit")))},
		{name: "the end of an odd text", ask: fails(io.EOF)},
		{name: "a context of its own", ask: fails(context.Canceled)},
		{name: "an odd token", ask: fails(errors.New("InvalidArgument"))},
		{name: "more than can be true", ask: fails(errors.Join(unavailable, invalid))},
		{name: "a refusal", ask: fails(invalid)},
		{name: "forbidden", ask: fails(bearergate.ErrForbidden)},
		{name: "a mistake", ask: fails(misconfigured)},
		{name: "nonsense", ask: says("x")},
		{name: "too much", ask: says(strings.Repeat(" ", 64<<10+1))},
		{name: "a panic", ask: func(context.Context, string) ([]byte, error) { panic(1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			client := newClient(t, asking(func(ctx context.Context, token string) ([]byte, error) { asked++; return tt.ask(ctx, token) }))
			for i := range 2 * introspect.BreakerFailures {
				_, err := client.Verify(t.Context(), fmt.Sprint("t", i))
				require.Error(t, err)
			}
			require.Equal(t, map[bool]int{true: introspect.BreakerFailures + 1, false: 2 * introspect.BreakerFailures}[tt.opens], asked)
		})
	}
}

// Tokens that are longer than a server takes in a header never reach it, and do not shut
// it off for the others.
func TestLongTokensDoNotShutAsk(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, encode(answer(nil)))
	}))
	s.EnableHTTP2 = true
	s.Config.MaxHeaderBytes = 4096
	s.StartTLS()
	defer s.Close()
	c := asking(func(ctx context.Context, token string) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, http.NoBody)
		if err != nil {
			return nil, err
		}
		r.Header.Set("X-Token", token)
		resp, err := s.Client().Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	})
	c.DisableCache = true
	client := newClient(t, c)
	requireAccepted(t, client, opaque) // which tells us what the server takes
	for range 2 * introspect.BreakerFailures {
		err := requireRefused(t, client, strings.Repeat("x", 10_000), unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Contains(t, err.Error(), "header list", "else this tests something else")
	}
	requireAccepted(t, client, opaque)
}

// decisions are errors of Ask that may be about one token.
var decisions = []struct {
	name string
	err  error
}{
	{name: "an odd token", err: errors.New("InvalidArgument")},
	{name: "a refusal", err: invalid},
	{name: "forbidden", err: bearergate.ErrForbidden},
	{name: "a scope that is missing", err: bearergate.ErrInsufficientScope},
	{name: "a bad request", err: bearergate.ErrInvalidRequest},
}

// A function that says something of one token is up, and what failed before counts no more.
func TestADecisionOfAskCloses(t *testing.T) {
	for _, tt := range decisions {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			client := newClient(t, asking(func(context.Context, string) ([]byte, error) {
				if asked++; asked%introspect.BreakerFailures == 0 {
					return nil, tt.err
				}
				return nil, unavailable
			}))
			for i := range 3 * introspect.BreakerFailures {
				_, err := client.Verify(t.Context(), fmt.Sprint("t", i))
				require.Error(t, err)
			}
			require.Equal(t, 3*introspect.BreakerFailures, asked)
		})
	}
}

// So does whatever it answers about a token of our own, be it no answer at all.
func TestWhatAskSaysOfAnOwnTokenCloses(t *testing.T) {
	for _, tt := range []struct{ name, says string }{
		{name: "inactive", says: `{"active":false}`},
		{name: "active, and Map fails", says: encode(answer(map[string]any{"sub": "own", "iat": absent}))},
		{name: "nonsense", says: "{}"},
		{name: "too long", says: strings.Repeat(" ", 1<<17)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w, down := &watched{}, true
				good := encode(answer(nil))
				client := newClient(t, with(asking(func(_ context.Context, token string) ([]byte, error) {
					switch {
					case down:
						return nil, unavailable
					case token == opaque:
						return []byte(good), nil
					}
					return []byte(tt.says), nil
				}), func(c *introspect.Config) {
					c.Hooks = w.hooks()
					c.Map = func(claims *bearergate.Claims) error {
						if claims.Subject == "own" {
							panic(1)
						}
						return nil
					}
				}))
				for i := range introspect.BreakerFailures {
					requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
				}
				time.Sleep(last(w.changes()).Wait)
				down = false
				requireAccepted(t, client, opaque)
				require.Len(t, w.changes(), 3)
				require.Equal(t, introspect.BreakerClosed, last(w.changes()).To)
			})
		})
	}
}

// What may not have got as far as whom Ask asks counts neither way.
func TestAMistakeOfAskCountsNeitherWay(t *testing.T) {
	asked := 0
	client := newClient(t, asking(func(context.Context, string) ([]byte, error) {
		if asked++; asked == introspect.BreakerFailures {
			return nil, misconfigured
		}
		return nil, unavailable
	}))
	for i := range 2 * introspect.BreakerFailures {
		_, err := client.Verify(t.Context(), fmt.Sprint("t", i))
		require.Error(t, err)
	}
	require.Equal(t, introspect.BreakerFailures+2, asked) // and once about a token of our own
}

// Whoever has every probe of the breaker be an odd token of its own does not keep it open.
func TestOddTokensAsProbesOfAsk(t *testing.T) {
	for _, tt := range decisions {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				down := true
				c := asking(func(_ context.Context, token string) ([]byte, error) {
					switch {
					case down:
						return nil, unavailable
					case token != opaque:
						return nil, tt.err
					}
					return []byte(encode(answer(nil))), nil
				})
				c.DisableCache = true
				client := newClient(t, c)
				for i := range introspect.BreakerFailures {
					requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
				}
				down = false
				requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
				time.Sleep(introspect.BreakerMinOpen)
				for range 600 { // ten minutes
					for i := range 10 {
						_, err := client.Verify(t.Context(), fmt.Sprint("odd-", i))
						require.Error(t, err)
					}
					requireAccepted(t, client, opaque)
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// In an outage, the last answer about this very token stands in where MaxStale is set, also
// where the error of Ask does not prove the outage.
func TestStaleAnswersOfAsk(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		stale  bool
		kind   error // without a stale answer
		reason bearergate.Reason
	}{
		{name: "an outage", err: unavailable, stale: true, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "an error of the network", err: &net.DNSError{}, stale: true, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "gRPC", err: errors.New("rpc error: code = Unavailable desc = connection refused"), stale: true, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "a database", err: errors.New("pq: the database system is shutting down"), stale: true, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "an exchange that never began", err: exchange(errors.New("http2: client connection lost")), stale: true, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "a refusal", err: invalid, kind: invalid, reason: bearergate.ReasonPolicy},
		{name: "forbidden", err: bearergate.ErrForbidden, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		{name: "a mistake", err: misconfigured, kind: misconfigured, reason: bearergate.ReasonInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var err error
				c := asking(func(context.Context, string) ([]byte, error) { return []byte(encode(answer(nil))), err })
				c.MaxStale = time.Minute
				client := newClient(t, c)
				off := newClient(t, with(c, func(c *introspect.Config) { c.MaxStale = 0 }))
				for _, client := range []*introspect.Client{client, off} {
					require.False(t, requireAccepted(t, client, opaque).Stale())
				}
				err = tt.err
				time.Sleep(introspect.DefaultPositiveTTL)
				if tt.stale {
					require.True(t, requireAccepted(t, client, opaque).Stale())
				} else {
					requireRefused(t, client, opaque, tt.kind, tt.reason)
				}
				requireRefused(t, client, "another", tt.kind, tt.reason)
				requireRefused(t, off, opaque, tt.kind, tt.reason)
				time.Sleep(c.MaxStale)
				requireRefused(t, client, opaque, tt.kind, tt.reason)
			})
		})
	}
}

// The function may use its buffer again.
func TestAskKeepsItsBuffer(t *testing.T) {
	buffer := []byte(encode(answer(nil)))
	c := asking(func(context.Context, string) ([]byte, error) { return buffer, nil })
	c.Map = func(*bearergate.Claims) error { clear(buffer); return nil }
	require.Equal(t, "user-1", requireAccepted(t, newClient(t, c), opaque).Subject())
}

// AskName keeps apart what two functions say, also in a shared Store, and nothing that
// an endpoint said stands in for it.
func TestAskNameIsPartOfEveryKey(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, st := newServer(), newStore()
		stored := sharing(s, st).Store
		subject := func(name string) askFunc { return says(encode(answer(map[string]any{"sub": name}))) }
		client := func(name, sub string) *introspect.Client {
			c := asking(subject(sub))
			c.AskName, c.Store = name, stored
			return newClient(t, c)
		}
		require.Equal(t, "one", requireAccepted(t, client("a", "one"), opaque).Subject())
		synctest.Wait()
		require.Equal(t, "one", requireAccepted(t, client("a", "two"), opaque).Subject(), "shared")
		require.Equal(t, "two", requireAccepted(t, client("b", "two"), opaque).Subject())
		require.Equal(t, "user-1", requireAccepted(t, newClient(t, sharing(s, st)), opaque).Subject())
		synctest.Wait()
		require.Len(t, st.values, 3)
	})
}

// Whoever asks a function has no endpoint, and the other way round.
func TestAskMistakes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*introspect.Config)
		says   string
	}{
		{name: "no name", change: func(c *introspect.Config) { c.AskName = "" }, says: "AskName is empty: say whom Ask asks, and as whom"},
		{name: "a name alone", change: func(c *introspect.Config) { c.Ask, c.Auth = nil, introspect.NoAuth() }, says: "AskName is set without Ask"},
		{name: "nothing to ask", change: func(c *introspect.Config) { c.Ask = nil }, says: "without an endpoint, set Ask"},
		{name: "an endpoint", change: func(c *introspect.Config) { c.Endpoint = endpoint }, says: "Ask is set together with Endpoint: choose to ask an endpoint or a function"},
		{name: "credentials", change: func(c *introspect.Config) { c.Auth = introspect.NoAuth() }, says: "Ask is set together with Auth:"},
		{name: "a client", change: func(c *introspect.Config) { c.HTTPClient = http.DefaultClient }, says: "together with HTTPClient"},
		{name: "http", change: func(c *introspect.Config) { c.InsecureAllowHTTP = true }, says: "together with InsecureAllowHTTP"},
		{name: "a hint", change: func(c *introspect.Config) { c.TokenTypeHint = "x" }, says: "together with TokenTypeHint"},
		{name: "errors", change: func(c *introspect.Config) { c.AllowInactiveErrors = []string{"invalid_token"} }, says: "together with AllowInactiveErrors"},
		{name: "signed answers", change: func(c *introspect.Config) { c.Signed.Answers = introspect.SignedIfOffered }, says: "together with Signed.Answers"},
		{name: "all of them", change: func(c *introspect.Config) { c.Endpoint, c.Auth = endpoint, introspect.NoAuth() }, says: "together with Endpoint, Auth: choose"},
		{name: "no issuer", change: func(c *introspect.Config) { c.Issuer = "" }, says: "Issuer is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := introspect.New(with(asking(says("{}")), tt.change))
			require.ErrorIs(t, err, misconfigured)
			require.ErrorContains(t, err, tt.says)
		})
	}
	c := asking(says(encode(answer(map[string]any{"iss": absent}))))
	c.Issuer = "urn:example:directory"
	require.Equal(t, "urn:example:directory", requireAccepted(t, newClient(t, c), opaque).Issuer(), "nothing is discovered from it")
}
