// Package issuers puts many verifiers behind one: a [Router] chooses the verifier
// by the issuer of the token, [RequireLive] asks a second verifier as well, and [Limit]
// holds an issuer to what it may confer.
//
//	v, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{
//		"https://as.example.com":      own,
//		"https://partner.example.net": partner,
//	}})
//	token, err := v.Verify(ctx, raw)
//
// It verifies nothing itself. A token of an issuer without a verifier is refused
// and passed to nobody. The caller must give each issuer a verifier that is made
// for exactly that issuer. [NewRouter] checks this where the verifier tells its
// issuer.
//
// [Router] is safe for concurrent use.
package issuers

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// Config says which verifier decides about which token. At least one of
// Issuers, Opaque and Resolve is required.
type Config struct {
	// Issuers are the verifiers of JWTs, keyed by the exact iss, code point by
	// code point. One that tells its issuer by a method Issuer() string, as a
	// jwtverify.Verifier does, must have the key as its issuer. The map is copied.
	Issuers map[string]bearergate.Verifier

	// Opaque decides about every token that is not JWT-shaped: see [Router].
	// Default: none, such tokens are [bearergate.ReasonMalformed].
	Opaque bearergate.Verifier

	// EncryptedAreOpaque sends encrypted tokens to Opaque as well: compact JWEs (RFC
	// 7516), which are five parts of base64url, the first a strict JSON object whose enc
	// is a string. Some servers, ZITADEL for example, issue opaque tokens of that form,
	// which they alone can read. Without it they are [bearergate.ReasonMalformed]. It is
	// for Opaque only.
	//
	// Danger: nobody can tell whose such a token is. The server that Opaque asks is shown
	// each one that a client sends, also those of other servers. Set it only if that
	// server issues such tokens itself, and may see the others.
	EncryptedAreOpaque bool

	// Resolve makes the verifier of an issuer that is not in Issuers, when the
	// first token of that issuer arrives. The issuer comes from an unverified token,
	// but it is always one that ResolveIssuers or AllowIssuer lets through. The verifier must be
	// made for exactly that issuer.
	//
	//   - A verifier and nil: the verifier is used for ResolvedTTL.
	//   - nil and nil: there is no such issuer. The token is
	//     [bearergate.ErrInvalidToken] with [bearergate.ReasonIssuer]. This is
	//     remembered for [UnresolvedTTL].
	//   - An error is judged by [bearergate.Guard]. One that is exactly one of
	//     bearergate's sentinels is kept. Any other one is [bearergate.ErrUnavailable]
	//     with [bearergate.ReasonKeysUnavailable], since the token is not to blame.
	//     After an outage or a mistake, Resolve is not called for that issuer for a
	//     second.
	//
	// There is one call per issuer at a time, shared by all tokens that wait. Its
	// context is independent of theirs and ends after ResolveTimeout; Resolve should
	// honour it. Resolve must be safe for concurrent use.
	//
	// Danger: with a template or AllowIssuer, anybody can invent issuers that match. Resolve
	// should look the tenant up. A verifier that is made for an invented name asks
	// the authorization server about it. Each verifier has a cache of its own: see
	// CacheBytes of jwtverify.Config.
	Resolve func(ctx context.Context, issuer string) (bearergate.Verifier, error)

	// ResolveIssuers are the issuers that Resolve may be asked for. Required
	// with Resolve, unless AllowIssuer is set. Each is an exact issuer, or an http(s) URL in which whole path
	// segments are placeholders, as in
	//
	//	https://login.example.com/{tenant}/v2.0
	//
	// A placeholder stands for one segment of 1 to 128 of the characters
	// A-Z a-z 0-9 . _ - that does not start with a dot. Everything else is
	// compared exactly, from the first byte to the last. A host cannot hold a
	// placeholder: whoever can get a host name that matches would choose the keys.
	// Where the tenant is in the host, there is AllowIssuer.
	ResolveIssuers []string

	// AllowIssuer lets Resolve be asked for issuers that are neither in Issuers nor in
	// ResolveIssuers: for tenants in the host, which a template cannot hold. It is for
	// Resolve only, beside ResolveIssuers or instead of them. It is asked for every token
	// of such an issuer, but only if that is an https URL with a host of lower-case
	// letters, digits, "-" and ".", perhaps a port, and a path whose segments are as what
	// a placeholder stands for: without user information, query, fragment and escapes. It
	// must be quick, and safe for concurrent use. If it panics, the token is refused with
	// [bearergate.ErrMisconfigured]. The calls of Resolve are counted as for templates.
	//
	// Danger: whoever owns an issuer that it lets through chooses the keys. The
	// issuer comes from an unverified token. strings.HasSuffix(issuer, "example.com")
	// lets "https://evil-example.com" through, and a suffix with a dot lets through every
	// host name that somebody else can get under that domain, as well as
	// "https://evil.test/.example.com" where the path is not looked at. Parse it with
	// net/url, compare Host with the names that you gave out, and Path with what it
	// must be.
	AllowIssuer func(issuer string) bool

	// MaxResolved is how many verifiers made by Resolve are kept: this many that
	// have accepted a token, and this many that have not. Of each kind, those used
	// last are kept. So invented issuers never push out one that is in use.
	// Default: [DefaultMaxResolved]; at most [MaxResolvedLimit].
	MaxResolved int
	// ResolvedTTL is how long a verifier from Resolve is used, and so how long the
	// tokens of an issuer are accepted after its removal. From 80 % of it on, the
	// next token has Resolve asked again, in the background. What Resolve returns
	// takes the place of the old verifier at once. A new verifier starts without
	// keys: where nothing has changed, return the same one as before.
	// Default: [DefaultResolvedTTL]; from 1 s to 24 h.
	ResolvedTTL time.Duration
	// ResolveTimeout bounds a call of Resolve. Default: [DefaultResolveTimeout];
	// from 1 ms to 1 min.
	ResolveTimeout time.Duration
	// MaxResolvesPerMinute bounds the calls of Resolve: this many at once, then
	// evenly this many per minute, and never more than [MaxResolving] under way. A
	// token that would need one more is [bearergate.ErrUnavailable] with
	// [bearergate.ReasonOverloaded]. Calls are counted apart for exact issuers, for
	// issuers that a template matches or AllowIssuer lets through, and for issuers of
	// which a token has been accepted before: so a flood of invented issuers does not keep those in use
	// from being renewed. A process that starts during such a flood has accepted no
	// token yet, and there the first call for each issuer has to get through it.
	// Default: [DefaultMaxResolvesPerMinute]; at most 60,000.
	MaxResolvesPerMinute int

	// MaxTokenBytes is the longest token that is looked at, opaque or not.
	// Default: [DefaultMaxTokenBytes]; at most [MaxTokenBytesLimit].
	MaxTokenBytes int
}

