package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
)

// shelf is an inventory that tests change.
type shelf struct {
	mu    sync.Mutex // guards the rest
	known map[string]posture
	err   error
	asked int
}

func (s *shelf) posture(_ context.Context, tenant, device string) (posture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.known[tenant+"/"+device], s.err
}

func (s *shelf) set(device string, p posture, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[device], s.err = p, err
}

// world is an API with rules, and what the gate decided last.
type world struct {
	t      *testing.T
	as     *authtest.Server
	v      bearergate.Verifier
	shelf  *shelf
	rules  *authorizer
	asked  atomic.Int64 // decisions of the rules
	inputs atomic.Pointer[question]
	api    http.Handler
	last   error
}

func newWorld(t *testing.T, rules string, guard func(bearergate.Verifier) bearergate.Verifier) *world {
	t.Helper()
	w := &world{t: t, as: authtest.New(t, authtest.WithInMemory()), shelf: &shelf{known: map[string]posture{"acme/laptop": managed, "acme/lost": reported, "other/laptop": managed}}}
	verifier, err := newVerifier(w.as)
	require.NoError(t, err)
	w.v = verifier
	if guard != nil {
		w.v = guard(verifier)
	}
	w.rules, err = newAuthorizer(t.Context(), rules, w.shelf, func(q question) { w.asked.Add(1); w.inputs.Store(&q) })
	require.NoError(t, err)
	w.api, err = newAPI(w.v, w.rules, middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { w.last = e.Err }})
	require.NoError(t, err)
	return w
}

// token is alice's, who may refund from her managed laptop, plus a change.
func (w *world) token(change func(*bearergate.Claims)) string {
	c := bearergate.Claims{Subject: "alice", ClientID: "shop", Scopes: scope.Of("orders:read", "orders:refund"), Roles: []string{"refunder"}, ACR: "mfa",
		Raw: []byte(`{"tenant":"acme","device_id":"laptop"}`)}
	if change != nil {
		change(&c)
	}
	return w.as.Token(c)
}

func (w *world) do(method, target, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	w.api.ServeHTTP(answer, r)
	return answer
}

// requireAnswer asserts the status, the Reason, and what a policy's answer has and has not.
func (w *world) requireAnswer(answer *httptest.ResponseRecorder, code int, reason bearergate.Reason) {
	w.t.Helper()
	require.Equal(w.t, code, answer.Code)
	require.Equal(w.t, reason, bearergate.ReasonOf(w.last), "%v", w.last)
	require.Empty(w.t, answer.Header().Values("WWW-Authenticate"), "no other token of the same kind would help")
	require.Equal(w.t, code == http.StatusServiceUnavailable, answer.Header().Get("Retry-After") != "")
}

const (
	readOrder = "/orders/acme/7"
	refund    = "/orders/acme/7/refund"
)

func raw(text string) func(*bearergate.Claims) {
	return func(c *bearergate.Claims) { c.Raw = []byte(text) }
}

