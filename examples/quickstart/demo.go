package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// want is what a request must come back with. Why is for operators only: the
// client learns the status and the challenge.
type want struct {
	status    int
	why       bearergate.Reason
	challenge string // without error_description
}

var (
	accepted    = want{status: 200}
	noToken     = want{401, bearergate.ReasonNoToken, `Bearer realm="api"`}
	badRequest  = want{400, bearergate.ReasonBadRequest, `Bearer realm="api", error="invalid_request"`}
	noAdmin     = want{403, bearergate.ReasonScope, `Bearer realm="api", error="insufficient_scope", scope="orders:admin superuser"`}
	stepUp      = want{401, bearergate.ReasonAuthentication, `Bearer realm="api", error="insufficient_user_authentication", acr_values="mfa", max_age="300"`}
	unavailable = want{503, bearergate.ReasonKeysUnavailable, ""}
	mistake     = want{500, bearergate.ReasonConfig, ""}
)

func invalid(why bearergate.Reason) want {
	return want{401, why, `Bearer realm="api", error="invalid_token"`}
}

// demonstrate sends every kind of request to the API, prints what comes back,
// and returns an error unless all of it is as wanted.
func demonstrate(ctx context.Context, out io.Writer, url string, as, partner *authtest.Server, seen *decisions) error {
	d := &demo{out: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0), url: url, seen: seen}
	defer d.client.CloseIdleConnections()
	fmt.Fprintln(d.out, "REQUEST\tPATH\tWHY\tSTATUS\tCHALLENGE")

	read := authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")}
	valid := as.Token(read)
	d.get(ctx, "public route, no token", "/health", accepted)
	d.get(ctx, "valid token", "/orders", accepted, bearer(valid))
	d.get(ctx, "the same again, from the cache", "/orders", accepted, bearer(valid))

	as.Rotate() // the authorization server signs with a new key from now on
	d.get(ctx, "token of a new key, after a rotation", "/orders", accepted, bearer(as.Token(read)))
	d.get(ctx, "token of the key before", "/orders", accepted, bearer(valid))

	d.get(ctx, "no credential", "/orders", noToken)
	d.get(ctx, "another scheme", "/orders", noToken, "Basic YWxpY2U6c2VjcmV0")
	d.get(ctx, "token in the query, where none is read", "/orders?access_token="+valid, noToken)
	d.get(ctx, "malformed header", "/orders", badRequest, "Bearer "+valid+" "+valid)
	d.get(ctx, "two credentials", "/orders", badRequest, bearer(valid), bearer(valid))

	with := func(change func(*authtest.Claims)) string {
		claims := read
		change(&claims)
		return bearer(as.Token(claims))
	}
	d.get(ctx, "expired a minute ago", "/orders", invalid(bearergate.ReasonExpired),
		with(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Minute) }))
	d.get(ctx, "valid from tomorrow", "/orders", invalid(bearergate.ReasonNotYetValid),
		with(func(c *authtest.Claims) { c.NotBefore = time.Now().Add(24 * time.Hour) }))
	d.get(ctx, "wrong issuer", "/orders", invalid(bearergate.ReasonIssuer),
		with(func(c *authtest.Claims) { c.Issuer = "https://evil.example.com" }))
	d.get(ctx, "wrong audience", "/orders", invalid(bearergate.ReasonAudience),
		with(func(c *authtest.Claims) { c.Audience = []string{"https://other.example.com"} }))

	// An ID token that names this API in its aud.
	idToken := as.Claims(authtest.Claims{Subject: "alice"})
	idToken["nonce"], idToken["at_hash"] = "n-0S6_WzA2Mj", "77QmUPtjPfzWtF2AnpK9RQ"
	d.get(ctx, "ID token", "/orders", invalid(bearergate.ReasonType), bearer(as.Sign(map[string]any{"typ": "JWT"}, idToken)))

	// Alice makes herself an administrator in the claims of her token.
	own := strings.Split(valid, ".")
	admin := strings.Split(as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:admin")}), ".")
	d.get(ctx, "forged: other claims, same signature", "/admin", invalid(bearergate.ReasonSignature),
		bearer(own[0]+"."+admin[1]+"."+own[2]))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	d.get(ctx, "forged: alg none, no signature", "/admin", invalid(bearergate.ReasonAlgorithm), bearer(none+"."+admin[1]+"."))
	d.get(ctx, "forged: signed with a key of somebody else", "/admin", invalid(bearergate.ReasonUnknownKey),
		bearer(partner.Token(authtest.Claims{Issuer: as.Issuer(), Scopes: scope.Of("orders:admin")})))

	d.get(ctx, "wrong scope", "/admin", noAdmin, bearer(valid))
	d.get(ctx, "right scope", "/admin", accepted, bearer(as.Token(authtest.Claims{Scopes: scope.Of("orders:admin")})))
	d.get(ctx, "authentication too weak", "/pay", stepUp,
		bearer(as.Token(authtest.Claims{Scopes: scope.Of("orders:pay"), ACR: "pwd", AuthTime: time.Now()})))
	d.get(ctx, "authentication too old", "/pay", stepUp,
		bearer(as.Token(authtest.Claims{Scopes: scope.Of("orders:pay"), ACR: "mfa", AuthTime: time.Now().Add(-time.Hour)})))
	d.get(ctx, "authentication strong and fresh", "/pay", accepted,
		bearer(as.Token(authtest.Claims{Scopes: scope.Of("orders:pay"), ACR: "mfa", AuthTime: time.Now()})))

	d.get(ctx, "authorization server down", "/partner", unavailable, bearer(partner.Token(read)))
	d.get(ctx, "valid token, misconfigured route", "/mistake", mistake, bearer(valid))

	if err := d.out.Flush(); err != nil {
		return err
	}
	if len(d.wrong) > 0 {
		return fmt.Errorf("%d of %d requests did not come back as wanted:\n%w", len(d.wrong), d.sent, errors.Join(d.wrong...))
	}
	_, err := fmt.Fprintf(out, "\nAll %d requests came back as they should. Try it yourself: go run ./examples/quickstart -serve\n", d.sent)
	return err
}

