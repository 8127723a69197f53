package usage_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
)

// kinds are the ways in which a route and a token with n scopes may be made up.
var kinds = map[string]func(tb testing.TB, n int) (scope.Set, scope.Requirement){
	"exact": func(_ testing.TB, n int) (scope.Set, scope.Requirement) {
		return scope.Of(names("svc%03d:read", n)...), scope.All(fmt.Sprintf("svc%03d:read", n/2))
	},
	"wildcard": func(tb testing.TB, n int) (scope.Set, scope.Requirement) {
		need := compiled(tb, scope.Policy{Separator: ":"}, scope.All(fmt.Sprintf("svc%03d:read", n/2)))
		return scope.Of(names("svc%03d:*", n)...), need
	},
	// Each scope includes the one before it, and the token has them all.
	"hierarchy": func(tb testing.TB, n int) (scope.Set, scope.Requirement) {
		implies := map[string][]string{}
		levels := names("level%03d", n)
		for i := 1; i < n; i++ {
			implies[levels[i]] = []string{levels[i-1]}
		}
		implies[levels[0]] = []string{"read"}
		return scope.Of(levels...), compiled(tb, scope.Policy{Implies: implies}, scope.All("read"))
	},
}

func names(format string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

func compiled(tb testing.TB, p scope.Policy, need scope.Requirement) scope.Requirement {
	tb.Helper()
	c, err := p.Compile(need)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// What one decision costs where little was seen before: tokens of many users with the
// same scopes, as many sets of scopes as there are requests, and requirements that are
// made for one request, as those of a template are.
func BenchmarkDecidedAnew(b *testing.B) {
	granted, need := kinds["wildcard"](b, 100)
	token := func(s scope.Set) *bearergate.Token {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as", ClientID: "c", Scopes: s})
	}
	var same, other []*bearergate.Token
	var needs []scope.Requirement
	for i := range 1000 {
		same = append(same, token(scope.Of(granted.Names()...)))
		other = append(other, token(scope.Of(append(granted.Names()[1:], fmt.Sprint("user:", i))...)))
		needs = append(needs, compiled(b, scope.Policy{Separator: ":"}, scope.All(fmt.Sprintf("svc%03d:read", i%100))))
	}
	for name, event := range map[string]func(i int) middleware.DecisionEvent{
		"copies of a set": func(i int) middleware.DecisionEvent {
			return middleware.DecisionEvent{Token: same[i%1000], Required: need}
		},
		"sets": func(i int) middleware.DecisionEvent {
			return middleware.DecisionEvent{Token: other[i%1000], Required: need}
		},
		"requirements": func(i int) middleware.DecisionEvent {
			return middleware.DecisionEvent{Token: same[0], Required: needs[i%1000]}
		},
	} {
		b.Run(name, func(b *testing.B) {
			u, err := usage.New(usage.Config{})
			if err != nil {
				b.Fatal(err)
			}
			decided := u.Hooks().Decided
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					decided(context.Background(), event(i))
				}
			})
		})
	}
}

// What one decision costs; with -cpu 1,2 on one core and on both.
func BenchmarkDecided(b *testing.B) {
	for _, kind := range []string{"exact", "wildcard", "hierarchy"} {
		for _, n := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				granted, need := kinds[kind](b, n)
				u, err := usage.New(usage.Config{})
				if err != nil {
					b.Fatal(err)
				}
				decided := u.Hooks().Decided
				event := middleware.DecisionEvent{Token: bearergate.NewToken(bearergate.Claims{Issuer: "https://as", ClientID: "c", Scopes: granted}), Required: need}
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						decided(context.Background(), event)
					}
				})
			})
		}
	}
}
