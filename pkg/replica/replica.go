// Package replica keeps one local tree and its remote counterpart alike: scan,
// plan, stage and place. It decides what counts as true on the local side; what
// counts on the remote side is the store's, and when to do what the engine's.
package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/whole"
	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"
)

// Options say what a replica is.
type Options struct {
	Name      string
	Workspace string // org/project/env
	Path      string // absolute path of the local tree
	Host      string // named in the directories of conflicts
	Filter    *filter.Filter
	Layout    store.Layout
	PushOnly  bool // the remote side is never placed here
	// PlainModes leaves out setuid, setgid and sticky bits of what is placed.
	PlainModes bool
	// Pristine says that a local file is still as a template rendered it. nil
	// means none is.
	Pristine func(path string, sum tree.Sum) bool
	// Wholes are the kinds of wholes that the tree may have.
	Wholes whole.Kinds
	// Capture captures them: see [whole.Carrier]. nil: nobody does.
	Capture func(context.Context, whole.Met) ([]localfs.Unknown, error)
	// Removed is that of [whole.Met], for the captures from now on.
	Removed func(path string) bool
	// Comes has a say in how files are placed: see [whole.Guard]. nil: nobody has.
	Comes func(ctx context.Context, root localfs.FileSystem, paths []string) (occupied []localfs.Unknown, together []string)
	// FileSystem opens the local tree. nil: OpenRoot.
	FileSystem func(path string) (localfs.FileSystem, error)
	// Within is a tree around this one that a bucket fills too: no link below it leads
	// here. "" is none.
	Within string
	// Now names what is kept aside. nil: time.Now.
	Now func() time.Time
}

// Replica is one local tree. One goroutine owns it.
type Replica struct {
	Options
	base *base.Base
	root localfs.FileSystem
	ownDir
	haste
	quirks    localfs.Quirks     // of the file system, as it was found when the tree was opened
	probed    [2]uint64          // device and inode of the tree that traits are of
	left      string             // why the base that was found does not count
	newer     bool               // the bucket has lost what was made here last: see Sides.Newer
	moved     bool               // the tree has another device or inode than the base saw
	capitals  int                // rows of the remote tree that are placed nowhere
	surveying bool               // a scan is for a survey
	doubts    []string           // what the last scan could not tell, and the wholes it met
	still     stillDirs          // directories of which what is staged has to be of one moment
	shunned   map[string]bool    // objects that are damaged
	refused   map[string]refusal // files that the disk had no room for, by path
	// asFiles are the wholes that the remote side has as files, from before they were carried
	// as wholes, by their paths; asFilesLeft says that one of them could not be placed.
	asFiles     map[string][]tree.Entry
	asFilesLeft bool
	// merge is plan.Merge; a test that checks the checker has another.
	merge      func(plan.Sides) []plan.Decision
	spoolAfter int   // rows of a step in memory before some are spooled
	stageBytes int64 // what lies in the stage at a time, or one file

	limits      limits
	cutTooOften map[string]localfs.Seen // files that were read and have too many parts, as they were
}

// New makes a replica; Open it before use.
func New(o Options) *Replica {
	return &Replica{
		Options: o, ownDir: ownDir{localfs.NewOwnDir(o.Path, o.Within, o.FileSystem != nil)}, merge: plan.Merge,
		spoolAfter: base.SpoolMany, stageBytes: usualStage, limits: usualLimits, cutTooOften: map[string]localfs.Seen{},
	}
}

// HoldOwn makes the own directory, where a replica was not opened yet, for who works in it.
func (r *Replica) HoldOwn() error { return r.own.Make(r.root) }

// usualStage bounds what lies in the stage at a time.
const usualStage = 256 << 20

// Base is the open replica's base; nil when there is none.
func (r *Replica) Base() *base.Base { return r.base }

// ErrRoot is the error where the local tree cannot be told from a missing one, and
// therefore nothing is concluded from it.
var ErrRoot = errors.New("the local tree is not there")

// title is the replica for people. A tree that is only written somewhere is of none.
func (r *Replica) title() string {
	if r.Name == "" {
		return fmt.Sprintf("the directory %q", r.Path)
	}
	return fmt.Sprintf("replica %q", r.Name)
}

