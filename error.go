package bearergate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/quote"
)

// The eight answers of a resource server. Exactly one of them is true, by
// errors.Is, of every error that this module's verifiers, middleware, key
// sources and constructors return; each says whose fault it is and what the
// client should do.
var (
	// ErrMissingToken: the request carries no bearer token.
	// 401 with a bare challenge, no error code (RFC 6750 §3.1).
	ErrMissingToken = errors.New("no bearer token")
	// ErrInvalidRequest: the credentials are malformed, or there are two. 400 invalid_request.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrInvalidToken: the token is expired, forged, revoked, meant for somebody else. 401 invalid_token.
	ErrInvalidToken = errors.New("invalid token")
	// ErrInsufficientScope: the token is valid but does not reach this far. 403 insufficient_scope.
	ErrInsufficientScope = errors.New("insufficient scope")
	// ErrInsufficientAuthentication: the token is valid but its user's
	// authentication is too weak or too old. 401 insufficient_user_authentication (RFC 9470),
	// or insufficient_claims where [Error.ClaimsChallenge] says more.
	ErrInsufficientAuthentication = errors.New("insufficient user authentication")
	// ErrForbidden: the token is valid and its scopes suffice, but a policy, a role
	// or a tenant of the route says no. 403, without a challenge: no other token of
	// the same kind would help.
	ErrForbidden = errors.New("forbidden")
	// ErrUnavailable: whether the token is valid could not be found out, because
	// keys, an authorization server or a store could not be reached or answered
	// nonsense, or because the caller went away. 503: never the client's fault.
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrMisconfigured: this resource server is set up wrongly or its verifier is broken. 500.
	ErrMisconfigured = errors.New("misconfigured")
)

// sentinel is one of the eight, with the Reason of an error that gives none and what a
// client is told.
type sentinel struct {
	kind   error
	reason Reason
	code   string
}

var sentinels = []sentinel{
	{ErrMissingToken, ReasonNoToken, "MISSING_TOKEN"},
	{ErrInvalidRequest, ReasonBadRequest, "INVALID_REQUEST"},
	{ErrInvalidToken, ReasonPolicy, "INVALID_TOKEN"},
	{ErrInsufficientScope, ReasonScope, "INSUFFICIENT_SCOPE"},
	{ErrInsufficientAuthentication, ReasonAuthentication, "INSUFFICIENT_USER_AUTHENTICATION"},
	{ErrForbidden, ReasonPolicy, "FORBIDDEN"},
	{ErrUnavailable, ReasonInternal, "TEMPORARILY_UNAVAILABLE"},
	{ErrMisconfigured, ReasonInternal, "MISCONFIGURED"},
}

// Reason says which check refused, for operators: a closed set of short words,
// fit for a metric label. It is never sent to clients.
type Reason string

// The reasons, all of them.
const (
	ReasonExpired                  Reason = "expired"                   // exp has passed, or the token is older than policy allows
	ReasonNotYetValid              Reason = "not_yet_valid"             // nbf or iat is in the future
	ReasonIssuer                   Reason = "issuer"                    // iss is not the expected one
	ReasonAudience                 Reason = "audience"                  // aud names nobody we are
	ReasonType                     Reason = "type"                      // not an access token: an ID token, logout token, DPoP proof…
	ReasonAlgorithm                Reason = "algorithm"                 // alg is not in the allowlist
	ReasonSignature                Reason = "signature"                 // the signature does not verify
	ReasonUnknownKey               Reason = "unknown_key"               // the issuer publishes no such key
	ReasonMalformed                Reason = "malformed"                 // not the strict form of a token, or a claim of the wrong type
	ReasonTooLarge                 Reason = "too_large"                 // longer than the configured limit
	ReasonMissingClaim             Reason = "missing_claim"             // a required claim is absent or empty
	ReasonInactive                 Reason = "inactive"                  // introspection answered active: false
	ReasonRevoked                  Reason = "revoked"                   // known to be revoked
	ReasonBinding                  Reason = "binding"                   // sender-constrained, and the constraint is not met or not checked
	ReasonProof                    Reason = "proof"                     // a proof of possession is wrong
	ReasonReplay                   Reason = "replay"                    // a proof of possession, or a token that counts once, was used before
	ReasonNonce                    Reason = "nonce"                     // a proof of possession has no nonce of this server, or an old one
	ReasonPolicy                   Reason = "policy"                    // the user's own Check or policy refused
	ReasonTenant                   Reason = "tenant"                    // the token is of another tenant than the route
	ReasonRole                     Reason = "role"                      // the token has none of the roles of the route
	ReasonActor                    Reason = "actor"                     // who acts for the subject may not, or too many have acted before
	ReasonScope                    Reason = "scope"                     // the scopes do not satisfy the route
	ReasonAuthentication           Reason = "authentication"            // acr, auth_time or acrs does not satisfy the route
	ReasonNoToken                  Reason = "no_token"                  // no credential
	ReasonBadRequest               Reason = "bad_request"               // malformed credentials
	ReasonKeysUnavailable          Reason = "keys_unavailable"          // no usable keys could be fetched
	ReasonIntrospectionUnavailable Reason = "introspection_unavailable" // no usable introspection answer
	ReasonStoreUnavailable         Reason = "store_unavailable"         // a function or store of the user's could not answer
	ReasonOverloaded               Reason = "overloaded"                // too much to do; refused to protect the rest
	ReasonCanceled                 Reason = "canceled"                  // the caller went away before the answer was known
	ReasonInternal                 Reason = "internal"                  // a broken verifier or hook
	ReasonConfig                   Reason = "config"                    // a wrong configuration
)

