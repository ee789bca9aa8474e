package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
)

// asChild makes the test binary the bad child that the variable names.
const asChild = "PROCESS_TEST_CHILD"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == testGuard {
		guardForTests()
	}
	if bad := os.Getenv(asChild); bad != "" {
		children[bad]()
		syscall.Exit(0) // os.Exit prints a warning under -cover
	}
	os.Exit(m.Run())
}

// children are all the ways to be one.
var children = map[string]func(){
	"sleeper": func() { say("up"); forever() },
	"stubborn": func() {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		say("up")
		forever()
	},
	"freezer": freezeAndWait,
	"exit 3":  func() { syscall.Exit(3) },
	"suicide": func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		forever()
	},
	"flood": func() {
		w := bufio.NewWriter(os.Stdout)
		for i := range 100000 {
			fmt.Fprintf(w, "line %d\n", i)
		}
		w.Flush()
	},
	// supervises a talker until it is killed
	"supervisor": func() {
		_, err := Start(Spec{
			Argv: []string{"/proc/self/exe"}, Env: []string{asChild + "=talker", talkTo + "=" + os.Getenv(talkTo)}, Marker: os.Getenv("MARKER") + "/talker",
		}, os.Stdout)
		if err != nil {
			panic(err)
		}
		forever()
	},
	// says one more line each time it gets USR1, and that it did in a file
	"talker": func() {
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGUSR1)
		say("talker", os.Getpid())
		for i := 1; i <= 3; i++ {
			<-told
			say("word", i)
			if err := os.WriteFile(os.Getenv(talkTo), fmt.Append(nil, i), 0o600); err != nil {
				panic(err)
			}
		}
		forever()
	},
	"long line": func() { say(strings.Repeat("x", 1<<20)) },
	// leaves a grandchild in its group that holds the output
	"leave sleeper":  func() { leave("sleeper", nil) },
	"leave stubborn": func() { leave("stubborn", nil) },
	// leaves one in a session of its own
	"leave daemon":          func() { leave("sleeper", &syscall.SysProcAttr{Setsid: true}) },
	"leave stubborn daemon": func() { leave("stubborn", &syscall.SysProcAttr{Setsid: true}) },
	// has one, and stays
	"with stubborn daemon": func() { leave("stubborn", &syscall.SysProcAttr{Setsid: true}); forever() },
	"with sleeper":         func() { leave("sleeper", nil); forever() },
	// ends when what it started has, as a server with workers does
	"heads sleeper daemon": func() {
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM)
		worker := leave("sleeper", &syscall.SysProcAttr{Setsid: true})
		<-told
		_ = worker.Process.Signal(syscall.SIGTERM)
		_ = worker.Wait()
	},
	// becomes a sleeper without a marker, at USR1
	"turncoat": func() {
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGUSR1)
		say("up")
		<-told
		panic(syscall.Exec("/proc/self/exe", []string{"bare"}, []string{asChild + "=bare"}))
	},
	"bare":           func() { say("bare"); forever() },
	"leave turncoat": func() { leave("turncoat", &syscall.SysProcAttr{Setsid: true}) },
	"show": func() {
		dir, _ := os.Getwd()
		in, _ := os.Readlink("/proc/self/fd/0")
		pgrp, _ := syscall.Getpgid(0)
		say("env", os.Environ(), "dir", dir, "in", in, "leads", pgrp == os.Getpid(), "args", os.Args[1:])
	},
	"id": func() {
		groups, _ := os.Getgroups()
		say(os.Getuid(), os.Getgid(), groups)
	},
	"become": func() { // the next one, as a user
		env := []string{asChild + "=id", "HOME=/nowhere"}
		say(Become(os.Getenv("COLTEC_TEST_USER"), []string{"child"}, env))
	},
}

func say(args ...any) { fmt.Fprintln(os.Stdout, args...) }

// forever lasts longer than any test, and not for ever if a test fails to end it.
func forever() { time.Sleep(2 * time.Minute) }

// leave starts a grandchild that shares the output, and says its pid once it runs.
func leave(bad string, attr *syscall.SysProcAttr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asChild+"="+bad)
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	say("grandchild", cmd.Process.Pid)
	return cmd
}

