package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/engine"
	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/inquiry"
	"github.com/coltec/coltec/pkg/rewind"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// errRewinding refuses a second rewind.
var errRewinding = errors.New("another rewind is under way")

// rewindLocks are held in the order of the fields.
type rewindLocks struct {
	one   sync.Mutex // by a rewind that is under way: a second one is refused
	still sync.Mutex // by who has services stand still, or go on
}

// rewinder is what the daemon does for a rewind.
type rewinder struct{ *daemon }

// Rewind takes the workspace back. It goes on when the client is gone: that may be a program
// of a service that has to be stopped for it.
func (d *daemon) Rewind(ctx context.Context, req control.RewindRequest, say func(string)) (control.Rewound, error) {
	if err := d.end.refusal(); err != nil {
		return control.Rewound{}, err
	}
	e, err := d.replicating("rewind")
	if err != nil {
		return control.Rewound{}, err
	}
	to, err := rewinder{d}.rewindTo(ctx, req, say)
	if err != nil || req.DryRun {
		return to.told, err
	}
	if !d.rewinds.one.TryLock() {
		return control.Rewound{}, fmt.Errorf("cannot rewind: %w", errRewinding)
	}
	type outcome struct {
		told control.Rewound
		err  error
	}
	talk := &voice{say: say}
	done := make(chan outcome, 1)
	go func() {
		defer d.rewinds.one.Unlock()
		var o outcome
		o.err = guarded(d.log.Logger, func() (err error) {
			o.told, err = rewinder{d}.rewind(e, to, talk.tell)
			return err
		})
		if o.err != nil {
			d.log.Warn("rewind", "error", o.err)
		}
		done <- o
	}()
	select {
	case o := <-done:
		return o.told, o.err
	case <-ctx.Done():
		talk.mute()
		return control.Rewound{}, context.Cause(ctx)
	}
}

// voice speaks to a client until that has gone.
type voice struct {
	mu  sync.Mutex
	say func(string) // nil: nobody listens
}

func (v *voice) tell(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.say != nil {
		v.say(line)
	}
}

func (v *voice) mute() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.say = nil
}

// destination is where a rewind leads.
type destination struct {
	generation    store.Generation
	replica, path string // "" for all
	text          string // for the checkpoint that is made first
	told          control.Rewound
}

// rewindTo finds out what is asked for, and how the bucket differs from it.
func (d rewinder) rewindTo(ctx context.Context, req control.RewindRequest, say func(string)) (to destination, err error) {
	r, done, err := d.openPast(false, say)
	if err != nil {
		return to, err
	}
	defer done()
	if req.At == "" {
		return to, errors.New("cannot rewind: say to what: a checkpoint, a generation or a time")
	}
	if to.generation, err = r.At(ctx, req.At, r.Now); err != nil {
		return to, err
	}
	if req.Path != "" {
		x, path, err := r.Find(req.Path)
		if err != nil {
			return to, err
		}
		to.replica, to.path = x.Name, path
	}
	to.text = "before the rewind to " + req.At
	if len(to.text) > store.CheckpointTextMax {
		to.text = ""
	}
	to.told = control.Rewound{To: to.generation.Number, Replicas: []control.RewoundReplica{}}
	newest, err := r.At(ctx, "", r.Now)
	if err != nil {
		return to, err
	}
	for _, x := range r.Replicas {
		if to.replica != "" && to.replica != x.Name {
			continue
		}
		told, err := wouldRewind(ctx, r, x, newest, to)
		if err != nil {
			return to, err
		}
		to.told.Replicas = append(to.told.Replicas, told)
	}
	return to, nil
}

// wouldRewind says what a rewind would do to a replica, by what is in the bucket.
func wouldRewind(ctx context.Context, r inquiry.Query, x scope.Replica, newest store.Generation, to destination) (control.RewoundReplica, error) {
	told := control.RewoundReplica{Replica: x.Name}
	switch {
	case x.Layout == "mirror":
		told.Stays = "it is kept as plain objects, without generations"
	case x.Direction != scope.Bidirectional:
		told.Stays = "it goes one way: " + string(x.Direction)
	case to.generation.Replicas[x.Name].Manifest == "":
		told.Stays = fmt.Sprintf("it is not in generation %d", to.generation.Number)
	}
	if told.Stays != "" {
		return told, nil
	}
	then, _, err := r.Tree(ctx, x, to.generation)
	if err != nil {
		return told, err
	}
	now, _, err := r.Tree(ctx, x, newest)
	if err != nil {
		return told, err
	}
	out, err := rewind.Sides{Now: now, Then: then, Filter: x.Filter, Wholes: x.Wholes, Under: to.path}.Tree()
	told.Added, told.Changed, told.Removed = out.Count.Added, out.Count.Changed, out.Count.Removed
	return told, err
}

