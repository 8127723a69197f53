package signals_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// req: R8935-05
func TestAuthorization(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []string
		taken  bool
	}{
		{"what was agreed", []string{authorization}, true},
		{"what was agreed before", []string{"Bearer the old one, 123"}, true},
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"another", []string{authorization + "x"}, false},
		{"a part", []string{authorization[:len(authorization)-1]}, false},
		{"in another case", []string{strings.ToLower(authorization)}, false},
		{"twice", []string{authorization, authorization}, false},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			r := request(http.MethodPost, s.sign(nil, nil))
			r.Header["Authorization"] = tt.values
			status, code, header := s.serve(r)
			if tt.taken {
				require.Equal(t, http.StatusAccepted, status)
				return
			}
			require.Equal(t, http.StatusUnauthorized, status)
			require.Equal(t, "authentication_failed", code)
			require.Equal(t, "Bearer", header.Get("WWW-Authenticate"))
			kit.RequireError(t, s.last().Err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
			require.Empty(t, s.list.added())
		})
	}
	inBubble(t, "anybody", func(t *testing.T) {
		s := newScene(t, func(c *signals.Config) { c.Authorization, c.InsecureAnyTransmitter = nil, true })
		r := request(http.MethodPost, s.sign(nil, nil))
		r.Header.Del("Authorization")
		status, _, _ := s.serve(r)
		require.Equal(t, http.StatusAccepted, status)
	})
}

// Who is not authenticated has nothing read and nothing verified.
//
// req: R8935-07
func TestStrangersCostNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		s := newScene(t, func(c *signals.Config) { c.Issuer, c.Keys, c.HTTPClient = as.Issuer(), nil, as.Client() })
		body := &counting{Reader: strings.NewReader(s.sign(nil, nil))}
		r := request(http.MethodPost, "")
		r.Header.Set("Authorization", "Bearer guessed")
		r.Body = io.NopCloser(body)
		status, _, _ := s.serve(r)
		require.Equal(t, http.StatusUnauthorized, status)
		require.Zero(t, body.n)
		require.Zero(t, as.Requests(""))
	})
}

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) { c.n++; return c.Reader.Read(p) }

// req: R8935-05
func TestVerifier(t *testing.T) {
	for _, tt := range []struct {
		name   string
		verify bearergate.VerifierFunc
		send   []string // default: a token
		status int
		code   string
		kind   error
		reason bearergate.Reason
	}{
		{name: "accepted", verify: func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Subject: "transmitter"}), nil
		}, status: 202},
		{name: "bound to its sender", verify: func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Subject: "transmitter", Confirmation: map[string][]byte{"jkt": []byte(`"x"`)}}), nil
		}, status: 401, code: "authentication_failed", kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "no token", verify: refusing(nil), send: []string{}, status: 401, code: "authentication_failed", kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "two", verify: refusing(nil), send: []string{"Bearer a", "Bearer b"}, status: 401, code: "authentication_failed", kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "invalid", verify: refusing(bearergate.ErrInvalidToken), status: 401, code: "authentication_failed", kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "forbidden", verify: refusing(bearergate.ErrForbidden), status: 403, code: "access_denied", kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		{name: "without the scope", verify: refusing(&bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope}), status: 403, code: "access_denied", kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "an outage", verify: refusing(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}), status: 503, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "a mistake", verify: refusing(bearergate.ErrMisconfigured), status: 500, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t, func(c *signals.Config) { c.Authorization, c.Verifier = nil, bearergate.Verifier(tt.verify) })
			r := request(http.MethodPost, s.sign(nil, nil))
			if tt.send != nil {
				r.Header["Authorization"] = tt.send
			}
			status, code, _ := s.serve(r)
			require.Equal(t, tt.status, status)
			require.Equal(t, tt.code, code)
			if tt.kind != nil {
				kit.RequireError(t, s.last().Err, tt.kind, tt.reason)
				require.Empty(t, s.list.added())
			}
		})
	}
}