var reasons = []Reason{
	ReasonExpired, ReasonNotYetValid, ReasonIssuer, ReasonAudience, ReasonType, ReasonAlgorithm, ReasonSignature,
	ReasonUnknownKey, ReasonMalformed, ReasonTooLarge, ReasonMissingClaim, ReasonInactive, ReasonRevoked,
	ReasonBinding, ReasonProof, ReasonReplay, ReasonNonce, ReasonPolicy, ReasonTenant, ReasonRole, ReasonActor, ReasonScope,
	ReasonAuthentication, ReasonNoToken, ReasonBadRequest,
	ReasonKeysUnavailable, ReasonIntrospectionUnavailable, ReasonStoreUnavailable, ReasonOverloaded, ReasonCanceled, ReasonInternal,
	ReasonConfig,
}

// Quoted are values that somebody else wrote, as Expected and Found of an [Error] may hold
// them: quoted, in printable ASCII, and cut, to 128 bytes a value and 8 values.
func Quoted(values ...string) string { return quote.List(values...) }

// Error is the one error type of this module, reached by errors.As. Its text
// is for operators, may change in any release and must not be sent to clients.
// Its text never holds a token, a secret or a response body.
//
// A custom [Verifier] may return one: Kind and Reason are what matters, the
// rest is optional.
type Error struct {
	// Kind is one of the eight sentinels of this package. Anything else reads as [ErrMisconfigured].
	Kind error
	// Reason is one of the Reason constants.
	Reason Reason
	// RetryAfter is how long to wait before trying again; for [ErrUnavailable]. 0 means unknown.
	RetryAfter time.Duration
	// Scopes are what the route requires; for [ErrInsufficientScope], and for
	// [ErrInsufficientAuthentication] if the scopes do not suffice either.
	Scopes []string
	// ACRValues are what the route accepts, in order of preference; for [ErrInsufficientAuthentication].
	ACRValues []string
	// MaxAge is how old an authentication the route accepts; for [ErrInsufficientAuthentication].
	// 0 means any age.
	MaxAge time.Duration
	// ClaimsChallenge is what a client has to send to the authorize endpoint of Microsoft
	// Entra as its parameter claims, in base64; for [ErrInsufficientAuthentication]. Only a
	// client that announced that it understands it (xms_cc, "cp1") may get one. "" means
	// none, and so does what is not printable ASCII without space, double quote and
	// backslash. [StepUp.AuthContext] makes it.
	ClaimsChallenge string
	// Detail says what is wrong in the words of whoever refused: fixed ones, fit for any
	// log. This module puts nothing into it that a client, a server or a function of the
	// user's wrote, but the names of claims that it knows itself. Whoever makes an Error,
	// a Check or a Verifier of your own, has to keep to that, here and in Expected and
	// Found.
	Detail string
	// Expected and Found are the two sides of the comparison that refused, for operators:
	// the configured issuer and the token's iss, the accepted algorithms and its alg. What
	// a token says is quoted and cut, as by [Quoted]; it is an issuer, an audience, an
	// algorithm, a type (typ, token_use, token_type), a kid, the name of a claim or of a
	// member of cnf, a time or a lifetime, and of a token that somebody vouches for a
	// scope, a role, a tenant, an acr or acrs too; it is never a subject, a credential or another
	// claim's value. "": nothing was compared.
	Expected, Found string
	// Unsigned says that Found was read before a signature was checked: anybody may have
	// written it.
	Unsigned bool
	// Refused is the token that was refused although the configured issuer vouches for
	// it, by its signature or its answer, and which a verifier of this module judged, or
	// [Authenticate] for its binding: whose it was, for audit. It is authorized for
	// nothing. If it is [Token.Bound], nobody has proved to hold its key, and whoever sent
	// it may have stolen it: do not count it as one of its client. Set it by
	// [Error.WithRefused].
	Refused *Token
	// Cause is what went wrong underneath. errors.Is and errors.As reach it
	// only if it matches none of the eight sentinels.
	Cause error
}

