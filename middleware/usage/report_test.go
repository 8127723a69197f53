package usage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func TestMerge(t *testing.T) {
	day := 24 * time.Hour
	a := usage.Report{From: monday, To: monday.Add(day), Unwatched: 2, Clients: []usage.Client{
		{Issuer: "https://as", ClientID: "shop", Exercised: []string{"read"}, Unexercised: []string{"admin", "write"}, FirstSeen: monday, LastSeen: monday.Add(day)},
		{Issuer: "https://as", ClientID: "gone", Unexercised: []string{"read"}, FirstSeen: monday, LastSeen: monday},
	}}
	b := usage.Report{From: monday.Add(-day), To: monday, Unwatched: 3, Clients: []usage.Client{
		{Issuer: "https://as", ClientID: "shop", Exercised: []string{"write"}, Unexercised: []string{"delete", "read"}, FirstSeen: monday.Add(-day), LastSeen: monday, Partial: true},
		{Issuer: "https://b", ClientID: "shop", Exercised: []string{"read"}, FirstSeen: monday, LastSeen: monday},
	}}
	require.Equal(t, usage.Report{From: monday.Add(-day), To: monday.Add(day), Unwatched: 5, Clients: []usage.Client{
		{Issuer: "https://as", ClientID: "gone", Unexercised: []string{"read"}, FirstSeen: monday, LastSeen: monday},
		{Issuer: "https://as", ClientID: "shop", Exercised: []string{"read", "write"}, Unexercised: []string{"admin", "delete"},
			FirstSeen: monday.Add(-day), LastSeen: monday.Add(day), Partial: true},
		{Issuer: "https://b", ClientID: "shop", Exercised: []string{"read"}, FirstSeen: monday, LastSeen: monday},
	}}, usage.Merge(a, b))
	require.Equal(t, "gone", a.Clients[1].ClientID, "what is merged is not changed")
	require.Equal(t, usage.Report{}, usage.Merge())
	require.Equal(t, math.MaxInt, usage.Merge(usage.Report{Unwatched: math.MaxInt}, a).Unwatched, "it does not turn around")
	require.Equal(t, 2, usage.Merge(usage.Report{Unwatched: -7}, a).Unwatched)
}

func randomReport(random *rand.Rand) usage.Report {
	at := func() time.Time {
		if random.IntN(5) == 0 {
			return time.Time{}
		}
		return monday.Add(time.Duration(random.IntN(100)) * time.Hour).In(time.FixedZone("x", 3600))
	}
	names := func() (list []string) {
		for range random.IntN(4) {
			if name := fmt.Sprint("s", random.IntN(5)); !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
		return list
	}
	r := usage.Report{From: at(), To: at(), Unwatched: random.IntN(4)}
	if random.IntN(10) == 0 {
		r.Unwatched = math.MaxInt - 1
	}
	for range random.IntN(5) {
		r.Clients = append(r.Clients, usage.Client{Issuer: fmt.Sprint("i", random.IntN(2)), ClientID: fmt.Sprint("c", random.IntN(3)),
			Exercised: names(), Unexercised: names(), FirstSeen: at(), LastSeen: at(), Partial: random.IntN(4) == 0})
	}
	return r
}

// The order in which reports come together makes no difference, written or not.
func TestMergeIsAssociativeAndCommutative(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		a, b, c := randomReport(random), randomReport(random), randomReport(random)
		all := usage.Merge(a, b, c)
		for name, other := range map[string]usage.Report{
			"(a b) c":         usage.Merge(usage.Merge(a, b), c),
			"a (b c)":         usage.Merge(a, usage.Merge(b, c)),
			"c b a":           usage.Merge(c, b, a),
			"b (a c)":         usage.Merge(b, usage.Merge(a, c)),
			"with nothing":    usage.Merge(usage.Report{}, a, usage.Merge(b, usage.Merge()), c),
			"read from files": usage.Merge(reread(t, a), reread(t, usage.Merge(c, b))),
		} {
			require.Equal(t, all, other, name)
		}
	}
}

func reread(t *testing.T, r usage.Report) usage.Report {
	t.Helper()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	read, err := usage.ReadReport(bytes.NewReader(b))
	require.NoError(t, err)
	return read
}

