package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/logins"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// replicator is the engine, as the daemon sees it.
type replicator interface {
	Run(ctx context.Context) error
	Once(ctx context.Context) error
	Status() (status.Lease, []status.Replica, []string)
	Sync(ctx context.Context, names []string, allowDelete bool) error
	Checkpoint(ctx context.Context, name, text string) (store.Checkpoint, error)
	RemoveCheckpoint(ctx context.Context, name string) error
	Collect(ctx context.Context) (engine.Collected, error)
	Rewind(ctx context.Context, o engine.RewindOptions) (engine.Rewound, error)
	Join(ctx context.Context, o engine.JoinOptions) (engine.Joined, error)
	Retry(ctx context.Context) error
	Pause(ctx context.Context, name string) error
	Resume(ctx context.Context, name string) error
	Takeover(ctx context.Context, force bool) error
	FinishAdoption(ctx context.Context, names []string) error
	LoggedOut(agents []string) error
	Alone(ctx context.Context, replica string, do func(ctx context.Context) error) error
	Repair(ctx context.Context, r *history.Reader, v *history.Verdict) error
	SetStopTimeout(d time.Duration)
	Tell(told digest.Digest)
}

// persistence is what an engine is made of: when it is equal, the engine stays.
type persistence struct {
	Workspace status.Workspace
	Section   spec.Persistence
	Environ   map[string]string // the variables that the remotes ask for
	Captures  bool              // there are hooks around captures
	Misplaced map[string]string // why replicas must not run as they are set up
	Places    map[string]string // where the paths of the replicas lead, by name
	Logins    []logins.Agent    // whose files are known
	Travel    []logins.Agent    // and go along
}

func persistenceOf(s setting) persistence {
	p := persistence{WorkspaceOf(s.spec), s.spec.Persistence, map[string]string{}, s.capturing(), s.misplacements(), s.places(), loginSetting{s}.loginAgents(), loginSetting{s}.travelling()}
	get := lookup(s.environ)
	for name := range credentials(s.spec) {
		p.Environ[name], _ = get(name)
	}
	p.Environ[hostVar], _ = get(hostVar) // it is in the lease
	return p
}

// replication keeps the one engine of the daemon running, and replaces it when
// a reload asks for another.
type replication struct {
	build   func(setting) (replicator, error) // nil without an error: nothing to replicate
	log     *slog.Logger
	fatal   func(error) // an engine that ended by itself
	changed func()      // called when there is another engine

	turn sync.Mutex // of who replaces the engine: a flush takes its time, and nobody else waits for it

	mu      sync.Mutex // guards what follows
	now     persistence
	engine  replicator
	refused error // why there is no engine
	flushed error // how the engine's end went; to be read when it has ended
	cancel  context.CancelFunc
	done    chan struct{} // closed when the engine has ended; nil without one
	stopped bool          // the end has begun: there is no other engine
}

// set makes s what is replicated, unless the end has begun.
func (r *replication) set(s setting) {
	r.turn.Lock()
	defer r.turn.Unlock()
	next := persistenceOf(s)
	r.mu.Lock()
	stays := r.stopped || r.engine != nil && reflect.DeepEqual(r.now, next)
	cancel, done := r.cancel, r.done
	r.mu.Unlock()
	if stays {
		return
	}
	if done != nil { // it flushes, and status goes on to tell of it
		cancel()
		<-done
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	r.now, r.done, r.flushed = next, nil, nil
	r.engine, r.refused = r.build(s)
	if r.refused != nil {
		r.log.Error("cannot replicate", "error", r.refused)
		r.engine = nil
	}
	if r.engine != nil {
		r.start()
	}
	r.changed()
}

// places are where the paths of the replicas led when the engine was made.
func (r *replication) places() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now.Places
}

// stale reports whether s asks for another engine than the one that runs.
func (r *replication) stale(s setting) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !reflect.DeepEqual(r.now, persistenceOf(s))
}

