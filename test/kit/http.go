package kit

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// Says is a handler that answers with a text.
func Says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) })
}

// Granting verifies what [With] makes, and nothing else.
func Granting() bearergate.Verifier {
	return bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		scopes, err := base64.RawURLEncoding.DecodeString(raw)
		if err != nil {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonMalformed}
		}
		return bearergate.NewToken(bearergate.Claims{Subject: "u1", ClientID: "c1", Scopes: scope.Of(strings.Split(string(scopes), "+")...)}), nil
	})
}

// With returns the Authorization header of a token with these scopes, a + between them.
func With(scopes string) string {
	return "Bearer " + base64.RawURLEncoding.EncodeToString([]byte(scopes))
}

// Built is the handler of a router without mistakes.
func Built(t testing.TB, rt interface{ Handler() (http.Handler, error) }) http.Handler {
	t.Helper()
	h, err := rt.Handler()
	require.NoError(t, err)
	require.NotNil(t, h)
	return h
}

// Ask sends a request with a token of these scopes; with none, without a token.
func Ask(h http.Handler, method, target, scopes string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if scopes != "" {
		r.Header.Set("Authorization", With(scopes))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
