package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
)

const (
	// host and base are what clients call the fleet, whichever process answers.
	host = "api.example.com"
	base = "https://" + host
	// requestHeader is a number of each request, by which its decision is found.
	requestHeader = "Soak-Request"
	served        = "served " // what the handler says, and whom it serves
	strong        = "mfa"     // the acr that a route demands

	keysTTL      = 300 * time.Millisecond
	missInterval = 200 * time.Millisecond
	fetchTimeout = 500 * time.Millisecond
	positiveTTL  = 10 * time.Second
	negativeTTL  = 300 * time.Millisecond
	callTimeout  = 500 * time.Millisecond
	storeTimeout = 250 * time.Millisecond
	maxLag       = 15 * time.Second // revocation.Config.MaxLag
	tokenLife    = time.Hour        // authtest.DefaultLifetime
)

// Where the proxies connect from. Requests that do not come through them come from 127.0.0.1.
var (
	nginxAt   = netip.MustParsePrefix("127.0.0.2/32")
	haproxyAt = netip.MustParsePrefix("127.0.0.3/32")
)

// process is the API as one process of the fleet has it: with verifiers, caches, lists and
// gates of its own. What it shares with the others is in Redis.
type process struct {
	number        int // from 1
	world         *world
	keys          *jwks.Cache
	list          *revocation.List
	opaque        *introspect.Client
	secure, plain string // addresses: with TLS, for clients; without, for proxies
	calls         string // of the gRPC server
	connections   atomic.Int64
	servers       []*http.Server
	grpc          *grpc.Server
	client        redis.UniversalClient
	stop          context.CancelFunc
	running       sync.WaitGroup
}

// fleet is what all processes have in common.
type fleet struct {
	certificate tls.Certificate
	secret      []byte
	apiKey      apikey.Record
}

// start starts a process, which serves until close.
func (w *world) start(number int, f fleet) (*process, error) {
	p := &process{number: number, world: w, client: w.store.connect()}
	handler, err := p.api(f)
	if err != nil {
		return nil, errors.Join(err, p.client.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.running.Go(func() { _ = p.list.Run(ctx) })
	p.running.Go(func() { _ = p.opaque.Run(ctx) })
	if p.secure, err = p.serve(handler, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{f.certificate}, ClientAuth: tls.RequestClientCert}); err == nil {
		p.plain, err = p.serve(handler, nil)
	}
	if err == nil {
		warm, end := context.WithTimeout(ctx, patience)
		err = p.list.Warm(warm)
		end()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *process) close() {
	for _, s := range p.servers {
		_ = s.Close()
	}
	if p.grpc != nil {
		p.grpc.Stop()
	}
	p.stop()
	p.running.Wait()
	_ = p.client.Close()
}

// serve starts a server for a handler, and returns its address.
func (p *process) serve(h http.Handler, config *tls.Config) (string, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, TLSConfig: config, ReadHeaderTimeout: time.Minute, IdleTimeout: idleTimeout, ErrorLog: silent,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				p.connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				p.connections.Add(-1)
			default:
			}
		}}
	p.servers = append(p.servers, s)
	go func() { // ends with close
		if config == nil {
			_ = s.Serve(listener)
			return
		}
		_ = s.ServeTLS(listener, "", "")
	}()
	return listener.Addr().String(), nil
}

