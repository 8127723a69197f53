package bearergate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// explaining is a verifier that explains itself, as its fields say.
type explaining struct {
	bearergate.Verifier
	explain func() bearergate.Explanation
}

func (v explaining) Explain(context.Context, string) bearergate.Explanation { return v.explain() }

// Whatever a verifier of somebody else's says of itself, the explanation has a verdict,
// and never a better one than Verify.
func TestExplainAsksTheVerifier(t *testing.T) {
	refuses := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked, Detail: "revoked by hand"}
	})
	for name, tt := range map[string]struct {
		v      bearergate.Verifier
		reason bearergate.Reason
		detail string // of the step that failed
	}{
		"without the method": {v: refuses, reason: bearergate.ReasonRevoked, detail: "revoked by hand"},
		"with it": {v: explaining{refuses, func() bearergate.Explanation {
			return bearergate.Explanation{}.Then(bearergate.Step{Name: "mine"}, func() error {
				return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Detail: "mine"}
			})
		}}, reason: bearergate.ReasonPolicy, detail: "mine"},
		"it says nothing":     {v: explaining{refuses, func() bearergate.Explanation { return bearergate.Explanation{} }}, reason: bearergate.ReasonRevoked, detail: "revoked by hand"},
		"it panics":           {v: explaining{refuses, func() bearergate.Explanation { panic("s3cret") }}, reason: bearergate.ReasonRevoked, detail: "revoked by hand"},
		"a nil verifier":      {reason: bearergate.ReasonConfig},
		"an error of its own": {v: explaining{refuses, func() bearergate.Explanation { return bearergate.Explanation{Err: errors.New("s3cret")} }}, reason: bearergate.ReasonInternal},
	} {
		t.Run(name, func(t *testing.T) {
			e := bearergate.Explain(t.Context(), tt.v, "token")
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			require.Nil(t, e.Token)
			s, _ := e.Failed()
			require.Equal(t, tt.detail, s.Detail)
			require.NotContains(t, e.String(), "s3cret")
		})
	}
	token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com"})
	// Who embeds a verifier has its Explain, and counts with a Verify of its own.
	accepting := explaining{refuses, func() bearergate.Explanation {
		return bearergate.Explanation{Token: token}.Then(bearergate.Step{Name: "inner"}, func() error { return nil })
	}}
	e := bearergate.Explain(t.Context(), accepting, "token")
	require.Equal(t, bearergate.ReasonRevoked, bearergate.ReasonOf(e.Err))
	require.Len(t, e.Steps, 2)
	refused := bearergate.AsError((&bearergate.Error{Kind: bearergate.ErrInvalidToken}).WithRefused(token)).Refused
	e = bearergate.Explain(t.Context(), explaining{refuses, func() bearergate.Explanation { return bearergate.Explanation{Token: refused} }}, "token")
	require.Error(t, e.Err, "a refused token is none")

	both := explaining{refuses, func() bearergate.Explanation {
		return bearergate.Explanation{Token: token, Err: bearergate.ErrInvalidToken}
	}}
	require.Nil(t, bearergate.Explain(t.Context(), both, "token").Token, "no token beside an error")
}

// A check that fails is the last one that is asked, and takes the token away.
func TestThen(t *testing.T) {
	token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com"})
	e := bearergate.Explanation{Token: token}.
		Then(bearergate.Step{Name: "a", Expected: "x", Found: "y"}, func() error { return nil }).
		Then(bearergate.Step{Name: "b", Detail: "not asked"}, nil).
		Then(bearergate.Step{Name: "c", Expected: "mine", Unsigned: true}, func() error { return errors.New("s3cret") }).
		Then(bearergate.Step{Name: "d"}, func() error { t.Error("asked"); return nil })
	require.Nil(t, e.Token)
	kit.RequireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	require.Equal(t, []bearergate.Step{
		{Name: "a", State: bearergate.StepPassed, Expected: "x", Found: "y"},
		{Name: "b", State: bearergate.StepNotReached, Detail: "not asked"},
		{Name: "c", State: bearergate.StepFailed, Expected: "mine", Unsigned: true},
		{Name: "d", State: bearergate.StepNotReached},
	}, e.Steps)
	require.Equal(t, "refused: misconfigured: internal\n  passed: a, expected x, found y\n  not reached: b: not asked\n  failed: c, expected mine\n  not reached: d\n", e.String())
	e.Advice = []string{"Do this."}
	require.True(t, strings.HasPrefix(e.String(), "refused: misconfigured: internal\n  what to do: Do this.\n"))
	require.Equal(t, "accepted\n", bearergate.Explanation{}.String())
	s := bearergate.Step{Name: "a", State: bearergate.StepFailed, Found: `"x"`, Unsigned: true}
	require.Equal(t, `failed: a, found "x" (unverified)`, s.String())
}

