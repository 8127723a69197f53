package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/revocation"
)

// Nothing here depends on the speed of the machine: a slow one plays one fault where a fast
// one plays several.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("one fault takes some ten seconds")
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, options{duration: 2 * time.Second, workers: 4, rate: 100}), "%s", &out)
	require.Contains(t, out.String(), " 0 wrong answers\n")
	require.NotContains(t, out.String(), "\n0 requests")
	t.Log("\n" + out.String())
}

// Without the programs, it says what did not run.
func TestWithoutPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("one fault takes some seconds")
	}
	withoutPrograms(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, options{duration: time.Millisecond, workers: 4, rate: 100}), "%s", &out)
	require.Contains(t, out.String(), " 0 wrong answers\n")
	for _, program := range []string{"Sentinel", "nginx", "haproxy"} {
		require.Contains(t, out.String(), "NOT RUN: "+program)
	}
}

// Where they are required, that is a mistake.
func TestProgramsAreRequired(t *testing.T) {
	for _, variable := range []string{"BEARERGATE_REDIS", "BEARERGATE_INTEROP"} {
		t.Run(variable, func(t *testing.T) {
			withoutPrograms(t)
			t.Setenv(variable, "required")
			require.ErrorIs(t, run(t.Context(), io.Discard, options{workers: 1}), exec.ErrNotFound)
		})
	}
	require.ErrorContains(t, run(t.Context(), io.Discard, options{}), "-workers")
}

// withoutPrograms hides what may be installed.
func withoutPrograms(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", t.TempDir())
	for _, program := range []string{"REDIS_SERVER", "REDIS_SENTINEL", "NGINX", "HAPROXY"} {
		t.Setenv("BEARERGATE_"+program, "no-such-program")
	}
	t.Setenv("BEARERGATE_REDIS", "")
	t.Setenv("BEARERGATE_INTEROP", "")
}

// reply is what a broken fleet says to everybody.
type reply struct {
	want
	header  http.Header // beside the challenges
	body    string      // "": what is right for the status
	process int         // that decided; 0: the one that ought to
	times   int         // how often it did; 0: once
	user    string      // whose token it took; "": whose it is
}

// stage is a fleet that says what a test has it say.
type stage struct {
	*world
	door *door
	says atomic.Pointer[func() reply]
}

// always has the fleet say the same to everybody.
func (s *stage) always(r reply) {
	f := func() reply { return r }
	s.says.Store(&f)
}

// elsewhere is a process that was told of nothing; the door is that of process 1.
const elsewhere = 2

// cast is who takes part, and what takes long to make.
type cast struct {
	as, partner, stranger *authtest.Server
	key, thief            *authtest.DPoPKey
	own                   tls.Certificate
	kit                   *kit
}

func newCast(t *testing.T) *cast {
	t.Helper()
	c := &cast{as: authtest.New(t, authtest.WithAlgorithms(algorithms...)), partner: authtest.New(t, authtest.WithIssuer("https://partner.example.test")), stranger: authtest.New(t)}
	var errs [3]error
	c.key, errs[0] = authtest.NewDPoPKey("ES256")
	c.thief, errs[1] = authtest.NewDPoPKey("ES256")
	c.own, errs[2] = authtest.NewClientCertificate()
	require.NoError(t, errors.Join(errs[:]...))
	c.kit = c.world().newKit(0)
	return c
}

func (c *cast) world() *world {
	w := newWorld()
	w.as, w.partner, w.stranger, w.key, w.thief, w.own, w.apiKey, w.noKey = c.as, c.partner, c.stranger, c.key, c.thief, c.own, "soak_a_b", "soak_c_d"
	return w
}

// newStage returns a fleet in a world where everything has happened long ago.
func newStage(t *testing.T, c *cast) *stage {
	t.Helper()
	s := &stage{world: c.world()}
	s.hooksTake = 0
	nonce := "nonce"
	s.nonce.Store(&nonce)
	api := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(api.Close)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(api.URL, "http://"))
	}}}
	t.Cleanup(client.CloseIdleConnections)
	s.door = &door{is: direct, process: 1, scheme: "http", clients: [certificates]*http.Client{client, client, client}}
	s.doors = []*door{s.door}

	before := time.Now().Add(-time.Hour)
	next := &kit{epoch: &epoch{made: before}, tokens: c.kit.tokens}
	now := state{kit: c.kit, old: c.kit, next: next, stormBegan: before}
	for f := range fates {
		now.living[f] = []*mortal{s.newMortal(f, now.kit.epoch)}
		dead := s.newMortal(f, now.kit.epoch)
		dead.process = elsewhere
		dead.dying.Store(true)
		dead.here.Store(before.UnixNano())
		dead.killed.Store(before.UnixNano())
		now.dead[f] = []*mortal{dead}
	}
	s.now.Store(&now)
	for _, calls := range []bool{false, true} {
		s.used[calls].add(s.proven(&now, "/orders/1", nil))
	}
	return s
}

