package extauthzgate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/bearergate/bearergate"
	extauthzgate "github.com/bearergate/bearergate/adapters/extauthz"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// ask calls s without a network, as somebody at loopback.
func ask(ctx context.Context, t testing.TB, s *extauthzgate.Server, req *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	return askFrom(ctx, t, s, "127.0.0.1:4000", req)
}

func askFrom(ctx context.Context, t testing.TB, s *extauthzgate.Server, from string, req *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	res, err := s.Check(peer.NewContext(ctx, &peer.Peer{Addr: address(from)}), req)
	require.NoError(t, err)
	require.NotNil(t, res)
	return res
}

// address is a net.Addr of any text.
type address string

func (address) Network() string  { return "test" }
func (a address) String() string { return string(a) }

// requireDenied asserts a whole answer with this status and reason.
func requireDenied(t testing.TB, res *authv3.CheckResponse, status int, reason bearergate.Reason) {
	t.Helper()
	require.NotEqual(t, int32(codes.OK), res.GetStatus().GetCode())
	denied := res.GetDeniedResponse()
	require.NotNil(t, denied)
	require.EqualValues(t, status, denied.GetStatus().GetCode())
	require.Equal(t, "no-store", headerOf(denied.GetHeaders()).Get("Cache-Control"))
	require.NotEmpty(t, denied.GetBody())
	require.Equal(t, string(reason), res.GetDynamicMetadata().GetFields()["reason"].GetStringValue())
}

// A question that lacks something, or says it twice, is refused: also on a public route.
func TestQuestionsThatTellTooLittleOrTooMuch(t *testing.T) {
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()))
	good := func() *authv3.CheckRequest { return question(request("GET", "/public/x"), false) }
	require.NotNil(t, ask(t.Context(), t, s, good()).GetOkResponse())
	many := func(n int) map[string]string {
		headers := map[string]string{}
		for i := range n {
			headers["x-"+strings.Repeat("a", i%50)+string(rune('a'+i%26))+strings.Repeat("b", i/50)] = "v"
		}
		return headers
	}
	for _, tt := range []struct {
		name   string
		change func(*authv3.AttributeContext, *authv3.AttributeContext_HttpRequest)
		status int
		reason bearergate.Reason
	}{
		{name: "no attributes of HTTP", change: func(a *authv3.AttributeContext, _ *authv3.AttributeContext_HttpRequest) { a.Request.Http = nil }, status: 500, reason: bearergate.ReasonConfig},
		{name: "no request", change: func(a *authv3.AttributeContext, _ *authv3.AttributeContext_HttpRequest) { a.Request = nil }, status: 500, reason: bearergate.ReasonConfig},
		{name: "no method", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Method, r.Headers = "", nil
		}},
		{name: "no path", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Path, r.Headers = "", nil }},
		{name: "no host", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Host, r.Headers = "", nil }},
		{name: "nothing but headers", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Method, r.Path, r.Host = "", "", ""
		}},
		{name: "a long method", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Method, r.Headers = strings.Repeat("A", 65), nil
		}},
		{name: "a long path", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Path, r.Headers = "/public/"+strings.Repeat("a", middleware.MaxOriginalURIBytes), nil
		}},
		{name: "a long host", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Host, r.Headers = strings.Repeat("a", 300), nil
		}},
		{name: "many headers", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers = many(extauthzgate.MaxHeaders + 1)
		}},
		{name: "a large header", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers["x-large"] = strings.Repeat("a", extauthzgate.MaxHeaderBytes)
		}},
		{name: "a query beside the path", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Query = "x" }},
		{name: "a fragment beside the path", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Fragment = "x" }},
		{name: "another :path", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers[":path"] = "/admin/x"
		}},
		{name: "another :method", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers[":method"] = "DELETE"
		}},
		{name: "another :authority", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers[":authority"] = confusion.Internal
		}},
		{name: "another host", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers["host"] = confusion.Internal
		}},
		{name: "another host, its name in capitals", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers["Host"] = confusion.Internal
		}},
		{name: "a :scheme that is no attribute", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Scheme = "" }},
		{name: "an extended CONNECT", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers[":protocol"] = "connect-udp"
		}},
		{name: "another :scheme", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers[":scheme"] = "http"
		}},
		{name: "an unknown pseudo-header field", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers[":status"] = "200" }},
		{name: "a name that is none", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a b"] = "c" }},
		{name: "a name with a letter that is none of ASCII", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a\u00fc"] = "c" }},
		{name: "a name with DEL", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a\x7f"] = "c" }},
		{name: "a name with a colon within", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a:b"] = "c" }},
		{name: "an empty name", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers[""] = "c" }},
		{name: "a line break in a value", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a"] = "b\r\nc: d" }},
		{name: "a carriage return in a value", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a"] = "b\rc" }},
		{name: "a line feed in a value", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a"] = "b\nc: d" }},
		{name: "an unknown pseudo-header field that is empty", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers[":status"] = "" }},
		{name: "NUL in a value", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) { r.Headers["a"] = "b\x00" }},
		{name: "headers and header_map", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "a", RawValue: []byte("b")}}}
		}},
		{name: "two values of a field", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers, r.HeaderMap = nil, &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "a", Value: "c", RawValue: []byte("b")}}}
		}},
		{name: "another :path in header_map", change: func(_ *authv3.AttributeContext, r *authv3.AttributeContext_HttpRequest) {
			r.Headers, r.HeaderMap = nil, &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":path", RawValue: []byte("/public/\xff")}}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := good()
			tt.change(req.GetAttributes(), req.GetAttributes().GetRequest().GetHttp())
			if tt.status == 0 {
				tt.status, tt.reason = 400, bearergate.ReasonBadRequest
			}
			requireDenied(t, ask(t.Context(), t, s, req), tt.status, tt.reason)
		})
	}
	requireDenied(t, ask(t.Context(), t, s, nil), 500, bearergate.ReasonConfig)
	requireDenied(t, ask(t.Context(), t, s, &authv3.CheckRequest{}), 500, bearergate.ReasonConfig)
}

