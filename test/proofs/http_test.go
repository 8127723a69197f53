package proofs_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

// api is a service whose routes are protected by DPoP, over a socket.
type api struct {
	*httptest.Server
	entered atomic.Int32
	known   atomic.Pointer[bearergate.Token] // of the last request that entered
}

// serve runs a service behind a gate. Its routes: /a/b needs the scope read, /optional may
// be called by strangers, /bound demands a bound token.
func serve(t testing.TB, v bearergate.Verifier, c dpop.Config) *api {
	t.Helper()
	a := &api{}
	a.Server = httptest.NewUnstartedServer(nil)
	c.BaseURLs = []string{"http://" + a.Listener.Addr().String()}
	p, err := dpop.New(c)
	require.NoError(t, err)
	gate, err := middleware.New(v, middleware.Config{Bindings: []bearergate.Binding{p}})
	require.NoError(t, err)
	router := gate.NewRouter()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.entered.Add(1)
		token, _ := bearergate.FromContext(r.Context())
		a.known.Store(token)
	})
	router.Handle("/a/b", scope.All("read"), h)
	router.Handle("/write", scope.All("write"), h)
	router.Optional("/optional", scope.All("read"), h)
	router.Handle("/bound", scope.All("read"), h, middleware.Bound())
	a.Config.Handler = kit.Built(t, router)
	a.Start()
	t.Cleanup(a.Close)
	return a
}

// send sends a request of a scene.
func send(t testing.TB, s proofs.Scene, sent proofs.Sent) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), s.Method, s.URL, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", sent.Scheme+" "+sent.Token)
	r.Header["Dpop"] = sent.Proofs
	res, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// challenges are the WWW-Authenticate values by their scheme.
func challenges(t testing.TB, res *http.Response) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, line := range res.Header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(line, " ")
		require.NotContains(t, found, scheme, "two challenges of one scheme")
		found[scheme] = line
	}
	return found
}

// codeOf is the error of a challenge for why a proof is refused.
var codeOf = map[bearergate.Reason]string{bearergate.ReasonBinding: "invalid_token", bearergate.ReasonProof: "invalid_dpop_proof",
	bearergate.ReasonReplay: "invalid_dpop_proof", bearergate.ReasonNonce: "use_dpop_nonce", bearergate.ReasonExpired: "invalid_token"}

// requireRefused asserts the answer of RFC 9449 §7.1: an error in the challenge of the
// scheme that was used, and nothing of what was sent.
//
// req: R9449-16, R9449-17, R9449-19, R9449-21, R9449-30
func requireRefused(t testing.TB, res *http.Response, body string, sent proofs.Sent, want bearergate.Reason) {
	t.Helper()
	require.Equal(t, 401, res.StatusCode)
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	found := challenges(t, res)
	require.Len(t, found, 2)
	require.Contains(t, found["DPoP"], `algs="ES256 Ed25519 EdDSA PS256 RS256"`)
	used, other := "DPoP", "Bearer"
	if sent.Scheme == "Bearer" {
		used, other = other, used
	}
	require.Contains(t, found[used], `error="`+codeOf[want]+`"`)
	require.NotContains(t, found[other], "error")
	nonces := res.Header.Values("DPoP-Nonce")
	if want == bearergate.ReasonNonce {
		require.Len(t, nonces, 1)
	} else {
		require.Empty(t, nonces)
	}
	for _, proof := range sent.Proofs { // W2-162
		for part := range strings.SplitSeq(proof, ".") {
			if len(part) >= 12 {
				require.NotContains(t, body+strings.Join(res.Header.Values("WWW-Authenticate"), " "), part[:12])
			}
		}
	}
}

// tokens issues JWTs and opaque tokens that are bound as a row says.
type tokens struct {
	as *authtest.Server
	// issue returns a token with these members of cnf, a new one each time.
	issue    func(t testing.TB, cnf map[string]any) string
	verifier bearergate.Verifier
}

func claims(t testing.TB, cnf map[string]any) authtest.Claims {
	t.Helper()
	c := authtest.Claims{Subject: "alice", Scopes: scope.Of("read")}
	if cnf != nil {
		c.Confirmation = map[string][]byte{}
		for name, value := range cnf {
			text, err := json.Marshal(value)
			require.NoError(t, err)
			c.Confirmation[name] = text
		}
	}
	return c
}

func jwts(t testing.TB) tokens {
	t.Helper()
	as := authtest.New(t)
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"jkt"}})
	require.NoError(t, err)
	return tokens{as, func(t testing.TB, cnf map[string]any) string { return as.Token(claims(t, cnf)) }, v}
}

func opaque(t testing.TB) tokens {
	t.Helper()
	as := authtest.New(t)
	c, err := introspect.New(introspect.Config{Endpoint: as.URL("/introspect"), Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		Auth: introspect.BasicAuth("api", "secret"), Confirmations: []string{"jkt"}})
	require.NoError(t, err)
	return tokens{as, func(t testing.TB, cnf map[string]any) string { return as.Opaque(claims(t, cnf)) }, c}
}

// Every row over HTTP, with JWTs and with opaque tokens, each twice: a token that is in a
// cache opens no more than before (W2-157, W2-158).
//
// req: R9449-43
func TestHTTP(t *testing.T) {
	for name, made := range map[string]tokens{"JWT": jwts(t), "opaque": opaque(t)} {
		a := serve(t, made.verifier, dpop.Config{})
		scene := proofs.NewScene(t, "GET", a.URL+"/a/b")
		for _, row := range proofs.Rows() {
			t.Run(name+" "+row.Name, func(t *testing.T) {
				s := scene
				s.T = t
				s.Token = made.issue(t, row.Cnf(s))
				for range 2 {
					before := a.entered.Load()
					sent := row.Make(s)
					res, body := send(t, s, sent)
					if row.Want == "" {
						require.Equal(t, 200, res.StatusCode, body)
						require.Equal(t, row.Cnf(s) != nil, a.known.Load().Proven())
						continue
					}
					requireRefused(t, res, body, sent, row.Want)
					require.Equal(t, before, a.entered.Load(), "the handler ran")
				}
			})
		}
	}
}

// serveOnce has a handler answer a request that is written as it is on the wire.
func serveOnce(t testing.TB, h http.Handler, raw string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	require.NoError(t, err)
	r = r.WithContext(t.Context())
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
