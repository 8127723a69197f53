// Package otelgate tells OpenTelemetry what bearergate does: it makes the hooks
// of the packages jwtverify, jwks, introspect, middleware, middleware/sightings,
// binding/dpop, revocation, revocation/backchannel and revocation/signals.
//
//	telemetry, err := otelgate.New(otelgate.Config{TracerProvider: otel.GetTracerProvider(), MeterProvider: otel.GetMeterProvider()})
//	v, err := jwtverify.New(jwtverify.Config{…, Hooks: telemetry.VerifyHooks(), KeyHooks: telemetry.KeyHooks()})
//	gate, err := middleware.New(v, middleware.Config{Hooks: telemetry.GateHooks()})
//	proofs, err := dpop.New(dpop.Config{…, Hooks: telemetry.ProofHooks()})
//	list, err := revocation.New(revocation.Config{…, Hooks: telemetry.RevocationHooks()})
//	logout, err := backchannel.New(backchannel.Config{…, Hooks: telemetry.LogoutHooks()})
//	receiver, err := signals.New(signals.Config{…, Hooks: telemetry.SignalHooks()})
//	watch, err := sightings.New(sightings.Config{Hooks: telemetry.SightingHooks()})
//
// Hooks of other telemetry are joined with these by the JoinHooks of each package.
//
// # Spans
//
// They are made after the fact, with the times of what they tell. A token whose
// answer was remembered causes none.
//
//	bearergate.verify           one cold verification of a JWT; a child of the request's span
//	bearergate.introspect       one Verify that had to wait for an answer; a child of the request's span
//	bearergate.jwks.fetch       one fetch of keys; a trace of its own
//	bearergate.introspect.call  one call of the introspection endpoint; a trace of its own
//
// A fetch or a call belongs to nobody's trace, since many requests share it. It
// has a link to the span of the request that caused it, and the span of every
// request that waited for its end has a link to it. A request that gave up
// before has none.
//
// A token that is refused is no failure of this server: error.type says why and
// the status is unset, as it is for a caller that went away. An outage and a
// wrong configuration have the status Error. The span of a request that the
// gate refuses, or ends midway, names the check that refused in the attribute
// bearergate.reason, in the word of the [bearergate.Reason]: signature, audience, scope. So does that of
// a logout or a security event that is not taken. On the spans of the table, error.type is the same word.
//
// That span, and the spans bearergate.verify and bearergate.introspect, also say
// why in the words of the [bearergate.Error], where it has any:
//
//	bearergate.detail       what is wrong
//	bearergate.expected     what this server is configured to accept
//	bearergate.found        what the token says instead
//	bearergate.unverified   true if no signature vouches for bearergate.found: anybody may have written it
//
// Each text is cut to 1024 bytes. What a token says there is an issuer, an
// audience, an algorithm, a type, a key ID, the name of a claim or of a member of
// cnf, a time, a lifetime or an acr. So it is in the errors of this module; whoever
// makes a bearergate.Error, a Check or a Verifier of your own, has to keep to that. Where
// a valid token lacks a scope, a role or a tenant, there is only the detail.
//
// A proof of a DPoP key is an event of the request's span, bearergate.dpop.proof, with
//
//	bearergate.dpop.algorithm        of a proof whose header is good
//	bearergate.dpop.fault            what is wrong with it, a [dpop.Fault]
//	bearergate.dpop.nonce            what became of its nonce, a [dpop.NonceOutcome]
//	bearergate.dpop.store            what the replay store answered, a [dpop.StoreOutcome]
//	bearergate.dpop.store_duration   how long that took, in seconds
//	bearergate.dpop.duration         how long the whole judgment took, in seconds
//	error.type                       the [bearergate.Reason] of a refusal
//
// each where there is one. Several gates may judge a proof of one request, each its own.
//
// No span holds a token, a proof, a jti, a nonce, a thumbprint, a secret, a scope, the path of a request or the text of a
// cause. None says whose token it was, no subject, client or jti, also where
// Error.Refused does: that is for an audit, which package sloggate writes. The exception
// is what [Config] turns on, for the span of a request whose token somebody vouches for,
// accepted or refused:
//
//	bearergate.client       the client ID           SpanClient
//	bearergate.tenant       the tenant              SpanTenant
//	bearergate.issuer       of the two              either
//	bearergate.principal    user, client, unknown   SpanPrincipal
//
// The semantic conventions have no attribute for an OAuth client or a tenant; enduser.id is
// a person's, and none of these. Of several gates, the last one to know says it; one that
// refuses a token of nobody's takes back what was said before.
//
// # Metrics
//
//	bearergate.verify.duration             s           bearergate.issuer, bearergate.cached, error.type
//	bearergate.introspect.duration         s           bearergate.issuer, bearergate.introspect.result, error.type
//	bearergate.introspect.call.duration    s           bearergate.issuer, bearergate.introspect.outcome, error.type
//	bearergate.introspect.breaker_changes  {change}    bearergate.issuer, bearergate.introspect.breaker
//	bearergate.introspect.store_failures   {failure}   bearergate.issuer, bearergate.introspect.store_operation
//	bearergate.introspect.purge_log_failures {failure} bearergate.issuer, bearergate.introspect.purge_operation
//	bearergate.jwks.fetch.duration         s           bearergate.issuer, bearergate.jwks.trigger, bearergate.jwks.outcome, error.type
//	bearergate.jwks.keys                   {key}       bearergate.issuer
//	bearergate.jwks.skipped_keys           {key}       bearergate.issuer
//	bearergate.jwks.state_changes          {change}    bearergate.issuer, bearergate.jwks.state
//	bearergate.jwks.stale_answers          {answer}    bearergate.issuer
//	bearergate.jwks.suppressed_misses      {miss}      bearergate.issuer
//	bearergate.decisions                   {decision}  http.request.method, http.route, bearergate.source, bearergate.report_only, error.type
//	bearergate.requests_ended              {request}   http.request.method, http.route, bearergate.source, bearergate.report_only, error.type
//	bearergate.dpop.proof.duration         s           bearergate.dpop.algorithm, bearergate.dpop.fault, error.type
//	bearergate.dpop.nonces                 {proof}     bearergate.dpop.nonce
//	bearergate.dpop.store.duration         s           bearergate.dpop.store, error.type
//	bearergate.revocation.refusals         {token}     bearergate.issuer, bearergate.revocation.source, bearergate.revocation.by
//	bearergate.revocation.changes          {entry}     bearergate.revocation.source, bearergate.revocation.by, bearergate.revocation.change
//	bearergate.revocation.syncs            {look}      error.type
//	bearergate.revocation.skipped_records  {record}
//	bearergate.revocation.put_back         {entry}
//	bearergate.revocation.key_refetches    {fetch}     bearergate.issuer, error.type
//	bearergate.revocation.logouts          {logout}    bearergate.issuer, bearergate.revocation.by, bearergate.revocation.outcome, error.type
//	bearergate.revocation.signals          {event}     bearergate.issuer, bearergate.revocation.event, bearergate.revocation.outcome, error.type
//	bearergate.revocation.signals_discarded {event}    bearergate.issuer, bearergate.revocation.event, bearergate.revocation.why
//	bearergate.revocation.stream_changes   {change}    bearergate.issuer, bearergate.revocation.stream
//	bearergate.sightings.suspected         {token}     bearergate.issuer
//	bearergate.sightings.forgotten         {token}
//	bearergate.unmapped_paths              {path}      bearergate.issuer
//	bearergate.issuer.clock_skew           s           bearergate.issuer, bearergate.endpoint
//	bearergate.issuer.clock_skew_uncertainty s         bearergate.issuer, bearergate.endpoint
//	bearergate.issuer.certificate_expiry   s           bearergate.issuer, bearergate.endpoint
//	bearergate.token.lifetime              s           bearergate.issuer, bearergate.verifier
//	bearergate.token.size                  By          bearergate.issuer, bearergate.verifier
//	bearergate.jwks.early_keys             {key}       bearergate.issuer
//	bearergate.verify.removed_keys         {token}     bearergate.issuer
//	bearergate.query_tokens                {request}   http.request.method, http.route, bearergate.source, bearergate.report_only, error.type
//	bearergate.unasked_scopes              {scope}     see [Telemetry.WatchUsage]
//	bearergate.panics                      {panic}     bearergate.package
//
// with [Config.MaxClients] and [Config.MaxTenants] also
//
//	bearergate.client_decisions            {decision}  bearergate.issuer, bearergate.client, bearergate.principal, bearergate.report_only, error.type
//	bearergate.tenant_decisions            {decision}  bearergate.issuer, bearergate.tenant, bearergate.report_only, error.type
//
// error.type is the [bearergate.Reason] of a refusal, or the outcome of a failed
// fetch or call, failed or full of a replay store, failed of a look into the log of
// revocations and of a fetch because of one; without it there was no error. Attributes of metrics come from
// the configuration and from closed sets. None holds a token, a client, a subject,
// a key ID, a scope, a path, a URL or the text of an error, nor any of the words
// with which a span says why.
//
// The exception is what MaxClients and MaxTenants turn on. These two count the decisions on
// tokens that somebody vouches for, by who sent them ([labels.Whose]): those that were
// accepted, and those that were refused after their signature or their answer was found
// good. A forged token names nobody, and neither does one that is bound to a key which its
// sender did not prove to hold. A request that was ended midway is not counted again. The
// issuer is that of the token. The first MaxClients pairs of both have names, and all later
// ones are issuer "other", client "other", and so are those whose names are not fit to be
// shown ([labels.Fit]). An attribute is absent where the token says nothing. So many clients
// make one series more than MaxClients, for each principal, error.type and report_only that
// they have met.
//
// Measurements are made with the context of the request, so that the SDK links them to its
// trace by exemplars, where that is sampled.
//
// The clock skew is by how much the clock of the issuer is ahead of that of this machine, and
// its uncertainty how far that may be off, either way; the expiry of its certificates is a
// Unix time. Each is by the last answer that said it, and absent while none has. The endpoint
// is keys or introspection, the verifier jwt or introspection. The lifetime and the size are
// those of accepted tokens, and a token counts once where its signature is checked or the
// server asked. bearergate.query_tokens counts the requests with a parameter access_token in
// their query, which is never read.
//
// The package makes no exporter, no provider and no goroutine, and uses the API
// of OpenTelemetry alone, no SDK. Everything here is safe for concurrent use.
package otelgate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

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

