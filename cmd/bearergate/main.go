// Command bearergate looks at access tokens, keys and authorization servers with the eyes
// of an API that uses this library.
//
//	go install github.com/bearergate/bearergate/cmd/bearergate@latest
//
//	bearergate explain -issuer https://as.example.com -audience https://api.example.com <token.txt
//	bearergate keys -issuer https://as.example.com
//	bearergate decode <token.txt
//	bearergate probe -issuer https://as.example.com -url https://api.example.com/orders -client-id probe -client-secret-file secret.txt
//	bearergate dev -audience https://api.example.com -scope "orders:read"
//
// Tokens and secrets come from files or from standard input, never from arguments: a shell
// remembers arguments, and every user of a machine can list them. No token, no signature
// and no secret is printed, but the tokens that dev makes. What a token or a server says is
// printed quoted: a terminal obeys the escapes that it is sent. With -json, every
// subcommand prints one JSON document.
//
// The exit code is 0 if all is well; 1 if the token is refused or a fault was found; 2 if
// the command could not do what it was asked, for a flag, a file or a setting that is
// wrong; 3 if somebody else is out of order, an authorization server that does not answer
// for example, so that nobody can tell; 130 if it was interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// command is a subcommand. run prints what it finds to the env, and returns nil, one of the
// errors of this package ([usage], [found]), or an error of the library: see [exitCode].
type command struct {
	name    string
	summary string // one line, for the list of subcommands
	run     func(ctx context.Context, e *env, args []string) error
}

// commands are all subcommands, in the order in which they are listed. It is a function:
// help needs the table, and is in it.
func commands() []command {
	return []command{
		{"explain", "why a token is accepted or refused, check by check", explain},
		{"keys", "the keys of an issuer as the library sees them", keys},
		{"decode", "what a token says, unverified, and what is wrong with its form", decode},
		{"probe", "whether an API and its authorization server work, from the outside", probing},
		{"dev", "a loopback issuer that prints tokens, for local work", dev},
		{"version", "which build this is", version},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, newEnv(os.Stdin, os.Stdout, os.Stderr, time.Now), os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs one subcommand and returns the exit code.
func run(ctx context.Context, e *env, args []string) int {
	err := dispatch(ctx, e, args)
	if errors.Is(err, flag.ErrHelp) {
		err = nil
	}
	if broken := e.broken(); broken != nil {
		err = broken // what was not written was not done
	}
	code := exitCode(ctx, err)
	var nothingToSay found
	if err != nil && !errors.As(err, &nothingToSay) {
		fmt.Fprintf(e.stderr, "bearergate: %s\n", strings.TrimPrefix(err.Error(), "bearergate: ")) // those of the library begin so too
	}
	return code
}

func dispatch(ctx context.Context, e *env, args []string) error {
	if len(args) == 0 {
		help(e.stderr)
		return usage("name a subcommand")
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		help(e.stdout)
		return nil
	case "-version", "--version":
		return version(ctx, e, args[1:])
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, e, args[1:])
		}
	}
	help(e.stderr)
	return usage("there is no such subcommand") // its name is not repeated: it may be a token
}
