package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"slices"

	"github.com/coltec/coltec/pkg/tree"
)

// A file that has grown keeps its parts, and what came is a part of its own: of a log
// no more is sent than was appended. What such a file has at its end in many small
// parts is made one now and then: docs/decisions/014.
const (
	// tailParts is how many parts below the least size a file has at its end: the next
	// one makes them one. Of lines that come a few KB at a time all is sent twice then.
	tailParts = 32
	// tailSize is the size of such an end from which it is made one too.
	tailSize = usualPart
)

// addGrown stages a file, n bytes of which were read, that was in those parts before.
func (b *snapshotBatch) addGrown(ctx context.Context, e *tree.Entry, was []tree.Extent, n int, r io.Reader, undo *mark) error {
	in := io.MultiReader(bytes.NewReader(b.head[:n]), r)
	for _, x := range lasting(was) {
		b.part = slices.Grow(b.part[:0], int(x.Size))[:x.Size]
		got, err := io.ReadFull(in, b.part)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if sum := sha256.Sum256(b.part[:got]); string(sum[:]) != x.Sum {
			in = io.MultiReader(bytes.NewReader(b.part[:got]), in) // it has not only grown
			break
		}
		e.Where = append(e.Where, x)
	}
	return b.addLarge(ctx, e, in, undo)
}

// lasting are the parts that a file keeps when it grows: all whose content can be told
// by its hash, without an end that is to be made one.
func lasting(was []tree.Extent) []tree.Extent {
	for i, x := range was {
		if x.Sum == "" || x.Size > maxPart {
			return was[:i]
		}
	}
	end, size := len(was), int64(0)
	for end > 0 && was[end-1].Size < minPart {
		end--
		size += was[end].Size
	}
	if len(was)-end >= tailParts || size >= tailSize {
		return was[:end]
	}
	return was
}
