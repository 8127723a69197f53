package accept

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/quote"
)

// mappable are the fields of [bearergate.Claims] that a Map may change: what a server says
// under names of its own. Nothing in them decides whether the token is good. SessionID is
// sid. Missing is no claim: it is what the Map says of its search.
var mappable = []string{"Scopes", "Roles", "Tenant", "ClientID", "SessionID", "ACR", "Missing"}

const (
	maxMissing      = 16  // paths of one Map
	maxMissingBytes = 256 // of one
)

// errMap is what an error of a Map becomes that says nothing by itself.
var errMap = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Cause: errors.New("Map")}

var errWithheld = errors.New("what Map says is not told, for the claims quote the token")

// Mapped has f change claims that have been judged: the Map of a configuration, which reads
// what its server has under other names. f gets a copy of its own. claims are changed only
// in the fields that are a Map's to change, and only if the error is nil; Missing also if it
// refuses the token.
//
// The error is judged by [bearergate.Guard]: of f's own, one that is none of the eight
// sentinels is ErrInvalidToken with ReasonPolicy. Whatever else f changes, cnf or exp for
// example, is an ErrMisconfigured with ReasonInternal that names the field: it would undo
// a check that has been made.
//
// Where the claims are Unquotable, an error of f's own keeps its Kind, its Reason and its
// RetryAfter, and nothing else: no search finds a token that was cut, or put in capitals.
func Mapped(claims *bearergate.Claims, f func(*bearergate.Claims) error) error {
	given := clone(claims)
	var said error // stays nil where f panics: what is told of that is ours
	err := bearergate.Guard(context.Background(), errMap, func(context.Context) error {
		said = f(&given)
		return said
	})
	if err != nil {
		claims.Missing = missing(given.Missing)
	}
	switch {
	case said != nil && claims.Unquotable:
		e := bearergate.AsError(err)
		return &bearergate.Error{Kind: e.Kind, Reason: e.Reason, RetryAfter: e.RetryAfter, Cause: errWithheld}
	case err != nil:
		return err
	}
	changed := clone(&given) // f may have kept what it was given, and go on writing to it
	changed.Missing = missing(changed.Missing)
	before, after := reflect.ValueOf(claims).Elem(), reflect.ValueOf(&changed).Elem()
	for i := range before.NumField() {
		name := before.Type().Field(i).Name
		if !slices.Contains(mappable, name) && !same(before.Field(i).Interface(), after.Field(i).Interface()) {
			return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
				Detail: "Map has changed " + name + ", which is not its to change: it may change Scopes, Roles, Tenant, ClientID, SessionID and ACR; what shall be refused, it refuses with an error"}
		}
	}
	for _, name := range mappable {
		before.FieldByName(name).Set(after.FieldByName(name))
	}
	return nil
}

// missing is what a Map did not find, bounded, each once: a Map is somebody else's code, and
// what it says is told in events.
func missing(paths []string) (out []string) {
	for _, path := range paths {
		if len(path) > maxMissingBytes {
			path = strings.ToValidUTF8(path[:maxMissingBytes], "") + "…"
		}
		if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
			path = quote.One(path)
		}
		if path != "" && len(out) < maxMissing && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	return out
}

// clone is a deep copy.
func clone(c *bearergate.Claims) bearergate.Claims {
	out := *c
	out.Audience, out.Roles, out.Actors, out.Raw = slices.Clone(c.Audience), slices.Clone(c.Roles), slices.Clone(c.Actors), bytes.Clone(c.Raw)
	out.Missing = slices.Clone(c.Missing)
	out.Confirmation = maps.Clone(c.Confirmation)
	for name, value := range out.Confirmation {
		out.Confirmation[name] = bytes.Clone(value)
	}
	return out
}

// same compares two values of a field; nil is not the same as empty, for they do not
// mean the same.
func same(a, b any) bool {
	if at, ok := a.(time.Time); ok {
		bt, ok := b.(time.Time)
		return ok && at.Equal(bt) // whatever its place
	}
	return reflect.DeepEqual(a, b)
}
