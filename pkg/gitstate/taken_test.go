package gitstate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// shown are the files of a working tree, as a base has them.
func (p *placed) shown() map[string]Missing {
	p.t.Helper()
	out := map[string]Missing{}
	err := filepath.WalkDir(p.root, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == ".git" || d.Name() == ".coltec") {
			return filepath.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		body, err := os.ReadFile(file)
		if target, linkErr := os.Readlink(file); linkErr == nil {
			body, err = []byte(target), nil
		}
		rel, _ := filepath.Rel(p.root, file)
		out[rel] = Missing{rel, int64(len(body)), sha256.Sum256(body)}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// What git took away itself is told from what somebody removed, and what was cleaned away
// from what a wiped tree lacks.
func TestRemoved(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	tests := map[string]struct {
		do   func(p *placed)
		want Removal
	}{
		"a branch with less": {func(p *placed) { p.git("", "switch", "-q", "less") }, Removal{Taken: 34}},
		"a branch with nothing": {func(p *placed) {
			p.git("", "switch", "-q", "--orphan", "none")
		}, Removal{Taken: 36}},
		"a detached commit, and its branch is gone": {func(p *placed) {
			p.git("", "switch", "-q", "--detach", "less")
			p.git("", "branch", "-q", "-D", "main")
		}, Removal{Taken: 34}},
		"reset":  {func(p *placed) { p.git("", "reset", "-q", "--hard", "less") }, Removal{Taken: 34}},
		"git rm": {func(p *placed) { p.git("", "rm", "-q", "-r", "vendor") }, Removal{Taken: 32}},
		"git rm, committed, and packed": {func(p *placed) {
			p.git("", "rm", "-q", "-r", "vendor")
			p.git("", "commit", "-q", "-m", "less")
			p.git("", "gc", "-q")
		}, Removal{Taken: 32}},
		"a sparse checkout":   {func(p *placed) { p.git("", "sparse-checkout", "set", "--no-cone", "/main.go") }, Removal{Taken: 35}},
		"stash -u":            {func(p *placed) { p.git("", "stash", "push", "-q", "-u") }, Removal{Taken: 20}},
		"clean -fdx":          {func(p *placed) { p.git("", "clean", "-q", "-fdx", "-e", ".coltec") }, Removal{Untracked: 21}},
		"rm of what git has":  {func(p *placed) { p.rm("vendor") }, Removal{}},
		"rm -rf *":            {func(p *placed) { p.rm("vendor", "main.go", "odd \"\nname", "build", "ignored.o", "link") }, Removal{}},
		"rm of what it lacks": {func(p *placed) { p.rm("build") }, Removal{Untracked: 20}},
		"another repository": {func(p *placed) {
			p.rm("vendor", "main.go", ".git", "link", "odd \"\nname")
			p.git("", "init", "-q")
			p.write("other", "x")
			p.git("", "add", "other")
			p.git("", "commit", "-q", "-m", "other")
		}, Removal{}},
	}
	for name, tt := range sample.Cases(t, 5, tests) {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.git("", "init", "-q")
			p.write(".gitignore", "*.o\n")
			p.write("main.go", "package main")
			p.git("", "add", ".gitignore", "main.go")
			p.git("", "commit", "-q", "-m", "less")
			p.git("", "branch", "less")
			for i := range 32 {
				p.write(fmt.Sprintf("vendor/%02d.go", i), fmt.Sprintf("package v%d", i))
			}
			p.write("odd \"\nname", "odd")
			if err := os.Symlink("main.go", filepath.Join(p.root, "link")); err != nil {
				t.Fatal(err)
			}
			p.git("", "add", "vendor", "odd \"\nname", "link")
			p.git("", "commit", "-q", "-m", "more")
			for i := range 20 {
				p.write(fmt.Sprintf("build/%02d", i), fmt.Sprintf("built %d", i))
			}
			p.write("ignored.o", "object")
			before := p.shown()
			tt.do(p)
			if _, err := os.Lstat(filepath.Join(p.root, ".git")); err == nil {
				p.capture(".git")
			}
			var missing []Missing
			now := p.shown()
			for path, m := range before {
				if _, there := now[path]; !there {
					missing = append(missing, m)
				}
			}
			got, err := p.k.Removed(t.Context(), ".git", missing, agreed(before, now))
			if err != nil || got != tt.want {
				t.Errorf("of %d missing: %+v, want %+v, %v", len(missing), got, tt.want, err)
			}
		})
	}
}

// A file that was edited since git had it is not in git.
func TestRemovedEdited(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	p := newPlace(t)
	p.git("", "init", "-q")
	p.write("a", "12345")
	p.write("b", "x")
	p.git("", "add", "-A", "--", "a", "b")
	p.git("", "commit", "-q", "-m", "one")
	p.write("a", "54321") // of the same size
	missing := []Missing{p.shown()["a"]}
	p.git("", "rm", "-q", "-f", "a")
	p.capture(".git")
	if got, err := p.k.Removed(t.Context(), ".git", missing, agreed(nil, nil)); err != nil || got.Taken != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := p.k.Removed(t.Context(), "none/.git", missing, nil); err == nil {
		t.Error("a repository that is not carried has a say")
	}
}

// Git that stands still while it is asked what it took away is ended. It was not, and held up
// all else for ever.
func TestRemovedAndGitStandsStill(t *testing.T) {
	sample.Long(t)
	defer func(d time.Duration) { stallAfter = d }(stallAfter)
	p := newPlace(t)
	p.git("", "init", "-q")
	p.write("a", "12345")
	p.git("", "add", "a")
	p.git("", "commit", "-q", "-m", "one")
	missing := []Missing{p.shown()["a"]}
	p.git("", "rm", "-q", "a")
	p.capture(".git")
	real, err := Git()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := "#!/bin/sh\ncase \"$*\" in 'cat-file --batch --buffer') exec sleep 1000;; esac\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	stallAfter = time.Second
	err = soon(t, func() error {
		_, err := p.k.Removed(t.Context(), ".git", missing, agreed(nil, nil))
		return err
	})
	if !errors.Is(err, errStalled) {
		t.Errorf("it said %v", err)
	}
}

// agreed counts the paths that are in both.
func agreed(before, now map[string]Missing) func(map[string]bool) (int, error) {
	return func(paths map[string]bool) (n int, err error) {
		for path := range paths {
			_, had := before[path]
			if _, has := now[path]; had && has {
				n++
			}
		}
		return n, nil
	}
}

func (p *placed) rm(paths ...string) {
	p.t.Helper()
	for _, path := range paths {
		if err := os.RemoveAll(filepath.Join(p.root, path)); err != nil {
			p.t.Fatal(err)
		}
	}
}
