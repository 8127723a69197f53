package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
)

func TestDemonstration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, false))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Regexp(t, `^REQUEST +PATH +WHY +STATUS +CHALLENGE$`, lines[0])
	require.GreaterOrEqual(t, len(lines), 2+12)
	require.Contains(t, lines[len(lines)-1], "All ")
	require.Contains(t, out.String(), `insufficient_scope`)
	require.NotContains(t, out.String(), "eyJ", "no token is printed")
}

func TestDemonstrationNoticesAWrongAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		change         func(http.Header, int) int // returns another status
		noHooks        bool
		wrong, correct string
	}{
		"nothing": {correct: "wrong scope"},
		"another status": {wrong: "wrong scope", correct: "wrong issuer", change: func(_ http.Header, status int) int {
			return map[bool]int{true: 401, false: status}[status == 403]
		}},
		"another challenge": {wrong: "wrong scope", correct: "valid token:", change: func(h http.Header, status int) int {
			h.Set("WWW-Authenticate", strings.Replace(h.Get("WWW-Authenticate"), `realm="api"`, `realm="ipa"`, 1))
			return status
		}},
		"no Retry-After": {wrong: "authorization server down", correct: "wrong scope", change: func(h http.Header, status int) int {
			h.Del("Retry-After")
			return status
		}},
		"another reason": {wrong: "wrong scope", correct: "valid token:", noHooks: true},
	} {
		t.Run(name, func(t *testing.T) {
			as, err := authtest.Start(authtest.WithAudience(audience))
			require.NoError(t, err)
			defer as.Close()
			partner, err := authtest.Start(authtest.WithAudience(audience))
			require.NoError(t, err)
			partner.Close()
			var seen decisions
			hooks := seen.hooks()
			if test.noHooks {
				hooks = middleware.Hooks{}
			}
			api, err := newAPI(as.Issuer(), partner.Issuer(), hooks)
			require.NoError(t, err)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				api.ServeHTTP(changed{w, test.change}, r)
			}))
			defer server.Close()
			err = demonstrate(t.Context(), io.Discard, server.URL, as, partner, &seen)
			if test.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "\n"+test.wrong)
			require.NotContains(t, err.Error(), "\n"+test.correct)
		})
	}
}

type changed struct {
	http.ResponseWriter
	change func(http.Header, int) int
}

func (w changed) WriteHeader(status int) {
	if w.change != nil {
		status = w.change(w.Header(), status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func TestNewAPIReportsAMistake(t *testing.T) {
	_, err := newAPI("", "", middleware.Hooks{})
	require.ErrorContains(t, err, "Issuer")
}

var pasted = regexp.MustCompile(`^curl -i (?:-H '(Authorization): (Bearer [^']+)' )?(http://\S+)$`)

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, writer, true)
		_ = writer.Close()
	}()

	get := func(url, authorization string) int {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}

	lines := bufio.NewScanner(reader)
	lines.Buffer(nil, 1<<20)
	var text, orders, token string
	for !strings.HasSuffix(text, "$TOKEN\" "+orders+"\n") || orders == "" {
		require.True(t, lines.Scan(), "the output ended: %s", text)
		text += lines.Text() + "\n"
		if url, ok := strings.CutPrefix(lines.Text(), "curl -i http"); ok {
			orders = "http" + url
		}
		if _, rest, ok := strings.Cut(lines.Text(), "scope=orders:read "); ok {
			token, _, _ = strings.Cut(rest, " ")
		}
	}
	go func() { // the log
		for lines.Scan() {
		}
	}()

	var statuses []int
	for line := range strings.SplitSeq(text, "\n") {
		if m := pasted.FindStringSubmatch(line); m != nil {
			statuses = append(statuses, get(m[3], m[2]))
		}
	}
	require.Equal(t, []int{200, 401, 403, 401}, statuses)

	resp, err := http.Post(token, "application/x-www-form-urlencoded",
		strings.NewReader("grant_type=client_credentials&client_id=my-client&client_secret=x&scope=orders:read"))
	require.NoError(t, err)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, get(orders, "Bearer "+answer.AccessToken))

	cancel()
	require.NoError(t, <-ended)
	_, err = http.Get(orders)
	require.Error(t, err, "the API is still there")
	_, err = http.Get(token)
	require.Error(t, err, "the authorization server is still there")
}
