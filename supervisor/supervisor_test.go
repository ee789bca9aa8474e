package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/hooks"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/unit"
)

func TestAServiceIsRestartedWithGrowingDelays(t *testing.T) {
	inBubble(t, []unit.Unit{fake("web", "exit", "1", "0s")}, func(w *world) {
		var starts []time.Duration
		for range 6 {
			w.expect("web", Backoff)
			s := w.status("web")
			starts = append(starts, time.Until(s.NextRetry).Round(100*time.Millisecond))
			if s.LastExit != "exit status 1" || s.LastError != "exit status 1" {
				t.Errorf("%+v", s)
			}
			w.after(time.Until(s.NextRetry))
		}
		for i, d := range starts {
			full := 500 * time.Millisecond << i
			if d < full*8/10-50*time.Millisecond || d > full {
				t.Errorf("delay %d is %v, not 80 to 100 %% of %v", i, d, full)
			}
		}
	})
}

func TestAHealthyServiceStartsOverWithItsDelays(t *testing.T) {
	inBubble(t, []unit.Unit{fake("web", "exit", "1", "31s")}, func(w *world) {
		for range 20 { // never failed: 10 restarts in 5 minutes are its limit
			w.after(31 * time.Second)
			w.expect("web", Backoff)
			if d := time.Until(w.status("web").NextRetry); d > 500*time.Millisecond {
				t.Errorf("delay %v after a healthy run", d)
			}
			w.after(time.Until(w.status("web").NextRetry))
			w.expect("web", Running)
		}
	})
}

func TestStartLimitCoolsOffAndComesBack(t *testing.T) {
	u := with(fake("web", "exit", "1", "0s"), func(u *unit.Unit) {
		u.StartLimit = unit.StartLimit{Burst: 3, Window: time.Minute}
		u.Backoff = unit.Backoff{Base: time.Second, Max: time.Second}
	})
	inBubble(t, []unit.Unit{u}, func(w *world) {
		for _, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
			w.after(10 * time.Second)
			w.expect("web", Failed)
			s := w.status("web")
			if starts := len(w.runner.take()); starts != 4 {
				t.Errorf("%d starts, want 1 and 3 restarts", starts)
			}
			if !strings.Contains(s.LastError, "more than 3 restarts in 1m0s; the last end: exit status 1") {
				t.Errorf("last error %q", s.LastError)
			}
			if got := s.NextRetry.Sub(s.Since); got != want {
				t.Errorf("cool-off is %v, want %v", got, want)
			}
			w.after(time.Until(s.NextRetry))
		}
		w.set(with(u, func(u *unit.Unit) { u.Argv = []string{"run"} }))
		w.expect("web", Running)
	})
}

func TestRestartPolicies(t *testing.T) {
	tests := map[string]struct {
		policy unit.Restart
		code   string
		want   State
	}{
		"always, well":      {unit.Always, "0", Backoff},
		"always, failed":    {unit.Always, "1", Backoff},
		"on-failure, well":  {unit.OnFailure, "0", Exited},
		"on-failure, fails": {unit.OnFailure, "1", Backoff},
		"never, well":       {unit.Never, "0", Exited},
		"never, failed":     {unit.Never, "1", Exited},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u := with(fake("web", "exit", tt.code, "1s"), func(u *unit.Unit) { u.Restart = tt.policy })
			inBubble(t, []unit.Unit{u}, func(w *world) {
				w.after(time.Second)
				w.expect("web", tt.want)
				if got := w.status("web").LastError != ""; got != (tt.code == "1") {
					t.Errorf("last error %q", w.status("web").LastError)
				}
			})
		})
	}
}

