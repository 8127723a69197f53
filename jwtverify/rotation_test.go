package jwtverify_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// published is a key of an issuer as its set has it.
type published struct {
	signer  signer
	members map[string]any // of its JWK, beside the usual ones
}

// issuerOf publishes keys and counts who asks.
type issuerOf struct {
	t       *testing.T
	set     []published
	down    bool
	hangs   bool
	fetches int
	foreign []string // URLs that nobody should ask for
}

const setURL = "https://keys.example.com/set?apikey=x"

func (s *issuerOf) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() != setURL {
		s.foreign = append(s.foreign, r.URL.String())
		return nil, errors.New("nobody is there")
	}
	s.fetches++
	switch {
	case s.hangs:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case s.down:
		return nil, errors.New("down")
	}
	var keys []map[string]any
	for _, p := range s.set {
		jwk, err := jose.PublicJWK(p.signer.KeyID, p.signer.Key.Public(), p.signer.Alg)
		require.NoError(s.t, err)
		members := map[string]any{}
		require.NoError(s.t, json.Unmarshal(jwk, &members))
		maps.Copy(members, p.members)
		keys = append(keys, members)
	}
	body, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(s.t, err)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"max-age=86400"}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: -1}, nil
}

func thumbprint(name string, size int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(name, size)[:size]))
}

