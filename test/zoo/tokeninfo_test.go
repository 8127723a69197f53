package zoo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/scope"
)

// googleAccessTokens verifies opaque access tokens of Google, by asking Google about each.
// clientIDs are the applications that may call: Google names them as the audience.
func googleAccessTokens(client *http.Client, clientIDs ...string) (*introspect.Client, error) {
	return introspect.New(introspect.Config{
		Issuer:    "https://accounts.google.com",
		Audiences: clientIDs,
		Ask:       func(ctx context.Context, token string) ([]byte, error) { return tokeninfo(ctx, client, token) },
		AskName:   "Google tokeninfo",
		Accept:    func(token string) bool { return strings.HasPrefix(token, "ya29.") },
	})
}

// tokeninfo asks Google about an access token and returns what RFC 7662 describes.
func tokeninfo(ctx context.Context, client *http.Client, token string) ([]byte, error) {
	form := url.Values{"access_token": {token}}.Encode() // in the body: addresses are logged
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://oauth2.googleapis.com/tokeninfo", strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var said struct {
		Error    string `json:"error"`
		Audience string `json:"aud"`
		Client   string `json:"azp"`
		Subject  string `json:"sub"`
		Scope    string `json:"scope"`
		Expires  string `json:"exp"` // a number, as text
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&said); err != nil {
		return nil, fmt.Errorf("tokeninfo: status %d, and no JSON", answer.StatusCode)
	}
	switch {
	case answer.StatusCode == http.StatusBadRequest && said.Error == "invalid_token":
		return []byte(`{"active":false}`), nil
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("tokeninfo: status %d", answer.StatusCode)
	}
	exp, err := strconv.ParseInt(said.Expires, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("tokeninfo: exp is no number")
	}
	return json.Marshal(map[string]any{
		"active": true, "aud": said.Audience, "client_id": said.Client, "sub": said.Subject, "scope": said.Scope, "exp": exp,
	})
}

// A fake of Google that knows one token.
type fakeGoogle struct{}

func (fakeGoogle) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, text := http.StatusBadRequest, `{"error":"invalid_token","error_description":"Invalid Value"}`
	switch form, _ := url.ParseQuery(string(body)); form.Get("access_token") {
	case "ya29.good":
		status = http.StatusOK
		text = fmt.Sprintf(`{"azp":"1234-web.apps.googleusercontent.com","aud":"1234-web.apps.googleusercontent.com","sub":"100200300400500600700",
			"scope":"https://www.googleapis.com/auth/drive.readonly","exp":"%d","expires_in":"3599","access_type":"online"}`, time.Now().Unix()+3599)
	case "ya29.down":
		status, text = http.StatusServiceUnavailable, `{"error":"backend_error"}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

func Example_googleAccessTokens() {
	google := &http.Client{Transport: fakeGoogle{}} // of yours: &http.Client{Timeout: 3 * time.Second}
	v, err := googleAccessTokens(google, "1234-web.apps.googleusercontent.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, raw := range []string{"ya29.good", "ya29.revoked", "ya29.down", "something else"} {
		token, err := v.Verify(context.Background(), raw)
		if err != nil {
			fmt.Println(bearergate.ReasonOf(err))
			continue
		}
		fmt.Println(token.Subject(), token.Authorize(scope.All("https://www.googleapis.com/auth/drive.readonly")) == nil)
	}
	// Output:
	// 100200300400500600700 true
	// inactive
	// introspection_unavailable
	// malformed
}

// The document shows this code as it stands here.
func TestTokeninfoInTheDocument(t *testing.T) {
	source, err := os.ReadFile("tokeninfo_test.go")
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.FromSlash(document))
	require.NoError(t, err)
	_, code, _ := strings.Cut(strings.ReplaceAll(string(source), "\r\n", "\n"), "// googleAccessTokens verifies")
	code, _, found := strings.Cut(code, "\n// A fake of Google")
	require.True(t, found)
	require.Contains(t, strings.ReplaceAll(string(text), "\r\n", "\n"), code)
}
