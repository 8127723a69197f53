package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// RouteOption changes what one route asks for, beyond its scopes. The options
// are [StepUp], [AuthContext], [Via], [Once], [Trial] and [Recheck], each at most once per
// route, [Bound], [Roles], [Tenant], [Audience], [Delegation], [Allow] and [CancelOnExpiry];
// a nil option closes the route. What an option asks of a token is never asked of a request without
// one on an optional route.
type RouteOption interface{ routeOption() }

// StepUp demands how and when the user authenticated (RFC 9470). With acr
// values, the token's acr must be one of them, compared byte for byte. With a
// maxAge, its auth_time must be present and at most that long ago, without
// leeway; one more than a minute ahead of this server's clock counts as absent.
// Otherwise the answer is [bearergate.ErrInsufficientAuthentication]. Its challenge
// carries acr and maxAge as given here, both of them, since the next
// authentication has to satisfy both, and the route's scopes if the token lacks
// those too.
//
// acr is in order of preference; nil accepts any. maxAge 0 accepts any age; the
// challenge says it in whole seconds, rounded down. A token that was issued
// without a user has neither claim and never passes.
//
// These are mistakes, and close the route: a StepUp that demands nothing; an acr
// value that is empty or not made of printable ASCII without space, double quote
// and backslash; a maxAge that is negative or shorter than a second.
func StepUp(acr []string, maxAge time.Duration) RouteOption {
	return stepUp{bearergate.StepUp{ACR: slices.Clone(acr), MaxAge: maxAge}}
}

// AuthContext demands that the user satisfied an authentication context of Microsoft
// Entra's Conditional Access, "c1" to "c99": the token's acrs, an array of strings, must
// hold it, compared byte for byte. An acrs of any other type holds none. Otherwise the
// answer is [bearergate.ErrInsufficientAuthentication].
//
// A client whose token has "cp1" in xms_cc gets a claims challenge: 401 with
// error="insufficient_claims", and claims="…" for it to send to the authorize endpoint.
// With [Config.AuthorizationURI], the challenge says where that is. Any other client would
// not understand it, and gets error="insufficient_user_authentication" (RFC 9470) with the
// context as acr_values. xms_cc is in a token only if the API has it as an optional claim.
//
// Beside a [StepUp], both are demanded. What a context stands for is decided by the tenant
// that issued the token, and one without a policy is satisfied by everybody there: accept
// only tenants that you trust with it. A token that was issued without a user has no acrs
// and never passes.
//
// These are mistakes, and close the route: a second AuthContext, one that is empty, and
// one that is not printable ASCII without space, double quote and backslash.
func AuthContext(name string) RouteOption { return authContext(name) }

// Bound demands that the token is bound to a key of its sender (cnf, RFC 7800),
// and that the sender proved to hold it. An unbound token, which
// [Config.Bindings] does not concern, is refused with
// [bearergate.ErrInvalidToken] and [bearergate.ReasonBinding]. Without Bindings, no
// token could enter: that is a mistake, and closes the route.
func Bound() RouteOption { return bound{} }

var errUnbound = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding,
	Detail: "the route demands a token that is bound to its sender, and this one is not"}

// Allow asks policies of the user's whether a request may enter whose token
// satisfies everything else: each in turn, until one refuses. Each returns nil, or
// an error that is judged by the rule of [bearergate.Guard]; one that says nothing
// else is [bearergate.ErrForbidden] with [bearergate.ReasonPolicy]. A policy must
// neither change the request nor read its body, and has to be safe for concurrent use.
// It is not asked about a request without a token on an optional route.
//
// The policies of a route have [PolicyTimeout] for their answer, all together: the
// request that they get is a copy whose context ends then, and whatever they wait for
// has to honour it. The answer is then [bearergate.ErrUnavailable] with
// [bearergate.ReasonStoreUnavailable], and nobody enters. A policy that does not look
// at its context is waited for, and what it says counts.
//
// A policy may remember its answers, under whatever of the token and the request they
// depend on: package policy does that. The verifier, with its Check, is asked before on every request, so
// that an answer that was remembered opens nothing to a token that has expired or is
// known to be revoked since. What it depends on beyond that, such as a user who was
// blocked, is as old as the memory.
//
// Allow may be given several times; all policies have to agree. No policy, and a
// nil one, are mistakes, and close the route.
func Allow(policies ...func(*http.Request, *bearergate.Token) error) RouteOption {
	return &allow{slices.Clone(policies)}
}

