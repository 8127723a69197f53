// Package promgate counts and times for Prometheus what bearergate does: it
// makes the hooks of the packages jwtverify, jwks, introspect, middleware,
// middleware/sightings, binding/dpop, revocation, revocation/backchannel and revocation/signals.
//
//	metrics, err := promgate.New(promgate.Config{Registerer: prometheus.DefaultRegisterer})
//	v, err := jwtverify.New(jwtverify.Config{…, Hooks: metrics.VerifyHooks(), KeyHooks: metrics.KeyHooks()})
//	gate, err := middleware.New(v, middleware.Config{Hooks: metrics.GateHooks()})
//	err = metrics.Watch(v.Keys()) // how old the keys are, read at every scrape
//	proofs, err := dpop.New(dpop.Config{…, Hooks: metrics.ProofHooks()})
//	list, err := revocation.New(revocation.Config{…, Hooks: metrics.RevocationHooks()})
//	err = metrics.WatchRevocations(list) // what it holds and has heard, read at every scrape
//	logout, err := backchannel.New(backchannel.Config{…, Hooks: metrics.LogoutHooks()})
//	receiver, err := signals.New(signals.Config{…, Hooks: metrics.SignalHooks()})
//	watch, err := sightings.New(sightings.Config{Hooks: metrics.SightingHooks()})
//	err = metrics.WatchSightings(watch) // how many requests it has counted, read at every scrape
//
// Hooks of other telemetry are joined with these by the JoinHooks of each package.
//
// # Metrics
//
// All names begin with bearergate_.
//
//	decisions_total                          outcome, pattern, reason, report_only
//	decision_duration_seconds                outcome
//	requests_ended_total                     pattern, reason, report_only: let pass, and ended by their token while they were served
//	jwt_verifications_total                  issuer, cached, outcome, reason
//	jwt_verification_duration_seconds        issuer, cached, outcome
//	introspections_total                     issuer, result, outcome, reason
//	introspection_duration_seconds           issuer, result
//	introspection_calls_total                issuer, outcome, status
//	introspection_call_duration_seconds      issuer, outcome
//	introspection_breaker_state              issuer, state: 1 for the present one, else 0
//	introspection_breaker_changes_total      issuer, state
//	introspection_store_failures_total       issuer, operation
//	introspection_purges_total               issuer: those of other processes too
//	introspection_purge_log_failures_total   issuer, operation: append (others were not told), read (nothing is heard)
//	jwks_fetches_total                       issuer, outcome, trigger
//	jwks_fetch_duration_seconds              issuer, outcome
//	jwks_key_changes_total                   issuer, change
//	jwks_state_changes_total                 issuer, state
//	jwks_stale_answers_total                 issuer
//	jwks_suppressed_misses_total             issuer
//	jwks_skipped_keys_total                  issuer
//	dpop_proofs_total                        algorithm, outcome, reason, fault
//	dpop_proof_duration_seconds              algorithm, outcome
//	dpop_nonces_total                        outcome
//	dpop_store_calls_total                   outcome
//	dpop_store_call_duration_seconds         outcome
//	revocation_refusals_total                issuer, source, by: tokens that an entry has refused
//	revocation_changes_total                 source, by, change: added, lifted
//	revocation_syncs_total                   outcome: ok (something was found), failed
//	revocation_skipped_records_total         records of the log that could not be read
//	revocation_put_back_total                entries that the log had lost
//	revocation_key_refetches_total           issuer, outcome: ok, failed
//	revocation_logouts_total                 issuer, by, outcome, reason: back-channel logouts
//	revocation_signals_total                 issuer, type, outcome, reason: security events
//	revocation_signals_discarded_total       issuer, type, why: those that are valid and revoke nothing
//	revocation_stream_changes_total          issuer, status: of the stream that a transmitter sends
//	sightings_suspected_total                issuer: tokens that were sent from too many networks
//	sightings_forgotten_total                tokens that could have been suspected, and for which there was no room
//	unmapped_paths_total                     issuer
//	panics_total                             package
//
// with [Config.MaxClients] and [Config.MaxTenants] also
//
//	client_decisions_total                   issuer, client, principal, outcome, reason, report_only
//	tenant_decisions_total                   issuer, tenant, outcome, reason, report_only
//
// These warn before something breaks:
//
//	issuer_clock_skew_seconds                issuer, endpoint: by how much its clock is ahead of ours; absent while it is not known
//	issuer_clock_skew_uncertainty_seconds    issuer, endpoint: how far that may be off, either way
//	issuer_certificate_expiry_timestamp_seconds issuer, endpoint: when its TLS certificates are no longer good; absent while it is not known
//	token_lifetime_seconds                   issuer, verifier: a histogram of how long accepted tokens were given to live
//	token_size_bytes                         issuer, verifier: a histogram of how long they are
//	jwks_early_keys_total                    issuer: keys used less than one TTL after they appeared
//	jwt_removed_key_refusals_total           issuer: tokens that had been accepted, refused since their key is published no more
//	query_tokens_total                       outcome, pattern: requests with a parameter access_token in their query
//
// and of every cache given to [Metrics.Watch], as it is at the scrape:
//
//	jwks_state                               issuer, state: 1 for the present one, else 0
//	jwks_keys                                issuer
//	jwks_last_success_timestamp_seconds      issuer; absent before the first success
//	jwks_last_attempt_timestamp_seconds      issuer; absent before the first attempt
//	jwks_consecutive_failures                issuer
//
// and of the list given to [Metrics.WatchRevocations]:
//
//	revocation_ready                         1 if this process knows what is revoked, 0 if it answers 503
//	revocation_lag_seconds                   since it heard all that the others had said; absent without a log, and before it was read
//	revocation_entries                       source: those that were lifted included, until they end
//	revocation_lifted_entries                those that were lifted
//	revocation_unlogged_entries              that the log has not
//	revocation_full                          1 if there is more in the log than MaxEntries
//
// and of all watches given to [Metrics.WatchSightings]:
//
//	sightings_tokens                         that are remembered
//	sightings_requests_total                 result: counted, without_id, without_address
//
// and of the usage given to [Metrics.WatchUsage]:
//
//	unasked_scopes                           scopes that clients were granted and no route asks for
//
// The outcome of a decision, a verification and an introspection is accepted,
// refused, unavailable (an outage, 503), misconfigured (500) or canceled (the
// caller went away), and so is that of a proof. The reason is a [bearergate.Reason], and
// empty if accepted.
//
// The algorithm of a proof is "unknown" where its header is not a good one or there is
// none, and its fault, a [dpop.Fault], is empty unless the reason is proof. The outcome of a
// nonce is a [dpop.NonceOutcome], that of a call of the replay store a
// [dpop.StoreOutcome]: failed and full are outages, which clients see as 503.
//
// The outcome of a logout is a [backchannel.Outcome] and its by a [backchannel.Target], that of
// a security event a [signals.Outcome]: refused is the sender's fault or a stranger's, and
// failed an outage or a fault of this service, after which many do not send again. The type
// of a security event is its URI, or "other"; by and type are empty if nothing was verified.
// Why is a [signals.Why], and the status of a stream enabled, paused, disabled or other.
//
// The endpoint is keys, for the metadata and the key set, or introspection; the verifier jwt
// or introspection. A token counts once where its signature is checked or the server asked,
// and not each time that it is remembered. The outcome of query_tokens_total is that of the
// decision, and anonymous for a request that was let in without a token
// ([middleware.Router.Optional]): anybody can send that. What is said of a clock and of a certificate is by
// the last answer that said it.
//
// Histograms have classic buckets and are native histograms too, for servers
// that scrape those.
//
// # Labels
//
// A label is a word of a closed set, or from the configuration: an issuer, the
// pattern of a route, or the URI of an event. None is from a token or a request: no client, subject,
// key ID, scope, path, URL or text of an error. Should there be more values than
// expected all the same, [Config] bounds them.
//
// # Clients and tenants
//
// The exception is what MaxClients and MaxTenants turn on. These two count the decisions on
// tokens that somebody vouches for, by who sent them ([labels.Whose]): those that were
// accepted, and those that were refused after their signature or their answer was found
// good. A forged token names nobody, and neither does one that is bound to a key which its
// sender did not prove to hold. A request that was ended midway is not counted again.
//
// The issuer is that of the token, since a client ID means nothing without it; MaxIssuers
// does not concern it. The first MaxClients pairs of both have names, and all later ones
// are issuer "other", client "other". So are those whose names are not fit to be shown
// ([labels.Fit]), which take no place. Both labels are empty where the token says nothing.
// Which come first, each process decides for itself: sum over instances, and take "other"
// into account. So many clients make one series more than MaxClients, for each principal, outcome,
// reason and report_only that they have met.
//
// The principal is user, client or unknown ([labels.Principal]). It is on this metric
// alone: on decisions_total it would be unknown for every request without a good token,
// and would multiply its series.
//
// # What on-call wants to know
//
//	bearergate_jwks_consecutive_failures > 2                                         the issuer's keys cannot be fetched
//	bearergate_jwks_state{state="stale"} == 1                                        old keys are serving; expired is next
//	bearergate_introspection_breaker_state{state="open"} == 1                        the authorization server does not answer
//	rate(bearergate_decisions_total{outcome=~"unavailable|misconfigured"}[5m]) > 0   requests fail, and it is our fault
//
// Keys are fetched for requests only. Without any, they grow old and expire in
// the best of health: age alone and the state expired are no alarm unless
// fetches fail too.
//
// The package makes no goroutine. Everything here is safe for concurrent use.
package promgate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/labels"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
)

