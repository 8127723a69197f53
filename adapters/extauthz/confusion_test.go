package extauthzgate_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// No request reaches the service as another one than was decided on.
func TestConfusedPaths(t *testing.T) {
	for name, raw := range map[string]bool{"headers": false, "header_map": true} {
		t.Run(name, func(t *testing.T) {
			gate := gateOf(t, kit.Granting(), func(c *middleware.Config) { c.DropAuthorization = true })
			client := dial(t, serverOf(t, confusion.Routes(gate, http.NotFoundHandler())))
			var service confusion.Service
			behind := httptest.NewServer(&service)
			defer behind.Close()
			front := httptest.NewServer(envoy(t, client, behind.URL, raw))
			defer front.Close()
			confusion.Run(t, strings.TrimPrefix(front.URL, "http://"), &service)
		})
	}
}

// With a request that asks for an upgrade, Envoy passes Connection on as it was sent, if it allows
// upgrades. A proxy between it and the service must not take the identity out by it.
func TestAnUpgradeKeepsTheIdentity(t *testing.T) {
	var service confusion.Service
	behind := httptest.NewServer(&service)
	defer behind.Close()
	to, err := url.Parse(behind.URL)
	require.NoError(t, err)
	client := dial(t, serverOf(t, confusion.Routes(gateOf(t, kit.Granting()), http.NotFoundHandler())))
	r := request("GET", "/orders/7", "Authorization: "+kit.With("read"), "Connection: Upgrade, X-Auth-Subject", "Upgrade: websocket")
	res := check(t, client, question(r, true))
	w := httptest.NewRecorder()
	require.True(t, apply(t, res, r, w))
	httputil.NewSingleHostReverseProxy(to).ServeHTTP(w, r)
	require.Equal(t, 200, w.Code)
	require.Equal(t, []string{"u1"}, service.Last().Header["X-Auth-Subject"])
}

// The service believes its identity headers: without what the answer sets and removes, a
// client would say who it is.
func TestTheTableSeesWhatIsNotRemoved(t *testing.T) {
	gate := gateOf(t, kit.Granting())
	client := dial(t, serverOf(t, confusion.Routes(gate, http.NotFoundHandler())))
	res := check(t, client, question(request("GET", "/orders/7", "Authorization: "+kit.With("read"),
		"X-Auth-Subject: root", "X_Auth_Subject: root", "X.Auth-Subject: root", "X_auth.scopes: admin", "X-Original-Url: /admin/x", "X_Forwarded_For: ::1", "X-Forwarded-For: 192.0.2.1"), false))
	ok := res.GetOkResponse()
	require.NotNil(t, ok)
	var set []string
	for _, option := range ok.GetHeaders() {
		set = append(set, option.GetHeader().GetKey()+": "+option.GetHeader().GetValue())
	}
	require.Equal(t, []string{"x-auth-client: c1", "x-auth-scopes: read", "x-auth-subject: u1"}, set)
	require.Equal(t, []string{"forwarded", "x-auth-issuer", "x-forwarded-host", "x-original-url", "x.auth-subject", "x_auth.scopes", "x_auth_client", "x_auth_issuer", "x_auth_scopes", "x_auth_subject", "x_forwarded_for"}, ok.GetHeadersToRemove())
}
