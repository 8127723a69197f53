// Command migration moves an API from API keys to access tokens: keys alone, then both behind
// one gate, each use of a key counted by its owner, a trial of the day on which keys end, and
// that day.
//
//	go run ./examples/migration
//
// All of it is in this process: the authorization server, the API over HTTP, the clients. A
// clock that the program sets lets the date pass. What to copy is [newAPI]. The rest is
// demonstration: it checks every answer, and exits with 1 if one is not as it has to be.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const (
	// audience is the name of this API in the aud of its tokens.
	audience = "https://orders.example.com"
	// issuerOfKeys is by what metrics and audit tell keys from tokens.
	issuerOfKeys = "urn:example:orders:api-keys"
)

// end is the day from which on no key opens anything.
var end = time.Date(2027, time.July, 1, 0, 0, 0, 0, time.UTC)

// newAPI returns an API that takes tokens of issuer, and the keys of file until end. Secret
// is for the keys of the older system.
func newAPI(issuer string, file []byte, secret bearergate.Secret, now func() time.Time, hooks middleware.Hooks) (http.Handler, *apikey.Keys, error) {
	tokens, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}})
	if err != nil {
		return nil, nil, err
	}
	records, err := apikey.ParseRecords(file)
	if err != nil {
		return nil, nil, err
	}
	keys, err := apikey.New(apikey.Config{
		Issuer:      issuerOfKeys,
		Prefix:      "orders",
		Header:      "X-API-Key",
		Records:     records,
		AllowLegacy: secret,
		Tokens:      tokens,
		End:         end,
		Deprecated:  end.AddDate(0, -6, 0),
		Guide:       "https://orders.example.com/docs/tokens",
		Now:         now,
	})
	if err != nil {
		return nil, nil, err
	}
	gate, err := middleware.New(keys, middleware.Config{Extract: keys.Extract, ExtractHeaders: keys.Headers(), Hooks: hooks})
	if err != nil {
		return nil, nil, err
	}
	router := gate.NewRouter()
	// The trial: whose requests will be refused when keys end.
	router.HandleFunc("GET /orders", scope.All("orders:read"), orders, middleware.Trial(apikey.WithoutKeys(), keys.Issued))
	router.HandleFunc("POST /orders", scope.All("orders:write"), orders, middleware.Trial(apikey.WithoutKeys(), keys.Issued))
	handler, err := router.Handler()
	if err != nil {
		return nil, nil, err
	}
	return keys.Announce(handler), keys, nil
}

func orders(w http.ResponseWriter, r *http.Request) {
	token, ok := bearergate.FromContext(r.Context())
	if !ok {
		http.Error(w, "this handler must be behind a gate", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "orders of %s\n", token.ClientID())
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "migration:", err)
		os.Exit(1)
	}
}

// clock is the date of the demonstration.
type clock struct{ now atomic.Pointer[time.Time] }

func (c *clock) set(t time.Time) { c.now.Store(&t) }
func (c *clock) get() time.Time  { return *c.now.Load() }

// trials are the clients that the trial would have refused, and how often.
type trials struct {
	mu    sync.Mutex // guards would
	would map[string]uint64
}

func (t *trials) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		if e.Trial != nil && e.Trial.Err != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.would[e.Token.ClientID()]++
		}
	}}
}

func (t *trials) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.would)
}

func (t *trials) of(client string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.would[client]
}

// demonstration is the API and its clients.
type demonstration struct {
	out                                 io.Writer
	url                                 string
	clock                               clock
	acme, slow, early, legacy, invented string // keys
	token                               string // an access token of acme
	keys                                *apikey.Keys
	seen                                trials
	wrong                               int
}

