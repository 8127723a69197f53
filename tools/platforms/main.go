// Command platforms checks the types of what is released, and of its tests, as
// each of the given platforms has them: its files, and its size of int. That
// finds what does not compile there, and needs no compiler for it: building the
// tests of all modules for as many platforms would take most of an hour.
//
//	go run ./tools/platforms linux/386 windows/amd64
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("platforms: ")
	root := flag.String("root", ".", "the root of the repository")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("name a platform, such as linux/386")
	}
	dirs, err := released(*root)
	if err != nil {
		log.Fatal(err)
	}
	if err := checkAll(context.Background(), dirs, flag.Args(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// released are the directories of the modules that users get.
func released(root string) ([]string, error) {
	adapters, err := filepath.Glob(filepath.Join(root, "adapters", "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	if len(adapters) == 0 {
		return nil, errors.New("no adapters: is -root the repository?")
	}
	dirs := []string{root}
	for _, file := range adapters {
		dirs = append(dirs, filepath.Dir(file))
	}
	return dirs, nil
}

// checkAll checks as many platforms at a time as there are processors.
func checkAll(ctx context.Context, dirs, platforms []string, w io.Writer) error {
	errs, counts := make([]error, len(platforms)), make([]int, len(platforms))
	free := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
	var wg sync.WaitGroup
	for i, name := range platforms {
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			own, err := check(ctx, dirs, name)
			errs[i], counts[i] = err, own
		})
	}
	wg.Wait()
	for i, name := range platforms {
		if errs[i] == nil {
			fmt.Fprintf(w, "%s: %d packages, those of tests counted too\n", name, counts[i])
		}
	}
	return errors.Join(errs...)
}

// listed is what go list says of a package. That of a test is another one than
// that without: "p [p.test]".
type listed struct {
	Dir, ImportPath, Name, ForTest string
	GoFiles                        []string
	ImportMap                      map[string]string
	Module                         *struct {
		Path, GoVersion string
		Main            bool
	}
	Error *struct{ Err string }
}

// check returns how many packages of the modules in dirs a platform compiles.
func check(ctx context.Context, dirs []string, platform string) (own int, err error) {
	goos, goarch, ok := strings.Cut(platform, "/")
	sizes := types.SizesFor("gc", goarch)
	if !ok || sizes == nil {
		return 0, fmt.Errorf("%s: no such platform", platform)
	}
	seen := map[string]*types.Package{} // by directory and import path: the standard library is checked once
	for _, dir := range dirs {
		packages, err := list(ctx, dir, goos, goarch)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", platform, err)
		}
		n, err := checkModule(packages, seen, sizes)
		if err != nil {
			return 0, fmt.Errorf("%s: %s:\n%w", platform, dir, err)
		}
		own += n
	}
	return own, nil
}

func list(ctx context.Context, dir, goos, goarch string) ([]listed, error) {
	command := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-test", "-json=Dir,ImportPath,Name,ForTest,GoFiles,ImportMap,Module,Error", "./...")
	command.Dir = dir
	command.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, err
		case p.Error != nil:
			return nil, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		packages = append(packages, p)
	}
}

// checkModule checks the packages of one go list, which names each after those
// that it imports.
func checkModule(packages []listed, seen map[string]*types.Package, sizes types.Sizes) (int, error) {
	here := map[string]*types.Package{"unsafe": types.Unsafe}
	var mistakes []error
	count := 0
	for _, p := range packages {
		own := p.Module != nil && p.Module.Main
		if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") {
			continue // the main package of a test is the go command's
		}
		// A package of ours of another module was checked there.
		key := p.Dir + " " + p.ImportPath
		if known := seen[key]; known != nil && !own && p.ForTest == "" {
			here[p.ImportPath] = known
			continue
		}
		checked, errs := checkPackage(p, here, sizes, own)
		mistakes = append(mistakes, errs...)
		here[p.ImportPath], seen[key] = checked, checked
		if own {
			count++
		}
	}
	if count == 0 && len(mistakes) == 0 {
		return 0, errors.New("no packages")
	}
	return count, errors.Join(mistakes...)
}

// checkPackage checks one package: what is within functions only if it is ours.
func checkPackage(p listed, known map[string]*types.Package, sizes types.Sizes, own bool) (*types.Package, []error) {
	files := token.NewFileSet()
	var parsed []*ast.File
	var mistakes []error
	for _, name := range p.GoFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.Dir, name)
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return types.NewPackage(p.ImportPath, p.Name), []error{err}
		}
		parsed = append(parsed, file)
	}
	config := types.Config{
		Sizes:            sizes,
		IgnoreFuncBodies: !own,
		Importer: importer(func(path string) (*types.Package, error) {
			if mapped, ok := p.ImportMap[path]; ok {
				path = mapped
			}
			if found := known[path]; found != nil {
				return found, nil
			}
			return nil, fmt.Errorf("%s is not listed", path)
		}),
		Error: func(err error) {
			if own {
				mistakes = append(mistakes, err)
			}
		},
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	path, _, _ := strings.Cut(p.ImportPath, " ")
	checked, err := config.Check(path, files, parsed, nil)
	if err != nil && !own {
		mistakes = append(mistakes, err)
	}
	return checked, mistakes
}

type importer func(string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }
