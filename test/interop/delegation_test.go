package interop_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/examples/delegation/services"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/stretchr/testify/require"
)

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// The audiences of the two services: service A is called with tokens of one algorithm, and
// service B with those of the other.
const ofOrders, ofBilling = "rs256", "es256"

// exchanging is a client that may exchange tokens for service A into tokens for another one.
func exchanging(id, to string, more map[string]any) *client {
	c := &client{id: id, secret: rand.Text(), method: "client_secret_basic", more: map[string]any{"grant_types": []string{tokenExchange}},
		exchange: map[string]any{"from": audience(ofOrders), "to": []string{audience(to)}}}
	maps.Copy(c.exchange, more)
	return c
}

// exchanged asks the server to exchange a token, and returns the token, or the error.
func (s *server) exchanged(t *testing.T, by *client, token, to string, change url.Values) (got, code string) {
	t.Helper()
	form := url.Values{"grant_type": {tokenExchange}, "subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "resource": {audience(to)}}
	maps.Copy(form, change)
	req, err := by.request(t.Context(), s.HTTP+"/token", form)
	require.NoError(t, err)
	resp, err := plain.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	require.NotEqual(t, answer.Token == "", answer.Error == "", "%s", body)
	return answer.Token, answer.Error
}

// auditTrail holds what service B has decided, and the records of it.
type auditTrail struct {
	mu      sync.Mutex // guards both
	records bytes.Buffer
	decided []error
}

func (a *auditTrail) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.records.Write(p)
}

func (a *auditTrail) take() (records, reasons []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if text := strings.TrimSpace(a.records.String()); text != "" {
		records = strings.Split(text, "\n")
	}
	for _, err := range a.decided {
		reasons = append(reasons, string(bearergate.ReasonOf(err)))
	}
	a.records.Reset()
	a.decided = nil
	return records, reasons
}

