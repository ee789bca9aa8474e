package replica

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
)

// started is a machine whose files are in the bucket, and a second one.
func started(t testing.TB, files map[string]string) (one, two *machine) {
	t.Helper()
	w := newWorld(t)
	one, two = w.machine("one"), w.machine("two")
	one.mustAcquire()
	one.write(files)
	one.pushAll()
	return one, two
}

func TestRestoreIsExact(t *testing.T) {
	one, two := started(t, map[string]string{
		"bin/tool": "#!/bin/sh", "empty/": "", "e/m/p/t/y/": "", "zero": "", "l": "> ../outside", "dangling": "> nowhere",
		"d/l": "> .", "sp ace\n\xff": "x", "large": strings.Repeat("large", 50000), "secret": "s",
	})
	must := one.w.must
	must(errorsJoin(os.Chmod(one.at("bin/tool"), 0o755), os.Chmod(one.at("secret"), 0o400), os.Chmod(one.at("empty"), 0o700),
		os.Chmod(one.at("e/m"), 0o555), os.Chtimes(one.at("zero"), time.Now(), time.Unix(-5, 999999999))))
	one.pushAll()
	out := two.mustAcquire()
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error(diff)
	}
	if out.Placed != 8 || !two.base.Header.Restored {
		t.Errorf("%+v", out)
	}
	before := two.w.bucket.Counts()
	if n := two.pushAll(); n != 0 {
		t.Errorf("a restored tree made %d generations", n)
	}
	if diff := cmp.Diff(before, two.w.bucket.Counts()); diff != "" {
		t.Errorf("requests with nothing to do: %s", diff)
	}
}

// A restore that is cut off anywhere goes on where it was, and nothing is
// pushed of the half that is there.
func TestRestoreInterrupted(t *testing.T) {
	files := map[string]string{"a": "1", "d/b": "2", "d/c": strings.Repeat("3", 100000), "l": "> a", "e/": ""}
	for _, kind := range []storetest.Kind{storetest.Before, storetest.After, storetest.Halfway} {
		for skip := range 3 {
			t.Run(fmt.Sprint(kind, skip), func(t *testing.T) {
				one, two := started(t, files)
				one.w.bucket.Inject(storetest.Fault{Op: storetest.Download, Kind: kind, Skip: skip, Class: rclone.Server})
				for range 3 {
					_, err := two.acquire(SettleOptions{})
					if err == nil {
						break
					}
					if two.base != nil && two.base.Header.Restored {
						t.Error("a restore that failed counts as complete")
					}
					two.restart()
				}
				two.w.bucket.Heal()
				two.mustAcquire()
				if diff := cmp.Diff(one.show(), two.show()); diff != "" {
					t.Error(diff)
				}
				if n := two.pushAll(); n != 0 {
					t.Errorf("%d generations", n)
				}
			})
		}
	}
}

// meanwhile runs f once, when the content has been fetched and is about to be
// placed.
func (w *world) meanwhile(f func()) {
	done := false
	w.bucket.Hook(func(e storetest.Event) error {
		if e.Op == storetest.Download && e.Done && !done && !strings.Contains(e.Keys[0], "/m/") {
			done = true
			f()
		}
		return nil
	})
}