// ScopeName is the name of the instrumentation scope of all spans and metrics.
const ScopeName = "github.com/bearergate/bearergate/adapters/otel"

// Config says where spans and metrics go. One of the two is required.
type Config struct {
	// TracerProvider makes the spans, otel.GetTracerProvider() for example.
	// nil: no spans. What is sampled is its own decision.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the instruments, otel.GetMeterProvider() for example.
	// nil: no metrics.
	MeterProvider metric.MeterProvider

	// MaxClients turns on bearergate.client_decisions, and is how many clients have a name
	// in it: the first that come, per process, for as long as it runs. Later ones are
	// counted together as "other". 0, the default: there is no such instrument.
	//
	// The SDK has a limit of its own, 2,000 series of one instrument by default: a client
	// has one for each outcome that it has met.
	//
	// Danger: everybody who reads the metrics then learns the client IDs of whoever has a
	// token that is good. They are no secrets (RFC 6749 §2.2), but some servers make them
	// of something that is: see [labels.Fit]. Whoever may register clients can take the
	// places.
	MaxClients int
	// MaxTenants is the same for bearergate.tenant_decisions and the tenants of tokens.
	MaxTenants int

	// SpanClient and SpanTenant have the span of a request say who sent it: the attributes
	// bearergate.client and bearergate.tenant, each with bearergate.issuer, where somebody
	// vouches for the token ([labels.Whose]) and the name is fit to be shown
	// ([labels.Fit]). The default: neither.
	//
	// Danger: in some places the client or the tenant is one person, and then this is
	// personal data. Whoever reads traces reads it, for as long as they are kept.
	SpanClient, SpanTenant bool
	// SpanPrincipal has it say who acts, bearergate.principal: user, client or unknown
	// ([labels.Principal]). The default: no.
	SpanPrincipal bool
}

