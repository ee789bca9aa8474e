package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// testGuard is the first argument of a guard of these tests.
const testGuard = "guard-of-a-test"

func guardForTests() {
	limit, err := time.ParseDuration(os.Args[2])
	if err == nil {
		err = Guard(os.Stdin, os.Stdout, limit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		syscall.Exit(1)
	}
	syscall.Exit(0)
}

func newTestFreezer(t *testing.T, limit time.Duration) *Freezer {
	t.Helper()
	f, err := NewFreezer([]string{"/proc/self/exe", testGuard}, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// freezeAndWait is a process that is killed while others stand for it.
func freezeAndWait() {
	f, err := NewFreezer([]string{"/proc/self/exe", testGuard}, 2*time.Minute)
	if err == nil {
		_, err = f.Stop(Selection{Marker: os.Getenv("COLTEC_TEST_MARKER")})
	}
	say("stopped", err)
	forever()
}

// writer is a unit whose processes fork and write all the time: to a file in dir.
func writer(t *testing.T, marker, unit, dir string) (c *Child, file string) {
	t.Helper()
	file = filepath.Join(dir, unit)
	script := `
		(while :; do env -i PATH="$PATH" sh -c 'echo x >> "$0"' "$0"; done) &
		setsid sh -c 'while :; do (echo y >> "$0"); done' "$0" &
		while :; do (echo z >> "$0"); done`
	c, err := Start(Spec{Argv: []string{"sh", "-c", script, file}, Env: []string{"PATH=" + os.Getenv("PATH")}, Marker: marker + "/" + unit}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Wait()
		c.Reap()
	}()
	t.Cleanup(func() { c.Signal(syscall.SIGKILL); <-ended })
	grows(t, file)
	return c, file
}

// grows returns when all three writers of a file have written more.
func grows(t *testing.T, file string) {
	t.Helper()
	before := written(file)
	within(t, "writing", func() {
		for {
			now := written(file)
			if now[0] > before[0] && now[1] > before[1] && now[2] > before[2] {
				return
			}
			syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 5000})
		}
	})
}

func written(file string) (n [3]int) {
	body, _ := os.ReadFile(file)
	for i, word := range []string{"x", "y", "z"} {
		n[i] = strings.Count(string(body), word)
	}
	return n
}

func marker(t *testing.T) string {
	return "freeze-" + strconv.Itoa(os.Getpid()) + "-" + strings.ReplaceAll(t.Name(), "/", "-")
}

// What forks and writes all the time stands as a whole, with what left the group or has
// another environment, and goes on; another unit is left alone.
func TestFreeze(t *testing.T) {
	sample.Long(t)
	m, dir := marker(t), t.TempDir()
	_, file := writer(t, m, "db", dir)
	_, other := writer(t, m, "web", dir)
	f := newTestFreezer(t, time.Minute)
	for round := range 5 {
		n, err := f.Stop(Selection{Marker: m, Units: []string{"db"}})
		if err != nil || n < 3 {
			t.Fatalf("%d stand, %v", n, err)
		}
		before := written(file)
		grows(t, other)
		if now := written(file); now != before {
			t.Fatalf("round %d: it was written meanwhile: %v, then %v", round, before, now)
		}
		t.Logf("%d processes stood after %v", n, f.Took())
		if err := f.Continue(); err != nil {
			t.Fatal(err)
		}
		grows(t, file)
	}
	if n, err := f.Stop(Selection{Marker: m, Spare: []string{"db", "we"}}); n != 0 || err != nil {
		t.Errorf("of units that are spared %d stand, %v", n, err)
	}
	if err := f.Continue(); err != nil {
		t.Error(err)
	}
}

// When the time is over the guard has all go on, though nobody says so, and what was done
// meanwhile does not count.
func TestFreezeForTooLong(t *testing.T) {
	sample.Long(t)
	m := marker(t)
	_, file := writer(t, m, "db", t.TempDir())
	f := newTestFreezer(t, 100*time.Millisecond)
	if _, err := f.Stop(Selection{Marker: m}); err != nil && !errors.Is(err, ErrSlow) {
		t.Fatal(err)
	}
	grows(t, file)
	if err := f.Continue(); !errors.Is(err, ErrSlow) {
		t.Errorf("it ends with %v", err)
	}
	grows(t, file)
}

// Who stops processes may be killed at any moment: they go on.
func TestFreezeByOneWhoIsKilled(t *testing.T) {
	sample.Long(t)
	m := marker(t)
	_, file := writer(t, m, "db", t.TempDir())
	for range 3 {
		c, out := startBad(t, spec("freezer", func(s *Spec) { s.Env = append(s.Env, "COLTEC_TEST_MARKER="+m) }))
		out.expect(t, "stopped <nil>")
		before := written(file)
		if now := written(file); now != before {
			t.Fatal("nobody stands")
		}
		if err := syscall.Kill(c.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		grows(t, file)
		within(t, "the end", func() { c.Wait(); c.Reap() })
	}
}

// What somebody else had stopped stands after it as before.
func TestFreezeOfWhatStood(t *testing.T) {
	sample.Long(t)
	m := marker(t)
	c, out := startBad(t, spec("sleeper", func(s *Spec) { s.Marker = m + "/db" }))
	out.expect(t, "up")
	if err := syscall.Kill(c.PID(), syscall.SIGSTOP); err != nil { // not by Signal, after which all go on
		t.Fatal(err)
	}
	p, _ := readProc(c.PID())
	within(t, "the stop", func() {
		for !stands(p) {
			syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 1000})
		}
	})
	f := newTestFreezer(t, time.Minute)
	if n, err := f.Stop(Selection{Marker: m}); n != 0 || err != nil {
		t.Fatalf("%d were stopped, %v", n, err)
	}
	if err := f.Continue(); err != nil || !stands(p) {
		t.Errorf("%v; it stands: %v", err, stands(p))
	}
	f.Close()
	if !stands(p) {
		t.Error("it goes on")
	}
}

// A guard that does not come up is an error, and one that was killed lets nobody stand.
func TestFreezeWithoutGuard(t *testing.T) {
	sample.Long(t)
	if f, err := NewFreezer([]string{"/bin/true"}, time.Second); err == nil {
		f.Close()
		t.Error("there is a guard that is none")
	}
	m := marker(t)
	_, file := writer(t, m, "db", t.TempDir())
	f := newTestFreezer(t, time.Minute)
	if err := syscall.Kill(f.guard.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "the end of the guard", func() {
		peek(f.guard.cmd.Process.Pid, 0)
	})
	if _, err := f.Stop(Selection{Marker: m}); err == nil {
		t.Error("it stops without a guard")
	}
	grows(t, file)
}