// An edit between plan and place is never written over.
func TestEditWhileContentIsFetched(t *testing.T) {
	tests := map[string]struct {
		edit func(m *machine) error
		want map[string]string // in the end, here and in the head
		kept map[string]string
	}{
		"the file": {func(m *machine) error { return os.WriteFile(m.at("a"), []byte("edit!"), 0o644) },
			map[string]string{"a": "their", "b": "b"}, map[string]string{"a": "edit!"}},
		"atomically, as editors do": {func(m *machine) error {
			return errorsJoin(os.WriteFile(m.at("t"), []byte("edit!"), 0o644), os.Rename(m.at("t"), m.at("a")))
		}, map[string]string{"a": "their", "b": "b"}, map[string]string{"a": "edit!"}},
		"removed": {func(m *machine) error { return os.Remove(m.at("a")) },
			map[string]string{"a": "their", "b": "b"}, map[string]string{}},
		"a directory now": {func(m *machine) error {
			return errorsJoin(os.Remove(m.at("a")), os.Mkdir(m.at("a"), 0o755), os.WriteFile(m.at("a/x"), []byte("mine"), 0o644))
		}, map[string]string{"a": "their", "b": "b"}, map[string]string{"a/x": "mine"}},
		"where a new file comes": {func(m *machine) error { return os.WriteFile(m.at("b"), []byte("mine"), 0o644) },
			map[string]string{"a": "their", "b": "b"}, map[string]string{"b": "mine"}},
		"the same content": {func(m *machine) error { return os.WriteFile(m.at("b"), []byte("b"), 0o644) },
			map[string]string{"a": "their", "b": "b"}, map[string]string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			one, two := started(t, map[string]string{"a": "first"})
			two.mustAcquire()
			one.write(map[string]string{"a": "their", "b": "b"})
			one.pushAll()
			w := one.w
			w.meanwhile(func() { w.must(tt.edit(two)) })
			for range 4 {
				if _, err := two.acquire(SettleOptions{AllowDelete: true}); err != nil {
					t.Fatal(err)
				}
			}
			two.wantTree(tt.want)
			if diff := cmp.Diff(tt.kept, two.conflicts()); diff != "" {
				t.Errorf("conflicts: %s", diff)
			}
			two.pushAll()
			remote, kept := w.remote(w.ref)
			if diff := cmp.Diff(tt.want, remote.plain()); diff != "" {
				t.Errorf("the head: %s", diff)
			}
			for _, c := range tt.kept {
				if !kept[c] {
					t.Errorf("the conflict %q is not in the bucket", c)
				}
			}
		})
	}
}

// What is replaced or deleted here is kept for a while, what is in conflict
// until a person says otherwise.
func TestReplacedAndConflicts(t *testing.T) {
	one, two := started(t, map[string]string{"same": "s", "taken": "old", "gone": "bye", "both": "0", "edited": "0", "d/x": "1", "keep1": "k", "keep2": "k"})
	two.mustAcquire()
	one.write(map[string]string{"taken": "new", "both": "theirs"})
	one.w.must(errorsJoin(os.Remove(one.at("gone")), os.Remove(one.at("edited")), os.RemoveAll(one.at("d"))))
	one.pushAll()
	two.write(map[string]string{"both": "ours", "edited": "ours"})
	out := two.mustAcquire()
	two.wantTree(map[string]string{"same": "s", "taken": "new", "both": "theirs", "edited": "ours", "keep1": "k", "keep2": "k"})
	if diff := cmp.Diff(map[string]string{"taken": "old", "gone": "bye", "d/x": "1"}, two.replaced()); diff != "" {
		t.Errorf("replaced: %s", diff)
	}
	if diff := cmp.Diff(map[string]string{"both": "ours"}, two.conflicts()); diff != "" {
		t.Errorf("conflicts: %s", diff)
	}
	if out.Deleted != 2 || !slices.Equal(out.Conflicts, []string{"both"}) {
		t.Errorf("%+v", out)
	}
	two.pushAll()
	one.mustAcquire()
	one.wantTree(two.show().plain())
	if len(one.conflicts()) != 0 {
		t.Error("another machine's conflict was placed here")
	}
	one.write(map[string]string{"more": "x"})
	one.pushAll()
	if _, kept := one.w.remote(one.w.ref); !kept["ours"] {
		t.Error("the conflict left the head with another machine's push")
	}
}

// One kind takes the place of another, with and without work of ours below.
func TestKindsReplaceEachOther(t *testing.T) {
	sample.Long(t)
	kinds := map[string]map[string]string{
		"file": {"x": "a file"}, "link": {"x": "> target"}, "dir": {"x/": ""}, "tree": {"x/a": "1", "x/b/c": "2"}, "nothing": {},
	}
	for from, before := range kinds {
		for to, after := range kinds {
			for _, ours := range []bool{false, true} {
				t.Run(fmt.Sprint(from, " to ", to, ", ours too ", ours), func(t *testing.T) {
					files := maps.Clone(before)
					files["other"] = "o"
					one, two := started(t, files)
					two.mustAcquire()
					one.w.must(os.RemoveAll(one.at("x")))
					one.write(after)
					one.pushAll()
					if ours {
						two.w.must(os.RemoveAll(two.at("x")))
						two.write(map[string]string{"x/ours/deep": "ours"})
					}
					for range 3 {
						if _, err := two.acquire(SettleOptions{AllowDelete: true}); err != nil {
							t.Fatal(err)
						}
					}
					two.pushAll()
					one.mustAcquire()
					if diff := cmp.Diff(one.show(), two.show()); diff != "" {
						t.Error(diff)
					}
					mine := two.show().plain()["x/ours/deep"] == "ours" || two.conflicts()["x/ours/deep"] == "ours"
					if ours && !mine {
						t.Errorf("ours is lost: %v, %v", two.show(), two.conflicts())
					}
				})
			}
		}
	}
}

