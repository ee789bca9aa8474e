package rclone

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"
)

// ProbeResult is what a store can do.
type ProbeResult struct {
	// Create: a second write under [IfAbsent] is refused.
	Create bool
	// Match: a write under [IfMatch] is refused when the ETag is another.
	Match bool
	// ETagIsMD5: one is accepted when it is that of the body: its MD5, or what the store named
	// for it.
	ETagIsMD5 bool
	// ServerTime is when the probe was written, by the store's clock.
	ServerTime time.Time
	// Refusal is what came of a condition, where the store, or something before it, takes
	// writes and not that: as a rule it names no condition.
	Refusal error
	// Gone waits until the probe is removed: that is done beside what comes next.
	// nil: it is.
	Gone func() error
}

// Strong reports whether a lease by compare-and-swap holds on this store.
func (p ProbeResult) Strong() bool { return p.Create && p.Match && p.ETagIsMD5 }

// Probe tries on a key of its own what the store makes of conditional writes: at
// most four PUTs, a HEAD and a DELETE. The key must be one that nobody else
// uses. A store that ignores conditions is a result, not an error.
func (r *Remote) Probe(ctx context.Context, key string) (result ProbeResult, err error) {
	first, second := []byte("probe "+rand.Text()), []byte("probe "+rand.Text())
	err = r.PutIf(ctx, key, first, IfAbsent)
	if unconditional(err) {
		time, plain := r.ServerTime(ctx, key)
		if plain != nil && ClassOf(err) != Unsupported {
			return result, err // it takes no write at all
		}
		result.ServerTime, result.Refusal = time, err
		return result, errors.Join(plain, r.Delete(ctx, []string{key}))
	}
	if err != nil {
		return result, err
	}
	err = r.questions(ctx, key, first, second, &result)
	result.Gone = r.remove(ctx, key)
	if err != nil {
		_ = result.Gone()
	}
	return result, err
}

// unconditional reports whether an error may be about the condition of a write alone: a
// gateway that does not know one says 400 or 403, too.
func unconditional(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Class {
	case Unsupported, Unauthorized:
		return true
	case Config, Unclassified:
		return strings.Contains(e.Text, "StatusCode: 4")
	}
	return false
}

// remove removes a probe, and returns what waits for that. It goes even when ctx
// has ended, within the time of one request.
func (r *Remote) remove(ctx context.Context, key string) (wait func() error) {
	gone := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.IdleTimeout)
		defer cancel()
		gone <- r.Delete(ctx, []string{key})
	}()
	return sync.OnceValue(func() error { return <-gone })
}

// questions asks at once what changes nothing where the answer is the hoped for,
// and then, with no other write under way that a store might call a conflict,
// what changes something. Where objects are files, as on a disk, two writes of one
// at once spoil each other: there it asks in turn.
func (r *Remote) questions(ctx context.Context, key string, first, second []byte, result *ProbeResult) error {
	var (
		all    sync.WaitGroup
		failed [4]error
	)
	all.Go(func() { result.Create, failed[0] = r.refused(ctx, key, second, IfAbsent) })
	if !r.opts.overS3 {
		all.Wait()
	}
	all.Go(func() {
		result.Match, failed[1] = r.refused(ctx, key, second, IfMatch(ETag([]byte("another"))))
	})
	all.Wait()
	for i, err := range failed {
		if unconditional(err) { // the first write was taken
			result.Refusal, failed[i] = err, nil
		}
	}
	if err := errors.Join(failed[:]...); err != nil {
		return err
	}
	if result.Create && result.Match {
		all.Go(func() {
			var refused bool
			refused, failed[2] = r.refused(ctx, key, second, IfMatch(ETag(first)))
			result.ETagIsMD5 = failed[2] == nil && !refused
		})
	}
	all.Go(func() {
		var o Object
		o, failed[3] = r.Stat(ctx, key)
		result.ServerTime = o.ModTime
	})
	all.Wait()
	return errors.Join(failed[:]...)
}

// refused reports whether a conditional write is refused.
func (r *Remote) refused(ctx context.Context, key string, body []byte, cond Cond) (bool, error) {
	err := r.PutIf(ctx, key, body, cond)
	if errors.Is(err, ErrPrecondition) {
		return true, nil
	}
	return false, err
}

// ServerTime returns the store's clock, to the second: it writes an object and
// reads its time: one PUT and one HEAD. The object stays.
func (r *Remote) ServerTime(ctx context.Context, key string) (time.Time, error) {
	if err := r.PutIf(ctx, key, []byte("time "+rand.Text()), Cond{}); err != nil {
		return time.Time{}, err
	}
	o, err := r.Stat(ctx, key)
	return o.ModTime, err
}
