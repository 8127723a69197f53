package usage

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate/scope"
)

// Limits of a [Report] as JSON. What is beyond them is neither written nor read, so that
// a file from elsewhere takes some 300 MB of memory at the most, however it was made.
const (
	MaxReportBytes   = 32 << 20 // of the whole document
	MaxReportClients = 100_000
	MaxReportScopes  = 10_000    // of one client; a comma in a scope counts as one more
	MaxReportNames   = 1_000_000 // scopes of all clients together
)

// reportVersion is the version of the JSON form. Whatever reads this one must not take
// another for it.
const reportVersion = 1

// Report is what was seen of clients: by one process ([Usage.Report]), or by several
// ([Merge]). The zero Report is the empty one. It is plain data, safe for concurrent use
// as long as nobody changes it.
//
// As JSON, it is an object with the members version, which is 1, from, to, clients and
// unwatched; each of clients is an object with issuer, client_id, exercised, unexercised,
// first_seen, last_seen and partial. Times are as in RFC 3339. Equal reports have the same
// text.
type Report struct {
	// From and To are what the report looks at: from the earliest moment to the latest of
	// what was merged.
	From, To time.Time
	// Clients are sorted by issuer and ID.
	Clients []Client
	// Unwatched is how many decisions were left out because of [Config.MaxClients], since
	// the start of the process.
	Unwatched int
}

// Client is what one client was granted in the window of a [Usage], and what
// of it opened a route. Both lists are sorted.
type Client struct {
	Issuer, ClientID string // as in its tokens; no ClientID stands for all tokens that name none
	Exercised        []string
	Unexercised      []string
	// FirstSeen is since when it has been seen without a gap of a whole Window. Of
	// a client that has just come, Unexercised says little. Both times are exact to a
	// millisecond.
	FirstSeen, LastSeen time.Time
	// Partial says that the client has more scopes than Config.MaxScopes.
	Partial bool
}

// Merge puts reports together: those of all processes of a service, or those of many
// weeks. A scope that was exercised in one of them is exercised; what is then unexercised
// was granted, and opened nothing that any of them saw. Unwatched is added up, so merge
// only the last report of a process with those of others.
//
// The order of reports, and what was merged with what first, makes no difference. Nothing
// of the reports is changed or kept, but for their strings. Merge takes as much memory
// as they do.
func Merge(reports ...Report) Report {
	var merged Report
	clients := map[client]*union{}
	for _, r := range reports {
		merged.From, merged.To = earliest(merged.From, r.From), latest(merged.To, r.To)
		merged.Unwatched = add(merged.Unwatched, r.Unwatched)
		for i := range r.Clients {
			c := &r.Clients[i]
			id := client{c.Issuer, c.ClientID}
			if clients[id] == nil {
				clients[id] = &union{exercised: map[string]bool{}}
			}
			clients[id].add(c)
		}
	}
	if len(clients) == 0 {
		return merged
	}
	merged.Clients = make([]Client, 0, len(clients))
	for id, u := range clients {
		merged.Clients = append(merged.Clients, u.client(id))
	}
	slices.SortFunc(merged.Clients, func(a, b Client) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.ClientID, b.ClientID))
	})
	return merged
}

// union is one client in several reports.
type union struct {
	exercised   map[string]bool // every scope that was granted, and whether it was exercised
	first, last time.Time
	partial     bool
}

func (u *union) add(c *Client) {
	for _, name := range c.Unexercised {
		if _, known := u.exercised[name]; !known {
			u.exercised[name] = false
		}
	}
	for _, name := range c.Exercised {
		u.exercised[name] = true
	}
	u.first, u.last = earliest(u.first, c.FirstSeen), latest(u.last, c.LastSeen)
	u.partial = u.partial || c.Partial
}

func (u *union) client(id client) Client {
	c := Client{Issuer: id.issuer, ClientID: id.id, FirstSeen: u.first, LastSeen: u.last, Partial: u.partial}
	for _, name := range slices.Sorted(maps.Keys(u.exercised)) {
		if u.exercised[name] {
			c.Exercised = append(c.Exercised, name)
		} else {
			c.Unexercised = append(c.Unexercised, name)
		}
	}
	return c
}

// earliest and latest leave out the zero time, which says nothing. What they return reads
// the same after JSON: in UTC, and without the clock of a process.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		a = b
	}
	return a.UTC().Round(0)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		a = b
	}
	return a.UTC().Round(0)
}

