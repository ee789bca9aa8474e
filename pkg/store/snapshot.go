package store

import "fmt"

// Snapshot keeps a replica as immutable objects and manifests under
// PREFIX/.coltec/: names, bits, links and times are exact, a hop is a few
// requests, and old generations stay readable.
//
//	o/EPOCH.COLLECTION-SHA256   stored bytes: small files and parts of large ones, back to back
//	m/EPOCH-GENERATION-SHA256   a manifest: all rows, or those that differ from another's
//
// SHA256 is that of the object's own bytes.
type Snapshot struct {
	bucket Bucket // rooted at PREFIX
	local  string // directory with the manifests that were last read and written
	// collection is the number of the last condemnation: content that was
	// condemned and comes back gets another name.
	collection int64
	last       *published
}

// SetCollection tells the number of the last condemnation, before each batch.
func (s *Snapshot) SetCollection(n int64) { s.collection = n }

// NewSnapshot keeps a replica under the bucket's root. local is a directory of
// its own for manifests: what is there is not fetched again, and lets the next
// one be a difference.
func NewSnapshot(b Bucket, local string) *Snapshot { return &Snapshot{bucket: b, local: local} }

// Begin opens a batch.
func (s *Snapshot) Begin(dir string, epoch int64, progress Progress) Batch {
	return &snapshotBatch{
		bucket: s.bucket, dir: dir, era: fmt.Sprintf("%d.%d", epoch, s.collection), progress: progress, known: map[string]piece{},
	}
}

// ByContent is true: a rename, a copy or a chmod costs no upload.
func (s *Snapshot) ByContent() bool { return true }
