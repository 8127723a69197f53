package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"slices"
	"strings"
)

// Format is how a proxy writes the client's certificate into a header. All are read
// strictly: what is malformed is refused.
type Format string

// The formats, all of them.
const (
	// RFC9440 is Client-Cert: the DER in base64 between colons (RFC 9440 §2.1), without
	// parameters.
	RFC9440 Format = "rfc9440"
	// XFCC is Envoy's x-forwarded-client-cert. Of the element that counts, Cert is read,
	// else Hash; if both are there, they must agree. Chain is ignored.
	//
	// Danger: Envoy does not quote the names that it passes on with uri and dns: a client
	// that can have any name certified, for example because its certificate is
	// self-signed, writes pairs and elements with it. Leave these two out there.
	XFCC Format = "xfcc"
	// EscapedPEM is a percent-encoded PEM block: nginx's $ssl_client_escaped_cert.
	EscapedPEM Format = "escaped-pem"
	// Traefik is what its passTLSClientCert writes into X-Forwarded-Tls-Client-Cert: the
	// DER in base64, percent-encoded by old versions; several are separated by commas,
	// the client's first.
	Traefik Format = "traefik"
	// Base64DER is the DER in base64: HAProxy's %[ssl_c_der,base64]. Between colons, that is
	// RFC9440.
	Base64DER Format = "base64-der"
)

func (f Format) known() bool {
	return slices.Contains([]Format{RFC9440, XFCC, EscapedPEM, Traefik, Base64DER}, f)
}

// certificate reads the values of the entry's header.
func (f *Forwarded) certificate(values []string) (thumbprint, error) {
	switch {
	case len(values) > 1:
		return thumbprint{}, unproven("the header with the certificate is there more than once: have the proxy replace what the client sent (RFC 9440 section 2.2)")
	case len(values) == 0 || values[0] == "":
		return thumbprint{}, unproven("the proxy has passed on no certificate: the client has shown none, or the proxy is not set to ask for it and pass it on")
	case len(values[0]) > MaxHeaderBytes:
		return thumbprint{}, unproven("the header with the certificate is too long: have the proxy send the client's certificate alone")
	}
	t, wrong := f.parse(values[0])
	if wrong != "" {
		return thumbprint{}, unproven("the header with the certificate is malformed: " + wrong + "; see that Format is what the proxy writes")
	}
	return t, nil
}

// parse returns the thumbprint of the certificate in a header, or what is wrong, in
// fixed words.
func (f *Forwarded) parse(value string) (t thumbprint, wrong string) {
	if f.Format == XFCC {
		return parseXFCC(value, f.Hops)
	}
	var der []byte
	switch f.Format {
	case RFC9440:
		der, wrong = parseByteSequence(value)
	case EscapedPEM:
		der, wrong = parseEscapedPEM(value)
	case Traefik:
		der, wrong = parseTraefik(value)
	case Base64DER:
		der, wrong = parseBase64(value)
	default:
		return t, "its Format is unknown"
	}
	if wrong != "" {
		return t, wrong
	}
	return sha256.Sum256(der), ""
}

// parseByteSequence reads an Item of type Byte Sequence (RFC 8941 §3.3.5). Parameters
// are refused: RFC 9440 §2.1 defines none, and no proxy writes any.
func parseByteSequence(value string) (der []byte, wrong string) {
	inner, opened := strings.CutPrefix(value, ":")
	inner, closed := strings.CutSuffix(inner, ":")
	if !opened || !closed {
		return nil, "it is not a byte sequence between colons (RFC 9440 section 2.1)"
	}
	return parseBase64(inner)
}

// parseBase64 reads exactly one certificate in base64, with its padding.
func parseBase64(value string) (der []byte, wrong string) {
	// The decoder would skip line breaks, which are no base64.
	der, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil || strings.ContainsAny(value, "\r\n") {
		return nil, "the certificate is not base64"
	}
	return certificateOf(der)
}

// certificateOf returns der if it is exactly one certificate.
func certificateOf(der []byte) ([]byte, string) {
	if len(der) > MaxCertificateBytes {
		return nil, "the certificate is too long"
	}
	c, err := x509.ParseCertificate(der)
	if err != nil || !bytes.Equal(c.Raw, der) {
		return nil, "it holds no certificate that crypto/x509 can parse, or something behind it"
	}
	return der, ""
}

const beginPEM, endPEM = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----"

