package connectgate

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// deadlineMargin is how long before the deadline of a call its decision ends.
const deadlineMargin = 10 * time.Millisecond

// beforeDeadline returns a context that ends a moment before the deadline that the client
// gives its call. At the deadline it takes the call back, and most often is faster than the
// clock of this server: an outage would look as if the caller had gone away. connect-go reads
// the deadline only when the gate has decided.
//
// One that is shorter than the margin leaves no time for that, and says nothing of whom the
// gate asks: a stranger could write 0 into every call, and each would count as an outage. It
// is left to connect-go.
func beforeDeadline(r *http.Request) (context.Context, context.CancelFunc) {
	timeout, ok := timeoutOf(r)
	if !ok || timeout < deadlineMargin {
		return r.Context(), func() {}
	}
	return context.WithTimeout(r.Context(), timeout-min(deadlineMargin, timeout/10))
}

// units of Grpc-Timeout.
var units = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}

// timeoutOf returns how long a call may take. What is malformed, connect-go refuses later.
func timeoutOf(r *http.Request) (time.Duration, bool) {
	value, unit := r.Header.Get("Connect-Timeout-Ms"), time.Millisecond
	most := 10 // digits
	if r.Method == http.MethodPost && strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/grpc") {
		value = r.Header.Get("Grpc-Timeout")
		if value == "" {
			return 0, false
		}
		unit, most = units[value[len(value)-1]], 8
		value = value[:len(value)-1]
	}
	if len(value) > most || unit == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil || n > uint64((1<<63-1)/int64(unit)) {
		return 0, false // so long that it is none
	}
	return time.Duration(n) * unit, true
}