// The bounds of labels.
const (
	DefaultMaxIssuers  = 100
	DefaultMaxPatterns = 1000
)

// Config says where the metrics go.
type Config struct {
	// Registerer registers the metrics: prometheus.DefaultRegisterer, for example,
	// or one of prometheus.WrapRegistererWith that adds labels. Required.
	Registerer prometheus.Registerer
	// MaxIssuers is how many different issuers become labels. Later ones are
	// counted together as "other": a issuers.Router with Resolve may meet any
	// number. The default is DefaultMaxIssuers.
	MaxIssuers int
	// MaxPatterns is the same for the patterns of routes. The default is DefaultMaxPatterns.
	MaxPatterns int
	// MaxClients turns on client_decisions_total, and is how many clients have a name in
	// it: the first that come, per process, for as long as it runs. Later ones are counted
	// together as "other". Each of them has as many series as it has met outcomes and
	// reasons: one where nothing goes wrong, and rarely more than ten. 0, the default: the
	// metric does not exist.
	//
	// Danger: everybody who reads the metrics then learns the client IDs of whoever has a
	// token that is good. They are no secrets (RFC 6749 §2.2), but some servers make them
	// of something that is: see [labels.Fit]. Whoever may register clients can take the
	// places.
	MaxClients int
	// MaxTenants is the same for tenant_decisions_total and the tenants of tokens.
	MaxTenants int
	// TraceOf returns the IDs of the trace and of the span that a context carries, and
	// twice "" if there is none or it is not sampled. The counters and histograms of what
	// happens to a request then have them as exemplars, trace_id and span_id, which link a
	// metric to a trace; a fetch of keys and a call of introspection have those of the
	// request that caused it. With OpenTelemetry:
	//
	//	TraceOf: func(ctx context.Context) (traceID, spanID string) {
	//		if s := trace.SpanContextFromContext(ctx); s.IsSampled() {
	//			return s.TraceID().String(), s.SpanID().String()
	//		}
	//		return "", ""
	//	}
	//
	// An ID is at most 64 digits, letters from a to f, and hyphens, that of a span at most
	// 32. Another one is left out, and without a trace there is no exemplar; so it is if
	// the function panics, which panics_total counts. It is called for each of these events
	// in the goroutine of the request: it must be quick, and safe for concurrent use. An
	// exemplar costs some 3 µs. The default, nil: no exemplars.
	//
	// Only the OpenMetrics format has exemplars: set EnableOpenMetrics of
	// promhttp.HandlerOpts, and run Prometheus with --enable-feature=exemplar-storage.
	TraceOf func(ctx context.Context) (traceID, spanID string)
}

