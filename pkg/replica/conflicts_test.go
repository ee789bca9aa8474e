package replica

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clash makes a conflict at path on b: a's version keeps the name.
func clash(t *testing.T) (a, b *machine) {
	t.Helper()
	w := newWorld(t)
	a, b = w.machine("a"), w.machine("b")
	put := func(m *machine, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(m.Path, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(m.Path, "d/f"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(a, "of a")
	put(b, "of b, longer")
	a.mustAcquire()
	a.pushAll()
	b.mustAcquire()
	b.pushAll()
	return a, b
}

func aside(t *testing.T, m *machine) []ConflictCopy {
	t.Helper()
	list, err := ListConflicts(m.Path, "", m.base.Remote())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestConflictIsListedEverywhere(t *testing.T) {
	a, b := clash(t)
	a.mustAcquire()
	for _, m := range []*machine{a, b} {
		list := aside(t, m)
		if len(list) != 1 || list[0].Path != "d/f" || list[0].Host != "b" || list[0].Entry.Size != 12 || list[0].Here != (m == b) {
			t.Errorf("%s lists %+v", m.Host, list)
		}
	}
}

// A conflict that is dropped on one machine is gone on all, and does not come
// back from the one that made it.
func TestConflictDropped(t *testing.T) {
	for _, here := range []bool{true, false} {
		a, b := clash(t)
		a.mustAcquire()
		m, other := a, b
		if here {
			m, other = b, a
			m.mustAcquire()
		}
		replaced, err := DropConflict(m.Path, "", aside(t, m)[0], Decision{})
		if err != nil || (replaced != "") != here {
			t.Fatal(err, replaced)
		}
		if body, _ := os.ReadFile(filepath.Join(m.Path, replaced)); here && string(body) != "of b, longer" {
			t.Errorf("what was dropped is %q", body)
		}
		if n := len(aside(t, m)); n != 0 {
			t.Errorf("%d are listed after the drop", n)
		}
		m.pushAll()
		other.mustAcquire()
		other.pushAll()
		m.mustAcquire()
		for _, x := range []*machine{a, b} {
			if list := aside(t, x); len(list) != 0 {
				t.Errorf("here %v: %s lists %+v", here, x.Host, list)
			}
			if dropped := droppedIn(x.Dir()); x == m && len(dropped) != 0 {
				t.Errorf("still noted: %v", dropped)
			}
		}
	}
}

func TestConflictTaken(t *testing.T) {
	_, b := clash(t)
	at, err := TakeConflict(b.Path, "", aside(t, b)[0], Decision{})
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(b.Path, "d/f"))
	if err != nil || string(body) != "of b, longer" {
		t.Errorf("%q, %v", body, err)
	}
	replaced, err := filepath.Glob(filepath.Join(b.Dir(), replacedDir, "*", "d/f"))
	if err != nil || len(replaced) != 1 || filepath.Join(b.Path, at) != replaced[0] {
		t.Fatalf("%v and %s, %v", replaced, at, err)
	}
	body, _ = os.ReadFile(replaced[0])
	if diff := cmp.Diff("of a", string(body)); diff != "" {
		t.Error(diff)
	}
	b.pushAll()
	if n := len(aside(t, b)); n != 0 {
		t.Errorf("%d left", n)
	}
}

// A restore makes the tree what it was; what was there is kept aside, and the
// base is left alone, so that the next scan finds an edit.
func TestRestorePartOfATree(t *testing.T) {
	w := newWorld(t)
	m := w.machine("a")
	write := func(name, content string) {
		t.Helper()
		file := filepath.Join(m.Path, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("d/f", "old")
	write("d/same", "same")
	write("out", "old")
	m.mustAcquire()
	m.pushAll()
	then, err := m.Layout.Tree(t.Context(), w.ref)
	if err != nil {
		t.Fatal(err)
	}
	write("d/f", "newer")
	write("d/more", "more")
	write("out", "newer")
	m.pushAll()
	out, err := New(m.Options).Restore(t.Context(), "d", then, m.Layout, nil)
	if err != nil || len(out.Problems) > 0 {
		t.Fatal(err, out)
	}
	if out.Placed != 1 || out.Deleted != 1 {
		t.Errorf("%+v", out)
	}
	read := func(name string) string { body, _ := os.ReadFile(filepath.Join(m.Path, name)); return string(body) }
	want := map[string]string{"d/f": "old", "d/same": "same", "d/more": "", "out": "newer"}
	for name, content := range want {
		if got := read(name); got != content {
			t.Errorf("%s is %q", name, got)
		}
	}
	found, err := m.ScanIn(t.Context(), nil)
	if err != nil || len(found.Gone) != 1 || len(found.Edited) == 0 {
		t.Errorf("the scan finds %+v, %v", found, err)
	}
	kept, _ := filepath.Glob(filepath.Join(m.Dir(), replacedDir, "*", "d", "*"))
	if len(kept) != 2 {
		t.Errorf("kept aside: %v", kept)
	}
}

func TestDamagedFileIsFound(t *testing.T) {
	w := newWorld(t)
	m := w.machine("a")
	file := filepath.Join(m.Path, "f")
	if err := os.MkdirAll(m.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("good"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.mustAcquire()
	m.pushAll()
	row := m.base.Row("f")
	sight, err := m.root.Lstat("f")
	if err != nil {
		t.Fatal(err)
	}
	row.Seen, row.Sum = sight.Seen, [32]byte{1} // as if the disk had changed the content
	if err := m.base.Save(); err != nil {
		t.Fatal(err)
	}
	damaged, err := Damaged(t.Context(), m.Path, "", nil)
	if err != nil || len(damaged) != 1 {
		t.Errorf("%v, %v", damaged, err)
	}
}
