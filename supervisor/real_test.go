package supervisor

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/logfile"
	"github.com/coltec/coltec/pkg/unit"
)

// asChild makes the test binary the bad child that the variable names.
const asChild = "SUPERVISOR_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(asChild) {
	case "":
		os.Exit(m.Run())
	case "sleeper":
		fmt.Println("up", os.Getpid())
		forever()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("up", os.Getpid())
		forever()
	case "worst": // ignores TERM, and has a daemon and a brother that do
		signal.Ignore(syscall.SIGTERM)
		again(&syscall.SysProcAttr{Setsid: true})
		again(nil)
		fmt.Println("up", os.Getpid())
		forever()
	case "crash": // its brother holds the output and ignores TERM, from its first moment
		signal.Ignore(syscall.SIGTERM) // inherited by what is no Go program
		brother := exec.Command("/bin/sleep", "120")
		brother.Env, brother.Stdout = os.Environ(), os.Stdout
		if err := brother.Start(); err != nil {
			panic(err)
		}
		fmt.Println("crashing")
		syscall.Exit(1)
	case "member":
		again(nil)
		fmt.Println("up", os.Getpid())
		forever()
	case "daemon":
		again(&syscall.SysProcAttr{Setsid: true})
		fmt.Println("up", os.Getpid())
		forever()
	case "looks around and crashes":
		lookAround()
		again(nil)
		syscall.Exit(1)
	case "exits":
		syscall.Exit(1)
	case "last words":
		lastWords()
	case "talks":
		talk()
	case "shows":
		show()
	case "flood":
		for i := range 100000 {
			fmt.Println("line", i)
		}
	case "supervisor":
		superviseUntilKilled()
	}
	syscall.Exit(0) // os.Exit prints a warning under -cover
}

// forever lasts longer than any test, and not for ever if a test fails to end it.
func forever() { time.Sleep(2 * time.Minute) }

// again starts one more stubborn child, with our environment and output.
func again(attr *syscall.SysProcAttr) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=stubborn")
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// lookAround reports whether another process of this unit runs.
func lookAround() {
	mine := "COLTEC_UNIT=" + os.Getenv("COLTEC_UNIT")
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err == nil && e.Name() != strconv.Itoa(os.Getpid()) && e.Name() != "self" && e.Name() != "thread-self" &&
			slices.Contains(strings.Split(string(env), "\x00"), mine) {
			fmt.Println("not by itself:", e.Name())
			return
		}
	}
	fmt.Println("alone")
}

// lastWords speaks once more when its supervisor is dead.
func lastWords() {
	parent := os.Getppid()
	fmt.Println("up", os.Getpid())
	for os.Getppid() == parent {
		time.Sleep(5 * time.Millisecond) // nothing tells of the end of a parent
	}
	fmt.Println("last words")
	if err := os.WriteFile(os.Getenv("SPOKEN"), []byte("."), 0); err != nil {
		panic(err)
	}
	forever()
}

// talk prints what is hard on a log.
func talk() {
	fmt.Println("the beginning")
	if os.Getenv("REMOVES") != "" {
		if err := os.Remove(os.Getenv("REMOVE")); err != nil {
			panic(err)
		}
	}
	long := bytes.Repeat([]byte("x"), 10<<20)
	if _, err := os.Stdout.Write(append(long, '\n')); err != nil {
		panic(err)
	}
	fmt.Println("the end")
}

// show tells what it was given, and ends at USR1.
func show() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	dir, _ := os.Getwd()
	fmt.Printf("dir=%s greeting=%s\n", dir, os.Getenv("GREETING"))
	if err := os.WriteFile(os.Getenv("FLAG"), nil, 0o600); err != nil {
		panic(err)
	}
	<-asked
	fmt.Println("ended by USR1")
}

// superviseUntilKilled is a supervisor for a test to kill.
func superviseUntilKilled() {
	s := New(Options{Marker: os.Getenv("MARKER"), Sink: func(string) io.WriteCloser { return os.Stdout }})
	web := real("web", cmp.Or(os.Getenv("BAD"), "sleeper"))
	web.Env = append(web.Env, "SPOKEN="+os.Getenv("SPOKEN"))
	if err := s.Set([]unit.Unit{web}); err != nil {
		panic(err)
	}
	_ = s.Run(context.Background())
}

