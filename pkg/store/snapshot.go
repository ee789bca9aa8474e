package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/klauspost/compress/zstd"
)

const (
	// smallFile is the size up to which files share an object: a request
	// costs as much as sending some tens of KiB.
	smallFile = 64 << 10
	// packSize is the stored size at which a pack is closed.
	packSize = 16 << 20
	// partSize is the content of one object of a large file: bounds what is
	// staged, and stays in one request.
	partSize = 64 << 20
)

// Snapshot keeps a replica as immutable objects and manifests under
// PREFIX/.coltec/: names, bits, links and times are exact, a hop is a few
// requests, and old generations stay readable.
//
//	o/EPOCH.COLLECTION-SHA256   stored bytes: one large file's part, or small files back to back
//	m/EPOCH-GENERATION-SHA256   a manifest
//
// SHA256 is that of the object's own bytes.
type Snapshot struct {
	bucket Bucket // rooted at PREFIX
	stage  string // directory for what is fetched
	// collection is the number of the last condemnation: content that was
	// condemned and comes back gets another name.
	collection int64
}

// SetCollection tells the number of the last condemnation, before each batch.
func (s *Snapshot) SetCollection(n int64) { s.collection = n }

// NewSnapshot keeps a replica under the bucket's root. stage is a local
// directory for manifests on their way.
func NewSnapshot(b Bucket, stage string) *Snapshot { return &Snapshot{bucket: b, stage: stage} }

// Publish sends the manifest of the next tree.
func (s *Snapshot) Publish(ctx context.Context, dir string, p Publication) (string, error) {
	body, err := encodeManifest(p, time.Now())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	ref := fmt.Sprintf("m/%d-%d-%x", p.Epoch, p.Generation, sum)
	key := path.Join(Dir, ref)
	file := filepath.Join(dir, key)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	defer os.Remove(file)
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return "", err
	}
	if _, err := s.bucket.Upload(ctx, dir, []string{key}, nil); err != nil {
		return "", err
	}
	return ref, nil
}

// Begin opens a batch.
func (s *Snapshot) Begin(dir string, epoch int64, progress Progress) Batch {
	return &snapshotBatch{
		bucket: s.bucket, dir: dir, era: fmt.Sprintf("%d.%d", epoch, s.collection), progress: progress, uses: map[string]int{},
	}
}

// ByContent is true: a rename, a copy or a chmod costs no upload.
func (s *Snapshot) ByContent() bool { return true }

// snapshotBatch writes objects under temporary names and gives them their own
// when they are whole and their hash is known.
type snapshotBatch struct {
	bucket   Bucket
	dir      string
	era      string // of the writing: part of the names of objects
	progress Progress
	enc      *zstd.Encoder

	pack   *object // open, for small files
	keys   []string
	uses   map[string]int // of each key: equal content gives equal objects
	staged int64
}

// object is one being written.
type object struct {
	f       *os.File
	sum     hash.Hash
	size    int64
	members []*tree.Entry // of a pack: their extent waits for its name
}

func (b *snapshotBatch) Staged() int64 { return b.staged }

func (b *snapshotBatch) objects() string { return filepath.Join(b.dir, Dir, "o") }