func TestReportAsJSON(t *testing.T) {
	r := usage.Report{From: monday, To: monday.Add(time.Hour + 1), Unwatched: 1, Clients: []usage.Client{
		{ClientID: "b", Exercised: []string{"write", "read"}, FirstSeen: monday, LastSeen: monday, Partial: true},
		{Issuer: "https://as", ClientID: "a"},
		{ClientID: "a", Unexercised: []string{"x"}},
	}}
	const text = `{"version":1,"from":"2026-03-02T09:00:00Z","to":"2026-03-02T10:00:00.000000001Z","clients":[` +
		`{"issuer":"","client_id":"a","exercised":[],"unexercised":["x"],"first_seen":"0001-01-01T00:00:00Z","last_seen":"0001-01-01T00:00:00Z"},` +
		`{"issuer":"","client_id":"b","exercised":["read","write"],"unexercised":[],"first_seen":"2026-03-02T09:00:00Z","last_seen":"2026-03-02T09:00:00Z","partial":true},` +
		`{"issuer":"https://as","client_id":"a","exercised":[],"unexercised":[],"first_seen":"0001-01-01T00:00:00Z","last_seen":"0001-01-01T00:00:00Z"}],"unwatched":1}`
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.Equal(t, text, string(b)) // a promise: other processes read it
	require.Equal(t, usage.Merge(r), reread(t, r))

	b, err = json.Marshal(usage.Report{})
	require.NoError(t, err)
	require.JSONEq(t, `{"version":1,"from":"0001-01-01T00:00:00Z","to":"0001-01-01T00:00:00Z","clients":[],"unwatched":0}`, string(b))
	require.Equal(t, usage.Report{}, reread(t, usage.Report{}))

	bubble.Test(t, func(t *testing.T) {
		u := newUsage(t, usage.Config{Window: time.Hour})
		decide(u, "c", scope.Of("a", "b"), scope.All("a"))
		time.Sleep(2 * time.Hour)
		decide(u, "d", scope.Of("a"), scope.All("a"))
		r := u.Report()
		require.Equal(t, now().Add(-time.Hour), r.From)
		require.Equal(t, now(), r.To)
		require.Equal(t, r, reread(t, r))
	})
}

// edited is a good report with one change.
func edited(t *testing.T, old, with string) string {
	t.Helper()
	const good = `{"version":1,"from":"2026-03-02T09:00:00Z","to":"2026-03-02T10:00:00Z","clients":[{"issuer":"i","client_id":"c","exercised":["a"],"unexercised":["b"],` +
		`"first_seen":"2026-03-02T09:00:00Z","last_seen":"2026-03-02T09:00:00Z"}],"unwatched":1}`
	require.NoError(t, json.Unmarshal([]byte(good), new(usage.Report)))
	require.Contains(t, good, old)
	return strings.Replace(good, old, with, 1)
}

func list(n int, format string) string {
	return strings.Join(names(format, n), ",")
}

