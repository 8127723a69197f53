package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// good is the token that the verifiers of these tests accept.
const good = "good.token"

var (
	sentinels    = kit.Sentinels()
	requireError = kit.RequireError
)

// accepts verifies good as a token with these claims, and nothing else.
func accepts(c bearergate.Claims) bearergate.Verifier {
	token := bearergate.NewToken(c)
	return bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		if raw != good {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonMalformed}
		}
		return token, nil
	})
}

func answers(err error) bearergate.Verifier {
	return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, err })
}

func refuses(kind error, reason bearergate.Reason) bearergate.Verifier {
	return answers(&bearergate.Error{Kind: kind, Reason: reason, Cause: errors.New("s3cret detail for operators")})
}

var reader = bearergate.Claims{Issuer: "https://as.example.com/", Subject: "u1", Scopes: scope.Of("read")}

func newGate(t testing.TB, v bearergate.Verifier, c middleware.Config) *middleware.Gate {
	t.Helper()
	gate, err := middleware.New(v, c)
	require.NoError(t, err)
	return gate
}

func bearer(method, token string) *http.Request {
	r := httptest.NewRequest(method, "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// refused asserts that Check refuses r so, without a token beside the error.
func refused(t testing.TB, gate *middleware.Gate, r *http.Request, need scope.Requirement, kind error, reason bearergate.Reason, opts ...middleware.RouteOption) error {
	t.Helper()
	token, err := gate.Check(r, need, opts...)
	require.Nil(t, token)
	requireError(t, err, kind, reason)
	return err
}

// log collects events.
type log struct {
	mu     sync.Mutex // guards events
	events []middleware.DecisionEvent
}

func (l *log) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.events = append(l.events, e)
	}}
}

// only returns the one event since it was last called.
func (l *log) only(t testing.TB) middleware.DecisionEvent {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.events, 1)
	e := l.events[0]
	l.events = nil
	return e
}

// forbidden is a handler that must not run.
func forbidden(t testing.TB) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
}

func TestNewNamesEveryMistake(t *testing.T) {
	var nilFunc bearergate.VerifierFunc
	var nilPointer *structVerifier
	for name, v := range map[string]bearergate.Verifier{"nil": nil, "nil func": nilFunc, "nil pointer": nilPointer} {
		gate, err := middleware.New(v, middleware.Config{Realm: "a\"b"})
		require.Nil(t, gate, name)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "verifier")
		require.ErrorContains(t, err, "Config.Realm")
	}
	// req: R6750-06
	for _, realm := range []string{"a\\b", "a\nb", "a\r\nX: y", "ä", "a\x00", "\x7f", "\t"} {
		gate, err := middleware.New(accepts(reader), middleware.Config{Realm: realm})
		require.Nil(t, gate)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	for _, realm := range []string{"", "api", "The orders of <us>, 'all' !#[]~"} {
		newGate(t, accepts(reader), middleware.Config{Realm: realm})
	}
}

type structVerifier struct{ v bearergate.Verifier }

func (s *structVerifier) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	return s.v.Verify(ctx, token)
}

func TestRequirePutsTheTokenIntoTheContext(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	var ran int
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "PROPFIND"} {
		r := bearer(method, good)
		before := r.Clone(r.Context())
		w := httptest.NewRecorder()
		gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, inner *http.Request) {
			ran++
			token, ok := bearergate.FromContext(inner.Context())
			assert.True(t, ok)
			assert.Equal(t, "u1", token.Subject())
			assert.NotSame(t, r, inner)
			w.WriteHeader(http.StatusNoContent)
		})).ServeHTTP(w, r)
		require.Equal(t, http.StatusNoContent, w.Code)
		require.Empty(t, w.Header())
		_, ok := bearergate.FromContext(r.Context())
		require.False(t, ok, "the caller's request was changed")
		require.Equal(t, before.Header, r.Header)
	}
	require.Equal(t, 5, ran)
}

