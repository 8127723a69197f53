package authtest

import (
	"crypto"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// key is one key of the server; it signs one algorithm.
type key struct {
	id     string
	alg    string // "EdDSA" for both of its names
	signer crypto.Signer
	jwk    []byte
}

// keyring holds the keys that sign, and those of before the last rotation.
type keyring struct {
	mu       sync.Mutex // guards what follows
	made     int
	now, old []key
}

// generate makes a private key for an algorithm.
func generate(alg string) (crypto.Signer, error) {
	signer, err := jose.GenerateKey(alg)
	if err != nil {
		return nil, fmt.Errorf("authtest: the algorithm %q is none of %s", alg, strings.Join(jose.Algorithms(), ", "))
	}
	return signer, nil
}

// newKey makes a key whose ID no other key has, of this server or of another.
func (k *keyring) newKey(alg string) (key, error) {
	signer, err := generate(alg)
	if err != nil {
		return key{}, err
	}
	k.made++
	id := fmt.Sprintf("%s-%d-%s", strings.ToLower(alg), k.made, rand.Text())
	jwk, err := jose.PublicJWK(id, signer.Public(), alg)
	if err != nil {
		return key{}, fmt.Errorf("authtest: %w", err)
	}
	return key{id, alg, signer, jwk}, nil
}

// current returns the key that signs alg, made and published now if there is none.
func (k *keyring) current(alg string) (key, error) {
	if alg == "Ed25519" {
		alg = "EdDSA" // the same algorithm (RFC 9864), so the same key
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.IndexFunc(k.now, func(key key) bool { return key.alg == alg }); i >= 0 {
		return k.now[i], nil
	}
	key, err := k.newKey(alg)
	if err == nil {
		k.now = append(k.now, key)
	}
	return key, err
}

func (k *keyring) rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var fresh []key
	for _, old := range k.now {
		key, err := k.newKey(old.alg)
		if err != nil {
			return err
		}
		fresh = append(fresh, key)
	}
	k.now, k.old = fresh, k.now
	return nil
}

func (k *keyring) withdraw() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.old = nil
}

// set returns the JWK Set, and the algorithms of the keys that sign.
func (k *keyring) set() (jwks []byte, algs []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []string
	for _, key := range slices.Concat(k.now, k.old) {
		keys = append(keys, string(key.jwk))
	}
	for _, key := range k.now {
		algs = append(algs, key.alg)
	}
	return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`), algs
}

// Rotate makes new keys, which sign from now on. The old ones stay published,
// so that tokens they signed still verify, until the next Rotate or [Server.Withdraw].
func (s *Server) Rotate() {
	if err := s.keys.rotate(); err != nil {
		s.fatal(err)
	}
}

// Withdraw takes the keys of before the last [Server.Rotate] out of the key
// set: Rotate then Withdraw is what follows a leaked key.
func (s *Server) Withdraw() { s.keys.withdraw() }

// JWKS returns the key set (RFC 7517 §5) as it is now published.
func (s *Server) JWKS() []byte {
	jwks, _ := s.keys.set()
	return jwks
}

// marshal encodes a map of the caller.
func marshal(what string, members map[string]any) ([]byte, error) {
	data, err := strictjson.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("authtest: the %s cannot be encoded: %w", what, err)
	}
	return data, nil
}
