package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
)

// env is the world as a subcommand sees it.
type env struct {
	stdin          io.Reader
	stdinIs        string // what was read from it; "": nothing
	stdout, stderr *plain
	now            func() time.Time
}

func newEnv(stdin io.Reader, stdout, stderr io.Writer, now func() time.Time) *env {
	return &env{stdin: stdin, stdout: &plain{w: stdout}, stderr: &plain{w: stderr}, now: now}
}

// broken is why standard output could not be written, if it could not.
func (e *env) broken() error {
	if e.stdout.err != nil {
		return usage("standard output: %w", e.stdout.err)
	}
	return nil
}

// The exit codes.
const (
	exitOK          = 0
	exitFound       = 1   // the token is refused, or a fault was found
	exitUsage       = 2   // a flag, a file or a setting is wrong
	exitOutage      = 3   // somebody else is out of order: nobody can tell
	exitInterrupted = 130 // as shells have it for an interrupt
)

// exitCode is what err means for whoever called the command. An error of the library says
// itself whose fault it is.
func exitCode(ctx context.Context, err error) int {
	var already found
	var mistake *mistake
	of := bearergate.AsError(err) // an error that is none of the library's reads as a mistake
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &already):
		return already.code
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &mistake), errors.Is(of, bearergate.ErrMisconfigured):
		return exitUsage
	case errors.Is(of, bearergate.ErrUnavailable):
		return exitOutage
	}
	return exitFound
}

// found ends a subcommand that has printed what it found: there is nothing to add.
type found struct{ code int }

func (f found) Error() string { return "exit code " + strconv.Itoa(f.code) }

// mistake is a flag, a file or a setting that is wrong.
type mistake struct{ err error }

func (m *mistake) Error() string { return m.err.Error() }
func (m *mistake) Unwrap() error { return m.err }

// usage is a mistake of whoever called the command. It must hold no token and no secret:
// an argument may be one that was typed in the wrong place.
func usage(format string, args ...any) error {
	return &mistake{err: fmt.Errorf(format, args...)}
}

// plain writes text that no terminal obeys: every character that does not print, but for
// tabs and the end of a line, is written as \u and its code. In JSON that is the same text.
// Found text is quoted before (see [quoted]); this is for what comes in another way, in
// the text of an error for example. After an error it writes nothing.
type plain struct {
	w   io.Writer
	err error
}

func (p *plain) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	out := make([]byte, 0, len(b))
	for rest := b; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case r == '\n' || r == '\t' || unicode.IsPrint(r):
			out = append(out, rest[:size]...)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		rest = rest[size:]
	}
	if _, p.err = p.w.Write(out); p.err != nil {
		return 0, p.err
	}
	return len(b), nil
}

// maxQuoted is how much of one found text is shown, in bytes.
const maxQuoted = 512

// quoted is a text that somebody else wrote, as it is shown: in quotation marks, in
// printable ASCII, and cut.
func quoted(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// quotedList are several.
func quotedList(list []string) string {
	shown := make([]string, len(list))
	for i, s := range list {
		shown[i] = quoted(s)
	}
	return strings.Join(shown, " ")
}

// json prints the one document of -json.
func (e *env) json(document any) error {
	out, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return usage("the JSON cannot be written: %w", err)
	}
	_, err = e.stdout.Write(append(out, '\n'))
	return err
}

// Limits of what is read, in bytes.
const (
	maxToken  = 1 << 20 // more than any verifier of the library looks at
	maxSecret = 64 << 10
	maxFile   = 16 << 20 // key sets, certificates, earlier output
)

// read reads a file, or standard input for "-". what names it in errors.
func (e *env) read(ctx context.Context, what, name string, limit int64) ([]byte, error) {
	if name == "-" {
		return e.readStdin(ctx, what, limit)
	}
	return interruptible(ctx, what, func() ([]byte, error) { // a pipe that has a name may never end
		f, err := os.Open(name)
		if err != nil {
			return nil, usage("%s: %w", what, withoutName(err))
		}
		defer func() { _ = f.Close() }()
		return readBounded(f, what, limit)
	})
}

// interruptible reads, and does not wait longer than ctx. The read itself cannot be
// interrupted: it ends with the process.
func interruptible(ctx context.Context, what string, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, usage("%s: %w", what, ctx.Err())
	}
}

// withoutName leaves the name of a file out of its error: a token that was typed in the
// place of a name is not repeated.
func withoutName(err error) error {
	if of, ok := errors.AsType[*os.PathError](err); ok {
		return of.Err
	}
	return err
}

func readBounded(r io.Reader, what string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, usage("%s: %w", what, withoutName(err))
	case int64(len(data)) > limit:
		return nil, usage("%s: more than %d bytes", what, limit)
	}
	return data, nil
}

// terminalLine is the longest line that a terminal hands on, with its end: Linux cuts what
// is longer, without a word.
const terminalLine = 4095

// readStdin reads standard input to its end, or on a terminal up to the first line that is
// not empty. It does not wait longer than ctx.
func (e *env) readStdin(ctx context.Context, what string, limit int64) ([]byte, error) {
	onTerminal := isTerminal(e.stdin)
	switch {
	case onTerminal:
		fmt.Fprintf(e.stderr, "bearergate: waiting for the %s: paste it and press Enter; Ctrl-C ends this\n", what)
	case e.stdinIs != "": // its end was reached
		return nil, usage("%s: standard input is the %s already: put one of them into a file", what, e.stdinIs)
	}
	e.stdinIs = what
	return interruptible(ctx, what, func() ([]byte, error) {
		if onTerminal {
			return readLine(e.stdin, what, limit)
		}
		return readBounded(e.stdin, what, limit)
	})
}

// readLine reads the first line that is not empty.
func readLine(r io.Reader, what string, limit int64) ([]byte, error) {
	var line []byte
	for buf := make([]byte, terminalLine+1); ; {
		n, err := r.Read(buf)
		line = append(line, buf[:n]...)
		end := bytes.IndexByte(line, '\n')
		switch {
		case int64(len(line)) > limit:
			return nil, usage("%s: more than %d bytes", what, limit)
		case end >= terminalLine:
			return nil, usage("%s: the terminal may have cut the line: put it into a file, or send it through a pipe", what)
		case end >= 0 && len(bytes.TrimSpace(line[:end])) > 0:
			return line[:end], nil
		case end >= 0:
			line = line[end+1:]
		}
		if errors.Is(err, io.EOF) {
			return line, nil
		} else if err != nil {
			return nil, usage("%s: %w", what, withoutName(err))
		}
	}
}

// isTerminal reports whether somebody may be typing: a character device that is not the
// one that holds nothing.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// secret reads a secret from a file, or from standard input for "-". The end of its last
// line is no part of it.
func (e *env) secret(ctx context.Context, what, name string) (bearergate.Secret, error) {
	data, err := e.read(ctx, what, name, maxSecret)
	if err != nil {
		return bearergate.Secret{}, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return bearergate.Secret{}, usage("%s: it is empty", what)
	}
	return bearergate.NewSecret(text), nil
}
