package introspect_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// What Verify decides without a cache, Explain decides too, and says at which check.
func TestExplain(t *testing.T) {
	foreign := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://as.example.org/"}`)) + ".AAAA"
	reset := func(*http.Request, url.Values) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
	body := func(status int, contentType, text string) func(*http.Request, url.Values) (*http.Response, error) {
		return func(*http.Request, url.Values) (*http.Response, error) { return reply(status, contentType, text), nil }
	}
	for name, tt := range map[string]struct {
		answer  map[string]any // changes of the good one
		respond func(*http.Request, url.Values) (*http.Response, error)
		change  func(*introspect.Config)
		token   string // default: opaque
		reason  bearergate.Reason
		failed  string
		advice  string // begins with

		expected, found string // of the check that failed
	}{
		"accepted":    {},
		"no token":    {token: "-", reason: bearergate.ReasonNoToken, failed: "size", expected: `at most 16384 bytes`, found: `0 bytes`, advice: "No token was given"},
		"too long":    {token: strings.Repeat("x", 16<<10+1), reason: bearergate.ReasonTooLarge, failed: "size", expected: `at most 16384 bytes`, found: `16385 bytes`, advice: "Look why the token is so long"},
		"characters":  {token: "Bearer " + opaque, reason: bearergate.ReasonMalformed, failed: "form", advice: "The text begins with the scheme"},
		"Accept":      {change: func(c *introspect.Config) { c.Accept = func(string) bool { return false } }, reason: bearergate.ReasonMalformed, failed: "form"},
		"unknown":     {token: "unknown", reason: bearergate.ReasonInactive, failed: "active", expected: `active: true`, found: `active: false`, advice: "The server does not know the token as active"},
		"audience":    {answer: map[string]any{"aud": "graph"}, reason: bearergate.ReasonAudience, failed: "audience", expected: `"https://rs.example.com/"`, found: `"graph"`, advice: "The token is for another API"},
		"no audience": {answer: map[string]any{"aud": absent}, reason: bearergate.ReasonMissingClaim, failed: "audience", expected: `"https://rs.example.com/"`, advice: "The token names no API"},
		"issuer":      {answer: map[string]any{"iss": "https://as.example.com"}, reason: bearergate.ReasonIssuer, failed: "issuer", expected: `"https://as.example.com/"`, found: `"https://as.example.com"`, advice: "Issuer and the iss of the token: the two differ only by a slash"},
		"kind":        {answer: map[string]any{"token_use": "refresh_token"}, reason: bearergate.ReasonType, failed: "kind", expected: `an access token`, found: `token_use "refresh_token"`, advice: "This is a refresh token"},
		"bound":       {answer: map[string]any{"cnf": map[string]any{"jkt": "x"}}, reason: bearergate.ReasonBinding, failed: "binding", expected: `no cnf`, found: `"jkt"`, advice: "The token is bound by DPoP"},
		"DPoP":        {answer: map[string]any{"token_type": "DPoP"}, reason: bearergate.ReasonBinding, failed: "token_type", expected: `"DPoP" with cnf.jkt`, found: `"DPoP"`, advice: "token_type and cnf of the answer do not agree"},
		"a proof":     {answer: map[string]any{"token_type": "PoP"}, reason: bearergate.ReasonBinding, failed: "token_type", expected: `"Bearer" or "DPoP"`, found: `"PoP"`, advice: "The token is sent with a proof"},
		"refresh":     {answer: map[string]any{"token_type": "refresh_token"}, reason: bearergate.ReasonType, failed: "kind", expected: `"Bearer" "access_token" "DPoP" or none`, found: `"refresh_token"`, advice: "The server says by token_type"},
		"of no type":  {answer: map[string]any{"token_type": "JWT"}, reason: bearergate.ReasonType, failed: "kind", expected: `"Bearer" "access_token" "DPoP" or none`, found: `"JWT"`, advice: "The server says by token_type"},
		"expired":     {answer: map[string]any{"exp": int64(1)}, reason: bearergate.ReasonExpired, failed: "times", expected: `later than 1999-12-31T23:59:55Z`, found: `1970-01-01T00:00:01Z`, advice: "The token expired long ago"},
		"Check": {change: func(c *introspect.Config) {
			c.Check = func(context.Context, *bearergate.Token) error { return errors.New("s3cret") }
		}, reason: bearergate.ReasonPolicy, failed: "check", advice: "Config.Check refused"},
		"Map": {change: func(c *introspect.Config) {
			c.Map = func(*bearergate.Claims) error { return errors.New("s3cret") }
		}, reason: bearergate.ReasonPolicy, failed: "map"},
		"a JWT that Accept refuses": {token: foreign, change: func(c *introspect.Config) { c.Accept = func(string) bool { return false } }, reason: bearergate.ReasonMalformed, failed: "form", advice: "The token is a JWT"},
		"a JWT of another server":   {token: foreign, reason: bearergate.ReasonInactive, failed: "active", advice: "The token says that it is of another issuer", expected: "active: true", found: "active: false"},
		"a proof, for another API":  {answer: map[string]any{"token_type": "PoP", "aud": "graph"}, reason: bearergate.ReasonAudience, failed: "audience", advice: "The token is for another API", expected: `"https://rs.example.com/"`, found: `"graph"`},
		"unknown, with a Check": {token: "unknown", change: func(c *introspect.Config) {
			c.Check = func(context.Context, *bearergate.Token) error { return errors.New("s3cret") }
		}, reason: bearergate.ReasonInactive, failed: "active", expected: "active: true", found: "active: false"},
		"Map, an outage": {change: func(c *introspect.Config) {
			c.Map = func(*bearergate.Claims) error { return unavailable }
		}, reason: bearergate.ReasonStoreUnavailable, failed: "map", advice: "Nothing is known against the token"},
		"Map, a mistake": {change: func(c *introspect.Config) {
			c.Map = func(*bearergate.Claims) error { panic("s3cret") }
		}, reason: bearergate.ReasonInternal, failed: "map", advice: "A function of this service is broken"},
		"Ask": {change: func(c *introspect.Config) {
			*c = asking(func(context.Context, string) ([]byte, error) { return nil, invalid })
		}, reason: bearergate.ReasonPolicy, failed: "answer", advice: "Config.Ask refused the token and gave no answer"},
		"Ask, an outage": {change: func(c *introspect.Config) {
			*c = asking(func(context.Context, string) ([]byte, error) { return nil, unavailable })
		}, reason: bearergate.ReasonIntrospectionUnavailable, failed: "answer", advice: "Nothing is known against the token"},
		"no scope":            {answer: map[string]any{"scope": absent, "permissions": []string{"read"}}, advice: "The answer has no scope, and other members"},
		"nonsense":            {respond: body(200, "application/json", `{"active":"yes"}`), reason: bearergate.ReasonIntrospectionUnavailable, failed: "answer", advice: "Nothing is known against the token"},
		"a page":              {respond: body(200, "text/html", `<p>`), reason: bearergate.ReasonIntrospectionUnavailable, failed: "answer", advice: "Nothing is known against the token"},
		"refused credentials": {respond: body(401, "application/json", `{}`), reason: bearergate.ReasonConfig, failed: "answer", advice: "The authorization server refuses our own credentials"},
		"down":                {respond: reset, reason: bearergate.ReasonIntrospectionUnavailable, failed: "answer", advice: "Nothing is known against the token"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				if tt.answer != nil {
					s.answers[opaque] = answer(tt.answer)
				}
				s.respond = tt.respond
				token := opaque
				switch tt.token {
				case "":
				case "-":
					token = ""
				default:
					token = tt.token
				}
				c := with(config(s), func(c *introspect.Config) { c.DisableCache = true })
				if tt.change != nil {
					tt.change(&c)
				}
				client := newClient(t, c)
				e := client.Explain(t.Context(), token)
				_, err := client.Verify(t.Context(), token)
				kit.RequireExplained(t, e, err, token)
				require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err), "%v", e.Err)
				require.Equal(t, tt.reason == "", e.Token != nil)
				for name, there := range map[string]bool{"map": c.Map != nil, "check": c.Check != nil} {
					require.Equal(t, there, slices.ContainsFunc(e.Steps, func(s bearergate.Step) bool { return s.Name == name }), name)
				}
				failed, _ := e.Failed()
				require.Equal(t, tt.failed, failed.Name)
				require.Equal(t, tt.expected, failed.Expected)
				require.Equal(t, tt.found, failed.Found)
				if tt.advice != "" {
					require.NotEmpty(t, e.Advice)
					require.Contains(t, e.Advice[0], tt.advice)
				}
				for _, step := range e.Steps {
					if step.State != bearergate.StepNotReached {
						require.False(t, step.Unsigned, "the answer vouches for it: %v", step)
					}
				}
				require.NotContains(t, e.String(), "s3cret")
				require.NotContains(t, e.String(), secret)
			})
		})
	}
}