func refusing(err error) bearergate.VerifierFunc {
	return func(context.Context, string) (*bearergate.Token, error) { return nil, err }
}

// A list that does not take it is an outage: 503, and never 202.
//
// req: R8935-02, R8935-08, W2-229
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
		{"it refuses the entry", func(context.Context) error { return bearergate.ErrInvalidRequest }, 400, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			s.list.failing(tt.fail)
			code := ""
			if tt.status == http.StatusBadRequest {
				code = "invalid_request"
			}
			s.requireRefused(nil, nil, tt.status, code, tt.kind, tt.reason)
			s.list.failing(nil)
			s.requireTaken(signals.Revoked, nil) // it was not remembered
		})
	}
}

// Keys that cannot be fetched are an outage.
//
// req: R8935-08
func TestKeys(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		s := newScene(t, func(c *signals.Config) {
			c.Issuer, c.Keys, c.HTTPClient, c.Audiences = as.Issuer(), nil, as.Client(), []string{authtest.DefaultAudience}
		})
		require.Equal(t, as.Issuer(), s.h.Keys().(*jwks.Cache).Issuer())
		as.Fail(authtest.Fault{Path: "/jwks", Status: http.StatusInternalServerError})
		set := as.SecurityEvent(nil)
		status, _ := s.send(set)
		require.Equal(t, http.StatusServiceUnavailable, status)
		kit.RequireError(t, s.last().Err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		as.Fail(authtest.Fault{})
		time.Sleep(time.Minute)
		status, _ = s.send(set)
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, authtest.DefaultSubject, s.list.added()[0].Subject)

		time.Sleep(time.Minute)
		as.Rotate()
		status, _ = s.send(as.SecurityEvent(map[string]any{"sub_id": map[string]any{"format": "opaque", "id": "s"}}))
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "s", s.list.added()[1].Session)
	})
}

// A body that does not arrive is waited for no longer than BodyTimeout.
//
// req: R8935-07
func TestSlowBody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		c := &stalled{ResponseRecorder: httptest.NewRecorder(), until: time.Now().Add(time.Hour)}
		r := request(http.MethodPost, "")
		r.Body = io.NopCloser(c)
		start := time.Now()
		s.h.ServeHTTP(c, r)
		require.Equal(t, http.StatusRequestTimeout, c.Code)
		require.Equal(t, signals.BodyTimeout, time.Since(start))
		kit.RequireError(t, s.last().Err, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
	})
}

// stalled is a connection on which nothing arrives, and the answer to it.
type stalled struct {
	*httptest.ResponseRecorder

	until time.Time
}

func (c *stalled) SetReadDeadline(at time.Time) error { c.until = at; return nil }

func (c *stalled) Read([]byte) (int, error) {
	time.Sleep(time.Until(c.until))
	return 0, os.ErrDeadlineExceeded
}

// No more than MaxConcurrent are taken at once.
//
// req: R8935-07, R8935-08
func TestConcurrent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t, func(c *signals.Config) { c.MaxConcurrent = 2 })
		release := make(chan struct{})
		s.list.failing(func(context.Context) error { <-release; return nil })
		var wait sync.WaitGroup
		for _, id := range []string{"a", "b"} {
			set := s.sign(nil, m{"jti": id})
			wait.Go(func() { s.h.ServeHTTP(discardAnswer{}, request(http.MethodPost, set)) })
		}
		synctest.Wait()
		s.requireRefused(nil, m{"jti": "c"}, http.StatusServiceUnavailable, "", bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		close(release)
		wait.Wait()
		s.requireTaken(signals.Revoked, m{"jti": "c"})
		require.Len(t, s.list.added(), 3)
	})
}

type discardAnswer struct{}

func (discardAnswer) Header() http.Header         { return http.Header{} }
func (discardAnswer) Write(p []byte) (int, error) { return len(p), nil }
func (discardAnswer) WriteHeader(int)             {}

