package bearergate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate/scope"
)

// DefaultRealm is the realm of challenges when [AnswerConfig.Realm] is empty.
const DefaultRealm = "api"

// AnswerConfig is what the challenges of a gate say beside what was wrong, whatever
// carries them. The zero value is complete.
type AnswerConfig struct {
	// Realm is the realm of every challenge (RFC 9110 §11.5), shown to anybody. Printable
	// ASCII without double quote and backslash; default [DefaultRealm].
	Realm string
	// MetadataURL is where the metadata document of the API is (RFC 9728 §3), such as
	// "https://api.example.com/.well-known/oauth-protected-resource": an absolute URL in
	// printable ASCII without space, double quote and backslash. Every challenge then ends
	// with resource_metadata="…" (RFC 9728 §5.1). Default: none, and challenges do not say it.
	MetadataURL string
	// AuthorizationURI is the authorize endpoint of Microsoft Entra that a claims challenge
	// names (see [StepUp]); written as MetadataURL is. Default: none.
	AuthorizationURI string
}

// Answers are the fixed answers of a gate in the terms of HTTP, with their challenges. Make
// them with [NewAnswers]. They are not changed afterwards and safe for concurrent use. nil
// and zero Answers have no challenges.
type Answers struct {
	config  AnswerConfig
	schemes []challengeScheme
}

// Attempt is a request or call that was refused, as far as its answer depends on it.
type Attempt struct {
	// Authorization are all values of that field as they were received, nil where something
	// else carries the token.
	Authorization []string
	// Scheme is that of the credentials, "" if none could be read.
	Scheme Scheme
	// Authenticated says that the token was accepted and its sender proved to hold its key,
	// so that nothing is wrong with a proof.
	Authenticated bool
	// Required is what the route requires.
	Required scope.Requirement
	// Advertise names the scopes of Required to a sender without a token.
	Advertise bool
}

// Answer is what a client is told of a refusal: all of it is fit to be sent.
type Answer struct {
	// Code is the word of [Error.Code], such as "TOKEN_EXPIRED". It is "MISSING_TOKEN" also
	// for a sender that tried a scheme which the gate does not accept (RFC 6750 §3.1).
	Code string
	// Status is the HTTP status.
	Status int
	// Error is the error code of RFC 6750 §3.1, RFC 9470 §3 or Entra's; "" for the bare
	// challenge, and where there is none.
	Error string
	// Words say in a fixed sentence what the client may know.
	Words string
	// Challenges are the values of WWW-Authenticate, one for each scheme. The error stands
	// in that of the scheme that was used, which comes first, and nowhere else: about the
	// others, nothing is known to be wrong (RFC 9449 §7.1). Whoever sends Authorization
	// several times used no scheme alone, and gets the error in all of them (RFC 9449 §7.2).
	Challenges []string
	// RetryAfter is [Error.RetryDelay] for an outage, and otherwise 0. The field Retry-After
	// has it in whole seconds (RFC 9110 §10.2.3), cut off, which is at least 1.
	RetryAfter time.Duration
}

type fixedAnswer struct {
	status    int
	code      string
	words     string
	challenge bool
}

const (
	codeMissingToken = "MISSING_TOKEN"
	codeScope        = "INSUFFICIENT_SCOPE"
	codeStepUp       = "INSUFFICIENT_USER_AUTHENTICATION"
	codeClaims       = "INSUFFICIENT_CLAIMS"
	codeUnavailable  = "TEMPORARILY_UNAVAILABLE"
)

// fixedAnswers are all of them, by [Error.Code].
var fixedAnswers = map[string]fixedAnswer{
	codeMissingToken:     {401, "", "A bearer token is required.", true},
	"INVALID_REQUEST":    {400, "invalid_request", "The request must carry exactly one well-formed bearer token.", true},
	"INVALID_TOKEN":      {401, "invalid_token", "The access token is not valid here.", true},
	"TOKEN_EXPIRED":      {401, "invalid_token", "The access token has expired.", true},
	"TOKEN_INACTIVE":     {401, "invalid_token", "The access token is no longer active.", true},
	codeScope:            {403, "insufficient_scope", "The access token does not have the required scope.", true},
	codeStepUp:           {401, "insufficient_user_authentication", "A stronger or more recent authentication of the user is required.", true},
	codeClaims:           {401, "insufficient_claims", "The user has to satisfy the authentication context that claims asks for.", true},
	"INVALID_DPOP_PROOF": {401, "invalid_dpop_proof", "The DPoP proof is not valid here.", true},
	"USE_DPOP_NONCE":     {401, "use_dpop_nonce", "The DPoP proof must have a nonce of this server.", true},
	"FORBIDDEN":          {403, "", "The access token does not allow this request.", false},
	codeUnavailable:      {503, "", "The access token cannot be checked at the moment. Try again later.", false},
	"MISCONFIGURED":      {500, "", "The access token cannot be checked because of an error in this server.", false},
}

