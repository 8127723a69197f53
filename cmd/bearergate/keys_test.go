package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
)

// keysOf runs keys -json.
func keysOf(t *testing.T, code int, args ...string) keysReport {
	t.Helper()
	r := invoke(t, "", append([]string{"keys", "-json"}, args...)...)
	require.Equal(t, code, r.code, r.out+r.err)
	require.Empty(t, r.err)
	var report keysReport
	require.NoError(t, json.Unmarshal([]byte(r.out), &report), r.out)
	return report
}

func TestKeys(t *testing.T) {
	as := startServer(t, authtest.WithAlgorithms("ES256", "RS256"), authtest.WithCacheControl("max-age=120"))
	got := keysOf(t, exitOK, "-issuer", as.Issuer())
	require.Equal(t, as.Issuer(), got.Issuer)
	require.Equal(t, as.URL("/jwks"), got.JWKSURI)
	require.Equal(t, "ok", got.Outcome)
	require.Equal(t, "fresh", got.State)
	require.InDelta(t, 120, got.TTLSeconds, 12, "what Cache-Control says, a tenth more or less")
	require.Equal(t, []string{"rfc8414", "url"}, []string{got.Documents[0].Kind, got.Documents[1].Kind})
	require.Equal(t, map[string]string{"issuer": as.Issuer(), "jwks_uri": as.URL("/jwks"), "introspection_endpoint": as.URL("/introspect")}, got.Documents[0].Metadata)
	require.Nil(t, got.Documents[1].Metadata)
	require.Equal(t, "max-age=120", got.Documents[1].CacheControl)
	require.NotEmpty(t, got.Documents[1].ETag)
	require.Zero(t, got.Documents[1].SkewSeconds)
	require.Len(t, got.Keys, 2)
	set, err := jwks.Static(as.JWKS())
	require.NoError(t, err)
	for _, k := range got.Keys {
		require.True(t, k.Admitted)
		require.Empty(t, k.Why)
		found, err := set.Keys(t.Context(), k.KeyID, k.Algorithms[0])
		require.NoError(t, err)
		thumbprint := found[0].Thumbprint()
		require.Equal(t, base64.RawURLEncoding.EncodeToString(thumbprint[:]), k.Thumbprint)
		if k.Type == "RSA" {
			require.Equal(t, 2048, k.Bits)
		}
	}
	text := invoke(t, "", "keys", "-issuer", as.Issuer())
	require.Zero(t, text.code)
	require.Contains(t, text.out, "0 admitted: kid ")
	require.Contains(t, text.out, `Cache-Control: "max-age=120"`)
}

// Where one of the two documents is missing, it says which one answered.
func TestKeysOfOpenIDAlone(t *testing.T) {
	as := startServer(t)
	as.Fail(authtest.Fault{Path: "/.well-known/oauth-authorization-server", Status: 404})
	got := keysOf(t, exitOK, "-issuer", as.Issuer())
	require.Equal(t, []string{"rfc8414", "openid", "url"}, []string{got.Documents[0].Kind, got.Documents[1].Kind, got.Documents[2].Kind})
	require.Equal(t, []int{404, 200, 200}, []int{got.Documents[0].Status, got.Documents[1].Status, got.Documents[2].Status})
}