// Metrics makes hooks. Those of one Metrics may be given to any number of
// verifiers, caches, clients and gates; what has one issuer is then counted
// together. Make it with [New]. It is safe for concurrent use.
type Metrics struct {
	decisions, verifications, introspections, calls, fetches *family // these with a histogram
	proofs, stores                                           *family // these too

	breakerChanges, storeFailures, purges                                 *family
	keyChanges, stateChanges, staleAnswers, suppressedMisses, skippedKeys *family
	ended, nonces, panics, unmappedPaths, purgeLogFailures                *family
	revoked, revocations, syncs, skippedRecords, putBack, refetches       *family
	logouts, signals, discarded, streams                                  *family
	suspected, forgotten                                                  *family
	earlyKeys, removedKeys, queryTokens                                   *family
	skew, skewUncertainty, certificateExpiry                              *prometheus.GaugeVec
	tokenLifetime, tokenSize                                              *prometheus.HistogramVec

	clients, tenants *owners // nil: off
	traceOf          func(context.Context, *ids)

	breakers breakers
	watched  watched
	list     watchedList
	watches  watchedSightings
	usage    watchedUsage
	bounds   bounds
	all      []prometheus.Collector
}

// New makes the metrics and registers them. Its error is
// [bearergate.ErrMisconfigured] and names everything that is wrong with the
// configuration. A registry takes the metrics once: a second New for it changes
// nothing and returns an error with a prometheus.AlreadyRegisteredError inside.
func New(c Config) (*Metrics, error) {
	var errs []error
	if isNil(c.Registerer) {
		errs = append(errs, errors.New("set Registerer, to prometheus.DefaultRegisterer for example"))
	}
	if c.MaxIssuers < 0 || c.MaxPatterns < 0 || c.MaxClients < 0 || c.MaxTenants < 0 {
		errs = append(errs, errors.New("MaxIssuers, MaxPatterns, MaxClients and MaxTenants cannot be negative"))
	}
	if len(errs) > 0 {
		return nil, misconfigured(errors.Join(errs...))
	}
	m := &Metrics{bounds: newBounds(cmp.Or(c.MaxIssuers, DefaultMaxIssuers), cmp.Or(c.MaxPatterns, DefaultMaxPatterns))}
	m.decisions = m.timed("decision", "decisions", "Requests that a gate let pass or refused.",
		"How long a decision took, without the handler.", verifyBuckets, 1, "outcome", "pattern", "reason", "report_only")
	m.verifications = m.timed("jwt_verification", "jwt_verifications", "JWTs that were accepted or refused.",
		"How long the verification of a JWT took, waiting for keys included.", verifyBuckets, 3, "issuer", "cached", "outcome", "reason")
	m.introspections = m.timed("introspection", "introspections", "Opaque tokens that were accepted or refused, by where the answer came from.",
		"How long the decision on an opaque token took, waiting included.", verifyBuckets, 2, "issuer", "result", "outcome", "reason")
	m.calls = m.timed("introspection_call", "introspection_calls", "Requests to the introspection endpoint, retries included.",
		"How long a request to the introspection endpoint took.", networkBuckets, 2, "issuer", "outcome", "status")
	m.fetches = m.timed("jwks_fetch", "jwks_fetches", "Attempts to fetch keys.",
		"How long an attempt to fetch keys took, discovery included.", networkBuckets, 2, "issuer", "outcome", "trigger")
	m.proofs = m.timed("dpop_proof", "dpop_proofs", "Proofs of DPoP keys that were accepted or refused, and calls of bound tokens without one.",
		"How long the judgment of a proof took, waiting for the replay store included.", verifyBuckets, 2, "algorithm", "outcome", "reason", "fault")
	m.stores = m.timed("dpop_store_call", "dpop_store_calls", "Calls of the store that remembers which proofs were used.",
		"How long a call of the replay store took.", storeBuckets, 1, "outcome")

	m.breakerChanges = m.counter("introspection_breaker_changes", "Changes of the circuit breaker to this state.", "issuer", "state")
	m.storeFailures = m.counter("introspection_store_failures", "Failures of the shared store.", "issuer", "operation")
	m.purges = m.counter("introspection_purges", "Purges of the cache of answers, those of other processes too.", "issuer")
	m.purgeLogFailures = m.counter("introspection_purge_log_failures", "Failures of the log by which processes tell each other of purges.", "issuer", "operation")
	m.keyChanges = m.counter("jwks_key_changes", "Keys that were added to a fetched set, or removed.", "issuer", "change")
	m.stateChanges = m.counter("jwks_state_changes", "Changes of a key cache to this state.", "issuer", "state")
	m.staleAnswers = m.counter("jwks_stale_answers", "Calls that were answered with keys older than their TTL.", "issuer")
	m.suppressedMisses = m.counter("jwks_suppressed_misses", "Unknown keys that caused no fetch, since there was one shortly before.", "issuer")
	m.skippedKeys = m.counter("jwks_skipped_keys", "Keys of fetched sets that are not admitted.", "issuer")
	m.ended = m.counter("requests_ended", "Requests that a gate had let pass and ended while they were served: their token expired or was refused.", "pattern", "reason", "report_only")
	m.nonces = m.counter("dpop_nonces", "Proofs whose nonce was looked at, by what became of it.", "outcome")
	m.revoked = m.counter("revocation_refusals", "Tokens that were refused because an entry revokes them, by what it has set and whose it is.", "issuer", "source", "by")
	m.revocations = m.counter("revocation_changes", "Entries that were added or lifted, in this process or another one.", "source", "by", "change")
	m.syncs = m.counter("revocation_syncs", "Looks into the log of revocations that have found something, or failed.", "outcome")
	m.skippedRecords = m.counter("revocation_skipped_records", "Records of the log of revocations that could not be read.")
	m.putBack = m.counter("revocation_put_back", "Entries that the log of revocations had lost, and was given back.")
	m.refetches = m.counter("revocation_key_refetches", "Fetches of keys because one of them was revoked.", "issuer", "outcome")
	m.logouts = m.counter("revocation_logouts", "Back-channel logouts of a provider, by what became of them.", "issuer", "by", "outcome", "reason")
	m.signals = m.counter("revocation_signals", "Security events of a transmitter, by what became of them.", "issuer", "type", "outcome", "reason")
	m.discarded = m.counter("revocation_signals_discarded", "Security events that are valid and revoke nothing, by why.", "issuer", "type", "why")
	m.streams = m.counter("revocation_stream_changes", "Changes of the stream of security events to this state, as the transmitter says.", "issuer", "status")
	m.suspected = m.counter("sightings_suspected", "Tokens that were sent from too many networks, each once in the time in which they are counted.", "issuer")
	m.forgotten = m.counter("sightings_forgotten", "Tokens that could still have been suspected and were forgotten, for there was no room.")
	m.unmappedPaths = m.counter("unmapped_paths", "Paths that a Map looked for and none of the first 100 tokens had, and again at 1,000.", "issuer")
	m.panics = m.counter("panics", "Panics in hooks and other functions of the configuration.", "package")
	if c.MaxClients > 0 {
		m.clients = m.owners("client", "Decisions on tokens that somebody vouches for, by their client.", c.MaxClients, (*labels.Names).Client, "principal")
	}
	if c.MaxTenants > 0 {
		m.tenants = m.owners("tenant", "Decisions on tokens that somebody vouches for, by their tenant.", c.MaxTenants, (*labels.Names).Tenant)
	}
	if c.TraceOf != nil {
		m.traceOf = bearergate.Hook("TraceOf", m.panicked("promgate"), func(ctx context.Context, of *ids) { of.trace, of.span = c.TraceOf(ctx) })
	}
	m.warnings()
	m.breakers.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + "introspection_breaker_state",
		Help: "State of the circuit breaker: 1 for the present one, else 0."}, []string{"issuer", "state"})
	m.all = append(m.all, m.breakers.gauge, &m.watched, &m.list, &m.watches, &m.usage)

	if err := c.Registerer.Register(collector{m}); err != nil {
		return nil, misconfigured(fmt.Errorf("the Registerer: %w", err))
	}
	return m, nil
}

