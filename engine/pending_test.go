package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// A commit whose answer was lost was settled while the engine waited beside other
// work, and its base was not told: what the commit had and was removed then stayed.
func TestACommitThatIsSettledBesideWork(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	write := func(name string) {
		if err := errors.Join(os.MkdirAll(a.dir, 0o755), os.WriteFile(filepath.Join(a.dir, name), []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("stays")
	if err := a.do(false); err != nil {
		t.Fatal(err)
	}
	write("goes")
	e, m := a.e, a.e.members[0]
	y.faults = func(ev storetest.Event) error {
		if ev.Op == storetest.Put && ev.Done && slices.Contains(ev.Keys, store.HeadKey("o/p/e")) {
			return errors.New("the answer is lost")
		}
		return nil
	}
	e.stepMember(m, evSoon{})
	e.push(t.Context())
	y.faults = nil
	if !e.lease.InDoubt() || m.rep.Base().Pending == nil {
		t.Fatal("nothing is in doubt")
	}
	if err := os.Remove(filepath.Join(a.dir, "goes")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	e.renewDuring(ctx, cancel)
	if e.lease.InDoubt() {
		t.Fatal("it is in doubt still")
	}
	if err := a.do(false); err != nil {
		t.Fatal(err)
	}
	files, err := y.fetch(y.gens[len(y.gens)-1])
	if _, there := files["goes"]; err != nil || there || files["stays"] != "stays" || m.rep.Base().Pending != nil {
		t.Errorf("the bucket has %v, %v; pending %v", files, err, m.rep.Base().Pending)
	}
}
