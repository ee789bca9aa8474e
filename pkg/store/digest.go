package store

import (
	"cmp"
	"context"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/digest"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/status"
)

// digestDir is where digests lie, beside the head: what one says is the rest of its key.
const digestDir = "digest"

// DigestBody is what an object has whose name is a digest: there are tools that take an empty
// one for a folder.
const DigestBody = "coltec\n"

// digestsMost is how many digests a head names; one that is older is found by a listing.
const digestsMost = 32

// LastDigests are the last of the names of digests, the newest behind: as many as a head names.
func LastDigests(names []string) []string {
	return slices.Clone(names[max(0, len(names)-digestsMost):])
}

// DigestKey is where a digest of org/project/env lies under the root of the default remote.
func DigestKey(workspace, name string) string {
	return path.Join(path.Dir(HeadKey(workspace)), digestDir) + "/" + name
}

// SplitDigestKey takes the key of a digest apart. isOne is false for any other key.
func SplitDigestKey(key string) (workspace, name string, isOne bool) {
	rest, inside := strings.CutPrefix(key, path.Dir(path.Dir(HeadKey("x")))+"/")
	parts := strings.SplitN(rest, "/", 5)
	if !inside || len(parts) < 5 || parts[3] != digestDir {
		return "", "", false
	}
	return strings.Join(parts[:3], "/"), parts[4], true
}

// DigestName is the name of a digest of the workspace.
func DigestName(workspace string, d digest.Digest) (string, error) {
	return d.Name(len(DigestKey(workspace, "")))
}

// Digest is how a workspace is, as far as its head says it.
func (h *Head) Digest() digest.Digest {
	d := digest.Digest{
		Epoch: h.Epoch, Lineage: crc32.ChecksumIEEE([]byte(h.Lineage)), Host: cmp.Or(h.Holder.Host, h.Holder.Container), Since: h.Holder.Since,
		TTL: seconds(h.TTL), Renew: seconds(h.Renew),
	}
	switch h.State {
	case Released:
		d.Lease = digest.Released
	case Dirty:
		d.Lease = digest.Dirty
		d.Needs = append(d.Needs, status.NeedUnsaved)
	}
	for _, r := range h.Replicas {
		d.Bytes = min(d.Bytes+max(0, min(r.Bytes, maxNumber)), maxNumber)
	}
	for _, b := range h.LeftBehind {
		d.Left = append(d.Left, digest.Left{Host: cmp.Or(b.Host, b.Container), Count: int64(account.CountOf(b.Left)), At: b.Time})
	}
	if len(h.LeftBehind) > 0 {
		d.Needs = append(d.Needs, status.NeedUnsaved)
	}
	for _, x := range h.Deletions {
		if len(x.Held) > 0 {
			d.Needs = append(d.Needs, status.NeedDeletions)
		}
	}
	if n := len(h.Checkpoints); n > 0 {
		d.Checkpoint, d.CheckpointAt = h.Checkpoints[n-1].Name, h.Checkpoints[n-1].Made
	}
	return d.Rounded()
}

// DigestNames are the digests that the head knows of. Anybody may have written it: what cannot
// be one is none.
func (h *Head) DigestNames() []string {
	return LastDigests(slices.DeleteFunc(slices.Clone(h.Digests), func(name string) bool { return !digest.IsName(name) }))
}

// SweepDigests deletes what lies where digests do and is none of those that are kept, if it is
// older than Grace. Nothing ever refers to a digest, so it need not be condemned first.
func SweepDigests(ctx context.Context, b Bucket, workspace string, kept []string, now time.Time) error {
	dir := path.Join(path.Dir(HeadKey(workspace)), digestDir)
	var keys []string
	err := b.ListEach(ctx, dir, rclone.ListOptions{ModTime: true}, func(o rclone.Object) error {
		if digest.IsName(o.Key) && !slices.Contains(kept, o.Key) && !o.ModTime.IsZero() && now.Sub(o.ModTime) >= Grace && len(keys) < sweepAtOnce {
			keys = append(keys, path.Join(dir, o.Key))
		}
		return nil
	})
	if err == nil && len(keys) > 0 {
		err = b.Delete(ctx, keys)
	}
	if err != nil {
		return fmt.Errorf("cannot delete digests of before: %w", err)
	}
	return nil
}