// A token that may do everything, plus one change.
func TestRules(t *testing.T) {
	for name, tc := range map[string]struct {
		method, target string // default: a refund
		change         func(*bearergate.Claims)
		detail         string // "": allowed
	}{
		"refund":                        {},
		"read":                          {method: "GET", target: readOrder},
		"HEAD is no GET to these rules": {method: "HEAD", target: readOrder, detail: "nothing allows it"},
		"without the role":              {change: func(c *bearergate.Claims) { c.Roles = nil }, detail: "nothing allows it"},
		"of another tenant":             {target: "/orders/other/7/refund", detail: "another tenant"},
		"a tenant in another case":      {target: "/orders/ACME/7/refund", detail: "another tenant"},
		"no tenant, and none asked for": {change: raw(`{"device_id":"laptop"}`), detail: "another tenant"},
		"device of another tenant":      {method: "GET", target: "/orders/other/7", change: raw(`{"tenant":"other","device_id":"lost"}`)},
		"reported device":               {method: "GET", target: readOrder, change: raw(`{"tenant":"acme","device_id":"lost"}`), detail: "the device was reported"},
		"unknown device reads":          {method: "GET", target: readOrder, change: raw(`{"tenant":"acme","device_id":"mine"}`)},
		"unknown device refunds":        {change: raw(`{"tenant":"acme","device_id":"mine"}`), detail: "the device is not managed"},
		"no device refunds":             {change: raw(`{"tenant":"acme"}`), detail: "the device is not managed"},
		"an endless device":             {change: raw(`{"tenant":"acme","device_id":"` + strings.Repeat("x", 129) + `"}`), detail: "the device is not managed"},
		"the desk reads for alice":      {method: "GET", target: readOrder, change: actedBy("support-desk")},
		"the desk refunds for alice":    {change: actedBy("support-desk"), detail: "an actor may only read"},
		"another actor reads":           {method: "GET", target: readOrder, change: actedBy("mallory"), detail: "an actor that is not allowed"},
		"the desk of another issuer": {method: "GET", target: readOrder, change: func(c *bearergate.Claims) {
			c.Actors = []bearergate.Actor{{Subject: "support-desk", Issuer: "https://other.example"}}
		}, detail: "an actor of another issuer"},
		"a chain of actors":                {method: "GET", target: readOrder, change: actedBy("support-desk", "support-desk"), detail: "a chain of actors"},
		"a chain with a stranger behind":   {method: "GET", target: readOrder, change: actedBy("support-desk", "mallory"), detail: "a chain of actors"},
		"text that looks like another one": {target: "/orders/acme%00/7/refund", detail: "another tenant"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, ordersRego, nil)
			method, target := "POST", refund
			if tc.target != "" {
				target = tc.target
			}
			if tc.method != "" {
				method = tc.method
			}
			answer := w.do(method, target, w.token(tc.change))
			if tc.detail == "" {
				w.requireAnswer(answer, http.StatusOK, "")
				return
			}
			w.requireAnswer(answer, http.StatusForbidden, bearergate.ReasonPolicy)
			require.ErrorIs(t, w.last, bearergate.ErrForbidden)
			require.Contains(t, bearergate.AsError(w.last).Detail, tc.detail)
			require.NotContains(t, answer.Body.String(), tc.detail)
		})
	}
}

// What the rules see.
func TestInput(t *testing.T) {
	w := newWorld(t, ordersRego, nil)
	w.requireAnswer(w.do("GET", readOrder, w.token(actedBy("support-desk"))), http.StatusOK, "")
	require.Equal(t, question{
		Token: tokenInput{Issuer: w.as.Issuer(), Subject: "alice", Client: "shop", Tenant: "acme", ACR: "mfa",
			Scopes: []string{"orders:read", "orders:refund"}, Roles: []string{"refunder"}, Actors: []actorInput{{Subject: "support-desk"}}},
		Route:  routeInput{Method: "GET", Pattern: "GET /orders/{tenant}/{id}", Values: map[string]string{"tenant": "acme", "id": "7"}},
		Device: deviceInput{managed},
	}, *w.inputs.Load())
}

// The rules are asked last: nobody without a good token reaches them.
func TestBeforeTheRules(t *testing.T) {
	w := newWorld(t, ordersRego, nil)
	require.Equal(t, http.StatusUnauthorized, w.do("GET", readOrder, w.token(nil)+"x").Code)
	require.Equal(t, http.StatusForbidden, w.do("POST", refund, w.token(func(c *bearergate.Claims) { c.Scopes = scope.Of("orders:read") })).Code)
	require.Equal(t, bearergate.ReasonScope, bearergate.ReasonOf(w.last))
	require.Zero(t, w.asked.Load())
	require.Zero(t, w.shelf.asked)
}

