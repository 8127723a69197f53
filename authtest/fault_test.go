package authtest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
)

// status sends a GET and returns the status of the answer, 0 for none.
func status(t *testing.T, as *authtest.Server, path string) int {
	t.Helper()
	resp, err := try(t, as, as.URL(path))
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func TestFaultShapes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		as := authtest.New(t, authtest.WithHosts("evil.example.test"))
		keys := string(as.JWKS())
		for name, test := range map[string]struct {
			fault  authtest.Fault
			status int
			body   string
			header map[string]string
			took   time.Duration
		}{
			"status":            {fault: authtest.Fault{Status: 503}, status: 503, body: "Service Unavailable\n", header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
			"status 2xx":        {fault: authtest.Fault{Status: 202}, status: 202, body: keys},
			"retry after":       {fault: authtest.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond}, status: 429, body: "Too Many Requests\n", header: map[string]string{"Retry-After": "2"}},
			"retry after alone": {fault: authtest.Fault{RetryAfter: time.Minute}, status: 200, body: keys, header: map[string]string{"Retry-After": "60"}},
			"delay":             {fault: authtest.Fault{Delay: time.Hour}, status: 200, body: keys, took: time.Hour},
			"no keys":           {fault: authtest.Fault{Body: []byte(`{"keys":[]}`)}, status: 200, body: `{"keys":[]}`, header: map[string]string{"Content-Type": "application/jwk-set+json"}},
			"HTML":              {fault: authtest.Fault{Body: []byte("<html>"), ContentType: "text/html"}, status: 200, body: "<html>", header: map[string]string{"Content-Type": "text/html"}},
			"empty":             {fault: authtest.Fault{Body: []byte{}}, status: 200},
			"error with keys":   {fault: authtest.Fault{Status: 500, Body: []byte(keys)}, status: 500, body: keys},
			"content type":      {fault: authtest.Fault{ContentType: "text/html"}, status: 200, body: keys, header: map[string]string{"Content-Type": "text/html"}},
			"header":            {fault: authtest.Fault{Header: http.Header{"retry-after": {"Sat, 01 Jan 2000 01:00:00 GMT"}}}, status: 200, body: keys, header: map[string]string{"Retry-After": "Sat, 01 Jan 2000 01:00:00 GMT"}},
			"padded":            {fault: authtest.Fault{PadTo: 1 << 20}, status: 200, body: keys + strings.Repeat(" ", 1<<20-len(keys))},
			"padded too little": {fault: authtest.Fault{PadTo: 1}, status: 200, body: keys},
			"gzip":              {fault: authtest.Fault{Gzip: true}, status: 200, body: keys},
			"drip":              {fault: authtest.Fault{Drip: 30 * time.Second}, status: 200, body: keys, took: 30 * time.Second},
			"drip of one byte":  {fault: authtest.Fault{Body: []byte("x"), Drip: 30 * time.Second}, status: 200, body: "x", took: 30 * time.Second},
			"drip of nothing":   {fault: authtest.Fault{Body: []byte{}, Drip: 30 * time.Second}, status: 200, took: 30 * time.Second},
			"gzip drip":         {fault: authtest.Fault{Gzip: true, PadTo: 1 << 20, Drip: time.Minute, Delay: time.Minute}, status: 200, body: keys + strings.Repeat(" ", 1<<20-len(keys)), took: 2 * time.Minute},
			"redirect":          {fault: authtest.Fault{Redirect: "https://evil.example.test/stolen"}, status: 404, body: "Not Found\n"},
			"redirect with 307": {fault: authtest.Fault{Redirect: "/.well-known/x", Status: 307}, status: 404, body: "Not Found\n"},
		} {
			test.fault.Path = "/jwks"
			as.Fail(test.fault)
			start := time.Now()
			resp, body := get(t, as, as.URL("/jwks"), "If-None-Match", `"none"`)
			require.Equal(t, test.status, resp.StatusCode, name)
			require.Equal(t, test.body, body, "%s: another body", name)
			require.Equal(t, test.took, time.Since(start), name)
			for field, value := range test.header {
				require.Equal(t, value, resp.Header.Get(field), name)
			}
			if test.fault.PadTo > 1 && !test.fault.Gzip {
				require.Equal(t, test.fault.PadTo, resp.ContentLength, name)
			}
		}
		require.Equal(t, 1, as.Requests("/stolen"))
		require.Equal(t, 1, as.Requests("/.well-known/x"))
	})
}

func TestFaultsThatShapeABodyHaveOne(t *testing.T) {
	as := authtest.New(t)
	for name, fault := range map[string]authtest.Fault{
		"pad": {PadTo: 1000}, "gzip": {Gzip: true}, "drip": {Drip: time.Nanosecond}, "body": {Body: []byte("x")},
	} {
		as.Fail(fault)
		resp, _ := get(t, as, as.URL("/jwks"), "If-None-Match", "*")
		require.Equal(t, http.StatusOK, resp.StatusCode, name)
	}
	as.Fail(authtest.Fault{})
	resp, _ := get(t, as, as.URL("/jwks"), "If-None-Match", "*")
	require.Equal(t, http.StatusNotModified, resp.StatusCode)
}

