package dpop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
)

// htu against the address of the request. No row is right because its proof is.
//
// req: R9449-09
func TestAddress(t *testing.T) {
	s := newScene(t)
	const wrong = bearergate.ReasonProof
	for _, tc := range []struct {
		name string
		base []string // none: https://rs.example.com
		// target is that of the request; none: /a/b. host is Host; none: rs.example.com
		target, host string
		htu          string
		want         bearergate.Reason
	}{
		{name: "the address", htu: "https://rs.example.com/a/b"},
		{name: "query and fragment of htu", htu: "https://rs.example.com/a/b?q=1#f"},
		{name: "a fragment alone", htu: "https://rs.example.com/a/b#f?q"},
		{name: "query of the request", target: "/a/b?c=d?e", htu: "https://rs.example.com/a/b"},
		{name: "another query", target: "/a/b?c=d", htu: "https://rs.example.com/a/b?c=e"},
		{name: "case of scheme and host", htu: "HTTPS://RS.Example.COM/a/b"},
		{name: "W2-072, DPO-045 the default port", htu: "https://rs.example.com:443/a/b"},
		{name: "an empty port", htu: "https://rs.example.com:/a/b"},
		{name: "W2-073 unreserved characters escaped", htu: "https://rs.example.com/%61/%62"},
		{name: "in the request", target: "/%61/b%2D", htu: "https://rs.example.com/a/b-"},
		{name: "a tilde", target: "/~a", htu: "https://rs.example.com/%7ea"},
		{name: "W2-074 dot segments", htu: "https://rs.example.com/a/./b"},
		{name: "more of them", htu: "https://rs.example.com/x/../a/b"},
		{name: "escaped", htu: "https://rs.example.com/a/%2e%2E/a/b"},
		{name: "above the root", htu: "https://rs.example.com/../a/b"},
		{name: "at the end", target: "/a/", htu: "https://rs.example.com/a/b/.."},
		{name: "a dot at the end", target: "/a/b/", htu: "https://rs.example.com/a/b/."},
		{name: "W2-075 no path", target: "/", htu: "https://rs.example.com"},
		{name: "a query and no path", target: "/?a", htu: "https://rs.example.com?b"},
		{name: "W2-076 the case of escapes", target: "/a%2Fb", htu: "https://rs.example.com/a%2fb"},
		{name: "an escape that has to be", target: "/a%20b", htu: "https://rs.example.com/a%20b"},
		{name: "what needs no escape in paths", target: "/a:@!$&'()*+,;=b", htu: "https://rs.example.com/a:@!$&'()*+,;=b"},
		{name: "what browsers leave alone", target: "/a|b[c]", htu: "https://rs.example.com/a|b[c]"},
		{name: "letters beyond ASCII, escaped", target: "/%C3%A9", htu: "https://rs.example.com/%c3%a9"},
		{name: "a dot within a segment", target: "/a.b/.c/d..", htu: "https://rs.example.com/a.b/.c/d.."},
		{name: "two slashes", target: "/a//b", htu: "https://rs.example.com/a//b"},

		{name: "W2-077 http", htu: "http://rs.example.com/a/b", want: wrong},
		{name: "W2-078 another port", htu: "https://rs.example.com:8443/a/b", want: wrong},
		{name: "another host", htu: "https://as.example.com/a/b", want: wrong},
		{name: "a sub-domain", htu: "https://x.rs.example.com/a/b", want: wrong},
		{name: "the host as a beginning", htu: "https://rs.example.com.evil.test/a/b", want: wrong},
		{name: "the host as a user", htu: "https://rs.example.com@evil.test/a/b", want: wrong},
		{name: "a user", htu: "https://u@rs.example.com/a/b", want: wrong},
		{name: "an empty user", htu: "https://@rs.example.com/a/b", want: wrong},
		{name: "another path", htu: "https://rs.example.com/a/c", want: wrong},
		{name: "case of the path", htu: "https://rs.example.com/A/b", want: wrong},
		{name: "DPO-047 a slash at the end", htu: "https://rs.example.com/a/b/", want: wrong},
		{name: "without the slash at the end", target: "/a/b/", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "DPO-056 the beginning alone", htu: "https://rs.example.com/", want: wrong},
		{name: "an escaped slash", htu: "https://rs.example.com/a%2Fb", want: wrong},
		{name: "an escaped slash in the request", target: "/a%2Fb", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "two slashes for one", htu: "https://rs.example.com/a//b", want: wrong},
		{name: "two slashes after the host", htu: "https://rs.example.com//a/b", want: wrong},
		{name: "W2-081 escaped twice", target: "/a/%2e%2e/b", htu: "https://rs.example.com/a/%252e%252e/b", want: wrong},
		{name: "an escaped question mark", target: "/a/b?x", htu: "https://rs.example.com/a/b%3Fx", want: wrong},
		{name: "a semicolon", htu: "https://rs.example.com/a/b;x", want: wrong},
		{name: "DPO-053 relative", htu: "/a/b", want: wrong},
		{name: "without a scheme", htu: "//rs.example.com/a/b", want: wrong},
		{name: "without a host", htu: "https:///a/b", want: wrong},
		{name: "one slash", htu: "https:/rs.example.com/a/b", want: wrong},
		{name: "another scheme", htu: "ftp://rs.example.com/a/b", want: wrong},
		{name: "W2-083 a port that is none", htu: "https://rs.example.com:99999/a/b", want: wrong},
		{name: "letters for a port", htu: "https://rs.example.com:bad/a/b", want: wrong},
		{name: "a port with a zero before it", htu: "https://rs.example.com:0443/a/b", want: wrong},
		{name: "a port with a sign", htu: "https://rs.example.com:+443/a/b", want: wrong},
		{name: "two ports", htu: "https://rs.example.com:443:443/a/b", want: wrong},
		{name: "a percent sign", htu: "https://rs.example.com/a/b%", want: wrong},
		{name: "half an escape", htu: "https://rs.example.com/a/b%4", want: wrong},
		{name: "an escape that is none", htu: "https://rs.example.com/a/%GGb", want: wrong},
		{name: "a space", htu: "https://rs.example.com/a/b ", want: wrong},
		{name: "a space before", htu: " https://rs.example.com/a/b", want: wrong},
		{name: "CR LF", htu: "https://rs.example.com/a/b\r\n", want: wrong},
		{name: "CR LF in the query", htu: "https://rs.example.com/a/b?x\r\n", want: wrong},
		{name: "a tab within", htu: "https://rs.example.com/a\t/b", want: wrong},
		{name: "NUL", htu: "https://rs.example.com/a/b\x00", want: wrong},
		{name: "a backslash for a slash", htu: `https://rs.example.com/a\b`, want: wrong},
		{name: "backslashes for the first", htu: `https:\\rs.example.com/a/b`, want: wrong},
		{name: "a backslash after the host", htu: `https://rs.example.com\.evil.test/a/b`, want: wrong},
		{name: "the same backslash in the request", target: `/a\b`, htu: `https://rs.example.com/a\b`, want: wrong},
		{name: "W2-085 a dot at the end of the host", htu: "https://rs.example.com./a/b", want: wrong},
		{name: "DPO-057 an IDN in Unicode", base: []string{"https://xn--bcher-kva.example"}, htu: "https://bücher.example/a/b", want: wrong},
		{name: "letters beyond ASCII", target: "/é", htu: "https://rs.example.com/é", want: wrong},
		{name: "an escape in the host", htu: "https://rs%2Eexample.com/a/b", want: wrong},
		{name: "a fragment in the request", target: "/a/b#c", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "a fragment in an absolute target", target: "https://rs.example.com/a/b#c", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "dot segments in the request", target: "/a/x/../b", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "escaped, as ServeMux leaves them", target: "/admin/%2e%2E/a/b", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "half of it escaped", target: "/admin/.%2e/a/b?x", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "one dot", target: "/a/%2e/b", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "at the end of the request", target: "/a/b/%2e", htu: "https://rs.example.com/a/b/", want: wrong},
		{name: "the proof has them as well", target: "/admin/%2e%2e/a/b", htu: "https://rs.example.com/admin/%2e%2e/a/b", want: wrong},
		{name: "in an absolute target", target: "https://rs.example.com/x/%2e%2e/a/b", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "dots in the query are none", target: "/a/b?/../x", htu: "https://rs.example.com/a/b"},
		{name: "three dots are a name", target: "/.../.well-known/%2e%2e%2e", htu: "https://rs.example.com/.../.well-known/..."},
		{name: "DEL in the query of htu", htu: "https://rs.example.com/a/b?\x7f", want: wrong},
		{name: "an underscore in a host", base: []string{"https://a_b.example"}, htu: "https://a_b.example/a/b"},
		{name: "IPv4 in brackets", base: []string{"https://192.0.2.1"}, htu: "https://[192.0.2.1]/a/b", want: wrong},
		{name: "an asterisk", target: "*", htu: "https://rs.example.com/*", want: wrong},
		{name: "an authority", target: "rs.example.com:443", htu: "https://rs.example.com", want: wrong},

		{name: "W2-086, DPO-059 Host of a relay", host: "evil.test", htu: "https://evil.test/a/b", want: wrong},
		{name: "another Host and the right address", host: "evil.test", htu: "https://rs.example.com/a/b"},
		{name: "no Host", host: " ", htu: "https://rs.example.com/a/b"},
		{name: "W2-093 an absolute target", target: "https://rs.example.com/a/b", htu: "https://rs.example.com/a/b"},
		{name: "of another host", target: "http://other/a/b", host: "other", htu: "https://rs.example.com/a/b"},
		{name: "whose host is what the proof says", target: "http://other/a/b", host: "other", htu: "http://other/a/b", want: wrong},
		{name: "W2-090 a gateway takes a path away", base: []string{"https://api.example.com/svc2"}, target: "/my-api", htu: "https://api.example.com/svc2/my-api"},
		{name: "W2-091 without it", base: []string{"https://api.example.com/svc2"}, target: "/my-api", htu: "https://api.example.com/my-api", want: wrong},
		{name: "with a tilde", base: []string{"https://api.example.com/~svc"}, target: "/my-api", htu: "https://api.example.com/%7esvc/my-api"},
		{name: "with another one of its length", base: []string{"https://api.example.com/svc2"}, target: "/my-api", htu: "https://api.example.com/svc3/my-api", want: wrong},
		{name: "with a slash at its end", base: []string{"https://api.example.com/svc2/"}, target: "/my-api", htu: "https://api.example.com/svc2/my-api"},
		{name: "a request cannot climb out of it", base: []string{"https://api.example.com/svc2"}, target: "/../other", htu: "https://api.example.com/other", want: wrong},
		{name: "and neither can htu", base: []string{"https://api.example.com/svc2"}, target: "/x", htu: "https://api.example.com/svc2/../x", want: wrong},
		{name: "the root of it", base: []string{"https://api.example.com/svc2"}, target: "/", htu: "https://api.example.com/svc2/"},
		{name: "the root without a slash", base: []string{"https://api.example.com/svc2"}, target: "/", htu: "https://api.example.com/svc2"},
		{name: "another root", base: []string{"https://api.example.com/svc2"}, target: "/", htu: "https://api.example.com/", want: wrong},
		{name: "the base for another path", base: []string{"https://api.example.com/svc2"}, target: "/x", htu: "https://api.example.com/svc2", want: wrong},
		{name: "loopback", base: []string{"http://127.0.0.1:8080"}, host: "127.0.0.1:8080", htu: "http://127.0.0.1:8080/a/b"},
		{name: "IPv6", base: []string{"https://[2001:db8::1]:8443"}, htu: "https://[2001:0DB8:0::1]:8443/a/b"},
		{name: "IPv6, another", base: []string{"https://[2001:db8::1]"}, htu: "https://[2001:db8::2]/a/b", want: wrong},
		{name: "IPv6 with a zone", base: []string{"https://[fe80::1]"}, htu: "https://[fe80::1%25eth0]/a/b", want: wrong},
		{name: "IPv6 and more", base: []string{"https://[2001:db8::1]"}, htu: "https://[2001:db8::1]x/a/b", want: wrong},
		{name: "http and https of one host", base: []string{"http://rs.example.com", "https://rs.example.com"}, htu: "http://rs.example.com/a/b"},

		{name: "two bases, the first", base: []string{"https://a.example", "https://b.example/x"}, host: "c.example", htu: "https://a.example/a/b"},
		{name: "the second", base: []string{"https://a.example", "https://b.example/x"}, host: "c.example", htu: "https://b.example/x/a/b"},
		{name: "the one that is called", base: []string{"https://a.example", "https://b.example/x"}, host: "B.example:443", htu: "https://b.example/x/a/b"},
		{name: "not the other", base: []string{"https://a.example", "https://b.example/x"}, host: "B.example:443", htu: "https://a.example/a/b", want: wrong},
		{name: "not the other, whatever the port", base: []string{"https://a.example", "https://b.example"}, host: "B.example:1", htu: "https://a.example/a/b", want: wrong},
		{name: "the one that is called, by a port that a proxy maps", base: []string{"https://a.example", "https://b.example"}, host: "b.example:8443", htu: "https://b.example/a/b"},
		{name: "not the other, with the dot of the root", base: []string{"https://a.example", "https://b.example"}, host: "b.example.", htu: "https://a.example/a/b", want: wrong},
		{name: "not the other, IPv6", base: []string{"https://a.example", "https://[2001:db8::1]"}, host: "[2001:db8::1]:1", htu: "https://a.example/a/b", want: wrong},
		{name: "one name and two ports, the right one", base: []string{"http://a.example:1", "http://a.example:2"}, host: "a.example:2", htu: "http://a.example:2/a/b"},
		{name: "one name and two ports, the other one", base: []string{"http://a.example:1", "http://a.example:2"}, host: "a.example:2", htu: "http://a.example:1/a/b", want: wrong},
		{name: "one name and two ports, in another spelling", base: []string{"http://a.example:1", "http://a.example:2"}, host: "A.example:2", htu: "http://a.example:1/a/b", want: wrong},
		{name: "two of one host", base: []string{"https://a.example/x", "https://a.example/y"}, host: "a.example", htu: "https://a.example/y/a/b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := s
			s.T = t
			c := call(sign(s, map[string]any{"htu": tc.htu}))
			if tc.target != "" {
				c.Target = tc.target
			}
			if tc.host != "" {
				c.Host = tc.host
			}
			_, err := confirm(s, newProofs(t, func(c *dpop.Config) {
				if tc.base != nil {
					c.BaseURLs = tc.base
				}
			}), c)
			requireReason(t, err, tc.want)
		})
	}
	c := call(sign(s, nil))
	c.Target = ""
	_, err := confirm(s, newProofs(t), c)
	require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err), "a call without a target")
}

