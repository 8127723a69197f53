package dpop_test

import (
	"crypto/rand"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
)

// FuzzProof signs any header and any claims with the right key. What is accepted says the
// same to encoding/json, which another program may read it with.
func FuzzProof(f *testing.F) {
	s := newScene(f)
	p := newProofs(f, func(c *dpop.Config) { c.Now = func() time.Time { return s.Now } })
	header, claims := headerText(f, s), claimsText(f, s, "id")
	f.Add(header, claims)
	f.Add(strings.Replace(header, "{", `{"crit":["x"],`, 1), claims)
	f.Add(strings.Replace(header, "jwk", `j\u0077k`, 1), strings.Replace(claims, "GET", `G\u0045T`, 1))
	f.Add(header, strings.Replace(claims, "{", `{"htu":"https://evil.test/",`, 1))
	f.Add(header, strings.Replace(claims, "}", `,"HTM":"PUT"}`, 1))
	f.Add(header, strings.Replace(claims, "}", `,"nonce":null,"exp":1e10,"x":[{}]}`, 1))
	f.Fuzz(func(t *testing.T, header, claims string) {
		s := s
		s.T = t
		sent := s.Key.SignText(t, header, claims)
		reply, err := confirm(s, p, call(sent))
		require.Empty(t, reply)
		if err != nil {
			require.Contains(t, []bearergate.Reason{bearergate.ReasonProof, bearergate.ReasonBinding, bearergate.ReasonReplay}, bearergate.ReasonOf(err))
			requireNothingOf(t, err, []string{sent})
			return
		}
		var h struct {
			Typ, Alg string
			Crit     any
			JWK      map[string]any
		}
		require.NoError(t, json.Unmarshal([]byte(exact(t, header)), &h))
		require.True(t, strings.EqualFold(h.Typ, "dpop+jwt"))
		require.Equal(t, "ES256", h.Alg)
		require.Nil(t, h.Crit)
		for _, name := range []string{"kty", "crv", "x", "y"} {
			require.Equal(t, s.Key.JWK[name], h.JWK[name])
		}
		var c struct {
			Jti, Htm, Htu, Ath string
			Iat                json.Number
		}
		require.NoError(t, json.Unmarshal([]byte(exact(t, claims)), &c))
		require.NotEmpty(t, c.Jti)
		require.Equal(t, method, c.Htm)
		require.Equal(t, s.Claims()["ath"], c.Ath)
		u, err := url.Parse(c.Htu)
		require.NoError(t, err)
		require.Equal(t, "https rs.example.com 443 /a/b", decoded(u))
		_, err = c.Iat.Float64()
		require.NoError(t, err)
	})
}

// exact leaves out the members that differ from a known one by their case alone: they are
// unknown, and encoding/json would read them.
func exact(t testing.TB, text string) string {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(text), &members))
	for name := range members {
		if name != strings.ToLower(name) {
			delete(members, name)
		}
	}
	data, err := json.Marshal(members)
	require.NoError(t, err)
	return string(data)
}

// FuzzHeader sends any text for a proof: it is refused unless it is the proof, and nothing
// of it is in the error.
func FuzzHeader(f *testing.F) {
	s := newScene(f)
	p := newProofs(f, func(c *dpop.Config) { c.Now = func() time.Time { return s.Now } })
	valid := sign(s, nil)
	for _, text := range []string{valid, valid + " ", valid + ".", "", ".", "..", "a.b.c", valid[:len(valid)-1], valid + "," + valid, strings.ToUpper(valid)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := s
		s.T = t
		_, err := confirm(s, p, call(text))
		if text == valid && bearergate.ReasonOf(err) != bearergate.ReasonReplay {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, bearergate.ErrInvalidToken)
		requireNothingOf(t, err, []string{text})
	})
}

// FuzzNonce sends any nonce: none is accepted that was not made here.
func FuzzNonce(f *testing.F) {
	s := newScene(f)
	secret := make([]byte, 32) // of this process: seeds of another one are not its own
	_, _ = rand.Read(secret)
	p := withNonces(f, dpop.NonceConfig{Secrets: [][]byte{secret, secrets("b")[0]}}, func(c *dpop.Config) { c.Now = func() time.Time { return s.Now } })
	reply, _ := confirm(s, p, call(sign(s, nil)))
	nonce := reply["DPoP-Nonce"]
	for _, text := range []string{nonce, "", nonce + "A", nonce[:31], nonce[:31] + "\n", strings.Repeat("A", 32), strings.ToLower(nonce)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 200 { // else the proof is what is wrong
			return
		}
		s := s
		s.T = t
		reply, err := confirm(s, p, call(sign(s, map[string]any{"nonce": text})))
		if text == nonce {
			require.NoError(t, err)
			return
		}
		requireReason(t, err, bearergate.ReasonNonce)
		requireReply(t, reply)
	})
}

