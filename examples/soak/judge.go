package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
)

// door is a way to one process of the fleet.
type door struct {
	is      way
	process int // that decides about what comes through it
	scheme  string
	address string
	clients [certificates]*http.Client
	conns   [certificates]*grpc.ClientConn // of one to a gRPC server
}

// answer is what came back.
type answer struct {
	status   int // 0: there was none, for this error
	err      error
	error    string // as in want
	header   http.Header
	served   bool   // the handler was reached
	user     string // whose token it was given
	decision decision
	took     time.Duration
}

// send sends a request through a door.
func (w *world) send(r *request, d *door) (a answer) {
	number := strconv.FormatUint(w.numbers.Add(1), 10)
	w.decisions.expect(number)
	begin := time.Now()
	defer func() { a.took, a.decision = time.Since(begin), w.decisions.take(number) }()
	if d.is == rpc {
		a = d.call(r, number)
		a.readChallenges()
		return a
	}
	path := r.path
	if path == "" {
		path = "/orders/1"
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, d.scheme+"://"+host+path, nil)
	if err != nil {
		return answer{err: err}
	}
	req.Header = r.header.Clone()
	req.Header.Set(requestHeader, number)
	resp, err := d.clients[r.shown].Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{err: err}
	}
	a = answer{status: resp.StatusCode, header: resp.Header}
	a.user, a.served = strings.CutPrefix(string(body), served)
	a.readChallenges()
	return a
}

// readChallenges fills in error.
func (a *answer) readChallenges() {
	for _, challenge := range a.header.Values("WWW-Authenticate") {
		if m := errorCode.FindStringSubmatch(challenge); m != nil {
			scheme, _, _ := strings.Cut(challenge, " ")
			a.error = strings.TrimSpace(a.error + " " + scheme + " " + m[1])
		}
	}
}

var errorCode = regexp.MustCompile(`\berror="([^"]*)"`)

// ask sends a request of a kind through a door, and judges the answer.
func (w *world) ask(k int, d *door) {
	if r := kinds[k].make(w, w.now.Load()); r != nil {
		w.judged(k, r, d)
	}
}

// judged sends a request and judges the answer.
func (w *world) judged(k int, r *request, d *door) {
	before, begin, deaf := w.now.Load(), time.Now(), w.unheard(d.process)
	was := deathOf(r.mortal, d.process)
	a := w.send(r, d)
	after := w.now.Load()
	w.figures.add(k, a)
	j := judgement{world: w, kind: &kinds[k], request: r, door: d, before: before, after: after, sent: begin, deaf: deaf, death: was}
	if wrong := j.of(a); wrong != "" {
		if kinds[k].name == again {
			wrong += fmt.Sprintf(", a proof that was made %v after this outage began, and sent again %v after it did", r.made.Sub(after.stormBegan), begin.Sub(after.stormBegan))
		}
		w.complainf("%s: %s; during %q and %q, and %q and %q", kinds[k].name, wrong, before.step, after.step, before.outage, after.outage)
	}
	if a.status != http.StatusOK {
		if nonce := a.header.Get("DPoP-Nonce"); nonce != "" {
			w.nonce.Store(&nonce)
		}
	} else if r.header.Get("DPoP") != "" {
		w.used[d.is == rpc].add(r)
	}
}

// death is since when a process has to refuse a token; the zero Time: it has not to.
func deathOf(m *mortal, process int) (t time.Time) {
	if m == nil {
		return t
	}
	at := m.killed.Load()
	if here := m.here.Load(); here != 0 && process == m.process {
		at = here
	}
	if at == 0 {
		return t
	}
	return time.Unix(0, at)
}

// judgement is what the answer to a request is judged by.
type judgement struct {
	world         *world
	kind          *kind
	request       *request
	door          *door
	before, after *state
	sent          time.Time
	deaf          bool      // the process had heard nothing of the others for long, when it was asked
	death         time.Time // as it was before
}

