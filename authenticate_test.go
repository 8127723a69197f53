package bearergate_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// binding confirms what its function says, and counts how often it is asked.
type binding struct {
	scheme  bearergate.Scheme
	members []string
	confirm func(bearergate.Call, *bearergate.Token) error // nil: yes
	reply   bearergate.Reply
	asked   int
	order   *[]*binding
}

func (b *binding) Scheme() bearergate.Scheme    { return b.scheme }
func (b *binding) Members() []string            { return b.members }
func (b *binding) Challenge() map[string]string { return nil }

func (b *binding) Confirm(_ context.Context, c bearergate.Call, t *bearergate.Token) (bearergate.Reply, error) {
	b.asked++
	if b.order != nil {
		*b.order = append(*b.order, b)
	}
	c.Values("Proof")
	if b.confirm == nil {
		return b.reply, nil
	}
	return b.reply, b.confirm(c, t)
}

func dpop() *binding { return &binding{scheme: bearergate.SchemeDPoP, members: []string{"jkt"}} }
func mtls() *binding {
	return &binding{scheme: bearergate.SchemeBearer, members: []string{"x5t#S256"}}
}

// boundBy is a verifier whose tokens have these members of cnf, each with the
// value "k"; none: an unbound token.
func boundBy(members ...string) bearergate.Verifier {
	c := bearergate.Claims{Issuer: "https://as", Subject: "u", ClientID: "c", Scopes: scope.Of("read")}
	for _, m := range members {
		if c.Confirmation == nil {
			c.Confirmation = map[string][]byte{}
		}
		c.Confirmation[m] = []byte(`"k"`)
	}
	return verifies(c)
}

func verifies(c bearergate.Claims) bearergate.Verifier {
	return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return bearergate.NewToken(c), nil })
}

func call(scheme bearergate.Scheme) bearergate.Call {
	return bearergate.Call{Credentials: bearergate.Credentials{Scheme: scheme, Raw: bearergate.NewSecret("a.b")}, Method: "GET", Target: "/x"}
}

