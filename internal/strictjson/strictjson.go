// Package strictjson reads JSON (RFC 8259) the way a security decision needs
// it: one complete object, names matched exactly and given once, valid UTF-8,
// nothing before or after. It is the only importer of go-json-experiment.
//
// encoding/json folds case, lets the last duplicate win and replaces bad
// UTF-8, so that two readers of one token can disagree on what it says.
package strictjson

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	errNotObject  = errors.New("strictjson: not a JSON object")
	errNotJSON    = errors.New("strictjson: not one valid JSON object with distinct names")
	errNotString  = errors.New("strictjson: not a string")
	errNotStrings = errors.New("strictjson: not an array of strings")
	errNotNumber  = errors.New("not a number")
	errNotDate    = errors.New("strictjson: not a NumericDate between 0 and 253402300799")
	errTarget     = errors.New("strictjson: the target must be a non-nil pointer")
)

// decoder is pooled: its buffers are the larger part of the cost of a parse. While it is
// in its pool it reads an empty in, so that it is ready as soon as that is filled.
type decoder struct {
	in      bytes.Buffer
	dec     jsontext.Decoder
	options []jsontext.Options
	pool    *sync.Pool
}

var (
	strict = newPool()
	// shallow does not look for duplicate names.
	shallow = newPool(jsontext.AllowDuplicateNames(true))
)

func newPool(options ...jsontext.Options) *sync.Pool {
	pool := new(sync.Pool)
	pool.New = func() any {
		d := &decoder{options: options, pool: pool}
		d.dec.Reset(&d.in, options...)
		return d
	}
	return pool
}

func decode(data []byte, pool *sync.Pool) *decoder {
	d := pool.Get().(*decoder)
	// A decoder over a *bytes.Buffer reads its bytes in place.
	d.in = *bytes.NewBuffer(data)
	return d
}

// end reads what closes the object or array, and expects nothing after it.
func (d *decoder) end() error {
	if _, err := d.dec.ReadToken(); err != nil {
		return errNotJSON
	}
	if _, err := d.dec.ReadToken(); err != io.EOF {
		return errNotJSON
	}
	return nil
}

// release lets go of the caller's bytes: a pooled decoder must not keep a token
// alive.
func (d *decoder) release() {
	d.in = bytes.Buffer{}
	d.dec.Reset(&d.in, d.options...)
	d.pool.Put(d)
}

// Object reads data as exactly one JSON object and calls visit with each of
// its members: the unescaped name, and the value as the JSON text that stands
// in data (sub-slices of data: not copied, read only). Both are valid after
// the call only as long as data is, and name only during the call.
//
// Duplicate names at any depth, invalid UTF-8, lone surrogates, a byte order
// mark, trailing data and every other departure from RFC 8259 are errors; the
// text of the error carries nothing of data. The first error of visit ends the
// walk and is returned as it is. visit may have been called before a syntax
// error is found: what it gathered counts only if Object returns nil.
func Object(data []byte, visit func(name, value []byte) error) error {
	d := decode(data, strict)
	defer d.release()
	return d.object(data, visit)
}

// Shallow is [Object] for a document whose parts are judged one by one: it refuses a
// duplicate among the members of data itself, and does not look for one in their
// values. What it hands out is to be read by [ShallowArray] or [Object], which do.
func Shallow(data []byte, visit func(name, value []byte) error) error {
	d := decode(data, shallow)
	defer d.release()
	seen := map[string]bool{}
	return d.object(data, func(name, value []byte) error {
		if seen[string(name)] {
			return errNotJSON
		}
		seen[string(name)] = true
		return visit(name, value)
	})
}

func (d *decoder) object(data []byte, visit func(name, value []byte) error) error {
	if !startsWith(data, '{') {
		return errNotObject
	}
	if _, err := d.dec.ReadToken(); err != nil { // the '{'
		return errNotJSON
	}
	var unescaped []byte
	for d.dec.PeekKind() != '}' {
		quoted, err := d.dec.ReadValue()
		if err != nil || len(quoted) < 2 {
			return errNotJSON
		}
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			if unescaped, err = jsontext.AppendUnquote(unescaped[:0], quoted); err != nil {
				return errNotJSON
			}
			name = unescaped
		} else {
			end := int(d.dec.InputOffset())
			name = data[end-len(quoted)+1 : end-1 : end-1]
		}
		value, err := d.dec.ReadValue()
		if err != nil {
			return errNotJSON
		}
		end := int(d.dec.InputOffset())
		if err := visit(name, data[end-len(value):end:end]); err != nil {
			return err
		}
	}
	return d.end()
}