// Telemetry makes hooks. Those of one Telemetry may be given to any number of
// verifiers, caches, clients and gates. Make it with [New]. It is safe for
// concurrent use.
type Telemetry struct {
	tracing bool
	tracer  trace.Tracer
	shared  spans

	verifyDuration, lookDuration, callDuration, fetchDuration metric.Float64Histogram
	proofDuration, storeDuration                              metric.Float64Histogram
	keys                                                      metric.Int64Gauge
	skippedKeys, stateChanges, staleAnswers, suppressedMisses metric.Int64Counter
	breakerChanges, storeFailures, decisions, ended, panics   metric.Int64Counter
	nonces, unmappedPaths, purgeLogFailures                   metric.Int64Counter
	revoked, revocations, syncs, skippedRecords, putBack      metric.Int64Counter
	refetches, logouts, signals, discarded, streams           metric.Int64Counter
	suspected, forgotten                                      metric.Int64Counter
	earlyKeys, removedKeys, queryTokens                       metric.Int64Counter
	skew, skewUncertainty, certificateExpiry                  metric.Float64Gauge
	tokenLifetime, tokenSize                                  metric.Float64Histogram

	meter metric.Meter
	usage atomic.Bool // is watched

	clients, tenants *owners // nil: off
	shows            shows

	verifySeries   series[verifyLabels]
	lookSeries     series[lookLabels]
	callSeries     series[callLabels]
	fetchSeries    series[fetchLabels]
	decisionSeries series[decisionLabels]
	proofSeries    series[proofLabels]
	storeSeries    series[storeLabels]
	revokedSeries  series[revokedLabels]
	feedSeries     series[feedLabels]
	otherSeries    series[otherLabels]
}

