package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// whoami answers with the subject of the token in the context, or "nobody".
func whoami(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if token, ok := bearergate.FromContext(r.Context()); ok {
			who = token.Subject()
		}
		_, err := w.Write([]byte(who))
		assert.NoError(t, err)
	})
}

func TestOptional(t *testing.T) {
	events := &log{}
	bound := reader
	bound.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)}
	for name, tc := range map[string]struct {
		verifier bearergate.Verifier
		header   []string
		need     scope.Requirement
		opts     []middleware.RouteOption
		extract  func(*http.Request) (bearergate.Credentials, error)
		status   int
		who      string
		reason   bearergate.Reason
	}{
		"no token":             {status: 200, who: "nobody"},
		"an empty header":      {header: []string{""}, status: 200, who: "nobody"},
		"another scheme":       {header: []string{"Basic dTpw"}, status: 200, who: "nobody"},
		"a token":              {header: []string{"Bearer " + good}, status: 200, who: "u1"},
		"a bad token":          {header: []string{"Bearer bad"}, status: 401, reason: bearergate.ReasonMalformed},
		"malformed":            {header: []string{"Bearer"}, status: 400, reason: bearergate.ReasonBadRequest},
		"two credentials":      {header: []string{"Bearer " + good, "Bearer " + good}, status: 400, reason: bearergate.ReasonBadRequest},
		"a token and Basic":    {header: []string{"Basic dTpw", "Bearer " + good}, status: 400, reason: bearergate.ReasonBadRequest},
		"no token, scope":      {need: scope.All("write"), status: 200, who: "nobody"},
		"a token, wrong scope": {header: []string{"Bearer " + good}, need: scope.All("write"), status: 403, reason: bearergate.ReasonScope},
		"a token, step-up": {header: []string{"Bearer " + good}, opts: []middleware.RouteOption{middleware.StepUp([]string{"mfa"}, 0)},
			status: 401, reason: bearergate.ReasonAuthentication},
		"a bound token":                    {verifier: accepts(bound), header: []string{"Bearer " + good}, status: 401, reason: bearergate.ReasonBinding},
		"DPoP where nobody checks a proof": {header: []string{"DPoP " + good}, status: 401, reason: bearergate.ReasonBinding},
		"an outage": {verifier: refuses(bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable), header: []string{"Bearer " + good},
			status: 503, reason: bearergate.ReasonKeysUnavailable},
		"no token during an outage": {verifier: refuses(bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable), status: 200, who: "nobody"},
		// Whether a token was sent is not for the verifier to say.
		"a verifier that finds none": {verifier: refuses(bearergate.ErrMissingToken, bearergate.ReasonNoToken), header: []string{"Bearer " + good},
			status: 401, reason: bearergate.ReasonNoToken},
		"no cookie":              {extract: func(r *http.Request) (bearergate.Credentials, error) { _, err := r.Cookie("s"); return sent(""), err }, status: 200, who: "nobody"},
		"nothing extracted":      {extract: func(*http.Request) (bearergate.Credentials, error) { return sent(""), nil }, header: []string{"Bearer " + good}, status: 200, who: "nobody"},
		"a token in the cookie":  {extract: func(*http.Request) (bearergate.Credentials, error) { return sent(good), nil }, status: 200, who: "u1"},
		"a broken session store": {extract: func(*http.Request) (bearergate.Credentials, error) { return sent(""), errors.New("x") }, status: 500, reason: bearergate.ReasonInternal},
		"a panic of Extract":     {extract: func(*http.Request) (bearergate.Credentials, error) { panic("x") }, status: 500, reason: bearergate.ReasonInternal},
		"a mistake closes it":    {need: scope.All("a b"), status: 500, reason: bearergate.ReasonConfig},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.verifier == nil {
				tc.verifier = accepts(reader)
			}
			gate := newGate(t, tc.verifier, middleware.Config{Hooks: events.hooks(), Extract: tc.extract})
			handlers := map[string]http.Handler{"Optional": gate.Optional(tc.need, tc.opts...)(whoami(t))}
			if tc.need.Err() == nil {
				rt := gate.NewRouter()
				rt.Optional("/orders", tc.need, whoami(t), tc.opts...)
				handlers["Router"] = built(t, rt)
			}
			for _, h := range handlers {
				// A token that an outer gate left must not stand in.
				outer := bearergate.NewContext(context.Background(), bearergate.NewToken(bearergate.Claims{Subject: "outer"}))
				for _, ctx := range []context.Context{context.Background(), outer} {
					r := httptest.NewRequest("GET", "/orders", nil).WithContext(ctx)
					r.Header["Authorization"] = tc.header
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					require.Equal(t, tc.status, w.Code)
					if tc.status == 200 {
						require.Equal(t, tc.who, w.Body.String())
					}
					vary := []string{"Authorization"}
					if tc.extract != nil {
						vary = nil
					}
					require.Equal(t, vary, w.Header().Values("Vary"))
					e := events.only(t)
					require.Equal(t, tc.reason, e.Reason)
					require.Equal(t, tc.status == 200, e.Err == nil)
					if tc.who == "nobody" {
						require.Nil(t, e.Token)
						require.Empty(t, e.Source)
					}
					if tc.who == "u1" && tc.extract != nil {
						require.Equal(t, middleware.SourceExtract, e.Source)
					}
				}
			}
		})
	}
	var gate *middleware.Gate
	w := httptest.NewRecorder()
	gate.Optional(scope.Requirement{})(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 500, w.Code)
}

