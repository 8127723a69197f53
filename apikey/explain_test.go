package apikey_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/kit"
)

func TestExplain(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	over := generate(t, "late", "orders:read")
	over.record.NotAfter = start
	legacy, err := apikey.Import(bearergate.NewSecret(pepper), old)
	require.NoError(t, err)
	legacy.Owner = "old"
	for _, tc := range []struct {
		name, sent string
		ended      bool
		failed     string
		reason     bearergate.Reason
		advice     string
	}{
		{name: "a good key", sent: "ApiKey " + m.key},
		{name: "a key of the older system", sent: "ApiKey " + old},
		{name: "a good token", sent: token("orders:read")},
		{name: "no key", sent: "ApiKey x", failed: "form", reason: bearergate.ReasonMalformed, advice: "not a key of this API"},
		{name: "a JWT", sent: "ApiKey a.b.c", failed: "form", reason: bearergate.ReasonType, advice: "access token where the API key belongs"},
		{name: "unknown", sent: "ApiKey " + generate(t, "x").key, failed: "key", reason: bearergate.ReasonInactive, advice: "no key with this ID"},
		{name: "a wrong secret", sent: "ApiKey " + remade(t, m.record.ID, generate(t, "x").key), failed: "key", reason: bearergate.ReasonInactive, advice: "its secret is another one"},
		{name: "over", sent: "ApiKey " + over.key, failed: "times", reason: bearergate.ReasonExpired, advice: "NotAfter"},
		{name: "the end of all", sent: "ApiKey " + m.key, ended: true, failed: "times", reason: bearergate.ReasonExpired, advice: "Config.End has passed"},
		{name: "a key as a token", sent: m.key, failed: "kind of credential", reason: bearergate.ReasonType, advice: "API key as an access token"},
		{name: "a wrong token", sent: "!", failed: "verifier", reason: bearergate.ReasonMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(m.record, over.record, legacy)
			c.AllowLegacy = bearergate.NewSecret(pepper)
			told := 0
			c.Hooks = apikey.Hooks{Used: func(context.Context, apikey.UseEvent) { told++ }}
			if tc.ended {
				c.Now = func() time.Time { return end }
			}
			k := newKeys(t, c)
			e := bearergate.Explain(t.Context(), k, tc.sent)
			require.Zero(t, told)
			require.Zero(t, k.Report().Keys[0].Accepted)
			_, err := bearergate.Verify(t.Context(), k, tc.sent)
			kit.RequireExplained(t, e, err, tc.sent)
			failed, _ := e.Failed()
			require.Equal(t, tc.failed, failed.Name, e.String())
			require.Equal(t, tc.reason, bearergate.ReasonOf(e.Err))
			if tc.advice != "" {
				require.Contains(t, e.Advice[0], tc.advice)
			}
			require.LessOrEqual(t, len(e.Advice), 1, "%q", e.Advice)
			if tc.failed == "" {
				require.NotNil(t, e.Token)
			}
		})
	}
}

// Both sides of each step: what is public of the key, and nothing where it was not reached.
func TestExplainSaysBothSides(t *testing.T) {
	m := generate(t, "acme")
	legacy, err := apikey.Import(bearergate.NewSecret(pepper), old)
	require.NoError(t, err)
	legacy.Owner = "old"
	m.record.NotAfter = start.Add(time.Hour)
	for _, tc := range []struct {
		name, sent string
		legacy     bool
		want       []bearergate.Step
	}{
		{name: "a good key", sent: m.key, want: []bearergate.Step{
			{Name: "form", State: bearergate.StepPassed, Expected: "orders_…"},
			{Name: "key", State: bearergate.StepPassed, Found: `"` + m.record.ID + `"`, Unsigned: true},
			{Name: "times", State: bearergate.StepPassed, Expected: "before 2027-07-01T00:00:00Z, and before the end of the key", Found: "2027-01-01T01:00:00Z"},
		}},
		{name: "no key", sent: "x", want: []bearergate.Step{
			{Name: "form", State: bearergate.StepFailed, Expected: "orders_…", Detail: "what was sent as an API key has not the form of one: a character is missing, or it is of another API"},
			{Name: "key", State: bearergate.StepNotReached, Unsigned: true},
			{Name: "times", State: bearergate.StepNotReached, Expected: "before 2027-07-01T00:00:00Z, and before the end of the key"},
		}},
		{name: "a key of the older system", sent: old, legacy: true, want: []bearergate.Step{
			{Name: "form", State: bearergate.StepPassed, Expected: "orders_…, or a key of the older system"},
			{Name: "key", State: bearergate.StepPassed, Found: `"` + legacy.ID + `"`, Unsigned: true},
			{Name: "times", State: bearergate.StepPassed, Expected: "before 2027-07-01T00:00:00Z, and before the end of the key", Found: "2027-07-01T00:00:00Z"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(m.record)
			if tc.legacy {
				c.Records, c.AllowLegacy = append(c.Records, legacy), bearergate.NewSecret(pepper)
			}
			require.Equal(t, tc.want, newKeys(t, c).Explain(t.Context(), "ApiKey "+tc.sent).Steps)
		})
	}
}

// Through the gate, as an operator asks.
func TestAGateExplains(t *testing.T) {
	m := generate(t, "acme")
	gate := gateOf(t, newKeys(t, config(m.record)), middleware.Hooks{})
	for _, tc := range []struct {
		name   string
		r      *http.Request
		reason bearergate.Reason
		advice string
	}{
		{name: "a key without the scope", r: request(header, m.key), reason: bearergate.ReasonScope, advice: "these scopes"},
		{name: "both", r: request(header, m.key, "Authorization", "Bearer x"), reason: bearergate.ReasonBadRequest, advice: "exactly one credential where Extract"},
		{name: "neither", r: request(), reason: bearergate.ReasonNoToken, advice: "No credential arrived where Extract"},
		{name: "under Bearer", r: request("Authorization", "Bearer "+m.key), reason: bearergate.ReasonType, advice: "API key as an access token"},
	} {
		e := gate.Explain(tc.r, read)
		require.Equal(t, tc.reason, bearergate.ReasonOf(e.Err), tc.name)
		require.Contains(t, strings.Join(e.Advice, "\n"), tc.advice, tc.name)
		kit.RequireNothingOf(t, e.String(), m.key)
	}
}
