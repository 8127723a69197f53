package interop_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// The kinds of JWT in the traffic of the tests below, and their audiences.
var (
	trafficKinds     = []string{"es256", "ps256", "eddsa", "es384"}
	trafficAudiences = []string{audience("es256"), audience("ps256"), audience("eddsa"), audience("es384")}
)

const (
	mintEvery = 8  // requests, a worker gets a new token
	keepLast  = 16 // tokens of a worker are in use
)

// generation is that of the key that signed a JWT.
func generation(token string) int {
	kid := header(token).Kid
	n, err := strconv.Atoi(kid[strings.LastIndex(kid, "-")+1:])
	if err != nil {
		panic(fmt.Sprintf("the kid %q", kid))
	}
	return n
}

// purse gives each worker of a traffic its JWTs: new ones all the time, and
// those that it had before.
type purse struct {
	server *server
	held   [workers][]string
}

func (p *purse) next(ctx context.Context, worker, n int) (string, error) {
	held := p.held[worker]
	if n%mintEvery == 0 {
		token, err := p.server.mint(ctx, grant{kind: trafficKinds[(n/mintEvery+worker)%len(trafficKinds)]})
		if err != nil {
			return "", err
		}
		held = append(held, token)
		p.held[worker] = held[max(0, len(held)-keepLast):]
		return token, nil
	}
	return held[rand.IntN(len(held))], nil
}

// rotating is traffic during rotations: every token counts as valid, and must
// be accepted, unless the key that signed it has been dropped.
type rotating struct {
	*traffic
	dropped atomic.Int64 // the last generation that has been, or is about to be
	seen    atomic.Int64 // the newest generation of which a token was accepted
}

func driveRotating(t *testing.T, s *server, api *api) *rotating {
	t.Helper()
	r := &rotating{}
	tokens := purse{server: s}
	r.traffic = drive(t, func(ctx context.Context, worker, n int) (verdict, error) {
		token, err := tokens.next(ctx, worker, n)
		if err != nil {
			return verdict{}, err
		}
		got, _, err := api.ask(ctx, "/read", token)
		if err != nil {
			return got, err
		}
		gen := int64(generation(token))
		if gen <= r.dropped.Load() { // accepted until the cache has the new set
			return got, must(got, accepted, refused(bearergate.ReasonUnknownKey))
		}
		if got == accepted && gen > r.seen.Load() {
			r.seen.Store(gen)
		}
		return got, must(got, accepted)
	})
	return r
}

// signed waits until tokens of the generation are accepted.
func (r *rotating) signed(t *testing.T, gen int64) {
	t.Helper()
	r.until(t, fmt.Sprintf("tokens of generation %d", gen), func(map[verdict]int, int) bool { return r.seen.Load() >= gen })
	r.more(t, 200)
}

// As RFCs and operators have it: the new keys are published, then they sign,
// then the old ones are dropped.
func TestRotationInThreePhases(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	s := ownServer(t)
	v := verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences})
	api := serve(t, v)
	old := s.token(t, grant{kind: "es256"})
	load := driveRotating(t, s, api)
	load.more(t, 200)
	require.Equal(t, 1, s.requests(t, jwksPath))

	s.rotate(t, "publish")
	load.more(t, 200)
	require.Equal(t, 1, s.requests(t, jwksPath), "nothing needs the new keys")

	s.rotate(t, "activate")
	load.signed(t, 2)
	require.Equal(t, 2, s.requests(t, jwksPath), "the first token of the new keys has them fetched, once")
	api.requireVerdict(t, accepted, old)

	load.dropped.Store(1)
	s.rotate(t, "drop")
	load.more(t, 200)
	require.NoError(t, v.Keys().(*jwks.Cache).Refresh(t.Context())) // or after the TTL
	api.requireVerdict(t, refused(bearergate.ReasonUnknownKey), old)
	load.more(t, 200)
	load.stop(t)
	requireFetches(t, s, 3, begin)
}

// New keys are published and sign at once; the old ones stay in the set.
func TestSuddenRotation(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	api := serve(t, verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences}))
	old := s.token(t, grant{kind: "es256"})
	load := driveRotating(t, s, api)
	load.more(t, 200)
	s.rotate(t, "publish", "activate")
	load.signed(t, 2)
	load.stop(t)
	require.Equal(t, 2, s.requests(t, jwksPath))
	api.requireVerdict(t, accepted, old)
}

// A key was stolen: the old keys are gone when the new ones appear. The first
// new token has the old ones refused, although they are in the cache.
func TestEmergencyRotation(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	s := ownServer(t)
	api := serve(t, verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences}))
	old := s.token(t, grant{kind: "es256"})
	api.requireVerdict(t, accepted, old)
	load := driveRotating(t, s, api)
	load.more(t, 200)
	load.dropped.Store(1)
	s.rotate(t, "publish", "activate", "drop")
	load.signed(t, 2)
	api.requireVerdict(t, refused(bearergate.ReasonUnknownKey), old)
	load.stop(t)
	requireFetches(t, s, 2, begin)
}

// requireFetches allows the fetches that there must have been since begin, and
// those that tokens of dropped keys may cause: two in 10 seconds, however many, of which
// the new key took one.
func requireFetches(t *testing.T, s *server, n int, begin time.Time) {
	t.Helper()
	got := s.requests(t, jwksPath)
	require.GreaterOrEqual(t, got, n)
	require.LessOrEqual(t, got, n+1+2*int(time.Since(begin)/jwks.DefaultMissInterval))
}
