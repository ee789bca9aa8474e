package store

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/rclone"
)

// Damaged fetches objects and names those whose bytes are not those that their
// names promise, or that are not there.
func (s *Snapshot) Damaged(ctx context.Context, keys []string, dir string) ([]string, error) {
	const atOnce = 16 // of up to 80 MiB each
	var out []string
	defer os.RemoveAll(dir)
	for chunk := range slices.Chunk(keys, atOnce) {
		damaged, err := s.fetchWhole(ctx, chunk, dir)
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return nil, err
		}
		out = append(out, damaged...)
	}
	return out, nil
}

// fetchWhole fetches objects to dir/.coltec/KEY, in one run, and names those that
// are damaged or not there.
func (s *Snapshot) fetchWhole(ctx context.Context, keys []string, dir string) (damaged []string, err error) {
	full := make([]string, len(keys))
	for i, key := range keys {
		full[i] = path.Join(Dir, key)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// rclone refuses what has another size than the store says, before we look
	// at it.
	_, err = s.bucket.Download(ctx, full, dir, nil)
	refused := corrupted(err)
	if err != nil && refused == nil && !errors.Is(err, rclone.ErrNotFound) {
		return nil, err
	}
	for i, key := range keys {
		if verify(filepath.Join(dir, full[i])) == nil {
			continue
		}
		if refused != nil && !slices.Contains(refused, full[i]) {
			return nil, err // not looked at
		}
		damaged = append(damaged, key)
	}
	return damaged, nil
}

// corrupted are the objects that a download found to differ from what the store
// says they are; nil when it failed for another reason or not at all.
func corrupted(err error) []string {
	var e *rclone.Error
	if errors.As(err, &e) && e.Class == rclone.Corrupted {
		return e.Keys
	}
	return nil
}
