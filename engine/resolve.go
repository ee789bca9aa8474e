package engine

import (
	"context"
	"errors"

	"github.com/coltec/coltec/pkg/store"
)

// resolve makes pending generations of the bases true, or drops them, as the
// head and its ancestry say.
func (l *loop) resolve(ctx context.Context) error {
	for _, m := range l.members {
		if m.rep == nil || m.rep.Base() == nil {
			continue
		}
		if err := l.resolveOne(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) resolveOne(ctx context.Context, m *member) error {
	base := m.rep.Base()
	if base.Pending == nil {
		return nil
	}
	committed, err := l.lease.Committed(ctx, base.Pending.Nonce, base.Pending.Delta.Header.Generation-1)
	if errors.Is(err, store.ErrForgotten) {
		return l.startOver(m)
	}
	if err != nil {
		return err
	}
	l.o.Log.Info("pending generation resolved", "replica", m.Name, "committed", committed)
	m.adopted(l.lease.Head())
	return base.Resolve(committed)
}

// startOver drops a base that cannot, or must not, be compared with the head: both
// sides are merged, and nothing is deleted.
func (l *loop) startOver(m *member) error {
	head := l.lease.Head()
	l.o.Log.Warn("what was last agreed on cannot be traced in the bucket: both sides are merged", "replica", m.Name)
	l.stepMember(m, evDemoted{})
	return m.rep.StartOver(head.Lineage, head.Generation)
}

// adopted notes that the head names what was recorded last, if it does.
func (m *member) adopted(head *store.Head) {
	if m.report.origin.plain != nil && m.report.origin.plain.Committed(head.Adopted[m.Name]) {
		m.report.origin.plain = nil
	}
}