func (s *stage) answer(w http.ResponseWriter, r *http.Request) {
	said := (*s.says.Load())()
	process := said.process
	if process == 0 {
		process = 1
	}
	for range max(1, said.times) {
		s.decisions.add(r.Header.Get(requestHeader), decision{process: process, reason: said.why, user: cmp.Or(said.user, s.userOf(r))})
	}
	switch said.status {
	case http.StatusUnauthorized, http.StatusBadRequest, http.StatusForbidden:
		w.Header().Add("WWW-Authenticate", `Bearer realm="api"`)
		for words := strings.Fields(said.error); len(words) > 0; words = words[2:] {
			w.Header().Add("WWW-Authenticate", words[0]+` error="`+words[1]+`"`)
		}
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	if said.why == bearergate.ReasonNonce {
		w.Header().Set("DPoP-Nonce", "nonce")
	}
	maps.Copy(w.Header(), said.header)
	w.WriteHeader(said.status)
	if said.body == "" && said.status == http.StatusOK {
		said.body = served + s.userOf(r)
	}
	_, _ = io.WriteString(w, said.body)
}

// userOf is whose token a request has.
func (s *stage) userOf(r *http.Request) string {
	if r.Header.Get("X-Api-Key") != "" {
		return oldClient
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	now := s.now.Load()
	for f := range fates {
		for _, m := range slices.Concat(now.living[f], now.dead[f]) {
			if m.token == token {
				return m.user
			}
		}
	}
	return authtest.DefaultSubject
}

// complains reports whether the answer to a request of a kind is found to be wrong.
func (s *stage) complains(t *testing.T, k int) bool {
	t.Helper()
	before, sent := s.wrong.Load(), s.numbers.Load()
	s.ask(k, s.door)
	require.Equal(t, sent+1, s.numbers.Load(), "%s: nothing was sent", kinds[k].name)
	return s.wrong.Load() > before
}

// A check that cannot fail would prove nothing: a fleet that always says the same is found
// out by every kind of request of which that is not the answer.
func TestWrongAnswersAreNoticed(t *testing.T) {
	s := newStage(t, newCast(t))
	answers := map[want]bool{}
	for _, k := range kinds {
		answers[k.want] = true
	}
	require.Greater(t, len(answers), 20)
	for said := range answers {
		s.always(reply{want: said})
		for k := range kinds {
			require.Equal(t, kinds[k].want != said, s.complains(t, k), "%s: %v", kinds[k].name, said)
		}
	}
}

// A kind that is never sent proves nothing.
func TestKindsThatAreNeverSentAreNoticed(t *testing.T) {
	s := newStage(t, newCast(t))
	s.always(reply{want: accepted})
	s.doors = []*door{s.door}
	var all []string
	for k := range kinds {
		if s.through(kinds[k].through) != nil {
			all = append(all, kinds[k].name)
		}
	}
	require.Greater(t, len(all), 20)
	for k := range kinds {
		if s.through(kinds[k].through) != nil {
			require.Equal(t, all, s.unsent())
			s.ask(k, s.door)
			all = all[1:]
		}
	}
	require.Empty(t, s.unsent())
}

// What is right otherwise has to come from the process that was asked, once, and with the
// header fields of its status.
func TestWrongFormsAreNoticed(t *testing.T) {
	s := newStage(t, newCast(t))
	for _, broken := range []struct {
		what   string
		change func(*reply)
		of     int // the status that it concerns; 0: any
	}{
		{"another process", func(r *reply) { r.process = elsewhere }, 0},
		{"decided twice", func(r *reply) { r.times = 2 }, 0},
		{"no handler runs", func(r *reply) { r.body = "-" }, 200},
		{"the token of somebody else", func(r *reply) { r.user = "somebody" }, 200},
		{"the handler is given the token of somebody else", func(r *reply) { r.body = served + "somebody" }, 200},
		{"the handler is given no token", func(r *reply) { r.body = served }, 200},
		{"a challenge beside what was asked for", func(r *reply) { r.header = http.Header{"Www-Authenticate": {`Bearer realm="api"`}} }, 200},
		{"the handler runs all the same", func(r *reply) { r.body = served }, 401},
		{"no challenge", func(r *reply) { r.header = http.Header{"Www-Authenticate": nil} }, 401},
		{"another scheme alone", func(r *reply) { r.header = http.Header{"Www-Authenticate": {"Basic"}} }, 401},
		{"a reason that is not the one", func(r *reply) { r.why = bearergate.ReasonInternal }, 0},
		{"no answer", func(r *reply) { r.status = 500 }, 0},
	} {
		for k := range kinds {
			if broken.of != 0 && kinds[k].want.status != broken.of {
				continue
			}
			r := reply{want: kinds[k].want}
			broken.change(&r)
			s.always(r)
			require.True(t, s.complains(t, k), "%s: %s", kinds[k].name, broken.what)
		}
	}
	s.always(reply{want: wantsNonce, header: http.Header{"Dpop-Nonce": nil}})
	require.True(t, s.complains(t, kindOf("DPoP, without a nonce")))
	s.now.Load().trouble = true
	s.always(reply{want: want{503, "", bearergate.ReasonIntrospectionUnavailable}, header: http.Header{"Retry-After": {"0"}}})
	require.True(t, s.complains(t, kindOf("opaque, unknown")))
}

// What is excused is excused for its reason only.
func TestExcuses(t *testing.T) {
	var (
		ok     = accepted
		keys   = want{503, "", bearergate.ReasonKeysUnavailable}
		asked  = want{503, "", bearergate.ReasonIntrospectionUnavailable}
		store  = want{503, "", bearergate.ReasonStoreUnavailable}
		full   = want{503, "", bearergate.ReasonOverloaded}
		nobody = want{503, "", bearergate.ReasonCanceled}
		gone   = invalid(bearergate.ReasonUnknownKey)
	)
	trouble := func(_ *world, now *state) { now.trouble = true }
	storm := func(_ *world, now *state) { now.storm, now.stormBegan = true, time.Now() }
	longStorm := func(_ *world, now *state) { now.storm = true }
	dark := func(ago time.Duration) func(*world, *state) {
		return func(_ *world, now *state) { now.storm, now.dark = true, time.Now().Add(-ago) }
	}
	// Of the token of a fate, that it was revoked so long ago, by a process.
	killed := func(f fate, ago time.Duration, process int, also ...func(*world, *state)) func(*world, *state) {
		return func(w *world, now *state) {
			m := now.dead[f][0]
			m.process = process
			m.here.Store(time.Now().Add(-ago).UnixNano())
			m.killed.Store(time.Now().Add(-ago).UnixNano())
			for _, change := range also {
				change(w, now)
			}
		}
	}
	late := func(w *world, _ *state) { w.late.Add(1) }
	storeStall := func(w *world, _ *state) { w.storeStalls.Add(1) }
	// The process has heard nothing of the others.
	deaf := func(w *world, _ *state) {
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: silentLog{}})
		require.NoError(t, err)
		w.processes = []*process{{list: list}}
	}
	both := func(changes ...func(*world, *state)) func(*world, *state) {
		return func(w *world, now *state) {
			for _, change := range changes {
				change(w, now)
			}
		}
	}
	dying := func(f fate) func(*world, *state) {
		return func(_ *world, now *state) { now.living[f][0].dying.Store(true) }
	}
	dead := func(f fate) string { return "dead: " + fateNames[f] }
	good := func(f fate) string { return "good: " + fateNames[f] }
	const here = 1
	future := -time.Hour // however slow the machine

	all := newCast(t)
	for _, test := range []struct {
		what   string
		kind   string
		said   want
		change func(w *world, now *state)
		right  bool
	}{
		// Keys.
		{"a new key, at once", "of a key just rotated to", gone, func(_ *world, now *state) { now.next.made = time.Now().Add(time.Hour) }, true},
		{"a new key, long known", "of a key just rotated to", gone, nil, false},
		{"withdrawn while it was on its way", "ES256", gone, func(_ *world, now *state) { now.generation = 2 }, true},
		{"not yet withdrawn", "ES256", gone, func(_ *world, now *state) { now.generation = 1 }, false},
		{"withdrawn, and forged", "bad signature", ok, func(_ *world, now *state) { now.generation, now.trouble = 2, true }, false},
		{"a bound token that is withdrawn", "DPoP", refused(bearergate.SchemeDPoP, "invalid_token", bearergate.ReasonUnknownKey), func(_ *world, now *state) { now.generation = 2 }, true},
		{"the same, refused as a Bearer token", "DPoP", gone, func(_ *world, now *state) { now.generation = 2 }, false},

		// The authorization server.
		{"a valid token, in trouble", "ES256", keys, trouble, false},
		{"a bad signature, in trouble", "bad signature", keys, trouble, false},
		{"an unknown key, in trouble", "unknown kid", keys, trouble, true},
		{"an unknown key, all is well", "unknown kid", keys, nil, false},
		{"an unknown key, after a stall", "unknown kid", keys, func(w *world, _ *state) { w.stalls.Store(1) }, true},
		{"an unknown key, while Redis fails", "unknown kid", keys, storm, false},
		{"an unknown key, and the store is blamed", "unknown kid", store, trouble, false},
		{"an opaque token, in trouble", good(byServer), asked, trouble, true},
		{"an opaque token refused, in trouble", good(byServer), invalid(bearergate.ReasonInactive), trouble, false},
		{"a live token, in trouble", good(atOnce), asked, trouble, true},
		{"a bound opaque token, in trouble", "DPoP, opaque", asked, trouble, true},
		{"an API key, in trouble", "API key", asked, trouble, false},
		{"a partner's token, in trouble", "of a partner", keys, trouble, false},

		// Redis.
		{"a proof, while Redis fails", "DPoP", store, storm, true},
		{"a proof, while Redis is full", "DPoP", full, storm, true},
		{"a proof, all is well", "DPoP", store, nil, false},
		{"a proof, after a stall", "DPoP", store, storeStall, true},
		{"a proof, in trouble", "DPoP", store, trouble, false},
		{"a proof, nobody waited", "DPoP", nobody, storm, false},
		{"a proof once more, while Redis fails", again, store, storm, true},
		{"a proof opens twice, while Redis fails", again, ok, longStorm, false},
		{"a proof over gRPC opens twice, while Redis fails", "DPoP over gRPC, the proof once more", ok, longStorm, false},
		{"no proof, while Redis fails", "DPoP, no proof", store, storm, false},
		{"a thief's proof, while Redis fails", "DPoP, a thief's proof", ok, longStorm, false},
		{"a token, when Redis has just failed", "ES256", store, storm, false},
		{"a token, when Redis has just failed, and a process has heard nothing", "ES256", store, both(storm, deaf), false},
		{"the same, after a stall", "ES256", store, both(storm, deaf, storeStall), true},
		{"an API key, after a stall, and a process has heard nothing", "API key", store, both(storm, deaf, storeStall), false},
		{"a token, after a stall, and a process has heard nothing", "ES256", store, both(deaf, storeStall), true},
		{"a token, when nobody was heard for long", "ES256", store, longStorm, true},
		{"a token, when there is nothing but a stall", "ES256", store, storeStall, false},
		{"an expired token, when nobody was heard for long", "expired", store, longStorm, false},
		{"an API key, when nobody was heard for long", "API key", store, longStorm, false},
		{"a token, in the dark for a while", "ES256", ok, dark(maxLag - time.Minute), true},
		{"a token, in the dark for too long", "ES256", ok, dark(time.Hour), false},
		{"a certificate, in the dark for too long", "certificate", ok, dark(time.Hour), false},
		{"an API key, in the dark for too long", "API key", ok, dark(time.Hour), true},

		// Revocations.
		{"being revoked", good(byToken), invalid(bearergate.ReasonRevoked), dying(byToken), true},
		{"being revoked, for another reason", good(byToken), invalid(bearergate.ReasonInactive), dying(byToken), false},
		{"not revoked", good(byToken), invalid(bearergate.ReasonRevoked), nil, false},
		{"just revoked, elsewhere", dead(byToken), ok, killed(byToken, future, elsewhere), true},
		{"just revoked, here", dead(byToken), ok, killed(byToken, 0, here), false},
		{"revoked a while ago", dead(bySession), ok, killed(bySession, soon, elsewhere), false},
		{"revoked a while ago, and the machine is late", dead(bySession), ok, killed(bySession, soon-time.Hour, elsewhere, late), true},
		{"revoked long ago, and the machine is late", dead(bySession), ok, killed(bySession, maxLag, elsewhere, late), false},
		{"revoked a while ago, while Redis fails", dead(byUser), ok, killed(byUser, soon-time.Hour, elsewhere, storm), true},
		{"revoked long ago, while Redis fails", dead(byUser), ok, killed(byUser, maxLag, elsewhere, storm), false},
		{"an answer of before", dead(byServer), ok, killed(byServer, future, here), true},
		{"an answer of long before", dead(byServer), ok, killed(byServer, positiveTTL+callTimeout+slack, elsewhere), false},
		{"purged a while ago", dead(byPurge), ok, killed(byPurge, soon, elsewhere), false},
		{"purged here", dead(byPurge), ok, killed(byPurge, 0, here), false},
		{"purged long ago, while Redis fails", dead(byPurge), ok, killed(byPurge, positiveTTL+callTimeout+slack, elsewhere, storm), false},
		{"live, and revoked", dead(atOnce), ok, killed(atOnce, 0, elsewhere, trouble, storm), false},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := newStage(t, all)
			if test.change != nil {
				test.change(s.world, s.now.Load())
			}
			s.always(reply{want: test.said})
			require.Equal(t, test.right, !s.complains(t, kindOf(test.kind)), "%v", s.complaints.err())
		})
	}
}

