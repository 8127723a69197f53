package apikey_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/catalogue"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

func TestAKeyBecomesAToken(t *testing.T) {
	m := generate(t, "acme", "orders:read", "orders:write")
	m.record.Roles, m.record.Tenant, m.record.NotAfter = []string{"clerk"}, "eu", start.Add(time.Hour)
	token, err := as(t, newKeys(t, config(m.record)), m.key)
	require.NoError(t, err)
	require.Equal(t, issuer, token.Issuer())
	require.Equal(t, "acme", token.Subject())
	require.Equal(t, "acme", token.ClientID())
	require.Equal(t, m.record.ID, token.ID())
	require.Equal(t, "eu", token.Tenant())
	require.Equal(t, []string{"clerk"}, token.Roles())
	require.True(t, token.Scopes().Equal(scope.Of("orders:read", "orders:write")))
	require.Equal(t, start.Add(time.Hour), token.ExpiresAt())
	require.True(t, token.IsClient())
	require.False(t, token.Bound())
	var claims struct {
		Issuer string `json:"iss"`
		Client string `json:"client_id"`
		Scope  string `json:"scope"`
	}
	require.NoError(t, token.Claims(&claims))
	require.Equal(t, issuer, claims.Issuer)
	require.Equal(t, "acme", claims.Client)
	require.Equal(t, token.Scopes().String(), claims.Scope)
	var all map[string]any
	require.NoError(t, token.Claims(&all))
	require.Equal(t, []any{"clerk"}, all["roles"])

	m.record.Roles, all = nil, nil
	token, err = as(t, newKeys(t, config(m.record)), m.key)
	require.NoError(t, err)
	require.NoError(t, token.Claims(&all))
	require.NotContains(t, all, "roles")
}

func TestGenerate(t *testing.T) {
	form := regexp.MustCompile(`^orders_[a-z2-7]{16}_[a-z2-7]{39}$`) // as docs/migration-from-api-keys.md gives it to scanners
	seen := map[string]bool{}
	for range 100 {
		m := generate(t, "acme")
		require.Regexp(t, form, m.key)
		require.Equal(t, m.record.ID, strings.Split(m.key, "_")[1])
		require.Equal(t, apikey.Hash(sha256.Sum256([]byte(m.key))), m.record.Hash)
		require.False(t, seen[m.key] || seen[m.record.ID])
		seen[m.key], seen[m.record.ID] = true, true
		_, err := bearergate.BearerToken([]string{"Bearer " + m.key})
		require.NoError(t, err, "it fits into an Authorization header")
	}
	for _, prefix := range []string{"", "o", "Orders", "or_ders", "1orders", "abcdefghijklmnopq"} {
		key, r, err := apikey.Generate(prefix)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.Empty(t, key.Reveal())
		require.Zero(t, r)
	}
	key, _, err := apikey.Generate("orders")
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", key, key, key), key.Reveal())
}

