// Package accept reads and judges what an issuer says in a set of claims, and
// checks its signatures: the one place for both, whatever carried the claims. A
// JWT access token and the answer of an introspection endpoint, plain or signed,
// are read and judged here.
//
//	key, err := accept.Signer(ctx, source, jws, issuer) // whose signature it is
//	err = fields.Read(jws.Payload, &reading)      // what it says
//	err = rules.Judge(&reading, false)            // whether that is for us
//	err = rules.CheckTimes(now, exp, nbf, iat)    // whether it is so now
//
// It stands above the root, as internal/inbox does and no other internal package. It caches
// nothing, asks no clock but in Events, and calls no function of the user's but the key
// source.
//
// Errors are of type [bearergate.Error], except where the doc says otherwise. Their
// texts name the rule, and nothing that the issuer or a sender wrote.
//
// Everything here is safe for concurrent use.
package accept

import (
	"errors"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/quote"
)

// Rules are what the claims of one issuer must say to be accepted. They are not
// changed while they are in use. The zero Rules accept nothing.
type Rules struct {
	Issuer string // what iss must be, code point by code point
	// Aliases are what iss may be besides.
	Aliases []string
	// IssuerImplied accepts claims without iss: they came from the issuer itself.
	IssuerImplied bool
	// KeysNameIssuer accepts claims in which the member iss does not occur, or is null, and
	// reads them as those of Issuer: whoever signs with these keys is Issuer.
	KeysNameIssuer bool

	Audiences []string // aud must name one of them
	// AnyAudience accepts every aud, and none.
	AnyAudience bool
	// MissingAudience accepts claims without aud, or with the aud [], which names nobody.
	MissingAudience bool
	// StandIns are the values of Fields.StandIns, in their order, that name us where the
	// member aud does not occur at all: one of them must be there.
	StandIns [][]string
	// KeysNameAudience accepts claims in which the member aud does not occur at all: whoever
	// signs with these keys signs for us alone.
	KeysNameAudience bool

	// Required are the claims that must be there and not empty: those of Fields, for
	// they are found by their place there.
	Required []string
	// Marks are marks of other kinds of token that access tokens of this issuer have.
	Marks []string
	// IDTokens demands ID tokens instead of access tokens.
	IDTokens bool
	// Confirmations are the members of cnf that somebody else confirms.
	Confirmations []string
	// MaxLife is the longest time from iat to exp; 0: any.
	MaxLife time.Duration

	Leeway time.Duration // how far clocks may differ
	// ExpiryOptional accepts claims without exp.
	ExpiryOptional bool
}

// Invalid is an error of the token itself. detail names the rule, never what the
// token says.
func Invalid(reason bearergate.Reason, detail string) error { return Mismatch(reason, detail, "", "") }

// Mismatch is Invalid with both sides of the comparison. What a token says has gone
// through [Quoted].
func Mismatch(reason bearergate.Reason, detail, expected, found string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason, Detail: detail, Expected: expected, Found: found}
}

// Unsigned is Mismatch where no signature has been checked.
func Unsigned(reason bearergate.Reason, detail, expected, found string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason, Detail: detail, Expected: expected, Found: found, Unsigned: true}
}

// Refused adds the token to an error of this package. One of another issuer is not
// added: the key that signed it, or the server that answered, does not vouch for what it
// says of that.
func Refused(err error, token *bearergate.Token) error {
	e := bearergate.AsError(err)
	if e.Reason == bearergate.ReasonIssuer {
		return e
	}
	return e.WithRefused(token)
}

// Quoted are values that somebody else wrote, as an error may hold them.
func Quoted(values ...string) string { return quote.List(values...) }

// Judge makes every check that does not depend on the time of day, and leaves in of.At
// which one was the last. explicit says that something else than the claims says that
// this is an access token, and of no other kind: its typ.
func (r *Rules) Judge(of *Reading, explicit bool) error {
	c := &of.Claims
	if of.Wrong != "" {
		return Mismatch(bearergate.ReasonMalformed, "the claim "+of.Wrong+" is not of its type", shapes[of.Wrong], "")
	}
	if r.KeysNameIssuer && !of.HasIssuer {
		c.Issuer = r.Issuer // of two issuers, each may have a subject of that name
	}
	of.At = StepIssuer
	if r.Issuer == "" || c.Issuer != "" && !r.isOurs(c.Issuer) { // before what is missing: it tells more
		return r.anotherIssuer(of)
	}
	of.At = StepKind
	if r.otherKind(of) != "" && !explicit {
		return r.mismatch(of, bearergate.ReasonType, "the claims are those of another kind of token")
	}
	of.At = StepRequired
	for i, name := range r.Required {
		if name == "aud" && (len(r.StandIns) > 0 || r.KeysNameAudience) {
			continue // judgeAudience says
		}
		if name == "iss" && r.KeysNameIssuer && !of.HasIssuer {
			continue
		}
		if of.found&(1<<i) == 0 {
			return Mismatch(bearergate.ReasonMissingClaim, "the required claim "+name+" is absent or empty", r.expectedWhere(name), "")
		}
	}
	if !r.isOurs(c.Issuer) && (of.HasIssuer || !r.IssuerImplied) {
		of.At = StepIssuer
		return r.anotherIssuer(of)
	}
	of.At = StepAudience
	if err := r.judgeAudience(of); err != nil {
		return err
	}
	of.At = StepLifetime
	if r.MaxLife > 0 && c.ExpiresAt.Sub(c.IssuedAt) > r.MaxLife {
		return r.mismatch(of, bearergate.ReasonPolicy, "the token lives longer than MaxTokenAge")
	}
	of.At = StepBinding
	for member := range c.Confirmation {
		if !slices.Contains(r.Confirmations, member) {
			return r.mismatch(of, bearergate.ReasonBinding, "the token is bound by a cnf member that is not named in Confirmations")
		}
	}
	return nil
}

