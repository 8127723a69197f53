package attack_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// trap is a verifier that accepts everything: a token that reaches it has got in.
type trap struct{ asked int }

func (t *trap) Verify(context.Context, string) (*bearergate.Token, error) {
	t.asked++
	return bearergate.NewToken(bearergate.Claims{Issuer: issuer, Scopes: scope.Of("read")}), nil
}

// routerRows are where two readers of iss, or of what is a JWT, could disagree.
func routerRows() []row {
	standard := func(header string, dots int) jwt { // the other alphabet of base64, with padding
		return valid().header(header).then(func(_, p, s string) string {
			return strings.Join([]string{base64.StdEncoding.EncodeToString([]byte(header)), p, s}[:dots+1], ".")
		})
	}
	const marks = `{"alg":"RS256","typ":"at+jwt","kid":"r1","x":">>>???"}`
	return []row{
		r("RTR-001", "ISS beside iss", valid().clm("ISS", `"https://evil.example.com/"`), ok),
		r("RTR-001b", "ISS before iss", valid().noClm("iss").clm("ISS", `"https://evil.example.com/"`).clm("iss", strconv.Quote(issuer)), ok),
		r("RTR-001c", "ISS instead of iss", valid().noClm("iss").clm("ISS", strconv.Quote(issuer)), bad(missingClaim)),
		r("RTR-001d", "iss of another, and ISS of ours", valid().clm("iss", `"https://evil.example.com/"`).clm("ISS", strconv.Quote(issuer)), bad(iss)),
		r("RTR-002", "iss in an object", valid().noClm("iss").clm("x", `{"iss":`+strconv.Quote(issuer)+`}`), bad(missingClaim)),
		r("RTR-003", "the other alphabet of base64", standard(marks, 2), bad(malformed)),
		r("RTR-003b", "the other alphabet, two parts", standard(marks, 1), bad(malformed)),
		r("RTR-003c", "the other alphabet, one part", standard(marks, 0), bad(malformed)),
		r("RTR-003d", "the other alphabet, after a byte order mark", standard("\xef\xbb\xbf"+marks, 2), bad(malformed)),
		r("RTR-003e", "the other alphabet, after one of UTF-16", standard("\xff\xfe"+marks, 2), bad(malformed)),
		// A bad signature under another name: who is asked must not depend on it.
		// iss is looked for before any key is, by a Verifier as by a Router.
		r("RTR-004", "signed by somebody else, iss of somebody else", valid().signedBy(evilRSA()).clm("iss", `"https://evil.example.com/"`), bad(iss)),
		r("RTR-004b", "signed by somebody else, no iss", valid().signedBy(evilRSA()).noClm("iss"), bad(missingClaim)),
		r("RTR-004c", "signed by somebody else, iss twice", valid().signedBy(evilRSA()).addClm(`"iss"`, `"https://evil.example.com/"`), bad(malformed)),
		r("RTR-004d", "signed by somebody else, claims in an array", valid().signedBy(evilRSA()).payload(`[]`), bad(malformed)),
	}
}