// certified makes a JWK of a new key with a certificate that ends then.
func certified(t *testing.T, kid string, notAfter time.Time, more string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q,"x5c":[%q]%s}`, kid, encode(point[1:33]), encode(point[33:]),
		base64.StdEncoding.EncodeToString(der), more)
}

// Every key that is not used has its reason, and what ends soon is noted.
func TestKeysSkipped(t *testing.T) {
	soonEnded := certified(t, "a", time.Now().Add(73*time.Hour), "")
	set := `{"keys":[` + strings.Join([]string{
		soonEnded,
		certified(t, "b", time.Now().Add(-time.Hour), `,"use":"enc"`),
		certified(t, "c", time.Now().Add(1000*time.Hour), `,"use":"jwt-svid"`),
		`{"kty":"oct","k":"c2VjcmV0","kid":"\u001b[2J"}`,
		`7`,
	}, ",") + `]}`
	as := startServer(t)
	as.Fail(authtest.Fault{Path: "/jwks", Body: []byte(set)})
	for _, source := range [][]string{{"-issuer", as.Issuer()}, {"-jwks-file", tempFile(t, set)}, {"-keys-url", as.URL("/jwks?key=topsecret")}} {
		got := keysOf(t, exitOK, source...)
		require.Len(t, got.Keys, 5)
		for i, want := range []struct {
			admitted bool
			why      string
		}{{true, ""}, {false, "use"}, {false, "use"}, {false, "private"}, {false, "object"}} {
			require.Equal(t, want.admitted, got.Keys[i].Admitted, "%+v", got.Keys[i])
			require.Contains(t, got.Keys[i].Why, want.why)
		}
		require.Equal(t, 3, got.Keys[0].Certificates[0].DaysLeft)
		require.Equal(t, -1, got.Keys[1].Certificates[0].DaysLeft)
		require.Len(t, got.Notes, 2, "%q", got.Notes)
		require.Contains(t, got.Notes[0], "3 days left")
		allowed := keysOf(t, exitOK, append(source, "-allow-use", "jwt-svid")...)
		require.True(t, allowed.Keys[2].Admitted, "%+v", allowed.Keys[2])
		require.NotEmpty(t, allowed.Keys[2].Thumbprint)
		text := invoke(t, "", append([]string{"keys"}, source...)...)
		requirePlain(t, text.out)
		require.NotContains(t, text.out, "topsecret")
		require.Contains(t, text.out, "why ")
	}
}

// A server that answers nonsense is told apart from one that does not answer.
func TestKeysFailures(t *testing.T) {
	as := startServer(t)
	for name, tc := range map[string]struct {
		fault   authtest.Fault
		code    int
		outcome jwks.Outcome
	}{
		"down":           {fault: authtest.Fault{Path: "/jwks", Status: 503}, code: exitOutage, outcome: jwks.OutcomeStatus},
		"throttled":      {fault: authtest.Fault{Path: "/jwks", Status: 429}, code: exitOutage, outcome: jwks.OutcomeStatus},
		"gone":           {fault: authtest.Fault{Path: "/jwks", Status: 404}, code: exitFound, outcome: jwks.OutcomeStatus},
		"dropped":        {fault: authtest.Fault{Path: "/jwks", Drop: true}, code: exitOutage, outcome: jwks.OutcomeConnect},
		"empty":          {fault: authtest.Fault{Path: "/jwks", Body: []byte(`{"keys":[]}`)}, code: exitFound, outcome: jwks.OutcomeNoUsableKey},
		"HTML":           {fault: authtest.Fault{Path: "/jwks", ContentType: "text/html", Body: []byte("<html>")}, code: exitFound, outcome: jwks.OutcomeContentType},
		"too large":      {fault: authtest.Fault{Path: "/jwks", PadTo: 1 << 20}, code: exitFound, outcome: jwks.OutcomeTooLarge},
		"another issuer": {fault: authtest.Fault{Body: []byte(`{"issuer":"https://\u001b[2J","jwks_uri":"x"}`), ContentType: "application/json"}, code: exitFound, outcome: jwks.OutcomeIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			as.Fail(authtest.Fault{})
			as.Fail(tc.fault)
			got := keysOf(t, tc.code, "-issuer", as.Issuer())
			require.Equal(t, string(tc.outcome), got.Outcome)
			require.NotEmpty(t, got.Error)
			require.Zero(t, got.TTLSeconds)
			text := invoke(t, "", "keys", "-issuer", as.Issuer())
			require.Equal(t, tc.code, text.code)
			require.Contains(t, text.out, "failed   ")
			requirePlain(t, text.out)
		})
	}
	as.Fail(authtest.Fault{Hang: true})
	r := invoke(t, "", "keys", "-issuer", as.Issuer(), "-timeout", "50ms")
	require.Equal(t, exitOutage, r.code, r.out+r.err)
}

func TestKeysCompared(t *testing.T) {
	as := startServer(t)
	var export []byte
	cache, err := jwks.New(jwks.Config{Issuer: as.Issuer()})
	require.NoError(t, err)
	require.NoError(t, cache.Refresh(t.Context()))
	export, err = cache.Export()
	require.NoError(t, err)
	before := invoke(t, "", "keys", "-json", "-issuer", as.Issuer())
	old := keysOf(t, exitOK, "-issuer", as.Issuer()).Keys[0].KeyID
	as.Rotate()
	as.Withdraw()
	for name, earlier := range map[string]string{"its own output": before.out, "an export": string(export)} {
		got := keysOf(t, exitOK, "-issuer", as.Issuer(), "-compare", tempFile(t, earlier))
		require.Equal(t, &comparison{Added: []string{got.Keys[0].KeyID}, Removed: []string{old}, Replaced: []string{}}, got.Compared, name)
	}
	same := keysOf(t, exitOK, "-issuer", as.Issuer(), "-compare", tempFile(t, invoke(t, "", "keys", "-json", "-issuer", as.Issuer()).out))
	require.Equal(t, &comparison{Added: []string{}, Removed: []string{}, Replaced: []string{}, Kept: 1}, same.Compared)

	a, b := certified(t, "same", time.Now(), ""), certified(t, "same", time.Now(), "")
	replaced := keysOf(t, exitOK, "-jwks-file", tempFile(t, `{"keys":[`+b+`]}`), "-compare", tempFile(t, `{"keys":[`+a+`]}`))
	require.Equal(t, &comparison{Added: []string{}, Removed: []string{}, Replaced: []string{"same"}}, replaced.Compared)
	text := invoke(t, "", "keys", "-jwks-file", tempFile(t, `{"keys":[`+b+`]}`), "-compare", tempFile(t, `{"keys":[`+a+`]}`))
	require.Contains(t, text.out, `replaced under its kid: "same"`)
}

// A clock that differs is told, as far as Date can tell.
func TestKeysSkew(t *testing.T) {
	as := startServer(t)
	set := as.JWKS()
	var ahead time.Duration
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Age", "7")
		_, _ = w.Write(set)
	}))
	defer server.Close()
	for _, tc := range []struct {
		ahead time.Duration
		notes int
	}{{0, 0}, {2 * time.Second, 0}, {time.Minute, 1}, {-time.Minute, 1}} {
		ahead = tc.ahead
		got := keysOf(t, exitOK, "-keys-url", server.URL)
		require.Equal(t, "7", got.Documents[0].Age)
		require.InDelta(t, tc.ahead.Seconds(), got.Documents[0].SkewSeconds, 2)
		require.Len(t, got.Notes, tc.notes, "%q", got.Notes)
	}
}
