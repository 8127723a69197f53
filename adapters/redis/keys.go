package redisgate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
)

// purpose keeps apart what is remembered for different reasons.
type purpose string

const (
	forUses    purpose = "used"
	forAnswers purpose = "answer"
	forClaims  purpose = "claim"
	forLog     purpose = "log"
	forChecks  purpose = "check"
)

// keys are what is derived from one secret, one for each purpose (RFC 5869).
type keys struct {
	names   map[purpose]func() hash.Hash // functions, in which nobody who prints Stores sees a key
	records cipher.AEAD
}

// newKeys derives the keys of a namespace.
func newKeys(secret []byte, namespace string) (keys, error) {
	derive := func(p purpose) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, nil, "bearergate adapters/redis 1 "+string(p)+" "+namespace, 32)
	}
	k := keys{names: map[purpose]func() hash.Hash{}}
	for _, p := range []purpose{forUses, forAnswers, forClaims, forChecks} {
		key, err := derive(p)
		if err != nil {
			return keys{}, err
		}
		k.names[p] = func() hash.Hash { return hmac.New(sha256.New, key) }
	}
	key, err := derive(forLog)
	if err != nil {
		return keys{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return keys{}, err
	}
	k.records, err = cipher.NewGCMWithRandomNonce(block) // the one that FIPS 140-3 mode has
	return k, err
}

// nameBytes is how much of an HMAC is in a key: enough that nobody finds two texts of one
// name, and a quarter less memory for each entry.
const nameBytes = 18

// name is what text is called under a secret.
func (k keys) name(p purpose, text string) string {
	mac := k.names[p]()
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:nameBytes])
}

// names are the keys of Redis under which something is looked for, one for each secret. The
// first is the one to write. All have one hash tag, so that a Cluster keeps them on one
// server, where one script decides about all at once: while a secret is being changed, a
// process that writes under the old one and one that writes under the new one must not both
// find a proof fresh. The tag cannot be derived from a secret, as the processes do not all
// have the same then, and it must differ, or all would be on one server. Of 4,096, each
// server of a Cluster has its share.
func (s *Stores) names(p purpose, text string) []string {
	sum := sha256.Sum256([]byte(text))
	stem := s.prefix + ":" + string(p) + ":{" + hex.EncodeToString(sum[:2])[:3] + "}"
	names := make([]string, len(s.secrets))
	for i, k := range s.secrets {
		names[i] = stem + k.name(p, text)
	}
	return names
}

// logKeys are those of the stream and of the ends of its records, on one server of a Cluster.
func (s *Stores) logKeys() []string {
	ns := strings.TrimPrefix(s.prefix, "bearergate:")
	return []string{"bearergate:{" + ns + "}:log", "bearergate:{" + ns + "}:ends"}
}

// parts is how many circuits there are for a Cluster.
const parts = 64

// partOf is which of them watches over a key: the slots of a server lie mostly side by side.
func (s *Stores) partOf(key string) int {
	if len(s.circuits) == 1 {
		return 0
	}
	return int(slotOf(key)) * len(s.circuits) / 16384
}

// slotOf is the slot of a key in a Cluster: CRC16 (XMODEM) of its hash tag.
func slotOf(key string) uint16 {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}
