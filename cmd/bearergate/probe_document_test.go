package main

import (
	"encoding/pem"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// transcribeProbe runs probe as the document shows it: against an API over TLS in which all
// is well, and against one that does not check signatures.
func transcribeProbe(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	tell := func(name string, code int, s *scene, more ...string) {
		ca := tempFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.api.Certificate().Raw})))
		shown := append([]string{
			"probe", "-issuer", s.config.issuer, "-audience", probeAudience,
			"\\\n    -client-id", probeClient, "-client-secret-file", "probe.secret", "-scope", "orders:read", "-resource", probeAudience,
			"\\\n    -url", s.config.url, "-forbidden-url", s.config.forbiddenURL,
		}, more...)
		args := []string{"-ca", ca}
		for _, arg := range shown {
			args = append(args, strings.TrimPrefix(arg, "\\\n    "))
		}
		args[0], args[1], args[2] = args[2], args[0], args[1]
		for i, arg := range args {
			if arg == "probe.secret" {
				args[i] = tempFile(t, probeSecret+"\n")
			}
		}
		r := invoke(t, "", args...)
		require.Equal(t, code, r.code, r.out+r.err)
		text := "$ bearergate " + strings.Join(shown, " ") + "\n" + r.err + r.out
		if code != exitOK {
			text += "$ echo $?\n1\n"
		}
		for _, replaced := range []struct{ pattern, with string }{
			{regexp.QuoteMeta(s.config.issuer), "https://as.example.com"},
			{regexp.QuoteMeta(s.api.URL), "https://api.example.com"},
			{regexp.QuoteMeta(probeAudience), "https://api.example.com"},
			{`\d\.\d{3} s`, "0.012 s"},
			{`of \d{3} bytes`, "of 444 bytes"},
			{`[+-]\d\.\d s ± \d\.\d s, of the server of \w+`, "+0.1 s ± 0.5 s, of the server of api"},
			{`\d+\.\d days`, "61.3 days"},
		} {
			text = regexp.MustCompile(replaced.pattern).ReplaceAllString(text, replaced.with)
		}
		all[name] = text
	}
	left := servedUntil(61*24*time.Hour + 8*time.Hour)
	tell("probe", exitOK, newScene(t, setup{live: true, tls: left}), "-revoke")
	tell("probefault", exitFound, newScene(t, setup{tls: left, tamper: answering(func(r *http.Request) bool { return withToken(r) && !atAdmin(r) }, status(200, ""))}))
	return all
}
