package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/status"
)

// standing is a machine with two services, which note their starts, and a hook after the restore
// that waits until it may go on, and fails as it is told to.
func (w *world) standing(name string) (m *machine, starts, hook string) {
	w.t.Helper()
	m = w.machine(name)
	beside := filepath.Dir(m.dir)
	starts, hook = filepath.Join(beside, "starts"), filepath.Join(beside, "hook")
	m.spec(func(o *specOptions) {
		o.TTL, o.Renew = "5m", "1m"
		for _, name := range []string{"web", "api"} {
			o.Services = append(o.Services, map[string]any{
				"name": name, "command": []string{"sh", "-c", "echo " + name + " >>'" + starts + "'; exec sleep 1000"}, "after": []string{"restore"},
			})
		}
		o.More = map[string]any{"hooks": map[string]any{"post_restore": []any{map[string]any{
			"name": "install", "on_failure": "fail", "command": []string{"sh", "-c", "until test -s '" + hook + "'; do sleep 0.05; done; exit $(cat '" + hook + "')"},
		}}}}
	})
	w.ends(hook, "0")
	return m, starts, hook
}

// ends has the hook end with a code; "" for not yet.
func (w *world) ends(hook, code string) {
	w.t.Helper()
	if err := os.WriteFile(hook, []byte(code), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// edited is a standing machine that was edited since a checkpoint, as it was then. It runs.
func (w *world) edited() (a *machine, starts, hook string, then map[string]node) {
	w.t.Helper()
	a, starts, hook = w.standing("a")
	a.seed()
	a.begin()
	a.must("checkpoint", "good")
	then = a.tree()
	a.change()
	a.sync()
	return a, starts, hook, then
}

// runs reports whether services run.
func runs(doc status.Document, names ...string) bool {
	found := 0
	for _, u := range doc.Units {
		for _, name := range names {
			if u.Name == name && u.State == "running" {
				found++
			}
		}
	}
	return found == len(names)
}

// A rewind that was asked for while hooks ran after the restore found its services started in the
// middle of it, by the end of these hooks.
func TestRewindWhileHooksRun(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, starts, hook, then := w.edited()
	a.stop()
	if err := os.Remove(starts); err != nil {
		t.Fatal(err)
	}
	w.ends(hook, "")
	a.start()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	arrive := sync.OnceFunc(func() { close(arrived) })
	w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "/m/", Before: func(s3test.Request) { arrive(); <-goOn }})
	rewound := a.begins("rewind", "good", "--yes")
	<-arrived
	w.ends(hook, "0")
	a.must("wait", "hooks")
	if doc := a.status(); runs(doc, "web") || runs(doc, "api") {
		t.Errorf("a service runs in the middle of a rewind: %+v", doc.Units)
	}
	release()
	if out, err := rewound(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	a.await("the services run", func(doc status.Document) bool { return runs(doc, "web", "api") })
	sameTree(t, then, a.tree())
	eventually(t, "each has noted its start", func() error { // which it does once it runs
		if got, err := os.ReadFile(starts); !strings.Contains(string(got), "web\n") || !strings.Contains(string(got), "api\n") {
			return fmt.Errorf("%q, %v", got, err)
		}
		return nil
	})
	if got, _ := os.ReadFile(starts); len(got) != len("web\napi\n") { // once, in any order
		t.Errorf("started: %q", got)
	}
}

// begins runs a verb in the background, and gives what waits for it.
func (m *machine) begins(args ...string) (ended func() (string, error)) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := m.command(ctx, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return func() (string, error) {
		defer cancel()
		err := cmd.Wait()
		return out.String(), err
	}
}

// What a rewind had stopped that was killed runs again, also where a hook fails first, and where
// another rewind comes before: what that did not stop itself was forgotten.
func TestWhatAKilledRewindStopped(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	for name, next := range map[string]func(a *machine, hook string){
		"a hook fails first": func(a *machine, hook string) {
			a.world.ends(hook, "1")
			a.start()
			a.await("it is held back", func(doc status.Document) bool { return strings.Contains(strings.Join(doc.Attention, " "), "install") })
			a.world.ends(hook, "0")
			i, _ := a.instance()
			if err := syscall.Kill(i.PID, syscall.SIGHUP); err != nil { // a reload tries it again
				a.t.Fatal(err)
			}
		},
		"another rewind comes before": func(a *machine, hook string) {
			a.world.ends(hook, "")
			a.start()
			a.must("restart", "api") // by a person: it waits, as all do
			a.must("rewind", "good", "--yes")
			a.world.ends(hook, "0")
		},
		"another rewind, which has nothing to do": func(a *machine, hook string) {
			a.world.ends(hook, "")
			a.start()
			a.must("rewind", "good", "--yes")
			a.must("rewind", "good", "--yes")
			a.world.ends(hook, "0")
		},
		"it is killed again": func(a *machine, hook string) {
			a.world.ends(hook, "")
			a.start()
			a.kill9()
			a.world.ends(hook, "0")
			a.start()
		},
		"it is stopped before": func(a *machine, hook string) {
			a.world.ends(hook, "")
			a.start()
			a.must("stop", "--timeout", "20s")
			a.world.ends(hook, "0")
			a.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, _, hook, then := w.edited()
			a.stop()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := a.command(ctx, "run")
			cmd.Env = append(cmd.Env, killpoint.Variable+"=rewind:committed")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			a.await("the services run", func(doc status.Document) bool { return runs(doc, "web", "api") })
			if _, talk, code := a.run("rewind", "good", "--yes"); code == 0 {
				t.Errorf("the rewind was told: %s", talk)
			}
			_ = cmd.Wait()
			next(a, hook)
			a.await("the services run again", func(doc status.Document) bool { return runs(doc, "web", "api") })
			sameTree(t, then, a.tree())
		})
	}
}