// add adds what is not negative, and stops at the end of the numbers.
func add(a, b int) int {
	a, b = max(a, 0), max(b, 0)
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

// reportJSON is the form of a Report.
type reportJSON struct {
	Version   int          `json:"version"`
	From      time.Time    `json:"from"`
	To        time.Time    `json:"to"`
	Clients   []clientJSON `json:"clients"`
	Unwatched int          `json:"unwatched"`
}

type clientJSON struct {
	Issuer      string    `json:"issuer"`
	ClientID    string    `json:"client_id"`
	Exercised   scopeList `json:"exercised"`
	Unexercised scopeList `json:"unexercised"`
	FirstSeen   time.Time `json:"first_seen"`
	LastSeen    time.Time `json:"last_seen"`
	Partial     bool      `json:"partial,omitzero"`
}

// MarshalJSON writes the report in its JSON form, its lists sorted. It is an error if the
// report is beyond the limits.
func (r Report) MarshalJSON() ([]byte, error) {
	r = Merge(r)
	out := reportJSON{Version: reportVersion, From: r.From, To: r.To, Clients: make([]clientJSON, 0, len(r.Clients)), Unwatched: r.Unwatched}
	var count counter
	for _, c := range r.Clients {
		if err := count.client(&c); err != nil {
			return nil, misconfigured(fmt.Errorf("the report cannot be written: %w: write one of fewer clients, or lower Config.MaxClients and MaxScopes", err))
		}
		out.Clients = append(out.Clients, clientJSON{c.Issuer, c.ClientID, list(c.Exercised), list(c.Unexercised), c.FirstSeen, c.LastSeen, c.Partial})
	}
	b, err := json.Marshal(out)
	if err == nil && len(b) > MaxReportBytes {
		err = errTooLong
	}
	if err != nil {
		return nil, misconfigured(fmt.Errorf("the report cannot be written: %w", err))
	}
	return b, nil
}

// list returns an empty list for nil, which JSON would write as null.
func list(names []string) scopeList { return append(scopeList{}, names...) }

// UnmarshalJSON reads what [Report.MarshalJSON] wrote. An error leaves the report as it
// was. Members that the form does not have, another version and what is beyond the limits
// are errors. For a file of unknown length there is [ReadReport].
func (r *Report) UnmarshalJSON(b []byte) error {
	read, err := parse(b)
	if err != nil {
		return misconfigured(fmt.Errorf("this is no report: %w", err))
	}
	*r = read
	return nil
}

// ReadReport reads one report, to the end of in, and no more than [MaxReportBytes] of it.
// Its error is [bearergate.ErrMisconfigured], or that of in.
func ReadReport(in io.Reader) (Report, error) {
	b, err := io.ReadAll(io.LimitReader(in, MaxReportBytes+1))
	if err != nil {
		return Report{}, fmt.Errorf("usage: reading a report: %w", err)
	}
	var r Report
	if err := r.UnmarshalJSON(b); err != nil {
		return Report{}, err
	}
	return r, nil
}

var errTooLong = fmt.Errorf("it has more than %d bytes", MaxReportBytes)

func parse(b []byte) (Report, error) {
	if len(b) > MaxReportBytes {
		return Report{}, errTooLong
	}
	// The version first: another one may have other members.
	var form struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(b, &form); err != nil {
		return Report{}, err
	}
	if form.Version == nil || *form.Version != reportVersion {
		return Report{}, fmt.Errorf("its version is not %d", reportVersion)
	}
	var in struct {
		Version   int        `json:"version"`
		From      time.Time  `json:"from"`
		To        time.Time  `json:"to"`
		Clients   clientList `json:"clients"`
		Unwatched int        `json:"unwatched"`
	}
	if err := strictly(b, &in); err != nil {
		return Report{}, err
	}
	if in.Unwatched < 0 {
		return Report{}, errors.New("unwatched is negative")
	}
	return Merge(Report{From: in.From, To: in.To, Clients: in.Clients, Unwatched: in.Unwatched}), nil
}

func strictly(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// clientList reads one client after the other, and counts: an empty object takes three
// bytes of JSON and a hundred of memory.
type clientList []Client

func (l *clientList) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(errors.New("clients is no list"), err)
	}
	var count counter
	for d.More() {
		var in clientJSON
		if err := d.Decode(&in); err != nil {
			return err
		}
		c := Client{in.Issuer, in.ClientID, in.Exercised, in.Unexercised, in.FirstSeen, in.LastSeen, in.Partial}
		if err := count.client(&c); err != nil {
			return err
		}
		*l = append(*l, c)
	}
	return nil
}

// scopeList are scopes by name. Of too many, none is read.
type scopeList []string

func (l *scopeList) UnmarshalJSON(b []byte) error {
	if bytes.Count(b, []byte(",")) >= MaxReportScopes {
		return errTooMany
	}
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return err
	}
	*l = names
	return nil
}

var errTooMany = fmt.Errorf("a client has more than %d scopes", MaxReportScopes)

// counter holds a report to its limits.
type counter struct{ clients, names int }

func (n *counter) client(c *Client) error {
	n.clients++
	n.names += len(c.Exercised) + len(c.Unexercised)
	switch {
	case n.clients > MaxReportClients:
		return fmt.Errorf("it has more than %d clients", MaxReportClients)
	case n.names > MaxReportNames:
		return fmt.Errorf("it names more than %d scopes", MaxReportNames)
	case len(c.Exercised)+len(c.Unexercised) > MaxReportScopes || commas(c.Exercised) > MaxReportScopes || commas(c.Unexercised) > MaxReportScopes:
		return errTooMany
	case scope.Of(c.Exercised...).Len() < len(c.Exercised) || scope.Of(c.Unexercised...).Len() < len(c.Unexercised):
		// A report is shown to people, on terminals that obey what they are shown.
		return errors.New("a list of scopes has a name twice, or one that RFC 6749 section 3.3 does not allow")
	}
	return nil
}

// commas is how many a list has as JSON, and one: scopes may have some of their own.
func commas(names []string) (n int) {
	for _, name := range names {
		n += 1 + strings.Count(name, ",")
	}
	return n
}
