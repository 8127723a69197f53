package signals_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func TestMistakes(t *testing.T) {
	signer := kit.NewSigner(t, "ES256", "k")
	secret := bearergate.NewSecret(authorization)
	for _, tt := range []struct {
		name   string
		change func(*signals.Config)
		says   string // "": none
	}{
		{"none", func(*signals.Config) {}, ""},
		{"discovered", func(c *signals.Config) { c.Keys = nil }, ""},
		{"MetadataURL", func(c *signals.Config) {
			c.Keys, c.MetadataURL = nil, "https://as.example.com/.well-known/ssf-configuration"
		}, ""},
		{"no List", func(c *signals.Config) { c.List = nil }, "List is nil"},
		{"a nil List", func(c *signals.Config) { c.List = (*revocation.List)(nil) }, "List is nil"},
		{"no Issuer", func(c *signals.Config) { c.Issuer = "" }, "Issuer is empty"},
		{"http", func(c *signals.Config) { c.Keys, c.Issuer = nil, "http://as.example.com" }, "is http"},
		{"http, wanted", func(c *signals.Config) { c.Keys, c.Issuer, c.InsecureAllowHTTP = nil, "http://as.example.com", true }, ""},
		{"no Audiences", func(c *signals.Config) { c.Audiences = nil }, "Audiences is empty"},
		{"an empty audience", func(c *signals.Config) { c.Audiences = []string{""} }, "Audiences contains an empty string"},
		{"an empty token issuer", func(c *signals.Config) { c.TokenIssuers = []string{""} }, "TokenIssuers contains an empty string"},
		{"a pattern", func(c *signals.Config) { c.TokenIssuers = []string{"https://*.example.com"} }, "has a * in it"},
		{"a nil Keys", func(c *signals.Config) { c.Keys = (*jwks.Cache)(nil) }, "Keys is a nil"},
		{"Keys and KeysURL", func(c *signals.Config) { c.KeysURL = "https://as.example.com/jwks" }, "Keys and KeysURL are both set"},
		{"HMAC", func(c *signals.Config) { c.Algorithms = []string{"HS256"} }, `"HS256" is not accepted`},
		{"Leeway", func(c *signals.Config) { c.Leeway = 6 * time.Minute }, "Leeway is 6m0s"},
		{"nobody is authenticated", func(c *signals.Config) { c.Authorization = nil }, "Authorization is empty"},
		{"two ways", func(c *signals.Config) { c.InsecureAnyTransmitter = true }, "leave out all but one"},
		{"two other ways", func(c *signals.Config) { c.Verifier = kit.Granting() }, "leave out all but one"},
		{"a nil Verifier", func(c *signals.Config) { c.Authorization, c.Verifier = nil, (*jwtverify.Verifier)(nil) }, "Verifier is a nil"},
		{"a short secret", func(c *signals.Config) {
			c.Authorization = []bearergate.Secret{secret, bearergate.NewSecret("Bearer 12345678")}
		}, "Authorization: value 1 has less than 16 bytes"},
		{"a secret of just enough", func(c *signals.Config) {
			c.Authorization = []bearergate.Secret{bearergate.NewSecret("Bearer 123456789")}
		}, ""},
		{"a secret with a space behind it", func(c *signals.Config) {
			c.Authorization = []bearergate.Secret{bearergate.NewSecret("Bearer 0123456789abcdef12345678 ")}
		}, "Authorization: value 0 begins or ends with white space"},
		{"a secret out of a file, with its end of line", func(c *signals.Config) {
			c.Authorization = []bearergate.Secret{bearergate.NewSecret("Bearer 0123456789abcdef12345678\n")}
		}, "Authorization: value 0 begins or ends with white space"},
		{"a secret of two lines", func(c *signals.Config) {
			c.Authorization = []bearergate.Secret{bearergate.NewSecret("Bearer 0123456789\n12345678")}
		}, "Authorization: value 0 begins or ends with white space, or has a control character"},
		{"an empty secret", func(c *signals.Config) { c.Authorization = []bearergate.Secret{{}} }, "value 0 has less than"},
		{"an event without a rule", func(c *signals.Config) { c.Revoke = map[string]func(signals.Event) bool{"https://x.example/": nil} }, "has no function"},
		{"an empty member", func(c *signals.Config) { c.CriticalMembers = []string{""} }, "CriticalMembers contains an empty string"},
		{"ignoring the user", func(c *signals.Config) { c.IgnoreMembers = []string{"user"} }, "cannot be ignored"},
		{"ignoring the session", func(c *signals.Config) { c.IgnoreMembers = []string{"session"} }, "cannot be ignored"},
		{"ignoring what is critical", func(c *signals.Config) { c.IgnoreMembers, c.CriticalMembers = []string{"device"}, []string{"device"} }, "is one of CriticalMembers too"},
		{"Source", func(c *signals.Config) { c.Source = "A B" }, "Source cannot be used"},
		{"MaxBodyBytes", func(c *signals.Config) { c.MaxBodyBytes = 1<<20 + 1 }, "MaxBodyBytes is 1048577"},
		{"MaxConcurrent", func(c *signals.Config) { c.MaxConcurrent = -1 }, "MaxConcurrent is -1"},
		{"MaxRemembered", func(c *signals.Config) { c.MaxRemembered = -1 }, "MaxRemembered is -1"},
		{"AddTimeout", func(c *signals.Config) { c.AddTimeout = time.Hour }, "AddTimeout is 1h0m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := signals.Config{List: newList(t), Issuer: kit.Issuer, Audiences: []string{audience}, Keys: signer.Set(t), Authorization: []bearergate.Secret{secret}}
			tt.change(&c)
			h, err := signals.New(c)
			if tt.says == "" {
				require.NoError(t, err)
				return
			}
			require.Nil(t, h)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, 1, strings.Count(err.Error(), "signals: "), "%v", err)
			require.NotContains(t, err.Error(), "12345678")
		})
	}
	_, err := signals.New(signals.Config{})
	for _, says := range []string{"List is nil", "Issuer is empty", "Audiences is empty", "Authorization is empty"} {
		require.ErrorContains(t, err, says, "all at once")
	}
}

func TestDefaults(t *testing.T) {
	require.Equal(t, 5*time.Second, signals.DefaultLeeway)
	require.Equal(t, 5*time.Minute, signals.MaxLeeway)
	require.Equal(t, 64<<10, signals.DefaultMaxBodyBytes)
	require.Equal(t, 1<<20, signals.MaxBodyBytesLimit)
	require.Equal(t, 64, signals.DefaultMaxConcurrent)
	require.Equal(t, 10_000, signals.DefaultMaxRemembered)
	require.Equal(t, 5*time.Second, signals.DefaultAddTimeout)
	require.Equal(t, 10*time.Second, signals.BodyTimeout)
	require.Equal(t, 16, signals.MinAuthorizationBytes)
	require.Equal(t, "signals", signals.DefaultSource)
}

func TestZeroHandler(t *testing.T) {
	for _, h := range []*signals.Handler{nil, new(signals.Handler)} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(http.MethodPost, "x"))
		require.Equal(t, http.StatusInternalServerError, w.Code)
		require.Nil(t, h.Keys())
	}
}

func TestHooks(t *testing.T) {
	kit.EachHook(t, signals.JoinHooks)
}
