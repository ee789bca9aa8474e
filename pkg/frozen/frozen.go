// Package frozen carries directories whose files are only valid together, of whatever program:
// a kind of wholes. At a save in which something of one changed, the processes that write it are
// stopped for as long as it takes to copy what changed, at most [Limit]: what comes out is
// what a power cut at that instant leaves, from which every database recovers. Or hooks of the
// workspace see to it that what is copied is sound.
//
// What the disk has to do is done before: a rehearsal copies what changed, again and again,
// until little is left. A capture that would take longer is given up, nothing of it is
// carried, and it is tried again at the next save.
package frozen

import (
	"cmp"
	"context"
	"time"

	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/tree"
)

// Limit is for how long processes stand still at most.
const Limit = 500 * time.Millisecond

// By is the means by which a directory is captured as it is at one moment.
type By string

// The means.
const (
	Freeze By = "freeze" // its writers stand still
	Hook   By = "hook"   // a hook sees to it
)

// Path is a directory of a tree whose files are only valid together.
type Path struct {
	Path  string // in the tree; "" is all of it
	By    By
	Units []string // that are stopped; nil: all of the workspace's own
}

// name is that of its shadow.
func (p Path) name() string {
	if p.Path == "" {
		return All
	}
	return p.Path
}

// All is the name of the shadow of all of a tree. No directory in a tree can be frozen by that
// name.
const All = "@"

// known is what people know it by.
func (p Path) known() string {
	if p.Path == "" {
		return "."
	}
	return p.Path
}

// Stopper has processes stand still for [Limit] at most, and go on whatever becomes of this
// process.
type Stopper interface {
	// Stop stops the processes of some units, nil for all, and says how many stand.
	Stop(units []string) (n int, err error)
	// PIDs are those that stand.
	PIDs() []int
	// Left is for how long they may.
	Left() time.Duration
	// Took is for how long they do.
	Took() time.Duration
	// Continue has them go on. No error says that all of them stood until then.
	Continue() error
	Close()
}

// Means are what a workspace has to capture by. The zero value is none: nothing is captured.
type Means struct {
	Stopper func() (Stopper, error)
	Limit   time.Duration // for how long the stopper has processes stand; 0: [Limit]
	// Before and After run the hooks around a capture. nil: there are none.
	Before, After func(ctx context.Context, env []string) error
}

// Kind are the directories of a tree that are frozen. The one of a bucket knows no paths: what
// there is it tells by shadows.
type Kind struct {
	Paths   []Path
	Carries localfs.Matcher // what of the tree is left out in them too; nil: nothing
	Means   Means
}

// limit is for how long processes stand at most.
func (k Kind) limit() time.Duration { return cmp.Or(k.Means.Limit, Limit) }

// at is the path that another one of the tree is in; nil for none.
func (k Kind) at(path string) *Path {
	for i := range k.Paths {
		if p := &k.Paths[i]; p.Path == "" || tree.Within(path, p.Path) {
			return p
		}
	}
	return nil
}

// takes reports whether a path of the tree that is in one of them is carried.
func (k Kind) takes(p string, dir bool) bool {
	switch {
	case tree.Within(p, localfs.Dir):
		return false
	case k.Carries == nil:
		return true
	case dir:
		return k.Carries.Dir(p)
	}
	return k.Carries.File(p)
}
