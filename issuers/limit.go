package issuers

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/scope"
)

// Limits are what the tokens of an issuer may confer, and until when: see [Limit]. A
// field that is left out limits nothing. At least one is required.
type Limits struct {
	// Scopes are those that a token may have, compared byte for byte: orders:* keeps the
	// scope of that very name, which means much to a [scope.Policy] with wildcards, and not
	// orders:read. It loses all others. Default: any.
	//
	// Danger: roles, the tenant and the claims object stay as they are. What routes or
	// handlers read from those has to be limited there.
	Scopes []string

	// Clients are the client IDs (see [bearergate.Token.ClientID]) whose tokens are
	// accepted, compared byte for byte. Every other token, also one that names no client,
	// is [bearergate.ErrForbidden] with [bearergate.ReasonPolicy]: it is valid, and a new
	// one would not help. Default: any.
	Clients []string

	// Until is when the issuer ceases to count. From then on its verifier is not asked any
	// more, and every token is [bearergate.ErrInvalidToken] with
	// [bearergate.ReasonPolicy]. No token expires later than that. Default: never.
	Until time.Time
}

// Limit returns a verifier whose tokens confer no more than l says: for the issuer of a
// partner, whose administrators would else decide what their tokens open here.
//
//	partner, err = issuers.Limit(partner, issuers.Limits{
//		Scopes: []string{"orders:read"},
//		Until:  endOfContract,
//	})
//
// v decides about the token, and then the limits do. The error is
// [bearergate.ErrMisconfigured] and names every mistake. The verifier tells what v tells,
// by methods Issuer, Confirmations, Live, Unwrap and Explain, and is safe for
// concurrent use if v is.
//
// With [RequireLive] or [RequireLiveIf], put Limit around them, and not around one side.
func Limit(v bearergate.Verifier, l Limits) (bearergate.Verifier, error) {
	wrong := mistake.In("issuers")
	if guard.IsNil(v) {
		wrong.Addf("Limit: the verifier is nil: pass that of the issuer whose tokens are to be limited")
	}
	if l.Scopes == nil && l.Clients == nil && l.Until.IsZero() {
		wrong.Addf("Limit: the Limits are empty, and limit nothing: set Scopes, Clients or Until")
	}
	if l.Scopes != nil && len(l.Scopes) == 0 {
		wrong.Addf("Limit: Scopes is an empty list: name those that are to be kept, or leave it out to keep all")
	}
	for _, name := range l.Scopes {
		if !scope.Of(name).Has(name) {
			wrong.Addf("Limit: Scopes: %q is no scope: name one by one, without spaces", name)
		} else if err := mistake.Placeholder(name); err != nil {
			wrong.Addf("Limit: Scopes: %q %w", name, err)
		}
	}
	if l.Clients != nil && len(l.Clients) == 0 {
		wrong.Addf("Limit: Clients is an empty list: name those that are accepted, or leave it out to accept all")
	}
	wrong.Literals("Limit: Clients", l.Clients)
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	limited := &limitVerifier{verifier: v, until: l.Until}
	if l.Scopes != nil {
		scopes := scope.Of(l.Scopes...)
		limited.scopes = &scopes
	}
	if l.Clients != nil {
		limited.clients = map[string]bool{}
		for _, client := range l.Clients {
			limited.clients[client] = true
		}
	}
	return limited, nil
}

type limitVerifier struct {
	verifier bearergate.Verifier
	scopes   *scope.Set      // nil: any
	clients  map[string]bool // nil: any
	until    time.Time       // zero: never
}

func (v *limitVerifier) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	if token == "" {
		return nil, &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}
	}
	if err := v.ended(); err != nil {
		return nil, err
	}
	t, err := bearergate.Verify(ctx, v.verifier, token)
	if err != nil {
		return nil, err
	}
	if err := v.ended(); err != nil { // while the verifier was asked
		return nil, err
	}
	if err := v.checkClient(t); err != nil {
		return nil, err
	}
	return v.cut(t), nil
}

// ended refuses everything from Until on.
func (v *limitVerifier) ended() error {
	if v.until.IsZero() || time.Now().Before(v.until) {
		return nil
	}
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy,
		Detail: "Limits.Until has passed", Expected: "before " + v.until.UTC().Format(time.RFC3339)}
}

func (v *limitVerifier) checkClient(t *bearergate.Token) error {
	if v.clients == nil || v.clients[t.ClientID()] { // none of them is ""
		return nil
	}
	return accept.Refused(&bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
		Detail: "the client is not among Limits.Clients", Expected: v.clientNames()}, t)
}

func (v *limitVerifier) clientNames() string {
	return accept.Quoted(slices.Sorted(maps.Keys(v.clients))...)
}

// cut takes from the token what goes beyond the limits. One that keeps to them is
// returned as it is: a copy for every request would cost more than all the rest.
func (v *limitVerifier) cut(t *bearergate.Token) *bearergate.Token {
	scopes, expires := t.Scopes(), earlier(t.ExpiresAt(), v.until)
	if v.scopes != nil {
		// Also where the token has no claim for scopes: a RequireLive around this one would
		// else take those of the answer, which nobody limits.
		scopes = intersection(scopes, *v.scopes)
	}
	if scopes.Len() == t.Scopes().Len() && scopes.IsZero() == t.Scopes().IsZero() && expires.Equal(t.ExpiresAt()) {
		return t
	}
	return t.With(func(c *bearergate.Claims) { c.Scopes, c.ExpiresAt = scopes, expires })
}

// Issuer tells NewRouter whose tokens are verified, if the verifier tells.
func (v *limitVerifier) Issuer() string { return issuerOf(v.verifier) }

// Confirmations returns those of the verifier; nil, which says nothing, if it does not tell.
func (v *limitVerifier) Confirmations() []string { return union(v.verifier) }

// Live reports whether the verifier asks for every token, as far as can be told.
func (v *limitVerifier) Live() bool { return checkLive(v.verifier) == nil }

// Unwrap returns the verifier whose tokens are limited.
func (v *limitVerifier) Unwrap() bearergate.Verifier { return v.verifier }

// Explain explains the verdict of the verifier, and then what the limits make of it.
func (v *limitVerifier) Explain(ctx context.Context, token string) bearergate.Explanation {
	e := bearergate.Explanation{}
	if !v.until.IsZero() {
		step := bearergate.Step{Name: "limits until", Expected: "before " + v.until.UTC().Format(time.RFC3339)}
		if e = e.Then(step, v.ended); e.Err != nil {
			e.Advice = []string{"The time for which tokens of this issuer count here is over: if it is to go on, set a later Limits.Until."}
			return e
		}
	}
	of := bearergate.Explain(ctx, v.verifier, token)
	of.Steps = append(e.Steps, of.Steps...)
	if e = of; e.Err != nil {
		return e
	}
	if v.clients != nil {
		step := bearergate.Step{Name: "limits clients", Expected: v.clientNames()}
		if e = e.Then(step, func() error { return v.checkClient(of.Token) }); e.Err != nil {
			e.Advice = []string{"The client may not use this API with tokens of this issuer: if it is to, add its ID to Limits.Clients."}
			return e
		}
	}
	kept := v.cut(e.Token)
	if v.scopes != nil {
		step := bearergate.Step{Name: "limits scopes", Detail: "the token keeps the scopes that Limits.Scopes has", Expected: accept.Quoted(v.scopes.Names()...), Found: e.Token.Quoted(e.Token.Scopes().Names()...)}
		e = e.Then(step, func() error { return nil })
	}
	e.Token, e.By = kept, v
	return e
}
