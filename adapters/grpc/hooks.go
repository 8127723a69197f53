package grpcgate

import (
	"context"
	"net/netip"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Hooks tell metrics, traces and audit what happens. Each is optional, costs
// nothing when nil, is called from the goroutine of the call, which waits for it,
// and must be safe for concurrent use. Join several with [JoinHooks].
type Hooks struct {
	// Decided is called once for every decision, before the handler runs or the
	// refusal is sent, and once more for a stream that its token ended, after its
	// handler has returned. The context is that of the call; grpc.Method tells the
	// method that was called. Calls of [Config.Public] methods are not decided on.
	Decided func(context.Context, DecisionEvent)

	// Panicked is called when another hook panicked, while runtime/debug.Stack shows
	// where. The panic goes no further and changes no decision. A panic of Panicked
	// itself is dropped.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// DecisionEvent is one decision of a [Gate]. It never holds the token as sent.
// Reason and Method are from closed sets and fit for metric labels; what Token
// says (client, subject, ID, granted scopes) is for audit only.
type DecisionEvent struct {
	// Err is nil if the call may go on. Otherwise exactly one of the eight
	// sentinels is true of it. Its text is for operators.
	Err error
	// Reason is bearergate.ReasonOf(Err): "" if the call may go on. With
	// [bearergate.ReasonCanceled] there was no failure to count.
	Reason bearergate.Reason
	// Token is the token, verified and its binding proven, also when the call was
	// refused by [Config.RequireBinding], [Config.StepUp] or for its scope. It is nil
	// when there is none, and when the sender of a bound token did not prove to hold
	// its key: the token may be a stolen one, and says nothing about who sent it.
	Token *bearergate.Token
	// Required is what the method requires; see [scope.Requirement.Scopes].
	Required scope.Requirement
	// Method is the entry of [Config] that decided: the full name of a method,
	// "/package.Service/*" where that stands for it, or "_OTHER" if the method is
	// not listed. What a client makes up never shows here.
	Method string
	// Address is that of the sender, as [Config.ClientAddress] found it; the zero Addr if
	// it is unknown, or nobody was to find it. It is personal data, and no metric label.
	Address netip.Addr
	// Midstream says that a stream was open, and has been ended because its token
	// expired or was refused by [Config.Reverify].
	Midstream bool
	// Duration is how long the decision took, without the handler; if Midstream,
	// how long the stream was open.
	Duration time.Duration
}

// JoinHooks returns hooks that call those of every argument, in order. One that
// panics does not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Decided = bearergate.Hook("Decided", joined.Panicked, joined.Decided, h.Decided)
	}
	return joined
}

func (c call) event(err error, midstream bool) DecisionEvent {
	return DecisionEvent{Err: err, Reason: bearergate.ReasonOf(err), Token: c.token, Required: c.method.need,
		Method: c.method.name, Address: c.address, Midstream: midstream, Duration: time.Since(c.opened)}
}
