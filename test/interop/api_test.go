package interop_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// api is a protected API: /read, and what is below it, requires the scope read, /admin
// requires admin.
type api struct {
	url     string
	http    *http.Client
	reasons *sync.Map // why requests were refused, by their names: it is never on the wire
}

type nameKey struct{}

const nameHeader = "X-Request-Name"

// serve starts an API whose tokens v verifies.
func serve(t *testing.T, v bearergate.Verifier) *api {
	t.Helper()
	return serveWith(t, v, middleware.Config{}, nil)
}

// serveWith is for an API of another configuration, over TLS unless config is nil, and with
// more routes than those.
func serveWith(t *testing.T, v bearergate.Verifier, c middleware.Config, config *tls.Config, more ...func(*http.ServeMux)) *api {
	t.Helper()
	return serveAt(t, v, config, func(string) middleware.Config { return c }, more...)
}

// serveAt is serveWith for a configuration in which the URL of the API stands.
func serveAt(t *testing.T, v bearergate.Verifier, config *tls.Config, configure func(url string) middleware.Config, more ...func(*http.ServeMux)) *api {
	t.Helper()
	a := &api{reasons: &sync.Map{}}
	mux := http.NewServeMux()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), nameKey{}, r.Header.Get(nameHeader))))
	}))
	t.Cleanup(s.Close)
	scheme := "http://"
	if config != nil {
		scheme, s.TLS = "https://", config
	}
	c := configure(scheme + s.Listener.Addr().String())
	c.Hooks = middleware.JoinHooks(c.Hooks, middleware.Hooks{Decided: func(ctx context.Context, e middleware.DecisionEvent) {
		a.reasons.Store(ctx.Value(nameKey{}), e.Reason)
	}})
	gate, err := middleware.New(v, c)
	require.NoError(t, err)
	read := gate.Require(scope.All("read"))(http.HandlerFunc(tell))
	mux.Handle("/read", read)
	mux.Handle("/read/{name...}", read)
	mux.Handle("/admin", gate.Require(scope.All("admin"))(http.HandlerFunc(tell)))
	for _, add := range more {
		add(mux)
	}
	if config == nil {
		s.Start()
	} else {
		s.StartTLS()
	}
	a.url, a.http = s.URL, s.Client()
	a.http.Transport.(*http.Transport).MaxIdleConnsPerHost = workers
	return a
}

// identity is what the handler knows of the caller.
type identity struct {
	Issuer, Subject, ClientID string
	Audience, Scopes          []string
	IsClient                  bool
	ExpiresAt                 time.Time
}

func tell(w http.ResponseWriter, r *http.Request) {
	token, ok := bearergate.FromContext(r.Context())
	if !ok {
		panic("the handler runs without a token")
	}
	_ = json.NewEncoder(w).Encode(identity{token.Issuer(), token.Subject(), token.ClientID(), token.Audience(),
		token.Scopes().Names(), token.IsClient(), token.ExpiresAt()})
}

// verdict is how a request was decided.
type verdict struct {
	Status int
	Reason bearergate.Reason
}

var accepted = verdict{Status: http.StatusOK}

func refused(reason bearergate.Reason) verdict { return verdict{http.StatusUnauthorized, reason} }

func unavailable(reason bearergate.Reason) verdict {
	return verdict{http.StatusServiceUnavailable, reason}
}

var misconfigured = verdict{http.StatusInternalServerError, bearergate.ReasonConfig}

// ask sends a request with a token; for goroutines that may not end the test.
// The error is that of a request without answer, or of one with an answer that
// is not what its status promises.
func (a *api) ask(ctx context.Context, path, token string) (verdict, identity, error) {
	name := rand.Text()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, nil)
	if err != nil {
		return verdict{}, identity{}, err
	}
	req.Header.Set(nameHeader, name)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := a.http.Do(req)
	if err != nil {
		return verdict{}, identity{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return verdict{}, identity{}, err
	}
	reason, _ := a.reasons.LoadAndDelete(name)
	got := verdict{Status: resp.StatusCode}
	got.Reason, _ = reason.(bearergate.Reason)
	var who identity
	if resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(body, &who)
		return got, who, err
	}
	return got, who, checkRefusal(resp, string(body), token)
}

// checkRefusal says what is wrong with the form of a refusal.
func checkRefusal(resp *http.Response, body, token string) error {
	challenge, blamesClient := resp.Header.Get("WWW-Authenticate"), resp.StatusCode < 500
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	switch {
	case blamesClient != strings.HasPrefix(challenge, `Bearer realm="api"`):
		return fmt.Errorf("%s with the challenge %q", resp.Status, challenge)
	case resp.StatusCode == http.StatusUnauthorized && !strings.Contains(challenge, `error="invalid_token"`):
		return fmt.Errorf("%s with the challenge %q", resp.Status, challenge)
	case resp.StatusCode == http.StatusServiceUnavailable && (err != nil || seconds < 1 || seconds > 60):
		return fmt.Errorf("%s with Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	case resp.Header.Get("Cache-Control") != "no-store":
		return fmt.Errorf("%s may be cached", resp.Status)
	case strings.Contains(body+challenge, token):
		return fmt.Errorf("%s returns the token", resp.Status)
	}
	return nil
}

// get is ask for one request, to /read.
func (a *api) get(t *testing.T, token string) (verdict, identity) {
	t.Helper()
	got, who, err := a.ask(t.Context(), "/read", token)
	require.NoError(t, err)
	return got, who
}

func (a *api) requireVerdict(t *testing.T, want verdict, token string) {
	t.Helper()
	got, _ := a.get(t, token)
	require.Equal(t, want, got)
}

// eventually asks until the verdict is want; each one before must be among the
// meantime ones.
func (a *api) eventually(t *testing.T, want verdict, token string, meantime ...verdict) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		got, _ := a.get(t, token)
		if got == want {
			return
		}
		require.Contains(t, meantime, got)
		require.True(t, time.Now().Before(deadline), "still %v, not %v", got, want)
		<-time.After(20 * time.Millisecond)
	}
}

// patience is how long a test waits for what a server does in its own time.
const patience = 20 * time.Second

// header is the header of a JWT as it stands there.
func header(token string) (h struct{ Alg, Kid, Typ string }) {
	first, _, _ := strings.Cut(token, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(first)
	_ = json.Unmarshal(decoded, &h)
	return h
}
