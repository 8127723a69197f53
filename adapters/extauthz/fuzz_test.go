package extauthzgate_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// Whatever a question is: the answer is whole and can be sent, and a request that may pass is
// one that Handler serves, with no header left that says who calls.
func FuzzCheckRequest(f *testing.F) {
	seed := func(r *http.Request, raw bool) {
		b, err := proto.Marshal(question(r, raw))
		require.NoError(f, err)
		f.Add(b)
	}
	for _, row := range confusion.Requests() {
		method, host := row.Method, row.Host
		if method == "" {
			method = http.MethodGet
		}
		if host == "" {
			host = confusion.Host
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Method, r.RequestURI, r.Host = method, row.Target, host
		if !row.Anonymous {
			r.Header.Set("Authorization", kit.With("read"))
		}
		for _, line := range row.Lines {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Add(name, value)
			}
		}
		seed(r, len(row.Name)%2 == 0)
	}
	f.Add([]byte{})
	routes := func() *middleware.Router {
		return confusion.Routes(gateOf(f, kit.Granting()), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	s, handler := serverOf(f, routes()), kit.Built(f, routes())
	f.Fuzz(func(t *testing.T, b []byte) {
		req := &authv3.CheckRequest{}
		if proto.Unmarshal(b, req) != nil {
			return
		}
		res := ask(t.Context(), t, s, req)
		_, err := proto.Marshal(res)
		require.NoError(t, err)
		if res.GetStatus().GetCode() != int32(codes.OK) {
			status := int(res.GetDeniedResponse().GetStatus().GetCode())
			require.Contains(t, []int{400, 401, 403, 404, 405, 500}, status)
			require.NotEmpty(t, headerOf(res.GetDeniedResponse().GetHeaders()).Get("Cache-Control"))
			return
		}
		told := req.GetAttributes().GetRequest().GetHttp()
		raw := told.GetMethod() + " " + told.GetPath() + " HTTP/1.1\r\nHost: " + told.GetHost() + "\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(raw))))
		require.NoError(t, err, "a server cannot read what was let pass: %q", raw)
		for _, field := range told.GetHeaderMap().GetHeaders() {
			name, value := field.GetKey(), field.GetValue()
			if len(field.GetRawValue()) > 0 {
				value = string(field.GetRawValue())
			}
			r.Header.Add(name, value)
		}
		for name, value := range told.GetHeaders() {
			r.Header.Add(name, value)
		}
		served := httptest.NewRecorder()
		handler.ServeHTTP(served, r)
		require.Equal(t, 200, served.Code, "%q", raw)
		set, removed := headerOf(res.GetOkResponse().GetHeaders()), res.GetOkResponse().GetHeadersToRemove()
		for name := range r.Header {
			if isIdentity(name) {
				require.True(t, set.Get(name) != "" || slices.Contains(removed, strings.ToLower(name)), "%q stays", name)
			}
		}
		for option := range strings.SplitSeq(strings.Join(r.Header["Connection"], ","), ",") {
			if isIdentity(strings.TrimSpace(option)) {
				require.Contains(t, removed, "connection", "%q is for the next recipient to remove", option)
			}
		}
	})
}

// isIdentity reports a name that a service may take for a header of confusion.Identity.
func isIdentity(name string) bool {
	plain := strings.Map(func(c rune) rune {
		if c < '0' || '9' < c && c < 'A' || 'Z' < c && c < 'a' || 'z' < c {
			return '-'
		}
		return c
	}, strings.ToLower(name))
	return slices.Contains([]string{"x-auth-issuer", "x-auth-subject", "x-auth-client", "x-auth-scopes"}, plain)
}