// output is a sink that can wait for text.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	select {
	case o.more <- struct{}{}:
	default:
	}
	return 0, errors.New("a sink that fails must not matter")
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// expect waits until the output holds text.
func (o *output) expect(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(o.String(), text) {
		select {
		case <-o.more:
		case <-deadline:
			t.Fatalf("no %q in output %q", text, o.String())
		}
	}
}

// grandchild is the pid that leave has said.
func (o *output) grandchild(t *testing.T) int {
	t.Helper()
	o.expect(t, "grandchild")
	o.expect(t, "up\n")
	var pid int
	for line := range strings.Lines(o.String()) {
		if _, err := fmt.Sscanf(line, "grandchild %d\n", &pid); err == nil {
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
			return pid
		}
	}
	t.Fatalf("no pid in %q", o.String())
	return 0
}

func spec(bad string, change func(*Spec)) Spec {
	s := Spec{Argv: []string{"/proc/self/exe"}, Env: []string{asChild + "=" + bad}}
	exe, err := os.Executable()
	if err == nil {
		s.Argv[0] = exe
	}
	if change != nil {
		change(&s)
	}
	return s
}

func startBad(t *testing.T, s Spec) (*Child, *output) {
	t.Helper()
	out := newOutput()
	c, err := Start(s, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Signal(syscall.SIGKILL) })
	return c, out
}

// within fails the test if f takes longer: far less than any sleep of a child.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s takes too long", what)
	}
}

func runs(pid int) bool {
	p, ok := readProc(pid)
	return ok && !p.zombie
}

func TestExit(t *testing.T) {
	tests := map[string]struct {
		want string
		ok   bool
	}{
		"flood":   {"exit status 0", true},
		"exit 3":  {"exit status 3", false},
		"suicide": {"signal: killed", false},
	}
	for bad, tt := range tests {
		t.Run(bad, func(t *testing.T) {
			c, _ := startBad(t, spec(bad, nil))
			within(t, "the end", func() {
				exit := c.Wait()
				if exit.String() != tt.want || exit.OK() != tt.ok {
					t.Errorf("got %q, ok %v", exit, exit.OK())
				}
				if again := c.Wait(); again != exit {
					t.Errorf("then %q", again)
				}
				if c.Left() {
					t.Error("somebody is left")
				}
				c.Reap()
			})
			if _, ok := readProc(c.PID()); ok {
				t.Error("its zombie is left")
			}
		})
	}
}

func TestAllOutputComes(t *testing.T) {
	c, out := startBad(t, spec("flood", nil))
	within(t, "the flood", func() { c.Wait(); c.Reap() })
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 100000 || lines[99999] != "line 99999" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// bufio.Scanner stops at 64 KB and wedges the child.
func TestALongLineComes(t *testing.T) {
	c, out := startBad(t, spec("long line", nil))
	within(t, "the line", func() { c.Wait(); c.Reap() })
	if n := len(out.String()); n != 1<<20+1 {
		t.Errorf("%d bytes", n)
	}
}

func TestNoOutputWanted(t *testing.T) {
	c, err := Start(spec("flood", nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the end", func() { c.Wait(); c.Reap() })
}

// A grandchild that holds the output must not delay the news of the end.
func TestALeaderEndsBeforeItsGroup(t *testing.T) {
	c, out := startBad(t, spec("leave sleeper", nil))
	grandchild := out.grandchild(t)
	within(t, "the news", func() {
		if exit := c.Wait(); !exit.OK() {
			t.Errorf("exit %v", exit)
		}
	})
	if !c.Left() || !runs(grandchild) {
		t.Error("nobody is left")
	}
	c.Signal(syscall.SIGTERM)
	within(t, "the rest", c.Reap)
	if runs(grandchild) {
		t.Error("the grandchild runs on")
	}
}

// Signals come while somebody waits for the end of those that are left: both look who they
// are. The race detector sees it.
func TestSignalsBesideReap(t *testing.T) {
	c, out := startBad(t, spec("leave stubborn", func(s *Spec) { s.Marker = marker(t) + "/left" }))
	grandchild := out.grandchild(t)
	within(t, "the news", func() { c.Wait() })
	reaped := make(chan struct{})
	go func() { defer close(reaped); c.Reap() }()
	for range 50 {
		c.Signal(syscall.SIGCONT)
	}
	c.Signal(syscall.SIGKILL)
	within(t, "the rest", func() { <-reaped })
	if runs(grandchild) {
		t.Error("the grandchild runs on")
	}
}

// Whatever a descendant does, KILL ends it: ignores TERM, leaves the group.
func TestNothingSurvivesAStop(t *testing.T) {
	sample.Long(t)
	marked := func(s *Spec) { s.Marker = "test/" + strconv.Itoa(os.Getpid()) }
	tests := map[string]struct {
		bad  string
		sigs []syscall.Signal
	}{
		"ignores TERM":                {"leave stubborn", []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}},
		"in a session of its own":     {"leave daemon", []syscall.Signal{syscall.SIGTERM}},
		"a daemon that ignores TERM":  {"leave stubborn daemon", []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}},
		"a daemon of a living leader": {"with stubborn daemon", []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, out := startBad(t, spec(tt.bad, marked))
			grandchild := out.grandchild(t)
			for i, sig := range tt.sigs {
				c.Signal(sig)
				if i == 0 {
					within(t, "the leader", func() { c.Wait() })
				}
			}
			within(t, "the rest", c.Reap)
			if runs(grandchild) {
				t.Error("the grandchild runs on")
			}
		})
	}
}

