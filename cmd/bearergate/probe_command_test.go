package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// outcome is what somebody sees of a run of the command.
type outcome struct {
	code           int
	stdout, stderr string
}

// arguments are the flags that say what the configuration of the scene says, with the
// secret on standard input.
func (s *scene) arguments(more ...string) []string {
	return append([]string{"probe", "-issuer", s.config.issuer, "-audience", probeAudience, "-client-id", probeClient, "-client-secret-file", "-",
		"-scope", s.config.scope, "-resource", probeAudience, "-url", s.config.url, "-forbidden-url", s.config.forbiddenURL}, more...)
}

// inProcess runs the command as main does.
func inProcess(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), newEnv(strings.NewReader(stdin), &stdout, &stderr, time.Now), args)
	return outcome{code, stdout.String(), stderr.String()}
}

func TestProbeCommand(t *testing.T) {
	s := newScene(t, setup{live: true})
	file := filepath.Join(t.TempDir(), "bearergate.prom")
	got := inProcess(t, probeSecret+"\n", s.arguments("-revoke", "-poll", "10ms", "-name", "orders", "-prometheus", file)...)
	require.Equal(t, exitOK, got.code, got.stdout+got.stderr)
	require.Empty(t, got.stderr)
	require.Contains(t, got.stdout, "\n10 ok, 0 warning, 0 failed, 0 unknown, 1 skipped\n")

	metrics, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, line := range []string{
		`^bearergate_probe_success\{probe="orders",step="discovery"\} 1$`,
		`^bearergate_probe_success\{probe="orders",step="revocation"\} 1$`,
		`^bearergate_probe_duration_seconds\{probe="orders",step="accepted"\} 0\.\d+$`,
		`^bearergate_probe_skew_seconds\{probe="orders",server="api"\} -?\d`,
		`^bearergate_probe_revocation_seconds\{probe="orders"\} 0\.\d+$`,
		`^bearergate_probe_exit_code\{probe="orders"\} 0$`,
		`^bearergate_probe_last_run_timestamp_seconds\{probe="orders"\} \d{10}(\.\d+)?$`,
	} {
		require.Regexp(t, `(?m)`+line, string(metrics))
	}
	require.NotContains(t, string(metrics), "bearergate_probe_finding{", "there is nothing to tell")
	require.NotContains(t, string(metrics), `step="certificate"`, "it was skipped")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode(), "the collector is another user")
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1, "a temporary file is left")

	// On standard output, it stands in the place of the table.
	got = inProcess(t, probeSecret, s.arguments("-prometheus", "-")...)
	require.Equal(t, exitOK, got.code)
	require.Regexp(t, `^# HELP bearergate_probe_success `, got.stdout)
	require.NotContains(t, got.stdout, "STEP")

	got = inProcess(t, probeSecret, s.arguments("-json")...)
	require.Equal(t, exitOK, got.code)
	var document struct {
		Exit  int
		Steps []struct {
			Step, State string
			Seconds     *float64 `json:"duration_seconds"`
		}
		Servers []struct{ Server string }
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &document))
	require.Len(t, document.Steps, 11)
	require.Equal(t, "discovery", document.Steps[0].Step)
	require.NotNil(t, document.Steps[0].Seconds)
	require.Len(t, document.Servers, 4)
}

// What is not asked for is skipped, and skipping is no fault.
func TestProbeOfAnIssuerAlone(t *testing.T) {
	s := newScene(t, setup{})
	got := inProcess(t, "", "probe", "-issuer", s.config.issuer)
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Contains(t, got.stdout, "\n3 ok, 0 warning, 0 failed, 0 unknown, 8 skipped\n")
}

