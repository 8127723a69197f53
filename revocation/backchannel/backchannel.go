// Package backchannel receives the logouts of an OpenID provider, by OpenID Connect
// Back-Channel Logout 1.0, and revokes the tokens of the sessions that have ended.
//
//	logout, err := backchannel.New(backchannel.Config{
//		List:      list, // the revocation.List that the verifiers ask
//		Issuer:    "https://as.example.com",
//		ClientIDs: []string{"orders-web"},
//	})
//	mux.Handle("/backchannel-logout", logout)
//
// At the provider, register the address of this handler as backchannel_logout_uri of each of
// ClientIDs: a logout is sent to clients, and never to an API.
//
// # What is revoked
//
// A logout token with sid ends that session: the [revocation.Entry] has Issuer and Session.
// One with sub alone ends all sessions of the user up to the time that it was issued at, so
// that one that is sent again, even a year later, ends no session that began since.
//
// For that, access tokens must say of what session they are. Most servers do not put sid
// into them by themselves: without it, no logout of a session reaches any token, while all
// is acknowledged here. Have the provider write sid into the access tokens of this API, or
// have it send logout tokens without sid (backchannel_logout_session_required: false), which
// some then do. A sub may be pairwise, another one for each client: then the sub of the
// logout token is not that of the access token, and Map has to say whose it is.
//
// # What is answered when
//
//	done, or done before                                      200
//	no valid logout token                                     400, {"error":"invalid_request"}
//	another method; type of body; a longer body; a slower one 405; 415; 413; 408
//	the List does not take it, or the keys are not to be had  503, Retry-After
//	a mistake of this service                                 500
//
// 200 means that the List has it, and with a Log all processes of the fleet. Providers
// differ in whether they send again what was not acknowledged. So watch
// [ReceivedEvent].Outcome Failed.
//
// # What it does not do
//
// It is not protected by a credential: the signature of the logout token is what counts.
// Strangers can have bodies read and signatures checked, so put the limits of your server in
// front of it. Front-channel logout, and logout tokens that are encrypted, are not built.
//
// A [Handler] is for one issuer: make one for each, with a path of its own. It is safe for
// concurrent use.
package backchannel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/inbox"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/revocation"
)

// The defaults and bounds of [Config].
const (
	DefaultSource        = "backchannel"
	DefaultLeeway        = 5 * time.Second
	MaxLeeway            = 5 * time.Minute
	DefaultMaxBodyBytes  = 32 << 10
	MaxBodyBytesLimit    = 1 << 20
	DefaultMaxConcurrent = inbox.DefaultMaxConcurrent
	DefaultMaxRemembered = inbox.DefaultMaxRemembered
	DefaultAddTimeout    = inbox.DefaultAddTimeout
	// BodyTimeout is how long the body of a request may take to arrive.
	BodyTimeout = inbox.BodyTimeout
	// MaxAgeWithoutExp is how old a logout token without exp may be: see AllowMissingExp.
	MaxAgeWithoutExp = 2 * time.Minute
)

const eventType = "http://schemas.openid.net/event/backchannel-logout"

// List is what is fed, as a rule a [revocation.List]. Its Add must honour its context: one
// that does not keeps one of MaxConcurrent places. An error that is
// [bearergate.ErrInvalidRequest] is answered with 400, [bearergate.ErrMisconfigured] with
// 500, every other one with 503.
type List interface {
	Add(ctx context.Context, entries ...revocation.Entry) error
}

