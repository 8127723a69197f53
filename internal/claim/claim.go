// Package claim reads the claims that decide something, strictly, so that each
// means the same in a JWT and in an introspection answer. Values must come from
// strictjson.Object; no error carries text of them.
package claim

import (
	"bytes"
	"errors"
	"strings"

	"github.com/bearergate/bearergate/internal/strictjson"
)

const maxActors = 16 // length of the act chain

var (
	errEmpty    = errors.New("claim: empty")
	errTooManyA = errors.New("claim: the act chain is too long")
)

// StringOrStrings reads aud (RFC 7519 §4.1.3).
func StringOrStrings(value []byte) ([]string, error) {
	if len(value) > 0 && value[0] == '[' {
		return strictjson.Strings(value)
	}
	s, err := strictjson.String(value)
	if err != nil {
		return nil, err
	}
	return []string{s}, nil
}

// Scopes reads a scope claim, a string or an array of strings. A string is
// split at U+0020 and nothing else. What then is no scope token of RFC 6749
// §3.3 is for scope.Of to drop.
func Scopes(value []byte) ([]string, error) {
	if len(value) > 0 && value[0] == '[' {
		return strictjson.Strings(value)
	}
	s, err := strictjson.String(value)
	if err != nil {
		return nil, err
	}
	return strings.Split(s, " "), nil
}

// Confirmation reads cnf (RFC 7800 §3.1) into its members as JSON text. An
// empty one would bind to nothing and is refused, as is an empty or non-string
// value of the members that are compared as strings.
func Confirmation(value []byte) (map[string][]byte, error) {
	members := map[string][]byte{}
	err := strictjson.Object(value, func(name, value []byte) error {
		switch string(name) {
		case "x5t#S256", "jkt", "kid":
			if s, err := strictjson.String(value); err != nil || s == "" {
				return errEmpty
			}
		}
		if strictjson.IsEmpty(value) {
			return errEmpty
		}
		members[string(name)] = value
		return nil
	})
	if err == nil && len(members) == 0 {
		err = errEmpty
	}
	if err != nil {
		return nil, err
	}
	return members, nil
}

// Actor is one party of the act chain.
type Actor struct{ Subject, Issuer, ClientID string }

// Actors reads the act chain (RFC 8693 §4.1), the current actor first.
func Actors(value []byte) ([]Actor, error) {
	// Each level is parsed again with all below it: count before that gets dear.
	if bytes.Count(value, []byte(`"act"`)) > maxActors {
		return nil, errTooManyA
	}
	var chain []Actor
	for value != nil {
		if len(chain) == maxActors {
			return nil, errTooManyA
		}
		var a Actor
		var next []byte
		err := strictjson.Object(value, func(name, value []byte) (err error) {
			switch string(name) {
			case "sub":
				a.Subject, err = strictjson.String(value)
			case "iss":
				a.Issuer, err = strictjson.String(value)
			case "client_id":
				a.ClientID, err = strictjson.String(value)
			case "act":
				next = value
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		chain = append(chain, a)
		value = next
	}
	return chain, nil
}

// Kind gathers what tells an access token from the other kinds (RFC 8725 §3.12).
type Kind struct {
	marks, nonce, hasUse bool
	typ, use             string
}

// Read looks at one member.
func (k *Kind) Read(name string, value []byte) (err error) {
	switch name {
	case "at_hash", "c_hash", "s_hash", "events", "token_introspection":
		k.marks = true
	case "nonce":
		k.nonce = true
	case "typ": // as Keycloak writes it
		k.typ, err = strictjson.String(value)
	case "token_use": // as Cognito and Hydra write it
		k.hasUse = true
		k.use, err = strictjson.String(value)
	}
	return err
}

// Other reports the members of an ID token, a logout token, a security event,
// an introspection answer or a refresh token. uses are the values of token_use
// that stand for an access token.
func (k *Kind) Other(uses ...string) bool {
	if k.marks || k.nonce && k.typ != "Bearer" {
		return true
	}
	if k.hasUse {
		known := false
		for _, use := range uses {
			known = known || k.use == use
		}
		if !known {
			return true
		}
	}
	for _, kind := range []string{"ID", "Refresh", "Offline", "Logout"} {
		if strings.EqualFold(k.typ, kind) {
			return true
		}
	}
	return false
}
