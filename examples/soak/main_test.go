package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
)

// Nothing here depends on the speed of the machine: a slow one plays one fault
// where a fast one plays several.
func TestSoak(t *testing.T) {
	duration := 2 * time.Second
	if testing.Short() {
		duration = time.Millisecond // one fault
	}
	var out bytes.Buffer
	require.NoError(t, run(&out, duration, 4), out.String())
	require.Contains(t, out.String(), " 0 wrong answers\n")
	require.NotContains(t, out.String(), "\n0 requests")
	t.Log("\n" + out.String())
}

// A check that cannot fail would prove nothing: an API that always says the
// same is found out by every class of which that is not the answer.
func TestWrongAnswersAreNoticed(t *testing.T) {
	for _, broken := range []struct {
		what   string
		status int
		header http.Header
		body   string
		right  []int // the classes for which it is right
	}{
		{"lets everybody in", 200, nil, served, []int{200}},
		{"runs no handler", 200, nil, "", nil},
		{"refuses everybody", 401, http.Header{"Www-Authenticate": {`Bearer realm="api"`}}, "", []int{401}},
		{"refuses without a challenge", 401, nil, "", nil},
		{"runs the handler and refuses", 401, http.Header{"Www-Authenticate": {`Bearer realm="api"`}}, served, nil},
		{"finds every scope wrong", 403, http.Header{"Www-Authenticate": {`Bearer realm="api"`}}, "", []int{403}},
		{"is down", 503, http.Header{"Retry-After": {"1"}}, "", nil},
		{"is broken", 500, nil, "", nil},
	} {
		t.Run(broken.what, func(t *testing.T) {
			as := authtest.New(t)
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), broken.header)
				w.WriteHeader(broken.status)
				_, _ = io.WriteString(w, broken.body)
			}))
			defer api.Close()
			w := &world{as: as, stranger: authtest.New(t), url: api.URL, client: api.Client()}
			s := state{kit: w.newKit(0), next: w.newKit(0), old: w.newKit(0), active: []*opaque{w.newOpaque()}, revoked: []*opaque{w.newOpaque()}}
			s.next.made = time.Now().Add(-time.Hour)
			s.revoked[0].revoking.Store(true)
			s.revoked[0].revoked.Store(time.Now().Add(-time.Hour).UnixNano())
			w.now.Store(&s)
			for c := range classes {
				if broken.status == 503 && classOf[c].asks {
					continue // is looked into for seconds
				}
				before := w.wrong.Load()
				w.ask(c)
				right := false
				for _, status := range broken.right {
					right = right || status == classOf[c].status
				}
				require.Equal(t, right, w.wrong.Load() == before, classOf[c].name)
			}
		})
	}
}

// What is excused is excused for its reason only.
func TestExcuses(t *testing.T) {
	now := time.Now().Add(time.Hour) // however slow the machine
	for _, test := range []struct {
		what   string
		class  class
		status int
		change func(w *world, s *state)
		right  bool
	}{
		{"a new key, at once", rotated, 401, func(_ *world, s *state) { s.next.made = now }, true},
		{"a valid token, in trouble", valid, 503, func(_ *world, s *state) { s.trouble = true }, false},
		{"a bad signature, in trouble", badSignature, 503, func(_ *world, s *state) { s.trouble = true }, false},
		{"an unknown key, in trouble", unknownKey, 503, func(_ *world, s *state) { s.trouble = true }, true},
		{"an unknown key, after a stall", unknownKey, 503, func(w *world, _ *state) { w.stalls.Store(1) }, true},
		{"an opaque token, in trouble", active, 503, func(_ *world, s *state) { s.trouble = true }, true},
		{"an opaque token refused, in trouble", active, 401, func(_ *world, s *state) { s.trouble = true }, false},
		{"just revoked", revoked, 200, func(_ *world, s *state) { s.revoked[0].revoked.Store(now.UnixNano()) }, true},
		{"being revoked", active, 401, func(_ *world, s *state) { s.active[0].revoking.Store(true) }, true},
		{"withdrawn while it was on its way", valid, 401, func(_ *world, s *state) { s.generation = 2 }, true},
		{"not yet withdrawn", valid, 401, func(_ *world, s *state) { s.generation = 1 }, false},
		{"withdrawn, and forged", badSignature, 200, func(_ *world, s *state) { s.generation, s.trouble = 2, true }, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				switch test.status {
				case 200:
					_, _ = io.WriteString(w, served)
					return
				case 401:
					w.Header().Set("WWW-Authenticate", "Bearer realm=api")
				case 503:
					w.Header().Set("Retry-After", "1")
				}
				w.WriteHeader(test.status)
			}))
			defer api.Close()
			w := &world{as: authtest.New(t), stranger: authtest.New(t), url: api.URL, client: api.Client()}
			s := state{kit: w.newKit(0), next: w.newKit(0), active: []*opaque{w.newOpaque()}, revoked: []*opaque{w.newOpaque()}}
			s.revoked[0].revoking.Store(true)
			test.change(w, &s)
			w.now.Store(&s)
			w.ask(test.class)
			require.Equal(t, test.right, w.wrong.Load() == 0)
		})
	}
}
