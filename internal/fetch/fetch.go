// Package fetch makes one HTTP request at a time and bounds everything about
// it: the body after decompression, the redirects, the content type, the time
// (by the caller's context). Every failure is of one of a closed set of
// outcomes, and no error carries a body or unbounded remote text.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultMaxBytes bounds a body after decompression.
	DefaultMaxBytes = 512 << 10
	// MaxRetryAfter is the longest Retry-After that is believed.
	MaxRetryAfter = 5 * time.Minute
	// MaxURLBytes bounds a URL, which a metadata document may have brought.
	MaxURLBytes = 2048

	maxETagBytes   = 256
	maxHeaderBytes = 64 << 10
)

// Client makes bounded requests. It is safe for concurrent use.
type Client struct{ http http.Client }

// NewClient returns a client that uses the transport and the timeout of base,
// which it copies. Cookies are not kept, since an answer must not depend on an
// earlier one, and redirects follow the rules of this package. A nil base
// stands for a plain client that keeps no connection, and so no goroutine,
// between requests, and that reads no proxy from the environment.
func NewClient(base *http.Client) *Client {
	c := &Client{}
	if base != nil {
		c.http = *base
	} else {
		c.http.Transport = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout:    3 * time.Second,
			ResponseHeaderTimeout:  10 * time.Second,
			MaxResponseHeaderBytes: maxHeaderBytes,
			ForceAttemptHTTP2:      true,
			DisableKeepAlives:      true,
		}
	}
	c.http.Jar = nil
	c.http.CheckRedirect = checkRedirect
	return c
}

var errRedirect = errors.New("fetch: only one redirect is followed, of a GET, within the same origin")

// checkRedirect allows one hop within the origin. The origin includes the
// scheme, so that https never becomes http, and a redirect never takes the
// request, or a client certificate, to a host that nobody configured.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 1 || first.Method != http.MethodGet || req.URL.User != nil || !sameOrigin(req.URL, first.URL) {
		return redirectError(whereTo(via[len(via)-1].URL, req.URL))
	}
	return nil
}

// redirectError is errRedirect with where it led, in words that the other side did not
// choose: its URL, the host included, may repeat what it was sent.
type redirectError string

func (e redirectError) Error() string        { return errRedirect.Error() + ": this one led " + string(e) }
func (e redirectError) Is(target error) bool { return target == errRedirect }

func whereTo(from, to *url.URL) string {
	switch bare := func(u *url.URL) string { return strings.TrimSuffix(u.EscapedPath(), "/") }; {
	case !strings.EqualFold(from.Hostname(), to.Hostname()):
		return "to another host (curl -v shows it): configure the URL there if that is right, or take away the login or proxy that redirects"
	case from.Scheme != to.Scheme && bare(from) == bare(to):
		return "to " + map[bool]string{true: "https", false: "http"}[to.Scheme == "https"] + ": configure that scheme, if it is right"
	case from.Scheme != to.Scheme || port(from) != port(to):
		return "to another port or scheme (curl -v shows it): configure that one, if it is right"
	case bare(from) == bare(to) && from.EscapedPath() != to.EscapedPath():
		return "to the same URL but for the slash at its end: configure that one"
	}
	return "to another path: configure where it leads, if that is right"
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// Request is one GET.
type Request struct {
	URL      string
	Accept   string
	ETag     string                      // what If-None-Match asks; "" for an unconditional request
	MaxBytes int64                       // 0: DefaultMaxBytes
	Type     func(mediaType string) bool // whether the media type of a 200 is acceptable; "" is an absent one
}

// Response is a 200, or the 304 that Request.ETag asked for.
type Response struct {
	Body        []byte
	NotModified bool
	ETag        string // "" when absent or not fit to be sent back
	// MaxAge is how long the answer is fresh (RFC 9111 §4.2): max-age of
	// Cache-Control less Age, 0 for no-store and no-cache; false if it is not said.
	MaxAge    time.Duration
	HasMaxAge bool
	// Age is how long the answer was in caches on the way (RFC 9111 §5.1); 0 if that is
	// not said.
	Age    time.Duration
	Server Server // who gave it
}

// Get makes the request. Any status but 200, and 304 as the answer to ETag, is
// an error, whatever the body says; so is a body that is longer than the limit,
// ends early, or is of another media type. The error is an [*Error].
func (c *Client) Get(ctx context.Context, r Request) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return Response{}, Fail(Malformed, r.URL, "not a URL")
	}
	req.Header.Set("Accept", r.Accept)
	if r.ETag != "" {
		req.Header.Set("If-None-Match", r.ETag)
	}
	resp, server, err := c.do(req)
	if err != nil {
		return Response{}, failed(ctx, r.URL, err)
	}
	defer resp.Body.Close()

	switch status := resp.StatusCode; {
	case status == http.StatusNotModified && r.ETag != "":
		out := Response{NotModified: true, ETag: r.ETag, Server: server}
		out.MaxAge, out.HasMaxAge = maxAge(resp.Header)
		out.Age = age(resp.Header)
		return out, nil
	case status == http.StatusOK:
	default:
		e := refused(resp, r.URL)
		e.Server = server
		return Response{}, e.With(advice(e.Status))
	}
	body, _, err := read(ctx, resp, r.URL, r.MaxBytes, r.Type)
	if err != nil {
		return Response{}, by(server, err)
	}
	out := Response{Body: body, ETag: etag(resp.Header), Server: server}
	out.MaxAge, out.HasMaxAge = maxAge(resp.Header)
	out.Age = age(resp.Header)
	return out, nil
}

