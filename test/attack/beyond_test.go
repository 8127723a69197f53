package attack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// What does not fit into a row: many tokens at once, or one at several times.

// makeVerifier is a verifier of the default key set, changed by f.
func makeVerifier(t testing.TB, f func(*jwtverify.Config)) *jwtverify.Verifier {
	t.Helper()
	c := baseConfig()
	static, err := jwks.Static([]byte(defaultSet()))
	require.NoError(t, err)
	c.Keys = static
	if f != nil {
		f(&c)
	}
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}

// req: R7515-11, R8725-03: no part of a token can be changed, not even into
// another spelling of itself.
func TestEveryCharacterCounts(t *testing.T) {
	t.Parallel()
	for _, k := range []key{r1(), p1(), e1(), ed1()} {
		t.Run(k.alg, func(t *testing.T) {
			t.Parallel()
			v := makeVerifier(t, nil)
			token := from(k).token()
			_, err := v.Verify(t.Context(), token)
			require.NoError(t, err)
			for i := range len(token) {
				for _, c := range []byte{token[i] ^ 1, token[i] ^ 2, 'A', '.', '=', '\n', ' '} {
					if c == token[i] {
						continue
					}
					changed := token[:i] + string(rune(c)) + token[i+1:]
					_, err := v.Verify(t.Context(), changed)
					require.ErrorIs(t, err, bearergate.ErrInvalidToken, "character %d is %q", i, c)
				}
				for name, changed := range map[string]string{
					"cut": token[:i], "left out": token[:i] + token[i+1:], "twice": token[:i+1] + token[i:], "a line feed": token[:i] + "\n" + token[i:],
				} {
					_, err := v.Verify(t.Context(), changed)
					require.Error(t, err, "character %d: %s", i, name)
				}
			}
		})
	}
}

// req: R8725-01, R7515-03, R7515-12, R7517-02: of every alg in the header, every
// key named and every way to sign, only what belongs together passes.
func TestAlgorithmMatrix(t *testing.T) {
	t.Parallel()
	signers := []key{
		r1(), r1().as("r1", "RS512"), r1().as("r1", "PS256"), p1(), p1().as("p1", "RS256"), e1(), ed1(), e384(), e521(), evilRSA(), evilEC(), evilEd(),
	}
	named := []key{r1(), p1(), e1(), ed1(), e384(), e521()}
	algs := []string{"none", "HS256", "RS256", "RS384", "RS512", "PS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
	verifier := func(jwk func(key) object) *jwtverify.Verifier {
		var set []fmt.Stringer
		for _, k := range named {
			set = append(set, jwk(k))
		}
		static, err := jwks.Static([]byte(keySet(set...)))
		require.NoError(t, err)
		return makeVerifier(t, func(c *jwtverify.Config) {
			c.Keys = static
			c.Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
		})
	}
	pinned, free := verifier(key.jwk), verifier(func(k key) object { return k.jwk().del("alg") })
	passed := map[*jwtverify.Verifier]int{}
	for _, signer := range signers {
		for _, alg := range algs {
			for _, k := range named {
				token := valid().hdr("alg", strconv.Quote(alg)).hdr("kid", strconv.Quote(k.kid)).signedBy(signer).token()
				fits := signer.is(k) && (alg == signer.alg || alg == "Ed25519" && signer.alg == "EdDSA")
				for v, good := range map[*jwtverify.Verifier]bool{pinned: fits && signer.alg == k.alg, free: fits} {
					_, err := v.Verify(t.Context(), token)
					require.Equal(t, good, err == nil, "alg %s, kid %s, signed by %s with %s: %v", alg, k.kid, signer.kid, signer.alg, err)
					if good {
						passed[v]++
					} else {
						require.ErrorIs(t, err, bearergate.ErrInvalidToken)
					}
				}
			}
		}
	}
	require.Equal(t, map[*jwtverify.Verifier]int{pinned: 7, free: 10}, passed)
}

// req: R7515-04, R8725-10: nothing that a token says makes a request. The
// attacker's server is a real one, and would be reached.
func TestNoTokenCausesARequest(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	evil := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(keySet(evilRSA().jwk())))
	}))
	defer evil.Close()
	as := newServerOf(t, "", defaultSet()) // fails the test when asked for anything else
	cache, err := jwks.New(jwks.Config{Issuer: issuer, HTTPClient: as.client()})
	require.NoError(t, err)
	v := makeVerifier(t, func(c *jwtverify.Config) { c.Keys = cache })
	_, err = v.Verify(t.Context(), valid().token())
	require.NoError(t, err)
	require.Equal(t, 2, as.requests(), "metadata and keys")
	rows := embedded(evil.URL + "/")
	require.Greater(t, len(rows), 20)
	for _, r := range rows {
		_, err := v.Verify(t.Context(), r.sent.token())
		requireError(t, r.want, err)
	}
	require.LessOrEqual(t, as.requests(), 4, "two more, for an unknown kid or a bad signature")
	require.Zero(t, reached.Load())
}

