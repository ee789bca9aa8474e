package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/tree"
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

// checkPath refuses what no tree of ours has as a path of that kind.
func checkPath(path string, kind tree.Kind) error {
	if !tree.ValidPath(path) {
		return fmt.Errorf("%s is not a path", short(path))
	}
	top, below, _ := strings.Cut(path, "/")
	if top != Dir {
		return nil
	}
	// What else is there is this machine's own.
	dir, rest, _ := strings.Cut(below, "/")
	if dir != "" && dir != "conflicts" && dir != "git" || rest == "" && kind != tree.Dir {
		return fmt.Errorf("%s is a path of coltecd's own", short(path))
	}
	return nil
}

// Capital says of a path of a tree that a file system may take its first name, with
// capitals in it, for that of coltecd's own directory: it is placed nowhere, and not
// carried. Older versions carried it.
func Capital(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return top != Dir && strings.EqualFold(top, Dir)
}

// short quotes the beginning of a long text.
func short(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// checkEntry refuses what no tree has, or what would be content that nobody
// can read again.
func checkEntry(e *tree.Entry) error {
	if err := checkPath(e.Path, e.Kind); err != nil {
		return err
	}
	if e.Mode > 0o7777 && e.Mode != tree.NoMode || len(e.Link) > tree.MaxPath || len(e.Tag) > tree.MaxName {
		return fmt.Errorf("%s has a mode, a target or a tag that nothing has", short(e.Path))
	}
	if e.Kind != tree.File {
		if e.Size < 0 || e.Size > maxNotFile || len(e.Where) > 0 {
			return fmt.Errorf("%s is not a file, and has content", short(e.Path))
		}
		return nil
	}
	size := int64(0)
	for i := range e.Where {
		if err := checkExtent(&e.Where[i]); err != nil {
			return fmt.Errorf("the place named for the content of %s is impossible: %w", short(e.Path), err)
		}
		size += e.Where[i].Size // at most 2^25 of 2^26 bytes
	}
	if size != e.Size {
		return fmt.Errorf("%s has %d bytes and %d are stored", short(e.Path), e.Size, size)
	}
	return nil
}

func checkExtent(x *tree.Extent) error {
	name, ours := strings.CutPrefix(x.Object, "o/")
	switch {
	case !ours || !tree.ValidPath(x.Object) || strings.Contains(name, "/"):
		return fmt.Errorf("%s is not a content object", short(x.Object))
	case x.Offset < 0 || x.Offset > maxObject || x.Stored < 0 || x.Stored > maxExtent || x.Size < 0 || x.Size > maxExtent:
		return fmt.Errorf("at %d, %d bytes of %d", x.Offset, x.Stored, x.Size)
	}
	return nil
}

// check refuses a head that no coltecd writes.
func (h *Head) check() error {
	for _, n := range []int64{h.Epoch, h.Seq, h.Generation, h.Collection, int64(h.Dirty)} {
		if n < 0 || n > maxNumber {
			return fmt.Errorf("a number of the head is %d", n)
		}
	}
	const year = float64(366 * 24 * time.Hour / time.Second)
	if !(h.TTL >= 0 && h.TTL <= year) || !(h.Renew >= 0 && h.Renew <= year) {
		return fmt.Errorf("a lease of %g s that is renewed each %g s", h.TTL, h.Renew)
	}
	if len(h.Replicas) > maxReplicas || len(h.Recent) > 4*recentMax || len(h.LeftBehind) > 4*leftBehindMax {
		return fmt.Errorf("%d replicas, %d generations and %d machines in one head", len(h.Replicas), len(h.Recent), len(h.LeftBehind))
	}
	for _, word := range []string{h.Lineage, h.Nonce, h.Log, h.Holder.Host, h.Holder.Container, h.Holder.Instance} {
		if len(word) > maxWord {
			return fmt.Errorf("a name of %d bytes in the head", len(word))
		}
	}
	if err := checkRefs(h.Replicas); err != nil {
		return err
	}
	last, err := checkGenerations(h.Recent)
	if err == nil && last > h.Generation {
		err = fmt.Errorf("generation %d of %d", last, h.Generation)
	}
	return err
}

// checkGenerations refuses generations that cannot follow each other, and gives the
// number of the last.
func checkGenerations(gens []Generation) (last int64, err error) {
	last = -1
	for i := range gens {
		if err := gens[i].check(last); err != nil {
			return last, err
		}
		last = gens[i].Number
	}
	return last, nil
}

// check refuses a generation that cannot follow the one of number last.
func (g *Generation) check(last int64) error {
	if g.Number <= last || g.Number > maxNumber || g.Epoch < 0 || g.Epoch > maxNumber || len(g.Nonce) > maxWord || len(g.Replicas) > maxReplicas {
		return fmt.Errorf("generation %d of epoch %d after %d", g.Number, g.Epoch, last)
	}
	return checkRefs(g.Replicas)
}

// checkRefs refuses what is not a word on a replica's tree.
func checkRefs(refs map[string]Ref) error {
	for name, ref := range refs {
		switch {
		case len(name) > tree.MaxName:
			return fmt.Errorf("a replica with a name of %d bytes", len(name))
		case ref.Manifest != "" && (!tree.ValidPath(ref.Manifest) || len(ref.Manifest) > tree.MaxName):
			return fmt.Errorf("%s is not a manifest", short(ref.Manifest))
		case ref.Files < 0 || ref.Bytes < 0 || ref.Older < 0:
			return fmt.Errorf("replica %s has %d files and %d bytes", short(name), ref.Files, ref.Bytes)
		}
	}
	return nil
}