// Each check says what it expects, and what it has found, where there is an answer.
func TestExplainShowsBothSides(t *testing.T) {
	found := func(issuer, audience, tokenType string) map[string][]string {
		return map[string][]string{"size": {"at most 16384 bytes", "22 bytes"}, "active": {"active: true", "active: true"},
			"issuer": {`"https://as.example.com/"`, issuer}, "audience": {`"https://rs.example.com/"`, audience},
			"token_type": {`"Bearer" "access_token" "DPoP" or none`, tokenType}}
	}
	for _, tt := range []struct {
		name  string
		fault func() (*http.Response, error)
		other map[string]any
		sides map[string][]string // by check
	}{
		{name: "accepted", sides: found(`"https://as.example.com/"`, `"https://rs.example.com/"`, `"Bearer"`)},
		{name: "no token_type", other: map[string]any{"token_type": absent}, sides: found(`"https://as.example.com/"`, `"https://rs.example.com/"`, "")},
		{name: "the token in it", other: map[string]any{"jti": opaque}, sides: found("", "", "")},
		{name: "no answer", fault: down, sides: map[string][]string{"size": {"at most 16384 bytes", "22 bytes"}, "active": {"active: true", ""},
			"issuer": {"", ""}, "audience": {"", ""}, "token_type": {`"Bearer" "access_token" "DPoP" or none`, ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(tt.other)
			s.fail(tt.fault)
			sides := map[string][]string{}
			for _, step := range newClient(t, config(s)).Explain(t.Context(), opaque).Steps {
				if tt.sides[step.Name] != nil {
					sides[step.Name] = []string{step.Expected, step.Found}
				}
			}
			require.Equal(t, tt.sides, sides)
		})
	}
}

// An answer that quotes the token explains itself without what it quotes.
func TestExplainOfAnAnswerThatQuotesTheToken(t *testing.T) {
	for _, member := range []string{"aud", "iss", "scope", "token_type", "acr", "jti", "sub", "client_id", "username"} {
		for form, quoted := range map[string]string{"alone": opaque, "in a text": "https://as.example.com/" + opaque + "/x"} {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{member: quoted})
			e := newClient(t, config(s)).Explain(t.Context(), opaque)
			require.NotContains(t, e.String(), opaque, member+" "+form)
			for _, step := range e.Steps {
				require.NotContains(t, step.Found+step.Expected+step.Detail, opaque, member+" "+form)
			}
			if e.Err != nil {
				require.NotContains(t, e.Err.Error(), opaque, member+" "+form)
			}
		}
	}
}

