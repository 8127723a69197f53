package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// dryRun releases the working tree as it is, at the version that the adapters
// require: in a clone that is thrown away, with the tags, to programs that know of
// no other place than github.com, where a configuration of git for them alone
// leads to the clone. It leaves in -out, with the clone,
//
//	env              the variables with which others get the same release
//	bin/bearergate   the command as go install makes it
//	artifacts/       what artifacts makes of a release
//
// and touches the repository in no way.
func dryRun(ctx context.Context, o options, w io.Writer) error {
	before, err := output(ctx, o.root, nil, "git", "for-each-ref", "refs/tags")
	if err != nil {
		return err
	}
	released, others, err := layout(ctx, o.root)
	if err != nil {
		return err
	}
	version, err := required(released)
	if err != nil {
		return err
	}
	for _, m := range others {
		fmt.Fprintf(w, "not released: %s\n", m.path())
	}
	clone := filepath.Join(o.out, "clone")
	if err := throwAway(ctx, o.root, clone); err != nil {
		return err
	}
	// What is still to be done for a release is done there: it must then be ready.
	day := "2026-01-31"
	if err := prepare(ctx, options{root: clone, version: version, date: day}, w); err != nil {
		return err
	}
	if err := commit(ctx, clone, version, day); err != nil {
		return err
	}
	if err := ready(ctx, clone, version); err != nil {
		return err
	}
	for _, m := range released {
		if _, err := output(ctx, clone, who(day), "git", "-c", "tag.gpgsign=false", "tag", "-m", m.path()+" "+version, m.tag(version)); err != nil {
			return err
		}
		fmt.Fprintf(w, "tag: %s\n", m.tag(version))
	}

	env, err := toClone(ctx, o, clone)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, "env"), []byte(strings.Join(env, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if err := served(ctx, o.out, env, released, version, w); err != nil {
		return err
	}
	if err := installed(ctx, o.out, env, version, w); err != nil {
		return err
	}
	if err := makeArtifacts(ctx, clone, filepath.Join(o.out, "artifacts"), env, version, []string{runtime.GOOS + "/" + runtime.GOARCH}, w); err != nil {
		return err
	}
	after, err := output(ctx, o.root, nil, "git", "for-each-ref", "refs/tags")
	if err != nil {
		return err
	}
	if before != after {
		return errors.New("the tags of the repository are others than before")
	}
	return nil
}

// throwAway clones the repository without its tags, and puts the working tree
// there with what is not committed.
func throwAway(ctx context.Context, root, clone string) error {
	files, err := committable(ctx, root)
	if err != nil {
		return err
	}
	if _, err := output(ctx, root, nil, "git", "clone", "--quiet", "--no-tags", "--no-checkout", "file://"+filepath.ToSlash(root), clone); err != nil {
		return err
	}
	for _, name := range files {
		from, to := filepath.Join(root, filepath.FromSlash(name)), filepath.Join(clone, filepath.FromSlash(name))
		info, err := os.Lstat(from)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file: a module has no other", name)
		}
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// who are the author and the time of what is committed in a clone.
func who(day string) []string {
	return []string{"GIT_AUTHOR_NAME=dry run", "GIT_AUTHOR_EMAIL=dry-run@example.com", "GIT_AUTHOR_DATE=" + day + "T12:00:00Z",
		"GIT_COMMITTER_NAME=dry run", "GIT_COMMITTER_EMAIL=dry-run@example.com", "GIT_COMMITTER_DATE=" + day + "T12:00:00Z"}
}

func commit(ctx context.Context, clone, version, day string) error {
	if _, err := output(ctx, clone, nil, "git", "add", "--all"); err != nil {
		return err
	}
	_, err := output(ctx, clone, who(day), "git", "-c", "commit.gpgsign=false", "commit", "--quiet", "--allow-empty", "--no-verify", "-m", version)
	return err
}

// toClone are the variables with which the go command finds this repository in the
// clone, and everything else where it always does. The modules go into a directory
// of their own: these versions must not be found in anybody's later.
func toClone(ctx context.Context, o options, clone string) ([]string, error) {
	settings, err := output(ctx, o.root, nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(settings), "\n")
	if len(lines) != 2 {
		return nil, fmt.Errorf("go env says %q", settings)
	}
	return []string{
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=url.file://" + filepath.ToSlash(clone) + ".insteadOf",
		"GIT_CONFIG_VALUE_0=https://" + rootPath,
		"GONOPROXY=" + rootPath + "," + rootPath + "/*",
		"GONOSUMDB=" + rootPath + "," + rootPath + "/*",
		"GOPROXY=file://" + filepath.ToSlash(filepath.Join(lines[0], "cache", "download")) + "," + lines[1],
		"GOMODCACHE=" + filepath.Join(o.out, "modcache"),
		"GOFLAGS=-modcacherw",
		"GOWORK=off",
	}, nil
}

// served has a program of its own get each module alone, and looks at what it got.
func served(ctx context.Context, out string, env []string, released []aModule, version string, w io.Writer) error {
	for _, m := range released {
		dir := filepath.Join(out, "user", strings.ReplaceAll(m.dir, "/", "-"))
		if err := get(ctx, dir, env, m, version); err != nil {
			return err
		}
		archive, err := output(ctx, dir, env, "go", "mod", "download", "-json", m.path()+"@"+version)
		if err != nil {
			return err
		}
		match := regexp.MustCompile(`"Zip": "(.*)"`).FindStringSubmatch(archive)
		if match == nil {
			return fmt.Errorf("go mod download says %s", archive)
		}
		if err := contents(filepath.FromSlash(strings.ReplaceAll(match[1], `\\`, `\`)), m.path()+"@"+version+"/"); err != nil {
			return fmt.Errorf("%s: %w", m.path(), err)
		}
		fmt.Fprintf(w, "go get %s@%s\n", m.path(), version)
	}
	return nil
}

// get makes a module that requires a module and nothing else, and has what links
// all of its packages. go build compiles them.
func get(ctx context.Context, dir string, env []string, m aModule, version string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := output(ctx, dir, env, "go", "mod", "init", "example.com/user"); err != nil {
		return err
	}
	if _, err := output(ctx, dir, env, "go", "get", m.path()+"@"+version); err != nil {
		return err
	}
	names, err := output(ctx, dir, env, "go", "list", "-find", m.path()+"/...")
	if err != nil {
		return err
	}
	packages := slices.DeleteFunc(strings.Fields(names), notForUsers.MatchString)
	with := []string{"get"}
	for _, name := range packages {
		with = append(with, name+"@"+version)
	}
	if _, err := output(ctx, dir, env, "go", with...); err != nil {
		return err
	}
	if _, err := output(ctx, dir, env, "go", append([]string{"build", "-trimpath"}, packages...)...); err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	if bytes.Contains(goMod, []byte("replace")) {
		return fmt.Errorf("%s: its user needs a replace directive:\n%s", m.path(), goMod)
	}
	return nil
}

// contents looks into the archive of a module.
func contents(file, prefix string) error {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer archive.Close() //nolint:errcheck // it was read only
	for _, name := range []string{"LICENSE", "go.mod"} {
		if !slices.ContainsFunc(archive.File, func(f *zip.File) bool { return f.Name == prefix+name && f.UncompressedSize64 > 0 }) {
			return fmt.Errorf("its archive has no %s", name)
		}
	}
	return nil
}

// installed gets the command as people do, outside any module.
func installed(ctx context.Context, out string, env []string, version string, w io.Writer) error {
	bin := filepath.Join(out, "bin")
	if _, err := output(ctx, out, append(slices.Clone(env), "GOBIN="+bin), "go", "install", "-trimpath", rootPath+"/cmd/bearergate@"+version); err != nil {
		return err
	}
	said, err := output(ctx, out, nil, filepath.Join(bin, "bearergate"), "version")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(said, "bearergate "+version+" ") {
		return fmt.Errorf("the command that go install makes says %q", said)
	}
	fmt.Fprint(w, said)
	return nil
}

// programs are the platforms for which a release has the command.
var programs = []string{"darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64"}

// artifacts makes the files of a release whose tags are pushed, from its tag and
// from what the module proxy has of it.
func artifacts(ctx context.Context, o options, w io.Writer) error {
	return makeArtifacts(ctx, o.root, o.out, []string{"GOMODCACHE=" + filepath.Join(o.out, "work", "modcache"), "GOFLAGS=-modcacherw", "GOWORK=off"}, o.version, programs, w)
}

// makeArtifacts writes to out the command for each platform, the bills of
// materials, and NOTICES.txt; each is made twice, and has to be the same. The
// repository has the tag.
func makeArtifacts(ctx context.Context, repository, out string, env []string, version string, targets []string, w io.Writer) error {
	if err := releasable(version); err != nil {
		return err
	}
	if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: what lies there would look like a part of the release", out)
	}
	made := &artifactSet{out: out, work: filepath.Join(out, "work"), version: version, env: env, w: w}
	one, another := filepath.Join(made.work, "one"), filepath.Join(made.work, "another", "place")
	for _, dir := range []string{one, another} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if _, err := output(ctx, out, nil, "git", "-c", "advice.detachedHead=false", "clone", "--quiet", "--branch", version, "file://"+filepath.ToSlash(repository), dir); err != nil {
			return err
		}
	}
	for _, target := range targets {
		if err := made.program(ctx, target, one, another); err != nil {
			return err
		}
	}
	if err := made.says(ctx, one); err != nil {
		return err
	}
	released, _, err := layout(ctx, one)
	if err != nil {
		return err
	}
	for _, m := range released {
		if err := made.bills(ctx, one, m); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(strings.Join(made.sums, "")), 0o644); err != nil {
		return err
	}
	return os.RemoveAll(made.work)
}

// artifactSet are the files of a release that were made.
type artifactSet struct {
	out, work, version string
	env                []string
	sums               []string
	w                  io.Writer
}

func (a *artifactSet) add(name string, made func(again bool) ([]byte, error)) error {
	first, err := made(false)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	second, err := made(true)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !bytes.Equal(first, second) {
		return fmt.Errorf("%s, made twice, is not the same", name)
	}
	sum := fmt.Sprintf("%x  %s\n", sha256.Sum256(first), name)
	a.sums = append(a.sums, sum)
	fmt.Fprint(a.w, sum)
	return os.WriteFile(filepath.Join(a.out, name), first, 0o755)
}

func (a *artifactSet) programName(target string) string {
	name := "bearergate-" + a.version + "-" + strings.ReplaceAll(target, "/", "-")
	if strings.HasPrefix(target, "windows/") {
		name += ".exe"
	}
	return name
}

// program builds the command for a platform: the second time elsewhere, and with
// nothing of what was compiled before.
func (a *artifactSet) program(ctx context.Context, target, one, another string) error {
	goos, goarch, _ := strings.Cut(target, "/")
	return a.add(a.programName(target), func(again bool) ([]byte, error) {
		dir, env := one, append(slices.Clone(a.env), "GOOS="+goos, "GOARCH="+goarch)
		if again {
			dir, env = another, append(env, "GOCACHE="+filepath.Join(a.work, "cache"))
		}
		return program(ctx, dir, filepath.Join(a.work, "program"), env)
	})
}

// says has the command for this machine say which version and revision it is.
func (a *artifactSet) says(ctx context.Context, clone string) error {
	said, err := output(ctx, a.out, nil, filepath.Join(a.out, a.programName(runtime.GOOS+"/"+runtime.GOARCH)), "version")
	if err != nil {
		return err
	}
	revision, err := output(ctx, clone, nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("bearergate %s %s %s/%s\nrevision %s", a.version, runtime.Version(), runtime.GOOS, runtime.GOARCH, revision); said != want {
		return fmt.Errorf("the command says %q, and not %q", said, want)
	}
	fmt.Fprint(a.w, said)
	return nil
}

// isServed compares a module, as users get it, with its directory at the tag here: the bills
// are made from the one, and the commands built from the other. The go command runs in dir.
func (a *artifactSet) isServed(ctx context.Context, dir, clone string, m aModule) error {
	said, err := output(ctx, dir, a.env, "go", "mod", "download", "-json", m.path()+"@"+a.version)
	if err != nil {
		return err
	}
	var served struct{ Sum string }
	if err := json.Unmarshal([]byte(said), &served); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := modzip.CreateFromVCS(&archive, module.Version{Path: m.path(), Version: a.version}, clone, "HEAD", strings.TrimPrefix(m.dir, ".")); err != nil {
		return err
	}
	file := filepath.Join(a.work, "module.zip")
	if err := os.WriteFile(file, archive.Bytes(), 0o600); err != nil {
		return err
	}
	sum, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		return err
	}
	if sum != served.Sum {
		return fmt.Errorf("%s %s is %s for its users, and %s by the tag in this repository", m.path(), a.version, served.Sum, sum)
	}
	return nil
}

// bills makes the bill of materials of a module, and what there is of the command.
func (a *artifactSet) bills(ctx context.Context, clone string, m aModule) error {
	user := filepath.Join(a.work, "user", strings.ReplaceAll(m.dir, "/", "-"))
	if err := get(ctx, user, a.env, m, a.version); err != nil {
		return err
	}
	if err := a.isServed(ctx, user, clone, m); err != nil {
		return err
	}
	name := path.Base(m.path())
	if m.dir != "." {
		name = strings.ReplaceAll(m.dir, "/", "-")
	}
	bill := func(name, goVersion string, pattern string) error {
		return a.add(name+"-"+a.version+".cdx.json", func(bool) ([]byte, error) {
			return bill(ctx, user, a.env, m, a.version, goVersion, pattern)
		})
	}
	if err := bill(name, "", m.path()+"/..."); err != nil || m.dir != "." {
		return err
	}
	const command = rootPath + "/cmd/bearergate"
	return errors.Join(
		bill("cmd-bearergate", strings.TrimPrefix(runtime.Version(), "go"), command),
		a.add("NOTICES.txt", func(bool) ([]byte, error) { return notices(ctx, user, a.env, command) }),
	)
}

// program builds the command. docs/releasing.md says the same for who wants to
// reproduce it.
func program(ctx context.Context, dir, file string, env []string) ([]byte, error) {
	if err := unchanged(ctx, dir, env); err != nil {
		return nil, err
	}
	if _, err := output(ctx, dir, append(env, "CGO_ENABLED=0", "GOFLAGS=-modcacherw"), "go", "build", "-trimpath", "-buildvcs=true", "-o", file, "./cmd/bearergate"); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// unchanged refuses settings of this machine that would go into a program: GOAMD64=v3 for
// example, with which it does not start on older processors.
func unchanged(ctx context.Context, dir string, env []string) error {
	said, err := output(ctx, dir, env, "go", "env", "-json", "-changed")
	if err != nil {
		return err
	}
	var changed map[string]string
	if err := json.Unmarshal([]byte(said), &changed); err != nil {
		return err
	}
	for _, name := range []string{"GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140"} {
		if value := changed[name]; value != "" {
			return fmt.Errorf("%s is %s: unset it, in the environment and by go env -u", name, value)
		}
	}
	return nil
}

// notices are the licences of what is linked into a program, whole.
func notices(ctx context.Context, dir string, env []string, patterns ...string) ([]byte, error) {
	mods, err := linked(ctx, dir, env, patterns...)
	if err != nil {
		return nil, err
	}
	goroot, err := output(ctx, dir, env, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	goroot = strings.TrimSpace(goroot)
	mods["the standard library of Go"] = &linkedModule{path: "the standard library of Go", dir: goroot}
	var names []string
	for name := range mods {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		_, files, err := mods[name].licence()
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, "== %s %s: %s\n\n%s\n", name, mods[name].version, filepath.Base(file), text)
		}
	}
	return b.Bytes(), nil
}