// isNil reports whether v is nil or holds a nil pointer.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

func misconfigured(err error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
		Cause: fmt.Errorf("promgate: %w", err)}
}

// collector is all metrics as one, so that they are registered all or none.
type collector struct{ m *Metrics }

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, v := range c.m.all {
		v.Describe(out)
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, v := range c.m.all {
		v.Collect(out)
	}
}

// VerifyHooks are for jwtverify.Config.Hooks.
func (m *Metrics) VerifyHooks() jwtverify.Hooks {
	return jwtverify.Hooks{
		Verified: func(ctx context.Context, e jwtverify.VerifyEvent) {
			outcome, reason := outcomeOf(e.Err)
			m.verifications.observe(m.exemplar(ctx), e.Duration, key{e.Issuer, strconv.FormatBool(e.Cached), outcome, reason})
			m.token(e.Issuer, "jwt", e.Bytes, e.Lifetime)
			if e.RemovedKey != "" {
				m.removedKeys.add(1, key{e.Issuer})
			}
		},
		Unmapped: m.unmapped,
		Panicked: m.panicked("jwtverify"),
	}
}

// KeyHooks are for jwks.Config.Hooks, and for KeyHooks of jwtverify.Config and
// introspect.Config. See also [Metrics.Watch].
func (m *Metrics) KeyHooks() jwks.Hooks {
	return jwks.Hooks{
		Fetched: func(ctx context.Context, e jwks.FetchEvent) {
			m.fetches.observe(m.exemplar(ctx), e.Duration, key{e.Issuer, string(e.Outcome), string(e.Trigger)})
			m.keyChanges.add(len(e.Added), key{e.Issuer, "added"})
			m.keyChanges.add(len(e.Removed), key{e.Issuer, "removed"})
			m.server(e.Issuer, "keys", e.Server)
		},
		StateChanged:   func(_ context.Context, e jwks.StateEvent) { m.stateChanges.add(1, key{e.Issuer, string(e.To)}) },
		MissSuppressed: func(_ context.Context, e jwks.MissEvent) { m.suppressedMisses.add(1, key{e.Issuer}) },
		StaleServed:    func(_ context.Context, e jwks.StaleEvent) { m.staleAnswers.add(1, key{e.Issuer}) },
		KeySkipped:     func(_ context.Context, e jwks.KeyEvent) { m.skippedKeys.add(1, key{e.Issuer}) },
		UsedEarly:      func(_ context.Context, e jwks.EarlyEvent) { m.earlyKeys.add(1, key{e.Issuer}) },
		Panicked:       m.panicked("jwks"),
	}
}

