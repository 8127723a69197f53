package idp

import (
	"errors"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// claims are those of a token that has passed all checks but that of its preset.
type claims struct {
	*bearergate.Claims
	preset  string
	members object
}

// object is a JSON object. A member that is null is not in it. The values point into the
// token and are good as long as the rule runs.
type object map[string][]byte

func readClaims(preset string, c *bearergate.Claims) (*claims, error) {
	members, err := readObject(c.Raw)
	if err != nil {
		return nil, accept.Invalid(bearergate.ReasonMalformed, preset+": the claims cannot be read")
	}
	return &claims{c, preset, members}, nil
}

func readObject(data []byte) (object, error) {
	o := object{}
	err := strictjson.Object(data, func(name, value []byte) error {
		if !strictjson.IsNull(value) {
			o[string(name)] = value
		}
		return nil
	})
	if err != nil {
		return nil, errors.New("no object")
	}
	return o, nil
}

// has reports a member that is there and not null.
func (o object) has(name string) bool { return o[name] != nil }

// text is a member that is a string; "" if it is not there, or none.
func (o object) text(name string) string {
	s, _ := strictjson.String(o[name])
	return s
}

// list is a member that is an array of strings, or one string; nil if it is not there, or
// anything else.
func (o object) list(name string) []string {
	if s, err := strictjson.String(o[name]); err == nil {
		return []string{s}
	}
	all, _ := strictjson.Strings(o[name])
	return all
}

// in is a member that is an object; empty if it is not there, or none.
func (o object) in(name string) object {
	inner, _ := readObject(o[name])
	return inner
}

// values are what a path means, as text: the one string, number or bool that stands there,
// or those in an array. A name in the path may have dots in it, as in
// kubernetes.io.namespace; one that can be read in two ways and means two things means
// nothing.
func (o object) values(path string) []string {
	found := o.at(path)
	if len(found) != 1 {
		return nil
	}
	var all []string
	add := func(value []byte) error {
		switch value[0] {
		case '"':
			s, err := strictjson.String(value)
			all = append(all, s)
			return err
		case '{', '[', 'n':
		default: // a number, true or false
			all = append(all, string(value))
		}
		return nil
	}
	var err error
	if found[0][0] == '[' {
		err = strictjson.Array(found[0], add)
	} else {
		err = add(found[0])
	}
	if err != nil {
		return nil
	}
	return all
}

func (o object) at(path string) (found [][]byte) {
	if value := o[path]; value != nil {
		found = append(found, value)
	}
	for i := range len(path) {
		if path[i] == '.' && o.has(path[:i]) { // else the cost doubles with each dot
			found = append(found, o.in(path[:i]).at(path[i+1:])...)
		}
	}
	return found
}

// first returns the first refusal.
func first(refusals ...error) error {
	for _, err := range refusals {
		if err != nil {
			return err
		}
	}
	return nil
}

// refuse is the refusal of a token by its preset. why is in fixed words, or says what the
// preset was given.
func (c *claims) refuse(reason bearergate.Reason, why, expected, found string) error {
	return accept.Mismatch(reason, c.preset+": "+why, expected, found)
}

// equals refuses a token whose member is not one of these strings.
func (c *claims) equals(reason bearergate.Reason, name string, accepted ...string) error {
	s := c.members.text(name)
	if s != "" && slices.Contains(accepted, s) {
		return nil
	}
	return c.refuse(reason, name+" is not what was configured", name+" "+accept.Quoted(accepted...), c.found(name))
}

// found is what a member says, as an error may hold it.
func (c *claims) found(name string) string {
	switch {
	case !c.members.has(name):
		return "none"
	case c.members.text(name) != "":
		return accept.Quoted(c.members.text(name))
	}
	return "no string, or an empty one"
}

// isKind refuses a token whose member does not say that it is the kind that is meant.
func (c *claims) isKind(name, meant string) error {
	if c.members.text(name) == meant {
		return nil
	}
	return c.refuse(bearergate.ReasonType, name+" does not say "+meant+", which is the kind of token that opens an API", name+" "+accept.Quoted(meant), c.found(name))
}

// marked refuses a token that lacks, or has empty, what tells the kind that is meant from
// the others.
func (c *claims) marked(names ...string) error {
	for _, name := range names {
		if c.members.text(name) == "" {
			return c.refuse(bearergate.ReasonType, name+" is missing, which tells the tokens for an API from ID tokens and others", name, c.found(name))
		}
	}
	return nil
}

// byClient refuses a token that was issued to a client that is not on the list. It reads the
// member itself: what ClientID is, the user may change.
func (c *claims) byClient(name string, accepted ...string) error {
	if client := c.members.text(name); client != "" && slices.Contains(accepted, client) {
		return nil
	}
	return c.refuse(bearergate.ReasonPolicy, "the client is not on the list", name+" "+accept.Quoted(accepted...), c.found(name))
}

// addRoles adds to the roles, each once.
func (c *claims) addRoles(roles ...string) {
	for _, role := range roles {
		if role != "" && !slices.Contains(c.Roles, role) {
			c.Roles = append(slices.Clip(c.Roles), role)
		}
	}
}

// addScopes adds to the scopes.
func (c *claims) addScopes(names []string) {
	if len(names) > 0 {
		c.Scopes = scope.Of(append(c.Scopes.Names(), names...)...)
	}
}