// holder is a Binding that must not be asked.
type holder struct{ t *testing.T }

func (holder) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (holder) Members() []string            { return []string{"jkt"} }
func (holder) Challenge() map[string]string { return nil }
func (h holder) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	h.t.Error("a Binding was asked")
	return nil, nil
}

// What Authenticate decides before it asks a Binding, ExplainCall decides alike.
func TestExplainCall(t *testing.T) {
	verifier := func(members map[string][]byte) bearergate.Verifier {
		return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Confirmation: members, Scopes: scope.Of("read")}), nil
		})
	}
	jkt := map[string][]byte{"jkt": []byte(`"x"`)}
	for name, tt := range map[string]struct {
		members   map[string][]byte
		scheme    bearergate.Scheme
		raw       string
		extracted error
		bindings  []bearergate.Binding
		reason    bearergate.Reason // "": all that is asked passes
		failed    string
		asked     bool // a Binding, by Authenticate
	}{
		"a good token":                {scheme: bearergate.SchemeBearer, raw: "x"},
		"no credential":               {extracted: &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}, reason: bearergate.ReasonNoToken, failed: "credential"},
		"two":                         {extracted: &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest}, reason: bearergate.ReasonBadRequest, failed: "credential"},
		"no token":                    {scheme: bearergate.SchemeBearer, reason: bearergate.ReasonNoToken, failed: "credential"},
		"an unknown scheme":           {scheme: "Basic", raw: "x", reason: bearergate.ReasonConfig, failed: "credential"},
		"DPoP without a binding":      {scheme: bearergate.SchemeDPoP, raw: "x", members: jkt, reason: bearergate.ReasonBinding, failed: "credential"},
		"an unbound token under DPoP": {scheme: bearergate.SchemeDPoP, raw: "x", bindings: []bearergate.Binding{holder{t}}, reason: bearergate.ReasonBinding, failed: "proof"},
		"a bound one under Bearer":    {scheme: bearergate.SchemeBearer, raw: "x", members: jkt, bindings: []bearergate.Binding{holder{t}}, reason: bearergate.ReasonBinding, failed: "proof"},
		"nobody confirms":             {scheme: bearergate.SchemeBearer, raw: "x", members: map[string][]byte{"x5t#S256": []byte(`"x"`)}, reason: bearergate.ReasonBinding, failed: "proof"},
		"bound, and under DPoP":       {scheme: bearergate.SchemeDPoP, raw: "x", members: jkt, bindings: []bearergate.Binding{holder{t}}, asked: true},
		"two bindings for a member":   {scheme: bearergate.SchemeDPoP, raw: "x", members: jkt, bindings: []bearergate.Binding{holder{t}, holder{t}}, reason: bearergate.ReasonConfig, failed: "credential"},
	} {
		t.Run(name, func(t *testing.T) {
			call := bearergate.Call{Credentials: bearergate.Credentials{Scheme: tt.scheme, Raw: bearergate.NewSecret(tt.raw)}}
			e := bearergate.ExplainCall(t.Context(), verifier(tt.members), call, tt.extracted, tt.bindings...)
			verdict := tt.extracted
			if verdict == nil && !tt.asked {
				_, _, verdict = bearergate.Authenticate(t.Context(), verifier(tt.members), call, tt.bindings...)
			}
			kit.RequireExplained(t, e, verdict, tt.raw)
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			s, _ := e.Failed()
			require.Equal(t, tt.failed, s.Name)
			require.Equal(t, tt.reason != "" && tt.reason != bearergate.ReasonConfig, len(e.Advice) > 0)
			if tt.reason == "" {
				require.Equal(t, tt.asked, strings.HasPrefix(e.String(), "accepted, but for what was not asked"))
				require.False(t, e.Token.Proven())
				kit.RequireExplained(t, e.Authorize(bearergate.StepUp{}, scope.All("read")), nil, tt.raw)
				narrow := e.Authorize(bearergate.StepUp{}, scope.All("write"))
				require.Equal(t, bearergate.ReasonScope, bearergate.ReasonOf(narrow.Err), "also of a bound token, whose proof nobody has")
			}
		})
	}
}

