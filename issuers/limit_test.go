package issuers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func limit(t testing.TB, v bearergate.Verifier, l issuers.Limits) bearergate.Verifier {
	t.Helper()
	v, err := issuers.Limit(v, l)
	require.NoError(t, err)
	return v
}

func TestLimitNamesEveryMistake(t *testing.T) {
	good := says(full())
	until := time.Now()
	for _, tt := range []struct {
		name     string
		verifier bearergate.Verifier
		limits   issuers.Limits
		says     []string
	}{
		{name: "nil", limits: issuers.Limits{Until: until}, says: []string{"the verifier is nil"}},
		{name: "typed nil", verifier: (*jwtverify.Verifier)(nil), limits: issuers.Limits{Until: until}, says: []string{"the verifier is nil"}},
		{name: "no limits", verifier: good, says: []string{"limit nothing: set Scopes, Clients or Until"}},
		{name: "no scopes", verifier: good, limits: issuers.Limits{Scopes: []string{}}, says: []string{"Scopes is an empty list"}},
		{name: "no clients", verifier: good, limits: issuers.Limits{Clients: []string{}, Until: until}, says: []string{"Clients is an empty list"}},
		{name: "two scopes in one", verifier: good, limits: issuers.Limits{Scopes: []string{"a", "b c"}}, says: []string{`"b c" is no scope`}},
		{name: "an empty scope", verifier: good, limits: issuers.Limits{Scopes: []string{""}}, says: []string{`"" is no scope`}},
		{name: "an empty client", verifier: good, limits: issuers.Limits{Clients: []string{"a", ""}}, says: []string{"Clients contains an empty string"}},
		{name: "clients by a pattern", verifier: good, limits: issuers.Limits{Clients: []string{"a", "partner-*"}}, says: []string{`Limit: Clients: "partner-*" has a * in it: it is compared as it stands`}},
		{name: "a client that was to be filled in", verifier: good, limits: issuers.Limits{Clients: []string{"${CLIENT}"}}, says: []string{`Limit: Clients: "${CLIENT}" has a brace in it`}},
		{name: "a scope with a placeholder", verifier: good, limits: issuers.Limits{Scopes: []string{"orders:*", "document:read:{id}"}}, says: []string{`Limit: Scopes: "document:read:{id}" has a brace in it`}},
		{name: "four at once", limits: issuers.Limits{Scopes: []string{"b c"}, Clients: []string{""}}, says: []string{"nil", "no scope", "empty string"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := issuers.Limit(tt.verifier, tt.limits)
			require.Nil(t, v)
			requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

func TestLimitDecides(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits issuers.Limits
		claims func(*bearergate.Claims)
		want   func(*bearergate.Claims) // of what the verifier says; nil: refused
	}{
		{name: "some scopes", limits: issuers.Limits{Scopes: []string{"read", "other"}}, want: func(c *bearergate.Claims) { c.Scopes = scope.Of("read") }},
		{name: "all scopes", limits: issuers.Limits{Scopes: []string{"admin", "write", "read"}}, want: func(*bearergate.Claims) {}},
		{name: "no scope of these", limits: issuers.Limits{Scopes: []string{"Read", "adm"}}, want: func(c *bearergate.Claims) { c.Scopes = scope.Of() }},
		{name: "no claim for scopes", limits: issuers.Limits{Scopes: []string{"read"}}, claims: func(c *bearergate.Claims) { c.Scopes = scope.Set{} },
			want: func(c *bearergate.Claims) { c.Scopes = scope.Of() }},
		{name: "scopes are not limited", limits: issuers.Limits{Clients: []string{"client-1"}}, want: func(*bearergate.Claims) {}},
		{name: "one of two clients", limits: issuers.Limits{Clients: []string{"client-2", "client-1"}}, want: func(*bearergate.Claims) {}},
		{name: "another client", limits: issuers.Limits{Clients: []string{"client-2"}}},
		{name: "the client in upper case", limits: issuers.Limits{Clients: []string{"CLIENT-1"}}},
		{name: "no client", limits: issuers.Limits{Clients: []string{"client-1"}}, claims: func(c *bearergate.Claims) { c.ClientID = "" }},
		{name: "all of them", limits: issuers.Limits{Scopes: []string{"write"}, Clients: []string{"client-1"}, Until: time.Now().AddDate(100, 0, 0)},
			want: func(c *bearergate.Claims) { c.Scopes = scope.Of("write") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := full()
			claims.ExpiresAt = time.Now().Add(time.Hour)
			if tt.claims != nil {
				tt.claims(&claims)
			}
			v := limit(t, says(claims), tt.limits)
			token, err := v.Verify(t.Context(), "x")
			kit.RequireExplained(t, bearergate.Explain(t.Context(), v, "x"), err, "x")
			if tt.want == nil {
				requireError(t, token, err, bearergate.ErrForbidden, bearergate.ReasonPolicy)
				require.Equal(t, "the client is not among Limits.Clients", bearergate.AsError(err).Detail)
				require.Empty(t, bearergate.AsError(err).Found, "what a token says of its client is not told")
				require.Equal(t, issuer, bearergate.AsError(err).Refused.Issuer())
				return
			}
			require.NoError(t, err)
			want := claims
			tt.want(&want)
			require.Equal(t, bearergate.NewToken(want), token)
			require.Equal(t, token, bearergate.Explain(t.Context(), v, "x").Token)
		})
	}
}

// From Until on nothing is accepted, and nobody is asked.
func TestLimitUntil(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Minute)
		takes := time.Duration(0)
		asked := 0
		claims := full()
		claims.ExpiresAt = time.Now().Add(time.Hour)
		v := limit(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			asked++
			time.Sleep(takes)
			return bearergate.NewToken(claims), nil
		}), issuers.Limits{Until: until})
		refused := func() {
			t.Helper()
			token, err := v.Verify(t.Context(), "x")
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
			require.Equal(t, "Limits.Until has passed", bearergate.AsError(err).Detail)
		}
		accepted := func() *bearergate.Token {
			t.Helper()
			token, err := v.Verify(t.Context(), "x")
			require.NoError(t, err)
			return token
		}
		require.Equal(t, until, accepted().ExpiresAt(), "a long request ends then too")
		claims.ExpiresAt = time.Time{}
		require.Equal(t, until, accepted().ExpiresAt())
		claims.ExpiresAt = time.Now().Add(time.Second)
		require.Equal(t, claims.ExpiresAt, accepted().ExpiresAt())

		time.Sleep(time.Minute - time.Nanosecond)
		accepted()
		takes = time.Nanosecond
		refused() // it was asked in time, and answers too late
		takes = 0
		before := asked
		refused()
		e := bearergate.Explain(t.Context(), v, "x")
		require.Equal(t, bearergate.ReasonPolicy, bearergate.ReasonOf(e.Err))
		require.Contains(t, strings.Join(e.Advice, ""), "Limits.Until")
		require.Equal(t, before, asked)
		token, err := v.Verify(t.Context(), "")
		requireError(t, token, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	})
}

