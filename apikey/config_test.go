package apikey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/test/kit"
)

func TestDefaults(t *testing.T) {
	require.Equal(t, time.Minute, apikey.DefaultKeyTTL)
	require.Equal(t, 10*time.Second, apikey.UnknownTTL)
	require.Equal(t, 2*time.Second, apikey.DefaultLookupTimeout)
	require.Equal(t, 64, apikey.MaxLookups)
	require.Equal(t, 10_000, apikey.DefaultMaxKeys)
	require.Equal(t, 100_000, apikey.MaxRecords)
	require.Equal(t, 128, apikey.MaxOwnerBytes)
	require.Equal(t, 100, apikey.MaxListed)
	require.Equal(t, 64<<20, apikey.MaxFileBytes)
	require.Equal(t, 32, apikey.MinSecretBytes)
	require.Equal(t, 16, apikey.MinLegacyBytes)
	require.Equal(t, 256, apikey.MaxKeyBytes)

	// Without Now, the clock of the machine.
	m := generate(t, "acme")
	c := config(m.record)
	c.Now = nil
	c.End = time.Now().Add(time.Hour)
	_, err := as(t, newKeys(t, c), m.key)
	require.NoError(t, err)
	c.End = time.Now()
	requireRefused(t, newKeys(t, c), m.key, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := apikey.New(apikey.Config{})
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, says := range []string{"Issuer", "Prefix", "Tokens", "End", "there are no keys"} {
		require.ErrorContains(t, err, says)
	}
	_, err = apikey.New(apikey.Config{Tokens: names("")})
	require.NotContains(t, err.Error(), "Issuer is that of Tokens", "said once")
	m := generate(t, "acme")
	var nilVerifier *apikey.Keys
	for _, tc := range []struct {
		name   string
		change func(*apikey.Config)
		says   string
	}{
		{name: "Issuer is long", change: func(c *apikey.Config) { c.Issuer = strings.Repeat("x", 257) }, says: "Issuer is empty, too long"},
		{name: "Issuer has a DEL", change: func(c *apikey.Config) { c.Issuer = "urn:\x7f" }, says: "not printable ASCII"},
		{name: "Issuer has a space", change: func(c *apikey.Config) { c.Issuer = "api keys" }, says: "not printable ASCII"},
		{name: "Issuer is a template", change: func(c *apikey.Config) { c.Issuer = "urn:{tenant}" }, says: "brace"},
		{name: "Issuer is that of Tokens", change: func(c *apikey.Config) { c.Tokens = names(issuer) }, says: "Issuer is that of Tokens"},
		{name: "Tokens panics when asked", change: func(c *apikey.Config) { c.Tokens = names("panic") }, says: "cannot tell its own"},
		{name: "Prefix has upper case", change: func(c *apikey.Config) { c.Prefix = "Orders" }, says: "Prefix is not"},
		{name: "Header has an underscore", change: func(c *apikey.Config) { c.Header = "X_API_Key" }, says: "Header is not the name"},
		{name: "Header is Authorization", change: func(c *apikey.Config) { c.Header = "authorization" }, says: "Header is Authorization"},
		{name: "Header is Cookie", change: func(c *apikey.Config) { c.Header = "Cookie" }, says: "Header is Cookie"},
		{name: "Tokens is a nil pointer", change: func(c *apikey.Config) { c.Tokens = nilVerifier }, says: "Tokens is nil"},
		{name: "Deprecated after End", change: func(c *apikey.Config) { c.Deprecated = end.Add(1) }, says: "Deprecated is after End"},
		{name: "Guide is http", change: func(c *apikey.Config) { c.Guide = "http://api.example.com/" }, says: "Guide is no https URL"},
		{name: "Guide has an opening angle bracket", change: func(c *apikey.Config) { c.Guide = "https://api.example.com/<" }, says: "Guide is no https URL"},
		{name: "Guide has a quotation mark", change: func(c *apikey.Config) { c.Guide = `https://api.example.com/"` }, says: "Guide is no https URL"},
		{name: "an ID in upper case", change: func(c *apikey.Config) { c.Records[0].ID = strings.ToUpper(m.record.ID) }, says: "record number 1: its ID is none"},
		{name: "an old ID without its beginning", change: func(c *apikey.Config) { c.Records[0].ID = strings.Repeat("a", 24) }, says: "record number 1: its ID is none"},
		{name: "an old ID that is short", change: func(c *apikey.Config) { c.Records[0].ID = "legacy-" + strings.Repeat("a", 23) }, says: "record number 1: its ID is none"},
		{name: "an old ID in upper case", change: func(c *apikey.Config) { c.Records[0].ID = "legacy-" + strings.Repeat("A", 24) }, says: "record number 1: its ID is none"},
		{name: "an old record without owner", change: func(c *apikey.Config) { c.Records[0].ID, c.Records[0].Owner = "legacy-"+strings.Repeat("a", 24), "" }, says: `record "legacy-aaaaaaaaaaaaaaaaaaaaaaaa": it has no owner`},
		{name: "the second of two", change: func(c *apikey.Config) { c.Records = append(c.Records, apikey.Record{}) }, says: "record number 2: its ID is none"},
		{name: "Guide has an angle bracket", change: func(c *apikey.Config) { c.Guide = "https://api.example.com/>;" }, says: "Guide is no https URL"},
		{name: "Guide has a line break", change: func(c *apikey.Config) { c.Guide = "https://api.example.com/\r\nX: y" }, says: "Guide is no https URL"},
		{name: "Guide has no host", change: func(c *apikey.Config) { c.Guide = "https:///keys" }, says: "Guide is no https URL"},
		{name: "Guide has a user", change: func(c *apikey.Config) { c.Guide = "https://u:p@api.example.com/" }, says: "Guide is no https URL"},
		{name: "Guide has a space", change: func(c *apikey.Config) { c.Guide = "https://api.example.com/a b" }, says: "Guide is no https URL"},
		{name: "Guide is not ASCII", change: func(c *apikey.Config) { c.Guide = "https://api.example.com/ä" }, says: "Guide is no https URL"},
		{name: "Guide has a backslash", change: func(c *apikey.Config) { c.Guide = `https://api.example.com/\x` }, says: "Guide is no https URL"},
		{name: "Issuer is not ASCII", change: func(c *apikey.Config) { c.Issuer = "urn:ä" }, says: "not printable ASCII"},
		{name: "LookupTimeout without Lookup", change: func(c *apikey.Config) { c.LookupTimeout = time.Second }, says: "are for Lookup"},
		{name: "MaxKeys without Lookup", change: func(c *apikey.Config) { c.MaxKeys = 5 }, says: "are for Lookup"},
		{name: "MaxKeys is too many", change: func(c *apikey.Config) { c.Records, c.Lookup, c.MaxKeys = nil, store{}.lookup, 1_000_001 }, says: "MaxKeys is 1000001"},
		{name: "KeyTTL is too long", change: func(c *apikey.Config) { c.Records, c.Lookup, c.KeyTTL = nil, store{}.lookup, 61*time.Minute }, says: "KeyTTL is 1h1m"},
		{name: "the record is named", change: func(c *apikey.Config) { c.Records[0].Owner = "" }, says: `record "` + m.record.ID + `": it has no owner`},
		{name: "both", change: func(c *apikey.Config) { c.Lookup = store{}.lookup }, says: "both set"},
		{name: "neither", change: func(c *apikey.Config) { c.Records = nil }, says: "there are no keys"},
		{name: "KeyTTL without Lookup", change: func(c *apikey.Config) { c.KeyTTL = time.Second }, says: "are for Lookup"},
		{name: "KeyTTL has no unit", change: func(c *apikey.Config) { c.Records, c.Lookup, c.KeyTTL = nil, store{}.lookup, 60 }, says: "60*time.Second"},
		{name: "LookupTimeout is too long", change: func(c *apikey.Config) { c.Records, c.Lookup, c.LookupTimeout = nil, store{}.lookup, time.Hour }, says: "LookupTimeout is 1h"},
		{name: "MaxKeys is negative", change: func(c *apikey.Config) { c.Records, c.Lookup, c.MaxKeys = nil, store{}.lookup, -1 }, says: "MaxKeys is -1"},
		{name: "AllowLegacy is short", change: func(c *apikey.Config) { c.AllowLegacy = bearergate.NewSecret(pepper[1:]) }, says: "AllowLegacy has 31 bytes"},
		{name: "an old key without AllowLegacy", change: func(c *apikey.Config) { c.Records[0].ID = "legacy-" + strings.Repeat("a", 24) }, says: "AllowLegacy is not set"},
		{name: "an ID twice", change: func(c *apikey.Config) { c.Records = append(c.Records, c.Records[0]) }, says: "its ID is there twice"},
		{name: "the key for its ID", change: func(c *apikey.Config) { c.Records[0].ID = m.key }, says: "record number 1: its ID is none"},
		{name: "no hash", change: func(c *apikey.Config) { c.Records[0].Hash = apikey.Hash{} }, says: "it has no hash"},
		{name: "no owner", change: func(c *apikey.Config) { c.Records[0].Owner = "" }, says: "it has no owner"},
		{name: "a long owner", change: func(c *apikey.Config) { c.Records[0].Owner = strings.Repeat("x", 129) }, says: "its owner has more than 128"},
		{name: "an owner with a line break", change: func(c *apikey.Config) { c.Records[0].Owner = "a\nb" }, says: "not printable"},
		{name: "an owner that is no UTF-8", change: func(c *apikey.Config) { c.Records[0].Owner = "\xff" }, says: "not printable"},
		{name: "two scopes in one", change: func(c *apikey.Config) { c.Records[0].Scopes = []string{"a b"} }, says: "no scope token"},
		{name: "an empty scope", change: func(c *apikey.Config) { c.Records[0].Scopes = []string{""} }, says: "no scope token"},
		{name: "the scope of WithoutKeys", change: func(c *apikey.Config) { c.Records[0].Scopes = apikey.WithoutKeys().Scopes() }, says: "no key may have"},
		{name: "a wildcard for the scope of WithoutKeys", change: func(c *apikey.Config) { c.Records[0].Scopes = []string{"bearergate:*"} }, says: "no key may have"},
		{name: "End after the year 9999", change: func(c *apikey.Config) { c.End = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) }, says: "End is not between"},
		{name: "End after the year 9999 in UTC", change: func(c *apikey.Config) {
			c.End = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600))
		}, says: "End is not between"},
		{name: "End before the year 1", change: func(c *apikey.Config) { c.End = time.Time{}.AddDate(-1, 0, 0) }, says: "End is not between"},
		{name: "NotAfter after the year 9999", change: func(c *apikey.Config) { c.Records[0].NotAfter = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) }, says: "its end (NotAfter) is not between"},
		{name: "NotAfter before the year 1", change: func(c *apikey.Config) { c.Records[0].NotAfter = time.Time{}.Add(-1) }, says: "its end (NotAfter) is not between"},
		{name: "a long scope", change: func(c *apikey.Config) { c.Records[0].Scopes = []string{strings.Repeat("x", 257)} }, says: "no scope token"},
		{name: "a scope with a quotation mark", change: func(c *apikey.Config) { c.Records[0].Scopes = []string{`a"b`} }, says: "no scope token"},
		{name: "too many roles", change: func(c *apikey.Config) { c.Records[0].Roles = make([]string, 101) }, says: "more than 100"},
		{name: "a long role", change: func(c *apikey.Config) { c.Records[0].Roles = []string{strings.Repeat("x", 257)} }, says: "its role"},
		{name: "a role with a line break", change: func(c *apikey.Config) { c.Records[0].Roles = []string{"a\nb"} }, says: "its role"},
		{name: "a long tenant", change: func(c *apikey.Config) { c.Records[0].Tenant = strings.Repeat("x", 257) }, says: "its tenant"},
		{name: "too many scopes", change: func(c *apikey.Config) { c.Records[0].Scopes = make([]string, 101) }, says: "more than 100"},
		{name: "an empty role", change: func(c *apikey.Config) { c.Records[0].Roles = []string{""} }, says: "its role"},
		{name: "a tenant with a line break", change: func(c *apikey.Config) { c.Records[0].Tenant = "\n" }, says: "its tenant"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config(m.record)
			tc.change(&c)
			k, err := apikey.New(c)
			require.Nil(t, k)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tc.says)
			kit.RequireNothingOf(t, err.Error(), m.key)
		})
	}
	c := config()
	c.Records = make([]apikey.Record, 1000)
	_, err = apikey.New(c)
	require.ErrorContains(t, err, "mistakes more")
	require.Less(t, len(err.Error()), 20_000)
	c.Records = make([]apikey.Record, apikey.MaxRecords+1)
	_, err = apikey.New(c)
	require.ErrorContains(t, err, "use Lookup")
	require.NotContains(t, err.Error(), "record number", "none of them was looked at")
	c.Records = c.Records[1:]
	_, err = apikey.New(c)
	require.NotContains(t, err.Error(), "use Lookup")
	c = config(m.record)
	c.Records[0].Scopes = make([]string, 101)
	_, err = apikey.New(c)
	require.NotContains(t, err.Error(), "its scope", "said once")
}

