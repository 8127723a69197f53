package policy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/policy"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// alice is a valid token plus changes.
func alice(changes ...func(*bearergate.Claims)) *bearergate.Token {
	c := bearergate.Claims{Issuer: "https://as.example.com", Subject: "alice", Scopes: scope.Of("read"), ExpiresAt: time.Now().Add(time.Hour)}
	for _, change := range changes {
		change(&c)
	}
	return bearergate.NewToken(c)
}

// engine is a Decide that counts, and says what answer says.
type engine struct {
	asked  atomic.Int64
	answer func(ctx context.Context, t *bearergate.Token, inputs []string) error
}

func (e *engine) decide(ctx context.Context, t *bearergate.Token, inputs []string) error {
	e.asked.Add(1)
	if e.answer == nil {
		return nil
	}
	return e.answer(ctx, t, inputs)
}

// cache is one with the engine.
func cache(t *testing.T, e *engine, change ...func(*policy.Config)) *policy.Cache {
	t.Helper()
	c := policy.Config{Decide: e.decide}
	for _, f := range change {
		f(&c)
	}
	p, err := policy.New(c)
	require.NoError(t, err)
	return p
}

func requireError(t *testing.T, err, kind error, reason bearergate.Reason) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	require.Equal(t, reason, bearergate.ReasonOf(err), err)
}

// What is one question, and what is two.
func TestQuestions(t *testing.T) {
	base := alice()
	for name, tc := range map[string]struct {
		token  *bearergate.Token
		inputs []string
		same   bool
	}{
		"the same":                   {token: base, inputs: []string{"GET", "/orders/{id}", "7"}, same: true},
		"a token that says the same": {token: base.With(func(*bearergate.Claims) {}), inputs: []string{"GET", "/orders/{id}", "7"}, same: true},
		"another path value":         {token: base, inputs: []string{"GET", "/orders/{id}", "8"}},
		"another method":             {token: base, inputs: []string{"PUT", "/orders/{id}", "7"}},
		"another order":              {token: base, inputs: []string{"/orders/{id}", "GET", "7"}},
		"one input less":             {token: base, inputs: []string{"GET", "/orders/{id}"}},
		"an empty input more":        {token: base, inputs: []string{"GET", "/orders/{id}", "7", ""}},
		"joined":                     {token: base, inputs: []string{"GET/orders/{id}7"}},
		"cut elsewhere":              {token: base, inputs: []string{"GET/", "orders/{id}", "7"}},
		"a length in an input":       {token: base, inputs: []string{"GET\x00\x00\x00\x00\x00\x00\x00\x0c/orders/{id}", "7"}},
		"another case":               {token: base, inputs: []string{"get", "/orders/{id}", "7"}},
		"another user":               {token: base.With(func(c *bearergate.Claims) { c.Subject = "bob" }), inputs: []string{"GET", "/orders/{id}", "7"}},
		"another issuer":             {token: base.With(func(c *bearergate.Claims) { c.Issuer += "/" }), inputs: []string{"GET", "/orders/{id}", "7"}},
		"another tenant":             {token: base.With(func(c *bearergate.Claims) { c.Tenant = "t" }), inputs: []string{"GET", "/orders/{id}", "7"}},
		"another actor":              {token: base.With(func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{{Subject: "svc"}} }), inputs: []string{"GET", "/orders/{id}", "7"}},
		"a claim of their own":       {token: base.With(func(c *bearergate.Claims) { c.Raw = []byte(`{"device_id":"d"}`) }), inputs: []string{"GET", "/orders/{id}", "7"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, answer := range []error{nil, bearergate.ErrForbidden} {
				e := &engine{answer: func(context.Context, *bearergate.Token, []string) error { return answer }}
				p := cache(t, e)
				for range 3 {
					require.ErrorIs(t, p.Ask(t.Context(), base, "GET", "/orders/{id}", "7"), answer)
				}
				require.EqualValues(t, 1, e.asked.Load())
				e.answer = func(_ context.Context, token *bearergate.Token, inputs []string) error {
					require.Equal(t, tc.token.Subject(), token.Subject())
					require.Equal(t, tc.inputs, inputs)
					return bearergate.ErrUnavailable
				}
				err := p.Ask(t.Context(), tc.token, tc.inputs...)
				if tc.same {
					require.ErrorIs(t, err, answer)
					require.EqualValues(t, 1, e.asked.Load())
				} else {
					requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
					require.EqualValues(t, 2, e.asked.Load())
				}
			}
		})
	}
}

