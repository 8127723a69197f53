package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// good is the token that the verifiers of these tests accept.
const good = "good.token"

var (
	sentinels    = kit.Sentinels()
	requireError = kit.RequireError
)

// accepts verifies good as a token with these claims, and nothing else.
func accepts(c bearergate.Claims) bearergate.Verifier {
	token := bearergate.NewToken(c)
	return bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		if raw != good {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonMalformed}
		}
		return token, nil
	})
}

func answers(err error) bearergate.Verifier {
	return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, err })
}

func refuses(kind error, reason bearergate.Reason) bearergate.Verifier {
	return answers(&bearergate.Error{Kind: kind, Reason: reason, Cause: errors.New("s3cret detail for operators")})
}

var reader = bearergate.Claims{Issuer: "https://as.example.com/", Subject: "u1", Scopes: scope.Of("read")}

// holder is reader with a token that is bound to a client certificate.
var holder = boundBy("x5t#S256")

// boundBy is reader with a token that is bound by these members of cnf.
func boundBy(members ...string) bearergate.Claims {
	c := reader
	c.Confirmation = map[string][]byte{}
	for _, m := range members {
		c.Confirmation[m] = []byte(`"key"`)
	}
	return c
}

// binding is a Binding that says what its fields say, and counts its calls.
type binding struct {
	scheme    bearergate.Scheme
	members   []string
	challenge map[string]string
	confirm   confirm

	asked int
}

type confirm = func(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error)

func (b *binding) Scheme() bearergate.Scheme    { return b.scheme }
func (b *binding) Members() []string            { return b.members }
func (b *binding) Challenge() map[string]string { return b.challenge }

func (b *binding) Confirm(ctx context.Context, c bearergate.Call, token *bearergate.Token) (bearergate.Reply, error) {
	b.asked++
	return b.confirm(ctx, c, token)
}

func certificate(f confirm) *binding {
	return &binding{scheme: bearergate.SchemeBearer, members: []string{"x5t#S256"}, confirm: f}
}

func dpop(f confirm) *binding {
	return &binding{scheme: bearergate.SchemeDPoP, members: []string{"jkt"}, challenge: map[string]string{"algs": "ES256 EdDSA"}, confirm: f}
}

// proven is a confirm that accepts whoever sends the header Proof: good.
func proven(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
	if proof := c.Values("Proof"); len(proof) != 1 || proof[0] != "good" {
		return nil, errors.New("s3cret: not the holder")
	}
	return nil, nil
}

// fails is a confirm that answers with this error.
func fails(err error) confirm {
	return func(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) { return nil, err }
}

// sent is what Extract finds.
func sent(token string) bearergate.Credentials {
	return bearergate.Credentials{Raw: bearergate.NewSecret(token)}
}

func newGate(t testing.TB, v bearergate.Verifier, c middleware.Config) *middleware.Gate {
	t.Helper()
	gate, err := middleware.New(v, c)
	require.NoError(t, err)
	return gate
}

func bearer(method, token string) *http.Request {
	r := httptest.NewRequest(method, "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// refused asserts that Check refuses r so, without a token beside the error.
func refused(t testing.TB, gate *middleware.Gate, r *http.Request, need scope.Requirement, kind error, reason bearergate.Reason, opts ...middleware.RouteOption) error {
	t.Helper()
	token, _, err := gate.Check(r, need, opts...)
	require.Nil(t, token)
	requireError(t, err, kind, reason)
	raw := ""
	if r != nil {
		raw = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	kit.RequireExplained(t, gate.Explain(r, need, opts...), err, raw)
	return err
}

// log collects events.
type log struct {
	mu     sync.Mutex // guards events
	events []middleware.DecisionEvent
}

func (l *log) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.events = append(l.events, e)
	}}
}

// only returns the one event since it was last called.
func (l *log) only(t testing.TB) middleware.DecisionEvent {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.events, 1)
	e := l.events[0]
	l.events = nil
	return e
}

// forbidden is a handler that must not run.
func forbidden(t testing.TB) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
}

type structVerifier struct{ v bearergate.Verifier }

func (s *structVerifier) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	return s.v.Verify(ctx, token)
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(b []byte) (int, error) { return len(b), nil }

var (
	says     = kit.Says
	granting = kit.Granting
	with     = kit.With
	ask      = kit.Ask
)

func built(t testing.TB, rt *middleware.Router) http.Handler { return kit.Built(t, rt) }
