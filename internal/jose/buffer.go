package jose

import "github.com/bearergate/bearergate/internal/buffer"

// Borrow returns a buffer for [Split], [ParseInto] or [UnverifiedIssuer], to be given back
// by [GiveBack]. Nothing may point into it afterwards.
func Borrow() *[]byte { return buffer.Borrow() }

// GiveBack ends the use of a buffer for a token. It is cleared: no token stays in memory
// because of it.
func GiveBack(buf *[]byte, token string) { buffer.GiveBack(buf, 2*len(token)) }
