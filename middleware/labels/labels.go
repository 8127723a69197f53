// Package labels names clients and tenants in metrics, a bounded number of them. The
// adapters for Prometheus and OpenTelemetry use it, and so can hooks of your own:
//
//	clients := labels.New(100)
//	hooks := middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
//		if t := labels.Whose(e.Token, e.Err); t != nil {
//			count(clients.Client(t), labels.Principal(t), e.Reason)
//		}
//	}}
//
// A client is a client ID together with its issuer, and so is a tenant: the same name of
// two issuers is two of them. The first that come get their names; all later ones are
// [Other] together, whatever their issuer, so that there is one more name than places.
// Nobody loses a place and nothing is forgotten while the process runs, so that no series
// changes its meaning; which clients came first, each process decides for itself.
//
// Only tokens that somebody vouches for name anybody, so a stranger cannot fill the
// places. Whoever can register clients at the authorization server can, with as many
// tokens: where anybody may (RFC 7591), have room for those that matter, or tell them by
// tenant.
//
// The names are fit for a label, and for everybody who reads metrics: see [Fit].
package labels

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
)

const (
	// Other stands for all that have no place, or no name that is fit, and for their
	// issuers.
	Other = "other"
	// MaxBytes is how long a name may be.
	MaxBytes = 128

	maxIssuerBytes = 512 // URLs, and nobody's secret
)

// Whose returns the token that says who sent a request, of what the hook of a gate is
// told: token, or if that is nil the one that was refused although its issuer vouches for
// it ([bearergate.Error.Refused] of err). It is nil where nobody vouches for anything: the
// token is forged, or unknown, or there is none. It is nil too where the token is bound to
// a key (cnf) and nobody has proved to hold it: whoever sends such a token may have stolen
// it, and must not count as its client. The token is authorized for nothing.
//
// An old token that is not bound still names its client, whoever sends it.
func Whose(token *bearergate.Token, err error) *bearergate.Token {
	if token == nil && err != nil {
		token = bearergate.AsError(err).Refused
	}
	if token.Bound() && !token.Proven() {
		return nil
	}
	return token
}

// The principals, all of them.
const (
	User    = "user"
	Client  = "client"
	Unknown = "unknown"
)

// Principal says who acts with a token: [User] ([bearergate.Token.IsUser]), [Client]
// ([bearergate.Token.IsClient]), or [Unknown] where the token says neither.
func Principal(t *bearergate.Token) string {
	switch {
	case t.IsUser():
		return User
	case t.IsClient():
		return Client
	}
	return Unknown
}

// Fit reports whether a name that a token says may be shown to everybody who reads
// metrics and traces. It may not if it
//
//   - is longer than MaxBytes: some servers make a client ID of the token or of another
//     long text. It is not cut, for then two clients might have one name;
//   - has a byte that is not UTF-8, or a character that cannot be printed: RFC 6749
//     (Appendix A.1) has only printable ones in a client ID;
//   - is the word "other", which would be taken for [Other];
//   - stands in an answer that repeats the token ([bearergate.Claims.Unquotable]): it may
//     be the token.
//
// A client ID is no secret (RFC 6749 §2.2). What is fit is shown as it is, a URL and a
// short text of any meaning too: where your server makes client IDs or tenants of
// something that not everybody may read, an e-mail address for example, do not name them.
func Fit(t *bearergate.Token, name string) bool {
	return name != Other && printable(name, MaxBytes) && t.Quoted("x") != ""
}

func printable(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// Name is a client or a tenant as labels. The zero Name is one of a token without issuer
// and name.
type Name struct{ Issuer, Name string }

// Names are the clients, or the tenants, that came first. Make them with [New]. They are
// safe for concurrent use.
//
// They are bounded by their number and by the sizes that Fit allows. When all places are
// taken, a new client is [Other].
type Names struct {
	max  int
	mu   sync.RWMutex // guards seen
	seen map[Name]struct{}
}

// New returns places for so many names; none for 0 or less.
func New(places int) *Names { return &Names{max: places, seen: map[Name]struct{}{}} }

// Client names the client of a token. One that names no client has the empty name, which
// takes a place of its own.
func (n *Names) Client(t *bearergate.Token) Name { return n.of(t, t.ClientID()) }

// Tenant names the tenant of a token. One without a tenant has the empty name, which takes
// a place of its own.
func (n *Names) Tenant(t *bearergate.Token) Name { return n.of(t, t.Tenant()) }

func (n *Names) of(t *bearergate.Token, name string) Name {
	as := Name{t.Issuer(), name}
	n.mu.RLock()
	_, known := n.seen[as]
	full := len(n.seen) >= n.max
	n.mu.RUnlock()
	switch {
	case known:
		return as
	case full || !Fit(t, name) || !printable(as.Issuer, maxIssuerBytes):
		return Name{Other, Other}
	}
	as = Name{strings.Clone(as.Issuer), strings.Clone(as.Name)} // not the whole token
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.seen[as]; !known && len(n.seen) >= n.max { // meanwhile
		return Name{Other, Other}
	}
	n.seen[as] = struct{}{}
	return as
}
