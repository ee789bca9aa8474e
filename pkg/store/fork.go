package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/tree"
)

// Forked is the name of the checkpoint that a fork begins with: the state that it was made of.
const Forked = "forked"

// Origin says what a fork was made of, and where it has its replicas: who joins it knows
// neither its spec nor its machine.
type Origin struct {
	Workspace  string            `json:"workspace"` // org/project/env that was forked
	Lineage    string            `json:"lineage"`   // of its head
	Generation int64             `json:"generation"`
	Prefixes   map[string]string `json:"prefixes"` // replica → prefix of the fork's, in the remote of that replica
}

// Join is what was last joined of a fork. The next join brings what is new since.
type Join struct {
	Lineage    string    `json:"lineage"` // of the fork's head
	Joined     time.Time `json:"joined"`
	Generation           // of the fork
}

// ForkPoint gives the generation that a fork began as, where its head still has that by its name. A
// later one that somebody gave the name is none: what the fork did before it would count as there on
// both sides.
func (h *Head) ForkPoint() (Generation, bool) {
	c, is := h.Checkpoint(Forked)
	return c.Generation, is && h.Origin != nil && c.Number == firstGeneration
}

// firstGeneration is the number of a fork's generation that its head is made with.
const firstGeneration = 1

// Bounds of what a head says of joins: it has 300 bytes for each replica of each fork.
const (
	joinedMax  = 32
	joinedRefs = 256 // replicas in all of them
)

// Join notes in a head what was joined of a fork. Of very many forks the first are forgotten:
// a join of one of those begins at its fork point again.
func (h *Head) Join(fork string, j Join) {
	joined := map[string]Join{}
	refs := len(j.Replicas)
	others := make([]string, 0, len(h.Joined))
	for name := range h.Joined {
		if name != fork {
			others = append(others, name)
		}
	}
	slices.SortFunc(others, func(a, b string) int { return h.Joined[b].Joined.Compare(h.Joined[a].Joined) })
	for _, name := range others {
		if refs += len(h.Joined[name].Replicas); refs > joinedRefs || len(joined)+1 >= joinedMax {
			break
		}
		joined[name] = h.Joined[name]
	}
	joined[fork] = j
	h.Joined = joined
}

// checkForks refuses what no coltecd says of forks and joins.
func (h *Head) checkForks() error {
	if o := h.Origin; o != nil {
		if len(o.Workspace) > maxWord || len(o.Lineage) > maxWord || o.Generation < 0 || o.Generation > maxNumber || len(o.Prefixes) > maxReplicas {
			return fmt.Errorf("the head is of a fork of %s, generation %d", short(o.Workspace), o.Generation)
		}
		for name, prefix := range o.Prefixes {
			if len(name) > maxWord || !CleanPrefix(prefix) {
				return fmt.Errorf("replica %s of the fork is in %s", short(name), short(prefix))
			}
		}
	}
	if len(h.Joined) > 4*joinedMax {
		return fmt.Errorf("%d joins in one head", len(h.Joined))
	}
	for fork, j := range h.Joined {
		if len(fork) > maxWord || len(j.Lineage) > maxWord {
			return fmt.Errorf("a name of %d bytes in the head", max(len(fork), len(j.Lineage)))
		}
		if err := j.Generation.check(-1); err != nil {
			return fmt.Errorf("what was joined of %s: %w", short(fork), err)
		}
	}
	return nil
}

// CleanPrefix reports whether a prefix that a head names can be one: with nothing in it that
// a spec would fill in, or that leads out of its remote.
func CleanPrefix(prefix string) bool {
	return len(prefix) <= maxWord && tree.ValidPath(prefix) && !strings.ContainsAny(prefix, "${}")
}

// ForkReplica is a replica of a workspace that is forked.
type ForkReplica struct {
	Name   string
	Ref    Ref    // of its tree, in the generation that is forked
	Tree   *Tree  // what the fork is to have of it; nil: nothing was committed of it yet
	To     Bucket // the fork's prefix
	Prefix string // of it, in the remote of the replica
	// Copy copies objects to the same keys of To, within the store, and counts those that were
	// there to be copied.
	Copy func(ctx context.Context, keys []string) (rclone.Transfer, error)
}

