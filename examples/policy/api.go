package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/policy"
	"github.com/bearergate/bearergate/scope"
)

// posture is what the inventory knows of a device. The inventory is the only one who says
// it: what a client says of its own device proves nothing.
type posture string

const (
	managed  posture = "managed"
	reported posture = "reported" // lost or stolen
	unknown  posture = "unknown"  // no device, or one that nobody registered
)

// inventory tells the posture of a device: a service of the company's, in real life. ""
// is that of a device that it does not know.
type inventory interface {
	posture(ctx context.Context, tenant, device string) (posture, error)
}

// authorizer puts the rules in front of routes and methods.
type authorizer struct {
	decisions *policy.Cache
	devices   *devices
}

// newAuthorizer compiles the rules. decided, if not nil, is told of each decision of the
// rules, which a remembered one is not.
func newAuthorizer(ctx context.Context, rules string, source inventory, decided func(question)) (*authorizer, error) {
	e, err := newEngine(ctx, rules)
	if err != nil {
		return nil, err
	}
	decisions, err := policy.New(policy.Config{Decide: func(ctx context.Context, t *bearergate.Token, inputs []string) error {
		q := question{Token: said(t)}
		if err := q.read(inputs); err != nil {
			return err
		}
		if decided != nil {
			decided(q)
		}
		return e.decide(ctx, q)
	}})
	if err != nil {
		return nil, err
	}
	return &authorizer{decisions, &devices{source: source, known: map[deviceKey]seen{}}}, nil
}

// ask decides about a request. The posture is among the inputs, so that a device that is
// reported stolen is decided on anew as soon as the posture itself is looked up again.
// Whatever else the rules are to know has to become an input here.
func (a *authorizer) ask(ctx context.Context, t *bearergate.Token, method, pattern string, values ...string) error {
	p, err := a.devices.of(ctx, t)
	if err != nil {
		return outage(err)
	}
	return a.decisions.Ask(ctx, t, append([]string{method, pattern, string(p)}, values...)...)
}

// read is the other half of ask: values are names and values in turn.
func (q *question) read(inputs []string) error {
	if len(inputs) < 3 || len(inputs)%2 == 0 {
		return errors.Join(bearergate.ErrMisconfigured, errors.New("the inputs are not those of ask"))
	}
	q.Route = routeInput{Method: inputs[0], Pattern: inputs[1], Values: map[string]string{}}
	q.Device.Posture = posture(inputs[2])
	for i := 3; i < len(inputs); i += 2 {
		q.Route.Values[inputs[i]] = inputs[i+1]
	}
	return nil
}

// http is for middleware.Allow. names are the path values that the rules may see.
func (a *authorizer) http(names ...string) middleware.RouteOption {
	return middleware.Allow(func(r *http.Request, t *bearergate.Token) error {
		var values []string
		for _, name := range names {
			values = append(values, name, r.PathValue(name))
		}
		return a.ask(r.Context(), t, r.Method, r.Pattern, values...)
	})
}

// grpc is for Policies of grpcgate.
func (a *authorizer) grpc(ctx context.Context, fullMethod string, t *bearergate.Token) error {
	return a.ask(ctx, t, http.MethodPost, fullMethod)
}

// newAPI has two routes that the rules decide about, beyond their scopes.
func newAPI(v bearergate.Verifier, a *authorizer, hooks middleware.Hooks) (http.Handler, error) {
	gate, err := middleware.New(v, middleware.Config{Hooks: hooks})
	if err != nil {
		return nil, err
	}
	router := gate.NewRouter()
	done := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	router.HandleFunc("GET /orders/{tenant}/{id}", scope.All("orders:read"), done, a.http("tenant", "id"))
	router.HandleFunc("POST /orders/{tenant}/{id}/refund", scope.All("orders:refund"), done, a.http("tenant", "id"))
	return router.Handler()
}

// newGRPCGate is the same rules in front of gRPC. An open stream is asked about again.
func newGRPCGate(v bearergate.Verifier, a *authorizer) (*grpcgate.Gate, error) {
	const watch = "/orders.v1.Orders/Watch"
	return grpcgate.New(v, grpcgate.Config{
		Methods:  map[string]scope.Requirement{watch: scope.All("orders:read")},
		Policies: map[string][]func(context.Context, string, *bearergate.Token) error{watch: {a.grpc}},
		Reverify: 30 * time.Second,
	})
}

const (
	// postureTTL is how long a device that was reported stolen still counts as it did.
	postureTTL = 10 * time.Second
	// maxDevices bounds what is remembered. Whoever has tokens for that many devices makes
	// it forget, and then the inventory is asked more often.
	maxDevices = 10_000
	// maxDeviceName is the longest name that is remembered. Others are looked up each time.
	maxDeviceName = 128
)

// devices remembers postures. They are keyed by issuer, tenant and device, since a device
// ID means something to its tenant alone, and a tenant to its issuer.
type devices struct {
	source inventory

	mu    sync.Mutex // guards known; not held while the inventory is asked
	known map[deviceKey]seen
}

type deviceKey struct{ issuer, tenant, device string }

type seen struct {
	posture posture
	until   time.Time
}

// of returns the posture of the device that the token names. The claim is one that the
// authorization server writes and signs; a header would say what its sender likes. An
// inventory that does not answer is an error, and never "unknown".
func (d *devices) of(ctx context.Context, t *bearergate.Token) (posture, error) {
	var claims struct {
		Device string `json:"device_id"`
	}
	if err := t.Claims(&claims); err != nil {
		return "", err
	}
	if claims.Device == "" {
		return unknown, nil
	}
	key, now := deviceKey{t.Issuer(), t.Tenant(), claims.Device}, time.Now()
	d.mu.Lock()
	last, ok := d.known[key]
	d.mu.Unlock()
	if ok && now.Before(last.until) {
		return last.posture, nil
	}
	p, err := d.source.posture(ctx, key.tenant, key.device)
	if err != nil {
		return "", fmt.Errorf("the inventory: %w", err)
	}
	switch p {
	case managed, reported, unknown:
	case "":
		p = unknown
	default: // "stolen", say: whoever takes that for "unknown" lets it read
		return "", errors.New("the inventory: a posture that nobody knows")
	}
	if len(claims.Device) > maxDeviceName {
		return p, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxDevices {
		clear(d.known)
	}
	d.known[key] = seen{p, now.Add(postureTTL)}
	return p, nil
}
