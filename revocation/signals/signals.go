// Package signals receives Security Event Tokens (SETs, RFC 8417) that a transmitter of the
// Shared Signals Framework 1.0 pushes (RFC 8935), and revokes the tokens that they are about:
// the sessions and accounts of CAEP 1.0 and RISC 1.0.
//
//	receiver, err := signals.New(signals.Config{
//		List:          list, // the revocation.List that the verifiers ask
//		Issuer:        "https://idp.example.com",
//		Audiences:     []string{"https://api.example.com/signals"},
//		Authorization: []bearergate.Secret{authorization}, // as agreed for the stream
//	})
//	mux.Handle("/signals", receiver)
//
// Create the stream at the transmitter by its own means, with this address for
// endpoint_url, urn:ietf:rfc:8935 for method, and the value of Authorization for
// authorization_header. This package does not create, change or poll streams.
//
// # What is revoked
//
//	event                                            revokes
//	CAEP session-revoked                             what the subject says
//	RISC account-disabled, account-purged,           what the subject says
//	     sessions-revoked, credential-compromise
//	other events                                     nothing, unless Revoke has them
//
// A subject becomes a [revocation.Entry] so:
//
//	subject                            tokens with
//	iss_sub, or user: iss_sub          iss and sub, up to the time of the event
//	opaque of session-revoked,         sid
//	  or session: opaque
//	jwt_id                             iss and jti
//	application, tenant: opaque        client_id; the tenant
//	aliases                            the first of them that means something
//	all others                         what Resolve says
//
// A complex subject is the intersection of its members: a session alone where there is one,
// and otherwise all that the members say, together. What cannot be mapped is never left
// out to revoke more: the event is acknowledged, discarded, and told to [Hooks].Discarded.
// For tokens to say of what session they are, see package backchannel.
//
// The cut-off is the time of the event, so that a SET that is sent again revokes no token
// that was issued since. Nothing that is received takes a revocation back: account-enabled
// does not.
//
// # What is answered when
//
//	taken, taken before, or discarded                  202
//	no valid SET, or one that may not say what it says 400, {"err":…,"description":…} (RFC 8935 §2.4)
//	another method; a longer body; a slower one        405; 413; 408
//	the transmitter is not authenticated               401, and 403 if Verifier says so
//	the List does not take it, or the keys are not     503, Retry-After
//	  to be had
//	a mistake of this service                          500
//
// 202 means that the List has it, and with a Log all processes of the fleet.
//
// A [Handler] is for one transmitter: make one for each, with a path of its own. It is safe
// for concurrent use.
package signals

import (
	"context"
	"crypto/subtle"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/digest"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/inbox"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/revocation"
)

// The defaults and bounds of [Config].
const (
	DefaultSource        = "signals"
	DefaultLeeway        = 5 * time.Second
	MaxLeeway            = 5 * time.Minute
	DefaultMaxBodyBytes  = 64 << 10
	MaxBodyBytesLimit    = 1 << 20
	DefaultMaxConcurrent = inbox.DefaultMaxConcurrent
	DefaultMaxRemembered = inbox.DefaultMaxRemembered
	DefaultAddTimeout    = inbox.DefaultAddTimeout
	// BodyTimeout is how long the body of a request may take to arrive.
	BodyTimeout = inbox.BodyTimeout
	// MinAuthorizationBytes is how long a value of Authorization has to be.
	MinAuthorizationBytes = 16
)

const mediaType = "application/secevent+jwt"

// List is what is fed, as a rule a [revocation.List]. Its Add must honour its context: one
// that does not keeps one of MaxConcurrent places. An error that is
// [bearergate.ErrInvalidRequest] is answered with 400, [bearergate.ErrMisconfigured] with
// 500, every other one with 503.
type List interface {
	Add(ctx context.Context, entries ...revocation.Entry) error
}