// One key that is right, and one change.
func TestWrongKeys(t *testing.T) {
	m, other := generate(t, "acme"), generate(t, "other")
	unknown := generate(t, "nobody")
	flip := func(key string, i int) string {
		b := []byte(key)
		if b[i]++; b[i] == 'z'+1 || b[i] == '8' {
			b[i] = 'a'
		}
		return string(b)
	}
	n := len(m.key)
	// another secret behind the ID of m, with the checksum that belongs to it
	forged := remade(t, m.record.ID, other.key)
	secret := strings.Split(other.key, "_")[2][:32]
	for _, tc := range []struct {
		name, key string
		reason    bearergate.Reason
	}{
		{name: "unknown", key: unknown.key, reason: bearergate.ReasonInactive},                          // APK-022
		{name: "the secret of another key", key: forged, reason: bearergate.ReasonInactive},             // APK-023
		{name: "one character of the secret", key: flip(m.key, 30), reason: bearergate.ReasonMalformed}, // APK-024
		{name: "one character of the ID", key: flip(m.key, 10), reason: bearergate.ReasonMalformed},
		{name: "one character of the checksum", key: flip(m.key, n-2), reason: bearergate.ReasonMalformed},
		{name: "a character short", key: m.key[:n-1], reason: bearergate.ReasonMalformed},
		{name: "a character more", key: m.key + "a", reason: bearergate.ReasonMalformed},
		{name: "padding", key: m.key + "=", reason: bearergate.ReasonMalformed},
		{name: "upper case", key: strings.ToUpper(m.key), reason: bearergate.ReasonMalformed}, // APK-025
		{name: "prefix in upper case", key: "Orders" + m.key[6:], reason: bearergate.ReasonMalformed},
		{name: "another prefix", key: "people" + m.key[6:], reason: bearergate.ReasonMalformed}, // APK-026
		{name: "the prefix twice", key: "orders_" + m.key, reason: bearergate.ReasonMalformed},
		{name: "the ID alone", key: m.record.ID, reason: bearergate.ReasonMalformed},
		{name: "the hash", key: fmt.Sprintf("%x", m.record.Hash[:]), reason: bearergate.ReasonMalformed}, // APK-027
		{name: "a dash for an underscore", key: strings.Replace(m.key, "_", "-", 1), reason: bearergate.ReasonMalformed},
		{name: "a digit that is none, with its checksum", key: summed("orders_" + m.record.ID + "_" + secret[:31] + "1"), reason: bearergate.ReasonMalformed},
		{name: "an eight, with its checksum", key: summed("orders_" + m.record.ID + "_" + secret[:31] + "8"), reason: bearergate.ReasonMalformed},
		{name: "a brace, with its checksum", key: summed("orders_" + m.record.ID + "_" + secret[:31] + "{"), reason: bearergate.ReasonMalformed},
		{name: "a backquote, with its checksum", key: summed("orders_" + m.record.ID + "_" + secret[:31] + "`"), reason: bearergate.ReasonMalformed},
		{name: "upper case in the ID, with its checksum", key: summed("orders_A" + m.record.ID[1:] + "_" + secret), reason: bearergate.ReasonMalformed},
		{name: "another mark, with its checksum", key: summed("orders_" + m.record.ID + "-" + secret), reason: bearergate.ReasonMalformed},
		{name: "a short secret, with its checksum", key: summed("orders_" + m.record.ID + "_" + secret[:31]), reason: bearergate.ReasonMalformed},
		{name: "a digit that is none at the beginning of the secret, with its checksum", key: summed("orders_" + m.record.ID + "_1" + secret[1:]), reason: bearergate.ReasonMalformed},
		{name: "all letters and digits, with its checksum", key: summed("orders_abcdefghijklmnop_qrstuvwxyz234567abcdefghijklmnop"), reason: bearergate.ReasonInactive},
		{name: "the prefix alone", key: "orders_", reason: bearergate.ReasonMalformed},
		{name: "a JWT", key: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", reason: bearergate.ReasonType},
		{name: "the beginning of a JWT", key: "eyJhbGciOiJFUzI1NiJ9", reason: bearergate.ReasonType},
		{name: "three parts", key: "a.b.c", reason: bearergate.ReasonType},
		{name: "an access token", key: token("orders:read"), reason: bearergate.ReasonMalformed},
		{name: "a key of the older system, which is not allowed", key: old, reason: bearergate.ReasonMalformed}, // APK-028
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKeys(t, config(m.record, other.record))
			requireRefused(t, k, tc.key, bearergate.ErrInvalidToken, tc.reason)
			for _, u := range k.Report().Keys {
				require.Zero(t, u.Accepted+u.Refused, "a stranger is nobody's use")
			}
			_, err := as(t, k, m.key)
			require.NoError(t, err)
		})
	}
	for i := range m.record.Hash {
		almost := m.record
		almost.Hash[i] ^= 1
		requireRefused(t, newKeys(t, config(almost)), m.key, bearergate.ErrInvalidToken, bearergate.ReasonInactive) // each byte of the hash counts
	}
	k := newKeys(t, config(m.record))
	_, unknownErr := as(t, k, unknown.key)
	_, wrongErr := as(t, k, forged)
	require.Equal(t, unknownErr, wrongErr, "nobody learns whether there is the ID")
}

