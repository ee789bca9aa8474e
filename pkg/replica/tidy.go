package replica

import (
	"errors"
	"path/filepath"
	"time"
)

// Leave removes what is staged at an end. What a placement that was cut off goes on
// with stays, unless it keeps the disk full.
func (r *Replica) Leave() {
	if r.root == nil {
		return
	}
	full := freeAt(r.Path, "") < r.stageBytes
	_ = removeEach(r.StageDir(), func(name string) bool { return full || name != "in" }) // it is tried again at the next start
}

// Tidy removes what an interrupted run left in the stage, and local versions
// that were replaced before keep.
func (r *Replica) Tidy(keep time.Time) error {
	err := removeEach(r.StageDir(), func(name string) bool { return name != "in" }) // what was fetched is used again
	return errors.Join(err, r.trimDropped(), removeEach(filepath.Join(r.Dir(), replacedDir), func(name string) bool {
		t, err := time.Parse(stampLayout, name)
		return err == nil && t.Before(keep)
	}))
}
