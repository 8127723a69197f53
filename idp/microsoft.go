package idp

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// EntraConfig says which access tokens of Microsoft Entra ID open an API.
type EntraConfig struct {
	// Tenant is the directory (tenant) ID, a GUID. Names of tenants, and common,
	// organizations and consumers, are mistakes: see [EntraTenants]. Required.
	Tenant string
	// API is the application (client) ID of the API's own registration: aud of its tokens.
	// Required.
	API string
	// AppIDURIs are the API's application ID URIs, "api://…" for example, which tokens of
	// version 1 have as aud, with or without a slash at the end. "api://" + API need not be
	// named. Default: none.
	AppIDURIs []string
	// Version is that of the access tokens, 1 or 2. The registration of the API says which
	// it gets, by requestedAccessTokenVersion in its manifest (null there is 1), whatever
	// endpoint the client uses. Default: 2.
	Version int
}

// Entra is for access tokens of one tenant of Microsoft Entra ID.
//
// It refuses ID tokens of a client that shares its registration with the API, which differ
// by azp, azpacr and scp alone; tokens whose tid is not the tenant; tokens whose idtyp
// contradicts the rest; and tokens without any permission, which every application of the
// tenant can get without being granted anything: scp must not be empty, or, without scp,
// roles. In a token for a user, roles are those of the user, and scp is what the client may
// do in the user's name.
//
// Scopes come from scp, roles from roles, the tenant from tid, the token's ID from uti, and
// the client from azp, or from appid in version 1. Groups are not read: see [EntraGroups].
// A national cloud has other hosts: set Issuer and MetadataURL of the Config to its own. An
// API with claims mapping has keys of its own: add "?appid=" and its ID to MetadataURL.
func Entra(c EntraConfig) jwtverify.Config {
	p := of("idp.Entra", "")
	tenant := p.tenant("Tenant", c.Tenant)
	version := c.Version
	switch c.Version {
	case 1:
		p.Issuer = "https://sts.windows.net/" + tenant + "/"
		p.MetadataURL = "https://login.microsoftonline.com/" + tenant + "/.well-known/openid-configuration"
	case 0, 2:
		version = 2
		p.Issuer = "https://login.microsoftonline.com/" + tenant + "/v2.0"
		p.MetadataURL = p.Issuer + "/.well-known/openid-configuration"
	default:
		p.wrong.Addf("Version is %d: choose 1 or 2, as requestedAccessTokenVersion in the manifest of the API says (null there is 1)", c.Version)
	}
	p.entraAudiences(c.API, c.AppIDURIs, version)
	return p.entra(version, tenant)
}

// entraAudiences are the names of an API in aud: in version 2 its client ID, in version 1
// that or one of its URIs, as the client asked for it.
func (p *preset) entraAudiences(api string, uris []string, version int) {
	switch {
	case api == "":
		p.needs("API", api, "the application (client) ID of the API's own registration")
	case strings.ContainsAny(api, ":/ "):
		p.wrong.Addf("API is %q: give the application (client) ID; a URI belongs into AppIDURIs", api)
	}
	api = strings.ToLower(api)
	p.Config.Audiences = []string{api}
	if version == 1 {
		uris = append([]string{"api://" + api}, uris...)
	}
	for _, uri := range uris {
		plain := strings.TrimSuffix(uri, "/")
		p.needs("AppIDURIs", plain, "the URI that the registration of the API shows under Expose an API")
		p.Config.Audiences = append(p.Config.Audiences, plain, plain+"/")
	}
}

// tenant checks a tenant ID.
func (p *preset) tenant(field, id string) string {
	if slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(id)) {
		p.wrong.Addf("%s is %q, which stands for every tenant there is: give the ID of yours, or name the tenants by EntraTenants", field, id)
		return id
	}
	return p.guid(field, id, "the directory (tenant) ID")
}

// entra ends a preset for Entra's own tokens.
func (p *preset) entra(version int, tenant string) jwtverify.Config {
	p.Algorithms, p.ScopeClaims = []string{"RS256"}, []string{"scp"}
	ver, client, how := "2.0", "azp", "azpacr"
	if version == 1 {
		ver, client, how = "1.0", "appid", "appidacr"
	}
	p.ClientClaims = []string{client}
	return p.with(func(c *claims) error {
		err := first(
			c.equals(bearergate.ReasonType, "ver", ver),
			c.equals(bearergate.ReasonIssuer, "tid", tenant),
			c.marked(client, how),
			c.equals(bearergate.ReasonType, how, "0", "1", "2"), // no secret, a secret, a certificate
			c.granted(),
		)
		c.Tenant = tenant
		if c.ID == "" {
			c.ID = c.members.text("uti")
		}
		return err
	})
}