// FuzzAddress compares two addresses. Where they are one for us, they are one for a program
// that reads addresses as browsers do, and for net/url.
func FuzzAddress(f *testing.F) {
	for _, pair := range [][2]string{
		{"https://rs.example.com/a/b", "HTTPS://RS.example.com:443/a/./b?q#f"},
		{"https://rs.example.com", "https://rs.example.com/"},
		{"https://rs.example.com/%7ea", "https://rs.example.com/~a"},
		{"https://rs.example.com/a%2fb", "https://rs.example.com/a%2Fb"},
		{"https://rs.example.com/a/%2e%2e/b", "https://rs.example.com/b"},
		{"https://rs.example.com/a\\b", "https://rs.example.com/a/b"},
		{"https://a@rs.example.com/", "https://rs.example.com/"},
		{"https://[::1]:8443/", "https://[0:0::1]:8443/"},
		{"https://0x7f.1/", "https://127.0.0.1/"},
		{"https://rs.example.com//a", "https://rs.example.com/a"},
		{"https://rs.example.com/a;b", "https://rs.example.com/a%3Bb"},
		{"https://rs.example.com/..", "https://rs.example.com/a/.."},
		{"https://rs.example.com/%", "https://rs.example.com/%25"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		same, readA, _ := dpop.SamePlace(a, b)
		again, _, _ := dpop.SamePlace(b, a)
		require.Equal(t, same, again)
		if readA {
			self, _, _ := dpop.SamePlace(a, a)
			require.True(t, self)
		}
		if !same {
			return
		}
		x, okX := browser(a)
		y, okY := browser(b)
		require.True(t, okX, "a browser does not read %q", a)
		require.True(t, okY, "a browser does not read %q", b)
		require.Equal(t, x, y, "%q, %q", a, b)
		u, errU := url.Parse(a)
		v, errV := url.Parse(b)
		require.NoError(t, errU)
		require.NoError(t, errV)
		require.Equal(t, decoded(u), decoded(v), "%q, %q", a, b)
	})
}

// decoded is what a Go program makes of an address: host, port and the clean path.
func decoded(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "IPv6" // net/url keeps the text, in which there are several for one address
	}
	return u.Scheme + " " + host + " " + port + " /" + strings.Join(withoutDots(strings.TrimPrefix(u.Path, "/")), "/")
}

// browser reads an https or http address as the URL Standard of the WHATWG does, as far as
// it says which resource is meant.
func browser(text string) (resource string, ok bool) {
	text = strings.Trim(text, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
	text = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(text)
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "?")
	scheme, rest, found := strings.Cut(text, ":")
	if scheme = strings.ToLower(scheme); !found || scheme != "https" && scheme != "http" {
		return "", false
	}
	rest = strings.ReplaceAll(rest, `\`, "/")
	rest = strings.TrimLeft(rest, "/")
	authority, path, _ := strings.Cut(rest, "/")
	host := authority[strings.LastIndexByte(authority, '@')+1:]
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	n := map[string]uint64{"https": 443, "http": 80}[scheme]
	if port != "" {
		var err error
		if n, err = strconv.ParseUint(port, 10, 16); err != nil {
			return "", false
		}
	}
	name, err := url.PathUnescape(strings.ToLower(name))
	if err != nil || name == "" {
		return "", false
	}
	if strings.HasPrefix(name, "[") {
		name = "IPv6"
	}
	segments := withoutDots(path)
	for i, segment := range segments { // what a server makes of a segment
		if text, err := url.PathUnescape(segment); err == nil {
			segments[i] = url.PathEscape(text)
		}
	}
	return scheme + "://" + name + ":" + strconv.FormatUint(n, 10) + "/" + strings.Join(segments, "/"), true
}

// withoutDots returns the segments of a path that stay, dots written as escapes or not.
func withoutDots(path string) (segments []string) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		switch dots := strings.ReplaceAll(strings.ToLower(part), "%2e", "."); dots {
		case ".", "..":
			if dots == ".." && len(segments) > 0 {
				segments = segments[:len(segments)-1]
			}
			if i == len(parts)-1 {
				segments = append(segments, "")
			}
		default:
			segments = append(segments, part)
		}
	}
	return segments
}
