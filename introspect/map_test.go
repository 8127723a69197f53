package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// departments reads what a server says in its own words.
func departments(c *bearergate.Claims) error {
	var claims struct {
		Department string   `json:"department"`
		Groups     []string `json:"groups"`
	}
	if err := bearergate.NewToken(*c).Claims(&claims); err != nil {
		return err
	}
	if claims.Department == "" {
		return errors.New("no department")
	}
	c.Tenant, c.Roles, c.Scopes = claims.Department, claims.Groups, scope.Of(append(c.Scopes.Names(), claims.Groups...)...)
	return nil
}

// A Map is asked once for an answer, and its reading is what is remembered.
func TestMap(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, st := newServer(), newStore()
		s.answers[opaque] = answer(map[string]any{"department": "sales", "groups": []string{"clerk"}})
		s.answers["none"] = answer(nil)
		asked := 0
		c := with(sharing(s, st), func(c *introspect.Config) {
			c.MaxStale = time.Minute
			c.Map = func(c *bearergate.Claims) error { asked++; return departments(c) }
		})
		client := newClient(t, c)
		for range 3 {
			tok := requireAccepted(t, client, opaque)
			require.Equal(t, []any{"sales", []string{"clerk"}, []string{"read", "write", "clerk"}}, []any{tok.Tenant(), tok.Roles(), tok.Scopes().Names()})
			requireRefused(t, client, "none", invalid, bearergate.ReasonPolicy)
			requireRefused(t, client, "unknown", invalid, bearergate.ReasonInactive)
		}
		require.Equal(t, 2, asked, "once for each answer about an active token")
		require.Equal(t, 3, s.requests())
		synctest.Wait()
		// Another process reads the shared answer with its own Map.
		c.Map = func(c *bearergate.Claims) error { c.Tenant = "own"; return nil }
		require.Equal(t, "own", requireAccepted(t, newClient(t, c), opaque).Tenant())
		require.Equal(t, 3, s.requests())
		// What stands in during an outage is mapped too.
		time.Sleep(introspect.DefaultPositiveTTL + time.Second)
		s.fail(down)
		tok := requireAccepted(t, client, opaque)
		require.True(t, tok.Stale())
		require.Equal(t, "sales", tok.Tenant())
	})
}

