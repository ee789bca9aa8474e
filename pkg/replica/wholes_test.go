package replica

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/tree"
)

// What leads to a repository elsewhere is followed when somebody here made it, so what was
// pushed, has come or is just coming must never be taken for that.
func TestAgrees(t *testing.T) {
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	doors := map[string]string{"door": "gitdir: x\n", "link": "> x"}
	others := map[string]string{"door": "gitdir: y\n", "link": "> y"}
	write := func(m *machine, files map[string]string) {
		t.Helper()
		for path := range files {
			w.must(os.RemoveAll(filepath.Join(m.Path, path)))
		}
		m.write(files)
	}
	agrees := func(m *machine, what string, want bool) {
		t.Helper()
		for path := range doors {
			if got := m.Agrees(path); got != want {
				t.Errorf("%s, %s: %v, want %v", what, path, got, want)
			}
		}
	}
	write(a, doors)
	agrees(a, "nothing is known yet", true)
	a.mustAcquire()
	agrees(a, "made here, and not pushed", false)
	a.pushAll()
	agrees(a, "pushed", true)
	w.must(a.base.Unload())
	agrees(a, "pushed, and the base unloaded", true)
	write(a, others)
	agrees(a, "made anew", false)
	write(a, map[string]string{"door": "> x", "link": "gitdir: x\n"})
	agrees(a, "another kind", false)
	write(a, map[string]string{"door/": "", "link/": ""})
	agrees(a, "a directory", false)
	for _, path := range []string{"door", "link"} {
		w.must(os.Remove(filepath.Join(a.Path, path)))
	}
	agrees(a, "removed", false)

	w.must(b.Open("lineage", w.generation))
	coming, err := b.Layout.Tree(t.Context(), w.ref)
	w.must(err)
	w.must(b.Receive(coming, w.ref, w.epoch, w.generation))
	write(b, others)
	agrees(b, "made here where something else comes", false)
	write(b, doors)
	agrees(b, "just coming", true)
	b.restart()
	b.mustAcquire()
	agrees(b, "come", true)
	if len(b.conflicts()) > 0 {
		t.Error(b.conflicts())
	}
	// Of a plain object nobody knows the content: it may be what has come.
	e := *b.base.Row("door")
	e.Sum = tree.Sum{}
	b.base.Unplaced = []base.Change{{Row: e}}
	write(b, others)
	if !b.Agrees("door") || b.Agrees("link") {
		t.Error("a file whose content nobody knows is taken for one that was made here, or a link for such a file")
	}
}