// An address as it is compared (RFC 3986 §6.2.2 and §6.2.3). What programs read in different
// ways is not read, so that it equals nothing.
func TestPlaces(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{name: "as it is", text: "https://rs.example.com/a/b", want: "https://rs.example.com/a/b"},
		{name: "no path", text: "http://rs.example.com", want: "http://rs.example.com/"},
		{name: "capitals", text: "HTTPS://RS.Example.COM/A", want: "https://rs.example.com/A"},
		{name: "the port of https", text: "https://rs.example.com:443/", want: "https://rs.example.com/"},
		{name: "the port of http", text: "http://rs.example.com:80/", want: "http://rs.example.com/"},
		{name: "the port of the other scheme", text: "http://rs.example.com:443/", want: "http://rs.example.com:443/"},
		{name: "the highest port", text: "https://rs.example.com:65535/", want: "https://rs.example.com:65535/"},
		{name: "an empty port", text: "https://rs.example.com:/", want: "https://rs.example.com/"},
		{name: "IPv6", text: "https://[2001:0DB8:0:0::1]:8443/a", want: "https://[2001:db8::1]:8443/a"},
		{name: "IPv6 without a port", text: "https://[::1]/a", want: "https://[::1]/a"},
		{name: "escapes in upper case", text: "https://rs.example.com/%2f%c3%a9%20%aF", want: "https://rs.example.com/%2F%C3%A9%20%AF"},
		{name: "dot segments", text: "https://rs.example.com/a/./b/../c/", want: "https://rs.example.com/a/c/"},
		{name: "escaped", text: "https://rs.example.com/a/%2e%2E/c", want: "https://rs.example.com/c"},
		{name: "a dot within a segment", text: "https://rs.example.com/a.b/.c/d.", want: "https://rs.example.com/a.b/.c/d."},
		{name: "above the root", text: "https://rs.example.com/../..", want: "https://rs.example.com/"},
		{name: "above an empty segment", text: "https://rs.example.com/a//../b", want: "https://rs.example.com/a/b"},
		{name: "query and fragment", text: "https://rs.example.com/a?b#c", want: "https://rs.example.com/a"},

		{name: "white space", text: "https://rs.example.com/a b"},
		{name: "white space in the query", text: "https://rs.example.com/a?b c"},
		{name: "no scheme", text: "rs.example.com/a"},
		{name: "another scheme", text: "ftp://rs.example.com/a"},
		{name: "no host", text: "https:///a"},
		{name: "a port and no host", text: "https://:443/a"},
		{name: "a port beyond ports", text: "https://rs.example.com:65536/"},
		{name: "a port far beyond them", text: "https://rs.example.com:131072/"},
		{name: "a port with a zero before it", text: "https://rs.example.com:0443/"},
		{name: "a port of letters", text: "https://rs.example.com:x/"},
		{name: "a bracket that does not end", text: "https://[::1/a"},
		{name: "nothing in brackets", text: "https://[]/a"},
		{name: "a name in brackets", text: "https://[rs.example.com]/a"},
		{name: "IPv4 in brackets", text: "https://[192.0.2.1]/a"},
		{name: "a zone", text: "https://[fe80::1%eth0]/a"},
		{name: "something behind the bracket", text: "https://[::1]8443/a"},
		{name: "a percent sign at the end", text: "https://rs.example.com/%"},
		{name: "half an escape", text: "https://rs.example.com/%4"},
		{name: "an escape that is none", text: "https://rs.example.com/%4G"},
		{name: "an escape with a sign", text: "https://rs.example.com/%+4"},
		{name: "letters beyond ASCII", text: "https://rs.example.com/é"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, read := dpop.ReadPlace(tc.text)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.want != "", read)
		})
	}
}