// do makes a request, and says who answered it.
func (c *Client) do(req *http.Request) (*http.Response, Server, error) {
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, Server{}, err
	}
	return resp, serverOf(resp, start, time.Now()), nil
}

// by adds to the error of an answer who gave it.
func by(server Server, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Server = server
	}
	return err
}

// advice says what to look at when nothing but a 200 was to be expected.
func advice(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ": the server wants credentials: check the URL, or have the transport of HTTPClient send them"
	case status == http.StatusNotFound || status == http.StatusGone:
		return ": nothing is there: check the URL"
	case status == http.StatusProxyAuthRequired:
		return ": a proxy wants credentials: give them in the transport of HTTPClient"
	case status == http.StatusTooManyRequests:
		return ": it is asked too often: see who else asks from this address"
	case status >= 500:
		return ": the server, or a proxy in front of it, is out of order: see their logs"
	}
	return ": check the URL"
}

// refused is the error of a status that is no answer.
func refused(resp *http.Response, url string) *Error {
	status := resp.StatusCode
	e := Fail(Status, url, "status "+strconv.Itoa(status))
	if status >= 300 && status < 400 && status != http.StatusNotModified {
		e.Outcome = Redirect
	}
	e.Status, e.RetryAfter = status, retryAfter(resp.Header, time.Now())
	return e
}

// read returns the body of a 200 and its media type.
func read(ctx context.Context, resp *http.Response, url string, limit int64, accept func(string) bool) ([]byte, string, error) {
	mediaType := mediaType(resp.Header)
	if !accept(mediaType) {
		return nil, "", Fail(ContentType, url, "a content type that is not accepted here: "+cmp.Or(known(mediaType), "another than JSON")+lookedFor(mediaType))
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, "", Fail(ContentType, url, "a content encoding that was not asked for: have the server, or the proxy in front of it, send the answer as it is")
	}
	if limit <= 0 {
		limit = DefaultMaxBytes
	}
	if resp.ContentLength > limit {
		return nil, "", tooLarge(url, limit)
	}
	// One byte more than allowed tells a body at the limit from a longer one.
	// The limit counts what comes out of the decompression.
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case int64(len(body)) > limit:
		return nil, "", tooLarge(url, limit)
	case err != nil:
		e := failed(ctx, url, err)
		if e.Outcome == Connect {
			e.Outcome = Truncated
		}
		return nil, "", e
	}
	return body, mediaType, nil
}

// IsDocument reports whether a JSON document may come with that media type: one of the
// JSON types, or what file servers and buckets say of a file that they do not know. HTML,
// the type of a login page, is not among them.
func IsDocument(mediaType string) bool {
	switch mediaType {
	case "application/json", "text/plain", "application/octet-stream", "binary/octet-stream":
		return true
	}
	return strings.HasSuffix(mediaType, "+json") // application/jwk-set+json (RFC 7517 §8.5.2) among them
}

// lookedFor says what an answer of that type is, as a rule.
func lookedFor(mediaType string) string {
	if mediaType == "text/html" {
		return ", a page for people: check the URL, and that no login stands in front of it"
	}
	return ": check the URL, and what Content-Type the server sends"
}

// known is a media type that servers send in place of what they were asked for; "" for
// every other: somebody else's text stays out.
func known(mediaType string) string {
	switch mediaType {
	case "":
		return "none"
	case "text/html", "application/xhtml+xml", "text/plain", "text/xml", "text/css", "text/javascript", "application/javascript", "application/xml", "application/json", "application/jwt", "application/octet-stream", "binary/octet-stream",
		"application/x-www-form-urlencoded", "application/jwk-set+json", "application/problem+json":
		return mediaType
	}
	return ""
}

func tooLarge(url string, limit int64) *Error {
	return Fail(TooLarge, url, "the body is longer than "+strconv.FormatInt(limit, 10)+" bytes: check the URL, or raise the limit")
}

// mediaType returns the lower-case media type without parameters, "" if there
// is none, and the text as it stands if it cannot be read.
func mediaType(h http.Header) string {
	value := h.Get("Content-Type")
	t, _, err := mime.ParseMediaType(value)
	if err != nil && t == "" {
		return value
	}
	return t
}

// etag returns an entity tag that is safe to send back (RFC 9110 §8.8.3).
func etag(h http.Header) string {
	tag := h.Get("ETag")
	if len(tag) > maxETagBytes || !strings.HasSuffix(tag, `"`) || strings.ContainsFunc(tag, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return tag
}

// maxAge reads Cache-Control as a private cache does: s-maxage is for others.
// Of several max-age the shortest counts.
func maxAge(h http.Header) (time.Duration, bool) {
	seconds, found := int64(0), false
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0, true
			case "max-age":
				n, ok := parseSeconds(strings.Trim(value, `"`))
				if ok && (!found || n < seconds) {
					seconds, found = n, true
				}
			}
		}
	}
	left := time.Duration(seconds)*time.Second - age(h)
	return max(0, left), found
}

// age reads Age; nothing, and what is no number, is 0.
func age(h http.Header) time.Duration {
	seconds, _ := parseSeconds(h.Get("Age"))
	return time.Duration(seconds) * time.Second
}

// retryAfter reads both forms of Retry-After (RFC 9110 §10.2.3), at most
// MaxRetryAfter; 0 if there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if n, ok := parseSeconds(value); ok {
		return min(time.Duration(n)*time.Second, MaxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), MaxRetryAfter)
	}
	return 0
}

// parseSeconds reads delta-seconds (RFC 9111 §1.2.2): digits only, and more
// than a year is a year.
func parseSeconds(s string) (int64, bool) {
	const year = 365 * 24 * 60 * 60
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), year)
	}
	return n, true
}