// The metadata may be elsewhere, under any URL.
func TestProbeMetadataURL(t *testing.T) {
	s := newScene(t, setup{fault: authtest.Fault{Path: metadataPath, Status: 404}})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": s.as.Issuer(), "jwks_uri": s.as.URL("/jwks"), "token_endpoint": s.as.URL("/token")})
	}))
	defer elsewhere.Close()
	s.as.Fail(authtest.Fault{Path: "/.well-known/openid-configuration", Status: 404})
	got := inProcess(t, probeSecret, s.arguments("-metadata-url", elsewhere.URL+"/meta?tenant=1")...)
	require.Equal(t, exitOK, got.code, got.stdout)
	require.Regexp(t, `(?m)^discovery +ok `, got.stdout)
	require.Regexp(t, `(?m)^token +ok `, got.stdout)
}

// A key set may lie under a path that looks like that of metadata.
func TestProbeKeysNextToMetadata(t *testing.T) {
	s := newScene(t, setup{})
	const path = metadataPath + "/keys"
	resp, err := http.Get(s.as.URL("/jwks"))
	require.NoError(t, err)
	set, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	s.as.Fail(authtest.Fault{Path: path, Status: http.StatusOK, ContentType: "application/json", Body: set})
	document, err := json.Marshal(map[string]string{"issuer": s.as.Issuer(), "jwks_uri": s.as.URL(path), "token_endpoint": s.as.URL("/token")})
	require.NoError(t, err)
	s.as.Fail(authtest.Fault{Path: metadataPath, Body: document})
	got := inProcess(t, probeSecret, s.arguments()...)
	require.Equal(t, exitOK, got.code, got.stdout+got.stderr)
	require.Regexp(t, `(?m)^keys +ok `, got.stdout)
}

// What goes over http stays on this machine: a proxy, which may be another one, is not
// asked for loopback. It would get the secret and the token in the clear.
func TestProxyGetsNothingOfLoopback(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	s := newScene(t, setup{})
	got := inProcess(t, probeSecret, s.arguments("-proxy", proxy.URL)...)
	require.Equal(t, exitOK, got.code, got.stdout)
	require.Zero(t, asked.Load())

	got = inProcess(t, "", "probe", "-issuer", "https://as.example.test", "-proxy", proxy.URL)
	require.Equal(t, exitOutage, got.code, got.stdout)
	require.NotZero(t, asked.Load(), "every other host is asked for through the proxy")
}

// What is no regular file is not replaced: root could replace a device, and whoever may
// write the directory could have it lead elsewhere.
func TestProbeReplacesFilesAlone(t *testing.T) {
	s := newScene(t, setup{})
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link.prom")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))
	if err := os.Symlink(target, link); err != nil {
		t.Skip("this system does not let everybody make links: ", err)
	}
	for _, name := range []string{link, dir} {
		got := inProcess(t, "", "probe", "-issuer", s.config.issuer, "-prometheus", name)
		require.Equal(t, exitUsage, got.code)
		require.Contains(t, got.stderr, "-prometheus: what has this name is no regular file")
	}
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink, "it was replaced")
	kept, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "kept", string(kept))
}

func TestProbeMistakes(t *testing.T) {
	s := newScene(t, setup{})
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no issuer", []string{"probe"}, "-issuer is missing"},
		{"an http issuer", []string{"probe", "-issuer", "http://as.example.test"}, "https"},
		{"an API over http", s.arguments("-url", "http://api.example.test/orders"), "-url is not https"},
		{"a token endpoint over http", s.arguments("-token-endpoint", "http://as.example.test/token"), "-token-endpoint is not https"},
		{"a URL with a user", s.arguments("-url", "https://user:pass@api.example.test/"), "-url has a user"},
		{"no way to authenticate", s.arguments("-client-auth", "none"), "-client-auth"},
		{"a name that is no label", s.arguments("-name", "a\"b"), "-name"},
		{"too often", s.arguments("-poll", "1ms"), "-poll"},
		{"no time", s.arguments("-timeout", "0s"), "-timeout"},
		{"a certificate may not fail before it warns", s.arguments("-certificate-fail", "30"), "-certificate-fail"},
		{"a number that is none", s.arguments("-certificate-warn", "NaN"), "-certificate-fail"},
		{"nothing to revoke", []string{"probe", "-issuer", s.config.issuer, "-revoke"}, "-revoke needs"},
		{"a client without a secret", []string{"probe", "-issuer", s.config.issuer, "-client-id", "x"}, "-client-secret-file"},
		{"two documents", s.arguments("-json", "-prometheus", "-"), "standard output"},
		{"http for all", s.arguments("-insecure-allow-http"), "-insecure-allow-http"},
		{"an empty secret", s.arguments(), "-client-secret-file"},
		{"a directory that is not there", s.arguments("-prometheus", t.TempDir()+"/none/x.prom"), "-prometheus"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdin := probeSecret
			if tt.name == "an empty secret" {
				stdin = "\n"
			}
			got := inProcess(t, stdin, tt.args...)
			require.Equal(t, exitUsage, got.code, got.stdout)
			require.Contains(t, got.stderr, tt.want)
		})
	}
}

