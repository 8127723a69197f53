package backchannel_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

const (
	client    = "orders-web"
	eventType = "http://schemas.openid.net/event/backchannel-logout"
	formType  = "application/x-www-form-urlencoded"
)

// begin is when every bubble begins.
var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// inBubble runs a row in fake time.
func inBubble(t *testing.T, name string, f func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { bubble.Test(t, f) })
}

// scene is a provider with a key, and a handler that feeds a list.
type scene struct {
	t      testing.TB
	signer kit.Signer
	list   *list
	h      *backchannel.Handler

	mu     sync.Mutex // guards events
	events []backchannel.ReceivedEvent
}

func newScene(t testing.TB, change ...func(*backchannel.Config)) *scene {
	t.Helper()
	return newSceneOf(t, kit.NewSigner(t, "ES256", "k"), newList(t), change...)
}

func newSceneOf(t testing.TB, signer kit.Signer, list *list, change ...func(*backchannel.Config)) *scene {
	t.Helper()
	s := &scene{t: t, signer: signer, list: list}
	c := backchannel.Config{List: s.list, Issuer: kit.Issuer, ClientIDs: []string{"other", client}, Keys: s.signer.Set(t),
		Hooks: backchannel.Hooks{Received: func(_ context.Context, e backchannel.ReceivedEvent) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}}}
	for _, f := range change {
		f(&c)
	}
	var err error
	s.h, err = backchannel.New(c)
	require.NoError(t, err)
	return s
}

// list is a revocation.List that can be made to fail, and counts.
type list struct {
	*revocation.List

	mu   sync.Mutex // guards what follows
	fail func(context.Context) error
	adds [][]revocation.Entry // that the List took
}

func newList(t testing.TB) *list {
	t.Helper()
	l, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
	require.NoError(t, err)
	return &list{List: l}
}

func (l *list) Add(ctx context.Context, entries ...revocation.Entry) error {
	l.mu.Lock()
	fail := l.fail
	l.mu.Unlock()
	if fail != nil {
		if err := fail(ctx); err != nil {
			return err
		}
	}
	if err := l.List.Add(ctx, entries...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adds = append(l.adds, entries)
	return nil
}

func (l *list) failing(f func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = f
}

func (l *list) added() [][]revocation.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.adds
}

// refuses reports whether the list refuses a token with these claims, issued at that time.
func (s *scene) refuses(sub, sid string, issued time.Time) bool {
	s.t.Helper()
	err := s.list.Check(context.Background(), bearergate.NewToken(bearergate.Claims{Issuer: kit.Issuer, Subject: sub, SessionID: sid,
		IssuedAt: issued, AsOf: issued, ExpiresAt: issued.Add(time.Hour)}))
	if err == nil {
		return false
	}
	kit.RequireError(s.t, err, bearergate.ErrInvalidToken, bearergate.ReasonRevoked)
	return true
}

// last is the event of the last request.
func (s *scene) last() backchannel.ReceivedEvent {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(s.t, s.events)
	return s.events[len(s.events)-1]
}

// claims are those of a valid logout token, changed.
func claims(change map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{"iss": kit.Issuer, "aud": client, "sub": "alice", "sid": "session-1", "jti": "id-1", "iat": now.Unix(),
		"exp": now.Add(2 * time.Minute).Unix(), "events": map[string]any{eventType: map[string]any{}}}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == kit.Absent })
	return c
}

// sign returns a valid logout token with header and claims changed.
func (s *scene) sign(header, change map[string]any) string {
	s.t.Helper()
	h := map[string]any{"alg": s.signer.Alg, "kid": s.signer.KeyID, "typ": "logout+jwt"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == kit.Absent })
	head, err := json.Marshal(h)
	require.NoError(s.t, err)
	payload, err := json.Marshal(claims(change))
	require.NoError(s.t, err)
	token, err := jose.Sign(s.signer.Alg, s.signer.Key, head, payload)
	require.NoError(s.t, err)
	return token
}

func request(method, contentType, body string) *http.Request {
	r := httptest.NewRequest(method, "https://rs.example.com/backchannel-logout", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// serve sends a request, and checks what is true of every answer.
func (s *scene) serve(r *http.Request) *http.Response {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	resp := w.Result()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, []string{"no-store"}, resp.Header["Cache-Control"])
	require.Equal(s.t, resp.StatusCode == http.StatusServiceUnavailable, resp.Header.Get("Retry-After") != "", "Retry-After")
	if resp.StatusCode == http.StatusOK {
		require.Empty(s.t, body)
		return resp
	}
	require.Equal(s.t, "application/json", resp.Header.Get("Content-Type"))
	var said map[string]string
	require.NoError(s.t, json.Unmarshal(body, &said))
	require.Len(s.t, said, 2)
	want := map[int]string{503: "temporarily_unavailable", 500: "server_error"}[resp.StatusCode]
	if want == "" {
		want = "invalid_request"
	}
	require.Equal(s.t, want, said["error"])
	require.NotEmpty(s.t, said["error_description"])
	return resp
}

// send sends a logout token, and returns the status.
func (s *scene) send(token string) int {
	s.t.Helper()
	return s.serve(request(http.MethodPost, formType, url.Values{"logout_token": {token}}.Encode())).StatusCode
}

// logout sends a valid logout token with these claims changed.
func (s *scene) logout(change map[string]any) int {
	s.t.Helper()
	return s.send(s.sign(nil, change))
}

// requireFailed asserts what became of the last request.
func (s *scene) requireFailed(outcome backchannel.Outcome, kind error, reason bearergate.Reason) {
	s.t.Helper()
	e := s.last()
	kit.RequireError(s.t, e.Err, kind, reason)
	require.Equal(s.t, reason, e.Reason)
	require.Equal(s.t, outcome, e.Outcome)
	require.Zero(s.t, e.Entries)
}
