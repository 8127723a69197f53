package idp

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/jwtverify"
)

// google begins a preset for ID tokens of Google's own issuer, which it writes in two forms.
func google(name, audience string) *preset {
	p := of(name, "https://accounts.google.com", audience)
	p.IssuerAliases, p.KeysURL = []string{"accounts.google.com"}, "https://www.googleapis.com/oauth2/v3/certs"
	p.Algorithms = []string{"RS256"}
	return p
}

// emailVerified says whether Google vouches for email.
func (c *claims) emailVerified() bool { return string(c.members["email_verified"]) == "true" }

// GoogleServiceAccounts is for ID tokens of Google's service accounts, as Cloud Run, Cloud
// Scheduler, Pub/Sub and API Gateway send them to an API. audience is what they ask for,
// the URL of the API for example. emails are the accounts that may call.
//
// Every service account of the world can get such a token for any audience: who may call
// is for the list alone to say. email_verified must be true; a token without an email, which
// the IAM API makes unless includeEmail is set, is refused. Users' ID tokens are refused,
// for their at_hash, and because their email is not on the list.
func GoogleServiceAccounts(audience string, emails ...string) jwtverify.Config {
	p := google("idp.GoogleServiceAccounts", audience)
	p.needs("audience", audience, "what the callers ask for, the URL of this API for example")
	accepted := p.list("emails", "the service accounts that may call", emails)
	return p.with(func(c *claims) error {
		switch {
		case !slices.Contains(accepted, c.members.text("email")):
			return c.refuse(bearergate.ReasonPolicy, "the account is not on the list", accept.Quoted(accepted...), c.found("email"))
		case !c.emailVerified():
			return c.refuse(bearergate.ReasonPolicy, "email_verified is not true", "email_verified true", "")
		}
		return nil
	})
}

// GoogleUsers is for ID tokens of people who signed in with Google. It is for APIs whose own
// client sends its ID token as a credential: see [IDTokens] for what that means. clientID is
// that of the client. hostedDomain is the Google Workspace domain of the users, the claim hd;
// it becomes the tenant.
//
// Danger: with an empty hostedDomain, everybody with a Google account gets in. Decide by sub
// who may do what. An email is no name: it can pass to somebody else.
//
// ID tokens have at_hash, and the nonce of the login: both are accepted. A token that another
// client asked for, azp, is refused: that of a service account, and also that of an Android
// application whose client ID differs from the one that is its audience.
func GoogleUsers(clientID, hostedDomain string) jwtverify.Config {
	p := google("idp.GoogleUsers", clientID)
	p.needs("clientID", clientID, "the client ID of the application")
	if strings.ContainsAny(hostedDomain, "/@:") {
		p.wrong.Addf("hostedDomain is %q: give the domain alone, example.com, or leave it empty for everybody", hostedDomain)
	}
	p.AllowMarks = []string{"at_hash", "nonce"}
	return p.with(func(c *claims) error {
		switch domain := c.members.text("hd"); {
		case hostedDomain != "" && domain != hostedDomain:
			return c.refuse(bearergate.ReasonPolicy, "the account is of another domain", "hd "+accept.Quoted(hostedDomain), c.found("hd"))
		case strings.HasSuffix(c.members.text("email"), ".gserviceaccount.com"):
			return c.refuse(bearergate.ReasonPolicy, "the account is a service account", "an account of a person", c.found("email"))
		case c.members.has("azp") && c.members.text("azp") != clientID:
			return c.refuse(bearergate.ReasonPolicy, "another client asked for the token", "azp "+accept.Quoted(clientID), c.found("azp"))
		default:
			c.Tenant = domain
		}
		return c.marked("sub")
	})
}

// IAP is for the signed header that Google's Identity-Aware Proxy adds to the requests that it
// lets through, X-Goog-IAP-JWT-Assertion. Have the gate read it from there, by Extract:
// anybody can write Authorization. backend is the audience of the one backend service,
// "/projects/123/global/backendServices/456", or "/projects/123/apps/my-app" at App Engine.
func IAP(backend string) jwtverify.Config {
	p := of("idp.IAP", "https://cloud.google.com/iap", backend)
	p.KeysURL, p.Algorithms = "https://www.gstatic.com/iap/verify/public_key-jwk", []string{"ES256"}
	if !strings.HasPrefix(backend, "/projects/") {
		p.wrong.Addf("backend is %q: give the audience that IAP shows for the backend service, /projects/<number>/global/backendServices/<ID>", backend)
	}
	return p.with(func(c *claims) error {
		c.Tenant = c.members.text("hd")
		return c.marked("sub")
	})
}