var errPolicy = &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy, Detail: "a policy of Allow refused the request", Cause: errors.New("middleware: Allow")}

// Via has the tokens of one route verified by v instead of the gate's verifier:
// for a route with an audience of its own, or one where tokens must be checked
// for revocation on every request. A nil or typed-nil v is a mistake, and closes
// the route.
func Via(v bearergate.Verifier) RouteOption { return via{v} }

// CancelOnExpiry ends the context of the request when the token expires, so
// that a stream (server-sent events, WebSocket, a long poll) does not outlive
// what opened it. The handler has to watch its context; context.Cause of it is
// then [bearergate.ErrInvalidToken] with [bearergate.ReasonExpired]. The context
// also ends when the handler returns, as it does for every request that is not
// hijacked. Check the token that comes with a later message by yourself.
//
// The time is exp exactly, without the leeway of the verifier: a token that was
// accepted only because of the leeway finds its context ended. The wait runs on
// the monotonic clock of this server: setting the wall clock does not change a
// wait that has begun. A token without exp never ends a context. With
// [Config.InsecureReportOnly] the end is reported, and ends nothing.
func CancelOnExpiry() RouteOption { return cancelOnExpiry{} }

var errExpired = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired,
	Detail: "the token expired while its request was served"}

type stepUp struct{ bearergate.StepUp }

type authContext string

type via struct{ verifier bearergate.Verifier }

type cancelOnExpiry struct{}

type bound struct{}

type allow struct {
	policies []func(*http.Request, *bearergate.Token) error
}

func (stepUp) routeOption()         {}
func (authContext) routeOption()    {}
func (bound) routeOption()          {}
func (*allow) routeOption()         {}
func (via) routeOption()            {}
func (cancelOnExpiry) routeOption() {}

// Access says who may enter a route at all.
type Access string

// The kinds of access, all of them.
const (
	AccessToken    Access = "token"    // requests with a valid token that satisfies the requirement
	AccessOptional Access = "optional" // those, and requests without a token: see [Gate.Optional]
	AccessPublic   Access = "public"   // everybody: see [Router.Public]
)

// route is what one route demands, worked out once. It is not changed afterwards.
type route struct {
	verifier    bearergate.Verifier
	need        scope.Requirement
	templated   bool // need has placeholders
	access      Access
	stepUp      bearergate.StepUp
	bound       bool
	roles       [][]string // a token has one of each list
	tenants     []*tenant
	audiences   [][]string // aud names one of each list
	delegations []bearergate.Delegation
	allow       []*allow
	once        *once
	trial       *trial        // not enforced
	via         bool          // verifier is not the gate's
	cancel      bool          // with the token
	recheck     time.Duration // 0: never
	forwards    bool          // to a handler
	routed      bool          // by the ServeMux of a Router
	err         error         // not nil: every request is refused with it
}

func (g *Gate) route(need scope.Requirement, opts []RouteOption) route {
	rt, err := g.plan(need, opts)
	if g == nil || g.verifier == nil {
		err = errors.Join(errors.New("the gate is nil or zero: make it with New"), err)
	}
	if err != nil {
		rt.err = misconfigured(err)
	}
	return rt
}

// plan returns the route, and all that is wrong with it, but for the gate.
func (g *Gate) plan(need scope.Requirement, opts []RouteOption) (route, error) {
	rt := route{need: need, templated: len(need.Placeholders()) > 0, access: AccessToken}
	var errs []error
	if g != nil {
		rt.verifier, rt.bound = g.verifier, g.config.RequireBinding
	}
	if err := need.Err(); err != nil {
		errs = append(errs, fmt.Errorf("the requirement of the route: %w", err))
	}
	for i, opt := range opts {
		if err := g.take(&rt, opt); err != nil {
			errs = append(errs, fmt.Errorf("option %d: %w", i+1, err))
		}
	}
	// Without Bindings, Bound has said so, and neverBound has nothing to name.
	if g != nil && rt.bound {
		if members := neverBound(rt.verifier, g.config.Bindings); members != nil {
			errs = append(errs, fmt.Errorf("the route demands a bound token, and its verifier refuses every one that a binding could confirm: name %q in its Confirmations", members))
		}
	}
	return rt, errors.Join(errs...)
}