// Neither the token, nor any part of it, nor the secret is in any output, whatever the
// other side repeats. Its escapes, which terminals obey, are in none either.
func TestProbeTellsNoSecret(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request, code int) {
		said := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		said += "\x1b[31m" + probeSecret
		h := w.Header()
		h.Set("WWW-Authenticate", `Bearer realm="`+said+`", error="`+said+`", error_description="`+said+`"`)
		h.Set("Location", "https://"+strings.ReplaceAll(said, "\x1b", "")+".example.test/"+said)
		h.Set("Content-Type", said)
		h.Set("Date", said)
		h.Set("Cache-Control", said)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(said))
	}
	for _, code := range []int{200, 302, 400, 401, 403, 404, 418, 500} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			var sent heard
			s := newScene(t, setup{tamper: answering(always, func(w http.ResponseWriter, r *http.Request) {
				sent.note(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
				echo(w, r, code)
			})})
			requireSilent(t, s, &sent)
		})
		t.Run(fmt.Sprintf("token endpoint %d", code), func(t *testing.T) {
			var sent heard
			hostile := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, secret, _ := r.BasicAuth()
				w.Header().Set("Location", "https://"+secret+".example.test/")
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(code)
				_ = json.NewEncoder(w).Encode(map[string]string{"error": secret + "\x1b[31m", "error_description": r.Header.Get("Authorization"), "access_token": secret + "\n", "token_type": secret})
			}))
			defer hostile.Close()
			s := newScene(t, setup{set: func(s *scene) { s.config.tokenEndpoint = hostile.URL }})
			requireSilent(t, s, &sent, "-token-endpoint", hostile.URL)
		})
	}
	t.Run("a good run", func(t *testing.T) {
		var sent heard
		s := newScene(t, setup{live: true, tamper: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent.note(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
				next.ServeHTTP(w, r)
			})
		}})
		requireSilent(t, s, &sent, "-revoke", "-poll", "10ms")
		require.NotEmpty(t, sent.all())
	})
}

// heard is what a server was sent.
type heard struct {
	mu   sync.Mutex // guards said
	said []string
}

func (h *heard) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, s)
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.said)
}

func requireSilent(t *testing.T, s *scene, sent *heard, more ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.prom")
	for _, how := range [][]string{{"-prometheus", file}, {"-json"}, {"-prometheus", "-"}} {
		got := inProcess(t, probeSecret, s.arguments(append(how, more...)...)...)
		text := got.stdout + got.stderr
		require.NotEmpty(t, got.stdout)
		if written, err := os.ReadFile(file); err == nil {
			text += string(written)
		} else {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		require.NotContains(t, text, probeSecret)
		require.NotContains(t, text, "\x1b")
		for _, token := range sent.all() {
			for part := range strings.SplitSeq(token, ".") {
				require.True(t, part == "" || !strings.Contains(text, part), "a part of the token is told")
			}
		}
	}
}

// A token goes to the URLs of the flags and nowhere else, whoever redirects it.
func TestProbeSendsTheTokenNowhereElse(t *testing.T) {
	var elsewhere heard
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere.note(r.Method + " " + r.URL.Path)
	}))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		redirect := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+r.URL.Path, code) }
		s := newScene(t, setup{tamper: answering(always, redirect), revoking: redirect})
		require.Equal(t, []string{"accepted failed redirect", "no_token failed redirect", "signature failed redirect", "forbidden failed redirect"}, wrong(s.run(t)))
		s = newScene(t, setup{live: true, revoking: redirect, set: func(s *scene) { s.config.revoke = true }})
		require.Equal(t, []string{"revocation failed redirect"}, wrong(s.run(t)))
		s = newScene(t, setup{fault: authtest.Fault{Path: "/token", Status: code, Redirect: other.URL}})
		require.Equal(t, []string{"token failed redirect"}, wrong(s.run(t)))
	}
	require.Empty(t, elsewhere.all())
}

