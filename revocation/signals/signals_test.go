package signals_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// A valid SET and one change.
//
// req: R8417-01, R8417-02, R8935-03, R8935-04, SSF-01, SSF-02, SSF-03, SSF-04, SSF-05, SSF-06, SSF-09, SSF-10, W2-221
func TestSETs(t *testing.T) {
	now := begin.Unix()
	const (
		request  = "invalid_request"
		key      = "invalid_key"
		issuer   = "invalid_issuer"
		audience = "invalid_audience"
	)
	rs256 := func(c *signals.Config) { c.Algorithms = []string{"RS256"} }
	for _, tt := range []struct {
		name           string
		header, claims m
		config         func(*signals.Config)
		code           string // "": acknowledged
		reason         bearergate.Reason
	}{
		{name: "SSF-01 as it should be"},
		{name: "SSF-01 typ in full", header: m{"typ": "application/secevent+jwt"}},
		{name: "SSF-01 typ JWT", header: m{"typ": "JWT"}, code: request, reason: bearergate.ReasonType},
		{name: "SSF-01 no typ", header: m{"typ": kit.Absent}, code: request, reason: bearergate.ReasonType},
		{name: "SSF-01 typ at+jwt", header: m{"typ": "at+jwt"}, code: request, reason: bearergate.ReasonType},
		{name: "SSF-01 typ logout+jwt", header: m{"typ": "logout+jwt"}, code: request, reason: bearergate.ReasonType},
		{name: "alg none", header: m{"alg": "none"}, code: key, reason: bearergate.ReasonAlgorithm},
		{name: "alg not allowed", config: rs256, code: key, reason: bearergate.ReasonAlgorithm},
		{name: "unknown kid", header: m{"kid": "x"}, code: key, reason: bearergate.ReasonUnknownKey},
		{name: "crit", header: m{"crit": []string{"x"}}, code: request, reason: bearergate.ReasonMalformed},

		{name: "SSF-02 sub", claims: m{"sub": "alice"}, code: request, reason: bearergate.ReasonMalformed},
		{name: "SSF-02 sub empty", claims: m{"sub": ""}, code: request, reason: bearergate.ReasonMalformed},
		{name: "SSF-02 sub null is none", claims: m{"sub": nil}},
		{name: "SSF-03 exp", claims: m{"exp": now + 60}, code: request, reason: bearergate.ReasonMalformed},
		{name: "SSF-03 exp null is none", claims: m{"exp": nil}},
		{name: "SSF-04 another iss", claims: m{"iss": "https://x.example/"}, code: issuer, reason: bearergate.ReasonIssuer},
		{name: "SSF-04 iss without its slash", claims: m{"iss": strings.TrimSuffix(kit.Issuer, "/")}, code: issuer, reason: bearergate.ReasonIssuer},
		{name: "SSF-05 aud in an array", claims: m{"aud": []string{"x", "https://rs.example.com/signals"}}},
		{name: "SSF-05 another aud", claims: m{"aud": "x"}, code: audience, reason: bearergate.ReasonAudience},
		{name: "SSF-05 aud of the API", claims: m{"aud": kit.Audience}, code: audience, reason: bearergate.ReasonAudience},
		{name: "SSF-05 no aud", claims: m{"aud": kit.Absent}, code: request, reason: bearergate.ReasonMissingClaim},

		{name: "R8417-01 no iss", claims: m{"iss": kit.Absent}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "R8417-01 no iat", claims: m{"iat": kit.Absent}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "R8417-01 iat text", claims: m{"iat": "1"}, code: request, reason: bearergate.ReasonMalformed},
		{name: "R8417-01 iat within the leeway", claims: m{"iat": now + 5}},
		{name: "R8417-01 iat in the future", claims: m{"iat": now + 6}, code: request, reason: bearergate.ReasonNotYetValid},
		{name: "R8417-01 no jti", claims: m{"jti": kit.Absent}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "R8417-01 jti number", claims: m{"jti": 1}, code: request, reason: bearergate.ReasonMalformed},
		{name: "R8417-01 no events", claims: m{"events": kit.Absent}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "R8417-01 events {}", claims: m{"events": m{}}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "R8417-01 events []", claims: m{"events": []any{}}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "R8417-01 events [{}]", claims: m{"events": []any{m{}}}, code: request, reason: bearergate.ReasonMalformed},
		{name: "R8417-01 an event null", claims: m{"events": m{signals.SessionRevoked: nil}}, code: request, reason: bearergate.ReasonMalformed},
		{name: "R8417-01 an event text", claims: m{"events": m{signals.SessionRevoked: "{}"}}, code: request, reason: bearergate.ReasonMalformed},
		{name: "SSF-09 two events", claims: m{"events": m{signals.SessionRevoked: m{}, signals.AccountDisabled: m{}}}, code: request, reason: bearergate.ReasonMalformed},
		{name: "SSF-10 unknown claims", claims: m{"x": 1, "txn": "t", "toe": now, "cnf": nil, "events": events(signals.SessionRevoked, m{"x": 1, "reason_admin": m{"en": "x"}})}},

		{name: "SSF-06 no sub_id", claims: m{"sub_id": kit.Absent}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "SSF-06 sub_id text", claims: m{"sub_id": "alice"}, code: request, reason: bearergate.ReasonMalformed},
		{name: "SSF-06 the subject in the event alone", claims: m{"sub_id": kit.Absent, "events": events(signals.SessionRevoked, m{"subject": alice()})}, code: request, reason: bearergate.ReasonMissingClaim},
		{name: "SSF-06 the same subject in the event", claims: m{"events": events(signals.SessionRevoked, m{"subject": alice()})}},
		{name: "SSF-06 another subject in the event", claims: m{"events": events(signals.SessionRevoked, m{"subject": opaque("x")})}, code: request, reason: bearergate.ReasonMalformed},
		{name: "SSF-06 a subject in the event that is none", claims: m{"events": events(signals.SessionRevoked, m{"subject": "alice"})}, code: request, reason: bearergate.ReasonMalformed},

		{name: "R8417-02 an access token", header: m{"typ": "at+jwt"}, claims: m{"events": kit.Absent, "sub": "alice", "exp": now + 60}, code: request, reason: bearergate.ReasonType},
		{name: "R8417-02 a logout token", header: m{"typ": "logout+jwt"}, claims: m{"events": m{"http://schemas.openid.net/event/backchannel-logout": m{}}}, code: request, reason: bearergate.ReasonType},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			change := func(*signals.Config) {}
			if tt.config != nil {
				change = tt.config
			}
			s := newScene(t, change)
			if tt.code != "" {
				s.requireRefused(tt.header, tt.claims, http.StatusBadRequest, tt.code, bearergate.ErrInvalidToken, tt.reason)
				require.Empty(t, s.list.added())
				return
			}
			status, _ := s.send(s.sign(tt.header, tt.claims))
			e := s.last()
			require.Equal(t, http.StatusAccepted, status, "%v", e.Err)
			require.Equal(t, signals.ReceivedEvent{Issuer: kit.Issuer, Type: signals.SessionRevoked, ID: `"id-1"`, Outcome: signals.Revoked, Entries: 1, Status: 202, Duration: e.Duration}, e)
			require.Len(t, s.list.added(), 1)
		})
	}
}

