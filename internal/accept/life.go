package accept

import (
	"time"

	"github.com/bearergate/bearergate"
)

// Lifetime is how long a token was given to live: from its iat or, where it has none, from
// when its issuer vouched for it, so that it is what was left. 0: that is not known.
func Lifetime(t *bearergate.Token) time.Duration {
	from, until := t.IssuedAt(), t.ExpiresAt()
	if from.IsZero() {
		from = t.AsOf()
	}
	if from.IsZero() || until.IsZero() {
		return 0
	}
	return max(0, until.Sub(from))
}
