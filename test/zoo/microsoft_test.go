package zoo_test

import (
	"context"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
)

const (
	tenant   = "3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e"
	tenant2  = "b7e1d2c3-0a4f-4e5d-9c8b-7a6f5e4d3c2b"
	stranged = "99999999-aaaa-4bbb-8ccc-dddddddddddd" // somebody else's tenant
	consumer = "9188040d-6c67-4c5b-b112-36a304b66dad" // that of personal accounts
	theAPI   = "c0ffee00-1111-4222-8333-444455556666"
	spa      = "5ba00000-2222-4333-8444-555566667777"
	daemon   = "dae00000-3333-4444-8555-666677778888"
	msLogin  = "https://login.microsoftonline.com/"
)

// What Entra writes.
const (
	entraUser = `{"aud":"c0ffee00-1111-4222-8333-444455556666","iss":"https://login.microsoftonline.com/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/v2.0",
		"iat":1772366400,"nbf":1772366400,"exp":1772370300,"aio":"AXQAi/8TAAAA","azp":"5ba00000-2222-4333-8444-555566667777","azpacr":"0","name":"Ada Example",
		"oid":"0a0a0a0a-1111-4111-8111-111111111111","preferred_username":"ada@example.test","rh":"1.AXQA.","scp":"orders.read orders.write","sid":"00000000-5555-4555-8555-555555555555",
		"sub":"kJ9dPq0wZ1","tid":"3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e","uti":"uT1-of-user","ver":"2.0"}`
	entraApp = `{"aud":"c0ffee00-1111-4222-8333-444455556666","iss":"https://login.microsoftonline.com/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/v2.0",
		"iat":1772366400,"nbf":1772366400,"exp":1772370300,"aio":"k2RgYAAA","azp":"dae00000-3333-4444-8555-666677778888","azpacr":"2","oid":"0b0b0b0b-2222-4222-8222-222222222222",
		"rh":"1.AXQA.","roles":["Orders.Read.All"],"sub":"0b0b0b0b-2222-4222-8222-222222222222","tid":"3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e","uti":"uT1-of-app","ver":"2.0"}`
	// Of an application that is registered once, for its pages and its API.
	entraID = `{"aud":"c0ffee00-1111-4222-8333-444455556666","iss":"https://login.microsoftonline.com/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/v2.0",
		"iat":1772366400,"nbf":1772366400,"exp":1772370300,"aio":"AXQAi/8TAAAA","name":"Ada Example","oid":"0a0a0a0a-1111-4111-8111-111111111111","preferred_username":"ada@example.test",
		"rh":"1.AXQA.","roles":["Orders.Approver"],"sub":"kJ9dPq0wZ1","tid":"3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e","uti":"uT1-of-id","ver":"2.0"}`
	entraV1 = `{"aud":"api://c0ffee00-1111-4222-8333-444455556666","iss":"https://sts.windows.net/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/","iat":1772366400,"nbf":1772366400,"exp":1772370300,
		"acr":"1","aio":"ATQAy/8TAAAA","amr":["pwd","mfa"],"appid":"5ba00000-2222-4333-8444-555566667777","appidacr":"0","family_name":"Example","given_name":"Ada","ipaddr":"192.0.2.7",
		"name":"Ada Example","oid":"0a0a0a0a-1111-4111-8111-111111111111","rh":"0.AXQA.","scp":"orders.read","sub":"kJ9dPq0wZ1","tid":"3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e",
		"unique_name":"ada@example.test","upn":"ada@example.test","uti":"uT1-of-user","ver":"1.0"}`
	entraIdentity = `{"aud":"api://orders.example.test","iss":"https://sts.windows.net/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/","iat":1772366400,"nbf":1772366400,"exp":1772452800,"aio":"E2ZgAAA=",
		"appid":"dae00000-3333-4444-8555-666677778888","appidacr":"2","idp":"https://sts.windows.net/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/","idtyp":"app","oid":"0b0b0b0b-2222-4222-8222-222222222222",
		"rh":"0.AXQA.","roles":["Orders.Read.All"],"sub":"0b0b0b0b-2222-4222-8222-222222222222","tid":"3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e","uti":"uT1-of-identity","ver":"1.0",
		"xms_mirid":"/subscriptions/0000/resourcegroups/shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reports"}`
)

