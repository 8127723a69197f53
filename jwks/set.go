package jwks

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// Set is a [Source] of keys that never change. It is safe for concurrent use.
type Set struct{ set *keySet }

// Static returns the keys of a JWK Set (RFC 7517 §5). Keys that are not
// admitted are left out; it is an error if none is left.
func Static(jwks []byte) (*Set, error) {
	set, skipped, err := parseSet(jwks, DefaultMaxKeys, nil)
	if err != nil {
		if len(skipped) > 0 {
			err = fmt.Errorf("%w, of %d; the first: %s", err, len(skipped), strings.TrimPrefix(skipped[0].Err.Error(), "jose: "))
		}
		return nil, misconfigured(fmt.Errorf("jwks: Static: %w: give it a JWK Set with a public key to verify signatures, {\"keys\":[{\"kty\":…}]}", err))
	}
	return &Set{set}, nil
}

// NewSet returns a Set of keys made by [ParseKey] and [NewKey].
func NewSet(keys ...Key) (*Set, error) {
	wrong := mistake.In("jwks")
	if len(keys) == 0 {
		wrong.Addf("NewSet: there is no key: give it at least one, made by ParseKey or NewKey")
	}
	for i, k := range keys {
		if len(k.Algorithms()) == 0 {
			wrong.Addf("key %d is the zero Key: make it with ParseKey or NewKey", i+1)
		}
	}
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return &Set{newKeySet(slices.Clone(keys))}, nil
}

// Keys implements [Source]. It never waits.
func (s *Set) Keys(_ context.Context, kid, alg string) ([]Key, error) {
	if s == nil || s.set == nil {
		return nil, misconfigured(errors.New("jwks: the Set is nil or zero: make it with Static or NewSet"))
	}
	keys, _ := s.set.find(kid, alg)
	return keys, nil
}

// Absence says in fixed words why Keys has not the one key that a token can mean; ""
// if it has. It is for the texts of whoever refuses the token.
func (s *Set) Absence(kid, alg string) string {
	if s == nil {
		return ""
	}
	return s.set.absence(kid, alg)
}

// keySet is an immutable set, indexed by what tokens ask for.
type keySet struct {
	keys  []Key
	ids   map[string]struct{}
	index map[use][]Key
	// nameless are the keys without ID, by algorithm.
	nameless map[string][]Key
	// skipped are the IDs of keys that are published and not admitted, with the reason; ""
	// may be among them. There are at most as many as a set may have keys.
	skipped map[string]string
	// young are the keys that an earlier set of this Cache did not have: see appear.
	young map[identity]*appearance
}

// identity is what makes two keys of two sets the same one.
type identity struct {
	id         string
	thumbprint [32]byte
}

func identityOf(k Key) identity { return identity{k.ID(), k.Thumbprint()} }

// name is the ID, or the thumbprint of a key that has none.
func (i identity) name() string {
	if i.id != "" {
		return i.id
	}
	return base64.RawURLEncoding.EncodeToString(i.thumbprint[:])
}

// appearance is when a key was first there. Whoever has fetched a moment before it was may
// use what it has for a whole TTL, and refuses what is signed with the key until then, or
// asks for it out of turn.
type appearance struct {
	absent clock.Instant // when an answer was written, at the earliest, that had not the key
	ttl    time.Duration // of the set that it brought
	told   atomic.Bool   // that the key was in use already
}

func (a *appearance) early(now clock.Instant) bool { return now.Since(a.absent) < a.ttl }

// appear notes which keys are new. old is the set before, which the server confirmed at absent
// and was good for ttl; nil: nobody knows what there was. It is called before s is shared. There are
// at most as many appearances as s has keys.
func (s *keySet) appear(old *keySet, absent clock.Instant, ttl time.Duration) {
	if old == nil {
		return
	}
	had := make(map[identity]bool, len(old.keys))
	for _, k := range old.keys {
		had[identityOf(k)] = true
	}
	s.young = map[identity]*appearance{}
	for _, k := range s.keys {
		switch id := identityOf(k); {
		case !had[id]:
			s.young[id] = &appearance{absent: absent, ttl: ttl}
		case old.young[id] != nil:
			s.young[id] = old.young[id]
		}
	}
}

// use is what a token asks for. No kid: every key that fits the algorithm.
type use struct{ kid, alg string }

// wanted is use with what else makes a key the one that a token can mean.
type wanted struct {
	use
	certificate jose.Certificate // that a token without kid may name
	issuer      string           // whose tokens it has to serve; "": any
	byID        bool             // a key without ID is none: it was tried
}

// meets reports whether a key that fits the use is one that the token can mean.
func (w wanted) meets(k Key) bool {
	if !w.certificate.IsZero() {
		if same, _ := k.k.NamedBy(w.certificate); !same {
			return false
		}
	}
	return w.issuer == "" || k.ServesIssuer(w.issuer)
}

// brief is w as it may be remembered: what whoever sends a token can make long is cut. Two
// that are equal then share a fetch, and no more than that. What a fetch says of a key ID, it
// says for every issuer.
func (w wanted) brief() wanted {
	w.issuer = ""
	for _, text := range []*string{&w.kid, &w.alg, &w.certificate.SHA256, &w.certificate.SHA1} {
		if len(*text) > jose.MaxKeyIDBytes {
			*text = strings.Clone((*text)[:jose.MaxKeyIDBytes])
		}
	}
	return w
}