// Open opens the local tree, making it when it is missing, and loads the base.
// The base counts only when it is that of this workspace, replica and lineage
// and not newer than the head.
func (r *Replica) Open(lineage string, generation int64) error {
	root, err := r.openRoot(0o755)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", r.title(), err)
	}
	r.Close()
	r.root = root
	if err := r.prepare(r.root, r.Path); err != nil {
		return fmt.Errorf("cannot open %s: %w", r.title(), err)
	}
	dev, inode, err := root.Identity()
	if err != nil {
		return err
	}
	if err := r.probe(dev, inode); err != nil {
		return fmt.Errorf("cannot open %s: %w", r.title(), err)
	}
	found, err := base.Open(r.Dir())
	if err != nil && !errors.Is(err, base.ErrNone) {
		return err
	}
	before := ""
	r.left, r.newer, r.moved = "", false, false
	if err == nil {
		r.left = found.Mismatch(r.Workspace, r.Name, lineage, generation)
		if h := found.Header; h.Workspace == r.Workspace && h.Replica == r.Name && h.Lineage == lineage {
			before = h.Before
		}
	}
	if err == nil && r.left == "" {
		if found.Header.Device != dev || found.Header.Inode != inode {
			found.Distrust()
			r.moved = true
		}
		r.base, r.newer = found, before != "" && before == found.Header.Ref
		return nil
	}
	r.base = base.New(r.Dir(), base.Header{
		Workspace: r.Workspace, Replica: r.Name, Lineage: lineage, Device: dev, Inode: inode, Before: before,
	})
	return nil
}

// StartOver drops a base that cannot, or must not, be compared with the head, and opens
// the tree anew. What the base's generation was made over is remembered.
func (r *Replica) StartOver(lineage string, generation int64) error {
	before := r.base.Header.Before
	if err := r.base.Remove(); err != nil {
		return err
	}
	if err := r.Open(lineage, generation); err != nil {
		return err
	}
	r.base.Header.Before = before
	return nil
}

// openRoot opens the local tree. perm is what a missing one is made with, 0 makes none.
func (o *Options) openRoot(perm os.FileMode) (localfs.FileSystem, error) {
	if o.FileSystem == nil {
		root, err := localfs.OpenRoot(o.Path, o.Within, perm)
		if err != nil { // and no nil of a type of its own
			return nil, behindLink(o.Path, err)
		}
		return root, nil
	}
	if perm != 0 {
		if err := os.MkdirAll(o.Path, perm); err != nil {
			return nil, err
		}
	}
	return o.FileSystem(o.Path)
}

// behindLink says of a tree that cannot be opened where its path leads, if that is a link.
func behindLink(path string, err error) error {
	to, no := os.Readlink(path)
	if no != nil || !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		return err
	}
	return hint.Wrap(fmt.Errorf("%s is a link to %q: %s", path, to, reason(err)),
		"have the link lead to a directory, or write the path of one into the spec")
}

// probe finds out what the file system of the open tree can do, once for each
// tree.
func (r *Replica) probe(dev, inode uint64) (err error) {
	if r.probed == [2]uint64{dev, inode} {
		return nil
	}
	if r.quirks, err = localfs.Probe(r.root, r.Dir()); err != nil {
		return fmt.Errorf("cannot find out what the file system can do: %w", err)
	}
	r.probed = [2]uint64{dev, inode}
	return nil
}

// now is the time that names what is kept aside.
func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

const (
	conflictsDir = localfs.Conflicts // local versions that lost their name to a remote one
	replacedDir  = "replaced"        // local versions that a take or a delete replaced
)

// ConflictDir is where local versions of a moment are kept aside.
func (o *Options) ConflictDir(t time.Time, host string) string {
	return filepath.Join(o.Path, conflictsOf(t, host))
}

func conflictsOf(t time.Time, host string) string {
	return localfs.Join(localfs.Dir+"/"+conflictsDir, stampOf(t)+"-"+host)
}

// stampOf names a moment in a path.
func stampOf(t time.Time) string { return t.UTC().Format(stampLayout) }

const stampLayout = "20060102T150405.000Z"

// Close releases the local tree.
func (r *Replica) Close() {
	if r.root != nil {
		r.root.Close()
		r.root = nil
	}
	r.own.Release()
}

// Mismatch says why what the local tree was last synced with does not count
// for the head it was opened for; "" when it does, or when there was nothing.
// Then nothing is known to be deleted: both sides are joined.
func (r *Replica) Mismatch() string { return r.left }

// lost reports whether the base or the root vanished under the running program.
func (r *Replica) lost() bool {
	if r.root == nil || r.base == nil || !r.base.Intact() || !r.own.Stands(r.root) {
		return true
	}
	s, err := os.Stat(r.Path) // through a link, as OpenRoot: one that leads elsewhere by now shows
	dev, ino, rootErr := r.root.Identity()
	// The roots of file systems have the same inode, and copies of volumes all of them.
	return err != nil || rootErr != nil || localfs.Inode(s) != ino || localfs.Device(s) != dev
}

