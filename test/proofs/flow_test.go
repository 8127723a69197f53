package proofs_test

import (
	"cmp"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

// valid is the first row.
var valid = proofs.Row{Name: "valid"}

// A client that is told to use a nonce, and does.
func TestNonceOverHTTP(t *testing.T) {
	made := jwts(t)
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("n", 32))}})
	require.NoError(t, err)
	a := serve(t, made.verifier, dpop.Config{Nonces: nonces})
	s := proofs.NewScene(t, "GET", a.URL+"/a/b")
	s.Token = made.issue(t, valid.Cnf(s))

	sent := valid.Make(s)
	res, body := send(t, s, sent)
	requireRefused(t, res, body, sent, bearergate.ReasonNonce)
	require.Zero(t, a.entered.Load())

	sent = proofs.Row{Claims: map[string]any{"nonce": res.Header.Get("DPoP-Nonce")}}.Make(s)
	res, body = send(t, s, sent)
	require.Equal(t, 200, res.StatusCode, body)
	require.Empty(t, res.Header.Values("DPoP-Nonce"), "the one it has is new")
	res, body = send(t, s, sent)
	requireRefused(t, res, body, sent, bearergate.ReasonReplay)
	require.EqualValues(t, 1, a.entered.Load())

	// W2-114: a stranger learns no nonce.
	s.Token = "not.a.token"
	res, _ = send(t, s, valid.Make(s))
	require.Equal(t, 401, res.StatusCode)
	require.Contains(t, challenges(t, res)["DPoP"], `error="invalid_token"`)
	require.Empty(t, res.Header.Values("DPoP-Nonce"))
}

// Where nonces are offered, a 200 brings one, and nobody stores it.
//
// req: R9449-22
func TestOfferOverHTTP(t *testing.T) {
	made := jwts(t)
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("n", 32))}, Offer: true})
	require.NoError(t, err)
	a := serve(t, made.verifier, dpop.Config{Nonces: nonces})
	s := proofs.NewScene(t, "GET", a.URL+"/a/b")
	s.Token = made.issue(t, valid.Cnf(s))
	res, body := send(t, s, valid.Make(s))
	require.Equal(t, 200, res.StatusCode, body)
	require.Len(t, res.Header.Values("DPoP-Nonce"), 1)
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
}

// A proof is used up by the request that it was right for, whatever became of that.
//
// W2-151.
func TestUsedUp(t *testing.T) {
	made := jwts(t)
	a := serve(t, made.verifier, dpop.Config{})
	s := proofs.NewScene(t, "GET", a.URL+"/write")
	s.Token = made.issue(t, valid.Cnf(s))
	sent := valid.Make(s)
	res, _ := send(t, s, sent)
	require.Equal(t, 403, res.StatusCode)
	found := challenges(t, res)
	require.Contains(t, found["DPoP"], `error="insufficient_scope"`)
	require.Contains(t, found["DPoP"], `scope="write"`)
	require.NotContains(t, found["Bearer"], "error")
	res, body := send(t, s, sent)
	requireRefused(t, res, body, sent, bearergate.ReasonReplay)
	require.Zero(t, a.entered.Load())
}

// On a route for strangers too, whoever sends a proof has to be right: nobody with DPoP
// credentials is served as a stranger.
func TestOptional(t *testing.T) {
	made := jwts(t)
	a := serve(t, made.verifier, dpop.Config{})
	s := proofs.NewScene(t, "GET", a.URL+"/optional")
	for _, tc := range []struct {
		name string
		row  proofs.Row
	}{
		{name: "valid", row: valid},
		{name: "no proof", row: proofs.Row{Change: func(_ proofs.Scene, sent *proofs.Sent) { sent.Proofs = nil }, Want: bearergate.ReasonProof}},
		{name: "a wrong proof", row: proofs.Row{Claims: map[string]any{"htm": "PUT"}, Want: bearergate.ReasonProof}},
		{name: "another key", row: proofs.Row{Bound: func(s proofs.Scene) map[string]any { return map[string]any{"jkt": s.Other.Thumbprint} }, Want: bearergate.ReasonBinding}},
		{name: "as Bearer", row: proofs.Row{Change: func(_ proofs.Scene, sent *proofs.Sent) { sent.Scheme = "Bearer" }, Want: bearergate.ReasonBinding}},
	} {
		s.Token = made.issue(t, tc.row.Cnf(s))
		before := a.entered.Load()
		sent := tc.row.Make(s)
		res, body := send(t, s, sent)
		if tc.row.Want == "" {
			require.Equal(t, 200, res.StatusCode, body)
			require.True(t, a.known.Load().Proven())
			continue
		}
		requireRefused(t, res, body, sent, tc.row.Want)
		require.Equal(t, before, a.entered.Load(), tc.name)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	require.NoError(t, err)
	res, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, 200, res.StatusCode, "a stranger")
	require.Nil(t, a.known.Load())
}

