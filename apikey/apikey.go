// Package apikey lets an API take its old API keys beside OAuth access tokens while its
// clients migrate.
//
//	keys, err := apikey.New(apikey.Config{
//		Issuer: "urn:example:api-keys", Prefix: "orders", Header: "X-API-Key",
//		Records: records,                                 // of ParseRecords, or Lookup
//		Tokens:  tokens,                                  // the Verifier of access tokens
//		End:     time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC), // no key opens anything from then on
//	})
//	gate, err := middleware.New(keys, middleware.Config{Extract: keys.Extract})
//
// A key becomes a [bearergate.Token] with the configured Issuer and the owner of the key as
// its client, so routes, policies, metrics and the audit treat it as they treat a token. See
// [Keys.Report] for who still uses which key, and [WithoutKeys] for a Trial without them.
//
// # What is a key
//
// [Generate] makes keys of the form prefix_id_secret: a prefix by which people and secret
// scanners recognise them, a public ID, 160 random bits and a checksum. Only the SHA-256 of
// the key is kept. A slow hash is for passwords, which can be guessed: 160 random bits
// cannot, however fast the hash is. Keys of an older system may be guessable, and are
// taken only with [Config.AllowLegacy].
//
// # One credential
//
// A key is never a Bearer token. [Keys.Extract] marks what came as a key in a way that no
// Authorization header can, so that a key under Bearer and a token where a key belongs are
// both refused, and a request with both is invalid_request. The challenge of a 401 names
// Bearer and never ApiKey: that scheme is not registered (RFC 9110 §16.4.1), and nobody
// new should start with it.
//
// It is for HTTP, and by [Keys.ExtractCall] for gRPC. It does not limit the rate of a client,
// and does not read keys from a query or a cookie. The caller must serve over TLS.
//
// Everything here is safe for concurrent use.
package apikey

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
)

// The defaults and bounds of [Config].
const (
	// DefaultKeyTTL is how long the answer of Lookup about a key is used.
	DefaultKeyTTL = time.Minute
	// UnknownTTL is how long it is remembered that there is no such key.
	UnknownTTL = 10 * time.Second
	// DefaultLookupTimeout bounds a call of Lookup.
	DefaultLookupTimeout = 2 * time.Second
	// MaxLookups is how many calls of Lookup are under way at once: this many for keys that
	// were accepted before, and this many for others.
	MaxLookups = 64
	// DefaultMaxKeys is how many keys of Lookup are remembered and counted.
	DefaultMaxKeys = 10_000
	// MaxRecords is how many Records there may be.
	MaxRecords = 100_000
	// MinSecretBytes is the least length of the secret for keys of an older system.
	MinSecretBytes = 32
	// MinLegacyBytes is the least length of a key of an older system.
	MinLegacyBytes = 16
	// MaxKeyBytes is the longest key that is looked at.
	MaxKeyBytes = 256

	maxIssuerBytes = 256
	limitKeyTTL    = time.Hour
	limitTimeout   = time.Minute
	limitMaxKeys   = 1_000_000
)

