package store

import (
	"context"
	"io"
	"iter"

	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/tree"
)

// Dir holds what is Coltec's own under a replica's prefix.
const Dir = ".coltec"

// Layout is how a replica's tree is kept under its prefix. There are two, and
// one conformance suite for both.
type Layout interface {
	// Tree reads the remote tree that ref names, with the rules that it was
	// seen through. A mirror has one tree, whatever the ref, and no rules.
	Tree(ctx context.Context, ref string) (*Tree, error)
	// Fetch brings the content of files to dir/0, dir/1, … in the order of
	// entries, verified. Parts of large files that are here it need not bring;
	// here may be nil. Blocks of zeros it leaves out of a file. It may leave other
	// files in dir, which a second call makes use of.
	Fetch(ctx context.Context, entries []*tree.Entry, dir string, here *Here, progress Progress) error
	// ByContent says that content is stored by what it is, apart from names and
	// meta: an entry may refer to what was stored for another.
	ByContent() bool
	// Begin opens a batch of content to send; dir is an empty staging
	// directory of the batch's own.
	Begin(dir string, epoch int64, progress Progress) Batch
	// Publish makes a step's entries the remote tree, whose content is all there,
	// and returns what a head says of it. A snapshot becomes true when the head
	// names it; a mirror is true at once.
	Publish(ctx context.Context, step Publication) (Ref, error)
}

// Here is what a fetch finds on this machine, and what it leaves there.
type Here struct {
	// Part fills b with the content of a part, of the SHA-256 sum, and reports
	// whether it could. What it gives is verified. nil: nothing is here.
	Part func(sum string, b []byte) bool
	// Later reports whether a later fetch to the same directory needs an object, which
	// is not to be removed then. nil: none does.
	Later func(object string) bool
}

// Tree is a remote tree.
type Tree struct {
	Entries []tree.Entry // sorted
	Filters []filter.Rule
	// Listed says that the entries come from a listing of plain objects, which
	// has no word for directories: one that is not in it may be there all the
	// same.
	Listed bool
	// Base is what Tree was asked for has to be read together with; "" for
	// nothing.
	Base string
	// Older is what in it was not the newest state; nil for nothing, or when that is
	// not known.
	Older *Older
	// Capitals counts the rows that are left out: see [Capital].
	Capitals int
}

// Publication is one step of a remote tree.
type Publication struct {
	// Entries gives the tree, in order, as often as it is asked. An entry is good
	// until the next one is asked for.
	Entries iter.Seq2[*tree.Entry, error]
	// Edits are all that Entries has otherwise than the tree From, in order; Known says so. Else
	// that is to be found out.
	Edits      []tree.Edit
	Known      bool
	Filters    []filter.Rule
	From       string       // what the remote tree is called that the head names; "" for none
	Gone       []tree.Entry // path and kind of what the tree has no more, or has as something else
	Workspace  string
	Replica    string
	Epoch      int64
	Generation int64
	Older      *Older // nil for nothing
}

// Batch collects content and sends it. It belongs to one goroutine.
type Batch interface {
	// Reuse tells of content that is in the store, and that what is added may
	// refer to.
	Reuse(where []tree.Extent)
	// Add reads the content of a file, or the target of a link, and keeps it
	// for Send, which fills in e.Where. Where that says, with the hash of each
	// part, what the file was before it grew, those parts are kept as far as they
	// are still there. It reads r to its end, or fails. undo
	// takes it out again, until the next Add: the file turned out to have
	// changed while it was read. Some of it may be sent already, and go on being
	// sent until Send or Stop.
	Add(ctx context.Context, e *tree.Entry, r io.Reader) (undo func() error, err error)
	// Staged is the number of bytes that were added and that Send is to have
	// brought there.
	Staged() int64
	// Send sends everything that was added and frees the disk. After it the
	// batch is empty and can be used again.
	Send(ctx context.Context) error
	// Stop ends what is being sent: a batch that is not to be sent.
	Stop()
}
