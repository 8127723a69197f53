package accept

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
)

// newer is the part of [jwks.Cache] that looks for a key that replaced another.
type newer interface {
	KeysAfterMiss(ctx context.Context, m jwks.Miss) ([]jwks.Key, error)
}

// ordered is the part of [jwks.Cache] that tells what it did before a token came.
type ordered interface{ Moment() jwks.Moment }

// user is the part of [jwks.Cache] that is told which keys are in use.
type user interface {
	Used(ctx context.Context, k jwks.Key)
}

// Unavailable makes an error of a key source, which is not nil, ours or the
// caller's. It is never the token's fault, whatever the source says: a source has
// not seen the token.
func Unavailable(ctx context.Context, err error) error {
	e := bearergate.AsError(bearergate.Guard(ctx, errKeys, func(context.Context) error { return err }))
	if e.Kind != bearergate.ErrUnavailable && e.Kind != bearergate.ErrMisconfigured {
		return &bearergate.Error{Kind: errKeys.Kind, Reason: errKeys.Reason, Cause: e}
	}
	return e
}

var errKeys = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}

// KeyName is how a token names the key of its signature, and for whose tokens that key
// has to be.
type KeyName struct {
	KeyID, Algorithm string
	Certificate      jose.Certificate // where there is no kid
	Issuer           string
}

// NameOf is how a token of that issuer names its key. The caller makes sure that the token
// is of that issuer.
func NameOf(h jose.Header, issuer string) KeyName {
	return KeyName{KeyID: h.KeyID, Algorithm: h.Algorithm, Certificate: h.Certificate, Issuer: issuer}
}

// Candidates returns the keys under which a signature may be checked, at most
// [jose.MaxCandidates]; none if the token can mean none of the source's keys, or too many.
func Candidates(ctx context.Context, source jwks.Source, n KeyName) ([]jwks.Key, error) {
	keys, _, err := candidates(ctx, source, n)
	return keys, err
}

func candidates(ctx context.Context, source jwks.Source, n KeyName) ([]jwks.Key, absence, error) {
	keys, err := source.Keys(ctx, n.KeyID, n.Algorithm)
	if err != nil {
		return nil, "", Unavailable(ctx, err)
	}
	return n.among(source, keys)
}

// absence is why a token can mean none of the keys that a source has for it.
type absence string

const (
	noCertificate absence = "no key of the issuer has the certificate that the token names (x5t)"
	otherIssuer   absence = "the key that the token can mean serves another issuer: its JWK has a member issuer that is not that of the token"
	tooMany       absence = "the token names no key, and more than four fit"
	tooManyOthers absence = "the issuer publishes no key of that ID, and more than four without one"
)

// among returns those of keys, which source has returned, that a token with this name can
// mean. A key that the token names by its kid comes before all others: what else its header
// says of a key does not count then.
func (n KeyName) among(source jwks.Source, keys []jwks.Key) ([]jwks.Key, absence, error) {
	if n.KeyID != "" {
		for i := range keys {
			if id := keys[i].ID(); id != n.KeyID && id != "" || keys[i].Thumbprint() == [32]byte{} {
				return nil, "", &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
					Cause: fmt.Errorf("the key source %T returned a key with another kid than asked for", source)}
			}
		}
	}
	if len(keys) == 0 {
		return nil, "", nil
	}
	named := keys[0].ID() == n.KeyID
	if n.KeyID == "" && !n.Certificate.IsZero() {
		if keys = n.certified(keys); len(keys) == 0 {
			return nil, noCertificate, nil
		}
	}
	if keys = only(keys, func(k *jwks.Key) bool { return k.ServesIssuer(n.Issuer) }); len(keys) == 0 {
		return nil, otherIssuer, nil
	}
	if len(keys) > jose.MaxCandidates {
		switch { // nothing is hashed for a token that could be under any key of a large set
		case n.KeyID == "":
			return nil, tooMany, nil
		case !named:
			return nil, tooManyOthers, nil
		}
		keys = keys[:jose.MaxCandidates]
	}
	return keys, "", nil
}

// certified returns the keys that have the certificate of the name. If it can be compared
// with that of no key, or is no thumbprint at all, it says nothing.
func (n KeyName) certified(keys []jwks.Key) []jwks.Key {
	told := false
	fit := only(keys, func(k *jwks.Key) bool {
		same, known := k.NamedBy(n.Certificate.SHA256, n.Certificate.SHA1)
		told = told || known
		return same
	})
	if len(fit) == 0 && (!told || !n.Certificate.IsThumbprint()) {
		return keys
	}
	return fit
}

// only returns the keys that are fit: keys itself, as a rule, which is shared.
func only(keys []jwks.Key, fit func(*jwks.Key) bool) []jwks.Key {
	n := 0
	for n < len(keys) && fit(&keys[n]) {
		n++
	}
	if n == len(keys) {
		return keys
	}
	out := slices.Clone(keys[:n])
	for i := n + 1; i < len(keys); i++ {
		if fit(&keys[i]) {
			out = append(out, keys[i])
		}
	}
	return out
}