// ofEntra reads what no access token of Entra lacks.
func ofEntra(ver, client string, tenants ...string) func(m) bool {
	return func(c m) bool {
		permitted := text(c, "scp") != ""
		if c["scp"] == nil {
			permitted = len(texts(c, "roles")) > 0
		}
		return text(c, "ver") == ver && slices.Contains(tenants, text(c, "tid")) && filled(c, client, client+"acr") && permitted &&
			(text(c, "idtyp") == "" || (text(c, "idtyp") == "app") == (c["scp"] == nil))
	}
}

// entraRows are tokens of version 2, whatever the issuer.
func entraRows() []row {
	return []row{
		{kind: "of a user", claims: entraUser, scopes: []string{"orders.read", "orders.write"}, tenant: tenant, client: spa, session: "00000000-5555-4555-8555-555555555555", id: "uT1-of-user"},
		{kind: "of a user with roles, in too many groups", claims: entraUser, with: m{"roles": []string{"Orders.Approver"}, "_claim_names": m{"groups": "src1"}, "_claim_sources": m{"src1": m{"endpoint": "https://graph.example.test"}},
			"acrs": []string{"p1", "c1"}, "xms_cc": []string{"cp1"}, "idtyp": "user"},
			scopes: []string{"orders.read", "orders.write"}, roles: []string{"Orders.Approver"}, tenant: tenant, client: spa, session: "00000000-5555-4555-8555-555555555555", id: "uT1-of-user"},
		{kind: "of a user, with members that are null", claims: entraUser, with: m{"roles": nil, "idtyp": nil, "nonce": nil, "sid": nil, "groups": nil},
			scopes: []string{"orders.read", "orders.write"}, tenant: tenant, client: spa, id: "uT1-of-user"},
		{kind: "of an application with a role", claims: entraApp, roles: []string{"Orders.Read.All"}, tenant: tenant, client: daemon, id: "uT1-of-app"},
		{kind: "of an application with a role, idtyp app", claims: entraApp, with: m{"idtyp": "app"}, roles: []string{"Orders.Read.All"}, tenant: tenant, client: daemon, id: "uT1-of-app"},
		{kind: "ID token of the same registration, without nonce", claims: entraID, want: kind},
		{kind: "ID token of the same registration, with nonce", claims: entraID, with: m{"nonce": "n-0S6_WzA2Mj"}, want: kind},
		{kind: "of an application without any permission", claims: entraApp, with: m{"roles": absent}, want: policy},
		{kind: "of an application with roles []", made: true, claims: entraApp, with: m{"roles": []string{}}, want: policy},
		{kind: "of an application with a role without a name", made: true, claims: entraApp, with: m{"roles": []string{""}}, want: policy},
		{kind: "of a user, scp of nothing but a space", made: true, claims: entraUser, with: m{"scp": " "}, want: policy},
		{kind: "of a user without any permission, with roles", made: true, claims: entraUser, with: m{"scp": "", "roles": []string{"Orders.Approver"}}, want: policy},
		{kind: "tid of another tenant", made: true, claims: entraUser, with: m{"tid": stranged}, want: issuer},
		{kind: "no tid", made: true, claims: entraUser, with: m{"tid": absent}, want: issuer},
		{kind: "of another tenant", claims: entraUser, with: m{"iss": msLogin + stranged + "/v2.0", "tid": stranged}, want: issuer},
		{kind: "of version 1", claims: entraV1, want: issuer},
		{kind: "ver 1.0 under the iss of version 2", made: true, claims: entraUser, with: m{"ver": "1.0"}, want: kind},
		{kind: "for another API", claims: entraUser, with: m{"aud": "a9100000-4444-4555-8666-777788889999"}, want: audience},
		{kind: "for Microsoft Graph, whose header is changed before it is signed", claims: entraUser, with: m{"aud": "00000003-0000-0000-c000-000000000000"}, header: m{"nonce": "1wbFmVv0"}, forged: true, want: bearergate.ReasonSignature},
		{kind: "without azp", made: true, claims: entraUser, with: m{"azp": absent}, want: kind},
		{kind: "without azpacr", made: true, claims: entraUser, with: m{"azpacr": absent}, want: kind},
		{kind: "azpacr of an unknown kind", made: true, claims: entraUser, with: m{"azpacr": "9"}, want: kind},
		{kind: "idtyp app beside scp", made: true, claims: entraUser, with: m{"idtyp": "app"}, want: kind},
		{kind: "idtyp user without scp", made: true, claims: entraApp, with: m{"idtyp": "user"}, want: kind},
		{kind: "idtyp of an unknown kind", made: true, claims: entraApp, with: m{"idtyp": "device"}, want: kind},
	}
}

