package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionInfo is the JSON of version.
type versionInfo struct {
	Version  string `json:"version"`            // of the module: v1.2.3, a pseudo-version, or (devel)
	Revision string `json:"revision,omitempty"` // of the source, if it was built there
	Modified bool   `json:"modified,omitempty"` // the source was changed since that revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func version(_ context.Context, e *env, args []string) error {
	flags := newFlags("version", "Prints which build of the command this is.")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(e, flags, args); err != nil {
		return err
	}
	v := versionInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if *asJSON {
		return e.json(v)
	}
	fmt.Fprintf(e.stdout, "bearergate %s %s %s\n", v.Version, v.Go, v.Platform)
	if v.Revision != "" {
		changed := ""
		if v.Modified {
			changed = ", changed since"
		}
		fmt.Fprintf(e.stdout, "revision %s%s\n", v.Revision, changed)
	}
	return nil
}
