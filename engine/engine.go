// Package engine keeps a workspace's replicas: it takes the lease, restores,
// pushes what changes, and gives the lease back. One goroutine owns everything:
// the head, the bases, the schedule. What others ask for they ask it for.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/adoption"
	"github.com/coltec/coltec/pkg/backoff"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/collection"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// Options say what an engine keeps.
type Options struct {
	Workspace status.Workspace
	Replicas  []scope.Replica // in order of priority
	Self      store.Holder
	// HeadRoot says where heads are, for the claims: type:bucket/prefix. It is
	// asked once a remote could be connected.
	HeadRoot func() string
	// Connect opens a prefix. It is asked again after a failure, so that what
	// was missing may come.
	Connect func(ctx context.Context, t scope.Target) (scope.Remote, error)

	LeaseTTL   time.Duration
	LeaseRenew time.Duration
	BestEffort bool // a remote without conditional writes will do
	// Dead says that a holder that looks like ourselves is proven to have ended.
	Dead func(store.Holder) bool
	// Distinct is the next step for who has two machines with one identity.
	Distinct string

	StopTimeout time.Duration // bounds the final flush
	// KeepReplaced is for how long local versions stay that a remote one
	// replaced.
	KeepReplaced time.Duration
	Rendered     func(path string) string // the file that a template rendered for an absolute path; nil for none
	Log          *slog.Logger

	// Changed is called when Status may say something else. It must not wait.
	Changed func()
	// Synced is called after a replica's changes went either way.
	Synced func(replica string)
	// Conflicted is called with the paths whose local version lies aside.
	Conflicted func(replica string, paths []string)
	// Failed is called when a replica begins to fail or is blocked.
	Failed func(replica string, err error)
	// Rested is called when nothing is to be done for a while and what the last
	// round needed is garbage. It may take some milliseconds.
	Rested func()
}

// Engine keeps the replicas of one workspace.
type Engine struct {
	o        Options
	commands chan command
	touched  chan *member // whose tree changed; has room for all
	policy   backoff.Policy
	clock    clock

	// Owned by the goroutine of Run.
	tenure
	roster
	collectAt time.Time        // when to look for garbage
	rules     collection.Rules // of the collection

	mu   sync.Mutex // guards what follows
	view view       // what Status shows
	stop time.Duration

	heads meter // what the head costs: all replicas share it
}

// tenure is what is known of the lease, and when it is asked for. The goroutine of Run
// owns it; while work is under way it waits for that, and renews alone.
type tenure struct {
	lease     *store.Lease
	head      scope.Remote // the root that holds the head
	renewAt   time.Time
	leaseAt   time.Time // when to ask for the lease again
	leaseFail int
	leaseErr  error
	leaseTry  time.Time // when it was asked for last
	looked    time.Time // when another's lease was looked at
	wanted    time.Time // when we asked the holder to hand over; zero: we did not
}

// roster are the replicas, in order of priority. The list itself never changes.
type roster struct{ members []*member }

// member is one replica at run time. The goroutine of Run owns it, and the worker that it
// waits for; what others touch says so.
type member struct {
	scope.Replica
	connected
	tenancy
	schedule
	watching
	deletions
	findings

	here  account.Account // what only this machine has
	err   error
	plain *adoption.Prefix // plain objects that are being adopted
	anew  bool             // the manifest is damaged: the next step is published, whatever changed
	cost  meter            // any goroutine adds to it
}

// connected is what a member works on, from its first connection on.
type connected struct {
	rep    *replica.Replica
	remote scope.Remote
	layout store.Layout
	source store.Layout               // where content that waits to be placed comes from
	git    *repositories.Repositories // that are carried as wholes; nil for none
}

// tenancy is how far a member has come with the head that there is. It begins with the
// acquisition in an epoch, and the loss of the lease ends it.
type tenancy struct {
	ready       bool      // acquired in this epoch: may push
	epoch       int64     // of the lease, in which ready was set
	lineage     string    // of the head under which the prefix was claimed first
	ahead       *foreseen // what was read before the lease was there; nil: nothing
	orphan      string    // the manifest that was taken because its head was lost
	orphanEpoch int64     // the highest epoch of the manifests that a lost head left
}