func TestStopTermsThenKills(t *testing.T) {
	u := with(fake("web", "stubborn"), func(u *unit.Unit) { u.Stop.Grace = 7 * time.Second })
	inBubble(t, []unit.Unit{u}, func(w *world) {
		w.after(time.Second)
		go func() { _ = w.Do(w.t.Context(), "stop", "web") }()
		synctest.Wait()
		w.expect("web", Stopping)
		w.after(6999 * time.Millisecond)
		w.happened("0s web start", "1s web TERM")
		w.after(time.Millisecond)
		w.happened("8s web KILL")
		w.expect("web", Exited)
		w.after(24 * time.Hour)
		w.happened()
	})
}

func TestKillCutsTheGraceShort(t *testing.T) {
	units := []unit.Unit{fake("db", "stubborn"), afterUnits(fake("web", "stubborn"), "db")}
	inBubble(t, units, func(w *world) {
		w.cancel()
		synctest.Wait()
		w.Kill()
		synctest.Wait()
		w.happened("0s db start", "0s web start", "0s web TERM", "0s db KILL", "0s web KILL")
	})
}

// A leader that dies leaves members of its group: they end before the next copy.
func TestWhatALeaderLeavesEndsFirst(t *testing.T) {
	inBubble(t, []unit.Unit{fake("web", "left", "1", "1s")}, func(w *world) {
		w.after(1900 * time.Millisecond)
		w.happened("0s web start", "1s web TERM", w.status("web").Since.Sub(w.runner.began).Round(time.Millisecond).String()+" web start")
		if w.status("web").Restarts != 1 {
			t.Errorf("%+v", w.status("web"))
		}
	})
}

// Pebble's bug: a timer of the last run promotes the next one.
func TestAStaleTimerDoesNothing(t *testing.T) {
	u := with(fake("web", "stubborn"), func(u *unit.Unit) { u.Stop.Grace = 10 * time.Second })
	inBubble(t, []unit.Unit{u}, func(w *world) {
		for range 3 {
			w.after(time.Second)
			w.runner.set(func(r *fakeRunner) {
				for _, c := range r.children {
					c.stubborn = false // ends at TERM, long before the grace
				}
			})
			w.do("restart", "web")
		}
		w.runner.take()
		w.after(30 * time.Second) // all graces of the past
		w.happened()
		w.expect("web", Running)
	})
}

// Old timers by hand: the generation decides, not luck.
func TestStaleEventsAreIgnored(t *testing.T) {
	now := time.Unix(0, 0)
	u := newUnit(fake("web", "run"), now, 1)
	for _, ev := range []event{evRelease{}, evStarted{1, 42}, evExited{1, "exit status 1", false, false}, evGone{1}} {
		u, _ = step(u, now, ev)
	}
	if u.state != Backoff {
		t.Fatalf("state %s", u.state)
	}
	for name, ev := range map[string]event{
		"timer": evTimer{u.timer - 1}, "exit": evExited{0, "x", false, false}, "gone": evGone{0}, "gone twice": evGone{1},
		"started": evStarted{0, 7}, "late start": evStarted{1, 7}, "no start": evNoStart{0, "x", false}, "probe": evProbed{0, ""},
		"exit twice": evExited{1, "exit status 2", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			after, actions := step(u, now.Add(time.Hour), ev)
			if diff := cmp.Diff(fmt.Sprint(u), fmt.Sprint(after)); diff != "" || len(actions) > 0 {
				t.Errorf("changed %s, actions %v", diff, actions)
			}
		})
	}
}

func TestOrderOfStartAndStop(t *testing.T) {
	probed := func(u unit.Unit) unit.Unit {
		u.Ready = &unit.Probe{Exec: []string{"probe"}}
		return u
	}
	units := []unit.Unit{ // defined in the wrong order
		afterUnits(fake("web", "run"), "api", "restore"),
		afterUnits(fake("api", "run"), "db"),
		probed(fake("db", "run")),
	}
	inBubble(t, units, func(w *world) {
		w.expect("api", Waiting)
		if got := w.status("api").LastError; got != "waits for db" {
			t.Errorf("api says %q", got)
		}
		w.after(1500 * time.Millisecond)
		w.happened("0s db start")
		w.runner.set(func(r *fakeRunner) { r.healthy = true })
		w.after(500 * time.Millisecond)
		w.expect("db", Ready)
		w.happened("2s api start")
		w.after(time.Second)
		w.Reached("restore")
		synctest.Wait()
		w.happened("3s web start")
		w.cancel()
		synctest.Wait()
		w.happened("3s web TERM", "3s api TERM", "3s db TERM")
	})
}

