package jwks_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestDefaults(t *testing.T) {
	noLeaks(t)
	require.Equal(t, 10*time.Minute, jwks.DefaultTTL)
	require.Equal(t, time.Minute, jwks.DefaultMinTTL)
	require.Equal(t, time.Hour, jwks.DefaultMaxTTL)
	require.Equal(t, time.Hour, jwks.DefaultMaxStale)
	require.Equal(t, 10*time.Second, jwks.DefaultMissInterval)
	require.Equal(t, 5*time.Second, jwks.DefaultFetchTimeout)
	require.Equal(t, 512*1024, jwks.DefaultMaxBytes)
	require.Equal(t, 100, jwks.DefaultMaxKeys)
	require.Equal(t, map[string]any{
		"ahead percent": 80, "jitter percent": 10,
		"first backoff": time.Second, "longest backoff": time.Minute, "backoff jitter": 20,
		"Retry-After without keys": time.Minute, "discovery TTL": time.Hour, "failures": 3,
		"longest duration": 24 * time.Hour, "longest miss interval": 10 * time.Minute, "longest fetch": time.Minute,
		"most bytes": 16 << 20, "most keys": 1000, "least duration": 100 * time.Millisecond, "skew": time.Minute,
	}, jwks.Unconfigurable)
}

// req: R6750-11, R8414-01, JWF-029
func TestNewRefuses(t *testing.T) {
	noLeaks(t)
	for name, tc := range map[string]struct {
		config jwks.Config
		says   []string
	}{
		"nothing":                              {jwks.Config{}, []string{"Issuer", "URL"}},
		"http issuer":                          {jwks.Config{Issuer: "http://as.example.com"}, []string{"Issuer must be https"}},
		"http URL":                             {jwks.Config{URL: "http://as.example.com/keys"}, []string{"URL must be https"}},
		"http URL, loopback issuer":            {jwks.Config{Issuer: "http://localhost", URL: "http://as.example.com/keys"}, []string{"URL must be https"}},
		"http on a name that only looks local": {jwks.Config{URL: "http://localhost.example.com/keys"}, []string{"https"}},
		"http on a private address":            {jwks.Config{URL: "http://10.0.0.1/keys"}, []string{"https"}},
		"another scheme":                       {jwks.Config{URL: "file:///etc/keys"}, []string{"https"}},
		"no scheme":                            {jwks.Config{URL: "as.example.com/keys"}, []string{"https"}},
		"opaque":                               {jwks.Config{URL: "https:as.example.com"}, []string{"URL"}},
		"no host":                              {jwks.Config{URL: "https:///keys"}, []string{"host"}},
		"port only":                            {jwks.Config{URL: "https://:443/keys"}, []string{"host"}},
		"user information":                     {jwks.Config{URL: "https://u:secret@as.example.com/keys"}, []string{"user information"}},
		"empty user":                           {jwks.Config{URL: "https://@as.example.com/keys"}, []string{"user information"}},
		"fragment":                             {jwks.Config{URL: "https://as.example.com/keys#x"}, []string{"fragment"}},
		"empty fragment":                       {jwks.Config{URL: "https://as.example.com/keys#"}, []string{"fragment"}},
		"control character":                    {jwks.Config{URL: "https://as.example.com/keys\n"}, []string{"valid"}},
		"space":                                {jwks.Config{Issuer: "https://as.example.com/a b"}, []string{"valid"}},
		"very long":                            {jwks.Config{URL: "https://as.example.com/" + strings.Repeat("a", 2048)}, []string{"2048"}},
		"issuer query":                         {jwks.Config{Issuer: "https://as.example.com?x"}, []string{"query"}},
		"issuer empty query":                   {jwks.Config{Issuer: "https://as.example.com?"}, []string{"query"}},
		"issuer fragment":                      {jwks.Config{Issuer: "https://as.example.com#x"}, []string{"fragment"}},
		"durations": {jwks.Config{Issuer: issuer, MinTTL: -1, MaxTTL: 25 * time.Hour, MaxStale: 25 * time.Hour, MissInterval: time.Millisecond, FetchTimeout: time.Hour},
			[]string{"MinTTL", "MaxTTL", "MaxStale", "MissInterval", "FetchTimeout"}},
		"sizes":        {jwks.Config{Issuer: issuer, MaxBytes: -1, MaxKeys: 1001}, []string{"MaxBytes", "MaxKeys"}},
		"more sizes":   {jwks.Config{Issuer: issuer, MaxBytes: 17 << 20, MaxKeys: -1}, []string{"MaxBytes", "MaxKeys"}},
		"TTL order":    {jwks.Config{Issuer: issuer, TTL: 2 * time.Hour}, []string{"TTL", "MaxTTL"}},
		"TTL below":    {jwks.Config{Issuer: issuer, TTL: time.Second}, []string{"MinTTL"}},
		"all together": {jwks.Config{Issuer: "http://a.example", URL: "ftp://b.example", MaxKeys: -1}, []string{"Issuer", "URL", "MaxKeys"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := jwks.New(tc.config)
			require.Nil(t, c)
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, s := range tc.says {
				require.ErrorContains(t, err, s)
			}
		})
	}
	for _, config := range []jwks.Config{
		{Issuer: issuer}, {URL: setURL}, {Issuer: issuer, URL: "https://elsewhere.example/keys?v=1"},
		{Issuer: "http://localhost:8080"}, {Issuer: "http://127.0.0.1"}, {URL: "http://[::1]:1/keys"}, {URL: "http://127.9.9.9/keys"},
		{URL: "http://as.example.com/keys", InsecureAllowHTTP: true},
		{URL: setURL, MinTTL: 24 * time.Hour, TTL: 24 * time.Hour, MaxTTL: 24 * time.Hour, MaxStale: 24 * time.Hour,
			MissInterval: 10 * time.Minute, FetchTimeout: time.Minute, MaxBytes: 16 << 20, MaxKeys: 1000},
		{URL: setURL, MinTTL: time.Second / 10, TTL: time.Second / 10, MaxTTL: time.Second / 10, MaxStale: 1,
			MissInterval: time.Second / 10, FetchTimeout: time.Second / 10, MaxBytes: 1, MaxKeys: 1},
	} {
		c, err := jwks.New(config)
		require.NoError(t, err)
		require.Equal(t, config.Issuer, c.Issuer())
	}
}

