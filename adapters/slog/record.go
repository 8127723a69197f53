package sloggate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/revocation"
)

// record gathers the attributes of a record.
type record struct {
	max   int // bytes of a text
	attrs []slog.Attr
}

// group is for what stands in a group of r.
func (r *record) group() record { return record{max: r.max} }

// close adds a group.
func (r *record) close(name string, group record) {
	r.add(slog.Attr{Key: name, Value: slog.GroupValue(group.attrs...)})
}

func (r *record) add(attrs ...slog.Attr) { r.attrs = append(r.attrs, attrs...) }

// word adds a word of a closed set or of the configuration.
func (r *record) word(name, value string) { r.cut(name, value, limitText) }

// text adds what somebody else chose.
func (r *record) text(name, value string) { r.cut(name, value, r.max) }

// list adds a list of what somebody else chose.
func (r *record) list(name string, values []string) { r.cut(name, strings.Join(values, " "), 4*r.max) }

func (r *record) cut(name, value string, limit int) {
	if value != "" {
		r.add(slog.String(name, printable(value, limit)))
	}
}

// keys says whose keys they are. The query of the URL is left out: it may hold
// an API key.
func (r *record) keys(issuer, url string) {
	r.text("issuer", issuer)
	url, _, _ = strings.Cut(url, "?")
	r.text("url", url)
}

// server adds what an answer says of an authorization server, where it says something.
func (r *record) server(s bearergate.Server) {
	if s.ClockKnown {
		r.add(slog.Duration("clock_ahead", s.Ahead), slog.Duration("clock_within", s.Within))
	}
	if !s.CertificateExpires.IsZero() {
		r.add(slog.Time("certificate_expires", s.CertificateExpires.UTC()))
	}
}

// look adds what a look into a log has found. The text of its error is left out: anybody may
// have written it.
func (r *record) look(err error, whole bool, records, skipped int, d time.Duration) {
	r.word("outcome", outcomeOfLook(err))
	r.add(slog.Bool("whole", whole), slog.Int("records", records))
	if skipped > 0 {
		r.add(slog.Int("skipped", skipped))
	}
	r.add(slog.Duration("duration", d))
}

// received adds what became of a request to a feed.
func (r *record) received(outcome string, err error, status int, issuer string) {
	r.word("outcome", outcome)
	_, reason := outcomeOf(err)
	r.word("reason", string(reason))
	if err != nil {
		r.refusal(bearergate.AsError(err), nil)
	}
	r.add(slog.Int("status", status))
	r.text("issuer", issuer)
}

// taken adds what a request to a feed has added, and how long it took.
func (r *record) taken(entries int, d time.Duration) {
	if entries > 0 {
		r.add(slog.Int("entries", entries))
	}
	r.add(slog.Duration("duration", d))
}

// entry adds what is revoked.
func (r *record) entry(e *revocation.Entry) {
	group := r.group()
	group.text("issuer", e.Issuer)
	group.text("subject", e.Subject)
	group.text("session", e.Session)
	group.text("client", e.Client)
	group.text("tenant", e.Tenant)
	if e.TokenID != "" {
		group.word("jti", digest(e.TokenID))
	}
	group.key(e.Key)
	group.add(slog.Time("before", e.Before.UTC()), slog.Time("until", e.Until.UTC()))
	r.close("entry", group)
}

// token adds what the audit has to know of a verified token.
func (r *record) token(t *bearergate.Token) {
	if t == nil {
		return
	}
	r.word("principal", principalOf(t))
	r.text("subject", t.Subject())
	r.text("client", t.ClientID())
	r.text("jti", idOf(t))
	r.text("session", t.SessionID())
	r.text("tenant", t.Tenant())
	r.chain(t.Actor())
	if t.Stale() {
		r.add(slog.Bool("stale", true))
	}
	r.list("scopes", t.Scopes().Names())
	r.roles(t.Roles())
	r.key(t.Key())
	r.keysOf(t)
}

// principalOf says on whose behalf a token was issued, where the token says it.
func principalOf(t *bearergate.Token) string {
	switch {
	case t.IsClient():
		return "client"
	case t.IsUser():
		return "user"
	}
	return "unknown"
}

// key adds the thumbprint of a key (RFC 7638).
func (r *record) key(thumbprint [32]byte) {
	if thumbprint != ([32]byte{}) {
		r.word("key", base64.RawURLEncoding.EncodeToString(thumbprint[:]))
	}
}