// An engine that fails is 503, and never a yes. The last rows are refused at the start.
func TestBrokenRules(t *testing.T) {
	const head = "package orders\n"
	for name, tc := range map[string]struct {
		rules  string
		start  bool // does it start
		code   int
		reason bearergate.Reason
	}{
		"a function that fails":     {rules: head + `decision := {"allow": true} if { 1 / (count(input.token.tenant) - 4) != 2; input.token.tenant != "" } else := {"allow": true}`, start: true, code: 503, reason: bearergate.ReasonStoreUnavailable},
		"undefined for some":        {rules: head + `decision := {"allow": true} if input.token.subject != "alice"`, start: true, code: 503, reason: bearergate.ReasonStoreUnavailable},
		"two answers that conflict": {rules: head + "decision := {\"allow\": true}\ndecision := {\"allow\": false} if input.token.subject == \"alice\"", start: true, code: 503, reason: bearergate.ReasonStoreUnavailable},
		"no boolean for some":       {rules: head + "decision := {\"allow\": \"true\"} if { input.token.subject == \"alice\" } else := {\"allow\": false}", start: true, code: 503, reason: bearergate.ReasonStoreUnavailable},
		"it does not compile":       {rules: head + `decision := {`},
		"an unknown function":       {rules: head + `decision := nonsense(input)`},
		"a rule of another name":    {rules: head + `verdict := {"allow": true}`},
		"of another package":        {rules: "package order\ndecision := {\"allow\": true}"},
		"a bare boolean":            {rules: head + `decision := true`},
		"nothing":                   {},
	} {
		t.Run(name, func(t *testing.T) {
			if !tc.start {
				_, err := newAuthorizer(t.Context(), tc.rules, fixed{}, nil)
				require.Error(t, err)
				return
			}
			w := newWorld(t, tc.rules, nil)
			for i := range 2 {
				w.requireAnswer(w.do("GET", readOrder, w.token(nil)), tc.code, tc.reason)
				require.EqualValues(t, i+1, w.asked.Load(), "an outage is not remembered")
			}
			require.NotContains(t, w.last.Error(), "acme")
		})
	}
}

// Rules that take too long are stopped, by OPA itself.
func TestSlowRules(t *testing.T) {
	const slow = `package orders
decision := {"allow": true} if {
	input.token.subject == "alice"
	some i in numbers.range(1, 100000)
	some j in numbers.range(1, 100000)
	i + j == 0
} else := {"allow": false}`
	w := newWorld(t, slow, nil)
	start := time.Now()
	w.requireAnswer(w.do("GET", readOrder, w.token(nil)), http.StatusServiceUnavailable, bearergate.ReasonStoreUnavailable)
	require.GreaterOrEqual(t, time.Since(start), middleware.PolicyTimeout)
}

// An inventory that does not answer is 503, whatever the rules would have said.
func TestInventoryOutage(t *testing.T) {
	w := newWorld(t, ordersRego, nil)
	w.shelf.set("acme/laptop", managed, errors.New("10.0.0.7: refused"))
	answer := w.do("GET", readOrder, w.token(nil))
	w.requireAnswer(answer, http.StatusServiceUnavailable, bearergate.ReasonStoreUnavailable)
	require.NotContains(t, answer.Body.String(), "10.0.0.7")
	require.Zero(t, w.asked.Load())
	w.shelf.set("acme/laptop", managed, nil)
	w.requireAnswer(w.do("GET", readOrder, w.token(nil)), http.StatusOK, "")
}

// What the inventory says in words that nobody here knows is no "unknown", which may read.
func TestPosturesThatNobodyKnows(t *testing.T) {
	for _, said := range []posture{"stolen", "Reported", "managed "} {
		w := newWorld(t, ordersRego, nil)
		w.shelf.set("acme/laptop", said, nil)
		for range 2 {
			w.requireAnswer(w.do("GET", readOrder, w.token(nil)), http.StatusServiceUnavailable, bearergate.ReasonStoreUnavailable)
		}
		require.Zero(t, w.asked.Load())
		require.Equal(t, 2, w.shelf.asked, "nor is it remembered")
	}
}

// A device is looked up whatever its name: a long one that was reported is not "unknown".
func TestALongDeviceThatWasReported(t *testing.T) {
	w := newWorld(t, ordersRego, nil)
	long := strings.Repeat("x", 129)
	w.shelf.set("acme/"+long, reported, nil)
	w.requireAnswer(w.do("GET", readOrder, w.token(raw(`{"tenant":"acme","device_id":"`+long+`"}`))), http.StatusForbidden, bearergate.ReasonPolicy)
	require.Contains(t, bearergate.AsError(w.last).Detail, "the device was reported")
}

