package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// help lists the subcommands.
func help(w io.Writer) {
	fmt.Fprint(w, "usage: bearergate <subcommand> [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nbearergate <subcommand> -help lists its flags. Exit codes: 0 all is well, 1 refused or\n"+
		"a fault found, 2 a flag, a file or a setting is wrong, 3 somebody else is out of order.\n")
}

// newFlags returns the flags of a subcommand. synopsis is what stands above them in its help.
func newFlags(name, synopsis string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // [parse] says what is wrong
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: bearergate %s [flags]\n\n%s\n\n", name, strings.TrimSpace(synopsis))
		flags.PrintDefaults()
	}
	return flags
}

// The errors of package flag that name a flag. A name of ours is short, of lower case and
// hyphens; what is not, or is a value, may be a token that was typed in the wrong place.
var (
	flagUnknown  = regexp.MustCompile(`^flag provided but not defined: (-[a-z][a-z-]{0,23})$`)
	flagNoValue  = regexp.MustCompile(`^flag needs an argument: (-[a-z-]+)$`)
	flagBadValue = regexp.MustCompile(`^invalid (?:boolean )?value "(?s:.*)" for (?:flag )?(-[a-z-]+): ([a-z ]+)$`)
)

// withoutValue is an error about a flag, without what was typed for its value.
func withoutValue(err error) string {
	text := err.Error()
	if m := flagUnknown.FindStringSubmatch(text); m != nil {
		return "there is no flag " + m[1]
	}
	if m := flagNoValue.FindStringSubmatch(text); m != nil {
		return m[1] + " needs a value"
	}
	if m := flagBadValue.FindStringSubmatch(text); m != nil {
		return "the value of " + m[1] + " cannot be used: " + m[2]
	}
	return "a flag is unknown, or its value is not of the right form"
}

// parse reads the flags. The error is [flag.ErrHelp] if help was asked for, and printed.
func parse(e *env, flags *flag.FlagSet, args []string) error {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(e.stdout)
		flags.Usage()
		return err
	case err != nil:
		return usage("%s: %s: see bearergate %[1]s -help", flags.Name(), withoutValue(err))
	case flags.NArg() > 0: // not repeated: it may be a token
		return usage("%s takes flags alone: tokens and secrets come from standard input or from files, for a shell remembers arguments", flags.Name())
	}
	return nil
}

// idle is an error if one of these flags was given although nothing comes of it: whoever
// gives a flag believes that it has an effect. why says when it has one.
func idle(flags *flag.FlagSet, why string, names ...string) error {
	var err error
	flags.Visit(func(f *flag.Flag) {
		if err == nil && slices.Contains(names, f.Name) {
			err = usage("-%s has no effect here: %s", f.Name, why)
		}
	})
	return err
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	*l = append(*l, s)
	return nil
}

// clientFlags are those of a subcommand that makes requests.
type clientFlags struct {
	ca           string
	proxy        string
	timeout      time.Duration
	insecureHTTP bool
}

func (c *clientFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&c.ca, "ca", "", "`file` with the certificates (PEM) of the authorities to trust, instead of the system's")
	flags.StringVar(&c.proxy, "proxy", "", "`URL` of an HTTP proxy, which is not asked for hosts on loopback; default none, as in the library")
	flags.DurationVar(&c.timeout, "timeout", 20*time.Second, "how long all of it may take")
	flags.BoolVar(&c.insecureHTTP, "insecure-allow-http", false, "accept http for every host: anybody on the path can then forge keys and answers")
}

// context is the one under which requests are made.
func (c *clientFlags) context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// transport returns what makes the requests. It uses no proxy of the environment: what is
// seen must be what the API sees.
func (c *clientFlags) transport(ctx context.Context, e *env) (*http.Transport, error) {
	if c.timeout <= 0 {
		return nil, usage("-timeout must be more than zero")
	}
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: c.timeout,
		ForceAttemptHTTP2:     true,
		DisableKeepAlives:     true, // a command asks once
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if c.ca != "" {
		pem, err := e.read(ctx, "-ca", c.ca, maxFile)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("-ca: no certificate was found in the file: it has to be PEM")
		}
	}
	if c.proxy != "" {
		u, err := url.Parse(c.proxy)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return nil, usage("-proxy must be an http or https URL with a host and without credentials")
		}
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if isLoopback(r.URL.Hostname()) { // http is legal there, because it does not leave this machine
				return nil, nil
			}
			return u, nil
		}
	}
	return t, nil
}

// client returns an HTTP client. It has no timeout of its own: see [clientFlags.context].
func (c *clientFlags) client(ctx context.Context, e *env) (*http.Client, error) {
	t, err := c.transport(ctx, e)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t}, nil
}
