package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestStale(t *testing.T) {
	stale := func(s *server, d time.Duration) introspect.Config {
		return with(config(s), func(c *introspect.Config) { c.MaxStale = d })
	}
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var results []introspect.Result
		client := newClient(t, with(stale(s, 5*time.Minute), func(c *introspect.Config) {
			c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { results = append(results, e.Result) }
		}))
		off := newClient(t, config(s))
		require.False(t, requireAccepted(t, client, opaque).Stale())
		requireAccepted(t, off, opaque)
		s.fail(down)
		time.Sleep(30 * time.Second)
		tok := requireAccepted(t, client, opaque)
		require.True(t, tok.Stale())
		require.Equal(t, "user-1", tok.Subject())
		require.Equal(t, []introspect.Result{introspect.ResultMiss, introspect.ResultStale}, results)
		requireRefused(t, off, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		requireRefused(t, client, "unknown", unavailable, bearergate.ReasonIntrospectionUnavailable)

		// Bounded.
		time.Sleep(5*time.Minute - 5*time.Second)
		require.True(t, requireAccepted(t, client, opaque).Stale())
		time.Sleep(time.Minute)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
	bubble.Test(t, func(t *testing.T) { // never past exp, leeway or not
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": time.Now().Add(time.Minute).Unix()})
		client := newClient(t, stale(s, time.Hour))
		requireAccepted(t, client, opaque)
		s.fail(down)
		time.Sleep(time.Minute - time.Second)
		require.True(t, requireAccepted(t, client, opaque).Stale())
		time.Sleep(time.Second)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
	bubble.Test(t, func(t *testing.T) { // without exp, as long as MaxStale
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": absent})
		client := newClient(t, stale(s, time.Minute))
		requireAccepted(t, client, opaque)
		s.fail(down)
		time.Sleep(time.Minute)
		require.True(t, requireAccepted(t, client, opaque).Stale())
		time.Sleep(introspect.NoExpiryTTL)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
	bubble.Test(t, func(t *testing.T) { // nor does half of a life that is not known leave anything
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": absent})
		client := newClient(t, with(stale(s, time.Minute), func(c *introspect.Config) { c.Cache.HalfLife = true }))
		requireAccepted(t, client, opaque)
		s.fail(down)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
	bubble.Test(t, func(t *testing.T) { // by the clock of the Config too, and no leeway
		s := newServer()
		skew := time.Duration(0)
		client := newClient(t, with(stale(s, time.Hour), func(c *introspect.Config) { c.Now = func() time.Time { return time.Now().Add(skew) } }))
		requireAccepted(t, client, opaque)
		s.fail(down)
		time.Sleep(time.Minute)
		skew = 59 * time.Minute
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		skew -= time.Second
		require.True(t, requireAccepted(t, client, opaque).Stale())
		skew = -2 * time.Hour // iat has not come yet
		requireRefused(t, client, opaque, invalid, bearergate.ReasonNotYetValid)
	})
	bubble.Test(t, func(t *testing.T) { // nor after all was purged, while the server is being asked
		s := newServer()
		client := newClient(t, stale(s, time.Hour))
		requireAccepted(t, client, opaque)
		time.Sleep(time.Minute)
		s.fail(status(429))
		s.set(func(s *server) { s.delay = time.Second / 2 })
		time.AfterFunc(time.Second/4, client.PurgeAll)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
	bubble.Test(t, func(t *testing.T) { // an outage at the first try, and no place for the second, while others are answered
		s := newServer()
		client := newClient(t, with(stale(s, time.Hour), func(c *introspect.Config) { c.Calls.Max, c.Timeout = 1, 1500*time.Millisecond }))
		requireAccepted(t, client, opaque)
		time.Sleep(time.Minute)
		s.set(func(s *server) {
			s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
				if form.Get("token") == opaque {
					return status(503)()
				}
				time.Sleep(400 * time.Millisecond)
				return reply(200, "application/json", `{"active":false}`), nil
			}
		})
		time.AfterFunc(time.Millisecond, func() {
			for _, token := range []string{"t1", "t2"} {
				go func() { _, _ = client.Verify(t.Context(), token) }()
			}
		})
		start := time.Now()
		require.True(t, requireAccepted(t, client, opaque).Stale())
		require.Less(t, time.Since(start), time.Second, "not because the call is late")
		require.Equal(t, 2, s.times(opaque))
		time.Sleep(time.Minute)
	})
	for _, purged := range []string{opaque, "another"} { // while the server is being asked
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			client := newClient(t, stale(s, time.Hour))
			requireAccepted(t, client, opaque)
			time.Sleep(time.Minute)
			s.fail(status(429))
			s.set(func(s *server) { s.delay = time.Second / 2 })
			time.AfterFunc(time.Second/4, func() { client.Purge(purged) })
			if purged == opaque {
				requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			} else {
				require.True(t, requireAccepted(t, client, opaque).Stale())
			}
		})
	}
	bubble.Test(t, func(t *testing.T) { // an inactive answer, a shorter exp and a purge end it
		for _, end := range []func(*server, *introspect.Client){
			func(s *server, c *introspect.Client) {
				s.set(func(s *server) { delete(s.answers, opaque) })
				requireRefused(t, c, opaque, invalid, bearergate.ReasonInactive)
			},
			func(s *server, c *introspect.Client) {
				s.set(func(s *server) { s.answers[opaque] = answer(map[string]any{"exp": time.Now().Unix() - 1}) })
				requireAccepted(t, c, opaque) // within the leeway
			},
			func(s *server, c *introspect.Client) { c.Purge(opaque) },
			func(s *server, c *introspect.Client) { c.PurgeAll() },
		} {
			s := newServer()
			client := newClient(t, stale(s, time.Hour))
			requireAccepted(t, client, opaque)
			time.Sleep(31 * time.Second)
			end(s, client)
			time.Sleep(6 * time.Second)
			s.fail(down)
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
	})
}

// An older answer stands in during every outage, and for nothing that may be said of this
// token, or of us.
func TestWhatAStaleAnswerStandsInFor(t *testing.T) {
	body := func(contentType, text string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return reply(200, contentType, text), nil }
	}
	for _, tt := range []struct {
		name  string
		fault func() (*http.Response, error)
		own   error // of our credentials; nil: they are made
		keys  error // of the source of keys; nil: there is an empty one
		kind  error // nil: the older answer stands in
	}{
		{name: "connect", fault: down}, {name: "TLS", fault: badCertificate},
		{name: "500", fault: status(500)}, {name: "501", fault: status(501)}, {name: "503", fault: status(503)}, {name: "429", fault: status(429)},
		{name: "404", fault: status(404)}, {name: "405", fault: status(405)}, {name: "410", fault: status(410)},
		{name: "a redirect", fault: status(302, "Location", "/x")},
		{name: "a page", fault: body("text/html", "<p>")},
		{name: "cut off", fault: func() (*http.Response, error) {
			r := reply(200, "application/json", "")
			r.ContentLength, r.Body = 100, io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
			return r, nil
		}},
		{name: "a client that panics", fault: func() (*http.Response, error) { panic(1) }},
		{name: "no keys for a signed answer", fault: body(signedType, newSigner(t, "ES256", "k").sign(t, nil, nil)), keys: errors.New("x")},
		{name: "nobody can make our credentials", own: fmt.Errorf("token endpoint: %w", unavailable)},
		{name: "our credentials are configured wrongly", own: fmt.Errorf("no key: %w", misconfigured), kind: misconfigured},
		{name: "400", fault: status(400), kind: unavailable}, {name: "415", fault: status(415), kind: unavailable},
		{name: "nonsense", fault: body("application/json", "{}"), kind: unavailable},
		{name: "too large", fault: body("application/json", strings.Repeat(" ", 1<<17)), kind: unavailable},
		{name: "a signature of no key", fault: body(signedType, newSigner(t, "ES256", "k").sign(t, nil, nil)), kind: unavailable},
		{name: "401", fault: status(401), kind: misconfigured}, {name: "403", fault: status(403), kind: misconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				var broken error
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.MaxStale, c.ClientID = time.Hour, clientID
					c.Auth = introspect.BearerAuth(func(context.Context) (string, error) { return "own", broken })
					c.Signed = introspect.SignedConfig{Answers: introspect.SignedIfOffered, Keys: source(func() ([]jwks.Key, error) { return nil, tt.keys })}
				}))
				requireAccepted(t, client, opaque)
				time.Sleep(time.Minute)
				s.fail(tt.fault)
				broken = tt.own
				token, err := client.Verify(t.Context(), opaque)
				if tt.kind != nil {
					require.ErrorIs(t, err, tt.kind)
					return
				}
				require.NoError(t, err)
				require.True(t, token.Stale())
			})
		})
	}
}