// IntrospectHooks are for introspect.Config.Hooks. The state of the breaker is
// told from the first call on; of two clients with one issuer, by the last of
// both that changed.
func (m *Metrics) IntrospectHooks() introspect.Hooks {
	return introspect.Hooks{
		Looked: func(ctx context.Context, e introspect.LookEvent) {
			outcome, reason := outcomeOf(e.Err)
			m.introspections.observe(m.exemplar(ctx), e.Duration, key{e.Issuer, string(e.Result), outcome, reason})
			m.token(e.Issuer, "introspection", e.Bytes, e.Lifetime)
		},
		Called: func(ctx context.Context, e introspect.CallEvent) {
			m.calls.observe(m.exemplar(ctx), e.Duration, key{e.Issuer, string(e.Outcome), e.StatusClass()})
			m.breakers.begin(m.issuer(e.Issuer))
			m.server(e.Issuer, "introspection", e.Server)
		},
		BreakerChanged: func(_ context.Context, e introspect.BreakerEvent) {
			m.breakerChanges.add(1, key{e.Issuer, string(e.To)})
			m.breakers.set(m.issuer(e.Issuer), e.To)
		},
		Purged: func(_ context.Context, e introspect.PurgeEvent) {
			m.purges.add(1, key{e.Issuer})
			if e.Err != nil {
				m.purgeLogFailures.add(1, key{e.Issuer, "append"})
			}
		},
		PurgesRead: func(_ context.Context, e introspect.PurgesReadEvent) {
			if e.Err != nil {
				m.purgeLogFailures.add(1, key{e.Issuer, "read"})
			}
		},
		StoreFailed: func(_ context.Context, e introspect.StoreEvent) { m.storeFailures.add(1, key{e.Issuer, e.Operation}) },
		Unmapped:    m.unmapped,
		Panicked:    m.panicked("introspect"),
	}
}