// req: SSF-11, W2-230
func TestVerification(t *testing.T) {
	asked := func(c *signals.Config) {
		c.VerificationState = func(_ context.Context, state string) (bool, error) {
			switch state {
			case "ours":
				return true, nil
			case "down":
				return false, io.EOF
			case "panic":
				panic(kit.PanicSecret)
			}
			return false, nil
		}
	}
	for _, tt := range []struct {
		name    string
		payload m
		config  func(*signals.Config)
		status  int
		code    string
		kind    error
		reason  bearergate.Reason
	}{
		{name: "unsolicited", config: asked, status: 202},
		{name: "unsolicited, and nobody ever asks", status: 202},
		{name: "another member is no state", payload: m{"x": "y"}, config: asked, status: 202},
		{name: "state null is none", payload: m{"state": nil}, status: 202},
		{name: "ours", payload: m{"state": "ours"}, config: asked, status: 202},
		{name: "another", payload: m{"state": "theirs"}, config: asked, status: 400, code: "invalid_state", kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "empty", payload: m{"state": ""}, config: asked, status: 400, code: "invalid_state", kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "number", payload: m{"state": 1}, config: asked, status: 400, code: "invalid_state", kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "one that nobody asked for", payload: m{"state": "ours"}, status: 400, code: "invalid_state", kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "nobody can say", payload: m{"state": "down"}, config: asked, status: 503, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "it panics", payload: m{"state": "panic"}, config: asked, status: 500, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			change := func(*signals.Config) {}
			if tt.config != nil {
				change = tt.config
			}
			s := newScene(t, change)
			claims := m{"sub_id": opaque("stream-1"), "events": events(verification, tt.payload)}
			if tt.status == http.StatusAccepted {
				s.requireTaken(signals.Verified, claims)
				require.Equal(t, verification, s.last().Type)
			} else {
				s.requireRefused(nil, claims, tt.status, tt.code, tt.kind, tt.reason)
			}
			require.Empty(t, s.list.added())
			require.Empty(t, told(s, &s.discarded))
		})
	}
}

// req: SSF-12
func TestStreamUpdated(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload m
		want    signals.StreamEvent
	}{
		{"paused", m{"status": "paused", "reason": "too many\nerrors"}, signals.StreamEvent{Status: "paused", Reason: `"too many\nerrors"`}},
		{"disabled", m{"status": "disabled"}, signals.StreamEvent{Status: "disabled"}},
		{"enabled", m{"status": "enabled"}, signals.StreamEvent{Status: "enabled"}},
		{"another", m{"status": "on fire"}, signals.StreamEvent{Status: "other"}},
		{"none", nil, signals.StreamEvent{Status: "other"}},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			s.requireTaken(signals.Updated, m{"sub_id": opaque("stream-1"), "events": events(streamUpdated, tt.payload)})
			tt.want.Issuer = kit.Issuer
			require.Equal(t, []signals.StreamEvent{tt.want}, told(s, &s.stream))
			require.Equal(t, streamUpdated, s.last().Type)
			require.Empty(t, s.list.added())
		})
	}
	inBubble(t, "nobody listens", func(t *testing.T) {
		s := newScene(t, func(c *signals.Config) { c.Hooks.Stream = nil })
		s.requireTaken(signals.Updated, m{"sub_id": opaque("stream-1"), "events": events(streamUpdated, m{"status": "paused"})})
	})
}

