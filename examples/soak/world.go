package main

import (
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/scope"
)

const (
	keysPath       = "/jwks"
	introspectPath = "/introspect"
	served         = "served" // what the handler says

	kitSize     = 48                     // valid tokens of one key
	opaqueSize  = 48                     // active opaque tokens
	revokedSize = 16                     // revoked ones, the latest
	hold        = 300 * time.Millisecond // of a fault, and of the calm after it
	patience    = 2 * time.Minute        // for what must happen, on a slow machine too
	slack       = time.Second            // between an answer of the server and its being remembered
)

// class is a kind of token.
type class int

const (
	valid class = iota
	rotated
	withdrawn
	expired
	badSignature
	algNone
	foreignKey
	foreignIssuer
	wrongAudience
	wrongScope
	unknownKey
	noToken
	active
	revoked
	unknown
	classes
)

// classOf says of each class what is answered when all is well, and whether the
// API may have to ask the authorization server first.
var classOf = [classes]struct {
	name   string
	status int
	asks   bool
}{
	valid: {"valid", 200, false}, rotated: {"of a key just rotated to", 200, true}, withdrawn: {"of a withdrawn key", 401, true},
	expired: {"expired", 401, false}, badSignature: {"bad signature", 401, false}, algNone: {"alg none", 401, false},
	foreignKey: {"foreign key", 401, false}, foreignIssuer: {"foreign issuer", 401, false}, wrongAudience: {"wrong audience", 401, false},
	wrongScope: {"wrong scope", 403, false}, unknownKey: {"unknown kid", 401, true}, noToken: {"no token", 401, false},
	active: {"opaque, active", 200, true}, revoked: {"opaque, revoked", 401, true}, unknown: {"opaque, unknown", 401, true},
}

// kit is tokens of one key of the authorization server, by class.
type kit struct {
	generation int // how many rotations there were before the key
	made       time.Time
	tokens     [classes][]string
}

// opaque is one opaque token.
type opaque struct {
	token    string
	revoking atomic.Bool  // set before it is revoked
	revoked  atomic.Int64 // UnixNano after it was revoked; 0: not yet
}

// state is the world as far as answers depend on it. It never changes: the
// director puts another one in its place, with trouble before it makes any and
// without it when all has recovered. So a request may be judged by the states
// before and after it, whatever happened in between.
type state struct {
	step            string
	trouble         bool  // a fault is there, or the API may not have recovered from it
	faults          int   // so far
	stalls          int64 // when calm began
	generation      int   // of the key with which the server signs
	kit             *kit  // of a key that the API knows
	next            *kit  // of a new key, until the API knows it; nil: none
	old             *kit  // of a key that the API has seen withdrawn; nil: none
	active, revoked []*opaque
}

// world is the servers, the requests to the API, and what is wrong with the answers.
type world struct {
	as, stranger *authtest.Server
	keys         *jwks.Cache
	api          *http.Server
	client       *http.Client
	url          string

	now         atomic.Pointer[state]
	healed      atomic.Int64 // UnixNano since when no fault is there; 0: one is
	stalls      atomic.Int64 // setbacks when no fault was there
	seen        seen
	wrong       atomic.Int64
	first       atomic.Pointer[string] // what was wrong first
	previous    *kit                   // the one before state.kit; the director's alone
	revocations int
}

// step is one fault, or several at once.
type step struct {
	name   string
	faults []authtest.Fault
	hold   time.Duration // how much longer than others
}

