package introspect

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// What a 400 that stands for active: false is remembered and shared as, and what is told
// of it.
var (
	inactiveAnswer = []byte(`{"active":false}`)
	errInactive    = accept.Mismatch(bearergate.ReasonInactive, "the authorization server answered 400 with an error code of AllowInactiveErrors", "active: true", "an error code")
)

// onBadRequest reads a 400: by it, old servers say that they do not know a token. It
// counts as that only where the configuration says so, for by the same status others
// say that they did not understand the question.
func (c *Client) onBadRequest(body []byte) (reply, *failure) {
	code := errorCode(body)
	if slices.Contains(c.inactiveCodes, code) {
		e, life := c.newEntry(verdict{refusal: errInactive}, time.Now(), 0)
		return reply{entry: e, body: inactiveAnswer, life: life, status: http.StatusBadRequest}, nil
	}
	f := &failure{outcome: OutcomeStatus, status: http.StatusBadRequest, detail: "status 400"}
	if code != "" && neverInactive(code) == "" {
		known := ""
		if code == "invalid_token" {
			known = " invalid_token"
		}
		f.detail += " with an error code" + known + ": if this server answers so about tokens that it does not know, name the code in AllowInactiveErrors"
	}
	return reply{}, f
}

// errorCode is the error of an OAuth error response (RFC 6749 §5.2), "" if the body is
// none.
func errorCode(body []byte) (code string) {
	err := strictjson.Object(body, func(name, value []byte) (err error) {
		if string(name) == "error" {
			code, err = strictjson.String(value)
		}
		return err
	})
	if err != nil {
		return ""
	}
	return code
}

// neverInactive says whom an error code blames that cannot be about a token; "" if it can.
func neverInactive(code string) string {
	switch code {
	case "invalid_client", "unauthorized_client", "access_denied", "insufficient_scope":
		return "our own client"
	case "server_error", "temporarily_unavailable":
		return "the server"
	}
	return ""
}

func checkInactiveErrors(c *Config, wrong *mistake.List) {
	if len(c.AllowInactiveErrors) > 0 && c.Signed.Answers == SignedRequired {
		wrong.Addf("AllowInactiveErrors is set together with SignedRequired, and error responses are never signed: leave out the one or the other")
	}
	for _, code := range c.AllowInactiveErrors {
		whom := neverInactive(code)
		switch _, err := strconv.Atoi(code); {
		case code == "":
			wrong.Addf("AllowInactiveErrors contains an empty string: remove it")
		case whom != "":
			wrong.Addf("AllowInactiveErrors contains %s, which blames %s and not the token: remove it", accept.Quoted(code), whom)
		case err == nil:
			wrong.Addf("AllowInactiveErrors contains %s, a number: name the value of the member error in the body, such as invalid_token; no status but 400 is looked at", accept.Quoted(code))
		}
	}
}
