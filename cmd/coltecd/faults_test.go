package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/daemon"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
)

// The faults of docs/faults.md that befall the daemon and its keeper, with the
// real program (testscript puts it into PATH).

// workspace is one with a runtime directory of its own.
type workspace struct {
	t       *testing.T
	dir     string
	runtime string
	env     []string
}

// newWorkspace makes one with services, in the spec's own words.
func newWorkspace(t *testing.T, services string) *workspace {
	t.Helper()
	sample.Long(t)
	run := filepath.Join(t.TempDir(), "run")
	w := &workspace{t: t, dir: t.TempDir(), runtime: run}
	w.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "XDG_RUNTIME_DIR=" + run, "W=" + w.dir}
	spec := "version: 1\nname: dev-a\nmetadata: {org: acme, project: widget}\npersistence: {enabled: false}\n" + services
	for _, err := range []error{
		os.Mkdir(run, 0o700), os.Mkdir(filepath.Join(w.dir, ".devcontainer"), 0o755),
		os.WriteFile(filepath.Join(w.dir, daemon.SpecName), []byte(spec), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { w.run("stop", "--timeout", "2s") })
	return w
}

// command is coltecd with arguments. What does not end is killed, so that the test that
// waits for it fails under its own name.
func (w *workspace) command(args ...string) *exec.Cmd {
	path, err := exec.LookPath("coltecd")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	w.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = 5 * time.Second // what it left may hold its output
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// run runs coltecd and returns its exit code and all that it says.
func (w *workspace) run(args ...string) (code int, text string) {
	out, err := w.command(args...).CombinedOutput()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return exited.ExitCode(), string(out)
	}
	if err != nil {
		w.t.Error(err)
	}
	return 0, string(out)
}

func (w *workspace) start() {
	w.t.Helper()
	if code, text := w.run("start"); code != 0 {
		w.t.Fatalf("start: %d, %s", code, text)
	}
}

func (w *workspace) status() (doc status.Document) {
	w.t.Helper()
	out, _ := w.command("status", "--json").Output()
	if err := json.Unmarshal(out, &doc); err != nil {
		w.t.Fatalf("%v in %q", err, out)
	}
	return doc
}

// until waits for what only asking can tell.
func (w *workspace) until(what string, is func() bool) {
	w.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			w.t.Fatalf("not in %v: %s; %+v", patience, what, w.status())
		}
	}
}

// runs waits until all units run, and returns the pid of coltecd.
func (w *workspace) runs() (coltecd int) {
	w.t.Helper()
	w.until("units run", func() bool {
		doc := w.status()
		coltecd = doc.PID
		for _, u := range doc.Units {
			if u.State != "running" && u.State != "ready" {
				return false
			}
		}
		return len(doc.Units) > 0
	})
	return coltecd
}

// ours are the live processes that have the workspace in their environment:
// units, and coltecd itself.
func (w *workspace) ours() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ") // empty for a zombie
		pid, isPID := strconv.Atoi(e.Name())
		if err == nil && isPID == nil && bytes.Contains(env, []byte("W="+w.dir+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (w *workspace) file(name string) string {
	b, _ := os.ReadFile(filepath.Join(w.dir, name))
	return string(b)
}

func (w *workspace) kill(pid int, sig syscall.Signal) {
	w.t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		w.t.Fatal(err)
	}
}

// counted is a service that leaves a line with each start.
const counted = `services: [{name: web, command: [sh, -c, "echo $$ >> starts; exec sleep 1000"]}]`

func TestFaultTwiceAtOnceStartsOne(t *testing.T) {
	w := newWorkspace(t, counted)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if code, text := w.run("start"); code != 0 {
				t.Errorf("start: %d, %s", code, text)
			}
		})
	}
	all.Wait()
	w.runs()
	w.start() // once more is nothing
	w.until("the service has started", func() bool { return w.file("starts") != "" })
	if n := strings.Count(w.file("starts"), "\n"); n != 1 {
		t.Errorf("the service has started %d times", n)
	}
	w.until("keeper, coltecd and sleep are all", func() bool { return len(w.ours()) == 3 }) // a keeper that came second goes
}

