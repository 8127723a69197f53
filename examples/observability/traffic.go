package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

const (
	maxInFlight   = 64
	probeInterval = 100 * time.Millisecond
	probers       = 2 // revocations under way
)

// traffic is who uses the API, by right or not.
type traffic struct {
	url          string
	client       *http.Client
	as, stranger *authtest.Server
	kinds        []kind
	revocation   prometheus.Observer
	up           prometheus.Gauge

	mu          sync.Mutex // guards what follows
	answers     map[answered]int
	revocations []time.Duration
	wrong       []error // bounded
}

// kind is a kind of request.
type kind struct {
	name         string
	method, path string
	weight       int           // how many of a round
	token        func() string // "": none is sent
	right        []int         // the statuses that are right
}

type answered struct {
	kind   string
	status int
}

func newTraffic(url string, client *http.Client, as, stranger *authtest.Server, revocation prometheus.Observer) *traffic {
	read := authtest.Claims{Subject: "alice", ClientID: "shop", AuthTime: time.Now(), Scopes: scope.Of("orders:read"), Raw: []byte(`{"tenant":"acme"}`)}
	account := authtest.Claims{Subject: "alice", ClientID: "mobile", AuthTime: time.Now(), Scopes: scope.Of("account:read"), Raw: []byte(`{"tenant":"globex"}`)}
	expired := read // of a program that has kept its token for too long
	expired.Subject, expired.ClientID, expired.AuthTime = "nightly-report", "nightly-report", time.Time{}
	expired.ExpiresAt = time.Now().Add(-time.Minute)
	foreign := read
	foreign.Issuer = as.Issuer()
	signature := func(token string) string { return token[strings.LastIndexByte(token, '.'):] }
	withoutSignature := func(token string) string { return strings.TrimSuffix(token, signature(token)) }
	revoked := as.Opaque(account)
	as.Revoke(revoked)

	// Clients use a token more than once.
	jwts := pool(20, func() string { return as.Token(read) })
	opaque := pool(10, func() string { return as.Opaque(account) })
	return &traffic{url: url, client: client, as: as, stranger: stranger, revocation: revocation, up: newUp(), answers: map[answered]int{}, kinds: []kind{
		{"valid JWT", "GET", "/orders", 12, jwts, []int{200}}, // the keys are there, outage or not
		{"expired JWT", "GET", "/orders", 1, always(as.Token(expired)), []int{401}},
		{"forged JWT, signature of another", "GET", "/orders", 1, always(withoutSignature(as.Token(read)) + signature(as.Token(read))), []int{401}},
		// While the keys cannot be had, nobody can say that there is no such key.
		{"forged JWT, key of a stranger", "GET", "/orders", 1, func() string { return stranger.Token(foreign) }, []int{401, 503}},
		{"JWT without the scope", "POST", "/orders", 1, jwts, []int{403}},
		{"no token", "GET", "/orders", 1, always(""), []int{401}},
		{"active opaque token", "GET", "/account", 6, opaque, []int{200, 503}},
		{"revoked opaque token", "GET", "/account", 1, always(revoked), []int{401, 503}},
	}}
}

func always(token string) func() string { return func() string { return token } }

// pool returns one of n tokens, each made when it is first needed.
func pool(n int, newToken func() string) func() string {
	var mu sync.Mutex // guards tokens
	tokens := make([]string, n)
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		i := rand.N(n)
		if tokens[i] == "" {
			tokens[i] = newToken()
		}
		return tokens[i]
	}
}

// send sends a request per interval, of all kinds in turn, until ctx ends.
func (t *traffic) send(ctx context.Context, interval time.Duration) {
	var round []kind
	for _, k := range t.kinds {
		round = append(round, slices.Repeat([]kind{k}, k.weight)...)
	}
	rand.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	free := make(chan struct{}, maxInFlight)
	var sending sync.WaitGroup
	defer sending.Wait()
	for i := 0; ; i++ {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		sending.Go(func() {
			t.request(ctx, round[i%len(round)])
			<-free
		})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// request sends one request and notes whether the answer is right.
func (t *traffic) request(ctx context.Context, k kind) {
	status, err := t.do(ctx, k.method, k.path, k.token())
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", k.name, err)
	case !slices.Contains(k.right, status):
		err = fmt.Errorf("%s: answered %d", k.name, status)
	}
	if err != nil && len(t.wrong) < 10 {
		t.wrong = append(t.wrong, err)
	}
	t.answers[answered{k.name, status}]++
}

func (t *traffic) do(ctx context.Context, method, path, token string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, t.url+path, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if rand.N(10) == 0 { // a tracer samples one in ten
		req.Header.Set("Traceparent", fmt.Sprintf("00-%016x%016x-%016x-01", rand.Uint64(), rand.Uint64(), rand.Uint64()))
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// revoke revokes tokens that are in use, and measures how long they still open
// a route, until ctx ends.
func (t *traffic) revoke(ctx context.Context) {
	var probing sync.WaitGroup
	for range probers {
		probing.Go(func() {
			for t.revokeOne(ctx) {
			}
		})
	}
	probing.Wait()
}

// revokeOne reports whether to go on.
func (t *traffic) revokeOne(ctx context.Context) bool {
	token := t.as.Opaque(authtest.Claims{Subject: "mallory", Scopes: scope.Of("account:read")})
	opens := func() bool {
		status, err := t.do(ctx, "GET", "/account", token)
		return err == nil && status == http.StatusOK
	}
	// In use for a while, so that the answer which is remembered has any age.
	opened := false
	for until := time.Now().Add(rand.N(positiveTTL)); time.Now().Before(until); {
		opened = opens()
		if !sleep(ctx, probeInterval) {
			return false
		}
	}
	t.as.Revoke(token)
	if !opened {
		return true // an outage: what opened nothing measures nothing
	}
	revoked := time.Now()
	// A 503 ends it too: the token opens nothing any more.
	for opens() {
		if !sleep(ctx, probeInterval) {
			return false
		}
	}
	if ctx.Err() != nil {
		return false // the request was broken off, which is no answer
	}
	took := time.Since(revoked)
	t.revocation.Observe(took.Seconds())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revocations = append(t.revocations, took)
	return true
}
