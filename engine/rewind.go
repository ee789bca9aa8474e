package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/rewind"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of a rewind at which a crash test kills the process.
var (
	pointKept    = killpoint.New("rewind:kept")
	pointPrinted = killpoint.New("rewind:published")
	pointTurned  = killpoint.New("rewind:committed")
	pointRewound = killpoint.New("rewind:placed")
)

// RewindOptions say what a workspace is taken back to.
type RewindOptions struct {
	Generation int64  // a kept one
	Replica    string // the one that Under is in; "" for all
	Under      string // a path of that: what is at it and below; "" for all of it
	Before     string // name of the checkpoint that what is there becomes first
	Text       string // what it is for, for people
	Say        func(string)
}

// Rewound is what a rewind did.
type Rewound struct {
	Before     store.Checkpoint // what was there; without a name nothing had to be done
	Generation int64            // that equals the old one; 0: nothing was committed
	Replicas   []RewoundReplica
}

// RewoundReplica is what a rewind did to one replica.
type RewoundReplica struct {
	Name  string
	Stays string // why it is as it was; "": it was taken back
	rewind.Count
	Unplaced []string // what is not here yet, and why
}

// Rewind has a new generation equal an old one, and brings the trees here to it. What is
// there now becomes a checkpoint before anything else. What is edited while it runs stays,
// as it does in any merge. After an error that comes with a Generation the bucket is taken
// back, and what is missing here comes by itself.
func (e *Engine) Rewind(ctx context.Context, o RewindOptions) (done Rewound, err error) {
	var outcome error
	err = e.call(ctx, func() { outcome = rewinding{naming{e.loop}, o}.run(ctx, &done) })
	return done, errors.Join(err, outcome)
}

// rewinding is one rewind.
type rewinding struct {
	naming
	want RewindOptions
}

func (r rewinding) run(ctx context.Context, done *Rewound) error {
	if err := r.mayCheckpoint(); err != nil {
		return fmt.Errorf("cannot rewind: %w", err)
	}
	then, err := r.lease.Kept(ctx, r.want.Generation)
	if err != nil {
		return fmt.Errorf("cannot rewind: %w", err)
	}
	made, left := r.keep(ctx, then)
	if made.Name == "" {
		return fmt.Errorf("cannot rewind: %w", left)
	}
	pointKept.Reach()
	turns, err := r.prepareAll(ctx, then, done)
	if err == nil && len(turns) == 0 {
		return errors.Join(r.removeCheckpoint(ctx, made.Name), left)
	}
	r.want.Say(fmt.Sprintf("checkpoint %s is generation %d: coltecd rewind %s goes back to it", made.Name, made.Number, hint.Word(made.Name)))
	if err != nil {
		return fmt.Errorf("cannot rewind: %w", err)
	}
	done.Before = made
	pointPrinted.Reach()
	if err := r.turn(ctx, turns); err != nil {
		return fmt.Errorf("cannot rewind: %w", err)
	}
	pointTurned.Reach()
	done.Generation = r.generation()
	r.want.Say(fmt.Sprintf("generation %d equals generation %d: bringing it here", done.Generation, then.Number))
	r.o.Log.Info("rewound", "generation", done.Generation, "to", then.Number, "before", made.Name)
	err = r.bring(ctx, turns, done)
	pointRewound.Reach()
	stays := hint.Wrap(only(left, account.ErrOnlyHere), "what is named is not in checkpoint %s, and was not taken back: it is as it was", hint.Word(made.Name))
	return errors.Join(err, stays)
}

// keep makes what is there a checkpoint. An error beside one says what is not in it. Deletions
// that wait for a person's word go with it in the replicas that are taken back, for they are what
// is; in others nothing would bring them back. Of a part, those beside it would go too. So go
// repositories without a git directory: else the bucket would have them as they are to be.
func (r rewinding) keep(ctx context.Context, then store.Generation) (store.Checkpoint, error) {
	for _, m := range r.members {
		if r.want.Under != "" && m.report.held > 0 {
			return store.Checkpoint{}, hint.Wrap(fmt.Errorf("%s in replica %s", hint.Count(m.report.held, "deletion waits for a word", "deletions wait for a word"), m.Name),
				"coltecd sync --allow-delete lets them go, and coltecd rewind without --path takes them back")
		}
	}
	taken := map[*member]bool{}
	for _, m := range r.members {
		if m.rep == nil || !r.wants(m) || r.stays(m, then) != "" {
			continue
		}
		taken[m] = r.want.Under == ""
		m.rep.Removed = func(at string) bool { return r.want.Under == "" || tree.Within(at, r.want.Under) }
		defer func() { m.rep.Removed = nil }()
	}
	made, err := r.checkpointOf(ctx, pinning{name: r.want.Before, text: r.want.Text, undo: true}, nil, taken)
	if err != nil && !errors.Is(err, account.ErrOnlyHere) {
		return store.Checkpoint{}, err
	}
	return made, err
}

// only is an error of a kind, and nil instead of others.
func only(err, kind error) error {
	if errors.Is(err, kind) {
		return err
	}
	return nil
}

// turned is a replica's tree that is in the bucket, and is not named by the head yet.
type turned struct {
	*member
	ref store.Ref
	rewind.Count
}

