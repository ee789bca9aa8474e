package engine

import (
	"context"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// latelyFor is for how long what went is counted with what goes: `rm -rf` of a large tree
// takes that long at most, and is pushed in steps.
const latelyFor = 10 * time.Minute

// passedFor is for how long deletions that nobody was asked about are told: as long as
// every generation is kept, so that the command that undoes them works.
const passedFor = 24 * time.Hour

// brake is what is known of a member's deletions.
type brake struct {
	allowed int64 // in all, as the head had it when the cycle began
	most    int   // files that there were lately
	mostAt  time.Time

	mu   sync.Mutex // a renewal tells of it beside a worker
	made []string   // files that were deleted here, and wait
	came []string   // files whose deletion came from the bucket, and waits
	seen bool       // this run knows
	from time.Time  // since when something waits
}

// passing are the deletions of a step.
type passing struct {
	allowed int64         // that somebody had a say in
	many    *store.Passed // nobody was asked; nil: not many
}

// lately is how many files went within a while, for nobody's word.
func (b *brake) lately(files int, now time.Time) int {
	if files >= b.most || now.Sub(b.mostAt) > latelyFor || now.Before(b.mostAt) {
		b.most, b.mostAt = files, now
	}
	return b.most - files
}

// hold notes what waits, on either side; nil leaves a side as it was.
func (b *brake) hold(made, came []string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if made != nil {
		b.made, b.seen = made, true
	}
	if came != nil {
		b.came = came
	}
	switch {
	case len(b.made)+len(b.came) == 0:
		b.from = time.Time{}
	case b.from.IsZero():
		b.from = now
	}
}

// held is what waits, for the head; nil for nothing. ok is false while it is not known.
func (b *brake) held() (held *store.HeldDeletions, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.made) + len(b.came)
	if n == 0 {
		return nil, b.seen
	}
	names := b.made
	if len(names) == 0 {
		names = b.came
	}
	return &store.HeldDeletions{
		Since: b.from.UTC().Truncate(time.Second), Made: len(b.made), Came: len(b.came),
		Names: names[:min(len(names), account.NamesMax)],
	}, true
}

// waiting names the files whose deletion came from the bucket, and waits.
func (b *brake) waiting() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.came
}

// tellHeld says in each head that is written which deletions wait here.
func (e *Engine) tellHeld(h *store.Head) {
	for _, m := range e.members {
		if !m.Writes() {
			continue
		}
		if held, ok := m.brake.held(); ok {
			h.Hold(m.Name, e.o.Self, held, e.now().Add(-e.o.KeepReplaced))
		}
	}
}

// tellPassed says in the head which deletions go with the steps of a commit.
func tellPassed(steps []*prepared) func(*store.Head) {
	return func(h *store.Head) {
		for _, p := range steps {
			h.Pass(p.member.Name, p.passing.allowed, p.passing.many)
		}
	}
}

// deletions are those that may go with this step: none before everything that was edited
// is in, but for what waits for them, and not those that a person should say a word to.
func (e *Engine) deletions(ctx context.Context, m *member, found *replica.Changes, staged *replica.Staged) ([]tree.Entry, passing, error) {
	for i := range staged.Rest {
		if !staged.Rest[i].Replaces() {
			return repositories.Deletions(found, staged, false), passing{}, nil
		}
	}
	lost, err := staged.Losing(found.Gone)
	if err != nil {
		return nil, passing{}, err
	}
	gone, pass, err := e.judge(ctx, m, lost)
	if err != nil {
		return nil, passing{}, err
	}
	if gone {
		e.holds(m, []string{})
		return found.Gone, pass, nil
	}
	e.holds(m, paths(lost))
	return repositories.Deletions(found, staged, true), passing{}, nil
}

// judge reports whether what a step would lose may go, with what there is to say of it.
func (e *Engine) judge(ctx context.Context, m *member, lost []tree.Entry) (goes bool, pass passing, err error) {
	loss, err := m.rep.Loss(lost, 0, m.rep.GivesBack())
	if err != nil {
		return false, pass, err
	}
	loss.Lately = m.brake.lately(loss.Files, e.now())
	if loss.Gone == 0 {
		return true, pass, nil
	}
	taken := 0
	switch {
	case m.allowDelete:
		loss.Explained, taken = loss.Gone, loss.Gone
	case loss.Many() || loss.Waits():
		taken, loss.Explained, err = m.explained(ctx, lost, loss.GivesBack)
		if err != nil {
			return false, pass, err
		}
	}
	if loss.Waits() {
		return false, pass, nil
	}
	m.brake.most = max(m.brake.most-loss.Explained, loss.Files-loss.Gone)
	pass.allowed = int64(loss.Explained)
	if loss.Many() && taken < loss.Gone && loss.GivesBack {
		pass.many = &store.Passed{
			Count: loss.Gone, Files: loss.Files, Host: e.o.Self.Host, Time: e.now().UTC().Truncate(time.Second),
		}
	}
	return true, pass, nil
}

