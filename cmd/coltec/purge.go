//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/spec"
	"github.com/coltec/coltec/pkg/store"
)

// purging is a workspace that is to be deleted in its bucket.
type purging struct {
	remover
	store *store.Purge
	seen  *store.Hoard
}

// inBucket looks at what the bucket has of a workspace. What another machine has the lease of,
// or another workspace claims, is an error.
func (p remover) inBucket(c *cli.Context, r *removal) (*purging, error) {
	w := r.w
	if !w.hasBucket() {
		return nil, cmdline.Usage("--purge: %s has no bucket", w.spec.ID())
	}
	if err := p.trustsRemotes(w); err != nil {
		return nil, err
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return nil, err
	}
	opener := remote.NewOpener(w.spec, p.policy(), revealed(values), p.lookupRclone, nil)
	root, err := opener.Open(c.Context, "", false, nil)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	x := &purging{remover: p, store: &store.Purge{
		Root: root, Workspace: w.spec.ID(), Head: history.HeadAt(opener.HeadRoot(), w.spec.ID()),
		Self:  store.Holder{Host: host, Place: "rm " + w.folder, Instance: store.NewID()},
		Force: r.force, BestEffort: w.spec.Persistence.Lease.BestEffort,
		// Its containers have stopped when it comes to this, and an id is no other's.
		Ended: func(h store.Holder) bool {
			for _, ct := range r.containers {
				if len(h.Container) >= 12 && strings.HasPrefix(ct.ID, h.Container) {
					return true
				}
			}
			return false
		},
	}}
	for _, y := range w.spec.Persistence.Sync {
		if y.Direction == spec.PullOnly {
			continue // what it reads is another's
		}
		b, err := opener.Open(c.Context, y.Name, false, nil)
		if err != nil {
			return nil, err
		}
		x.store.Prefixes = append(x.store.Prefixes, store.PurgePrefix{Replica: y.Name, Bucket: b})
	}
	if x.seen, err = x.store.Survey(c.Context); err != nil {
		return nil, err
	}
	return x, x.store.Refuses(c.Context, x.seen)
}

// show says what goes.
func (x *purging) show() {
	name := x.store.Workspace
	if x.seen.Ours.Objects == 0 {
		x.say("%s: the bucket has nothing of it", name)
		return
	}
	what := ""
	if h := x.seen.Head; h == nil {
		what = ", of which the head is gone"
	} else {
		what = fmt.Sprintf(", generation %d", h.Generation)
		if n := len(h.Checkpoints); n > 0 {
			what += " and " + hint.Count(n, "checkpoint", "checkpoints")
		}
	}
	x.say("%s: %s, %s%s", name, hint.Count(x.seen.Ours.Objects, "object in the bucket goes", "objects in the bucket go"), cmdline.Size(x.seen.Ours.Bytes), what)
	if x.seen.Plain.Objects > 0 {
		x.say("%s: %s, %s", name, hint.Count(x.seen.Plain.Objects, "plain object in its prefixes stays", "plain objects in its prefixes stay"), cmdline.Size(x.seen.Plain.Bytes))
	}
	if x.seen.Head == nil {
		return
	}
	for _, replica := range slices.Sorted(maps.Keys(x.seen.Head.Replicas)) {
		if !slices.ContainsFunc(x.store.Prefixes, func(p store.PurgePrefix) bool { return p.Replica == replica }) {
			x.say("note: replica %s is not in the spec: what the bucket has of it stays", replica)
		}
	}
	for _, b := range x.seen.Head.LeftBehind {
		x.say("note: %s", b)
	}
}

// purge deletes it. Nothing there is as good as done.
func (x *purging) purge(ctx context.Context) error {
	done, err := x.store.Do(ctx)
	if errors.Is(err, store.ErrNoTrace) {
		return nil
	}
	if err == nil {
		x.say("%s: %s deleted in the bucket, %s", x.store.Workspace, hint.Count(done.Objects, "object", "objects"), cmdline.Size(done.Bytes))
	}
	return err
}