// Each scheme takes the tokens that belong to it, and whether a token is bound is
// judged by its cnf alone, in every call.
// req: R9449-18 R9449-20 R9449-43
func TestAuthenticate(t *testing.T) {
	no := errors.New("not its key")
	refuses := func(b *binding, err error) *binding {
		b.confirm = func(bearergate.Call, *bearergate.Token) error { return err }
		return b
	}
	const bearer, withDPoP = bearergate.SchemeBearer, bearergate.SchemeDPoP
	for _, tc := range []struct {
		name     string
		scheme   bearergate.Scheme
		verifier bearergate.Verifier
		bindings []bearergate.Binding
		proven   bool
		kind     error
		reason   bearergate.Reason
		asked    bool // the bindings, although the call is refused
	}{
		{name: "unbound", scheme: bearer, verifier: boundBy()},
		{name: "unbound, bindings at hand", scheme: bearer, verifier: boundBy(), bindings: []bearergate.Binding{dpop(), mtls()}},
		{name: "unbound under DPoP", scheme: withDPoP, verifier: boundBy(), bindings: []bearergate.Binding{dpop()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "DPoP", scheme: withDPoP, verifier: boundBy("jkt"), bindings: []bearergate.Binding{mtls(), dpop()}, proven: true},
		{name: "DPoP, no binding", scheme: withDPoP, verifier: boundBy("jkt"), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "DPoP, the wrong binding", scheme: withDPoP, verifier: boundBy("jkt"), bindings: []bearergate.Binding{mtls()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "jkt under Bearer", scheme: bearer, verifier: boundBy("jkt"), bindings: []bearergate.Binding{dpop()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "jkt under Bearer, whatever a binding says", scheme: bearer, verifier: boundBy("jkt"),
			bindings: []bearergate.Binding{&binding{scheme: bearer, members: []string{"jkt"}}}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "certificate", scheme: bearer, verifier: boundBy("x5t#S256"), bindings: []bearergate.Binding{dpop(), mtls()}, proven: true},
		{name: "certificate, no binding", scheme: bearer, verifier: boundBy("x5t#S256"), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "certificate under DPoP", scheme: withDPoP, verifier: boundBy("x5t#S256"), bindings: []bearergate.Binding{dpop(), mtls()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "both", scheme: withDPoP, verifier: boundBy("jkt", "x5t#S256"), bindings: []bearergate.Binding{dpop(), mtls()}, proven: true},
		{name: "both under Bearer", scheme: bearer, verifier: boundBy("jkt", "x5t#S256"), bindings: []bearergate.Binding{dpop(), mtls()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "both, one binding", scheme: withDPoP, verifier: boundBy("jkt", "x5t#S256"), bindings: []bearergate.Binding{dpop()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "an unknown member beside", scheme: bearer, verifier: boundBy("x5t#S256", "kid"), bindings: []bearergate.Binding{mtls()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "a cnf without members", scheme: bearer, verifier: verifies(bearergate.Claims{Confirmation: map[string][]byte{}}), bindings: []bearergate.Binding{mtls()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "not confirmed", scheme: bearer, verifier: boundBy("x5t#S256"), bindings: []bearergate.Binding{refuses(mtls(), no)}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, asked: true},
		{name: "a replay", scheme: withDPoP, verifier: boundBy("jkt"), bindings: []bearergate.Binding{refuses(dpop(), &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay})},
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonReplay, asked: true},
		{name: "a store that is down", scheme: withDPoP, verifier: boundBy("jkt"), bindings: []bearergate.Binding{refuses(dpop(), context.DeadlineExceeded)},
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: true},
		{name: "two bindings for one member", scheme: bearer, verifier: boundBy(), bindings: []bearergate.Binding{mtls(), mtls()}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "a nil binding", scheme: bearer, verifier: boundBy(), bindings: []bearergate.Binding{nil}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "a nil pointer", scheme: bearer, verifier: boundBy(), bindings: []bearergate.Binding{(*binding)(nil)}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "a scheme that is none", scheme: "bearer", verifier: boundBy(), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "no scheme", scheme: "", verifier: boundBy(), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "a binding's scheme that is none", scheme: bearer, verifier: boundBy(), bindings: []bearergate.Binding{&binding{scheme: "MAC", members: []string{"x"}}},
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "a nil verifier", scheme: bearer, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token, _, err := bearergate.Authenticate(t.Context(), tc.verifier, call(tc.scheme), tc.bindings...)
			if tc.kind != nil {
				requireKind(t, err, tc.kind, tc.reason)
				require.Nil(t, token)
				for _, b := range tc.bindings {
					if b, ok := b.(*binding); ok && b != nil && !tc.asked {
						require.Zero(t, b.asked, "a proof is not consumed for a call that is refused anyway")
					}
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.proven, token.Proven())
			require.Equal(t, tc.proven, token.Bound())
			require.NoError(t, token.Authorize(scope.All("read")))
		})
	}
}

// A refusal for the binding says whose token it was, for audit: a token that opens nothing,
// and that nobody has proved to hold. What is refused before its verifier has accepted it is
// nobody's.
func TestARefusedBindingSaysWhoseTokenItWas(t *testing.T) {
	replay := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay}
	refuses := func(err error) *binding {
		b := dpop()
		b.reply, b.confirm = bearergate.Reply{"DPoP-Nonce": "n"}, func(bearergate.Call, *bearergate.Token) error { return err }
		return b
	}
	for _, tc := range []struct {
		name     string
		verifier bearergate.Verifier
		scheme   bearergate.Scheme
		bindings []bearergate.Binding
		kind     error
		reason   bearergate.Reason
		nobodys  bool
		unbound  bool
	}{
		{name: "a replay", verifier: boundBy("jkt"), scheme: bearergate.SchemeDPoP, bindings: []bearergate.Binding{refuses(replay)}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonReplay},
		{name: "a store that is down", verifier: boundBy("jkt"), scheme: bearergate.SchemeDPoP, bindings: []bearergate.Binding{refuses(context.DeadlineExceeded)}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "the wrong scheme", verifier: boundBy("jkt"), scheme: bearergate.SchemeBearer, bindings: []bearergate.Binding{dpop()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound under DPoP", verifier: boundBy(), scheme: bearergate.SchemeDPoP, bindings: []bearergate.Binding{dpop()}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, unbound: true},
		{name: "DPoP where nobody checks it, before the token is looked at", verifier: boundBy("jkt"), scheme: bearergate.SchemeDPoP, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, nobodys: true},
		{name: "an answer that may repeat the token", verifier: verifies(bearergate.Claims{Unquotable: true, Confirmation: map[string][]byte{"jkt": []byte(`"k"`)}}), scheme: bearergate.SchemeDPoP,
			bindings: []bearergate.Binding{refuses(replay)}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonReplay, nobodys: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token, _, err := bearergate.Authenticate(t.Context(), tc.verifier, call(tc.scheme), tc.bindings...)
			require.Nil(t, token)
			requireKind(t, err, tc.kind, tc.reason)
			refused := bearergate.AsError(err).Refused
			if tc.nobodys {
				require.Nil(t, refused)
				return
			}
			require.Equal(t, "c", refused.ClientID())
			require.Equal(t, !tc.unbound, refused.Bound())
			require.False(t, refused.Proven())
			requireKind(t, refused.Authorize(scope.Requirement{}), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
			_, carried := bearergate.FromContext(bearergate.NewContext(t.Context(), refused))
			require.False(t, carried)
		})
	}
	require.Nil(t, replay.Refused, "the error of a binding is its own")

	// What a binding asks the client for still comes with the refusal.
	_, reply, _ := bearergate.Authenticate(t.Context(), boundBy("jkt"), call(bearergate.SchemeDPoP), refuses(replay))
	require.Equal(t, bearergate.Reply{"DPoP-Nonce": "n"}, reply)
}

func TestAuthenticateWithoutToken(t *testing.T) {
	_, _, err := bearergate.Authenticate(t.Context(), boundBy(), bearergate.Call{Credentials: bearergate.Credentials{Scheme: bearergate.SchemeBearer}})
	requireKind(t, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
}

// The certificate goes first: a DPoP proof can be used once, and is not wasted on
// a call that another binding refuses.
func TestCertificateBeforeDPoP(t *testing.T) {
	var order []*binding
	d, m := dpop(), mtls()
	d.order, m.order = &order, &order
	d.reply, m.reply = bearergate.Reply{"DPoP-Nonce": "n"}, bearergate.Reply{"X": "y"}
	_, reply, err := bearergate.Authenticate(t.Context(), boundBy("jkt", "x5t#S256"), call(bearergate.SchemeDPoP), d, m)
	require.NoError(t, err)
	require.Equal(t, []*binding{m, d}, order)
	require.Equal(t, bearergate.Reply{"DPoP-Nonce": "n", "X": "y"}, reply)

	m.confirm = func(bearergate.Call, *bearergate.Token) error { return errors.New("no") }
	_, reply, err = bearergate.Authenticate(t.Context(), boundBy("jkt", "x5t#S256"), call(bearergate.SchemeDPoP), d, m)
	requireKind(t, err, bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	require.Equal(t, bearergate.Reply{"X": "y"}, reply, "what a binding asks for comes with its refusal too")
	require.Equal(t, 1, d.asked)
}

// Only Authenticate and Reauthenticate mark a token, and whoever takes another way
// opens nothing with a bound one.
func TestProven(t *testing.T) {
	v := boundBy("x5t#S256")
	need := scope.All("read")
	proven, _, err := bearergate.Authenticate(t.Context(), v, call(bearergate.SchemeBearer), mtls())
	require.NoError(t, err)
	require.True(t, proven.Proven())
	require.NoError(t, proven.Authorize(need))

	direct, err := v.Verify(t.Context(), "a.b")
	require.NoError(t, err)
	held, err := bearergate.Verify(t.Context(), v, "a.b")
	require.NoError(t, err)
	stripped, err := bearergate.Verify(t.Context(), bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return proven, nil }), "a.b")
	require.NoError(t, err)
	for name, token := range map[string]*bearergate.Token{
		"Verifier.Verify": direct, "Verify": held, "Verify of a verifier that returns a proven one": stripped,
		"NewToken": bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("read"), Confirmation: map[string][]byte{"jkt": []byte(`"k"`)}}),
		"With, another cnf": proven.With(func(c *bearergate.Claims) {
			c.Confirmation = map[string][]byte{"x5t#S256": []byte(`"other"`)}
		}),
		"With, one member more": proven.With(func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`"k"`) }),
	} {
		require.True(t, token.Bound(), name)
		require.False(t, token.Proven(), name)
		requireKind(t, token.Authorize(need), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
		requireKind(t, token.Authorize(scope.Requirement{}), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	}

	narrowed := proven.With(func(c *bearergate.Claims) { c.Scopes = scope.Of("read") })
	require.True(t, narrowed.Proven())
	unbound := proven.With(func(c *bearergate.Claims) { c.Confirmation = nil })
	require.False(t, unbound.Bound())
	require.False(t, unbound.Proven())
	require.False(t, (*bearergate.Token)(nil).Proven())
	require.False(t, (*bearergate.Token)(nil).Bound())
	require.True(t, proven.Proven(), "and stays what it is")

	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		require.NotContains(t, fmt.Sprintf(verb, struct{ t bearergate.Token }{*proven}), "/x", "the proof is not printed")
		require.NotContains(t, fmt.Sprintf(verb, proven), "/x")
	}
}

// An inner gate takes the proof of the outer one for the very same call, and for
// no other.
func TestNestedGatesAskOnce(t *testing.T) {
	state := &tls.ConnectionState{}
	header := map[string][]string{"Proof": {"p1"}}
	base := call(bearergate.SchemeDPoP)
	base.Header = func(name string) []string { return header[name] }
	base.TLS, base.Peer = state, netip.MustParseAddrPort("192.0.2.1:1")
	b := dpop()
	v := boundBy("jkt")
	outer, _, err := bearergate.Authenticate(t.Context(), v, base, b)
	require.NoError(t, err)
	require.Equal(t, 1, b.asked)

	for _, tc := range []struct {
		name     string
		change   func(*bearergate.Call)
		verifier bearergate.Verifier
		bindings []bearergate.Binding
		outer    *bearergate.Token
		again    bool
	}{
		{name: "the same call"},
		{name: "another verifier, the same cnf", verifier: verifies(bearergate.Claims{Issuer: "https://other", Confirmation: map[string][]byte{"jkt": []byte(`"k"`)}})},
		{name: "another cnf", verifier: verifies(bearergate.Claims{Confirmation: map[string][]byte{"jkt": []byte(`"other"`)}}), again: true},
		{name: "another token", change: func(c *bearergate.Call) { c.Raw = bearergate.NewSecret("c.d") }, again: true},
		{name: "another method", change: func(c *bearergate.Call) { c.Method = "POST" }, again: true},
		{name: "another target", change: func(c *bearergate.Call) { c.Target = "/y" }, again: true},
		{name: "another host", change: func(c *bearergate.Call) { c.Host = "other.example" }, again: true},
		{name: "another proof", change: func(c *bearergate.Call) { c.Header = func(string) []string { return []string{"p2"} } }, again: true},
		{name: "no proof", change: func(c *bearergate.Call) { c.Header = nil }, again: true},
		{name: "another connection", change: func(c *bearergate.Call) { c.TLS = &tls.ConnectionState{} }, again: true},
		{name: "another peer", change: func(c *bearergate.Call) { c.Peer = netip.AddrPort{} }, again: true},
		{name: "a token that nobody proved", outer: bearergate.NewToken(bearergate.Claims{Confirmation: map[string][]byte{"jkt": []byte(`"k"`)}}), again: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := base
			if tc.change != nil {
				tc.change(&c)
			}
			inner, token := v, outer
			if tc.verifier != nil {
				inner = tc.verifier
			}
			if tc.outer != nil {
				token = tc.outer
			}
			before := b.asked
			got, _, err := bearergate.Authenticate(bearergate.NewContext(t.Context(), token), inner, c, b)
			require.NoError(t, err)
			require.True(t, got.Proven())
			require.Equal(t, tc.again, b.asked > before)
		})
	}
	other := dpop()
	_, _, err = bearergate.Authenticate(bearergate.NewContext(t.Context(), outer), v, base, other)
	require.NoError(t, err)
	require.Equal(t, 1, other.asked, "another binding has not been asked yet")
}

func TestReauthenticate(t *testing.T) {
	claims := func(change func(*bearergate.Claims)) bearergate.Claims {
		c := bearergate.Claims{Issuer: "https://as", Subject: "u", ClientID: "c", Scopes: scope.Of("read"), Confirmation: map[string][]byte{"jkt": []byte(`"k"`), "x": []byte(`1`)}}
		if change != nil {
			change(&c)
		}
		return c
	}
	b := &binding{scheme: bearergate.SchemeDPoP, members: []string{"jkt", "x"}}
	proven, _, err := bearergate.Authenticate(t.Context(), verifies(claims(nil)), call(bearergate.SchemeDPoP), b)
	require.NoError(t, err)
	noCNF := func(c *bearergate.Claims) { c.Confirmation = nil }
	unbound := bearergate.NewToken(claims(noCNF))
	// unboundBut is a token without cnf that differs otherwise too.
	unboundBut := func(change func(*bearergate.Claims)) func(*bearergate.Claims) {
		return func(c *bearergate.Claims) { noCNF(c); change(c) }
	}
	for _, tc := range []struct {
		name   string
		change func(*bearergate.Claims)
		before *bearergate.Token
		scheme bearergate.Scheme
		kind   error
		reason bearergate.Reason
	}{
		{name: "unchanged", before: proven, scheme: bearergate.SchemeDPoP},
		{name: "a scope less", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { c.Scopes = scope.Set{} }},
		{name: "another iss", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { c.Issuer = "x" }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "another sub", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { c.Subject = "x" }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "another client", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { c.ClientID = "x" }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "another tenant", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { c.Tenant = "x" }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "another actor", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{{Subject: "x"}} }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "another key", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`"o"`) }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "a member less", before: proven, scheme: bearergate.SchemeDPoP, change: func(c *bearergate.Claims) { delete(c.Confirmation, "x") }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "no longer bound", before: proven, scheme: bearergate.SchemeDPoP, change: noCNF, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "no longer bound, under Bearer", before: proven, scheme: bearergate.SchemeBearer, change: noCNF, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "under another scheme", before: proven, scheme: bearergate.SchemeBearer, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "never proven", before: bearergate.NewToken(claims(nil)), scheme: bearergate.SchemeDPoP, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "no token before", scheme: bearergate.SchemeDPoP, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound before, bound now", before: unbound, scheme: bearergate.SchemeBearer, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound all the time", before: unbound, scheme: bearergate.SchemeBearer, change: noCNF},
		{name: "unbound, a scope less", before: unbound, scheme: bearergate.SchemeBearer, change: unboundBut(func(c *bearergate.Claims) { c.Scopes = scope.Set{} })},
		{name: "unbound, another iss", before: unbound, scheme: bearergate.SchemeBearer, change: unboundBut(func(c *bearergate.Claims) { c.Issuer = "x" }), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound, another sub", before: unbound, scheme: bearergate.SchemeBearer, change: unboundBut(func(c *bearergate.Claims) { c.Subject = "x" }), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound, another tenant", before: unbound, scheme: bearergate.SchemeBearer, change: unboundBut(func(c *bearergate.Claims) { c.Tenant = "x" }), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound, another actor", before: unbound, scheme: bearergate.SchemeBearer, change: unboundBut(func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{{Subject: "x"}} }), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound, another client", before: unbound, scheme: bearergate.SchemeBearer, change: unboundBut(func(c *bearergate.Claims) { c.ClientID = "x" }), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound, no token before", scheme: bearergate.SchemeBearer, change: noCNF, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "says nothing, no token before", scheme: bearergate.SchemeBearer, change: func(c *bearergate.Claims) { *c = bearergate.Claims{} }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "says nothing, a zero token before", before: new(bearergate.Token), scheme: bearergate.SchemeBearer, change: func(c *bearergate.Claims) { *c = bearergate.Claims{} }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "unbound under DPoP", before: unbound, scheme: bearergate.SchemeDPoP, change: noCNF, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
		{name: "no scheme", before: proven, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token, err := bearergate.Reauthenticate(t.Context(), verifies(claims(tc.change)), bearergate.Credentials{Scheme: tc.scheme, Raw: bearergate.NewSecret("a.b")}, tc.before)
			if tc.kind != nil {
				requireKind(t, err, tc.kind, tc.reason)
				require.Nil(t, token)
				return
			}
			require.NoError(t, err)
			require.Equal(t, token.Bound(), token.Proven())
		})
	}
	require.Equal(t, 1, b.asked, "a proof is never asked for again")
	failing := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, bearergate.ErrInvalidToken })
	_, err = bearergate.Reauthenticate(t.Context(), failing, call(bearergate.SchemeDPoP).Credentials, proven)
	require.ErrorIs(t, err, bearergate.ErrInvalidToken)
}

