package trouble_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// option adds one to the route.
func option(o middleware.RouteOption) func(*try) {
	return func(y *try) { y.opts = append(y.opts, o) }
}

// certificate confirms every certificate: what it would compare is not the point here.
type certificate struct{}

func (certificate) Scheme() bearergate.Scheme    { return bearergate.SchemeBearer }
func (certificate) Members() []string            { return []string{"x5t#S256"} }
func (certificate) Challenge() map[string]string { return nil }

func (certificate) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, nil
}

// tenanted has a verifier of the user's that takes the tenant from a claim, and asks for
// a tenant in the path.
func tenanted(asked string) func(*try) {
	return func(y *try) {
		inner := y.verifier
		y.verifier = func() (bearergate.Verifier, error) {
			v, err := inner()
			return withTenant{v}, err
		}
		y.claims["tid"] = "acme"
		y.request = func(r *http.Request) { r.SetPathValue("tenant", asked) }
		option(middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") }))(y)
	}
}

// withTenant sets the tenant of each token from its claim tid.
type withTenant struct{ bearergate.Verifier }

func (v withTenant) Verify(ctx context.Context, raw string) (*bearergate.Token, error) {
	t, err := bearergate.Verify(ctx, v.Verifier, raw)
	if err != nil {
		return nil, err
	}
	var claims struct {
		Tenant string `json:"tid"`
	}
	if err := t.Claims(&claims); err != nil {
		return nil, err
	}
	return t.With(func(c *bearergate.Claims) { c.Tenant = claims.Tenant }), nil
}

// checks has the verifier ask a function of the user's.
func checks(check func(context.Context, *bearergate.Token) error) func(*try) {
	return func(y *try) { y.jwt.Check = check }
}

// hangs waits for a store that does not answer, for half a second.
func hangs(ctx context.Context, _ *bearergate.Token) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second/2)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

func routes() area {
	closed := errors.New("the account is closed")
	no := func(err error) func(*http.Request, *bearergate.Token) error {
		return func(*http.Request, *bearergate.Token) error { return err }
	}
	return area{
		title: "Routes",
		about: "The token is valid, and the route or a function of the service's own demands more.",
		rows: []row{
			{
				title: "The scope of the route is missing", status: http.StatusForbidden, reason: bearergate.ReasonScope,
				wrong:  claim("scope", "openid profile"),
				mended: "The client asks for the scope.", mend: claim("scope", "openid orders:read"),
			},
			{
				title: "The scopes are in the claim permissions", status: http.StatusForbidden, reason: bearergate.ReasonScope,
				wrong:  both(claim("scope", nil), claim("permissions", []string{"orders:read"})),
				mended: "ScopeClaims names it.", mend: func(y *try) { y.jwt.ScopeClaims = []string{"permissions"} },
				twin: "The answer has no scope",
			},
			{
				title: "The user lacks the role", status: http.StatusForbidden, reason: bearergate.ReasonRole,
				wrong:  both(claim("roles", []string{"clerk"}), option(middleware.Roles("auditor"))),
				mended: "The user has the role.", mend: claim("roles", []string{"clerk", "auditor"}),
			},
			{
				title: "The request is for another tenant", status: http.StatusForbidden, reason: bearergate.ReasonTenant,
				wrong:  tenanted("globex"),
				mended: "The client takes the tenant from its own token.", mend: func(y *try) {
					y.request = func(r *http.Request) { r.SetPathValue("tenant", "acme") }
				},
			},
			{
				title: "A service acts for the user that may not", status: http.StatusForbidden, reason: bearergate.ReasonActor,
				wrong:  both(claim("act", map[string]any{"client_id": "reports"}), option(middleware.Delegation(bearergate.Delegation{Actors: map[string][]bearergate.Actor{issuer: {{ClientID: "billing"}}}}))),
				mended: "Billing exchanges the token itself.", mend: claim("act", map[string]any{"client_id": "billing"}),
			},
			{
				title: "The route is for another audience of the service", status: http.StatusForbidden, reason: bearergate.ReasonAudience,
				wrong:  option(middleware.Audience("https://reports.example.test")),
				mended: "The client asks for both.", mend: claim("aud", []string{api, "https://reports.example.test"}),
			},
			{
				title: "The route wants a second factor (acr)", status: http.StatusUnauthorized, reason: bearergate.ReasonAuthentication,
				wrong:  both(claim("acr", "pwd"), option(middleware.StepUp([]string{"mfa"}, 0))),
				mended: "The user authenticates again, with acr_values.", mend: claim("acr", "mfa"),
			},
			{
				title: "The login was too long ago (auth_time)", status: http.StatusUnauthorized, reason: bearergate.ReasonAuthentication,
				wrong:  both(moment("auth_time", -time.Hour), option(middleware.StepUp(nil, 10*time.Minute))),
				mended: "The user authenticates again, with max_age.", mend: moment("auth_time", 0),
			},
			{
				title: "The server writes no auth_time into access tokens", status: http.StatusUnauthorized, reason: bearergate.ReasonAuthentication,
				wrong:  option(middleware.StepUp(nil, 10*time.Minute)),
				mended: "The server adds it.", mend: moment("auth_time", 0),
			},
			{
				title: "The route wants an authentication context of Microsoft Entra (acrs)", status: http.StatusUnauthorized, reason: bearergate.ReasonAuthentication,
				wrong:  both(claim("acrs", []string{"p1"}), option(middleware.AuthContext("c1"))),
				mended: "The client sends what the challenge says in claims, and the user satisfies the policy.", mend: claim("acrs", []string{"p1", "c1"}),
			},
			{
				title: "A policy of the route refuses (Allow)", status: http.StatusForbidden, reason: bearergate.ReasonPolicy,
				wrong:  option(middleware.Allow(no(closed))),
				mended: "The policy agrees.", mend: func(y *try) { y.opts = []middleware.RouteOption{middleware.Allow(no(nil))} },
			},
			{
				title: "A gate and another one further in demand one scope each", caseID: "D8", status: http.StatusForbidden, reason: bearergate.ReasonScope,
				wrong: func(y *try) {
					y.outer, y.need = scope.All("notes:read"), scope.All("notes:delete")
					y.claims["scope"] = "notes:read"
				},
				mended: "The client asks for exactly the scopes that the answer names.", mend: func(y *try) { y.claims["scope"] = "notes:delete notes:read" },
			},
			{
				title: "Check refuses", status: http.StatusUnauthorized, reason: bearergate.ReasonPolicy,
				wrong:  checks(func(context.Context, *bearergate.Token) error { return closed }),
				mended: "Check accepts.", mend: checks(nil),
			},
			{
				title: "The store that Check asks does not answer", status: http.StatusServiceUnavailable, reason: bearergate.ReasonStoreUnavailable,
				wrong:  checks(hangs),
				mended: "The store answers.", mend: checks(nil),
			},
		},
	}
}

// What the challenge of the gate further in names lets a client past both.
func TestTheChallengeOfNestedGatesLeadsIn(t *testing.T) {
	rows := routes().rows
	i := slices.IndexFunc(rows, func(r row) bool { return r.caseID == "D8" })
	bubble.Test(t, func(t *testing.T) {
		y := rows[i].set(t, nil, false)
		_, named, ok := strings.Cut(y.run().challenge, `scope="`)
		require.True(t, ok)
		y = rows[i].set(t, nil, false)
		y.claims["scope"], _, _ = strings.Cut(named, `"`)
		require.Equal(t, http.StatusOK, y.run().status)
	})
}
