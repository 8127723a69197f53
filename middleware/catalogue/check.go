package catalogue

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bearergate/bearergate/middleware"
)

// Kind is what a [Finding] is about.
type Kind string

// The kinds, all of them.
const (
	Unknown    Kind = "unknown"    // a route asks for a scope that is not in the catalogue, or is opened by one
	Unused     Kind = "unused"     // no route asks for the scope, and it opens none
	BadName    Kind = "bad name"   // the name breaks the rule of Rules.Name
	Deprecated Kind = "deprecated" // a route asks for a scope that is deprecated
)

// Finding is one thing in which catalogue, routes and rules differ.
type Finding struct {
	Kind   Kind
	Scope  string   // as it is written in the catalogue or in the route
	Routes []string // their patterns; none for Unused and BadName
	Text   string   // says what to do, in a sentence without the names
}

// String renders the finding in one line, for a test or a terminal.
func (f Finding) String() string {
	at := ""
	if len(f.Routes) > 0 {
		at = fmt.Sprintf(" (%s)", strings.Join(f.Routes, ", "))
	}
	return fmt.Sprintf("%s: %q%s: %s", f.Kind, f.Scope, at, f.Text)
}

// Rules are those of [Catalogue.Check]. The zero value is complete.
type Rules struct {
	// Name says what is wrong with the name of a scope, nil if nothing is. A templated
	// scope comes as its pattern, with its braces. Default: [ResourceAction].
	Name func(name string) error
	// Exempt are scopes whose names somebody else chose, so that Name is not asked. The
	// default is [WellKnown]; an empty list that is not nil exempts none.
	Exempt []string
}

// WellKnown returns the scopes that Rules.Exempt stands for by default: openid, profile,
// email, address, phone and offline_access of OpenID Connect Core 1.0 §5.4 and §11, and
// uma_protection of User-Managed Access 2.0.
func WellKnown() []string {
	return []string{"openid", "profile", "email", "address", "phone", "offline_access", "uma_protection"}
}

// The bounds of [ResourceAction].
const (
	maxParts = 5
	maxPart  = 40
)

// ResourceAction is the default rule for names, resource:action, as in "orders:read" and
// "billing:invoices:write": two to five parts with a colon between them, each a letter
// followed by letters, digits, '-', '_' and '.', all lower case, of at most 40 bytes. Every
// part but the first may be a placeholder of a template, as in "document:read:{id}".
func ResourceAction(name string) error {
	parts := strings.Split(name, ":")
	if len(parts) < 2 || len(parts) > maxParts {
		return fmt.Errorf("write it as resource:action, with two to %d parts", maxParts)
	}
	for i, part := range parts {
		switch {
		case i > 0 && strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}"):
		case part == "":
			return errors.New("a part of it is empty")
		case len(part) > maxPart:
			return fmt.Errorf("a part of it has more than %d bytes", maxPart)
		case part[0] < 'a' || part[0] > 'z':
			return errors.New("begin every part with a small letter")
		case strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "":
			return errors.New("use small letters, digits, '-', '_' and '.' within a part")
		}
	}
	return nil
}

// Check compares the catalogue with what the routes of a [middleware.Router] ask for, by
// their requirements and those that are on trial, and returns all findings, sorted by scope;
// none if everything agrees. It is for a test of the service:
//
//	require.Empty(t, scopes.Check(router.Routes(), catalogue.Rules{}))
//
// Under a [scope.Policy], what stands for a scope that a route asks for is used too, and has
// to be in the catalogue, but for wildcards. A mistake in a requirement is no finding:
// [middleware.Router.Handler] reports it. The methods of a gRPC service are checked likewise,
// as routes with a Pattern and a Required.
func (c *Catalogue) Check(routes []middleware.Route, rules Rules) []Finding {
	name := rules.Name
	if name == nil {
		name = ResourceAction
	}
	exempt := rules.Exempt
	if exempt == nil {
		exempt = WellKnown()
	}
	asked, accepted := map[string][]string{}, map[string][]string{} // the patterns of routes, by scope
	for _, r := range routes {
		note(asked, r.Pattern, r.Required.Asked(), r.Trial.Asked())
		note(accepted, r.Pattern, r.Required.Accepted(), r.Trial.Accepted())
	}
	var found []Finding
	for _, scope := range slices.Sorted(maps.Keys(accepted)) {
		_, isAsked := asked[scope]
		s, known := c.Lookup(scope)
		switch {
		case !known && isAsked:
			found = append(found, Finding{Unknown, scope, accepted[scope], "it is asked for and not in the catalogue: add it there, or mend the route"})
		case !known && !strings.HasSuffix(scope, "*"): // the wildcard of a scope is accepted whether anybody has it or not
			found = append(found, Finding{Unknown, scope, accepted[scope], "a policy accepts it and it is not in the catalogue: add it there, or take it out of the policy"})
		case known && s.Deprecated && isAsked:
			instead := "it is deprecated: take it out of the route"
			if len(s.ReplacedBy) > 0 {
				instead = fmt.Sprintf("it is deprecated: ask for %s, and let a policy accept the old name until no client has it", strings.Join(s.ReplacedBy, " or "))
			}
			found = append(found, Finding{Deprecated, scope, asked[scope], instead})
		}
	}
	for _, s := range c.Scopes() {
		if _, used := accepted[s.Name]; !used && !s.Deprecated {
			found = append(found, Finding{Kind: Unused, Scope: s.Name, Text: "no route asks for it: take it out, or say deprecated"})
		}
		if slices.Contains(exempt, s.Name) {
			continue
		}
		if err := name(s.Name); err != nil {
			found = append(found, Finding{Kind: BadName, Scope: s.Name, Text: err.Error()})
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Kind, b.Kind)) })
	return found
}

func note(in map[string][]string, pattern string, lists ...[]string) {
	for _, scope := range slices.Concat(lists...) {
		if !slices.Contains(in[scope], pattern) {
			in[scope] = append(in[scope], pattern)
		}
	}
}