func TestStepUp(t *testing.T) {
	require.Error(t, bearergate.StepUp{}.Err())
	require.Error(t, bearergate.StepUp{ACR: []string{"a b"}}.Err())
	require.Error(t, bearergate.StepUp{MaxAge: -1}.Err())
	require.NoError(t, bearergate.StepUp{ACR: []string{"mfa"}}.Err())
	acr := []string{"hw", "mfa"}
	s := bearergate.StepUp{ACR: acr}
	token := bearergate.NewToken(bearergate.Claims{ACR: "mfa"})
	require.NoError(t, s.Authorize(token, scope.Requirement{}))
	err := s.Authorize(bearergate.NewToken(bearergate.Claims{ACR: "pwd"}), scope.All("pay"))
	requireKind(t, err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
	e := bearergate.AsError(err)
	require.Equal(t, acr, e.ACRValues)
	require.Equal(t, []string{"pay"}, e.Scopes)
	e.ACRValues[0] = "x"
	require.Equal(t, "hw", acr[0])
	require.True(t, slices.Contains(acr, "hw"))
	// Its mistakes are satisfied by nothing.
	for _, mistake := range []bearergate.StepUp{{MaxAge: -time.Hour}, {ACR: []string{""}}} {
		require.ErrorIs(t, mistake.Authorize(bearergate.NewToken(bearergate.Claims{AuthTime: time.Now()}), scope.Requirement{}), bearergate.ErrInsufficientAuthentication)
	}
}

// A Binding may read the call from several goroutines, and what it leaves behind
// does no harm to the token.
func TestABindingThatReadsConcurrently(t *testing.T) {
	b := dpop()
	b.confirm = func(c bearergate.Call, _ *bearergate.Token) error {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() { c.Values("H" + strconv.Itoa(i%2)) })
		}
		go c.Values("Late")
		all.Wait()
		return nil
	}
	c := call(bearergate.SchemeDPoP)
	c.Header = func(string) []string { return []string{"x"} }
	for range 20 {
		token, _, err := bearergate.Authenticate(t.Context(), boundBy("jkt"), c, b)
		require.NoError(t, err)
		_, _, err = bearergate.Authenticate(bearergate.NewContext(t.Context(), token), boundBy("jkt"), c, b)
		require.NoError(t, err)
	}
}
