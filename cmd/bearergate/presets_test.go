package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

// Every argument reaches the parameter that it names.
func TestPresetArguments(t *testing.T) {
	const (
		guid  = "3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e"
		guid2 = "c0ffee00-1111-4222-8333-444455556666"
		api   = "https://orders.example.com"
		as    = "https://as.example.com"
	)
	rows := map[string]struct {
		args []string
		want jwtverify.Config
	}{
		"adfs":                    {args: []string{"host=adfs.example.com", "audience=urn:orders"}, want: idp.ADFS("adfs.example.com", "urn:orders")},
		"auth0":                   {args: []string{"domain=example.eu.auth0.com", "api=" + api}, want: idp.Auth0("example.eu.auth0.com", api)},
		"authentik":               {args: []string{"issuer=" + as + "/o/", "client-id=orders"}, want: idp.Authentik(as+"/o/", "orders")},
		"b2c":                     {args: []string{"name=contoso", "tenant=" + guid, "api=" + guid2, "policy=B2C_1_signin", "policy=B2C_1_other"}, want: idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: guid, API: guid2, Policies: []string{"B2C_1_signin", "B2C_1_other"}})},
		"buildkite":               {args: []string{"audience=" + api, "where.organization_slug=example"}, want: idp.Buildkite(api, idp.Where{"organization_slug": {"example"}})},
		"clerk":                   {args: []string{"frontend-api=https://clerk.example.com", "origin=https://app.example.com", "audience=" + api, "allow-missing-origin=true"}, want: idp.Clerk(idp.ClerkConfig{FrontendAPI: "https://clerk.example.com", Origins: []string{"https://app.example.com"}, Audiences: []string{api}, AllowMissingOrigin: true})},
		"cloudflare-access":       {args: []string{"team=example", "audience=4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2"}, want: idp.CloudflareAccess("example", "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2")},
		"cognito":                 {args: []string{"region=eu-west-1", "pool=eu-west-1_AbCdEfGhI", "resource=" + api, "client=a", "client=b"}, want: idp.Cognito(idp.CognitoConfig{Region: "eu-west-1", Pool: "eu-west-1_AbCdEfGhI", Resource: api, Clients: []string{"a", "b"}})},
		"descope":                 {args: []string{"project=P2project", "audience=orders"}, want: idp.Descope("P2project", "orders")},
		"dex":                     {args: []string{"issuer=" + as, "client-id=orders"}, want: idp.Dex(as, "orders")},
		"entra":                   {args: []string{"tenant=" + guid, "api=" + guid2, "app-id-uri=api://orders", "version=1"}, want: idp.Entra(idp.EntraConfig{Tenant: guid, API: guid2, AppIDURIs: []string{"api://orders"}, Version: 1})},
		"external-id":             {args: []string{"tenant=" + guid, "api=" + guid2}, want: idp.ExternalID(guid, guid2)},
		"firebase":                {args: []string{"project=shop-1234"}, want: idp.Firebase("shop-1234")},
		"github-actions":          {args: []string{"audience=" + api, "where.repository_id=7", "where.ref=refs/heads/main", "where.ref=refs/heads/b"}, want: idp.GitHubActions(api, idp.Where{"repository_id": {"7"}, "ref": {"refs/heads/main", "refs/heads/b"}})},
		"gitlab-ci":               {args: []string{"issuer=https://gitlab.com", "audience=" + api, "where.project_id=20"}, want: idp.GitLabCI("https://gitlab.com", api, idp.Where{"project_id": {"20"}})},
		"google-service-accounts": {args: []string{"audience=" + api, "email=a@shop-1234.iam.gserviceaccount.com"}, want: idp.GoogleServiceAccounts(api, "a@shop-1234.iam.gserviceaccount.com")},
		"google-users":            {args: []string{"client-id=1-a.apps.googleusercontent.com", "hosted-domain=example.com"}, want: idp.GoogleUsers("1-a.apps.googleusercontent.com", "example.com")},
		"hcp-terraform":           {args: []string{"audience=" + api, "where.terraform_workspace_id=ws-1"}, want: idp.HCPTerraform(api, idp.Where{"terraform_workspace_id": {"ws-1"}})},
		"iap":                     {args: []string{"backend=/projects/1/global/backendServices/2"}, want: idp.IAP("/projects/1/global/backendServices/2")},
		"id-tokens":               {args: []string{"issuer=" + as, "client-id=shop"}, want: idp.IDTokens(as, "shop")},
		"keycloak":                {args: []string{"issuer=" + as + "/realms/shop", "audience=orders"}, want: idp.Keycloak(as+"/realms/shop", "orders")},
		"kubernetes":              {args: []string{"issuer=" + as, "audience=" + api, "where.sub=system:serviceaccount:shop:orders"}, want: idp.Kubernetes(as, api, idp.Where{"sub": {"system:serviceaccount:shop:orders"}})},
		"okta":                    {args: []string{"domain=example.okta.com", "server=default", "audience=api://default"}, want: idp.Okta("example.okta.com", "default", "api://default")},
		"pingone":                 {args: []string{"environment=" + guid, "audience=" + api}, want: idp.PingOne(guid, api)},
		"salesforce":              {args: []string{"domain=example.my.salesforce.com", "app=3MVG9orders", "app=3MVG9other"}, want: idp.Salesforce("example.my.salesforce.com", "3MVG9orders", "3MVG9other")},
		"spiffe":                  {args: []string{"trust-domain=example.org", "issuer=" + as, "audience=" + api, "id=/ns/shop/sa/a"}, want: idp.SPIFFE("example.org", as, api, "/ns/shop/sa/a")},
		"stytch":                  {args: []string{"project=project-live-0001"}, want: idp.Stytch("project-live-0001")},
		"supabase":                {args: []string{"project=abcdefghijklmnop"}, want: idp.Supabase("abcdefghijklmnop")},
		"workload":                {args: []string{"issuer=" + as, "audience=" + api, "where.sub=a"}, want: idp.Workload(as, api, idp.Where{"sub": {"a"}})},
		"workos":                  {args: []string{"client-id=client_01HZOO"}, want: idp.WorkOS("client_01HZOO")},
	}
	for name, tc := range rows {
		p, args, err := usePreset(name, tc.args)
		require.NoError(t, err, name)
		got := p.make(args)
		require.NoError(t, got.Err, name)
		require.Equal(t, tc.want.Issuer, got.Issuer, name)
		require.Equal(t, tc.want.Audiences, got.Audiences, name)
		require.Equal(t, tc.want.KeysURL, got.KeysURL, name)
		require.Equal(t, tc.want.MetadataURL, got.MetadataURL, name)
		_, err = jwtverify.New(got)
		require.NoError(t, err, name)
	}
	require.Len(t, rows, len(presets())-1, "all but entra-tenants, which is below")

	var v verifierFlags
	v.idp, v.idpArgs, v.profile, v.timeout = "entra-tenants", list{"tenant=" + guid, "tenant=" + guid2, "api=" + guid2}, "access-token", time.Minute
	verifier, err := v.verifier(t.Context(), newEnv(nil, nil, nil, time.Now))
	require.NoError(t, err)
	require.NotNil(t, verifier)
}
