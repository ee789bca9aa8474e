package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
)

// Claim says, in a prefix itself, whose it is. It is made once, by the first
// writer, and binds writers only.
type Claim struct {
	Format    int    `json:"format"`
	Workspace string `json:"workspace"` // org/project/env
	Replica   string `json:"replica"`
	Lineage   string `json:"lineage"`          // of the head
	Head      string `json:"head"`             // where the head is: REMOTE:BUCKET/…/head.json without the remote's name
	Origin    string `json:"origin,omitempty"` // of a fork: the workspace that was forked
}

// claimKey is where a claim lies under the replica's prefix.
var claimKey = path.Join(Dir, "claim.json")

// Stake claims the prefix that the bucket is rooted at, or says whose it is. It
// returns the claim that is there now: an older one of ours names the lineage of
// its head.
func Stake(ctx context.Context, b Bucket, c Claim, seen Look) (*Claim, error) {
	c.Format = headFormat
	found, err := stake(ctx, b, c, seen)
	if err != nil {
		return nil, fmt.Errorf("cannot claim the prefix of replica %q: %w", c.Replica, err)
	}
	return found, found.refuse(c)
}

// Look is what somebody saw who looked for the claim of a prefix a moment ago; the
// zero value: nobody looked. It may be older than the lease. A claim that was there
// is the one that is there: none is ever written over, and if it was removed since,
// so might it be a moment after any look. That none was there is taken for no
// more than a guess: ours is written where there is still none, and the store says
// so or refuses.
type Look struct {
	Found *Claim
	// None says that none was there, in a bucket that compares and swaps.
	None bool
}

// stake looks first where nobody did: most often a claim is there, and a remote
// that ignores conditions would write over another's.
func stake(ctx context.Context, b Bucket, c Claim, seen Look) (*Claim, error) {
	if seen.Found != nil {
		return seen.Found, nil
	}
	if !seen.None {
		found, err := ReadClaim(ctx, b)
		if !errors.Is(err, rclone.ErrNotFound) {
			return found, err
		}
	}
	body, err := encodeJSON(c)
	if err != nil {
		return nil, err
	}
	err = b.PutIf(ctx, claimKey, body, rclone.IfAbsent)
	if errors.Is(err, rclone.ErrPrecondition) {
		return ReadClaim(ctx, b)
	}
	return &c, err
}

// ReadClaim reads the claim of the prefix that the bucket is rooted at. The
// error wraps rclone.ErrNotFound when there is none.
func ReadClaim(ctx context.Context, b Bucket) (*Claim, error) {
	body, err := Get(ctx, b, claimKey, maxClaim)
	if err != nil {
		return nil, err
	}
	return parseClaim(body)
}

func parseClaim(body []byte) (*Claim, error) {
	var c Claim
	err := json.Unmarshal(body, &c)
	switch {
	case err != nil:
		err = Impossible("%w", err)
	case c.Format != headFormat:
		err = fmt.Errorf("format %d %w", c.Format, errLater)
	case max(len(c.Workspace), len(c.Replica), len(c.Lineage), len(c.Head), len(c.Origin)) > maxWord:
		err = Impossible("a name in it has more than %d bytes", maxWord)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", claimKey, err)
	}
	return &c, nil
}

// ErrClaimed says that a prefix belongs to another workspace, replica or head.
var ErrClaimed = errors.New("the prefix is claimed")

// refuse compares the claim that was found with ours.
func (c *Claim) refuse(ours Claim) error {
	switch {
	case c.Workspace != ours.Workspace || c.Replica != ours.Replica:
		return hint.Wrap(
			fmt.Errorf("cannot use the prefix for replica %q of %s: %w by replica %q of %s",
				ours.Replica, ours.Workspace, ErrClaimed, c.Replica, c.Workspace),
			"give one of the two another remote_path (or environment) in workspace-spec.yaml")
	case c.Head != ours.Head:
		return hint.Wrap(
			fmt.Errorf("cannot use the prefix for replica %q of %s: %w under the head %q, and this spec leads to %q",
				ours.Replica, ours.Workspace, ErrClaimed, c.Head, ours.Head),
			"set default_remote, bucket and path_prefix back to what they were")
	}
	// Another lineage under the same address: the head was lost and made anew.
	// The content is the workspace's own; its base does not count.
	return nil
}
