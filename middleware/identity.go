package middleware

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
)

// identity is one header that says who calls.
type identity struct{ name, value string }

// notIdentity are headers that mean something to HTTP or to the gate.
var notIdentity = []string{"Authorization", "Connection", "Content-Length", "Content-Type", "Cookie", "Host",
	"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// identityNames returns a copy of headers with canonical names, or all that is
// wrong with them; nil for none.
func identityNames(headers map[string]func(*bearergate.Token) string) (map[string]func(*bearergate.Token) string, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	var errs []error
	canonical := make(map[string]func(*bearergate.Token) string, len(headers))
	for name, value := range headers {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !isHeaderName(name):
			errs = append(errs, fmt.Errorf("Config.Identity: the name %q: use letters and digits, with dashes between them", name))
		case slices.Contains(notIdentity, key):
			errs = append(errs, fmt.Errorf("Config.Identity: %s: it has a meaning of its own: choose another name, such as X-User", key))
		case canonical[key] != nil:
			errs = append(errs, fmt.Errorf("Config.Identity: %s is given twice: names are compared without case, so leave one of them out", key))
		case value == nil:
			errs = append(errs, fmt.Errorf("Config.Identity: %s: the function is nil: pass one, or leave the header out", key))
		}
		canonical[key] = value
	}
	// In a fixed order, whatever the order of the map.
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return canonical, errors.Join(errs...)
}

// extractNames returns a copy of ExtractHeaders with canonical names, or all that is wrong
// with them; nil for none.
func (c *Config) extractNames() (names []string, err error) {
	var errs []error
	if len(c.ExtractHeaders) > 0 && c.Extract == nil {
		errs = append(errs, errors.New("Config.ExtractHeaders without Extract: it is Authorization that is read; leave them out, or set Extract"))
	}
	for _, name := range c.ExtractHeaders {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !isHeaderName(name):
			errs = append(errs, fmt.Errorf("Config.ExtractHeaders: the name %.100q: use letters and digits, with dashes between them", name))
		case key != "Authorization" && key != "Cookie" && slices.Contains(notIdentity, key):
			errs = append(errs, fmt.Errorf("Config.ExtractHeaders: %s: it has a meaning of its own, and no credential", key))
		case slices.Contains(names, key):
			errs = append(errs, fmt.Errorf("Config.ExtractHeaders: %s is given twice: names are compared without case, so leave one of them out", key))
		case slices.ContainsFunc(slices.Collect(maps.Keys(c.Identity)), func(identity string) bool { return alike(identity, key) }):
			errs = append(errs, fmt.Errorf("Config.ExtractHeaders: %s is in Identity too: a header carries the credential or says whose it is", key))
		}
		names = append(names, key)
	}
	return names, errors.Join(errs...)
}

// isHeaderName reports letters and digits with dashes between them.
func isHeaderName(name string) bool {
	return name != "" && strings.Trim(name, "-") == name && !strings.ContainsFunc(name, func(c rune) bool { return c != '-' && !isAlphanumeric(c) })
}

// identify says of the token what Config.Identity asks for.
func (g *Gate) identify(ctx context.Context, token *bearergate.Token) (headers []identity, err error) {
	err = bearergate.Guard(ctx, errIdentity, func(context.Context) error {
		for name, value := range g.config.Identity {
			if encoded := encode(value(token)); encoded != "" {
				headers = append(headers, identity{name, encoded})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return headers, nil
}

// clean takes from r what handlers are not to see: whatever could pass for an
// identity header, and Authorization. It changes r, but not the header that r
// shares with other requests.
func (g *Gate) clean(r *http.Request) {
	if !g.config.DropAuthorization && g.config.Identity == nil {
		return
	}
	if r.Header = r.Header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	if g.config.DropAuthorization {
		r.Header.Del("Authorization")
		for name := range r.Header {
			if g.isDropped(name) {
				delete(r.Header, name)
			}
		}
	}
	if g.config.Identity == nil {
		return
	}
	for name := range r.Header {
		if g.isIdentity(name) {
			delete(r.Header, name)
		}
	}
	// What Connection lists, a proxy behind the gate removes: our headers must not be among it.
	if connection, ok := r.Header["Connection"]; ok {
		var kept []string
		for option := range strings.SplitSeq(strings.Join(connection, ","), ",") {
			if option = strings.TrimSpace(option); option != "" && !g.isIdentity(option) {
				kept = append(kept, option)
			}
		}
		delete(r.Header, "Connection")
		if kept != nil {
			r.Header["Connection"] = []string{strings.Join(kept, ", ")}
		}
	}
	r.Trailer = nil // net/http fills in what comes after the body, whatever its name
}

// isDropped reports a header beside Authorization that DropAuthorization takes out.
func (g *Gate) isDropped(header string) bool {
	return g.config.DropAuthorization && slices.ContainsFunc(g.config.ExtractHeaders, func(name string) bool { return alike(header, name) })
}

func (g *Gate) isIdentity(header string) bool {
	for name := range g.config.Identity {
		if alike(header, name) {
			return true
		}
	}
	return false
}

// alike reports whether a backend may take header for name, which consists of
// letters, digits and dashes: CGI and what came after it fold case and know one
// character, the underscore, for everything that is neither letter nor digit.
func alike(header, name string) bool {
	if len(header) != len(name) {
		return false
	}
	for i := range len(name) {
		h, n := header[i], name[i]
		if n == '-' {
			if isAlphanumeric(rune(h)) {
				return false
			}
		} else if h|0x20 != n|0x20 { // the bit of the case; digits have it set
			return false
		}
	}
	return true
}

func isAlphanumeric(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// encode makes any text the value of a header from which url.PathUnescape gets
// it back. The comma is encoded for backends that would see a list.
func encode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		inner := c == ' ' && 0 < i && i < len(s)-1 // an outer space would be trimmed on the way
		if inner || c > ' ' && c < 0x7f && c != '%' && c != '"' && c != ',' && c != '\\' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// cleaned is all that stands in front of the handler of a public route.
func (g *Gate) cleaned(next http.Handler) http.Handler {
	if g == nil || !g.config.DropAuthorization && g.config.Identity == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(r.Context())
		g.clean(r)
		next.ServeHTTP(w, r)
	})
}
