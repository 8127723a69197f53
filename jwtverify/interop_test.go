package jwtverify_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// What real servers send, and the word with which it is let in: each row is refused
// without the word, if it needs one, and each word lets in no more than it says.
func TestTokensOfRealServers(t *testing.T) {
	s := newSigner(t, "RS256", "k")
	const absent = ""
	header := func(typ string) map[string]any {
		h := map[string]any{"alg": "RS256", "kid": "k"}
		if typ != absent {
			h["typ"] = typ
		}
		return h
	}
	for name, tt := range map[string]struct {
		typ    string
		claims map[string]any
		allow  func(*jwtverify.Config)
		before bearergate.Reason // without allow; "": accepted
		reason bearergate.Reason // with it
		check  func(*testing.T, *bearergate.Token)
	}{
		// AllowTypes
		"a type of its own":                   {typ: "JOSE", allow: allowTypes("JOSE"), before: bearergate.ReasonType},
		"in another case, and in full":        {typ: "application/jose", allow: allowTypes("JOSE"), before: bearergate.ReasonType},
		"a type of its own, on an ID token":   {typ: "JOSE", claims: map[string]any{"at_hash": "x"}, allow: allowTypes("JOSE"), before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"a type of its own, on a refresh one": {typ: "JOSE", claims: map[string]any{"tokenType": "refresh-token"}, allow: allowTypes("JOSE"), before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"another type":                        {typ: "JOSE2", allow: allowTypes("JOSE"), before: bearergate.ReasonType, reason: bearergate.ReasonType},

		// AllowMarks
		"Dex writes at_hash":                 {claims: map[string]any{"at_hash": "x"}, allow: allowMarks("at_hash"), before: bearergate.ReasonType},
		"B2C writes nonce":                   {claims: map[string]any{"nonce": "x"}, allow: allowMarks("nonce"), before: bearergate.ReasonType},
		"at_hash is allowed, and nonce came": {claims: map[string]any{"at_hash": "x", "nonce": "y"}, allow: allowMarks("at_hash"), before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"both are allowed":                   {claims: map[string]any{"at_hash": "x", "nonce": "y"}, allow: allowMarks("at_hash", "nonce"), before: bearergate.ReasonType},
		"an ID token that says so":           {claims: map[string]any{"at_hash": "x", "nonce": "y", "typ": "ID"}, allow: allowMarks("at_hash", "nonce"), before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"a logout token":                     {claims: map[string]any{"events": map[string]any{}, "at_hash": "x"}, allow: allowMarks("at_hash", "nonce", "code"), before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"for another client":                 {claims: map[string]any{"at_hash": "x", "aud": "client-1"}, allow: allowMarks("at_hash"), before: bearergate.ReasonType, reason: bearergate.ReasonAudience},
		"code and state":                     {claims: map[string]any{"code": "x", "state": "y"}, allow: allowMarks("code"), before: bearergate.ReasonType},

		// Refresh tokens, in any spelling
		"tokenType":  {claims: map[string]any{"tokenType": "refresh-token"}, before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"tokenName":  {claims: map[string]any{"tokenName": "refresh_token"}, before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"token_type": {claims: map[string]any{"token_type": "refresh"}, before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"typ":        {claims: map[string]any{"typ": "refresh_token"}, before: bearergate.ReasonType, reason: bearergate.ReasonType},

		// IgnoreClaims
		"act of another meaning": {claims: map[string]any{"act": "noActor"}, allow: func(c *jwtverify.Config) { c.IgnoreClaims = []string{"act"} }, before: bearergate.ReasonMalformed,
			check: func(t *testing.T, token *bearergate.Token) { require.Empty(t, token.Actor()) }},

		// A bound token of Keycloak: what its typ says is no mark, and nobody opens with it alone.
		"typ DPoP, beside a nonce": {claims: map[string]any{"typ": "DPoP", "nonce": "n", "cnf": map[string]any{"jkt": "x"}},
			allow: func(c *jwtverify.Config) { c.Confirmations = []string{"jkt"} }, before: bearergate.ReasonBinding,
			check: func(t *testing.T, token *bearergate.Token) {
				require.True(t, token.Bound())
				require.Equal(t, bearergate.ReasonBinding, bearergate.ReasonOf(token.Authorize(scope.Requirement{})))
			}},
		"a client and no subject: not known whose it is": {claims: map[string]any{"sub": kit.Absent}, check: func(t *testing.T, token *bearergate.Token) {
			require.Equal(t, []bool{false, false}, []bool{token.IsClient(), token.IsUser()})
		}},

		// Clients
		"azp":          {claims: map[string]any{"client_id": kit.Absent, "azp": "svc-7"}, check: client("svc-7")},
		"cid":          {claims: map[string]any{"client_id": kit.Absent, "cid": "svc-7"}, check: client("svc-7")},
		"appid":        {claims: map[string]any{"client_id": kit.Absent, "appid": "svc-7"}, check: client("svc-7")},
		"null and azp": {claims: map[string]any{"client_id": nil, "azp": "svc-7"}, check: client("svc-7")},
		"ClientClaims": {claims: map[string]any{"azp": "svc-7", "app": "svc-8"}, allow: func(c *jwtverify.Config) { c.ClientClaims = []string{"app", "azp"} },
			check: client("svc-8")},

		// null, and claims of odd types
		"nulls": {claims: map[string]any{"client_id": nil, "nonce": nil, "jti": nil, "acr": nil, "scope": nil, "nbf": nil, "act": nil, "auth_time": nil, "sub": nil}},
		"auth_time of AD FS": {claims: map[string]any{"auth_time": "2017-02-13T08:27:46.918Z"}, check: func(t *testing.T, token *bearergate.Token) {
			at, ok := token.AuthTime()
			require.True(t, ok)
			require.True(t, at.Equal(time.Date(2017, 2, 13, 8, 27, 46, 918e6, time.UTC)))
		}},
		"acr and auth_time of no meaning": {claims: map[string]any{"auth_time": "yesterday", "acr": 7}, check: func(t *testing.T, token *bearergate.Token) {
			_, ok := token.AuthTime()
			require.False(t, ok)
			require.Empty(t, token.ACR())
			err := bearergate.StepUp{ACR: []string{"7", ""}, MaxAge: 100 * 365 * 24 * time.Hour}.Authorize(token, scope.Requirement{})
			kit.RequireError(t, err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
		}},
		"null within cnf": {claims: map[string]any{"cnf": map[string]any{"jkt": nil, "x5t#S256": "x"}}, before: bearergate.ReasonMalformed, reason: bearergate.ReasonMalformed},

		// IssuerAliases
		"the issuer in its other form": {claims: map[string]any{"iss": "as.example.com"}, allow: aliases("as.example.com"), before: bearergate.ReasonIssuer,
			check: func(t *testing.T, token *bearergate.Token) { require.Equal(t, "as.example.com", token.Issuer()) }},
		"an alias to the letter": {claims: map[string]any{"iss": "as.example.com/"}, allow: aliases("as.example.com"), before: bearergate.ReasonIssuer, reason: bearergate.ReasonIssuer},

		// AllowAudienceFrom
		"Cognito writes no aud":         {claims: map[string]any{"aud": kit.Absent, "client_id": "app-1"}, allow: cognito, before: bearergate.ReasonMissingClaim},
		"another app":                   {claims: map[string]any{"aud": kit.Absent, "client_id": "app-2"}, allow: cognito, before: bearergate.ReasonMissingClaim, reason: bearergate.ReasonMissingClaim},
		"aud null":                      {claims: map[string]any{"aud": nil, "client_id": "app-1"}, allow: cognito, before: bearergate.ReasonMissingClaim, reason: bearergate.ReasonMissingClaim},
		"aud empty":                     {claims: map[string]any{"aud": []string{}, "client_id": "app-1"}, allow: cognito, before: bearergate.ReasonMissingClaim, reason: bearergate.ReasonMissingClaim},
		"aud of another":                {claims: map[string]any{"aud": "other", "client_id": "app-1"}, allow: cognito, before: bearergate.ReasonAudience, reason: bearergate.ReasonAudience},
		"aud is ours, and nothing else": {claims: map[string]any{"client_id": "app-2"}, allow: cognito},
		"an ID token of that client":    {claims: map[string]any{"aud": "app-1", "token_use": "id"}, allow: cognito, before: bearergate.ReasonType, reason: bearergate.ReasonType},
		"the claim is no string":        {claims: map[string]any{"aud": kit.Absent, "azp": 7}, allow: standIn("azp", "7"), before: bearergate.ReasonMissingClaim, reason: bearergate.ReasonMissingClaim},
		"the claim is a list":           {claims: map[string]any{"aud": kit.Absent, "resources": []string{"x", "orders"}}, allow: standIn("resources", "orders"), before: bearergate.ReasonMissingClaim},
	} {
		t.Run(name, func(t *testing.T) {
			raw := s.SignWith(t, header(tt.typ), tt.claims)
			verdict := func(allow func(*jwtverify.Config), want bearergate.Reason) *bearergate.Token {
				c := config(s.Set(t))
				if allow != nil {
					allow(&c)
				}
				v := newVerifier(t, c)
				for range 2 { // and from the cache
					token, err := v.Verify(t.Context(), raw)
					if want != "" {
						requireError(t, token, err, bearergate.ErrInvalidToken, want)
						require.NotEmpty(t, bearergate.AsError(err).Detail)
						kit.RequireExplained(t, v.Explain(t.Context(), raw), err, raw)
						continue
					}
					require.NoError(t, err)
					kit.RequireExplained(t, v.Explain(t.Context(), raw), err, raw)
					if tt.check != nil && (allow != nil) == (tt.allow != nil) {
						tt.check(t, token)
					}
				}
				return nil
			}
			verdict(nil, tt.before)
			verdict(tt.allow, tt.reason)
		})
	}
}

func allowTypes(types ...string) func(*jwtverify.Config) {
	return func(c *jwtverify.Config) { c.AllowTypes = types }
}

func allowMarks(marks ...string) func(*jwtverify.Config) {
	return func(c *jwtverify.Config) { c.AllowMarks = marks }
}

func aliases(names ...string) func(*jwtverify.Config) {
	return func(c *jwtverify.Config) { c.IssuerAliases = names }
}

func standIn(claim, value string) func(*jwtverify.Config) {
	return func(c *jwtverify.Config) { c.AllowAudienceFrom = map[string][]string{claim: {value}} }
}

func cognito(c *jwtverify.Config) { standIn("client_id", "app-1")(c) }

func client(id string) func(*testing.T, *bearergate.Token) {
	return func(t *testing.T, token *bearergate.Token) { require.Equal(t, id, token.ClientID()) }
}

// The issuer of AD FS is an http URL, and its keys lie elsewhere: nothing is fetched from
// the one, and the other is https.
func TestKeysURL(t *testing.T) {
	as := authtest.New(t)
	const adfs = "http://adfs.example.test/adfs/services/trust"
	c := jwtverify.Config{Issuer: adfs, Audiences: []string{authtest.DefaultAudience}, KeysURL: as.URL("/jwks"), HTTPClient: as.Client()}
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	claims := as.Claims(authtest.Claims{})
	claims["iss"] = adfs
	token, err := v.Verify(t.Context(), as.Sign(nil, claims))
	require.NoError(t, err)
	require.Equal(t, adfs, token.Issuer())
	require.Equal(t, []int{1, 1}, []int{as.Requests("/jwks"), as.Requests("")}, "no metadata were asked for")
	_, err = v.Verify(t.Context(), as.Token(authtest.Claims{}))
	require.Equal(t, bearergate.ReasonIssuer, bearergate.ReasonOf(err))

	c.HTTPClient = &http.Client{}
	c.KeysURL, c.Issuer = "", adfs
	_, err = jwtverify.New(c)
	require.ErrorContains(t, err, "name the https URL of its key set by KeysURL")
}

// A token of another issuer, of another environment for example, costs no signature and
// no question to the key source, which may be down: it is the client's fault alone.
func TestTheIssuerComesBeforeKeys(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	asked := 0
	down := sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) {
		asked++
		return nil, bearergate.ErrUnavailable
	})
	v := newVerifier(t, config(down))
	other := newSigner(t, "ES256", "unknown here")
	for name, tt := range map[string]struct {
		iss    any
		reason bearergate.Reason
		asked  int
	}{
		"another one":            {iss: "https://staging.example.com/", reason: bearergate.ReasonIssuer},
		"by a slash":             {iss: "https://as.example.com", reason: bearergate.ReasonIssuer},
		"none":                   {iss: kit.Absent, reason: bearergate.ReasonMissingClaim},
		"null":                   {iss: nil, reason: bearergate.ReasonMissingClaim},
		"a number":               {iss: 7, reason: bearergate.ReasonMalformed},
		"ours, as somebody says": {iss: issuer, reason: bearergate.ReasonKeysUnavailable, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked = 0
			raw := other.Sign(t, map[string]any{"iss": tt.iss})
			_, err := v.Verify(t.Context(), raw)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err))
			require.Equal(t, tt.asked, asked)
			require.Equal(t, tt.asked == 0, errors.Is(err, bearergate.ErrInvalidToken))
			if tt.reason == bearergate.ReasonIssuer {
				require.True(t, bearergate.AsError(err).Unsigned, "nobody vouches for it")
				require.Nil(t, bearergate.AsError(err).Refused)
			}
			kit.RequireExplained(t, v.Explain(t.Context(), raw), err, raw)
		})
	}
	// And it is compared again in what was signed: two readers that disagree would open.
	token, err := newVerifier(t, config(s.Set(t))).Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	require.Equal(t, issuer, token.Issuer())
}

// K6 of the cases: the metadata are somewhere else, and speak for the issuer all the same.
func TestMetadataURL(t *testing.T) {
	as := authtest.New(t)
	for name, tt := range map[string]struct {
		issuer string // in the document
		reason bearergate.Reason
	}{
		"of this issuer": {issuer: "https://login.example.test/of-another-path"},
		"of another one": {issuer: as.Issuer(), reason: bearergate.ReasonKeysUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			const issuer = "https://login.example.test/of-another-path"
			as.Fail(authtest.Fault{Path: "/elsewhere", Body: []byte(`{"issuer":"` + tt.issuer + `","jwks_uri":"` + as.URL("/jwks") + `"}`), Header: http.Header{"Content-Type": {"application/json"}}})
			v, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{authtest.DefaultAudience}, MetadataURL: as.URL("/elsewhere"), HTTPClient: as.Client()})
			require.NoError(t, err)
			claims := as.Claims(authtest.Claims{})
			claims["iss"] = issuer
			_, err = v.Verify(t.Context(), as.Sign(nil, claims))
			require.Equal(t, tt.reason, bearergate.ReasonOf(err), "%v", err)
			require.Zero(t, as.Requests("/.well-known/oauth-authorization-server"))
		})
	}
}

// T11, T26 of the cases: what the issuer says under other names, and what a Map may not do.
func TestMap(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	keycloak := map[string]any{"scope": "openid", "sid": "s-1", "resource_access": map[string]any{"orders-api": map[string]any{"roles": []string{"orders:read", "not a scope"}}},
		"realm_access": map[string]any{"roles": []string{"clerk of the day"}}, "text": "a b", "number": 7}
	for name, tt := range map[string]struct {
		f      func(*bearergate.Claims) error
		kind   error
		reason bearergate.Reason
		detail string
		check  func(*bearergate.Token)
	}{
		"scopes of a path": {f: jwtverify.ScopesFrom("resource_access", "orders-api", "roles"), check: func(token *bearergate.Token) {
			require.Equal(t, scope.Of("openid", "orders:read"), token.Scopes())
		}},
		"a path that is not there": {f: jwtverify.ScopesFrom("resource_access", "bookings-api", "roles"), check: func(token *bearergate.Token) {
			require.Equal(t, scope.Of("openid"), token.Scopes())
		}},
		"a path through what is no object": {f: jwtverify.ScopesFrom("text", "x"), check: func(token *bearergate.Token) {
			require.Equal(t, scope.Of("openid"), token.Scopes())
		}},
		"a string": {f: jwtverify.ScopesFrom("text"), check: func(token *bearergate.Token) {
			require.Equal(t, scope.Of("openid", "a", "b"), token.Scopes())
		}},
		"roles, spaces and all": {f: jwtverify.RolesFrom("realm_access", "roles"), check: func(token *bearergate.Token) {
			require.True(t, token.HasRole("clerk of the day"))
			require.Equal(t, scope.Of("openid"), token.Scopes(), "a role is no scope")
		}},
		"several": {f: jwtverify.Maps(jwtverify.ScopesFrom("text"), jwtverify.RolesFrom("text"), func(c *bearergate.Claims) error {
			c.Tenant, c.SessionID, c.ACR, c.ClientID = "t1", "s-2", "mfa", "app"
			return nil
		}), check: func(token *bearergate.Token) {
			require.Equal(t, []string{"t1", "s-2", "mfa", "app"}, []string{token.Tenant(), token.SessionID(), token.ACR(), token.ClientID()})
			require.Equal(t, []string{"a b"}, token.Roles())
		}},
		"a value that is no text":    {f: jwtverify.ScopesFrom("number"), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMalformed, detail: "neither a string nor an array"},
		"no path":                    {f: jwtverify.RolesFrom(), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		"a nil one":                  {f: jwtverify.Maps(nil), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		"it refuses":                 {f: func(*bearergate.Claims) error { return errors.New("s3cret") }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		"it panics":                  {f: func(*bearergate.Claims) error { panic("s3cret") }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		"it clears cnf":              {f: func(c *bearergate.Claims) error { c.Confirmation = nil; return nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, detail: "Confirmation"},
		"it moves exp":               {f: func(c *bearergate.Claims) error { c.ExpiresAt = c.ExpiresAt.Add(time.Hour); return nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, detail: "ExpiresAt"},
		"it changes iss":             {f: func(c *bearergate.Claims) error { c.Issuer = "x"; return nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, detail: "Issuer"},
		"it changes the key":         {f: func(c *bearergate.Claims) error { c.Key[0]++; return nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, detail: "Key"},
		"it writes into an audience": {f: func(c *bearergate.Claims) error { c.Audience[0] = "x"; return nil }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, detail: "Audience"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			c := config(s.Set(t))
			c.Confirmations = []string{"jkt"}
			c.Map = func(claims *bearergate.Claims) error { asked++; return tt.f(claims) }
			v := newVerifier(t, c)
			claims := maps.Clone(keycloak)
			claims["cnf"] = map[string]any{"jkt": "x"}
			raw := s.Sign(t, claims)
			for range 2 {
				token, err := v.Verify(t.Context(), raw)
				if tt.kind != nil {
					requireError(t, token, err, tt.kind, tt.reason)
					require.Contains(t, err.Error(), tt.detail)
					continue
				}
				require.NoError(t, err)
				require.True(t, token.Bound())
				require.Equal(t, s.Public(t).Thumbprint(), token.Key())
				require.Equal(t, token.IssuedAt(), token.AsOf())
				tt.check(token)
			}
			if tt.kind == nil {
				require.Equal(t, 1, asked, "once for a token, and not for what is remembered")
			}
			_, err := v.Verify(t.Context(), raw)
			e := v.Explain(t.Context(), raw)
			kit.RequireExplained(t, e, err, raw)
			require.NotContains(t, e.String(), "s3cret")
			if tt.kind != nil {
				failed, _ := e.Failed()
				require.Equal(t, "map", failed.Name)
			}
		})
	}
}
