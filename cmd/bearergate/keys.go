package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bearergate/bearergate/jwks"
)

// keysReport is the JSON of keys. Texts that a server wrote are as it wrote them, cut.
type keysReport struct {
	Issuer string    `json:"issuer,omitempty"`
	At     time.Time `json:"at"`
	// Documents are the requests that were made, in their order: metadata, then the key set.
	Documents []requestReport `json:"documents"`
	JWKSURI   string          `json:"jwks_uri,omitempty"` // without its query, which may hold an API key
	Outcome   string          `json:"outcome"`            // of jwks.FetchEvent
	Error     string          `json:"error,omitempty"`
	State     string          `json:"state"` // of jwks.Status
	// TTLSeconds is for how long the library uses the set before it asks again, here.
	TTLSeconds float64 `json:"ttl_seconds,omitempty"`
	// Algorithms are those that at least one admitted key serves.
	Algorithms []string    `json:"algorithms,omitempty"`
	Keys       []keyReport `json:"keys"`
	Compared   *comparison `json:"compared,omitempty"`
	Notes      []string    `json:"notes,omitempty"`
}

// keyReport is one key of the set.
type keyReport struct {
	Index    int    `json:"index"` // its place in the set, from 0
	KeyID    string `json:"kid"`
	Type     string `json:"kty"`
	Curve    string `json:"crv,omitempty"`
	Bits     int    `json:"bits,omitempty"` // of an RSA key
	Use      string `json:"use,omitempty"`
	Alg      string `json:"alg,omitempty"`
	Admitted bool   `json:"admitted"`
	Why      string `json:"why,omitempty"` // it is not admitted
	// Algorithms are what the library verifies with it.
	Algorithms []string `json:"algorithms,omitempty"`
	// Thumbprint is SHA-256 as in RFC 7638, base64url: equal for equal keys.
	Thumbprint string `json:"thumbprint,omitempty"`
	// Certificates are those of x5c. No check of the library looks at their times.
	Certificates []certificateReport `json:"certificates,omitempty"`
}

type certificateReport struct {
	NotAfter time.Time `json:"not_after"`
	DaysLeft int       `json:"days_left"` // whole ones; negative: it has ended
	SHA256   string    `json:"sha256,omitempty"`
}

func certificateOf(c *x509.Certificate, sum string, now time.Time) certificateReport {
	const day = 24 * 3600
	seconds := c.NotAfter.Unix() - now.Unix()
	days := seconds / day
	if seconds < 0 {
		days = (seconds+1)/day - 1
	}
	return certificateReport{NotAfter: c.NotAfter.UTC(), DaysLeft: int(days), SHA256: sum}
}

// soon is from how many days on a certificate is worth a note.
const soon = 21

