package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
)

func TestConfirm(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // as before Go 1.21: recover returns nil for panic(nil)
	custom := errors.New("certificate: s3cret")
	bound := reader
	bound.Confirmation = map[string][]byte{"x5t#S256": []byte(`"abc"`)}
	empty := reader
	empty.Confirmation = map[string][]byte{}

	// Not set: every bound token is refused, one with an empty cnf as well.
	for _, c := range []bearergate.Claims{bound, empty} {
		refused(t, newGate(t, accepts(c), middleware.Config{}), bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	}

	var typedNil *bearergate.Error
	type testCase struct {
		confirm func(*http.Request, *bearergate.Token) error
		kind    error
		reason  bearergate.Reason
		status  int
	}
	for name, tc := range map[string]testCase{
		"any error": {
			confirm: func(*http.Request, *bearergate.Token) error { return custom },
			kind:    bearergate.ErrInvalidToken,
			reason:  bearergate.ReasonBinding,
			status:  401,
		},
		"own sentinel": {
			confirm: func(*http.Request, *bearergate.Token) error { return fmt.Errorf("x: %w", bearergate.ErrUnavailable) },
			kind:    bearergate.ErrUnavailable,
			reason:  bearergate.ReasonInternal,
			status:  503,
		},
		"two sentinels": {
			confirm: func(*http.Request, *bearergate.Token) error { return errors.Join(sentinels[0], sentinels[3]) },
			kind:    bearergate.ErrInvalidToken,
			reason:  bearergate.ReasonBinding,
			status:  401,
		},
		"own Error": {
			confirm: func(*http.Request, *bearergate.Token) error {
				return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest}
			},
			kind:   bearergate.ErrInvalidRequest,
			reason: bearergate.ReasonBadRequest,
			status: 400,
		},
		"a timeout of its own": {
			confirm: func(*http.Request, *bearergate.Token) error { return fmt.Errorf("x: %w", context.DeadlineExceeded) },
			kind:    bearergate.ErrUnavailable,
			reason:  bearergate.ReasonCanceled,
			status:  503,
		},
		"a nil panic": {
			confirm: func(*http.Request, *bearergate.Token) error { panic(nil) },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a panic": {
			confirm: func(*http.Request, *bearergate.Token) error { panic(custom) },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a typed nil error": {
			confirm: func(*http.Request, *bearergate.Token) error { return typedNil },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(bound), middleware.Config{Confirm: tc.confirm, Hooks: events.hooks()})
			err := refused(t, gate, bearer("GET", good), scope.All("read"), tc.kind, tc.reason)
			require.Equal(t, "u1", events.only(t).Token.Subject(), "whose token it was is for audit")
			if name == "any error" {
				require.ErrorIs(t, err, custom)
			}
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, tc.status, w.Code)
			require.NotContains(t, w.Body.String(), "s3cret")
		})
	}

	var calls int
	gate := newGate(t, accepts(bound), middleware.Config{Confirm: func(r *http.Request, token *bearergate.Token) error {
		calls++
		got, ok := token.Confirmation().Value("x5t#S256")
		if !ok || got != r.Header.Get("Fingerprint") {
			return custom
		}
		return nil
	}})
	r := bearer("GET", good)
	r.Header.Set("Fingerprint", "abc")
	_, err := gate.Check(r, scope.All("read"))
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	r.Header.Set("Fingerprint", "other") // the same token from another sender
	refused(t, gate, r, scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)

	// An unbound token is not asked about.
	gate = newGate(t, accepts(reader), middleware.Config{Confirm: func(*http.Request, *bearergate.Token) error { calls = -1; return custom }})
	_, err = gate.Check(bearer("GET", good), scope.All("read"))
	require.NoError(t, err)
	require.Equal(t, 2, calls)
}

// In a roll-out, too, nobody is taken for the sender whom a token is bound to
// unless Confirm says so, whatever sentinel its error wraps.
func TestReportOnlyWithAnUnconfirmedBinding(t *testing.T) {
	bound := reader
	bound.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)}
	usage, err := usage.New(usage.Config{})
	require.NoError(t, err)
	for _, kind := range sentinels {
		gate := newGate(t, accepts(bound), middleware.Config{
			InsecureReportOnly: true, Hooks: usage.Hooks(),
			Confirm: func(*http.Request, *bearergate.Token) error { return fmt.Errorf("not the holder: %w", kind) },
		})
		ran := false
		gate.Require(scope.All("read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ran = true
			_, ok := bearergate.FromContext(r.Context())
			assert.False(t, ok, "%v", kind)
		})).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
		require.True(t, ran)
	}
	clients, _ := usage.Report()
	require.Empty(t, clients)
}