// prepareAll publishes the trees of all replicas that are taken back and differ.
func (r rewinding) prepareAll(ctx context.Context, then store.Generation, done *Rewound) (turns []turned, err error) {
	for _, m := range r.members {
		if !r.wants(m) {
			continue
		}
		stays := r.stays(m, then)
		if stays == "" {
			t, err := r.prepareOne(ctx, m, then)
			if err != nil {
				return nil, fmt.Errorf("replica %s: %w", m.Name, err)
			}
			if !t.Same {
				turns = append(turns, t)
				continue
			}
			stays = "nothing differs"
		}
		done.Replicas = append(done.Replicas, RewoundReplica{Name: m.Name, Stays: stays})
	}
	return turns, nil
}

// wants reports whether a replica is to be taken back, in whole or in part.
func (r rewinding) wants(m *member) bool { return r.want.Replica == "" || r.want.Replica == m.Name }

// stays says why a replica cannot be taken back; "": it can.
func (r rewinding) stays(m *member, then store.Generation) string {
	switch {
	case m.Layout != "snapshot":
		return "it is kept as plain objects, without generations"
	case m.Direction != scope.Bidirectional:
		return "it goes one way: " + string(m.Direction)
	case m.course.paused:
		return "it is paused"
	case then.Replicas[m.Name].Manifest == "":
		return fmt.Sprintf("it is not in generation %d", then.Number)
	case !r.pushes(m):
		return "it is not restored"
	}
	return ""
}

// prepareOne publishes the tree of a replica that is taken back, unless it is the one that
// is there.
func (r rewinding) prepareOne(ctx context.Context, m *member, then store.Generation) (t turned, err error) {
	head := r.lease.Head()
	t.member = m
	err = r.loop.run(ctx, m, func(ctx context.Context, p *pass) (err error) {
		t.ref, t.Count, err = p.rewind(ctx, head, then, r.want.Under, r.taken)
		return err
	})
	return t, err
}

// rewind makes the tree of a replica that is taken back, and brings its manifest to the
// bucket.
func (p *pass) rewind(ctx context.Context, head *store.Head, g store.Generation, under string, taken func(rewind.Sides) (rewind.Rewound, error)) (ref store.Ref, c rewind.Count, err error) {
	dir, err := os.MkdirTemp("", "coltec-rewind-") // what is read of the past must not put out what is known of now
	if err != nil {
		return ref, c, err
	}
	defer os.RemoveAll(dir)
	then, err := store.NewSnapshot(p.remote, dir).Tree(ctx, g.Replicas[p.Name].Manifest)
	if err != nil {
		return ref, c, err
	}
	from := head.Replicas[p.Name].Manifest
	now, err := p.layout.Tree(ctx, from) // last: the next manifest is a difference from it
	if err != nil {
		return ref, c, err
	}
	out, err := taken(rewind.Sides{Now: now, Then: then, Filter: p.Filter, Wholes: p.Wholes, Under: under})
	if err != nil || out.Count.Same {
		return ref, out.Count, err
	}
	ref, err = p.layout.Publish(ctx, store.Publication{
		Entries: tree.All(out.Entries), Filters: p.Filter.Rules(), From: from, Workspace: p.o.Workspace.String(), Replica: p.Name,
		Epoch: head.Epoch, Generation: head.Generation + 1, Older: then.Older.Within(under),
	})
	ref.Filters = p.Filter.Hash()
	return ref, out.Count, err
}

// turn has the head name the trees. Whatever comes of that write, each replica is compared
// with the head before anything of it is pushed again: a base is of the generation before.
func (r rewinding) turn(ctx context.Context, turns []turned) error {
	if err := r.lease.ResolveDoubt(ctx); err != nil {
		return err
	}
	refs := map[string]store.Ref{}
	for _, t := range turns {
		refs[t.Name] = t.ref
		r.stepMember(t.member, evDemoted{})
		r.stepMember(t.member, evSoon{})
	}
	err := r.lease.Commit(ctx, store.NewID(), refs, func(h *store.Head) {
		for _, t := range turns {
			h.Pass(t.Name, int64(t.Lost), nil) // they were asked for
			if r.want.Under == "" {
				h.PutBack(t.Name)
			}
		}
		h.DropUndos()
	})
	if err != nil && !r.writable() {
		r.noteAttempt(ctx, err)
	}
	return err
}

// missingMost bounds how much a rewind names.
const missingMost = 100

// missing is what of the tree that was placed is not here yet, wholes among it, and why.
func (m *member) missing() []string {
	list := slices.Clone(m.report.unplaced)
	for _, at := range replica.Waiting(m.rep) {
		name := strconv.Quote(at)
		named := func(line string) bool { return strings.Contains(line, name) }
		if slices.ContainsFunc(list, named) || len(list) >= missingMost {
			continue
		}
		why := name + " is not here: coltecd status says why"
		if notes := m.wholes.Notes(); slices.ContainsFunc(notes, named) {
			why = notes[slices.IndexFunc(notes, named)]
		}
		list = append(list, why)
	}
	return list
}

// bring places the trees here, and pushes what was edited meanwhile.
func (r rewinding) bring(ctx context.Context, turns []turned, done *Rewound) error {
	r.restore(ctx)
	var errs []error
	for _, t := range turns {
		if !t.ready() {
			errs = append(errs, fmt.Errorf("replica %s: %w", t.Name, errors.Join(t.course.err, ctx.Err())))
		}
	}
	r.push(ctx)
	r.surveyDue(ctx)
	r.publish()
	for _, t := range turns {
		done.Replicas = append(done.Replicas, RewoundReplica{Name: t.Name, Count: t.Count, Unplaced: t.missing()})
	}
	if len(errs) == 0 {
		return nil
	}
	return hint.Wrap(fmt.Errorf("generation %d is as it was, and not all of it is here yet: %w", done.Generation, errors.Join(errs...)),
		"what is missing comes by itself: see coltecd status")
}
