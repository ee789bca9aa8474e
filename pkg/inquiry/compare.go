package inquiry

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/gitstate"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/store"
)

// compareNow is the word for what is here.
const compareNow = "now"

// compare says how two states differ.
func (r Query) compare(ctx context.Context, req control.CompareRequest) (out control.Comparison, err error) {
	req.B = cmp.Or(req.B, compareNow)
	if req.A == compareNow || req.B == compareNow {
		if err := r.bringNow(ctx); err != nil {
			return out, err
		}
	}
	a, err := r.state(ctx, req.A)
	if err != nil {
		return out, err
	}
	b, err := r.state(ctx, req.B)
	if err != nil {
		return out, err
	}
	under := ""
	if req.Path != "" {
		x, path, err := r.find(req.Path)
		if err == nil {
			err = r.only(x.Name)
		}
		if err != nil {
			return out, err
		}
		under = path
	}
	out = control.Comparison{A: toGeneration(a), B: toGeneration(b), Replicas: map[string][]control.Difference{}, Without: map[string]string{}}
	for _, x := range r.Replicas {
		if why := incomparable(a, b, x.Name, x.Layout); why != "" {
			out.Without[x.Name] = why
			continue
		}
		list, err := r.Differences(ctx, x, a, b, history.Look{Under: under, Texts: req.Diff, Wholes: req.Wholes})
		if err != nil {
			return out, fmt.Errorf("cannot compare replica %q: %w", x.Name, err)
		}
		out.Replicas[x.Name] = each(list, toDifference)
	}
	return out, nil
}

// bringNow pushes what is here, so that the newest generation has it; what is not in it is
// said.
func (r Query) bringNow(ctx context.Context) error {
	if r.Sync == nil {
		r.Say("coltecd is not running: now is the newest generation")
		return nil
	}
	err := r.Sync(ctx)
	if errors.Is(err, account.ErrOnlyHere) {
		r.Say(fmt.Sprintf("now is without what could not be pushed: %v", err))
		return nil
	}
	return err
}

// state finds a generation, or the newest one for now.
func (r Query) state(ctx context.Context, at string) (store.Generation, error) {
	switch at {
	case "":
		return store.Generation{}, errors.New("cannot compare: say what with: a checkpoint, a generation, a time, or now")
	case compareNow:
		at = ""
	}
	return r.At(ctx, at, r.Now)
}

// incomparable says why a replica has not two states to compare.
func incomparable(a, b store.Generation, name, layout string) string {
	switch {
	case layout == "mirror":
		return "it is kept as plain objects, without generations"
	case a.Replicas[name].Manifest == "":
		return fmt.Sprintf("it is not in generation %d", a.Number)
	case b.Replicas[name].Manifest == "":
		return fmt.Sprintf("it is not in generation %d", b.Number)
	}
	return ""
}

func toDifference(d history.Difference) control.Difference {
	return control.Difference{
		Path: d.Path, What: d.What, Kind: d.Kind, Before: d.Before, After: d.After, Diff: d.Diff, Note: d.Note,
		Refs:    each(d.Refs, func(c history.RefChange) control.RefChange { return control.RefChange(c) }),
		Commits: each(d.Commits, toCommits),
		Tables:  each(d.Tables, toTable),
	}
}

func toCommits(c gitstate.Commits) control.CommitChange { return control.CommitChange(c) }

func toTable(t history.TableChange) control.TableChange { return control.TableChange(t) }
