package authtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// The paths of the server. Those of the metadata also depend on the path of the issuer.
const (
	oauthMetadataPath = "/.well-known/oauth-authorization-server" // before the issuer's path (RFC 8414 §3.1)
	oidcMetadataPath  = "/.well-known/openid-configuration"       // after it (OpenID Connect Discovery §4)
	jwksPath          = "/jwks"
	tokenPath         = "/token"
	introspectPath    = "/introspect"
)

const maxRequestBytes = 1 << 20

// authMethods are how a client may authenticate (RFC 6749 §2.3.1).
var authMethods = []string{"client_secret_basic", "client_secret_post"}

// answer is what an endpoint says, before a fault is applied to it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func text(status int) answer {
	return answer{status, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, []byte(http.StatusText(status) + "\n")}
}

func document(status int, members any) answer {
	body, err := strictjson.Marshal(members)
	if err != nil {
		return text(http.StatusInternalServerError)
	}
	return answer{status, http.Header{"Content-Type": {"application/json"}}, body}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	// A hijacked connection counts as gone before its handler has returned.
	s.conns.Add(1)
	defer s.conns.Done()
	fault := s.arrive(r.URL.Path)
	// Read to the end: only then does net/http notice that a client goes away.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	switch {
	case fault.Delay > 0 && !s.wait(r, fault.Delay), fault.Hang && !s.hang(r), fault.Drop:
		drop(w)
		return
	}
	a := text(http.StatusRequestEntityTooLarge)
	if err == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		a = s.answer(r, fault)
	}
	s.write(w, r, fault.change(a), fault)
}

func (s *Server) answer(r *http.Request, fault Fault) answer {
	switch r.URL.EscapedPath() {
	case oauthMetadataPath + s.issuerPath, s.issuerPath + oidcMetadataPath:
		return only(r, s.metadata, http.MethodGet, http.MethodHead)
	case jwksPath:
		if fault.shapesBody() {
			r.Header.Del("If-None-Match") // a 304 has no body to shape
		}
		return only(r, s.keySet, http.MethodGet, http.MethodHead)
	case tokenPath:
		return only(r, s.token, http.MethodPost)
	case introspectPath:
		return only(r, s.introspect, http.MethodPost)
	}
	return text(http.StatusNotFound)
}

func only(r *http.Request, endpoint func(*http.Request) answer, methods ...string) answer {
	if slices.Contains(methods, r.Method) {
		return endpoint(r)
	}
	a := text(http.StatusMethodNotAllowed)
	a.header.Set("Allow", strings.Join(methods, ", "))
	return a
}

func (s *Server) metadata(*http.Request) answer {
	_, algs := s.keys.set()
	members := map[string]any{
		"issuer":                                s.issuer,
		"jwks_uri":                              s.URL(jwksPath),
		"token_endpoint":                        s.URL(tokenPath),
		"token_endpoint_auth_methods_supported": authMethods,
		"introspection_endpoint":                s.URL(introspectPath),
		"introspection_endpoint_auth_methods_supported": authMethods,
		"grant_types_supported":                         []string{clientCredentials, tokenExchange},
		"response_types_supported":                      []string{"none"},
		"subject_types_supported":                       []string{"public"},
		"id_token_signing_alg_values_supported":         algs,
		"dpop_signing_alg_values_supported":             jose.Algorithms(),
	}
	maps.Copy(members, s.config.metadata)
	maps.DeleteFunc(members, isNil)
	return document(http.StatusOK, members)
}

func (s *Server) keySet(r *http.Request) answer {
	jwks, _ := s.keys.set()
	sum := sha256.Sum256(jwks)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	a := answer{http.StatusOK, http.Header{"Content-Type": {"application/jwk-set+json"}, "Etag": {etag}}, jwks}
	if s.config.cacheControl != "" {
		a.header.Set("Cache-Control", s.config.cacheControl)
	}
	if matches(r.Header.Values("If-None-Match"), etag) {
		a.status, a.body = http.StatusNotModified, nil
		a.header.Del("Content-Type")
	}
	return a
}