// Error returns a text for operators.
func (e *Error) Error() string {
	if e == nil {
		e = &Error{}
	}
	var b strings.Builder
	b.WriteString("bearergate: ")
	b.WriteString(e.kind().Error())
	if e.Reason != "" {
		b.WriteString(": ")
		b.WriteString(string(e.Reason))
	}
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	for _, side := range []struct{ name, value string }{{"expected", e.Expected}, {"found", e.Found}} {
		if side.value != "" {
			b.WriteString(", " + side.name + " " + side.value)
		}
	}
	if e.Found != "" && e.Unsigned {
		b.WriteString(" (unverified)")
	}
	if e.Cause != nil {
		b.WriteString(": ")
		b.WriteString(strings.TrimPrefix(textOf(e.Cause), "bearergate: "))
	}
	return b.String()
}

// textOf is what err says, also if its Error method panics, as that of a typed nil
// does. fmt survives that too, but prints the value of the panic.
func textOf(err error) (text string) {
	if guard.Call(func() error { text = err.Error(); return nil }, nil) != nil {
		return fmt.Sprintf("a %T that says nothing", err)
	}
	return text
}

// WithRefused returns a copy that says whose token was refused, unless what that says may
// be the token itself ([Claims.Unquotable]). [Token.Authorize] of
// the token that it holds refuses everything, and [NewContext] does not take it.
func (e *Error) WithRefused(t *Token) *Error {
	c := Error{}
	if e != nil {
		c = *e
	}
	if c.Refused = nil; t != nil && !t.claims().Unquotable {
		refused := *t
		refused.refused, refused.confirmed = true, nil
		c.Refused = &refused
	}
	return &c
}

// Code is all that a client may be told of the error, as one word of a closed set,
// whatever carries the answer: MISSING_TOKEN, INVALID_REQUEST, TOKEN_EXPIRED,
// TOKEN_INACTIVE, INVALID_TOKEN, INVALID_DPOP_PROOF, USE_DPOP_NONCE,
// INSUFFICIENT_SCOPE, INSUFFICIENT_USER_AUTHENTICATION, INSUFFICIENT_CLAIMS, FORBIDDEN,
// TEMPORARILY_UNAVAILABLE or MISCONFIGURED. The Reason is for operators: telling why a
// forged token failed would help to forge the next one.
//
// proof says that the sender used [SchemeDPoP] and no token was authenticated: what
// was refused may then be its proof. Without, nobody is told to send another one.
func (e *Error) Code(proof bool) string {
	kind := e.kind()
	if errors.Is(kind, ErrInvalidToken) {
		switch r := e.Reason; {
		case r == ReasonExpired:
			return "TOKEN_EXPIRED"
		case r == ReasonInactive || r == ReasonRevoked:
			return "TOKEN_INACTIVE"
		case proof && (r == ReasonProof || r == ReasonReplay):
			return "INVALID_DPOP_PROOF"
		case proof && r == ReasonNonce:
			return "USE_DPOP_NONCE"
		}
	}
	if errors.Is(kind, ErrInsufficientAuthentication) && isWord(e.ClaimsChallenge) {
		return "INSUFFICIENT_CLAIMS"
	}
	i := slices.IndexFunc(sentinels, func(s sentinel) bool { return kind == s.kind })
	return sentinels[i].code
}

