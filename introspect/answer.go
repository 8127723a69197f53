package introspect

import (
	"errors"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
)

// verdict is what an answer means to this Client, whatever the time of day.
type verdict struct {
	claims  bearergate.Claims // of an active token
	active  bool              // what the authorization server said
	refusal error             // nil, or why the token is refused: inactive, or active but not for us
}

// The members of an answer beside those of a set of claims: their places in
// accept.Reading.Extra.
const (
	memberActive = iota
	memberTokenType
)

// readerOf reads what is looked at in answers.
func readerOf(c *Config) *accept.Reader {
	return accept.NewReader(accept.Fields{Required: required(c), Scopes: []string{"scope"}, ScopeString: !c.AllowScopeArray, Extra: []string{memberActive: "active", memberTokenType: "token_type"}})
}

// required are the members that must be there: without both times, the life of a token is
// not known.
func required(c *Config) []string {
	if c.MaxTokenAge > 0 {
		return []string{"exp", "iat"}
	}
	return nil
}

// rulesOf is what an active answer must say.
func rulesOf(c *Config) accept.Rules {
	return accept.Rules{
		Issuer: c.Issuer, IssuerImplied: true, Audiences: slices.Clone(c.Audiences), AnyAudience: c.InsecureAnyAudience, MissingAudience: c.AllowMissingAudience,
		Required: required(c), MaxLife: c.MaxTokenAge, Marks: slices.Clone(c.AllowMarks),
		Confirmations: slices.Clone(c.Confirmations), Leeway: c.Leeway, ExpiryOptional: true,
	}
}

// read decodes an answer (RFC 7662 §2.2), once, into r, and leaves there which check was
// the last. An error means that it is not an answer: the token is then neither active nor
// inactive.
func (c *Client) read(body []byte, r *accept.Reading) (verdict, error) {
	if err := c.reader.Read(body, r); err != nil {
		return verdict{}, errors.New("the body is " + err.Error())
	}
	r.At = accept.StepActive
	switch string(r.Extra[memberActive]) {
	case "true":
	case "false": // nothing else is expected then, or looked at
		return verdict{refusal: accept.Invalid(bearergate.ReasonInactive, "the authorization server answered active: false")}, nil
	default:
		return verdict{}, errors.New("active is not a boolean")
	}
	name, kind, err := c.tokenTypeOf(r.Extra[memberTokenType])
	if err != nil && r.Wrong == "" {
		r.Wrong = "token_type"
	}
	if r.Wrong != "" {
		return verdict{}, errors.New("the member " + r.Wrong + " is not of its type")
	}
	v := verdict{claims: r.Claims, active: true}
	if !r.HasIssuer {
		// The answer came from there. Without it, users of two issuers who have
		// one sub could not be told apart.
		v.claims.Issuer = c.issuer
	}
	if err := c.judge(r, name, kind); err != nil {
		v.refusal = accept.Refused(err, bearergate.NewToken(whose(&v.claims)))
	}
	return v, nil
}

// decide is what an answer means to us, Map included. A failure is never the token's
// fault. quoted says that the answer holds the token.
func (c *Client) decide(body []byte, quoted bool, r *accept.Reading) (verdict, *failure) {
	v, err := c.read(body, r)
	v.claims.Unquotable = quoted
	switch {
	case err != nil:
		return verdict{}, &failure{outcome: OutcomeMalformed, status: c.status, detail: err.Error()}
	case v.refusal != nil || c.mapping == nil:
		return v, nil
	}
	err = accept.Mapped(&v.claims, c.mapping)
	switch {
	case err == nil:
	case errors.Is(err, bearergate.ErrUnavailable), errors.Is(err, bearergate.ErrMisconfigured): // nothing is known against the token
		return verdict{}, &failure{outcome: OutcomeMap, status: c.status, own: bearergate.AsError(err)}
	default:
		v.refusal = accept.Refused(err, bearergate.NewToken(whose(&v.claims)))
	}
	return v, nil
}

// maxThumbprint is how long a member of cnf is that a refusal keeps: the SHA-256 of a key in
// base64, quoted, and nothing of any size.
const maxThumbprint = 64

// whose is what tells whose a token is. A refusal is remembered, and must not keep a
// whole answer.
func whose(c *bearergate.Claims) bearergate.Claims {
	of := bearergate.Claims{Issuer: c.Issuer, Subject: c.Subject, ClientID: c.ClientID, ID: c.ID, SessionID: c.SessionID,
		Actors: c.Actors[:min(len(c.Actors), 1)], ExpiresAt: c.ExpiresAt, AuthTime: c.AuthTime}
	if c.Confirmation != nil { // that it is bound, or it would name whoever it was stolen from
		of.Confirmation = map[string][]byte{}
		for _, member := range []string{"jkt", "x5t#S256"} {
			if value := c.Confirmation[member]; len(value) > 0 && len(value) <= maxThumbprint {
				of.Confirmation[member] = value
			}
		}
	}
	return of
}

// judge applies every check of an active token that does not depend on the time
// of day. What kind of token it is comes before what an access token must say: a
// refresh token has no aud, as a rule, and is not to be taken for an access token
// whose server forgot it.
func (c *Client) judge(r *accept.Reading, name string, kind tokenType) error {
	err := c.rules.Judge(r, false)
	if kind == typeOther && (err == nil || r.At > accept.StepKind) {
		r.At = accept.StepKind
		return c.notAnAccessToken(name)
	}
	if err != nil {
		return err
	}
	r.At = accept.StepTokenType
	return judgeProof(name, kind, r.Claims.Confirmation)
}
