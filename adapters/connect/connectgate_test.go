package connectgate_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// wire is a protocol over a version of HTTP.
type wire struct {
	name    string
	http1   bool
	options []connect.ClientOption
}

var wires = []wire{
	{name: "Connect over HTTP/2"},
	{name: "Connect over HTTP/1.1", http1: true},
	{name: "Connect with JSON", options: []connect.ClientOption{connect.WithProtoJSON()}},
	{name: "gRPC", options: []connect.ClientOption{connect.WithGRPC()}},
	{name: "gRPC-Web over HTTP/2", options: []connect.ClientOption{connect.WithGRPCWeb()}},
	{name: "gRPC-Web over HTTP/1.1", http1: true, options: []connect.ClientOption{connect.WithGRPCWeb()}},
}

func (w wire) client(t *testing.T, server *httptest.Server, procedure string, more ...connect.ClientOption) *client {
	t.Helper()
	h := server.Client()
	if w.http1 {
		h = old(t, server)
	}
	return connect.NewClient[message, message](h, server.URL+procedure, append(more, w.options...)...)
}

// Every row of the table of answers, in every protocol, for every kind of call.
// req: R9470-01
func TestAnswers(t *testing.T) {
	as, v := issuer(t)
	down, unreachable := issuer(t)
	down.Fail(authtest.Fault{Status: http.StatusServiceUnavailable})
	claims := func(change func(*authtest.Claims)) authtest.Claims {
		c := authtest.Claims{Subject: "alice", Scopes: scope.Of("read", "pay"), ACR: "mfa"}
		if change != nil {
			change(&c)
		}
		return c
	}
	token := func(change func(*authtest.Claims)) []string { return []string{"Bearer " + as.Token(claims(change))} }
	good := token(nil)
	forged := []string{good[0][:len(good[0])-8] + "AAAAAAAA"}
	const invalid = `Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`
	const request = `Bearer realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."`
	everywhere := []string{get, pay, watch, talk}

	for _, row := range []struct {
		name          string
		verifier      bearergate.Verifier // default: that of the issuer
		authorization []string
		procedures    []string // default: everywhere
		code          connect.Code
		reason        string // of the ErrorInfo
		metadata      map[string]string
		words         string
		challenge     string
		retry         bool
		kind          error
		event         bearergate.Reason
		unseen        bool // no decision is made
	}{
		{name: "a token", authorization: good},
		{name: "no token", code: connect.CodeUnauthenticated, reason: "MISSING_TOKEN", words: "A bearer token is required.", challenge: `Bearer realm="api"`,
			kind: bearergate.ErrMissingToken, event: bearergate.ReasonNoToken},
		{name: "another scheme", authorization: []string{"Basic YTpi"}, code: connect.CodeUnauthenticated, reason: "MISSING_TOKEN", words: "A bearer token is required.",
			challenge: `Bearer realm="api"`, kind: bearergate.ErrMissingToken, event: bearergate.ReasonNoToken},
		{name: "malformed", authorization: []string{"Bearer"}, code: connect.CodeInvalidArgument, reason: "INVALID_REQUEST",
			words: "The request must carry exactly one well-formed bearer token.", challenge: request, kind: bearergate.ErrInvalidRequest, event: bearergate.ReasonBadRequest},
		{name: "two tokens", authorization: []string{good[0], good[0]}, code: connect.CodeInvalidArgument, reason: "INVALID_REQUEST",
			words: "The request must carry exactly one well-formed bearer token.", challenge: request, kind: bearergate.ErrInvalidRequest, event: bearergate.ReasonBadRequest},
		{name: "expired", authorization: token(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Minute) }), code: connect.CodeUnauthenticated,
			reason: "TOKEN_EXPIRED", words: "The access token has expired.",
			challenge: `Bearer realm="api", error="invalid_token", error_description="The access token has expired."`, kind: bearergate.ErrInvalidToken, event: bearergate.ReasonExpired},
		{name: "for somebody else", authorization: token(func(c *authtest.Claims) { c.Audience = []string{"https://other.example"} }), code: connect.CodeUnauthenticated,
			reason: "INVALID_TOKEN", words: "The access token is not valid here.", challenge: invalid, kind: bearergate.ErrInvalidToken, event: bearergate.ReasonAudience},
		{name: "forged", authorization: forged, code: connect.CodeUnauthenticated,
			reason: "INVALID_TOKEN", words: "The access token is not valid here.", challenge: invalid, kind: bearergate.ErrInvalidToken, event: bearergate.ReasonSignature},
		{name: "bound, and nobody checks the proof", authorization: token(func(c *authtest.Claims) { c.Confirmation = map[string][]byte{"jkt": []byte(`"abc"`)} }),
			code: connect.CodeUnauthenticated, reason: "INVALID_TOKEN", words: "The access token is not valid here.", challenge: invalid,
			kind: bearergate.ErrInvalidToken, event: bearergate.ReasonBinding},
		{name: "too few scopes", authorization: token(func(c *authtest.Claims) { c.Scopes = scope.Of("other") }), procedures: []string{get, watch, talk},
			code: connect.CodePermissionDenied, reason: "INSUFFICIENT_SCOPE", metadata: map[string]string{"scope": "read"},
			words:     "The access token does not have the required scope.",
			challenge: `Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="read"`,
			kind:      bearergate.ErrInsufficientScope, event: bearergate.ReasonScope},
		{name: "step-up", authorization: token(func(c *authtest.Claims) { c.ACR = "pwd" }), procedures: []string{pay},
			code: connect.CodeUnauthenticated, reason: "INSUFFICIENT_USER_AUTHENTICATION", metadata: map[string]string{"acr_values": "mfa"},
			words: "A stronger or more recent authentication of the user is required.",
			challenge: `Bearer realm="api", error="insufficient_user_authentication", ` +
				`error_description="A stronger or more recent authentication of the user is required.", acr_values="mfa"`,
			kind: bearergate.ErrInsufficientAuthentication, event: bearergate.ReasonAuthentication},
		{name: "a policy", verifier: answers(nil, bearergate.ErrForbidden), authorization: good, code: connect.CodePermissionDenied, reason: "FORBIDDEN",
			words: "The access token does not allow this request.", kind: bearergate.ErrForbidden, event: bearergate.ReasonPolicy},
		{name: "an outage", verifier: unreachable, authorization: []string{"Bearer " + down.Token(claims(nil))}, code: connect.CodeUnavailable,
			reason: "TEMPORARILY_UNAVAILABLE", words: "The access token cannot be checked at the moment. Try again later.", retry: true,
			kind: bearergate.ErrUnavailable, event: bearergate.ReasonKeysUnavailable},
		{name: "misconfigured", verifier: answers(nil, bearergate.ErrMisconfigured), authorization: good, code: connect.CodeInternal, reason: "MISCONFIGURED",
			words: "The access token cannot be checked because of an error in this server.", kind: bearergate.ErrMisconfigured, event: bearergate.ReasonInternal},
		{name: "not listed", authorization: good, procedures: []string{hidden, "/orders.v1.Orders/get", "/orders.v1.Orders/Get/", "/orders.v1.orders/Get", "//orders.v1.Orders/Get", "/Orders.v1/Get"},
			code: connect.CodeUnimplemented, reason: "METHOD_NOT_LISTED", words: "This procedure is not available.", unseen: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.verifier == nil {
				row.verifier = v
			}
			if row.procedures == nil {
				row.procedures = everywhere
			}
			var seen events
			s := new(service)
			server := serve(t, newGate(t, row.verifier, middleware.Config{Hooks: seen.hooks()}), s)
			for _, w := range wires {
				for _, procedure := range row.procedures {
					if w.http1 && procedure == talk {
						continue // the other direction waits for this one
					}
					what := w.name + " " + procedure
					before := s.count()
					got, err := ask(t, w.client(t, server, procedure), procedure, row.authorization...)
					decided := seen.take()
					if row.code == 0 {
						require.NoError(t, err, what)
						require.Equal(t, "alice", got)
						require.Equal(t, before+1, s.count())
						require.Len(t, decided, 1)
						require.NoError(t, decided[0].Err)
						require.Equal(t, procedure, decided[0].Pattern)
						continue
					}
					require.Empty(t, got)
					require.Equal(t, before, s.count(), "the service ran: %s", what)
					refused, info := requireRefused(t, err, row.code, row.reason)
					require.Equal(t, row.words, refused.Message(), what)
					require.Equal(t, "bearergate", info.GetDomain())
					require.Equal(t, row.metadata, info.GetMetadata(), what)
					if row.challenge == "" {
						require.Empty(t, refused.Meta().Values("WWW-Authenticate"), what)
					} else {
						require.Equal(t, []string{row.challenge}, refused.Meta().Values("WWW-Authenticate"), what)
					}
					requireRetry(t, row.retry, refused)
					if row.unseen {
						require.Empty(t, decided)
						continue
					}
					require.Len(t, decided, 1, what)
					require.ErrorIs(t, decided[0].Err, row.kind)
					require.Equal(t, row.event, decided[0].Reason)
				}
			}
		})
	}
}

// requireRetry requires one delay, in whatever a client reads, or none.
func requireRetry(t *testing.T, wanted bool, refused *connect.Error) {
	t.Helper()
	if !wanted {
		require.Len(t, refused.Details(), 1)
		require.Empty(t, refused.Meta().Values("Retry-After"))
		return
	}
	require.Len(t, refused.Details(), 2)
	detail, err := refused.Details()[1].Value()
	require.NoError(t, err)
	retry, ok := detail.(*errdetails.RetryInfo)
	require.True(t, ok)
	require.Equal(t, []string{strconv.Itoa(int(retry.GetRetryDelay().AsDuration() / time.Second))}, refused.Meta().Values("Retry-After"))
	require.GreaterOrEqual(t, retry.GetRetryDelay().AsDuration(), time.Second)
}

func TestPublic(t *testing.T) {
	var seen events
	s := new(service)
	server := serve(t, newGate(t, answers(nil, bearergate.ErrInvalidToken), middleware.Config{Hooks: seen.hooks()}), s)
	for _, w := range wires {
		got, err := ask(t, w.client(t, server, health), health, "Bearer x")
		require.NoError(t, err)
		require.Equal(t, "nobody", got)
	}
	require.Empty(t, seen.take())
}
