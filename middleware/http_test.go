package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// limited is accepts with the length limit that a verifier has.
func limited(c bearergate.Claims) bearergate.Verifier {
	inner := accepts(c)
	return bearergate.VerifierFunc(func(ctx context.Context, raw string) (*bearergate.Token, error) {
		if len(raw) > 16<<10 {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonTooLarge}
		}
		return inner.Verify(ctx, raw)
	})
}

// send writes a request as it is and returns the response and its body.
func send(t testing.TB, server *httptest.Server, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

var errorCode = regexp.MustCompile(`error="([^"]*)"`)

func code(challenge string) string {
	if m := errorCode.FindStringSubmatch(challenge); m != nil {
		return m[1]
	}
	return ""
}

// The HDR rows and their neighbours, as they arrive over a socket.
func TestHeaderAttacks(t *testing.T) {
	events := &log{}
	gate := newGate(t, limited(reader), middleware.Config{Hooks: events.hooks()})
	server := httptest.NewServer(gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })))
	defer server.Close()

	const auth = "Authorization: "
	const (
		ok      = ""
		none    = bearergate.ReasonNoToken
		request = bearergate.ReasonBadRequest
		token   = bearergate.ReasonMalformed
		large   = bearergate.ReasonTooLarge

		unproven = bearergate.ReasonBinding
	)
	status := map[bearergate.Reason]int{ok: 204, none: 401, request: 400, token: 401, large: 401, unproven: 401}
	codes := map[bearergate.Reason]string{ok: "", none: "", request: "invalid_request", token: "invalid_token", large: "invalid_token", unproven: ""}

	for _, tc := range []struct {
		name    string
		headers []string
		reason  bearergate.Reason
	}{
		// req: R6750-01
		{"Bearer", []string{auth + "Bearer " + good}, ok},
		{"bearer", []string{auth + "bearer " + good}, ok},
		{"BEARER", []string{auth + "BEARER " + good}, ok},
		{"bEaReR", []string{"aUTHORIZATION: bEaReR " + good}, ok},
		{"two spaces", []string{auth + "Bearer  " + good}, ok}, // 1*SP
		{"many spaces", []string{auth + "Bearer" + strings.Repeat(" ", 99) + good}, ok},
		{"space around the value", []string{"Authorization:\t  Bearer " + good + " \t"}, ok}, // HTTP's own (RFC 9110 §5.5)
		{"no space after the colon", []string{"Authorization:Bearer " + good}, ok},
		{"HDR-009 nothing after the space", []string{auth + "Bearer "}, request},
		{"HDR-009 nothing after the scheme", []string{auth + "Bearer"}, request},
		{"HDR-009 nothing at all", []string{auth}, none},
		{"HDR-012 no space", []string{auth + "Bearer" + good}, none}, // a scheme of that name
		{"tab for the space", []string{auth + "Bearer\t" + good}, request},
		{"tab after the space", []string{auth + "Bearer \t" + good}, request},
		{"colon for the space", []string{auth + "Bearer:" + good}, request},
		{"equals sign for the space", []string{auth + "Bearer=" + good}, request},
		{"NBSP for the space", []string{auth + "Bearer\u00a0" + good}, request},
		{"HDR-013 twice the scheme", []string{auth + "Bearer Bearer " + good}, request},
		{"HDR-014 Basic", []string{auth + "Basic dXNlcjpwYXNz"}, none},
		{"HDR-016 Token", []string{auth + "Token " + good}, none},
		{"HDR-016 JWT", []string{auth + "JWT " + good}, none},
		{"HDR-016 MAC", []string{auth + "MAC id=\"" + good + "\""}, none},
		{"DPoP", []string{auth + "DPoP " + good}, unproven},
		{"the token alone", []string{auth + good}, none},
		{"a letter that looks like r", []string{auth + "Beare\u02b3 " + good}, none},
		// req: R6750-04
		{"HDR-017 two, identical", []string{auth + "Bearer " + good, auth + "Bearer " + good}, request},
		{"HDR-018 good then bad", []string{auth + "Bearer " + good, auth + "Bearer bad"}, request},
		{"bad then good", []string{auth + "Bearer bad", auth + "Bearer " + good}, request},
		{"good then Basic", []string{auth + "Bearer " + good, auth + "Basic dTpw"}, request},
		{"Basic then good", []string{auth + "Basic dTpw", auth + "Bearer " + good}, request},
		{"good then empty", []string{auth + "Bearer " + good, auth}, request},
		{"empty then good", []string{auth, auth + "Bearer " + good}, request},
		{"other case of the name", []string{auth + "Bearer " + good, "authorization: Bearer " + good}, request},
		{"with others between", []string{auth + "Bearer " + good, "Accept: a", auth + "Bearer " + good}, request},
		{"joined by a comma", []string{auth + "Bearer " + good + ", Bearer " + good}, request},
		{"joined without a space", []string{auth + "Bearer " + good + ",Bearer " + good}, request},
		{"joined by a semicolon", []string{auth + "Bearer " + good + ";"}, request},
		{"HDR-023 outside token68", []string{auth + `Bearer an"invalid"token`}, request},
		{"in quotes", []string{auth + `Bearer "` + good + `"`}, request},
		{"trailing junk", []string{auth + "Bearer " + good + " junk"}, request},
		{"as a parameter", []string{auth + `Bearer token="` + good + `"`}, request},
		{"percent encoded", []string{auth + "Bearer good%2etoken"}, request},
		{"beyond ASCII", []string{auth + "Bearer g\u00f6\u00f6d"}, request},
		{"padding inside", []string{auth + "Bearer a=b"}, request},
		{"padding only", []string{auth + "Bearer =="}, request},
		{"HDR-025 opaque", []string{auth + "Bearer test-token=="}, token},
		{"another case of the token", []string{auth + "Bearer GOOD.TOKEN"}, token},
		{"HDR-026 64 KiB", []string{auth + "Bearer " + strings.Repeat("a", 64<<10)}, large},
		{"64 KiB of padding", []string{auth + "Bearer a" + strings.Repeat("=", 64<<10)}, large},
		{"HDR-035 Proxy-Authorization", []string{"Proxy-Authorization: Bearer " + good}, none},
		{"X-Authorization", []string{"X-Authorization: Bearer " + good}, none},
		{"X-Access-Token", []string{"X-Access-Token: " + good}, none},
		{"an underscore", []string{"HTTP_AUTHORIZATION: Bearer " + good}, none},
		{"a cookie", []string{"Cookie: access_token=" + good + "; Authorization=Bearer " + good}, none},
		{"a subprotocol", []string{"Sec-WebSocket-Protocol: bearer, " + good}, none},
		{"a method override does not help", []string{"X-HTTP-Method-Override: OPTIONS"}, none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS"} {
				res, body := send(t, server, method+" /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+strings.Join(tc.headers, "\r\n")+"\r\n\r\n")
				e := events.only(t)
				require.Equal(t, tc.reason, e.Reason)
				require.Equal(t, status[tc.reason], res.StatusCode)
				if tc.reason == ok {
					require.NoError(t, e.Err)
					continue
				}
				// RES-001, RES-006
				challenges := res.Header.Values("WWW-Authenticate")
				require.Len(t, challenges, 1)
				require.True(t, strings.HasPrefix(challenges[0], `Bearer realm="api"`))
				require.Equal(t, codes[tc.reason], code(challenges[0]))
				require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
				require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
				require.Equal(t, method == "HEAD", body == "")
				require.NotContains(t, body+challenges[0], good)
			}
		})
	}

	// What net/http itself refuses never becomes a decision.
	for _, header := range []string{auth + "Bearer a\x00b", auth + "Bearer a\r\n Bearer b\x01", "Authorization : Bearer " + good, auth + "Bearer a\rb"} {
		res, _ := send(t, server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+header+"\r\n\r\n")
		require.Equal(t, 400, res.StatusCode, "%q", header)
	}
	events.mu.Lock()
	defer events.mu.Unlock()
	require.Empty(t, events.events)
}