// A hundred mistakes are named, and of more it is said how many.
func TestAHundredMistakes(t *testing.T) {
	for n, more := range map[int]string{99: "", 100: "", 101: "and 1 mistakes more"} {
		c := config()
		for range n {
			m := generate(t, "")
			c.Records = append(c.Records, m.record)
		}
		_, err := apikey.New(c)
		require.Equal(t, min(n, 100), strings.Count(err.Error(), "it has no owner"))
		require.Equal(t, more != "", strings.Contains(err.Error(), "mistakes more"))
		require.ErrorContains(t, err, more)
	}
}

// What may just be.
func TestBoundsThatAreReached(t *testing.T) {
	m := generate(t, strings.Repeat("o", apikey.MaxOwnerBytes), strings.Repeat("s", 256))
	m.record.Roles, m.record.Tenant = []string{strings.Repeat("r", 256)}, strings.Repeat("t", 256)
	for len(m.record.Roles) < apikey.MaxListed {
		m.record.Roles, m.record.Scopes = append(m.record.Roles, "r"), append(m.record.Scopes, fmt.Sprint("s", len(m.record.Roles)))
	}
	c := config(m.record)
	c.Issuer, c.Deprecated, c.Guide = "!"+strings.Repeat("x", 254)+"~", end, "https://api.example.com/!~"
	token, err := as(t, newKeys(t, c), m.key)
	require.NoError(t, err)
	var claims struct {
		Roles []string `json:"roles"`
	}
	require.NoError(t, token.Claims(&claims))
	require.Equal(t, m.record.Roles, claims.Roles)
	c.Records, c.Lookup, c.MaxKeys, c.KeyTTL, c.LookupTimeout = nil, store{}.lookup, 1_000_000, time.Hour, time.Minute
	newKeys(t, c)
	c.MaxKeys = 1
	newKeys(t, c)
}