// Config says whose events are taken. List, Issuer, Audiences and one way to authenticate
// the transmitter are required; every other field's zero value is its safe default.
type Config struct {
	// List takes what is revoked. Required.
	List List

	// Issuer is the transmitter: what iss of a SET must be, compared exactly. Without Keys,
	// KeysURL and MetadataURL it is also where the keys are discovered, and so an https URL.
	// Required.
	Issuer string
	// Audiences are our names at the transmitter: aud of a SET must contain one of them. They
	// are those of the stream, and need not be those of tokens. Required.
	Audiences []string
	// TokenIssuers are the issuers for whose tokens this transmitter may speak: iss of a
	// subject must be one of them, and a SET about another one's is refused. A subject that
	// names no issuer means the one that there is; with several, it is discarded. Default:
	// Issuer.
	//
	// Danger: the transmitter can have every token of these issuers refused.
	TokenIssuers []string

	// Authorization are the values of the header Authorization that the transmitter may send,
	// scheme included, as agreed for the stream: several while they are changed. They are
	// compared in constant time, and have at least [MinAuthorizationBytes].
	Authorization []bearergate.Secret
	// Verifier verifies the access token of the transmitter instead: Authorization is then
	// Bearer. Have it accept tokens of that client alone, by its Check for example. A token
	// that is bound to its sender is refused.
	Verifier bearergate.Verifier
	// InsecureAnyTransmitter takes SETs from whoever sends them: for a transmitter that is
	// authenticated before this handler, by a client certificate for example. A SET
	// still has to be signed by Issuer.
	//
	// Danger: strangers have signatures checked, and may send again what they have seen. By keys
	// that they invent they take all of MaxConcurrent while keys are fetched slowly, and SETs of
	// the transmitter are answered with 503.
	InsecureAnyTransmitter bool

	// Keys provides the transmitter's keys. Where it is the authorization server too, give
	// the cache of its verifier, (*jwtverify.Verifier).Keys. Default: a [jwks.Cache] of
	// KeysURL, of MetadataURL, or discovered from Issuer. A Source with a method Issuer()
	// string that returns another issuer's name is a mistake.
	Keys jwks.Source
	// KeysURL is where the transmitter's key set is, an https URL, if it is not to be
	// discovered. With Keys, it is a mistake.
	KeysURL string
	// MetadataURL is where the transmitter's metadata are, an https URL: those of SSF 1.0 §7
	// at /.well-known/ssf-configuration will do, which discovery does not look for. With
	// Keys or KeysURL, it is a mistake.
	MetadataURL string
	// KeyHooks are the hooks of the default cache. With Keys, they are a mistake.
	KeyHooks jwks.Hooks
	// HTTPClient is what the default cache fetches with. Default: one with bounded times.
	// With Keys, it is a mistake.
	HTTPClient *http.Client
	// InsecureAllowHTTP accepts an http Issuer, and http for the default cache.
	//
	// Danger: anybody between here and the transmitter replaces its keys.
	InsecureAllowHTTP bool

	// Algorithms are the values of alg that are accepted. Default: RS256, PS256, ES256,
	// ES384 and EdDSA, as in jwtverify. none is never accepted.
	Algorithms []string
	// Leeway is how far clocks may differ when iat is judged. Default: [DefaultLeeway]; at
	// most [MaxLeeway].
	Leeway time.Duration

	// Revoke are further events that revoke, by their URI: [TokenClaimsChange],
	// [CredentialChange], [AssuranceLevelChange], [DeviceComplianceChange],
	// [RiskLevelChange], or one of your own. The function says whether this event does. Where
	// it is nil, these do: every change of claims; a credential that is revoked or deleted;
	// an assurance level that decreases; a device that is not-compliant any more; a risk level
	// that is HIGH. Events that revoke anyway may be here too, with a function that says when
	// they do not. It must not wait, and be safe for concurrent use. Default: none.
	Revoke map[string]func(Event) bool
	// Resolve says what a subject means that this package cannot map: an email address, a
	// device, an ID whose meaning was agreed. It is asked for one subject, or for one member
	// of a complex subject, and returns an Entry with what tokens say of it; Issuer may be
	// left out, and Before, Until and Source do not count. false: nobody knows, and the
	// event is discarded. Its error is judged by [bearergate.Guard]: one that says nothing
	// else is answered with 503, so that the transmitter tries again. It must be safe for
	// concurrent use. Default: none.
	Resolve func(context.Context, Subject) (revocation.Entry, bool, error)
	// CriticalMembers are critical_subject_members of the transmitter's metadata (SSF 1.0
	// §7.1): members of a complex subject without which an event must not be understood. An
	// event with one that cannot be mapped is discarded even where the others would do.
	CriticalMembers []string
	// IgnoreMembers are members of complex subjects that are not looked at: device, for
	// example, where tokens do not say of what device they are.
	//
	// Danger: an event then revokes more than it says: all sessions of a user, and not those on
	// one device. Where what is left names no user, session or token, but all of a tenant for
	// example, the event is discarded. Default: none.
	IgnoreMembers []string
	// VerificationState reports whether a verification event was asked for with this state
	// (SSF 1.0 §8.1.4). Without it, none was, and a verification event with a state is answered
	// with 400 invalid_state. One without a state is always taken.
	VerificationState func(ctx context.Context, state string) (bool, error)
	// Source is what each Entry says of where it comes from: at most 64 of a-z, 0-9, ".",
	// "_" and "-". Quotas of the List go by it: give each Handler a Source of its own, so that
	// one sender gone mad leaves room for the others. Default: [DefaultSource].
	Source string

	// MaxBodyBytes is how long a SET may be. Default: [DefaultMaxBodyBytes]; at most
	// [MaxBodyBytesLimit].
	MaxBodyBytes int
	// MaxConcurrent is how many SETs may be taken at once; more are answered with 503.
	// Default: [DefaultMaxConcurrent].
	MaxConcurrent int
	// MaxRemembered is how many SETs are known by their jti, each for an hour. One that is
	// forgotten and sent again is taken again, which changes nothing. Default:
	// [DefaultMaxRemembered].
	MaxRemembered int
	// AddTimeout is how long Resolve, VerificationState and List.Add may take together.
	// Default: [DefaultAddTimeout]; at most a minute.
	AddTimeout time.Duration

	// Hooks are told what happens. Default: none.
	Hooks Hooks
}