// The bounds of the histograms, in seconds: from a token seen before, about a
// microsecond, to the longest wait for keys; for a store, from one in memory to the
// longest timeout, with its default of 0.1 s among them.
var (
	verifyBounds  = []float64{1e-6, 2.5e-6, 5e-6, 1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 1e-2, 0.1, 1, 5, 10}
	storeBounds   = []float64{1e-6, 1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10}
	networkBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
)

// New makes the instruments. Its error is [bearergate.ErrMisconfigured] and
// names everything that is wrong with the configuration, or that the meter says
// of an instrument.
func New(c Config) (*Telemetry, error) {
	var errs []error
	if c.TracerProvider == nil && c.MeterProvider == nil {
		errs = append(errs, errors.New("set TracerProvider, MeterProvider, or both"))
	}
	if isNil(c.TracerProvider) {
		errs = append(errs, fmt.Errorf("TracerProvider is a nil %T: leave the field out for no spans", c.TracerProvider))
	}
	if isNil(c.MeterProvider) {
		errs = append(errs, fmt.Errorf("MeterProvider is a nil %T: leave the field out for no metrics", c.MeterProvider))
	}
	if c.MaxClients < 0 || c.MaxTenants < 0 {
		errs = append(errs, errors.New("MaxClients and MaxTenants cannot be negative"))
	}
	if c.MeterProvider == nil && (c.MaxClients > 0 || c.MaxTenants > 0) {
		errs = append(errs, errors.New("MaxClients and MaxTenants are for metrics: set MeterProvider too"))
	}
	if c.TracerProvider == nil && (c.SpanClient || c.SpanTenant || c.SpanPrincipal) {
		errs = append(errs, errors.New("SpanClient, SpanTenant and SpanPrincipal are for spans: set TracerProvider too"))
	}
	if len(errs) > 0 {
		return nil, misconfigured(errs)
	}
	t := &Telemetry{tracing: c.TracerProvider != nil, shows: shows{c.SpanClient, c.SpanTenant, c.SpanPrincipal}}
	if c.TracerProvider == nil {
		c.TracerProvider = tracenoop.NewTracerProvider()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = metricnoop.NewMeterProvider()
	}
	t.tracer = c.TracerProvider.Tracer(ScopeName)
	meter := c.MeterProvider.Meter(ScopeName)
	histogram := func(name, description string, bounds []float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	t.verifyDuration = histogram("bearergate.verify.duration", "How long the verification of a JWT took, waiting for keys included.", verifyBounds)
	t.lookDuration = histogram("bearergate.introspect.duration", "How long the decision on an opaque token took, waiting included.", verifyBounds)
	t.callDuration = histogram("bearergate.introspect.call.duration", "How long a call of the introspection endpoint took.", networkBounds)
	t.fetchDuration = histogram("bearergate.jwks.fetch.duration", "How long a fetch of keys took, discovery included.", networkBounds)
	t.proofDuration = histogram("bearergate.dpop.proof.duration", "How long the judgment of a proof took, waiting for the replay store included.", verifyBounds)
	t.storeDuration = histogram("bearergate.dpop.store.duration", "How long a call of the replay store took.", storeBounds)
	t.skippedKeys = counter("bearergate.jwks.skipped_keys", "{key}", "Keys of fetched sets that are not admitted.")
	t.stateChanges = counter("bearergate.jwks.state_changes", "{change}", "Changes of a key cache to this state.")
	t.staleAnswers = counter("bearergate.jwks.stale_answers", "{answer}", "Calls answered with keys older than their TTL.")
	t.suppressedMisses = counter("bearergate.jwks.suppressed_misses", "{miss}", "Unknown keys that caused no fetch.")
	t.breakerChanges = counter("bearergate.introspect.breaker_changes", "{change}", "Changes of the circuit breaker to this state.")
	t.storeFailures = counter("bearergate.introspect.store_failures", "{failure}", "Failures of the shared store.")
	t.decisions = counter("bearergate.decisions", "{decision}", "Requests that a gate let pass or, with error.type, refused.")
	t.ended = counter("bearergate.requests_ended", "{request}", "Requests that a gate had let pass and ended while they were served: their token expired or was refused.")
	t.nonces = counter("bearergate.dpop.nonces", "{proof}", "Proofs whose nonce was looked at, by what became of it.")
	t.purgeLogFailures = counter("bearergate.introspect.purge_log_failures", "{failure}", "Failures of the log by which processes tell each other of purges.")
	t.revoked = counter("bearergate.revocation.refusals", "{token}", "Tokens that were refused because an entry revokes them, by what it has set and whose it is.")
	t.revocations = counter("bearergate.revocation.changes", "{entry}", "Entries that were added or lifted, in this process or another one.")
	t.syncs = counter("bearergate.revocation.syncs", "{look}", "Looks into the log of revocations that have found something or, with error.type, failed.")
	t.skippedRecords = counter("bearergate.revocation.skipped_records", "{record}", "Records of the log of revocations that could not be read.")
	t.putBack = counter("bearergate.revocation.put_back", "{entry}", "Entries that the log of revocations had lost, and was given back.")
	t.refetches = counter("bearergate.revocation.key_refetches", "{fetch}", "Fetches of keys because one of them was revoked.")
	t.logouts = counter("bearergate.revocation.logouts", "{logout}", "Back-channel logouts of a provider that were taken or, with error.type, were not.")
	t.signals = counter("bearergate.revocation.signals", "{event}", "Security events of a transmitter that were taken or, with error.type, were not.")
	t.discarded = counter("bearergate.revocation.signals_discarded", "{event}", "Security events that are valid and revoke nothing, by why.")
	t.streams = counter("bearergate.revocation.stream_changes", "{change}", "Changes of the stream of security events to this state, as the transmitter says.")
	t.suspected = counter("bearergate.sightings.suspected", "{token}", "Tokens that were sent from too many networks, each once in the time in which they are counted.")
	t.forgotten = counter("bearergate.sightings.forgotten", "{token}", "Tokens that could still have been suspected and were forgotten, for there was no room.")
	t.unmappedPaths = counter("bearergate.unmapped_paths", "{path}", "Paths that a Map looked for and none of the first 100 tokens had, and again at 1,000.")
	t.panics = counter("bearergate.panics", "{panic}", "Panics in hooks and other functions of the configuration.")
	if c.MaxClients > 0 {
		t.clients = &owners{names: labels.New(c.MaxClients), counter: counter("bearergate.client_decisions", "{decision}", "Decisions on tokens that somebody vouches for, by their client.")}
	}
	if c.MaxTenants > 0 {
		t.tenants = &owners{names: labels.New(c.MaxTenants), counter: counter("bearergate.tenant_decisions", "{decision}", "Decisions on tokens that somebody vouches for, by their tenant.")}
	}
	t.meter = meter
	errs = append(errs, t.warnings(counter))
	var err error
	t.keys, err = meter.Int64Gauge("bearergate.jwks.keys", metric.WithUnit("{key}"), metric.WithDescription("Admitted keys after the last fetch."))
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, misconfigured([]error{err})
	}
	return t, nil
}

