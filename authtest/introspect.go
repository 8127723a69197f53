package authtest

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// Opaque returns an access token that says nothing by itself: what it is good
// for is to be asked at the introspection endpoint, "/introspect" (RFC 7662).
//
// What c leaves out is filled in as by [Server.Token]; the members of the
// answer are those claims, "active": true and, unless Raw has another one, the
// token_type: DPoP if cnf has a jkt (RFC 9449 §6.2), else Bearer. The answer is
// "active": false before nbf, from exp on, and after [Server.Revoke]. Until that, the
// server remembers the token.
//
//	claims := authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")}
//	client, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("orders-api", "secret"),
//		Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
//	token, err := client.Verify(ctx, as.Opaque(claims))
func (s *Server) Opaque(c Claims) string {
	claims, err := s.claims(c)
	if err == nil {
		_, err = marshal("claims", claims)
	}
	if err != nil {
		s.fatal(err)
		return ""
	}
	token := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opaque[token] = claims
	return token
}

// Revoke makes a token inactive at the introspection endpoint, one of
// [Server.Opaque] or a JWT. Who verifies a JWT by its signature does not
// notice.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.opaque[token]; ok {
		delete(s.opaque, token)
		return
	}
	s.revoked[token] = true
}

// introspect is the introspection endpoint (RFC 7662 §2).
func (s *Server) introspect(r *http.Request) answer {
	if err := r.ParseForm(); err != nil {
		return oauthError(http.StatusBadRequest, "invalid_request")
	}
	if _, ok := s.client(r); !ok {
		return invalidClient()
	}
	tokens := r.PostForm["token"]
	if len(tokens) != 1 || tokens[0] == "" {
		return oauthError(http.StatusBadRequest, "invalid_request")
	}
	members := map[string]any{"active": false}
	if claims := s.active(tokens[0]); claims != nil {
		members["token_type"] = tokenType(claims["cnf"])
		maps.Copy(members, claims)
		members["active"] = true
	}
	a := document(http.StatusOK, members)
	a.header.Set("Cache-Control", "no-store")
	return a
}

// tokenType is how a token with this cnf is sent, however the claim was given.
func tokenType(cnf any) string {
	text, err := strictjson.Marshal(cnf)
	if err != nil {
		return "Bearer"
	}
	bound := "Bearer"
	_ = strictjson.Object(text, func(name, _ []byte) error { // of another shape: it has no jkt
		if string(name) == "jkt" {
			bound = "DPoP"
		}
		return nil
	})
	return bound
}

// client returns who authenticates, by client_secret_basic or client_secret_post
// (RFC 6749 §2.3.1), and whether it may: one of [WithClient], or anybody with a
// name where there is none.
func (s *Server) client(r *http.Request) (id string, ok bool) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, basic := r.BasicAuth(); basic {
		id, secret = formDecoded(user), formDecoded(password)
	}
	known, found := s.config.clients[id]
	return id, id != "" && (len(s.config.clients) == 0 || found && secret == known)
}

// formDecoded undoes the encoding as a form, which comes before that for Basic.
// Who has not encoded means what is there.
func formDecoded(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

func invalidClient() answer {
	a := oauthError(http.StatusUnauthorized, "invalid_client")
	a.header.Set("WWW-Authenticate", `Basic realm="authtest"`)
	return a
}

// active returns the claims of a token that is in force, else nil.
func (s *Server) active(token string) map[string]any {
	s.mu.Lock()
	claims, revoked := s.opaque[token], s.revoked[token]
	s.mu.Unlock()
	switch {
	case revoked:
		return nil
	case claims == nil:
		claims = s.ownJWT(token)
	}
	now := time.Now()
	if exp, ok := numericDate(claims["exp"]); ok && !now.Before(exp) {
		return nil
	}
	if nbf, ok := numericDate(claims["nbf"]); ok && now.Before(nbf) {
		return nil
	}
	return claims
}

// ownJWT returns the claims of a JWT that a published key has signed, else nil.
func (s *Server) ownJWT(token string) map[string]any {
	jws, err := jose.Parse(token, maxRequestBytes)
	if err != nil {
		return nil
	}
	keys, _, err := jose.ParseSet(s.JWKS(), 1<<20)
	signed := func(key jose.Key) bool {
		return key.Verify(jws.Header.Algorithm, jws.Signed, jws.Signature) == nil
	}
	if err != nil || !slices.ContainsFunc(keys, signed) {
		return nil
	}
	claims := map[string]any{}
	err = strictjson.Object(jws.Payload, func(name, value []byte) error {
		claims[string(name)] = json.RawMessage(slices.Clone(value))
		return nil
	})
	if err != nil {
		return nil
	}
	return claims
}

// numericDate reads a time, however the claim was given.
func numericDate(claim any) (time.Time, bool) {
	text, err := strictjson.Marshal(claim)
	if err != nil {
		return time.Time{}, false
	}
	date, err := strictjson.NumericDate(text)
	return date, err == nil
}
