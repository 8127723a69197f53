package authtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/test/bubble"
)

// What programs elsewhere compile against.
var (
	_ func(testing.TB, ...authtest.Option) *authtest.Server          = authtest.New
	_ func(...authtest.Option) (*authtest.Server, error)             = authtest.Start
	_ func(*authtest.Server, bearergate.Claims) string               = (*authtest.Server).Token
	_ func(*authtest.Server, authtest.Fault)                         = (*authtest.Server).Fail
	_ func(_ *authtest.Server, header, claims map[string]any) string = (*authtest.Server).Sign
	_ interface {
		Issuer() string
		Client() *http.Client
		Rotate()
		Requests(path string) int
		Close()
	} = (*authtest.Server)(nil)
)

// get sends a GET with pairs of header fields, and returns the answer with the
// whole body, read without error.
func get(t *testing.T, as *authtest.Server, url string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, err := try(t, as, url, header...)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func try(t *testing.T, as *authtest.Server, url string, header ...string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return as.Client().Do(req)
}

// part decodes one part of a token.
func part(t *testing.T, token string, i int) map[string]any {
	t.Helper()
	data, err := decodePart(token, i)
	require.NoError(t, err)
	var members map[string]any
	require.NoError(t, strictjson.Unmarshal(data, &members))
	return members
}

func header(t *testing.T, token string) map[string]any { t.Helper(); return part(t, token, 0) }
func claims(t *testing.T, token string) map[string]any { t.Helper(); return part(t, token, 1) }

// verify checks the signature with the keys that the server publishes.
func verify(as *authtest.Server, token string) error {
	keys, skipped, err := jose.ParseSet(as.JWKS(), 100)
	if err != nil || len(skipped) != 0 {
		return fmt.Errorf("key set: %w %v", err, skipped)
	}
	jws, err := jose.Parse(token, 16<<10)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key.ID() == jws.Header.KeyID {
			return key.Verify(jws.Header.Algorithm, jws.Signed, jws.Signature)
		}
	}
	return fmt.Errorf("no key %s", jws.Header.KeyID)
}

// inBubble runs f in a synctest bubble: it fails if a goroutine of the server
// or of its client is left after Close.
func inBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	bubble.Test(t, f)
}

// later lets fake time pass.
func later(d time.Duration) { <-time.After(d) }

func TestDefaults(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		as := authtest.New(t)
		require.Equal(t, "https://as.example.test", as.Issuer())
		require.Equal(t, authtest.DefaultIssuer, as.Issuer())
		require.Equal(t, time.Hour, authtest.DefaultLifetime)
		require.Zero(t, as.Client().Timeout)
		require.Zero(t, as.Requests(""))

		token := as.Token(authtest.Claims{})
		kid := header(t, token)["kid"]
		require.Equal(t, map[string]any{"alg": authtest.DefaultAlgorithm, "kid": kid, "typ": "at+jwt"}, header(t, token))
		require.Equal(t, "ES256", authtest.DefaultAlgorithm)
		c := claims(t, token)
		require.NotEmpty(t, c["jti"])
		now := float64(time.Now().Unix())
		require.Equal(t, map[string]any{
			"iss": authtest.DefaultIssuer, "aud": authtest.DefaultAudience, "sub": authtest.DefaultSubject,
			"client_id": authtest.DefaultClientID, "jti": c["jti"], "iat": now, "exp": now + 3600,
		}, c)
		require.NotEqual(t, c["jti"], claims(t, as.Token(authtest.Claims{}))["jti"])
		require.NoError(t, verify(as, token))

		resp, _ := get(t, as, as.URL("/jwks"))
		require.Empty(t, resp.Header.Values("Cache-Control"))
	})
}

