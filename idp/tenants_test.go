package idp_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// common is the key set that all tenants share.
type common struct {
	set   string
	mu    sync.Mutex // guards the rest
	asked []string
}

func (c *common) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.URL.String())
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(c.set))}, nil
}

// entraKey is the key of all tenants. An RSA key takes long to make.
var entraKey = sync.OnceValues(func() (crypto.Signer, error) { return jose.GenerateKey("RS256") })

// entra is Microsoft Entra with one key for all tenants.
func entra(t *testing.T) (kit.Signer, *common) {
	t.Helper()
	key, err := entraKey()
	require.NoError(t, err)
	s := kit.Signer{Alg: "RS256", KeyID: "shared", Key: key}
	jwk, err := jose.PublicJWK("shared", s.Key.Public(), "RS256")
	require.NoError(t, err)
	return s, &common{set: `{"keys":[` + strings.TrimSuffix(string(jwk), "}") + `,"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0"}]}`}
}

func guid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

func entraToken(t *testing.T, s kit.Signer, of string, change map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": "https://login.microsoftonline.com/" + of + "/v2.0", "aud": api, "tid": of, "ver": "2.0", "azp": "app", "azpacr": "1", "scp": "orders.read",
		"client_id": kit.Absent, "scope": kit.Absent, "uti": "u", "jti": kit.Absent, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, change)
	return s.SignWith(t, map[string]any{"alg": s.Alg, "typ": "JWT", "kid": "shared"}, claims)
}

func tenants(t *testing.T, keys *common, lookup func(context.Context, string) (bool, error)) *issuers.Router {
	t.Helper()
	c := idp.EntraTenantsConfig{Tenants: []string{tenant}, API: api, Lookup: lookup}
	c.Verifier.HTTPClient = &http.Client{Transport: keys}
	router, err := idp.EntraTenants(c)
	require.NoError(t, err)
	return router
}

