package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/status"
)

// seldom keeps renewals and intervals out of a count.
func seldom(o *specOptions) {
	o.TTL, o.Renew = "3h", "1h"
	o.Replicas[0].Interval = 24 * 3600
}

// What each step asks of the store, one by one, and that status says the same.
// Each number is a promise: see docs/performance.md.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(seldom)
	}
	for i := range 2000 {
		a.write(fmt.Sprintf("dir%02d/file%04d", i/100, i), fmt.Sprint("content ", i))
	}
	counted := func(what string, most int, do func()) {
		t.Helper()
		w.proxy.Reset()
		do()
		if got := w.proxy.Total().Requests; got > most {
			t.Errorf("%s: %d requests, want %d at most: %v", what, got, most, requestsOf(w.proxy))
		}
	}
	counted("a first start and push: the store is tried, the prefix claimed, a digest", 15, func() { a.start(); a.sync() })
	counted("nothing changed", 0, func() { a.sync() })
	counted("a save", 3, func() { a.write("dir00/file0000", "saved"); a.sync() })
	counted("100 small files", 4, func() {
		for i := range 100 {
			a.write(fmt.Sprintf("dir%02d/file%04d", i/5, i*20), fmt.Sprint("changed ", i))
		}
		a.sync()
	})
	counted("a stop: the head and its digest", 2, a.stop)
	counted("the start of another machine: two manifests, two packs, a digest", 8, func() { b.start(); b.sync() })
	sameTree(t, a.tree(), b.tree())
	counted("a hop where 100 differ: two digests are among them", 10, func() {
		for i := range 100 {
			b.write(fmt.Sprintf("dir%02d/file%04d", i/5, i*20+1), fmt.Sprint("changed there ", i))
		}
		b.stop()
		a.start()
		a.sync()
	})
	sameTree(t, b.tree(), a.tree())
	counted("a stop with nothing to say", 2, a.stop)

	w.proxy.Reset()
	a.start()
	a.write("dir00/file0000", "saved again")
	a.sync()
	cost := a.status().Cost()
	if total := w.proxy.Total(); cost.RequestsPerHour != float64(total.Requests) || cost.IdlePerMonth != 30*24 {
		t.Errorf("status says %+v, and the store saw %+v: %v", cost, total, requestsOf(w.proxy))
	}
}

// requestsOf lists what came through a proxy.
func requestsOf(p *s3test.Proxy) (all []string) {
	for _, r := range p.Requests() {
		all = append(all, fmt.Sprintf("%s %s %d", r.Kind, r.Key, r.Status))
	}
	return all
}

// An idle workspace asks for its renewals and nothing else, however many files it
// has.
func TestIdleRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var machines []*machine
	for _, env := range []string{"one", "two"} { // two, so that one's cycle is not the other's
		m := w.machine(env)
		m.spec(func(o *specOptions) {
			o.Env, o.TTL, o.Renew = env, "9s", "3s"
			o.Replicas[0].Interval = 10
		})
		for i := range 1500 {
			m.write(fmt.Sprint("file", i), "content")
		}
		m.start()
		m.sync()
		machines = append(machines, m)
	}
	w.proxy.Reset()
	if err := w.proxy.Wait(t.Context(), s3test.Put, 10); err != nil { // twelve seconds and more: each had a cycle
		t.Fatal(err)
	}
	for _, r := range w.proxy.Requests() {
		if r.Kind != s3test.Put || r.Key != ".coltec/fleet/acme/widget/one/head.json" && r.Key != ".coltec/fleet/acme/widget/two/head.json" {
			t.Errorf("an idle workspace asks for %s %s", r.Kind, r.Key)
		}
	}
	for _, m := range machines {
		if doc := m.status(); doc.State != status.Running {
			t.Errorf("%s", words(doc))
		}
	}
}

// Some stores (R2) take one write a second to a key and answer 429 to the next.
// Everything goes on, only later.
func TestOneWriteASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	written := map[string]time.Time{}
	w.proxy.Inject(s3test.Fault{Status: http.StatusTooManyRequests, Code: "SlowDown", If: func(r s3test.Request) bool {
		if r.Kind != s3test.Put {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if time.Since(written[r.Key]) < time.Second {
			return true
		}
		written[r.Key] = time.Now()
		return false
	}})
	a, b := w.machine("a"), w.machine("b")
	for _, m := range []*machine{a, b} {
		m.spec(seldom)
	}
	a.write("note", "first")
	a.start()
	a.sync()
	for i := range 3 {
		a.write("note", fmt.Sprint("edit ", i))
		a.must("sync")
	}
	a.stop()
	b.start()
	sameTree(t, a.tree(), b.tree())
	b.write("note", "there")
	b.stop()
	a.start()
	sameTree(t, b.tree(), a.tree())
}
