package authtest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Fault is one way in which a server fails, as plain data. Every field may be
// combined with the others; what a field leaves zero stays as it is without
// the fault. A fault ends what it waits for when the request is cancelled or
// the server closed.
//
//	as.Fail(authtest.Fault{Path: "/jwks", Status: 503, RetryAfter: 10 * time.Second}) // down
//	as.Fail(authtest.Fault{Path: "/jwks", Times: 1, Drop: true})                       // one lost connection
//	as.Fail(authtest.Fault{Path: "/jwks", Body: []byte(`{"keys":[]}`)})                // an empty key set
//	as.Fail(authtest.Fault{Path: "/jwks", PadTo: 200 << 20, Gzip: true})               // a gzip bomb
//	as.Fail(authtest.Fault{})                                                          // healed
type Fault struct {
	Path  string // the path it strikes; "": every path
	Times int    // how many requests; 0: until healed

	Delay time.Duration // before anything is answered
	Hang  bool          // never answers
	Drop  bool          // closes the connection without an answer

	Status      int           // 200 to 599; other than 2xx, with a plain text for a body unless Body is set
	RetryAfter  time.Duration // Retry-After, in seconds rounded up
	Redirect    string        // Location; Status is then 302 unless set
	ContentType string        // Content-Type
	Header      http.Header   // further header fields, replacing those of the same name
	Body        []byte        // not nil: this instead of what the path would answer, as 200 unless Status is set
	PadTo       int64         // bytes: white space after the body makes it so long
	Gzip        bool          // the body is compressed, asked for or not
	Truncate    bool          // half of the body, then the connection ends
	Drip        time.Duration // the body trickles in over this time
}

// Fail makes requests fail from now on. A fault replaces the earlier one of the
// same Path, and one without a Path all earlier ones; a fault of a path goes
// before one of every path. A Fault that says nothing heals: the zero one
// everything, one of a Path only that path.
func (s *Server) Fail(f Fault) {
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		s.fatal(fmt.Errorf("authtest: Fault.Status is %d: use 200 to 599, or 0 for what the server would answer", f.Status))
		return
	}
	for _, field := range []struct {
		name  string
		value int64
	}{
		{"Times", int64(f.Times)}, {"Delay", int64(f.Delay)}, {"RetryAfter", int64(f.RetryAfter)}, {"PadTo", f.PadTo}, {"Drip", int64(f.Drip)},
	} {
		if field.value < 0 {
			s.fatal(fmt.Errorf("authtest: Fault.%s is negative: use more than 0, or leave it out", field.name))
			return
		}
	}
	f.Body = slices.Clone(f.Body)
	f.Header = f.Header.Clone()
	bare := f
	bare.Path, bare.Times = "", 0
	heals := reflect.ValueOf(bare).IsZero()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(old *Fault) bool { return f.Path == "" || f.Path == old.Path })
	if !heals {
		s.faults = append(s.faults, &f)
	}
}

// arrive counts a request and returns the fault that strikes it.
func (s *Server) arrive(path string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[path]++
	i := slices.IndexFunc(s.faults, func(f *Fault) bool { return f.Path == path })
	if i < 0 {
		i = slices.IndexFunc(s.faults, func(f *Fault) bool { return f.Path == "" })
	}
	if i < 0 {
		return Fault{}
	}
	struck := s.faults[i]
	if struck.Times > 0 {
		if struck.Times--; struck.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
	}
	return *struck
}

// shapesBody reports whether the fault needs a body to work on.
func (f Fault) shapesBody() bool { return f.PadTo > 0 || f.Gzip || f.Truncate || f.Drip > 0 }

// change makes of an answer what the fault wants of it.
func (f Fault) change(a answer) answer {
	switch {
	case f.Body != nil:
		a.status, a.body = http.StatusOK, f.Body
	case f.Status != 0 && f.Status/100 != 2:
		a = text(f.Status)
	}
	if f.Redirect != "" {
		a = text(http.StatusFound)
		a.header.Set("Location", f.Redirect)
		if f.Body != nil {
			a.body = f.Body
		}
	}
	if f.Status != 0 {
		a.status = f.Status
	}
	if f.RetryAfter > 0 {
		seconds := (f.RetryAfter + time.Second - 1) / time.Second
		a.header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	return a
}

// wait reports whether d passed before the request was cancelled or the server
// closed.
func (s *Server) wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

// hang waits until the request is cancelled or the server closed, and is never
// answered.
func (s *Server) hang(r *http.Request) bool {
	select {
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

// drop ends the connection in the middle of the answer.
func drop(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// dripSteps is into how many pieces Drip cuts a body.
const dripSteps = 30

// write sends the answer, its body shaped by the fault. An error of writing
// means that the client has gone, which is its right.
func (s *Server) write(w http.ResponseWriter, r *http.Request, a answer, f Fault) {
	total := max(int64(len(a.body)), f.PadTo)
	body := io.MultiReader(bytes.NewReader(a.body), spaces{})
	maps.Copy(w.Header(), a.header)
	var out io.Writer = w
	if f.Gzip {
		w.Header().Set("Content-Encoding", "gzip")
	} else if a.status != http.StatusNotModified && a.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.FormatInt(total, 10))
	}
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return
	}
	flush := http.NewResponseController(w).Flush
	if f.Gzip {
		gz, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is valid
		defer gz.Close()                                //nolint:errcheck // it writes to the answer, whose client may be gone
		out = gz
		flush = func() error { return errors.Join(gz.Flush(), http.NewResponseController(w).Flush()) }
	}
	send := total
	if f.Truncate {
		send /= 2
		defer func() {
			_ = flush()
			drop(w)
		}()
	}
	steps := int64(1)
	if f.Drip > 0 {
		steps = max(1, min(send, dripSteps))
	}
	for step := range steps {
		if f.Drip > 0 && !s.wait(r, f.Drip/time.Duration(steps)) {
			drop(w)
			return
		}
		if _, err := io.CopyN(out, body, send*(step+1)/steps-send*step/steps); err != nil {
			return
		}
		if f.Drip > 0 && flush() != nil {
			return
		}
	}
}

// spaces reads as white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
