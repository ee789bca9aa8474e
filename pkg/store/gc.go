package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Garbage is collected by the holder alone, in two phases. *Mark*: what no
// kept generation needs, and is older than Grace, is condemned: a list of it
// is written, and the head names the list from the next write on. *Sweep*:
// what the current head has condemned for Grace, and a fresh mark does not need
// either, is deleted. Between the two lie Grace for a reader that had begun to
// restore, and the rule that nobody refers to a condemned key again: a new
// generation refers to what the head's own refers to, to what was sent for it,
// under a name with the number of the last condemnation in it, and, where it takes
// a workspace back, to what a kept one refers to, which no list names. So a holder
// that was suspended in a sweep, and fenced, deletes nothing that its successor
// has come to need.

// Grace is for how long a reader may take to fetch a generation that it saw in
// the log, and an uploader between sending an object and committing it.
const Grace = 48 * time.Hour

// The steps of a collection at which a crash test kills the process.
var (
	pointListWritten = killpoint.New("collect:listed")
	pointSwept       = killpoint.New("collect:deleted")
)

// Yard is a directory of a bucket with Coltec's own objects: where garbage
// comes to lie.
type Yard struct {
	Bucket Bucket
	Dir    string                // the keys of lists and objects are relative to it
	Ours   func(key string) bool // objects that may be garbage; all others stay
}

// ReplicaYard is that of a replica in the layout snapshot.
func ReplicaYard(b Bucket) Yard {
	return Yard{b, Dir, func(key string) bool {
		dir, _, ok := strings.Cut(key, "/")
		return ok && slices.Contains([]string{"o", "m", "plain", "c"}, dir)
	}}
}

// HeadYard is the one beside the head.
func HeadYard(b Bucket, workspace string) Yard {
	return Yard{b, path.Dir(HeadKey(workspace)), func(key string) bool {
		for _, prefix := range []string{logPrefix, "clock-", "probe-", "c/"} {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	}}
}

// Garbage lists what is in the yard, is not needed, and is older than Grace; and
// the sizes of what is needed.
func (y Yard) Garbage(ctx context.Context, needed func(key string) bool, now time.Time) (keys []string, sizes map[string]int64, err error) {
	sizes = map[string]int64{}
	err = y.Bucket.ListEach(ctx, y.Dir, rclone.ListOptions{ModTime: true}, func(o rclone.Object) error {
		if needed(o.Key) {
			sizes[o.Key] = o.Size
		}
		if y.Ours(o.Key) && !needed(o.Key) && y.old(o, now) {
			keys = append(keys, o.Key)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot look for garbage: %w", err)
	}
	slices.Sort(keys)
	return keys[:min(len(keys), condemnedMost)], sizes, nil
}

// Amount is of objects.
type Amount struct {
	Objects int
	Bytes   int64
}

func (a *Amount) add(bytes int64) { a.Objects, a.Bytes = a.Objects+1, a.Bytes+bytes }

// Survey is what lies in a yard, by what becomes of it.
type Survey struct {
	Needed    Amount // by what is kept
	Condemned Amount // named to be deleted, and not needed
	Garbage   Amount // not needed, and not condemned yet
	Young     Amount // not needed, and too young to be condemned: somebody may be about to refer to it
}

// Survey counts, and changes nothing. c is what is condemned there; nil for nothing.
func (y Yard) Survey(ctx context.Context, needed func(key string) bool, c *Condemned, now time.Time) (s Survey, err error) {
	condemned := map[string]bool{}
	if c != nil {
		keys, err := y.list(ctx, *c)
		if err != nil {
			return s, err
		}
		for _, key := range append(keys, c.List) {
			condemned[key] = true
		}
	}
	err = y.Bucket.ListEach(ctx, y.Dir, rclone.ListOptions{ModTime: true}, func(o rclone.Object) error {
		switch {
		case needed(o.Key):
			s.Needed.add(o.Size)
		case !y.Ours(o.Key):
		case condemned[o.Key]:
			s.Condemned.add(o.Size)
		case y.old(o, now):
			s.Garbage.add(o.Size)
		default:
			s.Young.add(o.Size)
		}
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("cannot look for garbage: %w", err)
	}
	return s, nil
}

// old reports whether an object may be condemned by its age. A store that tells no time
// tells no age.
func (y Yard) old(o rclone.Object, now time.Time) bool {
	return len(o.Key) <= ownKey && !o.ModTime.IsZero() && now.Sub(o.ModTime) >= Grace
}

const (
	// condemnedMost is how many keys one list has: what is left is found again.
	condemnedMost = 100_000
	// ownKey is longer than all keys of ours: so many of them fit into a list.
	ownKey = 128
)

// condemnation is the object that lists condemned keys. Immutable.
type condemnation struct {
	Format int      `json:"format"`
	Keys   []string `json:"keys"`
}

// Condemn writes the list of keys that are to be deleted.
func (y Yard) Condemn(ctx context.Context, keys []string, now time.Time) (Condemned, error) {
	body, err := encodeJSON(condemnation{Format: headFormat, Keys: keys})
	if err != nil {
		return Condemned{}, err
	}
	c := Condemned{List: fmt.Sprintf("c/%s-%x", NewID(), sha256.Sum256(body)), Since: now.UTC(), Keys: len(keys)}
	if err := y.Bucket.PutIf(ctx, path.Join(y.Dir, c.List), body, rclone.Cond{}); err != nil {
		return Condemned{}, fmt.Errorf("cannot write the list of garbage: %w", err)
	}
	pointListWritten.Reach()
	return c, nil
}

// sweepAtOnce bounds the keys of one deletion, so that one that was stopped
// did not go far.
const sweepAtOnce = 1000

// Sweep deletes what was condemned and is not needed, and the list itself. It
// says how many objects that were. The caller has seen that it is due.
func (y Yard) Sweep(ctx context.Context, c Condemned, needed func(key string) bool) (int, error) {
	keys, err := y.list(ctx, c)
	if err != nil || keys == nil {
		return 0, err
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return needed(key) || !y.Ours(key) || !tree.ValidPath(key) })
	swept := len(keys)
	// Last: whoever goes on with a sweep that was cut off reads it.
	for chunk := range slices.Chunk(append(keys, c.List), sweepAtOnce) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		full := make([]string, len(chunk))
		for i, key := range chunk {
			full[i] = path.Join(y.Dir, key)
		}
		if err := y.Bucket.Delete(ctx, full); err != nil {
			return 0, fmt.Errorf("cannot delete garbage: %w", err)
		}
		pointSwept.Reach()
	}
	return swept, nil
}

// list reads a list of condemned keys. One that is gone, or is not as it was
// written, condemns nothing.
func (y Yard) list(ctx context.Context, c Condemned) ([]string, error) {
	body, err := Get(ctx, y.Bucket, path.Join(y.Dir, c.List), maxList)
	if errors.Is(err, rclone.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the list of garbage: %w", err)
	}
	var l condemnation
	if !strings.HasSuffix(c.List, fmt.Sprintf("-%x", sha256.Sum256(body))) || wholefile.Unmarshal(body, &l, listValues) != nil || l.Format != headFormat {
		return nil, nil
	}
	return l.Keys, nil
}
