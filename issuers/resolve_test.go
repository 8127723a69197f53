package issuers_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

const template = "https://login.example.com/{tenant}/v2.0"

func tenant(name any) string { return fmt.Sprintf("https://login.example.com/%v/v2.0", name) }

// directory is what a service might look its tenants up in: it counts, and
// answers by what a test puts in. Its verifiers accept tokens of live tenants.
type directory struct {
	mu      sync.Mutex // guards what follows
	calls   map[string]int
	all     int
	busy    int
	most    int           // of busy
	takes   time.Duration // what a call takes
	answer  func(ctx context.Context, issuer string) (bearergate.Verifier, error)
	dead    func(issuer string) error // nil: the verifiers accept
	version int                       // of new verifiers, which they write into sub
}

func (d *directory) resolve(ctx context.Context, issuer string) (bearergate.Verifier, error) {
	d.mu.Lock()
	if d.calls == nil {
		d.calls = map[string]int{}
	}
	d.calls[issuer]++
	d.all++
	d.busy++
	d.most = max(d.most, d.busy)
	takes, answer := d.takes, d.answer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.busy--
		d.mu.Unlock()
	}()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if answer != nil {
		return answer(ctx, issuer)
	}
	return d.verifier(issuer), nil
}

func (d *directory) verifier(issuer string) bearergate.Verifier {
	d.mu.Lock()
	defer d.mu.Unlock()
	version := d.version
	return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		d.mu.Lock()
		dead := d.dead
		d.mu.Unlock()
		if dead != nil {
			if err := dead(fmt.Sprintf("%s#%d", issuer, version)); err != nil {
				return nil, err
			}
		}
		return bearergate.NewToken(bearergate.Claims{Issuer: issuer, Subject: fmt.Sprint(version)}), nil
	})
}

func (d *directory) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *directory) count(issuer string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if issuer == "" {
		return d.all
	}
	return d.calls[issuer]
}

func (d *directory) router(t testing.TB, change func(*issuers.Config)) *issuers.Router {
	c := issuers.Config{Resolve: d.resolve, ResolveIssuers: []string{template}, Opaque: &recorder{}}
	if change != nil {
		change(&c)
	}
	return newRouter(t, c)
}

var errForged = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature}

// Resolve is asked for what the list or a template means, and nothing else.
func TestResolveGate(t *testing.T) {
	for _, tt := range []struct {
		gate, issuer string
		ok           bool
	}{
		{template, tenant("t1"), true},
		{template, tenant("72f988bf-86f1-41af-91ab-2d7cd011db47"), true},
		{template, tenant("contoso.onmicrosoft.com"), true},
		{template, tenant("A_b-9..z"), true},
		{template, tenant(strings.Repeat("a", 128)), true},
		{template, tenant(strings.Repeat("a", 129)), false},
		{template, tenant(""), false},
		{template, tenant("."), false},
		{template, tenant(".."), false},
		{template, tenant(".hidden"), false},
		{template, tenant("a/b"), false},
		{template, tenant("../x"), false},
		{template, tenant("%2e%2e"), false},
		{template, tenant("a%2fb"), false},
		{template, tenant(`a\b`), false},
		{template, tenant("a?b"), false},
		{template, tenant("a#b"), false},
		{template, tenant("a@evil.test"), false},
		{template, tenant("a:b"), false},
		{template, tenant("a b"), false},
		{template, tenant("a\x00"), false},
		{template, tenant("a\n"), false},
		{template, tenant("é"), false},
		{template, tenant("~a"), false},
		{template, tenant("t1") + "/", false},
		{template, tenant("t1") + "x", false},
		{template, tenant("t1") + "?x", false},
		{template, tenant("t1") + "\n", false},
		{template, " " + tenant("t1"), false},
		{template, "https://login.example.com/t1", false},
		{template, "https://login.example.com/t1/V2.0", false},
		{template, "http://login.example.com/t1/v2.0", false},
		{template, "HTTPS://login.example.com/t1/v2.0", false},
		{template, "https://LOGIN.example.com/t1/v2.0", false},
		{template, "https://login.example.com.evil.test/t1/v2.0", false},
		{template, "https://evil.test/t1/v2.0", false},
		{template, "https://login.example.com@evil.test/t1/v2.0", false},
		{template, "https://login.example.com:8443/t1/v2.0", false},
		{template, "https://evil.test/" + tenant("t1"), false},
		{template, "//login.example.com/t1/v2.0", false},
		{template, "https:/login.example.com/t1/v2.0", false},
		{template, template, false},
		{"https://a.example/{t}/", "https://a.example/x/", true},
		{"https://a.example/{t}/", "https://a.example/x", false},
		{"https://a.example/{t}/", "https://a.example//", false},
		{"https://a.example/{region}/{t}", "https://a.example/eu/x", true},
		{"https://a.example/{region}/{t}", "https://a.example/eu/", false},
		{"https://a.example/{region}/{t}", "https://a.example/eu", false},
		{"http://localhost:8080/realms/{realm}", "http://localhost:8080/realms/x", true},
		{"https://a.example/exact", "https://a.example/exact", true},
		{"https://a.example/exact", "https://a.example/exact/", false},
		{"accounts.example.com", "accounts.example.com", true},
	} {
		t.Run(tt.issuer, func(t *testing.T) {
			d := &directory{}
			r := d.router(t, func(c *issuers.Config) { c.ResolveIssuers = []string{"https://z.example/z", tt.gate} })
			token, err := r.Verify(t.Context(), unsigned(tt.issuer))
			if tt.ok {
				require.NoError(t, err)
				require.Equal(t, 1, d.count(tt.issuer))
				return
			}
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
			require.Zero(t, d.count(""))
		})
	}
}

