package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// A captive portal answered each request with a login page. coltecd said that all
// was synced and ended with 0, and nothing was in the bucket; later the machine's
// newest file lost its name to its own older version.
//
// What something on the way answers counts for nothing: it is said, and once the
// store answers again all arrives by itself, and nothing is in conflict.
func TestPortal(t *testing.T) {
	t.Parallel()
	puts := func(f s3test.Fault) s3test.Fault { f.Kind = s3test.Put; return f }
	tests := map[string]s3test.Fault{
		"redirect":     {Portal: s3test.PortalRedirect},
		"empty":        {Portal: s3test.PortalEmpty},
		"not-found":    {Portal: s3test.PortalNotFound},
		"required":     {Portal: s3test.PortalRequired},
		"puts-page":    puts(s3test.Fault{Portal: s3test.PortalPage}),
		"puts-bogus":   puts(s3test.Fault{Portal: s3test.PortalBogus}),
		"puts-nothing": puts(s3test.Fault{Portal: s3test.PortalNoContent}),
	}
	for name, fault := range sample.Cases(t, 4, tests) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, a := portalWorld(t)
			a.start()
			a.sync()
			w.told("dev")
			before := w.objects()
			open := w.proxy.Inject(fault)
			a.write("note", "the second")
			a.notAllWell("sync")
			a.behindPortal()
			if now := w.objects(); !maps.Equal(before, now) {
				t.Errorf("the store saw something: %d objects, then %d", len(before), len(now))
			}
			a.write("note", "the newest")
			open()
			a.goesOn()
			w.arrived(a)
		})
	}
}

// It is there before the first lease.
func TestPortalAtTheStart(t *testing.T) {
	t.Parallel()
	for _, portal := range sample.Some(t, 2, []s3test.Portal{s3test.PortalRedirect, s3test.PortalEmpty, s3test.PortalNotFound}) {
		t.Run(string(portal), func(t *testing.T) {
			t.Parallel()
			w, a := portalWorld(t)
			open := w.proxy.Inject(s3test.Fault{Portal: portal})
			still := a.begun()
			a.says("did not come from the store", "log in to the network")
			a.notAllWell("sync")
			if n := len(w.objects()); n != 0 {
				t.Errorf("%d objects", n)
			}
			a.write("note", "the newest")
			open()
			a.goesOn()
			still()
			w.arrived(a)
		})
	}
}

// It comes in the middle of a commit: after an object, after the manifest.
func TestPortalInACommit(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{"after an object": "/.coltec/o/", "after the manifest": "/.coltec/m/"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, a := portalWorld(t)
			a.start()
			a.sync()
			came := make(chan func(), 1)
			w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: last, Times: 1, After: func(s3test.Request) {
				came <- w.proxy.Inject(s3test.Fault{Portal: s3test.PortalRedirect})
			}})
			a.write("note", "the second")
			a.notAllWell("sync")
			a.behindPortal()
			a.write("note", "the newest")
			open := <-came
			open()
			a.goesOn()
			w.arrived(a)
		})
	}
}

// It is there at a stop.
func TestPortalAtAStop(t *testing.T) {
	t.Parallel()
	for _, portal := range []s3test.Portal{s3test.PortalRedirect, s3test.PortalEmpty} {
		t.Run(string(portal), func(t *testing.T) {
			t.Parallel()
			w, a := portalWorld(t)
			a.start()
			a.sync()
			w.told("dev")
			before := w.objects()
			open := w.proxy.Inject(s3test.Fault{Portal: portal})
			a.write("note", "the newest")
			a.notAllWell("stop", "--timeout", "20s")
			if _, runs := a.instance(); runs {
				t.Error("it still runs")
			}
			if now := w.objects(); !maps.Equal(before, now) {
				t.Errorf("the store saw something: %d objects, then %d", len(before), len(now))
			}
			open()
			a.start()
			a.goesOn()
			w.arrived(a)
		})
	}
}

// patient has a lease that outlives a slow machine: what fails here is to be the
// portal's doing.
func patient(o *specOptions) { o.TTL, o.Renew = "60s", "20s" }

// portalWorld is a world with a machine that has something in its tree.
func portalWorld(t *testing.T) (*world, *machine) {
	t.Helper()
	w := newWorld(t)
	a := w.machine("a")
	a.spec(patient)
	a.seed()
	a.write("note", "the first")
	return w, a
}

// notAllWell runs a verb that must not say that all is well.
func (m *machine) notAllWell(args ...string) {
	m.t.Helper()
	out, talk, code := m.run(args...)
	if code == 0 || strings.Contains(out+talk, "synced") {
		m.t.Errorf("%s: coltecd %q ended with %d:\n%s%s", m.name, args, code, out, talk)
	}
}

// behindPortal waits for the sentence and the hint, and holds that nothing is
// claimed.
func (m *machine) behindPortal() {
	m.t.Helper()
	m.says("did not come from the store", "captive portal", "log in to the network")
	r := m.replicaStatus("workspace")
	if r.State == status.ReplicaSynced || r.Pending == 0 {
		m.t.Errorf("the replica is %s, %d pending", r.State, r.Pending)
	}
}

// arrived holds that another machine gets what this one has, and that nobody saw
// a conflict.
func (w *world) arrived(a *machine) {
	w.t.Helper()
	a.stop()
	b := w.machine("b")
	b.spec(patient)
	b.start()
	sameTree(w.t, a.tree(), b.tree())
	wantEqual(w.t, "the note", "the newest", b.read("note"))
	wantEqual(w.t, "conflicts", 0, len(kept(w.t, a.dir, "conflicts"))+len(kept(w.t, b.dir, "conflicts")))
}

// A store that confirms a commit and has lost it: the next write of the head finds it
// out, since that one is made over the one before; that of the next start, where it was
// the last. What was thought to be in the bucket gets there, under its own name.
func TestAStoreThatForgets(t *testing.T) {
	t.Parallel()
	for name, pushes := range map[string]func(a *machine){
		"at a sync": func(a *machine) { a.sync() }, // who else could know?
		"at a stop": func(a *machine) { a.stop(); a.start() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.machine("a")
			a.spec(func(o *specOptions) { o.TTL, o.Renew = "60s", "2s"; o.Replicas[0].Interval = 3600 })
			a.seed()
			a.write("note", "the first")
			a.start()
			a.sync()
			was := a.status().Lease.Generation
			w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "/.coltec/m/", Times: 1, After: func(s3test.Request) {
				w.proxy.Inject(s3test.Fault{Kind: s3test.Put, Key: "head.json", Times: 1, Forget: true})
			}})
			a.write("note", "the newest")
			pushes(a)
			eventually(t, "the bucket has what it had confirmed", func() error {
				var head store.Head
				body, err := os.ReadFile(filepath.Join(w.s3.Dir, w.s3.Bucket, store.HeadKey(workspaceName)))
				if err == nil {
					err = json.Unmarshal(body, &head) // it may be half written
				}
				if err == nil && head.Generation <= was {
					err = fmt.Errorf("generation %d", head.Generation)
				}
				return err
			})
			if log := a.log(); !strings.Contains(log, "the store has lost a write that it had confirmed") && !strings.Contains(log, "the bucket was set back") {
				t.Error("the log does not say it")
			}
			wantEqual(t, "the note here", "the newest", a.read("note"))
			w.arrived(a)
		})
	}
}
