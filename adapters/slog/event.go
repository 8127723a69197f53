package sloggate

import (
	"log/slog"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/revocation/signals"
)

// Event is what a record is about, and its message: a closed set.
type Event string

// The events. After each stands its detail, which chooses the level.
const (
	EventDecision            Event = "access decision"                // the [bearergate.Reason], "" if accepted
	EventVerification        Event = "JWT verification"               // the same
	EventIntrospection       Event = "token introspection"            // the same
	EventProof               Event = "DPoP proof"                     // the same
	EventCall                Event = "introspection call"             // the [introspect.Outcome]
	EventBreaker             Event = "introspection breaker"          // the [introspect.BreakerState] that it is in now
	EventPurge               Event = "introspection purged"           // "", or "untold" if the other processes do not know
	EventPurgeLog            Event = "introspection purge log"        // "ok" or "failed"
	EventStore               Event = "introspection store failed"     // "get" or "set"
	EventFetch               Event = "key fetch"                      // the [jwks.Outcome]
	EventKeys                Event = "keys changed"                   // ""
	EventState               Event = "key cache state"                // the [jwks.State] that it is in now
	EventStale               Event = "stale keys served"              // ""
	EventMiss                Event = "unknown key"                    // ""
	EventSkipped             Event = "key skipped"                    // ""
	EventKeyEarly            Event = "key used early"                 // ""
	EventKeyRemoved          Event = "token of a removed key refused" // ""
	EventQueryToken          Event = "access token in query"          // the outcome of the decision; anonymous if it was let in without a token
	EventRevoked             Event = "revoked token refused"          // the source of the entry
	EventRevocation          Event = "revocation"                     // "added" or "lifted"
	EventRevocationElsewhere Event = "revocation of another process"  // the same
	EventRevocationLog       Event = "revocation log"                 // "ok" or "failed"
	EventPutBack             Event = "revocations put back"           // ""
	EventRefetch             Event = "keys fetched for a revocation"  // "ok" or "failed"
	EventLogout              Event = "back-channel logout"            // the [backchannel.Outcome]
	EventSignal              Event = "security event"                 // the [signals.Outcome]
	EventDiscarded           Event = "security event discarded"       // the [signals.Why]
	EventStream              Event = "security event stream"          // "enabled", "paused", "disabled" or "other"
	EventUnmapped            Event = "unmapped claim path"            // ""
	EventPanic               Event = "panic recovered"                // the package
	EventSuspected           Event = "token in many networks"         // ""
	EventForgot              Event = "sightings forgotten"            // ""
)

// DefaultLevel is Error for an outage and for what only the operator can mend,
// Warn for a refusal and for what may become an outage, Debug for what is told
// elsewhere too or goes on all day, and else Info. A request without any token, a
// caller that went away and a client that needs a new nonce are everyday life.
func DefaultLevel(e Event, detail string) slog.Level {
	switch e {
	case EventDecision:
		return levelOf(bearergate.Reason(detail), slog.LevelInfo)
	case EventProof:
		return levelOf(bearergate.Reason(detail), slog.LevelDebug)
	case EventVerification, EventIntrospection, EventRevoked, EventRevocationElsewhere:
		return slog.LevelDebug
	case EventRevocationLog, EventPurgeLog:
		if detail == "ok" {
			return slog.LevelDebug
		}
		return slog.LevelWarn
	case EventRefetch, EventPurge:
		if detail == "failed" || detail == "untold" {
			return slog.LevelWarn
		}
	case EventCall:
		switch introspect.Outcome(detail) {
		case introspect.OutcomeActive, introspect.OutcomeInactive:
			return slog.LevelDebug
		case introspect.OutcomeUnauthorized, introspect.OutcomeCredentials: // nothing will work until we are let in
			return slog.LevelError
		}
		return slog.LevelWarn
	case EventBreaker:
		if introspect.BreakerState(detail) == introspect.BreakerOpen {
			return slog.LevelError
		}
	case EventFetch:
		switch jwks.Outcome(detail) {
		case jwks.OutcomeOK, jwks.OutcomeNotModified:
			return slog.LevelDebug
		}
		return slog.LevelWarn
	case EventState:
		switch jwks.State(detail) {
		case jwks.StateAhead, jwks.StateDue:
			return slog.LevelDebug
		case jwks.StateStale:
			return slog.LevelWarn
		case jwks.StateExpired:
			return slog.LevelError
		}
	case EventLogout, EventSignal:
		return levelOfFeed(detail)
	case EventDiscarded:
		switch signals.Why(detail) {
		case signals.WhyType, signals.WhyDecision: // events that nobody has asked to revoke
			return slog.LevelInfo
		}
		return slog.LevelWarn
	case EventStream:
		switch detail {
		case "enabled":
			return slog.LevelInfo
		case "paused", "disabled": // no more revocations will come
			return slog.LevelError
		}
		return slog.LevelWarn
	case EventQueryToken:
		if detail == "accepted" { // a client that works, and puts its token into every log; others are strangers as a rule
			return slog.LevelWarn
		}
		return slog.LevelInfo
	case EventPutBack, EventStore, EventStale, EventSkipped, EventUnmapped, EventKeyEarly, EventKeyRemoved, EventSuspected, EventForgot:
		return slog.LevelWarn
	case EventPanic:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// levelOfFeed is the level of what became of a logout or of a security event: their outcomes
// have the same names. Streams are verified all day.
func levelOfFeed(outcome string) slog.Level {
	switch signals.Outcome(outcome) {
	case signals.Verified:
		return slog.LevelDebug
	case signals.Refused:
		return slog.LevelWarn
	case signals.Failed: // and its sender may not send it again
		return slog.LevelError
	}
	return slog.LevelInfo
}

// levelOf is the level of a decision, everyday for those of everyday life.
func levelOf(reason bearergate.Reason, everyday slog.Level) slog.Level {
	switch reason {
	case "", bearergate.ReasonNoToken, bearergate.ReasonCanceled, bearergate.ReasonNonce:
		return everyday
	case bearergate.ReasonKeysUnavailable, bearergate.ReasonIntrospectionUnavailable, bearergate.ReasonStoreUnavailable,
		bearergate.ReasonOverloaded, bearergate.ReasonInternal, bearergate.ReasonConfig:
		return slog.LevelError
	}
	return slog.LevelWarn
}
