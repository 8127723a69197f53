package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// A client that asks for exactly what it is told gets in, wherever the gate stands that
// refuses it: it does not lose with the second half what the first one gave.
func TestNestedGatesNameWhatBothDemand(t *testing.T) {
	var scopes string
	v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", Scopes: scope.Of(strings.Fields(scopes)...)}), nil
	})
	for name, tt := range map[string]struct {
		outer, middle, inner scope.Requirement
		options              []middleware.RouteOption
		start                string
		want                 []string // what is named, refusal by refusal
	}{
		"two halves":          {outer: scope.All("notes:read"), inner: scope.All("notes:delete"), start: "openid", want: []string{"notes:read", "notes:delete notes:read"}},
		"only the inner one":  {outer: scope.All("notes:read"), inner: scope.All("notes:delete"), start: "notes:delete", want: []string{"notes:read", "notes:delete notes:read"}},
		"three":               {outer: scope.All("a"), middle: scope.All("b"), inner: scope.All("c"), start: "a", want: []string{"b a", "c b a"}},
		"the same":            {outer: scope.All("a"), inner: scope.All("a", "b"), start: "a", want: []string{"a b"}},
		"the outer one alone": {outer: scope.All("a"), start: "b", want: []string{"a"}},
		"the inner one alone": {inner: scope.All("b"), start: "a", want: []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, v, middleware.Config{})
			h := http.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			for _, need := range []scope.Requirement{tt.inner, tt.middle, tt.outer} {
				h = gate.Require(need)(h)
			}
			scopes = tt.start
			var told []string
			for range 5 {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("Authorization", "Bearer "+good)
				h.ServeHTTP(w, r)
				if w.Code == http.StatusOK {
					require.Equal(t, tt.want, told)
					return
				}
				require.Equal(t, http.StatusForbidden, w.Code)
				_, named, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), `scope="`)
				scopes, _, _ = strings.Cut(named, `"`) // exactly what it is told
				told = append(told, scopes)
			}
			require.Fail(t, "it never gets in", told)
		})
	}
}

// A gate that let a stranger pass has demanded nothing: what it would demand of a token is not
// named by a gate further in, which found one elsewhere.
func TestAGateThatLetAStrangerPassDemandsNothing(t *testing.T) {
	outer := newGate(t, granting(), middleware.Config{})
	inner := newGate(t, accepts(reader), middleware.Config{Extract: func(*http.Request) (bearergate.Credentials, error) { return sent(good), nil }})
	w := httptest.NewRecorder()
	outer.Optional(scope.All("read"))(inner.Require(scope.All("write"))(forbidden(t))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Equal(t, "write", parseChallenge(t, w.Header().Get("WWW-Authenticate"))["scope"])
}
