package store

import (
	"bytes"
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

	"github.com/coltec/coltec/pkg/tree"
	"github.com/klauspost/compress/zstd"
)

// What shares an object, and how large it gets: docs/decisions/005.
const (
	// smallFile is the size up to which a file is one piece.
	smallFile = 64 << 10
	// packSize is the stored size at which a pack is closed.
	packSize = 16 << 20
	// packPieces is how many pieces it has at most: who stages holds their rows
	// until it has its name.
	packPieces = 16 << 10
	// shipSize is the stored size of whole packs at which they are sent while
	// the next are staged; the disk holds this much a few times, and not a large
	// file once more.
	shipSize = 64 << 20
	// shipments is how many of them are under way at a time: while one begins or
	// ends, the other fills the line.
	shipments = 2
)

// snapshotBatch writes packs under temporary names and gives them their own
// when they are whole and their hash is known.
type snapshotBatch struct {
	bucket   Bucket
	dir      string
	era      string // of the writing: part of the names of objects
	progress Progress

	enc    *zstd.Encoder
	cut    cutter
	head   []byte // of the file that is read
	part   []byte // of one that has grown
	stored []byte // the piece that is written

	pack    *pack       // open; nil for none
	whole   []string    // keys of closed packs that wait to be sent
	waiting int64       // their bytes
	sending []*shipment // under way, oldest first
	staged  int64       // bytes added since the last Send
	known   map[string]piece
}

// pack is an object being written.
type pack struct {
	f       *os.File
	sum     hash.Hash
	size    int64
	members []member
	name    string // "" before it is closed
}

// member is an extent that waits for the name of its pack.
type member struct {
	entry *tree.Entry
	i     int // in its Where
}

// piece is a part of a large file that is in the store, or in the batch.
type piece struct {
	tree.Extent
	pack *pack // nil: in the store
}

// shipment is packs on their way.
type shipment struct {
	keys []string
	size int64
	stop context.CancelFunc
	done chan error
}

func (b *snapshotBatch) Staged() int64 { return b.staged }

// Reuse notes the parts among the extents.
func (b *snapshotBatch) Reuse(where []tree.Extent) {
	for _, x := range where {
		if x.Sum != "" {
			b.known[x.Sum] = piece{Extent: x}
		}
	}
}