// issue makes the keys, and the file that the API reads.
func (d *demonstration) issue(secret bearergate.Secret) ([]byte, error) {
	var records []apikey.Record
	for _, k := range []struct {
		key    *string
		owner  string
		scopes []string
		until  time.Time
	}{
		{key: &d.acme, owner: "acme", scopes: []string{"orders:read", "orders:write"}},
		{key: &d.slow, owner: "slow", scopes: []string{"orders:read"}},
		{key: &d.early, owner: "early", scopes: []string{"orders:read"}, until: end.AddDate(0, -2, 0)},
		{key: &d.invented},
	} {
		key, r, err := apikey.Generate("orders")
		if err != nil {
			return nil, err
		}
		*k.key = key.Reveal() // its owner sees it once
		if r.Owner, r.Scopes, r.NotAfter = k.owner, k.scopes, k.until; k.owner != "" {
			records = append(records, r)
		}
	}
	d.legacy = "9f8e7d6c-5b4a-4928-8170-6f5e4d3c2b1a"
	r, err := apikey.Import(secret, d.legacy)
	if err != nil {
		return nil, err
	}
	r.Owner, r.Scopes = "old-shop", []string{"orders:read"}
	return json.MarshalIndent(map[string]any{"version": 1, "keys": append(records, r)}, "", "  ")
}

// ask sends a request and checks the status of the answer.
func (d *demonstration) ask(ctx context.Context, what, method string, want int, header ...string) error {
	r, err := http.NewRequestWithContext(ctx, method, d.url+"/orders", http.NoBody)
	if err != nil {
		return err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	if _, err := io.Copy(io.Discard, w.Body); err != nil {
		return err
	}
	verdict := "as it has to be"
	sunset := w.Header.Get("Sunset") == end.Format(http.TimeFormat)
	isKey := r.Header.Get("X-Api-Key") != ""
	private := w.Header.Get("Cache-Control") == "private" // caches would not know that it is for acme alone
	if w.StatusCode != want || sunset != isKey || private != (isKey && want == http.StatusOK) {
		verdict, d.wrong = fmt.Sprintf("WRONG: %d was expected", want), d.wrong+1
	}
	told := ""
	if sunset {
		told = "Sunset"
	}
	fmt.Fprintf(d.out, "  %s  %-46s %-4s  %d  %-6s  %s\n", d.clock.get().Format(time.DateOnly), what, method, w.StatusCode, told, verdict)
	return nil
}

// check is one fact that has to hold.
func (d *demonstration) check(what string, got, want uint64) {
	verdict := "as it has to be"
	if got != want {
		verdict, d.wrong = fmt.Sprintf("WRONG: %d was expected", want), d.wrong+1
	}
	fmt.Fprintf(d.out, "  %-70s %d  %s\n", what, got, verdict)
}

// used checks what the report says of the key of an owner.
func (d *demonstration) used(owner string, accepted, refused uint64) {
	var u apikey.Use
	for _, k := range d.keys.Report().Keys {
		if k.Owner == owner {
			u = k
		}
	}
	d.check("so far, the key of "+owner+" was accepted", u.Accepted, accepted)
	d.check("so far, the key of "+owner+" was refused for its end", u.Refused, refused)
}

func run(ctx context.Context, out io.Writer) (err error) {
	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	d := &demonstration{out: out, seen: trials{would: map[string]uint64{}}}
	d.clock.set(end.AddDate(-1, 0, 0))
	d.token = as.Token(authtest.Claims{Subject: "acme", ClientID: "acme", Scopes: scope.Of("orders:read", "orders:write")})
	secret := bearergate.NewSecret("a secret of at least thirty-two bytes") // yours is random, and not in the code
	file, err := d.issue(secret)
	if err != nil {
		return err
	}
	var handler http.Handler
	if handler, d.keys, err = newAPI(as.Issuer(), file, secret, d.clock.get, d.seen.hooks()); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	api := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- api.Serve(listener) }()
	defer func() {
		err = errors.Join(err, api.Close())
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}()
	d.url = "http://" + listener.Addr().String()
	if err := d.play(ctx); err != nil {
		return err
	}
	if d.wrong > 0 {
		return fmt.Errorf("%d answers were wrong", d.wrong)
	}
	fmt.Fprintln(out, "\nAll as it has to be.")
	return nil
}

// step is one request and the status that it has to be answered with.
type step struct {
	what, method string
	want         int
	header       []string
}

func (d *demonstration) all(ctx context.Context, title string, steps ...step) error {
	fmt.Fprintln(d.out, title)
	for _, s := range steps {
		if err := d.ask(ctx, s.what, s.method, s.want, s.header...); err != nil {
			return err
		}
	}
	return nil
}

