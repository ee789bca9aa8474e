package gitstate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/google/go-cmp/cmp"
)

// Names that no repository of a tree has, on any file system that the tree may lie on.
func TestPathsOfRepositories(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.link("/", "link")
	for path, good := range map[string]bool{
		".git": true, "lib/.git": true, ".git/modules/lib": true, ".git/modules/lib.git": true, "a.GIT.b/.git": true, "git/.git": true,
		"": false, ".": false, "..": false, "../x/.git": false, "/x/.git": false, "x/../.git": false, "x//.git": false, "x\x00/.git/..": false,
		".GIT": false, "x/.Git": false, "x/.g\u200cit": false, "x/\ufeff.git": false, "x/.gi\u206ft": false, "GIT~1/.git": false, "x/git~1": false,
		"x/.git.": false, "x/.git ": false, "x/.git::$INDEX_ALLOCATION": false, `x/.git\hooks`: false, ".GIT/modules/x.git": false,
		".coltec/x/.git": false, ".Coltec/x/.git": false, ".col\u200dtec/.git": false, "link/.git": false,
		".devcontainer": false, "src": false, "mirror.git": false,
	} {
		if err := p.k.inTree(path); (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// What git would not have as the name of a ref is none: it is the name of a file too.
func TestNamesOfRefs(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"refs/heads/main": true, "refs/heads/a/b": true, "refs/heads/ümlaut": true, "refs/heads/@": true, "refs/stash": true,
		"": false, "HEAD": false, "heads/main": false, "/refs/heads/x": false, "refs/": false, "refs/heads/": false, "refs//x": false,
		"refs/heads/..": false, "refs/heads/../../x": false, "refs/../config": false, "refs/heads/.x": false, "refs/heads/a..b": false,
		"refs/heads/x.lock": false, "refs/heads/x.lock/y": false, "refs/heads/x.": false, "refs/heads/@{1}": false,
		"refs/heads/a b": false, "refs/heads/a\x00b": false, "refs/heads/a\nb": false, "refs/heads/a\x7f": false, `refs/heads/a\b`: false,
		"refs/heads/a~1": false, "refs/heads/a^": false, "refs/heads/a:b": false, "refs/heads/a?": false, "refs/heads/a*": false, "refs/heads/a[": false,
	} {
		if isRef(name) != good {
			t.Errorf("%q: %v", name, !good)
		}
	}
}

// Whoever writes in the tree can write in the stage too, while git is at work there: what
// a scratch directory is set up with runs nothing either.
func TestArmedScratchDirectory(t *testing.T) {
	t.Parallel()
	a := newPlace(t)
	a.history("work", 3)
	a.write("work/new", "staged\n")
	a.git("work", "add", "new")
	r, err := a.k.scratchGit("scratch.git", "sha1", filepath.Join(a.root, "work/.git/objects"))
	if err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(t.TempDir(), "ran")
	hook := "#!/bin/sh\necho ran >" + ran + "\n"
	for _, dir := range []string{filepath.Join(r.dir, "hooks"), filepath.Join(a.root, "armed")} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "post-index-change"), []byte(hook), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, config := range []string{"", "[core]\n\thooksPath = " + strconv.Quote(filepath.Join(a.root, "armed")) + "\n"} {
		body, err := os.ReadFile(filepath.Join(r.dir, "config"))
		if err == nil {
			err = os.WriteFile(filepath.Join(r.dir, "config"), append(body, config...), 0o600)
		}
		index := filepath.Join(r.dir, "index")
		if err := errors.Join(err, a.k.area().Remove(index), a.k.area().Copy(filepath.Join(a.root, "work/.git/index"), index)); err != nil {
			t.Fatal(err)
		}
		r.index = index
		if err := r.run(t.Context(), nil, nil, "write-tree"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(ran); err == nil {
			t.Errorf("%q ran", config)
		}
	}
}

// Whoever owns the tree leads the way to the stage elsewhere while git is at work there:
// nothing comes there.
func TestStageLedElsewhere(t *testing.T) {
	sample.Long(t)
	a := newPlace(t)
	a.history("work", 3)
	a.git("work", "update-ref", "refs/remotes/origin/main", "HEAD~1")
	a.write("work/new", "staged\n")
	a.git("work", "add", "new")
	outside := t.TempDir()
	real, err := Git()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"objects", "scratch.git/HEAD", "scratch.git/objects/info/alternates", "state/index"} {
		file = filepath.Join(outside, "stage/git", file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("theirs\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	before := filesOf(t, outside)
	path, own := t.TempDir(), filepath.Join(a.root, ".coltec")
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = rev-list ] && [ ! -L '%[1]s' ]; then mv '%[1]s' '%[1]s.was' && ln -s '%[2]s' '%[1]s'; fi\nexec '%[3]s' \"$@\"\n", own, outside, real)
	if err := os.WriteFile(filepath.Join(path, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	_, err = a.k.Capture(t.Context(), "work/.git")
	if _, swapped := os.Readlink(own); swapped != nil {
		t.Fatalf("nothing was led elsewhere: %v", swapped)
	}
	if diff := cmp.Diff(before, filesOf(t, outside)); diff != "" {
		t.Errorf("outside (-was +is), and the capture said %v:\n%s", err, diff)
	}
}

// filesOf gives what is in all files below a directory.
func filesOf(t *testing.T, top string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		files[path] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
