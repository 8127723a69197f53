package middleware

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
)

// scheme is one that a gate accepts, with the parameters of its challenge.
type scheme struct {
	name       bearergate.Scheme
	parameters []parameter
}

type parameter struct{ name, value string }

// ownParameters of a challenge are for the gate to say.
var ownParameters = []string{"realm", "error", "error_description", "scope", "acr_values", "max_age", "resource_metadata"}

// schemesOf returns what a gate with these bindings accepts, Bearer first, or all
// that is wrong with them.
func schemesOf(bindings []bearergate.Binding) ([]scheme, error) {
	schemes := []scheme{{name: bearergate.SchemeBearer}}
	var errs []error
	seen := map[string]bool{}
	for i, b := range bindings {
		err := bearergate.Guard(context.Background(), errBinding, func(context.Context) error {
			if b == nil {
				return fmt.Errorf("number %d is nil", i+1)
			}
			of := 0
			switch b.Scheme() {
			case bearergate.SchemeBearer:
			case bearergate.SchemeDPoP:
				if of = len(schemes) - 1; of == 0 {
					of, schemes = 1, append(schemes, scheme{name: bearergate.SchemeDPoP})
				}
			default:
				return fmt.Errorf("number %d has the scheme %q: use SchemeBearer or SchemeDPoP", i+1, b.Scheme())
			}
			if err := checkMembers(i, b, seen); err != nil {
				return err
			}
			if name := schemes[of].add(b.Challenge()); name != "" {
				return fmt.Errorf("number %d: the parameter %q of its challenge cannot be sent", i+1, name)
			}
			return nil
		})
		if err != nil {
			errs = append(errs, bearergate.AsError(err).Cause)
		}
	}
	return schemes, errors.Join(errs...)
}

// checkMembers adds the members of binding i to those that others have.
func checkMembers(i int, b bearergate.Binding, seen map[string]bool) error {
	if len(b.Members()) == 0 {
		return fmt.Errorf("number %d names no member of cnf", i+1)
	}
	for _, member := range b.Members() {
		if member == "jkt" && b.Scheme() != bearergate.SchemeDPoP {
			return fmt.Errorf("number %d is for jkt, and its scheme is not SchemeDPoP: such tokens are sent with that (RFC 9449 §7.1)", i+1)
		}
		if seen[member] {
			return fmt.Errorf("the member %q has two bindings", member)
		}
		seen[member] = true
	}
	return nil
}

// add takes parameters of a binding's challenge over, sorted by name, and returns
// the first that cannot be sent.
func (s *scheme) add(challenge map[string]string) (wrong string) {
	for _, name := range slices.Sorted(maps.Keys(challenge)) {
		if !isToken(name) || indexUnquotable(challenge[name]) >= 0 || slices.Contains(ownParameters, name) ||
			slices.ContainsFunc(s.parameters, func(p parameter) bool { return p.name == name }) {
			return name
		}
		s.parameters = append(s.parameters, parameter{name, challenge[name]})
	}
	return ""
}

var errBinding = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: errors.New("Config.Bindings")}

// promises returns which members of cnf a verifier lets through, if it tells.
func promises(v bearergate.Verifier) (members []string, ok bool) {
	if isNil(v) {
		return nil, false
	}
	p, ok := v.(interface{ Confirmations() []string })
	if !ok {
		return nil, false
	}
	err := bearergate.Guard(context.Background(), errBinding, func(context.Context) error {
		members = p.Confirmations()
		return nil
	})
	return members, err == nil && members != nil // nil says nothing
}

// unpromised reports bindings that are never asked, because the verifier refuses
// their tokens.
func unpromised(v bearergate.Verifier, bindings []bearergate.Binding) error {
	promised, ok := promises(v)
	var missing []string
	for _, b := range bindings {
		for _, member := range b.Members() {
			if ok && !slices.Contains(promised, member) {
				missing = append(missing, member)
			}
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("Config.Bindings: the verifier refuses tokens with the members %q of cnf: name them in its Confirmations", missing)
}

// unconfirmed reports tokens that the verifier lets through only to have the gate
// refuse them.
func unconfirmed(v bearergate.Verifier, bindings []bearergate.Binding) error {
	missing, _ := promises(v)
	missing = slices.DeleteFunc(slices.Clone(missing), func(member string) bool {
		return slices.ContainsFunc(bindings, func(b bearergate.Binding) bool { return slices.Contains(b.Members(), member) })
	})
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the verifier's Confirmations have the members %q of cnf, which nobody confirms: put what does into Config.Bindings, or take them out", missing)
}

// call is the request as a Binding sees it. Where nobody will look, it is not
// worth gathering.
func (g *Gate) call(r *http.Request, c bearergate.Credentials) bearergate.Call {
	call := bearergate.Call{Credentials: c}
	if len(g.config.Bindings) == 0 {
		return call
	}
	call.Method, call.Target, call.Host, call.Header, call.TLS = r.Method, r.RequestURI, r.Host, r.Header.Values, r.TLS
	if call.Method == "" {
		call.Method = http.MethodGet
	}
	if call.Target == "" && r.URL != nil {
		call.Target = r.URL.RequestURI()
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		call.Peer = peer
	}
	return call
}

// reply writes what bindings ask for, but nothing that a header cannot hold.
func reply(w http.ResponseWriter, headers bearergate.Reply) {
	for name, value := range headers {
		if isToken(name) && isPrintable(value) {
			w.Header().Set(name, value)
		}
	}
}

// isToken reports whether s is a token of RFC 9110 §5.6.2, as the names of headers
// and of parameters are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c > '~' || !isAlphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}