func TestFaultTruncate(t *testing.T) {
	tcp, err := authtest.Start()
	require.NoError(t, err)
	t.Cleanup(tcp.Close)
	for _, as := range []*authtest.Server{authtest.New(t), tcp} {
		for name, fault := range map[string]authtest.Fault{
			"plain": {Truncate: true}, "padded": {Truncate: true, PadTo: 1 << 20}, "drip": {Truncate: true, Drip: time.Millisecond},
			"gzip": {Truncate: true, Gzip: true}, "given": {Truncate: true, Body: []byte("body")},
		} {
			as.Fail(fault)
			resp, err := try(t, as, as.URL("/jwks"))
			require.NoError(t, err, name)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, resp.Body.Close())
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
			whole := max(int64(len(as.JWKS())), fault.PadTo)
			if fault.Body != nil {
				whole = int64(len(fault.Body))
			}
			require.Len(t, body, int(whole/2), name)
		}
	}
}

func TestFaultGzipBomb(t *testing.T) {
	as := authtest.New(t)
	as.Fail(authtest.Fault{Path: "/jwks", PadTo: 20 << 20, Gzip: true})
	resp, err := try(t, as, as.URL("/jwks"), "Accept-Encoding", "identity") // so that the client does not decompress
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
	compressed, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.Less(t, compressed, int64(1<<20))

	// A client that reads a little and goes is not held up.
	as.Fail(authtest.Fault{Path: "/jwks", PadTo: 1 << 40})
	resp, err = try(t, as, as.URL("/jwks"))
	require.NoError(t, err)
	require.Equal(t, int64(1<<40), resp.ContentLength)
	_, err = io.CopyN(io.Discard, resp.Body, 1<<20)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	as.Close()
}

func TestFaultDrop(t *testing.T) {
	as := authtest.New(t)
	as.Fail(authtest.Fault{Drop: true})
	_, err := try(t, as, as.URL("/jwks"))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 1, as.Requests("/jwks"))
}

func TestFaultHonoursCancellation(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		as := authtest.New(t)
		for path, fault := range map[string]authtest.Fault{
			"/hang": {Hang: true}, "/delay": {Delay: 1000 * time.Hour}, "/drip": {Drip: 1000 * time.Hour}, "/token": {Hang: true},
		} {
			fault.Path = path
			as.Fail(fault)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, as.URL(path), strings.NewReader("a body"))
			require.NoError(t, err)
			resp, err := as.Client().Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			require.ErrorIs(t, err, context.DeadlineExceeded, path)
			require.Equal(t, 300*time.Millisecond, time.Since(start))
			cancel()
			// The server ends it at once too: nothing waits for the rest of the fault.
			synctest.Wait()
			requireGone(t, "authtest.(*Server).serve")
		}
	})
}

func TestFaultTimes(t *testing.T) {
	as := authtest.New(t)
	as.Fail(authtest.Fault{Path: "/jwks", Status: 503, Times: 2})
	require.Equal(t, []int{503, 404, 503, 200}, []int{status(t, as, "/jwks"), status(t, as, "/other"), status(t, as, "/jwks"), status(t, as, "/jwks")})
	require.Equal(t, 3, as.Requests("/jwks"))
}

func TestFailReplacesAndHeals(t *testing.T) {
	as := authtest.New(t)
	both := func() [2]int { t.Helper(); return [2]int{status(t, as, "/jwks"), status(t, as, "/other")} }
	as.Fail(authtest.Fault{Path: "/jwks", Status: 500})
	require.Equal(t, [2]int{500, 404}, both())
	as.Fail(authtest.Fault{Status: 502})
	require.Equal(t, [2]int{502, 502}, both(), "one of every path replaces all")
	as.Fail(authtest.Fault{Path: "/jwks", Status: 504, Times: 1})
	require.Equal(t, [2]int{504, 502}, both(), "one of a path goes first")
	require.Equal(t, [2]int{502, 502}, both(), "and then the other is back")
	as.Fail(authtest.Fault{Path: "/other", Status: 501})
	as.Fail(authtest.Fault{Path: "/other"})
	require.Equal(t, [2]int{502, 502}, both(), "healing one path leaves the rest")
	as.Fail(authtest.Fault{Path: "/other", Status: 501})
	as.Fail(authtest.Fault{})
	require.Equal(t, [2]int{200, 404}, both())
}

func TestFaultIsCopied(t *testing.T) {
	as := authtest.New(t)
	body, field := []byte("body"), http.Header{"X-Test": {"value"}}
	as.Fail(authtest.Fault{Body: body, Header: field})
	copy(body, "zzzz")
	field.Set("X-Test", "zzz")
	resp, got := get(t, as, as.URL("/"))
	require.Equal(t, "body", got)
	require.Equal(t, "value", resp.Header.Get("X-Test"))
}
