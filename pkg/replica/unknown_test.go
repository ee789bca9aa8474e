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
	"golang.org/x/sys/unix"
)

// A repository on a volume that is not mounted any more was taken for removed, and
// the bucket lost it.
func TestRepositoriesUnderAMountThatWent(t *testing.T) {
	m := newWorld(t).machine("m")
	var tells func(path string) bool // of wholes that are not there, what a scan can
	m.Capture = func(_ context.Context, met whole.Met) ([]localfs.Unknown, error) {
		tells = met.Tells
		return nil, nil
	}
	m.mustAcquire()
	m.write(map[string]string{"d/v/repo/a": "1", "d/w/repo/b": "2", "x/c": "3"})
	m.pushAll()
	m.mounted("d/v")
	m.w.must(errorsJoin(os.RemoveAll(m.at("d/v")), os.RemoveAll(m.at("d/w"))))
	m.put("d/v/", "")
	tests := map[string]struct {
		dirs map[string]bool
		want bool // it is known that d/w was removed
	}{
		"whole":     {nil, true},
		"around":    {map[string]bool{"d": false}, true},
		"elsewhere": {map[string]bool{"x": true}, false},
	}
	for name, tt := range tests {
		m.doubts = nil
		if _, err := m.ScanIn(t.Context(), tt.dirs); err != nil {
			t.Fatal(err)
		}
		if tells("d/v/repo/.git") || tells("d/w/repo/.git") != tt.want {
			t.Errorf("%s: of what the mount hid it tells %v, of what was removed %v", name, tells("d/v/repo/.git"), tells("d/w/repo/.git"))
		}
	}
}

// blind is a tree of which one path cannot be seen.
type blind struct {
	*localfs.Root
	path string
}

func (b blind) Walk(ctx context.Context, dir string, match localfs.Matcher) ([]localfs.Entry, []localfs.Unknown, error) {
	seen, unknown, err := b.Root.Walk(ctx, dir, match)
	rel, ok := strings.CutPrefix(b.path, dir+"/")
	if !ok {
		return seen, unknown, err
	}
	seen = slices.DeleteFunc(seen, func(s localfs.Entry) bool { return tree.Within(s.Path, rel) })
	return seen, append(unknown, localfs.Unknown{Path: rel, Reason: "input/output error"}), err
}

// What of a repository's copy could not be read for a moment was taken for removed.
func TestCopiesThatCannotBeRead(t *testing.T) {
	m := newWorld(t).machine("m")
	m.Wholes = whole.Kinds{bundles{}}
	m.mustAcquire()
	const shadow = localfs.Dir + "/git/repo/.git/"
	m.write(map[string]string{
		shadow + "coltec.json": "{}", shadow + "HEAD": "ref", shadow + "objects/pack/p.idx": "i", shadow + "objects/pack/p.pack": "p",
	})
	m.pushAll()
	root := m.root.(*localfs.Root)
	for _, path := range []string{"objects", "objects/pack/p.idx", "objects/pack/p.pack", "HEAD"} {
		m.root = blind{root, shadow + path}
		found, err := m.ScanIn(t.Context(), nil)
		m.w.must(err)
		if len(found.Gone) > 0 {
			t.Errorf("%s cannot be read: %v are gone", path, found.Gone)
		}
	}
	m.root = root
	m.w.must(os.Remove(m.at(shadow + "HEAD")))
	found, err := m.ScanIn(t.Context(), nil)
	m.w.must(err)
	if len(found.Gone) != 1 || found.Gone[0].Path != shadow+"HEAD" {
		t.Errorf("gone: %v", found.Gone)
	}
}

// elsewhere is a tree on another device.
type elsewhere struct{ *localfs.Root }

func (e elsewhere) Identity() (dev, inode uint64, err error) {
	dev, inode, err = e.Root.Identity()
	return dev + 1, inode, err
}

// The roots of two volumes have the same inode: one that was mounted over the other
// passed for it.
func TestLostToAnotherDevice(t *testing.T) {
	m := newWorld(t).machine("m")
	m.mustAcquire()
	if m.lost() {
		t.Error("it is lost")
	}
	if m.root = (elsewhere{m.root.(*localfs.Root)}); !m.lost() {
		t.Error("it is not lost")
	}
}