// KID-029: however many key IDs are invented, the issuer is asked twice more. S1c: also where
// some are the IDs of keys, and the tokens are of other algorithms.
func TestUnknownKeysAskTheIssuerTwice(t *testing.T) {
	t.Parallel()
	as := newServerOf(t, "", defaultSet())
	kids := []string{r1().kid, p1().kid, ed1().kid}
	cache, err := jwks.New(jwks.Config{Issuer: issuer, HTTPClient: as.client()})
	require.NoError(t, err)
	v := makeVerifier(t, func(c *jwtverify.Config) { c.Keys = cache })
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			kid := fmt.Sprint("x", i)
			if i%2 == 0 {
				kid = kids[i/2%len(kids)]
			}
			token := from(e1()).hdr("kid", strconv.Quote(kid)).token()
			_, err := v.Verify(context.Background(), token)
			requireError(t, bad(unknownKey), err)
		})
	}
	all.Wait()
	require.LessOrEqual(t, as.requests(), 4)
	_, err = v.Verify(t.Context(), valid().token())
	require.NoError(t, err)
}

// A remembered token is judged again by every clock reading, as a new one is.
func TestCachedDecisionsFollowTheClock(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	set := func(c *jwtverify.Config) { c.Now = func() time.Time { return time.Unix(clock.Load(), 0) } }
	cached := makeVerifier(t, set)
	uncached := makeVerifier(t, func(c *jwtverify.Config) { set(c); c.DisableCache = true })
	token := valid().clm("nbf", at(-20)).clm("iat", at(-20)).clm("exp", at(300)).token()
	clock.Store(now.Unix())
	_, err := cached.Verify(t.Context(), token)
	require.NoError(t, err)
	for _, step := range []struct {
		after int64
		want  verdict
	}{
		{0, ok}, {304, ok}, {305, bad(expired)}, {100_000, bad(expired)}, {0, ok}, {-25, ok}, {-26, bad(notYetValid)}, {-100_000, bad(notYetValid)}, {10, ok},
	} {
		clock.Store(now.Unix() + step.after)
		var event jwtverify.VerifyEvent
		first, err := cached.Verify(context.WithValue(t.Context(), eventKey{}, &event), token)
		requireError(t, step.want, err)
		require.True(t, event.Cached)
		second, err2 := uncached.Verify(t.Context(), token)
		requireError(t, step.want, err2)
		require.Equal(t, first, second)
	}
}

// source is a key source that does as it is told.
type source struct {
	mu  sync.Mutex // guards the rest
	set *jwks.Set
	err error
}

func (s *source) Keys(ctx context.Context, kid, alg string) ([]jwks.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.set == nil {
		return nil, s.err
	}
	return s.set.Keys(ctx, kid, alg)
}

func (s *source) becomes(t *testing.T, err error, elements ...fmt.Stringer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set, s.err = nil, err
	if len(elements) > 0 {
		var err error
		s.set, err = jwks.Static([]byte(keySet(elements...)))
		require.NoError(t, err)
	}
}

