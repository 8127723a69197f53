// Package policydoc renders what the routes of a [middleware.Router] demand: as a
// Markdown table for reviews, and as fragments of an OpenAPI 3.1 document.
//
//	golden := policydoc.Markdown(router.Routes()) // in a file that a test compares
//
// A [Document] adds what a [catalogue.Catalogue] says of the scopes.
//
// It reads [middleware.Route] and that catalogue and nothing else, touches no request, and is safe
// for concurrent use.
package policydoc

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/catalogue"
	"github.com/bearergate/bearergate/scope"
)

// Document is what is rendered, with what a catalogue says of the scopes. Routes alone are
// rendered by the functions [Markdown] and [OpenAPI].
type Document struct {
	Routes []middleware.Route
	// Scopes is the catalogue that describes the scopes; nil for none. All of it is
	// rendered, also what no route asks for: see [catalogue.Catalogue.Check].
	Scopes *catalogue.Catalogue
	// TokenURL and AuthorizationURL are the endpoints of the authorization server, for
	// OpenAPI alone: with a TokenURL, the scheme is of type oauth2, the one that has
	// descriptions of scopes. With an AuthorizationURL its flow is that of the
	// authorization code, else that of client credentials. They need Scopes.
	TokenURL, AuthorizationURL string
}

// Markdown renders the routes as the function [Markdown] does, and below them a table of the
// scopes of the catalogue.
func (d Document) Markdown() string {
	table := Markdown(d.Routes)
	scopes := d.Scopes.Scopes()
	if len(scopes) == 0 {
		return table
	}
	var b strings.Builder
	b.WriteString(table + "\n| Scope | Grants | Owner | Who may ask | Deprecated |\n|---|---|---|---|---|\n")
	for _, s := range scopes {
		deprecated := ""
		if s.Deprecated {
			deprecated = "yes"
		}
		if len(s.ReplacedBy) > 0 {
			deprecated = "use " + joined(s.ReplacedBy, " and ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(s.Name), plain(s.Description), plain(s.Owner), plain(s.WhoMayAsk), deprecated)
	}
	return b.String()
}

// plain renders a text that is no code, so that nothing in it is Markdown or HTML.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>#!|~&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// OpenAPI renders the routes as the function [OpenAPI] does, and the scopes of the catalogue
// in the scheme "bearer": in the scopes of its flow where that is known, else in the member
// x-scopes, since a scheme of type http has no place for them.
func (d Document) OpenAPI() ([]byte, error) {
	scheme, err := d.scheme()
	if err != nil {
		return nil, misconfigured(err)
	}
	return render(d.Routes, scheme)
}

func (d Document) scheme() (map[string]any, error) {
	scopes := map[string]string{}
	for _, s := range d.Scopes.Scopes() {
		text := s.Description
		if s.Deprecated {
			text = "Deprecated. " + text
		}
		if len(s.ReplacedBy) > 0 {
			text += " Use " + strings.Join(s.ReplacedBy, " and ") + "."
		}
		scopes[s.Name] = text
	}
	var errs []error
	for _, u := range []struct{ field, url string }{{"TokenURL", d.TokenURL}, {"AuthorizationURL", d.AuthorizationURL}} {
		if parsed, err := url.Parse(u.url); u.url != "" && (err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "") {
			errs = append(errs, fmt.Errorf("%s: %q: use the URL of the endpoint, https://…", u.field, u.url))
		}
	}
	switch {
	case d.TokenURL == "" && d.AuthorizationURL != "":
		errs = append(errs, errors.New("AuthorizationURL is set without TokenURL: the flow needs both"))
	case d.TokenURL != "" && len(scopes) == 0:
		errs = append(errs, errors.New("TokenURL is set without Scopes: a flow has to list its scopes"))
	}
	scheme := map[string]any{"type": "http", "scheme": "bearer"}
	if len(scopes) > 0 {
		scheme["x-scopes"] = scopes
	}
	if d.TokenURL != "" {
		name, flow := "clientCredentials", map[string]any{"tokenUrl": d.TokenURL, "scopes": scopes}
		if d.AuthorizationURL != "" {
			name, flow["authorizationUrl"] = "authorizationCode", d.AuthorizationURL
		}
		scheme = map[string]any{"type": "oauth2", "flows": map[string]any{name: flow}}
	}
	return scheme, errors.Join(errs...)
}

func misconfigured(err error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: fmt.Errorf("policydoc: OpenAPI: %w", err)}
}

// Markdown renders routes as a table, one line each. In a file that a test
// compares, a change of what a route demands is a line of the diff. It does not
// show what a [scope.Policy] lets stand for a scope, which verifier [middleware.Via] names,
// what the functions of [middleware.Tenant] and [middleware.Allow] decide, for whom
// [middleware.Trial] is, nor the gate's own configuration.
func Markdown(routes []middleware.Route) string {
	var b strings.Builder
	b.WriteString("| Method | Path | Access | Scopes | Beyond scopes |\n|---|---|---|---|---|\n")
	for _, r := range routes {
		required := "any token"
		switch {
		case r.Access == middleware.AccessPublic:
			required = ""
		case !anyToken(r.Required):
			required = code(r.Required.String())
		}
		var beyond []string
		if len(r.ACRValues) > 0 {
			beyond = append(beyond, "acr "+code(strings.Join(r.ACRValues, " ")))
		}
		if r.MaxAge > 0 {
			beyond = append(beyond, "authenticated within "+r.MaxAge.String())
		}
		if r.AuthContext != "" {
			beyond = append(beyond, "authentication context "+code(r.AuthContext))
		}
		if r.Bound {
			beyond = append(beyond, "bound to its sender")
		}
		beyond = append(beyond, claims(r)...)
		if r.Policies > 0 {
			beyond = append(beyond, "policies of the route: "+strconv.Itoa(r.Policies))
		}
		if r.Once {
			beyond = append(beyond, "once per token")
		}
		if !anyToken(r.Trial) {
			beyond = append(beyond, "on trial, not enforced: "+code(r.Trial.String()))
		}
		if r.Via {
			beyond = append(beyond, "verifier of its own")
		}
		if r.CancelOnExpiry {
			beyond = append(beyond, "ends with the token")
		}
		if r.Recheck > 0 {
			beyond = append(beyond, "checked again every "+r.Recheck.String())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cmp.Or(r.Method, "any"), code(r.Host+r.Path), r.Access, required, strings.Join(beyond, ", "))
	}
	return b.String()
}

// claims renders what the claims of the token have to say.
func claims(r middleware.Route) (demands []string) {
	for _, names := range r.Roles {
		demands = append(demands, "role "+oneOf(names))
	}
	if r.Tenants > 0 {
		demands = append(demands, "tenant of the request: "+strconv.Itoa(r.Tenants))
	}
	for _, names := range r.Audiences {
		demands = append(demands, "audience "+oneOf(names))
	}
	for _, d := range r.Delegations {
		demands = append(demands, delegation(d))
	}
	return demands
}

// delegation renders who may act for the subject.
func delegation(d bearergate.Delegation) string {
	if len(d.Actors) == 0 {
		return "no actor"
	}
	var parts []string
	for _, issuer := range slices.Sorted(maps.Keys(d.Actors)) {
		var names []string
		for _, a := range d.Actors[issuer] {
			names = append(names, actor(a))
		}
		parts = append(parts, oneOf(names)+" in tokens of "+oneOf([]string{issuer}))
	}
	if longest := cmp.Or(d.MaxChain, bearergate.DefaultMaxChain); longest > 1 {
		parts = append(parts, "a chain of "+strconv.Itoa(longest)+" at most")
	}
	if d.AllowDirect {
		parts = append(parts, "or no actor")
	}
	return "actor " + strings.Join(parts, "; ")
}

// actor is what act must say of somebody.
func actor(a bearergate.Actor) string {
	var members []string
	for _, m := range []struct{ name, value string }{{"", a.Subject}, {"client_id ", a.ClientID}, {"iss ", a.Issuer}} {
		if m.value != "" {
			members = append(members, m.name+m.value)
		}
	}
	return strings.Join(members, ", ")
}

func oneOf(names []string) string { return joined(names, " or ") }

// joined renders names, in which there may be spaces.
func joined(names []string, word string) string {
	rendered := make([]string, len(names))
	for i, name := range names {
		if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
			name = quoted // a control character could end the line
		}
		rendered[i] = code(name)
	}
	return strings.Join(rendered, word)
}

