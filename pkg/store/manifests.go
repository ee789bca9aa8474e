package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/tree"
)

// Tree reads a manifest, and the full one that it is a difference from. Without
// that one there is no tree.
func (s *Snapshot) Tree(ctx context.Context, ref string) (*Tree, error) {
	m, err := s.fetchManifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer m.close()
	var full *manifest
	if m.Base != "" {
		if full, err = s.fetchManifest(ctx, m.Base); err != nil {
			return nil, &BaseError{ref, m.Base, err}
		}
		defer full.close()
	}
	t, err := readTree(m, full)
	if err != nil {
		return nil, fmt.Errorf("cannot read manifest %q: %w", ref, err)
	}
	return t, s.keepLocal(ref, m.Base)
}

// BaseError says that the manifest that another is a difference from cannot be
// read, and so neither can that one.
type BaseError struct {
	Ref, Base string
	Err       error
}

func (e *BaseError) Error() string {
	return fmt.Sprintf("cannot read what manifest %q is a difference from: %v", e.Ref, e.Err)
}

func (e *BaseError) Unwrap() error { return e.Err }

// fetchManifest opens a manifest, from here if it is here.
func (s *Snapshot) fetchManifest(ctx context.Context, ref string) (*manifest, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !IsManifest(ref) {
		return nil, Impossible("a generation names the manifest %s", short(ref))
	}
	if err := s.download(ctx, []string{ref}, s.local, nil); err != nil {
		return nil, err
	}
	m, err := openManifest(s.localFile(ref))
	if err != nil {
		return nil, fmt.Errorf("cannot read manifest %q: %w", ref, err)
	}
	return m, nil
}

func (s *Snapshot) localFile(ref string) string { return filepath.Join(s.local, Dir, ref) }

// localManifest opens a manifest that is here, whole; nil when it is not.
func (s *Snapshot) localManifest(ref string) *manifest {
	if !IsManifest(ref) || verify(s.localFile(ref)) != nil {
		return nil
	}
	m, err := openManifest(s.localFile(ref))
	if err != nil {
		return nil
	}
	return m
}

// keepLocal removes all manifests here but those.
func (s *Snapshot) keepLocal(refs ...string) error {
	entries, err := os.ReadDir(s.localFile("m"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if ref := "m/" + e.Name(); !slices.Contains(refs, ref) {
			errs = append(errs, os.Remove(s.localFile(ref)))
		}
	}
	return errors.Join(errs...)
}

// Publish sends the manifest of the next tree: the difference from the last full
// one where that is known here and pays.
func (s *Snapshot) Publish(ctx context.Context, p Publication) (Ref, error) {
	p.Entries = checked(p.Entries)
	ref, err := s.prepare(p)
	if err != nil {
		return Ref{}, fmt.Errorf("cannot write manifest: %w", err)
	}
	_, err = s.bucket.Upload(ctx, s.local, []string{path.Join(Dir, ref.Manifest)}, nil)
	return ref, err
}

// checked refuses entries that nobody could read again.
func checked(entries iter.Seq2[*tree.Entry, error]) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		var place placing
		for e, err := range entries {
			if err == nil {
				if err = errors.Join(checkEntry(e), place.next(e)); err == nil && Capital(e.Path) {
					err = fmt.Errorf("%s has the name of coltecd's own directory", short(e.Path))
				}
				if err != nil {
					err = fmt.Errorf("internal error: %w", err)
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// prepare makes the manifest here.
func (s *Snapshot) prepare(p Publication) (Ref, error) {
	base, d, full, err := s.difference(p)
	if err != nil {
		return Ref{}, err
	}
	var c count
	if d != nil {
		c = d.count
	} else if c, err = measure(p.Entries); err != nil {
		return Ref{}, err
	}
	// What was published may not come to be committed: the next one is told the
	// same From then.
	if err := s.keepLocal(p.From, base); err != nil {
		return Ref{}, err
	}
	manifest, err := s.write(p, c.rows, base, d)
	if err == nil {
		s.last = publishedAs(manifest, base, d, c, full, p.Generation)
	}
	return Ref{Manifest: manifest, Files: c.files, Bytes: c.bytes, Older: p.Older.count()}, err
}

// difference says from which full manifest the next tree is to be a difference, and which; "" and
// nil for none.
func (s *Snapshot) difference(p Publication) (base string, d *difference, of fullOne, err error) {
	if base, d, of := s.following(p); d != nil {
		return base, d, of, nil
	}
	last := s.localManifest(p.From)
	if last == nil {
		return "", nil, of, nil
	}
	defer last.close()
	base, full := p.From, last
	if last.Base != "" {
		if base, full = last.Base, s.localManifest(last.Base); full == nil {
			return "", nil, of, nil
		}
		defer full.close()
	}
	of = fullOne{full.Rows, full.Generation}
	d, err = differ(full, p.Entries, of.largest(p.Generation))
	if d == nil {
		base = ""
	}
	return base, d, of, err
}

// write makes the object of a manifest here.
func (s *Snapshot) write(p Publication, rows int, base string, d *difference) (ref string, err error) {
	if err := os.MkdirAll(s.localFile("m"), 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(s.localFile("m"), "open-*")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if err := errors.Join(writeManifest(io.MultiWriter(f, sum), p, rows, base, d, time.Now()), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	ref = fmt.Sprintf("m/%d-%d-%x", p.Epoch, p.Generation, sum.Sum(nil))
	return ref, os.Rename(f.Name(), s.localFile(ref))
}

// Forget makes the next manifest a full one.
func (s *Snapshot) Forget() error {
	s.last = nil
	return s.keepLocal()
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
		if n, _ := fmt.Sscanf(m.ref, "m/%d-%d-", &m.epoch, &m.generation); n == 2 && m.epoch < maxNumber && m.generation < maxNumber {
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