// Array calls visit with each element of the JSON array in value, which must
// come from [Object]. The first error of visit ends the walk and is returned.
func Array(value []byte, visit func(element []byte) error) error {
	d := decode(value, strict)
	defer d.release()
	return d.array(value, visit)
}

// ShallowArray is [Array] for a value that comes from [Shallow]: the elements are to be
// read by [Object].
func ShallowArray(value []byte, visit func(element []byte) error) error {
	d := decode(value, shallow)
	defer d.release()
	return d.array(value, visit)
}

func (d *decoder) array(value []byte, visit func(element []byte) error) error {
	if !startsWith(value, '[') {
		return errors.New("strictjson: not an array")
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return errNotJSON
	}
	for d.dec.PeekKind() != ']' {
		element, err := d.dec.ReadValue()
		if err != nil {
			return errNotJSON
		}
		end := int(d.dec.InputOffset())
		if err := visit(value[end-len(element) : end : end]); err != nil {
			return err
		}
	}
	return d.end()
}

// String returns the text of the JSON string in value. Unlike the other
// functions it takes any bytes, and refuses what is not one valid JSON string.
func String(value []byte) (string, error) {
	if isPlain(value) {
		return string(value[1 : len(value)-1]), nil
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "", errNotString
	}
	return string(text), nil
}

// isPlain reports whether value is a JSON string of printable ASCII without escapes.
func isPlain(value []byte) bool {
	n := len(value)
	if n < 2 || value[0] != '"' || value[n-1] != '"' {
		return false
	}
	for _, c := range value[1 : n-1] {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Strings returns the elements of the array of strings in value, which must
// come from [Object]. An empty array gives an empty, non-nil slice.
func Strings(value []byte) ([]string, error) {
	if out, ok := plainStrings(value); ok {
		return out, nil
	}
	out := []string{}
	err := Array(value, func(element []byte) error {
		s, err := String(element)
		out = append(out, s)
		return err
	})
	if err != nil {
		return nil, errNotStrings
	}
	return out, nil
}

// plainStrings is Strings for the usual array, strings of printable ASCII without
// escapes. It knows nothing else: false says only that it is another one.
func plainStrings(value []byte) (out []string, ok bool) {
	rest := bytes.TrimLeft(value, " \t\r\n")
	for separator := byte('['); len(rest) > 0 && rest[0] == separator; separator = ',' {
		rest = bytes.TrimLeft(rest[1:], " \t\r\n")
		if len(rest) == 0 || rest[0] != '"' {
			return nil, false
		}
		length := bytes.IndexByte(rest[1:], '"') + 2
		if !isPlain(rest[:length]) {
			return nil, false
		}
		out = append(out, string(rest[1:length-1]))
		rest = bytes.TrimLeft(rest[length:], " \t\r\n")
	}
	return out, len(out) > 0 && len(rest) == 1 && rest[0] == ']'
}

// IsNull reports whether value, which must come from [Object], is null.
func IsNull(value []byte) bool { return len(value) > 0 && value[0] == 'n' }

// IsEmpty reports whether value, which must come from [Object], is null or an
// empty string, array or object.
func IsEmpty(value []byte) bool {
	if len(value) == 0 || IsNull(value) {
		return true
	}
	if len(value) == 1 { // a digit
		return false
	}
	switch value[0] {
	case '"', '[', '{':
		return len(bytes.TrimSpace(value[1:len(value)-1])) == 0 && (value[0] != '"' || len(value) == 2)
	}
	return false
}

// maxDate is 9999-12-31T23:59:59Z, the last second RFC 3339 can write.
const maxDate = 253402300799

// NumericDate returns the time of the NumericDate (RFC 7519 §2) in value,
// which must come from [Object]: a JSON number of seconds from 0 to
// 253402300799, with or without fraction and exponent. Digits finer than a
// nanosecond are dropped. It never goes through a float64, which cannot tell
// neighbouring large numbers apart and turns an overlong number into infinity.
func NumericDate(value []byte) (time.Time, error) {
	sec, nsec, ok := parseDate(value)
	if !ok {
		return time.Time{}, errNotDate
	}
	return time.Unix(sec, nsec).UTC(), nil
}

// parseDate reads number = int [ frac ] [ exp ], already known to be valid
// JSON if it starts with a digit.
func parseDate(value []byte) (sec, nsec int64, ok bool) {
	if len(value) == 0 || value[0] < '0' || value[0] > '9' { // a minus sign, even of -0, is refused
		return 0, 0, false
	}
	if sec, ok := wholeSeconds(value); ok {
		return sec, 0, true
	}
	mantissa, exponent := value, 0
	if i := bytes.IndexAny(value, "eE"); i >= 0 {
		mantissa = value[:i]
		if exponent, ok = parseExponent(value[i+1:]); !ok {
			return 0, 0, false
		}
	}
	whole, frac, _ := bytes.Cut(mantissa, []byte{'.'})
	// The point stands after digit number len(whole)+exponent of the mantissa.
	point := len(whole) + exponent
	digits := append(append(make([]byte, 0, len(mantissa)), whole...), frac...)
	for i, c := range digits {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		switch {
		case i < point:
			if sec = sec*10 + int64(c-'0'); sec > maxDate {
				return 0, 0, false
			}
		case i < point+9:
			nsec += pow10[point+8-i] * int64(c-'0')
		}
	}
	if sec != 0 { // trailing zeros of a positive exponent, e.g. 17e8
		for range point - len(digits) {
			if sec *= 10; sec > maxDate {
				return 0, 0, false
			}
		}
	}
	return sec, nsec, true
}

// wholeSeconds is parseDate for digits alone, which is what servers send. It knows nothing
// else: false says only that it is another number.
func wholeSeconds(value []byte) (sec int64, ok bool) {
	if len(value) > len("253402300799") {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		sec = sec*10 + int64(c-'0')
	}
	return sec, sec <= maxDate
}

var pow10 = [...]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// parseExponent reads [ "+" / "-" ] 1*DIGIT, capped far outside what any
// accepted number can use, so that 1e999999999999 is cheap and correct.
func parseExponent(b []byte) (int, bool) {
	neg := false
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		neg = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	n := int64(0) // an int of 32 bits would overflow before the cap
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), 1<<30)
	}
	if neg {
		n = -n
	}
	return int(n), true
}

