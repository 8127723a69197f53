package admin_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/admin"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

const issuer = "https://as.example.com"

// key is a thumbprint, as it is sent.
var key = base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

func open(h http.Handler) http.Handler { return h }

func newList(t testing.TB, change func(*revocation.Config)) *revocation.List {
	t.Helper()
	c := revocation.Config{MaxTokenLife: time.Hour}
	if change != nil {
		change(&c)
	}
	l, err := revocation.New(c)
	require.NoError(t, err)
	return l
}

func newAPI(t testing.TB, l *revocation.List, change func(*admin.Config)) http.Handler {
	t.Helper()
	c := admin.Config{List: l, Protect: open}
	if change != nil {
		change(&c)
	}
	h, err := admin.New(c)
	require.NoError(t, err)
	return h
}

// reply is what an answer may hold.
type reply struct {
	status int
	header http.Header
	text   string

	Detail, Reason string
	Mistakes       []string
	Entries        []map[string]string
	More           bool
}

func send(t testing.TB, h http.Handler, method, target, body string, change func(*http.Request)) reply {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	got := reply{status: w.Code, header: w.Header(), text: w.Body.String()}
	if !strings.Contains(target, "/status") {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), w.Body)
	}
	return got
}

func post(t testing.TB, h http.Handler, target, body string) reply {
	t.Helper()
	return send(t, h, http.MethodPost, target, body, nil)
}

// token is one that every entry of these tests is about.
func token(issued time.Time) *bearergate.Token {
	return bearergate.NewToken(bearergate.Claims{
		Issuer: issuer, ID: "t1", Subject: "alice", SessionID: "s1", ClientID: "shop", Tenant: "acme", Key: [32]byte([]byte(strings.Repeat("k", 32))),
		IssuedAt: issued, AsOf: issued, ExpiresAt: issued.Add(time.Hour),
	})
}

