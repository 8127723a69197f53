package interop_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// bearergateCommand is the command bearergate, built once.
var bearergateCommand = sync.OnceValues(func() (string, error) {
	// What the test cache of the go command has to notice is what is opened here.
	sources, err := filepath.Glob("../../cmd/bearergate/*.go")
	if err != nil || len(sources) == 0 {
		return "", errors.Join(err, errors.New("the command has no sources"))
	}
	for _, name := range sources {
		if _, err := os.ReadFile(name); err != nil {
			return "", err
		}
	}
	dir, err := os.MkdirTemp("", "bearergate-interop-")
	if err != nil {
		return "", err
	}
	built = dir
	bin := filepath.Join(dir, "bearergate")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/bearergate/bearergate/cmd/bearergate").CombinedOutput()
	if err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return bin, nil
})

// built is where the command was built; "": it was not. What runs the tests removes it.
var built string

// probed is what a run of probe has said.
type probed struct {
	code  int
	Steps []struct{ Step, State, Reason, Detail string }

	Revocation *float64 `json:"revocation_seconds"`
	Servers    []struct {
		Server  string
		Expires string   `json:"certificate_expiry"`
		Skew    *float64 `json:"skew_seconds"`
	}
}

// wrong are the steps that have not simply passed.
func (p probed) wrong() []string {
	out := []string{}
	for _, s := range p.Steps {
		if s.State != "ok" && s.State != "skipped" {
			out = append(out, s.Step+" "+s.State+" "+s.Reason)
		}
	}
	return out
}

// passed are the steps that have.
func (p probed) passed() (out []string) {
	for _, s := range p.Steps {
		if s.State == "ok" {
			out = append(out, s.Step)
		}
	}
	return out
}

// probe runs the command as a process, against the issuer and the API, for a token of that
// kind. Of a flag that is given twice, the last counts.
func probe(t *testing.T, issuer string, a *api, kind string, secret string, more ...string) probed {
	t.Helper()
	bin, err := bearergateCommand()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"probe", "-json", "-issuer", issuer, "-audience", audience(kind),
		"-client-id", app.id, "-client-secret-file", "-", "-resource", audience(kind), "-scope", "read",
		"-url", a.url + "/read", "-forbidden-url", a.url + "/admin"}, more...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(secret+"\n"), &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	var p probed
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &p), "%s%s", stdout.String(), stderr.String())
	p.code = cmd.ProcessState.ExitCode()
	require.NotContains(t, stdout.String()+stderr.String(), app.secret)
	return p
}

func jwtAPI(t *testing.T, s *server, kind string) *api {
	t.Helper()
	v, err := jwtverify.New(jwtverify.Config{Issuer: s.HTTP, Audiences: []string{audience(kind)}})
	require.NoError(t, err)
	return serve(t, v)
}

var everyStep = []string{"discovery", "keys", "token", "verify", "accepted", "no_token", "signature", "forbidden", "clock"}

func TestProbe(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rs256", "es256", "eddsa"} {
		p := probe(t, shared.HTTP, jwtAPI(t, shared, kind), kind, app.secret)
		require.Equal(t, everyStep, p.passed(), "%+v", p)
		require.Zero(t, p.code)
	}
}

// The issuer and the API over TLS, of a CA of our own: the certificates are judged.
func TestProbeOverTLS(t *testing.T) {
	t.Parallel()
	v, err := jwtverify.New(jwtverify.Config{Issuer: shared.HTTPS, Audiences: []string{audience("es256")}, HTTPClient: authority.client()})
	require.NoError(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, []byte(authority.server["ca"]), 0o600))
	p := probe(t, shared.HTTPS, serve(t, v), "es256", app.secret, "-ca", ca, "-certificate-warn", "0", "-certificate-fail", "0")
	require.Equal(t, append(everyStep[:8:8], "certificate", "clock"), p.passed(), "%+v", p)
	require.NotEmpty(t, p.Servers[0].Expires)
	// Without the CA, nothing is believed.
	p = probe(t, shared.HTTPS, serve(t, v), "es256", app.secret)
	require.Equal(t, "discovery failed tls", p.wrong()[0])
	require.Equal(t, 1, p.code)
}