// The defaults and bounds of [Config].
const (
	DefaultMaxTokenBytes        = 16 << 10
	MaxTokenBytesLimit          = 1 << 20
	DefaultMaxResolved          = 1024
	MaxResolvedLimit            = 1 << 20
	DefaultResolvedTTL          = time.Hour
	DefaultResolveTimeout       = 5 * time.Second
	DefaultMaxResolvesPerMinute = 600
	UnresolvedTTL               = 10 * time.Second // how long "no such issuer" is remembered
	MaxResolving                = 64               // calls of Resolve under way, for exact issuers and for templates

	leastResolvedTTL    = time.Second
	limitResolvedTTL    = 24 * time.Hour
	leastResolveTimeout = time.Millisecond
	limitResolveTimeout = time.Minute
	limitPerMinute      = 60_000
)

// Router is a [bearergate.Verifier] for tokens of several issuers, and for JWTs
// and opaque tokens side by side. It only chooses the verifier; that one decides.
//
// A JWT-shaped token goes to the verifier of its issuer, every other token to
// Opaque. A JWT-shaped token never reaches Opaque, whatever is wrong with it: a
// JWT of an issuer that is not configured is refused, and sent to nobody. (The one
// exception are encrypted tokens, with EncryptedAreOpaque.) A token
// is JWT-shaped if it starts with "{", or if the part before its first dot (all
// of it, if there is no dot) decodes from base64, however sloppily written, to
// bytes that start with "{". If it has fewer than two dots, the bytes after the
// "{" must be text as well. Such a token is no JWT, but it may be an opaque token
// of random characters; without this rule, 1 in 256 of those, and 1 in 25 of
// those written in hexadecimal, would be refused.
//
// The iss of a JWT-shaped token is read before anything is verified. A token that is no
// compact JWS, or whose claims have no iss, two, or more than 512 objects and arrays in one
// another, goes no further. Everything else that may be wrong with it is for the verifier
// of that issuer, which makes the whole decision. It must read the iss again, from what it
// has verified, and the token that it returns must have the issuer that it stands
// under. If that has another one, the verifier is the wrong one or broken:
// [bearergate.ErrMisconfigured], not the client's fault.
//
// Panics, nil tokens and foreign errors of the verifiers are treated as
// [bearergate.Verify] does.
//
// A Router is safe for concurrent use. A nil or zero Router answers
// [bearergate.ErrMisconfigured].
type Router struct {
	issuers       map[string]choice
	opaque        bearergate.Verifier // nil: none
	encrypted     bool                // Config.EncryptedAreOpaque
	resolver      *resolver           // nil: none
	maxTokenBytes int
	names         string // the issuers that are configured, as an error may hold them
}