func keys(ctx context.Context, e *env, args []string) error {
	var i issuerFlags
	var c clientFlags
	flags := newFlags("keys", `
Shows the metadata and the key set of an issuer as the library sees them: which document
answered, which keys are admitted and why others are not, certificates, cache headers and
what the library makes of them. Run it where the API runs. The exit code is 1 if what the
server sent cannot be used, and 3 if nothing was sent.`)
	i.register(flags)
	c.register(flags)
	jwksFile := flags.String("jwks-file", "", "`file` with the key set: nothing is fetched")
	var uses list
	flags.Var(&uses, "allow-use", "a `value` of use that is admitted beside sig, jwt-svid for example; may be given several times")
	compare := flags.String("compare", "", "`file` with earlier output of keys -json, or of jwks.Cache.Export: says which keys were added and removed since")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(e, flags, args); err != nil {
		return err
	}
	if *jwksFile != "" {
		if err := idle(flags, "nothing is fetched with -jwks-file", "idp", "idp-arg", "ca", "proxy", "insecure-allow-http"); err != nil {
			return err
		}
	}
	var earlier []keyReport
	if *compare != "" {
		data, err := e.read(ctx, "-compare", *compare, maxFile)
		if err != nil {
			return err
		}
		if earlier, err = earlierKeys(data); err != nil {
			return err
		}
	}
	w := &watched{uses: uses}
	cache, err := w.cache(ctx, e, &i, &c, *jwksFile)
	if err != nil {
		return err
	}
	ctx, cancel := c.context(ctx)
	defer cancel()
	failure := cache.Refresh(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if failure != nil && w.event.Err == nil {
		return failure // no attempt has come to its end: -timeout, or an interrupt
	}
	report := w.report(cache.Status(), e.now())
	if *compare != "" {
		report.Compared = compareKeys(earlier, report.Keys)
	}
	if *asJSON {
		err = e.json(report)
	} else {
		_, err = fmt.Fprint(e.stdout, report.text())
	}
	if err == nil && failure != nil {
		err = found{code: w.exitCode()}
	}
	return err
}

// watched is a Cache with everything that can be seen of its one fetch.
type watched struct {
	uses     list
	file     []byte // the key set, if it is in a file
	recorder *recorder

	mu      sync.Mutex // guards what follows: a fetch may outlive the wait for it
	event   jwks.FetchEvent
	skipped map[int]string // why, by the place in the set
}

func (w *watched) cache(ctx context.Context, e *env, i *issuerFlags, c *clientFlags, file string) (*jwks.Cache, error) {
	w.skipped = map[int]string{}
	config := jwks.Config{AllowUses: w.uses, Hooks: jwks.Hooks{
		Fetched: func(_ context.Context, event jwks.FetchEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.event = event
		},
		KeySkipped: func(_ context.Context, event jwks.KeyEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.skipped[event.Index] = strings.TrimPrefix(event.Err.Error(), "jose: ")
		},
	}}
	w.recorder = &recorder{now: e.now}
	switch {
	case file == "-":
		return nil, usage("-jwks-file has to be a file: the library reads it")
	case file != "":
		if i.keysURL != "" || i.metadataURL != "" {
			return nil, usage("-jwks-file is given together with -keys-url or -metadata-url: leave out the one or the other")
		}
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() { // a pipe has its content once
			return nil, usage("-jwks-file has to be a regular file: the library reads it again")
		}
		config.Issuer = i.issuer
		var err error
		if w.file, err = e.read(ctx, "-jwks-file", file, maxFile); err != nil {
			return nil, err
		}
		return jwks.File(file, config)
	case i.issuer != "" || i.idp != "" || i.keysURL == "":
		of, preset, _, err := i.config()
		switch {
		case err != nil:
			return nil, err
		case of.Err != nil:
			return nil, usage("-idp: %w", of.Err)
		case preset.many != nil:
			return nil, usage("-idp %s is for many issuers: name one with -issuer", i.idp)
		}
		config.Issuer, config.URL, config.MetadataURL = of.Issuer, of.KeysURL, of.MetadataURL
	default:
		config.URL = i.keysURL
	}
	transport, err := c.transport(ctx, e)
	if err != nil {
		return nil, err
	}
	w.recorder.base = transport
	config.HTTPClient, config.InsecureAllowHTTP = w.recorder.client(), c.insecureHTTP
	return jwks.New(config)
}

// exitCode tells a server that did not answer from one that answered nonsense.
func (w *watched) exitCode() int {
	switch w.event.Outcome {
	case jwks.OutcomeConnect, jwks.OutcomeTLS, jwks.OutcomeTimeout, jwks.OutcomeTruncated, jwks.OutcomeInterrupted:
		return exitOutage
	case jwks.OutcomeStatus:
		if w.event.Status >= 500 || w.event.Status == 429 {
			return exitOutage
		}
	}
	return exitFound
}

func (w *watched) report(status jwks.Status, now time.Time) keysReport {
	r := keysReport{Issuer: status.Issuer, At: now.UTC(), Documents: w.recorder.reports(now), JWKSURI: status.URL, Outcome: string(w.event.Outcome),
		State: string(status.State), TTLSeconds: status.TTL.Seconds(), Algorithms: status.Algorithms, Keys: []keyReport{}}
	if w.event.Err != nil {
		r.Error = strings.TrimPrefix(w.event.Err.Error(), "fetch: ")
	}
	set := w.file
	if set == nil {
		set = w.recorder.last()
	}
	var document map[string]json.RawMessage
	var all []json.RawMessage
	if json.Unmarshal(set, &document) == nil && json.Unmarshal(document["keys"], &all) == nil {
		for i, raw := range all[:min(len(all), jwks.DefaultMaxKeys)] {
			r.Keys = append(r.Keys, keyOf(i, raw, w.skipped[i], w.uses, now))
		}
	}
	r.Notes = r.notes()
	return r
}

// keyOf is what is to be said of one JWK. why is the reason for which it was skipped, "" if
// that is for [jwks.ParseKey] to say.
func keyOf(index int, raw []byte, why string, uses []string, now time.Time) keyReport {
	var jwk map[string]json.RawMessage
	_ = json.Unmarshal(raw, &jwk) // one that is no object has no members, and the library says why it is skipped
	text := func(name string) (s string) {
		_ = json.Unmarshal(jwk[name], &s)
		return s
	}
	k := keyReport{Index: index, KeyID: cut(text("kid")), Type: cut(text("kty")), Curve: cut(text("crv")), Use: cut(text("use")), Alg: cut(text("alg")), Why: why}
	if k.Type == "RSA" {
		if n, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text("n"), "=")); err == nil {
			k.Bits = new(big.Int).SetBytes(n).BitLen()
		}
	}
	if admitted, err := parseKey(raw, jwk, uses); err == nil {
		thumbprint := admitted.Thumbprint()
		k.Thumbprint = base64.RawURLEncoding.EncodeToString(thumbprint[:])
		k.Algorithms = admitted.Algorithms()
		if k.KeyID == "" {
			k.KeyID = admitted.ID()
		}
	} else if k.Why == "" {
		k.Why = strings.TrimPrefix(err.Error(), "jose: ")
	}
	if k.Admitted = k.Why == ""; !k.Admitted {
		k.Algorithms = nil
	}
	var chain []string
	_ = json.Unmarshal(jwk["x5c"], &chain)
	for _, encoded := range chain[:min(len(chain), 10)] {
		der, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			continue
		}
		if c, err := x509.ParseCertificate(der); err == nil {
			k.Certificates = append(k.Certificates, certificateOf(c, "", now))
		}
	}
	return k
}

