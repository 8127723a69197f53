package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/scope"
)

// demo asks all processes, and compares.
type demo struct {
	ctx   context.Context
	out   io.Writer
	as    *authtest.Server
	fleet *fleet
	http  *http.Client
	wrong []error
	rows  int
}

// demonstrate prints a table, and returns an error unless all of it is as it should be.
func demonstrate(ctx context.Context, out io.Writer, as *authtest.Server, f *fleet, store *redisServer) error {
	d := &demo{ctx: ctx, out: out, as: as, fleet: f, http: &http.Client{Timeout: 5 * time.Second}}
	d.print("WHAT HAPPENS", "WHAT THEN", "ALL PROCESSES SAY", "AFTER")
	d.logout()
	d.shutOut()
	d.stolenKey()
	if store.ours {
		d.redisFails(store)
	}
	if len(d.wrong) > 0 {
		return fmt.Errorf("%d of %d are not as they should be:\n%w", len(d.wrong), d.rows, errors.Join(d.wrong...))
	}
	_, err := fmt.Fprintf(out, "\nall %d as they should be\n", d.rows)
	return err
}

// print prints a row, at once: the demonstration takes half a minute.
func (d *demo) print(cells ...any) { fmt.Fprintf(d.out, "%-48s  %-40s  %-16s  %s\n", cells...) }

// token is one of a user's session with a client.
func (d *demo) token(user, session, client string, claims authtest.Claims) string {
	claims.Subject, claims.ClientID, claims.Scopes = user, client, scope.Of("orders:read")
	claims.Raw = fmt.Appendf(nil, `{"sid":%q}`, session) // few servers put it there by themselves
	return d.as.Token(claims)
}

// expect waits until all processes answer a token so, for at most that long.
func (d *demo) expect(what, then, token string, status int, within time.Duration) {
	d.rows++
	start := time.Now()
	for {
		said, same := d.ask(token)
		if same && said == status {
			d.print(what, then, strconv.Itoa(status), fmt.Sprintf("%.1f s", time.Since(start).Seconds()))
			return
		}
		if time.Since(start) > within {
			d.wrong = append(d.wrong, fmt.Errorf("%s, %s: not %d within %v, but %d", what, then, status, within, said))
			d.print(what, then, fmt.Sprintf("%d, not %d", said, status), "-")
			return
		}
		if err := sleep(d.ctx, 20*time.Millisecond); err != nil {
			d.wrong = append(d.wrong, err)
			return
		}
	}
}

// ask returns what the processes answer a token, and whether all say the same.
func (d *demo) ask(token string) (status int, same bool) {
	for i, p := range d.fleet.processes {
		said, err := d.send(http.MethodGet, p.url+"/orders", token, "", nil)
		if err != nil {
			said = 0
		}
		if i > 0 && said != status {
			return said, false
		}
		status = said
	}
	return status, true
}

