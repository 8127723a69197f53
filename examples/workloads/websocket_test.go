package workloads_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/workloads"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// every is how often the token of a connection is decided on. An introspect.Client leaves a
// token alone for a second after an outage.
const every = 1200 * time.Millisecond

var reader = authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")}

// sockets is a server on TCP, whose rechecks the test lets go one by one.
type sockets struct {
	decisions
	as       *authtest.Server
	url      string
	recall   chan func() error // what a recheck does before it asks; an error is what it says
	ended    chan struct{}     // closed when the token of the first message has ended
	shutdown func()

	mu     sync.Mutex // guards the rest
	calls  int
	worked []string
}

func startSockets(t *testing.T) *sockets {
	s := &sockets{as: authtest.New(t), recall: make(chan func() error), ended: make(chan struct{})}
	client, err := introspect.New(introspect.Config{Issuer: s.as.Issuer(), Auth: introspect.BasicAuth("orders", "secret"),
		Audiences: []string{authtest.DefaultAudience}, HTTPClient: s.as.Client(), DisableCache: true})
	require.NoError(t, err)
	handler, err := workloads.Sockets(bearergate.VerifierFunc(func(ctx context.Context, token string) (*bearergate.Token, error) {
		s.mu.Lock()
		s.calls++
		first := s.calls == 1
		s.mu.Unlock()
		if !first {
			select {
			case before := <-s.recall:
				if err := before(); err != nil {
					return nil, err
				}
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return client.Verify(ctx, token)
	}), every, []string{"app.example.com"}, s.config(), func(ctx context.Context, message []byte) []byte {
		token, _ := bearergate.FromContext(ctx)
		s.mu.Lock()
		s.worked = append(s.worked, string(message))
		if len(s.worked) == 1 {
			context.AfterFunc(ctx, func() { close(s.ended) })
		}
		s.mu.Unlock()
		if string(message) == "wait" {
			<-ctx.Done()
		}
		return []byte(token.Subject() + ": " + string(message))
	})
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	base, shutdown := context.WithCancel(t.Context())
	server.Config.BaseContext, s.shutdown = func(net.Listener) context.Context { return base }, shutdown
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL + "/orders/live"
	return s
}

func (s *sockets) dial(t *testing.T, token string) *websocket.Conn {
	conn, _, err := websocket.Dial(t.Context(), s.url, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// recheck lets the next decision go.
func (s *sockets) recheck(t *testing.T, before func() error) {
	t.Helper()
	select {
	case s.recall <- before:
	case <-time.After(time.Minute):
		t.Fatal("the token is not decided on again")
	}
}

func say(t *testing.T, conn *websocket.Conn, message string) {
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(message)))
	kind, answer, err := conn.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, websocket.MessageText, kind)
	require.Equal(t, "alice: "+message, string(answer))
}

// How a token gets there.
func TestWebSocketHandshake(t *testing.T) {
	as := authtest.New(t)
	client, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("orders", "secret"),
		Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	d := &decisions{}
	handler, err := workloads.Sockets(client, every, []string{"app.example.com"}, d.config(), func(_ context.Context, message []byte) []byte { return message })
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	good, dead := as.Token(reader), as.Token(reader)
	as.Revoke(dead)
	for _, tt := range []struct {
		name          string
		authorization []string
		offered       []string
		origin, query string
		status        int // 0: 101
		want          kit.Verdict
	}{
		{name: "in the header", authorization: []string{"Bearer " + good}},
		{name: "in the header, with a subprotocol", authorization: []string{"Bearer " + good}, offered: []string{"orders.v1"}},
		{name: "as a subprotocol", offered: []string{"orders.v1", "bearer." + good}},
		{name: "as a subprotocol, offered first", offered: []string{"bearer." + good, "orders.v1"}},
		{name: "as a subprotocol, by a page of the application", offered: []string{"orders.v1", "bearer." + good}, origin: "https://app.example.com"},
		{name: "by a page of another origin", offered: []string{"orders.v1", "bearer." + good}, origin: "https://app.example.com.mallory.test", status: 403},
		{name: "nowhere", offered: []string{"orders.v1"}, status: 401, want: kit.Verdict{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}},
		{name: "in the query", query: "?access_token=" + good, status: 401, want: kit.Verdict{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}},
		{name: "as a subprotocol without its prefix", offered: []string{"orders.v1", good}, status: 401, want: kit.Verdict{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}},
		{name: "in both", authorization: []string{"Bearer " + good}, offered: []string{"bearer." + good}, status: 400, want: kit.Verdict{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest}},
		{name: "as two subprotocols", offered: []string{"bearer." + good, "bearer." + dead}, status: 400, want: kit.Verdict{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest}},
		{name: "an empty one", offered: []string{"orders.v1", "bearer."}, status: 400, want: kit.Verdict{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest}},
		{name: "revoked", offered: []string{"orders.v1", "bearer." + dead}, status: 401, want: kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}},
		{name: "without the scope", authorization: []string{"Bearer " + as.Token(authtest.Claims{Scopes: scope.Of("profile")})}, status: 403,
			want: kit.Verdict{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.authorization != nil {
				header["Authorization"] = tt.authorization
			}
			if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			conn, response, err := websocket.Dial(t.Context(), server.URL+"/orders/live"+tt.query, &websocket.DialOptions{HTTPHeader: header, Subprotocols: tt.offered})
			d.require(t, tt.want, good)
			for _, values := range response.Header {
				for _, value := range values {
					kit.RequireNothingOf(t, value, good)
				}
			}
			if tt.status != 0 {
				require.Error(t, err)
				require.Equal(t, tt.status, response.StatusCode)
				return
			}
			require.NoError(t, err)
			if tt.offered != nil {
				require.Equal(t, "orders.v1", conn.Subprotocol())
			}
			require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte("hello")))
			_, answer, err := conn.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, "hello", string(answer))
			require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
		})
	}
}

