package apikey_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
)

// FuzzKey: whatever is sent, in whatever header, there is no panic, no token beside an error,
// nothing of the credential in an error, and only the one key opens.
func FuzzKey(f *testing.F) {
	m := generate(f, "acme", "orders:read")
	legacy, err := apikey.Import(bearergate.NewSecret(pepper), old)
	require.NoError(f, err)
	legacy.Owner = "old"
	c := config(m.record, legacy)
	c.AllowLegacy = bearergate.NewSecret(pepper)
	k := newKeys(f, c)
	c.Header = ""
	scheme := newKeys(f, c)
	f.Add(m.key, "")
	f.Add("", "ApiKey "+m.key)
	f.Add("", "Bearer "+m.key)
	f.Add(old, "Bearer "+token("orders:read"))
	f.Add(m.key[:len(m.key)-1]+"a", "apikey  a,b")
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "DPoP orders_")
	f.Fuzz(func(t *testing.T, key, authorization string) {
		r := request()
		if key != "" {
			r.Header[header] = []string{key}
		}
		if authorization != "" {
			r.Header["Authorization"] = []string{authorization}
		}
		for _, keys := range []*apikey.Keys{k, scheme} {
			judge(t, keys, r, m.key, key, authorization)
		}
	})
}

func judge(t *testing.T, k *apikey.Keys, r *http.Request, good, key, authorization string) {
	t.Helper()
	c, err := k.Extract(r)
	if err != nil {
		require.Empty(t, c.Raw.Reveal())
		require.Contains(t, []error{bearergate.ErrMissingToken, bearergate.ErrInvalidRequest}, bearergate.AsError(err).Kind)
		return
	}
	require.False(t, key != "" && authorization != "" && strings.HasPrefix(c.Raw.Reveal(), "ApiKey ") && r.Header["Authorization"][0] != authorization)
	got, err := bearergate.Verify(t.Context(), k, c.Raw.Reveal())
	require.Equal(t, got == nil, err != nil)
	if err != nil {
		require.NotEmpty(t, bearergate.ReasonOf(err))
		if secret := strings.TrimPrefix(c.Raw.Reveal(), "ApiKey "); len(secret) > 24 {
			require.NotContains(t, err.Error(), secret)
		}
		return
	}
	if k.Issued(got) {
		require.Contains(t, []string{"ApiKey " + good, "ApiKey " + old}, c.Raw.Reveal())
	}
}

// FuzzRecords: whatever a file says, there is no panic and no record beside an error, and
// what is accepted is the same when it is written again.
func FuzzRecords(f *testing.F) {
	m := generate(f, "acme", "orders:read")
	m.record.Roles, m.record.Tenant, m.record.NotAfter = []string{"clerk"}, "eu", end
	write := func(records ...apikey.Record) []byte {
		file, err := json.Marshal(map[string]any{"version": 1, "keys": records})
		require.NoError(f, err)
		return file
	}
	f.Add(write(m.record))
	f.Add([]byte(`{"version":1,"keys":[]}`))
	f.Add([]byte(`{"version":1,"keys":[{"id":"x","id":"y"}],"KEYS":null}`))
	f.Add([]byte(`{"version":1,"keys":[{"not_after":"2027-01-01T00:00:00.5+01:00","scopes":["a b"],"roles":null}]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		records, err := apikey.ParseRecords(file)
		if err != nil {
			require.Nil(t, records)
			require.ErrorIs(t, err, bearergate.ErrMisconfigured)
			return
		}
		again, err := json.Marshal(map[string]any{"version": 1, "keys": records})
		require.NoError(t, err)
		same, err := apikey.ParseRecords(again)
		require.NoError(t, err)
		require.Len(t, same, len(records))
		for i, r := range records {
			require.True(t, r.NotAfter.Equal(same[i].NotAfter))
			r.NotAfter, same[i].NotAfter = end, end
			require.Equal(t, r, same[i])
		}
		c := config(records...)
		c.AllowLegacy = bearergate.NewSecret(pepper)
		if c.Records == nil {
			c.Records = []apikey.Record{}
		}
		newKeys(t, c) // what the file may say, New takes
	})
}