var steps = func() []step {
	both := func(name string, f authtest.Fault) step {
		keys, calls := f, f
		keys.Path, calls.Path = keysPath, introspectPath
		return step{name: name, faults: []authtest.Fault{keys, calls}}
	}
	html := authtest.Fault{Body: []byte("<html>log in</html>"), ContentType: "text/html"}
	return []step{
		both("503", authtest.Fault{Status: 503, RetryAfter: time.Second}),
		both("hangs", authtest.Fault{Hang: true}),
		{"connections dropped, metadata too", []authtest.Fault{{Drop: true}}, 3 * time.Second}, // till a new key's 401 must be over
		both("a drip", authtest.Fault{Drip: time.Hour}),
		both("a login page", html),
		both("half an answer", authtest.Fault{Truncate: true}),
		both("empty JSON", authtest.Fault{Body: []byte(`{}`)}),
		{"no keys in the set, introspection 500", []authtest.Fault{{Path: keysPath, Body: []byte(`{"keys":[]}`)}, {Path: introspectPath, Status: 500}}, 0},
		{"keys hang", []authtest.Fault{{Path: keysPath, Hang: true}}, 0},
		{"introspection hangs", []authtest.Fault{{Path: introspectPath, Hang: true}}, 0},
		{"slow", []authtest.Fault{{Delay: 50 * time.Millisecond}}, 0},
	}
}()

// newKit mints tokens under the present key.
func (w *world) newKit(generation int) *kit {
	k := &kit{generation: generation, made: time.Now()}
	read := authtest.Claims{Scopes: scope.Of("read")}
	with := func(change func(*authtest.Claims)) string {
		c := read
		change(&c)
		return w.as.Token(c)
	}
	for range kitSize {
		k.tokens[valid] = append(k.tokens[valid], w.as.Token(read))
	}
	a, b := strings.Split(k.tokens[valid][0], "."), strings.Split(k.tokens[valid][1], ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	k.tokens[expired] = []string{with(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Minute) })}
	k.tokens[badSignature] = []string{a[0] + "." + a[1] + "." + b[2], a[0] + "." + b[1] + "." + a[2]}
	k.tokens[algNone] = []string{none + "." + a[1] + ".", none + "." + a[1] + "." + a[2]}
	k.tokens[foreignIssuer] = []string{with(func(c *authtest.Claims) { c.Issuer = "https://evil.example.com" }), w.stranger.Token(read)}
	k.tokens[wrongAudience] = []string{with(func(c *authtest.Claims) { c.Audience = []string{"https://other.example.com"} })}
	k.tokens[wrongScope] = []string{with(func(c *authtest.Claims) { c.Scopes = scope.Of("write") })}
	// Another key under the kid of ours.
	forged := w.stranger.Claims(read)
	forged["iss"] = w.as.Issuer()
	k.tokens[foreignKey] = []string{w.stranger.Sign(map[string]any{"kid": keyID(a[0])}, forged)}
	return k
}

func keyID(header string) string {
	text, _ := base64.RawURLEncoding.DecodeString(header)
	var members struct{ Kid string }
	_ = json.Unmarshal(text, &members) // the server's own
	return members.Kid
}

func (w *world) newOpaque() *opaque {
	return &opaque{token: w.as.Opaque(authtest.Claims{Scopes: scope.Of("read")})}
}

// begin makes the first state and lets the API see every class once.
func (w *world) begin() error {
	s := state{step: "begin", kit: w.newKit(0)}
	for range opaqueSize {
		s.active = append(s.active, w.newOpaque())
	}
	s.revoked = []*opaque{w.newOpaque()}
	w.revoke(s.revoked[0])
	w.now.Store(&s)
	w.healed.Store(time.Now().UnixNano())
	for c := range classes {
		w.ask(c)
	}
	if what := w.first.Load(); what != nil {
		return errors.New(*what)
	}
	return nil
}

// become puts a changed copy of the state in its place. Only the director calls it.
func (w *world) become(change func(*state)) {
	s := *w.now.Load()
	change(&s)
	w.now.Store(&s)
}

// play is one fault from its beginning to the recovery, with a rotation and
// a revocation in the middle of it, and once more in the calm thereafter.
func (w *world) play(s step) error {
	w.become(func(now *state) { now.step, now.trouble, now.faults = s.name, true, now.faults+1 })
	w.healed.Store(0)
	for _, f := range s.faults {
		w.as.Fail(f)
	}
	time.Sleep(hold / 2)
	w.rotate()
	w.revokeOne()
	time.Sleep(hold/2 + s.hold)
	w.as.Fail(authtest.Fault{})
	w.healed.Store(time.Now().UnixNano())
	if err := errors.Join(w.recover(), w.accept()); err != nil {
		return fmt.Errorf("after %q: %w", s.name, err)
	}
	w.become(func(now *state) { now.step, now.trouble, now.stalls = "calm after "+s.name, false, w.stalls.Load() })
	time.Sleep(hold / 2)
	w.rotate()
	w.revokeOne()
	err := w.accept()
	time.Sleep(hold / 2)
	if err != nil {
		return fmt.Errorf("in the calm after %q: %w", s.name, err)
	}
	return nil
}

