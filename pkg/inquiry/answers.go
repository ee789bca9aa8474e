package inquiry

import (
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/store"
)

// each is a list in other words; nil stays nil, which JSON tells from an empty one.
func each[A, B any](list []A, to func(A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, to(a))
	}
	return out
}

func toGeneration(g store.Generation) control.Generation {
	out := control.Generation{Number: g.Number, Epoch: g.Epoch, Nonce: g.Nonce, Time: g.Time}
	if g.Replicas != nil {
		out.Replicas = map[string]control.Tree{}
	}
	for name, ref := range g.Replicas {
		out.Replicas[name] = control.Tree(ref)
	}
	return out
}

// Checkpoint is one in the words of the socket.
func Checkpoint(c store.Checkpoint) control.Checkpoint {
	return control.Checkpoint{Name: c.Name, Text: c.Text, Host: c.Host, Made: c.Made, Generation: toGeneration(c.Generation)}
}

func toOlder(o *store.Older) *control.Older {
	if o == nil {
		return nil
	}
	return &control.Older{Count: o.Count, Paths: each(o.Paths, func(p store.OlderPath) control.OlderPath { return control.OlderPath(p) })}
}

func toVersion(v history.Version) control.Version { return control.Version(v) }

func toChange(c history.Change) control.Change { return control.Change(c) }

// Placed is what a restore did in the words of the socket.
func Placed(list []*history.Placed) []control.Placed { return each(list, toPlaced) }

func toPlaced(p *history.Placed) control.Placed {
	return control.Placed{Replica: p.Replica, Dir: p.Dir, Generation: p.Generation, Placed: p.Placed, Removed: p.Removed, Problems: p.Problems, Older: toOlder(p.Older)}
}

func toVerdict(v *history.Verdict) control.Verdict {
	return control.Verdict{
		Replica: v.Replica, Generations: v.Generations, Objects: v.Objects, Bytes: v.Bytes,
		Orphans: v.Orphans, OrphanBytes: v.OrphanBytes, Missing: v.Missing,
		Lost:    each(v.Lost, func(l history.Lost) control.Lost { return control.Lost(l) }),
		Damaged: v.Damaged, Repaired: v.Repaired, Note: v.Note,
		Failed: v.Failed, Opened: v.Opened, Broken: each(v.Broken, func(b history.Broken) control.Broken { return control.Broken(b) }),
	}
}

func toGarbage(g history.Garbage) control.Garbage {
	out := control.Garbage{
		Replica: g.Replica, Kept: g.Kept, Dropped: g.Dropped, Needed: control.Amount(g.Needed), Condemned: control.Amount(g.Condemned),
		Garbage: control.Amount(g.Survey.Garbage), Young: control.Amount(g.Young), Failed: g.Failed,
	}
	if !g.Deletable.IsZero() {
		out.Deletable = &g.Deletable
	}
	return out
}
