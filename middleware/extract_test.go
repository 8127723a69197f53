package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func TestExtract(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // as before Go 1.21: recover returns nil for panic(nil)
	custom := errors.New("session store: s3cret")
	var typedNil *bearergate.Error
	type testCase struct {
		extract func(*http.Request) (bearergate.Credentials, error)
		kind    error
		reason  bearergate.Reason
		status  int
	}
	for name, tc := range map[string]testCase{
		"nothing": {
			extract: func(*http.Request) (bearergate.Credentials, error) { return sent(""), nil },
			kind:    bearergate.ErrMissingToken,
			reason:  bearergate.ReasonNoToken,
			status:  401,
		},
		"no cookie": {
			extract: func(r *http.Request) (bearergate.Credentials, error) {
				_, err := r.Cookie("session")
				return sent(""), err
			},
			kind:   bearergate.ErrMissingToken,
			reason: bearergate.ReasonNoToken,
			status: 401,
		},
		"no cookie and a token": {
			extract: func(*http.Request) (bearergate.Credentials, error) { return sent(good), http.ErrNoCookie },
			kind:    bearergate.ErrMissingToken,
			reason:  bearergate.ReasonNoToken,
			status:  401,
		},
		"no cookie, and whose fault": {
			extract: func(*http.Request) (bearergate.Credentials, error) {
				return sent(good), fmt.Errorf("%w: %w", bearergate.ErrInvalidRequest, http.ErrNoCookie)
			},
			kind:   bearergate.ErrInvalidRequest,
			reason: bearergate.ReasonBadRequest,
			status: 400,
		},
		"bare sentinel": {
			extract: func(*http.Request) (bearergate.Credentials, error) { return sent(good), bearergate.ErrInvalidRequest },
			kind:    bearergate.ErrInvalidRequest,
			reason:  bearergate.ReasonBadRequest,
			status:  400,
		},
		"wrapped sentinel": {
			extract: func(*http.Request) (bearergate.Credentials, error) {
				return sent(good), fmt.Errorf("x: %w", bearergate.ErrUnavailable)
			},
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonStoreUnavailable,
			status: 503,
		},
		"two sentinels": {
			extract: func(*http.Request) (bearergate.Credentials, error) {
				return sent(good), errors.Join(bearergate.ErrMissingToken, bearergate.ErrInvalidToken)
			},
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
			status: 500,
		},
		"any other error": {
			extract: func(*http.Request) (bearergate.Credentials, error) { return sent(good), custom },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a timeout of its own": {
			extract: func(*http.Request) (bearergate.Credentials, error) {
				return sent(good), fmt.Errorf("redis: %w", context.DeadlineExceeded)
			},
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonStoreUnavailable,
			status: 503,
		},
		"a panic": {
			extract: func(*http.Request) (bearergate.Credentials, error) { panic(custom) },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a nil panic": {
			extract: func(*http.Request) (bearergate.Credentials, error) { panic(nil) },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"an abort": {
			extract: func(*http.Request) (bearergate.Credentials, error) { panic(http.ErrAbortHandler) },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a typed nil error": {
			extract: func(*http.Request) (bearergate.Credentials, error) { return sent(good), typedNil },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a scheme that is none of the constants": {
			extract: func(*http.Request) (bearergate.Credentials, error) {
				return bearergate.Credentials{Scheme: "Basic", Raw: bearergate.NewSecret(good)}, nil
			},
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonConfig,
			status: 500,
		},
		"a scheme without a token": {
			extract: func(*http.Request) (bearergate.Credentials, error) {
				return bearergate.Credentials{Scheme: bearergate.SchemeBearer}, nil
			},
			kind:   bearergate.ErrMissingToken,
			reason: bearergate.ReasonNoToken,
			status: 401,
		},
		"DPoP where nobody checks a proof": {
			extract: func(*http.Request) (bearergate.Credentials, error) {
				return bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret(good)}, nil
			},
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonBinding,
			status: 401,
		},
		"a bad token": {
			extract: func(*http.Request) (bearergate.Credentials, error) { return sent("\r\n\x00ä"), nil },
			kind:    bearergate.ErrInvalidToken,
			reason:  bearergate.ReasonMalformed,
			status:  401,
		},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, accepts(reader), middleware.Config{Extract: tc.extract})
			// The header holds a good token: it must not stand in.
			err := refused(t, gate, bearer("GET", good), scope.All("read"), tc.kind, tc.reason)
			if name == "any other error" {
				require.ErrorIs(t, err, custom)
			}
			if name == "a panic" {
				require.NotContains(t, err.Error(), "s3cret")
			}
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, tc.status, w.Code)
			require.NotContains(t, w.Body.String(), "s3cret")
		})
	}

	gate := newGate(t, accepts(reader), middleware.Config{Extract: func(r *http.Request) (bearergate.Credentials, error) {
		c, err := r.Cookie("session")
		if err != nil {
			return sent(""), err
		}
		return sent(c.Value), nil
	}})
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: good})
	token, _, err := gate.Check(r, scope.All("read"))
	require.NoError(t, err)
	require.Equal(t, "u1", token.Subject())
	r = bearer("GET", good) // header only: not a carrier here
	refused(t, gate, r, scope.All("read"), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
}