// chain adds the actors of a token, the current one first (RFC 8693 §4.1): as many as the
// verifiers of this module accept; those of others may accept more.
func (r *record) chain(of []bearergate.Actor) {
	if len(of) == 0 {
		return
	}
	written := make(actors, 0, min(len(of), bearergate.MaxActChain))
	for _, a := range of[:min(len(of), bearergate.MaxActChain)] {
		written = append(written, actor{printable(a.Subject, r.max), printable(a.Issuer, r.max), printable(a.ClientID, r.max)})
	}
	r.add(slog.Any("actors", written))
	if more := len(of) - bearergate.MaxActChain; more > 0 {
		r.add(slog.Int("more_actors", more))
	}
}

// roles adds what may have a space of its own, each for itself, and says how many did not fit.
func (r *record) roles(of []string) {
	var written texts
	for i, room := 0, 4*r.max; i < len(of); i++ {
		role := printable(of[i], r.max)
		if room -= len(role); room < 0 && i > 0 {
			break
		}
		written = append(written, role)
	}
	if len(written) > 0 {
		r.add(slog.Any("roles", written))
	}
	if more := len(of) - len(written); more > 0 {
		r.add(slog.Int("more_roles", more))
	}
}

// texts is a list, in JSON, and elsewhere the text of that.
type texts []string

func (t texts) String() string { return jsonOf([]string(t)) }

// actors is a chain as handlers write it: a list in JSON, and elsewhere the text of that.
type actors []actor

type actor struct {
	Subject string `json:"subject,omitempty"`
	Issuer  string `json:"issuer,omitempty"`
	Client  string `json:"client,omitempty"`
}

// String is what slog.TextHandler writes.
func (a actors) String() string { return jsonOf([]actor(a)) }

func jsonOf(list any) string {
	text, err := json.Marshal(list)
	if err != nil { // never: they are texts
		return ""
	}
	return string(text)
}

// keysOf adds the thumbprints of the keys to which a token is bound: as proven if its sender
// was found to hold them, else as bound, which says nothing of who sent it.
func (r *record) keysOf(t *bearergate.Token) {
	var keys []slog.Attr
	for _, member := range []string{"jkt", "x5t#S256"} { // RFC 9449 §6.1, RFC 8705 §3.1
		if value, ok := t.Confirmation().Value(member); ok && isThumbprint(value) {
			keys = append(keys, slog.String(member, value))
		}
	}
	if len(keys) == 0 {
		return
	}
	name := "bound"
	if t.Proven() {
		name = "proven"
	}
	r.close(name, record{attrs: keys})
}

// isThumbprint reports whether s is a SHA-256 in base64url without padding. Anything else
// that an issuer writes there stays out of the audit.
func isThumbprint(s string) bool {
	if len(s) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
		return false
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(sum) == sha256.Size // the decoder skips line breaks
}

// refusal adds why a token was refused, in the words of this module, and whose it was
// if something vouches for that: token, of which a record says it already, or that of
// the refusal. The text of a cause is left out: anybody may have written it.
func (r *record) refusal(e *bearergate.Error, token *bearergate.Token) {
	r.text("detail", e.Detail)
	r.list("expected", []string{e.Expected})
	r.list("found", []string{e.Found})
	if e.Found != "" && e.Unsigned {
		r.add(slog.Bool("unverified", true))
	}
	if token != nil || e.Refused == nil {
		return
	}
	refused := r.group()
	refused.text("issuer", e.Refused.Issuer())
	refused.token(e.Refused)
	r.close("refused", refused)
}

// idOf returns jti, as a digest where it may be the token itself: an answer to
// introspection, which has a member active, and a token of unknown origin.
func idOf(t *bearergate.Token) string {
	id := t.ID()
	if id == "" {
		return ""
	}
	var answer struct {
		Active json.RawMessage `json:"active"`
	}
	if err := t.Claims(&answer); err == nil && answer.Active == nil {
		return id
	}
	return digest(id)
}

// digest stands for an ID that may be a token.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:len(sum)/2])
}

// printable cuts s to limit bytes, says so, and quotes what is not printable:
// not every handler does.
func printable(s string, limit int) string {
	end := ""
	if len(s) > limit {
		for range utf8.UTFMax - 1 { // not within a character
			if !utf8.RuneStart(s[limit]) {
				limit--
			}
		}
		s, end = s[:limit], "…"
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		s = strconv.Quote(s)
	}
	return s + end
}

// limit lets through so many a second, and as many at once after a quiet second.
type limit struct {
	mu         sync.Mutex // guards the rest
	left       float64
	last       time.Time
	suppressed uint64
}

// take reports whether one more may pass, and if so how many could not since the last.
func (l *limit) take(perSecond int) (suppressed uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.left = min(l.left+now.Sub(l.last).Seconds()*float64(perSecond), float64(perSecond))
	l.last = now
	if l.left < 1 {
		l.suppressed++
		return 0, false
	}
	l.left--
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}
