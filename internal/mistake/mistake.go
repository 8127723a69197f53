// Package mistake gathers what is wrong with a configuration, so that whoever
// wrote it is told everything at once.
package mistake

import (
	"errors"
	"fmt"
)

// List is the mistakes in the configuration of one package. The zero List names
// no package: use [In].
type List struct {
	prefix string
	errs   []error
}

// In returns an empty List of a package, whose name begins every text.
func In(pkg string) List { return List{prefix: pkg + ": "} }

// Addf adds a mistake. The text says what to change.
func (l *List) Addf(format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf(l.prefix+format, args...))
}

// Err joins the mistakes; nil if there are none.
func (l *List) Err() error { return errors.Join(l.errs...) }

// Between puts the default into a field that is zero, and otherwise checks that it
// is within its bounds.
func Between[N ~int | ~int64](l *List, name string, field *N, byDefault, least, most N) {
	if *field == 0 {
		*field = byDefault
	} else if *field < least || *field > most {
		l.Addf("%s is %v: choose between %v and %v, or leave it out for the default", name, *field, max(least, 1), most)
	}
}
