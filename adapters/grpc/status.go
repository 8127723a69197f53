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
	code   codes.Code
	reason string // of the ErrorInfo
	words  string
}

// The answers, all of them.
var (
	answerUnlisted                   = &answer{codes.Unimplemented, "METHOD_NOT_LISTED", "This method is not available."}
	answerMissingToken               = &answer{codes.Unauthenticated, "MISSING_TOKEN", "A bearer token is required."}
	answerInvalidRequest             = &answer{codes.InvalidArgument, "INVALID_REQUEST", "The call must carry exactly one well-formed bearer token."}
	answerInvalidToken               = &answer{codes.Unauthenticated, "INVALID_TOKEN", "The access token is not valid here."}
	answerExpired                    = &answer{codes.Unauthenticated, "TOKEN_EXPIRED", "The access token has expired."}
	answerInactive                   = &answer{codes.Unauthenticated, "TOKEN_INACTIVE", "The access token is no longer active."}
	answerProof                      = &answer{codes.Unauthenticated, "INVALID_DPOP_PROOF", "The DPoP proof is not valid here."}
	answerNonce                      = &answer{codes.Unauthenticated, "USE_DPOP_NONCE", "The DPoP proof must have a nonce of this server."}
	answerInsufficientScope          = &answer{codes.PermissionDenied, "INSUFFICIENT_SCOPE", "The access token does not have the required scope."}
	answerInsufficientAuthentication = &answer{codes.Unauthenticated, "INSUFFICIENT_USER_AUTHENTICATION", "A stronger or more recent authentication of the user is required."}
	answerForbidden                  = &answer{codes.PermissionDenied, "FORBIDDEN", "The access token does not allow this call."}
	answerUnavailable                = &answer{codes.Unavailable, "TEMPORARILY_UNAVAILABLE", "The access token cannot be checked at the moment. Try again later."}
	answerMisconfigured              = &answer{codes.Internal, "MISCONFIGURED", "The access token cannot be checked because of an error in this server."}
	answerCanceled                   = &answer{codes.Canceled, "CANCELED", "The call was canceled."}
)

func answerFor(ctx context.Context, e *bearergate.Error) *answer {
	switch e.Kind {
	case bearergate.ErrMissingToken:
		return answerMissingToken
	case bearergate.ErrInvalidRequest:
		return answerInvalidRequest
	case bearergate.ErrInvalidToken:
		switch e.Reason {
		case bearergate.ReasonExpired:
			return answerExpired
		case bearergate.ReasonInactive, bearergate.ReasonRevoked:
			return answerInactive
		case bearergate.ReasonProof, bearergate.ReasonReplay:
			return answerProof
		case bearergate.ReasonNonce:
			return answerNonce
		}
		return answerInvalidToken // why is for operators: telling it would help to forge the next one
	case bearergate.ErrInsufficientScope:
		return answerInsufficientScope
	case bearergate.ErrInsufficientAuthentication:
		return answerInsufficientAuthentication
	case bearergate.ErrForbidden:
		return answerForbidden
	case bearergate.ErrUnavailable:
		if e.Reason == bearergate.ReasonCanceled && ctx != nil && errors.Is(ctx.Err(), context.Canceled) {
			return answerCanceled
		}
		return answerUnavailable
	}
	if e == errUnlisted {
		return answerUnlisted
	}
	return answerMisconfigured
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
func (g *Gate) Status(ctx context.Context, err error) *status.Status {
	if err == nil {
		return nil
	}
	e := bearergate.AsError(err)
	a := answerFor(ctx, e)
	info := &errdetails.ErrorInfo{Reason: a.reason, Domain: DefaultDomain, Metadata: map[string]string{}}
	if g != nil && g.config.Domain != "" {
		info.Domain = g.config.Domain
	}
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(info)}
	put := func(name, value string) {
		if value != "" {
			info.Metadata[name] = value
		}
	}
	switch a {
	case answerInsufficientScope:
		put("scope", listed(e.Scopes))
	case answerInsufficientAuthentication:
		put("acr_values", listed(e.ACRValues))
		if e.MaxAge > 0 {
			put("max_age", strconv.FormatInt(int64(e.MaxAge/time.Second), 10))
		}
		put("scope", listed(e.Scopes))
	case answerUnavailable:
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
