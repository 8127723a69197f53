package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

type rechecked func(context.Context) (*bearergate.Token, error)

// verdicts is a verifier that answers differently each time, and then as the last.
type verdicts struct {
	calls atomic.Int32
	list  []rechecked
}

func (v *verdicts) Verify(ctx context.Context, _ string) (*bearergate.Token, error) {
	return v.list[min(int(v.calls.Add(1)), len(v.list))-1](ctx)
}

func finds(c bearergate.Claims, change func(*bearergate.Claims)) rechecked {
	t := bearergate.NewToken(c)
	if change != nil {
		t = t.With(change)
	}
	return func(context.Context) (*bearergate.Token, error) { return t, nil }
}

func says401(reason bearergate.Reason) rechecked { return saysNo(bearergate.ErrInvalidToken, reason) }

func saysNo(kind error, reason bearergate.Reason) rechecked {
	return func(context.Context) (*bearergate.Token, error) {
		return nil, &bearergate.Error{Kind: kind, Reason: reason}
	}
}

func waitsForever(ctx context.Context) (*bearergate.Token, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// all returns the events since it was last called.
func (l *log) all() []middleware.DecisionEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.events
	l.events = nil
	return events
}

// A bubble ends only when every goroutine in it has: all of these are tests for
// leaks too.
func TestRecheck(t *testing.T) {
	const every = time.Minute
	user := bearergate.Claims{Issuer: "https://as.example.com/", Subject: "u1", ClientID: "c1", ACR: "mfa", Scopes: scope.Of("read")}
	bound := user
	bound.Confirmation = map[string][]byte{"jkt": []byte(`"key"`)}
	good := finds(user, nil)
	satisfied := finds(user, func(c *bearergate.Claims) { c.Raw = []byte(`{"acrs":["c1"]}`) })
	outage := saysNo(bearergate.ErrUnavailable, bearergate.ReasonIntrospectionUnavailable)
	for _, tc := range []struct {
		name     string
		verdicts []rechecked
		opts     []middleware.RouteOption
		optional bool
		proof    bool // sent with DPoP
		ends     int  // after that many intervals; 0: not
		waits    time.Duration
		kind     error
		reason   bearergate.Reason
	}{
		{name: "good throughout", verdicts: []rechecked{good}},
		{name: "revoked after three intervals", verdicts: []rechecked{good, good, good, good, says401(bearergate.ReasonRevoked)}, ends: 4,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked},
		{name: "revoked, optional", verdicts: []rechecked{good, says401(bearergate.ReasonRevoked)}, optional: true, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked},
		{name: "one outage", verdicts: []rechecked{good, outage, good}},
		{name: "two outages", verdicts: []rechecked{good, outage, outage, good}, ends: 2,
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "hangs", verdicts: []rechecked{good, waitsForever}, ends: 2, waits: 20 * time.Second,
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "panics", verdicts: []rechecked{good, func(context.Context) (*bearergate.Token, error) { panic("boom") }}, ends: 1,
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "ends its goroutine", verdicts: []rechecked{good, func(context.Context) (*bearergate.Token, error) { runtime.Goexit(); return nil, nil }}, ends: 1,
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "expired", verdicts: []rechecked{good, says401(bearergate.ReasonExpired)}, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonExpired},
		{name: "of another issuer now", verdicts: []rechecked{good, finds(user, func(c *bearergate.Claims) { c.Issuer = "https://other.example" })}, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "of another subject now", verdicts: []rechecked{good, finds(user, func(c *bearergate.Claims) { c.Subject = "mallory" })}, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "of another client now", verdicts: []rechecked{good, finds(user, func(c *bearergate.Claims) { c.ClientID = "app" })}, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "bound now", verdicts: []rechecked{good, finds(bound, nil)}, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "a scope lost", verdicts: []rechecked{good, finds(user, func(c *bearergate.Claims) { c.Scopes = scope.Of("write") })}, ends: 1,
			kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "a scope gained", verdicts: []rechecked{good, finds(user, func(c *bearergate.Claims) { c.Scopes = scope.Of("read", "write") })}},
		{name: "authenticated weakly now", verdicts: []rechecked{good, finds(user, func(c *bearergate.Claims) { c.ACR = "pwd" })}, ends: 1,
			opts: []middleware.RouteOption{middleware.StepUp([]string{"mfa"}, 0)}, kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication},
		{name: "out of its authentication context now", verdicts: []rechecked{satisfied, satisfied, finds(user, func(c *bearergate.Claims) { c.Raw = []byte(`{"acrs":[]}`) })}, ends: 2,
			opts: []middleware.RouteOption{middleware.AuthContext("c1")}, kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication},
		{name: "in its authentication context throughout", verdicts: []rechecked{satisfied}, opts: []middleware.RouteOption{middleware.AuthContext("c1")}},
		{name: "bound throughout", verdicts: []rechecked{finds(bound, nil)}, proof: true, opts: []middleware.RouteOption{middleware.Bound()}},
		{name: "bound to another key now", verdicts: []rechecked{finds(bound, nil), finds(bound, func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`"x"`) })}, proof: true, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "no longer bound", verdicts: []rechecked{finds(bound, nil), good}, proof: true, ends: 1,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				events, v, proof := &log{}, &verdicts{list: tc.verdicts}, dpop(proven)
				gate := newGate(t, answers(errors.New("not this one")), middleware.Config{Hooks: events.hooks(), Bindings: bindings(proof)})
				wrap := gate.Require
				if tc.optional {
					wrap = gate.Optional
				}
				policies := 0 // Allow is asked once
				opts := append([]middleware.RouteOption{middleware.Recheck(every), middleware.Via(v),
					middleware.Allow(func(*http.Request, *bearergate.Token) error { policies++; return nil })}, tc.opts...)
				mux := http.NewServeMux()
				start := time.Now()
				ran := false
				mux.Handle("GET /orders", wrap(scope.All("read"), opts...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					ran = true
					ctx := r.Context()
					token, _ := bearergate.FromContext(ctx)
					assert.Equal(t, tc.proof, token.Proven())
					if tc.ends == 0 {
						time.Sleep(10*every + time.Second)
						assert.NoError(t, ctx.Err())
						return
					}
					<-ctx.Done()
					requireError(t, context.Cause(ctx), tc.kind, tc.reason)
					took, most := time.Since(start)-tc.waits, time.Duration(tc.ends)*every
					assert.LessOrEqual(t, took, most)
					assert.GreaterOrEqual(t, took, most-most/10)
					time.Sleep(time.Second)
				})))
				r := bearer("GET", "the.token")
				if tc.proof {
					r = presents("DPoP", "good")
				}
				mux.ServeHTTP(httptest.NewRecorder(), r)
				require.True(t, ran)
				require.Equal(t, 1, policies)
				if tc.proof {
					require.Equal(t, 1, proof.asked, "a proof is good once")
				}
				told := events.all()
				require.NoError(t, told[0].Err)
				require.False(t, told[0].Midstream)
				if tc.ends == 0 {
					require.Len(t, told, 1, "what changes nothing is no event")
					require.GreaterOrEqual(t, int(v.calls.Load()), 11)
					return
				}
				require.Len(t, told, 2)
				requireError(t, told[1].Err, tc.kind, tc.reason)
				require.Equal(t, time.Since(start), told[1].Duration)
				told[1].Err, told[1].Duration, told[0].Duration = nil, 0, 0
				want := told[0]
				want.Midstream, want.Reason = true, tc.reason
				require.Equal(t, want, told[1])
				require.EqualValues(t, tc.ends+1, v.calls.Load())
			})
		})
	}
}

