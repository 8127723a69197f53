package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/delegation/services"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// world is what the demonstration has to do with.
type world struct {
	as              *authtest.Server
	orders, billing string // URLs
	seen            *decisions
	trail           *trail
}

// user is what a user's token says, for a service.
func user(audience string, scopes ...string) authtest.Claims {
	return authtest.Claims{Subject: "alice", ClientID: "web", Audience: []string{audience}, Scopes: scope.Of(scopes...)}
}

// exchanged is a token that a client got for another one.
func (w *world) exchanged(ctx context.Context, client, secret, audience, token string, scopes ...string) (string, error) {
	x, err := services.NewExchanger(exchangeFor(w.as, client, secret, audience, scopes...))
	if err != nil {
		return "", err
	}
	got, err := x.Token(ctx, bearergate.NewSecret(token), time.Time{})
	return got.Reveal(), err
}

// sent is a request, and what must come of it. Why is what service B decided, for operators.
type sent struct {
	name, url, token string
	status           int
	why              bearergate.Reason // "": service B has accepted
	unasked          bool              // it was not asked
	exchanges        int               // that service A has made
}

// requests are what is sent, in this order.
func (w *world) requests(ctx context.Context) ([]sent, error) {
	token := w.as.Token(user(ordersAPI, "orders:read", "invoices:read"))
	narrow := w.as.Token(user(ordersAPI, "orders:read"))
	plain := w.as.Token(user(billingAPI, "invoices:read"))
	robot := w.as.Token(authtest.Claims{Subject: ordersID, ClientID: ordersID, Audience: []string{billingAPI}, Scopes: scope.Of("invoices:read")})

	byOrders, err1 := w.exchanged(ctx, ordersID, "s1", billingAPI, token, "invoices:read")
	byReports, err2 := w.exchanged(ctx, reportsID, "s3", billingAPI, token, "invoices:read")
	byGateway, err3 := w.exchanged(ctx, gatewayID, "s2", ordersAPI, token, "orders:read", "invoices:read")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	twice, err1 := w.exchanged(ctx, ordersID, "s1", billingAPI, byGateway, "invoices:read")
	again, err2 := w.exchanged(ctx, ordersID, "s1", billingAPI, twice, "invoices:read")
	after, err3 := w.exchanged(ctx, reportsID, "s3", billingAPI, byOrders, "invoices:read")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	// with is a token of the user's at service B, with this for act.
	with := func(act any) string {
		claims := w.as.Claims(user(billingAPI, "invoices:read"))
		claims["act"] = act
		return w.as.Sign(nil, claims)
	}
	actor := func(subject string) map[string]any { return map[string]any{"sub": subject} }

	a, b := w.orders+"/orders", w.billing
	return []sent{
		{name: "service A: the user's token", url: a, token: token, status: 200, exchanges: 1},
		{name: "service A: the same again, from memory", url: a, token: token, status: 200},
		{name: "service A: a token without the scope of B", url: a, token: narrow, status: 403, unasked: true, exchanges: 1},
		{name: "service A: the same again, the refusal is remembered", url: a, token: narrow, status: 403, unasked: true},
		{name: "service A: by the gateway, too long a chain for B", url: a, token: byGateway, status: 403, why: bearergate.ReasonActor, exchanges: 1},
		{name: "service A: a token that was meant for B", url: a, token: plain, status: 401, unasked: true},

		{name: "B: the user's token for service A", url: b + "/invoices", token: token, status: 401, why: bearergate.ReasonAudience},
		{name: "B: exchanged by service A", url: b + "/invoices", token: byOrders, status: 200},
		{name: "B: exchanged by a service that may not", url: b + "/invoices", token: byReports, status: 403, why: bearergate.ReasonActor},
		{name: "B: by that one, for a token of service A", url: b + "/statements", token: after, status: 403, why: bearergate.ReasonActor},
		{name: "B: the user, whom nobody acts for", url: b + "/invoices", token: plain, status: 403, why: bearergate.ReasonActor},
		{name: "B: service A for itself, without a user", url: b + "/invoices", token: robot, status: 403, why: bearergate.ReasonActor},

		{name: "B: two actors, where one is the most", url: b + "/invoices", token: twice, status: 403, why: bearergate.ReasonActor},
		{name: "B: two actors, where that may be", url: b + "/statements", token: twice, status: 200},
		{name: "B: three actors, where two are the most", url: b + "/statements", token: again, status: 403, why: bearergate.ReasonActor},
		{name: "B: the user, where that may be", url: b + "/statements", token: plain, status: 200},
		{name: "B: the user, where nobody else may", url: b + "/account", token: plain, status: 200},
		{name: "B: service A, where nobody but the user may", url: b + "/account", token: byOrders, status: 403, why: bearergate.ReasonActor},

		{name: "B: the same name at another issuer", url: b + "/invoices", token: with(map[string]any{"sub": ordersID, "iss": "https://other.example.com"}), status: 403, why: bearergate.ReasonActor},
		{name: "B: service A acted before another", url: b + "/statements", token: with(map[string]any{"sub": reportsID, "act": actor(ordersID)}), status: 403, why: bearergate.ReasonActor},
		{name: "B: an act that names nobody", url: b + "/invoices", token: with(map[string]any{}), status: 403, why: bearergate.ReasonActor},
		{name: "B: act is a list", url: b + "/invoices", token: with([]any{actor(ordersID)}), status: 401, why: bearergate.ReasonMalformed},
		{name: "B: act is a text", url: b + "/invoices", token: with(ordersID), status: 401, why: bearergate.ReasonMalformed},
	}, nil
}