// Config says whose logouts are taken. List, Issuer and ClientIDs are required; every other
// field's zero value is its safe default.
type Config struct {
	// List takes what is revoked. Required.
	List List

	// Issuer is what iss of a logout token must be, compared exactly, and of the tokens that
	// it revokes. Without Keys, KeysURL and MetadataURL it is also where the keys are
	// discovered, and so an https URL. Required.
	Issuer string
	// ClientIDs are the IDs of your clients at the provider: aud of a logout token must
	// contain one of them. They are those of the applications that users log in to, and
	// not the audience of this API. Required.
	ClientIDs []string

	// Keys provides the issuer's keys. Give the cache of the verifier of the same issuer,
	// (*jwtverify.Verifier).Keys, so that both fetch once. Default: a [jwks.Cache] of
	// KeysURL, of MetadataURL, or discovered from Issuer. A Source with a method Issuer()
	// string that returns another issuer's name is a mistake.
	Keys jwks.Source
	// KeysURL is where the issuer's key set is, an https URL, if it is not to be discovered.
	// With Keys, it is a mistake.
	KeysURL string
	// MetadataURL is where the issuer's metadata are, an https URL, if they are not where
	// Issuer says. With Keys or KeysURL, it is a mistake.
	MetadataURL string
	// KeyHooks are the hooks of the default cache. With Keys, they are a mistake.
	KeyHooks jwks.Hooks
	// HTTPClient is what the default cache fetches with. Default: one with bounded times.
	// With Keys, it is a mistake.
	HTTPClient *http.Client
	// InsecureAllowHTTP accepts an http Issuer, and http for the default cache.
	//
	// Danger: anybody between here and the provider replaces its keys, and logs out whom
	// they like.
	InsecureAllowHTTP bool

	// Algorithms are the values of alg that are accepted. Default: RS256, PS256, ES256,
	// ES384 and EdDSA, as in jwtverify. none is never accepted.
	Algorithms []string
	// RequireTyp demands typ logout+jwt (§2.4). Default: typ may also be absent or JWT, for
	// providers that follow older drafts. Every other type is refused either way.
	RequireTyp bool
	// AllowMissingExp accepts logout tokens without exp, which early drafts did not have, up
	// to [MaxAgeWithoutExp] after iat.
	//
	// Danger: what the provider sends for another purpose, and without exp, is told from a logout
	// token by its events alone.
	AllowMissingExp bool
	// Leeway is how far clocks may differ when exp and iat are judged. Default:
	// [DefaultLeeway]; at most [MaxLeeway].
	Leeway time.Duration

	// Map says what a logout revokes, where that is not Issuer with the sid or the sub of
	// the logout token: for a provider whose access tokens have another iss, for a pairwise
	// sub, or for a Tenant. It is called for every logout token that is valid and was not
	// taken before. An Entry without Before, or with a later one, gets the time of the
	// logout. None at all acknowledges the logout and revokes nothing. Its error is judged by
	// [bearergate.Guard]: one that says nothing else is answered with 503, so that the
	// provider tries again. An Entry that the List refuses is a mistake of Map, and answered
	// with 500. It must be safe for concurrent use.
	//
	// Danger: what it returns is revoked as it stands. An Entry with Issuer alone ends
	// everything. Default: none.
	Map func(context.Context, Logout) ([]revocation.Entry, error)
	// Source is what each Entry says of where it comes from: at most 64 of a-z, 0-9, ".",
	// "_" and "-". Quotas of the List go by it: give each Handler a Source of its own, so that
	// one sender gone mad leaves room for the others. Default: [DefaultSource].
	Source string

	// MaxBodyBytes is how long the body of a request may be. Default:
	// [DefaultMaxBodyBytes]; at most [MaxBodyBytesLimit].
	MaxBodyBytes int
	// MaxConcurrent is how many logouts may be added to the List at once; more are answered
	// with 503. Only logout tokens that are valid count. Default: [DefaultMaxConcurrent].
	MaxConcurrent int
	// MaxRemembered is how many logout tokens are known by their jti, each for an hour. One
	// that is forgotten and sent again is applied again, which changes nothing. Default:
	// [DefaultMaxRemembered].
	MaxRemembered int
	// AddTimeout is how long Map and List.Add may take together. Default:
	// [DefaultAddTimeout]; at most a minute.
	AddTimeout time.Duration

	// Hooks are told what happens. Default: none.
	Hooks Hooks
}

// Logout is what a logout token says that was verified.
type Logout struct {
	Issuer  string
	Subject string // sub; "" if there is none
	Session string // sid; "" if there is none
	ID      string // jti
	// IssuedAt is iat, and no later than now, but for the difference of clocks.
	IssuedAt time.Time
	Raw      []byte // all claims, as JSON
}

// Handler receives logouts. Its zero value answers 500. It is safe for concurrent use.
type Handler struct {
	issuer   string
	events   accept.Events
	mapping  func(context.Context, Logout) ([]revocation.Entry, error)
	maxBytes int
	inbox    *inbox.Inbox
	hooks    Hooks
}