// The last date that there is stands in the report and the header as it was given.
func TestADateThatIsFarAway(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	c := config(m.record)
	c.End = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	k := newKeys(t, c)
	_, err := as(t, k, m.key)
	require.NoError(t, err)
	require.Equal(t, c.End, k.Report().Keys[0].Until)
	text, err := json.Marshal(k.Report())
	require.NoError(t, err)
	require.Contains(t, string(text), `"until":"9999-12-31T23:59:59Z"`)
	w := httptest.NewRecorder()
	k.Announce(kit.Says("served")).ServeHTTP(w, request(header, m.key))
	require.Equal(t, "Fri, 31 Dec 9999 23:59:59 GMT", w.Header().Get("Sunset"))
}

type names string

func (names) Verify(context.Context, string) (*bearergate.Token, error) { return nil, errors.New("x") }
func (n names) Issuer() string {
	if n == "panic" {
		panic("boom")
	}
	return string(n)
}

// What is in the Config may change afterwards.
func TestNewCopies(t *testing.T) {
	m := generate(t, "acme", "orders:read")
	records := []apikey.Record{m.record}
	k := newKeys(t, config(records...))
	records[0].Hash[0]++
	records[0].Scopes[0] = "admin"
	token, err := as(t, k, m.key)
	require.NoError(t, err)
	require.Equal(t, "orders:read", token.Scopes().String())
}

