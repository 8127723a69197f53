// Package introspect decides whether an access token is valid by asking the
// authorization server that issued it: OAuth 2.0 Token Introspection (RFC
// 7662), with plain or signed answers (RFC 9701). It is for opaque tokens, and
// for tokens whose revocation must count at once.
//
//	client, err := introspect.New(introspect.Config{
//		Issuer:    "https://as.example.com",
//		Auth:      introspect.BasicAuth("orders-api", secret),
//		Audiences: []string{"https://api.example.com"},
//	})
//	token, err := client.Verify(ctx, raw) // a *bearergate.Token
//
// Answers are remembered for a short time, half a minute by default. A revoked
// token may be accepted for that long. Requests that bring the same token at the
// same time share one call. When the server does not answer, the error is
// [bearergate.ErrUnavailable], never a refusal of the token, and after a few such
// calls none is made for a while: see [BreakerState].
//
// A service that would rather not start with a wrong secret or endpoint calls
// [Client.Warm]. A server that is not reached by RFC 7662 is asked by Config.Ask.
//
// It deliberately follows no redirect, accepts only answers that are exactly
// what RFC 7662 says, and does not look into a token: to keep the JWTs of
// strangers from being sent to the server, put issuers.Router in front. It
// does not log: see [Hooks].
//
// The caller must give the API an audience of its own and have the server put
// it into aud. An active token was issued for something, but not necessarily for
// this API.
//
// Everything here is safe for concurrent use.
package introspect

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/ttlcache"
	"github.com/bearergate/bearergate/jwks"
)

// The defaults and bounds of [Config].
const (
	DefaultLeeway           = 5 * time.Second
	MaxLeeway               = 5 * time.Minute
	DefaultMaxTokenBytes    = 16 << 10
	MaxTokenBytesLimit      = 1 << 20
	DefaultPositiveTTL      = 30 * time.Second
	NoExpiryTTL             = 10 * time.Second // the longest PositiveTTL of an answer without exp
	DefaultNegativeTTL      = 5 * time.Second
	MaxTTL                  = 5 * time.Minute // of PositiveTTL and NegativeTTL
	MaxStaleLimit           = time.Hour
	DefaultCacheEntries     = 8192
	DefaultCacheBytes       = 32 << 20
	DefaultTimeout          = 3 * time.Second
	MaxTimeout              = time.Minute
	DefaultMaxCalls         = 64
	DefaultMaxWaiting       = 256
	DefaultMaxResponseBytes = 64 << 10
	DefaultStoreTimeout     = 100 * time.Millisecond

	BreakerFailures = 5                // calls in a row without an answer that open the breaker
	BreakerMinOpen  = time.Second      // how long the first time; doubled by each failed probe
	BreakerMaxOpen  = 30 * time.Second // the longest, and the longest Retry-After that is obeyed
	// CredentialsPause is for how long no call goes out after the server has refused our own
	// credentials.
	CredentialsPause = 10 * time.Second

	jitterPercent = 10 // of the TTL, downwards
)

