package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rewind"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/watch"
)

// rewinds is what a model knows of checkpoints and of rewinds.
type rewinds struct {
	names int
	to    map[string]int64 // nonce of a head that takes the workspace back → to which generation
}

// mayRewind has a run tell the model when it takes the workspace back, and breaks it where the
// mutant is about that.
func (m *model) mayRewind(r *run, e *Engine) {
	e.taken = func(s rewind.Sides) (rewind.Rewound, error) {
		out, err := s.Tree()
		if m.mutant == "rewind keeps what was added" {
			for _, row := range s.Now.Entries {
				if tree.Find(out.Entries, row.Path) == nil && roomIn(out.Entries, row.Path) {
					out.Entries = append(out.Entries, row)
					tree.Sort(out.Entries)
				}
			}
		}
		r.turning = true
		return out, err
	}
	switch m.mutant {
	case "collection forgets checkpoints":
		e.rules.Pins = false
	case "rewind without a checkpoint":
		tell := e.tell
		e.tenure.tell = func(h *store.Head) {
			tell(h)
			if r.turning {
				h.Checkpoints = nil
			}
		}
	}
}

// roomIn reports whether no file is above a path, and nothing is below it.
func roomIn(entries []tree.Entry, path string) bool {
	return !slices.ContainsFunc(entries, func(e tree.Entry) bool {
		return tree.Within(path, e.Path) && e.Kind != tree.Dir || tree.Within(e.Path, path)
	})
}

// goBack is what somebody does about checkpoints, or a rewind, or days in which old
// generations go.
func (m *model) goBack(p *place) {
	switch n := m.rnd.IntN(10); {
	case n < 3:
		m.names++
		m.checkpoint(p, fmt.Sprintf("c%d", m.names))
	case n == 3:
		m.unname(p)
	case n < 6:
		m.days(p)
	default:
		m.rewind(p)
	}
}

// checkpoint gives what a run has a name: it must be what is there.
func (m *model) checkpoint(p *place, name string) {
	r, edits, there, told := p.run, p.edits, p.show(), map[*member]bool{}
	joined := !r.e.writable() || !r.e.members[0].ready() || r.e.members[0].rep.Check() != nil // what is there may be merged first
	var epoch int64
	if !joined {
		epoch = r.e.lease.Head().Epoch
	}
	if !r.untold && m.rnd.IntN(2) == 0 { // the watch tells of all that was touched
		m.say("%s is told of %v, and that this is all", r.id, p.told)
		for _, member := range r.e.members {
			member.watch.hints.add(p.told)
			told[member] = true
		}
		p.told = watch.Touched{}
	}
	m.drive(r, "makes checkpoint "+name, func(e *Engine) {
		made, err := naming{e.loop}.checkpointOf(context.Background(), pinning{name: name}, told, nil)
		if r.ended || err != nil {
			return
		}
		joined = joined || e.lease.Head().Epoch != epoch // it had been fenced, and found out meanwhile
		if diff := m.sameTree(p, there, m.gens[made.Number].files); diff != "" && p.edits == edits && !joined {
			m.broken("checkpoint: %s is not what was there: %s", name, diff)
		}
	})
}

// unname removes a checkpoint.
func (m *model) unname(p *place) {
	if len(m.heads) == 0 {
		return
	}
	if named := m.heads[len(m.heads)-1].Checkpoints; len(named) > 0 {
		name := named[m.rnd.IntN(len(named))].Name
		m.drive(p.run, "removes checkpoint "+name, func(e *Engine) { _ = naming{e.loop}.removeCheckpoint(context.Background(), name) })
	}
}

// days pass, with collections: what nothing refers to goes. What was there first has a name,
// and one generation after it is of the same hour.
func (m *model) days(p *place) {
	m.names++
	m.checkpoint(p, fmt.Sprintf("c%d", m.names))
	for range 2 {
		for range 3 {
			m.edit(p)
		}
		m.pass(12 * time.Second)
		if p.run != nil {
			m.drive(p.run, "a round", func(e *Engine) { e.round(context.Background()) })
		}
	}
	for range 3 {
		m.pass(50 * time.Hour)
		for _, q := range m.places {
			q.agreed = -1 // the log may be too thin to tell what became of its last commit: then its base is lost
		}
		if p.run == nil {
			return
		}
		m.drive(p.run, "a round, days later", func(e *Engine) {
			e.round(context.Background())
			e.collectAt = time.Time{} // it was taken anew, and waits a while before it collects
			e.round(context.Background())
		})
	}
	m.checkPinned()
}