func TestTheZeroRequirementStillRequiresAToken(t *testing.T) {
	gate := newGate(t, accepts(bearergate.Claims{}), middleware.Config{})
	token, err := gate.Check(bearer("GET", good), scope.Requirement{})
	require.NoError(t, err)
	require.Zero(t, token.Scopes().Len())
	refused(t, gate, httptest.NewRequest("GET", "/", nil), scope.Requirement{}, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	refused(t, gate, bearer("GET", "bad"), scope.Requirement{}, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
}

func TestAnInnerGateHidesTheTokenOfTheOuter(t *testing.T) {
	outer := newGate(t, accepts(reader), middleware.Config{})
	inner := newGate(t, accepts(bearergate.Claims{Subject: "u2"}), middleware.Config{})
	var got string
	h := outer.Require(scope.All("read"))(inner.Require(scope.Requirement{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token, _ := bearergate.FromContext(r.Context())
		got = token.Subject()
	})))
	h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
	require.Equal(t, "u2", got)
}

// What Require cannot report closes the route, for every request and with an event.
func TestABrokenRouteIsClosed(t *testing.T) {
	events := &log{}
	gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()})
	var nilFunc bearergate.VerifierFunc
	var nilPointer *structVerifier
	var nilHandler http.HandlerFunc
	stepUp := middleware.StepUp([]string{"mfa"}, 0)
	via := middleware.Via(accepts(reader))
	for name, tc := range map[string]struct {
		gate *middleware.Gate
		need scope.Requirement
		opts []middleware.RouteOption
		next http.Handler
	}{
		"no scopes in All":       {need: scope.All()},
		"bad scope":              {need: scope.Any("read", "a b")},
		"Via nil":                {opts: []middleware.RouteOption{middleware.Via(nil)}},
		"Via nil func":           {opts: []middleware.RouteOption{middleware.Via(nilFunc)}},
		"Via nil pointer":        {opts: []middleware.RouteOption{middleware.Via(nilPointer)}},
		"Via twice":              {opts: []middleware.RouteOption{via, via}},
		"nil option":             {opts: []middleware.RouteOption{nil}},
		"embedded nil option":    {opts: []middleware.RouteOption{struct{ middleware.RouteOption }{}}},
		"StepUp of nothing":      {opts: []middleware.RouteOption{middleware.StepUp(nil, 0)}},
		"StepUp twice":           {opts: []middleware.RouteOption{stepUp, stepUp}},
		"negative maxAge":        {opts: []middleware.RouteOption{middleware.StepUp(nil, -time.Second)}},
		"maxAge without a unit":  {opts: []middleware.RouteOption{middleware.StepUp(nil, 300)}},
		"empty acr":              {opts: []middleware.RouteOption{middleware.StepUp([]string{""}, 0)}},
		"acr with a space":       {opts: []middleware.RouteOption{middleware.StepUp([]string{"a b"}, 0)}},
		"acr with a quote":       {opts: []middleware.RouteOption{middleware.StepUp([]string{"ok", "a\"b"}, 0)}},
		"acr with a line feed":   {opts: []middleware.RouteOption{middleware.StepUp([]string{"a\nb"}, 0)}},
		"acr beyond ASCII":       {opts: []middleware.RouteOption{middleware.StepUp([]string{"ä"}, 0)}},
		"zero gate":              {gate: &middleware.Gate{}},
		"zero gate with Via":     {gate: &middleware.Gate{}, opts: []middleware.RouteOption{via}},
		"nil handler":            {next: (http.Handler)(nil)},
		"nil handler func":       {next: nilHandler},
		"nil handler, bad scope": {next: nilHandler, need: scope.All("")},
	} {
		t.Run(name, func(t *testing.T) {
			g := gate
			if tc.gate != nil {
				g = tc.gate
			}
			next := tc.next
			isHandler := strings.HasPrefix(name, "nil handler")
			if !isHandler {
				next = forbidden(t)
			}
			h := g.Require(tc.need, tc.opts...)(next)
			for _, r := range []*http.Request{bearer("GET", good), bearer("GET", "bad"), httptest.NewRequest("POST", "/", nil)} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Equal(t, http.StatusInternalServerError, w.Code)
				require.Empty(t, w.Header().Values("WWW-Authenticate"))
				if tc.gate == nil {
					e := events.only(t)
					requireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
					require.Equal(t, bearergate.ReasonConfig, e.Reason)
				}
				if !isHandler {
					refused(t, g, r, tc.need, bearergate.ErrMisconfigured, bearergate.ReasonConfig, tc.opts...)
					if tc.gate == nil {
						events.only(t)
					}
				}
			}
		})
	}
}

