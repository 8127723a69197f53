package promgate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/test/proofs"
)

// Each outcome of a proof has its series, and its times are in their buckets.
func TestProofs(t *testing.T) {
	invalid := func(reason bearergate.Reason) error {
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason}
	}
	outage := func(reason bearergate.Reason) error {
		return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: reason}
	}
	for name, tc := range map[string]struct {
		event                dpop.ProofEvent
		proof, nonce, stored string // the series; "": none
	}{
		"good":            {dpop.ProofEvent{Algorithm: "ES256", Store: dpop.StoreFresh}, `algorithm="ES256",fault="",outcome="accepted",reason=""`, "", `outcome="fresh"`},
		"none":            {dpop.ProofEvent{Err: invalid(bearergate.ReasonProof), Fault: dpop.FaultMissing}, `algorithm="unknown",fault="missing",outcome="refused",reason="proof"`, "", ""},
		"a wrong clock":   {dpop.ProofEvent{Err: invalid(bearergate.ReasonProof), Fault: dpop.FaultTime, Algorithm: "PS256"}, `algorithm="PS256",fault="iat",outcome="refused",reason="proof"`, "", ""},
		"another key":     {dpop.ProofEvent{Err: invalid(bearergate.ReasonBinding), Algorithm: "ES256"}, `algorithm="ES256",fault="",outcome="refused",reason="binding"`, "", ""},
		"no nonce":        {dpop.ProofEvent{Err: invalid(bearergate.ReasonNonce), Algorithm: "ES256", Nonce: dpop.NonceDemanded}, `algorithm="ES256",fault="",outcome="refused",reason="nonce"`, `outcome="demanded"`, ""},
		"a nonce":         {dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceRenewed, Store: dpop.StoreFresh}, `algorithm="ES256",fault="",outcome="accepted",reason=""`, `outcome="renewed"`, `outcome="fresh"`},
		"used":            {dpop.ProofEvent{Err: invalid(bearergate.ReasonReplay), Algorithm: "ES256", Store: dpop.StoreUsed}, `algorithm="ES256",fault="",outcome="refused",reason="replay"`, "", `outcome="used"`},
		"a store is down": {dpop.ProofEvent{Err: outage(bearergate.ReasonStoreUnavailable), Algorithm: "ES256", Store: dpop.StoreFailed}, `algorithm="ES256",fault="",outcome="unavailable",reason="store_unavailable"`, "", `outcome="failed"`},
		"a store is full": {dpop.ProofEvent{Err: outage(bearergate.ReasonOverloaded), Algorithm: "ES256", Store: dpop.StoreFull}, `algorithm="ES256",fault="",outcome="unavailable",reason="overloaded"`, "", `outcome="full"`},
		"the caller went": {dpop.ProofEvent{Err: outage(bearergate.ReasonCanceled), Algorithm: "ES256", Store: dpop.StoreCanceled}, `algorithm="ES256",fault="",outcome="canceled",reason="canceled"`, "", `outcome="canceled"`},
		"our mistake":     {dpop.ProofEvent{Err: bearergate.ErrMisconfigured, Algorithm: "ES256"}, `algorithm="ES256",fault="",outcome="misconfigured",reason="internal"`, "", ""},
		"foreign":         {dpop.ProofEvent{Err: errors.New("what nobody may read")}, `algorithm="unknown",fault="",outcome="misconfigured",reason="internal"`, "", ""},
	} {
		m, registry := newMetrics(t, promgate.Config{})
		tc.event.Reason = bearergate.ReasonOf(tc.event.Err)
		tc.event.Duration, tc.event.StoreDuration = 3*time.Millisecond, 2*time.Millisecond
		m.ProofHooks().Judged(t.Context(), tc.event)
		s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		once := func(labels string) map[string]float64 {
			if labels == "" {
				return map[string]float64{}
			}
			return map[string]float64{labels: 1}
		}
		require.Equal(t, once(tc.proof), s.of("dpop_proofs_total"), name)
		require.Len(t, s.of("dpop_proof_duration_seconds"), 1, name)
		require.Equal(t, once(tc.nonce), s.of("dpop_nonces_total"), name)
		require.Equal(t, once(tc.stored), s.of("dpop_store_calls_total"), name)
		require.Equal(t, once(tc.stored), s.of("dpop_store_call_duration_seconds"), name)
		told := gathered(t, registry)
		require.NotContains(t, told, "nobody")
		require.Contains(t, told, `bearergate_dpop_proof_duration_seconds_sum{`)
		require.Contains(t, told, "} 0.003\n", "how long the judgment took")
		if tc.stored != "" {
			require.Contains(t, told, `bearergate_dpop_store_call_duration_seconds_sum{`+tc.stored+"} 0.002\n")
		}
		lint(t, registry)
	}
}

// Whatever clients send, the series are those of closed sets.
func TestProofSeriesAreBounded(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	for i := range 300 {
		word := fmt.Sprint("made-up-", i)
		m.ProofHooks().Judged(t.Context(), dpop.ProofEvent{Algorithm: word, Fault: dpop.Fault(word), Nonce: dpop.NonceOutcome(word), Store: dpop.StoreOutcome(word),
			Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.Reason(word)}})
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	for _, metric := range []string{"dpop_proofs_total", "dpop_proof_duration_seconds", "dpop_nonces_total", "dpop_store_calls_total", "dpop_store_call_duration_seconds"} {
		require.NotEmpty(t, s.of(metric), metric)
		require.LessOrEqual(t, len(s.of(metric)), promgate.MaxWords+1, metric)
	}
}

// Proofs go through everything, past functions of the user's that repeat them wherever they
// can. Not sixteen bytes of them, of a token, a jti, a nonce or a thumbprint are told.
func TestSecrecyOfProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMetrics(t, promgate.Config{})
		all, secrets := proofs.Watch(t, m, func(_ string, serve func(context.Context)) { serve(t.Context()) })
		for _, one := range all {
			secrets[one.Name+": thumbprint"] = one.Thumbprint
		}
		told := told(t, registry)
		for _, part := range []string{"dpop_proofs_total", "dpop_proof_duration_seconds", "dpop_nonces_total", "dpop_store_calls_total", "dpop_store_call_duration_seconds", `package="dpop"`,
			`algorithm="ES256",fault="iat"`, `algorithm="unknown",fault="header"`, `reason="replay"`, `outcome="renewed"`, `outcome="full"`} {
			require.Contains(t, told, part, "or nothing was looked at")
		}
		require.Empty(t, leaks(told, secrets))
	})
}
