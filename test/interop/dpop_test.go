package interop_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/stretchr/testify/require"
)

// foreigner is a client whose proofs a library of others makes: as/client.mjs.
type foreigner struct {
	library, alg string

	stdin io.Writer
	lines *bufio.Scanner
	kill  func()
}

// command is what a foreigner is to do, by the names of as/client.mjs.
type command map[string]any

// answer is what came of it.
type answer struct {
	Error      string
	Thumbprint string
	Token      struct {
		Value string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	Attempts []attempt
}

// attempt is a request that a foreigner has sent.
type attempt struct {
	Status       int
	Nonce        string // that came with the answer
	Authenticate string
	Proof        string // that was sent
	Body         string
	Challenges   []challenge // as the library reads Authenticate, if it does
}

type challenge struct {
	Scheme     string
	Parameters map[string]string
}

// newForeigner starts a client that makes proofs with a library of others.
func newForeigner(t *testing.T, library, alg string, app *client) *foreigner {
	t.Helper()
	roots := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(roots, []byte(authority.server["ca"]), 0o600))
	cmd := exec.Command("node", "client.mjs")
	cmd.Dir, cmd.Env = "as", append(os.Environ(), "NODE_EXTRA_CA_CERTS="+roots)
	var stderr bytes.Buffer // to be read after the end
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill := func() { _ = cmd.Process.Kill() }
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		defer time.AfterFunc(startTimeout, kill).Stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the client said:\n%s", stderr.String())
		}
	})
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	f := &foreigner{library: library, alg: alg, stdin: stdin, lines: lines, kill: kill}
	f.write(t, map[string]any{"library": library, "alg": alg, "issuer": shared.HTTPS, "id": app.id, "secret": app.secret})
	return f
}

func (f *foreigner) write(t *testing.T, line any) {
	t.Helper()
	text, err := json.Marshal(line)
	require.NoError(t, err)
	_, err = f.stdin.Write(append(text, '\n'))
	require.NoError(t, err)
}

// do has it do something.
func (f *foreigner) do(t *testing.T, c command) answer {
	t.Helper()
	defer time.AfterFunc(startTimeout, f.kill).Stop()
	f.write(t, c)
	require.True(t, f.lines.Scan(), "the client has ended: %v", f.lines.Err())
	var a answer
	require.NoError(t, json.Unmarshal(f.lines.Bytes(), &a))
	require.Empty(t, a.Error)
	return a
}

// token gets one from the real server, for the key that proofs are made with.
func (f *foreigner) token(t *testing.T, kind string) (string, []attempt) {
	t.Helper()
	a := f.do(t, command{"do": "token", "parameters": map[string]string{"resource": audience(kind), "scope": "read"}})
	require.Equal(t, "dpop", strings.ToLower(a.Token.Type))
	return a.Token.Value, a.Attempts
}

// send has it send a request, and returns how each attempt was decided.
func (f *foreigner) send(t *testing.T, a *dpopAPI, c command) ([]verdict, []attempt) {
	t.Helper()
	name := rand.Text()
	c = maps.Clone(c)
	c["name"] = name
	attempts := f.do(t, c).Attempts
	var verdicts []verdict
	for i, got := range attempts {
		reason, _ := a.reasons.LoadAndDelete(fmt.Sprintf("%s-%d", name, i))
		v := verdict{Status: got.Status}
		v.Reason, _ = reason.(bearergate.Reason)
		verdicts = append(verdicts, v)
	}
	return verdicts, attempts
}

// dpopAPI is an API that looks for proofs.
type dpopAPI struct {
	*api
	verifier   bearergate.Verifier
	algorithms []string     // of proofs
	later      atomic.Int64 // how far the clock of proofs and nonces is ahead, a time.Duration
}

