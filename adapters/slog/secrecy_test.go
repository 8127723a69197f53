package sloggate_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// leaks returns the pieces of secrets that stand in text, as they are or encoded.
func leaks(text string, secrets map[string]string) []string {
	const piece = 16
	pieces := map[string]string{} // to the names of the secrets
	for name, secret := range secrets {
		b := []byte(secret)
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), hex.EncodeToString(b), url.QueryEscape(secret)} {
			for i := 0; i+piece <= len(form); i++ {
				pieces[form[i:i+piece]] = name
			}
		}
	}
	var found []string
	for i := 0; i+piece <= len(text); i++ {
		if name, ok := pieces[text[i:i+piece]]; ok {
			found = append(found, name+": "+text[i:i+piece])
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestLeaksAreFound(t *testing.T) {
	secret := map[string]string{"secret": "the-secret-of-nobody-at-all"}
	for _, text := range []string{"a the-secret-of-nobody-at-all b", "the-secret-of-no", "nobody-at-all/secret-of-nobody-a", base64.StdEncoding.EncodeToString([]byte("the-secret-of-nobody-at-all"))[3:21]} {
		require.NotEmpty(t, leaks(text, secret), text)
	}
	require.Empty(t, leaks("the-secret-of-n obody-at-all", secret))
}

// echo is a server that puts what it was sent into its answer, in many ways.
type echo struct {
	mode string
	more string // what else it tells
	good http.RoundTripper
}

func (s echo) RoundTrip(r *http.Request) (*http.Response, error) {
	dump, err := httputil.DumpRequestOut(r, true)
	if err != nil {
		return nil, err
	}
	sent := string(dump) + s.more
	line := strings.Map(func(c rune) rune {
		if c < ' ' || c == '"' || c == '\\' {
			return '_'
		}
		return c
	}, sent)
	reply := func(status int, contentType, body string, header ...string) (*http.Response, error) {
		h := http.Header{"Content-Type": {contentType}}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	switch s.mode {
	case "good":
		return s.good.RoundTrip(r)
	case "500":
		return reply(500, "text/plain", sent, "Date", line, "Age", line)
	case "401":
		return reply(401, "text/plain", sent, "WWW-Authenticate", "Bearer error_description="+line)
	case "429":
		return reply(429, "text/plain", sent, "Retry-After", line)
	case "HTML":
		return reply(200, "text/html", "<pre>"+sent)
	case "content type":
		return reply(200, "text/"+line, sent)
	case "encoding":
		return reply(200, "application/json", sent, "Content-Encoding", line)
	case "redirect":
		return reply(302, "text/plain", sent, "Location", "https://as.example.test/?"+url.QueryEscape(line))
	case "malformed":
		return reply(200, "application/json", `{"active":true,"keys":[],"sub":"`+line)
	case "wrong types":
		return reply(200, "application/json", `{"active":"`+line+`","keys":"`+line+`","issuer":"`+line+`"}`)
	case "wrong members":
		return reply(200, "application/json", `{"active":true,"aud":{"`+line+`":1}, "keys":[{"kty":"`+line+`","alg":"`+line+`"}],"issuer":"x","jwks_uri":"`+line+`"}`)
	case "error":
		return nil, fmt.Errorf("dial: %s", sent)
	case "panic":
		panic(sent)
	}
	panic("no such mode")
}

var modes = []string{"good", "500", "401", "429", "HTML", "content type", "encoding", "redirect", "malformed", "wrong types", "wrong members", "error", "panic"}

// store is one that fails and tells all it knows.
type store struct{ secret string }

func (s store) Get(_ context.Context, key string) ([]byte, error) {
	return nil, errors.New(key + s.secret)
}
func (s store) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	return errors.New(key + s.secret + string(value))
}

// Tokens, secrets, cookies and bodies go through everything, past servers, user
// functions and hooks that repeat them wherever they can. Not sixteen bytes of
// any of them are written.
func TestSecrecy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		secrets := map[string]string{}
		secret := func(name string) string {
			secrets[name] = rand.Text() + rand.Text()
			return secrets[name]
		}
		live := func(c authtest.Claims) string {
			c.ExpiresAt = time.Now().Add(1000 * time.Hour)
			return as.Token(c)
		}
		tokens := map[string]string{
			"a JWT": live(authtest.Claims{Scopes: scope.Of("orders:read"), AuthTime: time.Now(), Roles: []string{"clerk"}, Raw: []byte(`{"sid":"s-1"}`),
				Actors: []bearergate.Actor{{Subject: "robot", ClientID: "robots"}}}),
			"a narrow JWT":      live(authtest.Claims{Scopes: scope.Of("other")}),
			"an expired JWT":    as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Hour)}),
			"a JWT of others":   live(authtest.Claims{Audience: []string{"https://other.example.test"}}),
			"a stranger's JWT":  as.Sign(nil, map[string]any{"iss": "https://nobody.example.test", "sub": "x"}),
			"a JWT of some key": as.Sign(map[string]any{"kid": "unknown"}, as.Claims(authtest.Claims{})),
			"another such JWT":  as.Sign(map[string]any{"kid": "unknown too"}, as.Claims(authtest.Claims{})),
			"no JWT":            live(authtest.Claims{}) + ".AAAA",
			"live opaque":       secret("live opaque"),
			"dead opaque":       secret("dead opaque"),
			"own jti":           secret("own jti"),
			"malformed":         secret("malformed") + " " + rand.Text(),
		}
		forged := []byte(tokens["a JWT"])
		forged[len(forged)-10] ^= 1
		tokens["a forged JWT"] = string(forged)
		maps.Copy(secrets, tokens)
		clientSecret, body, cookie, storeText := secret("client secret"), secret("a body"), secret("a cookie"), secret("a store's text")
		apiKey, bearer := secret("an API key"), secret("our own bearer")
		secrets["basic"] = "orders-api:" + clientSecret

		var text, tint output
		levels := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
		page, err := sloggate.NewRefusals(sloggate.MaxRefusals)
		require.NoError(t, err)
		a, err := sloggate.New(sloggate.Config{Handler: slog.NewMultiHandler(slog.NewTextHandler(&text, levels), jsonTo(t, &tint, levels), page), MaxPerSecond: 1 << 20,
			Trace: func(context.Context) (string, string) { return "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7" }})
		require.NoError(t, err)
		from, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
		require.NoError(t, err)

		answers := transport(func(r *http.Request) (*http.Response, error) {
			answer := `{"active":false,"error_description":"` + body + `"}`
			switch token := r.FormValue("token"); token {
			case tokens["live opaque"]:
				answer = `{"active":true,"aud":"` + authtest.DefaultAudience + `","scope":"orders:read","sub":"bob","username":"` + body + `"}`
			case tokens["own jti"]:
				answer = `{"active":true,"aud":"` + authtest.DefaultAudience + `","scope":"orders:read","jti":"` + token + `","username":"` + body + `"}`
			}
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
			return w.Result(), nil
		})
		auths := []introspect.Auth{introspect.BasicAuth("orders-api", clientSecret), introspect.PostAuth("orders-api", clientSecret),
			introspect.BearerAuth(func(context.Context) (string, error) { return bearer, nil }),
			introspect.BearerAuth(func(context.Context) (string, error) { return "", errors.New(bearer) })}
		// A verifier whose user repeats the token where he can.
		checks := map[string]func(context.Context, string) error{
			"nothing": nil,
			"error":   func(_ context.Context, token string) error { return errors.New("refused: " + token) },
			"own error": func(_ context.Context, token string) error {
				return fmt.Errorf("%w: %s", bearergate.ErrUnavailable, token)
			},
			"a Reason": func(_ context.Context, token string) error {
				return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.Reason(token), Scopes: []string{token}, Cause: errors.New(token)}
			},
			"panic": func(_ context.Context, token string) error { panic(token) },
		}

		for i := range len(modes) * len(auths) {
			mode, auth := modes[i/len(auths)], auths[i%len(auths)]
			v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, KeyHooks: a.KeyHooks(),
				HTTPClient: &http.Client{Transport: echo{mode, body, as.Client().Transport}}, Hooks: jwtverify.JoinHooks(a.VerifyHooks(), jwtverify.Hooks{
					Verified: func(context.Context, jwtverify.VerifyEvent) { panic(body) }})})
			require.NoError(t, err)
			byURL, err := jwks.New(jwks.Config{URL: as.URL("/jwks") + "?key=" + apiKey, HTTPClient: &http.Client{Transport: keyed{apiKey, echo{mode, body, as.Client().Transport}}},
				Hooks: jwks.JoinHooks(a.KeyHooks(), jwks.Hooks{Fetched: func(context.Context, jwks.FetchEvent) { panic(body) }})})
			require.NoError(t, err)
			client, err := introspect.New(introspect.Config{Issuer: "https://opaque.example.test", Endpoint: "https://opaque.example.test/introspect", Auth: auth, ClientID: "orders-api",
				Audiences: []string{authtest.DefaultAudience}, HTTPClient: &http.Client{Transport: echo{mode, body, answers}}, Store: introspect.StoreConfig{Answers: store{storeText}, Key: bearergate.NewSecret(storeText)},
				Hooks: introspect.JoinHooks(a.IntrospectHooks(), introspect.Hooks{Looked: func(context.Context, introspect.LookEvent) { panic(body) }})})
			require.NoError(t, err)
			router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{as.Issuer(): v}, Opaque: client})
			require.NoError(t, err)
			for check, f := range checks {
				if f != nil && i%len(auths) != 0 {
					continue // once is enough
				}
				verifier := bearergate.Verifier(router)
				if f != nil {
					verifier = bearergate.VerifierFunc(func(ctx context.Context, token string) (*bearergate.Token, error) { return nil, f(ctx, token) })
				}
				for _, carrier := range []string{"header", "cookie", "own error"} {
					c := middleware.Config{ClientAddress: from, Hooks: middleware.JoinHooks(a.GateHooks(), middleware.Hooks{Decided: func(context.Context, middleware.DecisionEvent) { panic(body) }})}
					if carrier != "header" {
						c.Extract = func(r *http.Request) (bearergate.Credentials, error) {
							session, err := r.Cookie("session")
							if err != nil || carrier == "own error" {
								return bearergate.Credentials{}, fmt.Errorf("no session: %v %v", r.Header, err)
							}
							return bearergate.Credentials{Raw: bearergate.NewSecret(session.Value)}, nil
						}
					}
					gate, err := middleware.New(verifier, c)
					require.NoError(t, err)
					mux := http.NewServeMux()
					mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
					mux.Handle("GET /documents/{id}", gate.Require(scope.Template("document:read:{id}"))(http.NotFoundHandler()))
					for name, token := range tokens {
						for _, path := range []string{"/orders/7", "/documents/7"} {
							if carrier != "header" && path != "/orders/7" {
								continue
							}
							r := httptest.NewRequestWithContext(t.Context(), "GET", path+"?access_token="+url.QueryEscape(token)+"&q="+url.QueryEscape(cookie), nil)
							// A client writes its secrets where an address is expected.
							r.Header["X-Forwarded-For"] = [][]string{{token + ", 198.51.100.7"}, {token}, {cookie + ":443", token}, {"198.51.100.7"}}[i%4]
							r.AddCookie(&http.Cookie{Name: "other", Value: cookie})
							if carrier == "header" {
								r.Header.Set("Authorization", "Bearer "+token)
							} else {
								r.AddCookie(&http.Cookie{Name: "session", Value: token})
							}
							w := httptest.NewRecorder()
							mux.ServeHTTP(w, r)
							if ok := name == "a JWT" || name == "live opaque" || name == "own jti"; ok && mode == "good" && (name == "a JWT" || i < 3) && check == "nothing" && carrier != "own error" && path == "/orders/7" {
								require.Equal(t, 200, w.Code, "%s by %s", name, carrier)
							}
						}
						synctest.Wait()
					}
				}
			}
			// A stranger sends a token to the wrong place.
			gate, err := middleware.New(router, middleware.Config{Hooks: a.GateHooks()})
			require.NoError(t, err)
			mux := http.NewServeMux()
			mux.Handle("/documents/{id}", gate.Require(scope.Template("document:read:{id}"))(http.NotFoundHandler()))
			mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), tokens["live opaque"], "/documents/"+tokens["live opaque"]+"?access_token="+tokens["a JWT"], nil))

			_, _ = byURL.Keys(t.Context(), "unknown", "ES256")
			_, _ = byURL.Keys(t.Context(), "unknown", "ES256")
			client.Purge(tokens["live opaque"])
			time.Sleep(time.Hour)
			_, _ = byURL.Keys(t.Context(), "", "ES256")
			synctest.Wait()
		}

		shown := httptest.NewRecorder()
		page.ServeHTTP(shown, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		require.Contains(t, shown.Body.String(), `"refused":{`)
		require.Empty(t, leaks(shown.Body.String(), secrets))
		for _, o := range []*output{&text, &tint} {
			for _, part := range []string{"198.51.100.7", "4bf92f3577b34da6a3ce929d0e0e4736", "robot", "s-1", "clerk", "principal"} {
				require.Contains(t, o.String(), part, "or nothing was looked at")
			}
			for _, event := range []sloggate.Event{sloggate.EventDecision, sloggate.EventVerification, sloggate.EventIntrospection, sloggate.EventCall, sloggate.EventBreaker,
				sloggate.EventPurge, sloggate.EventStore, sloggate.EventFetch, sloggate.EventKeys, sloggate.EventState, sloggate.EventMiss, sloggate.EventSkipped, sloggate.EventQueryToken, sloggate.EventPanic} {
				require.Contains(t, o.String(), string(event), "%s: or nothing was looked at", event)
			}
			for _, outcome := range []string{"accepted", "refused", "unavailable", "misconfigured"} {
				require.Contains(t, o.String(), outcome, outcome)
			}
			require.Contains(t, o.String(), "bob")
			require.Empty(t, leaks(o.String(), secrets))
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// keyed adds an API key to each request.
type keyed struct {
	key  string
	next http.RoundTripper
}

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+k.key)
	return k.next.RoundTrip(r)
}