// Fork is a workspace to be made of another one's generation. The other one is only read.
type Fork struct {
	Root       Root   // has the heads of both
	Workspace  string // org/project/env of the fork
	Head       string // where its head will be, for the claims
	Source     *Head
	Generation Generation // of the source
	Replicas   []ForkReplica
	Host       string // that makes it
	Now        time.Time
	Local      string // an empty directory of ours, for manifests on their way
	Vacant     bool   // somebody looked, and there was no head of the fork: Make need not look first
	// Announce has the digest at a key under Root written, which is a hint; nil: Make writes it.
	Announce func(digestKey string)
}

// The steps of a fork at which a crash test kills the process.
var (
	pointForkClaimed   = killpoint.New("fork:claimed")
	pointForkCopied    = killpoint.New("fork:copied")
	pointForkPublished = killpoint.New("fork:published")
	pointForkMade      = killpoint.New("fork:made")
)

// Errors of a fork.
var (
	// ErrForkTaken says that there is a workspace of the fork's name, or something of one.
	ErrForkTaken = errors.New("there is a workspace of that name")
	// ErrForkGone says that what was to be copied was collected meanwhile: nothing was made.
	ErrForkGone = errors.New("the generation is not there any more as it was read")
	// ErrForkRemoved says that somebody removed what was made: the fork has no head.
	ErrForkRemoved = errors.New("what was made of the fork was removed meanwhile")
	// errFound says that there is a claim of what was vacant: its head may have been made since.
	errFound = errors.New("the fork was begun meanwhile")
)

// Make makes the fork: claims, copies of all objects, manifests, and last the head, which
// makes it count. Cut off before that it has left nothing that counts, and Make goes on where
// it was; done before, and never used since, it is left as it is (made is false).
//
// What a log names stays for Grace at least, so that a collection of the source takes nothing
// from a fork that is under way.
func (f *Fork) Make(ctx context.Context) (done rclone.Transfer, made bool, err error) {
	fail := func(err error) (rclone.Transfer, bool, error) {
		return done, false, fmt.Errorf("cannot fork %s as %s: %w", f.Source.Workspace, f.Workspace, err)
	}
	if !f.Vacant {
		there, err := f.made(ctx)
		if err != nil {
			return fail(err)
		}
		if there {
			return done, false, nil
		}
	}
	lineage, err := f.claim(ctx)
	if errors.Is(err, errFound) {
		f.Vacant = false
		return f.Make(ctx)
	}
	if err != nil {
		return fail(err)
	}
	pointForkClaimed.Reach()
	for i := range f.Replicas {
		t, err := f.Replicas[i].copy(ctx)
		done.Files, done.Bytes, done.Through, done.Took = done.Files+t.Files, done.Bytes+t.Bytes, done.Through+t.Through, done.Took+t.Took
		if err != nil {
			return fail(err)
		}
	}
	pointForkCopied.Reach()
	refs := map[string]Ref{}
	for i := range f.Replicas {
		r := &f.Replicas[i]
		if r.Tree == nil {
			continue
		}
		if refs[r.Name], err = f.publish(ctx, r); err != nil {
			return fail(err)
		}
	}
	pointForkPublished.Reach()
	for i := range f.Replicas {
		if err := f.Replicas[i].whole(ctx, refs[f.Replicas[i].Name]); err != nil {
			return fail(err)
		}
	}
	if err := f.begin(ctx, lineage, refs); err != nil {
		return fail(err)
	}
	pointForkMade.Reach()
	return done, true, nil
}

