package backchannel_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

const (
	goodHeader = `{"alg":"ES256","kid":"k","typ":"logout+jwt"}`
	goodClaims = `{"iss":"https://as.example.com/","aud":"orders-web","sub":"alice","sid":"s","jti":"i","iat":1000000000,"exp":4102444800,` +
		`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`
)

// FuzzLogoutToken signs any header and any claims with the right key. What is taken says the
// same to encoding/json, and revokes what it says and nothing else.
func FuzzLogoutToken(f *testing.F) {
	s := newScene(f)
	f.Add(goodHeader, goodClaims)
	f.Add(strings.Replace(goodHeader, "typ", `t\u0079p`, 1), strings.Replace(goodClaims, `"sid":"s",`, "", 1))
	f.Add(`{"alg":"ES256"}`, strings.Replace(goodClaims, `{}`, `{"nonce":1}`, 1))
	f.Add(goodHeader, strings.Replace(goodClaims, "{", `{"nonce":null,`, 1))
	f.Add(goodHeader, strings.Replace(goodClaims, "{", `{"SID":"x","Sub":1,"events\u0000":{},`, 1))
	f.Add(goodHeader, strings.Replace(goodClaims, `"s"`, `"s\ud83d\ude00"`, 1))
	f.Fuzz(func(t *testing.T, header, claims string) {
		l := newList(t)
		s := newSceneOf(t, s.signer, l)
		token, err := jose.Sign(s.signer.Alg, s.signer.Key, []byte(header), []byte(claims))
		require.NoError(t, err)
		if s.send(token) != http.StatusOK {
			require.Empty(t, l.added())
			require.Error(t, s.last().Err)
			return
		}
		var c map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(claims), &c))
		require.NotContains(t, c, "nonce")
		var events map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(c["events"], &events))
		var event map[string]any
		require.NoError(t, json.Unmarshal(events[eventType], &event))
		require.NotNil(t, event)
		text := func(name string) (s string) {
			if c[name] != nil {
				require.NoError(t, json.Unmarshal(c[name], &s))
			}
			return s
		}
		require.NotEmpty(t, text("jti"))
		require.Len(t, l.added(), 1)
		e := l.added()[0][0]
		require.Equal(t, revocation.Entry{Issuer: text("iss"), Session: e.Session, Subject: e.Subject, Before: e.Before, Source: "backchannel"}, e)
		require.Equal(t, kit.Issuer, e.Issuer)
		if sid := text("sid"); sid != "" {
			require.Equal(t, sid, e.Session)
			require.Empty(t, e.Subject)
		} else {
			require.Equal(t, text("sub"), e.Subject)
			require.NotEmpty(t, e.Subject)
		}
	})
}

// FuzzBody sends any body: nothing is taken but the one logout token that is valid.
func FuzzBody(f *testing.F) {
	s := newScene(f)
	valid := s.sign(nil, map[string]any{"exp": int64(4102444800)})
	form := url.Values{"logout_token": {valid}}.Encode()
	for _, body := range []string{form, "", form + "&", "&" + form, form + "&" + form, "x=%&" + form, "logout_token=" + valid + "x", "logout%5ftoken=" + valid, valid, form + ";x=1"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		s.h.ServeHTTP(w, request(http.MethodPost, formType, body))
		values, err := url.ParseQuery(body)
		taken := err == nil && len(values["logout_token"]) == 1 && values["logout_token"][0] == valid && len(body) <= 32<<10
		require.Equal(t, taken, w.Code == http.StatusOK, "%d", w.Code)
		require.LessOrEqual(t, len(s.list.added()), 1)
	})
}
