package bench

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
)

// manyTokens is how many different tokens are used in turn where they are many. The caches
// of these benchmarks have room for all of them: what is too many costs what new ones cost.
const manyTokens = 10_000

// way is one way to be let in: through a part of this library, with the i-th of some tokens.
type way struct {
	name string
	call func(ctx context.Context, i int) error
	// prepare makes what the calls from i on need, n of them: it is not measured.
	prepare func(i, n int)
	bare    func() bool // the bare signature check that it is compared with
	bound   float64     // how many times that it may take at most, far above what it does take
	network bool        // it goes over a network: what it allocates depends on more than the code
}

// ways are all of them, for tokens of ES256. Those over the network come last, each after
// the same without us.
func (w *world) ways(tb testing.TB, tokens []string) []way {
	bare := w.raw(tb)
	verifiedOf := func(tokens []string, name string, bound float64, v bearergate.Verifier) way {
		return way{name: name, bare: bare, bound: bound, call: func(ctx context.Context, i int) error {
			_, err := v.Verify(ctx, tokens[i%len(tokens)])
			return err
		}}
	}
	verified := func(name string, bound float64, v bearergate.Verifier) way { return verifiedOf(tokens, name, bound, v) }
	config := func(change ...func(*jwtverify.Config)) bearergate.Verifier { return w.roomy(tb, change...) }
	never := func(c *jwtverify.Config) { c.DisableCache, c.CacheEntries, c.CacheBytes = true, 0, 0 }
	preset := func(change ...func(*jwtverify.Config)) bearergate.Verifier {
		return config(append(change, func(c *jwtverify.Config) { c.Preset = idp.Keycloak(issuer, audience).Preset })...)
	}
	ofKeycloak := w.signed(tb, len(tokens), map[string]any{"typ": "Bearer", "azp": "shop", "realm_access": map[string]any{"roles": []string{"buyer", "reader"}}})
	known := config() // by all that need nothing else
	router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{
		issuer:                        known,
		"https://second.example.com/": w.other(tb, "https://second.example.com/"),
		"https://third.example.com/":  w.other(tb, "https://third.example.com/"),
	}})
	require.NoError(tb, err)
	list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, MaxEntries: 1 << 17, PerSource: 1 << 17})
	require.NoError(tb, err)
	for i := range 10 {
		entries := make([]revocation.Entry, 10_000)
		for j := range entries {
			entries[j] = revocation.Entry{Issuer: issuer, Source: "bench", TokenID: fmt.Sprintf("revoked-%d-%d", i, j)}
		}
		require.NoError(tb, list.Add(tb.Context(), entries...))
	}

	gate, err := middleware.New(known, middleware.Config{})
	require.NoError(tb, err)
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	all := []way{
		verified("a new token", 4, config(never)),
		verifiedOf(ofKeycloak, "a new token, preset of Keycloak", 5, preset(never)),
		verified("seen before", 0.2, known),
		verifiedOf(ofKeycloak, "seen before, preset of Keycloak", 0.2, preset()),
		verified("seen before, Router of three issuers", 0.4, router),
		verified("seen before, and 100,000 are revoked", 0.3, config(func(c *jwtverify.Config) { c.Check = list.Check })),
		verified("introspected before", 0.3, w.introspection(tb, 4*manyTokens)),
		w.served("a handler without us", tokens, bare, 0.2, nothing),
		w.served("a handler behind the middleware", tokens, bare, 0.5, gate.Require(scope.All("orders:read"))(nothing)),
		w.withCertificate(tb, len(tokens), bare),
	}
	for _, alg := range dpop.DefaultAlgorithms() {
		all = append(all, w.withProof(tb, alg, len(tokens)))
	}
	return all
}

// roomy is a verifier with room for all tokens.
func (w *world) roomy(tb testing.TB, change ...func(*jwtverify.Config)) *jwtverify.Verifier {
	c := jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: w.keys(tb), CacheEntries: 4 * manyTokens, CacheBytes: 1 << 28}
	for _, f := range change {
		f(&c)
	}
	v, err := jwtverify.New(c)
	require.NoError(tb, err)
	return v
}

// other is a verifier of another issuer.
func (w *world) other(tb testing.TB, of string) bearergate.Verifier {
	v, err := jwtverify.New(jwtverify.Config{Issuer: of, Audiences: []string{audience}, Keys: w.keys(tb)})
	require.NoError(tb, err)
	return v
}

// signed returns n different tokens.
func (w *world) signed(tb testing.TB, n int, claims map[string]any) []string {
	tokens := make([]string, n)
	for i := range tokens {
		c := map[string]any{"jti": fmt.Sprintf("%032d", i)}
		maps.Copy(c, claims)
		tokens[i] = w.sign(tb, nil, c)
	}
	return tokens
}

