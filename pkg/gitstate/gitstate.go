// Package gitstate keeps copies of git repositories that are whole at every
// moment. It knows git, and nothing of replicas or buckets.
//
// A repository is named by the path of its git directory in the tree: ".git",
// "lib/.git", ".git/modules/lib". Its copy, the shadow, is a git
// directory too, at the same path below SHADOW: all that the repository has but
// objects as files, its refs in one packed-refs, its objects in packs of the
// shadow's own. So a shadow can be put in a repository's place as it is.
//
// A repository is input, be it here or from elsewhere: others wrote it. Git never
// runs in it, but in a scratch directory of ours that borrows its objects, so that
// nothing it is set up with counts, and nothing it names is run. What is written,
// in it or in a shadow, is written below an [area.Dir], and by no link.
//
// The user's repository is only read while it is captured. Cost is in proportion to
// what is new: when nothing moved no git runs.
package gitstate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coltec/coltec/pkg/area"
	"github.com/coltec/coltec/pkg/killpoint"
)

// The steps at which a crash test kills the process.
var (
	pointPacked   = killpoint.New("git:packed")   // new objects are in the shadow
	pointOpened   = killpoint.New("git:opened")   // the shadow is not whole
	pointShadowed = killpoint.New("git:shadowed") // it is again
	pointLinked   = killpoint.New("git:linked")   // what arrived is in the repository's objects
	pointRefs     = killpoint.New("git:refs")     // and its refs are joined
	pointTrees    = killpoint.New("git:trees")    // and what is checked out
	pointJoined   = killpoint.New("git:joined")   // and all else
	pointMade     = killpoint.New("git:made")     // a repository was made
	pointAdopted  = killpoint.New("git:adopted")  // the shadow that arrived is the one here
)

// Mark is the file that makes a shadow whole: it is removed before the shadow
// changes, and written last. It also says where the tree was.
const Mark = "coltec.json"

// mark is the content of Mark.
type mark struct {
	Format int    `json:"format"`
	Root   string `json:"root"` // of the tree: linked worktrees name it
}

const markFormat = 1

// Options say which tree's repositories are kept, and where.
type Options struct {
	Root   string // absolute path of the tree
	Shadow string // directory of the shadows, in the tree
	// Stage gives the directory for what is being made, in the tree or through a descriptor
	// of it; emptied at will. Git works there: nobody else may lead the way to it elsewhere.
	Stage func() string
	Env   string // names what is kept aside: the workspace's environment or the host
	// Kept gives the directory, in the tree, in which local versions of files are kept
	// that lost their name to the remote side's. nil: what would lose it is refused.
	Kept func() string
	// Came says whether what is at a path of the tree may have come from elsewhere: what
	// leads out of the tree there is not followed. nil: nothing has.
	Came func(path string) bool
	// Doors is the file, in the tree, that remembers where somebody here has led out of it.
	// "": nothing is remembered.
	Doors string
	// Progress is told how far a long step is. May be nil.
	Progress func(Progress)
	// Now names what is kept aside. nil: time.Now.
	Now func() time.Time
}

// Progress is how far a long step is.
type Progress struct {
	Repository  string
	Done, Total int64 // objects
}

// Keeper captures and restores the repositories of one tree. One goroutine
// owns it.
type Keeper struct {
	Options
	seen    map[string]listing // of each repository: what was seen of it last
	counted map[string]listing // and what its unpushed commits were counted of
	counts  map[string]Unpushed
	partial map[string]error  // what is to be said of those that were captured but for some of it
	signs   map[string]string // of those that lack objects: see sign
}

// New makes a keeper.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{
		Options: o, seen: map[string]listing{}, counted: map[string]listing{}, counts: map[string]Unpushed{},
		partial: map[string]error{}, signs: map[string]string{},
	}
}

// Git is the git that is found in PATH. An error means that there is none.
func Git() (string, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return "", refused("git is not installed here")
	}
	return path, nil
}

// Whole says whether the shadow of a repository is there and whole.
func (k *Keeper) Whole(dir string) bool {
	_, err := readMark(filepath.Join(k.Shadow, dir))
	return err == nil
}

func readMark(shadow string) (m mark, err error) {
	body, err := readFile(filepath.Join(shadow, Mark), smallMost)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("cannot read %s: %w", filepath.Join(shadow, Mark), err)
	}
	if m.Format != markFormat {
		return m, refused("format %d of its copy is not known to this version of coltecd", m.Format)
	}
	return m, nil
}

func (k *Keeper) writeMark(shadow string) error {
	body, err := json.Marshal(mark{Format: markFormat, Root: k.Root})
	if err != nil {
		return err
	}
	return k.area().Write(filepath.Join(shadow, Mark), append(body, '\n'), 0o644)
}

// area is the tree, in which the shadows lie too, and the stage.
func (k *Keeper) area() area.Dir { return area.Dir(k.Root) }

// isRepository says whether a directory is a git directory.
func isRepository(dir string) bool {
	head, err := os.Lstat(filepath.Join(dir, "HEAD"))
	if err != nil || !head.Mode().IsRegular() && head.Mode()&fs.ModeSymlink == 0 {
		return false
	}
	for _, name := range []string{"objects", "refs"} {
		if s, err := os.Stat(filepath.Join(dir, name)); err != nil || !s.IsDir() {
			return false
		}
	}
	return true
}

// scratch makes the stage empty.
func (k *Keeper) scratch() error {
	return errors.Join(k.area().RemoveAll(k.Stage()), k.area().Mkdir(k.Stage()))
}

func (k *Keeper) progress(ctx context.Context, repository string) func(done, total int64) {
	return func(done, total int64) {
		if k.Progress != nil && ctx.Err() == nil {
			k.Progress(Progress{Repository: repository, Done: done, Total: total})
		}
	}
}

// Unpushed is what a repository has that no remote of it has.
type Unpushed struct {
	Commits int // of branches and of what is checked out
	Stashes int
}

// String says it in words.
func (u Unpushed) String() string {
	of := func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return strconv.Itoa(n) + " " + many
	}
	switch {
	case u.Stashes == 0:
		return of(u.Commits, "commit", "commits")
	case u.Commits == 0:
		return of(u.Stashes, "stash", "stashes")
	}
	return of(u.Commits, "commit", "commits") + " and " + of(u.Stashes, "stash", "stashes")
}

// drop removes a file of a shadow, and the directories on the way that have nothing else
// in them.
func (k *Keeper) drop(shadow, path string) error {
	err := k.area().Remove(filepath.Join(shadow, path))
	k.area().Prune(shadow, filepath.Join(shadow, filepath.Dir(path)))
	return err
}