// explained counts those of the files that went of which the repositories say why: taken
// are those that a person had git take away.
func (m *member) explained(ctx context.Context, lost []tree.Entry, givesBack bool) (taken, all int, err error) {
	if m.Git != scope.GitWhole {
		return 0, 0, nil
	}
	removal, err := m.git.Removal(ctx, lost, func(workingTree string, tracked map[string]bool) (int, error) {
		return m.agreed(workingTree, tracked, lost)
	})
	taken, all = removal.Taken, removal.Taken
	if givesBack {
		all += removal.Untracked
	}
	return taken, all, err
}

// agreed counts those of a working tree's paths that both sides agreed on, and that are
// not among what went.
func (m *member) agreed(workingTree string, tracked map[string]bool, lost []tree.Entry) (int, error) {
	wanted := map[string]bool{}
	for name := range tracked {
		wanted[path.Join(workingTree, name)] = true
	}
	for i := range lost {
		delete(wanted, lost[i].Path)
	}
	rows, err := m.rep.Base().Lookup(wanted)
	return len(rows), err
}

// holds notes the deletions made here that wait.
func (e *Engine) holds(m *member, names []string) {
	m.held = len(names)
	m.brake.hold(names, nil, e.now())
}

// holdsHere notes the deletions that came from the bucket and wait.
func (e *Engine) holdsHere(m *member, names []string) {
	m.heldHere = len(names)
	m.brake.hold(nil, names, e.now())
}

// trust takes a tree for the one that was synced last when a whole walk found nothing in
// it that wants a word.
func (m *member) trust() error {
	if m.held > 0 || m.hinted {
		return nil
	}
	return m.rep.Trust()
}

func paths(entries []tree.Entry) []string {
	out := make([]string, len(entries))
	for i := range entries {
		out[i] = entries[i].Path
	}
	return out
}

// deletionNotes say which deletions wait here for a word, and the command for each way.
func (t *tenure) deletionNotes(m *member) (out []string) {
	say := func(text string, args ...any) {
		out = append(out, fmt.Sprintf("replica %s: ", m.Name)+fmt.Sprintf(text, args...))
	}
	generation := int64(0)
	if t.lease != nil && t.lease.Head() != nil {
		generation = t.lease.Head().Generation
	}
	word, back := "coltecd sync "+m.Name+" --allow-delete", undo(m.Name, generation)
	if m.held > 0 {
		say("%d deletions at once wait for your decision: %s deletes the files everywhere; %s puts them back", m.held, word, back)
	}
	switch {
	case m.heldHere > 0 && !m.Writes(): // what others have deleted is not ours to bring back there
		say("%d deletions at once that were made elsewhere wait for your decision: %s deletes the files here too", m.heldHere, word)
	case m.heldHere > 0:
		say("%d deletions at once that were made elsewhere wait for your decision: %s deletes the files here too; %s keeps them, and brings them back everywhere",
			m.heldHere, word, back)
	}
	return out
}

// elsewhereNotes say which deletions wait for a decision on other machines.
func (e *Engine) elsewhereNotes(m *member) (out []string) {
	if e.lease == nil || e.lease.Head() == nil {
		return nil
	}
	head := e.lease.Head()
	say := func(text string, args ...any) {
		out = append(out, fmt.Sprintf("replica %s: ", m.Name)+fmt.Sprintf(text, args...))
	}
	word, back := "coltecd sync "+m.Name+" --allow-delete", undo(m.Name, head.Generation)
	for _, d := range head.Deletions[m.Name].Elsewhere(e.o.Self) {
		since := d.Since.Local().Format(time.DateTime)
		if d.Made > 0 {
			say("%d deletions that were made on %s have waited there for a decision since %s (%s): there, %s deletes the files everywhere; %s puts them back",
				d.Made, d.Host, since, firstOf(d.Names, d.Made), word, back)
		}
		if d.Came > 0 {
			say("%d files that were deleted elsewhere are still on %s, and have waited there for a decision since %s: there, %s deletes them; %s brings them back everywhere",
				d.Came, d.Host, since, word, back)
		}
	}
	return out
}

// undo is the command that brings back what is gone since a generation.
func undo(replica string, generation int64) string {
	return fmt.Sprintf("coltecd history restore --replica %s --deleted --at %d", replica, generation)
}

// firstOf names the first of n.
func firstOf(names []string, n int) string {
	if len(names) == 0 {
		return "…"
	}
	if n > 1 {
		return fmt.Sprintf("%q …", names[0])
	}
	return fmt.Sprintf("%q", names[0])
}

// notices are what is worth a word of a member's deletions, and needs none here.
func (e *Engine) notices(m *member) []string {
	out := e.elsewhereNotes(m)
	if note := e.passedNote(m); note != "" {
		out = append(out, note)
	}
	return out
}

// passedNote tells of many deletions that nobody was asked about; "" for none.
func (e *Engine) passedNote(m *member) string {
	if e.lease == nil || e.lease.Head() == nil {
		return ""
	}
	p := e.lease.Head().Deletions[m.Name].Passed
	if p == nil || e.now().Sub(p.Time) > passedFor {
		return ""
	}
	return fmt.Sprintf("replica %s: generation %d of %s lacks %d of %d files that were there before; %s puts them back",
		m.Name, p.Generation, p.Host, p.Count, p.Files, undo(m.Name, p.Generation-1))
}