func TestExplainAuthorization(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	e := bearergate.Explanation{Token: bearergate.NewToken(bearergate.Claims{ACR: "pwd", AuthTime: at, Scopes: scope.Of("read", "s€cret")})}
	for name, tt := range map[string]struct {
		stepUp                          bearergate.StepUp
		need                            scope.Requirement
		failed, detail, expected, found string
	}{
		"all is well":   {stepUp: bearergate.StepUp{ACR: []string{"pwd"}, MaxAge: 2 * time.Hour}, need: scope.All("read")},
		"acr":           {stepUp: bearergate.StepUp{ACR: []string{"mfa", "hw"}}, failed: "authentication", detail: "acr is none of those that suffice", expected: `"mfa" "hw"`, found: `"pwd"`},
		"auth_time":     {stepUp: bearergate.StepUp{MaxAge: time.Minute}, failed: "authentication", detail: "auth_time is too long ago, or ahead", expected: "at most 1m0s ago", found: at.UTC().Format(time.RFC3339)},
		"scope":         {need: scope.Any("write", "admin"), failed: "scope", detail: "the token does not have the scopes", expected: "write or admin", found: `"read"`},
		"broken demand": {need: scope.All(""), failed: "scope", detail: "the token does not have the scopes", expected: "invalid", found: `"read"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.Authorize(tt.stepUp, tt.need)
			s, failed := got.Failed()
			require.Equal(t, tt.failed != "", failed)
			require.Equal(t, []string{tt.failed, tt.detail, tt.expected, tt.found}, []string{s.Name, s.Detail, s.Expected, s.Found})
			require.Equal(t, failed, len(got.Advice) == 1)
		})
	}
}

// Two demands meet in one refusal, and a third in that. Nobody is told of a scope that
// the token does not have.
func TestDemandsOfGatesAddUp(t *testing.T) {
	t.Parallel()
	token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Scopes: scope.Of("a", "b")})
	lacks := func(names ...string) error {
		return &bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope, Scopes: names}
	}
	scopesOf := func(err error) []string { return bearergate.AsError(err).Scopes }
	none := t.Context()
	a := bearergate.Admit(none, token, scope.All("a"))
	b := bearergate.Admit(a, token, scope.All("b", "a"))
	var nowhere context.Context
	for name, tt := range map[string]struct {
		ctx   context.Context
		token *bearergate.Token // nil: the one with a and b
		err   error
		want  []string
	}{
		"no gate further out":            {ctx: none, err: lacks("x"), want: []string{"x"}},
		"one":                            {ctx: a, err: lacks("x"), want: []string{"a", "x"}},
		"two":                            {ctx: b, err: lacks("x", "a"), want: []string{"b", "x", "a"}},
		"a gate without a demand":        {ctx: bearergate.NewContext(b, token), err: lacks("x"), want: []string{"b", "a", "x"}},
		"a broken demand":                {ctx: bearergate.Admit(a, token, scope.All("")), err: lacks("x"), want: []string{"a", "x"}},
		"one of several was enough":      {ctx: bearergate.Admit(none, token, scope.Any("a", "superadmin")), err: lacks("x"), want: []string{"a", "x"}},
		"a gate that only reports":       {ctx: bearergate.Admit(none, token, scope.All("secret")), err: lacks("x"), want: []string{"x"}},
		"a gate for another token":       {ctx: b, token: bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("c")}), err: lacks("x"), want: []string{"x"}},
		"a step-up":                      {ctx: a, err: &bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, Reason: bearergate.ReasonAuthentication, Scopes: []string{"x"}}, want: []string{"a", "x"}},
		"a step-up alone":                {ctx: a, err: &bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, Reason: bearergate.ReasonAuthentication}},
		"another refusal":                {ctx: a, err: &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonRole, Scopes: []string{"x"}}, want: []string{"x"}},
		"without a context to look into": {ctx: nowhere, err: lacks("x"), want: []string{"x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.token == nil {
				tt.token = token
			}
			before := scopesOf(tt.err)
			require.Equal(t, tt.want, scopesOf(bearergate.AddDemands(tt.ctx, tt.token, tt.err)))
			require.Equal(t, before, scopesOf(tt.err), "the error that was given is unchanged")
		})
	}
	require.NoError(t, bearergate.AddDemands(a, token, nil))

	// It is a context like any other.
	got, ok := bearergate.FromContext(b)
	require.True(t, ok)
	require.Same(t, token, got)
	var nobody context.Context
	got, ok = bearergate.FromContext(bearergate.NewContext(nobody, token))
	require.True(t, ok)
	require.Same(t, token, got)
	parent, end := context.WithCancelCause(context.WithValue(none, contextKey{}, "kept"))
	child, cancel := context.WithCancel(bearergate.Admit(parent, nil, scope.All("a")))
	defer cancel()
	require.Equal(t, "kept", child.Value(contextKey{}))
	end(errors.New("over"))
	<-child.Done()
	require.EqualError(t, context.Cause(child), "over")
}

type contextKey struct{}
