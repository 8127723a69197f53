package issuers_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// What somebody might take for a JWT is not sent to Opaque, whatever is wrong
// with it.
func TestJWTShapedNeverReachesOpaque(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	valid := s.Sign(t, map[string]any{"iss": "https://unknown.example/"})
	parts := strings.Split(valid, ".")
	header := `{"alg":"ES256","typ":"at+jwt","kid":"???>>>?"}`
	std := base64.StdEncoding.EncodeToString([]byte(header))
	require.Contains(t, std, "/")
	require.Contains(t, std, "=")
	spread := func(with string) string {
		return strings.Join(strings.Split(parts[0], ""), with) + "." + parts[1] + "." + parts[2]
	}
	utf16 := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteByte(byte(c))
			b.WriteByte(0)
		}
		return b.String()
	}
	tail := "." + parts[1] + "." + parts[2]
	for name, token := range map[string]string{
		"a JWT":                          valid,
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"two parts":                      parts[0] + "." + parts[1],
		"the header and a dot":           parts[0] + ".",
		"the header alone":               parts[0],
		"an empty object":                b64("{}") + tail,
		"an empty object alone":          b64("{}"),
		"only a brace":                   b64("{") + tail,
		"only a brace, alone":            b64("{"),
		"only a brace, behind blanks":    b64(" \t{"),
		"a brace and no JSON":            b64("{alg: none}"),
		"a brace and noise":              b64("{\x00\x01\x02\xff\xfe") + tail,
		"bad UTF-8 in the kid":           b64("{\"alg\":\"ES256\",\"kid\":\"\xff\"}") + tail,
		"bad UTF-8 in the first name":    b64("{\"\xff\":1,\"alg\":\"ES256\"}") + tail,
		"bad UTF-8, no dot":              b64("{\"\xff\":1,\"alg\":\"ES256\"}"),
		"bad UTF-8, one dot":             b64("{ \"\xff\" :1,\"alg\":\"ES256\"}") + ".x",
		"control characters, no dot":     b64("{\"alg\":\"ES256\",\"kid\":\"\x01\x02\"}"),
		"noise after the header, no dot": b64("{\"alg\":\"ES256\"}\x01\xff"),
		"padded":                         base64.URLEncoding.EncodeToString([]byte(`{"a":1}x`)) + tail,
		"standard alphabet":              std + tail,
		"standard alphabet, no dot":      std,
		"the brace needs a +":            base64.RawStdEncoding.EncodeToString([]byte("{ယ:1}")) + tail,
		"the brace needs a /":            base64.RawStdEncoding.EncodeToString([]byte("{😀:1}")) + tail,
		"padding in the middle":          spread("="),
		"spaces":                         spread(" "),
		"CR LF":                          spread("\r\n"),
		"tabs":                           spread("\t"),
		"other characters":               spread("~"),
		"quoted":                         `"` + valid + `"`,
		"a newline before":               "\n" + valid,
		"a BOM before the token":         "\ufeff" + valid,
		"white space before the brace":   b64(" \t\r\n{\"alg\":\"ES256\"}") + tail,
		"a BOM before the brace":         b64("\ufeff{\"alg\":\"ES256\"}") + tail,
		"a BOM before the brace, no dot": b64("\ufeff{\"alg\":\"ES256\"}"),
		"UTF-16, little endian":          b64("\xff\xfe"+utf16(header)) + tail,
		"UTF-16, big endian":             b64("\xfe\xff\x00"+utf16(header)) + tail,
		"UTF-16, no dot":                 b64("\xff\xfe" + utf16(header)),
		"trailing bits":                  parts[0][:len(parts[0])-1] + "_" + tail,
		"JWE, compact":                   b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d",
		"JWE, direct":                    b64(`{"alg":"dir","enc":"A256GCM"}`) + "..b.c.d",
		"six parts":                      valid + ".a.b.c",
		"only dots after":                parts[0] + "........",
		"flattened JSON":                 `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"general JSON":                   `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"x"}]}`,
		"JSON after white space":         " \r\n\t" + `{"payload":"x.y"}`,
		"JSON after a BOM":               "\ufeff" + `{"payload":"x"}`,
		"JSON that ends early":           `{`,
		"flattened JSON in base64":       b64(`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `"}`),
		"flattened JSON in std base64":   base64.StdEncoding.EncodeToString([]byte(`{"payload":"` + parts[1] + `"}`)),
	} {
		t.Run(name, func(t *testing.T) {
			a, opaque := &recorder{issuer: issuer}, &recorder{}
			r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, Opaque: opaque})
			got, err := r.Verify(t.Context(), token)
			reason := bearergate.ReasonMalformed
			if strings.Count(token, ".") == 2 && strings.Contains(token, "."+parts[1]+".") { // its iss can be read: the header is for the verifier
				reason = bearergate.ReasonIssuer
			}
			requireError(t, got, err, bearergate.ErrInvalidToken, reason)
			require.Zero(t, opaque.asked())
			require.Zero(t, a.asked())
		})
	}
}

