package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/coreos/go-oidc/v3/oidc"
	jwk2 "github.com/lestrrat-go/jwx/v2/jwk"
	jwt2 "github.com/lestrrat-go/jwx/v2/jwt"
	"github.com/stretchr/testify/require"
)

// The faults of examples/faults, played to other key caches too. Intervals are
// scaled as there: 1 s for the 10 s between fetches for unknown keys, 0.3 s for
// the TTL of 10 min, 1.5 s for the hour that stale keys are served.
const (
	missInterval = time.Second
	keysTTL      = 300 * time.Millisecond
	maxStale     = 1500 * time.Millisecond
	keysPath     = "/jwks"
)

// stage is an authorization server and something that trusts it.
type stage struct {
	as     *authtest.Server
	valid  string
	verify func(token string) error
	blames bool // its errors say whether the token or the server is at fault
}

// cache makes a stage's verifier. ttl is zero where the test needs none.
type cache struct {
	name    string
	pastTTL time.Duration // after it, keys that were fetched with a ttl are due
	make    func(t *testing.T, ctx context.Context, as *authtest.Server, ttl time.Duration) func(string) error
}

var caches = []cache{
	{"bearergate", 350 * time.Millisecond, func(t *testing.T, ctx context.Context, as *authtest.Server, ttl time.Duration) func(string) error {
		c := jwks.Config{Issuer: as.Issuer(), HTTPClient: as.Client(), MissInterval: missInterval, MaxStale: maxStale}
		if ttl > 0 {
			c.TTL, c.MinTTL = ttl, ttl
		}
		keys, err := jwks.New(c)
		require.NoError(t, err)
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, Keys: keys, DisableCache: true})
		require.NoError(t, err)
		return func(token string) error {
			_, err := v.Verify(ctx, token)
			return err
		}
	}},
	// Fetches whenever no key that it holds verifies the token; has no TTL.
	{"go-oidc RemoteKeySet", 350 * time.Millisecond, func(t *testing.T, ctx context.Context, as *authtest.Server, _ time.Duration) func(string) error {
		remote := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, as.Client()), as.URL(keysPath))
		v := oidc.NewVerifier(as.Issuer(), remote, &oidc.Config{ClientID: authtest.DefaultAudience, SupportedSigningAlgs: []string{authtest.DefaultAlgorithm}})
		return func(token string) error {
			_, err := v.Verify(ctx, token)
			return err
		}
	}},
	// Fetches by the clock, from a goroutine, once a second at most often; knows
	// no fetch for an unknown kid.
	{"jwx/v2 jwk.Cache", 2200 * time.Millisecond, func(t *testing.T, ctx context.Context, as *authtest.Server, ttl time.Duration) func(string) error {
		window := 15 * time.Minute // its default
		options := []jwk2.RegisterOption{jwk2.WithHTTPClient(as.Client())}
		if ttl > 0 {
			window = time.Second // its shortest, and so is that of the interval
			options = append(options, jwk2.WithRefreshInterval(time.Second))
		}
		c := jwk2.NewCache(ctx, jwk2.WithRefreshWindow(window))
		require.NoError(t, c.Register(as.URL(keysPath), options...))
		return func(token string) error {
			set, err := c.Get(ctx, as.URL(keysPath))
			if err != nil {
				return err
			}
			_, err = jwt2.Parse([]byte(token), jwt2.WithKeySet(set), jwt2.WithIssuer(as.Issuer()), jwt2.WithAudience(authtest.DefaultAudience))
			return err
		}
	}},
}

func (c cache) stage(t *testing.T, ttl time.Duration) *stage {
	ctx, cancel := context.WithCancel(context.Background())
	as, err := authtest.Start(authtest.WithInMemory())
	require.NoError(t, err)
	t.Cleanup(func() { cancel(); as.Close() })
	return &stage{as: as, valid: as.Token(authtest.Claims{}), verify: c.make(t, ctx, as, ttl), blames: c.name == "bearergate"}
}

// ask counts the answers to n tokens: "ok", and for an error "401" or "503" if
// it says whose fault it is, else "error".
func (s *stage) ask(n int, token func(int) string) map[string]int {
	answers := map[string]int{}
	for i := range n {
		answers[s.answer(token(i))]++
	}
	return answers
}

func (s *stage) answer(token string) string {
	err := s.verify(token)
	switch {
	case err == nil:
		return "ok"
	case s.blames && errors.Is(err, bearergate.ErrInvalidToken):
		return "401"
	case s.blames && errors.Is(err, bearergate.ErrUnavailable):
		return "503"
	}
	return "error"
}

func (s *stage) same(int) string { return s.valid }

func (s *stage) forged(n int) string {
	return s.as.Sign(map[string]any{"kid": fmt.Sprint("invented-", n)}, s.as.Claims(authtest.Claims{}))
}

func (s *stage) fetches() int { return s.as.Requests(keysPath) }

func say(answers map[string]int) string {
	var parts []string
	for _, k := range []string{"ok", "401", "503", "error"} {
		if answers[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d × %s", answers[k], k))
		}
	}
	return strings.Join(parts, ", ")
}

// flood is S1 and S2: n tokens that cannot verify, and the fetches they cause.
func flood(n int, status int, token func(*stage) func(int) string) func(*testing.T, cache) string {
	return func(t *testing.T, c cache) string {
		s := c.stage(t, 0)
		require.Equal(t, "ok", s.answer(s.valid))
		if status != 0 {
			s.as.Fail(authtest.Fault{Path: keysPath, Status: status})
		}
		before := s.fetches()
		answers := s.ask(n, token(s))
		return fmt.Sprintf("%d fetches; %s", s.fetches()-before, say(answers))
	}
}

