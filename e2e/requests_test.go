package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
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
		began := time.Now()
		do()
		got := w.proxy.Total().Requests
		digests := min(2*int(time.Since(began)/digestGap), got-requested(w.proxy)) // of a step that takes long there are more
		if got-digests > most {
			t.Errorf("%s: %d requests, want %d at most: %v", what, got, most, requestsOf(w.proxy))
		}
	}
	counted("a first start and push: the store is tried, the prefix claimed, a digest", 15, func() { a.start(); a.sync() })
	w.told("dev")
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
	w.told("dev")
	sameTree(t, a.tree(), b.tree())
	counted("a hop where 100 differ: two digests are among them", 10, func() {
		for i := range 100 {
			b.write(fmt.Sprintf("dir%02d/file%04d", i/5, i*20+1), fmt.Sprint("changed there ", i))
		}
		b.stop()
		a.start()
		a.sync()
	})
	w.told("dev")
	sameTree(t, b.tree(), a.tree())
	counted("a stop with nothing to say", 2, a.stop)

	w.proxy.Reset()
	a.start()
	a.write("dir00/file0000", "saved again")
	a.sync()
	w.told("dev")
	eventually(t, "status says what the store saw", func() error {
		cost, total := a.status().Cost(), w.proxy.Total()
		if cost.RequestsPerHour != float64(total.Requests) || cost.IdlePerMonth != 30*24 {
			return fmt.Errorf("status says %+v, and the store saw %+v: %v", cost, total, requestsOf(w.proxy))
		}
		return nil
	})
}

// digestGap is how far apart digests are at least (engine.TestPace): what is told of them while
// work goes on is not said again within it, and each is written, and the one before deleted.
const digestGap = 3 * time.Second

// told waits until the digest of a workspace that is held says what its head does, and those before
// it are deleted. It is written when it may be, on a busy machine once more than on others, and
// would be counted with what is asked for next.
func (w *world) told(env string) {
	w.t.Helper()
	workspace := "acme/widget/" + env
	eventually(w.t, "the digest says what the head does", func() error {
		var head store.Head
		if err := w.look(store.HeadKey(workspace), &head); err != nil {
			return err
		}
		is, want := w.digests(workspace, head.Digest()), head.Digest()
		if len(is) != 1 || is[0].Bytes != want.Bytes || is[0].Lease != want.Lease || len(is[0].Only) > 0 {
			return fmt.Errorf("%+v, want %+v", is, want)
		}
		return nil
	})
}

// digests are those of a workspace that were written by one holder, in one lease.
func (w *world) digests(workspace string, by digest.Digest) (all []digest.Digest) {
	w.t.Helper()
	for key := range w.objects() {
		of, name, is := store.SplitDigestKey(key)
		if !is || of != workspace {
			continue
		}
		d, err := digest.Parse(name)
		if err != nil {
			w.t.Fatal(err)
		}
		if d.SameTenure(by) {
			all = append(all, d)
		}
	}
	return all
}

// requested is how much was asked through a proxy, but for digests: they are written when their pace
// lets them.
func requested(p *s3test.Proxy) (n int) {
	for _, r := range p.Requests() {
		if !strings.Contains(r.Key, "/digest/") {
			n++
		}
	}
	return n
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
			o.Env, o.TTL, o.Renew = env, "60s", "3s"
			o.Replicas[0].Interval = 10
		})
		for i := range 1500 {
			m.write(fmt.Sprint("file", i), "content")
		}
		m.start()
		m.sync()
		machines = append(machines, m)
	}
	w.told("one")
	w.told("two")
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
