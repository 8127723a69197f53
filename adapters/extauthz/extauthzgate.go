// Package extauthzgate answers Envoy, and what is built on it, such as Istio and Contour, when
// it asks whether it may pass a request on: envoy.service.auth.v3.Authorization, the gRPC
// service of the HTTP filter ext_authz. The routes and the gate are those of middleware, and
// so are the answers.
//
//	router := gate.NewRouter()
//	router.Handle("GET /orders/{id}", scope.All("orders:read"), http.NotFoundHandler()) // no handler runs
//	server, err := extauthzgate.New(router, extauthzgate.Config{Trusted: envoys})
//	authv3.RegisterAuthorizationServer(grpcServer, server)
//
// # What is decided
//
// What [middleware.Advisor] decides of the method, the path, the host and the header that
// Envoy tells. A path of which two programs may make two things is refused, as
// [middleware.Router.ForwardAuth] says. The body is never looked at, and no part of the answer
// comes from it. Pseudo-header fields that differ from what Envoy tells beside them are
// refused.
//
// Without encode_raw_headers, Envoy makes one value of fields with one name, with commas
// between them. So an Authorization or a DPoP with a comma counts as two, which are refused: no
// token and no proof has one. A byte that is no UTF-8 arrives as "!", which no token has
// either, and a path with "!!" is refused. Set encode_raw_headers: then the fields come as they
// were sent. Envoy itself joins some fields even then.
//
// # Answers
//
// OK has, for the request, every header of [middleware.Config.Identity] that has a value, each
// of which replaces what the client sent, and the names of headers to remove
// ([middleware.Advice]). For the client it has what the Bindings reply, such as DPoP-Nonce.
//
// Everything else is denied, with the status, the header and the body that the middleware
// would write: 401, 403, 400, 404, 405, 503 and 500. The gRPC code inside of the answer is
// UNAUTHENTICATED for 401, and PERMISSION_DENIED for all others, whatever is to blame:
// Envoy denies by any code but OK. error_response is not used, and Check never returns an
// error: Envoy lets the request pass on both, where failure_mode_allow is set.
//
// # Metadata
//
// dynamic_metadata, in the namespace envoy.filters.http.ext_authz, has for access logs and
// other filters:
//
//	decision   "allowed" or "denied"
//	status     of the answer, a number
//	route      the pattern of the route
//	access     "token", "optional", "public" …: who may enter the route
//	reason     why it was denied, one of the constants of bearergate.Reason
//	issuer, subject, client_id, tenant   of the token, if the request is allowed
//	scopes     a list, of the token
//
// What is longer than [MaxMetadataBytes], or no UTF-8, is left out, and so is a list of more
// than [MaxMetadataScopes]: a part of a name is another name. There is no token in it, and no
// claim beside these. They name people: an access log that writes them holds personal data.
//
// # What Envoy must do
//
//   - failure_mode_allow stays false: with it, whoever brings this server down enters.
//   - filter_enabled, filter_enabled_metadata and shadow_mode stay unset: requests pass without a
//     question, or in spite of the answer.
//   - decoder_header_mutation_rules stays unset: by it, Envoy may ignore what the answer sets and
//     removes.
//   - allowed_headers and disallowed_headers stay unset: a header that this server does not
//     see, it cannot have removed. Only the usual two spellings of identity headers are removed
//     unseen.
//   - The path is normalized before the filter: normalize_path, merge_slashes, and
//     path_with_escaped_slashes_action: REJECT_REQUEST. What is left is refused here.
//   - No filter behind changes the path, the method or the host, and none is before that takes
//     them from a header. clear_route_cache stays false.
//   - with_request_body stays unset.
//   - A service behind that speaks HTTP/2 keeps trailers apart from the header: Envoy passes them
//     on after the decision, whatever their names.
//
// # What the server must do
//
// Let only Envoy connect: [Config].Trusted, and transport credentials where the network is
// shared. How many questions are decided at once is not bounded here: set
// grpc.MaxConcurrentStreams. A question is decided within the deadline that Envoy gives it
// (timeout of grpc_service), which has to be longer than one call to an authorization server.
//
// docs/proxies.md has the configuration. Everything here is safe for concurrent use.
package extauthzgate

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/peer"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
)

// The bounds of a question. What is larger is refused with 400. Method, host and path are
// bounded by [middleware.Told].
const (
	// MaxHeaders is the largest number of header fields, each part of an Authorization or a
	// DPoP with commas counted. Envoy's own default is 100.
	MaxHeaders = 1000
	// MaxHeaderBytes is the largest header, names and values. Envoy's own default is 60 KiB.
	MaxHeaderBytes = 256 << 10
	// MaxCertificateBytes is the longest client certificate, percent-encoded as Envoy tells it.
	// A longer one counts as none.
	MaxCertificateBytes = 64 << 10
)

