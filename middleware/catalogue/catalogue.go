// Package catalogue reads the catalogue of an API's scopes, one file that says of each scope
// what it grants and who owns it, and compares it with what the routes ask for.
//
//	//go:embed scopes.json
//	var file []byte
//
//	scopes, err := catalogue.Parse(file)
//	findings := scopes.Check(router.Routes(), catalogue.Rules{}) // none, in a test of the service
//
// The file is JSON:
//
//	{
//	  "version": 1,
//	  "scopes": [
//	    {"name": "orders:read", "description": "See orders", "owner": "Orders team"},
//	    {"name": "orders:refund", "description": "Pay back an order", "owner": "Payments team", "who_may_ask": "The back office"},
//	    {"name": "document:read:{id}", "description": "Read one document", "owner": "Archive team"},
//	    {"name": "orders", "description": "See and change orders", "owner": "Orders team",
//	      "deprecated": true, "replaced_by": ["orders:read", "orders:write"]}
//	  ]
//	}
//
// name, description and owner are required. The name of a templated scope is its pattern, as
// [scope.Template] takes it. The catalogue decides nothing: no route is opened or closed by
// it. [Catalogue.Advertised] is for [middleware.Metadata], and package policydoc writes the
// descriptions into its documents.
//
// Everything here is safe for concurrent use.
package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// Version is that of the file's form.
const Version = 1

// The bounds of a file.
const (
	MaxBytes  = 1 << 20 // of the file
	MaxScopes = 5000
	MaxName   = 256  // bytes of a name
	MaxText   = 1000 // bytes of each text about a scope

	maxMistakes = 100 // that are named; a file of another kind has thousands
)

// Scope is what a catalogue says of one scope.
type Scope struct {
	// Name is the scope, or the pattern of a templated one. In the file: name.
	Name string
	// Description says what the scope grants, for whoever is asked to consent and for
	// developers of clients: description.
	Description string
	// Owner says who decides about the scope, a team for example: owner.
	Owner string
	// WhoMayAsk says which clients may be given the scope: who_may_ask. Nobody checks it
	// here: the authorization server decides. "" if the file does not say.
	WhoMayAsk string
	// Deprecated says that no new client should ask for it: deprecated.
	Deprecated bool
	// ReplacedBy are the scopes of the catalogue to ask for instead: replaced_by, which only
	// a scope that is deprecated has.
	ReplacedBy []string
}

// Catalogue is the scopes of an API. Make it with [Parse]. A nil or zero Catalogue has no
// scope. It is immutable and safe for concurrent use.
type Catalogue struct {
	scopes []Scope        // in the order of the file
	index  map[string]int // by name
}

// Parse reads a catalogue. Its error is [bearergate.ErrMisconfigured] and names every
// mistake, up to a hundred of them: another form or version, a member that is unknown or
// there twice, a name that is neither a scope token of RFC 6749 §3.3 nor a [scope.Template],
// a scope that is there twice, a description or an owner that is missing, a text with control
// characters, a replacement that is not in the catalogue or deprecated itself, and what is
// beyond the bounds.
func Parse(file []byte) (*Catalogue, error) {
	p := parser{wrong: mistake.In("catalogue"), c: &Catalogue{index: map[string]int{}}}
	if len(file) > MaxBytes {
		p.mistakef("the file has %d bytes: %d are the most", len(file), MaxBytes)
	} else {
		p.file(file)
	}
	if p.mistakes > maxMistakes {
		p.wrong.Addf("and %d mistakes more", p.mistakes-maxMistakes)
	}
	if err := p.wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	return p.c, nil
}

// parser gathers the scopes and the mistakes of one file.
type parser struct {
	wrong    mistake.List
	mistakes int
	c        *Catalogue
}

func (p *parser) mistakef(format string, args ...any) {
	if p.mistakes++; p.mistakes <= maxMistakes {
		p.wrong.Addf(format, args...)
	}
}

