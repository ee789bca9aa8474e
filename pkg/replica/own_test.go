package replica

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/pkg/base"
	"github.com/coltec/coltec/pkg/filter"
	"github.com/coltec/coltec/pkg/localfs"
	"github.com/coltec/coltec/pkg/plan"
	"github.com/coltec/coltec/pkg/store"
	"golang.org/x/sys/unix"
)

// openAt opens a replica at a path.
func openAt(path string) (*Replica, error) {
	r := New(Options{Name: "r", Workspace: "o/p/e", Path: path, Filter: &filter.Filter{}})
	return r, r.Open("lineage", 0)
}

// Links, pipes and second names in the place of what a replica makes led its writes and
// removals elsewhere, or held it up.
func TestWhatIsPlantedInTheOwnDirectory(t *testing.T) {
	link := func(target, path string) error { return os.Symlink(target, path) }
	pipe := func(_, path string) error { return unix.Mkfifo(path, 0o600) }
	second := func(target, path string) error { return os.Link(filepath.Join(target, "file"), path) }
	for _, x := range []struct {
		path  string
		plant func(target, path string) error
		fine  bool // it goes, and the replica goes on
	}{
		{".coltec", link, false}, {".coltec", pipe, false}, {".coltec", second, false},
		{".coltec/stage", link, false}, {".coltec/stage", pipe, false}, {".coltec/replaced", link, false}, {".coltec/conflicts", link, false},
		{".coltec/manifests", link, false}, {".coltec/git", link, false}, {".coltec/.git", link, false}, {".coltec/probe", link, false},
		{".coltec/stage/in", link, false}, {".coltec/stage/out", link, false}, {".coltec/stage/restore", link, false},
		{".coltec/base", link, false}, {".coltec/base", pipe, false}, {".coltec/base", second, false},
		{".coltec/journal", link, false}, {".coltec/journal", pipe, false}, {".coltec/journal", second, false},
		{".coltec/manifests/.coltec", link, false}, {".coltec/manifests/.coltec/m", link, false}, {".coltec/manifests/.coltec/m/x", pipe, false}, {".coltec/.git/HEAD", link, false}, {".coltec/.git/refs", link, false},
		{".coltec/dropped", link, false}, {".coltec/dropped", second, false}, {".coltec/returning", second, false},
		{".coltec/stage/link", link, true}, {".coltec/stage/in/0", link, true}, {".coltec/stage/in/0", pipe, true}, {".coltec/stage/in/.coltec/o/a", second, true},
		{".git/info", link, true}, {".git/info/exclude", link, true}, {".git/info/exclude", pipe, true}, {".git/info/exclude", second, true},
	} {
		root, elsewhere := t.TempDir(), t.TempDir()
		planted := filepath.Join(root, x.path)
		err := errors.Join(os.WriteFile(filepath.Join(elsewhere, "file"), []byte("as it was"), 0o644), os.Mkdir(filepath.Join(elsewhere, "20200101T000000.000Z"), 0o755),
			os.MkdirAll(filepath.Dir(planted), 0o700), x.plant(elsewhere, planted))
		if err != nil {
			t.Fatal(err)
		}
		before := base.LastSettled(root)
		r, err := openAt(root)
		if err == nil {
			err = errors.Join(r.Base().Save(), r.Base().Apply(base.Delta{Header: &r.Base().Header}), r.Tidy(r.now()))
			r.Leave()
			r.Close()
		}
		switch {
		case x.fine && err != nil:
			t.Errorf("%s: %v", x.path, err)
		case !x.fine && (err == nil || !strings.Contains(err.Error(), planted)):
			t.Errorf("%s: %v does not name it", x.path, err)
		case !before.IsZero():
			t.Errorf("%s: settled at %s", x.path, before)
		}
		entries, err := os.ReadDir(elsewhere)
		body, err2 := os.ReadFile(filepath.Join(elsewhere, "file"))
		if errors.Join(err, err2) != nil || len(entries) != 2 || string(body) != "as it was" {
			t.Errorf("%s: elsewhere is %v, %q", x.path, entries, body)
		}
	}
}