// recover waits until the keys have been fetched and a token has been
// introspected after the last fault.
func (w *world) recover() error {
	since := time.Unix(0, w.healed.Load())
	// What began during the fault may fail until then, and open the breaker once more.
	time.Sleep(callTimeout + hold)
	err := eventually("the keys are not fetched again", func() bool {
		w.send(w.now.Load().kit.tokens[valid][0]) // fetches happen in the background of requests
		s := w.keys.Status()
		return s.Failures == 0 && s.LastSuccess.After(since)
	})
	err = errors.Join(err, eventually("tokens are not introspected again", func() bool {
		o := w.newOpaque()
		status, _ := w.send(o.token)
		w.as.Revoke(o.token) // or the server would remember it
		return status == http.StatusOK
	}))
	time.Sleep(time.Second) // for so long, a token of which a call has failed is left alone
	return err
}

// rotate has the server sign with a new key. The one before stays published,
// the one before that is withdrawn.
func (w *world) rotate() {
	generation := w.now.Load().generation + 1
	w.become(func(s *state) { s.generation = generation })
	w.as.Rotate()
	w.become(func(s *state) { s.next = w.newKit(generation) })
}

// accept waits until the new key is accepted. The API has then fetched the set
// with it, in which the key of two rotations ago is no more.
func (w *world) accept() error {
	s := w.now.Load()
	err := eventually("a new key is not accepted", func() bool {
		status, _ := w.send(s.next.tokens[valid][0])
		return status == http.StatusOK
	})
	previous := w.previous
	w.previous = s.kit
	w.become(func(s *state) { s.old, s.kit, s.next = previous, s.next, nil })
	return err
}

func (w *world) revokeOne() {
	o := w.now.Load().active[0]
	w.revoke(o)
	w.revocations++
	w.become(func(s *state) {
		s.active = append(slices.Clone(s.active[1:]), w.newOpaque())
		s.revoked = append(slices.Clone(s.revoked[max(0, len(s.revoked)-revokedSize+1):]), o)
	})
}

func (w *world) revoke(o *opaque) {
	o.revoking.Store(true)
	w.as.Revoke(o.token)
	o.revoked.Store(time.Now().UnixNano())
}

func eventually(otherwise string, done func() bool) error {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New(otherwise)
		}
	}
	return nil
}

// fetched and called notice what fails although no fault is there: on a machine
// that stands still for longer than the timeouts, it may. Anything but a
// timeout or a lost connection may not. It is also noticed when what began during a
// fault opens the breaker after it.
func (w *world) fetched(_ context.Context, e jwks.FetchEvent) {
	if e.Outcome != jwks.OutcomeOK && e.Outcome != jwks.OutcomeNotModified {
		w.failed(e.Start, "a fetch of the keys", string(e.Outcome))
	}
}

func (w *world) called(_ context.Context, e introspect.CallEvent) {
	if e.Outcome != introspect.OutcomeActive && e.Outcome != introspect.OutcomeInactive {
		w.failed(e.Start, "an introspection", string(e.Outcome))
	}
}

func (w *world) breaker(_ context.Context, e introspect.BreakerEvent) {
	if e.To == introspect.BreakerOpen && w.healed.Load() != 0 {
		w.stalls.Add(1)
	}
}

func (w *world) failed(start time.Time, what, outcome string) {
	if healed := w.healed.Load(); healed == 0 || start.UnixNano() <= healed {
		return
	}
	w.stalls.Add(1)
	if outcome != string(jwks.OutcomeTimeout) && outcome != string(jwks.OutcomeConnect) {
		w.complain(fmt.Sprintf("%s failed with %s, and no fault is there", what, outcome))
	}
}

