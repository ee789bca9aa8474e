// Package store is what a remote holds for a workspace: the head, which is
// lease and generation in one object written by compare-and-swap, and under
// each replica's prefix its content in one of two layouts.
package store

import (
	"context"

	"github.com/coltec/coltec/pkg/rclone"
)

// Bucket is what the store needs of a remote prefix. *rclone.Remote is the
// real one; tests have one in memory. Keys are relative to the prefix. Errors
// are *rclone.Error, whose class says what to do.
type Bucket interface {
	// PutIf writes a small object when cond holds; class Precondition when
	// it does not.
	PutIf(ctx context.Context, key string, body []byte, cond rclone.Cond) error
	// Get reads an object of at most limit bytes; class NotFound when there is none,
	// TooLarge when it has more.
	Get(ctx context.Context, key string, limit int64) ([]byte, error)
	// Stat tells of one object, by the store's own clock.
	Stat(ctx context.Context, key string) (rclone.Object, error)
	// Upload sends dir/KEY for each key, each in one request.
	Upload(ctx context.Context, dir string, keys []string, progress Progress) (rclone.Transfer, error)
	// Download fetches each key to dir/KEY.
	Download(ctx context.Context, keys []string, dir string, progress Progress) (rclone.Transfer, error)
	// List lists everything under a prefix, keys relative to it.
	List(ctx context.Context, prefix string) ([]rclone.Object, error)
	// ListEach calls f for each object under a prefix, keys relative to it.
	ListEach(ctx context.Context, prefix string, lo rclone.ListOptions, f func(rclone.Object) error) error
	// Delete removes the keys; one that is not there is no error.
	Delete(ctx context.Context, keys []string) error
	// Move renames each key to under toPrefix, on the server. One that is not
	// there is passed over.
	Move(ctx context.Context, keys []string, toPrefix string) (rclone.Transfer, error)
	// Copy copies each key to under toPrefix, on the server.
	Copy(ctx context.Context, keys []string, toPrefix string) (rclone.Transfer, error)
}

// Root is the bucket that holds heads: what its store makes of conditions can be
// found out.
type Root interface {
	Bucket
	// Probe tries conditional writes on a key that nobody else uses.
	Probe(ctx context.Context, key string) (rclone.ProbeResult, error)
	// Identity tells the store from any other that might answer them otherwise.
	Identity() string
	// Service is the same for all prefixes of a store.
	Service() string
}

// Progress is told how far a transfer is; nil is fine.
type Progress = func(Pace)

// Pace is how far it is.
type Pace = rclone.Progress
