package main

import (
	"context"
	"flag"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// issuerFlags say whose tokens and keys are looked at, and where the keys are.
type issuerFlags struct {
	issuer, keysURL, metadataURL string
	idp                          string
	idpArgs                      list
}

func (i *issuerFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&i.issuer, "issuer", "", "issuer `URL`, exactly as it stands in iss and in the metadata")
	flags.StringVar(&i.keysURL, "keys-url", "", "`URL` of the key set, if it is not to be discovered")
	flags.StringVar(&i.metadataURL, "metadata-url", "", "`URL` of the metadata, if they are not where the issuer says")
	flags.StringVar(&i.idp, "idp", "", "`name` of an identity provider, instead of -issuer and -audience: keycloak, entra, auth0…; listed below")
	flags.Var(&i.idpArgs, "idp-arg", "an argument of -idp, `name=value`; may be given several times")
	usage := flags.Usage
	flags.Usage = func() { usage(); listPresets(flags.Output()) }
}

// config is what the flags say of the issuer, with a preset if there is one.
func (i *issuerFlags) config() (c jwtverify.Config, p preset, args given, err error) {
	switch {
	case i.idp != "":
		if p, args, err = usePreset(i.idp, i.idpArgs); err != nil {
			return jwtverify.Config{}, preset{}, nil, err
		}
		if p.make != nil {
			c = p.make(args)
		}
	case len(i.idpArgs) > 0:
		return jwtverify.Config{}, preset{}, nil, usage("-idp-arg is an argument of -idp, which is missing")
	case i.issuer == "":
		return jwtverify.Config{}, preset{}, nil, usage("-issuer is missing: the URL that stands in iss; or name an identity provider with -idp")
	}
	if i.issuer != "" {
		c.Issuer = i.issuer // of a preset too: a custom domain, a national cloud
	}
	if i.keysURL != "" || i.metadataURL != "" {
		c.KeysURL, c.MetadataURL = i.keysURL, i.metadataURL // in the place of those of a preset
	}
	return c, p, args, nil
}

// verifierFlags say which tokens are accepted, as the configuration of an API does.
type verifierFlags struct {
	issuerFlags
	clientFlags

	audiences, algorithms, confirmations list
	profile                              string
	leeway                               time.Duration
	at                                   string
	jwksFile                             string

	introspect                           bool
	introspectURL                        string
	clientID, clientSecretFile, authWith string
}

func (v *verifierFlags) register(flags *flag.FlagSet) {
	v.issuerFlags.register(flags)
	v.clientFlags.register(flags)
	flags.Var(&v.audiences, "audience", "a `name` of the API in aud; may be given several times")
	flags.Var(&v.algorithms, "alg", "an accepted `algorithm`; may be given several times; default as in the library")
	flags.Var(&v.confirmations, "confirmation", "a `member` of cnf whose proof the API checks, jkt or x5t#S256; may be given several times. No proof is checked here")
	flags.StringVar(&v.profile, "profile", "access-token", "access-token or rfc9068")
	flags.DurationVar(&v.leeway, "leeway", jwtverify.DefaultLeeway, "how far clocks may differ")
	flags.StringVar(&v.at, "at", "", "judge the token as if it were this `time` (RFC 3339): the keys are those of today")
	flags.StringVar(&v.jwksFile, "jwks-file", "", "`file` with the key set: nothing is fetched")
	flags.BoolVar(&v.introspect, "introspect", false, "ask the authorization server about the token (RFC 7662), which is told the token")
	flags.StringVar(&v.introspectURL, "introspect-url", "", "`URL` of the introspection endpoint, if it is not to be discovered; implies -introspect")
	flags.StringVar(&v.clientID, "client-id", "", "the API's own `ID` at the introspection endpoint")
	flags.StringVar(&v.clientSecretFile, "client-secret-file", "", "`file` with its secret")
	flags.StringVar(&v.authWith, "client-auth", "basic", "how the secret is sent: basic, post, or none")
}

// idle is an error for flags that say nothing beside the others.
func (v *verifierFlags) idle(flags *flag.FlagSet) error {
	introspects := v.introspect || v.introspectURL != ""
	switch {
	case introspects && v.authWith == "none":
		return idle(flags, "-client-auth none sends no secret", "client-secret-file")
	case introspects:
		return idle(flags, "with -introspect the server judges the token", "profile")
	case v.jwksFile != "":
		return idle(flags, "nothing is fetched with -jwks-file", "ca", "proxy", "insecure-allow-http", "client-auth")
	}
	return idle(flags, "it is for -introspect", "client-auth")
}

