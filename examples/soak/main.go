// Soak drives a fleet behind bearergate from many goroutines, with good and bad credentials
// of every kind, while everything that the fleet needs fails, and judges every single answer.
//
//	go -C examples/soak run .                                   10 s
//	go -C examples/soak run . -duration 1h -rate 150            an hour, beside other work
//
// The fleet is two processes that share nothing but what is in Redis: which proofs were used,
// what is revoked, what is purged, and answers of introspection. They are in this program, each
// with verifiers, caches, lists, gates and servers of its own. The authorization server fails
// in every way, rotates its keys and revokes tokens. Redis fails too: its master is killed,
// it hangs, all of it hangs for longer than processes may go without. nginx and HAProxy stand
// in front. What is not installed is left out, and said; with BEARERGATE_REDIS=required and
// BEARERGATE_INTEROP=required that is an error.
//
// So that much happens in little time, intervals are short: keys are fetched again after
// 0.3 s, unknown key IDs cause a fetch every 0.2 s, an answer of introspection is remembered
// for 10 s, and no call may take more than 0.5 s. A process that has heard nothing of the
// others for 15 s lets nobody in. For how long keys outlive an outage, an hour, and the
// backoff after failures, from 1 s, are as they are.
//
// It exits with an error after a wrong answer, if there was no request of some kind in a
// minute or more, and if memory, goroutines or connections are left: see maxHeapGrowth and
// maxGoroutineGrowth.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/authtest"
)

const (
	maxHeapGrowth      = 16 << 20 // bytes
	maxGoroutineGrowth = 5
	size               = 2 // of the fleet
	idleTimeout        = 30 * time.Second
	oldClient          = "old-client" // whose the API key is
	longEnough         = time.Minute  // for a request of every kind
)

// options are what the command line says.
type options struct {
	duration      time.Duration
	workers, rate int
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long; faults that have begun are played to their end")
	flag.IntVar(&o.workers, "workers", 16, "how many requests at once")
	flag.IntVar(&o.rate, "rate", 400, "how many requests a second, at most; 0: as many as there can be")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// quiet keeps the client of Redis from writing what is counted here.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// run soaks for as long as the options say, or until ctx ends.
func run(ctx context.Context, out io.Writer, o options) (err error) {
	if o.workers < 1 || o.rate < 0 {
		return errors.New("-workers must be 1 or more, and -rate 0 or more")
	}
	redis.SetLogger(quiet{})
	alone := runtime.NumGoroutine()
	w, end, err := build(o.workers)
	if err != nil {
		return err
	}
	heap, goroutines, err := w.soak(ctx, out, o)
	endHeap, endGoroutines := w.idle(goroutines)
	var grown bytes.Buffer // what they do, for whoever has to find out why
	if endGoroutines > goroutines+maxGoroutineGrowth {
		_ = pprof.Lookup("goroutine").WriteTo(&grown, 1)
	}
	var open int64
	for _, p := range w.processes {
		open += p.connections.Load()
	}
	end()
	left := settle(alone)

	requests := w.figures.print(out)
	f := &w.figures
	fmt.Fprintf(out, "\n%d requests, %d wrong answers\n", requests, w.wrong.Load())
	fmt.Fprintf(out, "%d rotations, %d tokens revoked (%d times not taken, and told again), %d of junk in bursts; %d proofs sent again after Redis had failed\n",
		f.rotations, f.revoked, f.refused, f.junk, f.replayed)
	fmt.Fprintf(out, "%d fetches of keys and %d introspections at the server; setbacks when no fault was there: %d of the server, %d of Redis; this machine was late by over %v %d times, by %v at most\n",
		w.as.Requests(keysPath), w.as.Requests(introspectPath), w.stalls.Load(), w.storeStalls.Load(), tooLate, w.late.Load(), time.Duration(w.latest.Load()).Round(time.Millisecond))
	fmt.Fprintf(out, "heap %.1f MiB → %.1f after the first outage of Redis → %.1f in the end, goroutines %d → %d, and %d → %d when all was closed; %d connections left\n",
		mib(heap), mib(w.warm.Load()), mib(endHeap), goroutines, endGoroutines, alone, left, open)

	if n := w.wrong.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d wrong answers, the first:\n%w", n, w.complaints.err()))
	}
	if unsent := w.unsent(); len(unsent) > 0 && o.duration >= longEnough && ctx.Err() == nil {
		err = errors.Join(err, fmt.Errorf("no request was sent of: %s", strings.Join(unsent, "; ")))
	}
	if endHeap > heap+maxHeapGrowth {
		err = errors.Join(err, fmt.Errorf("the heap has grown by more than %.0f MiB", mib(maxHeapGrowth)))
	}
	if endGoroutines > goroutines+maxGoroutineGrowth || left > alone+maxGoroutineGrowth {
		err = errors.Join(err, fmt.Errorf("more than %d goroutines have been left behind\n%s", maxGoroutineGrowth, &grown))
	}
	if open > 0 {
		err = errors.Join(err, fmt.Errorf("%d connections were not closed", open))
	}
	return err
}

