package fetch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// The clock of a server is told as exactly as its answer allows, or not at all.
func TestClockOfTheServer(t *testing.T) {
	const half = time.Second / 2
	for _, tt := range []struct {
		name   string
		status int
		date   func(now time.Time) string // at which the answer is written
		header []string
		took   time.Duration // to the header, and as long again to its end
		want   Server
	}{
		{name: "none", date: nil},
		{name: "not a date", date: func(time.Time) string { return "yesterday" }},
		{name: "two clocks that agree", date: after(0), want: Server{ClockKnown: true, Ahead: half, Within: half}},
		{name: "ahead", date: after(90 * time.Second), want: Server{ClockKnown: true, Ahead: 90*time.Second + half, Within: half}},
		{name: "behind", date: after(-90 * time.Second), want: Server{ClockKnown: true, Ahead: -90*time.Second + half, Within: half}},
		{name: "a slow answer", date: after(0), took: 4 * time.Second, want: Server{ClockKnown: true, Ahead: -2*time.Second + 4*time.Second + half, Within: 2*time.Second + half}},
		{name: "a date without sense", date: func(time.Time) string { return "Fri, 31 Dec 9999 23:59:59 GMT" }, want: Server{ClockKnown: true, Ahead: maxAhead, Within: half}},
		{name: "a clock that was never set", date: func(time.Time) string { return "Thu, 01 Jan 1970 00:00:00 GMT" }, want: Server{ClockKnown: true, Ahead: -maxAhead, Within: half}},
		{name: "from a cache", date: after(-time.Minute), header: []string{"Age", "60"}},
		{name: "from a cache, with an age that is none", date: after(0), header: []string{"Age", "old"}},
		{name: "past a cache", date: after(0), header: []string{"Age", "0"}, want: Server{ClockKnown: true, Ahead: half, Within: half}},
		{name: "304", status: 304, date: after(5 * time.Second), want: Server{ClockKnown: true, Ahead: 5*time.Second + half, Within: half}},
		{name: "401", status: 401, date: after(5 * time.Second), want: Server{ClockKnown: true, Ahead: 5*time.Second + half, Within: half}},
		{name: "503", status: 503, date: after(5 * time.Second), want: Server{ClockKnown: true, Ahead: 5*time.Second + half, Within: half}},
		{name: "a page", date: after(5 * time.Second), header: []string{"Content-Type", "text/html"}, want: Server{ClockKnown: true, Ahead: 5*time.Second + half, Within: half}},
	} {
		for _, method := range []string{"GET", "POST", "POST, with an answer that is JSON"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) { // where the clock stands at a whole second
					client := NewClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
						time.Sleep(tt.took)
						h := tt.header
						if tt.date != nil {
							h = append([]string{"Date", tt.date(time.Now())}, h...)
						}
						status := tt.status
						if status == 0 {
							status = 200
						}
						resp, err := answer(status, slowly{strings.NewReader("{}"), tt.took}, append(h, "Content-Type", "application/json")...)(r)
						return resp, err
					})})
					var got Server
					var err error
					notHTML := func(typ string) bool { return typ != "text/html" }
					if method == "GET" {
						var resp Response
						resp, err = client.Get(t.Context(), Request{URL: "https://as.example.com/", ETag: `"x"`, Type: notHTML})
						got = resp.Server
					} else {
						var resp PostResponse
						also := 0
						if method != "POST" {
							also = 401
						}
						resp, err = client.Post(t.Context(), PostRequest{URL: "https://as.example.com/", Form: url.Values{}, Type: notHTML, Also: also})
						got = resp.Server
					}
					if e, ok := errors.AsType[*Error](err); ok {
						got = e.Server
						require.Equal(t, got, e.With("; more").Server)
					}
					require.Equal(t, tt.want, got)
				})
			})
		}
	}
}

type slowly struct {
	*strings.Reader
	took time.Duration
}

func (s slowly) Read(b []byte) (int, error) {
	time.Sleep(s.took)
	return s.Reader.Read(b)
}

func after(d time.Duration) func(time.Time) string {
	return func(now time.Time) string { return now.Add(d).UTC().Format(http.TimeFormat) }
}

