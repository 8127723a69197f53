package authtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// tripper answers in memory, and keeps what it was sent.
type tripper struct {
	answer func(n int, r *http.Request) *http.Response // of the n-th request, from 1

	mu     sync.Mutex // guards the rest
	sent   []*http.Request
	bodies []string
	closed []bool // whether the body of each answer was
	read   []bool // whether it was read to the end
}

func (b *tripper) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent, b.bodies = append(b.sent, r), append(b.bodies, body)
	b.closed, b.read = append(b.closed, false), append(b.read, false)
	resp, n := b.answer(len(b.sent), r), len(b.sent)
	if resp == nil {
		return nil, errors.New("no answer")
	}
	resp.Body = &watched{resp.Body, b, n - 1}
	return resp, nil
}

// watched is the body of the n-th answer, from 0.
type watched struct {
	io.ReadCloser
	by *tripper
	n  int
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil {
		w.by.mu.Lock()
		defer w.by.mu.Unlock()
		w.by.read[w.n] = true
	}
	return n, err
}

func (w *watched) Close() error {
	w.by.mu.Lock()
	defer w.by.mu.Unlock()
	w.by.closed[w.n] = true
	return w.ReadCloser.Close()
}

// responds is an answer with these header fields, in pairs.
func responds(status int, body string, fields ...string) *http.Response {
	header := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		header.Add(fields[i], fields[i+1])
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), ProtoMajor: 1, ProtoMinor: 1}
}

const demand = `DPoP algs="ES256", error="use_dpop_nonce"`

// always answers every request alike.
func always(status int, body string, fields ...string) func(int, *http.Request) *http.Response {
	return func(int, *http.Request) *http.Response { return responds(status, body, fields...) }
}

func token(context.Context) (string, error) { return bound, nil }

func newTransport(t *testing.T, answer func(int, *http.Request) *http.Response) (*authtest.DPoPTransport, *tripper) {
	t.Helper()
	base := &tripper{answer: answer}
	return &authtest.DPoPTransport{Key: newKey(t, "ES256"), Token: token, Base: base}, base
}

// proofOf returns the claims of the one proof of a request, whose signature is good.
func proofOf(t *testing.T, key *authtest.DPoPKey, r *http.Request) map[string]any {
	t.Helper()
	require.Len(t, r.Header.Values("DPoP"), 1)
	proof := r.Header.Get("DPoP")
	requireSigned(t, "ES256", proof, publicKey(t, key.JWK()))
	return claims(t, proof)
}

func TestDPoPTransport(t *testing.T) {
	for _, test := range []struct {
		name, method, url, host string
		authorization           string
		noToken                 bool

		wantMethod, wantURL, wantAuthorization string
		wantHash                               string // the token of ath
	}{
		{name: "GET", url: orders, wantURL: orders, wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "method", method: "PUT", url: orders, wantMethod: "PUT", wantURL: orders, wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "query and fragment", url: orders + "?a=b#c", wantURL: orders, wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "no path", url: "https://api.example.test?a=b", wantURL: "https://api.example.test/", wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "an escaped path", url: "https://api.example.test/a%2Fb", wantURL: "https://api.example.test/a%2Fb", wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "a path to escape", url: "https://api.example.test/ü", wantURL: "https://api.example.test/%C3%BC", wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "a port", url: "http://127.0.0.1:8080/a", wantURL: "http://127.0.0.1:8080/a", wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "a user", url: "https://user:password@api.example.test/a", wantURL: "https://api.example.test/a", wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "another Host", url: "http://127.0.0.1:8080/a", host: "api.example.test", wantURL: "http://api.example.test/a", wantAuthorization: "DPoP " + bound, wantHash: bound},
		{name: "its own DPoP", url: orders, authorization: "dpop  other", wantURL: orders, wantAuthorization: "dpop  other", wantHash: "other"},
		{name: "its own Bearer", url: orders, authorization: "Bearer other", wantURL: orders, wantAuthorization: "Bearer other", wantHash: "other"},
		{name: "its own Basic", url: orders, authorization: "Basic b3RoZXI=", wantURL: orders, wantAuthorization: "Basic b3RoZXI="},
		{name: "no token", url: orders, noToken: true, wantURL: orders},
		{name: "its own without Token", url: orders, noToken: true, authorization: "DPoP other", wantURL: orders, wantAuthorization: "DPoP other", wantHash: "other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			transport, base := newTransport(t, always(200, "fine"))
			if test.noToken {
				transport.Token = nil
			}
			r := request(t, test.method, test.url, "")
			r.Method = test.method // "" is GET, to net/http too
			if test.host != "" {
				r.Host = test.host
			}
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			r.Header.Set("DPoP", "of another request")
			before := r.Clone(t.Context())
			status, body := do(t, transport, r)
			require.Equal(t, 200, status)
			require.Equal(t, "fine", body)
			require.Equal(t, before, r, "the caller's request")
			require.Len(t, base.sent, 1)
			require.Equal(t, test.wantAuthorization, base.sent[0].Header.Get("Authorization"))

			if test.wantMethod == "" {
				test.wantMethod = "GET"
			}
			want := transport.Key.Claims(test.wantMethod, test.wantURL, test.wantHash)
			got := proofOf(t, transport.Key, base.sent[0])
			require.NotEqual(t, want["jti"], got["jti"])
			delete(want, "jti")
			delete(got, "jti")
			delete(want, "iat")
			delete(got, "iat")
			require.Equal(t, want, got)
		})
	}
}