func (b *snapshotBatch) open() (*object, error) {
	if err := os.MkdirAll(b.objects(), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(b.objects(), "open-*")
	if err != nil {
		return nil, err
	}
	return &object{f: f, sum: sha256.New()}, nil
}

func (b *snapshotBatch) encoder() (*zstd.Encoder, error) {
	if b.enc == nil {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
		if err != nil {
			return nil, err
		}
		b.enc = enc
	}
	return b.enc, nil
}

// Add stages one file. A link is whole in its manifest row.
func (b *snapshotBatch) Add(ctx context.Context, e *tree.Entry, r io.Reader) (func() error, error) {
	e.Where = nil
	if e.Kind == tree.Link {
		return func() error { return nil }, nil
	}
	first := make([]byte, smallFile+1)
	n, err := io.ReadFull(r, first)
	switch {
	case err == io.EOF:
		return func() error { return nil }, nil
	case err == io.ErrUnexpectedEOF:
		return b.addSmall(e, first[:n])
	case err != nil:
		return nil, err
	}
	return b.addLarge(ctx, e, io.MultiReader(bytes.NewReader(first), r))
}

// addSmall appends one small file to the open pack.
func (b *snapshotBatch) addSmall(e *tree.Entry, content []byte) (func() error, error) {
	enc, err := b.encoder()
	if err != nil {
		return nil, err
	}
	if b.pack != nil && b.pack.size >= packSize {
		if err := b.closePack(); err != nil {
			return nil, err
		}
	}
	if b.pack == nil {
		if b.pack, err = b.open(); err != nil {
			return nil, err
		}
	}
	stored, codec := enc.EncodeAll(content, nil), tree.Zstd
	if len(stored) >= len(content) {
		stored, codec = content, tree.Raw
	}
	p, before := b.pack, *b.pack
	state, err := p.sum.(interface{ Clone() (hash.Cloner, error) }).Clone()
	if err != nil {
		return nil, err
	}
	if err := p.write(stored); err != nil {
		return nil, errors.Join(err, p.f.Truncate(before.size))
	}
	e.Where = []tree.Extent{{Offset: before.size, Stored: int64(len(stored)), Size: int64(len(content)), Codec: codec}}
	p.members = append(p.members, e)
	b.staged += int64(len(stored))
	return func() error {
		*p = before
		p.sum = state
		b.staged -= int64(len(stored))
		return p.f.Truncate(before.size)
	}, nil
}

func (o *object) write(stored []byte) error {
	if _, err := o.f.WriteAt(stored, o.size); err != nil {
		return err
	}
	o.sum.Write(stored)
	o.size += int64(len(stored))
	return nil
}

// addLarge stages a file of its own objects.
func (b *snapshotBatch) addLarge(ctx context.Context, e *tree.Entry, r io.Reader) (func() error, error) {
	undo := func() error {
		var errs []error
		for _, x := range e.Where {
			errs = append(errs, b.drop(x))
		}
		return errors.Join(errs...)
	}
	for {
		more, err := b.addPart(e, r)
		if err != nil {
			return nil, errors.Join(err, undo())
		}
		if !more {
			return undo, nil
		}
		if b.staged >= 2*partSize { // else the disk would have to hold the whole file once more
			if err := b.upload(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// addPart stages the next part of a large file.
func (b *snapshotBatch) addPart(e *tree.Entry, r io.Reader) (more bool, err error) {
	o, err := b.open()
	if err != nil {
		return false, err
	}
	x := tree.Extent{Codec: tree.Zstd}
	enc, err := b.encoder()
	if err != nil {
		return false, errors.Join(err, o.discard())
	}
	out := &countingWriter{w: io.MultiWriter(o.f, o.sum)}
	enc.Reset(out)
	x.Size, err = io.Copy(enc, io.LimitReader(r, partSize))
	if err := errors.Join(err, enc.Close()); err != nil || x.Size == 0 {
		return false, errors.Join(err, o.discard())
	}
	o.size, x.Stored = out.n, out.n
	x.Object, err = b.close(o)
	if err != nil {
		return false, err
	}
	e.Where = append(e.Where, x)
	b.staged += x.Stored
	return x.Size == partSize, nil
}

// drop takes the object of one part out again. One that was sent already
// stays: nothing refers to it.
func (b *snapshotBatch) drop(x tree.Extent) error {
	key := path.Join(Dir, x.Object)
	if b.uses[key] == 0 {
		return nil
	}
	b.staged -= x.Stored
	if b.uses[key]--; b.uses[key] > 0 {
		return nil
	}
	delete(b.uses, key)
	b.keys = slices.DeleteFunc(b.keys, func(k string) bool { return k == key })
	return os.Remove(filepath.Join(b.dir, key))
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (o *object) discard() error { return errors.Join(o.f.Close(), os.Remove(o.f.Name())) }

// close gives a whole object its name.
func (b *snapshotBatch) close(o *object) (string, error) {
	name := fmt.Sprintf("o/%s-%x", b.era, o.sum.Sum(nil))
	key := path.Join(Dir, name)
	if err := errors.Join(o.f.Close(), os.Rename(o.f.Name(), filepath.Join(b.dir, key))); err != nil {
		return "", err
	}
	if b.uses[key]++; b.uses[key] == 1 {
		b.keys = append(b.keys, key)
	}
	return name, nil
}

func (b *snapshotBatch) closePack() error {
	p := b.pack
	b.pack = nil
	if p == nil {
		return nil
	}
	if p.size == 0 {
		return p.discard()
	}
	name, err := b.close(p)
	for _, e := range p.members {
		e.Where[0].Object = name
	}
	return err
}

// Send uploads the staged objects.
func (b *snapshotBatch) Send(ctx context.Context) error {
	if err := b.closePack(); err != nil {
		return err
	}
	return b.upload(ctx)
}

// upload sends the objects that are whole.
func (b *snapshotBatch) upload(ctx context.Context) error {
	if len(b.keys) == 0 {
		return nil
	}
	if _, err := b.bucket.Upload(ctx, b.dir, b.keys, b.progress); err != nil {
		return err
	}
	var errs []error
	for _, key := range b.keys {
		errs = append(errs, os.Remove(filepath.Join(b.dir, key)))
	}
	b.keys, b.staged = nil, 0
	if b.pack != nil {
		b.staged = b.pack.size
	}
	clear(b.uses)
	return errors.Join(errs...)
}

// Manifests lists what Tree can be asked for in the prefix that the bucket is
// rooted at, oldest first, whether a head names it or not.
func Manifests(ctx context.Context, b Bucket) ([]string, error) {
	objects, err := b.List(ctx, path.Join(Dir, "m"))
	if errors.Is(err, rclone.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the manifests: %w", err)
	}
	type manifest struct {
		epoch, generation int64
		ref               string
	}
	var found []manifest
	for _, o := range objects {
		m := manifest{ref: "m/" + path.Base(o.Key)}
		if n, _ := fmt.Sscanf(m.ref, "m/%d-%d-", &m.epoch, &m.generation); n == 2 {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b manifest) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.generation, b.generation), cmp.Compare(a.ref, b.ref))
	})
	var refs []string
	for _, m := range found {
		refs = append(refs, m.ref)
	}
	return refs, nil
}
