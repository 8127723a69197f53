package proofs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// Watcher makes the hooks that telemetry has for a service with bound tokens.
type Watcher interface {
	VerifyHooks() jwtverify.Hooks
	GateHooks() middleware.Hooks
	ProofHooks() dpop.Hooks
}

// Told is one request of [Watch] and the event that Hooks.Judged got.
type Told struct {
	Name       string
	Event      dpop.ProofEvent
	Thumbprint string // of the key to which the token is bound
}

// watched is a request that telemetry is told of.
type watched struct {
	name           string
	header, claims map[string]any
	send           func(t testing.TB, key, other kit.ProofKey, proof string) []string // nil: the proof
	nonce          bool                                                               // the claims get one of ours
	later          time.Duration                                                      // than that
	config         func(c *dpop.Config, secret func(name, text string) string)
	want           bearergate.Reason
}

// Watch has a service that w watches judge proofs of every kind, past stores, functions and
// hooks that repeat what they got wherever they can. around serves one request, with a
// context of the test's choice. Watch returns what was told, and what nobody may be told:
// tokens, proofs, jtis, nonces and keys of the store, by name. It belongs into a bubble.
func Watch(t testing.TB, w Watcher, around func(name string, serve func(context.Context))) (told []Told, secrets map[string]string) {
	t.Helper()
	secrets = map[string]string{}
	secret := func(name, text string) string {
		secrets[name] = text
		return text
	}
	secret("odd text", odd)
	as := authtest.New(t)
	for _, r := range watchedRows() {
		key, other := kit.NewProofKey(t, "ES256"), kit.NewProofKey(t, "ES256")
		claims := as.Claims(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read"), ExpiresAt: time.Now().Add(time.Hour)})
		claims["cnf"] = map[string]any{"jkt": key.Thumbprint}
		token := secret(r.name+": token", as.Sign(nil, claims))

		c := dpop.Config{BaseURLs: []string{"http://example.com"}}
		if r.config != nil {
			r.config(&c, func(name, text string) string { return secret(r.name+": "+name, text) })
		}
		var last []dpop.ProofEvent
		c.Hooks = dpop.JoinHooks(w.ProofHooks(), dpop.Hooks{Judged: func(_ context.Context, e dpop.ProofEvent) {
			last = append(last, e)
			panic(token)
		}})
		binding, err := dpop.New(c)
		require.NoError(t, err, r.name)
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
			Confirmations: []string{"jkt"}, Hooks: w.VerifyHooks()})
		require.NoError(t, err, r.name)
		gate, err := middleware.New(v, middleware.Config{Hooks: w.GateHooks(), Bindings: []bearergate.Binding{binding}})
		require.NoError(t, err, r.name)

		whole := key.Claims("GET", "http://example.com/orders/7", token, time.Now())
		if r.nonce {
			_, reply, err := bearergate.Authenticate(t.Context(), v, bearergate.Call{Credentials: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret(token)},
				Method: "GET", Target: "/orders/7", Header: func(string) []string { return []string{key.Sign(t, nil, whole)} }}, binding)
			kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonNonce)
			whole["nonce"] = secret(r.name+": nonce of ours", reply["DPoP-Nonce"])
			time.Sleep(r.later)
			last = nil
		}
		whole["jti"] = key.Claims("", "", "", time.Now())["jti"] // a new one
		maps.Copy(whole, r.claims)
		for _, claim := range []string{"jti", "nonce"} {
			if text, ok := whole[claim].(string); ok {
				secret(r.name+": "+claim, text)
			}
		}
		sent := []string{secret(r.name+": proof", key.Sign(t, r.header, whole))}
		if r.send != nil {
			sent = r.send(t, key, other, sent[0])
			secret(r.name+": proofs as sent", strings.Join(sent, ""))
		}

		around(r.name, func(ctx context.Context) {
			req := httptest.NewRequestWithContext(ctx, "GET", "/orders/7", nil)
			req.Header.Set("Authorization", "DPoP "+token)
			req.Header["Dpop"] = sent // as net/http spells it
			out := httptest.NewRecorder()
			gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(out, req)
			if nonce := out.Header().Get("DPoP-Nonce"); nonce != "" {
				secret(r.name+": nonce of the answer", nonce)
			}
		})
		require.Len(t, last, 1, r.name)
		require.Equal(t, r.want, last[0].Reason, r.name)
		told = append(told, Told{r.name, last[0], key.Thumbprint})
	}
	return told, secrets
}

// use is a ReplayStore that is a function.
type use func(key string) (bool, error)

func (f use) Use(_ context.Context, key string, _ time.Time) (bool, error) { return f(key) }

// odd is what a client may write wherever there is place.
var odd = "\x1b[31m\u2028\x00" + strings.Repeat("odd-text-of-a-client ", 50)

