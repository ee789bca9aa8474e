package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
)

// hand edits a tree at random and knows what a watch would tell of it.
type hand struct {
	m       *machine
	rnd     *rand.Rand
	touched map[string]bool
	did     []string
}

// path makes up one of few, so that edits meet.
func (h *hand) path() string {
	names := []string{"a", "b", "c", "d"}
	var elems []string
	for range 1 + h.rnd.IntN(4) {
		elems = append(elems, names[h.rnd.IntN(len(names))])
	}
	return strings.Join(elems, "/")
}

// touch notes that something changed at a path.
func (h *hand) touch(at string) {
	dir := strings.TrimPrefix(path.Dir("/"+at), "/")
	h.touched[dir] = h.touched[dir] || false
}

// came notes what is at a path now, and was not before.
func (h *hand) came(at string) {
	h.touch(at)
	if s, err := os.Lstat(filepath.Join(h.m.Path, at)); err == nil && s.IsDir() {
		h.touched[at] = true
	}
}

// makeWay makes the directories above a path, whatever is there.
func (h *hand) makeWay(at string) {
	for dir := range tree.Parents(at) {
		full := filepath.Join(h.m.Path, dir)
		if s, err := os.Lstat(full); err == nil && !s.IsDir() {
			h.m.w.must(os.Remove(full))
		}
		if err := os.Mkdir(full, 0o755); err == nil {
			h.came(dir)
		} else if !errors.Is(err, fs.ErrExist) {
			h.m.w.t.Fatal(err)
		}
	}
}

func (h *hand) edit() {
	must := h.m.w.must
	at := h.path()
	full := filepath.Join(h.m.Path, at)
	s, err := os.Lstat(full)
	there := err == nil
	op := h.rnd.IntN(10)
	h.did = append(h.did, fmt.Sprint(op, " ", at))
	switch {
	case op < 4 && (!there || s.Mode().IsRegular()):
		h.makeWay(at)
		must(os.WriteFile(full, fmt.Append(nil, h.rnd.Int()), 0o644))
		h.touch(at)
	case op < 6: // moves, out of the tree at times
		to := h.path()
		if !there || tree.Within(to, at) || tree.Within(at, to) {
			return
		}
		h.makeWay(to)
		must(os.RemoveAll(filepath.Join(h.m.Path, to)))
		if _, err := os.Lstat(full); err != nil {
			return // it was in the way
		}
		must(os.Rename(full, filepath.Join(h.m.Path, to)))
		h.touch(at)
		h.came(to)
	case op == 6 && there:
		must(os.RemoveAll(full))
		h.touch(at)
	case op == 7 && there && s.Mode()&fs.ModeSymlink == 0:
		must(os.Chmod(full, []fs.FileMode{0o700, 0o755, 0o750}[h.rnd.IntN(3)]))
		h.touch(at)
	case op == 8 && !there: // nothing that is carried
		h.makeWay(at)
		must(syscall.Mkfifo(full, 0o600))
		h.touch(at)
	case op == 9:
		h.makeWay(at)
		must(os.RemoveAll(full))
		must(os.Mkdir(full, 0o755))
		h.came(at)
	}
}

// trust has the base take all that it knows for as it was seen: what was written a
// moment before is looked at once more by whoever meets it.
func (m *machine) trust() {
	for i := range m.base.Rows() {
		row := &m.base.Rows()[i]
		if s, err := m.root.Lstat(row.Path); err == nil && s != nil && row.Seen.CTime == 0 {
			row.Seen.CTime = s.CTime
		}
	}
	m.w.must(m.base.Save())
}

// found is what two scans are compared by.
func found(t *testing.T, m *machine, dirs map[string]bool) map[string][]string {
	t.Helper()
	m.w.must(m.base.Unload()) // as before each scan: of most rows the path alone is read
	c, err := m.ScanIn(t.Context(), dirs)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"forgotten": c.Forgotten}
	for _, e := range c.Gone {
		all["gone"] = append(all["gone"], e.Path)
	}
	for _, e := range c.Edited {
		all["edited"] = append(all["edited"], e.Path)
	}
	for _, u := range c.Unknown {
		if !u.Quiet {
			all["unknown"] = append(all["unknown"], u.Path)
		}
	}
	slices.Sort(all["unknown"])
	return all
}

