package rclone

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// ProbeResult is what a store can do.
type ProbeResult struct {
	// Create: a second write under [IfAbsent] is refused.
	Create bool
	// Match: a write under [IfMatch] is refused when the ETag is another.
	Match bool
	// ETagIsMD5: one is accepted when it is the MD5 of the body.
	ETagIsMD5 bool
	// ServerTime is when the probe was last written, by the store's clock.
	ServerTime time.Time
}

// Strong reports whether a lease by compare-and-swap holds on this store.
func (p ProbeResult) Strong() bool { return p.Create && p.Match && p.ETagIsMD5 }

// Probe tries on a key of its own what the store makes of conditional writes: at
// most four PUTs, a HEAD and a DELETE. The key must be one that nobody else
// uses. A store that ignores conditions is a result, not an error.
func (r *Remote) Probe(ctx context.Context, key string) (result ProbeResult, err error) {
	first, second := []byte("probe "+rand.Text()), []byte("probe "+rand.Text())
	err = r.PutIf(ctx, key, first, IfAbsent)
	if ClassOf(err) == Unsupported {
		result.ServerTime, err = r.ServerTime(ctx, key)
		return result, errors.Join(err, r.Delete(ctx, []string{key}))
	}
	if err != nil {
		return result, err
	}
	// The probe goes even when ctx has ended, within the time of one request.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.IdleTimeout)
		defer cancel()
		if e := r.Delete(ctx, []string{key}); err == nil {
			err = e
		}
	}()
	if err := r.questions(ctx, key, second, &result); err != nil {
		return result, err
	}
	if result.Create && result.Match {
		refused, err := r.refused(ctx, key, second, IfMatch(ETag(first)))
		if err != nil {
			return result, err
		}
		result.ETagIsMD5 = !refused
	}
	return result, nil
}

// questions asks at once what changes nothing where the answer is the hoped for.
func (r *Remote) questions(ctx context.Context, key string, body []byte, result *ProbeResult) error {
	var (
		all    sync.WaitGroup
		failed [3]error
		o      Object
	)
	all.Go(func() { result.Create, failed[0] = r.refused(ctx, key, body, IfAbsent) })
	all.Go(func() { result.Match, failed[1] = r.refused(ctx, key, body, IfMatch(ETag([]byte("another")))) })
	all.Go(func() { o, failed[2] = r.Stat(ctx, key) })
	all.Wait()
	result.ServerTime = o.ModTime
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