// One that stands still, as a debugger or a capture leaves it, ends by TERM, and so does one
// whose descendants in sessions of their own do: it waits for them.
func TestAStopContinues(t *testing.T) {
	sample.Long(t)
	marked := func(s *Spec) { s.Marker = "still/" + strconv.Itoa(os.Getpid()) }
	for name, tt := range map[string]struct {
		bad  string
		halt func(leader, grandchild int) int
	}{
		"the leader":                  {"with sleeper", func(leader, _ int) int { return leader }},
		"one of its group":            {"with sleeper", func(_, grandchild int) int { return grandchild }},
		"one in a session of its own": {"heads sleeper daemon", func(_, grandchild int) int { return grandchild }},
	} {
		t.Run(name, func(t *testing.T) {
			c, out := startBad(t, spec(tt.bad, marked))
			grandchild := out.grandchild(t)
			halted := tt.halt(c.PID(), grandchild)
			if err := syscall.Kill(halted, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			c.Signal(syscall.SIGTERM)
			within(t, "the end", func() {
				if exit := c.Wait(); exit.Signal == syscall.SIGKILL {
					t.Errorf("it ended by %v", exit)
				}
				c.Reap()
			})
			if runs(grandchild) {
				t.Error("the grandchild runs on")
			}
		})
	}
}

// Who has no marker any more is still who it was: one that ends has none either before it
// has closed its files, and was taken for gone.
func TestAMemberStaysOne(t *testing.T) {
	sample.Long(t)
	marker := strings.ToLower(t.Name()) + "-" + strconv.Itoa(os.Getpid())
	for name, end := range map[string]func(c *Child, become func()){
		"for Reap": func(c *Child, become func()) {
			if !c.Left() {
				t.Error("nobody is left")
			}
			become()
			c.Signal(syscall.SIGTERM)
			c.Reap()
		},
		"for Sweep": func(c *Child, become func()) {
			known := met{}
			known.add(leftovers([]byte(c.marker), known))
			become()
			if left := leftovers([]byte(c.marker), known); len(left) != 1 {
				t.Errorf("%d are left, want 1", len(left))
			}
			c.Signal(syscall.SIGTERM)
			c.Reap()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, out := startBad(t, spec("leave turncoat", func(s *Spec) { s.Marker = marker + "/web" }))
			grandchild := out.grandchild(t)
			within(t, "the leader", func() { c.Wait() })
			within(t, "the rest", func() {
				end(c, func() {
					if err := syscall.Kill(grandchild, syscall.SIGUSR1); err != nil {
						t.Error(err)
					}
					out.expect(t, "bare\n")
				})
			})
			if name == "for Reap" && runs(grandchild) {
				t.Error("the grandchild runs on")
			}
		})
	}
}

// A stranger who holds the pipe (no marker, its own session) costs the drain's
// time, not for ever.
func TestAStrangerWithThePipe(t *testing.T) {
	c, out := startBad(t, spec("leave daemon", nil))
	stranger := out.grandchild(t)
	within(t, "the end", func() { c.Wait() })
	if c.Left() {
		t.Error("without a marker, nobody knows it")
	}
	within(t, "the drain", c.Reap)
	if !runs(stranger) {
		t.Error("a stranger was ended")
	}
}

