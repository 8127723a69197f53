package jwks_test

import (
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestKey(t *testing.T) {
	noLeaks(t)
	signer, err := jose.GenerateKey("ES256")
	require.NoError(t, err)
	parsed, err := jwks.ParseKey(publicJWK(t, "k1", signer, "ES256"))
	require.NoError(t, err)
	made, err := jwks.NewKey("k1", signer.Public())
	require.NoError(t, err)
	jws, err := jose.Sign("ES256", signer, []byte(`{"alg":"ES256"}`), []byte(`{}`))
	require.NoError(t, err)
	dot := strings.LastIndex(jws, ".")
	sig, err := base64.RawURLEncoding.DecodeString(jws[dot+1:])
	require.NoError(t, err)
	for _, k := range []jwks.Key{parsed, made} {
		require.Equal(t, "k1", k.ID())
		require.Equal(t, []string{"ES256"}, k.Algorithms())
		require.True(t, k.Serves("ES256"))
		require.False(t, k.Serves("RS256"))
		require.Equal(t, parsed.Thumbprint(), k.Thumbprint())
		require.NoError(t, k.Verify("ES256", []byte(jws[:dot]), sig))
		for _, alg := range []string{"ES384", "none", "", "HS256", "es256"} {
			requireError(t, k.Verify(alg, []byte(jws[:dot]), sig), bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		}
		sig[0] ^= 1
		requireError(t, k.Verify("ES256", []byte(jws[:dot]), sig), bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		sig[0] ^= 1
	}
	set, err := jwks.NewSet(parsed)
	require.NoError(t, err)
	has(t, set, "k1")
	hasNot(t, set, "k2")

	// req: R7517-04
	var short *rsa.PrivateKey
	fips140.WithoutEnforcement(func() { short, err = rsa.GenerateKey(rand.Reader, 1024) })
	require.NoError(t, err)
	_, err = jwks.NewKey("k1", short.Public())
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	_, err = jwks.ParseKey([]byte("null"))
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}

func TestStatic(t *testing.T) {
	noLeaks(t)
	s, err := jwks.Static(set(newJWK(t, "k1", "ES256"), []byte(`{"kty":"oct"}`)))
	require.NoError(t, err)
	has(t, s, "k1")
	hasNot(t, s, "other")
	for bad, says := range map[string]string{
		"": "the key set is not one strict JSON object", "null": "not one strict JSON object", "[]": "not one strict JSON object",
		"{}": "has no member keys", string(newJWK(t, "k1", "ES256")): "has no member keys", `{"keys":{}}`: "keys is not an array",
		`{"keys":[]}`:              "has no usable key: give it a JWK Set",
		`{"keys":[{}]}`:            `has no usable key, of 1; the first: kty is not RSA, EC or OKP: "": give it a JWK Set`,
		`{"keys":[{"use":"enc"}]}`: "has no usable key, of 1; the first: use is not sig",
	} {
		s, err := jwks.Static([]byte(bad))
		require.Nil(t, s)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, `jwks: Static: jose: `)
		require.ErrorContains(t, err, `give it a JWK Set with a public key to verify signatures, {"keys":[`)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func(data []byte) {
		t.Helper()
		require.NoError(t, os.WriteFile(path+".new", data, 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	within(t, func(t *testing.T) {
		r := &recorder{}
		c, err := jwks.File(path, jwks.Config{Issuer: issuer, Hooks: r.hooks()})
		require.NoError(t, err)
		require.Equal(t, issuer, c.Issuer())
		unavailable(t, c, "k1")
		require.Equal(t, jwks.OutcomeFile, r.lastFetch(t).Outcome)

		k1 := newJWK(t, "k1", "ES256")
		write(set(k1))
		time.Sleep(time.Second)
		has(t, c, "k1")
		require.Equal(t, path, c.Status().URL)

		write(set(k1, newJWK(t, "k2", "ES256"))) // rotation: at the first token
		has(t, c, "k2")
		write(set(newJWK(t, "k2", "ES256"))) // withdrawal: within the TTL
		time.Sleep(time.Minute * 11 / 10)
		hasNot(t, c, "k1")

		for _, bad := range [][]byte{nil, []byte("{"), []byte(strings.Repeat(" ", jwks.DefaultMaxBytes+1))} {
			write(bad)
			time.Sleep(2 * time.Minute)
			has(t, c, "k2")
			synctest.Wait()
			require.Error(t, c.Status().LastError)
		}
		require.Equal(t, jwks.OutcomeTooLarge, r.lastFetch(t).Outcome)
		require.NoError(t, os.Remove(path))
		time.Sleep(2 * time.Hour)
		unavailable(t, c, "k2")
	})
	c, err := jwks.File(path, jwks.Config{}) // of no issuer in particular
	require.NoError(t, err)
	require.Empty(t, c.Issuer())
	for _, bad := range []jwks.Config{{URL: setURL}, {HTTPClient: http.DefaultClient}, {InsecureAllowHTTP: true}, {Issuer: "x"}, {MaxKeys: -1}} {
		_, err := jwks.File(path, bad)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	_, err = jwks.File("", jwks.Config{})
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}

func TestWarmStart(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		first, _ := newCache(t, s, discovered)
		_, err := first.Export()
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		has(t, first, "k1")
		time.Sleep(2 * time.Minute)
		data, err := first.Export()
		require.NoError(t, err)

		// A new process in the outage.
		s.fail("", down)
		second, r := newCache(t, s, discovered)
		s.forget()
		require.NoError(t, second.Import(data))
		require.Zero(t, s.count(""))
		has(t, second, "k1")
		require.Equal(t, jwks.StateFresh, second.Status().State)
		require.Equal(t, 2*time.Minute, time.Since(second.Status().LastSuccess), "the keys keep their age")
		require.Equal(t, jwks.StateFresh, r.states[0].To)
		time.Sleep(10 * time.Minute)
		has(t, second, "k1")
		require.Equal(t, jwks.StateStale, second.Status().State)
		time.Sleep(time.Hour)
		unavailable(t, second, "k1")

		// What has expired is not taken, nor what is damaged, foreign or of tomorrow.
		third, _ := newCache(t, s, discovered)
		requireError(t, third.Import(data), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		change := func(f func(map[string]any)) []byte {
			doc := map[string]any{}
			require.NoError(t, json.Unmarshal(data, &doc))
			doc["fetched_at"] = time.Now().UTC()
			f(doc)
			out, err := json.Marshal(doc)
			require.NoError(t, err)
			return out
		}
		for _, bad := range [][]byte{nil, []byte("null"), data[1:],
			change(func(m map[string]any) { m["issuer"] = issuer + "/" }),
			change(func(m map[string]any) { m["url"] = setURL }),
			change(func(m map[string]any) { m["jwks"] = map[string]any{"keys": []any{}} }),
			change(func(m map[string]any) { delete(m, "jwks") }),
			change(func(m map[string]any) { m["fetched_at"] = time.Now().Add(time.Hour) }),
			change(func(m map[string]any) { m["fetched_at"] = "soon" }),
		} {
			requireError(t, third.Import(bad), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		}
		requireError(t, third.Import(change(func(m map[string]any) { delete(m, "fetched_at") })), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, jwks.StateEmpty, third.Status().State)

		// The clocks of two machines differ a little.
		require.NoError(t, third.Import(change(func(m map[string]any) { m["fetched_at"] = time.Now().Add(time.Minute) })))
		require.Equal(t, time.Now(), third.Status().LastSuccess.Local())

		// Younger keys stay.
		s.heal()
		s.rotate(t, "k2")
		fourth, _ := newCache(t, s, discovered)
		has(t, fourth, "k2")
		require.NoError(t, fourth.Import(change(func(m map[string]any) { m["fetched_at"] = time.Now().Add(-time.Minute) })))
		has(t, fourth, "k2")
	})
}

// A wall clock set back after an import does not make its keys live longer.
func TestImportAndTheClock(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		first, _ := newCache(t, s)
		has(t, first, "k1")
		time.Sleep(5 * time.Minute)
		data, err := first.Export()
		require.NoError(t, err)
		s.fail("", down)
		c, _ := newCache(t, s)
		require.NoError(t, c.Import(data))
		jwks.StepWall(c, -24*time.Hour)
		time.Sleep(67 * time.Minute)
		require.Equal(t, jwks.StateExpired, c.Status().State)
	})
}

// A 304 speaks of the set whose ETag was sent, not of one that an Import has
// put in its place meanwhile.
func TestImportDuringAConditionalFetch(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "good")
		s.header.Set("ETag", `"A"`)
		c, _ := newCache(t, s)
		has(t, c, "good")
		time.Sleep(time.Minute)
		other, _ := newCache(t, newServer(t, "withdrawn"))
		has(t, other, "withdrawn")
		data, err := other.Export()
		require.NoError(t, err)

		s.delay = time.Second
		done := make(chan error, 1)
		go func() { done <- c.Refresh(t.Context()) }()
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, c.Import(data))
		require.NoError(t, <-done)
		s.delay = 0
		has(t, c, "good")
		keys, err := c.Keys(t.Context(), "withdrawn", "ES256")
		require.NoError(t, err)
		require.Empty(t, keys)
	})
}

// What is as young as the keys that are held brings nothing: not even their own
// export, which knows no ETag, nor one of a clock that runs ahead.
func TestImportOfTheSameAge(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.header.Set("ETag", `"A"`)
		c, _ := newCache(t, s)
		has(t, c, "k1")
		data, err := c.Export()
		require.NoError(t, err)
		ahead, _ := newCache(t, newServer(t, "k2"))
		jwks.StepWall(ahead, 30*time.Second)
		has(t, ahead, "k2")
		tomorrow, err := ahead.Export()
		require.NoError(t, err)

		require.NoError(t, c.Import(data))
		require.NoError(t, c.Import(tomorrow))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, `"A"`, s.last.Header.Get("If-None-Match"))
		has(t, c, "k1")

		time.Sleep(time.Nanosecond)
		require.NoError(t, c.Import(tomorrow))
		has(t, c, "k2")
	})
}

// Which of two sets is younger is decided like every age: by the clock that
// says more.
func TestImportAfterTheWallClockWasSetRight(t *testing.T) {
	within(t, func(t *testing.T) {
		other, _ := newCache(t, newServer(t, "old"))
		has(t, other, "old")
		data, err := other.Export()
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		s := newServer(t, "young")
		c, _ := newCache(t, s)
		jwks.StepWall(c, -30*time.Minute)
		has(t, c, "young")
		s.fail("", down)
		jwks.StepWall(c, 0)
		require.NoError(t, c.Import(data))
		has(t, c, "young")
	})
}