func TestInsecureReportOnly(t *testing.T) {
	bound := reader
	bound.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)}
	for name, tc := range map[string]struct {
		verifier bearergate.Verifier
		header   []string
		need     scope.Requirement
		opts     []middleware.RouteOption
		who      string
		kind     error
	}{
		"good":            {header: []string{"Bearer " + good}, who: "u1"},
		"no token":        {who: "nobody", kind: bearergate.ErrMissingToken},
		"two credentials": {header: []string{"Bearer " + good, "Bearer " + good}, who: "nobody", kind: bearergate.ErrInvalidRequest},
		"a bad token":     {header: []string{"Bearer bad"}, who: "nobody", kind: bearergate.ErrInvalidToken},
		"wrong scope":     {header: []string{"Bearer " + good}, need: scope.All("write"), who: "u1", kind: bearergate.ErrInsufficientScope},
		"weak": {header: []string{"Bearer " + good}, opts: []middleware.RouteOption{middleware.StepUp([]string{"mfa"}, 0)}, who: "u1",
			kind: bearergate.ErrInsufficientAuthentication},
		"not confirmed": {verifier: accepts(bound), header: []string{"Bearer " + good}, who: "nobody", kind: bearergate.ErrInvalidToken},
		"an outage":     {verifier: answers(bearergate.ErrUnavailable), header: []string{"Bearer " + good}, who: "nobody", kind: bearergate.ErrUnavailable},
		"broken":        {verifier: answers(errors.New("x")), header: []string{"Bearer " + good}, who: "nobody", kind: bearergate.ErrMisconfigured},
		"a mistake":     {header: []string{"Bearer " + good}, need: scope.All("a b"), who: "nobody", kind: bearergate.ErrMisconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.verifier == nil {
				tc.verifier = accepts(reader)
			}
			events := &log{}
			gate := newGate(t, tc.verifier, middleware.Config{Hooks: events.hooks(), InsecureReportOnly: true})
			outer := bearergate.NewContext(context.Background(), bearergate.NewToken(bearergate.Claims{Subject: "outer"}))
			r := httptest.NewRequest("GET", "/orders", nil).WithContext(outer)
			r.Header["Authorization"] = tc.header
			w := httptest.NewRecorder()
			gate.Require(tc.need, tc.opts...)(whoami(t)).ServeHTTP(w, r)
			require.Equal(t, 200, w.Code)
			require.Equal(t, tc.who, w.Body.String(), "a token only if it is valid")
			require.Empty(t, w.Header().Values("WWW-Authenticate"))
			e := events.only(t)
			require.Equal(t, tc.kind != nil, e.ReportOnly)
			if tc.kind == nil {
				require.NoError(t, e.Err)
				return
			}
			require.ErrorIs(t, e.Err, tc.kind)
			require.Equal(t, bearergate.ReasonOf(e.Err), e.Reason)

			// Check decides, and does not serve.
			token, _, err := gate.Check(r, tc.need, tc.opts...)
			require.Nil(t, token)
			require.ErrorIs(t, err, tc.kind)
			require.False(t, events.only(t).ReportOnly)
		})
	}
	// What cannot be run is refused.
	gate := newGate(t, accepts(reader), middleware.Config{InsecureReportOnly: true})
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(nil).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 500, w.Code)
}

