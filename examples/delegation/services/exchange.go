package services

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bearergate/bearergate"
)

const (
	exchangeTimeout = 3 * time.Second
	maxCalls        = 64               // exchanges at once
	maxRemembered   = 4096             // tokens and refusals
	maxAnswer       = 64 << 10         // bytes of an answer of the authorization server
	margin          = 30 * time.Second // before its end, a token is not used any more: it has to last for a call
	refusalTTL      = 5 * time.Second  // a refusal is remembered for so long
)

// The parameters of an exchange (RFC 8693 §2.1, §3).
const (
	grantType       = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // the name of a kind of token
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
)

// ExchangeConfig says who exchanges tokens, where, and for which API.
type ExchangeConfig struct {
	// TokenURL is the token endpoint of the authorization server: https, or http for
	// loopback. The secret and the tokens of users are sent there, and nowhere else: a
	// redirect is not followed.
	TokenURL string
	// ClientID and Secret authenticate this service, by client_secret_basic. Where the
	// server offers private_key_jwt or a client certificate, those are better: no secret
	// is sent then.
	ClientID string
	Secret   bearergate.Secret
	// Audience or Resource names the one API that the token is for: the one word or the
	// other, as the server wants it (RFC 8693 §2.1). A token for several is good at each
	// of them for whoever has got it from another.
	Audience, Resource string
	// Scopes are what the call needs, and not what the user's token happens to grant.
	Scopes []string
	// Client sends the requests. Default: one of its own.
	Client *http.Client
}

// Exchanger exchanges the tokens of users for those with which this service calls another
// API in their name. It remembers what it has got. It is safe for concurrent use.
type Exchanger struct {
	config  ExchangeConfig
	client  *http.Client
	naming  []byte // the key under which tokens are hashed, of this process alone
	calls   chan struct{}
	flights singleflight.Group

	mu         sync.Mutex // guards remembered
	remembered map[string]outcome
}

// outcome is a token, or the refusal to exchange one.
type outcome struct {
	token bearergate.Secret
	err   error
	until time.Time
}

// NewExchanger returns an Exchanger, or all that is wrong with the configuration.
func NewExchanger(c ExchangeConfig) (*Exchanger, error) {
	var errs []error
	if u, err := url.Parse(c.TokenURL); err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		errs = append(errs, errors.New("give in TokenURL the URL of the token endpoint, with https"))
	}
	if c.ClientID == "" || c.Secret.Reveal() == "" {
		errs = append(errs, errors.New("give both ClientID and Secret"))
	}
	if (c.Audience == "") == (c.Resource == "") {
		errs = append(errs, errors.New("give either Audience or Resource"))
	}
	if len(c.Scopes) == 0 {
		errs = append(errs, errors.New("name in Scopes what the call needs"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("delegation: ExchangeConfig: %w", err)
	}
	client := http.Client{}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Scopes = slices.Clone(c.Scopes)
	x := &Exchanger{config: c, client: &client, naming: make([]byte, sha256.Size), calls: make(chan struct{}, maxCalls), remembered: map[string]outcome{}}
	_, err := rand.Read(x.naming)
	return x, err
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Token returns a token for the other API, with which this service acts for the user
// whose token, which the gate of this service has verified, is given. It is of no use
// before that: the authorization server would have to bear the tokens of strangers.
//
// What was got is remembered under a keyed hash of the user's token, until it or the
// user's token ends. So the user's token being revoked is noticed here only with the next
// exchange: where that is too late, let the gate ask (issuers.RequireLive,
// revocation.List), as it does for every other request.
//
// The error is bearergate's: ErrForbidden if the server refuses, ErrUnavailable in an
// outage and when too much is asked at once, ErrMisconfigured if this service is refused.
func (x *Exchanger) Token(ctx context.Context, user bearergate.Secret, ends time.Time) (bearergate.Secret, error) {
	name := x.name(user)
	if o, ok := x.recall(name); ok {
		return o.token, o.err
	}
	// One exchange for all requests with this token. It has a time of its own: whoever
	// leaves takes nobody along.
	flight := x.flights.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout)
		defer cancel()
		var o outcome
		err := bearergate.Guard(ctx, errExchange, func(ctx context.Context) error { // a panic in Client would end the process
			o = x.exchange(ctx, user, ends)
			return nil
		})
		if err != nil {
			o = outcome{err: err}
		}
		x.remember(name, o)
		return o, nil
	})
	select {
	case done := <-flight:
		o, _ := done.Val.(outcome)
		return o.token, o.err
	case <-ctx.Done():
		return bearergate.Secret{}, unavailable("the request ended before the exchange", ctx.Err())
	}
}

// Forget forgets what was got for a user's token: the other API has refused it.
func (x *Exchanger) Forget(user bearergate.Secret) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.remembered, x.name(user))
}

