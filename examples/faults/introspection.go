package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
)

// The intervals of introspection.
const (
	askTimeout   = time.Second            // for 3 s, where the server hangs
	answerTTL    = 300 * time.Millisecond // for 30 s, where an answer must end
	pastAnswer   = 350 * time.Millisecond
	storeTimeout = 50 * time.Millisecond // for 100 ms
	deaf         = 3 * time.Second       // how long the slow Store of F11b takes
	asAskedFor   = 2 * time.Second       // Retry-After of F4
	patience     = 2 * time.Second       // as slack, where what is wrong would show in another way too
	askPath      = "/introspect"
	secret       = "the secret of the orders API"
)

// introspectionFaults are those of whoever is asked about tokens, and of whoever sends them.
func introspectionFaults() []row {
	return []row{
		{id: "F1", fault: "the server hangs: 20 new tokens at once, then 100", must: "known ones accepted; 20 × 503 after 3 s (here 1 s), then at once, no call", try: hangs},
		{id: "F2", fault: "connection refused, 100 new tokens", must: "at most 5 calls, their retries and ours; 503 with Retry-After", try: refusesConnections},
		{id: "F3", fault: "500 for all, 20 tokens past their TTL, MaxStale", must: "all accepted, stale; the breaker opens after 5 calls and ours", try: serverErrors},
		{id: "F4", fault: "503 with Retry-After: 2, 100 new tokens", must: "at most 5 calls and ours, then none for 2 s", try: asksForTime},
		{id: "F5", fault: "HTML in the place of answers, 10 tokens, 10 times", must: "503, never 401; a call a second for each token; no breaker", try: func() (string, bool, error) {
			return talksNonsense("F5", authtest.Fault{Body: []byte("<html>log in</html>"), ContentType: "text/html"})
		}},
		{id: "F5b", fault: "JSON that is no answer, 10 tokens, 10 times", must: "the same", try: func() (string, bool, error) {
			return talksNonsense("F5b", authtest.Fault{Body: []byte(`{"keys":[]}`)})
		}},
		{id: "F6", fault: "our credentials are refused, 1,000 requests", must: "500 for each, never 401; a call and ours; one pause, one alarm", try: refusesUs},
		{id: "F7", fault: "one token that is reset, 100 times, beside 100 honest ones", must: "every honest one accepted; a call a second, and its retry, for the other", try: onePoisoned},
		{id: "F8", fault: "1,000 different ones that a firewall resets, beside honest ones", must: "every honest one accepted; no breaker, no alarm; ours a fifth at most", try: func() (string, bool, error) {
			return manyPoisoned("F8", reset)
		}},
		{id: "F8b", fault: "the same, and it answers 403", must: "the same", try: func() (string, bool, error) { return manyPoisoned("F8b", barred) }},
		{id: "F9", fault: "it hangs: 20,000 tokens of 15 KiB, whose callers leave after 50 ms", must: "at most 64 calls at once and ours; nothing is left; then all is well",
			alone: true, try: flood}, // it takes all that the machine has
		{id: "F10", fault: "one token revoked and purged under load, 1,000 others in the Store", must: "401 for the one, no call about the others", try: purgeUnderLoad},
		{id: "F11", fault: "the Store is down, 20 new tokens", must: "all accepted, a call each, and told", try: func() (string, bool, error) {
			return storeFails("F11", &store{fault: errors.New("down")})
		}},
		{id: "F11b", fault: "the Store is slow, and deaf to its context", must: "the same, 100 ms later (here 50 ms)", try: func() (string, bool, error) {
			return storeFails("F11b", &store{delay: deaf})
		}},
	}
}

// desk is an authorization server that is asked about tokens, the way to it, and an API
// that asks.
type desk struct {
	id     string
	as     *authtest.Server
	way    *way
	client *introspect.Client

	mu      sync.Mutex // guards the rest
	states  []introspect.BreakerState
	own     int // calls about a token of the client's own
	alarms  int // calls that say that our credentials are refused
	lost    int // operations of the Store
	seen    map[string]int
	stale   int
	longest time.Duration
}

