package fetch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Outcome is how a fetch ended: a closed set, fit for a metric label.
type Outcome string

// The outcomes of [Client.Get], and of those who read what it brought.
const (
	OK          Outcome = "ok"
	NotModified Outcome = "not_modified" // 304: what is held is still right

	Connect     Outcome = "connect"      // name resolution, connection, or broken off before an answer
	TLS         Outcome = "tls"          // handshake or certificate
	Timeout     Outcome = "timeout"      // no complete answer in time
	Status      Outcome = "status"       // neither 200 nor the 304 that was asked for
	Redirect    Outcome = "redirect"     // a redirect that is not followed
	ContentType Outcome = "content_type" // media type or content encoding
	TooLarge    Outcome = "too_large"    // more bytes than allowed
	Truncated   Outcome = "truncated"    // the body ended early or does not decompress
	File        Outcome = "file"         // a local file could not be read

	Malformed   Outcome = "malformed"     // not the JSON that it should be
	TooManyKeys Outcome = "too_many_keys" // a key set with more keys than allowed
	NoUsableKey Outcome = "no_usable_key" // a key set without any key that is admitted
	Issuer      Outcome = "issuer"        // a metadata document of another issuer
	JWKSURI     Outcome = "jwks_uri"      // a metadata document whose jwks_uri is missing or not allowed
	Panic       Outcome = "panic"         // the HTTP client panicked or ended its goroutine
)

// Error is a failed fetch. Its text is bounded and holds nothing of the body.
type Error struct {
	Outcome    Outcome
	URL        string        // what was asked, without its query: see [Bare]
	Status     int           // HTTP status, for Status and Redirect; else 0
	RetryAfter time.Duration // what the server asked for, at most MaxRetryAfter; 0 if nothing
	Server     Server        // who answered; the zero Server if nobody did
	detail     string
	cause      error
}

// Fail returns an error of the given outcome. detail must not come from the
// other side.
func Fail(o Outcome, url, detail string) *Error {
	return &Error{Outcome: o, URL: Bare(url), detail: detail}
}

// Error returns a text for operators.
func (e *Error) Error() string {
	text := fmt.Sprintf("fetch: %s: %s", e.Where(), e.Outcome)
	if detail := e.Detail(); detail != "" {
		text += ": " + detail
	}
	if e.cause != nil {
		text += ": " + bounded(e.cause.Error(), 256)
	}
	return text
}

// Rest is what Error tells and Detail does not: where it was, and what is underneath. It is
// for whoever has told the Outcome and the Detail already.
func (e *Error) Rest() string {
	if e.cause == nil {
		return e.Where()
	}
	return e.Where() + ": " + bounded(e.cause.Error(), 256)
}

// Where is the URL, bounded and without its query, which may hold an API key.
func (e *Error) Where() string {
	where, _, _ := strings.Cut(e.URL, "?")
	return bounded(where, 256)
}

// With returns a copy of e whose Detail goes on with more, for whoever knows what the
// fetch was for. more must not come from the other side.
func (e *Error) With(more string) *Error {
	out := *e
	out.detail = strings.TrimPrefix(e.Detail()+more, "; ")
	return &out
}

