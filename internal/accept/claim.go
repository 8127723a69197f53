package accept

import (
	"bytes"
	"errors"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// The values of the claims that decide something. They must come from
// strictjson.Object, which hands out no empty one; no error carries text of them.

var (
	errEmpty   = errors.New("empty")
	errTooLong = errors.New("the act chain is too long")
)

// stringOrStrings reads aud (RFC 7519 §4.1.3).
func stringOrStrings(value []byte) ([]string, error) {
	if value[0] == '[' {
		return strictjson.Strings(value)
	}
	s, err := strictjson.String(value)
	if err != nil {
		return nil, err
	}
	return []string{s}, nil
}

// confirmation reads cnf (RFC 7800 §3.1) into its members as JSON text. An
// empty one would bind to nothing and is refused, as is an empty or non-string
// value of the members that are compared as strings.
func confirmation(value []byte) (map[string][]byte, error) {
	members := map[string][]byte{}
	err := strictjson.Object(value, func(name, value []byte) error {
		switch string(name) {
		case "x5t#S256", "jkt", "kid":
			if s, _ := strictjson.String(value); s == "" {
				return errEmpty
			}
		}
		if strictjson.IsEmpty(value) {
			return errEmpty
		}
		members[string(name)] = value
		return nil
	})
	if err != nil || len(members) == 0 {
		return nil, errEmpty
	}
	return members, nil
}

// actors reads the act chain (RFC 8693 §4.1), the current actor first.
func actors(value []byte) ([]bearergate.Actor, error) {
	// Each level is parsed again with all below it: count before that gets dear.
	if bytes.Count(value, []byte(`"act"`)) > bearergate.MaxActChain {
		return nil, errTooLong
	}
	var chain []bearergate.Actor
	for value != nil {
		if len(chain) == bearergate.MaxActChain {
			return nil, errTooLong
		}
		var a bearergate.Actor
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