// isNil reports whether v holds a nil pointer, func or map.
func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map:
		return r.IsNil()
	}
	return false
}

func misconfigured(errs []error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
		Cause: fmt.Errorf("otelgate: %w", errors.Join(errs...))}
}

// VerifyHooks are for jwtverify.Config.Hooks.
func (t *Telemetry) VerifyHooks() jwtverify.Hooks {
	return jwtverify.Hooks{
		Verified: t.verified,
		Unmapped: t.unmapped,
		Panicked: t.panicked("jwtverify"),
	}
}

// KeyHooks are for jwks.Config.Hooks, and for KeyHooks of jwtverify.Config and
// introspect.Config.
func (t *Telemetry) KeyHooks() jwks.Hooks {
	h := jwks.Hooks{
		Fetched: t.fetched,
		StateChanged: func(ctx context.Context, e jwks.StateEvent) {
			t.stateChanges.Add(ctx, 1, t.otherSeries.of(otherLabels{e.Issuer, keyState, string(e.To)}).add...)
		},
		MissSuppressed: func(ctx context.Context, e jwks.MissEvent) {
			t.suppressedMisses.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer: e.Issuer}).add...)
		},
		StaleServed: func(ctx context.Context, e jwks.StaleEvent) {
			t.staleAnswers.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer: e.Issuer}).add...)
		},
		KeySkipped: func(ctx context.Context, e jwks.KeyEvent) {
			t.skippedKeys.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer: e.Issuer}).add...)
		},
		UsedEarly: func(ctx context.Context, e jwks.EarlyEvent) {
			t.earlyKeys.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer: e.Issuer}).add...)
		},
		Panicked: t.panicked("jwks"),
	}
	if t.tracing {
		h.Waited = func(ctx context.Context, e jwks.WaitEvent) { t.shared.link(ctx, e.FetchID) }
	}
	return h
}