// soak is the run itself. It returns what there was before the load.
func (w *world) soak(ctx context.Context, out io.Writer, o options) (heap uint64, goroutines int, err error) {
	fmt.Fprintf(out, "%d processes; %s\n", len(w.processes), w.store)
	for _, note := range w.notes {
		fmt.Fprintln(out, note)
	}
	fmt.Fprintln(out)
	if w.begin(); w.wrong.Load() > 0 {
		return 0, 0, errors.New("not begun")
	}
	heap, goroutines = w.idle(0)

	loaded, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if o.rate > 0 {
		ticker := time.NewTicker(time.Second / time.Duration(o.rate))
		defer ticker.Stop()
		w.pace = ticker.C
	}
	var load, directors sync.WaitGroup
	load.Go(func() { w.watch(loaded) })
	for range o.workers {
		load.Go(func() { w.work(loaded) })
	}
	// Directors end when they have played to the end what they have begun.
	enough, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	var errs [3]error
	for i, direct := range []func(context.Context) error{w.failServer, w.failStore, w.revoke} {
		directors.Go(func() {
			if errs[i] = direct(enough); errs[i] != nil {
				stop()
			}
		})
	}
	directors.Go(func() {
		for last := time.Now(); enough.Err() == nil; time.Sleep(hold) {
			w.store.pass(time.Since(last))
			last = time.Now()
		}
	})
	directors.Wait()
	cancel()
	load.Wait()
	for _, proofs := range w.used {
		proofs.forget()
	}
	return heap, goroutines, errors.Join(errs[:]...)
}

// build starts everything. What it returns ends all of that.
func build(workers int) (_ *world, end func(), err error) {
	w := newWorld()
	var ends []func()
	endAll := sync.OnceFunc(func() {
		for i := range ends {
			ends[len(ends)-1-i]()
		}
	})
	defer func() {
		if err != nil {
			endAll()
		}
	}()
	if w.store, err = openStore(); err != nil {
		return nil, nil, err
	}
	ends = append(ends, w.store.close)
	if err = check(w.store); err != nil {
		return nil, nil, err
	}
	if err = w.startServers(); err != nil {
		return nil, nil, err
	}
	ends = append(ends, func() {
		for _, s := range []*authtest.Server{w.as, w.partner, w.stranger} {
			s.Client().CloseIdleConnections()
			s.Close()
		}
	})
	i, err := newIdentity()
	if err != nil {
		return nil, nil, err
	}
	f := fleet{certificate: i.certificate, secret: make([]byte, 32)}
	if _, err = rand.Read(f.secret); err != nil {
		return nil, nil, err
	}
	key, record, err := apikey.Generate("soak")
	if err != nil {
		return nil, nil, err
	}
	stranger, _, err := apikey.Generate("soak")
	if err != nil {
		return nil, nil, err
	}
	record.Owner, record.Scopes = oldClient, []string{"read"}
	f.apiKey, w.apiKey, w.noKey = record, key.Reveal(), stranger.Reveal()
	for n := range size {
		p, err := w.start(n+1, f)
		if err != nil {
			return nil, nil, err
		}
		ends = append(ends, p.close)
		w.processes = append(w.processes, p)
		w.doors = append(w.doors, &door{is: direct, process: p.number, scheme: "https", address: p.secure}, &door{is: plain, process: p.number, scheme: "http", address: p.plain}, &door{is: rpc, process: p.number, address: p.calls})
	}
	service, closeService, err := backend()
	if err != nil {
		return nil, nil, err
	}
	ends = append(ends, closeService)
	x, err := w.front(i, service)
	if err != nil {
		return nil, nil, err
	}
	ends = append(ends, x.close)
	w.notes, w.doors = x.notes, append(w.doors, x.doors...)
	for _, d := range w.doors {
		d.open(i, workers, &w.own, &w.other)
		ends = append(ends, d.close)
		if d.is == rpc {
			if err = d.dial(i, &w.own, &w.other); err != nil {
				return nil, nil, err
			}
		}
	}
	return w, endAll, nil
}

// startServers starts the authorization servers, and makes what clients have.
func (w *world) startServers() (err error) {
	var errs [7]error
	w.as, errs[0] = authtest.Start(authtest.WithClient("api", "secret"), authtest.WithAlgorithms(algorithms...))
	w.partner, errs[1] = authtest.Start()
	w.stranger, errs[2] = authtest.Start(authtest.WithInMemory())
	w.key, errs[3] = authtest.NewDPoPKey("ES256")
	w.thief, errs[4] = authtest.NewDPoPKey("ES256")
	w.own, errs[5] = authtest.NewClientCertificate()
	w.other, errs[6] = authtest.NewClientCertificate()
	return errors.Join(errs[:]...)
}

// backend is the service behind nginx, which believes what it is passed.
func backend() (address string, end func(), err error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.HandlerFunc(serve), ReadHeaderTimeout: time.Minute, IdleTimeout: idleTimeout, ErrorLog: silent}
	go func() { _ = s.Serve(listener) }()
	return listener.Addr().String(), func() { _ = s.Close() }, nil
}

// idle closes connections that nobody uses, waits until no more than so many goroutines are
// left, or with 0 until there are no fewer any more, for 10 s at most, and measures.
func (w *world) idle(want int) (heap uint64, goroutines int) {
	same := 0
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, d := range w.doors {
			d.shut()
		}
		w.as.Client().CloseIdleConnections()
		w.partner.Client().CloseIdleConnections()
		now := runtime.NumGoroutine() - w.store.goroutines()
		if same++; now != goroutines {
			same = 0
		}
		if goroutines = now; want > 0 && now <= want || want == 0 && same > 50 {
			break
		}
	}
	return heapNow(), goroutines
}

func heapNow() uint64 {
	runtime.GC()
	runtime.GC() // what pools have kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// settle waits until no more than so many goroutines are left, for 10 s at most.
func settle(want int) (left int) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if left = runtime.NumGoroutine(); left <= want || time.Now().After(deadline) {
			return left
		}
	}
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
