package dpop_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

// Every row by Authenticate: twice, so that a header that is remembered changes nothing.
// What is refused is not remembered as used, and no error has anything of the proof.
//
// req: R9449-01, R9449-02, R9449-03, R9449-04, R9449-05, R9449-06, R9449-07, R9449-08, R9449-12, R9449-13
// req: R9449-15, R9449-18, R9449-20, R9449-25, R9449-26, R9449-27, R9449-31, R9449-32, R9449-33, R9449-38, R9449-44
func TestRows(t *testing.T) {
	s := newScene(t)
	for _, row := range proofs.Rows() {
		t.Run(row.Name, func(t *testing.T) {
			s := s
			s.T = t
			store := newRecorder(t)
			p := newProofs(t, func(c *dpop.Config) { c.Replay = store })
			_, err := confirm(s, p, call(sign(s, nil)))
			require.NoError(t, err, "the valid one")
			for range 2 {
				sent := row.Make(s)
				c := call(sent.Proofs...)
				c.Raw = bearergate.NewSecret(sent.Token)
				scheme, err := bearergate.ParseCredentials([]string{sent.Scheme + " " + sent.Token}, bearergate.SchemeBearer, bearergate.SchemeDPoP)
				require.NoError(t, err)
				c.Credentials = scheme
				before := store.asked()
				token, _, err := bearergate.Authenticate(t.Context(), bound(t, row.Cnf(s)), c, p)
				requireReason(t, err, row.Want)
				if row.Want == "" {
					require.Equal(t, row.Cnf(s) != nil, token.Proven())
					continue
				}
				require.Nil(t, token)
				require.Equal(t, before, store.asked(), "used up")
				requireNothingOf(t, err, sent.Proofs)
			}
		})
	}
}

// requireNothingOf asserts that an error holds no piece of a proof.
//
// W2-162.
func requireNothingOf(t testing.TB, err error, sent []string) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, proof := range sent {
		for part := range strings.SplitSeq(proof, ".") {
			if len(part) >= 12 {
				require.NotContains(t, text, part[:12])
			}
		}
	}
}

// The answer of a call does not depend on who asked before: all rows against one Proofs.
func TestRowsTogether(t *testing.T) {
	s := newScene(t)
	p := newProofs(t)
	for range 2 {
		for _, row := range proofs.Rows() {
			sent := row.Make(s)
			c := call(sent.Proofs...)
			if strings.EqualFold(sent.Scheme, "Bearer") {
				c.Scheme = bearergate.SchemeBearer
			}
			_, _, err := bearergate.Authenticate(t.Context(), bound(t, row.Cnf(s)), c, p)
			if want := row.Want; bearergate.ReasonOf(err) != want {
				t.Errorf("%s: %v, want %q", row.Name, err, want)
			}
		}
	}
}

// RFC 9449 §7.1: its own example, with its clock, and with ours.
//
// DPO-091.
func TestExampleOfTheRFC(t *testing.T) {
	const (
		accessToken = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
		proof       = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik" +
			"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR" +
			"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE" +
			"QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj" +
			"oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z" +
			"WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF" +
			"c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E" +
			"OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
		jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	)
	c := call(proof)
	c.Raw, c.Target, c.Host = bearergate.NewSecret(accessToken), "/protectedresource", "resource.example.org"
	for _, tc := range []struct {
		name string
		now  func() time.Time
		want bearergate.Reason
	}{
		{name: "in 2019", now: func() time.Time { return time.Unix(1562262618, 0) }},
		{name: "now", want: bearergate.ReasonProof},
	} {
		p, err := dpop.New(dpop.Config{BaseURLs: []string{"https://resource.example.org"}, Now: tc.now})
		require.NoError(t, err)
		_, _, err = bearergate.Authenticate(t.Context(), bound(t, map[string]any{"jkt": jkt}), c, p)
		requireReason(t, err, tc.want)
		if tc.want == "" {
			_, _, err = bearergate.Authenticate(t.Context(), bound(t, map[string]any{"jkt": jkt}), c, p)
			requireReason(t, err, bearergate.ReasonReplay)
		}
	}
}

