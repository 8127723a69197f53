// Soak drives an API behind bearergate from many goroutines, with good and bad
// tokens of every kind, while its authorization server fails in every way,
// rotates its keys and revokes tokens, and checks every single answer.
//
//	go run ./examples/soak                             10 s
//	go run ./examples/soak -duration 10m -workers 64
//
// Both servers run in this process and are reached over HTTP on loopback TCP.
// So that much happens in little time, the intervals are short: keys are fetched
// again after 0.3 s, unknown key IDs cause a fetch every 0.2 s, an answer of
// introspection is remembered for 0.3 s, and no call may take more than 0.5 s.
// For how long keys outlive an outage, an hour, and the backoff after failures,
// from 1 s, are as they are.
//
// It exits with an error after a wrong answer, and if memory or goroutines have
// grown by more than maxHeapGrowth and maxGoroutineGrowth.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const (
	maxHeapGrowth      = 16 << 20 // bytes
	maxGoroutineGrowth = 5

	keysTTL      = 300 * time.Millisecond
	missInterval = 200 * time.Millisecond
	fetchTimeout = 500 * time.Millisecond
	positiveTTL  = 300 * time.Millisecond
	callTimeout  = 500 * time.Millisecond
)

func main() {
	duration := flag.Duration("duration", 10*time.Second, "how long; the last fault is always played to its end")
	workers := flag.Int("workers", 16, "how many requests at once")
	flag.Parse()
	if err := run(os.Stdout, *duration, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, duration time.Duration, workers int) error {
	if workers < 1 {
		return errors.New("-workers must be 1 or more")
	}
	as, err := authtest.Start(authtest.WithClient("api", "secret"))
	if err != nil {
		return err
	}
	defer as.Close()
	stranger, err := authtest.Start(authtest.WithInMemory())
	if err != nil {
		return err
	}
	defer stranger.Close()
	w := &world{as: as, stranger: stranger}
	before := runtime.NumGoroutine()
	if err := w.serve(workers); err != nil {
		return err
	}
	defer w.close()
	if err := w.begin(); err != nil {
		return err
	}
	heap, goroutines := w.idle(before + 1) // the one that accepts connections

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { w.work(ctx) })
	}
	start := time.Now()
	for n := 0; err == nil && time.Since(start) < duration; n++ {
		err = w.play(steps[n%len(steps)])
	}
	took := time.Since(start)
	cancel()
	all.Wait()
	endHeap, endGoroutines := w.idle(goroutines)

	requests := w.seen.print(out)
	fmt.Fprintf(out, "\n%d requests in %v by %d workers, %d wrong answers\n", requests, took.Round(time.Millisecond), workers, w.wrong.Load())
	fmt.Fprintf(out, "%d faults, %d rotations, %d revocations; %d fetches of keys and %d introspections at the server; %d setbacks when no fault was there\n",
		w.now.Load().faults, w.now.Load().generation, w.revocations, as.Requests(keysPath), as.Requests(introspectPath), w.stalls.Load())
	fmt.Fprintf(out, "heap %.1f → %.1f MiB, goroutines %d → %d\n", mib(heap), mib(endHeap), goroutines, endGoroutines)

	if n := w.wrong.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d wrong answers, the first: %s", n, *w.first.Load()))
	}
	if endHeap > heap+maxHeapGrowth {
		err = errors.Join(err, fmt.Errorf("the heap has grown by more than %.0f MiB", mib(maxHeapGrowth)))
	}
	if endGoroutines > goroutines+maxGoroutineGrowth {
		err = errors.Join(err, fmt.Errorf("more than %d goroutines have been left behind", maxGoroutineGrowth))
	}
	return err
}

// serve starts the API.
func (w *world) serve(workers int) error {
	issuer, audiences := w.as.Issuer(), []string{authtest.DefaultAudience}
	var errs [6]error
	w.keys, errs[0] = jwks.New(jwks.Config{Issuer: issuer, HTTPClient: w.as.Client(), TTL: keysTTL, MinTTL: keysTTL,
		MissInterval: missInterval, FetchTimeout: fetchTimeout, Hooks: jwks.Hooks{Fetched: w.fetched}})
	// Fewer entries than tokens: some are in the cache, some are not.
	jwts, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: audiences, Keys: w.keys, CacheEntries: kitSize})
	errs[1] = err
	opaque, err := introspect.New(introspect.Config{Issuer: issuer, Audiences: audiences, HTTPClient: w.as.Client(), Auth: introspect.BasicAuth("api", "secret"),
		Timeout: callTimeout, Calls: introspect.CallsConfig{Max: 1 << 16}, PositiveTTL: positiveTTL, NegativeTTL: positiveTTL, Cache: introspect.CacheConfig{Entries: 256},
		Hooks: introspect.Hooks{Called: w.called, BreakerChanged: w.breaker}})
	errs[2] = err
	router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: jwts}, Opaque: opaque})
	errs[3] = err
	gate, err := middleware.New(router, middleware.Config{})
	errs[4] = err
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	errs[5] = err
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	w.url = "http://" + listener.Addr().String()
	w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}, Timeout: time.Minute}
	w.api = &http.Server{ReadHeaderTimeout: time.Minute,
		Handler: gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, served) }))}
	go func() { _ = w.api.Serve(listener) }() // ends with close
	return nil
}

func (w *world) close() {
	w.client.CloseIdleConnections()
	_ = w.api.Close()
}

// idle closes connections that nobody uses, waits until no more than so many
// goroutines are left, for 10 s at most, and measures.
func (w *world) idle(want int) (heap uint64, goroutines int) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		w.client.CloseIdleConnections()
		w.as.Client().CloseIdleConnections()
		if goroutines = runtime.NumGoroutine(); goroutines <= want || time.Now().After(deadline) {
			break
		}
	}
	runtime.GC()
	runtime.GC() // what pools have kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, goroutines
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }

// seen counts the answers. Its size does not grow.
type seen struct {
	mu      sync.Mutex // guards the rest
	answers [classes][600]int
	took    [classes][256]int // each a tenth longer than the one before
}

func (s *seen) add(c class, status int, took time.Duration) {
	longer := math.Log(max(1, float64(took.Microseconds()))) / math.Log(1.1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[c][status]++
	s.took[c][min(int(longer), len(s.took[c])-1)]++
}

func (s *seen) print(out io.Writer) (requests int) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "TOKEN\t200\t401\t403\t503\tOTHER\tP50\tP99\t")
	for c, of := range s.answers {
		all := 0
		for _, n := range of {
			all += n
		}
		// What so many in a hundred stay below.
		percentile := func(percent int) time.Duration {
			sum, i := 0, 0
			for ; i < len(s.took[c])-1 && (sum+s.took[c][i])*100 < all*percent; i++ {
				sum += s.took[c][i]
			}
			return time.Duration(math.Pow(1.1, float64(i+1))) * time.Microsecond
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%v\t%v\t\n", classOf[c].name, of[200], of[401], of[403], of[503],
			all-of[200]-of[401]-of[403]-of[503], percentile(50), percentile(99))
		requests += all
	}
	_ = t.Flush()
	return requests
}