// A spec that was refused, as by a slip in the edit that mends the hook, had it forgotten that services
// wait because of that hook: nothing said so any more, and no later reload tried it again.
func TestHeldBackThroughABadSpec(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a, _, hook := w.standing("a")
	w.ends(hook, "1")
	a.start()
	says := func(part string) {
		t.Helper()
		a.await("it says "+part, func(doc status.Document) bool { return strings.Contains(strings.Join(doc.Attention, "\n"), part) })
	}
	says("services that wait for the restore do not start")
	const spec = ".devcontainer/workspace-spec.yaml"
	good := a.read(spec)
	a.write(spec, "version: [")
	if _, talk, code := a.run("reload"); code == 0 {
		t.Errorf("a bad spec is taken: %s", talk)
	}
	says("the spec on the disk is refused")
	says("services that wait for the restore do not start")
	w.ends(hook, "0")
	a.write(spec, good)
	a.must("reload")
	a.await("the services run", func(doc status.Document) bool { return runs(doc, "web", "api") && len(doc.Attention) == 0 })
	a.stop()
}

// The answer to the write that takes the bucket back was lost, and the store was gone for a while
// after it: the rewind was said to have failed, the services ran, and the files changed under
// them when the store was back.
func TestRewindInDoubt(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	for name, counts := range map[string]bool{"it counts": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, _, _, then := w.edited()
			now := a.tree()
			var printed, healed atomic.Bool
			head := func(r s3test.Request) bool {
				if r.Kind == s3test.Put && strings.Contains(r.Key, "/m/") {
					printed.Store(true)
				}
				return printed.Load() && !healed.Load() && strings.HasSuffix(r.Key, "dev/head.json")
			}
			var down atomic.Bool
			w.proxy.Inject(s3test.Fault{
				If:     func(r s3test.Request) bool { return head(r) && r.Kind == s3test.Put && !down.Load() },
				Before: func(s3test.Request) { down.Store(true) }, DropResponse: counts, Drop: !counts,
			})
			w.proxy.Inject(s3test.Fault{If: func(r s3test.Request) bool { return head(r) && down.Load() }, Status: 503})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := a.command(ctx, "rewind", "good", "--yes")
			said := newListener("it is not known")
			cmd.Stdout, cmd.Stderr = said, said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-said.heard:
			case err := <-ended:
				t.Fatalf("it ended before it was known: %v\n%s", err, said)
			}
			if doc := a.status(); runs(doc, "web") || runs(doc, "api") {
				t.Errorf("a service runs: %+v", doc.Units)
			}
			sameTree(t, now, a.tree())
			healed.Store(true)
			if err := <-ended; err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			if diff := cmp.Diff(then, a.tree()); diff != "" {
				t.Errorf("it is not what it was: %s", diff)
			}
			a.await("the services run again", func(doc status.Document) bool { return runs(doc, "web", "api") })
			if !strings.Contains(said.String(), "what was there is checkpoint before-rewind-") {
				t.Errorf("it says %s", said)
			}
		})
	}
}