// A process may hear of the others again while its answer is on its way.
func TestAProcessThatHearsAgain(t *testing.T) {
	all := newCast(t)
	for _, test := range []struct {
		what, kind string
		heard      bool // all the time
		stalls     int64
		right      bool
	}{
		{"after a stall", "ES256", false, 1, true},
		{"with no stall", "ES256", false, 0, false},
		{"it had heard", "ES256", true, 1, false},
		{"of no concern to an API key", "API key", false, 1, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := newStage(t, all)
			if !test.heard {
				list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: silentLog{}})
				require.NoError(t, err)
				s.processes = []*process{{list: list}}
			}
			s.storeStalls.Store(test.stalls)
			f := func() reply {
				s.processes = nil
				return reply{want: want{503, "", bearergate.ReasonStoreUnavailable}}
			}
			s.says.Store(&f)
			require.Equal(t, test.right, !s.complains(t, kindOf(test.kind)), "%v", s.complaints.err())
		})
	}
}

// What fails although no fault is there is a setback, and wrong unless the machine can be at
// fault.
func TestFailuresWithoutAFault(t *testing.T) {
	for outcome, right := range map[jwks.Outcome]bool{
		jwks.OutcomeTimeout: true, jwks.OutcomeConnect: true, jwks.OutcomeInterrupted: true,
		jwks.OutcomeStatus: false, jwks.OutcomeMalformed: false,
	} {
		w := newWorld()
		w.healed.Store(1)
		w.fetched(t.Context(), jwks.FetchEvent{Start: time.Now(), Outcome: outcome})
		require.EqualValues(t, 1, w.stalls.Load(), outcome)
		require.Equal(t, right, w.wrong.Load() == 0, outcome)
	}
}

