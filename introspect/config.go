package introspect

import (
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/jwks"
)

// complete puts the defaults into c, and names everything that is wrong with it.
func complete(c *Config, wrong *mistake.List) {
	issuerOK := checkServer(c, wrong)
	checkNames(c, wrong)
	checkSigned(c, issuerOK, wrong)
	checkCache(c, wrong)
	checkStore(c, wrong)
	checkNumbers(c, wrong)
	if c.Now == nil {
		c.Now = time.Now
	}
}

// checkServer reports whether nothing was found to be wrong with Issuer.
func checkServer(c *Config, wrong *mistake.List) (issuerOK bool) {
	issuerOK = checkIssuer(c, wrong)
	if c.Endpoint != "" {
		if err := fetch.CheckNamed(c.Endpoint, c.InsecureAllowHTTP || fetch.Loopback(c.Endpoint)); err != nil {
			wrong.Addf("Endpoint%s %w", fetch.Shown(c.Endpoint), err)
		}
	}
	if c.Ask == nil {
		checkAuth(c, wrong)
	}
	checkAsk(c, wrong)
	where, of := c.Endpoint, "Endpoint"
	if where == "" {
		where, of = c.Issuer, "Issuer"
	}
	if c.Auth != nil && c.Auth.none() && c.InsecureAllowHTTP && strings.HasPrefix(strings.ToLower(where), "http:") && !fetch.Loopback(where) {
		wrong.Addf("NoAuth is for https and for loopback, and %s%s is neither: whoever is between would be the endpoint; use https, or an Auth", of, fetch.Shown(where))
	}
	if strings.ContainsFunc(c.TokenTypeHint, func(r rune) bool { return r <= ' ' || r > '~' }) {
		wrong.Addf("TokenTypeHint is %s: use printable ASCII without spaces, access_token for example, or leave it out", quote.One(c.TokenTypeHint))
	}
	return issuerOK
}

func checkIssuer(c *Config, wrong *mistake.List) bool {
	switch {
	case c.Issuer == "":
		wrong.Addf("Issuer is empty: set it to the issuer identifier of your authorization server")
	case fetch.CheckPasted(c.Issuer) != nil:
		wrong.Addf("Issuer%s %w", fetch.Shown(c.Issuer), fetch.CheckPasted(c.Issuer))
	case c.Endpoint == "" && c.Ask == nil:
		err := fetch.CheckIssuer(c.Issuer, c.InsecureAllowHTTP || fetch.Loopback(c.Issuer))
		if err == nil {
			return true
		}
		wrong.Addf("Issuer%s %w: it is needed to discover the endpoint; or set Endpoint", fetch.Shown(c.Issuer), err)
	default:
		return true
	}
	return false
}

func checkAuth(c *Config, wrong *mistake.List) {
	switch {
	case c.Auth == nil:
		wrong.Addf("Auth is nil: the endpoint answers only to clients that it knows (RFC 7662 section 2.1); use BasicAuth, for example, or NoAuth if yours wants no credentials; without an endpoint, set Ask")
	case guard.IsNil(c.Auth):
		wrong.Addf("Auth is a nil %T: use BasicAuth, for example", c.Auth)
		c.Auth = nil
	default:
		var problem error
		err := guard.Call(func() error { problem = c.Auth.problem(); return nil }, nil)
		if err != nil {
			wrong.Addf("Auth cannot be used: a method of it %w: use BasicAuth, for example, and leave no embedded Auth nil", err)
			c.Auth = nil
		} else if problem != nil {
			wrong.Addf("Auth: %s: %w", c.Auth, problem)
		}
	}
	if c.Auth != nil && c.ClientID == "" {
		c.ClientID = c.Auth.client()
	}
}