// Who has no token that could be decided on again, is not.
func TestNothingToRecheck(t *testing.T) {
	revoked := []rechecked{finds(reader, nil), says401(bearergate.ReasonRevoked)}
	recheck := middleware.Recheck(time.Minute)
	wait := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Hour)
		assert.NoError(t, r.Context().Err())
	})
	for _, tc := range []struct {
		name   string
		serve  func(*middleware.Gate)
		calls  int32
		events int
	}{
		{name: "a stranger", serve: func(g *middleware.Gate) {
			g.Optional(scope.All("read"), recheck, middleware.CancelOnExpiry())(wait).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}, events: 1},
		{name: "Check", serve: func(g *middleware.Gate) {
			r := bearer("GET", good)
			_, _, err := g.Check(r, scope.All("read"), recheck)
			assert.NoError(t, err)
			wait(httptest.NewRecorder(), r)
		}, calls: 1, events: 1},
		{name: "without the option", serve: func(g *middleware.Gate) {
			g.Require(scope.All("read"))(wait).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
		}, calls: 1, events: 1},
		{name: "a refusal", serve: func(g *middleware.Gate) {
			g.Require(scope.All("write"), recheck)(forbidden(t)).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
		}, calls: 1, events: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				events, v := &log{}, &verdicts{list: revoked}
				tc.serve(newGate(t, v, middleware.Config{Hooks: events.hooks()}))
				require.Equal(t, tc.calls, v.calls.Load())
				require.Len(t, events.all(), tc.events)
			})
		})
	}
}

