package otelgate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/bearergate/bearergate"
	otelgate "github.com/bearergate/bearergate/adapters/otel"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/test/proofs"
)

// Each outcome of a proof has its series, and the span of the request an event that says
// the same and how long it took.
func TestProofs(t *testing.T) {
	invalid := func(reason bearergate.Reason) error {
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason, Cause: errors.New("what nobody may read")}
	}
	outage := func(reason bearergate.Reason) error {
		return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: reason}
	}
	const es256 = "bearergate.dpop.algorithm=ES256"
	for name, tc := range map[string]struct {
		event                dpop.ProofEvent
		proof, nonce, stored string // the series; "": none
	}{
		"good":            {event: dpop.ProofEvent{Algorithm: "ES256", Store: dpop.StoreFresh}, proof: es256, stored: "bearergate.dpop.store=fresh"},
		"none":            {event: dpop.ProofEvent{Err: invalid(bearergate.ReasonProof), Fault: dpop.FaultMissing}, proof: "bearergate.dpop.fault=missing error.type=proof"},
		"a wrong clock":   {event: dpop.ProofEvent{Err: invalid(bearergate.ReasonProof), Fault: dpop.FaultTime, Algorithm: "ES256"}, proof: es256 + " bearergate.dpop.fault=iat error.type=proof"},
		"another key":     {event: dpop.ProofEvent{Err: invalid(bearergate.ReasonBinding), Algorithm: "ES256"}, proof: es256 + " error.type=binding"},
		"no nonce":        {event: dpop.ProofEvent{Err: invalid(bearergate.ReasonNonce), Algorithm: "ES256", Nonce: dpop.NonceDemanded}, proof: es256 + " error.type=nonce", nonce: "bearergate.dpop.nonce=demanded"},
		"a nonce":         {event: dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceAccepted, Store: dpop.StoreFresh}, proof: es256, nonce: "bearergate.dpop.nonce=accepted", stored: "bearergate.dpop.store=fresh"},
		"used":            {event: dpop.ProofEvent{Err: invalid(bearergate.ReasonReplay), Algorithm: "ES256", Store: dpop.StoreUsed}, proof: es256 + " error.type=replay", stored: "bearergate.dpop.store=used"},
		"a store is down": {event: dpop.ProofEvent{Err: outage(bearergate.ReasonStoreUnavailable), Algorithm: "ES256", Store: dpop.StoreFailed}, proof: es256 + " error.type=store_unavailable", stored: "bearergate.dpop.store=failed error.type=failed"},
		"a store is full": {event: dpop.ProofEvent{Err: outage(bearergate.ReasonOverloaded), Algorithm: "ES256", Store: dpop.StoreFull}, proof: es256 + " error.type=overloaded", stored: "bearergate.dpop.store=full error.type=full"},
		"the caller went": {event: dpop.ProofEvent{Err: outage(bearergate.ReasonCanceled), Algorithm: "ES256", Store: dpop.StoreCanceled}, proof: es256 + " error.type=canceled", stored: "bearergate.dpop.store=canceled"},
		"foreign":         {event: dpop.ProofEvent{Err: errors.New("what nobody may read")}, proof: "error.type=internal"},
	} {
		r := newRig(t)
		tc.event.Duration, tc.event.StoreDuration = 3*time.Millisecond, 2*time.Millisecond
		ctx, span := r.tracer.Start(t.Context(), "request")
		r.ProofHooks().Judged(ctx, tc.event)
		span.End()
		once := func(labels string) map[string]int {
			if labels == "" {
				return map[string]int{}
			}
			return map[string]int{labels: 1}
		}
		require.Equal(t, once(tc.proof), r.points(t, "bearergate.dpop.proof.duration"), name)
		require.Equal(t, once(tc.nonce), r.points(t, "bearergate.dpop.nonces"), name)
		require.Equal(t, once(tc.stored), r.points(t, "bearergate.dpop.store.duration"), name)

		s := r.span(t, "request")
		require.Empty(t, s.Attributes, name)
		require.Equal(t, codes.Unset, s.Status.Code, name)
		require.Len(t, s.Events, 1, name)
		require.Equal(t, "bearergate.dpop.proof", s.Events[0].Name)
		want := map[string]string{"bearergate.dpop.duration": "0.003"}
		for key, value := range map[string]string{"bearergate.dpop.algorithm": tc.event.Algorithm, "bearergate.dpop.fault": string(tc.event.Fault),
			"bearergate.dpop.nonce": string(tc.event.Nonce), "bearergate.dpop.store": string(tc.event.Store)} {
			if value != "" {
				want[key] = value
			}
		}
		if tc.event.Err != nil {
			want["error.type"] = string(bearergate.AsError(tc.event.Err).Reason)
		}
		if tc.event.Store != "" {
			want["bearergate.dpop.store_duration"] = "0.002"
		}
		got := map[string]string{}
		for _, a := range s.Events[0].Attributes {
			got[string(a.Key)] = a.Value.String()
		}
		require.Equal(t, want, got, name)
		require.NotContains(t, r.told(t), "nobody", name)
	}
}

// A span that nobody records is told nothing, and a Telemetry without spans neither.
func TestProofsOfNoSpan(t *testing.T) {
	r := newRig(t, sdktrace.WithSampler(sdktrace.NeverSample()))
	ctx, span := r.tracer.Start(t.Context(), "request")
	r.ProofHooks().Judged(ctx, dpop.ProofEvent{Algorithm: "ES256"})
	r.ProofHooks().Judged(t.Context(), dpop.ProofEvent{Algorithm: "ES256"})
	span.End()
	require.Empty(t, r.exporter.GetSpans())
	require.Equal(t, map[string]int{"bearergate.dpop.algorithm=ES256": 2}, r.points(t, "bearergate.dpop.proof.duration"))

	r = newRig(t)
	var err error
	r.Telemetry, err = otelgate.New(otelgate.Config{MeterProvider: sdkmetric.NewMeterProvider()})
	require.NoError(t, err)
	ctx, span = r.tracer.Start(t.Context(), "request")
	r.ProofHooks().Judged(ctx, dpop.ProofEvent{Algorithm: "ES256"})
	span.End()
	require.Empty(t, r.span(t, "request").Events)
}

// Proofs go through everything, past functions of the user's that repeat them wherever they
// can. Not sixteen bytes of them, of a token, a jti, a nonce or a thumbprint are told.
func TestSecrecyOfProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		all, secrets := proofs.Watch(t, r, func(name string, serve func(context.Context)) {
			ctx, span := r.tracer.Start(t.Context(), name)
			defer span.End()
			serve(ctx)
		})
		for _, one := range all {
			secrets[one.Name+": thumbprint"] = one.Thumbprint
			s := r.span(t, one.Name)
			require.Len(t, s.Events, 1, one.Name)
			require.Equal(t, string(one.Event.Reason), said(s)["reason"], one.Name)
		}
		spans, metrics := r.toldBySpans(t), r.toldByMetrics(t)
		for _, part := range []string{"bearergate.dpop.proof", "bearergate.dpop.fault=iat", "bearergate.dpop.nonce=renewed", "bearergate.dpop.store=full", "bearergate.detail=dpop: "} {
			require.Contains(t, spans, part, "or nothing was looked at")
		}
		for _, part := range []string{"bearergate.dpop.proof.duration", "bearergate.dpop.store.duration", "bearergate.dpop.nonces", "bearergate.panics", "iat", "renewed", "full"} {
			require.Contains(t, metrics, part, "or nothing was looked at")
		}
		require.Empty(t, leaks(spans+metrics, secrets))
	})
}
