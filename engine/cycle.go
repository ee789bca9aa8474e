package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// The steps of a cycle at which a crash test kills the process.
var (
	pointClaimed   = killpoint.New("acquire:claimed")
	pointReceived  = killpoint.New("acquire:received")
	pointStaged    = killpoint.New("push:staged")
	pointSent      = killpoint.New("push:sent")
	pointPublished = killpoint.New("push:published")
	pointPrepared  = killpoint.New("commit:prepared")
	pointCommitted = killpoint.New("commit:committed")
	pointResolved  = killpoint.New("commit:resolved")
)

// connect opens a member's prefix, once.
func (e *Engine) connect(ctx context.Context, m *member) error {
	if m.remote != nil {
		return nil
	}
	remote, err := e.o.Connect(ctx, scope.Target{Replica: m.Name, Plain: m.Layout == "mirror", Spent: e.spending(&m.cost)})
	if err != nil {
		return &blockedError{err}
	}
	m.remote = remote
	m.rep = e.newReplica(m)
	m.layout = m.layoutOf(m.rep, remote)
	m.rep.Layout = m.layout
	return nil
}

// newReplica makes the replica of a member, and what carries its repositories.
func (e *Engine) newReplica(m *member) *replica.Replica {
	rep := replica.New(e.replicaOptions(m))
	m.git.Serve(rep)
	return rep
}

func (e *Engine) replicaOptions(m *member) replica.Options {
	return replica.Options{
		Name: m.Name, Workspace: e.o.Workspace.String(), Path: m.Path, Host: e.o.Self.Host,
		Filter: m.Filter, Within: m.Within, PushOnly: m.Direction == scope.PushOnly, Pristine: replica.AsRendered(m.Path, e.o.Rendered),
		FileSystem: e.clock.files, Now: e.clock.Now, Git: e.repositories(m),
	}
}

// repositories makes what carries a member's repositories; a nil interface when nothing
// does.
func (e *Engine) repositories(m *member) replica.Git {
	if m.Git == scope.GitAsFiles {
		return nil
	}
	m.git = repositories.New(repositories.Options{
		Replica: m.Name, Path: m.Path, Env: e.o.Workspace.Env, Host: e.o.Self.Host, Log: e.o.Log, Now: e.clock.Now,
		Came:     func(path string) bool { return m.rep == nil || m.rep.Repositories().Agrees(path) },
		Progress: e.progress(m),
		Doing:    func(what string) { e.underWay(m, func(r *status.Replica) { r.Doing = what }) },
	})
	if m.Git == scope.GitCounted {
		return m.git.Counted()
	}
	return m.git
}

func (m *member) layoutOf(rep *replica.Replica, remote scope.Remote) store.Layout {
	if m.Layout == "mirror" {
		return store.NewMirror(remote)
	}
	return store.NewSnapshot(remote, filepath.Join(rep.Dir(), "manifests"))
}

// restore brings every writer that is not ready to the state of the head.
func (e *Engine) restore(ctx context.Context) {
	e.unready()
	for _, m := range e.members {
		if !e.writable() {
			return
		}
		if m.Writes() && !m.ready && e.isDue(m) && ctx.Err() == nil {
			e.cycle(ctx, m, e.acquireOne)
			if m.err == nil {
				m.soon() // what was edited meanwhile goes at once
			}
		}
	}
}

// acquireOne makes a writer ready: its prefix is ours, its tree shows what the
// head says, and every difference is a local edit.
func (e *Engine) acquireOne(ctx context.Context, m *member) error {
	defer m.forget()
	if err := e.connect(ctx, m); err != nil {
		return err
	}
	head := e.lease.Head()
	claim, err := e.stake(ctx, m)
	if err != nil {
		return err
	}
	m.lineage = claim.Lineage
	m.brake.allowed = head.Deletions[m.Name].Allowed
	pointClaimed.Reach()
	if err := e.open(m, head.Lineage, head.Generation); err != nil {
		return err
	}
	if err := e.resolveOne(ctx, m); err != nil {
		return err
	}
	if m.strays(head) {
		if err := e.startOver(m); err != nil {
			return err
		}
	}
	err = e.work(ctx, func(ctx context.Context) error { return e.receive(ctx, m, head) })
	if err != nil {
		return err
	}
	if err := e.surpass(ctx, m); err != nil {
		return err
	}
	m.ready, m.epoch = true, e.lease.Head().Epoch
	m.openForWatch()
	m.count()
	e.o.Log.Info("replica restored", "replica", m.Name, "generation", head.Generation, "without", len(m.settleNotes))
	return nil
}

