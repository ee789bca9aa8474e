package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/coltec/coltec/pkg/rclone"
)

// Snapshot keeps a replica as immutable objects and manifests under
// PREFIX/.coltec/: names, bits, links and times are exact, a hop is a few
// requests, and old generations stay readable.
//
//	o/EPOCH.COLLECTION-SHA256   stored bytes: small files and parts of large ones, back to back
//	m/EPOCH-GENERATION-SHA256   a manifest
//
// SHA256 is that of the object's own bytes.
type Snapshot struct {
	bucket Bucket // rooted at PREFIX
	stage  string // directory for what is fetched
	// collection is the number of the last condemnation: content that was
	// condemned and comes back gets another name.
	collection int64
}

// SetCollection tells the number of the last condemnation, before each batch.
func (s *Snapshot) SetCollection(n int64) { s.collection = n }

// NewSnapshot keeps a replica under the bucket's root. stage is a local
// directory for manifests on their way.
func NewSnapshot(b Bucket, stage string) *Snapshot { return &Snapshot{bucket: b, stage: stage} }

// Publish sends the manifest of the next tree.
func (s *Snapshot) Publish(ctx context.Context, dir string, p Publication) (string, error) {
	body, err := encodeManifest(p, time.Now())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	ref := fmt.Sprintf("m/%d-%d-%x", p.Epoch, p.Generation, sum)
	key := path.Join(Dir, ref)
	file := filepath.Join(dir, key)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	defer os.Remove(file)
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return "", err
	}
	if _, err := s.bucket.Upload(ctx, dir, []string{key}, nil); err != nil {
		return "", err
	}
	return ref, nil
}

// Begin opens a batch.
func (s *Snapshot) Begin(dir string, epoch int64, progress Progress) Batch {
	return &snapshotBatch{
		bucket: s.bucket, dir: dir, era: fmt.Sprintf("%d.%d", epoch, s.collection), progress: progress, known: map[string]piece{},
	}
}

// ByContent is true: a rename, a copy or a chmod costs no upload.
func (s *Snapshot) ByContent() bool { return true }

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
		if n, _ := fmt.Sscanf(m.ref, "m/%d-%d-", &m.epoch, &m.generation); n == 2 {
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
