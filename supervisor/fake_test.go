package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/process"
	"github.com/coltec/coltec/pkg/unit"
)

// fakeRunner starts children that exist on the clock of the bubble only. Argv
// says how they behave:
//
//	run            until TERM
//	stubborn       until KILL
//	exit CODE AFTER  by themselves; CODE may be "slow", see below
//	left CODE AFTER  the leader does, and leaves a member that ends at TERM
//	missing        cannot be started until present is set
//	forbidden      cannot be started until a person acts
//	probe          exits 0 once the runner is healthy, else 1
//	hang           until KILL, like stubborn: a probe that never answers
type fakeRunner struct {
	mu       sync.Mutex
	began    time.Time
	trace    []string // "2s web start", "5s web TERM": what happened when
	live     map[string]int
	pids     int
	present  bool
	healthy  bool
	children []*fakeChild
	t        *testing.T
}

func newFakeRunner(t *testing.T) *fakeRunner {
	return &fakeRunner{began: time.Now(), live: map[string]int{}, t: t}
}

// note adds to the trace. The caller holds mu.
func (r *fakeRunner) note(name, what string) {
	r.trace = append(r.trace, fmt.Sprintf("%v %s %s", time.Since(r.began).Round(time.Millisecond), name, what))
}

func (r *fakeRunner) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	trace := r.trace
	r.trace = nil
	return trace
}

func (r *fakeRunner) set(change func(*fakeRunner)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *fakeRunner) Start(spec process.Spec, _ io.Writer) (Child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := nameOf(spec)
	r.pids++
	c := &fakeChild{runner: r, name: name, pid: r.pids, env: spec.Env, leader: make(chan struct{}), group: make(chan struct{})}
	switch verb := spec.Argv[0]; {
	case verb == "missing" && !r.present:
		r.note(name, "is missing")
		return nil, errors.New("no such file")
	case verb == "forbidden":
		_, err := process.Start(process.Spec{Argv: []string{"/bin/true"}, User: "no-such-user"}, nil)
		return nil, err
	case verb == "probe":
		c.exit = process.Exit{Code: 1}
		if r.healthy {
			c.exit = process.Exit{}
		}
		c.end(true)
		return c, nil
	default:
		c.behave(spec.Argv)
	}
	if spec.Argv[0] != "hang" {
		if r.live[name]++; r.live[name] > 1 {
			r.t.Errorf("two children of unit %q at once", name)
		}
		c.counted = true
		r.note(name, "start")
	}
	r.children = append(r.children, c)
	return c, nil
}

// nameOf reads the unit's name from its environment, where unitNamed puts it.
func nameOf(spec process.Spec) string {
	for _, kv := range spec.Env {
		if len(kv) > 5 && kv[:5] == "NAME=" {
			return kv[5:]
		}
	}
	return "?"
}

type fakeChild struct {
	runner   *fakeRunner
	name     string
	pid      int
	env      []string
	exit     process.Exit
	stubborn bool
	clean    bool // ends with status 0 at TERM
	leaves   bool // the leader leaves a member
	counted  bool
	gone     bool
	leader   chan struct{} // closed when the leader has ended
	group    chan struct{} // closed when nothing is left
}

func (c *fakeChild) behave(argv []string) {
	switch argv[0] {
	case "stubborn", "hang":
		c.stubborn = true
	case "exit", "left":
		c.leaves = argv[0] == "left"
		code, _ := strconv.Atoi(argv[1])
		after, err := time.ParseDuration(argv[2])
		if err != nil {
			c.runner.t.Error(err)
		}
		time.AfterFunc(after, func() {
			c.runner.mu.Lock()
			defer c.runner.mu.Unlock()
			if !c.gone {
				c.exit = process.Exit{Code: code}
				c.end(!c.leaves)
			}
		})
	}
}

