package interop_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/stretchr/testify/require"
)

const callback = "http://127.0.0.1/callback" // nobody listens there: browsers stop before

// webApp is a client that users log in to, and that is told of their logouts.
func webApp(id, logoutURI string, withSession bool) *client {
	return &client{id: id, secret: rand.Text(), method: "client_secret_basic", more: map[string]any{
		"grant_types": []string{"authorization_code"}, "response_types": []string{"code"}, "redirect_uris": []string{callback},
		"scope": "openid read", "backchannel_logout_uri": logoutURI, "backchannel_logout_session_required": withSession}}
}

// browser is where a user is logged in.
type browser struct {
	t    *testing.T
	as   *server
	http *http.Client
	hint string // the last ID token
}

func newBrowser(t *testing.T, as *server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t: t, as: as, http: &http.Client{Jar: jar, Timeout: plain.Timeout, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 9 || strings.HasPrefix(r.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// login logs a user in to a client by the authorization code flow, and returns the access token.
func (b *browser) login(user string, app *client) string {
	b.t.Helper()
	verifier := rand.Text() + rand.Text() // RFC 7636
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{"client_id": {app.id}, "response_type": {"code"}, "scope": {"openid read"}, "redirect_uri": {callback},
		"resource": {audience("rs256")}, "login_hint": {user}, "code_challenge": {b64(challenge[:])}, "code_challenge_method": {"S256"}}
	resp, err := b.http.Get(b.as.HTTP + "/auth?" + query.Encode())
	require.NoError(b.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	to, err := resp.Location()
	require.NoError(b.t, err, "%s %s: %s", resp.Request.URL, resp.Status, body)
	code := to.Query().Get("code")
	require.NotEmpty(b.t, code, "%s", to)
	req, err := app.request(b.t.Context(), b.as.HTTP+"/token", url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {callback}, "code_verifier": {verifier}, "resource": {audience("rs256")}})
	require.NoError(b.t, err)
	resp, err = plain.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		IDToken     string `json:"id_token"`
	}
	body, err = io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, json.Unmarshal(body, &answer))
	require.NotEmpty(b.t, answer.AccessToken, "%s", body)
	b.hint = answer.IDToken
	return answer.AccessToken
}

var xsrf = regexp.MustCompile(`name="xsrf" value="([^"]+)"`)

// logout logs the user out at the server, which asks first, and tells the clients before it
// answers.
func (b *browser) logout() {
	b.t.Helper()
	resp, err := b.http.Get(b.as.HTTP + "/session/end?" + url.Values{"id_token_hint": {b.hint}}.Encode())
	require.NoError(b.t, err)
	page, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	found := xsrf.FindSubmatch(page)
	require.NotNil(b.t, found, "%s", page)
	resp, err = b.http.PostForm(b.as.HTTP+"/session/end/confirm", url.Values{"xsrf": {string(found[1])}, "logout": {"yes"}})
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	require.Equal(b.t, http.StatusOK, resp.StatusCode, "%s", resp.Request.URL)
}

// lateList is a List that can be told to be down.
type lateList struct {
	*revocation.List
	down atomic.Bool
}

func (l *lateList) Add(ctx context.Context, entries ...revocation.Entry) error {
	if l.down.Load() {
		return errors.New("the store is down")
	}
	return l.List.Add(ctx, entries...)
}

// A logout at the server reaches the list, and the access tokens of the session, or of the
// user, open nothing any more.
func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	var handler atomic.Pointer[backchannel.Handler]
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.Load().ServeHTTP(w, r) }))
	t.Cleanup(receiver.Close)
	bySession, bySubject := webApp("shop", receiver.URL, true), webApp("desk", receiver.URL, false)
	as := ownServer(t, bySession, bySubject)

	plainList, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
	require.NoError(t, err)
	list := &lateList{List: plainList}
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.HTTP, Audiences: []string{audience("rs256")}, Profile: jwtverify.RFC9068, Check: list.Check})
	require.NoError(t, err)
	var mu sync.Mutex // guards events
	var events []backchannel.ReceivedEvent
	h, err := backchannel.New(backchannel.Config{List: list, Issuer: as.HTTP, ClientIDs: []string{bySession.id, bySubject.id}, Keys: v.Keys(), RequireTyp: true,
		Hooks: backchannel.Hooks{Received: func(_ context.Context, e backchannel.ReceivedEvent) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}}})
	require.NoError(t, err)
	handler.Store(h)
	told := func() (all []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			require.Equal(t, e.Outcome == backchannel.Failed, e.Err != nil, "%v", e.Err)
			all = append(all, string(e.Outcome)+" "+string(e.By))
		}
		events = nil
		return all
	}
	a := serve(t, v)

	// One session of two, which begin in the same second.
	laptop, phone := newBrowser(t, as), newBrowser(t, as)
	onLaptop, onPhone := laptop.login("alice", bySession), phone.login("alice", bySession)
	a.requireVerdict(t, accepted, onLaptop)
	a.requireVerdict(t, accepted, onPhone)
	laptop.logout()
	a.requireVerdict(t, refused(bearergate.ReasonRevoked), onLaptop)
	a.requireVerdict(t, accepted, onPhone)
	require.Equal(t, []string{"revoked session"}, told())
	a.requireVerdict(t, accepted, laptop.login("alice", bySession)) // a new session, at once

	// All sessions of a user, for this client gets no sid; of others none.
	tablet, other := newBrowser(t, as), newBrowser(t, as)
	onTablet, ofBob := tablet.login("alice", bySubject), other.login("bob", bySubject)
	a.requireVerdict(t, accepted, onTablet)
	tablet.logout()
	require.Equal(t, []string{"revoked subject"}, told())
	a.requireVerdict(t, refused(bearergate.ReasonRevoked), onTablet)
	a.requireVerdict(t, refused(bearergate.ReasonRevoked), onPhone)
	a.requireVerdict(t, accepted, ofBob)
	// What alice gets from the next second on is good: times in tokens are whole seconds.
	for deadline := time.Now().Add(patience); ; {
		if got, _ := a.get(t, tablet.login("alice", bySubject)); got == accepted {
			break
		}
		require.True(t, time.Now().Before(deadline), "a new login is refused")
		time.Sleep(50 * time.Millisecond)
	}

	// A list that is down: the server is told, and does not try again. Its tokens stay good.
	list.down.Store(true)
	other.logout()
	require.Equal(t, []string{"failed subject"}, told())
	a.requireVerdict(t, accepted, ofBob)
}
