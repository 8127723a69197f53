package jwks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// maxSkew is how far in the future an import may have been fetched: the clocks
// of two machines of a fleet differ.
const maxSkew = time.Minute

// export is what [Cache.Export] writes. The keys are public, and a query of the URL, which
// may be a secret, is there as a hash: two sets that differ by it are two sets.
type export struct {
	Issuer    string             `json:"issuer"`
	URL       string             `json:"url"`
	Query     string             `json:"query_sha256,omitempty"`
	FetchedAt time.Time          `json:"fetched_at"`
	JWKS      stdjson.RawMessage `json:"jwks"`
}

// Export returns the set that is held, with its age, Issuer and URL (and a hash of its query), for
// [Cache.Import] by a process that starts while the server is down. The error is
// [bearergate.ErrUnavailable] if there are no usable keys.
func (c *Cache) Export() ([]byte, error) {
	v, err := c.current()
	if err != nil {
		return nil, err
	}
	now := c.clock()
	if !v.usable(now) {
		return nil, v.unavailable(v.pause(now))
	}
	// The age counts, not the moment: our wall clock may have been set since.
	fetchedAt := now.Wall.Add(-now.Since(v.confirmed)).UTC()
	out, err := strictjson.Marshal(export{c.issuer, fetch.Bare(c.url), queryHash(c.url), fetchedAt, jose.StrictSet(v.body)})
	if err != nil {
		return nil, misconfigured(err)
	}
	return out, nil
}

// Import takes over what a Cache of the same Issuer and URL has exported,
// unless the keys held are younger. The keys keep their age: they are stale and
// expire as if they had been fetched here. Import makes no request.
//
// Whoever can change data can make valid tokens: keep it as safe as the
// configuration.
//
// Data that is damaged or of another Issuer or URL is
// [bearergate.ErrMisconfigured]; keys that are too old to be used are
// [bearergate.ErrUnavailable].
func (c *Cache) Import(data []byte) error {
	if _, err := c.current(); err != nil {
		return err
	}
	var in export
	if err := strictjson.Unmarshal(data, &in); err != nil {
		return misconfigured(errors.New("jwks: the import is not what Export writes"))
	}
	if in.Issuer != c.issuer || in.URL != fetch.Bare(c.url) || in.Query != queryHash(c.url) {
		return misconfigured(errors.New("jwks: the import belongs to another Issuer or URL"))
	}
	set, _, err := parseSet(in.JWKS, c.maxKeys, c.uses)
	if err != nil {
		return misconfigured(err)
	}
	if err := c.take(in, set); err != nil {
		return err
	}
	c.tell(context.Background(), c.view.Load().state(c.clock()))
	return nil
}

// queryHash is "" for a URL without a query.
func queryHash(url string) string {
	query := strings.TrimPrefix(url, fetch.Bare(url))
	if query == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(query))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (c *Cache) take(in export, set *keySet) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	age := now.Wall.Sub(in.FetchedAt)
	if age < -maxSkew {
		return misconfigured(errors.New("jwks: the import is from the future: check the clocks"))
	}
	v := *c.view.Load()
	confirmed := now.Add(-max(0, age))
	// Only a set that is certainly younger replaces the one that is held. The
	// monotonic clock decides: no setting of a clock moves it.
	if v.set != nil && now.Mono.Sub(v.confirmed.Mono) <= max(0, age) {
		return nil
	}
	v.set, v.body, v.etag, v.url = set, bytes.Clone(in.JWKS), "", c.url
	v.confirmed, v.cached, v.ttl = confirmed, 0, c.policy.lifetime(0, false)
	if !v.usable(now) {
		return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable,
			Cause: errors.New("jwks: the import is older than TTL and MaxStale allow")}
	}
	c.view.Store(&v)
	return nil
}