// serveDPoP starts an API for bound tokens of a kind, with the default algorithms unless some
// are given. With nonces, it demands them.
func serveDPoP(t *testing.T, kind string, nonces bool, algorithms ...string) *dpopAPI {
	t.Helper()
	if algorithms == nil {
		algorithms = dpop.DefaultAlgorithms()
	}
	a := &dpopAPI{algorithms: algorithms}
	if kind == "opaque" {
		a.verifier = introspector(t, introspect.Config{Issuer: shared.HTTPS, Auth: basic(), HTTPClient: authority.client(), Confirmations: []string{"jkt"}})
	} else {
		a.verifier = verifier(t, jwtverify.Config{Issuer: shared.HTTPS, Audiences: []string{audience(kind)}, HTTPClient: authority.client(),
			Profile: jwtverify.RFC9068, Confirmations: []string{"jkt"}})
	}
	certificate, err := tls.X509KeyPair([]byte(authority.server["cert"]), []byte(authority.server["key"]))
	require.NoError(t, err)
	a.api = serveAt(t, a.verifier, &tls.Config{Certificates: []tls.Certificate{certificate}}, func(url string) middleware.Config {
		c := dpop.Config{BaseURLs: []string{url}, Algorithms: algorithms,
			Now: func() time.Time { return time.Now().Add(time.Duration(a.later.Load())) }}
		if nonces {
			c.Nonces, err = dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(rand.Text() + rand.Text())}})
			require.NoError(t, err)
		}
		proofs, err := dpop.New(c)
		require.NoError(t, err)
		return middleware.Config{Bindings: []bearergate.Binding{proofs}}
	})
	return a
}

// jkt is that of the token, as the verifier understands it.
func (a *dpopAPI) jkt(t *testing.T, token string) string {
	t.Helper()
	verified, err := a.verifier.Verify(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, []string{"jkt"}, verified.Confirmation().Members())
	jkt, _ := verified.Confirmation().Value("jkt")
	return jkt
}

// requireSent has a client send something, and compares how each attempt was decided and
// what its sender was told.
func requireSent(t *testing.T, f *foreigner, a *dpopAPI, c command, want ...verdict) []attempt {
	t.Helper()
	verdicts, attempts := f.send(t, a, c)
	require.Equal(t, want, verdicts, "%v", attempts)
	for i, got := range attempts {
		if want[i] == accepted {
			require.Empty(t, got.Authenticate)
			var who identity
			require.NoError(t, json.Unmarshal([]byte(got.Body), &who))
			require.Equal(t, shared.HTTPS, who.Issuer)
			continue
		}
		used, other := "DPoP", "Bearer"
		if c["bearer"] == true {
			used, other = other, used
		}
		code := codes[want[i].Reason]
		require.Contains(t, got.Authenticate, used+` realm="api"`)
		require.Contains(t, got.Authenticate, other+` realm="api"`)
		require.Contains(t, got.Authenticate, `error="`+code+`"`)
		require.Equal(t, 1, strings.Count(got.Authenticate, "error="), got.Authenticate)
		if f.library == "oauth4webapi" && c["do"] == "request" { // it reads them
			require.Len(t, got.Challenges, 2)
			for _, challenge := range got.Challenges {
				if challenge.Scheme == strings.ToLower(used) {
					require.Equal(t, code, challenge.Parameters["error"])
				}
				if challenge.Scheme == "dpop" {
					require.ElementsMatch(t, a.algorithms, strings.Fields(challenge.Parameters["algs"]))
				}
			}
		}
		require.Equal(t, want[i].Reason == bearergate.ReasonNonce, got.Nonce != "")
		if token, ok := c["token"].(string); ok {
			require.NotContains(t, got.Authenticate+got.Body, token)
		}
	}
	return attempts
}

// codes are the error codes of challenges (RFC 6750 §3.1, RFC 9449 §7.1).
var codes = map[bearergate.Reason]string{
	bearergate.ReasonBinding: "invalid_token",
	bearergate.ReasonNonce:   "use_dpop_nonce",
	bearergate.ReasonProof:   "invalid_dpop_proof",
	bearergate.ReasonReplay:  "invalid_dpop_proof",
	bearergate.ReasonScope:   "insufficient_scope",
}

