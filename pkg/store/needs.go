package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/tree"
)

// Needs collects what the manifests of generations refer to, themselves and
// what they are differences from included. One that cannot be read is an error:
// what it needs is not known.
func (s *Snapshot) Needs(ctx context.Context, refs []string, needed map[string]bool) error {
	bases := map[string]*overlaid{}
	err := s.eachManifest(ctx, refs, func(ref string, m *manifest) error {
		needed[ref] = true
		over := bases[m.Base]
		if over == nil {
			over = &overlaid{paths: map[string]int{}}
			bases[m.Base] = over
		}
		over.times++
		return m.each(func(rec *tree.Record) {
			need(needed, &rec.Entry)
			if m.Base != "" {
				over.paths[rec.Path]++
			}
		})
	})
	delete(bases, "")
	maps.DeleteFunc(bases, func(ref string, _ *overlaid) bool { return needed[ref] }) // all of it is
	if err != nil || len(bases) == 0 {
		return err
	}
	return s.eachManifest(ctx, slices.Sorted(maps.Keys(bases)), func(ref string, m *manifest) error {
		needed[ref] = true
		over := bases[ref]
		return m.each(func(rec *tree.Record) {
			if over.paths[rec.Path] < over.times {
				need(needed, &rec.Entry)
			}
		})
	})
}

// overlaid is what lies over the rows of a full manifest.
type overlaid struct {
	times int            // manifests that are differences from it
	paths map[string]int // how many of them have a word on a path
}

func need(needed map[string]bool, e *tree.Entry) {
	for _, x := range e.Where {
		needed[x.Object] = true
	}
}

// eachManifest fetches manifests and reads one after the other.
func (s *Snapshot) eachManifest(ctx context.Context, refs []string, do func(ref string, m *manifest) error) error {
	const atOnce = 32 // bounds the disk; each transfer is a run of rclone
	dir := filepath.Join(s.local, "marks")
	defer os.RemoveAll(dir)
	for chunk := range slices.Chunk(refs, atOnce) {
		if err := s.download(ctx, chunk, dir, nil); err != nil {
			return err
		}
		for _, ref := range chunk {
			m, err := openManifest(filepath.Join(dir, Dir, ref))
			if err == nil {
				err = do(ref, m)
				m.close()
			}
			if err != nil {
				return fmt.Errorf("cannot read manifest %q: %w", ref, err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