// New checks the configuration and touches no network. All mistakes come at once, each
// saying what to change, as one [bearergate.ErrMisconfigured].
func New(c Config) (*Handler, error) {
	wrong := mistake.In("backchannel")
	from := accept.Origin{Issuer: c.Issuer, KeysURL: c.KeysURL, MetadataURL: c.MetadataURL, Keys: c.Keys, KeyHooks: c.KeyHooks,
		HTTPClient: c.HTTPClient, InsecureAllowHTTP: c.InsecureAllowHTTP}
	issuerOK := from.Check(&wrong)
	if len(c.ClientIDs) == 0 {
		wrong.Addf("ClientIDs is empty: name your clients at the provider, which aud of its logout tokens names; they are not the audience of this API")
	}
	wrong.Literals("ClientIDs", c.ClientIDs)
	mistake.Between(&wrong, "MaxBodyBytes", &c.MaxBodyBytes, DefaultMaxBodyBytes, 1, MaxBodyBytesLimit)
	if c.Source == "" {
		c.Source = DefaultSource
	}
	hooks := JoinHooks(c.Hooks) // each hook guarded
	h := &Handler{
		issuer: c.Issuer,
		events: accept.Events{
			Name: "a logout token", Types: []string{"logout+jwt"}, Untyped: !c.RequireTyp,
			Algorithms: accept.Algorithms(&wrong, "Algorithms", c.Algorithms),
			Keys:       from.Source(&wrong, issuerOK),
			Rules: accept.Rules{Issuer: c.Issuer, Audiences: slices.Clone(c.ClientIDs), ExpiryOptional: c.AllowMissingExp,
				Required: required(c.AllowMissingExp), Leeway: accept.Leeway(&wrong, c.Leeway, false, DefaultLeeway, MaxLeeway)},
		},
		mapping:  c.Map,
		maxBytes: c.MaxBodyBytes,
		inbox: inbox.New(&wrong, inbox.Config{Package: "backchannel", List: c.List, Source: c.Source, MaxConcurrent: c.MaxConcurrent,
			MaxRemembered: c.MaxRemembered, AddTimeout: c.AddTimeout, Panicked: hooks.Panicked}),
		hooks: hooks,
	}
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	return h, nil
}

// required are the claims of §2.4 that every logout token has.
func required(noExpiry bool) []string {
	if noExpiry {
		return []string{"iss", "aud", "iat", "jti", "events"}
	}
	return []string{"iss", "aud", "iat", "exp", "jti", "events"}
}

// Keys returns where the keys come from: Config.Keys, or the cache that New made, a
// *[jwks.Cache]. Warm it, and give it to [revocation.List.Watch].
func (h *Handler) Keys() jwks.Source {
	if h == nil {
		return nil
	}
	return h.events.Keys
}

// ServeHTTP takes a logout (§2.5), and answers as the comment of the package says (§2.8).
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	if h == nil {
		h = &Handler{}
	}
	ctx := r.Context()
	event := ReceivedEvent{Issuer: h.issuer}
	status, err := h.receive(ctx, w, r, &event)
	answer(w, status, err)
	if event.Err, event.Reason, event.Status = err, bearergate.ReasonOf(err), status; err != nil {
		if event.Outcome = Refused; status >= http.StatusInternalServerError {
			event.Outcome = Failed
		}
	}
	if h.hooks.Received != nil {
		event.Duration = time.Since(start)
		h.hooks.Received(ctx, event)
	}
}

func (h *Handler) receive(ctx context.Context, w http.ResponseWriter, r *http.Request, event *ReceivedEvent) (status int, err error) {
	if h.inbox == nil {
		return http.StatusInternalServerError, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Cause: errors.New("backchannel: the Handler was not made by New")}
	}
	inbox.Bound(w)
	raw, status, err := h.logoutToken(w, r)
	if err != nil {
		return status, err
	}
	if err := h.take(ctx, raw, event); err != nil {
		return inbox.Status(err), err
	}
	return http.StatusOK, nil
}

// logoutToken reads the parameter of the body. What stands in the query does not count.
func (h *Handler) logoutToken(w http.ResponseWriter, r *http.Request) (raw string, status int, err error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return "", http.StatusMethodNotAllowed, bad("the method is not POST")
	}
	if !inbox.IsType(r, "application/x-www-form-urlencoded") {
		return "", http.StatusUnsupportedMediaType, bad("Content-Type is not application/x-www-form-urlencoded")
	}
	body, status, err := inbox.Body(w, r, int64(h.maxBytes))
	if err != nil {
		return "", status, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", http.StatusBadRequest, bad("the body is not a form")
	}
	if values := form["logout_token"]; len(values) == 1 && values[0] != "" {
		return values[0], 0, nil
	}
	return "", http.StatusBadRequest, bad("the body has no logout_token, or more than one")
}

func bad(detail string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest, Detail: detail}
}