func microsoft() []*provider {
	entraKeys := published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "Nz0entra", "x5t": "Nz0entra", "use": "sig", "issuer": msLogin + tenant + "/v2.0"}}}
	allKeys := published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{
		{"kid": "shared", "use": "sig", "issuer": msLogin + "{tenantid}/v2.0"},
		{"kid": "personal", "use": "sig", "issuer": msLogin + consumer + "/v2.0"},
		{"kid": "second", "use": "sig", "issuer": msLogin + tenant2 + "/v2.0"},
	}}
	second := m{"iss": msLogin + tenant2 + "/v2.0", "tid": tenant2}
	third := m{"iss": msLogin + stranged + "/v2.0", "tid": stranged}
	ofTenants := slices.Concat(entraRows(), []row{
		{kind: "of a user of the second tenant", claims: entraUser, with: second, scopes: []string{"orders.read", "orders.write"}, tenant: tenant2, client: spa, session: "00000000-5555-4555-8555-555555555555", id: "uT1-of-user"},
		{kind: "of an application of the second tenant, under its own key", claims: entraApp, with: second, key: "second", roles: []string{"Orders.Read.All"}, tenant: tenant2, client: daemon, id: "uT1-of-app"},
		{kind: "under the key of personal accounts", made: true, claims: entraUser, key: "personal", want: bearergate.ReasonUnknownKey},
		{kind: "under the key of the second tenant", made: true, claims: entraUser, key: "second", want: bearergate.ReasonUnknownKey},
		{kind: "of a personal account", claims: entraUser, with: m{"iss": msLogin + consumer + "/v2.0", "tid": consumer}, key: "personal", want: issuer},
		{kind: "of an application of a tenant that is not let in", claims: entraApp, with: third, want: issuer},
		{kind: "iss of the one tenant, tid of the other", made: true, claims: entraUser, with: m{"tid": tenant2}, want: issuer},
		{kind: "iss and tid with a name in the place of a tenant", made: true, claims: entraUser, with: m{"iss": msLogin + "common/v2.0", "tid": "common"}, want: issuer},
		{kind: "iss with a name in the place of a tenant", made: true, claims: entraUser, with: m{"iss": msLogin + "common/v2.0"}, want: issuer},
	})
	anyTenant := func(base jwtverify.Config) (*issuers.Router, error) {
		return issuers.NewRouter(issuers.Config{ResolveIssuers: []string{msLogin + "{tenant}/v2.0"}, Resolve: func(_ context.Context, iss string) (bearergate.Verifier, error) {
			c := base
			c.Issuer, c.Audiences, c.KeysURL = iss, []string{theAPI}, msLogin+"common/discovery/v2.0/keys"
			return jwtverify.New(c)
		}})
	}
	return []*provider{
		{
			name: "Entra ID, version 2", function: "Entra",
			preset:   idp.Entra(idp.EntraConfig{Tenant: tenant, API: theAPI}),
			plain:    jwtverify.Config{Issuer: msLogin + tenant + "/v2.0", Audiences: []string{theAPI}},
			metadata: msLogin + tenant + "/v2.0/.well-known/openid-configuration", keys: msLogin + tenant + "/discovery/v2.0/keys",
			published: entraKeys, essential: ofEntra("2.0", "azp", tenant), rows: entraRows(),
		},
		{
			name: "Entra ID, version 1", function: "Entra",
			preset: idp.Entra(idp.EntraConfig{Tenant: tenant, API: theAPI, AppIDURIs: []string{"api://orders.example.test"}, Version: 1}),
			plain: jwtverify.Config{Issuer: "https://sts.windows.net/" + tenant + "/", MetadataURL: msLogin + tenant + "/.well-known/openid-configuration",
				Audiences: []string{theAPI, "api://" + theAPI, "api://orders.example.test", "api://orders.example.test/"}},
			metadata: msLogin + tenant + "/.well-known/openid-configuration", keys: msLogin + "common/discovery/keys",
			published: published{alg: "RS256", header: m{"typ": "JWT", "x5t": "Nz0entra"}, jwks: []m{{"kid": "Nz0entra", "x5t": "Nz0entra", "use": "sig", "issuer": msLogin + "{tenantid}/v2.0"}}},
			essential: ofEntra("1.0", "appid", tenant),
			rows: []row{
				{kind: "of a user", claims: entraV1, scopes: []string{"orders.read"}, tenant: tenant, client: spa, id: "uT1-of-user"},
				{kind: "of a user, for the client ID of the API", claims: entraV1, with: m{"aud": theAPI}, scopes: []string{"orders.read"}, tenant: tenant, client: spa, id: "uT1-of-user"},
				{kind: "of a user, for the URI with a slash", claims: entraV1, with: m{"aud": "api://orders.example.test/"}, scopes: []string{"orders.read"}, tenant: tenant, client: spa, id: "uT1-of-user"},
				{kind: "of a managed identity with a role", claims: entraIdentity, roles: []string{"Orders.Read.All"}, tenant: tenant, client: daemon, id: "uT1-of-identity"},
				{kind: "of a managed identity without any permission", claims: entraIdentity, with: m{"roles": absent}, want: policy},
				{kind: "ID token of the same registration", claims: entraV1, with: m{"aud": theAPI, "appid": absent, "appidacr": absent, "scp": absent, "roles": []string{"Orders.Approver"}}, want: kind},
				{kind: "ID token of the same registration, with nonce", claims: entraV1, with: m{"aud": theAPI, "appid": absent, "appidacr": absent, "scp": absent, "nonce": "n-0S6_WzA2Mj"}, want: kind},
				{kind: "of version 2", claims: entraUser, want: issuer},
				{kind: "ver 2.0 under the iss of version 1", made: true, claims: entraV1, with: m{"ver": "2.0"}, want: kind},
				{kind: "tid of another tenant", made: true, claims: entraV1, with: m{"tid": stranged}, want: issuer},
				{kind: "of another tenant", claims: entraV1, with: m{"iss": "https://sts.windows.net/" + stranged + "/", "tid": stranged}, want: issuer},
				{kind: "for another API", claims: entraV1, with: m{"aud": "api://payments.example.test"}, want: audience},
				{kind: "of a managed identity, for Azure Resource Manager", claims: entraIdentity, with: m{"aud": "https://management.azure.com/"}, want: audience},
				{kind: "without appid", made: true, claims: entraV1, with: m{"appid": absent}, want: kind},
				{kind: "without appidacr", made: true, claims: entraV1, with: m{"appidacr": absent}, want: kind},
			},
		},
		{
			name: "Entra ID, tenants from a list", function: "EntraTenants",
			router: func(base jwtverify.Config) (*issuers.Router, error) {
				return idp.EntraTenants(idp.EntraTenantsConfig{Tenants: []string{tenant, tenant2}, API: theAPI, Verifier: base})
			},
			plainRouter: anyTenant, plainSays: "a Router that resolves every tenant: `Issuer` of the token, `Audiences`, `KeysURL` of the common endpoint",
			keys:      msLogin + "common/discovery/v2.0/keys",
			published: allKeys, essential: ofEntra("2.0", "azp", tenant, tenant2), rows: ofTenants,
		},
		{
			name: "Entra ID, tenants looked up", function: "EntraTenants",
			router: func(base jwtverify.Config) (*issuers.Router, error) {
				return idp.EntraTenants(idp.EntraTenantsConfig{API: theAPI, Verifier: base, Lookup: func(_ context.Context, id string) (bool, error) {
					return id == tenant || id == tenant2 || id == "common", nil // which no tenant is called
				}})
			},
			plainRouter: anyTenant,
			keys:        msLogin + "common/discovery/v2.0/keys",
			published:   allKeys, essential: ofEntra("2.0", "azp", tenant, tenant2), rows: ofTenants, again: true,
		},
		b2c(), externalID(), adfs(),
	}
}