// newDesk makes one. Its id labels the goroutines that its requests begin.
func newDesk(id string, change func(*introspect.Config)) (*desk, error) {
	as, err := authtest.Start(authtest.WithInMemory(), authtest.WithClient("orders-api", secret))
	if err != nil {
		return nil, err
	}
	d := &desk{id: id, as: as, way: &way{next: as.Client().Transport, calls: map[string]int{}}, seen: map[string]int{}}
	d.client, err = introspect.New(d.config(change))
	return d, err
}

func (d *desk) config(change func(*introspect.Config)) introspect.Config {
	config := introspect.Config{
		Issuer: d.as.Issuer(), Endpoint: d.as.URL(askPath), Auth: introspect.BasicAuth("orders-api", secret),
		Audiences: []string{authtest.DefaultAudience}, HTTPClient: &http.Client{Transport: d.way},
		Hooks: introspect.Hooks{
			Called: func(_ context.Context, e introspect.CallEvent) {
				d.count(&d.own, e.Own)
				d.count(&d.alarms, e.Outcome == introspect.OutcomeUnauthorized)
			},
			BreakerChanged: func(_ context.Context, e introspect.BreakerEvent) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.states = append(d.states, e.To)
			},
			StoreFailed: func(context.Context, introspect.StoreEvent) { d.count(&d.lost, true) },
		},
	}
	if change != nil {
		change(&config)
	}
	return config
}

func impatient(c *introspect.Config) { c.Timeout = askTimeout }

func (d *desk) count(n *int, happened bool) {
	if happened {
		d.mu.Lock()
		defer d.mu.Unlock()
		*n++
	}
}

// honest is a new token that is in force.
func (d *desk) honest() string { return d.as.Opaque(authtest.Claims{}) }

func (d *desk) several(n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = d.honest()
	}
	return tokens
}

// ask is one request. It returns what a client would be answered, and counts that.
func (d *desk) ask(ctx context.Context, token string) string { return d.askAt(ctx, d.client, token) }

func (d *desk) askAt(ctx context.Context, client *introspect.Client, token string) (verdict string) {
	var t *bearergate.Token
	var err error
	start := time.Now()
	pprof.Do(ctx, pprof.Labels("fault", d.id), func(ctx context.Context) { t, err = client.Verify(ctx, token) })
	took := time.Since(start)
	switch {
	case err == nil:
		verdict = "200"
	case errors.Is(err, bearergate.ErrInvalidToken):
		verdict = "401"
	case errors.Is(err, bearergate.ErrUnavailable):
		verdict = "503"
	default:
		verdict = "500"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[verdict]++
	if err == nil && t.Stale() {
		d.stale++
	}
	d.longest = max(d.longest, took)
	return verdict
}

// all sends each token, so many at a time.
func (d *desk) all(tokens []string, atOnce int) {
	next := make(chan string)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for token := range next {
				d.ask(context.Background(), token)
			}
		})
	}
	for _, token := range tokens {
		next <- token
	}
	close(next)
	wg.Wait()
}

// forget begins a new count.
func (d *desk) forget() {
	d.way.forget()
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.seen)
	d.own, d.stale, d.longest = 0, 0, 0
}