// GateHooks are for middleware.Config.Hooks.
func (m *Metrics) GateHooks() middleware.Hooks {
	return middleware.Hooks{
		Decided: func(ctx context.Context, e middleware.DecisionEvent) {
			outcome, reason := outcomeOf(e.Err)
			reportOnly, linked := strconv.FormatBool(e.ReportOnly), m.exemplar(ctx)
			if e.Midstream { // no further request, and its duration is not that of a decision
				m.ended.link(linked, key{e.Pattern, reason, reportOnly})
				return
			}
			m.decisions.observe(linked, e.Duration, key{outcome, e.Pattern, reason, reportOnly})
			if e.QueryToken {
				m.queryTokens.link(linked, key{senderOf(e, outcome), e.Pattern})
			}
			if m.clients == nil && m.tenants == nil {
				return
			}
			if t := labels.Whose(e.Token, e.Err); t != nil {
				m.clients.add(linked, t, outcome, reason, reportOnly)
				m.tenants.add(linked, t, outcome, reason, reportOnly)
			}
		},
		Panicked: m.panicked("middleware"),
	}
}

// unknownAlgorithm is the algorithm of a proof without a good header.
const unknownAlgorithm = "unknown"

// ProofHooks are for dpop.Config.Hooks.
func (m *Metrics) ProofHooks() dpop.Hooks {
	return dpop.Hooks{
		Judged: func(ctx context.Context, e dpop.ProofEvent) {
			outcome, reason := outcomeOf(e.Err)
			linked := m.exemplar(ctx)
			m.proofs.observe(linked, e.Duration, key{cmp.Or(e.Algorithm, unknownAlgorithm), outcome, reason, string(e.Fault)})
			if e.Nonce != "" {
				m.nonces.add(1, key{string(e.Nonce)})
			}
			if e.Store != "" {
				m.stores.observe(linked, e.StoreDuration, key{string(e.Store)})
			}
		},
		Panicked: m.panicked("dpop"),
	}
}