// AllowIssuer is asked about plain https URLs that nothing else decides, and its word
// counts for these alone.
func TestAllowIssuer(t *testing.T) {
	for _, tt := range []struct {
		issuer string
		asked  bool
	}{
		{"https://t1.example.com", true},
		{"https://t1.example.com/", true},
		{"https://t1.example.com/realms/x", true},
		{"https://t1.example.com/realms/x/", true},
		{"https://t1.example.com:8443/v2.0", true},
		{"https://192.0.2.1/a", true},
		{"https://evil-example.com", true}, // the function has to know better
		{"http://t1.example.com", false},
		{"http://localhost", false},
		{"HTTPS://t1.example.com", false},
		{"https://T1.example.com", false},
		{"https://t1.example.com.", false},
		{"https://.example.com", false},
		{"https://t1..example.com", false},
		{"https://t1.example.com:", false},
		{"https://t1.example.com:x", false},
		{"https://t1.example.com:80:80", false},
		{"https://t1.example.com:65535", true},
		{"https://t1.example.com:65536", false},
		{"https://t1.example.com:0443", false},
		{"https://[::1]/", false},
		{"https://a@t1.example.com", false},
		{"https://evil.test\\@t1.example.com", false},
		{"https://evil.test\\.example.com", false},
		{"https://t1.example.com?x", false},
		{"https://evil.test?.example.com", false},
		{"https://t1.example.com#x", false},
		{"https://evil.test#.example.com", false},
		{"https://t1.example.com//", false},
		{"https://t1.example.com//x", false},
		{"https://t1.example.com/a//b", false},
		{"https://t1.example.com/../x", false},
		{"https://t1.example.com/./x", false},
		{"https://t1.example.com/.well-known/openid-configuration", false},
		{"https://t1.example.com/%2e%2e", false},
		{"https://t1%2eexample.com", false},
		{"https://t1.example.com/a b", false},
		{"https://t1.example.com ", false},
		{"https://t1.example.com/\n", false},
		{"https://t\u0131.example.com", false},
		{"https://", false},
		{"https:t1.example.com", false},
		{"//t1.example.com", false},
		{"t1.example.com", false},
		{"https://t1.example.com/" + strings.Repeat("a", 129), false},
		{"https://t1.example.com/" + strings.Repeat("aaaa/", 1000), false},
		{"https://exact.example.com", false}, // of ResolveIssuers, which decide first
	} {
		t.Run(tt.issuer, func(t *testing.T) {
			for _, let := range []bool{true, false} {
				var asked []string
				d := &directory{}
				r := d.router(t, func(c *issuers.Config) {
					c.ResolveIssuers = []string{"https://exact.example.com"}
					c.AllowIssuer = func(iss string) bool { asked = append(asked, iss); return let }
				})
				token, err := r.Verify(t.Context(), unsigned(tt.issuer))
				if tt.asked {
					require.Equal(t, []string{tt.issuer}, asked)
				} else {
					require.Empty(t, asked)
				}
				if tt.asked && let || tt.issuer == "https://exact.example.com" {
					require.NoError(t, err)
					require.Equal(t, 1, d.count(tt.issuer))
					continue
				}
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
				require.Contains(t, bearergate.AsError(err).Expected, "or one that AllowIssuer lets through")
				require.Zero(t, d.count(""))
			}
		})
	}
}

// A host is of letters, digits and "-", with dots between them; a slash ends it.
func TestAllowIssuerCharacters(t *testing.T) {
	var asked []string
	r := (&directory{}).router(t, func(c *issuers.Config) {
		c.AllowIssuer = func(iss string) bool { asked = append(asked, iss); return false }
	})
	var want []string
	for c := range rune(0x180) {
		iss := "https://x" + string(c) + "x.example.com"
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-./", c) {
			want = append(want, iss)
		}
		_, err := r.Verify(t.Context(), unsigned(iss))
		require.Equal(t, bearergate.ReasonIssuer, bearergate.ReasonOf(err))
	}
	require.Equal(t, want, asked)
}

// It is asked for each token, so that what it takes back counts at once; a panic lets
// nobody through; and what it lets through is counted as what a template matches.
func TestAllowIssuerIsAskedEachTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{}
		let := func(string) bool { return true }
		r := d.router(t, func(c *issuers.Config) {
			c.ResolveIssuers, c.MaxResolvesPerMinute = []string{"https://exact.example.com"}, 2
			c.AllowIssuer = func(iss string) bool { return let(iss) }
		})
		verify := func(iss string) error {
			token, err := r.Verify(t.Context(), unsigned(iss))
			require.Equal(t, err == nil, token != nil)
			return err
		}
		require.NoError(t, verify("https://t1.example.com"))
		let = func(string) bool { panic("hunter2") }
		err := verify("https://t1.example.com")
		requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
		require.Contains(t, err.Error(), "AllowIssuer panicked with a string")
		require.NotContains(t, err.Error(), "hunter2")
		let = func(string) bool { return false }
		requireError(t, nil, verify("https://t1.example.com"), bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		let = func(string) bool { return true }
		require.NoError(t, verify("https://t1.example.com"))
		require.Equal(t, 1, d.count(""))

		require.NoError(t, verify("https://t2.example.com"))
		requireError(t, nil, verify("https://t3.example.com"), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.NoError(t, verify("https://exact.example.com"))
	})
}