// Lookup is asked about tenants of which Entra has signed a token, once.
func TestLookup(t *testing.T) {
	for _, tt := range []struct {
		name   string
		says   func(context.Context, string) (bool, error)
		kind   error // nil: accepted
		reason bearergate.Reason
		takes  time.Duration // until there is an answer
		asked  time.Duration // again, after
	}{
		{name: "may come", says: func(context.Context, string) (bool, error) { return true, nil }, asked: time.Hour},
		{name: "may not", says: func(context.Context, string) (bool, error) { return false, nil }, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonIssuer, asked: 10 * time.Second},
		{name: "an outage", says: func(context.Context, string) (bool, error) { return true, errors.New("x") }, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: time.Second},
		{name: "a refusal of its own", says: func(context.Context, string) (bool, error) { return true, bearergate.ErrForbidden }, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, asked: 10 * time.Second},
		{name: "a panic", says: func(context.Context, string) (bool, error) { panic(1) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, asked: time.Second},
		{name: "a hang", says: func(ctx context.Context, _ string) (bool, error) { <-ctx.Done(); return true, ctx.Err() }, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, takes: 5 * time.Second, asked: time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, keys := entra(t)
				var mu sync.Mutex
				var asked []string
				router := tenants(t, keys, func(ctx context.Context, of string) (bool, error) {
					mu.Lock()
					asked = append(asked, of)
					mu.Unlock()
					return tt.says(ctx, of)
				})
				raw := entraToken(t, s, guid(1), map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})
				verify := func() {
					t.Helper()
					token, err := router.Verify(t.Context(), raw)
					if tt.kind != nil {
						kit.RequireRefused(t, token, err, tt.kind, tt.reason)
						require.NotEqual(t, "changed by a caller", bearergate.AsError(err).Detail)
						bearergate.AsError(err).Detail = "changed by a caller"
						return
					}
					require.NoError(t, err)
					require.Equal(t, guid(1), token.Tenant())
				}
				var wg sync.WaitGroup
				begun := time.Now()
				for range 10 {
					wg.Go(verify)
				}
				wg.Wait()
				require.Equal(t, tt.takes, time.Since(begun))
				tenants := func() []string {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(asked)
				}
				require.Equal(t, []string{guid(1)}, tenants(), "one call for all")
				time.Sleep(tt.asked - time.Millisecond)
				verify()
				require.Len(t, tenants(), 1)
				time.Sleep(time.Millisecond)
				verify()
				synctest.Wait()
				require.Len(t, tenants(), 2)
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

// What strangers invent reaches nobody, and keeps nobody out.
func TestInventedTenants(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		parts := strings.Split(entraToken(t, s, guid(0), nil), ".")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		require.NoError(t, err)
		invented := func(of string) string { // what strangers can make: other claims under a signature that they have seen
			return parts[0] + "." + base64.RawURLEncoding.EncodeToString(bytes.ReplaceAll(payload, []byte(guid(0)), []byte(of))) + "." + parts[2]
		}
		lookups := 0
		told := map[string]int{}
		c := idp.EntraTenantsConfig{Tenants: []string{tenant}, API: api, Lookup: func(context.Context, string) (bool, error) { lookups++; return true, nil }}
		c.Verifier.HTTPClient = &http.Client{Transport: keys}
		c.Verifier.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { told[e.Issuer]++ }
		router, err := idp.EntraTenants(c)
		require.NoError(t, err)
		for i := range 1500 {
			token, err := router.Verify(t.Context(), invented(guid(i+1)))
			kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
			token, err = router.Verify(t.Context(), invented(fmt.Sprint("x", i)))
			kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		}
		for _, iss := range []string{"https://login.microsoftonline.com/" + guid(1), "https://login.microsoftonline.com/" + guid(1) + "/v1.0", "https://x.test/" + guid(1) + "/v2.0"} {
			token, err := router.Verify(t.Context(), entraToken(t, s, guid(1), map[string]any{"iss": iss}))
			kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
		}
		require.Zero(t, lookups)
		token, err := router.Verify(t.Context(), entraToken(t, s, guid(7777), nil))
		require.NoError(t, err, "a customer's first token")
		require.Equal(t, guid(7777), token.Tenant())
		require.Equal(t, 1, lookups)
		token, err = router.Verify(t.Context(), entraToken(t, s, tenant, nil))
		require.NoError(t, err)
		require.Equal(t, tenant, token.Tenant())
		require.Equal(t, 1, lookups, "a tenant that is named is not looked up")
		token, err = router.Verify(t.Context(), entraToken(t, s, guid(8888), map[string]any{"scp": kit.Absent}))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
		require.Equal(t, map[string]int{"https://login.microsoftonline.com/{tenant}/v2.0": 1500, "https://login.microsoftonline.com/" + guid(8888) + "/v2.0": 1,
			"https://login.microsoftonline.com/" + guid(7777) + "/v2.0": 1, "https://login.microsoftonline.com/" + tenant + "/v2.0": 1}, told, "what fills metrics")
		for _, url := range keys.asked {
			require.Equal(t, "https://login.microsoftonline.com/common/discovery/v2.0/keys", url)
		}
		require.LessOrEqual(t, len(keys.asked), 4)
	})
}

// An outage of the tenant store refuses no tenant that could come before, for an hour.
func TestLookupInAnOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		down := false
		router := tenants(t, keys, func(context.Context, string) (bool, error) {
			if down {
				return false, errors.New("x")
			}
			return true, nil
		})
		verify := func(of string) error {
			_, err := router.Verify(t.Context(), entraToken(t, s, of, nil))
			return err
		}
		require.NoError(t, verify(guid(1)))
		down = true
		time.Sleep(50 * time.Minute)
		require.NoError(t, verify(guid(1)))
		time.Sleep(65 * time.Minute) // nearly two hours
		require.NoError(t, verify(guid(1)))
		synctest.Wait()
		require.NoError(t, verify(guid(1)), "who comes when the call has failed")
		time.Sleep(5 * time.Minute)
		require.Equal(t, bearergate.ReasonStoreUnavailable, bearergate.ReasonOf(verify(guid(1))), "two hours")
		require.Equal(t, bearergate.ReasonStoreUnavailable, bearergate.ReasonOf(verify(guid(2))), "a new one")
		down = false
		time.Sleep(time.Second)
		require.NoError(t, verify(guid(2)))
	})
}

