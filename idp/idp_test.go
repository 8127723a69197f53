package idp_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// What each provider's tokens look like, and which are refused: test/zoo. Here is what is
// the same for all, and what takes no token.

const (
	tenant  = "11111111-2222-3333-4444-555555555555"
	api     = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	cluster = "https://cluster.example.test"
)

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config jwtverify.Config
		says   []string
	}{
		{"a list that is empty", idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_x", Resource: "orders"}), []string{"Clients is empty"}},
		{"nothing at all", idp.Cognito(idp.CognitoConfig{}), []string{"Region is empty", "Pool is empty", "Resource is empty", "Clients is empty"}},
		{"a pool of another region", idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "us-east-1_x", Resource: "orders", Clients: []string{"a"}}), []string{"another region"}},
		{"an empty string on a list", idp.GoogleServiceAccounts("https://api.example.test", "a@b.test", ""), []string{"emails contains an empty string"}},
		{"a wildcard on a list", idp.GoogleServiceAccounts("https://api.example.test", "*@b.test"), []string{`"*@b.test" has a *`}},
		{"no account", idp.GoogleServiceAccounts("https://api.example.test"), []string{"emails is empty"}},
		{"any tenant", idp.Entra(idp.EntraConfig{Tenant: "common", API: api}), []string{`"common", which stands for every tenant`}},
		{"any tenant, in capitals", idp.Entra(idp.EntraConfig{Tenant: "Organizations", API: api}), []string{"stands for every tenant"}},
		{"the name of a tenant", idp.Entra(idp.EntraConfig{Tenant: "contoso.onmicrosoft.com", API: api}), []string{"a GUID"}},
		{"a URI as API", idp.Entra(idp.EntraConfig{Tenant: tenant, API: "api://orders"}), []string{"belongs into AppIDURIs"}},
		{"no API", idp.Entra(idp.EntraConfig{Tenant: tenant}), []string{"API is empty"}},
		{"an empty URI", idp.Entra(idp.EntraConfig{Tenant: tenant, API: api, AppIDURIs: []string{""}}), []string{"AppIDURIs is empty"}},
		{"an unknown version", idp.Entra(idp.EntraConfig{Tenant: tenant, API: api, Version: 3}), []string{"Version is 3"}},
		{"no tenant", idp.ExternalID("", api), []string{"tenant is empty"}},
		{"no policy", idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: tenant, API: api}), []string{"Policies is empty"}},
		{"a host as name", idp.B2C(idp.B2CConfig{Name: "https://contoso.b2clogin.com", Tenant: tenant, API: api, Policies: []string{"b2c_1_x"}}), []string{"Name is"}},
		{"a path as host", idp.ADFS("adfs.example.test/adfs", "orders"), []string{"host is"}},
		{"no audience", idp.ADFS("adfs.example.test", ""), []string{"audience is empty"}},
		{"no condition", idp.Workload(cluster, "orders", nil), []string{"Where is empty"}},
		{"a condition without values", idp.Workload(cluster, "orders", idp.Where{"sub": nil}), []string{"Where[sub] is empty"}},
		{"a condition that anything meets", idp.Workload(cluster, "orders", idp.Where{"sub": {"repo:*"}}), []string{`"repo:*" has a *`}},
		{"a condition without a path", idp.Workload(cluster, "orders", idp.Where{"": {"x"}}), []string{"no path of a claim"}},
		{"any repository's main branch", idp.GitHubActions("orders", idp.Where{"ref": {"refs/heads/main"}}), []string{"strangers have tokens of this issuer too"}},
		{"a workflow that others may call", idp.GitHubActions("orders", idp.Where{"job_workflow_ref": {"o/r/.github/workflows/w.yml@refs/heads/main"}}), []string{"strangers have tokens of this issuer too"}},
		{"any project of gitlab.com", idp.GitLabCI("https://gitlab.com", "orders", idp.Where{"ref_protected": {"true"}}), []string{"strangers"}},
		{"any organization of Buildkite", idp.Buildkite("orders", idp.Where{"pipeline_slug": {"deploy"}}), []string{"strangers"}},
		{"any organization of HCP", idp.HCPTerraform("orders", idp.Where{"terraform_workspace_name": {"prod"}}), []string{"strangers"}},
		{"no account of a cluster", idp.Kubernetes(cluster, "orders", idp.Where{}), []string{"Where is empty"}},
		{"no SPIFFE ID", idp.SPIFFE("example.test", cluster, "orders"), []string{"ids is empty"}},
		{"another trust domain", idp.SPIFFE("example.test", cluster, "orders", "spiffe://other.test/a"), []string{"no ID of the trust domain"}},
		{"a whole trust domain", idp.SPIFFE("example.test", cluster, "orders", "spiffe://example.test/"), []string{"no ID of the trust domain"}},
		{"no client of Google's", idp.GoogleUsers("", ""), []string{"clientID is empty"}},
		{"no backend", idp.IAP("orders"), []string{"backend is"}},
		{"Keycloak's account", idp.Keycloak("https://sso.example.test/realms/shop", "account"), []string{"the token of every user of the realm has"}},
		{"Okta's org server", idp.Okta("example.okta.com", "", "api://default"), []string{"org server can only be verified by Okta itself"}},
		{"Okta's admin console", idp.Okta("example-admin.okta.com", "default", "api://default"), []string{"leave out -admin"}},
		{"Auth0's own API", idp.Auth0("example.eu.auth0.com", "https://example.eu.auth0.com/userinfo"), []string{"an API of Auth0's own"}},
		{"no domain", idp.Auth0("", "https://api.example.test"), []string{"domain is empty"}},
		{"no origin", idp.Clerk(idp.ClerkConfig{FrontendAPI: "https://clerk.example.test"}), []string{"Origins is empty"}},
		{"no origin demanded, and no audience", idp.Clerk(idp.ClerkConfig{FrontendAPI: "https://clerk.example.test", AllowMissingOrigin: true}), []string{"nothing would say for which application"}},
		{"no client", idp.WorkOS(""), []string{"clientID is empty"}},
		{"no project", idp.Supabase(""), []string{"project is empty"}},
		{"a URL as project", idp.Supabase("https://x.supabase.co"), []string{"without a URL around it"}},
		{"no Firebase project", idp.Firebase(""), []string{"project is empty"}},
		{"no Stytch project", idp.Stytch(""), []string{"project is empty"}},
		{"no Descope project", idp.Descope(""), []string{"project is empty"}},
		{"PingOne's own API", idp.PingOne(tenant, "https://api.pingone.com"), []string{"the API of PingOne's own"}},
		{"another URL than PingOne's issuer", idp.PingOne("https://auth.pingone.eu/", "orders"), []string{"or its issuer"}},
		{"no tag", idp.CloudflareAccess("example", ""), []string{"audience is empty"}},
		{"no issuer", idp.Authentik("", "orders"), []string{"issuer is empty"}},
		{"no client of Dex", idp.Dex("https://dex.example.test", ""), []string{"clientID is empty"}},
		{"no app", idp.Salesforce("example.my.salesforce.com"), []string{"apps is empty"}},
		{"no ID", idp.IDTokens("https://as.example.test", ""), []string{"clientID is empty"}},
		{"nobody to call for", idp.GoogleServiceAccounts("", "a@b.test"), []string{"audience is empty"}},
		{"nothing of Keycloak", idp.Keycloak("", ""), []string{"issuer is empty", "audience is empty"}},
		{"no audience of Okta", idp.Okta("example.okta.com", "default", ""), []string{"audience is empty"}},
		{"a URL as server", idp.Okta("example.okta.com", "https://example.okta.com/oauth2/default", "orders"), []string{"server is", "without a URL around it"}},
		{"no API of Auth0", idp.Auth0("example.eu.auth0.com", ""), []string{"api is empty"}},
		{"no audience of PingOne", idp.PingOne(tenant, ""), []string{"audience is empty"}},
		{"no environment of PingOne", idp.PingOne("", "orders"), []string{"environment is empty"}},
		{"another path than PingOne's", idp.PingOne("https://auth.pingone.eu/"+tenant+"/davinci", "orders"), []string{"or its issuer"}},
		{"more path than PingOne's", idp.PingOne("https://auth.pingone.eu/"+tenant+"/as/token", "orders"), []string{"or its issuer"}},
		{"no client of authentik", idp.Authentik("https://auth.example.test/application/o/orders/", ""), []string{"clientID is empty"}},
		{"no issuer of Dex", idp.Dex("", "orders"), []string{"issuer is empty"}},
		{"no issuer of ID tokens", idp.IDTokens("", "orders"), []string{"issuer is empty"}},
		{"no audience of a workload", idp.Workload(cluster, "", idp.Where{"sub": {"a"}}), []string{"audience is empty"}},
		{"no audience of a pod", idp.Kubernetes(cluster, "", idp.Where{"sub": {"system:serviceaccount:a:b"}}), []string{"audience is empty"}},
		{"no audience of an SVID", idp.SPIFFE("example.test", cluster, "", "/a"), []string{"audience is empty"}},
		{"no team", idp.CloudflareAccess("", "tag"), []string{"team is empty"}},
		{"a URL as policy", idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: tenant, API: api, Policies: []string{"https://contoso.b2clogin.com/b2c_1_x"}}), []string{"Policies is", "without a URL around it"}},
		{"a condition on every claim", idp.Workload(cluster, "orders", idp.Where{"*": {"x"}}), []string{`"*" is no path of a claim`}},
		{"white space", idp.Keycloak("https://sso.example.test/realms/shop", "orders "), []string{"white space"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := jwtverify.New(tt.config)
			require.Nil(t, v)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, says := range tt.says {
				require.ErrorContains(t, err, "idp.")
				require.ErrorContains(t, err, says)
			}
		})
	}
}

