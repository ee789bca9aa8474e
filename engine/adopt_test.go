package engine

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// large is a file of which a hurried step takes one.
func large(seed byte) []byte {
	b := make([]byte, 5<<20)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// put writes a file of a box, and leaves it to the next round.
func (b *box) put(name string, content []byte) {
	b.y.t.Helper()
	must(os.MkdirAll(b.dir, 0o755))
	must(os.WriteFile(filepath.Join(b.dir, name), content, 0o644))
}

// round has a box do a round that goes well.
func (b *box) round() {
	b.y.t.Helper()
	if err := b.do(false); err != nil {
		b.y.t.Fatal(err)
	}
}

// leave gives the lease back, and lets some time go by.
func (b *box) leave() {
	b.y.t.Helper()
	if err := b.e.lease.Release(b.y.t.Context(), nil); err != nil {
		b.y.t.Fatal(err)
	}
	b.y.advance(2 * time.Minute)
}

// TestAdoptionInSteps: what is adopted does not fit into one step. The record tells of
// all of it: what is deleted afterwards does not come back from the plain objects.
func TestAdoptionInSteps(t *testing.T) {
	y := newYard(t, 1)
	y.bucket.Set("r/a", large(1))
	y.bucket.Set("r/b", large(2))
	a := y.box("a")
	a.e.keepLease(t.Context())
	a.e.restore(t.Context())
	m := a.e.members[0]
	m.rep.ShortenSteps()
	a.e.push(t.Context())
	if !m.course.next.IsZero() {
		t.Fatal("it fitted into one step")
	}
	a.round()
	record, err := a.e.pass(m).readListing(t.Context(), a.e.lease.Head().Adopted["r"])
	if err != nil || len(record) != 2 {
		t.Errorf("recorded are %v, %v", record, err)
	}
	must(os.Remove(filepath.Join(a.dir, "a")))
	a.round()
	a.leave()
	a.restart()
	a.round()
	if _, err := os.Lstat(filepath.Join(a.dir, "a")); err == nil {
		t.Error("it is back")
	}
}

// TestAnAdoptionThatEndedElsewhere: who adopted goes on after another machine had the
// lease and ended the adoption. It stays ended.
func TestAnAdoptionThatEndedElsewhere(t *testing.T) {
	y := newYard(t, 1)
	y.bucket.Set("r/a", []byte("plain"))
	a, b := y.box("a"), y.box("b")
	a.round()
	if a.e.lease.Head().Adopted["r"] == "" {
		t.Fatal("nothing was adopted")
	}
	a.leave()
	b.round()
	done := make(chan error, 1)
	go func() { done <- b.e.FinishAdoption(t.Context(), nil) }()
	b.e.asleep(t.Context(), time.NewTimer(time.Hour), nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.leave()
	a.put("later", []byte("later"))
	a.round()
	if got := a.e.lease.Head(); got.Adopted["r"] != "" || got.Holder.Host != "a" {
		t.Errorf("it was begun again: %q", got.Adopted)
	}
}

// TestARecordThatDidNotCount: the record of an adoption was written and its commit was
// not. The next commit has one of its own.
func TestARecordThatDidNotCount(t *testing.T) {
	y := newYard(t, 1)
	y.bucket.Set("r/a", []byte("plain"))
	a := y.box("a")
	a.e.keepLease(t.Context())
	a.e.restore(t.Context())
	m := a.e.members[0]
	p, err := a.e.prepare(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	first := p.adopted
	a.round()
	key := a.e.lease.Head().Adopted["r"]
	if key == "" || key == first || m.report.origin.plain != nil {
		t.Errorf("the head names %q, after %q", key, first)
	}
}
