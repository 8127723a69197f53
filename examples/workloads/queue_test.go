package workloads_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/workloads"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// broker is a queue in this process. Everything that was sent is in exactly one of its
// places: waiting (or to come back), hidden, done, dead.
type broker struct {
	ready chan workloads.Message

	mu     sync.Mutex // guards the rest
	later  int        // messages that are on their way back into ready
	hidden map[string]bool
	done   []string
	dead   map[string]workloads.DeadLetter
	back   []time.Duration // how long each Again asked for
	last   workloads.Message
	lost   error // what the next answer fails with
}

func newBroker(messages ...workloads.Message) *broker {
	b := &broker{ready: make(chan workloads.Message, 1000), hidden: map[string]bool{}, dead: map[string]workloads.DeadLetter{}}
	for _, m := range messages {
		b.ready <- m
	}
	return b
}

func (b *broker) Take(ctx context.Context) (workloads.Message, error) {
	if err := ctx.Err(); err != nil {
		return workloads.Message{}, err
	}
	select {
	case m := <-b.ready:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.hidden[m.ID] = true
		return m, nil
	case <-ctx.Done():
		return workloads.Message{}, ctx.Err()
	}
}

// answered ends the time for which a message is hidden.
func (b *broker) answered(ctx context.Context, id string, then func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(ctx.Err(), b.lost); err != nil {
		return err
	}
	if !b.hidden[id] {
		panic("an answer about " + id + ", which nobody has taken")
	}
	delete(b.hidden, id)
	then()
	return nil
}

func (b *broker) Done(ctx context.Context, m workloads.Message) error {
	return b.answered(ctx, m.ID, func() { b.done = append(b.done, m.ID) })
}

func (b *broker) Again(ctx context.Context, m workloads.Message, after time.Duration) error {
	return b.answered(ctx, m.ID, func() {
		b.back, b.last = append(b.back, after), m
		b.later++
		time.AfterFunc(after, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.later--
			b.ready <- m
		})
	})
}

func (b *broker) Dead(ctx context.Context, d workloads.DeadLetter) error {
	return b.answered(ctx, d.ID, func() { b.dead[d.ID] = d })
}

// waiting is how many messages are neither done nor dead.
func (b *broker) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.later + len(b.ready) + len(b.hidden)
}

// consumer does the work of a broker, and notes for whom.
type consumer struct {
	workloads.Consumer
	mu     sync.Mutex // guards worked
	worked []string   // IDs, each time
}

func newConsumer(b *broker, v bearergate.Verifier, work func(context.Context, workloads.Message) error) *consumer {
	c := &consumer{}
	c.Consumer = workloads.Consumer{Queue: b, Verifier: v, Need: scope.All("orders:pack"), MaxFailures: 3,
		Work: func(ctx context.Context, m workloads.Message) error {
			if token, ok := bearergate.FromContext(ctx); !ok || !token.Scopes().Has("orders:pack") {
				panic("work for nobody")
			}
			c.mu.Lock()
			c.worked = append(c.worked, m.ID)
			c.mu.Unlock()
			if work != nil {
				return work(ctx, m)
			}
			return nil
		}}
	return c
}

func verifierOf(t *testing.T, as *authtest.Server) bearergate.Verifier {
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	return v
}

func message(id, token string) workloads.Message {
	return workloads.Message{ID: id, Token: bearergate.NewSecret(token), Body: []byte("pack " + id)}
}

var packer = authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:pack")}

