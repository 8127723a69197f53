package accept

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/fetch"
)

// Case is a token and the verdict on it, for which somebody asks what to do.
type Case struct {
	*Sight
	Err        *bearergate.Error // nil: accepted
	At         Step              // the last check that was made
	Rules      *Rules
	Reader     *Reader
	Algorithms []string
	Now        time.Time
	// RFC9068 says that the profile of that name is demanded.
	RFC9068 bool
	// Opaque says that a server was asked about the token.
	Opaque bool
	// Token is what was accepted, Map included; Missing is what Map did not find.
	Token   *bearergate.Token
	Missing []string
}

// Advice is what to do, the most likely first. It is in fixed words, with names from
// the configuration: nothing in it was written by whoever made the token.
func (c *Case) Advice() []string {
	if c.Err == nil {
		return some(c.OnMissing(), c.onScopes())
	}
	switch c.Err.Kind {
	case bearergate.ErrUnavailable, bearergate.ErrMisconfigured:
		return some(c.onOutage())
	case bearergate.ErrMissingToken:
		return []string{"No token was given: pass what the client sent behind the scheme."}
	}
	switch c.At {
	case StepSize:
		return []string{"Look why the token is so long: roles and groups can often be left out of access tokens. Or raise MaxTokenBytes."}
	case StepForm:
		return some(c.onForm())
	case StepAlgorithm:
		return some(c.onAlgorithm())
	case StepType:
		return some(c.onType())
	case StepOrigin:
		if c.Err.Reason != bearergate.ReasonIssuer {
			return some(c.onForm())
		}
		return some(c.onOrigin()...)
	case StepKey, StepSignature:
		return some(append(c.onOrigin(), c.onKey())...)
	case StepActive:
		return some(append(c.onOrigin(), c.onInactive())...)
	case StepClaims:
		return []string{"The claims are not what RFC 7519 and RFC 9068 say, so nothing in them is believed: have the authorization server send the claim that is named in the right type, or look which mapper or hook at the server writes it."}
	case StepIssuer:
		return some(append(c.onOrigin(), "The token is of another issuer than Issuer names, although it is signed by its keys: let the client get it from the authorization server of this API.")...)
	case StepKind:
		return some(c.onKind())
	case StepRequired:
		return some(c.onRequired())
	case StepAudience:
		return some(c.onAudience()...)
	case StepLifetime:
		return []string{"The server gives tokens a longer life than MaxTokenAge allows: shorten it at the server for this API, or raise MaxTokenAge."}
	case StepBinding:
		return some(c.onBinding())
	case StepTokenType:
		return []string{"The server says that this is no Bearer access token. If it is bound to a key, name the member of cnf in Confirmations and give the gate the Binding; if it is another kind of token, have the client send its access token."}
	case StepMap:
		return some("Config.Map refused the token, and the library says nothing more: look at that function, and at the claims that it reads.", c.OnMissing())
	case StepPreset:
		return []string{"The token is none that the preset for this provider accepts; the refusal names the rule. If another token was meant, have the client send its access token for this API. If this one should be good, compare the provider's settings, and what the preset was given, with what docs/providers.md says of that provider."}
	case StepTimes:
		return some(c.onTimes())
	case StepCheck:
		return []string{"Config.Check refused the token, and the library says nothing more: look at that function, and at the store that it asks."}
	}
	return nil
}

