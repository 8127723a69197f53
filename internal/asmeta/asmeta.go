// Package asmeta finds and reads the metadata of an authorization server:
// RFC 8414, and OpenID Connect Discovery 1.0 where that is what a server has.
package asmeta

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// Document is the part of the metadata that a resource server uses. Endpoints
// are as the document gives them, "" when absent, null or no string: whoever needs
// one judges it by [CheckEndpoint], and nobody else minds.
type Document struct {
	Issuer                string
	JWKSURI               string
	IntrospectionEndpoint string
	// Server is who gave the document: no part of it.
	Server fetch.Server
}

// URLs returns where the metadata of issuer may be, in the order of trial: the
// well-known path inserted before the issuer's path (RFC 8414 §3), then
// OpenID's suffix (Discovery 1.0 §4). A terminating slash is removed first.
// issuer must have passed [fetch.CheckIssuer].
func URLs(issuer string) [2]string {
	u, err := url.Parse(issuer)
	if err != nil {
		return [2]string{}
	}
	origin, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	return [2]string{
		origin + "/.well-known/oauth-authorization-server" + path,
		origin + path + "/.well-known/openid-configuration",
	}
}

// Request is what [Fetch] needs to know.
type Request struct {
	Issuer   string
	URL      string // where the document is; "": it is one of URLs
	First    int    // which of URLs worked last
	MaxBytes int64  // 0: fetch.DefaultMaxBytes
	// Check judges a document that belongs to the issuer; nil accepts it.
	Check func(Document) error
}

// Fetch returns the first acceptable document and which of [URLs] it came
// from. Whatever is wrong with one, the other is tried: a server may answer
// 404, a login page or nothing at all under a path that it does not know.
func Fetch(ctx context.Context, client *fetch.Client, r Request) (Document, int, error) {
	if r.URL != "" {
		doc, err := get(ctx, client, r.URL, r)
		return doc, 0, err
	}
	urls := URLs(r.Issuer)
	which := r.First & 1
	doc, err := get(ctx, client, urls[which], r)
	if err == nil {
		return doc, which, nil
	}
	other := 1 - which
	doc, err2 := get(ctx, client, urls[other], r)
	if err2 == nil {
		return doc, other, nil
	}
	if e, beside := worse(err, err2); e != nil {
		return Document{}, which, e.With(also(e, beside))
	}
	return Document{}, which, err
}

// also says what became of the other URL, and what both come from.
func also(e, beside *fetch.Error) string {
	text := "; " + beside.Where() + ": "
	switch {
	case beside.Outcome == e.Outcome && beside.Status == e.Status:
		text += "the same"
	case beside.Status != 0:
		text += "status " + strconv.Itoa(beside.Status)
	default:
		text += string(beside.Outcome)
	}
	switch e.Outcome {
	case fetch.Status, fetch.ContentType, fetch.Redirect, fetch.Malformed:
		text += "; both are made from Issuer, so check that first"
	}
	return text
}

// worse returns the error that says more, and the other one: a missing document, the
// usual way for one of the two to fail, says least.
func worse(a, b error) (worse, other *fetch.Error) {
	var ea, eb *fetch.Error
	if !errors.As(a, &ea) || !errors.As(b, &eb) {
		return nil, nil
	}
	if eb.Outcome == fetch.Status && ea.Outcome != fetch.Status {
		return ea, eb
	}
	return eb, ea
}

func get(ctx context.Context, client *fetch.Client, where string, r Request) (Document, error) {
	// Something must be left for what comes after: the other URL, the key set.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	resp, err := client.Get(ctx, fetch.Request{
		URL: where, Accept: "application/json", MaxBytes: r.MaxBytes,
		Type: fetch.IsDocument, // RFC 8414 §3.2 has application/json; static hosts say other things
	})
	if err != nil {
		return Document{}, err
	}
	doc, err := Parse(resp.Body)
	if err != nil {
		return Document{}, fetch.Fail(fetch.Malformed, where, err.Error()+": it is no metadata of an authorization server as it stands")
	}
	doc.Server = resp.Server
	// Identical, code point by code point (RFC 8414 §3.3, §4): no document may
	// speak for another issuer, not even for one that differs by a slash.
	if doc.Issuer != r.Issuer {
		hint := cmp.Or(fetch.IssuerHint(r.Issuer, doc.Issuer), "set Issuer to the one that tokens name")
		return Document{}, fetch.Fail(fetch.Issuer, where, "the document is of the issuer "+quote.One(doc.Issuer)+", and "+quote.One(r.Issuer)+" is configured: "+hint)
	}
	if r.Check != nil {
		if err := r.Check(doc); err != nil {
			return Document{}, fetch.Fail(fetch.JWKSURI, where, err.Error())
		}
	}
	return doc, nil
}

// Parse reads a metadata document strictly. issuer must be there and be a string;
// what else is there is not judged here, for who reads keys does not need an
// introspection endpoint. No error carries text of the document.
func Parse(body []byte) (Document, error) {
	var doc Document
	members := map[string]*string{
		"issuer":                 &doc.Issuer,
		"jwks_uri":               &doc.JWKSURI,
		"introspection_endpoint": &doc.IntrospectionEndpoint,
	}
	err := strictjson.Object(body, func(name, value []byte) error {
		target := members[string(name)]
		if target == nil || strictjson.IsNull(value) {
			return nil
		}
		text, err := strictjson.String(value)
		if err != nil && target == &doc.Issuer {
			return errors.New("issuer is not a string")
		}
		*target = text // "" where err is not nil
		return nil
	})
	if err != nil {
		return Document{}, err
	}
	if doc.Issuer == "" {
		return Document{}, errors.New("the document names no issuer")
	}
	return doc, nil
}

// CheckEndpoint judges a URL that a document of issuer names: https on any
// host, since the issuer's own TLS vouches for it; http only on loopback and
// only if issuer itself is http on loopback, or with insecure.
func CheckEndpoint(endpoint, issuer string, insecure bool) error {
	local := strings.HasPrefix(issuer, "http:") && fetch.Loopback(issuer) && fetch.Loopback(endpoint)
	return fetch.CheckURL(endpoint, insecure || local)
}