// Config says whom to ask and which tokens are valid. Issuer, Auth (or Ask) and
// Audiences are required; every other field's zero value is its safe default.
//
// Printing a Config shows no secret.
type Config struct {
	// Issuer is the authorization server's issuer identifier. An answer with
	// another iss is refused; the two are compared code point by code point. An
	// answer without iss counts as one of this issuer. Without Endpoint, the
	// endpoint is discovered from it (RFC 8414, OpenID Connect Discovery), and it
	// must be an https URL. Required.
	Issuer string
	// Endpoint is the URL of the introspection endpoint: https, or http where
	// its host is localhost or a loopback IP. Default: discovered, and read
	// again in the background every hour and when calls to it fail.
	Endpoint string
	// Auth is how we authenticate to the endpoint. Required, unless Ask is set;
	// [NoAuth] says that it wants none.
	Auth Auth
	// ClientID is our client ID, where Auth does not hold one ([BearerAuth], [NoAuth]).
	// It is required for a Store, unless Ask is set, and is the default of
	// Signed.Audiences.
	ClientID string

	// Ask is asked in the place of an endpoint, for a server that is reached in another
	// way: over gRPC, by a library, in a database. It returns what RFC 7662 §2.2
	// describes, one JSON object with active, which is judged as every answer is;
	// {"active":false} for a token that it does not know. What holds for a call holds for
	// it: one at a time for a token, Calls.Max at once, with a context that ends after
	// Timeout and has none of the request's values; its answers are remembered and
	// shared. There is no second try. With Endpoint, Auth and whatever else is about an
	// endpoint, it is a mistake.
	//
	// Its errors are judged by [bearergate.Guard]: one of the sentinels stays; every other
	// one is [bearergate.ErrUnavailable] with
	// [bearergate.ReasonIntrospectionUnavailable]; a panic is
	// [bearergate.ErrMisconfigured]. None is remembered. For a token that it does not
	// know, it returns {"active":false}, which is remembered, or
	// [bearergate.ErrInvalidToken]. With MaxStale, an older answer about the token may
	// stand in for every error that is ErrUnavailable.
	//
	// After [BreakerFailures] outages in a row it is not called for a while. An outage is
	// an error that says ErrUnavailable itself, a timeout, and an error of the network: a
	// [net.OpError], a [net.DNSError], a certificate that does not verify, a request of
	// net/http that was broken off. Every other error may be about that one token and counts
	// as an answer, or a few odd tokens would shut everybody out. So wrap ErrUnavailable
	// around what gRPC, a database or a library says in an outage, and around nothing that a
	// token can cause.
	//
	// Danger: it is given the tokens of all callers. It must send them to nobody but
	// their authorization server, over a channel that nobody else can read or answer
	// on, and keep and log none. Whoever answers in its place has any token accepted.
	Ask func(ctx context.Context, token string) (answer []byte, err error)
	// AskName says whom Ask asks, and as whom: it is part of the name of every
	// remembered answer, and keeps those apart from others in a shared Store. Choose
	// another one when that changes. Required with Ask.
	AskName string

	// Audiences are the names of this API; aud must contain at least one of
	// them, compared exactly; a * or a brace in one is a mistake. Required, unless
	// InsecureAnyAudience is set.
	//
	// Danger: they are alternatives, as in jwtverify.Config.
	Audiences []string
	// AllowMissingAudience accepts a token that the server issued for another
	// API, if the answer does not say for which: it is for servers that put no aud
	// into answers, or the aud [] (Ory Hydra), which names nobody. An aud that names
	// somebody must still name one of Audiences. Without
	// aud, the answers of some servers do not show whether a token is a refresh
	// token: use Accept if yours differ in form.
	AllowMissingAudience bool
	// InsecureAnyAudience accepts every active token, also those issued for
	// other APIs, whose operators can then use them here. With Audiences or
	// AllowMissingAudience, it is a mistake.
	InsecureAnyAudience bool
	// Confirmations are the members of cnf (RFC 7800) whose proof of possession
	// the caller promises to check on every request, for example "x5t#S256"
	// (RFC 8705) and "jkt" (DPoP, RFC 9449). A token with any other is refused, and
	// so is one whose token_type contradicts cnf: DPoP without a jkt, or another
	// with one. Default: none.
	Confirmations []string
	// AllowTokenTypes are further values of token_type, compared without case, that
	// the server writes into answers about access tokens, and about no other tokens.
	// A token with one of them counts as a Bearer token. Known are Bearer, DPoP and
	// access_token; refresh_token, id_token, N_A, "" and their like, and types that
	// need a proof, are mistakes. Default: none.
	//
	// Danger: with the name of a kind that is not for APIs, such as that of refresh
	// tokens, those open this API.
	AllowTokenTypes []string
	// AllowMarks are marks of other kinds of token that answers about access tokens of
	// this server have too: at_hash, nonce, c_hash, s_hash or code, as in
	// jwtverify.Config. Default: none.
	//
	// Danger: answers about ID tokens, which some endpoints give, then count too, if
	// they have no other mark and their aud is one of yours.
	AllowMarks []string
	// Check is asked last, on every call, for answers from the cache too. What
	// it returns is judged by [bearergate.Guard], as in jwtverify.Config: nil
	// accepts; an error that wraps one of the sentinels of package bearergate keeps
	// it; a deadline that has passed, Check's own or the caller's, and an error of the
	// network, is [bearergate.ErrUnavailable] with [bearergate.ReasonStoreUnavailable]; any other
	// error is [bearergate.ErrInvalidToken] with [bearergate.ReasonPolicy].
	Check func(context.Context, *bearergate.Token) error
	// Map reads what the server says under names of its own: roles, a tenant, scopes
	// that are elsewhere. It is called once for each answer about a token that is
	// accepted so far, before that is remembered, and must be a function of the claims
	// alone, for what it does is remembered too. Each process that finds an answer in
	// the Store maps it anew. It gets a copy of the claims, with the answer as Raw, and may change
	// Scopes, Roles, Tenant, ClientID, SessionID and ACR; any other change is
	// [bearergate.ErrMisconfigured] with [bearergate.ReasonInternal]. What it returns is
	// judged by [bearergate.Guard]: nil accepts, an error that is none of the
	// sentinels is [bearergate.ErrInvalidToken] with [bearergate.ReasonPolicy] and is
	// remembered as a refusal. ErrUnavailable and ErrMisconfigured are not. If the answer
	// quotes the token, as its jti for example, the words of the error are told nowhere.
	// What it looks for and the answer does not have, it may add to
	// [bearergate.Claims].Missing: Explain names it, and [Hooks.Unmapped] what no answer
	// has. Default: none.
	//
	// Danger: whatever it puts into Scopes and Roles is granted.
	Map func(*bearergate.Claims) error
	// Accept says whether a text can be a token of this server, by its prefix,
	// length or checksum. false refuses the token without a call. Accept is asked
	// before a call, not for an answer that is remembered. It must be quick, and
	// must not keep the token. Default: every text can.
	Accept func(token string) bool
	// MaxTokenBytes is the longest token that is sent.
	// Default: [DefaultMaxTokenBytes]; at most [MaxTokenBytesLimit].
	MaxTokenBytes int
	// TokenTypeHint is sent as token_type_hint (RFC 7662 §2.1), for example
	// "access_token". It is a hint: the server answers for other tokens too.
	TokenTypeHint string
	// AllowInactiveErrors are error codes (RFC 6749 §5.2), compared exactly, with which a
	// server says that a token is not active: for old ones, which answer 400
	// {"error":"invalid_token"} about a token that they do not know, and not 200
	// {"active":false} as RFC 7662 §2.2 has it. Only a 400 counts: a 401 is about our
	// own credentials. Codes that cannot be about a token are mistakes:
	// invalid_client, unauthorized_client, access_denied, insufficient_scope,
	// server_error, temporarily_unavailable. Default: none; such a 400 is then
	// [bearergate.ErrUnavailable].
	//
	// Danger: a server that gives the same code for another reason, a fault of its own
	// or a question of ours that it does not understand, has every client told that
	// its token is bad.
	AllowInactiveErrors []string
	// AllowScopeArray also accepts a scope that is an array of strings, which
	// RFC 7662 does not allow and some servers send.
	AllowScopeArray bool

	// Leeway is how far clocks may differ when exp, nbf and iat are judged.
	// Default: [DefaultLeeway]; at most [MaxLeeway].
	Leeway time.Duration
	// NoLeeway asks for a Leeway of zero.
	NoLeeway bool
	// MaxTokenAge is the longest life, exp − iat, that a token may have been given; it
	// makes exp and iat required. Default: any.
	MaxTokenAge time.Duration
	// Now is the clock that exp, nbf and iat are compared with. Default: time.Now.
	Now func() time.Time

	// HTTPClient makes the requests: set it for a CA of your own, a client
	// certificate ([CertificateAuth]) or a proxy. It is copied; its Jar and
	// CheckRedirect are not used. The default keeps a connection for 5 s and uses
	// no proxy.
	HTTPClient *http.Client
	// InsecureAllowHTTP lets anybody on the path read every token and have any
	// accepted: it allows http for every host.
	InsecureAllowHTTP bool
	// Timeout bounds a call together with its retry. Verify waits no longer than Timeout and
	// three times Store.Timeout together; with DisableCache, or if the process stood still
	// meanwhile, than twice Timeout.
	// Default: [DefaultTimeout]; at least 1 ms, at most [MaxTimeout].
	Timeout time.Duration
	// PositiveTTL is how long an active token is remembered, and so for how long
	// a revoked one may still be accepted. It is never remembered past exp, and
	// without exp for at most [NoExpiryTTL]. The server's Cache-Control is ignored.
	// An answer that quotes the token, as its jti for example, is not remembered:
	// have your server send none. Default: [DefaultPositiveTTL]; at most [MaxTTL].
	PositiveTTL time.Duration
	// NegativeTTL is how long a refused token is remembered.
	// Default: [DefaultNegativeTTL]; at most [MaxTTL].
	NegativeTTL time.Duration
	// MaxStale is how long after its TTL an answer may still be used while the
	// server cannot be reached, or Ask returns an error that is
	// [bearergate.ErrUnavailable]; never past exp. The token then says so:
	// [bearergate.Token.Stale]. Default: not at all; at most [MaxStaleLimit].
	//
	// Danger: during an outage, a revoked token is accepted for that much longer. So it is
	// if Ask returns an error, other than ErrInvalidToken, for a token that was revoked.
	MaxStale time.Duration
	// DisableCache asks the server on every call of Verify, never before it: see
	// [Client.Live].
	DisableCache bool

	// PurgeLog tells the other processes of a fleet of [Client.Purge] and [Client.PurgeAll],
	// so that they forget too, in about a second: each has to follow it with [Client.Run].
	// It needs Store.Key, by which all processes know a token under the same name, and
	// reaches those with the same key that ask the same server in the same way as the same
	// client. With DisableCache it is a mistake. Default: none, and a Purge concerns this
	// process and the Store.
	//
	// A process that hears nothing of the others goes on with what it remembers, for at most
	// PositiveTTL, and MaxStale: nothing is refused for that, [Hooks].PurgesRead and
	// [Client.Status] tell. A purge by a process whose clock is behind by PositiveTTL and more is
	// taken for an old one, and ignored. Whoever can write to PurgeLog can cause calls, and no
	// more.
	PurgeLog Log

	// What few set.
	Cache  CacheConfig  // how much is remembered
	Calls  CallsConfig  // how much is asked at once
	Store  StoreConfig  // a second cache, which several processes share
	Signed SignedConfig // answers that are signed JWTs (RFC 9701)

	// Hooks feed telemetry.
	Hooks Hooks
}