// rewind takes the workspace back to a generation that there was.
func (m *model) rewind(p *place) {
	if len(m.gens) < 2 {
		return
	}
	r, to, edits := p.run, int64(1+m.rnd.IntN(len(m.gens)-1)), p.edits
	m.names++
	r.turns = to
	m.drive(r, fmt.Sprintf("rewinds to generation %d", to), func(e *Engine) {
		var done Rewound
		err := rewinding{naming{e.loop}, RewindOptions{Generation: to, Before: fmt.Sprintf("before%d", m.names), Say: func(string) {}}}.run(context.Background(), &done)
		if r.ended {
			return
		}
		m.say("%s: rewound to %d: generation %d, %v", r.id, to, done.Generation, err)
		if err == nil && done.Generation > 0 && p.edits == edits && len(done.Replicas[0].Unplaced) == 0 {
			if diff := m.sameTree(p, p.show(), m.gens[done.Generation].files); diff != "" {
				m.broken("rewind: %s is not as generation %d: %s", p.name, to, diff)
			}
		}
	})
	r.turns, r.turning = 0, false
}

// sendsTurn notes a head that takes the workspace back: the next generation after its tree was
// made.
func (m *model) sendsTurn(r *run, h *store.Head) {
	if r.turning && h.Generation > m.heads[len(m.heads)-1].Generation {
		m.to[h.Nonce] = r.turns
	}
}

// checkTurn: what a rewind commits is what the old generation had, and what was there has a
// name. It reports whether a generation is one of a rewind.
func (m *model) checkTurn(h *store.Head, g *generation) bool {
	to, is := m.to[h.Nonce]
	if !is {
		return false
	}
	m.senders[h.Nonce].turning = false
	g.by = nil // nobody's edit: where somebody edits meanwhile it is a conflict
	own := func(path string, _ shown) bool { return tree.Within(path, localfs.Dir) }
	want, got := maps.Clone(m.gens[to].files), maps.Clone(g.files)
	maps.DeleteFunc(want, own)
	maps.DeleteFunc(got, own)
	if !maps.Equal(want, got) {
		m.broken("rewind: generation %d is to be as generation %d was", h.Generation, to)
	}
	before := m.heads[len(m.heads)-2].Replicas["ws"].Manifest // the last is this one
	if !slices.ContainsFunc(h.Checkpoints, func(c store.Checkpoint) bool { return c.Replicas["ws"].Manifest == before }) {
		m.broken("before: what was there before generation %d has no name", h.Generation)
	}
	return true
}

// checkPinned: what a checkpoint refers to is there, all of it.
func (m *model) checkPinned() {
	if len(m.heads) == 0 {
		return
	}
	clear(m.extents) // what was read once may be gone
	for _, c := range m.heads[len(m.heads)-1].Checkpoints {
		files, err := m.read(c.Replicas["ws"].Manifest)
		if err == nil && !maps.Equal(files, m.gens[c.Number].files) {
			err = errors.New("it is another tree")
		}
		if err != nil {
			m.broken("pinned: checkpoint %s: %v", c.Name, err)
		}
	}
}

// TestRewindMutants holds that each promise about checkpoints and rewinds would be seen to be
// broken.
func TestRewindMutants(t *testing.T) {
	sample.Long(t)
	for mutant, promise := range map[string]string{
		"rewind without a checkpoint":    "before:",
		"rewind keeps what was added":    "rewind:",
		"collection forgets checkpoints": "pinned:",
	} {
		t.Run(mutant, func(t *testing.T) {
			dir, err := modelDir()
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			for seed := range uint64(1000) {
				m := tell(seed+1, filepath.Join(dir, "h"), mutant)
				for _, bad := range m.bad {
					if strings.HasPrefix(bad, promise) {
						t.Logf("seed %d: %s", m.seed, bad)
						return
					}
				}
			}
			t.Errorf("1000 histories did not show that %s is broken", promise)
		})
	}
}
