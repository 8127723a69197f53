package bearergate

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
)

const (
	// DefaultMaxChain is how long an act chain may be where [Delegation.MaxChain] is 0:
	// somebody acts for the subject, and nobody did before.
	DefaultMaxChain = 1
	// MaxActChain is the longest act chain that the verifiers of this module accept. They
	// refuse a token with a longer one as [ReasonMalformed].
	MaxActChain = 16
)

// Delegation demands who acts for the subject of a token (RFC 8693 §1.1, §4.1), whatever
// carries the request: [Delegation.Authorize] is the rule. The zero Delegation is a
// mistake, and lets nobody in.
//
// Without a Delegation, a token with act opens what the same token without it would:
// the verifiers read act, and demand nothing of it.
//
// It judges what the authorization server wrote. Many servers exchange tokens without
// writing act (impersonation, RFC 8693 §1.1): with AllowDirect, such a token passes as
// the subject's own, whoever sends it. So does every token where the verifier has act
// among its IgnoreClaims.
type Delegation struct {
	// Actors are those that may act for a subject, by the issuer of the token that says so:
	// [Token.Issuer], compared byte for byte. What one issuer says of an actor never counts
	// for the token of another: any issuer can write any name into act.
	//
	// The current actor, the outermost, must equal one of them in all of Subject, Issuer
	// and ClientID, where "" means that act has no such member. An Issuer that is "", here
	// and in act, stands for the issuer of the token. Which members a server writes, look
	// up in one of its tokens. An actor has a Subject, a ClientID, or both.
	//
	// No Actors, with AllowDirect: nobody may act for a subject.
	Actors map[string][]Actor

	// MaxChain is how long the act chain may be, the current actor included: 1 means that
	// nobody acted before the current one. Who the earlier actors were decides nothing, as
	// RFC 8693 §4.1 demands, for nobody has checked that they still may: only how many
	// there are counts. From 1 to [MaxActChain]; default [DefaultMaxChain].
	MaxChain int

	// AllowDirect accepts tokens without act as well, those with which the subject itself
	// calls. Without it, they are refused: a demand for actors that is met by nobody at all
	// would be none. Tokens that a client got for itself have no act either: demand
	// [Token.IsUser] to keep them out.
	AllowDirect bool
}

// Err names the mistakes: a Delegation that lets nobody in; an issuer that is empty, has a
// * or a brace in it, or comes without actors; an actor with neither Subject nor ClientID;
// a MaxChain that is out of its bounds, or that comes without Actors.
func (d Delegation) Err() error {
	wrong := mistake.In("Delegation")
	if len(d.Actors) == 0 {
		if !d.AllowDirect {
			wrong.Addf("there are no Actors, so nobody could enter: name those that may act, or set AllowDirect for the subject itself")
		}
		if d.MaxChain != 0 {
			wrong.Addf("MaxChain is set without Actors: nobody may act, so there is no chain; leave it out")
		}
	}
	for _, issuer := range slices.Sorted(maps.Keys(d.Actors)) {
		if issuer == "" {
			wrong.Addf("Actors has an empty issuer: name the one whose tokens say who acts")
		} else if err := mistake.Literal(issuer); err != nil {
			wrong.Addf("Actors: the issuer %q %w", issuer, err)
		}
		if len(d.Actors[issuer]) == 0 {
			wrong.Addf("Actors: of %q there are none: name them, or take the issuer out", issuer)
		}
		for i, a := range d.Actors[issuer] {
			if a.Subject == "" && a.ClientID == "" {
				wrong.Addf("Actors: %q: actor %d has neither Subject nor ClientID: give what act says of it", issuer, i+1)
			}
		}
	}
	if d.MaxChain < 0 || d.MaxChain > MaxActChain {
		wrong.Addf("MaxChain is %d: use 1 to %d, or 0 for the default of %d", d.MaxChain, MaxActChain, DefaultMaxChain)
	}
	return wrong.Err()
}

// Clone returns a copy that shares nothing with d, for whoever keeps it.
func (d Delegation) Clone() Delegation {
	d.Actors = maps.Clone(d.Actors)
	for issuer, actors := range d.Actors {
		d.Actors[issuer] = slices.Clone(actors)
	}
	return d
}

// Authorize returns nil if who acts for the subject of t may, else an [Error] of
// [ErrForbidden] with [ReasonActor]. A nil or zero Token is [ErrMissingToken]. It
// demands no scope and no proof: those are [Token.Authorize]'s to judge.
func (d Delegation) Authorize(t *Token) error {
	if t == nil || t.c == nil {
		return noToken()
	}
	chain, issuer := t.claims().Actors, t.Issuer()
	allowed := d.Actors[issuer]
	longest := cmp.Or(d.MaxChain, DefaultMaxChain)
	switch {
	case len(chain) == 0 && d.AllowDirect:
		return nil
	case len(chain) == 0:
		return actorRefused("nobody acts for the subject, and it may not call by itself", shownActors(allowed), "no act")
	case len(d.Actors) == 0:
		return actorRefused("nobody may act for the subject", "no act", t.shownActor(chain[0]))
	case !slices.ContainsFunc(allowed, func(a Actor) bool { return a.sameAs(chain[0], issuer) }):
		return actorRefused("the actor is none of those that may act", shownActors(allowed), t.shownActor(chain[0]))
	case len(chain) > longest:
		return actorRefused("the act chain is too long", "at most "+strconv.Itoa(longest), strconv.Itoa(len(chain)))
	}
	return nil
}

func actorRefused(detail, expected, found string) error {
	return &Error{Kind: ErrForbidden, Reason: ReasonActor, Detail: detail, Expected: expected, Found: found}
}

// Of returns the actor as one of a token of that issuer: an actor without an Issuer is the
// issuer's own. Compare two actors so.
func (a Actor) Of(issuer string) Actor {
	a.Issuer = cmp.Or(a.Issuer, issuer)
	return a
}

// sameAs compares what a Delegation allows with the actor of a token of that issuer.
func (a Actor) sameAs(b Actor, issuer string) bool {
	return a.Of(issuer) == b.Of(issuer) && (b.Subject != "" || b.ClientID != "")
}

// shownActor is an actor of the token as an error may hold it: "" where that may be the
// token itself. Its sub may be a person's, and is not told: audit has it, with the token.
func (t *Token) shownActor(a Actor) string {
	if t.claims().Unquotable {
		return ""
	}
	return a.shown("a sub")
}

// shown is an actor by the names of RFC 8693, with subject in the place of its sub.
func (a Actor) shown(subject string) string {
	var members []string
	if a.Subject != "" {
		members = append(members, subject)
	}
	if a.Issuer != "" {
		members = append(members, "iss "+quote.One(a.Issuer))
	}
	if a.ClientID != "" {
		members = append(members, "client_id "+quote.One(a.ClientID))
	}
	if members == nil {
		return "an act that names nobody"
	}
	return strings.Join(members, ", ")
}

// shownActors are those that are allowed in tokens of an issuer.
func shownActors(allowed []Actor) string {
	if len(allowed) == 0 {
		return "no actor in tokens of this issuer"
	}
	shown := make([]string, len(allowed))
	for i, a := range allowed {
		shown[i] = a.shown("sub " + quote.One(a.Subject))
	}
	return quote.Cut(strings.Join(shown, " or "))
}
