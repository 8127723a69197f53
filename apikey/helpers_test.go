package apikey_test

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	issuer = "urn:example:api-keys"
	header = "X-Api-Key"
	pepper = "0123456789abcdef0123456789abcdef"
	old    = "sk-9f8e7d6c5b4a39281706f5e4" // a key of the older system
)

var (
	start = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = start.AddDate(0, 6, 0)
)

// made is a key and its record.
type made struct {
	key    string
	record apikey.Record
}

func generate(t testing.TB, owner string, scopes ...string) made {
	t.Helper()
	key, r, err := apikey.Generate("orders")
	require.NoError(t, err)
	r.Owner, r.Scopes = owner, scopes
	return made{key.Reveal(), r}
}

// config has one key, the time start, and tokens of kit.With for access tokens.
func config(records ...apikey.Record) apikey.Config {
	return apikey.Config{Issuer: issuer, Prefix: "orders", Header: "X-API-Key", Records: records,
		Tokens: kit.Granting(), End: end, Now: func() time.Time { return start }}
}

func newKeys(t testing.TB, c apikey.Config) *apikey.Keys {
	t.Helper()
	k, err := apikey.New(c)
	require.NoError(t, err)
	return k
}

// request has each pair as a header line.
func request(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	for i := 0; i < len(lines); i += 2 {
		r.Header.Add(lines[i], lines[i+1])
	}
	return r
}

func gateOf(t testing.TB, k *apikey.Keys, hooks middleware.Hooks) *middleware.Gate {
	t.Helper()
	gate, err := middleware.New(k, middleware.Config{Extract: k.Extract, ExtractHeaders: k.Headers(), Hooks: hooks})
	require.NoError(t, err)
	return gate
}

// as verifies a key as one that came in the header.
func as(t testing.TB, k *apikey.Keys, key string) (*bearergate.Token, error) {
	t.Helper()
	c, err := k.Extract(request(header, key))
	require.NoError(t, err)
	return bearergate.Verify(t.Context(), k, c.Raw.Reveal())
}

func requireRefused(t testing.TB, k *apikey.Keys, key string, kind error, reason bearergate.Reason) {
	t.Helper()
	token, err := as(t, k, key)
	require.Error(t, err)
	kit.RequireRefused(t, token, err, kind, reason)
	kit.RequireNothingOf(t, err.Error(), key)
}

// read is what the routes of the tests demand.
var read = scope.All("orders:read")

// store is a Lookup whose fields are set before it is used.
type store map[string]apikey.Record

func (s store) lookup(_ context.Context, id string) (apikey.Record, bool, error) {
	r, ok := s[id]
	return r, ok, nil
}

// remade is a key with this ID, the secret of another key, and the checksum that fits. The
// form is written down here once more: keys that are in use must stay good.
func remade(t testing.TB, id, of string) string {
	t.Helper()
	parts := strings.Split(of, "_")
	require.Len(t, parts, 3)
	return summed(parts[0] + "_" + id + "_" + parts[2][:32])
}

// summed is a text with its checksum.
func summed(text string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))
	return text + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum))
}

// token is an access token that kit.Granting accepts.
func token(scopes string) string { return strings.TrimPrefix(kit.With(scopes), "Bearer ") }
