package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/bearergate/bearergate/test/servers"
)

// proxies are programs in front of the fleet.
type proxies struct {
	dir     string
	running []*servers.Process
	doors   []*door
	notes   []string // what runs, and what does not
}

// frontal says how one of them is started in front of a process.
type frontal struct {
	program string
	is      way
	what    string
	args    func(dir, file string) []string
	config  func(dir, pem, listen string, p *process, service string) (string, error)
}

var frontals = []frontal{
	{program: "nginx", is: nginx, what: "which asks process %d before it passes a request on", args: servers.NginxArgs, config: nginxConfig},
	{program: "haproxy", is: haproxy, what: "which passes client certificates on to process %d", args: func(_, file string) []string { return []string{"-db", "-f", file} }, config: haproxyConfig},
}

// nginxConfig is that of examples/forwardauth, with the addresses and the lines for client
// certificates that docs/proxies.md gives.
func nginxConfig(dir, pem, listen string, p *process, service string) (string, error) {
	source, err := os.ReadFile(filepath.Join("..", "forwardauth", "nginx.conf"))
	if err != nil {
		return "", fmt.Errorf("to be run in its own directory, as go -C examples/soak run . does: %w", err)
	}
	config := string(source)
	for _, change := range [][2]string{
		{"listen 127.0.0.1:8080;", "listen " + listen + " ssl;\nssl_certificate " + pem + ";\nssl_certificate_key " + pem + ";\nssl_verify_client optional_no_ca;\nproxy_set_header X-Client-Cert \"\";"},
		{"proxy_set_header X-Original-URI $request_uri;", "proxy_set_header X-Original-URI $request_uri;\nproxy_set_header X-Client-Cert $ssl_client_escaped_cert;\nproxy_bind " + nginxAt.Addr().String() + ";"},
		{"127.0.0.1:9000", p.plain},
		{"127.0.0.1:9090", service},
	} {
		if !strings.Contains(config, change[0]) {
			return "", fmt.Errorf("%q is not in the configuration of examples/forwardauth", change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	return servers.Nginx(dir, config), nil
}

// haproxyConfig passes certificates on as the package comment of binding/mtls says, as in
// RFC 9440.
func haproxyConfig(_, pem, listen string, p *process, _ string) (string, error) {
	return fmt.Sprintf(`
global
	noreuseport
defaults
	mode http
	timeout connect 10s
	timeout client 60s
	timeout server 60s
frontend clients
	bind %s ssl crt %s ca-file %s verify optional crt-ignore-err all ca-ignore-err all
	http-request del-header Client-Cert
	http-request set-header Client-Cert :%%[ssl_c_der,base64]: if { ssl_c_used }
	default_backend api
backend api
	http-reuse never
	source %s
	server api %s
`, listen, pem, pem, haproxyAt.Addr(), p.plain), nil
}

// front starts the proxies that are there. Each is in front of another process. Where one is
// not there it is said, unless BEARERGATE_INTEROP is "required".
func (w *world) front(identity *identity, service string) (*proxies, error) {
	dir, err := os.MkdirTemp("", "soak-proxies")
	if err != nil {
		return nil, err
	}
	x := &proxies{dir: dir}
	for i, f := range frontals {
		path, err := servers.Find(f.program)
		if err == nil && runtime.GOOS != "linux" {
			err = fmt.Errorf("127.0.0.2 is an address of every Linux, and this is %s", runtime.GOOS)
		}
		p := w.processes[i%len(w.processes)]
		switch {
		case err == nil:
			err = x.start(f, path, p, identity, service)
		case !required("BEARERGATE_INTEROP"):
			x.notes = append(x.notes, fmt.Sprintf("NOT RUN: %s (%v)", f.program, err))
			continue
		default:
			err = fmt.Errorf("BEARERGATE_INTEROP is required: %w", err)
		}
		if err != nil {
			x.close()
			return nil, err
		}
		x.notes = append(x.notes, f.program+", "+fmt.Sprintf(f.what, p.number))
	}
	return x, nil
}

func (x *proxies) start(f frontal, path string, p *process, identity *identity, service string) error {
	dir := filepath.Join(x.dir, f.program)
	secret, file := filepath.Join(dir, "server.pem"), filepath.Join(dir, "config")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(secret, identity.pem, 0o600)); err != nil {
		return err
	}
	process, address, err := servers.Listening(path, func(address string) ([]string, error) {
		config, err := f.config(dir, secret, address, p, service)
		if err != nil {
			return nil, err
		}
		return f.args(dir, file), os.WriteFile(file, []byte(config), 0o600)
	}, identity.answersAt)
	if err != nil {
		return err
	}
	x.running = append(x.running, process)
	x.doors = append(x.doors, &door{is: f.is, process: p.number, scheme: "https", address: address})
	return nil
}

func (x *proxies) close() {
	for _, p := range x.running {
		p.Kill()
	}
	_ = os.RemoveAll(x.dir)
}

// identity is the certificate of the fleet's name, which the proxies have too.
type identity struct {
	certificate tls.Certificate
	pem         []byte // with its key
	roots       *x509.CertPool
}

func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	i := &identity{certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots: x509.NewCertPool()}
	i.roots.AddCert(leaf)
	i.pem = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	return i, nil
}

// answersAt reports whether somebody with this certificate listens there.
func (i *identity) answersAt(address string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: i.client(nil)}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// client is how clients connect, with a certificate or without one.
func (i *identity) client(certificate *tls.Certificate) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: i.roots, ServerName: host}
	if certificate != nil {
		// Also where the server names authorities, which have not issued it.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return c
}

// open makes the clients of a door: whatever they ask for is asked there.
func (d *door) open(i *identity, workers int, own, other *tls.Certificate) {
	for c, certificate := range [certificates]*tls.Certificate{noCertificate: nil, ownCertificate: own, otherCertificate: other} {
		d.clients[c] = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, d.address)
			},
			TLSClientConfig: i.client(certificate), MaxIdleConnsPerHost: workers, IdleConnTimeout: idleTimeout / 2,
		}}
	}
}

// shut closes the connections that no request uses.
func (d *door) shut() {
	for _, c := range d.clients {
		c.CloseIdleConnections()
	}
}

// close ends all its connections.
func (d *door) close() {
	d.shut()
	for _, conn := range d.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}
