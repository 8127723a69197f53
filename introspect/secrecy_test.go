package introspect_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/stretchr/testify/require"
)

// masked hides s from a search of the memory.
func masked(s string) []byte {
	b := []byte(s)
	for i := range b {
		b[i] ^= 0xff
	}
	return b
}

// req: R7662-16, R9700-04: no log line, error or event holds a token, a secret
// or a body, and after the call no memory holds the token.
func TestSecrecy(t *testing.T) {
	const marker = "personal-data-of-alice"
	var mu sync.Mutex
	var told strings.Builder
	tell := func(values ...any) {
		mu.Lock()
		defer mu.Unlock()
		text, tint := slog.New(slog.NewTextHandler(&told, nil)), slog.New(slog.NewJSONHandler(&told, nil))
		for _, v := range values {
			fmt.Fprintf(&told, "%v %+v %#v %s %q %d %x\n", v, v, v, v, v, v, v)
			text.Info("told", "value", v)
			tint.Info("told", "value", v)
			b, _ := json.Marshal(v)
			told.Write(b)
		}
	}
	var stderr strings.Builder
	slog.SetDefault(slog.New(slog.NewTextHandler(&stderr, nil)))

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	auths := map[string]introspect.Auth{
		"basic": introspect.BasicAuth(clientID, secret), "post": introspect.PostAuth(clientID, secret),
		"bearer": introspect.BearerAuth(func(context.Context) (string, error) { return "our-own-bearer", nil }),
		"key":    introspect.PrivateKeyJWT(clientID, key, introspect.Assertion{}),
	}
	storeKey := []byte("0123456789abcdef-the-key-of-the-store")
	faults := []func() (*http.Response, error){
		nil, status(401), status(500), status(429), down,
		func() (*http.Response, error) {
			return reply(200, "application/json", `{"active":true,"x":"`+marker+`"`), nil
		},
		func() (*http.Response, error) {
			return reply(200, "application/json", `{"active":true,"aud":{"`+marker+`":1}}`), nil
		},
		func() (*http.Response, error) { return reply(200, "text/"+marker, marker), nil },
		func() (*http.Response, error) { return nil, fmt.Errorf("dial: %s %s", opaque, secret) },
		func() (*http.Response, error) { panic(opaque + secret) },
		func() (*http.Response, error) { return reply(302, "text/plain", marker), nil },
	}
	for name, auth := range auths {
		for _, fault := range faults {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{"username": marker, "sub": marker})
			s.fail(fault)
			st := newStore()
			st.err = fmt.Errorf("redis: %s %s", opaque, marker)
			c := with(config(s), func(c *introspect.Config) {
				c.Auth, c.ClientID, c.Store.Answers, c.Store.Key = auth, clientID, st, bearergate.NewSecret(string(storeKey))
				c.Hooks = introspect.Hooks{
					Looked:         func(_ context.Context, e introspect.LookEvent) { tell(e, e.Err); panic(opaque) },
					Called:         func(_ context.Context, e introspect.CallEvent) { tell(e, e.Err) },
					BreakerChanged: func(_ context.Context, e introspect.BreakerEvent) { tell(e) },
					Purged:         func(_ context.Context, e introspect.PurgeEvent) { tell(e) },
					StoreFailed:    func(_ context.Context, e introspect.StoreEvent) { tell(e, e.Err) },
					Panicked:       func(_ context.Context, e bearergate.PanicEvent) { tell(e) },
				}
			})
			// A struct of somebody's own, whose fields fmt reads by reflection.
			tell(auth, &auth, c.Store.Key, struct{ hidden introspect.Auth }{auth}, struct{ hidden bearergate.Secret }{c.Store.Key}, struct {
				Auth introspect.Auth
				key  bearergate.Secret
			}{auth, c.Store.Key})
			c.HTTPClient, c.Store.Answers = nil, nil // the test's own fakes hold what they were sent
			tell(c)
			c.HTTPClient, c.Store.Answers = &http.Client{Transport: s}, st
			client := newClient(t, c)
			tell(client, struct{ c *introspect.Client }{client})
			require.Equal(t, `introspect.Client{issuer: "`+issuer+`"}`, fmt.Sprint(client))
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} { // nor what tokens are known by
				require.NotRegexp(t, `((0x)?[0-9a-f]+,? ){31}|[0-9a-f]{64}`, fmt.Sprintf(verb, struct{ c *introspect.Client }{client}))
			}
			for range 3 {
				tok, err := client.Verify(t.Context(), opaque)
				tell(err)
				if tok != nil {
					tell(tok)
				}
			}
			client.Purge(opaque)
			_, err := introspect.New(with(c, func(c *introspect.Config) { c.Timeout, c.Issuer, c.Endpoint = -1, "", "x" }))
			require.Error(t, err, name)
			tell(err)
		}
	}
	mu.Lock()
	text := told.String() + stderr.String()
	mu.Unlock()
	require.Contains(t, text, issuer)
	d, err := key.Bytes()
	require.NoError(t, err)
	for _, hidden := range []string{opaque, secret, marker, "our-own-bearer", string(storeKey), hex.EncodeToString(storeKey), fmt.Sprint([]byte(secret)), //nolint:staticcheck // as numbers
		strings.Trim(fmt.Sprint(storeKey), "[]"), hex.EncodeToString(d), new(big.Int).SetBytes(d).String()} { //nolint:staticcheck // as numbers
		require.NotContains(t, text, hidden)
	}
}

// After the call, the token is nowhere in memory: the dump of a heap on which
// it was verified, remembered, stored, refreshed and purged does not hold it.
func TestTokenIsNotInMemory(t *testing.T) {
	secretToken := masked("tok-" + rand.Text() + rand.Text())
	claim := masked("claim-" + rand.Text())
	unmask := func(b []byte) string { return string(masked(string(b))) }

	s := &forgetful{claim: claim}
	client := newClient(t, with(config(newServer()), func(c *introspect.Config) {
		c.HTTPClient = &http.Client{Transport: s}
		c.Store.Answers, c.Store.Key = newStore(), bearergate.NewSecret(string(make([]byte, 32)))
		c.MaxStale = time.Minute
	}))
	verified := make(chan bool)
	go func() { // its stack ends with it
		ok := true
		for range 10 {
			_, err := client.Verify(context.Background(), unmask(secretToken))
			ok = ok && err == nil
		}
		verified <- ok
	}()
	require.True(t, <-verified)
	time.Sleep(10 * time.Millisecond)
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	f, err := os.Create(filepath.Join(t.TempDir(), "heap"))
	require.NoError(t, err)
	defer f.Close()
	debug.WriteHeapDump(f.Fd())
	dump, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.Greater(t, len(dump), 1<<16)
	require.True(t, bytes.Contains(dump, []byte(unmask(claim))), "the answer is remembered, and a dump shows it: the search works")
	require.False(t, bytes.Contains(dump, []byte(unmask(secretToken))), "the token is in memory")
	runtime.KeepAlive(client)
}

// forgetful is a server that keeps nothing of a request.
type forgetful struct {
	claim []byte
	calls int
}

func (f *forgetful) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	f.calls++
	return reply(200, "application/json", encode(answer(map[string]any{"username": string(masked(string(f.claim)))}))), nil
}