func TestARestartedDependencyLeavesItsDependentsAlone(t *testing.T) {
	inBubble(t, []unit.Unit{fake("db", "run"), afterUnits(fake("web", "run"), "db")}, func(w *world) {
		w.runner.take()
		w.after(time.Second)
		w.do("restart", "db")
		w.happened("1s db TERM", "1s db start")
	})
}

func TestReadyProbe(t *testing.T) {
	probed := func(probe string) unit.Unit {
		return with(fake("web", "run"), func(u *unit.Unit) {
			u.Ready = &unit.Probe{Exec: []string{probe}, Interval: 2 * time.Second, Timeout: 9 * time.Second}
			u.Env = append(u.Env, "A=1")
		})
	}
	t.Run("too late", func(t *testing.T) {
		inBubble(t, []unit.Unit{probed("probe")}, func(w *world) {
			w.after(8 * time.Second)
			w.expect("web", Running)
			if got := w.status("web").LastError; got != "not ready: exit status 1" {
				t.Errorf("last error %q", got)
			}
			w.after(time.Second)
			w.happened("0s web start", "9s web TERM")
			w.expect("web", Backoff)
			if got := w.status("web").LastError; got != "not ready within 9s" {
				t.Errorf("last error %q", got)
			}
		})
	})
	t.Run("hangs", func(t *testing.T) {
		inBubble(t, []unit.Unit{probed("hang")}, func(w *world) {
			w.after(5 * time.Second)
			if got := w.status("web").LastError; got != "not ready: the probe took longer than 5s" {
				t.Errorf("last error %q", got)
			}
			w.after(4 * time.Second)
			w.expect("web", Backoff)
		})
	})
	t.Run("ends with its service", func(t *testing.T) {
		inBubble(t, []unit.Unit{probed("hang")}, func(w *world) {
			w.do("stop", "web")
			w.runner.mu.Lock()
			defer w.runner.mu.Unlock()
			for _, c := range w.runner.children {
				if !c.gone {
					t.Errorf("a probe of %s outlives it", c.name)
				}
			}
			if len(w.runner.children) != 2 {
				t.Errorf("%d children, want the service and its probe", len(w.runner.children))
			}
		})
	})
	t.Run("restarted, probed anew", func(t *testing.T) {
		inBubble(t, []unit.Unit{probed("probe")}, func(w *world) {
			w.runner.set(func(r *fakeRunner) { r.healthy = true })
			w.after(2 * time.Second)
			w.expect("web", Ready)
			w.runner.set(func(r *fakeRunner) { r.healthy = false })
			w.do("restart", "web")
			w.expect("web", Running)
		})
	})
}

func TestAMissingBinaryComesBack(t *testing.T) {
	inBubble(t, []unit.Unit{fake("web", "missing")}, func(w *world) {
		w.after(time.Second)
		w.expect("web", Backoff)
		if got := w.status("web").LastError; got != "no such file" {
			t.Errorf("last error %q", got)
		}
		w.runner.set(func(r *fakeRunner) { r.present = true })
		w.after(2 * time.Second)
		w.expect("web", Running)
		if got := w.status("web").LastError; got != "" {
			t.Errorf("last error %q", got)
		}
	})
}

