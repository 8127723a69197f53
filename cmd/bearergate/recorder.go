package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// recorder is a transport that keeps what the library asked and what it was answered, so
// that what is shown is what the library saw. What bounds it: the library makes a handful of
// requests, and stops reading a body at its own limit.
type recorder struct {
	base http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex // guards what follows
	calls []*call
}

// call is one request. The body is written while the library reads it.
type call struct {
	where    string // without its query
	sent     time.Time
	took     time.Duration
	response *http.Response
	err      error
	body     bytes.Buffer
}

func (r *recorder) client() *http.Client { return &http.Client{Transport: r} }

// RoundTrip makes the request and remembers it.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	bare := *req.URL
	bare.RawQuery, bare.ForceQuery, bare.User = "", false, nil
	c := &call{where: bare.String(), sent: r.now()}
	resp, err := r.base.RoundTrip(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	c.took, c.response, c.err = r.now().Sub(c.sent), resp, err
	r.calls = append(r.calls, c)
	if err == nil {
		resp.Body = &copied{ReadCloser: resp.Body, r: r, to: &c.body}
	}
	return resp, err
}

// copied is a body of which the recorder keeps a copy.
type copied struct {
	io.ReadCloser
	r  *recorder
	to *bytes.Buffer
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.to.Write(p[:n])
	return n, err
}

// last is the body of the last answer: the key set, if it came to that.
func (r *recorder) last() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) == 0 {
		return nil
	}
	return bytes.Clone(r.calls[len(r.calls)-1].body.Bytes())
}

// requestReport is one request and its answer. Texts of the server are as it wrote them, cut.
type requestReport struct {
	Kind         string `json:"kind"` // rfc8414, openid, or url: another URL, the key set for example
	URL          string `json:"url"`  // without its query
	Status       int    `json:"status,omitempty"`
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"milliseconds"`
	ContentType  string `json:"content_type,omitempty"`
	CacheControl string `json:"cache_control,omitempty"`
	Age          string `json:"age,omitempty"`
	ETag         string `json:"etag,omitempty"`
	Date         string `json:"date,omitempty"`
	SkewSeconds  int64  `json:"skew_seconds"` // Date less the clock here; 0 without Date
	// Metadata are what a resource server needs of a metadata document, as far as it is there.
	Metadata    map[string]string  `json:"metadata,omitempty"`
	TLS         string             `json:"tls,omitempty"`
	Certificate *certificateReport `json:"certificate,omitempty"` // of the server
}

// metadataMembers are those that are shown, in this order.
var metadataMembers = []string{"issuer", "jwks_uri", "introspection_endpoint"}

// metadataOf picks the members that are shown out of a document; nil if it is none.
func metadataOf(body []byte) map[string]string {
	var document map[string]json.RawMessage
	if json.Unmarshal(body, &document) != nil || document["issuer"] == nil {
		return nil
	}
	shown := map[string]string{}
	for _, name := range metadataMembers {
		var value string
		if json.Unmarshal(document[name], &value) == nil {
			shown[name] = cut(value)
		}
	}
	return shown
}

func (d requestReport) host() string { return hostOf(d.URL) }

func (r *recorder) reports(now time.Time) []requestReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []requestReport{}
	for _, c := range r.calls {
		d := requestReport{Kind: "url", URL: c.where, Milliseconds: c.took.Milliseconds()}
		switch {
		case strings.Contains(c.where, "/.well-known/oauth-authorization-server"):
			d.Kind = "rfc8414"
		case strings.HasSuffix(c.where, "/.well-known/openid-configuration"):
			d.Kind = "openid"
		}
		if c.err != nil {
			d.Error = cut(c.err.Error())
			out = append(out, d)
			continue
		}
		h := c.response.Header
		d.Status, d.Metadata = c.response.StatusCode, metadataOf(c.body.Bytes())
		d.ContentType, d.CacheControl = cut(h.Get("Content-Type")), cut(strings.Join(h.Values("Cache-Control"), ", "))
		d.Age, d.ETag, d.Date = cut(h.Get("Age")), cut(h.Get("ETag")), cut(h.Get("Date"))
		if date, err := http.ParseTime(d.Date); err == nil {
			// Date has whole seconds, and was written somewhere between the two moments.
			switch before, after := c.sent.Truncate(time.Second), c.sent.Add(c.took); {
			case date.Before(before):
				d.SkewSeconds = -int64(before.Sub(date).Seconds())
			case date.After(after):
				d.SkewSeconds = int64(date.Sub(after).Seconds())
			}
		}
		if state := c.response.TLS; state != nil && len(state.PeerCertificates) > 0 {
			leaf := state.PeerCertificates[0]
			certificate := certificateOf(leaf, sha256Hex(sha256.Sum256(leaf.Raw)), now)
			d.TLS, d.Certificate = tls.VersionName(state.Version), &certificate
		}
		out = append(out, d)
	}
	return out
}

// write prints the request for people.
func (d requestReport) write(line func(format string, args ...any)) {
	what := map[string]string{"rfc8414": "RFC 8414 metadata", "openid": "OpenID metadata", "url": "document"}[d.Kind]
	answer := "status " + strconv.Itoa(d.Status)
	if d.Error != "" {
		answer = quoted(d.Error)
	}
	line("request  %s %s: %s, %d ms", what, quoted(d.URL), answer, d.Milliseconds)
	for _, name := range metadataMembers {
		if value, ok := d.Metadata[name]; ok {
			line("         %s %s", name, quoted(value))
		}
	}
	for _, h := range []struct{ name, value string }{{"Content-Type", d.ContentType}, {"Cache-Control", d.CacheControl}, {"Age", d.Age}, {"ETag", d.ETag}} {
		if h.value != "" {
			line("         %s: %s", h.name, quoted(h.value))
		}
	}
	if d.SkewSeconds != 0 {
		line("         its clock differs by %v", time.Duration(d.SkewSeconds)*time.Second)
	}
	if d.Certificate != nil {
		line("         %s, certificate until %s, %d days left", d.TLS, d.Certificate.NotAfter.Format(time.DateOnly), d.Certificate.DaysLeft)
	}
}