func TestNilGateAndNilRequest(t *testing.T) {
	var gate *middleware.Gate
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	refused(t, gate, nil, scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 500, w.Code)

	events := &log{}
	refused(t, newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()}), nil, scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	events.only(t)
}

func TestStepUpKeepsItsOwnValues(t *testing.T) {
	acr := []string{"mfa", "pin"}
	option := middleware.StepUp(acr, 0)
	acr[0] = "none"
	gate := newGate(t, accepts(bearergate.Claims{ACR: "none"}), middleware.Config{})
	err := refused(t, gate, bearer("GET", good), scope.Requirement{}, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication, option)
	bearergate.AsError(err).ACRValues[0] = "none"
	err = refused(t, gate, bearer("GET", good), scope.Requirement{}, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication, option)
	require.Equal(t, []string{"mfa", "pin"}, bearergate.AsError(err).ACRValues)
}

func TestVia(t *testing.T) {
	gate := newGate(t, refuses(bearergate.ErrInvalidToken, bearergate.ReasonAudience), middleware.Config{})
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonAudience)
	token, err := gate.Check(bearer("GET", good), scope.All("read"), middleware.Via(accepts(reader)))
	require.NoError(t, err)
	require.Equal(t, "u1", token.Subject())

	// And the other way round: a token for the gate does not open a route with a verifier of its own.
	gate = newGate(t, accepts(reader), middleware.Config{})
	live := middleware.Via(refuses(bearergate.ErrInvalidToken, bearergate.ReasonRevoked))
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonRevoked, live)
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"), live)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 401, w.Code)

	// Options of one route do not leak into the next.
	_, err = gate.Check(bearer("GET", good), scope.All("read"))
	require.NoError(t, err)
}