// What real servers do with their keys, seen from one token each: whether it is accepted,
// and how often the server is asked. No token names anything that is fetched.
func TestRotations(t *testing.T) {
	old, fresh, foreign := newSigner(t, "ES256", "k1"), newSigner(t, "ES256", "k2"), newSigner(t, "ES256", "k1")
	rsa, ed := newSigner(t, "RS256", "k1"), newSigner(t, "EdDSA", "k1")
	nameless := func(s signer) signer { s.KeyID = ""; return s }
	under := func(s signer, kid string) signer { s.KeyID = kid; return s }
	key := func(s signer, members ...string) published {
		p := published{signer: s, members: map[string]any{}}
		for i := 0; i < len(members); i += 2 {
			p.members[members[i]] = members[i+1]
		}
		return p
	}
	x5t := func(s signer, name string) published {
		return key(nameless(s), "x5t", thumbprint(name, 20), "x5t#S256", thumbprint(name, 32))
	}
	others := func(n int) (all []published) {
		for range n {
			all = append(all, key(nameless(newSigner(t, "ES256", ""))))
		}
		return all
	}
	type token struct {
		wait   time.Duration // before it comes
		by     signer
		header map[string]any // beside alg, typ and the kid of the signer
		reason bearergate.Reason
		asked  int // the fetches that it causes
		down   bool
	}
	for _, tt := range []struct {
		name          string
		before, after []published // the set changes when the first token has been accepted
		first         token
		then          []token
	}{
		{
			name:   "a new key",
			before: []published{key(old)}, after: []published{key(old), key(fresh)},
			first: token{by: old, asked: 1},
			then:  []token{{by: fresh, asked: 1}, {by: old}, {by: fresh}},
		},
		{
			name:   "a new key, a second after an invented one",
			before: []published{key(old)}, after: []published{key(fresh)},
			first: token{by: old, asked: 1},
			then: []token{
				{by: under(old, "invented"), reason: bearergate.ReasonUnknownKey, asked: 1},
				{by: under(old, "invented"), reason: bearergate.ReasonUnknownKey},
				{by: fresh, wait: time.Second},
			},
		},
		{
			name:   "a new key, a second after a forged token",
			before: []published{key(old)}, after: []published{key(old), key(fresh)},
			first: token{by: old, asked: 1},
			then:  []token{{by: foreign, reason: bearergate.ReasonSignature, asked: 1}, {by: fresh, wait: time.Second}},
		},
		{
			name:   "a key that is replaced under its kid",
			before: []published{key(old)}, after: []published{key(under(fresh, "k1"))},
			first: token{by: old, asked: 1},
			then: []token{
				{by: under(fresh, "k1"), asked: 1},
				{by: old, reason: bearergate.ReasonSignature},
				{by: under(fresh, "k1")},
			},
		},
		{
			name:   "a key that is replaced under its kid by one of another algorithm",
			before: []published{key(old)}, after: []published{key(rsa)},
			first: token{by: old, asked: 1},
			then: []token{
				{by: rsa, asked: 1},
				{by: old, reason: bearergate.ReasonUnknownKey, asked: 1},
				{by: old, reason: bearergate.ReasonUnknownKey},
				{by: rsa},
			},
		},
		{
			name:   "a key that gets a second algorithm under its kid, a second after an invented one",
			before: []published{key(old)}, after: []published{key(old), key(rsa)},
			first: token{by: old, asked: 1},
			then: []token{
				{by: under(old, "invented"), reason: bearergate.ReasonUnknownKey, asked: 1},
				{by: rsa, wait: time.Second},
				{by: old},
			},
		},
		{
			name:   "another algorithm under a known kid, and nothing new: two fetches, as for invented ones",
			before: []published{key(old), key(nameless(rsa))},
			first:  token{by: old, asked: 1},
			then: []token{
				{by: rsa, reason: bearergate.ReasonUnknownKey, asked: 1},
				{by: rsa, reason: bearergate.ReasonUnknownKey},
				{by: ed, reason: bearergate.ReasonUnknownKey, asked: 1},
				{by: ed, reason: bearergate.ReasonUnknownKey},
				{by: under(old, "invented"), reason: bearergate.ReasonUnknownKey},
				{by: old},
				{by: rsa, wait: 11 * time.Second, reason: bearergate.ReasonUnknownKey, asked: 1},
			},
		},
		{
			name:   "another algorithm under a known kid, in an outage: nobody knows whether the key was replaced",
			before: []published{key(old)}, after: []published{key(rsa)},
			first: token{by: old, asked: 1},
			then: []token{
				{by: rsa, reason: bearergate.ReasonKeysUnavailable, asked: 1, down: true},
				{by: rsa, reason: bearergate.ReasonKeysUnavailable, down: true},
				{by: old, down: true},
				{by: rsa, wait: 12 * time.Second, asked: 1},
			},
		},
		{
			name:   "a key that is replaced, and nobody names keys",
			before: []published{key(nameless(old))}, after: []published{key(nameless(fresh))},
			first: token{by: nameless(old), asked: 1},
			then:  []token{{by: nameless(fresh), asked: 1}, {by: nameless(old), reason: bearergate.ReasonSignature}},
		},
		{
			name:   "a key that is replaced, and tokens alone name it",
			before: []published{key(nameless(old))}, after: []published{key(nameless(fresh))},
			first: token{by: old, asked: 1},
			then:  []token{{by: fresh, asked: 1}, {by: old, reason: bearergate.ReasonSignature, asked: 1}, {by: fresh}},
		},
		{
			name:   "two keys during a rotation, and nobody names them",
			before: []published{key(nameless(old)), key(nameless(fresh))},
			first:  token{by: nameless(old), asked: 1},
			then:   []token{{by: nameless(fresh)}, {by: nameless(old)}, {by: nameless(foreign), reason: bearergate.ReasonSignature, asked: 1}, {by: nameless(fresh)}},
		},
		{
			name:   "a fourth key, and nobody names them",
			before: append(others(2), key(nameless(old))), after: append(others(3), key(nameless(fresh))),
			first: token{by: nameless(old), asked: 1},
			then:  []token{{by: nameless(fresh), asked: 1}},
		},
		{
			name:   "a fifth key, and nobody names them: nothing is tried, and nobody asked",
			before: append(others(4), key(old)),
			first:  token{by: old, asked: 1},
			then:   []token{{by: nameless(old), reason: bearergate.ReasonUnknownKey}, {by: nameless(foreign), reason: bearergate.ReasonUnknownKey}, {by: old}},
		},
		{
			name:   "one of two certificates",
			before: []published{x5t(old, "a"), x5t(fresh, "b")},
			first:  token{by: nameless(old), header: map[string]any{"x5t": thumbprint("a", 20)}, asked: 1},
			then: []token{
				{by: nameless(fresh), header: map[string]any{"x5t": thumbprint("b", 20)}},
				{by: nameless(fresh), header: map[string]any{"x5t#S256": thumbprint("b", 32)}},
				{by: nameless(old), header: map[string]any{"x5t": 17}},
				{by: nameless(old), header: map[string]any{"x5t": thumbprint("b", 20)}, reason: bearergate.ReasonSignature, asked: 1},
				{by: nameless(old), header: map[string]any{"x5t": thumbprint("c", 20)}, reason: bearergate.ReasonUnknownKey, asked: 1},
				{by: nameless(foreign), header: map[string]any{"x5t": thumbprint("a", 20), "x5u": "https://attacker.test/"}, reason: bearergate.ReasonSignature},
			},
		},
		{
			name:   "a new certificate",
			before: []published{x5t(old, "a")}, after: []published{x5t(old, "a"), x5t(fresh, "b")},
			first: token{by: nameless(old), header: map[string]any{"x5t": thumbprint("a", 20)}, asked: 1},
			then: []token{
				{by: nameless(foreign), header: map[string]any{"x5t": thumbprint("z", 20)}, reason: bearergate.ReasonUnknownKey, asked: 1},
				{by: nameless(fresh), header: map[string]any{"x5t": thumbprint("b", 20)}, wait: time.Second},
			},
		},
		{
			name:   "tokens that name certificates, keys that do not",
			before: []published{key(nameless(old)), key(nameless(fresh))},
			first:  token{by: nameless(old), header: map[string]any{"x5t": thumbprint("a", 20)}, asked: 1},
			then:   []token{{by: nameless(fresh), header: map[string]any{"x5t": thumbprint("b", 20)}}},
		},
		{
			name:   "keys of several tenants",
			before: []published{key(old, "issuer", issuer), key(fresh, "issuer", "https://tenant-two.example.com/"), key(under(foreign, "k3"), "issuer", "https://{tenantid}.example.com/")},
			first:  token{by: old, asked: 1},
			then:   []token{{by: fresh, reason: bearergate.ReasonUnknownKey, asked: 1}, {by: under(foreign, "k3")}, {by: nameless(fresh), reason: bearergate.ReasonSignature, asked: 1}},
		},
		{
			name:   "a key of ours in the place of another tenant's",
			before: []published{key(old), key(under(foreign, "k3"), "issuer", "https://tenant-two.example.com/")}, after: []published{key(under(fresh, "k3"), "issuer", issuer)},
			first: token{by: old, asked: 1},
			then:  []token{{by: under(fresh, "k3"), asked: 1}},
		},
		{
			name:   "a new key beside one without kid, in an outage: nobody knows whether it is new or invented",
			before: []published{key(old), key(nameless(foreign))}, after: []published{key(old), key(nameless(foreign)), key(fresh)},
			first: token{by: old, asked: 1},
			then: []token{
				{by: fresh, reason: bearergate.ReasonKeysUnavailable, asked: 1, down: true},
				{by: fresh, reason: bearergate.ReasonKeysUnavailable, down: true},
				{by: under(foreign, "invented"), down: true},
				{by: fresh, wait: 12 * time.Second, reason: bearergate.ReasonKeysUnavailable, asked: 1}, // it does not wait, and
				{by: fresh}, // what is fetched meanwhile is there for the next
				{by: under(old, "invented"), reason: bearergate.ReasonSignature, asked: 1},
			},
		},
		{
			name:   "a new key beside five without kid",
			before: append(others(5), key(old)), after: append(others(5), key(old), key(fresh)),
			first: token{by: old, asked: 1},
			then:  []token{{by: fresh, asked: 1}, {by: under(foreign, "invented"), reason: bearergate.ReasonUnknownKey, asked: 1}},
		},
		{
			name:   "a forged token is the first: what was fetched for it is not fetched again",
			before: []published{key(old)},
			first:  token{by: foreign, reason: bearergate.ReasonSignature, asked: 1},
			then:   []token{{by: foreign, reason: bearergate.ReasonSignature, asked: 1}, {by: foreign, reason: bearergate.ReasonSignature}, {by: old}},
		},
		{
			name:   "a token with a certificate of nobody's is the first",
			before: []published{x5t(old, "a")},
			first:  token{by: nameless(old), header: map[string]any{"x5t": thumbprint("z", 20)}, reason: bearergate.ReasonUnknownKey, asked: 1},
			then:   []token{{by: nameless(old), header: map[string]any{"x5t": thumbprint("a", 20)}}},
		},
		{
			name:   "an outage that began after the keys came",
			before: []published{key(old)},
			first:  token{by: old, asked: 1},
			then: []token{
				{by: foreign, reason: bearergate.ReasonSignature, asked: 1, down: true},
				{by: foreign, reason: bearergate.ReasonSignature, down: true},
				{by: fresh, reason: bearergate.ReasonKeysUnavailable, down: true},
				{by: fresh, reason: bearergate.ReasonKeysUnavailable, asked: 1, wait: 2 * time.Second, down: true},
				{by: foreign, reason: bearergate.ReasonSignature, down: true},
				{by: old, down: true},
				{by: foreign, wait: 12 * time.Second, reason: bearergate.ReasonSignature, asked: 1},
				{by: fresh, reason: bearergate.ReasonUnknownKey, asked: 1},
			},
		},
	} {
		for _, cache := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					as := &issuerOf{t: t, set: tt.before}
					keys, err := jwks.New(jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: as}})
					require.NoError(t, err)
					c := config(keys)
					c.DisableCache = !cache
					v := newVerifier(t, c)
					for i, token := range append([]token{tt.first}, tt.then...) {
						time.Sleep(token.wait)
						as.down = token.down
						header := map[string]any{"alg": token.by.Alg, "typ": "at+jwt", "kid": token.by.KeyID}
						maps.Copy(header, token.header)
						raw := token.by.SignWith(t, header, nil)
						before := as.fetches
						found, err := v.Verify(t.Context(), raw)
						if token.reason == "" {
							require.NoError(t, err, "token %d", i)
							for range 3 { // from the cache, where there is one
								_, err = v.Verify(t.Context(), raw)
								require.NoError(t, err)
							}
						} else {
							kind := bearergate.ErrInvalidToken
							if token.reason == bearergate.ReasonKeysUnavailable {
								kind = bearergate.ErrUnavailable
							}
							require.Equal(t, token.reason, bearergate.ReasonOf(err), "token %d: %v", i, err)
							requireError(t, found, err, kind, token.reason)
						}
						synctest.Wait()
						require.Equal(t, token.asked, as.fetches-before, "token %d", i)
						if i == 0 && tt.after != nil {
							as.set = tt.after
						}
					}
					require.Empty(t, as.foreign)
				})
			})
		}
	}
}

