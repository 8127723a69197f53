package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// The intervals of the key cache.
const (
	interval = time.Second            // for the default of 10 s
	ttl      = 300 * time.Millisecond // for 10 min; with the jitter of a tenth, at most 330 ms
	pastTTL  = 350 * time.Millisecond
	maxStale = 1500 * time.Millisecond // for 1 h
	timeout  = 500 * time.Millisecond  // for 5 s
	keysPath = "/jwks"
)

// keyFaults are those of whoever publishes the keys.
func keyFaults() []row {
	rows := []row{
		{id: "S1", fault: "500 distinct unknown kids, warm", must: "at most 2 fetches per 10 s (here 1 s)", try: unknownKids},
		{id: "S1b", fault: "the same, endpoint answers 503", must: "at most 3 fetches in the first 10 s (here 1 s), never 401", try: unknownKidsInAnOutage},
		{id: "S2", fault: "10,000 bad signatures under a known kid", must: "at most 2 fetches per 10 s (here 1 s)", try: badSignatures},
		{id: "S3", fault: "outage before the TTL's end, 100 valid tokens after it", must: "100 accepted, flagged stale; after max-stale 503, never 401", try: outage},
		{id: "S4", fault: "cold start in an outage, 100 tokens in a row", must: "at most 4 fetches, the rest a fast 503 with Retry-After", try: coldOutage},
		{id: "S5", fault: "cold stampede, 500 at once", must: "1 fetch", try: stampede},
		{id: "S6", fault: "a key withdrawn from the set", must: "refused within one TTL (here 0.33 s)", try: func() (string, bool, error) { return withdrawn(false) }},
		{id: "S6b", fault: "the same, and the server is down", must: "refused within TTL + max-stale (here 1.83 s)", try: func() (string, bool, error) { return withdrawn(true) }},
		{id: "S7", fault: "rotation during a flood of unknown kids", must: "new key accepted within 10 s (here 1 s)", try: rotationInAFlood},
		{id: "S7b", fault: "rotation in calm", must: "accepted at its first token, 0 failed requests", try: rotationInCalm},
	}
	for _, n := range []struct {
		what  string
		fault authtest.Fault
		want  jwks.Outcome
	}{
		{`{"keys":[]}`, authtest.Fault{Body: []byte(`{"keys":[]}`)}, jwks.OutcomeNoUsableKey},
		{"HTML", authtest.Fault{Body: []byte("<html>log in</html>"), ContentType: "text/html"}, jwks.OutcomeContentType},
		{"a truncated body", authtest.Fault{Truncate: true}, jwks.OutcomeTruncated},
		{"200 MB", authtest.Fault{PadTo: 200 << 20}, jwks.OutcomeTooLarge},
		{"a gzip bomb", authtest.Fault{PadTo: 200 << 20, Gzip: true}, jwks.OutcomeTooLarge},
		{"a redirect to another origin", authtest.Fault{Redirect: "https://elsewhere.example.test/jwks"}, jwks.OutcomeRedirect},
		{"a drip of 30 s", authtest.Fault{Drip: 30 * time.Second}, jwks.OutcomeTimeout},
	} {
		n.fault.Path = keysPath
		rows = append(rows, row{id: "S8", fault: "endpoint turns to 200 with " + n.what, must: "last good set stays, bounded memory and time, event " + string(n.want),
			alone: true, // memory is measured
			try:   func() (string, bool, error) { return nonsense(n.fault, n.want) }})
	}
	return rows
}

// stage is an authorization server and an API that trusts it.
type stage struct {
	as    *authtest.Server
	keys  *jwks.Cache
	api   *jwtverify.Verifier
	stale atomic.Int64
	last  atomic.Value // the jwks.Outcome of the last fetch
	valid string       // a token
}

