// Package trouble_test runs wrong set-ups and wrong tokens, and writes
// docs/troubleshooting.md from what comes of them.
//
// A row is a good request and one mutation of it (wrong), and one more (mended) that
// does what the advice says. Every row runs twice in fake time, once with the first
// mutation and once with both.
package trouble_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	issuer = "https://as.example.test"
	api    = "https://api.example.test"
	shop   = "shop" // the client

	// What no text may hold, beside the token.
	subject = "alice-7f3c9b"
	secret  = "s3cret-41d7"
)

// row is one trouble.
type row struct {
	title  string // in the words of whoever is puzzled
	caseID string // in the list of cases that this module keeps to; "": in none

	server []authtest.Option // beside the defaults
	wrong  func(*try)
	status int // 0: the verifier is asked, without a request
	reason bearergate.Reason
	mended string // how, in words
	mend   func(*try)

	byBinding bool   // a Binding refuses, or ForwardAuth, which Explain does not ask
	advice    string // of such a row: what to do, where the event itself does not say it

	twin string // the row whose event says the same, where the event alone does not tell the two apart
}

// area is a chapter of the document.
type area struct {
	title, about string
	base         func(*try) // of every row; nil: a JWT verifier
	rows         []row
}

// areas are the chapters, in the order of the document.
func areas() []area {
	return []area{tokens(), elsewhere(), certificates(), possession(), forwardAuth(), times(), keys(), introspection(), routes(), several(), apiKeys(), firstFetch()}
}

// try is one request, and the API that it is for.
type try struct {
	t  *testing.T
	as *authtest.Server // that the API knows

	// The API.
	jwt      jwtverify.Config
	opaque   introspect.Config
	router   issuers.Config
	verifier func() (bearergate.Verifier, error) // of one of these
	gate     middleware.Config
	dpop     *dpop.Config                  // nil: there is no such Binding
	forward  *middleware.ForwardAuthConfig // nil: no proxy asks
	outer    scope.Requirement             // of a gate further out; zero: there is none
	need     scope.Requirement
	opts     []middleware.RouteOption

	// Client certificates; see byCertificate.
	certificates *mtls.Config // nil: the gate looks for none
	client       pki
	peer         string // who is connected
	passedOn     []string
	tls          *tls.ConnectionState

	// The token, signed by from.
	from           *authtest.Server
	header, claims map[string]any
	alter          func(token string) string // on its way
	token          func() string             // the whole of it; nil: from signs header and claims
	later          time.Duration             // it is sent so long after it was issued

	// The request.
	authorization func(token string) []string
	request       func(*http.Request)
	send          func(h http.Handler, r *http.Request) *httptest.ResponseRecorder
}

// good is a try that is accepted.
func good(t *testing.T, opts ...authtest.Option) *try {
	t.Helper()
	as := authtest.New(t, append([]authtest.Option{authtest.WithIssuer(issuer), authtest.WithAudience(api)}, opts...)...)
	y := &try{t: t, as: as, from: as, need: scope.All("orders:read")}
	y.jwt = jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{api}, HTTPClient: as.Client()}
	y.opaque = introspect.Config{Issuer: as.Issuer(), Audiences: []string{api}, Auth: introspect.BasicAuth("orders-api", secret), HTTPClient: as.Client()}
	y.verifier = func() (bearergate.Verifier, error) { return jwtverify.New(y.jwt) }
	y.header = map[string]any{}
	y.claims = as.Claims(authtest.Claims{Subject: subject, ClientID: shop, Scopes: scope.Of("orders:read")})
	y.alter = func(token string) string { return token }
	y.authorization = func(token string) []string { return []string{"Bearer " + token} }
	y.request = func(*http.Request) {}
	y.send = once
	return y
}