// CacheConfig is how much a Client remembers.
type CacheConfig struct {
	// Entries bounds the cache of active tokens, and apart from it the one of refused
	// tokens. Default: [DefaultCacheEntries].
	Entries int
	// Bytes bounds the memory of each, roughly. Default: [DefaultCacheBytes].
	Bytes int64
	// HalfLife remembers an active token for at most half of the time to its
	// exp, and not at all without exp (iGov profile).
	HalfLife bool
}

// CallsConfig bounds the calls of a Client.
type CallsConfig struct {
	// Max is how many calls may be under way at once. Those that renew an answer before its
	// end, for which nobody waits, are half of them at most, or one. With 1, a caller may have to
	// wait for such a call. Default: [DefaultMaxCalls].
	Max int
	// Waiting is how many more may wait for their turn, a third of Config.Timeout at most.
	// What is too many, or too late, is [bearergate.ErrUnavailable] with
	// [bearergate.ReasonOverloaded]. A call that nobody waits for any more is not made,
	// unless it renews an answer that is remembered. Default: [DefaultMaxWaiting].
	Waiting int
	// MaxResponseBytes bounds an answer. Default: [DefaultMaxResponseBytes].
	MaxResponseBytes int64
}

// StoreConfig is a second cache, which shares answers between processes.
type StoreConfig struct {
	// Answers is the cache. Default: none.
	Answers Store
	// Key encrypts what goes into it, and names tokens in it and in Config.PurgeLog: 32
	// random bytes or more, the same for all who share it. Required with Answers and with
	// PurgeLog.
	Key bearergate.Secret
	// Timeout bounds an operation of it. Default: [DefaultStoreTimeout], or a third
	// of Config.Timeout if that is less; at most a third of Config.Timeout.
	Timeout time.Duration
}

