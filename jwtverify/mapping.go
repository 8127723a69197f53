package jwtverify

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// ScopesFrom returns a Config.Map that grants the scopes that stand at a path of the
// claims, besides those that the token has already: ScopesFrom("resource_access",
// "orders-api", "roles") reads {"resource_access":{"orders-api":{"roles":["orders:read"]}}}.
// The value is a string separated by spaces, or an array of strings; what in it is no
// scope token (RFC 6749 §3.3) grants nothing. A token without the path has what it had:
// Explain says so, and [Hooks.Unmapped] tells of a path that no token has.
//
// Danger: what is a role there then opens routes as a scope. A path that anybody but the
// issuer fills in lets them grant what they like.
func ScopesFrom(path ...string) func(*bearergate.Claims) error {
	at := pathOf(path)
	return func(c *bearergate.Claims) error {
		names, err := at.list(c)
		if err != nil || names == nil {
			return err
		}
		c.Scopes = scope.Of(append(c.Scopes.Names(), names...)...)
		return nil
	}
}

// RolesFrom returns a Config.Map that adds the roles that stand at a path of the claims to
// those of the claim roles, by the rules of [ScopesFrom]: each element of an array is one
// role, and so is a string, spaces and all.
func RolesFrom(path ...string) func(*bearergate.Claims) error {
	at := pathOf(path)
	return func(c *bearergate.Claims) error {
		value, err := at.value(c)
		if err != nil || value == nil {
			return err
		}
		roles, err := listOf(value)
		if err != nil {
			return err
		}
		c.Roles = append(c.Roles, roles...)
		return nil
	}
}

// Maps makes one Config.Map of several: each is called, in order, until one refuses. A nil
// function is ErrMisconfigured.
func Maps(fs ...func(*bearergate.Claims) error) func(*bearergate.Claims) error {
	return func(c *bearergate.Claims) error {
		for _, f := range fs {
			if f == nil {
				return misconfigured(errors.New("jwtverify: Maps was given a nil function"))
			}
			if err := f(c); err != nil {
				return err
			}
		}
		return nil
	}
}

var errPath = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonMalformed,
	Detail: "what stands at the path of a Map is neither a string nor an array of strings"}

// path is where a value stands in claims.
type path struct {
	names []string
	shown string // for Missing
}

func pathOf(names []string) path {
	p := path{names: slices.Clone(names)}
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = name
		if !plain(name) { // a dot in a name is no step
			shown[i] = strconv.QuoteToASCII(name)
		}
	}
	p.shown = strings.Join(shown, ".")
	return p
}

// plain says that a name needs no quotes to be told from others, and from a path.
func plain(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// list is what stands at the path as names: those of a string have spaces between them.
func (p path) list(c *bearergate.Claims) ([]string, error) {
	value, err := p.value(c)
	if err != nil || value == nil {
		return nil, err
	}
	names, err := listOf(value)
	if err != nil {
		return nil, err
	}
	if value[0] == '"' {
		names = strings.Split(names[0], " ")
	}
	return names, nil
}

// listOf is a string, or an array of strings, as a list.
func listOf(value []byte) ([]string, error) {
	if value[0] == '[' {
		all, err := strictjson.Strings(value)
		if err != nil {
			return nil, errPath
		}
		return all, nil
	}
	one, err := strictjson.String(value)
	if err != nil {
		return nil, errPath
	}
	return []string{one}, nil
}

// value returns what stands at the path; nil, which it notes as missing, if it is not
// there or null.
func (p path) value(c *bearergate.Claims) ([]byte, error) {
	if len(p.names) == 0 {
		return nil, misconfigured(errors.New("jwtverify: a Map was made without a path: name the claim"))
	}
	object := c.Raw
	for _, name := range p.names {
		var found []byte
		err := strictjson.Object(object, func(member, value []byte) error {
			if string(member) == name {
				found = value
			}
			return nil
		})
		if err != nil || found == nil || strictjson.IsNull(found) {
			c.Missing = append(c.Missing, p.shown)
			return nil, nil //nolint:nilerr // what is no object has no such member
		}
		object = found
	}
	return object, nil
}