// What demands a nonce is answered once, and nothing else.
func TestDPoPTransportNonce(t *testing.T) {
	challenge := func(fields ...string) func(int, *http.Request) *http.Response {
		header := []string{"DPoP-Nonce", "n-1"}
		for _, field := range fields {
			header = append(header, "WWW-Authenticate", field)
		}
		return always(401, "refused", header...)
	}
	for _, test := range []struct {
		name   string
		answer func(int, *http.Request) *http.Response
		sent   int
	}{
		{name: "demanded", answer: challenge(demand), sent: 2},
		{name: "in any case", answer: challenge(`dpop Error="use_dpop_nonce"`), sent: 2},
		{name: "as a token", answer: challenge(`DPoP error=use_dpop_nonce`), sent: 2},
		{name: "with white space", answer: challenge("DPoP  error = \"use_dpop_nonce\" ,algs=ES256"), sent: 2},
		{name: "with a tab", answer: challenge("DPoP algs=ES256,\terror=\"use_dpop_nonce\""), sent: 2},
		{name: "beside another", answer: challenge(`Bearer realm="a, DPoP b"`, demand), sent: 2},
		{name: "behind another", answer: challenge(`Negotiate, Basic YWJj==, Bearer realm="a \" , b", ` + demand), sent: 2},
		{name: "before another", answer: challenge(demand + `, Bearer error="invalid_token"`), sent: 2},
		{name: "of an authorization server", answer: always(400, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "n-1"), sent: 2},

		{name: "another error", answer: challenge(`DPoP error="invalid_dpop_proof"`), sent: 1},
		{name: "no challenge", answer: challenge(), sent: 1},
		{name: "of another scheme", answer: challenge(`Bearer error="use_dpop_nonce"`), sent: 1},
		{name: "of the scheme behind", answer: challenge(`DPoP algs="ES256", Bearer error="use_dpop_nonce"`), sent: 1},
		{name: "of a bare scheme behind", answer: challenge(`DPoP, Bearer, error="use_dpop_nonce"`), sent: 1},
		{name: "of a bare scheme behind parameters", answer: challenge(`DPoP algs="ES256", Negotiate, error="use_dpop_nonce"`), sent: 1},
		{name: "as another parameter", answer: challenge(`DPoP error_description="use_dpop_nonce"`), sent: 1},
		{name: "in another parameter", answer: challenge(`DPoP error_description="error=\"use_dpop_nonce\", DPoP error=\"use_dpop_nonce\""`), sent: 1},
		{name: "of the field before", answer: challenge("DPoP", `error="use_dpop_nonce"`), sent: 1},
		{name: "no nonce", answer: always(401, "refused", "WWW-Authenticate", demand), sent: 1},
		{name: "two nonces", answer: always(401, "refused", "WWW-Authenticate", demand, "DPoP-Nonce", "n-1", "DPoP-Nonce", "n-2"), sent: 1},
		{name: "a malformed nonce", answer: always(401, "refused", "WWW-Authenticate", demand, "DPoP-Nonce", `n"1`), sent: 1},
		{name: "an empty nonce", answer: always(401, "refused", "WWW-Authenticate", demand, "DPoP-Nonce", ""), sent: 1},
		{name: "of another status", answer: always(403, "refused", "WWW-Authenticate", demand, "DPoP-Nonce", "n-1"), sent: 1},
		{name: "a success", answer: always(200, `{"error":"use_dpop_nonce"}`, "WWW-Authenticate", demand, "DPoP-Nonce", "n-1"), sent: 1},
		{name: "another error of an authorization server", answer: always(400, `{"error":"invalid_request"}`, "DPoP-Nonce", "n-1"), sent: 1},
		{name: "a long answer", answer: always(400, strings.Repeat(" ", 20<<10)+`{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "n-1"), sent: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			transport, base := newTransport(t, test.answer)
			want := test.answer(1, nil)
			wantBody, err := io.ReadAll(want.Body)
			require.NoError(t, err)
			status, body := do(t, transport, request(t, "GET", orders, ""))
			require.Equal(t, want.StatusCode, status, "not sent a third time")
			require.Equal(t, string(wantBody), body)
			require.Len(t, base.sent, test.sent)
			first := proofOf(t, transport.Key, base.sent[0])
			require.NotContains(t, first, "nonce")
			require.True(t, base.closed[0])
			if test.sent == 2 {
				require.True(t, base.read[0], "so that its connection can be used again")
				second := proofOf(t, transport.Key, base.sent[1])
				require.Equal(t, "n-1", second["nonce"])
				require.NotEqual(t, first["jti"], second["jti"])
				require.Equal(t, "DPoP "+bound, base.sent[1].Header.Get("Authorization"))
			}
		})
	}
}

// readerOnce is a body that net/http does not know how to send again.
type readerOnce struct{ io.Reader }

func TestDPoPTransportSendsBodiesAgain(t *testing.T) {
	answer := func(n int, _ *http.Request) *http.Response {
		if n == 1 {
			return responds(401, "refused", "WWW-Authenticate", demand, "DPoP-Nonce", "n-1")
		}
		return responds(200, "fine")
	}
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		bodies []string
		status int
	}{
		{name: "GetBody", change: func(*http.Request) {}, bodies: []string{"order", "order"}, status: 200},
		{name: "no body", change: func(r *http.Request) { r.Body, r.GetBody = nil, nil }, bodies: []string{"", ""}, status: 200},
		{name: "http.NoBody", change: func(r *http.Request) { r.Body, r.GetBody = http.NoBody, nil }, bodies: []string{"", ""}, status: 200},
		{name: "no GetBody", change: func(r *http.Request) { r.GetBody = nil }, bodies: []string{"order"}, status: 401},
		{name: "a stream", change: func(r *http.Request) {
			r.Body, r.GetBody = io.NopCloser(readerOnce{strings.NewReader("order")}), nil
		}, bodies: []string{"order"}, status: 401},
		{name: "a GetBody that fails", change: func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		}, bodies: []string{"order"}, status: 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			transport, base := newTransport(t, answer)
			r := request(t, "POST", orders, "order")
			test.change(r)
			status, body := do(t, transport, r)
			require.Equal(t, test.status, status)
			require.Equal(t, map[int]string{200: "fine", 401: "refused"}[status], body)
			require.Equal(t, test.bodies, base.bodies)
			for i := range base.sent {
				require.True(t, base.closed[i])
			}
			// The nonce is kept all the same: the next request has it.
			status, _ = do(t, transport, request(t, "GET", orders, ""))
			require.Equal(t, 200, status)
			require.Equal(t, "n-1", proofOf(t, transport.Key, base.sent[len(base.sent)-1])["nonce"])
		})
	}
}

func TestDPoPTransportKeepsTheLatestNonceOfEachOrigin(t *testing.T) {
	transport, base := newTransport(t, nil)
	for i, step := range []struct {
		name, url, host string
		status          int
		gives           []string
		sends           any // the nonce of the proof
	}{
		{name: "the first", url: "https://a.example.test/x", status: 200, gives: []string{"a-1"}},
		{name: "from a 200", url: "https://a.example.test/y", status: 200, sends: "a-1"},
		{name: "none is no news", url: "https://A.example.test:443/", status: 200, gives: []string{"a-2"}, sends: "a-1"},
		{name: "the latest", url: "https://a.example.test", status: 401, gives: []string{"a-3"}, sends: "a-2"},
		{name: "from a 401", url: "https://a.example.test", status: 503, gives: []string{"a-4"}, sends: "a-3"},
		{name: "another port", url: "https://a.example.test:8443/", status: 200, gives: []string{"p-1"}},
		{name: "another scheme", url: "http://a.example.test/", status: 200, gives: []string{"s-1"}},
		{name: "another scheme at the same port", url: "http://a.example.test:8443/", status: 200, gives: []string{"q-1"}},
		{name: "another host", url: "https://b.example.test/", status: 200, gives: []string{"b-1"}},
		{name: "a malformed one is none", url: "https://a.example.test/", status: 200, gives: []string{"a b"}, sends: "a-4"},
		{name: "two are none", url: "https://a.example.test/", status: 200, gives: []string{"a-5", "a-6"}, sends: "a-4"},
		{name: "the first origin again", url: "https://a.example.test/", status: 200, sends: "a-4"},
		{name: "the host of the request", url: "https://127.0.0.1/", host: "b.example.test", status: 200, sends: "b-1"},
		{name: "the other port again", url: "https://a.example.test:8443/", status: 200, sends: "p-1"},
		{name: "the other scheme again", url: "http://a.example.test:80/", status: 200, sends: "s-1"},
	} {
		base.answer = func(int, *http.Request) *http.Response {
			resp := responds(step.status, "")
			resp.Header["Dpop-Nonce"] = step.gives
			return resp
		}
		r := request(t, "GET", step.url, "")
		if step.host != "" {
			r.Host = step.host
		}
		status, _ := do(t, transport, r)
		require.Equal(t, step.status, status, step.name)
		require.Len(t, base.sent, i+1, step.name)
		require.Equal(t, step.sends, proofOf(t, transport.Key, base.sent[i])["nonce"], step.name)
	}
}

// closing is a body that says whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestDPoPTransportErrors(t *testing.T) {
	lost := errors.New("lost")
	for _, test := range []struct {
		name   string
		change func(*authtest.DPoPTransport, *http.Request)
		want   string
	}{
		{name: "no key", change: func(c *authtest.DPoPTransport, _ *http.Request) { c.Key = nil }, want: "NewDPoPKey"},
		{name: "no key, no body", change: func(c *authtest.DPoPTransport, r *http.Request) { c.Key, r.Body = nil, nil }, want: "NewDPoPKey"},
		{name: "no token", change: func(c *authtest.DPoPTransport, _ *http.Request) {
			c.Token = func(context.Context) (string, error) { return "", lost }
		}, want: "DPoPTransport.Token: lost"},
		{name: "no URL", change: func(_ *authtest.DPoPTransport, r *http.Request) { r.URL = nil }, want: "no URL"},
		{name: "no answer", change: func(c *authtest.DPoPTransport, _ *http.Request) {
			c.Base = &tripper{answer: func(int, *http.Request) *http.Response { return nil }}
		}, want: "no answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			transport, base := newTransport(t, always(200, ""))
			r := request(t, "POST", orders, "order")
			body := &closing{Reader: strings.NewReader("order")}
			r.Body = body
			test.change(transport, r)
			resp, err := transport.RoundTrip(r)
			if resp != nil {
				require.NoError(t, resp.Body.Close())
			}
			require.Nil(t, resp)
			require.ErrorContains(t, err, test.want)
			require.Equal(t, r.Body != nil, body.closed)
			require.Empty(t, base.sent)
		})
	}
	transport, _ := newTransport(t, always(200, ""))
	transport.Token = func(context.Context) (string, error) { return "", lost }
	_, err := transport.RoundTrip(request(t, "GET", orders, ""))
	require.ErrorIs(t, err, lost)

	// There is no answer to the request that is sent again.
	transport, _ = newTransport(t, func(n int, _ *http.Request) *http.Response {
		if n == 2 {
			return nil
		}
		return responds(401, "", "WWW-Authenticate", demand, "DPoP-Nonce", "n-1")
	})
	resp, err := transport.RoundTrip(request(t, "GET", orders, ""))
	if resp != nil {
		require.NoError(t, resp.Body.Close())
	}
	require.Nil(t, resp)
	require.ErrorContains(t, err, "no answer")

	// A request that was not made by net/http may have no header.
	transport, base := newTransport(t, always(200, ""))
	r := request(t, "GET", orders, "")
	r.Header = nil
	status, _ := do(t, transport, r)
	require.Equal(t, 200, status)
	require.Nil(t, r.Header)
	require.Equal(t, "DPoP "+bound, base.sent[0].Header.Get("Authorization"))
}

// A token function is asked once for a request, with its context, and not if there is an
// Authorization.
func TestDPoPTransportToken(t *testing.T) {
	transport, base := newTransport(t, always(401, "", "WWW-Authenticate", demand, "DPoP-Nonce", "n-1"))
	type name struct{}
	asked := 0
	transport.Token = func(ctx context.Context) (string, error) {
		asked++
		return fmt.Sprint(ctx.Value(name{}), "-", asked), nil
	}
	r := request(t, "GET", orders, "")
	do(t, transport, r.WithContext(context.WithValue(t.Context(), name{}, "t")))
	require.Equal(t, 1, asked)
	require.Len(t, base.sent, 2)
	for _, sent := range base.sent {
		require.Equal(t, "DPoP t-1", sent.Header.Get("Authorization"))
	}
	r.Header.Set("Authorization", "")
	do(t, transport, r)
	require.Equal(t, 1, asked)
	require.Equal(t, []string{""}, base.sent[2].Header.Values("Authorization"))
}

// A client gets a token that is bound to its key from a server that demands a nonce, by
// nothing but its transport, on TCP.
func TestDPoPTransportAtTheTokenEndpoint(t *testing.T) {
	as, err := authtest.Start(authtest.WithDPoPNonce("n-1"), authtest.WithClient("shop", "x"))
	require.NoError(t, err)
	defer as.Close()
	key := newKey(t, "ES256")
	client := as.Client()
	client.Transport = &authtest.DPoPTransport{Key: key, Base: client.Transport}
	for requests := 2; requests < 4; requests++ { // the second time it has the nonce
		r := request(t, "POST", as.URL("/token"), url.Values{"grant_type": {"client_credentials"}}.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("shop", "x")
		resp, err := client.Do(r)
		require.NoError(t, err)
		var got struct {
			Token string `json:"access_token"`
			Type  string `json:"token_type"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&got))
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "DPoP", got.Type)
		require.Equal(t, map[string]any{"jkt": key.Thumbprint()}, claims(t, got.Token)["cnf"])
		require.Equal(t, requests, as.Requests("/token"))
	}
}