// NewRouter checks the configuration and calls no verifier. All mistakes come
// at once, each saying what to change, as one [bearergate.ErrMisconfigured].
func NewRouter(c Config) (*Router, error) {
	r := &Router{issuers: map[string]choice{}, opaque: c.Opaque, encrypted: c.EncryptedAreOpaque, maxTokenBytes: c.MaxTokenBytes}
	wrong := mistake.In("issuers")

	if len(c.Issuers) == 0 && c.Opaque == nil && c.Resolve == nil {
		wrong.Addf("the router has no verifier: set Issuers, Opaque or Resolve")
	}
	for _, issuer := range slices.Sorted(maps.Keys(c.Issuers)) {
		if issuer == "" {
			wrong.Addf("Issuers has an empty key: key each verifier by the exact iss of its tokens")
		}
		if mistake.Literal(issuer) != nil {
			wrong.Addf("Issuers[%q]: the key is compared as it stands, and no token has such an iss: for many issuers of one form, set Resolve and ResolveIssuers", issuer)
		} else if err := fetch.CheckPasted(issuer); err != nil {
			wrong.Addf("Issuers[%q]: the key %w", issuer, err)
		}
		if err := checkMember(issuer, c.Issuers[issuer]); err != nil {
			wrong.Addf("Issuers[%q]: %w", issuer, err)
		}
		r.issuers[issuer] = choice{verifier: c.Issuers[issuer], issuer: issuer}
	}
	if c.Opaque != nil && guard.IsNil(c.Opaque) {
		wrong.Addf("Opaque is a nil %T: leave the field out to refuse opaque tokens", c.Opaque)
	}
	if c.EncryptedAreOpaque && c.Opaque == nil {
		wrong.Addf("EncryptedAreOpaque is for Opaque, which is nil: set it, to an introspect.Client for example, or leave EncryptedAreOpaque out")
	}
	mistake.Between(&wrong, "MaxTokenBytes", &r.maxTokenBytes, DefaultMaxTokenBytes, 1, MaxTokenBytesLimit)
	r.resolver = newResolver(c, &wrong)
	r.names = namesOf(c)

	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return r, nil
}