// What becomes of one message.
func TestQueue(t *testing.T) {
	changed := func(change func(claims map[string]any)) func(*authtest.Server) string {
		return func(as *authtest.Server) string {
			claims := as.Claims(packer)
			change(claims)
			return as.Sign(nil, claims)
		}
	}
	says := func(name string, value any) func(*authtest.Server) string {
		return changed(func(claims map[string]any) { claims[name] = value })
	}
	const done, again, dead = "done", "again", "dead"
	for _, tt := range []struct {
		name  string
		token func(*authtest.Server) string // nil: a good one
		wait  time.Duration                 // in the queue
		fault authtest.Fault
		work  error // what it returns
		want  string
		// reason is that of a dead letter; failures is what the message comes back with.
		reason   bearergate.Reason
		failures int
	}{
		{name: "a good token", want: done},
		{name: "a good token, late", wait: 59 * time.Minute, want: done},
		{name: "a token that has expired in the queue", wait: time.Hour + time.Minute, want: dead, reason: bearergate.ReasonExpired},
		{name: "no token", token: func(*authtest.Server) string { return "" }, want: dead, reason: bearergate.ReasonNoToken},
		{name: "no JWT", token: func(*authtest.Server) string { return "alice" }, want: dead, reason: bearergate.ReasonMalformed},
		{name: "a header in the place of a token", token: func(as *authtest.Server) string { return "Bearer " + as.Token(packer) }, want: dead, reason: bearergate.ReasonMalformed},
		{name: "for another API", token: says("aud", "https://other.example.test"), want: dead, reason: bearergate.ReasonAudience},
		{name: "of another issuer", token: says("iss", "https://other.example.test"), want: dead, reason: bearergate.ReasonIssuer},
		{name: "without the scope", token: says("scope", "orders:read"), want: dead, reason: bearergate.ReasonScope},
		{name: "bound to the key of its sender", token: says("cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), want: dead, reason: bearergate.ReasonBinding},
		{name: "of a key that is unknown", token: func(as *authtest.Server) string {
			return as.Sign(map[string]any{"kid": "unknown"}, as.Claims(packer))
		}, want: dead, reason: bearergate.ReasonUnknownKey},
		{name: "the keys cannot be fetched", fault: authtest.Fault{Status: 503}, want: again},
		{name: "the work has an outage", work: fmt.Errorf("%w: no database", bearergate.ErrUnavailable), want: again},
		{name: "the work fails", work: errors.New("no such order"), want: again, failures: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				as := authtest.New(t)
				token := as.Token(packer)
				if tt.token != nil {
					token = tt.token(as)
				}
				as.Fail(tt.fault)
				m := message("m1", token)
				b := newBroker(m)
				c := newConsumer(b, verifierOf(t, as), func(context.Context, workloads.Message) error { return tt.work })
				time.Sleep(tt.wait)
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				synctest.Wait()
				stop()
				require.ErrorIs(t, <-ended, context.Canceled)

				b.mu.Lock()
				defer b.mu.Unlock()
				require.Equal(t, tt.want == done, slices.Equal(b.done, []string{"m1"}))
				require.Equal(t, tt.want == dead, len(b.dead) == 1)
				require.Equal(t, tt.want == again, len(b.back) == 1)
				require.Equal(t, tt.want == done || tt.work != nil, len(c.worked) == 1, "work is done for a token that allows it, and for nobody else")
				require.Empty(t, b.hidden)
				switch tt.want {
				case dead:
					require.Equal(t, workloads.DeadLetter{ID: "m1", Body: m.Body, Reason: tt.reason}, b.dead["m1"])
				case again:
					require.Equal(t, tt.failures, b.last.Failures)
					require.GreaterOrEqual(t, b.back[0], time.Second)
					require.LessOrEqual(t, b.back[0], time.Minute)
				}
				if token != "" && token != "alice" {
					kit.RequireNothingOf(t, fmt.Sprintf("%v %+v %#v", m, m, b.dead), strings.TrimPrefix(token, "Bearer "))
				}
			})
		})
	}
}

// While the authorization server is away, nothing is done, nothing is refused and nothing is
// counted; afterwards all is done that is good.
func TestQueueOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		as.Fail(authtest.Fault{Status: 503})
		var messages []workloads.Message
		for i := range 20 {
			messages = append(messages, message(fmt.Sprint("good", i), as.Token(packer)), message(fmt.Sprint("bad", i), as.Token(authtest.Claims{Scopes: scope.Of("orders:read")})))
		}
		b := newBroker(messages...)
		c := newConsumer(b, verifierOf(t, as), nil)
		run := func(d time.Duration) {
			ctx, stop := context.WithTimeout(t.Context(), d)
			defer stop()
			require.ErrorIs(t, c.Run(ctx), context.DeadlineExceeded)
		}
		run(30 * time.Minute)
		require.Equal(t, len(messages), b.waiting())
		require.Empty(t, c.worked)
		require.Greater(t, len(b.back), 10*len(messages), "each was tried more often than it may fail")
		require.Zero(t, b.last.Failures)

		as.Fail(authtest.Fault{})
		run(3 * time.Minute)
		require.Zero(t, b.waiting())
		require.Len(t, b.done, 20)
		require.ElementsMatch(t, b.done, c.worked)
		require.Len(t, b.dead, 20)
		for id, letter := range b.dead {
			require.True(t, strings.HasPrefix(id, "bad"))
			require.Equal(t, bearergate.ReasonScope, letter.Reason)
		}
	})
}

// Something is wrong that no later message mends: the consumer stops, and has lost nothing.
func TestQueueMisconfigured(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t, authtest.WithClient("packer", "secret"))
		asking := func(secret string) bearergate.Verifier {
			client, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("packer", secret),
				Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
			require.NoError(t, err)
			return client
		}
		b := newBroker(message("m1", as.Opaque(packer)), message("m2", as.Opaque(packer)))
		wrong := newConsumer(b, asking("guess"), nil)
		for range 2 * wrong.MaxFailures { // it is started again and again
			kit.RequireError(t, wrong.Run(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			time.Sleep(time.Minute)
			require.Equal(t, 2, b.waiting())
		}
		require.Empty(t, wrong.worked)
		require.Zero(t, b.last.Failures, "a wrong secret is the fault of no message")

		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		require.ErrorIs(t, newConsumer(b, asking("secret"), nil).Run(ctx), context.DeadlineExceeded)
		require.ElementsMatch(t, []string{"m1", "m2"}, b.done)
	})
}

