package redisgate_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/revocation"
)

func Example() {
	server, err := miniredis.Run() // in place of a Redis
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	client := redis.NewClient(redisgate.Options(&redis.Options{Addr: server.Addr()})) // with a password and TLSConfig, outside of an example
	defer client.Close()
	shared, err := redisgate.New(client, redisgate.Config{
		Namespace: "orders",
		Secrets:   [][]byte{[]byte("32 random bytes, and not these !")},
		Timeout:   time.Second, // an example must not fail on a busy machine
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := shared.Check(context.Background()); err != nil {
		fmt.Println(err)
		return
	}

	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{"https://api.example.com"}, Replay: shared.Replay()})
	if err != nil {
		fmt.Println(err)
		return
	}
	revoked, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: shared.Log()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(proofs.Scheme(), revoked.Status().Ready)

	for range 2 {
		fresh, err := shared.Replay().Use(context.Background(), "a proof", time.Now().Add(time.Minute))
		fmt.Println(fresh, err)
	}
	// Output:
	// DPoP false
	// true <nil>
	// false <nil>
}