// Handler receives SETs. Its zero value answers 500. It is safe for concurrent use.
type Handler struct {
	issuer          string
	sets            accept.Events
	tokenIssuers    []string
	authorization   []digest.Sum
	verifier        bearergate.Verifier
	anyTransmitter  bool
	revoke          map[string]func(Event) bool
	resolve         func(context.Context, Subject) (revocation.Entry, bool, error)
	criticalMembers []string
	ignoreMembers   []string
	state           func(context.Context, string) (bool, error)
	maxBytes        int
	inbox           *inbox.Inbox
	hooks           Hooks
}

// New checks the configuration and touches no network. All mistakes come at once, each
// saying what to change, as one [bearergate.ErrMisconfigured].
func New(c Config) (*Handler, error) {
	wrong := mistake.In("signals")
	from := accept.Origin{Issuer: c.Issuer, KeysURL: c.KeysURL, MetadataURL: c.MetadataURL, Keys: c.Keys, KeyHooks: c.KeyHooks,
		HTTPClient: c.HTTPClient, InsecureAllowHTTP: c.InsecureAllowHTTP}
	issuerOK := from.Check(&wrong)
	if len(c.Audiences) == 0 {
		wrong.Addf("Audiences is empty: name the aud of the stream, which the transmitter tells when it is created")
	}
	wrong.Literals("Audiences", c.Audiences)
	wrong.Literals("TokenIssuers", c.TokenIssuers)
	checkMembers(&c, &wrong)
	for uri, decide := range c.Revoke {
		if decide == nil && decisions[uri] == nil && !slices.Contains(revoking, uri) {
			wrong.Addf("Revoke: %q has no function, and this package has no rule for it: give one", uri)
		}
	}
	mistake.Between(&wrong, "MaxBodyBytes", &c.MaxBodyBytes, DefaultMaxBodyBytes, 1, MaxBodyBytesLimit)
	if c.Source == "" {
		c.Source = DefaultSource
	}
	if len(c.TokenIssuers) == 0 {
		c.TokenIssuers = []string{c.Issuer}
	}
	hooks := JoinHooks(c.Hooks) // each hook guarded
	h := &Handler{
		issuer: c.Issuer,
		sets: accept.Events{
			Name: "a Security Event Token", Types: []string{"secevent+jwt"},
			Algorithms: accept.Algorithms(&wrong, "Algorithms", c.Algorithms),
			Keys:       from.Source(&wrong, issuerOK),
			Rules: accept.Rules{Issuer: c.Issuer, Audiences: slices.Clone(c.Audiences), ExpiryOptional: true,
				Required: []string{"iss", "aud", "iat", "jti", "events", "sub_id"},
				Leeway:   accept.Leeway(&wrong, c.Leeway, false, DefaultLeeway, MaxLeeway)},
		},
		tokenIssuers:    slices.Clone(c.TokenIssuers),
		authorization:   authorizations(&c, &wrong),
		verifier:        c.Verifier,
		anyTransmitter:  c.InsecureAnyTransmitter,
		revoke:          maps.Clone(c.Revoke),
		resolve:         c.Resolve,
		criticalMembers: slices.Clone(c.CriticalMembers),
		ignoreMembers:   slices.Clone(c.IgnoreMembers),
		state:           c.VerificationState,
		maxBytes:        c.MaxBodyBytes,
		inbox: inbox.New(&wrong, inbox.Config{Package: "signals", List: c.List, Source: c.Source, MaxConcurrent: c.MaxConcurrent,
			MaxRemembered: c.MaxRemembered, AddTimeout: c.AddTimeout, Panicked: hooks.Panicked}),
		hooks: hooks,
	}
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	return h, nil
}