func TestParseRecords(t *testing.T) {
	m, other := generate(t, "acme", "orders:read"), generate(t, "other")
	m.record.Roles, m.record.Tenant, m.record.NotAfter = []string{"clerk"}, "eu", end
	file, err := json.Marshal(map[string]any{"version": 1, "keys": []apikey.Record{m.record, other.record}})
	require.NoError(t, err)
	records, err := apikey.ParseRecords(file)
	require.NoError(t, err)
	require.Equal(t, []apikey.Record{m.record, other.record}, records)
	_, err = as(t, newKeys(t, config(records...)), m.key)
	require.NoError(t, err)

	none, err := apikey.ParseRecords([]byte(`{"version":1,"keys":[]}`))
	require.NoError(t, err)
	newKeys(t, apikey.Config{Issuer: issuer, Prefix: "orders", Tokens: kit.Granting(), End: end, Records: none})

	id, hash := m.record.ID, fmt.Sprintf("%x", m.record.Hash[:])
	one := func(members string) string { return `{"version":1,"keys":[{` + members + `}]}` }
	good := `"id":"` + id + `","hash":"` + hash + `","owner":"acme"`
	_, err = apikey.ParseRecords([]byte(one(good)))
	require.NoError(t, err)
	for _, tc := range []struct {
		name, file string
		says       []string
		not        string // what follows from it, and is not said
	}{
		{name: "nothing", file: "", says: []string{"not one JSON object"}, not: "no array"},
		{name: "an array", file: "[]", says: []string{"not one JSON object"}},
		{name: "a member twice", file: `{"version":1,"version":1,"keys":[]}`, says: []string{"once each"}},
		{name: "trailing data", file: one(good) + "{}", says: []string{"not one JSON object"}},
		{name: "no version", file: `{"keys":[]}`, says: []string{"the member version"}},
		{name: "another version", file: `{"version":2,"keys":[{}]}`, says: []string{"the member version"}, not: "record number 1"},
		{name: "no keys", file: `{"version":1}`, says: []string{"the member keys is missing"}, not: "no array"},
		{name: "keys is an object", file: `{"version":1,"keys":{}}`, says: []string{"no array"}},
		{name: "an unknown member of the file", file: `{"version":1,"keys":[],"x":1}`, says: []string{"neither version nor keys"}},
		{name: "a key that is a string", file: `{"version":1,"keys":["` + m.key + `"]}`, says: []string{"record number 1: it is no object"}, not: "its ID"},
		{name: "a member of a key twice", file: one(good + `,"owner":"x"`), says: []string{"there twice"}},
		{name: "a member in other letters", file: one(good + `,"Not_After":"2027-01-01T00:00:00Z"`), says: []string{"a member is none of"}},
		{name: "the key as a member", file: one(good + `,"` + m.key + `":1`), says: []string{"a member is none of"}},
		{name: "an empty key", file: one(``), says: []string{"record number 1: its ID", "no hash", "no owner"}},
		{name: "all of it wrong", file: one(`"id":"x","hash":"y","owner":7,"scopes":"a b","roles":[1],"tenant":[],"not_after":"tomorrow"`),
			says: []string{"its ID", "64 hexadecimal", "owner is no string", "scopes is no array", "roles is no array", "tenant is no string", "not_after is no time"}, not: "it has no hash"},
		{name: "null for roles", file: one(good + `,"roles":null`), says: []string{"roles is no array"}},
		{name: "the second of two", file: `{"version":1,"keys":[{` + good + `},{}]}`, says: []string{"record number 2: it has no owner"}},
		{name: "null for a date", file: one(good + `,"not_after":null`), says: []string{"not_after is no"}},
		{name: "the zero date", file: one(good + `,"not_after":"0001-01-01T00:00:00Z"`), says: []string{"not_after is no"}},
		{name: "a number for a date", file: one(good + `,"not_after":1798761600`), says: []string{"not_after is no"}},
		{name: "a hash in upper case", file: one(strings.Replace(good, hash, strings.ToUpper(hash[:63])+"A", 1)), says: []string{"lower case"}},
		{name: "a hash that is long", file: one(strings.Replace(good, hash, hash+"00", 1)), says: []string{"64 hexadecimal"}},
		{name: "an ID twice", file: `{"version":1,"keys":[{` + good + `},{` + good + `}]}`, says: []string{"its ID is there twice"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			records, err := apikey.ParseRecords([]byte(tc.file))
			require.Nil(t, records)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
			if tc.not != "" {
				require.NotContains(t, err.Error(), tc.not)
			}
			kit.RequireNothingOf(t, err.Error(), m.key)
		})
	}
	_, err = apikey.ParseRecords([]byte(`{"version":1,"keys":[` + strings.Repeat(`{},`, 500) + `{}]}`))
	require.ErrorContains(t, err, "and 1403 mistakes more")
	_, err = apikey.ParseRecords([]byte(`{"version":1,"keys":[` + strings.Repeat(`1,`, apikey.MaxRecords) + `1]}`))
	require.ErrorContains(t, err, "there are more than 100000 keys")
	_, err = apikey.ParseRecords([]byte(`{"version":1,"keys":[` + strings.Repeat(`1,`, apikey.MaxRecords-1) + `1]}`))
	require.NotContains(t, err.Error(), "there are more than")
	_, err = apikey.ParseRecords(make([]byte, apikey.MaxFileBytes))
	require.NotContains(t, err.Error(), "are the most")
	_, err = apikey.ParseRecords(make([]byte, apikey.MaxFileBytes+1))
	require.ErrorContains(t, err, "are the most")
}

