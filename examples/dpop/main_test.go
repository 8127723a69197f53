package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/middleware"
)

func TestDemonstration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, newAPI))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Regexp(t, `^SENT +TO +STATUS +ERROR +WHY, FOR OPERATORS ALONE$`, lines[0])
	table, rest, _ := strings.Cut(out.String(), "\n\n")
	rows := strings.Count(table, "\n")
	require.GreaterOrEqual(t, rows, 24)
	require.Contains(t, rest, `certificate-bound tokens true`)
	require.Equal(t, fmt.Sprintf("all %d as they should be", rows+1), lines[len(lines)-1], "the rows and the document")
	require.NotContains(t, out.String(), "eyJ", "a token or a proof is printed")
	column := strings.Index(lines[0], "STATUS")
	for _, line := range lines[1 : rows+1] {
		require.Contains(t, []string{"200  ", "401  "}, line[column:column+5], line)
	}
}

// What is not as it should be is named, and nothing else is.
func TestDemonstrationNoticesAWrongAnswer(t *testing.T) {
	serves := func(change func(http.Handler) http.Handler) func(string, string, middleware.Hooks) (http.Handler, error) {
		return func(issuer, url string, hooks middleware.Hooks) (http.Handler, error) {
			api, err := newAPI(issuer, url, hooks)
			if err != nil {
				return nil, err
			}
			return change(api), nil
		}
	}
	// before changes the request on its way to the API, after the answer.
	before := func(change func(*http.Request)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				change(r)
				next.ServeHTTP(w, r)
			})
		}
	}
	after := func(change func(http.Header, int) int) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(changed{w, change}, r) })
		}
	}
	for _, tc := range []struct {
		name           string
		build          func(issuer, url string, hooks middleware.Hooks) (http.Handler, error)
		wrong, correct []string
	}{
		{
			name: "everybody is let in", build: serves(before(func(r *http.Request) { r.URL.Path, r.Method = "/open", http.MethodGet })),
			wrong: []string{"stolen token, no proof", "stolen, another certificate", "the first proof again (replay)"},
		},
		{
			name: "certificates are lost", build: serves(before(func(r *http.Request) { r.TLS = nil })),
			wrong:   []string{"certificate-bound token and its certificate", "token that is bound to both, and both"},
			correct: []string{"DPoP token and its proof", "stolen, no certificate"},
		},
		{
			name: "proofs are lost", build: serves(before(func(r *http.Request) { r.Header.Del("DPoP") })),
			wrong:   []string{"DPoP token and its proof", "client that then takes the nonce"},
			correct: []string{"Bearer token", "stolen token, no proof", "certificate-bound token and its certificate"},
		},
		{
			name: "nonces are lost", build: serves(after(func(h http.Header, status int) int {
				h.Del("DPoP-Nonce")
				return status
			})),
			wrong:   []string{"client that then takes the nonce"},
			correct: []string{"DPoP token and its proof", "proof without a nonce, where one is demanded"},
		},
		{
			name: "another status", build: serves(after(func(_ http.Header, status int) int {
				return map[bool]int{true: http.StatusForbidden, false: status}[status == http.StatusUnauthorized]
			})),
			wrong:   []string{"stolen token, no proof", "stolen, no certificate"},
			correct: []string{"Bearer token", "DPoP token and its proof"},
		},
		{
			name: "another error", build: serves(after(func(h http.Header, status int) int {
				for i, challenge := range h["Www-Authenticate"] {
					h["Www-Authenticate"][i] = strings.Replace(challenge, "invalid_dpop_proof", "invalid_token", 1)
				}
				return status
			})),
			wrong:   []string{"the first proof again (replay)", "proof of an hour ago"},
			correct: []string{"stolen token, a proof of the thief's key", "stolen, no certificate"},
		},
		{
			name: "no reasons", build: func(issuer, url string, _ middleware.Hooks) (http.Handler, error) {
				return newAPI(issuer, url, middleware.Hooks{})
			},
			wrong: []string{"Bearer token", "stolen token, no proof"},
		},
		{
			name: "no document", build: serves(before(func(r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/.well-known/") {
					r.URL.Path = "/nowhere"
				}
			})),
			wrong:   []string{"the metadata document"},
			correct: []string{"Bearer token", "the same, the certificate alone"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(t.Context(), io.Discard, tc.build)
			require.Error(t, err)
			for _, name := range tc.wrong {
				require.Contains(t, err.Error(), "\n"+name+": ")
			}
			for _, name := range tc.correct {
				require.NotContains(t, err.Error(), "\n"+name+": ")
			}
		})
	}
}

// changed is a response whose status and header are changed.
type changed struct {
	http.ResponseWriter

	change func(http.Header, int) int
}

func (w changed) WriteHeader(status int) { w.ResponseWriter.WriteHeader(w.change(w.Header(), status)) }

func TestNewAPIReportsAMistake(t *testing.T) {
	_, err := newAPI("", "https://127.0.0.1:1", middleware.Hooks{})
	require.ErrorContains(t, err, "Issuer")
	_, err = newAPI("https://as.example.com", "api.example.com", middleware.Hooks{})
	require.ErrorContains(t, err, "BaseURLs")
	err = run(t.Context(), io.Discard, func(_, url string, hooks middleware.Hooks) (http.Handler, error) { return newAPI("", url, hooks) })
	require.ErrorContains(t, err, "Issuer")
}
