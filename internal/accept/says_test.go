package accept_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// Both sides of every comparison, for whoever has nothing but the event.
func TestARefusalNamesBothSides(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		change                  func(map[string]any)
		detail, expected, found string
		whole                   bool // detail is all of it
	}{
		{name: "the issuer differs by a slash", change: with("iss", "https://as.example.test/"), detail: "iss is not", expected: `"https://as.example.test"`, found: `"https://as.example.test/"`},
		{name: "a slash is told of", change: with("iss", "https://as.example.test/"), detail: "the two differ only by", expected: `"https://as.example.test"`, found: `"https://as.example.test/"`},
		{name: "another issuer has nothing of it", change: with("iss", "https://x.example"), detail: "iss is not the configured issuer", expected: `"https://as.example.test"`, found: `"https://x.example"`, whole: true},
		{name: "no issuer", change: with("iss", absent{}), detail: "claim iss is absent or empty", expected: `"https://as.example.test"`},
		{name: "a code and a state", change: func(c map[string]any) { c["code"], c["state"] = "secret", "secret" }, detail: "another kind", expected: "an access token", found: "the members code and state"},
		{name: "another audience", change: with("aud", []string{"x", "y"}), detail: "aud names none", expected: `"api" "api2"`, found: `"x" "y"`},
		{name: "an empty audience", change: with("aud", []string{}), detail: "claim aud is absent or empty", expected: `"api" "api2"`},
		{name: "a claim is missing", change: with("iat", absent{}), detail: "claim iat is absent or empty"},
		{name: "a claim of the wrong type", change: with("jti", 1), detail: "claim jti is not of its type", expected: "a string"},
		{name: "a mark of an ID token", change: with("at_hash", "secret"), detail: "another kind", expected: "an access token", found: "the member at_hash"},
		{name: "a nonce", change: with("nonce", "secret"), detail: "another kind", expected: "an access token", found: "the member nonce"},
		{name: "a use", change: with("token_use", "id"), detail: "another kind", expected: "an access token", found: `token_use "id"`},
		{name: "a typ", change: with("typ", "Refresh"), detail: "another kind", expected: "an access token", found: `typ "Refresh"`},
		{name: "a binding", change: with("cnf", map[string]any{"x5t#S256": "secret", "jkt": "secret"}), detail: "not named in Confirmations", expected: `"jkt"`, found: `"jkt" "x5t#S256"`},
		{name: "a long life", change: with("exp", 1000+7200), detail: "MaxTokenAge", expected: "at most 1h0m0s", found: "2h0m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := good()
			tt.change(claims)
			reading := read(t, fields, claims)
			err := rules.Judge(&reading, false)
			e := bearergate.AsError(err)
			require.Contains(t, e.Detail, tt.detail)
			require.True(t, !tt.whole || e.Detail == tt.detail, e.Detail)
			require.Equal(t, tt.expected, e.Expected)
			require.Equal(t, tt.found, e.Found)
			require.False(t, e.Unsigned, "its signature held")
			require.NotContains(t, err.Error(), "secret")
			for _, side := range []string{tt.expected, tt.found} {
				require.Contains(t, err.Error(), side)
			}
		})
	}
}

func TestATimeThatIsRefusedIsNamed(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	e := bearergate.AsError(rules.CheckTimes(at(3000), at(2000), time.Time{}, time.Time{}))
	require.Equal(t, "later than 1970-01-01T00:49:55Z", e.Expected)
	require.Equal(t, "1970-01-01T00:33:20Z", e.Found)
	e = bearergate.AsError(rules.CheckTimes(at(1000), at(2000), at(1500), time.Time{}))
	require.Equal(t, "at latest 1970-01-01T00:16:45Z", e.Expected)
	require.Equal(t, "1970-01-01T00:25:00Z", e.Found)
	require.Contains(t, bearergate.AsError(rules.CheckTimes(at(1000), at(2000), time.Time{}, at(1500))).Detail, "iat")
}

// The ways in which a key can be missing are as many texts.
func TestAnUnknownKeySaysWhy(t *testing.T) {
	named, unnamed := newKey(t, "k"), newKey(t, "")
	set := func(of ...key) jwks.Source {
		s, err := jwks.NewSet(keys(of...)...)
		require.NoError(t, err)
		return s
	}
	other, err := jose.GenerateKey("RS256")
	require.NoError(t, err)
	rsa, err := jwks.NewKey("k", other.Public(), "RS256")
	require.NoError(t, err)
	rsaSet, err := jwks.NewSet(rsa)
	require.NoError(t, err)
	for _, tt := range []struct {
		name          string
		signed        key
		source        jwks.Source
		detail, found string
	}{
		{name: "not published", signed: named, source: set(newKey(t, "another")), detail: "publishes no key of that ID", found: `kid "k", alg "ES256"`},
		{name: "not published, by a cache", signed: named, source: published(t, newKey(t, "another")), detail: "publishes no key of that ID", found: `kid "k", alg "ES256"`},
		{name: "for another algorithm", signed: named, source: rsaSet, detail: "not for this algorithm", found: `kid "k", alg "ES256"`},
		{name: "too many", signed: unnamed, source: set(newKey(t, "a"), newKey(t, "b"), newKey(t, "c"), newKey(t, "d"), newKey(t, "e")), detail: "more than four fit", found: `no kid, alg "ES256"`},
		{name: "another certificate", signed: unnamed.says("x5t", thumbprintOf("a")), source: set(unnamed.of(t, "x5t", thumbprintOf("b"))), detail: "has the certificate that the token names", found: `no kid, alg "ES256"`},
		{name: "another issuer", signed: named, source: set(named.of(t, "issuer", "https://other.example.test")), detail: "serves another issuer", found: `kid "k", alg "ES256"`},
		{name: "none fits", signed: unnamed, source: rsaSet, detail: "none fits", found: `no kid, alg "ES256"`},
		{name: "a source that does not say", signed: named, source: &source{}, detail: "no key that the token can mean", found: `kid "k", alg "ES256"`},
		{name: "a source of somebody's, which is not asked", signed: named, source: talkative{&source{}}, detail: "no key that the token can mean", found: `kid "k", alg "ES256"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			jws, err := jose.Parse(tt.signed.sign(t), 16<<10)
			require.NoError(t, err)
			_, err = accept.Signer(t.Context(), tt.source, jws, issuer)
			e := bearergate.AsError(err)
			require.Equal(t, bearergate.ReasonUnknownKey, e.Reason)
			require.Contains(t, e.Detail, tt.detail)
			require.Equal(t, tt.found, e.Found)
			require.True(t, e.Unsigned)
			require.Contains(t, err.Error(), "(unverified)")
		})
	}
}

type talkative struct{ *source }

func (talkative) Absence(string, string) string { return "x\noutcome=accepted" }

// What somebody else wrote cannot forge a line, nor fill one.
func TestQuoted(t *testing.T) {
	require.Equal(t, `"a" "b c" ""`, accept.Quoted("a", "b c", ""))
	require.Equal(t, `"\x1b[31m\n\u2028\\\""`, accept.Quoted("\x1b[31m\n\u2028\\\""))
	long := accept.Quoted(strings.Repeat("x", 1<<20))
	require.Equal(t, `"`+strings.Repeat("x", 128)+`"…`, long)
	many := accept.Quoted(make([]string, 1000)...)
	require.Equal(t, strings.Repeat(`"" `, 8)+"…", many)
	require.LessOrEqual(t, len(accept.Quoted(slicesOf(strings.Repeat("\x00", 100), 100)...)), 8*(4*128+10))
}

func slicesOf(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}