func TestASendersCredential(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	bearer := token("orders:read")
	for _, tc := range []struct {
		name   string
		scheme bool // the scheme ApiKey instead of a header
		lines  []string
		status int
		kind   error
		reason bearergate.Reason
		client string // of the token
	}{
		{name: "a key", lines: []string{header, m.key}, status: 200, client: "acme"},
		{name: "a token", lines: []string{"Authorization", "Bearer " + bearer}, status: 200, client: "c1"},
		{name: "nothing", status: 401, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "both", lines: []string{header, m.key, "Authorization", "Bearer " + bearer}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},                  // APK-001
		{name: "both, the key wrong", lines: []string{header, "x", "Authorization", "Bearer " + bearer}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},     // APK-002
		{name: "both, the key empty", lines: []string{header, "", "Authorization", "Bearer " + bearer}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},      // APK-003
		{name: "a key and Basic", lines: []string{header, m.key, "Authorization", "Basic dTpw"}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},             // APK-004
		{name: "two keys", lines: []string{header, m.key, header, m.key}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},                                    // APK-005
		{name: "two keys in one line", lines: []string{header, m.key + "," + m.key}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},                         // APK-006
		{name: "a space behind the key", lines: []string{header, m.key + " x"}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},                              // APK-007
		{name: "a key that is too long", lines: []string{header, strings.Repeat("a", apikey.MaxKeyBytes+1)}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest}, // APK-008
		{name: "the longest key", lines: []string{header, strings.Repeat("a", apikey.MaxKeyBytes)}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMalformed},
		{name: "a long JWT in the header", lines: []string{header, "eyJ" + strings.Repeat("a", apikey.MaxKeyBytes)}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonType}, // APK-014
		{name: "an empty key", lines: []string{header, ""}, status: 401, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "a key under Bearer", lines: []string{"Authorization", "Bearer " + m.key}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonType},                    // APK-009
		{name: "a mangled key under Bearer", lines: []string{"Authorization", "Bearer ORDERS_" + m.key[7:]}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonType}, // APK-010
		{name: "the mark under Bearer", lines: []string{"Authorization", "Bearer ApiKey " + m.key}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},  // APK-011
		{name: "the mark in the header", lines: []string{header, "ApiKey " + m.key}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},                 // APK-012
		{name: "a token in the header", lines: []string{header, bearer}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMalformed},                                // APK-013
		{name: "a key under DPoP", lines: []string{"Authorization", "DPoP " + m.key}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},                     // APK-015
		{name: "the scheme where there is a header", lines: []string{"Authorization", "ApiKey " + m.key}, status: 401, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken}, // APK-016
		{name: "an underscore in the header", lines: []string{"X_Api_Key", m.key}, status: 401, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},                        // APK-017

		{name: "scheme: a key", scheme: true, lines: []string{"Authorization", "ApiKey " + m.key}, status: 200, client: "acme"},
		{name: "scheme: in other letters", scheme: true, lines: []string{"Authorization", "apikey   " + m.key}, status: 200, client: "acme"},
		{name: "scheme: a token", scheme: true, lines: []string{"Authorization", "Bearer " + bearer}, status: 200, client: "c1"},
		{name: "scheme: both", scheme: true, lines: []string{"Authorization", "ApiKey " + m.key, "Authorization", "Bearer " + bearer}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest}, // APK-018
		{name: "scheme: both in one line", scheme: true, lines: []string{"Authorization", "ApiKey " + m.key + ", Bearer " + bearer}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},   // APK-019
		{name: "scheme: a tilde before the key", scheme: true, lines: []string{"Authorization", "ApiKey ~" + m.key}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonMalformed},
		{name: "scheme: no key", scheme: true, lines: []string{"Authorization", "ApiKey "}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "scheme: the name alone", scheme: true, lines: []string{"Authorization", "ApiKey"}, status: 400, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "scheme: a short text", scheme: true, lines: []string{"Authorization", "x"}, status: 401, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "scheme: a longer name", scheme: true, lines: []string{"Authorization", "ApiKeys " + m.key}, status: 401, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "scheme: the header is not read", scheme: true, lines: []string{header, m.key}, status: 401, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken}, // APK-020
		{name: "scheme: a key under Bearer", scheme: true, lines: []string{"Authorization", "Bearer " + m.key}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonType},
		{name: "scheme: a JWT", scheme: true, lines: []string{"Authorization", "ApiKey eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}, status: 401, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonType}, // APK-021
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(m.record)
			if tc.scheme {
				c.Header = ""
			}
			var event middleware.DecisionEvent
			gate := gateOf(t, newKeys(t, c), middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { event = e }})
			w := httptest.NewRecorder()
			gate.Require(read)(kit.Says("served")).ServeHTTP(w, request(tc.lines...))
			require.Equal(t, tc.status, w.Code)
			if tc.kind == nil {
				require.NoError(t, event.Err)
				require.Equal(t, tc.client, event.Token.ClientID())
				require.Equal(t, tc.client == "acme", event.Token.Issuer() == issuer)
				return
			}
			require.NotEqual(t, "served", w.Body.String())
			kit.RequireError(t, event.Err, tc.kind, tc.reason)
			kit.RequireNothingOf(t, event.Err.Error(), m.key)
			kit.RequireNothingOf(t, fmt.Sprint(w.Header(), w.Body), m.key)
			challenges := w.Header()["Www-Authenticate"]
			require.Len(t, challenges, 1, "of the scheme that has one")
			require.True(t, strings.HasPrefix(challenges[0], "Bearer "), challenges[0])
		})
	}
}