// RetryDelay is how long to have a client wait that is told of an outage, in
// whatever carries the answer: RetryAfter in whole seconds, rounded up, or 5 s where
// it is unknown. It is between 1 and 60 s, and spread at random over about a
// quarter, so that clients do not come back all at once: later than asked for,
// except where that would go past 60.
func (e *Error) RetryDelay() time.Duration {
	const unknown, most = 5 * time.Second, time.Minute
	delay := unknown
	if e != nil && e.RetryAfter > 0 {
		delay = (min(e.RetryAfter, most) + time.Second - 1).Truncate(time.Second)
	}
	spread := time.Second + (delay / 4).Truncate(time.Second)
	earliest := min(delay, most-spread)
	return min(earliest+rand.N(spread+time.Second), most)
}

// Unwrap gives errors.Is and errors.As the Kind, and the Cause unless that
// would make a second sentinel true. A nil *Error, which a careless verifier
// returns as an error that is not nil, reads as [ErrMisconfigured].
func (e *Error) Unwrap() []error {
	if e == nil || e.Cause == nil || hidden(e.Cause) {
		return []error{e.kind()}
	}
	return []error{e.kind(), e.Cause}
}

// hidden reports whether errors.Is must not reach cause: it matches a sentinel,
// or panics when asked.
func hidden(cause error) bool {
	hide := true
	_ = guard.Call(func() error {
		// An Error below has a kind for certain, and is not asked for it: asking
		// every level of a chain eight times would take 8^depth steps.
		var below *Error
		hide = errors.As(cause, &below) || countKinds(cause) > 0
		return nil
	}, nil)
	return hide
}

func (e *Error) kind() error {
	if e == nil {
		return ErrMisconfigured
	}
	for _, s := range sentinels {
		if e.Kind == s.kind {
			return s.kind
		}
	}
	return ErrMisconfigured
}

// countKinds returns of how many sentinels err is: of all of them if it panics
// when asked, as the Unwrap of many a typed nil does.
func countKinds(err error) int {
	if e, ok := err.(*Error); ok && (e == nil || e.Cause == nil) { //nolint:errorlint // this very one: what is around another one counts
		return 1 // as most refusals are: nothing below it says anything
	}
	n := len(sentinels)
	_ = guard.Call(func() error {
		count := 0
		for _, s := range sentinels {
			if errors.Is(err, s.kind) {
				count++
			}
		}
		n = count
		return nil
	}, nil)
	return n
}

// ReasonOf returns the Reason of err: the one its [Error] gives, or the usual
// one of its sentinel. It is "" for nil and for an error that is not exactly
// one of the eight.
func ReasonOf(err error) Reason {
	e, ok := fromError(err)
	if !ok {
		return ""
	}
	return e.Reason
}

// AsError returns what err says in the terms of this package, never nil unless
// err is: its [Error] with Kind and Reason within their closed sets, one made
// from a bare sentinel, or, for an error that is not exactly one of the eight,
// [ErrMisconfigured] with [ReasonInternal], since a verifier that answers so is
// broken. The result may be shared: do not change it.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := fromError(err); ok {
		return e
	}
	return &Error{Kind: ErrMisconfigured, Reason: ReasonInternal, Cause: err}
}

// fromError reports false for nil and for an error of which not exactly one
// sentinel is true.
func fromError(err error) (*Error, bool) {
	if err == nil || countKinds(err) != 1 {
		return nil, false
	}
	var e *Error
	if errors.As(err, &e) && e != nil {
		kind := e.kind()
		if errors.Is(err, kind) { // not so if the one true sentinel stands beside e
			if e.Kind == kind && slices.Contains(reasons, e.Reason) {
				return e, true
			}
			c := *e
			c.Kind = kind
			if !slices.Contains(reasons, c.Reason) {
				c.Reason = defaultReason(kind)
			}
			return &c, true
		}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.kind) {
			return &Error{Kind: s.kind, Reason: s.reason, Cause: errors.New(textOf(err))}, true
		}
	}
	return nil, false
}

func defaultReason(kind error) Reason {
	for _, s := range sentinels {
		if kind == s.kind {
			return s.reason
		}
	}
	return ReasonInternal
}