// NewAnswers returns the answers of a gate with these bindings, which [CheckBindings] has
// found to be in order. Its error is [ErrMisconfigured] and names every mistake at once.
func NewAnswers(c AnswerConfig, bindings ...Binding) (*Answers, error) {
	if c.Realm == "" {
		c.Realm = DefaultRealm
	}
	var errs []error
	if i := indexUnquotable(c.Realm); i >= 0 {
		errs = append(errs, fmt.Errorf("Config.Realm: byte %#02x at %d: use printable ASCII without double quote and backslash", c.Realm[i], i))
	}
	for _, address := range []struct{ field, url string }{{"MetadataURL", c.MetadataURL}, {"AuthorizationURI", c.AuthorizationURI}} {
		if u, err := url.Parse(address.url); address.url != "" && (err != nil || !isWord(address.url) || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			errs = append(errs, errors.New("Config."+address.field+": write an absolute URL, https://…, in printable ASCII without space, double quote and backslash"))
		}
	}
	schemes, err := schemesOf(bindings)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: err}
	}
	return &Answers{c, schemes}, nil
}

// To returns the answer to an error in the terms of this package; one that is not exactly
// one of the eight sentinels, nil included, is answered as [ErrMisconfigured].
func (a *Answers) To(err error, at Attempt) Answer {
	e := AsError(err)
	code := e.Code(at.Scheme == SchemeDPoP && !at.Authenticated)
	fixed := fixedAnswers[code]
	if fixed.challenge && at.Scheme != "" && a.refuses(at.Scheme) {
		code, fixed = codeMissingToken, fixedAnswers[codeMissingToken] // RFC 6750 §3.1: no error code for who tried a scheme that is not supported
	}
	answer := Answer{Code: code, Status: fixed.status, Error: fixed.code, Words: fixed.words}
	if fixed.challenge {
		answer.Challenges = a.challenges(e, fixed, code, at)
	}
	if code == codeUnavailable {
		answer.RetryAfter = e.RetryDelay()
	}
	return answer
}

// Facts are what a client may be told of the error beside its [Error.Code], by the names of
// the parameters of a challenge: scope, acr_values, max_age in seconds, claims. Lists are
// separated by spaces. nil if there are none.
func (e *Error) Facts() map[string]string {
	facts := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			facts[name] = value
		}
	}
	switch e.Code(false) {
	case codeScope:
		put("scope", listed(e.Scopes))
	case codeClaims:
		put("claims", e.ClaimsChallenge)
		fallthrough
	case codeStepUp:
		put("acr_values", listed(e.ACRValues))
		if e.MaxAge > 0 {
			put("max_age", strconv.FormatInt(int64(e.MaxAge/time.Second), 10))
		}
		put("scope", listed(e.Scopes))
	}
	if len(facts) == 0 {
		return nil
	}
	return facts
}

// listed joins values into a space-separated parameter, the order kept, each once. What
// cannot be listed is left out: the characters are those of a scope (RFC 6750 §3).
func listed(values []string) string { return scope.Of(values...).String() }

// refuses reports whether a scheme is none of the gate's, where that is known.
func (a *Answers) refuses(name Scheme) bool {
	return a != nil && len(a.schemes) > 0 && !slices.ContainsFunc(a.schemes, func(s challengeScheme) bool { return s.name == name })
}

func (a *Answers) challenges(e *Error, fixed fixedAnswer, code string, at Attempt) (values []string) {
	if a == nil {
		return nil
	}
	used := at.Scheme
	if used == "" && errors.Is(e.kind(), ErrInvalidRequest) && len(at.Authorization) < 2 {
		used = a.attempted(at.Authorization)
	}
	for _, s := range a.schemes {
		c := challenge{scheme: string(s.name)}
		c.add("realm", a.config.Realm)
		for _, p := range s.parameters {
			c.add(p.name, p.value)
		}
		if s.name == used || used == "" {
			a.explain(&c, e, fixed, code, at)
		}
		c.add("resource_metadata", a.config.MetadataURL)
		if s.name == used {
			values = slices.Insert(values, 0, c.String())
		} else {
			values = append(values, c.String())
		}
	}
	return values
}

