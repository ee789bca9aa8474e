package replica

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/sparse"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// here finds content that comes in files that are here already: what another
// machine renamed or copied costs no download.
func (p *placement) here() map[tree.Sum]string {
	here := map[tree.Sum]string{}
	for i := range p.plan.local {
		if e := &p.plan.local[i]; e.Kind == tree.File && e.Sum != (tree.Sum{}) {
			here[e.Sum] = e.Path
		}
	}
	return here
}

// copyHere makes the staged file of a decision from one that is here, and says
// whether it could: that may have been edited or moved since it was planned with.
func (p *placement) copyHere(d *plan.Decision, staged string) bool {
	path, ok := p.local[d.Entry.Sum]
	if !ok || d.Entry.Kind != tree.File || d.Entry.Size == 0 || d.Remote.Mode == tree.NoMode {
		return false
	}
	i, ok := localfs.Search(p.plan.seen, path)
	if !ok {
		return false
	}
	_ = os.Remove(staged) // of a run that was cut off
	f, err := os.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	got, _, err := p.r.reader().Read(&p.plan.seen[i], func(r io.Reader) error {
		_, err := sparse.Copy(f, r)
		return err
	})
	if f.Close() != nil || err != nil || got != d.Entry.Sum {
		_ = os.Remove(staged)
		return false
	}
	return true
}

// gather fills the stage for decisions that need content: from here, and else by what
// is to be fetched. It notes where the content of each will be staged.
func (p *placement) gather(takes []*plan.Decision, staged []string, dir string) (fetch []*plan.Decision) {
	for i, d := range takes {
		name := "here-" + strconv.Itoa(i)
		if !p.copyHere(d, filepath.Join(dir, name)) {
			name = strconv.Itoa(len(fetch))
			fetch = append(fetch, d)
		}
		staged[i] = localfs.Join(localfs.Dir+"/stage/in", name)
	}
	return fetch
}

// fewFiles are flushed one by one, without the objects that they came in.
const fewFiles = 16

// flushed are the staged files that are to be flushed; none stand for all there is.
func flushed(staged []string) []string {
	files := slices.DeleteFunc(slices.Clone(staged), func(name string) bool { return name == "" })
	if len(files) > fewFiles {
		return nil
	}
	return files
}

// fetch fetches the content of takes. A listing tells no mode, so it may tell
// modes that the plan knew nothing of.
func (p *placement) fetch(ctx context.Context, takes []*plan.Decision, dir string, later func(object string) bool) error {
	if len(takes) == 0 {
		return nil
	}
	var entries []*tree.Entry
	planned := map[*plan.Decision]uint32{}
	for _, d := range takes {
		if d.Remote.Mode == tree.NoMode {
			planned[d], d.Entry.Mode = d.Entry.Mode, tree.NoMode
		}
		entries = append(entries, &d.Entry)
	}
	parts := partsOf(p.r.root, p.r.base, entries)
	defer parts.close()
	here := &store.Here{Part: parts.read, Later: later}
	if err := p.o.Source.Fetch(ctx, entries, dir, here, p.pace.arriving); err != nil {
		return err
	}
	for d, mode := range planned {
		if d.Entry.Mode != tree.NoMode {
			mode = p.told(d)
		}
		d.Entry.Mode = mode
	}
	return nil
}

// told merges the mode that a fetch told.
func (p *placement) told(d *plan.Decision) uint32 {
	remote := *d.Remote
	remote.Mode = d.Entry.Mode
	d.Remote = &remote
	if row := p.r.base.Row(d.Path); row != nil && d.Local != nil && d.Local.Kind == remote.Kind {
		return plan.MergeMode(&row.Entry, d.Local, &remote)
	}
	return remote.Mode
}

func (p *placement) sync(files ...string) error {
	if err := p.r.root.Sync(files...); err != nil {
		return fmt.Errorf("cannot flush the file system: %w", err)
	}
	return nil
}
