package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
)

// noon is the time by which the tokens here are judged.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

const (
	goodHeader = `{"alg":"ES256","typ":"at+jwt","kid":"k1"}`
	goodClaims = `{"iss":"https://as.example.com","aud":["orders","x"],"sub":"alice","exp":1772366700,"iat":1772366340,"auth_time":1}`
)

// unsigned leaves out the signature.
func unsigned(token string) string { return token[:strings.LastIndex(token, ".")+1] }

func TestDecode(t *testing.T) {
	for name, tc := range map[string]struct {
		token  string
		faults []string // a part of each; none: the form is right
		note   string
	}{
		"good":                    {token: rawToken(goodHeader, goodClaims)},
		"opaque":                  {token: "abc", faults: []string{"opaque"}},
		"encrypted":               {token: rawToken(`{"alg":"RSA-OAEP","enc":"A256GCM"}`, "x") + ".a.b", faults: []string{"encrypted"}},
		"two parts":               {token: "e30.e30", faults: []string{"2 parts"}},
		"no signature":            {token: unsigned(rawToken(goodHeader, goodClaims)), faults: []string{"signature: "}},
		"padding":                 {token: strings.Replace(rawToken(`{"alg":"ES256"} `, goodClaims), ".", "=.", 1), faults: []string{"header: not base64url"}},
		"no JSON":                 {token: rawToken(`{"alg":`, goodClaims), faults: []string{"header: it is not valid JSON"}},
		"no object":               {token: rawToken(`[]`, `"x"`), faults: []string{"header: it is not a JSON object", "claims: it is not a JSON object"}},
		"a name twice":            {token: rawToken(goodHeader, `{"iss":"a","sub":"b","sub":"c"}`), faults: []string{`claims: "sub" is there twice`}},
		"escaped, it is the same": {token: rawToken(goodHeader, `{"sub":"b","\u0073ub":"c"}`), faults: []string{`claims: "sub" is there twice`}},
		"twice within":            {token: rawToken(goodHeader, `{"act":[{"a":{"b":1,"b":2}}]}`), faults: []string{`claims: "act.a.b" is there twice`}},
		"in case alone":           {token: rawToken(goodHeader, strings.Replace(goodClaims, `"sub"`, `"Sub":"x","sub"`, 1)), note: `"sub" and "Sub" differ in case alone`},
		"bad UTF-8":               {token: rawToken(goodHeader, "{\"a\":\"\xff\"}"), faults: []string{"claims: it is not valid UTF-8"}},
		"byte order mark":         {token: rawToken(goodHeader, "\ufeff{}"), faults: []string{"claims: it begins with a byte order mark", "claims: it is not a JSON object"}},
		"half a pair":             {token: rawToken(goodHeader, `{"a":"\ud800"}`), faults: []string{"half of a surrogate pair"}},
		"trailing":                {token: rawToken(goodHeader, `{} {}`), faults: []string{"claims: it is not valid JSON"}},
		"expired":                 {token: rawToken(goodHeader, strings.Replace(goodClaims, "1772366700", "1772366330", 1)), faults: []string{"an API refuses it: times: exp has passed"}},
		"exp is text":             {token: rawToken(goodHeader, strings.Replace(goodClaims, "1772366700", `"soon"`, 1)), faults: []string{"an API refuses it: claims"}},
		"no aud":                  {token: rawToken(goodHeader, strings.Replace(goodClaims, "aud", "for", 1)), faults: []string{"an API refuses it: required"}},
		"an ID token":             {token: rawToken(`{"alg":"ES256"}`, strings.Replace(goodClaims, `"sub"`, `"nonce":"n","sub"`, 1)), faults: []string{"an API refuses it: kind"}},
		"a nonce under at+jwt":    {token: rawToken(goodHeader, strings.Replace(goodClaims, `"sub"`, `"nonce":"n","sub"`, 1))}, // its typ says what it is
		"none":                    {token: rawToken(`{"alg":"none"}`, goodClaims), faults: []string{"an API refuses it: algorithm"}},
		"critical":                {token: rawToken(`{"alg":"ES256","crit":["b64"],"b64":false}`, goodClaims), faults: []string{"an API refuses it: form"}},
		"a logout token":          {token: rawToken(`{"alg":"ES256","typ":"logout+jwt"}`, goodClaims), faults: []string{"an API refuses it: type"}},
		"bound":                   {token: rawToken(goodHeader, strings.Replace(goodClaims, `"sub"`, `"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},"sub"`, 1)), note: `bound to a key (cnf "jkt")`},
		"long":                    {token: rawToken(goodHeader, strings.Replace(goodClaims, `"sub"`, `"x":"`+strings.Repeat("x", 20000)+`","sub"`, 1)), note: "more than an API accepts by default"},
	} {
		t.Run(name, func(t *testing.T) {
			r := invokeAt(t, atNoon, tc.token, "decode", "-json")
			var got decodedToken
			require.NoError(t, json.Unmarshal([]byte(r.out), &got), r.out+r.err)
			require.False(t, got.Verified)
			require.Len(t, got.Faults, len(tc.faults), r.out)
			for i, part := range tc.faults {
				require.Contains(t, got.Faults[i], part)
			}
			if tc.note != "" {
				require.Len(t, got.Notes, 1, r.out)
				require.Contains(t, got.Notes[0], tc.note)
			}
			require.Equal(t, map[bool]int{true: exitOK, false: exitFound}[len(tc.faults) == 0], r.code)

			text := invokeAt(t, atNoon, tc.token, "decode")
			require.Equal(t, r.code, text.code)
			require.True(t, strings.HasPrefix(text.out, "UNVERIFIED"), text.out)
			for _, part := range append(tc.faults, tc.note) {
				require.Contains(t, text.out, part)
			}
			requirePlain(t, text.out)
		})
	}
}

