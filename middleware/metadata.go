package middleware

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// DefaultMetadataMaxAge is how long a metadata document may be cached when
// [Metadata.MaxAge] is 0.
const DefaultMetadataMaxAge = time.Hour

// Metadata is what a protected resource says about itself (RFC 9728 §2), beside
// its identifier, which is [Config.Resource]. A zero field is left out of the
// document (RFC 9728 §3.2). Everybody may read the document.
type Metadata struct {
	// AuthorizationServers are the issuer identifiers of the servers that issue
	// tokens for the resource: https URLs (http for loopback) without query and
	// fragment.
	AuthorizationServers []string
	// Scopes are the scopes that a client may want to ask for. nil, on a [Router],
	// means those of its routes, without scopes that are filled from a path and
	// with HideScopes none at all.
	Scopes     []string
	HideScopes bool
	// JWKSURI is where the resource publishes keys of its own; https.
	JWKSURI string
	// SigningAlgorithms are the JWS algorithms with which the resource signs its
	// responses; never "none".
	SigningAlgorithms []string
	// Name is for people; Documentation, Policy and TermsOfService are URLs of pages for them.
	Name, Documentation, Policy, TermsOfService string
	// CertificateBound says that the resource takes tokens that are bound to a client
	// certificate (RFC 8705 §3.3). That comes by itself with a Binding of
	// [Config.Bindings] for the member x5t#S256 of cnf. Without one it is a mistake, for
	// every such token would be refused.
	CertificateBound bool
	// DPoPAlgorithms are the JWS algorithms that proofs may have (RFC 9449 §5.1), never
	// "none" and none with a shared secret. They come by themselves from the parameter
	// algs of the DPoP challenge; this is for a Binding that has none there, and a
	// mistake beside it. Without a Binding of the DPoP scheme it is a mistake too.
	DPoPAlgorithms []string
	// DPoPRequired says that the resource takes DPoP-bound tokens only (RFC 9728 §2).
	// That comes by itself with [Config.RequireBinding], if all of [Config.Bindings] have
	// the DPoP scheme; otherwise it is a mistake, for the gate takes other tokens too.
	DPoPRequired bool
	// Extra holds further members, such as "resource_name#de" (RFC 9728 §2.1).
	// What they hold is not checked; the members of the other fields cannot be in it.
	Extra map[string]any
	// MaxAge is for how long the document may be cached, in whole seconds; 0 is
	// [DefaultMetadataMaxAge], and a day is the most.
	MaxAge time.Duration
}

// Metadata returns the handler of the metadata document of [Config.Resource]
// (RFC 9728 §3), and where clients look for it, as a pattern for http.ServeMux.
// The handler asks for no token, and answers GET and HEAD only.
// Every mistake in m is in the error, which is [bearergate.ErrMisconfigured].
// [Router.Metadata] does all of it in one call.
//
// If the resource identifier has a query, only a request with that query gets the
// document: any other query is about another resource. Each resource identifier
// needs a gate and a document of its own. Scripts of other origins can read the
// document if a CORS handler lets them.
func (g *Gate) Metadata(m Metadata) (pattern string, h http.Handler, err error) {
	if g == nil || g.metadataURL == "" {
		return "", nil, misconfigured(errors.New("set Config.Resource of the gate: its metadata has to say what it describes"))
	}
	document, err := g.document(m)
	if err != nil {
		return "", nil, misconfigured(err)
	}
	if m.MaxAge == 0 {
		m.MaxAge = DefaultMetadataMaxAge
	}
	maxAge := "max-age=" + strconv.FormatInt(int64(m.MaxAge/time.Second), 10)
	at, _ := url.Parse(g.metadataURL) // New parsed it already
	pattern = "GET " + at.EscapedPath()
	if strings.HasSuffix(pattern, "/") {
		pattern += "{$}" // this path, not all below it
	}
	return pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		case r.URL.RawQuery != at.RawQuery:
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", maxAge)
			w.Header().Set("Content-Length", strconv.Itoa(len(document)))
			if r.Method == http.MethodGet {
				_, _ = w.Write(document)
			}
		}
	}), nil
}