func (p *parser) file(file []byte) {
	var version, scopes []byte
	// Shallow: a member that is there twice within one scope is a mistake of that scope.
	err := strictjson.Shallow(file, func(name, value []byte) error {
		switch string(name) {
		case "version":
			version = value
		case "scopes":
			scopes = value
		default:
			p.mistakef("the member %s is unknown: take it out", quote.One(string(name)))
		}
		return nil
	})
	switch {
	case err != nil:
		p.mistakef("the file is not one JSON object whose members are there once each")
		return
	case string(version) != "1": // another version may have other members
		p.mistakef("the member version is missing, or not %d", Version)
		return
	case scopes == nil:
		p.mistakef("the member scopes is missing: make it an array of objects")
		return
	}
	n := 0
	err = strictjson.ShallowArray(scopes, func(element []byte) error {
		if n++; n > MaxScopes {
			return errTooMany
		}
		p.scope(n, element)
		return nil
	})
	switch {
	case errors.Is(err, errTooMany):
		p.mistakef("there are more than %d scopes", MaxScopes)
	case err != nil:
		p.mistakef("the member scopes is no array of objects")
	}
	p.replacements()
}

var errTooMany = errors.New("too many scopes")

// label says which scope a mistake is in.
func label(n int, name string) string {
	if name == "" {
		return strconv.Itoa(n)
	}
	return strconv.Itoa(n) + ", " + quote.One(name)
}

// scope reads the n-th scope.
func (p *parser) scope(n int, element []byte) {
	var s Scope
	before := p.mistakes
	wrong := func(format string, args ...any) {
		p.mistakef("scope %s: "+format, slices.Concat([]any{label(n, s.Name)}, args)...)
	}
	// The name first, so that every mistake can say whose it is.
	err := strictjson.Object(element, func(name, value []byte) error {
		if string(name) == "name" {
			s.Name, _ = strictjson.String(value)
		}
		return nil
	})
	if err != nil {
		wrong("it is no object, or a member is there twice")
		p.add(Scope{Name: s.Name})
		return
	}
	text := func(member string, value []byte, into *string) {
		var err error
		*into, err = strictjson.String(value)
		switch {
		case err != nil:
			wrong("the member %s is no string", member)
		case len(*into) > MaxText:
			wrong("the member %s has more than %d bytes", member, MaxText)
		case strings.ContainsFunc(*into, func(r rune) bool { return !unicode.IsPrint(r) }):
			wrong("the member %s has a character that is not printable", member)
		case strings.TrimSpace(*into) == "":
			wrong("the member %s is empty", member)
		}
	}
	members := map[string]bool{}
	_ = strictjson.Object(element, func(name, value []byte) error {
		member := string(name)
		members[member] = true
		switch member {
		case "name":
		case "description":
			text(member, value, &s.Description)
		case "owner":
			text(member, value, &s.Owner)
		case "who_may_ask":
			text(member, value, &s.WhoMayAsk)
		case "deprecated":
			s.Deprecated = string(value) == "true"
			if !s.Deprecated && string(value) != "false" {
				wrong("the member deprecated is neither true nor false")
			}
		case "replaced_by":
			var ok bool
			if s.ReplacedBy, ok = replacedBy(value); !ok {
				wrong("the member replaced_by is no array of strings with at least one in it")
			}
		default:
			wrong("the member %s is unknown: take it out", quote.One(member))
		}
		return nil
	})
	for _, required := range []string{"name", "description", "owner"} {
		if !members[required] {
			wrong("the member %s is missing", required)
		}
	}
	if len(s.ReplacedBy) > 0 && !s.Deprecated {
		wrong("replaced_by is there without deprecated")
	}
	if members["name"] { // else it is missing
		if err := checkName(s.Name); err != nil {
			wrong("the name: %w", err)
		}
	}
	if first, again := p.c.index[s.Name]; again && s.Name != "" {
		wrong("it is there already, as scope %d", first+1)
	}
	if p.mistakes > before {
		s = Scope{Name: s.Name, Deprecated: s.Deprecated}
	}
	p.add(s)
}