// What Lookup said last counts: a tenant that was refused does not come back by an outage, and
// one that is refused after an hour is so from the next token on.
func TestLookupRefusesLater(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		var mu sync.Mutex
		says, err := true, error(nil)
		answers := func(is bool, with error) {
			mu.Lock()
			defer mu.Unlock()
			says, err = is, with
		}
		router := tenants(t, keys, func(context.Context, string) (bool, error) {
			time.Sleep(time.Millisecond) // so that whoever need not wait has gone
			mu.Lock()
			defer mu.Unlock()
			return says, err
		})
		verify := func() bearergate.Reason {
			_, err := router.Verify(t.Context(), entraToken(t, s, guid(1), nil))
			return bearergate.ReasonOf(err)
		}
		require.Empty(t, verify())
		time.Sleep(time.Hour)
		answers(false, nil)
		require.Empty(t, verify(), "asked in the background")
		time.Sleep(time.Second)
		require.Equal(t, bearergate.ReasonIssuer, verify())
		answers(false, errors.New("down"))
		time.Sleep(11 * time.Second)
		require.Equal(t, bearergate.ReasonStoreUnavailable, verify(), "it does not come back")
		answers(true, nil)
		time.Sleep(time.Second)
		require.Empty(t, verify())
		answers(true, bearergate.ErrMisconfigured)
		time.Sleep(time.Hour)
		require.Empty(t, verify())
		time.Sleep(time.Second)
		require.Equal(t, bearergate.ReasonInternal, verify(), "a broken Lookup admits nobody")
	})
}

// A caller that goes away does not wait for Lookup, opens nothing, and takes nobody along.
func TestCallersOfLookup(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		calls := 0
		var of context.Context
		router := tenants(t, keys, func(ctx context.Context, _ string) (bool, error) {
			calls++
			of = ctx
			time.Sleep(3 * time.Second)
			return ctx.Err() == nil, nil
		})
		raw := entraToken(t, s, guid(1), nil)
		begun := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			token, err := router.Verify(t.Context(), raw)
			require.NoError(t, err, "who waits")
			require.Equal(t, guid(1), token.Tenant())
			require.Equal(t, 3*time.Second, time.Since(begun))
		})
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			token, err := router.Verify(ctx, raw)
			kit.RequireRefused(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
			require.Equal(t, time.Second, time.Since(begun))
		})
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			token, err := router.Verify(ctx, raw)
			kit.RequireRefused(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
			require.Equal(t, 2*time.Second, time.Since(begun))
		})
		wg.Wait()
		require.Equal(t, 1, calls)
		synctest.Wait()
		require.ErrorIs(t, of.Err(), context.Canceled, "the context of a call ends with it")
	})
}

// A Lookup that is deaf to its context is called once at a time.
func TestLookupThatIsDeaf(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		var calls atomic.Int32
		router := tenants(t, keys, func(context.Context, string) (bool, error) {
			calls.Add(1)
			time.Sleep(time.Hour)
			return true, nil
		})
		for i := range 100 {
			_, err := router.Verify(t.Context(), entraToken(t, s, guid(1), nil))
			require.Equal(t, bearergate.ReasonStoreUnavailable, bearergate.ReasonOf(err))
			require.Equal(t, i == 0, errors.Is(err, guard.ErrLate), "the call that is late says so")
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 1, calls.Load())
		time.Sleep(2 * time.Hour)
	})
}

