package services_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/examples/delegation/services"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	userToken = "t0ken-of-alice"
	secret    = "s3cret of A"
)

// server is a token endpoint in memory.
type server struct {
	answer func(*http.Request) (*http.Response, error)

	mu    sync.Mutex // guards forms and users
	forms []url.Values
	users []string // who authenticated
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	user, password, _ := r.BasicAuth()
	s.mu.Lock()
	s.forms, s.users = append(s.forms, form), append(s.users, user+" "+password)
	s.mu.Unlock()
	return s.answer(r)
}

func (s *server) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

func says(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://evil.example.com/"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// granted is an answer with a token that lives for so many seconds.
func granted(seconds int) func(*http.Request) (*http.Response, error) {
	return says(200, fmt.Sprintf(`{"access_token":"for-b","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":%d}`, seconds))
}

func config(s *server) services.ExchangeConfig {
	return services.ExchangeConfig{TokenURL: "https://as.example.com/token", ClientID: "orders:api", Secret: bearergate.NewSecret(secret), Audience: "https://billing.example.com",
		Scopes: []string{"invoices:read", "x"}, Client: &http.Client{Transport: s}}
}

func exchanger(t *testing.T, s *server) *services.Exchanger {
	t.Helper()
	x, err := services.NewExchanger(config(s))
	require.NoError(t, err)
	return x
}

func TestTheRequestOfAnExchange(t *testing.T) {
	s := &server{answer: granted(60)}
	got, err := exchanger(t, s).Token(t.Context(), bearergate.NewSecret(userToken), time.Time{})
	require.NoError(t, err)
	require.Equal(t, "for-b", got.Reveal())
	c := config(s)
	c.Audience, c.Resource = "", "https://billing.example.com/v1"
	x, err := services.NewExchanger(c)
	require.NoError(t, err)
	_, err = x.Token(t.Context(), bearergate.NewSecret(userToken), time.Time{})
	require.NoError(t, err)

	s.mu.Lock()
	defer s.mu.Unlock()
	want := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {userToken},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:access_token"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"scope":                {"invoices:read x"}, "audience": {"https://billing.example.com"}}
	require.Equal(t, want, s.forms[0])
	delete(want, "audience")
	want["resource"] = []string{"https://billing.example.com/v1"}
	require.Equal(t, want, s.forms[1])
	require.Equal(t, "orders%3Aapi s3cret+of+A", s.users[0], "encoded as a form, for Basic")
}

// Whose fault each answer is, and that it is told to nobody else.
func TestAnswersToAnExchange(t *testing.T) {
	const token = `"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer"`
	for _, tt := range []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		kind   error
		reason bearergate.Reason
		asked  int // for two requests
	}{
		{name: "a JWT, in another case", answer: says(200, `{"access_token":"x","issued_token_type":"urn:ietf:params:oauth:token-type:jwt","token_type":"bearer","expires_in":600}`), asked: 1},
		{name: "of an unknown life", answer: says(200, `{"access_token":"x",`+token+`}`), asked: 2},
		{name: "that has nearly ended", answer: says(200, `{"access_token":"x",`+token+`,"expires_in":30}`), asked: 2},
		{name: "of a negative life", answer: says(200, `{"access_token":"x",`+token+`,"expires_in":-1}`), asked: 2},
		{name: "no token", answer: says(200, `{`+token+`}`), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "an ID token", answer: says(200, `{"access_token":"x","issued_token_type":"urn:ietf:params:oauth:token-type:id_token","token_type":"N_A"}`), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "a DPoP token", answer: says(200, `{"access_token":"x","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"DPoP"}`), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "the user's own token", answer: says(200, `{"access_token":"`+userToken+`",`+token+`}`), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, asked: 2},
		{name: "no JSON", answer: says(200, "<html>"+userToken), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "too long", answer: says(200, `{"access_token":"x",`+token+`,"x":"`+strings.Repeat("x", 1<<16)+`"}`), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "refused", answer: says(400, `{"error":"invalid_request","error_description":"`+userToken+`"}`), kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, asked: 1},
		{name: "refused the scope", answer: says(400, `{"error":"invalid_scope"}`), kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, asked: 1},
		{name: "refused the target", answer: says(400, `{"error":"invalid_target"}`), kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, asked: 1},
		{name: "refused this service", answer: says(401, `{"error":"invalid_client"}`), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, asked: 2},
		{name: "this service may not", answer: says(400, `{"error":"unauthorized_client"}`), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, asked: 2},
		{name: "cannot exchange", answer: says(400, `{"error":"unsupported_grant_type"}`), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, asked: 2},
		{name: "no error", answer: says(404, "not here"), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "too many", answer: says(429, `{"error":"slow_down"}`), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "broken", answer: says(500, `{"error":"invalid_request"}`), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "a redirect", answer: says(307, ""), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "unreachable", answer: func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, asked: 2},
		{name: "a client that panics", answer: func(*http.Request) (*http.Response, error) { panic(userToken) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, asked: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{answer: tt.answer}
			x := exchanger(t, s)
			for range 2 {
				got, err := x.Token(t.Context(), bearergate.NewSecret(userToken), time.Time{})
				if tt.kind == nil {
					require.NoError(t, err)
					require.Equal(t, "x", got.Reveal())
					continue
				}
				kit.RequireError(t, err, tt.kind, tt.reason)
				require.Empty(t, got.Reveal())
				require.NotContains(t, err.Error(), userToken)
				require.NotContains(t, err.Error(), secret)
			}
			require.Equal(t, tt.asked, s.asked())
		})
	}
}