func b2c() *provider {
	const (
		user = `{"iss":"https://contoso.b2clogin.com/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/v2.0/","exp":1772370000,"nbf":1772366400,"aud":"c0ffee00-1111-4222-8333-444455556666",
			"idp":"LocalAccount","name":"Ada Example","sub":"0a0a0a0a-1111-4111-8111-111111111111","emails":["ada@example.test"],"tfp":"B2C_1_signin","scp":"orders.read",
			"azp":"5ba00000-2222-4333-8444-555566667777","ver":"1.0","iat":1772366400}`
		id = `{"iss":"https://contoso.b2clogin.com/3f0c7a52-9d0e-4d6b-8f3e-6f1a2b3c4d5e/v2.0/","exp":1772370000,"nbf":1772366400,"aud":"c0ffee00-1111-4222-8333-444455556666",
			"idp":"LocalAccount","name":"Ada Example","sub":"0a0a0a0a-1111-4111-8111-111111111111","emails":["ada@example.test"],"tfp":"B2C_1_signin","auth_time":1772366399,"ver":"1.0","iat":1772366400}`
	)
	origin := "https://contoso.b2clogin.com/"
	return &provider{
		name: "Azure AD B2C", function: "B2C",
		preset: idp.B2C(idp.B2CConfig{Name: "contoso", Tenant: tenant, API: theAPI, Policies: []string{"B2C_1_signin", "B2C_1A_passkey"}}),
		plain: jwtverify.Config{Issuer: origin + tenant + "/v2.0/", IssuerAliases: []string{origin + "tfp/" + tenant + "/b2c_1_signin/v2.0/", origin + "tfp/" + tenant + "/b2c_1a_passkey/v2.0/"},
			KeysURL: origin + "contoso.onmicrosoft.com/b2c_1_signin/discovery/v2.0/keys", Audiences: []string{theAPI}, AllowMarks: []string{"nonce"}},
		keys:      origin + "contoso.onmicrosoft.com/b2c_1_signin/discovery/v2.0/keys",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: one("X5eXk4b2c")},
		essential: func(c m) bool {
			policy := text(c, "tfp")
			if c["tfp"] == nil {
				policy = text(c, "acr")
			}
			known := slices.ContainsFunc([]string{"b2c_1_signin", "b2c_1a_passkey"}, func(name string) bool { return strings.EqualFold(name, policy) })
			return known && filled(c, "azp") && (text(c, "scp") != "" || c["scp"] == nil && len(texts(c, "roles")) > 0) && (c["tid"] == nil || text(c, "tid") == tenant)
		},
		rows: []row{
			{kind: "of a user", claims: user, scopes: []string{"orders.read"}, tenant: tenant, client: spa},
			{kind: "of a user, with the nonce of the login", claims: user, with: m{"nonce": "n-0S6_WzA2Mj"}, scopes: []string{"orders.read"}, tenant: tenant, client: spa},
			{kind: "of a user, iss with the policy", claims: user, with: m{"iss": origin + "tfp/" + tenant + "/b2c_1_signin/v2.0/"}, scopes: []string{"orders.read"}, tenant: tenant, client: spa},
			{kind: "of a user, the policy in acr", claims: user, with: m{"tfp": absent, "acr": "b2c_1a_passkey"}, scopes: []string{"orders.read"}, tenant: tenant, client: spa},
			{kind: "of an application with a role", claims: user, with: m{"scp": absent, "roles": []string{"Orders.Read.All"}, "sub": "0b0b0b0b-2222-4222-8222-222222222222", "azp": daemon}, roles: []string{"Orders.Read.All"}, tenant: tenant, client: daemon},
			{kind: "ID token of the same registration", claims: id, want: kind},
			{kind: "ID token of the same registration, with nonce", claims: id, with: m{"nonce": "n-0S6_WzA2Mj"}, want: kind},
			{kind: "of the policy that resets passwords", claims: user, with: m{"tfp": "B2C_1_reset"}, want: policy},
			{kind: "of the policy that resets passwords, in acr", claims: user, with: m{"tfp": absent, "acr": "b2c_1_reset"}, want: policy},
			{kind: "of another policy in tfp, and one of ours in acr", made: true, claims: user, with: m{"tfp": "B2C_1_reset", "acr": "B2C_1_signin"}, want: policy},
			{kind: "of no policy", made: true, claims: user, with: m{"tfp": absent}, want: policy},
			{kind: "iss with another policy", claims: user, with: m{"iss": origin + "tfp/" + tenant + "/b2c_1_reset/v2.0/"}, want: issuer},
			{kind: "of an application without any permission", claims: user, with: m{"scp": absent, "azp": daemon}, want: policy},
			{kind: "of a user without any permission", made: true, claims: user, with: m{"scp": "", "roles": []string{"Orders.Approver"}}, want: policy},
			{kind: "tid of another tenant", made: true, claims: user, with: m{"tid": stranged}, want: issuer},
			{kind: "for another API", claims: user, with: m{"aud": "a9100000-4444-4555-8666-777788889999"}, want: audience},
			{kind: "of Entra ID", claims: entraUser, want: issuer},
		},
	}
}

