package plan

import (
	"testing"

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
