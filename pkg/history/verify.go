package history

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/replica"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Verdict is what a verification found in one replica.
type Verdict struct {
	Replica     string   `json:"replica"`
	Generations int      `json:"generations"` // that were looked at
	Objects     int      `json:"objects"`     // that they refer to
	Bytes       int64    `json:"bytes"`
	Orphans     int      `json:"orphans"` // that no kept generation refers to; they are collected
	OrphanBytes int64    `json:"orphan_bytes"`
	Missing     []string `json:"missing,omitempty"` // objects that are gone, cut short, or damaged
	Lost        []Lost   `json:"lost,omitempty"`    // what of generations cannot be had any more
	Damaged     []string `json:"damaged,omitempty"` // local files whose content changed although nothing else did
	Repaired    []string `json:"repaired,omitempty"`
	Note        string   `json:"note,omitempty"`
	Opened      int      `json:"opened,omitempty"` // repositories and databases that were opened
	Broken      []Broken `json:"broken,omitempty"` // those that are not sound
	Failed      string   `json:"failed,omitempty"` // why it could not be verified, or repaired, to the end
}

// Lost is a path whose content in some generations is not there any more.
type Lost struct {
	Path        string  `json:"path"` // "" for a whole generation
	Generations []int64 `json:"generations"`
	Now         bool    `json:"now"` // the newest generation is among them
}

// OK reports that all was looked at, and that nothing is wrong that was not repaired.
func (v *Verdict) OK() bool {
	return v.Failed == "" && len(v.Missing)+len(v.Damaged)+len(v.Broken) == 0
}

// Verify looks whether everything is there that the kept generations of a
// replica refer to, and whether the local tree is what its base says. deep
// fetches all of it and compares hashes.
func (r *Reader) Verify(ctx context.Context, x scope.Replica, deep bool) (*Verdict, error) {
	v := &Verdict{Replica: x.Name}
	var err error
	if v.Damaged, err = replica.Damaged(ctx, x.Path, x.Within, nil); err != nil {
		return nil, err
	}
	layout, err := r.layout(ctx, x)
	if err != nil {
		return nil, err
	}
	snapshot, ok := layout.(*store.Snapshot)
	if !ok {
		v.Note = "kept as plain objects: the store's own listing is all there is"
		return v, nil
	}
	gens, err := r.Log(ctx)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	err = r.remotes[x.Name].ListEach(ctx, store.Dir, rclone.ListOptions{}, func(o rclone.Object) error {
		sizes[o.Key] = o.Size
		return nil
	})
	if err != nil {
		return nil, err
	}
	u := &use{sizes: sizes, needs: map[string]int64{}, bad: map[string]bool{}, lost: map[string]*Lost{}}
	if deep {
		u.check = func(keys []string) ([]string, error) {
			return snapshot.Damaged(ctx, keys, filepath.Join(r.tmp, "deep"))
		}
	}
	if err := r.verifyAll(ctx, x, gens, u); err != nil {
		return nil, err
	}
	v.Generations = u.generations
	u.report(v)
	return v, nil
}

// use is what the generations of a replica refer to.
type use struct {
	sizes       map[string]int64 // of what is in the store
	needs       map[string]int64 // object → bytes that are referred to, from its beginning
	bad         map[string]bool
	lost        map[string]*Lost
	generations int
	check       func(keys []string) (damaged []string, err error)
}

func (r *Reader) verifyAll(ctx context.Context, x scope.Replica, gens []store.Generation, u *use) error {
	last := ""
	for i, g := range slices.Backward(gens) {
		ref, newest := g.Replicas[x.Name].Manifest, i == len(gens)-1
		if ref == "" || ref == last {
			continue
		}
		last = ref
		u.generations++
		u.needs[ref] = 1
		t, _, err := r.Tree(ctx, x, g)
		if err != nil && ctx.Err() != nil {
			return err
		}
		var e *rclone.Error
		if errors.As(err, &e) && e.Class != rclone.NotFound {
			return err
		}
		if err != nil {
			u.bad[ref] = true
			if base := (*store.BaseError)(nil); errors.As(err, &base) {
				u.bad[base.Base], u.needs[base.Base] = true, 1
			}
			u.lose("", g.Number, newest)
			continue
		}
		if t.Base != "" {
			u.needs[t.Base] = 1
		}
		if err := u.tree(t.Entries, g.Number, newest); err != nil {
			return err
		}
	}
	return nil
}

// tree accounts for what one generation refers to.
func (u *use) tree(entries []tree.Entry, generation int64, newest bool) error {
	var fresh []string
	for i := range entries {
		for _, w := range entries[i].Where {
			size, there := u.sizes[w.Object]
			if _, known := u.needs[w.Object]; !known && there {
				fresh = append(fresh, w.Object)
			}
			u.needs[w.Object] = max(u.needs[w.Object], w.Offset+w.Stored)
			if !there || size < w.Offset+w.Stored {
				u.bad[w.Object] = true
			}
		}
	}
	if u.check != nil && len(fresh) > 0 {
		damaged, err := u.check(fresh)
		if err != nil {
			return err
		}
		for _, key := range damaged {
			u.bad[key] = true
		}
	}
	for i := range entries {
		if slices.ContainsFunc(entries[i].Where, func(w tree.Extent) bool { return u.bad[w.Object] }) {
			u.lose(entries[i].Path, generation, newest)
		}
	}
	return nil
}

func (u *use) lose(path string, generation int64, newest bool) {
	if u.lost[path] == nil {
		u.lost[path] = &Lost{Path: path}
	}
	u.lost[path].Generations = append(u.lost[path].Generations, generation)
	u.lost[path].Now = u.lost[path].Now || newest
}

func (u *use) report(v *Verdict) {
	v.Objects = len(u.needs)
	for key := range u.needs {
		v.Bytes += u.sizes[key]
	}
	yard := store.ReplicaYard(nil)
	for key, size := range u.sizes {
		if _, needed := u.needs[key]; !needed && yard.Ours(key) {
			v.Orphans++
			v.OrphanBytes += size
		}
	}
	for key := range u.bad {
		v.Missing = append(v.Missing, key)
	}
	slices.Sort(v.Missing)
	for _, l := range u.lost {
		v.Lost = append(v.Lost, *l)
	}
	slices.SortFunc(v.Lost, func(a, b Lost) int { return tree.Compare(a.Path, b.Path) })
}

// PutBack places a damaged file as the bucket has it. The verification may have been
// long ago: what was edited since is not put back.
func (r *Reader) PutBack(ctx context.Context, x scope.Replica, path string, g store.Generation) error {
	still, err := replica.Damaged(ctx, x.Path, x.Within, func(p string) bool { return p == path })
	if err != nil || len(still) == 0 {
		return err
	}
	_, err = r.Place(ctx, x, path, g, nil)
	return err
}