func TestBlocked(t *testing.T) {
	u := with(fake("web", "run"), func(u *unit.Unit) { u.Blocked = "RCLONE_BUCKET is not set" })
	inBubble(t, []unit.Unit{u, fake("other", "forbidden")}, func(w *world) {
		w.expect("web", Blocked)
		w.expect("other", Blocked)
		err := w.Do(w.t.Context(), "start", "web")
		if err == nil || err.Error() != `cannot start unit "web": RCLONE_BUCKET is not set` {
			t.Errorf("start: %v", err)
		}
		w.after(24 * time.Hour)
		w.happened()
		u.Blocked = ""
		w.set(u, fake("other", "run"))
		w.expect("web", Running)
		w.expect("other", Running)
		u.Blocked = "it again"
		w.set(u, fake("other", "run"))
		w.expect("web", Blocked)
	})
}

func TestJobs(t *testing.T) {
	t.Run("next after the end of the last", func(t *testing.T) {
		inBubble(t, []unit.Unit{job(fake("scan", "exit", "0", "7s"), 10*time.Second)}, func(w *world) {
			w.after(8 * time.Second)
			w.expect("scan", Waiting)
			if got := time.Until(w.status("scan").NextRun); got != 9*time.Second {
				t.Errorf("next run in %v", got)
			}
			w.after(32 * time.Second)
			w.happened("0s scan start", "17s scan start", "34s scan start")
		})
	})
	t.Run("a failed run waits for its time too", func(t *testing.T) {
		inBubble(t, []unit.Unit{job(fake("scan", "exit", "1", "1s"), 10*time.Second)}, func(w *world) {
			w.after(2 * time.Second)
			w.expect("scan", Waiting)
			if s := w.status("scan"); s.LastError != "exit status 1" || s.Restarts != 0 {
				t.Errorf("%+v", s)
			}
			w.after(10 * time.Second)
			w.happened("0s scan start", "11s scan start")
		})
	})
	t.Run("a failed run is tried again if it should", func(t *testing.T) {
		u := with(job(fake("scan", "exit", "1", "1s"), time.Hour), func(u *unit.Unit) { u.Restart = unit.OnFailure })
		inBubble(t, []unit.Unit{u}, func(w *world) {
			w.after(time.Second)
			w.expect("scan", Backoff)
		})
	})
	t.Run("triggered", func(t *testing.T) {
		inBubble(t, []unit.Unit{job(fake("scan", "exit", "0", "5s"), 0)}, func(w *world) {
			w.after(time.Hour)
			w.happened()
			w.do("start", "scan")
			w.after(time.Second)
			go func() { _ = w.Do(w.t.Context(), "start", "scan") }() // while it runs: once more
			go func() { _ = w.Do(w.t.Context(), "start", "scan") }() // two are one
			w.after(time.Hour)
			w.happened("1h0m0s scan start", "1h0m5s scan start")
		})
	})
	t.Run("triggered before its time", func(t *testing.T) {
		inBubble(t, []unit.Unit{job(fake("scan", "exit", "0", "1s"), 10*time.Second)}, func(w *world) {
			w.after(5 * time.Second)
			w.do("start", "scan")
			w.after(20 * time.Second)
			w.happened("0s scan start", "5s scan start", "16s scan start")
		})
	})
	t.Run("takes too long", func(t *testing.T) {
		u := with(job(fake("scan", "run"), time.Hour), func(u *unit.Unit) { u.Timeout = 30 * time.Second })
		inBubble(t, []unit.Unit{u}, func(w *world) {
			w.after(30 * time.Second)
			w.happened("0s scan start", "30s scan TERM")
			if got := w.status("scan").LastError; got != "still running after 30s" {
				t.Errorf("last error %q", got)
			}
		})
	})
	t.Run("what comes after it", func(t *testing.T) {
		units := []unit.Unit{job(fake("init", "exit", "0", "5s"), 0), afterUnits(fake("web", "run"), "init")}
		inBubble(t, units, func(w *world) {
			w.expect("web", Waiting)
			w.do("start", "init")
			w.after(5 * time.Second)
			w.expect("web", Running)
		})
	})
}