// differs says how a scan of what was touched differs from one of the whole tree,
// over a story of edits; spoil is what happens to what is told.
func differs(t *testing.T, seed uint64, spoil func(dirs map[string]bool)) (diff string) {
	h := &hand{m: newWorld(t).machine("m", "excluded/**"), rnd: rand.New(rand.NewPCG(seed, 1))}
	h.m.write(map[string]string{"a/b/c": "1", "a/b/d": "2", "a/c/d": "3", "b/a": "4", "c": "5", "excluded/x": "6"})
	h.m.mustAcquire()
	h.m.pushAll()
	h.m.trust()
	for range 12 {
		h.touched, h.did = map[string]bool{}, nil
		for range 1 + h.rnd.IntN(4) {
			h.edit()
		}
		if h.rnd.IntN(2) == 0 {
			h.m.w.must(h.m.base.Unload())
		}
		spoil(h.touched)
		part := found(t, h.m, h.touched)
		if diff := cmp.Diff(found(t, h.m, nil), part); diff != "" {
			return fmt.Sprintf("seed %d, after %q, told of %v:\n%s", seed, h.did, h.touched, diff)
		}
		h.m.pushAll()
		h.m.trust()
	}
	return ""
}

// A scan of the directories in which something changed finds what one of the whole
// tree does.
func TestScanIn(t *testing.T) {
	for range sample.Size(20, 20) {
		if diff := differs(t, rand.Uint64(), func(map[string]bool) {}); diff != "" {
			t.Fatal(diff)
		}
	}
}

// A watch that forgets something would be seen.
func TestScanInMutants(t *testing.T) {
	sample.Long(t)
	for name, spoil := range map[string]func(map[string]bool){
		"what came is not looked into": func(dirs map[string]bool) {
			for dir := range dirs {
				dirs[dir] = false
			}
		},
		"what came is not told": func(dirs map[string]bool) {
			for dir, whole := range dirs {
				if whole {
					delete(dirs, dir)
				}
			}
		},
	} {
		seed := uint64(0)
		for ; seed < 100 && differs(t, seed, spoil) == ""; seed++ {
		}
		if seed == 100 {
			t.Errorf("%s: nothing shows it", name)
		}
	}
}

// What was not touched is neither looked at nor concluded from, and a directory
// that went with all in it is gone.
func TestScanInUntouched(t *testing.T) {
	m := newWorld(t).machine("m")
	m.write(map[string]string{"a/b/f": "1", "a/c/f": "2", "d/e/f": "3", "d/e/g": "4", "h": "5"})
	m.mustAcquire()
	m.pushAll()
	m.trust()
	m.w.must(os.RemoveAll(filepath.Join(m.Path, "a/b")))
	m.w.must(os.RemoveAll(filepath.Join(m.Path, "d/e")))
	m.put("a/c/new", "6")
	for _, tt := range []struct {
		dirs map[string]bool
		want map[string][]string
	}{
		{map[string]bool{}, map[string][]string{}},
		{map[string]bool{"a/c": false}, map[string][]string{"edited": {"a/c/new"}, "gone": {"a/b", "a/b/f"}}},
		{map[string]bool{"d": false}, map[string][]string{"gone": {"d/e", "d/e/f", "d/e/g"}}},
		{map[string]bool{"a": true}, map[string][]string{"edited": {"a/c/new"}, "gone": {"a/b", "a/b/f"}}},
		{map[string]bool{"a": false}, map[string][]string{"gone": {"a/b", "a/b/f"}}},
		{map[string]bool{"nowhere/at/all": true}, map[string][]string{}},
	} {
		got := found(t, m, tt.dirs)
		for kind := range got {
			if len(got[kind]) == 0 {
				delete(got, kind)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: %s", tt.dirs, diff)
		}
	}
}

// A scan that cannot read the base to its end must not say what it found until
// there.
func TestScanOfALostBase(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "1", "b": "2"})
	if err := one.base.Unload(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(one.Dir(), "base")
	info, err := os.Stat(file)
	one.w.must(err)
	one.w.must(os.Truncate(file, info.Size()-1))
	if found, err := one.ScanIn(t.Context(), nil); err == nil || found != nil || !one.lost() {
		t.Errorf("found %+v, error %v, lost %v", found, err, one.lost())
	}
}

// A walk that meets something in a directory that it has passed is none to conclude from: of
// what the base has there the paths alone were read.
func TestScanThatMeetsWhatItPassed(t *testing.T) {
	one, _ := started(t, map[string]string{"a/b": "1", "a/c": "2"})
	one.w.must(one.base.Save()) // what the journal has is read whole
	one.w.must(one.base.Unload())
	dir := localfs.Met{Entry: localfs.Entry{Path: "a", Kind: tree.Dir}, Passed: true}
	file := localfs.Met{Entry: localfs.Entry{Path: "a/c", Kind: tree.File}}
	for name, met := range map[string][]localfs.Met{"a file": {dir, file}, "nothing": {dir}} {
		c := comparison{r: one.Replica, found: &Changes{}, hides: map[string]bool{}}
		err := c.run(func() (m *localfs.Met, _ error) {
			if len(met) > 0 {
				m, met = &met[0], met[1:]
			}
			return m, nil
		})
		if (err != nil) != (name == "a file") {
			t.Errorf("%s: %v", name, err)
		}
		if len(c.found.Gone) > 0 {
			t.Errorf("%s: %v are gone", name, c.found.Gone)
		}
	}
}
