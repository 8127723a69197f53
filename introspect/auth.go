package introspect

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// assertionLife is from iat to exp of a client assertion: it is used at once.
const assertionLife = time.Minute

// Auth is how this resource server proves to the authorization server who it
// is (RFC 7662 §2.1). It is made by one of [BasicAuth], [PostAuth],
// [BearerAuth], [PrivateKeyJWT], [CertificateAuth] and [NoAuth]. Printing it in any way
// shows the method and the client ID, and never a secret.
type Auth interface {
	// apply adds the credentials to one request.
	apply(ctx context.Context, to *credentials) error
	// identity is what keeps the answers of two clients apart; nil: nothing does.
	identity() []string
	client() string  // the client ID, "" if there is none
	problem() error  // what New refuses
	refused() string // what to do about a 401, for the text of an error
	none() bool      // there are no credentials
	fmt.Stringer
}

// credentials is the part of a request that an Auth fills.
type credentials struct {
	issuer string
	header http.Header
	form   url.Values
}

// auth is the one Auth. Secrets are only in what the functions capture: there
// is no field from which fmt, reflection or encoding/json could print them.
type auth struct {
	method, id string
	secret     func() []string // for the identity, beside method and id; nil: unknown
	add        func(context.Context, *credentials) error
	wrong      error
	anonymous  bool
}

func (a *auth) apply(ctx context.Context, to *credentials) error { return a.add(ctx, to) }
func (a *auth) client() string                                   { return a.id }
func (a *auth) problem() error                                   { return a.wrong }
func (a *auth) none() bool                                       { return a.anonymous }

func (a *auth) refused() string {
	if a.anonymous {
		return ": the endpoint wants client authentication: set Auth to BasicAuth, for example, in the place of NoAuth"
	}
	return ": the server refuses our credentials: compare Auth (the client ID, the secret or key, how they are sent) with the registration of this API at the server"
}

func (a *auth) identity() []string {
	if a.secret == nil {
		return nil
	}
	return append([]string{a.method, a.id}, a.secret()...)
}

// String names the method and the client ID, and nothing else.
func (a *auth) String() string {
	if a.id == "" {
		return "introspect." + a.method
	}
	return "introspect." + a.method + "(client " + strconv.Quote(a.id) + ")"
}

func (a *auth) GoString() string             { return a.String() }
func (a *auth) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, a.String()) }
func (a *auth) LogValue() slog.Value         { return slog.StringValue(a.String()) }
func (a *auth) MarshalJSON() ([]byte, error) { return []byte(strconv.Quote(a.method)), nil }

// BasicAuth authenticates by client_secret_basic. ID and secret are form-encoded
// before they go into the header (RFC 6749 §2.3.1).
func BasicAuth(id, secret string) Auth {
	return withSecret("BasicAuth", id, secret, func(_ context.Context, to *credentials) error {
		pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
		to.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		return nil
	})
}

// PostAuth authenticates by client_secret_post (RFC 6749 §2.3.1). Prefer
// BasicAuth where the server supports it.
func PostAuth(id, secret string) Auth {
	return withSecret("PostAuth", id, secret, func(_ context.Context, to *credentials) error {
		to.form.Set("client_id", id)
		to.form.Set("client_secret", secret)
		return nil
	})
}

func withSecret(method, id, secret string, add func(context.Context, *credentials) error) Auth {
	a := &auth{method: method, id: id, add: add, secret: func() []string { return []string{secret} }}
	switch {
	case id == "":
		a.wrong = errors.New("the client ID is empty: pass the one that the authorization server knows this API by")
	case secret == "":
		a.wrong = errors.New("the secret is empty: pass the one that belongs to the client ID, and see that it is set where it is read from")
	}
	return a
}

// BearerAuth authenticates by an access token of our own (RFC 7662 §2.1). The
// function returns it. It is called before every request, concurrently, with a
// context that ends with the request, and should keep the token while it is
// valid. An error of it is [bearergate.ErrMisconfigured] if it wraps that, and
// else [bearergate.ErrUnavailable].
func BearerAuth(token func(context.Context) (string, error)) Auth {
	a := &auth{method: "BearerAuth", add: func(ctx context.Context, to *credentials) error {
		own, err := token(ctx)
		switch {
		case errors.Is(err, bearergate.ErrMisconfigured):
			// Only the kind and the type: the text may quote a token endpoint's answer.
			return fmt.Errorf("%w: BearerAuth: a %T", bearergate.ErrMisconfigured, err)
		case err != nil:
			return fmt.Errorf("BearerAuth: a %T", err)
		case !isB64Token(own):
			return errors.New("BearerAuth: the function returned what is no token")
		}
		to.header.Set("Authorization", "Bearer "+own)
		return nil
	}}
	if token == nil {
		a.wrong = errors.New("the function is nil: pass one that returns an access token for the introspection endpoint")
	}
	return a
}