// viaRouters asks three Routers that have the row's verifier under its issuer:
// one that also has another issuer, one that has it from Resolve, and one with a
// verifier of opaque tokens. Both neighbours accept everything.
func viaRouters(t *testing.T, r row, c jwtverify.Config, v bearergate.Verifier, token string) {
	t.Helper()
	neighbour, opaque := &trap{}, &trap{}
	members := map[string]bearergate.Verifier{c.Issuer: v, "https://neighbour.example.com/": neighbour}
	want := routed(t, r.want, token, c.Issuer)
	ask := func(name string, config issuers.Config) {
		t.Helper()
		config.MaxTokenBytes = c.MaxTokenBytes
		router, err := issuers.NewRouter(config)
		require.NoError(t, err)
		for range 2 { // the second time from the verifier's cache, if it has one and accepts
			verified, err := router.Verify(t.Context(), token)
			if want.status == 403 && !r.early && r.verifier == nil {
				require.NoError(t, err, name) // the scopes are for later
				want = ok
			}
			require.Equal(t, want.reason, bearergate.ReasonOf(err), "%s: %v", name, err)
			requireError(t, want, err)
			require.Equal(t, err == nil, verified != nil)
			kit.RequireExplained(t, router.Explain(t.Context(), token), err, token)
		}
	}
	ask("configured", issuers.Config{Issuers: members})
	if strings.HasPrefix(c.Issuer, "https:") {
		resolve := func(context.Context, string) (bearergate.Verifier, error) { return v, nil }
		ask("resolved", issuers.Config{Resolve: resolve, ResolveIssuers: []string{c.Issuer}, ResolveTimeout: time.Minute})
	}
	if !looksLikeJWT(token) && want.reason != bearergate.ReasonNoToken && want.reason != tooLarge {
		require.Equal(t, want, bad(malformed), "it does not look like a JWT, and yet is one")
		want = ok
	}
	ask("beside a trap", issuers.Config{Issuers: members, Opaque: opaque})
	require.Zero(t, neighbour.asked, "a token has been shown to the verifier of another issuer")
	if looksLikeJWT(token) {
		require.Zero(t, opaque.asked, "a JWT has been shown to the verifier of opaque tokens")
	}
}

// routed says what a Router must answer where the verifier of the issuer by
// itself answers want. One rule makes the difference: a Router looks for iss first.
// What is no JWS in three parts, or has claims in which no iss can be found, or two,
// is malformed; without iss a claim is missing; and with another iss there is no
// verifier, whatever else is wrong with the token. All the rest, and all that is
// accepted, is the verifier's word. The header is part of the rest.
func routed(t *testing.T, want verdict, token, issuer string) verdict {
	t.Helper()
	if want.reason == bearergate.ReasonNoToken || want.reason == tooLarge {
		return want // judged before anything is read
	}
	first := want
	found, err := jose.UnverifiedIssuer(new([]byte), token, len(token))
	if err == nil || errors.Is(err, jose.ErrNoIssuer) {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		require.NoError(t, err)
		if read, strict := issOf(payload); strict { // else the verifier refuses it, whoever is asked
			require.Equal(t, read, string(found), "two readers of iss disagree")
		}
	}
	switch {
	case errors.Is(err, jose.ErrNoIssuer):
		first = bad(missingClaim)
	case err != nil:
		first = bad(malformed)
	case string(found) != issuer:
		first = bad(iss)
	}
	if want.status == 200 || want.status == 403 {
		require.Equal(t, want, first, "accepted, and yet not of the issuer")
	}
	return first
}

// issOf reads iss with encoding/json, which the library does not use. What is
// one strict JSON object is for internal/strictjson to say, which has its tests.
func issOf(claims []byte) (string, bool) {
	if strictjson.Object(claims, func(_, _ []byte) error { return nil }) != nil {
		return "", false
	}
	var members map[string]json.RawMessage // names match exactly
	if json.Unmarshal(claims, &members) != nil {
		return "", false
	}
	raw, found := members["iss"]
	if !found || string(raw) == "null" {
		return "", true
	}
	var value any
	err := json.Unmarshal(raw, &value)
	text, isString := value.(string)
	return text, err == nil && isString
}

// looksLikeJWT is a second, simpler way to find what a forgiving reader could
// take for a JWT: it drops all that is no base64 from what stands before the
// first dot, and looks for a "{".
func looksLikeJWT(token string) bool {
	opens := func(text string) bool {
		const blank = " \t\r\n\v\f\x00\xef\xbb\xbf\xff\xfe" // white space, and byte order marks
		for text != "" && strings.IndexByte(blank, text[0]) >= 0 {
			text = text[1:]
		}
		return strings.HasPrefix(text, "{")
	}
	head, _, _ := strings.Cut(token, ".")
	head = strings.Map(func(c rune) rune {
		switch {
		case c == '-':
			return '+'
		case c == '_':
			return '/'
		case c < 0x80 && strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c):
			return c
		}
		return -1
	}, head)
	if len(head)%4 == 1 {
		head = head[:len(head)-1]
	}
	decoded, err := base64.RawStdEncoding.DecodeString(head)
	return opens(token) || err == nil && opens(string(decoded))
}
