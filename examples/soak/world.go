package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crypto/tls"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
)

const (
	kitSize        = 48   // valid tokens of one key and algorithm
	living         = 8    // tokens of each fate that are good
	dead           = 12   // and that are not any more, the latest
	usedSize       = 4096 // proofs that have opened, the latest
	complaintsKept = 10
	usedFor        = 45 * time.Second // how long they are good for being sent again: less than a proof lives

	calm     = 8 * time.Second        // between two outages of Redis
	hold     = 300 * time.Millisecond // of a fault of the authorization server, and of the calm after it
	patience = 2 * time.Minute        // for what must happen, on a slow machine too
	slack    = time.Second            // between an answer of the server and its being remembered
	soon     = 3 * time.Second        // in which all have heard of a revocation or a purge, when all is well
	behind   = 8 * time.Second        // by how much what a process has heard last may be older than an outage of Redis
	tooLate  = 100 * time.Millisecond // for a goroutine to be woken: the machine is too slow to be judged by soon
)

var silent = log.New(io.Discard, "", 0)

// algorithms are those that the authorization server signs with.
var algorithms = []string{"ES256", "RS256", "EdDSA"}

// epoch is that of one key of the authorization server, of each algorithm.
type epoch struct {
	generation int // how many rotations there were before the key
	made       time.Time
}

// kit is tokens that are signed with such a key, by kind. What is kept of requests holds on to
// the epoch alone: tokens are many.
type kit struct {
	*epoch
	tokens map[string][]string
}

// fate is how a token ends.
type fate int

const (
	byToken   fate = iota // revoked by its jti, in the list
	bySession             // by its sid
	byUser                // by its sub
	byAnswer              // opaque, revoked by its sid in the list
	byServer              // opaque, revoked at the authorization server, and remembered for a while
	byPurge               // the same, and purged
	atOnce                // a JWT that the server is asked about each time
	fates
)

var fateNames = [fates]string{"JWT, revoked by jti", "JWT, revoked by sid", "JWT, revoked by sub", "opaque, revoked by sid",
	"opaque, revoked at the server", "opaque, revoked and purged", "JWT, revoked at the server, live"}

// listed reports whether it is a process of the fleet that is told, and not the server.
func (f fate) listed() bool { return f <= byAnswer }

func (f fate) isOpaque() bool { return f == byAnswer || f == byServer || f == byPurge }

// mortal is one token that is going to be revoked.
type mortal struct {
	fate  fate
	token string
	user  string // of it alone
	epoch *epoch // as in request
	entry revocation.Entry
	path  string

	process  int          // that is told of it
	setbacks int64        // that there had been by then
	storms   int          // how many outages of Redis there had been; -1: it was failing
	dying    atomic.Bool  // set before it is revoked, and after the above
	here     atomic.Int64 // UnixNano when that process was told; 0: not yet
	killed   atomic.Int64 // UnixNano when it was acknowledged
}

// state is the world as far as answers depend on it. It never changes: directors put another
// one in its place, with trouble before they make any and without it when all has recovered.
// So a request may be judged by the states before and after it, whatever happened in between.
type state struct {
	step    string
	trouble bool  // a fault of the authorization server is there, or a process may not have recovered from it
	faults  int   // so far
	stalls  int64 // when calm began

	outage      string
	storm       bool      // Redis fails, or a process may not have recovered from it
	stormBegan  time.Time // also of the last one
	dark        time.Time // since when nobody has a Redis; zero: somebody may
	storms      int
	storeStalls int64

	generation int  // of the key with which the server signs
	kit        *kit // of a key that all processes know
	next       *kit // of a new key, until they do; nil: none
	old        *kit // of a key that they have seen withdrawn; nil: none

	living, dead [fates][]*mortal
}