// A SET that somebody else has signed.
func TestForged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, other := newScene(t), newScene(t)
		status, code := s.send(other.sign(nil, nil))
		require.Equal(t, http.StatusBadRequest, status)
		require.Equal(t, "invalid_key", code)
		kit.RequireError(t, s.last().Err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		status, code = s.send("no SET")
		require.Equal(t, http.StatusBadRequest, status)
		require.Equal(t, "invalid_request", code)
		require.Empty(t, s.list.added())
	})
}

// req: R8935-01, R8935-07, W2-223
func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		body   string // instead of a valid SET
		status int    // 202: taken
		reason bearergate.Reason
	}{
		{name: "as it should be", status: 202},
		{name: "parameters of the type", change: func(r *http.Request) { r.Header.Set("Content-Type", "Application/SecEvent+JWT; x=1") }, status: 202},
		{name: "GET", change: func(r *http.Request) { r.Method = http.MethodGet }, status: 405, reason: bearergate.ReasonBadRequest},
		{name: "JSON", change: func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "a form", change: func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "no type", change: func(r *http.Request) { r.Header.Del("Content-Type") }, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "compressed", change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, status: 400, reason: bearergate.ReasonBadRequest},
		{name: "65 KiB", body: strings.Repeat("x", 65<<10), status: 413, reason: bearergate.ReasonTooLarge},
		{name: "65 KiB in pieces", body: strings.Repeat("x", 65<<10), change: func(r *http.Request) { r.ContentLength = -1 }, status: 413, reason: bearergate.ReasonTooLarge},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			body := tt.body
			if body == "" {
				body = s.sign(nil, nil)
			}
			r := request(http.MethodPost, body)
			if tt.change != nil {
				tt.change(r)
			}
			status, code, header := s.serve(r)
			require.Equal(t, tt.status, status)
			if tt.status == http.StatusAccepted {
				require.Len(t, s.list.added(), 1)
				return
			}
			require.Equal(t, "invalid_request", code)
			kit.RequireError(t, s.last().Err, bearergate.ErrInvalidRequest, tt.reason)
			require.Equal(t, tt.status == 405, header.Get("Allow") == "POST")
			require.Empty(t, s.list.added())
		})
	}
	inBubble(t, "empty body", func(t *testing.T) {
		s := newScene(t)
		status, code, _ := s.serve(request(http.MethodPost, ""))
		require.Equal(t, http.StatusBadRequest, status)
		require.Equal(t, "invalid_request", code)
	})
}

