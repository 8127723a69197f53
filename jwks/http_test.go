package jwks_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestNotModified(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.header.Set("ETag", `W/"v1"`)
		c, r := newCache(t, s)
		has(t, c, "k1")
		require.Empty(t, s.last.Header.Get("If-None-Match"))
		time.Sleep(11 * time.Minute)
		has(t, c, "k1")
		require.Equal(t, `W/"v1"`, s.last.Header.Get("If-None-Match"))
		require.Equal(t, jwks.OutcomeNotModified, r.lastFetch(t).Outcome)
		require.Equal(t, 1, r.lastFetch(t).KeyCount)
		require.Equal(t, jwks.StateFresh, c.Status().State)
		require.Equal(t, time.Now(), c.Status().LastSuccess.Local())

		s.rotate(t, "k2")
		s.header.Set("ETag", `"v2"`)
		time.Sleep(11 * time.Minute)
		has(t, c, "k2")

		// A 304 that nobody asked for is no answer, and a tag that is none is not sent back.
		s.header.Set("ETag", "not quoted")
		require.NoError(t, c.Refresh(t.Context()))
		require.NoError(t, c.Refresh(t.Context()))
		require.Empty(t, s.last.Header.Get("If-None-Match"))
		s.fail("", always(304, "", ""))
		requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, jwks.OutcomeStatus, r.lastFetch(t).Outcome)
	})
}

func TestCacheControl(t *testing.T) {
	within(t, func(t *testing.T) {
		for _, tc := range []struct {
			header, age string
			want        time.Duration
		}{
			{"", "", 10 * time.Minute},
			{"max-age=1200", "", 20 * time.Minute},
			{"public, MAX-AGE=\"1200\"", "", 20 * time.Minute},
			{"max-age=1200", "600", 10 * time.Minute},
			{"max-age=0", "", time.Minute},
			{"max-age=1200, no-store", "", time.Minute},
			{"no-cache", "", time.Minute},
			{"max-age=31536000", "", time.Hour},
			{"max-age=99999999999999999999999", "", time.Hour},
			{"max-age=-1", "", 10 * time.Minute},
			{"max-age=abc", "", 10 * time.Minute},
			{"s-maxage=1200", "", 10 * time.Minute},
			{"max-age=1200, max-age=600", "", 10 * time.Minute},
		} {
			s := newServer(t, "k1")
			if tc.header != "" {
				s.header.Set("Cache-Control", tc.header)
			}
			if tc.age != "" {
				s.header.Set("Age", tc.age)
			}
			c, _ := newCache(t, s)
			has(t, c, "k1")
			time.Sleep(tc.want*9/10 - time.Millisecond)
			require.Contains(t, []jwks.State{jwks.StateFresh, jwks.StateAhead}, c.Status().State, tc.header)
			time.Sleep(tc.want*2/10 + 2*time.Millisecond)
			require.Equal(t, jwks.StateDue, c.Status().State, tc.header)
		}
	})
}

// JWF-007, JWF-008: one redirect within the origin is followed, nothing else.
func TestRedirects(t *testing.T) {
	to := func(location string) fault {
		return func(*http.Request) (*http.Response, error) {
			resp := answer(302, "", "")
			resp.Header.Set("Location", location)
			return resp, nil
		}
	}
	for location, ok := range map[string]bool{
		"/moved":                            true,
		"https://as.example.com:443/moved":  true,
		"https://AS.example.com/moved":      true,
		"https://as.example.com/twice":      false,
		"https://as.example.com:8443/moved": false,
		"https://evil.example/moved":        false,
		"http://as.example.com/moved":       false,
		"https://u:p@as.example.com/moved":  false,
		"file:///etc/passwd":                false,
		"":                                  false,
	} {
		within(t, func(t *testing.T) {
			s := newServer(t, "k1")
			s.fail("", func(r *http.Request) (*http.Response, error) {
				switch {
				case strings.EqualFold(r.URL.Hostname(), "evil.example") || r.URL.Scheme != "https":
					t.Error("asked ", r.URL)
					return nil, errDown
				case r.URL.Path == "/moved":
					return answer(200, "application/json", string(set(s.keys["k1"]))), nil
				case r.URL.Path == "/twice":
					return to("/moved")(r)
				}
				return to(location)(r)
			})
			c, r := newCache(t, s)
			if ok {
				has(t, c, "k1")
				require.Equal(t, 2, s.count(""))
			} else {
				unavailable(t, c, "k1")
				require.Equal(t, jwks.OutcomeRedirect, r.lastFetch(t).Outcome, location)
			}
		})
	}
}

// req: R8414-06, JWF-016, R6750-11
func TestCertificates(t *testing.T) {
	noLeaks(t)
	k := newJWK(t, "k1", "ES256")
	ts := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set(k))
	}))
	ts.Config.ErrorLog = quiet
	defer ts.Close()
	get := func(client *http.Client, url string) (jwks.FetchEvent, error) {
		r := &recorder{}
		c, err := jwks.New(jwks.Config{URL: url, HTTPClient: client, Hooks: r.hooks()})
		require.NoError(t, err)
		_, err = c.Keys(t.Context(), "k1", "ES256")
		return r.lastFetch(t), err
	}
	e, err := get(ts.Client(), ts.URL)
	require.NoError(t, err)
	require.Equal(t, jwks.OutcomeOK, e.Outcome)
	e, err = get(nil, ts.URL) // an authority that nobody trusts
	requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.Equal(t, jwks.OutcomeTLS, e.Outcome)
	e, err = get(ts.Client(), strings.Replace(ts.URL, "127.0.0.1", "localhost", 1)) // a name that is not in it
	requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.Equal(t, jwks.OutcomeTLS, e.Outcome)
	e, err = get(ts.Client(), "http://"+ts.Listener.Addr().String()) // http on an https port
	requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.Equal(t, jwks.OutcomeStatus, e.Outcome)
	ts.Client().CloseIdleConnections()
}