// silentLog is a Log that nobody has read.
type silentLog struct{}

func (silentLog) Append(context.Context, ...revocation.Record) error { return errors.ErrUnsupported }

func (silentLog) Read(context.Context, string, int) ([][]byte, string, error) {
	return nil, "", errors.ErrUnsupported
}

// A proof that is sent several times at once opens once, whatever fails.
func TestAProofThatOpensTwiceIsNoticed(t *testing.T) {
	replay, outage := proof(bearergate.ReasonReplay), want{503, "", bearergate.ReasonStoreUnavailable}
	all := newCast(t)
	for _, test := range []struct {
		what   string
		said   []want // in this order, the last one to all that follow
		change func(*state)
		right  bool
	}{
		{"once", []want{accepted, replay}, nil, true},
		{"twice", []want{accepted, accepted, replay}, nil, false},
		{"twice, while Redis fails", []want{accepted, accepted, outage}, func(s *state) { s.storm = true }, false},
		{"never", []want{replay}, nil, false},
		{"never, while Redis fails", []want{outage}, func(s *state) { s.storm = true }, true},
		{"never, and nothing fails", []want{outage}, nil, false},
		{"once, and once nobody knows", []want{accepted, outage}, func(s *state) { s.storm = true }, true},
		{"refused for something else", []want{accepted, unbound}, nil, false},
		{"refused for something else, while Redis fails", []want{accepted, unbound}, func(s *state) { s.storm = true }, false},
		{"the keys are blamed, while Redis fails", []want{accepted, {503, "", bearergate.ReasonKeysUnavailable}}, func(s *state) { s.storm = true }, false},
		{"broken, while Redis fails", []want{accepted, {500, "", bearergate.ReasonInternal}}, func(s *state) { s.storm = true }, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := newStage(t, all)
			s.doors = append(s.doors, s.door)
			if test.change != nil {
				test.change(s.now.Load())
			}
			var n atomic.Int64
			f := func() reply { return reply{want: test.said[min(int(n.Add(1)), len(test.said))-1]} }
			s.says.Store(&f)
			s.race()
			require.EqualValues(t, 4, n.Load())
			require.Equal(t, test.right, s.wrong.Load() == 0, "%v", s.complaints.err())
		})
	}
}