// What people write in another form, and mean the same.
func TestSpellings(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b jwtverify.Config
	}{
		{name: "a domain as a URL", a: idp.Auth0("example.eu.auth0.com", "orders"), b: idp.Auth0("https://example.eu.auth0.com/", "orders")},
		{name: "a team as a host", a: idp.CloudflareAccess("example", "x"), b: idp.CloudflareAccess("example.cloudflareaccess.com", "x")},
		{name: "a GUID in capitals", a: idp.Entra(idp.EntraConfig{Tenant: "ABCDEF00-2222-3333-4444-555555555555", API: api}), b: idp.Entra(idp.EntraConfig{Tenant: "abcdef00-2222-3333-4444-555555555555", API: api})},
		{name: "version 2 by default", a: idp.Entra(idp.EntraConfig{Tenant: tenant, API: api}), b: idp.Entra(idp.EntraConfig{Tenant: tenant, API: api, Version: 2})},
		{name: "gitlab.com with a slash", a: idp.GitLabCI("https://gitlab.com/", "x", idp.Where{"sub": {"y"}}), b: idp.GitLabCI("https://gitlab.com", "x", idp.Where{"sub": {"y"}})},
		{name: "a trust domain as a SPIFFE ID", a: idp.SPIFFE("example.org", "", "x", "/y"), b: idp.SPIFFE("spiffe://example.org", "", "x", "/y")},
		{name: "PingOne's issuer", a: idp.PingOne(tenant, "x"), b: idp.PingOne("https://auth.pingone.com/"+tenant+"/as", "x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, tt.a.Err)
			require.NoError(t, tt.b.Err)
			require.Equal(t, tt.a.Issuer, tt.b.Issuer)
			require.Equal(t, tt.a.KeysURL, tt.b.KeysURL)
			require.Equal(t, tt.a.MetadataURL, tt.b.MetadataURL)
			require.Equal(t, tt.a.Audiences, tt.b.Audiences)
		})
	}
}

// Conditions on claims: how they are found and compared.
func TestWhere(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name    string
		where   idp.Where
		claims  map[string]any
		refused bool
	}{
		{name: "the value", where: idp.Where{"env": {"prod"}}, claims: map[string]any{"env": "prod"}},
		{name: "one of several", where: idp.Where{"env": {"test", "prod"}}, claims: map[string]any{"env": "prod"}},
		{name: "another value", where: idp.Where{"env": {"prod"}}, claims: map[string]any{"env": "production"}, refused: true},
		{name: "another case", where: idp.Where{"env": {"prod"}}, claims: map[string]any{"env": "Prod"}, refused: true},
		{name: "nothing", where: idp.Where{"env": {"prod"}}, refused: true},
		{name: "null", where: idp.Where{"env": {"null"}}, claims: map[string]any{"env": nil}, refused: true},
		{name: "an object", where: idp.Where{"env": {"{}"}}, claims: map[string]any{"env": map[string]any{}}, refused: true},
		{name: "all paths must hold", where: idp.Where{"env": {"prod"}, "team": {"a"}}, claims: map[string]any{"env": "prod", "team": "b"}, refused: true},
		{name: "a number", where: idp.Where{"id": {"42"}}, claims: map[string]any{"id": 42}},
		{name: "a number as text", where: idp.Where{"id": {"42"}}, claims: map[string]any{"id": "42"}},
		{name: "another number", where: idp.Where{"id": {"42"}}, claims: map[string]any{"id": 420}, refused: true},
		{name: "true", where: idp.Where{"protected": {"true"}}, claims: map[string]any{"protected": true}},
		{name: "true as text", where: idp.Where{"protected": {"true"}}, claims: map[string]any{"protected": "true"}},
		{name: "false", where: idp.Where{"protected": {"true"}}, claims: map[string]any{"protected": false}, refused: true},
		{name: "an element of an array", where: idp.Where{"groups": {"ops"}}, claims: map[string]any{"groups": []any{"dev", "ops", 7, nil}}},
		{name: "no element", where: idp.Where{"groups": {"ops"}}, claims: map[string]any{"groups": []any{"dev"}}, refused: true},
		{name: "an array in an array", where: idp.Where{"groups": {"ops"}}, claims: map[string]any{"groups": []any{[]any{"ops"}}}, refused: true},
		{name: "an array in an array, as text", where: idp.Where{"groups": {`["ops"]`}}, claims: map[string]any{"groups": []any{[]any{"ops"}}}, refused: true},
		{name: "null in an array", where: idp.Where{"groups": {"null"}}, claims: map[string]any{"groups": []any{nil}}, refused: true},
		{name: "an empty array", where: idp.Where{"groups": {"ops"}}, claims: map[string]any{"groups": []any{}}, refused: true},
		{name: "inside an object", where: idp.Where{"a.b.c": {"x"}}, claims: map[string]any{"a": map[string]any{"b": map[string]any{"c": "x"}}}},
		{name: "inside an object, without a dot", where: idp.Where{"a-b": {"x"}}, claims: map[string]any{"a": map[string]any{"b": "x"}}, refused: true},
		{name: "a name with dots", where: idp.Where{"kubernetes.io.namespace": {"shop"}}, claims: map[string]any{"kubernetes.io": map[string]any{"namespace": "shop"}}},
		{name: "two readings of one path", where: idp.Where{"a.b": {"x"}}, claims: map[string]any{"a.b": "x", "a": map[string]any{"b": "x"}}, refused: true},
		{name: "the whole path is a name", where: idp.Where{"https://example.test/team": {"x"}}, claims: map[string]any{"https://example.test/team": "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := idp.Workload(kit.Issuer, kit.Audience, tt.where)
			c.Keys, c.Now = s.Set(t), nowOf
			v, err := jwtverify.New(c)
			require.NoError(t, err)
			token, err := v.Verify(t.Context(), s.Sign(t, tt.claims))
			if tt.refused {
				kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
				require.NotNil(t, bearergate.AsError(err).Refused, "the event names the token that was refused")
				return
			}
			require.NoError(t, err)
		})
	}
}

