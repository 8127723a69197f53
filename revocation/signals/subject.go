package signals

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/revocation"
)

// Subject is a Subject Identifier (RFC 9493 §3, SSF 1.0 §3.3), as Resolve is asked about it.
type Subject struct {
	// Member is where it stands in a complex subject: "user", "device", "tenant", …; "" for
	// a simple one.
	Member string
	// Format is "email", "iss_sub", "opaque", …, or whatever the transmitter calls it.
	Format string
	// Values are its other members that are strings: "email", or "iss" and "sub".
	Values map[string]string
	Raw    []byte // the whole of it, as JSON
}

// subject is a Subject Identifier that was read: simple, aliases of one, or complex.
type subject struct {
	Subject
	strict  bool      // it has the members of its format and no others
	aliases []subject // of format aliases
	members []subject // of format complex, by name
}

const (
	formatAliases = "aliases"
	formatComplex = "complex"
	maxParts      = 32 // members of a complex subject, or aliases
)

// formats are the simple ones, with the members that each has to have (RFC 9493 §3.2, SSF
// 1.0 §3.4). That of ip-addresses is an array.
var formats = map[string][]string{
	"account":           {"uri"},
	"email":             {"email"},
	"iss_sub":           {"iss", "sub"},
	"opaque":            {"id"},
	"phone_number":      {"phone_number"},
	"did":               {"url"},
	"uri":               {"uri"},
	"jwt_id":            {"iss", "jti"},
	"saml_assertion_id": {"issuer", "assertion_id"},
	"ip-addresses":      {"ip-addresses"},
}

// membersOfComplex are those that SSF 1.0 §3.3 names.
var membersOfComplex = []string{"user", "device", "session", "application", "tenant", "org_unit", "group"}

var errSubject = errors.New("a subject is malformed")

// readSubject reads sub_id. A format that is not known is no error: it may be mapped by
// Resolve, and otherwise the event is discarded.
func readSubject(value []byte) (subject, error) {
	s, err := readSimple(value)
	switch s.Format { // "" beside an error
	case formatAliases:
		err = s.readAliases()
	case formatComplex:
		err = s.readMembers()
	}
	return s, err
}

func readSimple(value []byte) (subject, error) {
	s := subject{Subject: Subject{Values: map[string]string{}, Raw: value}}
	var others []string
	err := strictjson.Object(value, func(name, value []byte) error {
		switch {
		case strictjson.IsNull(value):
			return nil
		case string(name) == "format":
			text, err := strictjson.String(value)
			s.Format = text
			return err
		}
		others = append(others, string(name))
		if value[0] == '"' {
			text, err := strictjson.String(value)
			s.Values[string(name)] = text
			return err
		}
		return nil
	})
	if err != nil || s.Format == "" {
		return subject{}, errSubject
	}
	required := formats[s.Format] // nothing of a format that is not known
	for _, name := range required {
		if !slices.Contains(others, name) || s.Format != "ip-addresses" && s.Values[name] == "" {
			return subject{}, errSubject
		}
	}
	s.strict = len(others) == len(required)
	return s, nil
}

func (s *subject) readAliases() error {
	err := strictjson.Object(s.Raw, func(name, value []byte) error {
		switch string(name) {
		case "identifiers":
			return strictjson.Array(value, func(element []byte) error {
				alias, err := readSimple(element)
				if err != nil || alias.Format == formatAliases || alias.Format == formatComplex || len(s.aliases) == maxParts {
					return errSubject
				}
				s.aliases = append(s.aliases, alias)
				return nil
			})
		case "format":
			return nil
		}
		return errSubject
	})
	if err != nil || len(s.aliases) == 0 {
		return errSubject
	}
	return nil
}

func (s *subject) readMembers() error {
	err := strictjson.Object(s.Raw, func(name, value []byte) error {
		if string(name) == "format" || strictjson.IsNull(value) {
			return nil
		}
		member, err := readSimple(value)
		if member.Format == formatAliases {
			err = member.readAliases()
		}
		if err != nil || member.Format == formatComplex || len(s.members) == maxParts {
			return errSubject
		}
		member.Member = string(name)
		s.members = append(s.members, member)
		return nil
	})
	if err != nil || len(s.members) == 0 {
		return errSubject
	}
	slices.SortFunc(s.members, func(a, b subject) int { return cmp.Compare(a.Member, b.Member) })
	return nil
}

