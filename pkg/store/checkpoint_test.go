package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/store/storetest"
)

func TestCheckpointNames(t *testing.T) {
	for name, good := range map[string]bool{
		"before-upgrade": true, "a": true, "V1.2_x": true, strings.Repeat("a", 63): true,
		"": false, "12": false, "2h": false, "2006-01-02": false, "-a": false, "a b": false, "a/b": false, "a\n": false, "..": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		if err := CheckCheckpoint(name, ""); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for text, good := range map[string]bool{"": true, "tests pass": true, strings.Repeat("x", 200): true, strings.Repeat("x", 201): false, "\xff": false} {
		if err := CheckCheckpoint("a", text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCheckpointsOfAHead(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	h := &Head{Format: 1, Workspace: "o/p/e", Epoch: 1}
	if err := h.MayPin("a", "", false); !errors.Is(err, ErrNothingToName) {
		t.Errorf("of nothing: %v", err)
	}
	h.Commit(map[string]Ref{"r": {Manifest: "m/1", Files: 1}}, now)
	if err := h.MayPin("a", "", false); err != nil {
		t.Fatal(err)
	}
	h.Pin("a", "text", "box", now)
	before := h.Clone()
	h.Commit(map[string]Ref{"r": {Manifest: "m/2", Files: 2}}, now.Add(time.Hour))
	if c, is := h.Checkpoint("a"); !is || c.Number != 1 || c.Replicas["r"].Manifest != "m/1" || !c.Time.Equal(now) {
		t.Errorf("%+v, %v", c, is)
	}
	if err := h.MayPin("a", "", false); !errors.Is(err, ErrCheckpointExists) {
		t.Errorf("twice: %v", err)
	}
	body, err := h.encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseHead(body, "o/p/e"); err != nil || len(again.Checkpoints) != 1 || again.Checkpoints[0].Text != "text" {
		t.Errorf("%+v, %v", again, err)
	}
	for i := len(h.Checkpoints); i < checkpointsMax; i++ {
		h.Pin(fmt.Sprint("c", i), "", "box", now)
	}
	if err := h.MayPin("one-more", "", false); err == nil || !strings.Contains(err.Error(), "no more fit") {
		t.Errorf("too many: %v", err)
	}
	h.Unpin("a")
	if _, is := h.Checkpoint("a"); is || len(before.Checkpoints) != 1 || before.Checkpoints[0].Name != "a" {
		t.Errorf("removed: %v, the copy has %v", is, before.Checkpoints)
	}
	for name, spoil := range map[string]func(*Checkpoint){
		"of the future": func(c *Checkpoint) { c.Number = 99 }, "a bad name": func(c *Checkpoint) { c.Name = "../x" },
		"no manifest": func(c *Checkpoint) { c.Replicas = map[string]Ref{"r": {Manifest: "../m"}} },
		"twice":       func(c *Checkpoint) { c.Name = "c2" },
	} {
		bad := h.Clone()
		spoil(&bad.Checkpoints[0])
		if bad.check() == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}

// A generation is kept where the log has it, however long that is, or a checkpoint.
func TestKept(t *testing.T) {
	l := machineOf(t, storetest.New(), "a")
	_, err := l.Kept(t.Context(), 1)
	if err == nil {
		t.Error("without the lease nothing is known")
	}
	mustAcquire(t, l)
	const n = 3 * recentMax
	for i := range n {
		if err := l.Commit(t.Context(), NewID(), map[string]Ref{"r": {Manifest: fmt.Sprintf("m/1-%d-x", i+1)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, number := range []int64{1, 2, n} {
		if g, err := l.Kept(t.Context(), number); err != nil || g.Replicas["r"].Manifest != fmt.Sprintf("m/1-%d-x", number) {
			t.Errorf("generation %d: %+v, %v", number, g, err)
		}
	}
	_, err = l.Kept(t.Context(), n+1)
	wantErr(t, err, ErrNotKept)
	old := Generation{Number: 1, Replicas: map[string]Ref{"r": {Manifest: "m/0-1-old"}}}
	if err := l.Collected(t.Context(), func(h *Head) { // no log has it any more
		h.Log, h.Recent, h.Checkpoints = "", h.Recent[len(h.Recent)-1:], []Checkpoint{{Name: "old", Generation: old}}
	}); err != nil {
		t.Fatal(err)
	}
	if g, err := l.Kept(t.Context(), 1); err != nil || g.Replicas["r"].Manifest != "m/0-1-old" {
		t.Errorf("as a checkpoint: %+v, %v", g, err)
	}
	_, err = l.Kept(t.Context(), 2)
	wantErr(t, err, ErrNotKept)
}

// Checkpoints that joins and rewinds made counted to the hundred for ever.
func TestUndos(t *testing.T) {
	for name, tt := range map[string]struct{ made, want string }{ // u: an undo, p: a person's, oldest first
		"none":                  {"", ""},
		"a person's alone":      {"pppppppppppp", "pppppppppppp"},
		"few":                   {"uuuuuuuuuu", "uuuuuuuuuu"},
		"one too many":          {"uuuuuuuuuuu", "uuuuuuuuuu"},
		"the oldest go":         {"upupuuuuuuuuuup", "ppuuuuuuuuuup"},
		"one too many of all":   {"u" + strings.Repeat("p", checkpointsMax-1) + "u", strings.Repeat("p", checkpointsMax-1) + "u"},
		"the newest stays":      {strings.Repeat("p", checkpointsMax) + "u", strings.Repeat("p", checkpointsMax) + "u"},
		"as many as fit":        {"uu" + strings.Repeat("p", checkpointsMax-3) + "u", "uu" + strings.Repeat("p", checkpointsMax-3) + "u"},
		"from before the bound": {strings.Repeat("u", 40), strings.Repeat("u", UndosMax)},
	} {
		var h Head
		for i, kind := range tt.made {
			name := fmt.Sprint("c", i)
			h.Generation++
			h.Pin(name, "", "host", time.Unix(int64(i), 0))
			if kind == 'u' {
				h.MarkUndo(name)
			}
		}
		before := slices.Clone(h.Checkpoints)
		h.DropUndos()
		got := ""
		for _, c := range h.Checkpoints {
			kind := "p"
			if c.Undo {
				kind = "u"
			}
			got += kind
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if n := len(h.Checkpoints); n > 0 && h.Checkpoints[n-1].Name != before[len(before)-1].Name {
			t.Errorf("%s: the newest went", name)
		}
	}
}