// verifier is the one that an API with this configuration would have.
func (v *verifierFlags) verifier(ctx context.Context, e *env) (bearergate.Verifier, error) {
	now, err := v.clock(e)
	if err != nil {
		return nil, err
	}
	client, err := v.client(ctx, e)
	if err != nil {
		return nil, err
	}
	c, preset, args, err := v.config()
	if err != nil {
		return nil, err
	}
	c.Audiences = append(c.Audiences, v.audiences...)
	if v.introspect || v.introspectURL != "" {
		return v.introspection(ctx, e, introspect.Config{Issuer: c.Issuer, Audiences: c.Audiences, Now: now, HTTPClient: client,
			Leeway: v.leeway, NoLeeway: v.leeway == 0, InsecureAllowHTTP: v.insecureHTTP})
	}
	if v.clientID != "" || v.clientSecretFile != "" {
		return nil, usage("-client-id and -client-secret-file are for -introspect")
	}
	switch v.profile {
	case "access-token":
		c.Profile = jwtverify.AccessToken
	case "rfc9068":
		c.Profile = jwtverify.RFC9068
	default:
		return nil, usage("-profile must be access-token or rfc9068")
	}
	if len(v.algorithms) > 0 {
		c.Algorithms = v.algorithms
	}
	c.Confirmations = append(c.Confirmations, v.confirmations...)
	c.Leeway, c.NoLeeway, c.Now = v.leeway, v.leeway == 0, now
	if v.jwksFile != "" {
		if v.keysURL != "" || v.metadataURL != "" {
			return nil, usage("-jwks-file is given together with -keys-url or -metadata-url: leave out the one or the other")
		}
		set, err := e.read(ctx, "-jwks-file", v.jwksFile, maxFile)
		if err != nil {
			return nil, err
		}
		c.KeysURL, c.MetadataURL = "", ""
		if c.Keys, err = jwks.Static(set); err != nil {
			return nil, usage("-jwks-file: %w", err)
		}
	} else {
		c.HTTPClient, c.InsecureAllowHTTP = client, v.insecureHTTP
	}
	if preset.many != nil {
		return preset.many(args, c)
	}
	return jwtverify.New(c)
}

// clock is the time by which tokens are judged.
func (v *verifierFlags) clock(e *env) (func() time.Time, error) {
	if v.at == "" {
		return e.now, nil
	}
	at, err := time.Parse(time.RFC3339, v.at)
	if err != nil {
		return nil, usage("-at must be a time as in RFC 3339: 2006-01-02T15:04:05Z")
	}
	return func() time.Time { return at }, nil
}

func (v *verifierFlags) introspection(ctx context.Context, e *env, c introspect.Config) (bearergate.Verifier, error) {
	if v.idp != "" || v.jwksFile != "" || v.keysURL != "" || v.metadataURL != "" || len(v.algorithms) > 0 {
		return nil, usage("-introspect is given together with flags for tokens that are verified by their signature: -idp, -jwks-file, -keys-url, -metadata-url or -alg")
	}
	c.Endpoint, c.Confirmations = v.introspectURL, v.confirmations
	var secret bearergate.Secret
	if v.clientSecretFile != "" {
		var err error
		if secret, err = e.secret(ctx, "-client-secret-file", v.clientSecretFile); err != nil {
			return nil, err
		}
	}
	switch missing := v.clientID == "" || v.clientSecretFile == ""; {
	case v.authWith == "none":
		c.Auth, c.ClientID = introspect.NoAuth(), v.clientID
	case v.authWith != "basic" && v.authWith != "post":
		return nil, usage("-client-auth must be basic, post or none")
	case missing:
		return nil, usage("-introspect needs -client-id and -client-secret-file, or -client-auth none")
	case v.authWith == "post":
		c.Auth = introspect.PostAuth(v.clientID, secret.Reveal())
	default:
		c.Auth = introspect.BasicAuth(v.clientID, secret.Reveal())
	}
	return introspect.New(c)
}