// What each event and each subject revokes.
//
// req: SSF-07, SSF-08, SSF-13, CAEP-01, CAEP-03, CAEP-04, CAEP-05, RISC-01, RISC-02, R9493-01, W2-224, W2-225, W2-226, W2-228
func TestSubjects(t *testing.T) {
	const other = "https://other.example.com/"
	foreign := m{"format": "iss_sub", "iss": "https://x.example/", "sub": "alice"}
	email := m{"format": "email", "email": "alice@example.com"}
	device := m{"format": "opaque", "id": "device-1"}
	entry := func(e revocation.Entry) revocation.Entry {
		e.Source = "signals"
		if e.Issuer == "" {
			e.Issuer = kit.Issuer
		}
		return e
	}
	userAlice := entry(revocation.Entry{Subject: "alice"})
	two := func(c *signals.Config) { c.TokenIssuers = []string{kit.Issuer, other} }
	critical := func(names ...string) func(*signals.Config) {
		return func(c *signals.Config) { c.CriticalMembers = names }
	}
	ignore := func(names ...string) func(*signals.Config) {
		return func(c *signals.Config) { c.IgnoreMembers = names }
	}
	revoke := func(uris ...string) func(*signals.Config) {
		return func(c *signals.Config) {
			c.Revoke = map[string]func(signals.Event) bool{}
			for _, uri := range uris {
				c.Revoke[uri] = nil
			}
		}
	}
	const risc = "https://schemas.openid.net/secevent/risc/event-type/"
	for _, tt := range []struct {
		name    string
		event   string // default: session-revoked
		unknown bool   // its URI is not one of those that fit for metrics
		payload m
		subject any // default: alice
		config  func(*signals.Config)

		entry revocation.Entry // what is revoked; zero: nothing
		why   signals.Why      // it is discarded
		part  [2]string        // Member and Format of that
		code  string           // it is refused
	}{
		{name: "CAEP-01 iss_sub", entry: userAlice},
		{name: "CAEP-01 opaque", subject: opaque("s1"), entry: entry(revocation.Entry{Session: "s1"})},
		{name: "a member that is null is none", subject: m{"format": "iss_sub", "iss": kit.Issuer, "sub": "alice", "x": nil}, entry: userAlice},
		{name: "jwt_id", subject: m{"format": "jwt_id", "iss": kit.Issuer, "jti": "j1"}, entry: entry(revocation.Entry{TokenID: "j1"})},
		{name: "W2-228 iss_sub of another issuer", subject: foreign, code: "access_denied"},
		{name: "W2-228 jwt_id of another issuer", subject: m{"format": "jwt_id", "iss": other, "jti": "j1"}, code: "access_denied"},
		{name: "iss_sub of a second issuer", subject: m{"format": "iss_sub", "iss": other, "sub": "bob"}, config: two, entry: entry(revocation.Entry{Issuer: other, Subject: "bob"})},
		{name: "TokenIssuers replace Issuer", config: func(c *signals.Config) { c.TokenIssuers = []string{other} }, code: "access_denied"},
		{name: "opaque, of one of two issuers", subject: opaque("s1"), config: two, why: signals.WhyIssuer, part: [2]string{"", "opaque"}},
		{name: "opaque, and the user says of which", subject: complexOf(m{"session": opaque("s1"), "user": m{"format": "iss_sub", "iss": other, "sub": "bob"}}), config: two, entry: entry(revocation.Entry{Issuer: other, Session: "s1"})},
		{name: "SSF-13 a subject that nobody knows", subject: m{"format": "iss_sub", "iss": kit.Issuer, "sub": "nobody"}, entry: entry(revocation.Entry{Subject: "nobody"})},

		{name: "SSF-07 email", subject: email, why: signals.WhySubject, part: [2]string{"", "email"}},
		{name: "SSF-07 phone_number", subject: m{"format": "phone_number", "phone_number": "+1"}, why: signals.WhySubject, part: [2]string{"", "phone_number"}},
		{name: "SSF-07 account", subject: m{"format": "account", "uri": "acct:a@example.com"}, why: signals.WhySubject, part: [2]string{"", "account"}},
		{name: "SSF-07 uri", subject: m{"format": "uri", "uri": "urn:x"}, why: signals.WhySubject, part: [2]string{"", "uri"}},
		{name: "SSF-07 did", subject: m{"format": "did", "url": "did:x:1"}, why: signals.WhySubject, part: [2]string{"", "did"}},
		{name: "SSF-07 saml_assertion_id", subject: m{"format": "saml_assertion_id", "issuer": "i", "assertion_id": "a"}, why: signals.WhySubject, part: [2]string{"", "saml_assertion_id"}},
		{name: "SSF-07 ip-addresses", subject: m{"format": "ip-addresses", "ip-addresses": []string{"192.0.2.1"}}, why: signals.WhySubject, part: [2]string{"", "ip-addresses"}},
		{name: "SSF-07 ip-addresses without them", subject: m{"format": "ip-addresses"}, code: "invalid_request"},
		{name: "aliases, and one that is malformed", subject: m{"format": "aliases", "identifiers": []any{alice(), m{"format": "email"}}}, code: "invalid_request"},
		{name: "R9493-01 unknown format", subject: m{"format": "passkey", "id": "x"}, why: signals.WhySubject, part: [2]string{"", "other"}},
		{name: "R9493-01 no format", subject: m{"iss": kit.Issuer, "sub": "alice"}, code: "invalid_request"},
		{name: "R9493-01 format number", subject: m{"format": 1, "sub": "alice"}, code: "invalid_request"},
		{name: "R9493-01 iss_sub without sub", subject: m{"format": "iss_sub", "iss": kit.Issuer}, code: "invalid_request"},
		{name: "R9493-01 sub empty", subject: m{"format": "iss_sub", "iss": kit.Issuer, "sub": ""}, code: "invalid_request"},
		{name: "R9493-01 sub number", subject: m{"format": "iss_sub", "iss": kit.Issuer, "sub": 1}, code: "invalid_request"},
		{name: "R9493-01 a member of another format", subject: m{"format": "iss_sub", "iss": kit.Issuer, "sub": "alice", "client_id": "c"}, why: signals.WhySubject, part: [2]string{"", "iss_sub"}},

		{name: "aliases: the one that means something", subject: m{"format": "aliases", "identifiers": []any{email, foreign, alice()}}, entry: userAlice},
		{name: "aliases: none means anything", subject: m{"format": "aliases", "identifiers": []any{email, foreign}}, why: signals.WhySubject, part: [2]string{"", "aliases"}},
		{name: "aliases: an opaque one is no session", subject: m{"format": "aliases", "identifiers": []any{opaque("s1")}}, why: signals.WhySubject, part: [2]string{"", "aliases"}},
		{name: "aliases: empty", subject: m{"format": "aliases", "identifiers": []any{}}, code: "invalid_request"},
		{name: "aliases: none", subject: m{"format": "aliases"}, code: "invalid_request"},
		{name: "aliases: of aliases", subject: m{"format": "aliases", "identifiers": []any{m{"format": "aliases", "identifiers": []any{alice()}}}}, code: "invalid_request"},
		{name: "aliases: of complex ones", subject: m{"format": "aliases", "identifiers": []any{complexOf(m{"user": alice()})}}, code: "invalid_request"},
		{name: "aliases: and something else", subject: m{"format": "aliases", "identifiers": []any{alice()}, "x": 1}, code: "invalid_request"},
		{name: "aliases: of a tenant", subject: complexOf(m{"tenant": m{"format": "aliases", "identifiers": []any{email, opaque("t1")}}}), entry: entry(revocation.Entry{Tenant: "t1"})},
		{name: "aliases: 32", subject: m{"format": "aliases", "identifiers": slices.Repeat([]any{alice()}, 32)}, entry: userAlice},
		{name: "aliases: 33", subject: m{"format": "aliases", "identifiers": slices.Repeat([]any{alice()}, 33)}, code: "invalid_request"},
		{name: "aliases: of a user", subject: complexOf(m{"user": m{"format": "aliases", "identifiers": []any{email, alice()}}}), entry: userAlice},

		{name: "complex: a user", subject: complexOf(m{"user": alice()}), entry: userAlice},
		{name: "complex: a session", subject: complexOf(m{"session": opaque("s1")}), entry: entry(revocation.Entry{Session: "s1"})},
		{name: "W2-226 user and session", subject: complexOf(m{"user": alice(), "session": opaque("s1")}), entry: entry(revocation.Entry{Session: "s1"})},
		{name: "W2-226 user by email, and session", subject: complexOf(m{"user": email, "session": opaque("s1")}), entry: entry(revocation.Entry{Session: "s1"})},
		{name: "W2-228 session, and a user of another issuer", subject: complexOf(m{"user": foreign, "session": opaque("s1")}), code: "access_denied"},
		{name: "session and application", subject: complexOf(m{"application": opaque("web"), "session": opaque("s1"), "tenant": opaque("t1")}), entry: entry(revocation.Entry{Session: "s1", Client: "web"})},
		{name: "session, and an application that nobody knows: never the session alone", subject: complexOf(m{"application": m{"format": "uri", "uri": "urn:x"}, "session": opaque("s1")}), why: signals.WhySubject, part: [2]string{"application", "uri"}},
		{name: "user, application and tenant", subject: complexOf(m{"user": alice(), "application": opaque("web"), "tenant": opaque("t1")}), entry: entry(revocation.Entry{Subject: "alice", Client: "web", Tenant: "t1"})},
		{name: "a tenant", subject: complexOf(m{"tenant": opaque("t1")}), entry: entry(revocation.Entry{Tenant: "t1"})},
		{name: "a user by opaque ID", subject: complexOf(m{"user": opaque("u1")}), why: signals.WhySubject, part: [2]string{"user", "opaque"}},
		{name: "a session by something else, and a user", subject: complexOf(m{"user": alice(), "session": email}), why: signals.WhySubject, part: [2]string{"session", "email"}},
		{name: "W2-225 user and device: never the user alone", subject: complexOf(m{"user": alice(), "device": device}), why: signals.WhySubject, part: [2]string{"device", "opaque"}},
		{name: "W2-225 user and an unknown member", subject: complexOf(m{"user": alice(), "color": device}), why: signals.WhySubject, part: [2]string{"other", "opaque"}},
		{name: "W2-225 session and device", subject: complexOf(m{"session": opaque("s1"), "device": device}), entry: entry(revocation.Entry{Session: "s1"})},
		{name: "SSF-08 session and device, which is critical", subject: complexOf(m{"session": opaque("s1"), "device": device}), config: critical("device"), why: signals.WhyCritical, part: [2]string{"device", "opaque"}},
		{name: "SSF-08 user, and an unknown member that is critical", subject: complexOf(m{"user": alice(), "color": device}), config: critical("color"), why: signals.WhyCritical, part: [2]string{"other", "opaque"}},
		{name: "SSF-08 user, which is critical", subject: complexOf(m{"user": alice()}), config: critical("user", "device"), entry: userAlice},
		{name: "IgnoreMembers: user and device", subject: complexOf(m{"user": alice(), "device": device}), config: ignore("device"), entry: userAlice},
		{name: "IgnoreMembers: a device of a tenant is not the tenant", subject: complexOf(m{"tenant": opaque("t1"), "device": device}), config: ignore("device"), why: signals.WhySubject, part: [2]string{"device", "opaque"}},
		{name: "IgnoreMembers: a device with an application is not the application", subject: complexOf(m{"application": opaque("web"), "device": device}), config: ignore("device"), why: signals.WhySubject, part: [2]string{"device", "opaque"}},
		{name: "IgnoreMembers: session and device", subject: complexOf(m{"session": opaque("s1"), "device": device}), config: ignore("device"), entry: entry(revocation.Entry{Session: "s1"})},
		{name: "IgnoreMembers: token and device", subject: complexOf(m{"session": m{"format": "jwt_id", "iss": kit.Issuer, "jti": "j"}, "device": device}), config: ignore("device"), entry: entry(revocation.Entry{TokenID: "j"})},
		{name: "IgnoreMembers: device alone", subject: complexOf(m{"device": device}), config: ignore("device"), why: signals.WhySubject, part: [2]string{"", "complex"}},
		{name: "a tenant by iss_sub", subject: complexOf(m{"user": alice(), "tenant": m{"format": "iss_sub", "iss": kit.Issuer, "sub": "alice"}}), why: signals.WhySubject, part: [2]string{"tenant", "iss_sub"}},
		{name: "a device by jwt_id", subject: complexOf(m{"user": alice(), "device": m{"format": "jwt_id", "iss": kit.Issuer, "jti": "j"}}), why: signals.WhySubject, part: [2]string{"device", "jwt_id"}},
		{name: "a session by jwt_id", subject: complexOf(m{"user": alice(), "session": m{"format": "jwt_id", "iss": kit.Issuer, "jti": "j"}}), entry: entry(revocation.Entry{Subject: "alice", TokenID: "j"})},
		{name: "a session of an application that nobody knows, and a device", subject: complexOf(m{"session": opaque("s1"), "application": email, "device": device}), why: signals.WhySubject, part: [2]string{"application", "email"}},
		{name: "complex: a member without a name is no session", subject: complexOf(m{"": opaque("s1")}), why: signals.WhySubject, part: [2]string{"", "opaque"}},
		{name: "complex: 33 members", subject: many(33), code: "invalid_request"},
		{name: "complex: 32 members", subject: many(32), why: signals.WhySubject, part: [2]string{"other", "opaque"}},
		{name: "complex: nothing", subject: complexOf(m{}), code: "invalid_request"},
		{name: "complex: a null is none", subject: complexOf(m{"user": alice(), "device": nil}), entry: userAlice},
		{name: "complex: of complex ones", subject: complexOf(m{"user": complexOf(m{"user": alice()})}), code: "invalid_request"},
		{name: "complex: a member that is none", subject: complexOf(m{"user": "alice"}), code: "invalid_request"},

		{name: "RISC-01 account-disabled", event: signals.AccountDisabled, payload: m{"reason": "hijacking"}, entry: userAlice},
		{name: "RISC-01 account-purged", event: signals.AccountPurged, entry: userAlice},
		{name: "RISC-01 sessions-revoked", event: signals.SessionsRevoked, entry: userAlice},
		{name: "RISC-01 credential-compromise", event: signals.CredentialCompromise, payload: m{"credential_type": "password"}, entry: userAlice},
		{name: "RISC-01 an opaque account is no session", event: signals.AccountDisabled, subject: opaque("u1"), why: signals.WhySubject, part: [2]string{"", "opaque"}},
		{name: "RISC-01 account-enabled", unknown: true, event: risc + "account-enabled", why: signals.WhyType},
		{name: "RISC-02 identifier-changed", unknown: true, event: risc + "identifier-changed", why: signals.WhyType},
		{name: "RISC-02 identifier-recycled", unknown: true, event: risc + "identifier-recycled", subject: email, why: signals.WhyType},
		{name: "W2-224 an unknown event", unknown: true, event: "https://example.com/event", why: signals.WhyType},
		{name: "an event in capitals", unknown: true, event: strings.ToUpper(signals.SessionRevoked), why: signals.WhyType},

		{name: "CAEP-03 token-claims-change", event: signals.TokenClaimsChange, payload: m{"claims": m{"role": "x"}}, why: signals.WhyType},
		{name: "CAEP-03 token-claims-change, wanted", event: signals.TokenClaimsChange, payload: m{"claims": m{"role": "x"}}, config: revoke(signals.TokenClaimsChange), entry: userAlice},
		{name: "CAEP-04 credential-change", event: signals.CredentialChange, payload: m{"change_type": "revoke"}, why: signals.WhyType},
		{name: "CAEP-04 credential-change revoke, wanted", event: signals.CredentialChange, payload: m{"change_type": "revoke"}, config: revoke(signals.CredentialChange), entry: userAlice},
		{name: "CAEP-04 credential-change delete, wanted", event: signals.CredentialChange, payload: m{"change_type": "delete"}, config: revoke(signals.CredentialChange), entry: userAlice},
		{name: "CAEP-04 credential-change create", event: signals.CredentialChange, payload: m{"change_type": "create"}, config: revoke(signals.CredentialChange), why: signals.WhyDecision},
		{name: "CAEP-04 device-compliance-change, wanted", event: signals.DeviceComplianceChange, payload: m{"current_status": "not-compliant"}, config: revoke(signals.DeviceComplianceChange), entry: userAlice},
		{name: "CAEP-04 a device complies", event: signals.DeviceComplianceChange, payload: m{"current_status": "compliant"}, config: revoke(signals.DeviceComplianceChange), why: signals.WhyDecision},
		{name: "CAEP-04 assurance-level-change, wanted", event: signals.AssuranceLevelChange, payload: m{"change_direction": "decrease"}, config: revoke(signals.AssuranceLevelChange), entry: userAlice},
		{name: "CAEP-04 assurance rises", event: signals.AssuranceLevelChange, payload: m{"change_direction": "increase"}, config: revoke(signals.AssuranceLevelChange), why: signals.WhyDecision},
		{name: "CAEP-04 risk-level-change, wanted", event: signals.RiskLevelChange, payload: m{"current_level": "HIGH"}, config: revoke(signals.RiskLevelChange), entry: userAlice},
		{name: "CAEP-04 risk is low", event: signals.RiskLevelChange, payload: m{"current_level": "LOW"}, config: revoke(signals.RiskLevelChange), why: signals.WhyDecision},
		{name: "CAEP-04 a level that is no text", event: signals.RiskLevelChange, payload: m{"current_level": []string{"HIGH"}}, config: revoke(signals.RiskLevelChange), why: signals.WhyDecision},
		{name: "session-revoked by the map", config: revoke(signals.SessionRevoked), entry: userAlice},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			change := func(*signals.Config) {}
			if tt.config != nil {
				change = tt.config
			}
			s := newScene(t, change)
			if tt.subject == nil {
				tt.subject = alice()
			}
			if tt.event == "" {
				tt.event = signals.SessionRevoked
			}
			claims := m{"sub_id": tt.subject, "events": events(tt.event, tt.payload)}
			typeName := tt.event
			if tt.unknown {
				typeName = "other"
			}
			switch {
			case tt.code != "":
				reason := bearergate.ReasonMalformed
				if tt.code == "access_denied" {
					reason = bearergate.ReasonIssuer
				}
				s.requireRefused(nil, claims, http.StatusBadRequest, tt.code, bearergate.ErrInvalidToken, reason)
				require.Empty(t, s.list.added())
				require.Empty(t, told(s, &s.discarded))
			case tt.why != "":
				s.requireTaken(signals.Discarded, claims)
				require.Empty(t, s.list.added())
				discarded := told(s, &s.discarded)
				require.Len(t, discarded, 1)
				require.Contains(t, discarded[0].Found, tt.event)
				discarded[0].Found = ""
				require.Equal(t, signals.DiscardedEvent{Issuer: kit.Issuer, Type: typeName, Why: tt.why, Member: tt.part[0], Format: tt.part[1], ID: `"id-1"`}, discarded[0])
				require.Equal(t, typeName, s.last().Type)
			default:
				s.requireTaken(signals.Revoked, claims)
				require.Empty(t, told(s, &s.discarded))
				tt.entry.Before = begin
				require.Equal(t, []revocation.Entry{tt.entry}, s.list.added())
			}
		})
	}
}