// Config is what [New] needs. Issuer, Prefix, Tokens, End, and either Records or Lookup are
// required.
type Config struct {
	// Issuer stands in the tokens that are made of keys: by it, metrics, audit and policies
	// tell keys from access tokens. It is a name of your own, which no authorization server
	// has, such as "urn:example:api-keys"; printable ASCII, at most 256 bytes. A token of
	// Tokens with this issuer is [bearergate.ErrMisconfigured].
	Issuer string

	// Prefix begins every key, 2 to 16 characters of a-z and 0-9, the first a letter. Take
	// one that is yours alone, so that a scanner that finds such a key in a repository knows
	// whom to tell. What begins with it and "_", in letters of either case, is a key: access
	// tokens and keys of an older system must not.
	Prefix string

	// Header is the one request header that carries a key, "X-API-Key" for example. ""
	// means the scheme ApiKey of Authorization: "Authorization: ApiKey orders_…".
	Header string

	// Records are the keys. They are copied. For keys that change while the process runs,
	// use Lookup.
	Records []Record

	// Lookup finds the key with an ID, in place of Records: the Record and true, false if
	// there is none, or an error. An error is judged by [bearergate.Guard]: anything that
	// says nothing else is [bearergate.ErrUnavailable] with [bearergate.ReasonStoreUnavailable],
	// and the client is not blamed. A driver that says "no rows" as an error has to be
	// translated to false.
	//
	// IDs have the form of an ID, and strangers can invent them. There is one call per ID at a
	// time, and at most MaxLookups at once for IDs that were never accepted; one more is
	// [bearergate.ReasonOverloaded]. IDs that this process has accepted before have places of
	// their own, so a flood of invented ones does not shut them out. The context of a call is independent
	// of those that wait and ends after LookupTimeout. Lookup must be safe for concurrent use.
	Lookup func(ctx context.Context, id string) (r Record, found bool, err error)
	// KeyTTL is how long a Record of Lookup is used, and so how long a key is accepted after it
	// was taken out. Default: [DefaultKeyTTL]; at most 1 h. Without Lookup it is a mistake.
	KeyTTL time.Duration
	// LookupTimeout bounds a call of Lookup; one that does not look at its context is waited for
	// 100 ms longer. Default: [DefaultLookupTimeout]; at most 1 min. Without Lookup it is a
	// mistake.
	LookupTimeout time.Duration
	// MaxKeys is how many keys of Lookup are remembered, and how many are counted by themselves
	// in [Keys.Report] and have places of their own in a flood. AllowLegacy says what else
	// depends on it. Default: [DefaultMaxKeys]; at most 1,000,000. Without Lookup it is a mistake.
	MaxKeys int

	// Tokens decides about everything that is not a key: access tokens. What restricts
	// tokens alone, a revocation.List for example, belongs around it and not around Keys: a
	// key is revoked by taking its Record out.
	Tokens bearergate.Verifier

	// End is the date from which on no key is accepted, whatever its Record says, by Now and
	// without leeway. It is required: keys are on their way out. If it is not decided yet,
	// choose one that is certainly late enough, before the year 10000, and change it later.
	// The clock of each process decides: one that is set back before End takes keys again.
	End time.Time
	// Deprecated is since when clients should not use keys any more, for [Keys.Announce]. It
	// must not be after End (RFC 9745 §4). Default: not told.
	Deprecated time.Time
	// Guide is the https URL of a page that tells clients how to change over, for
	// [Keys.Announce]. Default: none.
	Guide string

	// AllowLegacy accepts keys of an older system as well, which have no form by which they
	// are recognised. Danger: nobody knows how they were made, and a key that can be guessed
	// opens the API to whoever guesses it. It is the secret, of at least 32 bytes, under which
	// their hashes in the Records were made by [Import]: without it, whoever reads the Records
	// cannot try guesses. Keep it apart from them. Such a key has at least 16 and at most 256
	// characters of printable ASCII without comma, at least 8 different ones, and is no JWT.
	// Default: none, and every key has the form of [Generate].
	//
	// Where such a key is sent as Bearer it is refused too, if it is among Records, or with
	// Lookup if it is one of the first MaxKeys keys, of either form, that this process has
	// looked up and found since it began. Danger: otherwise Tokens decides about it, as about any
	// text that it does not know, and an authorization server may be shown it. Make MaxKeys at
	// least as large as there are keys. A process that has just begun knows none yet.
	AllowLegacy bearergate.Secret

	// Hooks are told of each use.
	Hooks Hooks

	// Now is the time by which End and NotAfter are judged. Default: [time.Now].
	Now func() time.Time
}

// Keys is a [bearergate.Verifier] for API keys and, by Config.Tokens, for access tokens
// beside them. Make it with [New], and use its Extract in the gate. A nil or zero Keys
// refuses everything with [bearergate.ErrMisconfigured]. It is safe for concurrent use.
type Keys struct {
	config Config
	legacy *legacy // nil: none
	fixed  map[string]*entry
	asked  *lookups // nil: Records
	uses   *uses
}

// entry is one key that exists.
type entry struct {
	hash  Hash
	token *bearergate.Token // what the key becomes, made once
	until time.Time         // Config.End, or NotAfter if that is earlier
	use   *use
}