// What Check finds in such an answer is not shown either.
func TestExplainOfACheckThatQuotesTheToken(t *testing.T) {
	for _, quoted := range []bool{true, false} {
		s := newServer()
		if quoted {
			s.answers[opaque] = answer(map[string]any{"jti": opaque})
		}
		e := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Check = func(_ context.Context, token *bearergate.Token) error {
				return &bearergate.Error{Kind: invalid, Reason: bearergate.ReasonPolicy, Found: token.ID()}
			}
		})).Explain(t.Context(), opaque)
		kit.RequireError(t, e.Err, invalid, bearergate.ReasonPolicy)
		require.Equal(t, map[bool]string{false: "id-1"}[quoted], bearergate.AsError(e.Err).Found)
	}
}

// Explain asks each time and remembers nothing; what is remembered stays as it is.
func TestExplainLeavesNoTrace(t *testing.T) {
	s := newServer()
	looked, called := 0, 0
	client := newClient(t, with(config(s), func(c *introspect.Config) {
		c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) {
			called++
			require.Equal(t, 1, e.Attempt)
		}
		c.Hooks.Looked = func(context.Context, introspect.LookEvent) { looked++ }
	}))
	for range 3 {
		require.NoError(t, client.Explain(t.Context(), opaque).Err)
	}
	require.Equal(t, []int{3, 3, 0}, []int{s.requests(), called, looked})
	_, err := client.Verify(t.Context(), opaque)
	require.NoError(t, err)
	require.Equal(t, 4, s.requests(), "the explanations were not remembered")
	s.set(func(s *server) { s.answers = nil })
	require.Equal(t, bearergate.ReasonInactive, bearergate.ReasonOf(client.Explain(t.Context(), opaque).Err))
	_, err = client.Verify(t.Context(), opaque)
	require.NoError(t, err, "until its time is over, as without Explain")
	require.Equal(t, []int{5, 2}, []int{s.requests(), looked})
	for _, c := range []*introspect.Client{nil, new(introspect.Client)} {
		kit.RequireError(t, c.Explain(t.Context(), opaque).Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

// Whoever asks for an explanation and goes away, many times over, looks to nobody like a
// server that does not answer.
func TestExplainFeedsNoBreaker(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		changes := 0
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.BreakerChanged = func(context.Context, introspect.BreakerEvent) { changes++ }
		}))
		s.set(func(s *server) { s.delay = time.Second })
		for range 3 * introspect.BreakerFailures {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			e := client.Explain(ctx, opaque)
			kit.RequireError(t, e.Err, bearergate.ErrUnavailable, bearergate.ReasonIntrospectionUnavailable)
			cancel()
		}
		time.Sleep(time.Minute)
		require.Zero(t, changes)
		_, err := client.Verify(t.Context(), opaque)
		require.NoError(t, err)
	})
}

