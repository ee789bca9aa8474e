package gitstate

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
)

// A branch x on one side and x/y on the other made all joining fail, at each pass. The remote
// side keeps the name, unless it is that of what is checked out here; the other is kept.
func TestNamesThatCannotBeTogether(t *testing.T) {
	t.Parallel()
	sample.Long(t)
	cases := map[string]struct {
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
	}
	for name, c := range sample.Cases(t, 3, cases) {
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
	t.Parallel()
	sample.Long(t)
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

// Which of two refs that cannot be together stays, by who has them and what is checked out.
func TestWhichRefStays(t *testing.T) {
	t.Parallel()
	const x, below = "refs/heads/x", "refs/heads/x/y"
	for name, c := range map[string]struct {
		remote     string
		checkedOut []string
		foreign    bool // the repository is not the tree's
		loses      string
	}{
		"the remote one":                    {remote: x, loses: below},
		"the remote one, below":             {remote: below, loses: x},
		"what is checked out here":          {remote: x, checkedOut: []string{below}, loses: x},
		"what is checked out here, above":   {remote: below, checkedOut: []string{x}, loses: below},
		"what is checked out there":         {remote: x, checkedOut: []string{x}, loses: below},
		"of a repository that is not ours":  {remote: below, foreign: true, loses: below},
		"both, which is refused in the end": {remote: x, checkedOut: []string{x, below}},
		"neither is the remote one":         {remote: "refs/heads/other", loses: below},
	} {
		j := &joining{
			local: &side{}, remote: &side{refs: map[string]string{c.remote: "there"}},
			refs: map[string]string{x: "1", below: "2", "refs/heads/xy": "3", "refs/tags/x": "4", "refs/tags/x-y/z": "5"},
		}
		if c.foreign {
			j.local.src = source{outside: true, common: "/elsewhere"}
		}
		out := map[string]bool{}
		for _, ref := range c.checkedOut {
			out[ref] = true
		}
		lost := strings.Join(j.apart(out), " ")
		if lost != c.loses || len(j.refs) != 5-len(strings.Fields(c.loses)) || c.loses != "" && j.refs[c.loses] != "" {
			t.Errorf("%s: %q loses, not %q: %q", name, lost, c.loses, j.refs)
		}
		if err := together(j.refs); (err == nil) != (c.loses != "") {
			t.Errorf("%s: together it said %v", name, err)
		}
	}
}