// IntrospectHooks are for introspect.Config.Hooks. What the operator does, a
// purge, is not counted; that other processes were not told of one is.
func (t *Telemetry) IntrospectHooks() introspect.Hooks {
	h := introspect.Hooks{
		Looked: t.looked,
		Called: t.called,
		BreakerChanged: func(ctx context.Context, e introspect.BreakerEvent) {
			t.breakerChanges.Add(ctx, 1, t.otherSeries.of(otherLabels{e.Issuer, keyBreaker, string(e.To)}).add...)
		},
		Purged:     func(ctx context.Context, e introspect.PurgeEvent) { t.purgeLog(ctx, e.Issuer, "append", e.Err) },
		PurgesRead: func(ctx context.Context, e introspect.PurgesReadEvent) { t.purgeLog(ctx, e.Issuer, "read", e.Err) },
		StoreFailed: func(ctx context.Context, e introspect.StoreEvent) {
			t.storeFailures.Add(ctx, 1, t.otherSeries.of(otherLabels{e.Issuer, keyOperation, e.Operation}).add...)
		},
		Unmapped: t.unmapped,
		Panicked: t.panicked("introspect"),
	}
	if t.tracing {
		h.Waited = func(ctx context.Context, e introspect.WaitEvent) { t.shared.link(ctx, e.CallID) }
	}
	return h
}

// GateHooks are for middleware.Config.Hooks.
func (t *Telemetry) GateHooks() middleware.Hooks {
	return middleware.Hooks{
		Decided:  t.decided,
		Panicked: t.panicked("middleware"),
	}
}

// ProofHooks are for dpop.Config.Hooks.
func (t *Telemetry) ProofHooks() dpop.Hooks {
	return dpop.Hooks{
		Judged:   t.judged,
		Panicked: t.panicked("dpop"),
	}
}

