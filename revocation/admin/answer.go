package admin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/revocation"
)

// entry is how an entry is shown.
type entry struct {
	Issuer  string `json:"issuer"`
	TokenID string `json:"token_id,omitempty"`
	Subject string `json:"subject,omitempty"`
	Session string `json:"session,omitempty"`
	Client  string `json:"client,omitempty"`
	Tenant  string `json:"tenant,omitempty"`
	Key     string `json:"key,omitempty"`
	Before  string `json:"before,omitempty"`
	Until   string `json:"until,omitempty"`
	Source  string `json:"source,omitempty"`
}

// listed is the answer to a change, and of GET /list.
type listed struct {
	Entries []entry `json:"entries"`
	// More says that there may be more: more was found than the limit, or the List is too
	// long to be looked through.
	More bool `json:"more,omitempty"`
}

func shown(entries []revocation.Entry) []entry {
	out := make([]entry, len(entries))
	for i, e := range entries {
		out[i] = entry{Issuer: e.Issuer, TokenID: e.TokenID, Subject: e.Subject, Session: e.Session, Client: e.Client, Tenant: e.Tenant,
			Before: timeText(e.Before), Until: timeText(e.Until), Source: e.Source}
		if e.Key != ([32]byte{}) {
			out[i].Key = base64.RawURLEncoding.EncodeToString(e.Key[:])
		}
	}
	return out
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// problem is what is answered to a request that is not done (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Reason is overloaded or store_unavailable, for a 503.
	Reason   string   `json:"reason,omitempty"`
	Mistakes []string `json:"mistakes,omitempty"`
}

func answer(w http.ResponseWriter, status int, body any) { write(w, status, "application/json", body) }

func write(w http.ResponseWriter, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil { // it never does
		status, text = http.StatusInternalServerError, nil
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // whoever does not take the answer does not get it
}

func refuse(w http.ResponseWriter, status int, detail string, mistakes ...string) {
	refuseAs(w, status, "", detail, mistakes)
}

func refuseAs(w http.ResponseWriter, status int, reason, detail string, mistakes []string) {
	write(w, status, "application/problem+json",
		problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Reason: reason, Mistakes: mistakes})
}

// retry is a 503.
func retry(w http.ResponseWriter, e *bearergate.Error, reason, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryDelay()/time.Second)))
	refuseAs(w, http.StatusServiceUnavailable, reason, detail, nil)
}

// read returns the body of a request, if it has one that may be read. Otherwise it has
// answered.
func read(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	if !isJSON(r.Header) {
		refuse(w, http.StatusUnsupportedMediaType, "Send application/json, in UTF-8 and without a content encoding.")
		return nil, false
	}
	if r.URL.RawQuery != "" {
		refuse(w, http.StatusBadRequest, "What is to be done stands in the body: send no query.")
		return nil, false
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		refuse(w, http.StatusRequestEntityTooLarge, "The body is too long: send at most "+strconv.Itoa(MaxBodyBytes)+" bytes.")
	case err != nil:
		refuse(w, http.StatusBadRequest, "The body could not be read.")
	default:
		return body, true
	}
	return nil, false
}

// isJSON also keeps other sites out: a browser sends this type for none of them before it has
// asked whether it may.
func isJSON(h http.Header) bool {
	if len(h["Content-Type"]) != 1 || len(h["Content-Encoding"]) > 0 {
		return false
	}
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return false
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// entries answers GET /list.
func (a *api) entries(w http.ResponseWriter, r *http.Request) {
	limit, matches, wrong := readQuery(r.URL)
	if wrong != nil {
		refuse(w, http.StatusBadRequest, "The query has mistakes.", wrong...)
		return
	}
	select {
	case a.searches <- struct{}{}:
	default:
		retry(w, &bearergate.Error{RetryAfter: time.Second}, "overloaded", "Others look through the list: send the request again.")
		return
	}
	found, more := a.search(limit, matches)
	answer(w, http.StatusOK, listed{Entries: shown(found), More: more}) // whoever does not read it holds no place
}

// search looks through the List, and then leaves its place.
func (a *api) search(limit int, matches func(*revocation.Entry) bool) (found []revocation.Entry, more bool) {
	defer func() { <-a.searches }()
	for e := range a.list.All() {
		if !matches(&e) {
			continue
		}
		if len(found) == limit {
			return found, true
		}
		found = append(found, e)
	}
	return found, false
}

// readQuery reads limit, and the values that all entries must have that are listed.
func readQuery(u *url.URL) (limit int, matches func(*revocation.Entry) bool, wrong []string) {
	var m mistakes
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return 0, nil, []string{"it cannot be read"}
	}
	type wanted struct {
		member

		value string
	}
	var all []wanted
	limit = DefaultListed
	for name, values := range query {
		f, ok := memberOf(name)
		if name == "source" {
			f, ok = member{name, func(e *revocation.Entry) *string { return &e.Source }}, true
		}
		switch {
		case !ok && name != "limit":
			m.addf("%s is not known: there are limit, source, issuer, token_id, subject, session, client and tenant", quote.One(name))
		case len(values) != 1:
			m.addf("%s is given %d times", name, len(values))
		case ok && (values[0] != "" || name == "source"):
			all = append(all, wanted{f, values[0]})
		case ok:
			m.addf("%s is empty: leave it out", name)
		default:
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 1 || n > MaxListed {
				m.addf("limit is not a number between 1 and %d", MaxListed)
			}
			limit = n
		}
	}
	return limit, func(e *revocation.Entry) bool {
		for _, w := range all {
			if *w.of(e) != w.value {
				return false
			}
		}
		return true
	}, m.list()
}

// status is what GET /status answers.
type status struct {
	Entries int            `json:"entries"`
	Lifted  int            `json:"lifted"`
	Sources map[string]int `json:"sources"`
	Ready   bool           `json:"ready"`
	Heard   string         `json:"heard,omitempty"`
	// Lag is missing where nothing was heard, and where there is no Log.
	Lag      *float64 `json:"lag_seconds,omitempty"`
	Unlogged int      `json:"unlogged"`
	Skipped  uint64   `json:"skipped"`
	Full     bool     `json:"full"`
}

func (a *api) status(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		refuse(w, http.StatusBadRequest, "There is nothing to choose: send no query.")
		return
	}
	s := a.list.Status()
	out := status{Entries: s.Entries, Lifted: s.Lifted, Sources: s.Sources, Ready: s.Ready, Heard: timeText(s.Heard),
		Unlogged: s.Unlogged, Skipped: s.Skipped, Full: s.Full}
	if s.Lag >= 0 {
		lag := s.Lag.Seconds()
		out.Lag = &lag
	}
	answer(w, http.StatusOK, out)
}
