package backchannel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func mustMember(t testing.TB, object []byte, name string) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(object, &members))
	return members[name]
}

// A list that does not take it is an outage, and what it did not take is not remembered.
//
// req: BCL-12, BCL-09
func TestListFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fail   func(context.Context) error
		status int
		kind   error
		reason bearergate.Reason
	}{
		{"the log is down", func(context.Context) error {
			return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable}
		}, 503, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"the list is full", func(context.Context) error {
			return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Minute}
		}, 503, bearergate.ErrUnavailable, bearergate.ReasonOverloaded},
		{"any error", func(context.Context) error { return io.EOF }, 503, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"the network", func(context.Context) error { return &net.OpError{Op: "dial", Err: errors.New("refused")} }, 503, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"it hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 503, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"it panics", func(context.Context) error { panic(kit.PanicSecret) }, 500, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"it is set up wrongly", func(context.Context) error { return bearergate.ErrMisconfigured }, 500, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"it refuses the entry", func(context.Context) error { return bearergate.ErrInvalidRequest }, 400, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			s.list.failing(tt.fail)
			token := s.sign(nil, nil)
			start := time.Now()
			require.Equal(t, tt.status, s.send(token))
			outcome := backchannel.Failed
			if tt.status == http.StatusBadRequest {
				outcome = backchannel.Refused
			}
			s.requireFailed(outcome, tt.kind, tt.reason)
			require.LessOrEqual(t, time.Since(start), backchannel.DefaultAddTimeout)
			s.list.failing(nil)
			require.Equal(t, http.StatusOK, s.send(token))
			require.Equal(t, backchannel.Revoked, s.last().Outcome)
		})
	}
}

// A value that no Entry can have is the fault of the logout token.
func TestValueTooLong(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		require.Equal(t, http.StatusBadRequest, s.logout(m{"sid": strings.Repeat("s", revocation.MaxValueBytes+1)}))
		s.requireFailed(backchannel.Refused, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
		require.Equal(t, http.StatusOK, s.logout(m{"sid": strings.Repeat("s", revocation.MaxValueBytes)}))
	})
}

// Keys that cannot be fetched are an outage, never a bad logout token; a rotation is
// followed.
//
// req: BCL-03, BCL-12
func TestKeys(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		s := newScene(t, func(c *backchannel.Config) {
			c.Issuer, c.Keys, c.HTTPClient, c.ClientIDs = as.Issuer(), nil, as.Client(), []string{authtest.DefaultClientID}
		})
		cache, ok := s.h.Keys().(*jwks.Cache)
		require.True(t, ok)
		require.Equal(t, as.Issuer(), cache.Issuer())

		as.Fail(authtest.Fault{Path: "/jwks", Status: http.StatusInternalServerError})
		token := as.LogoutToken(map[string]any{"sid": "session-1"})
		require.Equal(t, http.StatusServiceUnavailable, s.send(token))
		s.requireFailed(backchannel.Failed, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		as.Fail(authtest.Fault{})
		time.Sleep(time.Minute)
		require.Equal(t, http.StatusOK, s.send(token))

		time.Sleep(time.Minute)
		as.Rotate()
		require.Equal(t, http.StatusOK, s.send(as.LogoutToken(map[string]any{"sub": "alice"})))
		require.Equal(t, backchannel.BySubject, s.last().By)
		require.Equal(t, 2, s.list.Status().Entries)
	})
}

// Strangers who invent key IDs can hide a new key for some seconds, and have no logout
// refused by that: the provider is told to send it again.
func TestInventedKeysHaveNoLogoutRefused(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as, stranger := authtest.New(t), authtest.New(t)
		s := newScene(t, func(c *backchannel.Config) {
			c.Issuer, c.Keys, c.HTTPClient, c.ClientIDs = as.Issuer(), nil, as.Client(), []string{authtest.DefaultClientID}
		})
		invented := func() string {
			stranger.Rotate()
			return stranger.LogoutToken(map[string]any{"iss": as.Issuer(), "sub": "alice"})
		}
		require.Equal(t, http.StatusOK, s.send(as.LogoutToken(map[string]any{"sub": "bob"})))
		time.Sleep(time.Minute)
		require.Equal(t, http.StatusBadRequest, s.send(invented()), "the keys were fetched for it")
		for range 5 {
			s.send(invented())
		}
		time.Sleep(time.Second)
		as.Rotate()
		token := as.LogoutToken(map[string]any{"sub": "alice"})
		require.Equal(t, http.StatusServiceUnavailable, s.send(token))
		s.requireFailed(backchannel.Failed, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		time.Sleep(11 * time.Second)
		require.Equal(t, http.StatusOK, s.send(token))
		require.Equal(t, 2, s.list.Status().Entries)
	})
}

// published is the keys that a provider publishes: those of one signer, or an outage.
type published struct{ signer *kit.Signer }