// RevocationHooks are for revocation.Config.Hooks. That a token was revoked is told by the
// span of its request too, as for every refusal.
func (t *Telemetry) RevocationHooks() revocation.Hooks {
	return revocation.Hooks{
		Refused: func(ctx context.Context, e revocation.RefusedEvent) {
			t.revoked.Add(ctx, 1, t.revokedSeries.of(revokedLabels{issuer: e.Issuer, source: e.Source, by: e.By}).add...)
		},
		Changed: func(ctx context.Context, e revocation.ChangeEvent) {
			change := "added"
			if e.Lifted {
				change = "lifted"
			}
			t.revocations.Add(ctx, 1, t.revokedSeries.of(revokedLabels{source: e.Entry.Source, by: e.By, change: change}).add...)
		},
		Synced: func(ctx context.Context, e revocation.SyncEvent) {
			t.syncs.Add(ctx, 1, t.otherSeries.of(otherLabels{key: keyErrorType, value: failedIf(e.Err)}).add...)
			if e.Skipped > 0 {
				t.skippedRecords.Add(ctx, int64(e.Skipped))
			}
		},
		PutBack: func(ctx context.Context, e revocation.PutBackEvent) { t.putBack.Add(ctx, int64(e.Entries)) },
		Refetched: func(ctx context.Context, e revocation.RefetchEvent) {
			t.refetches.Add(ctx, 1, t.otherSeries.of(otherLabels{e.Issuer, keyErrorType, failedIf(e.Err)}).add...)
		},
		Panicked: t.panicked("revocation"),
	}
}

// LogoutHooks are for backchannel.Config.Hooks. What was revoked, [Telemetry.RevocationHooks]
// count.
func (t *Telemetry) LogoutHooks() backchannel.Hooks {
	return backchannel.Hooks{
		Received: func(ctx context.Context, e backchannel.ReceivedEvent) {
			t.received(ctx, t.logouts, feedLabels{issuer: e.Issuer, by: string(e.By), outcome: string(e.Outcome)}, e.Err)
		},
		Panicked: t.panicked("backchannel"),
	}
}

// SignalHooks are for signals.Config.Hooks. What was revoked, [Telemetry.RevocationHooks]
// count.
func (t *Telemetry) SignalHooks() signals.Hooks {
	return signals.Hooks{
		Received: func(ctx context.Context, e signals.ReceivedEvent) {
			t.received(ctx, t.signals, feedLabels{issuer: e.Issuer, event: e.Type, outcome: string(e.Outcome)}, e.Err)
		},
		Discarded: func(ctx context.Context, e signals.DiscardedEvent) {
			t.discarded.Add(ctx, 1, t.feedSeries.of(feedLabels{issuer: e.Issuer, event: e.Type, why: string(e.Why)}).add...)
		},
		Stream: func(ctx context.Context, e signals.StreamEvent) {
			t.streams.Add(ctx, 1, t.otherSeries.of(otherLabels{e.Issuer, keyStream, e.Status}).add...)
		},
		Panicked: t.panicked("signals"),
	}
}

// SightingHooks are for sightings.Config.Hooks.
func (t *Telemetry) SightingHooks() sightings.Hooks {
	return sightings.Hooks{
		Suspected: func(ctx context.Context, e sightings.Event) {
			t.suspected.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer: e.Issuer}).add...)
		},
		Forgot: func(ctx context.Context, e sightings.ForgotEvent) {
			t.forgotten.Add(ctx, int64(min(e.Tokens, math.MaxInt64)))
		},
		Panicked: t.panicked("sightings"),
	}
}

// received counts a request to a feed, and tells its span why it was not taken.
func (t *Telemetry) received(ctx context.Context, counter metric.Int64Counter, l feedLabels, err error) {
	refusal := bearergate.AsError(err)
	l.reason = reasonOf(refusal)
	counter.Add(ctx, 1, t.feedSeries.of(l).add...)
	if refusal != nil && t.tracing {
		refused(trace.SpanFromContext(ctx), refusal)
	}
}

func (t *Telemetry) purgeLog(ctx context.Context, issuer, operation string, err error) {
	if err != nil {
		t.purgeLogFailures.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer, keyPurge, operation}).add...)
	}
}

func failedIf(err error) string {
	if err == nil {
		return ""
	}
	return "failed"
}

func (t *Telemetry) verified(ctx context.Context, e jwtverify.VerifyEvent) {
	refusal := bearergate.AsError(e.Err)
	o := t.verifySeries.of(verifyLabels{e.Issuer, e.Cached, reasonOf(refusal)})
	t.verifyDuration.Record(ctx, e.Duration.Seconds(), o.record...)
	t.token(ctx, e.Issuer, "jwt", e.Bytes, e.Lifetime)
	if e.RemovedKey != "" {
		t.removedKeys.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer: e.Issuer}).add...)
	}
	if !e.Cached && t.tracing {
		t.child(ctx, "bearergate.verify", e.Duration, o, refusal)
	}
}