// world is the servers, the requests to the fleet, and what is wrong with the answers.
type world struct {
	as, partner, stranger *authtest.Server
	store                 store
	processes             []*process
	doors                 []*door
	notes                 []string // what runs, and what does not
	key, thief            *authtest.DPoPKey
	own, other            tls.Certificate  // of clients
	apiKey, noKey         string           // the second is of the form of one
	pace                  <-chan time.Time // nil: as fast as possible

	now         atomic.Pointer[state]
	changing    sync.Mutex   // held by whoever puts another state in its place
	healed      atomic.Int64 // UnixNano since when no fault of the server is there; 0: one is
	stalls      atomic.Int64 // setbacks when no fault was there
	calmed      atomic.Int64 // UnixNano since when Redis has recovered; 0: it has not
	storeStalls atomic.Int64 // setbacks of calls to Redis when it had
	late        atomic.Int64 // how often the machine was late
	latest      atomic.Int64 // by how much at most, in ns

	hooksTake  time.Duration // at most, to be told of what an answer says already
	numbers    atomic.Uint64 // of requests
	decisions  decisions
	nonce      atomic.Pointer[string]
	used       map[bool]*ledger // of proofs; true: for gRPC
	warm       atomic.Uint64    // bytes of the heap after the first outage of Redis
	figures    figures
	wrong      atomic.Int64
	complaints complaints
	previous   *kit // the one before state.kit; one director's alone
}

func newWorld() *world {
	return &world{used: map[bool]*ledger{false: {}, true: {}}, hooksTake: 5 * time.Second}
}

// become puts a changed copy of the state in its place.
func (w *world) become(change func(*state)) {
	w.changing.Lock()
	defer w.changing.Unlock()
	s := *w.now.Load()
	change(&s)
	w.now.Store(&s)
}

func (w *world) complainf(format string, args ...any) {
	w.wrong.Add(1)
	w.complaints.mu.Lock()
	defer w.complaints.mu.Unlock()
	if len(w.complaints.first) < complaintsKept {
		w.complaints.first = append(w.complaints.first, fmt.Errorf(format, args...))
	}
}

// complaints are what was wrong first.
type complaints struct {
	mu    sync.Mutex // guards first
	first []error
}

func (c *complaints) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.first...)
}

// read is what most tokens may do.
var read = authtest.Claims{Scopes: scope.Of("read"), Audience: []string{base}}

func claimed(change func(*authtest.Claims)) authtest.Claims {
	c := read
	change(&c)
	return c
}

// newKit mints tokens under the present keys.
func (w *world) newKit(generation int) *kit {
	k := &kit{epoch: &epoch{generation, time.Now()}, tokens: map[string][]string{}}
	add := func(name string, tokens ...string) { k.tokens[name] = append(k.tokens[name], tokens...) }
	with := func(change func(*authtest.Claims)) string { return w.as.Token(claimed(change)) }
	for range kitSize {
		for _, alg := range algorithms {
			add(alg, w.as.Sign(map[string]any{"alg": alg}, w.as.Claims(read)))
		}
	}
	one := k.tokens["ES256"]
	a, b := strings.Split(one[0], "."), strings.Split(one[1], ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	add("expired", with(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Minute) }))
	add("bad signature", a[0]+"."+a[1]+"."+b[2], a[0]+"."+b[1]+"."+a[2])
	add("alg none", none+"."+a[1]+".", none+"."+a[1]+"."+a[2])
	add("foreign issuer", with(func(c *authtest.Claims) { c.Issuer = "https://evil.example.com" }), w.stranger.Token(read))
	add("wrong audience", with(func(c *authtest.Claims) { c.Audience = []string{"https://other.example.com"} }))
	add("wrong scope", with(func(c *authtest.Claims) { c.Scopes = scope.Of("write") }))
	add("not for an API", w.as.Sign(map[string]any{"typ": "logout+jwt"}, w.as.Claims(read)))
	add("strong", with(func(c *authtest.Claims) { c.ACR, c.AuthTime = strong, time.Now() }))
	add("weak", with(func(c *authtest.Claims) { c.ACR, c.AuthTime = "pwd", time.Now() }))
	for range kitSize / 4 {
		add("DPoP", with(func(c *authtest.Claims) { c.Confirmation = w.key.Confirmation() }))
		add("certificate", with(func(c *authtest.Claims) { c.Confirmation = authtest.CertificateConfirmation(w.own.Leaf) }))
	}
	add("opaque DPoP", w.as.Opaque(claimed(func(c *authtest.Claims) { c.Confirmation = w.key.Confirmation() })))
	// Another key under the kid of ours.
	forged := w.stranger.Claims(read)
	forged["iss"] = w.as.Issuer()
	add("foreign key", w.stranger.Sign(map[string]any{"kid": keyID(a[0])}, forged))
	return k
}

func keyID(header string) string {
	text, _ := base64.RawURLEncoding.DecodeString(header)
	var members struct{ Kid string }
	_ = json.Unmarshal(text, &members) // the server's own
	return members.Kid
}