// Line folding is obsolete, but net/http unfolds it: the parts are one value.
func TestAFoldedHeader(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	server := httptest.NewServer(gate.Require(scope.All("read"))(forbidden(t)))
	defer server.Close()
	res, _ := send(t, server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+good+"\r\n Bearer "+good+"\r\n\r\n")
	require.Equal(t, 400, res.StatusCode)
}

// req: R6750-02 R6750-03
func TestTokensElsewhereAreNotRead(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	server := httptest.NewServer(gate.Require(scope.All("read"))(forbidden(t)))
	defer server.Close()
	form := "access_token=" + good
	for name, request := range map[string]string{
		"HDR-028 query":         "GET /?access_token=" + good + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"query of a POST":       "POST /?access_token=" + good + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		"absolute form":         "GET http://x/?access_token=" + good + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"user information":      "GET http://Bearer:" + good + "@x/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"HDR-033 form":          body("POST", "application/x-www-form-urlencoded", form),
		"HDR-033 form with GET": body("GET", "application/x-www-form-urlencoded", form),
		"HDR-033 JSON":          body("POST", "application/json", `{"access_token":"`+good+`"}`),
		"HDR-033 multipart":     body("POST", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"access_token\"\r\n\r\n"+good+"\r\n--b--\r\n"),
		"a trailer": "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n" +
			"1\r\na\r\n0\r\nAuthorization: Bearer " + good + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			res, _ := send(t, server, request)
			require.Equal(t, 401, res.StatusCode)
			require.Equal(t, []string{`Bearer realm="api"`}, res.Header.Values("WWW-Authenticate"))
		})
	}
}

func body(method, contentType, content string) string {
	return method + " / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: " + contentType +
		"\r\nContent-Length: " + strconv.Itoa(len(content)) + "\r\n\r\n" + content
}