// end ends the leader, and all with it. The caller holds mu.
func (c *fakeChild) end(all bool) {
	select {
	case <-c.leader:
	default:
		close(c.leader)
	}
	if all && !c.gone {
		c.gone = true
		close(c.group)
		if c.counted {
			c.runner.live[c.name]--
		}
	}
}

func (c *fakeChild) PID() int { return c.pid }

func (c *fakeChild) Signal(sig syscall.Signal) {
	c.runner.mu.Lock()
	defer c.runner.mu.Unlock()
	if c.counted {
		c.runner.note(c.name, strings.TrimPrefix(unix.SignalName(sig), "SIG"))
	}
	if c.gone || c.stubborn && sig != syscall.SIGKILL {
		return
	}
	if !c.clean {
		c.exit = process.Exit{Signal: sig}
	}
	c.end(true)
}

func (c *fakeChild) Wait() process.Exit {
	<-c.leader
	c.runner.mu.Lock()
	defer c.runner.mu.Unlock()
	return c.exit
}

func (c *fakeChild) Left() bool {
	c.runner.mu.Lock()
	defer c.runner.mu.Unlock()
	return !c.gone
}

func (c *fakeChild) Reap() { <-c.group }

// world is a supervisor with fake children in a bubble.
type world struct {
	*Supervisor
	t      *testing.T
	runner *fakeRunner
	cancel context.CancelFunc
	done   chan error
}

// inBubble runs f with a supervisor that runs units, and sees that it ends.
func inBubble(t *testing.T, units []unit.Unit, f func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, runner: newFakeRunner(t), done: make(chan error, 1)}
		w.Supervisor = New(Options{Runner: w.runner})
		w.machine.seed = 1 // the jitter of all runs is the same
		ctx, cancel := context.WithCancel(t.Context())
		w.cancel = cancel
		w.set(units...)
		go func() { w.done <- w.Run(ctx) }()
		synctest.Wait()
		f(w)
		cancel()
		if err := <-w.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		for name, n := range w.runner.live {
			if n != 0 {
				t.Errorf("%d children of %q outlive the supervisor", n, name)
			}
		}
	})
}

func (w *world) set(units ...unit.Unit) {
	w.t.Helper()
	if err := w.Set(units); err != nil {
		w.t.Fatal(err)
	}
	if w.begun.Load() {
		synctest.Wait()
	}
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func (w *world) do(verb, name string) {
	w.t.Helper()
	if err := w.Do(w.t.Context(), verb, name); err != nil {
		w.t.Error(err)
	}
	synctest.Wait()
}

func (w *world) status(name string) UnitStatus {
	w.t.Helper()
	all := w.Status()
	i := slices.IndexFunc(all, func(u UnitStatus) bool { return u.Name == name })
	if i < 0 {
		w.t.Fatalf("no unit %q in %v", name, all)
	}
	return all[i]
}

// expect compares the state of a unit.
func (w *world) expect(name string, want State) {
	w.t.Helper()
	if got := w.status(name); got.State != want {
		w.t.Errorf("at %v: %s is %s (%s), want %s", time.Since(w.runner.began), name, got.State, got.LastError, want)
	}
}

// happened compares what the children saw since the last call.
func (w *world) happened(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.runner.take()); diff != "" {
		w.t.Error(diff)
	}
}

// fake makes a service that behaves as argv says.
func fake(name string, argv ...string) unit.Unit {
	return unit.Unit{Name: name, Kind: unit.Service, Argv: argv, Env: []string{"NAME=" + name}}
}

// with changes a unit.
func with(u unit.Unit, change func(*unit.Unit)) unit.Unit {
	change(&u)
	return u
}

func afterUnits(u unit.Unit, names ...string) unit.Unit {
	u.After = names
	return u
}

func job(u unit.Unit, every time.Duration) unit.Unit {
	u.Kind, u.Schedule.Every = unit.Job, every
	return u
}

func hook(point hooks.Point, onFailure unit.FailurePolicy, u unit.Unit) unit.Unit {
	u.Kind, u.Point, u.OnFailure = unit.Hook, string(point), onFailure
	return u
}
