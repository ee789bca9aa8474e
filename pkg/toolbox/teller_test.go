package toolbox

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A program that says much is not slowed by an agent that hears slowly, nor is the agent told all
// of it; one that says nothing is told of, and nothing is told with the answer.
func TestTeller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var list []string
		said := func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(list)
		}
		x := newTeller("hop", 5*time.Second, func(s string) {
			mu.Lock()
			list = append(list, s)
			mu.Unlock()
			time.Sleep(time.Millisecond) // until an agent has taken it
		})
		for i := range 100 {
			x.say(fmt.Sprint(i))
			time.Sleep(pace / 10)
		}
		time.Sleep(pace)
		if told := said(); len(told) != 10 || told[9] != "99" {
			t.Fatalf("of ten lines in a second: %q", told)
		}
		time.Sleep(time.Minute)
		news := said()[10:]
		if len(news) < 10 || news[0] != "hop waits for its turn, for 15s by now" || news[1] != "hop waits for its turn, for 20s by now" || !slices.IsSortedFunc(news, func(a, b string) int { return len(a) - len(b) }) {
			t.Errorf("%q", news)
		}
		x.begun.Store(true)
		time.Sleep(6 * time.Second)
		told := said()
		if last := told[len(told)-1]; !strings.HasPrefix(last, "hop is under way, for ") {
			t.Errorf("%q", last)
		}
		x.end()
	})
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		told := 0
		for _, lasts := range []time.Duration{0, pace - 1, pace + 1, pace + apart/2, pace + 2*apart, 2*pace - 1} {
			begun := time.Now()
			x := newTeller("sync", time.Minute, func(string) { last = time.Now(); told++ })
			x.say("home: synced")
			time.Sleep(lasts)
			x.say("workspace: synced") // right before the answer
			x.end()
			if told > 0 && time.Since(last) < apart {
				t.Errorf("the answer comes %s after a notification", time.Since(last))
			}
			if over := time.Since(begun); over > max(lasts, pace+apart) || lasts < pace && over > lasts {
				t.Errorf("the answer to what lasts %s comes after %s", lasts, over)
			}
		}
		if told != 4 {
			t.Errorf("%d of 6 calls are told of: those that last longer than %s", told, pace)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		n := 0
		x := newTeller("sync", pace, func(string) { n++; <-stuck })
		for range 10 {
			time.Sleep(pace)
			x.say("a line") // waits for nobody
		}
		close(stuck)
		x.end()
		if n == 0 || n > 2 {
			t.Errorf("%d lines", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		x := newTeller("sync", time.Second, nil)
		x.say("a line")
		time.Sleep(time.Minute)
		x.end()
	})
}