// real is a unit whose child is this binary.
func real(name, bad string) unit.Unit {
	return unit.Unit{
		Name: name, Kind: unit.Service, Argv: []string{os.Args[0]}, Env: []string{asChild + "=" + bad},
		Stop: unit.Stop{Grace: 100 * time.Millisecond}, Backoff: unit.Backoff{Base: 20 * time.Millisecond},
	}
}

// lab is a supervisor with real children whose output and changes can be awaited.
type lab struct {
	*Supervisor
	t       *testing.T
	marker  string
	changes chan Change
	cancel  context.CancelFunc
	done    chan error

	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newLab(t *testing.T, o Options) *lab {
	sample.Long(t)
	l := &lab{t: t, changes: make(chan Change, 1000), done: make(chan error, 1), more: make(chan struct{}, 1)}
	l.marker = fmt.Sprintf("%s-%d", strings.ToLower(t.Name()), os.Getpid())
	o.Marker = l.marker
	o.OnChange = func(c Change) { l.changes <- c }
	if o.Sink == nil {
		o.Sink = func(string) io.WriteCloser { return l }
	}
	l.Supervisor = New(o)
	return l
}

// run starts the supervisor; the test ends with it.
func (l *lab) run(units ...unit.Unit) {
	l.t.Helper()
	if err := l.Set(units); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.done <- l.Run(ctx) }()
	l.t.Cleanup(l.end)
}

// end stops everything and sees that nothing is left.
func (l *lab) end() {
	l.cancel()
	select {
	case err := <-l.done:
		if err != nil {
			l.t.Error(err)
		}
	case <-time.After(time.Minute):
		l.t.Fatal("it does not end")
	}
	if left := l.marked(); len(left) > 0 {
		l.t.Errorf("left after the end: %v", left)
	}
	l.done <- nil // for a second end
}

// marked are the live processes that carry the lab's marker.
func (l *lab) marked() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ") // empty for a zombie
		if err == nil && bytes.Contains(env, []byte("COLTEC_UNIT="+l.marker+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (l *lab) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lab) Close() error { return nil }

// printed waits until the output holds text n times.
func (l *lab) printed(text string, n int) {
	l.t.Helper()
	deadline := time.After(time.Minute)
	for {
		l.mu.Lock()
		got := l.text.String()
		l.mu.Unlock()
		if strings.Count(got, text) >= n {
			return
		}
		select {
		case <-l.more:
		case <-deadline:
			l.t.Fatalf("no %d of %q in %q", n, text, got)
		}
	}
}

// up waits until n processes have said so: what a killed supervisor had in hand
// may be in the output twice.
func (l *lab) up(n int) {
	l.t.Helper()
	deadline := time.After(time.Minute)
	for {
		said := map[string]bool{}
		l.mu.Lock()
		for line := range strings.Lines(l.text.String()) {
			if strings.HasPrefix(line, "up ") && strings.HasSuffix(line, "\n") {
				said[line] = true
			}
		}
		l.mu.Unlock()
		if len(said) >= n {
			return
		}
		select {
		case <-l.more:
		case <-deadline:
			l.t.Fatalf("not %d processes: %v", n, said)
		}
	}
}

// come waits until there are so many: a process that has just begun shows its environment a
// moment later, and a unit that has ended is forgotten after that.
func (l *lab) come(what string, want int, count func() int) {
	l.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		n := count()
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%d %s, want %d", n, what, want)
		}
	}
}

// reaches waits until a unit enters a state.
func (l *lab) reaches(name string, want State) Change {
	l.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case c := <-l.changes:
			if c.Unit == name && c.To == want {
				return c
			}
		case <-deadline:
			l.t.Fatalf("%s does not reach %s: %+v", name, want, l.Status())
		}
	}
}

func TestNothingSurvivesAStop(t *testing.T) {
	l := newLab(t, Options{})
	l.run(real("worst", "worst"))
	l.up(3)
	if n := len(l.marked()); n != 3 {
		t.Errorf("%d processes, want 3", n)
	}
	if err := l.Do(t.Context(), "stop", "worst"); err != nil {
		t.Error(err)
	}
	if left := l.marked(); len(left) > 0 {
		t.Errorf("left after a stop: %v", left)
	}
}

