package authtest

import (
	"maps"
	"slices"
)

// Option changes what [New] and [Start] make. Of two that say the same thing,
// the later counts.
type Option func(*config)

type config struct {
	issuer       string
	addr         string // "": in memory
	audience     []string
	algorithms   []string
	hosts        []string
	cacheControl string
	metadata     map[string]any
	clients      map[string]string // the secret of each client_id
	nonce        string            // that a proof at the token endpoint must have; "": none
	tokens       func(*Server, Claims) string
}

// WithIssuer sets the issuer identifier: an http or https URL, which may have
// a path ("https://as.example.test/tenant1", whose metadata stand where RFC 8414
// §3.1 and OpenID Connect Discovery §4 put them; the other paths do not move).
// Only [Server.Client] reaches it, on TCP too.
func WithIssuer(issuer string) Option { return func(c *config) { c.issuer = issuer } }

// WithAudience sets the aud of tokens that name none; the default is
// [DefaultAudience].
func WithAudience(audience ...string) Option {
	audience = slices.Clone(audience)
	return func(c *config) { c.audience = audience }
}

// WithAlgorithms publishes a key for each of these JWS algorithms from the
// start. Tokens are signed with the first; the default is [DefaultAlgorithm].
// Keys for RS256 to PS512 take a fraction of a second each.
func WithAlgorithms(algorithms ...string) Option {
	algorithms = slices.Clone(algorithms)
	return func(c *config) { c.algorithms = algorithms }
}

// WithHosts lets [Server.Client] reach the server under further hosts, with or
// without a port: as a jwks_uri elsewhere (see [WithMetadata]) needs it, or to
// see that a redirect to another origin is not followed.
func WithHosts(hosts ...string) Option {
	hosts = slices.Clone(hosts)
	return func(c *config) { c.hosts = hosts }
}

// WithCacheControl sets the Cache-Control of the key set, "max-age=60" for
// example. By default there is none.
func WithCacheControl(value string) Option { return func(c *config) { c.cacheControl = value } }

// WithClient registers a client that may use the token and the introspection
// endpoint, authenticating by client_secret_basic or client_secret_post (RFC
// 6749 §2.3.1); any other one is then answered 401. It may be given several
// times. By default, any client_id and any secret will do.
func WithClient(id, secret string) Option {
	return func(c *config) {
		if c.clients == nil {
			c.clients = map[string]string{}
		}
		c.clients[id] = secret
	}
}

// WithDPoPNonce has the token endpoint demand this nonce of every DPoP proof (RFC
// 9449 §8): one without it, or with another, is answered 400 use_dpop_nonce, with the
// nonce in DPoP-Nonce. A request without a proof gets a Bearer token as before. The
// nonce is of printable ASCII without space, '"' and '\'. By default, none is demanded.
func WithDPoPNonce(nonce string) Option { return func(c *config) { c.nonce = nonce } }

// WithTokens has the token endpoint give what token returns for the claims that were asked
// for. The default is [(*Server).Token], and [(*Server).Opaque] is one too:
//
//	as := authtest.New(t, authtest.WithTokens((*authtest.Server).Opaque))
//
// One of your own writes tokens as your authorization server writes them: it adds claims
// in Raw, or changes what [Server.Claims] returns and signs that. It must leave exp as it
// is, because the endpoint has answered with it, and it must be safe for concurrent use.
func WithTokens(token func(*Server, Claims) string) Option {
	return func(c *config) { c.tokens = token }
}

// WithMetadata adds members to the metadata document, or replaces them; a nil
// value removes one.
func WithMetadata(members map[string]any) Option {
	members = maps.Clone(members)
	return func(c *config) { c.metadata = members }
}

// WithAddr serves on a TCP address, "127.0.0.1:0" for example.
func WithAddr(addr string) Option { return func(c *config) { c.addr = addr } }

// WithInMemory serves without a port, for [Server.Client] only.
func WithInMemory() Option { return func(c *config) { c.addr = "" } }