// audited is what a record must say of a token.
type audited struct {
	Outcome string         `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
	Subject string         `json:"subject,omitempty"`
	Client  string         `json:"client,omitempty"`
	Actors  []auditedActor `json:"actors,omitempty"`
}

type auditedActor struct {
	Subject string `json:"subject"`
}

func actors(subjects ...string) (all []auditedActor) {
	for _, subject := range subjects {
		all = append(all, auditedActor{subject})
	}
	return all
}

// A user's token of a real server is exchanged there, and service B knows the user and who
// acts. The services are those of examples/delegation.
func TestDelegation(t *testing.T) {
	t.Parallel()
	web := &client{id: "web", secret: rand.Text(), method: "client_secret_basic", more: map[string]any{
		"grant_types": []string{"authorization_code"}, "response_types": []string{"code"}, "redirect_uris": []string{callback}, "scope": "openid read"}}
	orders, reports, gateway := exchanging("orders", ofBilling, nil), exchanging("reports", ofBilling, nil), exchanging("gateway", ofOrders, nil)
	asList := exchanging("as-list", ofBilling, map[string]any{"act": []any{map[string]any{"sub": "orders"}}})
	asText := exchanging("as-text", ofBilling, map[string]any{"act": "orders"})
	asNumber := exchanging("as-number", ofBilling, map[string]any{"act": map[string]any{"sub": 7}})
	asDeep := exchanging("as-deep", ofBilling, map[string]any{"act": json.RawMessage(strings.Repeat(`{"act":`, 500) + `{}` + strings.Repeat("}", 500))})
	asOther := exchanging("as-other", ofBilling, map[string]any{"act": map[string]any{"sub": "orders", "iss": "https://other.example.com"}})
	silent := exchanging("silent", ofBilling, map[string]any{"act": nil}) // null: it does not say who acts
	as := ownServer(t, web, orders, reports, gateway, asList, asText, asNumber, asDeep, asOther, silent)

	trail := &auditTrail{}
	audit, err := sloggate.New(sloggate.Config{Handler: slog.NewJSONHandler(trail, nil)})
	require.NoError(t, err)
	hooks := middleware.JoinHooks(audit.GateHooks(), middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		trail.mu.Lock()
		defer trail.mu.Unlock()
		trail.decided = append(trail.decided, e.Err)
	}})
	billing, err := services.NewBilling(services.BillingConfig{Issuer: as.HTTP, Audience: audience(ofBilling), Scope: "read", Orders: orders.id, Hooks: hooks})
	require.NoError(t, err)
	b := httptest.NewServer(billing)
	t.Cleanup(b.Close)
	exchange := func(scopes ...string) *services.Exchanger {
		x, err := services.NewExchanger(services.ExchangeConfig{TokenURL: as.HTTP + "/token", ClientID: orders.id, Secret: bearergate.NewSecret(orders.secret),
			Resource: audience(ofBilling), Scopes: scopes})
		require.NoError(t, err)
		return x
	}
	serviceA := func(scopes ...string) string {
		h, err := services.NewOrders(services.OrdersConfig{Issuer: as.HTTP, Audience: audience(ofOrders), Scope: "read", Gateway: gateway.id, Billing: b.URL, Exchange: exchange(scopes...)})
		require.NoError(t, err)
		a := httptest.NewServer(h)
		t.Cleanup(a.Close)
		return a.URL
	}
	a := serviceA("read")
	user := newBrowser(t, as).login("alice", web)
	by := func(c *client, token, to string) string {
		got, code := as.exchanged(t, c, token, to, nil)
		require.Empty(t, code)
		return got
	}
	byGateway := by(gateway, user, ofOrders)
	chained := user // by so many actors that the next is one more than a verifier reads
	for range bearergate.MaxActChain {
		chained = by(gateway, chained, ofOrders)
	}
	itself := as.token(t, grant{kind: ofBilling})

	for _, tt := range []struct {
		name, url, token string
		status           int
		reason           bearergate.Reason // of service B
		audited          audited           // its members of the record; zero: service B was not asked
	}{
		{name: "service A, by the user", url: a + "/orders", token: user, status: 200,
			audited: audited{Outcome: "accepted", Subject: "alice", Client: "orders", Actors: actors("orders")}},
		{name: "service A, again", url: a + "/orders", token: user, status: 200,
			audited: audited{Outcome: "accepted", Subject: "alice", Client: "orders", Actors: actors("orders")}},
		{name: "service A, by the gateway", url: a + "/orders", token: byGateway, status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: "alice", Client: "orders", Actors: actors("orders", "gateway")}},
		{name: "service A, which asks for more than the user granted", url: serviceA("read", "write") + "/orders", token: user, status: 403},

		{name: "exchanged by service A", url: b.URL + "/invoices", token: by(orders, user, ofBilling), status: 200,
			audited: audited{Outcome: "accepted", Subject: "alice", Client: "orders", Actors: actors("orders")}},
		{name: "exchanged by another", url: b.URL + "/invoices", token: by(reports, user, ofBilling), status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: "alice", Client: "reports", Actors: actors("reports")}},
		{name: "exchanged twice, where that is too long", url: b.URL + "/invoices", token: by(orders, byGateway, ofBilling), status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: "alice", Client: "orders", Actors: actors("orders", "gateway")}},
		{name: "exchanged twice, where that may be", url: b.URL + "/statements", token: by(orders, byGateway, ofBilling), status: 200,
			audited: audited{Outcome: "accepted", Subject: "alice", Client: "orders", Actors: actors("orders", "gateway")}},
		{name: "exchanged three times", url: b.URL + "/statements", token: by(orders, by(gateway, byGateway, ofOrders), ofBilling), status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: "alice", Client: "orders", Actors: actors("orders", "gateway", "gateway")}},
		{name: "exchanged more often than a verifier reads", url: b.URL + "/statements", token: by(orders, chained, ofBilling), status: 401, reason: bearergate.ReasonMalformed,
			audited: audited{Outcome: "refused", Reason: "malformed"}},

		{name: "the user's own token", url: b.URL + "/invoices", token: user, status: 401, reason: bearergate.ReasonAudience, audited: audited{Outcome: "refused", Reason: "audience"}},
		{name: "a client's own token", url: b.URL + "/invoices", token: itself, status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: app.id, Client: app.id}},
		{name: "service A, where nobody but the user may", url: b.URL + "/account", token: by(orders, user, ofBilling), status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: "alice", Client: "orders", Actors: actors("orders")}},
		{name: "an exchange of which the server does not say it", url: b.URL + "/invoices", token: by(silent, user, ofBilling), status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: "alice", Client: "silent"}},

		{name: "act is a list", url: b.URL + "/invoices", token: by(asList, user, ofBilling), status: 401, reason: bearergate.ReasonMalformed, audited: audited{Outcome: "refused", Reason: "malformed"}},
		{name: "act is a text", url: b.URL + "/invoices", token: by(asText, user, ofBilling), status: 401, reason: bearergate.ReasonMalformed, audited: audited{Outcome: "refused", Reason: "malformed"}},
		{name: "its sub is a number", url: b.URL + "/invoices", token: by(asNumber, user, ofBilling), status: 401, reason: bearergate.ReasonMalformed, audited: audited{Outcome: "refused", Reason: "malformed"}},
		{name: "act is deep", url: b.URL + "/invoices", token: by(asDeep, user, ofBilling), status: 401, reason: bearergate.ReasonMalformed, audited: audited{Outcome: "refused", Reason: "malformed"}},
		{name: "the actor of another issuer", url: b.URL + "/invoices", token: by(asOther, user, ofBilling), status: 403, reason: bearergate.ReasonActor,
			audited: audited{Outcome: "refused", Reason: "actor", Subject: "alice", Client: "as-other", Actors: actors("orders")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.status, statusOf(t, tt.url, tt.token))
			records, reasons := trail.take()
			if tt.audited.Outcome == "" {
				require.Empty(t, records)
				return
			}
			require.Equal(t, []string{string(tt.reason)}, reasons)
			require.Len(t, records, 1)
			var got audited
			require.NoError(t, json.Unmarshal([]byte(records[0]), &got))
			require.Equal(t, tt.audited, got, records[0])
		})
	}
	requests := as.requests(t, "/token")
	require.Equal(t, http.StatusOK, statusOf(t, a+"/orders", user))
	require.Equal(t, requests, as.requests(t, "/token"), "service A remembers what it got")
}

func statusOf(t *testing.T, to, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := plain.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// What the server does not exchange.
func TestTheServerRefusesToExchange(t *testing.T) {
	t.Parallel()
	web := &client{id: "web", secret: rand.Text(), method: "client_secret_basic", more: map[string]any{
		"grant_types": []string{"authorization_code"}, "response_types": []string{"code"}, "redirect_uris": []string{callback}, "scope": "openid read"}}
	orders := exchanging("orders", ofBilling, nil)
	nobody := &client{id: "nobody", secret: rand.Text(), method: "client_secret_basic", more: map[string]any{"grant_types": []string{tokenExchange}}}
	as := ownServer(t, web, orders, nobody)
	user := newBrowser(t, as).login("alice", web)
	exchanged, code := as.exchanged(t, orders, user, ofBilling, nil)
	require.Empty(t, code)
	for _, tt := range []struct {
		name   string
		by     *client
		token  string
		change url.Values
		code   string
	}{
		{name: "nothing is wrong", by: orders, token: user},
		{name: "more scopes than the token has", by: orders, token: user, change: url.Values{"scope": {"read write"}}, code: "invalid_scope"},
		{name: "a token for another service", by: orders, token: exchanged, code: "invalid_request"},
		{name: "a client's own token", by: orders, token: as.token(t, grant{kind: ofOrders}), code: "invalid_request"},
		{name: "a token of another issuer", by: orders, token: shared.token(t, grant{kind: ofOrders}), code: "invalid_request"},
		{name: "a token that is none", by: orders, token: "x", code: "invalid_request"},
		{name: "a changed token", by: orders, token: changedClaims(t, user), code: "invalid_request"},
		{name: "for itself", by: orders, token: user, change: url.Values{"resource": {audience(ofOrders)}}, code: "invalid_target"},
		{name: "for nobody", by: orders, token: user, change: url.Values{"resource": nil}, code: "invalid_target"},
		{name: "an ID token", by: orders, token: user, change: url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"}}, code: "invalid_request"},
		{name: "a refresh token wanted", by: orders, token: user, change: url.Values{"requested_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}}, code: "invalid_request"},
		{name: "another actor", by: orders, token: user, change: url.Values{"actor_token": {user}, "actor_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}, code: "invalid_request"},
		{name: "a client that may not", by: nobody, token: user, code: "unauthorized_client"},
		{name: "a client without this grant", by: app, token: user, code: "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, code := as.exchanged(t, tt.by, tt.token, ofBilling, tt.change)
			require.Equal(t, tt.code, code)
			if code == "" {
				token := verifiedBy(t, as, got)
				require.Equal(t, "alice", token.Subject())
				require.Equal(t, []bearergate.Actor{{Subject: "orders"}}, token.Actor())
				require.False(t, token.ExpiresAt().After(verifiedBy(t, as, user).ExpiresAt()), "it outlives the user's token")
			}
		})
	}
}

// verifiedBy verifies a token of either service.
func verifiedBy(t *testing.T, as *server, raw string) *bearergate.Token {
	t.Helper()
	token, err := verifier(t, jwtverify.Config{Issuer: as.HTTP, Audiences: []string{audience(ofOrders), audience(ofBilling)}, Profile: jwtverify.RFC9068}).Verify(t.Context(), raw)
	require.NoError(t, err)
	return token
}

// changedClaims is a token with another subject, under the signature of the old one.
func changedClaims(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	parts[1] = b64([]byte(strings.Replace(string(payload), "alice", "admin", 1)))
	return strings.Join(parts, ".")
}
