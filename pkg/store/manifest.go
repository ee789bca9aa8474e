package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/klauspost/compress/zstd"
)

// manifestFormat is the version of the manifest's format.
const manifestFormat = 1

// manifestHeader is the first line of a manifest; the rows of pkg/tree's text
// form follow. The whole is one zstd stream.
type manifestHeader struct {
	Format     int           `json:"format"`
	Workspace  string        `json:"workspace"`
	Replica    string        `json:"replica"`
	Epoch      int64         `json:"epoch"`
	Generation int64         `json:"generation"`
	Time       time.Time     `json:"time"`
	Filters    []filter.Rule `json:"filters"`
	Base       string        `json:"base,omitempty"` // the full manifest that this one is a difference from
	Rows       int           `json:"rows"`
}

// checkEntry refuses what no tree has, or what would be content that nobody
// can read again.
func checkEntry(e *tree.Entry) error {
	if !ValidPath(e.Path) {
		return fmt.Errorf("%q is no path", e.Path)
	}
	size := int64(0)
	for _, x := range e.Where {
		if !ValidPath(x.Object) || x.Offset < 0 || x.Stored < 0 || x.Size < 0 {
			return fmt.Errorf("the content of %q is said to lie where nothing can", e.Path)
		}
		size += x.Size
	}
	if e.Kind == tree.File && size != e.Size {
		return fmt.Errorf("%q has %d bytes and %d are stored", e.Path, e.Size, size)
	}
	return nil
}

// encodeManifest writes a full manifest.
func encodeManifest(p Publication, now time.Time) ([]byte, error) {
	for i := range p.Next.Entries {
		if err := checkEntry(&p.Next.Entries[i]); err != nil {
			return nil, fmt.Errorf("internal error: cannot write manifest: %w", err)
		}
	}
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("cannot write manifest: %w", err)
	}
	h := manifestHeader{
		Format: manifestFormat, Workspace: p.Workspace, Replica: p.Replica, Epoch: p.Epoch, Generation: p.Generation,
		Time: now.UTC(), Filters: p.Next.Filters, Rows: len(p.Next.Entries),
	}
	if err := json.NewEncoder(z).Encode(h); err != nil {
		return nil, fmt.Errorf("cannot write manifest: %w", err)
	}
	w := tree.NewWriter(z)
	for i := range p.Next.Entries {
		if err := w.Entry(&p.Next.Entries[i]); err != nil {
			return nil, fmt.Errorf("cannot write manifest: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("cannot write manifest: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("cannot write manifest: %w", err)
	}
	return buf.Bytes(), nil
}

// readManifest reads the file of a full manifest.
func readManifest(file string) (*Tree, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	r := bufio.NewReaderSize(z, 64<<10)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("no header: %w", err)
	}
	var h manifestHeader
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, fmt.Errorf("no header: %w", err)
	}
	if h.Format != manifestFormat || h.Base != "" {
		return nil, fmt.Errorf("format %d is not known to this version of coltecd", h.Format)
	}
	t := &Tree{Filters: h.Filters}
	for rows := tree.NewReader(r); ; {
		rec, err := rows.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if rec.Gone || len(t.Entries) > 0 && tree.Compare(t.Entries[len(t.Entries)-1].Path, rec.Path) >= 0 {
			return nil, fmt.Errorf("row %d is out of order", len(t.Entries)+1)
		}
		if err := checkEntry(&rec.Entry); err != nil {
			return nil, err
		}
		t.Entries = append(t.Entries, rec.Entry)
	}
	if len(t.Entries) != h.Rows {
		return nil, fmt.Errorf("%d rows where %d were written", len(t.Entries), h.Rows)
	}
	return t, nil
}
