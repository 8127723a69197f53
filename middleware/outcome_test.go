package middleware_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// What a Binding, a policy and an Extract may do is judged as a Check is: the
// same table as in jwtverify and introspect. Only what a mere no means differs.
func TestOutcomesOfUsersFunctions(t *testing.T) {
	bound := reader
	bound.Confirmation = map[string][]byte{"x5t#S256": []byte(`"k"`)}
	for _, function := range []struct {
		name    string
		refused kit.Verdict
		within  bool // its time is limited
		gate    func(t *testing.T, do func(context.Context) error) (*middleware.Gate, []middleware.RouteOption)
	}{
		{
			name:    "Binding",
			refused: kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding},
			gate: func(t *testing.T, do func(context.Context) error) (*middleware.Gate, []middleware.RouteOption) {
				b := certificate(func(ctx context.Context, _ bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
					return nil, do(ctx)
				})
				return newGate(t, accepts(bound), middleware.Config{Bindings: []bearergate.Binding{b}}), nil
			},
		},
		{
			name:    "Allow",
			refused: kit.Verdict{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy},
			within:  true,
			gate: func(t *testing.T, do func(context.Context) error) (*middleware.Gate, []middleware.RouteOption) {
				policy := func(r *http.Request, _ *bearergate.Token) error { return do(r.Context()) }
				return newGate(t, accepts(reader), middleware.Config{}), []middleware.RouteOption{middleware.Allow(policy)}
			},
		},
		{
			name:    "Once",
			refused: kit.Verdict{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable},
			within:  true,
			gate: func(t *testing.T, do func(context.Context) error) (*middleware.Gate, []middleware.RouteOption) {
				store := useFunc(func(ctx context.Context, _ string, _ time.Time) (bool, error) { return true, do(ctx) })
				return newGate(t, accepts(invitation), middleware.Config{}), []middleware.RouteOption{middleware.Once(store)}
			},
		},
		{
			name:    "Extract",
			refused: kit.Verdict{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal},
			gate: func(t *testing.T, do func(context.Context) error) (*middleware.Gate, []middleware.RouteOption) {
				extract := func(r *http.Request) (bearergate.Credentials, error) {
					return bearergate.Credentials{Raw: bearergate.NewSecret(good)}, do(r.Context())
				}
				return newGate(t, accepts(reader), middleware.Config{Extract: extract}), nil
			},
		},
	} {
		outcomes := kit.Outcomes(function.refused)
		if function.within {
			outcomes = kit.OutcomesWithin(function.refused)
		}
		for _, o := range outcomes {
			t.Run(function.name, func(t *testing.T) {
				kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
					gate, opts := function.gate(t, func(ctx context.Context) error { end(); return o.Do(ctx) })
					token, _, err := gate.Check(bearer("GET", good).WithContext(ctx), scope.All("read"), opts...)
					if want.Kind == nil {
						require.NoError(t, err)
						return
					}
					kit.RequireRefused(t, token, err, want.Kind, want.Reason)
				})
			})
		}
	}
}

// A binding by which nobody could enter is refused at start.
func TestABindingForJKTUnderBearerIsAMistake(t *testing.T) {
	b := &binding{scheme: bearergate.SchemeBearer, members: []string{"jkt"}, confirm: proven}
	_, err := middleware.New(accepts(reader), middleware.Config{Bindings: []bearergate.Binding{b}})
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}
