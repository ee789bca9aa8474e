package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// talkTo names the file in which a talker notes what it has said.
const talkTo = "PROCESS_TEST_TALK_TO"

// killedSupervisor is one that was killed, and the talker that it has left.
func killedSupervisor(t *testing.T) (marker string, talker int, said func(n int)) {
	t.Helper()
	marker = fmt.Sprintf("%s-%d", strings.ToLower(t.Name()), os.Getpid())
	note := filepath.Join(t.TempDir(), "said")
	out := newOutput()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{asChild + "=supervisor", "MARKER=" + marker, talkTo + "=" + note}
	cmd.Stdout = printer{out}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.expect(t, "talker ")
	out.expect(t, "\n")
	if _, err := fmt.Sscanf(out.String(), "talker %d\n", &talker); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(talker, syscall.SIGKILL) })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return marker, talker, func(n int) {
		t.Helper()
		if err := syscall.Kill(talker, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		within(t, "a word of the talker", func() {
			for {
				if b, _ := os.ReadFile(note); string(b) == strconv.Itoa(n) {
					return
				}
				syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 5000})
			}
		})
	}
}

// printer is an output that does not fail, for os/exec.
type printer struct{ *output }

func (p printer) Write(b []byte) (int, error) { _, _ = p.output.Write(b); return len(b), nil }

// A child whose supervisor was killed died of SIGPIPE at its next line.
func TestNobodyDiesOfSIGPIPE(t *testing.T) {
	_, talker, said := killedSupervisor(t)
	said(1)
	said(2)
	if !runs(talker) {
		t.Error("it has died")
	}
}

// What a child printed while nobody was there is in its log in the end.
func TestRescue(t *testing.T) {
	marker, talker, said := killedSupervisor(t)
	said(1)
	out := newOutput()
	var units []string
	wait := Rescue(marker, "", func(unit string) io.Writer {
		units = append(units, unit)
		return printer{out}
	})
	out.expect(t, "word 1\n")
	said(2)
	if n := Sweep(t.Context(), marker, 10*time.Second); n != 1 {
		t.Errorf("%d have ended", n)
	}
	within(t, "the drain", wait)
	// Its first line is there too when the supervisor was killed before it had
	// taken it out of the pipe.
	got := out.String()
	if first, rest, _ := strings.Cut(got, "\n"); strings.HasPrefix(first, "talker ") {
		got = rest
	}
	if got != "word 1\nword 2\n" || strings.Join(units, " ") != "talker" {
		t.Errorf("units %v, output %q", units, got)
	}
	if runs(talker) {
		t.Error("it runs on")
	}
}

// A pipe inside of a unit belongs to its two ends.
func TestRescueLeavesPipesOfOthersAlone(t *testing.T) {
	marker := fmt.Sprintf("%s-%d", strings.ToLower(t.Name()), os.Getpid())
	cmd := exec.Command("/bin/sleep", "60")
	cmd.Env = []string{MarkerVar + "=" + marker + "/web"}
	if _, err := cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	Rescue(marker, "", func(unit string) io.Writer {
		t.Errorf("the output of %s was taken", unit)
		return io.Discard
	})()
}