func TestResolveAnswers(t *testing.T) {
	unavailable := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Minute}
	genuine := newVerifier(t, config(newSigner(t, "ES256", "k").Set(t)))
	for _, tt := range []struct {
		name   string
		answer func(context.Context, string) (bearergate.Verifier, error)
		kind   error
		reason bearergate.Reason
		again  time.Duration // when Resolve is asked again
	}{
		{"no such tenant", func(context.Context, string) (bearergate.Verifier, error) { return nil, nil },
			bearergate.ErrInvalidToken, bearergate.ReasonIssuer, issuers.UnresolvedTTL},
		{"any error", func(context.Context, string) (bearergate.Verifier, error) { return nil, errors.New("db") },
			bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable, time.Second},
		{"an error beside a verifier", func(context.Context, string) (bearergate.Verifier, error) { return &recorder{}, errors.New("db") },
			bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable, time.Second},
		{"an outage", func(context.Context, string) (bearergate.Verifier, error) { return nil, unavailable },
			bearergate.ErrUnavailable, bearergate.ReasonOverloaded, time.Second},
		{"refused", func(context.Context, string) (bearergate.Verifier, error) {
			return nil, fmt.Errorf("suspended: %w", &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked})
		}, bearergate.ErrInvalidToken, bearergate.ReasonRevoked, issuers.UnresolvedTTL},
		{"a bare sentinel", func(context.Context, string) (bearergate.Verifier, error) {
			return nil, fmt.Errorf("x: %w", bearergate.ErrMisconfigured)
		}, bearergate.ErrMisconfigured, bearergate.ReasonInternal, time.Second},
		{"misconfigured", func(context.Context, string) (bearergate.Verifier, error) { return jwtverify.New(jwtverify.Config{}) },
			bearergate.ErrMisconfigured, bearergate.ReasonConfig, time.Second},
		{"two sentinels", func(context.Context, string) (bearergate.Verifier, error) {
			return nil, errors.Join(bearergate.ErrUnavailable, bearergate.ErrInvalidToken)
		}, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable, time.Second},
		{"a context of its own", func(ctx context.Context, _ string) (bearergate.Verifier, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled, Cause: context.DeadlineExceeded}
		}, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable, time.Second},
		{"a deadline of its own", func(context.Context, string) (bearergate.Verifier, error) {
			return nil, fmt.Errorf("db: %w", context.DeadlineExceeded)
		}, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable, time.Second},
		{"a bare outage", func(context.Context, string) (bearergate.Verifier, error) {
			return nil, fmt.Errorf("db: %w", bearergate.ErrUnavailable)
		}, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable, time.Second},
		{"an error that panics", func(context.Context, string) (bearergate.Verifier, error) { return nil, panicking{} },
			bearergate.ErrMisconfigured, bearergate.ReasonInternal, time.Second},
		{"a nil error that is none", func(context.Context, string) (bearergate.Verifier, error) { return nil, (*bearergate.Error)(nil) },
			bearergate.ErrMisconfigured, bearergate.ReasonInternal, time.Second},
		{"typed nil", func(context.Context, string) (bearergate.Verifier, error) { return (*jwtverify.Verifier)(nil), nil },
			bearergate.ErrMisconfigured, bearergate.ReasonConfig, time.Second},
		{"another issuer's", func(context.Context, string) (bearergate.Verifier, error) { return genuine, nil },
			bearergate.ErrMisconfigured, bearergate.ReasonConfig, time.Second},
		{"unnameable", func(context.Context, string) (bearergate.Verifier, error) { return unnameable{}, nil },
			bearergate.ErrMisconfigured, bearergate.ReasonConfig, time.Second},
		{"panics", func(context.Context, string) (bearergate.Verifier, error) { panic("x") },
			bearergate.ErrMisconfigured, bearergate.ReasonInternal, time.Second},
		{"ends its goroutine", func(context.Context, string) (bearergate.Verifier, error) { runtime.Goexit(); return nil, nil },
			bearergate.ErrMisconfigured, bearergate.ReasonInternal, time.Second},
		{"takes too long", func(ctx context.Context, _ string) (bearergate.Verifier, error) { <-ctx.Done(); return nil, ctx.Err() },
			bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				d := &directory{answer: tt.answer}
				r := d.router(t, nil)
				verify := func() {
					t.Helper()
					token, err := r.Verify(t.Context(), unsigned(tenant(1)))
					requireError(t, token, err, tt.kind, tt.reason)
					require.NotContains(t, err.Error(), "login.example.com")
					require.Equal(t, tt.reason, bearergate.AsError(err).Reason)
					require.IsType(t, &bearergate.Error{}, err) //nolint:testifylint // itself, and not something that wraps one
					e := bearergate.AsError(err)
					require.Equal(t, errors.Is(err, bearergate.ErrUnavailable), e.RetryAfter > 0)
					e.Kind, e.Reason = bearergate.ErrInsufficientScope, bearergate.ReasonScope // the next caller's is another
				}
				verify()
				synctest.Wait()
				time.Sleep(tt.again - 1)
				verify()
				synctest.Wait()
				require.Equal(t, 1, d.count(""), "asked again too early")
				time.Sleep(time.Nanosecond)
				verify()
				require.Equal(t, 2, d.count(""))
				// It was never remembered for good.
				d.set(func() { d.answer = nil })
				synctest.Wait()
				time.Sleep(tt.again)
				_, err := r.Verify(t.Context(), unsigned(tenant(1)))
				require.NoError(t, err)
			})
		})
	}
}