// A token that can mean no key that is held was tried under none: whether there is one now
// must be known, so that an outage is no refusal, and the first token after it is accepted.
func TestNoKeyOfOursInAnOutage(t *testing.T) {
	old, fresh, foreign := newSigner(t, "ES256", "k1"), newSigner(t, "ES256", "k2"), newSigner(t, "ES256", "k3")
	under := func(s signer, kid string) signer { s.KeyID = kid; return s }
	ours := func(s signer) published { return published{signer: s} }
	theirs := func(s signer) published {
		return published{signer: s, members: map[string]any{"issuer": "https://tenant-two.example.com/"}}
	}
	certified := func(s signer, name string) published {
		return published{signer: s, members: map[string]any{"x5t": thumbprint(name, 20)}}
	}
	five := []published{ours(under(old, "")), ours(under(old, "")), ours(under(old, "")), ours(under(old, "")), ours(under(old, ""))}
	for _, tt := range []struct {
		name          string
		before, after []published
		by            signer
		header        map[string]any // beside alg and typ
	}{
		{name: "an unknown kid", before: []published{theirs(foreign)}, after: []published{ours(fresh)}, by: fresh},
		{name: "no kid, and no key fits", before: []published{ours(newSigner(t, "ES384", "k1"))}, after: []published{ours(fresh)}, by: under(fresh, "")},
		{name: "an unknown certificate", before: []published{certified(old, "a")}, after: []published{certified(fresh, "b")}, by: under(fresh, ""), header: map[string]any{"x5t": thumbprint("b", 20)}},
		{name: "the kid of another tenant's key", before: []published{ours(old), theirs(foreign)}, after: []published{ours(old), ours(under(fresh, "k3"))}, by: under(fresh, "k3")},
		{name: "the kid of another tenant's key, and ours comes beside it", before: []published{ours(old), theirs(foreign)}, after: []published{ours(old), theirs(foreign), {signer: under(fresh, "k3"), members: map[string]any{"issuer": issuer}}}, by: under(fresh, "k3")},
		{name: "any kid, and the keys without one are another tenant's", before: []published{theirs(under(foreign, ""))}, after: []published{theirs(under(foreign, "")), ours(under(fresh, ""))}, by: fresh},
		{name: "no kid, and all keys are another tenant's", before: []published{theirs(under(foreign, ""))}, after: []published{ours(under(fresh, ""))}, by: under(fresh, "")},
		{name: "any kid, and too many keys without one", before: five, after: append(slices.Clone(five), ours(fresh)), by: fresh},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				as := &issuerOf{t: t, set: tt.before}
				keys, err := jwks.New(jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: as}})
				require.NoError(t, err)
				require.NoError(t, keys.Refresh(t.Context()))
				v := newVerifier(t, config(keys))
				header := map[string]any{"alg": "ES256", "typ": "at+jwt"}
				if tt.by.KeyID != "" {
					header["kid"] = tt.by.KeyID
				}
				maps.Copy(header, tt.header)
				raw := tt.by.SignWith(t, header, nil)
				token, err := v.Verify(t.Context(), raw)
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
				as.down = true
				time.Sleep(20 * time.Second)
				for range 2 {
					token, err = v.Verify(t.Context(), raw)
					requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
				}
				as.set, as.down = tt.after, false
				time.Sleep(20 * time.Second)
				before := as.fetches
				_, err = v.Verify(t.Context(), raw)
				require.NoError(t, err)
				require.Equal(t, before+1, as.fetches)
				forged := tt.by
				forged.Key = newSigner(t, "ES256", "").Key
				token, err = v.Verify(t.Context(), forged.SignWith(t, header, nil))
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
			})
		})
	}
}

