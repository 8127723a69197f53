package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// want is what a request must come back with. Why is for operators only: the client
// learns the status and the error.
type want struct {
	status int
	error  string            // of the challenge, with its scheme; "": none
	why    bearergate.Reason // "": accepted
}

var accepted = want{status: http.StatusOK}

// refused is an answer to what was sent with this scheme.
func refused(scheme bearergate.Scheme, code string, why bearergate.Reason) want {
	return want{http.StatusUnauthorized, string(scheme) + " " + code, why}
}

var (
	bearerUnbound  = refused(bearergate.SchemeBearer, "invalid_token", bearergate.ReasonBinding)
	dpopUnbound    = refused(bearergate.SchemeDPoP, "invalid_token", bearergate.ReasonBinding)
	wrongProof     = refused(bearergate.SchemeDPoP, "invalid_dpop_proof", bearergate.ReasonProof)
	usedProof      = refused(bearergate.SchemeDPoP, "invalid_dpop_proof", bearergate.ReasonReplay)
	nonceIsMissing = refused(bearergate.SchemeDPoP, "use_dpop_nonce", bearergate.ReasonNonce)
)

// sent is a request.
type sent struct {
	name, method, path   string       // "": GET /orders
	client               *http.Client // nil: one without a certificate
	authorization, proof string       // "": the client's Transport adds them, or there is none
	first                want         // zero: the client sends one request, and not two
	want                 want
}

// demonstrate sends what clients and thieves send, prints what comes back, and returns an
// error unless all of it is as wanted.
func demonstrate(ctx context.Context, out io.Writer, url string, as *authtest.Server, trusted *x509.CertPool, seen *decisions) error {
	w, err := newWorld(url, as, trusted)
	if err != nil {
		return err
	}
	defer w.close()
	d := &demo{out: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0), url: url, client: w.plain, seen: seen}
	fmt.Fprintln(d.out, "SENT\tTO\tSTATUS\tERROR\tWHY, FOR OPERATORS ALONE")
	for _, s := range w.requests() {
		d.do(ctx, s)
	}
	if err := d.out.Flush(); err != nil {
		return err
	}
	if err := d.document(ctx, out); err != nil {
		d.wrong = append(d.wrong, fmt.Errorf("the metadata document: %w", err))
	}
	if len(d.wrong) > 0 {
		return fmt.Errorf("%d of %d are not as they should be:\n%w", len(d.wrong), d.asked, errors.Join(d.wrong...))
	}
	_, err = fmt.Fprintf(out, "\nall %d as they should be\n", d.asked)
	return err
}

// world has the keys and certificates of a client and of a thief, and what they send with.
type world struct {
	url                  string
	as                   *authtest.Server
	key, thiefs          *authtest.DPoPKey
	certificate          tls.Certificate
	plain, holder, thief *http.Client // without a certificate, with the client's, with the thief's
}

func newWorld(url string, as *authtest.Server, trusted *x509.CertPool) (*world, error) {
	w := &world{url: url, as: as}
	var errs [4]error
	var other tls.Certificate
	w.key, errs[0] = authtest.NewDPoPKey("ES256")
	w.thiefs, errs[1] = authtest.NewDPoPKey("ES256")
	w.certificate, errs[2] = authtest.NewClientCertificate()
	other, errs[3] = authtest.NewClientCertificate()
	with := func(certificates ...tls.Certificate) *http.Client {
		return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: trusted, Certificates: certificates, MinVersion: tls.VersionTLS12}}}
	}
	w.plain, w.holder, w.thief = with(), with(w.certificate), with(other)
	return w, errors.Join(errs[:]...)
}

func (w *world) close() {
	for _, c := range []*http.Client{w.plain, w.holder, w.thief} {
		c.CloseIdleConnections()
	}
}

// token is one of a user's, bound to what cnf says.
func (w *world) token(cnf map[string][]byte) string {
	return w.as.Token(authtest.Claims{Subject: "alice", ClientID: "shop", Confirmation: cnf,
		Scopes: scope.Of("orders:read", "accounts:read", "payments:write")})
}

