package logins

import (
	"context"
	"errors"
	"fmt"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/killpoint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
)

// The steps at which a crash test kills the process.
var (
	pointPlaced = killpoint.New("logins:placed")
	pointPushed = killpoint.New("logins:pushed")
)

// Take brings the logins here to what is in the bucket, under a lease that was acquired, with
// its head; strong says that the store compares and swaps. What is newer here is pushed by the next Give. An error is worth
// another try; all else is in the notes.
func (k *Keeper) Take(ctx context.Context, root store.Bucket, head *store.Head, strong bool) error {
	if at := (tenure{head.Lineage, head.Epoch, strong}); k.at != at {
		k.at = at
		for _, l := range k.all {
			l.taken = false
		}
	}
	var errs []error
	for _, l := range k.all {
		if l.taken {
			continue
		}
		if err := k.takeOne(ctx, root, l); err != nil {
			errs = append(errs, fmt.Errorf("cannot take the login of %s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) takeOne(ctx context.Context, root store.Bucket, l *login) error {
	l.barred, l.etag, l.known = false, "", version{}
	there, err := k.fetch(ctx, root, l)
	if err != nil {
		if lasting(err) {
			l.taken, l.barred = true, true
			k.note(l, k.unreadable(l, err))
			return nil
		}
		return err
	}
	l.taken = true
	l.record = k.area.recall(l.Name)
	here, err := k.area.read(l.Files)
	if err != nil {
		l.barred = true
		k.note(l, "it does not travel: "+anchor.OneLine(err))
		return nil
	}
	s := sides{seen: l.record, local: digestOf(here), remote: there, at: k.at}
	if text, err := k.settle(l, s.decide(), s, here); err != nil {
		l.barred = true
		k.note(l, anchor.OneLine(err))
	} else {
		k.note(l, text)
	}
	return nil
}

// lasting reports whether another try is of no use. What was cut off says nothing of that: a
// stop cuts off what is under way, and tries once more.
func lasting(err error) bool {
	var told *rclone.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case !errors.As(err, &told):
		return true
	}
	return !told.Class.Retry()
}

// fetch reads an agent's object; nil: there is none.
func (k *Keeper) fetch(ctx context.Context, root store.Bucket, l *login) (*payload, error) {
	body, err := store.Get(ctx, root, Key(k.o.Workspace, l.Name), maxObject)
	switch {
	case errors.Is(err, rclone.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	p, err := k.key.open(body, k.o.Workspace, l.Name)
	if err == nil {
		l.etag, l.known = rclone.ETag(body), p.version
	}
	return p, err
}

func (k *Keeper) unreadable(l *login, err error) string {
	text := fmt.Sprintf("what is in the bucket cannot be used: %s; nothing was changed, here or there", anchor.OneLine(err))
	if errors.As(err, new(*rclone.Error)) {
		return text
	}
	return text + ": give the workspace the key that it was written with, or remove it there with coltec agents logout --agent " + l.Name
}

// settle does what was decided, and gives the words for a person.
func (k *Keeper) settle(l *login, m move, s sides, here []file) (string, error) {
	switch m {
	case place, displace:
		return k.placeOne(l, m, s.remote, here)
	case rest:
		if s.remote == nil {
			return "", k.saw(l, record{Version: l.record.Version})
		}
		return "", k.saw(l, record{Version: s.remote.version, Digest: s.local})
	case parted:
		return "it was removed here, and is in the bucket still: coltec agents logout removes it there, too", nil
	case loggedOff:
		text := offText
		if s.local == "" {
			text = ""
		}
		return text, k.saw(l, record{Version: l.record.Version, Digest: s.local, Removed: s.local != ""})
	case push:
		l.record.Digest = "" // of what is there: none, or another one
	case replayed:
		l.record.Digest = "" // what is here is pushed, and is newer than both
		return "the bucket has an older one than was there before: it is not used here; somebody set the bucket back, or put an old object there", nil
	}
	return "", nil
}

const offText = "it was removed from the bucket by coltec agents logout, and stays on this machine: once it is removed here (coltecd agents logout --local), and made anew, it travels again"

// placeOne puts a login in its place, and notes it then: what is there and not noted is seen
// to be the same.
func (k *Keeper) placeOne(l *login, m move, p *payload, here []file) (text string, err error) {
	if m == displace {
		dir, err := k.area.keepAside(l.Name, here)
		if err != nil {
			return "", err
		}
		text = fmt.Sprintf("the newest one, of %s, is in its place; the one that was here is kept in ~/%s", p.Host, dir)
	}
	if err := k.area.place(l.Files, p.Files); err != nil {
		return "", err
	}
	pointPlaced.Reach()
	placed, err := k.area.read(l.Files)
	if err != nil {
		return "", err
	}
	k.o.Log.Info("login taken", "agent", l.Name, "epoch", p.Epoch, "count", p.Count)
	return text, k.saw(l, record{Version: p.version, Digest: digestOf(placed)})
}

// saw notes what this machine has of a login.
func (k *Keeper) saw(l *login, r record) error {
	if r.Format = payloadFormat; r == l.record || r.Version == (version{}) && r.Digest == "" && l.record == (record{}) {
		return nil
	}
	if err := k.area.note(l.Name, r); err != nil {
		return err
	}
	l.record = r
	return nil
}
