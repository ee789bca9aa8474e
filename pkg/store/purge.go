package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
)

// Purge removes a workspace from its bucket. What it deletes is Coltec's own: below prefixes
// that the workspace has claimed, and beside its head. Plain objects stay.
type Purge struct {
	Root      Root
	Workspace string // org/project/env
	Head      string // where its head is, as its claims say it
	Prefixes  []PurgePrefix
	Self      Holder // of this host; one of the same Place here that ended before is taken for it
	// Ended reports whether a holder was seen to end, so that nothing of it is to come. nil:
	// none was.
	Ended func(Holder) bool
	// Force takes the lease of a holder whose time has run out.
	Force bool
	// BestEffort says that a store without conditional writes will do.
	BestEffort bool
	// Clock is what a test sets.
	Clock Clock
}

// PurgePrefix is where a workspace has a replica.
type PurgePrefix struct {
	Replica string
	Bucket  Bucket // rooted at the prefix
}

// Hoard is what a bucket has of a workspace.
type Hoard struct {
	Head   *Head // nil: it has none
	Ours   Amount
	Plain  Amount // objects of others in the prefixes: plain files of a mirror, too
	beside []string
	lists  []hoarded
}

// hoarded is what lies in a prefix that is claimed, by keys relative to it.
type hoarded struct {
	prefix    PurgePrefix
	manifests []string
	others    []string
}

// Errors of a purge.
var (
	// ErrNoTrace says that a bucket has nothing of a workspace.
	ErrNoTrace = errors.New("the bucket has nothing of it")
	// ErrPurgeHeld says that another machine has the lease, or was promised it.
	ErrPurgeHeld = errors.New("another machine has the lease")
	// ErrBegunAgain says that a machine has made a new head while a purge was under way.
	ErrBegunAgain = errors.New("another machine has begun the workspace again meanwhile")
)

// The steps of a purge at which a crash test kills the process.
var (
	pointPurgeHeld     = killpoint.New("purge:held")
	pointPurgeHeadless = killpoint.New("purge:headless")
	pointPurgeTreeless = killpoint.New("purge:treeless")
	pointPurgeDeleted  = killpoint.New("purge:deleted")
	pointPurgeEmptied  = killpoint.New("purge:emptied")
)

const (
	// purgeTTL is for how long others wait for a purge that was cut off before it deleted
	// anything.
	purgeTTL = 5 * time.Minute
	// purgePatience bounds the deletion of the head: less than the lease lasts, so that it
	// meets the head that was read and no later one.
	purgePatience = time.Minute
)

// Survey looks at what a purge would delete, and changes nothing. A prefix that is another's is
// an error.
func (p *Purge) Survey(ctx context.Context) (*Hoard, error) {
	h := &Hoard{}
	head, err := ReadHead(ctx, p.Root, p.Workspace)
	if err == nil {
		h.Head = head
	} else if !errors.Is(err, rclone.ErrNotFound) {
		return nil, p.failed(err)
	}
	for _, x := range p.Prefixes {
		claim, err := ReadClaim(ctx, x.Bucket)
		if errors.Is(err, rclone.ErrNotFound) {
			continue // nothing in it is ours
		}
		if err == nil {
			err = claim.refuse(Claim{Workspace: p.Workspace, Replica: x.Replica, Head: p.Head})
		}
		if err == nil {
			err = h.look(ctx, x)
		}
		if err != nil {
			return nil, p.failed(err)
		}
	}
	return h, p.failed(h.lookBeside(ctx, p.Root, path.Dir(HeadKey(p.Workspace))))
}

func (p *Purge) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot remove %s from its bucket: %w", p.Workspace, err)
}

// ownDirs are those below a prefix's directory that Coltec writes.
var ownDirs = []string{"o", "m", "plain", "c", "history"}

// look counts and lists what lies in a prefix that is the workspace's.
func (h *Hoard) look(ctx context.Context, x PurgePrefix) error {
	list := hoarded{prefix: x}
	err := x.Bucket.ListEach(ctx, "", rclone.ListOptions{}, func(o rclone.Object) error {
		rel, inside := strings.CutPrefix(o.Key, Dir+"/")
		dir, _, below := strings.Cut(rel, "/")
		switch {
		case o.Key == claimKey: // deleted last
			h.Ours.add(o.Size)
			return nil
		case !inside || !below || !slices.Contains(ownDirs, dir):
			h.Plain.add(o.Size)
			return nil
		case dir == "m":
			list.manifests = append(list.manifests, o.Key)
		default:
			list.others = append(list.others, o.Key)
		}
		h.Ours.add(o.Size)
		return nil
	})
	h.lists = append(h.lists, list)
	if err != nil {
		return fmt.Errorf("cannot list the prefix of replica %q: %w", x.Replica, err)
	}
	return nil
}

