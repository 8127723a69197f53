package jwks

import (
	"cmp"
	"context"

	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/mistake"
)

// File returns a [Cache] whose set is in a file, for keys that a platform
// mounts or a sidecar writes. The file is read when keys are first asked for, and
// again whenever a Cache would fetch: when the set is older than TTL (default
// DefaultMinTTL here), and when a token names a key that is not in it. While the
// file is missing or broken, the last good keys are used for MaxStale.
//
// Replace the file atomically, by renaming. Whoever can write to it can make
// valid tokens. The fields URL, HTTPClient and InsecureAllowHTTP of the Config
// must be zero. Issuer is optional; it says to whom the keys belong.
func File(path string, c Config) (*Cache, error) {
	wrong := mistake.In("jwks")
	if c.TTL == 0 {
		c.TTL = cmp.Or(c.MinTTL, DefaultMinTTL)
	}
	limits(&wrong, &c)
	if path == "" {
		wrong.Addf("File: the path is empty: pass that of a JWK Set")
	}
	if c.URL != "" || c.HTTPClient != nil || c.InsecureAllowHTTP {
		wrong.Addf("leave URL, HTTPClient and InsecureAllowHTTP unset: a file needs none of them")
	}
	if c.Issuer != "" {
		if err := fetch.CheckIssuer(c.Issuer, fetch.Loopback(c.Issuer)); err != nil {
			wrong.Addf("Issuer%s %w", fetch.Shown(c.Issuer), err)
		}
	}
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	cache := newCache(c)
	cache.url = path
	cache.load = func(context.Context, *view) result {
		out := result{url: path}
		body, err := fetch.ReadFile(path, c.MaxBytes)
		if err != nil {
			out.err = err
		} else {
			out.read(body, c.MaxKeys, cache.uses)
		}
		return out
	}
	return cache, nil
}
