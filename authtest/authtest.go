// Package authtest is a fake OAuth 2.0 authorization server for the tests of
// services that accept bearer tokens: it publishes metadata (RFC 8414, OpenID
// Connect Discovery) and keys (RFC 7517), signs access tokens (RFC 9068) with
// any claims, issues opaque ones and answers for both (RFC 7662), rotates its
// keys, counts requests and fails on demand.
//
//	as := authtest.New(t) // closed when the test ends
//	verifier, err := jwtverify.New(jwtverify.Config{
//		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
//	token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
//
// [New] serves in memory: real HTTP, but no port, reached by [Server.Client]
// only. Such a server may be made inside a testing/synctest bubble, with the
// bubble's own T, where tokens expire and a [Fault] delays on the fake clock.
// [Start] is for programs and serves on loopback TCP. There, the token endpoint answers
// under names of loopback, the issuer and [WithHosts] alone: a web page that has its own
// name resolve to 127.0.0.1 gets no token.
//
// The token endpoint gives a client a token of its own (RFC 6749 §4.4), and exchanges one
// of this server's for another (RFC 8693): of the same subject, with the client as its
// actor (act), for the scopes asked for, which the token must have, or for all of them. A
// token whose may_act names another client is refused.
//
// Tokens may be bound to their sender. A [DPoPKey] makes DPoP proofs (RFC 9449), a
// [DPoPTransport] sends them, and the token endpoint binds what it issues to the key of
// a request that has one. [NewClientCertificate] is for certificate-bound tokens (RFC
// 8705).
//
// It is test help: it gives a token to whoever asks, keeps no secret, and must
// never run where real tokens are accepted. It has no users, no login page and no
// ID tokens.
//
// What cannot be done, a claim that JSON cannot express for example, ends the
// test with tb.Fatal on a server made by [New], which therefore wants to be
// used from the test's own goroutine, and panics on one made by [Start].
//
// A [Server] is safe for concurrent use.
package authtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a [Server] does unless told otherwise.
const (
	DefaultIssuer    = "https://as.example.test"  // of a server in memory; on TCP it is the address
	DefaultAudience  = "https://api.example.test" // aud
	DefaultSubject   = "user-1"                   // sub
	DefaultClientID  = "client-1"                 // client_id
	DefaultLifetime  = time.Hour                  // from iat to exp
	DefaultAlgorithm = "ES256"                    // its keys are made fastest
)

// Server is a fake authorization server. It is safe for concurrent use.
type Server struct {
	tb         testing.TB // nil if made by Start
	issuer     string
	origin     string          // scheme and host of issuer
	issuerPath string          // path of issuer without a final slash
	names      map[string]bool // those under which a server on loopback gives tokens; nil: every name
	config     config
	keys       keyring

	http      http.Server
	transport *http.Transport
	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	serving   sync.WaitGroup // the accept loop
	conns     sync.WaitGroup // open connections, and requests under way

	mu       sync.Mutex // guards what follows
	requests map[string]int
	faults   []*Fault                  // the latest first; Times is what remains
	opaque   map[string]map[string]any // the claims of each token of Opaque
	revoked  map[string]bool           // the other tokens of Revoke
}

// New starts a server in memory, and closes it when the test ends.
func New(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s, err := start(tb, append([]Option{WithInMemory()}, opts...))
	if err != nil {
		tb.Fatal(err)
		return nil
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server on a free port of 127.0.0.1, which must be closed with
// [Server.Close].
func Start(opts ...Option) (*Server, error) {
	return start(nil, append([]Option{WithAddr("127.0.0.1:0")}, opts...))
}

func start(tb testing.TB, opts []Option) (*Server, error) {
	s := &Server{
		tb:       tb,
		config:   config{audience: []string{DefaultAudience}, algorithms: []string{DefaultAlgorithm}},
		closing:  make(chan struct{}),
		requests: map[string]int{},
		opaque:   map[string]map[string]any{},
		revoked:  map[string]bool{},
	}
	for _, opt := range opts {
		opt(&s.config)
	}
	if _, err := marshal("metadata", s.config.metadata); err != nil {
		return nil, err
	}
	if len(s.config.audience) == 0 {
		return nil, errors.New("authtest: WithAudience has no value: name an audience, or leave it out for " + DefaultAudience)
	}
	if len(s.config.algorithms) == 0 {
		return nil, errors.New("authtest: WithAlgorithms has no value: name an algorithm, or leave it out for " + DefaultAlgorithm)
	}
	if s.config.nonce != "" && !nonceText.MatchString(s.config.nonce) {
		return nil, errors.New("authtest: WithDPoPNonce: the nonce cannot be sent (RFC 9449 section 8.1): use printable ASCII without space, quotation mark and backslash")
	}
	for _, alg := range s.config.algorithms {
		if _, err := s.keys.current(alg); err != nil {
			return nil, err
		}
	}
	listener, err := s.listen()
	if err != nil {
		return nil, err
	}
	s.http = http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ErrorLog:          log.New(io.Discard, "", 0), //nolint:forbidigo // what net/http would print
		ReadHeaderTimeout: 10 * time.Second,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.conns.Done()
			}
		},
	}
	s.serving.Go(func() { _ = s.http.Serve(listener) }) // always http.ErrServerClosed
	return s, nil
}