// What a method is made up of is for the router to say.
func TestMethods(t *testing.T) {
	s := newScene(t)
	p := newProofs(t)
	for _, tc := range []struct {
		name, method, htm string
		want              bearergate.Reason
	}{
		{name: "W2-055 made up", method: "FROB", htm: "FROB"},
		{name: "W2-054 HEAD", method: "HEAD", htm: "HEAD"},
		{name: "GET for HEAD", method: "HEAD", htm: "GET", want: bearergate.ReasonProof},
		{name: "POST for GET", method: "GET", htm: "POST", want: bearergate.ReasonProof},
		{name: "a call without a method", htm: "GET", want: bearergate.ReasonConfig},
	} {
		c := call(sign(s, map[string]any{"htm": tc.htm}))
		c.Method = tc.method
		_, err := confirm(s, p, c)
		require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
		requireReason(t, err, tc.want)
	}
}

// Limits of a Config count, and are the documented ones where it does not say.
func TestLimits(t *testing.T) {
	require.Equal(t, time.Minute, dpop.DefaultMaxAge)
	require.Equal(t, 10*time.Second, dpop.DefaultAhead)
	require.Equal(t, 4096, dpop.DefaultMaxProofBytes)
	require.Equal(t, 256, dpop.DefaultMaxIDBytes)
	require.Equal(t, 100*time.Millisecond, dpop.DefaultStoreTimeout)
	require.Equal(t, 5*time.Minute, dpop.DefaultNonceLife)
	require.Equal(t, 262144, dpop.DefaultReplayEntries)
	require.Equal(t, []string{"ES256", "EdDSA", "Ed25519", "PS256", "RS256"}, dpop.DefaultAlgorithms())
	require.Equal(t, map[string]string{"algs": "ES256 Ed25519 EdDSA PS256 RS256"}, newProofs(t).Challenge())
	require.Equal(t, bearergate.SchemeDPoP, newProofs(t).Scheme())
	require.Equal(t, []string{"jkt"}, newProofs(t).Members())

	s := newScene(t)
	size := len(sign(s, nil))
	for _, tc := range []struct {
		name   string
		change func(*dpop.Config)
		claims map[string]any
		want   bearergate.Reason
	}{
		{name: "4 KiB and little room", claims: map[string]any{"pad": strings.Repeat("x", (4096-size-16)*3/4)}},
		{name: "more than 4 KiB", claims: map[string]any{"pad": strings.Repeat("x", (4096-size+16)*3/4)}, want: bearergate.ReasonProof},
		{name: "more is allowed", change: func(c *dpop.Config) { c.MaxProofBytes = 8192 }, claims: map[string]any{"pad": strings.Repeat("x", (4096-size+16)*3/4)}},
		{name: "a shorter jti", change: func(c *dpop.Config) { c.MaxIDBytes = 22 }, claims: map[string]any{"jti": strings.Repeat("x", 22)}},
		{name: "too long a jti", change: func(c *dpop.Config) { c.MaxIDBytes = 22 }, claims: map[string]any{"jti": strings.Repeat("x", 23)}, want: bearergate.ReasonProof},
	} {
		if tc.change == nil {
			tc.change = func(*dpop.Config) {}
		}
		_, err := confirm(s, newProofs(t, tc.change), call(sign(s, tc.claims)))
		require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
	}
}

// The algorithms of a Config are all that count, both names of EdDSA together.
//
// req: FAPI2-02
func TestAlgorithms(t *testing.T) {
	s := newScene(t)
	for _, tc := range []struct {
		name       string
		algorithms []string
		alg        string
		want       bearergate.Reason
	}{
		{name: "FAPI 2.0", algorithms: []string{"PS256", "ES256", "EdDSA"}, alg: "ES256"},
		{name: "W2-027 FAPI 2.0 and RS256", algorithms: []string{"PS256", "ES256", "EdDSA"}, alg: "RS256", want: bearergate.ReasonProof},
		{name: "the other name", algorithms: []string{"EdDSA"}, alg: "Ed25519"},
		{name: "ES384", algorithms: []string{"ES384"}, alg: "ES384"},
		{name: "ES256 is left out", algorithms: []string{"ES384"}, alg: "ES256", want: bearergate.ReasonProof},
	} {
		s := s
		s.Key = kit.NewProofKey(t, tc.alg)
		p := newProofs(t, func(c *dpop.Config) { c.Algorithms = tc.algorithms })
		_, err := confirm(s, p, call(sign(s, nil)))
		require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
	}
	// One Proofs does not believe what another one has verified.
	s.Key = kit.NewProofKey(t, "RS256")
	header := sign(s, nil)
	_, err := confirm(s, newProofs(t), call(header))
	require.NoError(t, err)
	_, err = confirm(s, newProofs(t, func(c *dpop.Config) { c.Algorithms = []string{"PS256"} }), call(header))
	requireReason(t, err, bearergate.ReasonProof)
}