// req: R9470-01 R9470-04 R9068-08
func TestStepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, tc := range map[string]struct {
			acr    string
			at     time.Time
			accept []string
			maxAge time.Duration
			ok     bool
		}{
			"acr in the list":                     {acr: "mfa", accept: []string{"hw", "mfa"}, ok: true},
			"acr not in the list":                 {acr: "pwd", accept: []string{"hw", "mfa"}},
			"acr in another case":                 {acr: "MFA", accept: []string{"mfa"}},
			"acr that holds the list":             {acr: "hw mfa", accept: []string{"hw", "mfa"}},
			"prefix of an acr":                    {acr: "mf", accept: []string{"mfa"}},
			"no acr":                              {accept: []string{"mfa"}},
			"exactly the age":                     {at: now.Add(-5 * time.Minute), maxAge: 5 * time.Minute, ok: true},
			"a nanosecond over":                   {at: now.Add(-5*time.Minute - 1), maxAge: 5 * time.Minute},
			"a second over, no leeway":            {at: now.Add(-5*time.Minute - time.Second), maxAge: 5 * time.Minute},
			"just now":                            {at: now, maxAge: time.Second, ok: true},
			"no auth_time":                        {maxAge: 5 * time.Minute},
			"no auth_time, good acr":              {acr: "mfa", accept: []string{"mfa"}, maxAge: 5 * time.Minute},
			"good auth_time, bad acr":             {acr: "pwd", at: now, accept: []string{"mfa"}, maxAge: 5 * time.Minute},
			"bad auth_time, good acr":             {acr: "mfa", at: now.Add(-time.Hour), accept: []string{"mfa"}, maxAge: 5 * time.Minute},
			"both good":                           {acr: "mfa", at: now, accept: []string{"mfa"}, maxAge: 5 * time.Minute, ok: true},
			"old auth_time, no maxAge":            {acr: "mfa", at: now.Add(-1e6 * time.Hour), accept: []string{"mfa"}, ok: true},
			"clock of the issuer ahead":           {at: now.Add(time.Minute), maxAge: time.Second, ok: true},
			"auth_time in the future":             {at: now.Add(time.Minute + 1), maxAge: time.Second},
			"auth_time beyond what Duration says": {at: time.Unix(253402300799, 0), maxAge: time.Second},
			"auth_time before what Duration says": {at: time.Unix(-60000000000, 0), maxAge: 24 * time.Hour},
		} {
			v := accepts(bearergate.Claims{ACR: tc.acr, AuthTime: tc.at, Scopes: scope.Of("read")})
			gate := newGate(t, v, middleware.Config{})
			option := middleware.StepUp(tc.accept, tc.maxAge)
			if tc.ok {
				_, err := gate.Check(bearer("GET", good), scope.All("read"), option)
				require.NoError(t, err, name)
				continue
			}
			err := refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication, option)
			e := bearergate.AsError(err)
			require.Equal(t, tc.accept, e.ACRValues, name)
			require.Equal(t, tc.maxAge, e.MaxAge, name)
			require.Empty(t, e.Scopes, name)
		}
	})
}

// A token ages on the route, not in whatever keeps it.
func TestAuthTimeIsJudgedOnEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newGate(t, accepts(bearergate.Claims{AuthTime: time.Now()}), middleware.Config{})
		h := gate.Require(scope.Requirement{}, middleware.StepUp(nil, time.Minute))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for range 2 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, bearer("GET", good))
			require.Equal(t, 200, w.Code)
			time.Sleep(30 * time.Second)
		}
		time.Sleep(time.Second)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 401, w.Code)
		require.Contains(t, w.Header().Get("WWW-Authenticate"), `max_age="60"`)
	})
}

// req: R9470-02 R9470-03 R6750-08
func TestOrderOfTheChecks(t *testing.T) {
	bound := map[string][]byte{"jkt": []byte(`"x"`)}
	stepUp := middleware.StepUp([]string{"mfa"}, 0)
	need := scope.All("write")
	for name, tc := range map[string]struct {
		v      bearergate.Verifier
		kind   error
		reason bearergate.Reason
	}{
		"an invalid token reads invalid_token, whatever the route requires (SCP-022)": {
			refuses(bearergate.ErrInvalidToken, bearergate.ReasonExpired), bearergate.ErrInvalidToken, bearergate.ReasonExpired},
		"an outage reads as one": {
			refuses(bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable},
		"a bound token that nobody confirmed is invalid before it is weak": {
			accepts(bearergate.Claims{Confirmation: bound}), bearergate.ErrInvalidToken, bearergate.ReasonBinding},
		"authentication goes before scope": {
			accepts(bearergate.Claims{}), bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication},
		"scope is last": {
			accepts(bearergate.Claims{ACR: "mfa"}), bearergate.ErrInsufficientScope, bearergate.ReasonScope},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, tc.v, middleware.Config{})
			refused(t, gate, bearer("GET", good), need, tc.kind, tc.reason, stepUp)
			w := httptest.NewRecorder()
			gate.Require(need, stepUp)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			if c := w.Header().Get("WWW-Authenticate"); tc.kind == bearergate.ErrInvalidToken {
				require.NotContains(t, c, "acr_values")
				require.NotContains(t, c, "scope")
			}
		})
	}
	// Without a token nobody learns what the route requires.
	w := httptest.NewRecorder()
	newGate(t, accepts(reader), middleware.Config{}).Require(need, stepUp)(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, `Bearer realm="api"`, w.Header().Get("WWW-Authenticate"))
}

