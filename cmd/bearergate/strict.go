package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
)

// maxNamed bounds how many duplicate names are listed.
const maxNamed = 10

// strictness names what is wrong with a JSON object as a header or as claims, in more words
// than the library has for it. That there is a fault, the library decides: what this finds
// nothing wrong with and the library does not read, is a fault as well, and a test compares
// the two. notes are no faults.
func strictness(raw []byte) (faults, notes []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")) {
		fault("it begins with a byte order mark")
	}
	if !utf8.Valid(raw) {
		fault("it is not valid UTF-8")
	}
	switch {
	case !isObject(raw):
		fault("it is not a JSON object")
	case !json.Valid(raw):
		fault("it is not valid JSON%s", position(raw))
	default:
		faults, notes = appendNames(faults, raw)
		if loneSurrogate(raw) {
			fault("a string has half of a surrogate pair (\\ud800 to \\udfff), which is no character")
		}
	}
	var strict map[string]json.RawMessage
	if err := bearergate.NewToken(bearergate.Claims{Raw: raw}).Claims(&strict); err != nil && len(faults) == 0 {
		fault("the library does not read it: %v", err)
	}
	return faults, notes
}

// isObject reports whether JSON text begins as an object does.
func isObject(raw []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) }

// position is the place of a syntax error.
func position(raw []byte) string {
	var v any
	if err, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(raw, &v)); ok {
		return ": byte " + strconv.FormatInt(err.Offset, 10)
	}
	return ""
}

// appendNames finds the names that an object has twice, at any depth, and those that differ
// from another one in case alone.
func appendNames(faults []string, raw []byte) (all, notes []string) {
	type object struct {
		path   string
		exact  map[string]bool
		folded map[string]string
		name   string // of the member that is read; "" between two
		inside bool   // a value is read
		array  bool
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var stack []*object
	for {
		token, err := dec.Token()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				faults = append(faults, "it is not valid JSON")
			}
			return faults, notes
		}
		var top *object
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if top != nil && !top.array && !top.inside {
			top.name, _ = token.(string)
			top.inside = true
			folded := strings.ToLower(top.name)
			switch other := top.folded[folded]; {
			case top.exact[top.name] && len(faults) < maxNamed:
				faults = append(faults, quoted(top.path+top.name)+" is there twice")
			case other != "" && other != top.name && len(notes) < maxNamed:
				notes = append(notes, quoted(top.path+top.name)+" and "+quoted(top.path+other)+" differ in case alone: only the exact name counts")
			}
			top.exact[top.name] = true
			top.folded[folded] = top.name
			continue
		}
		path := ""
		if top != nil {
			path = top.path
			if !top.array {
				path += top.name + "."
			}
			top.inside = top.array // the value that begins here is the whole one, for what is above it
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			if len(path) > maxQuoted { // a path of its depth would grow without end
				path = "…"
			}
			stack = append(stack, &object{path: path, exact: map[string]bool{}, folded: map[string]string{}, array: token == json.Delim('[')})
		}
	}
}

// loneSurrogate reports whether valid JSON has an escape of one half of a surrogate pair
// that has no other half.
func loneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if i >= len(raw) || raw[i] != 'u' {
			continue
		}
		switch first := hex4(raw[i+1:]); {
		case first >= 0xdc00 && first <= 0xdfff:
			return true
		case first >= 0xd800 && first <= 0xdbff:
			next := raw[i+5:]
			if len(next) < 6 || next[0] != '\\' || next[1] != 'u' || hex4(next[2:]) < 0xdc00 || hex4(next[2:]) > 0xdfff {
				return true
			}
			i += 6
		}
		i += 4
	}
	return false
}

// hex4 is the number of four hexadecimal digits; -1 if there are none.
func hex4(b []byte) int64 {
	if len(b) < 4 {
		return -1
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return int64(n)
}
