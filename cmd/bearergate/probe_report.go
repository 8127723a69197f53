package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/bearergate/bearergate/jwks"
)

// state is what came of a step.
type state string

// The states. A warning is no fault: the step has passed.
const (
	stateOK      state = "ok"
	stateWarning state = "warning"
	stateFailed  state = "failed"
	stateUnknown state = "unknown" // an outage: it could not be found out
	stateSkipped state = "skipped"
)

// finding is what came of one step. Its texts are our own words, and what others wrote
// is quoted and cut in them; none holds a token, a secret or a body.
type finding struct {
	Step   string `json:"step"`
	State  state  `json:"state"`
	Reason string `json:"reason,omitempty"` // of a closed set, which labels metrics; "" where the step has passed
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`

	took  time.Duration
	timed bool // it made requests of its own
}

func passed(detail string) finding { return finding{State: stateOK, Detail: detail} }
func fault(reason, detail string) finding {
	return finding{State: stateFailed, Reason: reason, Detail: detail, Advice: advice[reason]}
}

func undecided(reason, detail string) finding {
	return finding{State: stateUnknown, Reason: reason, Detail: detail, Advice: advice[reason]}
}

func warning(reason, detail string) finding {
	return finding{State: stateWarning, Reason: reason, Detail: detail, Advice: advice[reason]}
}

func skipped(reason, detail string) finding {
	return finding{State: stateSkipped, Reason: reason, Detail: detail}
}

// The reasons. Those of a failed fetch are the outcomes of package jwks, and those of a
// token that the library refuses are of package bearergate.
const (
	reasonTimeout = "timeout"

	reasonNotAsked   = "not_asked"   // a flag is not set
	reasonNotReached = "not_reached" // a step before it has failed
	reasonOpaque     = "opaque"

	reasonUnreachable = "unreachable"

	reasonNoEndpoint     = "no_endpoint"
	reasonEndpoint       = "endpoint"
	reasonClient         = "client_refused"
	reasonGrant          = "grant_refused"
	reasonScope          = "scope_refused"
	reasonTarget         = "target_refused"
	reasonRequest        = "request_refused"
	reasonTokenMalformed = "token_malformed"
	reasonTokenType      = "token_type"

	reasonServerError        = "server_error"
	reasonUnavailable        = "unavailable"
	reasonThrottled          = "throttled"
	reasonRedirect           = string(jwks.OutcomeRedirect)
	reasonNotFound           = "not_found"
	reasonLoginPage          = "login_page"
	reasonStatus             = string(jwks.OutcomeStatus)
	reasonRefused            = "refused"
	reasonLacksScope         = "lacks_scope"
	reasonAcceptsRefused     = "accepts_refused"
	reasonOpen               = "open"
	reasonSignatureAccepted  = "signature_accepted"
	reasonForbiddenOpen      = "forbidden_open"
	reasonForbiddenNot401    = "forbidden_for_unauthorized"
	reasonRefusedNot403      = "unauthorized_for_forbidden"
	reasonChallengeMissing   = "challenge_missing"
	reasonChallengeMalformed = "challenge_malformed"
	reasonChallengeError     = "challenge_error"
	reasonChallengeBare      = "challenge_bare"
	reasonCacheable          = "cacheable"

	reasonUnsupported   = "unsupported_token_type"
	reasonStillAccepted = "still_accepted"

	reasonPlain   = "no_tls"
	reasonExpired = "expired"
	reasonExpires = "expires_soon"
	reasonNoDate  = "no_date"
	reasonSkew    = "skew"
)

// danger begins the advice on what lets strangers in: it is told on standard error too.
const danger = "DANGER: "

// advice says what to do, for each reason that is a fault, an outage or a warning.
var advice = map[string]string{ //nolint:gosec // words about tokens are no tokens
	reasonTimeout: "Look which step took long, and give -timeout more time if that is right.",

	reasonUnreachable:               "See whether the host can be reached from here, and whether it runs.",
	string(jwks.OutcomeTLS):         "Look at the certificate of the server; a CA of your own is given with -ca.",
	string(jwks.OutcomeContentType): "Look at what stands in front of the server: a login page or an error page is no JSON.",
	string(jwks.OutcomeTooLarge):    "Look at what answers under this URL: it sends more than any document of its kind has.",
	string(jwks.OutcomeTruncated):   "Look at the server, and at what stands in front of it: the answer broke off.",
	string(jwks.OutcomeMalformed):   "Look at the document: it is not the JSON that it should be.",
	string(jwks.OutcomeTooManyKeys): "Have the server withdraw keys that are no longer used.",
	string(jwks.OutcomeNoUsableKey): "Have the server publish a key that this library admits: those that are there are skipped, with the reason.",
	string(jwks.OutcomeIssuer):      "Give -issuer exactly as the metadata name it, and have the API do so too; if the metadata are wrong, tokens of this server are refused.",
	string(jwks.OutcomeJWKSURI):     "Have the server publish an https jwks_uri, or give -keys-url.",
	string(jwks.OutcomePanic):       "This is a defect of this program: report it.",

	reasonNoEndpoint:     "Have the server name the endpoint in its metadata, or give it by -token-endpoint or -revocation-endpoint.",
	reasonEndpoint:       "An endpoint gets the secret of the client: it has to be https, or http on loopback like the issuer.",
	reasonClient:         "Compare -client-id, the secret and -client-auth with the registration of the client at the server.",
	reasonGrant:          "Allow the client the client credentials grant at the server.",
	reasonScope:          "Compare -scope with what the server may grant to this client.",
	reasonTarget:         "Compare -resource with the APIs that the server knows.",
	reasonRequest:        "See the log of the server for why it refuses the request; many want -resource, -ask-audience or -scope.",
	reasonTokenMalformed: "Look at what answers at the token endpoint: its answer has to be that of RFC 6749 §5.1.",
	reasonTokenType:      "Register a client for the probe whose tokens are not bound to a key: it sends Bearer tokens.",

	reasonServerError:        "The API is out of order: see its log. A 500 of this library is a mistake in its configuration.",
	reasonUnavailable:        "The API cannot tell whether the token is good: see whether it reaches its authorization server, and its log.",
	reasonThrottled:          "Let the probe through the limit, or run it less often.",
	reasonRedirect:           "Give the URL that it leads to, or take away the login that redirects. A token is never sent after a redirect.",
	reasonNotFound:           "Give a URL that answers GET.",
	reasonLoginPage:          "What answers is a page for people, such as that of a login in front of the API: give a URL of the API itself. If it really answers with HTML, say so with -html.",
	reasonStatus:             "Look at the URL, and at the log of the server.",
	reasonRefused:            "The API refuses a good token: see the reason in its log. Where the step verify has failed too, start there.",
	reasonLacksScope:         "The token lacks a scope that this route demands: ask for it with -scope, or give another URL.",
	reasonAcceptsRefused:     "Give -issuer and -audience as the API configures them. If they are so, the API does not check what this library checks: see the step verify for what that is.",
	reasonOpen:               danger + "the API answers without a token. Put the gate in front of this route.",
	reasonSignatureAccepted:  danger + "the API accepts a token whose signature is broken, so anybody can make tokens for it. Take it off the network, and find out what checks its tokens.",
	reasonForbiddenOpen:      danger + "the token opens a route that it must not. Look at what that route demands, or give -forbidden-url another one.",
	reasonForbiddenNot401:    "The API answers 403 where RFC 6750 §3.1 has 401: clients do not get a new token then.",
	reasonRefusedNot403:      "The API answers 401 where RFC 6750 §3.1 has 403: clients throw a good token away then, and ask for another for ever.",
	reasonChallengeMissing:   "Have the API send a WWW-Authenticate header with the Bearer scheme (RFC 6750 §3); see whether a proxy takes it out.",
	reasonChallengeMalformed: "Have the API send a WWW-Authenticate header as RFC 9110 §11.6.1 has it: names and values, the values in quotes, commas between them.",
	reasonChallengeError:     "Have the API send the error code that RFC 6750 §3.1 has for this refusal. For a 403, give a -forbidden-url whose route demands a scope that the token lacks.",
	reasonChallengeBare:      "Have the API send a realm, or another parameter: RFC 6750 §3 demands at least one.",
	reasonCacheable:          "Have the API send Cache-Control: no-store with refusals, so that no cache keeps one.",

	reasonUnsupported:   "The server does not revoke tokens of this kind: run the probe without -revoke, or have it issue tokens that it can revoke.",
	reasonStillAccepted: danger + "a revoked token goes on opening the API. Where that is meant, as with JWTs that nobody asks about, run the probe without -revoke, or give -revoked-within the time that is promised.",

	reasonExpired: "The certificate has expired: renew it.",
	reasonExpires: "Renew the certificate, and see why that was not done by itself.",
	reasonSkew:    "Set the clock of that server, or of this machine: tokens are refused as expired or as not yet valid.",
}

// ofFetch is a fetch of the library that failed, without a word of the other side but the
// issuer that its metadata name, which is quoted.
func ofFetch(e jwks.FetchEvent) finding {
	detail := strings.TrimPrefix(e.Detail, "jose: ")
	switch e.Outcome {
	case jwks.OutcomeIssuer, jwks.OutcomeJWKSURI, jwks.OutcomeRedirect, jwks.OutcomeContentType:
	default: // what follows is advice for who writes a program; ours is for who gives flags
		detail, _, _ = strings.Cut(detail, ": ")
	}
	switch {
	case e.Outcome == jwks.OutcomeConnect, e.Outcome == jwks.OutcomeTimeout, e.Outcome == jwks.OutcomeInterrupted, e.Status >= 500, e.Status == 429:
		return undecided(reasonUnreachable, detail)
	}
	return fault(string(e.Outcome), detail)
}

// ofTransport is a request of our own that failed. The text of the error is not told: it
// may repeat what the other side wrote.
func ofTransport(err error) finding {
	var (
		timeout interface{ Timeout() bool }
		network *net.OpError
		dns     *net.DNSError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	isTLS := func(detail string) finding { return fault(string(jwks.OutcomeTLS), detail) }
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return isTLS("the certificate has expired, or is not valid yet")
	case errors.As(err, &host):
		return isTLS("the certificate is for another host")
	case errors.As(err, &unknown):
		return isTLS("the certificate is signed by an unknown authority")
	case errors.As(err, &verify), errors.As(err, &invalid):
		return isTLS("the certificate is not valid")
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return isTLS("the answer is not TLS")
	case errors.As(err, &alert), errors.As(err, &network) && (network.Op == "remote error" || network.Op == "local error"): // how crypto/tls reports an alert
		return isTLS("the other side ended the handshake")
	case errors.As(err, &timeout) && timeout.Timeout():
		return undecided(reasonUnreachable, "no answer in time")
	case errors.As(err, &dns):
		return undecided(reasonUnreachable, "the name of the host was not resolved")
	case errors.Is(err, syscall.ECONNREFUSED):
		return undecided(reasonUnreachable, "the connection was refused")
	}
	return undecided(reasonUnreachable, "the connection failed, or broke off")
}

// report is the result of a probe.
type report struct {
	Name       string
	Began      time.Time
	Took       time.Duration
	Steps      []finding
	expires    map[server]time.Time
	skews      map[server]skew
	revoked    time.Duration
	hasRevoked bool
}

// exit is the code to exit with: a fault counts for more than what could not be found out.
func (r report) exit() int {
	code := exitOK
	for _, f := range r.Steps {
		switch f.State {
		case stateFailed:
			return exitFound
		case stateUnknown:
			code = exitOutage
		}
	}
	return code
}

// writeTable writes what people read.
func (r report) writeTable(out io.Writer) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STEP\tSTATE\tTIME\tFOUND")
	count := map[state]int{}
	for _, f := range r.Steps {
		count[f.State]++
		took := "-"
		if f.timed {
			took = strconv.FormatFloat(f.took.Seconds(), 'f', 3, 64) + " s"
		}
		found := f.Detail
		if f.Reason != "" {
			found = f.Reason + ": " + f.Detail
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Step, f.State, took, found)
	}
	_ = t.Flush() // to memory
	for _, f := range r.Steps {
		if f.Advice != "" {
			fmt.Fprintf(&b, "\n%s: %s\n", f.Step, f.Advice)
		}
	}
	fmt.Fprintf(&b, "\n%d ok, %d warning, %d failed, %d unknown, %d skipped\n",
		count[stateOK], count[stateWarning], count[stateFailed], count[stateUnknown], count[stateSkipped])
	_, err := out.Write(b.Bytes())
	return err
}

// document is the report as JSON, with units in the names.
func (r report) document() any {
	type step struct {
		finding
		Seconds *float64 `json:"duration_seconds,omitempty"`
	}
	type perServer struct {
		Server  server   `json:"server"`
		Expires *string  `json:"certificate_expiry,omitempty"`
		Skew    *float64 `json:"skew_seconds,omitempty"`
		Within  *float64 `json:"skew_within_seconds,omitempty"`
	}
	type document struct {
		Name       string      `json:"name"`
		Began      string      `json:"began"`
		Seconds    float64     `json:"duration_seconds"`
		Exit       int         `json:"exit"`
		Steps      []step      `json:"steps"`
		Servers    []perServer `json:"servers"`
		Revocation *float64    `json:"revocation_seconds,omitempty"`
	}
	d := document{Name: r.Name, Began: r.Began.UTC().Format(time.RFC3339), Seconds: r.Took.Seconds(), Exit: r.exit(), Steps: []step{}, Servers: []perServer{}}
	for _, f := range r.Steps {
		s := step{finding: f}
		if f.timed {
			s.Seconds = new(f.took.Seconds())
		}
		d.Steps = append(d.Steps, s)
	}
	for _, s := range servers {
		at, secure := r.expires[s]
		by, dated := r.skews[s]
		one := perServer{Server: s}
		if secure {
			one.Expires = new(at.UTC().Format(time.RFC3339))
		}
		if dated {
			one.Skew, one.Within = new(by.ahead.Seconds()), new(by.within.Seconds())
		}
		if secure || dated {
			d.Servers = append(d.Servers, one)
		}
	}
	if r.hasRevoked {
		d.Revocation = new(r.revoked.Seconds())
	}
	return d
}

// writeMetrics writes the text format of Prometheus. Every label has a closed set of
// values but probe, which is that of the flag -name.
func (r report) writeMetrics(out io.Writer) error {
	var b bytes.Buffer
	family := func(name, help string) func(value float64, labels ...string) {
		head := fmt.Sprintf("# HELP %[1]s %[2]s\n# TYPE %[1]s gauge\n", name, help)
		return func(value float64, labels ...string) {
			b.WriteString(head)
			head = ""
			b.WriteString(name + "{probe=\"" + r.Name + `"`)
			for i := 0; i+1 < len(labels); i += 2 {
				b.WriteString("," + labels[i] + `="` + labels[i+1] + `"`)
			}
			b.WriteString("} " + strconv.FormatFloat(value, 'f', -1, 64) + "\n")
		}
	}
	success := family("bearergate_probe_success", "1 if the step has passed, 0 if it has not; a step that was skipped is not there.")
	for _, f := range r.Steps {
		if f.State != stateSkipped {
			success(map[bool]float64{true: 1}[f.State == stateOK || f.State == stateWarning], "step", f.Step)
		}
	}
	reasons := family("bearergate_probe_finding", "Always 1: why a step has not passed, or the warning that it has passed with.")
	for _, f := range r.Steps {
		if f.State != stateSkipped && f.Reason != "" {
			reasons(1, "step", f.Step, "state", string(f.State), "reason", f.Reason)
		}
	}
	took := family("bearergate_probe_duration_seconds", "How long the step took.")
	for _, f := range r.Steps {
		if f.timed {
			took(f.took.Seconds(), "step", f.Step)
		}
	}
	expires := family("bearergate_probe_certificate_expiry_timestamp_seconds", "When the certificate of the server ends, or the earliest of its chain.")
	for _, s := range servers {
		if at, ok := r.expires[s]; ok {
			expires(float64(at.Unix()), "server", string(s))
		}
	}
	ahead := family("bearergate_probe_skew_seconds", "How far the clock of the server is ahead of ours, by its Date header.")
	for _, s := range servers {
		if by, ok := r.skews[s]; ok {
			ahead(by.ahead.Seconds(), "server", string(s))
		}
	}
	if r.hasRevoked {
		family("bearergate_probe_revocation_seconds", "How long after its revocation the API refused the token.")(r.revoked.Seconds())
	}
	family("bearergate_probe_exit_code", "What the probe has exited with: 0 all is well, 1 a fault was found, 3 it could not be found out.")(float64(r.exit()))
	family("bearergate_probe_last_run_timestamp_seconds", "When the probe has run.")(float64(r.Began.UnixMilli()) / 1000)
	_, err := out.Write(b.Bytes())
	return err
}

// writeFile replaces a file in one step, so that nobody reads half of it: the textfile
// collector of the node exporter reads at any time. The temporary name does not end in
// .prom, which is what that collector looks for.
//
// What is there and is no regular file is left alone: root may replace a device.
func (r report) writeFile(name string) (err error) {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return errors.New("what has this name is no regular file: give the name of a file, or - for standard output")
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = r.writeMetrics(f); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil { // the collector runs as another user
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
