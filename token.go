package bearergate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// Claims is what a token says, as plain data: the input of [NewToken]. An
// empty string, a zero time, a nil slice and the zero scope.Set mean that the claim is
// absent.
type Claims struct {
	Issuer   string    // iss (RFC 7519 §4.1.1)
	Subject  string    // sub (RFC 7519 §4.1.2): unique only together with Issuer
	ClientID string    // client_id (RFC 8693 §4.3): the client the token was issued to
	ID       string    // jti (RFC 7519 §4.1.7)
	Audience []string  // aud (RFC 7519 §4.1.3)
	Scopes   scope.Set // scope (RFC 8693 §4.2); scope.Of(), which is not the zero Set, where the claim names none

	// Roles are those of the subject: roles (RFC 9068 §2.2.3.1). Tenant is the customer
	// that the token belongs to; servers put it into claims of many names, so whoever
	// knows which fills it in. Like Subject, both mean something only together with
	// Issuer.
	Roles  []string
	Tenant string

	SessionID string // sid (OpenID Connect Front-Channel Logout §3): the login behind it

	ExpiresAt time.Time // exp (RFC 7519 §4.1.4)
	IssuedAt  time.Time // iat (RFC 7519 §4.1.6)
	NotBefore time.Time // nbf (RFC 7519 §4.1.5)
	AuthTime  time.Time // auth_time (RFC 9470 §6): when the user last authenticated
	ACR       string    // acr (RFC 9470 §6): how the user authenticated

	// Actors is the act chain (RFC 8693 §4.1), the current actor first.
	Actors []Actor
	// Confirmation holds the members of cnf (RFC 7800 §3.1), each as JSON
	// text; not nil means that the token is bound to a key of its sender.
	Confirmation map[string][]byte
	// Stale says that the authorization server could not be asked again and an
	// older answer of it stands in (see [Token.Stale]).
	Stale bool

	// Key is the SHA-256 thumbprint (RFC 7638) of the key under which the token's signature
	// was verified; zero where there was none, as for introspection. AsOf is when the
	// authorization server said what the token says: iat, or when it answered; zero where
	// that is not known.
	Key  [32]byte
	AsOf time.Time

	// Unquotable says that the claims may hold the very token that they are about, as
	// answers of some introspection endpoints do. What they say is then kept out of every
	// error: see [Token.Quoted].
	Unquotable bool

	// Missing are the paths of claims that a Map looked for and the token does not have:
	// those of the Map that took the Claims, which may add its own. They are names of the
	// configuration, and never text of the token's. Explain names them, and a hook those that
	// no token has. [NewToken] does not keep them.
	Missing []string

	// Raw is the claims object as JSON, for [Token.Claims].
	Raw []byte
}

// Actor is one party of the act chain (RFC 8693 §4.1): who acts for the subject. Without
// an Issuer, it is one of the issuer of the token.
type Actor struct {
	Subject  string // sub
	Issuer   string // iss
	ClientID string // client_id
}

// Token is a token that was verified. It cannot be changed: the same Token may
// serve many requests at once. A nil or zero Token says nothing and is
// authorized for nothing.
//
// Printing a Token in any way gives its issuer and expiry only: no personal
// data, and never the token itself, which it does not hold.
type Token struct {
	// Never written to after NewToken. Not a *Claims: for a Token by value, or
	// in somebody's unexported field, fmt does not call Format, and where a verb
	// does not fit a pointer it prints what the pointer points to.
	c **Claims
	// confirmed is what the sender proved; nil: nothing. Authenticate and
	// Reauthenticate alone set it, and only on a token that is bound.
	confirmed **proof
	// refused says that it stands in an Error: it is authorized for nothing.
	refused bool
}

// NewToken returns a token with these claims, which it copies deeply. It
// verifies nothing: it is for custom verifiers, which call it after all their
// checks, and for tests.
func NewToken(c Claims) *Token {
	c.Audience = slices.Clone(c.Audience)
	c.Roles = slices.Clone(c.Roles)
	c.Actors = slices.Clone(c.Actors)
	c.Raw = bytes.Clone(c.Raw)
	c.Missing = nil
	c.Confirmation = maps.Clone(c.Confirmation)
	for name, value := range c.Confirmation {
		c.Confirmation[name] = bytes.Clone(value)
	}
	t := &struct { // one allocation for all three
		Token
		to     *Claims
		claims Claims
	}{claims: c}
	t.to, t.c = &t.claims, &t.to
	return &t.Token
}

// With returns a token whose claims are a deep copy of those of t that change has
// edited; t stays as it is. Like [NewToken] it verifies nothing: it is for
// verifiers that narrow what another one found. A token that is [Token.Proven]
// stays so only if change leaves cnf alone. A nil or zero Token stays what it is,
// and change is not called.
func (t *Token) With(change func(*Claims)) *Token {
	if t == nil || t.c == nil {
		return t
	}
	c := *NewToken(*t.claims()).claims()
	change(&c)
	changed := NewToken(c)
	changed.refused = t.refused
	if sameConfirmation(t, changed) {
		return changed.with(t.proof())
	}
	return changed
}