// SignedConfig is about answers that are signed JWTs (RFC 9701).
type SignedConfig struct {
	// Answers asks for them. Default: [Unsigned].
	Answers Signing
	// Keys provides the keys that verify them. Default: a [jwks.Cache] discovered
	// from Config.Issuer.
	Keys jwks.Source
	// KeyHooks are the hooks of the default cache. With Keys, they are a mistake.
	KeyHooks jwks.Hooks
	// Algorithms are the values of alg that are accepted. Default: RS256, PS256,
	// ES256, ES384 and EdDSA.
	Algorithms []string
	// Audiences are the names of this resource server in aud of a signed answer;
	// one of them must be there. Default: the client ID. For a server that puts the
	// audience of the token there, set it to the same as Config.Audiences.
	Audiences []string
}

// Client asks one authorization server about its tokens. It is a
// [bearergate.Verifier], safe for concurrent use, and needs no Close: no
// goroutine outlives its work, except for those of connections that the HTTP
// client keeps. A nil or zero Client answers [bearergate.ErrMisconfigured].
type Client struct {
	issuer        string
	auth          Auth                                          // nil: ask
	ask           func(context.Context, string) ([]byte, error) // nil: the endpoint
	status        int                                           // of an answer, for the events; 0: there is none
	reader        *accept.Reader
	rules         accept.Rules // of what an answer says
	check         func(context.Context, *bearergate.Token) error
	tokenTypes    []string // beyond those that are known
	inactiveCodes []string // with which the server says inactive
	mapping       func(*bearergate.Claims) error
	unmapped      *accept.Unmapped // nil: nobody listens
	accepts       func(string) bool
	maxTokenBytes int
	hint          string
	now           func() time.Time
	elapsed       func(from, to time.Time) time.Duration // clock.Elapsed, but in tests

	signing    Signing
	keys       jwks.Source
	algorithms []string
	answers    accept.Rules // of a signed answer itself

	http             *fetch.Client
	endpoint         *endpoint
	timeout, maxWait time.Duration
	maxResponseBytes int64
	slots            chan struct{}
	telling          chan struct{} // hooks under way
	breaker          breaker
	own              own
	ownSlots         chan struct{} // of calls about a token of our own, for an HTTP client that is deaf to their end
	flights          flights
	order            atomic.Uint64 // counts calls and those who wait for them

	positiveTTL, negativeTTL, maxStale time.Duration
	halfLife, live                     bool
	cacheEntries                       int
	cacheBytes                         int64
	names                              *ttlcache.Namer // of tokens, in the caches, the shared calls and the Store
	memory                             atomic.Pointer[memory]
	purging                            sync.RWMutex // held for reading to remember, for writing to purge
	purges                             purges       // guarded by purging
	fleet                              *fleet       // nil: no PurgeLog
	vault                              *vault       // nil: no Store

	hooks Hooks
}