// What a Map says of an answer, and what it may not do to it: INT-061.
func TestMapOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answer   map[string]any
		do       func(*bearergate.Claims) error
		kind     error // nil: accepted
		reason   bearergate.Reason
		outcome  introspect.Outcome // "": active
		says     string
		remember bool
	}{
		{name: "accepts", do: func(*bearergate.Claims) error { return nil }, remember: true},
		{name: "refuses", do: func(*bearergate.Claims) error { return errors.New("no department") }, kind: invalid, reason: bearergate.ReasonPolicy, says: "Map: no department", remember: true},
		{name: "refuses in its own words", do: func(*bearergate.Claims) error {
			return &bearergate.Error{Kind: invalid, Reason: bearergate.ReasonTenant, Detail: "of another tenant"}
		}, kind: invalid, reason: bearergate.ReasonTenant, says: "of another tenant", remember: true},
		{name: "forbids", do: func(*bearergate.Claims) error { return bearergate.ErrForbidden }, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, remember: true},
		{name: "asks somebody", do: func(*bearergate.Claims) error { return &net.DNSError{} }, kind: unavailable, reason: bearergate.ReasonStoreUnavailable, outcome: introspect.OutcomeMap},
		{name: "panics", do: func(*bearergate.Claims) error { panic(secret) }, kind: misconfigured, reason: bearergate.ReasonInternal, outcome: introspect.OutcomeMap, says: "Map panicked with a string"},
		{name: "clears cnf", answer: map[string]any{"cnf": map[string]any{"jkt": "x"}, "token_type": "DPoP"}, do: func(c *bearergate.Claims) error { c.Confirmation = nil; return nil },
			kind: misconfigured, reason: bearergate.ReasonInternal, outcome: introspect.OutcomeMap, says: "Map has changed Confirmation"},
		{name: "moves exp", do: func(c *bearergate.Claims) error { c.ExpiresAt = c.ExpiresAt.Add(time.Hour); return nil },
			kind: misconfigured, reason: bearergate.ReasonInternal, outcome: introspect.OutcomeMap, says: "Map has changed ExpiresAt"},
		{name: "changes iss", do: func(c *bearergate.Claims) error { c.Issuer = "x"; return nil },
			kind: misconfigured, reason: bearergate.ReasonInternal, outcome: introspect.OutcomeMap, says: "Map has changed Issuer"},
		{name: "changes the answer in place", do: func(c *bearergate.Claims) error { c.Raw[0] = 'x'; return nil },
			kind: misconfigured, reason: bearergate.ReasonInternal, outcome: introspect.OutcomeMap, says: "Map has changed Raw"},
		{name: "is not asked about another's token", answer: map[string]any{"aud": "x"}, do: func(*bearergate.Claims) error { panic("asked") },
			kind: invalid, reason: bearergate.ReasonAudience, remember: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.answers[opaque] = answer(tt.answer)
				var looked []introspect.LookEvent
				var called []introspect.CallEvent
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Map, c.Confirmations = tt.do, []string{"jkt"}
					c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { looked = append(looked, e) }
					c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { called = append(called, e) }
				}))
				for range 2 * introspect.BreakerFailures {
					if tt.outcome != "" {
						time.Sleep(time.Second) // a call that fails is not made again before
					}
					if tt.kind == nil {
						requireAccepted(t, client, opaque)
						continue
					}
					err := requireRefused(t, client, opaque, tt.kind, tt.reason)
					require.Contains(t, err.Error(), tt.says)
					require.NotContains(t, err.Error(), secret)
					if errors.Is(err, unavailable) {
						require.Positive(t, bearergate.AsError(err).RetryAfter)
					}
				}
				require.Equal(t, map[bool]int{true: 1, false: 2 * introspect.BreakerFailures}[tt.remember], s.requests())
				want := introspect.OutcomeActive
				if tt.outcome != "" {
					want = tt.outcome
					require.Equal(t, tt.reason, bearergate.ReasonOf(called[0].Err))
				}
				require.Equal(t, []any{want, 200}, []any{called[0].Outcome, called[0].Status}, "the server has answered")
				for _, e := range looked {
					require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
				}

				e := client.Explain(t.Context(), opaque)
				_, err := client.Verify(t.Context(), opaque)
				kit.RequireExplained(t, e, err, opaque)
				failed, _ := e.Failed()
				switch {
				case tt.reason == bearergate.ReasonAudience:
					require.Equal(t, "audience", failed.Name)
				case tt.kind != nil:
					require.Equal(t, "map", failed.Name)
					require.NotEmpty(t, e.Advice)
				}
			})
		})
	}
}

