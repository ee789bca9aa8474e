package toolbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A program that says much is not slowed by an agent that hears slowly, nor is the agent told all
// of it; one that says nothing is told of, and all is over when the call is.
func TestTeller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		x := newTeller("hop", 5*time.Second, func(s string) { told = append(told, s) })
		for i := range 1000 {
			x.say(fmt.Sprint(i))
			if i%100 == 99 {
				synctest.Wait()
			}
		}
		if len(told) != burst || told[burst-1] != fmt.Sprint(burst-1) {
			t.Errorf("%d of 1000 lines at once are told", len(told))
		}
		for range 10 {
			time.Sleep(pace / 2)
			x.say("slow")
			synctest.Wait()
		}
		if n := len(told) - burst; n != 5 {
			t.Errorf("%d of 10 lines in five seconds are told", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		x.end()
		news := told[burst+5:]
		if len(news) < 10 || news[0] != "hop waits for its turn, for 10s by now" || !slices.IsSortedFunc(news, func(a, b string) int { return len(a) - len(b) }) {
			t.Errorf("%q", news)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		n := 0
		x := newTeller("sync", time.Second, func(string) { n++; <-stuck })
		x.begun.Store(true)
		for range 10 * linesHeld {
			x.say("a line") // waits for nobody
		}
		synctest.Wait()
		close(stuck)
		x.end()
		if n == 0 || n > linesHeld+2 {
			t.Errorf("%d lines", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		x := newTeller("sync", time.Second, nil)
		for range 10 * linesHeld {
			x.say(strings.Repeat("a", 100))
		}
		time.Sleep(time.Minute)
		x.end()
	})
}