func TestPause(t *testing.T) {
	units := []unit.Unit{fake("web", "run"), job(fake("scan", "exit", "0", "1s"), 10*time.Second)}
	inBubble(t, units, func(w *world) {
		w.after(5 * time.Second)
		w.do("pause", "web")
		w.do("pause", "scan")
		w.after(time.Hour)
		w.runner.mu.Lock()
		slices.Sort(w.runner.trace) // the two start at once
		w.runner.mu.Unlock()
		w.happened("0s scan start", "0s web start", "5s web TERM")
		w.set(units[0], with(units[1], func(u *unit.Unit) { u.Schedule.Every = time.Minute }))
		w.expect("web", Paused)
		w.expect("scan", Paused)
		w.do("resume", "web")
		w.do("resume", "scan")
		w.after(time.Minute)
		w.happened("1h0m5s web start", "1h0m5s scan start")
		if got := time.Until(w.status("scan").NextRun); got != time.Second {
			t.Errorf("next run in %v, by the new schedule in 1s", got)
		}
	})
}

func TestStopStaysAndStartStarts(t *testing.T) {
	inBubble(t, []unit.Unit{fake("web", "run")}, func(w *world) {
		w.do("stop", "web")
		w.set(fake("web", "exit", "0", "1h"))
		w.after(time.Hour)
		w.expect("web", Exited)
		w.do("start", "web")
		w.do("start", "web")
		w.expect("web", Running)
		w.happened("0s web start", "0s web TERM", "1h0m0s web start")
	})
}

func TestStartWhileItStops(t *testing.T) {
	u := with(fake("web", "stubborn"), func(u *unit.Unit) { u.Stop.Grace = 10 * time.Second })
	inBubble(t, []unit.Unit{u}, func(w *world) {
		stopped := make(chan error, 1)
		go func() { stopped <- w.Do(w.t.Context(), "stop", "web") }()
		w.after(time.Second)
		w.do("start", "web")
		w.happened("0s web start", "0s web TERM", "10s web KILL", "10s web start")
	})
}

// Who stops or pauses what somebody else starts meanwhile is told so, and does not wait for an end
// that does not come.
func TestStartedWhileItStops(t *testing.T) {
	for _, tt := range []struct{ down, up string }{{"stop", "start"}, {"stop", "restart"}, {"pause", "start"}, {"pause", "restart"}, {"pause", "resume"}} {
		u := with(fake("web", "stubborn"), func(u *unit.Unit) { u.Stop.Grace = 10 * time.Second })
		inBubble(t, []unit.Unit{u}, func(w *world) {
			ended := make(chan error, 1)
			go func() { ended <- w.Do(w.t.Context(), tt.down, "web") }()
			w.after(time.Second)
			w.do(tt.up, "web")
			w.after(time.Hour)
			select {
			case err := <-ended:
				if want := "cannot " + tt.down + ` unit "web": it was started meanwhile`; err == nil || err.Error() != want {
					w.t.Errorf("%s, then %s: %v, want %s", tt.down, tt.up, err, want)
				}
			default:
				w.t.Errorf("%s, then %s: the first one has no answer", tt.down, tt.up)
			}
			w.expect("web", Running)
		})
	}
}

