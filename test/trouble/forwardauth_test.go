package trouble_test

import (
	"net/http"
	"net/http/httptest"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
)

// byForwardAuth has Caddy at 10.1.2.3 ask about the request.
func byForwardAuth(y *try) {
	y.forward = &middleware.ForwardAuthConfig{Proxy: middleware.Caddy, Trusted: proxies}
	y.peer = "10.1.2.3:40312"
	asks("X-Forwarded-Method", "GET", "X-Forwarded-Host", "api.example.test", "X-Forwarded-Uri", "/orders")(y)
}

// asks has the proxy set these fields in its question.
func asks(fields ...string) func(*try) {
	return func(y *try) {
		y.send = func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
			q := httptest.NewRequestWithContext(r.Context(), http.MethodGet, "http://127.0.0.1:9000/forward-auth", nil)
			q.RemoteAddr = y.peer
			q.Header["Authorization"] = r.Header["Authorization"]
			for i := 0; i < len(fields); i += 2 {
				q.Header.Add(fields[i], fields[i+1])
			}
			return once(h, q)
		}
	}
}

func forwardAuth() area {
	method, host, uri := "X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Uri"
	mended := asks(method, "GET", host, "api.example.test", uri, "/orders")
	return area{
		title: "A proxy that asks",
		about: "The proxy asks `Router.ForwardAuth` and gets no answer that it could pass a request on with. It is Caddy at 10.1.2.3, unless the title says otherwise. Explain knows nothing of the proxy: ask it about the request itself. [proxies.md](proxies.md) says how each proxy is set up.",
		base:  byForwardAuth,
		rows: []row{
			{
				title: "The proxy that asks is not in Trusted", status: http.StatusForbidden, reason: bearergate.ReasonPolicy, byBinding: true,
				wrong: peerIs("172.17.0.5:40312"), mended: "Trusted has the network of the proxy.", mend: peerIs("10.1.2.3:40312"),
				advice: "Add the network that the proxy connects from, if it was the proxy: in containers, that of the container and not that of the machine. The proxy has to connect over TCP, and nothing may rewrite RemoteAddr. Whoever else asks gets this answer for good.",
			},
			{
				title: "The proxy is Caddy, and Proxy is Nginx", status: http.StatusInternalServerError, reason: bearergate.ReasonConfig, byBinding: true,
				wrong:  asks("X-Original-Method", "GET", "X-Original-Host", "api.example.test", "X-Original-Uri", "/orders"),
				mended: "Proxy is that of the proxy that asks.", mend: mended,
				advice: "The proxy sets other fields than this Proxy reads. Do not make it set both: a client could choose the one that the proxy leaves out.",
			},
			{
				title: "The proxy adds its field to that of the client", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest, byBinding: true,
				wrong:  asks(method, "GET", host, "api.example.test", uri, "/health", uri, "/orders"),
				mended: "The proxy replaces it.", mend: mended,
				advice: "The proxy has passed on what its client sent under this name, and added its own: have it replace the field (header_up in Caddy and proxy_set_header in nginx do, as long as they have no + before the name).",
			},
			{
				title: "The proxy tells the whole URL", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest, byBinding: true,
				wrong:  asks(method, "GET", host, "api.example.test", uri, "https://api.example.test/orders"),
				mended: "It tells path and query.", mend: mended,
				advice: "The field has to hold path and query as the client sent them: $request_uri of nginx, {http.request.uri} of Caddy.",
			},
		},
	}
}