// Where the tokens of an issuer come from, and where its keys are, for what the tokens of
// test/zoo do not show: other regions, and other ways to write the same.
func TestIssuerAndKeys(t *testing.T) {
	for _, tt := range []struct {
		name      string
		config    jwtverify.Config
		issuer    string
		keys      string // KeysURL
		metadata  string // MetadataURL
		audiences []string
	}{
		{name: "Cognito in China", config: idp.Cognito(idp.CognitoConfig{Region: "cn-north-1", Pool: "cn-north-1_x", Resource: "orders", Clients: []string{"a"}}),
			issuer: "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x", keys: "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x/.well-known/jwks.json", audiences: []string{"orders"}},
		{name: "Entra, IDs in capitals", config: idp.Entra(idp.EntraConfig{Tenant: strings.ToUpper(tenant), API: strings.ToUpper(api), Version: 2}),
			issuer: "https://login.microsoftonline.com/" + tenant + "/v2.0", metadata: "https://login.microsoftonline.com/" + tenant + "/v2.0/.well-known/openid-configuration", audiences: []string{api}},
		{name: "Entra, version 1, URIs with a slash and without", config: idp.Entra(idp.EntraConfig{Tenant: tenant, API: api, AppIDURIs: []string{"https://a.test/", "https://b.test"}, Version: 1}),
			issuer: "https://sts.windows.net/" + tenant + "/", metadata: "https://login.microsoftonline.com/" + tenant + "/.well-known/openid-configuration",
			audiences: []string{api, "api://" + api, "api://" + api + "/", "https://a.test", "https://a.test/", "https://b.test", "https://b.test/"}},
		{name: "External ID", config: idp.ExternalID(tenant, api), issuer: "https://" + tenant + ".ciamlogin.com/" + tenant + "/v2.0",
			metadata: "https://" + tenant + ".ciamlogin.com/" + tenant + "/v2.0/.well-known/openid-configuration", audiences: []string{api}},
		{name: "B2C in capitals", config: idp.B2C(idp.B2CConfig{Name: "Contoso", Tenant: strings.ToUpper(tenant), API: api, Policies: []string{"B2C_1_Signin"}}),
			issuer: "https://contoso.b2clogin.com/" + tenant + "/v2.0/", keys: "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_signin/discovery/v2.0/keys", audiences: []string{api}},
		{name: "AD FS, with the prefix", config: idp.ADFS("https://adfs.example.test/", "microsoft:identityserver:orders"),
			issuer: "http://adfs.example.test/adfs/services/trust", keys: "https://adfs.example.test/adfs/discovery/keys", audiences: []string{"microsoft:identityserver:orders"}},
		{name: "AD FS, without it", config: idp.ADFS("adfs.example.test:8443", "orders"),
			issuer: "http://adfs.example.test:8443/adfs/services/trust", keys: "https://adfs.example.test:8443/adfs/discovery/keys", audiences: []string{"orders", "microsoft:identityserver:orders"}},
		{name: "Okta by URL", config: idp.Okta("https://example.okta.com/", "default", "orders"), issuer: "https://example.okta.com/oauth2/default", audiences: []string{"orders"}},
		{name: "Auth0 by URL", config: idp.Auth0("https://example.eu.auth0.com/", "orders"), issuer: "https://example.eu.auth0.com/", audiences: []string{"orders"}},
		{name: "PingOne by its issuer", config: idp.PingOne("https://auth.pingone.eu/"+tenant+"/as", "orders"), issuer: "https://auth.pingone.eu/" + tenant + "/as", audiences: []string{"orders"}},
		{name: "GitLab with a slash", config: idp.GitLabCI("https://gitlab.example.test/", "orders", idp.Where{"project_id": {"1"}}), issuer: "https://gitlab.example.test", audiences: []string{"orders"}},
		{name: "Stytch, a test project", config: idp.Stytch("project-test-1"), issuer: "stytch.com/project-test-1", keys: "https://test.stytch.com/v1/sessions/jwks/project-test-1", audiences: []string{"project-test-1"}},
		{name: "Descope, the longest ID without a region", config: idp.Descope("P" + strings.Repeat("2", 30)),
			issuer: "https://api.descope.com/P" + strings.Repeat("2", 30), keys: "https://api.descope.com/P" + strings.Repeat("2", 30) + "/.well-known/jwks.json", audiences: []string{"P" + strings.Repeat("2", 30)}},
		{name: "Descope, the shortest ID with one", config: idp.Descope("Puse1" + strings.Repeat("2", 27)),
			issuer: "https://api.use1.descope.com/Puse1" + strings.Repeat("2", 27), keys: "https://api.use1.descope.com/Puse1" + strings.Repeat("2", 27) + "/.well-known/jwks.json", audiences: []string{"Puse1" + strings.Repeat("2", 27)}},
		{name: "Cloudflare Access by URL", config: idp.CloudflareAccess("https://example.cloudflareaccess.com/", "tag"),
			issuer: "https://example.cloudflareaccess.com", keys: "https://example.cloudflareaccess.com/cdn-cgi/access/certs", audiences: []string{"tag"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := jwtverify.New(tt.config)
			require.NoError(t, err)
			require.Equal(t, tt.issuer, tt.config.Issuer)
			require.Equal(t, tt.keys, tt.config.KeysURL)
			require.Equal(t, tt.metadata, tt.config.MetadataURL)
			require.Equal(t, tt.audiences, tt.config.Audiences)
		})
	}
}