// What Decide says, what the caller gets, and for how long it is remembered.
func TestAnswers(t *testing.T) {
	custom := errors.New("the order is closed")
	for name, tc := range map[string]struct {
		decide func(context.Context) error
		kind   error
		reason bearergate.Reason
		kept   time.Duration // 0: not at all
	}{
		"yes": {decide: func(context.Context) error { return nil }, kept: 30 * time.Second},
		"no":  {decide: func(context.Context) error { return custom }, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, kept: 5 * time.Second},
		"no, with a reason": {decide: func(context.Context) error {
			return &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonTenant, Cause: custom}
		}, kind: bearergate.ErrForbidden, reason: bearergate.ReasonTenant, kept: 5 * time.Second},
		"authenticate first": {decide: func(context.Context) error {
			return &bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, Reason: bearergate.ReasonAuthentication, ACRValues: []string{"mfa"}}
		}, kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication, kept: 5 * time.Second},
		"an outage": {decide: func(context.Context) error { return bearergate.ErrUnavailable }, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		"a timeout": {decide: func(ctx context.Context) error { <-ctx.Done(); return custom }, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		"a panic":   {decide: func(context.Context) error { panic(custom) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		"Goexit":    {decide: func(context.Context) error { runtime.Goexit(); return nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		"mute error": {decide: func(context.Context) error {
			return &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy, Cause: (*mute)(nil)}
		}, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				e := &engine{answer: func(ctx context.Context, _ *bearergate.Token, _ []string) error { return tc.decide(ctx) }}
				p, token := cache(t, e), alice()
				ask := func() {
					t.Helper()
					err := p.Ask(t.Context(), token, "x")
					if tc.kind == nil {
						require.NoError(t, err)
						return
					}
					requireError(t, err, tc.kind, tc.reason)
					bearergate.AsError(err).Detail = "changed by its owner"
				}
				ask()
				if tc.kept > 0 {
					time.Sleep(tc.kept - time.Nanosecond) // the bubble's clock
					ask()
					require.EqualValues(t, 1, e.asked.Load(), "remembered")
					time.Sleep(time.Nanosecond)
				}
				ask()
				require.EqualValues(t, 2, e.asked.Load(), "asked again")
			})
		})
	}
}

type mute struct{ text string }

func (m *mute) Error() string { return m.text }

// What is remembered of a refusal: its words, not its owner's changes, and nothing else.
func TestRefusalsAreCopies(t *testing.T) {
	e := &engine{answer: func(context.Context, *bearergate.Token, []string) error {
		return &bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope, Scopes: []string{"a"}, Cause: &cause{"the order is closed"}, Detail: "d"}
	}}
	p, token := cache(t, e), alice()
	for i := range 3 {
		got := bearergate.AsError(p.Ask(t.Context(), token))
		var c *cause
		require.Equal(t, i == 0, errors.As(got, &c), "the cause itself is for those who waited")
		require.Equal(t, []string{"a"}, got.Scopes)
		require.Equal(t, "d", got.Detail)
		require.ErrorContains(t, got, "the order is closed")
		if i > 0 {
			got.Scopes[0], got.Detail = "changed", "changed"
		}
	}
	require.EqualValues(t, 1, e.asked.Load())
}

type cause struct{ text string }

func (c *cause) Error() string { return c.text }

