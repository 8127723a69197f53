package grpcgate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/scope"
)

// What handlers may make of it.
func TestStatus(t *testing.T) {
	gate := newGate(t, answers(nil, nil), grpcgate.Config{Domain: "orders.example.com"})
	require.Nil(t, gate.Status(t.Context(), nil))
	require.NoError(t, gate.Status(t.Context(), nil).Err())

	err := gate.Status(t.Context(), reader(nil).Authorize(scope.All("refund", "read"))).Err()
	info := requireStatus(t, err, codes.PermissionDenied, "INSUFFICIENT_SCOPE")
	require.Equal(t, map[string]string{"scope": "refund read"}, info.GetMetadata())
	require.Equal(t, "orders.example.com", info.GetDomain())

	requireStatus(t, gate.Status(t.Context(), fmt.Errorf("s3cret: %w", bearergate.ErrInvalidToken)).Err(), codes.Unauthenticated, "INVALID_TOKEN")
	for _, foreign := range []error{errors.New("s3cret"), context.Canceled, (*bearergate.Error)(nil),
		errors.Join(bearergate.ErrInvalidToken, bearergate.ErrUnavailable)} {
		requireStatus(t, gate.Status(t.Context(), foreign).Err(), codes.Internal, "MISCONFIGURED")
	}
	requireStatus(t, gate.Status(t.Context(), bearergate.ErrForbidden).Err(), codes.PermissionDenied, "FORBIDDEN")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), -1)
	cancel()
	canceled := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled}
	requireStatus(t, gate.Status(ended, canceled).Err(), codes.Canceled, "CANCELED")
	requireStatus(t, gate.Status(t.Context(), canceled).Err(), codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
	requireStatus(t, gate.Status(late, canceled).Err(), codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
	requireStatus(t, gate.Status(nil, canceled).Err(), codes.Unavailable, "TEMPORARILY_UNAVAILABLE") //nolint:staticcheck // a caller's mistake
	outage := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}
	requireStatus(t, gate.Status(ended, outage).Err(), codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
}

// For those who call the parts themselves: every sentinel, and what is none.
func TestError(t *testing.T) {
	require.NoError(t, grpcgate.Error(t.Context(), nil))
	for kind, want := range map[error]struct {
		code codes.Code
		wire string
	}{
		bearergate.ErrMissingToken:               {codes.Unauthenticated, "MISSING_TOKEN"},
		bearergate.ErrInvalidRequest:             {codes.InvalidArgument, "INVALID_REQUEST"},
		bearergate.ErrInvalidToken:               {codes.Unauthenticated, "INVALID_TOKEN"},
		bearergate.ErrInsufficientScope:          {codes.PermissionDenied, "INSUFFICIENT_SCOPE"},
		bearergate.ErrInsufficientAuthentication: {codes.Unauthenticated, "INSUFFICIENT_USER_AUTHENTICATION"},
		bearergate.ErrForbidden:                  {codes.PermissionDenied, "FORBIDDEN"},
		bearergate.ErrUnavailable:                {codes.Unavailable, "TEMPORARILY_UNAVAILABLE"},
		bearergate.ErrMisconfigured:              {codes.Internal, "MISCONFIGURED"},
		errors.New("foreign"):                    {codes.Internal, "MISCONFIGURED"},
		context.Canceled:                         {codes.Internal, "MISCONFIGURED"},
		status.Error(codes.NotFound, "s3cret"):   {codes.Internal, "MISCONFIGURED"},
	} {
		for _, err := range []error{kind, fmt.Errorf("s3cret: %w", kind), &bearergate.Error{Kind: kind, Cause: errors.New("s3cret")}} {
			got := grpcgate.Error(t.Context(), err)
			info := requireStatus(t, got, want.code, want.wire)
			require.Equal(t, grpcgate.DefaultDomain, info.GetDomain())
			wire, err := proto.Marshal(status.Convert(got).Proto())
			require.NoError(t, err)
			require.NotContains(t, string(wire), "s3cret")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	requireStatus(t, grpcgate.Error(ended, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled}), codes.Canceled, "CANCELED")
}

func TestRetryDelay(t *testing.T) {
	gate := newGate(t, answers(nil, nil), grpcgate.Config{})
	for _, asked := range []time.Duration{-1 << 63, 0, 1, 20 * time.Second, time.Hour, 1<<63 - 1} {
		different := map[time.Duration]bool{}
		for range 100 {
			st := gate.Status(t.Context(), &bearergate.Error{Kind: bearergate.ErrUnavailable, RetryAfter: asked})
			delay := st.Details()[1].(*errdetails.RetryInfo).GetRetryDelay().AsDuration()
			require.GreaterOrEqual(t, delay, time.Second, asked)
			require.LessOrEqual(t, delay, time.Minute, asked)
			different[delay] = true
		}
		require.Greater(t, len(different), 10, "no jitter")
	}
}
