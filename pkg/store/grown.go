package store

import (
	"bytes"
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

// unchanged gives the parts of a file that it begins with still, and what follows them.
// buf is for what is read.
func unchanged(was []tree.Extent, in io.Reader, buf *[]byte) (kept []tree.Extent, rest io.Reader, err error) {
	for _, x := range lasting(was) {
		*buf = slices.Grow((*buf)[:0], int(x.Size))[:x.Size]
		got, err := io.ReadFull(in, *buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, nil, err
		}
		if sum := sha256.Sum256((*buf)[:got]); string(sum[:]) != x.Sum {
			return kept, io.MultiReader(bytes.NewReader((*buf)[:got]), in), nil // it has not only grown
		}
		kept = append(kept, x)
	}
	return kept, in, nil
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