// some leaves out what is empty, and what was said before.
func some(advice ...string) []string {
	var out []string
	for _, a := range advice {
		if a != "" && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func (c *Case) onForm() string {
	raw := c.raw
	word, _, spaced := strings.Cut(raw, " ")
	switch {
	case spaced && (strings.EqualFold(word, "Bearer") || strings.EqualFold(word, "DPoP")):
		return "The text begins with the scheme: pass the token alone, without the word before it."
	case strings.HasPrefix(raw, "{"):
		return "This is JSON: the response of the token endpoint, or a JWS in JSON form. Pass the value of access_token; only the compact form is accepted."
	case strings.ContainsAny(raw, `"'`):
		return "There are quotation marks in the text: pass the token without them. Some programs send them along."
	case strings.ContainsAny(raw, " \t\r\n"):
		return "There is white space or a line break in the text: pass the token in one piece, as it was issued. A file that a token is read from often ends with a line break."
	case strings.Contains(raw, "%"):
		return "The text is percent-encoded: a token is sent as it was issued, not encoded as in a URL."
	case c.parts == 5 && has(c.header, "enc"):
		if has(c.header, "iss") {
			return "The token is encrypted (JWE) for the server itself. Auth0 issues such tokens to clients that name no API: have the client send the parameter audience with the identifier of this API, or set a default audience there. Otherwise have the server issue signed tokens for this API, or verify these by introspection."
		}
		return "The token is encrypted (JWE), and nothing is decrypted here: have the authorization server issue signed tokens for this API, or verify these by introspection."
	case has(c.header, "enc", "zip"):
		return "The token is encrypted or compressed, which is not accepted: have the authorization server issue signed tokens."
	case strings.ContainsAny(raw, "+/="):
		return "The text is written in plain base64 or padded: a JWT is in base64url without padding (RFC 7515). Whoever made or copied the token has encoded it anew."
	case c.header != nil && (c.parts == 2 || c.parts == 3 && strings.HasSuffix(raw, ".")):
		return "The token has no signature: it was cut off when it was copied, or was issued with alg none, which is never accepted."
	case c.header != nil && c.parts == 3 && c.claims == nil:
		return "The payload is not one strict JSON object in base64url: the token was changed or cut on its way, or its server writes a claim twice."
	case c.header != nil:
		return "The token is a JWT, but not in the strict form that is accepted here: the text of the refusal names the rule. Have the server leave that out of access tokens."
	case c.parts == 3:
		return "The first part is not the header of a JWT: the token was changed on its way, or it is an opaque one that has two dots in it."
	}
	return "This is no JWT but an opaque token, as many servers issue where the client names no API (Auth0, Okta, Ory Hydra, Zitadel) or by their settings: have the client ask for this API (the parameter audience or resource), or have the server issue JWTs; or verify such tokens by introspection, with package introspect."
}

func (c *Case) onAlgorithm() string {
	switch alg := text(c.header, "alg"); {
	case strings.HasPrefix(alg, "HS"):
		return "The token is signed with a secret that the server and whoever verifies share, and whoever verifies such tokens could make them: have the authorization server sign with RS256, PS256, ES256 or EdDSA."
	case strings.EqualFold(alg, "none"):
		return "The token is not signed, which is never accepted: have the authorization server sign it. If it does, somebody has forged this one."
	case slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}, alg):
		return "If your authorization server really signs with this algorithm, add it to Algorithms; or have it sign with one of those that are listed."
	}
	return "This algorithm is not implemented: have the authorization server sign with RS256, PS256, ES256 or EdDSA."
}

func (c *Case) onType() string {
	switch typ := PlainType(text(c.header, "typ")); {
	case typ == "dpop+jwt":
		return "This is a DPoP proof, not the access token: the proof belongs into the header DPoP, the token behind Authorization: DPoP."
	case typ == "logout+jwt":
		return "This is a logout token of OpenID Connect: it belongs to the back-channel logout endpoint, and opens nothing."
	case typ == "secevent+jwt":
		return "This is a security event token (RFC 8417): it belongs to the receiver of such events, and opens nothing."
	case typ == "token-introspection+jwt":
		return "This is a signed introspection answer (RFC 9701), not the token that was asked about."
	case strings.HasPrefix(typ, "okta-internal"):
		return adviceOktaOrg
	case slices.Contains([]string{"id", "idtoken", "idjwt"}, strings.NewReplacer("-", "", "_", "", "+", "").Replace(typ)), typ == "id_token+jwt":
		return "This is an ID token: it tells the client who logged in. Have the client send the access token, access_token of the token response."
	case c.RFC9068:
		return "The server does not follow RFC 9068, whose tokens have the typ at+jwt: have it do so, or use the Profile AccessToken and give this API an audience that is no client's ID."
	}
	return "This typ is not that of an access token: have the client send its access token, or have the server write at+jwt, JWT or no typ."
}

const (
	adviceGraph   = "This is a token for Microsoft Graph: its signature is for Graph alone to check. Have the client ask for a scope of this API (api://<its client ID>/<scope>) instead of User.Read or another scope of Graph."
	adviceOktaOrg = "The token is one of Okta's org server, which only Okta itself can verify: use a custom authorization server, whose issuer ends with /oauth2/default or /oauth2/<its ID>, as Issuer and at the client."
	graphID       = "00000003-0000-0000-c000-000000000000"
)

