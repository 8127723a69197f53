package mistake

import (
	"errors"
	"strings"
)

// Literal says what keeps value from being one of those that are compared as they stand:
// issuers, audiences, client IDs. nil if nothing does. Somebody who writes *.example.com
// believes that it stands for many, and no token has it; {tenant} or ${TENANT} was to be
// replaced, and was not. No server is known that has these characters in such a name. The
// error does not hold the value.
func Literal(value string) error {
	if err := Placeholder(value); err != nil {
		return err
	}
	if strings.Contains(value, "*") {
		return errors.New("has a * in it: it is compared as it stands, and * stands for nothing else; name each one")
	}
	return nil
}

// Placeholder is [Literal] for what may have a * of its own: a scope, or a URL.
func Placeholder(value string) error {
	if strings.ContainsAny(value, "{}") {
		return errors.New("has a brace in it: it is taken as it stands, and nothing is put in the place of {…}; write what is meant")
	}
	return nil
}

// Literals adds a mistake for each empty value of a list, and for each that is no [Literal].
func (l *List) Literals(field string, values []string) {
	empty := false
	for _, value := range values {
		if err := Literal(value); err != nil {
			l.Addf("%s: %q %w", field, value, err)
		}
		empty = empty || value == ""
	}
	if empty {
		l.Addf("%s contains an empty string: remove it", field)
	}
}
