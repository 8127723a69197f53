package introspect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
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
		var problem error
		err := guard.Call(func() error { problem = c.Auth.problem(); return nil }, nil)
		if err != nil {
			m.Addf("Auth cannot be used: a method of it %w: use BasicAuth, for example, and leave no embedded Auth nil", err)
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
	if slices.Contains(c.Audiences, "") || slices.Contains(c.Confirmations, "") || slices.Contains(c.AnswerAudiences, "") {
		m.Addf("Audiences, Confirmations or AnswerAudiences contains an empty string: remove it")
	}
}

func (m *mistakes) signing(c *Config) {
	if c.Signing == Unsigned {
		if c.Keys != nil || len(c.Algorithms) > 0 || len(c.AnswerAudiences) > 0 {
			m.Addf("Keys, Algorithms or AnswerAudiences is set, and no answer will be signed: set Signing")
		}
		return
	}
	if c.Signing != SignedIfOffered && c.Signing != SignedRequired {
		m.Addf("Signing %d is unknown: use Unsigned, SignedIfOffered or SignedRequired", c.Signing)
		c.Signing = Unsigned
		return
	}
	if c.Keys != nil && guard.IsNil(c.Keys) {
		m.Addf("Keys is a nil %T: leave the field out to discover the keys from Issuer", c.Keys)
	} else if owner, err := ownerOf(c.Keys); err != nil {
		m.Addf("Keys cannot be used: %w: give a jwks.Cache, for example, or leave the field out", err)
	} else if owner != "" && owner != c.Issuer {
		m.Addf("Keys belong to the issuer %q, not to Issuer %q: keys must be the issuer's own", owner, c.Issuer)
	}
	c.Algorithms = slices.Clone(c.Algorithms)
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(jose.Algorithms(), alg) {
			m.Addf("Algorithms: %q is not accepted: use asymmetric signatures, of %s", alg, strings.Join(jose.Algorithms(), ", "))
		}
	}
	// RFC 9864: two names of one algorithm.
	if slices.Contains(c.Algorithms, "EdDSA") || slices.Contains(c.Algorithms, "Ed25519") {
		c.Algorithms = append(c.Algorithms, "EdDSA", "Ed25519")
	}
	if len(c.AnswerAudiences) == 0 {
		c.AnswerAudiences = []string{c.ClientID}
		if c.ClientID == "" {
			m.Addf("AnswerAudiences is empty, and there is no client ID to take in its place: name whom signed answers are for")
		}
	}
}

func (m *mistakes) cache(c *Config) {
	if c.DisableCache && (c.PositiveTTL != 0 || c.NegativeTTL != 0 || c.HalfLife || c.MaxStale != 0 || c.CacheEntries != 0 || c.CacheBytes != 0 || c.Store != nil) {
		m.Addf("DisableCache is set together with a field of the cache or Store: choose one")
	}
	switch {
	case c.NoLeeway && c.Leeway != 0:
		m.Addf("Leeway and NoLeeway are both set: choose one")
	case c.Leeway == 0 && !c.NoLeeway:
		c.Leeway = DefaultLeeway
	}
}

func (m *mistakes) store(c *Config) {
	n := len(c.StoreKey.Reveal())
	switch {
	case c.Store == nil && n > 0:
		m.Addf("StoreKey is set without Store")
	case c.Store == nil:
		return
	case guard.IsNil(c.Store):
		m.Addf("Store is a nil %T: leave the field out for none", c.Store)
	case n < minStoreKeyBytes:
		m.Addf("StoreKey has %d bytes: give it %d or more, random ones; without, whoever can reach Store could have any token accepted", n, minStoreKeyBytes)
	case c.ClientID == "":
		m.Addf("ClientID is empty: with Store, it keeps our answers apart from those of other clients")
	}
}

func (m *mistakes) numbers(c *Config) {
	duration(m, "Leeway", &c.Leeway, 0, MaxLeeway)
	duration(m, "Timeout", &c.Timeout, DefaultTimeout, MaxTimeout)
	duration(m, "PositiveTTL", &c.PositiveTTL, DefaultPositiveTTL, MaxTTL)
	duration(m, "NegativeTTL", &c.NegativeTTL, DefaultNegativeTTL, MaxTTL)
	duration(m, "MaxStale", &c.MaxStale, 0, MaxStaleLimit)
	duration(m, "StoreTimeout", &c.StoreTimeout, min(DefaultStoreTimeout, c.Timeout/3), c.Timeout/3)
	number(m, "MaxTokenBytes", &c.MaxTokenBytes, DefaultMaxTokenBytes, MaxTokenBytesLimit)
	number(m, "MaxCalls", &c.MaxCalls, DefaultMaxCalls, 1<<16)
	number(m, "MaxResponseBytes", &c.MaxResponseBytes, DefaultMaxResponseBytes, 16<<20)
	number(m, "CacheEntries", &c.CacheEntries, DefaultCacheEntries, 1<<24)
	number(m, "CacheBytes", &c.CacheBytes, DefaultCacheBytes, 1<<40)
}

func duration(m *mistakes, name string, field *time.Duration, byDefault, most time.Duration) {
	if *field == 0 {
		*field = byDefault
	} else if *field < 0 || *field > most {
		m.Addf("%s is %v: choose between 0 and %v", name, *field, most)
	}
}

func number[N int | int64](m *mistakes, name string, field *N, byDefault, most N) {
	if *field == 0 {
		*field = byDefault
	} else if *field < 0 || *field > most {
		m.Addf("%s is %d: choose between 1 and %d", name, *field, most)
	}
}

// guarded is to be deferred: foreign code that New calls must not end the program.
func guarded(err *error, of any) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("a method of %T panics with a %T", of, p)
	}
}

// ownerOf returns the issuer that the keys belong to, "" if they do not say.
func ownerOf(s jwks.Source) (issuer string, err error) {
	defer guarded(&err, s)
	if s, ok := s.(interface{ Issuer() string }); ok {
		issuer = s.Issuer()
	}
	return issuer, nil
}
