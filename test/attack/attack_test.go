// Package attack_test sends what an attacker would send, row by row, and says
// for each what must come back. A row is a valid token or request with one
// thing changed, and it is judged four times: by jwtverify directly, by
// jwtverify again when the verified-token cache has seen it, by issuers.Router,
// and by package middleware over a TCP socket.
//
// Unless a row says otherwise: issuer https://as.example.com/, audience
// https://rs.example.com/, algorithms RS256, PS256, ES256 and EdDSA, profile
// RFC9068, required scope read, default leeway, and the keys r1, p1, e1, ed1.
package attack_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/fips140"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
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
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	issuer   = "https://as.example.com/"
	audience = "https://rs.example.com/"
)

// now is what every verifier's clock shows.
var now = time.Unix(1_800_000_000, 0)

// at is the NumericDate that many seconds after now.
func at(seconds int64) string { return strconv.FormatInt(now.Unix()+seconds, 10) }

// table is every row. The functions are in the files named after what they attack.
// To make the tokens of an attacker, weak cryptography is allowed in FIPS 140-3
// mode too; to judge them it is not.
func table() (rows []row) {
	fips140.WithoutEnforcement(func() {
		rows = slices.Concat(
			okRows(), hdrRows(), serRows(), algRows(), kidRows(), crtRows(), typRows(), embRows(), jsnRows(),
			timRows(), audRows(), issRows(), clmRows(), scpRows(), sigRows(), jwkRows(), resRows(),
			accessTokenRows(), routerRows(),
		)
	})
	return rows
}

func TestTable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	rows := table()
	require.Greater(t, len(rows), 1900, "rows have been lost")
	seen := map[string]bool{}
	for _, r := range rows {
		require.False(t, seen[r.id], "%s is there twice", r.id)
		seen[r.id] = true
		require.Regexp(t, `^[A-Z]{2,3}-[0-9]{3}[a-z0-9.]*$`, r.id)
		require.NotEmpty(t, r.what, r.id)
	}
	for _, r := range rows {
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			h.run(t, r)
		})
	}
}

// row is one attack, or one control that must pass.
type row struct {
	id, what string
	sent     jwt
	request  *request // nil: GET with the token in the Authorization header
	want     verdict
	http     *verdict // over HTTP, where it differs from want

	conf       []func(*jwtverify.Config)
	gate       []func(*middleware.Config)
	need       *scope.Requirement
	verifier   bearergate.Verifier
	source     string // "": the default key set; otherwise a JWK Set
	metadata   string // "": the right one; otherwise the document of the issuer
	early      bool   // it is Verify that says 403
	shortLived bool   // gone before the cache is asked
	noStatic   bool   // a limit of the cache alone
	cached     bool   // keys come from a jwks.Cache, also where source is ""
}

func r(id, what string, sent any, want verdict, opts ...func(*row)) row {
	out := row{id: id, what: what, want: want}
	switch sent := sent.(type) {
	case jwt:
		out.sent = sent
	case request:
		out.sent, out.request = valid(), &sent
	case string:
		out.sent = jwt{literal: sent}
	case nil:
		out.sent = valid()
	default:
		panic(fmt.Sprintf("attack: %s: a %T cannot be sent", id, sent))
	}
	for _, opt := range opts {
		opt(&out)
	}
	return out
}

func conf(f func(*jwtverify.Config)) func(*row) {
	return func(r *row) { r.conf = append(r.conf, f) }
}

func gate(f func(*middleware.Config)) func(*row) {
	return func(r *row) { r.gate = append(r.gate, f) }
}

type ctx = context.Context

func overHTTP(v verdict) func(*row)            { return func(r *row) { r.http = &v } }
func needs(n scope.Requirement) func(*row)     { return func(r *row) { r.need = &n } }
func by(v bearergate.Verifier) func(*row)      { return func(r *row) { r.verifier = v } }
func keys(elements ...fmt.Stringer) func(*row) { return set(keySet(elements...)) }
func set(text string) func(*row)               { return func(r *row) { r.source, r.cached = text, true } }
func metadata(text string) func(*row)          { return func(r *row) { r.metadata, r.cached = text, true } }
func leeway(d time.Duration) func(*row)        { return conf(func(c *jwtverify.Config) { c.Leeway = d }) }
func noLeeway(r *row)                          { conf(func(c *jwtverify.Config) { c.NoLeeway = true })(r) }
func fetched(r *row)                           { r.cached = true }
func early(r *row)                             { r.early = true }
func shortLived(r *row)                        { r.shortLived = true }
func cacheOnly(r *row)                         { r.noStatic = true }

// verdict is what must come back: the status and the error code over HTTP, the
// sentinel and the Reason from Verify.
type verdict struct {
	status int
	code   string
	reason bearergate.Reason
	wire   bool // net/http itself answers, in its own words
}

