// Package jwtverify decides whether a JWT access token is valid: signature,
// issuer, audience, times and type (RFC 7515, 7519, 8725, 9068).
//
//	v, err := jwtverify.New(jwtverify.Config{
//		Issuer:    "https://as.example.com",
//		Audiences: []string{"https://api.example.com"},
//	})
//	token, err := v.Verify(ctx, raw) // a *bearergate.Token
//
// That is all it takes: the issuer's keys are discovered, cached and refreshed
// (package jwks).
//
// It deliberately accepts nothing but the compact JWS with an asymmetric
// signature: no HMAC, no "none", no encryption, no JSON serialization, no
// detached or unencoded payload, no critical extensions, and no key that a
// token brings along. It does not ask the issuer whether a token was revoked.
//
// The caller must give the API an audience that is no client's ID, or use
// [RFC9068]: see [AccessToken].
//
// [Verifier] is safe for concurrent use.
package jwtverify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/ttlcache"
	"github.com/bearergate/bearergate/jwks"
)

// The defaults and bounds of [Config].
const (
	DefaultLeeway        = 5 * time.Second
	MaxLeeway            = 5 * time.Minute
	DefaultMaxTokenBytes = 16 << 10
	MaxTokenBytesLimit   = 1 << 20
	DefaultCacheEntries  = 8192
	DefaultCacheBytes    = 32 << 20
	CacheTTL             = 5 * time.Minute // the longest that a verified token is remembered
)

// DefaultAlgorithms returns the algorithms that are accepted unless
// Config.Algorithms says otherwise: RS256, PS256, ES256, ES384 and EdDSA.
func DefaultAlgorithms() []string { return accept.DefaultAlgorithms() }

// Profile says what a JWT must look like to be an access token.
type Profile int

const (
	// AccessToken is for the tokens that authorization servers really issue:
	// typ (compared without case) is absent, JWT, at+jwt or application/at+jwt;
	// iss, aud and exp are required.
	//
	// Under every typ but at+jwt, tokens that carry the marks of another kind are refused:
	//
	//   - at_hash, c_hash, s_hash, events or token_introspection; code beside state; a nonce,
	//     unless the claim typ is Bearer or DPoP;
	//   - token_use, token_type, tokenType or tokenName, where it is a string that does not
	//     name an access token, in any spelling;
	//   - typ or type, where it names an ID, refresh, offline or logout token.
	//
	// A mark that is null is none.
	//
	// Danger: an ID token with none of these marks PASSES if its aud is one of
	// yours, and so does a refresh token of a server that signs those alike and marks them
	// by nothing. So give the API an audience that is no client_id, or use RFC9068.
	AccessToken Profile = iota
	// RFC9068 is for servers that issue access tokens by RFC 9068: typ must be
	// at+jwt or application/at+jwt; iss, exp, aud, sub, client_id, iat and jti
	// are required. No other kind of token can be mistaken for one.
	RFC9068
)