// unmapped says why a subject cannot be mapped, and which part of it.
type unmapped struct {
	why  Why
	part *subject // nil: the event is meant
}

var errForeign = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonIssuer,
	Detail: "the subject is of an issuer that is not among TokenIssuers: this transmitter may not speak for it"}

// entry is what a subject means. One of entry, unmapped and error is what there is.
func (h *Handler) entry(ctx context.Context, s *subject, isSession bool) (revocation.Entry, *unmapped, error) {
	var e revocation.Entry
	var none *unmapped
	var err error
	if s.Format == formatComplex {
		e, none, err = h.complexEntry(ctx, s)
	} else {
		e, none, err = h.simpleEntry(ctx, s, isSession)
	}
	if none != nil || err != nil {
		return revocation.Entry{}, none, err
	}
	if e.Issuer == "" {
		if len(h.tokenIssuers) > 1 {
			return revocation.Entry{}, &unmapped{WhyIssuer, s}, nil
		}
		e.Issuer = h.tokenIssuers[0]
	}
	return e, nil, nil
}

// complexEntry is the intersection of the members (SSF 1.0 §3.3), and never more than that.
func (h *Handler) complexEntry(ctx context.Context, s *subject) (revocation.Entry, *unmapped, error) {
	var whole revocation.Entry
	var missing, application, ignored *subject
	hasSession, used := false, 0
	for i := range s.members {
		m := &s.members[i]
		critical := slices.Contains(h.criticalMembers, m.Member)
		if slices.Contains(h.ignoreMembers, m.Member) {
			ignored = m
			continue
		}
		e, none, err := h.simpleEntry(ctx, m, false)
		switch {
		case err != nil:
			return revocation.Entry{}, nil, err
		case none != nil && critical:
			return revocation.Entry{}, &unmapped{WhyCritical, m}, nil
		case none != nil && m.Member == "session":
			return revocation.Entry{}, none, nil
		case none != nil:
			if missing = m; m.Member == "application" {
				application = m
			}
			continue
		}
		hasSession = hasSession || e.Session != ""
		used++
		if !merge(&whole, &e) {
			return revocation.Entry{}, &unmapped{WhyContradiction, m}, nil
		}
	}
	switch {
	case used == 0 && missing == nil:
		missing = s
	case application != nil: // it would have made a session narrower too
		missing = application
	case hasSession:
		// A session is of one user, one device and one tenant: it is enough. A token may call
		// them by other names. Which application of the session is meant says more.
		return revocation.Entry{Issuer: whole.Issuer, Session: whole.Session, Client: whole.Client, TokenID: whole.TokenID, Key: whole.Key}, nil, nil
	}
	if missing == nil && whole.Subject == "" && whole.TokenID == "" {
		missing = ignored // a device of a tenant is not the tenant
	}
	if missing != nil { // what cannot be mapped would have made it narrower
		return revocation.Entry{}, &unmapped{WhySubject, missing}, nil
	}
	return whole, nil, nil
}

// merge adds what one Entry says to another, unless they contradict each other.
func merge(into, e *revocation.Entry) bool {
	for _, field := range []struct {
		into *string
		from string
	}{
		{&into.Issuer, e.Issuer}, {&into.TokenID, e.TokenID}, {&into.Subject, e.Subject},
		{&into.Session, e.Session}, {&into.Client, e.Client}, {&into.Tenant, e.Tenant},
	} {
		if field.from != "" && *field.into != "" && field.from != *field.into {
			return false
		}
		*field.into = cmp.Or(*field.into, field.from)
	}
	if e.Key != ([32]byte{}) && into.Key != ([32]byte{}) && e.Key != into.Key {
		return false
	}
	into.Key = cmp.Or(into.Key, e.Key)
	return true
}

// simpleEntry is what one Subject Identifier means. A format by itself does not say what a
// token calls it: what is not certain, Resolve knows or nobody.
func (h *Handler) simpleEntry(ctx context.Context, s *subject, isSession bool) (revocation.Entry, *unmapped, error) {
	if s.Format == formatAliases {
		return h.aliasEntry(ctx, s)
	}
	if h.isForeign(s) {
		return revocation.Entry{}, nil, errForeign
	}
	if e, known := s.plain(isSession); known {
		return e, nil, nil
	}
	return h.resolved(ctx, s)
}

