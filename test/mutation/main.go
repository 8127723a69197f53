//go:build unix

// Command mutation breaks the packages that decide about tokens, one small
// change at a time, and reports which changes no test noticed.
//
//	go -C test/mutation run . -pkg internal/jose,jwtverify
//
// It fails if a mutant survives that equivalent.txt does not explain, and if
// equivalent.txt names one that does not survive. It works on a copy of the
// repository; docs/mutation.md says more.
package main

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// above says which tests are asked, after a package's own, about a mutant that
// these did not notice.
var above = map[string][]string{
	"scope":                {".", "middleware"},
	"idp":                  {"test/zoo"},
	"jwks":                 {"jwtverify", "test/attack"},
	"jwtverify":            {"issuers", "test/attack"},
	"introspect":           {},
	"issuers":              {"test/attack"},
	"apikey":               {},
	"middleware":           {"test/attack"},
	"middleware/policydoc": {},
	"middleware/usage":     {},
	"internal/buffer":      {"internal/jose", "internal/digest", "internal/ttlcache", "jwtverify"},
	"internal/clock":       {"jwks", "introspect", "internal/ttlcache"},
	"internal/feed":        {"revocation"},
	"internal/guard":       {"jwks", "introspect", "issuers"},
	"internal/accept":      {"jwtverify", "introspect", "test/attack"},
	"internal/jose":        {"jwks", "jwtverify", "test/attack"},
	"internal/strictjson":  {".", "internal/jose", "jwtverify", "test/attack"},
	"internal/ttlcache":    {"jwtverify", "introspect"},
}

// packages are broken if -pkg does not say which.
const packages = ".,scope,idp,binding/dpop,binding/mtls,revocation,revocation/admin,revocation/backchannel,revocation/signals,internal/feed,jwks,jwtverify,introspect,issuers,apikey,middleware,middleware/policydoc,middleware/usage,internal/accept,internal/buffer,internal/clock,internal/guard,internal/jose,internal/strictjson,internal/ttlcache"

type config struct {
	root, equivalent string
	run              *regexp.Regexp
	sample           int
	jobs             int
	timeout          time.Duration
	list, own, fix   bool
}