// lookBeside counts and lists what lies in the directory of a head.
func (h *Hoard) lookBeside(ctx context.Context, root Root, dir string) error {
	err := root.ListEach(ctx, dir, rclone.ListOptions{}, func(o rclone.Object) error {
		h.Ours.add(o.Size)
		if o.Key != path.Base(HeadKey("")) {
			h.beside = append(h.beside, path.Join(dir, o.Key))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot list what is beside the head: %w", err)
	}
	return nil
}

// Do deletes the workspace, and says what was deleted. Its head goes first: who comes later
// finds a workspace that was never begun, or what of it is left without a head, and never a
// tree that is less than it was; what such a machine has itself is pushed anew. The claims
// go last, so that a purge that was cut off is gone on with.
//
// Refused it has changed nothing but the lease, which it gives back.
func (p *Purge) Do(ctx context.Context) (Amount, error) {
	h, err := p.Survey(ctx)
	if err != nil {
		return Amount{}, err
	}
	if h.Ours.Objects == 0 {
		return Amount{}, p.failed(ErrNoTrace)
	}
	if h.Head != nil {
		if h, err = p.behead(ctx, h.Head); err != nil {
			return Amount{}, p.failed(err)
		}
	}
	pointPurgeHeadless.Reach()
	return h.Ours, p.failed(p.sweep(ctx, h))
}

// behead takes the lease, lists what there is then, and deletes the head.
func (p *Purge) behead(ctx context.Context, seen *Head) (*Hoard, error) {
	if err := p.Refuses(ctx, &Hoard{Head: seen}); err != nil {
		return nil, err
	}
	l := NewLease(p.Root, LeaseOptions{
		Workspace: p.Workspace, Self: p.Self, TTL: purgeTTL, Dead: p.ended, BestEffort: p.BestEffort, Clock: p.Clock,
	})
	take := l.Acquire
	if other := seen.owner(); other != nil && p.ended(*other) {
		take = l.Seize
	}
	if err := take(ctx); err != nil {
		return nil, err
	}
	pointPurgeHeld.Reach()
	h, err := p.Survey(ctx) // nobody else writes now
	if err == nil {
		err = l.Renew(ctx) // and nobody has since
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), purgePatience)
		defer cancel()
		_ = l.Release(ctx, nil) // else it runs out
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, purgePatience)
	defer cancel()
	if err := p.Root.Delete(ctx, []string{HeadKey(p.Workspace)}); err != nil {
		return nil, fmt.Errorf("cannot delete the head: %w", err)
	}
	return h, nil
}

// ended reports whether nothing is to come of a holder any more.
func (p *Purge) ended(h Holder) bool {
	return h.Same(p.Self) || p.Ended != nil && p.Ended(h)
}

// Refuses is the error of a lease that another has, or was promised.
func (p *Purge) Refuses(ctx context.Context, h *Hoard) error {
	if h.Head == nil {
		return nil
	}
	other := h.Head.owner()
	if other == nil || p.Force || p.ended(*other) {
		return nil
	}
	err := fmt.Errorf("%w: %s", ErrPurgeHeld, other.name())
	if o, failed := p.Root.Stat(ctx, HeadKey(p.Workspace)); failed == nil && !o.ModTime.IsZero() {
		err = fmt.Errorf("%w, last seen %s", err, o.ModTime.UTC().Format(time.RFC3339))
	}
	return hint.Wrap(err, "stop it there; --force takes the lease of a machine that is gone, once its time has run out")
}

// sweep deletes what was listed. Manifests go before what they refer to: a machine that comes
// meanwhile makes a head before it looks for what a lost one has left. So none that finds a
// manifest is unseen by the look that comes before the first object goes.
func (p *Purge) sweep(ctx context.Context, h *Hoard) error {
	for _, list := range h.lists {
		if err := p.delete(ctx, list.prefix.Bucket, list.manifests, nil); err != nil {
			return err
		}
	}
	pointPurgeTreeless.Reach()
	for _, list := range h.lists {
		if err := p.delete(ctx, list.prefix.Bucket, list.others, pointPurgeDeleted); err != nil {
			return err
		}
	}
	if err := p.delete(ctx, p.Root, h.beside, nil); err != nil {
		return err
	}
	pointPurgeEmptied.Reach()
	for _, list := range h.lists {
		if err := p.delete(ctx, list.prefix.Bucket, []string{claimKey}, nil); err != nil {
			return err
		}
	}
	return p.headless(ctx)
}

// delete deletes keys, while there is no head.
func (p *Purge) delete(ctx context.Context, b Bucket, keys []string, after *killpoint.Point) error {
	for chunk := range slices.Chunk(keys, sweepAtOnce) {
		if err := p.headless(ctx); err != nil {
			return err
		}
		if err := b.Delete(ctx, chunk); err != nil {
			return fmt.Errorf("cannot delete all of it: %w", err)
		}
		if after != nil {
			after.Reach()
		}
	}
	return nil
}

// headless is an error where there is a head.
func (p *Purge) headless(ctx context.Context) error {
	_, err := Get(ctx, p.Root, HeadKey(p.Workspace), MaxHead)
	switch {
	case errors.Is(err, rclone.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("cannot see whether there is a head: %w", err)
	}
	return hint.Wrap(ErrBegunAgain, "what it has is there, and is pushed from there; stop it, and remove the workspace again")
}
