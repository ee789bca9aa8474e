package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/store"
)

// Repair brings back what a verification found wrong, as far as the other side
// has it: damaged local files come from the bucket, and what is missing there
// is sent again from here, under new names, as a new generation. Generations
// before that one stay as they are.
func (e *Engine) Repair(ctx context.Context, r *history.Reader, v *history.Verdict) error {
	var outcome error
	err := e.call(ctx, func() { outcome = e.repair(ctx, r, v) })
	return errors.Join(err, outcome)
}

func (l *loop) repair(ctx context.Context, r *history.Reader, v *history.Verdict) error {
	m := l.member(v.Replica)
	if m == nil || m.rep == nil || m.rep.Base() == nil || !m.ready() || !l.writable() {
		return fmt.Errorf("cannot repair replica %q: it is not in sync, or the lease is not ours", v.Replica)
	}
	lost := map[string]bool{}
	for _, l := range v.Lost {
		lost[l.Path] = true
	}
	g, err := r.At(ctx, "", l.now())
	if err != nil {
		return err
	}
	for _, path := range v.Damaged {
		if lost[path] {
			continue // neither side has it
		}
		err := l.work(ctx, func(ctx context.Context) error { return r.PutBack(ctx, m.Replica, path, g) })
		if err != nil {
			return err
		}
		v.Repaired = append(v.Repaired, path)
	}
	bad := map[string]bool{}
	for _, key := range v.Missing {
		bad[key] = true
	}
	sent, err := m.rep.SendAgain(bad, v.Damaged)
	if err != nil {
		return err
	}
	v.Repaired = append(v.Repaired, sent...)
	if s, ok := m.layout.(*store.Snapshot); ok && slices.ContainsFunc(v.Missing, store.IsManifest) {
		m.report.anew = true
		if err := s.Forget(); err != nil {
			return err
		}
	}
	l.stepMember(m, evSoon{})
	l.push(ctx)
	if m.course.err == nil && !l.pushes(m) {
		return fmt.Errorf("cannot finish the repair of replica %q: it is paused, or the lease is not ours any more; what is missing is sent once that is over", v.Replica)
	}
	return m.course.err
}