// Operators are told what stood there, where metrics have "other".
func TestDiscardedTellsWhatWasFound(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.requireTaken(signals.Discarded, m{"sub_id": complexOf(m{"user": alice(), "color": m{"format": "passkey", "id": "x"}})})
		require.Equal(t, signals.DiscardedEvent{Issuer: kit.Issuer, Type: signals.SessionRevoked, Why: signals.WhySubject, Member: "other", Format: "other", ID: `"id-1"`,
			Found: `"` + signals.SessionRevoked + `" "color" "passkey"`}, told(s, &s.discarded)[0])
	})
}

// What is discarded is acknowledged also where nobody listens.
func TestDiscardedWithoutAHook(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t, func(c *signals.Config) { c.Hooks.Discarded = nil })
		s.requireTaken(signals.Discarded, m{"sub_id": m{"format": "email", "email": "alice@example.com"}})
		require.Empty(t, told(s, &s.panicked))
	})
}

// many is a complex subject of n members.
func many(n int) m {
	members := m{}
	for i := range n {
		members["x"+strconv.Itoa(i)] = opaque("x")
	}
	return complexOf(members)
}

// What a token says decides which ones end.
func TestWhatEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		before := time.Now().Add(-time.Minute)
		s.requireTaken(signals.Revoked, m{"sub_id": complexOf(m{"user": alice(), "session": opaque("s1")})})
		require.True(t, s.refuses("alice", "s1", before))
		require.False(t, s.refuses("alice", "s2", before))
		s.requireTaken(signals.Revoked, m{"jti": "id-2"})
		require.True(t, s.refuses("alice", "s2", before))
		require.False(t, s.refuses("bob", "s2", before))
	})
}

