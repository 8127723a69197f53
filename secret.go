package bearergate

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret holds a text that must not be seen: a token, a client secret, a key.
// Printing it, encoding it or logging it in any way shows that there is one and
// nothing more. The zero Secret holds the empty text. It is immutable.
type Secret struct {
	// A function: even where fmt does not call Format, as for a Secret in
	// somebody's unexported field, there is no text to be printed, and a
	// Secret cannot be compared by ==, which takes as long as the texts agree.
	reveal func() string
}

// NewSecret returns a Secret that holds s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return s }}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

const redacted = "[secret]"

// String returns a fixed word.
func (s Secret) String() string { return redacted }

// GoString returns a fixed word.
func (s Secret) GoString() string { return redacted }

// Format writes a fixed word for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue gives log/slog a fixed word.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes a fixed word, also as JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