func withdrawn(down bool) func(*testing.T, cache) string {
	return func(t *testing.T, c cache) string {
		s := c.stage(t, keysTTL)
		start := time.Now()
		require.Equal(t, "ok", s.answer(s.valid))
		s.as.Rotate()
		s.as.Withdraw()
		if down {
			s.as.Fail(authtest.Fault{Status: 503})
		}
		const patience = 5 * time.Second
		for time.Since(start) < patience {
			time.Sleep(10 * time.Millisecond)
			if got := s.answer(s.valid); got != "ok" {
				return fmt.Sprintf("%s after %v", got, time.Since(start).Round(10*time.Millisecond))
			}
		}
		return fmt.Sprintf("still accepted after %v", patience)
	}
}

func nonsense(fault authtest.Fault) func(*testing.T, cache) string {
	return func(t *testing.T, c cache) string {
		s := c.stage(t, keysTTL)
		require.Equal(t, "ok", s.answer(s.valid))
		s.as.Rotate()
		served := fault // of this stage alone: others run beside it
		served.Path = keysPath
		s.as.Fail(served)
		time.Sleep(c.pastTTL)
		return "valid token: " + s.answer(s.valid)
	}
}

var faults = []struct {
	name string
	try  func(*testing.T, cache) string
}{
	{"S1: 500 different unknown kids", flood(500, 0, func(s *stage) func(int) string { return s.forged })},
	{"S1b: the same, endpoint answers 503", flood(500, http.StatusServiceUnavailable, func(s *stage) func(int) string { return s.forged })},
	{"S2: 1,000 bad signatures under a known kid", flood(1000, 0, func(s *stage) func(int) string {
		other := s.as.Token(authtest.Claims{})
		bad := s.valid[:len(s.valid)-86] + other[len(other)-86:]
		return func(int) string { return bad }
	})},
	{"S3: outage; 100 valid tokens after the TTL, 20 after max-stale", func(t *testing.T, c cache) string {
		s := c.stage(t, keysTTL)
		require.Equal(t, "ok", s.answer(s.valid))
		s.as.Fail(authtest.Fault{Status: 503})
		time.Sleep(c.pastTTL)
		during := s.ask(100, s.same)
		time.Sleep(maxStale)
		return say(during) + "; then " + say(s.ask(20, s.same))
	}},
	{"S4: cold start in an outage, 100 tokens", func(t *testing.T, c cache) string {
		s := c.stage(t, 0)
		s.as.Fail(authtest.Fault{Path: keysPath, Status: 503})
		answers := s.ask(100, s.same)
		return fmt.Sprintf("%d fetches; %s", s.fetches(), say(answers))
	}},
	{"S5: cold stampede, 500 at once", func(t *testing.T, c cache) string {
		s := c.stage(t, 0)
		s.as.Fail(authtest.Fault{Path: keysPath, Delay: 100 * time.Millisecond})
		var accepted atomic.Int64
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				if s.answer(s.valid) == "ok" {
					accepted.Add(1)
				}
			})
		}
		wg.Wait()
		return fmt.Sprintf("%d fetches; %d × ok", s.fetches(), accepted.Load())
	}},
	{"S6: a key is withdrawn", withdrawn(false)},
	{"S6b: the same, and the server is down", withdrawn(true)},
	{"S7: rotation in a flood of unknown kids", func(t *testing.T, c cache) string {
		s := c.stage(t, 0)
		require.Equal(t, "ok", s.answer(s.valid))
		s.ask(20, s.forged)
		s.as.Rotate()
		fresh, start, before := s.as.Token(authtest.Claims{}), time.Now(), s.fetches()
		for time.Since(start) < 2*missInterval {
			s.ask(5, s.forged)
			if s.answer(fresh) == "ok" {
				return fmt.Sprintf("new key accepted after %v, %d fetches", time.Since(start).Round(10*time.Millisecond), s.fetches()-before)
			}
			time.Sleep(time.Millisecond)
		}
		return fmt.Sprintf("new key not accepted after %v", 2*missInterval)
	}},
	{"S7b: rotation in calm, 100 tokens of the new key", func(t *testing.T, c cache) string {
		s := c.stage(t, 0)
		require.Equal(t, "ok", s.answer(s.valid))
		s.as.Rotate()
		fresh := s.as.Token(authtest.Claims{})
		return say(s.ask(100, func(int) string { return fresh }))
	}},
	{`S8: endpoint turns to 200 with {"keys":[]}`, nonsense(authtest.Fault{Body: []byte(`{"keys":[]}`)})},
	{"S8: endpoint turns to 200 with HTML", nonsense(authtest.Fault{Body: []byte("<html>log in</html>"), ContentType: "text/html"})},
	{"S8: endpoint turns to 200 with a truncated body", nonsense(authtest.Fault{Truncate: true})},
}

// TestFaults prints what each key cache does in each fault. What must show of
// ours is asserted by examples/faults and the tests of package jwks; here it is
// laid beside the others.
func TestFaults(t *testing.T) {
	seen := make([][]string, len(faults))
	t.Run("play", func(t *testing.T) {
		for i, f := range faults {
			seen[i] = make([]string, len(caches))
			for j, c := range caches {
				t.Run(f.name+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					seen[i][j] = f.try(t, c)
				})
			}
		}
	})
	var b strings.Builder
	fmt.Fprint(&b, "| fault |")
	for _, c := range caches {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	fmt.Fprintf(&b, "\n|---|%s", strings.Repeat("---|", len(caches)))
	for i, f := range faults {
		fmt.Fprintf(&b, "\n| %s | %s |", f.name, strings.Join(seen[i], " | "))
	}
	t.Logf("intervals scaled (TTL 0.3 s; jwx: 1 s, its shortest); \"error\": the library's errors do not say whether the token or the server is at fault\n%s", b.String())
}
