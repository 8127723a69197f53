package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// server is whom a request of the probe goes to: a closed set, which labels metrics.
type server string

// The servers. Several may be one and the same host.
const (
	serverMetadata   server = "metadata"
	serverKeys       server = "keys"
	serverToken      server = "token"
	serverRevocation server = "revocation"
	serverAPI        server = "api"
)

var servers = []server{serverMetadata, serverKeys, serverToken, serverRevocation, serverAPI}

// wire sends the requests of a probe and notes, for each server, what its connections
// show beside the answers: how long its certificate is good for, and what its clock says.
// It is safe for concurrent use, and holds one value for each of servers.
type wire struct {
	base http.RoundTripper

	mu      sync.Mutex // guards what follows
	expires map[server]time.Time
	skews   map[server]skew
	keysAt  time.Time     // when the key set was first asked for; zero: never
	doc     *bytes.Buffer // the last metadata that came, as far as the library read them
}

// skew is how far the clock of a server is ahead of ours.
type skew struct {
	ahead time.Duration
	// within is how far off ahead may be: half of the time that the request took, and
	// half a second, for Date has whole seconds (RFC 9110 §6.6.1).
	within time.Duration
}

// least is the difference that there is for certain.
func (s skew) least() time.Duration { return max(0, s.ahead.Abs()-s.within) }

func newWire(base http.RoundTripper) *wire {
	return &wire{base: base, expires: map[server]time.Time{}, skews: map[server]skew{}}
}

// send sends a request to that server. No redirect is followed: it does not go through an
// http.Client, which would also take a redirect to nowhere for a request that failed.
func (w *wire) send(to server, r *http.Request) (*http.Response, error) {
	return observed{w, to}.RoundTrip(r)
}

// discovering is the transport of package jwks, which asks for metadata and then for keys.
// It keeps the metadata: their other members are of use here, and package jwks has judged
// whose they are.
type discovering struct {
	wire   *wire
	issuer string
	at     string // of the metadata, if not where the issuer says
}

// RoundTrip implements http.RoundTripper.
func (d discovering) RoundTrip(r *http.Request) (*http.Response, error) {
	if !d.isMetadata(r) {
		d.wire.mu.Lock()
		if d.wire.keysAt.IsZero() {
			d.wire.keysAt = time.Now()
		}
		d.wire.mu.Unlock()
		return observed{d.wire, serverKeys}.RoundTrip(r)
	}
	resp, err := observed{d.wire, serverMetadata}.RoundTrip(r)
	if err == nil {
		doc := new(bytes.Buffer)
		d.wire.mu.Lock()
		d.wire.doc = doc
		d.wire.mu.Unlock()
		resp.Body = kept{resp.Body, d.wire, doc}
	}
	return resp, err
}

func (d discovering) isMetadata(r *http.Request) bool {
	for r.Response != nil && r.Response.Request != nil { // it follows a redirect
		r = r.Response.Request
	}
	if d.at != "" {
		return r.URL.String() == d.at
	}
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		return false
	}
	path := strings.TrimSuffix(issuer.Path, "/")
	return r.URL.Host == issuer.Host && // a key set may lie under a path that looks the same
		(r.URL.Path == "/.well-known/oauth-authorization-server"+path || r.URL.Path == path+"/.well-known/openid-configuration")
}

// kept is a body of which the wire keeps what is read: package jwks bounds that.
type kept struct {
	io.ReadCloser
	wire *wire
	to   *bytes.Buffer
}

func (k kept) Read(p []byte) (int, error) {
	n, err := k.ReadCloser.Read(p)
	k.wire.mu.Lock()
	defer k.wire.mu.Unlock()
	k.to.Write(p[:n])
	return n, err
}

// metadata are those that came last.
func (w *wire) metadata() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doc == nil {
		return nil
	}
	return bytes.Clone(w.doc.Bytes())
}

// keysAsked is when the key set was first asked for; false if it was not.
func (w *wire) keysAsked() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keysAt, !w.keysAt.IsZero()
}

type observed struct {
	wire *wire
	to   server
}

// RoundTrip implements http.RoundTripper.
func (o observed) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := o.wire.base.RoundTrip(r)
	came := time.Now()
	var invalid *tls.CertificateVerificationError
	switch {
	case errors.As(err, &invalid) && len(invalid.UnverifiedCertificates) > 0:
		// The first is the server's own. What it says is shown, and nothing else done with it.
		o.wire.noteExpiry(o.to, invalid.UnverifiedCertificates[0].NotAfter)
	case err != nil:
	default:
		if resp.TLS != nil {
			if at, ok := chainEnds(resp.TLS.VerifiedChains); ok {
				o.wire.noteExpiry(o.to, at)
			}
		}
		if s, ok := skewOf(resp.Header, sent, came); ok {
			o.wire.noteSkew(o.to, s)
		}
	}
	return resp, err
}

// noteExpiry keeps the earliest end: several machines may answer for one name.
func (w *wire) noteExpiry(of server, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.expires[of]; !ok || at.Before(before) {
		w.expires[of] = at
	}
}

// noteSkew keeps the difference that there is most certainly.
func (w *wire) noteSkew(of server, s skew) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, ok := w.skews[of]
	if !ok || s.least() > before.least() || s.least() == before.least() && s.within < before.within {
		w.skews[of] = s
	}
}

// seen returns copies of what was noted.
func (w *wire) seen() (expires map[server]time.Time, skews map[server]skew) {
	w.mu.Lock()
	defer w.mu.Unlock()
	expires, skews = map[server]time.Time{}, map[server]skew{}
	for _, s := range servers {
		if at, ok := w.expires[s]; ok {
			expires[s] = at
		}
		if by, ok := w.skews[s]; ok {
			skews[s] = by
		}
	}
	return expires, skews
}

// chainEnds is when the last of the chains that this machine trusts ends: an
// intermediate, or a root, may end before the certificate of the server.
func chainEnds(chains [][]*x509.Certificate) (at time.Time, ok bool) {
	for _, chain := range chains {
		if len(chain) == 0 {
			continue
		}
		end := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if !ok || end.After(at) {
			at, ok = end, true
		}
	}
	return at, ok
}

// skewOf compares the Date of an answer with the middle of the time in which it was made.
// An answer of a cache says when its origin made it, and Age how long ago that is (RFC
// 9111 §5.1): caches that round or leave out Age are no clock, so such answers do not count.
func skewOf(h http.Header, sent, came time.Time) (skew, bool) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil || !fresh(h.Get("Age")) {
		return skew{}, false
	}
	took := came.Sub(sent)
	middle := sent.Add(took / 2)
	const half = time.Second / 2 // Date is cut to the second: the clock was half a second further, on average
	return skew{ahead: date.Add(half).Sub(middle).Round(time.Millisecond), within: half + took/2}, true
}

func fresh(age string) bool {
	n, err := strconv.Atoi(strings.TrimSpace(age))
	return age == "" || err == nil && n == 0
}