func TestRevokeAndLift(t *testing.T) {
	for _, tt := range []struct{ name, body, lift string }{
		{name: "a token", body: `{"issuer":"https://as.example.com","token_id":"t1"}`},
		{name: "a user", body: `{"issuer":"https://as.example.com","subject":"alice"}`},
		{name: "a session", body: `{"issuer":"https://as.example.com","session":"s1"}`},
		{name: "a client", body: `{"issuer":"https://as.example.com","client":"shop"}`},
		{name: "a tenant", body: `{"issuer":"https://as.example.com","tenant":"acme"}`},
		{name: "a key", body: `{"issuer":"https://as.example.com","key":"` + key + `"}`},
		{name: "a user at a client", body: `{"issuer":"https://as.example.com","subject":"alice","client":"shop"}`},
		{name: "an issuer", body: `{"issuer":"https://as.example.com","confirm":"https://as.example.com"}`, lift: `{"issuer":"https://as.example.com"}`},
		{name: "escaped", body: `{"issuer":"https:\/\/as.example.com","subject":"\u0061lice"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newList(t, nil)
			api := newAPI(t, l, nil)
			require.NoError(t, l.Check(t.Context(), token(time.Now())))
			got := post(t, api, "/revoke", tt.body)
			require.Equal(t, http.StatusCreated, got.status, got.text)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Len(t, got.Entries, 1)
			require.Equal(t, admin.DefaultSource, got.Entries[0]["source"])
			kit.RequireError(t, l.Check(t.Context(), token(time.Now())), bearergate.ErrInvalidToken, bearergate.ReasonRevoked)

			if tt.lift == "" {
				tt.lift = tt.body
			}
			got = post(t, api, "/lift", tt.lift)
			require.Equal(t, http.StatusOK, got.status, got.text)
			require.NoError(t, l.Check(t.Context(), token(time.Now())))
			got = post(t, api, "/lift", tt.lift)
			require.Equal(t, http.StatusNotFound, got.status, got.text)
		})
	}
}

// What GET /list shows can be sent to /lift as it stands.
func TestListedIsLifted(t *testing.T) {
	l := newList(t, nil)
	api := newAPI(t, l, func(c *admin.Config) { c.Source = "soc" })
	require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "bob"})) // without a source
	body := `{"entries":[{"issuer":"https://as.example.com","subject":"alice","before":"2020-01-02T03:04:05.5+01:00"},{"issuer":"https://as.example.com","key":"` + key + `","until":"2099-01-01T00:00:00Z"}]}`
	got := post(t, api, "/revoke", body)
	require.Equal(t, http.StatusBadRequest, got.status) // until is too far: nothing of it counts
	require.Equal(t, 1, l.Status().Entries)
	body = strings.ReplaceAll(body, "2099-01-01T00:00:00Z", time.Now().Add(24*time.Hour).Format(time.RFC3339))
	require.Equal(t, http.StatusCreated, post(t, api, "/revoke", body).status)

	listed := send(t, api, http.MethodGet, "/list", "", nil)
	require.Equal(t, http.StatusOK, listed.status)
	require.Equal(t, "no-store", listed.header.Get("Cache-Control"))
	require.Len(t, listed.Entries, 3)
	require.False(t, listed.More)
	for _, e := range listed.Entries {
		if e["subject"] == "alice" {
			require.Equal(t, "2020-01-02T02:04:05.5Z", e["before"])
		}
		if e["source"] == "" {
			delete(e, "source")
		}
		text, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, post(t, api, "/lift", string(text)).status, string(text))
	}
	require.Equal(t, http.StatusOK, send(t, api, http.MethodGet, "/list", "", nil).status)
	require.Zero(t, l.Status().Entries)
	require.JSONEq(t, `{"entries":[]}`, send(t, api, http.MethodGet, "/list", "", nil).text)
}

// A request with a mistake changes nothing, and is told all its mistakes.
//
// W2-231.
func TestMistakes(t *testing.T) {
	hour := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	long := strings.Repeat("x", revocation.MaxValueBytes+1)
	for _, tt := range []struct {
		name, body string
		lift       bool // the same is wrong with what is lifted
		mistakes   []string
	}{
		{name: "nothing", body: ` `, lift: true},
		{name: "no object", body: `[{"issuer":"i","subject":"s"}]`, lift: true},
		{name: "null", body: `null`, lift: true},
		{name: "trailing data", body: `{"issuer":"i","subject":"s"}{}`, lift: true},
		{name: "a member twice", body: `{"issuer":"i","subject":"s","subject":"t"}`, lift: true},
		{name: "a member twice, within", body: `{"entries":[{"issuer":"i","subject":"s","subject":"t"}]}`},
		{name: "bad UTF-8", body: "{\"issuer\":\"i\",\"subject\":\"\xff\"}", lift: true},
		{name: "no issuer", body: `{"subject":"alice"}`, lift: true, mistakes: []string{"issuer is missing: every value means something only together with its issuer"}},
		{name: "an unknown member", body: `{"issuer":"i","user":"alice"}`, lift: true, mistakes: []string{`the member "user" is not known`}},
		{name: "a claim's name", body: `{"issuer":"i","sub":"alice"}`, lift: true, mistakes: []string{`the member "sub" is not known: give subject`}},
		{name: "folded", body: `{"issuer":"i","Subject":"alice"}`, lift: true, mistakes: []string{`the member "Subject" is not known`}},
		{name: "source", body: `{"issuer":"i","subject":"s","source":"backchannel"}`, mistakes: []string{`the member "source" is not known: it is what this service is configured to say`}},
		{name: "an unknown one beside issuer alone", body: `{"issuer":"i","confirm":"i","user":"alice"}`, lift: true},
		{name: "an empty value", body: `{"issuer":"i","subject":""}`, lift: true, mistakes: []string{"subject is empty: leave out what does not count"}},
		{name: "an empty issuer", body: `{"issuer":"","subject":"s"}`, lift: true},
		{name: "null for a value", body: `{"issuer":"i","subject":null}`, lift: true, mistakes: []string{"subject is not a string"}},
		{name: "a number", body: `{"issuer":"i","subject":7}`, lift: true},
		{name: "several in one", body: `{"issuer":"i","subject":["a","b"]}`, lift: true},
		{name: "too long", body: `{"issuer":"i","subject":"` + long + `"}`, lift: true, mistakes: []string{"subject has 1025 bytes: at most 1024"}},
		{name: "a key in hex", body: `{"issuer":"i","key":"` + strings.Repeat("ab", 32) + `"}`, lift: true},
		{name: "a key with padding", body: `{"issuer":"i","key":"` + key + `="}`, lift: true},
		{name: "a short key", body: `{"issuer":"i","key":"` + key[:42] + `"}`, lift: true},
		{name: "a key of zeros", body: `{"issuer":"i","key":"` + strings.Repeat("A", 43) + `"}`, lift: true},
		{name: "a key in two lines", body: `{"issuer":"i","key":"` + key[:20] + `\n` + key[20:] + `"}`, lift: true},
		{name: "a key that ends its line", body: `{"issuer":"i","key":"` + key + `\r"}`, lift: true},
		{name: "a key of the other alphabet", body: `{"issuer":"i","key":"` + key[:42] + `/"}`, lift: true},
		{name: "a key with stray bits", body: `{"issuer":"i","key":"` + key[:42] + `t"}`, lift: true},
		{name: "before to come", body: `{"issuer":"i","subject":"s","before":"` + hour + `"}`, mistakes: []string{"before is more than 5 minutes in the future: tokens that are not issued yet cannot be revoked"}},
		{name: "before in years", body: `{"issuer":"i","subject":"s","before":"2999-01-01T00:00:00Z"}`},
		{name: "before as a number", body: `{"issuer":"i","subject":"s","before":1760000000}`, lift: true},
		{name: "before as a NumericDate in text", body: `{"issuer":"i","subject":"s","before":"1760000000"}`, lift: true},
		{name: "before without a zone", body: `{"issuer":"i","subject":"s","before":"2025-01-01T00:00:00"}`, lift: true},
		{name: "a zero before", body: `{"issuer":"i","subject":"s","before":"0001-01-01T00:00:00Z"}`, lift: true},
		{name: "before of a session", body: `{"issuer":"i","session":"s","before":"2025-01-01T00:00:00Z"}`},
		{name: "before of a token", body: `{"issuer":"i","token_id":"t","before":"2025-01-01T00:00:00Z"}`, mistakes: []string{"before does not count beside token_id, session and key, which refuse whenever a token was issued: leave it out"}},
		{name: "before of a key", body: `{"issuer":"i","key":"` + key + `","before":"2025-01-01T00:00:00Z"}`},
		{name: "before all times", body: `{"issuer":"i","subject":"s","before":"1970-01-01T00:00:00Z"}`, lift: true},
		{name: "until has passed", body: `{"issuer":"i","subject":"s","until":"2025-01-01T00:00:00Z"}`, mistakes: []string{"until has passed: leave it out, or give a time to come"}},
		{name: "until in ages", body: `{"issuer":"i","subject":"s","until":"2999-01-01T00:00:00Z"}`, mistakes: []string{"until is more than 3650 days away"}},
		{name: "an issuer without confirm", body: `{"issuer":"i"}`, mistakes: []string{"it has nothing but issuer, and would refuse all its tokens: if that is meant, repeat the issuer in confirm"}},
		{name: "an issuer with another confirm", body: `{"issuer":"i","confirm":"j"}`, mistakes: []string{"confirm is not the issuer"}},
		{name: "an issuer that is confirmed by yes", body: `{"issuer":"i","confirm":true}`},
		{name: "an issuer until a time", body: `{"issuer":"i","before":"2025-01-01T00:00:00Z"}`},
		{name: "confirm beside a value", body: `{"issuer":"i","subject":"s","confirm":"i"}`, lift: true},
		{name: "no entries", body: `{"entries":[]}`, lift: true},
		{name: "entries twice", body: `{"entries":[{"issuer":"i","subject":"s"}],"entries":[{"issuer":"i","subject":"t"}]}`, lift: true},
		{name: "trailing data after entries", body: `{"entries":[{"issuer":"i","subject":"s"}]}{}`, lift: true},
		{name: "bad UTF-8 after entries", body: "{\"entries\":[{\"issuer\":\"i\",\"subject\":\"s\"}],\"\xff\":1}", lift: true},
		{name: "entries that are one", body: `{"entries":{"issuer":"i","subject":"s"}}`, lift: true, mistakes: []string{"entries is not an array"}},
		{name: "entries are null", body: `{"entries":null}`, lift: true},
		{name: "entries beside an entry", body: `{"entries":[{"issuer":"i","subject":"s"}],"issuer":"i"}`, lift: true},
		{name: "entries within", body: `{"entries":[{"entries":[{"issuer":"i","subject":"s"}]}]}`, lift: true},
		{name: "an entry that is none", body: `{"entries":["i"]}`, lift: true},
		{name: "too many", body: `{"entries":[` + strings.Repeat(`{"issuer":"i","subject":"s"},`, admin.MaxEntries) + `{"issuer":"i","subject":"s"}]}`, lift: true, mistakes: []string{"there are more than 500 entries: send them in several requests"}},
		{name: "one of several", body: `{"entries":[{"issuer":"i","subject":"s"},{"issuer":"i"},{"issuer":"i","subject":"","foo":1},{"subject":"s"}]}`, lift: true, mistakes: []string{
			"entry 1: it has nothing but issuer, and would refuse all its tokens: if that is meant, repeat the issuer in confirm",
			"entry 2: subject is empty: leave out what does not count", `entry 2: the member "foo" is not known`,
			"entry 3: issuer is missing: every value means something only together with its issuer",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newList(t, nil)
			asked := 0
			api := newAPI(t, l, func(c *admin.Config) { c.Hooks.Asked = func(context.Context, admin.Event) { asked++ } })
			got := post(t, api, "/revoke", tt.body)
			require.Equal(t, http.StatusBadRequest, got.status, got.text)
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.NotEmpty(t, got.Mistakes)
			if tt.mistakes != nil {
				require.Equal(t, tt.mistakes, got.Mistakes)
			}
			require.Zero(t, l.Status().Entries)
			got = post(t, api, "/lift", tt.body)
			if tt.lift {
				require.Equal(t, http.StatusBadRequest, got.status, got.text)
				require.NotEmpty(t, got.Mistakes)
			}
			require.LessOrEqual(t, got.status, http.StatusNotFound)
			if got.status == http.StatusBadRequest {
				require.Zero(t, asked, "it could not be read")
			}
		})
	}
}

// What only the List knows to be a mistake is told as well.
func TestMistakesOfTheList(t *testing.T) {
	var events []admin.Event
	l := newList(t, nil)
	api := newAPI(t, l, func(c *admin.Config) {
		c.Hooks.Asked = func(_ context.Context, e admin.Event) { events = append(events, e) }
	})
	most := strings.Repeat("x", revocation.MaxValueBytes)
	fits := fmt.Sprintf(`{"issuer":%[1]q,"subject":%[1]q,"client":%[1]q}`, most)
	require.Equal(t, http.StatusCreated, post(t, api, "/revoke", fits).status)
	got := post(t, api, "/revoke", strings.Replace(fits, `"client"`, `"tenant":"x","client"`, 1))
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, []string{"the values have 3073 bytes: at most 3072 together"}, got.Mistakes)
	two := `{"entries":[` + strings.Replace(fits, `"client"`, `"tenant":"x","client"`, 1) + `,` + strings.Replace(fits, `"client"`, `"tenant":"yz","client"`, 1) + `]}`
	require.Equal(t, []string{"entry 0: the values have 3073 bytes: at most 3072 together", "entry 1: the values have 3074 bytes: at most 3072 together"},
		post(t, api, "/revoke", two).Mistakes)
	require.Equal(t, 1, l.Status().Entries)
	require.Len(t, events, 3)
	require.Equal(t, http.StatusBadRequest, events[1].Status)
}

// However many mistakes there are, few are told, and nothing that was sent is told at length.
func TestMistakesAreBounded(t *testing.T) {
	api := newAPI(t, newList(t, nil), nil)
	var b strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&b, `,"m%d\u001b[31m%s":1`, i, strings.Repeat("x", 20))
	}
	got := post(t, api, "/revoke", `{"issuer":"i"`+b.String()+`}`)
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Len(t, got.Mistakes, 21)
	require.Equal(t, "and 1480 more", got.Mistakes[20])
	require.NotContains(t, got.Mistakes[0], "\x1b")
	got = post(t, api, "/revoke", `{"issuer":"i","a":1`+mistakesAfter(20)+`}`)
	require.Equal(t, "and 1 more", got.Mistakes[20])
	got = post(t, api, "/revoke", `{"issuer":"i"`+mistakesAfter(20)+`}`)
	require.Len(t, got.Mistakes, 20)
	got = post(t, api, "/revoke", `{"`+strings.Repeat("x", 60_000)+`":1}`)
	require.Less(t, len(got.text), 1000)
}

// mistakesAfter are n members that are not known.
func mistakesAfter(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}

// What is not known is met with what was meant.
func TestHints(t *testing.T) {
	api := newAPI(t, newList(t, nil), nil)
	for _, tt := range []struct{ target, member, says string }{
		{target: "/revoke", member: "jti", says: "give token_id"},
		{target: "/revoke", member: "sid", says: "give session"},
		{target: "/lift", member: "client_id", says: "give client"},
		{target: "/revoke", member: "source", says: "it is what this service is configured to say"},
		{target: "/lift", member: "confirm", says: "lifting needs none"},
		{target: "/lift", member: "entries", says: "lift one at a time"},
	} {
		got := post(t, api, tt.target, `{"issuer":"i","`+tt.member+`":"x"}`)
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Len(t, got.Mistakes, 1)
		require.Contains(t, got.Mistakes[0], tt.says)
	}
}

func TestDefaults(t *testing.T) {
	require.Equal(t, "admin", admin.DefaultSource)
	require.Equal(t, 65536, admin.MaxBodyBytes)
	require.Equal(t, 500, admin.MaxEntries)
	require.Equal(t, 100, admin.DefaultListed)
	require.Equal(t, 1000, admin.MaxListed)
}

func TestMostEntries(t *testing.T) {
	l := newList(t, nil)
	var entries []string
	for i := range admin.MaxEntries {
		entries = append(entries, fmt.Sprintf(`{"issuer":"i","subject":"s%d","before":"1970-01-01T00:00:01Z"}`, i))
	}
	require.Equal(t, http.StatusCreated, post(t, newAPI(t, l, nil), "/revoke", `{"entries":[`+strings.Join(entries, ",")+`]}`).status)
	require.Equal(t, admin.MaxEntries, l.Status().Entries)
}

// While others look through the List, one more is told to come again.
func TestListIsBusy(t *testing.T) {
	var inner http.Handler
	api := newAPI(t, newList(t, nil), func(c *admin.Config) {
		c.Protect = func(h http.Handler) http.Handler { inner = h; return h }
	})
	release := admin.Search(inner, 2)
	got := send(t, api, "GET", "/list", "", nil)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "overloaded", got.Reason)
	requireRetry(t, got)
	release()
	require.Equal(t, http.StatusOK, send(t, api, "GET", "/list", "", nil).status)
	admin.Search(inner, 1)
	require.Equal(t, http.StatusOK, send(t, api, "GET", "/list", "", nil).status)
}

// slow is a client that does not read: what is written to it asks first.
type slow struct {
	*httptest.ResponseRecorder
	asks func()
}

func (s slow) Write(p []byte) (int, error) {
	s.asks()
	return s.ResponseRecorder.Write(p)
}

// Who does not read the answer keeps nobody from looking through the List, and nothing out of
// the audit log.
func TestSlowReaders(t *testing.T) {
	var inner http.Handler
	asked := 0
	api := newAPI(t, newList(t, nil), func(c *admin.Config) {
		c.Protect = func(h http.Handler) http.Handler { inner = h; return h }
		c.Hooks.Asked = func(context.Context, admin.Event) { asked++ }
	})
	others := 0
	looks := func() {
		admin.Search(inner, 2)()
		others++
	}
	api.ServeHTTP(slow{httptest.NewRecorder(), looks}, httptest.NewRequest(http.MethodGet, "/list", http.NoBody))
	require.Equal(t, 1, others)

	for i, request := range []struct{ target, body string }{
		{"/revoke", `{"issuer":"i","subject":"s"}`},
		{"/lift", `{"issuer":"i","subject":"s"}`},
		{"/lift", `{"issuer":"i","subject":"s"}`}, // 404
	} {
		r := httptest.NewRequest(http.MethodPost, request.target, strings.NewReader(request.body))
		r.Header.Set("Content-Type", "application/json")
		writes := func() { require.Equal(t, i+1, asked) }
		api.ServeHTTP(slow{httptest.NewRecorder(), writes}, r)
	}
	require.Equal(t, 3, asked)
}

func requireRetry(t testing.TB, got reply) {
	t.Helper()
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, seconds, 1)
	require.LessOrEqual(t, seconds, 60)
}

func TestRequestsThatAreNotRead(t *testing.T) {
	const good = `{"issuer":"i","subject":"s"}`
	for _, tt := range []struct {
		name, method, target, body string
		change                     func(*http.Request)
		status                     int
	}{
		{name: "a form, which any site can have sent", method: "POST", target: "/revoke", body: good, status: 415,
			change: func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }},
		{name: "text, which any site can have sent", method: "POST", target: "/revoke", body: good, status: 415,
			change: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain; charset=application/json") }},
		{name: "no type", method: "POST", target: "/revoke", body: good, status: 415, change: func(r *http.Request) { r.Header.Del("Content-Type") }},
		{name: "two types", method: "POST", target: "/lift", body: good, status: 415, change: func(r *http.Request) { r.Header.Add("Content-Type", "application/json") }},
		{name: "another charset", method: "POST", target: "/revoke", body: good, status: 415,
			change: func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-16") }},
		{name: "another parameter", method: "POST", target: "/revoke", body: good, status: 415,
			change: func(r *http.Request) { r.Header.Set("Content-Type", "application/json; boundary=utf-8") }},
		{name: "a parameter without a value", method: "POST", target: "/revoke", body: good, status: 415,
			change: func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset") }},
		{name: "compressed", method: "POST", target: "/revoke", body: good, status: 415, change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }},
		{name: "too long", method: "POST", target: "/revoke", body: good + strings.Repeat(" ", admin.MaxBodyBytes), status: 413},
		{name: "a query", method: "POST", target: "/revoke?issuer=i", body: good, status: 400},
		{name: "broken off", method: "POST", target: "/revoke", body: good, status: 400, change: func(r *http.Request) { r.Body = broken{} }},
		{name: "broken off where it looks whole", method: "POST", target: "/revoke", body: good, status: 400,
			change: func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader(good), broken{})) }},
		{name: "without a body", method: "POST", target: "/revoke", body: good, status: 400, change: func(r *http.Request) { r.Body = nil }},
		{name: "another method", method: "GET", target: "/revoke", status: 405},
		{name: "HEAD of what changes", method: "HEAD", target: "/revoke", status: 405},
		{name: "a method of another path", method: "POST", target: "/list", body: good, status: 405},
		{name: "what browsers ask", method: "OPTIONS", target: "/revoke", status: 405,
			change: func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		{name: "another path", method: "POST", target: "/", body: good, status: 404},
		{name: "a path with more", method: "POST", target: "/revoke/", body: good, status: 404},
		{name: "an unknown filter", method: "GET", target: "/list?user=alice", status: 400},
		{name: "an unknown filter by a number", method: "GET", target: "/list?user=7", status: 400},
		{name: "an empty filter", method: "GET", target: "/list?issuer=", status: 400},
		{name: "a filter twice", method: "GET", target: "/list?issuer=a&issuer=b", status: 400},
		{name: "a limit of nothing", method: "GET", target: "/list?limit=0", status: 400},
		{name: "a limit over the limit", method: "GET", target: "/list?limit=1001", status: 400},
		{name: "a limit that is none", method: "GET", target: "/list?limit=x", status: 400},
		{name: "a broken query", method: "GET", target: "/list?limit=%zz", status: 400},
		{name: "a query for the status", method: "GET", target: "/status?x", status: 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newList(t, nil)
			got := send(t, newAPI(t, l, nil), tt.method, tt.target, tt.body, tt.change)
			require.Equal(t, tt.status, got.status, got.text)
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
			if tt.status == http.StatusMethodNotAllowed {
				require.Equal(t, map[string]string{"/revoke": "POST", "/list": "GET"}[tt.target], got.header.Get("Allow"))
			}
			for name := range got.header {
				require.NotContains(t, name, "Access-Control")
			}
			require.Zero(t, l.Status().Entries)
		})
	}
	got := send(t, newAPI(t, newList(t, nil), nil), "POST", "/revoke", good, func(r *http.Request) { r.Header.Set("Content-Type", "Application/JSON; Charset=UTF-8") })
	require.Equal(t, http.StatusCreated, got.status)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken off") }
func (broken) Close() error             { return nil }

// Who does not pass Protect reaches nothing, not even a 404.
//
// W2-231.
func TestProtect(t *testing.T) {
	gate, err := middleware.New(kit.Granting(), middleware.Config{})
	require.NoError(t, err)
	l := newList(t, nil)
	api := newAPI(t, l, func(c *admin.Config) { c.Protect = gate.Require(scope.All("revocation:write")) })
	for _, target := range []string{"/revoke", "/lift", "/list", "/status", "/"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			require.Equal(t, http.StatusUnauthorized, kit.Ask(api, method, target, "").Code)
			require.Equal(t, http.StatusForbidden, kit.Ask(api, method, target, "orders:read").Code)
		}
	}
	require.Equal(t, http.StatusOK, kit.Ask(api, "GET", "/list", "revocation:write").Code)
}

func TestNewRefuses(t *testing.T) {
	var none *middleware.Router
	for _, tt := range []struct {
		name   string
		change func(*admin.Config)
		says   string
	}{
		{name: "no List", change: func(c *admin.Config) { c.List = nil }, says: "List is nil"},
		{name: "no Protect", change: func(c *admin.Config) { c.Protect = nil }, says: "Protect is nil"},
		{name: "Protect gives nil", change: func(c *admin.Config) { c.Protect = func(http.Handler) http.Handler { return nil } }, says: "Protect has returned nil"},
		{name: "Protect gives a nil pointer", change: func(c *admin.Config) {
			c.Protect = func(http.Handler) http.Handler { return (*http.ServeMux)(nil) }
		}, says: "Protect has returned nil"},
		{name: "Protect panics", change: func(c *admin.Config) {
			c.Protect = func(http.Handler) http.Handler { _ = none.Routes()[0]; return nil }
		}, says: "Protect panicked"},
		{name: "Source with spaces", change: func(c *admin.Config) { c.Source = "our admins" }, says: "Source"},
		{name: "Source too long", change: func(c *admin.Config) { c.Source = strings.Repeat("s", 65) }, says: "Source"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := admin.Config{List: newList(t, nil), Protect: open}
			tt.change(&c)
			h, err := admin.New(c)
			require.Nil(t, h)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tt.says)
		})
	}
	_, err := admin.New(admin.Config{Source: "?"})
	for _, says := range []string{"List is nil", "Protect is nil", "Source"} {
		require.ErrorContains(t, err, says)
	}
}

// The answer to an outage says whether the entries count.
func TestOutages(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log, c.PerSource = log, 2 })
		require.NoError(t, l.Warm(t.Context()))
		var mu sync.Mutex // guards events
		var events []admin.Event
		api := newAPI(t, l, func(c *admin.Config) {
			c.Hooks.Asked = func(_ context.Context, e admin.Event) { mu.Lock(); defer mu.Unlock(); events = append(events, e) }
		})
		log.Fault(kit.Hang)
		got := post(t, api, "/revoke", `{"issuer":"https://as.example.com","subject":"alice"}`)
		require.Equal(t, http.StatusServiceUnavailable, got.status, got.text)
		require.Equal(t, "store_unavailable", got.Reason)
		require.Contains(t, got.Detail, "count in this process alone so far")
		requireRetry(t, got)
		kit.RequireError(t, l.Check(t.Context(), token(time.Now())), bearergate.ErrInvalidToken, bearergate.ReasonRevoked)
		got = post(t, api, "/lift", `{"issuer":"https://as.example.com","subject":"alice"}`)
		require.Equal(t, http.StatusServiceUnavailable, got.status)
		require.Contains(t, got.Detail, "in this process alone so far")

		log.Fault(nil)
		require.Equal(t, http.StatusCreated, post(t, api, "/revoke", `{"issuer":"https://as.example.com","subject":"alice"}`).status)
		got = post(t, api, "/revoke", `{"entries":[{"issuer":"i","subject":"b"},{"issuer":"i","subject":"c"}]}`)
		require.Equal(t, http.StatusServiceUnavailable, got.status, got.text)
		require.Equal(t, "overloaded", got.Reason)
		requireRetry(t, got)
		require.Equal(t, 1, l.Status().Entries, "none of them counts")

		log.Fault(func(context.Context, string) error { panic("no log") })
		got = post(t, api, "/revoke", `{"issuer":"i","subject":"d"}`)
		require.Equal(t, http.StatusServiceUnavailable, got.status, got.text)
		require.NotContains(t, got.text, "no log")

		// A log that is full is not a list that is full.
		log.Fault(func(context.Context, string) error {
			return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}
		})
		got = post(t, api, "/lift", `{"issuer":"i","subject":"d"}`)
		require.Equal(t, http.StatusServiceUnavailable, got.status, got.text)
		require.Equal(t, "store_unavailable", got.Reason)
		require.Contains(t, got.Detail, "in this process alone so far")
		mu.Lock()
		defer mu.Unlock()
		var statuses []int
		for _, e := range events {
			statuses = append(statuses, e.Status)
			require.Equal(t, e.Status >= 300, e.Err != nil)
		}
		require.Equal(t, []int{503, 503, 201, 503, 503, 503}, statuses)
	})
}

// Who goes away has revoked all the same, in all processes.
func TestCallerGoesAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		log.Fault(func(ctx context.Context, _ string) error { return ctx.Err() })
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		told := 0
		api := newAPI(t, l, func(c *admin.Config) {
			c.Hooks.Asked = func(ctx context.Context, _ admin.Event) {
				require.NoError(t, ctx.Err(), "an audit log may write")
				told++
			}
		})
		gone := func(r *http.Request) { *r = *r.WithContext(ctx) }
		got := send(t, api, "POST", "/revoke", `{"issuer":"i","subject":"s"}`, gone)
		require.Equal(t, http.StatusCreated, got.status, got.text)
		require.Len(t, log.Data(), 1)
		got = send(t, api, "POST", "/lift", `{"issuer":"i","subject":"s"}`, gone)
		require.Equal(t, http.StatusOK, got.status, got.text)
		require.Len(t, log.Data(), 2)
		require.Equal(t, 2, told)
	})
}

// An audit log learns who has done what.
func TestHooks(t *testing.T) {
	kit.EachHook(t, admin.JoinHooks)
	gate, err := middleware.New(kit.Granting(), middleware.Config{})
	require.NoError(t, err)
	var events []admin.Event
	api := newAPI(t, newList(t, nil), func(c *admin.Config) {
		c.Protect = gate.Require(scope.All("revocation:write"))
		c.Hooks.Asked = func(_ context.Context, e admin.Event) { events = append(events, e) }
	})
	authorized := func(r *http.Request) { r.Header.Set("Authorization", kit.With("revocation:write")) }
	require.Equal(t, http.StatusCreated, send(t, api, "POST", "/revoke", `{"issuer":"i","subject":"s"}`, authorized).status)
	require.Equal(t, http.StatusNotFound, send(t, api, "POST", "/lift", `{"issuer":"i","subject":"t","before":"2025-01-01T00:00:00Z","source":""}`, authorized).status)
	require.Len(t, events, 2)
	require.True(t, events[0].By.Scopes().Has("revocation:write"))
	require.Equal(t, []revocation.Entry{{Issuer: "i", Subject: "s", Source: "admin"}}, events[0].Entries)
	require.False(t, events[0].Lift)
	require.True(t, events[1].Lift)
	require.Equal(t, []revocation.Entry{{Issuer: "i", Subject: "t"}}, events[1].Entries, "what does not count is not told")
	require.Equal(t, http.StatusNotFound, events[1].Status)
	require.Error(t, events[1].Err)
}

// What is wrong with a query is told, each mistake for itself.
func TestMistakesOfAQuery(t *testing.T) {
	api := newAPI(t, newList(t, nil), nil)
	for _, tt := range []struct{ name, target, mistake string }{
		{name: "unknown", target: "/list?user=7", mistake: `"user" is not known: there are limit, source, issuer, token_id, subject, session, client and tenant`},
		{name: "empty", target: "/list?issuer=", mistake: "issuer is empty: leave it out"},
		{name: "twice", target: "/list?issuer=a&issuer=b", mistake: "issuer is given 2 times"},
		{name: "limit", target: "/list?limit=1001", mistake: "limit is not a number between 1 and 1000"},
	} {
		got := send(t, api, "GET", tt.target, "", nil)
		require.Equal(t, http.StatusBadRequest, got.status, tt.name)
		require.Equal(t, []string{tt.mistake}, got.Mistakes, tt.name)
	}
}

func TestList(t *testing.T) {
	l := newList(t, nil)
	api := newAPI(t, l, nil)
	var entries []revocation.Entry
	for i := range 150 {
		entries = append(entries, revocation.Entry{Issuer: issuer, Subject: fmt.Sprint("user", i), Client: "shop", Source: []string{"backchannel", "signals", ""}[i%3]})
	}
	require.NoError(t, l.Add(t.Context(), entries...))
	for _, tt := range []struct {
		target string
		n      int
		more   bool
	}{
		{target: "/list", n: admin.DefaultListed, more: true},
		{target: "/list?limit=1000", n: 150},
		{target: "/list?limit=1", n: 1, more: true},
		{target: "/list?limit=150", n: 150},
		{target: "/list?limit=149", n: 149, more: true},
		{target: "/list?source=signals", n: 50},
		{target: "/list?source=", n: 50},
		{target: "/list?source=signals&limit=10", n: 10, more: true},
		{target: "/list?subject=user7&client=shop", n: 1},
		{target: "/list?subject=user7&client=other", n: 0},
		{target: "/list?issuer=" + issuer + "&limit=1000", n: 150},
		{target: "/list?issuer=other", n: 0},
	} {
		got := send(t, api, "GET", tt.target, "", nil)
		require.Equal(t, http.StatusOK, got.status, tt.target)
		require.Len(t, got.Entries, tt.n, tt.target)
		require.Equal(t, tt.more, got.More, tt.target)
	}
	got := send(t, api, "GET", "/list?subject=user7", "", nil)
	require.Equal(t, "signals", got.Entries[0]["source"])
}

// A long List is looked through to its end.
func TestLongList(t *testing.T) {
	l := newList(t, nil)
	for n := range 2 {
		var entries []revocation.Entry
		for i := range 10_000 {
			entries = append(entries, revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(n, "-", i)})
		}
		require.NoError(t, l.Add(t.Context(), entries...))
	}
	require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: "other", TokenID: "one more"}))
	got := send(t, newAPI(t, l, nil), "GET", "/list?issuer=other", "", nil)
	require.Len(t, got.Entries, 1)
	require.False(t, got.More)
}

func TestStatus(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		alone := newList(t, nil)
		got := send(t, newAPI(t, alone, nil), "GET", "/status", "", nil)
		require.JSONEq(t, `{"entries":0,"lifted":0,"sources":{},"ready":true,"unlogged":0,"skipped":0,"full":false}`, got.text)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))

		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		api := newAPI(t, l, nil)
		require.Contains(t, send(t, api, "GET", "/status", "", nil).text, `"ready":false`)
		require.NoError(t, l.Warm(t.Context()))
		require.Contains(t, send(t, api, "GET", "/status", "", nil).text, `"lag_seconds":0,`, "of this moment")
		require.Equal(t, http.StatusCreated, post(t, api, "/revoke", `{"entries":[{"issuer":"i","subject":"s"},{"issuer":"i","subject":"t"}]}`).status)
		require.Equal(t, http.StatusOK, post(t, api, "/lift", `{"issuer":"i","subject":"s"}`).status)
		time.Sleep(7 * time.Second)
		got = send(t, api, "GET", "/status", "", nil)
		var s map[string]any
		require.NoError(t, json.Unmarshal([]byte(got.text), &s))
		require.Equal(t, 1.0, s["entries"])
		require.Equal(t, 1.0, s["lifted"])
		require.Equal(t, map[string]any{"admin": 2.0}, s["sources"])
		require.Equal(t, true, s["ready"])
		require.Equal(t, 7.0, s["lag_seconds"])
		require.NotEmpty(t, s["heard"])
		require.Equal(t, http.StatusOK, send(t, api, "HEAD", "/status", "", nil).status)
	})
}

// Many revoke, lift and look at the same time.
func TestAtTheSameTime(t *testing.T) {
	l := newList(t, nil)
	api := newAPI(t, l, nil)
	ask := func(method, target, body string) (status int) {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				body := fmt.Sprintf(`{"issuer":"i","subject":"s%d-%d"}`, i, n)
				assert.Equal(t, http.StatusCreated, ask("POST", "/revoke", body))
				assert.Equal(t, http.StatusOK, ask("POST", "/lift", body))
				assert.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, ask("GET", "/list", ""))
				assert.Equal(t, http.StatusOK, ask("GET", "/status", ""))
			}
		})
	}
	wg.Wait()
	require.Zero(t, l.Status().Entries)
	require.Equal(t, 160, l.Status().Lifted)
}

// Whatever is sent, the answer is one of those that there are, and what is revoked has an
// issuer and is not all of an issuer unless that is confirmed.
func FuzzRevoke(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://as.example.com","subject":"alice","before":"2025-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"issuer":"i","confirm":"i"}`))
	f.Add([]byte(`{"issuer":"i","key":"` + key + `","until":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"entries":[{"issuer":"i","token_id":"t"},{"issuer":"i","session":"s","client":"c","tenant":"t"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		l := newList(t, nil)
		api := newAPI(t, l, nil)
		got := post(t, api, "/revoke", string(body))
		switch entries := slices.Collect(l.All()); got.status {
		case http.StatusCreated:
			for _, e := range entries {
				require.NotEmpty(t, e.Issuer)
				require.Equal(t, "admin", e.Source)
				if (e == revocation.Entry{Issuer: e.Issuer, Before: e.Before, Until: e.Until, Source: e.Source}) {
					require.Contains(t, string(body), "confirm")
				}
			}
			for _, e := range got.Entries { // what is answered is what was understood
				delete(e, "before")
				delete(e, "until")
				text, err := json.Marshal(e)
				require.NoError(t, err)
				lifted := post(t, api, "/lift", string(text)).status
				require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, lifted) // given twice, or ended already
			}
			require.Zero(t, l.Status().Entries)
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
			require.Empty(t, entries)
		default:
			t.Fatal(got.status, got.text)
		}
	})
}
