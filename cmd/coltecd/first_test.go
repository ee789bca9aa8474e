package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A container with a command of its own pushed nothing at its stop: the command had
// replaced the shell whose trap did it.
func TestFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		script string         // it makes the file "up" when it can be asked
		sig    syscall.Signal // 0: it ends by itself
		goesOn bool           // as does coltecd
		code   int
		says   string
	}{
		"it ends when asked":           {script: `trap 'echo last words; exit 5' TERM; : >up; while :; do sleep 0.1; done`, sig: syscall.SIGTERM, code: 5, says: "last words\n"},
		"it ends by the signal":        {script: `: >up; exec sleep 1000`, sig: syscall.SIGTERM, code: 143},
		"it ends by another":           {script: `trap 'echo quit; exit 0' QUIT; : >up; while :; do sleep 0.1; done`, sig: syscall.SIGQUIT, says: "quit\n"},
		"it ends by itself":            {script: `: >up; exit 3`, code: 3},
		"it is killed":                 {script: `: >up; kill -KILL $$`, code: 137},
		"it does not end":              {script: `trap '' TERM; : >up; while :; do sleep 0.1; done`, sig: syscall.SIGTERM, goesOn: true, code: 137},
		"it reads":                     {script: `: >up; cat`, says: "typed\n"},
		"another's child is an orphan": {script: `(sleep 0 & echo $! >orphan) & wait; : >up; while kill -0 $(cat orphan) 2>/dev/null; do sleep 0.1; done`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, counted)
			w.start()
			w.runs()
			cmd := w.command("first", "--user", "root", "--", "sh", "-c", tt.script)
			cmd.Env = append(cmd.Env, "COLTEC_STOP_TIMEOUT=5s")
			var out bytes.Buffer
			cmd.Stdin, cmd.Stdout = strings.NewReader("typed\n"), &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.until("it is up", func() bool { return exists(filepath.Join(w.dir, "up")) })
			if tt.sig != 0 {
				w.kill(cmd.Process.Pid, tt.sig)
			}
			if tt.goesOn {
				var command []int
				w.until("coltecd has ended beside it, and so has what stopped it", func() bool {
					code, _ := w.run("status")
					command = childrenOf(t, cmd.Process.Pid)
					return code != 0 && len(command) == 1
				})
				w.kill(command[0], syscall.SIGKILL)
			}
			err := cmd.Wait()
			var exited *exec.ExitError
			if code := cmd.ProcessState.ExitCode(); code != tt.code || err != nil && !errors.As(err, &exited) {
				t.Errorf("code %d, %v", code, err)
			}
			if out.String() != tt.says {
				t.Errorf("it says %q", out.String())
			}
			if code, text := w.run("status"); code == 0 {
				t.Errorf("coltecd runs: %s", text)
			}
		})
	}
}

// A signal that does not end the command is no stop.
func TestFirstHandsOn(t *testing.T) {
	w := newWorkspace(t, counted)
	w.start()
	pid := w.runs()
	cmd := w.command("first", "--", "sh", "-c", `for s in HUP USR1 USR2 INT; do trap "echo $s >>got" $s; done; : >up; while :; do sleep 0.1; done`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("it is up", func() bool { return exists(filepath.Join(w.dir, "up")) })
	want := ""
	for _, sig := range []struct {
		syscall.Signal
		name string
	}{{syscall.SIGHUP, "HUP"}, {syscall.SIGUSR1, "USR1"}, {syscall.SIGUSR2, "USR2"}, {syscall.SIGINT, "INT"}} {
		w.kill(cmd.Process.Pid, sig.Signal)
		want += sig.name + "\n"
		w.until(sig.name, func() bool { b, _ := os.ReadFile(filepath.Join(w.dir, "got")); return string(b) == want })
	}
	if now := w.runs(); now != pid {
		t.Errorf("coltecd has ended: %d, then %d", pid, now)
	}
	w.kill(cmd.Process.Pid, syscall.SIGTERM)
	_ = cmd.Wait()
}

func TestFirstCannotRun(t *testing.T) {
	w := newWorkspace(t, counted)
	dir := t.TempDir()
	for command, want := range map[string]int{"no-such-command": 127, filepath.Join(dir, "none"): 127, dir: 126} {
		if code, text := w.run("first", "--", command); code != want || !strings.Contains(text, "error: cannot run "+command) {
			t.Errorf("%s: %d, %s", command, code, text)
		}
	}
}

// childrenOf are the pids below a process.
func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		if fields := stat(child); len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			pids = append(pids, child)
		}
	}
	return pids
}