// Proofs of clients that others have written open an API for tokens that a real server has
// bound to their keys, and nothing else does.
//
// req: R9449-03, R9449-04, R9449-08, R9449-09, R9449-12, R9449-13, R9449-14, R9449-16, R9449-18, R9449-19, R9449-20, R9449-21, R9449-30, R9449-42
func TestDPoPClients(t *testing.T) {
	for _, tc := range []struct{ library, alg string }{
		{"oauth4webapi", "ES256"},
		{"oauth4webapi", "Ed25519"},
		{"oauth4webapi", "EdDSA"},
		{"oauth4webapi", "PS256"},
		{"oauth4webapi", "RS256"},
		{"dpop", "ES256"},
		{"dpop", "Ed25519"},
		{"dpop", "PS256"},
		{"dpop", "RS256"},
	} {
		t.Run(tc.library+" "+tc.alg, func(t *testing.T) {
			t.Parallel()
			f := newForeigner(t, tc.library, tc.alg, appDPoP)
			for _, kind := range []string{"es256", "opaque"} {
				t.Run(kind, func(t *testing.T) { requireProofs(t, f, kind, serveDPoP(t, kind, false), accepted) })
				t.Run(kind+", nonces demanded", func(t *testing.T) {
					requireProofs(t, f, kind, serveDPoP(t, kind, true), refused(bearergate.ReasonNonce), accepted)
				})
			}
		})
	}
}

// requireProofs sends what is right and what is wrong. first is how the attempts of the
// first request are decided: with nonces, the library sends a second one by itself.
func requireProofs(t *testing.T, f *foreigner, kind string, a *dpopAPI, first ...verdict) {
	t.Helper()
	token, _ := f.token(t, kind)
	require.Equal(t, f.do(t, command{"do": "thumbprint"}).Thumbprint, a.jkt(t, token))
	get := func(path string, more command) command {
		c := command{"do": "request", "method": "GET", "url": a.url + path, "token": token}
		maps.Copy(c, more)
		return c
	}
	attempts := requireSent(t, f, a, get("/read", nil), first...)
	require.Equal(t, f.alg, header(attempts[0].Proof).Alg)
	second, _ := f.token(t, kind)
	unbound := shared.token(t, grant{kind: kind, over: authority.client()})
	elsewhere := strings.Replace(a.url, "127.0.0.1", "localhost", 1)
	for _, tc := range []struct {
		name string
		command
		want verdict
	}{
		{"a new proof, with the nonce that it has", get("/read", nil), accepted},
		{"the same proof", command{"do": "again"}, refused(bearergate.ReasonReplay)},
		{"with a query", get("/read?of=%20me&at=1", nil), accepted},
		{"another method", get("/read", command{"method": "POST"}), accepted},
		{"a proof for another method", get("/read", command{"as": "POST"}), refused(bearergate.ReasonProof)},
		{"a proof for another path", get("/admin", command{"to": a.url + "/read"}), refused(bearergate.ReasonProof)},
		{"a proof for another host", get("/read", command{"url": elsewhere + "/read", "to": a.url + "/read"}), refused(bearergate.ReasonProof)},
		{"a proof for another token of the same key", get("/read", command{"beside": second}), refused(bearergate.ReasonProof)},
		{"a right proof, but not the scope", get("/admin", nil), verdict{http.StatusForbidden, bearergate.ReasonScope}},
		{"as a Bearer token", get("/read", command{"bearer": true}), refused(bearergate.ReasonBinding)},
		{"an unbound token with a proof", get("/read", command{"token": unbound}), refused(bearergate.ReasonBinding)},
		{"an unbound token", get("/read", command{"token": unbound, "bearer": true}), accepted},
	} {
		require.True(t, t.Run(tc.name, func(t *testing.T) { requireSent(t, f, a, tc.command, tc.want) }))
	}
	// A thief with a key of its own, who has also got a nonce.
	f.do(t, command{"do": "forget"})
	own, _ := f.token(t, kind)
	requireSent(t, f, a, get("/read", command{"token": own}), first...)
	requireSent(t, f, a, get("/read", nil), refused(bearergate.ReasonBinding))
}

