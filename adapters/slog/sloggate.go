// Package sloggate writes for log/slog what bearergate decides, as an audit
// trail, and what happens to keys and to the authorization server. It makes the
// hooks of the packages jwtverify, jwks, introspect, middleware, middleware/sightings,
// binding/dpop, revocation, revocation/backchannel and revocation/signals.
//
//	audit, err := sloggate.New(sloggate.Config{Handler: slog.NewJSONHandler(os.Stdout, nil)})
//	v, err := jwtverify.New(jwtverify.Config{…, Hooks: audit.VerifyHooks(), KeyHooks: audit.KeyHooks()})
//	gate, err := middleware.New(v, middleware.Config{Hooks: audit.GateHooks()})
//	proofs, err := dpop.New(dpop.Config{…, Hooks: audit.ProofHooks()})
//	list, err := revocation.New(revocation.Config{…, Hooks: audit.RevocationHooks()})
//	logout, err := backchannel.New(backchannel.Config{…, Hooks: audit.LogoutHooks()})
//	receiver, err := signals.New(signals.Config{…, Hooks: audit.SignalHooks()})
//	watch, err := sightings.New(sightings.Config{Hooks: audit.SightingHooks()})
//
// Hooks of other telemetry are joined with these by the JoinHooks of each package.
//
// # Records
//
// The message of a record is its [Event], and every record says the schema that it follows
// ([Schema]), and trace_id and span_id where Config.Trace knows them. docs/audit.v1.schema.json
// describes all of them as slog.JSONHandler writes them, and docs/audit.md how to read them.
// One of a decision says
//
//	outcome     accepted, refused, unavailable (an outage), misconfigured or canceled (the caller went away)
//	reason      a [bearergate.Reason]; left out if accepted
//	status      the HTTP status of the refusal; left out if the handler ran, also before the end, or the caller had gone
//	report_only true if the request passed, or went on, in spite of the refusal
//	midstream   true if the request was being served and has been ended by its token
//	query_token true if the query has a parameter access_token; what stands there is not read
//	method, route, source
//	address     of the sender, where middleware.Config.ClientAddress is set, and it is known
//	principal   user or client, if the token says which ([bearergate.Token.IsUser]), or unknown
//	issuer, subject, client, jti, session, tenant, stale, scopes (granted)
//	roles       each for itself; more_roles says how many did not fit into four times Config.MaxText
//	actors      all of the act claim, the current one first: subject, issuer and client of each;
//	            more_actors says how many were left out of more than 16
//	key         the thumbprint of the key that has verified the token, of a JWT
//	proven      jkt, x5t#S256: the thumbprints of the keys that the sender has proved to hold
//	required    the scopes that the route requires
//	duration    of the decision, or of a request that was ended; nanoseconds in JSON
//	suppressed  how many records like this one were left out since the last, see below
//	one_of      Config.SampleAccepted, if it is more than 1
//
// What is about the token is there when one was verified, and what is empty is
// left out. So is required without a token: a template of scopes is filled from
// the path, which any stranger can choose.
//
// Where no proof was accepted for a token that is bound, in the group refused and in the
// records of verifiers, the group is called bound instead of proven: it says nothing of who
// sent the token. A thumbprint is 43 characters of base64url; anything else is left out.
//
// A record of a proof ([EventProof]) is written beside that of the decision and says
// outcome, reason, duration and suppressed likewise, and
//
//	alg             of a proof whose header is good
//	fault           what is wrong with it, a [dpop.Fault]
//	nonce           what became of its nonce, a [dpop.NonceOutcome]
//	store           what the replay store answered, a [dpop.StoreOutcome]
//	store_duration  how long that took
//
// It never says whose token it was: that of a thief, perhaps.
//
// A record of a revocation ([EventRevocation], or [EventRevocationElsewhere] where another
// process has it from its feeds) says
//
//	change      added or lifted
//	revoked_by  what the entry has set: subject, token_id, subject+client, …; issuer if that alone
//	source      of the entry: the feed that it came by
//	entry       issuer, subject, session, client, tenant, jti, key (a thumbprint), before, until
//	asked_by    issuer, subject, client and so on, as above, of the token in the context: of the operator
//
// and one of a token that was refused because of it ([EventRevoked], beside that of the
// decision) issuer, source and revoked_by. The detail of the decision has them too, and the group
// refused there whose token it was: so an entry leads to the requests that it has refused.
//
// A record of a logout ([EventLogout]) and of a security event ([EventSignal]) says what became
// of a request to a feed, beside the records of what it has revoked:
//
//	outcome   a [backchannel.Outcome] or a [signals.Outcome]
//	reason    a [bearergate.Reason], and detail, expected, found and unverified as above; left out if it was taken
//	status    the HTTP status of the answer
//	issuer    of the feed
//	by, subject, session    of a logout: whose it is; left out if nothing was verified
//	type, id  of a security event: its URI or "other", and its jti, as above
//	code      what the transmitter was told (RFC 8935 §2.4)
//	entries   how many were added
//	duration
//
// One of a security event that revokes nothing ([EventDiscarded]) says issuer, type, id, why (a
// [signals.Why]), member and format of the subject, and in found what stands there; and one of a
// stream that has changed ([EventStream]) issuer, status and given_reason, the transmitter's.
//
// A record of a token that was sent from too many networks ([EventSuspected]) says whose token it
// is, as above, and
//
//	family         IPv4 or IPv6
//	networks       in how many of them it was seen
//	network_names  which, with sightings.Config.TellNetworks
//	first_seen     when the token was first seen by this process
//
// and one of tokens that could have been suspected and were forgotten ([EventForgot]) how many
// (tokens).
//
// These warn before something breaks: of a key that the issuer uses before everybody can have
// it ([EventKeyEarly]: issuer, url, kid, absent, ttl), of a token that was accepted and is
// refused since its key is published no more ([EventKeyRemoved]: issuer, kid), and of a request
// with a parameter access_token in its query ([EventQueryToken], beside the record of the
// decision: outcome, method, route, source, and what is about the token of the request, which
// may be another one). Records of fetches and calls have, where it is known, clock_ahead and
// clock_within, by how much the clock of the issuer is ahead of that of this machine and how
// far that may be off, and certificate_expires.
//
// # What is never written
//
// No token, no proof, no jti or nonce of one, no secret, no body of an answer, and no text of a cause or value of
// a panic: Config.Check, HTTP clients and stores of others put into their errors
// what they like. What this module itself says of a refusal is written: detail,
// expected and found ([bearergate.Error]; whoever makes one, a Check of yours, sees to
// that), unverified where no signature vouches for what was found, and in the group
// refused whose token it was, if one does. No path, except for what a template of
// scopes takes from it, where the token is valid.
//
// Some authorization servers give an opaque token its own text as jti. Unless
// the claims are those of a JWT, which cannot hold itself, jti is therefore
// "sha256:" and the first half of its SHA-256 in hexadecimal. So is that of an entry of
// revocations, of which nobody knows what kind of token it is about. The id of a security
// event is that of a message, which opens nothing.
//
// Subject, session, client, actor, scopes and key IDs are somebody else's text. It is cut to
// Config.MaxText bytes, and quoted as a Go string if it holds anything but
// printable characters, so that it cannot forge a line whatever the handler.
//
// # How much is written
//
// Every acceptance is, or one of so many at random: Config.SampleAccepted. So is every
// revocation by this process that somebody asked for with a token (asked_by). All
// else is bounded to Config.MaxPerSecond, so that a flood does not fill the disk,
// and apart for each event; refusals apart for strangers, for those whose token is
// genuine, for those whose token is valid, and for our own faults, so that no stranger
// hides the others; likewise of logouts and of security events, for strangers, for what is
// genuine and was not taken, for what was taken, and for our own faults. No stranger causes a record of a proof, for which a valid token is
// needed first: look there for stolen ones.
// How many were left out is said in the next record of the same kind.
//
// [NewRefusals] keeps the last refusals in memory, for a page on an internal port.
//
// The package makes no goroutine. Everything here is safe for concurrent use if
// the handler is.
package sloggate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"reflect"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
)