// An answer that quotes the token is not told of through an error of the Map, in whatever
// form that has it: only Kind and Reason stay.
func TestMapOfAnAnswerThatQuotesTheToken(t *testing.T) {
	detail := func(kind error, reason bearergate.Reason, text func(id string) string) func(*bearergate.Claims) error {
		return func(c *bearergate.Claims) error {
			text := text(c.ID)
			return &bearergate.Error{Kind: kind, Reason: reason, Detail: text, Expected: text, Found: text, Scopes: []string{text}, ACRValues: []string{text}}
		}
	}
	whole := func(id string) string { return id }
	cut := func(id string) string { return id[:len(id)-1] + "…" }
	for _, tt := range []struct {
		name   string
		err    func(*bearergate.Claims) error
		kind   error
		reason bearergate.Reason
		says   string
	}{
		{name: "refuses", err: func(c *bearergate.Claims) error { return fmt.Errorf("not %s", c.ID) }, kind: invalid, reason: bearergate.ReasonPolicy},
		{name: "refuses in words of its own", err: detail(invalid, bearergate.ReasonTenant, whole), kind: invalid, reason: bearergate.ReasonTenant},
		{name: "refuses with a part of it", err: detail(invalid, bearergate.ReasonTenant, cut), kind: invalid, reason: bearergate.ReasonTenant},
		{name: "refuses with a part of it as the cause", err: func(c *bearergate.Claims) error { return errors.New(cut(c.ID)) }, kind: invalid, reason: bearergate.ReasonPolicy},
		{name: "refuses in capitals", err: detail(invalid, bearergate.ReasonTenant, strings.ToUpper), kind: invalid, reason: bearergate.ReasonTenant},
		{name: "refuses in hexadecimal digits", err: detail(invalid, bearergate.ReasonTenant, func(id string) string { return fmt.Sprintf("%x", id) }), kind: invalid, reason: bearergate.ReasonTenant},
		{name: "asks for more", err: detail(bearergate.ErrInsufficientScope, bearergate.ReasonScope, cut), kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{name: "no answer, in words of its own", err: detail(unavailable, bearergate.ReasonStoreUnavailable, whole), kind: unavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "no answer, with a part of it", err: detail(unavailable, bearergate.ReasonStoreUnavailable, cut), kind: unavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "no answer", err: func(c *bearergate.Claims) error { return &net.DNSError{Err: c.ID} }, kind: unavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "a mistake", err: detail(misconfigured, bearergate.ReasonConfig, cut), kind: misconfigured, reason: bearergate.ReasonConfig},
		{name: "panics", err: func(c *bearergate.Claims) error { panic(c.ID) }, kind: misconfigured, reason: bearergate.ReasonInternal, says: "Map panicked with a string"},
		{name: "changes what is not its to change", err: func(c *bearergate.Claims) error { c.Subject = c.ID; return nil }, kind: misconfigured, reason: bearergate.ReasonInternal, says: "Map has changed Subject"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{"jti": opaque})
			var called []introspect.CallEvent
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Map = tt.err
				c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { called = append(called, e) }
			}))
			err := requireRefused(t, client, opaque, tt.kind, tt.reason)
			x := client.Explain(t.Context(), opaque)
			require.Equal(t, tt.reason, bearergate.ReasonOf(x.Err))
			failed, _ := x.Failed()
			require.Equal(t, "map", failed.Name)
			require.Contains(t, err.Error(), tt.says)
			e := bearergate.AsError(err)
			require.Nil(t, e.Refused)
			for _, text := range []string{err.Error(), e.Detail, fmt.Sprintf("%+v", *e), fmt.Sprint(e.Cause), x.String(), fmt.Sprint(called)} {
				for _, hidden := range []string{opaque[:len(opaque)-1], strings.ToUpper(opaque), fmt.Sprintf("%x", opaque)} {
					require.NotContains(t, text, hidden)
				}
			}
		})
	}
}

// INT-062: a life that is longer than the configuration has it, or of no known length.
func TestMaxTokenAge(t *testing.T) {
	now := time.Now().Unix()
	for _, tt := range []struct {
		name     string
		age      time.Duration
		exp, iat any
		reason   bearergate.Reason
		failed   string // the step of the explanation
	}{
		{name: "as long as may be", age: time.Hour, exp: now + 3000, iat: now - 600},
		{name: "a second more", age: time.Hour, exp: now + 3000, iat: now - 601, reason: bearergate.ReasonPolicy, failed: "lifetime"},
		{name: "no iat", age: time.Hour, exp: now + 3000, iat: absent, reason: bearergate.ReasonMissingClaim, failed: "required"},
		{name: "no exp", age: time.Hour, exp: absent, iat: now, reason: bearergate.ReasonMissingClaim, failed: "required"},
		{name: "neither", age: time.Hour, exp: absent, iat: absent, reason: bearergate.ReasonMissingClaim, failed: "required"},
		{name: "neither, and any age", exp: absent, iat: absent},
		{name: "ten years, and any age", exp: now + 315_360_000, iat: now},
		{name: "ten years", age: time.Hour, exp: now + 315_360_000, iat: now, reason: bearergate.ReasonPolicy, failed: "lifetime"},
		{name: "from the beginning of time", age: time.Hour, exp: now + 60, iat: 0, reason: bearergate.ReasonPolicy, failed: "lifetime"},
		{name: "expired before it was issued", age: time.Hour, exp: now - 60, iat: now, reason: bearergate.ReasonExpired, failed: "times"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{"exp": tt.exp, "iat": tt.iat})
			var looked []introspect.LookEvent
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.MaxTokenAge = tt.age
				c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { looked = append(looked, e) }
			}))
			_, err := client.Verify(t.Context(), opaque)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err), "%v", err)
			require.Equal(t, tt.reason, bearergate.ReasonOf(looked[0].Err))
			e := client.Explain(t.Context(), opaque)
			kit.RequireExplained(t, e, err, opaque)
			failed, _ := e.Failed()
			require.Equal(t, tt.failed, failed.Name)
			var names []string
			for _, step := range e.Steps {
				names = append(names, step.Name)
			}
			require.Equal(t, tt.age > 0, strings.Contains(strings.Join(names, " "), "kind required audience lifetime binding"), names)
		})
	}
	for age, says := range map[time.Duration]string{
		-1:   "MaxTokenAge -1ns is negative: leave it out to accept any age",
		3600: "MaxTokenAge is 3.6µs (a number without a unit counts nanoseconds: write 3600*time.Second, for example): set the longest life of a token",
	} {
		_, err := introspect.New(with(config(newServer()), func(c *introspect.Config) { c.MaxTokenAge = age }))
		require.ErrorIs(t, err, misconfigured)
		require.ErrorContains(t, err, says)
	}
}