// A crashed leader's brother is gone before the new copy runs, and does not delay
// the news, though it holds the output and ignores TERM.
func TestACrashedLeadersBrother(t *testing.T) {
	l := newLab(t, Options{})
	l.run(real("web", "crash"))
	for range 3 {
		l.reaches("web", Stopping)
		l.reaches("web", Killing)
		l.reaches("web", Backoff)
		for _, c := range l.Status() {
			if c.LastExit != "exit status 1" {
				t.Errorf("last exit %q", c.LastExit)
			}
		}
	}
	if n := len(l.marked()); n > 2 {
		t.Errorf("%d processes: copies pile up", n)
	}
}

func TestALogHoldsAFlood(t *testing.T) {
	logs := logfile.New(logfile.Options{Dir: t.TempDir()})
	l := newLab(t, Options{Sink: func(name string) io.WriteCloser { return logs.Sink(name) }})
	u := real("flood", "flood")
	u.Restart = unit.Never
	l.run(u)
	l.reaches("flood", Exited)
	l.end() // the log is whole when the supervisor has ended
	var text strings.Builder
	if err := logfile.Read(logs.Path("flood"), -1, &text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	if len(lines) != 100000 || !strings.HasSuffix(lines[99999], " line 99999") {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// kill -9 of the supervisor, and start again: what it left is ended first.
func TestASupervisorThatWasKilled(t *testing.T) {
	l := newLab(t, Options{})
	first := exec.Command(os.Args[0])
	first.Env = []string{asChild + "=supervisor", "MARKER=" + l.marker}
	first.Stdout = l // holds the pipe of a child that outlives it: hence WaitDelay
	first.WaitDelay = 100 * time.Millisecond
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	l.up(1)
	left := l.marked()
	if len(left) != 1 {
		t.Fatalf("running: %v", left)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil {
		t.Error("it was not killed")
	}
	l.run(real("web", "sleeper"))
	l.up(2)
	now := l.marked()
	if len(now) != 1 || now[0] == left[0] {
		t.Errorf("it left %v, now there are %v", left, now)
	}
}

// One of many: starts, stops and reloads with real children, all at once.
func TestTwentyUnits(t *testing.T) {
	l := newLab(t, Options{})
	var units []unit.Unit
	for i := range 20 {
		u := unit.Unit{Name: fmt.Sprintf("s%d", i), Argv: []string{"sleep", "120"}}
		if i > 0 {
			u.After = []string{fmt.Sprintf("s%d", i-1)}
		}
		units = append(units, u)
	}
	l.run(units...)
	l.reaches("s19", Running)
	if err := l.Do(t.Context(), "restart", "s7"); err != nil {
		t.Error(err)
	}
	l.come("processes", 20, func() int { return len(l.marked()) })
	if err := l.Set(units[:5]); err != nil {
		t.Error(err)
	}
	l.reaches("s5", Exited)
	l.come("units", 5, func() int { return len(l.Status()) })
}

// TestStandardInput: a service whose standard input ends may take that for the end of
// who started it; a job, a hook and a probe that read it are to end.
func TestStandardInput(t *testing.T) {
	l := newLab(t, Options{})
	reads := func(name string, kind unit.Kind) unit.Unit {
		return unit.Unit{
			Name: name, Kind: kind, Argv: []string{"/bin/sh", "-c", "echo " + name + " begins; cat; echo " + name + " ends"},
			Stop: unit.Stop{Grace: 100 * time.Millisecond}, Restart: unit.Never,
		}
	}
	watcher := reads("watcher", unit.Service)
	watcher.Ready = &unit.Probe{Exec: []string{"/bin/cat"}}
	hook := reads("hook", unit.Hook)
	hook.Point = string(hooks.PostRestore)
	l.run(watcher, hook, reads("job", unit.Job))
	l.printed("watcher begins\n", 1)
	l.reaches("watcher", Ready) // its probe has come to the end of its own
	if err := l.RunHooks(t.Context(), hooks.PostRestore); err != nil {
		t.Fatal(err)
	}
	if err := l.Do(t.Context(), "start", "job"); err != nil {
		t.Fatal(err)
	}
	l.printed("hook ends\n", 1)
	l.printed("job ends\n", 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(l.text.String(), "watcher ends") {
		t.Error("the service's standard input has ended")
	}
}