// The defaults of [Config], and its limits.
const (
	DefaultMaxPerSecond = 100
	DefaultMaxText      = 256

	leastText = 16
	limitText = 64 << 10
)

// Schema is what every record says in its member schema: the version of the JSON Schema
// docs/audit.v1.schema.json, by which it can be read. Members and events may be added under the same name;
// it changes if a member is gone or means something else.
const Schema = "bearergate.audit.v1"

// Config says where records go and how many.
type Config struct {
	// Handler takes the records. Required. It gets the context of the event, for
	// handlers that find a trace there.
	Handler slog.Handler
	// Trace returns the IDs of the trace and of the span that the context of an event has,
	// which are written as trace_id and span_id: those of W3C Trace Context in hexadecimal,
	// such as trace.SpanContextFromContext of OpenTelemetry tells. What is empty is left
	// out. Default: none.
	Trace func(context.Context) (traceID, spanID string)
	// Attrs returns what is added to every record, the ID of a request for example.
	// It is asked with the context of the event. Nothing of what it returns is
	// cut or quoted. One group with the name extra leaves a record that the JSON Schema
	// describes; a name that a record has already would stand there twice. Default: nothing.
	Attrs func(context.Context) []slog.Attr
	// Level chooses the level of a record; see [DefaultLevel], which is the default.
	Level func(e Event, detail string) slog.Level
	// SampleAccepted writes one of so many acceptances, chosen at random so that
	// no client can tell which. The default, 1, writes all. Refusals are not sampled.
	SampleAccepted int
	// MaxPerSecond is how many records of one kind are written in a second, except
	// acceptances. The default is DefaultMaxPerSecond.
	MaxPerSecond int
	// MaxText is how many bytes are written of a text that is somebody else's; of
	// a list of scopes or key IDs, four times as many. Between 16 and 65536; the
	// default is DefaultMaxText. Quoting may lengthen it.
	MaxText int
	// Lost is called when Handler has returned an error, and an audit record is
	// lost. It must be safe for concurrent use. Default: nothing is done.
	Lost func(context.Context, error)
}

