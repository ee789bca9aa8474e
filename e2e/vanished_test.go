package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What coltecd is found by is removed under it: by `rm -rf /tmp/*`, by `git checkout` of a
// branch that has no spec, by a rename. It was "not running" then, with code 0, a start made
// a second one beside it, and the end of either removed what the other was found by.
func TestWhatItIsFoundByVanishes(t *testing.T) {
	each := func(name string) func(*testing.T, *machine) {
		return func(t *testing.T, m *machine) {
			for _, dir := range runtimes(t, m) {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	remove := func(path func(*machine) string) func(*testing.T, *machine) {
		return func(t *testing.T, m *machine) {
			if err := os.RemoveAll(path(m)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, vanish := range map[string]func(*testing.T, *machine){
		"all that it has made there": func(t *testing.T, m *machine) {
			each("")(t, m)
			remove(func(m *machine) string { return filepath.Join(m.runtime, "coltec") })(t, m)
		},
		"the socket":          each("sock"),
		"the spec":            remove(func(m *machine) string { return m.path(".devcontainer/workspace-spec.yaml") }),
		"what the spec is in": remove(func(m *machine) string { return m.path(".devcontainer") }),
		"spec and socket": func(t *testing.T, m *machine) {
			each("")(t, m)
			m.remove(".devcontainer/workspace-spec.yaml")
		},
		"a spec that is one": func(t *testing.T, m *machine) { m.write(".devcontainer/workspace-spec.yaml", "no: [spec") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.machine("a"), w.machine("b")
			a.spec(nil)
			a.write("early", "1")
			a.start()
			was, _ := a.instance()
			vanish(t, a)

			if out, said, code := a.run("status", "--json"); code != 0 {
				t.Errorf("status: %d\n%s%s", code, out, said)
			}
			a.run("start")
			eventually(t, "those that ran run alone", func() error { // one that comes second goes
				if all := coltecds(t, a); len(all) != 2 || !slices.Contains(all, was.PID) || !slices.Contains(all, was.Keeper) {
					return fmt.Errorf("there was keeper %d with coltecd %d, and there is %v", was.Keeper, was.PID, all)
				}
				return nil
			})
			a.write("late", "2")
			if out, said, code := a.run("sync"); code != 0 {
				t.Errorf("sync: %d\n%s%s", code, out, said)
			}
			a.write("last", "3")
			if out, said, code := a.run("stop", "--timeout", "150s"); code != 0 || !strings.Contains(out+said, "stopped") {
				t.Errorf("stop: %d\n%s%s", code, out, said)
			}
			eventually(t, "nothing runs after the stop", func() error { // a keeper gives its lock back before its last moment
				if all := coltecds(t, a); len(all) != 0 {
					return fmt.Errorf("there is %v", all)
				}
				return nil
			})
			b.spec(nil)
			b.once()
			for _, file := range []string{"early", "late", "last"} {
				if b.missing(file) {
					t.Errorf("%q is not there", file)
				}
			}
		})
	}
}

// A signal is enough, with nothing left to be found by.
func TestTermWithoutASpec(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	a.spec(nil)
	a.write("early", "1")
	a.start()
	was, _ := a.instance()
	for _, path := range append(runtimes(t, a), a.path(".devcontainer")) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	a.write("last", "2")
	if err := syscall.Kill(was.Keeper, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, p := range []process{processOf(was.Keeper), processOf(was.PID)} {
		if !p.awaitEnd(patience) {
			t.Fatalf("process %d goes on", p.pid)
		}
	}
	b.spec(nil)
	b.once()
	if b.missing("early") || b.missing("last") {
		t.Error("the next machine lacks files")
	}
}

// runtimes are the directories in which a machine's coltecd is found.
func runtimes(t *testing.T, m *machine) (dirs []string) {
	t.Helper()
	i, ok := m.instance()
	if !ok {
		t.Fatal("nothing runs")
	}
	id := filepath.Base(filepath.Dir(i.Socket))
	for _, base := range []string{filepath.Join(m.runtime, "coltec"), fmt.Sprintf("/tmp/coltec-%d", m.uid)} {
		dir := filepath.Join(base, id)
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// coltecds are the processes of coltecd that are about a machine's spec.
func coltecds(t *testing.T, m *machine) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		argv, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(argv), "\x00--config\x00"+m.path(".devcontainer/workspace-spec.yaml")+"\x00") {
			continue
		}
		if p := processNamed(filepath.Base(filepath.Dir(path))); p.start != "" {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func processNamed(pid string) process {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return process{}
	}
	return processOf(n)
}
