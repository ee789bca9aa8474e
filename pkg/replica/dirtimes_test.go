package replica

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/google/go-cmp/cmp"
)

// dirTimes shows the times of the directories of a tree.
func (m *machine) dirTimes() map[string]time.Time {
	m.w.t.Helper()
	times := map[string]time.Time{}
	m.w.must(filepath.WalkDir(m.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || path == m.Path {
			return err
		}
		rel, _ := filepath.Rel(m.Path, path)
		if rel == localfs.Dir {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err == nil {
			times[rel] = info.ModTime()
		}
		return err
	}))
	return times
}

func (m *machine) sameDirTimes(as *machine) {
	m.w.t.Helper()
	if diff := cmp.Diff(as.dirTimes(), m.dirTimes()); diff != "" {
		m.w.t.Errorf("%s: the times of directories: %s", m.Host, diff)
	}
}

// age sets the times of directories, each to another one.
func (m *machine) age(year int, dirs ...string) {
	m.w.t.Helper()
	for i, dir := range dirs {
		at := time.Date(year, 1, 1+i, 2, 3, 4, 567891234, time.UTC)
		m.w.must(os.Chtimes(m.at(dir), at, at))
	}
}

// The times of directories were those of the restore.
func TestDirectoryTimesTravel(t *testing.T) {
	one, two := started(t, nil)
	one.write(map[string]string{"d/e/f": "1", "d/g": "2", "empty/": "", "ro/x": "3", "gone/x": "4", "l": "> d"})
	one.w.must(os.Chmod(one.at("ro"), 0o555))
	one.age(2001, "d/e", "d", "empty", "ro", "gone")
	one.pushAll()
	two.mustAcquire()
	two.sameDirTimes(one)

	steps := map[string]func(m *machine) error{
		"a file in place":     func(m *machine) error { return os.WriteFile(m.at("d/e/f"), []byte("edited"), 0o644) },
		"a new file":          func(m *machine) error { m.put("d/e/new", "new"); return nil },
		"a file goes":         func(m *machine) error { return os.Remove(m.at("d/g")) },
		"a directory goes":    func(m *machine) error { return os.RemoveAll(m.at("gone")) },
		"a directory comes":   func(m *machine) error { m.put("d/n/e/w/", ""); return nil },
		"a link":              func(m *machine) error { return errorsJoin(os.Remove(m.at("l")), os.Symlink("x", m.at("l"))) },
		"a chmod":             func(m *machine) error { return os.Chmod(m.at("empty"), 0o700) },
		"a time, and a save":  func(m *machine) error { m.age(2002, "empty"); m.put("z", "z"); return nil },
		"a directory renamed": func(m *machine) error { return os.Rename(m.at("d/e"), m.at("d/renamed")) },
	}
	a, b := one, two
	for _, name := range []string{"a file in place", "a new file", "a file goes", "a directory goes", "a directory comes", "a link", "a chmod", "a time, and a save", "a directory renamed"} {
		b.w.must(steps[name](b))
		b.pushAll()
		a.mustAcquire()
		want := b.dirTimes()
		if diff := cmp.Diff(want, a.dirTimes()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if n := a.pushAll(); n != 0 { // nor is it told back
			t.Errorf("%s: %d generations come of it", name, n)
		}
		a, b = b, a
	}
}

// A directory's time alone is not a change: it waits for one.
func TestDirectoryTimeAloneIsNoChange(t *testing.T) {
	one, two := started(t, map[string]string{"d/f": "1", "e/f": "2"})
	two.mustAcquire()
	one.age(2003, "d", "e")
	if n := one.pushAll(); n != 0 {
		t.Errorf("%d generations come of it", n)
	}
	found, err := one.ScanIn(t.Context(), nil)
	one.w.must(err)
	for _, e := range found.Edited {
		if e.Kind == tree.Dir {
			t.Errorf("%s counts as edited", e.Path)
		}
	}
	one.put("d/f", "saved")
	one.age(2003, "d")
	if n := one.pushAll(); n != 1 {
		t.Errorf("%d generations", n)
	}
	two.mustAcquire()
	two.sameDirTimes(one)
}

// What is edited in a directory here, while its time comes from there, keeps both.
func TestDirectoryTimesOfBothSides(t *testing.T) {
	one, two := started(t, map[string]string{"d/f": "1", "e/f": "2", "k/f": "3"})
	two.mustAcquire()
	one.put("d/one", "1")
	one.age(2004, "d", "k")
	one.pushAll()
	two.put("d/two", "2")
	two.put("e/two", "2")
	two.age(2005, "d", "e")
	mine := two.dirTimes()
	two.mustAcquire()
	got := two.dirTimes()
	want := one.dirTimes()
	if !got["d"].Equal(want["d"]) || !got["k"].Equal(want["k"]) || !got["e"].Equal(mine["e"]) {
		t.Errorf("got %v; there %v, here before %v", got, want, mine)
	}
	if n := two.pushAll(); n != 1 {
		t.Errorf("%d generations", n)
	}
	one.mustAcquire()
	one.sameDirTimes(two)
}

// A restore that was cut off gives directories their times all the same.
func TestDirectoryTimesAfterACutRestore(t *testing.T) {
	one, two := started(t, nil)
	for i := range 3 {
		one.put(fmt.Sprintf("d%d/e/f", i), noise(i, 300<<10))
		one.pushAll()
	}
	one.age(2006, "d0/e", "d0", "d1/e", "d1", "d2/e", "d2")
	one.put("last", "1")
	one.pushAll()
	two.stageBytes = 256 << 10
	two.merge = func(s plan.Sides) []plan.Decision { return plan.Merge(s)[:4] }
	if _, err := two.acquire(SettleOptions{}); err != nil {
		t.Fatal(err)
	}
	two.merge = plan.Merge
	if _, err := two.settle(SettleOptions{}); err != nil {
		t.Fatal(err)
	}
	two.sameDirTimes(one)
}