// of says what is wrong with an answer; "": nothing. There is one right answer, and few
// excuses.
func (j *judgement) of(a answer) string {
	may, asks := j.right()
	said := want{a.status, a.error, a.decision.reason}
	switch {
	case a.status == 0:
		return fmt.Sprintf("no answer: %v", a.err)
	case a.served != (a.status == http.StatusOK):
		return fmt.Sprintf("%d, and the handler was reached: %t", a.status, a.served)
	case a.decision.times != 1 || a.decision.process != j.door.process:
		return fmt.Sprintf("%d decisions, the last in process %d, instead of one in %d", a.decision.times, a.decision.process, j.door.process)
	case !wellFormed(said, a.header):
		return fmt.Sprintf("%v, with %v", said, a.header)
	case a.status == http.StatusServiceUnavailable && j.excused(a.decision.reason, asks):
		return ""
	case a.status == http.StatusOK && a.decision.user != j.request.user:
		return fmt.Sprintf("let in as %q, with a token of %q", a.decision.user, j.request.user)
	case a.status == http.StatusOK && j.door.is != nginx && a.user != j.request.user:
		return fmt.Sprintf("served as %q, with a token of %q", a.user, j.request.user)
	case a.status == http.StatusOK && j.dark():
		return "let in by a process that has heard nothing of the others for too long"
	case slices.Contains(may, said):
		return ""
	}
	return fmt.Sprintf("%v instead of %v", said, may)
}

// right returns the answers that are right, beside 503, and whether the authorization server
// may have to be asked.
func (j *judgement) right() (may []want, asks bool) {
	may, asks = []want{j.kind.want}, j.kind.asks || j.request.asks
	k, m := j.request.epoch, j.request.mortal
	if m != nil {
		may = nil
		if j.death.IsZero() || j.sent.Before(j.death.Add(j.grace(m))) {
			may = append(may, accepted)
		}
		if m.dying.Load() {
			may = append(may, invalid(m.refusal()))
		}
	}
	if k == nil {
		return may, asks
	}
	// Until an unknown kid causes a fetch again.
	young := j.kind.fresh && j.sent.Before(k.made.Add(missInterval+fetchTimeout+slack))
	withdrawn := j.after.generation > k.generation+1
	if young || withdrawn {
		for _, scheme := range []bearergate.Scheme{bearergate.SchemeBearer, bearergate.SchemeDPoP} {
			if j.request.scheme == scheme {
				may = append(may, refused(scheme, "invalid_token", bearergate.ReasonUnknownKey))
			}
		}
	}
	return may, asks || withdrawn
}

// grace is for how long a process may still let in a token that was revoked.
func (j *judgement) grace(m *mortal) time.Duration {
	w := j.world
	remembered := positiveTTL + callTimeout + slack // the call that brought "active" may have begun before
	switch {
	case m.fate == atOnce:
		return 0
	case m.fate == byServer:
		return remembered
	case j.door.process == m.process:
		return 0
	case m.storms == j.after.storms && !stormy(j.before, j.after) && m.setbacks == w.setbacks():
		return soon
	case m.fate == byPurge:
		return remembered
	}
	return maxLag // it has heard of it by then, or knows that it has not heard
}

// excused reports whether a 503 is right: its cause is there.
func (j *judgement) excused(why bearergate.Reason, asks bool) bool {
	w := j.world
	switch why {
	case bearergate.ReasonKeysUnavailable, bearergate.ReasonIntrospectionUnavailable:
		return asks && (troubled(j.before, j.after) || w.stalled(&w.stalls, j.before.stalls))
	case bearergate.ReasonStoreUnavailable, bearergate.ReasonOverloaded:
		if j.kind.uses && (stormy(j.before, j.after) || w.stalled(&w.storeStalls, j.before.storeStalls)) {
			return true
		}
		began := j.after.stormBegan
		if j.before.storm {
			began = j.before.stormBegan
		}
		if stormy(j.before, j.after) && time.Now().After(began.Add(maxLag-behind)) {
			return j.kind.listed
		}
		// A failover that nobody has played, for want of time, also shortly before an outage.
		return j.kind.listed && (j.deaf || w.unheard(j.door.process)) && w.stalled(&w.storeStalls, j.before.storeStalls)
	default:
		return false
	}
}

// unheard reports whether a process has heard nothing of the others for long.
func (w *world) unheard(process int) bool {
	if process > len(w.processes) {
		return false
	}
	s := w.processes[process-1].list.Status()
	return !s.Ready || s.Lag > maxLag-behind
}