// once sends a request as it is.
func once(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// byIntrospection has the server asked about an opaque token.
func byIntrospection(y *try) {
	y.verifier = func() (bearergate.Verifier, error) { return introspect.New(y.opaque) }
	y.token = func() string {
		raw, err := json.Marshal(y.claims)
		require.NoError(y.t, err)
		return y.as.Opaque(authtest.Claims{Raw: raw})
	}
}

// answers has the introspection endpoint answer with the claims and these members.
func (y *try) answers(members map[string]any) {
	answer := map[string]any{"active": true, "token_type": "Bearer"}
	maps.Copy(answer, y.claims)
	maps.Copy(answer, members)
	maps.DeleteFunc(answer, func(_ string, value any) bool { return value == nil })
	body, err := json.Marshal(answer)
	require.NoError(y.t, err)
	y.as.Fail(authtest.Fault{Path: "/introspect", Body: body})
}

// of makes the token one that another server has issued.
func (y *try) of(other *authtest.Server) {
	y.from, y.claims["iss"] = other, other.Issuer()
}

// publishes has the server publish this key set.
func (y *try) publishes(keys ...[]byte) {
	y.as.Fail(authtest.Fault{Path: "/jwks", Body: keySet(keys...)})
}

func keySet(keys ...[]byte) []byte {
	var members []string
	for _, key := range keys {
		members = append(members, string(key))
	}
	return []byte(`{"keys":[` + strings.Join(members, ",") + `]}`)
}

// keysAt takes the keys from the server's key set, whatever its metadata say.
func (y *try) keysAt(c jwks.Config) {
	c.URL, c.HTTPClient = y.as.URL("/jwks"), y.as.Client()
	keys, err := jwks.New(c)
	require.NoError(y.t, err)
	y.jwt.Keys, y.jwt.HTTPClient = keys, nil
}

// signed has the token signed by a key that the server has not made.
func (y *try) signed(by signer) {
	y.token = func() string {
		header := map[string]any{"alg": by.alg, "typ": "at+jwt"}
		if by.id != "" {
			header["kid"] = by.id
		}
		maps.Copy(header, y.header)
		h, err := json.Marshal(header)
		require.NoError(y.t, err)
		c, err := json.Marshal(y.claims)
		require.NoError(y.t, err)
		token, err := jose.Sign(by.alg, by.key, h, c)
		require.NoError(y.t, err)
		return token
	}
}

// unsigned writes a token by hand: the signature is what is given.
func (y *try) unsigned(header map[string]any, signature string) {
	y.token = func() string {
		part := func(v any) string {
			data, err := json.Marshal(v)
			require.NoError(y.t, err)
			return base64.RawURLEncoding.EncodeToString(data)
		}
		return part(header) + "." + part(y.claims) + "." + signature
	}
}

// signer is a key.
type signer struct {
	id, alg string
	key     crypto.Signer
}

func newSigner(t *testing.T, id, alg string) signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	require.NoError(t, err)
	return signer{id, alg, key}
}

func (s signer) public(t *testing.T) []byte {
	t.Helper()
	jwk, err := jose.PublicJWK(s.id, s.key.Public(), s.alg)
	require.NoError(t, err)
	return jwk
}

// outcome is what came of a try.
type outcome struct {
	token     string
	status    int
	challenge string
	event     *bearergate.Error // nil: accepted
	explained bearergate.Explanation
}

// sent is the token that the try sends.
func (y *try) sent() string {
	if y.token == nil {
		y.token = func() string { return y.from.Sign(y.header, y.claims) }
	}
	token := y.alter(y.token())
	time.Sleep(y.later) // no time at all
	return token
}

// run sends the request, and then has it explained.
func (y *try) run() outcome {
	y.t.Helper()
	var o outcome
	y.gate.Hooks = middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { o.event = bearergate.AsError(e.Err) }}
	v, err := y.verifier()
	require.NoError(y.t, err)
	if y.certificates != nil {
		b, err := mtls.New(*y.certificates)
		require.NoError(y.t, err)
		y.gate.Bindings = append(y.gate.Bindings, b)
	}
	if y.dpop != nil {
		proofs, err := dpop.New(*y.dpop)
		require.NoError(y.t, err)
		y.gate.Bindings = append(y.gate.Bindings, proofs)
	}
	gate, err := middleware.New(v, y.gate)
	require.NoError(y.t, err)
	h := gate.Require(y.need, y.opts...)(kit.Says("orders"))
	if y.outer.String() != "" {
		h = gate.Require(y.outer)(h)
	}
	if y.forward != nil {
		rt := gate.NewRouter()
		rt.Handle("GET /orders", y.need, kit.Says("orders"), y.opts...)
		h, err = rt.ForwardAuth(*y.forward)
		require.NoError(y.t, err)
	}
	o.token = y.sent()
	r := httptest.NewRequestWithContext(y.t.Context(), http.MethodGet, api+"/orders", nil)
	r.Header["Authorization"] = y.authorization(o.token)
	y.request(r)
	w := y.send(h, r.Clone(r.Context()))
	o.status, o.challenge = w.Code, w.Header().Get("WWW-Authenticate")
	o.explained = gate.Explain(r, y.need, y.opts...)
	return o
}

// ask asks the verifier alone, as an operator does who has a text at hand that no
// header carries.
func (y *try) ask() outcome {
	y.t.Helper()
	v, err := y.verifier()
	require.NoError(y.t, err)
	o := outcome{token: y.sent()}
	_, err = v.Verify(y.t.Context(), o.token)
	o.event, o.explained = bearergate.AsError(err), bearergate.Explain(y.t.Context(), v, o.token)
	return o
}

// told is what the document says of a row.
type told struct{ event, cause, advice string }