const key, bearer = "X-API-Key", "Authorization"

func (d *demonstration) play(ctx context.Context) error {
	for _, phase := range []func(context.Context) error{d.keysAlone, d.both, d.trial, d.ended} {
		if err := phase(ctx); err != nil {
			return err
		}
	}
	return nil
}

// keysAlone: the gate is there, and no client has a token yet. Nothing changes for them.
func (d *demonstration) keysAlone(ctx context.Context) error {
	d.clock.set(end.AddDate(-1, 0, 0))
	err := d.all(ctx, "Keys alone, a year before the date:",
		step{"acme, by its key", "GET", 200, []string{key, d.acme}},
		step{"slow, by its key", "GET", 200, []string{key, d.slow}},
		step{"slow, whose key has not the scope", "POST", 403, []string{key, d.slow}},
		step{"early, by its key", "GET", 200, []string{key, d.early}},
		step{"old-shop, by a key of the older system", "GET", 200, []string{key, d.legacy}},
		step{"a stranger, by an invented key", "GET", 401, []string{key, d.invented}},
		step{"a stranger, by none", "GET", 401, nil},
	)
	d.used("acme", 1, 0)
	d.used("slow", 2, 0)
	d.used("old-shop", 1, 0)
	return err
}

// both: acme has a token, and may send one or the other, but not both at once.
func (d *demonstration) both(ctx context.Context) error {
	d.clock.set(end.AddDate(0, -6, 0))
	return d.all(ctx, "\nKeys and tokens, half a year before:",
		step{"acme, by its token", "POST", 200, []string{bearer, "Bearer " + d.token}},
		step{"acme, by its key", "GET", 200, []string{key, d.acme}},
		step{"slow, by its key", "GET", 200, []string{key, d.slow}},
		step{"a key and a token", "GET", 400, []string{key, d.acme, bearer, "Bearer " + d.token}},
		step{"a key as a Bearer token", "GET", 401, []string{bearer, "Bearer " + d.acme}},
		step{"a key of the older system as a Bearer token", "GET", 401, []string{bearer, "Bearer " + d.legacy}},
		step{"a token where a key belongs", "GET", 401, []string{key, d.token}},
	)
}

// trial: whom would the date refuse now? It has judged every request so far, and refused
// none. One owner has agreed to an early end of its own key, to see what happens.
func (d *demonstration) trial(ctx context.Context) error {
	d.clock.set(end.AddDate(0, -1, 0))
	d.seen.forget()
	err := d.all(ctx, "\nThe trial of the date, a month before:",
		step{"acme, by its token", "GET", 200, []string{bearer, "Bearer " + d.token}},
		step{"slow, by its key", "GET", 200, []string{key, d.slow}},
		step{"old-shop, by a key of the older system", "GET", 200, []string{key, d.legacy}},
		step{"early, whose key has an end of its own", "GET", 401, []string{key, d.early}},
	)
	d.check("requests of acme that the trial would have refused", d.seen.of("acme"), 0)
	d.check("requests of slow that the trial would have refused", d.seen.of("slow"), 1)
	d.check("requests of old-shop that the trial would have refused", d.seen.of("old-shop"), 1)
	d.used("early", 1, 1)
	return err
}

// ended: no key opens anything, and everybody sees who has to be called.
func (d *demonstration) ended(ctx context.Context) error {
	d.clock.set(end.Add(-time.Second))
	if err := d.all(ctx, "\nThe last second:", step{"slow, by its key", "GET", 200, []string{key, d.slow}}); err != nil {
		return err
	}
	d.clock.set(end)
	err := d.all(ctx, "\nThe date has come:",
		step{"acme, which has changed over", "GET", 200, []string{bearer, "Bearer " + d.token}},
		step{"slow, by its key", "GET", 401, []string{key, d.slow}},
		step{"old-shop, by a key of the older system", "GET", 401, []string{key, d.legacy}},
		step{"a stranger, by an invented key", "GET", 401, []string{key, d.invented}},
	)
	d.used("acme", 2, 0)
	d.used("slow", 5, 1)
	d.used("old-shop", 2, 1)
	return err
}
