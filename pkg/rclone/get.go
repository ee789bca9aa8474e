package rclone

import (
	"bytes"
	"context"
	"fmt"
)

// Get reads one object of at most limit bytes into memory: one GET. A larger one is
// [ErrTooLarge], and is not read to its end; a missing one is [ErrNotFound]; on
// S3 a missing bucket looks the same.
func (r *Remote) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	list, err := keyList("get", key, []string{key})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := bounded{limit: limit, full: cancel}
	log, err := r.run(ctx, job{
		op: "get", key: key, stdin: list, stdout: &out, argv: r.opts.getArgv(r.root),
	})
	r.spend(1, 0, int64(out.Len()))
	if out.over {
		return nil, &Error{Op: "get", Key: key, Exit: -1, Class: TooLarge, Text: fmt.Sprintf("more than %d bytes", limit)}
	}
	if err == nil && out.Len() == 0 {
		// Nothing, or nothing there: but for S3 rclone passes over what is missing.
		_, err = r.Stat(ctx, key)
	}
	if err != nil {
		return nil, about1(err)
	}
	if log != nil && r.opts.overS3 && !r.opts.noHash {
		r.tags.note(join(r.root, encodeKey(key)), ETag(out.buf.Bytes()), log.answers.raw, false)
	}
	return out.buf.Bytes(), nil
}

// bounded keeps so many bytes, and says when there are more.
type bounded struct {
	buf   bytes.Buffer
	limit int64
	over  bool
	full  func()
}

func (b *bounded) Len() int { return b.buf.Len() }

// Write never fails: rclone is told to end, and its last words are for the log.
func (b *bounded) Write(p []byte) (int, error) {
	if b.over || int64(b.buf.Len()+len(p)) > b.limit {
		if !b.over {
			b.over = true
			b.full()
		}
		return len(p), nil
	}
	return b.buf.Write(p)
}