// One question is asked once, and what is remembered ends where it has to.
func TestDecisionsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
		require.NoError(t, err)
		w := newWorld(t, ordersRego, list.Guard)
		alice := w.token(func(c *bearergate.Claims) { c.ID = "j1" })
		ask := func(method, target, token string, code int, reason bearergate.Reason, asked int64) {
			t.Helper()
			answer := w.do(method, target, token)
			require.Equal(t, code, answer.Code, "%v", w.last)
			require.Equal(t, reason, bearergate.ReasonOf(w.last))
			require.Equal(t, asked, w.asked.Load())
		}
		ask("POST", refund, alice, 200, "", 1)
		ask("POST", refund, alice, 200, "", 1)
		ask("GET", readOrder, alice, 200, "", 2)
		ask("GET", "/orders/acme/8", alice, 200, "", 3)
		ask("POST", "/orders/other/7/refund", alice, 403, bearergate.ReasonPolicy, 4)
		ask("POST", "/orders/other/7/refund", alice, 403, bearergate.ReasonPolicy, 4)
		ask("POST", refund, w.token(nil), 200, "", 5) // another token

		// The device is reported: known within the time of the posture, and then decided anew.
		w.shelf.set("acme/laptop", reported, nil)
		ask("POST", refund, alice, 200, "", 5)
		time.Sleep(postureTTL)
		ask("POST", refund, alice, 403, bearergate.ReasonPolicy, 6)
		w.shelf.set("acme/laptop", managed, nil)
		time.Sleep(postureTTL)
		ask("POST", refund, alice, 200, "", 6) // as before, and less than 30 s old

		// The token is revoked: what is remembered opens nothing.
		require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: w.as.Issuer(), TokenID: "j1"}))
		ask("POST", refund, alice, 401, bearergate.ReasonRevoked, 6)
	})
}

// The same rules in front of gRPC, and an open stream that they end.
func TestGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const watch = "/orders.v1.Orders/Watch"
		w := newWorld(t, ordersRego, nil)
		gate, err := newGRPCGate(w.v, w.rules)
		require.NoError(t, err)
		open := func(token string, handler func(grpc.ServerStream) error) error {
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token))
			return gate.Stream(nil, &stream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: watch}, func(_ any, s grpc.ServerStream) error { return handler(s) })
		}
		started := time.Now()
		err = open(w.token(nil), func(s grpc.ServerStream) error {
			w.shelf.set("acme/laptop", reported, nil) // while the stream is open
			<-s.Context().Done()
			return nil
		})
		require.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
		require.LessOrEqual(t, time.Since(started), 30*time.Second)
		require.Equal(t, codes.PermissionDenied, status.Code(open(w.token(nil), nil)), "nor does it open again")
		w.shelf.set("acme/laptop", managed, errors.New("down"))
		time.Sleep(postureTTL)
		require.Equal(t, codes.Unavailable, status.Code(open(w.token(nil), nil)))
	})
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *stream) Context() context.Context     { return s.ctx }
func (s *stream) SetHeader(metadata.MD) error  { return nil }
func (s *stream) SetTrailer(metadata.MD)       {}
func (s *stream) SendHeader(metadata.MD) error { return nil }
func (s *stream) SendMsg(any) error            { return nil }
func (s *stream) RecvMsg(any) error            { <-s.ctx.Done(); return s.ctx.Err() }

// The memory of postures is bounded.
func TestDevicesAreBounded(t *testing.T) {
	d := &devices{source: fixed{}, known: map[deviceKey]seen{}}
	for i := range maxDevices + 10 {
		token := bearergate.NewToken(bearergate.Claims{Issuer: "i", Tenant: "t", Raw: fmt.Appendf(nil, `{"device_id":"d%d"}`, i)})
		_, err := d.of(t.Context(), token)
		require.NoError(t, err)
		require.LessOrEqual(t, len(d.known), maxDevices)
	}
}

// Whoever forgets what Decide needs gets no decision at all.
func TestInputsThatAreNotThose(t *testing.T) {
	for _, inputs := range [][]string{nil, {"GET"}, {"GET", "/"}, {"GET", "/", "managed", "tenant"}} {
		err := new(question).read(inputs)
		require.ErrorIs(t, err, bearergate.ErrMisconfigured)
	}
}