// Where nothing is in the header, or there is none, a direct caller of Extract is told too.
func TestNoCredentialAtAll(t *testing.T) {
	k := newKeys(t, config(generate(t, "acme").record))
	for name, call := range map[string]bearergate.Call{
		"an empty call": {},
		"an empty key":  {Header: func(name string) []string { return map[string][]string{header: {""}}[name] }},
	} {
		c, err := k.ExtractCall(call)
		kit.RequireError(t, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
		require.Empty(t, c, name)
	}
}

// A caller without a context is served.
func TestNoContext(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	c := config()
	c.Records, c.Lookup = nil, store{m.record.ID: m.record}.lookup
	k := newKeys(t, c)
	var none context.Context
	_, err := k.Verify(none, "ApiKey "+m.key)
	require.NoError(t, err)
	require.NoError(t, k.Explain(none, "ApiKey "+m.key).Err)
}

// Neither a stranger nor an optional route changes the rule.
func TestAnOptionalRoute(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	h := gateOf(t, newKeys(t, config(m.record)), middleware.Hooks{}).Optional(scope.Requirement{})(kit.Says("served"))
	for _, tc := range []struct {
		name   string
		lines  []string
		status int
	}{
		{name: "nobody", status: 200},
		{name: "a key", lines: []string{header, m.key}, status: 200},
		{name: "a wrong key", lines: []string{header, generate(t, "x").key}, status: 401},
		{name: "two credentials", lines: []string{header, m.key, "Authorization", "Bearer x"}, status: 400},
		{name: "a key under Bearer", lines: []string{"Authorization", "Bearer " + m.key}, status: 401},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(tc.lines...))
		require.Equal(t, tc.status, w.Code, tc.name)
	}
}

// What a key of ours looks like is shown to no authorization server, whatever is wrong with it.
func TestAKeyIsShownToNobody(t *testing.T) {
	m := generate(t, "acme")
	legacy, err := apikey.Import(bearergate.NewSecret(pepper), old)
	require.NoError(t, err)
	legacy.Owner = "acme"
	c := config(m.record, legacy)
	c.AllowLegacy = bearergate.NewSecret(pepper)
	asked := []string{}
	c.Tokens = bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		asked = append(asked, raw)
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com"}), nil
	})
	k := newKeys(t, c)
	for _, key := range []string{m.key, m.key[:20], "orders_", "ORDERS_x", old} {
		token, err := bearergate.Verify(t.Context(), k, key)
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
		_, err = as(t, k, "eyJ"+key)
		require.Error(t, err)
	}
	require.Empty(t, asked)
	others := []string{"opaque-token-of-the-server", "orders", "ordersx_token", "people_token", "another-key-0123456789"}
	for _, other := range others {
		_, err = bearergate.Verify(t.Context(), k, other)
		require.NoError(t, err)
	}
	require.Equal(t, others, asked)

	// With Lookup, a key of the older system is a text like any other until it is looked up.
	looked := c
	looked.Records, looked.Lookup = nil, store{legacy.ID: legacy}.lookup
	k = newKeys(t, looked)
	_, err = bearergate.Verify(t.Context(), k, old)
	require.NoError(t, err)
	_, err = as(t, k, old)
	require.NoError(t, err)
	asked = []string{}
	for _, key := range []string{old, m.key} {
		token, err := bearergate.Verify(t.Context(), k, key)
		kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
		kit.RequireExplained(t, bearergate.Explain(t.Context(), k, key), err, key)
	}
	require.Empty(t, asked)

	// The keys that MaxKeys has no place for stay such texts.
	looked.Lookup, looked.MaxKeys = store{legacy.ID: legacy, m.record.ID: m.record}.lookup, 1
	for first, shown := range map[string][]string{m.key: {old}, old: nil} {
		k, asked = newKeys(t, looked), nil
		for _, key := range []string{first, old, m.key} {
			_, err = as(t, k, key)
			require.NoError(t, err)
		}
		for _, key := range []string{old, m.key} {
			_, _ = bearergate.Verify(t.Context(), k, key)
		}
		require.Equal(t, shown, asked)
	}

	// Without AllowLegacy it stays one.
	c.Records, c.AllowLegacy = []apikey.Record{m.record}, bearergate.Secret{}
	_, err = bearergate.Verify(t.Context(), newKeys(t, c), old)
	require.NoError(t, err)
}