// In a roll-out, what would have ended the request is told, and it goes on. What is
// told already is not told again.
func TestReportOnlyEndsNothing(t *testing.T) {
	mortal := reader
	for _, tc := range []struct {
		name   string
		need   scope.Requirement
		opts   []middleware.RouteOption
		reason bearergate.Reason // of the second event; "": there is none
	}{
		{name: "revoked", need: scope.All("read"), opts: []middleware.RouteOption{middleware.Recheck(time.Minute)}, reason: bearergate.ReasonRevoked},
		{name: "expired", need: scope.All("read"), opts: []middleware.RouteOption{middleware.CancelOnExpiry()}, reason: bearergate.ReasonExpired},
		{name: "lacks a scope anyway", need: scope.All("write"), opts: []middleware.RouteOption{middleware.Recheck(time.Minute), middleware.CancelOnExpiry()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				mortal.ExpiresAt = time.Now().Add(30 * time.Minute)
				events, v := &log{}, &verdicts{list: []rechecked{finds(mortal, nil), says401(bearergate.ReasonRevoked)}}
				gate := newGate(t, v, middleware.Config{Hooks: events.hooks(), InsecureReportOnly: true})
				gate.Require(tc.need, tc.opts...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Hour)
					assert.NoError(t, r.Context().Err())
				})).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
				told := events.all()
				if tc.reason == "" {
					require.Len(t, told, 1)
					return
				}
				require.Len(t, told, 2)
				require.True(t, told[1].Midstream)
				require.True(t, told[1].ReportOnly)
				require.Equal(t, tc.reason, told[1].Reason)
			})
		})
	}
}

// However a request ends, nothing of it is left, and the hook is told if it was the
// token that ended it, and only then.
func TestTheEndOfARequest(t *testing.T) {
	valid, revoked := finds(reader, nil), says401(bearergate.ReasonRevoked)
	returns := func(*http.Request) {}
	waits := func(r *http.Request) { <-r.Context().Done() }
	expires := func(in time.Duration) rechecked {
		return func(context.Context) (*bearergate.Token, error) {
			return bearergate.NewToken(reader).With(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(in) }), nil
		}
	}
	recheck, cancel := middleware.Recheck(time.Minute), middleware.CancelOnExpiry()
	for _, tc := range []struct {
		name     string
		verdicts []rechecked
		opts     []middleware.RouteOption
		handler  func(*http.Request)
		panics   any
		leaves   time.Duration // the client, after that long
		cause    error         // of the client's leaving
		midway   []bearergate.Reason
	}{
		{name: "returns before anything is asked", verdicts: []rechecked{valid}, handler: returns},
		{name: "returns while it is asked", verdicts: []rechecked{valid, waitsForever}, handler: func(*http.Request) { time.Sleep(61 * time.Second) }},
		{name: "panics", verdicts: []rechecked{valid}, handler: func(*http.Request) { panic("mine") }, panics: "mine"},
		{name: "panics while it is asked", verdicts: []rechecked{valid, waitsForever}, handler: func(*http.Request) { time.Sleep(61 * time.Second); panic("mine") }, panics: "mine"},
		{name: "aborts when ended, as a proxy does", verdicts: []rechecked{valid, revoked}, handler: func(r *http.Request) { waits(r); panic(http.ErrAbortHandler) },
			panics: http.ErrAbortHandler, midway: []bearergate.Reason{bearergate.ReasonRevoked}},
		{name: "ignores its end", verdicts: []rechecked{valid, revoked}, handler: func(*http.Request) { time.Sleep(time.Hour) }, midway: []bearergate.Reason{bearergate.ReasonRevoked}},
		{name: "the client leaves", verdicts: []rechecked{valid, revoked}, handler: waits, leaves: time.Second},
		{name: "the client leaves while it is asked", verdicts: []rechecked{valid, waitsForever}, handler: waits, leaves: 61 * time.Second},
		{name: "the client leaves after its end", verdicts: []rechecked{valid, revoked}, handler: func(*http.Request) { time.Sleep(time.Hour) }, leaves: 2 * time.Minute,
			midway: []bearergate.Reason{bearergate.ReasonRevoked}},
		{name: "ended by somebody further out, in our words", verdicts: []rechecked{valid, revoked}, handler: waits, leaves: time.Second, cause: bearergate.ErrForbidden},
		{name: "expires", verdicts: []rechecked{expires(time.Hour)}, opts: []middleware.RouteOption{cancel}, handler: waits, midway: []bearergate.Reason{bearergate.ReasonExpired}},
		{name: "expires before it is asked", verdicts: []rechecked{expires(30 * time.Second), revoked}, opts: []middleware.RouteOption{cancel, recheck}, handler: waits, midway: []bearergate.Reason{bearergate.ReasonExpired}},
		{name: "is revoked before it expires", verdicts: []rechecked{expires(time.Hour), revoked}, opts: []middleware.RouteOption{cancel, recheck}, handler: waits, midway: []bearergate.Reason{bearergate.ReasonRevoked}},
		{name: "returns before it expires", verdicts: []rechecked{expires(time.Hour)}, opts: []middleware.RouteOption{cancel}, handler: returns},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				if tc.opts == nil {
					tc.opts = []middleware.RouteOption{recheck}
				}
				events := &log{}
				gate := newGate(t, &verdicts{list: tc.verdicts}, middleware.Config{Hooks: events.hooks()})
				var seen context.Context
				h := gate.Require(scope.All("read"), tc.opts...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					seen = r.Context()
					tc.handler(r)
				}))
				ctx, leave := context.WithCancelCause(t.Context())
				defer leave(nil)
				if tc.leaves > 0 {
					time.AfterFunc(tc.leaves, func() { leave(tc.cause) })
				}
				serve := func() { h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good).WithContext(ctx)) }
				if tc.panics != nil {
					require.PanicsWithValue(t, tc.panics, serve)
				} else {
					serve()
				}
				require.Error(t, seen.Err(), "with the handler, its context has ended")
				var midway []bearergate.Reason
				for _, e := range events.all()[1:] {
					require.True(t, e.Midstream)
					midway = append(midway, e.Reason)
				}
				require.Equal(t, tc.midway, midway)
			})
		})
	}
}

