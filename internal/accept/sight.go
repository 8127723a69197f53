package accept

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/strictjson"
)

// Sight is what can be seen in a token without any trust: for advice, and for nothing
// else. Nothing in it is verified.
type Sight struct {
	raw     string
	parts   int
	header  map[string][]byte // nil: not one strict JSON object
	claims  map[string][]byte // nil: likewise, or encrypted
	reading Reading           // of the claims; zero without them
}

// Look looks into a token, or into what was taken for one. reader is that of whoever
// verifies. The Sight points into copies of its own.
func Look(raw string, reader *Reader) *Sight {
	s := &Sight{raw: raw, parts: strings.Count(raw, ".") + 1}
	parts := strings.SplitN(raw, ".", 3)
	s.header = members(parts[0])
	if s.parts == 3 || s.parts == 2 {
		if data, ok := decoded(parts[1]); ok {
			s.see(data, reader)
		}
	}
	return s
}

// LookInto is [Look] for a token of which a server has given the claims.
func LookInto(raw string, claims []byte, reader *Reader) *Sight {
	s := Look(raw, reader)
	s.claims, s.reading = nil, Reading{}
	s.see(claims, reader)
	return s
}

func (s *Sight) see(data []byte, reader *Reader) {
	data = slices.Clone(data)
	if reader.Read(data, &s.reading) == nil {
		s.claims = object(data)
	}
}

// Raw is the token.
func (s *Sight) Raw() string { return s.raw }

// Reading is what the claims say; nil if they cannot be read.
func (s *Sight) Reading() *Reading {
	if s.claims == nil {
		return nil
	}
	return &s.reading
}

func members(part string) map[string][]byte {
	data, ok := decoded(part)
	if !ok {
		return nil
	}
	return object(data)
}

func object(data []byte) map[string][]byte {
	all := map[string][]byte{}
	err := strictjson.Object(data, func(name, value []byte) error {
		all[string(name)] = value
		return nil
	})
	if err != nil {
		return nil
	}
	return all
}

// decoded reads base64url as sloppily as it is written by hand.
func decoded(part string) ([]byte, bool) {
	part = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(part)
	data, err := base64.RawURLEncoding.DecodeString(part)
	return data, err == nil
}

// text is a member that is a string; "" if it is not there, or none.
func text(of map[string][]byte, name string) string {
	s, _ := strictjson.String(of[name])
	return s
}

func has(of map[string][]byte, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return !strictjson.IsEmpty(of[name]) })
}