// matches is the weak comparison of If-None-Match (RFC 9110 §13.1.2).
func matches(values []string, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// token is the token endpoint: the client credentials grant (RFC 6749 §4.4) and the
// exchange of a token (RFC 8693). A request with a DPoP proof gets a token that is bound
// to its key (RFC 9449 §5).
func (s *Server) token(r *http.Request) answer {
	if err := r.ParseForm(); err != nil {
		return oauthError(http.StatusBadRequest, "invalid_request")
	}
	if s.rebound(r.Host) {
		return text(http.StatusMisdirectedRequest)
	}
	form := r.PostForm
	client, known := s.client(r)
	granted := scope.Set{}
	if wanted := form.Get("scope"); wanted != "" {
		var err error
		if granted, err = scope.Parse(wanted); err != nil {
			return oauthError(http.StatusBadRequest, "invalid_scope")
		}
	}
	switch {
	case !known:
		return invalidClient()
	case !slices.Contains([]string{clientCredentials, tokenExchange}, form.Get("grant_type")):
		return oauthError(http.StatusBadRequest, "unsupported_grant_type")
	}
	// RFC 8707 says resource; many servers say audience.
	audience := slices.DeleteFunc(slices.Concat(form["audience"], form["resource"]), func(name string) bool { return name == "" })
	thumbprint, code := s.provenKey(r)
	if code != "" {
		a := oauthError(http.StatusBadRequest, code)
		if code == errNonceDemanded {
			a.header.Set(nonceHeader, s.config.nonce)
		}
		return a
	}
	claims := Claims{Subject: client, ClientID: client, Audience: audience, Scopes: granted}
	members := map[string]any{"token_type": "Bearer", "expires_in": int(DefaultLifetime.Seconds())}
	if form.Get("grant_type") == tokenExchange {
		if claims, code = s.exchange(claims, form); code != "" {
			return oauthError(http.StatusBadRequest, code)
		}
		members["issued_token_type"] = typeAccessToken
		members["expires_in"] = int(time.Until(claims.ExpiresAt).Seconds())
	}
	if thumbprint != "" {
		members["token_type"], claims.Confirmation = proofHeader, jktOf(thumbprint)
	}
	token, err := s.issue(claims)
	if err != nil {
		return oauthError(http.StatusBadRequest, "invalid_request")
	}
	members["access_token"] = token
	if claims.Scopes.Len() > 0 {
		members["scope"] = claims.Scopes.String()
	}
	a := document(http.StatusOK, members)
	a.header.Set("Cache-Control", "no-store")
	return a
}

// issue returns the token for these claims. They are signed whoever makes the token: what
// cannot be signed is the client's mistake, and would be a fatal one in [WithTokens].
func (s *Server) issue(c Claims) (string, error) {
	token, err := s.mint(c)
	if err != nil || s.config.tokens == nil {
		return token, err
	}
	return s.config.tokens(s, c), nil
}

// rebound reports whether a request for a server on loopback was meant for another host.
// A web page that has its own name resolve to 127.0.0.1 (DNS rebinding) would otherwise
// read a token out of the server of whoever looks at it. Such a request has the name of the
// page in Host, and no page can change that.
func (s *Server) rebound(host string) bool {
	if s.names == nil {
		return false
	}
	name := hostName(host)
	_, err := netip.ParseAddr(name)
	return err != nil && !s.names[name] && !strings.HasSuffix(name, ".localhost")
}

// hostName is a host without its port, in lower case.
func hostName(host string) string { return strings.ToLower((&url.URL{Host: host}).Hostname()) }

func oauthError(status int, code string) answer {
	a := document(status, map[string]string{"error": code})
	a.header.Set("Cache-Control", "no-store")
	return a
}
