package repositories

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of a git directory that has the name by which a shadow says that its repository was
// removed: the repository left the bucket.
func TestRepositoriesWithAFileOfOurName(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(p *place){
		"a branch": func(p *place) {
			p.git("code", "branch", "coltec.gone")
			p.git("code", "branch", "coltec.json")
			p.git("code", "branch", "x.pack")
		},
		"a shadow that was copied back": func(p *place) {
			p.must(os.WriteFile(filepath.Join(p.Path, "code/.git/coltec.gone"), nil, 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.place(Wholes), w.place(Wholes)
			a.acquire()
			a.commit("code", "f")
			a.push(false)
			do(a)
			head := a.commit("code", "g")
			a.push(false)
			b.acquire()
			if got := b.git("code", "rev-parse", "main"); got != head {
				t.Errorf("main is %s, want %s", got, head)
			}
			for _, branch := range strings.Fields(a.git("code", "branch", "--list", "--format=%(refname:short)", "main", "x.pack")) {
				if got, want := b.git("code", "reflog", "show", branch), a.git("code", "reflog", "show", branch); got != want {
					t.Errorf("the log of %s is %q, want %q", branch, got, want)
				}
			}
		})
	}
}

// A branch whose log is named as the index of a pack is: the pack was looked for, and the
// whole shadow made anew with each walk.
func TestRepositoriesWithABranchNamedAsAnIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.place(Wholes)
	a.acquire()
	a.commit("code", "f")
	a.git("code", "branch", "rebuild.idx")
	a.push(false)
	mark := filepath.Join(a.Path, layout.Dir, "code/.git", layout.Mark)
	before, err := os.Stat(mark)
	w.must(err)
	_, err = a.Scan(t.Context(), nil)
	w.must(err)
	after, err := os.Stat(mark)
	w.must(err)
	if !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("the shadow of %s was made anew at %s", before.ModTime(), after.ModTime())
	}
}