// healed heals the server, and tells after how long a new token is accepted.
func (d *desk) healed(within time.Duration) (told string, ok bool) {
	d.as.Fail(authtest.Fault{})
	d.way.set(nil)
	start := time.Now()
	for d.ask(context.Background(), d.honest()) != "200" {
		if time.Since(start) > within+patience {
			return "; not back", false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Sprintf("; back after %v", time.Since(start).Round(10*time.Millisecond)), true
}

// opened reports whether the breaker is open, for a while at most: it is the call about a
// token of the client's own that opens it.
func (d *desk) opened(within time.Duration) bool {
	for end := time.Now().Add(within + patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		open := slices.Contains(d.states, introspect.BreakerOpen)
		d.mu.Unlock()
		if open {
			return true
		}
	}
	return false
}

// left counts the goroutines that requests have begun and that are still there, after a
// while for what is under way.
func (d *desk) left(within time.Duration) (n int) {
	for end := time.Now().Add(within + patience); ; time.Sleep(10 * time.Millisecond) {
		if n = labelled(d.id); n == 0 || time.Now().After(end) {
			return n
		}
	}
}

// labelled counts the goroutines with a label, in the text that pprof writes: a line with
// their number, then one with their labels.
func labelled(id string) (total int) {
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		return -1
	}
	n, label := 0, fmt.Sprintf("%q:%q", "fault", id)
	for line := range strings.Lines(text.String()) {
		switch {
		case strings.HasPrefix(line, "# labels: ") && strings.Contains(line, label):
			total += n
		case !strings.HasPrefix(line, "#"):
			n = 0
			_, _ = fmt.Sscanf(line, "%d @", &n)
		}
	}
	return total
}

// told is what was seen: calls, verdicts, the longest wait and what is left.
func (d *desk) told(left int, more string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var verdicts strings.Builder
	for _, v := range []string{"200", "401", "500", "503"} {
		if d.seen[v] > 0 {
			fmt.Fprintf(&verdicts, ", %d × %s", d.seen[v], v)
		}
	}
	if d.stale > 0 {
		fmt.Fprintf(&verdicts, ", %d stale", d.stale)
	}
	return fmt.Sprintf("%d calls, %d ours%s, longest %v, %d goroutines left%s", d.way.total(), d.own, verdicts.String(), d.longest.Round(time.Millisecond), left, more)
}

// quiet reports that nobody was alarmed: the breaker has not moved.
func (d *desk) quiet() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alarms == 0 && len(d.states) == 0
}

// way is the way to the server: it counts the calls, and something on it may not like a
// token.
type way struct {
	next http.RoundTripper

	mu       sync.Mutex // guards the rest
	fault    func(token string) (*http.Response, error)
	calls    map[string]int // by token
	now, max int            // under way
}

func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	token := form.Get("token")
	w.mu.Lock()
	w.calls[token]++
	w.now++
	w.max = max(w.max, w.now)
	fault := w.fault
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now--
	}()
	if fault != nil {
		if resp, err := fault(token); resp != nil || err != nil {
			return resp, err
		}
	}
	onwards := r.Clone(r.Context())
	onwards.Body = io.NopCloser(bytes.NewReader(body))
	return w.next.RoundTrip(onwards)
}

func (w *way) set(fault func(token string) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

func (w *way) total() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, calls := range w.calls {
		n += calls
	}
	return n
}

// most is how many calls were under way at once.
func (w *way) most() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.max
}

func (w *way) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.calls)
}

func (w *way) about(token string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[token]
}

const poison = "poison-"

func reset(token string) (*http.Response, error) {
	if strings.HasPrefix(token, poison) {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return nil, nil
}

func barred(token string) (*http.Response, error) {
	if strings.HasPrefix(token, poison) {
		return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": {"text/html"}}, Body: io.NopCloser(strings.NewReader("no")), ProtoMajor: 1, ProtoMinor: 1}, nil
	}
	return nil, nil
}

func hangs() (string, bool, error) {
	d, err := newDesk("F1", impatient)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	known := d.honest()
	warm := d.ask(context.Background(), known)
	d.as.Fail(authtest.Fault{Hang: true})
	d.forget()
	d.all(d.several(20), 20)
	first := d.longest
	open := d.opened(2 * askTimeout)
	calls := d.way.total()
	d.forget()
	d.all(d.several(100), 20)
	rest := d.longest
	good := warm == "200" && d.ask(context.Background(), known) == "200" && open && d.seen["503"] == 100 && first < askTimeout+patience && rest < patience && calls == 21 && d.way.total() == 0
	left := d.left(0)
	seen := d.told(left, fmt.Sprintf("; before: %d calls, longest %v", calls, first.Round(time.Millisecond)))
	back, ok := d.healed(introspect.BreakerMinOpen)
	return seen + back, good && ok && left == 0, nil
}

func refusesConnections() (string, bool, error) {
	d, err := newDesk("F2", nil)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	known := d.honest()
	warm := d.ask(context.Background(), known)
	d.way.set(func(string) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	})
	d.forget()
	start := time.Now()
	d.all(d.several(100), 1)
	calls, probes := d.way.total(), int(time.Since(start)/(introspect.BreakerMinOpen*9/10))
	good := warm == "200" && d.seen["503"] == 100 && calls <= 2*introspect.BreakerFailures+1+probes && d.ask(context.Background(), known) == "200"
	hint := d.hint()
	left := d.left(0)
	seen := d.told(left, fmt.Sprintf("; Retry-After %v", hint.Round(time.Millisecond)))
	back, ok := d.healed(2 * introspect.BreakerMinOpen)
	return seen + back, good && ok && hint > 0 && left == 0, nil
}

