package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
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
// generation refers to what the head's own refers to, and to what was sent for
// it, under a name with the number of the last condemnation in it. So a holder
// that was suspended in a sweep, and fenced, deletes nothing that its successor
// has come to need.

// Grace is for how long a reader may take to fetch a generation that it saw in
// the log, and an uploader between sending an object and committing it.
const Grace = 48 * time.Hour

// logPrefix begins the names of the log's segments, beside the head.
const logPrefix = "log-"

// Condemned names a list of keys that are to be deleted.
type Condemned struct {
	List  string    `json:"list"`  // its key, in the same directory as those it names
	Since time.Time `json:"since"` // by the store's clock
	Keys  int       `json:"keys"`
}

// The steps of a collection at which a crash test kills the process.
var (
	pointListWritten = killpoint.New("collect:listed")
	pointSwept       = killpoint.New("collect:deleted")
)

// StoreTime is the time by the store's own clock: that of an object just
// written.
func (l *Lease) StoreTime(ctx context.Context) (time.Time, error) {
	key := path.Join(path.Dir(l.key), "clock-"+l.self.Instance)
	if err := l.bucket.PutIf(ctx, key, []byte(NewID()), rclone.Cond{}); err != nil {
		return time.Time{}, fmt.Errorf("cannot see the store's clock: %w", err)
	}
	now, err := l.bucket.Stat(ctx, key)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot see the store's clock: %w", err)
	}
	_ = l.bucket.Delete(ctx, []string{key}) // litter, not harm
	return now.ModTime, nil
}

// Collected publishes the outcome of a collection: change is made to the head
// in one write, which is a renewal too.
func (l *Lease) Collected(ctx context.Context, change func(*Head)) error {
	if err := l.mine(); err != nil {
		return err
	}
	return l.write(ctx, change)
}

// Compact writes the log anew, with the given generations alone, and returns
// the change that makes it the head's. What is in the head's Recent and not
// given is dropped too, and so are the oldest of more than a log can have.
func (l *Lease) Compact(ctx context.Context, kept []Generation) (func(*Head), error) {
	rows := int64(0)
	for i := len(kept) - 1; i >= 0; i-- {
		if rows += kept[i].rows(); rows > usualLog.rows {
			kept = kept[i+1:]
			break
		}
	}
	n := max(len(kept)-l.head.room()/2, 0)
	older, recent := kept[:n], kept[n:]
	key := ""
	if len(older) > 0 {
		var err error
		if key, err = l.putSegments(ctx, "", older); err != nil {
			return nil, err
		}
	}
	return func(h *Head) { h.Log, h.Recent = key, slices.Clone(recent) }, nil
}

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
		// A store that tells no time tells no age.
		if len(o.Key) <= ownKey && y.Ours(o.Key) && !needed(o.Key) && !o.ModTime.IsZero() && now.Sub(o.ModTime) >= Grace {
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
	if err != nil {
		return 0, err
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return needed(key) || !y.Ours(key) || !tree.ValidPath(key) })
	for chunk := range slices.Chunk(keys, sweepAtOnce) {
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
	return len(keys), nil
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

// Needs collects what the manifests of generations refer to, themselves and
// what they are differences from included. One that cannot be read is an error:
// what it needs is not known.
func (s *Snapshot) Needs(ctx context.Context, refs []string, needed map[string]bool) error {
	bases := map[string]*overlaid{}
	err := s.eachManifest(ctx, refs, func(ref string, m *manifest) error {
		needed[ref] = true
		over := bases[m.Base]
		if over == nil {
			over = &overlaid{paths: map[string]int{}}
			bases[m.Base] = over
		}
		over.times++
		return m.each(func(rec *tree.Record) {
			need(needed, &rec.Entry)
			if m.Base != "" {
				over.paths[rec.Path]++
			}
		})
	})
	delete(bases, "")
	maps.DeleteFunc(bases, func(ref string, _ *overlaid) bool { return needed[ref] }) // all of it is
	if err != nil || len(bases) == 0 {
		return err
	}
	return s.eachManifest(ctx, slices.Sorted(maps.Keys(bases)), func(ref string, m *manifest) error {
		needed[ref] = true
		over := bases[ref]
		return m.each(func(rec *tree.Record) {
			if over.paths[rec.Path] < over.times {
				need(needed, &rec.Entry)
			}
		})
	})
}

// overlaid is what lies over the rows of a full manifest.
type overlaid struct {
	times int            // manifests that are differences from it
	paths map[string]int // how many of them have a word on a path
}

func need(needed map[string]bool, e *tree.Entry) {
	for _, x := range e.Where {
		needed[x.Object] = true
	}
}

// eachManifest fetches manifests and reads one after the other.
func (s *Snapshot) eachManifest(ctx context.Context, refs []string, do func(ref string, m *manifest) error) error {
	const atOnce = 32 // bounds the disk; each transfer is a run of rclone
	dir := filepath.Join(s.local, "marks")
	defer os.RemoveAll(dir)
	for chunk := range slices.Chunk(refs, atOnce) {
		if err := s.download(ctx, chunk, dir, nil); err != nil {
			return err
		}
		for _, ref := range chunk {
			m, err := openManifest(filepath.Join(dir, Dir, ref))
			if err == nil {
				err = do(ref, m)
				m.close()
			}
			if err != nil {
				return fmt.Errorf("cannot read manifest %q: %w", ref, err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// TrimHistory deletes what a mirror kept of replaced and deleted objects before
// a time.
func TrimHistory(ctx context.Context, b Bucket, before time.Time) error {
	var keys []string
	dir := path.Join(Dir, "history")
	err := b.ListEach(ctx, dir, rclone.ListOptions{}, func(o rclone.Object) error {
		stamp, _, _ := strings.Cut(o.Key, "/")
		if t, err := time.Parse(historyStamp, stamp); err == nil && t.Before(before) {
			keys = append(keys, path.Join(dir, o.Key))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot look for old versions: %w", err)
	}
	for chunk := range slices.Chunk(keys, sweepAtOnce) {
		if err := b.Delete(ctx, chunk); err != nil {
			return fmt.Errorf("cannot delete old versions: %w", err)
		}
	}
	return nil
}

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
