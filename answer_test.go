package bearergate_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// proofOf is a Binding of the DPoP scheme that only has a challenge.
type proofOf map[string]string

func (proofOf) Scheme() bearergate.Scheme { return bearergate.SchemeDPoP }
func (proofOf) Members() []string         { return []string{"jkt"} }
func (proofOf) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, bearergate.ErrInvalidToken
}
func (p proofOf) Challenge() map[string]string { return p }

func TestAnswers(t *testing.T) {
	plain, err := bearergate.NewAnswers(bearergate.AnswerConfig{})
	require.NoError(t, err)
	full, err := bearergate.NewAnswers(bearergate.AnswerConfig{Realm: "orders", MetadataURL: "https://api.example.com/.well-known/oauth-protected-resource",
		AuthorizationURI: "https://login.example.com/authorize"}, proofOf{"algs": "ES256"})
	require.NoError(t, err)
	const where = `, resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
	need := scope.All("orders:write")
	weak := &bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ACRValues: []string{"mfa", "\"", "hw"}, MaxAge: time.Minute, Scopes: []string{"orders:write"}}
	claims := *weak
	claims.ClaimsChallenge = "e30="
	for _, row := range []struct {
		name       string
		answers    *bearergate.Answers
		err        error
		attempt    bearergate.Attempt
		code       string
		status     int
		oauth      string
		challenges []string
		retry      bool
	}{
		{name: "no token", answers: plain, err: bearergate.ErrMissingToken, attempt: bearergate.Attempt{Required: need},
			code: "MISSING_TOKEN", status: 401, challenges: []string{`Bearer realm="api"`}},
		{name: "no token, scopes advertised", answers: plain, err: bearergate.ErrMissingToken, attempt: bearergate.Attempt{Required: need, Advertise: true},
			code: "MISSING_TOKEN", status: 401, challenges: []string{`Bearer realm="api", scope="orders:write"`}},
		{name: "a scheme that is not accepted", answers: plain, err: bearergate.ErrInvalidToken, attempt: bearergate.Attempt{Scheme: bearergate.SchemeDPoP},
			code: "MISSING_TOKEN", status: 401, challenges: []string{`Bearer realm="api"`}},
		{name: "too few scopes", answers: plain, err: bearergate.ErrInsufficientScope, attempt: bearergate.Attempt{Scheme: bearergate.SchemeBearer, Authenticated: true, Required: need},
			code: "INSUFFICIENT_SCOPE", status: 403, oauth: "insufficient_scope",
			challenges: []string{`Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:write"`}},
		{name: "step-up", answers: plain, err: weak, attempt: bearergate.Attempt{Scheme: bearergate.SchemeBearer, Authenticated: true, Required: need},
			code: "INSUFFICIENT_USER_AUTHENTICATION", status: 401, oauth: "insufficient_user_authentication",
			challenges: []string{`Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger or more recent authentication of the user is required.", acr_values="mfa hw", max_age="60", scope="orders:write"`}},
		{name: "claims challenge", answers: full, err: &claims, attempt: bearergate.Attempt{Scheme: bearergate.SchemeBearer, Authenticated: true},
			code: "INSUFFICIENT_CLAIMS", status: 401, oauth: "insufficient_claims",
			challenges: []string{`Bearer realm="orders", error="insufficient_claims", error_description="The user has to satisfy the authentication context that claims asks for.", ` +
				`authorization_uri="https://login.example.com/authorize", claims="e30=", acr_values="mfa hw", max_age="60", scope="orders:write"` + where, `DPoP realm="orders", algs="ES256"` + where}},
		{name: "a proof", answers: full, err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonProof}, attempt: bearergate.Attempt{Scheme: bearergate.SchemeDPoP},
			code: "INVALID_DPOP_PROOF", status: 401, oauth: "invalid_dpop_proof",
			challenges: []string{`DPoP realm="orders", algs="ES256", error="invalid_dpop_proof", error_description="The DPoP proof is not valid here."` + where, `Bearer realm="orders"` + where}},
		{name: "two credentials", answers: full, err: bearergate.ErrInvalidRequest, attempt: bearergate.Attempt{Authorization: []string{"Bearer a", "DPoP b"}},
			code: "INVALID_REQUEST", status: 400, oauth: "invalid_request",
			challenges: []string{`Bearer realm="orders", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."` + where,
				`DPoP realm="orders", algs="ES256", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."` + where}},
		{name: "malformed DPoP credentials", answers: full, err: bearergate.ErrInvalidRequest, attempt: bearergate.Attempt{Authorization: []string{"dpop a b"}},
			code: "INVALID_REQUEST", status: 400, oauth: "invalid_request",
			challenges: []string{`DPoP realm="orders", algs="ES256", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."` + where, `Bearer realm="orders"` + where}},
		{name: "a policy", answers: full, err: bearergate.ErrForbidden, code: "FORBIDDEN", status: 403},
		{name: "an outage", answers: full, err: bearergate.ErrUnavailable, code: "TEMPORARILY_UNAVAILABLE", status: 503, retry: true},
		{name: "nil", answers: full, code: "MISCONFIGURED", status: 500},
		{name: "nil answers, and a scheme", err: bearergate.ErrInvalidToken, attempt: bearergate.Attempt{Scheme: bearergate.SchemeDPoP}, code: "INVALID_TOKEN", status: 401, oauth: "invalid_token"},
		{name: "zero answers, and a scheme", answers: &bearergate.Answers{}, err: bearergate.ErrInvalidToken, attempt: bearergate.Attempt{Scheme: bearergate.SchemeBearer}, code: "INVALID_TOKEN", status: 401, oauth: "invalid_token"},
		{name: "nil answers", err: bearergate.ErrInvalidToken, code: "INVALID_TOKEN", status: 401, oauth: "invalid_token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := row.answers.To(row.err, row.attempt)
			require.Equal(t, row.code, got.Code)
			require.Equal(t, row.status, got.Status)
			require.Equal(t, row.oauth, got.Error)
			require.Equal(t, row.challenges, got.Challenges)
			require.NotEmpty(t, got.Words)
			require.Equal(t, row.retry, got.RetryAfter >= time.Second, got.RetryAfter)
		})
	}
}

func TestFacts(t *testing.T) {
	require.Nil(t, (*bearergate.Error)(nil).Facts())
	require.Nil(t, (&bearergate.Error{Kind: bearergate.ErrInvalidToken, Scopes: []string{"a"}, ACRValues: []string{"b"}}).Facts())
	require.Equal(t, map[string]string{"scope": "a b"}, (&bearergate.Error{Kind: bearergate.ErrInsufficientScope, Scopes: []string{"a", "ä", "b", "a"}}).Facts())
	require.Equal(t, map[string]string{"acr_values": "mfa", "max_age": "90"},
		(&bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ACRValues: []string{"mfa"}, MaxAge: 90 * time.Second}).Facts())
	require.Equal(t, map[string]string{"claims": "e30="}, (&bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ClaimsChallenge: "e30="}).Facts())
}

// Every mistake at once.
func TestNewAnswersNamesEveryMistake(t *testing.T) {
	_, err := bearergate.NewAnswers(bearergate.AnswerConfig{Realm: `a"b`, MetadataURL: "api.example.com", AuthorizationURI: "https://login.example.com/a b"}, proofOf{"realm": "x"})
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, part := range []string{"Config.Realm: byte 0x22 at 1", "Config.MetadataURL", "Config.AuthorizationURI", `binding 1: the parameter "realm"`} {
		require.ErrorContains(t, err, part)
	}
}
