package store

import (
	"io"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc" // registers chunking
)

// Large files are cut where their content says so, so that what follows an
// edit is cut as before. A change costs the parts that it touches. How large
// they are: docs/decisions/005.
const (
	minPart   = 128 << 10
	usualPart = 512 << 10
	maxPart   = 2 << 20
	chunking  = "fastcdc-v1.0.0" // part of the name: another would cut all files anew
)

// cutter cuts streams into parts, one after the other.
type cutter struct{ chunker *chunkers.Chunker }

// begin begins to cut a stream.
func (c *cutter) begin(r io.Reader) (err error) {
	if c.chunker != nil {
		c.chunker.Reset(r)
		return nil
	}
	c.chunker, err = chunkers.NewChunker(chunking, r, &chunkers.ChunkerOpts{MinSize: minPart, NormalSize: usualPart, MaxSize: maxPart})
	return err
}

// next gives the next part, which is good until the one after it, and io.EOF with
// or after the last.
func (c *cutter) next() ([]byte, error) { return c.chunker.Next() }