// A server may send for ever, slowly or fast: the probe ends.
func TestProbeOfServersWithoutEnd(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
				return
			}
		}
	}
	huge := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+strings.Repeat("x", 1<<20)+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	for _, tt := range []struct {
		name string
		setup
		want []string
	}{
		{"an API with an endless body", setup{tamper: answering(withoutToken, endless)}, []string{"no_token failed challenge_missing"}},
		{"an API with a huge header", setup{tamper: answering(withoutToken, huge)}, []string{"no_token unknown unreachable"}},
		{"a token endpoint with a huge answer", setup{fault: authtest.Fault{Path: "/token", PadTo: 1 << 30}}, []string{"token failed too_large"}},
		{"a token endpoint that sends drop by drop", setup{fault: authtest.Fault{Path: "/token", Drip: time.Hour}, set: func(s *scene) { s.config.timeout = 3 * time.Second }},
			[]string{"token unknown unreachable"}},
		{"a token endpoint that breaks off", setup{fault: authtest.Fault{Path: "/token", Truncate: true}}, []string{"token failed truncated"}},
		{"metadata that come drop by drop", setup{fault: authtest.Fault{Path: metadataPath, Drip: time.Hour}, set: func(s *scene) { s.config.timeout = 3 * time.Second }}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, wrong(newScene(t, tt.setup).run(t))) })
	}
}

// As a command, too: whatever a server sends is bounded.
func TestProbeCommandBoundsHeaders(t *testing.T) {
	s := newScene(t, setup{tamper: answering(withoutToken, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+strings.Repeat("x", 2*maxProbeHeader)+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	})})
	got := inProcess(t, probeSecret, s.arguments()...)
	require.Equal(t, exitOutage, got.code)
	require.Contains(t, got.stdout, "unreachable: the connection failed, or broke off")
}

// The wait for the refusal of a revoked token has a time of its own.
func TestProbeWaitsForTheRefusal(t *testing.T) {
	s := newScene(t, setup{live: true, cached: 4 * time.Second, set: func(s *scene) {
		s.config.revoke, s.config.timeout, s.config.revokedWithin = true, 3*time.Second, 20*time.Second
	}})
	r := s.run(t)
	require.Empty(t, wrong(r))
	require.True(t, r.hasRevoked)
	require.Positive(t, r.revoked)
}

// What says nothing is skipped: the refusal of a broken token by an API that refuses all.
func TestProbeConcludesNothing(t *testing.T) {
	s := newScene(t, setup{tamper: answering(withToken, status(401, `Bearer realm="api", error="invalid_token"`))})
	r := s.run(t)
	require.Equal(t, []string{"accepted failed refused"}, wrong(r))
	for _, f := range r.Steps {
		if f.Step == stepSignature || f.Step == stepForbidden {
			require.Equal(t, stateSkipped, f.State, f.Step)
			require.Equal(t, reasonNotReached, f.Reason)
		}
	}
}