// Config says which tokens are valid. Issuer and Audiences are required; every
// other field's zero value is its safe default.
type Config struct {
	// Issuer is what iss must be, compared exactly, code point by code point
	// (RFC 9068 §4). Without Keys it is also where the keys are discovered
	// (RFC 8414, OpenID Connect Discovery), and so an https URL; http is
	// accepted where its host is localhost or a loopback IP. Required.
	Issuer string

	// IssuerAliases are what iss may be besides Issuer, compared in the same way: for a
	// server that writes its name in two forms, as Google does, or has moved. The token
	// says the form that it has: [bearergate.Token.Issuer]. Nothing is fetched from an
	// alias, and a key whose JWK names an issuer serves tokens of that one form alone.
	// They are for a Verifier that stands alone: the Router and RequireLive of package
	// issuers compare with Issuer, and refuse a token of an alias. Default: none.
	IssuerAliases []string

	// Audiences are the names of this API; aud must contain at least one of
	// them, compared exactly; a * or a brace in one is a mistake. Required.
	//
	// Danger: they are alternatives. A token for any of them opens every route
	// behind this Verifier; an API that only some routes belong to needs a
	// Verifier of its own (see middleware.Via). An audience that is also a
	// client_id lets ID tokens in: see [AccessToken].
	Audiences []string

	// AllowAudienceFrom accepts a token that names this API in another claim than aud:
	// the keys are claims, the values what one of them has to say. It is for servers that
	// write no aud into access tokens, as Amazon Cognito does. It counts only where the
	// member aud does not occur at all: null and [] are an aud that names nobody. Audience
	// of such a token is empty.
	//
	// Danger: a client ID that stands in for aud says who asked for the token and not for
	// which API. Name one only if that client is of this API alone, and demand a scope of
	// this API on every route. At most 4 claims. Default: none.
	AllowAudienceFrom map[string][]string

	// Algorithms are the values of alg that are accepted: RS*, PS*, ES*, EdDSA
	// and its other name Ed25519. Default: [DefaultAlgorithms].
	Algorithms []string

	// KeysURL is where the issuer's key set is, an https URL, if it is not to be
	// discovered from Issuer. The default cache then fetches from there alone, and Issuer
	// may be any text, an http URL too. With Keys, it is a mistake.
	KeysURL string
	// MetadataURL is where the issuer's metadata are, an https URL, if they are not where
	// Issuer says (RFC 8414 §3). The issuer in them must be Issuer all the same. With Keys or
	// KeysURL, it is a mistake.
	MetadataURL string
	// Keys provides the issuer's keys. Default: a [jwks.Cache]
	// of KeysURL, of MetadataURL, or discovered from Issuer. A Source with a method Issuer() string that
	// returns another issuer's name is refused: keys belong to one issuer
	// (RFC 8725 §3.8).
	Keys jwks.Source
	// KeyHooks are the hooks of the default cache. With Keys, they are a mistake.
	KeyHooks jwks.Hooks
	// HTTPClient is what the default cache fetches with: for a CA or a proxy
	// of your own. Default: one with bounded times. With Keys, it is a mistake.
	HTTPClient *http.Client
	// InsecureAllowHTTP lets anybody between here and the authorization server
	// replace its keys and so forge tokens: it accepts an http Issuer, and http
	// for the default cache.
	InsecureAllowHTTP bool

	// Profile is [AccessToken] (default) or [RFC9068].
	Profile Profile

	// AllowTypes are further values of typ that access tokens of this issuer have, compared
	// without case and without "application/": "JOSE", for example. What tells other kinds
	// of token apart is judged in them as in JWT: see [AccessToken]. The types of DPoP
	// proofs, logout tokens, security events and introspection answers are mistakes, and so
	// is AllowTypes with [RFC9068]. Default: none.
	//
	// Danger: a type that the issuer writes into other kinds of token too lets those in.
	AllowTypes []string
	// AllowMarks are marks of other kinds of token that access tokens of this issuer have
	// too: at_hash, as in Dex, nonce, as in authentik and Azure AD B2C, c_hash, s_hash, or
	// code. Default: none.
	//
	// Danger: an ID token of the same issuer that has no other mark then passes if its aud
	// is one of yours. So give this API an audience that is no client's ID, or look in Check
	// at what tells the two apart.
	AllowMarks []string
	// IgnoreClaims are claims that are not read, whatever they hold: act and may_act only,
	// for servers that write something else into them than RFC 8693 says. Nobody then
	// learns that somebody acts for the subject. Default: none.
	IgnoreClaims []string
	// ClientClaims are the claims that may name the client, in order; the first that is a
	// string, and not empty, is [bearergate.Token.ClientID]. Default: client_id, azp, cid,
	// appid. At most 8.
	ClientClaims []string

	// Leeway is how far clocks may differ when exp, nbf and iat are judged.
	// Default: [DefaultLeeway]; at most [MaxLeeway].
	Leeway time.Duration
	// NoLeeway asks for a Leeway of zero.
	NoLeeway bool

	// MaxTokenBytes is the longest token that is looked at.
	// Default: [DefaultMaxTokenBytes]; at most [MaxTokenBytesLimit].
	MaxTokenBytes int

	// MaxTokenAge is the longest life, exp − iat, that a token may have been
	// given; it makes iat required. Default: any.
	MaxTokenAge time.Duration

	// RequiredClaims must be present and not null or empty, besides those of
	// the Profile. Their values are yours to check: see Check.
	RequiredClaims []string

	// ScopeClaims are the claims that may hold the scopes, at most 8. The first one
	// that is present counts. Its value is a string separated by spaces, or an array
	// of strings. Default: scope, scp.
	ScopeClaims []string

	// Confirmations are the members of cnf (RFC 7800) whose proof of
	// possession the caller promises to check on every request, for example
	// "x5t#S256" (RFC 8705). A token with any other is refused, since an
	// unchecked binding protects nobody. Default: none.
	Confirmations []string

	// Map reads what the issuer says under names of its own: roles, a tenant, scopes in
	// another claim. It is called once for a token, after all checks of the claims and
	// before the cache; what it does is remembered with the token. It must be a pure
	// function of the claims, of [bearergate.Claims.Raw] above all, and safe for concurrent
	// use. [ScopesFrom] and [RolesFrom] make common ones. What it looks for and the token
	// does not have, it may add to [bearergate.Claims].Missing, as those do: Explain names
	// it, and [Hooks.Unmapped] what no token has.
	//
	// It may change Scopes, Roles, Tenant, ClientID, SessionID and ACR. Any other change is
	// [bearergate.ErrMisconfigured]: it would undo a check that was made. It may refuse the
	// token: its error is judged by [bearergate.Guard], and one that says nothing else is
	// [bearergate.ErrInvalidToken] with [bearergate.ReasonPolicy].
	//
	// Danger: whoever can write the claims that Map reads decides what the token may do.
	// Default: none.
	Map func(*bearergate.Claims) error
	// Preset is what a function of package idp demands of the tokens of its provider. It is
	// asked once for a token, before Map and the cache. Leave it as that function returned
	// it: what you set in other fields, in Map, Check, AllowTypes or AllowMarks for example,
	// adds to it and never replaces it. Default: none.
	Preset accept.Preset
	// Check is asked last, on every call, for tokens from the cache too. It should
	// honour its context. What it returns is judged by [bearergate.Guard]: nil
	// accepts. An error that wraps one of the sentinels of package bearergate keeps
	// it. A deadline that has passed, Check's own or the caller's, is
	// [bearergate.ErrUnavailable] with [bearergate.ReasonStoreUnavailable]. Any other
	// error is [bearergate.ErrInvalidToken] with [bearergate.ReasonPolicy]: so wrap
	// ErrUnavailable around an outage of a store that Check asks, or a denylist that
	// is down refuses every token, and clients throw their sessions away.
	Check func(context.Context, *bearergate.Token) error

	// Now is the clock that exp, nbf and iat are compared with. Default: time.Now.
	Now func() time.Time

	// Hooks feed telemetry.
	Hooks Hooks

	// DisableCache makes every Verify check the signature. By default a
	// verified token is remembered for at most [CacheTTL], under a keyed hash of
	// the whole token. Whether its key is still published, exp, nbf, iat and Check
	// are judged again every time.
	DisableCache bool
	// CacheEntries bounds the cache. Default: [DefaultCacheEntries].
	CacheEntries int
	// CacheBytes bounds the memory of the cache, roughly. Default: [DefaultCacheBytes].
	CacheBytes int64

	// Err is a mistake of whoever filled the Config in, a function for an identity
	// provider for example: New reports it beside its own.
	Err error
}