// A forged token does not wait for a server that is known to be down, whatever kid it
// invents, and tells of stale keys once.
func TestForgedTokensDoNotWait(t *testing.T) {
	old, forger := newSigner(t, "ES256", "k1"), newSigner(t, "ES256", "k1")
	nameless := old
	nameless.KeyID = ""
	for _, tt := range []struct {
		name   string
		key    signer
		kind   error
		reason bearergate.Reason
	}{
		{name: "the kid of a key", key: old, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "an invented kid, beside a key without one", key: nameless, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				as := &issuerOf{t: t, set: []published{{signer: tt.key}}}
				stale := 0
				c := jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: as}}
				c.Hooks.StaleServed = func(context.Context, jwks.StaleEvent) { stale++ }
				keys, err := jwks.New(c)
				require.NoError(t, err)
				require.NoError(t, keys.Refresh(t.Context()))
				v := newVerifier(t, config(keys))
				as.hangs = true
				forged := func() time.Duration {
					start := time.Now()
					token, err := v.Verify(t.Context(), forger.Sign(t, nil))
					requireError(t, token, err, tt.kind, tt.reason)
					if tt.kind == bearergate.ErrUnavailable {
						require.Positive(t, bearergate.AsError(err).RetryAfter)
					}
					return time.Since(start)
				}
				time.Sleep(10 * time.Second)
				require.Equal(t, jwks.DefaultFetchTimeout, forged(), "who is the first, learns of the outage")
				for range 10 {
					time.Sleep(100 * time.Second) // longer than every backoff
					before := as.fetches
					for range 3 {
						require.Zero(t, forged())
						time.Sleep(time.Second)
					}
					time.Sleep(2 * jwks.DefaultFetchTimeout)
					synctest.Wait()
					require.Equal(t, before+1, as.fetches, "one in the background, for those who come later")
				}
				for range 10 { // the last attempts are past the hour that the set is good for and a tenth
					time.Sleep(6 * time.Minute)
					_ = keys.Refresh(t.Context())
				}
				require.Equal(t, jwks.StateStale, keys.Status().State)
				time.Sleep(2 * time.Minute)
				for range 3 {
					stale = 0
					require.Zero(t, forged())
					require.Equal(t, 1, stale)
					time.Sleep(time.Second)
				}

				// What is new is there for the next one at latest.
				fresh := newSigner(t, "ES256", "k2")
				time.Sleep(2 * jwks.DefaultFetchTimeout)
				synctest.Wait()
				as.hangs, as.set = false, append(as.set, published{signer: fresh})
				time.Sleep(100 * time.Second)
				_, err = v.Verify(t.Context(), fresh.Sign(t, nil))
				synctest.Wait()
				if err != nil {
					require.ErrorIs(t, err, bearergate.ErrUnavailable)
					_, err = v.Verify(t.Context(), fresh.Sign(t, nil))
				}
				require.NoError(t, err)
			})
		})
	}
}

