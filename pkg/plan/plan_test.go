package plan

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/tree"
	"github.com/coltec/coltec/pkg/tree/treetest"
	"github.com/google/go-cmp/cmp"
)

// TestPlanTable is the table of docs/planner.md, cell by cell.
func TestPlanTable(t *testing.T) {
	tests := map[string]struct {
		base, local, remote string
		want                Op
	}{
		"same, same":                       {"a=1", "a=1", "a=1", Nothing},
		"same, changed":                    {"a=1", "a=1", "a=2", Take},
		"same, gone":                       {"a=1", "a=1", "", Delete},
		"changed, same":                    {"a=1", "a=2", "a=1", Keep},
		"changed, changed alike":           {"a=1", "a=2", "a=2", Adopt},
		"changed, changed":                 {"a=1", "a=2", "a=3", Conflict},
		"changed, gone":                    {"a=1", "a=2", "", Keep},
		"gone, same":                       {"a=1", "", "a=1", Withdraw},
		"gone, changed":                    {"a=1", "", "a=2", Take},
		"gone, gone":                       {"a=1", "", "", Forget},
		"new, none":                        {"", "a=1", "", Keep},
		"none, new":                        {"", "", "a=1", Take},
		"new, new alike":                   {"", "a=1", "a=1", Adopt},
		"new, new":                         {"", "a=1", "a=2", Conflict},
		"a link retargeted here":           {"a>x", "a>y", "a>x", Keep},
		"a link retargeted on both sides":  {"a>x", "a>y", "a>z", Conflict},
		"a file became a link there":       {"a=1", "a=1", "a>x", Take},
		"a file became a directory there":  {"a=1", "a=1", "a/", Take},
		"a directory, both":                {"a/", "a/", "a/", Nothing},
		"an empty directory gone there":    {"a/", "a/", "", Delete},
		"chmod here, gone there: an edit":  {"a=1", "a=1:755", "", Keep},
		"chmod there, gone here: withdraw": {"a=1", "", "a=1:755", Withdraw},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			plan := Merge(Sides{Base: treetest.Parse(tt.base), Local: treetest.Parse(tt.local), Remote: treetest.Parse(tt.remote)})
			if len(plan) != 1 || plan[0].Op != tt.want {
				t.Errorf("got %+v, want %s", plan, tt.want)
			}
		})
	}
}

func TestPlanMode(t *testing.T) {
	tests := map[string]struct {
		base, local, remote string
		op                  Op
		mode                uint32
	}{
		"chmod here":               {"a=1", "a=1:755", "a=1", Adopt, 0o755},
		"chmod there":              {"a=1", "a=1", "a=1:755", Meta, 0o755},
		"different bits":           {"a=1:644", "a=1:755", "a=1:600", Meta, 0o711},
		"no base: the remote mode": {"", "a=1:755", "a=1:644", Meta, 0o644},
		"no base, no remote mode":  {"", "a=1:755", "a=1:37777777777", Adopt, 0o755},
		"taken without a mode":     {"a=1:755", "a=1:755", "a=2:37777777777", Take, 0o755},
		"new without a mode":       {"", "", "a=2:37777777777", Take, 0o644},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := Merge(Sides{Base: treetest.Parse(tt.base), Local: treetest.Parse(tt.local), Remote: treetest.Parse(tt.remote)})[0]
			if d.Op != tt.op || d.Entry.Mode != tt.mode {
				t.Errorf("got %s %o, want %s %o", d.Op, d.Entry.Mode, tt.op, tt.mode)
			}
		})
	}
}

func TestPlanTime(t *testing.T) {
	at := func(ns int64) []tree.Entry {
		e := treetest.Parse("a=1")
		e[0].MTime = ns
		return e
	}
	tests := map[string]struct {
		base, local, remote []tree.Entry
		want                int64
	}{
		"touched here":  {at(1), at(2), at(1), 2},
		"touched there": {at(1), at(1), at(3), 3},
		"both":          {at(1), at(2), at(3), 3},
		"no base":       {nil, at(2), at(3), 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := Merge(Sides{Base: tt.base, Local: tt.local, Remote: tt.remote})[0]
			if d.Entry.MTime != tt.want || d.Op == Conflict {
				t.Errorf("got %s at %d, want %d", d.Op, d.Entry.MTime, tt.want)
			}
		})
	}
}