// Who owns the tree puts another directory in the place of ours while it is used: what is
// done goes to ours, and is noticed.
func TestOwnDirectoryIsHeld(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this as root")
		}
		t.Skip("only root can be two users")
	}
	root, elsewhere := t.TempDir(), t.TempDir()
	at := func(path string) string { return filepath.Join(root, path) }
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chown(root, 65534, 65534))
	r, err := openAt(root)
	must(err)
	defer r.Close()
	must(r.Base().Save(), os.WriteFile(filepath.Join(r.StageDir(), "mine"), []byte("mine"), 0o600))
	if r.lost() {
		t.Error("it is lost before anything happened")
	}

	must(os.Rename(at(localfs.Dir), at("ours")), os.Symlink(elsewhere, at(localfs.Dir)), os.WriteFile(filepath.Join(elsewhere, "stage"), []byte("x"), 0o644))
	if !r.lost() {
		t.Error("that another directory is there was not noticed")
	}
	must(r.Base().Save(), os.WriteFile(filepath.Join(r.StageDir(), "more"), nil, 0o600))
	must(r.root.MkdirAll(localfs.Dir+"/conflicts/x", 0o755), r.root.Chmod(localfs.Dir+"/stage/mine", 0o644), r.root.Rename(localfs.Dir+"/stage/mine", "placed", false))
	for _, path := range []string{"ours/stage/more", "ours/conflicts/x", "placed"} {
		if _, err := os.Lstat(at(path)); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) != 1 {
		t.Errorf("elsewhere is %v, %v", entries, err)
	}
	if err := r.Open("lineage", 0); err == nil || !strings.Contains(err.Error(), at(localfs.Dir)) {
		t.Errorf("it was opened again: %v", err)
	}

	// A directory of theirs is not ours, whatever is in it.
	must(os.Remove(at(localfs.Dir)), os.Mkdir(at(localfs.Dir), 0o755), os.Chown(at(localfs.Dir), 65534, 65534))
	if err := r.Open("lineage", 0); err == nil || !strings.Contains(err.Error(), "belongs to uid 65534") {
		t.Errorf("a directory of theirs was taken: %v", err)
	}
	must(os.Remove(at(localfs.Dir)), os.Rename(at("ours"), at(localfs.Dir)), r.Open("lineage", 0))
	if r.lost() {
		t.Error("its own directory is back, and it is lost")
	}
}

// A bucket had a directory made that all may write, and who owns the tree gave it the name
// of ours.
func TestOwnDirectoryIsClosedToOthers(t *testing.T) {
	root := t.TempDir()
	dirs := []string{localfs.Dir, localfs.Dir + "/stage", localfs.Dir + "/manifests", localfs.Dir + "/manifests/.coltec/m", localfs.Dir + "/.git"}
	for _, dir := range dirs {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, dir), 0o777), os.Chmod(filepath.Join(root, dir), 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := openAt(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, dir := range dirs {
		if info, err := os.Stat(filepath.Join(root, dir)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

// What another user's coltecd made counted for nothing when root looked at it, without a
// word: the plan was that of a tree that was never synced.
func TestReadersOfAnothersDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this as root")
		}
		t.Skip("only root can be two users")
	}
	a, _ := clash(t)
	if err := os.Remove(filepath.Join(a.Path, "d/f")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(a.Path, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 65534, 65534))
	})
	if err != nil {
		t.Fatal(err)
	}
	peek := func() ([]plan.Decision, error) {
		r := New(Options{Name: a.Name, Workspace: a.Workspace, Path: a.Path, Filter: &filter.Filter{}, Layout: a.Layout})
		defer r.Close()
		h := a.base.Header
		return r.Peek(t.Context(), h.Lineage, h.Generation, &store.Tree{Entries: a.base.Remote()})
	}
	decisions, err := peek()
	if err != nil || !slices.ContainsFunc(decisions, func(d plan.Decision) bool { return d.Path == "d/f" && d.Op == plan.Withdraw }) {
		t.Errorf("the plan is %+v, %v", decisions, err)
	}
	if _, err := ListConflicts(a.Path, "", nil); err != nil {
		t.Error(err)
	}
	if _, err := Damaged(t.Context(), a.Path, "", nil); err != nil {
		t.Error(err)
	}
	if _, err := DropConflict(a.Path, "", ConflictCopy{ID: "20200101T000000.000Z-b/d/f"}, Decision{}); err == nil || !strings.Contains(err.Error(), "belongs to uid 65534") {
		t.Errorf("root dropped it: %v", err)
	}
	own := filepath.Join(a.Path, localfs.Dir)
	if err := errors.Join(os.Rename(own, own+".was"), os.Symlink(own+".was", own), os.Lchown(own, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if _, err := peek(); err == nil || !strings.Contains(err.Error(), own) {
		t.Errorf("of a link the plan says %v", err)
	}
}

// A bucket had a stage made below another name, with links deep in it, and folders for all to
// write, and who owns the tree gave it the name of ours.
func TestStageOfAnothersMaking(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	stage := filepath.Join(root, localfs.Dir, "stage")
	err := errors.Join(os.MkdirAll(filepath.Join(stage, "git/scratch.git"), 0o755), os.MkdirAll(filepath.Join(stage, "aside"), 0o755), os.MkdirAll(filepath.Join(stage, "in/sub"), 0o755),
		os.Symlink(filepath.Join(elsewhere, "profile"), filepath.Join(stage, "aside/0")), os.Symlink(elsewhere, filepath.Join(stage, "git/scratch.git/objects")),
		os.WriteFile(filepath.Join(elsewhere, "profile"), nil, 0o600), os.WriteFile(filepath.Join(stage, "in/sub/0"), nil, 0o600), os.Chmod(filepath.Join(stage, "git"), 0o777), os.Chmod(filepath.Join(stage, "in/sub"), 0o777))
	if err != nil {
		t.Fatal(err)
	}
	r, err := openAt(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	entries, err := os.ReadDir(stage)
	if err != nil || len(entries) != 1 || entries[0].Name() != "in" {
		t.Errorf("the stage has %v, %v", entries, err)
	}
	if info, err := os.Stat(filepath.Join(stage, "in/sub")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("what was fetched is in %v, %v", info, err)
	}
	for _, path := range []string{filepath.Join(elsewhere, "profile"), filepath.Join(stage, "in/sub/0")} {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}