// made reports whether the fork is there, as this one would make it.
func (f *Fork) made(ctx context.Context) (bool, error) {
	h, err := ReadHead(ctx, f.Root, f.Workspace)
	switch {
	case errors.Is(err, rclone.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case f.untouched(h):
		return true, nil
	}
	return false, f.taken("its head is there")
}

func (f *Fork) taken(what string) error {
	return hint.Wrap(fmt.Errorf("%w: %s", ErrForkTaken, what), "give the fork another name")
}

// untouched reports whether a head is that of a fork of the same source which nobody ever
// held.
func (f *Fork) untouched(h *Head) bool {
	return h.Origin != nil && h.Origin.Workspace == f.Source.Workspace && h.Origin.Lineage == f.Source.Lineage && h.Seq == 1
}

// claim claims the prefixes of the fork, and gives the lineage of its head to be. A claim that
// is there is one that a fork which was cut off has left, or there is more to lose.
func (f *Fork) claim(ctx context.Context) (lineage string, err error) {
	lineage = NewID()
	for i := range f.Replicas {
		r := &f.Replicas[i]
		ours := Claim{Workspace: f.Workspace, Replica: r.Name, Lineage: lineage, Head: f.Head, Origin: f.Source.Workspace}
		found, err := Stake(ctx, r.To, ours, Look{None: f.proven()})
		if err != nil {
			return "", err
		}
		if found.Lineage == lineage {
			continue
		}
		if f.Vacant {
			return "", errFound
		}
		if err := f.resumes(ctx, r, found); err != nil {
			return "", err
		}
		lineage = found.Lineage
	}
	return lineage, nil
}

// resumes is the error of a prefix that has something of a workspace, and not only of a fork
// that was cut off.
func (f *Fork) resumes(ctx context.Context, r *ForkReplica, found *Claim) error {
	what := fmt.Sprintf("its head is gone, and the prefix of replica %s has what it left", r.Name)
	if found.Origin != f.Source.Workspace {
		return f.taken(what)
	}
	refs, err := Manifests(ctx, r.To)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if manifestGeneration(ref) != firstGeneration {
			return f.taken(what)
		}
	}
	return f.alone(ctx, what)
}

// alone is the error of a fork beside whose head to be lies what only a workspace has that was
// begun: a purge of that, which was cut off or is under way, deletes it before the claims.
func (f *Fork) alone(ctx context.Context, what string) error {
	beside := 0
	err := f.Root.ListEach(ctx, path.Dir(HeadKey(f.Workspace)), rclone.ListOptions{}, func(rclone.Object) error {
		beside++
		return nil
	})
	if err == nil && beside > 0 {
		err = hint.Wrap(f.taken(what+", and somebody may be removing it"), "or remove what is left of it: coltec rm --purge %s", hint.Word(f.Workspace))
	}
	return err
}

// proven reports whether the store of the heads is known to compare and swap, so that a claim
// need not be looked for first.
func (f *Fork) proven() bool { return f.Source.Proven.holds(f.Root.Identity(), f.Now) }

