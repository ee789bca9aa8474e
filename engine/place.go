package engine

import (
	"context"
	"fmt"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
)

// place places what waits to be placed. Files that were edited while it ran
// are planned once more.
func (p *pass) place(ctx context.Context) error {
	if p.Direction == scope.PushOnly {
		return nil
	}
	if err := p.wholes.Clear(ctx); err != nil {
		return err
	}
	out, err := p.rep.Settle(ctx, replica.SettleOptions{
		Source: p.origin.source, AllowDelete: p.allowed, Progress: p.progress,
		Allowed: p.brake.allowed, GivesBack: p.Writes(),
	})
	if out != nil {
		p.noteOutcome(out)
	}
	if err != nil {
		return err
	}
	return p.wholes.Settle(ctx, p.origin.source)
}

// noteOutcome notes what a placement did, for status and hooks.
func (p *pass) noteOutcome(out *replica.Outcome) {
	p.holdsHere(append([]string{}, out.Held...))
	p.unplaced = nil
	for _, u := range out.Problems {
		if !out.Idle && !u.Moving && len(p.unplaced) < notesMax { // what was edited meanwhile is planned anew
			p.unplaced = append(p.unplaced, fmt.Sprintf("%q is not here: %s", u.Path, u.Reason))
		}
	}
	p.settled = unknownNotes(p.Name, append(out.Problems, out.Unknown...))
	if n := len(out.Forgotten); n > 0 {
		p.o.Log.Info("excluded now: kept where they are, and synced no more", "replica", p.Name, "paths", n)
		p.noteLeaked(out.Forgotten)
	}
	if len(out.Conflicts) > 0 {
		p.conflicted(p.Name, out.Conflicts)
	}
	if out.Placed+out.Deleted > 0 {
		p.o.Log.Info("placed", "replica", p.Name, "files", out.Placed, "deleted", out.Deleted, "conflicts", len(out.Conflicts))
		if p.o.Synced != nil {
			p.o.Synced(p.Name)
		}
	}
}

// conflicted tells that versions of this machine have lost their names.
func (v *env) conflicted(replica string, paths []string) {
	v.o.Log.Warn("conflicts", "replica", replica, "paths", paths)
	if v.o.Conflicted != nil {
		v.o.Conflicted(replica, paths)
	}
}