// Config says who may ask. Trusted or AllowAnyPeer is required.
type Config struct {
	// Trusted are the addresses that Envoy connects from, IPv4 as IPv4, by the rule of
	// [bearergate.NewTrustedPeers]: no prefix may be wider than 10.0.0.0/8 or fc00::/7. Whoever
	// asks from another address is told 403 without a decision. The slice is copied.
	//
	// Danger: whoever can connect from one of these addresses learns what any token opens.
	// That opens nothing by itself. But each question uses up a DPoP proof, and a token on a
	// route with [middleware.Once].
	Trusted []netip.Prefix
	// AllowAnyPeer answers whoever can connect, for a server on a Unix socket, or one whose
	// transport credentials let only Envoy in. With Trusted it is a mistake.
	//
	// Danger: on a network without such credentials, anybody asks.
	AllowAnyPeer bool
}

// Server is an envoy.service.auth.v3.Authorization. Make it with [New]. A nil or zero Server
// denies everything with 500.
type Server struct {
	advisor *middleware.Advisor
	trusted bearergate.TrustedPeers
	anyone  bool
}

var _ authv3.AuthorizationServer = (*Server)(nil)

// New returns the Server of a router. No handler of the router runs: http.NotFoundHandler()
// will do for each. After it nothing can be registered.
//
// Its error is [bearergate.ErrMisconfigured] and names every mistake at once, those of
// [middleware.Router.Advisor] among them: a Binding that reads the certificate of the
// connection is one (Direct of binding/mtls; set Told there), and so is a route with
// [middleware.Recheck] or [middleware.CancelOnExpiry], which cannot end what Envoy serves.
func New(router *middleware.Router, c Config) (*Server, error) {
	var errs []error
	advisor, err := router.Advisor()
	if err != nil {
		errs = append(errs, causeOf(err))
	}
	s := &Server{advisor: advisor, anyone: c.AllowAnyPeer}
	switch {
	case c.AllowAnyPeer && len(c.Trusted) > 0:
		errs = append(errs, errors.New("Config.AllowAnyPeer with Trusted: leave one of them out"))
	case !c.AllowAnyPeer:
		if s.trusted, err = bearergate.NewTrustedPeers(c.Trusted...); err != nil {
			errs = append(errs, fmt.Errorf("Config.Trusted: %w", causeOf(err)))
		}
	}
	if len(errs) > 0 {
		return nil, misconfigured(fmt.Errorf("extauthzgate: %w", errors.Join(errs...)))
	}
	return s, nil
}

// causeOf is what an error of this module says, without its kind.
func causeOf(err error) error {
	if e := bearergate.AsError(err); e != nil && e.Cause != nil {
		return e.Cause
	}
	return err
}

// Check decides about the request that Envoy tells of. Its error is always nil. A ctx that
// ends first makes 503, and a panic of whatever it calls 500.
func (s *Server) Check(ctx context.Context, req *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	var res *authv3.CheckResponse
	err := bearergate.Guard(ctx, errCheck, func(context.Context) error {
		res = respond(s.advise(ctx, req))
		return nil
	})
	if err != nil || res == nil {
		var none *middleware.Advisor
		res = respond(none.Refuse(ctx, netip.AddrPort{}, errCheck))
	}
	return res, nil
}

var errCheck = misconfigured(errors.New("extauthzgate: Check"))

func (s *Server) advise(ctx context.Context, req *authv3.CheckRequest) middleware.Advice {
	if s == nil {
		s = &Server{}
	}
	if from := asker(ctx); !s.anyone && !s.trusted.Contain(from) {
		return s.advisor.Refuse(ctx, from, errStranger)
	}
	told, err := toldBy(req)
	if err != nil {
		return s.advisor.Refuse(ctx, peerOf(req.GetAttributes().GetSource()), err)
	}
	return s.advisor.Advise(ctx, told)
}

var errStranger = &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
	Detail: "extauthzgate was asked by somebody who is not in Config.Trusted: add the address that Envoy connects from, if it was Envoy"}

// asker is who sent the question; nobody on a Unix socket.
func asker(ctx context.Context) netip.AddrPort {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return netip.AddrPort{}
	}
	at, err := netip.ParseAddrPort(p.Addr.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return at
}

// toldBy is the request that a question tells of.
func toldBy(req *authv3.CheckRequest) (middleware.Told, error) {
	attributes := req.GetAttributes()
	r := attributes.GetRequest().GetHttp()
	if r == nil {
		return middleware.Told{}, misconfigured(errors.New("extauthzgate: Envoy told of no HTTP request: use the HTTP filter ext_authz, and not that for connections"))
	}
	if r.GetQuery() != "" || r.GetFragment() != "" { // which Envoy leaves empty: the path has all
		return middleware.Told{}, badRequest("query or fragment beside the path")
	}
	header, err := headerOf(r)
	if err != nil {
		return middleware.Told{}, err
	}
	if hidesBytes(r) {
		return middleware.Told{}, badRequest(`the path has "!!", which may stand for bytes that are no UTF-8: set encode_raw_headers`)
	}
	return middleware.Told{
		Method: r.GetMethod(), Host: r.GetHost(), URI: r.GetPath(), Header: header,
		Peer: peerOf(attributes.GetSource()), Certificate: certificateOf(attributes.GetSource()),
	}, nil
}