// An answer that took long leaves as much room as it took, whenever in that time its date
// was written.
func TestClockOfASlowServer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for before := range 10 {
			for behind := range 10 {
				for _, ahead := range []time.Duration{0, -20 * time.Second, 20 * time.Second} {
					before, behind := time.Duration(before)*400*time.Millisecond, time.Duration(behind)*400*time.Millisecond
					resp, err := get(t, func(r *http.Request) (*http.Response, error) {
						time.Sleep(before)
						date := after(ahead)(time.Now())
						time.Sleep(behind)
						return answer(200, strings.NewReader("{}"), "Date", date)(r)
					}, Request{})
					require.NoError(t, err)
					s := resp.Server
					require.True(t, s.ClockKnown)
					require.LessOrEqual(t, (s.Ahead - ahead).Abs(), s.Within)
					require.Equal(t, (before+behind+time.Second)/2, s.Within)
				}
			}
		}
	})
}

func TestCertificateOfTheServer(t *testing.T) {
	day := func(n int) time.Time {
		return time.Now().Add(time.Duration(n) * 24 * time.Hour).UTC().Truncate(time.Second)
	}
	root, rootKey := certificate(t, "root", day(300), nil, nil)
	middle, middleKey := certificate(t, "middle", day(90), root, rootKey)
	leaf, leafKey := certificate(t, "leaf", day(30), middle, middleKey)
	old, _ := certificate(t, "old", day(-1), nil, nil) // sent along, and of no use
	for _, tt := range []struct {
		name   string
		sent   [][]byte
		key    *ecdsa.PrivateKey
		trusts bool
		want   time.Time
	}{
		{name: "the leaf ends first", sent: [][]byte{leaf.Raw, middle.Raw}, key: leafKey, want: day(30)},
		{name: "one beside the chain has ended", sent: [][]byte{leaf.Raw, middle.Raw, old.Raw}, key: leafKey, want: day(30)},
		{name: "one above ends first", sent: func() [][]byte {
			short, shortKey := certificate(t, "short", day(3), root, rootKey)
			long, _ := certificateFor(t, "long", day(80), short, shortKey, leafKey)
			return [][]byte{long.Raw, short.Raw}
		}(), key: leafKey, want: day(3)},
		{name: "nobody verifies", sent: [][]byte{leaf.Raw, old.Raw}, key: leafKey, trusts: true, want: day(-1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
			}))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: tt.sent, PrivateKey: tt.key}}}
			server.StartTLS()
			defer server.Close()
			c := &tls.Config{RootCAs: x509.NewCertPool(), InsecureSkipVerify: tt.trusts}
			c.RootCAs.AddCert(root)
			transport := &http.Transport{TLSClientConfig: c}
			defer transport.CloseIdleConnections()
			resp, err := NewClient(&http.Client{Transport: transport}).Get(t.Context(), Request{URL: server.URL, Type: anyType})
			require.NoError(t, err)
			require.WithinDuration(t, tt.want, resp.Server.CertificateExpires, 5*time.Second)
			require.True(t, resp.Server.ClockKnown)
		})
	}
	t.Run("no TLS", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		defer server.Close()
		_, err := NewClient(nil).Get(t.Context(), Request{URL: server.URL, Type: anyType})
		require.Zero(t, requireOutcome(t, Status, err).Server.CertificateExpires)
		require.True(t, requireOutcome(t, Status, err).Server.ClockKnown)
	})
}

func certificate(t *testing.T, name string, until time.Time, by *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return certificateFor(t, name, until, by, key, own)
}

func certificateFor(t *testing.T, name string, until time.Time, by *x509.Certificate, key, own *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"127.0.0.1"}, IPAddresses: nil,
		NotBefore: until.Add(-1000 * 24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	c.IPAddresses = append(c.IPAddresses, []byte{127, 0, 0, 1})
	if by == nil {
		by, key = c, own
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &own.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return parsed, own
}

func TestServerAnd(t *testing.T) {
	early, late := time.Unix(1e9, 0), time.Unix(2e9, 0)
	clock := func(ahead time.Duration) Server { return Server{ClockKnown: true, Ahead: ahead, Within: time.Second} }
	until := func(s Server, at time.Time) Server { s.CertificateExpires = at; return s }
	for _, tt := range []struct {
		name               string
		first, later, want Server
	}{
		{name: "nothing"},
		{name: "the clock of the later", first: clock(1), later: clock(2), want: clock(2)},
		{name: "the clock of the only one", first: clock(1), want: clock(1)},
		{name: "the earlier end, of the first", first: until(clock(1), early), later: until(clock(2), late), want: until(clock(2), early)},
		{name: "the earlier end, of the later", first: until(clock(1), late), later: until(clock(2), early), want: until(clock(2), early)},
		{name: "the only end, of the first", first: until(clock(1), late), later: clock(2), want: until(clock(2), late)},
		{name: "the only end, of the later", first: clock(1), later: until(Server{}, late), want: until(clock(1), late)},
	} {
		require.Equal(t, tt.want, tt.first.And(tt.later), tt.name)
	}
}
