package authtest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// A logout token of the server is taken, and with a claim changed it is not.
func TestLogoutToken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
		require.NoError(t, err)
		h, err := backchannel.New(backchannel.Config{List: list, Issuer: as.Issuer(), ClientIDs: []string{authtest.DefaultClientID}, HTTPClient: as.Client(), RequireTyp: true})
		require.NoError(t, err)
		for _, tt := range []struct {
			name   string
			change map[string]any
			status int
		}{
			{"a session", map[string]any{"sid": "s"}, http.StatusOK},
			{"a user", map[string]any{"sub": "alice"}, http.StatusOK},
			{"neither", nil, http.StatusBadRequest},
			{"without exp", map[string]any{"sid": "s", "exp": nil}, http.StatusBadRequest},
		} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(url.Values{"logout_token": {as.LogoutToken(tt.change)}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			h.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code, tt.name)
		}
		require.Equal(t, 2, list.Status().Entries)
	})
}

// A SET of the server is taken, and with a claim changed it is not.
func TestSecurityEvent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
		require.NoError(t, err)
		h, err := signals.New(signals.Config{List: list, Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), InsecureAnyTransmitter: true})
		require.NoError(t, err)
		for _, tt := range []struct {
			name   string
			change map[string]any
			status int
		}{
			{"a user", nil, http.StatusAccepted},
			{"a session", map[string]any{"sub_id": map[string]any{"format": "opaque", "id": "s"}}, http.StatusAccepted},
			{"without jti", map[string]any{"jti": nil}, http.StatusBadRequest},
		} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(as.SecurityEvent(tt.change)))
			r.Header.Set("Content-Type", "application/secevent+jwt")
			h.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code, tt.name)
		}
		require.Equal(t, 2, list.Status().Entries)
	})
}