// strays reports whether the log has another generation of the number that the base is of:
// the bucket was set back, and somebody went on from there.
func (m *member) strays(head *store.Head) bool {
	base := m.rep.Base().Header
	return base.Ref != "" && slices.ContainsFunc(head.Recent, func(g store.Generation) bool {
		ref := g.Replicas[m.Name].Manifest
		return g.Number == base.Generation && ref != "" && ref != base.Ref
	})
}

// open opens the local tree and clears what an interrupted run left. A tree
// that was there in this run and is missing now is not made anew: an unmounted
// volume is not an empty one.
func (e *Engine) open(m *member, lineage string, generation int64) error {
	if m.rep.Base() != nil {
		if err := m.rep.Present(); err != nil {
			return err
		}
	} else if m.Ground != nil {
		if err := m.Ground(); err != nil {
			return &blockedError{err}
		}
	}
	if err := m.rep.Open(lineage, generation); err != nil {
		return err
	}
	if why := m.rep.Stranger(); why != "" {
		e.o.Log.Warn("nothing is deleted, here or there: the local tree and the bucket are joined", "replica", m.Name, "why", why)
	}
	return m.rep.Tidy(e.now().Add(-e.o.KeepReplaced))
}

// receive brings the tree of the head here.
func (e *Engine) receive(ctx context.Context, m *member, head *store.Head) error {
	ref, published := head.Replicas[m.Name]
	source := m.layout
	m.plain = nil
	switch {
	case !published || head.Adopted[m.Name] != "":
		var err error
		if source, err = e.receivePlain(ctx, m, head); err != nil {
			return err
		}
	case m.Layout == "snapshot" && m.rep.Received(ref.Manifest):
	case m.Layout == "mirror":
		if err := e.receiveListing(ctx, m, head); err != nil {
			return err
		}
	default:
		t, err := m.layout.Tree(ctx, ref.Manifest)
		if err != nil {
			return err
		}
		if err := m.rep.Receive(t, ref.Manifest, head.Epoch, head.Generation); err != nil {
			return err
		}
	}
	m.source = source
	pointReceived.Reach()
	if m.Direction == scope.PushOnly {
		return m.rep.Base().Disown()
	}
	return e.settle(ctx, m)
}

// receiveListing receives the tree of a mirror. Others may write into it, so it
// is listed at each interval, but seldom enough that it costs one request per
// interval on average: a listing is one for each thousand objects.
func (e *Engine) receiveListing(ctx context.Context, m *member, head *store.Head) error {
	t, err := m.layout.Tree(ctx, "")
	if err != nil {
		return err
	}
	m.listAt = e.now().Add(m.Interval * time.Duration(len(t.Entries)/1000))
	empty := len(t.Entries) == 0 // as it came: what a listing has no word for is added to it
	if differs, err := m.rep.Differs(t); err != nil || !differs {
		return err
	}
	if err := m.rep.Receive(t, "", head.Epoch, head.Generation); err != nil {
		return err
	}
	if empty {
		// A store cannot tell an empty prefix from a missing one: nothing is
		// deleted here on that evidence, and what is here goes there again.
		return m.rep.Base().Disown()
	}
	return nil
}

// settle places what waits to be placed. Files that were edited while it ran
// are planned once more.
func (e *Engine) settle(ctx context.Context, m *member) error {
	if m.Direction == scope.PushOnly {
		return nil
	}
	defer func() { m.placesAgain = false }()
	if m.rep.Base().Header.Restored && !m.rep.Waiting() {
		m.settleNotes, m.unplaced = unknownNotes(m.Name, m.rep.Misnamed()), nil
		e.holdsHere(m, []string{})
		return m.settleRepositories(ctx)
	}
	out, err := m.rep.Settle(ctx, replica.SettleOptions{
		Source: m.source, AllowDelete: m.allowDelete, Progress: e.progress(m),
		Allowed: m.brake.allowed, GivesBack: m.Writes(),
	})
	if out != nil {
		e.settled(m, out)
	}
	if err != nil {
		return err
	}
	return m.settleRepositories(ctx)
}

// settleRepositories settles those that are carried as wholes.
func (m *member) settleRepositories(ctx context.Context) error {
	if m.Git != scope.GitWhole {
		return nil
	}
	return m.git.Settle(ctx, m.source)
}

