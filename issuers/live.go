package issuers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// RequireLive returns a verifier for JWTs whose revocation must count at once.
// local verifies the token. If it accepts, live, an introspect.Client for example,
// is asked about the same raw token, on every call. Use it on routes that are
// worth a round trip (see middleware.Via).
//
// What live refuses is refused with its error, which says whose the token is
// ([bearergate.Error.Refused]): what local has found, where live does not say. If live
// cannot be asked, the error is [bearergate.ErrUnavailable]. These are refused too, with
// [bearergate.ErrInvalidToken]:
//
//   - an iss that both have and that differ: [bearergate.ReasonIssuer]
//   - a sub, client_id or tenant that both have and that differ:
//     [bearergate.ReasonPolicy]
//   - an act chain that both have and that differ: [bearergate.ReasonPolicy]
//   - a cnf that both have and that differ in a member or its value:
//     [bearergate.ReasonBinding]
//
// and an answer that is [bearergate.Token.Stale], with
// [bearergate.ErrUnavailable] and [bearergate.ReasonIntrospectionUnavailable].
//
// The token that is returned is that of local, narrowed by what live says:
//
//   - The scopes are those that both grant. An answer of live without scope leaves none.
//     Where the token of local has no claim for scopes at all, they are live's: many
//     servers tell them in the answer only. A claim that names none, as "scope": "" does,
//     grants none.
//   - Where live names roles, they are those that both name.
//   - It expires at the earlier time.
//   - Where only live has a cnf, it is bound by that.
//   - Where only live has an act chain, it is that: an answer that names who acts for the
//     subject is not to be passed over for a token that names nobody.
//
// Everything else, the claims object included, is local's. The Confirmations that it
// tells are those of both, or nil where one does not tell.
//
// live must not answer from a cache. Refused as live is a verifier that
//
//   - has a method Live() bool that returns false, as an introspect.Client with a
//     cache does (set DisableCache), a jwtverify.Verifier, which asks nobody, and
//     what [RequireLiveIf] returns;
//   - has a method Unwrap() bearergate.Verifier that returns such a verifier;
//   - is a [Router] with such a verifier, or with Resolve.
//
// The error is [bearergate.ErrMisconfigured] and names every mistake.
func RequireLive(local, live bearergate.Verifier) (bearergate.Verifier, error) {
	wrong := mistake.In("issuers")
	checkSides(&wrong, "RequireLive", local, live)
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return &liveVerifier{local: local, live: live}, nil
}

// RequireLiveIf is [RequireLive] for the tokens that when names, and local alone for all
// others: a round trip for those that can do harm, those of administrators for example.
//
//	v, err := issuers.RequireLiveIf(local, live, func(t *bearergate.Token) bool {
//		return t.HasRole("admin") || !t.IsClient()
//	})
//
// when is asked about the token that local has accepted, which is not yet
// [bearergate.Token.Proven], on every call. It must be quick, and safe for concurrent
// use. If it panics, live is asked.
//
// Danger: a token that when does not name counts until it expires, revoked or not, and
// what live would take from it is not taken. Name what is harmless, and have everything
// else asked about: what a server adds to its tokens next year is then asked about too.
//
// The verifier is itself no live one for another RequireLive.
func RequireLiveIf(local, live bearergate.Verifier, when func(*bearergate.Token) bool) (bearergate.Verifier, error) {
	wrong := mistake.In("issuers")
	checkSides(&wrong, "RequireLiveIf", local, live)
	if when == nil {
		wrong.Addf("RequireLiveIf: when is nil: say which tokens live is asked about, or use RequireLive for all")
	}
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return &liveVerifier{local: local, live: live, when: when}, nil
}