func (d *demo) send(method, to, token, contentType string, body io.Reader) (status int, err error) {
	r, err := http.NewRequestWithContext(d.ctx, method, to, body)
	if err != nil {
		return 0, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := d.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// told notes what one process answers to a message.
func (d *demo) told(what, then string, status, want int, err error) {
	d.rows++
	if err != nil || status != want {
		d.wrong = append(d.wrong, fmt.Errorf("%s: got %d %w, want %d", what, status, err, want))
	}
	d.print(what, then, fmt.Sprintf("one: %d", status), "-")
}

// logout is what an authorization server sends (OpenID Connect Back-Channel Logout).
func (d *demo) logout() {
	ended, other := d.token("alice", "s1", client, authtest.Claims{}), d.token("alice", "s2", client, authtest.Claims{})
	d.expect("alice has two sessions", "the first one's token", ended, http.StatusOK, 0)
	d.expect("", "the other one's", other, http.StatusOK, 0)
	form := url.Values{"logout_token": {d.as.LogoutToken(map[string]any{"aud": client, "sid": "s1"})}}
	status, err := d.send(http.MethodPost, d.fleet.processes[0].url+"/logout", "", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	d.told("she logs out of the first", "the server tells process 1", status, http.StatusOK, err)
	d.expect("", "the first session's token", ended, http.StatusUnauthorized, 2*time.Second)
	d.expect("", "the other one's", other, http.StatusOK, 0)
}

// operate sends what an operator sends to one process.
func (d *demo) operate(process int, path string, entry map[string]any) (int, error) {
	entry["issuer"] = d.as.Issuer()
	body, err := json.Marshal(entry)
	if err != nil {
		return 0, err
	}
	token := d.as.Token(authtest.Claims{Subject: "operator", ClientID: "console", Scopes: scope.Of("revocation:write"), IssuedAt: time.Now().Add(4 * time.Second)})
	return d.send(http.MethodPost, d.fleet.processes[process].url+"/revocation"+path, token, "application/json", strings.NewReader(string(body)))
}

func (d *demo) shutOut() {
	shut, other := d.token("bob", "s3", "lost-laptop", authtest.Claims{}), d.token("bob", "s4", client, authtest.Claims{})
	status, err := d.operate(1, "/revoke", map[string]any{"client": "lost-laptop"})
	d.told("a client is shut out", "an operator tells process 2", status, http.StatusCreated, err)
	d.expect("", "the client's token", shut, http.StatusUnauthorized, 2*time.Second)
	d.expect("", "the user's, of another client", other, http.StatusOK, 0)
	status, err = d.operate(2, "/lift", map[string]any{"client": "lost-laptop"})
	d.told("by mistake", "the operator takes it back, at process 3", status, http.StatusOK, err)
	d.expect("", "the client's token", shut, http.StatusOK, 2*time.Second)
}

// stolenKey shows why a cut-off of the issuer does not help against a thief of its key.
func (d *demo) stolenKey() {
	forged := func() string { // the thief writes the time that he likes, a little later than any cut-off
		return d.token("admin", "none", client, authtest.Claims{IssuedAt: time.Now().Add(4900 * time.Millisecond)})
	}
	key, err := d.key()
	if err != nil {
		d.wrong = append(d.wrong, err)
		return
	}
	d.expect("the server's signing key is stolen", "what the thief signs", forged(), http.StatusOK, 0)
	status, err := d.operate(0, "/revoke", map[string]any{"confirm": d.as.Issuer(), "before": time.Now().UTC().Format(time.RFC3339Nano)})
	d.told("all tokens up to now are revoked", "an operator tells process 1", status, http.StatusCreated, err)
	remembered := forged()
	d.expect("", "what the thief signs now", remembered, http.StatusOK, 0)
	d.as.Rotate()
	status, err = d.operate(0, "/revoke", map[string]any{"key": key})
	d.told("the server has a new key, and the old is revoked", "an operator tells process 1", status, http.StatusCreated, err)
	d.expect("", "what the thief has signed", remembered, http.StatusUnauthorized, 2*time.Second)
	d.expect("", "a token under the new key", forged(), http.StatusOK, 2*time.Second)
}

// key is the thumbprint of the key with which the server signs.
func (d *demo) key() (string, error) {
	set, err := jwks.Static(d.as.JWKS())
	if err != nil {
		return "", err
	}
	token := d.token("alice", "s", client, authtest.Claims{})
	header, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
	if err != nil {
		return "", err
	}
	var names struct{ Kid, Alg string }
	if err := json.Unmarshal(header, &names); err != nil {
		return "", err
	}
	keys, err := set.Keys(d.ctx, names.Kid, names.Alg)
	if err != nil || len(keys) != 1 {
		return "", fmt.Errorf("%d keys: %w", len(keys), err)
	}
	thumbprint := keys[0].Thumbprint()
	return base64.RawURLEncoding.EncodeToString(thumbprint[:]), nil
}

// redisFails kills Redis, and starts it again with nothing in it.
func (d *demo) redisFails(store *redisServer) {
	revoked := d.token("alice", "s1", client, authtest.Claims{})
	good := d.token("carol", "s9", client, authtest.Claims{IssuedAt: time.Now().Add(4 * time.Second)})
	store.kill()
	d.expect("Redis is killed", "a good token, at once", good, http.StatusOK, 0)
	d.expect("", "one of the session that has ended", revoked, http.StatusUnauthorized, 0)
	status, err := d.operate(0, "/revoke", map[string]any{"subject": "dave"})
	d.told("an operator revokes meanwhile", "and is told to try again", status, http.StatusServiceUnavailable, err)
	d.expect(fmt.Sprintf("nobody hears of the others for %v", lag), "a good token", good, http.StatusServiceUnavailable, lag+6*time.Second)
	d.expect("", "one of the session that has ended", revoked, http.StatusUnauthorized, 0)
	if err := store.start(d.ctx); err != nil {
		d.wrong = append(d.wrong, err)
		return
	}
	d.expect("Redis is back, and empty", "a good token", good, http.StatusOK, 10*time.Second)
	d.expect("", "one of the session that has ended", revoked, http.StatusUnauthorized, 0)
	dave := d.token("dave", "s8", client, authtest.Claims{IssuedAt: time.Now().Add(-time.Minute)})
	d.expect("", "what was revoked meanwhile", dave, http.StatusUnauthorized, 10*time.Second)
	if err := sleep(d.ctx, 3*time.Second); err != nil { // until all is put back
		d.wrong = append(d.wrong, err)
		return
	}
	if err := d.fleet.start(d.ctx); err != nil {
		d.wrong = append(d.wrong, err)
		return
	}
	d.expect("a fourth process starts", "one of the session that has ended", revoked, http.StatusUnauthorized, 0)
	d.expect("", "what was revoked meanwhile", dave, http.StatusUnauthorized, 0)
	d.expect("", "a good token", good, http.StatusOK, 0)
}
