package logins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coltec/coltec/pkg/anchor"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
)

// Give pushes what changed of the logins here, one request each. Only who holds the lease
// under which they were taken calls it. An error is worth another try.
func (k *Keeper) Give(ctx context.Context, root store.Bucket) error {
	var errs []error
	for _, l := range k.all {
		if !l.taken || l.barred {
			continue
		}
		if err := k.giveOne(ctx, root, l); err != nil {
			errs = append(errs, fmt.Errorf("cannot push the login of %s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) giveOne(ctx context.Context, root store.Bucket, l *login) error {
	here, err := k.area.read(l.Files)
	if err != nil {
		k.note(l, "it does not travel as it is here: "+anchor.OneLine(err))
		return nil
	}
	digest := digestOf(here)
	switch {
	case digest == "" && l.record.Removed: // once it is made anew it travels
		k.note(l, "")
		return k.saw(l, record{Version: l.record.Version})
	case digest == "", digest == l.record.Digest, l.record.Removed:
		return nil
	}
	return k.push(ctx, root, l, here, digest)
}

// pushTries is how often a write is tried over what somebody else wrote meanwhile: a holder
// that was fenced may have sent one.
const pushTries = 3

// errFenced is of a login that a later holder of the lease has pushed.
var errFenced = errors.New("a later holder of the lease has pushed one")

// push writes an agent's object over the one that is known, and over no other.
func (k *Keeper) push(ctx context.Context, root store.Bucket, l *login, here []file, digest string) error {
	for try := 1; ; try++ {
		if !k.at.strong { // nothing but this look keeps it from being written over
			if err := k.again(ctx, root, l); err != nil {
				return err
			}
		}
		p := payload{
			Format: payloadFormat, Workspace: k.o.Workspace, Agent: l.Name, Nonce: store.NewID(), Host: k.o.Host,
			version: k.latest(l).next(k.at), Files: here,
		}
		body, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if body, err = k.key.close(body); err != nil {
			return err
		}
		err = root.PutIf(ctx, Key(k.o.Workspace, l.Name), body, k.cond(l))
		if err == nil {
			l.etag = rclone.ETag(body)
		} else if err = k.counted(ctx, root, l, p.Nonce, err); err != nil {
			if errors.Is(err, rclone.ErrPrecondition) && try < pushTries {
				continue
			}
			return err
		}
		if l.barred || l.record.Removed {
			return nil
		}
		l.known = p.version
		pointPushed.Reach()
		k.o.Log.Debug("login pushed", "agent", l.Name, "epoch", p.Epoch, "count", p.Count)
		k.note(l, "")
		return k.saw(l, record{Version: p.version, Digest: digest})
	}
}

// latest is the newest version that is known: what is pushed is newer than that.
func (k *Keeper) latest(l *login) version {
	if l.record.Version.newer(l.known) || l.known == (version{}) {
		return l.record.Version
	}
	return l.known
}

// cond is the condition of a write: that there is what was there.
func (k *Keeper) cond(l *login) rclone.Cond {
	switch {
	case !k.at.strong:
		return rclone.Cond{}
	case l.etag == "":
		return rclone.IfAbsent
	}
	return rclone.IfMatch(l.etag)
}

// counted finds out what became of a write that was refused, or whose answer was lost: nil,
// it counted, or it must not be made any more; rclone.ErrPrecondition: it is to be made over
// what is there now.
func (k *Keeper) counted(ctx context.Context, root store.Bucket, l *login, nonce string, failed error) error {
	had := l.etag
	there, err := k.fetch(ctx, root, l)
	switch {
	case err != nil && lasting(err):
		l.barred = true
		k.note(l, k.unreadable(l, err))
		return nil
	case err != nil:
		return errors.Join(failed, err)
	case there == nil && had == "":
		return failed
	case there == nil:
		l.etag = ""
		k.note(l, offText)
		r := l.record
		r.Removed = true
		return k.saw(l, r)
	case there.Nonce == nonce:
		return nil
	case there.Lineage == k.at.lineage && there.Epoch > k.at.epoch:
		return errFenced
	case l.etag == had: // it did not come through, and may yet
		return failed
	}
	return fmt.Errorf("%w: %w", rclone.ErrPrecondition, failed)
}

// again looks at what is there, for a store without conditions.
func (k *Keeper) again(ctx context.Context, root store.Bucket, l *login) error {
	there, err := k.fetch(ctx, root, l)
	if err == nil && there != nil && there.Lineage == k.at.lineage && there.Epoch > k.at.epoch {
		return errFenced
	}
	return err
}
