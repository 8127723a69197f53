package authtest

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

const (
	nonceHeader = "DPoP-Nonce"

	maxRSABits = 8192 // of a client's key

	errInvalidProof  = "invalid_dpop_proof" // RFC 9449 §5
	errNonceDemanded = "use_dpop_nonce"     // RFC 9449 §8
)

var nonceText = regexp.MustCompile(`^[!#-\[\]-~]+$`) // 1*NQCHAR (RFC 9449 §8.1)

// provenKey is the token endpoint's look at the proof of a request (RFC 9449 §5): the
// thumbprint of the key that it binds the token to, "" if there is no proof, or the
// error code of the answer.
func (s *Server) provenKey(r *http.Request) (thumbprint, code string) {
	headers := r.Header.Values(proofHeader)
	if len(headers) == 0 {
		return "", ""
	}
	key, claims, err := readProof(headers[0])
	scheme, _, _ := strings.Cut(s.origin, ":")
	switch {
	case err != nil, len(headers) > 1, claims.ID == "", claims.IssuedAt == nil, claims.Method != r.Method,
		// Whoever calls the server by another host (WithHosts) names that one.
		withoutQuery(claims.URL) != scheme+"://"+r.Host+r.URL.EscapedPath():
		return "", errInvalidProof
	case s.config.nonce != "" && claims.Nonce != s.config.nonce:
		return "", errNonceDemanded
	}
	return base64url(key.Thumbprint()), ""
}

// proofClaims are those that the token endpoint looks at. It remembers no jti and does
// not compare iat with the time: clients are tested here, and no attacker is about.
type proofClaims struct {
	ID       string   `json:"jti"`
	Method   string   `json:"htm"`
	URL      string   `json:"htu"`
	IssuedAt *float64 `json:"iat"`
	Nonce    string   `json:"nonce"`
}

// readProof returns the key that has signed a proof, and its claims.
func readProof(proof string) (key jose.Key, claims proofClaims, err error) {
	jws, err := jose.Split(new([]byte), proof, maxRequestBytes)
	if err != nil {
		return key, claims, err
	}
	header, err := jose.ParseProof(jws.Header, proofType)
	if err != nil {
		return key, claims, err
	}
	if key, err = header.Key.Admit(maxRSABits); err != nil {
		return key, claims, err
	}
	if err = key.Verify(header.Algorithm, jws.Signed, jws.Signature); err != nil {
		return key, claims, err
	}
	err = strictjson.Unmarshal(jws.Payload, &claims)
	return key, claims, err
}