// Detail says what went wrong and what to look at, in our own words, which nobody else
// had a hand in; "" if the Outcome is all that can be said so. It is fit for any log.
func (e *Error) Detail() string {
	if e.detail != "" || e.cause == nil {
		return e.detail
	}
	var (
		dns     *net.DNSError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		alert   tls.AlertError
	)
	switch {
	case errors.As(e.cause, &dns) && dns.IsNotFound:
		return "no such host: check the name in the URL, and the name server of this machine"
	case errors.As(e.cause, &dns):
		return "the name server does not answer: check the DNS settings of this machine"
	case errors.As(e.cause, &host):
		return "the certificate is for another host: use a host that it names, or have it issued for this one"
	case errors.As(e.cause, &unknown):
		return "the certificate is signed by an unknown authority: trust its CA by RootCAs in the transport of HTTPClient, and see that this machine or image has CA certificates at all"
	case errors.As(e.cause, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired, or is not valid yet: renew it, or set the clock of this machine"
	case errors.As(e.cause, &invalid):
		return "the certificate is not valid for this use: have it issued for a server, by a CA that may do so"
	case errors.As(e.cause, &alert):
		return "the other side ended the handshake: see whether it wants a client certificate (HTTPClient), and which versions of TLS it takes"
	case errors.Is(e.cause, syscall.ECONNREFUSED):
		return "the connection was refused: check the host and the port, and that the server runs"
	case errors.Is(e.cause, syscall.ECONNRESET):
		return "the connection was reset: look for a firewall or a proxy in between"
	case errors.Is(e.cause, syscall.ENETUNREACH), errors.Is(e.cause, syscall.EHOSTUNREACH):
		return "there is no way to the host: check the routes of this machine; a proxy has to be set in HTTPClient"
	case errors.Is(e.cause, io.EOF), errors.Is(e.cause, io.ErrUnexpectedEOF):
		return "the connection ended before the answer did: see the log of the server, or of the proxy in front of it"
	case errors.Is(e.cause, http.ErrSchemeMismatch):
		return notTLS
	case errors.Is(e.cause, os.ErrNotExist):
		return "there is no such file: check the path"
	case errors.Is(e.cause, os.ErrPermission):
		return "the file may not be read: let the user of this process read it"
	}
	return ""
}

const notTLS = "the answer is not TLS: check the port, and whether the server speaks http there"

// Unwrap returns the network, TLS or file error underneath, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// failed classifies an error of http.Client or of a body.
//
// Only errors of known types are kept: others may quote the peer at length (a
// malformed status line, or the token endpoint's answer in an OAuth transport).
// Our own deadline is not kept either, so that it cannot be taken for the
// caller's.
func failed(ctx context.Context, url string, err error) *Error {
	e := &Error{Outcome: Connect, URL: Bare(url)}
	var (
		netErr    *net.OpError
		dnsErr    *net.DNSError
		certErr   *tls.CertificateVerificationError
		recordErr tls.RecordHeaderError
		alert     tls.AlertError
		host      x509.HostnameError
		unknown   x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		timeout   interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, errRedirect):
		e.Outcome, e.cause = Redirect, errRedirect
		if to, ok := errors.AsType[redirectError](err); ok {
			e.cause, e.detail = nil, strings.TrimPrefix(to.Error(), "fetch: ")
		}
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		e.Outcome, e.detail = Timeout, "no complete answer in time: check that the host can be reached from here; a proxy has to be set in HTTPClient"
	case errors.As(err, &certErr):
		e.Outcome, e.cause = TLS, certErr
	case errors.As(err, &host):
		e.Outcome, e.cause = TLS, host
	case errors.As(err, &unknown):
		e.Outcome, e.cause = TLS, unknown
	case errors.As(err, &invalid):
		e.Outcome, e.cause = TLS, invalid
	case errors.As(err, &alert):
		e.Outcome, e.cause = TLS, alert
	case errors.As(err, &recordErr):
		e.Outcome, e.detail = TLS, notTLS
	case errors.Is(err, http.ErrSchemeMismatch):
		e.Outcome, e.cause = TLS, http.ErrSchemeMismatch
	case errors.As(err, &dnsErr):
		e.cause = dnsErr
	case errors.As(err, &netErr):
		e.cause = netErr
		if netErr.Op == "remote error" || netErr.Op == "local error" { // how crypto/tls reports an alert
			e.Outcome = TLS
		}
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.cause = io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		e.cause = io.EOF
	default:
		e.detail = cmp.Or(ofProxy(innermost(err)), fmt.Sprintf("%T", innermost(err)))
	}
	return e
}

// ofProxy says that a proxy refused to connect: net/http then returns the text of its
// status, as an error without a type. Only texts of the standard are told.
func ofProxy(err error) string {
	text := err.Error()
	for status := 300; status < 600; status++ {
		if text != "" && text == http.StatusText(status) {
			return "a proxy answered " + strconv.Itoa(status) + " " + text + ": " + cmp.Or(map[int]string{
				http.StatusProxyAuthRequired: "give its user and password in the transport of HTTPClient",
				http.StatusForbidden:         "have it allow the host",
			}[status], "see its log, and whether it reaches the host")
		}
	}
	return ""
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// ReadFile is the counterpart of [Client.Get] for a local file.
func ReadFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, &Error{Outcome: File, URL: name, cause: err}
	}
	if !info.Mode().IsRegular() { // opening a pipe may take for ever
		return nil, Fail(File, name, "not a regular file: give the path of the file itself")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &Error{Outcome: File, URL: name, cause: err}
	}
	defer f.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case int64(len(body)) > limit:
		return nil, tooLarge(name, limit)
	case err != nil:
		return nil, &Error{Outcome: File, URL: name, cause: err}
	}
	return body, nil
}

// bounded cuts what is long and quotes what is not plain ASCII, so that a
// remote name cannot write into a log line.
func bounded(s string, limit int) string {
	cut := ""
	if len(s) > limit {
		s, cut = s[:limit], "..."
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
		s = strings.Trim(strconv.QuoteToASCII(s), `"`)
	}
	return s + cut
}
