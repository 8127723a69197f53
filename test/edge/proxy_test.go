package edge_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// program is a proxy, with its configuration as users copy it.
type program struct {
	name  middleware.Proxy
	file  string // in examples/forwardauth
	start func(dir, config string) []string
	// front is where the configuration listens, and change what has to be changed beside the
	// addresses so that it runs without rights and beside others.
	front  string
	change func(dir, config string) string
}

var programs = []program{
	{
		name: middleware.Nginx, file: "nginx.conf", front: "127.0.0.1:8080",
		start: func(dir, config string) []string { return []string{"-e", "stderr", "-p", dir, "-c", config} },
		change: func(dir, config string) string {
			return strings.Replace("daemon off;\nmaster_process off;\nerror_log stderr;\npid "+dir+"/pid;\n"+config, "http {\n", "http {\n"+
				"access_log off;\nclient_body_temp_path "+dir+"/body;\nproxy_temp_path "+dir+"/proxy;\nfastcgi_temp_path "+dir+"/fastcgi;\nuwsgi_temp_path "+dir+"/uwsgi;\nscgi_temp_path "+dir+"/scgi;\n", 1)
		},
	},
	{
		name: middleware.Caddy, file: "Caddyfile", front: ":8080",
		start:  func(_, config string) []string { return []string{"run", "--adapter", "caddyfile", "--config", config} },
		change: func(_, config string) string { return config },
	},
}

// loopback is where the proxies of these tests connect from.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// authorizer serves what a proxy asks, and the metadata document.
func authorizer(t *testing.T, p middleware.Proxy, rt *middleware.Router, gate *middleware.Gate) *httptest.Server {
	t.Helper()
	forward, err := rt.ForwardAuth(middleware.ForwardAuthConfig{Proxy: p, Trusted: loopback})
	require.NoError(t, err)
	pattern, metadata, err := gate.Metadata(middleware.Metadata{AuthorizationServers: []string{"https://as.example.test"}})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/forward-auth", forward)
	mux.Handle(pattern, metadata)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// front starts a proxy between clients, an authorizer and a service, and returns its address.
func front(t *testing.T, p program, authorizer, service string) string {
	t.Helper()
	path := commandOf(t, string(p.name))
	source, err := os.ReadFile(filepath.Join("..", "..", "examples", "forwardauth", p.file))
	require.NoError(t, err)
	for range 5 {
		dir, at := t.TempDir(), freeAddress(t)
		config := string(source)
		listen := at
		if strings.HasPrefix(p.front, ":") {
			listen = at[strings.LastIndexByte(at, ':'):]
		}
		for _, change := range [][2]string{{p.front, listen}, {"127.0.0.1:9000", strings.TrimPrefix(authorizer, "http://")}, {"127.0.0.1:9090", strings.TrimPrefix(service, "http://")}} {
			require.Contains(t, config, change[0])
			config = strings.ReplaceAll(config, change[0], change[1])
		}
		file := filepath.Join(dir, p.file)
		require.NoError(t, os.WriteFile(file, []byte(p.change(dir, config)), 0o600))
		cmd := exec.Command(path, p.start(dir, file)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		if running(t, cmd, at) {
			return at
		}
	}
	require.Fail(t, "another process was faster at every port")
	return ""
}

// commandOf returns the path of a program, or ends the test: where there is none, it is
// skipped, unless all of them are required.
func commandOf(t *testing.T, name string) string {
	t.Helper()
	variable := "BEARERGATE_" + strings.ToUpper(name)
	wanted := os.Getenv(variable)
	if wanted == "" {
		wanted = name
	}
	path, err := exec.LookPath(wanted)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name) // which is in PATH for root only
	}
	switch {
	case err == nil:
		return path
	case os.Getenv("BEARERGATE_INTEROP") == "required":
		require.NoError(t, err)
	}
	t.Skipf("NOT RUN, there is no %s: install it, or name it in %s", name, variable)
	return ""
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// running starts a process and waits until it serves the metadata document of the authorizer,
// which is asked by nobody else. It reports false if somebody else has its address. The
// process ends with the test.
func running(t *testing.T, cmd *exec.Cmd, at string) bool {
	t.Helper()
	var said bytes.Buffer // to be read after the end
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	stop := func() string {
		_ = cmd.Process.Kill()
		<-ended
		return said.String()
	}
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-ended:
			require.Regexp(t, "(?i)address already in use", said.String(), "the proxy did not start")
			return false
		case <-time.After(10 * time.Millisecond):
		}
		resp, err := http.Get("http://" + at + "/.well-known/oauth-protected-resource")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
			continue
		}
		t.Cleanup(func() {
			if text := stop(); t.Failed() {
				t.Logf("the proxy said:\n%.20000s", text)
			}
		})
		return true
	}
	require.Fail(t, "the proxy does not listen", stop())
	return false
}