// with returns the token with a proof, or without one where p is nil.
func (t *Token) with(p *proof) *Token {
	if p == nil {
		return &Token{c: t.c, refused: t.refused}
	}
	return &Token{c: t.c, confirmed: &p, refused: t.refused}
}

func (t *Token) proof() *proof {
	if t == nil || t.confirmed == nil {
		return nil
	}
	return *t.confirmed
}

var noClaims Claims

func (t *Token) claims() *Claims {
	if t == nil || t.c == nil {
		return &noClaims
	}
	return *t.c
}

// Issuer returns iss, or "" when absent.
func (t *Token) Issuer() string { return t.claims().Issuer }

// Subject returns sub, or "" when absent. It identifies somebody only together
// with [Token.Issuer] (RFC 8725 §3.8), and not always a user: see [Token.IsClient].
func (t *Token) Subject() string { return t.claims().Subject }

// ClientID returns client_id, or "" when absent.
func (t *Token) ClientID() string { return t.claims().ClientID }

// ID returns jti, or "" when absent. It is unique only for its issuer.
func (t *Token) ID() string { return t.claims().ID }

// Audience returns a copy of aud.
func (t *Token) Audience() []string { return slices.Clone(t.claims().Audience) }

// HasAudience reports whether aud names the audience, compared byte for byte.
func (t *Token) HasAudience(audience string) bool {
	return slices.Contains(t.claims().Audience, audience)
}

// Scopes returns the granted scopes.
func (t *Token) Scopes() scope.Set { return t.claims().Scopes }

// Roles returns a copy of the roles; nil when there are none. A role is no scope: [Token.Authorize] does not look
// at it.
func (t *Token) Roles() []string { return slices.Clone(t.claims().Roles) }

// HasRole reports whether the token has the role, compared byte for byte.
func (t *Token) HasRole(role string) bool { return slices.Contains(t.claims().Roles, role) }

// Tenant returns the tenant, or "" when there is none, or nobody filled it in. "" is
// no tenant: do not compare it with another "".
func (t *Token) Tenant() string { return t.claims().Tenant }

// SessionID returns sid, or "" when absent: the login that the token comes from. It is
// unique only for its issuer.
func (t *Token) SessionID() string { return t.claims().SessionID }

// Key returns the SHA-256 thumbprint (RFC 7638) of the key that verified the token's
// signature, or zero where there was none.
func (t *Token) Key() [32]byte { return t.claims().Key }

// AsOf returns when the authorization server said what the token says: iat of a JWT, the
// time of the answer where the server was asked. It is zero where that is not known.
func (t *Token) AsOf() time.Time { return t.claims().AsOf }

// ExpiresAt returns exp, or the zero time when absent.
func (t *Token) ExpiresAt() time.Time { return t.claims().ExpiresAt }

// IssuedAt returns iat, or the zero time when absent.
func (t *Token) IssuedAt() time.Time { return t.claims().IssuedAt }

// NotBefore returns nbf, or the zero time when absent.
func (t *Token) NotBefore() time.Time { return t.claims().NotBefore }

// AuthTime returns auth_time, when the user last authenticated; false when absent.
func (t *Token) AuthTime() (time.Time, bool) {
	at := t.claims().AuthTime
	return at, !at.IsZero()
}

// ACR returns acr, or "" when absent.
func (t *Token) ACR() string { return t.claims().ACR }

// IsClient reports whether the token says that it was issued to a client acting for
// itself, not for a user: its subject is that client (RFC 9068 §2.2 and §5; RFC 9700
// §4.15), or the client followed by "@clients", as Auth0 writes it.
//
// Both IsClient and [Token.IsUser] are false where the token does not say: ask for the
// one that you demand. To keep clients out, demand IsUser; to keep users out, demand
// IsClient; never the negation of the other.
func (t *Token) IsClient() bool {
	c := t.claims()
	return c.ClientID != "" && (c.Subject == c.ClientID || c.Subject == c.ClientID+"@clients")
}

// IsUser reports whether the token says that a user is behind it: it has a subject that is
// not its client, and says when the user authenticated (auth_time). A session (sid) says
// nothing of it: some servers open one for a client too. See [Token.IsClient] for tokens
// that say neither.
func (t *Token) IsUser() bool {
	c := t.claims()
	return c.Subject != "" && !t.IsClient() && !c.AuthTime.IsZero()
}

// Stale reports whether the token rests on an older answer of the
// authorization server because a new one could not be had. It is only ever
// true where that was explicitly allowed.
func (t *Token) Stale() bool { return t.claims().Stale }

// Actor returns a copy of the act chain (RFC 8693 §4.1): the current actor
// first, then earlier ones; nil when nobody acts for the subject. Only the
// first may be used for access decisions: see [Delegation].
func (t *Token) Actor() []Actor { return slices.Clone(t.claims().Actors) }

// Bound reports whether the token is bound to a key of its sender (cnf, RFC 7800
// §3.1). [Token.Proven] tells whether the sender was found to hold the key.
func (t *Token) Bound() bool { return t.claims().Confirmation != nil }

