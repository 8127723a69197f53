package introspect

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwks"
)

// mistakes are those in a configuration.
type mistakes struct{ mistake.List }

func newMistakes() mistakes { return mistakes{mistake.In("introspect")} }

func (m *mistakes) err() error {
	if err := m.Err(); err != nil {
		return misconfigured(err)
	}
	return nil
}

// check puts the defaults into c, and names everything that is wrong with it.
func (m *mistakes) check(c *Config) {
	m.server(c)
	m.audience(c)
	m.signing(c)
	m.cache(c)
	m.store(c)
	m.numbers(c)
	if c.Now == nil {
		c.Now = time.Now
	}
}

func (m *mistakes) server(c *Config) {
	switch {
	case c.Issuer == "":
		m.Addf("Issuer is empty: set it to the issuer identifier of your authorization server")
	case c.Endpoint == "":
		if err := fetch.CheckIssuer(c.Issuer, c.InsecureAllowHTTP || fetch.Loopback(c.Issuer)); err != nil {
			m.Addf("Issuer %w: it is needed to discover the endpoint; or set Endpoint", err)
		}
	}
	if c.Endpoint != "" {
		if err := fetch.CheckURL(c.Endpoint, c.InsecureAllowHTTP || fetch.Loopback(c.Endpoint)); err != nil {
			m.Addf("Endpoint %w", err)
		}
	}
	switch {
	case c.Auth == nil:
		m.Addf("Auth is nil: the endpoint answers only to clients that it knows (RFC 7662 section 2.1); use BasicAuth, for example")
	case guard.IsNil(c.Auth):
		m.Addf("Auth is a nil %T", c.Auth)
		c.Auth = nil
	default:
		problem, err := problemOf(c.Auth)
		if err != nil {
			m.Addf("Auth cannot be used: %w: use BasicAuth, for example, and leave no embedded Auth nil", err)
			c.Auth = nil
		} else if problem != nil {
			m.Addf("Auth: %s: %w", c.Auth, problem)
		}
	}
	if c.Auth != nil && c.ClientID == "" {
		c.ClientID = c.Auth.client()
	}
	if strings.ContainsFunc(c.TokenTypeHint, func(r rune) bool { return r <= ' ' || r > '~' }) {
		m.Addf("TokenTypeHint must be plain ASCII")
	}
}

func (m *mistakes) audience(c *Config) {
	if len(c.Audiences) == 0 && !c.InsecureAnyAudience {
		m.Addf("Audiences is empty: name the audience that your authorization server puts into aud for this API")
	}
	if c.InsecureAnyAudience && (len(c.Audiences) > 0 || c.AllowMissingAudience) {
		m.Addf("InsecureAnyAudience is set together with Audiences or AllowMissingAudience, which it would make void: choose one")
	}
	if slices.Contains(c.Audiences, "") || slices.Contains(c.Confirmations, "") || slices.Contains(c.Signed.Audiences, "") {
		m.Addf("Audiences, Confirmations or Signed.Audiences contains an empty string: remove it")
	}
}

func (m *mistakes) signing(c *Config) {
	if c.Signed.Answers == Unsigned {
		unused := c.Signed
		unused.KeyHooks = jwks.Hooks{} // harmless: whoever wires telemetry gives hooks to everything
		if !reflect.ValueOf(unused).IsZero() {
			m.Addf("Signed has fields set, and no answer will be signed: set Signed.Answers")
		}
		return
	}
	if c.Signed.Answers != SignedIfOffered && c.Signed.Answers != SignedRequired {
		m.Addf("Signed.Answers %d is unknown: use Unsigned, SignedIfOffered or SignedRequired", c.Signed.Answers)
		c.Signed.Answers = Unsigned
		return
	}
	c.Signed.Keys = accept.Source(&m.List, "Signed.Keys", c.Signed.Keys, c.Issuer, jwks.Config{Issuer: c.Issuer, HTTPClient: c.HTTPClient, Hooks: c.Signed.KeyHooks, InsecureAllowHTTP: c.InsecureAllowHTTP})
	c.Signed.Algorithms = accept.Algorithms(&m.List, "Signed.Algorithms", c.Signed.Algorithms)
	if len(c.Signed.Audiences) == 0 {
		c.Signed.Audiences = []string{c.ClientID}
		if c.ClientID == "" {
			m.Addf("Signed.Audiences is empty, and there is no client ID to take in its place: name whom signed answers are for")
		}
	}
}

func (m *mistakes) cache(c *Config) {
	if c.DisableCache && (c.PositiveTTL != 0 || c.NegativeTTL != 0 || c.MaxStale != 0 || c.Cache != (CacheConfig{}) || c.Store.Answers != nil) {
		m.Addf("DisableCache is set together with PositiveTTL, NegativeTTL, MaxStale, Cache or Store: choose one")
	}
	c.Leeway = accept.Leeway(&m.List, c.Leeway, c.NoLeeway, DefaultLeeway, MaxLeeway)
}

func (m *mistakes) store(c *Config) {
	n := len(c.Store.Key.Reveal())
	switch {
	case c.Store.Answers == nil && (n > 0 || c.Store.Timeout != 0):
		m.Addf("Store.Key or Store.Timeout is set without Store.Answers")
	case c.Store.Answers == nil:
		return
	case guard.IsNil(c.Store.Answers):
		m.Addf("Store.Answers is a nil %T: leave the field out for none", c.Store.Answers)
	case n < minStoreKeyBytes:
		m.Addf("Store.Key has %d bytes: give it %d or more, random ones; without, whoever can reach the store could have any token accepted", n, minStoreKeyBytes)
	case c.ClientID == "":
		m.Addf("ClientID is empty: with a store, it keeps our answers apart from those of other clients")
	}
}

func (m *mistakes) numbers(c *Config) {
	mistake.Between(&m.List, "Timeout", &c.Timeout, DefaultTimeout, 0, MaxTimeout)
	mistake.Between(&m.List, "PositiveTTL", &c.PositiveTTL, DefaultPositiveTTL, 0, MaxTTL)
	mistake.Between(&m.List, "NegativeTTL", &c.NegativeTTL, DefaultNegativeTTL, 0, MaxTTL)
	mistake.Between(&m.List, "MaxStale", &c.MaxStale, 0, 0, MaxStaleLimit)
	mistake.Between(&m.List, "Store.Timeout", &c.Store.Timeout, min(DefaultStoreTimeout, c.Timeout/3), 0, c.Timeout/3)
	mistake.Between(&m.List, "MaxTokenBytes", &c.MaxTokenBytes, DefaultMaxTokenBytes, 1, MaxTokenBytesLimit)
	mistake.Between(&m.List, "Calls.Max", &c.Calls.Max, DefaultMaxCalls, 1, 1<<16)
	mistake.Between(&m.List, "Calls.MaxResponseBytes", &c.Calls.MaxResponseBytes, DefaultMaxResponseBytes, 1, 16<<20)
	mistake.Between(&m.List, "Cache.Entries", &c.Cache.Entries, DefaultCacheEntries, 1, 1<<24)
	mistake.Between(&m.List, "Cache.Bytes", &c.Cache.Bytes, DefaultCacheBytes, 1, 1<<40)
}

// guarded is to be deferred: foreign code that New calls must not end the program.
func guarded(err *error, of any) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("a method of %T panics with a %T", of, p)
	}
}

func problemOf(a Auth) (problem, err error) {
	defer guarded(&err, a)
	return a.problem(), nil
}