func externalID() *provider {
	of := "https://" + tenant + ".ciamlogin.com/" + tenant + "/v2.0"
	rows := entraRows()
	for i := range rows {
		switch r := &rows[i]; r.kind {
		case "of version 1":
			r.kind = "of version 1 of Entra ID"
		case "of another tenant":
			r.with = both(r.with, m{"iss": "https://" + stranged + ".ciamlogin.com/" + stranged + "/v2.0"})
		default:
			r.claims = strings.ReplaceAll(r.claims, msLogin+tenant+"/v2.0", of)
		}
	}
	return &provider{
		name: "Entra External ID", function: "ExternalID",
		preset:   idp.ExternalID(tenant, theAPI),
		plain:    jwtverify.Config{Issuer: of, Audiences: []string{theAPI}},
		metadata: of + "/.well-known/openid-configuration", keys: "https://" + tenant + ".ciamlogin.com/" + tenant + "/discovery/v2.0/keys",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: one("ciam")}, essential: ofEntra("2.0", "azp", tenant),
		rows: append(rows, row{kind: "of the tenant of the employees", claims: entraUser, want: issuer}),
	}
}

func adfs() *provider {
	const (
		user = `{"aud":"microsoft:identityserver:urn:orders-api","iss":"http://adfs.example.test/adfs/services/trust","iat":1772366400,"exp":1772370000,"apptype":"Public",
			"appid":"5ba00000-2222-4333-8444-555566667777","authmethod":"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport","auth_time":"2026-03-01T11:59:58.127Z",
			"ver":"1.0","scp":"orders.read openid","sub":"EXAMPLE\\ada","upn":"ada@example.test"}`
		id = `{"aud":"5ba00000-2222-4333-8444-555566667777","iss":"https://adfs.example.test/adfs","iat":1772366400,"exp":1772370000,"auth_time":1772366398,"sub":"c9Kx0=","upn":"ada@example.test",
			"unique_name":"EXAMPLE\\ada","pwd_exp":"1209600","sid":"S-1-5-21-1-2-3-1001"}`
	)
	return &provider{
		name: "AD FS", function: "ADFS",
		preset:    idp.ADFS("adfs.example.test", "urn:orders-api"),
		plain:     jwtverify.Config{Issuer: "http://adfs.example.test/adfs/services/trust", KeysURL: "https://adfs.example.test/adfs/discovery/keys", Audiences: []string{"urn:orders-api", "microsoft:identityserver:urn:orders-api"}},
		keys:      "https://adfs.example.test/adfs/discovery/keys",
		published: published{alg: "RS256", header: m{"typ": "JWT", "x5t": "adfs"}, jwks: []m{{"kid": "adfs", "x5t": "adfs", "use": "sig", "alg": "RS256"}}},
		essential: func(c m) bool { return filled(c, "appid") },
		rows: []row{
			{kind: "of a user, auth_time as text", claims: user, scopes: []string{"orders.read", "openid"}, client: spa},
			{kind: "of a user, auth_time as a number", claims: user, with: m{"auth_time": 1772366398}, scopes: []string{"orders.read", "openid"}, client: spa},
			{kind: "of a user, aud without the prefix", claims: user, with: m{"aud": "urn:orders-api"}, scopes: []string{"orders.read", "openid"}, client: spa},
			{kind: "of a client", claims: user, with: m{"scp": absent, "sub": absent, "upn": absent, "auth_time": absent, "apptype": "Confidential", "appid": daemon}, client: daemon},
			{kind: "ID token", claims: id, want: issuer},
			{kind: "ID token, with nonce", claims: id, with: m{"nonce": "n-0S6_WzA2Mj"}, want: issuer},
			{kind: "no client asked for it (appid)", made: true, claims: user, with: m{"appid": absent, "apptype": absent}, want: kind},
			{kind: "for userinfo", claims: user, with: m{"aud": "urn:microsoft:userinfo"}, want: audience},
			{kind: "for another Web API", claims: user, with: m{"aud": "microsoft:identityserver:urn:payments-api"}, want: audience},
			{kind: "iss of another farm", claims: user, with: m{"iss": "http://sts.example.test/adfs/services/trust"}, want: issuer},
		},
	}
}