// parseEscapedPEM reads exactly one PEM block of a certificate, percent-encoded.
func parseEscapedPEM(value string) (der []byte, wrong string) {
	text, err := url.PathUnescape(value) // which leaves + as it is
	if err != nil {
		return nil, "it is not percent-encoded"
	}
	// pem.Decode looks for a block anywhere and passes over what it cannot read: so the
	// text has to begin and end with the only one.
	if !strings.HasPrefix(text, beginPEM) || !strings.HasSuffix(strings.TrimSuffix(text, "\n"), endPEM) || strings.Count(text, "-----BEGIN") != 1 {
		return nil, "it is not one PEM block of a certificate"
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(block.Headers) > 0 || len(rest) > 0 {
		return nil, "it is not one PEM block of a certificate"
	}
	return certificateOf(block.Bytes)
}

// parseTraefik reads the first of several certificates; the others have to be
// certificates too.
func parseTraefik(value string) (der []byte, wrong string) {
	count := 0
	for part := range strings.SplitSeq(value, ",") {
		if strings.Contains(part, "%") { // of an old version; one without + / = is as it was
			if strings.ContainsAny(part, "+/=") { // those it would have encoded
				return nil, "it is percent-encoded in part"
			}
			text, err := url.PathUnescape(part)
			if err != nil {
				return nil, "it is not percent-encoded"
			}
			part = text // which may have commas
		}
		for one := range strings.SplitSeq(part, ",") {
			if count == maxChain {
				return nil, "it holds too many certificates"
			}
			read, wrong := parseBase64(one)
			if wrong != "" {
				return nil, wrong
			}
			if count == 0 {
				der = read
			}
			count++
		}
	}
	return der, ""
}

// maxChain is how many certificates Traefik may pass on.
const maxChain = 8

// parseXFCC reads the element that counts of an x-forwarded-client-cert header. All of
// the others have to be well-formed, so that no quote of one opens within another.
func parseXFCC(value string, hops int) (t thumbprint, wrong string) {
	elements, wrong := splitXFCC(value)
	switch {
	case wrong != "":
		return t, wrong
	case hops == 0 && len(elements) != 1:
		return t, "it has more than one element: set the proxy to SANITIZE_SET, or Hops"
	case hops > len(elements):
		return t, "it has fewer elements than Hops"
	}
	return elements[len(elements)-max(hops, 1)].thumbprint()
}

// element is what one proxy says of its client. An empty value says nothing.
type element struct{ cert, hash string }

const notHash = "Hash is not a SHA-256 in hexadecimal digits"

// thumbprint prefers the certificate to its hash.
func (e element) thumbprint() (t thumbprint, wrong string) {
	if e.hash == "" && e.cert == "" {
		return t, "its element has neither Cert nor Hash: set set_current_client_cert_details to cert: true"
	}
	if e.hash != "" {
		if len(e.hash) != hex.EncodedLen(len(t)) {
			return t, notHash
		}
		if _, err := hex.Decode(t[:], []byte(e.hash)); err != nil {
			return thumbprint{}, notHash
		}
	}
	if e.cert == "" {
		return t, ""
	}
	der, wrong := parseEscapedPEM(e.cert)
	if wrong != "" {
		return thumbprint{}, wrong
	}
	if of := thumbprint(sha256.Sum256(der)); e.hash == "" || of == t {
		return of, ""
	}
	return thumbprint{}, "Hash is not that of Cert"
}

// splitXFCC splits by commas, then by semicolons, neither within quotes.
func splitXFCC(s string) (elements []element, wrong string) {
	for {
		if len(elements) == MaxHops {
			return nil, "it has too many elements"
		}
		var e element
		var more bool
		if e, s, more, wrong = nextElement(s); wrong != "" {
			return nil, wrong
		}
		elements = append(elements, e)
		if !more {
			return elements, ""
		}
	}
}

// nextElement reads one element, and the comma behind it. A key that is there twice is
// refused, whatever its case; URI and DNS alone may be, as certificates have several, and By,
// which are those of the proxy's own.
func nextElement(s string) (e element, rest string, more bool, wrong string) {
	var seen []string
	for {
		key, after, found := strings.Cut(s, "=")
		key = strings.ToLower(key)
		if !found || key == "" || strings.ContainsFunc(key, func(c rune) bool { return c < 'a' || c > 'z' }) {
			return e, "", false, "it is not key=value"
		}
		if slices.Contains(seen, key) && key != "uri" && key != "dns" && key != "by" {
			return e, "", false, "a key is there twice"
		}
		seen = append(seen, key)
		value, after, wrong := nextValue(after)
		if wrong != "" {
			return e, "", false, wrong
		}
		switch key {
		case "cert":
			e.cert = value
		case "hash":
			e.hash = value
		}
		if after == "" {
			return e, "", false, ""
		}
		s = after[1:]
		if after[0] == ',' {
			return e, s, true, ""
		}
		if len(seen) == maxPairs {
			return e, "", false, "it has too many pairs"
		}
	}
}

// maxPairs is how many pairs an element may have: each alternative name is one.
const maxPairs = 256

// nextValue reads a value, quoted or not. What follows it begins with a comma or a
// semicolon, or is empty.
func nextValue(s string) (value, after, wrong string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, `,;"=`)
		switch {
		case end < 0:
			return s, "", ""
		case s[end] == '"' || s[end] == '=':
			// Envoy quotes a value that has , ; or =. A quote within one that is not
			// quoted is read in two ways.
			return "", "", "a value that should be quoted is not"
		}
		return s[:end], s[end:], ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			after = s[i+1:]
			if after != "" && after[0] != ',' && after[0] != ';' {
				return "", "", "something follows a quoted value"
			}
			return b.String(), after, ""
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", "a quote does not end"
}
