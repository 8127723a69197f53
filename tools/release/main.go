// Command release lays the root module and the adapters out as a module proxy
// would serve them, so that they can be tried as what users get: without the
// replace directives that hold in this repository, and with nothing but the
// files that belong to each module.
//
//	go run . -out DIR    then GOPROXY=file://DIR,… GONOSUMDB=github.com/bearergate/*
//
// All have the version of the root module that the adapters require, on which
// they must agree.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const rootPath = "github.com/bearergate/bearergate"

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	root := flag.String("root", "../..", "the repository")
	out := flag.String("out", "", "the directory to write to")
	flag.Parse()
	if *out == "" {
		log.Fatal("name a directory with -out")
	}
	if err := release(*root, *out); err != nil {
		log.Fatal(err)
	}
}

func release(root, out string) error {
	mods, err := modules(root)
	if err != nil {
		return err
	}
	for dir, mod := range mods {
		if err := serve(dir, mod, out); err != nil {
			return fmt.Errorf("%s: %w", mod, err)
		}
		fmt.Println(mod)
	}
	return nil
}

// modules returns what is released, by its directory.
func modules(root string) (map[string]module.Version, error) {
	adapters, err := filepath.Glob(filepath.Join(root, "adapters", "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	if len(adapters) == 0 {
		return nil, errors.New("no adapters: is -root the repository?")
	}
	mods := map[string]module.Version{}
	version := ""
	for _, file := range adapters {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		f, err := modfile.Parse(file, data, nil)
		if err != nil {
			return nil, err
		}
		required := ""
		for _, r := range f.Require {
			if r.Mod.Path == rootPath {
				required = r.Mod.Version
			}
		}
		switch {
		case required == "" || module.IsPseudoVersion(required) || required == "v0.0.0":
			return nil, fmt.Errorf("%s requires %s %q, which is no release", file, rootPath, required)
		case version != "" && required != version:
			return nil, fmt.Errorf("%s requires %s %s, another adapter %s", file, rootPath, required, version)
		}
		version = required
		mods[filepath.Dir(file)] = module.Version{Path: f.Module.Mod.Path, Version: required}
	}
	mods[root] = module.Version{Path: rootPath, Version: version}
	return mods, nil
}

// serve writes the four files of a version (go help goproxy).
func serve(dir string, mod module.Version, out string) error {
	path, err := module.EscapePath(mod.Path)
	if err != nil {
		return err
	}
	at := filepath.Join(out, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": mod.Version, "Time": time.Unix(0, 0).UTC()})
	if err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"list": []byte(mod.Version + "\n"), mod.Version + ".info": info, mod.Version + ".mod": goMod} {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
			return err
		}
	}
	archive, err := os.Create(filepath.Join(at, mod.Version+".zip"))
	if err != nil {
		return err
	}
	defer archive.Close() //nolint:errcheck // closed for good below
	if err := zip.CreateFromDir(archive, mod, dir); err != nil {
		return err
	}
	return archive.Close()
}