// As large as may be is decided on, and one more byte or field is not.
func TestTheBoundsOfAHeader(t *testing.T) {
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()))
	of := func(fields ...*corev3.HeaderValue) *authv3.CheckRequest {
		req := question(request("GET", "/public/x"), true)
		req.Attributes.Request.Http.HeaderMap.Headers = fields
		return req
	}
	fields := make([]*corev3.HeaderValue, extauthzgate.MaxHeaders)
	for i := range fields {
		fields[i] = &corev3.HeaderValue{Key: "a", RawValue: []byte("b")}
	}
	require.NotNil(t, ask(t.Context(), t, s, of(fields...)).GetOkResponse())
	requireDenied(t, ask(t.Context(), t, s, of(append(fields, fields[0])...)), 400, bearergate.ReasonBadRequest)
	name, value := strings.Repeat("a", 1000), bytes.Repeat([]byte("b"), extauthzgate.MaxHeaderBytes-1000)
	require.NotNil(t, ask(t.Context(), t, s, of(&corev3.HeaderValue{Key: name, RawValue: value})).GetOkResponse())
	requireDenied(t, ask(t.Context(), t, s, of(&corev3.HeaderValue{Key: name + "a", RawValue: value})), 400, bearergate.ReasonBadRequest)
	requireDenied(t, ask(t.Context(), t, s, of(&corev3.HeaderValue{Key: name, RawValue: append(value, 'b')})), 400, bearergate.ReasonBadRequest)
}

// Fields that came as one count each: a field of commas would be as many strings.
func TestCommasAreBounded(t *testing.T) {
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()))
	for _, raw := range []bool{false, true} {
		for _, name := range []string{"Authorization", "DPoP"} {
			req := question(request("GET", "/public/x", name+": "+strings.Repeat(",", extauthzgate.MaxHeaders)), raw)
			requireDenied(t, ask(t.Context(), t, s, req), 400, bearergate.ReasonBadRequest)
			req = question(request("GET", "/public/x", name+": "+strings.Repeat(",", extauthzgate.MaxHeaders-5)), raw) // beside four pseudo-header fields
			require.NotNil(t, ask(t.Context(), t, s, req).GetOkResponse(), "a public route looks at neither")
		}
	}
}

