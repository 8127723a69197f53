package scope

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxValue is how many bytes a value may have. Values come from requests and
// end up in challenges.
const maxValue = 256

// template is the pattern of a scope, parsed.
type template struct {
	literals []string  // what stands before, between and behind the holes: one more than those
	holes    []string  // the names of the placeholders, in order
	admits   [256]bool // the bytes that a value may be made of
}

// Template requires the scope that pattern becomes when each placeholder in it
// is replaced by a value of the request: with "document:read:{id}", a token
// opens the documents that its scopes name. [Requirement.Bind] fills it for one
// request; until then nothing satisfies it, though that is no mistake.
//
// A placeholder is a letter or underscore followed by letters, digits and
// underscores, in braces. It has to fill the whole space between two
// separators or an end of the pattern, and the pattern has to have a letter or
// digit of its own: with "{id}" or "doc{id}", whoever sends the request could
// choose what scope it takes. A pattern without a placeholder is a mistake as
// well; use [All].
//
// # Values
//
// A value is data of whoever sends the request. net/http's PathValue decodes it
// first: "a%20read" arrives as "a read", and "..%2f1" as "../1". So it satisfies
// nothing, whatever was granted, unless it
//
//   - has 1 to 256 bytes, all in the charset of RFC 6749 §3.3;
//   - has no '/', '*', '{' or '}', and is neither "." nor "..";
//   - has no separator of the pattern: no character that stands in it outside
//     of placeholders, letters and digits aside. '-', '.', '_' and '~', which
//     identifiers and host names contain, count as separators only where they
//     stand right beside a placeholder;
//   - does not have the [Policy.Separator] either, if the template was compiled.
//
// Different values therefore never make the same scope. Values are compared byte
// for byte: where the handler folds case or otherwise takes two texts for one,
// bind the form that it uses.
//
// Begin the pattern with a word that no other scope begins with. With
// "{tenant}:orders:read", the scope of a tenant called "admin" is
// "admin:orders:read", which may mean something else. And let no [Policy] imply a
// name that a template can become: with {"staff": {"document:admin"}}, staff may
// open the document whose id is "admin".
func Template(pattern string) Requirement {
	t, err := parseTemplate(pattern)
	if err != nil {
		return Requirement{&node{err: err}}
	}
	return Requirement{&node{wants: []want{{name: pattern, tmpl: t}}, unbound: true}}
}

func parseTemplate(pattern string) (*template, error) {
	var errs []error
	mistake := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("scope: Template(%.100q): "+format, slices.Concat([]any{pattern}, args)...))
	}
	if err := checkName(pattern); err != nil {
		mistake("%w", err)
	}
	t := &template{}
	literal := 0 // where the current one begins
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '}':
			mistake("'}' at %d closes nothing: remove it", i)
		case '{':
			length := strings.IndexAny(pattern[i+1:], "{}")
			if length < 0 || pattern[i+1+length] == '{' {
				mistake("'{' at %d is not closed: write {name}", i)
				continue
			}
			name := pattern[i+1 : i+1+length]
			if !isPlaceholder(name) {
				mistake("placeholder {%s}: name it with letters, digits and underscores, a digit not first", name)
			}
			t.literals = append(t.literals, pattern[literal:i])
			t.holes = append(t.holes, name)
			i += length + 1
			literal = i + 1
		}
	}
	t.literals = append(t.literals, pattern[literal:])
	if errs == nil {
		t.checkShape(mistake)
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	t.admitValues()
	return t, nil
}

func (t *template) checkShape(mistake func(format string, args ...any)) {
	if len(t.holes) == 0 {
		mistake("it has no placeholder: write one such as {id}, or use All")
		return
	}
	for i, hole := range t.holes {
		before, behind := t.literals[i], t.literals[i+1]
		if before == "" && i > 0 ||
			before != "" && isAlphanumeric(before[len(before)-1]) ||
			behind != "" && isAlphanumeric(behind[0]) {
			mistake("placeholder {%s} touches its neighbour: put a separator between them, such as ':'", hole)
		}
	}
	if !slices.ContainsFunc([]byte(strings.Join(t.literals, "")), isAlphanumeric) {
		mistake("it has no letter or digit outside of placeholders: the request would choose the whole scope, so begin with a fixed word")
	}
}

// admitValues sets up what Template promises of values.
func (t *template) admitValues() {
	for c := range t.admits {
		t.admits[c] = inCharset(byte(c)) && !strings.ContainsRune("/*{}", rune(c))
	}
	for i, literal := range t.literals {
		for j := range len(literal) {
			c := literal[j]
			beside := j == 0 && i > 0 || j == len(literal)-1 && i < len(t.holes)
			if beside || !isAlphanumeric(c) && !strings.ContainsRune("-._~", rune(c)) {
				t.admits[c] = false
			}
		}
	}
}

func (t *template) admit(value string) bool {
	if value == "" || len(value) > maxValue || value == "." || value == ".." {
		return false
	}
	for i := range len(value) {
		if !t.admits[value[i]] {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isPlaceholder(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '_' && (!isAlphanumeric(c) || i == 0 && c <= '9') {
			return false
		}
	}
	return name != ""
}

// Bind returns the requirement with every [Template] in it filled: value says
// what each placeholder stands for in this request, and false if it does not
// know. A route under "GET /documents/{id}" passes
//
//	func(name string) (string, bool) { v := r.PathValue(name); return v, v != "" }
//
// A template of which a value is missing stays as it is, satisfied by nothing.
// One with a value that [Template] refuses is satisfied by nothing, for good. That
// is no mistake of the requirement, whose Err does not change. Other scopes beside
// it, in [Any] or [AnyOf], may still satisfy the requirement.
//
// The scope of a bound template holds what the request said, in
// [Requirement.Scopes] and String too: it is fit for a challenge, not for the
// label of a metric. Call [Policy.Compile] before Bind: a policy does not apply to
// what is bound already. Without templates, Bind returns r itself. value may be
// nil: then every value is missing.
func (r Requirement) Bind(value func(name string) (string, bool)) Requirement {
	if r.n == nil || !r.n.unbound || value == nil {
		return r
	}
	return Requirement{r.n.transform(func(w *want) {
		if w.tmpl != nil {
			w.bind(value)
		}
	})}
}

func (w *want) bind(value func(name string) (string, bool)) {
	var room [128]byte
	name := append(room[:0], w.tmpl.literals[0]...)
	admitted := true
	for i, hole := range w.tmpl.holes {
		v, ok := value(hole)
		if !ok {
			return
		}
		admitted = admitted && w.tmpl.admit(v)
		if admitted {
			name = append(name, v...)
			name = append(name, w.tmpl.literals[i+1]...)
		}
	}
	w.tmpl, w.sealed = nil, true
	if admitted {
		w.name = string(name)
		w.by = w.rules.grantedBy(w.name)
	}
}

// Placeholders returns the names of the placeholders that [Requirement.Bind] has
// to fill, once each, in the order written. A router compares them with the
// wildcards of a path before it serves the route. nil means that nothing is left
// to bind.
func (r Requirement) Placeholders() []string {
	if r.n == nil {
		return nil
	}
	var names []string
	r.n.each(func(w *want) {
		if w.tmpl != nil {
			for _, hole := range w.tmpl.holes {
				names = appendNew(names, hole)
			}
		}
	})
	return names
}