// Proven reports whether the token is bound, and its sender proved to hold the
// key: only [Authenticate] and [Reauthenticate] make a token so. It is false for
// an unbound token, which owes no proof.
func (t *Token) Proven() bool { return t.proof() != nil && t.Bound() }

// Confirmation returns how the token is bound to its sender.
func (t *Token) Confirmation() Confirmation { return Confirmation{t.claims().Confirmation} }

// Confirmation is the cnf claim (RFC 7800): proof of possession that the
// sender of the token owes. The zero value is an unbound token. It is immutable.
type Confirmation struct {
	members map[string][]byte
}

// Bound reports whether the token has a cnf claim. A bound token that is
// accepted without checking the binding is as good as an unbound one.
func (c Confirmation) Bound() bool { return c.members != nil }

// Members returns the names of the members, sorted.
func (c Confirmation) Members() []string { return slices.Sorted(maps.Keys(c.members)) }

// Value returns the member of that name if it is a JSON string, as
// "x5t#S256" (RFC 8705 §3.1) and "jkt" (RFC 9449 §6.1) are.
func (c Confirmation) Value(name string) (string, bool) {
	value, ok := c.members[name]
	if !ok {
		return "", false
	}
	s, err := strictjson.String(value)
	return s, err == nil
}

// Claims decodes all claims into the value that v points to, as encoding/json
// would with these differences: member names match exactly, and on error *v is
// zero. A number decoded into an any becomes a float64, which holds integers
// exactly only to 2^53: decode into int64 or json.Number instead. As with
// encoding/json, what *v already holds stays where no claim replaces it: use a
// new value for each token.
//
// Every claim is as the issuer wrote it, and a claim that this module does not
// know has been checked by nobody.
func (t *Token) Claims(v any) error {
	// A copy: an UnmarshalJSON of the caller may keep or change what it is given.
	raw := bytes.Clone(t.claims().Raw)
	if raw == nil {
		raw = []byte("!") // not JSON: Unmarshal still has to clear *v
	}
	if err := strictjson.Unmarshal(raw, v); err != nil {
		if t.claims().Raw == nil {
			err = errors.New("the token carries no claims object")
		}
		return fmt.Errorf("bearergate: claims: %w", err)
	}
	return nil
}

// Authorize returns nil if the token's scopes satisfy r, else an [Error] of
// [ErrInsufficientScope] with the scopes that r names. A requirement with an
// error of its own (see [scope.Requirement.Err]) is satisfied by no token. A
// nil or zero Token is [ErrMissingToken]. A token that is bound and not
// [Token.Proven] is [ErrInvalidToken] with [ReasonBinding], so that nobody who
// calls [Verifier.Verify] directly can forget the proof: use [Authenticate].
func (t *Token) Authorize(r scope.Requirement) error {
	if t == nil || t.c == nil {
		return noToken()
	}
	if t.refused {
		return unproven("the token was refused: Error.Refused is for audit")
	}
	if t.Bound() && !t.Proven() {
		return unproven("the token is bound to its sender, and the sender has not proved to hold the key: use Authenticate instead of Verify")
	}
	return t.reaches(r)
}

// reaches is the part of Authorize that looks at the scopes.
func (t *Token) reaches(r scope.Requirement) error {
	granted := t.claims().Scopes
	if r.SatisfiedBy(granted) {
		return nil
	}
	found := "none"
	if granted.Len() > 0 {
		found = t.Quoted(granted.Names()...)
	}
	return &Error{Kind: ErrInsufficientScope, Reason: ReasonScope, Scopes: r.Scopes(), Cause: r.Err(),
		Detail: "the token does not have the scopes", Expected: quote.Cut(r.String()), Found: found}
}

// Quoted is [Quoted] for what the token says: "" where that may be the token itself
// ([Claims.Unquotable]).
func (t *Token) Quoted(values ...string) string {
	if t.claims().Unquotable {
		return ""
	}
	return Quoted(values...)
}

// String names the issuer and the expiry, and nothing else.
func (t *Token) String() string {
	if t == nil || t.c == nil {
		return "bearergate.Token{}"
	}
	c := t.claims()
	return "bearergate.Token{issuer: " + strconv.Quote(c.Issuer) + ", expires: " + expiry(c) + "}"
}

// GoString is String: %#v shows no more.
func (t *Token) GoString() string { return t.String() }

// Format writes String for every verb, so that none of them reaches the fields.
func (t *Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue gives log/slog the issuer and the expiry, and nothing else.
func (t *Token) LogValue() slog.Value {
	c := t.claims()
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("expires", expiry(c)))
}

// MarshalJSON writes what LogValue tells.
func (t *Token) MarshalJSON() ([]byte, error) {
	c := t.claims()
	return strictjson.Marshal(map[string]string{"issuer": c.Issuer, "expires": expiry(c)})
}

func expiry(c *Claims) string {
	if c.ExpiresAt.IsZero() {
		return "never"
	}
	return c.ExpiresAt.UTC().Format(time.RFC3339)
}