// What an error of Resolve says beside its Reason is passed on, to each caller as it was, also
// where one before has written to it. One that says of an outage no time to wait is given one.
func TestResolveErrorsArePassedOn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answer   bearergate.Error
		expected time.Duration // RetryAfter
	}{
		{name: "an outage of a minute", answer: bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Minute}, expected: time.Minute},
		{name: "an outage", answer: bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}, expected: time.Second},
		{name: "refused", answer: bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy}},
		{name: "scopes", answer: bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope, Scopes: []string{"read"}}},
		{name: "ACR values", answer: bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, Reason: bearergate.ReasonAuthentication, ACRValues: []string{"mfa"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				d := &directory{answer: func(context.Context, string) (bearergate.Verifier, error) {
					e := tt.answer
					e.Scopes, e.ACRValues = slices.Clone(e.Scopes), slices.Clone(e.ACRValues)
					return nil, &e
				}}
				r := d.router(t, nil)
				for range 2 { // the second is told what is remembered
					token, err := r.Verify(t.Context(), unsigned(tenant(1)))
					requireError(t, token, err, tt.answer.Kind, tt.answer.Reason)
					e := bearergate.AsError(err)
					require.Equal(t, tt.expected, e.RetryAfter)
					for _, values := range []struct{ is, was []string }{{e.Scopes, tt.answer.Scopes}, {e.ACRValues, tt.answer.ACRValues}} {
						require.Equal(t, strings.Join(values.was, " "), strings.Join(values.is, " "))
						for i := range values.is {
							values.is[i] = "written by the caller"
						}
					}
				}
				require.Equal(t, 1, d.count(""))
			})
		})
	}
}

// Who joins a call at the very moment at which it ends is told the answer, not that it takes
// too long: select chooses at random.
func TestResolveEndsAsSomebodyBeginsToWait(t *testing.T) {
	for range 100 {
		require.NoError(t, issuers.WaitForEnded(t.Context()))
	}
}

func TestResolveIsAskedOnce(t *testing.T) {
	for _, tenants := range []int{1, 100} {
		bubble.Test(t, func(t *testing.T) {
			d := &directory{takes: time.Second}
			r := d.router(t, nil)
			var wg sync.WaitGroup
			var refused atomic.Int64
			for i := range 10_000 {
				wg.Go(func() {
					_, err := r.Verify(t.Context(), unsigned(tenant(i%tenants)))
					switch {
					case err == nil:
					case bearergate.ReasonOf(err) == bearergate.ReasonOverloaded:
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, min(tenants, issuers.MaxResolving), d.count(""))
			require.Equal(t, min(tenants, issuers.MaxResolving), d.most)
			require.EqualValues(t, max(tenants-issuers.MaxResolving, 0)*100, refused.Load())
		})
	}
}

// A caller whose deadline passes while it waits for Resolve.
func TestResolveTakesLongerThanTheCallerHas(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := (&directory{takes: 2 * time.Second}).router(t, nil)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("too slow"))
		defer cancel()
		token, err := r.Verify(ctx, unsigned(tenant(1)))
		requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = r.Verify(t.Context(), unsigned(tenant(1)))
		require.NoError(t, err)
	})
}

// The first caller leaves, and nobody else notices.
func TestResolveOutlivesItsFirstCaller(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{takes: 2 * time.Second}
		r := d.router(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			token, err := r.Verify(ctx, unsigned(tenant(1)))
			if token != nil || bearergate.ReasonOf(err) != bearergate.ReasonCanceled || !errors.Is(err, context.Canceled) || !errors.Is(err, bearergate.ErrUnavailable) {
				t.Errorf("%v %v", token, err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if _, err := r.Verify(t.Context(), unsigned(tenant(1))); err != nil {
					t.Error(err)
				}
			})
		}
		start := time.Now()
		cancel()
		wg.Wait()
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, 1, d.count(""))
	})
}

// A Resolve that does not honour its context holds nobody up, is never called
// a second time beside itself, and its answer is not lost.
func TestResolveThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := &directory{}
		d.answer = func(_ context.Context, issuer string) (bearergate.Verifier, error) {
			<-release
			return d.verifier(issuer), nil
		}
		r := d.router(t, nil)
		start := time.Now()
		for range 3 {
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			require.Equal(t, time.Second, bearergate.AsError(err).RetryAfter)
			require.Equal(t, issuers.DefaultResolveTimeout, time.Since(start)) // the second and third wait no more
		}
		require.Equal(t, 1, d.count(""))

		// So many that hang are the most there are.
		for i := range 2 * issuers.MaxResolving {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			token, err := r.Verify(ctx, unsigned(tenant(i+2)))
			cancel()
			reason := bearergate.ReasonKeysUnavailable // it waited for Resolve, which hangs
			if i >= issuers.MaxResolving-1 {
				reason = bearergate.ReasonOverloaded
			}
			requireError(t, token, err, bearergate.ErrUnavailable, reason)
		}
		require.Equal(t, issuers.MaxResolving, d.count(""))
		close(release)
		synctest.Wait()
		_, err := r.Verify(t.Context(), unsigned(tenant(1)))
		require.NoError(t, err)
		require.Equal(t, issuers.MaxResolving, d.count(""))
	})
}

