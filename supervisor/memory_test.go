package supervisor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coltec/coltec/pkg/unit"
)

// lives is a supervisor that is killed and comes back, in a bubble. A life is
// cut off by a copy of its memory: what it does in its end is not seen.
type lives struct {
	t     *testing.T
	file  string
	units []unit.Unit
}

// live runs one life. wait is how long nobody lives before it.
func (l *lives) live(wait time.Duration, f func(*world)) {
	l.t.Helper()
	time.Sleep(wait) // the bubble's clock
	w := &world{t: l.t, runner: newFakeRunner(l.t), done: make(chan error, 1)}
	w.Supervisor = New(Options{Runner: w.runner, Memory: l.file})
	w.machine.seed = 1
	ctx, cancel := context.WithCancel(context.Background())
	w.set(l.units...)
	go func() { w.done <- w.Run(ctx) }()
	synctest.Wait()
	f(w)
	kept, err := os.ReadFile(l.file)
	cancel()
	if err := <-w.done; err != nil {
		l.t.Error(err)
	}
	if _, gone := os.Stat(l.file); gone == nil {
		l.t.Error("an end in order leaves a past")
	}
	if err == nil {
		if err := os.WriteFile(l.file, kept, 0o600); err != nil {
			l.t.Error(err)
		}
	}
}

func inLives(t *testing.T, units []unit.Unit, f func(*lives)) {
	file := filepath.Join(t.TempDir(), "units.json")
	synctest.Test(t, func(t *testing.T) { f(&lives{t, file, units}) })
}

// Each crash of coltecd gave a failing service its ten restarts anew.
func TestFaultStartLimitOutlivesACrash(t *testing.T) {
	u := with(fake("web", "exit", "1", "0s"), func(u *unit.Unit) {
		u.StartLimit = unit.StartLimit{Burst: 2, Window: time.Minute}
		u.Backoff = unit.Backoff{Base: time.Second, Max: time.Second}
	})
	inLives(t, []unit.Unit{u}, func(l *lives) {
		l.live(0, func(w *world) {
			w.expect("web", Backoff)
		})
		l.live(0, func(w *world) {
			w.expect("web", Backoff) // not started: its delay goes on
			if starts := w.runner.take(); len(starts) > 0 {
				t.Errorf("before its delay is over: %v", starts)
			}
			w.after(3 * time.Second)
			w.expect("web", Failed)
		})
		l.live(time.Minute, func(w *world) {
			w.expect("web", Failed)
			s := w.status("web")
			if left := time.Until(s.NextRetry); left > coolOffBase-time.Minute || left < coolOffBase-2*time.Minute {
				t.Errorf("it waits for %v", left)
			}
			if !strings.Contains(s.LastError, "more than 2 restarts") || s.Restarts != 2 {
				t.Errorf("%+v", s)
			}
			w.after(time.Until(s.NextRetry))
			w.expect("web", Backoff) // re-armed
			w.after(3 * time.Second)
			w.expect("web", Failed)
			if left := time.Until(w.status("web").NextRetry); left <= coolOffBase {
				t.Errorf("the second cool-off is %v: it began anew", left)
			}
		})
	})
}

func TestFaultPauseOutlivesACrash(t *testing.T) {
	inLives(t, []unit.Unit{fake("web", "run"), fake("api", "run")}, func(l *lives) {
		l.live(0, func(w *world) { w.do("pause", "web"); w.do("stop", "api") })
		l.live(0, func(w *world) {
			w.expect("web", Paused)
			w.expect("api", Exited)
			w.do("resume", "web")
		})
		l.live(0, func(w *world) {
			w.expect("web", Running)
			w.expect("api", Exited)
		})
	})
}

// The clock of the next supervisor may be another one.
func TestFaultACrashAndAClockSetBack(t *testing.T) {
	inLives(t, []unit.Unit{fake("web", "exit", "1", "0s")}, func(l *lives) {
		l.live(24*time.Hour, func(w *world) { w.expect("web", Backoff) })
		b, err := os.ReadFile(l.file)
		if err != nil {
			t.Fatal(err)
		}
		// The bubble begins on 2000-01-01: a day later all stamps are from the future.
		ahead := strings.ReplaceAll(string(b), "2000-01-02", "2040-01-02")
		if err := os.WriteFile(l.file, []byte(ahead), 0o600); err != nil || ahead == string(b) {
			t.Fatal(err, string(b))
		}
		l.live(0, func(w *world) {
			w.expect("web", Backoff)
			if left := time.Until(w.status("web").NextRetry); left > unit.DefaultBackoffMax {
				t.Errorf("it waits for %v", left)
			}
		})
	})
}

func TestABrokenMemoryIsNone(t *testing.T) {
	inLives(t, []unit.Unit{fake("web", "run")}, func(l *lives) {
		if err := os.WriteFile(l.file, []byte("{cut"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.live(0, func(w *world) { w.expect("web", Running) })
	})
}

// What ran well for long has no past; nor has another command.
func TestMemoryOfTheHealthy(t *testing.T) {
	now := time.Unix(1e9, 0)
	def := unit.Unit{Name: "web", Argv: []string{"run"}}
	p := past{Argv: []string{"run"}, State: Running, Since: now.Add(-time.Hour), Attempt: 5, CoolOffs: 2}
	for name, tt := range map[string]struct {
		past past
		want int // attempts
	}{
		"healthy":         {p, 0},
		"just started":    {past{Argv: p.Argv, State: Running, Since: now, Attempt: 5}, 5},
		"another command": {past{Argv: []string{"other"}, State: Running, Since: now, Attempt: 5}, 0},
		"delay is over":   {past{Argv: p.Argv, State: Backoff, Since: now, NextRetry: now, Attempt: 5}, 5},
	} {
		u, _ := step(newUnit(def, now, 1), now, evRecall{tt.past})
		if u.attempt != tt.want || u.state != Waiting || !u.due {
			t.Errorf("%s: attempt %d, %s, due %v", name, u.attempt, u.state, u.due)
		}
	}
}
