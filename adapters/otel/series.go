package otelgate

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/middleware"
)

// The attributes. Those without our prefix are of OpenTelemetry's semantic conventions.
const (
	keyIssuer     attribute.Key = "bearergate.issuer"
	keyCached     attribute.Key = "bearergate.cached"
	keyReason     attribute.Key = "bearergate.reason"     // of spans only
	keyDetail     attribute.Key = "bearergate.detail"     // of spans only
	keyExpected   attribute.Key = "bearergate.expected"   // of spans only
	keyFound      attribute.Key = "bearergate.found"      // of spans only
	keyUnverified attribute.Key = "bearergate.unverified" // of spans only
	keySource     attribute.Key = "bearergate.source"
	keyReportOnly attribute.Key = "bearergate.report_only"
	keyClient     attribute.Key = "bearergate.client"
	keyTenant     attribute.Key = "bearergate.tenant"
	keyPrincipal  attribute.Key = "bearergate.principal"
	keyPackage    attribute.Key = "bearergate.package"
	keyResult     attribute.Key = "bearergate.introspect.result"
	keyCall       attribute.Key = "bearergate.introspect.outcome"
	keyAttempt    attribute.Key = "bearergate.introspect.attempt" // of spans only
	keyBreaker    attribute.Key = "bearergate.introspect.breaker"
	keyOperation  attribute.Key = "bearergate.introspect.store_operation"
	keyPurge      attribute.Key = "bearergate.introspect.purge_operation"
	keyRevoker    attribute.Key = "bearergate.revocation.source"
	keyRevokedBy  attribute.Key = "bearergate.revocation.by"
	keyChange     attribute.Key = "bearergate.revocation.change"
	keyFeed       attribute.Key = "bearergate.revocation.outcome"
	keyEvent      attribute.Key = "bearergate.revocation.event"
	keyWhy        attribute.Key = "bearergate.revocation.why"
	keyStream     attribute.Key = "bearergate.revocation.stream"
	keyTrigger    attribute.Key = "bearergate.jwks.trigger"
	keyFetch      attribute.Key = "bearergate.jwks.outcome"
	keyState      attribute.Key = "bearergate.jwks.state"
	keyAlgorithm  attribute.Key = "bearergate.dpop.algorithm"
	keyFault      attribute.Key = "bearergate.dpop.fault"
	keyNonce      attribute.Key = "bearergate.dpop.nonce"
	keyStore      attribute.Key = "bearergate.dpop.store"
	keyStoreTook  attribute.Key = "bearergate.dpop.store_duration" // of spans only
	keyProofTook  attribute.Key = "bearergate.dpop.duration"       // of spans only
	keyEndpoint   attribute.Key = "bearergate.endpoint"
	keyVerifier   attribute.Key = "bearergate.verifier"
	keyErrorType  attribute.Key = "error.type"
	keyMethod     attribute.Key = "http.request.method"
	keyRoute      attribute.Key = "http.route"
	keyStatus     attribute.Key = "http.response.status_code" // of spans only
)

type verifyLabels struct {
	issuer string
	cached bool
	reason bearergate.Reason
}

func (l verifyLabels) attributes() []attribute.KeyValue {
	return present(keyIssuer.String(l.issuer), keyCached.Bool(l.cached), keyErrorType.String(string(l.reason)))
}

type lookLabels struct {
	issuer string
	result introspect.Result
	reason bearergate.Reason
}

func (l lookLabels) attributes() []attribute.KeyValue {
	return present(keyIssuer.String(l.issuer), keyResult.String(string(l.result)), keyErrorType.String(string(l.reason)))
}

type callLabels struct {
	issuer  string
	outcome introspect.Outcome
	failed  bool
}

func (l callLabels) attributes() []attribute.KeyValue {
	return present(keyIssuer.String(l.issuer), keyCall.String(string(l.outcome)), failure(l.failed, string(l.outcome)))
}

type fetchLabels struct {
	issuer  string
	trigger jwks.Trigger
	outcome jwks.Outcome
	failed  bool
}

func (l fetchLabels) attributes() []attribute.KeyValue {
	return present(keyIssuer.String(l.issuer), keyTrigger.String(string(l.trigger)), keyFetch.String(string(l.outcome)),
		failure(l.failed, string(l.outcome)))
}

