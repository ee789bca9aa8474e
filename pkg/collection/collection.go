// Package collection deletes from a bucket what no kept generation refers to. One run
// marks what is needed, deletes what an earlier one condemned long enough ago and nothing
// needs since, and condemns anew. It publishes nothing: the head that it changes is its
// caller's to write.
package collection

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/store"
)

// Garbage is looked for about once a day of the store's time.
const (
	Every = 24 * time.Hour
	// Overdue is from when on also a cycle that runs once collects.
	Overdue = 3 * Every
)

// How many small objects are brought together at least. Each is a request for who
// restores; fewer are not worth a generation and the copies.
const (
	Few  = 16  // in a collection
	many = 200 // between two: agents save as often in an hour
)

// Last is when garbage was last looked for; in a workspace where it never was, when that
// began.
func Last(h *store.Head) time.Time {
	switch {
	case !h.Collected.IsZero():
		return h.Collected
	case h.Log != "":
		return time.Time{} // old enough to have a log
	case len(h.Recent) > 0:
		return h.Recent[0].Time
	}
	return h.Holder.Since
}

// Rules are what keeps a collection from deleting too much. A test weakens them one by
// one, to see that it notices.
type Rules struct {
	Keep     func(gens []store.Generation, now time.Time, keep time.Duration) []store.Generation
	Wait     time.Duration // between condemning and deleting
	Remark   bool          // what is condemned is spared when a fresh mark needs it
	Renumber bool          // what is sent after a condemnation gets other names
	Bases    bool          // what a manifest is a difference from is needed too
	Pins     bool          // what a checkpoint refers to is needed too
	Sparse   func(live, size int64) bool
	Small    func(live, sizes map[string]int64, few int) []string
	Many     int // small objects that do not wait for a collection
}

// All are the rules.
var All = Rules{
	Keep: store.Keep, Wait: store.Grace, Remark: true, Renumber: true, Bases: true, Pins: true,
	Sparse: store.MostlyDead, Small: store.Scattered, Many: many,
}

// due reports whether what was condemned may be deleted.
func (r Rules) due(c store.Condemned, now time.Time) bool { return now.Sub(c.Since) >= r.Wait }

// Scattered are the objects to bring together for a tree that refers to live, with their
// sizes, where at least few of them are small.
func (r Rules) Scattered(live, sizes map[string]int64, few int) map[string]int64 {
	return sized(r.Small(live, sizes, few), sizes)
}

// Worn are the objects to repack in a collection, with their sizes: those of which little
// is live, and small ones.
func (r Rules) Worn(live, sizes map[string]int64) map[string]int64 {
	return sized(append(store.Sparse(live, sizes, r.Sparse), r.Small(live, sizes, Few)...), sizes)
}

func sized(keys []string, sizes map[string]int64) map[string]int64 {
	out := map[string]int64{}
	for _, key := range keys {
		out[key] = sizes[key]
	}
	return out
}

// Run is one collection of a workspace.
type Run struct {
	Rules
	head      *store.Head // at which it began
	now       time.Time   // of the store
	kept      []store.Generation
	all       []store.Generation         // of the log
	spared    bool                       // no generation goes
	needed    map[string]map[string]bool // replica → what was looked up by Look
	cut       error                      // why the log goes on, with more than can be read
	segments  []string                   // of the log as it is
	condemned map[string]store.Condemned

	Dropped int // generations that are not kept
	Deleted int
	Found   int // keys that were condemned by this run
}

// Begin reads the log of a head in the root that holds it. now is the store's time, keep
// is for how long every generation is kept.
func Begin(ctx context.Context, rules Rules, root store.Root, head *store.Head, now time.Time, keep time.Duration) (*Run, error) {
	r := &Run{Rules: rules, head: head, now: now, condemned: maps.Clone(head.Condemned)}
	if r.condemned == nil {
		r.condemned = map[string]store.Condemned{}
	}
	log, err := store.ReadLog(ctx, root, head, "")
	if err != nil {
		return nil, err
	}
	r.kept, r.cut, r.segments = r.withPinned(log.Generations, r.Keep(log.Generations, now, keep)), log.Cut, log.Segments
	r.all, r.Dropped = log.Generations, len(log.Generations)-len(r.kept)
	return r, nil
}

// Spare keeps all generations, however old: while something of a replica cannot be read, an older
// one may be the last that has it whole. It is called before anything is looked up or marked.
func (r *Run) Spare() { r.spared, r.kept, r.Dropped, r.needed = true, r.all, 0, nil }

// Look finds out what a replica's kept generations refer to, and changes nothing. An error says
// that it cannot be known.
func (r *Run) Look(ctx context.Context, name string, s *store.Snapshot) error {
	if was, ok := r.condemned[name]; ok && !r.due(was, r.now) && r.Dropped == 0 {
		return nil // nothing is marked in it, and nothing goes
	}
	needed, err := r.needs(ctx, s, name)
	if err != nil {
		return err
	}
	if r.needed == nil {
		r.needed = map[string]map[string]bool{}
	}
	r.needed[name] = needed
	return nil
}

