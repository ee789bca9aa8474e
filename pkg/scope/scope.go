// Package scope has the values that describe what of a workspace is replicated, and
// to where. It does nothing with them: the engine, and what reads the past, are given them.
package scope

import (
	"time"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/whole"
)

// Direction is which way a replica goes.
type Direction string

// The directions.
const (
	Bidirectional Direction = "bidirectional"
	PushOnly      Direction = "push-only"
	PullOnly      Direction = "pull-only"
)

// Remote is a prefix of the user's bucket. *rclone.Remote is the real one.
type Remote interface{ store.Root }

// Target names a prefix to connect to.
type Target struct {
	Replica string             // "" for the root of the remote that holds the head
	Prefix  string             // another prefix of the replica's remote; "" for the replica's own
	Plain   bool               // as plain objects with metadata
	Spent   func(rclone.Spent) // to be told what each run costs
}

// Replica is what one replica is.
type Replica struct {
	Name      string
	Path      string // absolute, of the local tree
	Within    string // the outermost tree around it that a bucket fills too; "" or itself is none
	Remote    string // for people: remote:bucket/prefix
	Direction Direction
	Layout    string // snapshot or mirror
	Interval  time.Duration
	Watch     bool // push a change soon after it was made, and not at the next interval
	// Gather is how far apart saves are, at least, that changes bring about. Who asks for
	// one does not wait.
	Gather  time.Duration
	Home    bool // in the home of the workspace's user
	Filter  *filter.Filter
	Wholes  whole.Kinds // that the tree may have
	Blocked string      // a word for a person when the replica cannot run as it is set up
	// Ground says why the tree must not be opened where it is: what is missing is made.
	// nil: it may.
	Ground func() error
}

// Writes reports whether the replica writes its prefix, and so needs the lease.
func (r *Replica) Writes() bool { return r.Direction != PullOnly }