// ofPartner is a token of the partner, whose keys are not rotated.
func (w *world) ofPartner(typ string, change func(*authtest.Claims), members string) string {
	c := claimed(func(c *authtest.Claims) { c.Raw = fmt.Appendf(nil, `{"typ":%q%s}`, typ, members) })
	if change != nil {
		change(&c)
	}
	return w.partner.Sign(map[string]any{"typ": "JWT"}, w.partner.Claims(c))
}

// newMortal mints a token that is going to be revoked, of a user and a session of its own. The
// epoch is that of the key which signs it, if it is one of the authorization server.
func (w *world) newMortal(f fate, k *epoch) *mortal {
	m := &mortal{fate: f, path: "/orders/1", user: rand.Text()}
	id, session := rand.Text(), rand.Text()
	change := func(c *authtest.Claims) { c.ID, c.Subject = id, m.user }
	sid := fmt.Sprintf(`"sid":%q`, session)
	switch {
	case f == atOnce:
		m.token, m.path, m.epoch = w.as.Token(claimed(change)), "/live/1", k
	case f.isOpaque():
		m.token = w.as.Opaque(claimed(func(c *authtest.Claims) { change(c); c.Raw = []byte("{" + sid + "}") }))
		m.entry.Issuer = w.as.Issuer()
	default:
		m.token = w.ofPartner("Bearer", change, ","+sid)
		m.entry.Issuer = w.partner.Issuer()
	}
	switch f {
	case byToken:
		m.entry.TokenID = id
	case byUser:
		m.entry.Subject = m.user
	default:
		m.entry.Session = session
	}
	return m
}

func (w *world) newMortals(f fate, k *epoch) (some []*mortal) {
	for range living {
		some = append(some, w.newMortal(f, k))
	}
	return some
}

// refusal is the reason for which it is refused when it is dead.
func (m *mortal) refusal() bearergate.Reason {
	if m.fate.listed() {
		return bearergate.ReasonRevoked
	}
	return bearergate.ReasonInactive
}

// begin makes the first state and has every kind of request sent once through every door.
func (w *world) begin() {
	s := state{step: "begin", outage: "begin", kit: w.newKit(0)}
	for f := range fates {
		s.living[f] = w.newMortals(f, s.kit.epoch)
	}
	now := time.Now().UnixNano()
	w.now.Store(&s)
	w.healed.Store(now)
	w.calmed.Store(now)
	for i := range kinds {
		for _, d := range w.doors {
			if kinds[i].through&d.is != 0 {
				w.ask(i, d)
			}
		}
	}
}

// setbacks is how often the machine was too slow to be judged by soon.
func (w *world) setbacks() int64 { return w.late.Load() + w.storeStalls.Load() }

// stormy reports whether Redis has failed between two states.
func stormy(before, after *state) bool {
	return before.storm || after.storm || before.storms != after.storms
}

func troubled(before, after *state) bool {
	return before.trouble || after.trouble || before.faults != after.faults
}

// fetched and called notice what fails although no fault is there: on a machine that stands
// still for longer than the timeouts, it may. Anything but a timeout, a lost connection, or a
// fetch during which the process stood still, may not. It is also noticed when what began
// during a fault opens the breaker after it.
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
	if !slices.Contains([]jwks.Outcome{jwks.OutcomeTimeout, jwks.OutcomeConnect, jwks.OutcomeInterrupted}, jwks.Outcome(outcome)) {
		w.complainf("%s failed with %s, and no fault is there", what, outcome)
	}
}

// ledger has the proofs that have opened, the latest.
type ledger struct {
	mu   sync.Mutex // guards the rest
	all  []*request
	next int
}

func (l *ledger) add(r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) < usedSize {
		l.all = append(l.all, r)
		return
	}
	l.all[l.next] = r
	l.next = (l.next + 1) % usedSize
}

// one returns one of them that a process would still accept if it did not know it; nil: none.
func (l *ledger) one() *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range 8 {
		if len(l.all) == 0 {
			return nil
		}
		if r := l.all[mathrand.N(len(l.all))]; time.Since(r.made) < usedFor {
			return r
		}
	}
	return nil
}

// forget drops all of them: what is kept here is no growth of what is watched.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all, l.next = nil, 0
}

// since returns all that were made since then.
func (l *ledger) since(then time.Time) (some []*request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.all), func(r *request) bool { return r.made.Before(then) || time.Since(r.made) > usedFor })
}

func eventually(otherwise string, done func() bool) error {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New(otherwise)
		}
	}
	return nil
}