// A token that is revoked is refused at once, or when what the API remembers of it ends.
func TestProbeRevokes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		cache introspect.Config
	}{
		{"at once without a cache", introspect.Config{DisableCache: true}},
		{"within the TTL", introspect.Config{PositiveTTL: time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cache.Issuer, tc.cache.Auth = shared.HTTP, basic()
			p := probe(t, shared.HTTP, serve(t, introspector(t, tc.cache)), "opaque", app.secret, "-revoke", "-poll", "20ms", "-revoked-within", patience.String())
			require.Empty(t, p.wrong(), "%+v", p)
			require.Contains(t, p.passed(), "revocation")
			require.NotNil(t, p.Revocation)
			require.Positive(t, *p.Revocation)
			require.Zero(t, p.code)
		})
	}
	t.Run("not within what was promised", func(t *testing.T) {
		api := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), PositiveTTL: time.Minute}))
		p := probe(t, shared.HTTP, api, "opaque", app.secret, "-revoke", "-revoked-within", "500ms")
		require.Equal(t, []string{"revocation failed still_accepted"}, p.wrong())
		require.Nil(t, p.Revocation)
		require.Equal(t, 1, p.code)
	})
	t.Run("a JWT, which the server does not revoke", func(t *testing.T) {
		p := probe(t, shared.HTTP, jwtAPI(t, shared, "es256"), "es256", app.secret, "-revoke")
		require.Equal(t, []string{"revocation failed unsupported_token_type"}, p.wrong())
	})
}

// The faults that the real server can show.
func TestProbeFindsFaults(t *testing.T) {
	t.Parallel()
	own := ownServer(t)
	good := jwtAPI(t, own, "es256")
	other, err := jwtverify.New(jwtverify.Config{Issuer: own.HTTP, Audiences: []string{"https://api.example/other"}})
	require.NoError(t, err)
	for _, tc := range []struct {
		name   string
		api    *api   // default: good
		issuer string // default: own.HTTP
		secret string // default: app.secret
		path   string // where the server fails
		fault  fault
		flags  []string
		want   []string
		code   int
	}{
		{name: "nothing"},
		{name: "the issuer by another name", issuer: strings.Replace(own.HTTP, "127.0.0.1", "localhost", 1), want: []string{"discovery failed issuer"}, code: 1},
		{name: "a wrong secret", secret: rand.Text(), want: []string{"token failed client_refused"}, code: 1},
		{name: "a client that nobody knows", flags: []string{"-client-id", "nobody"}, want: []string{"token failed client_refused"}, code: 1},
		{name: "a secret in the form", flags: []string{"-client-auth", "post"}},
		{name: "an API that the server does not know", flags: []string{"-resource", "https://api.example/none"}, want: []string{"token failed target_refused"}, code: 1},
		{name: "a token for another API", api: serve(t, other), flags: []string{"-audience", "https://api.example/other"},
			want: []string{"accepted failed refused"}, code: 1},
		{name: "a token without the scope", flags: []string{"-scope", "write"}, want: []string{"accepted failed lacks_scope"}, code: 1},
		{name: "a token with more scopes", flags: []string{"-scope", "read admin"}, want: []string{"forbidden failed forbidden_open"}, code: 1},
		{name: "keys that cannot be had", path: jwksPath, fault: fault{Status: 500}, want: []string{"keys unknown unreachable"}, code: 3},
		{name: "keys without end", path: jwksPath, fault: fault{Drip: true}, flags: []string{"-timeout", "2s"}, want: []string{"keys unknown unreachable"}, code: 3},
		{name: "a token endpoint that is down", path: "/token", fault: fault{Status: 503}, want: []string{"token unknown unreachable"}, code: 3},
		{name: "a token endpoint that is not there", path: "/token", fault: fault{Status: 404}, want: []string{"token failed status"}, code: 1},
	} {
		t.Run(tc.name, func(t *testing.T) { // one after the other: they share the server
			if tc.api == nil {
				tc.api = good
			}
			if tc.issuer == "" {
				tc.issuer = own.HTTP
			}
			if tc.secret == "" {
				tc.secret = app.secret
			}
			if tc.path != "" {
				own.fail(t, tc.path, tc.fault)
				defer own.mend(t, tc.path)
			}
			p := probe(t, tc.issuer, tc.api, "es256", tc.secret, tc.flags...)
			if tc.want == nil {
				tc.want = []string{}
			}
			require.Equal(t, tc.want, p.wrong(), "%+v", p)
			require.Equal(t, tc.code, p.code)
		})
	}
}
