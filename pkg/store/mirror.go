package store

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/sparse"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// linkSuffix marks the object that holds a symlink's target, as rclone's
// --links has it.
const linkSuffix = ".rclonelink"

// The steps of a mirror at which a crash test kills the process: what is
// published there is true at once.
var (
	pointKept  = killpoint.New("mirror:kept")
	pointMoved = killpoint.New("mirror:moved")
)

// Mirror keeps a replica as plain objects at PREFIX/PATH, with mode and time
// in the metadata as rclone's -M has them. What is replaced or deleted goes to
// PREFIX/.coltec/history/UTC/PATH. Directories have no object: empty ones are
// not kept.
//
// A listing tells size and hash, not mode, time or target: Tree gives entries
// with Tag set, Mode tree.NoMode and a Sum that equals no content's, and
// Fetch fills in the rest. A mode that is as files are made here it leaves
// alone: an object without metadata looks the same.
type Mirror struct {
	bucket Bucket
}

// NewMirror keeps a replica as plain objects under the bucket's root.
func NewMirror(b Bucket) *Mirror { return &Mirror{bucket: b} }

// Tree lists the whole prefix. Directories are derived from the keys.
func (m *Mirror) Tree(ctx context.Context, _ string) (*Tree, error) {
	objects, err := m.bucket.List(ctx, "")
	if err != nil {
		return nil, err
	}
	t := &Tree{Listed: true}
	dirs := map[string]bool{}
	for _, o := range objects {
		if outside(o.Key) {
			continue
		}
		if o.Size < 0 || o.Size > maxPlain {
			return nil, Impossible("%s has %d bytes", short(o.Key), o.Size)
		}
		for dir := range tree.Parents(o.Key) {
			if !dirs[dir] {
				dirs[dir] = true
				t.Entries = append(t.Entries, tree.Entry{Path: dir, Kind: tree.Dir, Mode: tree.NoMode})
			}
		}
		t.Entries = append(t.Entries, listed(o))
	}
	// A store may hold both "a" and "a/b"; a file tree cannot. The file gives
	// way: it is not touched.
	t.Entries = slices.DeleteFunc(t.Entries, func(e tree.Entry) bool { return e.Kind != tree.Dir && dirs[e.Path] })
	tree.Sort(t.Entries)
	// The same for a file and a link of one name, whose object has the suffix:
	// whichever comes first stands for both.
	t.Entries = slices.CompactFunc(t.Entries, func(a, b tree.Entry) bool { return a.Path == b.Path })
	return t, nil
}

// outside says of a key that it is ours, or no path of a tree.
func outside(key string) bool {
	top, _, _ := strings.Cut(key, "/")
	return strings.EqualFold(top, Dir) || !tree.ValidPath(key)
}

// listed makes an entry of what a listing tells. What has the suffix of a link, and is too
// long for a target or is none of a path, is a file.
func listed(o rclone.Object) tree.Entry {
	e := tree.Entry{Path: o.Key, Kind: tree.File, Mode: tree.NoMode, Size: o.Size, Tag: o.MD5}
	if e.Tag == "" { // sent in parts by somebody else
		e.Tag = fmt.Sprintf("%d@%d", o.Size, o.ModTime.UnixNano())
	}
	e.Sum = sha256.Sum256([]byte("listed:" + o.Key + ":" + e.Tag))
	if p, ok := strings.CutSuffix(o.Key, linkSuffix); ok && o.Size <= tree.MaxPath && !outside(p) {
		e.Path, e.Kind, e.Size, e.Sum = p, tree.Link, 0, tree.Sum{}
		e.Link = "listed:" + e.Tag
	}
	return e
}

// MirrorTag is the tag that a store gives content: its MD5.
func MirrorTag(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}

// key is the object of an entry.
func (m *Mirror) key(e *tree.Entry) string {
	if e.Kind == tree.Link {
		return e.Path + linkSuffix
	}
	return e.Path
}

// Fetch downloads the objects of entries, and fills in what the listing did
// not tell. An object is a whole file: no part of one is of use.
func (m *Mirror) Fetch(ctx context.Context, entries []*tree.Entry, dir string, _ *Here, progress Progress) error {
	var keys []string
	for _, e := range entries {
		keys = append(keys, m.key(e))
	}
	if len(keys) == 0 {
		return nil
	}
	tmp := filepath.Join(dir, "mirror")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	usual, err := usualMode(filepath.Join(dir, "usual"))
	if err != nil {
		return err
	}
	if _, err := m.bucket.Download(ctx, keys, tmp, progress); err != nil {
		return err
	}
	for i, e := range entries {
		from, to := filepath.Join(tmp, keys[i]), filepath.Join(dir, fmt.Sprint(i))
		if err := m.complete(e, from, usual); err != nil {
			return fmt.Errorf("cannot use object %q: %w", keys[i], err)
		}
		if err := os.Rename(from, to); err != nil {
			return err
		}
	}
	return nil
}

// usualMode is the mode that rclone makes a file with whose object tells none:
// the umask is its to inherit, and cannot be asked for without setting it.
func usualMode(file string) (os.FileMode, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, err
	}
	s, err := f.Stat()
	if err := errors.Join(err, f.Close(), os.Remove(file)); err != nil {
		return 0, err
	}
	return s.Mode().Perm(), nil
}