func TestMetadata(t *testing.T) {
	for issuer, paths := range map[string][2]string{
		"https://as.example.test":          {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"},
		"https://as.example.test/":         {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"},
		"https://AS.example.test:8443/t/1": {"/.well-known/oauth-authorization-server/t/1", "/t/1/.well-known/openid-configuration"},
		"http://localhost/t%2F1/":          {"/.well-known/oauth-authorization-server/t%2F1", "/t%2F1/.well-known/openid-configuration"},
	} {
		t.Run(issuer, func(t *testing.T) {
			as := authtest.New(t, authtest.WithIssuer(issuer), authtest.WithAlgorithms("EdDSA", "ES384"))
			require.Equal(t, issuer, as.Issuer())
			require.Equal(t, issuer, claims(t, as.Token(authtest.Claims{}))["iss"])
			for _, path := range paths {
				resp, body := get(t, as, as.URL(path))
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
				var m map[string]any
				require.NoError(t, strictjson.Unmarshal([]byte(body), &m))
				require.Equal(t, issuer, m["issuer"])
				require.Equal(t, as.URL("/jwks"), m["jwks_uri"])
				require.Equal(t, as.URL("/token"), m["token_endpoint"])
				require.Equal(t, []any{"EdDSA", "ES384"}, m["id_token_signing_alg_values_supported"])

				decoded, err := url.PathUnescape(path)
				require.NoError(t, err)
				require.Equal(t, 1, as.Requests(decoded))
			}
			_, keys := get(t, as, as.URL("/jwks"))
			require.Equal(t, string(as.JWKS()), keys)
			if paths[0] != "/.well-known/oauth-authorization-server" {
				resp, _ := get(t, as, as.URL("/.well-known/oauth-authorization-server"))
				require.Equal(t, http.StatusNotFound, resp.StatusCode)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	as := authtest.New(t)
	for _, path := range []string{"/", "/nowhere", "/jwks/", "/.well-known/jwks.json"} {
		resp, _ := get(t, as, as.URL(path))
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
	}
	require.Equal(t, 1, as.Requests("/nowhere"))
	require.Equal(t, 4, as.Requests(""))

	resp, _ := get(t, as, as.URL("/token"))
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.Equal(t, "POST", resp.Header.Get("Allow"))
	resp, err := as.Client().Head(as.URL("/jwks"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.EqualValues(t, len(as.JWKS()), resp.ContentLength)
	resp, err = as.Client().Post(as.URL("/jwks"), "text/plain", strings.NewReader(strings.Repeat("x", 2<<20)))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
}

func TestKeySet(t *testing.T) {
	as := authtest.New(t, authtest.WithCacheControl("max-age=60"))
	resp, body := get(t, as, as.URL("/jwks"))
	etag := resp.Header.Get("ETag")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/jwk-set+json", resp.Header.Get("Content-Type"))
	require.Equal(t, "max-age=60", resp.Header.Get("Cache-Control"))
	require.NotEmpty(t, etag)
	require.Equal(t, string(as.JWKS()), body)

	for _, value := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		resp, body = get(t, as, as.URL("/jwks"), "If-None-Match", value)
		require.Equal(t, http.StatusNotModified, resp.StatusCode, value)
		require.Empty(t, body)
		require.Equal(t, etag, resp.Header.Get("ETag"))
		require.Equal(t, "max-age=60", resp.Header.Get("Cache-Control"))
	}
	as.Rotate()
	resp, body = get(t, as, as.URL("/jwks"), "If-None-Match", etag)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NotEqual(t, etag, resp.Header.Get("ETag"))
	require.Equal(t, string(as.JWKS()), body)
}

func TestWithMetadataAndHosts(t *testing.T) {
	as := authtest.New(t, authtest.WithHosts("Keys.example.test", "other.example.test:8443"), authtest.WithMetadata(map[string]any{
		"jwks_uri": "https://keys.example.test/jwks", "token_endpoint": nil, "more": []int{1},
	}))
	_, body := get(t, as, as.URL("/.well-known/openid-configuration"))
	var m map[string]any
	require.NoError(t, strictjson.Unmarshal([]byte(body), &m))
	require.Equal(t, "https://keys.example.test/jwks", m["jwks_uri"])
	require.Equal(t, []any{1.0}, m["more"])
	require.NotContains(t, m, "token_endpoint")
	require.Equal(t, as.Issuer(), m["issuer"])

	for _, reached := range []string{"https://keys.example.test/jwks", "http://keys.example.test/jwks",
		"https://other.example.test:8443/jwks", "https://AS.example.test:443/jwks"} {
		_, body = get(t, as, reached)
		require.Equal(t, string(as.JWKS()), body, reached)
	}
	for _, refused := range []string{"https://example.test/", "https://other.example.test/", "https://as.example.test:444/",
		"http://as.example.test/", "http://127.0.0.1/"} {
		_, err := try(t, as, refused)
		require.ErrorContains(t, err, "does not reach", refused)
	}
}

func TestWithAudience(t *testing.T) {
	as := authtest.New(t, authtest.WithAudience("https://a.example.test", "https://b.example.test"))
	require.Equal(t, []any{"https://a.example.test", "https://b.example.test"}, claims(t, as.Token(authtest.Claims{}))["aud"])
}

func TestStart(t *testing.T) {
	as, err := authtest.Start()
	require.NoError(t, err)
	t.Cleanup(as.Close)
	require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, as.Issuer())
	require.NoError(t, verify(as, as.Token(authtest.Claims{})))

	// Any client reaches it, and its own client is like any other.
	elsewhere, err := authtest.Start()
	require.NoError(t, err)
	t.Cleanup(elsewhere.Close)
	resp, err := as.Client().Get(elsewhere.URL("/jwks"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 1, elsewhere.Requests("/jwks"))

	as.Close()
	as.Close()
	_, err = try(t, as, as.URL("/jwks"))
	require.Error(t, err)
	require.NotEmpty(t, as.Token(authtest.Claims{}))
}

// A web page whose name resolves to loopback (DNS rebinding) gets no token out of a server
// that runs on the machine of whoever looks at it.
func TestStartAnswersUnderItsNamesAlone(t *testing.T) {
	as, err := authtest.Start(authtest.WithHosts("as.example.test"))
	require.NoError(t, err)
	defer as.Close()
	for host, status := range map[string]int{
		"":                        http.StatusOK,
		"localhost":               http.StatusOK,
		"LocalHost:8080":          http.StatusOK,
		"as.localhost:8080":       http.StatusOK,
		"[::1]:8080":              http.StatusOK,
		"as.example.test":         http.StatusOK,
		"As.Example.Test:443":     http.StatusOK,
		"page.example.test":       http.StatusMisdirectedRequest,
		"page.example.test:40123": http.StatusMisdirectedRequest,
		"127.0.0.1.example.test":  http.StatusMisdirectedRequest,
		"localhost.example.test":  http.StatusMisdirectedRequest,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, as.URL("/token"), strings.NewReader("grant_type=client_credentials&client_id=a&client_secret=b"))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Host = host
		resp, err := as.Client().Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, host)
		require.Equal(t, status == http.StatusOK, strings.Contains(string(body), "access_token"), host)
	}
}

func TestStartOptions(t *testing.T) {
	for name, opts := range map[string][]authtest.Option{
		"TCP, own issuer": {authtest.WithIssuer("https://as.example.test/tenant")},
		"TCP, hosts":      {authtest.WithHosts("keys.example.test")},
		"in memory":       {authtest.WithInMemory()},
		"address":         {authtest.WithInMemory(), authtest.WithAddr("localhost:0")},
	} {
		t.Run(name, func(t *testing.T) {
			as, err := authtest.Start(opts...)
			require.NoError(t, err)
			defer as.Close()
			_, body := get(t, as, as.URL("/jwks"))
			require.Equal(t, string(as.JWKS()), body)
			if name != "address" {
				_, err := try(t, as, "https://example.test/")
				require.ErrorContains(t, err, "does not reach")
			}
		})
	}
	tcp := authtest.New(t, authtest.WithAddr("127.0.0.1:0"))
	_, body := get(t, tcp, tcp.URL("/jwks"))
	require.Equal(t, string(tcp.JWKS()), body)
}

func TestStartRefuses(t *testing.T) {
	for want, opt := range map[string]authtest.Option{
		"http or https":  authtest.WithIssuer("as.example.test"),
		"with a host":    authtest.WithIssuer("https:///path"),
		"no query":       authtest.WithIssuer("https://as.example.test?x=1"),
		"no fragment":    authtest.WithIssuer("https://as.example.test#"),
		"the issuer":     authtest.WithIssuer("https://as.example.test:port"),
		`algorithm "no`:  authtest.WithAlgorithms("none"),
		`algorithm "HS2`: authtest.WithAlgorithms("ES256", "HS256"),
		"WithAlgorithms has no value: name an algorithm, or leave it out for ES256": authtest.WithAlgorithms(),
		"WithAudience has no value: name an audience, or leave it out for":          authtest.WithAudience(),
		"the metadata": authtest.WithMetadata(map[string]any{"f": func() {}}),
		"WithAddr: use a free address, 127.0.0.1:0 for example: listen": authtest.WithAddr("127.0.0.1:99999"),
	} {
		as, err := authtest.Start(opt)
		require.Nil(t, as)
		require.ErrorContains(t, err, want)
		require.True(t, strings.HasPrefix(err.Error(), "authtest: "), err)
		stopped := fatal(t, func(tb testing.TB) { authtest.New(tb, opt) })
		require.Contains(t, stopped, want)
	}
}

// recorder is a testing.TB that survives Fatal.
type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}
func (r *recorder) Fatal(args ...any) {
	r.text = fmt.Sprint(args...)
	runtime.Goexit()
}

// fatal returns with what text f ended the test that it was given.
func fatal(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	var done sync.WaitGroup
	done.Go(func() { f(r) })
	done.Wait()
	return r.text
}

func TestMisuseEndsTheTestOrPanics(t *testing.T) {
	for want, misuse := range map[string]func(*authtest.Server){
		`algorithm "none"`:  func(as *authtest.Server) { as.Sign(map[string]any{"alg": "none"}, nil) },
		`algorithm "es256"`: func(as *authtest.Server) { as.Sign(map[string]any{"alg": "es256"}, nil) },
		"alg is a int: give a string, or nil for a header without it": func(as *authtest.Server) { as.Sign(map[string]any{"alg": 1}, nil) },
		"header cannot": func(as *authtest.Server) { as.Sign(map[string]any{"x": make(chan int)}, nil) },
		"claims cannot": func(as *authtest.Server) { as.Sign(nil, map[string]any{"x": "\xff"}) },
		"Claims.Raw":    func(as *authtest.Server) { as.Token(authtest.Claims{Raw: []byte(`[]`)}) },
		`Claims.Confirmation: the member "jkt" is not JSON text`:                     func(as *authtest.Server) { as.Claims(authtest.Claims{Confirmation: map[string][]byte{"jkt": nil}}) },
		"Fault.Status is 100: use 200 to 599, or 0 for what the server would answer": func(as *authtest.Server) { as.Fail(authtest.Fault{Status: 100}) },
		"Fault.Times is negative: use more than 0, or leave it out":                  func(as *authtest.Server) { as.Fail(authtest.Fault{Times: -1}) },
	} {
		t.Run(want, func(t *testing.T) {
			require.Contains(t, fatal(t, func(tb testing.TB) {
				as := authtest.New(tb)
				defer as.Close()
				misuse(as)
			}), want)

			as, err := authtest.Start()
			require.NoError(t, err)
			defer as.Close()
			defer func() {
				text, _ := recover().(string)
				require.True(t, strings.HasPrefix(text, "authtest: ") && strings.Contains(text, want), text)
			}()
			misuse(as)
		})
	}
}

func TestTokenEndpoint(t *testing.T) {
	as := authtest.New(t)
	basic := func(r *http.Request) { r.SetBasicAuth("shop%3Aone", "secret") }
	for name, test := range map[string]struct {
		form   string
		set    func(*http.Request)
		status int
		err    string
		claims map[string]any // of the token
	}{
		"basic":       {form: "grant_type=client_credentials", set: basic, claims: map[string]any{"sub": "shop:one", "client_id": "shop:one", "aud": authtest.DefaultAudience}},
		"post":        {form: "grant_type=client_credentials&client_id=shop&client_secret=x", claims: map[string]any{"sub": "shop", "client_id": "shop"}},
		"scope":       {form: "grant_type=client_credentials&client_id=shop&scope=a+b", claims: map[string]any{"scope": "a b"}},
		"audience":    {form: "grant_type=client_credentials&client_id=shop&audience=https://a.test", claims: map[string]any{"aud": "https://a.test"}},
		"resources":   {form: "grant_type=client_credentials&client_id=shop&resource=https://a.test&resource=https://b.test", claims: map[string]any{"aud": []any{"https://a.test", "https://b.test"}}},
		"no client":   {form: "grant_type=client_credentials", status: 401, err: "invalid_client"},
		"other grant": {form: "grant_type=password&client_id=shop", status: 400, err: "unsupported_grant_type"},
		"no grant":    {form: "client_id=shop", status: 400, err: "unsupported_grant_type"},
		"bad scope":   {form: "grant_type=client_credentials&client_id=shop&scope=a++b", status: 400, err: "invalid_scope"},
		"bad form":    {form: "%zz", status: 400, err: "invalid_request"},
		"bad UTF-8":   {form: "grant_type=client_credentials&client_id=%ff", status: 400, err: "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, as.URL("/token"), strings.NewReader(test.form))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if test.set != nil {
				test.set(req)
			}
			resp, err := as.Client().Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
			var m struct {
				Error       string
				AccessToken string `json:"access_token"`
				TokenType   string `json:"token_type"`
				ExpiresIn   int    `json:"expires_in"`
				Scope       string
			}
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&m))
			require.Equal(t, test.err, m.Error)
			if test.err != "" {
				require.Equal(t, test.status, resp.StatusCode)
				require.Empty(t, m.AccessToken)
				return
			}
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.NoError(t, verify(as, m.AccessToken))
			require.Equal(t, "Bearer", m.TokenType)
			require.Equal(t, 3600, m.ExpiresIn)
			require.Subset(t, claims(t, m.AccessToken), test.claims)
			scope, _ := test.claims["scope"].(string)
			require.Equal(t, scope, m.Scope)
		})
	}
}