func bearer(token string) string { return "Bearer " + token }

type demo struct {
	out    *tabwriter.Writer
	url    string
	seen   *decisions
	client http.Client
	sent   int
	wrong  []error
}

// get sends a request, prints a row and compares it with what is wanted.
func (d *demo) get(ctx context.Context, name, path string, w want, authorization ...string) {
	d.sent++
	got, err := d.send(ctx, path, authorization)
	if err == nil && got != w {
		err = fmt.Errorf("got %+v, want %+v", got, w)
	}
	if err != nil {
		d.wrong = append(d.wrong, fmt.Errorf("%s: %w", name, err))
	}
	shown, _, _ := strings.Cut(path, "?") // a token is not for printing
	fmt.Fprintf(d.out, "%s\t%s\t%s\t%d\t%s\n", name, shown, or(string(got.why), "-"), got.status, or(got.challenge, "-"))
}

var description = regexp.MustCompile(`, error_description="[^"]*"`)

func (d *demo) send(ctx context.Context, path string, authorization []string) (want, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		return want{}, err
	}
	for _, value := range authorization {
		req.Header.Add("Authorization", value)
	}
	d.seen.take()
	resp, err := d.client.Do(req)
	if err != nil {
		return want{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return want{}, err
	}
	challenge := strings.Join(resp.Header.Values("WWW-Authenticate"), " and ")
	got := want{resp.StatusCode, d.seen.take(), description.ReplaceAllString(challenge, "")}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); got.status == 503 && (err != nil || seconds < 1 || seconds > 60) {
		return got, errors.New("a 503 without a Retry-After of 1 to 60 seconds")
	}
	return got, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// decisions remembers why the gate refused the last request.
type decisions struct {
	mu   sync.Mutex // guards last
	last bearergate.Reason
}

func (d *decisions) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.last = e.Reason
	}}
}

func (d *decisions) take() bearergate.Reason {
	d.mu.Lock()
	defer d.mu.Unlock()
	reason := d.last
	d.last = ""
	return reason
}
