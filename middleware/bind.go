package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

var errPathValue = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: errors.New("middleware: PathValue")}

// bind fills the placeholders of need from the path of r. What is empty there is satisfied
// by nothing: the client asked for that. Where nobody can say what a placeholder stands
// for, no client can do anything about it, and every request would be refused for a scope
// that cannot be granted: that is a mistake of this service. Beside it, need stays unfilled.
func (g *Gate) bind(rt *route, need scope.Requirement, r *http.Request) (scope.Requirement, error) {
	var err error
	bound := need.Bind(func(name string) (value string, ok bool) {
		switch {
		case err != nil: // the first mistake is the one that is told
		case g.config.PathValue != nil && !rt.routed:
			err = bearergate.Guard(r.Context(), errPathValue, func(context.Context) error {
				value = g.config.PathValue(r, name)
				return nil
			})
		default:
			if value = pathValue(r, name); value == "" && !hasWildcard(r.Pattern, name) {
				err = errUnknown(r, name)
			}
		}
		return value, true // Bind refuses an empty one
	})
	if err != nil {
		return need, err
	}
	return bound, nil
}

// pathValue is r.PathValue, which panics where the mux of an outer handler matched less
// than its pattern has.
func pathValue(r *http.Request, name string) (value string) {
	defer func() { _ = recover() }() // "" then
	return r.PathValue(name)
}

// hasWildcard reports whether the pattern that chose the handler has a wildcard of that
// name, so that its value is empty because the path is. http.ServeMux tells its pattern,
// and so does chi, with a regular expression behind the name; both set PathValue. Of a
// router that tells none, nobody knows whether it would set an empty value, so it counts
// as one that sets nothing.
func hasWildcard(pattern, name string) bool {
	return slices.ContainsFunc([]string{"}", ":", "."}, func(end string) bool { return strings.Contains(pattern, "{"+name+end) })
}

func errUnknown(r *http.Request, name string) error {
	router := "no pattern of http.ServeMux chose the handler"
	if r.Pattern != "" {
		router = fmt.Sprintf("the pattern %.200q, which chose the handler, has no wildcard of that name", r.Pattern)
	}
	return misconfigured(fmt.Errorf("the requirement has the placeholder {%s}, and nothing says what it stands for: %s: "+
		"give the wildcard and the placeholder one name, put the gate behind the router, and where that does not set PathValue (gorilla/mux, echo, gin), "+
		"set Config.PathValue to a function that reads its variables", name, router))
}