// start runs the engine. The caller has the lock.
func (r *replication) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan struct{})
	go func(engine replicator, done chan struct{}) {
		defer close(done)
		err := guarded(r.log, func() error { return engine.Run(ctx) })
		r.flushed = err // read after done is closed
		switch {
		case ctx.Err() == nil && err == nil:
			r.fatal(errors.New("internal error: the engine ended by itself"))
		case ctx.Err() == nil:
			r.fatal(fmt.Errorf("cannot replicate: %w", err))
		case err != nil && !errors.Is(err, context.Canceled):
			r.log.Warn("the last flush was not complete", "error", err)
		}
	}(r.engine, r.done)
}

// show makes engine the one that status is asked of; who runs it is the caller.
func (r *replication) show(engine replicator) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine = engine
	r.changed()
}

// releaseTime is the part of a stop's time that is kept for giving the lease back, with
// what the flush did not manage.
const releaseTime = 2 * time.Second

// stop ends the engine after its flush, but returns at the deadline. It reports
// whether the engine has ended.
func (r *replication) stop(ctx context.Context) bool {
	r.mu.Lock()
	r.stopped = true
	cancel, done, engine := r.cancel, r.done, r.engine
	r.mu.Unlock()
	if done == nil {
		return true
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		engine.SetStopTimeout(left - min(releaseTime, left/4))
	}
	cancel()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// outcome is the error of a stop after which something is on this machine only.
func (r *replication) outcome(ended bool) error {
	r.mu.Lock()
	running, refused := r.engine, r.refused
	r.mu.Unlock()
	if refused != nil {
		return fmt.Errorf("%w: nothing was pushed: %w", account.ErrOnlyHere, refused)
	}
	if running == nil {
		return nil
	}
	_, replicas, _ := running.Status()
	if !ended {
		return unseen(errors.New("did not end in time"), status.OnlyHere(replicas))
	}
	return outcomeOf(r.flushed, replicas)
}

// outcomeOf is the outcome of an engine that has ended. Whatever its error, it has looked
// at the trees: their account is true.
func outcomeOf(end error, replicas []status.Replica) error {
	err := status.OnlyHere(replicas)
	switch {
	case errors.Is(end, cmdline.ErrInternal):
		return unseen(fmt.Errorf("ended with an %w", end), err)
	case err == nil && errors.Is(end, engine.ErrLogins):
		return fmt.Errorf("%w: %w", account.ErrOnlyHere, end)
	case err == nil && errors.Is(end, account.ErrKept):
		return fmt.Errorf("everything is in the bucket, but %w", end)
	}
	return err
}

// unseen is the error of a last push that did not come to its end; before is what was only
// here when it began.
func unseen(why, before error) error {
	err := fmt.Errorf("%w: the last push %w, so more may be only here than was seen before it", account.ErrOnlyHere, why)
	if before != nil {
		err = fmt.Errorf("%w: %w", err, before)
	}
	return err
}

// current is the engine, or nil.
func (r *replication) current() replicator {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine
}

// status is the engine's part of the document.
func (r *replication) status() (status.Lease, []status.Replica, []string) {
	r.mu.Lock()
	engine, refused := r.engine, r.refused
	r.mu.Unlock()
	switch {
	case refused != nil:
		return status.Lease{State: status.LeaseNone}, nil, []string{refused.Error()}
	case engine == nil:
		return status.Lease{State: status.LeaseNone}, nil, nil
	}
	return engine.Status()
}

// withholds reports whether a whole is not captured as it is now.
func (r *replication) withholds() bool {
	_, replicas, _ := r.status()
	return slices.ContainsFunc(replicas, func(y status.Replica) bool {
		return account.FromParts(y.OnlyHere).Of(account.Uncaptured) > 0
	})
}

// settled reports whether the services that wait for the restore may start.
func (r *replication) settled() bool {
	lease, replicas, _ := r.status()
	return status.Document{Lease: lease, Replicas: replicas}.ServicesMayStart()
}

// restored reports whether every replica is.
func (r *replication) restored() bool {
	lease, replicas, _ := r.status()
	return status.Document{Lease: lease, Replicas: replicas}.Restore() == status.RestoreDone
}

// errNoReplicas is for verbs that are about replicas where there are none.
var errNoReplicas = errors.New("this workspace has no replicas that run")