// hint is the Retry-After of a request now.
func (d *desk) hint() time.Duration {
	_, err := d.client.Verify(context.Background(), d.honest())
	if e := bearergate.AsError(err); err != nil {
		return e.RetryAfter
	}
	return 0
}

func serverErrors() (string, bool, error) {
	d, err := newDesk("F3", func(c *introspect.Config) { c.PositiveTTL, c.MaxStale = answerTTL, time.Minute })
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	tokens := d.several(20)
	d.all(tokens, 20)
	warm := d.seen["200"] == 20
	d.as.Fail(authtest.Fault{Status: 500})
	time.Sleep(pastAnswer)
	d.forget()
	start := time.Now()
	for range 5 {
		d.all(tokens, 1)
	}
	calls, probes := d.way.total(), int(time.Since(start)/(introspect.BreakerMinOpen*9/10))
	good := warm && d.stale == 100 && calls <= introspect.BreakerFailures+1+probes && d.opened(0)
	left := d.left(0)
	seen := d.told(left, "")
	back, ok := d.healed(2 * introspect.BreakerMinOpen)
	return seen + back, good && ok && left == 0, nil
}

func asksForTime() (string, bool, error) {
	d, err := newDesk("F4", nil)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	d.as.Fail(authtest.Fault{Status: 503, RetryAfter: asAskedFor})
	opening := time.Now() // at latest it opens when the next line has ended
	d.all(d.several(100), 1)
	calls, hint := d.way.total(), d.hint()
	good := d.seen["503"] == 100 && calls == introspect.BreakerFailures+1 && hint > 0 && hint <= asAskedFor && d.opened(0)
	left := d.left(0)
	seen := d.told(left, fmt.Sprintf("; Retry-After %v", hint.Round(time.Millisecond)))
	back, ok := d.healed(asAskedFor)
	pause := time.Since(opening)
	return seen + back, good && ok && pause >= asAskedFor && d.way.total() == calls+2 && left == 0, nil // ours, and the first new one
}

func talksNonsense(id string, fault authtest.Fault) (string, bool, error) {
	d, err := newDesk(id, nil)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	d.as.Fail(fault)
	tokens, start := d.several(10), time.Now()
	for range 10 {
		d.all(tokens, 10)
	}
	allowed := len(tokens) * (1 + int(time.Since(start)/time.Second))
	good := d.seen["503"] == 100 && d.way.total() <= allowed && d.quiet()
	left := d.left(0)
	seen := d.told(left, "")
	d.as.Fail(authtest.Fault{})
	return seen, good && left == 0 && d.ask(context.Background(), d.honest()) == "200", nil
}

func refusesUs() (string, bool, error) {
	d, err := newDesk("F6", func(c *introspect.Config) {
		c.Auth = introspect.BasicAuth("orders-api", "of last year")
	})
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	d.all(d.several(1000), 1)
	left := d.left(0)
	return d.told(left, fmt.Sprintf("; breaker %v", d.states)),
		d.seen["500"] == 1000 && d.way.total() == 2 && slices.Equal(d.states, []introspect.BreakerState{introspect.BreakerOpen}) && left == 0, nil
}

func onePoisoned() (string, bool, error) {
	d, err := newDesk("F7", nil)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	d.way.set(reset)
	start := time.Now()
	for range 100 {
		d.ask(context.Background(), poison+"1")
		d.ask(context.Background(), d.honest())
		time.Sleep(10 * time.Millisecond)
	}
	poisoned, allowed := d.way.about(poison+"1"), 2*(1+int(time.Since(start)/time.Second))
	left := d.left(0)
	return d.told(left, fmt.Sprintf("; %d about the one", poisoned)),
		d.seen["200"] == 100 && d.seen["503"] == 100 && poisoned <= allowed && d.quiet() && left == 0, nil
}

