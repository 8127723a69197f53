package mtls

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
)

const (
	probeField = "Bearergate-Mtls-Probe"
	maxProbe   = 64
)

// SelfTestHandler answers [Certificates.SelfTest], for a path that the proxy forwards as
// it does all others. It says whether a text that the sender made up has reached this
// service in one of the headers of Forwarded, and nothing else; it needs no token.
func (c *Certificates) SelfTestHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		mark := r.Header.Get(probeField)
		if mark == "" || len(mark) > maxProbe {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, c.verdict(r, mark))
	})
}

// The answers of SelfTestHandler.
const (
	verdictNotProxied = "not through a trusted proxy"
	verdictReached    = "the forged header was let through"
	verdictReplaced   = "the forged header was removed or replaced"
)

func (c *Certificates) verdict(r *http.Request, mark string) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return verdictNotProxied
	}
	proxy, err := c.proxyOf(peer)
	if err != nil || proxy == nil {
		return verdictNotProxied
	}
	for _, value := range r.Header.Values(proxy.Header) {
		if strings.Contains(value, mark) {
			return verdictReached
		}
	}
	return verdictReplaced
}

// SelfTest finds a proxy that lets a client's own header through. It asks url, where
// the proxy forwards to [Certificates.SelfTestHandler], as a client from outside would:
// with forged values in the headers of Forwarded. It returns nil if none of them has
// reached the service; for each proxy, ask through that one. client makes the request,
// with a client certificate or, to see that the proxy removes the header also then,
// without one: do both. ctx ends it.
func (c *Certificates) SelfTest(ctx context.Context, client *http.Client, url string) error {
	if c == nil || len(c.forwarded) == 0 || client == nil {
		return errors.New("mtls: SelfTest: there is nothing to ask: set Forwarded, and give a client")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return errors.New("mtls: SelfTest: the URL cannot be read: use that of SelfTestHandler, as clients see it")
	}
	mark := rand.Text()
	r.Header.Set(probeField, mark)
	for _, f := range c.forwarded {
		r.Header.Set(f.Header, mark)
	}
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("mtls: SelfTest: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProbe))
	switch {
	case err != nil:
		return fmt.Errorf("mtls: SelfTest: %w", err)
	case response.StatusCode == http.StatusOK && string(body) == verdictReplaced:
		return nil
	case string(body) == verdictReached:
		return errors.New("mtls: SelfTest: the proxy lets a client's own header through, so that anybody has any certificate: have it remove or overwrite the header (RFC 9440 section 4)")
	case string(body) == verdictNotProxied:
		return errors.New("mtls: SelfTest: the request did not reach the service through a proxy of Trusted: use the URL that clients use, and see that Trusted has the proxy's addresses")
	}
	return fmt.Errorf("mtls: SelfTest: the answer is %d and not that of SelfTestHandler: mount it at this URL", response.StatusCode)
}