// Some tools wait for the end of the output of what they start: coltecd must not
// hold it, nor any other file that it was given.
func TestFaultInheritedPipesAreClosed(t *testing.T) {
	w := newWorkspace(t, counted)
	r, inherited, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := w.command("start")
	cmd.ExtraFiles = []*os.File{inherited}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inherited.Close()
	for name, file := range map[string]io.Reader{"standard output": out, "descriptor 3": r} {
		ended := make(chan error, 1)
		go func() { _, err := io.Copy(io.Discard, file); ended <- err }()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s is held open", name)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// With a terminal and without: what is started outlives the session it was
// started in, as `devcontainer up` ends its own.
func TestFaultTheEndOfTheTerminal(t *testing.T) {
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("script (of util-linux) is not installed: it makes the terminal")
	}
	w := newWorkspace(t, counted)
	coltecd := w.command("start")
	cmd := exec.Command("script", "-qec", coltecd.Path+" start", "/dev/null")
	cmd.Dir, cmd.Env = coltecd.Dir, coltecd.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.runs() // the terminal is gone
	w.until("the service has started", func() bool { return w.file("starts") != "" })
	if n := strings.Count(w.file("starts"), "\n"); n != 1 {
		t.Errorf("the service has started %d times", n)
	}
}

// kill -9: back, whatever its units are like, and nothing twice. How long the keeper waits
// for it is daemon's to test: what a start takes is the machine's.
func TestFaultAKilledColtecdIsBack(t *testing.T) {
	for name, services := range map[string]string{
		"units that obey": counted,
		"a unit that ignores TERM, with a daemon that does": `services: [{name: web, command: [sh, -c, ` +
			`"trap '' TERM; echo $$ >> starts; setsid sleep 1000 & sleep 1000 & while :; do wait; done"]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, services)
			w.start()
			old := w.runs()
			w.until("the unit has begun", func() bool { return w.file("starts") != "" })
			before := strings.Count(services, "sleep 1000") + 2 // with coltecd and its keeper
			if strings.Contains(services, "trap") {
				before++ // its shell stays
			}
			w.until("all of them run", func() bool { return len(w.ours()) == before })
			w.kill(old, syscall.SIGKILL)
			w.until("coltecd is back", func() bool {
				doc := w.status()
				return doc.PID != 0 && doc.PID != old
			})
			w.runs()
			w.until("the unit has begun again", func() bool { return strings.Count(w.file("starts"), "\n") == 2 })
			w.until("as many processes as before", func() bool { return len(w.ours()) == before })
		})
	}
}

// coltecd and its keeper at once, and a start by hand: nothing runs twice.
func TestFaultBothAreKilled(t *testing.T) {
	w := newWorkspace(t, counted)
	w.start()
	coltecd := w.runs()
	keeper, err := strconv.Atoi(stat(coltecd)[1])
	if err != nil {
		t.Fatal(err)
	}
	w.kill(keeper, syscall.SIGKILL)
	w.kill(coltecd, syscall.SIGKILL)
	w.until("both have ended", func() bool { return len(w.ours()) == 1 })
	w.start()
	w.runs()
	w.until("one of each runs", func() bool { return len(w.ours()) == 3 })
	told := func() bool {
		return strings.Contains(strings.Join(w.status().Attention, "\n"), "the last coltecd here was killed")
	}
	w.until("the next start says it", told)
	if code, text := w.run("stop"); code != 0 {
		t.Fatalf("stop: %d, %s", code, text)
	}
	w.start()
	w.runs()
	if told() {
		t.Error("a stop in order is told as a kill")
	}
}

// The next line of a service that was left alone is no SIGPIPE, and not lost.
func TestFaultAServiceDoesNotDieOfSIGPIPE(t *testing.T) {
	w := newWorkspace(t, `services: [{name: web, command: [sh, -c, "trap 'echo last words; echo obeyed >> ends; exit' TERM; trap 'echo pipe >> ends' EXIT; while :; do echo line; sleep 0.01; done"]}]`)
	w.start()
	old := w.runs()
	w.until("it prints", func() bool { return strings.Contains(w.file(".devcontainer/logs/web.log"), "line") })
	w.kill(old, syscall.SIGKILL)
	w.until("coltecd is back", func() bool { return w.status().PID != old })
	w.runs()
	if got := w.file("ends"); !strings.HasPrefix(got, "obeyed\n") {
		t.Errorf("the service ended by %q", got)
	}
	if !strings.Contains(w.file(".devcontainer/logs/web.log"), "last words") {
		t.Error("what it said without coltecd is lost")
	}
}

func TestFaultStopOfTheDaemonLeavesNothing(t *testing.T) {
	w := newWorkspace(t, `services: [{name: web, stop: {grace: 300ms}, command: [sh, -c, `+
		`"trap '' TERM; setsid sleep 1000 & sleep 1000 & (setsid sh -c 'trap \"\" TERM; sleep 1000' &); while :; do wait; done"]}]`)
	w.start()
	w.runs()
	w.until("all of them run", func() bool { return len(w.ours()) >= 6 })
	if code, text := w.run("stop"); code != 0 {
		t.Errorf("stop: %d, %s", code, text)
	}
	// The keeper gives its lock back before its own last moment.
	w.until("nothing is left", func() bool { return len(w.ours()) == 0 })
	if code, _ := w.run("stop"); code != 0 {
		t.Error("a second stop fails")
	}
}

func TestFaultStatusExitCodes(t *testing.T) {
	w := newWorkspace(t, counted)
	code := func(want int) {
		t.Helper()
		if got, text := w.run("status"); got != want {
			t.Errorf("status ends with %d, want %d: %s", got, want, text)
		}
	}
	code(codeStopped)
	w.start()
	coltecd := w.runs()
	code(0)
	w.kill(coltecd, syscall.SIGSTOP)
	w.until("all its threads stand still", func() bool { return standsStill(coltecd) })
	code(codeUnknown)
	w.kill(coltecd, syscall.SIGCONT)
	w.run("pause", "web")
	code(codeFailed)
	w.run("stop")
	code(codeStopped)
}

// standsStill reports whether every thread of a process is stopped: one may go on
// for a moment after the signal was sent.
func standsStill(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, file := range stats {
		b, _ := os.ReadFile(file)
		_, after, _ := strings.Cut(string(b), ") ")
		if !strings.HasPrefix(after, "T") {
			return false
		}
	}
	return len(stats) > 0
}

func TestFaultASecondInstanceIsRefused(t *testing.T) {
	w := newWorkspace(t, counted)
	w.start()
	w.runs()
	if code, text := w.run("run"); code != codeFailed || !strings.Contains(text, "already running") {
		t.Errorf("run beside start: %d, %s", code, text)
	}
	if n := strings.Count(w.file("starts"), "\n"); n > 1 {
		t.Errorf("the service has started %d times", n)
	}
}

// A line whose beginning was read before a kill, and whose end comes after it, is one line.
func TestFaultALineThatWasBegun(t *testing.T) {
	// Its errors go nowhere: a shell says of a sleep that it was terminated, in the same line.
	for name, both := range map[string]bool{"coltecd is killed": false, "so is its keeper": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, `services: [{name: web, restart: never, command: [sh, -c, "test -e begun && exec sleep 1000; exec 2>/dev/null; trap 'echo 456; exit' TERM; printf 123; touch begun; while :; do sleep 0.01; done"]}]`)
			w.start()
			old := w.runs()
			held := filepath.Join(w.runtime, "coltec", "*", "held", "web.*")
			w.until("coltecd has read what has no end", func() bool {
				files, _ := filepath.Glob(held)
				if len(files) != 1 {
					return false
				}
				text, _ := os.ReadFile(files[0])
				return string(text) == "123"
			})
			if both {
				keeper, err := strconv.Atoi(stat(old)[1])
				if err != nil {
					t.Fatal(err)
				}
				w.kill(keeper, syscall.SIGKILL)
			}
			w.kill(old, syscall.SIGKILL)
			if both {
				w.until("both have ended", func() bool { return len(w.ours()) <= 2 }) // sh, and a sleep at times
				w.start()
			}
			w.until("coltecd is back", func() bool { return w.status().PID != old })
			w.runs()
			w.until("nothing is held any more", func() bool {
				files, _ := filepath.Glob(held)
				return len(files) == 0
			})
			if seen := w.numbers("web"); len(seen) != 1 || seen[123456] != 1 {
				t.Errorf("the log has %v, want 123456 once", seen)
			}
		})
	}
}

// 500,000 lines, and kill -9 as soon as the last is written: each is in the log,
// once rotated or not, and none is cut.
func TestFaultLinesThenKill(t *testing.T) {
	const lines = 500_000
	w := newWorkspace(t, fmt.Sprintf(`logs: {max_size: 5MB, max_backups: 50}
services: [{name: web, restart: never, command: [sh, -c, "if test -e said; then exec sleep 1000; fi; seq %d; echo x > said; exec sleep 1000"]}]`, lines))
	w.start()
	old := w.status().PID
	w.until("all is said", func() bool { return w.file("said") != "" })
	w.kill(old, syscall.SIGKILL)
	w.until("coltecd is back", func() bool { return w.status().PID != old })
	w.runs()
	seen := w.numbers("web")
	lost, twice := 0, 0
	for i := 1; i <= lines; i++ {
		switch n := seen[i]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	// A kill in the middle of a write leaves the beginning of one line as a line, before the whole.
	if cut := seen[-1]; lost > 0 || cut > 1 || len(seen)-min(cut, 1) != lines {
		t.Errorf("%d of %d lines are lost, %d are there twice, %d are none of them", lost, lines, twice, len(seen)+lost-lines)
	}
}

// numbers counts the lines of a log, which are numbers, its backups included.
func (w *workspace) numbers(name string) map[int]int {
	w.t.Helper()
	seen := map[int]int{}
	files, err := filepath.Glob(filepath.Join(w.dir, ".devcontainer/logs", name+"*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, ".gz") && exists(strings.TrimSuffix(path, ".gz")) {
			continue // not whole yet
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return w.numbers(name) // compressed since it was listed
		}
		if err != nil {
			w.t.Fatal(err)
		}
		defer f.Close()
		var text io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if text, err = gzip.NewReader(f); err != nil {
				w.t.Fatal(err)
			}
		}
		for lines := bufio.NewScanner(text); lines.Scan(); {
			_, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				n = -1 // a cut line
			}
			seen[n]++
		}
	}
	return seen
}

func TestFaultABadReloadChangesNothing(t *testing.T) {
	w := newWorkspace(t, counted)
	w.start()
	w.runs()
	was := w.status()
	path := filepath.Join(w.dir, daemon.SpecName)
	good := w.file(daemon.SpecName)
	if err := os.WriteFile(path, []byte(good+"\nnonsense: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := w.run("reload"); code == 0 || !strings.Contains(text, "nonsense") {
		t.Errorf("reload: %d, %s", code, text)
	}
	now := w.status()
	if now.PID != was.PID || now.Units[0].PID != was.Units[0].PID {
		t.Errorf("it was %+v, now it is %+v", was.Units, now.Units)
	}
	if !strings.Contains(strings.Join(now.Attention, "\n"), "nonsense") {
		t.Errorf("status does not say why: %v", now.Attention)
	}
	// A good one touches only what changed.
	more := strings.Replace(good, "services: [", "services: [{name: more, command: [sleep, '1000']}, ", 1)
	if err := os.WriteFile(path, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := w.run("reload"); code != 0 {
		t.Errorf("reload: %d, %s", code, text)
	}
	w.runs()
	for _, u := range w.status().Units {
		if u.Name == "web" && u.PID != was.Units[0].PID {
			t.Error("an unchanged unit was restarted")
		}
	}
}

func TestFaultLostLinesAreSaid(t *testing.T) {
	w := newWorkspace(t, `services: [{name: web, command: [sh, -c, "while :; do echo line; sleep 0.1; done"]}]`)
	if err := os.Symlink(t.TempDir(), filepath.Join(w.dir, ".devcontainer/logs")); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.runs()
	w.until("the loss is in the status", func() bool {
		return strings.Contains(strings.Join(w.status().Attention, "\n"), "lines are lost (open ")
	})
	if u := w.status().Units[0]; u.Restarts != 0 || u.State != "running" {
		t.Errorf("%+v", u)
	}
}

// What was failing fails on after a crash of coltecd: it does not begin anew.
func TestFaultDelaysOutliveACrashOfColtecd(t *testing.T) {
	w := newWorkspace(t, `services: [{name: web, command: [sh, -c, "echo x >> starts; exit 1"], backoff: {base: 10ms}, start_limit: {burst: 2, window: 1m}}, {name: held, command: [sleep, "1000"]}]`)
	w.start()
	failed := func() bool {
		units := w.status().Units
		return len(units) == 2 && units[0].State == "failed"
	}
	w.until("it has failed", failed)
	if code, text := w.run("pause", "held"); code != 0 {
		t.Fatal(text)
	}
	was := w.status()
	w.kill(was.PID, syscall.SIGKILL)
	w.until("coltecd is back", func() bool { now := w.status(); return now.PID != was.PID && now.PID != 0 })
	w.until("it has failed still", failed)
	now := w.status()
	if now.Units[0].NextRetry == nil || now.Units[0].NextRetry.Sub(*was.Units[0].NextRetry).Abs() > time.Second {
		t.Errorf("it was %+v, now it is %+v", was.Units[0], now.Units[0])
	}
	if now.Units[1].State != "paused" {
		t.Errorf("what was paused is %s", now.Units[1].State)
	}
	if n := strings.Count(w.file("starts"), "x"); n != 3 {
		t.Errorf("%d starts, want 3", n)
	}
}