// The ends of what a Config may say are documented, and count.
func TestBoundsOfTheConfig(t *testing.T) {
	for _, tc := range []struct {
		name             string
		least, most      func(*dpop.Config)
		beneath, beyond  func(*dpop.Config)
		saysLow, saysTop string
	}{
		{name: "MaxAge", least: func(c *dpop.Config) { c.MaxAge = time.Second }, most: func(c *dpop.Config) { c.MaxAge = 10 * time.Minute },
			beneath: func(c *dpop.Config) { c.MaxAge = time.Second - 1 }, beyond: func(c *dpop.Config) { c.MaxAge = 10*time.Minute + 1 }, saysLow: "MaxAge is 999.999999ms", saysTop: "MaxAge is 10m0.000000001s"},
		{name: "Ahead", least: func(c *dpop.Config) { c.Ahead = time.Millisecond }, most: func(c *dpop.Config) { c.Ahead = 59 * time.Second },
			beneath: func(c *dpop.Config) { c.Ahead = time.Millisecond - 1 }, beyond: func(c *dpop.Config) { c.Ahead = 59*time.Second + 1 }, saysLow: "Ahead is 999.999", saysTop: "Ahead is 59.000000001s"},
		{name: "MaxProofBytes", least: func(c *dpop.Config) { c.MaxProofBytes = 1024 }, most: func(c *dpop.Config) { c.MaxProofBytes = 16384 },
			beneath: func(c *dpop.Config) { c.MaxProofBytes = 1023 }, beyond: func(c *dpop.Config) { c.MaxProofBytes = 16385 }, saysLow: "MaxProofBytes is 1023", saysTop: "MaxProofBytes is 16385"},
		{name: "MaxIDBytes", least: func(c *dpop.Config) { c.MaxIDBytes = 22 }, most: func(c *dpop.Config) { c.MaxIDBytes = 4096 },
			beneath: func(c *dpop.Config) { c.MaxIDBytes = 21 }, beyond: func(c *dpop.Config) { c.MaxIDBytes = 4097 }, saysLow: "MaxIDBytes is 21", saysTop: "MaxIDBytes is 4097"},
		{name: "StoreTimeout", least: func(c *dpop.Config) { c.StoreTimeout = time.Millisecond }, most: func(c *dpop.Config) { c.StoreTimeout = 10 * time.Second },
			beneath: func(c *dpop.Config) { c.StoreTimeout = time.Millisecond - 1 }, beyond: func(c *dpop.Config) { c.StoreTimeout = 10*time.Second + 1 }, saysLow: "StoreTimeout is 999.999", saysTop: "StoreTimeout is 10.000000001s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			made := func(change func(*dpop.Config)) error {
				c := dpop.Config{BaseURLs: []string{api}}
				change(&c)
				_, err := dpop.New(c)
				return err
			}
			require.NoError(t, made(tc.least))
			require.NoError(t, made(tc.most))
			require.ErrorContains(t, made(tc.beneath), tc.saysLow)
			require.ErrorContains(t, made(tc.beyond), tc.saysTop)
		})
	}
}

// Only a proof that verified has its header remembered, once, and another Proofs gives it
// another name.
func TestHeadersAreRemembered(t *testing.T) {
	s := newScene(t)
	p := newProofs(t)
	good, other := sign(s, nil), sign(s, nil)
	_, err := confirm(s, p, call(good[:len(good)-86]+other[len(other)-86:]))
	requireReason(t, err, bearergate.ReasonProof)
	require.Zero(t, dpop.HeadersKept(p), "forged")
	_, err = confirm(s, p, call(sign(s, map[string]any{"htm": "PUT"})))
	requireReason(t, err, bearergate.ReasonProof)
	require.Zero(t, dpop.HeadersKept(p), "for another method")
	for range 3 {
		_, err = confirm(s, p, call(sign(s, nil)))
		require.NoError(t, err)
		require.Equal(t, 1, dpop.HeadersKept(p))
	}
	require.NotEqual(t, dpop.HeaderName(p, good), dpop.HeaderName(newProofs(t), good))
}

