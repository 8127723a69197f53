// Command release makes and checks what a release of this repository is: the
// tags of the root module and of the adapters, what go.mod of each says, the
// licences and the bills of materials. docs/releasing.md says when to use what.
//
//	go run . prepare -version v0.1.0 -date 2026-01-31   writes version and date where they belong
//	go run . check -version v0.1.0                      what is wrong with the state, if anything
//	go run . tags -version v0.1.0                       the git commands that release it; checks before
//	go run . dry-run -out DIR                           releases the working tree to a program of its own
//	go run . artifacts -version v0.1.0 -out DIR         the files of a release whose tags are pushed
//	go run . licences [-write]                          docs/licences.md
//	go run . vulnerabilities                            govulncheck over what is released
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
)

const rootPath = "github.com/bearergate/bearergate"

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// options are what the commands take; each takes some of them.
type options struct {
	root, version, date, out string
	write                    bool
}

var commands = map[string]struct {
	do    func(ctx context.Context, o options, w io.Writer) error
	needs []string
}{
	"prepare":         {prepare, []string{"version", "date"}},
	"check":           {check, []string{"version"}},
	"tags":            {tags, []string{"version"}},
	"dry-run":         {dryRun, []string{"out"}},
	"artifacts":       {artifacts, []string{"version", "out"}},
	"licences":        {licences, nil},
	"vulnerabilities": {vulnerabilities, nil},
}

func run(ctx context.Context, args []string, w io.Writer) error {
	if len(args) == 0 {
		return errors.New("name a command: prepare, check, tags, dry-run, artifacts, licences or vulnerabilities")
	}
	command, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("no command %q", args[0])
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&o.root, "root", "../..", "the repository")
	flags.StringVar(&o.version, "version", "", "the version, v0.1.0 for example")
	flags.StringVar(&o.date, "date", "", "the day of the release, 2026-01-31 for example")
	flags.StringVar(&o.out, "out", "", "the directory to write to")
	flags.BoolVar(&o.write, "write", false, "write the document and do not compare it")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s takes no argument %q", args[0], flags.Arg(0))
	}
	for _, name := range command.needs {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("%s needs -%s", args[0], name)
		}
	}
	for _, dir := range []*string{&o.root, &o.out} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		if *dir != "" {
			*dir = abs
		}
	}
	return command.do(ctx, o, w)
}