func TestNilAndZero(t *testing.T) {
	noLeaks(t)
	var none *jwks.Cache
	for _, c := range []*jwks.Cache{none, {}} {
		_, err := c.Keys(t.Context(), "k", "ES256")
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		_, err = c.KeysAfterMiss(t.Context(), "ES256")
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		_, err = c.Export()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		requireError(t, c.Refresh(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		requireError(t, c.Import(nil), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.False(t, c.Status().Ready())
		require.Empty(t, c.Issuer())
	}
	var noSet *jwks.Set
	for _, s := range []*jwks.Set{noSet, {}} {
		_, err := s.Keys(t.Context(), "k", "ES256")
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	var k jwks.Key
	require.Empty(t, k.ID())
	require.Empty(t, k.Algorithms())
	requireError(t, k.Verify("ES256", nil, nil), bearergate.ErrInvalidToken, bearergate.ReasonSignature)
	_, err := jwks.NewSet(k)
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	_, err = jwks.NewSet()
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}

func TestNilContext(t *testing.T) {
	within(t, func(t *testing.T) {
		c, _ := newCache(t, newServer(t, "k1"))
		var none context.Context
		keys, err := c.Keys(none, "k1", "ES256")
		require.NoError(t, err)
		require.Len(t, keys, 1)
		_, err = c.Keys(none, "other", "ES256")
		require.NoError(t, err)
		require.NoError(t, c.Refresh(none))
	})
}

// req: R8414-02, R8414-03
func TestDiscovery(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s, discovered)
		require.Zero(t, s.count(""), "New touches no network")
		has(t, c, "k1")
		require.Equal(t, 1, s.count(rfcURL))
		require.Zero(t, s.count(oidcURL))
		require.Equal(t, 1, s.count(setURL))
		e := r.lastFetch(t)
		require.Equal(t, jwks.OutcomeOK, e.Outcome)
		require.Equal(t, jwks.TriggerFirst, e.Trigger)
		require.Equal(t, issuer, e.Issuer)
		require.Equal(t, setURL, e.URL)
		require.Equal(t, []string{"k1"}, e.Added)
		require.Equal(t, 1, e.KeyCount)
		require.Equal(t, setURL, c.Status().URL)

		// Within the hour, the document is not read again.
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 1, s.count(rfcURL))
		time.Sleep(time.Hour)
		has(t, c, "k1")
		require.Equal(t, 2, s.count(rfcURL))
	})
}

func TestDiscoveryRemembersWhatWorked(t *testing.T) {
	within(t, func(t *testing.T) {
		for name, f := range map[string]fault{
			"404": always(404, "text/plain", ""), "login page": always(200, "text/html", "<html>"), "down": down, "hang": hang,
			"another issuer": always(200, "application/json", metadataOf("https://evil.example", setURL)),
			"garbage":        always(200, "application/json", "{"),
			"null":           always(200, "application/json", "null"),
		} {
			s := newServer(t, "k1")
			s.fail(rfcURL, f)
			c, _ := newCache(t, s, discovered)
			has(t, c, "k1")
			require.Equal(t, 1, s.count(rfcURL), name)
			require.Equal(t, 1, s.count(oidcURL), name)
			s.forget()
			time.Sleep(2 * time.Hour)
			has(t, c, "k1")
			require.Zero(t, s.count(rfcURL), name)
			require.Equal(t, 1, s.count(oidcURL), name)
			// and back again
			s.heal()
			s.fail(oidcURL, f)
			time.Sleep(2 * time.Hour)
			has(t, c, "k1")
		}
	})
}