// foreignContext is one that package context does not know, and counts how often it is asked
// why it has ended.
type foreignContext struct {
	context.Context

	done  chan struct{}
	asked atomic.Int32
}

func (c *foreignContext) Done() <-chan struct{} { return c.done }

func (c *foreignContext) Err() error {
	c.asked.Add(1)
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// The end of a token ends its request, and nothing is left behind: a bubble ends
// only when every goroutine and timer in it has.
func TestCancelOnExpiry(t *testing.T) {
	serve := func(t *testing.T, exp time.Time, h http.HandlerFunc, opts ...middleware.RouteOption) {
		gate := newGate(t, accepts(bearergate.Claims{ExpiresAt: exp}), middleware.Config{})
		w := httptest.NewRecorder()
		gate.Require(scope.Requirement{}, opts...)(h).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 200, w.Code)
	}
	cancel := middleware.CancelOnExpiry()
	bubble.Test(t, func(t *testing.T) {
		start := time.Now()
		ran := false
		serve(t, start.Add(time.Hour), func(_ http.ResponseWriter, r *http.Request) {
			deadline, ok := r.Context().Deadline()
			assert.True(t, ok)
			assert.Equal(t, start.Add(time.Hour), deadline)
			time.Sleep(time.Hour - 1)
			assert.NoError(t, r.Context().Err())
			<-r.Context().Done()
			assert.Equal(t, time.Hour, time.Since(start))
			assert.ErrorIs(t, r.Context().Err(), context.DeadlineExceeded)
			requireError(t, context.Cause(r.Context()), bearergate.ErrInvalidToken, bearergate.ReasonExpired)
			_, ok = bearergate.FromContext(r.Context())
			assert.True(t, ok)
			ran = true
		}, cancel, cancel)
		require.True(t, ran)

		// In the leeway of the verifier, the context has ended.
		serve(t, time.Now().Add(-time.Second), func(_ http.ResponseWriter, r *http.Request) { assert.Error(t, r.Context().Err()) }, cancel)

		// No exp, no end; and without the option none either.
		for _, opts := range [][]middleware.RouteOption{{cancel}, nil} {
			exp := time.Time{}
			if opts == nil {
				exp = time.Now().Add(time.Minute)
			}
			serve(t, exp, func(_ http.ResponseWriter, r *http.Request) {
				_, ok := r.Context().Deadline()
				assert.False(t, ok)
				time.Sleep(24 * time.Hour)
				assert.NoError(t, r.Context().Err())
			}, opts...)
		}

		// The context ends with the handler, however that ends.
		var kept context.Context
		serve(t, time.Now().Add(time.Hour), func(_ http.ResponseWriter, r *http.Request) { kept = r.Context() }, cancel)
		require.ErrorIs(t, kept.Err(), context.Canceled)
		require.PanicsWithValue(t, "mine", func() {
			serve(t, time.Now().Add(time.Hour), func(_ http.ResponseWriter, r *http.Request) { kept = r.Context(); panic("mine") }, cancel)
		})
		require.ErrorIs(t, kept.Err(), context.Canceled)

		// What waited for the token to expire is gone with it, too. For a context of this kind, a
		// goroutine passes its end on, and asks why it has ended.
		foreign := &foreignContext{Context: context.Background(), done: make(chan struct{})}
		h := newGate(t, accepts(bearergate.Claims{ExpiresAt: time.Now().Add(time.Hour)}), middleware.Config{}).Require(scope.Requirement{}, cancel)(says(""))
		h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good).WithContext(foreign))
		synctest.Wait()
		asked := foreign.asked.Load()
		close(foreign.done)
		synctest.Wait()
		require.Equal(t, asked, foreign.asked.Load())

		// The caller's own deadline stays, if it is earlier.
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		gate := newGate(t, accepts(bearergate.Claims{ExpiresAt: time.Now().Add(time.Hour)}), middleware.Config{})
		gate.Require(scope.Requirement{}, cancel)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			assert.Equal(t, context.DeadlineExceeded, context.Cause(r.Context()))
		})).ServeHTTP(httptest.NewRecorder(), bearer("GET", good).WithContext(ctx))

		// A stranger has no token to expire.
		gate.Optional(scope.Requirement{}, cancel)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, ok := r.Context().Deadline()
			assert.False(t, ok)
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	})
}
