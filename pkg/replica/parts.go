package replica

import (
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// parts are those of large files that are here already: of one that another
// machine changed, what it did not change need not be fetched. What they say they
// hold they may not: files are edited at any time.
type parts struct {
	root localfs.FileSystem
	at   map[string]stretch // by the SHA-256 of what is there

	path string       // of the file that was opened last
	file localfs.File // nil: it cannot be read
}

// stretch is where a part begins in a local file.
type stretch struct {
	path   string
	offset int64
}

// partsOf looks for the parts of entries in the files that the base knows.
func partsOf(root localfs.FileSystem, b *base.Base, entries []*tree.Entry) *parts {
	at := map[string]stretch{}
	for _, e := range entries {
		for i := range e.Where {
			if sum := e.Where[i].Sum; sum != "" {
				at[sum] = stretch{}
			}
		}
	}
	p := &parts{root: root, at: at}
	if len(at) == 0 {
		return p
	}
	for i := range b.Rows() {
		row := &b.Rows()[i]
		var offset int64
		for _, x := range row.Where {
			if s, comes := at[x.Sum]; comes && s.path == "" {
				at[x.Sum] = stretch{row.Path, offset}
			}
			offset += x.Size
		}
	}
	return p
}

// read is the Part of a store.Here.
func (p *parts) read(sum string, b []byte) bool {
	s := p.at[sum]
	if s.path == "" {
		return false
	}
	if s.path != p.path {
		p.open(s.path)
	}
	if p.file == nil {
		return false
	}
	n, _ := p.file.ReadAt(b, s.offset)
	return n == len(b)
}

// open opens a file in place of the one before.
func (p *parts) open(path string) {
	p.close()
	p.path = path
	f, err := p.root.Open(path)
	if err != nil {
		return
	}
	p.file = f
	if _, err := f.Seen(); err != nil { // no regular file
		p.close()
	}
}

func (p *parts) close() {
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
}
