package main

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
)

// The defaults and bounds of probe.
const (
	maxProbeTimeout        = time.Hour
	maxProbeHeader         = 64 << 10 // bytes of one answer's header
	minProbeTimeout        = time.Second
	maxProbeRequest        = 10 * time.Second       // of one request
	minProbeRequest        = 100 * time.Millisecond // jwks takes no less
	defaultRevokedWithin   = 30 * time.Second
	defaultPoll            = 250 * time.Millisecond
	minPoll                = 10 * time.Millisecond
	defaultMaxSkew         = 5 * time.Second // the leeway of the library
	defaultCertificateWarn = 21              // days
	defaultCertificateFail = 7
)

// probeConfig is what the flags say, checked.
type probeConfig struct {
	issuer, keysURL, metadataURL      string
	tokenEndpoint, revocationEndpoint string
	audiences                         []string
	url, forbiddenURL                 string
	html                              bool

	clientID               string
	clientAuth             string
	secret                 bearergate.Secret
	scope                  string
	resources, askAudience []string

	revoke                           bool
	revokedWithin, poll              time.Duration
	certificateWarn, certificateFail float64 // days
	maxSkew                          time.Duration
	timeout                          time.Duration // of all but the wait for the refusal of a revoked token

	name       string
	prometheus string
}

var probeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// flags puts the flags of probe into a set.
func (c *probeConfig) flags(set *flag.FlagSet) {
	set.StringVar(&c.issuer, "issuer", "", "the `URL` of the issuer, as tokens and metadata name it; required")
	set.StringVar(&c.keysURL, "keys-url", "", "the `URL` of the key set, for a server without metadata")
	set.StringVar(&c.metadataURL, "metadata-url", "", "the `URL` of the metadata, if they are not where the issuer says")
	set.StringVar(&c.tokenEndpoint, "token-endpoint", "", "the `URL` of the token endpoint, if not that of the metadata")
	set.StringVar(&c.revocationEndpoint, "revocation-endpoint", "", "the `URL` of the revocation endpoint, if not that of the metadata")
	set.Var((*list)(&c.audiences), "audience", "the `name` of the API that aud must contain; may be repeated; without it, the token is not judged here")
	set.StringVar(&c.url, "url", "", "a `URL` of the API that answers GET with 2xx for the token")
	set.StringVar(&c.forbiddenURL, "forbidden-url", "", "a `URL` of the API that demands a scope which the token lacks")
	set.BoolVar(&c.html, "html", false, "the API itself answers with HTML: it is no login page")

	set.StringVar(&c.clientID, "client-id", "", "the client `ID` of the probe; without it, no token is asked for")
	set.StringVar(&c.clientAuth, "client-auth", "basic", "`how` the client authenticates: basic or post (client_secret_basic, client_secret_post)")
	set.StringVar(&c.scope, "scope", "", "the `scopes` to ask for, with spaces between them")
	set.Var((*list)(&c.resources), "resource", "the parameter resource of the token request (RFC 8707), a `URI`; may be repeated")
	set.Var((*list)(&c.askAudience), "ask-audience", "the parameter audience of the token request, a `name`; may be repeated")

	set.BoolVar(&c.revoke, "revoke", false, "revoke the token (RFC 7009), and measure how long the API goes on accepting it")
	set.DurationVar(&c.revokedWithin, "revoked-within", defaultRevokedWithin, "how long after its revocation a token may be accepted")
	set.DurationVar(&c.poll, "poll", defaultPoll, "how often the API is asked after the revocation: the measurement is no finer")
	set.Float64Var(&c.certificateWarn, "certificate-warn", defaultCertificateWarn, "a certificate with fewer `days` left is a warning")
	set.Float64Var(&c.certificateFail, "certificate-fail", defaultCertificateFail, "a certificate with fewer `days` left is a fault")
	set.DurationVar(&c.maxSkew, "max-skew", defaultMaxSkew, "how far the clock of a server may differ from ours")
	set.StringVar(&c.name, "name", "default", "the `name` of this probe, the label probe of its metrics")
	set.StringVar(&c.prometheus, "prometheus", "", "write metrics to this `file`, for a textfile collector; - is standard output, in the place of the table")
}

// check returns every mistake that the flags have.
func (c *probeConfig) check() error {
	var mistakes []error
	wrong := func(flag, what string) { mistakes = append(mistakes, errors.New("-"+flag+" "+what)) }
	if _, err := jwks.New(jwks.Config{Issuer: c.issuer, URL: c.keysURL, MetadataURL: c.metadataURL}); err != nil {
		mistakes = append(mistakes, err)
	}
	if c.issuer == "" {
		wrong("issuer", "is missing")
	}
	for _, u := range []struct{ flag, value string }{
		{"token-endpoint", c.tokenEndpoint},
		{"revocation-endpoint", c.revocationEndpoint},
		{"url", c.url},
		{"forbidden-url", c.forbiddenURL},
	} {
		if u.value == "" {
			continue
		}
		if err := sendable(u.value); err != nil {
			wrong(u.flag, err.Error())
		}
	}
	switch c.clientAuth {
	case "basic", "post":
	default:
		wrong("client-auth", "is neither basic nor post")
	}
	if !probeName.MatchString(c.name) {
		wrong("name", "is not 1 to 63 letters, digits, points, hyphens and underscores, beginning with a letter or a digit")
	}
	if c.poll < minPoll || c.poll > c.revokedWithin {
		wrong("poll", "is shorter than "+minPoll.String()+", or longer than -revoked-within")
	}
	if c.timeout < minProbeTimeout || c.timeout > maxProbeTimeout {
		wrong("timeout", "is not between "+minProbeTimeout.String()+" and "+maxProbeTimeout.String())
	}
	if c.revokedWithin > maxProbeTimeout {
		wrong("revoked-within", "is longer than "+maxProbeTimeout.String())
	}
	if c.revoke && (c.url == "" || c.clientID == "") {
		wrong("revoke", "needs -url and -client-id")
	}
	if c.forbiddenURL != "" && c.clientID == "" {
		wrong("forbidden-url", "needs -client-id")
	}
	if c.maxSkew <= 0 {
		wrong("max-skew", "is not more than 0")
	}
	if !(c.certificateFail >= 0 && c.certificateFail <= c.certificateWarn && c.certificateWarn <= 3650) {
		wrong("certificate-fail", "is less than 0 or more than -certificate-warn, or that is more than 3650")
	}
	return errors.Join(mistakes...)
}

