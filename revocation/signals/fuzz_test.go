package signals_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

const (
	goodHeader = `{"alg":"ES256","kid":"k","typ":"secevent+jwt"}`
	goodClaims = `{"iss":"https://as.example.com/","aud":"https://rs.example.com/signals","jti":"i","iat":1000000000,` +
		`"sub_id":{"format":"iss_sub","iss":"https://as.example.com/","sub":"alice"},` +
		`"events":{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{"event_timestamp":999999999}}}`
)

// FuzzSET signs any header and any claims with the right key. What is taken says the same to
// encoding/json.
func FuzzSET(f *testing.F) {
	signer := newScene(f).signer
	f.Add(goodHeader, goodClaims)
	f.Add(strings.Replace(goodHeader, "typ", `t\u0079p`, 1), strings.Replace(goodClaims, "{", `{"sub":null,"exp":null,"x":[{}],`, 1))
	f.Add(goodHeader, strings.Replace(goodClaims, `{"event`, `{"subject":{"sub":"alice","iss":"https://as.example.com/","format":"iss_sub"},"event`, 1))
	f.Add(goodHeader, strings.Replace(goodClaims, `"format":"iss_sub"`, `"format":"complex"`, 1))
	f.Add(goodHeader, strings.Replace(goodClaims, "{", `{"SUB":"x","Exp":1,`, 1))
	f.Add(goodHeader, strings.Replace(goodClaims, "caep/event-type/session-revoked", "ssf/event-type/verification", 1))
	f.Fuzz(func(t *testing.T, header, claims string) {
		l := newList(t)
		s := newSceneOf(t, signer, l)
		set, err := jose.Sign(signer.Alg, signer.Key, []byte(header), []byte(claims))
		require.NoError(t, err)
		if status, _ := s.send(set); status != http.StatusAccepted {
			require.Empty(t, l.added())
			return
		}
		var c map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(claims), &c))
		for _, name := range []string{"sub", "exp"} {
			if value, occurs := c[name]; occurs {
				require.Equal(t, "null", string(value))
			}
		}
		var events map[string]map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(c["events"], &events))
		require.Len(t, events, 1)
		for uri := range events {
			switch s.last().Outcome {
			case signals.Revoked:
				require.Contains(t, []string{signals.SessionRevoked, signals.AccountDisabled, signals.AccountPurged, signals.SessionsRevoked, signals.CredentialCompromise}, uri)
				require.Len(t, l.added(), 1)
			case signals.Discarded:
				require.Len(t, told(s, &s.discarded), 1)
				require.Empty(t, l.added())
			default:
				require.Contains(t, []string{verification, streamUpdated}, uri)
				require.Empty(t, l.added())
			}
		}
	})
}

// FuzzSubject revokes any subject: what is revoked is never more than it says.
func FuzzSubject(f *testing.F) {
	signer := newScene(f).signer
	for _, subject := range []any{
		alice(), opaque("s1"), m{"format": "jwt_id", "iss": kit.Issuer, "jti": "j"}, m{"format": "email", "email": "e"},
		m{"format": "aliases", "identifiers": []any{opaque("x"), alice()}},
		complexOf(m{"user": alice(), "session": opaque("s1"), "device": opaque("d")}),
		complexOf(m{"user": alice(), "tenant": opaque("t"), "application": opaque("a")}),
		complexOf(m{"user": m{"format": "aliases", "identifiers": []any{alice()}}, "device": nil}),
	} {
		text, err := json.Marshal(subject)
		require.NoError(f, err)
		f.Add(string(text), true)
		f.Add(string(text), false)
	}
	f.Fuzz(func(t *testing.T, subject string, resolves bool) {
		l := newList(t)
		s := newSceneOf(t, signer, l, func(c *signals.Config) {
			c.CriticalMembers = []string{"group"}
			if resolves {
				c.Resolve = func(_ context.Context, s signals.Subject) (revocation.Entry, bool, error) {
					return revocation.Entry{Subject: "resolved"}, s.Format == "email", nil
				}
			}
		})
		claims := strings.Replace(goodClaims, `{"format":"iss_sub","iss":"https://as.example.com/","sub":"alice"}`, subject, 1)
		set, err := jose.Sign(signer.Alg, signer.Key, []byte(goodHeader), []byte(claims))
		require.NoError(t, err)
		if status, _ := s.send(set); status != http.StatusAccepted || s.last().Outcome != signals.Revoked {
			require.Empty(t, l.added())
			return
		}
		require.Len(t, l.added(), 1)
		e := l.added()[0]
		require.Equal(t, kit.Issuer, e.Issuer)
		values := []string{e.TokenID, e.Subject, e.Session, e.Client, e.Tenant}
		require.NotEmpty(t, strings.Join(values, ""), "never all of an issuer")
		if strings.Contains(claims, `"sub_id":`+subject) { // it is one value, and not a way out of it
			var whole struct {
				SubID json.RawMessage `json:"sub_id"`
			}
			require.NoError(t, json.Unmarshal([]byte(claims), &whole))
			said := stringsIn(t, whole.SubID)
			for _, value := range values {
				require.True(t, value == "" || value == "resolved" && resolves || said[value], "%q is not in %s", value, subject)
			}
		}
	})
}

// stringsIn are all strings in a JSON value.
func stringsIn(t testing.TB, value []byte) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			found[v] = true
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			for _, member := range v {
				walk(member)
			}
		}
	}
	var v any
	require.NoError(t, json.Unmarshal(value, &v))
	walk(v)
	return found
}
