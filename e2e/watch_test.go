package e2e

import (
	"testing"

	"github.com/coltec/coltec/pkg/status"
)

// A save is in the bucket long before the interval is over, without a word from
// anybody; what is excluded wakes nobody.
func TestASaveIsPushedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("a")
	m.spec(func(o *specOptions) {
		o.Replicas[0].Interval, o.Replicas[0].Watch = 24*3600, true
		o.Replicas[0].Exclude = append(o.Replicas[0].Exclude, "node_modules/**")
	})
	m.seed()
	m.start()
	m.sync()
	committed := func(what string, do func()) {
		t.Helper()
		at := m.status().Lease.Generation
		do()
		m.await(what, func(doc status.Document) bool { return doc.Lease.Generation > at })
	}
	m.write("node_modules/noise", "none of it is carried")
	committed("a save", func() { m.write("edit.txt", "saved") })
	committed("a file in new directories", func() { m.write("deep/er/than/before.txt", "new") })
	committed("a file in one of them", func() { m.write("deep/er/again.txt", "new") })
	committed("a chmod", func() { m.chmod("mode.sh", 0o755) })
	if doc := m.status(); doc.State != status.Running {
		t.Errorf("it needs attention: %s", words(doc))
	}
	m.kill9() // nothing is flushed at the end
	b := w.machine("b")
	b.spec(nil)
	b.start()
	sameTree(t, treeOf(t, m.dir, ".coltec", ".devcontainer", "node_modules"), b.tree())
}
