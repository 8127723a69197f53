//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// frozenEnv holds what the process that is stopped has to know, as JSON.
const frozenEnv = "BEARERGATE_FAULTS_FROZEN"

const (
	frozenTimeout  = time.Second                                                  // of a fetch and of a call
	frozenFor      = frozenTimeout + 1100*time.Millisecond + 400*time.Millisecond // longer than either can last, and what the clients take for a process that stood still
	frozenTTL      = 2 * time.Second                                              // the keys are fetched in the background from 80 % of it on
	frozenCalls    = 6                                                            // more than open the breaker
	frozenKnown    = 3                                                            // of them are about tokens whose answers are past their TTL
	frozenRounds   = 10                                                           // on a machine that is too busy to stop a process in time
	frozenDeadline = time.Minute                                                  // for what should take a moment
)

// frozenFaults is the process that stood still.
func frozenFaults() []row {
	return []row{
		{id: "F12", fault: "our process is stopped for 2.5 s, in a fetch and 6 calls (SIGSTOP)", must: "all accepted, none stale; a fetch more, a call more each; no outage counted",
			try: func() (string, bool, error) { return frozen(silent) }},
		{id: "F12b", fault: "the same, and the server answers meanwhile", must: "the same", try: func() (string, bool, error) { return frozen(answers) }},
	}
}

// What the server does with the requests that are under way when the process is stopped.
const (
	silent  = false // nothing, ever
	answers = true  // it answers while nobody reads
)

// briefing is what the child has to know.
type briefing struct {
	Server string   // its URL
	Issuer string   // of the tokens
	Tokens []string // the first is a JWT, the others are opaque
}

// told is what the child tells, a line each time.
type told struct {
	What     string // what has happened: "begins", "slept", "again"
	At       time.Time
	Verdicts map[string]string // of each token: "" is accepted
	Failures int               // of the key cache
	Stale    int               // accepted with keys or by an answer past their TTL
	Breaker  []introspect.BreakerState
}

// frozenChild is the process that is stopped. It tells what it does on out, and waits for a
// line on in where it has to.
func frozenChild(text string, in io.Reader, out io.Writer) error {
	var b briefing
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return err
	}
	w, err := newSleeper(b)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	ctx := context.Background()
	for i, verdict := range w.verify(b.Tokens[:1+frozenKnown]) {
		if verdict != "" {
			return fmt.Errorf("token %s before the stop: %s", i, verdict)
		}
	}
	if err := w.tell(out, told{What: "warm"}); err != nil {
		return err
	}
	for w.keys.Status().State != jwks.StateAhead { // as it is most of the time in a service that is in use
		time.Sleep(time.Millisecond)
	}
	if err := w.tell(out, told{What: "begins"}); err != nil {
		return err
	}
	if _, err := w.jwts.Verify(ctx, b.Tokens[0]); err != nil { // it has the keys fetched in the background
		return err
	}
	var slept sync.WaitGroup
	var asleep map[string]string
	slept.Go(func() { asleep = w.verify(b.Tokens[1:]) })
	if !lines.Scan() { // here it is stopped
		return io.ErrUnexpectedEOF
	}
	again := w.verify(b.Tokens)
	slept.Wait()
	return errors.Join(w.tell(out, told{What: "slept", Verdicts: asleep}), w.tell(out, told{What: "again", Verdicts: again}))
}

// sleeper is the two verifiers of the child, and what they told.
type sleeper struct {
	keys   *jwks.Cache
	jwts   *jwtverify.Verifier
	client *introspect.Client

	stale   atomic.Int64
	mu      sync.Mutex // guards breaker
	breaker []introspect.BreakerState
}

