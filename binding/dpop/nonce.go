package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/mistake"
)

const (
	// DefaultNonceLife is how long a nonce is accepted unless NonceConfig.Life says otherwise.
	DefaultNonceLife = 5 * time.Minute
	// MinSecretBytes is the shortest secret of nonces.
	MinSecretBytes = 32
	maxSecrets     = 8
)

// NonceConfig says how nonces are made.
type NonceConfig struct {
	// Secrets make nonces unpredictable, and let every process that has them recognize those
	// of another one. The first makes nonces, all recognize them: to change it, put the new
	// one second in every process, then first, and drop the old one after Life. Each is at
	// least [MinSecretBytes] random bytes; 1 to 8 of them are required. They are copied.
	//
	// Danger: whoever knows one makes proofs in advance.
	Secrets [][]byte
	// Life is how long a nonce is accepted. A client that uses one for more than half of it
	// gets a new one. Default: [DefaultNonceLife]; a second to an hour.
	Life time.Duration
	// API names what nonces are for: those of an API with another name are not accepted,
	// under the same secrets too (RFC 9449 §9). Default: the BaseURLs of the [Proofs], in
	// their order; with Config.Target, share Secrets with no other API or set this.
	API string
	// Offer gives nonces to clients and accepts proofs without one, for the time in which
	// clients learn to use them. A nonce that was sent has to be right, and iat counts.
	//
	// Danger: a thief that has the client sign in advance leaves the nonce out.
	Offer bool
}

// Nonces makes and recognizes nonces (RFC 9449 §8, §9) without keeping any of them. It is
// safe for concurrent use, and may serve several [Proofs].
type Nonces struct {
	secrets func() [][]byte // a function, which fmt cannot print
	life    time.Duration
	api     string
	offer   bool
}

// NewNonces returns the Nonces of a configuration, or all that is wrong with it, as one
// [bearergate.ErrMisconfigured].
func NewNonces(c NonceConfig) (*Nonces, error) {
	wrong := mistake.In("dpop")
	if len(c.Secrets) == 0 || len(c.Secrets) > maxSecrets {
		wrong.Addf("NonceConfig.Secrets has %d secrets: give 1 to %d of at least %d random bytes, the same in every process", len(c.Secrets), maxSecrets, MinSecretBytes)
	}
	var secrets [][]byte
	for i, secret := range c.Secrets {
		if len(secret) < MinSecretBytes {
			wrong.Addf("NonceConfig.Secrets[%d] has %d bytes: use at least %d random ones", i, len(secret), MinSecretBytes)
		}
		for j, other := range secrets {
			if hmac.Equal(secret, other) {
				wrong.Addf("NonceConfig.Secrets[%d] is that of %d: leave it out", i, j)
			}
		}
		secrets = append(secrets, append([]byte(nil), secret...))
	}
	mistake.Between(&wrong, "NonceConfig.Life", &c.Life, DefaultNonceLife, time.Second, time.Hour)
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	return &Nonces{secrets: func() [][]byte { return secrets }, life: c.Life, api: c.API, offer: c.Offer}, nil
}

// sealer makes and recognizes the nonces of one API.
type sealer struct {
	keys  func() [][]byte // one of each secret, for this API alone
	life  time.Duration
	ahead time.Duration // how far the clock of another process may be ahead
	offer bool
}

// nonceLabel keeps what is made of a secret here from being anything elsewhere.
const nonceLabel = "bearergate binding/dpop nonce 1"

func (n *Nonces) sealer(bases []place, ahead time.Duration) *sealer {
	names := []string{n.api}
	if n.api == "" {
		for _, base := range bases {
			names = append(names, base.scheme, base.authority, base.path)
		}
	}
	label := []byte(nonceLabel)
	for _, s := range names {
		label = binary.BigEndian.AppendUint64(label, uint64(len(s)))
		label = append(label, s...)
	}
	var keys [][]byte
	for _, secret := range n.secrets() {
		keys = append(keys, mac(secret, label))
	}
	return &sealer{keys: func() [][]byte { return keys }, life: n.life, ahead: ahead, offer: n.offer}
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(text)
	return h.Sum(nil)
}

// A nonce is the millisecond in which it was made and 128 bits of a MAC over that, in
// base64url, whose characters are NQCHAR (RFC 9449 §8.1). The time is no secret; without
// the key nobody makes the nonce of another one.
const (
	stampBytes = 8
	macBytes   = 16
	nonceBytes = stampBytes + macBytes
)

func (s *sealer) seal(now time.Time) string {
	stamp := binary.BigEndian.AppendUint64(make([]byte, 0, nonceBytes), uint64(now.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(append(stamp, mac(s.keys()[0], stamp)[:macBytes]...))
}

// open returns when a nonce was made, if it is one of ours and of now.
func (s *sealer) open(nonce string, now time.Time) (minted time.Time, ok bool) {
	if len(nonce) != base64.RawURLEncoding.EncodedLen(nonceBytes) {
		return time.Time{}, false
	}
	var b [nonceBytes]byte
	// The decoder skips line breaks: then there are fewer bytes.
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(nonce)); err != nil || n != nonceBytes {
		return time.Time{}, false
	}
	for _, key := range s.keys() {
		if hmac.Equal(mac(key, b[:stampBytes])[:macBytes], b[stampBytes:]) {
			minted = time.UnixMilli(int64(binary.BigEndian.Uint64(b[:stampBytes]))) // ours, and so in range
			age := now.Sub(minted)
			return minted, -s.ahead <= age && age < s.life
		}
	}
	return time.Time{}, false
}

// reply gives the client a new nonce. A response with one must not be stored (RFC 9449 §8.2).
func (s *sealer) reply(now time.Time) bearergate.Reply {
	return bearergate.Reply{nonceHeader: s.seal(now), "Cache-Control": "no-store"}
}
