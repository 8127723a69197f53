package middleware

import (
	"context"
	"crypto/x509"
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
var ownParameters = []string{"realm", "error", "error_description", "scope", "acr_values", "max_age", "authorization_uri", "claims", "resource_metadata"}

// schemesOf returns what a gate with these bindings, which are in order, accepts,
// Bearer first, or all that is wrong with their challenges.
func schemesOf(bindings []bearergate.Binding) ([]scheme, error) {
	schemes := []scheme{{name: bearergate.SchemeBearer}}
	var errs []error
	for i, b := range bindings {
		of := 0
		if b.Scheme() == bearergate.SchemeDPoP {
			if of = len(schemes) - 1; of == 0 {
				of, schemes = 1, append(schemes, scheme{name: bearergate.SchemeDPoP})
			}
		}
		err := bearergate.Guard(context.Background(), errChallenge, func(context.Context) error {
			if name := schemes[of].add(b.Challenge()); name != "" {
				return fmt.Errorf("binding %d: the parameter %q of its challenge cannot be sent: use a token for its name, once and none of %s, and for its value printable ASCII without double quote and backslash", i+1, name, strings.Join(ownParameters, ", "))
			}
			return nil
		})
		if err != nil {
			errs = append(errs, bearergate.AsError(err).Cause)
		}
	}
	return schemes, errors.Join(errs...)
}

var errChallenge = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig}

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
	call.Peer = peerOf(r)
	call.Certificate, _ = r.Context().Value(toldCertificate{}).(*x509.Certificate)
	return call
}

// toldCertificate is the key of the certificate in the context of a request that an [Advisor]
// was told of. Nobody else can write it.
type toldCertificate struct{}

// peerOf is who is connected; nobody where something has rewritten RemoteAddr.
func peerOf(r *http.Request) netip.AddrPort {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	return peer
}

// addressOf is the address of the sender, where that is wanted.
func (g *Gate) addressOf(r *http.Request) netip.Addr {
	if g.config.ClientAddress == nil {
		return netip.Addr{}
	}
	return g.config.ClientAddress.Of(bearergate.Call{Header: r.Header.Values, Peer: peerOf(r)})
}

// reply writes what bindings ask for, but nothing that a header cannot hold.
func reply(w http.ResponseWriter, headers bearergate.Reply) {
	for name, value := range sendable(headers) {
		w.Header().Set(name, value)
	}
}

// sendable returns a copy of what a header can hold.
func sendable(headers bearergate.Reply) bearergate.Reply {
	headers = maps.Clone(headers)
	maps.DeleteFunc(headers, func(name, value string) bool { return !isToken(name) || !isPrintable(value) })
	return headers
}

// isToken reports whether s is a token of RFC 9110 §5.6.2, as the names of headers
// and of parameters are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c > '~' || !isAlphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}