// New checks the configuration and asks nobody. Its error is [bearergate.ErrMisconfigured]
// and names every mistake at once.
func New(c Config) (*Keys, error) {
	wrong := mistake.In("apikey")
	if c.Now == nil {
		c.Now = time.Now
	}
	check(&wrong, &c)
	k := &Keys{config: c, uses: newUses(c.Now(), max(c.MaxKeys, len(c.Records)))}
	if secret := c.AllowLegacy.Reveal(); secret != "" {
		if len(secret) < MinSecretBytes {
			wrong.Addf("AllowLegacy has %d bytes: use a random secret of at least %d", len(secret), MinSecretBytes)
		}
		k.legacy = newLegacy(secret)
	}
	switch {
	case c.Lookup != nil && c.Records != nil:
		wrong.Addf("Lookup and Records are both set: choose one")
	case c.Lookup == nil && c.Records == nil:
		wrong.Addf("there are no keys: set Records or Lookup")
	case c.Lookup != nil:
		k.asked = newLookups(k)
	}
	k.fixed = make(map[string]*entry, len(c.Records))
	if len(c.Records) > MaxRecords {
		wrong.Addf("there are %d Records: %d are the most, use Lookup", len(c.Records), MaxRecords)
		c.Records = nil
	}
	found := problems{list: &wrong}
	for i, r := range c.Records {
		before := found.n
		checkRecord(r, func(format string, args ...any) {
			found.addf("record %s: "+format, append([]any{label(i+1, r.ID)}, args...)...)
		})
		if isLegacyID(r.ID) && k.legacy == nil {
			found.addf("record %s: it is a key of an older system, and AllowLegacy is not set", quote.One(r.ID))
		}
		if _, twice := k.fixed[r.ID]; twice {
			found.addf("record %s: its ID is there twice", quote.One(r.ID))
		}
		if found.n == before {
			k.fixed[r.ID] = k.entryOf(r)
		}
	}
	found.end()
	k.config.Records = nil
	k.config.Hooks = JoinHooks(c.Hooks)
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return k, nil
}

var (
	isPrefix = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`).MatchString
	isHeader = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`).MatchString
)

// taken are headers that mean something else.
var taken = []string{"Authorization", "Proxy-Authorization", "Cookie", "Host", "Dpop", "Connection", "Forwarded", "Content-Type", "Content-Length", "Transfer-Encoding"}

func check(wrong *mistake.List, c *Config) {
	if c.Issuer == "" || len(c.Issuer) > maxIssuerBytes || strings.ContainsFunc(c.Issuer, func(r rune) bool { return r <= ' ' || r > '~' }) {
		wrong.Addf(`Issuer is empty, too long or not printable ASCII: choose a name such as "urn:example:api-keys"`)
	} else if err := mistake.Literal(c.Issuer); err != nil {
		wrong.Addf("Issuer %w", err)
	}
	if !isPrefix(c.Prefix) {
		wrong.Addf(`Prefix is not 2 to 16 characters of a-z and 0-9 that begin with a letter: choose one such as "orders"`)
	}
	if c.Header != "" {
		canonical := http.CanonicalHeaderKey(c.Header)
		if !isHeader(c.Header) {
			wrong.Addf(`Header is not the name of a header in letters, digits and dashes: "X-API-Key" for example, or leave it out for "Authorization: ApiKey"`)
		} else if slices.Contains(taken, canonical) {
			wrong.Addf("Header is %s, which means something else: name one of your own, or leave it out for the scheme ApiKey of Authorization", canonical)
		}
		c.Header = canonical
	}
	switch {
	case guard.IsNil(c.Tokens):
		wrong.Addf("Tokens is nil: give the verifier of access tokens, of jwtverify.New for example")
	default:
		if v, ok := c.Tokens.(interface{ Issuer() string }); ok && c.Issuer != "" {
			if guard.Call(func() error {
				if v.Issuer() == c.Issuer {
					return errors.New("the same")
				}
				return nil
			}, nil) != nil {
				wrong.Addf("Issuer is that of Tokens, or Tokens cannot tell its own: choose a name for the keys that no authorization server has")
			}
		}
	}
	if c.End.IsZero() {
		wrong.Addf("End is not set: say from when on keys are refused, a year from now for example")
	} else if !isDate(c.End) {
		wrong.Addf("End is not between the years 1 and 9999, which headers and reports can say: choose an earlier one")
	}
	if c.Deprecated.After(c.End) {
		wrong.Addf("Deprecated is after End: clients have to be told before (RFC 9745)")
	}
	if c.Guide != "" && !isGuide(c.Guide) {
		wrong.Addf("Guide is no https URL in printable ASCII: name a page that clients can open")
	}
	switch {
	case c.Lookup != nil:
		mistake.Between(wrong, "KeyTTL", &c.KeyTTL, DefaultKeyTTL, time.Millisecond, limitKeyTTL)
		mistake.Between(wrong, "LookupTimeout", &c.LookupTimeout, DefaultLookupTimeout, time.Millisecond, limitTimeout)
		mistake.Between(wrong, "MaxKeys", &c.MaxKeys, DefaultMaxKeys, 1, limitMaxKeys)
	case c.KeyTTL != 0 || c.LookupTimeout != 0 || c.MaxKeys != 0:
		wrong.Addf("KeyTTL, LookupTimeout and MaxKeys are for Lookup, which is nil: leave them out")
	}
}

func misconfigured(cause error) *bearergate.Error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: cause}
}

func invalid(reason bearergate.Reason, detail string) *bearergate.Error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason, Detail: detail}
}