// Verifier verifies the JWT access tokens of one issuer. It is immutable and
// safe for concurrent use. A nil or zero Verifier answers
// [bearergate.ErrMisconfigured].
type Verifier struct {
	algorithms    []string
	expected      string // of alg, for errors
	keys          jwks.Source
	profile       Profile
	allowedTypes  []string // of AllowTypes, plain
	maxTokenBytes int
	reader        *accept.Reader
	rules         accept.Rules
	preset        accept.Preset
	mapping       func(*bearergate.Claims) error
	unmapped      *accept.Unmapped // nil: nobody listens
	check         func(context.Context, *bearergate.Token) error
	now           func() time.Time // nil: time.Now
	hooks         Hooks
	cache         *ttlcache.Cache[*verified] // nil: disabled
	names         *ttlcache.Namer            // of tokens in the cache
	headers       *jose.Headers
}

// New checks the configuration and touches no network. All mistakes come at
// once, each saying what to change, as one [bearergate.ErrMisconfigured].
func New(c Config) (*Verifier, error) {
	wrong := mistake.In("jwtverify")
	from := origin(&c)
	issuerOK := from.Check(&wrong)
	checkNames(&c, &wrong)
	if c.Err != nil {
		wrong.Addf("%w", c.Err)
	}
	if err := c.Preset.Mistake(); err != nil && !errors.Is(c.Err, err) { // Err may have been written over
		wrong.Addf("%w", err)
	}
	standIns, values := audienceFrom(&c, &wrong)
	mistake.Between(&wrong, "MaxTokenBytes", &c.MaxTokenBytes, DefaultMaxTokenBytes, 1, MaxTokenBytesLimit)
	required := requiredClaims(&c, &wrong)
	v := &Verifier{
		algorithms:    accept.Algorithms(&wrong, "Algorithms", c.Algorithms),
		keys:          from.Source(&wrong, issuerOK),
		profile:       c.Profile,
		maxTokenBytes: c.MaxTokenBytes,
		allowedTypes:  allowedTypes(&c, &wrong),
		reader: accept.NewReader(accept.Fields{Required: required, Scopes: scopeClaims(&c, &wrong), Clients: clientClaims(&c, &wrong), StandIns: standIns,
			Ignored: slices.Clone(c.IgnoreClaims)}),
		rules: accept.Rules{
			Issuer: c.Issuer, Aliases: slices.Clone(c.IssuerAliases), Audiences: slices.Clone(c.Audiences), StandIns: values, Marks: accept.Marks(&wrong, c.AllowMarks), Required: required,
			Confirmations: slices.Clone(c.Confirmations), MaxLife: c.MaxTokenAge,
			Leeway: accept.Leeway(&wrong, c.Leeway, c.NoLeeway, DefaultLeeway, MaxLeeway),
		},
		preset:  c.Preset,
		mapping: c.Map,
		check:   c.Check,
		now:     c.Now,
		hooks:   JoinHooks(c.Hooks), // each hook guarded
		headers: new(jose.Headers),
	}
	v.preset.Into(&v.rules)
	v.expected = accept.Quoted(v.algorithms...)
	v.cache, v.names = newCache(&c, &wrong)
	if c.Map != nil && v.hooks.Unmapped != nil {
		v.unmapped = new(accept.Unmapped)
	}
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return v, nil
}