type decisionLabels struct {
	method, pattern string
	source          middleware.Source
	reportOnly      bool
	reason          bearergate.Reason
}

func (l decisionLabels) attributes() []attribute.KeyValue {
	attributes := present(keyMethod.String(l.method), keyRoute.String(route(l.pattern)), keySource.String(string(l.source)),
		keyErrorType.String(string(l.reason)))
	if l.reportOnly {
		attributes = append(attributes, keyReportOnly.Bool(true))
	}
	return attributes
}

// route is the part of a pattern of http.ServeMux that http.route means:
// without the method and the host.
func route(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}

type proofLabels struct {
	algorithm string
	fault     dpop.Fault
	reason    bearergate.Reason
}

func (l proofLabels) attributes() []attribute.KeyValue {
	return present(keyAlgorithm.String(l.algorithm), keyFault.String(string(l.fault)), keyErrorType.String(string(l.reason)))
}

type storeLabels struct{ outcome dpop.StoreOutcome }

func (l storeLabels) attributes() []attribute.KeyValue {
	failed := l.outcome == dpop.StoreFailed || l.outcome == dpop.StoreFull
	return present(keyStore.String(string(l.outcome)), failure(failed, string(l.outcome)))
}

type revokedLabels struct{ issuer, source, by, change string }

func (l revokedLabels) attributes() []attribute.KeyValue {
	return present(keyIssuer.String(l.issuer), keyRevoker.String(l.source), keyRevokedBy.String(l.by), keyChange.String(l.change))
}

type feedLabels struct {
	issuer, by, event, outcome, why string
	reason                          bearergate.Reason
}

func (l feedLabels) attributes() []attribute.KeyValue {
	return present(keyIssuer.String(l.issuer), keyRevokedBy.String(l.by), keyEvent.String(l.event), keyFeed.String(l.outcome),
		keyWhy.String(l.why), keyErrorType.String(string(l.reason)))
}

// otherLabels are an issuer, and one more attribute if value is not "".
type otherLabels struct {
	issuer string
	key    attribute.Key
	value  string
}

func (l otherLabels) attributes() []attribute.KeyValue {
	return present(keyIssuer.String(l.issuer), l.key.String(l.value))
}

func failure(failed bool, outcome string) attribute.KeyValue {
	if !failed {
		outcome = ""
	}
	return keyErrorType.String(outcome)
}

// present leaves out what has no value.
func present(attributes ...attribute.KeyValue) []attribute.KeyValue {
	kept := make([]attribute.KeyValue, 0, len(attributes)+1)
	for _, a := range attributes {
		if a.Value.Type() != attribute.STRING || a.Value.AsString() != "" {
			kept = append(kept, a)
		}
	}
	return kept
}

// status is the status of an answer, if it is one of HTTP's.
func status(code int) []attribute.KeyValue {
	if code < 100 || code > 599 {
		return nil
	}
	return []attribute.KeyValue{keyStatus.Int(code)}
}

// maxSeries bounds what one series keeps: issuers that are found at run time
// may be many.
const maxSeries = 2000

// series has the options of one kind of measurement, made once for each of its
// few combinations of labels: a token seen before must not pay for them.
type series[L attributed] struct {
	made atomic.Pointer[map[L]*options] // replaced, never changed: readers take no lock
	mu   sync.Mutex                     // guards the replacing of made
}

type attributed interface {
	comparable
	attributes() []attribute.KeyValue
}

type options struct {
	attributes []attribute.KeyValue
	record     []metric.RecordOption
	add        []metric.AddOption
}

func (s *series[L]) of(l L) *options {
	if made := s.made.Load(); made != nil {
		if o, ok := (*made)[l]; ok {
			return o
		}
	}
	attributes := l.attributes()
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	o := &options{attributes, []metric.RecordOption{set}, []metric.AddOption{set}}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := map[L]*options{}
	if old := s.made.Load(); old != nil {
		if len(*old) >= maxSeries {
			return o
		}
		made = maps.Clone(*old)
	}
	made[l] = o
	s.made.Store(&made)
	return o
}