// Where a provider signs with one algorithm, no other is accepted, whatever its keys would
// serve.
func TestAlgorithms(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config jwtverify.Config
		want   string
	}{
		{name: "Cognito", config: idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_x", Resource: "orders", Clients: []string{"a"}}), want: "RS256"},
		{name: "Google, service accounts", config: idp.GoogleServiceAccounts("https://api.example.test", "a@b.test"), want: "RS256"},
		{name: "Google, users", config: idp.GoogleUsers("client", ""), want: "RS256"},
		{name: "Google, IAP", config: idp.IAP("/projects/1/apps/a"), want: "ES256"},
		{name: "Entra", config: idp.Entra(idp.EntraConfig{Tenant: tenant, API: api}), want: "RS256"},
		{name: "Entra External ID", config: idp.ExternalID(tenant, api), want: "RS256"},
		{name: "B2C", config: idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: tenant, API: api, Policies: []string{"b2c_1_x"}}), want: "RS256"},
		{name: "Salesforce", config: idp.Salesforce("example.my.salesforce.com", "app"), want: "RS256"},
		{name: "Firebase", config: idp.Firebase("project"), want: "RS256"},
		{name: "Cloudflare Access", config: idp.CloudflareAccess("example", "tag"), want: "RS256"},
	} {
		require.Equal(t, []string{tt.want}, tt.config.Algorithms, tt.name)
	}
}

// A rule holds whatever the user leaves out of the fields beside it.
func TestRulesDemandByThemselves(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	firebase := map[string]any{"aud": "project", "auth_time": kit.Now.Unix()}
	id := map[string]any{"scope": kit.Absent, "client_id": kit.Absent}
	b2c := idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: tenant, API: api, Policies: []string{"b2c_1_x"}})
	ofB2C := map[string]any{"aud": api, "tid": tenant, "tfp": "B2C_1_x", "azp": "app", "scp": "orders.read"}
	authentik := idp.Authentik(kit.Issuer, kit.Audience)
	authentik.AllowMarks = append(authentik.AllowMarks, "at_hash")
	ofAuthentik := map[string]any{"azp": kit.Audience, "uid": "u"}
	const origin = "https://app.example.test"
	clerk := idp.Clerk(idp.ClerkConfig{FrontendAPI: "clerk.example.test", Origins: []string{origin}, Audiences: []string{kit.Audience}})
	ofClerk := map[string]any{"azp": origin, "sts": "active"}
	for _, tt := range []struct {
		name    string
		config  jwtverify.Config
		good    map[string]any
		change  map[string]any
		refused bearergate.Reason
	}{
		{name: "Firebase", config: idp.Firebase("project"), good: firebase},
		{name: "Firebase, of nobody", config: idp.Firebase("project"), good: firebase, change: map[string]any{"sub": kit.Absent}, refused: bearergate.ReasonType},
		{name: "Firebase, no login", config: idp.Firebase("project"), good: firebase, change: map[string]any{"auth_time": kit.Absent}, refused: bearergate.ReasonPolicy},
		{name: "Firebase, a login after the token", config: idp.Firebase("project"), good: firebase, change: map[string]any{"auth_time": kit.Now.Unix() + 1}, refused: bearergate.ReasonPolicy},
		{name: "B2C", config: b2c, good: ofB2C},
		{name: "B2C, no client", config: b2c, good: ofB2C, change: map[string]any{"azp": kit.Absent}, refused: bearergate.ReasonType},
		{name: "B2C, no permission", config: b2c, good: ofB2C, change: map[string]any{"scp": kit.Absent}, refused: bearergate.ReasonPolicy},
		{name: "authentik", config: authentik, good: ofAuthentik},
		{name: "authentik, at_hash", config: authentik, good: ofAuthentik, change: map[string]any{"at_hash": "x"}, refused: bearergate.ReasonType},
		{name: "Clerk", config: clerk, good: ofClerk},
		{name: "Clerk, no origin", config: clerk, good: ofClerk, change: map[string]any{"azp": kit.Absent}, refused: bearergate.ReasonPolicy},
		{name: "Google's users, no azp", config: idp.GoogleUsers(kit.Audience, ""), good: map[string]any{"azp": kit.Absent}},
		{name: "ID tokens", config: idp.IDTokens(kit.Issuer, kit.Audience), good: id},
		{name: "ID tokens, with the ID of their client", config: idp.IDTokens(kit.Issuer, kit.Audience), good: id, change: map[string]any{"client_id": kit.Audience}},
		{name: "ID tokens, of nobody", config: idp.IDTokens(kit.Issuer, kit.Audience), good: id, change: map[string]any{"sub": kit.Absent}, refused: bearergate.ReasonType},
		{name: "ID tokens, no iat", config: idp.IDTokens(kit.Issuer, kit.Audience), good: id, change: map[string]any{"iat": kit.Absent}, refused: bearergate.ReasonMissingClaim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.config
			c.Issuer, c.KeysURL, c.Keys, c.Algorithms, c.RequiredClaims, c.Now = kit.Issuer, "", s.Set(t), nil, nil, nowOf
			v, err := jwtverify.New(c)
			require.NoError(t, err)
			claims := maps.Clone(tt.good)
			maps.Copy(claims, tt.change)
			token, err := v.Verify(t.Context(), s.SignWith(t, map[string]any{"alg": s.Alg, "kid": s.KeyID}, claims))
			if tt.refused != "" {
				kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, tt.refused)
				return
			}
			require.NoError(t, err)
		})
	}
}