func (g *Gate) document(m Metadata) ([]byte, error) {
	var errs []error
	members := map[string]any{}
	add := func(name, field string, value any, zero bool) {
		if _, ok := m.Extra[name]; ok {
			errs = append(errs, fmt.Errorf("Metadata.Extra: %q has a place of its own: take it out, and use %s", name, field))
		}
		if !zero {
			members[name] = value
		}
	}
	add("resource", "Config.Resource", g.config.Resource, false)
	add("authorization_servers", "Metadata.AuthorizationServers", m.AuthorizationServers, len(m.AuthorizationServers) == 0)
	add("scopes_supported", "Metadata.Scopes", m.Scopes, len(m.Scopes) == 0 || m.HideScopes)
	add("bearer_methods_supported", "Config.Extract, which decides on it", []string{"header"}, g.config.Extract != nil) // what else carries it has no name here
	add("jwks_uri", "Metadata.JWKSURI", m.JWKSURI, m.JWKSURI == "")
	add("resource_signing_alg_values_supported", "Metadata.SigningAlgorithms", m.SigningAlgorithms, len(m.SigningAlgorithms) == 0)
	add("resource_name", "Metadata.Name", m.Name, m.Name == "")
	add("resource_documentation", "Metadata.Documentation", m.Documentation, m.Documentation == "")
	add("resource_policy_uri", "Metadata.Policy", m.Policy, m.Policy == "")
	add("resource_tos_uri", "Metadata.TermsOfService", m.TermsOfService, m.TermsOfService == "")
	constraint, err := g.constraint(m)
	errs = append(errs, err)
	add("tls_client_certificate_bound_access_tokens", "Config.Bindings, which decide on it", true, !constraint.certificates)
	add("dpop_signing_alg_values_supported", "Metadata.DPoPAlgorithms", constraint.algorithms, len(constraint.algorithms) == 0)
	add("dpop_bound_access_tokens_required", "Config.RequireBinding", true, !constraint.dpopOnly)
	maps.Copy(members, m.Extra)

	for _, issuer := range m.AuthorizationServers {
		if u, err := secureURL(issuer); err != nil {
			errs = append(errs, fmt.Errorf("Metadata.AuthorizationServers: %q: %w", issuer, err))
		} else if u.RawQuery != "" || u.ForceQuery {
			errs = append(errs, fmt.Errorf("Metadata.AuthorizationServers: %q: an issuer has no query: cut it off before the ?", issuer))
		}
	}
	if m.JWKSURI != "" {
		if _, err := secureURL(m.JWKSURI); err != nil {
			errs = append(errs, fmt.Errorf("Metadata.JWKSURI: %q: %w", m.JWKSURI, err))
		}
	}
	for _, page := range []struct{ field, url string }{
		{"Metadata.Documentation", m.Documentation}, {"Metadata.Policy", m.Policy}, {"Metadata.TermsOfService", m.TermsOfService},
	} {
		if u, err := url.Parse(page.url); page.url != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			errs = append(errs, fmt.Errorf("%s: %q: use the URL of a page, https://…", page.field, page.url))
		}
	}
	if slices.ContainsFunc(m.SigningAlgorithms, func(alg string) bool { return alg == "" || strings.EqualFold(alg, "none") }) {
		errs = append(errs, errors.New("Metadata.SigningAlgorithms: neither the empty name nor none signs anything: remove it"))
	}
	if len(m.Scopes) > 0 {
		if err := scope.All(m.Scopes...).Err(); err != nil {
			errs = append(errs, fmt.Errorf("Metadata.Scopes: use scope tokens of RFC 6749 §3.3: %w", err))
		}
	}
	if m.MaxAge != 0 && (m.MaxAge < time.Second || m.MaxAge > 24*time.Hour) {
		errs = append(errs, fmt.Errorf("Metadata.MaxAge is %v: use at least a second and at most a day, 10*time.Minute for example, or leave it out for %v", m.MaxAge, DefaultMetadataMaxAge))
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // it is no HTML, and people read it
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(members); err != nil {
		errs = append(errs, fmt.Errorf("Metadata.Extra: use values that encoding/json can write: %w", err))
	}
	return b.Bytes(), errors.Join(errs...)
}

// constraint is what a resource says about tokens that are bound to their sender.
type constraint struct {
	certificates, dpopOnly bool
	algorithms             []string // of DPoP proofs
}