// A link planted where a directory was must not lead what is placed out of the
// tree, not even in the moment between plan and place.
func TestNothingIsWrittenThroughALink(t *testing.T) {
	for _, when := range []string{"before", "meanwhile"} {
		t.Run(when, func(t *testing.T) {
			one, two := started(t, map[string]string{"d/a": "old", "d/gone": "x", "y": "1", "z": "2"})
			two.mustAcquire()
			one.write(map[string]string{"d/a": "new", "d/e/b": "new"})
			one.w.must(os.Remove(one.at("d/gone")))
			one.pushAll()
			outside := treetest.Dir(t)
			w := one.w
			w.must(errorsJoin(os.WriteFile(filepath.Join(outside, "a"), []byte("outside"), 0o644),
				os.WriteFile(filepath.Join(outside, "gone"), []byte("outside"), 0o644)))
			plant := func() { w.must(errorsJoin(os.RemoveAll(two.at("d")), os.Symlink(outside, two.at("d")))) }
			if when == "before" {
				plant()
			} else {
				w.meanwhile(plant)
			}
			_, err := two.acquire(SettleOptions{AllowDelete: true})
			w.must(err)
			want := map[string]string{"a": "outside", "gone": "outside"}
			if diff := cmp.Diff(want, showTree(t, outside).plain()); diff != "" {
				t.Errorf("outside of the tree: %s", diff)
			}
		})
	}
}

// A path that becomes excluded is forgotten on both sides and deleted on
// neither, whoever excludes it.
func TestExcludes(t *testing.T) {
	files := map[string]string{"a": "1", "log/x": "2", "log/y": "3", "b": "4"}
	reopen := func(m *machine, excludes ...string) {
		m.restart()
		f, err := filter.Compile(filter.Excludes(excludes))
		m.w.must(err)
		m.Filter = f
	}
	t.Run("on one side", func(t *testing.T) {
		one, two := started(t, files)
		two.mustAcquire()
		reopen(one, "log/**")
		one.mustAcquire()
		one.pushAll()
		one.wantTree(map[string]string{"a": "1", "b": "4", "log": "/", "log/x": "2", "log/y": "3"})
		if remote, _ := one.w.remote(one.w.ref); remote["log/x"] != "" {
			t.Error("it is still in the head")
		}
		two.write(map[string]string{"log/x": "changed"})
		two.mustAcquire()
		two.wantTree(map[string]string{"a": "1", "b": "4", "log": "/", "log/x": "changed", "log/y": "3"})
		// The other side carries it still: it publishes it, and we leave it alone.
		two.pushAll()
		one.mustAcquire()
		one.wantTree(map[string]string{"a": "1", "b": "4", "log": "/", "log/x": "2", "log/y": "3"})
		one.write(map[string]string{"a": "one's"})
		one.pushAll()
		two.mustAcquire()
		if two.show().plain()["log/x"] != "changed" {
			t.Error("who excludes it took it from who does not")
		}
	})
	t.Run("and carried again", func(t *testing.T) {
		one, two := started(t, files)
		two.mustAcquire()
		reopen(one, "log/**")
		one.mustAcquire()
		one.pushAll()
		reopen(one)
		one.write(map[string]string{"log/x": "later"})
		one.mustAcquire()
		one.pushAll()
		two.mustAcquire()
		if got := two.show().plain(); got["log/y"] != "3" {
			t.Errorf("got %v, conflicts %v", got, two.conflicts())
		}
	})
	t.Run("a new machine gets what is there whatever the filters", func(t *testing.T) {
		one, two := started(t, files)
		reopen(one, "log/**")
		one.mustAcquire()
		one.write(map[string]string{"c": "5"})
		one.pushAll()
		two.mustAcquire()
		two.wantTree(map[string]string{"a": "1", "b": "4", "c": "5"})
	})
}