// granted refuses a token of Microsoft's that says no permission, or two things at once.
func (c *claims) granted() error {
	delegated := c.members.has("scp")
	switch idtyp := c.members.text("idtyp"); {
	case delegated && strings.TrimSpace(c.members.text("scp")) == "", !delegated && strings.Join(c.members.list("roles"), "") == "":
		return c.refuse(bearergate.ReasonPolicy, "the token says no permission: neither scp nor, without that, roles; every application can get such a token without having been granted anything", "scp, or roles", "none")
	case c.members.has("idtyp") && (idtyp != "app" || delegated) && (idtyp != "user" || !delegated):
		return c.refuse(bearergate.ReasonType, "idtyp contradicts scp, or is of a kind that is not known", `idtyp "user" with scp, "app" without`, c.found("idtyp"))
	}
	return nil
}

// EntraTenantsConfig says which tenants of Microsoft Entra ID open an API.
type EntraTenantsConfig struct {
	// Tenants are the IDs of the tenants, GUIDs. Tokens of any other tenant are refused
	// without a call, unless there is a Lookup.
	Tenants []string
	// Lookup says whether a tenant that is not in Tenants may open the API: true, false, or
	// an error, which is an outage unless it is one of bearergate's sentinels. It is asked
	// about tenants of which a token has come that Entra has signed for this API, and about
	// no others: strangers who invent tenants do not reach it. There is one call at a time
	// for a tenant, with a context of its own that ends after 5 s. true is remembered for an
	// hour and false for 10 s. After that hour, the next token has it asked in the background,
	// and true counts until it has answered, for another hour at most. It must be safe for
	// concurrent use. Default: none.
	//
	// Danger: everybody can have a tenant, and an application of any tenant can get tokens
	// for an API that is registered for many. A Lookup that accepts all of them is an API
	// without tenants.
	Lookup func(ctx context.Context, tenant string) (bool, error)
	// API is the application (client) ID of the API's own registration. Required.
	API string
	// Verifier is the rest of each tenant's configuration: Check, Hooks, HTTPClient,
	// KeyHooks, Confirmations, Leeway, the cache. What says whose tokens are verified is
	// filled in for each tenant, and a mistake here: Issuer, IssuerAliases, Audiences, Keys,
	// KeysURL, MetadataURL, AllowAudienceFrom, ClientClaims, Preset. Hooks are told of the
	// issuer of a tenant that was looked up only if Entra has signed the token; else it has
	// {tenant} in it. Each tenant has a cache
	// of its own, for which CacheEntries is 1,024 and CacheBytes 1 MiB by default.
	Verifier jwtverify.Config
}

// EntraTenants is for access tokens of version 2 of many tenants of Microsoft Entra ID: those
// that are named, and those that a Lookup lets in. Set requestedAccessTokenVersion of the API
// to 2. Each tenant is held to what [Entra] says. All share one key set, that of the common
// endpoint; a key in it that is published for one tenant verifies tokens of that one alone.
// It is for the worldwide cloud. Of the tenants that are looked up, the
// [issuers.DefaultMaxResolved] that were used last are kept.
func EntraTenants(c EntraTenantsConfig) (*issuers.Router, error) {
	p := of("idp.EntraTenants", "")
	p.entraAudiences(c.API, nil, 2)
	if len(c.Tenants) == 0 && c.Lookup == nil {
		p.wrong.Addf("Tenants is empty and Lookup is nil: name the tenants whose tokens open the API, or look them up")
	}
	tenants := make([]string, 0, len(c.Tenants))
	for _, tenant := range c.Tenants {
		tenants = append(tenants, p.tenant("Tenants", tenant))
	}
	p.untouched(c.Verifier)
	base := c.Verifier
	keys, err := jwks.New(jwks.Config{URL: "https://login.microsoftonline.com/common/discovery/v2.0/keys",
		HTTPClient: base.HTTPClient, Hooks: base.KeyHooks, InsecureAllowHTTP: base.InsecureAllowHTTP})
	if err != nil {
		p.wrong.Addf("%w", err)
	}
	base.Keys, base.HTTPClient, base.KeyHooks, base.Audiences = keys, nil, jwks.Hooks{}, p.Config.Audiences
	if err := p.wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return entraRouter(c, base, tenants)
}

const (
	entraIssuer, entraIssuerEnd = "https://login.microsoftonline.com/", "/v2.0"

	tenantEntries, tenantBytes = 1024, 1 << 20 // of a tenant's cache
)