// settled notes what a placement did, for status and hooks.
func (e *Engine) settled(m *member, out *replica.Outcome) {
	e.holdsHere(m, append([]string{}, out.Held...))
	m.unplaced = nil
	for _, u := range out.Problems {
		if !u.Moving && len(m.unplaced) < notesMax { // what was edited meanwhile is planned anew
			m.unplaced = append(m.unplaced, fmt.Sprintf("%q is not here: %s", u.Path, u.Reason))
		}
	}
	m.settleNotes = unknownNotes(m.Name, append(out.Problems, out.Unknown...))
	if out.Forgotten > 0 {
		e.o.Log.Info("excluded now: kept where they are, and synced no more", "replica", m.Name, "paths", out.Forgotten)
	}
	if len(out.Conflicts) > 0 {
		e.o.Log.Warn("conflicts", "replica", m.Name, "paths", out.Conflicts)
		if e.o.Conflicted != nil {
			e.o.Conflicted(m.Name, out.Conflicts)
		}
	}
	if out.Placed+out.Deleted > 0 {
		e.o.Log.Info("placed", "replica", m.Name, "files", out.Placed, "deleted", out.Deleted, "conflicts", len(out.Conflicts))
		if e.o.Synced != nil {
			e.o.Synced(m.Name)
		}
	}
}

// pull is one cycle of a pull-only replica.
func (e *Engine) pull(ctx context.Context, m *member) error {
	if err := e.connect(ctx, m); err != nil {
		return err
	}
	return e.work(ctx, func(ctx context.Context) error {
		ref, err := history.Follow(ctx, &m.Replica, m.remote, e.root, e.o.HeadRoot)
		if err != nil {
			return err
		}
		if m.rep.Base() == nil || m.rep.Lost() || m.rep.Base().Header.Lineage != ref.Lineage {
			if err := e.open(m, ref.Lineage, ref.Generation); err != nil {
				return err
			}
		}
		t, err := m.layout.Tree(ctx, ref.Manifest)
		if err != nil {
			return err
		}
		if len(t.Entries) == 0 && m.rep.Base().Totals().Files > 0 {
			// An object store cannot tell an empty prefix from a missing one.
			m.scanNotes = []string{fmt.Sprintf("replica %s: the remote prefix is empty; nothing is deleted here on that evidence", m.Name)}
			m.ready = true
			return nil
		}
		differs, err := m.rep.Differs(t)
		if err == nil && differs {
			err = m.rep.Receive(t, ref.Manifest, 0, ref.Generation)
		}
		if err != nil {
			return err
		}
		m.source, m.brake.allowed = m.layout, ref.Allowed
		if err := e.settle(ctx, m); err != nil {
			return err
		}
		if err := m.rep.Trust(); err != nil {
			return err
		}
		m.ready = true // not before all is placed: who waits for the restore looks at it
		return nil
	})
}

// push brings what changed into the bucket: every replica that is due, and one
// commit for all of them. It says whether there is more than fitted into a step.
func (e *Engine) push(ctx context.Context) (more bool) {
	e.unready()
	var ready []*prepared
	for _, m := range e.members {
		if !e.writable() {
			abandon(ready)
			return false
		}
		if !m.Writes() || !m.ready || !e.isDue(m) || ctx.Err() != nil {
			continue
		}
		e.cycle(ctx, m, func(ctx context.Context, m *member) error {
			p, err := e.prepare(ctx, m)
			if p != nil {
				ready = append(ready, p)
			}
			return err
		})
	}
	if len(ready) == 0 {
		return false
	}
	if err := e.commit(ctx, ready); err != nil {
		for _, p := range ready {
			e.note(p.member, err)
		}
		e.noteLease(err)
		return false
	}
	return slices.ContainsFunc(ready, func(p *prepared) bool { return p.more })
}

// abandon drops what cannot be committed now: the next cycle finds it again.
func abandon(steps []*prepared) {
	for _, p := range steps {
		p.step.Delta.Spool.Close()
		p.member.soon()
	}
}

// prepared is a replica's next generation, all of it in the bucket but not
// yet the head's.
type prepared struct {
	member *member
	step   replica.Step
	ref    store.Ref
	more   bool            // the scan has more than fitted into one step
	left   account.Account // what is only here once it is committed

	adopted string // key of the record of what was adopted; "" for none
	passing passing
}

