package inbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/inbox"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// list notes what it is given.
type list struct {
	adds []revocation.Entry
	err  error
}

func (l *list) Add(_ context.Context, entries ...revocation.Entry) error {
	l.adds = append(l.adds, entries...)
	return l.err
}

func newInbox(t *testing.T, l inbox.List, change ...func(*inbox.Config)) *inbox.Inbox {
	t.Helper()
	wrong := mistake.In("x")
	c := inbox.Config{Package: "x", List: l, Source: "feed"}
	for _, f := range change {
		f(&c)
	}
	b := inbox.New(&wrong, c)
	require.NoError(t, wrong.Err())
	return b
}

func TestMistakes(t *testing.T) {
	wrong := mistake.In("x")
	require.Nil(t, inbox.New(&wrong, inbox.Config{Source: "A", MaxConcurrent: -1, MaxRemembered: 1_000_001, AddTimeout: 2 * time.Minute}))
	for _, says := range []string{"List is nil", "Source cannot be used", "MaxConcurrent is -1", "MaxRemembered is 1000001", "AddTimeout is 2m0s"} {
		require.ErrorContains(t, wrong.Err(), says)
	}
}

func TestCutOff(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, tt := range []struct{ at, want time.Duration }{
			{-time.Hour, -time.Hour}, {0, 0}, {5 * time.Minute, 5 * time.Minute}, {5*time.Minute + 1, 5 * time.Minute}, {time.Hour, 5 * time.Minute},
		} {
			require.Equal(t, now.Add(tt.want), inbox.CutOff(now.Add(tt.at)), "%v", tt.at)
		}
	})
}

func TestAdd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l, at := &list{}, time.Now().Add(-time.Minute)
		b := newInbox(t, l)
		given := []revocation.Entry{
			{Issuer: "i", Subject: "none"},
			{Issuer: "i", Subject: "earlier", Before: at.Add(-time.Hour), Source: "mine"},
			{Issuer: "i", Subject: "later", Before: at.Add(time.Second)},
		}
		require.NoError(t, b.Add(t.Context(), at, given))
		require.Equal(t, []revocation.Entry{
			{Issuer: "i", Subject: "none", Before: at, Source: "feed"},
			{Issuer: "i", Subject: "earlier", Before: at.Add(-time.Hour), Source: "mine"},
			{Issuer: "i", Subject: "later", Before: at, Source: "feed"},
		}, l.adds)
		require.Empty(t, given[0].Source, "what was given is not written to")
		l.err = io.EOF
		kit.RequireError(t, b.Add(t.Context(), at, given), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	})
}

func TestRemember(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newInbox(t, &list{}, func(c *inbox.Config) { c.MaxRemembered = 2 })
		require.False(t, b.Seen("a"))
		b.Remember("a")
		time.Sleep(inbox.Remembered - time.Nanosecond)
		require.True(t, b.Seen("a"))
		require.False(t, b.Seen("b"))
		time.Sleep(time.Nanosecond)
		require.False(t, b.Seen("a"))
	})
}

func TestEnter(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newInbox(t, &list{}, func(c *inbox.Config) { c.MaxConcurrent, c.AddTimeout = 1, time.Second })
		leave, err := b.Enter()
		require.NoError(t, err)
		_, err = b.Enter()
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		leave()
		_, err = b.Enter()
		require.NoError(t, err)

		start := time.Now()
		ctx, cancel := b.Within(t.Context())
		defer cancel()
		<-ctx.Done()
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestAsk(t *testing.T) {
	kit.EachPanic(t, "List", func(t *testing.T, p kit.Panic, told func(context.Context, bearergate.PanicEvent)) error {
		b := newInbox(t, &list{}, func(c *inbox.Config) { c.Panicked = told })
		err := b.Ask(t.Context(), "List", func(context.Context) error { p.Do(); return nil })
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
		return err
	})
	for _, o := range kit.Outcomes(kit.Verdict{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable}) {
		kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
			err := newInbox(t, &list{}).Ask(ctx, "List", func(ctx context.Context) error {
				end()
				return o.Do(ctx)
			})
			if want.Kind == nil {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, want.Kind, want.Reason)
		})
	}
}

func TestStatus(t *testing.T) {
	for err, want := range map[error]int{
		bearergate.ErrInvalidToken: 400, bearergate.ErrInvalidRequest: 400, bearergate.ErrMisconfigured: 500,
		bearergate.ErrUnavailable: 503, bearergate.ErrForbidden: 503, io.EOF: 503,
	} {
		require.Equal(t, want, inbox.Status(err), "%v", err)
		h := http.Header{}
		inbox.RetryLater(h, err)
		require.Equal(t, want == 503, h.Get("Retry-After") != "")
	}
}

func TestIsType(t *testing.T) {
	for _, tt := range []struct {
		types, codings []string
		want           bool
	}{
		{types: []string{"a/b"}, want: true},
		{types: []string{"A/B; x=1"}, want: true},
		{types: []string{"a/c"}},
		{types: []string{""}},
		{types: nil},
		{types: []string{"a/b", "a/b"}},
		{types: []string{"a/b"}, codings: []string{"identity"}},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header["Content-Type"], r.Header["Content-Encoding"] = tt.types, tt.codings
		require.Equal(t, tt.want, inbox.IsType(r, "a/b"), "%v", tt)
	}
}

func TestBody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   io.Reader
		status int
		reason bearergate.Reason
	}{
		{"empty", strings.NewReader(""), 0, ""},
		{"as long as it may be", strings.NewReader("1234"), 0, ""},
		{"longer", strings.NewReader("12345"), http.StatusRequestEntityTooLarge, bearergate.ReasonTooLarge},
		{"cut off", iotest.ErrReader(errors.New("broken")), http.StatusBadRequest, bearergate.ReasonBadRequest},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", tt.body)
		w := httptest.NewRecorder()
		inbox.Bound(w) // which it cannot be
		body, status, err := inbox.Body(w, r, 4)
		require.Equal(t, tt.status, status, tt.name)
		if tt.status != 0 {
			require.Empty(t, body)
			kit.RequireError(t, err, bearergate.ErrInvalidRequest, tt.reason)
			continue
		}
		require.NoError(t, err)
	}
}