// objects are those that a tree refers to, each once, by their keys under the prefix.
func (r *ForkReplica) objects() ([]string, error) {
	if r.Tree == nil {
		return nil, nil
	}
	seen := map[string]bool{}
	var keys []string
	for i := range r.Tree.Entries {
		e := &r.Tree.Entries[i]
		if e.Kind == tree.File && e.Size > 0 && len(e.Where) == 0 {
			return nil, hint.Wrap(fmt.Errorf("replica %s has %s as a plain object, which a fork cannot have", r.Name, short(e.Path)),
				"bring the workspace up once, and have it push all: coltecd sync")
		}
		for _, x := range e.Where {
			if !seen[x.Object] {
				seen[x.Object] = true
				keys = append(keys, path.Join(Dir, x.Object))
			}
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// copy brings the objects of a replica to the fork's prefix: all of them, or it is an error.
func (r *ForkReplica) copy(ctx context.Context) (rclone.Transfer, error) {
	keys, err := r.objects()
	if err != nil || len(keys) == 0 {
		return rclone.Transfer{}, err
	}
	t, err := r.Copy(ctx, keys)
	if errors.Is(err, rclone.ErrNotFound) || err == nil && t.Files != len(keys) {
		err = fmt.Errorf("%w: of replica %s %d of %d objects were there", ErrForkGone, r.Name, t.Files, len(keys))
	}
	return t, err
}

// whole is the error of a replica of which something was removed while it was made: a purge of
// what was there under the fork's name finds no head until the fork is done, and takes it for
// its own. The copies of a fork that was begun before it do not count as there either.
func (r *ForkReplica) whole(ctx context.Context, ref Ref) error {
	keys, err := r.objects()
	if err != nil {
		return err
	}
	missing := map[string]bool{claimKey: true}
	for _, key := range keys {
		missing[key] = true
	}
	if ref.Manifest != "" {
		missing[path.Join(Dir, ref.Manifest)] = true
	}
	all := len(missing)
	if err := r.To.ListEach(ctx, Dir, rclone.ListOptions{}, func(o rclone.Object) error {
		delete(missing, path.Join(Dir, o.Key))
		return nil
	}); err != nil {
		return fmt.Errorf("cannot see whether the fork is whole: %w", err)
	}
	if len(missing) > 0 {
		return hint.Wrap(fmt.Errorf("%w: of replica %s %d of %d objects", ErrForkRemoved, r.Name, len(missing), all), "another machine may be removing a workspace of that name from the bucket: fork again when that is done")
	}
	return nil
}

// publish writes the manifest of a replica's first generation.
func (f *Fork) publish(ctx context.Context, r *ForkReplica) (Ref, error) {
	entries := iter.Seq2[*tree.Entry, error](func(yield func(*tree.Entry, error) bool) {
		for i := range r.Tree.Entries {
			if !yield(&r.Tree.Entries[i], nil) {
				return
			}
		}
	})
	ref, err := NewSnapshot(r.To, filepath.Join(f.Local, r.Name)).Publish(ctx, Publication{
		Entries: entries, Filters: r.Tree.Filters, Workspace: f.Workspace, Replica: r.Name,
		Epoch: f.epoch(), Generation: firstGeneration, Older: r.Tree.Older,
	})
	ref.Filters = r.Ref.Filters
	return ref, err
}

// epoch is the one that a fork begins in: no object that it refers to has a later one in its
// name, or a later collection, so that none is ever made twice.
func (f *Fork) epoch() int64 { return max(1, f.Source.Epoch) }

// begin writes the head.
func (f *Fork) begin(ctx context.Context, lineage string, refs map[string]Ref) error {
	h := Head{
		Format: headFormat, Workspace: f.Workspace, Lineage: lineage, Epoch: f.epoch(), Seq: 1, Nonce: NewID(), State: Released,
		Holder: Holder{Host: f.Host, Since: f.Now.UTC().Truncate(time.Second)}, TTL: f.Source.TTL, Renew: f.Source.Renew,
		Replicas: map[string]Ref{}, Recent: []Generation{}, Collection: f.Source.Collection, Proven: f.Source.Proven,
		Origin: &Origin{Workspace: f.Source.Workspace, Lineage: f.Source.Lineage, Generation: f.Generation.Number, Prefixes: map[string]string{}},
	}
	for i := range f.Replicas {
		h.Origin.Prefixes[f.Replicas[i].Name] = f.Replicas[i].Prefix
	}
	h.Commit(refs, f.Now)
	text := fmt.Sprintf("generation %d of %s", f.Generation.Number, f.Source.Workspace)
	h.Pin(Forked, text[:min(len(text), CheckpointTextMax)], f.Host, f.Now)
	if name, err := DigestName(f.Workspace, h.Digest()); err == nil {
		h.Digests = []string{name}
	}
	body, err := h.encode()
	if err != nil {
		return err
	}
	err = f.Root.PutIf(ctx, HeadKey(f.Workspace), body, rclone.IfAbsent)
	if err == nil {
		f.announce(ctx, &h)
		return nil
	}
	// Another one may have been faster, and a write whose answer was lost may have counted.
	now, failed := ReadHead(ctx, f.Root, f.Workspace)
	switch {
	case failed == nil && now.Nonce == h.Nonce:
		return nil
	case failed == nil:
		return f.taken("its head was made meanwhile")
	}
	return err
}

// announce writes the digest of a fork that nobody has held yet. It is a hint: where there is
// none, the head is read.
func (f *Fork) announce(ctx context.Context, h *Head) {
	for _, name := range h.Digests {
		key := DigestKey(f.Workspace, name)
		if f.Announce != nil {
			f.Announce(key)
			continue
		}
		_ = f.Root.PutIf(ctx, key, []byte(DigestBody), rclone.Cond{})
	}
}

// OfWorkspace reports whether a path of a tree is one that each workspace has for itself: the
// directory of what names it, and what is carried as a whole in there. It neither goes to a
// fork nor comes back by a join. Some disks take it for the same in other letters.
func OfWorkspace(at string) bool {
	top, rest, _ := strings.Cut(at, "/")
	if top == Dir { // .coltec/git/PATH
		_, rest, _ = strings.Cut(rest, "/")
		top, _, _ = strings.Cut(rest, "/")
	}
	visible := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, top)
	return strings.EqualFold(visible, ".devcontainer")
}
