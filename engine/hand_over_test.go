package engine

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/localfs"
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

// TestHandOverOfHalfALine: the last line of a file waits for its end, but not where somebody
// else goes on: who has the lease next has each byte.
func TestHandOverOfHalfALine(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	a.put("s.jsonl", []byte("{}\n{\"n\":"))
	a.round()
	left := a.e.left()
	if len(left) != 1 || len(left[0].Parts) != 1 || left[0].Parts[0].Reason != account.Unfinished || left[0].Parts[0].Bytes != 5 {
		t.Errorf("only here is %+v", left)
	}
	if err := b.e.takeOver(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	_ = a.do(false)
	if left := a.e.left(); len(left) > 0 || a.e.writable() {
		t.Errorf("handed over: %v, with %+v only here", !a.e.writable(), left)
	}
	b.round()
	if got, err := os.ReadFile(filepath.Join(b.dir, "s.jsonl")); string(got) != "{}\n{\"n\":" {
		t.Errorf("the next machine has %q, %v", got, err)
	}
}

// TestLineAtRest: a line that nobody ends is looked at again once its file is at rest, and at
// no other time.
func TestLineAtRest(t *testing.T) {
	y := newYard(t, 1)
	a := y.box("a")
	a.put("s.jsonl", []byte("{}\n{\"n\":"))
	a.round()
	m := a.e.members[0]
	info, err := os.Stat(filepath.Join(a.dir, "s.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if rests := info.ModTime().Add(localfs.LinesRest); !m.course.next.Equal(rests) {
		t.Errorf("the next cycle is due at %v, and the file is at rest at %v", m.course.next, rests)
	}
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(a.dir, "s.jsonl"), old, old); err != nil {
		t.Fatal(err)
	}
	m.course.next = time.Time{} // and no walk of the whole tree
	a.e.push(t.Context())
	if left := a.e.left(); len(left) > 0 {
		t.Errorf("only here is %+v", left)
	}
}

// TestHandOverAtAGoodMoment: who asked gets what an agent wrote until its turn had ended.
func TestHandOverAtAGoodMoment(t *testing.T) {
	y := newYard(t, 1)
	a, b := y.box("a"), y.box("b")
	a.put("f", []byte("f"))
	a.round()
	if err := b.e.takeOver(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	a.e.o.Turns = func(ctx context.Context) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the lease may run out meanwhile")
		}
		a.put("answer", []byte("a"))
	}
	_ = a.do(false)
	if a.e.writable() {
		t.Fatal("it was not handed over")
	}
	b.round()
	if _, err := os.Lstat(filepath.Join(b.dir, "answer")); err != nil {
		t.Error(err)
	}
}

// TestOutrun: two machines asked for the lease at once and took it from each other: who was
// outrun asked the other again. One keeps it, and the other knows whom to ask.
func TestOutrun(t *testing.T) {
	y := newYard(t, 1)
	a, b, c := y.box("a"), y.box("b"), y.box("c")
	a.put("f", []byte("f"))
	a.round()
	for _, x := range []*box{b, c} { // the second request is written over the first
		if err := x.e.takeOver(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	a.e.renewAt = time.Time{}
	_ = a.do(false)
	_ = b.do(false) // it was promised to c, which does not have it yet
	c.round()
	if !c.e.writable() {
		t.Fatal("who asked last has not got it")
	}
	for range 3 {
		b.e.leaseAt, c.e.renewAt = time.Time{}, time.Time{}
		_ = b.do(false)
		_ = c.do(false)
	}
	if !c.e.writable() || b.e.writable() || !b.e.wanted.IsZero() {
		t.Errorf("c has it: %v, b has it: %v, and asks since %v", c.e.writable(), b.e.writable(), b.e.wanted)
	}
	if v := b.e.leaseView(); v.Holder == nil || v.Holder.Host != "c" || v.Request != nil {
		t.Errorf("b sees %+v", v)
	}
}