// checkAsk: what is about an endpoint is void where there is none.
func checkAsk(c *Config, wrong *mistake.List) {
	if c.Ask == nil {
		if c.AskName != "" {
			wrong.Addf("AskName is set without Ask: set the function, or leave it out")
		}
		return
	}
	if c.AskName == "" {
		wrong.Addf("AskName is empty: say whom Ask asks, and as whom; it keeps remembered answers apart")
	}
	var void []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"Endpoint", c.Endpoint != ""}, {"Auth", c.Auth != nil}, {"HTTPClient", c.HTTPClient != nil}, {"InsecureAllowHTTP", c.InsecureAllowHTTP},
		{"TokenTypeHint", c.TokenTypeHint != ""}, {"AllowInactiveErrors", len(c.AllowInactiveErrors) > 0}, {"Signed.Answers", c.Signed.Answers != Unsigned},
	} {
		if field.set {
			void = append(void, field.name)
		}
	}
	if void != nil {
		wrong.Addf("Ask is set together with %s: choose to ask an endpoint or a function, and leave out what belongs to the other", strings.Join(void, ", "))
	}
}

func checkNames(c *Config, wrong *mistake.List) {
	accept.Marks(wrong, c.AllowMarks)
	if len(c.Audiences) == 0 && !c.InsecureAnyAudience {
		wrong.Addf("Audiences is empty: name the audience that your authorization server puts into aud for this API")
	}
	if c.InsecureAnyAudience && (len(c.Audiences) > 0 || c.AllowMissingAudience) {
		wrong.Addf("InsecureAnyAudience is set together with Audiences or AllowMissingAudience, which it would make void: choose one")
	}
	for _, list := range []struct {
		field string
		names []string
	}{{"Audiences", c.Audiences}, {"Confirmations", c.Confirmations}, {"Signed.Audiences", c.Signed.Audiences}} {
		wrong.Literals(list.field, list.names)
	}
	checkTokenTypes(c, wrong)
	checkInactiveErrors(c, wrong)
}

func checkSigned(c *Config, issuerOK bool, wrong *mistake.List) {
	if c.Signed.Answers == Unsigned {
		// Not KeyHooks: whoever wires telemetry gives hooks to everything.
		if c.Signed.Keys != nil || len(c.Signed.Algorithms) > 0 || len(c.Signed.Audiences) > 0 {
			wrong.Addf("Signed has fields set, and no answer will be signed: set Signed.Answers, or leave them out")
		}
		return
	}
	if c.Signed.Answers != SignedIfOffered && c.Signed.Answers != SignedRequired {
		wrong.Addf("Signed.Answers %d is unknown: use Unsigned, SignedIfOffered or SignedRequired", c.Signed.Answers)
		return
	}
	discover := jwks.Config{HTTPClient: c.HTTPClient, Hooks: c.Signed.KeyHooks, InsecureAllowHTTP: c.InsecureAllowHTTP}
	if issuerOK {
		discover.Issuer = c.Issuer
	}
	c.Signed.Keys = accept.Source(wrong, "Signed.Keys", c.Signed.Keys, c.Issuer, discover)
	c.Signed.Algorithms = accept.Algorithms(wrong, "Signed.Algorithms", c.Signed.Algorithms)
	if len(c.Signed.Audiences) == 0 {
		c.Signed.Audiences = []string{c.ClientID}
		if c.ClientID == "" {
			wrong.Addf("Signed.Audiences is empty, and there is no client ID to take in its place: name whom signed answers are for")
		}
	}
}

func checkCache(c *Config, wrong *mistake.List) {
	var void []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"PositiveTTL", c.PositiveTTL != 0}, {"NegativeTTL", c.NegativeTTL != 0}, {"MaxStale", c.MaxStale != 0},
		{"Cache", c.Cache != (CacheConfig{})}, {"Store", c.Store.Answers != nil}, {"PurgeLog", c.PurgeLog != nil},
	} {
		if field.set {
			void = append(void, field.name)
		}
	}
	if c.DisableCache && void != nil {
		wrong.Addf("DisableCache is set together with %s: leave out the one or the other", strings.Join(void, ", "))
	}
	c.Leeway = accept.Leeway(wrong, c.Leeway, c.NoLeeway, DefaultLeeway, MaxLeeway)
}

