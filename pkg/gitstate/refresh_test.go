package gitstate

import (
	"path/filepath"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// The files of a tree are placed anew, and an index knew them by their old inodes: until
// somebody ran git status, git diff-files and git describe --dirty said that all had changed.
// It was so but for a repository at the top of the tree.
func TestIndexAfterARestore(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	a, b := newPlace(t), newPlace(t)
	a.write(".gitignore", "*\n")
	a.git("", "init", "-q")
	a.git("", "add", "-f", ".gitignore")
	a.git("", "commit", "-q", "-m", "at the top")
	a.history("project", 3)
	a.git("project", "worktree", "add", "-q", "../linked")
	a.git("", "init", "-q", "deep/super")
	a.git("deep/super", "submodule", "--quiet", "add", filepath.Join(a.root, "project"), "lib")
	a.git("deep/super", "commit", "-q", "-m", "with a submodule")
	repositories := []string{".git", "project/.git", "deep/super/.git", "deep/super/.git/modules/lib"}
	for _, dir := range repositories {
		a.capture(dir)
	}
	copyTree(t, a.root, b.root)
	b.restore(a, repositories...)
	for _, dir := range []string{"", "project", "linked", "deep/super", "deep/super/lib"} {
		if out, err := b.try(dir, "diff-files", "--name-only", "--ignore-submodules"); err != nil || out != "" {
			t.Errorf("%q: %v, these are others:\n%s", dir, err, out)
		}
	}
}

// What a configuration calls its working tree is read only where it is in the tree, and not
// by a link.
func TestIndexOfFilesElsewhere(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.link("..", "up")
	p.write("project/f", "")
	for path, good := range map[string]bool{
		".": true, "project": true, "deep/not/there": true, "mirror.git": true,
		"": false, "..": false, "../x": false, "up/x": false, ".coltec": false, ".Coltec/x": false, "project/f/x": false,
	} {
		if err := p.k.straight(path); (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
	}
}