// A route with a verifier of its own takes no keys, and its server is not shown any.
func TestAKeyOnARouteWithAVerifierOfItsOwn(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	asked := 0
	opaque, err := introspect.New(introspect.Config{Issuer: "https://as.example.com", Audiences: []string{"https://api.example.com"}, AskName: "test",
		Ask: func(context.Context, string) ([]byte, error) { asked++; return []byte(`{"active":false}`), nil }})
	require.NoError(t, err)
	k := newKeys(t, config(m.record))
	gate := gateOf(t, k, middleware.Hooks{})
	_, _, err = gate.Check(request(header, m.key), read, middleware.Via(opaque))
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
	require.Zero(t, asked)

	c := config(m.record)
	c.Tokens = opaque
	_, _, err = gate.Check(request(header, m.key), read, middleware.Via(newKeys(t, c)))
	require.NoError(t, err)
	require.Zero(t, asked)
}

// A key proves nothing.
func TestAKeyIsNotBound(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	c := config(m.record)
	c.Tokens = confirms{c.Tokens}
	k := newKeys(t, c)
	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{"https://api.example.com"}})
	require.NoError(t, err)
	gate, err := middleware.New(k, middleware.Config{Extract: k.Extract, Bindings: []bearergate.Binding{proofs}})
	require.NoError(t, err)
	_, _, err = gate.Check(request(header, m.key), read)
	require.NoError(t, err)
	_, _, err = gate.Check(request(header, m.key), read, middleware.Bound())
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	_, _, err = gate.Check(request("Authorization", "DPoP "+m.key), read)
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonType)
}

// What a long request learns of its key: see middleware.Recheck.
func TestAKeyIsJudgedAgain(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	now := start
	c := config(m.record)
	c.Now = func() time.Time { return now }
	k := newKeys(t, c)
	credentials, err := k.Extract(request(header, m.key))
	require.NoError(t, err)
	token, _, err := bearergate.Authenticate(t.Context(), k, bearergate.Call{Credentials: credentials})
	require.NoError(t, err)
	_, err = bearergate.Reauthenticate(t.Context(), k, credentials, token)
	require.NoError(t, err)
	now = end
	_, err = bearergate.Reauthenticate(t.Context(), k, credentials, token)
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
}

// Nobody else may speak as the keys do.
//
// req: APK-039
func TestATokenThatPosesAsAKey(t *testing.T) {
	c := config(generate(t, "acme").record)
	c.Tokens = bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: issuer, ClientID: "acme"}), nil
	})
	k := newKeys(t, c)
	token, err := bearergate.Verify(t.Context(), k, "token")
	kit.RequireRefused(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	kit.RequireExplained(t, bearergate.Explain(t.Context(), k, "token"), err, "token")
}

