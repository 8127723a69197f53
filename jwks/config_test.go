package jwks_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/kit"
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
		"fetches for unknown keys": 2, "remembered of what was asked for": 16,
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
		"http issuer":                          {jwks.Config{Issuer: "http://as.example.com"}, []string{`Issuer "http://as.example.com" must be https`}},
		"http URL":                             {jwks.Config{URL: "http://as.example.com/keys"}, []string{`URL "http://as.example.com/keys" must be https`}},
		"http URL, loopback issuer":            {jwks.Config{Issuer: "http://localhost", URL: "http://as.example.com/keys"}, []string{`URL "http://as.example.com/keys" must be https`}},
		"http on a name that only looks local": {jwks.Config{URL: "http://localhost.example.com/keys"}, []string{"https"}},
		"http on a private address":            {jwks.Config{URL: "http://10.0.0.1/keys"}, []string{"https"}},
		"another scheme":                       {jwks.Config{URL: "file:///etc/keys"}, []string{"https"}},
		"no scheme":                            {jwks.Config{URL: "as.example.com/keys"}, []string{"https"}},
		"opaque":                               {jwks.Config{URL: "https:as.example.com"}, []string{"URL"}},
		"no host":                              {jwks.Config{URL: "https:///keys"}, []string{"host"}},
		"port only":                            {jwks.Config{URL: "https://:443/keys"}, []string{"host"}},
		"user information":                     {jwks.Config{URL: "https://u:secret@as.example.com/keys"}, []string{"URL must not contain user information: take out what is before the @"}},
		"empty user":                           {jwks.Config{URL: "https://@as.example.com/keys"}, []string{"user information"}},
		"fragment":                             {jwks.Config{URL: "https://as.example.com/keys#x"}, []string{"fragment"}},
		"empty fragment":                       {jwks.Config{URL: "https://as.example.com/keys#"}, []string{"fragment"}},
		"control character":                    {jwks.Config{URL: "https://as.example.com/keys\n"}, []string{"valid"}},
		"space":                                {jwks.Config{Issuer: "https://as.example.com/a b"}, []string{"valid"}},
		"a placeholder":                        {jwks.Config{URL: "https://as.example.com/{tenant}/keys"}, []string{`URL "https://as.example.com/{tenant}/keys" has a brace in it: it is taken as it stands`}},
		"a placeholder for the issuer":         {jwks.Config{URL: "https://as.example.com/keys", Issuer: "https://as.example.com/{tenant}"}, []string{`Issuer "https://as.example.com/{tenant}" has a brace in it`}},
		"a placeholder to discover":            {jwks.Config{Issuer: "https://as.example.com/${TENANT}"}, []string{`has a brace in it`}},
		"a wildcard":                           {jwks.Config{Issuer: "https://*.example.com"}, []string{`Issuer "https://*.example.com" has a * in it: it is compared as it stands`}},
		"a placeholder in the metadata's URL":  {jwks.Config{Issuer: issuer, MetadataURL: "https://as.example.com/{tenant}/meta"}, []string{`MetadataURL "https://as.example.com/{tenant}/meta" has a brace in it`}},
		"metadata beside a URL":                {jwks.Config{Issuer: issuer, URL: setURL, MetadataURL: rfcURL}, []string{"MetadataURL is set with URL, or without Issuer"}},
		"metadata without an issuer":           {jwks.Config{MetadataURL: rfcURL}, []string{"MetadataURL is set with URL, or without Issuer", "set Issuer to discover the keys"}},
		"metadata over http":                   {jwks.Config{Issuer: issuer, MetadataURL: "http://as.example.com/meta"}, []string{`MetadataURL "http://as.example.com/meta" must be https`}},
		"very long":                            {jwks.Config{URL: "https://as.example.com/" + strings.Repeat("a", 2048)}, []string{"2048"}},
		"a secret in the query":                {jwks.Config{URL: "http://as.example.com/keys?secret"}, []string{`URL "http://as.example.com/keys" must be https`}},
		"metadata for an issuer":               {jwks.Config{Issuer: "https://as.example.com/.well-known/openid-configuration"}, []string{"cut it off before /.well-known/openid-configuration"}},
		"an issuer with a line break":          {jwks.Config{Issuer: "https://as.example.com\n"}, []string{`Issuer "https://as.example.com\n" has white space around it: remove it`}},
		"numbers without a unit": {jwks.Config{Issuer: issuer, FetchTimeout: 5, MaxStale: 3600}, []string{
			"FetchTimeout is 5ns (a number without a unit counts nanoseconds: write 5*time.Second, for example): choose between 100ms and 1m0s, or leave it out for the default of 5s",
			"MaxStale is 3.6µs (",
		}},
		"issuer query":       {jwks.Config{Issuer: "https://as.example.com?x"}, []string{"query"}},
		"issuer empty query": {jwks.Config{Issuer: "https://as.example.com?"}, []string{"query"}},
		"issuer fragment":    {jwks.Config{Issuer: "https://as.example.com#x"}, []string{"fragment"}},
		"durations": {jwks.Config{Issuer: issuer, MinTTL: -1, MaxTTL: 25 * time.Hour, MaxStale: 25 * time.Hour, MissInterval: time.Millisecond, FetchTimeout: time.Hour},
			[]string{"MinTTL", "MaxTTL", "MaxStale", "MissInterval", "FetchTimeout"}},
		"sizes":      {jwks.Config{Issuer: issuer, MaxBytes: -1, MaxKeys: 1001}, []string{"MaxBytes", "MaxKeys"}},
		"more sizes": {jwks.Config{Issuer: issuer, MaxBytes: 17 << 20, MaxKeys: -1}, []string{"MaxBytes", "MaxKeys"}},
		"uses": {jwks.Config{Issuer: issuer, AllowUses: []string{"", "sig", "enc", "ENC", "jwt-svid"}}, []string{
			"AllowUses has an empty string: remove it", `AllowUses has "sig": remove it`, `AllowUses has "enc": remove it`, `AllowUses has "ENC": remove it`,
		}},
		"TTL order":    {jwks.Config{Issuer: issuer, TTL: 2 * time.Hour}, []string{"TTL", "MaxTTL"}},
		"TTL below":    {jwks.Config{Issuer: issuer, TTL: time.Second}, []string{"MinTTL"}},
		"all together": {jwks.Config{URL: "ftp://b.example", MaxKeys: -1, MaxBytes: -1}, []string{"URL", "MaxKeys", "MaxBytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := jwks.New(tc.config)
			require.Nil(t, c)
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, s := range tc.says {
				require.ErrorContains(t, err, s)
			}
			require.NotContains(t, err.Error(), "secret")
		})
	}
	for _, config := range []jwks.Config{
		{Issuer: issuer}, {URL: setURL}, {Issuer: issuer, URL: "https://elsewhere.example/keys?v=1"},
		{Issuer: "http://localhost:8080"}, {Issuer: "http://127.0.0.1"}, {URL: "http://[::1]:1/keys"}, {URL: "http://127.9.9.9/keys"},
		{URL: "http://as.example.com/keys", InsecureAllowHTTP: true}, {Issuer: "http://as.example.com", InsecureAllowHTTP: true},
		{Issuer: issuer, MetadataURL: "http://localhost/meta"}, {Issuer: issuer, MetadataURL: "http://as.example.com/meta", InsecureAllowHTTP: true},
		{URL: setURL, MinTTL: 24 * time.Hour, TTL: 24 * time.Hour, MaxTTL: 24 * time.Hour, MaxStale: 24 * time.Hour,
			MissInterval: 10 * time.Minute, FetchTimeout: time.Minute, MaxBytes: 16 << 20, MaxKeys: 1000},
		{URL: setURL, MinTTL: time.Second / 10, TTL: time.Second / 10, MaxTTL: time.Second / 10, MaxStale: time.Millisecond,
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
		require.Zero(t, c.Moment())
		for _, tried := range []bool{true, false} {
			_, err = c.KeysAfterMiss(t.Context(), jwks.Miss{Algorithm: "ES256", Tried: tried})
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		}
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

// http is for this machine, whatever it is called here.
func TestHTTPOnLoopback(t *testing.T) {
	for host, loopback := range kit.Hosts() {
		for _, c := range []jwks.Config{{Issuer: "http://" + host}, {URL: "http://" + host + "/keys"}} {
			_, err := jwks.New(c)
			require.Equal(t, loopback, err == nil, "%+v: %v", c, err)
		}
	}
}