func misconfigured(cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: cause}
}

// checkMember says what is wrong with v as the verifier of issuer, as far as
// can be told without a token.
func checkMember(issuer string, v bearergate.Verifier) error {
	switch {
	case v == nil:
		return errors.New("the verifier is nil: give the result of jwtverify.New, for example")
	case guard.IsNil(v):
		return fmt.Errorf("the verifier is a nil %T: give the result of its constructor", v)
	}
	own := ""
	err := guard.Call(func() error { own = issuerOf(v); return nil }, nil)
	switch {
	case err != nil:
		return fmt.Errorf("its method Issuer %w: mend it, or give a verifier without it", err)
	case own == "" && isZeroNamed(v):
		return fmt.Errorf("the verifier is a zero %T, for the issuer %q: make it with its constructor", v, issuer)
	case own != "" && own != issuer:
		return fmt.Errorf("the verifier is for the issuer %q: make it for the very one that it stands under, letter for letter", own)
	}
	return nil
}

// issuerOf is the issuer that a verifier says it is for, "" if it does not say.
func issuerOf(v bearergate.Verifier) string {
	if v, ok := v.(interface{ Issuer() string }); ok {
		return v.Issuer()
	}
	return ""
}

// isZeroNamed reports a verifier that could tell its issuer and does not because
// nobody made it: new(jwtverify.Verifier) instead of jwtverify.New.
func isZeroNamed(v bearergate.Verifier) bool {
	_, named := v.(interface{ Issuer() string })
	r := reflect.ValueOf(v)
	return named && r.Kind() == reflect.Pointer && r.Elem().Type().Size() > 0 && r.Elem().IsZero() // one without fields was made as it is
}

// Verify chooses the verifier of the token and asks it through
// [bearergate.Verify]. The errors of that verifier are passed on as they are. When
// ctx is canceled first, the answer is [bearergate.ErrUnavailable] with
// [bearergate.ReasonCanceled]; when its deadline passes first, with the Reason of
// what was waited for, [bearergate.ReasonKeysUnavailable] here and in Resolve.
func (r *Router) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	c, err := r.choose(ctx, token)
	switch {
	case err != nil:
		return nil, err
	case c.issuer == "":
		return bearergate.Verify(ctx, c.verifier, token)
	}
	t, err := verifyAs(ctx, c.issuer, c.verifier, token)
	// Of an issuer that was resolved, the verifier before this one is not asked in its
	// place, whatever the error: Resolve may have replaced it by one that checks more.
	if err == nil && c.entry != nil && !c.entry.accepted.Load() {
		r.resolver.accept(c.entry)
	}
	return t, err
}

// choice is the verifier of a token.
type choice struct {
	verifier bearergate.Verifier
	issuer   string    // "": it is the one for opaque tokens
	entry    *resolved // nil: it is configured
}

// choose finds the verifier of a token, waiting for Resolve where that has to be asked.
func (r *Router) choose(ctx context.Context, token string) (choice, error) {
	if r == nil || r.maxTokenBytes == 0 {
		return choice{}, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Cause: errors.New("issuers: the Router was not made by NewRouter")}
	}
	switch {
	case token == "":
		return choice{}, &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}
	case ctx.Err() != nil:
		return choice{}, left(ctx)
	case len(token) > r.maxTokenBytes: // before any of it is decoded
		return choice{}, invalid(bearergate.ReasonTooLarge, "the token is longer than the router's MaxTokenBytes")
	case !jwtShaped(token):
		if r.opaque == nil {
			return choice{}, invalid(bearergate.ReasonMalformed, "the token is not a JWT, and there is no verifier for opaque tokens")
		}
		return choice{verifier: r.opaque}, nil
	}
	c, issuer, err := r.configured(token)
	if err != nil && r.opaque != nil && isEncrypted(token) {
		if !r.encrypted {
			return choice{}, invalid(bearergate.ReasonMalformed, "the token is encrypted: EncryptedAreOpaque sends such tokens to Opaque")
		}
		return choice{verifier: r.opaque}, nil
	}
	if issuer == "" {
		return c, err
	}
	if r.resolver != nil {
		allowance, err := r.resolver.allowed(issuer)
		if err != nil {
			return choice{}, err
		}
		if allowance != nil {
			e, err := r.resolver.find(ctx, allowance, issuer)
			if err != nil {
				return choice{}, err
			}
			return choice{verifier: e.verifier, issuer: issuer, entry: e}, nil
		}
	}
	return choice{}, accept.Unsigned(bearergate.ReasonIssuer, "issuers: no verifier is configured for the issuer", r.names, accept.Quoted(issuer))
}