// schedule is when a member has its next cycle, and of what that is.
type schedule struct {
	paused   bool
	next     time.Time
	wholeAt  time.Time // when the whole tree is to be walked again, whatever was touched
	stockAt  time.Time // when to survey the tree, while it is not pushed
	listAt   time.Time // when a mirror that others write into is listed again
	hinted   bool      // the last walk was of what was touched alone
	leftOver bool      // and left something to the next one
	unsure   bool      // the end has begun, and the tree was not looked at since
	failures int
	motion   motion // of the files that change all the time
}

// watching is what comes from the watch of a tree. The watch's goroutine adds hints and
// nudges; all else is of the loop.
type watching struct {
	hints     hints         // of what was touched since the last walk
	nudged    atomic.Bool   // is in Engine.touched
	restored  chan struct{} // closed when it was ready for the first time
	unwatched error         // why changes may go unseen until the next interval
	sharedOn  string        // file system on which changes from elsewhere do
}

// deletions are those that wait for a word, on either side.
type deletions struct {
	allowDelete bool // somebody said the word, for this cycle
	held        int  // that were made here
	heldHere    int  // that came from the bucket
	brake       brake
}

// findings are what the last scan and the last placement found, for status and for people.
type findings struct {
	found       *int      // what the first scan of this run found
	synced      time.Time // the last step that went through
	files       int64
	bytes       int64
	conflicts   int
	behind      *store.Older // what the bucket has in a state that is not the newest one
	scanNotes   []string     // for attention, of the last scan
	settleNotes []string     // and of the last placement
	unplaced    []string     // what that could not place, and why
	placesAgain bool         // somebody asked for another try
}

// command is something asked of the engine's goroutine.
type command struct {
	do   func()
	done chan struct{}
}

// New makes an engine. Nothing happens before Run.
func New(o Options) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		o:        o,
		commands: make(chan command),
		policy:   backoff.Policy{Base: time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2},
		clock:    realClock,
		rules:    collection.All,
	}
	for _, r := range o.Replicas {
		m := &member{Replica: r}
		m.synced, m.restored = base.LastSettled(r.Path), make(chan struct{})
		e.members = append(e.members, m)
		if r.Blocked != "" {
			m.err = &blockedError{errors.New(r.Blocked)}
		}
	}
	e.touched = make(chan *member, len(e.members))
	e.stop = o.StopTimeout
	e.publish()
	return e
}

// SetStopTimeout sets how long the final flush may take, from the end of Run's
// context on.
func (e *Engine) SetStopTimeout(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop = d
}

// blockedError needs something from a person.
type blockedError struct{ error }

func (b *blockedError) Unwrap() error { return b.error }

// blocked reports whether an error will not go away by itself soon.
func blocked(err error) bool {
	if errors.As(err, new(*blockedError)) || errors.As(err, new(*history.FollowError)) || errors.Is(err, store.ErrClaimed) || errors.Is(err, store.ErrImpossible) || errors.Is(err, store.ErrNoStrongLease) {
		return true
	}
	var r *rclone.Error
	return errors.As(err, &r) && !r.Class.Retry()
}

// Run keeps the replicas until ctx ends, then flushes and releases.
func (e *Engine) Run(ctx context.Context) error {
	defer e.watch(ctx)()
	for ctx.Err() == nil {
		e.round(ctx)
		e.await(ctx)
	}
	return e.finish()
}

// Once does one full cycle: acquire, restore, push, release.
func (e *Engine) Once(ctx context.Context) error {
	e.cycles(ctx)
	for e.unsettled() && ctx.Err() == nil {
		e.cycles(ctx)
	}
	if e.writable() && e.now().Sub(collection.Last(e.lease.Head())) > collection.Overdue {
		e.collectAt = time.Time{}
		e.collect(ctx)
	}
	last := e.finish() // what failed before may be done by that
	if last == nil && e.writers() {
		last = e.leaseErr
	}
	return errors.Join(failures(e.members), context.Cause(ctx), last)
}

// unsettled reports whether another round at once brings things further.
func (e *Engine) unsettled() bool {
	holds := e.writable() || e.lapsed()
	for _, m := range e.members {
		if m.err == nil && e.isDue(m) && (holds || !m.Writes()) {
			return true
		}
	}
	return false
}

// failures joins what is wrong with members.
func failures(members []*member) error {
	var errs []error
	for _, m := range members {
		if m.err != nil {
			errs = append(errs, fmt.Errorf("replica %s: %w", m.Name, m.err))
		}
	}
	return errors.Join(errs...)
}

