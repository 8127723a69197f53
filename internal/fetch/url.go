package fetch

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
)

// CheckURL says what keeps raw from being an endpoint: it must be an absolute
// https URL with a host, without userinfo and fragment. http is allowed with
// allowHTTP only. The error names the rule, not the URL.
func CheckURL(raw string, allowHTTP bool) error {
	if raw == "" {
		return errors.New("is empty")
	}
	if len(raw) > MaxURLBytes {
		return errors.New("is longer than 2048 bytes: use a shorter one")
	}
	if strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return errors.New("is not a valid URL: remove the white space or control character in it")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "":
		return errors.New("is not a valid URL: write https://host/path")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be an absolute https URL: write https://host/path")
	case u.Hostname() == "":
		return errors.New("must name a host: write https://host/path")
	case u.User != nil:
		return errors.New("must not contain user information: take out what is before the @")
	case strings.Contains(raw, "#"):
		return errors.New("must not have a fragment: cut it off before the #")
	case u.Scheme == "http" && !allowHTTP:
		return errors.New("must be https (http is for localhost and loopback addresses, or with InsecureAllowHTTP)")
	}
	return nil
}

// CheckNamed is CheckURL for a URL that somebody wrote into a configuration, where braces
// in it were to be replaced.
func CheckNamed(raw string, allowHTTP bool) error {
	if err := mistake.Placeholder(Bare(raw)); err != nil {
		return err
	}
	return CheckURL(raw, allowHTTP)
}

// Loopback reports whether raw names this machine: localhost, or a loopback
// address as a literal. No name is resolved: what it resolves to may change.
func Loopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.Unmap().IsLoopback()
}

// Bare is a URL without its query, which may hold an API key: so it stands in errors and
// events, which end in logs. What is no URL, the path of a file, is as it was.
func Bare(raw string) string {
	if strings.Contains(raw, "://") {
		raw, _, _ = strings.Cut(raw, "?")
	}
	return raw
}

// Shown is a URL that somebody configured, quoted for the text of a mistake, with a
// space in front. It is "" where there may be a password in it, and has no query.
func Shown(raw string) string {
	raw, _, _ = strings.Cut(raw, "?")
	if raw == "" || strings.Contains(raw, "@") {
		return ""
	}
	if len(raw) > 256 {
		return " " + quote.One(raw)
	}
	return " " + strconv.QuoteToASCII(raw)
}

// CheckIssuer is CheckURL for an issuer identifier, which also has no query
// (RFC 8414 §2) and nothing of [CheckPasted].
func CheckIssuer(raw string, allowHTTP bool) error {
	if err := CheckPasted(raw); err != nil {
		return err
	}
	if err := CheckURL(raw, allowHTTP); err != nil {
		return err
	}
	if strings.Contains(raw, "?") {
		return errors.New("must not have a query: cut it off before the ?")
	}
	return nil
}