var (
	ok      = verdict{status: 200}
	noToken = verdict{status: 401, reason: bearergate.ReasonNoToken}
	// A credential of a scheme that the gate does not take, and knows.
	unsupported = verdict{status: 401, reason: bearergate.ReasonBinding}

	badRequest = verdict{status: 400, code: "invalid_request", reason: bearergate.ReasonBadRequest}
	noScope    = verdict{status: 403, code: "insufficient_scope", reason: bearergate.ReasonScope}
	down       = verdict{status: 503, reason: bearergate.ReasonKeysUnavailable}
	broken     = verdict{status: 500, reason: bearergate.ReasonInternal}
	startup    = verdict{reason: bearergate.ReasonConfig} // New refuses
)

// bad is 401 invalid_token.
func bad(reason bearergate.Reason) verdict {
	return verdict{status: 401, code: "invalid_token", reason: reason}
}

func wire(status int) verdict { return verdict{status: status, wire: true} }

const (
	algorithm    = bearergate.ReasonAlgorithm
	aud          = bearergate.ReasonAudience
	binding      = bearergate.ReasonBinding
	expired      = bearergate.ReasonExpired
	iss          = bearergate.ReasonIssuer
	malformed    = bearergate.ReasonMalformed
	missingClaim = bearergate.ReasonMissingClaim
	notYetValid  = bearergate.ReasonNotYetValid
	policy       = bearergate.ReasonPolicy
	signature    = bearergate.ReasonSignature
	tooLarge     = bearergate.ReasonTooLarge
	typ          = bearergate.ReasonType
	unknownKey   = bearergate.ReasonUnknownKey
)

// sentinel is the one of the seven that belongs to the status and code.
func (v verdict) sentinel() error {
	switch {
	case v.status == 200:
		return nil
	case v.status == 400:
		return bearergate.ErrInvalidRequest
	case v == unsupported:
		return bearergate.ErrInvalidToken
	case v.status == 401 && v.code == "":
		return bearergate.ErrMissingToken
	case v.status == 401 && v.code == "invalid_token":
		return bearergate.ErrInvalidToken
	case v.status == 403:
		return bearergate.ErrInsufficientScope
	case v.status == 503:
		return bearergate.ErrUnavailable
	case v.status == 500, v.status == 0:
		return bearergate.ErrMisconfigured
	}
	panic(fmt.Sprintf("attack: no sentinel for %+v", v))
}

func requireError(t *testing.T, v verdict, err error) {
	t.Helper()
	if v.status == 200 {
		require.NoError(t, err)
		return
	}
	kit.RequireError(t, err, v.sentinel(), v.reason)
}

// house is where the rows run: one HTTP server, and the verifiers that many rows share.
type house struct {
	server *httptest.Server
	routes sync.Map // path → http.Handler
	paths  atomic.Int64

	mu     sync.Mutex // guards shared
	shared map[string]*jwtverify.Verifier

	refusals sync.Map // kind of refusal → the one text that it may have
}

func newHouse(t *testing.T) *house {
	h := &house{shared: map[string]*jwtverify.Verifier{}}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, found := h.routes.Load(r.URL.Path)
		if !found {
			http.NotFound(w, r)
			return
		}
		handler.(http.Handler).ServeHTTP(w, r)
	}))
	t.Cleanup(h.server.Close)
	return h
}

func baseConfig() jwtverify.Config {
	return jwtverify.Config{
		Issuer:     issuer,
		Audiences:  []string{audience},
		Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"},
		Profile:    jwtverify.RFC9068,
		Now:        func() time.Time { return now },
		Hooks: jwtverify.Hooks{Verified: func(ctx context.Context, e jwtverify.VerifyEvent) {
			if seen, ok := ctx.Value(eventKey{}).(*jwtverify.VerifyEvent); ok {
				*seen = e
			}
		}},
	}
}

type eventKey struct{}

// sourcesOf returns the sources of keys that the row is run with.
func sourcesOf(t *testing.T, r row) map[string]jwks.Source {
	t.Helper()
	text := r.source
	if text == "" {
		text = defaultSet()
	}
	sources := map[string]jwks.Source{}
	if r.metadata == "" && !r.noStatic {
		static, err := jwks.Static([]byte(text))
		if r.want.status == 503 && r.source != "" {
			requireError(t, startup, err)
		} else {
			require.NoError(t, err)
			sources["static"] = static
		}
	}
	if r.cached {
		cache, err := jwks.New(jwks.Config{Issuer: issuer, HTTPClient: newServerOf(t, r.metadata, text).client()})
		require.NoError(t, err)
		sources["cache"] = cache
	}
	return sources
}