// isForeign reports a user, a session or a token of an issuer for which the transmitter may
// not speak, whatever else stands in the Subject Identifier: Resolve is not asked whose it
// is. Devices and the like have issuers of their own.
func (h *Handler) isForeign(s *subject) bool {
	hasIssuer := s.Format == "iss_sub" || s.Format == "jwt_id"
	return hasIssuer && slices.Contains([]string{"", "user", "session"}, s.Member) && !slices.Contains(h.tokenIssuers, s.Values["iss"])
}

// plain is what a Subject Identifier means without anybody's help.
func (s *subject) plain(isSession bool) (e revocation.Entry, known bool) {
	if !s.strict {
		return e, false
	}
	switch s.Format {
	case "iss_sub":
		if s.Member == "" || s.Member == "user" {
			return revocation.Entry{Issuer: s.Values["iss"], Subject: s.Values["sub"]}, true
		}
	case "jwt_id":
		if s.Member == "" || s.Member == "session" {
			return revocation.Entry{Issuer: s.Values["iss"], TokenID: s.Values["jti"]}, true
		}
	case "opaque":
		switch id := s.Values["id"]; {
		case s.Member == "session", isSession:
			return revocation.Entry{Session: id}, true
		case s.Member == "application":
			return revocation.Entry{Client: id}, true
		case s.Member == "tenant":
			return revocation.Entry{Tenant: id}, true
		}
	}
	return e, false
}

// aliasEntry takes the first of the aliases, which all are one subject, that means something
// here. What one of a foreign issuer is called there does not count.
func (h *Handler) aliasEntry(ctx context.Context, s *subject) (revocation.Entry, *unmapped, error) {
	for i := range s.aliases {
		alias := s.aliases[i]
		alias.Member = s.Member
		if e, known := alias.plain(false); known && !h.isForeign(&alias) {
			return e, nil, nil
		}
	}
	for i := range s.aliases {
		alias := s.aliases[i]
		alias.Member = s.Member
		if h.isForeign(&alias) {
			continue
		}
		if e, none, err := h.resolved(ctx, &alias); none == nil {
			return e, nil, err
		}
	}
	return revocation.Entry{}, &unmapped{WhySubject, s}, nil
}

// resolved asks Resolve. An Entry that names no token in particular is none.
func (h *Handler) resolved(ctx context.Context, s *subject) (e revocation.Entry, none *unmapped, err error) {
	var found bool
	if h.resolve != nil {
		err = h.inbox.Ask(ctx, "Resolve", func(ctx context.Context) (err error) {
			e, found, err = h.resolve(ctx, s.Subject)
			return err
		})
	}
	e = revocation.Entry{Issuer: e.Issuer, TokenID: e.TokenID, Subject: e.Subject, Session: e.Session, Client: e.Client, Tenant: e.Tenant, Key: e.Key}
	switch {
	case err != nil:
		return revocation.Entry{}, nil, err
	case !found || e == revocation.Entry{Issuer: e.Issuer}:
		return revocation.Entry{}, &unmapped{WhySubject, s}, nil
	}
	return e, nil, nil
}

// known is a name of a closed set, or "other".
func known(name string, among func(string) bool) string {
	if name == "" || among(name) {
		return name
	}
	return "other"
}

func isFormat(name string) bool {
	_, simple := formats[name]
	return simple || name == formatAliases || name == formatComplex
}

// discarded is the event for the hook.
func (h *Handler) discarded(e *event, u *unmapped) DiscardedEvent {
	d := DiscardedEvent{Issuer: h.issuer, Type: h.typeName(e.Type), Why: u.why, ID: accept.Quoted(e.id), Found: accept.Quoted(e.Type)}
	if u.part != nil {
		d.Member = known(u.part.Member, func(name string) bool { return slices.Contains(membersOfComplex, name) })
		d.Format = known(u.part.Format, isFormat)
		d.Found = accept.Quoted(e.Type, u.part.Member, u.part.Format)
	}
	return d
}