// How a connection ends, or does not.
func TestWebSocketRecheck(t *testing.T) {
	unchanged := func(*sockets, string) error { return nil }
	revoked := func(s *sockets, token string) error { s.as.Revoke(token); return nil }
	down := func(s *sockets, _ string) error { s.as.Fail(authtest.Fault{Status: 503}); return nil }
	up := func(s *sockets, _ string) error { s.as.Fail(authtest.Fault{}); return nil }
	says := func(err error) func(*sockets, string) error {
		return func(*sockets, string) error { return err }
	}
	for _, tt := range []struct {
		name   string
		steps  []func(s *sockets, token string) error // one for each decision
		code   websocket.StatusCode                   // 0: it stays open
		kind   error
		reason bearergate.Reason
	}{
		{name: "good throughout", steps: []func(*sockets, string) error{unchanged, unchanged}},
		{name: "revoked", steps: []func(*sockets, string) error{unchanged, revoked}, code: 3000, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonInactive},
		{name: "one outage", steps: []func(*sockets, string) error{down, up}},
		{name: "an outage, another one later", steps: []func(*sockets, string) error{down, up, down, up}},
		{name: "two outages in a row", steps: []func(*sockets, string) error{down, unchanged}, code: websocket.StatusTryAgainLater,
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "revoked in an outage", steps: []func(*sockets, string) error{down, func(s *sockets, token string) error {
			s.as.Fail(authtest.Fault{})
			s.as.Revoke(token)
			return nil
		}}, code: 3000, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonInactive},
		{name: "a scope is lost", steps: []func(*sockets, string) error{says(bearergate.ErrInsufficientScope)}, code: 3003, kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "a policy says no", steps: []func(*sockets, string) error{says(bearergate.ErrForbidden)}, code: 3003, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		{name: "the verifier breaks", steps: []func(*sockets, string) error{says(errors.New("no idea"))}, code: websocket.StatusInternalError,
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startSockets(t)
			token := s.as.Token(reader)
			conn := s.dial(t, token)
			say(t, conn, "first")
			for _, step := range tt.steps {
				s.recheck(t, func() error { return step(s, token) })
			}
			if tt.code == 0 {
				s.recheck(t, func() error { return nil }) // the last one has been borne
				say(t, conn, "last")
				require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
				return
			}
			_, _, err := conn.Read(t.Context())
			require.Equal(t, tt.code, websocket.CloseStatus(err), "%v", err)
			kit.RequireNothingOf(t, err.Error(), token)
			s.requireMidstream(t, kit.Verdict{Kind: tt.kind, Reason: tt.reason}, token)
		})
	}
}

// requireMidstream waits until the handler has returned, and asserts why it has.
func (s *sockets) requireMidstream(t *testing.T, want kit.Verdict, token string) {
	require.Eventually(t, func() bool {
		s.decisions.mu.Lock()
		defer s.decisions.mu.Unlock()
		return len(s.all) == 2 && s.all[1].Midstream
	}, time.Minute, 10*time.Millisecond)
	s.require(t, want, token)
}

func TestWebSocketExpires(t *testing.T) {
	t.Parallel()
	s := startSockets(t)
	claims := reader
	claims.ExpiresAt = time.Now().Add(4 * time.Second).Truncate(time.Second)
	token := s.as.Token(claims)
	conn := s.dial(t, token)
	say(t, conn, "first")
	_, _, err := conn.Read(t.Context())
	require.EqualValues(t, 3000, websocket.CloseStatus(err), "%v", err)
	require.False(t, time.Now().Before(claims.ExpiresAt))
	s.requireMidstream(t, kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}, token)
}

// A server that stops says so, for http.Server.Shutdown leaves WebSockets as they are.
func TestWebSocketServerStops(t *testing.T) {
	t.Parallel()
	s := startSockets(t)
	conn := s.dial(t, s.as.Token(reader))
	say(t, conn, "first")
	s.shutdown()
	_, _, err := conn.Read(t.Context())
	require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err), "%v", err)
}

// A client whose token was revoked, and which neither answers nor stops, gets nothing done.
func TestWebSocketClientThatStays(t *testing.T) {
	t.Parallel()
	s := startSockets(t)
	token := s.as.Token(reader)
	conn := s.dial(t, token)
	say(t, conn, "first")
	s.recheck(t, func() error { s.as.Revoke(token); return nil })
	<-s.ended
	require.Eventually(t, func() bool { // it never reads, and so never hears that it is to go
		return conn.Write(t.Context(), websocket.MessageText, []byte("late")) != nil
	}, time.Minute, 10*time.Millisecond, "the connection is closed all the same")
	s.requireMidstream(t, kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}, token)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, []string{"first"}, s.worked)
}

// What is under way when the token ends is told so, and its answer is not sent.
func TestWebSocketAnswerThatWaits(t *testing.T) {
	t.Parallel()
	s := startSockets(t)
	token := s.as.Token(reader)
	conn := s.dial(t, token)
	for _, message := range []string{"wait", "late"} {
		require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(message)))
	}
	s.recheck(t, func() error { s.as.Revoke(token); return nil })
	_, _, err := conn.Read(t.Context())
	require.EqualValues(t, 3000, websocket.CloseStatus(err), "%v", err)
	s.requireMidstream(t, kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}, token)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, []string{"wait"}, s.worked)
}
