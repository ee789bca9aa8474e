package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// database is the module whose data/osv are the advisories: it comes as other modules
// do, held to its checksum.
const database = "golang.org/x/vulndb"

// standard is what govulncheck calls the module of the standard library.
const standard = "stdlib"

// advisory is one that concerns a program.
type advisory struct {
	id, summary     string
	module, version string
	pkg, at         string // what is linked; where it is called
	fixed           string // in which version; empty for none
}

// newerGo reports whether all it takes is another Go to build with.
func (a advisory) newerGo() bool { return a.module == standard && a.fixed != "" }

func (a advisory) String() string {
	s := fmt.Sprintf("%s: %s\n\t%s of %s %s", a.id, a.summary, a.pkg, a.module, a.version)
	if a.at != "" {
		s += ", called at " + a.at
	}
	switch {
	case a.fixed == "":
		return s + "\n\thint: no version mends it: do without the package"
	case a.module == standard:
		return s + "\n\thint: build with go" + strings.TrimPrefix(a.fixed, "v") + " or newer"
	}
	return s + fmt.Sprintf("\n\thint: go get %s@%s", a.module, a.fixed)
}

// advisories fails for those that reach what users get. What a newer Go mends is named
// with it: go.mod names the oldest Go that works, and a release is built with another.
func (c *checker) advisories(ctx context.Context) error {
	at, err := output(ctx, "", nil, "go", "mod", "download", "-json", database)
	if err != nil {
		return err
	}
	var db struct{ Dir, Version string }
	if err := json.Unmarshal(at, &db); err != nil {
		return fmt.Errorf("cannot read the place of %s: %w", database, err)
	}
	fmt.Fprintf(c.out, "advisories: of %s %s\n", database, db.Version)
	programs, err := c.programs(ctx)
	if err != nil {
		return err
	}
	all := map[string]advisory{}
	for _, p := range programs {
		found, err := p.advisories(ctx, c.root, filepath.Join(db.Dir, "data", "osv"))
		if err != nil {
			return err
		}
		for _, a := range found {
			all[a.id+" "+a.module+" "+a.version] = a
		}
	}
	return c.judge(slices.Collect(maps.Values(all)))
}

// advisories asks govulncheck about p.
func (p program) advisories(ctx context.Context, root, db string) ([]advisory, error) {
	level := "package"
	if p.called {
		level = "symbol"
	}
	args := []string{"-db", "file://" + filepath.ToSlash(db), "-format", "json", "-scan", level, "-tags", p.tags}
	out, err := tool(ctx, filepath.Join(root, p.module), "govulncheck", append(args, p.paths...)...)
	if err != nil {
		return nil, err
	}
	found, err := readAdvisories(bytes.NewReader(out), p.called)
	if err != nil {
		return nil, fmt.Errorf("cannot read what govulncheck says of %s: %w", strings.Join(p.paths, " "), err)
	}
	return found, nil
}

// message is the part of govulncheck's messages that counts here.
type message struct {
	OSV *struct {
		ID, Summary string
	}
	Finding *struct {
		OSV          string
		FixedVersion string `json:"fixed_version"`
		Trace        []struct {
			Module, Version, Package, Function string
			Position                           *struct {
				Filename string
				Line     int
			}
		}
	}
	SBOM *struct{ Roots []string }
}

// readAdvisories reads govulncheck's messages: an advisory counts where a function of it
// is called, or a package of it is linked.
func readAdvisories(r io.Reader, called bool) ([]advisory, error) {
	summaries, found, scanned := map[string]string{}, map[string]advisory{}, false
	for d := json.NewDecoder(r); ; {
		var m message
		if err := d.Decode(&m); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		scanned = scanned || m.SBOM != nil && len(m.SBOM.Roots) > 0
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if m.Finding == nil || len(m.Finding.Trace) == 0 {
			continue
		}
		f, trace := m.Finding, m.Finding.Trace
		if trace[0].Package == "" || called && trace[0].Function == "" {
			continue
		}
		a := advisory{
			id: f.OSV, module: trace[0].Module, version: trace[0].Version, pkg: trace[0].Package, fixed: f.FixedVersion,
		}
		if p := trace[len(trace)-1].Position; called && p != nil {
			a.at = fmt.Sprintf("%s:%d", p.Filename, p.Line)
		}
		found[a.id] = a
	}
	if !scanned {
		return nil, errors.New("no program was looked at")
	}
	for id, a := range found {
		a.summary = summaries[id]
		found[id] = a
	}
	return slices.Collect(maps.Values(found)), nil
}

// judge tells which of the advisories fail, and names what waits for a newer Go.
func (c *checker) judge(all []advisory) error {
	var bad []string
	later := map[string][]string{}
	for _, a := range all {
		if a.newerGo() && !c.release {
			later[a.fixed] = append(later[a.fixed], a.id)
		} else {
			bad = append(bad, a.String())
		}
	}
	for _, fixed := range slices.Sorted(maps.Keys(later)) {
		slices.Sort(later[fixed])
		fmt.Fprintf(c.out, "advisories: go%s mends %s\n", strings.TrimPrefix(fixed, "v"), strings.Join(later[fixed], " "))
	}
	if len(bad) == 0 {
		return nil
	}
	slices.Sort(bad)
	return errors.New(strings.Join(bad, "\n"))
}