// New checks the configuration and touches no network. All mistakes come at
// once, each saying what to change, as one [bearergate.ErrMisconfigured].
func New(c Config) (*Client, error) {
	wrong := mistake.In("introspect")
	complete(&c, &wrong)
	client := &Client{
		issuer: c.Issuer, auth: c.Auth, ask: c.Ask, status: http.StatusOK, reader: readerOf(&c), rules: rulesOf(&c), mapping: c.Map, check: c.Check, accepts: c.Accept,
		tokenTypes: slices.Clone(c.AllowTokenTypes), inactiveCodes: slices.Clone(c.AllowInactiveErrors),
		maxTokenBytes: c.MaxTokenBytes, hint: c.TokenTypeHint, now: c.Now, elapsed: clock.Elapsed,
		signing: c.Signed.Answers, keys: c.Signed.Keys, algorithms: c.Signed.Algorithms, answers: signedRules(&c),
		timeout: c.Timeout, maxWait: c.Timeout / 3, maxResponseBytes: c.Calls.MaxResponseBytes,
		positiveTTL: c.PositiveTTL, negativeTTL: c.NegativeTTL, maxStale: c.MaxStale, halfLife: c.Cache.HalfLife, live: c.DisableCache,
		cacheEntries: c.Cache.Entries, cacheBytes: c.Cache.Bytes, hooks: JoinHooks(c.Hooks), // each hook guarded
	}
	if c.Map != nil && client.hooks.Unmapped != nil {
		client.unmapped = new(accept.Unmapped)
	}
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	whom := []string{"Ask", c.AskName} // no Auth has a method of that name
	if c.Ask == nil {
		client.http = fetch.NewClient(httpClient(c.HTTPClient))
		client.endpoint = newEndpoint(c, client.http, c.Timeout)
		whom = c.Auth.identity()
	} else {
		client.status = 0
	}
	client.slots, client.ownSlots, client.telling = make(chan struct{}, c.Calls.Max), make(chan struct{}, c.Calls.Max), make(chan struct{}, maxTelling)
	client.flights = flights{max: c.Calls.Max + c.Calls.Waiting, maxAhead: max(1, c.Calls.Max/2), open: map[key]*flight{}}
	seed := make([]byte, 32)
	_, _ = rand.Read(seed) // never fails: the program ends instead
	newNamer := ttlcache.NewNamer
	if c.Store.Answers != nil || c.PurgeLog != nil {
		newNamer = ttlcache.NewSharedNamer
		var err error
		if seed, err = derive(c.Store.Key, "name"); err != nil {
			return nil, misconfigured(fmt.Errorf("introspect: Store.Key cannot be used: %w", err))
		}
	}
	if c.Store.Answers != nil {
		client.vault = &vault{store: c.Store.Answers, secret: c.Store.Key, slots: make(chan struct{}, storeCalls), marks: make(chan struct{}, storeCalls), timeout: c.Store.Timeout}
	}
	prefix := namePrefix(seed, append([]string{c.Endpoint, c.Issuer, c.Signed.Answers.form(), c.ClientID}, whom...)...)
	client.names = newNamer(prefix)
	if c.PurgeLog != nil {
		client.fleet = newFleet(client, c.PurgeLog)
	}
	client.memory.Store(client.newMemory())
	return client, nil
}