// I13: an encrypted token is opaque, where that is said, and nothing else of five parts is.
func TestEncryptedAreOpaque(t *testing.T) {
	header := b64(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"k"}`)
	for _, tt := range []struct {
		name, token string
		opaque      bool // it goes to Opaque with the option
	}{
		{name: "a key that is wrapped", token: header + ".a.b.c.d", opaque: true},
		{name: "a key that is shared", token: b64(`{"alg":"dir","enc":"A128CBC-HS256"}`) + "..b.c.d", opaque: true},
		{name: "white space in the header", token: b64(` { "enc" : "x" } `) + ".a.b.c.d", opaque: true},
		{name: "an escaped name", token: b64(`{"\u0065nc":"x"}`) + ".a.b.c.d", opaque: true},
		{name: "a nested member", token: b64(`{"enc":"x","epk":{"kty":"EC"}}`) + ".a.b.c.d", opaque: true},
		{name: "four parts", token: header + ".a.b.c"},
		{name: "six parts", token: header + ".a.b.c.d.e"},
		{name: "three parts", token: header + "." + b64(`{"iss":"`+issuerB+`"}`) + ".c"},
		{name: "no enc", token: b64(`{"alg":"dir"}`) + ".a.b.c.d"},
		{name: "ENC", token: b64(`{"ENC":"x"}`) + ".a.b.c.d"},
		{name: "enc in an object", token: b64(`{"a":{"enc":"x"}}`) + ".a.b.c.d"},
		{name: "enc empty", token: b64(`{"enc":""}`) + ".a.b.c.d"},
		{name: "enc null", token: b64(`{"enc":null}`) + ".a.b.c.d"},
		{name: "enc a number", token: b64(`{"enc":1}`) + ".a.b.c.d"},
		{name: "enc twice", token: b64(`{"enc":"x","enc":"x"}`) + ".a.b.c.d"},
		{name: "data after the header", token: b64(`{"enc":"x"}{}`) + ".a.b.c.d"},
		{name: "a BOM", token: b64("\ufeff"+`{"enc":"x"}`) + ".a.b.c.d"},
		{name: "padding", token: b64(`{"enc":"x" }`) + "=.a.b.c.d"},
		{name: "a line break", token: header[:8] + "\n" + header[8:] + ".a.b.c.d"},
		{name: "a space at the end", token: header + ".a.b.c.d "},
		{name: "the other alphabet", token: header + ".+.b.c.d"},
		{name: "a letter that is none of it", token: header + ".é.b.c.d"},
		{name: "the other alphabet's slash", token: header + "./.b.c.d"},
		{name: "a letter of another script", token: header + ".ယ.b.c.d"},
		{name: "a letter too many", token: b64(`{"enc":"x" }`) + "A.a.b.c.d"},
		{name: "as many objects as may be", token: b64(`{"enc":"x","a":`+strings.Repeat("[", 15)+strings.Repeat("]", 15)+"}") + ".a.b.c.d", opaque: true},
		{name: "as long a header as may be", token: b64(`{"enc":"`+strings.Repeat("x", 3<<10-10)+`"}`) + ".a.b.c.d", opaque: true},
		{name: "too long a header, by one", token: b64(`{"enc":"`+strings.Repeat("x", 3<<10-9)+`"}`) + ".a.b.c.d"},
		{name: "too many objects", token: b64(`{"enc":"x","a":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)+"}") + ".a.b.c.d"},
		{name: "too long a header", token: b64(`{"enc":"`+strings.Repeat("x", 4<<10)+`"}`) + ".a.b.c.d"},
		{name: "a JWT and two parts", token: unsigned(issuer) + "x.y.z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, said := range []bool{true, false} {
				a, opaque := &recorder{issuer: issuer}, &recorder{}
				r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, Opaque: opaque, EncryptedAreOpaque: said})
				token, err := r.Verify(t.Context(), tt.token)
				require.Zero(t, a.asked())
				if tt.opaque && said {
					require.NoError(t, err)
					require.Equal(t, []string{tt.token}, opaque.tokens)
					continue
				}
				require.Nil(t, token)
				require.ErrorIs(t, err, bearergate.ErrInvalidToken)
				require.Zero(t, opaque.asked())
				require.Equal(t, tt.opaque, strings.Contains(err.Error(), "EncryptedAreOpaque"), "the text names the option: %v", err)
			}
			_, err := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: &recorder{}}}).Verify(t.Context(), tt.token)
			require.ErrorIs(t, err, bearergate.ErrInvalidToken, "nobody is there to ask")
		})
	}
}

