package signals

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/inbox"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/revocation"
)

// The events of CAEP 1.0 and of RISC 1.0 that are known.
const (
	SessionRevoked         = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"          // revokes
	TokenClaimsChange      = "https://schemas.openid.net/secevent/caep/event-type/token-claims-change"      //nolint:gosec // a URI; it revokes if Config.Revoke has it
	CredentialChange       = "https://schemas.openid.net/secevent/caep/event-type/credential-change"        //nolint:gosec // a URI; likewise
	AssuranceLevelChange   = "https://schemas.openid.net/secevent/caep/event-type/assurance-level-change"   // likewise
	DeviceComplianceChange = "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change" // likewise
	RiskLevelChange        = "https://schemas.openid.net/secevent/caep/event-type/risk-level-change"        // likewise

	AccountDisabled      = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"      // revokes
	AccountPurged        = "https://schemas.openid.net/secevent/risc/event-type/account-purged"        // revokes
	SessionsRevoked      = "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked"      // revokes; RISC 1.0 has CAEP's instead
	CredentialCompromise = "https://schemas.openid.net/secevent/risc/event-type/credential-compromise" //nolint:gosec // a URI; it revokes

	verification  = "https://schemas.openid.net/secevent/ssf/event-type/verification"
	streamUpdated = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
)

// Event is an event of a SET that was verified.
type Event struct {
	Type string // its URI
	// IssuedAt is iat of the SET, and At when the event happened: event_timestamp, or iat.
	IssuedAt, At time.Time
	Subject      Subject
	Payload      []byte // what the event says, as a JSON object
}

// event is an Event, with what is not handed out.
type event struct {
	Event
	id      string // jti
	subject subject
	cutOff  time.Time
}

// revoking are the events that revoke without being asked for.
var revoking = []string{SessionRevoked, AccountDisabled, AccountPurged, SessionsRevoked, CredentialCompromise}

// decisions are about the events that Config.Revoke may have without a function.
var decisions = map[string]func(payload []byte) bool{
	TokenClaimsChange:      func([]byte) bool { return true },
	CredentialChange:       says("change_type", "revoke", "delete"),
	AssuranceLevelChange:   says("change_direction", "decrease"),
	DeviceComplianceChange: says("current_status", "not-compliant"),
	RiskLevelChange:        says("current_level", "HIGH"),
}

// says reports a payload in which a member has one of these values.
func says(name string, values ...string) func([]byte) bool {
	return func(payload []byte) bool { return slices.Contains(values, textOf(payload, name)) }
}

// textOf is a member of an object that is a string, or "".
func textOf(object []byte, name string) (text string) {
	_ = strictjson.Object(object, func(member, value []byte) error { // it was read before
		if string(member) == name {
			text, _ = strictjson.String(value)
		}
		return nil
	})
	return text
}

// typeName is a URI of a closed set, or "other".
func (h *Handler) typeName(uri string) string {
	if _, asked := h.revoke[uri]; asked || slices.Contains(revoking, uri) || decisions[uri] != nil || uri == verification || uri == streamUpdated {
		return uri
	}
	return "other"
}

func malformed(detail string) error { return accept.Invalid(bearergate.ReasonMalformed, detail) }

// read judges what makes a JWT a SET (RFC 8417 §2.2, SSF 1.0 §4), and returns its event.
func read(set *accept.Event) (*event, error) {
	switch {
	case set.Has("sub"):
		return nil, malformed("there is a sub, which no SET has: the subject is sub_id (SSF 1.0 section 4.1.2)")
	case set.Has("exp"):
		return nil, malformed("there is an exp, which no SET has (SSF 1.0 section 4.1.7)")
	}
	e := &event{id: set.Claims.ID}
	e.IssuedAt = set.Claims.IssuedAt
	events := 0
	err := strictjson.Object(set.Members["events"], func(name, value []byte) error {
		events++
		if value[0] != '{' {
			return errors.New("not an object")
		}
		e.Type, e.Payload = string(name), value
		return nil
	})
	switch {
	case err != nil:
		return nil, malformed("events is not an object of objects")
	case events != 1:
		return nil, malformed("events has more than one event")
	}
	if e.subject, err = readSubject(set.Members["sub_id"]); err != nil {
		return nil, malformed("sub_id is not a Subject Identifier of its format (RFC 9493)")
	}
	e.Subject = e.subject.Subject
	e.Subject.Values = maps.Clone(e.Subject.Values) // Config.Revoke sees it before it is mapped
	e.At = e.IssuedAt
	err = strictjson.Object(e.Payload, func(name, value []byte) error {
		switch string(name) {
		case "event_timestamp":
			if at, err := strictjson.NumericDate(value); err == nil && at.Unix() > 0 { // 0 is what nobody has set
				e.At = at
			}
		case "subject": // where drafts of CAEP and RISC had it
			if !same(value, set.Members["sub_id"]) {
				return errSubject
			}
		}
		return nil
	})
	if err != nil {
		return nil, malformed("the event has a subject that is not equal to sub_id (SSF 1.0 section 3.1)")
	}
	// Nothing is said to have happened before it happens. What comes later than that is cut,
	// so that a SET which is sent again says the same.
	if latest := e.IssuedAt.Add(revocation.ClockSkew); e.At.After(latest) {
		e.At = latest
	}
	e.cutOff = inbox.CutOff(e.At)
	return e, nil
}

// same reports whether two values say the same.
func same(a, b []byte) bool {
	var left, right map[string]any
	if strictjson.Unmarshal(a, &left) != nil || strictjson.Unmarshal(b, &right) != nil {
		return false
	}
	return reflect.DeepEqual(left, right)
}