// A path that no answer has is told; only answers of the server about active tokens count.
func TestUnmapped(t *testing.T) {
	look := func(c *bearergate.Claims) error {
		var claims struct {
			Groups []string `json:"groups"`
		}
		if err := bearergate.NewToken(*c).Claims(&claims); err != nil {
			return err
		}
		if claims.Groups == nil {
			c.Missing = append(c.Missing, "groups")
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		groups func(token int) any // counted from 1
		told   []string
	}{
		{name: "no answer has it", groups: func(int) any { return absent }, told: []string{"groups 100", "groups 1000"}},
		{name: "one has it", groups: func(n int) any {
			if n == 60 {
				return []string{"clerk"}
			}
			return absent
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, st := newServer(), newStore()
				var told []string
				c := with(sharing(s, st), func(c *introspect.Config) {
					c.Map = look
					c.Hooks.Unmapped = func(ctx context.Context, e bearergate.UnmappedEvent) {
						require.NoError(t, ctx.Err())
						require.Equal(t, issuer, e.Issuer)
						told = append(told, fmt.Sprintf("%s %d", e.Path, e.Tokens))
					}
				})
				client := newClient(t, c)
				for n := range 1010 {
					token := fmt.Sprint("token", n)
					s.answers[token] = answer(map[string]any{"groups": tt.groups(n + 1)})
					requireAccepted(t, client, token)
					requireAccepted(t, client, token) // from the cache
					requireRefused(t, client, fmt.Sprint("unknown", n), invalid, bearergate.ReasonInactive)
					synctest.Wait()
					if n == 0 {
						for range 200 {
							client.Explain(t.Context(), token)
							requireAccepted(t, newClient(t, c), token) // from the Store
						}
					}
				}
				require.Equal(t, tt.told, told)
			})
		})
	}
}

// Explain names what Map did not find in the answer, and no token that a Map takes for a name.
func TestExplainUnmapped(t *testing.T) {
	for _, tt := range []struct {
		name    string
		do      func(*bearergate.Claims) error
		reason  bearergate.Reason
		missing bool
	}{
		{name: "accepted", do: func(c *bearergate.Claims) error { c.Missing = []string{"groups"}; return nil }, missing: true},
		{name: "refused", do: func(c *bearergate.Claims) error { c.Missing = []string{"groups"}; return errors.New("no group") }, reason: bearergate.ReasonPolicy, missing: true},
		{name: "a token for a name", do: func(c *bearergate.Claims) error { c.Missing = []string{"groups", "x" + c.ID}; return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{"jti": opaque})
			e := newClient(t, with(config(s), func(c *introspect.Config) { c.Map = tt.do })).Explain(t.Context(), opaque)
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			advice := strings.Join(e.Advice, "\n")
			require.Equal(t, tt.missing, strings.Contains(advice, "Map looked for groups, which the answer about this token does not have: "), advice)
			require.NotContains(t, e.String(), opaque)
		})
	}
}
