package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coltec/coltec/pkg/history"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
	"github.com/coltec/coltec/pkg/status"
	"github.com/coltec/coltec/pkg/store"
)

// Options say what an engine keeps.
type Options struct {
	Workspace status.Workspace
	Replicas  []scope.Replica // in order of priority
	Self      store.Holder
	// HeadRoot says where heads are, for the claims: type:bucket/prefix. It is
	// asked once a remote could be connected.
	HeadRoot func() string
	// Connect opens a prefix. It is asked again after a failure, so that what
	// was missing may come.
	Connect func(ctx context.Context, t scope.Target) (scope.Remote, error)

	LeaseTTL   time.Duration
	LeaseRenew time.Duration
	BestEffort bool // a remote without conditional writes will do
	// Dead says that a holder that looks like ourselves is proven to have ended.
	Dead func(store.Holder) bool
	// Distinct is the next step for a person whose two machines have one identity.
	Distinct string

	StopTimeout time.Duration // bounds the final flush
	// KeepReplaced is for how long local versions stay that a remote one
	// replaced.
	KeepReplaced time.Duration
	Rendered     func(path string) string // the file that a template rendered for an absolute path; nil for none
	Log          *slog.Logger

	// Announce says that a digest of the workspace is kept beside the head.
	Announce bool

	Logins Logins // nil: none are carried
	// IsLogin reports whether an absolute path is one of a login. May be nil.
	IsLogin func(path string) bool

	// Changed is called when Status may say something else. It must not wait.
	Changed func()
	// Synced is called after a replica's changes went either way.
	Synced func(replica string)
	// Conflicted is called with the paths whose local version lies aside.
	Conflicted func(replica string, paths []string)
	// Failed is called when a replica begins to fail or is blocked.
	Failed func(replica string, err error)
	// Rested is called when nothing is to be done for a while and what the last
	// round needed is garbage. It may take some milliseconds.
	Rested func()
	// Turns is called before a hand-over, and returns when it is a good moment for one, or
	// none has come: within some seconds. nil: each moment is.
	Turns func(ctx context.Context)
}

// blockedError needs something from a person.
type blockedError struct{ error }

func (b *blockedError) Unwrap() error { return b.error }

// blocked reports whether an error will not go away by itself soon.
func blocked(err error) bool {
	if errors.As(err, new(*blockedError)) || errors.As(err, new(*history.FollowError)) || errors.Is(err, store.ErrClaimed) || errors.Is(err, store.ErrImpossible) || errors.Is(err, store.ErrNoStrongLease) {
		return true
	}
	var r *rclone.Error
	return errors.As(err, &r) && !r.Class.Retry()
}