// Add stages one file. A link is whole in its manifest row.
func (b *snapshotBatch) Add(ctx context.Context, e *tree.Entry, r io.Reader) (func() error, error) {
	was := e.Where
	e.Where = nil
	if e.Kind == tree.Link {
		return func() error { return nil }, nil
	}
	if b.head == nil {
		b.head = make([]byte, smallFile+1)
	}
	n, err := io.ReadFull(r, b.head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	undo, err := b.mark()
	if err != nil {
		return nil, err
	}
	switch {
	case n == 0:
	case len(was) > 0:
		err = b.addGrown(ctx, e, was, io.MultiReader(bytes.NewReader(b.head[:n]), r), undo)
	case n <= smallFile:
		_, err = b.add(ctx, e, b.head[:n])
	default:
		err = b.addLarge(ctx, e, io.MultiReader(bytes.NewReader(b.head), r), undo)
	}
	if err != nil {
		e.Where = was
		return nil, errors.Join(err, undo.undo())
	}
	return func() error {
		e.Where = was // what was taken out lies nowhere
		return undo.undo()
	}, nil
}

// addGrown stages a file that was in those parts before.
func (b *snapshotBatch) addGrown(ctx context.Context, e *tree.Entry, was []tree.Extent, r io.Reader, undo *mark) error {
	kept, rest, err := unchanged(was, r, &b.part)
	if err != nil {
		return err
	}
	e.Where = kept
	return b.addLarge(ctx, e, rest, undo)
}

// addLarge stages a file, or what follows its first parts, in parts. Those that are
// known are referred to.
func (b *snapshotBatch) addLarge(ctx context.Context, e *tree.Entry, r io.Reader, undo *mark) error {
	if err := b.cut.begin(r); err != nil {
		return err
	}
	for more := true; more; {
		part, err := b.cut.next()
		if err != nil && err != io.EOF {
			return err
		}
		if more = err == nil; len(part) == 0 {
			break
		}
		if err := b.addPart(ctx, e, part, undo); err != nil {
			return err
		}
	}
	if len(e.Where) == 1 {
		e.Where[0].Sum = "" // it is the file's
	}
	return nil
}

// addPart refers to a known part, or adds it.
func (b *snapshotBatch) addPart(ctx context.Context, e *tree.Entry, part []byte, undo *mark) error {
	digest := sha256.Sum256(part)
	sum := string(digest[:])
	known, ok := b.known[sum]
	if !ok {
		x, err := b.add(ctx, e, part)
		if err != nil {
			return err
		}
		e.Where[len(e.Where)-1].Sum = sum
		b.known[sum] = piece{x, b.pack}
		undo.parts = append(undo.parts, sum)
		return nil
	}
	x := known.Extent
	x.Sum = sum
	if known.pack != nil {
		x.Object = known.pack.name
		if x.Object == "" {
			known.pack.members = append(known.pack.members, member{e, len(e.Where)})
		}
	}
	e.Where = append(e.Where, x)
	return nil
}

// add appends one piece of an entry's content to the open pack.
func (b *snapshotBatch) add(ctx context.Context, e *tree.Entry, content []byte) (tree.Extent, error) {
	enc, err := b.encoder()
	if err != nil {
		return tree.Extent{}, err
	}
	b.stored = enc.EncodeAll(content, b.stored[:0])
	if len(b.stored) >= len(content) {
		return b.put(ctx, e, content, tree.Extent{Size: int64(len(content)), Codec: tree.Raw})
	}
	return b.put(ctx, e, b.stored, tree.Extent{Size: int64(len(content)), Codec: tree.Zstd})
}

// put appends stored bytes to the open pack, as the next piece x of an entry.
func (b *snapshotBatch) put(ctx context.Context, e *tree.Entry, stored []byte, x tree.Extent) (tree.Extent, error) {
	if err := b.room(ctx); err != nil {
		return x, err
	}
	p := b.pack
	x.Object, x.Offset, x.Stored = "", p.size, int64(len(stored))
	if _, err := p.f.WriteAt(stored, p.size); err != nil {
		return x, err
	}
	p.sum.Write(stored)
	p.size += x.Stored
	p.members = append(p.members, member{e, len(e.Where)})
	e.Where = append(e.Where, x)
	b.staged += x.Stored
	return x, nil
}

// room makes sure that a pack is open that is not full.
func (b *snapshotBatch) room(ctx context.Context) error {
	if b.pack != nil && (b.pack.size >= packSize || len(b.pack.members) >= packPieces) {
		if err := b.close(); err != nil {
			return err
		}
		if b.waiting >= shipSize {
			if err := b.ship(ctx); err != nil {
				return err
			}
		}
	}
	if b.pack != nil {
		return nil
	}
	dir := filepath.Join(b.dir, Dir, "o")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "open-*")
	if err != nil {
		return err
	}
	b.pack = &pack{f: f, sum: sha256.New()}
	return nil
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

// close gives the open pack its name, and those in it.
func (b *snapshotBatch) close() error {
	p := b.pack
	b.pack = nil
	if p == nil {
		return nil
	}
	if p.size == 0 {
		return p.discard()
	}
	p.name = fmt.Sprintf("o/%s-%x", b.era, p.sum.Sum(nil))
	for _, m := range p.members {
		m.entry.Where[m.i].Object = p.name
	}
	p.members = nil
	key := path.Join(Dir, p.name)
	if slices.Contains(b.whole, key) || slices.ContainsFunc(b.sending, func(s *shipment) bool { return slices.Contains(s.keys, key) }) {
		return p.discard() // equal content makes equal packs
	}
	b.whole, b.waiting = append(b.whole, key), b.waiting+p.size
	return errors.Join(p.f.Close(), os.Rename(p.f.Name(), filepath.Join(b.dir, key)))
}

func (p *pack) discard() error { return errors.Join(p.f.Close(), os.Remove(p.f.Name())) }

// mark is a state of the batch to which it can be set back.
type mark struct {
	b      *snapshotBatch
	pack   *pack // the open one; nil for none
	before pack
	whole  []string
	staged int64
	parts  []string // known since
}

func (b *snapshotBatch) mark() (*mark, error) {
	m := &mark{b: b, pack: b.pack, whole: slices.Clone(b.whole), staged: b.staged}
	if b.pack != nil {
		m.before = *b.pack
		state, err := b.pack.sum.(hash.Cloner).Clone()
		if err != nil {
			return nil, err
		}
		m.before.sum = state
	}
	return m, nil
}

// undo takes out what was added since. What was sent stays, and so does a pack
// that was begun before and closed since: nothing refers to it.
func (m *mark) undo() error {
	b := m.b
	b.staged = m.staged
	for _, sum := range m.parts {
		delete(b.known, sum)
	}
	if m.pack != nil && m.pack == b.pack {
		f := b.pack.f
		*b.pack = m.before
		return f.Truncate(m.before.size)
	}
	var errs []error
	if b.pack != nil {
		errs = append(errs, b.pack.discard())
		b.pack = nil
	}
	for _, key := range slices.Clone(b.whole) {
		if slices.Contains(m.whole, key) || m.pack != nil && key == path.Join(Dir, m.pack.name) {
			continue
		}
		b.whole = slices.DeleteFunc(b.whole, func(k string) bool { return k == key })
		file := filepath.Join(b.dir, key)
		if s, err := os.Stat(file); err == nil {
			b.waiting -= s.Size()
		}
		errs = append(errs, os.Remove(file))
	}
	return errors.Join(errs...)
}

// ship sends the whole packs, once there is room for a shipment.
func (b *snapshotBatch) ship(ctx context.Context) error {
	if err := b.arrived(shipments - 1); err != nil || len(b.whole) == 0 {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	s := &shipment{keys: b.whole, size: b.waiting, stop: stop, done: make(chan error, 1)}
	b.whole, b.waiting, b.sending = nil, 0, append(b.sending, s)
	go func() {
		_, err := b.bucket.Upload(ctx, b.dir, s.keys, b.progress)
		s.done <- err
	}()
	return nil
}

// arrived waits until no more than so many shipments are under way. What did
// not arrive waits again.
func (b *snapshotBatch) arrived(left int) error {
	var errs []error
	for len(b.sending) > left {
		s := b.sending[0]
		b.sending = b.sending[1:]
		err := <-s.done
		s.stop()
		if err != nil {
			b.whole, b.waiting = append(s.keys, b.whole...), b.waiting+s.size
			errs = append(errs, err)
			continue
		}
		for _, key := range s.keys {
			errs = append(errs, os.Remove(filepath.Join(b.dir, key)))
		}
	}
	return errors.Join(errs...)
}

// Send uploads all packs.
func (b *snapshotBatch) Send(ctx context.Context) error {
	if err := b.close(); err != nil {
		return err
	}
	if err := errors.Join(b.ship(ctx), b.arrived(0)); err != nil {
		return err
	}
	b.staged = 0
	return nil
}

// Stop ends what is under way.
func (b *snapshotBatch) Stop() {
	for _, s := range b.sending {
		s.stop()
	}
	_ = b.arrived(0)
}