// A Binding sees the fields apart that Envoy put together.
func TestProofsThatCameAsOne(t *testing.T) {
	var got []string
	gate := gateOf(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Subject: "u1", Confirmation: map[string][]byte{"jkt": []byte(`"x"`)}}), nil
	}), func(c *middleware.Config) { c.Bindings = []bearergate.Binding{sees{values: &got}} })
	rt := gate.NewRouter()
	rt.Authenticated("/", http.NotFoundHandler())
	req := question(request("GET", "/", "Authorization: \tDPoP x ", "DPoP: a.b.c,\td.e.f ,", "Host: "+confusion.Host), false)
	require.NotNil(t, ask(t.Context(), t, serverOf(t, rt), req).GetOkResponse())
	require.Equal(t, []string{"a.b.c", "d.e.f", ""}, got)
}

// sees keeps the proofs of a call, and confirms it.
type sees struct {
	replies
	values *[]string
}

func (s sees) Confirm(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
	*s.values = c.Values("DPoP")
	return nil, nil
}

// Envoy tells a byte of the path that is no UTF-8 as "!", and gives the service the byte. So two
// of them in a row may be what some services take for a dot or a slash (overlong UTF-8), unless
// the path was told in bytes as well.
func TestPathsThatHideBytes(t *testing.T) {
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()))
	sent := "/public/\xc0\xae\xc0\xae\xc0\xafadmin/x"
	for _, raw := range []bool{false, true} {
		req := question(request("GET", "/public/x"), raw)
		told := req.GetAttributes().GetRequest().GetHttp()
		told.Path = "/public/!!!!!!admin/x"
		if raw {
			for _, field := range told.GetHeaderMap().GetHeaders() {
				if field.GetKey() == ":path" {
					field.RawValue = []byte(sent)
				}
			}
		} else {
			told.Headers[":path"] = told.GetPath()
		}
		requireDenied(t, ask(t.Context(), t, s, req), 400, bearergate.ReasonBadRequest)
	}
	req := question(request("GET", "/public/!!"), true)
	require.NotNil(t, ask(t.Context(), t, s, req).GetOkResponse(), "the path was told in bytes")
	fields := req.GetAttributes().GetRequest().GetHttp().GetHeaderMap()
	fields.Headers = slices.DeleteFunc(fields.GetHeaders(), func(field *corev3.HeaderValue) bool { return field.GetKey() == ":path" })
	requireDenied(t, ask(t.Context(), t, s, req), 400, bearergate.ReasonBadRequest)
	for _, target := range []string{"/public/a!b!", "/public/x?q=!!"} {
		require.NotNil(t, ask(t.Context(), t, s, question(request("GET", target), false)).GetOkResponse(), target)
	}
}

// Two spellings of a name that Go makes one are two values.
func TestSpellingsOfAuthorization(t *testing.T) {
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()))
	req := question(request("GET", "/orders/7", "Authorization: "+kit.With("read")), false)
	req.Attributes.Request.Http.Headers["Authorization"] = kit.With("admin")
	requireDenied(t, ask(t.Context(), t, s, req), 400, bearergate.ReasonBadRequest)
}

// No part of the answer comes from the body.
func TestTheBodyIsNotUsed(t *testing.T) {
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()))
	req := question(request("POST", "/public/x"), false)
	want := ask(t.Context(), t, s, proto.Clone(req).(*authv3.CheckRequest))
	req.Attributes.Request.Http.Body, req.Attributes.Request.Http.RawBody = "_method=DELETE", []byte("_method=DELETE")
	require.True(t, proto.Equal(want, ask(t.Context(), t, s, req)))
}

