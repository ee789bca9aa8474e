package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coltec/coltec/pkg/agents"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/talks"
	"github.com/coltec/coltec/pkg/wholefile"
)

// agentNotices say of which agents less is carried than the spec has it look: a variable has them
// keep their files elsewhere, or a newer version does.
func (s setting) agentNotices() (list []string) {
	home, err := os.OpenRoot(s.home())
	if err != nil {
		return nil // a replica of it says what is wrong
	}
	defer home.Close()
	for _, listed := range s.spec.Agents {
		a, is := agents.Find(listed.Name)
		if !is {
			continue
		}
		if at := s.movedTo(a); at != "" {
			list = append(list, fmt.Sprintf("%s is set: %s keeps its files in %s, and nothing of that is carried: unset it, or carry that by an entry of persistence.sync", a.Variable.Name, a.Name, at))
			continue
		}
		version := s.installed(a)
		if version == "" || !newer(version, a.Seen) {
			continue
		}
		if stray := talks.Elsewhere(home, a); len(stray) > 0 {
			list = append(list, fmt.Sprintf("%s %s is newer than what is known of it (%s), and keeps conversations where none are carried, as ~/%s: carry them by include, in the spec's agents", a.Name, version, a.Seen, stray[0]))
		}
	}
	return list
}

// movedTo is where a variable has an agent keep its files of which nothing is carried; "" where
// none does.
func (s setting) movedTo(a agents.Agent) string {
	at, is := lookup(s.environ)(a.Variable.Name)
	if !is || !filepath.IsAbs(at) {
		return ""
	}
	real := func(path string) string {
		if to, err := anchor.Real(filepath.Clean(path)); err == nil {
			return to
		}
		return filepath.Clean(path)
	}
	to := real(at)
	if to == real(filepath.Join(s.home(), a.Variable.Instead)) {
		return ""
	}
	for _, y := range s.spec.Replicas() {
		if len(y.Include) == 0 && within(to, real(y.Path)) {
			return "" // by an entry of the spec's own
		}
	}
	return filepath.Clean(at)
}

const (
	// packageMost is what a package.json may have of bytes.
	packageMost = 1 << 20
	// packageAbove is how far above a program its package.json may lie.
	packageAbove = 4
)

// installed is the version of an agent's program that a shell here would find, by the
// package.json that it came with; "" where nobody knows. It runs nothing.
func (s setting) installed(a agents.Agent) string {
	list, _ := lookup(s.environ)("PATH")
	for _, dir := range filepath.SplitList(list) {
		at, err := filepath.EvalSymlinks(filepath.Join(dir, a.Program))
		if err != nil || !filepath.IsAbs(dir) {
			continue
		}
		for range packageAbove {
			at = filepath.Dir(at)
			b, err := wholefile.Read(filepath.Join(at, "package.json"), packageMost)
			var p struct{ Name, Version string }
			if err == nil && json.Unmarshal(b, &p) == nil && p.Name == a.Package {
				return versionText(p.Version)
			}
		}
		return "" // the first one counts, whatever comes with it
	}
	return ""
}

// versionText is a version that may be shown: numbers and dots.
func versionText(text string) string {
	text, _, _ = strings.Cut(text, "-")
	if len(text) > 32 || strings.Trim(text, "0123456789.") != "" {
		return ""
	}
	return text
}

// newer reports whether a version is a later one than seen, as far as that says.
func newer(version, seen string) bool {
	numbers := func(text string) (list []int) {
		for part := range strings.SplitSeq(text, ".") {
			n, _ := strconv.Atoi(part)
			list = append(list, n)
		}
		return list
	}
	known, is := numbers(seen), numbers(version)
	return slices.Compare(is[:min(len(is), len(known))], known) > 0
}
