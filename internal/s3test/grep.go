package s3test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// zstdMagic begins a frame.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Grep lists the objects of the bucket that have a text, as they are or in one of their zstd
// frames: manifests, and packs of many files.
func (s *Server) Grep(t testing.TB, text string) (found []string) {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	root := filepath.Join(s.Dir, s.Bucket)
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if path != root && errors.Is(err, fs.ErrNotExist) { // a digest goes, and its directory with it
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && has(d, b, []byte(text)) {
			rel, _ := filepath.Rel(root, path)
			found = append(found, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func has(d *zstd.Decoder, b, text []byte) bool {
	if bytes.Contains(b, text) {
		return true
	}
	for i := range b {
		if bytes.HasPrefix(b[i:], zstdMagic) && d.Reset(bytes.NewReader(b[i:])) == nil {
			part, _ := io.ReadAll(d) // up to what follows the frame, and is none
			if bytes.Contains(part, text) {
				return true
			}
		}
	}
	return false
}