// A signal after the end must not reach whoever got the number since.
func TestASignalAfterTheEndGoesNowhere(t *testing.T) {
	c, _ := startBad(t, spec("exit 3", nil))
	within(t, "the end", func() { c.Wait(); c.Reap() })
	other, out := startBad(t, spec("sleeper", nil))
	out.expect(t, "up")
	c.pid = other.pid // as if the number had come round
	c.Signal(syscall.SIGKILL)
	if !runs(other.pid) {
		t.Error("it reached a stranger")
	}
	other.Signal(syscall.SIGTERM)
	within(t, "the end", func() { other.Wait(); other.Reap() })
}

func TestWithoutPidfds(t *testing.T) {
	c, out := startBad(t, spec("sleeper", nil))
	c.pidfd.Close()
	c.pidfd = nil // as on gVisor and old kernels
	out.expect(t, "up")
	c.Signal(syscall.SIGTERM)
	within(t, "the end", func() {
		if exit := c.Wait(); exit.Signal != syscall.SIGTERM {
			t.Errorf("exit %v", exit)
		}
		c.Reap()
	})
}

func TestWhatAChildGets(t *testing.T) {
	t.Setenv("SECRET_OF_OURS", "hunter2")
	dir := t.TempDir()
	c, out := startBad(t, spec("show", func(s *Spec) {
		s.Dir, s.Marker = dir, "ws/web"
		s.Argv = append(s.Argv, "a b", "")
	}))
	within(t, "the end", func() { c.Wait(); c.Reap() })
	want := fmt.Sprintf("env [%s=show COLTEC_UNIT=ws/web] dir %s in /dev/null leads true args [a b ]\n", asChild, dir)
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestStdin: esbuild --watch and others like it end when their standard input does,
// and so ended at once, each time.
func TestStdin(t *testing.T) {
	t.Run("it ends at once", func(t *testing.T) {
		out := newOutput()
		c, err := Start(Spec{Argv: []string{"sh", "-c", "cat; echo the end"}}, out)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "the end", func() { c.Wait(); c.Reap() })
		if out.String() != "the end\n" {
			t.Errorf("got %q", out.String())
		}
	})
	for name, user := range map[string]string{"ours": "", "another user's": "12345"} {
		t.Run("it is quiet, "+name, func(t *testing.T) {
			if user != "" && os.Geteuid() != 0 {
				t.Skip("only root can become somebody else")
			}
			out := newOutput()
			// The line comes by the pipe, from the child itself: whoever reads there reads on.
			script := `echo still here >/dev/stdin; while read -r line; do echo "$line"; done </dev/stdin; echo the end`
			c, err := Start(Spec{Argv: []string{"/bin/sh", "-c", script}, User: user, Quiet: true}, out)
			if err != nil {
				t.Fatal(err)
			}
			out.expect(t, "still here\n")
			c.Signal(syscall.SIGTERM)
			var exit Exit
			within(t, "the end", func() { exit = c.Wait(); c.Reap() })
			if out.String() != "still here\n" || exit.Signal != syscall.SIGTERM {
				t.Errorf("got %q, %v", out.String(), exit)
			}
		})
	}
}

