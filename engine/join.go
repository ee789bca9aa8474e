package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of a join at which a crash test kills the process.
var (
	pointJoinBegun  = killpoint.New("join:begun")
	pointJoinPlaced = killpoint.New("join:placed")
	pointJoinPushed = killpoint.New("join:pushed")
)

// JoinOptions say what is joined.
type JoinOptions struct {
	Fork   string // org/project/env
	DryRun bool   // say what would be done, and do nothing
	All    bool   // from the fork point on, also what was joined before
	// Unrelated joins a fork of another workspace too. What its fork point has and is not here
	// counts as deleted here.
	Unrelated bool
	// AllowDelete lets deletions go that are many, those that waited before among them.
	AllowDelete bool
}

// Joining is what a join does at one path of a replica.
type Joining struct {
	Replica string
	replica.Joining
}

// Joined is what a join did, or would do.
type Joined struct {
	Fork       string
	From, To   int64  // generations of the fork: what both had, and what was joined; equal: nothing was new
	Checkpoint string // of what was here before; "" where nothing was done
	Paths      []Joining
	Conflicts  []string // paths whose local version lies aside now
	Left       []string // what could not be joined, and why
	Notes      []string
}

// joiner brings what was done in a fork to the trees here.
type joiner struct{ naming }

// Join merges what a fork has done since it was forked, or joined last, with what is here,
// and pushes the outcome. Before it what is here gets a checkpoint. After an error some of
// it may be done; another Join goes on, and does nothing twice.
func (e *Engine) Join(ctx context.Context, o JoinOptions) (done Joined, err error) {
	var outcome error
	err = e.call(ctx, func() { done, outcome = joiner{naming{e.loop}}.join(ctx, o) })
	if err = errors.Join(err, outcome); err != nil {
		return done, fmt.Errorf("cannot join %s: %w", o.Fork, err)
	}
	return done, nil
}

func (l joiner) join(ctx context.Context, o JoinOptions) (done Joined, err error) {
	if err := l.mayCheckpoint(); err != nil {
		return done, err
	}
	for _, m := range l.members {
		switch {
		case m.Writes() && m.course.paused:
			return done, hint.Wrap(fmt.Errorf("replica %s is paused", m.Name), "coltecd resume %s lets it go on", hint.Word(m.Name))
		case m.Writes() && !m.ready():
			return done, errors.Join(fmt.Errorf("replica %s is not restored yet", m.Name), m.course.err)
		}
	}
	f, err := l.look(ctx, o)
	if err != nil {
		return done, err
	}
	done = Joined{Fork: o.Fork, From: f.base.Number, To: f.now.Number}
	if f.base.Number == f.now.Number {
		return done, nil
	}
	var joints []*joint
	shared := false
	for _, m := range l.members {
		if m.Layout == "mirror" {
			done.Notes = append(done.Notes, fmt.Sprintf("replica %s: it is kept as plain objects, which have no generations: not joined", m.Name))
			continue
		}
		shared = shared || f.shares(m)
		j, err := l.read(ctx, f, m)
		if err != nil {
			return done, fmt.Errorf("replica %s: %w", m.Name, err)
		}
		if j == nil {
			continue
		}
		joints = append(joints, j)
		if err := l.tell(ctx, j, &done); err != nil {
			return done, fmt.Errorf("replica %s: %w", m.Name, err)
		}
	}
	switch {
	case !shared:
		return done, errors.New("it has no replica that this workspace has too")
	case len(joints) == 0: // its last generations changed nothing of what both have
		done.From = done.To
		return done, nil
	}
	if o.DryRun {
		return done, nil
	}
	return done, l.carryOut(ctx, f, joints, o.AllowDelete, &done)
}

// carryOut does what was planned.
func (l joiner) carryOut(ctx context.Context, f *forkedState, joints []*joint, allowDelete bool, done *Joined) error {
	name := "before-join-" + l.now().UTC().Format("20060102T150405.000Z")
	text := cut("before the join of "+f.head.Workspace, store.CheckpointTextMax)
	made, err := l.checkpointOf(ctx, pinning{name: name, text: text, undo: true, drop: true}, nil, nil)
	if err != nil && !(errors.Is(err, account.ErrOnlyHere) && made.Name != "") {
		return err
	}
	done.Checkpoint = made.Name
	pointJoinBegun.Reach()
	for _, j := range joints {
		err := l.run(ctx, j.member, func(ctx context.Context, p *pass) error { return p.join(ctx, j, done) })
		if err != nil {
			return goesOn(fmt.Errorf("replica %s: %w", j.member.Name, err), done)
		}
	}
	pointJoinPlaced.Reach()
	l.askAll(evAsked{allowDelete})
	l.syncAll(ctx, l.members)
	l.askAll(evAnswered{})
	failed := failures(slices.DeleteFunc(slices.Clone(l.members), func(m *member) bool { return !m.Writes() }))
	if failed = withOnlyHere(errors.Join(failed, l.mayCheckpoint()), l.members); failed != nil {
		return l.heldBack(failed, f.head.Workspace, done)
	}
	pointJoinPushed.Reach()
	if len(done.Left) > 0 { // the next join tries it again
		return nil
	}
	l.o.Log.Info("joined", "fork", f.head.Workspace, "generation", f.now.Number, "conflicts", len(done.Conflicts))
	return l.named(ctx, func(h *store.Head) {
		h.Join(f.head.Workspace, store.Join{Lineage: f.head.Lineage, Joined: l.now().UTC(), Generation: f.now})
	})
}

