package connectgate

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
)

// codes of connect for the statuses of a refusal.
var codes = map[int]connect.Code{
	http.StatusBadRequest:          connect.CodeInvalidArgument,
	http.StatusUnauthorized:        connect.CodeUnauthenticated,
	http.StatusForbidden:           connect.CodePermissionDenied,
	http.StatusInternalServerError: connect.CodeInternal,
	http.StatusServiceUnavailable:  connect.CodeUnavailable,
}

const (
	unlistedProcedure = "METHOD_NOT_LISTED"
	unlistedWords     = "This procedure is not available."
)

// refuse writes what the middleware answered, for a call that the service does not see.
func (g *Gate) refuse(c *call) {
	header := c.writer.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Www-Authenticate", "Etag", "Last-Modified", "Expires",
		"Cdn-Cache-Control", "Surrogate-Control"} { // which caches obey before Cache-Control
		header.Del(name) // what an outer handler had in mind
	}
	header.Set("Cache-Control", "no-store")
	if !g.writer.IsSupported(c.request) {
		if c.render == nil { // no route; the redirect to a clean path, which http.ServeMux has, is none either
			http.Error(c.writer, http.StatusText(http.StatusNotFound), http.StatusNotFound)
			return
		}
		maps.Copy(header, c.answer.header)
		c.writer.WriteHeader(c.answer.status)
		_, _ = c.writer.Write(c.answer.body)
		return
	}
	var refused *connect.Error
	if c.render == nil { // no route
		refused = g.newError(connect.CodeUnimplemented, unlistedWords, unlistedProcedure, nil, 0)
	} else {
		delay, _ := strconv.Atoi(c.answer.header.Get("Retry-After"))
		refused = g.newError(codes[c.render.Status], c.render.Detail, c.render.Name, c.render.Err.Facts(), time.Duration(delay)*time.Second)
		for name, values := range c.answer.header {
			switch name {
			case "Content-Type", "Cache-Control", "Location", "X-Content-Type-Options":
			default:
				refused.Meta()[name] = values
			}
		}
	}
	w, r := c.writer, c.request
	if isGRPC(r) {
		// connect-go declares trailers, and net/http does not send WWW-Authenticate in one, but
		// logs that it was asked to. As gRPC-Web has it, everything is in the header, which is then
		// the one that gRPC calls Trailers-Only: what its clients look for before they retry.
		w = &trailersOnly{w, r.Header.Get("Content-Type")}
		r = r.Clone(r.Context())
		r.Header.Set("Content-Type", "application/grpc-web+proto")
	}
	_ = g.writer.Write(w, r, refused) // the caller has gone if it fails
}

// isGRPC reports whether a call is of gRPC, and not of gRPC-Web.
func isGRPC(r *http.Request) bool {
	kind := strings.ToLower(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost &&
		(kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") || strings.HasPrefix(kind, "application/grpc;"))
}

// trailersOnly answers a call of gRPC with a header alone.
type trailersOnly struct {
	http.ResponseWriter
	contentType string
}

func (w *trailersOnly) WriteHeader(status int) {
	w.Header().Set("Content-Type", w.contentType)
	w.ResponseWriter.WriteHeader(status)
}

// sendable moves what net/http does not send in a trailer, and what belongs to it, into the
// header, for a refusal of the service. A stream that has sent its header already has only the status to tell it.
//
// The error may be one that all calls of the service share, so a copy is changed. One that came
// from another server (connect.IsWireError) is left alone: connect-go does not pass on its metadata.
func (c *call) sendable(err error) error {
	var refused *connect.Error
	if !isGRPC(c.request) || !errors.As(err, &refused) || connect.IsWireError(err) {
		return err
	}
	shared := *refused // Meta writes into the error if it has none
	meta := shared.Meta()
	if len(meta["Www-Authenticate"]) == 0 && len(meta["Retry-After"]) == 0 {
		return err
	}
	moved := connect.NewError(refused.Code(), refused.Unwrap())
	for _, detail := range refused.Details() {
		moved.AddDetail(detail)
	}
	for name, values := range meta {
		switch name {
		case "Www-Authenticate", "Retry-After":
			c.writer.Header()[name] = slices.Clone(values)
		default:
			moved.Meta()[name] = values
		}
	}
	return moved
}

// newError is an error of connect with the details that a client can tell it by.
func (g *Gate) newError(code connect.Code, words, reason string, facts map[string]string, retry time.Duration) *connect.Error {
	if code == 0 {
		code = connect.CodeInternal
	}
	refused := connect.NewError(code, errors.New(words))
	domain := DefaultDomain
	if g != nil && g.config.Domain != "" {
		domain = g.config.Domain
	}
	if detail, err := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: reason, Domain: domain, Metadata: facts}); err == nil {
		refused.AddDetail(detail)
	}
	if retry > 0 {
		if detail, err := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)}); err == nil {
			refused.AddDetail(detail)
		}
	}
	return refused
}

// Refuse returns the answer to an error in the terms of package bearergate, as the package
// comment has it, with its challenge, a *connect.Error, for a service that wants to add to it.
// One that does not may as well return err as it is: the interceptor does this.
//
// An error that is not exactly one of the eight sentinels is answered as
// [bearergate.ErrMisconfigured], and nil with nil. ctx is that of the call.
func (g *Gate) Refuse(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var c *call
	if g != nil && ctx != nil {
		c, _ = ctx.Value(callKey{g}).(*call)
	}
	e := bearergate.AsError(err)
	if e.Reason == bearergate.ReasonCanceled && ctx != nil && errors.Is(ctx.Err(), context.Canceled) {
		return g.newError(connect.CodeCanceled, "The call was canceled.", "CANCELED", nil, 0)
	}
	at := bearergate.Attempt{Scheme: bearergate.SchemeBearer}
	if c != nil {
		at.Authorization = c.request.Header["Authorization"]
		if sent, err := bearergate.ParseCredentials(at.Authorization, bearergate.SchemeBearer, bearergate.SchemeDPoP); err == nil {
			at.Scheme = sent.Scheme
		}
		_, at.Authenticated = bearergate.FromContext(ctx)
	}
	if errors.Is(e, bearergate.ErrMissingToken) {
		at.Scheme = ""
	}
	var gate *middleware.Gate // nil: fixed words without a challenge
	if g != nil {
		gate = g.gate
	}
	told := gate.Answers().To(e, at)
	refused := g.newError(codes[told.Status], told.Words, told.Code, e.Facts(), told.RetryAfter)
	if len(told.Challenges) > 0 {
		refused.Meta()["Www-Authenticate"] = told.Challenges
	}
	if told.RetryAfter > 0 {
		refused.Meta().Set("Retry-After", strconv.Itoa(int(told.RetryAfter/time.Second)))
	}
	return refused
}