// Whoever is not trusted learns nothing, and uses nothing up.
func TestOnlyTrustedPeersAreAnswered(t *testing.T) {
	var told []bearergate.Reason
	gate := gateOf(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		require.Fail(t, "a token was looked at")
		return nil, nil
	}), func(c *middleware.Config) {
		c.Hooks.Decided = func(_ context.Context, e middleware.DecisionEvent) { told = append(told, bearergate.ReasonOf(e.Err)) }
	})
	s := serverOf(t, confusion.Routes(gate, http.NotFoundHandler()))
	req := question(request("GET", "/orders/7", "Authorization: "+kit.With("read")), false)
	for _, from := range []string{"127.0.0.2:4000", "192.0.2.1:4000", "[::1]:4000", "@", "", "/run/envoy.sock"} {
		requireDenied(t, askFrom(t.Context(), t, s, from, req), 403, bearergate.ReasonPolicy)
	}
	for _, ctx := range []context.Context{t.Context(), peer.NewContext(t.Context(), &peer.Peer{})} { // nobody knows who asks
		res, err := s.Check(ctx, req)
		require.NoError(t, err)
		requireDenied(t, res, 403, bearergate.ReasonPolicy)
	}
	require.Len(t, told, 8)

	anyone, err := extauthzgate.New(confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()), extauthzgate.Config{AllowAnyPeer: true})
	require.NoError(t, err)
	require.NotNil(t, askFrom(t.Context(), t, anyone, "@", req).GetOkResponse())
}

// Who asked without leave, and whose request was told in a way that cannot be used, stands in
// the event.
func TestRefusalsNameWhoSentThem(t *testing.T) {
	addresses, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{})
	require.NoError(t, err)
	var told []string
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting(), func(c *middleware.Config) {
		c.ClientAddress = addresses
		c.Hooks.Decided = func(_ context.Context, e middleware.DecisionEvent) { told = append(told, e.Address.String()) }
	}), http.NotFoundHandler()))
	r := request("GET", "/public/x", "A: b\x00")
	r.RemoteAddr = "198.51.100.7:4711"
	requireDenied(t, ask(t.Context(), t, s, question(r, true)), 400, bearergate.ReasonBadRequest)
	requireDenied(t, askFrom(t.Context(), t, s, "192.0.2.1:4000", question(r, true)), 403, bearergate.ReasonPolicy)
	requireDenied(t, askFrom(t.Context(), t, s, "@", question(r, true)), 403, bearergate.ReasonPolicy)
	requireDenied(t, ask(t.Context(), t, s, &authv3.CheckRequest{}), 500, bearergate.ReasonConfig)
	require.Equal(t, []string{"198.51.100.7", "192.0.2.1", "invalid IP", "invalid IP"}, told)
}

// The certificate that Envoy tells proves who has the key of a bound token; no header does.
//
// req: R8705-06
func TestClientCertificates(t *testing.T) {
	own, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	other, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	told := func(c tls.Certificate) string {
		text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
		return strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(text) // as Envoy writes it
	}
	gate := gateOf(t, bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		claims := bearergate.Claims{Subject: "u1"}
		if raw == "bound" {
			claims.Confirmation = map[string][]byte{"x5t#S256": []byte(`"` + thumbprint(own) + `"`)}
		}
		return bearergate.NewToken(claims), nil
	}), func(c *middleware.Config) {
		certificates, err := mtls.New(mtls.Config{Told: true, Forwarded: []mtls.Forwarded{{Header: "X-Client-Cert", Format: mtls.EscapedPEM, Trusted: []netip.Prefix{netip.MustParsePrefix("10.9.9.9/32")}}}})
		require.NoError(t, err)
		c.Bindings = []bearergate.Binding{certificates}
	})
	rt := gate.NewRouter()
	rt.Authenticated("/", http.NotFoundHandler())
	s := serverOf(t, rt)
	for _, tt := range []struct {
		name, certificate, peer string
		lines                   []string
		unbound, opens          bool
	}{
		{name: "its certificate", certificate: told(own), opens: true},
		{name: "another one", certificate: told(other)},
		{name: "none"},
		{name: "none, and a forged header", lines: []string{"X-Client-Cert: " + told(own), "X-Forwarded-Client-Cert: Cert=\"" + told(own) + "\"", "Client-Cert: " + told(own)}},
		{name: "another one, and a forged header", certificate: told(other), lines: []string{"X-Client-Cert: " + told(own)}},
		{name: "behind a proxy that tells it in a header", certificate: told(other), peer: "10.9.9.9:1", lines: []string{"X-Client-Cert: " + told(own)}, opens: true},
		{name: "the certificate of that proxy itself", certificate: told(own), peer: "10.9.9.9:1"},
		{name: "no PEM", certificate: "x"},
		{name: "a broken escape", certificate: told(own) + "%zz"},
		{name: "two certificates", certificate: told(own) + told(other)},
		{name: "something after it", certificate: told(own) + "x"},
		{name: "a key", certificate: url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: own.Certificate[0]})))},
		{name: "no certificate within", certificate: url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})))},
		{name: "a long one", certificate: told(own) + strings.Repeat("%0A", extauthzgate.MaxCertificateBytes)},
		{name: "one that is as long as may be", certificate: padded(told(own), extauthzgate.MaxCertificateBytes), opens: true},
		{name: "one byte longer", certificate: padded(told(own), extauthzgate.MaxCertificateBytes+1)},
		{name: "a plus as it is", certificate: strings.ReplaceAll(told(own), "%2B", "+"), opens: true},
		{name: "an unbound token, and no PEM", certificate: "x", unbound: true, opens: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := "Authorization: Bearer bound"
			if tt.unbound {
				token = "Authorization: Bearer free"
			}
			r := request("GET", "/", append(tt.lines, token)...)
			if r.RemoteAddr = tt.peer; tt.peer == "" {
				r.RemoteAddr = "192.0.2.7:4711"
			}
			req := question(r, true)
			req.Attributes.Source.Certificate = tt.certificate
			res := ask(t.Context(), t, s, req)
			if tt.opens {
				require.NotNil(t, res.GetOkResponse(), "%v", res)
				return
			}
			requireDenied(t, res, 401, bearergate.ReasonBinding)
		})
	}
}

