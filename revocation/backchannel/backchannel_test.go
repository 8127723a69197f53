package backchannel_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

type m = map[string]any

// A valid logout token and one change.
//
// req: BCL-02, BCL-03, BCL-04, BCL-05, BCL-06, BCL-07, BCL-08, BCL-11, BCL-13, W2-211, W2-214, W2-215, W2-216
func TestLogoutTokens(t *testing.T) {
	now := begin.Unix()
	logout := m{eventType: m{}}
	with := func(f func(*backchannel.Config)) func(*backchannel.Config) { return f }
	for _, tt := range []struct {
		name           string
		header, claims m
		config         func(*backchannel.Config)
		reason         bearergate.Reason // "": acknowledged
	}{
		{name: "BCL-02 as it should be"},
		{name: "BCL-02 typ in full", header: m{"typ": "application/Logout+JWT"}},
		{name: "BCL-02 no typ", header: m{"typ": kit.Absent}},
		{name: "BCL-02 typ JWT", header: m{"typ": "jwt"}},
		{name: "BCL-02 typ at+jwt", header: m{"typ": "at+jwt"}, reason: bearergate.ReasonType},
		{name: "BCL-02 typ dpop+jwt", header: m{"typ": "dpop+jwt"}, reason: bearergate.ReasonType},
		{name: "BCL-02 typ secevent+jwt", header: m{"typ": "secevent+jwt"}, reason: bearergate.ReasonType},
		{name: "BCL-02 typ empty", header: m{"typ": ""}, reason: bearergate.ReasonType},
		{name: "BCL-02 RequireTyp: as it should be", config: with(func(c *backchannel.Config) { c.RequireTyp = true })},
		{name: "BCL-02 RequireTyp: no typ", header: m{"typ": kit.Absent}, config: with(func(c *backchannel.Config) { c.RequireTyp = true }), reason: bearergate.ReasonType},
		{name: "BCL-02 RequireTyp: typ JWT", header: m{"typ": "JWT"}, config: with(func(c *backchannel.Config) { c.RequireTyp = true }), reason: bearergate.ReasonType},

		{name: "BCL-03 alg none", header: m{"alg": "none"}, reason: bearergate.ReasonAlgorithm},
		{name: "BCL-03 alg HS256", header: m{"alg": "HS256"}, reason: bearergate.ReasonAlgorithm},
		{name: "BCL-03 alg not allowed", config: with(func(c *backchannel.Config) { c.Algorithms = []string{"RS256"} }), reason: bearergate.ReasonAlgorithm},
		{name: "BCL-03 alg of another key", header: m{"alg": "RS256"}, reason: bearergate.ReasonUnknownKey},
		{name: "BCL-03 unknown kid", header: m{"kid": "other"}, reason: bearergate.ReasonUnknownKey},
		{name: "BCL-03 crit", header: m{"crit": []string{"exp"}}, reason: bearergate.ReasonMalformed},

		{name: "BCL-04 aud in an array", claims: m{"aud": []string{"x", client}}},
		{name: "W2-211 iss of another", claims: m{"iss": "https://evil.example.com/"}, reason: bearergate.ReasonIssuer},
		{name: "W2-211 iss without its slash", claims: m{"iss": strings.TrimSuffix(kit.Issuer, "/")}, reason: bearergate.ReasonIssuer},
		{name: "W2-211 no iss", claims: m{"iss": kit.Absent}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-211 aud of another client", claims: m{"aud": "billing-web"}, reason: bearergate.ReasonAudience},
		{name: "W2-211 aud of the API", claims: m{"aud": kit.Audience}, reason: bearergate.ReasonAudience},
		{name: "W2-211 no aud", claims: m{"aud": kit.Absent}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-211 aud number", claims: m{"aud": 1}, reason: bearergate.ReasonMalformed},

		{name: "BCL-05 exp within the leeway", claims: m{"exp": now - 4}},
		{name: "BCL-05 iat within the leeway", claims: m{"iat": now + 5}},
		{name: "W2-216 expired", claims: m{"exp": now - 5}, reason: bearergate.ReasonExpired},
		{name: "W2-216 no exp", claims: m{"exp": kit.Absent}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-216 exp null", claims: m{"exp": nil}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-216 exp text", claims: m{"exp": "1"}, reason: bearergate.ReasonMalformed},
		{name: "W2-216 iat in the future", claims: m{"iat": now + 6}, reason: bearergate.ReasonNotYetValid},
		{name: "W2-216 no iat", claims: m{"iat": kit.Absent}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-216 nbf in the future", claims: m{"nbf": now + 6}, reason: bearergate.ReasonNotYetValid},
		{name: "BCL-05 AllowMissingExp: no exp", claims: m{"exp": kit.Absent, "iat": now - 125}, config: with(func(c *backchannel.Config) { c.AllowMissingExp = true })},
		{name: "BCL-05 AllowMissingExp: no exp, and old", claims: m{"exp": kit.Absent, "iat": now - 126}, config: with(func(c *backchannel.Config) { c.AllowMissingExp = true }), reason: bearergate.ReasonExpired},
		{name: "BCL-05 AllowMissingExp: expired", claims: m{"exp": now - 5}, config: with(func(c *backchannel.Config) { c.AllowMissingExp = true }), reason: bearergate.ReasonExpired},
		{name: "BCL-05 AllowMissingExp: exp, and old", claims: m{"iat": now - 1000}, config: with(func(c *backchannel.Config) { c.AllowMissingExp = true })},
		{name: "BCL-05 Leeway", claims: m{"exp": now - 50}, config: with(func(c *backchannel.Config) { c.Leeway = time.Minute })},

		{name: "BCL-06 sid only", claims: m{"sub": kit.Absent}},
		{name: "BCL-06 sub only", claims: m{"sid": kit.Absent}},
		{name: "BCL-06 sid, and a sub that is null", claims: m{"sub": nil}},
		{name: "W2-214 neither", claims: m{"sub": kit.Absent, "sid": kit.Absent}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-214 both null", claims: m{"sub": nil, "sid": nil}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-214 sid number", claims: m{"sid": 7}, reason: bearergate.ReasonMalformed},
		{name: "W2-214 sid empty", claims: m{"sid": ""}, reason: bearergate.ReasonMalformed},
		{name: "W2-214 sub empty", claims: m{"sub": ""}, reason: bearergate.ReasonMalformed},
		{name: "W2-214 sub number", claims: m{"sub": 7}, reason: bearergate.ReasonMalformed},

		{name: "BCL-07 another event too", claims: m{"events": m{eventType: m{"x": 1}, "https://x.example/": 1}}},
		{name: "BCL-07 no events", claims: m{"events": kit.Absent}, reason: bearergate.ReasonMissingClaim},
		{name: "BCL-07 events empty", claims: m{"events": m{}}, reason: bearergate.ReasonMissingClaim},
		{name: "BCL-07 events null", claims: m{"events": nil}, reason: bearergate.ReasonMissingClaim},
		{name: "BCL-07 events text", claims: m{"events": eventType}, reason: bearergate.ReasonType},
		{name: "BCL-07 events array", claims: m{"events": []any{logout}}, reason: bearergate.ReasonType},
		{name: "BCL-07 another event", claims: m{"events": m{"https://x.example/": m{}}}, reason: bearergate.ReasonType},
		{name: "BCL-07 the event in capitals", claims: m{"events": m{strings.ToUpper(eventType): m{}}}, reason: bearergate.ReasonType},
		{name: "BCL-07 the event null", claims: m{"events": m{eventType: nil}}, reason: bearergate.ReasonType},
		{name: "BCL-07 the event an array", claims: m{"events": m{eventType: []any{}}}, reason: bearergate.ReasonType},
		{name: "BCL-07 the event text", claims: m{"events": m{eventType: "{}"}}, reason: bearergate.ReasonType},
		{name: "BCL-07 the event true", claims: m{"events": m{eventType: true}}, reason: bearergate.ReasonType},

		{name: "BCL-08 nonce", claims: m{"nonce": "n"}, reason: bearergate.ReasonType},
		{name: "BCL-08 nonce null", claims: m{"nonce": nil}, reason: bearergate.ReasonType},
		{name: "BCL-08 nonce number", claims: m{"nonce": 1}, reason: bearergate.ReasonType},

		{name: "no jti", claims: m{"jti": kit.Absent}, reason: bearergate.ReasonMissingClaim},
		{name: "jti empty", claims: m{"jti": ""}, reason: bearergate.ReasonMissingClaim},
		{name: "jti number", claims: m{"jti": 1}, reason: bearergate.ReasonMalformed},
		{name: "BCL-13 unknown claims", claims: m{"x": []any{1}, "trace_id": nil, "cnf": nil, "roles": 7, "act": "x"}},

		{name: "W2-215 an ID token", header: m{"typ": "JWT"}, claims: m{"events": kit.Absent, "nonce": "n", "auth_time": now}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-215 an access token", header: m{"typ": "at+jwt"}, claims: m{"events": kit.Absent, "scope": "read"}, reason: bearergate.ReasonType},
		{name: "W2-215 an access token of type JWT", header: m{"typ": "JWT"}, claims: m{"events": kit.Absent, "scope": "read"}, reason: bearergate.ReasonMissingClaim},
		{name: "W2-215 a SET", header: m{"typ": "JWT"}, claims: m{"events": m{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": m{}}}, reason: bearergate.ReasonType},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			change := func(*backchannel.Config) {}
			if tt.config != nil {
				change = tt.config
			}
			s := newScene(t, change)
			status := s.send(s.sign(tt.header, tt.claims))
			if tt.reason == "" {
				require.Equal(t, http.StatusOK, status, "%v", s.last().Err)
				require.Len(t, s.list.added(), 1)
				e := s.last()
				require.Equal(t, backchannel.Revoked, e.Outcome)
				require.Equal(t, 1, e.Entries)
				require.Equal(t, kit.Issuer, e.Issuer)
				require.NoError(t, e.Err)
				return
			}
			require.Equal(t, http.StatusBadRequest, status)
			s.requireFailed(backchannel.Refused, bearergate.ErrInvalidToken, tt.reason)
			require.Empty(t, s.list.added())
		})
	}
}

// What is no compact JWS, or has another signature.
//
// req: BCL-03
func TestForged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		valid := s.sign(nil, nil)
		other := &scene{t: t, signer: kit.NewSigner(t, "ES256", "k")}
		parts := strings.Split(valid, ".")
		for name, token := range map[string]struct {
			text   string
			reason bearergate.Reason
		}{
			"opaque":         {"opaque", bearergate.ReasonMalformed},
			"five parts":     {valid + ".a.b", bearergate.ReasonMalformed},
			"another key":    {other.sign(nil, nil), bearergate.ReasonSignature},
			"no signature":   {parts[0] + "." + parts[1] + ".", bearergate.ReasonSignature},
			"cut":            {valid[:len(valid)-2], bearergate.ReasonSignature},
			"another's head": {strings.Split(other.sign(m{"typ": "JWT"}, nil), ".")[0] + "." + parts[1] + "." + parts[2], bearergate.ReasonSignature},
		} {
			require.Equal(t, http.StatusBadRequest, s.send(token.text), name)
			s.requireFailed(backchannel.Refused, bearergate.ErrInvalidToken, token.reason)
		}
		require.Empty(t, s.list.added())
	})
}

// req: BCL-01, BCL-11
func TestRequests(t *testing.T) {
	s := newScene(t)
	token := s.sign(nil, nil)
	form := url.Values{"logout_token": {token}}.Encode()
	for _, tt := range []struct {
		name        string
		method      string
		contentType string
		body        string
		change      func(*http.Request)
		status      int
		reason      bearergate.Reason
	}{
		{name: "GET", method: "GET", contentType: formType, status: 405, reason: bearergate.ReasonBadRequest},
		{name: "PUT", method: "PUT", contentType: formType, body: form, status: 405, reason: bearergate.ReasonBadRequest},
		{name: "JSON", contentType: "application/json", body: `{"logout_token":"` + token + `"}`, status: 415, reason: bearergate.ReasonBadRequest},
		{name: "a JWT", contentType: "application/logout+jwt", body: token, status: 415, reason: bearergate.ReasonBadRequest},
		{name: "multipart", contentType: "multipart/form-data; boundary=x", body: form, status: 415, reason: bearergate.ReasonBadRequest},
		{name: "no type", body: form, status: 415, reason: bearergate.ReasonBadRequest},
		{name: "two types", contentType: formType, body: form, change: func(r *http.Request) { r.Header.Add("Content-Type", formType) }, status: 415, reason: bearergate.ReasonBadRequest},
		{name: "compressed", contentType: formType, body: form, change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, status: 415, reason: bearergate.ReasonBadRequest},
		{name: "in the query", contentType: formType, change: func(r *http.Request) { r.URL.RawQuery = form }, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "empty body", contentType: formType, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "twice", contentType: formType, body: form + "&" + form, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "empty", contentType: formType, body: "logout_token=", status: 400, reason: bearergate.ReasonBadRequest},
		{name: "under another name", contentType: formType, body: "Logout_token=" + token, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "no form", contentType: formType, body: form + ";x=%zz", status: 400, reason: bearergate.ReasonBadRequest},
		{name: "too long", contentType: formType, body: form + "&x=" + strings.Repeat("x", backchannel.DefaultMaxBodyBytes), status: 413, reason: bearergate.ReasonTooLarge},
		{name: "too long, in pieces", contentType: formType, body: form + "&x=" + strings.Repeat("x", backchannel.DefaultMaxBodyBytes),
			change: func(r *http.Request) { r.ContentLength = -1 }, status: 413, reason: bearergate.ReasonTooLarge},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			r := request(tt.method, tt.contentType, tt.body)
			if tt.change != nil {
				tt.change(r)
			}
			resp := s.serve(r)
			require.Equal(t, tt.status, resp.StatusCode)
			if tt.status == http.StatusMethodNotAllowed {
				require.Equal(t, "POST", resp.Header.Get("Allow"))
			}
			s.requireFailed(backchannel.Refused, bearergate.ErrInvalidRequest, tt.reason)
			require.Equal(t, tt.status, s.last().Status)
		})
	}
	require.Empty(t, s.list.added())

	// Other parameters are left alone, and so are parameters of the type.
	r := request(http.MethodPost, formType+"; charset=utf-8", "x=1&x=2&"+form)
	require.Equal(t, http.StatusOK, s.serve(r).StatusCode)
	require.Len(t, s.list.added(), 1)
}

