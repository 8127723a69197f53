package accept

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/jwks"
)

// Events are the signed statements of an issuer about what has happened: logout tokens
// (OpenID Connect Back-Channel Logout 1.0 §2.4) and Security Event Tokens (RFC 8417 §2.2).
// They are JWTs and never access tokens, and no access token is one of them.
type Events struct {
	Name       string   // what one is called: "a logout token"
	Types      []string // typ, as [PlainType] has them
	Untyped    bool     // accepts those without typ, or with JWT, too
	Algorithms []string
	Keys       jwks.Source
	// Rules judge iss, aud, the times, and what is required: nothing else of them counts.
	Rules Rules
}

// Event is one of them that was verified. It points into what was given to Verify.
type Event struct {
	Claims bearergate.Claims // iss, sub, aud, jti, and the times
	// Members are all claims as they stand, those that are null included.
	Members map[string][]byte
}

// Has reports whether there is a claim that is not null.
func (e *Event) Has(name string) bool {
	value, occurs := e.Members[name]
	return occurs && !strictjson.IsNull(value)
}

// Verify verifies a statement in full, like any JWT that anybody may have written: its
// form, alg, typ, iss before any key is looked for, the signature, and then what it says.
func (s *Events) Verify(ctx context.Context, raw string, maxBytes int) (*Event, error) {
	jws, err := jose.Parse(raw, maxBytes)
	switch {
	case errors.Is(err, jose.ErrTooLarge):
		return nil, Invalid(bearergate.ReasonTooLarge, s.Name+" is longer than the limit")
	case err != nil:
		return nil, Invalid(bearergate.ReasonMalformed, err.Error())
	case !slices.Contains(s.Algorithms, jws.Header.Algorithm):
		return nil, Unsigned(bearergate.ReasonAlgorithm, "alg is not among Algorithms", Quoted(s.Algorithms...), Quoted(jws.Header.Algorithm))
	case !s.typed(jws.Header):
		return nil, Unsigned(bearergate.ReasonType, "typ is not that of "+s.Name, Quoted(s.Types...), Quoted(jws.Header.Type))
	}
	origin, err := s.Rules.CheckOrigin(jws)
	if err != nil {
		return nil, err
	}
	arrived := time.Now()
	if _, err := Signer(ctx, s.Keys, jws, origin); err != nil {
		return nil, s.unlessHeldBack(err, jws, arrived)
	}
	return s.read(jws.Payload)
}

// unlessHeldBack makes an outage of a refusal that a new key could undo, one without kid or
// under the kid of an old one too, where no keys were fetched since the statement came: they
// may be out of reach, and strangers who invent key IDs and signatures use up the fetches for
// such keys. A client gets another token; a statement that was refused is not sent again.
func (s *Events) unlessHeldBack(err error, jws jose.JWS, arrived time.Time) error {
	switch bearergate.ReasonOf(err) {
	case bearergate.ReasonUnknownKey:
	case bearergate.ReasonSignature:
		if CheckSignature(jws) != nil { // no key makes such a one
			return err
		}
	default:
		return err
	}
	cache, ok := s.Keys.(interface{ Status() jwks.Status })
	if !ok || !cache.Status().LastSuccess.Before(arrived) {
		return err
	}
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, RetryAfter: jwks.DefaultMissInterval,
		Detail: "no known key has signed it, and no keys were fetched since it came: they cannot be got, or new ones were looked for shortly before"}
}

func (s *Events) typed(h jose.Header) bool {
	return slices.Contains(s.Types, PlainType(h.Type)) || s.Untyped && (!h.HasType || strings.EqualFold(h.Type, "JWT"))
}

// eventClaims are read, each strictly. Whoever asks for more has Members.
var eventClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

func (s *Events) read(payload []byte) (*Event, error) {
	var r Reading
	reader := NewReader(Fields{Required: s.Rules.Required, Only: eventClaims})
	if err := reader.Read(payload, &r); err != nil {
		return nil, Invalid(bearergate.ReasonMalformed, "the claims are "+err.Error())
	}
	if err := s.Rules.Judge(&r, true); err != nil {
		return nil, err
	}
	c := &r.Claims
	if err := s.Rules.CheckTimes(time.Now(), c.ExpiresAt, c.NotBefore, c.IssuedAt); err != nil {
		return nil, err
	}
	e := &Event{Claims: *c, Members: map[string][]byte{}}
	err := strictjson.Object(payload, func(name, value []byte) error {
		e.Members[string(name)] = value
		return nil
	})
	if err != nil { // not reached: Read has found it to be one
		return nil, Invalid(bearergate.ReasonMalformed, "the claims are "+ErrNotAnObject.Error())
	}
	return e, nil
}