// Unmarshal decodes data, exactly one JSON object, into the value that v
// points to, with the strictness of [Object]; struct tags are those of
// encoding/json, but names match exactly. On error, *v is zero, and the text
// of the error names the member and the Go type but not the value, which may
// be personal data. It does carry the text of an error of the caller's own
// UnmarshalJSON or UnmarshalText.
func Unmarshal(data []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return errTarget
	}
	if !startsWith(data, '{') {
		target.Elem().SetZero()
		return errNotObject
	}
	if err := json.Unmarshal(data, v, json.WithUnmarshalers(numbers)); err != nil {
		target.Elem().SetZero()
		return withoutValue(err)
	}
	return nil
}

// withoutValue takes the texts of data out of an error of json.Unmarshal.
func withoutValue(err error) error {
	semantic, ok := err.(*json.SemanticError)
	if !ok {
		if _, ok := err.(*jsontext.SyntacticError); ok {
			return errNotJSON
		}
		return err
	}
	e := *semantic
	e.JSONValue = nil
	var number *strconv.NumError
	var date *time.ParseError
	switch {
	case errors.As(e.Err, &number):
		e.Err = number.Err
	case errors.As(e.Err, &date):
		e.Err = errors.New("not a time of RFC 3339")
	}
	return &e
}

// numbers makes encoding/json.Number, which json v2 takes for a plain string
// type, hold a number's exact text as encoding/json users know it.
var numbers = json.UnmarshalFromFunc(func(dec *jsontext.Decoder, n *stdjson.Number) error {
	switch dec.PeekKind() {
	case '0', '"', 'n': // as encoding/json, a number in quotes too, but nothing else in quotes
	default:
		return errNotNumber
	}
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	text := token.String()
	if token.Kind() == 'n' {
		*n = ""
		return nil
	}
	if number := jsontext.Value(text); number.Kind() != '0' || !number.IsValid() || strings.TrimSpace(text) != text {
		return errNotNumber
	}
	*n = stdjson.Number(text)
	return nil
})

// Marshal encodes v as JSON with sorted map keys.
func Marshal(v any) ([]byte, error) { return json.Marshal(v, json.Deterministic(true)) }

func startsWith(data []byte, first byte) bool {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == first
		}
	}
	return false
}
