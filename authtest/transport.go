package authtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// DPoPTransport is an http.RoundTripper that sends a new proof with every request
// (RFC 9449 §7), and with it the token.
//
//	client := &http.Client{Transport: &authtest.DPoPTransport{Key: key,
//		Token: func(context.Context) (string, error) { return token, nil }}}
//
// A server that demands a nonce (§8, §9) gets it. The DPoP-Nonce of every answer is kept
// for its origin and goes into the next proof. A request that was refused for want of a
// nonce is sent once more, with another proof, if it has no body or a GetBody. Such a
// refusal has a well-formed DPoP-Nonce, and is either 401 with error="use_dpop_nonce" in
// a DPoP challenge, or 400 with a JSON object of that error, as a token endpoint says it.
// Any other answer is the client's to see, and so is the second.
//
// The proof names the host that the request is for: its Host if that is set. It replaces a
// DPoP header that is there. The request itself is not changed. Danger: whatever the client asks for gets the token,
// another host that it was redirected to as well.
//
// A DPoPTransport is safe for concurrent use, and not to be copied or changed after
// the first request.
type DPoPTransport struct {
	// Key signs the proofs. Required.
	Key *DPoPKey
	// Token returns the token of a request that has no Authorization, which is then
	// sent as "DPoP <token>". It is asked once for each request, with its context; an
	// error ends the request. nil: no token, as the token endpoint wants it.
	//
	// An Authorization that is there stays, with any scheme. The proof is one for its
	// token if the scheme is DPoP or Bearer, so that a bound token can be sent wrongly.
	Token func(context.Context) (string, error)
	// Base sends the requests; nil: http.DefaultTransport. The one of [Server.Client]
	// reaches the server.
	Base http.RoundTripper

	mu     sync.Mutex        // guards nonces
	nonces map[string]string // the latest of each origin
}

// RoundTrip sends the request with a proof, as the type says.
func (t *DPoPTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := t.prepare(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // an http.RoundTripper closes it always
		}
		return nil, err
	}
	t.mu.Lock()
	nonce := t.nonces[c.origin]
	t.mu.Unlock()
	resp, nonce, err := t.send(c, r.Body, nonce)
	if err != nil || nonce == "" || !demandsNonce(resp) {
		return resp, err
	}
	body := r.Body
	if body != nil && body != http.NoBody {
		if r.GetBody == nil {
			return resp, nil
		}
		if body, err = r.GetBody(); err != nil {
			return resp, nil //nolint:nilerr // the request cannot be sent again, and this is the answer to it
		}
	}
	// What is left of a short body is read, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBytes)
	_ = resp.Body.Close()
	resp, _, err = t.send(c, body, nonce)
	return resp, err
}

// maxErrorBytes bounds what is read of an answer that may demand a nonce.
const maxErrorBytes = 16 << 10

// call is a request that may be sent twice.
type call struct {
	request       *http.Request // of the caller
	url, origin   string
	authorization string // "": what the request has
	token         string
}

func (t *DPoPTransport) prepare(r *http.Request) (call, error) {
	if r.URL == nil {
		return call{}, errors.New("authtest: DPoPTransport: the request has no URL")
	}
	u := *r.URL
	u.Host = cmp.Or(r.Host, u.Host)
	site := u.Scheme + "://"
	c := call{request: r, url: site + u.Host + cmp.Or(u.EscapedPath(), "/"), origin: site + hostPort(&u)}
	if present := r.Header.Values("Authorization"); len(present) > 0 {
		sent, err := bearergate.ParseCredentials(present, bearergate.SchemeDPoP, bearergate.SchemeBearer)
		if err == nil { // else it has no token, Basic for example
			c.token = sent.Raw.Reveal()
		}
		return c, nil
	}
	if t.Token == nil {
		return c, nil
	}
	token, err := t.Token(r.Context())
	if err != nil {
		return call{}, fmt.Errorf("authtest: DPoPTransport.Token: %w", err)
	}
	c.token, c.authorization = token, proofHeader+" "+token
	return c, nil
}

// send sends a call with a new proof and this nonce, "" for none. It returns the nonce
// of the answer, too.
func (t *DPoPTransport) send(c call, body io.ReadCloser, nonce string) (resp *http.Response, fresh string, err error) {
	proof, err := t.Key.prove(cmp.Or(c.request.Method, http.MethodGet), c.url, c.token, nonce)
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		return nil, "", err
	}
	signed := c.request.Clone(c.request.Context())
	signed.Body = body
	if signed.Header == nil {
		signed.Header = http.Header{}
	}
	if c.authorization != "" {
		signed.Header.Set("Authorization", c.authorization)
	}
	signed.Header.Set(proofHeader, proof)
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err = base.RoundTrip(signed)
	if err != nil {
		return resp, "", err
	}
	// More than one is what no server may send (RFC 9449 §8): nobody knows which is meant.
	if values := resp.Header.Values(nonceHeader); len(values) == 1 && nonceText.MatchString(values[0]) {
		fresh = values[0]
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.nonces == nil {
			t.nonces = map[string]string{}
		}
		t.nonces[c.origin] = fresh
	}
	return resp, fresh, nil
}

// elements are those of a header field (RFC 9110 §5.6.1): what stands between commas
// outside of quotes.
var elements = regexp.MustCompile(`(?:[^",]|"(?:[^"\\]|\\.)*")+`)

// demandsNonce reports whether an answer refuses the request for want of a nonce. Its
// body can still be read from the start.
func demandsNonce(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return challengesNonce(resp.Header.Values("WWW-Authenticate"))
	case http.StatusBadRequest:
		start, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // who reads on meets the error
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
		var refusal struct {
			Error string `json:"error"`
		}
		return strictjson.Unmarshal(start, &refusal) == nil && refusal.Error == errNonceDemanded
	}
	return false
}

// challengesNonce looks for error="use_dpop_nonce" in the challenges of the DPoP scheme
// (RFC 9449 §9): there may be others, in the same header field too (RFC 9110 §11.6.1).
func challengesNonce(fields []string) bool {
	for _, field := range fields {
		scheme := ""
		for _, element := range elements.FindAllString(field, -1) {
			name, value, _ := strings.Cut(element, "=")
			name = strings.TrimSpace(name)
			// The first parameter stands behind the scheme, which may also stand alone.
			if first, rest, more := strings.Cut(name, " "); more || !strings.Contains(element, "=") {
				scheme, name = first, strings.TrimSpace(rest)
			}
			value = strings.Trim(strings.TrimSpace(value), `"`)
			if strings.EqualFold(scheme, proofHeader) && strings.EqualFold(name, "error") && value == errNonceDemanded {
				return true
			}
		}
	}
	return false
}
