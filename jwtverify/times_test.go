package jwtverify_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// Each boundary on both sides, to the second and to the nanosecond.
// req: R7519-05, R7519-06, R7519-07, R9068-06, R6750-13
func TestTimeBoundaries(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	at := func(d time.Duration) json.Number { // NumericDate with nanoseconds
		u := now.Add(d)
		return json.Number(fmt.Sprintf("%d.%09d", u.Unix(), u.Nanosecond()))
	}
	for _, leeway := range []time.Duration{0, jwtverify.DefaultLeeway, time.Minute, jwtverify.MaxLeeway} {
		for _, tt := range []struct {
			claim  string
			at     time.Duration
			reason bearergate.Reason
		}{
			{"exp", -leeway + 1, ""},
			{"exp", -leeway, bearergate.ReasonExpired},
			{"exp", -leeway - 1, bearergate.ReasonExpired},
			{"nbf", leeway, ""},
			{"nbf", leeway + 1, bearergate.ReasonNotYetValid},
			{"iat", leeway, ""},
			{"iat", leeway + 1, bearergate.ReasonNotYetValid},
		} {
			t.Run(fmt.Sprintf("leeway %v, %s at %v", leeway, tt.claim, tt.at), func(t *testing.T) {
				c := config(s.Set(t))
				c.Leeway, c.NoLeeway = leeway, leeway == 0
				token, err := newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{tt.claim: at(tt.at)}))
				if tt.reason == "" {
					require.NoError(t, err)
					return
				}
				requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
			})
		}
	}
}

func TestMaxTokenAge(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.MaxTokenAge = time.Hour
	v := newVerifier(t, c)
	_, err := v.Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"exp": now.Add(time.Hour + time.Second).Unix()}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
	token, err = v.Verify(t.Context(), s.Sign(t, map[string]any{"iat": absent}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMissingClaim)
	c.MaxTokenAge = time.Millisecond
	token, err = newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{"exp": now.Add(time.Second).Unix()}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
	token, err = newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{"iat": absent}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMissingClaim)
}