// Invented tenants, whose verifiers refuse, displace nobody, and Resolve is
// called no more often for them than configured.
func TestFloodOfInventedTenants(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const live, perMinute = 8, 60
		d := &directory{}
		d.dead = func(issuer string) error {
			if strings.Contains(issuer, "/invented-") {
				return errForged
			}
			return nil
		}
		r := d.router(t, func(c *issuers.Config) {
			c.MaxResolved, c.MaxResolvesPerMinute = live, perMinute
			c.ResolveIssuers = append(c.ResolveIssuers, "https://exact.example.com/")
		})
		for i := range live {
			_, err := r.Verify(t.Context(), unsigned(tenant(i)))
			require.NoError(t, err)
		}
		reasons := map[bearergate.Reason]int{}
		start := time.Now()
		for i := range 10_000 {
			token, err := r.Verify(t.Context(), unsigned(tenant(fmt.Sprintf("invented-%d", i))))
			require.Nil(t, token)
			reasons[bearergate.ReasonOf(err)]++
			if bearergate.ReasonOf(err) == bearergate.ReasonOverloaded {
				require.ErrorIs(t, err, bearergate.ErrUnavailable)
				require.Equal(t, time.Second, bearergate.AsError(err).RetryAfter)
			}
			time.Sleep(10 * time.Millisecond)
			if i%100 == 0 {
				for j := range live {
					_, err := r.Verify(t.Context(), unsigned(tenant(j)))
					require.NoError(t, err)
				}
			}
		}
		for i := range live {
			require.Equal(t, 1, d.count(tenant(i)), "a live tenant was displaced")
		}
		calls := d.count("") - live
		require.LessOrEqual(t, calls, perMinute+int(time.Since(start).Minutes()*perMinute))
		require.Greater(t, calls, perMinute)
		require.Equal(t, map[bearergate.Reason]int{bearergate.ReasonSignature: calls, bearergate.ReasonOverloaded: 10_000 - calls}, reasons)

		// Nor does one that is in use, when its time to be asked for again comes.
		time.Sleep(issuers.DefaultResolvedTTL)
		for i := range 2 * perMinute {
			_, err := r.Verify(t.Context(), unsigned(tenant(fmt.Sprintf("invented-again-%d", i))))
			require.Error(t, err)
		}
		for i := range live {
			_, err := r.Verify(t.Context(), unsigned(tenant(i)))
			require.NoError(t, err)
			require.Equal(t, 2, d.count(tenant(i)))
		}

		// An exact issuer does not wait behind them.
		_, err := r.Verify(t.Context(), unsigned(tenant("invented-last")))
		require.Error(t, err)
		_, err = r.Verify(t.Context(), unsigned(tenant("invented-after-that")))
		require.Equal(t, bearergate.ReasonOverloaded, bearergate.ReasonOf(err))
		_, err = r.Verify(t.Context(), unsigned("https://exact.example.com/"))
		require.NoError(t, err)
	})
}

// Of those that have accepted a token the ones used last are kept, and of the
// others too.
func TestMaxResolved(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{}
		d.dead = func(issuer string) error {
			if strings.Contains(issuer, "/bad") {
				return errForged
			}
			return nil
		}
		r := d.router(t, func(c *issuers.Config) { c.MaxResolved = 2 })
		ask := func(names ...string) {
			for _, name := range names {
				_, err := r.Verify(t.Context(), unsigned(tenant(name)))
				require.Equal(t, strings.HasPrefix(name, "bad"), err != nil)
			}
		}
		ask("a", "b", "bad1", "bad2", "a", "bad1")
		require.Equal(t, 4, d.count(""))
		ask("c", "bad3")              // out: b, bad2
		ask("a", "c", "bad1", "bad3") // still there
		require.Equal(t, 6, d.count(""))
		ask("b", "bad2")
		require.Equal(t, 8, d.count(""))
		require.Equal(t, 1, d.count(tenant("c")))
		require.Equal(t, 1, d.count(tenant("bad3")))
		ask("a", "bad1")
		require.Equal(t, 10, d.count(""))
	})
}

// A tenant that is pushed out while its first token is verified is not lost.
func TestPushedOutWhileVerifying(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{}
		d.dead = func(issuer string) error {
			switch {
			case strings.Contains(issuer, "/slow"):
				time.Sleep(time.Second)
				return nil
			default:
				return errForged
			}
		}
		r := d.router(t, func(c *issuers.Config) { c.MaxResolved = 1 })
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Verify(t.Context(), unsigned(tenant("slow"))); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for i := range 3 {
			_, err := r.Verify(t.Context(), unsigned(tenant(i)))
			require.Error(t, err)
		}
		wg.Wait()
		_, err := r.Verify(t.Context(), unsigned(tenant("slow")))
		require.NoError(t, err)
		require.Equal(t, 1, d.count(tenant("slow")))
	})
}

// Nor does it come back if Resolve has taken it back in the meantime.
func TestPushedOutAndRemovedWhileVerifying(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{}
		d.dead = func(issuer string) error {
			if strings.Contains(issuer, "/slow") {
				time.Sleep(5 * time.Second)
				return nil
			}
			return errForged
		}
		r := d.router(t, func(c *issuers.Config) { c.MaxResolved = 1 })
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Verify(t.Context(), unsigned(tenant("slow"))); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		_, err := r.Verify(t.Context(), unsigned(tenant(1)))
		require.Error(t, err)
		d.set(func() { d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, nil } })
		for range 2 { // before and after the slow one is accepted
			token, err := r.Verify(t.Context(), unsigned(tenant("slow")))
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
			wg.Wait()
		}
	})
}

