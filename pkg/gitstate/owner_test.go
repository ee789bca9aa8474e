package gitstate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/gittest"
	"github.com/coltec/coltec/internal/sample"
)

// owned is a tree of another user's, with a repository, kept by root.
func owned(t *testing.T) *placed {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this as root")
		}
		t.Skip("only root can make folders of two users")
	}
	p := newPlace(t)
	p.history("work", 3)
	p.write("work/.git/hooks/pre-commit", "#!/bin/sh\n")
	p.chown("", 65534)
	return p
}

func (p *placed) chown(path string, uid int) {
	p.t.Helper()
	err := filepath.WalkDir(filepath.Join(p.root, path), func(file string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(file, uid, uid))
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// The owner of the tree puts a link to root's files in the place of a directory, after it
// was listed: none of them comes into the copy. A file that root has left in the repository
// does.
func TestDirectoryThatItsOwnerExchanges(t *testing.T) {
	t.Parallel()
	for _, swapped := range []string{"work/.git/hooks", "work/.git"} {
		a, private := owned(t), t.TempDir()
		hidden := filepath.Join(private, strings.TrimPrefix("work/.git/hooks/pre-commit", swapped))
		if err := errors.Join(os.MkdirAll(filepath.Dir(hidden), 0o700), os.WriteFile(hidden, []byte("roots own\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		src, err := a.k.source("work/.git")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(a.root, "work/.git/hooks/pre-commit"), 0, 0); err != nil { // by sudo
			t.Fatal(err)
		}
		c := &capture{k: a.k, dir: "work/.git", src: src, shadow: filepath.Join(a.k.Shadow, "work/.git")}
		take := func() error {
			t.Helper()
			s, err := os.Lstat(src.file("hooks/pre-commit"))
			if err != nil {
				t.Fatal(err)
			}
			f := itemOf("hooks/pre-commit", s)
			return errors.Join(a.k.scratch(), c.take(&f))
		}
		if err := take(); err != nil {
			t.Errorf("honest: %v", err)
		}
		there := filepath.Join(a.root, swapped)
		if err := errors.Join(os.Rename(there, there+".was"), os.Symlink(private, there)); err != nil {
			t.Fatal(err)
		}
		if err := take(); err == nil || !strings.Contains(err.Error(), "not its owner's") {
			t.Errorf("%s: it said %v", swapped, err)
		}
		if body, _ := os.ReadFile(c.stage("hooks/pre-commit")); string(body) == "roots own\n" {
			t.Errorf("%s: root's file is in the stage", swapped)
		}
	}
}

// The owner of the tree has a repository borrow the objects of root's own. What is the
// owner's too, or anybody's to read, is borrowed.
func TestBorrowedFromAnother(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	for name, c := range map[string]struct {
		uid  int
		mode os.FileMode
		good bool
	}{
		"root's own": {0, 0o700, false}, "of the same owner": {65534, 0o700, true}, "a cache for all": {0, 0o755, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := owned(t)
			top, err := os.MkdirTemp("/tmp", "lends-") // that everybody can enter
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(top) })
			lends := &placed{t: t, root: top}
			gittest.History(t, filepath.Join(top, "main"), 3, 3)
			lends.chown("", c.uid)
			a.write("work/.git/objects/info/alternates", filepath.Join(top, "main/.git/objects")+"\n")
			if err := os.Chmod(top, c.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := a.k.Capture(t.Context(), "work/.git"); (err == nil) != c.good {
				t.Errorf("it said %v", err)
			}
		})
	}
}