// httpClient returns the client to use: by default one whose connections end
// soon after the last call, and that reads no proxy from the environment.
func httpClient(configured *http.Client) *http.Client {
	if configured != nil {
		return configured
	}
	return &http.Client{Transport: &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		TLSHandshakeTimeout:    2 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    DefaultMaxCalls,
		IdleConnTimeout:        5 * time.Second,
		ForceAttemptHTTP2:      true,
	}}
}

// Format writes the issuer, whatever the verb, and never the key of the cache.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "introspect.Client{issuer: %q}", c.Issuer())
}

// Issuer returns Config.Issuer. By it, issuers.NewRouter notices a Client that is
// configured under the name of another issuer. It is "" for a nil Client.
func (c *Client) Issuer() string {
	if c == nil {
		return ""
	}
	return c.issuer
}

// Confirmations returns a copy of Config.Confirmations: the members of cnf that
// whoever calls Verify has to have confirmed. It is nil for a nil Client only.
func (c *Client) Confirmations() []string {
	if c == nil {
		return nil
	}
	return append([]string{}, c.rules.Confirmations...)
}

// Live reports whether the Client remembers nothing (DisableCache). Every token
// that it accepts was then active when Verify was called for it, or later.
func (c *Client) Live() bool { return c != nil && c.live }