// A client needs nothing but its transport at an API whose gate checks DPoP and demands
// nonces: the token comes from the token endpoint, bound to its key. Who has the token and
// another key stays out.
func TestDPoPTransportAtAGate(t *testing.T) {
	as := authtest.New(t)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), Confirmations: []string{"jkt"}})
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(nil)
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("n", 32))}})
	require.NoError(t, err)
	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{"http://" + server.Listener.Addr().String()}, Nonces: nonces})
	require.NoError(t, err)
	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{proofs}, RequireBinding: true})
	require.NoError(t, err)
	router := gate.NewRouter()
	var entered atomic.Int32
	router.Handle("/orders/{id...}", scope.All("orders:read"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered.Add(1) }))
	server.Config.Handler = kit.Built(t, router)
	server.Start()
	defer server.Close()

	key, thief := newKey(t, "ES256"), newKey(t, "ES256")
	atTheServer := &http.Client{Transport: &authtest.DPoPTransport{Key: key, Base: as.Client().Transport}}
	resp, err := atTheServer.PostForm(as.URL("/token"), url.Values{"grant_type": {"client_credentials"}, "client_id": {"shop"}, "scope": {"orders:read"}})
	require.NoError(t, err)
	var issued struct {
		Token string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&issued))
	require.NoError(t, resp.Body.Close())

	for _, test := range []struct {
		name, authorization string
		key                 *authtest.DPoPKey
		want                int
	}{
		{name: "the key of the token", key: key, want: 200},
		{name: "another key", key: thief, want: 401},
		{name: "under Bearer", key: key, authorization: "Bearer " + issued.Token, want: 401},
		{name: "a token that is not bound", key: key, authorization: "Bearer " + as.Token(authtest.Claims{Scopes: scope.Of("orders:read")}), want: 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := entered.Load()
			transport := &authtest.DPoPTransport{Key: test.key, Base: server.Client().Transport,
				Token: func(context.Context) (string, error) { return issued.Token, nil }}
			for _, path := range []string{"/orders/1", "/orders/a%2Fb?page=2"} {
				for _, method := range []string{"GET", "POST"} {
					r := request(t, method, server.URL+path, map[string]string{"POST": "order"}[method])
					if test.authorization != "" {
						r.Header.Set("Authorization", test.authorization)
					}
					status, _ := do(t, transport, r)
					require.Equal(t, test.want, status, method+" "+path)
				}
			}
			require.Equal(t, map[int]int32{200: 4, 401: 0}[test.want], entered.Load()-before)
		})
	}
}