func checkStore(c *Config, wrong *mistake.List) {
	n := len(c.Store.Key.Reveal())
	switch {
	case c.PurgeLog == nil:
	case guard.IsNil(c.PurgeLog):
		wrong.Addf("PurgeLog is a nil %T: leave the field out for none", c.PurgeLog)
	case c.Store.Answers == nil && n < minStoreKeyBytes:
		wrong.Addf("Store.Key has %d bytes: give it %d or more, random ones and the same in all processes; by it they know a token in PurgeLog", n, minStoreKeyBytes)
	}
	switch {
	case c.Store.Answers == nil && (n > 0 && c.PurgeLog == nil || c.Store.Timeout != 0):
		wrong.Addf("Store.Key or Store.Timeout is set without Store.Answers: set the store, or leave them out")
	case c.Store.Answers == nil:
		return
	case guard.IsNil(c.Store.Answers):
		wrong.Addf("Store.Answers is a nil %T: leave the field out for none", c.Store.Answers)
	case n < minStoreKeyBytes:
		wrong.Addf("Store.Key has %d bytes: give it %d or more, random ones; without, whoever can reach the store could have any token accepted", n, minStoreKeyBytes)
	case c.ClientID == "" && c.Ask == nil:
		wrong.Addf("ClientID is empty: set it to the ID that the authorization server knows this API by; with a store, it keeps our answers apart from those of other clients")
	}
}

func checkNumbers(c *Config, wrong *mistake.List) {
	mistake.Between(wrong, "Timeout", &c.Timeout, DefaultTimeout, 0, MaxTimeout)
	mistake.Between(wrong, "PositiveTTL", &c.PositiveTTL, DefaultPositiveTTL, 0, MaxTTL)
	mistake.Between(wrong, "NegativeTTL", &c.NegativeTTL, DefaultNegativeTTL, 0, MaxTTL)
	mistake.Between(wrong, "MaxStale", &c.MaxStale, 0, 0, MaxStaleLimit)
	longest := c.Timeout / 3
	if c.Timeout < time.Millisecond { // a mistake already
		longest = DefaultTimeout / 3
	}
	if c.Store.Timeout > longest {
		wrong.Addf("Store.Timeout is %v, and more than a third of Timeout: choose at most %v, or raise Timeout from %v", c.Store.Timeout, longest, c.Timeout)
	} else {
		mistake.Between(wrong, "Store.Timeout", &c.Store.Timeout, min(DefaultStoreTimeout, longest), 0, MaxTimeout/3)
	}
	switch note := mistake.BareNumber(c.MaxTokenAge); {
	case c.MaxTokenAge < 0:
		wrong.Addf("MaxTokenAge %v is negative: leave it out to accept any age", c.MaxTokenAge)
	case note != "":
		wrong.Addf("MaxTokenAge is %v%s: set the longest life of a token, or leave it out to accept any", c.MaxTokenAge, note)
	}
	mistake.Between(wrong, "MaxTokenBytes", &c.MaxTokenBytes, DefaultMaxTokenBytes, 1, MaxTokenBytesLimit)
	mistake.Between(wrong, "Calls.Max", &c.Calls.Max, DefaultMaxCalls, 1, 1<<16)
	mistake.Between(wrong, "Calls.Waiting", &c.Calls.Waiting, DefaultMaxWaiting, 1, 1<<16)
	mistake.Between(wrong, "Calls.MaxResponseBytes", &c.Calls.MaxResponseBytes, DefaultMaxResponseBytes, 1, 16<<20)
	mistake.Between(wrong, "Cache.Entries", &c.Cache.Entries, DefaultCacheEntries, 1, 1<<24)
	mistake.Between(wrong, "Cache.Bytes", &c.Cache.Bytes, DefaultCacheBytes, 1, 1<<40)
}