func (t *Telemetry) looked(ctx context.Context, e introspect.LookEvent) {
	refusal := bearergate.AsError(e.Err)
	o := t.lookSeries.of(lookLabels{e.Issuer, e.Result, reasonOf(refusal)})
	t.lookDuration.Record(ctx, e.Duration.Seconds(), o.record...)
	t.token(ctx, e.Issuer, "introspection", e.Bytes, e.Lifetime)
	switch e.Result {
	case introspect.ResultHit, introspect.ResultNegative, introspect.ResultRefused: // waited for nothing
		return
	}
	if t.tracing {
		t.child(ctx, "bearergate.introspect", e.Duration, o, refusal)
	}
}

func (t *Telemetry) fetched(ctx context.Context, e jwks.FetchEvent) {
	o := t.fetchSeries.of(fetchLabels{e.Issuer, e.Trigger, e.Outcome, e.Err != nil})
	t.fetchDuration.Record(ctx, e.Duration.Seconds(), o.record...)
	t.server(ctx, e.Issuer, "keys", e.Server)
	t.keys.Record(ctx, int64(e.KeyCount), t.otherSeries.of(otherLabels{issuer: e.Issuer}).record...)
	if t.tracing {
		t.root(ctx, "bearergate.jwks.fetch", e.ID, e.Start, e.Duration, o, e.Err, string(e.Outcome), status(e.Status)...)
	}
}

func (t *Telemetry) called(ctx context.Context, e introspect.CallEvent) {
	o := t.callSeries.of(callLabels{e.Issuer, e.Outcome, e.Err != nil})
	t.callDuration.Record(ctx, e.Duration.Seconds(), o.record...)
	t.server(ctx, e.Issuer, "introspection", e.Server)
	if t.tracing {
		t.root(ctx, "bearergate.introspect.call", e.ID, e.Start, e.Duration, o, e.Err, string(e.Outcome),
			append(status(e.Status), keyAttempt.Int(e.Attempt))...)
	}
}

func (t *Telemetry) decided(ctx context.Context, e middleware.DecisionEvent) {
	refusal := bearergate.AsError(e.Err)
	o := t.decisionSeries.of(decisionLabels{e.Method, e.Pattern, e.Source, e.ReportOnly, reasonOf(refusal)})
	if e.Midstream { // no further request
		t.ended.Add(ctx, 1, o.add...)
	} else {
		t.decisions.Add(ctx, 1, o.add...)
		if e.QueryToken {
			t.queryTokens.Add(ctx, 1, o.add...)
		}
	}
	if refusal != nil && t.tracing {
		refused(trace.SpanFromContext(ctx), refusal)
	}
	if t.clients != nil || t.tenants != nil || t.shows.any() {
		t.sent(ctx, e)
	}
}

func (t *Telemetry) judged(ctx context.Context, e dpop.ProofEvent) {
	o := t.proofSeries.of(proofLabels{e.Algorithm, e.Fault, reasonOf(bearergate.AsError(e.Err))})
	t.proofDuration.Record(ctx, e.Duration.Seconds(), o.record...)
	if e.Nonce != "" {
		t.nonces.Add(ctx, 1, t.otherSeries.of(otherLabels{"", keyNonce, string(e.Nonce)}).add...)
	}
	if e.Store != "" {
		t.storeDuration.Record(ctx, e.StoreDuration.Seconds(), t.storeSeries.of(storeLabels{e.Store}).record...)
	}
	if t.tracing {
		proven(trace.SpanFromContext(ctx), o, e)
	}
}

func (t *Telemetry) unmapped(ctx context.Context, e bearergate.UnmappedEvent) {
	t.unmappedPaths.Add(ctx, 1, t.otherSeries.of(otherLabels{issuer: e.Issuer}).add...)
}

func (t *Telemetry) panicked(pkg string) func(context.Context, bearergate.PanicEvent) {
	return func(ctx context.Context, _ bearergate.PanicEvent) {
		t.panics.Add(ctx, 1, t.otherSeries.of(otherLabels{"", keyPackage, pkg}).add...)
	}
}

// reasonOf is "" for nil only: whatever else a verifier of others makes of it,
// a refusal must not look like an acceptance. See [bearergate.AsError].
func reasonOf(refusal *bearergate.Error) bearergate.Reason {
	if refusal == nil {
		return ""
	}
	return refusal.Reason
}
