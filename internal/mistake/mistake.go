// Package mistake gathers what is wrong with a configuration, so that whoever
// wrote it is told everything at once.
package mistake

import (
	"errors"
	"fmt"
	"time"
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
// is within its bounds. A duration is a millisecond at least, whatever least says:
// see [BareNumber].
func Between[N ~int | ~int64](l *List, name string, field *N, byDefault, least, most N) {
	note := ""
	if d, is := any(*field).(time.Duration); is {
		least, note = max(least, N(time.Millisecond)), BareNumber(d)
	}
	if *field == 0 {
		*field = byDefault
	} else if *field < least || *field > most {
		otherwise := "for none"
		if byDefault != 0 {
			otherwise = fmt.Sprintf("for the default of %v", byDefault)
		}
		l.Addf("%s is %v%s: choose between %v and %v, or leave it out %s", name, *field, note, max(least, 1), most, otherwise)
	}
}

// BareNumber is a note about a duration under a millisecond, which no configuration
// of this module can mean: somebody wrote a number without a unit. It is "" for every
// other duration.
func BareNumber(d time.Duration) string {
	if d <= 0 || d >= time.Millisecond {
		return ""
	}
	unit := "time.Second"
	if d > 3600 {
		unit = "time.Millisecond"
	}
	return fmt.Sprintf(" (a number without a unit counts nanoseconds: write %d*%s, for example)", int64(d), unit)
}