// padded adds line breaks up to a length.
func padded(s string, length int) string { return s + strings.Repeat("\n", length-len(s)) }

// The peer of Envoy is where the address of the client is looked for.
func TestClientAddress(t *testing.T) {
	addresses, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}})
	require.NoError(t, err)
	var told netip.Addr
	gate := gateOf(t, kit.Granting(), func(c *middleware.Config) {
		c.ClientAddress = addresses
		c.Hooks.Decided = func(_ context.Context, e middleware.DecisionEvent) { told = e.Address }
	})
	s := serverOf(t, confusion.Routes(gate, http.NotFoundHandler()))
	for _, tt := range []struct{ name, peer, want string }{
		{name: "a client", peer: "192.0.2.7:4711", want: "192.0.2.7"},
		{name: "a balancer", peer: "10.0.0.1:4711", want: "198.51.100.1"},
		{name: "nobody knows", peer: "", want: ""},
		{name: "no port", peer: "192.0.2.7:0", want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told = netip.Addr{}
			r := request("GET", "/orders/7", "Authorization: "+kit.With("read"), "X-Forwarded-For: 203.0.113.9, 198.51.100.1")
			r.RemoteAddr = tt.peer
			require.NotNil(t, ask(t.Context(), t, s, question(r, false)).GetOkResponse())
			if tt.want == "" {
				require.False(t, told.IsValid())
				return
			}
			require.Equal(t, tt.want, told.String())
		})
	}
	for name, address := range map[string]*corev3.SocketAddress{
		"a port that is none": {Address: "192.0.2.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 1<<16 + 4711}},
		"a name for a port":   {Address: "192.0.2.7", PortSpecifier: &corev3.SocketAddress_NamedPort{NamedPort: "http"}},
		"a name":              {Address: "client.example", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}},
		"another protocol":    {Protocol: 7, Address: "192.0.2.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}},
	} {
		t.Run(name, func(t *testing.T) {
			told = netip.MustParseAddr("192.0.2.99")
			req := question(request("GET", "/orders/7", "Authorization: "+kit.With("read")), false)
			req.Attributes.Source.Address = &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: address}}
			require.NotNil(t, ask(t.Context(), t, s, req).GetOkResponse())
			require.False(t, told.IsValid())
		})
	}
}