// What has no two dots is taken for a JWT if it decodes to text after a brace,
// or to a quoted name and a colon.
func TestBraceAndNoDots(t *testing.T) {
	every := func(from, to byte) (all []string) {
		for c := int(from); c <= int(to); c++ {
			all = append(all, string([]byte{byte(c)}))
		}
		return all
	}
	text := slices.Concat(every(' ', '~'), []string{"\t", "\r", "\n", "\v", "\f", "\x00", "é", "ယ", "😀"})
	shaped := map[string]bool{
		"{\"a\":\x80": true, "{ \"a\" : \x80": true, "{\"a\\\"b\":\x80": true, "{\"\":\x80": true, "{\"\x80\":": true,
		"{\"a\"\x80:": false, "{\"a\x80": false, "{a\":\x80": false, "{x\"a\":\x80": false, "{:\x80": false, "{\"\"\x80": false, "{\"a\x80\"\"": false,
		"{\x80": false, "{a\x01": false, "{a\x7f": false,
	}
	for _, c := range text {
		shaped["{"+c] = true
		shaped["{ab"+c+"cd"] = true
	}
	for _, c := range slices.Concat(every(1, 8), every(0x0e, 0x1f), every(0x7f, 0xff)) {
		shaped["{ab"+c+"cd"] = false
	}
	opaque := &recorder{}
	r := newRouter(t, issuers.Config{Opaque: opaque})
	check := func(decoded, token string, want bool) {
		t.Helper()
		asked := opaque.asked()
		got, err := r.Verify(t.Context(), token)
		if !want {
			require.NoError(t, err, "%q", decoded)
			require.Equal(t, asked+1, opaque.asked())
			return
		}
		requireError(t, got, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
		require.Equal(t, asked, opaque.asked(), "%q", decoded)
	}
	for decoded, want := range shaped {
		for _, alphabet := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding, base64.StdEncoding} {
			token := alphabet.EncodeToString([]byte(decoded))
			check(decoded, token, want)
			check(decoded, token+".x", want)
		}
	}
	// Characters outside of both alphabets are passed over, wherever they stand.
	const alphabets = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_."
	token := b64("{alg: none}")
	for _, c := range every(0, 255) {
		if !strings.Contains(alphabets, c) {
			check(c, token[:1]+c+token[1:5]+c+token[5:], true)
		}
	}
}

// What no reader could take for a JWT is opaque, and none of them is lost:
// random characters begin with "{" in one of 256.
func TestOpaqueTokensReachOpaque(t *testing.T) {
	tokens := []string{
		"2YotnFZFEjr1zCsicMWpAA", "x", "e", ".", "...", "a.b.c", ".eyJhbGciOiJFUzI1NiJ9", "ory_at_eyJ.x", "ya29.a0AfB_byC", "eyAB~~", "v4.local.x", "[1]",
		b64(`["alg"]`) + ".a.b", b64(`"alg"`), b64("x{"), "é", "\x00", " ",
	}
	rng := rand.New(rand.NewChaCha8([32]byte{1}))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	braces := 0
	for range 20_000 {
		first := base64.RawURLEncoding.EncodeToString(random(32))
		id := hex.EncodeToString(random(16))
		if strings.HasPrefix(first, "e") && strings.ContainsRune("wxyz0123456789-_", rune(first[1])) {
			braces++
		}
		tokens = append(tokens,
			first, hex.EncodeToString(random(32)), id, // Spring, Doorkeeper
			first+"."+base64.RawURLEncoding.EncodeToString(random(32)), // Fosite
			id[:8]+"-"+id[8:12]+"-"+id[12:16]+"-"+id[16:20]+"-"+id[20:])
	}
	require.Greater(t, braces, 20)
	opaque := &recorder{}
	r := newRouter(t, issuers.Config{Opaque: opaque})
	for _, token := range tokens {
		_, err := r.Verify(t.Context(), token)
		require.NoError(t, err, "%q", token)
	}
	require.Equal(t, tokens, opaque.tokens)

	none := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: &recorder{}}})
	token, err := none.Verify(t.Context(), tokens[0])
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
}