func manyPoisoned(id string, fault func(string) (*http.Response, error)) (string, bool, error) {
	d, err := newDesk(id, nil)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	d.way.set(fault)
	tokens := []string{}
	for i := range 1000 {
		tokens = append(tokens, fmt.Sprint(poison, i))
		if i%10 == 0 {
			tokens = append(tokens, d.honest())
		}
	}
	d.all(tokens, 40)
	left := d.left(0)
	return d.told(left, ""), d.seen["200"] == 100 && d.seen["503"] == 1000 && d.own <= 1000/introspect.BreakerFailures && d.quiet() && left == 0, nil
}

func flood() (string, bool, error) {
	d, err := newDesk("F9", impatient)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	d.as.Fail(authtest.Fault{Hang: true})
	const callers, atOnce, stay = 20_000, 400, 50 * time.Millisecond
	long := strings.Repeat("x", 15<<10)
	var wg sync.WaitGroup
	for w := range atOnce {
		wg.Go(func() {
			for i := range callers / atOnce {
				ctx, cancel := context.WithTimeout(context.Background(), stay)
				d.ask(ctx, fmt.Sprint(w, "-", i, long))
				cancel()
			}
		})
	}
	wg.Wait()
	left := d.left(2 * askTimeout) // the calls that have begun, and then ours, go on to their end
	good := d.seen["503"] == callers && d.way.most() <= introspect.DefaultMaxCalls+1 && d.longest < stay+patience && left == 0
	seen := d.told(left, fmt.Sprintf("; %d calls at once", d.way.most()))
	back, ok := d.healed(2 * introspect.BreakerMinOpen)
	return seen + back, good && ok, nil
}

func purgeUnderLoad() (string, bool, error) {
	st := &store{values: map[string][]byte{}}
	share := func(c *introspect.Config) {
		c.Store.Answers, c.Store.Key = st, bearergate.NewSecret(strings.Repeat("k", 32))
	}
	d, err := newDesk("F10", share)
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	tokens := d.several(1000)
	stolen := d.honest()
	d.all(append([]string{stolen}, tokens...), 40)
	for end := time.Now().Add(5 * time.Second); st.len() < 1001 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	other, err := introspect.New(d.config(share)) // another process: it knows only what is in the Store
	if err != nil {
		return "", false, err
	}
	d.forget()
	revoked := make(chan struct{})
	var wg sync.WaitGroup
	var after []string // what the stolen token is answered
	for w := range 10 {
		wg.Go(func() {
			for i, token := range tokens[w*100 : w*100+100] {
				if w == 0 && i == 50 {
					d.as.Revoke(stolen)
					other.Purge(stolen)
					close(revoked)
				}
				d.askAt(context.Background(), other, token)
			}
		})
	}
	<-revoked
	for range 10 {
		after = append(after, d.askAt(context.Background(), other, stolen))
	}
	wg.Wait()
	left := d.left(0)
	return d.told(left, fmt.Sprintf("; %d about the one", d.way.about(stolen))),
		d.seen["200"] == 1000 && len(slices.Compact(after)) == 1 && after[0] == "401" && d.way.total() == 1 && left == 0, nil
}

func storeFails(id string, st *store) (string, bool, error) {
	d, err := newDesk(id, func(c *introspect.Config) {
		c.Store.Answers, c.Store.Key, c.Store.Timeout = st, bearergate.NewSecret(strings.Repeat("k", 32)), storeTimeout
	})
	if err != nil {
		return "", false, err
	}
	defer d.as.Close()
	d.all(d.several(20), 20)
	left := d.left(st.delay)
	return d.told(left, fmt.Sprintf("; StoreFailed told %d times", d.lost)),
		d.seen["200"] == 20 && d.way.total() == 20 && d.lost >= 20 && d.longest < storeTimeout+patience && left == 0, nil
}

// store is a Store in memory, which may fail.
type store struct {
	fault error
	delay time.Duration

	mu     sync.Mutex // guards values
	values map[string][]byte
}

func (s *store) Get(_ context.Context, key string) ([]byte, error) {
	time.Sleep(s.delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key], s.fault
}

func (s *store) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	time.Sleep(s.delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values != nil {
		s.values[key] = value
	}
	return s.fault
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}