// Many deletions wait for a person's word, everything else goes on.
func TestHeldDeletions(t *testing.T) {
	files := map[string]string{"keep": "k"}
	for i := range 15 {
		files[fmt.Sprintf("d/%02d", i)] = fmt.Sprint(i)
	}
	one, two := started(t, files)
	two.mustAcquire()
	one.w.must(os.RemoveAll(one.at("d")))
	one.write(map[string]string{"keep": "changed", "new": "n"})
	one.pushAll()
	out := two.mustAcquire()
	if len(out.Held) != 15 || out.Deleted != 0 || out.Placed != 2 {
		t.Errorf("%+v", out)
	}
	if n := two.pushAll(); n != 0 {
		t.Errorf("what is held was pushed again: %d generations", n)
	}
	two.write(map[string]string{"d/03": "an edit"})
	two.restart()
	if out, err := two.acquire(SettleOptions{AllowDelete: true}); err != nil || out.Deleted != 14 || len(out.Held) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	two.wantTree(map[string]string{"keep": "changed", "new": "n", "d": "/", "d/03": "an edit"})
}

// A base that is gone, of another lineage or newer than the head is none:
// merge, delete nothing.
func TestNoBase(t *testing.T) {
	tests := map[string]func(m *machine){
		"removed":    func(m *machine) { m.w.must(os.Remove(filepath.Join(m.Dir(), "base"))) },
		"damaged":    func(m *machine) { m.w.must(os.WriteFile(filepath.Join(m.Dir(), "base"), []byte("x\n"), 0o600)) },
		"all of it":  func(m *machine) { m.w.must(os.RemoveAll(m.Dir())) },
		"another's":  func(m *machine) { m.base.Header.Workspace = "x/y/z"; m.w.must(m.base.Save()) },
		"newer":      func(m *machine) { m.base.Header.Generation = 99; m.w.must(m.base.Save()) },
		"of another": func(m *machine) { m.base.Header.Lineage = "other"; m.w.must(m.base.Save()) },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			one, two := started(t, map[string]string{"a": "1", "b": "2", "c": "3", "l": "> x"})
			two.mustAcquire()
			one.write(map[string]string{"b": "theirs"})
			one.w.must(os.Remove(one.at("c")))
			one.pushAll()
			two.write(map[string]string{"mine": "m"})
			two.w.must(os.Remove(two.at("a")))
			damage(two)
			two.restart()
			two.mustAcquire()
			two.wantTree(map[string]string{"a": "1", "b": "theirs", "c": "3", "l": "> x", "mine": "m"})
			if diff := cmp.Diff(map[string]string{"b": "2"}, two.conflicts()); diff != "" && name != "all of it" {
				t.Errorf("conflicts: %s", diff)
			}
		})
	}
}

// A tree that was copied keeps what its base knows, and reads everything once.
func TestCopiedTree(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "1", "d/b": "2"})
	copied := one.w.machineAt(filepath.Join(treetest.Dir(t), "copy"))
	one.w.must(os.CopyFS(copied.Path, os.DirFS(one.Path)))
	one.w.must(os.WriteFile(copied.at("a"), []byte("x"), 0o644))
	one.w.must(os.Remove(copied.at("d/b")))
	copied.mustAcquire()
	copied.pushAll()
	remote, _ := one.w.remote(one.w.ref)
	if diff := cmp.Diff(map[string]string{"a": "x", "d": "/"}, remote.plain()); diff != "" {
		t.Error(diff)
	}
}

// A crash around the commit: the head reports whether the pending step counts.
func TestPendingAfterACrash(t *testing.T) {
	for _, committed := range []bool{false, true} {
		t.Run(fmt.Sprint(committed), func(t *testing.T) {
			one, two := started(t, map[string]string{"a": "1", "b": "2"})
			w := one.w
			one.write(map[string]string{"a": "new"})
			w.must(os.Remove(one.at("b")))
			found, err := one.ScanIn(t.Context(), nil)
			w.must(err)
			dir := filepath.Join(one.StageDir(), "out")
			batch := one.Layout.Begin(dir, 1, nil)
			staged, err := one.StageEdits(t.Context(), batch, found.Edited)
			w.must(errorsJoin(err, batch.Send(t.Context())))
			step, err := one.Next(staged, found.Gone, nil, 1, w.generation+1)
			w.must(err)
			ref, err := one.Layout.Publish(t.Context(), step.Publication)
			step.Delta.Header.Ref = ref.Manifest
			w.must(errorsJoin(err, one.base.Prepare("n", step.Delta)))
			if committed {
				w.generation, w.ref, w.nonces["n"] = w.generation+1, step.Delta.Header.Ref, true
			}
			one.restart()
			one.mustAcquire()
			if one.base.Pending != nil || (one.base.Row("b") == nil) != committed {
				t.Errorf("pending %v, b %v", one.base.Pending, one.base.Row("b"))
			}
			if n := one.pushAll(); (n == 0) != committed {
				t.Errorf("%d generations", n)
			}
			two.mustAcquire()
			two.wantTree(map[string]string{"a": "new"})
		})
	}
}

