package gitstate

import (
	"path/filepath"
	"strings"
	"testing"
)

// A branch x on one side and x/y on the other made all joining fail, at each pass. The remote
// side keeps the name, unless it is that of what is checked out here; the other is kept.
func TestNamesThatCannotBeTogether(t *testing.T) {
	for name, c := range map[string]struct {
		base, here, there []string // git's words, and a step each
		stays, kept       string
	}{
		"x here": {
			nil, []string{"branch x COMMIT"}, []string{"branch x/y COMMIT"}, "x/y", "heads/x",
		},
		"x there": {
			nil, []string{"branch x/y COMMIT", "branch x/z"}, []string{"branch x COMMIT"}, "x", "heads/x/y",
		},
		"x is checked out here": {
			nil, []string{"switch -q -c x", "commit -q --allow-empty -m here"}, []string{"branch x/y COMMIT"}, "x", "heads/x/y",
		},
		"renamed there, goes on here": {
			[]string{"branch x"}, []string{"branch -f x COMMIT"}, []string{"branch -m x aside", "branch -m aside x/y"}, "x/y", "heads/x",
		},
		"renamed there": {
			[]string{"branch x/y COMMIT", "pack-refs --all"}, nil, []string{"branch -m x/y aside", "branch -m aside x"}, "x", "",
		},
		"renamed here, goes on there": {
			[]string{"branch x"}, []string{"branch -m x aside", "branch -m aside x/y", "branch -f x/y COMMIT"}, []string{"branch -f x COMMIT"}, "x", "heads/x/y",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPlace(t), newPlace(t)
			a.history("work", 3)
			do := func(p *placed, who string, steps []string) {
				t.Helper()
				for _, step := range steps {
					args := strings.Fields(step)
					for i := range args {
						if args[i] == "COMMIT" {
							args[i] = p.commit("work", who)
						}
					}
					p.git("work", args...)
				}
			}
			do(a, "base", c.base)
			b.hop(a, true, "work/.git")
			do(a, "here", c.here)
			do(b, "there", c.there)
			before := [2]had{a.had(), b.had()}
			b.capture("work/.git")
			a.join(b, true, "work/.git")
			stays := "refs/heads/" + c.stays
			if want := before[0].refs[stays] + before[1].refs[stays]; a.had().refs[stays] != want {
				t.Errorf("%s is %q, not %q", c.stays, a.had().refs[stays], want)
			}
			kept := a.git("work", "for-each-ref", "--format=%(objectname) %(refname)", KeptRefs)
			want := before[0].refs["refs/"+c.kept] + before[1].refs["refs/"+c.kept]
			if c.kept == "" && kept != "" || c.kept != "" && (!strings.HasPrefix(kept, want+" ") || !strings.HasSuffix(strings.TrimSpace(kept), c.kept)) {
				t.Errorf("kept is %q, not %s of %q", kept, want, c.kept)
			}
			fsck(t, filepath.Join(a.root, "work"))
			a.capture("work/.git")
			b.join(a, true, "work/.git")
			if x, y := a.answersOf(), b.answersOf(); x != y {
				t.Errorf("here is\n%s, there\n%s", x, y)
			}
			fsck(t, filepath.Join(b.root, "work"))
		})
	}
}

// A ref that leads to another, and was removed elsewhere, came back with the next capture here.
func TestSymbolicRefThatWasRemoved(t *testing.T) {
	a, b := newPlace(t), newPlace(t)
	a.history("work", 3)
	a.git("work", "symbolic-ref", "refs/heads/alias", "refs/heads/main")
	a.git("work", "symbolic-ref", "refs/heads/mine", "refs/heads/main")
	b.hop(a, true, "work/.git")
	b.git("work", "symbolic-ref", "--delete", "refs/heads/alias")
	b.git("work", "symbolic-ref", "--delete", "refs/heads/mine")
	a.git("work", "branch", "other")
	a.git("work", "symbolic-ref", "refs/heads/mine", "refs/heads/other") // it is led elsewhere meanwhile
	b.capture("work/.git")
	a.join(b, true, "work/.git")
	if refs := a.had().refs; refs["refs/heads/alias"] != "" || refs["refs/heads/mine"] != "ref: refs/heads/other" {
		t.Errorf("refs are %q", refs)
	}
}