// A signature that none of its alg can be is not the sign of a new key: nothing is looked
// up or fetched for it, whatever key the token names, and no outage comes of it.
func TestNothingIsFetchedForHalfASignature(t *testing.T) {
	s, foreign, nameless := newSigner(t, "ES256", "k1"), newSigner(t, "ES256", "k3"), newSigner(t, "ES256", "")
	key := published{signer: s}
	theirs := published{signer: foreign, members: map[string]any{"issuer": "https://tenant-two.example.com/"}}
	unnamed := published{signer: nameless}
	for _, tt := range []struct {
		name string
		set  []published // empty: it cannot be had
		kid  string      // "": none
	}{
		{name: "a key of ours", set: []published{key}, kid: "k1"},
		{name: "an unknown key", set: []published{key}, kid: "invented"},
		{name: "a key of another tenant", set: []published{key, theirs}, kid: "k3"},
		{name: "a key without ID", set: []published{unnamed}, kid: "invented"},
		{name: "too many keys without ID", set: []published{unnamed, unnamed, unnamed, unnamed, unnamed}, kid: "invented"},
		{name: "no kid", set: []published{key}},
		{name: "no keys yet, and an outage", kid: "k1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				as := &issuerOf{t: t, set: tt.set}
				keys, err := jwks.New(jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: as}})
				require.NoError(t, err)
				if tt.set != nil {
					require.NoError(t, keys.Refresh(t.Context()))
				}
				v := newVerifier(t, config(keys))
				before := as.fetches
				as.down = true
				time.Sleep(30 * time.Second)
				header := map[string]any{"alg": "ES256", "typ": "at+jwt"}
				if tt.kid != "" {
					header["kid"] = tt.kid
				}
				raw := s.SignWith(t, header, nil)
				for _, cut := range []string{raw[:len(raw)-42], raw[:strings.LastIndexByte(raw, '.')+1]} {
					token, err := v.Verify(t.Context(), cut)
					requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
					x := v.Explain(t.Context(), cut)
					kit.RequireExplained(t, x, err, cut)
					states := map[string]bearergate.StepState{}
					for _, step := range x.Steps {
						states[step.Name] = step.State
					}
					require.Equal(t, bearergate.StepFailed, states["signature"])
					require.Equal(t, bearergate.StepNotReached, states["key"])
				}
				synctest.Wait()
				require.Equal(t, before, as.fetches)
			})
		})
	}
}

