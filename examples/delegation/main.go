// Command delegation runs two services, of which one calls the other in the name of its
// users: it exchanges their token (RFC 8693) for one that is good at the other alone, and
// says who acts. The other judges both, the user and the actor, and writes both into its
// audit trail.
//
//	go run .
//
// All of it is in this process: the authorization server, both services, the clients. What
// to copy is the package services. The rest is demonstration. docs/delegation.md explains
// it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/delegation/services"
)

// The services by the names that they have in aud, and in act.
const (
	ordersAPI  = "https://orders.example.com"
	billingAPI = "https://billing.example.com"
	ordersID   = "orders"
	gatewayID  = "gateway"
	reportsID  = "reports"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "delegation:", err)
		os.Exit(1)
	}
}

// run starts the authorization server and both services, and demonstrates them.
func run(ctx context.Context, out io.Writer) (err error) {
	as, err := authtest.Start(authtest.WithClient(ordersID, "s1"), authtest.WithClient(gatewayID, "s2"), authtest.WithClient(reportsID, "s3"))
	if err != nil {
		return err
	}
	defer as.Close()
	var trail trail
	audit, err := sloggate.New(sloggate.Config{Handler: slog.NewJSONHandler(&trail, nil)})
	if err != nil {
		return err
	}
	var seen decisions
	billing, err := services.NewBilling(services.BillingConfig{Issuer: as.Issuer(), Audience: billingAPI, Scope: "invoices:read", Orders: ordersID,
		Hooks: join(audit.GateHooks(), seen.hooks())})
	if err != nil {
		return err
	}
	billingURL, stop, err := serve(ctx, billing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	exchange, err := services.NewExchanger(exchangeFor(as, ordersID, "s1", billingAPI, "invoices:read"))
	if err != nil {
		return err
	}
	orders, err := services.NewOrders(services.OrdersConfig{Issuer: as.Issuer(), Audience: ordersAPI, Scope: "orders:read", Gateway: gatewayID,
		Billing: billingURL, Exchange: exchange})
	if err != nil {
		return err
	}
	ordersURL, stopOrders, err := serve(ctx, orders)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopOrders()) }()
	return demonstrate(ctx, out, &world{as: as, orders: ordersURL, billing: billingURL, seen: &seen, trail: &trail})
}

// exchangeFor is how a client exchanges tokens for an API.
func exchangeFor(as *authtest.Server, client, secret, audience string, scopes ...string) services.ExchangeConfig {
	return services.ExchangeConfig{TokenURL: as.URL("/token"), ClientID: client, Secret: bearergate.NewSecret(secret), Audience: audience, Scopes: scopes}
}

// serve serves on a free port of loopback, until stop is called.
func serve(ctx context.Context, h http.Handler) (url string, stop func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stop = func() error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
	return "http://" + listener.Addr().String(), stop, nil
}
