package accept_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/scope"
)

// unsigned is a token that nobody has signed.
func unsigned(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + ".AAAA"
}

const (
	plainHeader = `{"alg":"ES256","kid":"k"}`
	plainClaims = `{"iss":"https://as.example.test","aud":"api","scope":"read","client_id":"c"}`
	graphID     = "00000003-0000-0000-c000-000000000000"
)

// What each advice says, in so many words that no other says.
const (
	saysScheme    = "begins with the scheme"
	saysJSON      = "This is JSON"
	saysQuotes    = "quotation marks"
	saysSpace     = "white space"
	saysPercent   = "percent-encoded"
	saysAuth0     = "Auth0 issues such tokens"
	saysEncrypted = "nothing is decrypted here"
	saysZip       = "encrypted or compressed"
	saysBase64    = "plain base64"
	saysCutOff    = "The token has no signature: it was cut off"
	saysPayload   = "The payload is not one strict"
	saysStrict    = "not in the strict form"
	saysHeader    = "The first part is not the header"
	saysOpaque    = "This is no JWT but an opaque token"

	saysGraph     = "Microsoft Graph"
	saysOktaOrg   = "Okta's org server"
	saysElsewhere = "from another environment"
	saysWritten   = "Issuer and the iss of the token"
	saysVersion   = "another version of Microsoft Entra"
	saysTenant    = "another tenant of Microsoft Entra"
	saysRealm     = "another realm or tenant"
	saysHost      = "The path is that of Issuer"
	saysItsKeys   = "although it is signed by its keys"

	saysForged       = "The key of that ID has not signed"
	saysUnnamed      = "does not say which key"
	saysUnknown      = "No published key can be meant"
	saysUnsigned     = "have the client send all of it"
	saysInactive     = "does not know the token as active"
	saysNoAudience   = "names no API that it is for"
	saysAnother      = "The token is for another API"
	saysDiffer       = "differ only by a slash"
	saysClient       = "for the client itself"
	saysAddClaim     = "Have the server add the claim"
	saysProfile      = "The Profile RFC9068 demands"
	saysIDToken      = "This is an ID token"
	saysLongAgo      = "expired long ago"
	saysJustNow      = "has just expired"
	saysFuture       = "from the future"
	saysBehind       = "clock of this server is behind"
	saysNoScope      = "The token has no scope: have the client"
	saysMayBeMeant   = "what may be meant is in "
	saysNotOurs      = "not that of an access token"
	saysNotByProfile = "does not follow RFC 9068"
)

