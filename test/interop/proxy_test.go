package interop_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/stretchr/testify/require"
)

// proxy is a program at which TLS ends, and which passes the client's certificate on in a
// header.
type proxy struct {
	name    string
	command string // found in PATH, or where BEARERGATE_ and this in capitals says
	start   []string
	header  string
	format  mtls.Format
	write   func(tls.Certificate) string // as the proxy does: what a forger sends
	// config is a template. Ask says how it asks for certificates, Pass how it passes them
	// on, as the package comment of binding/mtls has it.
	config string
	ask    string
	askAll string // also for those that no known authority has issued
	pass   []string
	// wrong is what else stands there, or stands there instead, and lets the client's own
	// header through.
	wrong []string
	// wrongWithCertificate: also where the client has shown a certificate.
	wrongWithCertificate bool
}

// The proxies of the package comment that Debian has.
var proxies = []proxy{
	{
		name: "nginx", command: "nginx", start: []string{"-e", "stderr", "-p", "{{.Dir}}", "-c", "{{.Dir}}/config"},
		header: "X-Client-Cert", format: mtls.EscapedPEM, write: escapedPEM,
		config: `
daemon off;
master_process off;
pid {{.Dir}}/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	server {
		listen {{.Listen}} ssl;
		ssl_certificate {{.Dir}}/server.pem;
		ssl_certificate_key {{.Dir}}/server.pem;
		ssl_client_certificate {{.Dir}}/ca.pem;
		{{.Ask}}
		{{index .Pass 0}}
		location / {
			{{range slice .Pass 1}}{{.}}
			{{end}}proxy_pass http://{{.Service}};
		}
	}
}
`,
		ask: "ssl_verify_client optional;", askAll: "ssl_verify_client optional_no_ca;",
		pass: []string{"proxy_set_header X-Client-Cert $ssl_client_escaped_cert;"},
		wrong: []string{"proxy_set_header X-Client-Cert $ssl_client_escaped_cert;",
			"proxy_set_header Host $host;"}, // in the location, where it replaces the first one
		wrongWithCertificate: true,
	},
	{
		name: "HAProxy", command: "haproxy", start: []string{"-db", "-f", "{{.Dir}}/config"},
		header: "X-Client-Cert", format: mtls.Base64DER, write: base64DER,
		config: haproxyConfig, ask: "verify optional", askAll: "verify optional crt-ignore-err all ca-ignore-err all",
		pass: []string{"http-request del-header X-Client-Cert",
			"http-request set-header X-Client-Cert %[ssl_c_der,base64] if { ssl_c_used }"},
		wrong: []string{"http-request set-header X-Client-Cert %[ssl_c_der,base64] if { ssl_c_used }"},
	},
	{
		name: "HAProxy as in RFC 9440", command: "haproxy", start: []string{"-db", "-f", "{{.Dir}}/config"},
		header: "Client-Cert", format: mtls.RFC9440, write: func(c tls.Certificate) string { return ":" + base64DER(c) + ":" },
		config: haproxyConfig, ask: "verify optional", askAll: "verify optional crt-ignore-err all ca-ignore-err all",
		pass: []string{"http-request del-header Client-Cert",
			"http-request set-header Client-Cert :%[ssl_c_der,base64]: if { ssl_c_used }"},
		wrong: []string{"http-request set-header Client-Cert :%[ssl_c_der,base64]: if { ssl_c_used }"},
	},
}

const haproxyConfig = `
global
	noreuseport
defaults
	mode http
	timeout connect 10s
	timeout client 60s
	timeout server 60s
frontend clients
	bind {{.Listen}} ssl crt {{.Dir}}/server.pem ca-file {{.Dir}}/ca.pem {{.Ask}}
	{{range .Pass}}{{.}}
	{{end}}default_backend service
backend service
	server service {{.Service}}
`

func base64DER(c tls.Certificate) string { return base64.StdEncoding.EncodeToString(c.Certificate[0]) }

func escapedPEM(c tls.Certificate) string {
	text := url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
	return strings.ReplaceAll(text, "+", "%20")
}

// behind is an API behind a proxy.
type behind struct {
	*api  // as clients see it
	certs *mtls.Certificates
}