// add keeps a scope, also one with mistakes: the numbers of the others stay right, and what
// it replaces is not reported as unknown.
func (p *parser) add(s Scope) {
	if _, again := p.c.index[s.Name]; !again {
		p.c.index[s.Name] = len(p.c.scopes)
	}
	p.c.scopes = append(p.c.scopes, s)
}

// replacedBy reads an array of strings. An empty one would say that there is something else
// to ask for, and not what.
func replacedBy(value []byte) (names []string, ok bool) {
	if strictjson.IsEmpty(value) {
		return nil, false
	}
	names, err := strictjson.Strings(value)
	return names, err == nil
}

// checkName reports why name is neither a scope token nor a template.
func checkName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("it has more than %d bytes", MaxName)
	}
	if strings.ContainsAny(name, "{}") {
		return scope.Template(name).Err()
	}
	if scope.Of(name).Len() == 0 {
		return errors.New("use a scope token of RFC 6749 §3.3, printable ASCII without space, double quote and backslash")
	}
	return nil
}

// replacements looks for what replaces a scope, when all are known.
func (p *parser) replacements() {
	for i, s := range p.c.scopes {
		for j, name := range s.ReplacedBy {
			at := label(i+1, s.Name)
			by, known := p.c.index[name]
			switch {
			case slices.Contains(s.ReplacedBy[:j], name):
				p.mistakef("scope %s: replaced_by: %s is there twice", at, quote.One(name))
			case !known:
				p.mistakef("scope %s: replaced_by: %s is not in the catalogue", at, quote.One(name))
			case p.c.scopes[by].Deprecated: // itself among them
				p.mistakef("scope %s: replaced_by: %s is deprecated itself", at, quote.One(name))
			}
		}
	}
}

// Scopes returns all scopes, in the order of the file. Changing them changes nothing.
func (c *Catalogue) Scopes() []Scope {
	if c == nil {
		return nil
	}
	scopes := slices.Clone(c.scopes)
	for i := range scopes {
		scopes[i].ReplacedBy = slices.Clone(scopes[i].ReplacedBy)
	}
	return scopes
}

// Lookup returns what the catalogue says of a scope, compared byte for byte. A templated
// scope is found by its pattern, and not by what it becomes for one request.
func (c *Catalogue) Lookup(name string) (s Scope, ok bool) {
	if c == nil {
		return Scope{}, false
	}
	i, ok := c.index[name]
	if !ok {
		return Scope{}, false
	}
	s = c.scopes[i]
	s.ReplacedBy = slices.Clone(s.ReplacedBy)
	return s, true
}

// Advertised returns the names of the scopes that a client may want to ask for, in the order
// of the file: those that are not deprecated, without templated ones, for a client cannot ask
// for a pattern. It is for [middleware.Metadata].Scopes (scopes_supported, RFC 9728 §2). It
// has scopes that no route asks for, too: see [Unused].
func (c *Catalogue) Advertised() []string {
	if c == nil {
		return nil
	}
	var names []string
	for _, s := range c.scopes {
		if !s.Deprecated && !strings.Contains(s.Name, "{") {
			names = append(names, s.Name)
		}
	}
	return names
}

// scopeJSON is the form of a Scope.
type scopeJSON struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Owner       string   `json:"owner"`
	WhoMayAsk   string   `json:"who_may_ask,omitempty"`
	Deprecated  bool     `json:"deprecated,omitempty"`
	ReplacedBy  []string `json:"replaced_by,omitempty"`
}

// MarshalJSON writes the catalogue in the form that [Parse] reads, for a page that serves it.
func (c *Catalogue) MarshalJSON() ([]byte, error) {
	form := struct {
		Version int         `json:"version"`
		Scopes  []scopeJSON `json:"scopes"`
	}{Version, []scopeJSON{}}
	for _, s := range c.Scopes() {
		form.Scopes = append(form.Scopes, scopeJSON(s))
	}
	return json.Marshal(form)
}