// configured finds the verifier of a JWT in Issuers. The issuer is given where there is
// none for it, and no error. For a token whose issuer is configured, nothing is allocated.
func (r *Router) configured(token string) (c choice, issuer string, err error) {
	buf := jose.Borrow()
	defer jose.GiveBack(buf, token)
	found, err := jose.UnverifiedIssuer(buf, token, r.maxTokenBytes)
	switch {
	case errors.Is(err, jose.ErrNoIssuer):
		return choice{}, "", invalid(bearergate.ReasonMissingClaim, "the required claim iss is absent or empty")
	case err != nil:
		return choice{}, "", invalid(bearergate.ReasonMalformed, err.Error())
	}
	if c, ok := r.issuers[string(found)]; ok { // a conversion that copies nothing
		return c, "", nil
	}
	return choice{}, string(found), nil
}

// namesOf are the issuers that are configured, as an error may hold them. They are made
// once: a stranger's token must not cost more the more issuers there are.
func namesOf(c Config) string {
	all := accept.Quoted(append(slices.Sorted(maps.Keys(c.Issuers)), c.ResolveIssuers...)...)
	if c.AllowIssuer != nil {
		all = strings.TrimPrefix(all+", or one that AllowIssuer lets through", ", or ")
	}
	return all
}

// errWait is what a caller is told whose deadline has passed.
var errWait = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}

// left is the answer to a caller whose context has ended.
func left(ctx context.Context) error { return bearergate.Guard(ctx, errWait, context.Context.Err) }

// invalid is an error of the token itself. Its text names the rule, never what
// the token says.
func invalid(reason bearergate.Reason, text string) error {
	return accept.Invalid(reason, "issuers: "+text)
}

// verifyAs asks the verifier of issuer, and holds it to that.
func verifyAs(ctx context.Context, issuer string, v bearergate.Verifier, token string) (*bearergate.Token, error) {
	t, err := bearergate.Verify(ctx, v, token)
	if err != nil {
		return nil, err
	}
	if err := holdTo(issuer, v, t); err != nil {
		return nil, err
	}
	return t, nil
}

// holdTo refuses a token of another issuer than v is asked for. The token says that it
// is of this issuer, and was accepted: the client has done nothing wrong, and 401 would
// have it throw its session away.
func holdTo(issuer string, v bearergate.Verifier, t *bearergate.Token) error {
	if t.Issuer() == issuer {
		return nil
	}
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
		Cause: fmt.Errorf("issuers: the %T that is configured for an issuer returned a token of another issuer, or of none", v)}
}

// jwtShaped reports whether somebody, however forgiving, might take the token
// for a JWT: see [Router].
func jwtShaped(token string) bool {
	if strings.HasPrefix(token, "ey") && strings.Count(token, ".") >= 2 { // "{", and the usual way to write it
		return true
	}
	if strings.HasPrefix(trimBlank(token), "{") {
		return true // the JSON serialization (RFC 7515 §7.2)
	}
	header, rest, _ := strings.Cut(token, ".")
	decoded := lenient{text: header}
	c, ok := decoded.next()
	for ok && isBlank[c] {
		c, ok = decoded.next()
	}
	if !ok || c != '{' {
		return false
	}
	return strings.Contains(rest, ".") || startsObject(decoded.rest())
}