// The token endpoint gives the tokens of WithTokens, for the claims that were asked for.
func TestTokenEndpointWithTokens(t *testing.T) {
	ofProvider := func(as *authtest.Server, c authtest.Claims) string {
		claims := as.Claims(c)
		claims["azp"] = claims["client_id"]
		delete(claims, "client_id")
		return as.Sign(map[string]any{"typ": "JWT"}, claims)
	}
	for name, test := range map[string]struct {
		give func(*authtest.Server, authtest.Claims) string
		read func(*testing.T, *authtest.Server, string) map[string]any
		want map[string]any
	}{
		"nil is the default": {
			read: func(t *testing.T, _ *authtest.Server, token string) map[string]any { return claims(t, token) },
			want: map[string]any{"client_id": "shop", "scope": "a b", "aud": "https://a.test"},
		},
		"opaque": {
			give: (*authtest.Server).Opaque,
			read: func(t *testing.T, as *authtest.Server, token string) map[string]any {
				require.NotContains(t, token, ".")
				return answer(t, as, token)
			},
			want: map[string]any{"active": true, "client_id": "shop", "scope": "a b", "aud": "https://a.test"},
		},
		"as a provider writes them": {
			give: ofProvider,
			read: func(t *testing.T, _ *authtest.Server, token string) map[string]any {
				require.NotContains(t, claims(t, token), "client_id")
				return claims(t, token)
			},
			want: map[string]any{"azp": "shop", "scope": "a b", "aud": "https://a.test"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			as := authtest.New(t, authtest.WithTokens(test.give))
			ask := func(form string) (status int, token, code string) {
				resp, err := as.Client().Post(as.URL("/token"), "application/x-www-form-urlencoded", strings.NewReader("grant_type=client_credentials&"+form))
				require.NoError(t, err)
				defer resp.Body.Close()
				var m struct {
					AccessToken string `json:"access_token"`
					Error       string
				}
				require.NoError(t, json.NewDecoder(resp.Body).Decode(&m))
				return resp.StatusCode, m.AccessToken, m.Error
			}
			status, token, _ := ask("client_id=shop&scope=a+b&resource=https://a.test")
			require.Equal(t, http.StatusOK, status)
			require.Subset(t, test.read(t, as, token), test.want)
			status, token, code := ask("client_id=%ff")
			require.Equal(t, http.StatusBadRequest, status, "a mistake of the client, and no fatal one of the test")
			require.Equal(t, "invalid_request", code)
			require.Empty(t, token)
		})
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		as := authtest.New(t)
		as.Fail(authtest.Fault{Path: "/hang", Hang: true})
		as.Fail(authtest.Fault{Path: "/delay", Delay: 1000 * time.Hour})
		as.Fail(authtest.Fault{Path: "/drip", Body: []byte("slow"), Drip: 1000 * time.Hour})
		start := time.Now()
		var clients sync.WaitGroup
		for _, path := range []string{"/hang", "/delay", "/drip"} {
			clients.Go(func() {
				resp, err := as.Client().Get(as.URL(path))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				if err == nil {
					t.Error("an answer from a closed server")
				}
			})
		}
		synctest.Wait()
		as.Close()
		clients.Wait()
		require.Equal(t, start, time.Now())
		require.Equal(t, 3, as.Requests(""))
	})
}