// A remembered token stands and falls with the key that signed it, and an
// outage of the keys is an outage for it too.
func TestCachedDecisionsFollowTheKeys(t *testing.T) {
	t.Parallel()
	s := &source{}
	cached := makeVerifier(t, func(c *jwtverify.Config) { c.Keys = s })
	uncached := makeVerifier(t, func(c *jwtverify.Config) { c.Keys = s; c.DisableCache = true })
	other := evilRSA().as("r1", "RS256").jwk()
	token, noKid := valid().token(), valid().noHdr("kid").token()
	for i, step := range []struct {
		what         string
		err          error
		keys         []fmt.Stringer
		token, noKid verdict
	}{
		{"the key", nil, []fmt.Stringer{r1().jwk()}, ok, ok},
		{"the key among others", nil, []fmt.Stringer{e1().jwk(), r1().jwk()}, ok, ok},
		{"withdrawn", nil, []fmt.Stringer{e1().jwk()}, bad(unknownKey), bad(unknownKey)},
		{"back", nil, []fmt.Stringer{r1().jwk()}, ok, ok},
		{"another key under its kid", nil, []fmt.Stringer{other}, bad(signature), bad(signature)},
		{"both under one kid", nil, []fmt.Stringer{other, r1().jwk()}, ok, ok},
		{"without kid", nil, []fmt.Stringer{r1().jwk().del("kid")}, ok, ok},
		{"for another issuer", nil, []fmt.Stringer{r1().jwk().set("issuer", `"https://b.example.com/"`)}, bad(unknownKey), bad(unknownKey)},
		{"for this issuer", nil, []fmt.Stringer{r1().jwk().set("issuer", strconv.Quote(issuer))}, ok, ok},
		{"under another kid", nil, []fmt.Stringer{r1().as("r2", "RS256").jwk()}, bad(unknownKey), ok},
		{"for another alg", nil, []fmt.Stringer{r1().jwk().set("alg", `"PS256"`)}, bad(unknownKey), bad(unknownKey)},
		{"for any alg", nil, []fmt.Stringer{r1().jwk().del("alg")}, ok, ok},
		{"four others before it", nil, []fmt.Stringer{other, other, other, other, r1().jwk()}, bad(signature), bad(unknownKey)},
		{"no key at all", nil, nil, bad(unknownKey), bad(unknownKey)},
		{"an outage", errForeign, nil, down, down},
		{"an outage that says so", bearergate.ErrUnavailable, nil, down, down},
		{"a misconfiguration", bearergate.ErrMisconfigured, nil, broken, broken},
		{"the source's own time ran out", context.DeadlineExceeded, nil, down, down},
		{"over", nil, []fmt.Stringer{r1().jwk()}, ok, ok},
	} {
		s.becomes(t, step.err, step.keys...)
		for _, v := range []*jwtverify.Verifier{cached, uncached, cached} {
			for which, want := range map[string]verdict{token: step.token, noKid: step.noKid} {
				_, err := v.Verify(t.Context(), which)
				require.Equal(t, want.reason, bearergate.ReasonOf(err), "step %d: %s: %v", i, step.what, err)
				requireError(t, want, err)
			}
		}
	}
}

// Nothing is remembered for longer than CacheTTL: what is kept apart from the
// claims, that the key is still the issuer's for example, may have changed.
func TestMemoryEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		v := makeVerifier(t, nil)
		token := from(e1()).token()
		cached := func() bool {
			var event jwtverify.VerifyEvent
			_, err := v.Verify(context.WithValue(t.Context(), eventKey{}, &event), token)
			require.NoError(t, err)
			return event.Cached
		}
		require.False(t, cached())
		time.Sleep(jwtverify.CacheTTL - time.Second)
		require.True(t, cached())
		time.Sleep(time.Second)
		require.False(t, cached())
	})
}