// checked runs a row as it is wrong and as it is mended, and returns what is told.
func (r row) checked(t *testing.T, base func(*try)) (of told) {
	t.Helper()
	t.Run("wrong", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			y := r.set(t, base, false)
			o := y.did(r)
			require.Equal(t, r.status, o.status)
			require.NotNil(t, o.event, "it is accepted")
			require.Equal(t, r.reason, o.event.Reason, "%v", o.event)
			if y.forward == nil {
				kit.RequireExplained(t, o.explained, o.event, o.token)
			} else { // of the request, which the proxy has not told
				kit.RequireExplained(t, o.explained, nil, o.token)
			}
			require.NotEmpty(t, o.event.Detail, "%v", o.event)
			if r.byBinding {
				of = r.toldByBinding(t, y, o)
				return
			}
			failed, ok := o.explained.Failed()
			require.True(t, ok)
			require.NotEmpty(t, o.event.Detail, "%v", o.event)
			require.Equal(t, o.event.Detail, failed.Detail)
			require.Equal(t, line(o.event), line(bearergate.AsError(o.explained.Err)), "Explain says of the token what the gate did")
			require.NotEmpty(t, o.explained.Advice, "%v", o.explained)
			for _, text := range append([]string{o.explained.String(), line(o.event), o.event.Error()}, o.explained.Advice...) {
				kit.RequireNothingOf(t, text, o.token)
				require.NotContains(t, text, subject)
				require.NotContains(t, text, secret)
			}
			for _, advice := range o.explained.Advice {
				requireFixed(t, advice, y)
			}
			of = told{event: line(o.event), advice: o.explained.Advice[0]}
			if o.event.Detail == "" && o.event.Cause != nil {
				of.cause = o.event.Cause.Error()
			}
		})
	})
	t.Run("mended", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			y := r.set(t, base, true)
			o := y.did(r)
			require.Nil(t, o.event, "%v", o.event)
			require.NoError(t, o.explained.Err, "%v", o.explained)
			if r.status != 0 {
				require.Equal(t, http.StatusOK, o.status)
			}
		})
	})
	return of
}

// toldByBinding is told of a refusal that Explain does not know of.
func (r row) toldByBinding(t *testing.T, y *try, o outcome) told {
	t.Helper()
	require.NoError(t, o.explained.Err)
	if y.forward == nil {
		require.Contains(t, o.explained.String(), "no Binding is asked, for a proof counts once")
	}
	for _, text := range []string{o.explained.String(), line(o.event), o.event.Error()} {
		kit.RequireNothingOf(t, text, o.token)
		require.NotContains(t, text, subject)
		require.NotContains(t, text, secret)
		require.NotContains(t, text, "203.0.113.7")
	}
	requireFixed(t, o.event.Detail, y)
	require.Empty(t, o.event.Found)
	return told{event: line(o.event), advice: r.advice}
}

// set makes the try of a row.
func (r row) set(t *testing.T, base func(*try), mended bool) *try {
	t.Helper()
	y := good(t, r.server...)
	if base != nil {
		base(y)
	}
	r.wrong(y)
	if mended {
		r.mend(y)
	}
	return y
}

// did runs the try as the row wants it.
func (y *try) did(r row) outcome {
	if r.status == 0 {
		return y.ask()
	}
	return y.run()
}

// line is what an event says, as one line.
func line(e *bearergate.Error) string {
	text := string(e.Reason)
	for _, part := range []struct{ before, value string }{{": ", e.Detail}, {", expected ", e.Expected}, {", found ", e.Found}} {
		if part.value != "" {
			text += part.before + part.value
		}
	}
	if e.Found != "" && e.Unsigned {
		text += " (unverified)"
	}
	return keyID.ReplaceAllString(text, "$1-…")
}

// keyID is that of a key of authtest, whose end is random.
var keyID = regexp.MustCompile(`\b((?:es\d{3}|eddsa)-\d)-[A-Z2-7]{26}\b`)

// A good request is accepted, with a JWT and with an opaque token: what a row refuses, it
// refuses for its own mutation.
func TestTheGoodTry(t *testing.T) {
	for name, base := range map[string]func(*try){"JWT": func(*try) {}, "opaque": byIntrospection, "router": behindRouter} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				y := good(t)
				base(y)
				o := y.run()
				require.Nil(t, o.event)
				require.Equal(t, http.StatusOK, o.status)
				require.NoError(t, o.explained.Err)
				require.Empty(t, o.explained.Advice)
			})
		})
	}
}

// Every row is refused for its own reason, told apart by the event alone, and mended by
// what the first advice says. The document says what came of it.
func TestTroubles(t *testing.T) {
	var all []chapter
	lines, titles, cases := map[string]string{}, map[string]bool{}, map[string]bool{}
	rows := 0
	for _, a := range areas() {
		c := chapter{area: a}
		for _, r := range a.rows {
			t.Run(r.title, func(t *testing.T) {
				of := r.checked(t, a.base)
				if t.Failed() {
					return
				}
				require.False(t, titles[r.title], "two rows of one title")
				require.NotEmpty(t, r.mended)
				require.Equal(t, r.twin, lines[of.event], "the row whose event says the same: %s", of.event)
				if r.twin == "" {
					lines[of.event] = r.title
				}
				titles[r.title], cases[r.caseID] = true, true
				c.told = append(c.told, of)
			})
		}
		rows += len(a.rows)
		all = append(all, c)
	}
	if t.Failed() {
		return
	}
	require.GreaterOrEqual(t, rows, 45)
	for i := range 8 {
		require.True(t, cases[fmt.Sprintf("D%d", i+1)], "no row for the case D%d", i+1)
	}
	requireDocument(t, all)
}