// heldBack says of a join that could not be ended how to go on, or back.
func (l joiner) heldBack(failed error, fork string, done *Joined) error {
	held := 0
	for _, m := range l.members {
		held += m.report.held
	}
	if held == 0 {
		return goesOn(failed, done)
	}
	return hint.Wrap(failed, "what came is here, and %s: coltecd join %s --allow-delete lets them go and ends the join, coltecd rewind %s goes back to what was here before",
		hint.Count(held, "deletion waits", "deletions wait"), hint.Word(fork), hint.Word(done.Checkpoint))
}

// goesOn says of a join that was cut off how to go on, or back.
func goesOn(failed error, done *Joined) error {
	return hint.Wrap(failed, "what came of it is here: the same join goes on, coltecd rewind %s goes back to what was here before", hint.Word(done.Checkpoint))
}

// cut gives the beginning of a text of ASCII.
func cut(text string, most int) string { return text[:min(len(text), most)] }

// forkedState is a fork, as its head says.
type forkedState struct {
	head  *store.Head
	first store.Generation // what it was forked as
	base  store.Generation // what both had
	now   store.Generation
}

// look reads the head of a fork.
func (l joiner) look(ctx context.Context, o JoinOptions) (f *forkedState, err error) {
	ours, fork := l.lease.Head(), o.Fork
	if fork == ours.Workspace || !workspaceName(fork) {
		return nil, errors.New("a fork is named org/project/env, and is another workspace")
	}
	f = &forkedState{}
	err = l.work(ctx, func(ctx context.Context) (err error) {
		f.head, err = store.ReadHead(ctx, l.head, fork)
		return err
	})
	if errors.Is(err, rclone.ErrNotFound) {
		return nil, hint.Wrap(errors.New("there is no such workspace in this bucket"), "coltec ls shows those that there are")
	}
	if err != nil {
		return nil, err
	}
	begun, is := f.head.ForkPoint()
	if !is {
		return nil, fmt.Errorf("%s is not a fork, or has lost what it was made of: coltec fork makes one", fork)
	}
	if of := f.head.Origin; !o.Unrelated && (of.Workspace != ours.Workspace || of.Lineage != ours.Lineage) {
		return nil, hint.Wrap(fmt.Errorf("%s is a fork of %s, and not of %s as it is now: what it began with and is not here would count as deleted here", fork, of.Workspace, ours.Workspace),
			"--unrelated joins it all the same; --dry-run --unrelated says what that would do")
	}
	f.first, f.base = begun, begun
	if j, is := ours.Joined[fork]; is && !o.All && j.Lineage == f.head.Lineage && j.Number <= f.head.Generation {
		f.base = j.Generation
	}
	f.now = store.Generation{Number: f.head.Generation, Epoch: f.head.Epoch, Time: l.now(), Replicas: f.head.Replicas}
	if n := len(f.head.Recent); n > 0 && f.head.Recent[n-1].Number == f.now.Number {
		f.now = f.head.Recent[n-1]
	}
	return f, nil
}

// shares reports whether a replica is one that the fork has too.
func (f *forkedState) shares(m *member) bool {
	return m.Writes() && f.head.Origin.Prefixes[m.Name] != ""
}

// workspaceName reports whether a name is org/project/env.
func workspaceName(name string) bool {
	return tree.ValidPath(name) && strings.Count(name, "/") == 2
}

// joint is what is joined of one replica.
type joint struct {
	member *member
	replica.Joint
	source store.Layout
	apart  int    // rows of what each workspace has for itself
	note   string // for a person; "": none
}

