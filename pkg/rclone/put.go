package rclone

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"
)

// PutIf writes one object, whole, if the condition holds: one PUT. It is done when
// the store has named the ETag of the body; where its ETags are something else the
// object is read back. The errors
// to look for are [ErrPrecondition] and, where a write may have happened all the
// same, [ErrUnknown]: then only the identical body may be sent again.
// Some stores (R2) take one write a second to a key: that second is waited for.
func (r *Remote) PutIf(ctx context.Context, key string, body []byte, cond Cond) error {
	if err := checkKey(key); err != nil {
		return badKey("put", key, err)
	}
	for try := 1; ; try++ {
		err := r.putOnce(ctx, key, body, cond)
		if ClassOf(err) != Throttled || try == throttledTries {
			return err
		}
		select {
		case <-time.After(throttledPause):
		case <-ctx.Done():
			return err
		}
	}
}

const (
	// throttledTries is how often a write is sent that the store throttles: three
	// may want to write at once, and one more.
	throttledTries = 4
	// throttledPause is a little more than what a store wants between two writes
	// of one key that takes one a second.
	throttledPause = 1100 * time.Millisecond
)

func (r *Remote) putOnce(ctx context.Context, key string, body []byte, cond Cond) error {
	place := join(r.root, encodeKey(key))
	log, err := r.run(ctx, job{
		op: "put", key: key, stdin: body,
		argv: r.opts.putArgv(r.root, key, len(body), r.tags.cond(place, cond)),
	})
	r.spend(1, int64(len(body)), 0)
	if !r.opts.overS3 || log == nil {
		return about1(err)
	}
	// rclone takes an ETag that is no MD5 for one, of something else.
	sealed := ClassOf(err) == Corrupted && len(log.answers.tags) > 0
	asked := sealed || err == nil && !r.named(log.answers.tags, body)
	if asked {
		err = r.readBack(ctx, key, body)
	}
	switch {
	case err != nil:
	case !r.opts.noHash:
		r.tags.note(place, ETag(body), log.answers.raw, asked)
	case sealed:
		r.tags.seal()
	}
	return about1(err)
}

// named reports whether the store has named the ETag of a body. That of an encrypted
// one rclone alone can tell, and it compares it itself.
func (r *Remote) named(tags []string, body []byte) bool {
	return slices.Contains(tags, ETag(body)) || r.opts.noHash && len(tags) > 0
}

// readBack makes sure of a write for which the store named no ETag of the body:
// under SSE-KMS and SSE-C it is none, and an rclone may log otherwise than ours.
func (r *Remote) readBack(ctx context.Context, key string, body []byte) error {
	got, err := r.Get(ctx, key, int64(len(body))+1)
	switch {
	case err == nil && bytes.Equal(got, body):
		return nil
	case err == nil, ClassOf(err) == NotFound, ClassOf(err) == TooLarge: // it may have arrived, and been written over since
		return &Error{Op: "put", Key: key, Class: Foreign, Text: "the write was said to be done, and the store holds something else"}
	case errors.Is(err, ErrUnknown):
		return err
	}
	// Whatever keeps us from reading, the write may have happened.
	return &Error{Op: "put", Key: key, Exit: -1, Class: Unclassified, cause: err}
}