// Many requests at once, to a server that changes its nonce with every answer and takes
// each proof once.
func TestDPoPTransportConcurrently(t *testing.T) {
	const clients, each = 8, 20
	key := newKey(t, "ES256")
	pub := publicKey(t, key.JWK())
	var (
		mu     sync.Mutex // guards the rest
		seen   = map[any]bool{}
		given  = map[any]bool{}
		faults []string
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proof := r.Header.Get("DPoP")
		requireSigned(t, "ES256", proof, pub)
		data, err := decodePart(proof, 1)
		var c map[string]any
		if err != nil || json.Unmarshal(data, &c) != nil {
			c = nil
		}
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || string(body) != "order" || c["htm"] != "POST" || c["htu"] != "http://"+r.Host+r.URL.Path || seen[c["jti"]] {
			faults = append(faults, proof)
		}
		seen[c["jti"]] = true
		nonce := fmt.Sprint("n-", len(given))
		w.Header().Set("DPoP-Nonce", nonce)
		if !given[c["nonce"]] {
			w.Header().Set("WWW-Authenticate", demand)
			w.WriteHeader(http.StatusUnauthorized)
		}
		given[nonce] = true
	}))
	defer server.Close()
	client := &http.Client{Transport: &authtest.DPoPTransport{Key: key, Token: token}} // by http.DefaultTransport
	statuses := make(chan int, clients*each)
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			for range each {
				r, err := http.NewRequestWithContext(t.Context(), "POST", fmt.Sprint(server.URL, "/", n), strings.NewReader("order"))
				if err != nil {
					return
				}
				resp, err := client.Do(r)
				if err != nil {
					return
				}
				_ = resp.Body.Close()
				statuses <- resp.StatusCode
			}
		})
	}
	all.Wait()
	close(statuses)
	ended := 0
	for status := range statuses {
		require.Equal(t, http.StatusOK, status)
		ended++
	}
	require.Equal(t, clients*each, ended)
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, faults)
}
