// Package whole has the notion of paths that are only valid together, as those of a git
// repository or of a live database are. Read or written one by one they come torn, so a
// whole is never carried as the files that it is: beside it, in the replica's own
// directory, lies its shadow, a copy that was a state of it, and the rows of a generation
// are those of the shadow.
//
// A [Kind] knows one sort of whole by paths and rows, and keeps nothing. A [Carrier] does
// the work for one tree. Who replicates knows [Kinds] and [Carriers], and none by name.
package whole

import (
	"context"
	"log/slog"
	"time"

	"github.com/coltec/coltec/pkg/account"
	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
)

// Kind is one sort of whole. It has no state, and reads no file but to verify.
type Kind interface {
	// Layout is how its shadows lie.
	Layout() Layout
	// Leads reports whether what a walk meets by that name leads to a whole.
	Leads(name string) bool
	// Around gives the whole that a path of the tree is in; "" for none.
	Around(path string) string
	// Of gives the whole that a path of a shadow belongs to, as people know it.
	Of(path string) string
	// Place gives where in the tree a path below [Layout.Dir] belongs; ok is false for what
	// only a shadow has.
	Place(below string) (path string, ok bool)
	// AsFiles finds the wholes of a tree that was written before they were carried as such:
	// their rows lie where they belong. carries reports what is carried as a file still.
	AsFiles(entries []tree.Entry, carries func(path string, dir bool) bool) map[string][]tree.Entry
	// Misleads says why an entry must not be put where it belongs file by file: whoever finds
	// it there would follow it elsewhere. "": it may be. path is where it belongs.
	Misleads(e *tree.Entry) (path, why string)
	// Watched is of what is watched: what m matches, and of wholes what shows that they
	// changed.
	Watched(m localfs.Matcher) localfs.Matcher
	// Carry makes what carries the wholes of one tree; nil where nobody does.
	Carry(o Options) Carrier
}

// Verifier is a kind that can tell by a shadow whether a whole is sound.
type Verifier interface {
	// Verify says in words what is wrong with a whole whose shadow, and nothing else, lies in
	// a directory: nil for nothing. scratch is an empty directory of ours beside it. An error
	// means that nothing is known.
	Verify(ctx context.Context, dir, scratch string) (wrong []string, err error)
}

// Carrier carries the wholes of one kind in one tree. The replica's worker owns it, but
// for Account and Notes, which are called between its runs.
type Carrier interface {
	// Serve has it work for a replica from now on.
	Serve(Replica)
	// Capture brings the shadows to what the wholes are now. What of them cannot be
	// captured stays as it was, and is in the account: only what keeps the tree itself from
	// being read is an error. It gives back the paths that were met and are not files to
	// carry: those of its wholes that are found by their content, and, with a reason, what
	// is not to go now. Of them, and of what is below them, nothing is concluded.
	Capture(ctx context.Context, m Met) ([]localfs.Unknown, error)
	// Settle brings the wholes to what waits of their remote side, with content from a
	// source: placed where only that changed, joined where both did, so that nothing is
	// lost and no whole is mixed of two.
	Settle(ctx context.Context, source store.Layout) error
	// Removal is what the wholes say of files that went. agreed counts those of some paths
	// below a directory that both sides agreed on, and that are not among them.
	Removal(ctx context.Context, lost []tree.Entry, agreed func(dir string, paths map[string]bool) (int, error)) (Removal, error)
	// Account adds the wholes that are not carried as they are now.
	Account(a *account.Account)
	// Notes are for attention.
	Notes() []string
}

// Guard is a Carrier that has a say in how files are placed.
type Guard interface {
	// Comes looks around what is to come to a tree. It gives the paths that must stay as they
	// are now, because somebody works there, and the directories whose files are only valid
	// together, so that none may be made of two.
	Comes(ctx context.Context, root localfs.FileSystem, paths []string) (occupied []localfs.Unknown, together []string)
}

// Options say whose wholes are carried.
type Options struct {
	Replica string // its name, for people
	Path    string // of the tree
	Env     string // of the workspace, in the names of what lost its own
	Host    string
	Log     *slog.Logger
	Now     func() time.Time
	// Came reports whether what is at a path is what both sides agree on.
	Came func(path string) bool
	// Carries reports whether a path is the replica's to carry as a file.
	Carries func(path string) bool
	// Conflicted is told of wholes of which both sides have changed, and that were kept whole
	// for it. nil: nobody is.
	Conflicted func(paths []string)
	Progress   store.Progress    // of what is fetched
	Doing      func(what string) // to be told what takes its time
}

// Replica is what a carrier needs of the one that it works for.
type Replica interface {
	HoldOwn() error   // makes the own directory, where the replica was not opened yet
	StageDir() string // the directory for content on its way
	// ConflictDir and ReplacedDir are where what lost its name, or was replaced, at a
	// moment is kept.
	ConflictDir(t time.Time, host string) string
	ReplacedDir(t time.Time) string
	Base() *base.Base
	// AsFiles are the wholes that the remote side has as files, until they were tried.
	AsFiles() map[string][]tree.Entry
	// TriedAsFiles notes that those were; where not all could be placed, a later start
	// tries again.
	TriedAsFiles(some map[string][]tree.Entry, all bool) error
}

// Met is what a walk of the tree met.
type Met struct {
	Root   localfs.FileSystem
	Part   bool            // it was of what was touched alone
	Leads  []string        // paths of names that lead to wholes
	Edited []localfs.Entry // and of what is new or changed, in which wholes may be found
	Gone   []tree.Entry    // what was agreed on, and is not there any more
	// Still asks that what is carried of a directory be of one moment: where something of it
	// changes before all is read, nothing of it goes. nil: nobody reads.
	Still func(dir string)
	// Tells reports whether the walk can tell that something is not there.
	Tells func(path string) bool
	// Removed reports whether a whole counts as removed of which something is there still: a
	// repository whose git directory alone is gone. nil: none does.
	Removed func(path string) bool
	// Guess says that what both sides agreed on may be another's: nothing is undone for it.
	Guess bool
}

// Removal is what is known of files that went.
type Removal struct {
	Taken     int // that a person had taken away by a command
	Untracked int // that the wholes had no word for
}
