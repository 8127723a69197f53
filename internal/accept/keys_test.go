package accept_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/kit"
)

// published is a cache of the keys of an issuer, and has fetched them.
func published(t *testing.T, of ...key) *jwks.Cache {
	t.Helper()
	body := `{"keys":[`
	for i, k := range of {
		jwk, err := jose.PublicJWK(k.public.ID(), k.signer.Public(), "ES256")
		require.NoError(t, err)
		if i > 0 {
			body += ","
		}
		body += string(jwk)
	}
	cache, err := jwks.New(jwks.Config{Issuer: issuer, URL: issuer + "/jwks", HTTPClient: &http.Client{Transport: publisher(body + "]}")}})
	require.NoError(t, err)
	_, err = cache.Keys(t.Context(), "", "ES256")
	require.NoError(t, err)
	return cache
}

// publisher answers every request with one body.
type publisher string

func (p publisher) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_, _ = w.WriteString(string(p))
	return w.Result(), nil
}

// whole is a source that has all that a jwks.Cache has: it says what it did before a token
// came, looks for newer keys, and is told which are in use.
type whole struct {
	rotating
	moment jwks.Moment
	since  []jwks.Moment
	used   []jwks.Key
}

func (w *whole) Moment() jwks.Moment { return w.moment }

func (w *whole) Used(_ context.Context, k jwks.Key) { w.used = append(w.used, k) }

func (w *whole) KeysAfterMiss(ctx context.Context, m jwks.Miss) ([]jwks.Key, error) {
	w.since = append(w.since, m.Since)
	return w.rotating.KeysAfterMiss(ctx, m)
}

// A source hears which of its keys is in use, and since when a newer one counts.
func TestSignerTells(t *testing.T) {
	mine, other := newKey(t, "k"), newKey(t, "k")
	moment := published(t, mine).Moment()
	require.NotEqual(t, jwks.Moment{}, moment)
	jws, err := jose.Parse(mine.sign(t), 16<<10)
	require.NoError(t, err)

	good := &whole{rotating: rotating{&source{keys: keys(other), later: keys(mine)}}, moment: moment}
	_, err = accept.Signer(t.Context(), good, jws, issuer)
	require.NoError(t, err)
	require.Equal(t, []jwks.Moment{moment}, good.since)
	require.Len(t, good.used, 1)
	require.Equal(t, mine.public.Thumbprint(), good.used[0].Thumbprint())

	bad := &whole{rotating: rotating{&source{keys: keys(other), later: keys(other)}}, moment: moment}
	_, err = accept.Signer(t.Context(), bad, jws, issuer)
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
	require.Empty(t, bad.used)
}

// A signature that no key can have made: none is looked for.
func TestCheckSignature(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alg   string
		bytes int
		bad   bool
	}{
		{name: "none", alg: "RS256", bad: true},
		{name: "RS256 has no length of its own", alg: "RS256", bytes: 1},
		{name: "ES256", alg: "ES256", bytes: 64},
		{name: "ES256, too short", alg: "ES256", bytes: 63, bad: true},
		{name: "ES256, too long", alg: "ES256", bytes: 65, bad: true},
		{name: "ES256, none", alg: "ES256", bad: true},
		{name: "ES384", alg: "ES384", bytes: 96},
		{name: "ES384, too short", alg: "ES384", bytes: 95, bad: true},
		{name: "ES512", alg: "ES512", bytes: 132},
		{name: "ES512, too short", alg: "ES512", bytes: 131, bad: true},
		{name: "EdDSA", alg: "EdDSA", bytes: 64},
		{name: "EdDSA, too short", alg: "EdDSA", bytes: 63, bad: true},
		{name: "Ed25519", alg: "Ed25519", bytes: 64},
		{name: "Ed25519, too short", alg: "Ed25519", bytes: 63, bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			jws := jose.JWS{Header: jose.Header{Algorithm: tt.alg, KeyID: "k"}, Signature: make([]byte, tt.bytes)}
			err := accept.CheckSignature(jws)
			if !tt.bad {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
			require.True(t, bearergate.AsError(err).Unsigned)
			asked := new(source)
			_, err = accept.Signer(t.Context(), asked, jws, issuer)
			kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
			require.Empty(t, asked.asked)
		})
	}
}

// What a name can mean, where a header of a JWT could not say it.
func TestCandidates(t *testing.T) {
	named, unnamed := newKey(t, "k"), newKey(t, "")
	a, b := thumbprintOf("a"), thumbprintOf("b")
	for _, tt := range []struct {
		name   string
		n      accept.KeyName
		source source
		want   int
		reason bearergate.Reason
	}{
		{name: "a kid, and a certificate that does not count", n: accept.KeyName{KeyID: "k", Certificate: jose.Certificate{SHA1: a}}, source: source{keys: keys(named.of(t, "x5t", b))}, want: 1},
		{name: "a certificate", n: accept.KeyName{Certificate: jose.Certificate{SHA1: a}}, source: source{keys: keys(unnamed.of(t, "x5t", b), unnamed.of(t, "x5t", a))}, want: 1},
		{name: "neither", source: source{keys: keys(unnamed.of(t, "x5t", b), unnamed)}, want: 2},
		{name: "an outage", source: source{err: errors.New("x")}, reason: bearergate.ReasonKeysUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.n.Algorithm, tt.n.Issuer = "ES256", issuer
			found, err := accept.Candidates(t.Context(), &tt.source, tt.n)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err))
			require.Len(t, found, tt.want)
		})
	}
}