// The client of a token is the one that the provider names, whatever else a mapper or a user
// writes where other providers have theirs.
func TestClients(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name   string
		config jwtverify.Config
		claims map[string]any
		want   string
	}{
		{name: "Keycloak", config: idp.Keycloak(kit.Issuer, kit.Audience), claims: map[string]any{"typ": "Bearer", "azp": "own"}, want: "own"},
		{name: "Keycloak, without azp", config: idp.Keycloak(kit.Issuer, kit.Audience), claims: map[string]any{"typ": "Bearer"}, want: "mapped"},
		{name: "Okta", config: idp.Okta("example.okta.com", "default", kit.Audience), claims: map[string]any{"jti": "AT.x", "cid": "own"}, want: "own"},
		{name: "Entra, version 2", config: idp.Entra(idp.EntraConfig{Tenant: tenant, API: api}),
			claims: map[string]any{"aud": api, "tid": tenant, "ver": "2.0", "azp": "own", "azpacr": "1", "scp": "orders.read"}, want: "own"},
		{name: "Entra, version 1", config: idp.Entra(idp.EntraConfig{Tenant: tenant, API: api, Version: 1}),
			claims: map[string]any{"aud": api, "tid": tenant, "ver": "1.0", "appid": "own", "appidacr": "1", "azp": "mapped", "scp": "orders.read"}, want: "own"},
		{name: "B2C", config: idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: tenant, API: api, Policies: []string{"b2c_1_x"}}),
			claims: map[string]any{"aud": api, "tfp": "B2C_1_x", "azp": "own", "scp": "orders.read"}, want: "own"},
		{name: "AD FS", config: idp.ADFS("adfs.example.test", kit.Audience), claims: map[string]any{"appid": "own", "azp": "mapped"}, want: "own"},
		{name: "authentik", config: idp.Authentik(kit.Issuer, kit.Audience), claims: map[string]any{"azp": kit.Audience, "uid": "u"}, want: kit.Audience},
		{name: "Dex", config: idp.Dex(kit.Issuer, kit.Audience), claims: map[string]any{"azp": kit.Audience}, want: kit.Audience},
		{name: "ID tokens without azp", config: idp.IDTokens(kit.Issuer, kit.Audience), claims: map[string]any{"client_id": kit.Audience, "scope": kit.Absent}},
		{name: "Clerk", config: idp.Clerk(idp.ClerkConfig{FrontendAPI: "clerk.example.test", Origins: []string{"https://app.example.test"}, Audiences: []string{kit.Audience}}),
			claims: map[string]any{"azp": "https://app.example.test", "sts": "active"}, want: "https://app.example.test"},
		{name: "Supabase", config: idp.Supabase("project"),
			claims: map[string]any{"aud": "authenticated", "role": "authenticated", "session_id": "s", "client_id": kit.Absent, "azp": "mapped"}},
		{name: "Cloudflare Access", config: idp.CloudflareAccess("example", kit.Audience), claims: map[string]any{"type": "app", "common_name": "own"}, want: "own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.config
			c.Issuer, c.IssuerAliases, c.KeysURL, c.MetadataURL, c.Keys, c.Algorithms, c.Now = kit.Issuer, nil, "", "", s.Set(t), nil, nowOf
			v, err := jwtverify.New(c)
			require.NoError(t, err)
			claims := map[string]any{"client_id": "mapped"}
			maps.Copy(claims, tt.claims)
			token, err := v.Verify(t.Context(), s.SignWith(t, map[string]any{"alg": s.Alg, "typ": "JWT", "kid": s.KeyID}, claims))
			require.NoError(t, err)
			require.Equal(t, tt.want, token.ClientID())
		})
	}
}

// Roles are strings that say something: of a list that holds anything else, none is taken.
func TestRolesThatAreNone(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	c := idp.Keycloak(kit.Issuer, kit.Audience)
	c.Keys, c.Now = s.Set(t), nowOf
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	for _, tt := range []struct {
		name  string
		roles any
		want  []string
	}{
		{name: "some", roles: []string{"a", "b"}, want: []string{"a", "b"}},
		{name: "one, as text", roles: "a", want: []string{"a"}},
		{name: "one without a name", roles: []string{"", "a"}, want: []string{"a"}},
		{name: "a number among them", roles: []any{"a", 7}},
		{name: "a number", roles: 7},
		{name: "an object", roles: map[string]any{"a": true}},
		{name: "null", roles: nil},
	} {
		token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"typ": "Bearer", "realm_access": map[string]any{"roles": tt.roles}}))
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, token.Roles(), tt.name)
	}
	for _, access := range []any{"a", 7, []string{"roles"}, nil} {
		token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"typ": "Bearer", "realm_access": access}))
		require.NoError(t, err)
		require.Nil(t, token.Roles())
	}
}

// WorkOS says one role, or all of them.
func TestRolesOfWorkOS(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	c := idp.WorkOS("client_1")
	c.Issuer, c.IssuerAliases, c.KeysURL, c.Keys, c.Now = kit.Issuer, nil, "", s.Set(t), nowOf
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   []string
	}{
		{name: "none"},
		{name: "one", claims: map[string]any{"role": "admin"}, want: []string{"admin"}},
		{name: "several", claims: map[string]any{"role": "admin", "roles": []string{"admin", "buyer"}}, want: []string{"admin", "buyer"}},
	} {
		claims := map[string]any{"aud": kit.Absent, "client_id": "client_1", "sid": "s"}
		maps.Copy(claims, tt.claims)
		token, err := v.Verify(t.Context(), s.Sign(t, claims))
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, token.Roles(), tt.name)
	}
}

// Permissions are scopes beside scope. Who has neither has not been said to have none.
func TestScopesOfAuth0(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	c := idp.Auth0("example.eu.auth0.com", kit.Audience)
	c.Issuer, c.Keys, c.Now = kit.Issuer, s.Set(t), nowOf
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	for _, tt := range []struct {
		name        string
		scope       any
		permissions any
		want        scope.Set
	}{
		{name: "neither", scope: kit.Absent, permissions: kit.Absent},
		{name: "an empty list", scope: kit.Absent, permissions: []string{}},
		{name: "scope", scope: "a b", permissions: kit.Absent, want: scope.Of("a", "b")},
		{name: "one permission", scope: kit.Absent, permissions: []string{"a"}, want: scope.Of("a")},
		{name: "both", scope: "a b", permissions: []string{"b", "c"}, want: scope.Of("a", "b", "c")},
	} {
		token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"scope": tt.scope, "permissions": tt.permissions}))
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want.Names(), token.Scopes().Names(), tt.name)
		require.Equal(t, tt.want.IsZero(), token.Scopes().IsZero(), tt.name)
	}
}