// onOrigin looks whether the token comes from somewhere else. Nothing of what it sees
// is verified.
func (c *Case) onOrigin() (advice []string) {
	r := c.Reading()
	if r == nil || c.Rules == nil {
		return nil
	}
	for _, aud := range r.Claims.Audience {
		if aud == graphID || strings.TrimSuffix(aud, "/") == "https://graph.microsoft.com" {
			advice = append(advice, adviceGraph)
		}
	}
	if strings.HasPrefix(strings.ToLower(text(c.header, "typ")), "okta-internal") || isOktaOrg(r.Claims.Issuer) {
		advice = append(advice, adviceOktaOrg)
	}
	if found := r.Claims.Issuer; found != "" && found != c.Rules.Issuer {
		if c.At != StepIssuer && c.At != StepOrigin {
			// Nobody vouches for what the token says: an advice to follow it would let whoever
			// made it choose the issuer.
			return append(advice, adviceElsewhere)
		}
		advice = append(advice, fromElsewhere(c.Rules.Issuer, found))
	}
	return advice
}

// isOktaOrg reports the issuer of an org server: the host alone.
func isOktaOrg(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || strings.Trim(u.Path, "/") != "" {
		return false
	}
	return strings.HasSuffix(u.Hostname(), ".okta.com") || strings.HasSuffix(u.Hostname(), ".oktapreview.com")
}

// fromElsewhere says how the issuer that a token names came to differ from the
// configured one.
func fromElsewhere(configured, found string) string {
	if hint := fetch.IssuerHint(configured, found); hint != "" {
		return "Issuer and the iss of the token: " + hint + "."
	}
	a, errA := url.Parse(configured)
	b, errB := url.Parse(found)
	if errA != nil || errB != nil {
		return adviceElsewhere
	}
	entra := func(u *url.URL) bool {
		return u.Hostname() == "login.microsoftonline.com" || u.Hostname() == "sts.windows.net"
	}
	switch {
	case entra(a) && entra(b) && a.Hostname() != b.Hostname():
		return "The token is of another version of Microsoft Entra than Issuer: tokens of version 1 come from https://sts.windows.net/<tenant>/, those of version 2 from https://login.microsoftonline.com/<tenant>/v2.0. Set requestedAccessTokenVersion to 2 in the app registration of this API, or set Issuer to that of version 1."
	case entra(a) && entra(b):
		return "The token is of another tenant of Microsoft Entra than Issuer names: let the client get it from the right tenant; an API for several tenants needs a Router with Resolve."
	case a.Host == b.Host && a.Path != b.Path:
		return "The token is of another issuer at the same server, another realm or tenant as it seems: let the client get it from the one that Issuer names."
	case a.Host != b.Host && a.Path == b.Path && strings.Trim(a.Path, "/") != "":
		return "The path is that of Issuer, and the host is another: many servers take the host by which the client reached them into iss. Give the server one public name (KC_HOSTNAME at Keycloak), and set Issuer to it; where this API reaches the server by another name, discovery has to say the public one too."
	}
	return adviceElsewhere
}

const adviceElsewhere = "The token says that it is of another issuer: the client has it from another environment, or from another server. Let it get its token from the server that Issuer names; to accept several issuers, put issuers.Router in front."

func (c *Case) onKey() string {
	switch {
	case c.At == StepSignature && strings.HasSuffix(c.raw, "."):
		return "The token has no signature: have the client send all of it, to the last character; or it was never signed."
	case c.At == StepSignature:
		return "The key of that ID has not signed this token as it stands: the token was changed on its way (its end cut off, a part encoded anew), or the server has put another key under the same ID, which needs a new one, or somebody has forged it. Compare the token with what the server issued, character by character."
	case text(c.header, "kid") == "":
		return "The token does not say which key has signed it, and that cannot be told, or no published key fits its algorithm: have the server write kid into the header, and publish the key that signs."
	}
	return "No published key can be meant; the step key says why. No key of that ID: the token was made by another server, or with a key that is no longer or not yet published; compare kid with those at jwks_uri. A key that is not for this algorithm: have the server publish it with the alg that it signs with. A key that is not admitted: have the server replace it, by RSA of 2048 bits or more, for example, or ES256."
}

func (c *Case) onInactive() string {
	if r := c.Reading(); r != nil && !r.Claims.ExpiresAt.IsZero() && c.Now.After(r.Claims.ExpiresAt) {
		return c.onTimes()
	}
	return "The server does not know the token as active: it has expired, was revoked, or is of another server or realm; or our client may not ask about it, which many servers answer in the same way. Ask the server about a token that was just issued; if that is inactive too, look at the rights of our client there."
}