func checkMembers(c *Config, wrong *mistake.List) {
	for _, name := range c.IgnoreMembers {
		switch {
		case name == "user" || name == "session":
			wrong.Addf("IgnoreMembers: %q cannot be ignored: it says whose tokens are meant", name)
		case slices.Contains(c.CriticalMembers, name):
			wrong.Addf("IgnoreMembers: %q is one of CriticalMembers too: leave out the one or the other", name)
		}
	}
	for field, names := range map[string][]string{"CriticalMembers": c.CriticalMembers, "IgnoreMembers": c.IgnoreMembers} {
		if slices.Contains(names, "") {
			wrong.Addf("%s contains an empty string: remove it", field)
		}
	}
}

// authorizations are hashes of what the transmitter may send: hashes have one length, so
// that comparing them takes the same time.
func authorizations(c *Config, wrong *mistake.List) (sums []digest.Sum) {
	ways := 0
	for _, set := range []bool{len(c.Authorization) > 0, c.Verifier != nil, c.InsecureAnyTransmitter} {
		if set {
			ways++
		}
	}
	switch {
	case ways == 0:
		wrong.Addf("Authorization is empty: set the value that the transmitter sends in that header, or Verifier for its access token")
	case ways > 1:
		wrong.Addf("Authorization, Verifier and InsecureAnyTransmitter are ways to authenticate the transmitter: leave out all but one")
	case c.Verifier != nil && guard.IsNil(c.Verifier):
		wrong.Addf("Verifier is a nil %T: leave it out, and set Authorization", c.Verifier)
	}
	for i, secret := range c.Authorization {
		if len(secret.Reveal()) < MinAuthorizationBytes {
			wrong.Addf("Authorization: value %d has less than %d bytes, which can be guessed: agree on a longer one", i, MinAuthorizationBytes)
		} else if text := secret.Reveal(); strings.TrimSpace(text) != text || strings.ContainsFunc(text, unicode.IsControl) {
			wrong.Addf("Authorization: value %d begins or ends with white space, or has a control character, which no header can have: was it read from a file with its end of line?", i)
		}
		sums = append(sums, digest.String(secret.Reveal()))
	}
	return sums
}

// Keys returns where the keys come from: Config.Keys, or the cache that New made, a
// *[jwks.Cache]. Warm it, and give it to [revocation.List.Watch].
func (h *Handler) Keys() jwks.Source {
	if h == nil {
		return nil
	}
	return h.sets.Keys
}

// ServeHTTP takes a SET (RFC 8935 §2), and answers as the comment of the package says.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	if h == nil {
		h = &Handler{}
	}
	ctx := r.Context()
	told := ReceivedEvent{Issuer: h.issuer, Status: http.StatusAccepted}
	refusal := h.receive(ctx, w, r, &told)
	if refusal != nil {
		told.Outcome, told.Status, told.Code, told.Err, told.Reason = Refused, refusal.status, refusal.code, refusal.err, bearergate.ReasonOf(refusal.err)
		if told.Status >= http.StatusInternalServerError {
			told.Outcome, told.Code = Failed, ""
		}
	}
	answer(w, told.Status, told.Code, told.Err)
	if h.hooks.Received != nil {
		told.Duration = time.Since(start)
		h.hooks.Received(ctx, told)
	}
}

// refusal is a request that is not acknowledged.
type refusal struct {
	status int
	code   string
	err    error
}

