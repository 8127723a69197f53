// Package services has two APIs, of which one calls the other in the name of its users,
// with tokens that say so (RFC 8693): copy from it.
//
// [NewOrders] is service A. It exchanges the user's token, by an [Exchanger], for one that
// is good at service B alone and names service A as the actor.
//
// [NewBilling] is service B. It knows the user by sub, and who acts for the user by act,
// and decides by both.
package services

import (
	"fmt"
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// BillingConfig is what service B needs.
type BillingConfig struct {
	Issuer   string // of the tokens
	Audience string // of this API
	Scope    string // that its routes require
	Orders   string // service A, as act has its sub
	Hooks    middleware.Hooks
}

// NewBilling returns service B.
func NewBilling(c BillingConfig) (http.Handler, error) {
	gate, err := newGate(c.Issuer, c.Audience, c.Hooks)
	if err != nil {
		return nil, err
	}
	need, orders := scope.All(c.Scope), map[string][]bearergate.Actor{c.Issuer: {{Subject: c.Orders}}}
	router := gate.NewRouter()

	// Service A alone, for a user who has called it directly.
	router.Handle("GET /invoices", need, says("invoices"), middleware.Delegation(bearergate.Delegation{Actors: orders}))

	// The user too; and service A may itself have been called by somebody who acts for them.
	router.Handle("GET /statements", need, says("statements"),
		middleware.Delegation(bearergate.Delegation{Actors: orders, MaxChain: 2, AllowDirect: true}))

	// The user, and nobody else in their name.
	router.Handle("GET /account", need, says("account"), middleware.Delegation(bearergate.Delegation{AllowDirect: true}))
	return router.Handler()
}

// says answers what is asked for, for whom, and who has asked.
func says(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearergate.FromContext(r.Context())
		if !ok {
			http.Error(w, "this handler must be behind a gate", http.StatusInternalServerError)
			return
		}
		by := token.Subject()
		if chain := token.Actor(); len(chain) > 0 {
			by = chain[0].Subject
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "%s of %s, asked for by %s", what, token.Subject(), by)
	})
}
