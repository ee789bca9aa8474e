package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/logfile"
	"github.com/coltec/coltec/pkg/unit"
)

// The faults of docs/faults.md that lie in this room, with real processes.

// worstOf are bad children by what they have beside themselves.
var worstOf = map[string]string{
	"a member of the group that ignores TERM": "member",
	"a setsid'd descendant that ignores TERM": "daemon",
	"both, and ignores TERM itself":           "worst",
}

func TestFaultStopLeavesNothing(t *testing.T) {
	for name, bad := range worstOf {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, Options{})
			l.run(real("web", bad))
			l.up(2)
			if n := len(l.marked()); n < 2 {
				t.Errorf("%d processes run", n)
			}
			if err := l.Do(t.Context(), "stop", "web"); err != nil {
				t.Error(err)
			}
			if left := l.marked(); len(left) > 0 {
				t.Errorf("left after a stop: %v", left)
			}
		})
	}
}

func TestFaultRestartEndsTheWholeTree(t *testing.T) {
	for name, bad := range worstOf {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, Options{})
			l.run(real("web", bad))
			l.up(2)
			before := l.marked()
			if err := l.Do(t.Context(), "restart", "web"); err != nil {
				t.Error(err)
			}
			for _, pid := range l.marked() {
				if slices.Contains(before, pid) {
					t.Errorf("%d outlived the restart", pid)
				}
			}
		})
	}
}

// Each copy looks for what runs of the one before: it must be alone.
func TestFaultACrashedLeadersGrandchildIsGoneFirst(t *testing.T) {
	l := newLab(t, Options{})
	l.run(real("web", "looks around and crashes"))
	l.printed("alone", 4)
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := l.text.String(); strings.Contains(text, "not by itself") {
		t.Errorf("a copy met what another had left:\n%s", text)
	}
}

// A grandchild that holds the output must not delay the news: a child that
// crashes is seen at once, not when its pipe ends.
func TestFaultALeaderDiesWhileAGrandchildHoldsItsOutput(t *testing.T) {
	l := newLab(t, Options{})
	u := real("web", "crash")
	u.Stop.Grace = time.Minute // the grandchild ignores TERM for as long
	l.run(u)
	l.printed("crashing", 1)
	l.reaches("web", Stopping)
	if n := len(l.marked()); n != 1 {
		t.Errorf("%d processes hold the output when it is seen, want the grandchild", n)
	}
	if s := l.Status()[0]; s.LastExit != "exit status 1" || s.PID != 0 {
		t.Errorf("%+v", s)
	}
	l.Kill()
}

// kill -9 of the supervisor under the worst of children: no second copy, and
// nothing of the first when the next one runs.
func TestFaultAKilledSupervisorIsFollowedByNoSecondCopy(t *testing.T) {
	l := newLab(t, Options{})
	left := l.leftBehind("worst", 3)
	l.run(real("web", "worst"))
	l.up(6)
	now := l.marked()
	for _, pid := range now {
		if slices.Contains(left, pid) {
			t.Errorf("%d outlived its supervisor", pid)
		}
	}
	if len(now) != 3 {
		t.Errorf("%v run, want 3", now)
	}
}

// What was printed after the death of the supervisor is in the log of the next.
func TestFaultWhatIsPrintedWithoutASupervisorIsKept(t *testing.T) {
	spoken := fifo(t)
	l := newLab(t, Options{})
	l.leftBehind("last words", 1, "SPOKEN="+spoken.Name())
	if _, err := spoken.Read(make([]byte, 1)); err != nil {
		t.Fatal("nothing was printed:", err)
	}
	u := real("web", "sleeper")
	l.run(u)
	l.printed("last words", 1)
}

// fifo is a pipe with a name, to wait for a decision of a process that is not ours.
func fifo(t *testing.T) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return file
}

// leftBehind runs a supervisor with a bad child and kills it.
func (l *lab) leftBehind(bad string, processes int, env ...string) (pids []int) {
	l.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(env, asChild+"=supervisor", "MARKER="+l.marker, "BAD="+bad)
	cmd.Stdout = l // its child has a pipe of its own
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.up(processes)
	pids = l.marked()
	if err := cmd.Process.Kill(); err != nil || len(pids) != processes {
		l.t.Fatal(err, pids)
	}
	_ = cmd.Wait()
	return pids
}

func TestFaultAMissingBinaryComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web")
	link := func() {
		if err := os.Symlink(os.Args[0], path); err != nil {
			t.Fatal(err)
		}
	}
	link()
	u := real("web", "sleeper")
	u.Argv = []string{path}
	l := newLab(t, Options{})
	l.run(u)
	l.up(1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(l.Status()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 3 { // its end, then starts that fail
		l.reaches("web", Backoff)
	}
	if s := l.Status()[0]; !strings.Contains(s.LastError, "no such file") {
		t.Errorf("last error %q", s.LastError)
	}
	link()
	l.up(2)
	l.reaches("web", Running)
}

// A real crash loop: delays that grow, then the start limit, and when it tries
// again. The hours after that are TestStartLimitCoolsOffAndComesBack's.
func TestFaultACrashLoopIsGivenUpForAWhile(t *testing.T) {
	u := real("web", "exits")
	u.Backoff = unit.Backoff{Base: 10 * time.Millisecond, Max: time.Second}
	u.StartLimit = unit.StartLimit{Burst: 5, Window: time.Minute}
	l := newLab(t, Options{})
	began := time.Now()
	l.run(u)
	l.reaches("web", Failed)
	// 10+20+40+80+160 ms, less 20 % of jitter at most
	if took := time.Since(began); took < 248*time.Millisecond {
		t.Errorf("5 restarts in %v", took)
	}
	s := l.Status()[0]
	if left := time.Until(s.NextRetry); s.Restarts != 5 || left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("%d restarts, tries again in %v", s.Restarts, left)
	}
}

// Whatever becomes of a log, the child neither notices nor stops.
func TestFaultLogs(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, path string)
		lost  bool
	}{
		"a file in the place of its folder": {func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, true},
		"a directory in its place": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, false},
		"a log that was removed": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false},
		"a line of 10 MB": {func(*testing.T, string) {}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			logs := logfile.New(logfile.Options{Dir: filepath.Join(t.TempDir(), "logs")})
			path := logs.Path("web")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, path)
			l := newLab(t, Options{Sink: func(name string) io.WriteCloser { return logs.Sink(name) }})
			u := real("web", "talks")
			u.Restart = unit.Never
			u.Env = append(u.Env, "REMOVE="+path)
			if strings.Contains(name, "removed") {
				u.Env = append(u.Env, "REMOVES=1")
			}
			l.run(u)
			l.reaches("web", Exited) // it has said all of it, with status 0
			if s := l.Status()[0]; s.LastExit != "exit status 0" || s.Restarts != 0 {
				t.Errorf("%+v", s)
			}
			l.end()
			n, err := logs.Lost()
			if lost := n > 0 && err != nil; lost != tt.lost {
				t.Errorf("%d lines are counted as lost: %v", n, err)
			}
			if !tt.lost {
				text, err := os.ReadFile(path)
				if err != nil || !strings.HasSuffix(string(text), " the end\n") {
					t.Errorf("the end is not in the log: %v", err)
				}
			}
		})
	}
}

// A unit with every field that a spec has, and each of them acts.
func TestFaultEveryFieldActs(t *testing.T) {
	dir := t.TempDir()
	flag := filepath.Join(dir, "ready")
	db := real("db", "sleeper")
	db.After = []string{"restore"}
	web := real("web", "shows")
	web.After = []string{"db"}
	web.Dir = dir
	web.Env = append(web.Env, "FLAG="+flag, "GREETING=hello")
	web.Ready = &unit.Probe{Exec: []string{"test", "-e", flag}, Interval: 10 * time.Millisecond, Timeout: 10 * time.Second}
	web.Stop = unit.Stop{Signal: syscall.SIGUSR1, Grace: 10 * time.Second}
	l := newLab(t, Options{Milestones: []string{"restore"}})
	l.run(db, web)
	for _, s := range l.Status() {
		if s.State != Waiting {
			t.Errorf("%s is %s before its milestone", s.Name, s.State)
		}
	}
	l.Reached("restore")
	l.reaches("db", Running)
	l.reaches("web", Running)
	l.printed(fmt.Sprintf("dir=%s greeting=hello", dir), 1)
	l.reaches("web", Ready)
	if err := l.Do(t.Context(), "stop", "web"); err != nil {
		t.Error(err)
	}
	l.printed("ended by USR1", 1)
}

// Fifty services that crash as soon as they run, and one that does not.
func TestFaultARestartStorm(t *testing.T) {
	logs := logfile.New(logfile.Options{Dir: t.TempDir(), MaxSizeMB: 1, MaxBackups: 1})
	l := newLab(t, Options{Sink: func(name string) io.WriteCloser { return logs.Sink(name) }})
	units := []unit.Unit{real("good", "sleeper")}
	for i := range 50 {
		u := unit.Unit{Name: fmt.Sprintf("bad%d", i), Argv: []string{"/bin/false"}}
		u.Backoff = unit.Backoff{Base: 100 * time.Millisecond, Max: 10 * time.Second}
		u.StartLimit = unit.StartLimit{Burst: 3, Window: time.Minute}
		units = append(units, u)
	}
	l.run(units...)
	failed := 0
	for deadline := time.After(time.Minute); failed < 50; {
		select {
		case c := <-l.changes:
			if c.To == Failed {
				failed++
			}
		case <-deadline:
			t.Fatalf("%d have failed", failed)
		}
	}
	for _, s := range l.Status() {
		if s.Name == "good" && (s.State != Running || s.Restarts != 0) {
			t.Errorf("%+v", s)
		}
	}
}