// serveBehind starts an API and, in front of it, a proxy with a configuration.
func serveBehind(t *testing.T, p proxy, ask string, pass []string) *behind {
	t.Helper()
	path := commandOf(t, p.command)
	certs, err := mtls.New(mtls.Config{Forwarded: []mtls.Forwarded{{Header: p.header, Format: p.format, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}})
	require.NoError(t, err)
	v := verifier(t, jwtverify.Config{Issuer: shared.HTTPS, Audiences: []string{audience("es256")}, HTTPClient: authority.client(), Confirmations: []string{certificateMember}})
	only := "/" + rand.Text()
	service := serveWith(t, v, middleware.Config{Bindings: []bearergate.Binding{certs}}, nil, func(mux *http.ServeMux) {
		mux.Handle("/selftest", certs.SelfTestHandler())
		mux.HandleFunc(only, func(http.ResponseWriter, *http.Request) {})
	})
	at := launch(t, path, p, ask, pass, strings.TrimPrefix(service.url, "http://"), only)
	return &behind{&api{url: "https://" + at, reasons: service.reasons}, certs}
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

// launch starts a proxy in front of a service, and returns its address once it answers. only
// is a path that no other service has.
func launch(t *testing.T, path string, p proxy, ask string, pass []string, service, only string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "server.pem"), []byte(authority.server["cert"]+authority.server["key"]), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(authority.server["ca"]), 0o600))
	for range 5 {
		at := freeAddress(t)
		fill := func(text string) string {
			var b bytes.Buffer
			require.NoError(t, template.Must(template.New("").Parse(text)).Execute(&b, map[string]any{
				"Dir": dir, "Listen": at, "Service": service, "Ask": ask, "Pass": pass}))
			return b.String()
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config"), []byte(fill(p.config)), 0o600))
		var args []string
		for _, arg := range p.start {
			args = append(args, fill(arg))
		}
		if running(t, exec.Command(path, args...), at, only) {
			return at
		}
	}
	require.Fail(t, "another process was faster at every port")
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

// running starts a process and waits until the service answers through it. It reports false
// if somebody else has its address. The process ends with the test.
func running(t *testing.T, cmd *exec.Cmd, at, only string) bool {
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
	client := authority.client()
	defer client.CloseIdleConnections()
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		select {
		case <-ended:
			require.Regexp(t, "(?i)address already in use|cannot bind", said.String(), "the proxy did not start")
			return false
		case <-time.After(10 * time.Millisecond):
		}
		resp, err := client.Get("https://" + at + only)
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK { // it is somebody else, for a while
			continue
		}
		t.Cleanup(func() {
			if text := stop(); t.Failed() {
				t.Logf("the proxy said:\n%s", text)
			}
		})
		return true
	}
	require.Fail(t, "the proxy does not listen", stop())
	return false
}

// sender is who asks the API, with a certificate or without one, and with header fields of
// its own.
func (b *behind) sender(t *testing.T, certificate *tls.Certificate, forged http.Header) *api {
	t.Helper()
	config := &tls.Config{RootCAs: authority.roots}
	if certificate != nil {
		config.GetClientCertificate = always(*certificate)
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &api{url: b.url, http: &http.Client{Timeout: plain.Timeout, Transport: forger{transport, forged}}, reasons: b.reasons}
}

// forger adds header fields to requests, spelled as they are.
type forger struct {
	to     http.RoundTripper
	fields http.Header
}

func (f forger) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, f.fields)
	return f.to.RoundTrip(r)
}

// The package comment of binding/mtls says how to configure these proxies, word for word.
func TestProxiesAreSetUpAsDocumented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../binding/mtls/mtls.go")
	require.NoError(t, err)
	comment, _, _ := strings.Cut(string(source), "\npackage mtls\n")
	for _, p := range proxies {
		for _, line := range append(p.pass, p.ask, p.askAll) {
			require.Contains(t, comment, line, p.name)
		}
	}
}