// parseKey is [jwks.ParseKey] where the values of use that were allowed count as sig.
func parseKey(raw []byte, jwk map[string]json.RawMessage, uses []string) (jwks.Key, error) {
	var use string
	if json.Unmarshal(jwk["use"], &use) == nil && slices.Contains(uses, use) {
		delete(jwk, "use")
		var err error
		if raw, err = json.Marshal(jwk); err != nil {
			return jwks.Key{}, err
		}
	}
	return jwks.ParseKey(raw)
}

// maxText is how much of a text of a server is kept, in bytes.
const maxText = 1024

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// notes are what somebody should look at although nothing is refused for it.
func (r *keysReport) notes() (notes []string) {
	admitted, nameless := 0, 0
	ids := map[string]int{}
	for _, k := range r.Keys {
		for _, c := range k.Certificates {
			if c.DaysLeft < soon {
				notes = append(notes, fmt.Sprintf("key %d: a certificate in x5c has %d days left; the library does not look at that", k.Index, c.DaysLeft))
			}
		}
		if !k.Admitted {
			continue
		}
		admitted++
		if k.KeyID == "" {
			nameless++
		} else if ids[k.KeyID]++; ids[k.KeyID] == 2 {
			notes = append(notes, "several admitted keys have the kid "+quoted(k.KeyID))
		}
	}
	if nameless > 0 && admitted > 1 {
		notes = append(notes, fmt.Sprintf("%d of %d admitted keys have no kid: every token without one is tried under each that fits, up to four", nameless, admitted))
	}
	hosts := map[string]bool{}
	for _, d := range r.Documents {
		if d.Certificate != nil && d.Certificate.DaysLeft < soon && !hosts[d.host()] {
			hosts[d.host()] = true
			notes = append(notes, fmt.Sprintf("the TLS certificate of %s has %d days left", quoted(d.host()), d.Certificate.DaysLeft))
		}
		if skew := time.Duration(d.SkewSeconds) * time.Second; skew > 5*time.Second || skew < -5*time.Second {
			notes = append(notes, fmt.Sprintf("the clock of %s differs from the one here by %v: the leeway for exp, nbf and iat is 5 s by default", quoted(d.host()), skew))
		}
	}
	return notes
}

// earlierKeys reads the keys of earlier output, or of an export of the library.
func earlierKeys(data []byte) ([]keyReport, error) {
	var document map[string]json.RawMessage
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, usage("-compare: the file is not JSON")
	}
	var reported []keyReport
	if json.Unmarshal(document["keys"], &reported) == nil && document["outcome"] != nil {
		return reported, nil
	}
	if document["jwks"] != nil { // of Export
		if json.Unmarshal(document["jwks"], &document) != nil {
			return nil, usage("-compare: the file is neither output of keys -json nor an export")
		}
	}
	var all []json.RawMessage
	if json.Unmarshal(document["keys"], &all) != nil {
		return nil, usage("-compare: the file is neither output of keys -json nor an export")
	}
	for i, raw := range all[:min(len(all), jwks.DefaultMaxKeys)] {
		reported = append(reported, keyOf(i, raw, "", nil, time.Time{}))
	}
	return reported, nil
}