// No decision outlives the token.
func TestNeverPastExp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := &engine{}
		p := cache(t, e)
		token := alice(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(3 * time.Second) })
		require.NoError(t, p.Ask(t.Context(), token))
		time.Sleep(3*time.Second - time.Nanosecond)
		require.NoError(t, p.Ask(t.Context(), token))
		require.EqualValues(t, 1, e.asked.Load())
		time.Sleep(time.Nanosecond)
		for range 2 { // within the leeway of its verifier, say: asked each time
			require.NoError(t, p.Ask(t.Context(), token))
		}
		require.EqualValues(t, 3, e.asked.Load())

		eternal := alice(func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} })
		require.NoError(t, p.Ask(t.Context(), eternal))
		require.NoError(t, p.Ask(t.Context(), eternal))
		require.EqualValues(t, 4, e.asked.Load())
	})
}

// An answer is as old as its question: what Decide saw at its beginning may have changed
// while it worked.
func TestAgeBeginsWithTheQuestion(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := &engine{answer: func(context.Context, *bearergate.Token, []string) error { time.Sleep(time.Second); return nil }}
		p, token := cache(t, e, func(c *policy.Config) { c.TTL = 3 * time.Second }), alice()
		require.NoError(t, p.Ask(t.Context(), token))
		time.Sleep(2*time.Second - time.Nanosecond)
		require.NoError(t, p.Ask(t.Context(), token))
		require.EqualValues(t, 1, e.asked.Load())
		time.Sleep(time.Nanosecond)
		require.NoError(t, p.Ask(t.Context(), token))
		require.EqualValues(t, 2, e.asked.Load())
	})
}

// A burst asks once, and whoever leaves takes nobody along.
func TestOneCallForMany(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := &engine{answer: func(ctx context.Context, _ *bearergate.Token, _ []string) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
				return nil
			}
		}}
		p, token := cache(t, e), alice()
		first, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		short, done := context.WithTimeout(t.Context(), time.Millisecond)
		defer done()
		var all sync.WaitGroup
		all.Go(func() {
			requireError(t, p.Ask(first, token), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		})
		synctest.Wait()
		all.Go(func() {
			requireError(t, p.Ask(short, token), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		})
		for range 100 {
			all.Go(func() { require.NoError(t, p.Ask(t.Context(), token)) })
		}
		synctest.Wait()
		leave()
		all.Wait()
		require.EqualValues(t, 1, e.asked.Load())
		requireError(t, p.Ask(first, alice(), "new"), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		require.EqualValues(t, 1, e.asked.Load(), "nobody is there to be told")
	})
}

type key struct{}

// The context of Decide ends with the last who waits, and holds nothing of the first one.
func TestTheLastOneEndsTheCall(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		e := &engine{answer: func(ctx context.Context, _ *bearergate.Token, _ []string) error {
			require.Nil(t, ctx.Value(key{}))
			<-ctx.Done()
			close(ended)
			return nil // as one would that is cut off in the middle
		}}
		p, token := cache(t, e), alice()
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				requireError(t, p.Ask(ctx, token), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		<-ended
		synctest.Wait()
		e.answer = func(context.Context, *bearergate.Token, []string) error { return bearergate.ErrForbidden }
		requireError(t, p.Ask(t.Context(), token), bearergate.ErrForbidden, bearergate.ReasonPolicy)
		require.EqualValues(t, 2, e.asked.Load(), "what was said to nobody is not kept")
	})
}

// Calls that ignore the end of their context are left behind, and are counted.
func TestCallsAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &engine{answer: func(context.Context, *bearergate.Token, []string) error { <-release; return nil }}
		p, token := cache(t, e, func(c *policy.Config) { c.Calls = 2 }), alice()
		start := time.Now()
		for range 2 { // of one question: the second is not answered by a call that hangs
			requireError(t, p.Ask(t.Context(), token), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		}
		require.Equal(t, 2*(policy.DefaultTimeout+100*time.Millisecond), time.Since(start))
		requireError(t, p.Ask(t.Context(), token, "another"), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.EqualValues(t, 2, e.asked.Load())
		close(release)
		synctest.Wait()
		require.NoError(t, p.Ask(t.Context(), token), "as soon as they have returned")
		require.EqualValues(t, 3, e.asked.Load(), "what they said so late is not kept")
	})
}