func TestPristine(t *testing.T) {
	_, two := started(t, map[string]string{"template": "changed long ago", "mine": "theirs"})
	two.Pristine = func(path string, _ tree.Sum) bool { return path == "template" }
	two.write(map[string]string{"template": "as rendered", "mine": "mine"})
	two.mustAcquire()
	two.wantTree(map[string]string{"template": "changed long ago", "mine": "theirs"})
	if diff := cmp.Diff(map[string]string{"mine": "mine"}, two.conflicts()); diff != "" {
		t.Error(diff)
	}
}

// mirrored is started with plain objects.
func mirrored(t testing.TB, files map[string]string) (one, two *machine) {
	t.Helper()
	w := newWorld(t)
	w.mirror = true
	one, two = w.machine("one"), w.machine("two")
	one.mustAcquire()
	one.write(files)
	one.pushAll()
	return one, two
}

func TestMirrorRoundTrip(t *testing.T) {
	one, two := mirrored(t, map[string]string{"a": "1", "d/b": "2", "bin": "x", "l": "> a", "empty/": ""})
	one.w.must(os.Chmod(one.at("bin"), 0o755))
	one.pushAll()
	two.mustAcquire()
	want := one.show()
	delete(want, "empty")
	if diff := cmp.Diff(want, two.show()); diff != "" {
		t.Error(diff)
	}
	// A listing has no word for an empty directory: it must not go.
	for range 2 {
		one.mustAcquire()
		if n := one.pushAll(); n != 0 {
			t.Errorf("%d generations with nothing to do", n)
		}
	}
	if _, err := os.Stat(one.at("empty")); err != nil {
		t.Error("the empty directory was taken for gone")
	}
	// A kind change must not leave the old object there.
	two.w.must(errorsJoin(os.Remove(two.at("a")), os.Symlink("bin", two.at("a")), os.Remove(two.at("l"))))
	two.write(map[string]string{"l/now/a": "dir"})
	two.pushAll()
	one.mustAcquire()
	one.wantTree(map[string]string{"a": "> bin", "d": "/", "d/b": "2", "bin": "x", "l": "/", "l/now": "/", "l/now/a": "dir", "empty": "/"})
}

// What the listing's hash says is here already is not fetched.
func TestMirrorMatchNeedsNoFetch(t *testing.T) {
	one, two := mirrored(t, map[string]string{"a": "1", "d/b": "2", "l": "> a"})
	two.write(map[string]string{"a": "1", "d/b": "2", "l": "> a", "extra": "e"})
	before := one.w.bucket.Counts()[storetest.Download]
	two.mustAcquire()
	if n := one.w.bucket.Counts()[storetest.Download] - before; n != 0 {
		t.Errorf("%d downloads", n)
	}
	if len(two.conflicts()) != 0 {
		t.Errorf("conflicts: %v", two.conflicts())
	}
	two.wantTree(map[string]string{"a": "1", "d": "/", "d/b": "2", "l": "> a", "extra": "e"})
}