// startsLikeJWT answers the router's question by other means.
func startsLikeJWT(token string) bool {
	if strings.HasPrefix(strings.TrimLeft(token, " \t\r\n\ufeff"), "{") {
		return true
	}
	part, rest, _ := strings.Cut(token, ".")
	part = strings.Map(func(c rune) rune {
		switch {
		case c == '-':
			return '+'
		case c == '_':
			return '/'
		case c < 0x80 && strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c):
			return c
		}
		return -1
	}, part)
	if len(part)%4 == 1 {
		part = part[:len(part)-1]
	}
	decoded, err := base64.RawStdEncoding.DecodeString(part)
	if err != nil {
		panic(err)
	}
	decoded = bytes.TrimLeft(bytes.TrimPrefix(decoded, []byte("\ufeff")), " \t\r\n")
	if !bytes.HasPrefix(decoded, []byte("{")) {
		return false
	}
	// encoding/json stops at the end of the object and forgives bad UTF-8.
	var header map[string]json.RawMessage
	return strings.Count(rest, ".") > 0 || json.NewDecoder(bytes.NewReader(decoded)).Decode(&header) == nil && len(header) > 0
}

func FuzzRouter(f *testing.F) {
	h := newHouse(f)
	valid := h.a.Sign(f, nil)
	parts := strings.Split(valid, ".")
	for _, seed := range []string{
		valid, h.b.Sign(f, nil), h.b.Sign(f, map[string]any{"iss": issuerB}), h.a.Sign(f, map[string]any{"iss": "https://login.example.com/t/v2.0"}),
		parts[0], parts[0] + "." + parts[1], " " + valid, strings.ReplaceAll(valid, "e", "e="), base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)),
		b64("\ufeff{") + "..", `{"payload":"x"}`, "2YotnFZFEjr1zCsicMWpAA", "e30.e30.", "ew..", "", ".", b64("{\"\xff\":1}"), b64(`{}`) + ".x",
	} {
		f.Add(seed)
	}
	accept := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://login.example.com/t/v2.0"}), nil
	})
	f.Fuzz(func(t *testing.T, token string) {
		opaque := &recorder{}
		r := newRouter(t, issuers.Config{
			Issuers: map[string]bearergate.Verifier{issuer: h.va, issuerB: h.vb}, Opaque: opaque,
			Resolve: func(_ context.Context, issuer string) (bearergate.Verifier, error) {
				if issuer != "https://login.example.com/t/v2.0" && !strings.HasPrefix(issuer, "https://login.example.com/") {
					t.Errorf("resolved %q", issuer)
				}
				return accept, nil
			}, ResolveIssuers: []string{"https://login.example.com/{tenant}/v2.0"},
		})
		got, err := r.Verify(context.Background(), token)
		if err != nil && (got != nil || bearergate.ReasonOf(err) == "") || err == nil && got == nil {
			t.Fatalf("%v beside %v", got, err)
		}
		if opaque.asked() > 0 && (startsLikeJWT(token) || opaque.tokens[0] != token) {
			t.Fatalf("Opaque was asked about %q", token)
		}
		if opaque.asked() > 0 || err != nil {
			return
		}
		// Accepted: by the right verifier, for the issuer that it names.
		if v := map[string]*jwtverify.Verifier{issuer: h.va, issuerB: h.vb}[got.Issuer()]; v != nil {
			if _, err := v.Verify(context.Background(), token); err != nil {
				t.Fatalf("accepted what %s refuses: %v", got.Issuer(), err)
			}
		}
	})
}