// What was said last counts: a retry that the server answers, in whatever way,
// is no outage.
func TestNoStaleAfterAnAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		second func() (*http.Response, error)
		kind   error
		reason bearergate.Reason
	}{
		"401": {status(401), misconfigured, bearergate.ReasonConfig},
		"400": {status(400), unavailable, bearergate.ReasonIntrospectionUnavailable},
		"nonsense": {func() (*http.Response, error) {
			return reply(200, "application/json", `{"active":"no"}`), nil
		}, unavailable, bearergate.ReasonIntrospectionUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale = time.Hour }))
				requireAccepted(t, client, opaque)
				time.Sleep(31 * time.Second)
				s.fail(func() (*http.Response, error) { s.fail(tt.second); return down() })
				requireRefused(t, client, opaque, tt.kind, tt.reason)
				own := map[bool]int{true: 1}[name == "401"]
				require.Equal(t, 3+own, s.requests())
				time.Sleep(introspect.CredentialsPause)
				s.fail(func() (*http.Response, error) { s.fail(status(503)); return down() }) // the control
				require.True(t, requireAccepted(t, client, opaque).Stale())
			})
		})
	}
}

// slowToLook is a context whose owner waits for an outcome, and gets to look at it late.
type slowToLook struct {
	context.Context
	waits func()
	until <-chan struct{}
}

func (c slowToLook) Done() <-chan struct{} { c.waits(); <-c.until; return nil }

// An answer that came while somebody waited for another call ends what was
// remembered before.
func TestNoStaleAfterSomebodyElsesAnswer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale = time.Hour }))
		requireAccepted(t, client, opaque)
		time.Sleep(31 * time.Second)
		// The server answers when somebody waits, or he would find the outcome at once.
		waiting, until := make(chan struct{}), make(chan struct{})
		s.fail(func() (*http.Response, error) { <-waiting; return status(429)() })
		var tok *bearergate.Token
		var err error
		var wg sync.WaitGroup
		wg.Go(func() {
			tok, err = client.Verify(slowToLook{t.Context(), sync.OnceFunc(func() { close(waiting) }), until}, opaque)
		})
		synctest.Wait()
		s.fail(nil)
		s.set(func(s *server) { delete(s.answers, opaque) })
		time.Sleep(time.Second) // for so long, the failed token is left alone
		requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
		close(until)
		wg.Wait()
		requireError(t, tok, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
}