// A wrong issuer is shown on both sides, and a key that is skipped by its name, quoted.
func TestProbeShowsWhatItFound(t *testing.T) {
	s := newScene(t, setup{as: []authtest.Option{authtest.WithMetadata(map[string]any{"issuer": "https://as.example.test/\x1b[31m"})}})
	got := inProcess(t, probeSecret, s.arguments()...)
	require.Contains(t, got.stdout, `issuer: the document is of the issuer "https://as.example.test/\x1b[31m", and "`+s.config.issuer+`" is configured`)

	s = newScene(t, setup{})
	s.as.Fail(authtest.Fault{Path: "/jwks", Body: []byte(strings.Replace(string(s.as.JWKS()), `{"keys":[`, `{"keys":[{"kty":"oct","kid":"shared\u001b[31m","k":"c2VjcmV0"},`, 1))})
	got = inProcess(t, probeSecret, s.arguments()...)
	require.Equal(t, exitOK, got.code)
	require.Contains(t, got.stdout, `1 usable key for ES256; skipped: "shared\x1b[31m" (a private or symmetric key`)
}

// What lets strangers in is told on standard error, so that nobody overlooks it.
func TestProbeIsLoud(t *testing.T) {
	s := newScene(t, setup{tamper: answering(func(r *http.Request) bool { return withToken(r) && !atAdmin(r) }, status(200, ""))})
	file := filepath.Join(t.TempDir(), "x.prom")
	got := inProcess(t, probeSecret, s.arguments("-prometheus", file, "-json")...)
	require.Equal(t, exitFound, got.code)
	require.Equal(t, "bearergate: probe: signature: "+advice[reasonSignatureAccepted]+"\n", got.stderr)
	metrics, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(metrics), `bearergate_probe_finding{probe="default",step="signature",state="failed",reason="signature_accepted"} 1`)
	require.Contains(t, string(metrics), `bearergate_probe_success{probe="default",step="signature"} 0`)
	require.Contains(t, string(metrics), `bearergate_probe_exit_code{probe="default"} 1`)
}

// As a process: through pipes, with its exit codes, and interrupted.
func TestProbeProcess(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "bearergate")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	process := func(ctx context.Context, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
		cmd := exec.CommandContext(ctx, bin, args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(probeSecret+"\n"), &stdout, &stderr
		return cmd, &stdout, &stderr
	}
	exitOf := func(err error) int {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		require.NoError(t, err)
		return 0
	}

	s := newScene(t, setup{live: true})
	cmd, stdout, stderr := process(t.Context(), s.arguments("-revoke", "-poll", "10ms")...)
	require.NoError(t, cmd.Run(), stderr)
	require.Contains(t, stdout.String(), "\n10 ok, ")

	s = newScene(t, setup{tamper: answering(always, status(200, ""))})
	cmd, stdout, stderr = process(t.Context(), s.arguments()...)
	require.Equal(t, exitFound, exitOf(cmd.Run()))
	require.Contains(t, stderr.String(), "DANGER: the API answers without a token")
	require.Contains(t, stdout.String(), "open: status 200")

	s = newScene(t, setup{fault: authtest.Fault{Status: 503}})
	cmd, _, _ = process(t.Context(), s.arguments()...)
	require.Equal(t, exitOutage, exitOf(cmd.Run()))
	cmd, _, _ = process(t.Context(), "probe")
	require.Equal(t, exitUsage, exitOf(cmd.Run()))

	// A certificate of a CA of our own.
	s = newScene(t, setup{tls: servedUntil(90 * 24 * time.Hour)})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.api.Certificate().Raw}), 0o600))
	cmd, stdout, stderr = process(t.Context(), s.arguments("-ca", ca)...)
	require.NoError(t, cmd.Run(), stdout.String()+stderr.String())
	require.Regexp(t, `certificate +ok +- +89\.\d|certificate +ok +- +90\.0 days left, of the server of api`, stdout.String())

	// An interrupt, while the API says nothing.
	asked := make(chan struct{}, 8)
	s = newScene(t, setup{tamper: answering(always, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})})
	cmd, stdout, _ = process(t.Context(), s.arguments("-timeout", "1h")...)
	require.NoError(t, cmd.Start())
	<-asked
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Equal(t, exitInterrupted, exitOf(cmd.Wait()))
	require.Empty(t, stdout.String(), "what was broken off found nothing")
}

