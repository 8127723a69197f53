package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// bill returns the bill of materials (CycloneDX 1.6, JSON) of a module of which
// somebody who requires nothing else links the packages, or of a program. It says
// the versions that the go command chooses then, what is linked on any platform,
// and nothing that is another thing the second time. goVersion is for a program,
// of which the standard library is a part.
func bill(ctx context.Context, dir string, env []string, mod aModule, version, goVersion string, patterns ...string) ([]byte, error) {
	mods, err := linked(ctx, dir, env, patterns...)
	if err != nil {
		return nil, err
	}
	if mods[mod.path()] == nil || mods[mod.path()].version != version {
		return nil, fmt.Errorf("%s %s is not what was linked", mod.path(), version)
	}
	ref := func(path string) string { return "pkg:golang/" + path + "@" + mods[path].version }
	var components []cdx.Component
	var dependencies []cdx.Dependency
	var subject cdx.Component
	for _, path := range slices.Sorted(maps.Keys(mods)) {
		m := mods[path]
		c := cdx.Component{BOMRef: ref(path), Type: cdx.ComponentTypeLibrary, Name: path, Version: m.version, Scope: cdx.ScopeRequired, PackageURL: ref(path)}
		kind, _, err := m.licence()
		if err != nil {
			return nil, err
		}
		c.Licenses = &cdx.Licenses{{Expression: strings.Join(kind, " AND ")}}
		// The checksum of go.sum: SHA-256 over the sums of the files.
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:"))
		if err != nil || len(sum) != 32 {
			return nil, fmt.Errorf("%s: %q is no checksum", path, m.sum)
		}
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}

		var needs []string
		for _, other := range slices.Sorted(maps.Keys(m.imports)) {
			needs = append(needs, ref(other))
		}
		if path == mod.path() {
			c.Scope = ""
			if goVersion != "" {
				c.Type = cdx.ComponentTypeApplication
				needs = append(needs, "pkg:golang/std@"+goVersion)
			}
			subject = c
		} else {
			components = append(components, c)
		}
		dependencies = append(dependencies, cdx.Dependency{Ref: c.BOMRef, Dependencies: &needs})
	}
	if goVersion != "" {
		std := "pkg:golang/std@" + goVersion
		components = append(components, cdx.Component{BOMRef: std, Type: cdx.ComponentTypeLibrary, Name: "std", Version: goVersion, Scope: cdx.ScopeRequired, PackageURL: std,
			Licenses: &cdx.Licenses{{Expression: "BSD-3-Clause"}}})
		dependencies = append(dependencies, cdx.Dependency{Ref: std})
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &subject}
	bom.Components, bom.Dependencies = &components, &dependencies
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
