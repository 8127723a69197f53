package apikey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/digest"
)

// A key is prefix_id_secret, all of it in characters of RFC 6750 §2.1: the ID is 80 bits, so
// that no two are alike; the secret 160 bits and, behind them, the CRC-32 of all that comes
// before, so that a scanner knows a key when it sees one, and a typing error asks no store.
const (
	idBytes, secretBytes            = 10, 20
	idLength, secretLength, sumSize = 16, 32, 7 // characters
)

var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Hash is the SHA-256 of a key, or for a key of an older system an HMAC-SHA-256. As text it
// is 64 hexadecimal digits in lower case. It opens nothing, but belongs to the Records alone.
type Hash [sha256.Size]byte

// MarshalText writes the hash as text.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (h *Hash) UnmarshalText(text []byte) error {
	read, _ := hex.DecodeString(string(text)) // what was read before an error is not text
	if len(read) != len(h) || hex.EncodeToString(read) != string(text) {
		return errors.New("the hash is not 64 hexadecimal digits in lower case")
	}
	*h = Hash(read)
	return nil
}

func hashOf(key string) Hash { return digest.String(key) }

// Generate makes a new key and the ID and the Hash of its [Record], to which the owner and
// the rest are added. The key is shown to its owner once and kept nowhere. The prefix is
// that of the [Config]; a wrong one is [bearergate.ErrMisconfigured].
func Generate(prefix string) (key bearergate.Secret, r Record, err error) {
	if !isPrefix(prefix) {
		return bearergate.Secret{}, Record{}, misconfigured(errors.New("apikey: the prefix is not 2 to 16 characters of a-z and 0-9 that begin with a letter"))
	}
	var random [idBytes + secretBytes]byte
	_, _ = rand.Read(random[:]) // it never fails: crypto/rand ends the process instead
	id := alphabet.EncodeToString(random[:idBytes])
	text := prefix + "_" + id + "_" + alphabet.EncodeToString(random[idBytes:])
	text += checksum(text)
	return bearergate.NewSecret(text), Record{ID: id, Hash: hashOf(text)}, nil
}

func checksum(of string) string {
	var stack [128]byte // a key is shorter
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE(append(stack[:0], of...)))
	var text [sumSize]byte
	alphabet.Encode(text[:], sum[:])
	return string(text[:])
}

// split returns the ID of a key of our form that begins with the prefix and "_".
func split(key, prefix string) (id string, ok bool) {
	rest := key[len(prefix)+1:]
	if len(rest) != idLength+1+secretLength+sumSize || rest[idLength] != '_' || !ofAlphabet(rest[:idLength]) || !ofAlphabet(rest[idLength+1:]) {
		return "", false
	}
	body := key[:len(key)-sumSize]
	return rest[:idLength], checksum(body) == key[len(body):]
}

func ofAlphabet(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

func isID(id string) bool { return len(id) == idLength && ofAlphabet(id) }

const legacyMark = "legacy-"

const legacyBytes, legacyLength = 15, 24 // of the ID, and its characters

func isLegacyID(id string) bool {
	rest, ok := strings.CutPrefix(id, legacyMark)
	return ok && len(rest) == legacyLength && ofAlphabet(rest)
}

// legacy hashes keys of an older system.
type legacy struct{ secret func() []byte } // a function, which fmt cannot print

func newLegacy(secret string) *legacy {
	return &legacy{func() []byte { return []byte(secret) }}
}

// of returns the ID under which a key is found, and its hash. Both are made under the
// secret: without it, neither can be compared with guesses.
func (l *legacy) of(key string) (id string, sum Hash) {
	mac := hmac.New(sha256.New, l.secret())
	mac.Write([]byte("bearergate apikey id\x00" + key))
	id = legacyMark + alphabet.EncodeToString(mac.Sum(nil)[:legacyBytes])
	mac.Reset()
	mac.Write([]byte("bearergate apikey hash\x00" + key))
	mac.Sum(sum[:0])
	return id, sum
}

// Import makes the ID and the Hash of the [Record] of a key of an older system, under the
// secret of Config.AllowLegacy. A key that would be refused anyway, and a secret that is too
// short, are [bearergate.ErrMisconfigured]. The text of the error does not hold the key.
func Import(secret bearergate.Secret, key string) (Record, error) {
	if len(secret.Reveal()) < MinSecretBytes {
		return Record{}, misconfigured(errors.New("apikey: the secret has less than " + strconv.Itoa(MinSecretBytes) + " bytes"))
	}
	if !isLegacy(key) {
		return Record{}, misconfigured(errors.New("apikey: the key is too short, too long, has less than 8 different characters or one that cannot be sent, or is a JWT: give its owner a new one"))
	}
	r := Record{}
	r.ID, r.Hash = newLegacy(secret.Reveal()).of(key)
	return r, nil
}

// isLegacy reports what may be a key of an older system: see Config.AllowLegacy.
func isLegacy(key string) bool {
	if len(key) < MinLegacyBytes || len(key) > MaxKeyBytes || !isSendable(key) || isJWT(key) {
		return false
	}
	var seen [128]bool
	different := 0
	for i := range len(key) {
		if !seen[key[i]] {
			seen[key[i]] = true
			different++
		}
	}
	return different >= 8
}

// isSendable reports printable ASCII without space and comma: with a comma there may be two.
func isSendable(key string) bool {
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c > '~' || c == ',' {
			return false
		}
	}
	return key != ""
}

// isJWT reports what looks like a token: three parts, or the beginning of a JSON object in
// base64url.
func isJWT(key string) bool { return strings.Count(key, ".") >= 2 || strings.HasPrefix(key, "eyJ") }

func itoa(n int) string { return strconv.Itoa(n) }