// sendable says what keeps a secret or a token from being sent to a URL: it must be https,
// or http on this machine. The error does not repeat the URL.
func sendable(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return errors.New("is no URL: write https://host/path")
	case u.User != nil || u.Fragment != "":
		return errors.New("has a user or a fragment, which does not belong there")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http" || !isLoopback(u.Hostname()):
		return errors.New("is not https, which it must be but on loopback")
	}
	return nil
}

// isLoopback reports whether a host is this machine, whatever a name server says.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// authenticate adds the credentials of the client to a request (RFC 6749 §2.3.1).
func (c *probeConfig) authenticate(header http.Header, form url.Values) {
	if c.clientAuth == "post" {
		form.Set("client_id", c.clientID)
		form.Set("client_secret", c.secret.Reveal())
		return
	}
	pair := url.QueryEscape(c.clientID) + ":" + url.QueryEscape(c.secret.Reveal())
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
}

// patience is how long one request may take: a server that hangs leaves time for the others.
func (c *probeConfig) patience() time.Duration {
	return max(min(maxProbeRequest, c.timeout/3), minProbeRequest)
}

const probeSynopsis = `
Checks an API and its authorization server from the outside, as a client: finds the
metadata and the keys, gets a token by client credentials, judges it as the library does,
and sends it to the API, which has to answer 2xx, 401 without a token and with a broken
signature, and 403 where the token lacks the scope. What no flag asks for is skipped.

  bearergate probe -issuer https://as.example.com -audience https://api.example.com \
    -client-id probe -client-secret-file /etc/probe.secret -scope orders:read \
    -url https://api.example.com/orders -forbidden-url https://api.example.com/admin \
    -prometheus /var/lib/node_exporter/textfile/bearergate.prom

The token is sent to -url and -forbidden-url alone, over https or on loopback, and never
after a redirect. It is printed nowhere. Without -revoke it stays valid until it expires.
`

// probing is the subcommand probe.
func probing(ctx context.Context, e *env, args []string) error {
	var c probeConfig
	var with clientFlags
	flags := newFlags("probe", probeSynopsis)
	c.flags(flags)
	with.register(flags)
	secretFile := flags.String("client-secret-file", "", "the `file` with the secret of the client; - is standard input")
	asJSON := flags.Bool("json", false, "print JSON in the place of the table")
	if err := parse(e, flags, args); err != nil {
		return err
	}
	if c.clientID == "" {
		if err := idle(flags, "no token is asked for without -client-id", "token-endpoint", "client-auth", "scope", "resource", "ask-audience"); err != nil {
			return err
		}
	}
	if !c.revoke {
		if err := idle(flags, "no token is revoked without -revoke", "revocation-endpoint", "revoked-within", "poll"); err != nil {
			return err
		}
	}
	c.timeout = with.timeout
	if err := c.check(); err != nil {
		return usage("probe: %w", err)
	}
	switch {
	case with.insecureHTTP:
		return usage("probe: -insecure-allow-http is not for probe: it sends a secret and a token")
	case (c.clientID == "") != (*secretFile == ""):
		return usage("probe: -client-id and -client-secret-file are given together")
	case *asJSON && c.prometheus == "-":
		return usage("probe: -json and -prometheus - both want standard output")
	}
	if c.clientID != "" {
		secret, err := e.secret(ctx, "-client-secret-file", *secretFile)
		if err != nil {
			return err
		}
		c.secret = secret
	}
	base, err := with.transport(ctx, e)
	if err != nil {
		return err
	}
	base.MaxResponseHeaderBytes = maxProbeHeader
	r := (&probe{config: c, wire: newWire(base)}).run(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("probe: %w", context.Cause(ctx)) // what was broken off found nothing
	}
	return e.tell(r, c.prometheus, *asJSON)
}

// tell writes the report to where it was asked for.
func (e *env) tell(r report, metrics string, asJSON bool) error {
	var err error
	switch {
	case metrics == "-":
		err = r.writeMetrics(e.stdout)
	case asJSON:
		err = e.json(r.document())
	default:
		err = r.writeTable(e.stdout)
	}
	for _, f := range r.Steps { // whoever reads the metrics alone, or nothing, is told as well
		if f.State == stateFailed && strings.HasPrefix(f.Advice, danger) {
			fmt.Fprintf(e.stderr, "bearergate: probe: %s: %s\n", f.Step, f.Advice)
		}
	}
	if metrics != "" && metrics != "-" {
		if err := r.writeFile(metrics); err != nil {
			return usage("-prometheus: %w", withoutName(err))
		}
	}
	if err == nil && r.exit() != exitOK {
		err = found{r.exit()}
	}
	return err
}
