package plan

import (
	"math/rand/v2"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
)

// Where both sides changed a directory it becomes the remote one, to the last file, and where
// one did it is that one's.
func TestUnmix(t *testing.T) {
	t.Parallel()
	const base = "d/ d/a=1 d/b=1 d/c=1 x=1"
	for name, tt := range map[string]struct {
		local, remote string
		mixed         bool
		want          map[string]Op
	}{
		"nobody":         {base, base, false, map[string]Op{"d": Nothing, "d/a": Nothing, "d/b": Nothing, "d/c": Nothing, "x": Nothing}},
		"here":           {"d/ d/a=2 d/b=1 x=1", base, false, map[string]Op{"d": Nothing, "d/a": Keep, "d/b": Nothing, "d/c": Withdraw, "x": Nothing}},
		"there":          {base, "d/ d/a=2 d/b=1 x=1", false, map[string]Op{"d": Nothing, "d/a": Take, "d/b": Nothing, "d/c": Delete, "x": Nothing}},
		"here, and else": {"d/ d/a=2 d/b=1 d/c=1 x=1", "d/ d/a=1 d/b=1 d/c=1 x=2", false, map[string]Op{"d": Nothing, "d/a": Keep, "d/b": Nothing, "d/c": Nothing, "x": Take}},
		"both": {
			"d/ d/a=2 d/b=1 d/new=2 d/e/ d/e/f=2 x=2", "d/ d/a=1 d/b=3 d/c=1 d/other=3 x=1", true,
			map[string]Op{"d": Nothing, "d/a": Conflict, "d/b": Conflict, "d/c": Take, "d/new": Displace, "d/e": Displace, "d/e/f": Displace, "d/other": Take, "x": Keep},
		},
		"one file on both": {"d/ d/a=2 d/b=1 d/c=1 x=1", "d/ d/a=3 d/b=1 d/c=1 x=1", true, map[string]Op{"d": Nothing, "d/a": Conflict, "d/b": Conflict, "d/c": Conflict, "x": Nothing}},
		"gone there":       {"d/ d/a=2 d/b=1 d/c=1 x=1", "x=1", true, map[string]Op{"d": Displace, "d/a": Displace, "d/b": Displace, "d/c": Displace, "x": Nothing}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remote := treetest.Parse(tt.remote)
			plan := Merge(Sides{Base: treetest.Parse(base), Local: treetest.Parse(tt.local), Remote: remote})
			if got := Unmix(plan, "d"); got != tt.mixed {
				t.Errorf("mixed: %v", got)
			}
			got := map[string]Op{}
			for _, d := range plan {
				got[d.Path] = d.Op
				if (d.Op == Take || d.Op == Conflict) && d.Entry.Sum != d.Remote.Sum {
					t.Errorf("%s is placed as %+v", d.Path, d.Entry)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Of whatever both sides changed, the directory is the remote one then, and each local version
// is aside.
func TestUnmixKeepsEverything(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	mixed := 0
	for range sample.Size(5000, 20000) {
		base := randomTree(rnd, nil)
		s := Sides{Base: base, Local: randomTree(rnd, base), Remote: randomTree(rnd, base)}
		plan := Merge(s)
		if !Unmix(plan, "") {
			checkPlan(t, s, plan)
			continue
		}
		mixed++
		files := func(trees ...[]tree.Entry) (out []tree.Entry) {
			for _, list := range trees {
				for _, e := range list {
					if e.Kind != tree.Dir {
						out = append(out, tree.Entry{Path: e.Path, Kind: e.Kind, Sum: e.Sum, Link: e.Link})
					}
				}
			}
			tree.Sort(out)
			return out
		}
		local, remote, aside := outcome(plan)
		if diff := cmp.Diff(files(s.Remote), files(local)); diff != "" {
			t.Errorf("it is not the remote one: %s", diff)
		}
		if diff := cmp.Diff(local, remote); diff != "" {
			t.Errorf("the sides differ: %s", diff)
		}
		if diff := cmp.Diff(files(s.Local), files(aside)); diff != "" {
			t.Errorf("not all of the local one is aside: %s", diff)
		}
		if t.Failed() {
			t.Fatalf("base   %s\nlocal  %s\nremote %s", show(s.Base), show(s.Local), show(s.Remote))
		}
	}
	if mixed == 0 {
		t.Error("none was mixed")
	}
}
