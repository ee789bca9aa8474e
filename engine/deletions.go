package engine

import (
	"context"
	"path"
	"time"

	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// deletions are those that may go with this step: none before everything that was edited
// is in, but for what waits for them, and not those that a person should say a word to.
func (p *pass) deletions(ctx context.Context, staged *replica.Staged) (passing, error) {
	if staged.Loss == nil {
		return passing{}, nil
	}
	goes, pass, err := p.judge(ctx, staged)
	switch {
	case err != nil:
		return passing{}, err
	case !goes:
		p.holds(paths(staged.Lost))
		return passing{}, nil
	}
	p.holds([]string{})
	staged.Goes = true
	return pass, nil
}

// judge reports whether what a step would lose may go, with what there is to say of it.
func (p *pass) judge(ctx context.Context, staged *replica.Staged) (goes bool, out passing, err error) {
	loss := *staged.Loss
	loss.Lately = p.brake.lately(loss.Files, p.now())
	if loss.Gone == 0 {
		return true, out, nil
	}
	taken := 0
	switch {
	case p.allowed:
		loss.Explained, taken = loss.Gone, loss.Gone
	case loss.Many() || loss.Waits():
		taken, loss.Explained, err = p.explained(ctx, staged.Lost, loss.GivesBack)
		if err != nil {
			return false, out, err
		}
	}
	if loss.Waits() {
		return false, out, nil
	}
	p.brake.most = max(p.brake.most-loss.Explained, loss.Files-loss.Gone)
	out.allowed = int64(loss.Explained)
	if loss.Many() && taken < loss.Gone && loss.GivesBack {
		out.many = &store.Passed{
			Count: loss.Gone, Files: loss.Files, Host: p.o.Self.Host, Time: p.now().UTC().Truncate(time.Second),
		}
	}
	return true, out, nil
}

// explained counts those of the files that went of which wholes say why: taken are
// those that a person had taken away by the program that the whole belongs to.
func (p *pass) explained(ctx context.Context, lost []tree.Entry, givesBack bool) (taken, all int, err error) {
	removal, err := p.wholes.Removal(ctx, lost, func(dir string, paths map[string]bool) (int, error) {
		return p.agreed(dir, paths, lost)
	})
	taken, all = removal.Taken, removal.Taken
	if givesBack {
		all += removal.Untracked
	}
	return taken, all, err
}

// agreed counts those of a working tree's paths that both sides agreed on, and that are
// not among what went.
func (p *pass) agreed(dir string, paths map[string]bool, lost []tree.Entry) (int, error) {
	wanted := map[string]bool{}
	for name := range paths {
		wanted[path.Join(dir, name)] = true
	}
	for i := range lost {
		delete(wanted, lost[i].Path)
	}
	rows, err := p.rep.Base().Lookup(wanted)
	return len(rows), err
}

// holds notes the deletions made here that wait.
func (p *pass) holds(names []string) {
	p.held = len(names)
	p.waits.hold(names, nil, p.now())
}

// holdsHere notes the deletions that came from the bucket and wait.
func (p *pass) holdsHere(names []string) {
	p.heldHere = len(names)
	p.waits.hold(nil, names, p.now())
}

func paths(entries []tree.Entry) []string {
	out := make([]string, len(entries))
	for i := range entries {
		out[i] = entries[i].Path
	}
	return out
}
