package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Bucket is what Heads needs of the root of a remote.
type Bucket interface {
	ListEach(ctx context.Context, prefix string, lo rclone.ListOptions, f func(rclone.Object) error) error
	Download(ctx context.Context, keys []string, dir string, progress func(rclone.Progress)) (rclone.Transfer, error)
}

// fleetPrefix is what all heads are under.
const fleetPrefix = ".coltec/fleet"

// ErrNoAnswer says that a bucket did not answer in time.
var ErrNoAnswer = errors.New("it did not answer")

const (
	// headsMost is how many heads are told of, those that were written last: more than that is
	// no list that a person reads.
	headsMost = 1000
	// clockSlack is how far the clocks of this machine and of the store may be apart before times
	// of the store are told by this machine's: a store says its own in whole seconds.
	clockSlack = 10 * time.Second
	// digestsMost is how many workspaces digests are kept of while a bucket is listed. Of others
	// the head is read.
	digestsMost = 16 * headsMost
	// digestGood is for how long after it was written a digest counts while its head is written
	// by its holder: one that lives writes it anew before that, and a version that writes none
	// may have taken the lease since.
	digestGood = 26 * time.Hour
)

// listed is a head as a listing has it, with the digest that counts beside it.
type listed struct {
	workspace string
	at        time.Time // when the head was written, by the store's clock
	size      int64
	voices    *voices // nil: there are none
}

// speaks gives the digest that says of the head what a row shows, as of now; nil: none does. One
// of a lease that was given back is written after its head; one of a lease that has run out says
// nothing of who may have it since. Of a store that tells no times none does.
func (h listed) speaks(now time.Time) *told {
	t := h.voices.only()
	switch {
	case t == nil || h.at.IsZero():
		return nil
	case t.Lease != digest.Held && h.at.After(t.at):
		return nil
	case t.Lease == digest.Held && (h.at.Sub(t.at) > digestGood || now.Sub(h.at) > t.TTL):
		return nil
	}
	return t
}

// Heads tells of the workspaces of a bucket as of now, by this machine's clock: one listing, and,
// in one batch, the heads of those beside which no digest says what there is to show. left is how
// many are not told of, because there are more than anybody has. It is [ErrNoAnswer] when the
// listing takes longer than answer; read bounds the batch.
func Heads(ctx context.Context, b Bucket, now time.Time, answer, read time.Duration) (seen []Seen, left int, err error) {
	found, left, err := list(ctx, b, now, answer)
	if err != nil {
		return nil, left, err
	}
	var unread []listed
	for _, h := range found {
		bad := Seen{Head: store.Head{Workspace: h.workspace}, At: h.at}
		said := h.speaks(now)
		switch {
		case !named(h.workspace):
			bad.Bad = store.Impossible("no workspace has the name %q", h.workspace)
			seen = append(seen, bad)
		case h.size > store.MaxHead:
			bad.Bad = store.Impossible("a head of %d bytes", h.size)
			seen = append(seen, bad)
		case said != nil:
			seen = append(seen, h.seen(said.Digest))
		default:
			unread = append(unread, h)
		}
	}
	more, err := download(ctx, b, unread, read)
	if err != nil {
		return nil, left, err
	}
	seen = append(seen, more...)
	for i := range seen {
		seen[i].Asked = now
	}
	return seen, left, nil
}

// download reads heads in one batch, at most as long as that may take.
func download(ctx context.Context, b Bucket, heads []listed, most time.Duration) (seen []Seen, err error) {
	if len(heads) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "coltec-fleet-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var keys []string
	for _, h := range heads {
		keys = append(keys, store.HeadKey(h.workspace))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("%w the question for %d heads within %s", ErrNoAnswer, len(keys), most))
	defer cancel()
	// A head that is gone meanwhile, or cannot be had, is one that cannot.
	_, err = b.Download(ctx, keys, dir, nil)
	if err != nil && !errors.Is(err, rclone.ErrNotFound) {
		return nil, err
	}
	for i, h := range heads {
		body, err := wholefile.Read(filepath.Join(dir, filepath.FromSlash(keys[i])), store.MaxHead)
		if err != nil {
			continue // it is never deleted; a listing may be ahead
		}
		head, err := store.ParseHead(body, h.workspace)
		if err != nil {
			seen = append(seen, Seen{Head: store.Head{Workspace: h.workspace}, At: h.at, Bad: err})
		} else {
			seen = append(seen, see(head, h.voices.of(head.Digest()), h.at))
		}
	}
	return seen, nil
}

// named reports whether a name may be a workspace's: rclone is asked for no other, and
// one that it cannot write to a file would end the batch. Nor is one that means another's place.
func named(workspace string) bool {
	return path.Clean("/"+workspace) == "/"+workspace && len(workspace) <= 3*255 && utf8.ValidString(workspace) && !strings.ContainsFunc(workspace, func(r rune) bool { return !unicode.IsPrint(r) })
}

// list gives the heads that were written last, and how many more there are. Times are by the
// clock that now is of.
func list(ctx context.Context, b Bucket, now time.Time, patience time.Duration) (found []listed, more int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%w within %s", ErrNoAnswer, patience))
	defer cancel()
	last := func(a, b listed) int { return b.at.Compare(a.at) }
	digests, apart, began := map[string]*voices{}, time.Duration(0), time.Now()
	clock := func(theirs time.Time) {
		if ours := now.Add(time.Since(began)); ours.Sub(theirs).Abs() > clockSlack {
			apart = ours.Sub(theirs)
		}
	}
	err = b.ListEach(ctx, fleetPrefix, rclone.ListOptions{ModTime: true, Clock: clock}, func(o rclone.Object) error {
		if workspace, name, is := store.SplitDigestKey(fleetPrefix + "/" + o.Key); is {
			keep(digests, workspace, name, o.ModTime)
		}
		if workspace, is := strings.CutSuffix(o.Key, "/head.json"); is && strings.Count(workspace, "/") == 2 {
			if found = append(found, listed{workspace: workspace, at: o.ModTime, size: o.Size}); len(found) == 2*headsMost {
				slices.SortStableFunc(found, last)
				found, more = found[:headsMost], more+headsMost
			}
		}
		return nil
	})
	slices.SortStableFunc(found, last)
	n := min(len(found), headsMost)
	found, more = found[:n], more+len(found)-n
	for i := range found {
		h := &found[i]
		if h.voices = digests[h.workspace]; h.voices != nil {
			h.voices.shift(apart)
		}
		if !h.at.IsZero() {
			h.at = h.at.Add(apart)
		}
	}
	return found, more, err
}

// keep keeps of a workspace's digests those that may count.
func keep(digests map[string]*voices, workspace, name string, at time.Time) {
	v := digests[workspace]
	if v == nil {
		if len(digests) == digestsMost {
			return
		}
		v = &voices{}
		digests[workspace] = v
	}
	v.hear(name, at)
}
