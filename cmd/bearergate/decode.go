package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// decodedToken is the JSON of decode.
type decodedToken struct {
	Verified bool `json:"verified"` // false, always: no signature is checked
	Bytes    int  `json:"bytes"`
	Parts    int  `json:"parts"`
	// Header and Claims are there if they are one JSON object with distinct names. What is
	// not, but begins as an object, is in HeaderText and ClaimsText as far as it could be
	// decoded, quoted and cut. Anything else is not shown: opaque tokens may have points.
	Header     json.RawMessage `json:"header,omitempty"`
	HeaderText string          `json:"header_text,omitempty"`
	Claims     json.RawMessage `json:"claims,omitempty"`
	ClaimsText string          `json:"claims_text,omitempty"`
	Times      []claimTime     `json:"times,omitempty"`
	// Faults are why every API refuses the token, whatever its keys.
	Faults []string `json:"faults"`
	Notes  []string `json:"notes,omitempty"`

	// For text: what is an object at all, with the names that it has twice.
	header, claims json.RawMessage
}

// claimTime is a claim that is a time.
type claimTime struct {
	Claim    string `json:"claim"`
	Time     string `json:"time"`     // RFC 3339
	Relative string `json:"relative"` // "in 5m0s", "2h0m0s ago"
}

func decode(ctx context.Context, e *env, args []string) error {
	flags := newFlags("decode", `
Prints header and claims of a token, unverified, with what is wrong with their form. The
signature is neither checked nor printed. Nothing is fetched. The token comes from standard
input or a file: bare, or as an Authorization header, also as curl has it. The exit code is
1 if every API would refuse the token, whatever its keys: it is malformed, or expired.`)
	tokenFile := flags.String("token-file", "-", "`file` with the token; - is standard input")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(e, flags, args); err != nil {
		return err
	}
	token, err := e.token(ctx, *tokenFile)
	if err != nil {
		return err
	}
	d := decodeToken(ctx, token.Reveal(), e.now())
	if *asJSON {
		err = e.json(d)
	} else {
		_, err = fmt.Fprint(e.stdout, d.text())
	}
	if err == nil && len(d.Faults) > 0 {
		err = found{code: exitFound}
	}
	return err
}

// decodeToken says all that can be said of a token without a key.
func decodeToken(ctx context.Context, token string, now time.Time) decodedToken {
	parts := strings.Split(token, ".")
	d := decodedToken{Bytes: len(token), Parts: len(parts), Faults: []string{}}
	switch {
	case len(parts) == 5:
		d.faultf("the token is encrypted (five parts): its claims cannot be read here, and no API that verifies signatures accepts it")
	case len(parts) == 1:
		d.faultf("the token is opaque (one part): it says nothing itself, and its authorization server has to be asked: bearergate explain -introspect")
		return d
	case len(parts) != 3:
		d.faultf("the token has %d parts, and a signed one has three: header, claims, signature", len(parts))
	}
	var header, claims []byte
	header, d.header, d.Header, d.HeaderText = d.part("header", parts[0])
	if len(parts) != 3 {
		return d
	}
	claims, d.claims, d.Claims, d.ClaimsText = d.part("claims", parts[1])
	if _, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil {
		d.faultf("signature: not base64url without padding")
	} else if parts[2] == "" {
		d.faultf("signature: there is none")
	}
	d.times(now)
	if len(d.Faults) == 0 {
		d.judge(ctx, token, parts[1], header, claims, now)
	}
	return d
}

func (d *decodedToken) faultf(format string, args ...any) {
	d.Faults = append(d.Faults, fmt.Sprintf(format, args...))
}

func (d *decodedToken) notef(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// part decodes the header or the claims. It returns what was decoded, the same if that is an
// object, the same if that is a strict one, and a text if it is not.
func (d *decodedToken) part(name, encoded string) (raw []byte, object, strict json.RawMessage, text string) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		d.faultf("%s: not base64url without padding", name)
		if raw, err = base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(encoded)); err != nil {
			return nil, nil, nil, ""
		}
	}
	if isObject(raw) && json.Valid(raw) {
		object = raw
	}
	faults, notes := strictness(raw)
	for _, f := range faults {
		d.faultf("%s: %s", name, f)
	}
	for _, n := range notes {
		d.notef("%s: %s", name, n)
	}
	switch {
	case len(faults) > 0 && !isObject(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))):
		return raw, object, nil, "" // it may be a part of an opaque token, whose point means nothing
	case len(faults) > 0:
		return raw, object, nil, quoted(string(raw))
	}
	return raw, object, raw, ""
}