// complete reads what was fetched into the entry.
func (m *Mirror) complete(e *tree.Entry, file string, usual os.FileMode) error {
	s, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if !s.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	// -M writes foreign metadata as attributes and may set an owner; neither
	// belongs in the tree.
	stripAttributes(file)
	_ = os.Lchown(file, os.Geteuid(), os.Getegid())
	if e.Kind == tree.Link {
		target, err := wholefile.Read(file, tree.MaxPath)
		e.Link, e.Tag, e.MTime = string(target), MirrorTag(target), s.ModTime().UnixNano()
		return err
	}
	if mode := s.Mode().Perm(); mode != usual {
		e.Mode = uint32(mode)
	}
	sum, tag := sha256.New(), md5.New()
	to := []io.Writer{sum, tag}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) { // it came read-only, and nobody needs its holes
		f, err = os.Open(file)
	} else if err == nil {
		to = append(to, sparse.NewDigger(f))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(io.MultiWriter(to...), f)
	if err != nil {
		return err
	}
	// The size is all there is to hold an object of a crypt remote to: it has no hash. Under
	// SSE-KMS the ETag looks like one.
	got := hex.EncodeToString(tag.Sum(nil))
	if n != e.Size || len(e.Tag) == len(got) && got != e.Tag && !m.opaque() {
		return errors.New("it changed since the prefix was listed")
	}
	e.Size, e.Sum, e.MTime = n, tree.Sum(sum.Sum(nil)), s.ModTime().UnixNano()
	return nil
}

// opaque reports whether the store is one whose ETags are no MD5s.
func (m *Mirror) opaque() bool {
	b, is := m.bucket.(interface{ Opaque() bool })
	return is && b.Opaque()
}

// Publish moves what is gone to the history.
func (m *Mirror) Publish(ctx context.Context, p Publication) (Ref, error) {
	c, err := measure(p.Entries)
	if err != nil {
		return Ref{}, err
	}
	ref := Ref{Files: c.files, Bytes: c.bytes, Older: p.Older.count()}
	var keys []string
	for i := range p.Gone {
		if p.Gone[i].Kind != tree.Dir {
			keys = append(keys, m.key(&p.Gone[i]))
		}
	}
	if len(keys) == 0 {
		return ref, nil
	}
	_, err = m.bucket.Move(ctx, keys, historyDir(time.Now()))
	pointMoved.Reach()
	return ref, err
}

func historyDir(t time.Time) string {
	return path.Join(Dir, "history", t.UTC().Format(historyStamp))
}

const historyStamp = "20060102T150405.000Z"

// Begin opens a batch.
func (m *Mirror) Begin(dir string, _ int64, progress Progress) Batch {
	return &mirrorBatch{mirror: m, dir: dir, progress: progress}
}

// ByContent is false: mode and time are the object's own.
func (m *Mirror) ByContent() bool { return false }

// mirrorBatch stages plain files under their own names.
type mirrorBatch struct {
	mirror   *Mirror
	dir      string
	keys     []string
	replaced []string
	staged   int64
	progress Progress
}

func (b *mirrorBatch) Staged() int64 { return b.staged }

// Reuse does nothing: each file is an object of its own.
func (b *mirrorBatch) Reuse([]tree.Extent) {}

// Stop does nothing: nothing is sent before Send.
func (b *mirrorBatch) Stop() {}

// Add stages a file or a link. An entry that has a tag replaces the object of
// that tag.
func (b *mirrorBatch) Add(_ context.Context, e *tree.Entry, r io.Reader) (func() error, error) {
	key := b.mirror.key(e)
	file := filepath.Join(b.dir, key)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	tag := md5.New()
	n, err := sparse.Copy(f, io.TeeReader(r, tag))
	if err == nil && e.Kind == tree.File {
		err = f.Chmod(os.FileMode(e.Mode & 0o777))
	}
	if err := errors.Join(err, f.Close(), os.Chtimes(file, time.Time{}, time.Unix(0, e.MTime))); err != nil {
		return nil, errors.Join(err, os.Remove(file))
	}
	before := *b
	if e.Tag != "" {
		b.replaced = append(b.replaced, key)
	}
	b.keys, b.staged = append(b.keys, key), b.staged+n
	e.Tag = hex.EncodeToString(tag.Sum(nil))
	return func() error {
		*b = before
		return os.Remove(file)
	}, nil
}

// Send keeps what is replaced and uploads the staged files.
func (b *mirrorBatch) Send(ctx context.Context) error {
	if len(b.keys) == 0 {
		return nil
	}
	if len(b.replaced) > 0 {
		if _, err := b.mirror.bucket.Copy(ctx, b.replaced, historyDir(time.Now())); err != nil {
			return err
		}
		pointKept.Reach()
	}
	if _, err := b.mirror.bucket.Upload(ctx, b.dir, b.keys, b.progress); err != nil {
		return err
	}
	b.keys, b.replaced, b.staged = nil, nil, 0
	return os.RemoveAll(b.dir)
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