// rewind is the order of a rewind: services stop, the engine takes the trees back, and the
// services start. What is under way ends with coltecd.
func (d rewinder) rewind(e replicator, to destination, say func(string)) (told control.Rewound, err error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go d.rewindTalk(ctx, cancel, say)
	told = control.Rewound{To: to.generation.Number, Replicas: []control.RewoundReplica{}}
	d.rewinds.still.Lock()
	defer d.rewinds.still.Unlock()
	stopped, err := d.standStill(ctx, say)
	told.Stopped = stopped
	defer func() {
		if len(stopped) > 0 && d.end.refusal() == nil {
			err = errors.Join(err, d.goOn(context.Background()))
		}
	}()
	if err != nil {
		return told, fmt.Errorf("cannot rewind: %w", err)
	}
	did, err := untilKnown(ctx, e, to, say)
	told.Generation, told.Before = did.Generation, did.Before.Name
	for _, x := range did.Replicas {
		told.Replicas = append(told.Replicas, control.RewoundReplica{
			Replica: x.Name, Stays: x.Stays, Added: x.Added, Changed: x.Changed, Removed: x.Removed, Unplaced: x.Unplaced,
		})
	}
	return told, err
}

// A write of which the store's answer was lost may have taken the bucket back: whatever runs
// beside it would have the files changed under it. So services stand still until that is known,
// for so long at most.
const (
	doubtMost  = 2 * time.Minute
	doubtEvery = time.Second
)

// untilKnown takes the trees back, again where it is not known whether that was done.
func untilKnown(ctx context.Context, e replicator, to destination, say func(string)) (did engine.Rewound, err error) {
	var first engine.Rewound
	for end := time.Now().Add(doubtMost); ; {
		did, err = e.Rewind(ctx, engine.RewindOptions{
			Generation: to.generation.Number, Replica: to.replica, Under: to.path, Say: say,
			Before: "before-rewind-" + time.Now().UTC().Format("20060102T150405.000Z"), Text: to.text,
		})
		if first.Before.Name == "" {
			first.Before = did.Before
		} else if did.Generation == 0 && (err == nil || errors.Is(err, account.ErrOnlyHere)) { // it was done the first time
			lease, _, _ := e.Status()
			did.Before, did.Generation = first.Before, lease.Generation
			did.Replicas = nil
			for _, x := range to.told.Replicas {
				did.Replicas = append(did.Replicas, engine.RewoundReplica{
					Name: x.Replica, Stays: x.Stays, Count: rewind.Count{Added: x.Added, Changed: x.Changed, Removed: x.Removed},
				})
			}
		}
		if !errors.Is(err, store.ErrInDoubt) || time.Now().After(end) {
			return did, err
		}
		say("the store did not answer, so it is not known whether the bucket is taken back: asking again")
		if failed := pause(ctx, doubtEvery); failed != nil {
			return did, errors.Join(err, failed)
		}
	}
}

// rewindTalk says how far the trees are, and ends what is under way when coltecd ends.
func (d rewinder) rewindTalk(ctx context.Context, end context.CancelCauseFunc, say func(string)) {
	last := ""
	for {
		seen := d.status.now()
		if err := d.end.refusal(); err != nil {
			end(err)
			return
		}
		var parts []string
		_, replicas, _ := d.replicas.status()
		for _, r := range replicas {
			if p := r.Progress; p != nil && r.State == status.ReplicaRestoring {
				parts = append(parts, fmt.Sprintf("%s: %d of %d files", r.Name, p.Files, p.TotalFiles))
			}
		}
		if line := strings.Join(parts, "; "); line != last && line != "" {
			last = line
			say(line)
		}
		if d.status.wait(ctx, seen, sayEvery) != nil {
			return
		}
		if pause(ctx, eventsEvery) != nil {
			return
		}
	}
}