// RevocationHooks are for revocation.Config.Hooks. See also [Metrics.WatchRevocations].
func (m *Metrics) RevocationHooks() revocation.Hooks {
	return revocation.Hooks{
		Refused: func(_ context.Context, e revocation.RefusedEvent) { m.revoked.add(1, key{e.Issuer, e.Source, e.By}) },
		Changed: func(_ context.Context, e revocation.ChangeEvent) {
			change := "added"
			if e.Lifted {
				change = "lifted"
			}
			m.revocations.add(1, key{e.Entry.Source, e.By, change})
		},
		Synced: func(_ context.Context, e revocation.SyncEvent) {
			m.syncs.add(1, key{okIf(e.Err)})
			m.skippedRecords.add(e.Skipped, key{})
		},
		PutBack:   func(_ context.Context, e revocation.PutBackEvent) { m.putBack.add(e.Entries, key{}) },
		Refetched: func(_ context.Context, e revocation.RefetchEvent) { m.refetches.add(1, key{e.Issuer, okIf(e.Err)}) },
		Panicked:  m.panicked("revocation"),
	}
}

// LogoutHooks are for backchannel.Config.Hooks. What was revoked, [Metrics.RevocationHooks] count.
func (m *Metrics) LogoutHooks() backchannel.Hooks {
	return backchannel.Hooks{
		Received: func(_ context.Context, e backchannel.ReceivedEvent) {
			_, reason := outcomeOf(e.Err)
			m.logouts.add(1, key{e.Issuer, string(e.By), string(e.Outcome), reason})
		},
		Panicked: m.panicked("backchannel"),
	}
}