func newKeySet(keys []Key) *keySet {
	s := &keySet{keys: keys, ids: map[string]struct{}{}, index: map[use][]Key{}, nameless: map[string][]Key{}}
	for _, k := range keys {
		id := k.ID()
		for _, alg := range jose.Algorithms() {
			if !k.k.Serves(alg) {
				continue
			}
			s.index[use{"", alg}] = append(s.index[use{"", alg}], k)
			if id != "" {
				s.index[use{id, alg}] = append(s.index[use{id, alg}], k)
			} else {
				s.nameless[alg] = append(s.nameless[alg], k)
			}
		}
		if id != "" {
			s.ids[id] = struct{}{}
		}
	}
	for u, keys := range s.index {
		s.index[u] = slices.Clip(keys) // a reader's append must not reach the others
	}
	for alg, keys := range s.nameless {
		s.nameless[alg] = slices.Clip(keys)
	}
	return s
}

// absence says why find has no key for a token, or not the one.
func (s *keySet) absence(kid, alg string) string {
	if s == nil {
		return ""
	}
	keys, known := s.find(kid, alg)
	switch {
	case kid == "" && len(keys) > jose.MaxCandidates:
		return "the token names no key, and more than four fit"
	case len(keys) > jose.MaxCandidates && !s.has(kid):
		return "the issuer publishes no key of that ID, and more than four without one"
	case kid == "" && len(keys) == 0:
		return "the token names no key, and none fits"
	case len(keys) == 0 && s.has(kid):
		return "the key of that ID is not for this algorithm"
	case !known && s.skipped[kid] != "":
		return "the issuer publishes a key of that ID, which is not admitted: " + s.skipped[kid]
	case !known:
		return "the issuer publishes no key of that ID"
	}
	return ""
}

// find returns the keys, and whether they are known: false if no key with the kid fits
// the algorithm or, without kid, no key at all. A key that has the kid and another
// algorithm is none: it may have been replaced under its ID. A key without ID stands in
// for a kid that no key has: its issuer does not name keys, whatever tokens say.
func (s *keySet) find(kid, alg string) ([]Key, bool) {
	keys, found := s.index[use{kid, alg}]
	if !found && kid != "" && !s.has(kid) {
		keys, found = s.nameless[alg]
	}
	return keys, found
}

// brings reports whether the set has a key for a token that old, which may be nil, had not.
func (s *keySet) brings(old *keySet, u use) bool {
	if s == old || old == nil {
		return s != old
	}
	tried, _ := old.find(u.kid, u.alg)
	keys, _ := s.find(u.kid, u.alg)
	return slices.ContainsFunc(keys, func(k Key) bool {
		return !slices.ContainsFunc(tried, func(t Key) bool { return identityOf(t) == identityOf(k) })
	})
}

// has reports whether a key of the set has that ID.
func (s *keySet) has(kid string) bool {
	if s == nil {
		return false
	}
	_, found := s.ids[kid]
	return found
}

// knows reports whether the set has what a token asks for. More keys without ID than are
// tried for one token are as good as none for a kid that no key has.
func (s *keySet) knows(w wanted) bool {
	keys, known := s.find(w.kid, w.alg)
	switch {
	case w.byID:
		keys = s.index[w.use]
	case w.certificate.IsZero() && w.issuer == "": // Keys: whoever asks chooses among them
		return known
	}
	fit := 0
	for _, k := range keys {
		if w.meets(k) {
			fit++
		}
	}
	return fit > 0 && (fit <= jose.MaxCandidates || w.kid == "" || s.has(w.kid))
}

func (s *keySet) algorithms() []string {
	var algs []string
	for _, alg := range jose.Algorithms() {
		if s != nil && len(s.index[use{"", alg}]) > 0 {
			algs = append(algs, alg)
		}
	}
	return algs
}

func (s *keySet) len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// diff returns the IDs of the keys that s has and old, which may be nil, has
// not, and the other way round.
func (s *keySet) diff(old *keySet) (added, removed []string) {
	minus := func(a, b *keySet) (out []string) {
		if a == nil {
			return nil
		}
		have := map[identity]bool{}
		if b != nil {
			for _, k := range b.keys {
				have[identityOf(k)] = true
			}
		}
		for _, k := range a.keys {
			if id := identityOf(k); !have[id] {
				out = append(out, id.name())
			}
		}
		return out
	}
	return minus(s, old), minus(old, s)
}

// parseSet admits a JWK Set. The text of the error holds nothing of body.
func parseSet(body []byte, maxKeys int, uses []string) (*keySet, []jose.Skipped, error) {
	admitted, skipped, err := jose.ParseSet(body, maxKeys, uses...)
	if err != nil {
		return nil, skipped, err
	}
	keys := make([]Key, len(admitted))
	for i, k := range admitted {
		keys[i] = Key{k}
	}
	set := newKeySet(keys)
	set.skipped = map[string]string{}
	for _, s := range skipped {
		set.skipped[s.ID] = jose.Plain(s.Err)
	}
	return set, skipped, nil
}

// whatIsWrong classifies a refused document, for the event.
func whatIsWrong(body []byte, maxKeys int) fetch.Outcome {
	count := -1
	err := strictjson.Shallow(body, func(name, value []byte) error {
		if string(name) != "keys" {
			return nil
		}
		count = 0
		return strictjson.ShallowArray(value, func([]byte) error { count++; return nil })
	})
	switch {
	case err != nil || count < 0:
		return fetch.Malformed
	case count > maxKeys:
		return fetch.TooManyKeys
	}
	return fetch.NoUsableKey
}
