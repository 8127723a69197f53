package extauthzgate_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bearergate/bearergate"
	extauthzgate "github.com/bearergate/bearergate/adapters/extauthz"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/confusion"
)

// loopback is where Envoy connects from in these tests.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

func gateOf(t testing.TB, v bearergate.Verifier, change ...func(*middleware.Config)) *middleware.Gate {
	t.Helper()
	config := middleware.Config{Identity: confusion.Identity(), Resource: "https://api.example"}
	for _, c := range change {
		c(&config)
	}
	gate, err := middleware.New(v, config)
	require.NoError(t, err)
	return gate
}

func serverOf(t testing.TB, rt *middleware.Router) *extauthzgate.Server {
	t.Helper()
	server, err := extauthzgate.New(rt, extauthzgate.Config{Trusted: loopback})
	require.NoError(t, err)
	return server
}

// dial serves s as a gRPC server and returns a client of it.
func dial(t testing.TB, s authv3.AuthorizationServer) authv3.AuthorizationClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		assert.NoError(t, <-served)
	})
	return authv3.NewAuthorizationClient(conn)
}

// question tells of a request in the way of Envoy: names in small letters, pseudo-header
// fields among them; fields of one name made one value, or as they came in header_map.
func question(r *http.Request, raw bool) *authv3.CheckRequest {
	told := &authv3.AttributeContext_HttpRequest{
		Id: "1", Method: r.Method, Path: r.RequestURI, Host: r.Host, Scheme: "https", Protocol: "HTTP/1.1", Size: -1,
	}
	fields := http.Header{":method": {r.Method}, ":path": {r.RequestURI}, ":authority": {r.Host}, ":scheme": {"https"}}
	for name, values := range r.Header {
		fields[strings.ToLower(name)] = values
	}
	if raw {
		told.HeaderMap = &corev3.HeaderMap{}
		for name, values := range fields {
			for _, value := range values {
				told.HeaderMap.Headers = append(told.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
			}
		}
	} else {
		told.Headers = map[string]string{}
		for name, values := range fields {
			told.Headers[name] = strings.ToValidUTF8(strings.Join(values, ","), "!")
		}
	}
	source := &authv3.AttributeContext_Peer{}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		source.Address = &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: peer.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(peer.Port())},
		}}}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Source: source, Request: &authv3.AttributeContext_Request{Http: told}}}
}

// envoy stands for Envoy with the filter ext_authz, in front of a service: it asks, and does
// with the answer what the filter does. The fields of one connection end at it, trailers too,
// as with its defaults, and a path is not normalized.
func envoy(t testing.TB, client authv3.AuthorizationClient, service string, raw bool) http.Handler {
	t.Helper()
	to, err := url.Parse(service)
	require.NoError(t, err)
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context())
		if u, err := url.Parse(r.RequestURI); err == nil && u.IsAbs() && (u.Scheme == "http" || u.Scheme == "https") {
			asked.RequestURI = strings.TrimPrefix(r.RequestURI, u.Scheme+"://"+u.Host) // Envoy makes a path of it, and the host
		}
		for option := range strings.SplitSeq(strings.Join(r.Header["Connection"], ","), ",") {
			if option = strings.TrimSpace(option); !strings.EqualFold(option, "Authorization") { // for the table, which takes the proxy for the recipient
				asked.Header.Del(option)
			}
		}
		for _, name := range []string{"Connection", "Upgrade", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te"} {
			asked.Header.Del(name)
		}
		res, err := client.Check(r.Context(), question(asked, raw))
		if !assert.NoError(t, err) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if !apply(t, res, asked, w) {
			return
		}
		asked.Trailer = nil
		forward.ServeHTTP(w, asked)
	})
}

// apply does with an answer what the filter does, and reports whether the request goes on.
func apply(t testing.TB, res *authv3.CheckResponse, r *http.Request, w http.ResponseWriter) bool {
	t.Helper()
	if denied := res.GetDeniedResponse(); res.GetStatus().GetCode() != int32(codes.OK) {
		require.NotNil(t, denied)
		mutate(w.Header(), denied.GetHeaders())
		w.WriteHeader(int(denied.GetStatus().GetCode()))
		_, _ = io.WriteString(w, denied.GetBody())
		return false
	}
	ok := res.GetOkResponse()
	if !assert.NotNil(t, ok) {
		return false
	}
	mutate(r.Header, ok.GetHeaders())
	for _, name := range ok.GetHeadersToRemove() { // after the others are set, so that a name in both is lost
		for sent := range r.Header {
			if strings.ToLower(sent) == name {
				delete(r.Header, sent)
			}
		}
	}
	mutate(w.Header(), ok.GetResponseHeadersToAdd())
	return true
}

// mutate changes a header as the options say, in order, each by its append_action: as newer
// versions of Envoy do it with every header of an answer.
func mutate(header http.Header, options []*corev3.HeaderValueOption) {
	for _, option := range options {
		name, value := option.GetHeader().GetKey(), option.GetHeader().GetValue()
		switch there := header.Values(name) != nil; option.GetAppendAction() {
		case corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
			header.Add(name, value)
		case corev3.HeaderValueOption_ADD_IF_ABSENT:
			if !there {
				header.Set(name, value)
			}
		case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
			if there {
				header.Set(name, value)
			}
		default:
			header.Set(name, value)
		}
	}
}

// check asks about a request without a service behind.
func check(t testing.TB, client authv3.AuthorizationClient, req *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	res, err := client.Check(t.Context(), req)
	require.NoError(t, err)
	return res
}

// request is one of a client, as it stands in its request line.
func request(method, target string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, "http://"+confusion.Host+"/", nil)
	r.RequestURI, r.Host = target, confusion.Host
	r.URL, _ = url.ParseRequestURI(target)
	for line := range slices.Values(lines) {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// thumbprint is the member x5t#S256 for a certificate (RFC 8705 §3.1).
func thumbprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