// The forms of RFC 9110 §11.6.1, and what is none of them.
func TestParseChallenges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields []string
		want   string // schemes and parameters; "-": malformed
	}{
		{"none", nil, ""},
		{"an empty field", []string{" , "}, ""},
		{"a scheme alone", []string{"Bearer"}, "Bearer map[]"},
		{"a parameter", []string{`Bearer realm="api"`}, "Bearer map[realm:api]"},
		{"a token for a value", []string{`Bearer realm=api`}, "Bearer map[realm:api]"},
		{"white space", []string{` bearer  realm = "api" ,	error="invalid_token" ,`}, "bearer map[error:invalid_token realm:api]"},
		{"names in capitals", []string{`Bearer Realm="api"`}, "Bearer map[realm:api]"},
		{"quoted pairs and commas", []string{`Bearer realm="a\"b, Basic c=\\d"`}, `Bearer map[realm:a"b, Basic c=\d]`},
		{"two in one field", []string{`Basic realm="x", Bearer realm="api", error="e"`}, "Basic map[realm:x] Bearer map[error:e realm:api]"},
		{"two, the second without parameters", []string{`Bearer realm="api", Negotiate`}, "Bearer map[realm:api] Negotiate map[]"},
		{"two fields", []string{`Negotiate`, `Bearer realm="api"`}, "Negotiate map[] Bearer map[realm:api]"},
		{"a token68", []string{`Negotiate YWJj==, Bearer realm="api"`}, "Negotiate map[] Bearer map[realm:api]"},
		{"a token68 without padding", []string{`NTLM TlRMTVNTUAAB`}, "NTLM map[]"},
		{"a token68 of Bearer", []string{`Bearer abc`}, "-"},
		{"an open quote", []string{`Bearer realm="api`}, "-"},
		{"no comma", []string{`Bearer realm="api" error="e"`}, "-"},
		{"a parameter twice", []string{`Bearer realm="a", realm="b"`}, "-"},
		{"no value", []string{`Bearer realm=`}, "-"},
		{"no name", []string{`Bearer ="api"`}, "-"},
		{"no scheme", []string{`="api"`}, "-"},
		{"no space", []string{`Bearer="api"`}, "-"},
		{"a control character", []string{"Bearer realm=\"a\x01\""}, "-"},
		{"single quotes", []string{`Bearer realm='a b'`}, "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, ok := parseChallenges(tt.fields)
			if tt.want == "-" {
				require.False(t, ok, "%v", all)
				return
			}
			require.True(t, ok)
			var got []string
			for _, c := range all {
				got = append(got, fmt.Sprint(c.scheme, " ", c.params))
			}
			require.Equal(t, tt.want, strings.Join(got, " "))
		})
	}
}

// The mutation is another token of the same form, always, and all but the signature of a
// JWT stays.
func TestMutated(t *testing.T) {
	as, err := authtest.Start(authtest.WithAlgorithms("ES256", "RS256", "EdDSA"))
	require.NoError(t, err)
	defer as.Close()
	for range 50 {
		for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
			token := as.Sign(map[string]any{"alg": alg}, as.Claims(authtest.Claims{Scopes: scope.Of("a")}))
			other := mutated(token)
			require.NotEqual(t, token, other)
			require.Len(t, other, len(token))
			i := strings.LastIndexByte(token, '.')
			require.Equal(t, token[:i], other[:i])
			padded := token + "==" // no server of RFC 7515 does this
			require.Equal(t, padded[:i], mutated(padded)[:i])
			require.NotEqual(t, padded, mutated(padded))
		}
		for _, token := range []string{as.Opaque(authtest.Claims{}), "a", "ab", "abc==", "a.b", "ory_at_" + strings.Repeat("x", 40) + "." + strings.Repeat("Y", 40), "..", "a.b.!", strings.Repeat("Q", 32), "-_-", "abc...."} {
			other := mutated(token)
			require.Len(t, other, len(token))
			require.NotEqual(t, token, other)
		}
	}
}