// proofWith is the client's proof for GET /orders, with claims changed.
func (w *world) proofWith(token string, change map[string]any) string {
	claims := w.key.Claims(http.MethodGet, w.url+"/orders", token)
	maps.Copy(claims, change)
	return w.key.Sign(nil, claims)
}

// requests are what is sent, in this order.
func (w *world) requests() []sent {
	var (
		byKey         = w.key.Confirmation()
		byCertificate = authtest.CertificateConfirmation(w.certificate.Leaf)
		byBoth        = maps.Clone(byKey)
	)
	maps.Copy(byBoth, byCertificate)
	var (
		unbound = w.token(nil)
		bound   = w.token(byKey)
		another = w.token(byKey)
		sealed  = w.token(byCertificate)
		twice   = w.token(byBoth)

		used = w.proofWith(bound, nil) // for two requests
		// A client that signs a proof for each request, and again where a nonce is demanded.
		signing = &http.Client{Timeout: 10 * time.Second, Transport: &authtest.DPoPTransport{Key: w.key, Base: w.plain.Transport,
			Token: func(context.Context) (string, error) { return bound, nil }}}
		bearer = func(token string) string { return "Bearer " + token }
		dpop   = func(token string) string { return "DPoP " + token }
	)
	return []sent{
		{name: "Bearer token", authorization: bearer(unbound), want: accepted},
		{name: "Bearer token, by whoever has it", client: w.thief, authorization: bearer(unbound), want: accepted},
		{name: "Bearer token, where bound ones are demanded", path: "/accounts", authorization: bearer(unbound), want: bearerUnbound},

		{name: "DPoP token and its proof", authorization: dpop(bound), proof: used, want: accepted},
		{name: "the same, where bound ones are demanded", path: "/accounts", client: signing, want: accepted},
		{name: "the first proof again (replay)", authorization: dpop(bound), proof: used, want: usedProof},
		{name: "the token as Bearer (downgrade)", authorization: bearer(bound), want: bearerUnbound},
		{name: "the token as Bearer, with a good proof", authorization: bearer(bound), proof: w.proofWith(bound, nil), want: bearerUnbound},
		{name: "stolen token, no proof", authorization: dpop(bound), want: wrongProof},
		{name: "stolen token, a proof of the thief's key", authorization: dpop(bound), proof: w.thiefs.Proof(http.MethodGet, w.url+"/orders", bound), want: dpopUnbound},
		{name: "proof for another server, passed on by it", authorization: dpop(bound), proof: w.proofWith(bound, map[string]any{"htu": "https://evil.example.com/orders"}), want: wrongProof},
		{name: "proof for another path", path: "/accounts", authorization: dpop(bound), proof: w.proofWith(bound, nil), want: wrongProof},
		{name: "proof for another method", authorization: dpop(bound), proof: w.proofWith(bound, map[string]any{"htm": "DELETE"}), want: wrongProof},
		{name: "proof for another token", authorization: dpop(bound), proof: w.proofWith(another, nil), want: wrongProof},
		{name: "proof of an hour ago", authorization: dpop(bound), proof: w.proofWith(bound, map[string]any{"iat": time.Now().Add(-time.Hour).Unix()}), want: wrongProof},
		{name: "token that is not bound, as DPoP", authorization: dpop(unbound), proof: w.proofWith(unbound, nil), want: dpopUnbound},

		{name: "proof without a nonce, where one is demanded", method: http.MethodPost, path: "/payments", authorization: dpop(bound), proof: w.key.Proof(http.MethodPost, w.url+"/payments", bound), want: nonceIsMissing},
		{name: "client that then takes the nonce", method: http.MethodPost, path: "/payments", client: signing, first: nonceIsMissing, want: accepted},
		{name: "the same client, which has one now", method: http.MethodPost, path: "/payments", client: signing, want: accepted},

		{name: "certificate-bound token and its certificate", client: w.holder, authorization: bearer(sealed), want: accepted},
		{name: "the same, where bound ones are demanded", method: http.MethodPost, path: "/payments", client: w.holder, authorization: bearer(sealed), want: accepted},
		{name: "stolen, no certificate", authorization: bearer(sealed), want: bearerUnbound},
		{name: "stolen, another certificate", client: w.thief, authorization: bearer(sealed), want: bearerUnbound},

		{name: "token that is bound to both, and both", client: w.holder, authorization: dpop(twice), proof: w.proofWith(twice, nil), want: accepted},
		{name: "the same, the proof alone", authorization: dpop(twice), proof: w.proofWith(twice, nil), want: dpopUnbound},
		{name: "the same, the certificate alone", client: w.holder, authorization: dpop(twice), want: wrongProof},
	}
}