// KID-024: tokens without kid survive a rotation, and forged ones cause no
// more requests than unknown key IDs do.
func TestRotationWithoutKeyID(t *testing.T) {
	t.Parallel()
	old, newer := key{"a", "ES256", e1().priv}, key{"b", "ES256", evilEC().priv}
	as := newServerOf(t, "", keySet(old.jwk()))
	cache, err := jwks.New(jwks.Config{Issuer: issuer, HTTPClient: as.client()})
	require.NoError(t, err)
	v := makeVerifier(t, func(c *jwtverify.Config) { c.Keys = cache })
	verify := func(j jwt, want verdict) {
		t.Helper()
		_, err := v.Verify(t.Context(), j.noHdr("kid").token())
		requireError(t, want, err)
	}
	first := from(old).noHdr("kid")
	verify(first, ok)
	as.serve(keySet(newer.jwk()))
	verify(from(newer), ok)
	require.Equal(t, 3, as.requests(), "metadata, keys, and keys again")
	verify(first, bad(signature))
	for range 10 {
		verify(from(old), bad(signature))
		verify(from(e384()).hdr("alg", `"ES256"`), bad(signature))
	}
	require.Equal(t, 3, as.requests())
}

// ISS-019: two issuers behind one Router.
// req: R8725-07.
func TestTwoIssuers(t *testing.T) {
	t.Parallel()
	const other = "https://b.example.com/"
	verifier := func(name string, elements ...fmt.Stringer) bearergate.Verifier {
		static, err := jwks.Static([]byte(keySet(elements...)))
		require.NoError(t, err)
		return makeVerifier(t, func(c *jwtverify.Config) { c.Issuer, c.Keys = name, static })
	}
	b1 := evilRSA().as("b1", "RS256")
	router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{
		issuer: verifier(issuer, r1().jwk()),
		other:  verifier(other, b1.jwk(), evilRSA().jwk()), // its r1 is another key than ours
	}})
	require.NoError(t, err)
	of := func(name string, k key) jwt { return from(k).clm("iss", strconv.Quote(name)) }
	for what, c := range map[string]struct {
		token jwt
		want  verdict
	}{
		"of A":                                {of(issuer, r1()), ok},
		"of B":                                {of(other, b1), ok},
		"of B, under a kid that A has too":    {of(other, evilRSA()), ok},
		"iss A, signed by B":                  {of(issuer, b1), bad(unknownKey)},
		"iss A, signed by B, a kid of both":   {of(issuer, evilRSA()), bad(signature)},
		"iss B, signed by A":                  {of(other, r1()), bad(signature)},
		"of nobody":                           {of("https://c.example.com/", r1()), bad(iss)},
		"of A, in another spelling":           {of("https://AS.example.com/", r1()), bad(iss)},
		"of both":                             {of(issuer, r1()).addClm(`"iss"`, strconv.Quote(other)), bad(malformed)},
		"of both, in an array":                {of(issuer, r1()).clm("iss", `["`+issuer+`","`+other+`"]`), bad(malformed)},
		"of A, with the iss of B in a header": {of(issuer, r1()).hdr("iss", strconv.Quote(other)), ok},
		"without iss":                         {valid().noClm("iss"), bad(missingClaim)},
	} {
		for range 2 {
			token, err := router.Verify(t.Context(), c.token.token())
			require.Equal(t, c.want.reason, bearergate.ReasonOf(err), "%s: %v", what, err)
			requireError(t, c.want, err)
			require.Equal(t, err == nil, token != nil)
		}
	}
}