// api makes the handler of a process.
func (p *process) api(f fleet) (http.Handler, error) {
	w := p.world
	shared, err := redisgate.New(p.client, redisgate.Config{Namespace: "soak", Secrets: [][]byte{f.secret}, Replicas: w.store.acknowledging(),
		Timeout: storeTimeout, Hooks: redisgate.Hooks{Called: w.storeCalled}})
	if err != nil {
		return nil, err
	}
	if p.list, err = revocation.New(revocation.Config{MaxTokenLife: tokenLife, Log: shared.Log(), MaxLag: maxLag}); err != nil {
		return nil, err
	}
	router, live, err := p.verifiers(f, shared)
	if err != nil {
		return nil, err
	}
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{f.secret}})
	if err != nil {
		return nil, err
	}
	proofs := dpop.Config{BaseURLs: []string{base}, Replay: shared.Replay(), StoreTimeout: 2 * storeTimeout}
	demanding := proofs
	demanding.Nonces = nonces
	throughHAProxy := mtls.Forwarded{Header: "Client-Cert", Format: mtls.RFC9440, Trusted: []netip.Prefix{haproxyAt}}
	throughNginx := mtls.Forwarded{Header: "X-Client-Cert", Format: mtls.EscapedPEM, Trusted: []netip.Prefix{nginxAt}}

	mux := http.NewServeMux()
	direct, err := p.routes(router, proofs, mtls.Config{Direct: true, Forwarded: []mtls.Forwarded{throughHAProxy}})
	if err != nil {
		return nil, err
	}
	direct.Handle("GET /live/{id}", scope.All("read"), http.HandlerFunc(serve), middleware.Via(live))
	direct.Handle("GET /strong/{id}", scope.All("read"), http.HandlerFunc(serve), middleware.StepUp([]string{strong}, 0))
	direct.Handle("GET /bound/{id}", scope.All("read"), http.HandlerFunc(serve), middleware.Bound())
	strict, err := p.routes(router, demanding, mtls.Config{Direct: true})
	if err != nil {
		return nil, err
	}
	asked, err := p.routes(router, proofs, mtls.Config{Forwarded: []mtls.Forwarded{throughNginx}})
	if err != nil {
		return nil, err
	}
	forward, err := asked.ForwardAuth(middleware.ForwardAuthConfig{Proxy: middleware.Nginx, Trusted: []netip.Prefix{nginxAt}})
	if err != nil {
		return nil, err
	}
	if p.calls, err = p.serveGRPC(router, proofs, f.certificate); err != nil {
		return nil, err
	}
	keys, err := p.apiKeys(f, router)
	if err != nil {
		return nil, err
	}
	var errs [2]error
	var fromClients, withNonces http.Handler
	fromClients, errs[0] = direct.Handler()
	withNonces, errs[1] = strict.Handler()
	mux.Handle("/", fromClients)
	mux.Handle("/nonce/", http.StripPrefix("/nonce", withNonces))
	mux.Handle("/keys/", keys)
	mux.Handle("/forward-auth", forward)
	return p.named(mux), errors.Join(errs[:]...)
}

// routes returns a router with the route that all gates have.
func (p *process) routes(v bearergate.Verifier, proofs dpop.Config, certificates mtls.Config) (*middleware.Router, error) {
	d, err := dpop.New(proofs)
	if err != nil {
		return nil, err
	}
	c, err := mtls.New(certificates)
	if err != nil {
		return nil, err
	}
	gate, err := middleware.New(v, middleware.Config{Bindings: []bearergate.Binding{c, d}, Hooks: p.hooks()})
	if err != nil {
		return nil, err
	}
	router := gate.NewRouter()
	router.Handle("GET /orders/{id}", scope.All("read"), http.HandlerFunc(serve))
	return router, nil
}

func serve(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, serves(r.Context())) }

// serves is what a handler says: whose token it was given. Behind nginx it is given none.
func serves(ctx context.Context) string {
	token, _ := bearergate.FromContext(ctx)
	return served + userOf(token)
}

// apiKeys returns the handler of what old API keys open too.
func (p *process) apiKeys(f fleet, tokens bearergate.Verifier) (http.Handler, error) {
	keys, err := apikey.New(apikey.Config{Issuer: "urn:example:soak:keys", Prefix: "soak", Header: "X-API-Key", Records: []apikey.Record{f.apiKey},
		Tokens: tokens, End: time.Now().Add(365 * 24 * time.Hour)})
	if err != nil {
		return nil, err
	}
	c, err := mtls.New(mtls.Config{Direct: true})
	if err != nil {
		return nil, err
	}
	d, err := dpop.New(dpop.Config{BaseURLs: []string{base}}) // no proof comes here
	if err != nil {
		return nil, err
	}
	gate, err := middleware.New(keys, middleware.Config{Extract: keys.Extract, ExtractHeaders: keys.Headers(), Bindings: []bearergate.Binding{c, d}, Hooks: p.hooks()})
	if err != nil {
		return nil, err
	}
	return gate.Require(scope.All("read"))(http.HandlerFunc(serve)), nil
}

