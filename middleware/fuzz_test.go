package middleware_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// The charsets of RFC 6750 §3, written down once more.
var (
	isText  = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)
	isName  = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)
	oneAuth = regexp.MustCompile(`^([a-z_]+)="([^"\\]*)"(, |$)`)
)

// parseChallenge reads a challenge strictly.
func parseChallenge(t testing.TB, challenge string) map[string]string {
	t.Helper()
	for i := range len(challenge) {
		require.True(t, challenge[i] >= 0x20 && challenge[i] <= 0x7e && challenge[i] != '\\', "%q", challenge)
	}
	rest, ok := strings.CutPrefix(challenge, "Bearer ")
	require.True(t, ok, "%q", challenge)
	params := map[string]string{}
	for rest != "" {
		m := oneAuth.FindStringSubmatch(rest)
		require.NotNil(t, m, "%q", rest)
		require.NotContains(t, params, m[1], "%q repeats a parameter", challenge)
		params[m[1]] = m[2]
		rest = rest[len(m[0]):]
		require.True(t, m[3] == "" || rest != "", "%q ends in a comma", challenge)
	}
	require.NotEmpty(t, params)
	return params
}

// names keeps what may stand in a list, once each.
func names(values ...string) string {
	var kept []string
	for _, v := range values {
		if isName.MatchString(v) && !slices.Contains(kept, v) {
			kept = append(kept, v)
		}
	}
	return strings.Join(kept, " ")
}

// req: R6750-06
func FuzzChallenge(f *testing.F) {
	f.Add("api", "orders:read", "tenant:7", "urn:x:gold", "urn:x:silver", int64(time.Minute))
	f.Add("", "", "", "", "", int64(0))
	f.Add("a\"b", "a b", "\"", "\\", "x\r\nSet-Cookie: y", int64(-1))
	f.Add("the realm, of \u00e4", "\u00e4", "\x00", "\x7f", ", error=\"x\"", int64(1))
	f.Add("realm=\"x\", realm", "read", "read", "mfa", "mfa", int64(1<<62))
	f.Add("r", "a,b", "error=c", "a'b", "[]", int64(1500*time.Millisecond))
	f.Fuzz(func(t *testing.T, realm, s1, s2, a1, a2 string, age int64) {
		maxAge := time.Duration(age)
		want := realm
		if realm == "" {
			want = middleware.DefaultRealm
		}
		for _, kind := range sentinels {
			// A verifier may put anything into its error, and does not speak RFC 6750 well.
			e := &bearergate.Error{Kind: kind, Reason: bearergate.Reason(s1), Scopes: []string{s1, s2}, ACRValues: []string{a1, a2}, MaxAge: maxAge, ClaimsChallenge: a2, Cause: fmt.Errorf("%s", a1)}
			gate, err := middleware.New(answers(e), middleware.Config{Realm: realm})
			if !isText.MatchString(want) {
				require.Nil(t, gate)
				requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
				return
			}
			require.NoError(t, err)
			for _, need := range []scope.Requirement{{}, scope.All("read"), scope.Any(s2, s1)} {
				for _, opts := range [][]middleware.RouteOption{nil, {middleware.StepUp([]string{a2, a1}, maxAge)}} {
					w := httptest.NewRecorder()
					gate.Require(need, opts...)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
					got := w.Header().Values("WWW-Authenticate")
					if w.Code >= 500 || kind == bearergate.ErrForbidden {
						require.Empty(t, got)
						continue
					}
					require.Len(t, got, 1)
					params := parseChallenge(t, got[0])
					require.Equal(t, want, params["realm"])
					delete(params, "realm")
					expected := map[string]string{}
					switch kind {
					case bearergate.ErrMissingToken:
					case bearergate.ErrInvalidRequest:
						expected["error"] = "invalid_request"
					case bearergate.ErrInvalidToken:
						expected["error"] = "invalid_token"
					case bearergate.ErrInsufficientScope:
						expected["error"] = "insufficient_scope"
						expected["scope"] = names(append(need.Scopes(), s1, s2)...)
					case bearergate.ErrInsufficientAuthentication:
						expected["error"] = "insufficient_user_authentication"
						if isName.MatchString(a2) {
							expected["error"], expected["claims"] = "insufficient_claims", a2
						}
						expected["acr_values"] = names(a1, a2)
						expected["scope"] = names(s1, s2)
						if maxAge > 0 {
							expected["max_age"] = strconv.FormatInt(int64(maxAge/time.Second), 10)
						}
					}
					if description, ok := params["error_description"]; ok {
						require.Contains(t, []string{bodyRequest, bodyInvalid, bodyExpired, bodyInactive, bodyScope, bodyStepUp, bodyClaims}, description)
						delete(params, "error_description")
					}
					for name, value := range expected {
						if value == "" {
							delete(expected, name)
						}
					}
					require.Equal(t, expected, params)
				}
			}
		}

		// A step-up of the route: named as given, or the route is closed.
		gate, err := middleware.New(accepts(bearergate.Claims{}), middleware.Config{})
		require.NoError(t, err)
		w := httptest.NewRecorder()
		gate.Require(scope.Requirement{}, middleware.StepUp([]string{a1, a2}, maxAge))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
		if !isName.MatchString(a1) || !isName.MatchString(a2) || maxAge < 0 || maxAge > 0 && maxAge < time.Second {
			require.Equal(t, 500, w.Code)
			return
		}
		require.Equal(t, 401, w.Code)
		params := parseChallenge(t, w.Header().Get("WWW-Authenticate"))
		require.Equal(t, names(a1, a2), params["acr_values"])

		// And an authentication context, of a client that is told of it as claims.
		gate, err = middleware.New(accepts(bearergate.Claims{Raw: []byte(`{"xms_cc":["cp1"]}`)}), middleware.Config{})
		require.NoError(t, err)
		w = httptest.NewRecorder()
		gate.Require(scope.Requirement{}, middleware.AuthContext(a1))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 401, w.Code)
		params = parseChallenge(t, w.Header().Get("WWW-Authenticate"))
		request, err := base64.StdEncoding.DecodeString(params["claims"])
		require.NoError(t, err)
		var asked struct {
			AccessToken struct {
				ACRS struct {
					Essential bool   `json:"essential"`
					Value     string `json:"value"`
				} `json:"acrs"`
			} `json:"access_token"`
		}
		require.NoError(t, json.Unmarshal(request, &asked))
		require.True(t, asked.AccessToken.ACRS.Essential)
		require.Equal(t, a1, asked.AccessToken.ACRS.Value)
	})
}
