package grpcgate

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bearergate/bearergate"
)

// answer is one of the fixed answers: its words are all that a client is told.
type answer struct {
	code  codes.Code
	words string
}

// answers are all of them, by the Reason of their ErrorInfo: what
// [bearergate.Error.Code] says, and two that only a call can have.
var answers = map[string]answer{
	unlistedMethod:                     {codes.Unimplemented, "This method is not available."},
	"MISSING_TOKEN":                    {codes.Unauthenticated, "A bearer token is required."},
	"INVALID_REQUEST":                  {codes.InvalidArgument, "The call must carry exactly one well-formed bearer token."},
	"INVALID_TOKEN":                    {codes.Unauthenticated, "The access token is not valid here."},
	"TOKEN_EXPIRED":                    {codes.Unauthenticated, "The access token has expired."},
	"TOKEN_INACTIVE":                   {codes.Unauthenticated, "The access token is no longer active."},
	"INVALID_DPOP_PROOF":               {codes.Unauthenticated, "The DPoP proof is not valid here."},
	"USE_DPOP_NONCE":                   {codes.Unauthenticated, "The DPoP proof must have a nonce of this server."},
	"INSUFFICIENT_SCOPE":               {codes.PermissionDenied, "The access token does not have the required scope."},
	"INSUFFICIENT_USER_AUTHENTICATION": {codes.Unauthenticated, "A stronger or more recent authentication of the user is required."},
	"INSUFFICIENT_CLAIMS":              {codes.Unauthenticated, "The user has to satisfy the authentication context that claims asks for."},
	"FORBIDDEN":                        {codes.PermissionDenied, "The access token does not allow this call."},
	unavailable:                        {codes.Unavailable, "The access token cannot be checked at the moment. Try again later."},
	"MISCONFIGURED":                    {codes.Internal, "The access token cannot be checked because of an error in this server."},
	canceled:                           {codes.Canceled, "The call was canceled."},
}

const (
	unlistedMethod = "METHOD_NOT_LISTED"
	unavailable    = "TEMPORARILY_UNAVAILABLE"
	canceled       = "CANCELED"
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
// grpc.SetHeader otherwise; so are the challenges, as www-authenticate in the trailers, which
// [bearergate.Answers.To] makes. With a gate, use [Gate.Refuse] or [Gate.Status].
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

// Refuse returns what [Gate.Status] does, as an error, and has gRPC send the metadata of a
// refusal with the trailers of the call: www-authenticate with the challenges, and
// retry-after in seconds for an outage. It is for the handlers of methods whose clients are
// behind grpc-gateway or gRPC-Web, and to be called once, with the context of the call:
//
//	if err := token.Authorize(scope.All("orders:refund")); err != nil {
//		return nil, gate.Refuse(ctx, err)
//	}
func (g *Gate) Refuse(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var c call
	c.err = err
	if ctx != nil {
		name, _ := grpc.Method(ctx)
		c.credentials, _ = g.extract(ctx, name) // the gate has read them before
		c.token, _ = bearergate.FromContext(ctx)
	}
	return g.refusal(ctx, &c)
}

// refusal is the answer to a call that the gate refused. Its metadata goes with the
// trailers: a call that is refused before its headers are sent has no others, which is what a
// client needs to try again after an outage, and whoever looks at the status looks there.
func (g *Gate) refusal(ctx context.Context, c *call) error {
	at := g.attempt(ctx, c)
	var say *bearergate.Answers // nil of a gate that was not made with New: no challenge
	if g != nil {
		say = g.say
	}
	told := say.To(c.err, at)
	st := g.statusOf(ctx, c.err, at.Scheme == bearergate.SchemeDPoP && !at.Authenticated, told.RetryAfter)
	md := metadata.MD{}
	if len(told.Challenges) > 0 {
		md["www-authenticate"] = told.Challenges
	}
	if st.Code() == codes.Unavailable {
		md["retry-after"] = []string{strconv.Itoa(int(told.RetryAfter / time.Second))}
	}
	if ctx == nil || len(md) == 0 {
		return st.Err()
	}
	send := grpc.SetTrailer
	if ctx.Value(http.ServerContextKey) != nil {
		// By grpc.Server.ServeHTTP. net/http does not send www-authenticate in a trailer, and
		// logs that it was asked to. There, a refusal has headers anyway.
		send = grpc.SetHeader
	}
	_ = send(ctx, md) // fails where there is no call of gRPC to answer, and where its headers have gone
	return st.Err()
}

// attempt is what the challenges of a refusal depend on.
func (g *Gate) attempt(ctx context.Context, c *call) bearergate.Attempt {
	at := bearergate.Attempt{Scheme: c.credentials.Scheme, Authenticated: c.token != nil}
	if ctx != nil {
		at.Authorization = metadata.ValueFromIncomingContext(ctx, "authorization")
	}
	if c.method != nil {
		at.Required = c.method.need
	}
	at.Advertise = g != nil && g.config.AdvertiseScopes
	return at
}

func (g *Gate) status(ctx context.Context, err error, proof bool) *status.Status {
	if err == nil {
		return nil
	}
	return g.statusOf(ctx, err, proof, bearergate.AsError(err).RetryDelay())
}

// statusOf is the status for an error, with the delay that an outage names.
func (g *Gate) statusOf(ctx context.Context, err error, proof bool, delay time.Duration) *status.Status {
	e := bearergate.AsError(err)
	reason := reasonFor(ctx, e, proof)
	a := answers[reason]
	info := &errdetails.ErrorInfo{Reason: reason, Domain: DefaultDomain, Metadata: e.Facts()}
	if g != nil && g.config.Domain != "" {
		info.Domain = g.config.Domain
	}
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(info)}
	if reason == unavailable {
		details = append(details, protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}))
	}
	bare := status.New(a.code, a.words)
	if st, err := bare.WithDetails(details...); err == nil {
		return st
	}
	return bare
}