// prepare scans, stages, sends and publishes. It is nil when nothing changed.
func (e *Engine) prepare(ctx context.Context, m *member) (*prepared, error) {
	if err := m.rep.Present(); err != nil {
		return nil, err
	}
	if m.rep.Lost() {
		m.ready = false
		return nil, fmt.Errorf("the base in %s was removed, or the directory replaced: nothing is pushed before it was compared with the bucket again", m.Path)
	}
	// A commit that was in doubt may have been settled beside other work, and one of
	// several bases may have failed to note it.
	if err := e.resolveOne(ctx, m); err != nil {
		return nil, err
	}
	if !m.ready { // it started over
		return nil, nil
	}
	var p *prepared
	head := e.lease.Head()
	epoch, generation := head.Epoch, head.Generation+1
	m.brake.allowed = head.Deletions[m.Name].Allowed
	if s, ok := m.layout.(*store.Snapshot); ok {
		s.SetCollection(head.Collection)
	}
	err := e.work(ctx, func(ctx context.Context) (err error) {
		if m.Layout == "mirror" && m.Direction == scope.Bidirectional && !e.now().Before(m.listAt) {
			if err := e.receiveListing(ctx, m, head); err != nil {
				return err
			}
		}
		if err := e.settle(ctx, m); err != nil {
			return err
		}
		p, err = e.stage(ctx, m, epoch, generation)
		return err
	})
	return p, err
}

// scan walks what is to be walked of a member's tree, and notes what is only here; nil
// where nothing of that is to be sent now.
func (e *Engine) scan(ctx context.Context, m *member) (*replica.Changes, error) {
	// What follows reads the base in order: its rows need not be in memory.
	if err := m.rep.Base().Unload(); err != nil {
		e.o.Log.Warn("the base stays in memory", "replica", m.Name, "error", err)
	}
	walked := e.toWalk(m)
	found, err := m.rep.ScanIn(ctx, walked)
	if err != nil {
		return nil, err
	}
	m.know(m.seen(found, account.Deferred, "it is not sent yet"), e.now())
	m.unsure = false
	if m.found == nil {
		first := len(found.Edited) + len(found.Gone)
		m.found = &first
	}
	e.underWay(m, func(r *status.Replica) { r.Pending, r.OnlyHere = m.here.Count(), m.here.Parts() })
	m.scanNotes = unknownNotes(m.Name, found.Unknown)
	m.behind = m.older(found.Edited, found.Unknown)
	if found.Empty() && !m.anew {
		e.holds(m, []string{})
		return nil, m.trust()
	}
	if m.motion.puts(found, e.now()) {
		m.hints.put(walked, found)
		return nil, nil
	}
	m.motion.step(found, e.now())
	return found, nil
}

