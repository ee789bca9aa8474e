package gitstate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/google/go-cmp/cmp"
)

// However git stores a repository: it comes out as it was, and what is done there comes back.
func TestLayouts(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	layouts := map[string]func(p *placed){
		"sha256": func(p *placed) {
			p.git("", "init", "-q", "--object-format=sha256", "work")
			p.write("work/f", "f\n")
			p.git("work", "add", "f")
			p.git("work", "commit", "-q", "-m", "first")
			p.git("work", "tag", "-a", "v1", "-m", "annotated")
		},
		"sha256 before its first commit": func(p *placed) {
			p.git("", "init", "-q", "--object-format=sha256", "work")
			p.write("work/f", "f\n")
			p.git("work", "add", "f")
		},
		"before its first commit": func(p *placed) {
			p.git("", "init", "-q", "work")
			p.write("work/f", "f\n")
			p.git("work", "add", "f")
		},
		"shallow": func(p *placed) {
			o := newPlace(p.t)
			o.history("whole", 6)
			p.git("", "clone", "-q", "--depth=2", "file://"+filepath.Join(o.root, "whole"), "work")
		},
		"sparse": func(p *placed) {
			p.history("work", 12)
			p.git("work", "sparse-checkout", "set", "--cone", "--sparse-index", "d1")
		},
		"a split index": func(p *placed) {
			p.history("work", 6)
			p.git("work", "update-index", "--split-index")
			p.write("work/new", "new\n")
			p.git("work", "add", "new")
		},
		"a commit graph and an index of many packs": func(p *placed) {
			p.history("work", 6)
			p.git("work", "repack", "-q")
			p.git("work", "commit", "-q", "--allow-empty", "-m", "in a pack of its own")
			p.git("work", "repack", "-q")
			p.git("work", "multi-pack-index", "write", "--bitmap")
			p.git("work", "commit-graph", "write", "--reachable", "--split")
		},
		"packed refs alone": func(p *placed) {
			p.history("work", 6)
			p.git("work", "tag", "-a", "v1", "-m", "annotated")
			p.git("work", "pack-refs", "--all", "--prune")
		},
		"linked trees": func(p *placed) {
			p.history("work", 6)
			p.git("work", "worktree", "add", "-q", "-b", "beside", "../beside")
			p.git("beside", "commit", "-q", "--allow-empty", "-m", "there")
			p.git("work", "config", "extensions.worktreeConfig", "true")
			p.git("beside", "config", "--worktree", "user.nickname", "of this one alone")
		},
		"pointers to large files": func(p *placed) {
			p.history("work", 3)
			p.write("work/large", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 5\n")
			p.write("work/.git/lfs/objects/ab/ab/"+strings.Repeat("ab", 32), "large")
			p.git("work", "add", "large")
			p.git("work", "commit", "-q", "-m", "a pointer")
		},
		"a replaced commit": func(p *placed) {
			p.history("work", 6)
			p.git("work", "replace", "--graft", "HEAD~2")
		},
	}
	for name, lay := range sample.Cases(t, 3, layouts) {
		t.Run(name, func(t *testing.T) {
			a, b := newPlace(t), newPlace(t)
			lay(a)
			b.hop(a, true, "work/.git")
			sameAnswers(t, a.root, b.root, "work")
			for i, p := range []*placed{a, b} { // both go on
				p.git("work", "commit", "-q", "--allow-empty", "-m", []string{"here", "there"}[i])
			}
			mine := strings.TrimSpace(a.git("work", "rev-parse", "HEAD"))
			a.hop(b, false, "work/.git")
			if got := a.git("work", "rev-list", "--all"); !strings.Contains(got, mine) {
				t.Errorf("what was committed here is gone: %s", got)
			}
			b.hop(a, true, "work/.git")
			sameAnswers(t, a.root, b.root, "work")
		})
	}
}

// A repository that git stores in a way that is not known here is refused in a sentence: it is
// not captured for half, and nothing is written into it. One with other names of objects, or
// with refs in a table, had the refs and packs of the other side put in.
func TestLayoutsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	for name, c := range map[string]struct {
		config []string
		says   string
	}{
		"reftable":    {[]string{"extensions.refStorage", "reftable"}, "its refs are stored as reftable"},
		"extension":   {[]string{"extensions.inTheFuture", "1"}, `the extension "inthefuture"`},
		"version":     {[]string{"core.repositoryFormatVersion", "2"}, "the version of its format, 2,"},
		"object name": {nil, "names of sha256 here, and of sha1 elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPlace(t), newPlace(t)
			a.history("work", 3)
			a.capture("work/.git")
			if c.config == nil {
				b.git("", "init", "-q", "--object-format=sha256", "work")
			} else {
				b.history("work", 2)
				b.git("work", "config", "core.repositoryFormatVersion", "1")
				b.git("work", append([]string{"config"}, c.config...)...)
				if err := b.tried("work/.git"); !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("the capture said %v", err)
				}
				if b.k.Whole("work/.git") {
					t.Error("it is captured")
				}
			}
			before := filesOf(t, filepath.Join(b.root, "work"))
			arrives := b.arrival(a, "work/.git")
			_ = os.RemoveAll(filepath.Join(arrives.From, "objects"))
			if err := os.CopyFS(filepath.Join(arrives.From, "objects"), os.DirFS(filepath.Join(a.k.Shadow, "work/.git/objects"))); err != nil {
				t.Fatal(err)
			}
			if err := b.k.Restore(t.Context(), arrives); !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the restore said %v", err)
			}
			if diff := cmp.Diff(before, filesOf(t, filepath.Join(b.root, "work"))); diff != "" {
				t.Errorf("it is another (-was +is):\n%s", diff)
			}
		})
	}
	p := newPlace(t) // what git itself does not mind
	p.history("work", 3)
	p.git("work", "config", "extensions.inTheFuture", "1")
	p.capture("work/.git")
}

// A partial clone is not captured; what others did to it comes into it.
func TestPartialClone(t *testing.T) {
	t.Parallel()
	a, b := newPlace(t), newPlace(t)
	a.history("work", 3)
	b.hop(a, true, "work/.git")
	b.git("work", "config", "remote.origin.promisor", "true")
	b.git("work", "config", "remote.origin.url", "file:///nonexistent")
	if err := b.tried("work/.git"); !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), "a partial clone") {
		t.Errorf("it said %v", err)
	}
	a.git("work", "commit", "-q", "--allow-empty", "-m", "there")
	a.capture("work/.git")
	b.join(a, true, "work/.git")
	if x, y := a.git("work", "rev-parse", "HEAD"), b.git("work", "rev-parse", "HEAD"); x != y {
		t.Errorf("HEAD is %s, not %s", y, x)
	}
}