// otherKind names what shows another kind of token than is demanded; "" if nothing does.
func (r *Rules) otherKind(of *Reading) string {
	if r.IDTokens {
		return of.kind.otherThanID()
	}
	return of.kind.other(r.Marks)
}

func (r *Rules) isOurs(issuer string) bool {
	return issuer == r.Issuer || slices.Contains(r.Aliases, issuer)
}

// CheckOrigin compares the iss of a JWS of which nothing is verified, before any key is
// looked for: a token of another issuer cannot be ours, whatever has signed it, and must
// cause neither a signature check nor a fetch. Judge compares it again, strictly and from
// signed bytes. Who sends such tokens decides how many there are: what is refused here
// costs no more than it must. It returns the issuer, or the alias, that the token says it
// is of: that is whose keys count.
func (r *Rules) CheckOrigin(jws jose.JWS) (issuer string, err error) {
	found, err := jws.UnverifiedIssuer()
	switch {
	case errors.Is(err, jose.ErrNoIssuer) && r.KeysNameIssuer: // Judge refuses one that is there and empty
		return r.Issuer, nil
	case errors.Is(err, jose.ErrNoIssuer):
		return "", Unsigned(bearergate.ReasonMissingClaim, "the required claim iss is absent or empty", Quoted(r.Issuer), "")
	case err != nil:
		return "", Invalid(bearergate.ReasonMalformed, err.Error())
	case string(found) == r.Issuer:
		return r.Issuer, nil
	}
	for _, alias := range r.Aliases {
		if string(found) == alias {
			return alias, nil
		}
	}
	expected, _ := r.Sides(StepIssuer, &Reading{})
	return "", Unsigned(bearergate.ReasonIssuer, "iss is not the configured issuer", expected, Quoted(string(found)))
}

// stoodIn reports whether a claim names us in place of aud. null, and an empty list, is
// an aud that names nobody.
func (r *Rules) stoodIn(of *Reading) bool {
	if of.audienceOccurs {
		return false
	}
	for i, ours := range r.StandIns {
		if of.standIns[i] == nil {
			continue
		}
		found, err := stringOrStrings(of.standIns[i])
		if err == nil && slices.ContainsFunc(ours, func(one string) bool { return slices.Contains(found, one) }) {
			return true
		}
	}
	return false
}

// expectedWhere is what is expected of a claim that is missing, where that is known.
func (r *Rules) expectedWhere(claim string) string {
	switch claim {
	case "iss":
		return Quoted(r.Issuer)
	case "aud":
		return Quoted(r.Audiences...)
	}
	return ""
}

// mismatch is an error of the check that is being made, with its two sides.
func (r *Rules) mismatch(of *Reading, reason bearergate.Reason, detail string) error {
	expected, found := r.Sides(of.At, of)
	return Mismatch(reason, detail, expected, found)
}

func (r *Rules) anotherIssuer(of *Reading) error {
	detail := "iss is not the configured issuer"
	if hint := fetch.IssuerHint(r.Issuer, of.Claims.Issuer); hint != "" {
		detail += ": " + hint
	}
	return r.mismatch(of, bearergate.ReasonIssuer, detail)
}

// judgeAudience: that a token is genuine, or active at its server, is not that it
// was issued for us (RFC 7662 §4, RFC 9700 §2.3).
func (r *Rules) judgeAudience(of *Reading) error {
	switch {
	case r.AnyAudience, r.stoodIn(of), r.KeysNameAudience && !of.audienceOccurs,
		r.MissingAudience && len(of.Claims.Audience) == 0: // also [], which names nobody
		return nil
	case !of.hasAudience || of.emptyAudience:
		return r.mismatch(of, bearergate.ReasonMissingClaim, "there is no aud, or an empty one")
	case !slices.ContainsFunc(r.Audiences, func(ours string) bool { return slices.Contains(of.Claims.Audience, ours) }):
		return r.mismatch(of, bearergate.ReasonAudience, "aud names none of the configured audiences")
	}
	return nil
}

// CheckTimes compares exp, nbf and iat with now; zero means absent. It is to be
// made anew for everything that comes from a cache.
func (r *Rules) CheckTimes(now, exp, nbf, iat time.Time) error {
	switch {
	case (!exp.IsZero() || !r.ExpiryOptional) && !now.Before(exp.Add(r.Leeway)):
		return Mismatch(bearergate.ReasonExpired, "exp has passed", "later than "+moment(now.Add(-r.Leeway)), moment(exp))
	case now.Add(r.Leeway).Before(nbf):
		return Mismatch(bearergate.ReasonNotYetValid, "nbf has not come yet", "at latest "+moment(now.Add(r.Leeway)), moment(nbf))
	case now.Add(r.Leeway).Before(iat):
		return Mismatch(bearergate.ReasonNotYetValid, "iat is in the future", "at latest "+moment(now.Add(r.Leeway)), moment(iat))
	}
	return nil
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Window returns from when on, and until when, CheckTimes accepts these times,
// which have an exp.
func (r *Rules) Window(exp, nbf, iat time.Time) (from, until time.Time) {
	if from = nbf; iat.After(from) {
		from = iat
	}
	return from.Add(-r.Leeway), exp.Add(r.Leeway)
}
