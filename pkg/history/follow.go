package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/store"
)

// Followed is the generation that a pull-only replica follows.
type Followed struct {
	Manifest   string // "" for what a mirror lists
	Lineage    string
	Generation int64
	Allowed    int64 // deletions that somebody had a say in
}

// FollowError is of a replica that has nothing to follow before a person does something.
type FollowError struct{ error }

// Unwrap gives the reason.
func (e *FollowError) Unwrap() error { return e.error }

// Follow finds the generation that the prefix of a pull-only replica is at: its claim
// leads to the head that names it. A mirror needs none. root opens the remote that holds
// the workspace's own head, headRoot is its place as claims have it.
func Follow(ctx context.Context, x *scope.Replica, remote scope.Remote, root func(context.Context) (scope.Remote, error), headRoot func() string) (Followed, error) {
	if x.Layout == "mirror" {
		return Followed{Lineage: "mirror"}, nil
	}
	claim, err := store.ReadClaim(ctx, remote)
	if errors.Is(err, rclone.ErrNotFound) {
		return Followed{}, &FollowError{hint.Wrap(
			fmt.Errorf("cannot follow %s: no workspace has published there yet", x.Remote), "set layout: mirror for plain objects")}
	}
	if err != nil {
		return Followed{}, err
	}
	heads, err := root(ctx)
	if err != nil {
		return Followed{}, err
	}
	if claim.Head != HeadAt(headRoot(), claim.Workspace) {
		return Followed{}, &FollowError{fmt.Errorf("cannot follow %s: its head is at %q, on another remote than this workspace's", x.Remote, claim.Head)}
	}
	head, err := store.ReadHead(ctx, heads, claim.Workspace)
	if err != nil {
		return Followed{}, err
	}
	ref, ok := head.Replicas[claim.Replica]
	if !ok {
		return Followed{}, &FollowError{fmt.Errorf("cannot follow %s: %s has not published replica %q yet", x.Remote, claim.Workspace, claim.Replica)}
	}
	return Followed{ref.Manifest, head.Lineage, head.Generation, head.Deletions[claim.Replica].Allowed}, nil
}

// HeadAt is where a workspace's head is, as claims say it.
func HeadAt(headRoot, workspace string) string { return headRoot + "/" + store.HeadKey(workspace) }