// req: BCL-10, BCL-14, W2-219
func TestWhatEnds(t *testing.T) {
	issued := begin.Add(-time.Minute)
	for _, tt := range []struct {
		name                             string
		claims                           m
		by                               backchannel.Target
		session, other, another, without bool // refused: alice's session 1, her session 2, session 1 of bob, her token without sid
	}{
		{name: "sid", claims: m{"sub": kit.Absent}, by: backchannel.BySession, session: true, another: true},
		{name: "sid and sub", by: backchannel.BySession, session: true, another: true},
		{name: "sub", claims: m{"sid": kit.Absent}, by: backchannel.BySubject, session: true, other: true, without: true},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			require.Equal(t, http.StatusOK, s.logout(tt.claims))
			require.Equal(t, tt.by, s.last().By)
			require.Equal(t, tt.session, s.refuses("alice", "session-1", issued), "the session")
			require.Equal(t, tt.other, s.refuses("alice", "session-2", issued), "another session of the user")
			require.Equal(t, tt.another, s.refuses("bob", "session-1", issued), "the session, of whomever")
			require.Equal(t, tt.without, s.refuses("alice", "", issued), "a token that does not say of what session it is")
			require.False(t, s.refuses("bob", "session-2", issued))
			require.Equal(t, backchannel.DefaultSource, s.list.added()[0][0].Source)
		})
	}
}

