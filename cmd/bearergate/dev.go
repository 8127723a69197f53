package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

// devReport is the JSON of dev: one document at the start, and one for each token after
// that, each on a line of its own.
type devReport struct {
	Issuer        string   `json:"issuer,omitempty"`
	Audience      []string `json:"audience,omitempty"`
	TokenEndpoint string   `json:"token_endpoint,omitempty"`
	KeysURL       string   `json:"keys_url,omitempty"` // of -idp: where the API has to look for the keys
	// Of -opaque: where the API asks, and the credentials with which it does.
	IntrospectionEndpoint string    `json:"introspection_endpoint,omitempty"`
	ClientID              string    `json:"client_id,omitempty"`
	ClientSecret          string    `json:"client_secret,omitempty"`
	AccessToken           string    `json:"access_token"`
	ExpiresAt             time.Time `json:"expires_at"`

	scopes string
}

// devFlags say what the tokens are to carry.
type devFlags struct {
	addr       string
	audiences  list
	scopes     string
	subject    string
	client     string
	ttl        time.Duration
	claimsFile string
	algorithm  string
	opaque     bool
	idp        string
	idpArgs    list
	asJSON     bool
}

const maxTTL = 24 * time.Hour

// The credentials with -opaque: those of the API, as docs/opaque.md has them, and those of a
// client that asks for tokens. They are the same at every start, so that a restart changes
// nothing in the API; whoever can reach this server gets tokens anyway.
const (
	devAPI    = "orders-api"
	devClient = "local"
	devSecret = "local"
)

func dev(ctx context.Context, e *env, args []string) error {
	var d devFlags
	flags := newFlags("dev", `
Runs an authorization server for local work, on loopback: it prints its issuer and a token,
and another one whenever Enter is pressed. Its token endpoint gives a token to whoever asks.
Its keys are made anew at every start, and never written anywhere.

With -opaque the tokens are opaque ones, and the API asks the introspection endpoint about
them, with the client ID and the secret that are printed. With -idp the tokens are those of
an identity provider, by what its documentation says and not by what it sends: dev says so
if the function of package idp refuses them.

It must never be the issuer of an API that others can reach: there are no users, no
passwords and no secrets, and everybody on this machine gets every token.`)
	flags.StringVar(&d.addr, "addr", "127.0.0.1:0", "`address` to listen on, a loopback one; port 0 is any free port")
	flags.Var(&d.audiences, "audience", "aud of the tokens, a `name` of your API; may be given several times; default "+authtest.DefaultAudience)
	flags.StringVar(&d.scopes, "scope", "", "`scopes` of the tokens, separated by spaces")
	flags.StringVar(&d.subject, "subject", authtest.DefaultSubject, "`sub` of the tokens")
	flags.StringVar(&d.client, "client", authtest.DefaultClientID, "`client_id` of the tokens")
	flags.DurationVar(&d.ttl, "ttl", time.Hour, "how long the tokens are valid; at most 24h")
	flags.StringVar(&d.claimsFile, "claims-file", "", "`file` with a JSON object of further claims")
	flags.StringVar(&d.algorithm, "alg", "", "`algorithm` that signs; default "+authtest.DefaultAlgorithm+", or the first that -idp accepts")
	flags.BoolVar(&d.opaque, "opaque", false, "opaque tokens, for an API that asks about them (package introspect)")
	flags.StringVar(&d.idp, "idp", "", "`name` of an identity provider whose tokens these are to be, instead of -audience: keycloak, entra, auth0…; listed below")
	flags.Var(&d.idpArgs, "idp-arg", "an argument of -idp, `name=value`; may be given several times")
	flags.BoolVar(&d.asJSON, "json", false, "print JSON, one document on a line")
	plainUsage := flags.Usage
	flags.Usage = func() { plainUsage(); listPresets(flags.Output()) }
	if err := parse(e, flags, args); err != nil {
		return err
	}
	if err := d.idle(flags); err != nil {
		return err
	}
	claims, err := d.claims()
	if err != nil {
		return err
	}
	maker, err := d.maker(ctx, e)
	if err != nil {
		return err
	}
	if err := loopback(d.addr); err != nil {
		return err
	}
	as, err := authtest.Start(d.options(maker)...)
	if err != nil {
		return usage("%w", err)
	}
	defer as.Close()
	issue := func(first bool) error {
		claims.ExpiresAt = e.now().Add(d.ttl)
		report := devReport{AccessToken: maker.token(as, claims), ExpiresAt: claims.ExpiresAt.UTC().Truncate(time.Second), scopes: d.scopes}
		if first {
			d.introduce(&report, as, maker)
		}
		switch {
		case d.asJSON:
			return json.NewEncoder(e.stdout).Encode(report) //nolint:gosec // a token to be read is what it is for
		case first:
			return welcome(e, report)
		}
		_, err := fmt.Fprintf(e.stdout, "\n%s\n", report.AccessToken)
		return err
	}
	fmt.Fprint(e.stderr, "bearergate: FOR LOCAL WORK ONLY: this server gives a token to whoever asks. Never configure it as the issuer of an API that others can reach.\n")
	if err := maker.refusal(ctx, as, claims); err != nil {
		fmt.Fprintf(e.stderr, "bearergate: -idp %s refuses the tokens that follow: %s. What is in them, -scope, -client, -subject and -claims-file say; docs/providers.md says what the provider writes.\n",
			maker.name, strings.TrimPrefix(err.Error(), "bearergate: "))
	}
	if err := issue(true); err != nil {
		return usage("%w", err)
	}
	return renew(ctx, e, func() error { return issue(false) })
}