// Verify returns what the authorization server says about the token if it is
// active and meant for us, as [Config] says. Errors are of type
// [bearergate.Error]; its sentinel says whose fault it is. When ctx is canceled
// first, the answer is [bearergate.ErrUnavailable] with
// [bearergate.ReasonCanceled]; when its deadline passes first, with
// [bearergate.ReasonIntrospectionUnavailable], or while Check is asked with
// [bearergate.ReasonStoreUnavailable]. The call goes on for the others who wait for
// it.
func (c *Client) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	if c == nil || c.slots == nil {
		return nil, misconfigured(errZero)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if c.hooks.Looked == nil {
		t, _, _, err := c.verify(ctx, token)
		return t, err
	}
	start := time.Now()
	t, result, shared, err := c.verify(ctx, token)
	event := LookEvent{Issuer: c.issuer, Result: result, Shared: shared, Duration: time.Since(start), Err: err, Token: t}
	if t != nil && !shared && (result == ResultMiss || result == ResultStored) {
		event.Bytes, event.Lifetime = len(token), accept.Lifetime(t)
	}
	c.hooks.Looked(context.WithoutCancel(ctx), event)
	return t, err
}

func (c *Client) verify(ctx context.Context, raw string) (t *bearergate.Token, result Result, shared bool, err error) {
	result = ResultRefused
	err = c.guard(ctx, "Verify", func() (err error) {
		if err = c.admit(ctx, raw); err == nil {
			t, result, shared, err = c.lookUp(ctx, raw)
		}
		return err
	})
	if err == nil && c.check != nil {
		err = c.runCheck(ctx, t)
	}
	if err != nil {
		own := *bearergate.AsError(err) // a remembered or shared one is not the caller's to change
		return nil, result, shared, &own
	}
	return t, result, shared, nil
}

// guard makes a panic of the user's Accept, Now or Check an error, and tells the
// hook of it.
func (c *Client) guard(ctx context.Context, where string, f func() error) error {
	return guard.Call(f, func(p guard.PanicError) error {
		if c.hooks.Panicked != nil {
			c.hooks.Panicked(context.WithoutCancel(ctx), bearergate.PanicEvent{Where: where, Type: p.Type})
		}
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: fmt.Errorf("introspect: %s %w", where, p)}
	})
}

// admit refuses what is not worth looking up.
func (c *Client) admit(ctx context.Context, raw string) error {
	switch {
	case raw == "":
		return &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}
	case ctx.Err() != nil:
		return ended(ctx)
	case len(raw) > c.maxTokenBytes:
		expected, found := c.sizes(raw)
		return accept.Mismatch(bearergate.ReasonTooLarge, "the token is longer than MaxTokenBytes", expected, found)
	}
	return nil
}

// plausible refuses what cannot be a token of the server. What is remembered
// has passed it.
func (c *Client) plausible(raw string) error {
	switch {
	case !isB64Token(raw):
		return accept.Invalid(bearergate.ReasonMalformed, "a character that RFC 6750 does not allow in a token")
	case c.accepts != nil && !c.accepts(raw):
		return accept.Invalid(bearergate.ReasonMalformed, "Accept refuses the token")
	}
	return nil
}