// constraint returns what the bindings of the gate do, completed by m, or all in which
// m contradicts them.
func (g *Gate) constraint(m Metadata) (c constraint, err error) {
	var dpop, others bool
	err = bearergate.Guard(context.Background(), errChallenge, func(context.Context) error {
		for _, b := range g.config.Bindings {
			if b.Scheme() == bearergate.SchemeDPoP {
				dpop = true
				c.algorithms = append(c.algorithms, strings.Fields(b.Challenge()["algs"])...) // New let it in once
			}
			others = others || b.Scheme() != bearergate.SchemeDPoP
			c.certificates = c.certificates || slices.Contains(b.Members(), "x5t#S256")
		}
		return nil
	})
	if err != nil {
		return constraint{}, fmt.Errorf("Config.Bindings: %w", bearergate.AsError(err).Cause)
	}
	c.dpopOnly = g.config.RequireBinding && !others // New let in no gate that requires what no Binding confirms

	var errs []error
	if m.CertificateBound && !c.certificates {
		errs = append(errs, errors.New("Metadata.CertificateBound: no Binding confirms x5t#S256, so every such token is refused: put one into Config.Bindings, that of package binding/mtls for example, or leave it out"))
	}
	if m.DPoPRequired && !c.dpopOnly {
		errs = append(errs, errors.New("Metadata.DPoPRequired: the gate takes other tokens too: set Config.RequireBinding, with Config.Bindings of the DPoP scheme alone, or leave it out"))
	}
	switch {
	case len(m.DPoPAlgorithms) == 0:
	case !dpop:
		errs = append(errs, errors.New("Metadata.DPoPAlgorithms: no Binding has the DPoP scheme, so every proof is refused: put one into Config.Bindings, or leave it out"))
	case len(c.algorithms) > 0:
		errs = append(errs, fmt.Errorf("Metadata.DPoPAlgorithms: the Binding itself says %q: leave it out, and tell the Binding which algorithms it takes", strings.Join(c.algorithms, " ")))
	case slices.ContainsFunc(m.DPoPAlgorithms, isNoSignature):
		errs = append(errs, errors.New("Metadata.DPoPAlgorithms: neither the empty name nor none nor an algorithm with a shared secret proves anything: remove it"))
	default:
		c.algorithms = m.DPoPAlgorithms
	}
	return c, errors.Join(errs...)
}

// isNoSignature reports an alg with which nobody shows to hold a private key (RFC 9449
// §4.3).
func isNoSignature(alg string) bool {
	return alg == "" || strings.EqualFold(alg, "none") || strings.HasPrefix(alg, "HS")
}

const wellKnownPath = "/.well-known/oauth-protected-resource"

// wellKnown returns where the metadata of a resource is: the well-known path
// goes between host and path, and a slash that only ends the host goes (RFC 9728
// §3.1). The text around it stays as it is, since identifiers are not normalized.
func wellKnown(resource string) (string, error) {
	if resource == "" {
		return "", nil
	}
	u, err := secureURL(resource)
	if err != nil {
		return "", err
	}
	clean := path.Clean("/" + u.Path)
	if strings.HasSuffix(u.Path, "/") && clean != "/" {
		clean += "/"
	}
	if strings.ContainsAny(resource, "*{}") {
		return "", errors.New("write the identifier itself, without * and braces: nothing is put in their place")
	}
	if u.Path != "" && clean != u.Path {
		return "", errors.New("use a path without empty segments and dot segments")
	}
	start := strings.Index(resource, "://") + len("://")
	end := strings.IndexAny(resource[start:], "/?")
	if end < 0 {
		return resource + wellKnownPath, nil
	}
	host, rest := resource[:start+end], resource[start+end:]
	if rest == "/" || strings.HasPrefix(rest, "/?") {
		rest = rest[1:]
	}
	return host + wellKnownPath + rest, nil
}

// secureURL parses an https URL without user and fragment; http will do for loopback hosts.
func secureURL(s string) (*url.URL, error) {
	if !isPrintable(s) || strings.ContainsAny(s, ` "\`) {
		return nil, errors.New("use printable ASCII without space, double quote and backslash")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("it is not a URL: write https://host/path")
	}
	address, _ := netip.ParseAddr(u.Hostname()) // the zero Addr, which is no loopback, beside an error
	loopback := strings.EqualFold(u.Hostname(), "localhost") || address.Unmap().IsLoopback()
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback) || u.Hostname() == "":
		return nil, errors.New("write https://host…; http is for localhost and loopback addresses")
	case u.User != nil || strings.Contains(s, "#"):
		return nil, errors.New("use a URL without user and fragment")
	}
	return u, nil
}