// The cut-off is when the event happened.
//
// req: CAEP-02
func TestTimestamps(t *testing.T) {
	now := begin.Unix()
	for _, tt := range []struct {
		name   string
		iat    int64
		at     any // event_timestamp; nil: none
		cutOff int64
	}{
		{name: "iat", iat: now - 10, cutOff: now - 10},
		{name: "event_timestamp", iat: now - 10, at: now - 100, cutOff: now - 100},
		{name: "a fraction", iat: now - 10, at: float64(now) - 99.5, cutOff: now - 100},
		{name: "a little later than iat", iat: now - 10, at: now - 6, cutOff: now - 6},
		{name: "later than iat", iat: now - 10, at: now, cutOff: now - 5},
		{name: "in the far future", iat: now, at: now + 1000, cutOff: now + 5},
		{name: "iat of a clock that is ahead", iat: now + 4, cutOff: now + 4},
		{name: "iat ahead, and the event too", iat: now + 4, at: now + 8, cutOff: now + 8},
		{name: "iat ahead, and the event by far", iat: now + 4, at: now + 10, cutOff: now + 9},
		{name: "in milliseconds", iat: now - 10, at: now * 1000, cutOff: now - 10},
		{name: "a zero that nobody has set", iat: now - 10, at: 0, cutOff: now - 10},
		{name: "text", iat: now - 10, at: "1", cutOff: now - 10},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newScene(t)
			s.requireTaken(signals.Revoked, m{"iat": tt.iat, "events": events(signals.SessionRevoked, m{"event_timestamp": tt.at})})
			require.Equal(t, tt.cutOff, s.list.added()[0].Before.Unix())
		})
	}
}