// CertificateAuth authenticates by the client certificate of the TLS
// connection (RFC 8705 §2), which Config.HTTPClient must present; the form
// carries the client ID.
//
// Give a self-signed certificate by tls.Config.GetClientCertificate: one in
// Certificates is withheld, silently, when the server names CAs that did not
// issue it. Where the server takes certificates on a host of its own
// (mtls_endpoint_aliases, RFC 8705 §5), name it in Config.Endpoint: the
// aliases are not read.
func CertificateAuth(id string) Auth {
	a := &auth{method: "CertificateAuth", id: id, secret: func() []string { return nil },
		add: func(_ context.Context, to *credentials) error {
			to.form.Set("client_id", id)
			return nil
		}}
	if id == "" {
		a.wrong = errors.New("the client ID is empty: pass the one that the authorization server knows this API by")
	}
	return a
}

// NoAuth sends no credentials: for an endpoint that wants none, such as that of the
// admin API of Ory Hydra, or of Dex. The endpoint must be https, or http on loopback:
// InsecureAllowHTTP does not change that.
//
// Danger: RFC 7662 §2.1 has the endpoint authenticate who asks, for without that
// whoever reaches it can try out tokens that were stolen or guessed (§4). Let nobody
// reach it but the services that ask.
func NoAuth() Auth {
	return &auth{method: "NoAuth", anonymous: true, secret: func() []string { return nil }, add: func(context.Context, *credentials) error { return nil }}
}

// Assertion is what differs between servers in a client assertion. The zero value
// is right for most.
type Assertion struct {
	// KeyID is the kid that the server knows the key by. Default: none.
	KeyID string
	// Algorithm signs. Default: PS256, ES256, ES384, ES512 or EdDSA, by the key.
	Algorithm string
	// Audience is aud. Default: Config.Issuer (RFC 7523bis); some servers want
	// the URL of their token or introspection endpoint.
	Audience string
}

// PrivateKeyJWT authenticates by private_key_jwt (RFC 7523 §2.2): a JWT that
// lives for a minute, with a jti of its own for every request. The key may be
// in a KMS or an HSM; a failure of it is [bearergate.ErrUnavailable].
func PrivateKeyJWT(id string, key crypto.Signer, assertion Assertion) Auth {
	a := &auth{method: "PrivateKeyJWT", id: id}
	if id == "" || guard.IsNil(key) {
		a.wrong = errors.New("the client ID is empty, or the key is nil: pass both")
		return a
	}
	var der []byte
	err := guard.Call(func() (err error) { der, err = assertion.prepare(key); return err }, nil)
	if err != nil {
		a.wrong = fmt.Errorf("give a complete key of a type that Algorithm is for: %w", err)
		return a
	}
	sum := sha256.Sum256(der)
	a.secret = func() []string { return []string{string(sum[:])} }
	a.add = func(_ context.Context, to *credentials) error {
		signed, err := assertion.sign(id, to.issuer, key)
		if err != nil {
			return err
		}
		to.form.Set("client_id", id)
		to.form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		to.form.Set("client_assertion", signed)
		return nil
	}
	return a
}

// prepare puts in the algorithm, and returns the public half of a key. It may panic
// if that is not there or incomplete.
func (o *Assertion) prepare(key crypto.Signer) (der []byte, err error) {
	pub := key.Public()
	if o.Algorithm == "" {
		o.Algorithm = algorithmFor(pub)
	}
	if _, err := jose.NewKey("", pub, o.Algorithm); err != nil {
		return nil, fmt.Errorf("the key cannot sign with %q: %w", o.Algorithm, err)
	}
	if der, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		return nil, fmt.Errorf("the key cannot be used: %w", err)
	}
	return der, nil
}

func algorithmFor(pub crypto.PublicKey) string {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return "PS256"
	case ed25519.PublicKey:
		return "EdDSA"
	case *ecdsa.PublicKey:
		switch pub.Curve.Params().BitSize {
		case 256:
			return "ES256"
		case 384:
			return "ES384"
		case 521:
			return "ES512"
		}
	}
	return ""
}

func (o Assertion) sign(id, issuer string, key crypto.Signer) (string, error) {
	header := map[string]string{"alg": o.Algorithm, "typ": "JWT"}
	if o.KeyID != "" {
		header["kid"] = o.KeyID
	}
	audience := o.Audience
	if audience == "" {
		audience = issuer
	}
	now := time.Now()
	h, err := strictjson.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("PrivateKeyJWT: %w", err)
	}
	claims, err := strictjson.Marshal(map[string]any{"iss": id, "sub": id, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix()})
	if err != nil {
		return "", fmt.Errorf("PrivateKeyJWT: %w", err)
	}
	signed, err := jose.Sign(o.Algorithm, key, h, claims)
	if err != nil {
		return "", fmt.Errorf("PrivateKeyJWT: the key does not sign, a %T", err)
	}
	return signed, nil
}

// isB64Token reports whether s is a b64token of RFC 6750 §2.1, the form of
// every token that can stand in an Authorization header.
func isB64Token(s string) bool {
	n := len(s)
	for n > 0 && s[n-1] == '=' {
		n--
	}
	for i := range n {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return n > 0
}