// What was adopted from plain objects is not promised before it is stored.
func TestNextHoldsOnlyWhatIsStored(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "1", "b": "2"})
	one.base.Row("a").Where = nil
	one.write(map[string]string{"c": "3"})
	step, err := one.Next(&Staged{}, nil, nil, 1, one.w.generation+1)
	one.w.must(err)
	promised := map[string]bool{}
	for e, err := range step.Publication.Entries {
		one.w.must(err)
		promised[e.Path] = true
	}
	if promised["a"] || !promised["b"] {
		t.Errorf("promised: %v", promised)
	}
	published, err := one.Layout.Publish(t.Context(), step.Publication)
	one.w.must(err)
	ref := published.Manifest
	step.Delta.Header.Ref = ref
	one.w.must(one.w.commit(one, step))
	// The head lacks it, and that must not pass for a deletion.
	one.w.ref += "?" // as if another had published the same tree
	tr, err := one.Layout.Tree(t.Context(), ref)
	one.w.must(errorsJoin(err, one.Receive(tr, one.w.ref, 2, one.w.generation)))
	_, err = one.settle(SettleOptions{AllowDelete: true})
	one.w.must(err)
	if got := one.show().plain()["a"]; got != "1" {
		t.Fatalf("a is %q", got)
	}
	one.pushAll()
	if remote, _ := one.w.remote(one.w.ref); contentIn(remote["a"]) != "1" || contentIn(remote["c"]) != "3" {
		t.Errorf("the head: %v", remote)
	}
}

// An object that is missing in the bucket fails the restore by name, and
// nothing counts as restored.
func TestRestoreOfADamagedBucket(t *testing.T) {
	one, two := started(t, map[string]string{"a": "1", "big": strings.Repeat("b", 100000)})
	lost := one.objects()[0]
	one.w.bucket.Drop(lost)
	_, err := two.acquire(SettleOptions{})
	if !errors.Is(err, rclone.ErrNotFound) || !strings.Contains(err.Error(), filepath.Base(lost)) {
		t.Errorf("got %v", err)
	}
	if two.base.Header.Restored {
		t.Error("it counts as restored")
	}
	if n := two.pushAll(); n != 0 {
		t.Error("something was pushed of it")
	}
}

// An edit that comes between the rename into place and the look at it was
// once taken for what had been placed, and never pushed.
func TestEditRightAfterPlacing(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "placed"})
	placed, err := one.root.Lstat("a")
	one.w.must(err)
	edits := map[string]struct {
		edit func() error
		want bool
	}{
		"none":      {func() error { return nil }, false},
		"same size": {func() error { return os.WriteFile(one.at("a"), []byte("edited"), 0o644) }, true},
		"replaced": {func() error {
			return errorsJoin(os.WriteFile(one.at("t"), []byte("placed"), 0o644), os.Rename(one.at("t"), one.at("a")))
		}, true},
		"removed": {func() error { return os.Remove(one.at("a")) }, true},
	}
	for _, name := range []string{"none", "same size", "replaced", "removed"} {
		one.w.must(edits[name].edit())
		e := one.base.Row("a").Entry
		p := &placement{r: one.Replica, plan: &planning{}, out: &Outcome{}}
		seen, err := lookPlaced(one.root, "a", placed.Seen)
		one.w.must(err)
		p.settle(&plan.Decision{Path: "a", Op: plan.Take, Entry: e, Remote: &e}, seen)
		row := p.changes[0].Row
		now, err := one.root.Lstat("a")
		one.w.must(err)
		if got := now == nil || row.Changed(now); got != edits[name].want {
			t.Errorf("%s: seen as a change: %v", name, got)
		}
	}
}

// Between the look at a file and the setting of its time an edit may slip in.
func TestMetaIsReadOnceMore(t *testing.T) {
	one, two := started(t, map[string]string{"a": "1"})
	two.mustAcquire()
	one.w.must(os.Chtimes(one.at("a"), time.Now(), time.Unix(7, 7)))
	one.pushAll()
	two.mustAcquire()
	if c := two.base.Row("a").Seen.CTime; c != 0 {
		t.Errorf("the change time %d is trusted", c)
	}
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error(diff)
	}
}

// What another machine renamed or copied is here already, and is not fetched.
func TestContentThatIsHereIsNotFetched(t *testing.T) {
	one, two := started(t, map[string]string{"a": "content", "d/b": "2", "kept": "stays"})
	two.mustAcquire()
	one.w.must(os.Rename(one.at("a"), one.at("moved")))
	one.write(map[string]string{"d/copy": "stays"})
	one.pushAll()
	fetched := 0
	one.w.bucket.Hook(func(e storetest.Event) error {
		for _, key := range e.Keys {
			if e.Op == storetest.Download && !e.Done && strings.Contains(key, "/o/") {
				fetched++
			}
		}
		return nil
	})
	two.mustAcquire()
	if fetched != 0 {
		t.Errorf("%d objects were fetched", fetched)
	}
	if diff := cmp.Diff(one.show(), two.show()); diff != "" {
		t.Error(diff)
	}
}