// idle is an error for flags that contradict each other, or have no effect.
func (d *devFlags) idle(flags *flag.FlagSet) error {
	switch {
	case d.opaque && d.idp != "":
		return usage("-opaque and -idp are given: package idp is for JWTs; leave out the one or the other")
	case d.opaque:
		return idle(flags, "nothing is signed with -opaque", "alg", "idp-arg")
	case d.idp != "":
		return idle(flags, "the arguments of -idp say for which API the tokens are", "audience")
	}
	return idle(flags, "it is for -idp", "idp-arg")
}

// options are those of the server.
func (d *devFlags) options(m *maker) []authtest.Option {
	if len(d.audiences) == 0 {
		d.audiences = list{authtest.DefaultAudience}
	}
	options := []authtest.Option{authtest.WithAddr(d.addr), authtest.WithAudience(d.audiences...), authtest.WithTokens(m.token)}
	if d.opaque {
		return append(options, authtest.WithClient(devAPI, devSecret), authtest.WithClient(devClient, devSecret))
	}
	if d.algorithm == "" {
		d.algorithm = m.algorithm()
	}
	return append(options, authtest.WithAlgorithms(d.algorithm))
}

// introduce fills in what is said at the start alone.
func (d *devFlags) introduce(r *devReport, as *authtest.Server, m *maker) {
	r.Issuer, r.Audience, r.TokenEndpoint = as.Issuer(), d.audiences, as.URL("/token")
	if d.opaque {
		r.IntrospectionEndpoint, r.ClientID, r.ClientSecret = as.URL("/introspect"), devAPI, devSecret
	}
	if m.config != nil {
		r.Issuer, r.Audience, r.KeysURL = m.config.Issuer, m.config.Audiences, as.URL("/jwks")
	}
}

// claims are those of every token that is printed.
func (d *devFlags) claims() (authtest.Claims, error) {
	scopes, err := scope.Parse(d.scopes)
	if err != nil && d.scopes != "" {
		return authtest.Claims{}, usage("-scope: %w", err)
	}
	if d.ttl < time.Second || d.ttl > maxTTL {
		return authtest.Claims{}, usage("-ttl must be between 1s and %v", maxTTL)
	}
	return authtest.Claims{Subject: d.subject, ClientID: d.client, Scopes: scopes}, nil
}