// The header of an encrypted token is read before anything is verified.
const (
	maxEncryptedHeader = 4 << 10 // characters
	maxEncryptedNested = 16      // objects and arrays
)

// isEncrypted reports a compact JWE (RFC 7516 §7.1). It is strict where jwtShaped is
// forgiving: in doubt, a token is shown to nobody.
func isEncrypted(token string) bool {
	header, rest, _ := strings.Cut(token, ".")
	if len(header) > maxEncryptedHeader || strings.Count(rest, ".") != 3 {
		return false
	}
	other := func(c rune) bool { return c != '.' && (c >= 0x80 || sixBits[c] < 0 || c == '+' || c == '/') }
	if strings.ContainsFunc(token, other) {
		return false
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(header)
	if err != nil || bytes.Count(decoded, []byte{'{'})+bytes.Count(decoded, []byte{'['}) > maxEncryptedNested {
		return false
	}
	enc := ""
	err = strictjson.Object(decoded, func(name, value []byte) (err error) {
		if string(name) == "enc" {
			enc, err = strictjson.String(value)
		}
		return err
	})
	return err == nil && enc != ""
}

// isBlank has what may stand before the first "{": white space, also of languages
// other than JSON, and the bytes of byte order marks, whose UTF-16 has NULs.
var isBlank = func() (is [256]bool) {
	for _, c := range []byte(" \t\r\n\v\f\x00\xef\xbb\xbf\xff\xfe") {
		is[c] = true
	}
	return is
}()

func trimBlank[T ~string | ~[]byte](s T) T {
	for len(s) > 0 && isBlank[s[0]] {
		s = s[1:]
	}
	return s
}

// startsObject reports whether the bytes after a "{" are those of a JSON object
// rather than random: they are text, or begin with a quoted name and a colon,
// whatever may follow.
func startsObject(rest []byte) bool {
	if !slices.ContainsFunc(rest, isControl) && utf8.Valid(rest) {
		return true
	}
	rest, quoted := bytes.CutPrefix(trimBlank(rest), []byte{'"'})
	if !quoted {
		return false
	}
	for i, c := range rest {
		if c == '"' && bytes.HasPrefix(trimBlank(rest[i+1:]), []byte{':'}) {
			return true
		}
	}
	return false
}

// isControl reports a byte that text does not have. None is part of a longer character.
func isControl(c byte) bool { return c < ' ' && !isBlank[c] || c == 0x7f }

// lenient decodes base64 as the most forgiving decoders do: of either alphabet,
// ignoring padding, white space and every other character that is not of them.
type lenient struct {
	text string
	bits uint
	n    int // how many of bits are left
}

func (l *lenient) next() (byte, bool) {
	for len(l.text) > 0 {
		six := sixBits[l.text[0]]
		l.text = l.text[1:]
		if six < 0 {
			continue
		}
		l.bits, l.n = l.bits<<6|uint(six), l.n+6
		if l.n >= 8 {
			l.n -= 8
			return byte(l.bits >> l.n), true
		}
	}
	return 0, false
}

// sixBits are what the characters of both alphabets stand for; -1 is for all others.
var sixBits = func() (bits [256]int8) {
	for c := range bits {
		bits[c] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		bits[c] = int8(i)
	}
	bits['+'], bits['/'] = bits['-'], bits['_']
	return bits
}()

func (l *lenient) rest() []byte {
	all := make([]byte, 0, len(l.text))
	for i := range len(l.text) { // next, without its bookkeeping: this may be a whole token
		six := sixBits[l.text[i]]
		if six < 0 {
			continue
		}
		l.bits, l.n = l.bits<<6|uint(six), l.n+6
		if l.n >= 8 {
			l.n -= 8
			all = append(all, byte(l.bits>>l.n))
		}
	}
	return all
}