// A tenant that was removed while a token of it is verified stays removed.
func TestRemovedWhileVerifying(t *testing.T) {
	for _, forgotten := range []bool{false, true} { // that it was removed
		bubble.Test(t, func(t *testing.T) {
			d := &directory{}
			r := d.router(t, func(c *issuers.Config) { c.MaxResolved = 1 })
			var calls atomic.Int64
			d.dead = func(string) error {
				if calls.Add(1) > 1 {
					return errForged
				}
				time.Sleep(55 * time.Minute)
				return nil
			}
			var wg sync.WaitGroup
			wg.Go(func() { // resolved before the removal, accepted after it
				if _, err := r.Verify(t.Context(), unsigned(tenant(1))); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(50 * time.Minute)
			d.set(func() { d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, nil } })
			_, err := r.Verify(t.Context(), unsigned(tenant(1))) // causes the refresh
			require.Equal(t, bearergate.ReasonSignature, bearergate.ReasonOf(err))
			synctest.Wait()
			if forgotten {
				_, err := r.Verify(t.Context(), unsigned(tenant(2)))
				require.Equal(t, bearergate.ReasonIssuer, bearergate.ReasonOf(err))
			}
			wg.Wait()
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		})
	}
}

func TestResolvedTTL(t *testing.T) {
	const ttl = 10 * time.Minute
	subject := func(t *testing.T, r *issuers.Router) string {
		t.Helper()
		token, err := r.Verify(t.Context(), unsigned(tenant(1)))
		require.NoError(t, err)
		synctest.Wait() // for what goes on in the background
		return token.Subject()
	}
	setUp := func(t *testing.T) (*directory, *issuers.Router) {
		d := &directory{}
		r := d.router(t, func(c *issuers.Config) { c.ResolvedTTL = ttl })
		require.Equal(t, "0", subject(t, r))
		d.set(func() { d.version = 1 })
		return d, r
	}
	for name, test := range map[string]func(*testing.T, *directory, *issuers.Router){
		"replaced in the background": func(t *testing.T, d *directory, r *issuers.Router) {
			time.Sleep(ttl*8/10 - 1)
			require.Equal(t, "0", subject(t, r))
			require.Equal(t, 1, d.count(""))
			d.set(func() { d.takes = time.Second })
			time.Sleep(time.Nanosecond)
			start := time.Now()
			require.Equal(t, "0", subject(t, r))
			require.Equal(t, "0", subject(t, r))
			require.Zero(t, time.Since(start))
			time.Sleep(time.Second + 1)
			require.Equal(t, "1", subject(t, r))
			require.Equal(t, 2, d.count(""))
		},
		"not used for long": func(t *testing.T, d *directory, r *issuers.Router) {
			time.Sleep(ttl)
			require.Equal(t, "1", subject(t, r))
			require.Equal(t, 2, d.count(""))
		},
		"removed": func(t *testing.T, d *directory, r *issuers.Router) {
			d.set(func() { d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, nil } })
			time.Sleep(ttl * 8 / 10)
			require.Equal(t, "0", subject(t, r))
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		},
		"the directory is down": func(t *testing.T, d *directory, r *issuers.Router) {
			d.set(func() {
				d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, errors.New("db") }
			})
			time.Sleep(ttl * 8 / 10)
			for range 10 {
				require.Equal(t, "0", subject(t, r))
			}
			require.Equal(t, 2, d.count(""), "asked without a pause")
			time.Sleep(time.Second)
			require.Equal(t, "0", subject(t, r))
			require.Equal(t, 3, d.count(""))
			time.Sleep(ttl*2/10 - time.Second - 1)
			require.Equal(t, "0", subject(t, r))
			time.Sleep(2 * time.Second)
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		},
		"down when it has to be asked": func(t *testing.T, d *directory, r *issuers.Router) {
			d.set(func() {
				d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, errors.New("db") }
			})
			time.Sleep(ttl)
			for i := range 3 {
				for range 10 {
					token, err := r.Verify(t.Context(), unsigned(tenant(1)))
					requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
				}
				require.Equal(t, 2+i, d.count(""))
				time.Sleep(time.Second)
			}
		},
		"the new verifier has no keys": func(t *testing.T, d *directory, r *issuers.Router) {
			d.set(func() {
				d.dead = func(issuer string) error {
					if strings.HasSuffix(issuer, "#0") {
						return nil
					}
					return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}
				}
			})
			time.Sleep(ttl * 8 / 10)
			require.Equal(t, "0", subject(t, r))
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			d.set(func() { d.dead = nil })
			require.Equal(t, "1", subject(t, r))
		},
		"the new verifier refuses": func(t *testing.T, d *directory, r *issuers.Router) {
			d.set(func() {
				d.dead = func(issuer string) error {
					if strings.HasSuffix(issuer, "#0") {
						return nil
					}
					return errForged
				}
			})
			time.Sleep(ttl * 8 / 10)
			require.Equal(t, "0", subject(t, r))
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		},
		// A tenant that has turned to checking more is not to be had by making the check fail.
		"the new verifier asks live, and cannot": func(t *testing.T, d *directory, r *issuers.Router) {
			d.set(func() {
				d.dead = func(issuer string) error {
					if strings.HasSuffix(issuer, "#0") {
						return nil
					}
					return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}
				}
			})
			time.Sleep(ttl * 8 / 10)
			require.Equal(t, "0", subject(t, r))
			for range 30 {
				token, err := r.Verify(t.Context(), unsigned(tenant(1)))
				requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
				time.Sleep(time.Minute)
			}
		},
		"the old one is asked no more once the new one has accepted": func(t *testing.T, d *directory, r *issuers.Router) {
			time.Sleep(ttl * 8 / 10)
			require.Equal(t, "0", subject(t, r))
			require.Equal(t, "1", subject(t, r))
			d.set(func() {
				d.dead = func(issuer string) error {
					if strings.HasSuffix(issuer, "#0") {
						return nil
					}
					return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}
				}
			})
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				d, r := setUp(t)
				test(t, d, r)
			})
		})
	}
}