func entraRouter(c EntraTenantsConfig, base jwtverify.Config, tenants []string) (*issuers.Router, error) {
	if base.CacheEntries == 0 && base.CacheBytes == 0 && !base.DisableCache {
		base.CacheEntries, base.CacheBytes = tenantEntries, tenantBytes
	}
	router := issuers.Config{Issuers: map[string]bearergate.Verifier{}, MaxTokenBytes: base.MaxTokenBytes}
	for _, tenant := range tenants {
		v, err := entraVerifier(base, tenant)
		if err != nil {
			return nil, err
		}
		router.Issuers[v.Issuer()] = v
	}
	if c.Lookup != nil {
		if _, err := entraVerifier(base, "00000000-0000-0000-0000-000000000000"); err != nil {
			return nil, err // and not at the first token
		}
		router.AllowIssuer = func(issuer string) bool { return guidForm.MatchString(tenantOf(issuer)) }
		// What the iss of an unverified token costs is a verifier without keys of its own; they
		// are shared. So there may be as many as tokens come.
		router.MaxResolvesPerMinute = 60_000
		router.ResolvedTTL = 24 * time.Hour // what Lookup says ends by itself, and is known beyond
		of := newKnown()
		router.Resolve = func(_ context.Context, issuer string) (bearergate.Verifier, error) {
			own := base
			own.Hooks = anonymous(base.Hooks)
			a := admissionOf(tenantOf(issuer), c.Lookup, of)
			if own.Check = a.check; base.Check != nil {
				own.Check = bearergate.Checks(a.check, base.Check)
			}
			return entraVerifier(own, a.tenant)
		}
	}
	return issuers.NewRouter(router)
}

// anonymous are hooks that are told of a tenant's issuer only if Entra has signed the token:
// strangers invent tenants, and their names must not fill metrics.
func anonymous(hooks jwtverify.Hooks) jwtverify.Hooks {
	told := hooks.Verified
	if told == nil {
		return hooks
	}
	hooks.Verified = func(ctx context.Context, e jwtverify.VerifyEvent) {
		if e.Token == nil && (bearergate.AsError(e.Err) == nil || bearergate.AsError(e.Err).Refused == nil) {
			e.Issuer = entraIssuer + "{tenant}" + entraIssuerEnd
		}
		told(ctx, e)
	}
	return hooks
}

// tenantOf is the tenant of an issuer; "" if it is none of Entra's.
func tenantOf(issuer string) string {
	rest, entra := strings.CutPrefix(issuer, entraIssuer)
	tenant, v2 := strings.CutSuffix(rest, entraIssuerEnd)
	if !entra || !v2 {
		return ""
	}
	return tenant
}

// entraVerifier is the verifier of one tenant.
func entraVerifier(base jwtverify.Config, tenant string) (*jwtverify.Verifier, error) {
	p := of("idp.EntraTenants", entraIssuer+tenant+entraIssuerEnd, base.Audiences...)
	made := p.entra(2, tenant)
	base.Issuer, base.Preset, base.ClientClaims = made.Issuer, made.Preset, made.ClientClaims
	if len(base.Algorithms) == 0 {
		base.Algorithms = made.Algorithms
	}
	if len(base.ScopeClaims) == 0 {
		base.ScopeClaims = made.ScopeClaims
	}
	return jwtverify.New(base)
}

// untouched reports what EntraTenants fills in by itself.
func (p *preset) untouched(c jwtverify.Config) {
	v := reflect.ValueOf(c)
	for _, field := range []string{"Issuer", "IssuerAliases", "Audiences", "AllowAudienceFrom", "Keys", "KeysURL", "MetadataURL", "ClientClaims", "Preset"} {
		if !v.FieldByName(field).IsZero() {
			p.wrong.Addf("Verifier.%s is set: leave it out, it is filled in for each tenant", field)
		}
	}
	if c.Err != nil {
		p.wrong.Addf("Verifier: %w", c.Err)
	}
}

func misconfigured(cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: cause}
}

// ErrGroupsElsewhere says that a token does not hold the groups of its user: they are too
// many, and Microsoft Graph has them. It is never "no groups".
var ErrGroupsElsewhere = errors.New("idp: the token does not hold the groups of its user, who is in too many (groups overage): ask Microsoft Graph, or have Entra send only the groups that are assigned to the application")

// EntraGroups returns the IDs of the groups that a token of Entra names, nil if it names
// none. It errors with [ErrGroupsElsewhere] where the token says that its user has more than
// it can hold. A policy that looks at groups must refuse on an error: the user may be in a
// group that is denied.
func EntraGroups(t *bearergate.Token) ([]string, error) {
	var said struct {
		Groups     []string       `json:"groups"`
		HasGroups  any            `json:"hasgroups"`
		ClaimNames map[string]any `json:"_claim_names"`
	}
	if err := t.Claims(&said); err != nil {
		return nil, err
	}
	if _, elsewhere := said.ClaimNames["groups"]; elsewhere || said.HasGroups != nil && said.HasGroups != false && said.HasGroups != "false" {
		return nil, ErrGroupsElsewhere
	}
	return said.Groups, nil
}