func (x *Exchanger) name(user bearergate.Secret) string {
	mac := hmac.New(sha256.New, x.naming)
	mac.Write([]byte(user.Reveal()))
	return string(mac.Sum(nil))
}

func (x *Exchanger) recall(name string) (outcome, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o, ok := x.remembered[name]
	return o, ok && time.Now().Before(o.until)
}

// remember keeps an outcome, if it lasts. Users fill the memory, with valid tokens alone:
// at most maxRemembered, and those that have ended go first. What finds no place is
// exchanged again by the next request.
func (x *Exchanger) remember(name string, o outcome) {
	now := time.Now()
	if !now.Before(o.until) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.remembered) >= maxRemembered {
		for other, o := range x.remembered {
			if !now.Before(o.until) {
				delete(x.remembered, other)
			}
		}
	}
	if len(x.remembered) < maxRemembered {
		x.remembered[name] = o
	}
}

// answer is what the authorization server says (RFC 8693 §2.2).
type answer struct {
	Token     string `json:"access_token"`
	Issued    string `json:"issued_token_type"`
	Type      string `json:"token_type"`
	ExpiresIn int64  `json:"expires_in"` // seconds
	Error     string `json:"error"`
}

// exchange asks the authorization server.
func (x *Exchanger) exchange(ctx context.Context, user bearergate.Secret, ends time.Time) (o outcome) {
	select {
	case x.calls <- struct{}{}:
		defer func() { <-x.calls }()
	default:
		return outcome{err: &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Detail: "too many exchanges at once"}}
	}
	asked := time.Now()
	status, a, err := x.ask(ctx, user)
	switch {
	case err != nil:
		return outcome{err: unavailable("the authorization server cannot be asked", err)}
	case status == http.StatusOK:
		return x.accept(a, user, asked, ends)
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, a.Error == "":
		return outcome{err: unavailable(fmt.Sprintf("the authorization server answers %d", status), nil)}
	case slices.Contains([]string{"invalid_client", "unauthorized_client", "unsupported_grant_type"}, a.Error):
		return outcome{err: misconfigured("the authorization server refuses this service: " + a.Error)}
	}
	refused := &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
		Detail: "the authorization server does not exchange the token", Found: bearergate.Quoted(a.Error)}
	return outcome{err: refused, until: asked.Add(refusalTTL)}
}

// ask sends the request. What it returns beside an error is nothing.
func (x *Exchanger) ask(ctx context.Context, user bearergate.Secret) (status int, a answer, err error) {
	form := url.Values{
		"grant_type":           {grantType},
		"subject_token":        {user.Reveal()},
		"subject_token_type":   {accessTokenType},
		"requested_token_type": {accessTokenType},
		"scope":                {strings.Join(x.config.Scopes, " ")},
	}
	if x.config.Audience != "" {
		form.Set("audience", x.config.Audience)
	} else {
		form.Set("resource", x.config.Resource)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, x.config.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, a, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	// Encoded as a form before Basic encodes them (RFC 6749 §2.3.1).
	r.SetBasicAuth(url.QueryEscape(x.config.ClientID), url.QueryEscape(x.config.Secret.Reveal()))
	resp, err := x.client.Do(r)
	if err != nil {
		return 0, a, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, answer{}, err
	case len(body) > maxAnswer:
		return 0, answer{}, errors.New("the answer is too long")
	case json.Unmarshal(body, &a) != nil && resp.StatusCode == http.StatusOK:
		return 0, answer{}, errors.New("the answer is no JSON object of a token")
	}
	return resp.StatusCode, a, nil
}

// accept judges the token that was got. Its claims are for the other API to judge.
func (x *Exchanger) accept(a answer, user bearergate.Secret, asked, ends time.Time) outcome {
	switch {
	case a.Token == "" || !strings.EqualFold(a.Type, "Bearer") || a.Issued != accessTokenType && a.Issued != jwtType:
		return outcome{err: unavailable("the answer holds no access token that is sent as Bearer", nil)}
	case a.Token == user.Reveal():
		// Sent on, it would open every API for which it is good to whoever sees it there.
		return outcome{err: misconfigured("the authorization server gives the user's own token back")}
	}
	o := outcome{token: bearergate.NewSecret(a.Token)}
	if a.ExpiresIn > 0 { // without, it is used once
		o.until = asked.Add(time.Duration(min(a.ExpiresIn, 24*60*60)) * time.Second)
		if !ends.IsZero() && ends.Before(o.until) {
			o.until = ends
		}
		o.until = o.until.Add(-margin)
	}
	return o
}

var errExchange = misconfigured("the exchange ended without an outcome")

func unavailable(detail string, cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Detail: detail, Cause: cause}
}

func misconfigured(detail string) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Detail: detail}
}