func newSleeper(b briefing) (w *sleeper, err error) {
	w = &sleeper{}
	if w.keys, err = jwks.New(jwks.Config{Issuer: b.Issuer, URL: b.Server + keysPath, TTL: frozenTTL, MinTTL: frozenTTL, FetchTimeout: frozenTimeout,
		Hooks: jwks.Hooks{StaleServed: func(context.Context, jwks.StaleEvent) { w.stale.Add(1) }}}); err != nil {
		return nil, err
	}
	if w.jwts, err = jwtverify.New(jwtverify.Config{Issuer: b.Issuer, Audiences: []string{authtest.DefaultAudience}, Keys: w.keys}); err != nil {
		return nil, err
	}
	w.client, err = introspect.New(introspect.Config{Issuer: b.Issuer, Endpoint: b.Server + askPath, Auth: introspect.BasicAuth("orders-api", secret),
		Audiences: []string{authtest.DefaultAudience}, Timeout: frozenTimeout, PositiveTTL: answerTTL, MaxStale: time.Minute,
		Hooks: introspect.Hooks{BreakerChanged: func(_ context.Context, e introspect.BreakerEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.breaker = append(w.breaker, e.To)
		}}})
	return w, err
}

// verify sends all tokens at once.
func (w *sleeper) verify(tokens []string) map[string]string {
	verdicts := map[string]string{}
	var mu sync.Mutex // guards verdicts
	var wg sync.WaitGroup
	for i, token := range tokens {
		wg.Go(func() {
			var v bearergate.Verifier = w.client
			if len(token) > 100 { // a JWT
				v = w.jwts
			}
			verdict := ""
			if t, err := v.Verify(context.Background(), token); err != nil {
				verdict = err.Error()
			} else if t.Stale() {
				w.stale.Add(1)
			}
			mu.Lock()
			defer mu.Unlock()
			verdicts[fmt.Sprintf("%d (%T)", i, v)] = verdict
		})
	}
	wg.Wait()
	return verdicts
}

func (w *sleeper) tell(out io.Writer, t told) error {
	status := w.keys.Status()
	w.mu.Lock()
	defer w.mu.Unlock()
	t.At, t.Failures, t.Stale, t.Breaker = time.Now(), status.Failures, int(w.stale.Load()), w.breaker
	return json.NewEncoder(out).Encode(t)
}

// watcher is the server of the child. It counts requests, and holds them back where it shall.
type watcher struct {
	as      *authtest.Server
	arrived chan struct{} // a value for each request that is held back
	release chan struct{} // closed when they are answered

	mu      sync.Mutex // guards the rest
	holding bool
	fetches int
	calls   map[string]int // by token
}

func (s *watcher) serve() (address string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: frozenDeadline}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

