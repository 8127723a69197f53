package backchannel_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func TestMistakes(t *testing.T) {
	signer := kit.NewSigner(t, "ES256", "k")
	valid := func() backchannel.Config {
		return backchannel.Config{List: newList(t), Issuer: kit.Issuer, ClientIDs: []string{client}, Keys: signer.Set(t)}
	}
	for _, tt := range []struct {
		name   string
		change func(*backchannel.Config)
		says   string // "": none
	}{
		{"none", func(*backchannel.Config) {}, ""},
		{"discovered", func(c *backchannel.Config) { c.Keys = nil }, ""},
		{"no List", func(c *backchannel.Config) { c.List = nil }, "List is nil"},
		{"a nil List", func(c *backchannel.Config) { c.List = (*revocation.List)(nil) }, "List is nil"},
		{"no Issuer", func(c *backchannel.Config) { c.Issuer = "" }, "Issuer is empty"},
		{"http", func(c *backchannel.Config) { c.Keys, c.Issuer = nil, "http://as.example.com" }, "is http"},
		{"http, wanted", func(c *backchannel.Config) {
			c.Keys, c.Issuer, c.InsecureAllowHTTP = nil, "http://as.example.com", true
		}, ""},
		{"no ClientIDs", func(c *backchannel.Config) { c.ClientIDs = nil }, "ClientIDs is empty"},
		{"an empty client", func(c *backchannel.Config) { c.ClientIDs = []string{""} }, "ClientIDs contains an empty string"},
		{"a pattern", func(c *backchannel.Config) { c.ClientIDs = []string{"*"} }, "has a * in it"},
		{"a nil Keys", func(c *backchannel.Config) { c.Keys = (*jwks.Cache)(nil) }, "Keys is a nil"},
		{"Keys and KeysURL", func(c *backchannel.Config) { c.KeysURL = "https://as.example.com/jwks" }, "Keys and KeysURL are both set"},
		{"Keys and HTTPClient", func(c *backchannel.Config) { c.HTTPClient = http.DefaultClient }, "HTTPClient are both set"},
		{"none", func(c *backchannel.Config) { c.Algorithms = []string{"none"} }, `"none" is not accepted`},
		{"Leeway", func(c *backchannel.Config) { c.Leeway = 6 * time.Minute }, "Leeway is 6m0s"},
		{"Source", func(c *backchannel.Config) { c.Source = "A B" }, "Source cannot be used"},
		{"MaxBodyBytes", func(c *backchannel.Config) { c.MaxBodyBytes = -1 }, "MaxBodyBytes is -1"},
		{"MaxConcurrent", func(c *backchannel.Config) { c.MaxConcurrent = -1 }, "MaxConcurrent is -1"},
		{"MaxRemembered", func(c *backchannel.Config) { c.MaxRemembered = -1 }, "MaxRemembered is -1"},
		{"AddTimeout", func(c *backchannel.Config) { c.AddTimeout = 5 }, "AddTimeout is 5ns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			h, err := backchannel.New(c)
			if tt.says == "" {
				require.NoError(t, err)
				return
			}
			require.Nil(t, h)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, 1, strings.Count(err.Error(), "backchannel: "), "%v", err)
		})
	}
	_, err := backchannel.New(backchannel.Config{})
	for _, says := range []string{"List is nil", "Issuer is empty", "ClientIDs is empty"} {
		require.ErrorContains(t, err, says, "all at once")
	}
}

func TestDefaults(t *testing.T) {
	require.Equal(t, 5*time.Second, backchannel.DefaultLeeway)
	require.Equal(t, 5*time.Minute, backchannel.MaxLeeway)
	require.Equal(t, 32<<10, backchannel.DefaultMaxBodyBytes)
	require.Equal(t, 1<<20, backchannel.MaxBodyBytesLimit)
	require.Equal(t, 64, backchannel.DefaultMaxConcurrent)
	require.Equal(t, 10_000, backchannel.DefaultMaxRemembered)
	require.Equal(t, 5*time.Second, backchannel.DefaultAddTimeout)
	require.Equal(t, 10*time.Second, backchannel.BodyTimeout)
	require.Equal(t, 2*time.Minute, backchannel.MaxAgeWithoutExp)
	require.Equal(t, "backchannel", backchannel.DefaultSource)
}

func TestZeroHandler(t *testing.T) {
	for _, h := range []*backchannel.Handler{nil, new(backchannel.Handler)} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(http.MethodPost, formType, "logout_token=x"))
		require.Equal(t, http.StatusInternalServerError, w.Code)
		require.JSONEq(t, `{"error":"server_error","error_description":"the logout could not be carried out"}`, w.Body.String())
		require.Empty(t, w.Header().Get("Retry-After"), "trying again does not help")
		require.Nil(t, h.Keys())
	}
}

func TestHooks(t *testing.T) {
	kit.EachHook(t, backchannel.JoinHooks)
}