// Audit makes hooks. Those of one Audit may be given to any number of verifiers,
// caches, clients and gates, and share its bounds. Make it with [New]. It is safe
// for concurrent use.
type Audit struct {
	config Config

	decisions, verifications, introspections      decisionLimits
	queries                                       decisionLimits
	proofs, logouts, signals                      decisionLimits
	calls, breakers, purges, stores               limit
	fetches, changes, states, stales, misses, bad limit
	unmapped, panics                              limit
	revoked, revocations, elsewhere, syncs        limit
	putBack, refetches, purgeLogs                 limit
	discarded, streams, suspected, forgotten      limit
	earlyKeys, removedKeys                        limit
}

// decisionLimits are apart so that the many do not hide the few.
type decisionLimits struct{ strangers, refused, known, ours limit }

// New checks the configuration. Its error is [bearergate.ErrMisconfigured] and
// names every mistake.
func New(c Config) (*Audit, error) {
	var errs []error
	if isNil(c.Handler) {
		errs = append(errs, errors.New("set Handler, to slog.Default().Handler() for example"))
	}
	if c.SampleAccepted < 0 {
		errs = append(errs, fmt.Errorf("SampleAccepted is %d: use 1 to write all acceptances, or n for one of n", c.SampleAccepted))
	}
	if c.MaxPerSecond < 0 {
		errs = append(errs, fmt.Errorf("MaxPerSecond is %d: use 1 or more, or leave it out for %d", c.MaxPerSecond, DefaultMaxPerSecond))
	}
	c.SampleAccepted = cmp.Or(c.SampleAccepted, 1)
	c.MaxPerSecond = cmp.Or(c.MaxPerSecond, DefaultMaxPerSecond)
	c.MaxText = cmp.Or(c.MaxText, DefaultMaxText)
	if c.MaxText < leastText || c.MaxText > limitText {
		errs = append(errs, fmt.Errorf("MaxText is %d: use %d to %d, or leave it out for %d", c.MaxText, leastText, limitText, DefaultMaxText))
	}
	if len(errs) > 0 {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Cause: fmt.Errorf("sloggate: %w", errors.Join(errs...))}
	}
	if c.Level == nil {
		c.Level = DefaultLevel
	}
	return &Audit{config: c}, nil
}