func main() {
	var c config
	pkg := flag.String("pkg", packages, "`directories` of the packages to break, separated by commas")
	flag.StringVar(&c.root, "root", filepath.Join("..", ".."), "`directory` of the repository")
	flag.StringVar(&c.equivalent, "equivalent", "equivalent.txt", "`file` of the mutants that no test can notice")
	run := flag.String("run", "", "only mutants whose name matches the `regexp`")
	sample := flag.String("sample", "1/1", "only every N-th mutant, always the same ones: `1/N`")
	flag.IntVar(&c.jobs, "j", 2, "mutants tried at once")
	flag.DurationVar(&c.timeout, "timeout", 0, "for one run of tests (default ten times what they take and 3s more, at most 1m)")
	flag.BoolVar(&c.own, "own", false, "ask only the tests of the package itself, not those of packages above it")
	flag.BoolVar(&c.list, "list", false, "print the names of the mutants and try none")
	flag.BoolVar(&c.fix, "fix", false, "try none, and mend the names in the file of -equivalent whose code moved to another function, file or package")
	flag.Parse()
	var err error
	if c.run, err = regexp.Compile(*run); err == nil {
		n, ok := strings.CutPrefix(*sample, "1/")
		if c.sample, err = strconv.Atoi(n); !ok || err != nil || c.sample < 1 {
			err = fmt.Errorf("-sample %q is not 1/N", *sample)
		}
	}
	switch {
	case err != nil:
	case c.fix:
		err = c.mend()
	default:
		err = c.mutate(strings.Split(*pkg, ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func (c *config) mutate(packages []string) error {
	explained, err := readEquivalent(c.equivalent)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	if err := copyTree(c.root, root); err != nil {
		return err
	}
	var rows, wrong []string
	for i, dir := range packages {
		t, err := load(root, dir, filepath.Join(work, strconv.Itoa(i)))
		if err != nil {
			return err
		}
		row, complaints, err := c.mutatePackage(t, explained)
		if err != nil {
			return err
		}
		rows, wrong = append(rows, row), append(wrong, complaints...)
	}
	if c.list {
		return nil
	}
	fmt.Printf("\n| package | mutants | killed | timed out | equivalent | survived | killed of those that differ |\n|---|---:|---:|---:|---:|---:|---:|\n%s", strings.Join(rows, ""))
	if len(wrong) > 0 {
		fmt.Println()
		return errors.New("\n  " + strings.Join(wrong, "\n  "))
	}
	return nil
}

// mutatePackage tries the mutants of one package. It returns its row of the
// table, and what is wrong.
func (c *config) mutatePackage(t *target, explained map[string]bool) (row string, wrong []string, err error) {
	mutants := t.mutants()
	chosen := make([]bool, len(mutants))
	exists := map[string]bool{}
	for i, m := range mutants {
		exists[m.id()] = true
		chosen[i] = c.chosen(m)
		if chosen[i] && c.list {
			fmt.Println(m.id())
		}
	}
	if c.list {
		return "", nil, nil
	}
	for id := range explained {
		if strings.HasPrefix(id, t.dir+"/") && !strings.Contains(strings.Fields(id)[0][len(t.dir)+1:], "/") && !exists[id] {
			wrong = append(wrong, "explained, and does not exist: "+id)
		}
	}
	suites := []string{t.dir}
	if !c.own {
		suites = append(suites, above[t.dir]...)
	}
	broken, left, err := t.prepare(mutants, suites)
	if err != nil {
		return "", nil, err
	}
	if len(left) > 0 {
		fmt.Printf("%s: not asked, because they do not pass with the mutants beside the original: %s\n", t.dir, strings.Join(left, ", "))
	}
	outcomes, err := c.tryAll(mutants, func(i int) (outcome, error) {
		switch {
		case !chosen[i]:
			return "", nil
		case broken[mutants[i]]:
			return unbuilt, nil
		}
		return t.try(mutants[i], i+1, c.timeout)
	}, explained)
	if err != nil {
		return "", nil, err
	}
	row, complaints := report(t.dir, mutants, outcomes, explained)
	wrong = append(wrong, complaints...)
	slices.Sort(wrong)
	return row, wrong, nil
}

// chosen reports whether -run and -sample leave the mutant in.
func (c *config) chosen(m *mutant) bool {
	h := fnv.New32a()
	h.Write([]byte(m.id()))
	return c.run.MatchString(m.id()) && h.Sum32()%uint32(c.sample) == 0
}

// tryAll tries the mutants, -j of them at once, and says at once which survived
// without an explanation.
func (c *config) tryAll(mutants []*mutant, try func(i int) (outcome, error), explained map[string]bool) ([]outcome, error) {
	outcomes := make([]outcome, len(mutants))
	var next atomic.Int32
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range c.jobs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(mutants) && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				var err error
				if outcomes[i], err = try(i); err != nil {
					failed.Store(&err)
				}
				if id := mutants[i].id(); outcomes[i] == survived && !explained[id] {
					fmt.Fprintln(os.Stderr, "survived:", id)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return outcomes, nil
}

// report returns the package's row of the table, and which outcomes are wrong.
func report(dir string, mutants []*mutant, outcomes []outcome, explained map[string]bool) (row string, wrong []string) {
	counts := map[outcome]int{}
	equivalent := 0
	for i, m := range mutants {
		counts[outcomes[i]]++
		switch id := m.id(); {
		case outcomes[i] == survived && explained[id]:
			counts[survived]--
			equivalent++
		case outcomes[i] == survived:
			wrong = append(wrong, fmt.Sprintf("survived (line %d): %s", m.file.line(m.start), id))
		case outcomes[i] != "" && explained[id]:
			wrong = append(wrong, fmt.Sprintf("explained as equivalent, but %s: %s", outcomes[i], id))
		}
	}
	noticed := counts[killed] + counts[timedOut]
	differ := noticed + counts[survived]
	share := "–"
	if differ > 0 {
		share = fmt.Sprintf("%.1f %%", 100*float64(noticed)/float64(differ))
	}
	return fmt.Sprintf("| `%s` | %d | %d | %d | %d | %d | %s |\n", dir, differ+equivalent, counts[killed], counts[timedOut], equivalent, counts[survived], share), wrong
}

// readEquivalent reads the names of mutants that cannot be noticed. The reason
// follows, indented by a tab, and holds for all names since the reason before.
func readEquivalent(file string) (map[string]bool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	explained, open := map[string]bool{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '\t':
			open = ""
		case explained[line]:
			return nil, fmt.Errorf("%s: twice: %s", file, line)
		default:
			explained[line], open = true, line
		}
	}
	if open != "" {
		return nil, fmt.Errorf("%s: no reason for %s", file, open)
	}
	return explained, nil
}

// copyTree copies the repository without what is not source.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		switch at := filepath.Join(to, rel); {
		case entry.IsDir():
			return os.MkdirAll(at, 0o777)
		case entry.Type().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(at, text, 0o666)
		}
		return nil
	})
}