// Signer returns the key of the source whose signature jws has, and tells the source that
// the key is in use. The caller has found alg in its allowlist. issuer is whose tokens are
// expected: a key that is published for another one verifies nothing.
func Signer(ctx context.Context, source jwks.Source, jws jose.JWS, issuer string) (jwks.Key, error) {
	key, err := signer(ctx, source, jws, issuer)
	if u, ok := source.(user); ok && err == nil {
		u.Used(ctx, key)
	}
	return key, err
}

func signer(ctx context.Context, source jwks.Source, jws jose.JWS, issuer string) (jwks.Key, error) {
	if err := CheckSignature(jws); err != nil {
		return jwks.Key{}, err
	}
	n := NameOf(jws.Header, issuer)
	var came jwks.Moment
	if s, ok := source.(ordered); ok {
		came = s.Moment()
	}
	keys, why, err := candidates(ctx, source, n)
	if why != "" && why != tooMany { // what the token names may be a new key: nothing was tried, so an outage is one
		keys, why, err = n.afterMiss(ctx, source, came, false, why)
	}
	switch {
	case err != nil:
		return jwks.Key{}, err
	case len(keys) == 0:
		return jwks.Key{}, unknownKey(source, n, why)
	}
	for i := range keys {
		if keys[i].Verify(n.Algorithm, jws.Signed, jws.Signature) == nil {
			return keys[i], nil
		}
	}
	// A bad signature may be the first sign of a new key, without kid, or under the kid of
	// an old one. Most often it is none, so that no outage may come of it; but where no key
	// has the kid of the token, whether there is one now must be known.
	fresh, _, err := n.afterMiss(ctx, source, came, true, "")
	if e := bearergate.AsError(err); e != nil && (n.KeyID != "" && keys[0].ID() == "" || e.Kind == bearergate.ErrMisconfigured || e.Reason == bearergate.ReasonCanceled) {
		return jwks.Key{}, e
	}
	for i := range fresh {
		tried := slices.ContainsFunc(keys, func(k jwks.Key) bool { return k.Thumbprint() == fresh[i].Thumbprint() })
		if !tried && fresh[i].Verify(n.Algorithm, jws.Signed, jws.Signature) == nil {
			return fresh[i], nil
		}
	}
	return jwks.Key{}, Unsigned(bearergate.ReasonSignature, "the signature does not verify", "", Named(n.KeyID, n.Algorithm))
}

// afterMiss asks a source once more, if it can look for new keys; why is the answer of one
// that cannot.
func (n KeyName) afterMiss(ctx context.Context, source jwks.Source, came jwks.Moment, tried bool, why absence) ([]jwks.Key, absence, error) {
	s, ok := source.(newer)
	if !ok {
		return nil, why, nil
	}
	keys, err := s.KeysAfterMiss(ctx, jwks.Miss{KeyID: n.KeyID, Algorithm: n.Algorithm,
		X5TS256: n.Certificate.SHA256, X5T: n.Certificate.SHA1, Issuer: n.Issuer, Tried: tried, Since: came})
	if err != nil {
		return nil, "", Unavailable(ctx, err)
	}
	return n.among(source, keys)
}

// CheckSignature refuses a signature that no key, new or old, has made: no key is looked up
// for it, nothing is fetched, and an outage does not hide it.
func CheckSignature(jws jose.JWS) error {
	h := jws.Header
	switch length := signatureBytes[h.Algorithm]; {
	case len(jws.Signature) == 0:
		return Unsigned(bearergate.ReasonSignature, "the signature is empty: the token was cut off, or nobody signed it", "", Named(h.KeyID, h.Algorithm))
	case length > 0 && len(jws.Signature) != length:
		return Unsigned(bearergate.ReasonSignature, "the signature is not as long as one of its alg: the token was cut off, or signed by a program that writes it in another form", "", Named(h.KeyID, h.Algorithm))
	}
	return nil
}

// signatureBytes is how long signatures are that have one length (RFC 7518 §3.4, RFC 8037).
var signatureBytes = map[string]int{"ES256": 64, "ES384": 96, "ES512": 132, "EdDSA": 64, "Ed25519": 64}

// unknownKey says which key is missing, and why as far as it is known. Sources of the
// user's are not asked why: their words could be anything.
func unknownKey(source jwks.Source, n KeyName, why absence) error {
	text := string(why)
	if why == "" {
		switch s := source.(type) {
		case *jwks.Cache:
			text = s.Absence(n.KeyID, n.Algorithm)
		case *jwks.Set:
			text = s.Absence(n.KeyID, n.Algorithm)
		}
	}
	return Unsigned(bearergate.ReasonUnknownKey, cmp.Or(text, "the issuer publishes no key that the token can mean"), "", Named(n.KeyID, n.Algorithm))
}

// Named is the key that a token names, as an error may hold it.
func Named(keyID, alg string) string {
	if keyID == "" {
		return "no kid, alg " + Quoted(alg)
	}
	return "kid " + Quoted(keyID) + ", alg " + Quoted(alg)
}
