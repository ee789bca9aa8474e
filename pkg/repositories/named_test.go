package repositories

import (
	"os"
	"path/filepath"
	"testing"
)

// A file of a git directory that has the name by which a shadow says that its repository was
// removed: the repository left the bucket.
func TestRepositoriesWithAFileOfOurName(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(p *place){
		"a branch": func(p *place) { p.git("code", "branch", "coltec.gone"); p.git("code", "branch", "coltec.json") },
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
			if got := b.git("code", "reflog", "show", "main"); got != a.git("code", "reflog", "show", "main") {
				t.Errorf("the log of main is %q", got)
			}
		})
	}
}
