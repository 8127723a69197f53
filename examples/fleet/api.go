package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/admin"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/scope"
)

const (
	audience = "https://orders.example.com" // the name of the API in the aud of its tokens
	client   = "orders-web"                 // the application that users log in to
	// lag is short, so that the demonstration is. Leave MaxLag out, and it is 30 s.
	lag = 10 * time.Second
)

// settings are what all processes of the fleet have in common.
type settings struct {
	issuer string // the authorization server
	redis  string // host:port
	secret []byte // seals what is in Redis
}

// newAPI returns the handler of one process. Run has to run as long as it serves.
func newAPI(ctx context.Context, s settings) (h http.Handler, list *revocation.List, err error) {
	store := redis.NewClient(redisgate.Options(&redis.Options{Addr: s.redis}))
	shared, err := redisgate.New(store, redisgate.Config{Namespace: "orders", Secrets: [][]byte{s.secret}})
	if err != nil {
		return nil, nil, err
	}
	list, err = revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: shared.Log(), MaxLag: lag})
	if err != nil {
		return nil, nil, err
	}
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: s.issuer, Audiences: []string{audience}, Check: list.Check})
	if err != nil {
		return nil, nil, err
	}
	list.Watch(verifier.Keys()) // fetched again when one is revoked
	gate, err := middleware.New(verifier, middleware.Config{})
	if err != nil {
		return nil, nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /orders", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "two orders")
	})))

	// The authorization server says here which sessions have ended.
	logout, err := backchannel.New(backchannel.Config{List: list, Issuer: s.issuer, ClientIDs: []string{client}, Keys: verifier.Keys()})
	if err != nil {
		return nil, nil, err
	}
	mux.Handle("POST /logout", logout)

	// Operators say here whom to shut out.
	operators, err := admin.New(admin.Config{List: list, Protect: gate.Require(scope.All("revocation:write"))})
	if err != nil {
		return nil, nil, err
	}
	mux.Handle("/revocation/", http.StripPrefix("/revocation", operators))

	// A probe of readiness: a process that does not know what is revoked gets no traffic.
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if !list.Status().Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	go func() {
		_ = list.Run(ctx)
		_ = store.Close()
	}()
	return mux, list, nil
}

// serve is one process of the fleet: it serves until ctx ends, and says where.
func serve(ctx context.Context, out io.Writer, s settings) error {
	handler, list, err := newAPI(ctx, s)
	if err != nil {
		return err
	}
	if err := list.Warm(ctx); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