// What Verifier says of algorithms, scopes and the cache counts for every tenant, and its
// Check comes beside Lookup.
func TestVerifierOfTenants(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		checked := 0
		var event jwtverify.VerifyEvent
		verify := func(alg string, size int, change func(*idp.EntraTenantsConfig)) (*bearergate.Token, error) {
			c := idp.EntraTenantsConfig{Tenants: []string{tenant}, API: api, Lookup: func(_ context.Context, of string) (bool, error) { return of == guid(1), nil }}
			c.Verifier.HTTPClient = &http.Client{Transport: keys}
			c.Verifier.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { event = e }
			change(&c)
			router, err := idp.EntraTenants(c)
			require.NoError(t, err)
			keys.set = strings.Replace(keys.set, `"alg":"RS256",`, "", 1) // what the key serves, the configuration says
			s.Alg = alg
			var raw string
			fips140.WithoutEnforcement(func() { // which forbids PS256 in a bubble, whose random numbers are others
				raw = entraToken(t, s, guid(1), map[string]any{"permitted": "orders.write", "scope": "orders.all", "more": strings.Repeat("x", size)})
			})
			_, _ = router.Verify(t.Context(), raw)
			return router.Verify(t.Context(), raw)
		}
		long := func(c *idp.EntraTenantsConfig) { c.Verifier.MaxTokenBytes = 64 << 10 }
		for _, tt := range []struct {
			name    string
			alg     string
			change  func(*idp.EntraTenantsConfig)
			refused bearergate.Reason
			kind    error // default: ErrInvalidToken
			scope   string
			size    int // of a claim more
			cached  bool
		}{
			{name: "as it is", alg: "RS256", scope: "orders.read", cached: true},
			{name: "as it is, another algorithm", alg: "RS384", refused: bearergate.ReasonAlgorithm},
			{name: "as it is, what others accept by default", alg: "PS256", refused: bearergate.ReasonAlgorithm},
			{name: "an algorithm of one's own", alg: "RS384", change: func(c *idp.EntraTenantsConfig) { c.Verifier.Algorithms = []string{"RS384"} }, scope: "orders.read", cached: true},
			{name: "an algorithm of one's own, and no other", alg: "RS256", change: func(c *idp.EntraTenantsConfig) { c.Verifier.Algorithms = []string{"RS384"} }, refused: bearergate.ReasonAlgorithm},
			{name: "another claim of scopes", alg: "RS256", change: func(c *idp.EntraTenantsConfig) { c.Verifier.ScopeClaims = []string{"permitted"} }, scope: "orders.write", cached: true},
			{name: "no cache", alg: "RS256", change: func(c *idp.EntraTenantsConfig) { c.Verifier.DisableCache = true }, scope: "orders.read"},
			// A token may take a sixteenth of the cache, and takes twice its length and a little more.
			{name: "what 1 MiB remembers", alg: "RS256", size: 23_000, change: long, scope: "orders.read", cached: true},
			{name: "what 1 MiB does not", alg: "RS256", size: 25_000, change: long, scope: "orders.read"},
			{name: "more bytes", alg: "RS256", size: 25_000, scope: "orders.read", cached: true, change: func(c *idp.EntraTenantsConfig) { long(c); c.Verifier.CacheBytes = 4 << 20 }},
			{name: "a number of entries alone", alg: "RS256", size: 25_000, scope: "orders.read", cached: true, change: func(c *idp.EntraTenantsConfig) { long(c); c.Verifier.CacheEntries = 16 }},
			{name: "a Check that refuses", alg: "RS256", kind: bearergate.ErrForbidden, refused: bearergate.ReasonPolicy, change: func(c *idp.EntraTenantsConfig) {
				c.Verifier.Check = func(context.Context, *bearergate.Token) error { checked++; return bearergate.ErrForbidden }
			}},
			{name: "a Check beside a Lookup that refuses", alg: "RS256", refused: bearergate.ReasonIssuer, change: func(c *idp.EntraTenantsConfig) {
				c.Lookup = func(context.Context, string) (bool, error) { return false, nil }
				c.Verifier.Check = func(context.Context, *bearergate.Token) error { return nil }
			}},
		} {
			if tt.change == nil {
				tt.change = func(*idp.EntraTenantsConfig) {}
			}
			token, err := verify(tt.alg, tt.size, tt.change)
			if tt.refused != "" {
				kit.RequireRefused(t, token, err, cmp.Or(tt.kind, bearergate.ErrInvalidToken), tt.refused)
				continue
			}
			require.NoError(t, err, tt.name)
			require.Equal(t, []string{tt.scope}, token.Scopes().Names(), tt.name)
			require.Equal(t, tt.cached, event.Cached, tt.name)
		}
		require.Equal(t, 2, checked)
		time.Sleep(time.Minute)
	})
}

// A hook that is not there is not missed.
func TestHooksOfTenants(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		c := idp.EntraTenantsConfig{API: api, Lookup: func(context.Context, string) (bool, error) { return true, nil }}
		c.Verifier.HTTPClient = &http.Client{Transport: keys}
		c.Verifier.Hooks.Panicked = func(_ context.Context, e bearergate.PanicEvent) { t.Errorf("%s panicked", e.Where) }
		router, err := idp.EntraTenants(c)
		require.NoError(t, err)
		_, err = router.Verify(t.Context(), entraToken(t, s, guid(1), nil))
		require.NoError(t, err)
	})
}