// attempted is the scheme of credentials that could not be read, Bearer if it is none of
// the gate's.
func (a *Answers) attempted(authorization []string) Scheme {
	for _, sent := range authorization {
		for _, s := range a.schemes {
			if name := string(s.name); len(sent) >= len(name) && strings.EqualFold(sent[:len(name)], name) {
				return s.name
			}
		}
	}
	return SchemeBearer
}

// explain adds what was wrong with the credentials of the challenge's scheme.
func (a *Answers) explain(c *challenge, e *Error, fixed fixedAnswer, code string, at Attempt) {
	if fixed.code != "" { // else bare: RFC 6750 §3.1 has no more to say to who sent no token
		c.add("error", fixed.code)
		c.add("error_description", fixed.words)
	}
	facts := e.Facts()
	switch code {
	case codeMissingToken:
		if at.Advertise {
			c.add("scope", listed(at.Required.Scopes()))
		}
	case codeScope:
		// A verifier that refuses for scope itself may name more than the route does.
		c.add("scope", listed(slices.Concat(at.Required.Scopes(), e.Scopes)))
	case codeStepUp, codeClaims:
		if code == codeClaims {
			c.add("authorization_uri", a.config.AuthorizationURI)
		}
		for _, name := range []string{"claims", "acr_values", "max_age", "scope"} {
			c.add(name, facts[name])
		}
	}
}

// challengeScheme is one that a gate accepts, with the parameters of its challenge.
type challengeScheme struct {
	name       Scheme
	parameters []challengeParameter
}

type challengeParameter struct{ name, value string }

// ownParameters of a challenge are for the gate to say.
var ownParameters = []string{"realm", "error", "error_description", "scope", "acr_values", "max_age", "authorization_uri", "claims", "resource_metadata"}

// schemesOf returns what a gate with these bindings, which are in order, accepts, Bearer
// first, or all that is wrong with their challenges.
func schemesOf(bindings []Binding) ([]challengeScheme, error) {
	schemes := []challengeScheme{{name: SchemeBearer}}
	var errs []error
	for i, b := range bindings {
		err := Guard(context.Background(), errChallenge, func(context.Context) error {
			of := 0
			if b.Scheme() == SchemeDPoP {
				if of = len(schemes) - 1; of == 0 {
					of, schemes = 1, append(schemes, challengeScheme{name: SchemeDPoP})
				}
			}
			if name := schemes[of].add(b.Challenge()); name != "" {
				return fmt.Errorf("binding %d: the parameter %q of its challenge cannot be sent: use a token for its name, once and none of %s, and for its value printable ASCII without double quote and backslash", i+1, name, strings.Join(ownParameters, ", "))
			}
			return nil
		})
		if err != nil {
			errs = append(errs, AsError(err).Cause)
		}
	}
	return schemes, errors.Join(errs...)
}

var errChallenge = &Error{Kind: ErrMisconfigured, Reason: ReasonConfig}

// add takes parameters of a binding's challenge over, sorted by name, and returns the first
// that cannot be sent.
func (s *challengeScheme) add(parameters map[string]string) (wrong string) {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if !isToken(name) || indexUnquotable(parameters[name]) >= 0 || slices.Contains(ownParameters, name) ||
			slices.ContainsFunc(s.parameters, func(p challengeParameter) bool { return p.name == name }) {
			return name
		}
		s.parameters = append(s.parameters, challengeParameter{name, parameters[name]})
	}
	return ""
}

// isToken reports whether s is a token of RFC 9110 §5.6.2, as the names of parameters are.
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// challenge builds the value of a WWW-Authenticate header (RFC 9110 §11.6.1) for one scheme.
// Each name may be added once.
type challenge struct {
	scheme string
	b      strings.Builder
}

// add appends name="value". A parameter that is empty, or whose value would need escaping in
// a quoted-string or does not belong into a header at all, is left out: what goes in here was
// checked where it came from, and if that should fail, a missing parameter is harmless and a
// forged header is not.
func (c *challenge) add(name, value string) {
	if value == "" || indexUnquotable(value) >= 0 {
		return
	}
	if c.b.Len() == 0 {
		c.b.WriteString(c.scheme)
		c.b.WriteByte(' ')
	} else {
		c.b.WriteString(", ")
	}
	c.b.WriteString(name)
	c.b.WriteString(`="`)
	c.b.WriteString(value)
	c.b.WriteByte('"')
}

func (c *challenge) String() string { return c.b.String() }

// indexUnquotable returns where s first leaves %x20-21 / %x23-5B / %x5D-7E, the charset of
// RFC 6750 §3 that stands in a quoted-string as it is, or -1.
func indexUnquotable(s string) int {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return i
		}
	}
	return -1
}