func TestANilEnvironmentIsEmpty(t *testing.T) {
	t.Setenv("SECRET_OF_OURS", "hunter2")
	out := newOutput()
	c, err := Start(Spec{Argv: []string{"env"}}, out)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the end", func() { c.Wait(); c.Reap() })
	if out.String() != "" {
		t.Errorf("got %q", out.String())
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "x", 0o600)
	orphaned := write("orphaned", "#!/no/such/interpreter\n", 0o700)
	tests := map[string]struct {
		spec   Spec
		want   string
		is     error
		person bool
	}{
		"no command":     {Spec{}, `cannot start "": there is no command`, nil, false},
		"missing":        {Spec{Argv: []string{"/no/such/file"}}, `cannot start "/no/such/file": stat /no/such/file: no such file`, fs.ErrNotExist, false},
		"not in PATH":    {Spec{Argv: []string{"sh"}, Env: []string{"PATH=" + dir}}, `cannot start "sh": file does not exist in PATH of the unit`, fs.ErrNotExist, false},
		"not executable": {Spec{Argv: []string{plain}}, "permission denied", fs.ErrPermission, false},
		"a directory":    {Spec{Argv: []string{dir}}, "is a directory", syscall.EISDIR, false},
		"no directory":   {Spec{Argv: []string{"true"}, Dir: dir + "/gone"}, `its directory "` + dir + `/gone"`, fs.ErrNotExist, false},
		"a file as dir":  {Spec{Argv: []string{"true"}, Dir: plain}, "not a directory", syscall.ENOTDIR, false},
		"interpreter":    {Spec{Argv: []string{orphaned}}, "its interpreter is missing", fs.ErrNotExist, false},
		"user":           {Spec{Argv: []string{"true"}, User: "no-such-user"}, `user "no-such-user"`, nil, true},
		"group":          {Spec{Argv: []string{"true"}, User: "0:no-such-group"}, `group "no-such-group"`, nil, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Start(tt.spec, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if NeedsPerson(err) != tt.person {
				t.Errorf("needs a person: %v", !tt.person)
			}
		})
	}
}

func TestFailedStartsLeakNothing(t *testing.T) {
	sample.Long(t)
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	path := filepath.Join(t.TempDir(), "orphaned")
	if err := os.WriteFile(path, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := count()
	for range 20 {
		if _, err := Start(Spec{Argv: []string{path}}, newOutput()); err == nil {
			t.Fatal("it starts")
		}
		if _, err := Start(Spec{Argv: []string{path}, Quiet: true}, newOutput()); err == nil {
			t.Fatal("it starts")
		}
		c, _ := startBad(t, spec("exit 3", func(s *Spec) { s.Quiet = true }))
		within(t, "the end", func() { c.Wait(); c.Reap() })
	}
	if after := count(); after > before+2 { // the poller may have opened its own
		t.Errorf("%d open files, then %d", before, after)
	}
}

func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	exe := worldReadableExe(t)
	for user, want := range map[string]string{
		"nobody":    "65534 65534 [65534]\n",
		"12345":     "12345 12345 [12345]\n",
		"12345:7":   "12345 7 [12345]\n",
		"root":      "0 0 [0]\n",
		"12345:bin": "12345 2 [12345]\n",
	} {
		t.Run(user, func(t *testing.T) {
			c, out := startBad(t, spec("id", func(s *Spec) { s.User, s.Argv[0] = user, exe }))
			within(t, "the end", func() { c.Wait(); c.Reap() })
			if out.String() != want {
				t.Errorf("got %q, want %q", out.String(), want)
			}
		})
	}
}

// Without su, without a name in /etc/passwd, and with a word where it is not permitted.
func TestBecome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	exe := worldReadableExe(t)
	for user, want := range map[string]string{
		"nobody":   "65534 65534 [65534]\n",
		"12345":    "12345 12345 [12345]\n",
		"12345:7":  "12345 7 [12345]\n",
		"root":     "0 0 [", // the groups that we have
		"no-such":  "user \"no-such\": user: unknown user no-such\n",
		"":         "0 0 [",
		"12345:no": "group \"no\": group: unknown group no\n",
	} {
		t.Run(user, func(t *testing.T) {
			c, out := startBad(t, spec("become", func(s *Spec) { s.Env, s.Argv[0] = append(s.Env, "COLTEC_TEST_USER="+user), exe }))
			within(t, "the end", func() { c.Wait(); c.Reap() })
			if !strings.HasPrefix(out.String(), want) {
				t.Errorf("got %q, want %q", out.String(), want)
			}
		})
	}
	t.Run("without the capability", func(t *testing.T) {
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Fatal(err)
		}
		c, out := startBad(t, spec("become", func(s *Spec) {
			s.Env = append(s.Env, "COLTEC_TEST_USER=12345")
			s.Argv = []string{setpriv, "--bounding-set=-setuid,-setgid", exe}
		}))
		within(t, "the end", func() { c.Wait(); c.Reap() })
		if !strings.HasPrefix(out.String(), "not permitted to become user \"12345\": operation not permitted") {
			t.Errorf("got %q", out.String())
		}
	})
}

