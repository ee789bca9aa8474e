package engine

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store/storetest"
)

// scene is a model without chance: the stories that random ones led to.
type scene struct {
	*model
	t *testing.T
}

func newScene(t *testing.T, names ...string) *scene {
	t.Helper()
	dir, err := modelDir()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{newModel(1, memory{storetest.New()}, filepath.Join(dir, "h"), ""), t}
	s.still = true // nothing happens but what the scene says
	must(os.MkdirAll(s.dir, 0o755))
	for _, name := range names {
		p := &place{
			name: name, path: filepath.Join(s.dir, name), used: true, agreed: -1,
			present: map[string]bool{}, touched: map[string]bool{},
		}
		must(os.Mkdir(p.path, 0o755))
		s.places = append(s.places, p)
	}
	t.Cleanup(func() {
		s.end()
		os.RemoveAll(dir)
		for _, bad := range s.bad {
			t.Error(bad)
		}
		if t.Failed() {
			t.Log(s.report())
		}
	})
	return s
}

// write is a user's edit.
func (s *scene) write(p *place, path, content string) {
	u := user{m: s.model, p: p}
	u.makeWay(path)
	u.put(path, content, 0o644)
	s.sawEdit(p, u.paths)
}

// round starts a place if need be, and has it do what is due.
func (s *scene) round(p *place) {
	if p.run == nil {
		s.start(p)
	}
	s.pass(12e9)
	s.drive(p.run, "a round", func(e *Engine) { e.round(context.Background()) })
}

// fault breaks the next writes of the head.
func (s *scene) fault(kind storetest.Kind, skip, times int) {
	s.backs.(memory).Inject(storetest.Fault{
		Op: storetest.Put, Key: "head.json", Kind: kind, Skip: skip, Times: times, Class: rclone.Server,
	})
}

// A commit whose answer was lost, and then a stop whose own question failed as
// well: the stop dropped the pending generation although it had counted. The
// next start took its own files for somebody else's: conflicts with itself.
func TestStopInDoubtKeepsWhatIsPending(t *testing.T) {
	s := newScene(t, "A")
	a := s.places[0]
	s.write(a, "f", "one")
	s.fault(storetest.After, 1, 1)
	s.round(a)
	s.write(a, "f", "two")
	s.fault(storetest.Before, 0, 1)
	s.stop(a)
	s.round(a)
	s.stop(a)
	if got := a.show()["f"].content; got != "two" {
		t.Errorf("f: %q", got)
	}
}

// A holder lost its lease, took it again by force, and the answers to that were
// lost. When the write turned out to have counted it went on as if nobody had
// written in between, and deleted the other's files.
func TestForcedLeaseInDoubtMergesFirst(t *testing.T) {
	s := newScene(t, "A", "B")
	a, b := s.places[0], s.places[1]
	s.write(a, "a", "of A")
	s.round(a)
	s.pass(2 * modelTTL)
	s.write(b, "b", "of B")
	s.round(b)
	s.write(a, "a2", "of A too")
	s.fault(storetest.After, 0, 1)
	s.drive(a.run, "takes the lease by force", func(e *Engine) { _ = e.takeOver(context.Background(), true) })
	s.fault(storetest.Before, 1, 1)
	s.round(a)
	s.stop(a)
	s.stop(b)
	s.settle()
	if got := a.show()["b"].content; got != "of B" {
		t.Errorf("b: %q", got)
	}
}

// A directory of all that there was became a link: its files were deletions
// that waited for a decision, and the link did not wait. The generation had a file
// in a link, and no machine could show it.
func TestALinkInPlaceOfADirectoryWaitsForItsDeletions(t *testing.T) {
	s := newScene(t, "A", "B")
	a, b := s.places[0], s.places[1]
	s.write(a, "d/a", "one")
	s.write(a, "d/b", "two")
	s.round(a)
	must(os.RemoveAll(filepath.Join(a.path, "d")))
	must(os.Symlink("elsewhere", filepath.Join(a.path, "d")))
	s.sawEdit(a, []string{"d", "d/a", "d/b"})
	s.round(a)
	s.stop(a)
	s.round(b)
	if info, err := os.Stat(filepath.Join(b.path, "d/b")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("B has not what was there before: %v %v", info, err)
	}
	s.stop(b)
	s.start(a)
	s.allowDelete(a)
	s.round(a)
	s.stop(a)
	s.start(b)
	s.allowDelete(b) // it would lose all it has, too
	s.round(b)
	if link, err := os.Readlink(filepath.Join(b.path, "d")); err != nil || link != "elsewhere" {
		t.Errorf("B has no link: %q %v", link, err)
	}
	s.stop(b)
}

// A machine without links removed the directory of one, and later made a file of its name: a tree
// was committed in which the link was below the file, and no machine could read it.
func TestAFileWhereADirectoryHasALinkThatIsNotShown(t *testing.T) {
	s := newScene(t, "A", "B")
	a, b := s.places[0], s.places[1]
	b.shape.NoLinks = true
	must(os.Mkdir(filepath.Join(a.path, "d"), 0o755))
	must(os.Symlink("elsewhere", filepath.Join(a.path, "d/link")))
	s.sawEdit(a, []string{"d", "d/link"})
	s.write(a, "k", "kept")
	s.round(a)
	s.stop(a)
	s.round(b)
	must(os.RemoveAll(filepath.Join(b.path, "d")))
	s.sawEdit(b, []string{"d"})
	s.round(b)
	s.write(b, "d", "a file now")
	s.round(b)
	s.stop(b)
	s.settle()
	if link, err := os.Readlink(filepath.Join(a.path, "d/link")); err != nil || link != "elsewhere" {
		t.Errorf("A has no link: %q %v", link, err)
	}
	if !b.contents(b.show())["a file now"] {
		t.Errorf("B has not what was written there: %v", b.show())
	}
}