type demo struct {
	out    *tabwriter.Writer
	url    string
	client *http.Client // without a certificate
	seen   *decisions
	asked  int
	wrong  []error
}

// do sends a request, prints a row and compares it with what is wanted.
func (d *demo) do(ctx context.Context, s sent) {
	d.asked++
	if s.method == "" {
		s.method = http.MethodGet
	}
	if s.path == "" {
		s.path = "/orders"
	}
	if s.client == nil {
		s.client = d.client
	}
	status, code, err := d.send(ctx, s)
	events := d.seen.take()
	wanted := []bearergate.Reason{s.want.why}
	if s.first != (want{}) {
		wanted = []bearergate.Reason{s.first.why, s.want.why}
	}
	var reasons []bearergate.Reason
	var why []string
	for _, e := range events {
		reasons = append(reasons, e.Reason)
		why = append(why, told(e))
	}
	if err == nil && (status != s.want.status || code != s.want.error || !slices.Equal(reasons, wanted)) {
		err = fmt.Errorf("got %d %q %q, want %d %q %q", status, code, reasons, s.want.status, s.want.error, wanted)
	}
	if err != nil {
		d.wrong = append(d.wrong, fmt.Errorf("%s: %w", s.name, err))
	}
	fmt.Fprintf(d.out, "%s\t%s %s\t%d\t%s\t%s\n", s.name, s.method, s.path, status, or(code, "-"), strings.Join(why, ", and then "))
}

func (d *demo) send(ctx context.Context, s sent) (status int, code string, err error) {
	r, err := http.NewRequestWithContext(ctx, s.method, d.url+s.path, nil)
	if err != nil {
		return 0, "", err
	}
	if s.authorization != "" {
		r.Header.Set("Authorization", s.authorization)
	}
	if s.proof != "" {
		r.Header.Set("DPoP", s.proof)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, "", err
	}
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(challenge, " ")
		if m := errorCode.FindStringSubmatch(challenge); m != nil {
			code = strings.TrimSpace(code + " " + scheme + " " + m[1])
		}
	}
	return resp.StatusCode, code, nil
}

var errorCode = regexp.MustCompile(`\berror="([^"]*)"`)

// told is what the event of a decision says.
func told(e middleware.DecisionEvent) string {
	switch err := bearergate.AsError(e.Err); {
	case err == nil:
		return "accepted"
	case err.Detail == "":
		return string(err.Reason)
	default:
		return string(err.Reason) + ": " + err.Detail
	}
}

// document prints what the metadata document of the API says of bound tokens.
func (d *demo) document(ctx context.Context, out io.Writer) error {
	d.asked++
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/.well-known/oauth-protected-resource", nil)
	if err != nil {
		return err
	}
	resp, err := d.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var says struct {
		Algorithms   []string `json:"dpop_signing_alg_values_supported"`
		Certificates bool     `json:"tls_client_certificate_bound_access_tokens"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&says); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe metadata document says (RFC 9728): certificate-bound tokens %t, algorithms of proofs %q\n", says.Certificates, says.Algorithms)
	if !says.Certificates || !slices.Contains(says.Algorithms, "ES256") {
		return fmt.Errorf("got %+v", says)
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// decisions remembers what the gates decided.
type decisions struct {
	mu  sync.Mutex // guards all
	all []middleware.DecisionEvent
}

func (d *decisions) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all = append(d.all, e)
	}}
}

// take returns what was decided since it was last asked.
func (d *decisions) take() []middleware.DecisionEvent {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.all
	d.all = nil
	return all
}

// selfSigned makes a certificate for 127.0.0.1, and the pool of who trusts it.
func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "orders"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, trusted, nil
}