// code renders s as a code span in a table of GitHub's Markdown.
func code(s string) string {
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		s = " " + s + " "
	}
	return fence + strings.ReplaceAll(s, "|", `\|`) + fence
}

// OpenAPI renders routes as fragments of an OpenAPI 3.1 document: the security of
// each operation, and the scheme "bearer" that they name. Merge them into a
// document that says the rest. A requirement becomes the sets of scopes that
// satisfy it, each as small as can be; placeholders stay as written. What
// OpenAPI has no word for is in members that begin with x-.
//
// Paths are as clients see them: {rest...} becomes {rest}, and {$} goes. A
// pattern without a method stands for all methods of OpenAPI that the path has
// no pattern for. The error names routes that OpenAPI cannot express: a host,
// another method, two patterns that become one operation, or a requirement that
// more than 100 sets of scopes satisfy.
func OpenAPI(routes []middleware.Route) ([]byte, error) { return Document{Routes: routes}.OpenAPI() }

func render(routes []middleware.Route, scheme map[string]any) ([]byte, error) {
	methods := []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
	paths := map[string]map[string]any{}
	anyMethod := map[string]bool{} // paths that have a pattern without a method
	shapes := map[string]string{}  // of a path without the names of its wildcards, which OpenAPI takes for one path
	var errs []string
	// Patterns with a method first: they take theirs away from those without.
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(a, b middleware.Route) int { return cmp.Compare(min(len(b.Method), 1), min(len(a.Method), 1)) })
	for _, r := range routes {
		operation, err := operation(r)
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		path, shape := openAPIPath(r.Path)
		if known, ok := shapes[shape]; ok {
			path = known
		}
		shapes[shape] = path
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		method := strings.ToLower(r.Method)
		switch {
		case r.Host != "":
			errs = append(errs, fmt.Sprintf("%q: a path of OpenAPI has no host: document the routes of each host by themselves, without it", r.Pattern))
		case anyMethod[path]:
			errs = append(errs, fmt.Sprintf("%q: another pattern is the same operation: leave one of them out", r.Pattern))
		case method == "":
			anyMethod[path] = true
			_, get := paths[path]["get"] // answers HEAD too
			for _, m := range methods {
				if _, ok := paths[path][m]; !ok && (m != "head" || !get) {
					paths[path][m] = operation
				}
			}
		case !slices.Contains(methods, method) || method == r.Method:
			errs = append(errs, fmt.Sprintf("%q: OpenAPI does not know the method: leave the route out", r.Pattern))
		case paths[path][method] != nil:
			errs = append(errs, fmt.Sprintf("%q: another pattern is the same operation: leave one of them out", r.Pattern))
		default:
			paths[path][method] = operation
		}
	}
	if errs != nil {
		return nil, misconfigured(errors.New(strings.Join(errs, "\n")))
	}
	document, err := json.MarshalIndent(map[string]any{
		"components": map[string]any{"securitySchemes": map[string]any{"bearer": scheme}},
		"paths":      paths,
	}, "", "  ")
	return append(document, '\n'), err
}