// await sleeps until something is due, is asked for, or ctx ends.
func (e *Engine) await(ctx context.Context) {
	timer := time.NewTimer(max(e.due().Sub(e.now()), 0))
	defer timer.Stop()
	rest := time.NewTimer(restAfter)
	defer rest.Stop()
	for e.asleep(ctx, timer.C, rest.C) {
		e.rest()
	}
}

// restAfter is how long nothing happens before the memory of bases is given back:
// who saves files one after the other does not wait for them to be read again.
const restAfter = 3 * time.Second

// rest gives back what only the last round needed.
func (e *Engine) rest() {
	for _, m := range e.members {
		if m.rep == nil || m.rep.Base() == nil {
			continue
		}
		if err := m.rep.Base().Unload(); err != nil {
			e.o.Log.Warn("the base stays in memory", "replica", m.Name, "error", err)
		}
	}
	if e.o.Rested != nil {
		e.o.Rested()
	}
}

// asleep sleeps until something is to be done; true: it was the time to rest.
func (e *Engine) asleep(ctx context.Context, due, rest <-chan time.Time) bool {
	select {
	case <-rest:
		return true
	case <-ctx.Done():
	case <-due:
	case c := <-e.commands:
		c.do()
		close(c.done)
	case m := <-e.touched:
		m.nudged.Store(false)
		if m.ready && m.err == nil { // else its own time counts
			m.next = time.Time{} // and no walk of the whole tree for it
			m.motion.watched = true
		}
	}
	return false
}

// soon has a member's next cycle run at once, with a walk of the whole tree.
func (m *member) soon() {
	m.next, m.wholeAt, m.motion.watched = time.Time{}, time.Time{}, false
}

// due is when the next thing is to be done.
func (e *Engine) due() time.Time {
	due := e.now().Add(time.Hour)
	earlier := func(t time.Time) {
		if t.Before(due) {
			due = t
		}
	}
	holds := e.writable()
	if holds {
		earlier(e.renewAt)
		earlier(e.collectAt)
	} else if e.writers() {
		earlier(e.leaseAt)
	}
	for _, m := range e.members {
		if !m.paused && m.Blocked == "" && (holds || !m.Writes()) {
			earlier(m.next)
		}
	}
	return due
}

// writers reports whether any replica needs the lease.
func (r *roster) writers() bool {
	for _, m := range r.members {
		if m.Writes() && m.Blocked == "" {
			return true
		}
	}
	return false
}

// round does everything that is due, once, and what nobody waits for.
func (e *Engine) round(ctx context.Context) {
	e.cycles(ctx)
	e.collect(ctx)
}

// cycles does everything that somebody may wait for.
func (e *Engine) cycles(ctx context.Context) {
	if e.writers() {
		e.keepLease(ctx)
		e.handOver(ctx)
	}
	for _, m := range e.members {
		if !m.Writes() && e.isDue(m) {
			e.cycle(ctx, m, e.pull)
		}
	}
	e.restore(ctx)
	e.push(ctx)
	e.stock(ctx)
	e.publish()
}

func (e *Engine) isDue(m *member) bool {
	return !m.paused && m.Blocked == "" && !m.next.After(e.now())
}

// cycle runs one step of a member and notes how it went.
func (e *Engine) cycle(ctx context.Context, m *member, step func(context.Context, *member) error) {
	err := step(ctx, m)
	if ctx.Err() != nil && err != nil {
		return // stopping is not a failure
	}
	e.note(m, err)
}

// note records the outcome of a step and when the next one is due.
func (e *Engine) note(m *member, err error) {
	before := m.err
	m.err = err
	if err == nil {
		m.failures = 0
		if m.motion.waits.IsZero() {
			m.synced = e.now()
		}
		m.wait(e.now(), e.jitter(m.Interval))
		e.publish()
		return
	}
	m.err = withReason(m, err)
	m.failures++
	m.wholeAt = time.Time{} // what was touched may not have come through
	m.next = e.now().Add(e.policy.Delay(m.failures, e.clock.random))
	e.o.Log.Warn("replica failed", "replica", m.Name, "error", m.err, "next", m.next)
	if before == nil && e.o.Failed != nil {
		e.o.Failed(m.Name, err)
	}
	e.publish()
}

// wait says when the next cycle is due after one that went through. What was touched
// brings it forward and puts off no walk of the whole tree, and after what was left
// over each is one.
func (m *member) wait(now time.Time, interval time.Duration) {
	if !m.hinted {
		m.wholeAt = now.Add(interval)
	}
	m.next = m.wholeAt
	if m.leftOver {
		m.wholeAt = time.Time{}
	}
	m.hinted, m.leftOver = false, false
	m.motion.waited(&m.next)
}