// req: R8935-06
func TestSentAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t, func(c *signals.Config) { c.MaxRemembered = 1 })
		set := s.sign(nil, nil)
		issued := time.Now()
		s.send(set)
		time.Sleep(time.Second)
		again := time.Now()
		for range 100 {
			status, _ := s.send(set)
			require.Equal(t, http.StatusAccepted, status)
			require.Equal(t, signals.Repeated, s.last().Outcome)
		}
		require.Len(t, s.list.added(), 1)
		require.True(t, s.refuses("alice", "", issued))
		require.False(t, s.refuses("alice", "", again), "a session that has begun since")

		s.requireTaken(signals.Discarded, m{"jti": "id-2", "events": events("https://example.com/event", nil)}) // pushes the first out
		s.requireTaken(signals.Repeated, m{"jti": "id-2"})
		require.Len(t, told(s, &s.discarded), 1)
		s.send(set)
		require.Equal(t, signals.Revoked, s.last().Outcome)
		require.False(t, s.refuses("alice", "", again))
	})
}

// Which SET it was is told of what was verified, also where it was not taken: by its ID, the
// transmitter can be asked for it again.
func TestWhichSET(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.requireTaken(signals.Revoked, nil)
		require.Equal(t, `"id-1"`, s.last().ID)
		s.requireTaken(signals.Repeated, nil)
		require.Equal(t, `"id-1"`, s.last().ID)
		s.list.failing(func(context.Context) error { return context.DeadlineExceeded })
		s.requireRefused(nil, m{"jti": "\n" + strings.Repeat("x", 1000)}, http.StatusServiceUnavailable, "", bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		require.Equal(t, `"\n`+strings.Repeat("x", 127)+`"…`, s.last().ID)
		require.Equal(t, signals.SessionRevoked, s.last().Type)

		stranger := &scene{t: t, signer: kit.NewSigner(t, "ES256", "k")}
		for _, set := range []string{stranger.sign(nil, nil), s.sign(nil, m{"aud": "another"}), s.sign(nil, m{"exp": 1})} {
			status, _ := s.send(set)
			require.Equal(t, http.StatusBadRequest, status)
			require.Empty(t, s.last().ID)
			require.Empty(t, s.last().Type)
		}
	})
}

// How long it took is told, what the List took included.
func TestDuration(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.list.failing(func(context.Context) error { time.Sleep(time.Second); return nil })
		s.requireTaken(signals.Revoked, nil)
		require.Equal(t, time.Second, s.last().Duration)
	})
}