func TestResolve(t *testing.T) {
	email := m{"format": "email", "email": "alice@example.com"}
	device := m{"format": "opaque", "id": "d1"}
	foreign := m{"format": "iss_sub", "iss": "https://x.example/", "sub": "bob@example.com"}
	said := map[string]revocation.Entry{
		"alice@example.com": {Subject: "alice", Before: begin.Add(-time.Hour), Until: begin.Add(time.Hour), Source: "x"},
		"other":             {Issuer: "https://other.example.com/", Subject: "a"},
		"d1":                {Session: "s-of-d1"},
		"everything":        {},
		"everything of one": {Issuer: kit.Issuer},
		"bob@example.com":   {Subject: "bob"},
		"key":               {Key: [32]byte{1}},
		"another key":       {Key: [32]byte{2}},
		"token":             {TokenID: "t"},
	}
	for _, tt := range []struct {
		name    string
		event   string
		subject any
		config  func(*signals.Config)
		asked   []string // Member and Format
		entry   revocation.Entry
		why     signals.Why
		refused bool
	}{
		{name: "email", subject: email, asked: []string{" email"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "what is certain is not asked for", subject: alice(), entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "of another issuer", subject: m{"format": "email", "email": "other"}, asked: []string{" email"}, entry: revocation.Entry{Issuer: "https://other.example.com/", Subject: "a"}},
		{name: "an unknown format", subject: m{"format": "x", "email": "alice@example.com"}, asked: []string{" x"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "nobody knows", subject: m{"format": "email", "email": "nobody"}, asked: []string{" email"}, why: signals.WhySubject},
		{name: "an Entry that means everything", subject: m{"format": "email", "email": "everything"}, asked: []string{" email"}, why: signals.WhySubject},
		{name: "and one of an issuer", subject: m{"format": "email", "email": "everything of one"}, asked: []string{" email"}, why: signals.WhySubject},
		{name: "aliases", subject: m{"format": "aliases", "identifiers": []any{m{"format": "email", "email": "nobody"}, email}}, asked: []string{" email", " email"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "aliases, one certain", subject: m{"format": "aliases", "identifiers": []any{email, alice()}}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "user and device", subject: complexOf(m{"user": email, "device": device}), asked: []string{"device opaque", "user email"}, entry: revocation.Entry{Issuer: kit.Issuer, Session: "s-of-d1"}},
		{name: "user and tenant", subject: complexOf(m{"user": email, "tenant": opaque("t")}), asked: []string{"user email"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice", Tenant: "t"}},
		{name: "two users", subject: complexOf(m{"user": alice(), "device": m{"format": "email", "email": "bob@example.com"}}), asked: []string{"device email"}, why: signals.WhyContradiction},
		{name: "two issuers", subject: complexOf(m{"user": alice(), "device": m{"format": "email", "email": "other"}}), asked: []string{"device email"}, why: signals.WhyContradiction},
		{name: "two keys", subject: complexOf(m{"device": m{"format": "email", "email": "key"}, "user": m{"format": "email", "email": "another key"}}), asked: []string{"device email", "user email"}, why: signals.WhyContradiction},
		{name: "a session that nobody knows, and a device", subject: complexOf(m{"device": device, "session": m{"format": "email", "email": "nobody"}}), asked: []string{"device opaque", "session email"}, why: signals.WhySubject},
		{name: "aliases of a member", subject: complexOf(m{"user": m{"format": "aliases", "identifiers": []any{email}}}), asked: []string{"user email"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "the same key twice", subject: complexOf(m{"device": m{"format": "email", "email": "key"}, "user": m{"format": "email", "email": "key"}}), asked: []string{"device email", "user email"}, entry: revocation.Entry{Issuer: kit.Issuer, Key: [32]byte{1}}},
		{name: "in whatever order the members stand", subject: json.RawMessage(`{"format":"complex","user":{"format":"email","email":"alice@example.com"},"device":{"format":"opaque","id":"d1"}}`),
			asked: []string{"device opaque", "user email"}, entry: revocation.Entry{Issuer: kit.Issuer, Session: "s-of-d1"}},
		{name: "a key", subject: m{"format": "email", "email": "key"}, asked: []string{" email"}, entry: revocation.Entry{Issuer: kit.Issuer, Key: [32]byte{1}}},
		{name: "a token of a session", subject: complexOf(m{"device": m{"format": "email", "email": "token"}, "session": opaque("s")}), asked: []string{"device email"}, entry: revocation.Entry{Issuer: kit.Issuer, Session: "s", TokenID: "t"}},
		{name: "a session, and a key", subject: complexOf(m{"device": m{"format": "email", "email": "key"}, "session": opaque("s")}), asked: []string{"device email"}, entry: revocation.Entry{Issuer: kit.Issuer, Session: "s", Key: [32]byte{1}}},
		{name: "an account by opaque ID", event: signals.AccountDisabled, subject: opaque("alice@example.com"), asked: []string{" opaque"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "W2-228 aliases, one of another issuer", subject: m{"format": "aliases", "identifiers": []any{foreign, email}}, asked: []string{" email"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
		{name: "W2-228 aliases, all of another issuer", subject: m{"format": "aliases", "identifiers": []any{foreign}}, why: signals.WhySubject},
		{name: "W2-228 another issuer, and a member of another format", subject: m{"format": "iss_sub", "iss": "https://x.example/", "sub": "bob@example.com", "x": "1"}, refused: true},
		{name: "W2-228 jwt_id likewise", subject: m{"format": "jwt_id", "iss": "https://x.example/", "jti": "bob@example.com", "x": "1"}, refused: true},
		{name: "W2-228 in a complex subject", subject: complexOf(m{"user": m{"format": "jwt_id", "iss": "https://x.example/", "jti": "bob@example.com"}}), refused: true},
		{name: "a device by an issuer of its own", subject: complexOf(m{"user": alice(), "device": m{"format": "iss_sub", "iss": "https://mdm.example/", "sub": "d1"}}), asked: []string{"device iss_sub"}, entry: revocation.Entry{Issuer: kit.Issuer, Session: "s-of-d1"}},
		{name: "a member that is ignored", subject: complexOf(m{"user": email, "device": device}), config: func(c *signals.Config) { c.IgnoreMembers = []string{"device"} }, asked: []string{"user email"}, entry: revocation.Entry{Issuer: kit.Issuer, Subject: "alice"}},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			var asked []string
			s := newScene(t, func(c *signals.Config) {
				c.Resolve = func(_ context.Context, s signals.Subject) (revocation.Entry, bool, error) {
					asked = append(asked, s.Member+" "+s.Format)
					for _, value := range s.Values {
						if e, found := said[value]; found {
							return e, true, nil
						}
					}
					return revocation.Entry{Subject: "not found"}, false, nil
				}
				if tt.config != nil {
					tt.config(c)
				}
			})
			if tt.event == "" {
				tt.event = signals.SessionRevoked
			}
			if tt.refused {
				s.requireRefused(nil, m{"sub_id": tt.subject}, http.StatusBadRequest, "access_denied", bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
				require.Empty(t, asked)
				require.Empty(t, s.list.added())
				return
			}
			outcome := signals.Revoked
			if tt.why != "" {
				outcome = signals.Discarded
			}
			s.requireTaken(outcome, m{"sub_id": tt.subject, "events": events(tt.event, nil)})
			require.Equal(t, tt.asked, asked)
			if tt.why != "" {
				require.Equal(t, tt.why, told(s, &s.discarded)[0].Why)
				require.Empty(t, s.list.added())
				return
			}
			tt.entry.Before, tt.entry.Source = begin, "signals"
			require.Equal(t, []revocation.Entry{tt.entry}, s.list.added())
		})
	}
}

func TestResolveFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(context.Context) error
		status int
		kind   error
		reason bearergate.Reason
	}{
		{"an error", func(context.Context) error { return io.EOF }, 503, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"it hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 503, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"it panics", func(context.Context) error { panic(kit.PanicSecret) }, 500, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
	} {
		for _, subject := range []m{
			{"format": "email", "email": "e"},
			{"format": "aliases", "identifiers": []any{m{"format": "email", "email": "e"}}},
			complexOf(m{"user": m{"format": "email", "email": "e"}, "session": opaque("s1")}),
		} {
			inBubble(t, tt.name, func(t *testing.T) {
				s := newScene(t, func(c *signals.Config) {
					c.Resolve = func(ctx context.Context, _ signals.Subject) (revocation.Entry, bool, error) {
						return revocation.Entry{Subject: "x"}, true, tt.do(ctx)
					}
				})
				s.requireRefused(nil, m{"sub_id": subject}, tt.status, "", tt.kind, tt.reason)
				require.Empty(t, s.list.added())
			})
		}
	}
}

func TestRevoke(t *testing.T) {
	const own = "https://example.com/event"
	bubble.Test(t, func(t *testing.T) {
		var got signals.Event
		answer := true
		s := newScene(t, func(c *signals.Config) {
			decide := func(e signals.Event) bool {
				got = e
				got.Subject.Values = maps.Clone(e.Subject.Values)
				e.Subject.Values["sub"] = "changed"
				return answer
			}
			c.Revoke = map[string]func(signals.Event) bool{own: decide, signals.SessionRevoked: decide}
		})
		s.requireTaken(signals.Revoked, m{"events": events(own, m{"x": "y", "event_timestamp": begin.Unix() - 60})})
		require.Equal(t, own, s.last().Type)
		require.JSONEq(t, `{"x":"y","event_timestamp":946684740}`, string(got.Payload))
		require.Equal(t, own, got.Type)
		require.Equal(t, begin, got.IssuedAt)
		require.Equal(t, begin.Add(-time.Minute), got.At)
		require.Equal(t, "iss_sub", got.Subject.Format)
		require.Equal(t, map[string]string{"iss": kit.Issuer, "sub": "alice"}, got.Subject.Values)

		require.Equal(t, "alice", s.list.added()[0].Subject)

		answer = false
		s.requireTaken(signals.Discarded, m{"jti": "id-2"})
		require.Equal(t, signals.WhyDecision, told(s, &s.discarded)[0].Why)
		require.Len(t, s.list.added(), 1)
	})
}

// A panic of each function of the user's is an answer, and Panicked is told.
func TestPanics(t *testing.T) {
	do := func() { panic(kit.PanicSecret) }
	for _, tt := range []struct {
		where  string
		claims m
		change func(*signals.Config)
	}{
		{"Keys", nil, func(c *signals.Config) { c.Keys = panicking{} }},
		{"Resolve", m{"sub_id": m{"format": "email", "email": "e"}}, func(c *signals.Config) {
			c.Resolve = func(context.Context, signals.Subject) (revocation.Entry, bool, error) {
				do()
				return revocation.Entry{}, false, nil
			}
		}},
		{"Revoke", nil, func(c *signals.Config) {
			c.Revoke = map[string]func(signals.Event) bool{signals.SessionRevoked: func(signals.Event) bool { do(); return true }}
		}},
		{"VerificationState", m{"events": events(verification, m{"state": "s"})}, func(c *signals.Config) {
			c.VerificationState = func(context.Context, string) (bool, error) { do(); return false, nil }
		}},
		{"List", nil, func(c *signals.Config) {
			l := newList(t)
			l.failing(func(context.Context) error { do(); return nil })
			c.List = l
		}},
	} {
		t.Run(tt.where, func(t *testing.T) {
			s := newScene(t, tt.change)
			s.requireRefused(nil, tt.claims, http.StatusInternalServerError, "", bearergate.ErrMisconfigured, bearergate.ReasonInternal)
			require.Equal(t, []bearergate.PanicEvent{{Where: tt.where, Type: "string"}}, told(s, &s.panicked))
			require.NotContains(t, s.last().Err.Error(), kit.PanicSecret)
		})
	}
}

type panicking struct{}

func (panicking) Keys(context.Context, string, string) ([]jwks.Key, error) { panic(kit.PanicSecret) }

// A SET opens nothing, whatever its typ says.
//
// req: R8417-02
func TestNoAccessToken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		require.NoError(t, err)
		token, err := v.Verify(t.Context(), as.SecurityEvent(nil))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
		claims := as.Claims(authtest.Claims{})
		claims["events"] = events(signals.SessionRevoked, nil)
		token, err = v.Verify(t.Context(), as.Sign(m{"typ": "JWT"}, claims))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
	})
}
