package bearergate

import (
	"context"
	"crypto/tls"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/bearergate/bearergate/internal/digest"
	"github.com/bearergate/bearergate/internal/guard"
)

// Authenticate has the token of a call verified by v and, if the token is bound
// to its sender, the binding confirmed. It is the one way by which a bound token
// becomes [Token.Proven]. It returns the token and no error, or no token and an
// error of which exactly one of the eight sentinels is true; the Reply comes with
// both.
//
// Every member of the token's cnf needs exactly one Binding that names it, and
// all must confirm; certificates are asked before DPoP, whose proof is consumed. A
// token with the member jkt is refused under any scheme but DPoP, an unbound one
// under DPoP (RFC 9449 §7.1), and a DPoP call where no Binding has that scheme is
// refused before its token is looked at: all [ErrInvalidToken] with
// [ReasonBinding]. A Scheme that is not one of the constants, and what
// [CheckBindings] finds, are [ErrMisconfigured].
//
// Where v has accepted the token, and its binding is not confirmed, [Error.Refused] says
// whose the token is. Who sent it is not known: perhaps whoever has stolen it.
//
// Where ctx carries a token that was proven for the very same call, by a gate
// further out, its proof counts and no Binding is asked again: a proof can be
// used once. The same call is: credentials, method, target, host and connection,
// the header fields that the Bindings read, and the Bindings themselves.
func Authenticate(ctx context.Context, v Verifier, c Call, bindings ...Binding) (*Token, Reply, error) {
	if err := c.admitted(ctx, bindings); err != nil {
		return nil, nil, err
	}
	t, err := Verify(ctx, v, c.Raw.Reveal())
	if err != nil {
		return nil, nil, err
	}
	needed, err := t.needs(ctx, c.Scheme, bindings)
	if err != nil {
		return nil, nil, AsError(err).WithRefused(t)
	}
	if !t.Bound() {
		return t, nil, nil
	}
	proven, reply, err := prove(ctx, c, t, needed)
	if err != nil {
		return nil, reply, AsError(err).WithRefused(t)
	}
	return proven, reply, nil
}

// admitted refuses a call before its token is looked at.
func (c Call) admitted(ctx context.Context, bindings []Binding) error {
	if !c.Scheme.known() {
		return misconfigured("the scheme of a call is not one of the constants")
	}
	if c.Raw.Reveal() == "" {
		return noToken()
	}
	if len(bindings) == 0 && c.Scheme == SchemeBearer {
		return nil
	}
	if err := CheckBindings(bindings); err != nil {
		return err
	}
	return Guard(ctx, errNotConfirmed, func(context.Context) error {
		if c.Scheme == SchemeDPoP && !slices.ContainsFunc(bindings, func(b Binding) bool { return b.Scheme() == SchemeDPoP }) {
			return unproven("the call uses the DPoP scheme, and no binding checks its proof")
		}
		return nil
	})
}

// needs returns the bindings that have to confirm the token, none if it is not bound.
func (t *Token) needs(ctx context.Context, scheme Scheme, bindings []Binding) (needed []Binding, err error) {
	if !t.Bound() {
		if scheme != SchemeBearer {
			return nil, unproven("the token is not bound to a key, and was sent with the DPoP scheme")
		}
		return nil, nil
	}
	err = Guard(ctx, errNotConfirmed, func(context.Context) (err error) {
		needed, err = responsible(t, scheme, bindings)
		return err
	})
	return needed, err
}

// prove has every member of the token's cnf confirmed by the bindings that it needs.
func prove(ctx context.Context, c Call, t *Token, needed []Binding) (*Token, Reply, error) {
	if outer, ok := FromContext(ctx); ok && outer.proof().covers(c, t, outer, needed) {
		return t.with(outer.proof()), nil, nil
	}
	p := &proof{token: digest.String(c.Raw.Reveal()), scheme: c.Scheme, method: c.Method, target: c.Target, host: c.Host, bindings: needed, tls: c.TLS, peer: c.Peer}
	read := &readings{}
	watched := c
	watched.Header = func(name string) []string {
		values := c.Values(name)
		read.note(name, values)
		return values
	}
	reply := Reply{}
	for _, b := range needed {
		err := Guard(ctx, errNotConfirmed, func(ctx context.Context) error {
			asked, err := b.Confirm(ctx, watched, t)
			maps.Copy(reply, asked)
			return err
		})
		if err != nil {
			return nil, reply, err
		}
	}
	p.read = read.all()
	return t.with(p), reply, nil
}

// readings are the header fields that bindings looked at. A Binding may read from
// several goroutines, and one that it leaves behind changes no proof.
type readings struct {
	mu     sync.Mutex // guards fields
	fields []field
}

type field struct {
	name   string
	values []string
}

// reading is a header field, and a digest of its values, so that neither a credential nor
// anything of a sender's choice is kept.
type reading struct {
	name   string
	values digest.Sum
}