// take adds what an option demands to the route, and returns all that is wrong with
// it.
func (g *Gate) take(rt *route, opt RouteOption) error {
	var first, sound error // that it is the first of its kind, where there may be one, and that it makes sense
	// By type and not by calling a method: a struct that embeds a nil RouteOption is one too.
	switch opt := opt.(type) {
	case stepUp:
		first = alone("StepUp", rt.stepUp.MaxAge == 0 && len(rt.stepUp.ACR) == 0, "say all of it in one")
		rt.stepUp.ACR, rt.stepUp.MaxAge, sound = opt.ACR, opt.MaxAge, opt.Err()
	case authContext:
		first = alone("AuthContext", rt.stepUp.AuthContext == "", "a claims challenge asks for one")
		rt.stepUp.AuthContext = string(opt)
		if sound = (bearergate.StepUp{AuthContext: string(opt)}).Err(); opt == "" {
			sound = errors.New(`AuthContext: it is empty: name one, "c1" for example, or take AuthContext out`)
		}
	case via:
		first = alone("Via", !rt.via, "a route has one verifier")
		rt.verifier, rt.via = opt.verifier, true
		sound = g.vouched(opt.verifier)
	case bound:
		rt.bound = true
		if g != nil && len(g.config.Bindings) == 0 {
			sound = errors.New("Bound: the gate has no Bindings, so no token could enter: set Config.Bindings, or take Bound out")
		}
	case roles:
		rt.roles, sound = append(rt.roles, opt.anyOf), named("Roles", opt.anyOf)
	case *tenant:
		rt.tenants = append(rt.tenants, opt)
		if opt.of == nil {
			sound = errors.New("Tenant: the function is nil: pass one that returns the tenant of a request")
		}
	case audience:
		rt.audiences, sound = append(rt.audiences, opt.names), literal("Audience", opt.names)
	case delegation:
		rt.delegations, sound = append(rt.delegations, opt.Delegation), opt.Err()
	case *allow:
		rt.allow = append(rt.allow, opt)
		if len(opt.policies) == 0 || slices.ContainsFunc(opt.policies, func(f func(*http.Request, *bearergate.Token) error) bool { return f == nil }) {
			sound = errors.New("Allow: there is no policy, or one is nil: pass functions, or take Allow out")
		}
	case *once:
		first = alone("Once", rt.once == nil, "the second would find every token used")
		rt.once = opt
		if isNilValue(opt.store) {
			sound = errors.New("Once: the store is nil: pass the one that all processes share")
		}
	case *trial:
		first = alone("Trial", rt.trial == nil, "a route tries one requirement at a time")
		rt.trial, sound = opt, opt.err()
	case cancelOnExpiry:
		rt.cancel = true // twice is the same as once
	case recheck:
		first = alone("Recheck", rt.recheck == 0, "a route has one interval")
		if rt.recheck = opt.every; opt.every < bearergate.MinRecheck {
			sound = fmt.Errorf("Recheck: every is %v: use at least %v, 30*time.Second for example, or take Recheck out", opt.every, bearergate.MinRecheck)
		}
	case nil:
		sound = errors.New("it is nil: take it out")
	default:
		sound = fmt.Errorf("it is a %T: use the options of this package", opt)
	}
	return errors.Join(first, sound)
}

// alone reports an option that a route may have one of, where it is not the first.
func alone(option string, first bool, why string) error {
	if first {
		return nil
	}
	return fmt.Errorf("%s is given more than once, by the route or its groups: %s; take the others out", option, why)
}

// vouched reports what is wrong with a verifier of the route's own.
func (g *Gate) vouched(v bearergate.Verifier) error {
	var missing, bindings error
	if isNil(v) {
		missing = errors.New("Via: the verifier is nil: pass the result of jwtverify.New, introspect.New or your own Verifier")
	}
	if g != nil {
		// With that of the gate, which vouches for the bindings that the route does not need.
		bindings = inBindings(bearergate.CheckBindings(g.config.Bindings, g.verifier, v))
	}
	return errors.Join(missing, bindings)
}