func TestAtHome(t *testing.T) {
	env := []string{"A=1", "HOME=/old", "USER=old", "LOGNAME=old", "HOMEWARD=2"}
	for user, want := range map[string][]string{
		"12345":  env,
		"root":   {"HOME=/root", "USER=root", "LOGNAME=root", "A=1", "HOMEWARD=2"},
		"root:7": {"HOME=/root", "USER=root", "LOGNAME=root", "A=1", "HOMEWARD=2"},
	} {
		if got := atHome(user, env); !slices.Equal(got, want) {
			t.Errorf("%s: %q", user, got)
		}
	}
}

// worldReadableExe is the test binary where other users can run it.
func worldReadableExe(t *testing.T) string {
	dir, err := os.MkdirTemp("/tmp", "process-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "child")
	if err := errors.Join(os.WriteFile(path, body, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// Somebody who is not root gets a clear word. Run as root, the test becomes nobody
// to see it.
func TestNotPermitted(t *testing.T) {
	if os.Geteuid() == 0 {
		cmd := exec.Command(worldReadableExe(t), "-test.run=^TestNotPermitted$", "-test.v")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestNotPermitted")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	_, err := Start(Spec{Argv: []string{"true"}, User: "root"}, nil)
	want := `cannot start "true": not permitted to become user "root" as uid ` + strconv.Itoa(os.Geteuid())
	if err == nil || err.Error() != want || !NeedsPerson(err) {
		t.Errorf("got %v, want %s", err, want)
	}
	if diff := cmp.Diff([]string{"run coltecd as root, or leave the unit's user out"}, hint.Of(err)); diff != "" {
		t.Error(diff)
	}
	c, err := Start(Spec{Argv: []string{"true"}, User: strconv.Itoa(os.Geteuid())}, nil)
	if err != nil {
		t.Fatalf("as ourselves: %v", err)
	}
	c.Wait()
	c.Reap()
}

func TestParseStat(t *testing.T) {
	tail := " 10 20 30 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2"
	tests := map[string]struct {
		stat string
		want proc
		ok   bool
	}{
		"plain":       {"5 (sh) S" + tail, proc{pid: 5, ppid: 10, pgrp: 20, start: 987654}, true},
		"zombie":      {"5 (sh) Z" + tail, proc{pid: 5, ppid: 10, pgrp: 20, zombie: true, start: 987654}, true},
		"bad name":    {"5 (a) R 1 2) S" + tail, proc{pid: 5, ppid: 10, pgrp: 20, start: 987654}, true},
		"empty":       {"", proc{}, false},
		"cut off":     {"5 (sh) S 1 2", proc{}, false},
		"not numbers": {"5 (sh) S x y" + tail, proc{}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := parseStat(5, []byte(tt.stat))
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	known := func(pid int) bool {
		managed.mu.Lock()
		defer managed.mu.Unlock()
		return managed.pids[pid]
	}
	cmd := exec.Command("true")
	release, err := StartCmd(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if !known(cmd.Process.Pid) {
		t.Error("a child of os/exec is not known")
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	release()
	c, _ := startBad(t, spec("exit 3", nil))
	if !known(c.PID()) {
		t.Error("a child is not known")
	}
	within(t, "the end", func() { c.Wait(); c.Reap() })
	if known(c.PID()) || known(cmd.Process.Pid) {
		t.Error("they are known after their end")
	}
	if _, err := StartCmd(exec.Command("/no/such/file")); err == nil {
		t.Error("it starts")
	}
}

func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	exits := make([]int, 40)
	for i := range exits {
		wg.Go(func() {
			c, err := Start(Spec{Argv: []string{"sh", "-c", "exit " + strconv.Itoa(i)}}, newOutput())
			if err != nil {
				t.Error(err)
				return
			}
			exits[i] = c.Wait().Code
			c.Reap()
		})
	}
	within(t, "all of them", wg.Wait)
	if want := slices.Collect(func(yield func(int) bool) {
		for i := range exits {
			if !yield(i) {
				return
			}
		}
	}); !slices.Equal(exits, want) {
		t.Errorf("exits %v", exits)
	}
}

// The scan of /proc is paid at each end of a leader.
func BenchmarkMembers(b *testing.B) {
	c := &Child{group: group{pid: 1 << 30, start: 1 << 62, marker: MarkerVar + "=bench"}}
	for b.Loop() {
		c.members()
	}
}