// timeClaims are the claims that are a NumericDate (RFC 7519 §2).
var timeClaims = []string{"iat", "nbf", "exp", "auth_time", "updated_at"}

// times explains the claims that are times.
func (d *decodedToken) times(now time.Time) {
	var claims map[string]json.RawMessage
	if json.Unmarshal(d.claims, &claims) != nil { // of a name that is there twice, the last counts here
		return
	}
	for _, name := range timeClaims {
		seconds, err := strconv.ParseFloat(string(claims[name]), 64)
		if err != nil || seconds < 0 || seconds > 253402300799 { // the year 9999, as in the library
			continue
		}
		at := time.Unix(int64(seconds), 0).UTC()
		d.Times = append(d.Times, claimTime{Claim: name, Time: at.Format(time.RFC3339), Relative: relative(at, now)})
	}
}

// relative is a time as seen from now. The whole range of a NumericDate would not fit into a
// Duration: what is far away is said in years.
func relative(at, now time.Time) string {
	seconds := at.Unix() - now.Unix()
	before, after := "in ", ""
	if seconds < 0 {
		seconds, before, after = -seconds, "", " ago"
	}
	switch {
	case seconds == 0:
		return "now"
	case seconds >= 2*365*24*3600:
		return fmt.Sprintf("%s%d years%s", before, seconds/(365*24*3600), after)
	case seconds >= 2*24*3600:
		return fmt.Sprintf("%s%d days%s", before, seconds/(24*3600), after)
	}
	return before + (time.Duration(seconds) * time.Second).String() + after
}

// judge asks the library itself. The header is judged as it came, up to where a key would be
// needed. The claims are signed anew with a key of our own, which is forgotten at once, so
// that every check which follows the signature is made, by an API that expects this issuer
// and this audience.
func (d *decodedToken) judge(ctx context.Context, token, payload string, header, claims []byte, now time.Time) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.notef("no key could be made to judge the claims: %v", err)
		return
	}
	public, err := jwks.NewKey("decode", key.Public())
	if err != nil {
		d.notef("no key could be made to judge the claims: %v", err)
		return
	}
	set, err := jwks.NewSet(public)
	if err != nil {
		d.notef("no key could be made to judge the claims: %v", err)
		return
	}
	issuer, audiences, confirmations := expectations(claims)
	var verifier *jwtverify.Verifier
	for _, audience := range audiences {
		verifier, err = jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Confirmations: confirmations, Algorithms: algorithms,
			Keys: set, MaxTokenBytes: jwtverify.MaxTokenBytesLimit, Now: func() time.Time { return now }})
		if err == nil {
			break
		}
	}
	if verifier == nil {
		d.faultf("no API can be configured to expect what iss, aud and cnf say")
		return
	}
	if step, failed := bearergate.Explain(ctx, verifier, token).Failed(); failed && step.Name != "key" && step.Name != "signature" {
		d.faultf("%s", refusal(step))
		return
	}
	signed, err := sign(key, header, payload)
	if err != nil {
		d.notef("the claims were not judged further: they could not be signed: %v", err)
		return
	}
	if step, failed := bearergate.Explain(ctx, verifier, signed).Failed(); failed {
		d.faultf("%s", refusal(step))
	}
	if len(confirmations) > 0 {
		d.notef("the token is bound to a key (cnf %s): it opens nothing without a proof of that key", quotedList(confirmations))
	}
	if len(token) > jwtverify.DefaultMaxTokenBytes {
		d.notef("the token has %d bytes, more than an API accepts by default (%d)", len(token), jwtverify.DefaultMaxTokenBytes)
	}
}

// algorithms are all that the library knows: which of them an API accepts is for its
// configuration to say.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}

