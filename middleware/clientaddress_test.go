package middleware_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

func newClientAddress(t testing.TB, c bearergate.ClientAddressConfig) *bearergate.ClientAddress {
	t.Helper()
	a, err := bearergate.NewClientAddress(c)
	require.NoError(t, err)
	return a
}

// Whatever is decided, the event says where the request came from, and a request of an unknown
// address is decided on like any other.
func TestAddressOfADecision(t *testing.T) {
	behind := newClientAddress(t, bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	for _, tc := range []struct {
		name, peer string
		from       *bearergate.ClientAddress
		header     []string
		want       netip.Addr
	}{
		{name: "nobody asks", peer: "198.51.100.7:1"},
		{name: "the peer", peer: "198.51.100.7:1", from: newClientAddress(t, bearergate.ClientAddressConfig{}), header: []string{"203.0.113.5"}, want: netip.MustParseAddr("198.51.100.7")},
		{name: "behind a proxy", peer: "10.1.2.3:1", from: behind, header: []string{"192.0.2.66, 203.0.113.5"}, want: netip.MustParseAddr("203.0.113.5")},
		{name: "behind no proxy", peer: "198.51.100.7:1", from: behind, header: []string{"203.0.113.5"}, want: netip.MustParseAddr("198.51.100.7")},
		{name: "behind a proxy that says nothing", peer: "10.1.2.3:1", from: behind},
		{name: "RemoteAddr without a port", peer: "10.1.2.3", from: behind, header: []string{"203.0.113.5"}},
		{name: "a Unix socket", peer: "@", from: behind, header: []string{"203.0.113.5"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks(), ClientAddress: tc.from})
			for token, status := range map[string]int{good: 200, "bad": 401} {
				r := bearer("GET", token)
				r.RemoteAddr, r.Header["X-Forwarded-For"] = tc.peer, tc.header
				w := httptest.NewRecorder()
				gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
				require.Equal(t, status, w.Code)
				require.Equal(t, tc.want, events.only(t).Address)
			}
		})
	}
}

// A request that its token ended is told of with the address that it came from, also where its
// handler has changed the request meanwhile.
func TestAddressMidstream(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		events := &log{}
		mortal := reader
		mortal.ExpiresAt = time.Now().Add(time.Minute)
		gate := newGate(t, accepts(mortal), middleware.Config{Hooks: events.hooks(),
			ClientAddress: newClientAddress(t, bearergate.ClientAddressConfig{Header: "X-Client-Address", Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})})
		r := bearer("GET", good)
		r.Header.Set("X-Client-Address", "203.0.113.5")
		gate.Require(scope.All("read"), middleware.CancelOnExpiry())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			r.Header.Del("X-Client-Address")
			<-r.Context().Done()
		})).ServeHTTP(httptest.NewRecorder(), r)
		told := events.all()
		require.Len(t, told, 2)
		require.True(t, told[1].Midstream)
		for _, e := range told {
			require.Equal(t, "203.0.113.5", e.Address.String())
		}
	})
}

// A verifier that ends the goroutine of the request hides nobody.
func TestAddressWhenTheGoroutineEnds(t *testing.T) {
	events := &log{}
	gate := newGate(t, answers(errors.New("not asked")), middleware.Config{Hooks: events.hooks(), ClientAddress: newClientAddress(t, bearergate.ClientAddressConfig{}),
		Extract: func(*http.Request) (bearergate.Credentials, error) { panic("boom") }})
	r := bearer("GET", good)
	r.RemoteAddr = "198.51.100.7:1"
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "198.51.100.7", events.only(t).Address.String())
}

// A real proxy: httputil.ReverseProxy adds the address of its client to what that has sent.
func TestAddressBehindARealProxy(t *testing.T) {
	events := &log{}
	gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks(),
		ClientAddress: newClientAddress(t, bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})})
	api := httptest.NewServer(gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer api.Close()
	target, err := url.Parse(api.URL)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
		r.SetXForwarded()
		r.SetURL(target)
	}}
	for _, forged := range []string{"", "203.0.113.66", "127.0.0.2, junk"} {
		r := bearer("GET", good)
		r.RemoteAddr = "198.51.100.7:4711" // of the connection to the proxy
		if forged != "" {
			r.Header.Set("X-Forwarded-For", forged)
		}
		w := httptest.NewRecorder()
		proxy.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		require.Equal(t, "198.51.100.7", events.only(t).Address.String())
	}
}