// withPinned adds to the generations that are kept those of the log that are checkpoints.
func (r *Run) withPinned(all, kept []store.Generation) []store.Generation {
	stays := map[int64]bool{}
	for _, g := range kept {
		stays[g.Number] = true
	}
	for _, c := range r.head.Checkpoints {
		stays[c.Number] = stays[c.Number] || r.Pins
	}
	return slices.DeleteFunc(slices.Clone(all), func(g store.Generation) bool { return !stays[g.Number] })
}

// pinned are what the checkpoints refer to, also where the log has lost them.
func (r *Run) pinned() []store.Generation {
	var out []store.Generation
	for _, c := range r.head.Checkpoints {
		if r.Pins {
			out = append(out, c.Generation)
		}
	}
	return out
}

// Cut is why the oldest generations are dropped unread; nil: they are not.
func (r *Run) Cut() error { return r.cut }

// Kept are the generations that stay.
func (r *Run) Kept() []store.Generation { return r.kept }

// Replica sweeps a replica's prefix and condemns anew. It gives the sizes of its objects.
func (r *Run) Replica(ctx context.Context, name string, prefix store.Bucket, s *store.Snapshot) (map[string]int64, error) {
	if was, ok := r.condemned[name]; ok && !r.due(was, r.now) {
		return s.Sizes(ctx) // one list at a time
	}
	needed, looked := r.needed[name]
	if !looked {
		var err error
		if needed, err = r.needs(ctx, s, name); err != nil {
			return nil, err
		}
	}
	return r.in(ctx, store.ReplicaYard(prefix), name, func(key string) bool { return needed[key] })
}

// Survey counts what a replica's prefix has, by what becomes of it, and says from when on what
// is condemned may be deleted; zero where nothing is. It changes nothing.
func (r *Run) Survey(ctx context.Context, name string, prefix store.Bucket, s *store.Snapshot) (store.Survey, time.Time, error) {
	needed, err := r.needs(ctx, s, name)
	if err != nil {
		return store.Survey{}, time.Time{}, err
	}
	var condemned *store.Condemned
	var from time.Time
	if was, ok := r.condemned[name]; ok {
		condemned, from = &was, was.Since.Add(r.Wait)
	}
	survey, err := store.ReplicaYard(prefix).Survey(ctx, func(key string) bool { return needed[key] }, condemned, r.now)
	return survey, from, err
}

// needs is everything that a replica's kept generations refer to.
func (r *Run) needs(ctx context.Context, s *store.Snapshot, name string) (map[string]bool, error) {
	var refs []string
	for _, replicas := range append([]map[string]store.Ref{r.head.Replicas}, replicasOf(append(r.pinned(), r.kept...))...) {
		if ref := replicas[name].Manifest; ref != "" {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	needed := map[string]bool{}
	if err := s.Needs(ctx, slices.Compact(refs), needed); err != nil {
		return nil, err
	}
	if !r.Bases {
		maps.DeleteFunc(needed, func(key string, _ bool) bool { return store.IsManifest(key) && !slices.Contains(refs, key) })
	}
	if key, ok := strings.CutPrefix(r.head.Adopted[name], store.Dir+"/"); ok {
		needed[key] = true
	}
	return needed, nil
}

func replicasOf(gens []store.Generation) []map[string]store.Ref {
	var out []map[string]store.Ref
	for _, g := range gens {
		out = append(out, g.Replicas)
	}
	return out
}

// in sweeps one yard and condemns anew. It gives the sizes of what is needed.
func (r *Run) in(ctx context.Context, y store.Yard, name string, needed func(string) bool) (sizes map[string]int64, err error) {
	if was, ok := r.condemned[name]; ok {
		spared := needed
		if !r.Remark {
			spared = func(string) bool { return false }
		}
		n, err := y.Sweep(ctx, was, spared)
		if err != nil {
			return nil, err
		}
		r.Deleted += n
		delete(r.condemned, name)
	}
	garbage, sizes, err := y.Garbage(ctx, needed, r.now)
	if err != nil || len(garbage) == 0 {
		return sizes, err
	}
	next, err := y.Condemn(ctx, garbage, r.now)
	if err != nil {
		return nil, err
	}
	r.condemned[name] = next
	r.Found += len(garbage)
	return sizes, nil
}

// Compacts reports whether the log is to be written anew. One with more than can be read would
// lose that, which is not done where generations are spared.
func (r *Run) Compacts() bool {
	return !r.stays() && (r.Dropped > 0 || r.cut != nil || len(r.segments) > 1)
}

// stays reports whether the log stays as it is, with all of its segments.
func (r *Run) stays() bool { return r.spared && r.cut != nil }

// HeadDue reports whether Head has something to do: one list at a time.
func (r *Run) HeadDue() bool {
	if r.stays() {
		return false
	}
	was, ok := r.condemned[""]
	return !ok || r.due(was, r.now)
}

// Head sweeps beside the head and condemns anew. log is that of the head to come: the
// segments that go out of use with it are not needed by it, but young enough, or condemned
// for long enough, for who reads the one before.
func (r *Run) Head(ctx context.Context, root store.Root, log string) error {
	needed := func(key string) bool { return log != "" && key == path.Base(log) }
	_, err := r.in(ctx, store.HeadYard(root, r.head.Workspace), "", needed)
	return err
}

// Mark notes in a head what the run found.
func (r *Run) Mark(h *store.Head) {
	h.Condemned, h.Collected = r.condemned, r.now.UTC()
	if r.Found > 0 && r.Renumber {
		h.Collection++
	}
}