// An event and Explain say what was found in the place of what was expected.
func TestWhatWasFound(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	where := idp.Workload(kit.Issuer, kit.Audience, idp.Where{"groups": {"ops", "dev"}})
	for _, tt := range []struct {
		name            string
		config          jwtverify.Config
		claims          map[string]any
		expected, found string
	}{
		{name: "a string", config: idp.Descope("project"), claims: map[string]any{"drn": "DSR"}, expected: `drn "DS"`, found: `"DSR"`},
		{name: "nothing", config: idp.Descope("project"), expected: `drn "DS"`, found: "none"},
		{name: "null", config: idp.Descope("project"), claims: map[string]any{"drn": nil}, expected: `drn "DS"`, found: "none"},
		{name: "a number", config: idp.Descope("project"), claims: map[string]any{"drn": 7}, expected: `drn "DS"`, found: "no string, or an empty one"},
		{name: "an empty string", config: idp.Descope("project"), claims: map[string]any{"drn": ""}, expected: `drn "DS"`, found: "no string, or an empty one"},
		{name: "a condition, and nothing", config: where, expected: `groups "ops" "dev"`, found: "none"},
		{name: "a condition, and another value", config: where, claims: map[string]any{"groups": "a"}, expected: `groups "ops" "dev"`, found: `"a"`},
		{name: "a condition, and other values", config: where, claims: map[string]any{"groups": []any{"a", 7}}, expected: `groups "ops" "dev"`, found: `"a" "7"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.config
			c.Issuer, c.IssuerAliases, c.Audiences, c.KeysURL, c.Keys, c.Now = kit.Issuer, nil, []string{kit.Audience}, "", s.Set(t), nowOf
			v, err := jwtverify.New(c)
			require.NoError(t, err)
			e := v.Explain(t.Context(), s.Sign(t, tt.claims))
			at := slices.IndexFunc(e.Steps, func(step bearergate.Step) bool { return step.State == bearergate.StepFailed })
			require.NotEqual(t, -1, at)
			require.Equal(t, "preset", e.Steps[at].Name)
			require.Equal(t, tt.expected, e.Steps[at].Expected)
			require.Equal(t, tt.found, e.Steps[at].Found)
		})
	}
}

// What a provider says under a name of its own stands in for a claim that is missing, and
// replaces none that is there.
func TestClaimsOfTheirOwn(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	session := func(t *bearergate.Token) string { return t.SessionID() }
	for _, tt := range []struct {
		name     string
		config   jwtverify.Config
		claims   map[string]any
		standard string // the claim
		own      string
		read     func(*bearergate.Token) string
	}{
		{name: "Cognito", config: idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_x", Resource: kit.Audience, Clients: []string{"client-1"}}),
			claims: map[string]any{"token_use": "access"}, standard: "sid", own: "origin_jti", read: session},
		{name: "Keycloak", config: idp.Keycloak(kit.Issuer, kit.Audience), claims: map[string]any{"typ": "Bearer"}, standard: "sid", own: "session_state", read: session},
		{name: "Entra", config: idp.Entra(idp.EntraConfig{Tenant: tenant, API: api}), claims: map[string]any{"aud": api, "tid": tenant, "ver": "2.0", "azp": "app", "azpacr": "1", "scp": "orders.read"},
			standard: "jti", own: "uti", read: func(t *bearergate.Token) string { return t.ID() }},
		{name: "Supabase", config: idp.Supabase("project"), claims: map[string]any{"aud": "authenticated", "role": "authenticated", "session_id": "s", "client_id": kit.Absent},
			standard: "acr", own: "aal", read: func(t *bearergate.Token) string { return t.ACR() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.config
			c.Issuer, c.IssuerAliases, c.KeysURL, c.MetadataURL, c.Keys, c.Algorithms, c.Now = kit.Issuer, nil, "", "", s.Set(t), nil, nowOf
			v, err := jwtverify.New(c)
			require.NoError(t, err)
			for _, said := range []struct {
				standard any
				want     string
			}{{kit.Absent, "of its own"}, {"standard", "standard"}} {
				claims := map[string]any{tt.standard: said.standard, tt.own: "of its own"}
				maps.Copy(claims, tt.claims)
				token, err := v.Verify(t.Context(), s.Sign(t, claims))
				require.NoError(t, err)
				require.Equal(t, said.want, tt.read(token))
			}
		})
	}
}

// The rule of a preset is asked once for a token, before Map, and again by nobody.
func TestRuleComesBeforeMap(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name   string
		typ    any
		mapped int
	}{
		{name: "a token that the rule accepts", typ: "Bearer", mapped: 1},
		{name: "one that it refuses", typ: "Other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mapped := 0
			c := idp.Keycloak(kit.Issuer, kit.Audience)
			c.Keys, c.Now = s.Set(t), nowOf
			c.Map = func(claims *bearergate.Claims) error {
				mapped++
				require.Equal(t, []string{"a", "b"}, claims.Roles, "what the rule has read, Map sees")
				claims.Roles = append(claims.Roles, "mapped")
				return nil
			}
			v, err := jwtverify.New(c)
			require.NoError(t, err)
			raw := s.Sign(t, map[string]any{"typ": tt.typ, "realm_access": map[string]any{"roles": []string{"a"}},
				"resource_access": map[string]any{kit.Audience: map[string]any{"roles": []string{"b", "a"}}, "other": map[string]any{"roles": []string{"c"}}}})
			for range 3 {
				token, err := v.Verify(t.Context(), raw)
				if tt.mapped == 0 {
					kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, []string{"a", "b", "mapped"}, token.Roles())
			}
			require.Equal(t, tt.mapped, mapped)
		})
	}
}

// What a user sets beside a preset adds to it.
func TestUserFieldsAddToTheRule(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	c := idp.Keycloak(kit.Issuer, kit.Audience)
	c.Keys, c.Now = s.Set(t), nowOf
	c.Map = func(c *bearergate.Claims) error { c.Roles = []string{"admin"}; return nil }
	c.Check = func(context.Context, *bearergate.Token) error { return nil }
	c.AllowTypes, c.AllowMarks = []string{"JOSE"}, []string{"at_hash", "c_hash", "s_hash", "nonce", "code"}
	c.Audiences = append(c.Audiences, "account")
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"typ": "Bearer", "aud": "account"}))
	kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonAudience)
	_, err = v.Verify(t.Context(), s.Sign(t, map[string]any{"typ": "Bearer", "aud": []string{"account", kit.Audience}}))
	require.NoError(t, err)
	for _, claims := range []map[string]any{{"typ": "ID"}, {"typ": "Refresh"}, {"typ": kit.Absent}, {"typ": nil}, {"typ": 7}, {"typ": "DPoP"}, {"nonce": "x", "at_hash": "y"}} {
		token, err := v.Verify(t.Context(), s.Sign(t, claims))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
	}
}

// Explain names the rule, and what it expected.
func TestExplain(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	c := idp.Okta("example.okta.com", "default", kit.Audience)
	c.Issuer, c.Keys, c.Now = kit.Issuer, s.Set(t), nowOf
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	raw := s.Sign(t, map[string]any{"jti": "ID.x", "cid": "app"})
	_, err = v.Verify(t.Context(), raw)
	e := v.Explain(t.Context(), raw)
	kit.RequireExplained(t, e, err, raw)
	step := e.Steps[len(e.Steps)-2]
	require.Equal(t, bearergate.Step{Name: "preset", State: bearergate.StepFailed, Detail: "idp.Okta: jti does not begin as that of an access token",
		Expected: `jti "AT.…"`, Found: `"ID.x"`}, step)
	require.NotEmpty(t, e.Advice)
}

func TestEntraGroups(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name      string
		claims    map[string]any
		groups    []string
		elsewhere bool
	}{
		{name: "none"},
		{name: "some", claims: map[string]any{"groups": []string{"a", "b"}}, groups: []string{"a", "b"}},
		{name: "too many", claims: map[string]any{"_claim_names": map[string]any{"groups": "src1"}}, elsewhere: true},
		{name: "too many, and some", claims: map[string]any{"groups": []string{"a"}, "_claim_names": map[string]any{"groups": "src1"}}, elsewhere: true},
		{name: "too many, in the implicit flow", claims: map[string]any{"hasgroups": true}, elsewhere: true},
		{name: "too many, as text", claims: map[string]any{"hasgroups": "true"}, elsewhere: true},
		{name: "not too many, as text", claims: map[string]any{"groups": []string{"a"}, "hasgroups": "false"}, groups: []string{"a"}},
		{name: "not too many", claims: map[string]any{"hasgroups": false, "_claim_names": map[string]any{"other": "src1"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := jwtverify.New(jwtverify.Config{Issuer: kit.Issuer, Audiences: []string{kit.Audience}, Keys: s.Set(t), Now: nowOf})
			require.NoError(t, err)
			token, err := v.Verify(t.Context(), s.Sign(t, tt.claims))
			require.NoError(t, err)
			groups, err := idp.EntraGroups(token)
			if tt.elsewhere {
				require.ErrorIs(t, err, idp.ErrGroupsElsewhere)
				require.Nil(t, groups)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.groups, groups)
		})
	}
	_, err := idp.EntraGroups(bearergate.NewToken(bearergate.Claims{Raw: []byte(`{"groups":"a"}`)}))
	require.Error(t, err, "of another type, they are not none")
}

func TestEntraTenantsMistakes(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	good := idp.EntraTenantsConfig{Tenants: []string{tenant}, API: api}
	_, err := idp.EntraTenants(good)
	require.NoError(t, err)
	for _, tt := range []struct {
		name   string
		change func(*idp.EntraTenantsConfig)
		says   string
	}{
		{"nobody", func(c *idp.EntraTenantsConfig) { c.Tenants = nil }, "Tenants is empty and Lookup is nil"},
		{"no API", func(c *idp.EntraTenantsConfig) { c.API = "" }, "API is empty"},
		{"everybody", func(c *idp.EntraTenantsConfig) { c.Tenants = []string{"common"} }, "stands for every tenant"},
		{"Issuer", func(c *idp.EntraTenantsConfig) { c.Verifier.Issuer = kit.Issuer }, "Verifier.Issuer is set"},
		{"Audiences", func(c *idp.EntraTenantsConfig) { c.Verifier.Audiences = []string{"x"} }, "Verifier.Audiences is set"},
		{"Keys", func(c *idp.EntraTenantsConfig) { c.Verifier.Keys = s.Set(t) }, "Verifier.Keys is set"},
		{"KeysURL", func(c *idp.EntraTenantsConfig) { c.Verifier.KeysURL = "https://x.test" }, "Verifier.KeysURL is set"},
		{"another preset", func(c *idp.EntraTenantsConfig) { c.Verifier.Preset = idp.Dex("https://x.test", "y").Preset }, "Verifier.Preset is set"},
		{"the mistake of another preset", func(c *idp.EntraTenantsConfig) { c.Verifier.Err = idp.Supabase("").Err }, "project is empty"},
		{"the mistake of another preset, beside one of its own", func(c *idp.EntraTenantsConfig) { c.API, c.Verifier.Err = "", idp.Supabase("").Err }, "project is empty"},
		{"a mistake in the rest", func(c *idp.EntraTenantsConfig) { c.Verifier.Leeway = -1 }, "Leeway"},
		{"a mistake in the rest, of a tenant that is looked up", func(c *idp.EntraTenantsConfig) {
			c.Tenants, c.Verifier.Leeway = nil, -1
			c.Lookup = func(context.Context, string) (bool, error) { return true, nil }
		}, "Leeway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			router, err := idp.EntraTenants(c)
			require.Nil(t, router)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

// Presets hand out configurations of their own: what one caller changes, no other sees.
func TestConfigsAreNotShared(t *testing.T) {
	clients := []string{"a", "b"}
	c := idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_x", Resource: "orders", Clients: clients})
	clients[0] = "evil"
	require.Equal(t, map[string][]string{"client_id": {"a", "b"}}, c.AllowAudienceFrom)
	c.Audiences[0] = "evil"
	again := idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_x", Resource: "orders", Clients: []string{"a"}})
	require.Equal(t, []string{"orders"}, again.Audiences)

	s := kit.NewSigner(t, "ES256", "k")
	c = idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_x", Resource: "orders", Clients: []string{"a"}})
	c.AllowAudienceFrom["client_id"][0] = "client-1" // what stands in for aud is the user's; the rule is not
	c.Issuer, c.Keys, c.KeysURL, c.Algorithms, c.Now = kit.Issuer, s.Set(t), "", nil, nowOf
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"token_use": "access", "aud": kit.Absent, "scope": "orders/read"}))
	kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
}

// nowOf is the moment at which the tokens of kit are good.
func nowOf() time.Time { return kit.Now }

// What a review found: each would have let somebody in, or was a mistake that nobody named.
func TestMoreMistakes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config jwtverify.Config
		says   string
	}{
		{"a subject that strangers can have", idp.GitHubActions("orders", idp.Where{"sub": {"job_workflow_ref:o/r/.github/workflows/w.yml@refs/heads/main"}}), "strangers"},
		{"one of two subjects", idp.GitHubActions("orders", idp.Where{"sub": {"repo:o/r:ref:refs/heads/main", "environment:prod"}}), "strangers"},
		{"GitHub by another name", idp.Workload("https://token.actions.githubusercontent.com", "orders", idp.Where{"ref": {"refs/heads/main"}}), "strangers"},
		{"gitlab.com by another name", idp.Workload("https://gitlab.com/", "orders", idp.Where{"ref": {"main"}}), "strangers"},
		{"an account of any namespace", idp.Kubernetes(cluster, "orders", idp.Where{"kubernetes.io.serviceaccount.name": {"orders"}}), "strangers"},
		{"the API server's audience", idp.Kubernetes(cluster, "https://kubernetes.default.svc.cluster.local", idp.Where{"sub": {"system:serviceaccount:a:b"}}), "API server"},
		{"the API server's audience, the issuer", idp.Kubernetes(cluster, cluster, idp.Where{"sub": {"system:serviceaccount:a:b"}}), "API server"},
		{"Auth0's API under the tenant's domain", idp.Auth0("login.example.test", "https://example.eu.auth0.com/api/v2/"), "an API of Auth0's own"},
		{"Auth0's API under a custom domain", idp.Auth0("login.example.test", "https://login.example.test/me/"), "an API of Auth0's own"},
		{"Auth0's API of organizations", idp.Auth0("login.example.test", "https://login.example.test/my-org/"), "an API of Auth0's own"},
		{"Auth0's API of second factors", idp.Auth0("login.example.test", "https://login.example.test/mfa/"), "an API of Auth0's own"},
		{"GitHub by another name, a subject that strangers can have", idp.Workload("https://token.actions.githubusercontent.com/", "orders", idp.Where{"sub": {"environment:prod"}}), "strangers"},
		{"any organization of HCP in Europe", idp.Workload("https://app.eu.terraform.io", "orders", idp.Where{"terraform_workspace_name": {"prod"}}), "strangers"},
		{"the audience of those who name none", idp.ADFS("adfs.example.test", "urn:microsoft:userinfo"), "names no API"},
		{"no environment", idp.PingOne("https://auth.pingone.eu//as", "orders"), "environment"},
		{"no origin, but a host", idp.Clerk(idp.ClerkConfig{FrontendAPI: "clerk.example.test", Origins: []string{"app.example.test"}}), "no origin"},
		{"a wildcard as origin", idp.Clerk(idp.ClerkConfig{FrontendAPI: "clerk.example.test", Origins: []string{"https://*.example.test"}, Audiences: []string{"orders"}, AllowMissingOrigin: true}), "has a *"},
		{"an origin with a slash", idp.Clerk(idp.ClerkConfig{FrontendAPI: "clerk.example.test", Origins: []string{"https://app.example.test/"}}), "no origin"},
		{"a URL as domain", idp.GoogleUsers("client", "https://example.test"), "hostedDomain"},
		{"a port in a trust domain", idp.SPIFFE("example.test:8443", cluster, "orders", "/a"), "trustDomain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := jwtverify.New(tt.config)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tt.says)
		})
	}
	for name, config := range map[string]jwtverify.Config{
		"a repository's subject":      idp.GitHubActions("orders", idp.Where{"sub": {"repo:o/r:ref:refs/heads/main"}}),
		"an underscore":               idp.SPIFFE("a_b.example.test", cluster, "orders", "spiffe://a_b.example.test/x", "/y", "z"),
		"an own API at a tenant":      idp.Auth0("example.eu.auth0.com", "https://api.example.test/me/"),
		"GitLab of one's own":         idp.GitLabCI("https://gitlab.example.test", "orders", idp.Where{"ref_protected": {"true"}}),
		"a policy in two spellings":   idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: tenant, API: api, Policies: []string{"B2C_1_x", "b2c_1_x"}}),
		"a pool that names no region": idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "x", Resource: "orders", Clients: []string{"a"}}),
		"a native application alone":  idp.Clerk(idp.ClerkConfig{FrontendAPI: "clerk.example.test", Audiences: []string{"orders"}, AllowMissingOrigin: true}),
	} {
		_, err := jwtverify.New(config)
		require.NoError(t, err, name)
	}
}

// A preset that was given something wrong accepts nothing, whatever becomes of the Config.
func TestAMistakeStaysOne(t *testing.T) {
	wrong := idp.GitHubActions("orders", nil)
	for name, config := range map[string]jwtverify.Config{
		"Err taken away": {Issuer: kit.Issuer, Audiences: []string{"orders"}, Preset: wrong.Preset},
		"Err replaced":   {Issuer: kit.Issuer, Audiences: []string{"orders"}, Preset: wrong.Preset, Err: errors.New("mine")},
	} {
		_, err := jwtverify.New(config)
		require.ErrorContains(t, err, "Where is empty", name)
	}
	_, err := jwtverify.New(wrong)
	require.Equal(t, 1, strings.Count(err.Error(), "Where is empty"), "once: %v", err)
}

// Who demands an aud gets one, also of a preset whose tokens have none.
func TestAudienceOfAPresetWithoutOne(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	none := map[string]any{"aud": kit.Absent, "sid": "s", "client_id": "client_1"}
	for _, tt := range []struct {
		name    string
		change  func(*jwtverify.Config)
		mistake bool
		refused bearergate.Reason
	}{
		{name: "as it is", change: func(*jwtverify.Config) {}},
		{name: "audiences of one's own", change: func(c *jwtverify.Config) { c.Audiences = []string{"orders"} }, refused: bearergate.ReasonMissingClaim},
		{name: "one more audience", change: func(c *jwtverify.Config) { c.Audiences = append(c.Audiences, "orders") }, refused: bearergate.ReasonMissingClaim},
		{name: "aud is required", change: func(c *jwtverify.Config) { c.RequiredClaims = []string{"aud"} }, mistake: true},
		{name: "RFC 9068", change: func(c *jwtverify.Config) { c.Profile = jwtverify.RFC9068 }, mistake: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := idp.WorkOS("client_1")
			c.Issuer, c.Keys, c.KeysURL, c.Now = kit.Issuer, s.Set(t), "", nowOf
			tt.change(&c)
			v, err := jwtverify.New(c)
			if tt.mistake {
				kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
				return
			}
			require.NoError(t, err)
			token, err := v.Verify(t.Context(), s.Sign(t, none))
			if tt.refused != "" {
				kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, tt.refused)
				return
			}
			require.NoError(t, err)
			require.Nil(t, token.Audience())
		})
	}
}

// Without an issuer, the keys say whose an SVID is, and of any other issuer it is not.
func TestSPIFFEWithoutIssuer(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	const domain, orders, issuer = "spiffe://example.org", "spiffe://example.org/orders", "https://spire.example.org"
	svid := func(change map[string]any) string {
		claims := map[string]any{"iss": kit.Absent, "sub": orders, "client_id": kit.Absent}
		maps.Copy(claims, change)
		return s.Sign(t, claims)
	}
	for _, tt := range []struct {
		name    string
		change  func(*jwtverify.Config)
		claims  map[string]any
		mistake string
		refused bearergate.Reason
	}{
		{name: "no iss"},
		{name: "a null iss", claims: map[string]any{"iss": nil}},
		{name: "an empty iss", claims: map[string]any{"iss": ""}, refused: bearergate.ReasonMissingClaim},
		{name: "an iss that is no string", claims: map[string]any{"iss": []string{domain}}, refused: bearergate.ReasonMalformed},
		{name: "an iss", claims: map[string]any{"iss": issuer}, refused: bearergate.ReasonIssuer},
		{name: "an iss that is an alias", claims: map[string]any{"iss": issuer}, change: func(c *jwtverify.Config) { c.IssuerAliases = []string{issuer} }},
		{name: "another workload", claims: map[string]any{"sub": orders + "2"}, refused: bearergate.ReasonPolicy},
		{name: "another audience", claims: map[string]any{"aud": "https://other.example.com"}, refused: bearergate.ReasonAudience},
		{name: "no exp", claims: map[string]any{"exp": kit.Absent}, refused: bearergate.ReasonMissingClaim},
		{name: "another Issuer in the Config", change: func(c *jwtverify.Config) { c.Issuer = issuer }, refused: bearergate.ReasonMissingClaim},
		{name: "no keys", change: func(c *jwtverify.Config) { c.Keys = nil }, mistake: "Issuer cannot be used to discover keys"},
		{name: "iss is required", change: func(c *jwtverify.Config) { c.RequiredClaims = []string{"iss"} }, mistake: "RequiredClaims has iss"},
		{name: "RFC 9068", change: func(c *jwtverify.Config) { c.Profile = jwtverify.RFC9068 }, mistake: "RequiredClaims has iss"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := idp.SPIFFE("example.org", "", kit.Audience, "/orders")
			c.Keys, c.Now = s.Set(t), nowOf
			if tt.change != nil {
				tt.change(&c)
			}
			v, err := jwtverify.New(c)
			if tt.mistake != "" {
				kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
				require.ErrorContains(t, err, tt.mistake)
				return
			}
			require.NoError(t, err)
			raw := svid(tt.claims)
			for range 2 { // the second time, it is remembered
				token, err := v.Verify(t.Context(), raw)
				kit.RequireExplained(t, v.Explain(t.Context(), raw), err, raw)
				if tt.refused != "" {
					kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, tt.refused)
					continue
				}
				require.NoError(t, err)
				if tt.change == nil {
					require.Equal(t, domain, token.Issuer())
				}
				require.Equal(t, orders, token.Subject())
			}
		})
	}

	// Who names an issuer, be it the trust domain, wants to see it.
	named := idp.SPIFFE("example.org", domain, kit.Audience, "/orders")
	named.Keys, named.Now, named.RequiredClaims = s.Set(t), nowOf, []string{"iss"}
	v, err := jwtverify.New(named)
	require.NoError(t, err)
	token, err := v.Verify(t.Context(), svid(nil))
	kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMissingClaim)
	token, err = v.Verify(t.Context(), svid(map[string]any{"iss": domain}))
	require.NoError(t, err)
	require.Equal(t, domain, token.Issuer())
}
