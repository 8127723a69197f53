package attack_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// A signed answer (RFC 9701) is held to the keys of its issuer as a token is: one that is
// published for another issuer verifies none.
func TestSignedAnswersUnderKeysOfAnotherIssuer(t *testing.T) {
	t.Parallel()
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	answer := object{{`"iss"`, strconv.Quote(issuer)}, {`"aud"`, `"rs"`}, {`"iat"`, stamp},
		{`"token_introspection"`, `{"active":true,"iss":` + strconv.Quote(issuer) + `,"aud":` + strconv.Quote(audience) + `,"scope":"read"}`}}
	signed := from(e1()).hdr("typ", `"token-introspection+jwt"`).payload(answer.String()).token()
	client := &http.Client{Transport: answers(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/token-introspection+jwt"}},
			Body: io.NopCloser(strings.NewReader(signed)), ContentLength: -1}, nil
	})}
	for _, tt := range []struct {
		name, of string
		want     verdict
	}{
		{name: "its own", of: strconv.Quote(issuer), want: ok},
		{name: "nobody's", of: `null`, want: ok},
		{name: "another issuer's", of: `"https://b.example.com/"`, want: verdict{status: 503, reason: bearergate.ReasonIntrospectionUnavailable}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := jwks.Static([]byte(keySet(e1().jwk().set("issuer", tt.of))))
			require.NoError(t, err)
			c, err := introspect.New(introspect.Config{
				Endpoint: issuer + "introspect", Issuer: issuer, Audiences: []string{audience}, HTTPClient: client,
				Auth:   introspect.BasicAuth("rs", "s3cret"),
				Signed: introspect.SignedConfig{Answers: introspect.SignedRequired, Keys: keys, Audiences: []string{"rs"}, Algorithms: []string{"ES256"}},
			})
			require.NoError(t, err)
			_, err = c.Verify(t.Context(), "opaque")
			requireError(t, tt.want, err)
		})
	}
}

type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