// What is refused pushes out nothing that was allowed, and the latest is always there.
func TestItIsBounded(t *testing.T) {
	e := &engine{answer: func(_ context.Context, _ *bearergate.Token, inputs []string) error {
		if inputs[0] == "yes" {
			return nil
		}
		return bearergate.ErrForbidden
	}}
	p, token := cache(t, e, func(c *policy.Config) { c.Entries = 1 }), alice()
	require.NoError(t, p.Ask(t.Context(), token, "yes"))
	for i := range 100 {
		require.ErrorIs(t, p.Ask(t.Context(), token, "no", fmt.Sprint(i)), bearergate.ErrForbidden)
	}
	require.NoError(t, p.Ask(t.Context(), token, "yes"))
	require.ErrorIs(t, p.Ask(t.Context(), token, "no", "99"), bearergate.ErrForbidden)
	require.EqualValues(t, 101, e.asked.Load())
	require.ErrorIs(t, p.Ask(t.Context(), token, "no", "98"), bearergate.ErrForbidden)
	require.EqualValues(t, 102, e.asked.Load())
}

// After Purge everything is asked again, and a call that began before it answers only
// those who wait for it.
func TestPurge(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := &engine{}
		p, token := cache(t, e), alice()
		require.NoError(t, p.Ask(t.Context(), token))
		p.Purge()
		e.answer = func(context.Context, *bearergate.Token, []string) error { time.Sleep(time.Second); return nil }
		var before sync.WaitGroup
		before.Go(func() { require.NoError(t, p.Ask(t.Context(), token)) })
		synctest.Wait()
		p.Purge()
		e.answer = func(context.Context, *bearergate.Token, []string) error { return bearergate.ErrForbidden }
		require.ErrorIs(t, p.Ask(t.Context(), token), bearergate.ErrForbidden)
		before.Wait()
		require.ErrorIs(t, p.Ask(t.Context(), token), bearergate.ErrForbidden)
		require.EqualValues(t, 3, e.asked.Load())
	})
}