// A key whose JWK names an issuer serves tokens of that one form of the name.
func TestAliasesAndKeysThatNameTheirIssuer(t *testing.T) {
	const alias = "https://tenant-two.example.com/"
	for _, tt := range []struct {
		name, keyOf, tokenOf string
		reason               bearergate.Reason
	}{
		{name: "the issuer's key", keyOf: issuer, tokenOf: issuer},
		{name: "the alias's key", keyOf: alias, tokenOf: alias},
		{name: "the issuer's key, a token of the alias", keyOf: issuer, tokenOf: alias, reason: bearergate.ReasonUnknownKey},
		{name: "the alias's key, a token of the issuer", keyOf: alias, tokenOf: issuer, reason: bearergate.ReasonUnknownKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSigner(t, "ES256", "k1")
			as := &issuerOf{t: t, set: []published{{signer: s, members: map[string]any{"issuer": tt.keyOf}}}}
			keys, err := jwks.New(jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: as}})
			require.NoError(t, err)
			c := config(keys)
			c.IssuerAliases = []string{alias}
			var cached []bool
			c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { cached = append(cached, e.Cached) }
			v := newVerifier(t, c)
			raw := s.Sign(t, map[string]any{"iss": tt.tokenOf})
			for i := range 2 {
				token, err := v.Verify(t.Context(), raw)
				require.Equal(t, i == 1 && tt.reason == "", cached[i])
				if tt.reason != "" {
					requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, tt.tokenOf, token.Issuer())
			}
		})
	}
}
