package frozen

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coltec/coltec/pkg/killpoint"
)

// capturedBy has another process capture a tree, and kills it at a point; "" lets it end.
func capturedBy(t *testing.T, tree, at string) (killed bool) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asCapture + "=" + tree, killpoint.Variable + "=" + at}
	cmd.Stderr = os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("killed at %q: %v", at, err)
	}
	return false
}

// Killed at any step of a capture, its writer goes on, hooks after a capture run at the next
// start for those before it, and what is captured next is sound.
func TestCaptureIsKilled(t *testing.T) {
	w := newWorld(t)
	a := w.place(nil, nil)
	a.writer("db", "db")
	if capturedBy(t, a.Path, "") {
		t.Fatal("killed without a point")
	}
	points := slices.DeleteFunc(killpoint.Names(), func(n string) bool {
		return !strings.HasPrefix(n, "frozen:") || n == "frozen:aside" || n == "frozen:placed"
	})
	if len(points) < 5 {
		t.Fatalf("points are %q", points)
	}
	for _, at := range points {
		if !capturedBy(t, a.Path, at) {
			t.Errorf("%s was not reached", at)
		}
		a.moves("db")
		if capturedBy(t, a.Path, "") {
			t.Fatal("killed without a point")
		}
		a.moves("db")
		if why := torn(a.at(layout.Dir + "/db")); why != "" {
			t.Errorf("after %s: %s", at, why)
		}
	}
	body, err := os.ReadFile(a.Path + ".hooks")
	w.must(err)
	t.Cleanup(func() { os.Remove(a.Path + ".hooks") })
	words := strings.Fields(string(body))
	for i := 0; i < len(words); i += 2 {
		if i+1 == len(words) || words[i] != "before" || words[i+1] != "after" {
			t.Fatalf("hooks are no pairs: %q", words)
		}
	}
	if len(words) < 2*(2*len(points)+1)-2 {
		t.Errorf("hooks: %q", words)
	}
}

// Killed in a placement, the next one completes it: what is in its place is one side or the
// other, and whole.
func TestPlacementIsKilled(t *testing.T) {
	w := newWorld(t)
	paths := []Path{{Path: "db", By: Freeze}}
	for _, at := range []string{"frozen:aside", "frozen:placed"} {
		a, b := w.place(paths, nil), w.place(paths, nil)
		a.acquire()
		a.write("db/1", "old")
		a.write("db/2", "old")
		a.push()
		b.acquire()
		a.write("db/1", "new")
		a.write("db/2", "new")
		a.push()
		func() {
			defer func() {
				if recover() != at {
					t.Fatalf("%s was not reached", at)
				}
			}()
			killpoint.Arm(at, 1, func() { panic(at) })
			b.acquire()
		}()
		killpoint.Arm(at, 0, nil)
		b.restart()
		b.expectNotes()
		if got := b.read("db/1") + b.read("db/2"); got != "newnew" {
			t.Errorf("after %s: %q", at, got)
		}
		b.push()
		if b.has(".coltec/conflicts") {
			t.Errorf("after %s there is a conflict", at)
		}
		w.bucket, w.generation, w.ref = newWorld(t).bucket, 0, ""
	}
}