func operation(r middleware.Route) (map[string]any, error) {
	security := []map[string][]string{}
	if r.Access != middleware.AccessPublic {
		sets, ok := alternatives(r.Required)
		if !ok {
			return nil, fmt.Errorf("%q: the requirement has no set of scopes that satisfies it, or more than %d: see its Err, or leave the route out", r.Pattern, maxAlternatives)
		}
		if r.Access == middleware.AccessOptional {
			security = append(security, map[string][]string{}) // no credentials
		}
		for _, set := range sets {
			security = append(security, map[string][]string{"bearer": set})
		}
	}
	operation := map[string]any{"security": security}
	if len(r.ACRValues) > 0 {
		operation["x-acr-values"] = r.ACRValues
	}
	if r.MaxAge > 0 {
		operation["x-max-age"] = int64(r.MaxAge / time.Second)
	}
	if r.AuthContext != "" {
		operation["x-auth-context"] = r.AuthContext
	}
	if r.Bound {
		operation["x-bound"] = true
	}
	if len(r.Roles) > 0 {
		operation["x-roles"] = r.Roles
	}
	if r.Tenants > 0 {
		operation["x-tenants"] = r.Tenants
	}
	if len(r.Audiences) > 0 {
		operation["x-audiences"] = r.Audiences
	}
	if len(r.Delegations) > 0 {
		operation["x-delegation"] = delegations(r.Delegations)
	}
	if r.Policies > 0 {
		operation["x-policies"] = r.Policies
	}
	if r.Once {
		operation["x-once"] = true
	}
	if !anyToken(r.Trial) {
		operation["x-trial"] = r.Trial.String()
	}
	if r.Via {
		operation["x-verifier"] = "of the route"
	}
	if r.CancelOnExpiry {
		operation["x-cancel-on-expiry"] = true
	}
	if r.Recheck > 0 {
		operation["x-recheck"] = r.Recheck.String()
	}
	return operation, nil
}

