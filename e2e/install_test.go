package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// installing gives a machine a spec whose deps directory is excluded, and is made by a hook of
// what the file lock says. The hook fails as long as there is a file broken beside the folder.
func (m *machine) installing(more map[string]any) {
	m.t.Helper()
	hook := map[string]any{
		"name":    "install",
		"command": []string{"sh", "-c", "echo . >>../ran; test ! -e ../broken && mkdir -p deps && cp lock deps/"},
		"when":    map[string]any{"changed": []string{"lock", "other.lock"}, "missing": []string{"deps"}},
	}
	for key, value := range more {
		hook[key] = value
	}
	m.spec(func(o *specOptions) {
		o.Replicas[0].Exclude = append(o.Replicas[0].Exclude, "/deps/**")
		o.More = map[string]any{"hooks": map[string]any{"post_restore": []any{hook}}}
		o.Services = []map[string]any{{"name": "web", "command": []string{"sleep", "1000"}, "after": []string{"restore"}}}
	})
}

// begin starts coltecd, and waits for its hooks.
func (m *machine) begin() { m.t.Helper(); m.start(); m.must("wait", "hooks") }

// ran is how often the hook did.
func (m *machine) ran() int {
	b, _ := os.ReadFile(filepath.Join(filepath.Dir(m.dir), "ran"))
	return strings.Count(string(b), ".")
}

func (m *machine) broken(yes bool) {
	m.t.Helper()
	file := filepath.Join(filepath.Dir(m.dir), "broken")
	err := os.Remove(file)
	if yes {
		err = os.WriteFile(file, nil, 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// What is excluded is made anew after a restore: once, and again when what it is made of has
// changed, or it is gone. Nothing installed it, or each start did.
func TestInstallsWhatIsExcluded(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.installing(nil)
	b.installing(nil)
	a.begin()
	if a.ran() != 0 {
		t.Error("it ran without a lockfile")
	}
	a.write("lock", "one\n")
	a.stop()
	for _, step := range []struct {
		what string
		do   func()
		ran  int
		has  string
	}{
		{"a lockfile came", func() {}, 1, "one\n"},
		{"nothing changed", func() {}, 1, "one\n"},
		{"it has other content", func() { a.write("lock", "two\n") }, 2, "two\n"},
		{"another of the files came", func() { a.write("other.lock", "") }, 3, "two\n"},
		{"what it made is gone", func() { _ = os.RemoveAll(a.path("deps")) }, 4, "two\n"},
	} {
		step.do()
		a.begin()
		if got := a.read("deps/lock"); a.ran() != step.ran || got != step.has {
			t.Errorf("%s: it ran %d times, %q", step.what, a.ran(), got)
		}
		a.stop()
	}
	b.begin()
	if b.ran() != 1 || b.read("deps/lock") != "two\n" {
		t.Errorf("after a hop it ran %d times", b.ran())
	}
	b.stop()
	b.begin()
	if b.ran() != 1 {
		t.Errorf("then it ran %d times", b.ran())
	}
}

// A hook that failed is said, and tried again when somebody starts it; services that wait
// for it come then, where it says so.
func TestInstallFails(t *testing.T) {
	sample.Long(t)
	for _, policy := range []string{"ignore", "fail"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			a.installing(map[string]any{"on_failure": policy})
			a.write("lock", "one\n")
			a.broken(true)
			a.begin()
			doc := a.status()
			if said := strings.Join(doc.Attention, "\n"); doc.State != status.Degraded || !strings.Contains(said, "hook install has not done its work") || !strings.Contains(said, "start tries again") {
				t.Errorf("%s: %q", doc.State, doc.Attention)
			}
			a.must("start") // an editor attaches: it is tried again, and fails
			a.must("wait", "hooks")
			if a.ran() != 2 {
				t.Errorf("it ran %d times", a.ran())
			}
			a.broken(false)
			a.must("start")
			a.must("wait", "ready")
			if doc := a.status(); doc.State != status.Running || a.ran() != 3 || a.read("deps/lock") != "one\n" {
				t.Errorf("%s after %d runs: %q", doc.State, a.ran(), doc.Attention)
			}
			a.must("start")
			a.must("wait", "ready")
			if a.ran() != 3 {
				t.Errorf("once it is well it ran %d times", a.ran())
			}
		})
	}
}

// The files come only when another machine gives the lease: the hook did not run, as there
// was no lockfile yet, and never ran again.
func TestInstallAfterATakeover(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.installing(nil)
	b.installing(nil)
	a.write("lock", "one\n")
	a.begin()
	a.sync()
	b.must("start")
	b.await("it waits for a", func(d status.Document) bool { return d.Lease.State == status.LeaseWaiting })
	if b.ran() != 0 {
		t.Error("it ran before the restore")
	}
	if _, _, code := b.run("wait", "hooks", "--progress"); code != 1 {
		t.Errorf("a wait with progress for another machine ends with %d", code)
	}
	b.must("takeover")
	b.must("wait", "hooks")
	b.await("it has run", func(status.Document) bool { return !b.missing("deps/lock") })
}
