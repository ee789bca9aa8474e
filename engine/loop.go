package engine

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/backoff"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/rewind"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/watch"
)

// loop is what the goroutine of Run owns, and does.
type loop struct {
	*env
	tenure
	roster
	rules collection.Rules // of the collection
	// taken is the tree of what is taken back. A test that checks the checker has another.
	taken func(rewind.Sides) (rewind.Rewound, error)

	rested struct { // when the engine rested last
		generation int64
		at         time.Time
	}

	// Any goroutine may use these.
	shown board
	stop  atomic.Int64 // how long the final flush may take; a time.Duration
}

func newLoop(o Options) *loop {
	l := &loop{rules: collection.All, taken: rewind.Sides.Tree, env: &env{
		o: o, clock: realClock,
		policy: backoff.Policy{Base: time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2},
	}}
	l.tenure.env, l.tenure.tell, l.herald.wakes = l.env, l.tellHeld, make(chan struct{}, 1)
	l.stop.Store(int64(o.StopTimeout))
	for _, r := range o.Replicas {
		m := &member{Replica: r}
		m.watch.open, m.watch.asks = make(chan struct{}), make(chan func(watch.Touched))
		m.course.synced = base.LastSettled(r.Path)
		if r.Blocked != "" {
			m.course.err = &blockedError{errors.New(r.Blocked)}
		}
		l.members = append(l.members, m)
	}
	return l
}

// publish makes what the loop knows visible.
func (l *loop) publish() {
	l.shown.put(observer{&l.tenure}.view(l.members))
	if l.o.Changed != nil {
		l.o.Changed()
	}
}

// stepLease has the standing of the lease take a step.
func (l *loop) stepLease(ev event) {
	var todo []action
	failures := l.leaseFail
	l.standing, todo = l.standing.step(ev, l.instant())
	if _, unkept := ev.(evUnkept); unkept || l.leaseFail > failures {
		l.heads.fault()
	}
	if len(todo) == 0 {
		return
	}
	if ev, ok := ev.(evNoLease); ok {
		l.o.Log.Warn("no lease", "error", ev.err, "next", l.leaseAt)
	}
	for _, a := range todo {
		switch a {
		case actDemote:
			l.eachWriter(evDemoted{})
		case actSoon:
			l.eachWriter(evSoon{})
		case actPublish:
			l.publish()
		}
	}
}

// eachWriter has the course of every writer take a step.
func (l *loop) eachWriter(ev event) {
	for _, m := range l.members {
		if m.Writes() {
			l.stepMember(m, ev)
		}
	}
}

// stepMember has the course of a member take a step.
func (l *loop) stepMember(m *member, ev event) {
	var todo []action
	m.course, todo = m.course.step(ev, l.instant())
	for _, a := range todo {
		switch a {
		case actOpenWatch:
			m.watch.begin()
		case actFail:
			if failed, ok := ev.(evFailed); ok && l.o.Failed != nil {
				l.o.Failed(m.Name, failed.err)
			}
		case actPublish:
			l.publish()
		case actGather:
			l.gathers(m)
		}
	}
}

// gathers notes that a member has changes which wait for others. Which they are its next walk
// tells.
func (l *loop) gathers(m *member) {
	if m.report.here.Of(account.Deferred) > 0 {
		return
	}
	here := account.FromParts(m.report.here.Parts())
	here.Add(account.Deferred, ".", 0, "changes are gathered")
	m.report.know(here, l.now())
	l.publish()
}

// noteLease notes how asking for the lease, or writing with it, went.
func (l *loop) noteLease(err error) {
	if err == nil {
		l.stepLease(evHeld{l.o.LeaseRenew})
		return
	}
	l.stepLease(evNoLease{err})
}

// note records the outcome of a cycle and when the next one is due.
func (l *loop) note(m *member, err error) {
	if err == nil {
		last := m.report.walk
		m.report.walk = walk{}
		last.gathers = m.report.motion.gathers(m.Gather)
		l.stepMember(m, evWent{last, m.Interval})
		return
	}
	m.cost.fault()
	l.stepMember(m, evFailed{err, withReason(m.Path, err)})
	l.o.Log.Warn("replica failed", "replica", m.Name, "error", m.course.err, "next", m.course.next)
}

// tellHeld says in each head that is written which deletions wait here, and how the workspace
// is told of.
func (l *loop) tellHeld(h *store.Head) {
	defer heralding{&l.tenure}.note(h)
	for _, m := range l.members {
		if !m.Writes() {
			continue
		}
		if held, ok := m.waits.held(); ok {
			h.Hold(m.Name, l.o.Self, held, l.now().Add(-l.o.KeepReplaced))
		}
	}
}