// What was got is used until it or the user's token ends, and a moment less.
func TestHowLongAnExchangeIsRemembered(t *testing.T) {
	for _, tt := range []struct {
		name       string
		answer     func(*http.Request) (*http.Response, error)
		userEnds   time.Duration // 0: not known
		remembered time.Duration
		kind       error
	}{
		{name: "until the token ends", answer: granted(600), remembered: 570 * time.Second},
		{name: "until the user's token ends", answer: granted(600), userEnds: 100 * time.Second, remembered: 70 * time.Second},
		{name: "a day at most", answer: granted(1 << 40), remembered: 24*time.Hour - 30*time.Second},
		{name: "a refusal", answer: says(400, `{"error":"invalid_scope"}`), remembered: 5 * time.Second, kind: bearergate.ErrForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := &server{answer: tt.answer}
				x := exchanger(t, s)
				ends := time.Time{}
				if tt.userEnds > 0 {
					ends = time.Now().Add(tt.userEnds)
				}
				ask := func(asked int) {
					_, err := x.Token(t.Context(), bearergate.NewSecret(userToken), ends)
					require.ErrorIs(t, err, tt.kind)
					require.Equal(t, asked, s.asked())
				}
				ask(1)
				time.Sleep(tt.remembered - time.Nanosecond)
				ask(1)
				time.Sleep(time.Nanosecond)
				ask(2)
			})
		})
	}
}

func TestForget(t *testing.T) {
	s := &server{answer: granted(600)}
	x := exchanger(t, s)
	for _, user := range []string{userToken, userToken, "another"} {
		_, err := x.Token(t.Context(), bearergate.NewSecret(user), time.Time{})
		require.NoError(t, err)
	}
	require.Equal(t, 2, s.asked(), "one for each user's token")
	x.Forget(bearergate.NewSecret(userToken))
	for _, user := range []string{userToken, "another"} {
		_, err := x.Token(t.Context(), bearergate.NewSecret(user), time.Time{})
		require.NoError(t, err)
	}
	require.Equal(t, 3, s.asked(), "the other is still remembered")
}

