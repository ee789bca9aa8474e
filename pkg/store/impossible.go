package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
)

// ErrImpossible says that a bucket has what no coltecd writes: whoever has its key may
// have written anything. It does not go away by itself.
var ErrImpossible = errors.New("this bucket says something impossible")

// Impossible is the error of something in a bucket.
func Impossible(format string, args ...any) error {
	return hint.Wrap(fmt.Errorf("%w: %w", ErrImpossible, fmt.Errorf(format, args...)),
		"something else than coltecd wrote to this bucket: find out who has its key; older generations may be whole, see coltecd history")
}

// impossible makes one of what is wrong with an object whose bytes are those that its
// name promises: then it was written so. What went wrong on this machine is not a word
// about the bucket.
func impossible(err error) error {
	var local *fs.PathError
	if err == nil || errors.As(err, &local) || errors.As(err, new(syscall.Errno)) || errors.Is(err, ErrImpossible) || errors.Is(err, errLater) {
		return err
	}
	return Impossible("%w", err)
}

// errLater is of a format that a later version writes: no fault of the bucket.
var errLater = errors.New("is not known to this version of coltecd")

// What the objects of a bucket are held to. Nothing is allocated because a number in
// them says so, and no more is read of an object than it may have. docs/storage.md has
// them for other writers.
const (
	MaxHead    = 1 << 20
	maxClaim   = 64 << 10
	maxSegment = 32 << 20  // of the log
	maxLog     = 256 << 20 // all segments together: a commit each 5 s for two days comes to 100 MB with ten replicas
	maxList    = 16 << 20  // of condemned keys

	// So many values may be in what is JSON: a replica in a generation has five.
	headValues     = 1 << 16
	segmentValues  = 1 << 20
	listValues     = 1 << 17 // of condemned keys
	manifestValues = 1 << 17 // of its first line

	// maxNumber bounds epochs, generations and sizes: what a float64 tells exactly, and
	// far from where an int64 wraps.
	maxNumber = 1 << 53

	maxSegments = 1 << 14 // of the log
	logRows     = 1 << 20 // generations in it, and replicas in them
	maxReplicas = 1 << 10 // of a head
	maxWord     = 4 << 10 // bytes of a name in a head

	// A manifest may have so many times its bytes when it is unpacked, beside a fixed
	// part. Most rows have a hash, which cannot be packed; a tree of empty files alone
	// comes to some 100 times.
	maxRatio      = 1024
	maxRatioFixed = 16 << 20
	// And so many rows for each of its bytes: a row takes some 160 bytes of memory, and
	// half a byte of the object where all are alike but for a number.
	rowsPerByte = 8
	rowsFixed   = 1 << 16
	maxHeader   = 4 << 20  // bytes of its first line: it names a thousand paths
	MaxRows     = 1 << 24  // of a tree
	maxWindow   = 8 << 20  // of a zstd frame: what is read back takes so much memory
	maxExtent   = 64 << 20 // bytes of content, or stored
	maxObject   = 1 << 30  // bytes, where ours have 18 MiB
	maxPlain    = 1 << 43  // size of a plain object: S3 has 5 TiB
	maxNotFile  = 1 << 20  // size of a directory or link
)

// Get reads an object of at most so many bytes.
func Get(ctx context.Context, b Bucket, key string, limit int64) ([]byte, error) {
	body, err := b.Get(ctx, key, limit)
	if errors.Is(err, rclone.ErrTooLarge) {
		return nil, Impossible("%q has more than %d bytes", key, limit)
	}
	return body, err
}

// short quotes the beginning of a long text.
func short(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
