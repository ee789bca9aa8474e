package replica

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// bundles are a kind of wholes that is found by its content, as a database is: a file that
// begins with "bundle", and the one beside it whose name ends in -log.
type bundles struct{ whole.Kind }

func (bundles) Layout() whole.Layout {
	return whole.Layout{
		Noun: "bundles", Dir: localfs.Dir + "/git", Mark: "coltec.json", Gone: "coltec.gone",
		Bulk: "objects/pack", Spared: ".pack", Stands: ".idx",
	}
}

func (bundles) Leads(string) bool { return false }

func (bundles) AsFiles([]tree.Entry, func(string, bool) bool) map[string][]tree.Entry { return nil }

// capturing captures the bundles of a machine's tree; those in busy are withheld.
func (m *machine) capturing(busy map[string]bool) func(context.Context, whole.Met) ([]localfs.Unknown, error) {
	return func(_ context.Context, met whole.Met) ([]localfs.Unknown, error) {
		var unseen []localfs.Unknown
		for _, s := range met.Edited {
			at := strings.TrimSuffix(s.Path, "-log")
			body, _ := os.ReadFile(m.at(at))
			switch {
			case !strings.HasPrefix(string(body), "bundle"):
				continue
			case busy[at]:
				unseen = append(unseen, localfs.Unknown{Path: s.Path, Reason: "it is locked", Unread: true})
				continue
			}
			log, _ := os.ReadFile(m.at(at + "-log"))
			for name, now := range map[string]string{"db": string(body), "log": string(log), "coltec.json": "{}"} {
				file := localfs.Dir + "/git/" + at + "/" + name
				if was, err := os.ReadFile(m.at(file)); err != nil || string(was) != now {
					m.write(map[string]string{file: now})
				}
			}
			unseen = append(unseen, localfs.Unknown{Path: s.Path, Quiet: true})
		}
		return unseen, nil
	}
}

// A kind that is found by its content goes by its shadow alone, never as the files that it
// is, and one that cannot be captured now is withheld with all that it is.
func TestWholesFoundByTheirContent(t *testing.T) {
	m := newWorld(t).machine("m")
	m.Wholes = whole.Kinds{bundles{}}
	busy := map[string]bool{"d/locked": true}
	m.Capture = m.capturing(busy)
	m.mustAcquire()
	m.write(map[string]string{"d/a": "bundle 1", "d/a-log": "x", "d/locked": "bundle 2", "d/locked-log": "y", "d/file": "1", "d/file-log": "2"})
	pushed := func() (paths []string) {
		t.Helper()
		m.pushAll()
		remote, err := m.Layout.Tree(t.Context(), m.w.ref)
		m.w.must(err)
		for _, e := range remote.Entries {
			if e.Kind == tree.File {
				paths = append(paths, e.Path)
			}
		}
		slices.Sort(paths)
		return paths
	}
	shadow := func(at string) []string {
		dir := filepath.Join(localfs.Dir, "git", at)
		return []string{dir + "/coltec.json", dir + "/db", dir + "/log"}
	}
	if got, want := pushed(), append(shadow("d/a"), "d/file", "d/file-log"); !slices.Equal(got, want) {
		t.Errorf("in the bucket: %q, want %q", got, want)
	}
	found, err := m.Scan(t.Context(), nil)
	m.w.must(err)
	if u, _, ok := strings.Cut(describeUnknown(found.Unknown), "\n"); !ok || !strings.Contains(u, "d/locked: it is locked") {
		t.Errorf("of what is withheld: %q", describeUnknown(found.Unknown))
	}
	delete(busy, "d/locked")
	// A walk of nothing looks again at what was withheld.
	found, err = m.ScanIn(t.Context(), map[string]bool{})
	m.w.must(err)
	if !slices.ContainsFunc(found.Edited, func(e Edit) bool { return e.Path == shadow("d/locked")[1] }) {
		t.Errorf("what was withheld is not looked at again: %+v", found.Edited)
	}
	if got, want := pushed(), slices.Concat(shadow("d/a"), shadow("d/locked"), []string{"d/file", "d/file-log"}); !slices.Equal(got, want) {
		t.Errorf("in the bucket: %q, want %q", got, want)
	}
}

func describeUnknown(unknown []localfs.Unknown) string {
	var b strings.Builder
	for _, u := range unknown {
		if !u.Quiet {
			b.WriteString(u.Path + ": " + u.Reason + "\n")
		}
	}
	return b.String()
}
