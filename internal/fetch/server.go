package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"
)

// maxAhead bounds what is told of a clock: a date that is further off is as wrong as one
// that is a day off.
const maxAhead = 24 * time.Hour

// Server is what an answer says of the server that gave it. See bearergate.Server, which
// has the same fields.
type Server struct {
	ClockKnown         bool
	Ahead, Within      time.Duration
	CertificateExpires time.Time
}

// serverOf reads what an answer says of its server. The request began at start, and the
// header of the answer was there at end.
func serverOf(resp *http.Response, start, end time.Time) Server {
	var s Server
	s.Ahead, s.Within, s.ClockKnown = ahead(resp.Header, start, end)
	s.CertificateExpires = expires(resp.TLS)
	return s
}

// ahead is the difference between the clock of the server and our wall clock. The date was
// written at some time between start and end, and is cut to a whole second: the difference
// is that of the middles, give or take half of both.
func ahead(h http.Header, start, end time.Time) (ahead, within time.Duration, known bool) {
	const second = time.Second
	if age := h.Get("Age"); age != "" {
		// It was in a cache for so long. Date and Age together are no clock of the
		// server's: the age is what the cache makes of its own clock and that date.
		if n, ok := parseSeconds(age); !ok || n > 0 {
			return 0, 0, false
		}
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, 0, false
	}
	took := max(0, end.Sub(start)) // by the monotonic clock: the other may have been set meanwhile
	middle := end.Round(0).Add(-took / 2)
	ahead = date.Add(second / 2).Sub(middle)
	return min(max(ahead, -maxAhead), maxAhead), (took + second) / 2, true
}

// expires is when the first certificate expires without which the server cannot show who it
// is: of the verified chains, the one that lasts longest counts. Servers send certificates
// along that nobody needs, some of which have expired.
func expires(state *tls.ConnectionState) time.Time {
	if state == nil {
		return time.Time{}
	}
	var last time.Time
	for _, chain := range state.VerifiedChains {
		if first := earliest(chain); first.After(last) {
			last = first
		}
	}
	if last.IsZero() {
		last = earliest(state.PeerCertificates)
	}
	return last
}

func earliest(chain []*x509.Certificate) time.Time {
	var first time.Time
	for _, c := range chain {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// And is what two answers say that a fetch needed both of: the clock of the later one, and
// the certificate that expires first.
func (s Server) And(later Server) Server {
	out := later
	if !later.ClockKnown {
		out.ClockKnown, out.Ahead, out.Within = s.ClockKnown, s.Ahead, s.Within
	}
	if s.CertificateExpires.IsZero() {
		return out
	}
	if out.CertificateExpires.IsZero() || s.CertificateExpires.Before(out.CertificateExpires) {
		out.CertificateExpires = s.CertificateExpires
	}
	return out
}