func TestCloseEndsWhatCannotSeeItsClientLeave(t *testing.T) {
	// net/http watches for the end of a connection only once the body is read,
	// and this one is too long to be.
	as := authtest.New(t)
	for _, fault := range []authtest.Fault{{Hang: true}, {Delay: 1000 * time.Hour}} {
		as.Fail(fault)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, as.URL("/hang"), endless{})
		require.NoError(t, err)
		var client sync.WaitGroup
		client.Go(func() {
			if _, err := as.Client().Do(req); err == nil {
				t.Error("an answer from a server that hangs")
			}
		})
		for !strings.Contains(stacks(), "authtest.(*Server).serve") {
			runtime.Gosched()
		}
		cancel()
		client.Wait()
	}
	as.Close()
	requireGone(t, "authtest.(*Server)")
}

// endless reads as zeros without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// requireGone asserts that no goroutine is in a function any more. One that Close
// waited for has said so from within the function, and may need a moment to leave it.
func requireGone(t *testing.T, function string) {
	t.Helper()
	for range 5000 {
		if !strings.Contains(stacks(), function) {
			return
		}
		runtime.Gosched()
	}
	require.NotContains(t, stacks(), function)
}

// stacks returns those of all goroutines.
func stacks() string {
	text := make([]byte, 16<<20)
	return string(text[:runtime.Stack(text, true)])
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	// Outside a bubble, where nobody but Close waits for them.
	for range 5 {
		as, err := authtest.Start()
		require.NoError(t, err)
		as.Fail(authtest.Fault{PadTo: 1 << 40, Gzip: true}) // never idle
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				if resp, err := as.Client().Get(as.URL("/jwks")); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		}
		for strings.Count(stacks(), "authtest.(*Server).write") < 4 {
			runtime.Gosched()
		}
		as.Close()
		requireGone(t, "authtest.(*Server)")
		clients.Wait()
	}
}