// The verifier of a tenant is made anew before a day is over. What Lookup has said stays: an
// outage at that moment is like any other.
func TestLookupInAnOutageAfterADay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		down := false
		router := tenants(t, keys, func(context.Context, string) (bool, error) {
			if down {
				return false, errors.New("x")
			}
			return true, nil
		})
		begun := time.Now()
		for time.Since(begun) < 20*time.Hour {
			token, err := router.Verify(t.Context(), entraToken(t, s, guid(1), nil))
			require.NoError(t, err, time.Since(begun))
			require.Equal(t, guid(1), token.Tenant())
			synctest.Wait() // for what is asked in the background
			time.Sleep(10 * time.Minute)
			down = time.Since(begun) > 18*time.Hour
		}
		_, err := router.Verify(t.Context(), entraToken(t, s, guid(1), nil))
		require.Equal(t, bearergate.ReasonStoreUnavailable, bearergate.ReasonOf(err), "for two hours, and no longer")
	})
}

// A tenant has its verifier for a day, and with it the tokens that are remembered.
func TestTokensAreRememberedForADay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		var event jwtverify.VerifyEvent
		c := idp.EntraTenantsConfig{API: api, Lookup: func(context.Context, string) (bool, error) { return true, nil }}
		c.Verifier.HTTPClient = &http.Client{Transport: keys}
		c.Verifier.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { event = e }
		router, err := idp.EntraTenants(c)
		require.NoError(t, err)
		raw := entraToken(t, s, guid(1), map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})
		for begun := time.Now(); time.Since(begun) <= 19*time.Hour; time.Sleep(10 * time.Minute) {
			for _, again := range []bool{false, true} {
				_, err := router.Verify(t.Context(), raw)
				require.NoError(t, err)
				require.Equal(t, again, event.Cached, time.Since(begun))
				synctest.Wait()
			}
		}
	})
}

// A Lookup that admits a tenant and then never answers again, deaf to its context, keeps it in
// for as long as any outage does.
func TestLookupThatGoesDeaf(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		var calls atomic.Int32
		router := tenants(t, keys, func(context.Context, string) (bool, error) {
			if calls.Add(1) > 1 {
				time.Sleep(10 * time.Hour)
			}
			return true, nil
		})
		verify := func() bearergate.Reason {
			_, err := router.Verify(t.Context(), entraToken(t, s, guid(1), nil))
			return bearergate.ReasonOf(err)
		}
		require.Empty(t, verify())
		for range 59 {
			time.Sleep(2 * time.Minute)
			require.Empty(t, verify())
		}
		time.Sleep(3 * time.Minute) // more than two hours
		for range 3 {
			require.Equal(t, bearergate.ReasonStoreUnavailable, verify())
			time.Sleep(time.Minute)
		}
		require.EqualValues(t, 2, calls.Load())
		time.Sleep(11 * time.Hour)
	})
}

// A key that is published for one tenant is no other's.
func TestKeyOfAnotherTenant(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		var set map[string][]map[string]any
		require.NoError(t, json.Unmarshal([]byte(keys.set), &set))
		set["keys"][0]["issuer"] = "https://login.microsoftonline.com/" + guid(1) + "/v2.0"
		text, err := json.Marshal(set)
		require.NoError(t, err)
		keys.set = string(text)
		router := tenants(t, keys, func(context.Context, string) (bool, error) { return true, nil })
		_, err = router.Verify(t.Context(), entraToken(t, s, guid(1), nil))
		require.NoError(t, err)
		token, err := router.Verify(t.Context(), entraToken(t, s, guid(2), nil))
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
	})
}

// Tokens of version 2 have the ID of the API as aud, and no URI.
func TestAudienceOfTenants(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, keys := entra(t)
		router := tenants(t, keys, func(context.Context, string) (bool, error) { return true, nil })
		for _, of := range []string{tenant, guid(1)} {
			token, err := router.Verify(t.Context(), entraToken(t, s, of, map[string]any{"aud": "api://" + api}))
			kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonAudience)
		}
	})
}