// listener tells when a program says something.
type listener struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wants string
	heard chan struct{}
}

func newListener(text string) *listener { return &listener{wants: text, heard: make(chan struct{})} }

// Write implements io.Writer.
func (l *listener) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := strings.Contains(l.text.String(), l.wants)
	l.text.Write(b)
	if !was && strings.Contains(l.text.String(), l.wants) {
		close(l.heard)
	}
	return len(b), nil
}

func (l *listener) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A second Ctrl-C killed run --once while it pushed, and its lease had to run out.
func TestOnceIsInterruptedTwice(t *testing.T) {
	sample.Long(t)
	t.Parallel()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(nil)
	a.seed()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	arrive := sync.OnceFunc(func() { close(arrived) })
	w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "/m/", Before: func(s3test.Request) { arrive(); <-goOn }})
	w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "head.json", Before: func(s3test.Request) {
		select {
		case <-arrived:
			<-goOn // the lease is not given back before all signals have come
		default:
		}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := a.command(ctx, "run", "--once")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-arrived:
	case err := <-ended:
		t.Fatalf("it ended before it pushed: %v", err)
	}
	for range 20 { // one after the other has come, however busy it is with it
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			break
		}
		eventually(t, "the signal is taken", func() error {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if err == nil && !strings.Contains(string(text), "\nShdPnd:\t0000000000000000\n") {
				err = errors.New("it is pending")
			}
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				err = nil // nobody is there to take it
			}
			return err
		})
	}
	release()
	<-ended
	if !cmd.ProcessState.Exited() {
		t.Errorf("it was ended by %s", cmd.ProcessState)
	}
}

// crashInHop kills coltec while it makes the folder of a workspace: the next one makes it, and
// nothing is left beside it.
func crashInHop(t *testing.T, at string) {
	w := newWorld(t)
	a, _ := w.made("a", named...)
	a.once()
	b := w.machine("b").withoutDocker()
	b.env["COLTEC_PLACE"] = "/workspace"
	if err := os.Remove(b.dir); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(filepath.Dir(b.dir), ".coltec-hop-mine")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	b.env[killpoint.Variable] = at
	if out, err := b.host("hop", "acme/widget/dev", b.dir, "--prepare"); err == nil || !strings.Contains(err.Error(), syscall.SIGKILL.String()) {
		t.Errorf("it was not killed: %v\n%s", err, out)
	}
	delete(b.env, killpoint.Variable)
	if _, err := os.Lstat(b.dir); (err == nil) != (at == "hop:placed") {
		t.Errorf("the folder: %v", err)
	}
	b.hopTo()
	const spec = ".devcontainer/workspace-spec.yaml"
	if b.read(spec) != a.read(spec) {
		t.Errorf("the spec is\n%s", b.read(spec))
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(b.dir), ".coltec-hop-*"))
	if err != nil || len(left) != 1 || left[0] != mine {
		t.Errorf("beside it are %q, %v", left, err)
	}
}