// watchedRows have every fault, and every outcome of nonces and of the store but canceled.
func watchedRows() []watched {
	nonces := func(c *dpop.Config, offer bool, secret func(name, text string) string) {
		ring := secret("secret of nonces", strings.Repeat("the secret of the nonces", 2))
		c.Nonces, _ = dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(ring)}, Offer: offer})
	}
	demanded := func(c *dpop.Config, secret func(name, text string) string) { nonces(c, false, secret) }
	offered := func(c *dpop.Config, secret func(name, text string) string) { nonces(c, true, secret) }
	answers := func(answer func(key string) (bool, error)) func(*dpop.Config, func(name, text string) string) {
		return func(c *dpop.Config, secret func(name, text string) string) {
			c.Replay = use(func(key string) (bool, error) { return answer(secret("key of the store", key)) })
		}
	}
	target := func(f func(proof string) (string, error)) func(*dpop.Config, func(name, text string) string) {
		return func(c *dpop.Config, _ func(name, text string) string) {
			c.BaseURLs, c.Target = nil, func(call bearergate.Call) (string, error) {
				return f(call.Values("DPoP")[0] + call.Raw.Reveal())
			}
		}
	}
	panics := func(text string) error { panic(text) }
	return []watched{
		{name: "good"},
		{name: "none", send: func(testing.TB, kit.ProofKey, kit.ProofKey, string) []string { return nil }, want: wrong},
		{name: "two", send: func(_ testing.TB, _, _ kit.ProofKey, proof string) []string { return []string{proof, proof} }, want: wrong},
		{name: "cut off", send: func(_ testing.TB, _, _ kit.ProofKey, proof string) []string { return []string{proof[:len(proof)/2]} }, want: wrong},
		{name: "an odd type", header: m{"typ": odd}, want: wrong},
		{name: "an odd algorithm", header: m{"alg": odd}, want: wrong},
		{name: "an odd key", header: m{"jwk": m{"kty": odd, odd: odd}}, want: wrong},
		{name: "of another key", send: func(t testing.TB, _, other kit.ProofKey, _ string) []string {
			return []string{other.Sign(t, nil, m{"jti": odd})}
		}, want: unbound},
		{name: "an odd claim", claims: m{odd: odd, "htm": m{odd: odd}}, want: wrong},
		{name: "a claim twice", send: func(t testing.TB, key, _ kit.ProofKey, _ string) []string {
			return []string{key.SignText(t, `{"typ":"dpop+jwt","alg":"ES256","jwk":`+jwkText(t, key)+`}`, `{"odd-text-of-a-client":1,"odd-text-of-a-client":2}`)}
		}, want: wrong},
		{name: "another method", claims: m{"htm": odd}, want: wrong},
		{name: "another address", claims: m{"htu": "https://" + odd}, want: wrong},
		{name: "another token", claims: m{"ath": odd}, want: wrong},
		{name: "another time", claims: m{"iat": 7}, want: wrong},
		{name: "another signature", send: func(_ testing.TB, _, _ kit.ProofKey, proof string) []string {
			return []string{proof[:len(proof)-86] + strings.Repeat("A", 86)}
		}, want: wrong},
		{name: "a nonce of nobody", config: demanded, claims: m{"nonce": strings.Repeat("made-up-", 6)}, want: bearergate.ReasonNonce},
		{name: "a nonce of ours", config: demanded, nonce: true},
		{name: "an old nonce of ours", config: demanded, nonce: true, later: dpop.DefaultNonceLife - time.Second},
		{name: "a nonce is offered", config: offered},
		{name: "used", config: answers(func(string) (bool, error) { return false, nil }), want: bearergate.ReasonReplay},
		{name: "a store that fails", config: answers(func(key string) (bool, error) { return false, errors.New(key) }), want: bearergate.ReasonStoreUnavailable},
		{name: "a store that is full", config: answers(func(key string) (bool, error) {
			return false, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Cause: errors.New(key)}
		}), want: bearergate.ReasonOverloaded},
		{name: "a store that panics", config: answers(func(key string) (bool, error) { return false, panics(key) }), want: bearergate.ReasonInternal},
		{name: "Target fails", config: target(func(sent string) (string, error) { return "", errors.New(sent) }), want: wrong},
		{name: "Target is down", config: target(func(sent string) (string, error) { return "", fmt.Errorf("%w: %s", bearergate.ErrUnavailable, sent) }), want: bearergate.ReasonStoreUnavailable},
		{name: "Target panics", config: target(func(sent string) (string, error) { return "", panics(sent) }), want: bearergate.ReasonInternal},
		{name: "Target returns nonsense", config: target(func(sent string) (string, error) { return sent, nil }), want: bearergate.ReasonConfig},
	}
}

func jwkText(t testing.TB, key kit.ProofKey) string {
	t.Helper()
	data, err := json.Marshal(key.JWK)
	require.NoError(t, err)
	return string(data)
}