// A logout that is sent again ends no session that has begun since.
//
// req: BCL-09, BCL-10, W2-217
func TestReplay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t, func(c *backchannel.Config) { c.MaxRemembered = 1 })
		bySubject := s.sign(nil, m{"sid": kit.Absent, "exp": time.Now().Add(24 * time.Hour).Unix()})
		loggedOut := time.Now()
		for range 100 {
			require.Equal(t, http.StatusOK, s.send(bySubject))
		}
		require.Equal(t, backchannel.Repeated, s.last().Outcome)
		require.Len(t, s.list.added(), 1)
		require.Equal(t, 1, s.list.Status().Entries)

		time.Sleep(time.Second) // alice logs in again
		again := time.Now()
		require.True(t, s.refuses("alice", "session-1", loggedOut))
		require.False(t, s.refuses("alice", "session-2", again))
		require.Equal(t, http.StatusOK, s.logout(m{"jti": "id-2"})) // pushes the first out
		require.Equal(t, http.StatusOK, s.send(bySubject))
		require.Equal(t, backchannel.Revoked, s.last().Outcome, "it is forgotten")
		require.False(t, s.refuses("alice", "session-2", again))

		time.Sleep(time.Hour) // and so is every one after an hour
		require.Equal(t, http.StatusOK, s.send(bySubject))
		require.Equal(t, backchannel.Revoked, s.last().Outcome)
		require.False(t, s.refuses("alice", "session-2", again))
	})
}