// newStage makes one with the intervals of this program and, unless a test
// needs otherwise, the default TTL.
func newStage(ttl time.Duration) (*stage, error) {
	s := &stage{}
	var err error
	if s.as, err = authtest.Start(authtest.WithInMemory()); err != nil {
		return nil, err
	}
	config := jwks.Config{
		Issuer: s.as.Issuer(), HTTPClient: s.as.Client(),
		MissInterval: interval, MaxStale: maxStale, FetchTimeout: timeout,
		Hooks: jwks.Hooks{
			Fetched:     func(_ context.Context, e jwks.FetchEvent) { s.last.Store(e.Outcome) },
			StaleServed: func(context.Context, jwks.StaleEvent) { s.stale.Add(1) },
		},
	}
	if ttl != 0 {
		config.TTL, config.MinTTL = ttl, ttl
	}
	if s.keys, err = jwks.New(config); err != nil {
		return nil, err
	}
	s.api, err = jwtverify.New(jwtverify.Config{
		Issuer: s.as.Issuer(), Audiences: []string{authtest.DefaultAudience}, Keys: s.keys, DisableCache: true})
	s.valid = s.as.Token(authtest.Claims{})
	return s, err
}

// status is what a client would be answered.
func (s *stage) status(token string) int {
	_, err := s.api.Verify(context.Background(), token)
	switch {
	case err == nil:
		return 200
	case errors.Is(err, bearergate.ErrInvalidToken):
		return 401
	case errors.Is(err, bearergate.ErrUnavailable):
		return 503
	}
	return 500
}

func (s *stage) fetches() int { return s.as.Requests(keysPath) }

// forged is a token whose kid nobody has.
func (s *stage) forged(n int) string {
	return s.as.Sign(map[string]any{"kid": fmt.Sprintf("invented-%d", n)}, s.as.Claims(authtest.Claims{}))
}

// count sends n tokens one after another and counts the answers.
func (s *stage) count(n int, token func(int) string) map[int]int {
	answers := map[int]int{}
	for i := range n {
		answers[s.status(token(i))]++
	}
	return answers
}

func unknownKids() (string, bool, error) {
	s, err := newStage(0)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	warm := s.status(s.valid)
	before, start := s.fetches(), time.Now()
	answers := s.count(500, s.forged)
	fetches, allowed := s.fetches()-before, 2*(1+int(time.Since(start)/interval))
	return fmt.Sprintf("%d fetches, %d × 401", fetches, answers[401]), warm == 200 && fetches <= allowed && answers[401] == 500, nil
}

func unknownKidsInAnOutage() (string, bool, error) {
	s, err := newStage(0)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	warm := s.status(s.valid)
	s.as.Fail(authtest.Fault{Status: 503})
	before, start := s.fetches(), time.Now()
	answers := s.count(500, s.forged)
	fetches, allowed := s.fetches()-before, 3*(1+int(time.Since(start)/interval))
	known := s.status(s.valid)
	return fmt.Sprintf("%d fetches, %d × 503, %d × 401, valid token %d", fetches, answers[503], answers[401], known),
		warm == 200 && fetches <= allowed && answers[503] == 500 && known == 200, nil
}

func badSignatures() (string, bool, error) {
	s, err := newStage(0)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	warm := s.status(s.valid)
	before, start := s.fetches(), time.Now()
	other := s.as.Token(authtest.Claims{}) // its signature under the first one's claims
	bad := s.valid[:len(s.valid)-86] + other[len(other)-86:]
	answers := s.count(10_000, func(int) string { return bad })
	// Any of them may be the first sign of a key that was replaced under its kid.
	fetches, allowed := s.fetches()-before, 2*(1+int(time.Since(start)/interval))
	return fmt.Sprintf("%d fetches, %d × 401", fetches, answers[401]), warm == 200 && fetches <= allowed && answers[401] == 10_000, nil
}

func outage() (string, bool, error) {
	s, err := newStage(ttl)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	warm := s.status(s.valid)
	s.as.Fail(authtest.Fault{Status: 503})
	time.Sleep(pastTTL)
	during := s.count(100, func(int) string { return s.valid })
	stale := s.stale.Load()
	time.Sleep(maxStale)
	after := s.count(20, func(int) string { return s.valid })
	return fmt.Sprintf("%d accepted, %d flagged stale; then %d × 503, %d × 401", during[200], stale, after[503], after[401]),
		warm == 200 && during[200] == 100 && stale == 100 && after[503] == 20, nil
}

