package dpop

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/digest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// maxNested bounds the objects and arrays of a payload: those that nobody reads cost more
// than they are long.
const maxNested = 32

// claims are those of a proof (RFC 9449 §4.2), judged but for the nonce.
type claims struct {
	id       string // jti
	nonce    string // "": none
	issuedAt time.Time
}

// judge reads the claims of a proof and compares them with the call.
func (p *Proofs) judge(ctx context.Context, call bearergate.Call, payload []byte, e *ProofEvent) (claims, error) {
	e.Fault = FaultForm
	c, said, err := p.read(payload)
	switch {
	case err != nil:
		return claims{}, err
	case call.Method == "" || call.Target == "":
		return claims{}, misconfigured("the Call has no Method or no Target: fill them in, for the proof names them")
	case said.method != call.Method:
		e.Fault = FaultMethod
		return claims{}, wrongProof("htm is not the method of the request")
	}
	e.Fault = FaultAddress
	if err := p.judgeAddress(ctx, call, said.address); err != nil {
		return claims{}, err
	}
	e.Fault = FaultTokenHash
	if hash, ok := jose.ParseThumbprint(said.tokenHash); !ok || hash != digest.String(call.Raw.Reveal()) {
		return claims{}, wrongProof("ath is not the hash of the token: it has to be the base64url of its SHA-256 without padding")
	}
	if p.nonces != nil && !p.nonces.offer {
		return c, nil // the client's clock does not matter
	}
	e.Fault = FaultTime
	now := p.now().Truncate(time.Second)
	switch {
	case c.issuedAt.Before(now.Add(-p.maxAge)):
		return claims{}, wrongProof("iat is older than MaxAge: the proof was made too long ago, or the client's clock is slow")
	case c.issuedAt.After(now.Add(p.ahead)):
		return claims{}, wrongProof("iat is in the future by more than Ahead: the client's clock is fast")
	case !said.expires.IsZero() && !now.Before(said.expires.Add(leeway)):
		return claims{}, wrongProof("exp of the proof has passed")
	case now.Add(leeway).Before(said.notBefore):
		return claims{}, wrongProof("nbf of the proof is in the future")
	}
	return c, nil
}

// statement is what a proof says about its request.
type statement struct {
	method, address, tokenHash string
	expires, notBefore         time.Time // zero: it does not say
}

// read reads the claims of a proof. Names are matched exactly, and one that stands twice
// refuses the proof; null is as good as absent.
func (p *Proofs) read(payload []byte) (c claims, said statement, err error) {
	if bytes.Count(payload, []byte{'{'})+bytes.Count(payload, []byte{'['}) > maxNested {
		return claims{}, statement{}, wrongProof("the claims hold too many objects and arrays")
	}
	if jose.TooManyNames(payload) {
		return claims{}, statement{}, wrongProof("the claims are too many")
	}
	hasIssuedAt := false
	wrong := ""
	syntax := strictjson.Object(payload, func(name, value []byte) error {
		if strictjson.IsNull(value) {
			return nil
		}
		var err error
		switch string(name) {
		case "jti":
			c.id, err = strictjson.String(value)
		case "htm":
			said.method, err = strictjson.String(value)
		case "htu":
			said.address, err = strictjson.String(value)
		case "ath":
			said.tokenHash, err = strictjson.String(value)
		case "nonce":
			c.nonce, err = strictjson.String(value)
		case "iat":
			c.issuedAt, err = strictjson.NumericDate(value)
			hasIssuedAt = true
		case "exp":
			said.expires, err = strictjson.NumericDate(value)
		case "nbf":
			said.notBefore, err = strictjson.NumericDate(value)
		}
		if err != nil {
			wrong = "a claim of the proof has the wrong type: " + string(name)
		}
		return err
	})
	switch {
	case wrong != "":
	case syntax != nil:
		wrong = "the claims are not one strict JSON object"
	case c.id == "" || said.method == "" || said.address == "" || said.tokenHash == "" || !hasIssuedAt:
		wrong = "one of jti, htm, htu, ath and iat is missing or empty"
	case len(c.id) > p.maxIDBytes:
		wrong = "jti is longer than MaxIDBytes"
	default:
		return c, said, nil
	}
	return claims{}, statement{}, wrongProof(wrong)
}

// judgeAddress compares htu with what the client should have called.
func (p *Proofs) judgeAddress(ctx context.Context, call bearergate.Call, htu string) error {
	said, ok := parsePlace(htu)
	if !ok {
		return wrongProof("htu is not an https or http address that can be compared")
	}
	path, ok := requestPath(call.Target)
	if !ok { // Target is not asked either: what it would make of this is nobody's address
		return wrongProof("the target of the request has no path that can be compared: it is no path, has dot segments, or what programs read in different ways")
	}
	if p.target != nil {
		return p.judgeTarget(ctx, call, said)
	}
	counts := p.called(call.Host)
	for _, base := range p.bases {
		if counts(base, call.Host) && base.scheme == said.scheme && base.authority == said.authority && joined(base.path, path, said.path) {
			return nil
		}
	}
	return wrongProof("htu is not the address of the request: it has to be one of BaseURLs and the path of the request")
}

// called returns which bases count for a Host: those that it names, those of its name with
// another port, or all.
func (p *Proofs) called(host string) (counts func(base place, host string) bool) {
	for _, counts := range []func(place, string) bool{place.isHost, place.isName} {
		if slices.ContainsFunc(p.bases, func(base place) bool { return counts(base, host) }) {
			return counts
		}
	}
	return func(place, string) bool { return true }
}

// joined reports whether whole is base with path behind it. A proxy that takes base off its
// paths makes / of base, be there a slash behind it or not.
func joined(base, path, whole string) bool {
	return path == "/" && whole == base || len(whole) == len(base)+len(path) && whole[:len(base)] == base && whole[len(base):] == path
}

var errTarget = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonProof, Cause: errors.New("dpop: Config.Target")}

// judgeTarget asks Config.Target, which is the user's.
func (p *Proofs) judgeTarget(ctx context.Context, call bearergate.Call, said place) error {
	var text string
	err := bearergate.Guard(ctx, errTarget, func(context.Context) (err error) {
		text, err = p.target(call)
		return err
	})
	if err != nil {
		return err
	}
	called, ok := parsePlace(text)
	switch {
	case !ok:
		return misconfigured("Config.Target returned no https or http address that can be compared")
	case called != said:
		return wrongProof("htu is not the address that Config.Target returned")
	}
	return nil
}