// The errors of keys. They are shared, and nobody changes them.
var (
	errZero = misconfigured(errors.New("apikey: the Keys were not made by New"))
	// One for both: whoever has an ID must not learn whether it is one of ours.
	errUnknown   = invalid(bearergate.ReasonInactive, "there is no API key with this ID, or its secret is another one")
	errForm      = invalid(bearergate.ReasonMalformed, "what was sent as an API key has not the form of one: a character is missing, or it is of another API")
	errTokenHere = invalid(bearergate.ReasonType, "a JWT was sent where an API key belongs: it belongs into Authorization, with the scheme Bearer")
	errKeyThere  = invalid(bearergate.ReasonType, "an API key was sent as an access token: it is no Bearer token and has a header, or a scheme, of its own")
	errEnded     = invalid(bearergate.ReasonExpired, "API keys are not accepted any more: the client needs an access token of the authorization server")
	errOver      = invalid(bearergate.ReasonExpired, "the API key has reached its end: the client needs an access token of the authorization server")
	errOverload  = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Detail: "too many API keys are being looked up"}
	errStore     = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Detail: "Lookup, or the store that it asks, has failed", Cause: errors.New("apikey: Lookup")}
	errLate      = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Detail: "Lookup has not answered in time"}
	errSpoofed   = misconfigured(errors.New("apikey: Tokens accepted a token whose issuer is that of the API keys"))
)

// mark begins what [Keys.Extract] returns of a key. A token of an Authorization header has
// no space in it (RFC 6750 §2.1), so nothing that a client sends as one begins so.
const mark = "ApiKey "

// Verify decides about a key that [Keys.Extract] returned, and has everything else decided
// by Config.Tokens. A text that has the form of a key and did not come as one is refused
// with [bearergate.ReasonType] and shown to nobody.
//
// Of a key, the errors are [bearergate.ErrInvalidToken] with [bearergate.ReasonMalformed]
// (not the form of a key), [bearergate.ReasonType] (a JWT), [bearergate.ReasonInactive]
// (there is no such key, or its secret is wrong: nobody is told which),
// [bearergate.ReasonExpired] (NotAfter or Config.End has passed), and
// [bearergate.ErrUnavailable] with [bearergate.ReasonStoreUnavailable] or
// [bearergate.ReasonOverloaded] where Lookup did not answer. From Config.End on, a Lookup
// that does not answer is an expired key: no answer could open anything.
func (k *Keys) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	if k == nil || k.config.Tokens == nil {
		return nil, errZero
	}
	if ctx == nil {
		ctx = context.Background()
	}
	key, is := strings.CutPrefix(token, mark)
	if !is {
		return k.other(ctx, token)
	}
	id, sum, err := k.identify(key)
	if err != nil {
		return nil, err
	}
	e, err := k.find(ctx, id)
	return k.decide(ctx, e, err, sum)
}

// other has the verifier of access tokens decide.
func (k *Keys) other(ctx context.Context, token string) (*bearergate.Token, error) {
	if k.isKey(token) {
		return nil, errKeyThere
	}
	t, err := bearergate.Verify(ctx, k.config.Tokens, token)
	if k.Issued(t) {
		return nil, errSpoofed
	}
	return t, err
}

// isKey reports a key that came as a token. The prefix is enough: what is mangled must not
// be shown to an authorization server either.
func (k *Keys) isKey(token string) bool {
	if len(token) > len(k.config.Prefix) && token[len(k.config.Prefix)] == '_' && strings.EqualFold(token[:len(k.config.Prefix)], k.config.Prefix) {
		return true
	}
	if k.legacy == nil || !isLegacy(token) {
		return false
	}
	id, _ := k.legacy.of(token)
	return k.uses.knows(id) // with Lookup the first MaxKeys that were looked up: strangers must not cause calls here
}

// identify reads the ID of a key and hashes it.
func (k *Keys) identify(key string) (id string, sum Hash, err error) {
	switch {
	case strings.HasPrefix(key, k.config.Prefix+"_"):
		id, ok := split(key, k.config.Prefix)
		if !ok {
			return "", Hash{}, errForm
		}
		return id, hashOf(key), nil
	case isJWT(key):
		return "", Hash{}, errTokenHere
	case k.legacy != nil && isLegacy(key):
		id, sum := k.legacy.of(key)
		return id, sum, nil
	}
	return "", Hash{}, errForm
}

// find returns the key with an ID, nil if there is none.
func (k *Keys) find(ctx context.Context, id string) (*entry, error) {
	if k.asked == nil {
		return k.fixed[id], nil
	}
	return k.asked.find(ctx, id)
}

