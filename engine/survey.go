package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// pushes reports whether what the member's tree has is pushed as soon as it is seen,
// so that its last scan tells what is only here.
func (t *tenure) pushes(m *member) bool {
	return m.ready() && m.course.err == nil && !m.course.paused && t.writable()
}

// surveyDue brings up to date the accounts of replicas that no push covers: a tree is walked
// for it at each interval, and when somebody asks. Of one whose last scan was cut off
// by an end it is not known what is here.
func (l *loop) surveyDue(ctx context.Context) {
	for _, m := range l.members {
		if !m.Writes() || !m.report.unseen && (l.pushes(m) || l.now().Before(m.course.survey)) {
			continue
		}
		l.stepMember(m, evSurveyed{m.Interval})
		a, err := l.surveyMember(ctx, m)
		switch {
		case err == nil:
			m.report.unseen = false
		case m.report.unseen:
			a = account.FromParts(m.report.here.Parts())
			a.Add(account.Blocked, ".", 0, "there was no time to look at it: "+anchor.OneLine(err))
		case !m.report.here.Empty():
			l.o.Log.Debug("cannot tell what is only here", "replica", m.Name, "error", err)
			continue // what was known before is the best there is
		}
		m.report.know(a, l.now())
	}
}

// surveyNow brings the accounts up to date of what is not pushed, now.
func (l *loop) surveyNow(ctx context.Context) {
	for _, m := range l.members {
		l.stepMember(m, evUnsurveyed{})
	}
	l.surveyDue(ctx)
}

// surveyMember walks the tree of a replica that is not pushed now, and compares it with
// what it agreed on with the bucket last. After an error the account says that
// nothing is known.
func (l *loop) surveyMember(ctx context.Context, m *member) (a account.Account, err error) {
	if _, err := os.Lstat(m.Path); l.clock.files == nil && errors.Is(err, fs.ErrNotExist) {
		if m.rep != nil && m.rep.Base() != nil && !m.report.here.Empty() {
			return a, err // it was here, with what is only there now
		}
		return a, nil // there is nothing here
	}
	works := m.connected
	if works.rep == nil {
		works = l.assemble(m, nil, l.shown.underWay(m))
		m.wholes = works.wholes
	}
	var head replica.Agreed
	if h := l.knownHead(); h != nil {
		head = replica.Agreed{Lineage: h.Lineage, Generation: h.Generation}
	}
	reason, why := l.unpushed(m)
	err = l.run(ctx, m, func(ctx context.Context, p *pass) (err error) { // a lease that others wait for is kept meanwhile
		p.connected = works
		a, err = p.survey(ctx, head, reason, why)
		return err
	})
	return a, err
}

// survey is the account of a tree that is not pushed now, and why.
func (p *pass) survey(ctx context.Context, head replica.Agreed, reason account.Reason, why string) (a account.Account, err error) {
	found, err := p.rep.Survey(ctx, head)
	if err != nil {
		a.Add(account.Blocked, ".", 0, "it cannot be looked at: "+anchor.OneLine(err))
		return a, err
	}
	return p.seen(p.withoutRendered(found), reason, why), nil
}

// withoutRendered leaves out what a template rendered here and nobody has changed: a
// folder that was just made has nothing of its own.
func (p *pass) withoutRendered(found *replica.Changes) *replica.Changes {
	if p.o.Rendered == nil {
		return found
	}
	out := *found
	out.Edited = nil
	for _, s := range found.Edited {
		if s.Was == nil && s.Kind == tree.Dir {
			if info, err := os.Stat(p.o.Rendered(filepath.Join(p.Path, s.Path))); err == nil && info.IsDir() {
				continue
			}
		}
		if s.Was == nil && s.Kind == tree.File {
			rendered := localfs.SumOf(p.o.Rendered(filepath.Join(p.Path, s.Path)))
			if rendered != (tree.Sum{}) && rendered == localfs.SumOf(filepath.Join(p.Path, s.Path)) {
				continue
			}
		}
		out.Edited = append(out.Edited, s)
	}
	return &out
}

// unpushed says why a member is not pushed.
func (t *tenure) unpushed(m *member) (account.Reason, string) {
	var other *store.HeldByOther
	switch {
	case m.Blocked != "":
		return account.Blocked, m.Blocked
	case m.course.paused:
		return account.Blocked, "the replica is paused"
	case m.course.err != nil:
		return account.Blocked, anchor.OneLine(m.course.err)
	case t.leaseless(m) && errors.As(t.leaseErr, &other):
		return account.Waiting, anchor.OneLine(t.leaseErr)
	case t.leaseless(m) && t.leaseErr != nil:
		return account.Blocked, anchor.OneLine(t.leaseErr)
	case !m.ready():
		return account.Blocked, "the restore is not finished"
	}
	return account.Deferred, "there was no time for it"
}