// One exchange serves all requests with a token, and whoever leaves takes nobody along.
func TestOneExchangeForAll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := &server{}
		s.answer = func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(time.Second):
				return granted(600)(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		x := exchanger(t, s)
		var waiting sync.WaitGroup
		ask := func(ctx context.Context, kind error) {
			waiting.Go(func() {
				_, err := x.Token(ctx, bearergate.NewSecret(userToken), time.Time{})
				assert.ErrorIs(t, err, kind)
			})
		}
		leaves, cancel := context.WithCancel(t.Context())
		ask(leaves, bearergate.ErrUnavailable)
		synctest.Wait()
		for range 9 {
			ask(t.Context(), nil)
		}
		synctest.Wait()
		cancel()
		waiting.Wait()
		require.Equal(t, 1, s.asked())
	})
}

// A server that hangs is given up after three seconds, and too many calls are refused at
// once: nobody waits in a queue.
func TestExchangesAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := &server{answer: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		x := exchanger(t, s)
		start := time.Now()
		var waiting sync.WaitGroup
		for i := range 64 {
			waiting.Go(func() {
				_, err := x.Token(t.Context(), bearergate.NewSecret(fmt.Sprint(userToken, i)), time.Time{})
				assert.Equal(t, bearergate.ReasonStoreUnavailable, bearergate.ReasonOf(err))
			})
		}
		synctest.Wait()
		_, err := x.Token(t.Context(), bearergate.NewSecret(userToken), time.Time{})
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.Zero(t, time.Since(start))
		waiting.Wait()
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, 64, s.asked())
	})
}

// The memory holds so many, and those that have ended make room.
func TestTheMemoryIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := &server{answer: granted(600)}
		x := exchanger(t, s)
		ask := func(user string) {
			_, err := x.Token(t.Context(), bearergate.NewSecret(user), time.Time{})
			require.NoError(t, err)
		}
		for i := range 4096 {
			ask(fmt.Sprint("user ", i))
		}
		ask("one more")
		ask("one more")
		require.Equal(t, 4098, s.asked(), "there is no place")
		ask("user 0")
		require.Equal(t, 4098, s.asked(), "nobody lost theirs")
		time.Sleep(time.Hour)
		ask("one more")
		ask("one more")
		require.Equal(t, 4099, s.asked())
	})
}

func TestMistakesOfAnExchanger(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*services.ExchangeConfig)
		says   string
	}{
		{name: "plain http", change: func(c *services.ExchangeConfig) { c.TokenURL = "http://as.example.com/token" }, says: "TokenURL"},
		{name: "http to what looks like loopback", change: func(c *services.ExchangeConfig) { c.TokenURL = "http://127.0.0.1.example.com/token" }, says: "TokenURL"},
		{name: "no URL", change: func(c *services.ExchangeConfig) { c.TokenURL = "as.example.com" }, says: "TokenURL"},
		{name: "no client", change: func(c *services.ExchangeConfig) { c.ClientID = "" }, says: "ClientID"},
		{name: "no secret", change: func(c *services.ExchangeConfig) { c.Secret = bearergate.Secret{} }, says: "Secret"},
		{name: "for nobody", change: func(c *services.ExchangeConfig) { c.Audience = "" }, says: "either Audience or Resource"},
		{name: "for two", change: func(c *services.ExchangeConfig) { c.Resource = "x" }, says: "either Audience or Resource"},
		{name: "for everything", change: func(c *services.ExchangeConfig) { c.Scopes = nil }, says: "Scopes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(new(server))
			tt.change(&c)
			_, err := services.NewExchanger(c)
			require.ErrorContains(t, err, tt.says)
		})
	}
	for _, loopback := range []string{"http://localhost:1/token", "http://127.0.0.1:1/token", "http://[::1]:1/token"} {
		c := config(new(server))
		c.TokenURL, c.Client = loopback, nil
		_, err := services.NewExchanger(c)
		require.NoError(t, err)
	}
}