func (p *published) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if p.signer == nil {
		w.WriteHeader(http.StatusInternalServerError)
		return w.Result(), nil
	}
	jwk, err := jose.PublicJWK(p.signer.KeyID, p.signer.Key.Public(), p.signer.Alg)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"keys":[%s]}`, jwk)
	return w.Result(), err
}

// A provider may change its key and not the name of it, or give it none. Strangers who send
// signatures of nobody hide that for some seconds, an outage for as long as it lasts. The
// provider is told to send its logout again.
func TestANewKeyUnderAnOldNameHasNoLogoutRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kid    any
		outage bool // or strangers
	}{
		{"strangers, and the same name", "k", false},
		{"strangers, and no name", kit.Absent, false},
		{"an outage, and the same name", "k", true},
		{"an outage, and no name", kit.Absent, true},
	} {
		bubble.Test(t, func(t *testing.T) {
			kid, _ := tt.kid.(string)
			old, next, stranger := kit.NewSigner(t, "ES256", kid), kit.NewSigner(t, "ES256", kid), kit.NewSigner(t, "ES256", kid)
			keys := &published{&old}
			s := newSceneOf(t, old, newList(t), func(c *backchannel.Config) {
				c.Keys, c.KeysURL, c.HTTPClient = nil, "https://as.example.com/jwks", &http.Client{Transport: keys}
			})
			by := func(signer kit.Signer, jti string) string {
				s.signer = signer
				return s.sign(map[string]any{"kid": tt.kid}, map[string]any{"jti": jti})
			}
			require.Equal(t, http.StatusOK, s.send(by(old, "1")), tt.name)
			time.Sleep(time.Minute)
			keys.signer = nil
			if !tt.outage {
				keys.signer = &old
				for range 5 {
					s.send(by(stranger, "2"))
				}
				keys.signer = &next
			}
			time.Sleep(time.Second)
			require.Equal(t, http.StatusServiceUnavailable, s.send(by(next, "3")), tt.name)
			s.requireFailed(backchannel.Failed, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			keys.signer = &next
			time.Sleep(11 * time.Second)
			if tt.outage { // a first try has the keys fetched, and does not wait for a server that was down
				s.send(by(next, "3"))
				time.Sleep(time.Second)
			}
			require.Equal(t, http.StatusOK, s.send(by(next, "3")), tt.name)
		})
	}
}

type panicking struct{}

func (panicking) Keys(context.Context, string, string) ([]jwks.Key, error) { panic(kit.PanicSecret) }

func TestKeysPanic(t *testing.T) {
	var told []bearergate.PanicEvent
	s := newScene(t, func(c *backchannel.Config) {
		c.Keys = panicking{}
		c.Hooks.Panicked = func(_ context.Context, e bearergate.PanicEvent) { told = append(told, e) }
	})
	require.Equal(t, http.StatusInternalServerError, s.logout(nil))
	s.requireFailed(backchannel.Failed, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	require.Equal(t, []bearergate.PanicEvent{{Where: "Keys", Type: "string"}}, told)
}

// No more than MaxConcurrent are added at once, and only logout tokens that are valid count.
func TestConcurrent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t, func(c *backchannel.Config) { c.MaxConcurrent = 2 })
		release := make(chan struct{})
		s.list.failing(func(context.Context) error { <-release; return nil })
		var wait sync.WaitGroup
		for _, id := range []string{"a", "b"} {
			token := s.sign(nil, m{"jti": id})
			wait.Go(func() { require.Equal(t, http.StatusOK, s.send(token)) })
		}
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, s.logout(m{"jti": "c"}))
		s.requireFailed(backchannel.Failed, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.Equal(t, http.StatusBadRequest, s.logout(m{"nonce": "n"}))
		close(release)
		wait.Wait()
		require.Equal(t, http.StatusOK, s.logout(m{"jti": "c"}))
	})
}

// A body that does not arrive is not waited for longer than BodyTimeout, and the answer
// comes all the same; also where the body is not even looked at.
func TestSlowBody(t *testing.T) {
	for _, tt := range []struct {
		name, contentType string
		status            string
	}{
		{"read", formType, "HTTP/1.1 408 "},
		{"not read", "application/json", "HTTP/1.1 415 "},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			client, end := serving(s)
			_, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: rs\r\nContent-Type: "+tt.contentType+"\r\nContent-Length: 100\r\n\r\nlogout_token=")
			require.NoError(t, err)
			start := time.Now()
			answer, err := io.ReadAll(client)
			require.NoError(t, err)
			require.Contains(t, string(answer), tt.status)
			require.GreaterOrEqual(t, time.Since(start), backchannel.BodyTimeout)
			require.Less(t, time.Since(start), backchannel.BodyTimeout+time.Second)
			s.requireFailed(backchannel.Refused, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
			end()
		})
	}
}

// The deadline of the body does not end what comes after it.
func TestDeadlineEndsWithTheBody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t, func(c *backchannel.Config) { c.AddTimeout = time.Minute })
		s.list.failing(func(ctx context.Context) error {
			select {
			case <-time.After(2 * backchannel.BodyTimeout):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		client, end := serving(s)
		body := url.Values{"logout_token": {s.sign(nil, nil)}}.Encode()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://rs/", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", formType)
		r.Close = true
		require.NoError(t, r.Write(client))
		answer, err := io.ReadAll(client)
		require.NoError(t, err)
		require.Contains(t, string(answer), "HTTP/1.1 200 ")
		end()
	})
}

// serving is a connection to a server of the scene.
func serving(s *scene) (client net.Conn, end func()) {
	client, server := net.Pipe()
	listener := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	listener.conn <- server
	web := &http.Server{Handler: s.h, ReadHeaderTimeout: time.Minute}
	var wait sync.WaitGroup
	wait.Go(func() { _ = web.Serve(listener) })
	return client, func() {
		_, _ = web.Close(), client.Close()
		wait.Wait()
	}
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// A logout token opens nothing, whatever its typ says.
//
// req: W2-220
func TestNoAccessToken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultClientID, authtest.DefaultAudience}, HTTPClient: as.Client()})
		require.NoError(t, err)
		token, err := v.Verify(t.Context(), as.LogoutToken(m{"sub": "alice"}))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
		token, err = v.Verify(t.Context(), as.Sign(m{"typ": "JWT"}, claims(m{"iss": as.Issuer(), "aud": authtest.DefaultClientID})))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
		token, err = v.Verify(t.Context(), as.Sign(m{"typ": "logout+jwt"}, as.Claims(authtest.Claims{})))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
	})
}