// comparison is what a rollout has changed. A key is known by its thumbprint and its kid.
type comparison struct {
	Added    []string `json:"added"`    // kid, or thumbprint of a key without one
	Removed  []string `json:"removed"`  // tokens that it signed are refused from now on
	Replaced []string `json:"replaced"` // a kid that now names another key
	Kept     int      `json:"kept"`
}

func compareKeys(before, after []keyReport) *comparison {
	type identity struct{ kid, thumbprint string }
	index := func(keys []keyReport) map[identity]bool {
		m := map[identity]bool{}
		for _, k := range keys {
			if k.Admitted {
				m[identity{k.KeyID, k.Thumbprint}] = true
			}
		}
		return m
	}
	c := &comparison{Added: []string{}, Removed: []string{}, Replaced: []string{}}
	was, is := index(before), index(after)
	gone := map[string]bool{} // the kids of those that are not there any more
	for k := range was {
		if !is[k] && k.kid != "" {
			gone[k.kid] = true
		}
	}
	replaced := map[string]bool{}
	for k := range is {
		switch {
		case was[k]:
			c.Kept++
		case gone[k.kid]:
			replaced[k.kid] = true
			c.Replaced = append(c.Replaced, k.kid)
		default:
			c.Added = append(c.Added, cmp.Or(k.kid, k.thumbprint))
		}
	}
	for k := range was {
		if !is[k] && !replaced[k.kid] {
			c.Removed = append(c.Removed, cmp.Or(k.kid, k.thumbprint))
		}
	}
	slices.Sort(c.Added)
	slices.Sort(c.Removed)
	slices.Sort(c.Replaced)
	return c
}

// text is the output for people.
func (r *keysReport) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if r.Issuer != "" {
		line("issuer   %s", quoted(r.Issuer))
	}
	for _, d := range r.Documents {
		d.write(line)
	}
	if r.JWKSURI != "" {
		line("key set  %s", quoted(r.JWKSURI))
	}
	if r.Error != "" {
		line("failed   %s", r.Error)
	} else {
		line("state    %s; the library asks again after %v: what Cache-Control says, or its default, within its bounds, a tenth more or less",
			r.State, time.Duration(r.TTLSeconds)*time.Second)
	}
	if r.Error == "" || len(r.Keys) > 0 {
		line("")
		line("keys     %d; algorithms that are verified: %s", len(r.Keys), cmp.Or(strings.Join(r.Algorithms, " "), "none"))
	}
	for _, k := range r.Keys {
		state := "admitted"
		if !k.Admitted {
			state = "skipped"
		}
		line("  %d %s: kid %s, %s", k.Index, state, quoted(k.KeyID), strings.Join(k.kind(), ", "))
		if k.Why != "" {
			line("      why         %s", k.Why)
		}
		if k.Admitted {
			line("      verifies    %s", strings.Join(k.Algorithms, " "))
		}
		if k.Thumbprint != "" {
			line("      thumbprint  %s", k.Thumbprint)
		}
		for _, c := range k.Certificates {
			line("      certificate %s, %d days left", c.NotAfter.Format(time.DateOnly), c.DaysLeft)
		}
	}
	if c := r.Compared; c != nil {
		line("")
		line("compared with the file: %d kept", c.Kept)
		for _, change := range []struct {
			what  string
			names []string
		}{{"added", c.Added}, {"removed", c.Removed}, {"replaced under its kid", c.Replaced}} {
			for _, name := range change.names {
				line("  %s: %s", change.what, quoted(name))
			}
		}
	}
	for _, n := range r.Notes {
		line("note: %s", n)
	}
	return b.String()
}

// kind is what the key says of itself.
func (k keyReport) kind() (kind []string) {
	kind = []string{"kty " + quoted(k.Type)}
	if k.Bits > 0 {
		kind[0] += fmt.Sprintf(" of %d bits", k.Bits)
	}
	for _, m := range []struct{ name, value string }{{"crv", k.Curve}, {"use", k.Use}, {"alg", k.Alg}} {
		if m.value != "" {
			kind = append(kind, m.name+" "+quoted(m.value))
		}
	}
	return kind
}

// hostOf is the host of a URL.
func hostOf(where string) string {
	u, err := url.Parse(where)
	if err != nil {
		return ""
	}
	return u.Host
}

// sha256Hex is a hash as certificates are commonly named by it.
func sha256Hex(sum [32]byte) string { return hex.EncodeToString(sum[:]) }