// One message breaks the work, another one the verifier: each is given up after as many
// failures as there may be, and the others are done.
func TestQueuePoison(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		local := verifierOf(t, as)
		poison := as.Token(packer)
		v := bearergate.VerifierFunc(func(ctx context.Context, token string) (*bearergate.Token, error) {
			if token == poison {
				panic(token)
			}
			return local.Verify(ctx, token)
		})
		b := newBroker(message("m1", as.Token(packer)), message("breaks the work", as.Token(packer)), message("breaks the verifier", poison), message("m2", as.Token(packer)))
		c := newConsumer(b, v, func(_ context.Context, m workloads.Message) error {
			if m.ID == "breaks the work" {
				panic(m.Token.Reveal())
			}
			return nil
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		stops := 0
		for ctx.Err() == nil {
			err := c.Run(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
			kit.RequireNothingOf(t, err.Error(), poison)
			stops++
		}
		require.Equal(t, c.MaxFailures, stops)
		require.Zero(t, b.waiting())
		require.ElementsMatch(t, []string{"m1", "m2"}, b.done)
		require.ElementsMatch(t, []string{"breaks the work", "breaks the verifier"}, slices.Collect(maps.Keys(b.dead)))
		require.ElementsMatch(t, []string{"m1", "m2", "breaks the work", "breaks the work", "breaks the work"}, c.worked)
		for _, letter := range b.dead {
			require.Equal(t, bearergate.ReasonInternal, letter.Reason)
		}
	})
}

// The consumer is told to stop, or the broker is gone, at each moment of a message.
func TestQueueStop(t *testing.T) {
	for _, tt := range []struct {
		name   string
		during string // "verify", "work", "answer"
		gone   bool   // the broker
		done   bool
	}{
		{name: "while it verifies", during: "verify"},
		{name: "while it works, and it does not notice", during: "work", done: true},
		{name: "while it works, and it gives up", during: "work, which gives up"},
		{name: "the broker does not hear that it is done", during: "work", gone: true},
		{name: "the broker does not hear that it is not", during: "verify", gone: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				as := authtest.New(t)
				local := verifierOf(t, as)
				b := newBroker(message("m1", as.Token(packer)))
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				strike := func() {
					if tt.gone {
						b.mu.Lock()
						b.lost = errors.New("the broker is gone")
						b.mu.Unlock()
					}
					stop()
				}
				c := newConsumer(b, bearergate.VerifierFunc(func(ctx context.Context, token string) (*bearergate.Token, error) {
					if tt.during == "verify" {
						strike()
						return nil, ctx.Err()
					}
					return local.Verify(ctx, token)
				}), func(ctx context.Context, _ workloads.Message) error {
					strike()
					if tt.during == "work" {
						return nil
					}
					return ctx.Err()
				})
				err := c.Run(ctx)
				require.Error(t, err)
				require.Equal(t, tt.done, slices.Equal(b.done, []string{"m1"}))
				require.Empty(t, b.dead)
				if tt.gone {
					require.ErrorContains(t, err, "the broker is gone")
					require.Equal(t, map[string]bool{"m1": true}, b.hidden, "it comes back when its time is up")
					return
				}
				require.ErrorIs(t, err, context.Canceled)
				require.Empty(t, b.hidden)
				require.Zero(t, b.last.Failures, "that was nobody's fault")
				if !tt.done {
					require.Equal(t, []time.Duration{0}, b.back, "another consumer takes it at once")
				}
			})
		})
	}
}

// Good and bad messages, a server that comes and goes, several consumers: in the end, each
// message is in one place, and it is the right one.
func TestQueueLosesNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		b, want := newBroker(), map[string]bool{}
		for i := range 200 {
			good, id := i%3 != 0, fmt.Sprint("m", i)
			claims := as.Claims(packer)
			if !good {
				claims["aud"] = "https://other.example.test"
			}
			want[id] = good
			b.ready <- message(id, as.Sign(nil, claims))
		}
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
			Check: func(context.Context, *bearergate.Token) error { // a store that is away every other second
				if time.Now().Second()%2 == 1 {
					return bearergate.ErrUnavailable
				}
				return nil
			}})
		require.NoError(t, err)
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute)
		defer stop()
		c := newConsumer(b, v, func(ctx context.Context, m workloads.Message) error {
			time.Sleep(300 * time.Millisecond)
			if len(m.ID)%2 == 0 && m.Failures == 0 {
				return errors.New("it works the second time")
			}
			return nil
		})
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() { _ = c.Run(ctx) })
		}
		running.Wait()
		require.Zero(t, b.waiting())
		for id, good := range want {
			_, dead := b.dead[id]
			require.Equal(t, good, slices.Contains(b.done, id), id)
			require.Equal(t, !good, dead, id)
			require.Equal(t, good, slices.Contains(c.worked, id), id)
		}
		require.Len(t, b.done, len(slices.Compact(slices.Sorted(slices.Values(b.done)))), "each is done once")
	})
}