func TestDecodedTimes(t *testing.T) {
	r := invokeAt(t, atNoon, rawToken(goodHeader, goodClaims), "decode")
	require.Contains(t, r.out, `"exp": 1772366700  (2026-03-01T12:05:00Z, in 5m0s)`)
	require.Contains(t, r.out, `"iat": 1772366340  (2026-03-01T11:59:00Z, 1m0s ago)`)
	require.Contains(t, r.out, `"auth_time": 1  (1970-01-01T00:00:01Z, 56 years ago)`)
	for _, tc := range []struct {
		seconds int64
		want    string
	}{{0, "now"}, {1, "in 1s"}, {-1, "1s ago"}, {3 * 86400, "in 3 days"}, {-800 * 86400, "2 years ago"}, {250000000000, "in 7927 years"}} {
		require.Equal(t, tc.want, relative(time.Unix(noon.Unix()+tc.seconds, 0), noon))
	}
}

// A hostile token moves no cursor and turns no text.
func TestHostileText(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\u202e\u2066\u009b31m\x7f\r"
	value, err := json.Marshal(evil)
	require.NoError(t, err)
	header := `{"alg":"ES256","kid":` + string(value) + `,"typ":` + string(value) + `,` + string(value) + `:1}`
	claims := `{"iss":` + string(value) + `,"aud":` + string(value) + `,` + string(value) + `:[` + string(value) + `],"exp":1772366700}`
	as := startServer(t)
	for _, args := range [][]string{{"decode"}, {"explain", "-issuer", as.Issuer(), "-audience", audience}} {
		for _, form := range [][]string{nil, {"-json"}} {
			for _, raw := range []string{
				rawToken(header, claims),
				rawToken(evil, evil),
				rawToken("{"+evil, `{"a":1,"a":1,`+string(value)+`:1,`+string(value)+`:2}`),
				as.Sign(map[string]any{"kid": evil}, map[string]any{"iss": as.Issuer(), "aud": evil, "exp": 1772366700}),
				evil, "Bearer " + evil,
			} {
				r := invokeAt(t, atNoon, raw, append(args, form...)...)
				requirePlain(t, r.out)
				requirePlain(t, r.err)
				if form != nil && r.code != exitUsage {
					require.True(t, json.Valid([]byte(r.out)), r.out)
				}
			}
		}
	}
}