// A request target with dot segments is not read, whatever it would come to.
func TestRequestTargetsWithDots(t *testing.T) {
	for _, target := range []string{"/a/../b", "/a/%2e%2E/b", "/.", "/..", "/%2e", "/a/./b?c", "https://rs.example.com/a/../b"} {
		path, read := dpop.RequestPath(target)
		require.False(t, read, target)
		require.Empty(t, path, target)
	}
}

// Every byte: in a host, in a path, and as an escape.
func TestBytesOfAnAddress(t *testing.T) {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for b := range 256 {
		c := string([]byte{byte(b)})
		within := func(set string) bool { return strings.Contains(set, c) }

		got, read := dpop.ReadPlace("https://a" + c + "b/")
		switch {
		case within(alphanumeric + "-._"):
			require.True(t, read, "host, %q", c)
			require.Equal(t, "https://a"+strings.ToLower(c)+"b/", got)
		case !within("/?#"): // which end the host
			require.False(t, read, "host, %q", c)
		}

		path, read := dpop.RequestPath("/a" + c + "b")
		switch {
		case within("?"):
			require.Equal(t, "/a", path, "the query begins")
		case c > " " && c <= "~" && !within(`%\#`):
			require.True(t, read, "path, %q", c)
			require.Equal(t, "/a"+c+"b", path)
		default:
			require.False(t, read, "path, %q", c)
		}

		escape := fmt.Sprintf("%%%02x", b)
		path, read = dpop.RequestPath("/a" + escape + "b")
		require.True(t, read, escape)
		if within(alphanumeric + "-._~") {
			require.Equal(t, "/a"+c+"b", path)
		} else {
			require.Equal(t, "/a"+strings.ToUpper(escape)+"b", path)
		}
	}
}
