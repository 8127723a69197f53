package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

// devReport is the JSON of dev: one document at the start, and one for each token after
// that, each on a line of its own.
type devReport struct {
	Issuer        string    `json:"issuer,omitempty"`
	Audience      []string  `json:"audience,omitempty"`
	TokenEndpoint string    `json:"token_endpoint,omitempty"`
	AccessToken   string    `json:"access_token"`
	ExpiresAt     time.Time `json:"expires_at"`
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
}

const maxTTL = 24 * time.Hour

func dev(ctx context.Context, e *env, args []string) error {
	var d devFlags
	flags := newFlags("dev", `
Runs an authorization server for local work, on loopback: it prints its issuer and a token,
and another one whenever Enter is pressed. Its token endpoint gives a token to whoever asks.
Its keys are made anew at every start, and never written anywhere.

It must never be the issuer of an API that others can reach: there are no users, no
passwords and no secrets, and everybody on this machine gets every token.`)
	flags.StringVar(&d.addr, "addr", "127.0.0.1:0", "`address` to listen on, a loopback one; port 0 is any free port")
	flags.Var(&d.audiences, "audience", "aud of the tokens, a `name` of your API; may be given several times; default "+authtest.DefaultAudience)
	flags.StringVar(&d.scopes, "scope", "", "`scopes` of the tokens, separated by spaces")
	flags.StringVar(&d.subject, "subject", authtest.DefaultSubject, "`sub` of the tokens")
	flags.StringVar(&d.client, "client", authtest.DefaultClientID, "`client_id` of the tokens")
	flags.DurationVar(&d.ttl, "ttl", time.Hour, "how long the tokens are valid; at most 24h")
	flags.StringVar(&d.claimsFile, "claims-file", "", "`file` with a JSON object of further claims")
	flags.StringVar(&d.algorithm, "alg", authtest.DefaultAlgorithm, "`algorithm` that signs")
	asJSON := flags.Bool("json", false, "print JSON, one document on a line")
	if err := parse(e, flags, args); err != nil {
		return err
	}
	claims, err := d.claims(ctx, e)
	if err != nil {
		return err
	}
	if err := loopback(d.addr); err != nil {
		return err
	}
	if len(d.audiences) == 0 {
		d.audiences = list{authtest.DefaultAudience}
	}
	as, err := authtest.Start(authtest.WithAddr(d.addr), authtest.WithAudience(d.audiences...), authtest.WithAlgorithms(d.algorithm))
	if err != nil {
		return usage("%w", err)
	}
	defer as.Close()
	issue := func(first bool) error {
		claims.ExpiresAt = e.now().Add(d.ttl)
		report := devReport{AccessToken: as.Token(claims), ExpiresAt: claims.ExpiresAt.UTC().Truncate(time.Second)}
		if first {
			report.Issuer, report.Audience, report.TokenEndpoint = as.Issuer(), d.audiences, as.URL("/token")
		}
		switch {
		case *asJSON:
			return json.NewEncoder(e.stdout).Encode(report) //nolint:gosec // a token to be read is what it is for
		case first:
			return welcome(e, report, d.scopes)
		}
		_, err := fmt.Fprintf(e.stdout, "\n%s\n", report.AccessToken)
		return err
	}
	fmt.Fprint(e.stderr, "bearergate: FOR LOCAL WORK ONLY: this server gives a token to whoever asks. Never configure it as the issuer of an API that others can reach.\n")
	if err := issue(true); err != nil {
		return usage("%w", err)
	}
	return renew(ctx, e, func() error { return issue(false) })
}

// claims are those of every token.
func (d *devFlags) claims(ctx context.Context, e *env) (authtest.Claims, error) {
	scopes, err := scope.Parse(d.scopes)
	if err != nil && d.scopes != "" {
		return authtest.Claims{}, usage("-scope: %w", err)
	}
	if d.ttl < time.Second || d.ttl > maxTTL {
		return authtest.Claims{}, usage("-ttl must be between 1s and %v", maxTTL)
	}
	c := authtest.Claims{Subject: d.subject, ClientID: d.client, Scopes: scopes}
	if d.claimsFile == "" {
		return c, nil
	}
	if c.Raw, err = e.read(ctx, "-claims-file", d.claimsFile, maxSecret); err != nil {
		return authtest.Claims{}, err
	}
	var all map[string]json.RawMessage
	if err := bearergate.NewToken(c).Claims(&all); err != nil {
		return authtest.Claims{}, usage("-claims-file must hold one JSON object with distinct names")
	}
	return c, nil
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
func welcome(e *env, r devReport, scopes string) error {
	need := "scope.All(" + goList(strings.Fields(scopes)) + ")"
	if scopes == "" {
		need = `scope.All("orders:read")`
	}
	form := ""
	if scopes != "" {
		form = " -d 'scope=" + inForm.Replace(scopes) + "'"
	}
	_, err := fmt.Fprintf(e.stdout, `issuer: %s

In the API, five lines, of which the first is for this server:

	verifier, err := jwtverify.New(jwtverify.Config{Issuer: %q, Audiences: []string{%s}})
	// …
	gate, err := middleware.New(verifier, middleware.Config{})
	// …
	mux.Handle("GET /orders", gate.Require(%s)(orders))

A token, valid until %s:

%s

Press Enter for another one, or ask for one that is valid for an hour:

	curl -s -u local:local -d grant_type=client_credentials%s %s

Ctrl-C ends this, and with it every token: the keys are gone then.
`, r.Issuer, r.Issuer, goList(r.Audience), need, r.ExpiresAt.Format(time.RFC3339), r.AccessToken, form, r.TokenEndpoint)
	return err
}

// goList are strings as Go has them.
func goList(list []string) string {
	quotedOnes := make([]string, len(list))
	for i, s := range list {
		quotedOnes[i] = quoted(s)
	}
	return strings.Join(quotedOnes, ", ")
}