// The codes of RFC 8935 §2.4, and of SSF 1.0 §8.1.4.
const (
	codeRequest  = "invalid_request"
	codeKey      = "invalid_key"
	codeIssuer   = "invalid_issuer"
	codeAudience = "invalid_audience"
	codeFailed   = "authentication_failed"
	codeDenied   = "access_denied"
	codeState    = "invalid_state"
)

// words are what the transmitter is told with a code.
var words = map[string]string{
	codeRequest:  "the request is not a valid Security Event Token",
	codeKey:      "the Security Event Token is not signed by a key that is accepted",
	codeIssuer:   "the issuer is not that of this stream",
	codeAudience: "the Security Event Token is not for this receiver",
	codeFailed:   "the transmitter is not authenticated",
	codeDenied:   "the transmitter may not say this",
	codeState:    "the state is not one that was asked for",
}

// refused is a SET that is refused, or could not be judged.
func refused(err error) *refusal {
	code := codeRequest
	switch bearergate.ReasonOf(err) {
	case bearergate.ReasonIssuer:
		code = codeIssuer
	case bearergate.ReasonAudience:
		code = codeAudience
	case bearergate.ReasonUnknownKey, bearergate.ReasonSignature, bearergate.ReasonAlgorithm:
		code = codeKey
	}
	return &refusal{inbox.Status(err), code, err}
}

func bad(status int, detail string) *refusal {
	return &refusal{status, codeRequest, &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest, Detail: detail}}
}

// receive makes the checks that cost little before those that cost more.
func (h *Handler) receive(ctx context.Context, w http.ResponseWriter, r *http.Request, told *ReceivedEvent) *refusal {
	if h.inbox == nil {
		return refused(&bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Cause: errors.New("signals: the Handler was not made by New")})
	}
	inbox.Bound(w)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return bad(http.StatusMethodNotAllowed, "the method is not POST")
	}
	if refusal := h.authenticate(ctx, w, r); refusal != nil {
		return refusal
	}
	if !inbox.IsType(r, mediaType) {
		return bad(http.StatusBadRequest, "Content-Type is not "+mediaType)
	}
	body, status, err := inbox.Body(w, r, int64(h.maxBytes))
	if err != nil {
		return &refusal{status, codeRequest, err}
	}
	leave, err := h.inbox.Enter()
	if err != nil {
		return refused(err)
	}
	defer leave()
	var set *accept.Event
	err = h.inbox.Guard(ctx, "Keys", func() (err error) {
		set, err = h.sets.Verify(ctx, string(body), h.maxBytes)
		return err
	})
	if err != nil {
		return refused(err)
	}
	e, err := read(set)
	if err != nil {
		return refused(err)
	}
	told.Type, told.ID = h.typeName(e.Type), accept.Quoted(e.id)
	return h.take(ctx, e, told)
}

// authenticate makes sure that it is the transmitter who sends (RFC 8935 §3).
func (h *Handler) authenticate(ctx context.Context, w http.ResponseWriter, r *http.Request) *refusal {
	values := r.Header.Values("Authorization")
	switch {
	case h.anyTransmitter:
		return nil
	case h.verifier == nil && len(values) == 1:
		sent, equal := digest.String(values[0]), 0
		for i := range h.authorization {
			equal |= subtle.ConstantTimeCompare(sent[:], h.authorization[i][:])
		}
		if equal == 1 {
			return nil
		}
	}
	err := error(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Detail: "Authorization is not what was agreed for the stream"})
	if h.verifier != nil {
		err = h.verify(ctx, values)
	}
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, bearergate.ErrUnavailable), errors.Is(err, bearergate.ErrMisconfigured):
		return refused(err)
	case errors.Is(err, bearergate.ErrForbidden), errors.Is(err, bearergate.ErrInsufficientScope):
		return &refusal{http.StatusForbidden, codeDenied, err}
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	return &refusal{http.StatusUnauthorized, codeFailed, err}
}

func (h *Handler) verify(ctx context.Context, values []string) error {
	credentials, err := bearergate.ParseCredentials(values)
	if err != nil {
		return err
	}
	return h.inbox.Guard(ctx, "Verifier", func() error {
		// No Binding: a token that is bound is refused, for nobody looks at its proof here.
		_, _, err := bearergate.Authenticate(ctx, h.verifier, bearergate.Call{Credentials: credentials})
		return err
	})
}