// read reads what a fork has of a replica; nil: nothing that can be joined.
func (l joiner) read(ctx context.Context, f *forkedState, m *member) (*joint, error) {
	prefix, now := f.head.Origin.Prefixes[m.Name], f.now.Replicas[m.Name].Manifest
	if !f.shares(m) || now == "" || f.base.Replicas[m.Name].Manifest == now {
		return nil, nil
	}
	remote, err := l.connect(ctx, scope.Target{Replica: m.Name, Prefix: prefix, Spent: l.spending(&m.cost)})
	if err != nil {
		return nil, err
	}
	j := &joint{member: m}
	err = l.work(ctx, func(ctx context.Context) error {
		claim, err := store.ReadClaim(ctx, remote)
		if err != nil {
			return err
		}
		if claim.Workspace != f.head.Workspace || claim.Replica != m.Name {
			return fmt.Errorf("the prefix that its head names belongs to replica %q of %s", claim.Replica, claim.Workspace)
		}
		return j.fetch(ctx, f, remote)
	})
	return j, err
}

// fetch reads the two trees. What was joined last may be kept no more: what was forked is,
// and to join from there does no harm but to bring back what was deleted here since.
func (j *joint) fetch(ctx context.Context, f *forkedState, remote scope.Remote) error {
	dir := filepath.Join(j.member.rep.StageDir(), "joined")
	defer os.RemoveAll(dir)
	s := store.NewSnapshot(remote, dir)
	j.source = s
	var err error
	if j.Now, err = s.Tree(ctx, f.now.Replicas[j.member.Name].Manifest); err != nil {
		return err
	}
	j.Base = &store.Tree{}
	for _, g := range []store.Generation{f.base, f.first} {
		ref := g.Replicas[j.member.Name].Manifest
		if ref == "" { // the replica is younger
			j.Base, err = &store.Tree{}, nil
			break
		}
		j.Base, err = s.Tree(ctx, ref)
		if !errors.Is(err, rclone.ErrNotFound) || g.Number == f.first.Number {
			break
		}
		j.note = fmt.Sprintf("replica %s: generation %d of the fork, which was joined last, is not kept any more: joined from the fork point", j.member.Name, g.Number)
	}
	if err != nil {
		return err
	}
	for _, t := range []*store.Tree{j.Base, j.Now} {
		n := len(t.Entries)
		t.Entries = slices.DeleteFunc(t.Entries, func(e tree.Entry) bool { return store.OfWorkspace(e.Path) })
		j.apart = n - len(t.Entries)
	}
	return nil
}

// tell says what a join of a replica does.
func (l joiner) tell(ctx context.Context, j *joint, done *Joined) error {
	return l.run(ctx, j.member, func(ctx context.Context, p *pass) error {
		list, err := p.rep.PlanJoin(ctx, j.Joint)
		if err != nil {
			return err
		}
		for _, x := range list {
			done.Paths = append(done.Paths, Joining{p.Name, x})
		}
		j.notes(p.Name, done)
		return nil
	})
}

// notes are what is to be said of what a join leaves out.
func (j *joint) notes(name string, done *Joined) {
	if j.note != "" {
		done.Notes = append(done.Notes, j.note)
	}
	if j.apart > 0 {
		done.Notes = append(done.Notes, fmt.Sprintf("replica %s: .devcontainer is each workspace's own: the fork's is not joined", name))
	}
	kept := 0
	for i := range j.Now.Entries {
		if e := &j.Now.Entries[i]; e.Kind != tree.Dir && tree.Within(e.Path, localfs.Dir+"/"+localfs.Conflicts) {
			kept++
		}
	}
	if kept > 0 {
		done.Notes = append(done.Notes, fmt.Sprintf("replica %s: %s there: coltecd conflicts in the fork lists them", name, hint.Count(kept, "version that lost its name in the fork stays", "versions that lost their name in the fork stay")))
	}
}

// join places what a fork has done.
func (p *pass) join(ctx context.Context, j *joint, done *Joined) error {
	var out *replica.Outcome
	left, err := p.rep.Join(ctx, j.Joint, func(ctx context.Context) (err error) {
		if err = p.wholes.Clear(ctx); err != nil {
			return err
		}
		out, err = p.rep.Settle(ctx, replica.SettleOptions{Source: j.source, AllowDelete: true, GivesBack: true, Progress: p.progress})
		if err != nil {
			return err
		}
		return p.wholes.Settle(ctx, j.source)
	})
	if out == nil {
		return err
	}
	why := map[string]string{}
	for _, u := range out.Problems {
		why[u.Path] = u.Reason
	}
	for _, path := range left {
		reason := why[path]
		if reason == "" {
			reason = "coltecd status says why, or it could not be read"
		}
		done.Left = append(done.Left, fmt.Sprintf("replica %s: %q: %s", p.Name, path, reason))
	}
	if done.Conflicts = append(done.Conflicts, out.Conflicts...); len(out.Conflicts) > 0 {
		p.conflicted(p.Name, out.Conflicts)
	}
	return err
}
