package redisgate_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/kit"
)

// A proof opens in one process of a fleet, and is 503 in all while Redis does not answer.
func TestProofsOfAFleet(t *testing.T) {
	key := kit.NewProofKey(t, "ES256")
	v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Subject: "alice", Confirmation: map[string][]byte{"jkt": []byte(strconv.Quote(key.Thumbprint))}}), nil
	})
	process := func(s *redisgate.Stores) func(proof string) error {
		proofs, err := dpop.New(dpop.Config{BaseURLs: []string{"https://api.example.com"}, Replay: s.Replay(), StoreTimeout: 5 * time.Second})
		require.NoError(t, err)
		return func(proof string) error {
			_, _, err := bearergate.Authenticate(t.Context(), v, bearergate.Call{
				Credentials: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret("token")},
				Method:      "GET", Target: "/orders", Host: "api.example.com",
				Header: func(string) []string { return []string{proof} },
			}, proofs)
			return err
		}
	}
	proof := func() string {
		return key.Sign(t, nil, key.Claims("GET", "https://api.example.com/orders", "token", time.Now()))
	}
	server := miniredis.RunT(t)
	first, second := process(stores(t, connect(t, server.Addr()), with(1))), process(stores(t, connect(t, server.Addr()), with(1)))
	used := proof()
	require.NoError(t, first(used))
	kit.RequireError(t, second(used), bearergate.ErrInvalidToken, bearergate.ReasonReplay)
	require.NoError(t, second(proof()))

	rows := []struct {
		name   string
		does   error
		kind   error
		reason bearergate.Reason
	}{
		{"no connection", errors.New("connection refused"), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"no answer", context.DeadlineExceeded, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"full", reply("OOM"), bearergate.ErrUnavailable, bearergate.ReasonOverloaded},
		{"not allowed", reply("NOPERM"), bearergate.ErrMisconfigured, bearergate.ReasonConfig},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			ask := process(intercepted(t, with(1), func(context.Context, redis.Cmder, redis.ProcessHook) error { return row.does }))
			for range 2 * redisgate.FailuresToOpen { // and when nobody is asked any more
				err := ask(proof())
				kit.RequireError(t, err, row.kind, row.reason)
			}
		})
	}
}

// What one process was answered, the others need not ask for.
func TestAnswersOfAFleet(t *testing.T) {
	server := miniredis.RunT(t)
	asked := 0
	process := func() *introspect.Client {
		c, err := introspect.New(introspect.Config{
			Issuer: "https://as.example.com", AskName: "test",
			Ask: func(context.Context, string) ([]byte, error) {
				asked++
				return []byte(`{"active":true,"sub":"alice","aud":"https://api.example.com"}`), nil
			},
			Audiences: []string{"https://api.example.com"},
			Store:     introspect.StoreConfig{Answers: stores(t, connect(t, server.Addr()), with(1)).Answers(), Key: bearergate.NewSecret(string(secret(7))), Timeout: 900 * time.Millisecond},
		})
		require.NoError(t, err)
		return c
	}
	first, second := process(), process()
	_, err := first.Verify(t.Context(), "opaque")
	require.NoError(t, err)
	require.Equal(t, 1, asked)
	until := time.Now().Add(10 * time.Second)
	for len(server.Keys()) == 0 && time.Now().Before(until) { // it is offered in the background
		time.Sleep(time.Millisecond)
	}
	token, err := second.Verify(t.Context(), "opaque")
	require.NoError(t, err)
	require.Equal(t, "alice", token.Subject())
	require.Equal(t, 1, asked)
	require.NotContains(t, server.Dump(), "alice")
}