// SignalHooks are for signals.Config.Hooks. What was revoked, [Metrics.RevocationHooks] count.
func (m *Metrics) SignalHooks() signals.Hooks {
	return signals.Hooks{
		Received: func(_ context.Context, e signals.ReceivedEvent) {
			_, reason := outcomeOf(e.Err)
			m.signals.add(1, key{e.Issuer, e.Type, string(e.Outcome), reason})
		},
		Discarded: func(_ context.Context, e signals.DiscardedEvent) {
			m.discarded.add(1, key{e.Issuer, e.Type, string(e.Why)})
		},
		Stream:   func(_ context.Context, e signals.StreamEvent) { m.streams.add(1, key{e.Issuer, e.Status}) },
		Panicked: m.panicked("signals"),
	}
}

// SightingHooks are for sightings.Config.Hooks. See also [Metrics.WatchSightings].
func (m *Metrics) SightingHooks() sightings.Hooks {
	return sightings.Hooks{
		Suspected: func(_ context.Context, e sightings.Event) { m.suspected.add(1, key{e.Issuer}) },
		Forgot: func(_ context.Context, e sightings.ForgotEvent) {
			m.forgotten.add(int(min(e.Tokens, math.MaxInt32)), key{})
		},
		Panicked: m.panicked("sightings"),
	}
}

func okIf(err error) string {
	if err == nil {
		return "ok"
	}
	return "failed"
}

func (m *Metrics) unmapped(_ context.Context, e bearergate.UnmappedEvent) {
	m.unmappedPaths.add(1, key{e.Issuer})
}

func (m *Metrics) panicked(pkg string) func(context.Context, bearergate.PanicEvent) {
	return func(context.Context, bearergate.PanicEvent) { m.panics.add(1, key{pkg}) }
}

// outcomeOf says whose fault err is, and its Reason. An error of a foreign
// verifier, and a Reason that is none of the constants, count as everywhere in
// this module: see [bearergate.AsError].
func outcomeOf(err error) (outcome, reason string) {
	if err == nil {
		return "accepted", ""
	}
	e := bearergate.AsError(err)
	switch {
	case e.Reason == bearergate.ReasonCanceled:
		outcome = "canceled"
	case e.Kind == bearergate.ErrUnavailable:
		outcome = "unavailable"
	case e.Kind == bearergate.ErrMisconfigured:
		outcome = "misconfigured"
	default:
		outcome = "refused"
	}
	return outcome, string(e.Reason)
}
