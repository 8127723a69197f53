package jwks_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// telling adds to the answers of a server what says something of it.
type telling struct {
	*server
	ahead map[string]time.Duration // by URL; others have no date
	until map[string]time.Time     // by URL; others have no TLS
}

func (s telling) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.server.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if ahead, ok := s.ahead[r.URL.String()]; ok {
		resp.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	}
	if until, ok := s.until[r.URL.String()]; ok {
		resp.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: until}}}
	}
	return resp, nil
}

// A fetch says of the server what its answers say: of the clock by the last one, of the
// certificates by all that will be needed again, that of the metadata between their fetches
// too.
func TestServerOfAFetch(t *testing.T) {
	const half = time.Second / 2
	clock := func(ahead time.Duration, until time.Time) bearergate.Server {
		return bearergate.Server{ClockKnown: true, Ahead: ahead + half, Within: half, CertificateExpires: until}
	}
	within(t, func(t *testing.T) {
		early, late := time.Now().Add(time.Hour), time.Now().Add(100*time.Hour)
		s := telling{newServer(t, "k1"), map[string]time.Duration{}, map[string]time.Time{}}
		s.header.Set("ETag", `"1"`)
		r := &recorder{}
		c, err := jwks.New(jwks.Config{Issuer: issuer, HTTPClient: &http.Client{Transport: s}, Hooks: r.hooks()})
		require.NoError(t, err)
		fetched := func() bearergate.Server {
			t.Helper()
			r.mu.Lock()
			before := len(r.fetched)
			r.mu.Unlock()
			_ = c.Refresh(t.Context())
			r.mu.Lock()
			require.Len(t, r.fetched, before+1)
			r.mu.Unlock()
			time.Sleep(2 * time.Minute)
			return r.lastFetch(t).Server
		}
		require.Zero(t, fetched(), "nothing is known, which is not the same as two clocks that agree")

		s.ahead[rfcURL], s.until[rfcURL], s.until[setURL] = time.Minute, early, late
		time.Sleep(time.Hour) // so that the metadata are read again
		require.Equal(t, clock(time.Minute, early), fetched())
		s.ahead[setURL] = -time.Minute
		require.Equal(t, clock(-time.Minute, early), fetched(), "304, and the metadata of before")
		require.Equal(t, jwks.OutcomeNotModified, r.lastFetch(t).Outcome)
		delete(s.ahead, setURL)
		require.Equal(t, bearergate.Server{CertificateExpires: early}, fetched(), "a date of before is none")

		// A refusal has a date too.
		s.ahead[setURL] = 3 * time.Second
		s.fail(setURL, always(503, "text/plain", "busy"))
		delete(s.ahead, rfcURL)
		delete(s.until, rfcURL)
		got := fetched()
		require.Equal(t, jwks.OutcomeStatus, r.lastFetch(t).Outcome)
		require.Equal(t, clock(3*time.Second, late).Ahead, got.Ahead)
		s.fail("", down)
		s.fail(setURL, down)
		require.False(t, fetched().ClockKnown)
	})
}