// isNil reports whether h is nil or holds a nil pointer.
func isNil(h slog.Handler) bool {
	r := reflect.ValueOf(h)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

// GateHooks are for middleware.Config.Hooks: a record for every decision.
func (a *Audit) GateHooks() middleware.Hooks {
	return middleware.Hooks{
		Decided: func(ctx context.Context, e middleware.DecisionEvent) {
			a.decide(ctx, EventDecision, &a.decisions, e.Err, e.Token, e.Duration, func(r *record) {
				if e.Midstream {
					r.add(slog.Bool("midstream", true))
				}
				if e.ReportOnly {
					r.add(slog.Bool("report_only", true))
				} else if s := status(e.Err); s != 0 && !e.Midstream { // its status was sent before
					r.add(slog.Int("status", s))
				}
				r.word("method", e.Method)
				r.word("route", e.Pattern)
				r.word("source", string(e.Source))
				if e.Address.IsValid() {
					r.word("address", e.Address.String())
				}
				r.text("issuer", e.Token.Issuer())
				if e.Token != nil {
					r.list("required", e.Required.Scopes())
				}
				if e.Trial != nil {
					r.list("trial_required", e.Trial.Required.Scopes())
					r.add(slog.Bool("trial_passed", e.Trial.Err == nil))
				}
				if e.QueryToken {
					r.add(slog.Bool("query_token", true))
				}
			})
			if e.QueryToken && !e.Midstream {
				a.queryToken(ctx, e)
			}
		},
		Panicked: a.panicked("middleware"),
	}
}

// queryToken writes that the query of a request has an access token. Acceptances may be
// sampled, so that the record of the decision is not enough.
func (a *Audit) queryToken(ctx context.Context, e middleware.DecisionEvent) {
	outcome, _ := outcomeOf(e.Err)
	l, detail := &a.queries.strangers, outcome
	switch {
	case e.Token != nil:
		l = &a.queries.known
	case e.Err == nil: // let in without a token, as anybody is
		detail = "anonymous"
	}
	a.tell(ctx, EventQueryToken, detail, l, func(r *record) {
		r.word("outcome", outcome)
		r.word("method", e.Method)
		r.word("route", e.Pattern)
		r.word("source", string(e.Source))
		r.text("issuer", e.Token.Issuer())
		r.token(e.Token)
	})
}

// VerifyHooks are for jwtverify.Config.Hooks. A gate tells of every decision
// already, so these records are on the level Debug by default: choose another
// in Config.Level where Verify is called without one.
func (a *Audit) VerifyHooks() jwtverify.Hooks {
	return jwtverify.Hooks{
		Verified: func(ctx context.Context, e jwtverify.VerifyEvent) {
			a.decide(ctx, EventVerification, &a.verifications, e.Err, e.Token, e.Duration, func(r *record) {
				r.text("issuer", e.Issuer)
				r.add(slog.Bool("cached", e.Cached))
			})
			if e.RemovedKey != "" {
				a.tell(ctx, EventKeyRemoved, "", &a.removedKeys, func(r *record) {
					r.text("issuer", e.Issuer)
					r.text("kid", e.RemovedKey)
				})
			}
		},
		Unmapped: a.missing("jwtverify"),
		Panicked: a.panicked("jwtverify"),
	}
}

// IntrospectHooks are for introspect.Config.Hooks. What is said of
// [Audit.VerifyHooks] is true of these.
func (a *Audit) IntrospectHooks() introspect.Hooks {
	return introspect.Hooks{
		Looked: func(ctx context.Context, e introspect.LookEvent) {
			a.decide(ctx, EventIntrospection, &a.introspections, e.Err, e.Token, e.Duration, func(r *record) {
				r.text("issuer", e.Issuer)
				r.word("result", string(e.Result))
			})
		},
		Called: func(ctx context.Context, e introspect.CallEvent) {
			a.tell(ctx, EventCall, string(e.Outcome), &a.calls, func(r *record) {
				r.text("issuer", e.Issuer)
				r.word("outcome", string(e.Outcome))
				if e.Status != 0 {
					r.add(slog.Int("status", e.Status))
				}
				if e.Err != nil {
					r.text("detail", bearergate.AsError(e.Err).Detail)
				}
				r.add(slog.Int("attempt", e.Attempt), slog.Duration("duration", e.Duration))
				if e.Own {
					r.add(slog.Bool("own", true))
				}
				r.server(e.Server)
			})
		},
		BreakerChanged: func(ctx context.Context, e introspect.BreakerEvent) {
			a.tell(ctx, EventBreaker, string(e.To), &a.breakers, func(r *record) {
				r.text("issuer", e.Issuer)
				r.word("from", string(e.From))
				r.word("to", string(e.To))
				if e.Wait > 0 {
					r.word("outcome", string(e.Outcome))
					r.add(slog.Duration("wait", e.Wait))
				}
			})
		},
		Purged: func(ctx context.Context, e introspect.PurgeEvent) {
			detail := ""
			if e.Err != nil {
				detail = "untold"
			}
			a.tell(ctx, EventPurge, detail, &a.purges, func(r *record) {
				r.text("issuer", e.Issuer)
				r.add(slog.Bool("all", e.All))
				if e.Elsewhere {
					r.add(slog.Bool("elsewhere", true))
				}
				r.word("others", detail)
			})
		},
		PurgesRead: func(ctx context.Context, e introspect.PurgesReadEvent) {
			a.tell(ctx, EventPurgeLog, outcomeOfLook(e.Err), &a.purgeLogs, func(r *record) {
				r.text("issuer", e.Issuer)
				r.look(e.Err, e.Whole, e.Records, e.Skipped, e.Duration)
			})
		},
		StoreFailed: func(ctx context.Context, e introspect.StoreEvent) {
			a.tell(ctx, EventStore, e.Operation, &a.stores, func(r *record) {
				r.text("issuer", e.Issuer)
				r.word("operation", e.Operation)
			})
		},
		Unmapped: a.missing("introspect"),
		Panicked: a.panicked("introspect"),
	}
}

// ProofHooks are for dpop.Config.Hooks. A gate tells of every decision already: the record of
// a proof says more of it. One that was accepted, or that needs a new nonce, is on the level
// Debug by default.
func (a *Audit) ProofHooks() dpop.Hooks {
	return dpop.Hooks{
		Judged: func(ctx context.Context, e dpop.ProofEvent) {
			a.decide(ctx, EventProof, &a.proofs, e.Err, nil, e.Duration, func(r *record) {
				r.word("fault", string(e.Fault))
				r.word("alg", e.Algorithm)
				r.word("nonce", string(e.Nonce))
				if e.Store != "" {
					r.word("store", string(e.Store))
					r.add(slog.Duration("store_duration", e.StoreDuration))
				}
			})
		},
		Panicked: a.panicked("dpop"),
	}
}

// RevocationHooks are for revocation.Config.Hooks: who revoked what, for which a list is
// given to feeds, such as revocation/admin behind a gate. What other processes have from
// their feeds is on the level Debug by default, for they write it, and is bounded apart.
func (a *Audit) RevocationHooks() revocation.Hooks {
	return revocation.Hooks{
		Refused: func(ctx context.Context, e revocation.RefusedEvent) {
			a.tell(ctx, EventRevoked, e.Source, &a.revoked, func(r *record) {
				r.text("issuer", e.Issuer)
				r.word("source", e.Source)
				r.word("revoked_by", e.By)
			})
		},
		Changed: func(ctx context.Context, e revocation.ChangeEvent) {
			event, limit, change := EventRevocation, &a.revocations, "added"
			if !e.Own {
				event, limit = EventRevocationElsewhere, &a.elsewhere
			}
			if e.Lifted {
				change = "lifted"
			}
			token, asked := bearergate.FromContext(ctx)
			if asked && e.Own {
				limit = nil // however many entries somebody revokes at once, each has its record
			}
			a.tell(ctx, event, change, limit, func(r *record) {
				r.word("change", change)
				r.word("revoked_by", e.By)
				r.word("source", e.Entry.Source)
				r.entry(&e.Entry)
				if asked {
					by := r.group()
					by.text("issuer", token.Issuer())
					by.token(token)
					r.close("asked_by", by)
				}
			})
		},
		Synced: func(ctx context.Context, e revocation.SyncEvent) {
			a.tell(ctx, EventRevocationLog, outcomeOfLook(e.Err), &a.syncs, func(r *record) {
				r.look(e.Err, e.Whole, e.Records, e.Skipped, e.Duration)
			})
		},
		PutBack: func(ctx context.Context, e revocation.PutBackEvent) {
			a.tell(ctx, EventPutBack, "", &a.putBack, func(r *record) { r.add(slog.Int("entries", e.Entries)) })
		},
		Refetched: func(ctx context.Context, e revocation.RefetchEvent) {
			a.tell(ctx, EventRefetch, outcomeOfLook(e.Err), &a.refetches, func(r *record) {
				r.text("issuer", e.Issuer)
				r.word("outcome", outcomeOfLook(e.Err))
			})
		},
		Panicked: a.panicked("revocation"),
	}
}

// LogoutHooks are for backchannel.Config.Hooks: whose logout came, and what became of it. What
// it has revoked, a list with [Audit.RevocationHooks] writes.
func (a *Audit) LogoutHooks() backchannel.Hooks {
	return backchannel.Hooks{
		Received: func(ctx context.Context, e backchannel.ReceivedEvent) {
			a.tell(ctx, EventLogout, string(e.Outcome), a.logouts.ofFeed(e.Err, e.By != ""), func(r *record) {
				r.received(string(e.Outcome), e.Err, e.Status, e.Issuer)
				r.word("by", string(e.By))
				r.text("subject", e.Subject)
				r.text("session", e.Session)
				r.taken(e.Entries, e.Duration)
			})
		},
		Panicked: a.panicked("backchannel"),
	}
}

// SignalHooks are for signals.Config.Hooks: which security event came, and what became of it,
// and why one has revoked nothing. What it has revoked, a list with [Audit.RevocationHooks]
// writes.
func (a *Audit) SignalHooks() signals.Hooks {
	return signals.Hooks{
		Received: func(ctx context.Context, e signals.ReceivedEvent) {
			a.tell(ctx, EventSignal, string(e.Outcome), a.signals.ofFeed(e.Err, e.Type != ""), func(r *record) {
				r.received(string(e.Outcome), e.Err, e.Status, e.Issuer)
				r.text("type", e.Type)
				r.text("id", e.ID)
				r.word("code", e.Code)
				r.taken(e.Entries, e.Duration)
			})
		},
		Discarded: func(ctx context.Context, e signals.DiscardedEvent) {
			a.tell(ctx, EventDiscarded, string(e.Why), &a.discarded, func(r *record) {
				r.text("issuer", e.Issuer)
				r.text("type", e.Type)
				r.text("id", e.ID)
				r.word("why", string(e.Why))
				r.word("member", e.Member)
				r.word("format", e.Format)
				r.list("found", []string{e.Found})
			})
		},
		Stream: func(ctx context.Context, e signals.StreamEvent) {
			a.tell(ctx, EventStream, e.Status, &a.streams, func(r *record) {
				r.text("issuer", e.Issuer)
				r.word("status", e.Status)
				r.text("given_reason", e.Reason)
			})
		},
		Panicked: a.panicked("signals"),
	}
}

// SightingHooks are for sightings.Config.Hooks: whose token was sent from too many networks.
func (a *Audit) SightingHooks() sightings.Hooks {
	return sightings.Hooks{
		Suspected: func(ctx context.Context, e sightings.Event) {
			a.tell(ctx, EventSuspected, "", &a.suspected, func(r *record) {
				r.text("issuer", e.Issuer)
				r.token(e.Token)
				family := "IPv4"
				if e.IPv6 {
					family = "IPv6"
				}
				r.word("family", family)
				r.add(slog.Int("networks", e.Networks))
				r.list("network_names", e.Names)
				r.add(slog.Time("first_seen", e.FirstSeen.UTC()))
			})
		},
		Forgot: func(ctx context.Context, e sightings.ForgotEvent) {
			a.tell(ctx, EventForgot, "", &a.forgotten, func(r *record) { r.add(slog.Uint64("tokens", e.Tokens)) })
		},
		Panicked: a.panicked("sightings"),
	}
}

// ofFeed is the part of a request to a feed. What is genuine and was not taken has one of its
// own: its sender may have to be asked to send it again, and no stranger may hide it.
func (l *decisionLimits) ofFeed(err error, genuine bool) *limit {
	outcome, _ := outcomeOf(err)
	switch {
	case err == nil:
		return &l.known
	case genuine:
		return &l.refused
	case outcome == "unavailable" || outcome == "misconfigured":
		return &l.ours
	}
	return &l.strangers
}

func outcomeOfLook(err error) string {
	if err == nil {
		return "ok"
	}
	return "failed"
}

// KeyHooks are for jwks.Config.Hooks, and for KeyHooks of jwtverify.Config and
// introspect.Config.
func (a *Audit) KeyHooks() jwks.Hooks {
	return jwks.Hooks{
		Fetched: func(ctx context.Context, e jwks.FetchEvent) {
			a.tell(ctx, EventFetch, string(e.Outcome), &a.fetches, func(r *record) {
				r.keys(e.Issuer, e.URL)
				r.word("trigger", string(e.Trigger))
				r.word("outcome", string(e.Outcome))
				if e.Status != 0 {
					r.add(slog.Int("status", e.Status))
				}
				r.word("detail", e.Detail)
				r.add(slog.Int("keys", e.KeyCount), slog.Duration("duration", e.Duration))
				r.server(e.Server)
			})
			if len(e.Added)+len(e.Removed) > 0 {
				a.tell(ctx, EventKeys, "", &a.changes, func(r *record) {
					r.keys(e.Issuer, e.URL)
					r.add(slog.Int("keys", e.KeyCount))
					r.list("added", e.Added)
					r.list("removed", e.Removed)
				})
			}
		},
		StateChanged: func(ctx context.Context, e jwks.StateEvent) {
			a.tell(ctx, EventState, string(e.To), &a.states, func(r *record) {
				r.keys(e.Issuer, e.URL)
				r.word("from", string(e.From))
				r.word("to", string(e.To))
			})
		},
		MissSuppressed: func(ctx context.Context, e jwks.MissEvent) {
			a.tell(ctx, EventMiss, "", &a.misses, func(r *record) {
				r.keys(e.Issuer, e.URL)
				r.text("kid", e.KeyID)
				r.text("alg", e.Algorithm)
				r.add(slog.Duration("next_fetch", e.NextFetch))
			})
		},
		StaleServed: func(ctx context.Context, e jwks.StaleEvent) {
			a.tell(ctx, EventStale, "", &a.stales, func(r *record) {
				r.keys(e.Issuer, e.URL)
				r.add(slog.Duration("age", e.Age))
			})
		},
		KeySkipped: func(ctx context.Context, e jwks.KeyEvent) {
			a.tell(ctx, EventSkipped, "", &a.bad, func(r *record) {
				r.keys(e.Issuer, e.URL)
				r.add(slog.Int("index", e.Index))
				r.text("kid", e.KeyID)
			})
		},
		UsedEarly: func(ctx context.Context, e jwks.EarlyEvent) {
			a.tell(ctx, EventKeyEarly, "", &a.earlyKeys, func(r *record) {
				r.keys(e.Issuer, e.URL)
				r.text("kid", e.KeyID)
				r.add(slog.Duration("absent", e.Absent), slog.Duration("ttl", e.TTL))
			})
		},
		Panicked: a.panicked("jwks"),
	}
}

func (a *Audit) missing(pkg string) func(context.Context, bearergate.UnmappedEvent) {
	return func(ctx context.Context, e bearergate.UnmappedEvent) {
		a.tell(ctx, EventUnmapped, "", &a.unmapped, func(r *record) {
			r.word("package", pkg)
			r.text("issuer", e.Issuer)
			r.text("claim_path", e.Path)
			r.add(slog.Int("tokens", e.Tokens))
		})
	}
}

func (a *Audit) panicked(pkg string) func(context.Context, bearergate.PanicEvent) {
	return func(ctx context.Context, e bearergate.PanicEvent) {
		a.tell(ctx, EventPanic, pkg, &a.panics, func(r *record) {
			r.word("package", pkg)
			r.text("where", e.Where)
			r.text("type", e.Type)
		})
	}
}

// decide writes the record of a decision, of which more is what the others do not say.
func (a *Audit) decide(ctx context.Context, event Event, limits *decisionLimits, err error, token *bearergate.Token, d time.Duration, more func(*record)) {
	outcome, reason := outcomeOf(err)
	level := a.config.Level(event, string(reason))
	if !a.config.Handler.Enabled(ctx, level) {
		return
	}
	suppressed, ok := a.pass(limits, outcome, err, token)
	if !ok {
		return
	}
	r := a.record()
	r.word("outcome", outcome)
	r.word("reason", string(reason))
	more(&r)
	r.token(token)
	if err != nil {
		r.refusal(bearergate.AsError(err), token)
	}
	r.add(slog.Duration("duration", d))
	if err == nil && a.config.SampleAccepted > 1 {
		r.add(slog.Int("one_of", a.config.SampleAccepted))
	}
	if suppressed > 0 {
		r.add(slog.Uint64("suppressed", suppressed))
	}
	a.write(ctx, level, event, r)
}

// pass reports whether the record of a decision is to be written, and how many
// like it were not since the last.
func (a *Audit) pass(limits *decisionLimits, outcome string, err error, token *bearergate.Token) (suppressed uint64, ok bool) {
	switch {
	case outcome == "accepted":
		return 0, rand.IntN(a.config.SampleAccepted) == 0
	case outcome == "unavailable" || outcome == "misconfigured":
		return limits.ours.take(a.config.MaxPerSecond)
	case token != nil || bearergate.ReasonOf(err) == bearergate.ReasonNonce: // whose sender holds the key
		return limits.known.take(a.config.MaxPerSecond)
	case bearergate.AsError(err).Refused != nil: // genuine, and old or meant for somebody else
		return limits.refused.take(a.config.MaxPerSecond)
	}
	return limits.strangers.take(a.config.MaxPerSecond)
}

// tell writes a record of anything else. Without a limit, it writes each.
func (a *Audit) tell(ctx context.Context, event Event, detail string, l *limit, more func(*record)) {
	level := a.config.Level(event, detail)
	if !a.config.Handler.Enabled(ctx, level) {
		return
	}
	suppressed, ok := uint64(0), true
	if l != nil {
		suppressed, ok = l.take(a.config.MaxPerSecond)
	}
	if !ok {
		return
	}
	r := a.record()
	more(&r)
	if suppressed > 0 {
		r.add(slog.Uint64("suppressed", suppressed))
	}
	a.write(ctx, level, event, r)
}

// record is a new one. There is room in it for what most have.
func (a *Audit) record() record {
	r := record{max: a.config.MaxText, attrs: make([]slog.Attr, 0, 24)}
	r.word("schema", Schema)
	return r
}

func (a *Audit) write(ctx context.Context, level slog.Level, event Event, r record) {
	// A caller that went away must not take the record along.
	ctx = context.WithoutCancel(ctx)
	out := slog.NewRecord(time.Now(), level, string(event), 0)
	a.trace(ctx, &r)
	out.AddAttrs(r.attrs...)
	out.AddAttrs(a.more(ctx)...)
	if err := a.config.Handler.Handle(ctx, out); err != nil && a.config.Lost != nil {
		a.config.Lost(ctx, err)
	}
}

// trace asks Config.Trace, whose panic must not cost the record.
func (a *Audit) trace(ctx context.Context, r *record) {
	if a.config.Trace == nil {
		return
	}
	ask := func(ctx context.Context, _ struct{}) {
		trace, span := a.config.Trace(ctx)
		r.text("trace_id", trace)
		r.text("span_id", span)
	}
	bearergate.Hook("Trace", func(_ context.Context, e bearergate.PanicEvent) {
		r.text("trace_panicked", e.Type)
	}, ask)(ctx, struct{}{})
}

// more asks Config.Attrs, whose panic must not cost the record.
func (a *Audit) more(ctx context.Context) (attrs []slog.Attr) {
	if a.config.Attrs == nil {
		return nil
	}
	ask := func(ctx context.Context, _ struct{}) { attrs = a.config.Attrs(ctx) }
	bearergate.Hook("Attrs", func(_ context.Context, e bearergate.PanicEvent) {
		attrs = []slog.Attr{slog.String("attrs_panicked", e.Type)}
	}, ask)(ctx, struct{}{})
	return attrs
}

// outcomeOf says whose fault err is, and its Reason; an error of a foreign
// verifier counts as everywhere in this module: see [bearergate.AsError].
func outcomeOf(err error) (string, bearergate.Reason) {
	if err == nil {
		return "accepted", ""
	}
	e := bearergate.AsError(err)
	switch {
	case e.Reason == bearergate.ReasonCanceled:
		return "canceled", e.Reason
	case e.Kind == bearergate.ErrUnavailable:
		return "unavailable", e.Reason
	case e.Kind == bearergate.ErrMisconfigured:
		return "misconfigured", e.Reason
	}
	return "refused", e.Reason
}

// status is what the middleware answers, 0 where it does not.
func status(err error) int {
	if err == nil {
		return 0
	}
	switch e := bearergate.AsError(err); {
	case e.Reason == bearergate.ReasonCanceled:
		return 0
	case e.Kind == bearergate.ErrInvalidRequest:
		return http.StatusBadRequest
	case e.Kind == bearergate.ErrInsufficientScope, e.Kind == bearergate.ErrForbidden:
		return http.StatusForbidden
	case e.Kind == bearergate.ErrUnavailable:
		return http.StatusServiceUnavailable
	case e.Kind == bearergate.ErrMisconfigured:
		return http.StatusInternalServerError
	}
	return http.StatusUnauthorized
}