// listen opens the listener, and sets the issuer and the way to reach it.
func (s *Server) listen() (net.Listener, error) {
	var listener net.Listener
	var dial func(context.Context) (net.Conn, error)
	s.issuer = s.config.issuer
	if s.config.addr == "" {
		pipes := newPipes()
		listener, dial = pipes, pipes.dial
		if s.issuer == "" {
			s.issuer = DefaultIssuer
		}
	} else {
		tcp, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.config.addr)
		if err != nil {
			return nil, fmt.Errorf("authtest: WithAddr: use a free address, 127.0.0.1:0 for example: %w", err)
		}
		listener = tcp
		dial = func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", tcp.Addr().String())
		}
		if s.issuer == "" {
			s.issuer = "http://" + tcp.Addr().String()
		}
	}
	u, err := parseIssuer(s.issuer)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	s.origin, s.issuerPath = u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	if addr, ok := listener.Addr().(*net.TCPAddr); ok && addr.IP.IsLoopback() {
		s.names = map[string]bool{"localhost": true, hostName(u.Host): true}
		for _, host := range s.config.hosts {
			s.names[hostName(host)] = true
		}
	}
	if s.config.addr != "" && s.config.issuer == "" && len(s.config.hosts) == 0 {
		s.transport = &http.Transport{} // nothing out of the ordinary
		return listener, nil
	}

	hosts := map[string]bool{hostPort(u): true}
	for _, host := range s.config.hosts {
		host = strings.ToLower(host)
		hosts[host], hosts[host+":80"], hosts[host+":443"] = true, true, true
	}
	route := func(ctx context.Context, _, addr string) (net.Conn, error) {
		if !hosts[strings.ToLower(addr)] {
			return nil, fmt.Errorf("authtest: the client of the server %s does not reach %s: name its host in WithHosts, if it is this server under another name", s.issuer, addr)
		}
		return dial(ctx)
	}
	s.transport = &http.Transport{
		DialContext: route,
		// What is carried is HTTP in the clear, for https URLs too: there is no wire to protect.
		DialTLSContext: route,
		// No connection, and so no goroutine, outlives its request.
		DisableKeepAlives: true,
	}
	return listener, nil
}

func parseIssuer(issuer string) (*url.URL, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("authtest: WithIssuer: the issuer is not a URL: write https://as.example.test: %w", err)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil:
		return nil, fmt.Errorf("authtest: WithIssuer: the issuer %q must be an http or https URL with a host: write https://as.example.test", issuer)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(issuer, "#"):
		return nil, fmt.Errorf("authtest: WithIssuer: the issuer %q must have no query and no fragment (RFC 8414 section 2): cut it off before them", issuer)
	}
	return u, nil
}

// hostPort is the address that http.Transport dials for u.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// Issuer returns the issuer identifier: the iss of its tokens, and where
// discovery starts.
func (s *Server) Issuer() string { return s.issuer }

// URL returns the URL of a path of the server, "/jwks" or "/token" for
// example: the scheme and host of the issuer, then path.
func (s *Server) URL(path string) string { return s.origin + path }

// Client returns a new client that reaches the server. It has no timeout: a
// [Fault] takes as long as it says. The client of a server in memory, or of
// one with [WithIssuer] or [WithHosts], reaches nothing else.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

// Requests returns how many requests have come for a path, those that were
// made to fail included: "/jwks", "/token", "/introspect",
// "/.well-known/oauth-authorization-server"; "" counts all.
func (s *Server) Requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path != "" {
		return s.requests[path]
	}
	all := 0
	for _, n := range s.requests {
		all += n
	}
	return all
}

// Close ends the server, its connections and what they wait for. When it
// returns, no goroutine of it is left. Token and Sign still work. Close may be
// called more than once.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		close(s.closing)
		_ = s.http.Close()
		s.transport.CloseIdleConnections()
	})
	s.serving.Wait() // no connection is accepted from here on
	s.conns.Wait()
}

// fatal ends the test, or the program if there is none.
func (s *Server) fatal(err error) {
	if s.tb == nil {
		panic(err.Error()) //nolint:forbidigo // a mistake in a test ends it, as httptest does
	}
	s.tb.Helper()
	s.tb.Fatal(err)
}

// pipes is a listener whose connections are made by dial, in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

var errClosed = errors.New("authtest: the server is closed")

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	var err error
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-p.closed:
		err = errClosed
	}
	_, _ = client.Close(), server.Close()
	return nil, err
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