// call runs f in the goroutine of Run.
func (e *Engine) call(ctx context.Context, f func()) error {
	c := command{do: f, done: make(chan struct{})}
	select {
	case e.commands <- c:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-c.done
	return nil
}

// SyncOptions say how to sync.
type SyncOptions struct {
	AllowDelete bool // many deletions at once are right
}

// Sync runs the replicas' cycles now and waits for the outcome. No names mean
// all.
func (e *Engine) Sync(ctx context.Context, names []string, o SyncOptions) error {
	members, err := e.find(names)
	if err != nil {
		return err
	}
	var outcome error
	err = e.call(ctx, func() {
		for _, m := range members {
			m.failures, m.allowDelete, m.stockAt = 0, o.AllowDelete, time.Time{}
		}
		e.leaseAt = time.Time{}
		e.syncAll(ctx, members)
		for _, m := range members {
			m.allowDelete = false
		}
		if outcome = failures(members); outcome == nil && e.writers() {
			outcome = e.leaseError()
		}
		outcome = withOnlyHere(outcome, members)
	})
	return errors.Join(err, outcome)
}

// motionTries is how often a sync or a stop looks again at files that changed while
// they were read.
const motionTries = 3

// syncAll runs the members' cycles until all is in the bucket, as far as it can be.
func (e *Engine) syncAll(ctx context.Context, members []*member) {
	for tries := motionTries; ; {
		for _, m := range members {
			m.soon()
		}
		before := e.generation()
		e.cycles(ctx)
		again, goesOn := false, tries > 0 || e.generation() > before
		for _, m := range members {
			if e.pushes(m) && m.Writes() {
				again = again || goesOn && m.here.Of(account.Deferred) > 0 || tries > 0 && m.here.Of(account.Moving) > 0
			}
		}
		if tries--; !again || ctx.Err() != nil {
			return
		}
	}
}

// generation is the last one that is known to be committed; 0 for none.
func (t *tenure) generation() int64 {
	if t.lease == nil || t.lease.Head() == nil {
		return 0
	}
	return t.lease.Head().Generation
}

func (r *roster) find(names []string) ([]*member, error) {
	if len(names) == 0 {
		return r.members, nil
	}
	var out []*member
	for _, name := range names {
		m := r.member(name)
		if m == nil {
			return nil, fmt.Errorf("cannot find replica %q", name)
		}
		out = append(out, m)
	}
	return out, nil
}

// member gives a replica by name; nil when there is none. The list itself
// never changes.
func (r *roster) member(name string) *member {
	for _, m := range r.members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Pause stops a replica's cycles until Resume. A transfer under way ends first.
func (e *Engine) Pause(ctx context.Context, name string) error {
	return e.change(ctx, name, func(m *member) { m.paused = true })
}

// Resume goes on with a paused replica, at once.
func (e *Engine) Resume(ctx context.Context, name string) error {
	return e.change(ctx, name, func(m *member) { m.paused = false; m.soon() })
}

func (e *Engine) change(ctx context.Context, name string, f func(*member)) error {
	members, err := e.find([]string{name})
	if err != nil {
		return err
	}
	return e.call(ctx, func() {
		f(members[0])
		e.publish()
	})
}

// Alone runs do in the engine's own goroutine, so that no cycle runs meanwhile,
// and the replica's next one at once after it.
func (e *Engine) Alone(ctx context.Context, name string, do func(ctx context.Context) error) error {
	var outcome error
	err := e.call(ctx, func() {
		outcome = e.work(ctx, do)
		if m := e.member(name); m != nil {
			m.soon()
		}
	})
	return errors.Join(err, outcome)
}

// Retry tries everything that failed or is blocked again, at once: a person may
// have mended it. Until it was tried Status does not repeat what went wrong before.
func (e *Engine) Retry(ctx context.Context) error {
	return e.call(ctx, func() {
		if e.leaseErr != nil && e.leaseView().State == status.LeaseNone {
			e.leaseAt, e.leaseFail, e.leaseErr = time.Time{}, 0, nil
		}
		for _, m := range e.members {
			if m.err != nil && m.Blocked == "" {
				m.err, m.failures = nil, 0
				m.soon()
			}
			if len(m.unplaced) > 0 {
				m.placesAgain = true
				m.soon()
			}
		}
		e.publish()
	})
}