// An opaque token may have points, and what decodes to something is no header for that:
// whoever has what it decodes to, has the token.
func TestDecodeShowsNoOpaqueToken(t *testing.T) {
	const part = "correct-horse-battery-staple"
	encoded := base64.RawURLEncoding.EncodeToString([]byte(part))
	for _, token := range []string{
		encoded, encoded + ".x", encoded + "." + encoded, encoded + "." + encoded + "." + encoded, encoded + "." + encoded + "." + encoded + "." + encoded,
		base64.RawURLEncoding.EncodeToString([]byte(goodHeader)) + "." + encoded + "." + encoded, part + "." + encoded + "." + part,
		base64.RawURLEncoding.EncodeToString([]byte("[\""+part+"\"]")) + "." + encoded + "." + encoded,
	} {
		for _, args := range [][]string{{"decode"}, {"decode", "-json"}} {
			r := invokeAt(t, atNoon, token, args...)
			require.Equal(t, exitFound, r.code)
			require.NotContains(t, r.out+r.err, part[:10], token)
			require.NotContains(t, r.out+r.err, encoded, token)
		}
	}
}

// What decode calls a fault of the JSON is what the library does not read.
func FuzzStrictness(f *testing.F) {
	for _, seed := range []string{
		goodClaims, `{}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, `{"a":"\ud800"}`, `{"a":"\udc00"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\\ud800"}`, `{"a":"\ud800\u0041"}`, "{\"a\":\"\xff\"}",
		"\ufeff{}", `{} {}`, ` {}`, `[]`, ``, `null`, `{"a":1e999}`, `{"\u0061":1,"a":2}`, `{"":1,"":2}`, `{"a":[{"x":1,"x":2}]}`, "{\"a\":\"\u2028\x7f\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		faults, _ := strictness(raw)
		var strict map[string]json.RawMessage
		err := bearergate.NewToken(bearergate.Claims{Raw: raw}).Claims(&strict)
		if raw == nil {
			return
		}
		require.Equal(t, err == nil, len(faults) == 0, "%q: %v, %v", raw, err, faults)
		for _, fault := range faults {
			require.NotContains(t, fault, "the library does not read it", "a fault without a name: %q", raw)
		}
	})
}

// Whatever is pasted: no panic, nothing that a terminal obeys, JSON that is JSON, and no
// signature.
func FuzzDecode(f *testing.F) {
	as, err := authtest.Start()
	require.NoError(f, err)
	defer as.Close()
	for _, seed := range []string{
		"", "abc", "Bearer " + as.Token(authtest.Claims{}), rawToken(goodHeader, goodClaims), rawToken("{", "\x1b"), "....", "a.b.c.d.e", "Authorization: Bearer", "-H 'authorization: dpop a.b.c'", "\x8b\x8b\x8b\x8b\x8b\x8bAuthorization: Bearer",
		rawToken(goodHeader, `{"iss":"*","aud":"*","cnf":{"":1}}`), rawToken(goodHeader, `{"iss":"https://a","aud":[],"exp":1e300}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := pasted(text)
		if err != nil {
			require.Empty(t, token.Reveal())
			return
		}
		d := decodeToken(t.Context(), token.Reveal(), noon)
		var out bytes.Buffer
		e := newEnv(nil, &out, &out, atNoon)
		require.NoError(t, e.json(d))
		require.True(t, json.Valid(out.Bytes()), "%q", out.String())
		_, err = e.stdout.Write([]byte(d.text()))
		require.NoError(t, err)
		requirePlain(t, out.String())
		if parts := strings.Split(token.Reveal(), "."); len(parts) == 3 && len(parts[2]) >= 40 && utf8.ValidString(parts[2]) && !strings.Contains(parts[0]+parts[1], parts[2][:40]) {
			require.NotContains(t, out.String(), parts[2])
		}
	})
}
