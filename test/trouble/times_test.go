package trouble_test

import (
	"net/http"
	"time"

	"github.com/bearergate/bearergate"
)

// moment sets a claim to a time from now, cut to seconds.
func moment(name string, fromNow time.Duration) func(*try) {
	return func(y *try) { y.claims[name] = time.Now().Add(fromNow).Unix() }
}

func times() area {
	return area{
		title: "Times",
		about: "The token is not valid yet, or no more, by the clock of this server. The examples were made on 1 January 2000.",
		rows: []row{
			{
				title: "The token expired long ago", status: http.StatusUnauthorized, reason: bearergate.ReasonExpired,
				wrong:  func(y *try) { y.later = 26 * time.Hour },
				mended: "The client gets a new token in time.", mend: func(y *try) { y.later = 0 },
			},
			{
				title: "The token has just expired, and the server says that it is good", status: http.StatusUnauthorized, reason: bearergate.ReasonExpired,
				wrong:  moment("exp", -20*time.Second),
				mended: "Leeway is raised to 30 seconds.", mend: func(y *try) { y.jwt.Leeway = 30 * time.Second },
			},
			{
				title: "The token is not valid yet (nbf)", status: http.StatusUnauthorized, reason: bearergate.ReasonNotYetValid,
				wrong:  moment("nbf", 20*time.Second),
				mended: "The clocks agree.", mend: moment("nbf", 0),
			},
			{
				title: "The token was issued in the future (a server that takes its local time for UTC)", status: http.StatusUnauthorized, reason: bearergate.ReasonNotYetValid,
				wrong:  both(moment("iat", time.Hour), moment("exp", 2*time.Hour)),
				mended: "The server counts in UTC.", mend: both(moment("iat", 0), moment("exp", time.Hour)),
			},
			{
				title: "The token lives longer than MaxTokenAge", status: http.StatusUnauthorized, reason: bearergate.ReasonPolicy,
				wrong:  func(y *try) { y.jwt.MaxTokenAge = 10 * time.Minute },
				mended: "The server gives it ten minutes.", mend: moment("exp", 10*time.Minute),
			},
		},
	}
}
