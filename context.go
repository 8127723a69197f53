package bearergate

import "context"

type tokenKey struct{}

// NewContext returns a context that carries the token. A nil token hides one
// that ctx carries already, and so does one that was refused ([Error.WithRefused]).
func NewContext(ctx context.Context, t *Token) context.Context {
	if t != nil && t.refused {
		t = nil
	}
	return context.WithValue(ctx, tokenKey{}, t)
}

// FromContext returns the token that [NewContext] put into ctx; false if there
// is none.
func FromContext(ctx context.Context) (*Token, bool) {
	if ctx == nil {
		return nil, false
	}
	t, _ := ctx.Value(tokenKey{}).(*Token)
	if t == nil || t.c == nil {
		return nil, false
	}
	return t, true
}