func (h *house) run(t *testing.T, r row) {
	c := baseConfig()
	if r.want == startup {
		static, err := jwks.Static([]byte(defaultSet()))
		require.NoError(t, err)
		c.Keys = static
		for _, f := range r.conf {
			f(&c)
		}
		v, err := jwtverify.New(c)
		require.Nil(t, v)
		requireError(t, startup, err)
		return
	}
	token := r.sent.token()
	if r.verifier != nil {
		if r.request == nil {
			verified, err := bearergate.Verify(t.Context(), r.verifier, token)
			requireError(t, r.want, err)
			require.Equal(t, err == nil, verified != nil)
			viaRouters(t, r, c, r.verifier, token)
		}
		h.overHTTP(t, r, r.verifier, token)
		return
	}
	for name, source := range sourcesOf(t, r) {
		c := baseConfig()
		c.Keys = source
		for _, f := range r.conf {
			f(&c)
		}
		plain := len(r.conf) == 0 && !r.cached
		v := h.verifier(t, c, plain)
		c.DisableCache, c.CacheEntries, c.CacheBytes = true, 0, 0
		uncached := h.verifier(t, c, plain)
		t.Run(name, func(t *testing.T) {
			if r.request == nil {
				direct(t, r, v, uncached, token)
				viaRouters(t, r, c, uncached, token)
				viaRouters(t, r, c, v, token)
			} else if values, ok := r.request.authorization(token); ok && !r.want.wire {
				viaMetadata(t, r, v, values)
				router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{c.Issuer: v}, MaxTokenBytes: c.MaxTokenBytes})
				require.NoError(t, err)
				viaMetadata(t, r, router, values)
			}
			h.overHTTP(t, r, v, token)
		})
	}
}

// verifier returns one made from c, the same one for all plain rows: what one
// of them leaves in the cache must not change what another one gets.
func (h *house) verifier(t *testing.T, c jwtverify.Config, plain bool) *jwtverify.Verifier {
	t.Helper()
	name := fmt.Sprint(c.DisableCache)
	if plain {
		h.mu.Lock()
		defer h.mu.Unlock()
		if v := h.shared[name]; v != nil {
			return v
		}
	}
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	if plain {
		h.shared[name] = v
	}
	return v
}

// direct asks Verify twice, and a verifier without cache once: all three must
// say the same, and the second answer to a good token must come from the cache.
func direct(t *testing.T, r row, v, uncached *jwtverify.Verifier, token string) {
	t.Helper()
	var first *bearergate.Token
	need := scope.All("read")
	if r.need != nil {
		need = *r.need
	}
	for i, v := range []*jwtverify.Verifier{v, v, uncached} {
		var event jwtverify.VerifyEvent
		verified, err := v.Verify(context.WithValue(t.Context(), eventKey{}, &event), token)
		want := r.want
		if want.status == 403 && !r.early {
			require.NoError(t, err)
			requireError(t, want, verified.Authorize(need))
			want = ok
		}
		requireError(t, want, err)
		if err != nil {
			var e *bearergate.Error
			require.ErrorAs(t, err, &e)
		}
		if i == 2 {
			kit.RequireExplained(t, v.Explain(t.Context(), token), err, token)
		}
		switch {
		case i != 1 || r.shortLived:
			require.False(t, event.Cached && i != 1)
		case want.status == 200:
			require.True(t, event.Cached)
		}
		require.Equal(t, err, event.Err)
		require.Same(t, verified, event.Token)
		if err != nil {
			require.Nil(t, verified)
			continue
		}
		switch {
		case verified.Bound(): // nobody has proved anything
			requireError(t, bad(binding), verified.Authorize(need))
		case r.want == ok && r.http == nil:
			require.NoError(t, verified.Authorize(need))
		}
		if i == 0 {
			first = verified
		}
		require.Equal(t, first, verified)
	}
}

// viaMetadata is the way of a gRPC interceptor.
func viaMetadata(t *testing.T, r row, v bearergate.Verifier, values []string) {
	t.Helper()
	token, err := bearergate.BearerToken(values)
	if err == nil {
		_, err = bearergate.Verify(t.Context(), v, token)
	}
	requireError(t, r.want, err)
}

var (
	b64token  = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
	challenge = regexp.MustCompile(`^Bearer realm="api"(, error="([a-z_]+)", error_description="[ !#-\[\]-~]+"(, scope="[!#-\[\]-~]+( [!#-\[\]-~]+)*")?)?$`)
)