// A provider whose clock is ahead logs out what it has issued, and nothing that is issued
// after the difference of clocks.
func TestClockAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		now := time.Now()
		s := newScene(t, func(c *backchannel.Config) { c.Leeway = time.Minute })
		require.Equal(t, http.StatusOK, s.logout(m{"sid": kit.Absent, "iat": now.Add(4 * time.Second).Unix()}))
		require.True(t, s.refuses("alice", "", now.Add(4*time.Second)))
		require.False(t, s.refuses("alice", "", now.Add(5*time.Second)))

		s = newScene(t, func(c *backchannel.Config) { c.Leeway = time.Minute })
		require.Equal(t, http.StatusOK, s.logout(m{"sid": kit.Absent, "iat": now.Add(50 * time.Second).Unix()}))
		require.True(t, s.refuses("alice", "", now.Add(50*time.Second)), "of before the logout, by the clock of the provider")
		require.False(t, s.refuses("alice", "", now.Add(51*time.Second)))
	})
}

func TestMap(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		now := time.Now().Truncate(time.Second)
		var got backchannel.Logout
		var entries []revocation.Entry
		var fails error
		s := newScene(t, func(c *backchannel.Config) {
			c.Source = "sso"
			c.Map = func(_ context.Context, l backchannel.Logout) ([]revocation.Entry, error) {
				got = l
				return entries, fails
			}
		})
		entries = []revocation.Entry{
			{Issuer: "https://v1.example.com/", Subject: "a", Before: now.Add(time.Hour)},
			{Issuer: kit.Issuer, Subject: "b", Tenant: "t", Before: now.Add(-time.Minute), Source: "mine"},
		}
		require.Equal(t, http.StatusOK, s.logout(m{"tenant": "t"}))
		require.JSONEq(t, `"t"`, string(mustMember(t, got.Raw, "tenant")))
		got.Raw = nil
		require.Equal(t, backchannel.Logout{Issuer: kit.Issuer, Subject: "alice", Session: "session-1", ID: "id-1", IssuedAt: now.UTC()}, got)
		entries[0].Before, entries[0].Source = now.UTC(), "sso"
		require.Equal(t, entries, s.list.added()[0])
		require.Equal(t, 2, s.last().Entries)

		require.Equal(t, http.StatusOK, s.logout(m{"jti": "of a user", "sid": kit.Absent}))
		require.Empty(t, got.Session)
		require.Equal(t, entries, s.list.added()[1])

		entries = nil
		require.Equal(t, http.StatusOK, s.logout(m{"jti": "id-2"}))
		require.Equal(t, backchannel.Discarded, s.last().Outcome)
		require.Len(t, s.list.added(), 2)

		fails = context.DeadlineExceeded
		require.Equal(t, http.StatusServiceUnavailable, s.logout(m{"jti": "id-3"}))
		s.requireFailed(backchannel.Failed, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		fails = bearergate.ErrForbidden
		require.Equal(t, http.StatusServiceUnavailable, s.logout(m{"jti": "id-3"}))
		fails = nil
		require.Equal(t, http.StatusOK, s.logout(m{"jti": "id-3"}), "what failed is not remembered")

		// What no List takes is the mistake of Map, and not of the logout token.
		entries = []revocation.Entry{{Subject: "alice"}} // no Issuer
		require.Equal(t, http.StatusInternalServerError, s.logout(m{"jti": "id-4"}))
		s.requireFailed(backchannel.Failed, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
		require.ErrorContains(t, s.last().Err, "Map")

		// That the List is down is not: the provider is to try again.
		entries = []revocation.Entry{{Issuer: kit.Issuer, Subject: "alice"}}
		s.list.failing(func(context.Context) error { return bearergate.ErrUnavailable })
		require.Equal(t, http.StatusServiceUnavailable, s.logout(m{"jti": "id-5"}))
		s.requireFailed(backchannel.Failed, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	})
}

// The provider is told in fixed words whose fault it is, and nothing of what is wrong.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, form string // default: a valid logout token
		claims     m
		fail       func(context.Context) error
		says       string
	}{
		{name: "no logout token", form: "x=1", says: `{"error":"invalid_request","error_description":"the request is not a back-channel logout"}`},
		{name: "a logout token that is not valid", claims: m{"nonce": "n"}, says: `{"error":"invalid_request","error_description":"the logout token is not valid"}`},
		{name: "the List is down", fail: func(context.Context) error { return bearergate.ErrUnavailable },
			says: `{"error":"temporarily_unavailable","error_description":"the logout could not be carried out: try again"}`},
		{name: "a mistake", fail: func(context.Context) error { return bearergate.ErrMisconfigured },
			says: `{"error":"server_error","error_description":"the logout could not be carried out"}`},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			s.list.failing(tt.fail)
			if tt.form == "" {
				tt.form = url.Values{"logout_token": {s.sign(nil, tt.claims)}}.Encode()
			}
			w := httptest.NewRecorder()
			s.h.ServeHTTP(w, request(http.MethodPost, formType, tt.form))
			require.JSONEq(t, tt.says, w.Body.String())
		})
	}
}