func TestExtract(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // as before Go 1.21: recover returns nil for panic(nil)
	custom := errors.New("session store: s3cret")
	var typedNil *bearergate.Error
	for name, tc := range map[string]struct {
		extract func(*http.Request) (string, error)
		kind    error
		reason  bearergate.Reason
		status  int
	}{
		"nothing":               {func(*http.Request) (string, error) { return "", nil }, bearergate.ErrMissingToken, bearergate.ReasonNoToken, 401},
		"no cookie":             {func(r *http.Request) (string, error) { _, err := r.Cookie("session"); return "", err }, bearergate.ErrMissingToken, bearergate.ReasonNoToken, 401},
		"no cookie and a token": {func(*http.Request) (string, error) { return good, http.ErrNoCookie }, bearergate.ErrMissingToken, bearergate.ReasonNoToken, 401},
		"no cookie, and whose fault": {func(*http.Request) (string, error) {
			return good, fmt.Errorf("%w: %w", bearergate.ErrInvalidRequest, http.ErrNoCookie)
		}, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest, 400},
		"bare sentinel":    {func(*http.Request) (string, error) { return good, bearergate.ErrInvalidRequest }, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest, 400},
		"wrapped sentinel": {func(*http.Request) (string, error) { return good, fmt.Errorf("x: %w", bearergate.ErrUnavailable) }, bearergate.ErrUnavailable, bearergate.ReasonInternal, 503},
		"two sentinels": {func(*http.Request) (string, error) {
			return good, errors.Join(bearergate.ErrMissingToken, bearergate.ErrInvalidToken)
		}, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"any other error":      {func(*http.Request) (string, error) { return good, custom }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"a timeout of its own": {func(*http.Request) (string, error) { return good, fmt.Errorf("redis: %w", context.DeadlineExceeded) }, bearergate.ErrUnavailable, bearergate.ReasonCanceled, 503},
		"a panic":              {func(*http.Request) (string, error) { panic(custom) }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"a nil panic":          {func(*http.Request) (string, error) { panic(nil) }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"an abort":             {func(*http.Request) (string, error) { panic(http.ErrAbortHandler) }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"a typed nil error":    {func(*http.Request) (string, error) { return good, typedNil }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"a bad token":          {func(*http.Request) (string, error) { return "\r\n\x00ä", nil }, bearergate.ErrInvalidToken, bearergate.ReasonMalformed, 401},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, accepts(reader), middleware.Config{Extract: tc.extract})
			// The header holds a good token: it must not stand in.
			err := refused(t, gate, bearer("GET", good), scope.All("read"), tc.kind, tc.reason)
			if name == "any other error" {
				require.ErrorIs(t, err, custom)
			}
			if name == "a panic" {
				require.NotContains(t, err.Error(), "s3cret")
			}
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, tc.status, w.Code)
			require.NotContains(t, w.Body.String(), "s3cret")
		})
	}

	gate := newGate(t, accepts(reader), middleware.Config{Extract: func(r *http.Request) (string, error) {
		c, err := r.Cookie("session")
		if err != nil {
			return "", err
		}
		return c.Value, nil
	}})
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: good})
	token, err := gate.Check(r, scope.All("read"))
	require.NoError(t, err)
	require.Equal(t, "u1", token.Subject())
	r = bearer("GET", good) // header only: not a carrier here
	refused(t, gate, r, scope.All("read"), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
}

func TestConfirm(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // as before Go 1.21: recover returns nil for panic(nil)
	custom := errors.New("certificate: s3cret")
	bound := reader
	bound.Confirmation = map[string][]byte{"x5t#S256": []byte(`"abc"`)}
	empty := reader
	empty.Confirmation = map[string][]byte{}

	// Not set: every bound token is refused, one with an empty cnf as well.
	for _, c := range []bearergate.Claims{bound, empty} {
		refused(t, newGate(t, accepts(c), middleware.Config{}), bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	}

	var typedNil *bearergate.Error
	for name, tc := range map[string]struct {
		confirm func(*http.Request, *bearergate.Token) error
		kind    error
		reason  bearergate.Reason
		status  int
	}{
		"any error":     {func(*http.Request, *bearergate.Token) error { return custom }, bearergate.ErrInvalidToken, bearergate.ReasonBinding, 401},
		"own sentinel":  {func(*http.Request, *bearergate.Token) error { return fmt.Errorf("x: %w", bearergate.ErrUnavailable) }, bearergate.ErrUnavailable, bearergate.ReasonInternal, 503},
		"two sentinels": {func(*http.Request, *bearergate.Token) error { return errors.Join(sentinels[0], sentinels[3]) }, bearergate.ErrInvalidToken, bearergate.ReasonBinding, 401},
		"own Error": {func(*http.Request, *bearergate.Token) error {
			return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest}
		}, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest, 400},
		"a timeout of its own": {func(*http.Request, *bearergate.Token) error { return fmt.Errorf("x: %w", context.DeadlineExceeded) }, bearergate.ErrUnavailable, bearergate.ReasonCanceled, 503},
		"a nil panic":          {func(*http.Request, *bearergate.Token) error { panic(nil) }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"a panic":              {func(*http.Request, *bearergate.Token) error { panic(custom) }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
		"a typed nil error":    {func(*http.Request, *bearergate.Token) error { return typedNil }, bearergate.ErrMisconfigured, bearergate.ReasonInternal, 500},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(bound), middleware.Config{Confirm: tc.confirm, Hooks: events.hooks()})
			err := refused(t, gate, bearer("GET", good), scope.All("read"), tc.kind, tc.reason)
			require.Equal(t, "u1", events.only(t).Token.Subject(), "whose token it was is for audit")
			if name == "any error" {
				require.ErrorIs(t, err, custom)
			}
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, tc.status, w.Code)
			require.NotContains(t, w.Body.String(), "s3cret")
		})
	}

	var calls int
	gate := newGate(t, accepts(bound), middleware.Config{Confirm: func(r *http.Request, token *bearergate.Token) error {
		calls++
		got, ok := token.Confirmation().Value("x5t#S256")
		if !ok || got != r.Header.Get("Fingerprint") {
			return custom
		}
		return nil
	}})
	r := bearer("GET", good)
	r.Header.Set("Fingerprint", "abc")
	_, err := gate.Check(r, scope.All("read"))
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	r.Header.Set("Fingerprint", "other") // the same token from another sender
	refused(t, gate, r, scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)

	// An unbound token is not asked about.
	gate = newGate(t, accepts(reader), middleware.Config{Confirm: func(*http.Request, *bearergate.Token) error { calls = -1; return custom }})
	_, err = gate.Check(bearer("GET", good), scope.All("read"))
	require.NoError(t, err)
	require.Equal(t, 2, calls)
}

