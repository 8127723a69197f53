package bearergate_test

import (
	"context"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

// accepting is a verifier that tells which members of cnf it accepts.
type accepting struct {
	bearergate.Verifier
	members []string
	panics  bool
}

func (a accepting) Confirmations() []string {
	if a.panics {
		panic("x")
	}
	return a.members
}

func accepts(members ...string) bearergate.Verifier {
	return accepting{Verifier: boundBy(), members: append([]string{}, members...)}
}

func TestCheckBindings(t *testing.T) {
	silent := boundBy()
	for _, tc := range []struct {
		name      string
		bindings  []bearergate.Binding
		verifiers []bearergate.Verifier
		mistakes  []string
	}{
		{name: "none"},
		{name: "none, and the verifier accepts no bound token", verifiers: []bearergate.Verifier{accepts()}},
		{name: "both kinds", bindings: []bearergate.Binding{dpop(), mtls()}, verifiers: []bearergate.Verifier{accepts("jkt", "x5t#S256")}},
		{name: "a verifier that does not tell", bindings: []bearergate.Binding{dpop()}, verifiers: []bearergate.Verifier{silent}},
		{name: "one that tells nil", bindings: []bearergate.Binding{dpop()}, verifiers: []bearergate.Verifier{accepting{Verifier: silent}}},
		{name: "one that panics", bindings: []bearergate.Binding{dpop()}, verifiers: []bearergate.Verifier{accepting{Verifier: silent, panics: true}}},
		{name: "a nil one", bindings: []bearergate.Binding{dpop()}, verifiers: []bearergate.Verifier{bearergate.VerifierFunc(nil)}},
		{name: "each of two verifiers accepts one", bindings: []bearergate.Binding{dpop(), mtls()}, verifiers: []bearergate.Verifier{accepts("jkt"), accepts("x5t#S256")}},
		{name: "accepted and not confirmed", bindings: []bearergate.Binding{mtls()}, verifiers: []bearergate.Verifier{silent, accepts("jkt", "x5t#S256")}, mistakes: []string{`["jkt"]`, "nobody confirms"}},
		{name: "confirmed and not accepted", bindings: []bearergate.Binding{dpop(), mtls()}, verifiers: []bearergate.Verifier{accepts("jkt")}, mistakes: []string{`["x5t#S256"]`, "Confirmations"}},
		{name: "both at once", bindings: []bearergate.Binding{mtls()}, verifiers: []bearergate.Verifier{accepts("jkt")}, mistakes: []string{`["jkt"]`, `["x5t#S256"]`}},
		{name: "mistakes in the bindings themselves, all of them",
			bindings: []bearergate.Binding{nil, (*binding)(nil), &binding{scheme: "MAC", members: []string{"x"}}, &binding{scheme: bearergate.SchemeBearer},
				&binding{scheme: bearergate.SchemeBearer, members: []string{"jkt"}}, mtls(), mtls()},
			mistakes: []string{"binding 1: it is nil", "binding 2: a method of it panicked", `binding 3: its scheme is "MAC"`, "binding 4: it names no member", "binding 5: it is for jkt", `binding 7: the member "x5t#S256" has two`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := bearergate.CheckBindings(tc.bindings, tc.verifiers...)
			if tc.mistakes == nil {
				require.NoError(t, err)
				return
			}
			requireKind(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, mistake := range tc.mistakes {
				require.ErrorContains(t, err, mistake)
			}
		})
	}
}

func TestConfirmationsOf(t *testing.T) {
	require.Equal(t, []string{"jkt"}, bearergate.ConfirmationsOf(accepts("jkt")))
	require.Equal(t, []string{}, bearergate.ConfirmationsOf(accepts()))
	for name, v := range map[string]bearergate.Verifier{
		"nil": nil, "does not tell": boundBy(), "tells nil": accepting{Verifier: boundBy()}, "panics": accepting{panics: true},
		"a function": bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, nil }),
	} {
		require.Nil(t, bearergate.ConfirmationsOf(v), name)
	}
}