func coldOutage() (string, bool, error) {
	s, err := newStage(0)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	s.as.Fail(authtest.Fault{Path: keysPath, Status: 503})
	start, answered, hinted := time.Now(), 0, 0
	for range 100 {
		_, err := s.api.Verify(context.Background(), s.valid)
		var e *bearergate.Error
		if errors.Is(err, bearergate.ErrUnavailable) && errors.As(err, &e) {
			answered++
			if e.RetryAfter > 0 {
				hinted++
			}
		}
	}
	took, fetches := time.Since(start), s.fetches()
	s.as.Fail(authtest.Fault{})
	time.Sleep(time.Until(s.keys.Status().NextAttempt))
	back := s.status(s.valid)
	return fmt.Sprintf("%d fetches, %d × 503, %d with Retry-After, in %v; server back: %d", fetches, answered, hinted, took.Round(time.Millisecond), back),
		fetches <= 4 && answered == 100 && hinted == 100 && took < time.Second && back == 200, nil
}

func stampede() (string, bool, error) {
	s, err := newStage(0)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	s.as.Fail(authtest.Fault{Path: keysPath, Delay: 100 * time.Millisecond})
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			if s.status(s.valid) == 200 {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	return fmt.Sprintf("%d fetch, %d accepted", s.fetches(), accepted.Load()), s.fetches() == 1 && accepted.Load() == 500, nil
}

func withdrawn(down bool) (string, bool, error) {
	s, err := newStage(ttl)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	start := time.Now()
	warm := s.status(s.valid)
	s.as.Rotate()
	s.as.Withdraw()
	limit, want := ttl*11/10, 401
	if down {
		s.as.Fail(authtest.Fault{Status: 503})
		limit, want = limit+maxStale, 503
	}
	got := 200
	for got == 200 && time.Since(start) < limit+2*slack {
		time.Sleep(5 * time.Millisecond)
		got = s.status(s.valid)
	}
	took := time.Since(start)
	return fmt.Sprintf("%d after %v", got, took.Round(10*time.Millisecond)), warm == 200 && got == want && took < limit+slack, nil
}

func rotationInAFlood() (string, bool, error) {
	s, err := newStage(0)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	warm := s.status(s.valid)
	s.count(20, s.forged) // the fetch that unknown kids may cause has been used up
	s.as.Rotate()
	fresh, start, got := s.as.Token(authtest.Claims{}), time.Now(), 0
	for got != 200 && time.Since(start) < 3*interval {
		s.count(5, s.forged)
		got = s.status(fresh)
		time.Sleep(time.Millisecond)
	}
	took := time.Since(start)
	return fmt.Sprintf("accepted after %v", took.Round(10*time.Millisecond)), warm == 200 && got == 200 && took < interval+slack, nil
}

func rotationInCalm() (string, bool, error) {
	s, err := newStage(0)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	warm := s.status(s.valid)
	s.as.Rotate()
	fresh := s.as.Token(authtest.Claims{})
	answers := s.count(100, func(int) string { return fresh })
	return fmt.Sprintf("%d of 100 accepted", answers[200]), warm == 200 && answers[200] == 100, nil
}

func nonsense(fault authtest.Fault, want jwks.Outcome) (string, bool, error) {
	s, err := newStage(ttl)
	if err != nil {
		return "", false, err
	}
	defer s.as.Close()
	warm := s.status(s.valid)
	s.as.Rotate() // a new document: the server cannot answer 304
	s.as.Fail(fault)
	time.Sleep(pastTTL)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	got := s.status(s.valid)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	memory := (after.TotalAlloc - before.TotalAlloc) >> 10
	outcome, _ := s.last.Load().(jwks.Outcome)
	return fmt.Sprintf("valid token %d, event %s, %d KiB, %v", got, outcome, memory, took.Round(time.Millisecond)),
		warm == 200 && got == 200 && outcome == want && memory < 16<<10 && took < timeout+slack, nil
}
