package fetch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckPasted(t *testing.T) {
	for issuer, says := range map[string]string{
		"https://as.example.com":                "",
		"https://as.example.com/well-known/x":   "",
		"https://as.example.com/.well-knowns/x": "",
		"joe":                                   "",
		"":                                      "",
		" https://as.example.com":               "has white space around it: remove it",
		"https://as.example.com\n":              "has white space around it: remove it",
		"https://*.example.com":                 "has a * in it: it is compared as it stands, and * stands for nothing else; name each one",
		"https://as.example.com/{tenant}":       "has a brace in it: it is taken as it stands, and nothing is put in the place of {…}; write what is meant",
		"${ISSUER}":                             "has a brace in it",
		"https://as.example.com/r/.well-known/openid-configuration":             "is the URL of a metadata document: cut it off before /.well-known/openid-configuration",
		"https://as.example.com/.well-known/oauth-authorization-server/tenant1": "cut out /.well-known/ and the name behind it; what comes after that name is part of the issuer",
	} {
		err := CheckPasted(issuer)
		if says == "" {
			require.NoError(t, err, issuer)
			continue
		}
		require.ErrorContains(t, err, says)
		require.Error(t, CheckIssuer(issuer, true))
	}
}

func TestIssuerHint(t *testing.T) {
	const as = "https://as.example.com"
	for _, tt := range []struct{ name, configured, found, says string }{
		{"the same", as, as, ""},
		{"nothing found", as, "", ""},
		{"nothing configured", "", as, ""},
		{"another", as, "https://evil.example.net", ""},
		{"another path", as + "/a", as + "/b", ""},
		{"a longer host", as, as + ".evil.example", ""},
		{"two slashes", as, as + "//", ""},
		{"another port", as, as + ":8443", ""},
		{"the port of another scheme", as, as + ":80", ""},
		{"too long", as, as + strings.Repeat("/", MaxURLBytes), ""},
		{"a slash too few", as, as + "/", "by a slash at the end: add it to Issuer"},
		{"a slash too many", as + "/t/", as + "/t", "by a slash at the end: remove it from Issuer"},
		{"https for http", "http://as.example.com", as, "by http and https: write https in Issuer"},
		// Whoever sends a token chooses its iss: nothing tells the reader to use http.
		{"http for https", as, "http://as.example.com", "have the authorization server name itself with https"},
		{"no scheme", "as.example.com", as, "by the https:// that Issuer lacks: add it"},
		{"a scheme too many", as, "as.example.com", "take it out of Issuer if that is really what tokens say"},
		{"case of the host", "https://AS.example.com/x", as + "/x", "by upper and lower case"},
		{"case of the path", as + "/realms/Main", as + "/realms/main", "by upper and lower case"},
		{"case of the scheme", "HTTPS://as.example.com", as, "letter for letter"},
		{"a port too many", as + ":443/x", as + "/x", "take it out of Issuer"},
		{"a port too few", as, as + ":443", "write it into Issuer"},
		{"port of http", "http://as.example.com:80", "http://as.example.com", "take it out of Issuer"},
		{"an IPv6 address", "https://[::1]:443", "https://[::1]", "take it out of Issuer"},
		{"a space", as + " ", as, "by white space around Issuer: remove it"},
		{"a space of the other", as, as + "\n", "mend that at the authorization server"},
		{"the document", as + "/t/.well-known/openid-configuration", as + "/t", "Issuer is the URL of a metadata document, so cut them out"},
		{"the other document", as + "/.well-known/oauth-authorization-server/t", as + "/t", "Issuer is the URL of a metadata document, so cut them out"},
		{"the document of the other", as, as + "/.well-known/openid-configuration", "takes the URL of its metadata for its issuer"},
		{"the document, and a slash", as + "/.well-known/openid-configuration", as + "/", "so cut them out; and by a slash at the end: add it to Issuer"},
		{"a slash and http", "http://as.example.com/", as, "by http and https: write https in Issuer; and by a slash at the end: remove it from Issuer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hint := IssuerHint(tt.configured, tt.found)
			if tt.says == "" {
				require.Empty(t, hint)
				return
			}
			require.True(t, strings.HasPrefix(hint, "the two differ only "), hint)
			require.Contains(t, hint, tt.says)
			require.NotContains(t, hint, "example", "in fixed words")
		})
	}
}

// What somebody configured is shown, but neither a password nor a key in it.
func TestShown(t *testing.T) {
	for url, want := range map[string]string{
		"":                                      "",
		"https://as.example.com/a\n":            ` "https://as.example.com/a\n"`,
		"https://as.example.com/a?key=s3cret":   ` "https://as.example.com/a"`,
		"https://user:s3cret@as.example.com":    "",
		"https://h/" + strings.Repeat("a", 246): ` "https://h/` + strings.Repeat("a", 246) + `"`,
		"https://h/" + strings.Repeat("a", 247): ` "https://h/` + strings.Repeat("a", 118) + `"…`,
	} {
		require.Equal(t, want, Shown(url))
	}
}