// verifiers returns that of all tokens, and one that has the authorization server asked
// about each JWT, each time.
func (p *process) verifiers(f fleet, shared *redisgate.Stores) (router, live bearergate.Verifier, err error) {
	w, audiences, bindings := p.world, []string{base}, []string{"jkt", "x5t#S256"}
	issuer := w.as.Issuer()
	if p.keys, err = jwks.New(jwks.Config{Issuer: issuer, HTTPClient: w.as.Client(), TTL: keysTTL, MinTTL: keysTTL,
		MissInterval: missInterval, FetchTimeout: fetchTimeout, Hooks: jwks.Hooks{Fetched: w.fetched}}); err != nil {
		return nil, nil, err
	}
	p.list.Watch(p.keys)
	var errs [5]error
	var jwts, partners *jwtverify.Verifier
	// Fewer entries than tokens: some are in the cache, some are not.
	jwts, errs[0] = jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: audiences, Keys: p.keys, CacheEntries: kitSize, Confirmations: bindings, Check: p.list.Check})
	preset := idp.Keycloak(w.partner.Issuer(), base)
	preset.HTTPClient, preset.CacheEntries, preset.Confirmations, preset.Check = w.partner.Client(), kitSize, bindings, p.list.Check
	partners, errs[1] = jwtverify.New(preset)
	config := introspect.Config{Issuer: issuer, Audiences: audiences, HTTPClient: w.as.Client(), Auth: introspect.BasicAuth("api", "secret"), Timeout: callTimeout,
		Calls: introspect.CallsConfig{Max: 1 << 16}, Confirmations: bindings, Check: p.list.Check,
		Hooks: introspect.Hooks{Called: w.called, BreakerChanged: w.breaker}}
	remembering := config
	remembering.PositiveTTL, remembering.NegativeTTL, remembering.Cache = positiveTTL, negativeTTL, introspect.CacheConfig{Entries: 256}
	remembering.Store = introspect.StoreConfig{Answers: shared.Answers(), Key: bearergate.NewSecret(string(f.secret)), Timeout: callTimeout / 3}
	remembering.PurgeLog = shared.Log()
	p.opaque, errs[2] = introspect.New(remembering)
	config.DisableCache = true
	asking, err := introspect.New(config)
	errs[3] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, nil, err
	}
	live, errs[3] = issuers.RequireLive(jwts, asking)
	router, errs[4] = issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: jwts, w.partner.Issuer(): partners}, Opaque: p.opaque})
	return router, live, errors.Join(errs[:]...)
}

// requestKey is where the context of a request has its number.
type requestKey struct{}

// named puts the number of a request where the hooks find it.
func (*process) named(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, r.Header.Get(requestHeader))))
	})
}

func (p *process) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(ctx context.Context, e middleware.DecisionEvent) {
		number, _ := ctx.Value(requestKey{}).(string)
		p.world.decisions.add(number, decision{process: p.number, reason: e.Reason, user: userOf(e.Token)})
	}}
}

// decision is what a process decided about a request.
type decision struct {
	process int // 0: none did
	reason  bearergate.Reason
	user    string // whose token it is
	times   int    // how many decisions there were
}

func userOf(t *bearergate.Token) string {
	if t == nil {
		return ""
	}
	return t.Subject()
}

// decisions are those of the requests that are under way.
type decisions struct {
	mu  sync.Mutex // guards all
	all map[string]decision
}

// expect makes room for the decision about a request.
func (d *decisions) expect(number string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = map[string]decision{}
	}
	d.all[number] = decision{}
}

func (d *decisions) add(number string, made decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if before, expected := d.all[number]; expected {
		made.times = before.times + 1
		d.all[number] = made
	}
}

func (d *decisions) take(number string) decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	made := d.all[number]
	delete(d.all, number)
	return made
}