// demonstrate sends all of it, prints what comes back, and then the audit trail of service
// B. The error names what is not as it should be.
func demonstrate(ctx context.Context, out io.Writer, w *world) error {
	requests, err := w.requests(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SENT\tSTATUS\tEXCHANGES\tSERVICE B SAYS, TO OPERATORS ALONE")
	var wrong []error
	for _, s := range requests {
		before := w.as.Requests("/token")
		status, err := send(ctx, s)
		events, exchanges := w.seen.take(), w.as.Requests("/token")-before
		why := "-"
		if len(events) > 0 {
			why = told(events[0])
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", s.name, status, exchanges, why)
		asked := 1
		if s.unasked {
			asked = 0
		}
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%s: %w", s.name, err))
		case status != s.status || exchanges != s.exchanges || len(events) != asked || asked == 1 && bearergate.ReasonOf(events[0].Err) != s.why:
			wrong = append(wrong, fmt.Errorf("%s: got %d, %d exchanges, %d decisions, %s", s.name, status, exchanges, len(events), why))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe audit trail of service B says of each who it was for, and who asked:")
	fmt.Fprintln(out)
	for _, r := range w.trail.records() {
		fmt.Fprintln(out, r)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d are not as they should be:\n%w", len(wrong), len(requests), errors.Join(wrong...))
	}
	_, err = fmt.Fprintf(out, "\nall %d as they should be\n", len(requests))
	return err
}

func send(ctx context.Context, s sent) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// told is what the event of a decision says.
func told(e middleware.DecisionEvent) string {
	err := bearergate.AsError(e.Err)
	if err == nil {
		return "accepted"
	}
	return fmt.Sprintf("%s: %s, expected %s, found %s", err.Reason, err.Detail, err.Expected, err.Found)
}

// join tells both.
func join(both ...middleware.Hooks) middleware.Hooks { return middleware.JoinHooks(both...) }

// decisions remembers what service B has decided.
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

// trail holds the records of the audit, where a service would have a file.
type trail struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (t *trail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// record is what is shown of an audit record; docs/audit.md has all of it.
type record struct {
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	Route   string `json:"route"`
	party
	Refused *party `json:"refused,omitempty"`
}

type party struct {
	Subject string `json:"subject,omitempty"`
	Actors  []struct {
		Subject string `json:"subject,omitempty"`
		Issuer  string `json:"issuer,omitempty"`
	} `json:"actors,omitempty"`
}

func (t *trail) records() (lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimSpace(t.text.String()), "\n") {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			lines = append(lines, err.Error())
			continue
		}
		shown, err := json.Marshal(r)
		if err != nil {
			shown = []byte(err.Error())
		}
		lines = append(lines, string(shown))
	}
	return lines
}