// What a source of keys may return that it should not.
func TestBrokenSourcesOpenNothing(t *testing.T) {
	t.Parallel()
	key := func(id string) jwks.Key {
		k, err := jwks.NewKey(id, r1().priv.Public(), "RS256")
		require.NoError(t, err)
		return k
	}
	for what, c := range map[string]struct {
		f    func() ([]jwks.Key, error)
		want verdict
	}{
		"a key of another kid":                      {func() ([]jwks.Key, error) { return []jwks.Key{key("r2")}, nil }, broken},
		"also a key of another kid":                 {func() ([]jwks.Key, error) { return []jwks.Key{key("r1"), key("r2")}, nil }, broken},
		"a key without kid, and one of another kid": {func() ([]jwks.Key, error) { return []jwks.Key{key(""), key("r2")}, nil }, broken},
		"the zero Key":                              {func() ([]jwks.Key, error) { return []jwks.Key{{}}, nil }, broken},
		"a key for another alg": {func() ([]jwks.Key, error) {
			k, err := jwks.NewKey("r1", r1().priv.Public(), "PS256")
			return []jwks.Key{k}, err
		}, bad(signature)},
		"keys beside an error":        {func() ([]jwks.Key, error) { return []jwks.Key{key("r1")}, errForeign }, down},
		"a panic":                     {func() ([]jwks.Key, error) { panic("attack") }, broken},
		"an empty slice":              {func() ([]jwks.Key, error) { return []jwks.Key{}, nil }, bad(unknownKey)},
		"an error of two sentinels":   {func() ([]jwks.Key, error) { return nil, errTwo }, down},
		"the caller's context, ended": {func() ([]jwks.Key, error) { return nil, context.Canceled }, down},
	} {
		v := makeVerifier(t, func(conf *jwtverify.Config) { conf.Keys = sourceFunc(c.f) })
		for range 2 {
			token, err := v.Verify(t.Context(), valid().token())
			require.Nil(t, token, what)
			require.Equal(t, c.want.reason, bearergate.ReasonOf(err), "%s: %v", what, err)
			requireError(t, c.want, err)
		}
	}
}

type sourceFunc func() ([]jwks.Key, error)

func (f sourceFunc) Keys(context.Context, string, string) ([]jwks.Key, error) { return f() }

// A caller that has gone is neither a bad token nor an outage; one whose deadline
// passed has met an outage.
func TestCancellationIsNobodysFault(t *testing.T) {
	t.Parallel()
	v := makeVerifier(t, nil)
	token := valid().token()
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	for ctx, reason := range map[context.Context]bearergate.Reason{gone: bearergate.ReasonCanceled, late: bearergate.ReasonKeysUnavailable} {
		for _, which := range []string{token, valid().token(), valid().signedBy(evilRSA()).token(), valid().clm("exp", at(-100)).token()} {
			_, err := v.Verify(ctx, which)
			requireError(t, verdict{status: 503, reason: reason}, err)
			require.ErrorIs(t, err, ctx.Err())
		}
	}
	_, err = v.Verify(gone, "")
	require.ErrorIs(t, err, bearergate.ErrMissingToken)
}

// SER-019, TYP-029: what is refused is refused before it costs anything.
func TestHostileInputIsCheap(t *testing.T) { // not parallel: it counts allocations
	v := makeVerifier(t, func(c *jwtverify.Config) { c.MaxTokenBytes = 1 << 20; c.DisableCache = true })
	for what, token := range map[string]string{ // as much as a configuration may allow
		"dots":             strings.Repeat(".", 1<<20),
		"two dots and a":   ".." + strings.Repeat("a", 1<<20-2),
		"a and no dot":     strings.Repeat("a", 1<<20),
		"too long":         strings.Repeat("a.", 1<<20),
		"PBES2":            b64(`{"alg":"PBES2-HS512+A256KW","enc":"A128GCM","p2s":"AAAA","p2c":2147483647}`) + ".A.A.A.A",
		"open arrays":      b64(strings.Repeat("[", 700_000)) + ".AAAA.AAAA",
		"open objects":     b64(`{"a":`+strings.Repeat(`{"a":`, 100_000)) + ".AAAA.AAAA",
		"a header of kids": b64("{"+strings.Repeat(`"kid":"a",`, 70_000)) + ".AAAA.AAAA",
	} {
		allocated := testing.AllocsPerRun(3, func() {
			_, err := v.Verify(context.Background(), token)
			if !errors.Is(err, bearergate.ErrInvalidToken) {
				t.Errorf("%s: %v", what, err)
			}
		})
		limit := 50.0
		if what == "open objects" {
			limit = 4 * 10_000 // to the depth at which the reader gives up
		}
		require.Less(t, allocated, limit, what)
	}
}

