package dpop

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// place is the address of a resource without query and fragment, normalized as in RFC 3986
// §6.2.2 and §6.2.3: two that are equal are one resource to every program.
type place struct {
	scheme    string // https or http
	authority string // host, and a port that is not the scheme's
	path      string // begins with a slash
}

// parsePlace reads an absolute address. What programs read in different ways is not read
// at all: a user, a backslash, white space, other bytes than printable ASCII, escapes in a
// host, a percent sign that escapes nothing.
func parsePlace(text string) (place, bool) {
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return place{}, false // in the query, too: some programs drop them from the whole
	}
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "?")
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return place{}, false
	}
	if scheme = strings.ToLower(scheme); scheme != "https" && scheme != "http" {
		return place{}, false
	}
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if authority, ok = normalAuthority(scheme, authority); !ok {
		return place{}, false
	}
	if path, ok = normalPath(path); !ok {
		return place{}, false
	}
	return place{scheme, authority, path}, true
}

// base is the place without a slash at its end, for the path of a request to be put behind.
func (p place) base() place {
	p.path = strings.TrimSuffix(p.path, "/")
	return p
}

// isHost reports whether a Host header is the host of p, with its port.
func (p place) isHost(host string) bool {
	if host == p.authority {
		return true
	}
	authority, ok := normalAuthority(p.scheme, host)
	return ok && authority == p.authority
}

// isName reports whether a Host header is the host of p, with any port: http.ServeMux, for
// one, chooses by the name alone.
func (p place) isName(host string) bool { return strings.EqualFold(nameOf(host), nameOf(p.authority)) }

// nameOf is a host without its port, and without the dot of the root.
func nameOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

var defaultPorts = map[string]string{"https": "443", "http": "80"}

// normalAuthority returns host in lower case, with its port unless that is the default.
func normalAuthority(scheme, authority string) (string, bool) {
	host, port, _ := strings.Cut(authority, ":")
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return "", false
		}
		ip, err := netip.ParseAddr(authority[1:end])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", false
		}
		host = "[" + ip.String() + "]"
		var found bool
		if port, found = strings.CutPrefix(authority[end+1:], ":"); !found && port != "" {
			return "", false
		}
	} else {
		if host == "" || strings.ContainsFunc(host, func(c rune) bool { return !isHostCharacter(c) }) {
			return "", false
		}
		host = strings.ToLower(host)
	}
	if port == "" || port == defaultPorts[scheme] {
		return host, true
	}
	// "0443", "+443" and "443 " are ports to some programs and not to others.
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", false
	}
	return host + ":" + port, true
}

func isHostCharacter(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}

// requestPath is the normalized path of a request target (RFC 9112 §3.2). Who is named by
// an absolute one does not count, for it is what the sender wrote. One with dot segments is
// refused, escaped or not: http.ServeMux, for one, routes /admin/%2e%2e/health to what
// serves /admin/, and a proof for /health must not open that.
func requestPath(target string) (string, bool) {
	path, _, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		p, ok := parsePlace(path)
		if _, rest, _ := strings.Cut(path, "://"); !ok || strings.Contains(path, "#") || hasDots(rest) {
			return "", false
		}
		return p.path, true
	}
	if hasDots(path) {
		return "", false
	}
	return normalPath(path) // a # is refused: there is no fragment in a request
}

// hasDots reports whether a path has a dot segment, escaped or not.
func hasDots(path string) bool {
	if !strings.Contains(path, "/.") && !strings.Contains(path, "/%") {
		return false
	}
	unescaped, _ := unescape(path)
	for segment := range bytes.SplitSeq(unescaped, []byte{'/'}) {
		if s := string(segment); s == "." || s == ".." {
			return true
		}
	}
	return false
}

// normalPath returns a path with a slash at its beginning, without dot segments, in which
// only what has to be is escaped, in upper case.
func normalPath(path string) (string, bool) {
	if path == "" {
		return "/", true
	}
	plain := true
	for i := range len(path) {
		c := path[i]
		if c <= ' ' || c > '~' || c == '\\' || c == '#' || c == '?' {
			return "", false
		}
		plain = plain && c != '%' && (c != '.' || path[i-1] != '/') // a path begins with a slash
	}
	if plain {
		return path, true
	}
	unescaped, ok := unescape(path)
	if !ok {
		return "", false
	}
	return string(withoutDots(unescaped)), true
}

// unescape decodes unreserved characters (RFC 3986 §2.3) and writes other escapes in upper
// case (§6.2.2.1).
func unescape(path string) ([]byte, bool) {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b = append(b, path[i])
			continue
		}
		if i+2 >= len(path) {
			return nil, false
		}
		n, err := strconv.ParseUint(path[i+1:i+3], 16, 8)
		if err != nil {
			return nil, false
		}
		if c := byte(n); isUnreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
		i += 2
	}
	return b, true
}

const upperHex = "0123456789ABCDEF"

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// withoutDots removes dot segments (RFC 3986 §5.2.4), in place. Empty segments stay.
func withoutDots(path []byte) []byte {
	kept := path[:0]
	for start := 0; start < len(path); {
		end := len(path) // of the segment, which begins with a slash
		if i := bytes.IndexByte(path[start+1:], '/'); i >= 0 {
			end = start + 1 + i
		}
		segment, last := path[start:end], end == len(path)
		start = end
		switch string(segment) {
		case "/..":
			kept = kept[:max(bytes.LastIndexByte(kept, '/'), 0)]
			fallthrough
		case "/.":
			if last {
				kept = append(kept, '/')
			}
		default:
			kept = append(kept, segment...)
		}
	}
	return kept
}