func TestReload(t *testing.T) {
	inBubble(t, []unit.Unit{fake("a", "run"), fake("b", "run"), afterUnits(fake("c", "run"), "b")}, func(w *world) {
		w.runner.take()
		pid := w.status("a").PID
		w.after(time.Second)
		w.set(fake("a", "run"))
		w.happened("1s c TERM", "1s b TERM")
		w.set(fake("a", "run"), afterUnits(fake("d", "run"), "a"))
		w.happened("1s d start")
		if s := w.status("a"); s.PID != pid || s.Since != w.runner.began {
			t.Errorf("an unchanged unit was touched: %+v", s)
		}
		w.set(with(fake("a", "run"), func(u *unit.Unit) { u.Restart = unit.Never }), fake("d", "exit", "0", "5s"))
		w.happened("1s d TERM", "1s d start")
		if s := w.status("a"); s.PID != pid {
			t.Errorf("a new policy restarted it: %+v", s)
		}
		w.set()
		if left := w.Status(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestReloadWhileItStops(t *testing.T) {
	u := with(fake("web", "stubborn"), func(u *unit.Unit) { u.Stop.Grace = 10 * time.Second })
	tests := map[string]struct {
		first, second []unit.Unit
		want          []string
		state         State
	}{
		"removed, added again": {nil, []unit.Unit{u}, []string{"10s web KILL", "10s web start"}, Running},
		"changed twice": {
			[]unit.Unit{with(u, func(u *unit.Unit) { u.Dir = "/a" })}, []unit.Unit{with(u, func(u *unit.Unit) { u.Dir = "/b" })},
			[]string{"10s web KILL", "10s web start"}, Running,
		},
		"changed, removed": {[]unit.Unit{with(u, func(u *unit.Unit) { u.Dir = "/a" })}, nil, []string{"10s web KILL"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []unit.Unit{u}, func(w *world) {
				w.set(tt.first...)
				w.after(time.Second)
				w.set(tt.second...)
				w.happened("0s web start", "0s web TERM")
				w.after(10 * time.Second)
				w.happened(tt.want...)
				if tt.state != "" {
					w.expect("web", tt.state)
				} else if all := w.Status(); len(all) > 0 {
					t.Errorf("left: %v", all)
				}
			})
		})
	}
}

func TestAJobIsNotEndedByAReload(t *testing.T) {
	inBubble(t, []unit.Unit{job(fake("scan", "exit", "0", "5s"), time.Hour)}, func(w *world) {
		w.after(time.Second)
		w.set(job(fake("scan", "exit", "0", "6s"), time.Hour))
		w.after(5 * time.Second)
		w.happened("0s scan start", "5s scan start") // a changed job runs at once
	})
}

func TestHooks(t *testing.T) {
	units := []unit.Unit{
		hook("post_restore", unit.Ignore, fake("h1", "exit", "0", "2s")),
		hook("post_restore", unit.Ignore, fake("h2", "exit", "1", "1s")),
		hook("post_restore", unit.Fail, fake("h3", "exit", "3", "1s")),
		hook("post_restore", unit.Fail, fake("h4", "exit", "0", "1s")),
		hook("pre_stop", unit.Fail, with(fake("slow", "stubborn"), func(u *unit.Unit) { u.Timeout, u.Stop.Grace = 5*time.Second, time.Second })),
		hook("post_sync", unit.Fail, fake("s", "exit", "0", "1s")),
	}
	inBubble(t, units, func(w *world) {
		w.happened()
		err := w.RunHooks(w.t.Context(), "post_restore")
		want := `cannot pass hook point "post_restore": cannot run hook "h3": exit status 3`
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		w.happened("0s h1 start", "2s h2 start", "3s h3 start")
		want = `cannot pass hook point "pre_stop": cannot run hook "slow": still running after 5s`
		if err := w.RunHooks(w.t.Context(), "pre_stop"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		w.happened("4s slow start", "9s slow TERM", "10s slow KILL")
		for range 3 { // one at a time, each run
			go func() {
				if err := w.RunHooks(w.t.Context(), "post_sync"); err != nil {
					t.Error(err)
				}
			}()
		}
		w.after(time.Minute)
		w.happened("10s s start", "11s s start", "12s s start")
		if err := w.RunHooks(w.t.Context(), "no_such_point"); err != nil {
			t.Error(err)
		}
	})
}

func TestHooksBehindAGate(t *testing.T) {
	units := []unit.Unit{
		hook("post_restore", unit.Ignore, fake("h1", "exit", "0", "1s")),
		hook("post_restore", unit.Ignore, fake("h2", "exit", "1", "1s")),
		hook("post_restore", unit.Fail, fake("h3", "exit", "0", "1s")),
	}
	inBubble(t, units, func(w *world) {
		ends := map[string]error{}
		gate := func(h unit.Unit) (bool, func(error)) {
			return h.Name != "h1", func(err error) { ends[h.Name] = err }
		}
		if err := w.RunHooksIf(w.t.Context(), "post_restore", nil, gate); err != nil {
			t.Error(err)
		}
		w.happened("0s h2 start", "1s h3 start")
		if len(ends) != 2 || ends["h2"] == nil || ends["h3"] != nil {
			t.Errorf("they ended with %v", ends)
		}
	})
}

func TestAHookOfACallerWhoLeavesIsStopped(t *testing.T) {
	inBubble(t, []unit.Unit{hook("post_sync", unit.Ignore, fake("h", "run"))}, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if err := w.RunHooks(ctx, "post_sync"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		w.happened("0s h start", "1s h TERM")
	})
}

func TestHooksGetTheirEnvironment(t *testing.T) {
	inBubble(t, []unit.Unit{hook("on_conflict", unit.Fail, fake("h", "exit", "0", "0s"))}, func(w *world) {
		for _, env := range [][]string{{"COLTEC_PATH=a"}, nil} {
			if err := w.RunHooksWith(w.t.Context(), "on_conflict", env); err != nil {
				t.Fatal(err)
			}
			child := w.runner.children[len(w.runner.children)-1]
			if diff := cmp.Diff(append([]string{"NAME=h"}, env...), child.env); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestOnFailureHooks(t *testing.T) {
	u := with(fake("web", "exit", "1", "0s"), func(u *unit.Unit) { u.StartLimit = unit.StartLimit{Burst: 1, Window: time.Hour} })
	inBubble(t, []unit.Unit{u, hook(hooks.OnFailure, unit.Ignore, fake("h", "exit", "0", "0s"))}, func(w *world) {
		w.after(10 * time.Second)
		child := w.runner.children[len(w.runner.children)-1]
		if child.name != "h" || !slices.Contains(child.env, "COLTEC_FAILED_UNIT=web") {
			t.Errorf("last child is %s with %v", child.name, child.env)
		}
	})
}

func TestRefusals(t *testing.T) {
	units := []unit.Unit{fake("web", "run"), hook("p", unit.Ignore, fake("h", "run"))}
	inBubble(t, units, func(w *world) {
		for call, want := range map[string]string{
			"start wbe":   `cannot start unit "wbe": there is no such unit`,
			"resume web":  `cannot resume unit "web": it is not paused`,
			"explode web": `cannot explode unit "web": there is no such verb`,
			"start h":     `cannot start unit "h": a hook runs at its point only`,
		} {
			verb, name, _ := strings.Cut(call, " ")
			err := w.Do(w.t.Context(), verb, name)
			if err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", call, err, want)
			}
			var unknown *UnknownUnitError
			if errors.As(err, &unknown) && !slices.Equal(hint.Of(err), []string{"units: web, h"}) {
				t.Errorf("hints %v", hint.Of(err))
			}
		}
		if err := w.Set([]unit.Unit{fake("web", "run"), fake("web", "run")}); err == nil {
			t.Error("a wrong set passes")
		}
		w.expect("web", Running)
	})
}

func TestAfterTheEnd(t *testing.T) {
	inBubble(t, []unit.Unit{fake("web", "stubborn")}, func(w *world) {
		pending := make(chan error, 1)
		go func() { pending <- w.Do(w.t.Context(), "restart", "web") }()
		synctest.Wait()
		w.cancel()
		synctest.Wait()
		if err := w.Do(w.t.Context(), "start", "web"); !errors.Is(err, errStopping) {
			t.Errorf("start while it ends: %v", err)
		}
		if err := w.RunHooks(w.t.Context(), "p"); err != nil { // there are none
			t.Error(err)
		}
		w.done <- <-w.done
		if err := <-pending; err == nil {
			t.Error("a restart that never came says nothing")
		}
		if err := w.Do(w.t.Context(), "start", "web"); !errors.Is(err, ErrStopped) {
			t.Errorf("start after the end: %v", err)
		}
		if err := w.Set(nil); !errors.Is(err, ErrStopped) {
			t.Errorf("set after the end: %v", err)
		}
		w.expect("web", Exited)
		if err := w.Run(w.t.Context()); err == nil {
			t.Error("Run runs twice")
		}
	})
}

func TestBeforeRun(t *testing.T) {
	s := New(Options{})
	s.Reached("restore")
	if err := s.Set([]unit.Unit{fake("web", "run")}); err != nil {
		t.Error(err)
	}
	if got := s.Status(); got != nil {
		t.Errorf("status before Run: %v", got)
	}
}

func TestChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		s := New(Options{Runner: newFakeRunner(t), OnChange: func(c Change) {
			got = append(got, fmt.Sprintf("%s %s→%s %s", c.Unit, c.From, c.To, c.Why))
		}})
		if err := s.Set([]unit.Unit{fake("web", "exit", "2", "1s")}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		want := []string{
			"web waiting→starting ", "web starting→running ", "web running→backoff exit status 2", "web backoff→exited ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// An idle supervisor sleeps: no timer is armed while five services run.
func TestIdleMeansNoTimers(t *testing.T) {
	var units []unit.Unit
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		units = append(units, fake(name, "run"))
	}
	inBubble(t, units, func(w *world) {
		w.after(time.Minute)
		w.cancel() // Run is the only one to look at timers, so look after it
		w.done <- <-w.done
		if len(w.timers) != 0 {
			t.Errorf("%d timers", len(w.timers))
		}
	})
}

// The drawer of old bugs: found by FuzzMachine, told here by hand.

// A child that took longer to fork than its grace got KILL without TERM.
func TestTheGraceBeginsWithTheSignal(t *testing.T) {
	now := time.Unix(0, 0)
	u := newUnit(fake("web", "run"), now, 1)
	u, _ = step(u, now, evRelease{})
	u, actions := step(u, now, evHalt{wantDown})
	if u.armed || slices.ContainsFunc(actions, isSignal) {
		t.Errorf("a child that is not there is signalled: %v", actions)
	}
	_, actions = step(u, now.Add(time.Hour), evStarted{1, 42})
	if i := slices.IndexFunc(actions, isSignal); i < 0 || actions[i].(actSignal).sig != syscall.SIGTERM {
		t.Errorf("it is not asked to end: %v", actions)
	}
}

func isSignal(a action) bool { _, ok := a.(actSignal); return ok }

// A service that a person stopped counted as "has done its work" for what comes
// after it, when it ended with status 0.
func TestAStoppedDependencyIsNotMet(t *testing.T) {
	units := []unit.Unit{fake("db", "exit", "0", "1h"), afterUnits(fake("web", "run"), "db", "restore")}
	inBubble(t, units, func(w *world) {
		w.runner.set(func(r *fakeRunner) { r.children[0].clean = true })
		w.do("stop", "db")
		w.Reached("restore")
		w.after(time.Minute)
		w.expect("web", Waiting)
	})
}

// A reload between RunHooks and the start of the hook left the caller waiting.
func TestAReloadKeepsAWaitingHook(t *testing.T) {
	now := time.Unix(0, 0)
	h := hook("p", unit.Fail, fake("h", "run"))
	u := newUnit(h, now, 1)
	u, _ = step(u, now, evHook{id: 7})
	u, _ = step(u, now, evDefine{with(h, func(u *unit.Unit) { u.Dir = "/new" })})
	if u.state != Waiting || !u.due || u.hook != 7 {
		t.Errorf("the hook is %s, due %v, for call %d", u.state, u.due, u.hook)
	}
	_, actions := step(u, now, evDefine{with(h, func(u *unit.Unit) { u.Blocked = "X is not set" })})
	i := slices.IndexFunc(actions, func(a action) bool { _, ok := a.(actReply); return ok })
	if i < 0 || actions[i].(actReply).err == nil {
		t.Errorf("a hook that will not run answers nobody: %v", actions)
	}
}