// Every advice, and what leads to it.
func TestAdvice(t *testing.T) {
	now := time.Unix(10_000, 0)
	rule := func(change func(*accept.Rules)) func(*accept.Case) {
		return func(c *accept.Case) {
			r := *c.Rules
			change(&r)
			c.Rules = &r
		}
	}
	issuedBy := func(configured string) func(*accept.Case) {
		return rule(func(r *accept.Rules) { r.Issuer = configured })
	}
	opaque := func(c *accept.Case) { c.Opaque = true }
	noRules := func(c *accept.Case) { c.Rules = nil }
	rfc9068 := func(c *accept.Case) { c.RFC9068 = true }
	jwe := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".a.b.c.d"
	}
	headerAndClaims := strings.TrimSuffix(unsigned(plainHeader, plainClaims), ".AAAA")
	header, _, _ := strings.Cut(headerAndClaims, ".")
	sloppy := base64.StdEncoding.EncodeToString([]byte(`{"kid":"k","x":"~~~???~~~???a"}`))
	for _, c := range "+/=" {
		require.Contains(t, sloppy, string(c))
	}
	for _, tt := range []struct {
		name           string
		raw            string // as it is; else of
		header, claims string
		clients        []string // fields.Clients
		at             accept.Step
		kind           error             // ErrInvalidToken
		reason         bearergate.Reason // malformed
		change         func(*accept.Case)
		says           []string
	}{
		{name: "no token", kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken, says: []string{"No token was given"}},
		{name: "keys", at: accept.StepKey, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable, says: []string{"the keys of the issuer could not be got"}},
		{name: "introspection", at: accept.StepAnswer, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonIntrospectionUnavailable, says: []string{"the introspection endpoint gave no answer"}},
		{name: "a Map that asks", at: accept.StepMap, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, says: []string{"ask in Config.Check"}},
		{name: "a store", at: accept.StepCheck, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, says: []string{"the store that it asks, did not answer"}},
		{name: "overloaded", at: accept.StepAnswer, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded, says: []string{"too many calls are under way"}},
		{name: "canceled", at: accept.StepAnswer, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonCanceled, says: []string{"Whoever asked went away"}},
		{name: "set up wrongly", at: accept.StepKey, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, says: []string{"This server is set up wrongly"}},
		{name: "set up wrongly, at the server", at: accept.StepAnswer, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, change: opaque, says: []string{"refuses our own credentials"}},
		{name: "broken", at: accept.StepCheck, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, says: []string{"A function of this service is broken"}},

		{name: "too long", at: accept.StepSize, says: []string{"Look why the token is so long"}},
		{name: "its claims", at: accept.StepClaims, says: []string{"The claims are not what RFC 7519 and RFC 9068 say"}},
		{name: "its life", at: accept.StepLifetime, says: []string{"a longer life than MaxTokenAge"}},
		{name: "its token_type", at: accept.StepTokenType, says: []string{"no Bearer access token"}},
		{name: "the preset", at: accept.StepPreset, says: []string{"none that the preset for this provider accepts"}},
		{name: "Check", at: accept.StepCheck, says: []string{"Config.Check refused"}},
		{name: "Map", at: accept.StepMap, says: []string{"Config.Map refused"}},
		{name: "Map, which has not found all", at: accept.StepMap, change: func(c *accept.Case) { c.Missing = []string{"a"} }, says: []string{"Config.Map refused", "Map looked for a, which this token does not have"}},
		{name: "the answer", at: accept.StepAnswer},

		{name: "Bearer", raw: "Bearer " + headerAndClaims + ".AAAA", at: accept.StepForm, says: []string{saysScheme}},
		{name: "bearer", raw: "bearer x", at: accept.StepForm, says: []string{saysScheme}},
		{name: "DPoP", raw: "DPoP x", at: accept.StepForm, says: []string{saysScheme}},
		{name: "another word", raw: "Token x", at: accept.StepForm, says: []string{saysSpace}},
		{name: "the scheme alone", raw: "Bearer", at: accept.StepForm, says: []string{saysOpaque}},
		{name: "JSON", raw: `{"access_token":"x"}`, at: accept.StepForm, says: []string{saysJSON}},
		{name: "double quotes", raw: `"x"`, at: accept.StepForm, says: []string{saysQuotes}},
		{name: "single quotes", raw: `'x'`, at: accept.StepForm, says: []string{saysQuotes}},
		{name: "a space", raw: "a b", at: accept.StepForm, says: []string{saysSpace}},
		{name: "a tab", raw: "a\tb", at: accept.StepForm, says: []string{saysSpace}},
		{name: "a carriage return", raw: "a\rb", at: accept.StepForm, says: []string{saysSpace}},
		{name: "a line break", raw: "a\n", at: accept.StepForm, says: []string{saysSpace}},
		{name: "percent", raw: "a%2Eb", at: accept.StepForm, says: []string{saysPercent}},
		{name: "encrypted by Auth0", raw: jwe(`{"alg":"dir","enc":"A256GCM","iss":"https://x"}`), at: accept.StepForm, says: []string{saysAuth0}},
		{name: "encrypted", raw: jwe(`{"alg":"dir","enc":"A256GCM"}`), at: accept.StepForm, says: []string{saysEncrypted}},
		{name: "enc in three parts", header: `{"alg":"ES256","enc":"x"}`, at: accept.StepForm, says: []string{saysZip}},
		{name: "enc in six parts", raw: jwe(`{"alg":"ES256","enc":"x"}`) + ".e", at: accept.StepForm, says: []string{saysZip}},
		{name: "zip", header: `{"alg":"ES256","zip":"x"}`, at: accept.StepForm, says: []string{saysZip}},
		{name: "five parts, and no enc", raw: jwe(plainHeader), at: accept.StepForm, says: []string{saysStrict}},
		{name: "plus", raw: "a+b", at: accept.StepForm, says: []string{saysBase64}},
		{name: "slash", raw: "a/b", at: accept.StepForm, says: []string{saysBase64}},
		{name: "padding", raw: "ab=", at: accept.StepForm, says: []string{saysBase64}},
		{name: "two parts", raw: headerAndClaims, at: accept.StepForm, says: []string{saysCutOff}},
		{name: "two parts and a dot", raw: headerAndClaims + ".", at: accept.StepForm, says: []string{saysCutOff}},
		{name: "three parts and a dot", raw: headerAndClaims + ".AAAA.", at: accept.StepForm, says: []string{saysStrict}},
		{name: "a payload that cannot be read", raw: header + ".AAAA.AAAA", at: accept.StepForm, says: []string{saysPayload}},
		{name: "two parts, the second cannot be read", raw: header + ".AAAA", at: accept.StepForm, says: []string{saysCutOff}},
		{name: "four parts", raw: header + ".AAAA.AAAA.AAAA", at: accept.StepForm, says: []string{saysStrict}},
		{name: "one part", raw: header, at: accept.StepForm, says: []string{saysStrict}},
		{name: "three parts, not strict", at: accept.StepForm, says: []string{saysStrict}},
		{name: "three parts of junk", raw: "AAAA.AAAA.AAAA", at: accept.StepForm, says: []string{saysHeader}},
		{name: "two parts of junk and a dot", raw: "AAAA.AAAA.", at: accept.StepForm, says: []string{saysHeader}},
		{name: "two parts of junk", raw: "AAAA.AAAA", at: accept.StepForm, says: []string{saysOpaque}},
		{name: "four parts of junk", raw: "AAAA.AAAA.AAAA.AAAA", at: accept.StepForm, says: []string{saysOpaque}},
		{name: "one part of junk", raw: "a~b", at: accept.StepForm, says: []string{saysOpaque}},
		{name: "the origin, which cannot be read", raw: "a~b", at: accept.StepOrigin, says: []string{saysOpaque}},

		{name: "a shared secret", header: `{"alg":"HS256"}`, at: accept.StepAlgorithm, reason: bearergate.ReasonAlgorithm, says: []string{"signed with a secret"}},
		{name: "none", header: `{"alg":"None"}`, at: accept.StepAlgorithm, reason: bearergate.ReasonAlgorithm, says: []string{"The token is not signed"}},
		{name: "one that is not allowed", header: `{"alg":"RS512"}`, at: accept.StepAlgorithm, reason: bearergate.ReasonAlgorithm, says: []string{"add it to Algorithms"}},
		{name: "one that nobody knows", header: `{"alg":"ES256K"}`, at: accept.StepAlgorithm, reason: bearergate.ReasonAlgorithm, says: []string{"not implemented"}},

		{name: "typ of a proof", header: `{"typ":"application/DPoP+jwt"}`, at: accept.StepType, says: []string{"a DPoP proof"}},
		{name: "typ of a logout", header: `{"typ":"logout+jwt"}`, at: accept.StepType, says: []string{"a logout token of OpenID Connect"}},
		{name: "typ of an event", header: `{"typ":"secevent+jwt"}`, at: accept.StepType, says: []string{"a security event token"}},
		{name: "typ of an answer", header: `{"typ":"token-introspection+jwt"}`, at: accept.StepType, says: []string{"a signed introspection answer"}},
		{name: "typ of Okta", header: `{"typ":"okta-internal-at+jwt"}`, at: accept.StepType, says: []string{saysOktaOrg}},
		{name: "typ id", header: `{"typ":"ID"}`, at: accept.StepType, says: []string{saysIDToken}},
		{name: "typ id-token", header: `{"typ":"id-token"}`, at: accept.StepType, says: []string{saysIDToken}},
		{name: "typ id_token", header: `{"typ":"id_token"}`, at: accept.StepType, says: []string{saysIDToken}},
		{name: "typ id+jwt", header: `{"typ":"id+jwt"}`, at: accept.StepType, says: []string{saysIDToken}},
		{name: "typ id_token+jwt", header: `{"typ":"id_token+jwt"}`, at: accept.StepType, says: []string{saysIDToken}},
		{name: "typ JWT, by the profile", header: `{"typ":"JWT"}`, at: accept.StepType, change: rfc9068, says: []string{saysNotByProfile}},
		{name: "typ that nobody knows", header: `{"typ":"x"}`, at: accept.StepType, says: []string{saysNotOurs}},

		{name: "the issuer differs by a slash", claims: `{"iss":"https://as.example.test/"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, says: []string{saysWritten}},
		{name: "the same, and its keys have signed", claims: `{"iss":"https://as.example.test/"}`, at: accept.StepIssuer, reason: bearergate.ReasonIssuer, says: []string{saysWritten, saysItsKeys}},
		{name: "the same, and nobody vouches for it", claims: `{"iss":"https://as.example.test/"}`, at: accept.StepKey, reason: bearergate.ReasonUnknownKey, says: []string{saysElsewhere, saysUnknown}},
		{name: "an issuer that is no URL", claims: `{"iss":"https://%zz"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, says: []string{saysElsewhere}},
		{name: "Issuer is no URL", claims: `{"iss":"https://x.example"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://%zz"), says: []string{saysElsewhere}},
		{name: "Entra, version 1", claims: `{"iss":"https://sts.windows.net/t/"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://login.microsoftonline.com/t/v2.0"), says: []string{saysVersion}},
		{name: "Entra, version 2", claims: `{"iss":"https://login.microsoftonline.com/t/v2.0"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://sts.windows.net/t/"), says: []string{saysVersion}},
		{name: "Entra, another tenant", claims: `{"iss":"https://login.microsoftonline.com/u/v2.0"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://login.microsoftonline.com/t/v2.0"), says: []string{saysTenant}},
		{name: "Issuer is Entra", claims: `{"iss":"https://x.example/y"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://login.microsoftonline.com/t/v2.0"), says: []string{saysElsewhere}},
		{name: "Entra is not Issuer", claims: `{"iss":"https://sts.windows.net/t/"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, says: []string{saysElsewhere}},
		{name: "another realm", claims: `{"iss":"https://as.example.test/realms/b"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://as.example.test/realms/a"), says: []string{saysRealm}},
		{name: "another query", claims: `{"iss":"https://as.example.test/a?b"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://as.example.test/a?c"), says: []string{saysElsewhere}},
		{name: "another host", claims: `{"iss":"https://other.example.test/realms/a"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://as.example.test/realms/a"), says: []string{saysHost}},
		{name: "another host, and the path is a tilde", claims: `{"iss":"https://other.example.test/~"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://as.example.test/~"), says: []string{saysHost}},
		{name: "another host without a path", claims: `{"iss":"https://other.example.test/"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://as.example.test/"), says: []string{saysElsewhere}},
		{name: "another host and another path", claims: `{"iss":"https://other.example.test/b"}`, at: accept.StepOrigin, reason: bearergate.ReasonIssuer, change: issuedBy("https://as.example.test/a"), says: []string{saysElsewhere}},
		{name: "Okta's org server", claims: `{"iss":"https://dev.okta.com"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysOktaOrg, saysElsewhere, saysForged}},
		{name: "Okta's org server, its preview", claims: `{"iss":"https://dev.oktapreview.com/"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysOktaOrg, saysElsewhere, saysForged}},
		{name: "Okta's org server, by its typ", header: `{"kid":"k","typ":"Okta-Internal-AT+jwt"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysOktaOrg, saysForged}},
		{name: "a custom server of Okta", claims: `{"iss":"https://dev.okta.com/oauth2/default"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysElsewhere, saysForged}},
		{name: "a host of Okta, and a tilde", claims: `{"iss":"https://dev.okta.com/~"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysElsewhere, saysForged}},
		{name: "a host of Okta that is no URL", claims: `{"iss":"https://dev.okta.com/%zz"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysElsewhere, saysForged}},
		{name: "Graph", claims: `{"aud":"` + graphID + `"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysGraph, saysForged}},
		{name: "Graph, by its URL", claims: `{"aud":"https://graph.microsoft.com/"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysGraph, saysForged}},
		{name: "no rules", claims: `{"iss":"https://x.example"}`, at: accept.StepSignature, reason: bearergate.ReasonSignature, change: noRules, says: []string{saysForged}},

		{name: "forged", at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysForged}},
		{name: "without a signature", raw: headerAndClaims + ".", at: accept.StepSignature, reason: bearergate.ReasonSignature, says: []string{saysUnsigned}},
		{name: "no key", at: accept.StepKey, reason: bearergate.ReasonUnknownKey, says: []string{saysUnknown}},
		{name: "no key, and no signature", raw: headerAndClaims + ".", at: accept.StepKey, reason: bearergate.ReasonUnknownKey, says: []string{saysUnknown}},
		{name: "no kid", header: `{"alg":"ES256"}`, at: accept.StepKey, reason: bearergate.ReasonUnknownKey, says: []string{saysUnnamed}},
		{name: "kid, in plain base64", raw: sloppy + ".AAAA.AAAA", at: accept.StepKey, reason: bearergate.ReasonUnknownKey, says: []string{saysUnknown}},
		{name: "kid, and something that is no base64", raw: base64.RawURLEncoding.EncodeToString([]byte(`{"kid":"k" }`)) + "!.AAAA.AAAA", at: accept.StepKey, reason: bearergate.ReasonUnknownKey, says: []string{saysUnnamed}},
		{name: "no claims", raw: header + ".AAAA.AAAA", at: accept.StepKey, reason: bearergate.ReasonUnknownKey, says: []string{saysUnknown}},

		{name: "inactive", at: accept.StepActive, reason: bearergate.ReasonInactive, says: []string{saysInactive}},
		{name: "inactive, and not expired", claims: `{"exp":10000}`, at: accept.StepActive, reason: bearergate.ReasonInactive, says: []string{saysInactive}},
		{name: "inactive, as it has expired", claims: `{"exp":9999}`, at: accept.StepActive, reason: bearergate.ReasonInactive, says: []string{saysJustNow}},
		{name: "inactive and opaque", raw: "x", at: accept.StepActive, reason: bearergate.ReasonInactive, says: []string{saysInactive}},
		{name: "inactive, of another issuer", claims: `{"iss":"https://x.example"}`, at: accept.StepActive, reason: bearergate.ReasonInactive, says: []string{saysElsewhere, saysInactive}},

		{name: "an event", claims: `{"events":{"a":1}}`, at: accept.StepKind, reason: bearergate.ReasonType, says: []string{"a logout token or a security event"}},
		{name: "an answer", claims: `{"token_introspection":{"a":1}}`, at: accept.StepKind, reason: bearergate.ReasonType, says: []string{"a signed introspection answer"}},
		{name: "a refresh token", claims: `{"typ":"Refresh"}`, at: accept.StepKind, reason: bearergate.ReasonType, says: []string{"a refresh token"}},
		{name: "a refresh token, by its use", claims: `{"token_use":"refresh"}`, at: accept.StepKind, reason: bearergate.ReasonType, says: []string{"a refresh token"}},
		{name: "an offline token", claims: `{"typ":"Offline"}`, at: accept.StepKind, reason: bearergate.ReasonType, says: []string{"a refresh token"}},
		{name: "no ID token", claims: `{"typ":"Bearer"}`, at: accept.StepKind, reason: bearergate.ReasonType, change: rule(func(r *accept.Rules) { r.IDTokens = true }), says: []string{"ID tokens are what this configuration accepts"}},
		{name: "an ID token", claims: `{"nonce":"x"}`, at: accept.StepKind, reason: bearergate.ReasonType, says: []string{saysIDToken}},
		{name: "an ID token, and no rules", claims: `{"nonce":"x"}`, at: accept.StepKind, reason: bearergate.ReasonType, change: noRules, says: []string{saysIDToken}},

		{name: "no aud is there", claims: `{"iss":"https://as.example.test"}`, at: accept.StepRequired, reason: bearergate.ReasonMissingClaim, change: rfc9068, says: []string{saysNoAudience}},
		{name: "no aud is there, nor required", claims: `{"iss":"https://as.example.test"}`, at: accept.StepRequired, reason: bearergate.ReasonMissingClaim, change: rule(func(r *accept.Rules) { r.Required = []string{"jti"} }), says: []string{saysAddClaim}},
		{name: "another claim is missing", at: accept.StepRequired, reason: bearergate.ReasonMissingClaim, says: []string{saysAddClaim}},
		{name: "another claim is missing, by the profile", at: accept.StepRequired, reason: bearergate.ReasonMissingClaim, change: rfc9068, says: []string{saysProfile}},
		{name: "a claim is missing, and there are none", raw: "x", at: accept.StepRequired, reason: bearergate.ReasonMissingClaim, says: []string{saysAddClaim}},

		{name: "no aud", claims: `{"sub":"x"}`, at: accept.StepAudience, reason: bearergate.ReasonMissingClaim, says: []string{saysNoAudience}},
		{name: "no aud, as there are no claims", raw: "x", at: accept.StepAudience, reason: bearergate.ReasonMissingClaim, says: []string{saysNoAudience}},
		{name: "another API", claims: `{"aud":"x","client_id":"c"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysAnother}},
		{name: "an aud that is empty", claims: `{"iss":"https://as.example.test","aud":[""]}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysAnother}},
		{name: "one that is ours", claims: `{"aud":["api"]}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysAnother}},
		{name: "a slash", claims: `{"aud":"api/"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{`"api" of Audiences ` + saysDiffer, saysAnother}},
		{name: "api://", claims: `{"aud":"api://api"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysDiffer, saysAnother}},
		{name: "https://", claims: `{"aud":"https://api"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysDiffer, saysAnother}},
		{name: "aud of Graph", claims: `{"aud":"` + graphID + `"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysGraph, saysAnother}},
		{name: "aud of Graph, by its URL", claims: `{"aud":"https://graph.microsoft.com/"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysGraph, saysAnother}},
		{name: "aud of Graph, twice", claims: `{"aud":["https://graph.microsoft.com","` + graphID + `"]}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysGraph, saysAnother}},
		{name: "userinfo", claims: `{"aud":"https://as.example.test/userinfo"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{"for the userinfo endpoint", saysAnother}},
		{name: "aud of Okta", claims: `{"aud":"https://dev.okta.com"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysOktaOrg, saysAnother}},
		{name: "the issuer", claims: `{"iss":"https://as.example.test","aud":"https://as.example.test"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{"for the authorization server itself", saysAnother}},
		{name: "account", claims: `{"aud":"account"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{"Keycloak's own", saysAnother}},
		{name: "the client", claims: `{"aud":"c","client_id":"c","azp":"d"}`, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysClient, saysAnother}},
		{name: "the client, as azp", claims: `{"aud":"c","azp":"c"}`, clients: []string{"client"}, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysClient, saysAnother}},
		{name: "the client, as cid", claims: `{"aud":"c","cid":"c"}`, clients: []string{"client"}, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysClient, saysAnother}},
		{name: "the client, as appid", claims: `{"aud":"c","appid":"c"}`, clients: []string{"client"}, at: accept.StepAudience, reason: bearergate.ReasonAudience, says: []string{saysClient, saysAnother}},

		{name: "bound to a key", claims: `{"cnf":{"jkt":"x"}}`, at: accept.StepBinding, reason: bearergate.ReasonBinding, says: []string{"bound by DPoP"}},
		{name: "bound to a certificate", claims: `{"cnf":{"x5t#S256":"x"}}`, at: accept.StepBinding, reason: bearergate.ReasonBinding, says: []string{"bound to a client certificate"}},
		{name: "bound to something", claims: `{"cnf":{"x":"x"}}`, at: accept.StepBinding, reason: bearergate.ReasonBinding, says: []string{"in a way that nothing here checks"}},
		{name: "bound, and there are no claims", raw: "x", at: accept.StepBinding, reason: bearergate.ReasonBinding, says: []string{"in a way that nothing here checks"}},

		{name: "long ago", claims: `{"exp":9699}`, at: accept.StepTimes, reason: bearergate.ReasonExpired, says: []string{saysLongAgo}},
		{name: "five minutes ago", claims: `{"exp":9700}`, at: accept.StepTimes, reason: bearergate.ReasonExpired, says: []string{saysJustNow}},
		{name: "now", claims: `{"exp":10000}`, at: accept.StepTimes, reason: bearergate.ReasonExpired, says: []string{saysJustNow}},
		{name: "not yet", claims: `{"exp":10001}`, at: accept.StepTimes, reason: bearergate.ReasonNotYetValid, says: []string{saysBehind}},
		{name: "no exp", claims: `{"nbf":10300}`, at: accept.StepTimes, reason: bearergate.ReasonNotYetValid, says: []string{saysBehind}},
		{name: "nbf in more than five minutes", claims: `{"nbf":10301,"iat":10000,"exp":20000}`, at: accept.StepTimes, reason: bearergate.ReasonNotYetValid, says: []string{saysFuture}},
		{name: "iat in more than five minutes", claims: `{"nbf":10000,"iat":10301,"exp":20000}`, at: accept.StepTimes, reason: bearergate.ReasonNotYetValid, says: []string{saysFuture}},
		{name: "long ago, in two parts", raw: header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":9699}`)), at: accept.StepTimes, reason: bearergate.ReasonExpired, says: []string{saysLongAgo}},
		{name: "long ago, and something that is no base64", raw: header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":9699}`)) + "!.AAAA", at: accept.StepTimes, reason: bearergate.ReasonExpired},
		{name: "times that nobody can read", raw: "x", at: accept.StepTimes, reason: bearergate.ReasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.header == "" {
				tt.header = plainHeader
			}
			if tt.claims == "" {
				tt.claims = plainClaims
			}
			if tt.raw == "" {
				tt.raw = unsigned(tt.header, tt.claims)
			}
			if tt.kind == nil {
				tt.kind = bearergate.ErrInvalidToken
			}
			if tt.reason == "" {
				tt.reason = bearergate.ReasonMalformed
			}
			f := fields
			f.Clients = tt.clients
			reader := accept.NewReader(f)
			c := accept.Case{Sight: accept.Look(tt.raw, reader), Err: &bearergate.Error{Kind: tt.kind, Reason: tt.reason}, At: tt.at, Rules: &rules, Reader: reader, Now: now}
			if tt.change != nil {
				tt.change(&c)
			}
			requireAdvice(t, tt.says, c.Advice())
		})
	}
}

// The claims that a server has given are looked at, and not those that stand in the token.
func TestLookInto(t *testing.T) {
	given := []byte(`{"sub":"given"}`)
	for name, raw := range map[string]string{"opaque": "x", "a JWT": unsigned(plainHeader, plainClaims)} {
		sight := accept.LookInto(raw, given, accept.NewReader(fields))
		require.Equal(t, raw, sight.Raw())
		require.Equal(t, "given", sight.Reading().Claims.Subject, name)
		require.Empty(t, sight.Reading().Claims.Issuer, name)
		given[2] = 'x'
		require.JSONEq(t, `{"sub":"given"}`, string(sight.Reading().Claims.Raw), "the Sight has a copy")
		given[2] = 's'
		require.Nil(t, accept.LookInto(raw, []byte("x"), accept.NewReader(fields)).Reading(), name)
	}
}

func requireAdvice(t *testing.T, says, advice []string) {
	t.Helper()
	require.Len(t, advice, len(says), "%q", advice)
	for i := range says {
		require.Contains(t, advice[i], says[i])
	}
}

// What is said of a token that was accepted: where its scopes may be.
func TestAdviceOnScopes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		claims  string
		scopes  []string // of the token, after Map
		looked  []string // fields.Scopes
		opaque  bool
		missing []string
		says    []string
	}{
		{name: "one", claims: `{"scope":"a"}`},
		{name: "Map has found one", claims: `{"x":1}`, scopes: []string{"a"}},
		{name: "claims that cannot be read", claims: `[]`},
		{name: "none", claims: `{"x":1}`, says: []string{saysNoScope}},
		{name: "an empty one elsewhere", claims: `{"permissions":[]}`, says: []string{saysNoScope}},
		{name: "permissions", claims: `{"permissions":["a"]}`, says: []string{saysMayBeMeant + "permissions: name that in ScopeClaims"}},
		{name: "permissions and groups", claims: `{"groups":["b"],"permissions":["a"]}`, says: []string{saysMayBeMeant + "permissions, groups: name"}},
		{name: "looked for there", claims: `{"permissions":["a b"]}`, looked: []string{"permissions"}, says: []string{saysNoScope}},
		{name: "an object", claims: `{"resource_access":{"a":1},"realm_access":{"a":1}}`, says: []string{"roles are in resource_access, realm_access, which is an object"}},
		{name: "of a server", claims: `{"permissions":["a"],"groups":["b"]}`, opaque: true, says: []string{"other members that may stand for it (permissions, groups)"}},
		{name: "Map looked for one", claims: `{"scope":"a"}`, missing: []string{"a.b"}, says: []string{"Map looked for a.b, which this token does not have: compare the path with"}},
		{name: "Map looked for two", claims: `{"scope":"a"}`, missing: []string{"a.b", "c"}, says: []string{"Map looked for a.b, c, which this token does not have: compare the paths with"}},
		{name: "Map looked for one, of a server", claims: `{"scope":"a"}`, opaque: true, missing: []string{"a.b"}, says: []string{"a.b, which the answer about this token does not have"}},
		{name: "both", claims: `{"x":1}`, missing: []string{"a"}, says: []string{"Map looked for a,", saysNoScope}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fields
			if tt.looked != nil {
				f.Scopes = tt.looked
			}
			reader := accept.NewReader(f)
			c := accept.Case{Sight: accept.Look(unsigned(plainHeader, tt.claims), reader), Rules: &rules, Reader: reader, Opaque: tt.opaque, Missing: tt.missing,
				Token: bearergate.NewToken(bearergate.Claims{Scopes: scope.Of(tt.scopes...)})}
			requireAdvice(t, tt.says, c.Advice())
		})
	}
}