// Content that was sent anew, while no generation came of it, was taken for agreed:
// the base referred to what a collection deletes.
func TestSentAnewIsAChange(t *testing.T) {
	one, two := started(t, map[string]string{"f": "1"})
	two.mustAcquire()
	two.write(map[string]string{"f": "2"})
	two.pushAll()
	one.PushOnly = true
	w := one.w
	w.must(one.Open("lineage", w.generation))
	remote, err := one.Layout.Tree(t.Context(), w.ref)
	w.must(err)
	w.must(errorsJoin(one.Receive(remote, w.ref, w.epoch, w.generation), one.base.Disown()))
	w.must(errorsJoin(os.Chmod(one.at("f"), 0o600), os.Chmod(one.at("f"), 0o644)))
	found, err := one.ScanIn(t.Context(), nil)
	w.must(err)
	batch := one.Layout.Begin(filepath.Join(one.StageDir(), "out"), w.epoch, nil)
	staged, err := one.StageEdits(t.Context(), batch, found.Edited)
	w.must(errorsJoin(err, batch.Send(t.Context())))
	if staged.Len() != 1 || len(staged.Refreshed) > 0 {
		t.Errorf("%d changes and %d refreshed rows of %d edits", staged.Len(), len(staged.Refreshed), len(found.Edited))
	}
}

// A volume may be of the device that is around it. When it went, all that was on it
// was taken for removed.
func TestMountOfTheSameDevice(t *testing.T) {
	m := newWorld(t).machine("m")
	m.mustAcquire()
	m.write(map[string]string{"v/": "", "x": "1"})
	volume := m.Path + "-volume"
	m.w.must(os.Mkdir(volume, 0o755))
	if err := unix.Mount(volume, m.at("v"), "", unix.MS_BIND, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	mounted := true
	unmount := func() {
		if mounted {
			m.w.must(unix.Unmount(m.at("v"), unix.MNT_DETACH))
		}
		mounted = false
	}
	t.Cleanup(unmount)
	m.write(map[string]string{"v/a": "1", "v/b": "2"})
	m.pushAll()
	if s, err := m.root.Lstat("v"); err != nil || !s.Mount || !m.base.Row("v").Seen.Mount {
		t.Errorf("it is not a mount: %+v, %v", s, err)
	}
	unmount()
	found, err := m.ScanIn(t.Context(), nil)
	m.w.must(err)
	if len(found.Gone) > 0 || !slices.ContainsFunc(found.Unknown, func(u localfs.Unknown) bool { return u.Path == "v" }) {
		t.Errorf("%+v", found)
	}
}

// A file was removed before it could be read, and was there again, or was not, when the
// next walk looked at what was touched alone. That walk found nothing, and a stop said
// that everything was in the bucket, which had the version before.
func TestWhatWasGoneWhenItWasReadIsLookedAtAgain(t *testing.T) {
	for name, again := range map[string]string{"there again": "newer", "still gone": ""} {
		m := newWorld(t).machine("m")
		m.mustAcquire()
		m.write(map[string]string{"d/file": "first", "d/other": "x"})
		m.pushAll()
		m.put("d/file", "second, that nobody read")
		found, err := m.ScanIn(t.Context(), nil)
		m.w.must(errorsJoin(err, os.Remove(m.at("d/file"))))
		staged, err := m.StageEdits(t.Context(), m.Layout.Begin(filepath.Join(m.StageDir(), "out"), 1, nil), found.Edited)
		if err != nil || len(staged.Unsettled) != 1 || !staged.Unsettled[0].Moving {
			t.Fatalf("%s: %+v, %v", name, staged, err)
		}
		if again != "" {
			m.put("d/file", again)
		}
		found, err = m.ScanIn(t.Context(), map[string]bool{})
		m.w.must(err)
		edited := slices.ContainsFunc(found.Edited, func(e Edit) bool { return e.Path == "d/file" })
		gone := slices.ContainsFunc(found.Gone, func(e tree.Entry) bool { return e.Path == "d/file" })
		if edited != (again != "") || gone != (again == "") {
			t.Errorf("%s: the next walk of nothing finds %+v", name, found)
		}
	}
}