// delegations says the same with the words of the claim.
func delegations(ds []bearergate.Delegation) []map[string]any {
	rendered := make([]map[string]any, len(ds))
	for i, d := range ds {
		byIssuer := map[string][]map[string]string{}
		for issuer, actors := range d.Actors {
			for _, a := range actors {
				members := map[string]string{"sub": a.Subject, "iss": a.Issuer, "client_id": a.ClientID}
				maps.DeleteFunc(members, func(_, value string) bool { return value == "" })
				byIssuer[issuer] = append(byIssuer[issuer], members)
			}
		}
		rendered[i] = map[string]any{"actors": byIssuer, "direct": d.AllowDirect}
		if len(d.Actors) > 0 {
			rendered[i]["max-chain"] = cmp.Or(d.MaxChain, bearergate.DefaultMaxChain)
		}
	}
	return rendered
}

func openAPIPath(pattern string) (path, shape string) {
	segments := strings.Split(strings.TrimSuffix(pattern, "{$}"), "/")
	bare := slices.Clone(segments)
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i], bare[i] = strings.Replace(s, "...}", "}", 1), "{}"
		}
	}
	return strings.Join(segments, "/"), strings.Join(bare, "/")
}

// anyToken reports a requirement that every valid token satisfies.
func anyToken(need scope.Requirement) bool { return need.SatisfiedBy(scope.Set{}) }

const (
	maxAlternatives = 100
	maxSteps        = 10_000 // of the search for them
)

// alternatives returns the sets of named scopes that satisfy need and of which no
// scope can be taken away; false if there are none or too many.
func alternatives(need scope.Requirement) (sets [][]string, ok bool) {
	if anyToken(need) {
		return [][]string{{}}, true
	}
	// Placeholders stand in as words that any template takes.
	var restore []string
	words := map[string]string{}
	for i, name := range need.Placeholders() {
		words[name] = "PlaceholderNumber" + strconv.Itoa(i) + "x"
		restore = append(restore, words[name], "{"+name+"}")
	}
	need = need.Bind(func(name string) (string, bool) { return words[name], true })

	// A requirement never asks that a scope is absent, so a branch is cut as soon
	// as all that is left does not suffice, and ends as soon as what is taken does.
	steps := 0
	var search func(taken, left []string) bool
	search = func(taken, left []string) bool {
		if steps++; steps > maxSteps {
			return false
		}
		if need.SatisfiedBy(scope.Of(taken...)) {
			for i := range taken {
				if need.SatisfiedBy(scope.Of(slices.Delete(slices.Clone(taken), i, i+1)...)) {
					return true // found, or to be found, without this one
				}
			}
			sets = append(sets, slices.Clone(taken))
			return len(sets) <= maxAlternatives
		}
		if len(left) == 0 || !need.SatisfiedBy(scope.Of(slices.Concat(taken, left)...)) {
			return true
		}
		return search(slices.Concat(taken, left[:1]), left[1:]) && search(taken, left[1:])
	}
	if !search(nil, need.Scopes()) || len(sets) == 0 {
		return nil, false
	}
	replace := strings.NewReplacer(restore...)
	for _, set := range sets {
		for i := range set {
			set[i] = replace.Replace(set[i])
		}
	}
	return sets, true
}