func checkSides(wrong *mistake.List, name string, local, live bearergate.Verifier) {
	if guard.IsNil(local) {
		wrong.Addf("%s: local is nil: pass the verifier of the JWTs", name)
	}
	if guard.IsNil(live) {
		wrong.Addf("%s: live is nil: pass the client that asks the authorization server", name)
	} else if err := checkLive(live); err != nil {
		wrong.Addf("%s: live: %w", name, err)
	}
}

// maxUnwrap bounds the verifiers around verifiers that are looked through.
const maxUnwrap = 16

// checkLive says why v would not ask for every token, as far as can be told.
func checkLive(v bearergate.Verifier) error {
	return guard.Call(func() error { return searchLive(v, maxUnwrap) }, func(p guard.PanicError) error {
		return fmt.Errorf("its method Live or Unwrap %w", p)
	})
}

func searchLive(v bearergate.Verifier, depth int) error {
	if depth == 0 {
		return fmt.Errorf("it wraps more than %d verifiers", maxUnwrap)
	}
	if v, ok := v.(*Router); ok {
		if v.resolver != nil {
			return errors.New("a Router with Resolve cannot be shown to ask for every token: call RequireLive in Resolve")
		}
		for _, member := range v.issuers {
			if err := searchLive(member.verifier, depth-1); err != nil {
				return err
			}
		}
		if v.opaque != nil {
			return searchLive(v.opaque, depth-1)
		}
		return nil
	}
	if v, ok := v.(interface{ Live() bool }); ok && !v.Live() {
		return fmt.Errorf("the %T answers from its cache, or asks nobody, or not for every token: set DisableCache in the Config of an introspect.Client, and pass the verifier of the JWTs first", v)
	}
	if v, ok := v.(interface{ Unwrap() bearergate.Verifier }); ok {
		if inner := v.Unwrap(); !guard.IsNil(inner) {
			return searchLive(inner, depth-1)
		}
	}
	return nil
}

// Live reports whether each of the router's verifiers asks for every token, as
// far as can be told: see [RequireLive].
func (r *Router) Live() bool { return r != nil && checkLive(r) == nil }

type liveVerifier struct {
	local, live bearergate.Verifier
	when        func(*bearergate.Token) bool // nil: for every token
}

// asks reports whether live is asked about a token. In doubt it is.
func (v *liveVerifier) asks(t *bearergate.Token) bool {
	asks := true
	if v.when != nil {
		_ = guard.Call(func() error { asks = v.when(t); return nil }, nil)
	}
	return asks
}

// confirming is a verifier that tells which members of cnf whoever calls it has to
// have confirmed.
type confirming interface{ Confirmations() []string }

// Confirmations returns the members of cnf that whoever calls Verify has to have
// confirmed: those of all of the router's verifiers together. It is nil, which says
// nothing, unless each of them tells its own, and with Resolve.
func (r *Router) Confirmations() []string {
	if r == nil || r.resolver != nil {
		return nil
	}
	var verifiers []bearergate.Verifier
	for _, member := range r.issuers {
		verifiers = append(verifiers, member.verifier)
	}
	if r.opaque != nil {
		verifiers = append(verifiers, r.opaque)
	}
	return union(verifiers...)
}