// present says, by a nil error, that the local tree is there.
func (o *Options) present() error {
	s, err := os.Stat(o.Path)
	if err == nil && !s.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		if to, no := os.Readlink(o.Path); no == nil {
			err = fmt.Errorf("it is a link to %q: %s", to, reason(err))
		}
		return hint.Wrap(fmt.Errorf("%w, so nothing is concluded from it: %w", ErrRoot, err),
			"mount or make %s again; an empty directory there is restored from the bucket", o.Path)
	}
	return nil
}

// ErrLost is the error where the base, or the directory that it lies in, is not the one
// that was opened: what is seen there must not be held against it.
var ErrLost = errors.New("was removed, or the directory replaced")

// Check says, by a nil error, that the local tree is there and the one that was opened,
// with its base. The error wraps ErrRoot or ErrLost.
func (r *Replica) Check() error {
	if err := r.present(); err != nil {
		return err
	}
	if r.lost() {
		return fmt.Errorf("the base in %s %w: nothing is pushed before it was compared with the bucket again", r.Path, ErrLost)
	}
	return nil
}

// carries reports whether a path is the replica's to carry.
func (o *Options) carries(path string, dir bool) bool {
	if top, _, _ := strings.Cut(path, "/"); isOwn(top) {
		return false
	}
	return o.Filter.Carries(path, dir)
}

// isOwn reports whether a name at the top of a tree is that of the replica's own directory
// on some file system: where names fold they are one.
func isOwn(name string) bool { return name == localfs.Dir || store.Capital(name) }

// carried is the Matcher of a walk, which meets a path's parents first.
type carried struct{ *filter.Filter }

func (c carried) Dir(path string) bool  { return !isOwn(path) && c.Filter.Dir(path) }
func (c carried) File(path string) bool { return !isOwn(path) && c.Filter.File(path) }

// Reserves reports whether a path is not carried for its name alone.
func (c carried) Reserves(path string, dir bool) bool {
	return isOwn(path) && c.Filter.Carries(path, dir)
}

// Carried says which paths of a tree a replica with that filter carries, to one
// who meets a path's parents first.
func Carried(f *filter.Filter) localfs.Matcher { return carried{f} }

// composed is carried where names may be shown in another normal form than
// the rules are written in.
type composed struct{ carried }

func (c composed) Dir(path string) bool {
	return c.carried.Dir(path) && c.carried.Dir(norm.NFC.String(path))
}

func (c composed) File(path string) bool {
	return c.carried.File(path) && c.carried.File(norm.NFC.String(path))
}

func (r *Replica) matcher() localfs.Matcher {
	if r.quirks.Rewrites {
		return composed{carried{r.Filter}}
	}
	return carried{r.Filter}
}

// walk lists the local tree.
func (r *Replica) walk(ctx context.Context) ([]localfs.Entry, []localfs.Unknown, error) {
	seen, unknown, err := r.root.Walk(ctx, "", r.matcher())
	seen, unknown = r.names().asAgreed(seen, unknown)
	return seen, unknown, rootError(ctx, err)
}

func (r *Replica) names() names { return names{r.quirks, r.base} }

// reader reads the files of the open tree.
func (r *Replica) reader() *localfs.Reader { return localfs.NewReader(r.root, r.quirks, r.StageDir()) }

// rootError marks the error of a walk that could not read the root.
func rootError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return err
}

// reason is an error's last word, without the path that a person is told anyway.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func parentOf(path string) string { return filepath.Dir(path) }

// unplaced reports whether the remote side of a path still waits to be placed: what
// is seen there says nothing yet.
func (r *Replica) unplaced(path string) bool {
	if r.PushOnly {
		return false // it is never placed: the local side counts
	}
	return r.base.RemoteAt(path) != nil
}

// unstored reports whether a row's content is not in the replica's layout: it was
// adopted from plain objects and is to be published.
func (o *Options) unstored(row *base.Row) bool {
	return o.Layout.ByContent() && base.Contentless(&row.Entry)
}

// stale reports whether the remote side of a row differs from it, so that where its
// content lies may be condemned by now, or that it is damaged there. A
// generation refers to what the one before refers to, and to what was sent for
// it; to nothing else.
func (r *Replica) stale(row *base.Row) bool {
	return r.base.RemoteAt(row.Path) != nil || r.shunned != nil && slices.ContainsFunc(row.Where, func(x tree.Extent) bool { return r.shunned[x.Object] })
}