func TestFilesThatAreNoReports(t *testing.T) {
	client := `{"issuer":"i","client_id":"c","exercised":[],"unexercised":[],"first_seen":"2026-03-02T09:00:00Z","last_seen":"2026-03-02T09:00:00Z"}`
	for _, tt := range []struct{ name, file, says string }{
		{name: "nothing", file: ""},
		{name: "no JSON", file: "report"},
		{name: "a list", file: "[]"},
		{name: "something behind it", file: edited(t, `"unwatched":1}`, `"unwatched":1} {}`)},
		{name: "no version", file: edited(t, `"version":1,`, ``), says: "version"},
		{name: "another version, with members of its own", file: edited(t, `"version":1`, `"version":2,"new":1`), says: "its version is not 1"},
		{name: "a version that is no number", file: edited(t, `"version":1`, `"version":"1"`)},
		{name: "a member that nobody knows", file: edited(t, `"unwatched"`, `"x":1,"unwatched"`)},
		{name: "a member of a client that nobody knows", file: edited(t, `"issuer"`, `"x":1,"issuer"`)},
		{name: "clients that are no list", file: edited(t, `"clients":[`, `"clients":{"a":[`) + "}"},
		{name: "clients in an object", file: `{"version":1,"clients":{}}`, says: "clients is no list"},
		{name: "no time", file: edited(t, "2026-03-02T09:00:00Z", "monday")},
		{name: "fewer than none", file: edited(t, `"unwatched":1`, `"unwatched":-1`), says: "negative"},
		{name: "more than there are", file: edited(t, `"unwatched":1`, `"unwatched":99999999999999999999`)},
		{name: "a name that is no scope", file: edited(t, `["a"]`, `["\u001b[2J"]`), says: "RFC 6749"},
		{name: "a name twice", file: edited(t, `["a"]`, `["a","a"]`), says: "twice"},
		{name: "a number for a name", file: edited(t, `["a"]`, `[1]`)},
		{name: "too many bytes", file: edited(t, `"i"`, `"`+strings.Repeat("i", usage.MaxReportBytes)+`"`), says: "more than 33554432 bytes"},
		{name: "too many clients", file: edited(t, `{"issuer"`, strings.Repeat(client+",", usage.MaxReportClients)+`{"issuer"`), says: "more than 100000 clients"},
		{name: "too many that are empty", file: edited(t, `{"issuer"`, strings.Repeat("{},", usage.MaxReportClients)+`{"issuer"`), says: "more than 100000 clients"},
		{name: "too many scopes of a client", file: edited(t, `["a"]`, "["+list(usage.MaxReportScopes+1, `"s%d"`)+"]"), says: "more than 10000 scopes"},
		{name: "too many in two lists", file: edited(t, `["a"]`, "["+list(usage.MaxReportScopes, `"s%d"`)+"]"), says: "more than 10000 scopes"},
		{name: "too many that are empty strings", file: edited(t, `["a"]`, "["+strings.Repeat(`"",`, 1_000_000)+`""]`), says: "more than 10000 scopes"},
		{name: "too many names in all", file: edited(t, `{"issuer"`, strings.Repeat(`{"exercised":[`+list(usage.MaxReportScopes, `"s%d"`)+`]},`, 101)+`{"issuer"`), says: "more than 1000000 scopes"},
	} {
		before := usage.Report{Unwatched: 7}
		r := before
		err := r.UnmarshalJSON([]byte(tt.file))
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, tt.says, tt.name)
		require.Equal(t, before, r, tt.name)
		if len(tt.file) > 1<<20 {
			continue // once is enough
		}
		read, err := usage.ReadReport(strings.NewReader(tt.file))
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.Equal(t, usage.Report{}, read, tt.name)
	}

	// No more is read than may be, and what the reader says is kept.
	endless := &counting{}
	_, err := usage.ReadReport(endless)
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.Less(t, endless.n, usage.MaxReportBytes+1<<20)
	broken := errors.New("broken")
	_, err = usage.ReadReport(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
}

type counting struct{ n int }

func (c *counting) Read(b []byte) (int, error) {
	c.n += len(b)
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

var _ io.Reader = (*counting)(nil)

// What is as large as a report may be is read again, and nothing larger is written.
func TestNothingIsWrittenThatCannotBeRead(t *testing.T) {
	scopes := names("s%05d", usage.MaxReportScopes)
	client := usage.Client{Issuer: "i", Exercised: scopes[:1], Unexercised: scopes[1:]}
	require.Len(t, reread(t, usage.Report{Clients: []usage.Client{client}}).Clients[0].Unexercised, usage.MaxReportScopes-1)
	many := func(n int, c usage.Client) usage.Report {
		var r usage.Report
		for i := range n {
			c.ClientID = fmt.Sprint(i)
			r.Clients = append(r.Clients, c)
		}
		return r
	}
	require.Len(t, reread(t, many(usage.MaxReportClients, usage.Client{})).Clients, usage.MaxReportClients)
	for name, r := range map[string]usage.Report{
		"scopes":   {Clients: []usage.Client{{Exercised: append(slices.Clone(scopes), "more")}}},
		"commas":   {Clients: []usage.Client{{Exercised: append(slices.Clone(scopes[1:]), "a,b")}}},
		"clients":  many(usage.MaxReportClients+1, usage.Client{}),
		"names":    many(101, client),
		"bytes":    many(40, usage.Client{Issuer: strings.Repeat("i", 1<<20)}),
		"no scope": {Clients: []usage.Client{{Exercised: []string{"a b"}}}},
		"a year":   {From: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		b, err := r.MarshalJSON()
		require.Nil(t, b, name)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

// What is read is what is written again.
func FuzzReport(f *testing.F) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 5 {
		b, err := json.Marshal(randomReport(random))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"clients":[{},{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r usage.Report
		if err := r.UnmarshalJSON(b); err != nil {
			require.Equal(t, usage.Report{}, r)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			return
		}
		written, err := r.MarshalJSON()
		require.NoError(t, err)
		var again usage.Report
		require.NoError(t, again.UnmarshalJSON(written))
		require.Equal(t, r, again)
		require.Equal(t, r, usage.Merge(r))
	})
}
