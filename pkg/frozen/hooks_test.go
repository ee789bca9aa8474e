package frozen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorder are hooks that note that they ran.
type recorder struct {
	ran           []string
	before, after func(env map[string]string) error
}

func (r *recorder) means(k *Kind) {
	hook := func(name string, does *func(map[string]string) error) func(context.Context, []string) error {
		return func(_ context.Context, env []string) error {
			r.ran = append(r.ran, name)
			vars := map[string]string{}
			for _, kv := range env {
				k, v, _ := strings.Cut(kv, "=")
				vars[k] = v
			}
			if *does == nil {
				return nil
			}
			return (*does)(vars)
		}
	}
	k.Means.Before, k.Means.After = hook("before", &r.before), hook("after", &r.after)
}

// Hooks see to it that what is copied is sound: it is copied between them, with what they add.
func TestCaptureByHooks(t *testing.T) {
	w := newWorld(t)
	r := &recorder{}
	a := w.place([]Path{{Path: "db", By: Hook}}, r.means)
	a.acquire()
	a.write("db/1", "torn")
	a.write("db/sub/2", "2")
	r.before = func(env map[string]string) error {
		if env[EnvReplica] != "r" || env[EnvPath] != a.at("db") {
			t.Errorf("it is told %v", env)
		}
		return os.WriteFile(filepath.Join(env[EnvPath], "1"), []byte("sound"), 0o644)
	}
	r.after = func(env map[string]string) error {
		return os.WriteFile(filepath.Join(env[EnvPath], "1"), []byte("torn again"), 0o644)
	}
	a.push()
	a.expectNotes()
	b := w.place([]Path{{Path: "db", By: Hook}}, r.means)
	b.acquire()
	if got := b.read("db/1") + " " + b.read("db/sub/2"); got != "sound 2" {
		t.Errorf("it comes as %q", got)
	}
	if !slices.Equal(r.ran, []string{"before", "after"}) {
		t.Errorf("hooks: %q", r.ran)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "coltec-capture-*")); len(left) > 0 {
		t.Logf("left in the temporary directory, by this test or another: %q", left)
	}
}

// What hooks give is captured instead of the directory, whole, and again only when that changes.
func TestCaptureOfWhatHooksGive(t *testing.T) {
	w := newWorld(t)
	n := 0
	r := &recorder{before: func(env map[string]string) error {
		n++
		at := filepath.Join(env[EnvCapture], "dump")
		return errors.Join(os.Mkdir(at, 0o755), os.WriteFile(filepath.Join(at, fmt.Sprint(n)), []byte("sound"), 0o600))
	}}
	paths := []Path{{Path: "db", By: Hook}}
	a := w.place(paths, r.means)
	a.acquire()
	a.write("db/1", "1")
	a.write("db/sub/2", "2")
	for round, was := 0, -1; n != was; round++ { // a file that was just written is looked at again
		if was = n; round == 100 {
			t.Fatal("the hook runs though nothing changes")
		}
		a.push()
		a.expectNotes()
		if rows := w.rows(); !slices.Equal(rows, []string{layout.Dir + "/db/" + markName, layout.Dir + "/db/dump/" + fmt.Sprint(n)}) {
			t.Errorf("in the bucket: %q", rows)
		}
	}
	before := n
	a.write("db/1", "3")
	a.push()
	b := w.place(paths, nil)
	b.acquire()
	if got := b.read(fmt.Sprintf("db/dump/%d", n)); got != "sound" || n == before || b.has("db/1") || b.has(fmt.Sprintf("db/dump/%d", before)) {
		t.Errorf("of the hook's run %d comes %q", n, got)
	}
}

// What a hook fails for is withheld and told; those after run all the same, once.
func TestCaptureByHooksThatFail(t *testing.T) {
	w := newWorld(t)
	fails := func(map[string]string) error { return errors.New("no way") }
	for name, c := range map[string]struct {
		by            By
		before, after func(map[string]string) error
		want          string
	}{
		"before":           {Hook, fails, nil, "a hook before the capture failed: no way"},
		"after":            {Hook, nil, fails, "a hook after the capture failed: no way"},
		"both":             {Freeze, fails, fails, "a hook before the capture failed: no way"},
		"before freezing":  {Freeze, fails, nil, "a hook before the capture failed: no way"},
		"after freezing":   {Freeze, nil, fails, "a hook after the capture failed: no way"},
		"over, unwritten":  {Hook, func(map[string]string) error { return ErrOver }, nil, ""},
		"over, and frozen": {Freeze, func(map[string]string) error { return ErrOver }, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{before: c.before, after: c.after}
			a := w.place([]Path{{Path: "db", By: c.by}}, r.means)
			w.generation, w.ref = 0, ""
			a.acquire()
			a.write("db/1", "1")
			a.push()
			if c.want == "" {
				a.expectNotes()
			} else {
				a.expectNotes(c.want)
			}
			if kept := a.has(layout.Dir + "/db/1"); kept != (c.want == "") {
				t.Errorf("it is kept: %v", kept)
			}
			if !slices.Equal(r.ran, []string{"before", "after"}) {
				t.Errorf("hooks: %q", r.ran)
			}
			r.before, r.after = nil, nil
			a.push()
			a.expectNotes()
			if !a.has(layout.Dir + "/db/1") {
				t.Error("it is not captured at the next save")
			}
		})
	}
}

// Where no hook runs any more what is still written is withheld.
func TestCaptureAtTheEnd(t *testing.T) {
	w := newWorld(t)
	over := func(map[string]string) error { return ErrOver }
	r := &recorder{before: over, after: over}
	a := w.place([]Path{{Path: "db", By: Hook}}, r.means)
	a.acquire()
	stop := a.writer("db", "db")
	a.push()
	a.expectNotes("it is written by a process")
	stop()
	a.push()
	a.expectNotes()
	if why := torn(a.at(layout.Dir + "/db")); why != "" {
		t.Error(why)
	}
}