func (c *Case) onKind() string {
	of := func(name string) string { return text(c.claims, name) }
	switch use := strings.ToLower(of("token_use") + " " + of("typ")); {
	case has(c.claims, "events"):
		return "This is a logout token or a security event: it belongs to the endpoint for those, and opens nothing."
	case has(c.claims, "token_introspection"):
		return "This is a signed introspection answer (RFC 9701), not the token that was asked about."
	case strings.Contains(use, "refresh"), strings.Contains(use, "offline"):
		return "This is a refresh token: it is for the token endpoint alone. Have the client send the access token, access_token of the token response. A refresh token that was sent to an API should be revoked."
	case c.Rules != nil && c.Rules.IDTokens:
		return "ID tokens are what this configuration accepts, and this is another kind: have the client send id_token of the token response. Or verify access tokens, which is what an API should do."
	}
	return "This is an ID token, or cannot be told from one: it tells the client who logged in. Have the client send the access token, access_token of the token response. If that was the access token, have the server leave the mark that is named out of it, or write typ at+jwt into its header."
}

func (c *Case) onRequired() string {
	r := c.Reading()
	switch {
	case r != nil && !r.hasAudience && slices.Contains(c.Rules.Required, "aud"):
		return adviceNoAudience
	case c.RFC9068:
		return "The Profile RFC9068 demands iss, exp, aud, sub, client_id, iat and jti: have the server add what is missing, or use the Profile AccessToken, which demands iss, aud and exp, and give this API an audience that is no client's ID."
	}
	return "Have the server add the claim that is named, or take it out of RequiredClaims; iat is also demanded by MaxTokenAge."
}

const adviceNoAudience = "The token names no API that it is for (aud): have the client ask for this one (the parameter resource of RFC 8707, or audience), or have the server add it (an audience mapper at Keycloak, a resource server at Cognito)."

func (c *Case) onAudience() (advice []string) {
	r := c.Reading()
	if r == nil || len(r.Claims.Audience) == 0 {
		return []string{adviceNoAudience}
	}
	client := r.Claims.ClientID
	for _, name := range []string{"azp", "cid", "appid"} {
		if client == "" {
			client = text(c.claims, name)
		}
	}
	for _, aud := range r.Claims.Audience {
		plain := func(s string) string {
			return strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(s, "/"), "api://"), "https://")
		}
		for _, ours := range c.Rules.Audiences {
			if aud != ours && plain(aud) == plain(ours) {
				advice = append(advice, fmt.Sprintf("aud and %s of Audiences differ only by a slash at the end, or by https:// or api:// before it: have the client ask for the name in Audiences, or write there exactly what the server writes, if that is a name of this API and of no other one.", Quoted(ours)))
			}
		}
		switch {
		case aud == graphID, strings.TrimSuffix(aud, "/") == "https://graph.microsoft.com":
			advice = append(advice, adviceGraph)
		case strings.HasSuffix(aud, "/userinfo"):
			advice = append(advice, "The token is for the userinfo endpoint of the server itself: the client asked for no API. Have it ask for this one, by the parameter audience or resource.")
		case isOktaOrg(aud):
			advice = append(advice, adviceOktaOrg)
		case aud == r.Claims.Issuer:
			advice = append(advice, "The token is for the authorization server itself: the client asked for no API. Have it ask for this one, by the parameter audience or resource.")
		case aud == "account":
			advice = append(advice, `The token is for Keycloak's own "account" only: add an audience mapper for this API to a client scope, and assign that to the client.`)
		case client != "" && aud == client:
			advice = append(advice, "The token is for the client itself: an ID token, or the client asked for no API. Have it ask for this one (the parameter resource of RFC 8707, or audience), and send the access token.")
		}
	}
	return append(advice, "The token is for another API: have the client ask for this one (the parameter resource of RFC 8707, or audience, or a scope of this API), or add what aud says to Audiences if that is a name of this API, and of no other one.")
}

func (c *Case) onBinding() string {
	r := c.Reading()
	if r != nil && r.Claims.Confirmation["jkt"] != nil {
		return `The token is bound by DPoP (RFC 9449): name "jkt" in Confirmations, and give the gate a Binding that checks the proofs. Without that, a stolen token would be as good as its owner's.`
	}
	if r != nil && r.Claims.Confirmation["x5t#S256"] != nil {
		return `The token is bound to a client certificate (RFC 8705): name "x5t#S256" in Confirmations, and give the gate a Binding that compares the certificate. Without that, a stolen token would be as good as its owner's.`
	}
	return "The token is bound to a key in a way that nothing here checks: name the member of cnf in Confirmations, and give the gate a Binding that checks it."
}

