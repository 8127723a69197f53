package fetch

import (
	"errors"
	"net/url"
	"strings"

	"github.com/bearergate/bearergate/internal/mistake"
)

const wellKnown = "/.well-known/"

// CheckPasted says what of raw is no part of an issuer identifier and came along
// when somebody copied it, or was to be replaced; nil if nothing did. It is for every
// issuer that is configured, a URL or not.
func CheckPasted(raw string) error {
	switch {
	case strings.TrimSpace(raw) != raw:
		return errors.New("has white space around it: remove it")
	case mistake.Literal(raw) != nil:
		return mistake.Literal(raw)
	case !strings.Contains(raw, wellKnown):
		return nil
	case strings.HasSuffix(raw, wellKnown+"openid-configuration"):
		return errors.New("is the URL of a metadata document: cut it off before /.well-known/openid-configuration")
	}
	return errors.New("is the URL of a metadata document: cut out /.well-known/ and the name behind it; what comes after that name is part of the issuer")
}

// A difference between two issuers that people overlook.
type difference struct {
	gone func(issuer string) string            // issuer, so that the difference cannot be seen
	says func(configured, found string) string // what differs, and what to change
}

// In the order in which they are taken away: a port is known by its scheme.
var differences = []difference{
	{strings.TrimSpace, func(configured, _ string) string {
		if strings.TrimSpace(configured) != configured {
			return "white space around Issuer: remove it"
		}
		return "white space, which the other has around it: mend that at the authorization server"
	}},
	{withoutWellKnown, func(configured, _ string) string {
		if withoutWellKnown(configured) != configured {
			return "/.well-known/ and the name behind it: Issuer is the URL of a metadata document, so cut them out"
		}
		return "/.well-known/ and the name behind it: the authorization server takes the URL of its metadata for its issuer"
	}},
	{withoutPort, func(configured, _ string) string {
		if withoutPort(configured) != configured {
			return "the port, which is that of the scheme anyway: take it out of Issuer"
		}
		return "the port, which is that of the scheme anyway: write it into Issuer"
	}},
	{withoutScheme, func(configured, found string) string {
		switch {
		case scheme(configured) == "http" && scheme(found) == "https":
			return "http and https: write https in Issuer"
		case scheme(configured) == "https" && scheme(found) == "http":
			// Never: use http. Whoever sends a token chooses what is found.
			return "https and http: have the authorization server name itself with https, its public URL (a proxy in front of it has to tell it)"
		case scheme(configured) == "":
			return "the https:// that Issuer lacks: add it"
		}
		return "https:// at the beginning: take it out of Issuer if that is really what tokens say"
	}},
	{strings.ToLower, func(string, string) string {
		return "upper and lower case: write every letter of Issuer as the authorization server does"
	}},
	{withoutSlash, func(configured, _ string) string {
		if withoutSlash(configured) != configured {
			return "a slash at the end: remove it from Issuer"
		}
		return "a slash at the end: add it to Issuer"
	}},
}

// IssuerHint says what to change where the issuer that is configured and the one that
// was found, in a document or a token, differ only by what people overlook; "" if they
// differ by more, or not at all. The words are fixed: found is not among them.
func IssuerHint(configured, found string) string {
	if configured == found || configured == "" || found == "" || len(configured) > MaxURLBytes || len(found) > MaxURLBytes {
		return ""
	}
	same := func(but int) bool {
		a, b := configured, found
		for i, d := range differences {
			if i != but {
				a, b = d.gone(a), d.gone(b)
			}
		}
		return a == b
	}
	if !same(-1) {
		return ""
	}
	var says []string
	for i, d := range differences {
		if !same(i) {
			says = append(says, d.says(configured, found))
		}
	}
	if says == nil { // two of them take the same difference away: HTTPS://
		return "the two differ only in how they are written: write Issuer letter for letter as the authorization server does"
	}
	return "the two differ only by " + strings.Join(says, "; and by ")
}

// withoutWellKnown is the issuer whose metadata are at a URL (RFC 8414 §3, Discovery 1.0 §4).
func withoutWellKnown(issuer string) string {
	before, behind, found := strings.Cut(issuer, wellKnown)
	if !found {
		return issuer
	}
	_, path, more := strings.Cut(behind, "/")
	if more {
		return before + "/" + path
	}
	return before
}

func withoutPort(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Port() == "" || u.Port() != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		return issuer
	}
	return strings.Replace(issuer, u.Host, strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
}

func withoutScheme(issuer string) string {
	if s := scheme(issuer); s != "" {
		return issuer[len(s+"://"):]
	}
	return issuer
}

// scheme is https or http, in lower case; "" if issuer does not begin with one of them.
func scheme(issuer string) string {
	for _, s := range []string{"https", "http"} {
		if n := len(s + "://"); len(issuer) >= n && strings.EqualFold(issuer[:n], s+"://") {
			return s
		}
	}
	return ""
}

func withoutSlash(issuer string) string { return strings.TrimSuffix(issuer, "/") }
