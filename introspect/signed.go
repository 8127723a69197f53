package introspect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/claim"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/jwks"
)

// Signing says whether answers are signed JWTs (RFC 9701).
type Signing int

const (
	// Unsigned asks for plain JSON and takes nothing else. TLS protects it.
	Unsigned Signing = iota
	// SignedIfOffered asks for a signed answer and takes plain JSON too. A signed
	// answer can be kept as a proof, but whoever breaks TLS can leave the signature
	// out.
	SignedIfOffered
	// SignedRequired takes nothing but signed answers.
	//
	// A signed answer does not name the token that was asked about: RFC 9701 has no
	// member for it. Whoever breaks TLS can therefore replay an answer for another
	// token, as long as it is not older than a minute.
	SignedRequired
)

const (
	typePlain  = "application/json"
	typeSigned = "application/token-introspection+jwt" // RFC 9701 §5

	maxKeysTried = 4           // signatures checked for one answer
	maxAnswerAge = time.Minute // since iat, and no leeway: the answer was made for this very call
)

func (s Signing) accept() string {
	switch s {
	case SignedRequired:
		return typeSigned
	case SignedIfOffered:
		return typeSigned + ", " + typePlain + ";q=0.5"
	}
	return typePlain
}

func (s Signing) allows(mediaType string) bool {
	return mediaType == typePlain && s != SignedRequired || mediaType == typeSigned && s != Unsigned
}

// form is the part of the cache key that keeps a plain answer from standing in
// for a signed one.
func (s Signing) form() string {
	return [...]string{"plain", "signed-if-offered", "signed"}[s]
}

// unwrap returns the introspection answer in a signed one (RFC 9701 §5),
// verified like any JWT whose sender may be an attacker: strict form, alg from
// the allowlist, a key of the issuer, then typ, iss, aud and iat.
//
// An answer does not name its token. Only the limit on its age bounds the replay
// of an answer for another token.
func (c *Client) unwrap(ctx context.Context, body []byte) ([]byte, *failure) {
	jws, err := jose.Parse(string(body), len(body))
	if err != nil {
		return nil, &failure{outcome: OutcomeMalformed, cause: err}
	}
	bad := func(text string) ([]byte, *failure) {
		return nil, &failure{outcome: OutcomeSignature, cause: errors.New("the signed answer: " + text)}
	}
	// No other kind of JWT of the same issuer passes, nor this one as another (RFC 9701 §8.1).
	if typ := strings.ToLower(jws.Header.Type); "application/"+strings.TrimPrefix(typ, "application/") != typeSigned {
		return bad("typ is not token-introspection+jwt")
	}
	if !slices.Contains(c.algorithms, jws.Header.Algorithm) {
		return bad("alg is not among Algorithms")
	}
	keys, err := c.keys.Keys(ctx, jws.Header.KeyID, jws.Header.Algorithm)
	if err != nil {
		return nil, &failure{outcome: OutcomeKeys, ours: errors.Is(err, bearergate.ErrMisconfigured),
			retryAfter: bearergate.AsError(err).RetryAfter, cause: errors.New(err.Error())}
	}
	if jws.Header.KeyID == "" && len(keys) != 1 {
		return bad("it names no key, and there is not exactly one")
	}
	verifies := func(k jwks.Key) bool { return k.Verify(jws.Header.Algorithm, jws.Signed, jws.Signature) == nil }
	if !slices.ContainsFunc(keys[:min(len(keys), maxKeysTried)], verifies) {
		return bad("no key of the issuer verifies it")
	}

	var answer []byte
	var issuer string
	var audience []string
	var issued, expires time.Time
	err = strictjson.Object(jws.Payload, func(name, value []byte) (err error) {
		switch string(name) {
		case "iss":
			issuer, err = strictjson.String(value)
		case "aud":
			audience, err = claim.StringOrStrings(value)
		case "iat":
			issued, err = strictjson.NumericDate(value)
		case "exp": // should not be there (RFC 9701 §5), but is not ignored either
			expires, err = strictjson.NumericDate(value)
		case "token_introspection":
			answer = value
		}
		return err
	})
	now := c.now()
	switch {
	case err != nil:
		return bad("the claims are malformed")
	case issuer != c.issuer:
		return bad("iss is not the configured issuer")
	case !slices.ContainsFunc(c.answerAudiences, func(ours string) bool { return slices.Contains(audience, ours) }):
		return bad("aud is not among AnswerAudiences")
	case issued.IsZero() || now.Add(c.leeway).Before(issued) || now.After(issued.Add(maxAnswerAge)):
		return bad("iat is missing, in the future, or more than a minute ago")
	case !expires.IsZero() && !now.Before(expires.Add(c.leeway)):
		return bad("exp has passed")
	case answer == nil:
		return bad("there is no token_introspection")
	}
	return answer, nil
}