// A panic of whatever is called, and the end of the question's context, let nobody in.
func TestNothingElseBecomesOK(t *testing.T) {
	slow := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	req := question(request("GET", "/orders/7", "Authorization: "+kit.With("read")), false)
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		res := ask(ctx, t, serverOf(t, confusion.Routes(gateOf(t, slow), http.NotFoundHandler())), req)
		requireDenied(t, res, 503, bearergate.ReasonCanceled)
		require.NotEmpty(t, headerOf(res.GetDeniedResponse().GetHeaders()).Get("Retry-After"))
	})
	t.Run("a deadline", func(t *testing.T) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		res := ask(ctx, t, serverOf(t, confusion.Routes(gateOf(t, slow), http.NotFoundHandler())), req)
		require.EqualValues(t, 503, res.GetDeniedResponse().GetStatus().GetCode())
	})
	t.Run("a verifier that panics", func(t *testing.T) {
		s := serverOf(t, confusion.Routes(gateOf(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { panic("x") })), http.NotFoundHandler()))
		requireDenied(t, ask(t.Context(), t, s, req), 500, bearergate.ReasonInternal)
	})
	t.Run("a hook that panics", func(t *testing.T) {
		s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting(), func(c *middleware.Config) {
			c.Hooks.Decided = func(context.Context, middleware.DecisionEvent) { panic("x") }
		}), http.NotFoundHandler()))
		denied := question(request("GET", "/admin/x"), false)
		requireDenied(t, ask(t.Context(), t, s, denied), 401, bearergate.ReasonNoToken)
		requireDenied(t, askFrom(t.Context(), t, s, "192.0.2.1:4000", req), 403, bearergate.ReasonPolicy)
		requireDenied(t, ask(t.Context(), t, s, question(request("GET", "nothing"), false)), 400, bearergate.ReasonBadRequest)
	})
	t.Run("an identity that panics", func(t *testing.T) {
		s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting(), func(c *middleware.Config) {
			c.Identity = map[string]func(*bearergate.Token) string{"X-User": func(*bearergate.Token) string { panic("x") }}
		}), http.NotFoundHandler()))
		requireDenied(t, ask(t.Context(), t, s, req), 500, bearergate.ReasonInternal)
	})
	t.Run("an address that panics", func(t *testing.T) {
		res, err := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler())).
			Check(peer.NewContext(t.Context(), &peer.Peer{Addr: (*net.TCPAddr)(nil)}), req)
		require.NoError(t, err)
		requireDenied(t, res, 403, bearergate.ReasonPolicy)
		res, err = serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler())).
			Check(peer.NewContext(t.Context(), &peer.Peer{Addr: panics{}}), req)
		require.NoError(t, err)
		requireDenied(t, res, 500, bearergate.ReasonConfig)
	})
	t.Run("a nil and a zero Server", func(t *testing.T) {
		var none *extauthzgate.Server
		requireDenied(t, ask(t.Context(), t, none, req), 500, bearergate.ReasonConfig)
		requireDenied(t, ask(t.Context(), t, &extauthzgate.Server{}, req), 500, bearergate.ReasonConfig)
	})
}

type panics struct{ net.Addr }

func (panics) String() string { panic("an address") }

// Bodies of Render that no gRPC message can hold are made to fit.
func TestRenderOfBytes(t *testing.T) {
	gate := gateOf(t, kit.Granting(), func(c *middleware.Config) {
		c.Render = func(*http.Request, middleware.Refusal) (string, []byte) { return "text/plain", []byte("a\xffb") }
	})
	res := check(t, dial(t, serverOf(t, confusion.Routes(gate, http.NotFoundHandler()))), question(request("GET", "/orders/7"), false))
	require.Equal(t, "a\uFFFDb", res.GetDeniedResponse().GetBody())
	require.Equal(t, "text/plain", headerOf(res.GetDeniedResponse().GetHeaders()).Get("Content-Type"))
}

