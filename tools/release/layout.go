package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// aModule is one of the repository.
type aModule struct {
	dir  string // below the root of the repository, with slashes; "." is the root module
	file *modfile.File
}

func (m aModule) path() string { return m.file.Module.Mod.Path }

// tag is the name of the tag of a version, as the go command looks for it.
func (m aModule) tag(version string) string {
	if m.dir == "." {
		return version
	}
	return m.dir + "/" + version
}

// unreleased are the directories whose modules nobody imports: they get no tag.
var unreleased = regexp.MustCompile(`^(examples|test|tools)/`)

// layout returns the modules of the repository: those that are released, each
// after those that it requires, which is the order of their tags, and the others.
func layout(ctx context.Context, root string) (released, others []aModule, err error) {
	files, err := committable(ctx, root)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range files {
		if path.Base(name) != "go.mod" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, nil, err
		}
		file, err := modfile.Parse(name, data, nil)
		if err != nil {
			return nil, nil, err
		}
		mod := aModule{dir: path.Dir(name), file: file}
		want := rootPath
		if mod.dir != "." {
			want += "/" + mod.dir
		}
		switch first, rest, _ := strings.Cut(mod.dir, "/"); {
		case mod.path() != want:
			return nil, nil, fmt.Errorf("%s is of module %s: by its place it is %s", name, mod.path(), want)
		case unreleased.MatchString(mod.dir):
			others = append(others, mod)
		case mod.dir == ".", first == "adapters" && rest != "":
			released = append(released, mod)
		default:
			return nil, nil, fmt.Errorf("%s: neither is said to be released nor not: a module belongs below adapters, examples, test or tools", name)
		}
	}
	if !slices.ContainsFunc(released, func(m aModule) bool { return m.dir == "." }) {
		return nil, nil, errors.New("no root module: is -root the repository?")
	}
	released, err = ordered(released)
	return released, others, err
}

// ordered puts each module behind those that it requires.
func ordered(mods []aModule) ([]aModule, error) {
	left := slices.SortedFunc(slices.Values(mods), func(a, b aModule) int { return cmp.Compare(a.dir, b.dir) })
	var done []aModule
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(m aModule) bool {
			return !slices.ContainsFunc(m.file.Require, func(r *modfile.Require) bool {
				return slices.ContainsFunc(left, func(other aModule) bool { return other.path() == r.Mod.Path })
			})
		})
		if i < 0 {
			return nil, fmt.Errorf("%s and others require each other", left[0].path())
		}
		done = append(done, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return done, nil
}

// required returns the version that the adapters require of the root module.
func required(released []aModule) (string, error) {
	version := ""
	for _, m := range released {
		for _, r := range m.file.Require {
			switch {
			case r.Mod.Path != rootPath:
			case version != "" && r.Mod.Version != version:
				return "", fmt.Errorf("%s requires %s %s, another adapter %s", m.dir, rootPath, r.Mod.Version, version)
			default:
				version = r.Mod.Version
			}
		}
	}
	if version == "" {
		return "", errors.New("no adapter requires the root module")
	}
	return version, nil
}

// ours reports whether a module is of this repository.
func ours(modulePath string) bool {
	return modulePath == rootPath || strings.HasPrefix(modulePath, rootPath+"/")
}

// committable are the files that are committed or would be by git add.
func committable(ctx context.Context, root string) ([]string, error) {
	out, err := output(ctx, root, nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(out, "\x00") {
		if _, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name))); name != "" && err == nil {
			files = append(files, name)
		}
	}
	return files, nil
}

// output runs a command in a directory, with further variables, and returns what
// it says. An error has what it says about it.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	out, err := command.Output()
	if err != nil {
		said := ""
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			said = "\n" + string(exit.Stderr) + string(out)
		}
		return "", fmt.Errorf("%s %s: %w%s", name, strings.Join(args, " "), err, said)
	}
	return string(out), nil
}