// RES-008: a broken verifier closes the route.
func TestABrokenVerifierRefuses(t *testing.T) {
	for name, v := range map[string]bearergate.VerifierFunc{
		"panic":           func(context.Context, string) (*bearergate.Token, error) { panic("s3cret " + good) },
		"nothing":         func(context.Context, string) (*bearergate.Token, error) { return nil, nil },
		"the zero token":  func(context.Context, string) (*bearergate.Token, error) { return &bearergate.Token{}, nil },
		"a foreign error": func(context.Context, string) (*bearergate.Token, error) { return nil, errors.New("s3cret") },
		"token and error": func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(reader), errors.New("s3cret")
		},
		"a foreign timeout": func(context.Context, string) (*bearergate.Token, error) { return nil, context.DeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, v, middleware.Config{Hooks: events.hooks()})
			w := httptest.NewRecorder()
			gate.Require(scope.Requirement{})(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, 500, w.Code)
			require.Empty(t, w.Header().Values("WWW-Authenticate"))
			require.NotContains(t, w.Body.String(), "s3cret")
			e := events.only(t)
			requireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
			require.Nil(t, e.Token)
		})
	}
}

func TestAPanicOfTheHandlerIsNotRecovered(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	h := gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mine") }))
	require.PanicsWithValue(t, "mine", func() { h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good)) })
}

// untouchable fails the test if anything is written.
type untouchable struct{ t testing.TB }

func (w untouchable) Header() http.Header       { w.t.Error("a header was asked for"); return http.Header{} }
func (w untouchable) WriteHeader(int)           { w.t.Error("a status was written") }
func (w untouchable) Write([]byte) (int, error) { w.t.Error("a body was written"); return 0, nil }

func TestNothingIsWrittenToACallerThatLeft(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	bound := reader
	bound.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)}
	for name, tc := range map[string]struct {
		v bearergate.Verifier
		c middleware.Config
	}{
		"the context's error": {v: bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) { return nil, waits(ctx) })},
		"as the contract has it": {v: bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled, Cause: waits(ctx)}
		})},
		"a fetch that broke off": {v: bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
			_ = waits(ctx)
			return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}
		})},
		"Extract": {v: accepts(reader), c: middleware.Config{Extract: func(r *http.Request) (string, error) { return "", waits(r.Context()) }}},
		"Confirm": {v: accepts(bound), c: middleware.Config{Confirm: func(r *http.Request, _ *bearergate.Token) error { return waits(r.Context()) }}},
	} {
		for _, timeout := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				want := context.Canceled
				if timeout {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					want = context.DeadlineExceeded
				} else {
					time.AfterFunc(time.Second, cancel)
				}
				defer cancel()
				events := &log{}
				tc.c.Hooks = events.hooks()
				gate := newGate(t, tc.v, tc.c)
				// Clients that leave cancel. A deadline is of this server's making, and without a
				// connection to break, nothing written would be a 200.
				w := httptest.NewRecorder()
				if timeout {
					gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good).WithContext(ctx))
					require.Equal(t, 503, w.Code)
					require.NotEmpty(t, w.Header().Get("Retry-After"))
				} else {
					gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(untouchable{t}, bearer("GET", good).WithContext(ctx))
				}
				e := events.only(t)
				requireError(t, e.Err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
				require.ErrorIs(t, e.Err, want, name)
				require.Equal(t, bearergate.ReasonCanceled, e.Reason)
				require.Equal(t, time.Second, e.Duration)
			})
		}
	}

	// A decision that was reached stays one: leaving early does not hide a forged token from the metrics.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	refused(t, newGate(t, accepts(reader), middleware.Config{}), bearer("GET", "forged").WithContext(ctx), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
	w := httptest.NewRecorder()
	newGate(t, accepts(reader), middleware.Config{}).Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", "forged").WithContext(ctx))
	require.Equal(t, 401, w.Code, "it is answered, too")
	refused(t, newGate(t, answers(errors.New("x")), middleware.Config{}), bearer("GET", good).WithContext(ctx), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}

// The body belongs to the handler, and a token in it or in the query is none.
func TestTheBodyIsNotTouched(t *testing.T) {
	// req: R6750-02 R6750-03
	gate := newGate(t, accepts(reader), middleware.Config{})
	body := &touchy{t: t}
	r := httptest.NewRequest("POST", "/orders?access_token="+good, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	refused(t, gate, r, scope.All("read"), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	require.Nil(t, r.Form)

	// req: R6750-04: beside a token in the header, the others are not looked at either.
	r.Header.Set("Authorization", "Bearer "+good)
	_, err := gate.Check(r, scope.All("read"))
	require.NoError(t, err)
	require.Nil(t, r.Form)

	var read string
	r = httptest.NewRequest("POST", "/", strings.NewReader("access_token="+good))
	r.Header.Set("Authorization", "Bearer "+good)
	gate.Require(scope.All("read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		read = string(b)
	})).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "access_token="+good, read)
}

type touchy struct{ t testing.TB }