// Keys returns where the keys come from: Config.Keys, or the cache that New
// made, a *[jwks.Cache].
func (v *Verifier) Keys() jwks.Source {
	if v == nil {
		return nil
	}
	return v.keys
}

// Issuer returns Config.Issuer: whose tokens are verified.
func (v *Verifier) Issuer() string {
	if v == nil {
		return ""
	}
	return v.rules.Issuer
}

// Confirmations returns a copy of Config.Confirmations: the members of cnf that
// whoever calls Verify has to have confirmed. It is nil for a nil Verifier only.
func (v *Verifier) Confirmations() []string {
	if v == nil {
		return nil
	}
	return append([]string{}, v.rules.Confirmations...)
}

// Live reports false: a Verifier asks nobody whether a token was revoked. By it,
// issuers.RequireLive refuses a Verifier, or a type that embeds one, as live.
func (v *Verifier) Live() bool { return false }

func errZero() error { return misconfigured(errors.New("jwtverify: the Verifier was not made by New")) }

func misconfigured(cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: cause}
}

// Verify returns the token's claims if it is valid, as [Config] says. Errors are
// of type [bearergate.Error]; its sentinel says whose fault it is. When ctx is
// canceled first, the answer is [bearergate.ErrUnavailable] with
// [bearergate.ReasonCanceled]; when its deadline passes first, with
// [bearergate.ReasonKeysUnavailable], or while Check is asked with
// [bearergate.ReasonStoreUnavailable].
func (v *Verifier) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	if v == nil || v.keys == nil {
		return nil, errZero()
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if v.hooks.Verified == nil {
		t, _, err := v.verify(ctx, token)
		return t, err
	}
	start := time.Now()
	t, memory, err := v.verify(ctx, token)
	event := VerifyEvent{Issuer: v.rules.Issuer, Duration: time.Since(start), Err: err, Cached: memory.decided, Token: t}
	switch {
	case t != nil && !memory.decided:
		event.Bytes, event.Lifetime = len(token), accept.Lifetime(t)
	case memory.orphan != nil && orphaned(err) && memory.orphan.told.CompareAndSwap(false, true):
		event.RemovedKey = memory.orphan.keyID()
	}
	v.hooks.Verified(ctx, event)
	return t, err
}