// take verifies a logout token and adds what it says.
func (h *Handler) take(ctx context.Context, raw string, event *ReceivedEvent) error {
	var verified *accept.Event
	err := h.inbox.Guard(ctx, "Keys", func() (err error) {
		verified, err = h.events.Verify(ctx, raw, h.maxBytes)
		return err
	})
	if err != nil {
		return err
	}
	logout, err := h.read(verified)
	if err != nil {
		return err
	}
	if event.By = BySubject; logout.Session != "" {
		event.By = BySession
	}
	event.Subject, event.Session = logout.Subject, logout.Session
	if h.inbox.Seen(logout.ID) {
		event.Outcome = Repeated
		return nil
	}
	leave, err := h.inbox.Enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := h.inbox.Within(ctx)
	defer cancel()
	entries, err := h.entries(ctx, logout)
	if err != nil {
		return err
	}
	if event.Outcome = Discarded; len(entries) > 0 {
		if err := h.inbox.Add(ctx, logout.IssuedAt, entries); err != nil {
			return h.ofMap(err)
		}
		event.Outcome, event.Entries = Revoked, len(entries)
	}
	h.inbox.Remember(logout.ID)
	return nil
}

// ofMap is an error of the List: what it refuses was written by Map, where there is one, and
// not by the provider, who would give up.
func (h *Handler) ofMap(err error) error {
	if h.mapping == nil || !errors.Is(err, bearergate.ErrInvalidRequest) {
		return err
	}
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
		Cause: fmt.Errorf("backchannel: Map has returned what the List refuses: %w", err)}
}

// read judges what makes a JWT a logout token (§2.4, §2.6), and returns what it says.
func (h *Handler) read(e *accept.Event) (Logout, error) {
	logout := Logout{Issuer: e.Claims.Issuer, Subject: e.Claims.Subject, ID: e.Claims.ID, IssuedAt: inbox.CutOff(e.Claims.IssuedAt), Raw: slices.Clone(e.Claims.Raw)}
	if _, occurs := e.Members["nonce"]; occurs { // null too: it keeps ID tokens from being logout tokens
		return Logout{}, accept.Invalid(bearergate.ReasonType, "there is a nonce, which no logout token has")
	}
	if !isLogout(e.Members["events"]) {
		return Logout{}, accept.Invalid(bearergate.ReasonType, "events has no member "+eventType+" that is an object")
	}
	if e.Has("sid") {
		var err error
		if logout.Session, err = strictjson.String(e.Members["sid"]); err != nil || logout.Session == "" {
			return Logout{}, accept.Invalid(bearergate.ReasonMalformed, "sid is not a string, or empty")
		}
	}
	switch {
	case e.Has("sub") && logout.Subject == "":
		return Logout{}, accept.Invalid(bearergate.ReasonMalformed, "sub is empty")
	case logout.Subject == "" && logout.Session == "":
		return Logout{}, accept.Invalid(bearergate.ReasonMissingClaim, "there is neither sub nor sid")
	case e.Claims.ExpiresAt.IsZero() && time.Now().After(e.Claims.IssuedAt.Add(MaxAgeWithoutExp+h.events.Rules.Leeway)):
		return Logout{}, accept.Invalid(bearergate.ReasonExpired, "there is no exp, and iat is more than two minutes ago")
	}
	return logout, nil
}

func isLogout(events []byte) (is bool) {
	err := strictjson.Object(events, func(name, value []byte) error {
		is = is || string(name) == eventType && value[0] == '{'
		return nil
	})
	return err == nil && is
}

// entries are what a logout revokes: with sid that session, whoever's it is, and not the
// others of its user (§2.7).
func (h *Handler) entries(ctx context.Context, l Logout) (entries []revocation.Entry, err error) {
	switch {
	case h.mapping != nil:
		err = h.inbox.Ask(ctx, "Map", func(ctx context.Context) (err error) {
			entries, err = h.mapping(ctx, l)
			return err
		})
		return entries, err
	case l.Session != "":
		return []revocation.Entry{{Issuer: l.Issuer, Session: l.Session}}, nil
	}
	return []revocation.Entry{{Issuer: l.Issuer, Subject: l.Subject}}, nil
}

// answer says what became of the request (§2.8), in fixed words.
func answer(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Cache-Control", "no-store")
	if err == nil {
		w.WriteHeader(status)
		return
	}
	inbox.RetryLater(w.Header(), err)
	code, words := "invalid_request", "the request is not a back-channel logout"
	switch {
	case status == http.StatusServiceUnavailable:
		code, words = "temporarily_unavailable", "the logout could not be carried out: try again"
	case status >= http.StatusInternalServerError:
		code, words = "server_error", "the logout could not be carried out"
	case errors.Is(err, bearergate.ErrInvalidToken):
		words = "the logout token is not valid"
	}
	inbox.WriteJSON(w, status, map[string]string{"error": code, "error_description": words})
}