// work sends one request after another: half of them ought to be accepted.
func (w *world) work(ctx context.Context) {
	for ctx.Err() == nil {
		w.ask([]class{valid, active, class(rand.N(int(classes))), class(rand.N(int(classes)))}[rand.N(4)])
	}
}

// ask sends one request of the class and judges the answer.
func (w *world) ask(c class) {
	before := w.now.Load()
	token, k, o := w.pick(c, before)
	if token == "" && c != noToken {
		return // there is none at present
	}
	wasRevoked, sent := int64(0), time.Now()
	if o != nil {
		wasRevoked = o.revoked.Load()
	}
	status, header := w.send(token)
	took := time.Since(sent)
	after := w.now.Load()
	w.seen.add(c, status, took)

	// There is one right answer, and few excuses.
	may := []int{classOf[c].status}
	asks := classOf[c].asks
	switch {
	case o != nil:
		may = nil
		// The call that brought "active" may have begun before the revocation.
		if wasRevoked == 0 || sent.Before(time.Unix(0, wasRevoked).Add(positiveTTL+callTimeout+slack)) {
			may = append(may, 200)
		}
		if o.revoking.Load() {
			may = append(may, 401)
		}
	case c == rotated && sent.Before(k.made.Add(missInterval+fetchTimeout+slack)):
		may = append(may, 401) // until an unknown kid causes a fetch again
	case k != nil && after.generation > k.generation+1:
		may, asks = append(may, 401), true // its key was withdrawn meanwhile
	}
	if asks && (before.trouble || after.trouble || before.faults != after.faults) {
		may = append(may, 503)
	}
	if slices.Contains(may, status) && wellFormed(status, header) {
		return
	}
	if status == 503 && asks && wellFormed(status, header) && w.stalled(before) {
		return
	}
	w.complain(fmt.Sprintf("%s: %d instead of %v, during %q and %q", classOf[c].name, status, may, before.step, after.step))
}

// pick returns a token of the class, and the kit or the opaque token that it is.
func (w *world) pick(c class, s *state) (string, *kit, *opaque) {
	from, of := s.kit, c
	switch c {
	case noToken:
		return "", nil, nil
	case unknown:
		return "opaque-" + crand.Text(), nil, nil
	case active, revoked:
		all := map[class][]*opaque{active: s.active, revoked: s.revoked}[c]
		o := all[rand.N(len(all))]
		return o.token, nil, o
	case unknownKey:
		return w.as.Sign(map[string]any{"kid": crand.Text()}, w.as.Claims(authtest.Claims{Scopes: scope.Of("read")})), nil, nil
	case rotated:
		from, of = s.next, valid
	case withdrawn:
		from, of = s.old, valid
	}
	if from == nil {
		return "", nil, nil
	}
	return from.tokens[of][rand.N(len(from.tokens[of]))], from, nil
}

// stalled reports whether something has failed without a fault since the state
// was made. The hooks may be told a moment after the answer.
func (w *world) stalled(since *state) bool {
	for range 500 {
		if w.stalls.Load() != since.stalls {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// wellFormed reports whether an answer has the header fields of its status.
func wellFormed(status int, h http.Header) bool {
	challenge := strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer ")
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return challenge
	case http.StatusServiceUnavailable:
		seconds, err := strconv.Atoi(h.Get("Retry-After"))
		return err == nil && 1 <= seconds && seconds <= 60 && !challenge
	}
	return !challenge
}

// send returns the status, 0 if there was no answer, and 1 if a refusal has
// reached the handler or the other way round.
func (w *world) send(token string) (int, http.Header) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, w.url, nil)
	if err != nil {
		return 0, nil
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return 0, nil
	case (string(body) == served) != (resp.StatusCode == http.StatusOK):
		return 1, nil
	}
	return resp.StatusCode, resp.Header
}

func (w *world) complain(what string) {
	w.wrong.Add(1)
	w.first.CompareAndSwap(nil, &what)
}