// lookUp returns the verdict on a token, from the cache or from the server. Both
// judge alike: the judged answer is what is remembered, and what depends on the
// time of day is judged every time.
func (c *Client) lookUp(ctx context.Context, raw string) (*bearergate.Token, Result, bool, error) {
	name, now, m := c.names.Name(raw), time.Now(), c.memory.Load()
	e, fresh := m.look(name, now)
	if fresh {
		if e.token == nil {
			return nil, ResultNegative, false, e.refusal
		}
		c.refreshAhead(ctx, m, name, raw, e, now)
		t, err := c.timely(e.token)
		return t, ResultHit, false, err
	}
	if err := c.plausible(raw); err != nil {
		return nil, ResultRefused, false, err
	}
	o, shared := c.answer(ctx, m, name, raw, e)
	switch {
	case o.err != nil && o.outage && c.standsIn(m, name, e):
		t, err := c.timely(e.stale)
		return t, ResultStale, shared, err
	case o.err != nil:
		return nil, ResultMiss, shared, o.err
	}
	result := ResultMiss
	if o.stored {
		result = ResultStored
	}
	if o.entry.token == nil {
		return nil, result, shared, o.entry.refusal
	}
	t, err := c.timely(o.entry.token)
	return t, result, shared, err
}

// answer returns what the shared call brings, or what it has just brought: a token that
// cannot be asked about costs a call a second, however often it is sent.
func (c *Client) answer(ctx context.Context, m *memory, name key, raw string, e *entry) (outcome, bool) {
	if o, ok := m.failed.Get(name, time.Now()); ok {
		return o, true
	}
	return c.await(ctx, m, name, raw, e)
}

// timely returns the token if its times are good now.
func (c *Client) timely(t *bearergate.Token) (*bearergate.Token, error) {
	if err := c.rules.CheckTimes(c.now(), t.ExpiresAt(), t.NotBefore(), t.IssuedAt()); err != nil {
		return nil, accept.Refused(err, t)
	}
	return t, nil
}

// standsIn reports whether an older answer may be given during an outage: it must
// be the server's last one still, and nothing may have been purged since.
func (c *Client) standsIn(m *memory, name key, e *entry) bool {
	now := time.Now()
	if e == nil || e.stale == nil || c.memory.Load() != m {
		return false
	}
	if last, _ := m.positive.Get(name, now); last != e { // it has ended, or somebody else has got another answer meanwhile
		return false
	}
	exp := e.token.ExpiresAt()
	return exp.IsZero() || c.now().Before(exp) // no leeway here
}

// refreshAhead asks again for a token that is in use and whose entry is about
// to end, so that nobody has to wait when it has. It does not wait, and gives
// way to callers who do: it begins only where a slot is free, and flights.maxAhead
// leaves slots to them.
func (c *Client) refreshAhead(ctx context.Context, m *memory, name key, raw string, e *entry, now time.Time) {
	if e.hits.Load() < aheadHits {
		e.hits.Add(1)
		return
	}
	if e.ahead.Load() || int64(e.age(now)) < e.due.Load() || len(c.slots) == cap(c.slots) || c.breaker.blocked(now) != nil {
		return
	}
	if !e.ahead.CompareAndSwap(false, true) { // once
		return
	}
	switch f, leads := c.flights.join(name, true, true); {
	case f == nil: // too many: later
		e.ahead.Store(false)
	case leads:
		c.launch(ctx, f, m, name, raw, e)
	}
}

var errZero = errors.New("introspect: the Client was not made by New")

// What an error becomes that says nothing by itself.
var (
	errWait  = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable}
	errCheck = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Detail: "Config.Check refused the token", Cause: errors.New("introspect: Check")}
)

func (c *Client) runCheck(ctx context.Context, t *bearergate.Token) error {
	err := bearergate.Guard(ctx, errCheck, func(ctx context.Context) error {
		return c.guard(ctx, "Check", func() error { return c.check(ctx, t) }) // tells the hook of a panic
	})
	if err != nil {
		return accept.Refused(err, t)
	}
	return nil
}

func misconfigured(cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: cause}
}