// dark reports whether every process has been without Redis for so long that it must not
// know what is revoked.
func (j *judgement) dark() bool {
	return j.kind.listed && !j.before.dark.IsZero() && j.before.dark.Equal(j.after.dark) && j.sent.After(j.before.dark.Add(maxLag+slack))
}

// stalled reports whether something has failed without a fault since there were so many
// setbacks. The hooks may be told a moment after the answer.
func (w *world) stalled(setbacks *atomic.Int64, since int64) bool {
	for deadline := time.Now().Add(w.hooksTake); setbacks.Load() == since; time.Sleep(10 * time.Millisecond) {
		if !time.Now().Before(deadline) {
			return false
		}
	}
	return true
}

// wellFormed reports whether an answer has the header fields of its status.
func wellFormed(said want, h http.Header) bool {
	challenges := h.Values("WWW-Authenticate")
	bearer := slices.ContainsFunc(challenges, func(c string) bool { return strings.HasPrefix(c, "Bearer ") })
	switch said.status {
	case http.StatusUnauthorized:
		return bearer && (said.why == bearergate.ReasonNonce) == (h.Get("DPoP-Nonce") != "")
	case http.StatusBadRequest, http.StatusForbidden:
		return bearer
	case http.StatusServiceUnavailable:
		seconds, err := strconv.Atoi(h.Get("Retry-After"))
		return err == nil && 1 <= seconds && seconds <= 60 && len(challenges) == 0
	}
	return len(challenges) == 0
}

// race sends one proof to all processes at once, twice to each. It opens once.
func (w *world) race() {
	k := kindOf("DPoP")
	before := w.now.Load()
	r := kinds[k].make(w, before)
	type result struct {
		answer
		door *door
		deaf bool
	}
	results := make(chan result)
	n := 0
	begin := time.Now()
	for _, d := range w.doors {
		if d.is != direct {
			continue
		}
		for range 2 {
			n++
			go func() {
				deaf := w.unheard(d.process)
				results <- result{w.send(r, d), d, deaf}
			}()
		}
	}
	answers := make([]result, n)
	for i := range answers {
		answers[i] = <-results
		w.figures.add(raced, answers[i].answer)
	}
	after := w.now.Load()
	opened, unknown := 0, 0
	var said, wrong []string
	for _, a := range answers {
		is := want{a.status, a.error, a.decision.reason}
		said = append(said, fmt.Sprint(is))
		right := k
		switch is {
		case accepted:
			opened++
		case proof(bearergate.ReasonReplay):
			right = kindOf(again)
		default: // it may be used up by that
			unknown++
		}
		j := judgement{world: w, kind: &kinds[right], request: r, door: a.door, before: before, after: after, sent: begin, deaf: a.deaf}
		if what := j.of(a.answer); what != "" {
			wrong = append(wrong, what)
		}
	}
	if opened > 1 || opened == 0 && unknown == 0 || len(wrong) > 0 {
		w.complainf("one proof sent %d times at once opened %d times: %v; wrong is %v; during %q and %q, and %q and %q", n, opened, said, wrong, before.step, after.step, before.outage, after.outage)
	}
	if opened > 0 {
		w.used[false].add(r)
	}
}

// storeCalled notices what fails although Redis has recovered, as fetched does.
func (w *world) storeCalled(_ context.Context, e redisgate.CallEvent) {
	calmed := w.calmed.Load()
	if e.Outcome == redisgate.OutcomeAnswered || e.Outcome == redisgate.OutcomeCanceled || calmed == 0 || time.Now().Add(-e.Duration).UnixNano() <= calmed {
		return
	}
	w.storeStalls.Add(1)
	notMaster := e.Code == "READONLY" || e.Code == "LOADING" || e.Code == "MASTERDOWN" // of a failover that nobody has played
	if e.Outcome == redisgate.OutcomeRefused && !notMaster || e.Outcome == redisgate.OutcomeBroken {
		w.complainf("Redis: %s ended with %s %s, and Redis has recovered", e.Operation, e.Outcome, e.Code)
	}
}
