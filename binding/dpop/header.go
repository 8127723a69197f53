package dpop

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/ttlcache"
)

// header is that of a proof. One that is remembered has its key: a signature under it has
// verified.
type header struct {
	name       ttlcache.Key
	alg        string
	thumbprint [32]byte
	own        jose.Own
	key        *jose.Key // nil: not admitted yet
}

const (
	headersKept    = 4096 // of at most 2 KiB each: an RSA key of 4096 bits and what surrounds it
	headersKeptFor = time.Hour
)

// headers remembers headers of proofs by their text, so that the next proof of the same
// client costs neither their parsing nor the admission of its key.
//
//   - What bounds it: headersKept, and an hour.
//   - Who can fill it: whoever sent a proof that verified for a token bound to its key.
//   - Who can steer it: nobody. Its names are keyed hashes of whole texts.
//   - What the caller sees when it is full: the same answers, some 20 µs later.
type headers struct {
	names *ttlcache.Namer
	kept  *ttlcache.Cache[*header]
}

func newHeaders() *headers {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	return &headers{ttlcache.NewNamer(secret), ttlcache.New[*header](headersKept, headersKept)}
}

// header returns the header of a proof, whose key may be anybody's.
func (p *Proofs) header(sent string, jws jose.Compact) (*header, error) {
	name := p.headers.names.Name(sent[:len(jws.Segment)])
	if h, ok := p.headers.kept.Get(name, time.Now()); ok {
		return h, nil
	}
	proof, err := jose.ParseProof(jws.Header, proofType)
	if err != nil {
		return nil, wrongForm(err)
	}
	if !slices.Contains(p.algorithms, proof.Algorithm) {
		return nil, wrongProof("alg is not among Algorithms")
	}
	return &header{name: name, alg: proof.Algorithm, thumbprint: proof.Key.Thumbprint(), own: proof.Key}, nil
}

// verify checks the signature of a proof under the key that it brings, and remembers the
// header if that is right.
func (h *headers) verify(of *header, jws jose.Compact) error {
	if of.key != nil {
		if err := of.key.Verify(of.alg, jws.Signed, jws.Signature); err != nil {
			return errSignature()
		}
		return nil
	}
	key, err := of.own.Admit(maxRSABits)
	if err != nil {
		return wrongProof("the key of the proof is not admitted: " + jose.Plain(err))
	}
	if err := key.Verify(of.alg, jws.Signed, jws.Signature); err != nil {
		return errSignature()
	}
	h.kept.Add(of.name, &header{alg: of.alg, thumbprint: of.thumbprint, key: &key}, 1, time.Now(), headersKeptFor)
	return nil
}

func errSignature() error {
	return wrongProof("the signature does not verify under the key of the proof")
}