func TestZeroKeysRefuse(t *testing.T) {
	for _, k := range []*apikey.Keys{nil, {}} {
		token, err := k.Verify(t.Context(), "x")
		kit.RequireRefused(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		token, err = k.Verify(t.Context(), "ApiKey x")
		kit.RequireRefused(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		kit.RequireExplained(t, k.Explain(t.Context(), "ApiKey x"), err, "ApiKey x")
		require.Equal(t, []string{"Authorization"}, k.Headers())
		require.False(t, k.Live())
		c, err := k.Extract(request(header, "x"))
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.Empty(t, c.Raw.Reveal())
		require.Error(t, k.Explain(t.Context(), "x").Err)
		require.Zero(t, k.Report())
		require.False(t, k.Issued(bearergate.NewToken(bearergate.Claims{})))
		require.Nil(t, k.Confirmations())
		w := httptest.NewRecorder()
		k.Announce(kit.Says("served")).ServeHTTP(w, request("Authorization", "ApiKey x"))
		require.Empty(t, w.Header().Get("Sunset"))
		require.Equal(t, "served", w.Body.String())
	}
}

// What a Keys prints holds no key, no secret and no hash.
func TestKeysPrintNothing(t *testing.T) {
	m := generate(t, "acme")
	legacy, err := apikey.Import(bearergate.NewSecret(pepper), old)
	require.NoError(t, err)
	legacy.Owner = "old"
	c := config(m.record, legacy)
	c.AllowLegacy = bearergate.NewSecret(pepper)
	k := newKeys(t, c)
	_, err = as(t, k, m.key)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", k, k, k), fmt.Sprintf("%v %+v", *k, *k)} {
		for _, secret := range []string{pepper, old, m.key, strings.Split(m.key, "_")[2]} {
			require.NotContains(t, text, secret)
		}
	}
}

func TestLegacyKeys(t *testing.T) {
	secret := bearergate.NewSecret(pepper)
	r, err := apikey.Import(secret, old)
	require.NoError(t, err)
	r.Owner, r.Scopes = "acme", []string{"orders:read"}
	c := config(r)
	c.AllowLegacy = secret
	k := newKeys(t, c)
	token, err := as(t, k, old)
	require.NoError(t, err)
	require.Equal(t, "acme", token.ClientID())
	require.NotContains(t, fmt.Sprint(r), old)
	for _, key := range []string{old + "x", old[:len(old)-1], "another-key-of-the-older-system"} {
		requireRefused(t, k, key, bearergate.ErrInvalidToken, bearergate.ReasonInactive)
	}
	requireRefused(t, k, "short-key-0123", bearergate.ErrInvalidToken, bearergate.ReasonMalformed)

	// Keys that are in use must stay good: how the two are made stands here once more.
	mac := func(what string) []byte {
		h := hmac.New(sha256.New, []byte(pepper))
		h.Write([]byte("bearergate apikey " + what + "\x00" + old))
		return h.Sum(nil)
	}
	require.Equal(t, "legacy-"+strings.ToLower(base32.StdEncoding.EncodeToString(mac("id")[:15])), r.ID)
	require.Equal(t, apikey.Hash(mac("hash")), r.Hash)

	// Under another secret the same key is another one.
	other, err := apikey.Import(bearergate.NewSecret("x"+pepper), old)
	require.NoError(t, err)
	require.NotEqual(t, r.ID, other.ID)
	require.NotEqual(t, r.Hash, other.Hash)
	require.NotEqual(t, apikey.Hash(sha256.Sum256([]byte(old))), r.Hash)

	// What may just be a key.
	hashes := map[apikey.Hash]bool{}
	for _, key := range []string{"0123456789abcdef", "aaaaaaaaabcdefgh", "!~0123456789abcd", "0123456789.abcdef", strings.Repeat("01234567", 32)} {
		r, err := apikey.Import(secret, key)
		require.NoError(t, err, key)
		require.False(t, hashes[r.Hash], "each has a hash of its own")
		hashes[r.Hash] = true
		r.Owner = "acme"
		c.Records = []apikey.Record{r}
		_, err = as(t, newKeys(t, c), key)
		require.NoError(t, err, key)
	}
	for _, tc := range []struct{ name, secret, key string }{
		{name: "seven different characters", secret: pepper, key: "aaaaaaaaaabcdefg"},
		{name: "a character too many", secret: pepper, key: strings.Repeat("01234567", 32) + "8"},
		{name: "three parts", secret: pepper, key: "0123456.789abcd.ef"},
		{name: "a short secret", secret: pepper[1:], key: old},
		{name: "a short key", secret: pepper, key: "0123456789abcde"},
		{name: "a long key", secret: pepper, key: strings.Repeat("0123456789abcdef", 17)},
		{name: "a key of few characters", secret: pepper, key: strings.Repeat("abc", 10)},
		{name: "a comma", secret: pepper, key: old + "," + old},
		{name: "a space", secret: pepper, key: old + " " + old},
		{name: "a JWT", secret: pepper, key: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"},
		{name: "not ASCII", secret: pepper, key: old + "ä"},
	} {
		r, err := apikey.Import(bearergate.NewSecret(tc.secret), tc.key)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.Zero(t, r, tc.name)
		kit.RequireNothingOf(t, err.Error(), tc.key)
	}
}

func TestEnds(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	m.record.NotAfter = start.Add(time.Hour)
	forever := generate(t, "slow", "orders:read")
	forever.record.NotAfter = end.AddDate(5, 0, 0)
	now := start
	c := config(m.record, forever.record)
	c.Now = func() time.Time { return now }
	var told []apikey.UseEvent
	c.Hooks = apikey.Hooks{Used: func(_ context.Context, e apikey.UseEvent) { told = append(told, e) }}
	k := newKeys(t, c)
	for _, tc := range []struct {
		name        string
		at          time.Time
		first, last bearergate.Reason
	}{
		{name: "both live", at: start},
		{name: "just before the first ends", at: m.record.NotAfter.Add(-1)},
		{name: "the first has ended", at: m.record.NotAfter, first: bearergate.ReasonExpired}, // APK-032
		{name: "just before the end of all", at: end.Add(-1), first: bearergate.ReasonExpired},
		{name: "the end of all", at: end, first: bearergate.ReasonExpired, last: bearergate.ReasonExpired}, // APK-031
	} {
		now, told = tc.at, nil
		for i, key := range []made{m, forever} {
			reason := []bearergate.Reason{tc.first, tc.last}[i]
			token, err := as(t, k, key.key)
			require.Len(t, told, i+1)
			require.Equal(t, reason, bearergate.ReasonOf(told[i].Err), tc.name)
			require.Equal(t, key.record.ID, told[i].ID)
			require.Equal(t, key.record.Owner, told[i].Owner)
			require.Equal(t, issuer, told[i].Issuer)
			require.Equal(t, tc.at, told[i].At)
			if reason == "" {
				require.NoError(t, err, tc.name)
				continue
			}
			kit.RequireRefused(t, token, err, bearergate.ErrInvalidToken, reason)
			require.Equal(t, !tc.at.Before(end), strings.Contains(err.Error(), "API keys are not accepted any more"), tc.name)
			refused := bearergate.AsError(err).Refused
			require.Equal(t, key.record.Owner, refused.ClientID(), "whose it was, for audit")
			require.Error(t, refused.Authorize(scope.Requirement{}))
		}
	}
	// A stranger is told no more than before.
	requireRefused(t, k, generate(t, "x").key, bearergate.ErrInvalidToken, bearergate.ReasonInactive)

	// The clock decides, as it does of exp: one that was wrong, and is set back, locks nobody out.
	now = end.Add(-2)
	_, err := as(t, k, forever.key)
	require.NoError(t, err)
	now = end

	report := k.Report()
	require.Equal(t, start, report.Since)
	require.Equal(t, end, report.End)
	require.Equal(t, []apikey.Use{
		{ID: m.record.ID, Owner: "acme", Until: m.record.NotAfter, Accepted: 2, Refused: 3, LastAccepted: m.record.NotAfter.Add(-1), LastRefused: end},
		{ID: forever.record.ID, Owner: "slow", Until: end, Accepted: 5, Refused: 1, LastAccepted: end.Add(-1), LastRefused: end},
	}, report.Keys)
	text, err := json.Marshal(report)
	require.NoError(t, err)
	for _, key := range []made{m, forever} {
		kit.RequireNothingOf(t, string(text), strings.Split(key.key, "_")[2])
		require.NotContains(t, string(text), fmt.Sprintf("%x", key.record.Hash[:8]))
	}
}

// Keys that nobody uses are in the report too: they can go at once.
func TestReportNamesWhoUsesNone(t *testing.T) {
	used, unused := generate(t, "acme"), generate(t, "nobody")
	k := newKeys(t, config(unused.record, used.record))
	_, err := as(t, k, used.key)
	require.NoError(t, err)
	keys := k.Report().Keys
	require.Len(t, keys, 2)
	require.Equal(t, "acme", keys[0].Owner)
	require.Equal(t, uint64(1), keys[0].Accepted)
	require.Equal(t, start, keys[0].LastAccepted)
	require.Equal(t, "nobody", keys[1].Owner)
	require.Zero(t, keys[1].LastAccepted)
}

// The one that was used last comes first, whatever came of it.
func TestReportIsInOrder(t *testing.T) {
	a, b, c := generate(t, "a"), generate(t, "b"), generate(t, "c")
	a.record.NotAfter = start
	now := start
	cfg := config(b.record, c.record, a.record)
	cfg.Now = func() time.Time { return now }
	k := newKeys(t, cfg)
	for _, key := range []string{b.key, a.key, c.key} {
		now = now.Add(time.Minute)
		_, _ = as(t, k, key)
	}
	now = start.Add(time.Second) // a request that began earlier, and ends later
	_, err := as(t, k, c.key)
	require.NoError(t, err)
	var owners []string
	for _, u := range k.Report().Keys {
		owners = append(owners, u.Owner)
	}
	require.Equal(t, []string{"c", "a", "b"}, owners)
	require.Equal(t, start.Add(3*time.Minute), k.Report().Keys[0].LastAccepted)
}

// Before the date: which requests will be refused from then on.
func TestTrial(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	k := newKeys(t, config(m.record))
	var event middleware.DecisionEvent
	gate := gateOf(t, k, middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { event = e }})
	h := gate.Require(read, middleware.Trial(apikey.WithoutKeys(), k.Issued))(kit.Says("served"))

	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(header, m.key))
	require.Equal(t, 200, w.Code)
	require.NotNil(t, event.Trial)
	kit.RequireError(t, event.Trial.Err, bearergate.ErrInsufficientScope, bearergate.ReasonScope)

	w = httptest.NewRecorder()
	h.ServeHTTP(w, request("Authorization", "Bearer "+token("orders:read")))
	require.Equal(t, 200, w.Code)
	require.Nil(t, event.Trial, "a token is not on trial")
}