// Metadata has whole texts that every reader of JSON can read, and no more than it says.
func TestMetadata(t *testing.T) {
	scopes := make([]string, extauthzgate.MaxMetadataScopes+1)
	for i := range scopes {
		scopes[i] = "s" + strings.Repeat("x", i)
	}
	for _, tt := range []struct {
		name   string
		claims bearergate.Claims
		want   map[string]any
	}{
		{name: "all of it", claims: bearergate.Claims{Issuer: "https://as.example", Subject: `a"<b`, ClientID: "app", Tenant: "t1", Scopes: scope.Of("read", "write")},
			want: map[string]any{"issuer": "https://as.example", "subject": `a"<b`, "client_id": "app", "tenant": "t1", "scopes": []any{"read", "write"}}},
		{name: "long", claims: bearergate.Claims{Subject: strings.Repeat("a", extauthzgate.MaxMetadataBytes+1), Scopes: scope.Of("read")}, want: map[string]any{"scopes": []any{"read"}}},
		{name: "as long as may be", claims: bearergate.Claims{Subject: strings.Repeat("a", extauthzgate.MaxMetadataBytes)}, want: map[string]any{"subject": strings.Repeat("a", extauthzgate.MaxMetadataBytes), "scopes": []any{}}},
		{name: "no UTF-8", claims: bearergate.Claims{Subject: "a\xff", ClientID: "app"}, want: map[string]any{"client_id": "app", "scopes": []any{}}},
		{name: "as many scopes as may be", claims: bearergate.Claims{Subject: "a", Scopes: scope.Of(scopes[:extauthzgate.MaxMetadataScopes]...)}, want: map[string]any{"subject": "a", "scopes": texts(scope.Of(scopes[:extauthzgate.MaxMetadataScopes]...).Names())}},
		{name: "a long scope", claims: bearergate.Claims{Subject: "a", Scopes: scope.Of("read", strings.Repeat("a", extauthzgate.MaxMetadataBytes+1))}, want: map[string]any{"subject": "a"}},
		{name: "a scope as long as may be", claims: bearergate.Claims{Subject: "a", Scopes: scope.Of(strings.Repeat("a", extauthzgate.MaxMetadataBytes))}, want: map[string]any{"subject": "a", "scopes": []any{strings.Repeat("a", extauthzgate.MaxMetadataBytes)}}},
		{name: "many scopes", claims: bearergate.Claims{Subject: "a", Scopes: scope.Of(scopes...)}, want: map[string]any{"subject": "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gate := gateOf(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
				return bearergate.NewToken(tt.claims), nil
			}))
			rt := gate.NewRouter()
			rt.Authenticated("GET /{id}", http.NotFoundHandler())
			res := check(t, dial(t, serverOf(t, rt)), question(request("GET", "/7", "Authorization: Bearer x"), false))
			require.NotNil(t, res.GetOkResponse())
			want := map[string]any{"decision": "allowed", "status": 200.0, "route": "GET /{id}", "access": "token"}
			maps.Copy(want, tt.want)
			require.Equal(t, want, res.GetDynamicMetadata().AsMap())
		})
	}
}

// A public route knows nobody, whatever token came.
func TestMetadataOfNobody(t *testing.T) {
	s := serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler()))
	res := ask(t.Context(), t, s, question(request("GET", "/public/x", "Authorization: "+kit.With("read")), false))
	require.Equal(t, map[string]any{"decision": "allowed", "status": 200.0, "route": "/public/", "access": "public"}, res.GetDynamicMetadata().AsMap())
}

func texts(all []string) (list []any) {
	for _, text := range all {
		list = append(list, text)
	}
	return list
}

// New names every mistake at once.
func TestNewNamesEveryMistake(t *testing.T) {
	direct, err := mtls.New(mtls.Config{Direct: true})
	require.NoError(t, err)
	rt := gateOf(t, kit.Granting(), func(c *middleware.Config) {
		c.Bindings = []bearergate.Binding{direct}
		c.Identity["Www-Authenticate"] = (*bearergate.Token).Subject
	}).NewRouter()
	rt.Authenticated("/", http.NotFoundHandler(), middleware.Recheck(time.Minute))
	for _, tt := range []struct {
		name   string
		router *middleware.Router
		config extauthzgate.Config
		says   []string
	}{
		{name: "all of them", router: rt, says: []string{"binding 1 reads the client certificate of the connection", `the route "/" has Recheck`, "Config.Identity has Www-Authenticate", "Config.Trusted"}},
		{name: "no router", config: extauthzgate.Config{AllowAnyPeer: true}, says: []string{"the router is nil"}},
		{name: "both", router: gateOf(t, kit.Granting()).NewRouter(), config: extauthzgate.Config{AllowAnyPeer: true, Trusted: loopback}, says: []string{"Config.AllowAnyPeer with Trusted"}},
		{name: "everybody", router: gateOf(t, kit.Granting()).NewRouter(), config: extauthzgate.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, says: []string{"Config.Trusted"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := extauthzgate.New(tt.router, tt.config)
			require.Nil(t, s)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}
