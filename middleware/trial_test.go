package middleware_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func TestTrial(t *testing.T) {
	forClient := func(id string) func(*bearergate.Token) bool {
		return func(token *bearergate.Token) bool { return token.ClientID() == id }
	}
	allow := middleware.Allow(policy)
	for name, tc := range map[string]struct {
		scopes   string
		trial    middleware.RouteOption
		opts     []middleware.RouteOption
		status   int
		judged   bool
		required []string
		reason   bearergate.Reason // of the trial
	}{
		"passes":                         {scopes: "read", trial: middleware.Trial(scope.All("read"), nil), status: 200, judged: true, required: []string{"read"}},
		"would be refused":               {scopes: "read", trial: middleware.Trial(scope.All("docs"), nil), status: 200, judged: true, required: []string{"docs"}, reason: bearergate.ReasonScope},
		"a template that passes":         {scopes: "read+doc:7", trial: middleware.Trial(scope.Template("doc:{id}"), nil), status: 200, judged: true, required: []string{"doc:7"}},
		"a template that would refuse":   {scopes: "read+doc:8", trial: middleware.Trial(scope.Template("doc:{id}"), nil), status: 200, judged: true, required: []string{"doc:7"}, reason: bearergate.ReasonScope},
		"for whom it is":                 {scopes: "read", trial: middleware.Trial(scope.All("docs"), forClient("c1")), status: 200, judged: true, required: []string{"docs"}, reason: bearergate.ReasonScope},
		"for somebody else":              {scopes: "read", trial: middleware.Trial(scope.All("docs"), forClient("c2")), status: 200},
		"of a token that is refused":     {scopes: "docs", trial: middleware.Trial(scope.All("docs"), nil), status: 403, judged: true, required: []string{"docs"}},
		"of a token that a role refuses": {scopes: "read", trial: middleware.Trial(scope.All("docs"), nil), opts: []middleware.RouteOption{middleware.Roles("x")}, status: 403, judged: true, required: []string{"docs"}, reason: bearergate.ReasonScope},
		"beside a policy":                {scopes: "read", trial: middleware.Trial(scope.All("docs"), nil), opts: []middleware.RouteOption{allow}, status: 200, judged: true, required: []string{"docs"}, reason: bearergate.ReasonScope},
		"without a token":                {trial: middleware.Trial(scope.All("docs"), nil), status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			rt := newGate(t, granting(), middleware.Config{Hooks: events.hooks(), AdvertiseScopes: true}).NewRouter()
			rt.Handle("/docs/{id}", scope.All("read"), says("served"), append(tc.opts, tc.trial)...)
			w := ask(built(t, rt), "GET", "/docs/7", tc.scopes)
			require.Equal(t, tc.status, w.Code)
			require.NotContains(t, w.Header().Get("WWW-Authenticate"), "doc", "no client is told")
			e := events.only(t)
			require.Equal(t, []string{"read"}, e.Required.Scopes(), "the requirement in force")
			require.Equal(t, tc.judged, e.Trial != nil)
			if !tc.judged {
				return
			}
			require.Equal(t, tc.required, e.Trial.Required.Scopes())
			require.Equal(t, tc.reason, bearergate.ReasonOf(e.Trial.Err))
			if tc.reason != "" {
				requireError(t, e.Trial.Err, bearergate.ErrInsufficientScope, tc.reason)
			}
		})
	}
}

// The sender of a stolen token is not on trial, and neither is a stranger.
func TestTrialOfNobody(t *testing.T) {
	events := &log{}
	asked := 0
	trial := middleware.Trial(scope.All("docs"), func(*bearergate.Token) bool { asked++; return true })
	gate := newGate(t, accepts(holder), middleware.Config{Hooks: events.hooks(), Bindings: bindings(certificate(proven))})
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding, trial)
	require.Nil(t, events.only(t).Trial)
	gate.Optional(scope.All("read"), trial)(whoami(t)).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/orders", nil))
	require.Nil(t, events.only(t).Trial)
	require.Zero(t, asked)
	r := bearer("GET", good)
	r.Header.Set("Proof", "good")
	_, _, err := gate.Check(r, scope.All("read"), trial)
	require.NoError(t, err)
	requireError(t, events.only(t).Trial.Err, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	require.Equal(t, 1, asked)

	// Where nobody listens, nobody is asked.
	r = bearer("GET", good)
	r.Header.Set("Proof", "good")
	_, _, err = newGate(t, accepts(holder), middleware.Config{Bindings: bindings(certificate(proven))}).Check(r, scope.All("read"), trial)
	require.NoError(t, err)
	require.Equal(t, 1, asked)
}

// A function that panics changes nothing, and is told.
func TestATrialThatPanics(t *testing.T) {
	panics := middleware.Trial(scope.All("docs"), func(*bearergate.Token) bool { panic("boom") })
	events := &log{}
	var told []bearergate.PanicEvent
	hooks := middleware.JoinHooks(events.hooks(), middleware.Hooks{Panicked: func(_ context.Context, e bearergate.PanicEvent) { told = append(told, e) }})
	for _, h := range []middleware.Hooks{hooks, events.hooks()} {
		gate := newGate(t, accepts(reader), middleware.Config{Hooks: h})
		w := httptest.NewRecorder()
		gate.Require(scope.All("read"), panics)(whoami(t)).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, "u1", w.Body.String())
		e := events.only(t)
		require.NoError(t, e.Err)
		require.Nil(t, e.Trial)
		refused(t, gate, bearer("GET", good), scope.All("write"), bearergate.ErrInsufficientScope, bearergate.ReasonScope, panics)
		events.only(t)
	}
	require.Len(t, told, 2)
	require.Equal(t, "Trial", told[0].Where)
}

func TestAWrongTrialClosesTheRoute(t *testing.T) {
	read := scope.All("read")
	for name, tc := range map[string]struct {
		opts []middleware.RouteOption
		says string
	}{
		"zero":                  {opts: []middleware.RouteOption{middleware.Trial(scope.Requirement{}, nil)}, says: "Trial: the requirement is zero"},
		"wrong":                 {opts: []middleware.RouteOption{middleware.Trial(scope.All(""), nil)}, says: "Trial: the requirement: "},
		"twice":                 {opts: []middleware.RouteOption{middleware.Trial(read, nil), middleware.Trial(read, nil)}, says: "Trial is given more than once"},
		"a strange placeholder": {opts: []middleware.RouteOption{middleware.Trial(scope.Template("doc:{other}"), nil)}, says: "{other}"},
	} {
		gate := newGate(t, accepts(reader), middleware.Config{})
		if name != "a strange placeholder" { // which only a pattern tells
			err := refused(t, gate, bearer("GET", good), read, bearergate.ErrMisconfigured, bearergate.ReasonConfig, tc.opts...)
			require.ErrorContains(t, err, tc.says, name)
		}
		rt := gate.NewRouter()
		rt.Handle("/docs/{id}", read, says(""), tc.opts...)
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, tc.says, name)
	}
}