// Of a large file that another machine changed, only what it changed is fetched.
func TestPartsThatAreHereAreNotFetched(t *testing.T) {
	sample.Long(t)
	noise := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
		return string(b)
	}
	large := noise(6 << 20)
	changed := large[:3<<20] + "changed" + large[3<<20:]
	tests := map[string]struct {
		there   func(one *machine) // done to one
		here    func(two *machine) // and to two, meanwhile
		objects int
	}{
		"changed": {func(one *machine) { one.write(map[string]string{"large": changed}) }, func(*machine) {}, 1},
		"moved and changed": {func(one *machine) {
			one.w.must(os.Remove(one.at("large")))
			one.write(map[string]string{"d/m": changed})
		}, func(*machine) {}, 1},
		"edited here too": {
			func(one *machine) { one.write(map[string]string{"large": changed}) },
			func(two *machine) { two.write(map[string]string{"large": "x" + large[1:]}) }, 2,
		},
		"moved here": {
			func(one *machine) { one.write(map[string]string{"large": changed}) },
			func(two *machine) { two.w.must(os.Rename(two.at("large"), two.at("other"))) }, 2,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			one, two := started(t, map[string]string{"large": large})
			two.mustAcquire()
			tt.there(one)
			one.pushAll()
			tt.here(two)
			fetched := map[string]bool{}
			one.w.bucket.Hook(func(e storetest.Event) error {
				for _, key := range e.Keys {
					if e.Op == storetest.Download && strings.Contains(key, "/o/") {
						fetched[key] = true
					}
				}
				return nil
			})
			two.mustAcquire()
			if len(fetched) != tt.objects {
				t.Errorf("%d objects were fetched, want %d", len(fetched), tt.objects)
			}
			path := "large"
			if one.base.Row(path) == nil {
				path = "d/m"
			}
			if body, err := os.ReadFile(two.at(path)); err != nil || string(body) != changed {
				t.Errorf("%d bytes: %v", len(body), err)
			}
		})
	}
}

// A file that was edited since it was planned with is not the content that comes.
func TestCopyOfAnEditedFile(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "content", "b": "other"})
	made, err := one.plan(t.Context())
	one.w.must(err)
	p := &placement{r: one.Replica, plan: made}
	p.local = p.here()
	e := one.base.Row("a").Entry
	staged := filepath.Join(one.StageDir(), "in")
	if !p.copyHere(&plan.Decision{Path: "new", Entry: e, Remote: &e}, staged) {
		t.Error("it was not copied")
	}
	one.write(map[string]string{"a": "edited!"})
	if p.copyHere(&plan.Decision{Path: "new", Entry: e, Remote: &e}, staged) {
		t.Error("it was copied after an edit")
	}
	if _, err := os.Lstat(staged); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left of it: %v", err)
	}
}

// Progress counts files and bytes of content, and ends with all of them.
func TestPlacementTellsItsPace(t *testing.T) {
	one, two := started(t, map[string]string{"a": "1", "d/b": "22", "e": "333"})
	one.w.must(os.Symlink("a", one.at("l")))
	one.pushAll()
	var last rclone.Progress
	_, err := two.acquire(SettleOptions{Progress: func(p rclone.Progress) {
		if p.Files < last.Files || p.Bytes < last.Bytes {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}})
	one.w.must(err)
	last.ETA = 0
	if want := (rclone.Progress{Files: 3, TotalFiles: 3, Bytes: 6, TotalBytes: 6}); last != want {
		t.Errorf("got %+v", last)
	}
}

// What a killed placement had fetched does not stay where there is nothing left to
// place.
func TestSettleClearsTheStage(t *testing.T) {
	one, _ := started(t, map[string]string{"a": "1"})
	w := one.w
	w.must(os.MkdirAll(filepath.Join(one.incoming(), ".coltec/o"), 0o700))
	h := one.base.Header
	h.Restored = false
	w.must(one.base.Apply(base.Delta{Header: &h}))
	one.restart()
	one.mustAcquire()
	if _, err := os.Stat(one.incoming()); !os.IsNotExist(err) || !one.base.Header.Restored {
		t.Errorf("the stage: %v, restored %v", err, one.base.Header.Restored)
	}
}