// ExternalID is for access tokens of an external tenant of Microsoft Entra, for customers
// (CIAM). tenant is the directory (tenant) ID, a GUID, and api the application (client) ID of
// the API's own registration. It refuses what [Entra] refuses, and takes the same from the
// token.
func ExternalID(tenant, api string) jwtverify.Config {
	p := of("idp.ExternalID", "")
	tenant = p.tenant("tenant", tenant)
	p.Issuer = "https://" + tenant + ".ciamlogin.com/" + tenant + "/v2.0"
	p.MetadataURL = p.Issuer + "/.well-known/openid-configuration"
	p.entraAudiences(api, nil, 2)
	return p.entra(2, tenant)
}

// B2CConfig says which access tokens of Azure AD B2C open an API.
type B2CConfig struct {
	// Name is that of the tenant: "contoso" of contoso.b2clogin.com and
	// contoso.onmicrosoft.com. Required.
	Name string
	// Tenant is the ID of the tenant, a GUID. Required.
	Tenant string
	// API is the application (client) ID of the API's own registration. Required.
	API string
	// Policies are the user flows and custom policies whose tokens open the API, as in
	// "B2C_1_signin": the claim tfp, or acr in older ones. A policy that only edits a
	// profile or resets a password is better left out. The keys are those of the first:
	// policies that sign with other keys need a Verifier each. Required.
	Policies []string
}

// B2C is for access tokens of Azure AD B2C. It refuses ID tokens, which lack azp and scp;
// tokens of a policy that is not named; and tokens without any permission, as [Entra] does.
// Access tokens may have the nonce of the login.
//
// Scopes come from scp, roles from roles, and the client from azp. Both forms of iss are
// accepted, with and without the policy in it (tfp).
func B2C(c B2CConfig) jwtverify.Config {
	p := of("idp.B2C", "")
	name := strings.ToLower(p.part("Name", c.Name, "the first label of <name>.b2clogin.com"))
	tenant := p.tenant("Tenant", c.Tenant)
	origin := "https://" + name + ".b2clogin.com/"
	policies := p.list("Policies", "the user flows and policies whose tokens open the API", c.Policies)
	for i, policy := range policies {
		policies[i] = strings.ToLower(policy)
		p.part("Policies", policy, "the name of a user flow or policy")
		p.IssuerAliases = append(p.IssuerAliases, origin+"tfp/"+tenant+"/"+policies[i]+"/v2.0/")
	}
	p.Issuer = origin + tenant + "/v2.0/"
	if len(policies) > 0 {
		p.KeysURL = fmt.Sprintf("%s%s.onmicrosoft.com/%s/discovery/v2.0/keys", origin, name, policies[0])
	}
	p.entraAudiences(c.API, nil, 2)
	p.Algorithms, p.ScopeClaims, p.ClientClaims, p.AllowMarks = []string{"RS256"}, []string{"scp"}, []string{"azp"}, []string{"nonce"}
	return p.with(func(c *claims) error {
		policy := "tfp"
		if !c.members.has(policy) {
			policy = "acr"
		}
		if !slices.Contains(policies, strings.ToLower(c.members.text(policy))) {
			return c.refuse(bearergate.ReasonPolicy, "the policy that issued the token is not on the list", accept.Quoted(policies...), c.found(policy))
		}
		if c.members.has("tid") {
			if err := c.equals(bearergate.ReasonIssuer, "tid", tenant); err != nil {
				return err
			}
		}
		c.Tenant = tenant
		return first(c.marked("azp"), c.granted())
	})
}

// ADFS is for access tokens of Active Directory Federation Services. host is that of the
// farm, "adfs.example.com", and audience what the application group calls the API: the
// identifier of its Web API, with or without "microsoft:identityserver:" before it, which
// AD FS writes into aud.
//
// AD FS names itself differently in access tokens (http://…/adfs/services/trust) and in ID
// tokens, so that those are refused for their issuer; tokens without appid are refused too.
// Nothing is fetched by http. Do not name the issuer of ID tokens as an alias: with the scope
// allatclaims they have the claims of access tokens. Scopes come from scp, the client from
// appid.
func ADFS(host, audience string) jwtverify.Config {
	p := of("idp.ADFS", "")
	host = p.host("host", host)
	p.Issuer, p.KeysURL = "http://"+host+"/adfs/services/trust", "https://"+host+"/adfs/discovery/keys"
	p.needs("audience", audience, "the identifier of the Web API in its application group")
	if audience == "urn:microsoft:userinfo" {
		p.wrong.Addf("audience is %q, which the token of every client has that names no API: give the identifier of the Web API", audience)
	}
	const prefix = "microsoft:identityserver:"
	p.Config.Audiences = []string{audience}
	if !strings.HasPrefix(audience, prefix) {
		p.Config.Audiences = append(p.Config.Audiences, prefix+audience)
	}
	p.ClientClaims = []string{"appid"}
	return p.with(func(c *claims) error { return c.marked("appid") })
}