// stage makes the next generation of a member, and brings all of it but its name in the
// head to the bucket; nil where there is nothing new.
func (e *Engine) stage(ctx context.Context, m *member, epoch, generation int64) (p *prepared, err error) {
	found, err := e.scan(ctx, m)
	if found == nil || err != nil {
		return nil, err
	}
	dir := filepath.Join(m.rep.Stage(), "out")
	if err = os.RemoveAll(dir); err != nil {
		return nil, err
	}
	batch := m.layout.Begin(dir, epoch, e.progress(m))
	defer func() {
		if err != nil { // the next cycle stages anew: until then the disk has the room
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	staged, err := e.send(ctx, m, batch, found)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p == nil {
			staged.Spool.Close()
		}
	}()
	gone, passing, err := e.deletions(ctx, m, found, staged)
	if err == nil {
		err = m.trust()
	}
	var waits []localfs.Unknown
	if err == nil {
		waits, err = m.rep.Withhold(staged, gone, found.Forgotten)
	}
	if err != nil {
		return nil, err
	}
	m.scanNotes = append(m.scanNotes, unknownNotes(m.Name, waits)...)
	// What moves the next walk looks at, whatever it is of.
	m.leftOver = len(staged.Rest)+len(unread(staged.Unsettled))+len(waits)+m.held > 0
	m.behind = m.older(staged.Rest, staged.Unsettled, found.Unknown, waits)
	p, err = e.publishStep(ctx, m, staged, gone, found.Forgotten, epoch, generation)
	if err != nil {
		return nil, err
	}
	left := m.remains(found, staged, waits)
	if p == nil {
		m.know(left, e.now())
		return nil, nil
	}
	p.left, p.passing = left, passing
	p.step.Delta.Header.Allowed += passing.allowed
	return p, nil
}

// send stages what was edited, and brings its content to the bucket.
func (e *Engine) send(ctx context.Context, m *member, batch store.Batch, found *replica.Changes) (*replica.Staged, error) {
	staged, err := m.rep.StageEdits(ctx, batch, found.Staging())
	if err != nil {
		return nil, err
	}
	m.scanNotes = append(m.scanNotes, unknownNotes(m.Name, unread(staged.Unsettled))...)
	pointStaged.Reach()
	if err := batch.Send(ctx); err != nil {
		staged.Spool.Close()
		return nil, err
	}
	pointSent.Reach()
	return staged, nil
}

func (e *Engine) publishStep(ctx context.Context, m *member, staged *replica.Staged, gone []tree.Entry, forgotten []string, epoch, generation int64) (_ *prepared, err error) {
	if err := m.rep.Base().Refresh(staged.Refreshed); err != nil {
		return nil, err
	}
	if staged.Len()+len(gone)+len(forgotten) == 0 && !m.anew {
		return nil, nil
	}
	p := &prepared{member: m, more: len(staged.Rest) > 0, left: m.here}
	if p.step, err = m.rep.Next(staged, gone, forgotten, epoch, generation); err != nil {
		return nil, err
	}
	p.step.Publication.Older = m.behind
	if m.plain != nil {
		if err := e.recordListing(ctx, p); err != nil {
			return nil, err
		}
	}
	if p.ref, err = m.layout.Publish(ctx, p.step.Publication); err != nil {
		return nil, err
	}
	pointPublished.Reach()
	p.ref.Filters = m.Filter.Hash()
	p.step.Delta.Header.Ref = p.ref.Manifest
	return p, nil
}

// commit publishes all prepared replicas as one generation, with other changes of
// the head in the same write.
func (e *Engine) commit(ctx context.Context, steps []*prepared, changes ...func(*store.Head)) error {
	if err := e.lease.Settle(ctx); err != nil { // a renewal beside the work may be in doubt
		return err
	}
	nonce := store.NewID()
	refs := map[string]store.Ref{}
	for _, p := range steps {
		if err := p.member.rep.Base().Prepare(nonce, p.step.Delta); err != nil {
			return err
		}
		refs[p.member.Name] = p.ref
	}
	pointPrepared.Reach()
	if amend := e.amended(steps); amend != nil && len(changes) == 0 {
		changes = append(changes, amend)
	}
	if err := e.lease.Commit(ctx, nonce, refs, func(h *store.Head) {
		adoptions(steps)(h)
		tellPassed(steps)(h)
		for _, change := range changes {
			change(h)
		}
	}); err != nil {
		if errors.Is(err, store.ErrInDoubt) {
			return err // the bases stay pending until it is known
		}
		return errors.Join(err, e.resolve(ctx))
	}
	pointCommitted.Reach()
	e.renewed()
	for _, p := range steps {
		if err := p.member.rep.Base().Resolve(true); err != nil {
			return err
		}
		e.pushed(p)
		p.step.Delta.Spool.Close()
	}
	pointResolved.Reach()
	e.publish()
	return nil
}

// pushed notes that a step is in the bucket.
func (e *Engine) pushed(p *prepared) {
	m := p.member
	m.know(p.left, e.now())
	m.anew = false
	e.adopted(m)
	if p.more {
		m.soon()
	}
	m.count()
	e.o.Log.Info("committed", "replica", m.Name, "generation", e.lease.Head().Generation,
		"changes", p.step.Delta.Len(), "deleted", p.step.Deleted)
	if e.o.Synced != nil {
		e.o.Synced(m.Name)
	}
}

// count notes what status shows of the base.
func (m *member) count() {
	has := m.rep.Base().Totals()
	m.files, m.bytes, m.conflicts = has.Files, has.Bytes, has.Conflicts
}

// progress reports a transfer to status.
func (e *Engine) progress(m *member) store.Progress {
	return func(p rclone.Progress) {
		e.underWay(m, func(r *status.Replica) {
			r.Progress = &status.Progress{
				Files: int64(p.Files), TotalFiles: int64(p.TotalFiles), Bytes: p.Bytes, TotalBytes: p.TotalBytes,
				ETASeconds: p.ETA.Seconds(),
			}
		})
	}
}

// underWay changes what status shows of a replica that is at work.
func (e *Engine) underWay(m *member, change func(*status.Replica)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.view.replicas {
		if r := &e.view.replicas[i]; r.Name == m.Name {
			r.State = status.ReplicaSyncing
			if !m.ready {
				r.State = status.ReplicaRestoring
			}
			change(r)
		}
	}
}

// unread are those that cannot be read. What moves is in the account, and a person is
// told when it does so for long.
func unread(unknown []localfs.Unknown) []localfs.Unknown {
	return slices.DeleteFunc(slices.Clone(unknown), func(u localfs.Unknown) bool { return u.Moving })
}