// A certificate-bound token works through a proxy for its holder only, whatever
// certificate others write into the header (RFC 8705 §3, RFC 9440 §4).
//
// req: R8705-01, R8705-02, R8705-05, R8705-06, R9440-05, R9440-08, R9700-06
func TestCertificateBoundTokenBehindAProxy(t *testing.T) {
	for _, p := range proxies {
		for _, mode := range []struct {
			name, ask string
			holder    *tls.Certificate
		}{
			{"of a known authority", p.ask, &authority.trusted},
			{"self-signed", p.askAll, &authority.selfSigned},
		} {
			t.Run(p.name+", "+mode.name, func(t *testing.T) {
				t.Parallel()
				b := serveBehind(t, p, mode.ask, p.pass)
				token := shared.token(t, grant{app: appBound, kind: "es256", over: authority.client(*mode.holder)})
				holders, others := p.write(*mode.holder), p.write(authority.other)
				for _, tc := range []struct {
					name   string
					shown  *tls.Certificate
					forged http.Header
					want   verdict
				}{
					{name: "the holder", shown: mode.holder, want: accepted},
					{name: "the holder, whose header is replaced", shown: mode.holder, forged: http.Header{p.header: {others}}, want: accepted},
					{name: "another certificate", shown: &authority.other, want: refused(bearergate.ReasonBinding)},
					{name: "no certificate", want: refused(bearergate.ReasonBinding)},
					{name: "another certificate, forged header", shown: &authority.other, forged: http.Header{p.header: {holders}}, want: refused(bearergate.ReasonBinding)},
					{name: "no certificate, forged header", forged: http.Header{p.header: {holders}}, want: refused(bearergate.ReasonBinding)},
					{name: "another certificate, forged in small letters", shown: &authority.other, forged: http.Header{strings.ToLower(p.header): {holders}}, want: refused(bearergate.ReasonBinding)},
					{name: "no certificate, forged in small letters", forged: http.Header{strings.ToLower(p.header): {holders}}, want: refused(bearergate.ReasonBinding)},
					{name: "another certificate, forged twice", shown: &authority.other, forged: http.Header{p.header: {holders, holders}}, want: refused(bearergate.ReasonBinding)},
					{name: "no certificate, forged twice", forged: http.Header{p.header: {holders, holders}}, want: refused(bearergate.ReasonBinding)},
					{name: "another certificate, forged with underscores", shown: &authority.other, forged: http.Header{strings.ReplaceAll(p.header, "-", "_"): {holders}}, want: refused(bearergate.ReasonBinding)},
					{name: "no certificate, forged with underscores", forged: http.Header{strings.ReplaceAll(p.header, "-", "_"): {holders}}, want: refused(bearergate.ReasonBinding)},
					// A proxy that removes what Connection names must do so before it sets its own.
					{name: "another certificate, forged and hop-by-hop", shown: &authority.other,
						forged: http.Header{p.header: {holders}, "Connection": {p.header}}, want: refused(bearergate.ReasonBinding)},
				} {
					b.sender(t, tc.shown, tc.forged).requireVerdict(t, tc.want, token)
				}
				require.NoError(t, b.certs.SelfTest(t.Context(), b.sender(t, nil, nil).http, b.url+"/selftest"))
				require.NoError(t, b.certs.SelfTest(t.Context(), b.sender(t, mode.holder, nil).http, b.url+"/selftest"))
			})
		}
	}
}

// A connection that resumes a TLS session has the certificate of that session, though the
// client has not shown it again.
func TestCertificateOfAResumedSessionBehindAProxy(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			b := serveBehind(t, p, p.ask, p.pass)
			token := shared.token(t, grant{app: appBound, kind: "es256", over: authority.client(authority.trusted)})
			var resumed atomic.Int32
			transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
				RootCAs: authority.roots, GetClientCertificate: always(authority.trusted), ClientSessionCache: tls.NewLRUClientSessionCache(0),
				VerifyConnection: func(s tls.ConnectionState) error {
					if s.DidResume {
						resumed.Add(1)
					}
					return nil
				}}}
			client := &api{url: b.url, http: &http.Client{Timeout: plain.Timeout, Transport: transport}, reasons: b.reasons}
			for range 5 {
				client.requireVerdict(t, accepted, token)
			}
			require.NotZero(t, resumed.Load(), "no session was resumed")
		})
	}
}

// A proxy that is set up in the way that the package comment warns of gives everybody any
// certificate, and the self-test finds it.
//
// req: R9440-05, R9700-06
func TestSelfTestFindsAProxyThatIsSetUpWrongly(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			b := serveBehind(t, p, p.ask, p.wrong)
			token := shared.token(t, grant{app: appBound, kind: "es256", over: authority.client(authority.trusted)})
			forged := http.Header{p.header: {p.write(authority.trusted)}}
			b.sender(t, nil, forged).requireVerdict(t, accepted, token) // the attack
			require.ErrorContains(t, b.certs.SelfTest(t.Context(), b.sender(t, nil, nil).http, b.url+"/selftest"), "anybody has any certificate")

			// This is why it is to be asked in both ways.
			err := b.certs.SelfTest(t.Context(), b.sender(t, &authority.other, nil).http, b.url+"/selftest")
			if p.wrongWithCertificate {
				b.sender(t, &authority.other, forged).requireVerdict(t, accepted, token)
				require.ErrorContains(t, err, "anybody has any certificate")
			} else {
				b.sender(t, &authority.other, forged).requireVerdict(t, refused(bearergate.ReasonBinding), token)
				require.NoError(t, err)
			}
		})
	}
}
