package services

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const (
	callTimeout = 5 * time.Second
	maxInvoices = 1 << 20 // bytes
)

// OrdersConfig is what service A needs.
type OrdersConfig struct {
	Issuer   string // of the tokens of users
	Audience string // of this API
	Scope    string // that its route requires
	Gateway  string // who else may act for users here, besides themselves; "": nobody
	Billing  string // the URL of service B
	Exchange *Exchanger
	Hooks    middleware.Hooks
}

// NewOrders returns service A: users call it, and it calls service B in their name.
func NewOrders(c OrdersConfig) (http.Handler, error) {
	if c.Exchange == nil {
		return nil, errors.New("delegation: OrdersConfig.Exchange is nil")
	}
	gate, err := newGate(c.Issuer, c.Audience, c.Hooks)
	if err != nil {
		return nil, err
	}
	// Users themselves, and the gateway in front of it, which exchanges tokens too.
	who := bearergate.Delegation{AllowDirect: true}
	if c.Gateway != "" {
		who.Actors = map[string][]bearergate.Actor{c.Issuer: {{Subject: c.Gateway}}}
	}
	// A redirect would take the token to wherever service B says.
	client := &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	router := gate.NewRouter()
	router.Handle("GET /orders", scope.All(c.Scope), &orders{c, client}, middleware.Delegation(who))
	return router.Handler()
}

type orders struct {
	config OrdersConfig
	client *http.Client
}

func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := bearergate.FromContext(r.Context())
	credentials, err := bearergate.ParseCredentials(r.Header.Values("Authorization"))
	if !ok || err != nil {
		http.Error(w, "this handler must be behind a gate", http.StatusInternalServerError)
		return
	}
	invoices, status := o.invoices(r, credentials.Raw, token.ExpiresAt())
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "orders of %s, with the %s\n", token.Subject(), invoices)
}

// invoices asks service B, with a token for it. The request is a new one: nothing of the
// user's goes over but who they are, which the token says. The user's own token is never
// sent on: whoever saw it there could use it here.
func (o *orders) invoices(r *http.Request, user bearergate.Secret, ends time.Time) (string, int) {
	token, err := o.config.Exchange.Token(r.Context(), user, ends)
	switch {
	case errors.Is(err, bearergate.ErrForbidden):
		return "", http.StatusForbidden
	case errors.Is(err, bearergate.ErrUnavailable):
		return "", http.StatusServiceUnavailable
	case err != nil:
		return "", http.StatusInternalServerError
	}
	call, err := http.NewRequestWithContext(r.Context(), http.MethodGet, o.config.Billing+"/invoices", nil)
	if err != nil {
		return "", http.StatusInternalServerError
	}
	call.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := o.client.Do(call)
	if err != nil {
		return "", http.StatusServiceUnavailable
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxInvoices+1))
	switch {
	case err != nil || len(body) > maxInvoices:
		return "", http.StatusBadGateway
	case resp.StatusCode == http.StatusForbidden:
		return "", http.StatusForbidden
	case resp.StatusCode == http.StatusUnauthorized:
		// Not the user's fault: a 401 would have them log in again. The next request gets
		// a new token.
		o.config.Exchange.Forget(user)
		return "", http.StatusServiceUnavailable
	case resp.StatusCode != http.StatusOK:
		return "", http.StatusBadGateway
	}
	return string(body), http.StatusOK
}

// newGate is the gate of both services.
func newGate(issuer, audience string, hooks middleware.Hooks) (*middleware.Gate, error) {
	// Each service has an audience of its own. With one for both, the user's token would
	// be good at service B, and nobody would have to exchange it.
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Profile: jwtverify.RFC9068})
	if err != nil {
		return nil, err
	}
	return middleware.New(verifier, middleware.Config{Hooks: hooks})
}
