package signals_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

type m = map[string]any

const (
	audience      = "https://rs.example.com/signals"
	authorization = "Bearer 0123456789abcdef"
	mediaType     = "application/secevent+jwt"

	verification  = "https://schemas.openid.net/secevent/ssf/event-type/verification"
	streamUpdated = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
)

// begin is when every bubble begins.
var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// inBubble runs a row in fake time.
func inBubble(t *testing.T, name string, f func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { bubble.Test(t, f) })
}

// scene is a transmitter with a key, and a handler that feeds a list.
type scene struct {
	t      testing.TB
	signer kit.Signer
	list   *list
	h      *signals.Handler

	mu        sync.Mutex // guards what the hooks were told
	received  []signals.ReceivedEvent
	discarded []signals.DiscardedEvent
	stream    []signals.StreamEvent
	panicked  []bearergate.PanicEvent
}

func newScene(t testing.TB, change ...func(*signals.Config)) *scene {
	t.Helper()
	return newSceneOf(t, kit.NewSigner(t, "ES256", "k"), newList(t), change...)
}

func newSceneOf(t testing.TB, signer kit.Signer, list *list, change ...func(*signals.Config)) *scene {
	t.Helper()
	s := &scene{t: t, signer: signer, list: list}
	c := signals.Config{List: s.list, Issuer: kit.Issuer, Audiences: []string{"other", audience}, Keys: signer.Set(t),
		Authorization: []bearergate.Secret{bearergate.NewSecret("Bearer the old one, 123"), bearergate.NewSecret(authorization)},
		Hooks: signals.Hooks{
			Received:  func(_ context.Context, e signals.ReceivedEvent) { note(s, &s.received, e) },
			Discarded: func(_ context.Context, e signals.DiscardedEvent) { note(s, &s.discarded, e) },
			Stream:    func(_ context.Context, e signals.StreamEvent) { note(s, &s.stream, e) },
			Panicked:  func(_ context.Context, e bearergate.PanicEvent) { note(s, &s.panicked, e) },
		}}
	for _, f := range change {
		f(&c)
	}
	var err error
	s.h, err = signals.New(c)
	require.NoError(t, err)
	return s
}

func note[E any](s *scene, list *[]E, e E) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, e)
}

// told is what a hook was told so far.
func told[E any](s *scene, list *[]E) []E {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *list
}

func (s *scene) last() signals.ReceivedEvent {
	s.t.Helper()
	all := told(s, &s.received)
	require.NotEmpty(s.t, all)
	return all[len(all)-1]
}

// list is a revocation.List that can be made to fail, and counts.
type list struct {
	*revocation.List

	mu   sync.Mutex // guards what follows
	fail func(context.Context) error
	adds []revocation.Entry // that the List took
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
	l.adds = append(l.adds, entries...)
	return nil
}

func (l *list) failing(f func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = f
}

func (l *list) added() []revocation.Entry {
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

// alice is a subject.
func alice() m { return m{"format": "iss_sub", "iss": kit.Issuer, "sub": "alice"} }

func opaque(id string) m { return m{"format": "opaque", "id": id} }

// complexOf is a complex subject.
func complexOf(members m) m {
	c := m{"format": "complex"}
	maps.Copy(c, members)
	return c
}

// events is the claim events with one event.
func events(uri string, payload m) m {
	if payload == nil {
		payload = m{}
	}
	return m{uri: payload}
}

// sign returns a valid SET with header and claims changed.
func (s *scene) sign(header, change m) string {
	s.t.Helper()
	h := m{"alg": s.signer.Alg, "kid": s.signer.KeyID, "typ": "secevent+jwt"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == kit.Absent })
	c := m{"iss": kit.Issuer, "aud": audience, "jti": "id-1", "iat": time.Now().Unix(), "sub_id": alice(), "events": events(signals.SessionRevoked, nil)}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == kit.Absent })
	head, err := json.Marshal(h)
	require.NoError(s.t, err)
	payload, err := json.Marshal(c)
	require.NoError(s.t, err)
	set, err := jose.Sign(s.signer.Alg, s.signer.Key, head, payload)
	require.NoError(s.t, err)
	return set
}

func request(method, body string) *http.Request {
	r := httptest.NewRequest(method, "https://rs.example.com/signals", strings.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Authorization", authorization)
	return r
}

// serve sends a request, checks what is true of every answer, and returns the status and err.
func (s *scene) serve(r *http.Request) (status int, code string, header http.Header) {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	resp := w.Result()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, []string{"no-store"}, resp.Header["Cache-Control"])
	require.Equal(s.t, resp.StatusCode == http.StatusServiceUnavailable, resp.Header.Get("Retry-After") != "", "Retry-After")
	e := s.last()
	require.Equal(s.t, resp.StatusCode, e.Status)
	require.Equal(s.t, resp.StatusCode == http.StatusAccepted, e.Err == nil)
	if e.Err == nil || resp.StatusCode >= 500 {
		require.Empty(s.t, body)
		require.Empty(s.t, e.Code)
		return resp.StatusCode, "", resp.Header
	}
	require.Equal(s.t, "application/json", resp.Header.Get("Content-Type"))
	require.Equal(s.t, "en", resp.Header.Get("Content-Language"))
	var said map[string]string
	require.NoError(s.t, json.Unmarshal(body, &said))
	require.Len(s.t, said, 2)
	require.NotEmpty(s.t, said["description"])
	require.Equal(s.t, e.Code, said["err"])
	require.NotEmpty(s.t, e.Code)
	return resp.StatusCode, said["err"], resp.Header
}

// send sends a SET, and returns the status and err.
func (s *scene) send(set string) (status int, code string) {
	s.t.Helper()
	status, code, _ = s.serve(request(http.MethodPost, set))
	return status, code
}

// requireTaken sends a valid SET with these claims changed, which is acknowledged.
func (s *scene) requireTaken(outcome signals.Outcome, change m) {
	s.t.Helper()
	status, _ := s.send(s.sign(nil, change))
	e := s.last()
	require.Equal(s.t, http.StatusAccepted, status, "%v", e.Err)
	require.Equal(s.t, outcome, e.Outcome, "%v", told(s, &s.discarded))
}

// requireRefused sends a valid SET with header and claims changed, which is not.
func (s *scene) requireRefused(header, change m, status int, code string, kind error, reason bearergate.Reason) {
	s.t.Helper()
	gotStatus, gotCode := s.send(s.sign(header, change))
	e := s.last()
	kit.RequireError(s.t, e.Err, kind, reason)
	require.Equal(s.t, reason, e.Reason)
	require.Equal(s.t, status, gotStatus)
	require.Equal(s.t, code, gotCode)
	require.Zero(s.t, e.Entries)
	outcome := signals.Refused
	if status >= 500 {
		outcome = signals.Failed
	}
	require.Equal(s.t, outcome, e.Outcome)
}
