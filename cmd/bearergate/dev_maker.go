package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
)

// maker makes the tokens of dev: those that it prints, and those of its token endpoint.
type maker struct {
	opaque bool
	more   map[string]json.RawMessage // further claims of every token: those of -claims-file

	// Of -idp, else nil.
	config *jwtverify.Config // what the function of package idp returns
	name   string
	args   given
}

// maker reads what -claims-file and -idp say.
func (d *devFlags) maker(ctx context.Context, e *env) (*maker, error) {
	m := &maker{opaque: d.opaque}
	if d.claimsFile != "" {
		raw, err := e.read(ctx, "-claims-file", d.claimsFile, maxSecret)
		if err != nil {
			return nil, err
		}
		if err := bearergate.NewToken(authtest.Claims{Raw: raw}).Claims(&m.more); err != nil {
			return nil, usage("-claims-file must hold one JSON object with distinct names")
		}
	}
	if d.idp == "" {
		return m, nil
	}
	p, args, err := usePreset(d.idp, d.idpArgs)
	switch {
	case err != nil:
		return nil, err
	case p.make == nil:
		return nil, usage("-idp %s is for many issuers: name one of them, as in -idp entra", d.idp)
	}
	config := p.make(args)
	if config.Err != nil {
		return nil, usage("-idp: %w", config.Err)
	}
	m.config, m.name, m.args = &config, d.idp, args
	return m, nil
}

// algorithm signs, unless -alg says otherwise.
func (m *maker) algorithm() string {
	if m.config != nil && len(m.config.Algorithms) > 0 && !slices.Contains(m.config.Algorithms, authtest.DefaultAlgorithm) {
		return m.config.Algorithms[0]
	}
	return authtest.DefaultAlgorithm
}

// token makes one. c has what differs from token to token.
func (m *maker) token(as *authtest.Server, c authtest.Claims) string {
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = time.Now().Add(authtest.DefaultLifetime) // what the token endpoint says, whatever the file says
	}
	c.Raw = m.raw(c.Raw)
	switch {
	case m.opaque:
		return as.Opaque(c)
	case m.config == nil:
		return as.Token(c)
	}
	c.Issuer, c.Audience = m.config.Issuer, m.config.Audiences[:min(1, len(m.config.Audiences))]
	claims := as.Claims(c)
	m.asProvider(claims)
	return as.Sign(map[string]any{"typ": "JWT"}, claims)
}

// raw adds the claims of -claims-file to those that the token endpoint has for a token that
// it exchanges, which count more.
func (m *maker) raw(of []byte) []byte {
	all := maps.Clone(m.more)
	if all == nil {
		return of
	}
	if of != nil {
		_ = json.Unmarshal(of, &all) // of authtest: always an object
	}
	text, err := json.Marshal(all)
	if err != nil {
		return of // not reached: they are JSON
	}
	return text
}

// asProvider gives claims the names and the members with which the provider writes them. Of
// the members that the provider adds, -claims-file counts more. It cannot replace what the
// flags say: issuer, audience, subject, client and scopes.
func (m *maker) asProvider(claims map[string]any) {
	rename := func(from string, to []string) {
		value, there := claims[from]
		if !there || len(to) == 0 || slices.Contains(to, from) {
			return
		}
		delete(claims, from)
		if _, set := claims[to[0]]; !set {
			claims[to[0]] = value
		}
	}
	if len(m.config.Audiences) == 0 {
		delete(claims, "aud")
	}
	rename("scope", m.config.ScopeClaims)
	rename("client_id", m.config.ClientClaims)
	for name, value := range ofProvider(m.name, m.args, claims) {
		if _, set := m.more[name]; !set {
			claims[name] = value
		}
	}
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
}

// ofProvider are the members that an access token of the provider has beyond those of every
// token, as far as docs/providers.md tells access tokens from others by them; nil: a member
// that it does not have. For a provider that is not here, -claims-file has to name them.
func ofProvider(name string, args given, claims map[string]any) map[string]any {
	scopes := func(claim string) []string { text, _ := claims[claim].(string); return strings.Fields(text) }
	switch name {
	case "cognito":
		under := scopes("scope")
		for i, s := range under {
			if !strings.HasPrefix(s, args.one("resource")+"/") {
				under[i] = args.one("resource") + "/" + s
			}
		}
		return map[string]any{"aud": nil, "token_use": "access", "version": 2, "scope": strings.Join(under, " "), "client_id": args.one("client")}
	case "entra":
		version, how := "2.0", "azpacr"
		if args.one("version") == "1" {
			version, how = "1.0", "appidacr"
		}
		return map[string]any{"ver": version, how: "1", "tid": strings.ToLower(args.one("tenant")), "oid": claims["sub"]}
	case "keycloak":
		return map[string]any{"typ": "Bearer", "azp": claims["client_id"], "realm_access": map[string]any{"roles": []string{"offline_access", "uma_authorization"}}}
	case "okta":
		id, _ := claims["jti"].(string)
		return map[string]any{"jti": "AT." + id, "scp": scopes("scp"), "uid": claims["sub"]}
	}
	return nil
}

// refusal is why the function of package idp does not accept such a token, if it does not.
func (m *maker) refusal(ctx context.Context, as *authtest.Server, c authtest.Claims) error {
	if m.config == nil {
		return nil
	}
	config := *m.config
	config.KeysURL, config.MetadataURL = as.URL("/jwks"), ""
	v, err := jwtverify.New(config)
	if err != nil {
		return err
	}
	_, err = v.Verify(ctx, m.token(as, c))
	return err
}
