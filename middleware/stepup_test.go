package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

func TestStepUpKeepsItsOwnValues(t *testing.T) {
	acr := []string{"mfa", "pin"}
	option := middleware.StepUp(acr, 0)
	acr[0] = "none"
	gate := newGate(t, accepts(bearergate.Claims{ACR: "none"}), middleware.Config{})
	err := refused(t, gate, bearer("GET", good), scope.Requirement{}, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication, option)
	bearergate.AsError(err).ACRValues[0] = "none"
	err = refused(t, gate, bearer("GET", good), scope.Requirement{}, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication, option)
	require.Equal(t, []string{"mfa", "pin"}, bearergate.AsError(err).ACRValues)
}

// req: R9470-01 R9470-04 R9068-08
func TestStepUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, tc := range map[string]struct {
			acr    string
			at     time.Time
			accept []string
			maxAge time.Duration
			ok     bool
		}{
			"acr in the list":                     {acr: "mfa", accept: []string{"hw", "mfa"}, ok: true},
			"acr not in the list":                 {acr: "pwd", accept: []string{"hw", "mfa"}},
			"acr in another case":                 {acr: "MFA", accept: []string{"mfa"}},
			"acr that holds the list":             {acr: "hw mfa", accept: []string{"hw", "mfa"}},
			"prefix of an acr":                    {acr: "mf", accept: []string{"mfa"}},
			"no acr":                              {accept: []string{"mfa"}},
			"exactly the age":                     {at: now.Add(-5 * time.Minute), maxAge: 5 * time.Minute, ok: true},
			"a nanosecond over":                   {at: now.Add(-5*time.Minute - 1), maxAge: 5 * time.Minute},
			"a second over, no leeway":            {at: now.Add(-5*time.Minute - time.Second), maxAge: 5 * time.Minute},
			"just now":                            {at: now, maxAge: time.Second, ok: true},
			"no auth_time":                        {maxAge: 5 * time.Minute},
			"no auth_time, good acr":              {acr: "mfa", accept: []string{"mfa"}, maxAge: 5 * time.Minute},
			"good auth_time, bad acr":             {acr: "pwd", at: now, accept: []string{"mfa"}, maxAge: 5 * time.Minute},
			"bad auth_time, good acr":             {acr: "mfa", at: now.Add(-time.Hour), accept: []string{"mfa"}, maxAge: 5 * time.Minute},
			"both good":                           {acr: "mfa", at: now, accept: []string{"mfa"}, maxAge: 5 * time.Minute, ok: true},
			"old auth_time, no maxAge":            {acr: "mfa", at: now.Add(-1e6 * time.Hour), accept: []string{"mfa"}, ok: true},
			"clock of the issuer ahead":           {at: now.Add(time.Minute), maxAge: time.Second, ok: true},
			"auth_time in the future":             {at: now.Add(time.Minute + 1), maxAge: time.Second},
			"auth_time beyond what Duration says": {at: time.Unix(253402300799, 0), maxAge: time.Second},
			"auth_time before what Duration says": {at: time.Unix(-60000000000, 0), maxAge: 24 * time.Hour},
		} {
			v := accepts(bearergate.Claims{ACR: tc.acr, AuthTime: tc.at, Scopes: scope.Of("read")})
			gate := newGate(t, v, middleware.Config{})
			option := middleware.StepUp(tc.accept, tc.maxAge)
			if tc.ok {
				_, _, err := gate.Check(bearer("GET", good), scope.All("read"), option)
				require.NoError(t, err, name)
				continue
			}
			err := refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication, option)
			e := bearergate.AsError(err)
			require.Equal(t, tc.accept, e.ACRValues, name)
			require.Equal(t, tc.maxAge, e.MaxAge, name)
			require.Empty(t, e.Scopes, name)
		}
	})
}

// auth_time is compared with the time of each request, however long the token
// is kept.
func TestAuthTimeIsJudgedOnEveryRequest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		gate := newGate(t, accepts(bearergate.Claims{AuthTime: time.Now()}), middleware.Config{})
		h := gate.Require(scope.Requirement{}, middleware.StepUp(nil, time.Minute))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for range 2 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, bearer("GET", good))
			require.Equal(t, 200, w.Code)
			time.Sleep(30 * time.Second)
		}
		time.Sleep(time.Second)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 401, w.Code)
		require.Contains(t, w.Header().Get("WWW-Authenticate"), `max_age="60"`)
	})
}
