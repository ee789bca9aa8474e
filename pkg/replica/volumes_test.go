package replica

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// mountAt mounts a file system of its own at a path of the tree until the test ends.
func (m *machine) mountAt(name, kind string) {
	m.w.t.Helper()
	if err := unix.Mount(kind, m.at(name), kind, 0, ""); err != nil {
		if os.Getenv("CI") != "" {
			m.w.t.Fatalf("cannot mount: %v", err)
		}
		m.w.t.Skipf("cannot mount, which takes root: %v", err)
	}
	m.w.t.Cleanup(func() { _ = unix.Unmount(m.at(name), unix.MNT_DETACH) })
}

// Nothing could be placed in a volume within the tree, nor taken away: what is staged
// and what is kept are of another mount, and no rename leads there.
func TestVolumesWithinATree(t *testing.T) {
	one, two := started(t, map[string]string{"v/a": "1", "v/b/c": "2", "v/b/gone": "3", "v/l": "> a", "v/both": "4", "x": "5"})
	one.w.must(os.Chmod(one.at("v/a"), 0o755))
	one.pushAll()
	one.w.must(os.MkdirAll(two.at("v"), 0o755))
	two.mountAt("v", "tmpfs")
	out := two.mustAcquire()
	if len(out.Problems) > 0 {
		t.Fatalf("%+v", out.Problems)
	}
	modes := func() {
		t.Helper()
		want, got := one.show(), two.show()
		delete(want, "v") // the mount's own
		delete(got, "v")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	modes()

	one.write(map[string]string{"v/a": "edited", "v/both": "of one"})
	one.w.must(errorsJoin(os.Remove(one.at("v/b/gone")), os.Remove(one.at("v/l")), os.Symlink("b/c", one.at("v/l"))))
	one.pushAll()
	two.write(map[string]string{"v/both": "of two"})
	two.mustAcquire()
	two.pushAll()
	if diff := cmp.Diff(map[string]string{"v/both": "of two"}, two.conflicts()); diff != "" {
		t.Errorf("kept aside: %s", diff)
	}
	if diff := cmp.Diff(map[string]string{"v/a": "1", "v/b/gone": "3", "v/l": "> a"}, two.replaced()); diff != "" {
		t.Errorf("replaced: %s", diff)
	}
	one.mustAcquire()
	modes()
	for _, path := range []string{"v/a", "v/b/c", "v/both", "v/l"} {
		now, err := two.root.Lstat(path)
		two.w.must(err)
		row := two.base.Row(path).Seen
		if row.CTime, now.CTime = 0, 0; row != now.Seen { // those are too young to be known
			t.Errorf("%s: the base has %+v, and it looks as %+v", path, row, now.Seen)
		}
	}
	if n := two.pushAll(); n != 0 {
		t.Errorf("%d generations come of it", n)
	}
}
