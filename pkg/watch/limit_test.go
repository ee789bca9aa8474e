package watch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/hint"
)

// said waits for a trouble, or its end.
func (l *lab) said(what string, want func(error) bool) error {
	l.t.Helper()
	for {
		select {
		case err := <-l.trouble:
			if want(err) {
				return err
			}
		case <-time.After(time.Minute):
			l.t.Fatalf("%s is not said", what)
		}
	}
}

// What was moved out of the tree is no business of it any more, and what comes
// in, with all below it, is from then on.
func TestDirectoriesMoveOutAndIn(t *testing.T) {
	l := watched(t, 20*time.Millisecond, time.Second)
	outside := filepath.Join(t.TempDir(), "outside")
	l.must(os.Rename(filepath.Join(l.root, "src"), outside))
	l.told("a directory that moves out")
	for i := range 20 {
		l.must(os.WriteFile(filepath.Join(outside, "deep", fmt.Sprint(i)), nil, 0o600))
	}
	got := l.all()  // all events from outside, had there been any, came before
	delete(got, "") // the rest of the move
	if got == nil || len(got) > 0 {
		t.Errorf("of changes outside is told: %v", got)
	}
	l.must(os.Rename(outside, filepath.Join(l.root, "back")))
	l.told("a directory that moves in")
	l.write("back/deep/f")
	l.told("a file deep in it")
}

// Events that the kernel dropped are said, and what they told of is found: the
// tree is watched anew, and a change is told.
func TestOverflow(t *testing.T) {
	l := watched(t, 20*time.Millisecond, time.Second)
	l.write("src/a")
	l.told("a file")
	queue, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	l.must(err)
	var most int
	_, err = fmt.Sscan(string(queue), &most)
	l.must(err)
	for len(l.changed) < cap(l.changed) { // who is told does not listen: the queue fills
		select {
		case l.changed <- telling{}:
		default:
		}
	}
	names := [2]string{filepath.Join(l.root, "src/a"), filepath.Join(l.root, "src/b")}
	for len(l.telling) > 0 {
		<-l.telling
	}
	l.write("src/b")
	<-l.telling                      // and is stuck in it
	for i := range 2*most + 10_000 { // equal events that follow each other are one
		l.must(os.Chmod(names[i%2], os.FileMode(0o600+i/2%2*0o40)))
	}
	for len(l.changed) > 0 {
		<-l.changed
	}
	l.said("lost events", func(err error) bool { return err != nil && strings.Contains(err.Error(), "overflow") })
	l.said("that it is over", func(err error) bool { return err == nil })
	for l.told("everything, as nobody knows what was lost").dirs != nil {
	}
	for len(l.changed) > 0 {
		<-l.changed
	}
	l.write("src/a")
	l.told("a change after it")
}

// inside is set in a test that runs in a user namespace with few watches.
const inside = "COLTEC_TEST_FEW_WATCHES"

// few is how many directories can be watched there.
const few = 12

// TestLimit meets the kernel's limit: in a user namespace of its own, so that the
// machine's stays as it is.
func TestLimit(t *testing.T) {
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLimit$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestLimit") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	limit := func(n int) {
		t.Helper()
		if err := os.WriteFile("/proc/sys/user/max_inotify_watches", []byte(fmt.Sprint(n)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	limit(few)
	l := watched(t, 20*time.Millisecond, time.Second)
	full := func(err error) bool { return errors.Is(err, syscall.ENOSPC) }
	// It is met after the start: that was never said.
	for i := range 2 * few {
		l.mkdir(fmt.Sprintf("src/more%d", i))
	}
	err := l.said("the limit", full)
	if len(hint.Of(err)) == 0 || !strings.Contains(err.Error(), "all of") {
		t.Errorf("it says %v, %q", err, hint.Of(err))
	}
	for len(l.changed) > 0 {
		<-l.changed
	}
	l.write("src/f") // what is watched is told all the same
	if dirs := l.told("a file in a directory that is watched").dirs; dirs != nil {
		t.Errorf("not all is watched, and it tells of %v alone", dirs)
	}
	// It was raised: nobody starts anything anew.
	limit(10_000)
	l.said("that it is over", func(err error) bool { return err == nil })
	for len(l.changed) > 0 {
		<-l.changed
	}
	l.write(fmt.Sprintf("src/more%d/f", 2*few-1))
	l.told("a file in a directory that was not watched before")
	// And at a start.
	limit(2)
	second := &lab{t: t, root: l.root, changed: make(chan telling, 1000), trouble: make(chan error, 1000)}
	second.begin(20*time.Millisecond, time.Second)
	second.said("the limit at a start", full)
	limit(10_000)
	second.said("that it is over", func(err error) bool { return err == nil })
}
