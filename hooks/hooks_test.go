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
	got, err := Units(PostSync, []Def{
		{Command: []string{"notify"}, Env: env},
		{Command: []string{"sh", "-c", "x"}, Env: env, Dir: "/workspace", User: "vscode", Timeout: time.Second, OnFailure: unit.Fail},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []unit.Unit{
		{
			Name: "post_sync-1", Kind: unit.Hook, Point: "post_sync", Argv: []string{"notify"},
			Env: []string{"PATH=/bin", "COLTEC_HOOK=post_sync"}, Timeout: time.Minute, OnFailure: unit.Ignore,
		},
		{
			Name: "post_sync-2", Kind: unit.Hook, Point: "post_sync", Argv: []string{"sh", "-c", "x"},
			Env: []string{"PATH=/bin", "COLTEC_HOOK=post_sync"}, Dir: "/workspace", User: "vscode", Timeout: time.Second, OnFailure: unit.Fail,
		},
	}
	for i := range want {
		want[i] = want[i].WithDefaults()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnitsOfEachPointAreValid(t *testing.T) {
	for _, p := range Points() {
		units, err := Units(p, []Def{{Command: []string{"true"}}})
		if err != nil || len(units) != 1 {
			t.Errorf("%s: %d units, %v", p, len(units), err)
		}
		if err := unit.ValidateSet(units, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongHooks(t *testing.T) {
	tests := map[string]struct {
		point Point
		defs  []Def
		want  string
	}{
		"point":        {"post_sink", []Def{{Command: []string{"true"}}}, `"post_sink": it is none of post_restore, pre_stop, post_sync`},
		"no command":   {PreStop, []Def{{}}, `unit "pre_stop-1": it has no command`},
		"all are said": {PreStop, []Def{{}, {}}, `unit "pre_stop-2": it has no command`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Units(tt.point, tt.defs); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