// Nobody is asked about a token that is authorized for nothing.
func TestTokens(t *testing.T) {
	e := &engine{}
	p := cache(t, e)
	bound := alice(func(c *bearergate.Claims) { c.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)} })
	requireError(t, p.Ask(t.Context(), nil), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	requireError(t, p.Ask(t.Context(), new(bearergate.Token)), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	requireError(t, p.Ask(t.Context(), bound), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	require.Zero(t, e.asked.Load())
	require.NoError(t, p.Ask(nil, alice())) //nolint:staticcheck // a caller's mistake, and no reason to panic
}

func TestMistakes(t *testing.T) {
	for name, tc := range map[string]struct {
		config policy.Config
		texts  []string
	}{
		"nothing": {texts: []string{"Config.Decide is nil"}},
		"all at once": {config: policy.Config{TTL: -1, DeniedTTL: time.Hour, Entries: -1, Timeout: time.Hour, Calls: 1 << 20},
			texts: []string{"Config.Decide is nil", "Config.TTL is", "Config.DeniedTTL is", "Config.Entries is", "Config.Timeout is", "Config.Calls is"}},
		"no unit": {config: policy.Config{Decide: new(engine).decide, TTL: 30}, texts: []string{"write 30*time.Second"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.New(tc.config)
			require.Nil(t, p)
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tc.texts {
				require.ErrorContains(t, err, text)
			}
		})
	}
	for _, p := range []*policy.Cache{nil, {}} {
		p.Purge()
		requireError(t, p.Ask(t.Context(), alice()), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

func TestDefaults(t *testing.T) {
	require.Equal(t, 30*time.Second, policy.DefaultTTL)
	require.Equal(t, 5*time.Minute, policy.MaxTTL)
	require.Equal(t, 5*time.Second, policy.DefaultDeniedTTL)
	require.Equal(t, 8192, policy.DefaultEntries)
	require.Equal(t, 2*time.Second, policy.DefaultTimeout)
	require.Equal(t, 10*time.Second, policy.MaxTimeout)
	require.Equal(t, 256, policy.DefaultCalls)
}

func TestConcurrentUse(t *testing.T) {
	e := &engine{answer: func(_ context.Context, _ *bearergate.Token, inputs []string) error {
		if len(inputs[0]) > 1 {
			return bearergate.ErrForbidden
		}
		return nil
	}}
	p, token := cache(t, e, func(c *policy.Config) { c.Entries = 8 }), alice()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 500 {
				input := fmt.Sprint(i % 20)
				if err := p.Ask(t.Context(), token, input); (err == nil) != (len(input) == 1) {
					t.Errorf("%s: %v", input, err)
				}
				if i == 250 {
					p.Purge()
				}
			}
		})
	}
	all.Wait()
}

// What an answer that is remembered costs, beside a route without a policy.
func BenchmarkAllow(b *testing.B) {
	token := alice(func(c *bearergate.Claims) { c.Raw = fmt.Appendf(nil, "{%1024s}", "") })
	v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return token, nil })
	gate, err := middleware.New(v, middleware.Config{})
	require.NoError(b, err)
	p, err := policy.New(policy.Config{Decide: func(context.Context, *bearergate.Token, []string) error { return nil }, TTL: policy.MaxTTL})
	require.NoError(b, err)
	r := httptest.NewRequest(http.MethodGet, "/orders/7", nil)
	r.Header.Set("Authorization", "Bearer x")
	for name, opts := range map[string][]middleware.RouteOption{
		"without": nil,
		"yes":     {middleware.Allow(func(*http.Request, *bearergate.Token) error { return nil })},
		"remembered": {middleware.Allow(func(r *http.Request, t *bearergate.Token) error {
			return p.Ask(r.Context(), t, r.Method, r.URL.Path)
		})},
	} {
		b.Run(name, func(b *testing.B) {
			h := gate.Require(scope.All("read"), opts...)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(discard{}, r)
			}
		})
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// A context that ends without an error opens nothing.
func TestAContextThatSaysNoError(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := &engine{answer: func(ctx context.Context, _ *bearergate.Token, _ []string) error {
			<-ctx.Done()
			return bearergate.ErrForbidden
		}}
		ended := make(chan struct{})
		close(ended)
		err := cache(t, e).Ask(&mutable{Context: t.Context(), done: ended}, alice())
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	})
}

// mutable is a context whose Done and Err are what the test says.
type mutable struct {
	context.Context
	done chan struct{}
	err  func()
}

func (m *mutable) Done() <-chan struct{} { return m.done }
func (m *mutable) Err() error {
	if m.err != nil {
		m.err()
	}
	return nil
}

// Of two answers to one question, the later one counts: a yes that another request was
// given meanwhile does not come back from memory after a no, and the other way round.
func TestTheLaterAnswerCounts(t *testing.T) {
	for name, tc := range map[string]struct{ first, later error }{
		"a no after a yes": {later: bearergate.ErrForbidden},
		"a yes after a no": {first: bearergate.ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			answer := tc.first
			e := &engine{answer: func(context.Context, *bearergate.Token, []string) error { return answer }}
			p, token := cache(t, e), alice()
			// Asked for after this request looked into the memory, and before it asks itself.
			between := &mutable{Context: t.Context(), err: func() {
				require.ErrorIs(t, p.Ask(t.Context(), token), tc.first)
				answer = tc.later
			}}
			require.ErrorIs(t, p.Ask(between, token), tc.later)
			require.EqualValues(t, 2, e.asked.Load())
			require.ErrorIs(t, p.Ask(t.Context(), token), tc.later)
			require.EqualValues(t, 2, e.asked.Load())
		})
	}
}