func (c *Case) onTimes() string {
	const closely = 5 * time.Minute
	r := c.Reading()
	if r == nil {
		return ""
	}
	switch exp, early := r.Claims.ExpiresAt, r.Claims.NotBefore; {
	case !exp.IsZero() && c.Now.Sub(exp) > closely:
		return "The token expired long ago: the client keeps a token for too long. Have it get a new one when exp comes near, or when it is answered invalid_token."
	case !exp.IsZero() && !c.Now.Before(exp):
		return "The token has just expired. If the client refreshes its tokens in time, the clocks differ: set the clock of this server and that of the authorization server by NTP, or raise Leeway, to 5 minutes at most."
	default:
		if r.Claims.IssuedAt.After(early) {
			early = r.Claims.IssuedAt
		}
		if early.Sub(c.Now) > closely {
			return "The token is from the future by more than a clock can be wrong: compare the clock and the time zone of this server with those of the authorization server. Times in a token are seconds since 1970, UTC."
		}
	}
	return "The clock of this server is behind that of the authorization server: set both by NTP, or raise Leeway, to 5 minutes at most."
}

func (c *Case) onOutage() string {
	switch c.Err.Reason {
	case bearergate.ReasonKeysUnavailable:
		return "Nothing is wrong with the token: the keys of the issuer could not be got, and the step key says why. Do what that says; try the URL from this very machine."
	case bearergate.ReasonIntrospectionUnavailable:
		return "Nothing is known against the token: the introspection endpoint gave no answer that can be used, and the step that failed says why. Do what that says: a member of a wrong type is for the server to mend, or see the options that begin with Allow; try the endpoint from this very machine."
	case bearergate.ReasonStoreUnavailable:
		if c.At == StepMap {
			return "Nothing is known against the token: Config.Map says that something could not be reached. It is to read claims, and to ask nobody: ask in Config.Check, which has a context."
		}
		return "Nothing is known against the token: Config.Check, or the store that it asks, did not answer in time. Look at that store, and give the call to it a bound of its own."
	case bearergate.ReasonOverloaded:
		return "Nothing is known against the token: too many calls are under way. Look why they take so long, or raise Calls.Max."
	case bearergate.ReasonCanceled:
		return "Whoever asked went away before the answer was there."
	case bearergate.ReasonConfig:
		if c.Opaque {
			return "The authorization server refuses our own credentials, or we cannot make them: compare client ID, secret and the way they are sent (Auth) with the registration of this API at the server."
		}
		return "This server is set up wrongly: the error names the mistake."
	}
	return "A function of this service is broken: the error, and the hook Panicked, say which."
}

// scopeClaims are where servers put what they have granted, beside scope and scp.
var scopeClaims = []string{"scope", "scp", "scopes", "permissions", "roles", "authorities", "groups", "resource_access", "realm_access"}

// OnMissing names what Map looked for in vain.
func (c *Case) OnMissing() string {
	whose := "this token does"
	if c.Opaque {
		whose = "the answer about this token does"
	}
	switch len(c.Missing) {
	case 0:
		return ""
	case 1:
		return "Map looked for " + c.Missing[0] + ", which " + whose + " not have: compare the path with the claims, letter by letter; if it is right, the server gives this client or user nothing there."
	}
	return "Map looked for " + strings.Join(c.Missing, ", ") + ", which " + whose + " not have: compare the paths with the claims, letter by letter; if they are right, the server gives this client or user nothing there."
}

// onScopes says where the scopes may be, if they are not where they are looked for.
func (c *Case) onScopes() string {
	r := c.Reading()
	if r == nil || r.Claims.Scopes.Len() > 0 || c.Token.Scopes().Len() > 0 {
		return ""
	}
	var elsewhere []string
	for _, name := range scopeClaims {
		if !slices.Contains(c.Reader.fields.Scopes, name) && has(c.claims, name) {
			elsewhere = append(elsewhere, name)
		}
	}
	switch {
	case len(elsewhere) == 0:
		return "The token has no scope: have the client ask for one, and look whether the server may grant it to that client. Some servers grant users none by default."
	case c.Opaque:
		return "The answer has no scope, and other members that may stand for it (" + strings.Join(elsewhere, ", ") + "): have the server write scope."
	case strings.HasSuffix(elsewhere[0], "_access"):
		return "The token has no scope in the claims of ScopeClaims; roles are in " + strings.Join(elsewhere, ", ") + ", which is an object: have the server map them to a claim of its own, an array of strings, and name that in ScopeClaims; or assign client scopes instead."
	}
	return "The token has no scope in the claims of ScopeClaims; what may be meant is in " + strings.Join(elsewhere, ", ") + ": name that in ScopeClaims, or have the server write scope."
}
