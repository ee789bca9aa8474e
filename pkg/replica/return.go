package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/wholefile"
)

// returning is the file that names what a person brought back while its deletion still
// waits here: the next placement leaves it, so that it is pushed again. A file, because
// who restores need not be who places.
const returning = "returning"

// returningMost is more than its content: a path has 4096 bytes, of which JSON makes six each at most.
const returningMost = 64 << 10

// comesBack is its content.
type comesBack struct {
	Under      string `json:"under"`      // a path; "" is all
	Generation int64  `json:"generation"` // deletions of later ones are none of those that were taken back
}

// Return notes that deletions at and below a path ("" for all), of generations up to one,
// are taken back where they still wait. No link below within ("" for none) leads to root.
func Return(root, within, under string, generation int64) error {
	body, err := json.Marshal(comesBack{under, generation})
	if err == nil {
		err = localfs.WithOwn(root, within, 0o700, func(_ *localfs.Root, own string) error {
			return localfs.WriteOwnFile(filepath.Join(own, returning), body)
		})
	}
	if err != nil {
		return fmt.Errorf("cannot note what comes back: %w", err)
	}
	return nil
}

// returns has a plan leave what was brought back, and reports whether there is any.
func returns(b *base.Base, decisions []plan.Decision) (found bool) {
	body, err := wholefile.Read(filepath.Join(b.Dir(), returning), returningMost)
	var back comesBack
	if err != nil || json.Unmarshal(body, &back) != nil || b.Header.Generation > back.Generation {
		return false
	}
	for i := range decisions {
		if d := &decisions[i]; d.Op == plan.Delete && (back.Under == "" || tree.Within(d.Path, back.Under)) {
			d.Op, found = plan.Keep, true
		}
	}
	return found
}

// returned notes that what was brought back is settled.
func returned(dir string) error {
	err := os.Remove(filepath.Join(dir, returning))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