func (h *house) overHTTP(t *testing.T, r row, v bearergate.Verifier, token string) {
	t.Helper()
	// What Verify finds malformed may not even be the credentials of RFC 6750 §2.1.
	want := r.want
	switch {
	case r.http != nil:
		want = *r.http
	case r.request == nil && strings.ContainsFunc(token, func(c rune) bool { return c < ' ' || c == 0x7f }):
		want = wire(400)
	case r.request == nil && token != "" && !b64token.MatchString(token), r.request == nil && token == "":
		want = badRequest
	}

	var ran atomic.Int64
	path := "/" + strconv.FormatInt(h.paths.Add(1), 10)
	var config middleware.Config
	var decided []middleware.DecisionEvent
	config.Hooks.Decided = func(_ context.Context, e middleware.DecisionEvent) { decided = append(decided, e) }
	for _, f := range r.gate {
		f(&config)
	}
	if promises, ok := v.(*jwtverify.Verifier); ok {
		v = bearergate.VerifierFunc(promises.Verify) // New compares its Confirmations with the bindings; here they may differ
	}
	g, err := middleware.New(v, config)
	require.NoError(t, err)
	need := scope.All("read")
	if r.need != nil {
		need = *r.need
	}
	h.routes.Store(path, g.Require(need)(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ran.Add(1)
		if token, found := bearergate.FromContext(req.Context()); !found || token.Issuer() == "" {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.WriteString(w, "in")
	})))
	defer h.routes.Delete(path)

	req := request{lines: []string{"Authorization: Bearer {t}"}}
	if r.request != nil {
		req = *r.request
	}
	resp, body := h.send(t, req.text(path, token), req.method)
	require.Equal(t, want.status, resp.StatusCode)

	if want.status == 200 {
		require.EqualValues(t, 1, ran.Load(), "the handler did not run")
		require.Empty(t, resp.Header["Www-Authenticate"])
		require.Len(t, decided, 1)
		require.NoError(t, decided[0].Err)
		return
	}
	require.Zero(t, ran.Load(), "the handler ran")
	if want.wire {
		return
	}
	require.Len(t, decided, 1)
	requireError(t, want, decided[0].Err)

	// req: R6750-05, R6750-06, R6750-07, R6750-08, R6750-14 for every row, at once
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	text := "" // of the challenge
	if want.status < 500 {
		schemes := []string{resp.Header.Get("WWW-Authenticate")}
		if config.Bindings != nil {
			schemes = append(schemes, `DPoP realm="api"`)
		}
		require.Equal(t, schemes, resp.Header["Www-Authenticate"])
		text = resp.Header.Get("WWW-Authenticate")
		found := challenge.FindStringSubmatch(text)
		require.NotNil(t, found, "the challenge is %q", text)
		require.Equal(t, want.code, found[2])
		require.Equal(t, want.status == 403 && len(need.Scopes()) > 0, found[3] != "")
	} else {
		require.Empty(t, resp.Header["Www-Authenticate"])
	}
	if want.status == 503 {
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.True(t, 1 <= seconds && seconds <= 60, "Retry-After is %d", seconds)
	}
	// Whatever was sent, refusals of a kind are one text: nothing is reflected and nothing told.
	if req.method != http.MethodHead && r.need == nil {
		revoked := want.reason == bearergate.ReasonRevoked || want.reason == bearergate.ReasonInactive
		kind := fmt.Sprint(want.status, want.code, want.reason == expired, revoked)
		first, _ := h.refusals.LoadOrStore(kind, text+"\n"+body)
		require.Equal(t, first, text+"\n"+body)
	}
	for name := range resp.Header {
		require.Contains(t, []string{"Cache-Control", "Content-Type", "Www-Authenticate", "Retry-After", "Date", "Content-Length", "Connection"}, name)
	}
}

func (h *house) send(t *testing.T, text, method string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", h.server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	go func() { _, _ = io.WriteString(conn, text) }() // the server may answer before it has read everything
	if method == "" {
		method = http.MethodGet
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	require.NoError(t, err)
	return resp, body.String()
}

// request is the text of a request; {t} in it stands for the token.
type request struct {
	method, query string
	lines         []string // of the head, after Host
	body          string
}

func lines(lines ...string) request        { return request{lines: lines} }
func (r request) by(method string) request { r.method = method; return r }
func (r request) ask(query string) request { r.query = "?" + query; return r }
func (r request) with(body string) request { r.body = body; return r }
func (r request) text(path, token string) string {
	var b strings.Builder
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\n", method, path, r.query)
	for _, line := range r.lines {
		b.WriteString(line + "\r\n")
	}
	body := strings.ReplaceAll(r.body, "{t}", token)
	if body != "" && !slices.ContainsFunc(r.lines, func(l string) bool { return strings.HasPrefix(l, "Transfer-Encoding") }) {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return strings.ReplaceAll(b.String(), "{t}", token) + "\r\n" + body
}

// authorization returns the values of Authorization if the request has nothing else.
func (r request) authorization(token string) (values []string, ok bool) {
	for _, line := range r.lines {
		value, found := strings.CutPrefix(line, "Authorization:")
		if !found || strings.ContainsAny(value, "\r\n") {
			return nil, false
		}
		values = append(values, strings.ReplaceAll(strings.Trim(value, " \t"), "{t}", token))
	}
	return values, true
}