func (s *watcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.holds(r.URL.Path, r.PostFormValue("token")) {
		s.arrived <- struct{}{}
		select {
		case <-s.release:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == keysPath {
		_, _ = w.Write(s.as.JWKS())
		return
	}
	fmt.Fprintf(w, `{"active":true,"iss":%q,"aud":%q,"sub":"user-1","exp":%d}`, s.as.Issuer(), authtest.DefaultAudience, time.Now().Add(time.Hour).Unix())
}

// holds counts a request, and reports whether it is held back.
func (s *watcher) holds(path, token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == keysPath {
		s.fetches++
	} else {
		s.calls[token]++
	}
	return s.holding
}

// hold has requests held back, and counts anew.
func (s *watcher) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding, s.fetches = true, 0
	clear(s.calls)
}

// come reports whether all that the child asks for has come in time.
func (s *watcher) come(deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for range frozenCalls + 1 {
		select {
		case <-s.arrived:
		case <-timer.C:
			return false
		}
	}
	return true
}

// let ends the holding back: what was held back is answered, or never. It returns what has
// come so far.
func (s *watcher) let(answered bool) (fetches, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding = false
	if answered {
		close(s.release)
	}
	for _, n := range s.calls {
		calls += n
	}
	return s.fetches, calls
}

// slept is what came of a process that was stopped.
type slept struct {
	fetches, calls, most int // since it was woken; the most for one token, with the one that was slept through
	ours                 int // calls about tokens of the client's own
	slept, again         told
}

// frozen stops a process in the middle of everything, and wakes it.
func frozen(answered bool) (string, bool, error) {
	s, err := freeze(answered)
	if err != nil {
		return "", false, err
	}
	return fmt.Sprintf("%d fetch, %d calls, %d ours, %d of %d accepted, %d stale, %d failures, breaker %v; %d of %d that were slept through accepted",
		s.fetches, s.calls, s.ours, s.again.accepted(), frozenCalls+1, s.again.Stale, s.again.Failures, s.again.Breaker, s.slept.accepted(), frozenCalls), s.right(), nil
}

func (t told) accepted() (n int) {
	for _, verdict := range t.Verdicts {
		if verdict == "" {
			n++
		}
	}
	return n
}

func (s *slept) right() bool {
	return s.again.accepted() == frozenCalls+1 && s.fetches <= 1 && s.most <= 2 && s.ours == 0 &&
		s.again.Failures == 0 && s.again.Stale == 0 && len(s.again.Breaker) == 0
}

// freeze repeats until the process was stopped before anything could be late: a busy machine
// may not let this one run in time.
func freeze(answered bool) (*slept, error) {
	for range frozenRounds {
		if s, err := freezeOnce(answered); s != nil || err != nil {
			return s, err
		}
	}
	return nil, fmt.Errorf("the machine is too busy to stop a process within %v", frozenTimeout)
}

// freezeOnce returns nil if the process was not stopped in time.
func freezeOnce(answered bool) (*slept, error) {
	as, err := authtest.Start(authtest.WithInMemory())
	if err != nil {
		return nil, err
	}
	defer as.Close()
	s := &watcher{as: as, arrived: make(chan struct{}, frozenCalls+1), release: make(chan struct{}), calls: map[string]int{}}
	address, stop, err := s.serve()
	if err != nil {
		return nil, err
	}
	defer stop()
	b := briefing{Server: "http://" + address, Issuer: as.Issuer(), Tokens: []string{as.Token(authtest.Claims{})}}
	for i := range frozenCalls {
		b.Tokens = append(b.Tokens, fmt.Sprint("opaque-", i))
	}
	child, err := startSleeper(b)
	if err != nil {
		return nil, err
	}
	defer child.end()
	if _, err := child.next("warm"); err != nil {
		return nil, err
	}
	s.hold()
	begun, err := child.next("begins")
	if err != nil {
		return nil, err
	}
	if !s.come(begun.At.Add(frozenTimeout)) {
		return nil, nil
	}
	if err := child.stop(); err != nil || time.Since(begun.At) >= frozenTimeout {
		return nil, err
	}
	fetches, calls := s.let(answered)
	time.Sleep(frozenFor)
	return child.wake(s, b, fetches, calls)
}

// wake wakes the child with a request of each kind waiting for it.
func (c *sleeping) wake(s *watcher, b briefing, fetches, calls int) (*slept, error) {
	if _, err := fmt.Fprintln(c.in, "again"); err != nil {
		return nil, err
	}
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return nil, err
	}
	asleep, err := c.next("slept")
	if err != nil {
		return nil, err
	}
	again, err := c.next("again")
	if err != nil {
		return nil, err
	}
	out := &slept{slept: asleep, again: again}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.fetches = s.fetches - fetches
	for token, n := range s.calls {
		out.calls += n
		if slices.Contains(b.Tokens, token) {
			out.most = max(out.most, n)
		} else {
			out.ours += n
		}
	}
	out.calls -= calls
	return out, nil
}

// sleeping is the child as its parent sees it.
type sleeping struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  *json.Decoder
	cancel func()
}

// startSleeper runs this very program as the child.
func startSleeper(b briefing) (*sleeping, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), frozenDeadline)
	c := &sleeping{cmd: exec.CommandContext(ctx, self), cancel: cancel} //nolint:gosec // this program
	c.cmd.Env = append(os.Environ(), frozenEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	c.in, err = c.cmd.StdinPipe()
	if err == nil {
		var out io.ReadCloser
		if out, err = c.cmd.StdoutPipe(); err == nil {
			c.lines = json.NewDecoder(out)
			err = c.cmd.Start()
		}
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return c, nil
}

// end ends the child, stopped or not.
func (c *sleeping) end() {
	c.cancel()
	_ = c.cmd.Wait()
}

// next waits for the next thing that the child tells.
func (c *sleeping) next(what string) (t told, err error) {
	if err = c.lines.Decode(&t); err == nil && t.What != what {
		err = fmt.Errorf("the child tells %q in the place of %q", t.What, what)
	}
	return t, err
}

// stop returns when the child stands still.
func (c *sleeping) stop() error {
	pid := c.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		switch _, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil); {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case !status.Stopped():
			return errors.New("the child has ended")
		default:
			return nil
		}
	}
}