// req: R8414-01, R8414-03, R8414-04, R8414-05, R8414-07, ISS-022, ISS-023
func TestDiscoveryRefuses(t *testing.T) {
	doc := func(issuer, uri string) fault { return always(200, "application/json", metadataOf(issuer, uri)) }
	for name, tc := range map[string]struct {
		fault   fault
		outcome jwks.Outcome
	}{
		"another issuer":          {doc("https://as.example.com/tenant2", setURL), jwks.OutcomeIssuer},
		"a trailing slash":        {doc(issuer+"/", setURL), jwks.OutcomeIssuer},
		"another case":            {doc("https://AS.example.com/tenant1", setURL), jwks.OutcomeIssuer},
		"no issuer":               {always(200, "application/json", `{"jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"issuer is no string":     {always(200, "application/json", `{"issuer":["`+issuer+`"],"jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"issuer twice":            {always(200, "application/json", `{"issuer":"`+issuer+`","issuer":"`+issuer+`","jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"Issuer":                  {always(200, "application/json", `{"Issuer":"`+issuer+`","jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"no jwks_uri":             {always(200, "application/json", `{"issuer":"`+issuer+`"}`), jwks.OutcomeJWKSURI},
		"jwks_uri null":           {always(200, "application/json", `{"issuer":"`+issuer+`","jwks_uri":null}`), jwks.OutcomeMalformed},
		"jwks_uri http":           {doc(issuer, "http://as.example.com/tenant1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri http, loopback": {doc(issuer, "http://127.0.0.1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri file":           {doc(issuer, "file:///etc/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri relative":       {doc(issuer, "/tenant1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri user":           {doc(issuer, "https://u@as.example.com/tenant1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri fragment":       {doc(issuer, setURL+"#f"), jwks.OutcomeJWKSURI},
		"wrong content type":      {always(200, "text/html", metadataOf(issuer, setURL)), jwks.OutcomeContentType},
		"text/plain":              {always(200, "text/plain", metadataOf(issuer, setURL)), jwks.OutcomeContentType},
		"no content type":         {always(200, "", metadataOf(issuer, setURL)), jwks.OutcomeContentType},
		"status 500 and a body":   {always(500, "application/json", metadataOf(issuer, setURL)), jwks.OutcomeStatus},
		"status 404":              {always(404, "application/json", "{}"), jwks.OutcomeStatus},
		"byte order mark":         {always(200, "application/json", "\ufeff"+metadataOf(issuer, setURL)), jwks.OutcomeMalformed},
		"an array":                {always(200, "application/json", "["+metadataOf(issuer, setURL)+"]"), jwks.OutcomeMalformed},
		"too large":               {always(200, "application/json", strings.Repeat(" ", 512<<10)+metadataOf(issuer, setURL)), jwks.OutcomeTooLarge},
		"unreachable":             {down, jwks.OutcomeConnect},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.fail(rfcURL, tc.fault)
				s.fail(oidcURL, tc.fault)
				c, r := newCache(t, s, discovered)
				unavailable(t, c, "k1")
				require.Equal(t, tc.outcome, r.lastFetch(t).Outcome)
				require.Contains(t, []string{rfcURL, oidcURL}, r.lastFetch(t).URL, "the URL of what failed")
				require.Equal(t, 1, s.count(rfcURL))
				require.Equal(t, 1, s.count(oidcURL))
				require.Zero(t, s.count(setURL), "a document that is refused is not used")
				s.heal()
				time.Sleep(2 * time.Second)
				has(t, c, "k1")
			})
		})
	}
}

// req: R8414-05 (NFC and NFD of one word are two issuers)
func TestDiscoveryComparesCodePoints(t *testing.T) {
	within(t, func(t *testing.T) {
		nfc, nfd := "https://as.example.com/caf\u00e9", "https://as.example.com/cafe\u0301"
		for _, tc := range []struct {
			in   string
			want bool
		}{{nfc, true}, {nfd, false}} {
			s := newServer(t, "k1")
			s.fail("", func(r *http.Request) (*http.Response, error) {
				if r.URL.String() == setURL {
					return nil, nil
				}
				return answer(200, "application/json", metadataOf(tc.in, setURL)), nil
			})
			c, _ := newCache(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", nfc })
			if tc.want {
				has(t, c, "k1")
			} else {
				unavailable(t, c, "k1")
			}
		}
	})
}

// req: R8414-07 (https on any host; http only from loopback to loopback)
func TestJWKSURIHosts(t *testing.T) {
	within(t, func(t *testing.T) {
		for _, tc := range []struct {
			issuer, uri string
			insecure    bool
			ok          bool
		}{
			{"https://as.example.com", "https://cdn.example.net/keys", false, true},
			{"https://as.example.com", "http://as.example.com/keys", false, false},
			{"https://as.example.com", "http://localhost/keys", false, false},
			{"https://as.example.com", "http://as.example.com/keys", true, true},
			{"http://localhost:8080", "http://127.0.0.1:8081/keys", false, true},
			{"http://localhost:8080", "http://as.example.com/keys", false, false},
			{"https://localhost:8080", "http://localhost:8080/keys", false, false},
		} {
			s := newServer(t, "k1")
			s.fail("", func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/keys") {
					return answer(200, "application/json", string(set(s.keys["k1"]))), nil
				}
				return answer(200, "application/json; charset=utf-8", metadataOf(tc.issuer, tc.uri)), nil
			})
			c, r := newCache(t, s, func(c *jwks.Config) { c.URL, c.Issuer, c.InsecureAllowHTTP = "", tc.issuer, tc.insecure })
			if tc.ok {
				has(t, c, "k1")
			} else {
				unavailable(t, c, "k1")
				require.Equal(t, jwks.OutcomeJWKSURI, r.lastFetch(t).Outcome)
			}
		}
	})
}

func TestSetMoves(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.header.Set("ETag", `"v1"`)
		c, r := newCache(t, s, discovered)
		has(t, c, "k1")
		s.rotate(t, "k2")
		const moved = "https://keys.example.net/new"
		s.fail(setURL, always(404, "text/plain", ""))
		s.fail(rfcURL, always(200, "application/json", metadataOf(issuer, moved)))
		s.fail(moved, always(200, "application/json", string(set(s.keys["k2"]))))
		time.Sleep(time.Minute)
		has(t, c, "k2") // at its first token
		require.Empty(t, s.last.Header.Get("If-None-Match"), "a tag belongs to its URL")
		require.Equal(t, moved, r.lastFetch(t).URL)
		require.Equal(t, []string{"k2"}, r.lastFetch(t).Added)
		require.Equal(t, []string{"k1"}, r.lastFetch(t).Removed)
		require.Equal(t, moved, c.Status().URL)
		require.Equal(t, 2, s.count(rfcURL))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 2, s.count(rfcURL), "the new document is as good as the old one was")
	})
}

// Metadata that was read for this very fetch is not read again when the set fails.
func TestSetFailsAfterDiscovery(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail(setURL, down)
		c, _ := newCache(t, s, discovered)
		unavailable(t, c, "k1")
		require.Equal(t, 1, s.count(rfcURL))
		require.Equal(t, 1, s.count(setURL))

		// It is doubted from then on, until the set comes.
		s.heal()
		s.fail(rfcURL, down)
		s.fail(oidcURL, down)
		time.Sleep(time.Second)
		s.forget()
		has(t, c, "k1")
		require.Equal(t, 1, s.count(rfcURL))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 1, s.count(rfcURL))
	})
}

// The metadata may be out of order for a while, like the set, but not for ever.
func TestMetadataOutage(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s, discovered)
		has(t, c, "k1")
		s.fail(rfcURL, always(200, "application/json", metadataOf("https://evil.example", "https://evil.example/keys")))
		s.fail(oidcURL, down)
		for range 11 {
			time.Sleep(10 * time.Minute)
			has(t, c, "k1")
			require.NotEqual(t, jwks.StateStale, c.Status().State)
		}
		time.Sleep(25 * time.Minute)
		has(t, c, "k1")
		require.Equal(t, jwks.StateStale, c.Status().State, "the document is older than 1 h + MaxStale")
		time.Sleep(time.Hour)
		unavailable(t, c, "k1")
	})
}

func TestStates(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		state := func(want jwks.State) {
			t.Helper()
			require.Equal(t, want, c.Status().State)
		}
		state(jwks.StateEmpty)
		require.False(t, c.Status().Ready())
		require.Nil(t, c.Status().Algorithms)
		has(t, c, "k1")
		require.Equal(t, []string{"ES256"}, c.Status().Algorithms)
		require.Zero(t, c.Status().NextAttempt)
		state(jwks.StateFresh)
		require.True(t, c.Status().Ready())
		require.Equal(t, 1, c.Status().KeyCount)
		start := time.Now()

		// The jitter is at most a tenth either way.
		time.Sleep(time.Duration(0.8*0.9*float64(jwks.DefaultTTL)) - time.Second)
		state(jwks.StateFresh)
		has(t, c, "k1")
		require.Equal(t, 1, s.count(""))
		for c.Status().State == jwks.StateFresh {
			time.Sleep(time.Second)
		}
		state(jwks.StateAhead)
		require.LessOrEqual(t, time.Since(start), time.Duration(0.8*1.1*float64(jwks.DefaultTTL))+time.Second)

		// AHEAD answers at once and fetches in the background.
		s.delay = 2 * time.Second
		before := time.Now()
		has(t, c, "k1")
		require.Zero(t, time.Since(before))
		synctest.Wait()
		require.Equal(t, 2, s.count(""))
		has(t, c, "k1")
		require.Equal(t, 2, s.count(""), "one at a time")
		time.Sleep(3 * time.Second)
		state(jwks.StateFresh)
		require.Equal(t, jwks.TriggerAhead, r.lastFetch(t).Trigger)
		require.Equal(t, 2*time.Second, r.lastFetch(t).Duration)

		// DUE waits.
		time.Sleep(11 * time.Minute)
		state(jwks.StateDue)
		before = time.Now()
		has(t, c, "k1")
		require.Equal(t, 2*time.Second, time.Since(before))
		require.Equal(t, jwks.TriggerDue, r.lastFetch(t).Trigger)
		state(jwks.StateFresh)

		// DUE waits for a fetch that fails, then STALE answers at once.
		s.fail("", hang)
		s.delay = 0
		time.Sleep(11 * time.Minute)
		state(jwks.StateDue)
		before = time.Now()
		has(t, c, "k1")
		require.Equal(t, jwks.DefaultFetchTimeout, time.Since(before))
		require.Equal(t, jwks.OutcomeTimeout, r.lastFetch(t).Outcome)
		state(jwks.StateStale)
		require.True(t, c.Status().Ready())
		require.Error(t, c.Status().LastError)
		require.Len(t, r.stale, 1)
		time.Sleep(2 * time.Second)
		before = time.Now()
		has(t, c, "k1")
		require.Zero(t, time.Since(before))
		require.Len(t, r.stale, 2)
		time.Sleep(jwks.DefaultFetchTimeout + time.Second)
		require.Equal(t, jwks.TriggerRetry, r.lastFetch(t).Trigger)

		// EXPIRED: waits if the backoff allows, else fails at once.
		time.Sleep(75 * time.Minute)
		state(jwks.StateExpired)
		require.False(t, c.Status().Ready())
		before = time.Now()
		e := unavailable(t, c, "k1")
		require.Equal(t, jwks.DefaultFetchTimeout, time.Since(before))
		require.LessOrEqual(t, e.RetryAfter, time.Minute)
		before = time.Now()
		unavailable(t, c, "k1")
		require.Zero(t, time.Since(before))
		s.heal()
		time.Sleep(time.Until(c.Status().NextAttempt))
		has(t, c, "k1")
		state(jwks.StateFresh)
		require.NoError(t, c.Status().LastError)

		var passed []jwks.State
		for _, e := range r.states {
			if len(passed) > 0 {
				require.Equal(t, passed[len(passed)-1], e.From)
			}
			passed = append(passed, e.To)
		}
		require.Equal(t, []jwks.State{"fresh", "ahead", "fresh", "stale", "expired", "fresh"}, passed)
		require.Zero(t, r.dead)
	})
}

func TestUsable(t *testing.T) {
	for state, usable := range map[jwks.State]bool{
		"": false, jwks.StateEmpty: false, jwks.StateExpired: false,
		jwks.StateFresh: true, jwks.StateAhead: true, jwks.StateDue: true, jwks.StateStale: true,
	} {
		require.Equal(t, usable, state.Usable(), state)
	}
}

// ages returns the ages at which a fresh set reaches the states after it: its
// jitter is random, but not where they stand to each other.
func ages(c *jwks.Cache) (ahead, due, expired time.Duration) {
	reach := func(states ...jwks.State) time.Duration {
		at := sort.Search(int(3*time.Hour), func(d int) bool {
			jwks.StepWall(c, time.Duration(d))
			return slices.Contains(states, c.Status().State)
		})
		jwks.StepWall(c, 0)
		return time.Duration(at)
	}
	return reach(jwks.StateAhead, jwks.StateDue, jwks.StateExpired), reach(jwks.StateDue, jwks.StateExpired), reach(jwks.StateExpired)
}

// The states begin at their ages, to the nanosecond.
func TestStateBoundaries(t *testing.T) {
	within(t, func(t *testing.T) {
		c, _ := newCache(t, newServer(t, "k1"))
		has(t, c, "k1")
		ahead, due, expired := ages(c)
		require.Equal(t, due/100*80, ahead)
		require.Equal(t, due+jwks.DefaultMaxStale, expired)
	})
}

// Whether a set past its TTL may be used without asking depends on when asking
// failed last: past the TTL as well, or as short a time ago as under traffic.
func TestStaleOrDue(t *testing.T) {
	for name, tc := range map[string]struct {
		failures     []time.Duration // after the TTL; negative: before
		missInterval time.Duration
		at           time.Duration
		want         jwks.State
	}{
		"a minute before":               {[]time.Duration{-59 * time.Second}, 0, time.Second, jwks.StateStale},
		"earlier":                       {[]time.Duration{-70 * time.Second}, 0, time.Second, jwks.StateDue},
		"at the very end, and idle":     {[]time.Duration{0}, 0, 20 * time.Minute, jwks.StateStale},
		"just before, and idle":         {[]time.Duration{-1}, 0, 20 * time.Minute, jwks.StateDue},
		"as often as an interval takes": {[]time.Duration{-20 * time.Second, -15 * time.Second, -10 * time.Second}, 10 * time.Minute, 5 * time.Minute, jwks.StateStale},
		"and that interval is over":     {[]time.Duration{-20 * time.Second, -15 * time.Second, -10 * time.Second}, 10 * time.Minute, 10 * time.Minute, jwks.StateDue},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, _ := newCache(t, s, func(c *jwks.Config) { c.MissInterval = tc.missInterval })
				has(t, c, "k1")
				_, due, _ := ages(c)
				end := c.Status().LastSuccess.Add(due)
				s.fail("", down)
				for i, at := range tc.failures {
					time.Sleep(time.Until(end.Add(at)))
					has(t, c, "k1")
					synctest.Wait()
					require.Equal(t, i+1, c.Status().Failures)
				}
				time.Sleep(time.Until(end.Add(tc.at)))
				require.Equal(t, tc.want, c.Status().State)
			})
		})
	}
}

// While the last good keys serve, three attempts fit into an interval, and the
// server is noticed to be back as soon as the backoff allows.
func TestRecoveryWhileStale(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		_, due, _ := ages(c)
		time.Sleep(due)
		s.fail("", down)
		s.forget()
		start := time.Now()
		for time.Since(start) < 30*time.Minute { // under traffic
			has(t, c, "k1")
			synctest.Wait()
			switch elapsed := time.Since(start); {
			case elapsed >= 3*time.Second && elapsed < jwks.DefaultMissInterval:
				require.Equal(t, 3, s.count(""))
			case elapsed == 11*time.Second:
				require.Equal(t, 4, s.count(""))
			}
			time.Sleep(time.Second)
		}
		require.Greater(t, s.count(""), 30)
		s.heal()
		time.Sleep(time.Minute)
		has(t, c, "k1")
		synctest.Wait()
		require.Equal(t, jwks.StateFresh, c.Status().State)
	})
}

// The backoff is up to a fifth shorter, so that a fleet does not come back at
// the same moment.
func TestBackoffJitter(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		s.fail("", down)
		first, last := time.Hour, time.Duration(0)
		for range 500 {
			c, _ := newCache(t, s)
			unavailable(t, c, "k1")
			wait := time.Until(c.Status().NextAttempt)
			first, last = min(first, wait), max(last, wait)
		}
		require.GreaterOrEqual(t, first, 800*time.Millisecond)
		require.LessOrEqual(t, last, time.Second)
		require.Less(t, first, 850*time.Millisecond) // all of 500 above it: once in 10^62 runs
		require.Greater(t, last, 950*time.Millisecond)
	})
}

// A refresh-ahead that failed long ago is no excuse for not asking a server
// that may be back: a withdrawn key is refused within one TTL.
func TestDueAfterAnEarlierFailure(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		for c.Status().State != jwks.StateAhead {
			time.Sleep(time.Second)
		}
		s.fail("", down)
		has(t, c, "k1")
		synctest.Wait()
		require.Equal(t, 1, c.Status().Failures)
		s.heal()
		s.rotate(t, "k2")
		time.Sleep(5 * time.Minute)
		require.Equal(t, jwks.StateDue, c.Status().State)
		hasNot(t, c, "k1")
	})
}

func TestKnownKeyThatDoesNotFit(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		for range 100 {
			keys, err := c.Keys(t.Context(), "k1", "RS256")
			require.NoError(t, err)
			require.Nil(t, keys)
			keys, err = c.Keys(t.Context(), "k1", "none")
			require.NoError(t, err)
			require.Nil(t, keys)
		}
		require.Equal(t, 1, s.count(""))
	})
}

// req: R7517-02, R7517-03, R7517-06
func TestSelection(t *testing.T) {
	within(t, func(t *testing.T) {
		doc := set(newJWK(t, "same", "ES256"), newJWK(t, "same", "RS256"), newJWK(t, "same", "ES256"), newJWK(t, "same", "ES256"),
			newJWK(t, "ed", "EdDSA"), newJWK(t, "", "ES384"))
		s := newServer(t)
		s.fail(setURL, always(200, "application/json", string(doc)))
		c, _ := newCache(t, s)
		static, err := jwks.Static(doc)
		require.NoError(t, err)
		for _, source := range []jwks.Source{c, static} {
			for _, tc := range []struct {
				kid, alg string
				want     int
			}{
				{"same", "ES256", 3}, {"same", "RS256", 1}, {"same", "PS256", 0}, {"same", "ES384", 0},
				{"ed", "EdDSA", 1}, {"ed", "Ed25519", 1}, {"ed", "ES256", 0},
				{"", "ES256", 3}, {"", "ES384", 1}, {"", "EdDSA", 1}, {"", "Ed25519", 1}, {"", "RS256", 1}, {"", "ES512", 0},
				{"none such", "ES256", 0},
			} {
				keys, err := source.Keys(t.Context(), tc.kid, tc.alg)
				require.NoError(t, err)
				require.Len(t, keys, tc.want, "%q %s", tc.kid, tc.alg)
				if tc.want == 0 {
					require.Nil(t, keys)
				}
				require.Equal(t, len(keys), cap(keys))
			}
		}
	})
}

// req: R7517-01, JWK-009, JWK-012, JWK-017, JWK-020, JWK-025
func TestOneBadKeyIsSkipped(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		s.fail(setURL, always(200, "application/json", string(set(
			[]byte(`{"kty":"PQC","kid":"new kind"}`), []byte(`{"kid":"no kty"}`), newJWK(t, "good", "ES256"),
			[]byte(`{"kty":"oct","kid":"secret","k":"AAAA"}`), []byte(`17`)))))
		c, r := newCache(t, s)
		has(t, c, "good")
		require.Len(t, r.skipped, 4)
		for i, want := range []struct {
			index int
			kid   string
		}{{0, "new kind"}, {1, "no kty"}, {3, "secret"}, {4, ""}} {
			require.Equal(t, want.index, r.skipped[i].Index)
			require.Equal(t, want.kid, r.skipped[i].KeyID)
			require.Error(t, r.skipped[i].Err)
		}
		require.Equal(t, 1, r.lastFetch(t).KeyCount)
	})
}

func TestUnknownKey(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		hasNot(t, c, "x") // the first fetch began after the call: it is word enough
		require.Equal(t, 1, s.count(""))
		hasNot(t, c, "x")
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerUnknownKey, r.lastFetch(t).Trigger)
		require.Empty(t, r.suppressed)
		hasNot(t, c, "y")
		require.Equal(t, 2, s.count(""))
		require.Len(t, r.suppressed, 1)
		require.Equal(t, "y", r.suppressed[0].KeyID)
		require.Equal(t, jwks.DefaultMissInterval, r.suppressed[0].NextFetch)

		// An algorithm that nothing fits counts likewise.
		keys, err := c.Keys(t.Context(), "", "RS256")
		require.NoError(t, err)
		require.Nil(t, keys)
		require.Equal(t, 2, s.count(""))
		time.Sleep(jwks.DefaultMissInterval)
		_, err = c.Keys(t.Context(), "", "RS256")
		require.NoError(t, err)
		require.Equal(t, 3, s.count(""))

		// After a failed attempt nobody can say that there is no such key.
		s.fail("", down)
		time.Sleep(jwks.DefaultMissInterval)
		for range 10 {
			e := unavailable(t, c, "z")
			require.LessOrEqual(t, e.RetryAfter, jwks.DefaultMissInterval)
		}
		has(t, c, "k1")
		require.Equal(t, 4, s.count(""), "a failed attempt is one too")
		require.Equal(t, jwks.StateFresh, c.Status().State)

		// The next word of the server that counts is an answer.
		s.heal()
		time.Sleep(2 * time.Second)
		unavailable(t, c, "z") // still within the interval
		require.Equal(t, 4, s.count(""))
		time.Sleep(8 * time.Second)
		hasNot(t, c, "z")
		require.Equal(t, 5, s.count(""))
	})
}

func TestKeysAfterMiss(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "")
		c, r := newCache(t, s)
		first, err := c.Keys(t.Context(), "", "ES256")
		require.NoError(t, err)
		require.Len(t, first, 1)
		s.rotate(t, "")
		second, err := c.KeysAfterMiss(t.Context(), "ES256")
		require.NoError(t, err)
		require.Len(t, second, 1)
		require.NotEqual(t, first[0].Thumbprint(), second[0].Thumbprint())
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerUnknownKey, r.lastFetch(t).Trigger)
		name := func(k jwks.Key) []string {
			thumbprint := k.Thumbprint()
			return []string{base64.RawURLEncoding.EncodeToString(thumbprint[:])}
		}
		require.Equal(t, name(second[0]), r.lastFetch(t).Added)
		require.Equal(t, name(first[0]), r.lastFetch(t).Removed)

		// The limiter is the one of unknown key IDs.
		for range 100 {
			keys, err := c.KeysAfterMiss(t.Context(), "ES256")
			require.NoError(t, err)
			require.Equal(t, second[0].Thumbprint(), keys[0].Thumbprint())
			hasNot(t, c, "x")
		}
		require.Equal(t, 2, s.count(""))

		s.fail("", down)
		time.Sleep(jwks.DefaultMissInterval)
		for range 10 {
			_, err = c.KeysAfterMiss(t.Context(), "ES256")
			requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		}
		require.Equal(t, 3, s.count(""))
		keys, err := c.Keys(t.Context(), "", "ES256")
		require.NoError(t, err)
		require.Len(t, keys, 1)
	})
}

// Keys that expire while a call waits for the server are no keys any more, and
// that it has none is no word against a token.
func TestExpiryWhileWaiting(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.fail("", func(*http.Request) (*http.Response, error) {
			jwks.StepWall(c, 2*time.Hour)
			return nil, errDown
		})
		unavailable(t, c, "x")
		require.Equal(t, jwks.StateExpired, c.Status().State)
	})
}

// The key came with a fetch that was under way: there is no need of another.
func TestNewKeyInAFetchUnderWay(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.rotate(t, "k2")
		s.delay = 2 * time.Second
		go func() { _ = c.Refresh(context.Background()) }()
		synctest.Wait()
		has(t, c, "k2")
		require.Equal(t, 2, s.count(""))
	})
}

// A fetch that began before the token arrived may not have seen its key.
func TestUnknownKeyDuringAFetch(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		old := always(200, "application/json", string(set(s.keys["k1"])))
		s.fail("", func(r *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return old(r)
		})
		var refreshed error
		go func() { refreshed = c.Refresh(context.Background()) }()
		synctest.Wait()
		time.Sleep(time.Second)
		s.rotate(t, "k2")
		s.heal()
		has(t, c, "k2")
		synctest.Wait()
		require.NoError(t, refreshed)
		require.Equal(t, 3, s.count(""))
	})
}

// Who has decided to fetch, and is overtaken by a fetch of somebody else, must
// not make another one.
func TestLateDecision(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		for _, trigger := range []jwks.Trigger{jwks.Scheduled, jwks.TriggerUnknownKey, jwks.TriggerRefresh} {
			require.Zero(t, jwks.LateStart(c, trigger, 0), "no event to wait for")
			require.Equal(t, 1, s.count(""), trigger)
		}
		require.NotZero(t, jwks.LateStart(c, jwks.TriggerUnknownKey, 1))
		require.Equal(t, 2, s.count(""))
		jwks.LateStart(c, jwks.TriggerUnknownKey, 2)
		require.Equal(t, 2, s.count(""), "within the interval")
		s.fail("", down)
		jwks.LateStart(c, jwks.TriggerRefresh, 2)
		require.Equal(t, 3, s.count(""))
		for _, trigger := range []jwks.Trigger{jwks.Scheduled, jwks.TriggerUnknownKey, jwks.TriggerRefresh} {
			require.Zero(t, jwks.LateStart(c, trigger, 3), "no event to wait for")
			require.Equal(t, 3, s.count(""), "within the backoff")
		}
	})
}

// The document may be as old as the start of its fetch.
func TestAgeCountsFromTheStart(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.delay = 4 * time.Second
		c, _ := newCache(t, s)
		start := time.Now()
		has(t, c, "k1")
		require.Equal(t, 4*time.Second, time.Since(start))
		require.Equal(t, start, c.Status().LastSuccess.Local())
	})
}

func TestRefresh(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		require.NoError(t, c.Refresh(t.Context()))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerRefresh, r.lastFetch(t).Trigger)
		require.Empty(t, r.lastFetch(t).Added)

		s.fail("", down)
		err := c.Refresh(t.Context())
		e := requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Positive(t, e.RetryAfter)
		requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, 3, s.count(""), "the backoff is for every trigger")
		has(t, c, "k1")
		s.heal()
		time.Sleep(time.Second)
		require.NoError(t, c.Refresh(t.Context()))

		// One that is under way is shared, but its word is older than the call.
		s.delay = 2 * time.Second
		s.forget()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := c.Refresh(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 2, s.count(""))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		requireError(t, c.Refresh(ctx), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		time.Sleep(5 * time.Second)
	})
}

func TestBackoff(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail("", always(503, "application/json", "{}"))
		c, r := newCache(t, s)
		want := time.Second
		for i := range 12 {
			unavailable(t, c, "k1")
			require.Equal(t, i+1, s.count(""), "a fetch as soon as the backoff allows")
			status := c.Status()
			require.Equal(t, i+1, status.Failures)
			wait := time.Until(status.NextAttempt)
			require.LessOrEqual(t, wait, want)
			require.GreaterOrEqual(t, wait, want*8/10)
			require.Equal(t, 503, r.lastFetch(t).Status)
			time.Sleep(wait - time.Nanosecond)
			unavailable(t, c, "k1")
			require.Equal(t, status.NextAttempt, c.Status().NextAttempt)
			requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			for _, trigger := range []jwks.Trigger{jwks.Scheduled, jwks.TriggerUnknownKey, jwks.TriggerRefresh} {
				require.Zero(t, jwks.LateStart(c, trigger, 1000))
			}
			require.Equal(t, i+1, s.count(""), "no fetch before")
			time.Sleep(time.Nanosecond)
			require.Zero(t, c.Status().NextAttempt)
			want = min(2*want, time.Minute)
		}
		s.heal()
		has(t, c, "k1")
		require.Zero(t, c.Status().Failures)
	})
}

func TestRetryAfter(t *testing.T) {
	busy := func(value string) fault {
		return func(*http.Request) (*http.Response, error) {
			resp := answer(503, "", "")
			resp.Header.Set("Retry-After", value)
			return resp, nil
		}
	}
	within(t, func(t *testing.T) {
		for _, tc := range []struct {
			value         string
			empty, usable time.Duration
		}{
			{"30", 30 * time.Second, 30 * time.Second},
			{"240", time.Minute, 4 * time.Minute},
			{"99999999999999999999", time.Minute, 5 * time.Minute},
			{time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), time.Minute, 5 * time.Minute},
			{"-5", 0, 0}, {"soon", 0, 0}, {"0", 0, 0},
		} {
			s := newServer(t, "k1")
			s.fail("", busy(tc.value))
			c, _ := newCache(t, s)
			e := unavailable(t, c, "k1")
			if tc.empty > 0 {
				require.Equal(t, tc.empty, e.RetryAfter, tc.value)
			} else {
				require.LessOrEqual(t, e.RetryAfter, time.Second)
			}

			s.heal()
			time.Sleep(time.Until(c.Status().NextAttempt))
			has(t, c, "k1")
			s.fail("", busy(tc.value))
			requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			if tc.usable > 0 {
				require.Equal(t, tc.usable, time.Until(c.Status().NextAttempt), tc.value)
			}
		}
	})
}

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

func TestJitter(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		var first, last time.Duration
		for range 50 {
			c, _ := newCache(t, s)
			has(t, c, "k1")
			start := time.Now()
			for c.Status().State != jwks.StateDue {
				time.Sleep(time.Second)
			}
			ttl := time.Since(start)
			if first == 0 || ttl < first {
				first = ttl
			}
			last = max(last, ttl)
		}
		require.GreaterOrEqual(t, first, 9*time.Minute)
		require.LessOrEqual(t, last, 11*time.Minute+time.Second)
		require.Greater(t, last-first, 30*time.Second, "a fleet does not ask at the same moment")
	})
}

func TestFirstCallerCancels(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.delay = 2 * time.Second
		c, _ := newCache(t, s)
		first, cancel := context.WithCancel(t.Context())
		var served, canceled atomic.Int32
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Keys(first, "k1", "ES256")
			if errors.Is(err, context.Canceled) && bearergate.ReasonOf(err) == bearergate.ReasonCanceled {
				canceled.Add(1)
			}
		})
		synctest.Wait()
		for range 499 {
			wg.Go(func() {
				if keys, err := c.Keys(context.Background(), "k1", "ES256"); err == nil && len(keys) == 1 {
					served.Add(1)
				}
			})
		}
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		require.EqualValues(t, 1, canceled.Load())
		require.EqualValues(t, 499, served.Load())
		require.Equal(t, 1, s.count(""))
		require.Zero(t, c.Status().Failures, "a caller that went away is no failure")
	})
}

func TestWaiterHasItsOwnBound(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.delay = 2 * time.Second
		c, _ := newCache(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := c.Keys(ctx, "k1", "ES256")
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		has(t, c, "k1") // the fetch went on
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, 1, s.count(""))

		// Who has gone already causes nothing, but what is there is given.
		_, err = c.Keys(ctx, "x", "ES256")
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		require.Equal(t, 1, s.count(""))
		keys, err := c.Keys(ctx, "k1", "ES256")
		require.NoError(t, err)
		require.Len(t, keys, 1)
	})
}

// Our own timeout must not look like the caller's.
func TestTimeoutIsNotTheCallers(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail("", hang)
		c, r := newCache(t, s)
		start := time.Now()
		e := unavailable(t, c, "k1")
		require.Equal(t, jwks.DefaultFetchTimeout, time.Since(start))
		require.NotErrorIs(t, e, context.DeadlineExceeded)
		require.Equal(t, jwks.OutcomeTimeout, r.lastFetch(t).Outcome)
	})
}

func TestClientThatBreaks(t *testing.T) {
	for name, tc := range map[string]struct {
		fault   fault
		outcome jwks.Outcome
	}{
		"panics":              {func(*http.Request) (*http.Response, error) { panic("secret") }, jwks.OutcomePanic},
		"ends its goroutine":  {func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }, jwks.OutcomePanic},
		"ignores its context": {func(*http.Request) (*http.Response, error) { time.Sleep(time.Minute); return nil, nil }, jwks.OutcomeTimeout},
		"nil, nil":            {func(*http.Request) (*http.Response, error) { var none *http.Response; return none, errNothing }, jwks.OutcomeConnect},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.fail("", tc.fault)
				c, r := newCache(t, s, discovered)
				var wg sync.WaitGroup
				start := time.Now()
				for range 10 {
					wg.Go(func() { unavailable(t, c, "k1") })
				}
				wg.Wait()
				require.LessOrEqual(t, time.Since(start), jwks.DefaultFetchTimeout+time.Second)
				require.Equal(t, tc.outcome, r.lastFetch(t).Outcome)
				s.heal()
				time.Sleep(2 * time.Second)
				has(t, c, "k1")
				time.Sleep(2 * time.Minute) // what ignores its context ends some day
				has(t, c, "k1")
			})
		})
	}
}

var errNothing = errors.New("nothing")

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

func TestClientIsCopied(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		jar := &cookieJar{}
		client := &http.Client{Transport: s, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { t.Error("asked"); return nil }}
		c, _ := newCache(t, s, func(c *jwks.Config) { c.HTTPClient = client })
		s.header.Set("Set-Cookie", "a=b")
		client.Transport = nil
		has(t, c, "k1")
		require.Zero(t, jar.asked.Load())
	})
}

type cookieJar struct {
	http.CookieJar
	asked atomic.Int32
}

// Wall clock stepped: no withdrawn key comes back to life, no valid key is lost.
func TestWallClockBack(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.rotate(t, "k2") // k1 is withdrawn
		time.Sleep(9 * time.Minute)
		jwks.StepWall(c, -time.Hour)
		time.Sleep(3 * time.Minute)
		hasNot(t, c, "k1")
		has(t, c, "k2")

		// Set back during an outage, it does not stretch the time for stale keys.
		s.fail("", down)
		time.Sleep(30 * time.Minute)
		has(t, c, "k2")
		jwks.StepWall(c, -48*time.Hour)
		time.Sleep(45 * time.Minute)
		require.Equal(t, jwks.StateExpired, c.Status().State)
		unavailable(t, c, "k2")
		s.heal()
		time.Sleep(time.Minute)
		has(t, c, "k2")
	})
}

func TestWallClockForward(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		jwks.StepWall(c, 24*time.Hour) // or: the machine slept for a day
		require.Equal(t, jwks.StateExpired, c.Status().State)
		has(t, c, "k1")
		require.Equal(t, jwks.StateFresh, c.Status().State)
		require.Equal(t, 2, s.count(""))

		// and back: the keys fetched meanwhile are neither lost nor kept longer
		jwks.StepWall(c, 0)
		has(t, c, "k1")
		require.Equal(t, 2, s.count(""))
		s.rotate(t, "k2")
		time.Sleep(12 * time.Minute)
		hasNot(t, c, "k1")
	})
}

func TestHooksThatBreak(t *testing.T) {
	within(t, func(t *testing.T) {
		for name, breakIt := range map[string]func(){
			"panic": func() { panic("secret") }, "exit": runtime.Goexit, "slow": func() { time.Sleep(time.Hour) },
		} {
			s := newServer(t, "k1")
			c, r := newCache(t, s, func(c *jwks.Config) {
				c.Hooks.Fetched = func(context.Context, jwks.FetchEvent) { breakIt() }
			})
			start := time.Now()
			has(t, c, "k1")
			require.LessOrEqual(t, time.Since(start), jwks.DefaultFetchTimeout)
			time.Sleep(11 * time.Minute)
			has(t, c, "k1")
			require.Equal(t, 2, s.count(""))
			if name == "panic" {
				require.Equal(t, []jwks.PanicEvent{{Hook: "Fetched", Type: "string"}, {Hook: "Fetched", Type: "string"}}, r.panicked)
				require.NotEmpty(t, r.states, "the other hooks are called")
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

func TestPanickingHooksOnTheWay(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s, func(c *jwks.Config) {
			c.Hooks.MissSuppressed = func(context.Context, jwks.MissEvent) { panic(1) }
			c.Hooks.StaleServed = func(context.Context, jwks.StaleEvent) { panic(errDown) }
			c.Hooks.StateChanged = func(context.Context, jwks.StateEvent) { panic(c) }
			c.Hooks.KeySkipped = func(context.Context, jwks.KeyEvent) { panic("secret") }
			noted := c.Hooks.Panicked
			c.Hooks.Panicked = func(ctx context.Context, e jwks.PanicEvent) { noted(ctx, e); panic("again") }
		})
		has(t, c, "k1")
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		s.fail("", always(200, "application/json", `{"keys":[{}]}`))
		time.Sleep(12 * time.Minute)
		has(t, c, "k1")
		seen := map[string]bool{}
		for _, e := range r.panicked {
			seen[e.Hook] = true
		}
		require.Equal(t, map[string]bool{"MissSuppressed": true, "StaleServed": true, "StateChanged": true, "KeySkipped": true}, seen)
		require.Zero(t, r.dead)
	})
}

func TestJoinHooks(t *testing.T) {
	within(t, func(t *testing.T) {
		require.Nil(t, jwks.JoinHooks().Fetched)
		require.Nil(t, jwks.JoinHooks().Waited)
		s := newServer(t, "k1")
		a, b := &recorder{}, &recorder{}
		broken := jwks.Hooks{Fetched: func(context.Context, jwks.FetchEvent) { panic("x") }}
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks = jwks.JoinHooks(a.hooks(), jwks.Hooks{}, broken, b.hooks())
		})
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		for _, r := range []*recorder{a, b} {
			require.Len(t, r.fetched, 2)
			require.Len(t, r.waited, 2)
			require.Len(t, r.states, 1)
			require.Len(t, r.suppressed, 1)
			require.Len(t, r.panicked, 2)
		}
	})
}

// Each hook is called where it is the only one, and where two are joined.
func TestHooksOneByOne(t *testing.T) {
	within(t, func(t *testing.T) {
		all := reflect.TypeFor[jwks.Hooks]()
		for i := range all.NumField() {
			name := all.Field(i).Name
			calls := 0
			one := func() (h jwks.Hooks) {
				reflect.ValueOf(&h).Elem().Field(i).Set(reflect.MakeFunc(all.Field(i).Type, func([]reflect.Value) []reflect.Value {
					calls++
					return nil
				}))
				return h
			}
			hooks := jwks.JoinHooks(one(), one())
			if name == "Panicked" {
				hooks.Fetched = func(context.Context, jwks.FetchEvent) { panic("x") }
			}
			s := newServer(t, "k1")
			s.keys["bad"] = []byte(`{"kty":"oct"}`)
			c, _ := newCache(t, s, func(c *jwks.Config) { c.Hooks = hooks })
			require.NoError(t, c.Refresh(t.Context()))
			if name == "StateChanged" {
				require.Equal(t, 2, calls, "told with the fetch, not at the next call")
			}
			hasNot(t, c, "x")
			hasNot(t, c, "x")
			s.fail("", down)
			time.Sleep(12 * time.Minute)
			has(t, c, "k1")
			require.GreaterOrEqual(t, calls, 2, name)
			require.Zero(t, calls%2, "%s: both are called", name)
		}

		// What is not there does not panic either.
		s := newServer(t, "k1")
		c, r := newCache(t, s, func(c *jwks.Config) { c.Hooks = jwks.Hooks{Panicked: c.Hooks.Panicked, Fetched: c.Hooks.Fetched} })
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		require.NotEmpty(t, r.fetched)
		require.Empty(t, r.panicked)
	})
}

// All who wait are told which fetch they waited for, after it was told.
func TestWaited(t *testing.T) {
	within(t, func(t *testing.T) {
		type caller struct{}
		s := newServer(t, "k1")
		s.delay = time.Second
		var mu sync.Mutex
		waits := map[any]jwks.WaitEvent{}
		var r *recorder
		c, r := newCache(t, s, func(c *jwks.Config) {
			c.Issuer = issuer
			c.Hooks.Waited = func(ctx context.Context, e jwks.WaitEvent) {
				mu.Lock()
				defer mu.Unlock()
				require.NoError(t, ctx.Err())
				require.Equal(t, r.lastFetch(t).ID, e.FetchID, "told after the fetch")
				waits[ctx.Value(caller{})] = e
				panic("the others are told all the same")
			}
		})
		keys := func(who any, patience time.Duration) error {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), caller{}, who), patience)
			defer cancel()
			_, err := c.Keys(ctx, "k1", "ES256")
			return err
		}
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() { require.NoError(t, keys(i, time.Minute)) })
		}
		all.Go(func() {
			requireError(t, keys("gone", time.Second/2), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		})
		all.Wait()
		require.NoError(t, keys("late", time.Minute), "a hit waits for nothing")

		require.Len(t, r.fetched, 1)
		require.NotZero(t, r.fetched[0].ID)
		require.Len(t, waits, 10)
		for who, e := range waits {
			require.Equal(t, jwks.WaitEvent{FetchID: r.fetched[0].ID, Issuer: issuer, URL: setURL}, e, who)
		}

		require.NoError(t, c.Refresh(context.WithValue(t.Context(), caller{}, "refresh")))
		require.Equal(t, r.lastFetch(t).ID, waits["refresh"].FetchID)
		require.NotEqual(t, waits[0].FetchID, waits["refresh"].FetchID)

		s.fail("", down)
		c, r = newCache(t, s, func(c *jwks.Config) {
			c.Hooks.Waited = func(_ context.Context, e jwks.WaitEvent) { waits["failed"] = e }
		})
		requireError(t, keys("", time.Minute), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, r.lastFetch(t).ID, waits["failed"].FetchID)
		delete(waits, "failed")
		requireError(t, keys("", time.Minute), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.NotContains(t, waits, "failed", "nobody waits during the backoff")
	})
}

// The events carry the values of the request that caused them, and a context
// that has not ended even if that request has.
func TestHookContext(t *testing.T) {
	within(t, func(t *testing.T) {
		type key struct{}
		s := newServer(t, "k1")
		s.delay = 2 * time.Second
		var got any
		var dead error
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks.Fetched = func(ctx context.Context, _ jwks.FetchEvent) { got, dead = ctx.Value(key{}), ctx.Err() }
		})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "trace"), time.Second)
		defer cancel()
		_, err := c.Keys(ctx, "k1", "ES256")
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, "trace", got)
		require.NoError(t, dead)
		require.Nil(t, s.last.Context().Value(key{}), "the fetch itself knows nothing of the request")
	})
}

// Two issuers share nothing, not even with equal key IDs. req: R8725-07, ISS-019
func TestIssuersShareNothing(t *testing.T) {
	within(t, func(t *testing.T) {
		a, b := newServer(t, "k1"), newServer(t, "k1")
		ca, _ := newCache(t, a)
		cb, _ := newCache(t, b)
		ka, err := ca.Keys(t.Context(), "k1", "ES256")
		require.NoError(t, err)
		kb, err := cb.Keys(t.Context(), "k1", "ES256")
		require.NoError(t, err)
		require.NotEqual(t, ka[0].Thumbprint(), kb[0].Thumbprint())
		data, err := ca.Export()
		require.NoError(t, err)
		c2, err := jwks.New(jwks.Config{URL: setURL + "2"})
		require.NoError(t, err)
		requireError(t, c2.Import(data), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		c3, err := jwks.New(jwks.Config{URL: setURL, Issuer: issuer})
		require.NoError(t, err)
		requireError(t, c3.Import(data), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	})
}

// req: R8725-10: a hostile kid is data, and reaches no URL.
func TestHostileKeyIDs(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		for _, kid := range []string{"../../etc/passwd", "' OR 1=1 --", "http://evil.example/", strings.Repeat("k", 10<<20), "\x00", "K1", "k1 "} {
			hasNot(t, c, kid)
		}
		require.Equal(t, s.count(""), s.count(setURL))
		require.LessOrEqual(t, s.count(""), 2)
	})
}

func TestWarmHitAllocatesNothing(t *testing.T) {
	noLeaks(t)
	s := newServer(t, "k1")
	c, _ := newCache(t, s)
	has(t, c, "k1")
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = c.Keys(ctx, "k1", "ES256") }))
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = c.Keys(ctx, "", "ES256") }))
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = c.Keys(ctx, "k1", "RS256") }))
}

func TestRace(t *testing.T) {
	noLeaks(t)
	s := newServer(t, "k0", "stays")
	c, _ := newCache(t, s, func(c *jwks.Config) {
		c.MinTTL, c.TTL, c.MissInterval = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	})
	stays := s.keys["stays"]
	has(t, c, "stays")
	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				keys, err := c.Keys(context.Background(), "stays", "ES256")
				if err != nil || len(keys) != 1 {
					t.Error("lost a key during rotation: ", err)
					return
				}
				if i%64 == 0 {
					_, _ = c.Keys(context.Background(), fmt.Sprint("x", i), "ES256")
					_, _ = c.KeysAfterMiss(context.Background(), "ES256")
					_ = c.Status()
				}
				runtime.Gosched()
			}
		})
	}
	for i := range 2 {
		writers.Go(func() {
			for n := range 50 {
				if i == 0 {
					s.rotate(t, fmt.Sprint("k", n))
					s.mu.Lock()
					s.keys["stays"] = stays
					s.mu.Unlock()
				}
				_ = c.Refresh(context.Background())
				if data, err := c.Export(); err == nil {
					_ = c.Import(data)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
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
