package fetch

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// CheckURL says what keeps raw from being an endpoint: it must be an absolute
// https URL with a host, without userinfo and fragment. http is allowed with
// allowHTTP only. The error names the rule, not the URL.
func CheckURL(raw string, allowHTTP bool) error {
	if raw == "" {
		return errors.New("is empty")
	}
	if len(raw) > MaxURLBytes {
		return errors.New("is longer than 2048 bytes")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return errors.New("is not a valid URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be an absolute https URL")
	case u.Hostname() == "":
		return errors.New("must name a host")
	case u.User != nil:
		return errors.New("must not contain user information")
	case strings.Contains(raw, "#"):
		return errors.New("must not have a fragment")
	case u.Scheme == "http" && !allowHTTP:
		return errors.New("must be https (http is for localhost and loopback addresses, or with InsecureAllowHTTP)")
	}
	return nil
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

// CheckIssuer is CheckURL for an issuer identifier, which also has no query
// (RFC 8414 §2).
func CheckIssuer(raw string, allowHTTP bool) error {
	if err := CheckURL(raw, allowHTTP); err != nil {
		return err
	}
	if strings.Contains(raw, "?") {
		return errors.New("must not have a query")
	}
	return nil
}