// No error of Verify and no way to print one tells what the token said, but for what
// has to be compared by whoever looks for the cause: the issuer, the audience, the
// algorithm, the type, the kid, the names of members of cnf, quoted and cut.
// req: R8725-10
func TestErrorsTellNothingOfTheToken(t *testing.T) {
	t.Parallel()
	const secret = "S3CR3T"
	v := makeVerifier(t, func(c *jwtverify.Config) { c.RequiredClaims = []string{"tenant"} })
	for _, tt := range []struct {
		jwt
		told bool // in Found
	}{
		{valid().hdr("kid", `"`+secret+`"`), true}, {valid().hdr("alg", `"`+secret+`"`), true}, {valid().hdr("typ", `"`+secret+`"`), true},
		{valid().clm("iss", `"`+secret+`"`), true}, {valid().clm("aud", `"`+secret+`"`).clm("tenant", `1`), true}, {valid().clm("cnf", `{"`+secret+`":"x"}`).clm("tenant", `1`), true},
		{valid().hdr("cty", `["`+secret+`"]`), false}, {valid().hdr("crit", `["`+secret+`"]`), false}, {valid().header(`{"` + secret + `"`), false},
		{valid().payload(`{"` + secret + `":1,"` + secret + `":2}`), false}, {valid().payload(secret), false}, {valid().clm("exp", `"`+secret+`"`), false},
		{valid().clm("sub", `["`+secret+`"]`), false}, {valid().clm("act", `"`+secret+`"`), false}, {valid().clm(secret, `1`), false},
		{valid().clm("scope", `["`+secret+`",1]`), false}, {valid().clm("sub", `"`+secret+`"`).signedBy(evilRSA()), false},
		{valid().clm("sub", `"`+secret+`"`).clm("iss", `"x"`), false}, {valid().clm("client_id", `"`+secret+`"`).clm("exp", `1`), false},
		{jwt{literal: secret}, false}, {jwt{literal: secret + "." + secret + "." + secret}, false},
	} {
		token := tt.token()
		_, err := v.Verify(t.Context(), token)
		require.Error(t, err)
		e := bearergate.AsError(err)
		require.Equal(t, tt.told, strings.Contains(e.Found, `"`+secret+`"`) || strings.Contains(e.Found, secret), "%v", err)
		for _, text := range []string{err.Error(), fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), e.Detail, e.Expected} {
			if tt.told {
				text = strings.Replace(text, e.Found, "", 1)
			}
			require.NotContains(t, text, secret)
			for part := range strings.SplitSeq(token, ".") {
				if len(part) > 8 {
					require.NotContains(t, text, part)
				}
			}
		}
	}
}

// FuzzTampering: only what was signed gets in, byte for byte.
func FuzzTampering(f *testing.F) {
	signed := map[string]bool{}
	for _, k := range []key{e1(), ed1(), r1()} {
		token := from(k).token()
		signed[token] = true
		f.Add(token)
	}
	f.Add(valid().clm("exp", at(-100)).token())
	f.Add(valid().then(func(h, p, s string) string { return h + "." + p + "." }).token())
	v, loose := makeVerifier(f, nil), makeVerifier(f, leniently)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := loose.Verify(t.Context(), token); err == nil && !signed[token] {
			t.Fatalf("nobody signed %q", token)
		}
		verified, err := v.Verify(t.Context(), token)
		if (err == nil) != (verified != nil) {
			t.Fatalf("%v beside %v", verified, err)
		}
		if err == nil && !signed[token] {
			t.Fatalf("nobody signed %q", token)
		}
		if err != nil && bearergate.ReasonOf(err) == "" {
			t.Fatalf("no reason in %v", err)
		}
		kit.RequireExplained(t, v.Explain(t.Context(), token), err, token)
	})
}