func (v *Verifier) verify(ctx context.Context, raw string) (t *bearergate.Token, m memory, err error) {
	err = v.guard(ctx, "Verify", func() (err error) {
		t, m, err = v.verdict(ctx, raw)
		return err
	})
	if err == nil && v.check != nil {
		err = v.runCheck(ctx, t)
	}
	if err != nil {
		return nil, m, err
	}
	return t, m, nil
}

// guard makes a panic of the user's Check, Now or Keys an error, and tells the
// hook of it.
func (v *Verifier) guard(ctx context.Context, where string, f func() error) error {
	return guard.Call(f, func(p guard.PanicError) error {
		if v.hooks.Panicked != nil {
			v.hooks.Panicked(ctx, bearergate.PanicEvent{Where: where, Type: p.Type})
		}
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: fmt.Errorf("jwtverify: %s %w", where, p)}
	})
}

// verdict is the whole decision but Check.
func (v *Verifier) verdict(ctx context.Context, raw string) (*bearergate.Token, memory, error) {
	switch {
	case raw == "":
		return nil, memory{}, &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}
	case ctx.Err() != nil:
		return nil, memory{}, accept.Unavailable(ctx, ctx.Err())
	case len(raw) > v.maxTokenBytes: // before the whole of it is hashed
		return nil, memory{}, v.tooLarge(raw)
	}
	t, m, err := v.remembered(ctx, raw)
	if t == nil && err == nil {
		r := accept.BorrowReading()
		defer accept.GiveBackReading(r)
		if t, err = v.examine(ctx, raw, r, v.headers, v.cache); err == nil {
			never, tokens := v.unmapped.Note(r.Claims.Missing)
			for _, path := range never {
				v.hooks.Unmapped(ctx, bearergate.UnmappedEvent{Issuer: v.rules.Issuer, Path: path, Tokens: tokens})
			}
		}
	}
	if err != nil {
		return nil, m, err
	}
	return t, m, nil
}

func (v *Verifier) tooLarge(raw string) error {
	expected, found := v.sizes(raw)
	return accept.Mismatch(bearergate.ReasonTooLarge, "the token is longer than MaxTokenBytes", expected, found)
}