// The libraries and this one write addresses in the same way, or understand each other.
//
// req: R9449-09
func TestDPoPAddresses(t *testing.T) {
	for _, library := range []string{"oauth4webapi", "dpop"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			f := newForeigner(t, library, "ES256", appDPoP)
			a := serveDPoP(t, "es256", false)
			token, _ := f.token(t, "es256")
			for _, path := range []string{
				"/read/a b", "/read/ä/€/😀", "/read/%C3%A4", "/read/%c3%a4", "/read/%7Ea%41", "/read/a%2Fb", "/read/a%2fb", "/read/a%252Fb",
				"/read/!$&'()*+,;=:@", "/read/[a]|^`{b}\"<>", "/read/a/../b", "/read/a/%2E%2E/b", "/read/./a/", "/read/a\\b", "/read/a;b=c",
				"/read/a?b=/../c&d=%zz#e", "/read/%00", "/read/a%3Fb%23c",
			} {
				requireSent(t, f, a, command{"do": "request", "method": "GET", "url": a.url + path, "token": token}, accepted)
			}
		})
	}
}

// A client goes on while its nonces grow old: it takes a new one in time, and after a pause
// asks twice.
//
// req: R9449-10, R9449-21, R9449-37
func TestDPoPNonceLife(t *testing.T) {
	for _, library := range []string{"oauth4webapi", "dpop"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			f := newForeigner(t, library, "ES256", appDPoP)
			a := serveDPoP(t, "es256", true)
			token, _ := f.token(t, "es256")
			read := command{"do": "request", "method": "GET", "url": a.url + "/read", "token": token}
			requireSent(t, f, a, read, refused(bearergate.ReasonNonce), accepted)
			for range 4 { // twice the life of a nonce
				a.later.Add(int64(dpop.DefaultNonceLife/2 + 10*time.Second))
				require.NotEmpty(t, requireSent(t, f, a, read, accepted)[0].Nonce)
				require.Empty(t, requireSent(t, f, a, read, accepted)[0].Nonce)
			}
			a.later.Add(int64(2 * dpop.DefaultNonceLife))
			requireSent(t, f, a, read, refused(bearergate.ReasonNonce), accepted)
		})
	}
}

// Where the authorization server demands nonces too, each has its own.
//
// req: R9449-36
func TestDPoPNoncesOfBoth(t *testing.T) {
	for _, library := range []string{"oauth4webapi", "dpop"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			f := newForeigner(t, library, "ES256", appNonce)
			a := serveDPoP(t, "es256", true)
			token, attempts := f.token(t, "es256")
			require.Len(t, attempts, 2)
			require.Equal(t, http.StatusBadRequest, attempts[0].Status)
			require.Equal(t, http.StatusOK, attempts[1].Status)
			servers := attempts[0].Nonce
			require.NotEmpty(t, servers)
			read := command{"do": "request", "method": "GET", "url": a.url + "/read", "token": token}
			requireSent(t, f, a, read, refused(bearergate.ReasonNonce), accepted)
			requireSent(t, f, a, read, accepted)
			_, attempts = f.token(t, "es256")
			require.Len(t, attempts, 1, "it still has the nonce of the server")
			if library == "dpop" { // which can be made to take the wrong one
				read["nonce"] = servers
				requireSent(t, f, a, read, refused(bearergate.ReasonNonce))
			}
		})
	}
}

// What is not among the default algorithms is refused, and accepted where it is configured.
//
// req: R9449-05
func TestDPoPAlgorithmOnRequest(t *testing.T) {
	t.Parallel()
	f := newForeigner(t, "oauth4webapi", "ES384", appDPoP)
	token, _ := f.token(t, "es256")
	for want, a := range map[verdict]*dpopAPI{
		refused(bearergate.ReasonProof): serveDPoP(t, "es256", false),
		accepted:                        serveDPoP(t, "es256", false, "ES256", "ES384"),
	} {
		requireSent(t, f, a, command{"do": "request", "method": "GET", "url": a.url + "/read", "token": token}, want)
	}
}
