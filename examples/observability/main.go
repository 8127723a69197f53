// Command observability is an API under traffic whose metrics a Prometheus
// scrapes, with an outage of its authorization server in the middle.
//
//	go -C examples/observability run . -duration 60s   the API, its traffic and http://127.0.0.1:8080/metrics
//	examples/observability/run.sh                      the same, with a Prometheus that watches it
//
// What to copy from is [newAPI], and the files in rules. The rest is
// demonstration: so that much happens in a minute, keys are fetched again after
// 10 s instead of 10 min, and an answer of introspection is remembered for 5 s
// instead of 30 s.
//
// It exits with an error if a bad token is ever accepted, a good one refused, or
// a JWT of a known key held up by the outage.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/bearergate/bearergate/authtest"
)

func main() {
	var s settings
	flag.DurationVar(&s.duration, "duration", time.Minute, "how long the traffic lasts")
	flag.DurationVar(&s.outageAt, "outage-at", 20*time.Second, "when the authorization server stops answering")
	flag.DurationVar(&s.outageFor, "outage-for", 20*time.Second, "for how long; 0: no outage")
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8080", "address of the API and of /metrics")
	flag.IntVar(&s.rate, "rate", 50, "requests per second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, s); err != nil {
		fmt.Fprintln(os.Stderr, "observability:", err)
		os.Exit(1)
	}
}

const maxRate = 10000

type settings struct {
	duration, outageAt, outageFor time.Duration
	listen                        string
	rate                          int // requests per second
}

// run serves the API and sends it traffic until the duration or ctx ends.
func run(ctx context.Context, out io.Writer, s settings) error {
	if s.duration <= 0 || s.outageAt < 0 || s.outageFor < 0 || s.rate < 1 || s.rate > maxRate {
		return fmt.Errorf("-duration must be positive, -outage-at and -outage-for not negative, -rate between 1 and %d", maxRate)
	}
	as, err := authtest.Start(authtest.WithClient(clientID, clientSecret))
	if err != nil {
		return err
	}
	defer as.Close()
	stranger, err := authtest.Start(authtest.WithInMemory())
	if err != nil {
		return err
	}
	defer stranger.Close()
	a, err := newAPI(as.Issuer(), as.Client())
	if err != nil {
		return err
	}
	if err := a.warm(ctx); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: a.handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	url := "http://" + listener.Addr().String()
	fmt.Fprintf(out, "The API is at %s for %v, its metrics at %s/metrics.\n", url, s.duration, url)

	transport := &http.Transport{MaxIdleConnsPerHost: maxInFlight}
	t := newTraffic(url, &http.Client{Transport: transport, Timeout: 30 * time.Second}, as, stranger, a.revocation)
	t.up = a.up
	play(ctx, out, s, t)
	transport.CloseIdleConnections()
	// At most a scrape is under way, and the next one fails anyhow.
	return errors.Join(server.Close(), unlessClosed(<-ended), t.report(out))
}

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// play sends traffic for the duration, with the outage in the middle. When it
// returns, nothing of it is under way.
func play(ctx context.Context, out io.Writer, s settings, t *traffic) {
	ctx, cancel := context.WithTimeout(ctx, s.duration)
	defer cancel()
	var going sync.WaitGroup
	if s.outageFor > 0 {
		going.Go(func() {
			if !sleep(ctx, s.outageAt) {
				return
			}
			fmt.Fprintf(out, "The authorization server is down for %v.\n", s.outageFor)
			t.as.Fail(authtest.Fault{Drop: true})
			t.up.Set(0)
			if sleep(ctx, s.outageFor) {
				fmt.Fprintln(out, "It is back.")
			}
			t.as.Fail(authtest.Fault{})
			t.up.Set(1)
		})
	}
	going.Go(func() { t.send(ctx, time.Second/time.Duration(s.rate)) })
	going.Go(func() { t.revoke(ctx) })
	going.Wait()
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// report prints how every kind of request was answered, and returns an error if
// one was answered as it must not be.
func (t *traffic) report(out io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "REQUEST\tSTATUS\tTIMES\t")
	rows := make([]answered, 0, len(t.answers))
	for a := range t.answers {
		rows = append(rows, a)
	}
	slices.SortFunc(rows, func(a, b answered) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.status, b.status))
	})
	for _, a := range rows {
		fmt.Fprintf(table, "%s\t%d\t%d\t\n", a.kind, a.status, t.answers[a])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(t.revocations) > 0 {
		slices.Sort(t.revocations)
		fmt.Fprintf(out, "From revocation to refusal: %d times, half within %v, at most %v.\n", len(t.revocations),
			t.revocations[len(t.revocations)/2].Round(time.Millisecond), slices.Max(t.revocations).Round(time.Millisecond))
	}
	return errors.Join(t.wrong...)
}
