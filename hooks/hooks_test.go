package hooks

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/unit"
)

func TestUnits(t *testing.T) {
	env := make([]string, 0, 8) // room: an append that is not careful would share it
	env = append(env, "PATH=/bin")
	got := Units(PostSync, []Def{
		{Name: PostSync.HookName(0), Command: []string{"notify"}, Env: env},
		{Name: "tell", Command: []string{"sh", "-c", "x"}, Env: env, Dir: "/workspace", User: "vscode", Timeout: time.Second, OnFailure: unit.Fail, Blocked: "KEY is not set"},
	})
	want := []unit.Unit{
		{
			Name: "post-sync-1", Kind: unit.Hook, Point: "post_sync", Argv: []string{"notify"},
			Env: []string{"PATH=/bin", "COLTEC_HOOK=post_sync"}, Timeout: time.Minute, OnFailure: unit.Ignore,
		},
		{
			Name: "tell", Kind: unit.Hook, Point: "post_sync", Argv: []string{"sh", "-c", "x"},
			Env: []string{"PATH=/bin", "COLTEC_HOOK=post_sync"}, Dir: "/workspace", User: "vscode", Timeout: time.Second, OnFailure: unit.Fail,
			Blocked: "KEY is not set",
		},
	}
	for i := range want {
		want[i] = want[i].WithDefaults()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnitsOfEachPointAreValid holds each row of the table to what a point is for.
func TestUnitsOfEachPointAreValid(t *testing.T) {
	seen := map[Point]bool{}
	for _, p := range Points() {
		units := Units(p, []Def{{Name: p.HookName(0), Command: []string{"true"}}})
		if len(units) != 1 {
			t.Errorf("%s: %d units", p, len(units))
		}
		if err := unit.ValidateSet(units, nil); err != nil {
			t.Error(err)
		}
		if seen[p] || p == "" || p.Runs() == "" {
			t.Errorf("row %q: twice %v, runs %q", p, seen[p], p.Runs())
		}
		seen[p] = true
	}
}

func TestUnknownPoint(t *testing.T) {
	if p := Point("post_sink"); p.Known() || p.Runs() != "" {
		t.Errorf("%s is known and runs %q", p, p.Runs())
	}
	if !PostSync.Known() {
		t.Error("post_sync is not known")
	}
}

// TestWrongHooks: the check of the set says what is wrong with hooks, each of them.
func TestWrongHooks(t *testing.T) {
	tests := map[string]struct {
		defs []Def
		want string
	}{
		"no command":   {[]Def{{Name: "pre-stop-1"}}, `unit "pre-stop-1": it has no command`},
		"all are said": {[]Def{{Name: "pre-stop-1"}, {Name: "pre-stop-2"}}, `unit "pre-stop-2": it has no command`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := unit.ValidateSet(Units(PreStop, tt.defs), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