// examine makes every check, from the first byte, and leaves in r which one was the
// last. A token that passes is put into cache, unless that is nil. A header is read anew,
// unless headers knows it.
func (v *Verifier) examine(ctx context.Context, raw string, r *accept.Reading, headers *jose.Headers, cache *ttlcache.Cache[*verified]) (*bearergate.Token, error) {
	buf := jose.Borrow() // nothing that is returned may point into it: NewToken copies
	defer jose.GiveBack(buf, raw)
	r.At = accept.StepForm
	jws, err := headers.ParseInto(buf, raw, v.maxTokenBytes)
	if err != nil {
		return nil, accept.Invalid(bearergate.ReasonMalformed, err.Error())
	}
	r.At = accept.StepAlgorithm
	if !slices.Contains(v.algorithms, jws.Header.Algorithm) {
		return nil, accept.Unsigned(bearergate.ReasonAlgorithm, "alg is not among Algorithms", v.expected, accept.Quoted(jws.Header.Algorithm))
	}
	r.At = accept.StepType
	explicit, err := v.headerType(jws.Header)
	if err != nil {
		return nil, err
	}
	r.At = accept.StepOrigin
	origin, err := v.rules.CheckOrigin(jws)
	if err != nil {
		return nil, err
	}
	r.At = accept.StepKey
	key, err := accept.Signer(ctx, v.keys, jws, origin)
	if err != nil {
		if bearergate.AsError(err).Reason == bearergate.ReasonSignature {
			r.At = accept.StepSignature
		}
		return nil, err
	}
	headers.Keep(jws)
	if err := v.reader.Read(jws.Payload, r); err != nil {
		return nil, accept.Invalid(bearergate.ReasonMalformed, "the claims are "+err.Error())
	}
	c := &r.Claims
	if err := v.rules.Judge(r, explicit); err != nil {
		if r.Wrong == "" { // else its claims are not all read
			err = accept.Refused(err, bearergate.NewToken(*c))
		}
		return nil, err
	}
	c.Key, c.AsOf = key.Thumbprint(), c.IssuedAt
	if err := v.preset.Judge(r); err != nil {
		return nil, accept.Refused(err, bearergate.NewToken(*c))
	}
	if v.mapping != nil {
		r.At = accept.StepMap
		if err := accept.Mapped(c, func(c *bearergate.Claims) error {
			return v.guard(ctx, "Map", func() error { return v.mapping(c) }) // tells the hook of a panic
		}); err != nil {
			return nil, accept.Refused(err, bearergate.NewToken(*c))
		}
	}
	r.At = accept.StepTimes
	moment := time.Now()
	now := moment
	if v.now != nil {
		now = v.now()
	}
	t := bearergate.NewToken(*c)
	if err := v.rules.CheckTimes(now, c.ExpiresAt, c.NotBefore, c.IssuedAt); err != nil {
		return nil, accept.Refused(err, t)
	}
	if cache != nil {
		e := &verified{token: t, key: accept.NameOf(jws.Header, origin), thumbprint: key.Thumbprint()}
		e.from, e.until = v.rules.Window(c.ExpiresAt, c.NotBefore, c.IssuedAt)
		// exp is checked again on every hit; the entry has no use after it.
		ttl := min(CacheTTL, e.until.Sub(now))
		cache.Add(v.names.Name(raw), e, entrySize(len(raw), len(c.Audience)+len(c.Roles)+c.Scopes.Len()), moment, ttl)
	}
	return t, nil
}

// headerType judges typ (RFC 8725 §3.11, RFC 9068 §4). explicit says that it
// names an access token and nothing else.
func (v *Verifier) headerType(h jose.Header) (explicit bool, err error) {
	switch {
	case !v.rules.IDTokens && accept.PlainType(h.Type) == "at+jwt":
		return true, nil
	case v.profile == AccessToken && (!h.HasType || strings.EqualFold(h.Type, "JWT") || slices.Contains(v.allowedTypes, accept.PlainType(h.Type))):
		return false, nil
	}
	expected, found := v.types(h)
	return false, accept.Unsigned(bearergate.ReasonType, "typ is not that of an access token", expected, found)
}

var errCheck = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Detail: "Config.Check refused the token", Cause: errors.New("jwtverify: Check")}

func (v *Verifier) runCheck(ctx context.Context, t *bearergate.Token) error {
	err := bearergate.Guard(ctx, errCheck, func(ctx context.Context) error {
		return v.guard(ctx, "Check", func() error { return v.check(ctx, t) }) // tells the hook of a panic
	})
	if err != nil {
		return accept.Refused(err, t)
	}
	return nil
}