// New names everything that is wrong at once, and what to change.
func TestMistakes(t *testing.T) {
	var nilStore *recorder
	for _, tc := range []struct {
		name   string
		config dpop.Config
		says   []string
	}{
		{name: "nothing", says: []string{"BaseURLs is empty"}},
		{name: "everything", config: dpop.Config{BaseURLs: []string{"", "api.example.com", "https://u@api.example.com", "https://api.example.com?x", "https://a.example", "https://A.example:443/"},
			Algorithms: []string{"none", "HS256"}, MaxAge: time.Hour, Ahead: time.Minute, MaxProofBytes: 16<<10 + 1, MaxIDBytes: 21, StoreTimeout: time.Minute, Replay: nilStore, Nonces: &dpop.Nonces{}},
			says: []string{`BaseURLs[0] is ""`, `BaseURLs[1] is "api.example.com"`, "BaseURLs[2]", "BaseURLs[3]", "leave query and fragment out", "BaseURLs[5]", "there before",
				`"none"`, `"HS256"`, "MaxAge is 1h0m0s", "Ahead is 1m0s", "MaxProofBytes is 16385", "MaxIDBytes is 21", "StoreTimeout is 1m0s", "Replay is a nil pointer", "Nonces is empty"}},
		{name: "a fragment", config: dpop.Config{BaseURLs: []string{"https://api.example.com#x"}}, says: []string{"leave query and fragment out"}},
		{name: "both", config: dpop.Config{BaseURLs: []string{api}, Target: func(bearergate.Call) (string, error) { return "", nil }}, says: []string{"BaseURLs and Target are both set"}},
		{name: "ahead of MaxAge", config: dpop.Config{BaseURLs: []string{api}, MaxAge: 5 * time.Second, Ahead: 6 * time.Second}, says: []string{"Ahead is 6s"}},
		{name: "a number without a unit", config: dpop.Config{BaseURLs: []string{api}, MaxAge: 60}, says: []string{"60*time.Second"}},
	} {
		p, err := dpop.New(tc.config)
		require.Nil(t, p, tc.name)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		for _, says := range tc.says {
			require.ErrorContains(t, err, says, tc.name)
		}
	}
	_, err := dpop.NewMemory(1)
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	_, err = dpop.NewMemory(1<<24 + 1)
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)

	var none *dpop.Proofs
	for _, p := range []*dpop.Proofs{none, {}} {
		_, err = p.Confirm(t.Context(), call(), bearergate.NewToken(bearergate.Claims{}))
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	require.Nil(t, none.Challenge())
}

// A Config that is changed afterwards changes nothing.
func TestConfigIsCopied(t *testing.T) {
	s := newScene(t)
	c := dpop.Config{BaseURLs: []string{api}, Algorithms: []string{"ES256"}}
	p, err := dpop.New(c)
	require.NoError(t, err)
	c.BaseURLs[0], c.Algorithms[0] = "https://evil.test", "RS256"
	_, err = confirm(s, p, call(sign(s, nil)))
	require.NoError(t, err)
}

// What Target returns is what the client should have called; its errors are judged by the
// one rule.
func TestTarget(t *testing.T) {
	s := newScene(t)
	for _, tc := range []struct {
		name   string
		target func(bearergate.Call) (string, error)
		want   bearergate.Reason
	}{
		{name: "the address", target: func(c bearergate.Call) (string, error) { return "https://RS.example.com:443" + c.Target, nil }},
		{name: "another", target: func(bearergate.Call) (string, error) { return api + "/a", nil }, want: bearergate.ReasonProof},
		{name: "another host", target: func(bearergate.Call) (string, error) { return "https://b.example.com/a/b", nil }, want: bearergate.ReasonProof},
		{name: "another scheme", target: func(bearergate.Call) (string, error) { return "http://rs.example.com/a/b", nil }, want: bearergate.ReasonProof},
		{name: "none", target: func(bearergate.Call) (string, error) { return "/a/b", nil }, want: bearergate.ReasonConfig},
		{name: "an error", target: func(bearergate.Call) (string, error) { return api + "/a/b", errors.New("x") }, want: bearergate.ReasonProof},
		{name: "an outage", target: func(bearergate.Call) (string, error) { return "", bearergate.ErrUnavailable }, want: bearergate.ReasonStoreUnavailable},
		{name: "a panic", target: func(bearergate.Call) (string, error) { panic("x") }, want: bearergate.ReasonInternal},
	} {
		p, err := dpop.New(dpop.Config{Target: tc.target})
		require.NoError(t, err)
		_, err = confirm(s, p, call(sign(s, nil)))
		require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
		requireReason(t, err, tc.want)
	}
	// What is wrong with a request is the client's fault, and Target is not asked to make an
	// address of it: behind "https://rs.example.com", an authority is another host.
	p, err := dpop.New(dpop.Config{Target: func(c bearergate.Call) (string, error) { return api + c.Target, nil }})
	require.NoError(t, err)
	for _, target := range []string{`/a\b`, "/a%zz", "/a b", "/\xe9", "*", "rs.example.com:443", ".evil.test:443", "/admin/%2e%2e/a/b"} {
		c := call(sign(s, map[string]any{"htu": "https://rs.example.com.evil.test"}))
		c.Target = target
		_, err = confirm(s, p, c)
		require.Equal(t, bearergate.ReasonProof, bearergate.ReasonOf(err), target)
		requireReason(t, err, bearergate.ReasonProof)
	}
}