func TestPlanStructure(t *testing.T) {
	tests := map[string]struct {
		base, local, remote string
		want                string
	}{
		"a directory gone there, an edit in it": {"d/ d/a=1 d/b=1", "d/ d/a=2 d/b=1", "", "d keep, d/a keep, d/b delete"},
		"a directory gone here, a new file in it there": {"d/ d/a=1", "", "d/ d/a=1 d/n=1",
			"d take, d/a withdraw, d/n take"},
		"a deep one": {"d/ d/e/ d/e/a=1", "", "d/ d/e/ d/e/a=1 d/e/n=1", "d take, d/e take, d/e/a withdraw, d/e/n take"},
		"a directory became a file there, an edit in it": {"d/ d/a=1 d/b=1", "d/ d/a=2 d/b=1", "d=x",
			"d take, d/a aside, d/b delete"},
		"a directory became a file there, one gone in it here": {"d/ d/a=1", "d/", "d=x", "d take, d/a forget"},
		"a directory became a file here, an edit in it there": {"d/ d/a=1", "d=x", "d/ d/a=2",
			"d conflict, d/a take"},
		"a directory became a file here": {"d/ d/a=1", "d=x", "d/ d/a=1", "d keep, d/a withdraw"},
		"a file here, a directory there": {"", "d=x", "d/ d/a=1", "d conflict, d/a take"},
		"a directory here, a file there": {"", "d/ d/a=1", "d=x", "d conflict, d/a aside"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, d := range Merge(Sides{Base: treetest.Parse(tt.base), Local: treetest.Parse(tt.local), Remote: treetest.Parse(tt.remote)}) {
				got = append(got, d.Path+" "+string(d.Op))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The bucket has lost the last generation: what is here was made over what is there.
func TestPlanNewer(t *testing.T) {
	tests := map[string]struct {
		local, remote string
		want          Op
		mode          uint32
	}{
		"another content":                  {"a=2:755", "a=1", Keep, 0o755},
		"another mode":                     {"a=1:755", "a=1", Adopt, 0o755},
		"alike":                            {"a=1", "a=1", Nothing, 0o644},
		"made meanwhile":                   {"a=1", "", Keep, 0},
		"it was deleted, or it never came": {"", "a=1", Take, 0o644},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Merge(Sides{Local: treetest.Parse(test.local), Remote: treetest.Parse(test.remote), Newer: true})
			if len(got) != 1 || got[0].Op != test.want || got[0].Entry.Mode != test.mode {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
}

func TestPlanPristine(t *testing.T) {
	plan := Merge(Sides{Local: treetest.Parse("a=1 b=1"), Remote: treetest.Parse("a=2 b=2"),
		Pristine: func(e *tree.Entry) bool { return e.Path == "a" }})
	if plan[0].Op != Take || plan[1].Op != Conflict {
		t.Errorf("got %s and %s", plan[0].Op, plan[1].Op)
	}
}

// outcome applies a plan to a model: what the local side shows, what is pushed,
// what lies aside.
func outcome(plan []Decision) (local, remote []tree.Entry, aside []tree.Entry) {
	for _, d := range plan {
		switch d.Op {
		case Keep:
			local, remote = append(local, *d.Local), append(remote, *d.Local)
		case Nothing, Adopt, Meta:
			local, remote = append(local, d.Entry), append(remote, d.Entry)
		case Take, Conflict:
			local, remote = append(local, d.Entry), append(remote, d.Entry)
		}
		if d.Op == Conflict || d.Op == Displace {
			aside = append(aside, *d.Local)
		}
	}
	return local, remote, aside
}

// TestPlanKeepsEverything holds the planner's promises over random trees: both
// sides end equal and well formed, nothing that a side changed is lost without
// a copy, a conflict only where both changed, and a second plan does nothing.
func TestPlanKeepsEverything(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range sample.Size(20000, 20000) {
		base := randomTree(rnd, nil)
		s := Sides{Base: base, Local: randomTree(rnd, base), Remote: randomTree(rnd, base)}
		if rnd.IntN(5) == 0 {
			s.Base = nil
		}
		checkPlan(t, s, Merge(s))
		if t.Failed() {
			t.Fatalf("base   %s\nlocal  %s\nremote %s", show(s.Base), show(s.Local), show(s.Remote))
		}
	}
}

func checkPlan(t *testing.T, s Sides, plan []Decision) {
	t.Helper()
	local, remote, aside := outcome(plan)
	if diff := cmp.Diff(local, remote); diff != "" {
		t.Errorf("the sides differ: %s", diff)
	}
	for _, e := range local {
		for dir := range tree.Parents(e.Path) {
			if p := tree.Find(local, dir); p == nil || p.Kind != tree.Dir {
				t.Errorf("%s stays and %s is not a directory", e.Path, dir)
			}
		}
	}
	kept := func(e tree.Entry, where ...[]tree.Entry) bool {
		for _, list := range where {
			for _, o := range list {
				if o.Path == e.Path && o.SameContent(&e) {
					return true
				}
			}
		}
		return false
	}
	for _, side := range [][]tree.Entry{s.Local, s.Remote} {
		for _, e := range side {
			if e.Kind != tree.Dir && !kept(e, s.Base) && !kept(e, local, aside) {
				t.Errorf("the change %s is lost", show([]tree.Entry{e}))
			}
		}
	}
	for _, d := range plan {
		if d.Op == Conflict && kept(*d.Local, s.Base) && d.Local.Kind != tree.Dir {
			t.Errorf("conflict at %s, which did not change here", d.Path)
		}
	}
	for _, d := range Merge(Sides{Base: local, Local: local, Remote: local}) {
		if d.Op != Nothing {
			t.Errorf("a second plan would %s %s", d.Op, d.Path)
		}
	}
}

// randomTree is a small tree, an edit of from when that is given.
func randomTree(rnd *rand.Rand, from []tree.Entry) []tree.Entry {
	all := map[string]tree.Entry{}
	for _, e := range from {
		all[e.Path] = e
	}
	remove := func(path string) {
		for p := range all {
			if tree.Within(p, path) {
				delete(all, p)
			}
		}
	}
	for range 1 + rnd.IntN(5) {
		path := []string{"a", "d", "d/a", "d/e", "d/e/a", "d/e/b"}[rnd.IntN(6)]
		for dir := range tree.Parents(path) {
			if all[dir].Kind != tree.Dir {
				all[dir] = tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755}
			}
		}
		remove(path)
		switch rnd.IntN(4) {
		case 0:
			all[path] = tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755}
		case 1, 2:
			all[path] = tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Sum: tree.Sum{byte(rnd.IntN(5))}}
		}
	}
	var out []tree.Entry
	for _, e := range all {
		out = append(out, e)
	}
	tree.Sort(out)
	return out
}

func show(entries []tree.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s:%c%x ", e.Path, e.Kind, e.Sum[:1])
	}
	return b.String()
}