// refusal is a check that has failed, in words.
func refusal(s bearergate.Step) string {
	s.State, s.Unsigned = "an API refuses it", false // everything here is unverified
	return s.String()
}

// expectations are an issuer, audiences and members of cnf that these claims satisfy, as far
// as they have them.
func expectations(claims []byte) (issuer string, audiences, confirmations []string) {
	var c struct {
		Issuer       json.RawMessage `json:"iss"`
		Audience     json.RawMessage `json:"aud"`
		Confirmation json.RawMessage `json:"cnf"`
	}
	if bearergate.NewToken(bearergate.Claims{Raw: claims}).Claims(&c) != nil {
		return "https://issuer.invalid", []string{"audience"}, nil
	}
	if json.Unmarshal(c.Issuer, &issuer) != nil || issuer == "" {
		issuer = "https://issuer.invalid" // the check of iss says what is wrong
	}
	var one string
	if json.Unmarshal(c.Audience, &one) == nil {
		audiences = []string{one}
	} else if json.Unmarshal(c.Audience, &audiences) != nil {
		audiences = nil
	}
	if audiences = audiences[:min(len(audiences), maxNamed)]; len(audiences) == 0 {
		audiences = []string{"audience"} // as of iss
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(c.Confirmation, &members) == nil {
		for name := range members {
			confirmations = append(confirmations, name)
		}
		slices.Sort(confirmations)
	}
	return issuer, audiences, confirmations
}

// sign makes a token of the same claims and the same typ.
func sign(key *ecdsa.PrivateKey, header []byte, payload string) (string, error) {
	var h struct {
		Type json.RawMessage `json:"typ"`
	}
	if err := bearergate.NewToken(bearergate.Claims{Raw: header}).Claims(&h); err != nil {
		return "", err
	}
	ours := map[string]any{"alg": "ES256", "kid": "decode"}
	if h.Type != nil {
		ours["typ"] = h.Type
	}
	head, err := json.Marshal(ours)
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + payload
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// text is the output for people.
func (d decodedToken) text() string {
	var b strings.Builder
	b.WriteString("UNVERIFIED: no signature was checked, and anybody may have written this\n")
	for _, part := range []struct {
		name string
		raw  json.RawMessage
		text string
	}{{"header", d.header, d.HeaderText}, {"claims", d.claims, d.ClaimsText}} {
		switch {
		case part.raw != nil:
			fmt.Fprintf(&b, "\n%s\n", part.name)
			for _, m := range members(part.raw) {
				fmt.Fprintf(&b, "  %s: %s%s\n", quoted(m.name), shown(m.value), d.when(part.name, m.name))
			}
		case part.text != "":
			fmt.Fprintf(&b, "\n%s, as it is\n  %s\n", part.name, part.text)
		}
	}
	b.WriteString("\n")
	for _, f := range d.Faults {
		fmt.Fprintf(&b, "fault: %s\n", f)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if len(d.Faults) == 0 {
		b.WriteString("its form is right; whether it is genuine, and for this API, explain says\n")
	}
	return b.String()
}

// when is the time of a claim, behind its value.
func (d decodedToken) when(part, name string) string {
	for _, t := range d.Times {
		if part == "claims" && t.Claim == name {
			return "  (" + t.Time + ", " + t.Relative + ")"
		}
	}
	return ""
}

type member struct {
	name  string
	value json.RawMessage
}

// members are those of a JSON object, in their order.
func members(object json.RawMessage) (all []member) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return all
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return all
		}
		text, _ := name.(string)
		all = append(all, member{text, value})
	}
	return all
}

// shown is a JSON value on one line, in printable ASCII, and cut.
func shown(value json.RawMessage) string {
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return quoted(string(value))
	}
	var ascii strings.Builder
	for _, r := range compact.String() {
		if r < 0x20 || r > 0x7e {
			ascii.WriteString(strings.Trim(strconv.QuoteToASCII(string(r)), `"`))
		} else {
			ascii.WriteRune(r)
		}
	}
	if ascii.Len() > maxQuoted {
		return ascii.String()[:maxQuoted] + "…"
	}
	return ascii.String()
}
