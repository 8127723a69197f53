package introspect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/jose"
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
		return nil, &failure{outcome: OutcomeMalformed, detail: "the signed answer: " + err.Error()}
	}
	bad := func(text string) ([]byte, *failure) {
		return nil, &failure{outcome: OutcomeSignature, detail: "the signed answer: " + text}
	}
	// No other kind of JWT of the same issuer passes, nor this one as another (RFC 9701 §8.1).
	if typ := strings.ToLower(jws.Header.Type); "application/"+strings.TrimPrefix(typ, "application/") != typeSigned {
		return bad("typ is not token-introspection+jwt")
	}
	if !slices.Contains(c.algorithms, jws.Header.Algorithm) {
		return bad("alg is not among Algorithms")
	}
	if _, err := accept.Signer(ctx, c.keys, jws, c.answers.Issuer); err != nil {
		e := bearergate.AsError(err)
		if e.Kind == bearergate.ErrInvalidToken { // what is invalid is the answer, not the token
			return bad(e.Detail)
		}
		return nil, &failure{outcome: OutcomeKeys, ours: e.Kind == bearergate.ErrMisconfigured, retryAfter: e.RetryAfter, cause: errors.New(err.Error())}
	}
	var r accept.Reading
	if err := aroundAnswer.Read(jws.Payload, &r); err != nil {
		return bad("the claims are " + err.Error())
	}
	// iat is judged closely: no leeway for its age, since the answer was made for this very call.
	now, issued := c.now(), r.Claims.IssuedAt
	err = c.answers.Judge(&r, true)
	if err == nil {
		err = c.answers.CheckTimes(now, r.Claims.ExpiresAt, r.Claims.NotBefore, issued)
	}
	switch {
	case err != nil:
		return bad(bearergate.AsError(err).Detail)
	case now.After(issued.Add(maxAnswerAge)):
		return bad("iat is more than a minute ago")
	case r.Extra[0] == nil:
		return bad("there is no token_introspection")
	}
	return r.Extra[0], nil
}

// aroundAnswer reads the claims around a signed answer (RFC 9701 §5). exp should not be
// there, but is not ignored either.
var (
	aroundAnswer = accept.NewReader(accept.Fields{Required: requiredAround, Extra: []string{"token_introspection"},
		Only: []string{"iss", "aud", "iat", "nbf", "exp"}})
	requiredAround = []string{"iss", "aud", "iat"}
)

// signedRules are what those claims must say.
func signedRules(c *Config) accept.Rules {
	return accept.Rules{Issuer: c.Issuer, Audiences: slices.Clone(c.Signed.Audiences), Required: requiredAround, Leeway: c.Leeway, ExpiryOptional: true}
}
