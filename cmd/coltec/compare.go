//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/coltec/coltec/internal/cmdline"
	"github.com/coltec/coltec/internal/remote"
	"github.com/coltec/coltec/pkg/databases"
	"github.com/coltec/coltec/pkg/frozen"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/repositories"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
)

// apart is how a path differs on two sides from what both had.
type apart struct {
	Replica   string `json:"replica"`
	Path      string `json:"path"`
	Fork      string `json:"fork,omitempty"`      // new | changed | deleted | mode; "" for nothing
	Workspace string `json:"workspace,omitempty"` // the same
}

func (p joins) compare(c *cli.Context) error {
	for _, name := range []string{"diff", "stat", "wholes", "replica"} {
		if c.IsSet(name) {
			return cmdline.Usage("--%s is about two states of one workspace, and this compares a fork", name)
		}
	}
	w, err := p.open(c.Context, c.Args().Get(1))
	if errors.Is(err, errNoWorkspace) && c.NArg() == 1 {
		name := hint.Word(c.Args().First())
		return hint.Wrap(cmdline.Usage("what is %s compared with? There is no workspace in this folder", name),
			"a fork with its workspace: coltec compare %s WORKSPACE; a state of it with now: coltec compare %s NAME|GENERATION|TIME", name, name)
	}
	if err != nil {
		return err
	}
	fork, err := p.named(c.Context, c.Args().First(), w)
	if err != nil {
		return err
	}
	if err := p.trustsRemotes(w); err != nil {
		return err
	}
	values, err := p.collect(c, w.folder, w.spec, nil)
	if err != nil {
		return err
	}
	list, err := p.differences(c, w, remote.NewOpener(w.spec, p.policy(), revealed(values), p.lookupRclone, nil), fork)
	if err != nil {
		return fmt.Errorf("cannot compare %s: %w", fork, err)
	}
	if c.Bool("json") {
		return p.printJSON(list)
	}
	t := cmdline.Table{{"REPLICA", "PATH", "FORK", "WORKSPACE"}}
	for _, x := range list {
		t = append(t, []string{x.Replica, cmdline.OneLine(x.Path), x.Fork, x.Workspace})
	}
	_, err = fmt.Fprint(p.out, t)
	return err
}

// differences reads what a fork and a workspace have, and compares both with the fork point.
func (p joins) differences(c *cli.Context, w *workspace, opener *remote.Opener, fork string) ([]apart, error) {
	theirs, begun, err := forkOf(c.Context, opener, fork)
	if err != nil {
		return nil, err
	}
	if of := theirs.Origin.Workspace; of != w.spec.ID() {
		p.say("note: it is a fork of %s, and not of %s", cmdline.OneLine(of), w.spec.ID())
	}
	r, replicas, err := readerBy(opener, w.spec)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	ours, err := r.At(c.Context, "", time.Now())
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "coltec-compare-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	list, shared := []apart{}, false
	for _, x := range replicas {
		prefix := theirs.Origin.Prefixes[x.Name]
		if prefix == "" || ours.Replicas[x.Name].Manifest == "" || theirs.Replicas[x.Name].Manifest == "" {
			continue
		}
		shared = true
		at, err := opener.OpenAt(c.Context, x.Name, prefix, false, nil)
		if err != nil {
			return nil, err
		}
		base, now, err := treesOf(c.Context, at, store.Claim{Workspace: fork, Replica: x.Name}, filepath.Join(tmp, x.Name), begun.Replicas[x.Name].Manifest, theirs.Replicas[x.Name].Manifest)
		if err != nil {
			return nil, err
		}
		here, _, err := r.Tree(c.Context, x, ours)
		if err != nil {
			return nil, err
		}
		list = append(list, sides(x.Name, changesOf(base, now), changesOf(base, here))...)
	}
	if !shared {
		return nil, errors.New("it has no replica that this workspace has too")
	}
	return list, nil
}

// forkOf reads the head of a fork, and what it began as.
func forkOf(ctx context.Context, opener *remote.Opener, fork string) (*store.Head, store.Generation, error) {
	root, err := opener.Open(ctx, "", false, nil)
	if err != nil {
		return nil, store.Generation{}, err
	}
	head, err := store.ReadHead(ctx, root, fork)
	if errors.Is(err, rclone.ErrNotFound) {
		err = errors.New("there is no such workspace in this bucket")
	}
	if err != nil {
		return nil, store.Generation{}, err
	}
	begun, is := head.ForkPoint()
	if !is {
		return nil, begun, errors.New("it is not a fork, or has lost what it was made of")
	}
	return head, begun, nil
}

// treesOf reads two trees of a prefix that is claimed as a head says; "" is an empty one.
func treesOf(ctx context.Context, at store.Bucket, want store.Claim, dir, was, is string) (before, now *store.Tree, err error) {
	claim, err := store.ReadClaim(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	if claim.Workspace != want.Workspace || claim.Replica != want.Replica {
		return nil, nil, fmt.Errorf("the prefix that its head names belongs to replica %q of %s", claim.Replica, cmdline.OneLine(claim.Workspace))
	}
	s := store.NewSnapshot(at, dir)
	if now, err = s.Tree(ctx, is); err != nil || was == "" {
		return &store.Tree{}, now, err
	}
	before, err = s.Tree(ctx, was)
	return before, now, err
}

// sides puts what changed on two sides beside each other.
func sides(replica string, fork, workspace map[string]string) (list []apart) {
	all := maps.Clone(fork)
	maps.Copy(all, workspace)
	for _, path := range slices.SortedFunc(maps.Keys(all), tree.Compare) {
		list = append(list, apart{replica, path, fork[path], workspace[path]})
	}
	return list
}

// carriedWhole are the kinds of what is only valid together: a person knows them by their names.
var carriedWhole = whole.Kinds{repositories.Kind{Mode: repositories.Wholes}, databases.Kind{}, frozen.Kind{}}

// changesOf says what became of the paths of a tree in another one. What each workspace has
// for itself is left out, and so are versions that lost their name.
func changesOf(was, is *store.Tree) map[string]string {
	changes := map[string]string{}
	note := func(e *tree.Entry, what string) {
		if name, ok := carriedWhole.Of(e.Path); ok {
			if e.Kind != tree.Dir && !carriedWhole.Bulk(e.Path) {
				changes[name] = "changed"
			}
			return
		}
		if !store.OfWorkspace(e.Path) && !tree.Within(e.Path, localfs.Dir) {
			changes[e.Path] = what
		}
	}
	for i := range is.Entries {
		e := &is.Entries[i]
		switch before := tree.Find(was.Entries, e.Path); {
		case before == nil:
			note(e, "new")
		case !before.SameContent(e):
			note(e, "changed")
		case e.Kind != tree.Link && before.Mode != e.Mode:
			note(e, "mode")
		}
	}
	for i := range was.Entries {
		if tree.Find(is.Entries, was.Entries[i].Path) == nil {
			note(&was.Entries[i], "deleted")
		}
	}
	return changes
}