// A catalogue of scopes knows the requirement on trial by one name.
func TestTrialInACatalogue(t *testing.T) {
	k := newKeys(t, config(generate(t, "acme").record))
	router := gateOf(t, k, middleware.Hooks{}).NewRouter()
	router.Handle("GET /orders", read, kit.Says("served"), middleware.Trial(apikey.WithoutKeys(), k.Issued))
	known := `{"name": "orders:read", "description": "See orders", "owner": "Orders team"}`
	trial := `, {"name": "bearergate:no-api-key", "description": "On trial: no API keys", "owner": "Orders team"}`
	for list, want := range map[string]int{known: 1, known + trial: 0} {
		scopes, err := catalogue.Parse([]byte(`{"version": 1, "scopes": [` + list + `]}`))
		require.NoError(t, err)
		require.Len(t, scopes.Check(router.Routes(), catalogue.Rules{}), want)
	}
}

// What clients are told, refused ones too, and that nothing else changes.
//
// req: R8594-01..03, R9745-01..04
func TestAnnounce(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	for _, tc := range []struct {
		name   string
		change func(*apikey.Config)
		lines  []string
		want   map[string]string
	}{
		{name: "a key", lines: []string{header, m.key}, want: map[string]string{"Sunset": "Thu, 01 Jul 2027 00:00:00 GMT", "Deprecation": "", "Link": ""}},
		{name: "all of it", change: func(c *apikey.Config) { c.Deprecated, c.Guide = start, "https://api.example.com/keys" }, lines: []string{header, m.key},
			want: map[string]string{"Sunset": "Thu, 01 Jul 2027 00:00:00 GMT", "Deprecation": "@1798761600", "Link": `<https://api.example.com/keys>; rel="deprecation sunset"`}},
		{name: "after the date", change: func(c *apikey.Config) { c.Now = func() time.Time { return end } }, lines: []string{header, m.key}, want: map[string]string{"Sunset": "Thu, 01 Jul 2027 00:00:00 GMT"}},
		{name: "a wrong key", lines: []string{header, "x"}, want: map[string]string{"Sunset": "Thu, 01 Jul 2027 00:00:00 GMT"}},
		{name: "a token", lines: []string{"Authorization", "Bearer x"}, want: map[string]string{"Sunset": ""}},
		{name: "nobody", want: map[string]string{"Sunset": ""}},
		{name: "the scheme", change: func(c *apikey.Config) { c.Header = "" }, lines: []string{"Authorization", "ApiKey " + m.key}, want: map[string]string{"Sunset": "Thu, 01 Jul 2027 00:00:00 GMT"}},
		{name: "another scheme", change: func(c *apikey.Config) { c.Header = "" }, lines: []string{"Authorization", "Bearer x", header, m.key}, want: map[string]string{"Sunset": ""}},
	} {
		c := config(m.record)
		if tc.change != nil {
			tc.change(&c)
		}
		k := newKeys(t, c)
		h := gateOf(t, k, middleware.Hooks{}).Require(read)(kit.Says("served"))
		plain, w := httptest.NewRecorder(), httptest.NewRecorder()
		h.ServeHTTP(plain, request(tc.lines...))
		k.Announce(h).ServeHTTP(w, request(tc.lines...))
		for name, want := range tc.want {
			require.Equal(t, want, w.Header().Get(name), "%s: %s", tc.name, name)
			w.Header().Del(name)
		}
		require.Equal(t, plain.Code, w.Code, tc.name)
		require.Equal(t, plain.Header(), w.Header(), "%s: nothing else changes", tc.name)
		require.Equal(t, plain.Body.String(), w.Body.String(), tc.name)
	}
}

func TestAHookThatPanics(t *testing.T) {
	m := generate(t, "acme")
	c := config(m.record)
	var panics []bearergate.PanicEvent
	c.Hooks = apikey.JoinHooks(
		apikey.Hooks{Used: func(context.Context, apikey.UseEvent) { panic("boom") }},
		apikey.Hooks{Panicked: func(_ context.Context, e bearergate.PanicEvent) { panics = append(panics, e) }})
	_, err := as(t, newKeys(t, c), m.key)
	require.NoError(t, err)
	require.Equal(t, []bearergate.PanicEvent{{Where: "Used", Type: "string"}}, panics)
	c.Hooks = apikey.Hooks{Used: func(context.Context, apikey.UseEvent) { panic("boom") }}
	_, err = as(t, newKeys(t, c), m.key)
	require.NoError(t, err)
}

func TestConfirmationsAreThoseOfTokens(t *testing.T) {
	c := config(generate(t, "acme").record)
	require.Nil(t, newKeys(t, c).Confirmations())
	c.Tokens = confirms{c.Tokens}
	require.Equal(t, []string{"jkt"}, newKeys(t, c).Confirmations())
}

type confirms struct{ bearergate.Verifier }

func (confirms) Confirmations() []string { return []string{"jkt"} }