// loopback refuses every address that somebody else can reach. A name is refused as well:
// what it means, others may decide.
func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return usage("-addr must be an address with a port, 127.0.0.1:8080 for example")
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return usage("-addr must be a loopback address, 127.0.0.1 or [::1]: whoever reaches this server gets tokens of it")
	}
	return nil
}

// renew makes a token for every line of standard input. When that ends, the server goes on
// until ctx ends, which is how this is meant to end.
func renew(ctx context.Context, e *env, issue func() error) error {
	lines := make(chan struct{})
	go func() { // a read of standard input cannot be interrupted: it ends with the process
		for in := bufio.NewReader(e.stdin); ; {
			if _, err := in.ReadSlice('\n'); errors.Is(err, bufio.ErrBufferFull) {
				continue // the rest of a long line
			} else if err != nil {
				return
			}
			select {
			case lines <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lines:
			if err := issue(); err != nil {
				return usage("%w", err)
			}
		}
	}
}

// inForm escapes what a scope may have and what means something in a form, or to a shell
// between single quotation marks. The rest stays readable.
var inForm = strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", "'", "%27")

// welcome is what is printed at the start. The lines of Go are those of the README.
func welcome(e *env, r devReport) error {
	need := "scope.All(" + goList(strings.Fields(r.scopes)) + ")"
	if r.scopes == "" {
		need = `scope.All("orders:read")`
	}
	form := ""
	if r.scopes != "" {
		form = " -d 'scope=" + inForm.Replace(r.scopes) + "'"
	}
	_, err := fmt.Fprintf(e.stdout, `issuer: %s

%s
	// …
	gate, err := middleware.New(verifier, middleware.Config{})
	// …
	mux.Handle("GET /orders", gate.Require(%s)(orders))

A token, valid until %s:

%s

Press Enter for another one, or ask for one that is valid for an hour:

	curl -s -u %s:%s -d grant_type=client_credentials%s %s

Ctrl-C ends this, and with it every token: %s gone then.
`, r.Issuer, r.verifier(), need, r.ExpiresAt.Format(time.RFC3339), r.AccessToken, devClient, devSecret, form, r.TokenEndpoint, r.kept())
	return err
}

// verifier says what makes the verifier in the API.
func (r *devReport) verifier() string {
	switch {
	case r.ClientID != "":
		return fmt.Sprintf(`In the API, five lines, of which the first is for this server. %s is the client ID of
the API here, and %s its secret:

	verifier, err := introspect.New(introspect.Config{Issuer: %q, Auth: introspect.BasicAuth(%q, %[2]q), Audiences: []string{%[5]s}})`,
			r.ClientID, r.ClientSecret, r.Issuer, r.ClientID, goList(r.Audience))
	case r.KeysURL != "":
		return fmt.Sprintf(`In the API, one line between the function of package idp and New, for this server alone.
Whoever listens there makes tokens for the API: take it out before others can reach the API.

	config := idp.… // as in production
	config.KeysURL, config.MetadataURL = %q, ""
	verifier, err := jwtverify.New(config)`, r.KeysURL)
	}
	return fmt.Sprintf(`In the API, five lines, of which the first is for this server:

	verifier, err := jwtverify.New(jwtverify.Config{Issuer: %q, Audiences: []string{%s}})`, r.Issuer, goList(r.Audience))
}

// kept is what the server has in memory alone.
func (r *devReport) kept() string {
	if r.ClientID != "" {
		return "they are"
	}
	return "the keys are"
}

// goList are strings as Go has them.
func goList(list []string) string {
	quotedOnes := make([]string, len(list))
	for i, s := range list {
		quotedOnes[i] = quoted(s)
	}
	return strings.Join(quotedOnes, ", ")
}