func TestHashAsText(t *testing.T) {
	m := generate(t, "acme")
	text, err := m.record.Hash.MarshalText()
	require.NoError(t, err)
	var h apikey.Hash
	require.NoError(t, h.UnmarshalText(text))
	require.Equal(t, m.record.Hash, h)
	for _, wrong := range []string{"", string(text[1:]), string(text) + "0", strings.Repeat("g", 64), strings.Repeat("A", 64)} {
		var zero apikey.Hash
		require.Error(t, zero.UnmarshalText([]byte(wrong)))
		require.Zero(t, zero)
	}
}

func TestAReportIsBounded(t *testing.T) {
	s := store{}
	var keys []made
	for range 5 {
		m := generate(t, "acme")
		keys, s[m.record.ID] = append(keys, m), m.record
	}
	c := config()
	c.Records, c.Lookup, c.MaxKeys = nil, s.lookup, 3
	now := start
	c.Now = func() time.Time { return now }
	k := newKeys(t, c)
	for range 2 {
		for _, m := range keys {
			_, err := as(t, k, m.key)
			require.NoError(t, err)
			require.NotEmpty(t, k.Report().Keys)
		}
	}
	report := k.Report()
	require.Len(t, report.Keys, 3)
	require.Equal(t, uint64(4), report.Unwatched)
	require.Equal(t, uint64(6), report.Keys[0].Accepted+report.Keys[1].Accepted+report.Keys[2].Accepted)
	now = end
	for _, m := range keys {
		requireRefused(t, k, m.key, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
	}
	require.Equal(t, uint64(6), k.Report().Unwatched, "refused ones too")
}
