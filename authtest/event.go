package authtest

import (
	"crypto/rand"
	"maps"
	"time"
)

// What [Server.LogoutToken] and [Server.SecurityEvent] say of what happened.
const (
	LogoutEvent         = "http://schemas.openid.net/event/backchannel-logout"
	SessionRevokedEvent = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
)

// LogoutToken returns a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4) for the
// client [DefaultClientID] that is valid for two minutes, with these claims changed: a nil
// takes a claim away. It has neither sub nor sid unless they are given, and one of them is
// needed.
//
//	token := as.LogoutToken(map[string]any{"sid": "session-1"})
//
// For another header, see [Server.Sign].
func (s *Server) LogoutToken(change map[string]any) string {
	now := time.Now()
	return s.Sign(map[string]any{"typ": "logout+jwt"}, changed(map[string]any{
		"iss": s.issuer, "aud": DefaultClientID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{LogoutEvent: map[string]any{}},
	}, change))
}

// SecurityEvent returns a Security Event Token (RFC 8417) that says, by CAEP 1.0 §3.1, that
// all sessions of [DefaultSubject] were revoked, with these claims changed: a nil takes a
// claim away. Its aud is that of [WithAudience].
//
//	token := as.SecurityEvent(map[string]any{
//		"sub_id": map[string]any{"format": "opaque", "id": "session-1"},
//	})
func (s *Server) SecurityEvent(change map[string]any) string {
	return s.Sign(map[string]any{"typ": "secevent+jwt"}, changed(map[string]any{
		"iss": s.issuer, "aud": audience(s.config.audience), "iat": time.Now().Unix(), "jti": rand.Text(),
		"sub_id": map[string]any{"format": "iss_sub", "iss": s.issuer, "sub": DefaultSubject},
		"events": map[string]any{SessionRevokedEvent: map[string]any{}},
	}, change))
}

func changed(claims, change map[string]any) map[string]any {
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}