// union returns the Confirmations of all verifiers; nil, which says nothing, where
// one of them does not tell.
func union(verifiers ...bearergate.Verifier) []string {
	all := []string{}
	for _, v := range verifiers {
		tells, ok := v.(confirming)
		if !ok {
			return nil
		}
		members := tells.Confirmations()
		if members == nil {
			return nil
		}
		all = append(all, members...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Confirmations returns the members of cnf that whoever calls Verify has to have
// confirmed, of local and live together, for either may bind the token.
func (v *liveVerifier) Confirmations() []string { return union(v.local, v.live) }

// Live says that it may itself be the live one of another RequireLive, unless there are
// tokens for which it asks nobody.
func (v *liveVerifier) Live() bool { return v.when == nil }

// Issuer tells NewRouter whose tokens are verified, if local tells.
func (v *liveVerifier) Issuer() string { return issuerOf(v.local) }

func (v *liveVerifier) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	local, err := bearergate.Verify(ctx, v.local, token)
	if err != nil {
		return nil, err
	}
	if !v.asks(local) {
		return local, nil
	}
	if ctx.Err() != nil { // nobody waits for the answer: do not ask
		return nil, left(ctx)
	}
	live, err := bearergate.Verify(ctx, v.live, token)
	if err != nil {
		if bearergate.AsError(err).Refused == nil { // that it is inactive is all that most servers say
			err = accept.Refused(err, local)
		}
		return nil, err
	}
	return agreed(local, live)
}

// agreed is local narrowed by what live says, or why the two do not go together.
func agreed(local, live *bearergate.Token) (*bearergate.Token, error) {
	if live.Stale() {
		return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable,
			Cause: errors.New("issuers: RequireLive: the answer is an older one, kept for want of a new one")}
	}
	var answer bearergate.Claims
	var err error
	_ = live.With(func(c *bearergate.Claims) { answer = *c })
	narrowed := local.With(func(c *bearergate.Claims) { err = narrow(c, &answer) })
	if err != nil {
		return nil, err
	}
	return narrowed, nil
}

// narrow takes from c what the answer does not grant as well.
func narrow(c, answer *bearergate.Claims) error {
	switch {
	case contradict(c.Issuer, answer.Issuer):
		return invalid(bearergate.ReasonIssuer, "RequireLive: the live answer is about another iss")
	case contradict(c.Subject, answer.Subject):
		return invalid(bearergate.ReasonPolicy, "RequireLive: the live answer is about another sub")
	case contradict(c.ClientID, answer.ClientID):
		return invalid(bearergate.ReasonPolicy, "RequireLive: the live answer is about another client_id")
	case contradict(c.Tenant, answer.Tenant):
		return invalid(bearergate.ReasonPolicy, "RequireLive: the live answer is about another tenant")
	case len(c.Actors) > 0 && len(answer.Actors) > 0 && !slices.EqualFunc(c.Actors, answer.Actors, sameActor(c.Issuer)):
		return invalid(bearergate.ReasonPolicy, "RequireLive: the live answer has another act chain")
	case c.Confirmation != nil && answer.Confirmation != nil && !maps.EqualFunc(c.Confirmation, answer.Confirmation, sameJSON):
		return invalid(bearergate.ReasonBinding, "RequireLive: the live answer has another cnf")
	}
	if c.Confirmation == nil {
		c.Confirmation = answer.Confirmation
	}
	if len(c.Actors) == 0 {
		c.Actors = answer.Actors
	}
	if c.Scopes.IsZero() {
		c.Scopes = answer.Scopes
	} else {
		c.Scopes = intersection(c.Scopes, answer.Scopes)
	}
	if answer.Roles != nil { // few servers put them into answers
		c.Roles = slices.DeleteFunc(c.Roles, func(role string) bool { return !slices.Contains(answer.Roles, role) })
	}
	c.ExpiresAt = earlier(c.ExpiresAt, answer.ExpiresAt)
	return nil
}

// sameActor compares actors of tokens of an issuer.
func sameActor(issuer string) func(a, b bearergate.Actor) bool {
	return func(a, b bearergate.Actor) bool { return a.Of(issuer) == b.Of(issuer) }
}

func contradict(a, b string) bool { return a != "" && b != "" && a != b }

// sameJSON compares strings by their meaning and everything else by its text:
// two objects that may or may not mean the same are refused.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	s, err := strictjson.String(a)
	if err != nil {
		return false
	}
	t, err := strictjson.String(b)
	return err == nil && s == t
}

func intersection(a, b scope.Set) scope.Set {
	var names []string
	for _, name := range a.Names() {
		if b.Has(name) {
			names = append(names, name)
		}
	}
	return scope.Of(names...)
}

// earlier takes the zero time for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