func (w *world) served(name string, tokens []string, bare func() bool, bound float64, h http.Handler) way {
	requests := make([]*http.Request, len(tokens))
	for i, token := range tokens {
		requests[i] = httptest.NewRequest(http.MethodGet, "/orders", nil)
		requests[i].Header.Set("Authorization", "Bearer "+token)
	}
	rw := discard{http.Header{}}
	return way{name: name, bare: bare, bound: bound, call: func(_ context.Context, i int) error {
		h.ServeHTTP(rw, requests[i%len(requests)])
		return nil
	}}
}

// boundTo is a verifier, and n tokens that are bound as cnf says and that it has seen.
func (w *world) boundTo(tb testing.TB, n int, member, value string) (bearergate.Verifier, []string) {
	v := w.roomy(tb, func(c *jwtverify.Config) { c.Confirmations = []string{member} })
	tokens := w.signed(tb, n, map[string]any{"cnf": map[string]any{member: value}})
	for _, token := range tokens {
		_, err := v.Verify(tb.Context(), token)
		require.NoError(tb, err)
	}
	return v, tokens
}

// withCertificate is a token that was seen before and is bound to the certificate of the
// connection (RFC 8705).
func (w *world) withCertificate(tb testing.TB, n int, bare func() bool) way {
	own, err := authtest.NewClientCertificate()
	require.NoError(tb, err)
	certificate, err := x509.ParseCertificate(own.Certificate[0])
	require.NoError(tb, err)
	sum := sha256.Sum256(certificate.Raw)
	v, tokens := w.boundTo(tb, n, "x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:]))
	binding, err := mtls.New(mtls.Config{Direct: true})
	require.NoError(tb, err)
	state := &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{certificate}}
	return way{name: "seen before, and a certificate", bare: bare, bound: 0.3, call: func(ctx context.Context, i int) error {
		_, _, err := bearergate.Authenticate(ctx, v, bearergate.Call{Credentials: bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: bearergate.NewSecret(tokens[i%n])}, TLS: state}, binding)
		return err
	}}
}

// withProof is a token that was seen before and a proof that nobody has seen (RFC 9449),
// which costs one signature check.
func (w *world) withProof(tb testing.TB, alg string, n int) way {
	const api = "https://api.example.com"
	key, err := authtest.NewDPoPKey(alg)
	require.NoError(tb, err)
	v, tokens := w.boundTo(tb, n, "jkt", key.Thumbprint())
	replay, err := dpop.NewMemory(1 << 20)
	require.NoError(tb, err)
	binding, err := dpop.New(dpop.Config{BaseURLs: []string{api}, Replay: replay})
	require.NoError(tb, err)
	var from int
	var proofs [][]string
	proof := []string{key.Proof(http.MethodGet, api+"/orders", tokens[0])}
	return way{name: "seen before, and a new proof of " + alg, bare: bareProof(tb, alg, key, proof[0]), bound: 4,
		prepare: func(i, n int) {
			from, proofs = i, proofs[:0]
			for j := range n {
				proofs = append(proofs, []string{key.Proof(http.MethodGet, api+"/orders", tokens[(i+j)%len(tokens)])})
			}
		},
		call: func(ctx context.Context, i int) error {
			sent := proofs[i-from]
			_, _, err := bearergate.Authenticate(ctx, v, bearergate.Call{
				Credentials: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret(tokens[i%len(tokens)])},
				Method:      http.MethodGet, Target: "/orders", Host: "api.example.com",
				Header: func(name string) []string {
					if name == "DPoP" {
						return sent
					}
					return nil
				},
			}, binding)
			return err
		}}
}

// bareProof is the signature check of a proof alone.
func bareProof(tb testing.TB, alg string, k *authtest.DPoPKey, proof string) func() bool {
	jwk, err := json.Marshal(k.JWK())
	require.NoError(tb, err)
	key, err := jose.ParseKey(jwk)
	require.NoError(tb, err)
	jws, err := jose.Parse(proof, len(proof))
	require.NoError(tb, err)
	return func() bool { return key.Verify(alg, jws.Signed, jws.Signature) == nil }
}

// turnOf takes n calls of each of so many goroutines, from the i-th on, and returns the
// nanoseconds of one: a goroutine's time, however many there are.
func turnOf(ctx context.Context, goroutines, i, n int, call func(ctx context.Context, i int) error) (float64, error) {
	errs := make([]error, goroutines)
	var all sync.WaitGroup
	start := time.Now()
	for g := range goroutines {
		all.Go(func() {
			for j := i + g*n; j < i+(g+1)*n; j++ {
				if err := call(ctx, j); err != nil {
					errs[g] = err
					return
				}
			}
		})
	}
	all.Wait()
	return float64(time.Since(start)) / float64(n), errors.Join(errs...)
}

