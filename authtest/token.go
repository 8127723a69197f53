package authtest

import (
	"crypto"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// Claims says what a token is to carry.
type Claims = bearergate.Claims

// Token returns a signed access token (RFC 9068) with these claims.
//
// What c leaves out is filled in so that the token is valid: iss is the
// issuer, aud that of [WithAudience], sub [DefaultSubject], client_id
// [DefaultClientID], jti a new one, iat the present and exp [DefaultLifetime]
// from now. The members of Raw, a JSON object, become claims too: they replace
// what would be filled in, and a field that is set replaces them. Times are
// cut to whole seconds. Stale is no claim and is not written.
//
// For a token with a claim missing or malformed, see [Server.Claims].
func (s *Server) Token(c Claims) string {
	token, err := s.mint(c)
	if err != nil {
		s.fatal(err)
	}
	return token
}

// Sign returns a compact JWS of exactly this header and these claims.
//
// What the header lacks is filled in: alg ([DefaultAlgorithm] or the first of
// [WithAlgorithms]), the kid of the key that signs, and the typ "at+jwt"; a
// member that is nil is left out. The key that signs is always the present one
// for alg, whatever kid says. Claims are signed as they are; [Server.Claims]
// makes valid ones.
//
// A key for an algorithm that the server has not signed with yet is made, and
// published, at its first use: to a verifier that has fetched the keys before,
// that is a rotation. [WithAlgorithms] publishes it from the start.
func (s *Server) Sign(header, claims map[string]any) string {
	token, err := s.sign(header, claims)
	if err != nil {
		s.fatal(err)
	}
	return token
}

// Claims returns the claims that [Server.Token] would sign, to be changed and
// given to [Server.Sign]: a negative test is a valid token and one change.
//
//	claims := as.Claims(authtest.Claims{Subject: "alice"})
//	delete(claims, "exp")
//	token := as.Sign(nil, claims)
func (s *Server) Claims(c Claims) map[string]any {
	claims, err := s.claims(c)
	if err != nil {
		s.fatal(err)
	}
	return claims
}

func (s *Server) mint(c Claims) (string, error) {
	claims, err := s.claims(c)
	if err != nil {
		return "", err
	}
	return s.sign(nil, claims)
}

func (s *Server) sign(header, claims map[string]any) (string, error) {
	alg := s.config.algorithms[0]
	if value, ok := header["alg"]; ok && value != nil {
		if alg, ok = value.(string); !ok {
			return "", fmt.Errorf("authtest: alg is a %T: give a string, or nil for a header without it", value)
		}
	}
	key, err := s.keys.current(alg)
	if err != nil {
		return "", err
	}
	return compact(alg, key.signer, map[string]any{"alg": alg, "kid": key.id, "typ": "at+jwt"}, header, claims)
}

func isNil(_ string, value any) bool { return value == nil }

// compact signs claims under the header that is filled in, as far as header does not
// replace its members; one that is nil is left out.
func compact(alg string, signer crypto.Signer, filled, header, claims map[string]any) (string, error) {
	maps.Copy(filled, header)
	maps.DeleteFunc(filled, isNil)
	head, err := marshal("header", filled)
	if err != nil {
		return "", err
	}
	payload, err := marshal("claims", claims)
	if err != nil {
		return "", err
	}
	token, err := jose.Sign(alg, signer, head, payload)
	if err != nil {
		return "", fmt.Errorf("authtest: %w", err)
	}
	return token, nil
}

func (s *Server) claims(c Claims) (map[string]any, error) {
	now := time.Now()
	claims := map[string]any{
		"iss":       s.issuer,
		"aud":       audience(s.config.audience),
		"sub":       DefaultSubject,
		"client_id": DefaultClientID,
		"jti":       rand.Text(),
		"iat":       now.Unix(),
		"exp":       now.Add(DefaultLifetime).Unix(),
	}
	if c.Raw != nil {
		err := strictjson.Object(c.Raw, func(name, value []byte) error {
			claims[string(name)] = json.RawMessage(append([]byte(nil), value...))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("authtest: Claims.Raw: give one JSON object with distinct names: %w", err)
		}
	}
	for name, value := range map[string]string{
		"iss": c.Issuer, "sub": c.Subject, "client_id": c.ClientID, "jti": c.ID, "scope": c.Scopes.String(), "acr": c.ACR,
	} {
		if value != "" {
			claims[name] = value
		}
	}
	for name, value := range map[string]time.Time{
		"exp": c.ExpiresAt, "iat": c.IssuedAt, "nbf": c.NotBefore, "auth_time": c.AuthTime,
	} {
		if !value.IsZero() {
			claims[name] = value.Unix()
		}
	}
	if len(c.Audience) > 0 {
		claims["aud"] = audience(c.Audience)
	}
	if len(c.Roles) > 0 {
		claims["roles"] = append([]string{}, c.Roles...)
	}
	if len(c.Actors) > 0 {
		claims["act"] = act(c.Actors)
	}
	if c.Confirmation != nil {
		cnf := map[string]any{}
		for name, value := range c.Confirmation {
			if !json.Valid(value) {
				return nil, fmt.Errorf("authtest: Claims.Confirmation: the member %q is not JSON text: a string has quotes around it", name)
			}
			cnf[name] = json.RawMessage(append([]byte(nil), value...))
		}
		claims["cnf"] = cnf
	}
	return claims, nil
}

// audience writes a single audience as a string, as most servers do (RFC 7519 §4.1.3).
func audience(names []string) any {
	if len(names) == 1 {
		return names[0]
	}
	return append([]string{}, names...)
}

// act nests the actors, the current one outermost (RFC 8693 §4.1).
func act(actors []bearergate.Actor) map[string]any {
	members := map[string]any{}
	for name, value := range map[string]string{
		"sub": actors[0].Subject, "iss": actors[0].Issuer, "client_id": actors[0].ClientID,
	} {
		if value != "" {
			members[name] = value
		}
	}
	if len(actors) > 1 {
		members["act"] = act(actors[1:])
	}
	return members
}