// How long it took is told, what the List took included.
func TestDuration(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.list.failing(func(context.Context) error { time.Sleep(time.Second); return nil })
		require.Equal(t, http.StatusOK, s.logout(nil))
		require.Equal(t, time.Second, s.last().Duration)
	})
}

// Whose logout it was is told of what was verified, also where it was not taken, and of
// nothing that anybody else has written.
func TestWhoseLogout(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		who := func() []string {
			e := s.last()
			return []string{string(e.Outcome), string(e.By), e.Subject, e.Session}
		}
		require.Equal(t, http.StatusOK, s.logout(nil))
		require.Equal(t, []string{"revoked", "session", "alice", "session-1"}, who())
		require.Equal(t, http.StatusOK, s.logout(nil))
		require.Equal(t, []string{"repeated", "session", "alice", "session-1"}, who())
		require.Equal(t, http.StatusOK, s.logout(m{"jti": "id-2", "sub": kit.Absent}))
		require.Equal(t, []string{"revoked", "session", "", "session-1"}, who())

		s.list.failing(func(context.Context) error { return context.DeadlineExceeded })
		require.Equal(t, http.StatusServiceUnavailable, s.logout(m{"jti": "id-3", "sid": kit.Absent}))
		require.Equal(t, []string{"failed", "subject", "alice", ""}, who())

		// A provider that does not wait for the list: nobody has acknowledged it.
		s.list.failing(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		form := url.Values{"logout_token": {s.sign(nil, m{"jti": "id-4"})}}.Encode()
		s.serve(request(http.MethodPost, formType, form).WithContext(ctx))
		require.Equal(t, []string{"failed", "session", "alice", "session-1"}, who())
		require.Equal(t, bearergate.ReasonCanceled, s.last().Reason)

		stranger := &scene{t: t, signer: kit.NewSigner(t, "ES256", "k")}
		for _, token := range []string{stranger.sign(nil, nil), s.sign(nil, m{"aud": "another"}), s.sign(nil, m{"nonce": "n"})} {
			require.Equal(t, http.StatusBadRequest, s.send(token))
			require.Equal(t, []string{"refused", "", "", ""}, who())
		}
	})
}