// What a gate refuses of a token whose answer quotes it is refused without quoting that.
func TestARouteQuotesNothingOfSuchAnAnswer(t *testing.T) {
	for member, quoted := range map[string]any{"scope": opaque + " read", "acr": opaque, "roles": []string{opaque}, "aud": []string{audience, opaque}, "jti": opaque} {
		t.Run(member, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{member: quoted})
			token, err := newClient(t, config(s)).Verify(t.Context(), opaque)
			require.NoError(t, err)
			for _, refusal := range []error{
				token.Authorize(scope.All("admin")),
				bearergate.StepUp{ACR: []string{"mfa"}}.Authorize(token, scope.Requirement{}),
				(&bearergate.Error{Kind: bearergate.ErrInvalidToken}).WithRefused(token),
			} {
				e := bearergate.AsError(refusal)
				require.NotContains(t, e.Error()+e.Found+e.Expected+e.Detail, opaque)
				require.Nil(t, e.Refused, "whose token it was would be the token")
			}
			require.Empty(t, token.Quoted(token.Scopes().Names()...))
			require.Empty(t, token.With(func(c *bearergate.Claims) { c.ACR = "x" }).Quoted("x"), "of a copy neither")
			require.NotContains(t, newClient(t, config(s)).Explain(t.Context(), opaque).Authorize(bearergate.StepUp{ACR: []string{"mfa"}}, scope.All("admin")).String(), opaque)
		})
	}
	s := newServer()
	token, err := newClient(t, config(s)).Verify(t.Context(), opaque)
	require.NoError(t, err)
	require.Equal(t, `"x"`, token.Quoted("x"), "any other answer is quoted")
}