// neverBound returns the members of cnf that the bindings confirm, if the verifier says
// that it accepts no token which has one of them; nil otherwise.
func neverBound(v bearergate.Verifier, bindings []bearergate.Binding) (members []string) {
	accepted := bearergate.ConfirmationsOf(v)
	if accepted == nil {
		return nil
	}
	for _, b := range bindings {
		members = append(members, b.Members()...)
	}
	if slices.ContainsFunc(members, func(member string) bool { return slices.Contains(accepted, member) }) {
		return nil
	}
	return members
}

// same reports whether two routes have one policy. When in doubt they have not:
// two verifiers are one only if == says so, which functions cannot be asked, and
// functions and stores are the same only if they come from one call of their option.
func (rt *route) same(o *route) bool {
	verifiers := rt.via == o.via
	if rt.via && o.via {
		// Where only the other one cannot be compared, == finds that the types differ before it comes to that.
		verifiers = reflect.ValueOf(rt.verifier).Comparable() && rt.verifier == o.verifier
	}
	return verifiers && rt.access == o.access && rt.cancel == o.cancel && rt.recheck == o.recheck && rt.bound == o.bound && slices.Equal(rt.allow, o.allow) && rt.once == o.once && rt.trial == o.trial &&
		equal(rt.roles, o.roles) && slices.Equal(rt.tenants, o.tenants) && equal(rt.audiences, o.audiences) && reflect.DeepEqual(rt.delegations, o.delegations) &&
		rt.stepUp.MaxAge == o.stepUp.MaxAge && slices.Equal(rt.stepUp.ACR, o.stepUp.ACR) && rt.stepUp.AuthContext == o.stepUp.AuthContext && reflect.DeepEqual(rt.need, o.need) //nolint:govet // the error in a Requirement is part of what it is
}

func equal(a, b [][]string) bool { return slices.EqualFunc(a, b, slices.Equal) }

// demands is what the route asks of a token that is in order, apart from its
// policies: once before the handler runs, and again by [Recheck]. need is that of
// the route, filled.
func (rt *route) demands(t *bearergate.Token, need scope.Requirement) error {
	if rt.bound && !t.Proven() {
		return errUnbound
	}
	if err := rt.stepUp.Authorize(t, need); err != nil {
		return err
	}
	if err := t.Authorize(need); err != nil {
		return err
	}
	if err := rt.claimed(t); err != nil {
		return err
	}
	return rt.delegated(t)
}

// written is the requirement as it was written, as the root tells one: cut, if it is long.
func (rt *route) written() string {
	return bearergate.Explanation{Token: new(bearergate.Token)}.Authorize(bearergate.StepUp{}, rt.need).Steps[0].Expected
}

// shown is a refusal for its scopes with the requirement as it was written: what the path
// filled in is for the client that asked for it, and for no log.
func (rt *route) shown(err error) error {
	if bearergate.ReasonOf(err) != bearergate.ReasonScope {
		return err
	}
	e := *bearergate.AsError(err)
	e.Expected = rt.written()
	return &e
}

// PolicyTimeout is how long the policies of [Allow] have for their answer, and the
// store of [Once] for its own. It bounds what a slow one may hold up, and is far more
// than one that works needs: bound the calls that a policy makes more tightly where
// you know better.
const PolicyTimeout = bearergate.PolicyTimeout

// allowed asks the policies of the route.
func (rt *route) allowed(r *http.Request, token *bearergate.Token) error {
	if len(rt.allow) == 0 {
		return nil
	}
	return bearergate.GuardWithin(r.Context(), PolicyTimeout, errPolicy, func(ctx context.Context) error {
		r := r.WithContext(ctx)
		for _, a := range rt.allow {
			for _, policy := range a.policies {
				if err := policy(r, token); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// policies returns how many there are.
func (rt *route) policies() (n int) {
	for _, a := range rt.allow {
		n += len(a.policies)
	}
	return n
}