// take carries out what an event says, and then remembers the SET.
func (h *Handler) take(ctx context.Context, e *event, told *ReceivedEvent) *refusal {
	if h.inbox.Seen(e.id) {
		told.Outcome = Repeated
		return nil
	}
	ctx, cancel := h.inbox.Within(ctx)
	defer cancel()
	var refusal *refusal
	switch e.Type {
	case verification:
		told.Outcome = Verified
		refusal = h.verified(ctx, e)
	case streamUpdated:
		told.Outcome = Updated
		h.updated(ctx, e)
	default:
		refusal = h.revoked(ctx, e, told)
	}
	if refusal == nil {
		h.inbox.Remember(e.id)
	}
	return refusal
}

// verified judges a verification event (SSF 1.0 §8.1.4).
func (h *Handler) verified(ctx context.Context, e *event) *refusal {
	state, occurs := "", false
	_ = strictjson.Object(e.Payload, func(name, value []byte) (err error) { // it was read before
		if string(name) == "state" && !strictjson.IsNull(value) {
			occurs = true
			state, _ = strictjson.String(value) // of another type, nobody has asked for it
		}
		return nil
	})
	if !occurs {
		return nil
	}
	asked := false
	if h.state != nil {
		err := h.inbox.Ask(ctx, "VerificationState", func(ctx context.Context) (err error) {
			asked, err = h.state(ctx, state)
			return err
		})
		if err != nil {
			return refused(err)
		}
	}
	if !asked {
		return &refusal{http.StatusBadRequest, codeState, accept.Invalid(bearergate.ReasonPolicy, "nobody has asked for a verification event with this state")}
	}
	return nil
}

// updated tells of a stream that has changed (SSF 1.0 §8.1.5).
func (h *Handler) updated(ctx context.Context, e *event) {
	if h.hooks.Stream == nil {
		return
	}
	told := StreamEvent{Issuer: h.issuer, Status: "other"}
	if status := textOf(e.Payload, "status"); slices.Contains([]string{"enabled", "paused", "disabled"}, status) {
		told.Status = status
	}
	if reason := textOf(e.Payload, "reason"); reason != "" {
		told.Reason = accept.Quoted(reason)
	}
	h.hooks.Stream(ctx, told)
}

// revoked adds what an event revokes, or discards it.
func (h *Handler) revoked(ctx context.Context, e *event, told *ReceivedEvent) *refusal {
	var entry revocation.Entry
	none, err := h.decide(ctx, e)
	if none == nil && err == nil {
		entry, none, err = h.entry(ctx, &e.subject, e.Type == SessionRevoked)
	}
	switch {
	case errors.Is(err, errForeign):
		own := *errForeign // whoever is told may keep it
		return &refusal{http.StatusBadRequest, codeDenied, &own}
	case err != nil:
		return refused(err)
	case none != nil:
		if told.Outcome = Discarded; h.hooks.Discarded != nil {
			h.hooks.Discarded(ctx, h.discarded(e, none))
		}
		return nil
	}
	if err := h.inbox.Add(ctx, e.cutOff, []revocation.Entry{entry}); err != nil {
		return refused(err)
	}
	told.Outcome, told.Entries = Revoked, 1
	return nil
}

// decide says whether an event revokes.
func (h *Handler) decide(ctx context.Context, e *event) (*unmapped, error) {
	decide, asked := h.revoke[e.Type]
	var yes bool
	switch {
	case decide != nil:
		err := h.inbox.Guard(ctx, "Revoke", func() error {
			yes = decide(e.Event)
			return nil
		})
		if err != nil {
			return nil, err
		}
	case slices.Contains(revoking, e.Type):
		return nil, nil
	case asked:
		yes = decisions[e.Type](e.Payload)
	default:
		return &unmapped{why: WhyType}, nil
	}
	if !yes {
		return &unmapped{why: WhyDecision}, nil
	}
	return nil, nil
}

// answer says what became of the request, in fixed words.
func answer(w http.ResponseWriter, status int, code string, err error) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case err == nil, status >= http.StatusInternalServerError: // for these, RFC 8935 has no body
		if status == http.StatusServiceUnavailable {
			inbox.RetryLater(w.Header(), err)
		}
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Language", "en")
	inbox.WriteJSON(w, status, map[string]string{"err": code, "description": words[code]})
}