// leniently lets in all that a configuration may.
func leniently(c *jwtverify.Config) {
	c.Profile, c.RequiredClaims = jwtverify.AccessToken, nil
	c.AllowTypes = []string{"jose", "vnd.example"}
	c.AllowMarks = []string{"at_hash", "c_hash", "s_hash", "nonce", "code"}
	c.IgnoreClaims = []string{"act", "may_act"}
	c.AllowAudienceFrom = map[string][]string{"azp": {"app"}}
	c.Map = func(c *bearergate.Claims) error { c.Scopes, c.Tenant = scope.Of("all"), c.Subject; return nil }
}

// FuzzSigned: whatever header and claims the issuer signs, a token that is
// accepted says what it must to a lenient reader too, and is judged the same by
// a verifier that has no cache.
func FuzzSigned(f *testing.F) {
	for _, j := range []jwt{valid(), from(e1()), from(e1()).hdr("kid", `null`), from(e1()).clm("aud", `[]`), from(e1()).addClm(`"exp"`, `1`), from(e1()).clm("EXP", `1`)} {
		head, body := j.texts()
		f.Add([]byte(head), []byte(body))
	}
	head, _ := from(e1()).texts()
	for _, text := range slices.Concat(refusedJSON, acceptedJSON) {
		_, body := from(e1()).clm("x", text).texts()
		f.Add([]byte(head), []byte(body))
	}
	cached, uncached := makeVerifier(f, nil), makeVerifier(f, func(c *jwtverify.Config) { c.DisableCache = true })
	loose := makeVerifier(f, leniently)
	f.Add([]byte(`{"alg":"ES256","kid":"e1","typ":"vnd.example"}`), fmt.Appendf(nil, `{"iss":%q,"azp":"app","nonce":"x","act":7,"exp":%d}`, issuer, now.Unix()+60))
	f.Fuzz(func(t *testing.T, head, body []byte) {
		token := from(e1()).header(string(head)).payload(string(body)).token()
		first, err := cached.Verify(t.Context(), token)
		for _, v := range []*jwtverify.Verifier{cached, uncached} {
			again, err2 := v.Verify(t.Context(), token)
			require.Equal(t, bearergate.ReasonOf(err), bearergate.ReasonOf(err2))
			require.Equal(t, first, again)
		}
		if _, err := loose.Verify(t.Context(), token); err == nil {
			requireForUs(t, lenient(t, body))
		}
		if err != nil {
			require.Contains(t, []error{bearergate.ErrInvalidToken}, bearergate.AsError(err).Kind)
			return
		}
		header, claims := lenient(t, head), lenient(t, body)
		require.Contains(t, claims, "aud")
		require.Equal(t, "ES256", header["alg"])
		require.Contains(t, []string{"at+jwt", "application/at+jwt"}, strings.ToLower(header["typ"].(string)))
		require.Nil(t, header["crit"])
		requireForUs(t, claims)
		for _, name := range []string{"sub", "client_id", "jti"} {
			require.NotEmpty(t, claims[name].(string))
		}
	})
}

// requireForUs: no leniency reaches who issued a token, for whom, until when, and whether
// its sender owes a proof.
func requireForUs(t *testing.T, claims map[string]any) {
	t.Helper()
	require.Equal(t, issuer, claims["iss"])
	list, _ := claims["aud"].([]any)
	_, named := claims["aud"]
	require.True(t, claims["aud"] == audience || slices.Contains(list, any(audience)) || !named && claims["azp"] == "app")
	exp, _, err := big.ParseFloat(claims["exp"].(json.Number).String(), 10, 256, big.ToNearestEven)
	require.NoError(t, err)
	require.Positive(t, exp.Cmp(big.NewFloat(float64(now.Unix()-5))))
	require.Nil(t, claims["cnf"])
}

// lenient reads JSON as most programs do.
func lenient(t *testing.T, text []byte) map[string]any {
	object := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	require.NoError(t, d.Decode(&object))
	return object
}