// What the verifier says is kept, and what it tells of itself.
func TestLimitKeepsTheVerifier(t *testing.T) {
	l := issuers.Limits{Scopes: []string{"read"}, Clients: []string{"client-1"}}
	expired := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
	token, err := limit(t, fails(expired), l).Verify(t.Context(), "x")
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
	token, err = limit(t, fails(nil), l).Verify(t.Context(), "x")
	requireError(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)

	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.Confirmations = []string{"jkt"}
	own := newVerifier(t, c)
	v := limit(t, own, l)
	require.Equal(t, issuer, v.(interface{ Issuer() string }).Issuer())
	require.Equal(t, []string{"jkt"}, v.(interface{ Confirmations() []string }).Confirmations())
	require.False(t, v.(interface{ Live() bool }).Live())
	require.Equal(t, bearergate.Verifier(own), v.(interface{ Unwrap() bearergate.Verifier }).Unwrap())
	kit.RequireExplained(t, bearergate.Explain(t.Context(), v, s.Sign(t, map[string]any{"aud": "x"})), mustRefuse(t, v, s.Sign(t, map[string]any{"aud": "x"})), "")

	quiet := limit(t, says(full()), l)
	require.Empty(t, quiet.(interface{ Issuer() string }).Issuer())
	require.Nil(t, quiet.(interface{ Confirmations() []string }).Confirmations())
	require.True(t, quiet.(interface{ Live() bool }).Live(), "as far as can be told")

	// A Router sees whose it is, and RequireLive that it asks nobody.
	_, err = issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{issuerB: v}})
	require.ErrorContains(t, err, `the verifier is for the issuer "`+issuer+`"`)
	_, err = issuers.RequireLive(own, v)
	require.ErrorContains(t, err, "asks nobody")
	r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: v}})
	accepted, err := r.Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	require.Equal(t, []string{"read"}, accepted.Scopes().Names())

	// A RequireLive around it does not bring scopes back.
	live := says(bearergate.Claims{Scopes: scope.Of("read", "write", "admin")})
	for _, change := range []map[string]any{nil, {"scope": absent}} {
		token, err := requireLive(t, v, live).Verify(t.Context(), s.Sign(t, change))
		require.NoError(t, err)
		require.False(t, token.Scopes().Has("write"))
	}
}

