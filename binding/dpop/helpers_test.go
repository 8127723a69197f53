package dpop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

const (
	api    = "https://rs.example.com"
	token  = "the.access.token"
	method = "GET"
	target = "/a/b?x=1"
)

// newScene is a client that calls [method] [target] of [api] now.
func newScene(t testing.TB) proofs.Scene {
	t.Helper()
	s := proofs.NewScene(t, method, api+"/a/b")
	s.Token = token
	return s
}

func newProofs(t testing.TB, change ...func(*dpop.Config)) *dpop.Proofs {
	t.Helper()
	c := dpop.Config{BaseURLs: []string{api}}
	for _, f := range change {
		f(&c)
	}
	p, err := dpop.New(c)
	require.NoError(t, err)
	return p
}

// bound is a verifier whose token is bound to these members.
func bound(t testing.TB, cnf map[string]any) bearergate.Verifier {
	t.Helper()
	var members map[string][]byte
	if cnf != nil {
		members = map[string][]byte{}
	}
	for name, value := range cnf {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		members[name] = text
	}
	return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example", Subject: "alice", Confirmation: members}), nil
	})
}

// call is the request of a scene with these proofs.
func call(sent ...string) bearergate.Call {
	return bearergate.Call{
		Credentials: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret(token)},
		Method:      method, Target: target, Host: "rs.example.com",
		Header: func(name string) []string {
			if name == "DPoP" {
				return sent
			}
			return nil
		},
	}
}

// confirm has p judge a call whose token is bound to the key of the scene.
func confirm(s proofs.Scene, p *dpop.Proofs, c bearergate.Call) (bearergate.Reply, error) {
	t, reply, err := bearergate.Authenticate(s.T.Context(), bound(s.T, map[string]any{"jkt": s.Key.Thumbprint}), c, p)
	if err == nil && !t.Proven() {
		s.T.Fatal("let in without a proof")
	}
	return reply, err
}

// sign is the valid proof of a scene with these claims changed.
func sign(s proofs.Scene, change map[string]any) string {
	claims := s.Claims()
	maps.Copy(claims, change)
	return s.Key.Sign(s.T, nil, claims)
}

// requireReason asserts the answer; "" is none. The sentinel follows from the Reason.
func requireReason(t testing.TB, err error, want bearergate.Reason) {
	t.Helper()
	switch want {
	case "":
		require.NoError(t, err)
	case bearergate.ReasonStoreUnavailable, bearergate.ReasonOverloaded, bearergate.ReasonCanceled:
		kit.RequireError(t, err, bearergate.ErrUnavailable, want)
	case bearergate.ReasonConfig, bearergate.ReasonInternal:
		kit.RequireError(t, err, bearergate.ErrMisconfigured, want)
	default:
		kit.RequireError(t, err, bearergate.ErrInvalidToken, want)
	}
}

// recorder is a store that remembers what it was asked.
type recorder struct {
	dpop.ReplayStore
	mu    sync.Mutex // guards the rest
	keys  []string
	until []time.Time
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	store, err := dpop.NewMemory(1000)
	require.NoError(t, err)
	return &recorder{ReplayStore: store}
}

func (r *recorder) Use(ctx context.Context, key string, until time.Time) (bool, error) {
	r.mu.Lock()
	r.keys, r.until = append(r.keys, key), append(r.until, until)
	r.mu.Unlock()
	return r.ReplayStore.Use(ctx, key, until)
}

func (r *recorder) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.keys)
}

// headerText and claimsText are those of the valid proof, as JSON.
func headerText(t testing.TB, s proofs.Scene) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": s.Key.Alg, "jwk": s.Key.JWK})
	require.NoError(t, err)
	return string(text)
}

func claimsText(t testing.TB, s proofs.Scene, id string) string {
	t.Helper()
	claims := s.Claims()
	claims["jti"] = id
	text, err := json.Marshal(claims)
	require.NoError(t, err)
	return string(text)
}

// requirePrintsNothing asserts that no verb shows any of these texts.
func requirePrintsNothing(t testing.TB, v any, texts ...string) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		for _, text := range texts {
			require.NotContains(t, fmt.Sprintf(verb, v), text)
		}
	}
}