// A route that demands a bound token takes no other.
//
// req: FAPI2-03
func TestBoundRoute(t *testing.T) {
	made := jwts(t)
	a := serve(t, made.verifier, dpop.Config{})
	s := proofs.NewScene(t, "GET", a.URL+"/bound")
	s.Token = made.issue(t, valid.Cnf(s))
	res, body := send(t, s, valid.Make(s))
	require.Equal(t, 200, res.StatusCode, body)
	s.Token = made.issue(t, nil)
	sent := proofs.Sent{Scheme: "Bearer", Token: s.Token, Proofs: valid.Make(s).Proofs}
	res, body = send(t, s, sent)
	requireRefused(t, res, body, sent, bearergate.ReasonBinding)
}

// What is compared is the request as it was sent, whatever a handler in front has made of
// it; and never what says who was called.
//
// W2-002, W2-086, W2-088, W2-092, W2-093, W2-094.
func TestWhatWasCalled(t *testing.T) {
	made := jwts(t)
	p, err := dpop.New(dpop.Config{BaseURLs: []string{"https://rs.example.com"}})
	require.NoError(t, err)
	gate, err := middleware.New(made.verifier, middleware.Config{Bindings: []bearergate.Binding{p}})
	require.NoError(t, err)
	protected := gate.Require(scope.All("read"))(kit.Says("in"))
	mux := http.NewServeMux()
	mux.Handle("/v1/", http.StripPrefix("/v1", protected))
	mux.Handle("/", protected)
	const wrong = bearergate.ReasonProof
	for _, tc := range []struct {
		name   string
		field  string // DPoP, if it is empty
		change func(r *http.Request)
		target string
		htu    string
		want   bearergate.Reason
	}{
		{name: "the field in small letters", field: "dpop", target: "/a/b", htu: "https://rs.example.com/a/b"},
		{name: "the field in capitals", field: "DPOP", target: "/a/b", htu: "https://rs.example.com/a/b"},
		{name: "as it is", target: "/a/b", htu: "https://rs.example.com/a/b"},
		{name: "a prefix taken away", target: "/v1/a/b", htu: "https://rs.example.com/v1/a/b"},
		{name: "a prefix taken away, and htu without it", target: "/v1/a/b", htu: "https://rs.example.com/a/b", want: wrong},
		{name: "an absolute target", target: "http://other.example/a/b", htu: "https://rs.example.com/a/b"},
		{name: "an absolute target in htu", target: "http://other.example/a/b", htu: "http://other.example/a/b", want: wrong},
		{name: "Host", target: "/a/b", htu: "https://evil.test/a/b", change: func(r *http.Request) { r.Host = "evil.test" }, want: wrong},
		{name: "forwarded headers", target: "/a/b", htu: "http://evil.test/a/b", change: func(r *http.Request) {
			r.Header.Set("X-Forwarded-Proto", "http")
			r.Header.Set("X-Forwarded-Host", "evil.test")
			r.Header.Set("Forwarded", "host=evil.test;proto=http")
		}, want: wrong},
		{name: "forwarded headers that lie", target: "/a/b", htu: "https://rs.example.com/a/b", change: func(r *http.Request) {
			r.Header.Set("X-Forwarded-Proto", "http")
			r.Header.Set("X-Forwarded-Host", "evil.test")
		}},
		{name: "a proxy that asks about another request", target: "/verify", htu: "https://rs.example.com/a/b", change: func(r *http.Request) {
			r.Header.Set("X-Original-Method", "GET")
			r.Header.Set("X-Original-Url", "https://rs.example.com/a/b")
		}, want: wrong},
		{name: "a method in a header", target: "/a/b", htu: "https://rs.example.com/a/b", change: func(r *http.Request) {
			r.Method = "POST"
			r.Header.Set("X-Http-Method-Override", "GET")
		}, want: wrong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := proofs.NewScene(t, "GET", tc.htu)
			s.Token = made.issue(t, valid.Cnf(s))
			sent := valid.Make(s)
			answer := serveOnce(t, mux, "GET "+tc.target+" HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: DPoP "+s.Token+"\r\n"+cmp.Or(tc.field, "DPoP")+": "+sent.Proofs[0]+"\r\n\r\n", tc.change)
			if tc.want == "" {
				require.Equal(t, 200, answer.Code, answer.Body)
				return
			}
			require.Equal(t, 401, answer.Code)
			require.Contains(t, challenges(t, answer.Result())["DPoP"], `error="invalid_dpop_proof"`)
		})
	}
}
