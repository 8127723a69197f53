package bearergate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bearergate/bearergate/internal/guard"
)

// Binding checks that the sender of a request holds the key to which its token is
// bound (cnf, RFC 7800): DPoP (RFC 9449), a client certificate (RFC 8705).
// Implementations are comparable by ==, usually pointers, and safe for
// concurrent use.
type Binding interface {
	// Scheme is the scheme that tokens bound so are sent with.
	Scheme() Scheme
	// Members are the members of cnf that Confirm checks: "jkt", "x5t#S256".
	Members() []string
	// Confirm returns nil if the call proves what each of those members of t
	// demands. It is called at most once for a call, and may consume the proof. Its
	// errors are judged by the rule of [Guard]: one that is none of the eight
	// sentinels is [ErrInvalidToken] with [ReasonBinding]. The Reply counts beside an
	// error too.
	//
	// Danger: a Binding that returns nil without having checked every one of its
	// members that the token has makes a stolen token work for the thief.
	Confirm(ctx context.Context, c Call, t *Token) (Reply, error)
	// Challenge is the parameters of its scheme's challenge, such as algs (RFC
	// 9449 §7.1), beside realm and error.
	Challenge() map[string]string
}

// CheckBindings returns everything that is wrong with the bindings of a gate, as
// one [ErrMisconfigured], for whoever builds one: a binding that is nil, has a
// Scheme that is not one of the constants, names no member, names jkt with another
// scheme than [SchemeDPoP] (RFC 9449 §7.1), or names what another one names.
//
// The verifiers of the gate are asked for their method Confirmations() []string,
// if they have it: the members of cnf whose tokens they accept. nil, and no method,
// say nothing. A member that one of them accepts and no binding confirms is a
// mistake, since every such token would be refused; so is a binding for members
// that all of them refuse.
func CheckBindings(bindings []Binding, verifiers ...Verifier) error {
	errs := mistakesOf(bindings)
	if errs == nil && len(verifiers) > 0 {
		errs = disagreements(bindings, verifiers)
	}
	if errs == nil {
		return nil
	}
	return &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: errors.Join(errs...)}
}

// mistakesOf looks at bindings alone. Authenticate asks it on every call that has
// some.
func mistakesOf(bindings []Binding) (errs []error) {
	var seen []string
	for i, b := range bindings {
		var wrong error
		err := Guard(context.Background(), errLook, func(context.Context) error {
			seen, wrong = look(b, seen)
			return nil
		})
		if err != nil {
			wrong = AsError(err).Cause
		}
		if wrong != nil {
			errs = append(errs, fmt.Errorf("binding %d: %w", i+1, wrong))
		}
	}
	return errs
}

var errLook = &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: errors.New("a method of it")}

// look adds the members of b to those that earlier ones have, and tells what is
// wrong with it.
func look(b Binding, seen []string) ([]string, error) {
	if b == nil {
		return seen, errors.New("it is nil: leave it out")
	}
	s, members := b.Scheme(), b.Members()
	switch {
	case !s.known():
		return seen, fmt.Errorf("its scheme is %q: use SchemeBearer or SchemeDPoP", s)
	case len(members) == 0:
		return seen, errors.New("it names no member of cnf: have Members return those that it confirms, jkt or x5t#S256 for example")
	case slices.Contains(members, "jkt") && s != SchemeDPoP:
		return seen, errors.New("it is for jkt, and its scheme is not SchemeDPoP: have Scheme return that, for such tokens are sent with it (RFC 9449 section 7.1)")
	}
	for _, member := range members {
		if slices.Contains(seen, member) {
			return seen, fmt.Errorf("the member %q has two bindings: leave one of them out", member)
		}
		seen = append(seen, member)
	}
	return seen, nil
}

// disagreements compares bindings, which are in order, with what verifiers accept.
func disagreements(bindings []Binding, verifiers []Verifier) (errs []error) {
	var confirmed, accepted, useless, unconfirmed []string
	for _, b := range bindings {
		confirmed = append(confirmed, b.Members()...)
	}
	silent := false
	for _, v := range verifiers {
		members := ConfirmationsOf(v)
		silent = silent || members == nil
		accepted = append(accepted, members...)
	}
	for _, member := range confirmed {
		if !silent && !slices.Contains(accepted, member) {
			useless = append(useless, member)
		}
	}
	for _, member := range accepted {
		if !slices.Contains(confirmed, member) && !slices.Contains(unconfirmed, member) {
			unconfirmed = append(unconfirmed, member)
		}
	}
	if useless != nil {
		errs = append(errs, fmt.Errorf("the verifier refuses tokens with the members %q of cnf: name them in its Confirmations", useless))
	}
	if unconfirmed != nil {
		errs = append(errs, fmt.Errorf("the verifier's Confirmations have the members %q of cnf, which nobody confirms: put what does into Bindings, or take them out", unconfirmed))
	}
	return errs
}

// ConfirmationsOf returns the members of cnf whose tokens a verifier accepts, for
// somebody else to confirm: what its method Confirmations tells. nil says nothing:
// it has no such method, returned nil, is nil itself or panicked.
func ConfirmationsOf(v Verifier) (members []string) {
	if guard.IsNil(v) {
		return nil
	}
	tells, ok := v.(interface{ Confirmations() []string })
	if !ok {
		return nil
	}
	err := Guard(context.Background(), errLook, func(context.Context) error {
		members = tells.Confirmations()
		return nil
	})
	if err != nil {
		return nil
	}
	return members
}
