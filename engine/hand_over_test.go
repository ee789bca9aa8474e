package engine

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/account"
)

// TestHandOverOfManySteps: what changed does not fit into one step. Who asked for the
// lease gets all of it.
func TestHandOverOfManySteps(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	a.put("f", []byte("f"))
	a.round()
	if err := b.e.takeOver(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	a.put("one", large(1))
	a.put("two", large(2))
	a.e.members[0].rep.ShortenSteps()
	_ = a.do(false)
	if a.e.writable() {
		t.Fatal("it was not handed over")
	}
	b.round()
	for _, name := range []string{"one", "two"} {
		if _, err := os.Lstat(filepath.Join(b.dir, name)); err != nil {
			t.Errorf("%v, and the lease was given back %s with %d changes", err, b.e.lease.Head().State, len(b.e.lease.LeftBehind()))
		}
	}
}

// TestWhatDidNotFitIsPending: a stop that has time for one step of two tells of the
// other.
func TestWhatDidNotFitIsPending(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("f", []byte("f"))
	a.round()
	a.put("one", large(1))
	a.put("two", large(2))
	m := a.e.members[0]
	m.rep.ShortenSteps()
	a.e.stepMember(m, evSoon{})
	a.e.push(t.Context())
	if n := account.CountOf(a.e.left()); n != 1 {
		t.Errorf("%d changes are said not to be there", n)
	}
}

// TestAskedAgain: the holder took the lease anew, as one does that slept past it, and
// with that the request was gone: who had asked waited for ever.
func TestAskedAgain(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	a.put("f", []byte("f"))
	a.round()
	if err := b.e.takeOver(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := a.e.lease.Seize(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = b.do(false)
	if b.e.writable() {
		t.Fatal("it has the lease")
	}
	a.e.renewAt = time.Time{}
	_ = a.do(false)
	b.round()
	if !b.e.writable() || a.e.writable() {
		t.Errorf("a has it: %v, b has it: %v", a.e.writable(), b.e.writable())
	}
}
