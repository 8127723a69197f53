package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
)

// Roles demands that the token has one of these roles ([bearergate.Token.HasRole]),
// compared byte for byte. Otherwise the answer is [bearergate.ErrForbidden] with
// [bearergate.ReasonRole]. A role never satisfies a scope, nor a scope a role.
// jwtverify and introspect take roles from the claim roles. A role means what its
// issuer says: behind several issuers, look at [bearergate.Token.Issuer] too.
//
// Roles may be given several times, by a group and by its route for example: the
// token then needs one of each list. An empty list and an empty role are mistakes,
// and close the route.
func Roles(anyOf ...string) RouteOption { return roles{slices.Clone(anyOf)} }

// Audience demands that aud names one of these audiences, compared byte for byte.
// Otherwise the answer is [bearergate.ErrForbidden] with
// [bearergate.ReasonAudience]: it is for an API of several resources behind one
// verifier that accepts the audiences of them all. It adds to what the verifier
// demands and takes nothing away; a token whose audience the verifier does not accept
// is invalid before this is asked.
//
// Audience may be given several times; every list then has to be satisfied. An empty
// list and an empty name are mistakes, and close the route.
func Audience(names ...string) RouteOption { return audience{slices.Clone(names)} }

// Tenant demands that the request is for the tenant of the token: what of says of
// the request, such as r.PathValue("tenant"), equals [bearergate.Token.Tenant] byte
// for byte. Otherwise the answer is [bearergate.ErrForbidden] with
// [bearergate.ReasonTenant], also when either of them is "": no tenant equals no
// tenant. Behind several issuers, each may name tenants as it likes: compare
// [bearergate.Token.Issuer] too, in an [Allow]. There is no standard claim for it: wrap
// the verifier in one that sets [bearergate.Claims.Tenant] by [bearergate.Token.With].
//
// of must take the tenant from where the handler will take it, or the handler serves
// another one than was asked about. It must not change the request, and has to be
// safe for concurrent use; a panic is [bearergate.ErrMisconfigured].
//
// Tenant may be given several times; all have to agree. A nil function is a mistake,
// and closes the route.
func Tenant(of func(*http.Request) string) RouteOption { return &tenant{of} }

// Delegation demands who acts for the subject of the token (RFC 8693):
// [bearergate.Delegation] says how it is judged. Otherwise the answer is
// [bearergate.ErrForbidden] with [bearergate.ReasonActor].
//
//	middleware.Delegation(bearergate.Delegation{
//		Actors: map[string][]bearergate.Actor{"https://as.example.com": {{Subject: "orders"}}}})
//
// Delegation may be given several times, by a group and by its route for example; all of
// them have to agree. What [bearergate.Delegation.Err] names is a mistake, and closes the
// route.
func Delegation(d bearergate.Delegation) RouteOption { return delegation{d.Clone()} }

type delegation struct{ bearergate.Delegation }

type roles struct{ anyOf []string }

type audience struct{ names []string }

type tenant struct {
	of func(*http.Request) string
}

func (delegation) routeOption() {}
func (roles) routeOption()      {}
func (audience) routeOption()   {}
func (*tenant) routeOption()    {}

var errTenantOf = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: errors.New("middleware: Tenant")}

// named reports what is wrong with the names that an option was given.
func named(option string, names []string) error {
	if len(names) == 0 || slices.Contains(names, "") {
		return fmt.Errorf("%s: there is no name, or one is empty", option)
	}
	return nil
}

// literal is named for names of which none has a * or a brace: the rule of internal/mistake
// for what is compared as it stands.
func literal(option string, names []string) error {
	for _, name := range names {
		if strings.ContainsAny(name, "*{}") {
			return fmt.Errorf("%s: %q has a * or a brace in it: it is compared as it stands, and they stand for nothing else; write each name as aud has it", option, name)
		}
	}
	return named(option, names)
}

// forbidden is an error of a valid token that is not for this route, with both sides.
func forbidden(reason bearergate.Reason, detail, expected, found string) error {
	return &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: reason, Detail: detail, Expected: expected, Found: found}
}

// tenantOf is the tenant of a token. That of the request is shown to nobody: it is what a
// client sent.
func tenantOf(token *bearergate.Token) string {
	if token.Tenant() == "" {
		return ""
	}
	return token.Quoted(token.Tenant())
}

// claimed asks for the roles and the audience that the route demands.
func (rt *route) claimed(token *bearergate.Token) error {
	for _, anyOf := range rt.roles {
		if !slices.ContainsFunc(anyOf, token.HasRole) {
			return forbidden(bearergate.ReasonRole, "the token has none of the roles of the route", bearergate.Quoted(anyOf...), token.Quoted(token.Roles()...))
		}
	}
	for _, names := range rt.audiences {
		if !slices.ContainsFunc(names, token.HasAudience) {
			return forbidden(bearergate.ReasonAudience, "aud names no audience of the route", bearergate.Quoted(names...), token.Quoted(token.Audience()...))
		}
	}
	return nil
}

// delegated asks who acts for the subject.
func (rt *route) delegated(token *bearergate.Token) error {
	for _, d := range rt.delegations {
		if err := d.Authorize(token); err != nil {
			return err
		}
	}
	return nil
}

// ofTenant asks for the tenant that the request is for.
func (rt *route) ofTenant(r *http.Request, token *bearergate.Token) error {
	for _, t := range rt.tenants {
		err := bearergate.Guard(r.Context(), errTenantOf, func(context.Context) error {
			if asked := t.of(r); asked == "" || asked != token.Tenant() {
				return forbidden(bearergate.ReasonTenant, "the token is not of the tenant of the request, or one of the two has none", "", tenantOf(token))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