// With the shortest ResolvedTTL too, a new verifier takes the place of the old
// one in the background, and an answer that comes too late is none of them.
func TestShortestResolvedTTL(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{}
		r := d.router(t, func(c *issuers.Config) { c.ResolvedTTL = time.Second })
		verify := func() (string, error) {
			token, err := r.Verify(t.Context(), unsigned(tenant(1)))
			synctest.Wait()
			if err != nil {
				return "", err
			}
			return token.Subject(), nil
		}
		for i := range 3 {
			subject, err := verify()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), subject)
			d.set(func() { d.version = i + 1 })
			time.Sleep(800 * time.Millisecond)
			subject, err = verify()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), subject)
		}

		_, err := verify()
		require.NoError(t, err)
		d.set(func() {
			d.takes = 200 * time.Millisecond
			d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, errors.New("db") }
		})
		time.Sleep(800 * time.Millisecond)
		_, err = verify()
		require.NoError(t, err)
		calls := d.count("")
		time.Sleep(200 * time.Millisecond) // the failure comes at the very end of what it was to replace
		synctest.Wait()
		_, err = verify()
		requireError(t, nil, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, calls, d.count(""), "asked again without a pause")
	})
}

// A refusal to resolve says how long: until one more call is allowed.
func TestResolveRate(t *testing.T) {
	for perMinute, wait := range map[int]time.Duration{1: time.Minute, 3: 20 * time.Second, 60: time.Second, 600: time.Second} {
		bubble.Test(t, func(t *testing.T) {
			d := &directory{}
			r := d.router(t, func(c *issuers.Config) { c.MaxResolvesPerMinute = perMinute })
			for i := range perMinute {
				_, err := r.Verify(t.Context(), unsigned(tenant(i)))
				require.NoError(t, err)
			}
			refused := func() time.Duration {
				token, err := r.Verify(t.Context(), unsigned(tenant("one-more")))
				requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
				return bearergate.AsError(err).RetryAfter
			}
			require.InDelta(t, wait, refused(), float64(time.Microsecond))
			time.Sleep(wait / 2)
			if perMinute < 60 {
				require.InDelta(t, wait/2, refused(), float64(time.Microsecond))
			}
			time.Sleep(wait/2 + time.Millisecond)
			_, err := r.Verify(t.Context(), unsigned(tenant("one-more")))
			require.NoError(t, err)
		})
	}
}

// What renews the issuers of which a token was accepted is not used up by
// others, known or not; and an issuer that is gone leaves the place of those.
func TestProvenIssuersAreApart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{}
		d.dead = func(issuer string) error {
			if strings.Contains(issuer, "/bad") {
				return errForged
			}
			return nil
		}
		r := d.router(t, func(c *issuers.Config) { c.MaxResolved, c.MaxResolvesPerMinute = 1, 1 })
		_, err := r.Verify(t.Context(), unsigned(tenant("good")))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = r.Verify(t.Context(), unsigned(tenant("bad")))
		requireError(t, nil, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		time.Sleep(issuers.DefaultResolvedTTL)
		_, err = r.Verify(t.Context(), unsigned(tenant("bad"))) // by the allowance of its own kind
		requireError(t, nil, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		_, err = r.Verify(t.Context(), unsigned(tenant("good")))
		require.NoError(t, err)

		d.set(func() { d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, nil } })
		time.Sleep(issuers.DefaultResolvedTTL * 9 / 10)
		_, err = r.Verify(t.Context(), unsigned(tenant("good"))) // asks in the background
		require.NoError(t, err)
		synctest.Wait()
		_, err = r.Verify(t.Context(), unsigned(tenant("good")))
		requireError(t, nil, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		calls := d.count(tenant("good"))
		_, err = r.Verify(t.Context(), unsigned(tenant("bad-2"))) // displaces it, in the one place of the others
		requireError(t, nil, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		time.Sleep(time.Second)
		_, err = r.Verify(t.Context(), unsigned(tenant("good")))
		require.Equal(t, bearergate.ReasonOverloaded, bearergate.ReasonOf(err), "not remembered any more, and not proven")
		require.Equal(t, calls, d.count(tenant("good")))
	})
}

// An outage of the tenant store that outlasts ResolvedTTL does not make a stranger of an
// issuer in use: a flood of invented ones would keep it out afterwards. That there is no
// such issuer does.
func TestProvenOutlivesAnOutage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer error // of Resolve, for a while; nil: no such issuer
		proven bool
	}{
		{name: "an outage", answer: errors.New("db"), proven: true},
		{name: "a mistake", answer: bearergate.ErrMisconfigured, proven: true},
		{name: "no such issuer"},
		{name: "refused", answer: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				d := &directory{dead: func(issuer string) error {
					if strings.Contains(issuer, "/invented-") {
						return errForged
					}
					return nil
				}}
				r := d.router(t, func(c *issuers.Config) { c.MaxResolvesPerMinute = 60 })
				live := func() error {
					_, err := r.Verify(t.Context(), unsigned(tenant("live")))
					return err
				}
				require.NoError(t, live())
				time.Sleep(issuers.DefaultResolvedTTL)
				d.set(func() {
					d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, tt.answer }
				})
				for range 30 { // each of these is an answer of its own
					require.Error(t, live())
					time.Sleep(2 * time.Second)
				}
				d.set(func() { d.answer = nil })
				time.Sleep(issuers.UnresolvedTTL)
				for i := range 120 {
					_, _ = r.Verify(t.Context(), unsigned(tenant(fmt.Sprintf("invented-%d", i))))
				}
				if err := live(); tt.proven {
					require.NoError(t, err)
				} else {
					require.Equal(t, bearergate.ReasonOverloaded, bearergate.ReasonOf(err))
				}
			})
		})
	}
}

