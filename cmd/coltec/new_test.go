package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Of several coltec new in one folder one makes the workspace: they wrote a mixture.
func TestNewAtOnceMakesOne(t *testing.T) {
	coltec := executable(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "not yet", "w")
	var mu sync.Mutex
	var made []string
	var wg sync.WaitGroup
	for i := range 6 {
		env := fmt.Sprintf("dev-%d", i)
		wg.Go(func() {
			out, err := exec.Command(coltec, "new", dir, "--data", "org=acme", "--data", "project=widget", "--data", "env="+env).CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made = append(made, env)
			case !bytes.Contains(out, []byte("w is one")) || !bytes.Contains(out, []byte("hint: coltec update")):
				t.Errorf("%s: %v: %s", env, err, out)
			}
		})
	}
	wg.Wait()
	if len(made) != 1 {
		t.Fatalf("made %v", made)
	}
	for _, name := range []string{specName, configName, ".devcontainer/.coltec/answers.yaml"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Contains(b, []byte(made[0])) {
			t.Errorf("%s is not of %s: %v\n%s", name, made[0], err, b)
		}
	}
}

// terminal is a program with a person before it.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	pty  *os.File
	said strings.Builder
}

// onTerminal runs a program whose standard streams are a terminal.
func onTerminal(t *testing.T, name string, args ...string) *terminal {
	t.Helper()
	// Not os.OpenFile alone: a deadline wants a descriptor that does not block.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	pty := os.NewFile(uintptr(fd), "pty")
	t.Cleanup(func() { pty.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := pty.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, cmd: cmd, pty: pty}
}

// asks waits until the program asks for something, and answers.
func (x *terminal) asks(question, answer string) {
	x.t.Helper()
	x.answers(question+": ", ": ", answer)
}

// answers waits until the program has said something, and ends a line with prompt.
func (x *terminal) answers(question, prompt, answer string) {
	x.t.Helper()
	var b [1]byte
	for from := x.said.Len(); !strings.Contains(x.said.String()[from:], question) || !strings.HasSuffix(x.said.String(), prompt); {
		if _, err := x.pty.Read(b[:]); err != nil {
			x.t.Fatalf("it does not ask for %s: %v\n%s", question, err, x.said.String()[from:])
		}
		x.said.Write(b[:])
	}
	if _, err := io.WriteString(x.pty, answer); err != nil {
		x.t.Fatal(err)
	}
}

// ends waits for the end and gives the exit code.
func (x *terminal) ends() int {
	x.t.Helper()
	if _, err := io.Copy(&x.said, x.pty); err != nil && !errors.Is(err, syscall.EIO) { // EIO: nobody has the terminal open
		x.t.Fatal(err)
	}
	_ = x.cmd.Wait()
	return x.cmd.ProcessState.ExitCode()
}

// A person at a terminal is asked, again after an answer that will not do; Enter
// takes the default, and Ctrl-C leaves nothing behind.
func TestNewAsksAPerson(t *testing.T) {
	coltec := executable(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "w")
	x := onTerminal(t, coltec, "new", dir)
	x.asks("org", "acme\r")
	x.asks("project", "\x03") // Ctrl-C
	if code := x.ends(); code != 130 {
		t.Errorf("after Ctrl-C: %d\n%s", code, x.said.String())
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Ctrl-C: %v", err)
	}

	x = onTerminal(t, coltec, "new", dir)
	x.asks("org", "No Slug\r")
	x.asks("org", "acme\r")
	x.asks("project", "\r") // it has no default
	x.asks("project", "widget\r")
	x.asks("env", "dev-a\r")
	x.asks("project_type", "cobol\r")
	x.asks("project_type", "go\r")
	for _, name := range []string{"image", "user", "run_args", "home_volume"} {
		x.asks(name, "\r")
	}
	x.asks("agents", "claude and codex\r")
	x.asks("agents", "claude, codex\r")
	for _, name := range []string{"persistence_enabled", "provider", "region", "installs"} {
		x.asks(name, "\r")
	}
	if code := x.ends(); code != 0 {
		t.Fatalf("%d\n%s", code, x.said.String())
	}
	for _, want := range []string{"(python, node, rust, go, monorepo, other) [other]: ", "error: ", "made from template base"} {
		if !strings.Contains(x.said.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, x.said.String())
		}
	}
	w, err := open(dir)
	if err != nil || w.spec.ID() != "acme/widget/dev-a" {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, configName)); err != nil || !bytes.Contains(b, []byte("golang")) {
		t.Errorf("the image is not the one for go: %v\n%s", err, b)
	}
}
