package middleware

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A side door is a URL whose HEAD runs a handler under another policy than its GET. As a
// rule both run the same code, so whoever the policy of GET keeps out asks for HEAD. Only
// a pattern with the method HEAD can open one: every other pattern that ServeMux chooses
// for HEAD it chooses for GET too.
//
// The URLs are without number, and a third pattern, on another host or under a tree, may
// take either of the two requests away; so looking at two patterns is not enough. ServeMux
// itself says who answers what, for samples of which one at least is a side door if there
// is any:
//
//   - The pattern of HEAD and that of GET both match the URL. meet makes the pattern of
//     all such URLs.
//   - Where this has a wildcard, a segment that no pattern names is the best sample. A
//     pattern that matches it has a wildcard there, and matches every other segment too. So
//     such a sample is taken away by no pattern that leaves the other URLs of its form.
//   - At the end of a tree, the forms differ: how many segments there are, whether a slash
//     is the last, and where one of them is an encoded slash, which ServeMux lets no {x}
//     match. Once a form is that of no pattern any more, nothing that follows changes who
//     answers. So the beginnings of all patterns, each with one more segment of either kind,
//     are all that has to be tried: see endings.
type sideDoors struct {
	mux    *http.ServeMux // whose handlers are the routes
	routes []*candidate
	ends   [][]string
	other  string // a segment that no pattern names
}

type candidate struct {
	*registered
	method, host string
	path         []segment
}

// segment is a part of a pattern's path, as ServeMux reads it.
type segment struct {
	text string // decoded; "/" is the end behind a slash: {$}
	kind byte
}

const (
	fixed  = iota
	single // {x}
	rest   // {x...}, or nothing behind the last slash
)

// ServeHTTP makes a route the handler of a mux that only says which route it would be.
func (*registered) ServeHTTP(http.ResponseWriter, *http.Request) {}

// newSideDoors takes the routes whose patterns ServeMux accepts.
func newSideDoors(routes []*registered) *sideDoors {
	s := &sideDoors{mux: http.NewServeMux()}
	named := map[string]bool{}
	ends := map[string][]string{}
	for _, reg := range routes {
		c := &candidate{registered: reg}
		c.method, _ = cut(reg.pattern)
		host, path := splitHost(reg.pattern)
		c.host, c.path = host, segments(path)
		s.mux.Handle(reg.pattern, reg)
		s.routes = append(s.routes, c)
		for i := range c.path {
			named[c.path[i].text] = true
			endings(c.path[i:], ends)
		}
	}
	s.other = "x"
	for named[s.other] {
		s.other += "x"
	}
	for _, end := range ends {
		s.ends = append(s.ends, end)
	}
	// The shortest first, for that is what is told.
	slices.SortFunc(s.ends, func(a, b []string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return slices.Compare(a, b)
	})
	return s
}

// find returns the route that answers GET where head, whose method is HEAD, answers HEAD
// under another policy, and a path for which they do; nil if there is none.
func (s *sideDoors) find(head *registered) (get *registered, path string) {
	at := slices.IndexFunc(s.routes, func(c *candidate) bool { return c.registered == head })
	h := s.routes[at]
	if h.method != http.MethodHead {
		return nil, ""
	}
	for _, g := range s.routes {
		// Where head has no host, it answers on none that another pattern names for the path.
		if g.method != "" && g.method != http.MethodGet || g.host != "" && g.host != h.host {
			continue
		}
		both := meet(h.path, g.path)
		if both == nil || g.route.same(&h.route) {
			continue
		}
		for _, u := range s.samples(both) {
			if s.serves(http.MethodHead, h.host, u) == head && s.serves(http.MethodGet, h.host, u) == g.registered {
				return g.registered, u.EscapedPath()
			}
		}
	}
	return nil, ""
}

// serves returns the route that answers; nil if there is none, and ServeMux answers
// itself, with a redirect for example.
func (s *sideDoors) serves(method, host string, u *url.URL) *registered {
	h, _ := s.mux.Handler(&http.Request{Method: method, Host: host, URL: u})
	reg, _ := h.(*registered)
	return reg
}

// samples returns URLs that the pattern matches: one, or if it ends with a tree, one for
// each ending.
func (s *sideDoors) samples(pattern []segment) []*url.URL {
	var start []string
	for _, seg := range pattern {
		switch seg.kind {
		case fixed:
			start = append(start, seg.text)
		case single:
			start = append(start, anything)
		case rest:
			urls := make([]*url.URL, 0, len(s.ends))
			for _, end := range s.ends {
				urls = append(urls, s.url(slices.Concat(start, end)))
			}
			return urls
		}
	}
	return []*url.URL{s.url(start)}
}

// anything stands for a segment that no pattern names; "/" is an encoded slash, or at the
// end a plain one, which is the same for ServeMux.
const anything = ""

// endings adds what has to be tried behind a tree because of a pattern that goes on like
// this: each beginning of it, with one more segment of either kind.
func endings(path []segment, into map[string][]string) {
	start := []string{}
	for _, seg := range append(slices.Clone(path), segment{kind: rest}) {
		for _, more := range []string{anything, "/"} {
			end := append(slices.Clone(start), more)
			into[strings.Join(end, "|")] = end
		}
		switch {
		case seg.kind == rest:
			return
		case seg.text == "/":
			start = append(start, "/")
		default: // a name as well: it is not looked for, so that its pattern does not match
			start = append(start, anything)
		}
	}
}

// url returns the URL with these segments.
func (s *sideDoors) url(segments []string) *url.URL {
	var path, raw strings.Builder
	for i, text := range segments {
		path.WriteByte('/')
		raw.WriteByte('/')
		if text == anything {
			text = s.other
		}
		if text == "/" && i == len(segments)-1 {
			break
		}
		path.WriteString(text)
		raw.WriteString(encoded(text))
	}
	return &url.URL{Path: path.String(), RawPath: raw.String()}
}

// encoded returns a segment in a form that arrives as it is, whatever it is made of: an
// encoded slash stays in it, and dots are not cleaned away.
func encoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// segments reads the path of a pattern that ServeMux accepts.
func segments(path string) []segment {
	var list []segment
	for text := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		switch wildcard := strings.HasPrefix(text, "{"); {
		case text == "{$}":
			list = append(list, segment{"/", fixed})
		case wildcard && strings.HasSuffix(text, "...}"):
			list = append(list, segment{"", rest})
		case wildcard:
			list = append(list, segment{"", single})
		default:
			if decoded, err := url.PathUnescape(text); err == nil {
				text = decoded
			}
			list = append(list, segment{text, fixed})
		}
	}
	if last := &list[len(list)-1]; *last == (segment{"", fixed}) {
		last.kind = rest
	}
	return list
}

// meet returns a pattern that matches whatever both match; nil if that is nothing. It may
// match more: ServeMux says what is so.
func meet(a, b []segment) []segment {
	var both []segment
	for i := range max(len(a), len(b)) {
		switch {
		case i < len(a) && a[i].kind == rest:
			return append(both, b[min(i, len(b)):]...)
		case i < len(b) && b[i].kind == rest:
			return append(both, a[min(i, len(a)):]...)
		case i >= len(a) || i >= len(b):
			return nil
		case a[i] == b[i] || b[i].kind == single:
			both = append(both, a[i])
		case a[i].kind == single:
			both = append(both, b[i])
		default:
			return nil
		}
	}
	return both
}