// The length of a proof is looked at before anything else is done with it.
func TestHugeProof(t *testing.T) {
	s := newScene(t)
	p, token := newProofs(t), bound(t, map[string]any{"jkt": s.Key.Thumbprint})
	memory := func(length int) uint64 {
		c := call(strings.Repeat("x", length))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			_, _, err := bearergate.Authenticate(t.Context(), token, c, p)
			requireReason(t, err, bearergate.ReasonProof)
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / 10
	}
	require.Less(t, memory(1<<20), uint64(256<<10), "bytes, for a proof of 1 MiB")
}

// What a signature of a client costs is bounded: RSA keys by their length and by their
// exponent, which is the client's to choose.
func TestLargeRSAKeys(t *testing.T) {
	s := newScene(t)
	small := s.Keys["RS256"].Key.(*rsa.PrivateKey)
	phi := new(big.Int).Mul(new(big.Int).Sub(small.Primes[0], big.NewInt(1)), new(big.Int).Sub(small.Primes[1], big.NewInt(1)))
	with := func(e int) *rsa.PrivateKey {
		d := new(big.Int)
		for ; d.ModInverse(big.NewInt(int64(e)), phi) == nil; e += 2 {
			d = new(big.Int)
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: small.N, E: e}, D: d, Primes: small.Primes}
		key.Precompute()
		return key
	}
	long := func(bits uint) *rsa.PublicKey { // nobody's
		return &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).Lsh(small.N, bits-2048), 0, 1), E: 65537}
	}
	for _, tc := range []struct {
		name string
		pub  *rsa.PublicKey
		key  *rsa.PrivateKey
		want string // "": accepted
	}{
		{name: "65537", pub: &small.PublicKey, key: small},
		{name: "an exponent beyond", pub: &with(65539).PublicKey, key: with(65539), want: "exponent"},
		{name: "4,096 bits", pub: long(4096), key: small, want: "signature"},
		{name: "4,097 bits", pub: long(4097), key: small, want: "too large"},
	} {
		jwk, thumbprint, err := jose.OwnKey(tc.pub)
		require.NoError(t, err)
		claims, err := json.Marshal(s.Claims())
		require.NoError(t, err)
		proof, err := jose.Sign("RS256", tc.key, []byte(`{"typ":"dpop+jwt","alg":"RS256","jwk":`+string(jwk)+`}`), claims)
		require.NoError(t, err)
		jkt := base64.RawURLEncoding.EncodeToString(thumbprint[:])
		_, _, err = bearergate.Authenticate(t.Context(), bound(t, map[string]any{"jkt": jkt}), call(proof), newProofs(t))
		if tc.want == "" {
			require.NoError(t, err, tc.name)
			continue
		}
		requireReason(t, err, bearergate.ReasonProof)
		require.ErrorContains(t, err, tc.want, tc.name)
	}
}

// The buffer that proofs share keeps nothing of them.
func TestPooledBufferIsEmpty(t *testing.T) {
	s := newScene(t)
	p := newProofs(t, func(c *dpop.Config) { c.MaxProofBytes = 16 << 10 })
	used := 0
	for range 100 {
		for _, proof := range []string{sign(s, nil), sign(s, map[string]any{"htm": "PUT"}), sign(s, nil) + ".", sign(s, map[string]any{"x": strings.Repeat("x", 9<<10)})} {
			_, _ = confirm(s, p, call(proof))
			buf := dpop.Pooled()
			require.Equal(t, len(buf), bytes.Count(buf, []byte{0}))
			used += len(buf)
		}
		if used > 0 { // the pool may forget: more often still with the race detector
			return
		}
	}
	t.Error("the buffer is never used again")
}