// headerOf is the header that the client sent, as Go has it.
func headerOf(r *authv3.AttributeContext_HttpRequest) (http.Header, error) {
	header, size, count := http.Header{}, 0, 0
	add := func(name, value string) error {
		key := http.CanonicalHeaderKey(name)
		apart := key == "Authorization" || key == "Dpop" // see the package comment
		if size, count = size+len(name)+len(value), count+1; apart {
			count += strings.Count(value, ",")
		}
		switch {
		case size > MaxHeaderBytes || count > MaxHeaders:
			return badRequest("the header is too large")
		case strings.HasPrefix(name, ":") || strings.EqualFold(name, "host"):
			return agrees(r, name, value)
		case !isToken(name):
			return badRequest("the name of a header field is none")
		case strings.ContainsAny(value, "\r\n\x00"):
			return badRequest("the value of a header field is none")
		case !apart:
			header[key] = append(header[key], value)
			return nil
		}
		for one := range strings.SplitSeq(value, ",") {
			header[key] = append(header[key], strings.Trim(one, " \t"))
		}
		return nil
	}
	if len(r.GetHeaders()) > 0 && len(r.GetHeaderMap().GetHeaders()) > 0 {
		return nil, badRequest("headers and header_map, of which Envoy sends one")
	}
	for _, name := range slices.Sorted(maps.Keys(r.GetHeaders())) { // in a fixed order, for spellings that Go makes one
		if err := add(name, r.GetHeaders()[name]); err != nil {
			return nil, err
		}
	}
	for _, field := range r.GetHeaderMap().GetHeaders() {
		value := field.GetValue()
		if raw := field.GetRawValue(); len(raw) > 0 {
			if value != "" {
				return nil, badRequest("a header field with two values")
			}
			value = string(raw)
		}
		if err := add(field.GetKey(), value); err != nil {
			return nil, err
		}
	}
	return header, nil
}

// agrees refuses a pseudo-header field that says something else than the attribute which was
// decided on: the service gets the former. Of the others, Envoy has :protocol alone, in an
// extended CONNECT, which has no route.
func agrees(r *authv3.AttributeContext_HttpRequest, name, value string) error {
	told, known := map[string]string{":method": r.GetMethod(), ":path": r.GetPath(), ":authority": r.GetHost(), "host": r.GetHost(), ":scheme": r.GetScheme()}[name]
	if known && value == told {
		return nil
	}
	return badRequest("a pseudo-header field that is unknown, or differs from the attribute")
}

// hidesBytes reports a path whose bytes are not known. Envoy tells each byte that is no UTF-8
// as "!", and gives the service the byte. One alone is a letter of an old alphabet at most. Two
// in a row may be a dot or a slash in overlong UTF-8 (RFC 3629 §10), which some services decode.
// A field ":path" of header_map has the bytes, and was compared.
func hidesBytes(r *authv3.AttributeContext_HttpRequest) bool {
	path, _, _ := strings.Cut(r.GetPath(), "?")
	return strings.Contains(path, "!!") && !slices.ContainsFunc(r.GetHeaderMap().GetHeaders(), func(field *corev3.HeaderValue) bool { return field.GetKey() == ":path" })
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// peerOf is who is connected to Envoy; nobody where that has no address and port.
func peerOf(source *authv3.AttributeContext_Peer) netip.AddrPort {
	socket := source.GetAddress().GetSocketAddress()
	address, err := netip.ParseAddr(socket.GetAddress())
	port := socket.GetPortValue()
	if err != nil || port == 0 || port > 1<<16-1 || socket.GetProtocol() != corev3.SocketAddress_TCP && socket.GetProtocol() != corev3.SocketAddress_UDP {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(address, uint16(port))
}

// certificateOf is the client certificate of the connection to Envoy. One that cannot be read
// counts as none: a token that is bound to it is refused then, and others are judged as ever.
func certificateOf(source *authv3.AttributeContext_Peer) *x509.Certificate {
	text := source.GetCertificate()
	if text == "" || len(text) > MaxCertificateBytes {
		return nil
	}
	text, err := url.PathUnescape(text)
	if err != nil {
		return nil
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return certificate
}

func badRequest(what string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest, Detail: "extauthzgate: Envoy told of a request that cannot be used: " + what}
}

func misconfigured(cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: cause}
}
