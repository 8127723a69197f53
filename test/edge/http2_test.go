package edge_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// sendFields sends one request over HTTP/2, field for field, and returns the status; "" if the
// stream or the connection was ended instead.
func sendFields(t *testing.T, at string, fields [][2]string) string {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", at)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, framer.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}))
	status := ""
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
			return status
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if status = f.PseudoValue("status"); f.StreamEnded() {
				return status
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return status
		}
	}
}

// HTTP/2 has the request line in fields, and no text around them: what a client writes there
// must not become another request on the way to the service, which is HTTP/1.1.
func TestConfusedRequestsOverHTTP2(t *testing.T) {
	with := func(method, authority, path string, more ...[2]string) [][2]string {
		fields := [][2]string{{":method", method}, {":scheme", "http"}, {":authority", authority}, {":path", path}}
		return append(append(fields, more...), [2]string{"authorization", kit.With(confusion.Scopes)})
	}
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			gate := gateOf(t, kit.Granting())
			var service confusion.Service
			behind := httptest.NewServer(&service)
			defer behind.Close()
			var own string
			both := p
			both.change = func(dir, config string) string {
				old, added := "auto_https off", "\nservers {\nprotocols h1 h2c\n}"
				if p.name == middleware.Nginx {
					own = freeAddress(t)
					old, added = "server_name api.example.com;", "\nlisten "+own+" http2;"
				}
				require.Contains(t, config, old)
				return p.change(dir, strings.Replace(config, old, old+added, 1))
			}
			at := front(t, both, authorizer(t, p.name, confusion.Routes(gate, http.NotFoundHandler()), gate).URL, behind.URL)
			if own != "" {
				at = own
			}
			for _, tt := range []struct {
				name   string
				fields [][2]string
				opens  bool
				either bool // one program refuses it, the other reads it in one way
			}{
				{name: "public", fields: with("GET", confusion.Host, "/public/x"), opens: true},
				{name: "an order", fields: with("GET", confusion.Host, "/orders/7"), opens: true},
				{name: "admin", fields: with("GET", confusion.Host, "/admin/x")},
				{name: "another host", fields: with("GET", confusion.Internal, "/public/x")},
				{name: "another Host beside it", fields: with("GET", confusion.Host, "/public/x", [2]string{"host", confusion.Internal}), either: true},
				{name: "another authority beside Host", fields: with("GET", confusion.Internal, "/public/x", [2]string{"host", confusion.Host})},
				{name: "a user in the authority", fields: with("GET", confusion.Host+"@"+confusion.Internal, "/public/x")},
				{name: "a path in the authority", fields: with("GET", confusion.Internal+"/x", "/public/x")},
				{name: "dot segments", fields: with("GET", confusion.Host, "/public/../admin/x")},
				{name: "an encoded slash and a bar", fields: with("GET", confusion.Host, "/public%2f..%2fadmin/|")},
				{name: "two slashes", fields: with("GET", confusion.Host, "//"+confusion.Internal+"/x")},
				{name: "a fragment", fields: with("GET", confusion.Host, "/admin/x#/../../public/x")},
				{name: "an absolute URI of another host", fields: with("GET", confusion.Internal, "http://"+confusion.Host+"/admin/x")},
				{name: "no slash", fields: with("GET", confusion.Host, "admin/x")},
				{name: "no path", fields: with("GET", confusion.Host, "")},
				{name: "a line break in the path", fields: with("GET", confusion.Host, "/public/x HTTP/1.1\r\nX-Auth-Subject: root")},
				{name: "a line break in the method", fields: with("GET /admin/x HTTP/1.1\r\nX: ", confusion.Host, "/public/x")},
				{name: "a line break in a field", fields: with("GET", confusion.Host, "/orders/7", [2]string{"x-a", "b\r\nX-Auth-Subject: root"})},
				{name: "two methods", fields: append([][2]string{{":method", "DELETE"}}, with("GET", confusion.Host, "/orders/7")...)},
				{name: "two paths", fields: append([][2]string{{":path", "/admin/x"}}, with("GET", confusion.Host, "/public/x")...)},
				{name: "a method in small letters", fields: with("delete", confusion.Host, "/orders/7")},
				{name: "CONNECT", fields: [][2]string{{":method", "CONNECT"}, {":authority", confusion.Internal + ":443"}}},
				{name: "a WebSocket", fields: append([][2]string{{":protocol", "websocket"}}, with("CONNECT", confusion.Host, "/public/x")...)},
				{name: "forged", fields: with("GET", confusion.Host, "/orders/7", [2]string{"x-auth-subject", "root"}, [2]string{"x_auth_subject", "root"}, [2]string{"x.auth.subject", "root"}), opens: true},
				{name: "Connection", fields: with("GET", confusion.Host, "/orders/7", [2]string{"connection", "x-auth-subject"}), either: true},
				{name: "Transfer-Encoding", fields: with("POST", confusion.Host, "/public/x", [2]string{"transfer-encoding", "chunked"}), either: true},
			} {
				t.Run(tt.name, func(t *testing.T) {
					before := service.Count()
					status := sendFields(t, at, tt.fields)
					require.Empty(t, service.Wrongs(), "answer %q", status)
					reached := service.Count() - before
					switch {
					case tt.opens:
						require.Equal(t, "200", status)
						require.Equal(t, 1, reached)
					case !tt.either:
						require.NotEqual(t, "200", status)
						require.Zero(t, reached, "the service was reached")
					}
					if reached == 1 && service.Last().URL.Path == "/orders/7" {
						require.Equal(t, "u1", service.Last().Header.Get("X-Auth-Subject"))
					}
				})
			}
		})
	}
}