// Of two gates, the one whose token ended the request tells, and neither asks for
// what the other asks.
func TestRecheckOfNestedGates(t *testing.T) {
	for _, tc := range []struct {
		name         string
		outer, inner []rechecked
		told         []bool // by the outer, by the inner
	}{
		{name: "the outer", outer: []rechecked{finds(reader, nil), says401(bearergate.ReasonRevoked)}, inner: []rechecked{finds(reader, nil)}, told: []bool{true, false}},
		{name: "the inner", outer: []rechecked{finds(reader, nil)}, inner: []rechecked{finds(reader, nil), says401(bearergate.ReasonRevoked)}, told: []bool{false, true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				outer, inner := &log{}, &log{}
				a := newGate(t, &verdicts{list: tc.outer}, middleware.Config{Hooks: outer.hooks()})
				b := newGate(t, &verdicts{list: tc.inner}, middleware.Config{Hooks: inner.hooks()})
				recheck := middleware.Recheck(time.Minute)
				a.Require(scope.All("read"), recheck)(b.Require(scope.All("read"), recheck)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
				}))).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
				got := []bool{len(outer.all()) == 2, len(inner.all()) == 2}
				require.Equal(t, tc.told, got)
			})
		})
	}
}

// The requirement is the one that the path filled, at every decision.
func TestRecheckOfATemplate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		with := func(name string) rechecked {
			return finds(reader, func(c *bearergate.Claims) { c.Scopes = scope.Of(name) })
		}
		v := &verdicts{list: []rechecked{with("doc:7"), with("doc:7"), with("doc:8")}}
		rt := newGate(t, v, middleware.Config{}).NewRouter()
		var cause error
		rt.HandleFunc("GET /docs/{id}", scope.Template("doc:{id}"), func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			cause = context.Cause(r.Context())
		}, middleware.Recheck(time.Minute))
		r := bearer("GET", good)
		r.URL.Path = "/docs/7"
		built(t, rt).ServeHTTP(httptest.NewRecorder(), r)
		requireError(t, cause, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
		require.EqualValues(t, 3, v.calls.Load())
	})
}

func TestMistakesOfRecheck(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	for _, tc := range []struct {
		name    string
		opts    []middleware.RouteOption
		mistake string
	}{
		{name: "never", opts: []middleware.RouteOption{middleware.Recheck(0)}, mistake: "Recheck: every is 0s: use at least 1s"},
		{name: "negative", opts: []middleware.RouteOption{middleware.Recheck(-time.Hour)}, mistake: "use at least 1s"},
		{name: "too short", opts: []middleware.RouteOption{middleware.Recheck(bearergate.MinRecheck - 1)}, mistake: "use at least 1s"},
		{name: "twice", opts: []middleware.RouteOption{middleware.Recheck(time.Minute), middleware.Recheck(time.Minute)}, mistake: "Recheck is given more than once"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig, tc.opts...)
			require.ErrorContains(t, err, tc.mistake)
			rt := gate.NewRouter()
			rt.Handle("GET /", scope.All("read"), says(""), tc.opts...)
			_, err = rt.Handler()
			require.ErrorContains(t, err, tc.mistake)
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"), tc.opts...)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, 500, w.Code)
		})
	}
	_, _, err := gate.Check(bearer("GET", good), scope.All("read"), middleware.Recheck(bearergate.MinRecheck))
	require.NoError(t, err)
}