// note hashes nothing yet: how long a field may be is for its Binding to say, and what is
// refused has no proof.
func (r *readings) note(name string, values []string) {
	values = slices.Clone(values)
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.fields, func(f field) bool { return f.name == name }); i >= 0 {
		r.fields[i].values = values
		return
	}
	r.fields = append(r.fields, field{name, values})
}

func (r *readings) all() (all []reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.fields {
		all = append(all, reading{f.name, digest.Strings(f.values...)})
	}
	return all
}

var errNotConfirmed = &Error{Kind: ErrInvalidToken, Reason: ReasonBinding, Cause: text("Binding")}

// responsible returns the bindings for the members of the token's cnf, in the
// order in which they are asked, or why the token is refused without asking.
func responsible(t *Token, scheme Scheme, bindings []Binding) (needed []Binding, err error) {
	members := t.claims().Confirmation
	if len(members) == 0 {
		return nil, unproven("the token has a cnf without members")
	}
	covered := 0
	wanted := SchemeBearer
	if _, ok := members["jkt"]; ok {
		wanted = SchemeDPoP // whatever a binding says
	}
	for _, s := range []Scheme{SchemeBearer, SchemeDPoP} { // a proof that is consumed comes last
		for _, b := range bindings {
			if b.Scheme() != s {
				continue
			}
			n := 0
			for _, member := range b.Members() {
				if _, ok := members[member]; ok {
					n++
				}
			}
			if n == 0 {
				continue
			}
			covered += n
			needed = append(needed, b)
			if s == SchemeDPoP {
				wanted = SchemeDPoP
			}
		}
	}
	switch {
	case covered < len(members):
		return nil, unproven("the token is bound by a member of cnf that no binding confirms")
	case scheme != wanted:
		return nil, unproven("the token is bound in a way that is sent with another scheme")
	}
	return needed, nil
}

// proof is what was confirmed, and about which call. It is not changed once a
// token has it.
type proof struct {
	token          digest.Sum // of the credential, which a Token does not hold
	scheme         Scheme
	method, target string
	host           string
	read           []reading // what the bindings looked at
	tls            *tls.ConnectionState
	peer           netip.AddrPort
	bindings       []Binding
}

// covers reports whether the proof of an outer gate, for the token outer, is one
// of t in the call c by these bindings.
func (p *proof) covers(c Call, t, outer *Token, bindings []Binding) bool {
	if p == nil || p.scheme != c.Scheme || p.method != c.Method || p.target != c.Target || p.host != c.Host || p.tls != c.TLS || p.peer != c.Peer ||
		p.token != digest.String(c.Raw.Reveal()) || !sameConfirmation(t, outer) || !slices.EqualFunc(p.bindings, bindings, sameBinding) {
		return false
	}
	return !slices.ContainsFunc(p.read, func(r reading) bool { return r.values != digest.Strings(c.Values(r.name)...) })
}

// sameBinding is ==, and false for what cannot be compared.
func sameBinding(a, b Binding) (same bool) {
	_ = guard.Call(func() error { same = a == b; return nil }, nil)
	return same
}

func sameConfirmation(a, b *Token) bool {
	x, y := a.claims().Confirmation, b.claims().Confirmation
	return (x == nil) == (y == nil) && maps.EqualFunc(x, y, func(v, w []byte) bool { return string(v) == string(w) })
}

// Reauthenticate has the token of credentials verified again by v, for a stream
// or a long request that was opened with them; [Recheck] says when. No Binding is
// asked: the proof of proven, the token of [Authenticate], carries over. Whether or
// not the token is bound, iss, sub, client, tenant and the act chain must be unchanged,
// for whoever serves the request acts for the one who opened it; and so must be every
// member of cnf and the scheme. If not, the answer is [ErrInvalidToken] with [ReasonBinding].
func Reauthenticate(ctx context.Context, v Verifier, c Credentials, proven *Token) (*Token, error) {
	if !c.Scheme.known() {
		return nil, misconfigured("the scheme of credentials is not one of the constants")
	}
	t, err := Verify(ctx, v, c.Raw.Reveal())
	if err != nil {
		return nil, err
	}
	switch {
	case proven == nil || proven.c == nil:
		return nil, unproven("there is no token of which it could be the same")
	case t.Issuer() != proven.Issuer() || t.Subject() != proven.Subject() || t.ClientID() != proven.ClientID() ||
		t.Tenant() != proven.Tenant() || !slices.Equal(t.claims().Actors, proven.claims().Actors):
		return nil, unproven("the token says another issuer, subject, client, tenant or actor than when its request was opened")
	case !t.Bound() && !proven.Bound() && c.Scheme == SchemeBearer:
		return t, nil
	case !t.Bound() || !sameConfirmation(t, proven) || !proven.Proven() || c.Scheme != proven.proof().scheme:
		return nil, unproven("the token is not bound as it was when its sender proved to hold the key")
	}
	return t.with(proven.proof()), nil
}
