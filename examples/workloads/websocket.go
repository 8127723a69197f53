package workloads

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const (
	// subprotocol is what the messages mean. A browser that offers any has to be answered
	// with one of them, which must not be the one with the token.
	subprotocol = "orders.v1"
	// tokenPrefix begins the offered subprotocol that has the token behind it:
	// new WebSocket(url, ["orders.v1", "bearer." + token]).
	tokenPrefix = "bearer."

	maxMessage   = 32 << 10
	writeTimeout = 10 * time.Second // for a client that does not read
)

// Sockets answers messages over WebSocket (RFC 6455), for as long as the token of the
// handshake is good. Every so often, at least a second, v is asked about it again: use one
// that asks somebody, as an introspect.Client does. origins are the hosts of the web pages
// that may connect, beside that of this server.
//
// answer gets the context of the connection, with its token. It ends with the token, and so
// must whatever answer waits for.
func Sockets(v bearergate.Verifier, every time.Duration, origins []string, config middleware.Config, answer func(ctx context.Context, message []byte) []byte) (http.Handler, error) {
	config.Extract = Handshake
	gate, err := middleware.New(v, config)
	if err != nil {
		return nil, err
	}
	router := gate.NewRouter()
	router.HandleFunc("GET /orders/live", scope.All("orders:read"), func(w http.ResponseWriter, r *http.Request) {
		// Accept answers what is no handshake, and refuses pages of other origins.
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, OriginPatterns: origins})
		if err != nil {
			return
		}
		converse(r.Context(), conn, answer)
	}, middleware.Recheck(every), middleware.CancelOnExpiry())
	return router.Handler()
}

// Handshake is a middleware.Config.Extract. Clients send the token in Authorization; pages
// in a browser, which cannot set that, as a subprotocol. It is never taken from the query,
// which stands in logs, and not from a cookie, which every page sends.
func Handshake(r *http.Request) (bearergate.Credentials, error) {
	sent := r.Header.Values("Authorization")
	for _, list := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offered := range strings.SplitSeq(list, ",") {
			if token, found := strings.CutPrefix(strings.TrimSpace(offered), tokenPrefix); found {
				sent = append(sent, "Bearer "+token)
			}
		}
	}
	return bearergate.ParseCredentials(sent) // two are none
}

// converse serves a connection until the client or the token ends it. The handler must not
// return before: then nobody would watch the token.
func converse(token context.Context, conn *websocket.Conn, answer func(context.Context, []byte) []byte) {
	conn.SetReadLimit(maxMessage)
	// A context that ends breaks the connection off without a word. So what reads and
	// writes has another one, and the client is told why.
	connection := context.WithoutCancel(token)
	tell := func() { _ = conn.Close(closing(context.Cause(token))) }
	unwatch := context.AfterFunc(token, tell)
	defer func() {
		if unwatch(); token.Err() != nil {
			tell() // once, whoever comes first
		}
		_ = conn.CloseNow()
	}()
	for {
		kind, message, err := conn.Read(connection)
		if err != nil || token.Err() != nil { // a client that is told to go may send on for a while
			return
		}
		reply := answer(token, message)
		if token.Err() != nil || write(connection, conn, kind, reply) != nil {
			return
		}
	}
}

func write(ctx context.Context, conn *websocket.Conn, kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return conn.Write(ctx, kind, message)
}

// The codes that IANA has registered for what HTTP calls 401 and 403.
const (
	statusUnauthorized websocket.StatusCode = 3000
	statusForbidden    websocket.StatusCode = 3003
)

// closing tells a client what to do, and no more: get a new token, go away, or come back
// with the same token.
func closing(cause error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(cause, bearergate.ErrInvalidToken), errors.Is(cause, bearergate.ErrInsufficientAuthentication):
		return statusUnauthorized, "the token is not valid any more"
	case errors.Is(cause, bearergate.ErrInsufficientScope), errors.Is(cause, bearergate.ErrForbidden):
		return statusForbidden, "the token does not allow this any more"
	case errors.Is(cause, bearergate.ErrUnavailable):
		return websocket.StatusTryAgainLater, "the token cannot be checked at the moment"
	case errors.Is(cause, bearergate.ErrMisconfigured):
		return websocket.StatusInternalError, ""
	}
	return websocket.StatusGoingAway, "" // this server stops
}