// The client left while its token was being verified: no failure, no answer.
func TestTheClientLeaves(t *testing.T) {
	verifying := make(chan struct{})
	decided := make(chan middleware.DecisionEvent, 1)
	gate := newGate(t, bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		close(verifying)
		<-ctx.Done()
		return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, Cause: ctx.Err()}
	}), middleware.Config{Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { decided <- e }}})
	server := httptest.NewServer(gate.Require(scope.All("read"))(forbidden(t)))
	defer server.Close()

	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-verifying; cancel() }()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+good)
	_, err = server.Client().Do(r)
	require.ErrorIs(t, err, context.Canceled)
	e := <-decided
	requireError(t, e.Err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
	require.ErrorIs(t, e.Err, context.Canceled)
}

// opaqueWriter has no Unwrap, as many a logging wrapper.
type opaqueWriter struct{ http.ResponseWriter }

// breakable is a connection.
type breakable struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (b *breakable) SetWriteDeadline(deadline time.Time) error {
	b.deadline = deadline
	return nil
}

// A context that was canceled by something else than the client must not read as a
// success to a client that is still there, although nothing is written.
func TestACanceledContextIsNeverASuccess(t *testing.T) {
	gated := newGate(t, hangs, middleware.Config{}).Require(scope.All("read"))(forbidden(t))
	shutdown := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		gated.ServeHTTP(w, r.WithContext(ctx))
	})
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(shutdown)
		server.EnableHTTP2 = http2
		server.StartTLS()
		defer server.Close()
		for _, method := range []string{"POST", "HEAD"} {
			res, err := server.Client().Do(clientRequest(t, method, server.URL))
			if err == nil {
				_ = res.Body.Close()
				t.Fatalf("%s %s was answered with %s", res.Proto, method, res.Status)
			}
		}
	}
	// Behind a broken connection, nothing is written: whoever counts answers sees none.
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), http.ServerContextKey, new(http.Server)))
	cancel()
	w := &breakable{ResponseRecorder: httptest.NewRecorder()}
	gated.ServeHTTP(w, bearer("POST", good).WithContext(ctx))
	require.True(t, w.deadline.Before(time.Now()), w.deadline)
	require.False(t, w.deadline.IsZero(), "which means none")
	require.Empty(t, w.Header())
	require.Empty(t, w.Body.String())
	// Where a writer of somebody's own hides the connection, it cannot be broken.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { shutdown.ServeHTTP(opaqueWriter{w}, r) }))
	defer server.Close()
	res, err := server.Client().Do(clientRequest(t, "POST", server.URL))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 503, res.StatusCode)
}

// hangs answers when its context ends.
var hangs = bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
	<-ctx.Done()
	return nil, ctx.Err()
})

func clientRequest(t testing.TB, method, url string) *http.Request {
	r, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+good)
	return r
}

// A deadline that passes is an outage of what was waited for: the client is there,
// and is told so on a connection that stays in order.
func TestAPassedDeadlineIsAnswered(t *testing.T) {
	gate := newGate(t, hangs, middleware.Config{})
	gated := gate.Require(scope.All("read"))(forbidden(t))
	deadline := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Millisecond)
		defer cancel()
		gated.ServeHTTP(w, r.WithContext(ctx))
	})
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(deadline)
		server.EnableHTTP2 = http2
		server.StartTLS()
		defer server.Close()
		for _, method := range []string{"POST", "HEAD", "GET"} {
			res, err := server.Client().Do(clientRequest(t, method, server.URL))
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, 503, res.StatusCode)
			require.Equal(t, http2, res.ProtoMajor == 2)
			require.NotEmpty(t, res.Header.Get("Retry-After"))
			require.Empty(t, res.Header.Values("WWW-Authenticate"))
			if method != "HEAD" {
				require.Equal(t, problem("Service Unavailable", 503, bodyUnavailable), string(body))
			}
			require.False(t, res.Close, "the connection was given up")
		}
	}
	// http.TimeoutHandler answers by itself.
	server := httptest.NewServer(http.TimeoutHandler(gated, 5*time.Millisecond, "late"))
	defer server.Close()
	res, err := server.Client().Do(clientRequest(t, "POST", server.URL))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 503, res.StatusCode)
}

// A refused request leaves its connection in order for the next one.
func TestAConnectionSurvivesARefusal(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	server := httptest.NewServer(gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(w, r.Body)
		assert.NoError(t, err)
	})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	in := bufio.NewReader(conn)
	for _, tc := range []struct {
		method, token string
		status        int
		body          string
	}{
		{"HEAD", "bad", 401, ""},
		{"POST", "bad", 401, problem("Unauthorized", 401, bodyInvalid)},
		{"POST", good, 200, "GET / HTTP/1.1\r\n"},
	} {
		_, err := io.WriteString(conn, tc.method+" / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+tc.token+"\r\nContent-Length: 16\r\n\r\nGET / HTTP/1.1\r\n")
		require.NoError(t, err)
		res, err := http.ReadResponse(in, &http.Request{Method: tc.method})
		require.NoError(t, err)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, tc.status, res.StatusCode)
		require.Equal(t, tc.body, string(got))
	}
}