// gateOf is the gate of these tests.
func gateOf(t *testing.T, v bearergate.Verifier, change ...func(*middleware.Config)) *middleware.Gate {
	t.Helper()
	config := middleware.Config{Identity: confusion.Identity(), Resource: "https://api.example"}
	for _, c := range change {
		c(&config)
	}
	gate, err := middleware.New(v, config)
	require.NoError(t, err)
	return gate
}

// No request reaches the service as another one than was decided on.
func TestConfusedPathsBehindAProxy(t *testing.T) {
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			gate := gateOf(t, kit.Granting())
			service := confusion.Service{Trailers: p.name == middleware.Caddy} // which passes them on, and has no word against it
			behind := httptest.NewServer(&service)
			defer behind.Close()
			at := front(t, p, authorizer(t, p.name, confusion.Routes(gate, http.NotFoundHandler()), gate).URL, behind.URL)
			confusion.Run(t, at, &service)
		})
	}
}

// The lines of the configurations are there for a reason: without one of them, the service is
// reached by a request that was not decided on, or believes what a client says of itself.
func TestWhatTheConfigurationsAreFor(t *testing.T) {
	for _, tt := range []struct {
		name     string
		program  program
		old, new string
		found    []string // rows that reach the service wrongly
	}{
		{name: "nginx lets the identity through", program: programs[0], old: `proxy_set_header X-Auth-Subject $auth_subject;`, new: "",
			found: []string{"X-Auth-Subject is forged"}},
		{name: "nginx takes underscores", program: programs[0], old: "server_name api.example.com;", new: "underscores_in_headers on;",
			found: []string{"X-Auth-Subject is forged", "X-HTTP-Method-Override says DELETE"}},
		{name: "nginx lets an override through", program: programs[0], old: `proxy_set_header X-HTTP-Method-Override "";`, new: "",
			found: []string{"X-HTTP-Method-Override says DELETE"}},
		{name: "nginx asks by the name that the client chose", program: programs[0], old: "X-Original-Host $host", new: "X-Original-Host api.example",
			found: []string{"another host"}},
		{name: "Caddy lets the identity through", program: programs[1], old: "request_header -*Auth*\n\trequest_header X-Auth-Issuer {http.reverse_proxy.header.X-Auth-Issuer}\n\trequest_header X-Auth-Subject {http.reverse_proxy.header.X-Auth-Subject}", new: "",
			found: []string{"X-Auth-Subject is forged", "X-Auth-Subject is forged by nobody"}},
		{name: "Caddy lets an override through", program: programs[1], old: "request_header -*Override*", new: "",
			found: []string{"X-Method-Override says DELETE"}},
		{name: "Caddy lets a rewritten URL through", program: programs[1], old: "request_header -*Rewrite*", new: "",
			found: []string{"X-Rewrite-URL says admin"}},
		{name: "Caddy opens a tunnel", program: programs[1], old: "request_header -Connection\n\t\trequest_header -Upgrade", new: "",
			found: []string{"a WebSocket"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gate := gateOf(t, kit.Granting())
			service := confusion.Service{Trailers: true}
			behind := httptest.NewServer(&service)
			defer behind.Close()
			changed := tt.program
			changed.change = func(dir, config string) string {
				require.Contains(t, config, tt.old)
				return tt.program.change(dir, strings.ReplaceAll(config, tt.old, tt.new))
			}
			at := front(t, changed, authorizer(t, changed.name, confusion.Routes(gate, http.NotFoundHandler()), gate).URL, behind.URL)
			found := map[string]bool{}
			for _, row := range confusion.Requests() {
				_, _ = confusion.Send(t, at, row)
				if len(service.Wrongs()) > 0 {
					found[row.Name] = true
				}
			}
			for _, name := range tt.found {
				require.True(t, found[name], "%s is not among %v", name, found)
			}
		})
	}
}

// Whoever adds a location to the configuration of nginx need not know that it has to ask.
func TestALocationThatIsAddedAsksToo(t *testing.T) {
	p := programs[0]
	gate := gateOf(t, kit.Granting())
	service := confusion.Service{}
	behind := httptest.NewServer(&service)
	defer behind.Close()
	p.change = func(dir, config string) string {
		const before = "location / {"
		require.Contains(t, config, before)
		return programs[0].change(dir, strings.Replace(config, before, "location ~ ^/(orders|admin)/ {\nproxy_pass "+behind.URL+";\n}\n"+before, 1))
	}
	at := front(t, p, authorizer(t, p.name, confusion.Routes(gate, http.NotFoundHandler()), gate).URL, behind.URL)
	confusion.Run(t, at, &service)
}
