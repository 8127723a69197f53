package extauthzgate_test

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/bearergate/bearergate"
	extauthzgate "github.com/bearergate/bearergate/adapters/extauthz"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/kit"
)

// docs/proxies.md has each wrong set-up with Envoy, in the words of its event and with the
// status that it answers. What is mended opens.
func TestTrouble(t *testing.T) {
	text, err := os.ReadFile("../../docs/proxies.md")
	require.NoError(t, err)
	_, page, found := strings.Cut(string(text), "\n### When Envoy gets no request through\n")
	require.True(t, found)
	page, _, _ = strings.Cut(page, "\n## ")

	certificate, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	told := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})))
	verifier := bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		claims := bearergate.Claims{Subject: "u1"}
		if raw == "bound" {
			claims.Confirmation = map[string][]byte{"x5t#S256": []byte(`"` + thumbprint(certificate) + `"`)}
		}
		return bearergate.NewToken(claims), nil
	})

	asked := func(target, token string, raw bool) *authv3.CheckRequest {
		return question(request(http.MethodGet, target, "Authorization: Bearer "+token), raw)
	}
	rows := 0
	for _, tt := range []struct {
		name         string
		from         string // loopback if empty
		wrong, right *authv3.CheckRequest
		status       int
		says         string // by the event; none comes if it is empty
		row          string // of the page, if not what is said
	}{
		{name: "Envoy is not in Trusted", from: "10.1.2.3:4711", wrong: asked("/orders/7", "free", true), right: asked("/orders/7", "free", true), status: 403,
			says: "extauthzgate was asked by somebody who is not in Config.Trusted: add the address that Envoy connects from, if it was Envoy"},
		{name: "the filter for connections", wrong: &authv3.CheckRequest{}, right: asked("/orders/7", "free", true), status: 500,
			says: "Envoy told of no HTTP request: use the HTTP filter ext_authz, and not that for connections"},
		{name: "bytes that are no UTF-8, without encode_raw_headers", wrong: asked("/orders/a!!b", "free", false), right: asked("/orders/a!!b", "free", true), status: 400,
			says: `the path has "!!", which may stand for bytes that are no UTF-8: set encode_raw_headers`},
		{name: "a filter before it changes the path", wrong: changedBefore(asked("/orders/7", "free", true)), right: asked("/orders/7", "free", true), status: 400,
			says: "a pseudo-header field that is unknown, or differs from the attribute"},
		{name: "a path that is not normalized", wrong: asked("/public/../orders/7", "free", true), right: asked("/orders/7", "free", true), status: 400,
			row: "| 400 | nothing: no route was looked for |"},
		{name: "no include_peer_certificate", wrong: asked("/orders/7", "bound", true), right: withCertificate(asked("/orders/7", "bound", true), told), status: 401,
			says: "the proxy that asks told no client certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var event middleware.DecisionEvent
			gate := gateOf(t, verifier, func(c *middleware.Config) {
				certificates, err := mtls.New(mtls.Config{Told: true})
				require.NoError(t, err)
				c.Bindings = []bearergate.Binding{certificates}
				c.Hooks.Decided = func(_ context.Context, e middleware.DecisionEvent) { event = e }
			})
			rt := gate.NewRouter()
			rt.Authenticated("GET /orders/{id}", http.NotFoundHandler())
			s := serverOf(t, rt)
			from := tt.from
			if from == "" {
				from = "127.0.0.1:4000"
			}
			res := askFrom(t.Context(), t, s, from, tt.wrong)
			require.EqualValues(t, tt.status, res.GetDeniedResponse().GetStatus().GetCode())
			if tt.says == "" {
				require.Zero(t, event)
				require.Contains(t, page, tt.row)
			} else {
				require.ErrorContains(t, event.Err, tt.says)
				require.Contains(t, page, "`"+tt.says+"`")
			}
			require.Equal(t, int32(codes.OK), ask(t.Context(), t, s, tt.right).GetStatus().GetCode())
		})
		rows++
	}

	t.Run("Direct", func(t *testing.T) {
		direct, err := mtls.New(mtls.Config{Direct: true})
		require.NoError(t, err)
		rt := gateOf(t, kit.Granting(), func(c *middleware.Config) { c.Bindings = []bearergate.Binding{direct} }).NewRouter()
		rt.Authenticated("/", http.NotFoundHandler())
		_, err = extauthzgate.New(rt, extauthzgate.Config{Trusted: loopback})
		const says = "binding 1 reads the client certificate of the connection"
		require.ErrorContains(t, err, says)
		require.Contains(t, page, "`"+says)
	})
	rows++
	require.Equal(t, rows+2, strings.Count(page, "\n|")-2, "rows without a case; two are of Envoy alone")
}

// changedBefore is a question in which a filter has changed the header field after the
// attribute was made.
func changedBefore(req *authv3.CheckRequest) *authv3.CheckRequest {
	for _, field := range req.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		if field.GetKey() == ":path" {
			field.RawValue = []byte("/public/x")
		}
	}
	return req
}

func withCertificate(req *authv3.CheckRequest, told string) *authv3.CheckRequest {
	req.Attributes.Source.Certificate = told
	return req
}