// Caches know of Authorization alone. What came in a cookie is for nobody else.
//
// req: R9111-01
func TestAResponseToExtractedCredentialsIsPrivate(t *testing.T) {
	cookie := func(r *http.Request) (bearergate.Credentials, error) {
		c, err := r.Cookie("session")
		if err != nil {
			return sent(""), err
		}
		return sent(c.Value), nil
	}
	for _, tc := range []struct {
		name          string
		extract       func(*http.Request) (bearergate.Credentials, error)
		cookie        bool
		authorization bool
		reportOnly    bool
		outer         string // what is there before the gate
		inner         string // what the handler sets
		want          []string
	}{
		{name: "a cookie", extract: cookie, cookie: true, want: []string{"private"}},
		{name: "a cookie beside Authorization", extract: cookie, cookie: true, authorization: true},
		{name: "no credentials", extract: cookie},
		{name: "the header, without Extract", authorization: true},
		{name: "the handler says more", extract: cookie, cookie: true, inner: "no-store", want: []string{"no-store"}},
		{name: "it was said before", extract: cookie, cookie: true, outer: "public", want: []string{"public"}},
		{name: "nothing is enforced", extract: cookie, cookie: true, reportOnly: true, want: []string{"private"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			gate := newGate(t, accepts(reader), middleware.Config{Extract: tc.extract, InsecureReportOnly: tc.reportOnly})
			r := httptest.NewRequest("GET", "/", nil)
			if tc.cookie {
				r.AddCookie(&http.Cookie{Name: "session", Value: good})
			}
			if tc.authorization {
				r.Header.Set("Authorization", "Bearer "+good)
			}
			w := httptest.NewRecorder()
			if tc.outer != "" {
				w.Header().Set("Cache-Control", tc.outer)
			}
			gate.Optional(scope.Requirement{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tc.inner != "" {
					w.Header().Set("Cache-Control", tc.inner)
				}
			})).ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, tc.want, w.Header()["Cache-Control"])
		})
	}
}

// DropAuthorization takes what Extract reads, in every spelling, and nothing else.
func TestDropWhatExtractReads(t *testing.T) {
	extract := func(r *http.Request) (bearergate.Credentials, error) { return sent(r.Header.Get("X-Api-Key")), nil }
	header := func() http.Header {
		return http.Header{"X-Api-Key": {good}, "X_api_key": {"x"}, "X.api.key": {"x"}, "X-Api-Keys": {"kept"}, "Authorization": {"x"}}
	}
	for _, drop := range []bool{false, true} {
		gate := newGate(t, accepts(reader), middleware.Config{Extract: extract, ExtractHeaders: []string{"Authorization", "X-API-Key"}, DropAuthorization: drop,
			Identity: map[string]func(*bearergate.Token) string{"X-User": (*bearergate.Token).Subject}})
		var seen http.Header
		sees := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
		rt := gate.NewRouter()
		rt.Handle("GET /orders", scope.All("read"), sees)
		rt.Public("GET /public", sees)
		h := built(t, rt)
		for _, path := range []string{"/orders", "/public"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header = header()
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, header(), r.Header, "the caller's request")
			want := header()
			if drop {
				want = http.Header{"X-Api-Keys": {"kept"}}
			}
			if path == "/orders" {
				want["X-User"] = []string{"u1"}
			}
			require.Equal(t, want, seen, path)
		}
		advisor, err := rt.Advisor()
		require.NoError(t, err)
		for _, told := range []http.Header{header(), {"X-Api-Key": {good}}} { // all of it, and a part
			advice := advisor.Advise(t.Context(), middleware.Told{Method: "GET", Host: "api.example.com", URI: "/orders", Header: told})
			require.Equal(t, http.StatusOK, advice.Status)
			for _, name := range []string{"authorization", "x-api-key", "x_api_key"} {
				require.Equal(t, drop, slices.Contains(advice.Remove, name), name)
			}
			require.Equal(t, drop && len(told) > 1, slices.Contains(advice.Remove, "x.api.key"))
			require.NotContains(t, advice.Remove, "x-api-keys")
		}
	}
}

// Where Extract reads the credential, Explain does not send anybody to Authorization.
func TestExplainExtract(t *testing.T) {
	for _, tc := range []struct {
		name    string
		extract error
		raw     string
		reason  bearergate.Reason
		advice  string
	}{
		{name: "nothing", reason: bearergate.ReasonNoToken, advice: "No credential arrived where Extract of this gate reads one"},
		{name: "two", extract: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest, advice: "exactly one credential where Extract of this gate reads one"},
		{name: "a store that is down", extract: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "a good one", raw: good},
	} {
		gate := newGate(t, accepts(reader), middleware.Config{Extract: func(*http.Request) (bearergate.Credentials, error) { return sent(tc.raw), tc.extract }})
		e := gate.Explain(httptest.NewRequest("GET", "/", nil), scope.All("read"))
		require.Equal(t, tc.reason, bearergate.ReasonOf(e.Err), tc.name)
		if tc.advice == "" {
			require.Empty(t, e.Advice, tc.name)
			continue
		}
		require.Len(t, e.Advice, 1, tc.name)
		require.Contains(t, e.Advice[0], tc.advice)
	}
	plain := newGate(t, accepts(reader), middleware.Config{})
	e := plain.Explain(httptest.NewRequest("GET", "/", nil), scope.All("read"))
	require.NotContains(t, e.Advice[0], "Extract")
}