func (b *touchy) Read([]byte) (int, error) { b.t.Error("the body was read"); return 0, io.EOF }
func (b *touchy) Close() error             { b.t.Error("the body was closed"); return nil }

func TestScopes(t *testing.T) {
	for name, tc := range map[string]struct {
		granted scope.Set
		need    scope.Requirement
		ok      bool
	}{
		"SCP-001 read write":       {scope.Of("read", "write"), scope.All("read"), true},
		"SCP-007 read":             {scope.Of("read"), scope.All("read"), true},
		"SCP-010 tab":              {scope.Of("read\twrite"), scope.All("read"), false},
		"SCP-010 line feed":        {scope.Of("write\nread"), scope.All("read"), false},
		"SCP-010 comma":            {scope.Of("read,write"), scope.All("read"), false},
		"SCP-016 NBSP":             {scope.Of("\u00a0read"), scope.All("read"), false},
		"SCP-017 star":             {scope.Of("*"), scope.All("read"), false},
		"SCP-018 SCP-019 write":    {scope.Of("write"), scope.All("read"), false},
		"nothing granted":          {scope.Set{}, scope.All("read"), false},
		"another case":             {scope.Of("READ"), scope.All("read"), false},
		"prefix":                   {scope.Of("rea", "read:all"), scope.All("read"), false},
		"one of two":               {scope.Of("read"), scope.All("read", "write"), false},
		"any of two":               {scope.Of("write"), scope.Any("read", "write"), true},
		"nested":                   {scope.Of("admin"), scope.AnyOf(scope.All("admin"), scope.All("read", "write")), true},
		"nested, half of the rest": {scope.Of("write"), scope.AnyOf(scope.All("admin"), scope.All("read", "write")), false},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(bearergate.Claims{Subject: "u1", Scopes: tc.granted}), middleware.Config{Hooks: events.hooks()})
			if tc.ok {
				token, err := gate.Check(bearer("GET", good), tc.need)
				require.NoError(t, err)
				require.Equal(t, tc.granted, token.Scopes())
				require.Equal(t, bearergate.Reason(""), events.only(t).Reason)
				return
			}
			err := refused(t, gate, bearer("GET", good), tc.need, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
			require.Equal(t, tc.need.Scopes(), bearergate.AsError(err).Scopes)
			require.Equal(t, "u1", events.only(t).Token.Subject())
		})
	}
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(b []byte) (int, error) { return len(b), nil }

func TestSuccessAllocatesLittle(t *testing.T) {
	gate := newGate(t, accepts(bearergate.Claims{Scopes: scope.Of("read"), ACR: "mfa", AuthTime: time.Now()}), middleware.Config{})
	var ran int
	h := gate.Require(scope.All("read"), middleware.StepUp([]string{"mfa"}, time.Hour))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran++ }))
	w, r := discard{http.Header{}}, bearer("GET", good)
	allocs := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) })
	require.LessOrEqual(t, allocs, 2.0, "the request with its context, and the context")
	require.Equal(t, 101, ran)
	allocs = testing.AllocsPerRun(100, func() { _, _ = gate.Check(r, scope.Requirement{}) })
	require.LessOrEqual(t, allocs, 1.0, "the value of the requirement at most")
}

func BenchmarkRequire(b *testing.B) {
	gate := newGate(b, accepts(reader), middleware.Config{})
	h := gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w, r := discard{http.Header{}}, bearer("GET", good)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

// A bubble ends only when every goroutine in it has ended.
func TestConcurrentUseLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := &log{}
		gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()})
		h := gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				token, want := good, 204
				if i%2 == 0 {
					token, want = "bad", 401
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, bearer("GET", token))
				assert.Equal(t, want, w.Code)
				_, _ = gate.Check(bearer("GET", token), scope.All("read"), middleware.StepUp([]string{"a"}, 0))
			})
		}
		wg.Wait()
		require.Len(t, events.events, 100)
	})
}