// A placeholder stands for letters, digits, '.', '_' and '-', and nothing else.
func TestTenantCharacters(t *testing.T) {
	d := &directory{}
	r := d.router(t, nil)
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	for c := range rune(0x180) {
		if name := "x" + string(c) + "x"; strings.ContainsRune(allowed, c) {
			_, err := r.Verify(t.Context(), unsigned(tenant(name)))
			require.NoError(t, err, "%q", c)
		} else {
			token, err := r.Verify(t.Context(), unsigned(tenant(name)))
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		}
	}
	require.Equal(t, len(allowed), d.count(""))
}

// A refreshed entry of a live tenant is as safe from a flood as the old one.
func TestRefreshedEntryStaysProven(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := &directory{}
		d.dead = func(issuer string) error {
			if strings.Contains(issuer, "/bad") {
				return errForged
			}
			return nil
		}
		r := d.router(t, func(c *issuers.Config) { c.MaxResolved = 2 })
		for range 2 {
			_, err := r.Verify(t.Context(), unsigned(tenant("live")))
			require.NoError(t, err)
			time.Sleep(issuers.DefaultResolvedTTL * 8 / 10) // the second one refreshes
			synctest.Wait()
		}
		require.Equal(t, 2, d.count(tenant("live")))
		for i := range 5 {
			_, _ = r.Verify(t.Context(), unsigned(tenant(fmt.Sprintf("bad%d", i))))
		}
		d.set(func() {
			d.answer = func(context.Context, string) (bearergate.Verifier, error) { return nil, errors.New("db") }
		})
		_, err := r.Verify(t.Context(), unsigned(tenant("live")))
		require.NoError(t, err)
	})
}

func TestResolveConcurrently(t *testing.T) {
	d := &directory{}
	d.dead = func(issuer string) error {
		if strings.Contains(issuer, "/1") {
			return errForged
		}
		return nil
	}
	r := d.router(t, func(c *issuers.Config) { c.MaxResolved, c.MaxResolvesPerMinute = 3, 60_000 })
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				name := (i*7 + g) % 20
				token, err := r.Verify(context.Background(), unsigned(tenant(name)))
				forged := strings.HasPrefix(fmt.Sprint(name), "1")
				if forged != (err != nil) || forged && bearergate.ReasonOf(err) != bearergate.ReasonSignature || !forged && token.Issuer() != tenant(name) {
					t.Errorf("%d: %v %v", name, token, err)
				}
			}
		})
	}
	wg.Wait()
}

// The real thing: tenants of one authorization server, each with a verifier of
// its own, keys and outage included.
func TestResolveRealVerifiers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		servers := map[string]*authtest.Server{}
		verifiers := map[string]bearergate.Verifier{} // kept, so that keys are too
		for _, name := range []string{"red", "blue"} {
			as := authtest.New(t, authtest.WithIssuer(tenant(name)))
			servers[as.Issuer()] = as
			verifiers[as.Issuer()] = newVerifier(t, jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		}
		r := newRouter(t, issuers.Config{
			ResolveIssuers: []string{template},
			Resolve: func(_ context.Context, issuer string) (bearergate.Verifier, error) {
				return verifiers[issuer], nil // nil: no such tenant
			},
		})
		red, blue := servers[tenant("red")], servers[tenant("blue")]
		for _, as := range []*authtest.Server{red, blue} {
			token, err := r.Verify(t.Context(), as.Token(authtest.Claims{}))
			require.NoError(t, err)
			require.Equal(t, as.Issuer(), token.Issuer())
		}
		token, err := r.Verify(t.Context(), red.Token(authtest.Claims{Issuer: blue.Issuer()}))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
		token, err = r.Verify(t.Context(), red.Token(authtest.Claims{Issuer: tenant("green")}))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)

		// Down while the verifier is due: it goes on with its keys.
		red.Fail(authtest.Fault{Drop: true})
		time.Sleep(issuers.DefaultResolvedTTL * 85 / 100)
		for range 5 {
			_, err = r.Verify(t.Context(), red.Token(authtest.Claims{}))
			require.NoError(t, err)
			synctest.Wait()
		}
		red.Fail(authtest.Fault{})
		time.Sleep(2 * time.Minute)
		_, err = r.Verify(t.Context(), red.Token(authtest.Claims{}))
		require.NoError(t, err)
	})
}

func ExampleNewRouter_resolve() {
	blue, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://login.example.test/blue/v2.0"))
	defer blue.Close()
	audiences := map[string]string{ // the tenants, as a service might keep them in a database
		"https://login.example.test/blue/v2.0": authtest.DefaultAudience,
	}
	router, err := issuers.NewRouter(issuers.Config{
		ResolveIssuers: []string{"https://login.example.test/{tenant}/v2.0"},
		Resolve: func(_ context.Context, issuer string) (bearergate.Verifier, error) {
			audience, known := audiences[issuer]
			if !known {
				return nil, nil
			}
			return jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, HTTPClient: blue.Client()})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, issuer := range []string{blue.Issuer(), "https://login.example.test/invented/v2.0", "https://evil.example.test/blue/v2.0"} {
		token, err := router.Verify(context.Background(), blue.Token(authtest.Claims{Issuer: issuer}))
		if err != nil {
			fmt.Println("refused:", bearergate.ReasonOf(err))
			continue
		}
		fmt.Println("accepted:", token.Subject())
	}
	// Output:
	// accepted: user-1
	// refused: issuer
	// refused: issuer
}

type panicking struct{}

func (panicking) Error() string { panic("Error") }
func (panicking) Is(error) bool { panic("Is") }
