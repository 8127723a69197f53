package grpcgate

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// answer is one of the fixed answers: its words are all that a client is told.
type answer struct {
	code  codes.Code
	words string
}

// answers are all of them, by the Reason of their ErrorInfo: what
// [bearergate.Error.Code] says, and two that only a call can have.
var answers = map[string]answer{
	unlistedMethod:             {codes.Unimplemented, "This method is not available."},
	"MISSING_TOKEN":            {codes.Unauthenticated, "A bearer token is required."},
	"INVALID_REQUEST":          {codes.InvalidArgument, "The call must carry exactly one well-formed bearer token."},
	"INVALID_TOKEN":            {codes.Unauthenticated, "The access token is not valid here."},
	"TOKEN_EXPIRED":            {codes.Unauthenticated, "The access token has expired."},
	"TOKEN_INACTIVE":           {codes.Unauthenticated, "The access token is no longer active."},
	"INVALID_DPOP_PROOF":       {codes.Unauthenticated, "The DPoP proof is not valid here."},
	"USE_DPOP_NONCE":           {codes.Unauthenticated, "The DPoP proof must have a nonce of this server."},
	insufficientScope:          {codes.PermissionDenied, "The access token does not have the required scope."},
	insufficientAuthentication: {codes.Unauthenticated, "A stronger or more recent authentication of the user is required."},
	insufficientClaims:         {codes.Unauthenticated, "The user has to satisfy the authentication context that claims asks for."},
	"FORBIDDEN":                {codes.PermissionDenied, "The access token does not allow this call."},
	unavailable:                {codes.Unavailable, "The access token cannot be checked at the moment. Try again later."},
	"MISCONFIGURED":            {codes.Internal, "The access token cannot be checked because of an error in this server."},
	canceled:                   {codes.Canceled, "The call was canceled."},
}

const (
	unlistedMethod             = "METHOD_NOT_LISTED"
	insufficientScope          = "INSUFFICIENT_SCOPE"
	insufficientAuthentication = "INSUFFICIENT_USER_AUTHENTICATION"
	insufficientClaims         = "INSUFFICIENT_CLAIMS"
	unavailable                = "TEMPORARILY_UNAVAILABLE"
	canceled                   = "CANCELED"
)

func reasonFor(ctx context.Context, e *bearergate.Error, proof bool) string {
	switch {
	case e == errUnlisted:
		return unlistedMethod
	case e.Kind == bearergate.ErrUnavailable && e.Reason == bearergate.ReasonCanceled && ctx != nil && errors.Is(ctx.Err(), context.Canceled):
		return canceled
	}
	return e.Code(proof)
}

// Error returns the answer to an error in the terms of package bearergate, as the
// package comment has it, with [DefaultDomain]: for an interceptor of your own that
// calls [bearergate.ParseCredentials], [bearergate.Authenticate] and
// [bearergate.Token.Authorize] itself. Such an error must not be returned to gRPC as
// it is, for its text is for operators, and gRPC would send it to the client with
// the code UNKNOWN.
//
// An error that is not exactly one of the eight sentinels is answered as
// [bearergate.ErrMisconfigured], and nil with nil. ctx is that of the call: it
// tells a caller that went away from an outage. The [bearergate.Reply] of
// Authenticate is for you to send, with grpc.SetTrailer beside an error and with
// grpc.SetHeader otherwise. With a gate, use [Gate.Status].
func Error(ctx context.Context, err error) error {
	return (*Gate)(nil).Status(ctx, err).Err()
}

// Status returns the answer to an error in the terms of package bearergate, as
// the package comment has it, for handlers that refuse by themselves:
//
//	if err := token.Authorize(scope.All("orders:refund")); err != nil {
//		return nil, gate.Status(ctx, err).Err()
//	}
//
// An error that is not exactly one of the eight sentinels is answered as
// [bearergate.ErrMisconfigured], and nil with nil. ctx is that of the call: it
// tells a caller that went away from an outage.
func (g *Gate) Status(ctx context.Context, err error) *status.Status { return g.status(ctx, err, true) }

// refusal is the answer to a call that the gate refused.
func (g *Gate) refusal(ctx context.Context, c *call) error {
	return g.status(ctx, c.err, c.credentials.Scheme == bearergate.SchemeDPoP && c.token == nil).Err()
}

func (g *Gate) status(ctx context.Context, err error, proof bool) *status.Status {
	if err == nil {
		return nil
	}
	e := bearergate.AsError(err)
	reason := reasonFor(ctx, e, proof)
	a := answers[reason]
	info := &errdetails.ErrorInfo{Reason: reason, Domain: DefaultDomain, Metadata: map[string]string{}}
	if g != nil && g.config.Domain != "" {
		info.Domain = g.config.Domain
	}
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(info)}
	put := func(name, value string) {
		if value != "" {
			info.Metadata[name] = value
		}
	}
	switch reason {
	case insufficientScope:
		put("scope", listed(e.Scopes))
	case insufficientAuthentication, insufficientClaims:
		if reason == insufficientClaims {
			put("claims", e.ClaimsChallenge)
		}
		put("acr_values", listed(e.ACRValues))
		if e.MaxAge > 0 {
			put("max_age", strconv.FormatInt(int64(e.MaxAge/time.Second), 10))
		}
		put("scope", listed(e.Scopes))
	case unavailable:
		details = append(details, protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryDelay())}))
	}
	bare := status.New(a.code, a.words)
	if st, err := bare.WithDetails(details...); err == nil {
		return st
	}
	return bare
}

// listed joins values with spaces, the order kept, each once. What is no scope token
// (RFC 6749 §3.3) is left out: it does not belong into a list, and what is not UTF-8
// would cost the status its details.
func listed(values []string) string { return scope.Of(values...).String() }
