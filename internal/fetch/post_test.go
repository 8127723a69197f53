package fetch_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/stretchr/testify/require"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func posted(code int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

func TestPost(t *testing.T) {
	var got *http.Request
	var form string
	client := fetch.NewClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		got, form = r, string(body)
		return posted(200, "{}", "Content-Type", "Application/JSON; charset=utf-8"), nil
	})})
	header := http.Header{"Authorization": {"Basic x"}}
	resp, err := client.Post(t.Context(), fetch.PostRequest{URL: "https://a.example/p", Accept: "application/json", Header: header,
		Form: url.Values{"token": {"a&b=c d"}}, Type: func(s string) bool { return s == "application/json" }})
	require.NoError(t, err)
	require.Equal(t, fetch.PostResponse{Status: 200, Body: []byte("{}"), MediaType: "application/json"}, resp)
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "token=a%26b%3Dc+d", form)
	require.Equal(t, "application/x-www-form-urlencoded", got.Header.Get("Content-Type"))
	require.Equal(t, "application/json", got.Header.Get("Accept"))
	require.Equal(t, "Basic x", got.Header.Get("Authorization"))
	require.Equal(t, http.Header{"Authorization": {"Basic x"}}, header)
}

// Each case is a good answer and one mutation.
func TestPostRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		resp    func() (*http.Response, error)
		outcome fetch.Outcome
		status  int
		after   time.Duration
	}{
		{"201", func() (*http.Response, error) { return posted(201, "{}"), nil }, fetch.Status, 201, 0},
		{"304", func() (*http.Response, error) { return posted(304, ""), nil }, fetch.Status, 304, 0},
		{"401", func() (*http.Response, error) { return posted(401, "{}"), nil }, fetch.Status, 401, 0},
		{"429", func() (*http.Response, error) { return posted(429, "{}", "Retry-After", "3"), nil }, fetch.Status, 429, 3 * time.Second},
		{"302", func() (*http.Response, error) { return posted(302, "", "Location", "https://b.example/"), nil }, fetch.Redirect, 0, 0},
		{"302 here", func() (*http.Response, error) { return posted(302, "", "Location", "/q"), nil }, fetch.Redirect, 0, 0},
		{"307", func() (*http.Response, error) { return posted(307, "", "Location", "https://b.example/"), nil }, fetch.Redirect, 0, 0},
		{"308 here", func() (*http.Response, error) { return posted(308, "", "Location", "/q"), nil }, fetch.Redirect, 0, 0},
		{"303 to nowhere", func() (*http.Response, error) { return posted(303, ""), nil }, fetch.Redirect, 303, 0},
		{"type", func() (*http.Response, error) { return posted(200, "{}", "Content-Type", "text/html"), nil }, fetch.ContentType, 0, 0},
		{"encoding", func() (*http.Response, error) { return posted(200, "{}", "Content-Encoding", "br"), nil }, fetch.ContentType, 0, 0},
		{"large", func() (*http.Response, error) { return posted(200, strings.Repeat(" ", 65)), nil }, fetch.TooLarge, 0, 0},
		{"announced large", func() (*http.Response, error) {
			r := posted(200, "{}")
			r.ContentLength = 65
			return r, nil
		}, fetch.TooLarge, 0, 0},
		{"cut", func() (*http.Response, error) {
			r := posted(200, "")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{}))
			return r, nil
		}, fetch.Truncated, 0, 0},
		{"no connection", func() (*http.Response, error) { return nil, errors.New("the token is hunter2") }, fetch.Connect, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			client := fetch.NewClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { calls++; return tt.resp() })})
			resp, err := client.Post(t.Context(), fetch.PostRequest{URL: "https://a.example/p", Form: url.Values{"token": {"hunter2"}}, MaxBytes: 64,
				Type: func(s string) bool { return s == "application/json" }})
			require.Zero(t, resp)
			var e *fetch.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.outcome, e.Outcome, "%v", err)
			require.Equal(t, tt.status, e.Status)
			require.Equal(t, tt.after, e.RetryAfter)
			require.Equal(t, 1, calls)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client := fetch.NewClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return nil, r.Context().Err() })})
	_, err := client.Post(ctx, fetch.PostRequest{URL: "https://a.example/p"})
	var e *fetch.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, fetch.Timeout, e.Outcome)
	_, err = client.Post(t.Context(), fetch.PostRequest{URL: "https://a.example/\x00"})
	require.ErrorAs(t, err, &e)
	require.Equal(t, fetch.Malformed, e.Outcome)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A further status brings its body if that is JSON of a bounded size, and is refused as
// before if it is not.
func TestPostAlso(t *testing.T) {
	for _, tt := range []struct {
		name string
		resp *http.Response
		also int
		body string // "": refused
	}{
		{name: "asked for", resp: posted(400, `{"error":"x"}`), also: 400, body: `{"error":"x"}`},
		{name: "not asked for", resp: posted(400, `{"error":"x"}`)},
		{name: "another", resp: posted(401, `{"error":"x"}`), also: 400},
		{name: "a page", resp: posted(400, `{"error":"x"}`, "Content-Type", "text/html"), also: 400},
		{name: "as long as may be", resp: posted(400, strings.Repeat(" ", 64)), also: 400, body: strings.Repeat(" ", 64)},
		{name: "too long", resp: posted(400, strings.Repeat(" ", 65)), also: 400},
		{name: "compressed", resp: posted(400, "{}", "Content-Encoding", "br"), also: 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := fetch.NewClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return tt.resp, nil })})
			got, err := client.Post(t.Context(), fetch.PostRequest{URL: "https://a.example/p", MaxBytes: 64, Also: tt.also,
				Type: func(s string) bool { return s == "application/signed" }})
			if tt.body == "" {
				e, ok := errors.AsType[*fetch.Error](err)
				require.True(t, ok)
				require.Equal(t, []any{fetch.Status, tt.resp.StatusCode}, []any{e.Outcome, e.Status})
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, fetch.PostResponse{Status: 400, Body: []byte(tt.body), MediaType: "application/json"}, got)
		})
	}
}