func TestNoConnectionOutlivesItsRequest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		as := authtest.New(t)
		_, _ = get(t, as, as.URL("/jwks"))
		synctest.Wait()
		for stack := range strings.SplitSeq(stacks(), "\n\n") {
			if strings.Contains(stack, "synctest bubble") {
				require.NotContains(t, stack, "http.(*persistConn)")
				require.NotContains(t, stack, "http.(*conn)")
			}
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	as := authtest.New(t)
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for range 10 {
				switch i % 4 {
				case 0:
					as.Rotate()
					as.Withdraw()
				case 1:
					as.Fail(authtest.Fault{Path: "/jwks", Times: 1, Status: 503, Header: http.Header{"X": {"y"}}})
				case 2:
					_ = as.Sign(map[string]any{"alg": "EdDSA"}, as.Claims(authtest.Claims{}))
				default:
					_ = as.Token(authtest.Claims{Raw: []byte(`{"x":1}`)})
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, as.URL("/jwks"), nil)
				if err != nil {
					t.Error(err)
				} else if resp, err := as.Client().Do(req); err != nil {
					t.Error(err)
				} else {
					_ = resp.Body.Close()
				}
				cancel()
				_ = as.Requests("")
			}
		})
	}
	work.Wait()
	require.Equal(t, 80, as.Requests("/jwks"))
}

// request makes one with a body, "" for none.
func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	require.NoError(t, err)
	return r
}

// do sends a request and returns the status and the body of the answer.
func do(t *testing.T, transport http.RoundTripper, r *http.Request) (int, string) {
	t.Helper()
	resp, err := transport.RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}