func mustRefuse(t testing.TB, v bearergate.Verifier, raw string) error {
	t.Helper()
	_, err := v.Verify(t.Context(), raw)
	require.Error(t, err)
	return err
}

// A token that keeps to the limits is not copied, for every request.
func TestLimitLeavesWhatIsWithin(t *testing.T) {
	own := bearergate.NewToken(full())
	v := limit(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return own, nil }),
		issuers.Limits{Scopes: []string{"read", "write", "admin", "more"}, Clients: []string{"client-1"}, Until: time.Now().AddDate(100, 0, 0)})
	token, err := v.Verify(t.Context(), "x")
	require.NoError(t, err)
	require.Same(t, own, token)
}

// Only the limits that are set are explained, each with its two sides.
func TestLimitExplains(t *testing.T) {
	until := time.Now().AddDate(100, 0, 0)
	inactive := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
	for _, tt := range []struct {
		name     string
		verifier bearergate.Verifier
		limits   issuers.Limits
		steps    []string
		advice   string
	}{
		{name: "until", limits: issuers.Limits{Until: until}, steps: []string{"passed: limits until", "passed: verifier"}},
		{name: "over", limits: issuers.Limits{Until: time.Now()}, steps: []string{"failed: limits until"}, advice: "set a later Limits.Until"},
		{name: "clients", limits: issuers.Limits{Clients: []string{"client-1"}}, steps: []string{"passed: verifier", `passed: limits clients, expected "client-1"`}},
		{name: "another client", limits: issuers.Limits{Clients: []string{"client-2"}, Scopes: []string{"read"}},
			steps: []string{"passed: verifier", `failed: limits clients: the client is not among Limits.Clients, expected "client-2"`}, advice: "add its ID to Limits.Clients"},
		{name: "scopes", limits: issuers.Limits{Scopes: []string{"read"}},
			steps: []string{"passed: verifier", `passed: limits scopes: the token keeps the scopes that Limits.Scopes has, expected "read", found "read" "write" "admin"`}},
		{name: "all", limits: issuers.Limits{Scopes: []string{"read"}, Clients: []string{"client-1"}, Until: until},
			steps: []string{"passed: limits until", "passed: verifier", "passed: limits clients", "passed: limits scopes"}},
		{name: "refused before", verifier: fails(inactive), limits: issuers.Limits{Scopes: []string{"read"}, Clients: []string{"client-2"}, Until: until},
			steps: []string{"passed: limits until", "failed: verifier"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.verifier == nil {
				tt.verifier = says(full())
			}
			v := limit(t, tt.verifier, tt.limits)
			_, err := v.Verify(t.Context(), "x")
			e := bearergate.Explain(t.Context(), v, "x")
			kit.RequireExplained(t, e, err, "x")
			require.Len(t, e.Steps, len(tt.steps), "%v", e)
			for i, want := range tt.steps {
				require.True(t, strings.HasPrefix(e.Steps[i].String(), want), "%v", e.Steps[i])
			}
			require.Equal(t, tt.advice != "", len(e.Advice) > 0)
			require.Contains(t, strings.Join(e.Advice, ""), tt.advice)
		})
	}
}

func TestLimitCopiesItsConfiguration(t *testing.T) {
	l := issuers.Limits{Scopes: []string{"read"}, Clients: []string{"client-1"}}
	v := limit(t, says(full()), l)
	l.Scopes[0], l.Clients[0] = "write", "client-2"
	token, err := v.Verify(t.Context(), "x")
	require.NoError(t, err)
	require.Equal(t, []string{"read"}, token.Scopes().Names())
}