// decide judges a key that was looked for, and counts its use.
func (k *Keys) decide(ctx context.Context, e *entry, err error, sum Hash) (*bearergate.Token, error) {
	now := k.config.Now()
	if err != nil {
		return k.afterEnd(err, now)
	}
	if err := k.judge(e, sum, now); err != nil {
		if err.Refused != nil { // the key was right
			e.use.refused(now)
			k.told(ctx, e, now, err)
		}
		return nil, err
	}
	e.use.accepted(now)
	k.told(ctx, e, now, nil)
	return e.token, nil
}

// afterEnd is the answer where a key could not be looked up: from End on, no answer could
// open anything, and an outage is none.
func (k *Keys) afterEnd(err error, now time.Time) (*bearergate.Token, error) {
	if !now.Before(k.config.End) && errors.Is(err, bearergate.ErrUnavailable) && bearergate.ReasonOf(err) != bearergate.ReasonCanceled {
		return nil, errEnded
	}
	return nil, err
}

// judge is the decision alone. A key that is not there is compared too, with what no key
// has, so that the time does not tell it from a wrong secret.
func (k *Keys) judge(e *entry, sum Hash, now time.Time) *bearergate.Error {
	var known Hash // the SHA-256 of nothing that anybody can send
	if e != nil {
		known = e.hash
	}
	same := subtle.ConstantTimeCompare(sum[:], known[:]) == 1
	switch {
	case !same || e == nil:
		return errUnknown
	case !now.Before(k.config.End):
		return errEnded.WithRefused(e.token)
	case !now.Before(e.until):
		return errOver.WithRefused(e.token)
	}
	return nil
}

func (k *Keys) told(ctx context.Context, e *entry, at time.Time, err *bearergate.Error) {
	if k.config.Hooks.Used == nil {
		return
	}
	event := UseEvent{Issuer: k.config.Issuer, ID: e.token.ID(), Owner: e.token.ClientID(), Tenant: e.token.Tenant(), At: at}
	if err != nil {
		event.Err = err
	}
	k.config.Hooks.Used(ctx, event)
}

// Issued reports whether a token was made of a key: whether its issuer is that of the keys.
// It is for policies, and for a Trial: see [WithoutKeys].
func (k *Keys) Issued(t *bearergate.Token) bool {
	return k != nil && k.config.Issuer != "" && t.Issuer() == k.config.Issuer
}

// Confirmations are those of Tokens: a gate compares them with its bindings. A key has no
// cnf, and opens no route that demands a bound token.
func (k *Keys) Confirmations() []string {
	if k == nil {
		return nil
	}
	return bearergate.ConfirmationsOf(k.config.Tokens)
}

// Live is false: a key that was taken out is accepted for up to KeyTTL, and one of Records for
// as long as the process runs. So Keys cannot be what issuers.RequireLive asks each time. For
// access tokens that must be asked about, give its result as Config.Tokens.
func (k *Keys) Live() bool { return false }

// label says which record a mistake is in. What stands as an ID may be a key that was
// written into the wrong field.
func label(n int, id string) string {
	if isID(id) || isLegacyID(id) {
		return quote.One(id)
	}
	return "number " + itoa(n)
}

// Hooks are told what happens to keys. They run in the goroutine of the request, and must be
// quick and safe for concurrent use.
type Hooks struct {
	// Used is told of each key that was right: accepted, or refused for its end. A key
	// that is wrong, or unknown, is a refusal of the gate: its hook tells.
	Used func(context.Context, UseEvent)
	// Panicked is told of a panic of Used, which changes nothing.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// UseEvent is one use of a key. It does not hold the key.
type UseEvent struct {
	Issuer string // Config.Issuer
	ID     string // of the key: public, and no metric label
	Owner  string // as many as there are owners: bound it before it is a metric label
	Tenant string
	At     time.Time
	Err    error // nil: accepted; else [bearergate.ReasonExpired]
}

// JoinHooks returns hooks that call each of hs in order. What one of them panics with
// keeps no other one from being called.
func JoinHooks(hs ...Hooks) Hooks {
	var used []func(context.Context, UseEvent)
	var panicked []func(context.Context, bearergate.PanicEvent)
	for _, h := range hs {
		used, panicked = append(used, h.Used), append(panicked, h.Panicked)
	}
	told := bearergate.Hook("Panicked", nil, panicked...)
	return Hooks{Used: bearergate.Hook("Used", told, used...), Panicked: told}
}

// uses counts by key.
type uses struct {
	since  time.Time
	max    int
	mu     sync.RWMutex // guards byID
	byID   map[string]*use
	beyond use // all that have no place
}
