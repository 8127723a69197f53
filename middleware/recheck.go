package middleware

import (
	"context"
	"net/http"
	"time"

	"github.com/bearergate/bearergate"
)

// Recheck has the token decided on anew while the request is served, so that a long
// one (server-sent events, WebSocket, a long poll) ends when its token is revoked:
// every so often, less up to a tenth, at random, by the rule of
// [bearergate.Recheck]. The route's verifier, that of [Via] included, verifies the
// credentials of the request again ([bearergate.Reauthenticate]), and then the token
// has to satisfy [Bound], [StepUp], [AuthContext], the scopes, [Roles] and [Audience] of
// the route, and with [Tenant] to be of the same tenant as before. One that was revoked, lost a
// scope, or says another issuer, subject, client or binding ends the
// request. An outage does if it is met twice in a row, so a revocation takes at most
// two intervals, three waits of up to 15 s, and what a cache of the verifier adds: one
// that asks nobody, as a jwtverify.Verifier without Check, never learns of a revocation.
//
// To end means that the context of the handler ends, and context.Cause of it is the
// refusal; [DecisionEvent.Midstream] is told when the handler has returned. The
// handler has to watch its context: one that does not goes on. It keeps the token
// that opened the request. The policies of [Allow] are not asked again, and no
// [bearergate.Binding] is: the proof with which the request was opened stays good.
// A stranger on an [Gate.Optional] route has no token to decide on. A token without
// exp is decided on like others; one that expires is refused by its verifier, leeway
// included: give [CancelOnExpiry] as well to end at exp to the letter.
//
// Each such request has one goroutine more. When the handler returns or panics, its
// context ends, and with it the goroutine and what it asks: only a verifier that does
// not honour its context stays longer, in one goroutine. 5 s after the bound of a
// decision, it ends the request with [bearergate.ErrMisconfigured]. A connection that
// was hijacked is not watched after that. [Gate.Check] has no handler to end, and with
// [Config.InsecureReportOnly] a refusal is reported and ends nothing.
//
// The default is never. An interval shorter than [bearergate.MinRecheck], and a second
// Recheck, are mistakes, and close the route.
func Recheck(every time.Duration) RouteOption { return recheck{every} }

type recheck struct{ every time.Duration }

func (recheck) routeOption() {}

// watch returns the context for a handler that its token may end, and what has to be
// called when the handler has returned or panicked.
func (g *Gate) watch(ctx context.Context, r *http.Request, rt *route, d *decision) (context.Context, func()) {
	expires := rt.cancel && !d.token.ExpiresAt().IsZero()
	if d.token == nil || d.err != nil || !expires && rt.recheck == 0 { // d.err: reported already
		return ctx, func() {}
	}
	opened := *d // a copy, so that requests without all this do not pay for it
	start, watched, expired := time.Now(), ctx, func() {}
	if expires {
		watched, expired = context.WithDeadlineCause(ctx, d.token.ExpiresAt(), errExpired)
	}
	watched, end := context.WithCancelCause(watched)
	if rt.recheck != 0 {
		go func() {
			end(bearergate.Recheck(watched, rt.recheck, func(ctx context.Context) error {
				token, err := bearergate.Reauthenticate(ctx, rt.verifier, opened.sent, opened.token)
				if err != nil {
					return err
				}
				// Not Tenant's function, for the handler may be changing the request by now:
				// Reauthenticate has compared the tenant.
				return rt.demands(token, opened.need)
			})) // nothing happens if watched has ended meanwhile, as it has where there is no error
		}()
	}
	done := func() {
		g.ended(r, opened, start, context.Cause(watched), context.Cause(ctx))
		end(nil)
		expired()
	}
	if g.config.InsecureReportOnly {
		return ctx, done
	}
	return watched, done
}

// ended tells the hook that the token ended the request, if it did: cause is why it
// ended, outer why it had ended without this gate.
func (g *Gate) ended(r *http.Request, d decision, start time.Time, cause, outer error) {
	if g.config.Hooks.Decided == nil || bearergate.ReasonOf(cause) == "" || bearergate.ReasonOf(outer) != "" {
		return
	}
	d.err, d.reportOnly = cause, g.config.InsecureReportOnly
	e := d.event(r, time.Since(start))
	e.Midstream = true
	g.config.Hooks.Decided(r.Context(), e)
}