// measured is a way under one load: so many tokens in turn, and so many goroutines.
type measured struct {
	way
	column     string
	goroutines int
	next, n    int // of calls: the next one, and how many each goroutine makes in a turn
}

// warm sees every token once, and finds how many calls take a millisecond.
func (m *measured) warm(ctx context.Context, tokens int) error {
	if m.prepare == nil {
		for i := range tokens {
			if err := m.call(ctx, i); err != nil {
				return err
			}
		}
	}
	for m.n = 1; ; m.n *= 2 {
		fastest := math.Inf(1)
		for range 3 { // one of them undisturbed
			ns, err := m.turn(ctx)
			if err != nil {
				return err
			}
			fastest = min(fastest, ns*float64(m.n))
		}
		if fastest > 1e6 {
			return nil
		}
	}
}

func (m *measured) turn(ctx context.Context) (float64, error) {
	from := m.next
	m.next += m.goroutines * m.n
	if m.prepare != nil {
		m.prepare(from, m.goroutines*m.n)
	}
	return turnOf(ctx, m.goroutines, from, m.n, m.call)
}

// bareTurn is that of the bare check, for about as long.
func (m *measured) bareTurn(ctx context.Context) (float64, error) {
	return turnOf(ctx, m.goroutines, 0, 32, func(context.Context, int) error {
		if !m.bare() {
			return errors.New("the bare check refused")
		}
		return nil
	})
}

// loads are the columns: so many different tokens in turn, by so many goroutines.
var loads = []struct {
	column             string
	tokens, goroutines int
}{{"1 token", 1, 1}, {"100 tokens", 100, 1}, {"10,000 tokens", manyTokens, 1}, {"100 tokens, two goroutines", 100, 2}}

// took and bare are what BenchmarkWays has measured, turn by turn.
var (
	took, bare = newResults(), newResults()
	bounds     = map[string]float64{}
)

// BenchmarkWays measures every way under every load, each turn beside one of the bare
// signature check.
func BenchmarkWays(b *testing.B) {
	ctx := b.Context()
	w := newWorld(b, "ES256")
	var all []*measured
	for _, load := range loads {
		if *check && load.tokens > 100 {
			continue // it takes most of the time, and is no other code
		}
		tokens := w.signed(b, load.tokens, nil)
		for _, one := range append(w.ways(b, tokens), w.overNetworks(b, tokens)...) {
			m := &measured{way: one, column: load.column, goroutines: load.goroutines}
			require.NoError(b, m.warm(ctx, load.tokens), "%s, %s", m.name, m.column)
			all = append(all, m)
		}
	}
	b.Run("table", func(b *testing.B) {
		for range *turnsOfWays {
			for _, m := range all {
				ns, err := m.turn(ctx)
				require.NoError(b, err, "%s, %s", m.name, m.column)
				of, err := m.bareTurn(ctx)
				require.NoError(b, err)
				took.put(m.column, m.name, ns)
				bare.put(m.column, m.name, of)
				bounds[m.name] = m.bound
			}
		}
		b.ReportMetric(0, "ns/op") // of all together: it says nothing
	})
}

// printWays prints the Markdown table of BenchmarkWays. With -check, its error names what
// takes more than its bound.
func printWays(check bool) error {
	if len(took.rows) == 0 {
		return nil
	}
	fmt.Printf("\nMedians of %d turns, on: %s. In multiples of the bare signature check; in brackets: time.\n\n", *turnsOfWays, processor())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| \t| %s\t|\n|---\t%s|\n", strings.Join(took.columns, "\t| "), strings.Repeat("|---:\t", len(took.columns)))
	var wrong error
	for _, row := range took.rows {
		fmt.Fprintf(w, "| %s", row)
		for _, column := range took.columns {
			k := key{column, row}
			ratio := medianRatio(took.ns[k], bare.ns[k])
			fmt.Fprintf(w, "\t| %s (%s)", times(ratio), micro(took.time(column, row)))
			// By the fastest turns: those were disturbed the least, however busy the machine is.
			if fastest := slices.Min(took.ns[k]) / slices.Min(bare.ns[k]); check && fastest > bounds[row] {
				wrong = errors.Join(wrong, fmt.Errorf("%s, %s: %.2f times the bare signature check, and %g is the bound", row, column, fastest, bounds[row]))
			}
		}
		fmt.Fprint(w, "\t|\n")
	}
	return errors.Join(w.Flush(), wrong)
}
